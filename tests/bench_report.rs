//! What is told of a benchmark: the page, and two reports side by side.

#[path = "support/browser.rs"]
mod browser;
#[path = "support/bench_report.rs"]
mod sample;
#[path = "support/skip.rs"]
mod skip;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use corelane::bench::compare::{CompareError, Metric, Verdict, compare};
use corelane::bench::meters::Span;
use corelane::bench::report::html::page;
use corelane::bench::report::model::{Kind, Report, Run};
use sample::{report, run};

/// What a page holds as its data.
fn data(page: &str) -> &str {
    let (_, rest) = page.split_once("id=\"data\">").expect("data");
    rest.split_once("</script>").expect("its end").0
}

fn partial(times: f64) -> Run {
    Run {
        partial: Some("the broker went away".to_owned()),
        ..run(times)
    }
}

/// The same load over three numbers of partitions.
fn sweep() -> Report {
    let over = |partitions| {
        let mut run = run(f64::from(partitions));
        run.settings.partitions = partitions;
        run
    };
    let mut report = report([1, 10, 100].map(over).into());
    report.bench = Kind::Sweep;
    report
}

#[test]
fn the_page_holds_every_curve_and_nothing_outside() {
    let report = report(vec![run(1.0), partial(2.0)]);
    let page = page(&report);
    let read: Report = serde_json::from_str(data(&page)).unwrap();
    assert_eq!(read.runs.len(), 2);
    for (read, run) in read.runs.iter().zip(&report.runs) {
        for span in Span::ALL {
            let curve = &run.latency[span.name()].curve;
            assert!(curve.len() > 10, "{span:?}");
            let found = &read.latency[span.name()].curve;
            assert_eq!(found.len(), curve.len(), "{span:?}");
            // Texts of floats are read to the last digit but one.
            let is_near = |a: f64, b: f64| (a - b).abs() <= 1e-9 * b.abs();
            for (found, point) in found.iter().zip(curve) {
                assert!(
                    is_near(found.0, point.0) && is_near(found.1, point.1),
                    "{found:?}"
                );
            }
        }
        assert_eq!(read.series.len(), run.series.len());
        assert_eq!(read.partial, run.partial);
    }
    for outside in ["://", "src=", "href=", "@import", "url("] {
        assert!(!page.contains(outside), "{outside}");
    }
    assert!(!page.contains("{{"), "a mark was left");
}

#[test]
fn what_others_wrote_stays_text_on_the_page() {
    let mut report = report(vec![run(1.0)]);
    report.machine.cpu = "</script><script>alert(1)</script><!-- {{SCRIPT}}".to_owned();
    let page = page(&report);
    let scripts = page.matches("<script").count();
    assert_eq!(scripts, 2, "the data and the page's own");
    assert!(!page.contains("<!--"));
    let read: Report = serde_json::from_str(data(&page)).unwrap();
    assert_eq!(read.machine.cpu, report.machine.cpu);
    for way in [
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
    ] {
        assert!(!page.contains(way), "{way} makes markup of text");
    }
}

