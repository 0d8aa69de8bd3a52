//! What is shown of a node: sections of rows, the same on the screen and in print.
//!
//! Owns: which figures stand where, and in which unit. Never does: drawing.

use std::fmt::Write as _;
use std::net::SocketAddr;

use super::flights;
use super::model::{Core, Percentiles, Status};
use crate::cli::report::new_table;
use crate::telemetry::Stage;

/// What stands where a figure is not known.
pub(super) const UNKNOWN: &str = "-";

/// Title of the section with a row for each core.
pub(super) const CORES: &str = "cores";

/// Spans that users feel; the other stages are parts of them.
const SPANS: [Stage; 3] = [Stage::Produce, Stage::Consume, Stage::EndToEnd];

const STAGE_HEAD: &[&str] = &["stage", "count", "p50", "p99", "p99.9", "longest"];

/// A table with a title.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Section {
    pub title: String,
    pub head: &'static [&'static str],
    pub rows: Vec<Vec<String>>,
}

/// The node in a line.
pub(super) fn headline(address: SocketAddr, status: &Status) -> String {
    let uptime = match status.uptime_seconds {
        Some(seconds) => format!(", up {}", clock(seconds)),
        None => String::new(),
    };
    let ready = match status.ready {
        Some(true) => ", ready",
        Some(false) => ", NOT READY",
        None => "",
    };
    let version = &status.version;
    format!("corelane {version} at {address}{uptime}{ready}")
}

/// Why it is not ready, a line for each reason.
pub(super) fn reasons(status: &Status) -> Vec<String> {
    let each = status.reasons.iter();
    each.map(|reason| format!("{}: {}", reason.kind, reason.detail))
        .collect()
}

/// Everything, in the order in which it is shown.
pub(super) fn sections(status: &Status) -> Vec<Section> {
    let mut sections = vec![latency(status), cores(status), shards(status)];
    sections.extend(flights::section(status.slow.as_ref()));
    sections.extend([stages(status), mesh(status), disk(status)]);
    sections
}

/// The page for a pipe or a file.
pub(super) fn plain(address: SocketAddr, status: &Status) -> String {
    let mut page = headline(address, status);
    for reason in reasons(status) {
        let _ = write!(page, "\n{reason}");
    }
    for section in sections(status) {
        let mut table = new_table(section.head, 1);
        for row in section.rows {
            table.add_row(row);
        }
        let _ = write!(page, "\n{}\n{table}", section.title);
    }
    page
}

/// What clients see of the node's speed.
fn latency(status: &Status) -> Section {
    let recent = &status.recent;
    let rate = |counter: &str| rate(recent.rates.get(counter).copied());
    let title = format!(
        "latency, last {} s; taken in {}, durable {}, processed {}, failed {}",
        recent.latencies_seconds.unwrap_or_default().round(),
        rate("submitted"),
        rate("acked_all"),
        rate("processed"),
        rate("failed"),
    );
    Section {
        title,
        head: STAGE_HEAD,
        rows: SPANS.map(|span| stage(span, status)).into(),
    }
}

/// Where a transaction's time goes.
fn stages(status: &Status) -> Section {
    let stages = Stage::ALL.into_iter().filter(|it| !SPANS.contains(it));
    Section {
        title: "stages, as above".to_owned(),
        head: STAGE_HEAD,
        rows: stages.map(|it| stage(it, status)).collect(),
    }
}

fn stage(stage: Stage, status: &Status) -> Vec<String> {
    let found = status.recent.latencies.get(stage.name());
    // Where nothing was recorded, 0 µs would be taken for a latency.
    let recorded = found.filter(|it| it.count > 0);
    let time = |of: fn(&Percentiles) -> Option<f64>| micros(recorded.and_then(of));
    vec![
        stage.name().replace('_', " "),
        count(found.map(|it| it.count)),
        time(|it| it.p50_us),
        time(|it| it.p99_us),
        time(|it| it.p999_us),
        time(|it| it.max_us),
    ]
}

fn cores(status: &Status) -> Section {
    let row = |core: &Core| {
        vec![
            core.core.to_string(),
            core.phase.clone(),
            core.busy_share
                .map_or(UNKNOWN.to_owned(), |it| format!("{:.0} %", it * 100.0)),
            count(core.in_flight),
            count(core.backlog),
            rate(core.rates.get("submitted").copied()),
            rate(core.rates.get("processed").copied()),
            count(core.counters.get("stalls").copied()),
            micros(core.cycle_max_seconds.map(|seconds| seconds * 1e6)),
        ]
    };
    Section {
        title: CORES.to_owned(),
        head: &[
            "core",
            "phase",
            "busy",
            "in flight",
            "lag",
            "taken in",
            "processed",
            "stalls",
            "longest cycle",
        ],
        rows: status.cores.iter().map(row).collect(),
    }
}

