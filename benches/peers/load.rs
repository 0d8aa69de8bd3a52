//! Our client on each of the brokers.

use corelane::bench::kafka::Profile;
use corelane::bench::measure::{Measured, measure};
use corelane::bench::meters::Span;
use corelane::bench::target::Load;
use corelane::control::signals::StopSignal;

use crate::peer::{Peer, Stage};
use crate::report::{Bound, Check, Latencies, Rates, Section, percentile_ratio, rate_ratio};
use crate::{Failure, Scale};

/// The node's place.
const OURS: usize = 0;
/// Kafka's as it is shipped, where it takes part.
const KAFKA: usize = 1;

/// A peer's turn.
fn turn(peer: &Peer, scale: &Scale, load: &Load, signal: &StopSignal) -> Result<Measured, Failure> {
    let profile = match load.rate {
        Some(_) => Profile::Latency,
        None => Profile::Throughput,
    };
    let mut target = peer.open(scale, profile)?;
    let measured = measure(&mut *target, load, scale.warmup, signal)?;
    match &measured.partial {
        None => Ok(measured),
        Some(reason) => Err(format!("{}: {reason}", peer.name).into()),
    }
}

/// Both loads, not counted.
pub fn warm_up(stage: &Stage, scale: &Scale, signal: &StopSignal) -> Result<(), Failure> {
    let span = scale.first_warmup / 2;
    for peer in &stage.peers {
        for rate in [Some(scale.rate), None] {
            turn(peer, scale, &Load { rate, span }, signal)?;
        }
    }
    Ok(())
}

/// Open loops, in turns.
pub fn latency(stage: &Stage, scale: &Scale, signal: &StopSignal) -> Result<Section, Failure> {
    let load = Load {
        rate: Some(scale.rate),
        span: scale.turn,
    };
    let rows = || -> Vec<Latencies> {
        let names = stage.peers.iter().map(|peer| peer.name);
        names.map(Latencies::new).collect()
    };
    let (mut produce, mut end_to_end) = (rows(), rows());
    for round in 0..scale.rounds {
        for at in stage.order(round) {
            let measured = turn(&stage.peers[at], scale, &load, signal)?;
            if !measured.reached.kept_pace {
                let name = stage.peers[at].name;
                return Err(format!("{name}: {} records/s cannot be reached", scale.rate).into());
            }
            produce[at].add(measured.recorded.span(Span::Produce).clone());
            end_to_end[at].add(measured.recorded.span(Span::EndToEnd).clone());
        }
    }
    let mut latencies = Vec::new();
    for (what, rows) in [("produce", &produce), ("end to end", &end_to_end)] {
        latencies.extend(rows.iter().map(|row| {
            let mut row = row.row();
            row.name = format!("{what}: {}", row.name);
            row
        }));
    }
    let mut checks = Vec::new();
    if stage.kafka.is_some() {
        let ratio =
            |rows: &[Latencies], quantile| percentile_ratio(&rows[OURS], &rows[KAFKA], quantile);
        checks = vec![
            Check::told("produce p50 / Kafka's without sync", ratio(&produce, 0.5)),
            Check::new(
                "produce p99 / Kafka's without sync",
                ratio(&produce, 0.99),
                Bound::AtMost(1.0),
            ),
            Check::told(
                "end to end p99 / Kafka's without sync",
                ratio(&end_to_end, 0.99),
            ),
            Check::told(
                "produce p99 / Kafka's with a sync for each batch",
                percentile_ratio(&produce[OURS], &produce[KAFKA + 1], 0.99),
            ),
        ];
    }
    Ok(Section {
        part: "latency",
        settings: format!(
            "open loop, {} records/s, {} B of random bytes, acks=all, one partition, linger 0; {} \
             rounds of {} s",
            scale.rate,
            scale.record_bytes,
            scale.rounds,
            scale.turn.as_secs_f64()
        ),
        latencies,
        rates: Vec::new(),
        checks,
    })
}

/// As fast as the client hands records over, in turns.
pub fn throughput(stage: &Stage, scale: &Scale, signal: &StopSignal) -> Result<Section, Failure> {
    let load = Load {
        rate: None,
        span: scale.turn,
    };
    let names = stage.peers.iter().map(|peer| peer.name);
    let mut rates: Vec<Rates> = names.map(Rates::new).collect();
    for round in 0..scale.rounds {
        for at in stage.order(round) {
            let measured = turn(&stage.peers[at], scale, &load, signal)?;
            let seconds = scale.turn.as_secs_f64();
            let acked = measured.reached.acked_per_s * seconds;
            rates[at].add(acked as usize, seconds);
        }
    }
    let mut checks = Vec::new();
    if stage.kafka.is_some() {
        checks = vec![
            Check::new(
                "records/s by Kafka's without sync",
                rate_ratio(&rates[OURS], &rates[KAFKA]),
                Bound::AtLeast(3.0),
            ),
            Check::told(
                "records/s by Kafka's with a sync for each batch",
                rate_ratio(&rates[OURS], &rates[KAFKA + 1]),
            ),
        ];
    }
    Ok(Section {
        part: "throughput",
        settings: format!(
            "closed loop by librdkafka's queue, {} B of random bytes, acks=all, one partition, read \
             by one consumer meanwhile; {} rounds of {} s",
            scale.record_bytes,
            scale.rounds,
            scale.turn.as_secs_f64()
        ),
        latencies: Vec::new(),
        rates: rates
            .iter()
            .map(|rates| rates.row(scale.record_bytes))
            .collect(),
        checks,
    })
}
