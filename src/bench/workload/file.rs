//! A workload's file.
//!
//! Owns: its keys, their defaults, which are those of the OpenMessaging Benchmark, and their ranges.
//! Never does: run it.

use std::fmt::Display;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::yaml;
use crate::bench::error::BenchError;
use crate::bench::kafka::MARK_BYTES;
use crate::bench::traffic::{Keys, Traffic, Values};
use crate::ids::Acks;
use crate::limits::PARTITIONS_MAX;

/// A workload. The names are those of the file.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Workload {
    /// What it is called in results.
    pub name: String,
    /// Topics.
    pub topics: u32,
    /// Partitions of each.
    pub partitions_per_topic: u32,
    /// Which keys records have.
    #[serde(default)]
    pub key_distributor: KeyDistributor,
    /// Bytes of a record's value.
    pub message_size: usize,
    /// Whether values are made of random bytes, and not read from `payload_file`.
    #[serde(default)]
    pub use_randomized_payloads: bool,
    /// Share of the bytes that are random; the others are 0.
    #[serde(default)]
    pub random_bytes_ratio: f64,
    /// How many different values there are.
    #[serde(default)]
    pub randomized_payload_pool_size: usize,
    /// The value of all records.
    #[serde(default)]
    pub payload_file: Option<PathBuf>,
    /// Independent readers of each topic.
    pub subscriptions_per_topic: u32,
    /// Producers of each topic.
    pub producers_per_topic: u32,
    /// Consumers that share a subscription.
    pub consumer_per_subscription: u32,
    /// Records a second, of all producers together; 0 = the highest that holds.
    #[serde(default)]
    pub producer_rate: u32,
    /// Gigabytes that pile up before consumers read them; 0 = none.
    #[serde(default, rename = "consumerBacklogSizeGB")]
    pub consumer_backlog_size_gb: f64,
    /// Minutes before the test.
    #[serde(default = "one_minute")]
    pub warmup_duration_minutes: u32,
    /// Minutes of the test.
    pub test_duration_minutes: u32,
}

/// Which keys records have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum KeyDistributor {
    /// None.
    #[default]
    NoKey,
    /// One after the other.
    KeyRoundRobin,
    /// At random.
    RandomNano,
}

fn one_minute() -> u32 {
    1
}

const TOPICS_MAX: u64 = 10_000;
const CLIENTS_MAX: u64 = 1_000;
const SUBSCRIPTIONS_MAX: u64 = 100;
const RATE_MAX: u64 = 1_000_000_000;
const MINUTES_MAX: u64 = 10_080;
const BYTES_MAX: u64 = 100_000_000;
const POOL_MAX: u64 = 1_000_000;
/// Bytes of all values of a pool.
const POOL_BYTES_MAX: u64 = 1 << 30;
const BACKLOG_GB_MAX: f64 = 10_000.0;

