//! Who takes part.

use std::net::{Ipv4Addr, TcpListener};

use corelane::bench::kafka::{self, KafkaOptions, Profile};
use corelane::bench::target::Target;
use corelane::bench::traffic::{Keys, Traffic, Values};
use corelane::ids::Acks;

use crate::node::{Launch, Node, Setup};
use crate::place::Place;
use crate::{Failure, Scale};

/// A broker, and how its topics are made.
pub struct Peer {
    /// With what it does for an acknowledgement.
    pub name: &'static str,
    /// The bootstrap list.
    pub brokers: String,
    topic_config: Vec<(String, String)>,
}

/// Everybody, the node first.
pub struct Stage {
    pub peers: Vec<Peer>,
    /// By scripts/kafka; the tools come with it.
    pub kafka: Option<Place>,
    _node: Node,
}

impl Stage {
    /// The node, and with `others` whoever else this machine has.
    pub fn new(others: bool) -> Result<Stage, Failure> {
        // Free a moment ago, and so most likely still.
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let config = format!(
            "[log]\nretention_bytes = 4294967296\n[broker]\nlisten = [\"{address}\"]\n[gateway]\ntcp = []\n"
        );
        let node = Node::start(Setup {
            cores: 1,
            config,
            launch: Launch::Plain,
        });
        let mut peers = vec![Peer {
            name: "corelane, a sync for each group",
            brokers: address.to_string(),
            topic_config: Vec::new(),
        }];
        let kafka = if others { Place::real()? } else { None };
        if let Some(kafka) = &kafka {
            peers.push(Peer {
                name: "Apache Kafka, no sync",
                brokers: kafka.brokers(),
                topic_config: Vec::new(),
            });
            peers.push(Peer {
                name: "Apache Kafka, a sync for each batch",
                brokers: kafka.brokers(),
                topic_config: vec![("flush.messages".to_owned(), "1".to_owned())],
            });
        }
        if let Some(brokers) = std::env::var("REDPANDA_BROKERS").ok().filter(|_| others) {
            peers.push(Peer {
                name: "Redpanda, a sync for each batch",
                brokers,
                topic_config: Vec::new(),
            });
        }
        Ok(Stage {
            peers,
            kafka,
            _node: node,
        })
    }

    /// The places of the peers in the order of a round: whoever came first comes last in the next.
    pub fn order(&self, round: usize) -> impl Iterator<Item = usize> {
        let count = self.peers.len();
        (0..count).map(move |place| (round + place) % count)
    }
}

impl Peer {
    /// Whether its topics are as the broker makes them by itself.
    pub fn is_plain(&self) -> bool {
        self.topic_config.is_empty()
    }

    /// One topic of one partition, one producer, one consumer.
    pub fn open(&self, scale: &Scale, profile: Profile) -> Result<Box<dyn Target>, Failure> {
        let traffic = Traffic {
            topics: 1,
            partitions: 1,
            producers: 1,
            subscriptions: 1,
            consumers: 1,
            keys: Keys::None,
            values: Values::generate(scale.record_bytes, 1_000, 1.0),
            acks: Acks::All,
        };
        let servers = ("bootstrap.servers".to_owned(), self.brokers.clone());
        let place = kafka::Place::Brokers(vec![servers]);
        let mut options = KafkaOptions::new(place, traffic, profile);
        options.replication = Some(1);
        options.topic_config = self.topic_config.clone();
        Ok(kafka::open(&options)?)
    }
}
