//! The embedded log: durable stripes on one machine.

pub mod files;
pub mod format;
pub mod index;
pub mod keeper;
pub mod state;
