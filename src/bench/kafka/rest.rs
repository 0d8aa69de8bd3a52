//! Waiting for the next thing to do.
//!
//! Owns: how long, and how exactly. Runs on: the threads of a load.

use std::sync::Arc;
use std::time::Duration;

use crate::ids::Nanos;
use crate::kafka::native::{ClientConf, KafkaError};
use crate::kafka::properties::Property;

/// What is due so soon is waited for awake: going to sleep and waking up takes longer.
const SPIN_NS: u64 = 20_000;

/// After so long without a wake a thread looks around by itself.
const LOOK: Duration = Duration::from_millis(20);

/// A client's configuration that wakes the calling thread, which has to be the one that polls.
pub fn waking(properties: &[Property]) -> Result<ClientConf, KafkaError> {
    let thread = std::thread::current();
    let mut conf = ClientConf::new(properties)?;
    conf.wake_by(Arc::new(move || thread.unpark()));
    Ok(conf)
}

/// Waits for a wake, or until `due`. What came before the call is no reason to wait: `unpark` is
/// remembered.
pub fn rest(now: Nanos, due: Option<Nanos>) {
    let left = due.map_or(u64::MAX, |due| due.since(now));
    if left < SPIN_NS {
        std::hint::spin_loop();
        return;
    }
    std::thread::park_timeout(Duration::from_nanos(left).min(LOOK));
}
