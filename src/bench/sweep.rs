//! `bench sweep`: partitions, cores, sizes and acks, each varied alone around a base.
//!
//! Owns: which points there are, and what is measured at each. Runs on: the thread that asks.

use std::num::NonZeroU64;
use std::time::Duration;

use super::embedded::half_of_the_cpus;
use super::error::BenchError;
use super::kafka::Profile;
use super::latency::most;
use super::report::model::Kind;
use super::target::{Load, TargetOptions};
use super::traffic::Values;
use super::trial::{Context, Options, Outcome, Trial};
use crate::ids::Acks;

/// Latencies are measured at this share of what a point takes at the most.
const SHARE: f64 = 0.6;

/// What is varied, and which values it takes. Nothing of an empty one is varied.
#[derive(Clone, Debug, Default)]
pub struct Axes {
    /// Partitions of each topic.
    pub partitions: Vec<u32>,
    /// Cores of the node in this process.
    pub cores: Vec<u16>,
    /// Values of these sizes.
    pub values: Vec<Values>,
    /// What acknowledgements stand for.
    pub acks: Vec<Acks>,
}

/// The points, the base first; each differs from it in one respect, and none comes twice.
fn points(base: &TargetOptions, axes: &Axes) -> Vec<TargetOptions> {
    let mut points = vec![base.clone()];
    let mut put = |change: &dyn Fn(&mut TargetOptions)| {
        let mut point = base.clone();
        change(&mut point);
        let key = |point: &TargetOptions| {
            let traffic = &point.traffic;
            let bytes = traffic.values.bytes_max();
            (traffic.partitions, point.cores, bytes, traffic.acks)
        };
        if points.iter().all(|other| key(other) != key(&point)) {
            points.push(point);
        }
    };
    for partitions in &axes.partitions {
        put(&|point| point.traffic.partitions = *partitions);
    }
    for cores in &axes.cores {
        put(&|point| point.cores = Some(*cores));
    }
    for values in &axes.values {
        put(&|point| point.traffic.values = values.clone());
    }
    for acks in &axes.acks {
        put(&|point| point.traffic.acks = *acks);
    }
    points
}

/// Measures each point: how much it takes at the most, and latencies at a share of that. The
/// options' duration and warm-up are those of a point.
///
/// # Errors
/// Nothing was measured. A point that ended in the middle is a partial run and the last one.
pub fn sweep(options: &Options, axes: &Axes, context: &Context<'_>) -> Result<Outcome, BenchError> {
    let mut outcome = Outcome::begin(Kind::Sweep, options, context)?;
    let mut base = options.target.clone();
    if !axes.cores.is_empty() && base.cores.is_none() {
        // Otherwise the base would come twice: once as it is, once as what it stands for.
        base.cores = Some(half_of_the_cpus()?);
    }
    let points = points(&base, axes);
    for (number, point) in points.iter().enumerate() {
        let traffic = &point.traffic;
        (context.note)(&format!(
            "point {} of {}: partitions {}, {} B, acks {}",
            number + 1,
            points.len(),
            traffic.partitions,
            traffic.values.bytes_max(),
            traffic.acks
        ));
        let mut trial = Trial::start(point, Profile::Latency, context)?;
        let taken = most(&mut trial, options.duration)?;
        let rate = (taken.unwrap_or(0.0) * SHARE) as u64;
        let load = Load {
            rate: Some(NonZeroU64::new(rate).unwrap_or(NonZeroU64::MIN)),
            span: options.duration,
        };
        outcome.add(&mut trial, &load, options.warmup, taken)?;
        if outcome.is_partial() {
            break;
        }
    }
    Ok(outcome)
}

/// A point's warm-up: a fifth of what is measured.
pub fn warmup_of(duration: Duration) -> Duration {
    duration / 5
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::target::TargetKind;
    use crate::bench::traffic::{Keys, Traffic};

    #[test]
    fn each_axis_is_varied_alone_and_the_base_comes_once() {
        let base = TargetOptions {
            kind: TargetKind::Embedded,
            config: None,
            to: None,
            data_parent: ".".into(),
            cores: Some(1),
            idle: None,
            traffic: Traffic {
                topics: 1,
                partitions: 1,
                producers: 1,
                subscriptions: 1,
                consumers: 1,
                keys: Keys::None,
                values: Values::generate(100, 1, 1.0),
                acks: Acks::All,
            },
        };
        let axes = Axes {
            partitions: vec![1, 10],
            cores: vec![1, 2],
            values: [100, 1024]
                .map(|bytes| Values::generate(bytes, 1, 1.0))
                .into(),
            acks: vec![Acks::None, Acks::Leader, Acks::All],
        };
        let points = points(&base, &axes);
        let key = |point: &TargetOptions| {
            let bytes = point.traffic.values.bytes_max();
            (
                point.traffic.partitions,
                point.cores,
                bytes,
                point.traffic.acks,
            )
        };
        assert_eq!(
            points.iter().map(key).collect::<Vec<_>>(),
            [
                (1, Some(1), 100, Acks::All),
                (10, Some(1), 100, Acks::All),
                (1, Some(2), 100, Acks::All),
                (1, Some(1), 1024, Acks::All),
                (1, Some(1), 100, Acks::None),
                (1, Some(1), 100, Acks::Leader),
            ]
        );
    }
}
