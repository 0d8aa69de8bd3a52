//! A report as tables and sentences.
//!
//! Owns: their look. Never does: figures of its own.

use std::fmt::Write as _;

use crate::bench::meters::Span;
use crate::bench::report::model::{Kind, Latencies, Report, Run};
use crate::cli::report::new_table;

/// The whole report, without a newline at the end.
pub(super) fn show(report: &Report) -> String {
    let mut out = String::new();
    match report.bench {
        Kind::Latency | Kind::Throughput => {
            for run in &report.runs {
                show_run(&mut out, run);
            }
        }
        Kind::Sweep => show_sweep(&mut out, report),
    }
    out.truncate(out.trim_end().len());
    out
}

/// Everything about one run.
fn show_run(out: &mut String, run: &Run) {
    line(
        out,
        &format!("{}: {}", run.target.name, run.target.durability),
    );
    line(out, &settings(run));
    line(out, &latencies(run));
    line(out, &load(run));
    line(out, &usage(run));
    if !run.ratio_to_floor.is_empty() {
        line(out, &ratios(run));
    }
    if let Some(reason) = &run.partial {
        line(out, &format!("PARTIAL: {reason}"));
    }
    out.push('\n');
}

fn line(out: &mut String, text: &str) {
    writeln!(out, "{text}").expect("a String takes everything");
}

fn settings(run: &Run) -> String {
    let settings = &run.settings;
    let cores = settings.cores.map(|cores| format!(", cores {cores}"));
    format!(
        "topics {}, partitions {}, {} B ({}){}, producers {}; {} s after a warm-up of {} s",
        settings.topics,
        settings.partitions,
        settings.record_bytes,
        settings.payload,
        cores.unwrap_or_default(),
        settings.producers,
        settings.duration_s,
        settings.warmup_s,
    )
}

fn latencies(run: &Run) -> String {
    let header = [
        "latency, µs",
        "count",
        "p50",
        "p90",
        "p99",
        "p99.9",
        "p99.99",
        "max",
    ];
    let mut table = new_table(&header, 1);
    for span in Span::ALL {
        let none = Latencies::default();
        let of = run.latency.get(span.name()).unwrap_or(&none);
        table.add_row([
            span.name().replace('_', " "),
            of.count.to_string(),
            number(of.p50_us, 1),
            number(of.p90_us, 1),
            number(of.p99_us, 1),
            number(of.p999_us, 1),
            number(of.p9999_us, 1),
            number(of.max_us, 1),
        ]);
    }
    table.to_string()
}

/// What was asked for and what came about; a pace that was not kept is said first.
fn load(run: &Run) -> String {
    let load = &run.load;
    let share = match (load.share_of_saturation, load.saturation_per_s) {
        (Some(share), Some(most)) => {
            format!(", {:.1} % of saturation ({most:.0}/s)", 100.0 * share)
        }
        (Some(_) | None, Some(_) | None) => String::new(),
    };
    let asked = match (run.settings.rate, load.kept_pace) {
        (Some(rate), true) => format!("asked {rate}/s{share}"),
        (Some(rate), false) => format!(
            "asked {rate}/s{share}, reached {:.0}/s: latencies are those of a growing queue",
            load.acked_per_s
        ),
        (None, _) => "as fast as it was taken (no latencies)".to_owned(),
    };
    format!(
        "{asked}\nsent {:.0}/s, acknowledged {:.0}/s ({} MB/s), received {:.0}/s, failed {}",
        load.sent_per_s,
        load.acked_per_s,
        mega(load.bytes_per_s),
        load.received_per_s,
        load.failed,
    )
}

fn usage(run: &Run) -> String {
    let usage = &run.usage;
    let busy = usage.core_busy.iter();
    let busy: Vec<String> = busy
        .map(|share| format!("{:.0} %", 100.0 * share))
        .collect();
    let busy = match busy.is_empty() {
        true => String::new(),
        false => format!("cores busy {}, ", busy.join(", ")),
    };
    format!(
        "{busy}CPUs used {:.2}, memory {} MB, written {} MB/s ({} bytes for each byte)",
        usage.cpus,
        mega(usage.resident_bytes as f64),
        mega(usage.written_bytes_per_s),
        number(usage.written_per_byte, 2),
    )
}

fn ratios(run: &Run) -> String {
    let ratio = |(name, ratio): (&String, &f64)| format!("{name} {ratio:.2}");
    let ratios: Vec<String> = run.ratio_to_floor.iter().map(ratio).collect();
    format!("to the floor of this host: {}", ratios.join(", "))
}

/// One line for each point.
fn show_sweep(out: &mut String, report: &Report) {
    let header = [
        "acks",
        "size",
        "partitions",
        "cores",
        "taken/s",
        "MB/s",
        "rate",
        "produce p50",
        "p99",
        "end to end p50",
        "p99",
        "cores busy",
    ];
    let mut table = new_table(&header, 1);
    for run in &report.runs {
        let settings = &run.settings;
        let most = run.load.saturation_per_s;
        let at = |span: Span, name: &str| {
            let of = run.latency.get(span.name());
            number(of.and_then(|of| of.get(name)), 1)
        };
        let busy = run.usage.core_busy.iter().sum::<f64>();
        let late = if run.load.kept_pace {
            ""
        } else {
            " (not kept)"
        };
        let partial = if run.partial.is_some() {
            " (partial)"
        } else {
            ""
        };
        table.add_row([
            settings.acks.clone(),
            settings.record_bytes.to_string(),
            settings.partitions.to_string(),
            settings.cores.map_or_else(dash, |cores| cores.to_string()),
            number(most, 0),
            most.map_or_else(dash, |most| mega(most * settings.record_bytes as f64)),
            settings
                .rate
                .map_or_else(dash, |rate| format!("{rate}{late}{partial}")),
            at(Span::Produce, "p50"),
            at(Span::Produce, "p99"),
            at(Span::EndToEnd, "p50"),
            at(Span::EndToEnd, "p99"),
            format!("{busy:.2}"),
        ]);
    }
    line(out, &table.to_string());
    line(
        out,
        "taken/s: closed loop, each record as soon as it is taken; latencies in µs: open loop at the \
         rate",
    );
}

fn dash() -> String {
    "-".to_owned()
}

/// A number, or a dash where there is none.
fn number(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(dash, |value| format!("{value:.digits$}"))
}

fn mega(value: f64) -> String {
    format!("{:.1}", value / 1e6)
}