/// The page after a browser has run its script.
fn shown(browser: &Path, report: &Report) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("page.html");
    fs::write(&file, page(report)).expect("a file");
    let profile = folder.path().join("profile");
    let output = Command::new("timeout")
        .args(["--signal=KILL", "60"])
        .arg(browser)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"])
        .arg(format!("--user-data-dir={}", profile.display()))
        .arg(format!("file://{}", file.display()))
        .output()
        .expect("a browser starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn a_browser_draws_every_curve() {
    let Some(browser) = browser::find() else {
        return skip::skip("needs a browser: chromium");
    };
    let drawn = shown(&browser, &report(vec![run(1.0), partial(2.0)]));
    // Of two runs a curve for each span; over time, of the one that is chosen, two rates and three
    // lines for each span.
    assert_eq!(drawn.matches("class=\"series\"").count(), 2 * 4 + 2 + 3 * 4);
    assert!(!drawn.contains("NaN"), "a line without a place");
    assert!(drawn.contains("partial result: the broker went away"));
    assert!(drawn.contains("stroke:var(--bad)") || drawn.contains("stroke: var(--bad)"));
    assert!(drawn.contains("A CPU &lt;of&gt; a kind &amp; more"));
    let mut closed = run(1.0);
    closed.settings.rate = None;
    let drawn = shown(&browser, &report(vec![closed]));
    let only_rates = drawn.matches("class=\"series\"").count();
    assert_eq!(only_rates, 2, "a closed loop has no latencies");
    let drawn = shown(&browser, &sweep());
    // Saturation, and p50 and p99 of each span, over the partitions; then as above, of three runs.
    assert!(drawn.contains("Over partitions"));
    assert_eq!(
        drawn.matches("class=\"series\"").count(),
        9 + 3 * 4 + 2 + 3 * 4
    );
    assert!(!drawn.contains("NaN"));
}

fn of_five(times: f64) -> Report {
    let near = |step: u32| run(times * (1.0 + f64::from(step) / 200.0));
    report((0..5).map(near).collect())
}

#[test]
fn a_slower_report_is_worse_with_certainty_and_a_faster_one_better() {
    let (a, b) = (of_five(1.0), of_five(1.5));
    let found = compare(&a, &b, &Metric::all(), 0.05).unwrap();
    let figure = |name: &str| {
        let mut figures = found.pairs[0].figures.iter();
        figures.find(|figure| figure.metric == name).unwrap()
    };
    let p99 = figure("end_to_end_p99");
    assert_eq!(p99.verdict, Verdict::Worse);
    let (low, high) = p99.interval.unwrap();
    assert!(low <= p99.ratio && p99.ratio <= high, "{p99:?}");
    assert!((p99.ratio - 1.5).abs() < 0.01, "{p99:?}");
    assert_eq!(figure("saturation_per_s").verdict, Verdict::Worse);
    assert_eq!(figure("acked_per_s").verdict, Verdict::Alike);
    assert_eq!((found.pairs[0].runs_a, found.pairs[0].runs_b), (5, 5));
    assert!(found.warnings.is_empty(), "{:?}", found.warnings);
    let back = compare(&b, &a, &Metric::all(), 0.05).unwrap();
    assert_eq!(back.regressions, 0);
    let itself = compare(&a, &a, &Metric::all(), 0.0).unwrap();
    assert_eq!(itself.regressions, 0, "{itself:?}");
}

#[test]
fn what_makes_a_comparison_doubtful_is_told() {
    let a = report(vec![run(1.0), partial(9.0)]);
    let mut b = report(vec![run(1.0)]);
    b.machine.kernel = "6.19".to_owned();
    b.machine.load_average = "7.5".to_owned();
    b.runs[0].target.durability = "none at all".to_owned();
    let mut other = run(1.0);
    other.settings.partitions = 7;
    b.runs.push(other);
    let found = compare(&a, &b, &Metric::all(), 0.05).unwrap();
    let told = found.warnings.join("\n");
    assert_eq!(found.warnings.len(), 4, "{told}");
    assert!(told.contains("kernel: \"6.18\" and \"6.19\""), "{told}");
    assert!(
        told.contains("A: run 2 is left out, it is partial: the broker went away"),
        "{told}"
    );
    assert!(
        told.contains("target embedded differs in durability"),
        "{told}"
    );
    assert!(told.contains("1 runs have no like"), "{told}");
    assert_eq!(found.regressions, 0, "the partial run does not count");
}

