//! The catalogue as Prometheus sees it: names, types and units after its conventions.
//!
//! Owns: how a metric of the catalogue is named outside, and the page of the documentation that lists
//! them. Never does: reading a value. See <https://prometheus.io/docs/practices/naming/>.

use std::fmt::Write as _;

use super::catalogue::{
    Counter, Gauge, NodeCounter, Owner, Scope, ShardCounter, Stage, Total, Unit,
};

/// Before every name.
pub const PREFIX: &str = "corelane";

/// How a metric behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only grows; its sample ends in `_total`.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts by bounds; its samples end in `_bucket`, `_sum` and `_count`.
    Histogram,
}

impl Kind {
    /// The word of the exposition format.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        }
    }

    /// What a sample's name may have behind the family's.
    pub const fn suffixes(self) -> &'static [&'static str] {
        match self {
            Kind::Counter => &["_total"],
            Kind::Gauge => &[""],
            Kind::Histogram => &["_bucket", "_sum", "_count"],
        }
    }
}

/// One metric as it is exported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Family {
    /// Its name without prefix and unit.
    pub stem: &'static str,
    /// The base unit at the end of its name, where it has one.
    pub unit: Option<&'static str>,
    /// How it behaves.
    pub kind: Kind,
    /// What its labels tell apart.
    pub scope: Scope,
    /// What it means, in a sentence.
    pub meaning: &'static str,
    /// What its number counts.
    pub counts: &'static str,
}

impl Family {
    /// The whole name: `corelane_{stem}_{unit}`, without the suffixes of its samples.
    pub fn name(&self) -> String {
        let mut name = format!("{PREFIX}_{}", self.stem);
        if let Some(unit) = self.unit {
            let _ = write!(name, "_{unit}");
        }
        name
    }

    /// The labels of its samples; a histogram's buckets have `le`, too.
    pub const fn labels(&self) -> &'static [&'static str] {
        match self.scope {
            Scope::Core => &["core"],
            Scope::Owner => &["core", "owner"],
            Scope::Shard => &["shard"],
            Scope::Node => &[],
        }
    }
}

/// Everything that is exported, in the order of the catalogue.
pub fn families() -> Vec<Family> {
    let counters = Counter::ALL.into_iter().map(Counter::family);
    let totals = Total::ALL.into_iter().map(Total::family);
    let shards = ShardCounter::ALL.into_iter().map(ShardCounter::family);
    let node = NodeCounter::ALL.into_iter().map(NodeCounter::family);
    let gauges = Gauge::ALL.into_iter().map(Gauge::family);
    let stages = Stage::ALL.into_iter().map(Stage::family);
    let counters = counters.chain(totals).chain(shards).chain(node);
    counters.chain(gauges).chain(stages).collect()
}

fn family(
    name: &'static str,
    unit: Unit,
    kind: Kind,
    scope: Scope,
    meaning: &'static str,
) -> Family {
    let (endings, base): (&[&str], _) = match unit {
        Unit::Bytes => (&["_bytes"], Some("bytes")),
        Unit::Nanoseconds => (&["_ns"], Some("seconds")),
        Unit::Seconds => (&["_seconds"], Some("seconds")),
        Unit::Ratio => (&["_ratio"], Some("ratio")),
        Unit::Transactions
        | Unit::Records
        | Unit::Batches
        | Unit::Messages
        | Unit::Frames
        | Unit::Events
        | Unit::Cycles
        | Unit::Things
        | Unit::Truth => (&[], None),
    };
    let ending = endings.iter().find_map(|ending| name.strip_suffix(ending));
    Family {
        stem: ending.unwrap_or(name),
        unit: base,
        kind,
        scope,
        meaning,
        counts: base.unwrap_or(unit.name()),
    }
}

impl Counter {
    /// The counter as it is exported.
    pub fn family(self) -> Family {
        let (name, unit) = (self.name(), self.unit());
        family(name, unit, Kind::Counter, Scope::Core, self.meaning())
    }
}

