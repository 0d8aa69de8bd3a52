//! The page `/v1/status`: the node's figures for programs. Its keys are an interface.
//!
//! Owns: the shape of the page. Never does: asking a core.

use std::collections::BTreeMap;

use serde::Serialize;

use super::board::{Board, CoreView, Holder};
use super::figures::{free_bytes, of_node, seconds};
use super::ready::{Reason, reasons};
use super::samples::{Recent, Samples};
use crate::engine::status::Phase;
use crate::telemetry::{
    CoarseLatencies, Counter, CounterSnapshot, Gauge, Owner, Scope, ShardCounter, Stage,
    StageHistograms, Summary,
};

/// Flows that are told of: the largest ones.
const FLOWS_MAX: usize = 100;

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
    /// In the order of their ids.
    shards: Vec<ShardStatus>,
    /// From where transactions come in the last seconds, the largest first.
    flows: Vec<FlowStatus>,
    /// What happened a moment ago.
    recent: RecentStatus,
}

/// A shard, over all cores.
#[derive(Debug, Serialize)]
struct ShardStatus {
    shard: String,
    /// Degrees north.
    latitude: f64,
    /// Degrees east.
    longitude: f64,
    processed: u64,
    dead_lettered: u64,
    duplicates: u64,
    processed_duplicates: u64,
    lag: u64,
    /// Processed in the last second; null in the first one.
    processed_per_second: Option<f64>,
    /// From intake to the end of processing, of the last seconds; null where nothing was processed.
    /// All of a batch count as its oldest, and figures are rounded up by an eighth at the most.
    p50_us: Option<f64>,
    p99_us: Option<f64>,
    p999_us: Option<f64>,
}

/// Transactions from a part of the Earth to the shard that is nearest to it.
#[derive(Debug, Serialize)]
struct FlowStatus {
    /// Degrees north of the middle of the cell of ten degrees in which the clients are.
    latitude: f64,
    /// Degrees east, likewise.
    longitude: f64,
    shard: String,
    /// Taken in by second, over as long as percentiles reach back; an estimate from one of 13.
    per_second: f64,
}

/// Rates of the last second, percentiles of the last ten.
#[derive(Debug, Serialize)]
struct RecentStatus {
    /// How long the rates' second was; null in the first one, where there are no rates.
    rates_seconds: Option<f64>,
    /// Each counter of the cores, summed, by second.
    rates: BTreeMap<&'static str, f64>,
    /// How far the percentiles reach back.
    latencies_seconds: f64,
    /// As `latencies`.
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
    mesh_depth: u64,
    mesh_depth_high_water: u64,
    /// Bytes by owner.
    memory: BTreeMap<&'static str, u64>,
    /// Of the last second, the share in which the core was busy: 0 to 1; null in the first one.
    busy_share: Option<f64>,
    /// Each counter by second, in the last one.
    rates: BTreeMap<&'static str, f64>,
    counters: BTreeMap<&'static str, u64>,
}

/// The page now.
pub(super) fn status(board: &Board, samples: &Samples) -> Status {
    let recent = samples.recent(board);
    let reasons = reasons(board);
    let cores = board.cores();
    let mut sum = CounterSnapshot::default();
    for core in cores {
        sum += &core.counters.snapshot();
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
            .map(|(core, view)| page_of(core, view, &recent))
            .collect(),
        counters: by_name(&sum),
        latencies: summaries(&recent.all),
        shards: (0..board.shards().len())
            .map(|shard| shard_of(shard, board, &recent))
            .collect(),
        flows: flows(board, &recent),
        recent: recent_of(&recent),
    }
}

fn flows(board: &Board, recent: &Recent) -> Vec<FlowStatus> {
    let seconds = recent.reach.as_secs_f64().max(f64::MIN_POSITIVE);
    let mut flows: Vec<_> = recent.latencies.flows.iter().collect();
    flows.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    let named = flows.into_iter().filter_map(|((cell, shard), count)| {
        let (latitude, longitude) = cell.middle();
        Some(FlowStatus {
            latitude,
            longitude,
            shard: board.shards().get(*shard)?.name.clone(),
            per_second: *count as f64 / seconds,
        })
    });
    named.take(FLOWS_MAX).collect()
}

fn shard_of(shard: usize, board: &Board, recent: &Recent) -> ShardStatus {
    let count = |counter| board.of_shard(shard, counter);
    let latencies = recent.latencies.shards.get(shard);
    let percentile = |quantile| {
        let at = |it: &CoarseLatencies| it.at_quantile(quantile);
        latencies.and_then(at).map(|ns| ns as f64 / 1000.0)
    };
    let rate = recent.counts.as_ref().map(|span| {
        let processed = span.of_shard(shard, ShardCounter::Processed);
        processed as f64 / span.seconds()
    });
    let view = &board.shards()[shard];
    ShardStatus {
        shard: view.name.clone(),
        latitude: view.latitude,
        longitude: view.longitude,
        processed: count(ShardCounter::Processed),
        dead_lettered: count(ShardCounter::DeadLettered),
        duplicates: count(ShardCounter::Duplicates),
        processed_duplicates: count(ShardCounter::ProcessedDuplicates),
        lag: board.lag_of_shard(shard),
        processed_per_second: rate,
        p50_us: percentile(0.5),
        p99_us: percentile(0.99),
        p999_us: percentile(0.999),
    }
}

fn recent_of(recent: &Recent) -> RecentStatus {
    let mut sum = CounterSnapshot::default();
    for core in recent.counts.iter().flat_map(|span| span.cores()) {
        sum += &core;
    }
    let seconds = recent.counts.as_ref().map(|span| span.seconds());
    RecentStatus {
        rates_seconds: seconds,
        rates: rates(&sum, seconds),
        latencies_seconds: recent.reach.as_secs_f64(),
        latencies: summaries(&recent.latencies.stages),
    }
}

fn summaries(latencies: &StageHistograms) -> BTreeMap<&'static str, Summary> {
    let stages = Stage::ALL.into_iter();
    let each = stages.map(|stage| (stage.name(), latencies.summary(stage)));
    each.collect()
}

/// Each counter by second; empty where it is not known how long it took.
fn rates(counts: &CounterSnapshot, seconds: Option<f64>) -> BTreeMap<&'static str, f64> {
    let Some(seconds) = seconds else {
        return BTreeMap::new();
    };
    let each = Counter::ALL.into_iter();
    each.map(|it| (it.name(), counts.get(it) as f64 / seconds))
        .collect()
}

fn page_of(core: u16, view: &CoreView, recent: &Recent) -> CoreStatusPage {
    let span = recent.counts.as_ref();
    let counted = span.and_then(|span| span.cores().get(usize::from(core)).copied());
    let length = span.map(|span| span.seconds());
    let busy = counted.zip(length).map(|(counted, length)| {
        // A cycle counts when it ends, which may be a moment after the second in which it began.
        (seconds(counted.get(Counter::BusyNs)) / length).min(1.0)
    });
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
        mesh_depth: load.mesh_depth,
        mesh_depth_high_water: load.mesh_depth_max,
        memory: memory(view),
        busy_share: busy,
        rates: counted.map_or_else(BTreeMap::new, |it| rates(&it, length)),
        counters: by_name(&counters),
    }
}

fn memory(core: &CoreView) -> BTreeMap<&'static str, u64> {
    let each = Owner::ALL.into_iter();
    each.map(|owner| (owner.name(), core.status.memory(owner)))
        .collect()
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
