//! Spans as log lines, and as spans of the crate `tracing` for a host program's own subscriber.
//!
//! The spans are opened when all is over, so a subscriber that measures them itself measures nothing: the
//! fields have the figures.

use tracing::field::Empty;

use super::span::{STAGES, Span};
use crate::telemetry::Leg;

/// The target of what is told here.
const TARGET: &str = "corelane::trace";

/// The `tracing` span of a leg. A name needs a place in the program of its own.
macro_rules! leg_span {
    ($name:literal, $leg:expr, $about:expr) => {
        tracing::info_span!(
            target: TARGET,
            $name,
            trace_id = format!("{:032x}", $leg.trace_id),
            span_id = format!("{:016x}", $leg.id),
            parent_id = Empty,
            shard = $about.shard.0,
            partition = $about.partition.0,
            offset = $about.offset.0,
            core = $about.core.0,
            acks = $about.acks.map(|acks| acks.to_string()),
            duration_us = $leg.micros()
        )
    };
}

/// Tells a leg and its stages, which are behind it.
pub(super) fn write(spans: &[Span]) {
    if !tracing::enabled!(target: TARGET, tracing::Level::INFO) {
        return;
    }
    let Some((leg, stages)) = spans.split_first() else {
        return;
    };
    let Some(about) = leg.about else {
        return;
    };
    let span = match about.leg {
        Leg::Send => leg_span!("send_transaction", leg, about),
        Leg::Process => leg_span!("process_transaction", leg, about),
        Leg::Slow => leg_span!("slow_transaction", leg, about),
    };
    if leg.parent != 0 {
        span.record("parent_id", format!("{:016x}", leg.parent));
    }
    let _leg = span.enter();
    for stage in stages {
        let start_us = stage.start.since(leg.start) / 1000;
        let duration_us = stage.micros();
        let span = tracing::info_span!(
            target: TARGET,
            "stage",
            stage = stage.name,
            start_us,
            duration_us
        );
        drop(span.enter());
    }
    let took = |name: &str| {
        let stage = stages.iter().find(|stage| stage.name == name);
        stage.map(Span::micros)
    };
    let [intake, hop, queue, group, sync, tail_read, process] = STAGES.map(took);
    tracing::info!(
        target: TARGET,
        intake_us = intake,
        hop_us = hop,
        queue_us = queue,
        group_us = group,
        sync_us = sync,
        tail_read_us = tail_read,
        process_us = process,
        "traced"
    );
}
