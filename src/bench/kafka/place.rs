//! Where the brokers are: found, or a node that is started for the purpose.
//!
//! Owns: that node and its directory, and the properties that each kind of client gets. Never does:
//! make a client. Runs on: the thread that opens the target.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use super::{KafkaOptions, Place, Profile};
use crate::bench::error::BenchError;
use crate::bench::scratch::Scratch;
use crate::config::{Config, HttpChoice, StorageKind};
use crate::control::{Node, NodeOptions};
use crate::cpu::allowed_cpus;
use crate::engine::ledger::Ledger;
use crate::ids::Acks;
use crate::kafka::properties::{
    ClientSettings, ConsumerConfig, IsolationLevel, Membership, ProducerConfig, ProducerRole,
    Property, admin_properties, consumer_properties, producer_properties,
};

/// Bytes that all producers, and all consumers, may hold in their queues.
const QUEUES_BYTES: u64 = 256 << 20;

/// Bytes that each stripe of a node keeps, so that a long load does not fill the device. A consumer that
/// is further behind loses records, and its load counts as partial.
const RETENTION_BYTES: u64 = 8 << 30;

/// Bytes that one client may hold.
const QUEUE_BYTES_MAX: u64 = 64 << 20;

/// Brokers that can be reached, and how.
pub struct Ground {
    /// The node that was started; none where one runs already. Ends before its directory goes.
    pub node: Option<Node>,
    _scratch: Option<Scratch>,
    brokers: Vec<String>,
    settings: ClientSettings,
    more: Vec<Property>,
}

fn refused(target: &'static str) -> impl Fn(String) -> BenchError {
    move |reason| BenchError::Target { target, reason }
}

impl Ground {
    /// Finds the brokers, or starts a node.
    ///
    /// # Errors
    /// A configuration cannot be used, or the node does not start.
    pub fn find(place: &Place) -> Result<Ground, BenchError> {
        match place {
            Place::Node {
                config,
                cores,
                data_parent,
            } => Ground::start(config.as_deref(), *cores, data_parent),
            Place::Running(address) => Ok(Ground::at(vec![address.clone()])),
            Place::Configured { file, cluster } => configured(file, cluster.as_deref()),
            Place::Brokers(properties) => {
                let is_brokers = |(name, _): &&Property| name == "bootstrap.servers";
                let brokers = properties.iter().find(is_brokers);
                let (_, brokers) = brokers.ok_or_else(|| {
                    refused("cluster")("no bootstrap.servers are given".to_owned())
                })?;
                let mut ground = Ground::at(vec![brokers.clone()]);
                ground.more = properties.clone();
                Ok(ground)
            }
        }
    }

    fn at(brokers: Vec<String>) -> Ground {
        Ground {
            node: None,
            _scratch: None,
            brokers,
            settings: ClientSettings {
                client_id: "corelane-bench".to_owned(),
                ..ClientSettings::default()
            },
            more: Vec::new(),
        }
    }

    fn start(
        file: Option<&Path>,
        cores: Option<u16>,
        data_parent: &Path,
    ) -> Result<Ground, BenchError> {
        let refused = refused("listener");
        let scratch = Scratch::make(data_parent)?;
        let half = || allowed_cpus().map(|cpus| (cpus.len() / 2).max(1) as u16);
        let cores = match cores {
            Some(cores) => cores,
            None => half().map_err(|error| refused(error.to_string()))?,
        };
        let change = |config: &mut Config| {
            config.node.cores = cores;
            config.log.directory = scratch.path().join("data");
            config.log.retention_bytes = RETENTION_BYTES;
            config.gateway.tcp.clear();
            config.gateway.unix.clear();
            config.broker.turn_off();
            config.control.http = HttpChoice::Off;
            config.broker.listen = vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 0))];
            config.broker.sasl.clear();
            config.broker.users.clear();
        };
        let config = match file {
            Some(file) => Config::load_with(file, change),
            None => {
                let mut config = Config::default();
                change(&mut config);
                config.validate().map(|()| config)
            }
        };
        let config = config.map_err(|error| refused(error.to_string()))?;
        if config.storage() == StorageKind::Clusters {
            let reason = "its configuration has clusters, and so no log of its own";
            return Err(refused(reason.to_owned()));
        }
        let node = Node::start(&config, NodeOptions::default(), Ledger::new)
            .map_err(|error| refused(error.to_string()))?;
        let brokers = node.kafka_addresses().iter().map(SocketAddr::to_string);
        let mut ground = Ground::at(brokers.collect());
        ground.node = Some(node);
        ground._scratch = Some(scratch);
        Ok(ground)
    }

    /// Properties of one of so many producers.
    pub fn producer(&self, options: &KafkaOptions) -> Result<Vec<Property>, BenchError> {
        let traffic = &options.traffic;
        let profile = match options.profile {
            Profile::Latency => ProducerConfig::latency(),
            Profile::Throughput => ProducerConfig::throughput(),
        };
        let config = ProducerConfig {
            brokers: self.brokers.clone(),
            acks: traffic.acks,
            ..profile
        };
        let settings = self.settings(traffic.topics * traffic.producers);
        let list = producer_properties(&config, &settings, &ProducerRole::Plain);
        let mut list = list.map_err(|error| refused("cluster")(error.to_string()))?;
        list.extend(self.more.iter().chain(&options.producer).cloned());
        Ok(list)
    }

    /// Properties of one of so many consumers.
    pub fn consumer(&self, options: &KafkaOptions) -> Result<Vec<Property>, BenchError> {
        let traffic = &options.traffic;
        let config = ConsumerConfig {
            brokers: self.brokers.clone(),
            group_id: "corelane-bench".to_owned(),
            isolation_level: IsolationLevel::ReadUncommitted,
            ..ConsumerConfig::default()
        };
        let consumers = traffic.topics * traffic.subscriptions * traffic.consumers;
        let list = consumer_properties(&config, &self.settings(consumers), Membership::Static);
        let mut list = list.map_err(|error| refused("cluster")(error.to_string()))?;
        list.extend(self.more.iter().chain(&options.consumer).cloned());
        Ok(list)
    }

    /// Properties of a client that administers.
    pub fn admin(&self) -> Result<Vec<Property>, BenchError> {
        let list = admin_properties(&self.brokers, &self.settings);
        let mut list = list.map_err(|error| refused("cluster")(error.to_string()))?;
        list.extend(self.more.iter().cloned());
        Ok(list)
    }

    fn settings(&self, clients: u32) -> ClientSettings {
        let share = QUEUES_BYTES / u64::from(clients.max(1));
        ClientSettings {
            memory_bytes: share.min(QUEUE_BYTES_MAX),
            ..self.settings.clone()
        }
    }

    /// What an acknowledgement stands for on a node that was started here; none on others.
    pub fn durability(&self, acks: Acks) -> Option<String> {
        self.node.as_ref().map(|_| {
            match acks {
                Acks::All => "acks=all: on stable storage, by group commit",
                Acks::Leader => "acks=leader: appended in memory, written by group commit after it",
                Acks::None => "acks=none: handed to the socket",
            }
            .to_owned()
        })
    }
}

