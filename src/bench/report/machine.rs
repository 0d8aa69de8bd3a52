//! What figures were measured on.
//!
//! Owns: reading it. Never does: measuring.

use serde::{Deserialize, Serialize};

/// What figures were measured on. A text is empty where the host does not tell.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// The processor's name.
    pub cpu: String,
    /// CPUs that this process may use.
    pub cpus: usize,
    /// `metal` or a virtual machine's kind.
    pub standing: String,
    /// The kernel's release.
    pub kernel: String,
    /// How frequencies are chosen.
    pub governor: String,
    /// CPUs that the scheduler leaves alone, as a list.
    pub isolated: String,
    /// The clock that the kernel reads.
    pub clock_source: String,
    /// File system of the data directory, with its mount options.
    pub file_system: String,
    /// The device under it.
    pub device: String,
    /// Bytes of memory.
    pub memory_bytes: u64,
    /// Load average of the last minute when the run began, as the kernel writes it.
    pub load_average: String,
}
