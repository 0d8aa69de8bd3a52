//! What several tests share; none of them uses all of it.
#![allow(dead_code)]

pub mod batches;
pub mod log_rig;
