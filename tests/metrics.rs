//! Documents about metrics say what is in the catalogue: the page that lists them, the dashboard, the
//! alerts.

#![allow(clippy::unwrap_used)] // Helpers of a test fail like the test itself.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use corelane::telemetry::{Kind, families, page};

const BEGIN: &str = "<!-- begin: catalogue -->\n";
const END: &str = "<!-- end: catalogue -->\n";

#[test]
fn the_page_lists_the_catalogue() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/metrics.md");
    let text = fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(BEGIN).expect("the page has a beginning");
    let (_, after) = rest.split_once(END).expect("the page has an end");
    let wanted = format!("{before}{BEGIN}{}\n{END}{after}", page());
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, &wanted).unwrap();
        return;
    }
    assert!(
        text == wanted,
        "docs/metrics.md is behind the code: UPDATE=1 cargo test --test metrics"
    );
}

/// Every word of a text that could be a metric of ours.
fn named(text: &str) -> BTreeSet<String> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
        .filter(|word| word.starts_with("corelane_"))
        .map(str::to_owned)
        .collect()
}

#[test]
fn dashboard_and_alerts_name_metrics_that_exist() {
    let mut samples = BTreeSet::new();
    for family in families() {
        for suffix in family.kind.suffixes() {
            samples.insert(format!("{}{suffix}", family.name()));
        }
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/monitoring");
    let mut seen = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        for name in named(&text) {
            assert!(samples.contains(&name), "{}: {name}", path.display());
            seen += 1;
        }
    }
    assert!(seen > 20, "the dashboard and the alerts name metrics");
}

#[test]
fn the_dashboard_is_json_and_each_panel_asks_for_something() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/monitoring/dashboard.json");
    let text = fs::read_to_string(path).unwrap();
    let dashboard: serde_json::Value = serde_json::from_str(&text).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let graphs: Vec<_> = panels.iter().filter(|it| it["type"] != "row").collect();
    assert!(graphs.len() >= 10);
    for panel in graphs {
        let targets = panel["targets"].as_array().unwrap();
        assert!(!targets.is_empty(), "{}", panel["title"]);
        for target in targets {
            let expression = target["expr"].as_str().unwrap();
            assert!(!named(expression).is_empty(), "{expression}");
        }
    }
}

/// The names that the clients of Kafka have, which whoever comes from there looks for.
#[test]
fn what_kafkas_clients_name_is_in_the_page() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/metrics.md");
    let text = fs::read_to_string(path).unwrap();
    for name in [
        "messages_sent",
        "send_errors",
        "batch_size_avg",
        "compression_ratio",
        "messages_received",
        "processing_errors",
        "consumer_lag",
        "processing_time",
        "partition_count",
        "leader_count",
        "replica_count",
    ] {
        let row = text
            .lines()
            .find(|line| line.starts_with(&format!("| {name} |")));
        let row = row.unwrap_or_else(|| panic!("{name} has no row"));
        let stands_for = named(row);
        assert!(!stands_for.is_empty(), "{row}");
        for metric in stands_for {
            let exists = families().iter().any(|family| {
                let suffix = if family.kind == Kind::Counter {
                    "_total"
                } else {
                    ""
                };
                format!("{}{suffix}", family.name()) == metric
            });
            assert!(exists, "{name}: {metric}");
        }
    }
}
