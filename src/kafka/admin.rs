//! Topics that have to exist before a shard starts.
//!
//! Owns: looking for a topic, and creating it where that is allowed. Never does: change or delete
//! one. Runs on: a housekeeping thread; it blocks up to its timeout.

use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::properties::Property;

/// A topic as it should be.
#[derive(Clone, Copy, Debug)]
pub struct TopicSpec<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its partitions, 1 or more; none = as many as there are, or the brokers' default.
    pub partitions: Option<u32>,
    /// Copies of each, 1 or more, for a topic that is created; none = the brokers' default.
    pub replication: Option<u16>,
    /// Topic properties of Kafka, for a topic that is created.
    pub config: &'a [(&'a str, &'a str)],
}

/// Whether a missing topic is created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Create {
    /// It is.
    Allowed,
    /// It is an error.
    Never,
}

/// Why a topic is not there as it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AdminError {
    /// It does not exist.
    #[error("topic '{topic}' does not exist, and creating topics is not allowed")]
    Missing {
        /// Its name.
        topic: String,
    },
    /// It has another number of partitions.
    #[error("topic '{topic}' has {found} partitions; {asked} are configured")]
    Partitions {
        /// Its name.
        topic: String,
        /// As configured.
        asked: u32,
        /// As it is.
        found: u32,
    },
    /// The cluster does not let this user do it.
    #[error("the cluster does not allow this user to {action} topic '{topic}': {reason}")]
    NotAllowed {
        /// Its name.
        topic: String,
        /// What was tried.
        action: &'static str,
        /// In the cluster's words.
        reason: String,
    },
    /// The cluster will not create it as asked.
    #[error("topic '{topic}' cannot be created: {reason}")]
    Refused {
        /// Its name.
        topic: String,
        /// In the cluster's words.
        reason: String,
    },
    /// The cluster did not answer, or not in time.
    #[error("topic '{topic}': {waiting_for} took longer than {timeout:?}; last: {last}")]
    Timeout {
        /// Its name.
        topic: String,
        /// What was missing in the end.
        waiting_for: &'static str,
        /// The time that was allowed.
        timeout: Duration,
        /// The last thing that went wrong.
        last: String,
    },
    /// No client can be made of these properties.
    #[error("no client can be made: {0}")]
    Client(String),
}

/// A client that looks after topics.
pub struct TopicAdmin {
    client: AdminClient<Logged>,
}

impl TopicAdmin {
    /// A client for the cluster that the properties name. Connects in the background.
    ///
    /// # Errors
    /// librdkafka refuses the properties.
    pub fn new(properties: &[Property]) -> Result<TopicAdmin, AdminError> {
        let mut config = ClientConfig::new();
        config.extend(properties.iter().cloned());
        config.set_log_level(RDKafkaLogLevel::Warning);
        let client = config.create_with_context(Logged);
        let client = client.map_err(|error| AdminError::Client(error.to_string()))?;
        Ok(TopicAdmin { client })
    }

    /// Makes sure of a topic and returns its number of partitions. A topic that someone else
    /// creates at the same time is as good as one of ours.
    ///
    /// # Errors
    /// The topic is not there as it should be, or the cluster does not answer within `timeout`.
    pub fn ensure(
        &self,
        spec: &TopicSpec<'_>,
        create: Create,
        timeout: Duration,
    ) -> Result<u32, AdminError> {
        let task = Task {
            client: &self.client,
            spec,
            start: Instant::now(),
            timeout,
        };
        let found = match task.wait_for(Wanted::Answer)? {
            Found::Partitions(partitions) => partitions,
            Found::Nothing => {
                match create {
                    Create::Never => {
                        return Err(AdminError::Missing {
                            topic: spec.name.to_owned(),
                        });
                    }
                    Create::Allowed => task.create()?,
                }
                match task.wait_for(Wanted::Leaders)? {
                    Found::Partitions(partitions) => partitions,
                    Found::Nothing => {
                        return Err(task.too_late("the new topic", "it is not visible".to_owned()));
                    }
                }
            }
        };
        match spec.partitions {
            Some(asked) if asked != found => Err(AdminError::Partitions {
                topic: spec.name.to_owned(),
                asked,
                found,
            }),
            Some(_) | None => Ok(found),
        }
    }
}

