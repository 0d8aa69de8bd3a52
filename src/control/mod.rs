//! Control: start a node, watch it, drain it, stop it.
//!
//! Owns: the order of starting and stopping, the housekeeping threads, the data directory's lock.
//! Never does: anything with a transaction. Runs on: housekeeping threads; reaches cores by
//! commands and reads their status.

mod broker;
mod clusters;
mod embedded;
mod error;
mod executor;
mod free;
mod handle;
mod housekeeping;
mod http;
mod iowq;
mod layout;
pub mod logging;
mod node;
mod placement;
mod places;
mod readings;
mod seeds;
pub mod signals;
mod slow;
pub mod topics;
mod tracer;
mod watch;

pub use error::StartError;
pub use housekeeping::{Housekeeping, Visit};
pub use node::{Node, NodeOptions, NodeReport, StopError};
pub use readings::Readings;
pub use slow::{SlowTransaction, Slowest, StageSpan};
