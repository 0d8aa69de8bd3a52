//! Clients that go on over whatever happens to their broker, and the killing of it.

#![allow(dead_code)] // Each test uses its own part of this.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::broker_node::BrokerNode;
use crate::kafka_peer::Peer;
use crate::random::Random;

/// How long a broker may be down, and how long until clients get something done.
const PATIENCE: Duration = Duration::from_secs(40);

/// What the clients and the test know of each other.
pub struct Lives {
    address: SocketAddr,
    done: AtomicU64,
    is_over: AtomicBool,
}

/// Ends the clients, also where the test fails, which would otherwise wait for them.
pub struct Ending<'a>(&'a Lives);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.is_over.store(true, Ordering::Relaxed);
    }
}

impl Lives {
    pub fn new(address: SocketAddr) -> Lives {
        Lives {
            address,
            done: AtomicU64::new(0),
            is_over: AtomicBool::new(false),
        }
    }

    /// The clients end with this.
    pub fn ending(&self) -> Ending<'_> {
        Ending(self)
    }

    pub fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    /// Something was acknowledged.
    pub fn note(&self) {
        self.done.fetch_add(1, Ordering::Relaxed);
    }

    /// Runs a client's lives, each on a connection of its own, until one of them is told to end: that
    /// gives `Some`. `None` is the end of the connection.
    pub fn live(&self, mut life: impl FnMut(&mut Peer) -> Option<()>) {
        let mut up_last = Instant::now();
        loop {
            if let Ok(mut peer) = Peer::try_connect(self.address) {
                up_last = Instant::now();
                if life(&mut peer).is_some() {
                    return;
                }
            }
            assert!(up_last.elapsed() < PATIENCE, "the broker stays away");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Lets the clients get so much done.
    pub fn wait_for(&self, more: u64) {
        let until = self.done.load(Ordering::Relaxed) + more;
        let started = Instant::now();
        while self.done.load(Ordering::Relaxed) < until {
            assert!(started.elapsed() < PATIENCE, "the clients get nothing done");
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Kills the node so many times while the clients work, each time at a moment of chance, and starts it
/// again, with another number of cores.
pub fn kill_again_and_again(
    broker: &mut BrokerNode,
    lives: &Lives,
    rounds: u32,
    random: &mut Random,
) {
    for round in 0..rounds {
        lives.wait_for(random.within(20..120));
        let further = Duration::from_micros(random.within(0..30_000));
        std::thread::sleep(further);
        broker.node.kill9();
        broker.node.note(&format!("round {round}: killed"));
        broker.node.set_cores(random.within(1..4) as u16);
        broker.node.restart();
    }
    lives.wait_for(20);
}
