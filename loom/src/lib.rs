//! corelane's lock-free parts, built from loom's atomics instead of the machine's.
//!
//! Each part is the very file of the main package. It takes its atomics from `super::sync`, which
//! is another module here. The models are in `tests/`; `scripts/test` runs them.

#[path = "../../src/mesh/doorbell.rs"]
pub mod doorbell;
mod sync;
