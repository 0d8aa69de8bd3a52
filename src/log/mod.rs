//! The embedded log: durable stripes on one machine.
//!
//! Owns: the data directory and everything in it. Never does: waiting on a core; whatever takes
//! long is the keeper's. Runs on: stripes on their cores, recovery and the keeper on housekeeping
//! threads.
//!
//! Three words, used in this sense everywhere:
//!
//! - **appended**: the record has its offset and lies in the memory of its stripe's owner, in
//!   order. If the machine or the process dies now, it may be lost.
//! - **durable**: the record survives the loss of power: the write of its frame has ended, that
//!   write was a synchronous one, and so had the writes of all frames before it. What is durable
//!   is a prefix of what is appended.
//! - **visible**: a consumer may read the record. Visible is what is durable; for a partition with
//!   `read_at = appended` it is what is appended, so that its readers may see records which a
//!   crash then takes back.
//!
//! Only durable is a promise. Offsets are given out on append and have no gaps; after a crash the
//! offsets of records that were appended but not durable are given out again.
//!
//! | module | what |
//! |---|---|
//! | [`mod@format`], [`state`] | the bytes of a segment; the plain data that modules share |
//! | [`storage`] | the stripes of one core behind the engine's seam |
//! | [`stripe`] | append, group commit, atomic groups, reads, rolling, retention |
//! | [`disk`], [`dma`], [`sim`] | the hot side's disk: the trait, the real one, the simulated one |
//! | [`directory`], [`catalog`] | a data directory: its lock, its version, its topics |
//! | [`files`], [`index`], [`keeper`] | files off the hot path |
//! | [`recover`], [`walk`], [`scan`], [`rebuild`] | from files back to a stripe |

pub mod catalog;
pub mod directory;
pub mod disk;
pub mod dma;
pub mod files;
pub mod format;
pub mod index;
pub mod inspect;
pub mod keeper;
pub mod rebuild;
pub mod recover;
mod ring;
pub mod scan;
pub mod sim;
pub mod state;
pub mod storage;
pub mod stripe;
pub mod walk;
mod window;
