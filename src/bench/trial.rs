//! What every kind of benchmark does alike: starting a target, and putting a run into the report's
//! form.
//!
//! Owns: which target a name stands for. Never does: decide on loads. Runs on: the thread that asks.

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::embedded::Embedded;
use super::error::BenchError;
use super::floor::{self, Floor, FloorOptions};
use super::kafka::{self, KafkaOptions, Profile};
use super::measure::{Measured, measure};
use super::meters::Snapshot;
use super::ratio;
use super::report::machine::Machine;
use super::report::model::{Kind, Report, Run, Settings};
use super::steady;
use super::target::{Load, Target, TargetKind, TargetOptions};
use super::watch::Interval;
use crate::control::signals::StopSignal;

/// How long the host's floor is measured.
const FLOOR_SPAN: Duration = Duration::from_secs(4);

/// What a benchmark needs besides its own options.
pub struct Context<'a> {
    /// Ends it early.
    pub signal: &'a StopSignal,
    /// Told what is being done, for somebody who waits.
    pub note: &'a dyn Fn(&str),
}

/// What all benchmarks are told.
#[derive(Clone, Debug)]
pub struct Options {
    /// What the load is put on.
    pub target: TargetOptions,
    /// What is measured.
    pub duration: Duration,
    /// What is not, before it.
    pub warmup: Duration,
    /// How often.
    pub runs: u32,
    /// Whether the host's floor is measured first.
    pub floor: WithFloor,
}

/// Whether the host's floor is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WithFloor {
    /// In the same run, before the load.
    Measured,
    /// Not at all.
    LeftOut,
}

/// What came of a benchmark.
#[derive(Debug)]
pub struct Outcome {
    /// The figures.
    pub report: Report,
    /// What was recorded in the measured parts of all its open loops.
    pub recorded: Snapshot,
    /// The same by time, counted from the benchmark's beginning.
    pub intervals: Vec<Interval>,
    /// When that was.
    pub started: SystemTime,
    began: Instant,
}

impl Outcome {
    /// Begins a benchmark: checks the clock, looks at the host and measures its floor.
    ///
    /// # Errors
    /// The clock is none, or the floor cannot be measured.
    pub fn begin(
        kind: Kind,
        options: &Options,
        context: &Context<'_>,
    ) -> Result<Outcome, BenchError> {
        steady::check()?;
        let directory = &options.target.data_parent;
        let machine = Machine::read(directory);
        let floor = match options.floor {
            WithFloor::Measured => {
                (context.note)("measuring what the host can do without us");
                Some(floor::measure(&FloorOptions {
                    directory,
                    record_bytes: options.target.traffic.values.bytes_max(),
                    span: FLOOR_SPAN,
                })?)
            }
            WithFloor::LeftOut => None,
        };
        let started = SystemTime::now();
        let since_epoch = started.duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(Outcome {
            report: Report {
                bench: kind,
                corelane: env!("CARGO_PKG_VERSION").to_owned(),
                started_ms: u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX),
                machine,
                floor,
                runs: Vec::new(),
            },
            recorded: Snapshot::default(),
            intervals: Vec::new(),
            started,
            began: Instant::now(),
        })
    }

    /// Whether the last run ended early, so that there is no sense in another one.
    pub fn is_partial(&self) -> bool {
        let last = self.report.runs.last();
        last.is_some_and(|run| run.partial.is_some())
    }

    /// Puts a load on a target and adds what came of it. `saturation` is the rate at which this target
    /// is saturated, where that is known.
    ///
    /// # Errors
    /// The load could not be begun.
    pub fn add(
        &mut self,
        trial: &mut Trial<'_>,
        load: &Load,
        warmup: Duration,
        saturation: Option<f64>,
    ) -> Result<(), BenchError> {
        let measured = trial.put(load, warmup)?;
        self.put(trial, load, warmup, measured, saturation);
        Ok(())
    }

    /// Adds what has just come of a load.
    pub fn put(
        &mut self,
        trial: &Trial<'_>,
        load: &Load,
        warmup: Duration,
        measured: Measured,
        saturation: Option<f64>,
    ) {
        let ended = self.began.elapsed();
        let floor = self.report.floor.as_ref();
        let run = trial.run(load, warmup, &measured, saturation, floor);
        self.report.runs.push(run);
        if load.rate.is_none() {
            return;
        }
        self.recorded.merge(&measured.recorded);
        let length = measured.intervals.last();
        let length = length.map_or(Duration::ZERO, |last| last.start + last.length);
        let offset = ended.saturating_sub(length);
        let intervals = measured.intervals.into_iter();
        self.intervals.extend(intervals.map(|interval| Interval {
            start: interval.start + offset,
            ..interval
        }));
    }
}

/// A target that is started, and what it was started with.
pub struct Trial<'a> {
    target: Box<dyn Target>,
    options: &'a TargetOptions,
    signal: &'a StopSignal,
}

impl<'a> Trial<'a> {
    /// Starts the target; clients of brokers are made for `profile`.
    ///
    /// # Errors
    /// It cannot be started or reached.
    pub fn start(
        options: &'a TargetOptions,
        profile: Profile,
        context: &Context<'a>,
    ) -> Result<Trial<'a>, BenchError> {
        (context.note)(&format!("starting the target {}", options.kind));
        let target: Box<dyn Target> = match KafkaOptions::of(options, profile) {
            Some(options) => kafka::open(&options)?,
            None => Box::new(Embedded::start(options)?),
        };
        Ok(Trial {
            target,
            options,
            signal: context.signal,
        })
    }

    /// Puts a load on it.
    ///
    /// # Errors
    /// The load could not be begun.
    pub fn put(&mut self, load: &Load, warmup: Duration) -> Result<Measured, BenchError> {
        measure(&mut *self.target, load, warmup, self.signal)
    }

    fn run(
        &self,
        load: &Load,
        warmup: Duration,
        measured: &Measured,
        saturation: Option<f64>,
        floor: Option<&Floor>,
    ) -> Run {
        let mut reached = measured.reached;
        reached.saturation_per_s = saturation;
        reached.share_of_saturation = match (load.rate, saturation) {
            (Some(rate), Some(most)) if most > 0.0 => Some(rate.get() as f64 / most),
            (Some(_) | None, Some(_) | None) => None,
        };
        let latency = measured.latency(load);
        let kind = self.options.kind;
        let ratios = floor.map_or_else(BTreeMap::new, |floor| {
            ratio::to_floor(&latency, &reached, kind, floor)
        });
        Run {
            target: self.target.facts(),
            settings: self.settings(load, warmup, measured),
            partial: measured.partial.clone(),
            load: reached,
            latency,
            series: measured.series.clone(),
            usage: measured.used.clone(),
            ratio_to_floor: ratios,
        }
    }

    fn settings(&self, load: &Load, warmup: Duration, measured: &Measured) -> Settings {
        let traffic = &self.options.traffic;
        let cores = measured.used.core_busy.len() as u16;
        let readers = traffic.topics * traffic.subscriptions * traffic.consumers;
        Settings {
            rate: load.rate.map(|rate| rate.get()),
            record_bytes: traffic.values.bytes_max(),
            payload: traffic.values.kind().to_owned(),
            acks: traffic.acks.name().to_owned(),
            duration_s: load.span.as_secs_f64(),
            warmup_s: warmup.as_secs_f64(),
            topics: traffic.topics,
            partitions: traffic.partitions,
            cores: (cores > 0).then_some(cores),
            producers: traffic.producers,
            consumers: match self.options.kind {
                TargetKind::Embedded => 0,
                TargetKind::Listener | TargetKind::Cluster => readers,
            },
        }
    }
}
