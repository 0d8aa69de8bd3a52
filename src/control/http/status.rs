//! The page `/v1/status`: the node's figures for programs. Its keys are an interface.
//!
//! Owns: the shape of the page. Never does: asking a core.

use std::collections::BTreeMap;

use serde::Serialize;

use super::board::{Board, CoreView, Holder};
use super::figures::{free_bytes, of_node, seconds};
use super::ready::{Reason, reasons};
use crate::engine::status::Phase;
use crate::telemetry::{Counter, CounterSnapshot, Gauge, Scope, Stage, StageHistograms, Summary};

/// The whole page.
#[derive(Debug, Serialize)]
pub(super) struct Status {
    version: &'static str,
    uptime_seconds: f64,
    ready: bool,
    reasons: Vec<Reason>,
    storage: StorageStatus,
    addresses: AddressStatus,
    /// The node's gauges, by their names in the catalogue.
    gauges: BTreeMap<&'static str, f64>,
    cores: Vec<CoreStatusPage>,
    /// Of all cores, summed.
    counters: BTreeMap<&'static str, u64>,
    /// Of all cores, merged, in microseconds.
    latencies: BTreeMap<&'static str, Summary>,
}

#[derive(Debug, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum StorageStatus {
    Embedded {
        directory: String,
        free_bytes: Option<u64>,
    },
    Clusters {
        names: Vec<String>,
    },
}

#[derive(Debug, Default, Serialize)]
struct AddressStatus {
    gateway: Vec<String>,
    unix: Vec<String>,
    kafka: Vec<String>,
}

#[derive(Debug, Serialize)]
struct CoreStatusPage {
    core: u16,
    phase: &'static str,
    failure: Option<String>,
    busy_seconds: f64,
    in_flight: u64,
    backlog: u64,
    gateway_connections: u64,
    kafka_connections: u64,
    stripes_without_space: u64,
    clusters_unreachable: u64,
    cycle_max_seconds: f64,
    counters: BTreeMap<&'static str, u64>,
}

/// The page now.
pub(super) fn status(board: &Board) -> Status {
    let reasons = reasons(board);
    let cores = board.cores();
    let mut sum = CounterSnapshot::default();
    let mut latencies = StageHistograms::new();
    for core in cores {
        sum += &core.counters.snapshot();
        latencies.merge(&core.stages.snapshot());
    }
    let gauges = Gauge::ALL
        .into_iter()
        .filter(|gauge| gauge.scope() == Scope::Node)
        .filter_map(|gauge| Some((gauge.name(), of_node(gauge, board)?)));
    Status {
        version: env!("CARGO_PKG_VERSION"),
        uptime_seconds: board.uptime().as_secs_f64(),
        ready: reasons.is_empty(),
        reasons,
        storage: storage(board),
        addresses: addresses(board),
        gauges: gauges.collect(),
        cores: (0..)
            .zip(cores)
            .map(|(core, view)| page_of(core, view))
            .collect(),
        counters: by_name(&sum),
        latencies: Stage::ALL
            .into_iter()
            .map(|stage| (stage.name(), latencies.summary(stage)))
            .collect(),
    }
}

fn page_of(core: u16, view: &CoreView) -> CoreStatusPage {
    let load = view.status.load();
    let counters = view.counters.snapshot();
    CoreStatusPage {
        core,
        phase: match view.status.phase() {
            Phase::Starting => "starting",
            Phase::Running => "running",
            Phase::Draining => "draining",
            Phase::Stopped => "stopped",
        },
        failure: view.status.failure(),
        busy_seconds: seconds(counters.get(Counter::BusyNs)),
        in_flight: load.in_flight,
        backlog: load.backlog,
        gateway_connections: load.gateway_connections,
        kafka_connections: load.kafka_connections,
        stripes_without_space: load.stripes_without_space,
        clusters_unreachable: load.clusters_unreachable,
        cycle_max_seconds: seconds(load.cycle_ns_max),
        counters: by_name(&counters),
    }
}

fn by_name(counters: &CounterSnapshot) -> BTreeMap<&'static str, u64> {
    let each = Counter::ALL.into_iter();
    each.map(|it| (it.name(), counters.get(it))).collect()
}

fn storage(board: &Board) -> StorageStatus {
    match &board.holder {
        Holder::Embedded(directory) => StorageStatus::Embedded {
            directory: directory.display().to_string(),
            free_bytes: free_bytes(board),
        },
        Holder::Clusters(names) => StorageStatus::Clusters {
            names: names.clone(),
        },
    }
}

fn addresses(board: &Board) -> AddressStatus {
    let Some(found) = board.addresses() else {
        return AddressStatus::default();
    };
    AddressStatus {
        gateway: found.gateway.iter().map(ToString::to_string).collect(),
        unix: found
            .unix
            .iter()
            .map(|path| path.display().to_string())
            .collect(),
        kafka: found.kafka.iter().map(ToString::to_string).collect(),
    }
}
