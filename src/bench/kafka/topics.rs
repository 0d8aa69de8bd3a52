//! Topics of a target's own, and what an acknowledgement stands for on them.
//!
//! Owns: these topics, until they are deleted at the end. Never does: touch any other. Runs on: the
//! thread that opens the target; blocks up to a timeout.

use std::collections::BTreeMap;
use std::time::Duration;

use super::KafkaOptions;
use crate::bench::error::BenchError;
use crate::clock;
use crate::ids::Acks;
use crate::kafka::admin::{Create, TopicAdmin, TopicSpec};
use crate::kafka::operator::{Operator, OperatorError};
use crate::kafka::properties::Property;

/// How long brokers may take to create a topic.
const TIMEOUT: Duration = Duration::from_secs(30);

/// How long they may take to describe or delete one, which a load can do without.
const ASK: Duration = Duration::from_secs(5);

/// Topics that were created.
pub struct Topics {
    names: Vec<String>,
    operator: Operator,
    at_end: AtEnd,
}

/// What becomes of the topics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AtEnd {
    /// They are deleted.
    Delete,
    /// The brokers go, and the topics with them.
    Leave,
}

fn refused(error: impl ToString) -> BenchError {
    BenchError::Target {
        target: "kafka",
        reason: error.to_string(),
    }
}

impl Topics {
    /// Creates the topics of a load, each with a name that no other has, and waits for their leaders.
    ///
    /// # Errors
    /// The brokers cannot be reached, or refuse.
    pub fn create(
        options: &KafkaOptions,
        properties: &[Property],
        at_end: AtEnd,
    ) -> Result<Topics, BenchError> {
        let admin = TopicAdmin::new(properties).map_err(refused)?;
        let mut topics = Topics {
            names: Vec::new(),
            operator: Operator::new(properties, ASK).map_err(refused)?,
            at_end,
        };
        let prefix = format!(
            "corelane-bench-{}-{:x}",
            std::process::id(),
            clock::wall().0
        );
        let config = options.topic_config.iter();
        let config: Vec<(&str, &str)> = config.map(|(key, value)| (&key[..], &value[..])).collect();
        for number in 0..options.traffic.topics {
            let name = format!("{prefix}-{number}");
            let spec = TopicSpec {
                name: &name,
                partitions: Some(options.traffic.partitions),
                replication: options.replication,
                config: &config,
            };
            let created = admin.ensure(&spec, Create::Allowed, TIMEOUT);
            // Also after a failure something of it may be there.
            topics.names.push(name.clone());
            created.map_err(refused)?;
        }
        Ok(topics)
    }

    /// Their names.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// What an acknowledgement stands for, as the brokers describe the first topic.
    pub fn durability(&self, acks: Acks) -> String {
        let Some(name) = self.names.first() else {
            return format!("acks={}: unknown", acks.name());
        };
        let replicas = self.operator.topic(name).map(|topic| {
            let first = topic.partitions.first();
            first.map_or(1, |partition| partition.replicas.len())
        });
        let told = replicas.and_then(|replicas| Ok((replicas, self.operator.effective(name)?)));
        durability(acks, told)
    }
}

/// In words, what brokers with these settings promise.
fn durability(
    acks: Acks,
    told: Result<(usize, BTreeMap<String, String>), OperatorError>,
) -> String {
    let acks_name = acks.name();
    let (replicas, settings) = match told {
        Ok(told) => told,
        Err(error) => return format!("acks={acks_name}: unknown, the brokers do not say: {error}"),
    };
    let number = |name: &str| {
        settings
            .get(name)
            .and_then(|value| value.parse::<i64>().ok())
    };
    let sync = match number("flush.messages") {
        Some(1) => "each batch synced first (flush.messages=1)".to_owned(),
        Some(i64::MAX) => "no sync".to_owned(),
        Some(records) => format!("a sync every {records} records (flush.messages)"),
        None => "whether it is synced is not told".to_owned(),
    };
    match acks {
        Acks::None => "acks=none: handed to the socket".to_owned(),
        // Whether a leader syncs before it answers is not the same for all brokers.
        Acks::Leader => format!("acks=leader: in memory of 1 of {replicas} replicas"),
        Acks::All => {
            let needed = number("min.insync.replicas");
            let needed = needed.map_or(String::new(), |it| format!(", min.insync.replicas={it}"));
            let place = match number("flush.messages") {
                Some(1) => "on stable storage",
                Some(_) | None => "in memory",
            };
            format!("acks=all: {place} of {replicas} of {replicas} replicas, {sync}{needed}")
        }
    }
}

impl Drop for Topics {
    fn drop(&mut self) {
        match self.at_end {
            AtEnd::Leave => {}
            AtEnd::Delete => {
                for (at, name) in self.names.iter().enumerate() {
                    if let Err(error) = self.operator.delete(name) {
                        // What refused one does not answer for the others either.
                        let left = self.names.len() - at;
                        tracing::warn!(topic = %name, %error, left, "topics are left behind");
                        break;
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(flush: &str, needed: &str) -> Result<(usize, BTreeMap<String, String>), OperatorError> {
        let settings = [("flush.messages", flush), ("min.insync.replicas", needed)];
        let settings = settings.map(|(key, value)| (key.to_owned(), value.to_owned()));
        Ok((3, settings.into()))
    }

    #[test]
    fn what_brokers_do_not_sync_is_not_called_durable() {
        let defaults = durability(Acks::All, told("9223372036854775807", "1"));
        assert_eq!(
            defaults,
            "acks=all: in memory of 3 of 3 replicas, no sync, min.insync.replicas=1"
        );
        let synced = durability(Acks::All, told("1", "2"));
        assert!(synced.contains("on stable storage of 3 of 3"), "{synced}");
        let leader = durability(Acks::Leader, told("9223372036854775807", "1"));
        assert!(leader.contains("in memory of 1 of 3 replicas"), "{leader}");
        let silent = Err(OperatorError::Client("x".to_owned()));
        assert!(durability(Acks::All, silent).contains("unknown"));
    }
}
