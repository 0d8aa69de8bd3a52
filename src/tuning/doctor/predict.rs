//! From a few seconds of probing to what an engine will reach on this host.
//!
//! Owns: the model, all of it; `docs/doctor.md` explains it. Never does: measuring. Every constant
//! was measured with a bench of this repository and is named after it.

use serde::Serialize;

/// What a durable append takes at p50 over a bare write + fdatasync: 106 and 81 µs
/// (`benches/log_append/main.rs`, latency).
pub const APPEND_P50: f64 = 1.30;

/// The same at p99: 220 and 180 µs.
pub const APPEND_P99: f64 = 1.22;

/// A core that has work looks at what the kernel has finished this often, and takes 10 µs for it
/// (`TURN` in `src/control/executor.rs`).
pub const TURN_NS: f64 = 10_000.0;

/// A hop between two cores at p99 (`benches/mesh_hop.rs`), there and back.
pub const HOPS_NS: f64 = 2.0 * 661.0;

/// Transactions of 100 bytes a second that one core takes from submission to the end of processing,
/// `acks=all`: the highest open-loop rate that held (`corelane bench throughput --target embedded`)
/// where [`REFERENCE_SPEED`] was measured. The log alone appends 9.1 M/s.
pub const RECORDS_PER_CORE: f64 = 0.63e6;

/// [`super::cores::speed`] of the machine that [`RECORDS_PER_CORE`] was measured on.
pub const REFERENCE_SPEED: f64 = 739.0;

/// What a stripe makes of the bandwidth of bare writes: 1.72 and 3.26 GB/s
/// (`benches/log_append/main.rs`, throughput, records of 10 KB).
pub const STRIPE_SHARE: f64 = 0.53;

/// Bytes in the log of a record with 100 bytes of payload.
pub const RECORD_BYTES: f64 = 112.0;

/// A prediction has to be better than the limit by this factor to count as reachable,
pub const MARGIN: f64 = 1.25;

/// What a prediction is made of; the largest part says what to look at first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Term {
    /// Writing and syncing.
    Device,
    /// Something else takes the CPU.
    Jitter,
    /// A sleeping CPU wakes.
    Wake,
    /// The speed of a core.
    Core,
}

/// What was measured. Nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Measures {
    /// A bare write of 4 KiB + fdatasync, median.
    pub sync_p50_ns: f64,
    /// The same, 99 of 100.
    pub sync_p99_ns: f64,
    /// Sequential writes, bytes a second.
    pub bytes_per_s: f64,
    /// What work waits for a CPU that something else has, in 99 of 100 cases; none where it could
    /// not be measured.
    pub wait_p99_ns: Option<f64>,
    /// A parked thread on another CPU wakes, 99 of 100; none where there is one CPU only.
    pub wake_p99_ns: Option<f64>,
    /// Millions of steps a second, see [`super::cores::speed`].
    pub speed: f64,
    /// CPUs that will run cores.
    pub cores: usize,
}

/// Whether this host reaches a figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// With room to spare.
    Reachable,
    /// It is close, or a part of it could not be measured.
    AtRisk,
    /// Not as it is.
    OutOfReach,
}

/// What a limit is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// Nanoseconds; less is better.
    Ns,
    /// Messages a second; more is better.
    PerS,
    /// Bytes a second; more is better.
    BytesPerS,
}

/// A figure and whether this host reaches it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Target {
    /// Stable.
    pub id: &'static str,
    /// In words.
    pub what: &'static str,
    /// What limit and prediction count.
    pub unit: Unit,
    /// What is to be reached.
    pub limit: f64,
    /// What this host gives.
    pub predicted: f64,
    /// Whether that is enough.
    pub verdict: Verdict,
    /// The largest part of the prediction.
    pub term: Term,
    /// How it was found, with the figures that went into it.
    pub from: String,
}

/// A sum of parts, each of one kind.
struct Sum {
    parts: Vec<(Term, f64)>,
    is_complete: bool,
}

impl Sum {
    fn new(device_ns: f64) -> Sum {
        Sum {
            parts: vec![(Term::Device, device_ns)],
            is_complete: true,
        }
    }

    /// Adds a part that may be unknown.
    fn and(mut self, term: Term, part: Option<f64>) -> Sum {
        self.is_complete &= part.is_some();
        self.parts.push((term, part.unwrap_or(0.0)));
        self
    }

    fn total(&self) -> f64 {
        self.parts.iter().map(|(_, part)| part).sum()
    }

    fn largest(&self) -> Term {
        let largest = self.parts.iter().max_by(|(_, a), (_, b)| a.total_cmp(b));
        largest.map_or(Term::Device, |(term, _)| *term)
    }
}

/// What this host will reach, in a fixed order.
pub fn predict(measures: &Measures) -> Vec<Target> {
    let mut targets = latencies(measures);
    targets.extend(rates(measures));
    targets
}