impl Total {
    /// The sum as it is exported.
    pub fn family(self) -> Family {
        let (name, unit) = (self.name(), self.unit());
        family(name, unit, Kind::Counter, Scope::Core, self.meaning())
    }
}

impl ShardCounter {
    /// The counter as it is exported.
    pub fn family(self) -> Family {
        let (name, unit) = (self.name(), self.unit());
        family(name, unit, Kind::Counter, Scope::Shard, self.meaning())
    }
}

impl NodeCounter {
    /// The counter as it is exported.
    pub fn family(self) -> Family {
        let (name, unit) = (self.name(), self.unit());
        family(name, unit, Kind::Counter, Scope::Node, self.meaning())
    }
}

impl Gauge {
    /// The gauge as it is exported.
    pub fn family(self) -> Family {
        let (name, unit) = (self.name(), self.unit());
        family(name, unit, Kind::Gauge, self.scope(), self.meaning())
    }
}

impl Stage {
    /// The stage's histogram as it is exported.
    pub fn family(self) -> Family {
        let name = match self {
            // As Kafka's clients name it.
            Stage::Process => "processing_time",
            Stage::Produce
            | Stage::Consume
            | Stage::EndToEnd
            | Stage::Intake
            | Stage::Route
            | Stage::Hop
            | Stage::Queue
            | Stage::Append
            | Stage::Commit
            | Stage::TailRead
            | Stage::Sync
            | Stage::Reply => self.name(),
        };
        let unit = self.unit();
        family(name, unit, Kind::Histogram, Scope::Core, self.meaning())
    }
}

/// The tables of `docs/metrics.md`: a section for each kind, and one for the owners of memory.
pub fn page() -> String {
    let mut page = String::new();
    for (kind, title) in [
        (Kind::Counter, "Counters"),
        (Kind::Gauge, "Gauges"),
        (Kind::Histogram, "Histograms"),
    ] {
        let _ = write!(
            page,
            "\n## {title}\n\n| name | labels | counts | meaning |\n|---|---|---|---|\n"
        );
        for family in families().iter().filter(|family| family.kind == kind) {
            let suffix = match kind {
                Kind::Counter => "_total",
                Kind::Gauge | Kind::Histogram => "",
            };
            let _ = writeln!(
                page,
                "| `{}{suffix}` | {} | {} | {} |",
                family.name(),
                family.labels().join(", "),
                family.counts,
                family.meaning,
            );
        }
    }
    page.push_str("\n## Owners of memory\n\n| owner | meaning |\n|---|---|\n");
    for owner in Owner::ALL {
        let _ = writeln!(page, "| `{}` | {} |", owner.name(), owner.meaning());
    }
    page
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// What `promtool check metrics` holds against a name, and what OpenMetrics forbids.
    #[test]
    fn names_follow_the_conventions_of_prometheus() {
        let mut samples = BTreeSet::new();
        let mut names = BTreeSet::new();
        for family in families() {
            let name = family.name();
            assert!(names.insert(name.clone()), "{name} is there twice");
            let words: Vec<&str> = name.split('_').collect();
            for word in [
                "total", "bucket", "sum", "count", "ns", "ms", "us", "kb", "percent",
            ] {
                assert!(!words.contains(&word), "{name}: {word}");
            }
            if family.kind == Kind::Histogram {
                assert_eq!(family.unit, Some("seconds"), "{name}");
            }
            for unit in ["seconds", "bytes", "ratio"] {
                let ends = words.last() == Some(&unit);
                assert_eq!(ends, family.unit == Some(unit), "{name}");
                let places = words.iter().filter(|word| **word == unit).count();
                assert_eq!(places, usize::from(ends), "{name}");
            }
            // A backslash, a quote or a line end would have to be escaped.
            assert!(!family.meaning.contains(['\\', '"', '\n']), "{name}");
            for suffix in family.kind.suffixes() {
                let sample = format!("{name}{suffix}");
                assert!(samples.insert(sample), "{name}{suffix} is there twice");
            }
        }
    }
}