fn configured(file: &Path, name: Option<&str>) -> Result<Ground, BenchError> {
    let content = |problem: String| BenchError::Content {
        path: file.to_path_buf(),
        problem,
    };
    let config = Config::load(file).map_err(|error| refused("cluster")(error.to_string()))?;
    let found = match name {
        Some(name) => config.clusters.get(name),
        None => config.clusters.values().next(),
    };
    let cluster = found.ok_or_else(|| match name {
        Some(name) => content(format!("there is no section [clusters.{name}]")),
        None => content("there is no section [clusters.NAME]".to_owned()),
    })?;
    let settings = cluster
        .settings("corelane-bench", 1)
        .map_err(|error| content(format!("the password's file cannot be read: {error}")))?;
    let mut ground = Ground::at(cluster.brokers.clone());
    ground.settings = settings;
    Ok(ground)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::traffic::{Keys, Traffic, Values};

    fn options(file: &Path, cluster: Option<&str>) -> KafkaOptions {
        let place = Place::Configured {
            file: file.to_path_buf(),
            cluster: cluster.map(str::to_owned),
        };
        let traffic = Traffic {
            topics: 1,
            partitions: 1,
            producers: 1,
            subscriptions: 1,
            consumers: 1,
            keys: Keys::None,
            values: Values::generate(16, 1, 0.0),
            acks: Acks::Leader,
        };
        KafkaOptions::new(place, traffic, Profile::Throughput)
    }

    /// The last value of a property: it wins.
    fn value<'a>(list: &'a [Property], name: &str) -> Option<&'a str> {
        let mut found = list.iter().rev().filter(|(known, _)| known == name);
        found.next().map(|(_, value)| value.as_str())
    }

    #[test]
    fn a_cluster_is_reached_as_its_configuration_says_and_loaded_as_the_options_say() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("node.toml");
        let text = "[clusters.a]\nbrokers = ['one:1', 'two:2']\n[clusters.a.extra]\n\
            'socket.nagle.disable' = 'false'\n[clusters.a.tls]\n[clusters.a.sasl]\n\
            mechanism = 'SCRAM-SHA-256'\nusername = 'me'\npassword = 'secret'\n\
            [clusters.b]\nbrokers = ['three:3']\n\
            [[shards]]\nid = 0\nname = 's'\nlatitude = 1.0\nlongitude = 1.0\n\
            cluster = 'a'\ntopic = 't'\npartitions = 1\n\
            [[shards]]\nid = 1\nname = 'u'\nlatitude = 2.0\nlongitude = 2.0\n\
            cluster = 'b'\ntopic = 'u'\npartitions = 1\n";
        std::fs::write(&file, text).unwrap();
        let mut options = options(&file, None);
        options.producer = vec![("linger.ms".to_owned(), "7".to_owned())];
        let ground = Ground::find(&options.place).unwrap();
        let producer = ground.producer(&options).unwrap();
        for (name, expected) in [
            ("bootstrap.servers", "one:1,two:2"),
            ("security.protocol", "sasl_ssl"),
            ("sasl.password", "secret"),
            ("socket.nagle.disable", "false"),
            ("acks", "1"),
            ("compression.type", "lz4"),
            ("linger.ms", "7"),
        ] {
            assert_eq!(value(&producer, name), Some(expected), "{name}");
        }
        let admin = ground.admin().unwrap();
        assert_eq!(value(&admin, "sasl.username"), Some("me"));
        let other = self::options(&file, Some("b"));
        let consumer = Ground::find(&other.place)
            .unwrap()
            .consumer(&other)
            .unwrap();
        assert_eq!(value(&consumer, "bootstrap.servers"), Some("three:3"));
        let absent = Ground::find(&self::options(&file, Some("c")).place);
        let error = absent.err().unwrap().to_string();
        assert!(error.contains("[clusters.c]"), "{error}");
    }

    #[test]
    fn brokers_are_needed() {
        let place = Place::Brokers(vec![("client.id".to_owned(), "x".to_owned())]);
        let error = Ground::find(&place).err().unwrap().to_string();
        assert!(error.contains("bootstrap.servers"), "{error}");
    }
}
