//! Part `idle`: what a node takes that many connections are open to and silent.

use std::time::Duration;

use corelane::clock;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::kafka_peer::Peer;
use crate::report::{Bound, Check, Section, seconds};
use crate::stage::node;
use crate::{Failure, Scale};

/// Files that the bench and the node have open besides connections.
const SPARE: u64 = 200;

/// Allows this process, and the node that it starts next, so many connections.
fn allow(connections: usize) -> Result<(), Failure> {
    let needed = connections as u64 + SPARE;
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= needed) {
        return Ok(());
    }
    if limit.maximum.is_some_and(|maximum| maximum < needed) {
        return Err(
            format!("{connections} connections need a limit of {needed} open files").into(),
        );
    }
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: Some(needed),
            ..limit
        },
    )?;
    Ok(())
}

pub fn run(scale: &Scale) -> Result<Section, Failure> {
    /// What a node does at its start has ended by then.
    const SETTLE: Duration = Duration::from_secs(1);
    allow(scale.connections)?;
    let settle = || std::thread::sleep(SETTLE.min(Duration::from_secs(scale.idle_seconds)));
    let (node, address) = node()?;
    settle();
    let before_kb = node.resident_kb();
    let mut peers: Vec<Peer> = (0..scale.connections)
        .map(|_| Peer::connect(address))
        .collect();
    for peer in &mut peers {
        peer.api_versions().ok_or("a connection was refused")?;
    }
    settle();
    let resident_kb = node.resident_kb();
    let (cpu, start) = (node.cpu_time(), clock::monotonic());
    std::thread::sleep(Duration::from_secs(scale.idle_seconds));
    let busy = (node.cpu_time() - cpu).as_secs_f64() / seconds(start, clock::monotonic());
    let grown_kb = resident_kb.saturating_sub(before_kb) as f64;
    Ok(Section {
        part: "idle",
        settings: format!(
            "{} connections that have asked for ApiVersions, a node of its own, {} s",
            scale.connections, scale.idle_seconds
        ),
        latencies: Vec::new(),
        rates: Vec::new(),
        checks: vec![
            Check::told("resident without connections, MB", before_kb as f64 / 1e3),
            Check::new(
                "resident with them, MB",
                resident_kb as f64 / 1e3,
                Bound::AtMost(200.0),
            ),
            Check::new(
                "a connection, KB",
                grown_kb / scale.connections as f64,
                Bound::AtMost(10.0),
            ),
            Check::new(
                "CPU time, percent of a core",
                100.0 * busy,
                Bound::AtMost(2.0),
            ),
        ],
    })
}
