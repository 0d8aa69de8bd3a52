//! Every message that control may send to a core.

use std::sync::mpsc::SyncSender;

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
}

/// A core's answer to [`Command::Report`].
#[derive(Debug)]
pub struct CoreReport {
    /// State pairs of each lane, as of the last commit.
    pub state: Vec<Vec<(Vec<u8>, Vec<u8>)>>,
}