fn shards(status: &Status) -> Section {
    let rows = status.shards.iter().map(|shard| {
        vec![
            shard.shard.clone(),
            rate(shard.processed_per_second),
            count(shard.lag),
            micros(shard.p50_us),
            micros(shard.p99_us),
            micros(shard.p999_us),
            count(shard.processed),
            count(shard.duplicates),
            count(shard.dead_lettered),
        ]
    });
    Section {
        title: "shards".to_owned(),
        head: &[
            "shard",
            "rate",
            "lag",
            "p50",
            "p99",
            "p99.9",
            "processed",
            "duplicates",
            "dead letters",
        ],
        rows: rows.collect(),
    }
}

fn mesh(status: &Status) -> Section {
    let rows = status.cores.iter().map(|core| {
        vec![
            core.core.to_string(),
            count(core.mesh_depth),
            count(core.mesh_depth_high_water),
            rate(core.rates.get("mesh_sent").copied()),
            rate(core.rates.get("mesh_received").copied()),
            count(core.counters.get("mesh_full").copied()),
        ]
    });
    Section {
        title: "mesh".to_owned(),
        head: &[
            "core",
            "waiting",
            "high water",
            "sent",
            "received",
            "times full",
        ],
        rows: rows.collect(),
    }
}

fn disk(status: &Status) -> Section {
    let storage = &status.storage;
    let recent = &status.recent;
    let place = match &storage.directory {
        Some(directory) => directory.clone(),
        None => storage.names.join(", "),
    };
    let sync = recent.latencies.get("sync").filter(|it| it.count > 0);
    let row = vec![
        place,
        bytes(storage.free_bytes.map(|free| free as f64)),
        match recent.rates.get("frame_bytes") {
            Some(written) => format!("{}/s", bytes(Some(*written))),
            None => UNKNOWN.to_owned(),
        },
        rate(recent.rates.get("frames").copied()),
        micros(sync.and_then(|it| it.p50_us)),
        micros(sync.and_then(|it| it.p99_us)),
    ];
    Section {
        title: "disk".to_owned(),
        head: &["place", "free", "written", "writes", "sync p50", "sync p99"],
        rows: vec![row],
    }
}

pub(super) fn count(value: Option<u64>) -> String {
    value.map_or(UNKNOWN.to_owned(), |value| value.to_string())
}

/// Something by second, to three digits.
fn rate(value: Option<f64>) -> String {
    let Some(value) = value else {
        return UNKNOWN.to_owned();
    };
    format!("{}/s", scaled(value, &["", " k", " M", " G"], 1000.0))
}

fn bytes(value: Option<f64>) -> String {
    let Some(value) = value else {
        return UNKNOWN.to_owned();
    };
    scaled(value, &[" B", " kB", " MB", " GB", " TB", " PB"], 1000.0)
}

pub(super) fn micros(value: Option<f64>) -> String {
    let Some(value) = value else {
        return UNKNOWN.to_owned();
    };
    scaled(value, &[" µs", " ms", " s"], 1000.0)
}

/// To three digits, in the first unit in which it is below the next one.
fn scaled(mut value: f64, units: &[&str], step: f64) -> String {
    let mut unit = 0;
    // What would be rounded up to the step belongs to the next unit.
    while value >= step - 0.5 && unit + 1 < units.len() {
        value /= step;
        unit += 1;
    }
    let digits = match value {
        value if value >= 99.95 => 0,
        value if value >= 9.995 => 1,
        _ if value == 0.0 || (unit == 0 && value.fract() == 0.0) => 0,
        _ => 2,
    };
    format!("{value:.digits$}{}", units[unit])
}

/// Seconds as days, hours, minutes and seconds.
fn clock(seconds: f64) -> String {
    let seconds = seconds.max(0.0) as u64;
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let time = format!("{:02}:{:02}:{:02}", rest / 3600, rest / 60 % 60, rest % 60);
    match days {
        0 => time,
        days => format!("{days} d {time}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_three_digits_and_a_unit() {
        for (value, text) in [
            (0.0, "0 µs"),
            (7.0, "7 µs"),
            (7.25, "7.25 µs"),
            (99.96, "100 µs"),
            (999.6, "1.00 ms"),
            (12_345.0, "12.3 ms"),
            (60_000_000.0, "60.0 s"),
            (1e12, "1000000 s"),
        ] {
            assert_eq!(micros(Some(value)), text);
        }
        assert_eq!(micros(None), "-");
        assert_eq!(rate(Some(1_234_567.0)), "1.23 M/s");
        assert_eq!(bytes(Some(2e9)), "2.00 GB");
        assert_eq!(clock(3_661.9), "01:01:01");
        assert_eq!(clock(90_000.0), "1 d 01:00:00");
    }

    #[test]
    fn a_node_that_tells_little_is_shown_without_invented_figures() {
        let text = r#"{"version":"9","cores":[{"core":0}],"slow":{"slowest":[{"shard":"x"}]}}"#;
        let status = Status::read(text).unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], 1));
        assert_eq!(headline(address, &status), "corelane 9 at 127.0.0.1:1");
        for section in sections(&status) {
            for row in section.rows {
                assert_eq!(row.len(), section.head.len(), "{}", section.title);
                let mut figures = row.iter().skip(2).flat_map(|it| it.chars());
                assert!(!figures.any(|it| it.is_ascii_digit()), "{row:?}");
            }
        }
    }
}