fn latencies(m: &Measures) -> Vec<Target> {
    let us = |ns: f64| ns / 1000.0;
    let (d50, d99) = (us(m.sync_p50_ns), us(m.sync_p99_ns));
    let part = |ns: Option<f64>| ns.map_or("unknown".to_owned(), |ns| format!("{:.1}", us(ns)));
    let (wait, wake) = (part(m.wait_p99_ns), part(m.wake_p99_ns));
    let p50 = Sum::new(APPEND_P50 * m.sync_p50_ns);
    let p99 = Sum::new(APPEND_P99 * m.sync_p99_ns).and(Term::Jitter, m.wait_p99_ns);
    let consume_from = format!("10 (turn) + {wake} (wake p99) + {wait} (wait p99) us");
    let whole_from = format!(
        "2 x {APPEND_P99} x {d99:.0} (write + sync p99) + 11.3 (hops, turn) + {wake} (wake p99) + \
         {wait} (wait p99) us"
    );
    let ms = 1e6;
    vec![
        latency(
            "produce.durable.p50",
            "produce, durable, one in flight, p50",
            ms,
            &p50,
            format!("{APPEND_P50} x {d50:.0} us (write + sync p50)"),
        ),
        latency(
            "produce.durable.p99",
            "produce, durable, one in flight, p99",
            ms,
            &p99,
            format!("{APPEND_P99} x {d99:.0} (write + sync p99) + {wait} (wait p99) us"),
        ),
        latency(
            "consume.p99",
            "consume, visible to handler, p99",
            5.0 * ms,
            &consume(m),
            consume_from.clone(),
        ),
        latency(
            "consume.p99.aim",
            "the same, our aim",
            0.1 * ms,
            &consume(m),
            consume_from,
        ),
        latency(
            "end-to-end.p99",
            "end to end, p99",
            10.0 * ms,
            &whole(m),
            whole_from.clone(),
        ),
        latency(
            "end-to-end.p99.aim",
            "the same at 60 % load, our aim",
            2.0 * ms,
            &whole(m),
            whole_from,
        ),
    ]
}

/// What is durable becomes visible in the owner's next cycle, for which a parked core has to wake.
fn consume(m: &Measures) -> Sum {
    Sum::new(0.0)
        .and(Term::Core, Some(TURN_NS))
        .and(Term::Wake, m.wake_p99_ns)
        .and(Term::Jitter, m.wait_p99_ns)
}

/// A write that is under way, then its own; the hops between cores; then as for [`consume`].
fn whole(m: &Measures) -> Sum {
    Sum::new(2.0 * APPEND_P99 * m.sync_p99_ns)
        .and(Term::Core, Some(TURN_NS + HOPS_NS))
        .and(Term::Wake, m.wake_p99_ns)
        .and(Term::Jitter, m.wait_p99_ns)
}

fn latency(id: &'static str, what: &'static str, limit: f64, sum: &Sum, from: String) -> Target {
    let predicted = sum.total();
    let mut verdict = verdict(predicted, limit);
    if verdict == Verdict::Reachable && !sum.is_complete {
        verdict = Verdict::AtRisk;
    }
    Target {
        id,
        what,
        unit: Unit::Ns,
        limit,
        predicted,
        verdict,
        term: sum.largest(),
        from,
    }
}

/// `found` and `limit` of something of which less is better.
fn verdict(found: f64, limit: f64) -> Verdict {
    if found * MARGIN <= limit {
        Verdict::Reachable
    } else if found <= limit * MARGIN {
        Verdict::AtRisk
    } else {
        Verdict::OutOfReach
    }
}

fn rates(m: &Measures) -> Vec<Target> {
    let per_core = RECORDS_PER_CORE * m.speed / REFERENCE_SPEED;
    let disk = STRIPE_SHARE * m.bytes_per_s;
    let by_disk = disk / RECORD_BYTES;
    let rate = |id, what, limit: f64, cores: usize| {
        let by_cores = per_core * cores as f64;
        let predicted = by_cores.min(by_disk);
        let hosts = (limit / predicted).ceil();
        let more = if hosts > 1.0 && hosts.is_finite() {
            format!("; {hosts:.0} hosts like this one")
        } else {
            String::new()
        };
        let term = if by_cores < by_disk {
            Term::Core
        } else {
            Term::Device
        };
        let from = format!(
            "the less of {cores} x {:.1} M/s (a core) and {:.1} M/s (the disk){more}",
            per_core / 1e6,
            by_disk / 1e6
        );
        more_is_better(id, what, Unit::PerS, limit, predicted, term, from)
    };
    vec![
        rate("rate.partition", "one partition, 100 bytes", 1e6, 1),
        rate("rate.partition.aim", "the same, our aim", 5e6, 1),
        rate(
            "rate.partitions",
            "many partitions, 100 bytes",
            10e6,
            m.cores,
        ),
        rate("rate.topics", "many topics, 100 bytes", 100e6, m.cores),
        more_is_better(
            "disk",
            "disk bandwidth, durable",
            Unit::BytesPerS,
            1e9,
            disk,
            Term::Device,
            format!(
                "{STRIPE_SHARE} x {:.2} GB/s (1 MiB, 8 in flight)",
                m.bytes_per_s / 1e9
            ),
        ),
    ]
}

fn more_is_better(
    id: &'static str,
    what: &'static str,
    unit: Unit,
    limit: f64,
    predicted: f64,
    term: Term,
    from: String,
) -> Target {
    Target {
        id,
        what,
        unit,
        limit,
        predicted,
        // The same rule, with the two in each other's place.
        verdict: verdict(limit, predicted),
        term,
        from,
    }
}

#[cfg(test)]
mod tests;
