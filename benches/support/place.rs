//! Where the brokers are, and topics on them.

use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use corelane::kafka::admin::{Create, TopicAdmin, TopicSpec};
use corelane::kafka::properties::{ClientSettings, admin_properties};
use futures_lite::future::block_on;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;

use crate::Failure;

/// How long a cluster may take to do what is asked of it.
const PATIENCE: Duration = Duration::from_secs(60);

/// What brokers of one's own run with: what Kafka ships, and a heap that is enough for one topic.
/// The script's defaults are for tests, which start brokers often.
const JVM: [(&str, &str); 2] = [
    ("KAFKA_HEAP_OPTS", "-Xms1g -Xmx1g"),
    (
        "KAFKA_JVM_PERFORMANCE_OPTS",
        "-server -XX:+UseG1GC -XX:MaxGCPauseMillis=20 -XX:InitiatingHeapOccupancyPercent=35 \
         -XX:+ExplicitGCInvokesConcurrent -XX:MaxInlineLevel=15",
    ),
];

/// Where the brokers are.
pub enum Place {
    /// Somebody's, by KAFKA_BROKERS.
    Given(String),
    /// Ours, by scripts/kafka; taken down with this.
    Started(Started),
    /// librdkafka's own imitation, in this process.
    Mock(MockCluster<'static, DefaultProducerContext>),
}

impl Place {
    /// The brokers that KAFKA_BROKERS names, or one of our own; none where this machine has not
    /// what Kafka needs.
    pub fn real() -> Result<Option<Place>, Failure> {
        match std::env::var("KAFKA_BROKERS") {
            Ok(brokers) if !brokers.is_empty() => Ok(Some(Place::Given(brokers))),
            _ => Ok(Started::up()?.map(Place::Started)),
        }
    }

    pub fn mock() -> Result<Place, Failure> {
        Ok(Place::Mock(MockCluster::new(1)?))
    }

    /// The bootstrap list.
    pub fn brokers(&self) -> String {
        match self {
            Place::Given(brokers) => brokers.clone(),
            Place::Started(started) => started.brokers.clone(),
            Place::Mock(mock) => mock.bootstrap_servers(),
        }
    }

    /// In words.
    pub fn name(&self) -> &'static str {
        match self {
            Place::Given(_) => "given by KAFKA_BROKERS",
            Place::Started(_) => "one broker by scripts/kafka, on this machine",
            Place::Mock(_) => "librdkafka's mock: figures mean nothing",
        }
    }

    /// Makes a topic that was never there, of one replica; removed with what is returned, and with
    /// it all topics whose names begin with its name.
    pub fn topic(&self, hint: &str, partitions: u16) -> Result<Topic<'_>, Failure> {
        self.topic_with(hint, partitions, &[])
    }

    /// The same with settings of its own, which the mock has none of.
    pub fn topic_with(
        &self,
        hint: &str,
        partitions: u16,
        config: &[(&str, &str)],
    ) -> Result<Topic<'_>, Failure> {
        // A topic of the same name may still be on its way out.
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("corelane-bench-{}-{number}-{hint}", std::process::id());
        match self {
            // It makes none by itself, so also those that a node makes for a shard.
            Place::Mock(mock) => {
                for name in ["", ".state", ".dlq"].map(|suffix| format!("{name}{suffix}")) {
                    mock.create_topic(&name, partitions.into(), 1)?;
                }
            }
            Place::Given(_) | Place::Started(_) => {
                let properties = admin_properties(&[self.brokers()], &ClientSettings::default())?;
                let spec = TopicSpec {
                    name: &name,
                    partitions: Some(partitions.into()),
                    replication: Some(1),
                    config,
                };
                TopicAdmin::new(&properties)?.ensure(&spec, Create::Allowed, PATIENCE)?;
            }
        }
        Ok(Topic { place: self, name })
    }
}

/// A topic that goes with this value.
pub struct Topic<'a> {
    place: &'a Place,
    pub name: String,
}

impl Topic<'_> {
    fn remove(&self) -> Result<(), Failure> {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.place.brokers());
        let admin: AdminClient<DefaultClientContext> = config.create()?;
        let all = admin.inner().fetch_metadata(None, PATIENCE)?;
        let names = all.topics().iter().map(|topic| topic.name());
        let ours: Vec<&str> = names.filter(|name| name.starts_with(&self.name)).collect();
        let options = AdminOptions::new().operation_timeout(Some(PATIENCE));
        for result in block_on(admin.delete_topics(&ours, &options))? {
            result.map_err(|(_, error)| error.to_string())?;
        }
        Ok(())
    }
}

impl Drop for Topic<'_> {
    fn drop(&mut self) {
        let is_real = match self.place {
            Place::Mock(_) => false,
            Place::Given(_) | Place::Started(_) => true,
        };
        if is_real && let Err(error) = self.remove() {
            eprintln!("topic {} is left behind: {error}", self.name);
        }
    }
}

/// A broker of our own.
pub struct Started {
    name: String,
    brokers: String,
}

impl Started {
    fn up() -> Result<Option<Started>, Failure> {
        let owner = std::process::id().to_string();
        // Made before the broker is, so that it goes also when the script fails half-way.
        let mut started = Started {
            name: format!("bench-{owner}"),
            brokers: String::new(),
        };
        if !started.script("check", &[])?.status.success() {
            return Ok(None);
        }
        let output = started.script("up", &["--owner", &owner])?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into());
        }
        started.brokers = String::from_utf8(output.stdout)?.trim().to_owned();
        Ok(Some(started))
    }

    fn script(&self, command: &str, arguments: &[&str]) -> Result<Output, Failure> {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/kafka");
        let output = Command::new(script)
            .args([command, "--name", &self.name])
            .args(arguments)
            .envs(
                JVM.into_iter()
                    .filter(|(name, _)| std::env::var_os(name).is_none()),
            )
            .output()?;
        Ok(output)
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        match self.script("down", &[]) {
            Ok(output) if output.status.success() => {}
            Ok(output) => eprintln!("{}", String::from_utf8_lossy(&output.stderr)),
            Err(error) => eprintln!("the broker is left behind: {error}"),
        }
    }
}
