//! What the doorbell is built from. The models in `loom/` include the doorbell's file and put
//! another module in this one's place.
//!
//! Owns: nothing; only names. Runs on: every core.

pub(super) use std::sync::atomic::{AtomicBool, Ordering, fence};

pub(super) use atomic_waker::AtomicWaker;
pub(super) use crossbeam::utils::CachePadded;
