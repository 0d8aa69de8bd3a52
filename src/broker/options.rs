//! What one core's broker is told at start.

use crate::ids::CoreId;

/// Bounds and choices of one core's broker.
#[derive(Clone, Debug)]
pub struct BrokerOptions {
    /// Which core.
    pub core: CoreId,
    /// Cores of the node.
    pub cores: u16,
    /// Connections of this core at once.
    pub connections_max: usize,
    /// Longest request that is read, in bytes without its length field.
    pub request_bytes_max: usize,
    /// Bytes of requests that one connection may have under way. One request is always let in.
    pub connection_bytes_max: usize,
    /// Bytes of requests, and apart from that of answers, that all connections of this core may have
    /// under way.
    pub bytes_max: usize,
    /// Bytes of records that one answer to a Fetch holds at the most; a first batch that is longer is
    /// sent all the same.
    pub fetch_bytes_max: usize,
    /// Whether a Metadata request makes topics that are missing.
    pub auto_create: AutoCreate,
    /// The data directory, as clients are told.
    pub directory: String,
    /// The longest time that a request waits for space on the device, in nanoseconds.
    pub storage_patience_ns: u64,
}

/// Whether missing topics are made when a client asks for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AutoCreate {
    /// Yes, if the client allows it too.
    Allowed,
    /// No.
    Never,
}
