//! The gauges of a node, read when somebody looks.
//!
//! Owns: where each gauge's value comes from. Never does: asking a core.

use super::board::{Board, CoreView, Holder};
use super::ready::reasons;
use crate::control::logging;
use crate::engine::status::Phase;
use crate::telemetry::{Counter, Gauge, NodeCounter};

/// A core's gauge; none for one that owners, shards or the node have.
pub(super) fn of_core(gauge: Gauge, core: &CoreView) -> Option<f64> {
    let load = core.status.load();
    let value = match gauge {
        Gauge::CoreRunning => u64::from(core.status.phase() == Phase::Running),
        Gauge::InFlight => load.in_flight,
        Gauge::ConsumerLag => load.backlog,
        Gauge::GatewayConnections => load.gateway_connections,
        Gauge::KafkaConnections => load.kafka_connections,
        Gauge::StripesWithoutSpace => load.stripes_without_space,
        Gauge::ClustersUnreachable => load.clusters_unreachable,
        Gauge::CycleMax => return Some(seconds(load.cycle_ns_max)),
        Gauge::MeshDepth => load.mesh_depth,
        Gauge::MeshDepthMax => load.mesh_depth_max,
        Gauge::Memory
        | Gauge::ShardLag
        | Gauge::Ready
        | Gauge::Cores
        | Gauge::Uptime
        | Gauge::ResidentBytes
        | Gauge::FreeBytes
        | Gauge::Topics
        | Gauge::Partitions
        | Gauge::Leaders
        | Gauge::Replicas
        | Gauge::BatchSizeAvg
        | Gauge::CompressionRatio => return None,
    };
    Some(value as f64)
}

/// The node's gauge; none for one that cores, owners or shards have, and for what cannot be told.
pub(super) fn of_node(gauge: Gauge, board: &Board) -> Option<f64> {
    let running = board.running();
    match gauge {
        Gauge::Ready => Some(if reasons(board).is_empty() { 1.0 } else { 0.0 }),
        Gauge::Cores => Some(board.cores().len() as f64),
        Gauge::Uptime => Some(board.uptime().as_secs_f64()),
        Gauge::ResidentBytes => resident_bytes().map(|bytes| bytes as f64),
        Gauge::FreeBytes => free_bytes(board).map(|bytes| bytes as f64),
        Gauge::Topics => running.map(|it| it.topics.topics() as f64),
        Gauge::Partitions => running.map(|it| it.topics.partitions() as f64),
        Gauge::Leaders | Gauge::Replicas => match board.holder {
            // One copy of each partition, and it is here.
            Holder::Embedded(_) => running.map(|it| it.topics.partitions() as f64),
            Holder::Clusters(_) => None,
        },
        Gauge::BatchSizeAvg => match board.holder {
            Holder::Embedded(_) => batch_size_avg(board),
            Holder::Clusters(_) => None,
        },
        Gauge::CompressionRatio => match board.holder {
            Holder::Embedded(_) => Some(1.0),
            Holder::Clusters(_) => None,
        },
        Gauge::CoreRunning
        | Gauge::InFlight
        | Gauge::ConsumerLag
        | Gauge::GatewayConnections
        | Gauge::KafkaConnections
        | Gauge::StripesWithoutSpace
        | Gauge::ClustersUnreachable
        | Gauge::CycleMax
        | Gauge::MeshDepth
        | Gauge::MeshDepthMax
        | Gauge::Memory
        | Gauge::ShardLag => None,
    }
}

/// What is counted for the whole node, off its cores.
pub(super) fn node_count(counter: NodeCounter, board: &Board) -> u64 {
    match counter {
        NodeCounter::LogLinesDropped => logging::dropped_lines(),
        NodeCounter::SpansSent => board.spans.sent(),
        NodeCounter::SpansDropped => board.spans.dropped(),
    }
}

/// A shard's gauge; none for one that cores, owners or the node have.
pub(super) fn of_shard(gauge: Gauge, board: &Board, shard: usize) -> Option<f64> {
    match gauge {
        Gauge::ShardLag => Some(board.lag_of_shard(shard) as f64),
        Gauge::CoreRunning
        | Gauge::InFlight
        | Gauge::ConsumerLag
        | Gauge::GatewayConnections
        | Gauge::KafkaConnections
        | Gauge::StripesWithoutSpace
        | Gauge::ClustersUnreachable
        | Gauge::CycleMax
        | Gauge::MeshDepth
        | Gauge::MeshDepthMax
        | Gauge::Memory
        | Gauge::Ready
        | Gauge::Cores
        | Gauge::Uptime
        | Gauge::ResidentBytes
        | Gauge::FreeBytes
        | Gauge::Topics
        | Gauge::Partitions
        | Gauge::Leaders
        | Gauge::Replicas
        | Gauge::BatchSizeAvg
        | Gauge::CompressionRatio => None,
    }
}

/// Nanoseconds in Prometheus' base unit.
pub(super) fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}

/// Space left for this user on the device of the data directory.
pub(super) fn free_bytes(board: &Board) -> Option<u64> {
    match &board.holder {
        Holder::Embedded(directory) => {
            let found = rustix::fs::statvfs(directory).ok()?;
            Some(found.f_bavail.saturating_mul(found.f_frsize))
        }
        Holder::Clusters(_) => None,
    }
}

fn batch_size_avg(board: &Board) -> Option<f64> {
    let sum = |counter| -> u64 { board.cores().iter().map(|c| c.counters.get(counter)).sum() };
    match sum(Counter::Batches) {
        0 => None,
        batches => Some(sum(Counter::BatchBytes) as f64 / batches as f64),
    }
}

fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kilobytes * 1024)
}
