//! Every message that control may send to a core.

use std::sync::mpsc::SyncSender;

use crate::ids::CoreId;
use crate::telemetry::Flight;

/// A request of the control plane.
#[derive(Debug)]
pub enum Command {
    /// Refuse new transactions, finish what was taken in and process it.
    Drain,
    /// Write what is needed for a clean start and leave the loop. Sent when every core has
    /// drained, or at once where draining is given up.
    Stop,
    /// Send a copy of the handlers' state.
    Report(SyncSender<CoreReport>),
    /// Send a copy of what the flight recorder keeps, the slowest first.
    Slow(SyncSender<CoreFlights>),
}

/// A core's answer to [`Command::Slow`].
#[derive(Debug)]
pub struct CoreFlights {
    /// The core.
    pub core: CoreId,
    /// Its slowest transactions of the last minutes.
    pub flights: Vec<Flight>,
}

/// A core's answer to [`Command::Report`].
#[derive(Debug)]
pub struct CoreReport {
    /// State pairs of each lane, as of the last commit.
    pub state: Vec<Vec<(Vec<u8>, Vec<u8>)>>,
}
