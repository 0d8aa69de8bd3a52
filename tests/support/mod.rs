//! What several tests share.

pub mod log_rig;
