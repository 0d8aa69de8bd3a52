//! The embedded log: durable stripes on one machine.

pub mod format;
pub mod state;
