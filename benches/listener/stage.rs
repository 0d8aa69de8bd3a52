//! Who takes part: a node, librdkafka's mock broker, and Apache Kafka where it can be.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use corelane::kafka::properties::Property;

use crate::Failure;
use crate::node::{Launch, Node, Setup};
use crate::place::Place;

/// A version of Produce that every broker of today has.
pub const PRODUCE_VERSION: i16 = 9;

/// Everybody.
pub struct Stage {
    /// Our node's listener.
    pub ours: Place,
    pub mock: Place,
    pub kafka: Option<Place>,
    _node: Node,
}

impl Stage {
    pub fn new(with_kafka: bool) -> Result<Stage, Failure> {
        let (node, address) = node()?;
        let kafka = match with_kafka {
            true => Place::real()?,
            false => None,
        };
        Ok(Stage {
            ours: Place::Given(address.to_string()),
            mock: Place::mock()?,
            kafka,
            _node: node,
        })
    }
}

/// A node of one core in the default configuration, and the address of its listener. What it stores
/// is bounded: the bench writes gigabytes.
pub fn node() -> Result<(Node, SocketAddr), Failure> {
    // Free a moment ago, and so most likely still.
    let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
    let config = format!(
        "[log]\nretention_bytes = 1073741824\n[broker]\nlisten = [\"{address}\"]\n[gateway]\ntcp = []\n"
    );
    Ok((
        Node::start(Setup {
            cores: 1,
            config,
            launch: Launch::Plain,
        }),
        address,
    ))
}

/// A client's properties: those of its place, and further ones.
pub fn properties(place: &Place, more: &[(&str, &str)]) -> Vec<Property> {
    let brokers = place.brokers();
    [("bootstrap.servers", &brokers[..])]
        .iter()
        .chain(more)
        .map(|&(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}
