//! Figures over the floor that was measured in the same run.
//!
//! Owns: which figure is divided by which, and the names of the ratios.

use std::collections::BTreeMap;

use super::floor::{Floor, Timing};
use super::meters::Span;
use super::report::model::{Latencies, Reached};
use super::target::TargetKind;

/// Divides what a run reached by what the host can do without us: latencies by those of the device
/// and, where clients are connected, of loopback; bytes a second by the device's.
pub fn to_floor(
    latency: &BTreeMap<String, Latencies>,
    reached: &Reached,
    kind: TargetKind,
    floor: &Floor,
) -> BTreeMap<String, f64> {
    let mut ratios = BTreeMap::new();
    let mut put = |name: String, figure: Option<f64>, floor: f64| {
        if let Some(figure) = figure.filter(|_| floor > 0.0) {
            ratios.insert(name, figure / floor);
        }
    };
    let mut floors = vec![("write_sync", floor.write_sync), ("dsync", floor.dsync)];
    match kind {
        TargetKind::Embedded => {}
        TargetKind::Listener | TargetKind::Cluster => floors.push(("loopback", floor.loopback)),
    }
    for span in [Span::Produce, Span::EndToEnd] {
        for (floor_name, timing) in &floors {
            for (quantile, floor) in quantiles(timing) {
                let name = format!("{}_{quantile}_per_{floor_name}_{quantile}", span.name());
                let figure = latency.get(span.name()).and_then(|of| of.get(quantile));
                put(name, figure, floor);
            }
        }
    }
    let bytes = Some(reached.bytes_per_s);
    put(
        "bytes_per_write_bytes".to_owned(),
        bytes,
        floor.write_bytes_per_s,
    );
    ratios
}

fn quantiles(timing: &Timing) -> [(&'static str, f64); 2] {
    [("p50", timing.p50_us), ("p99", timing.p99_us)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_percentile_is_divided_by_the_same_one_of_the_floor() {
        let timing = Timing {
            p50_us: 100.0,
            p99_us: 400.0,
            ..Timing::default()
        };
        let floor = Floor {
            write_sync: timing,
            loopback: timing,
            ..Floor::default()
        };
        let produce = Latencies {
            p50_us: Some(150.0),
            ..Latencies::default()
        };
        let latency = BTreeMap::from([("produce".to_owned(), produce)]);
        let reached = Reached::default();
        let ratios = to_floor(&latency, &reached, TargetKind::Embedded, &floor);
        // Too few samples for a p99, no figure of dsync, and nobody is connected.
        assert_eq!(
            ratios,
            BTreeMap::from([("produce_p50_per_write_sync_p50".to_owned(), 1.5)])
        );
        let ratios = to_floor(&latency, &reached, TargetKind::Listener, &floor);
        assert_eq!(ratios["produce_p50_per_loopback_p50"], 1.5);
    }
}