/// A key, and what is wrong with it.
type Wrong = (&'static str, String);

fn not_allowed(found: impl Display, allowed: impl Display) -> String {
    format!("{found} is not allowed; allowed: {allowed}")
}

impl Workload {
    /// Reads a file.
    ///
    /// # Errors
    /// It cannot be read, or has a key that there is not, or a value that is none; named with its line.
    pub fn load(path: &Path) -> Result<Workload, BenchError> {
        let (workload, text): (Workload, String) = yaml::read(path)?;
        match workload.check() {
            Ok(()) => Ok(workload),
            Err((key, problem)) => {
                let place = yaml::line_of(&text, key);
                let place = place.map_or(String::new(), |line| format!("line {line}: "));
                Err(yaml::content(path, format!("{place}{key}: {problem}")))
            }
        }
    }

    /// The key that is wrong, and how.
    fn check(&self) -> Result<(), Wrong> {
        #[rustfmt::skip]
        let bounds = [
            ("topics", self.topics.into(), 1, TOPICS_MAX),
            ("partitionsPerTopic", self.partitions_per_topic.into(), 1, PARTITIONS_MAX as u64),
            ("messageSize", self.message_size as u64, MARK_BYTES as u64, BYTES_MAX),
            ("subscriptionsPerTopic", self.subscriptions_per_topic.into(), 0, SUBSCRIPTIONS_MAX),
            ("producersPerTopic", self.producers_per_topic.into(), 1, CLIENTS_MAX),
            ("consumerPerSubscription", self.consumer_per_subscription.into(), 1, CLIENTS_MAX),
            ("producerRate", self.producer_rate.into(), 0, RATE_MAX),
            ("warmupDurationMinutes", self.warmup_duration_minutes.into(), 0, MINUTES_MAX),
            ("testDurationMinutes", self.test_duration_minutes.into(), 1, MINUTES_MAX),
        ];
        for (key, value, least, most) in bounds {
            if !(least..=most).contains(&value) {
                return Err((key, not_allowed(value, format!("{least} to {most}"))));
            }
        }
        self.check_values()?;
        self.check_backlog()
    }

    fn check_values(&self) -> Result<(), Wrong> {
        let ratio = self.random_bytes_ratio;
        if !(0.0..=1.0).contains(&ratio) {
            return Err(("randomBytesRatio", not_allowed(ratio, "0 to 1")));
        }
        let pool = self.randomized_payload_pool_size as u64;
        let bytes = pool.saturating_mul(self.message_size as u64);
        let is_allowed = (1..=POOL_MAX).contains(&pool) && bytes <= POOL_BYTES_MAX;
        if self.use_randomized_payloads && !is_allowed {
            let allowed = format!("1 to {POOL_MAX}, and {POOL_BYTES_MAX} bytes in all");
            return Err(("randomizedPayloadPoolSize", not_allowed(pool, allowed)));
        }
        Ok(())
    }

    fn check_backlog(&self) -> Result<(), Wrong> {
        let backlog = self.consumer_backlog_size_gb;
        let wrong = |problem: String| Err(("consumerBacklogSizeGB", problem));
        if !(0.0..=BACKLOG_GB_MAX).contains(&backlog) {
            return wrong(not_allowed(backlog, format!("0 to {BACKLOG_GB_MAX}")));
        }
        if backlog > 0.0 && (self.producer_rate == 0 || self.subscriptions_per_topic == 0) {
            return wrong("a backlog needs a producerRate and a subscription".to_owned());
        }
        Ok(())
    }

    /// What its load is made of. A payload file is looked for beside the workload's file, in the
    /// directory above, as in the OpenMessaging Benchmark's own tree, and in the working directory.
    ///
    /// # Errors
    /// The payload file cannot be read, or has not `messageSize` bytes.
    pub fn traffic(&self, path: &Path, acks: Acks) -> Result<Traffic, BenchError> {
        Ok(Traffic {
            topics: self.topics,
            partitions: self.partitions_per_topic,
            producers: self.producers_per_topic,
            subscriptions: self.subscriptions_per_topic,
            consumers: self.consumer_per_subscription,
            keys: match self.key_distributor {
                KeyDistributor::NoKey => Keys::None,
                KeyDistributor::KeyRoundRobin => Keys::RoundRobin,
                KeyDistributor::RandomNano => Keys::Random,
            },
            values: self.values(path)?,
            acks,
        })
    }

    fn values(&self, path: &Path) -> Result<Values, BenchError> {
        let size = self.message_size;
        if self.use_randomized_payloads {
            let count = self.randomized_payload_pool_size;
            return Ok(Values::generate(size, count, self.random_bytes_ratio));
        }
        let Some(payload) = &self.payload_file else {
            let problem = "payloadFile: it is missing, and useRandomizedPayloads is not true";
            return Err(yaml::content(path, problem.to_owned()));
        };
        let beside = path.parent().unwrap_or(Path::new(""));
        let above = beside.join("..");
        let places = [beside, &above, Path::new("")];
        let mut found = places.iter().map(|place| place.join(payload));
        let file = found.find(|file| file.is_file()).ok_or_else(|| {
            let shown = payload.display();
            let problem = format!(
                "payloadFile: there is no {shown}, neither here nor in the directory above nor in the \
                 working directory"
            );
            yaml::content(path, problem)
        })?;
        let bytes = fs::read(&file).map_err(|source| BenchError::File {
            path: file.clone(),
            source,
        })?;
        if bytes.len() != size {
            let problem = format!(
                "payloadFile: {} has {} bytes, and messageSize is {size}",
                file.display(),
                bytes.len()
            );
            return Err(yaml::content(path, problem));
        }
        Ok(Values::new(
            vec![bytes.into()],
            payload.display().to_string(),
        ))
    }

    /// How long the warm-up takes, where a minute is so much shorter.
    pub fn warmup(&self, scale: f64) -> Duration {
        minutes(self.warmup_duration_minutes, scale)
    }

    /// How long the test takes.
    pub fn test(&self, scale: f64) -> Duration {
        minutes(self.test_duration_minutes, scale)
    }
}

fn minutes(minutes: u32, scale: f64) -> Duration {
    Duration::from_secs_f64(f64::from(minutes) * 60.0 * scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = "name: small\ntopics: 1\npartitionsPerTopic: 2\nmessageSize: 100\n\
        useRandomizedPayloads: true\nrandomBytesRatio: 0.5\nrandomizedPayloadPoolSize: 3\n\
        subscriptionsPerTopic: 1\nproducersPerTopic: 1\nconsumerPerSubscription: 1\n\
        producerRate: 10\nconsumerBacklogSizeGB: 0\ntestDurationMinutes: 5\n";

    fn load(text: &str) -> Result<Workload, String> {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("workload.yaml");
        fs::write(&file, text).unwrap();
        Workload::load(&file).map_err(|error| error.to_string())
    }

    #[test]
    fn keys_have_the_defaults_of_the_original() {
        let workload = load(SMALL).unwrap();
        assert_eq!(workload.key_distributor, KeyDistributor::NoKey);
        assert_eq!(workload.warmup_duration_minutes, 1);
        assert_eq!(workload.warmup(0.5), Duration::from_secs(30));
        assert_eq!(workload.test(0.01), Duration::from_secs(3));
        let keyed = load(&format!("{SMALL}keyDistributor: KEY_ROUND_ROBIN\n")).unwrap();
        assert_eq!(keyed.key_distributor, KeyDistributor::KeyRoundRobin);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line_and_key() {
        let changed = |from: &str, to: &str| {
            assert!(SMALL.contains(from));
            load(&SMALL.replace(from, to)).unwrap_err()
        };
        for (error, line, words) in [
            (
                changed("producerRate", "producersRate"),
                11,
                "producersRate",
            ),
            (changed("topics: 1", "topics: many"), 2, "many"),
            (changed("topics: 1", "topics: -1"), 2, "-1"),
            (
                changed("topics: 1", "topics: 0"),
                2,
                "topics: 0 is not allowed; allowed: 1 to",
            ),
            (
                changed("messageSize: 100", "messageSize: 15"),
                4,
                "messageSize: 15",
            ),
            (
                changed("Ratio: 0.5", "Ratio: 1.5"),
                6,
                "randomBytesRatio: 1.5",
            ),
            (
                changed("PoolSize: 3", "PoolSize: 0"),
                7,
                "randomizedPayloadPoolSize: 0",
            ),
            (
                changed("Minutes: 5", "Minutes: 0"),
                13,
                "testDurationMinutes: 0",
            ),
            (changed("GB: 0", "GB: -3"), 12, "consumerBacklogSizeGB: -3"),
            (
                changed("name: small", "name: small\nname: large"),
                2,
                "name",
            ),
        ] {
            assert!(error.contains(&format!("line {line}")), "{error}");
            assert!(error.contains(words), "{error}");
        }
        let missing = changed("messageSize: 100\n", "");
        assert!(missing.contains("messageSize"), "{missing}");
        let backlog = changed(
            "producerRate: 10\nconsumerBacklogSizeGB: 0",
            "consumerBacklogSizeGB: 1",
        );
        assert!(backlog.contains("needs a producerRate"), "{backlog}");
        assert!(load(": : :").is_err() && load("").is_err() && load("[1, 2]").is_err());
    }

    #[test]
    fn a_payload_file_is_read_and_has_the_stated_size() {
        let directory = tempfile::tempdir().unwrap();
        let below = directory.path().join("workloads");
        fs::create_dir_all(directory.path().join("payload")).unwrap();
        fs::create_dir(&below).unwrap();
        fs::write(directory.path().join("payload/p.data"), [7; 100]).unwrap();
        let file = below.join("w.yaml");
        let text = SMALL.replace("useRandomizedPayloads: true", "payloadFile: payload/p.data");
        fs::write(&file, &text).unwrap();
        let traffic = Workload::load(&file)
            .unwrap()
            .traffic(&file, Acks::All)
            .unwrap();
        assert_eq!(&traffic.values.get(0)[..], [7; 100]);
        for (from, to, words) in [
            ("p.data", "q.data", "there is no payload/q.data"),
            (
                "messageSize: 100",
                "messageSize: 101",
                "has 100 bytes, and messageSize is 101",
            ),
            (
                "payloadFile: payload/p.data",
                "",
                "payloadFile: it is missing",
            ),
        ] {
            fs::write(&file, text.replace(from, to)).unwrap();
            let traffic = Workload::load(&file).unwrap().traffic(&file, Acks::All);
            let error = traffic.unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }
}
