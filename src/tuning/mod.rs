//! Host tuning: what a host should be like for cores that count microseconds, what it is like, how
//! it is changed and changed back, and proof that it worked.
//!
//! Owns: the catalogue of knobs, the state of what was changed, the measurements. Never does: laying
//! out CPUs (that is [`crate::cpu`], so that the engine uses the same layout); changing anything that
//! it did not write down before. Runs on: the main thread of a command, never beside an engine.

pub mod apply;
pub mod audit;
pub mod capture;
pub mod change;
pub mod check;
pub mod commands;
pub mod competitors;
pub mod doctor;
pub mod exit;
pub mod guard;
pub mod host;
pub mod item;
pub mod jitter;
pub mod knobs;
pub mod plan;
pub mod profile;
pub mod render;
pub mod report;
pub mod revert;
pub mod running;
pub mod script;
pub mod sections;
pub mod state;
pub mod value;
pub mod verify;