#[test]
fn reports_with_nothing_in_common_say_in_what_they_differ() {
    let a = report(vec![run(1.0)]);
    let mut b = a.clone();
    b.runs[0].settings.acks = "none".to_owned();
    let error = compare(&a, &b, &Metric::all(), 0.05).unwrap_err();
    assert!(error.to_string().contains("differ in acks"), "{error}");
    let error = compare(&a, &report(Vec::new()), &Metric::all(), 0.05).unwrap_err();
    assert!(
        matches!(error, CompareError::NothingCommon { runs_b: 0, .. }),
        "{error}"
    );
    let mut closed = a.clone();
    closed.runs[0].settings.rate = None;
    let latency = Metric::named("produce_p50").unwrap();
    let error = compare(&closed, &closed, &[latency], 0.05).unwrap_err();
    assert!(
        matches!(error, CompareError::NoFigures(_)),
        "no latency of a closed loop: {error}"
    );
    let mut without = a.clone();
    without.runs[0].load.saturation_per_s = None;
    let metric = Metric::named("saturation_per_s").unwrap();
    let error = compare(&a, &without, &[metric], 0.05).unwrap_err();
    assert!(matches!(error, CompareError::NoFigures(_)), "{error}");
}

fn command(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_corelane"))
        .args(arguments)
        .output()
        .expect("the program starts")
}

#[test]
fn the_command_ends_with_what_it_found() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: String| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.into_os_string().into_string().unwrap()
    };
    let json = |report: &Report| serde_json::to_string(report).unwrap();
    let a = file("a.json", json(&of_five(1.0)));
    let b = file("b.json", json(&of_five(1.5)));
    let ends = |arguments: &[&str], code: i32| {
        let output = command(&[&["bench", "compare"], arguments].concat());
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {error}");
        (String::from_utf8(output.stdout).unwrap(), error)
    };
    let (text, _) = ends(&[&a, &b], 1);
    assert!(
        text.contains("produce_p99") && text.contains("worse"),
        "{text}"
    );
    ends(&[&b, &a], 0);
    ends(&[&a, &b, "--tolerance", "60"], 0);
    ends(&[&a, &b, "--metric", "acked_per_s,received_per_s"], 0);
    let (text, _) = ends(&[&a, &b, "--json", "--metric", "produce_p50"], 1);
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value["regressions"], 1);
    assert_eq!(value["pairs"][0]["figures"][0]["metric"], "produce_p50");
    let foreign = file("foreign.json", "{\n\"bench\": 7\n}".to_owned());
    let (_, error) = ends(&[&a, &foreign], 2);
    assert!(
        error.contains("foreign.json") && error.contains("line 2"),
        "{error}"
    );
    assert!(error.contains("\"bench\""), "{error}");
    ends(&[&a, "/nowhere/b.json"], 2);
    let mut other = of_five(1.0);
    other.runs.truncate(1);
    other.runs[0].settings.record_bytes = 7;
    let other = file("other.json", json(&other));
    let (_, error) = ends(&[&a, &other], 2);
    assert!(error.contains("differ in record_bytes"), "{error}");
    for wrong in [
        ["--tolerance", "-1"],
        ["--tolerance", "NaN"],
        ["--metric", "p42"],
    ] {
        ends(&[&[a.as_str(), b.as_str()], &wrong[..]].concat(), 2);
    }
}

#[test]
fn the_floor_is_a_table_or_json_and_says_where_it_cannot_be_measured() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path().to_str().unwrap();
    let floor = |arguments: &[&str]| {
        command(&[&["bench", "floor", "--duration", "0.2"], arguments].concat())
    };
    let output = floor(&["--dir", here, "--json"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(value["write_sync"]["p50_us"].as_f64().unwrap() > 0.0);
    assert!(value["loopback"]["count"].as_u64().unwrap() > 0);
    assert!(value["machine"]["kernel"].is_string());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    let output = floor(&["--dir", &format!("{here}/missing")]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("there is no such directory"), "{error}");
    assert_eq!(floor(&["--size", "0"]).status.code(), Some(2));
    assert_eq!(floor(&["--duration", "1e99"]).status.code(), Some(2));
}
