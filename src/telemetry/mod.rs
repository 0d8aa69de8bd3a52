//! What the engine counts and times.
//!
//! Owns: the catalogue of every metric, per-core counters, figures per shard, latency histograms per
//! stage and their table for other tools, the slowest transactions, where transactions come from,
//! contexts of traces, the tracker of stalls. Never does: read a clock, export (the control plane reads
//! and merges).
//! Runs on: each core writes its own; any thread reads them.

mod catalogue;
mod counters;
mod families;
mod flight;
mod flows;
pub mod hgrm;
mod histograms;
mod latencies;
mod shards;
mod stall;
mod trace;

pub use catalogue::{Counter, Gauge, NodeCounter, Owner, Scope, ShardCounter, Stage, Total, Unit};
pub use counters::{CounterReader, CounterSnapshot, CounterWriter, counters};
pub use families::{Family, Kind, PREFIX, families, page};
pub use flight::{Flight, KEPT_PER_MINUTE, MINUTES, Recorder, Stamps};
pub use flows::{CELL_DEGREES, Cell, Flow, FlowReader, FlowWriter, flows};
pub use histograms::{LATENCY_NS_MAX, StageHistograms, Summary, empty_histogram};
pub use latencies::{
    BUCKET_NS, Buckets, LatencyReader, LatencyWriter, StageReader, StageWriter, latencies, stages,
};
pub use shards::{CoarseLatencies, ShardReader, ShardWriter, shard_figures};
pub use stall::{Cycle, StallReport, StallTracker};
pub use trace::{
    IdSource, Leg, Sampler, TRACE_CONTEXT_BYTES, TRACE_HEADER, TRACEPARENT_BYTES, TraceContext,
    Traced, Traceparent, TraceparentError,
};
