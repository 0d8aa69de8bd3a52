//! The page `/metrics`: the catalogue with the values of the moment, as OpenMetrics text.
//!
//! Owns: which reader a family's samples come from. Never does: naming a metric
//! ([`crate::telemetry::families`]); asking a core.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{self, Registry};

use super::board::{Board, CoreView};
use super::figures::{node_count, of_core, of_node, of_shard, seconds};
use crate::telemetry::{
    BUCKET_NS, Buckets, Counter, Family, Gauge, Kind, NodeCounter, Owner, PREFIX, Scope,
    ShardCounter, Stage, Total, Unit, families,
};

/// Makes the page.
#[derive(Debug)]
pub(super) struct Exporter {
    registry: Registry,
}

impl Exporter {
    /// Of the node on this board.
    pub fn new(board: Arc<Board>) -> Exporter {
        let mut registry = Registry::with_prefix(PREFIX);
        registry.register_collector(Box::new(Catalogue(board)));
        Exporter { registry }
    }

    /// The page now.
    pub fn page(&self) -> String {
        let mut page = String::new();
        text::encode(&mut page, &self.registry).expect("a string takes whatever is written");
        page
    }
}

/// The page in Prometheus' older text format, which `promtool check metrics` reads: there a counter's
/// family has the name of its samples, and there are neither units nor an end.
pub(super) fn classic(page: &str) -> String {
    let counters: Vec<String> = families()
        .iter()
        .filter(|family| family.kind == Kind::Counter)
        .map(Family::name)
        .collect();
    let mut classic = String::with_capacity(page.len());
    for line in page.lines() {
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some("#"), Some("UNIT" | "EOF"), _, _) => continue,
            (Some("#"), Some(what), Some(name), Some(rest)) => {
                let suffix = match counters.iter().any(|counter| counter == name) {
                    true => "_total",
                    false => "",
                };
                classic.push_str(&format!("# {what} {name}{suffix} {rest}"));
            }
            _ => classic.push_str(line),
        }
        classic.push('\n');
    }
    classic
}

#[derive(Debug)]
struct Catalogue(Arc<Board>);

impl Collector for Catalogue {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let encoder = &mut encoder;
        let cores = self.0.cores();
        for counter in Counter::ALL {
            each(encoder, counter.family(), cores, |sample, core| {
                let value = core.counters.get(counter);
                if counter.unit() == Unit::Nanoseconds {
                    sample.encode_counter::<NoLabelSet, _, u64>(&seconds(value), None)
                } else {
                    sample.encode_counter::<NoLabelSet, _, u64>(&value, None)
                }
            })?;
        }
        for total in Total::ALL {
            each(encoder, total.family(), cores, |sample, core| {
                let parts = total.parts().iter();
                let value: u64 = parts.map(|part| core.counters.get(*part)).sum();
                sample.encode_counter::<NoLabelSet, _, u64>(&value, None)
            })?;
        }
        for counter in ShardCounter::ALL {
            self.each_shard(encoder, counter.family(), |sample, shard| {
                let value = self.0.of_shard(shard, counter);
                sample.encode_counter::<NoLabelSet, _, u64>(&value, None)
            })?;
        }
        for counter in NodeCounter::ALL {
            let value = node_count(counter, &self.0);
            family(encoder, counter.family(), |sample| {
                sample.encode_counter::<NoLabelSet, _, u64>(&value, None)
            })?;
        }
        for gauge in Gauge::ALL {
            self.gauge(gauge, encoder)?;
        }
        for stage in Stage::ALL {
            each(encoder, stage.family(), cores, |sample, core| {
                histogram(sample, &core.stages.of(stage).buckets())
            })?;
        }
        Ok(())
    }
}

impl Catalogue {
    fn gauge(&self, gauge: Gauge, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        match gauge.scope() {
            Scope::Core => each(encoder, gauge.family(), self.0.cores(), |sample, core| {
                of_core(gauge, core).map_or(Ok(()), |value| sample.encode_gauge(&value))
            }),
            // What an owner owns is memory; there is no other gauge of it.
            Scope::Owner => self.each_owner(encoder, gauge.family(), |sample, core, owner| {
                sample.encode_gauge(&core.status.memory(owner))
            }),
            Scope::Shard => self.each_shard(encoder, gauge.family(), |sample, shard| {
                let value = of_shard(gauge, &self.0, shard);
                value.map_or(Ok(()), |value| sample.encode_gauge(&value))
            }),
            Scope::Node => match of_node(gauge, &self.0) {
                Some(value) => family(encoder, gauge.family(), |sample| {
                    sample.encode_gauge(&value)
                }),
                // What cannot be told is left out: 0 would be taken for a value.
                None => Ok(()),
            },
        }
    }

    /// A family with a sample for each owner on each core.
    fn each_owner(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        of: Family,
        write: impl Fn(&mut MetricEncoder<'_>, &CoreView, Owner) -> fmt::Result,
    ) -> fmt::Result {
        family(encoder, of, |samples| {
            for (number, core) in self.0.cores().iter().enumerate() {
                let number = number.to_string();
                for owner in Owner::ALL {
                    let labels = [("core", number.as_str()), ("owner", owner.name())];
                    write(&mut samples.encode_family(&labels)?, core, owner)?;
                }
            }
            Ok(())
        })
    }

    /// A family with a sample for each shard.
    fn each_shard(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        of: Family,
        write: impl Fn(&mut MetricEncoder<'_>, usize) -> fmt::Result,
    ) -> fmt::Result {
        family(encoder, of, |samples| {
            for (shard, view) in self.0.shards().iter().enumerate() {
                let labels = [("shard", view.name.as_str())];
                write(&mut samples.encode_family(&labels)?, shard)?;
            }
            Ok(())
        })
    }
}

/// A family with a sample for each core.
fn each(
    encoder: &mut DescriptorEncoder<'_>,
    of: Family,
    cores: &[CoreView],
    write: impl Fn(&mut MetricEncoder<'_>, &CoreView) -> fmt::Result,
) -> fmt::Result {
    family(encoder, of, |samples| {
        for (number, core) in (0_u16..).zip(cores) {
            write(&mut samples.encode_family(&[("core", number)])?, core)?;
        }
        Ok(())
    })
}

fn family(
    encoder: &mut DescriptorEncoder<'_>,
    family: Family,
    write: impl FnOnce(&mut MetricEncoder<'_>) -> fmt::Result,
) -> fmt::Result {
    let kind = match family.kind {
        Kind::Counter => MetricType::Counter,
        Kind::Gauge => MetricType::Gauge,
        Kind::Histogram => MetricType::Histogram,
    };
    let unit = family
        .unit
        .map(|name| registry::Unit::Other(name.to_owned()));
    write(&mut encoder.encode_descriptor(family.stem, family.meaning, unit.as_ref(), kind)?)
}

fn histogram(sample: &mut MetricEncoder<'_>, found: &Buckets) -> fmt::Result {
    let bounds = BUCKET_NS.into_iter().map(seconds).chain([f64::INFINITY]);
    let buckets: Vec<(f64, u64)> = bounds.zip(found.counts).collect();
    sample.encode_histogram::<NoLabelSet>(seconds(found.sum_ns), found.count(), &buckets, None)
}
