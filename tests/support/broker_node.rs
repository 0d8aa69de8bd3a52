//! The real binary with a Kafka listener on an address of its own.

#![allow(dead_code)] // Each test uses its own part of this.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use crate::kafka_peer::Peer;
use crate::node::{Node, Setup};

/// How soon a client must be served, whatever others do.
const PATIENCE: Duration = Duration::from_secs(10);

/// A node whose listener is reached at `address`.
pub struct BrokerNode {
    pub node: Node,
    pub address: SocketAddr,
}

impl BrokerNode {
    /// Two cores, a plain listener without authentication.
    pub fn start() -> BrokerNode {
        BrokerNode::start_with("", "")
    }

    /// The same with further keys for `[broker]`, and further sections.
    pub fn start_with(keys: &str, sections: &str) -> BrokerNode {
        let address = own_address();
        let broker = format!("[broker]\nlisten = [\"{address}\"]\n{keys}\n{sections}\n");
        BrokerNode::start_at(address, &broker)
    }

    /// A node with this `[broker]` section, which listens at `address`.
    pub fn start_at(address: SocketAddr, broker: &str) -> BrokerNode {
        let mut setup = Setup::with_cores(2);
        setup.config.push_str(broker);
        BrokerNode::launch(address, setup)
    }

    /// A node that is set up otherwise, its plain listener without authentication.
    pub fn start_as(mut setup: Setup) -> BrokerNode {
        let address = own_address();
        setup
            .config
            .push_str(&format!("[broker]\nlisten = [\"{address}\"]\n"));
        BrokerNode::launch(address, setup)
    }

    fn launch(address: SocketAddr, setup: Setup) -> BrokerNode {
        BrokerNode {
            node: Node::start(setup),
            address,
        }
    }

    /// Connects and says nothing.
    pub fn peer(&self) -> Peer {
        Peer::connect(self.address)
    }

    /// Another client is served, and soon; nothing in the node has panicked.
    pub fn serves_others(&mut self) {
        let started = Instant::now();
        assert!(
            self.node.is_up(),
            "the node is gone:\n{}",
            self.node.stderr()
        );
        // Both cores accept: a few connections reach both.
        for _ in 0..8 {
            let mut peer = self.peer();
            assert!(peer.api_versions().is_some());
            peer.make_topic("others");
            let end = peer.end_offset("others", 0);
            let produced = peer.produce("others", 0, crate::kafka_peer::one_record(b"x"));
            assert_eq!((produced.error, produced.base_offset), (0, end));
            assert!(!peer.fetch("others", 0, end).is_empty());
        }
        assert!(started.elapsed() < PATIENCE, "others wait too long");
        assert!(
            !self.node.stderr().contains("panicked"),
            "a thread panicked:\n{}",
            self.node.stderr()
        );
    }
}

/// An address of this machine that no other test uses, running at the same time or before: cores
/// share an address, so a taken one would go unnoticed.
pub fn own_address() -> SocketAddr {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let [.., high, low] = std::process::id().to_be_bytes();
    let ip = Ipv4Addr::new(127, 64 + high % 64, low, number);
    SocketAddr::new(IpAddr::V4(ip), 9092)
}