/// Sends librdkafka's log lines where all others go.
pub(super) struct Logged;

impl ClientContext for Logged {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        match level {
            RDKafkaLogLevel::Emerg
            | RDKafkaLogLevel::Alert
            | RDKafkaLogLevel::Critical
            | RDKafkaLogLevel::Error => {
                tracing::error!(target: "librdkafka", client = "admin", %facility, "{line}");
            }
            RDKafkaLogLevel::Warning
            | RDKafkaLogLevel::Notice
            | RDKafkaLogLevel::Info
            | RDKafkaLogLevel::Debug => {
                tracing::warn!(target: "librdkafka", client = "admin", %facility, "{line}");
            }
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::warn!(target: "librdkafka", client = "admin", %error, "{reason}");
    }
}

/// What a look at the cluster found.
enum Found {
    Partitions(u32),
    Nothing,
}

/// What a look at the cluster waits for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    /// Any answer: also that there is no such topic.
    Answer,
    /// That each partition has a leader.
    Leaders,
}

struct Task<'a> {
    client: &'a AdminClient<Logged>,
    spec: &'a TopicSpec<'a>,
    start: Instant,
    timeout: Duration,
}

impl Task<'_> {
    fn left(&self) -> Duration {
        self.timeout.saturating_sub(self.start.elapsed())
    }

    /// Asks until there is an answer of the wanted kind. The pause between questions doubles, as
    /// a cluster that is starting is not helped by many.
    fn wait_for(&self, wanted: Wanted) -> Result<Found, AdminError> {
        const PAUSE_MAX: Duration = Duration::from_millis(500);
        let mut pause = Duration::from_millis(10);
        let waiting_for = match wanted {
            Wanted::Answer => "an answer of the cluster",
            Wanted::Leaders => "a leader for each partition",
        };
        loop {
            let last = match self.look(wanted)? {
                Look::Done(found) => return Ok(found),
                Look::NotYet(reason) => reason,
            };
            if self.left() <= pause {
                return Err(self.too_late(waiting_for, last));
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    fn look(&self, wanted: Wanted) -> Result<Look, AdminError> {
        let metadata = match self
            .client
            .inner()
            .fetch_metadata(Some(self.spec.name), self.left())
        {
            Ok(metadata) => metadata,
            Err(error) => return Ok(Look::NotYet(error.to_string())),
        };
        let topic = metadata
            .topics()
            .iter()
            .find(|topic| topic.name() == self.spec.name);
        let Some(topic) = topic else {
            return Ok(Look::NotYet("the answer does not name it".to_owned()));
        };
        let code = topic.error().map(RDKafkaErrorCode::from);
        match code {
            None => {}
            Some(RDKafkaErrorCode::UnknownTopicOrPartition) => {
                return Ok(match wanted {
                    Wanted::Answer => Look::Done(Found::Nothing),
                    Wanted::Leaders => Look::NotYet("it is not visible".to_owned()),
                });
            }
            Some(code) if is_refusal(code) => return Err(self.not_allowed("see", code)),
            Some(code @ (RDKafkaErrorCode::InvalidTopic | RDKafkaErrorCode::PolicyViolation)) => {
                return Err(self.refused(code));
            }
            Some(code) => return Ok(Look::NotYet(code.to_string())),
        }
        let partitions = topic.partitions();
        let has_leaders = partitions.iter().all(|partition| partition.leader() >= 0);
        if partitions.is_empty() || (wanted == Wanted::Leaders && !has_leaders) {
            return Ok(Look::NotYet("a partition has no leader".to_owned()));
        }
        let count = u32::try_from(partitions.len()).unwrap_or(u32::MAX);
        Ok(Look::Done(Found::Partitions(count)))
    }

    fn create(&self) -> Result<(), AdminError> {
        const BROKERS_DEFAULT: i32 = -1;
        let partitions = self.spec.partitions.map_or(BROKERS_DEFAULT, |partitions| {
            i32::try_from(partitions).unwrap_or(i32::MAX)
        });
        let replication = self.spec.replication.map_or(BROKERS_DEFAULT, i32::from);
        let mut topic = NewTopic::new(
            self.spec.name,
            partitions,
            TopicReplication::Fixed(replication),
        );
        for (key, value) in self.spec.config {
            topic = topic.set(key, value);
        }
        let options = AdminOptions::new()
            .request_timeout(Some(self.left()))
            .operation_timeout(Some(self.left()));
        let results = futures_lite::future::block_on(self.client.create_topics([&topic], &options))
            .map_err(|error| self.too_late("its creation", error.to_string()))?;
        for result in results {
            match result {
                Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                // It may exist all the same: what follows looks for it.
                Err((_, RDKafkaErrorCode::RequestTimedOut)) => {}
                Err((_, code)) if is_refusal(code) => {
                    return Err(self.not_allowed("create", code));
                }
                Err((_, code)) => return Err(self.refused(code)),
            }
        }
        Ok(())
    }

    fn not_allowed(&self, action: &'static str, code: RDKafkaErrorCode) -> AdminError {
        AdminError::NotAllowed {
            topic: self.spec.name.to_owned(),
            action,
            reason: code.to_string(),
        }
    }

    fn refused(&self, code: RDKafkaErrorCode) -> AdminError {
        AdminError::Refused {
            topic: self.spec.name.to_owned(),
            reason: code.to_string(),
        }
    }

    fn too_late(&self, waiting_for: &'static str, last: String) -> AdminError {
        AdminError::Timeout {
            topic: self.spec.name.to_owned(),
            waiting_for,
            timeout: self.timeout,
            last,
        }
    }
}

/// The outcome of one question.
enum Look {
    Done(Found),
    NotYet(String),
}

fn is_refusal(code: RDKafkaErrorCode) -> bool {
    code == RDKafkaErrorCode::TopicAuthorizationFailed
        || code == RDKafkaErrorCode::ClusterAuthorizationFailed
}

#[cfg(test)]
mod tests {
    use rdkafka::mocking::MockCluster;

    use super::*;
    use crate::kafka::properties::{ClientSettings, admin_properties};

    fn ensure(
        properties: &[Property],
        spec: &TopicSpec<'_>,
        create: Create,
        timeout: Duration,
    ) -> Result<u32, AdminError> {
        TopicAdmin::new(properties)?.ensure(spec, create, timeout)
    }

    const PATIENCE: Duration = Duration::from_secs(30);

    fn spec(name: &str, partitions: Option<u32>) -> TopicSpec<'_> {
        TopicSpec {
            name,
            partitions,
            replication: None,
            config: &[],
        }
    }

    fn properties(brokers: String) -> Vec<Property> {
        admin_properties(&[brokers], &ClientSettings::default()).unwrap()
    }

    // The mock cannot create topics by request: that is tested against a real cluster.

    #[test]
    fn a_topic_that_is_there_is_taken_as_it_is_or_refused_with_both_counts() {
        let mock = MockCluster::new(1).unwrap();
        mock.create_topic("t", 3, 1).unwrap();
        let properties = properties(mock.bootstrap_servers());
        for asked in [None, Some(3)] {
            let found = ensure(&properties, &spec("t", asked), Create::Never, PATIENCE);
            assert_eq!(found, Ok(3));
        }
        let error = ensure(&properties, &spec("t", Some(4)), Create::Allowed, PATIENCE);
        assert_eq!(
            error.unwrap_err().to_string(),
            "topic 't' has 3 partitions; 4 are configured"
        );
    }

    #[test]
    fn a_missing_topic_is_an_error_where_creating_is_not_allowed() {
        let mock = MockCluster::new(1).unwrap();
        let properties = properties(mock.bootstrap_servers());
        // Twice, so that the question itself did not create it.
        for _ in 0..2 {
            let found = ensure(&properties, &spec("t", None), Create::Never, PATIENCE);
            let topic = "t".to_owned();
            assert_eq!(found, Err(AdminError::Missing { topic }));
        }
    }

    #[test]
    fn a_cluster_that_does_not_answer_is_said_to_after_the_timeout() {
        let properties = properties("127.0.0.1:1".to_owned());
        let short = Duration::from_millis(300);
        let start = Instant::now();
        let error = ensure(&properties, &spec("t", None), Create::Never, short).unwrap_err();
        assert!(matches!(error, AdminError::Timeout { .. }), "{error}");
        assert!(start.elapsed() < PATIENCE);
    }
}
