//! The engine: the hot path of a transaction.
//!
//! Owns: one core's duty cycle and everything that it touches. Never does, per record: allocate,
//! lock, block, log, read a clock or enter the kernel. Runs on: a pinned core; nothing in here is
//! shared with another one but the rings of the mesh.
//!
//! Where to start: [`core`] holds the parts, `duty.rs` the order of one cycle. A transaction's way
//! is `gateway` or `submitter` → `intake` → `route` → (mesh) → `produce` → storage → `reply`, and
//! from storage → `process` → handler → storage.
//!
//! Rules of this folder:
//! - Control reaches a core by a [`command::Command`] and reads its [`status::CoreStatus`]; it
//!   never touches hot state.
//! - Every queue is bounded. What does not fit stays where it is, and the pressure travels back
//!   to the submitter.
//! - Requests and replies have rings of their own. A core always takes replies, so a full ring of
//!   requests can never keep a reply from arriving, and no circle of waiting cores can form.
//! - Requests from other cores wait only for this core's storage, never for another core. Those
//!   that still have to be routed (from connections and ports) are held apart.

#![deny(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::disallowed_macros
)]

pub mod command;
pub mod core;
mod duty;
pub mod gateway;
mod gauges;
pub mod guest;
pub mod handler;
pub mod idle;
pub mod intake;
pub mod ledger;
pub mod message;
mod pending;
pub mod process;
mod produce;
mod reply;
pub mod route;
pub mod status;
pub mod submitter;
pub mod trace;
