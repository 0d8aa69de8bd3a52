//! The embedded log: durable stripes on one machine.

pub mod catalog;
pub mod directory;
pub mod files;
pub mod format;
pub mod index;
pub mod inspect;
pub mod keeper;
pub mod rebuild;
pub mod recover;
pub mod scan;
pub mod state;
pub mod walk;
mod window;
