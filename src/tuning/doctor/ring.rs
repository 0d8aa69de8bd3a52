//! Whether the kernel gives this process an io_uring.
//!
//! Owns: the one call that finds out. Never does: using the ring.
//!
//! JUSTIFICATION of unsafe code: whether a filter of system calls (seccomp) refuses io_uring can only
//! be found by asking for a ring, and rustix marks that call unsafe for flags that are not used here.
#![allow(unsafe_code)]

use rustix::io::Errno;
use rustix::io_uring::{io_uring_params, io_uring_setup};
use serde::{Deserialize, Serialize};

use crate::cpu::Sys;

/// `0` for everybody, `1` for a group and root, `2` for nobody:
/// Documentation/admin-guide/sysctl/kernel.rst.
pub const DISABLED: &str = "/proc/sys/kernel/io_uring_disabled";

/// Entries of the ring that is tried.
const ENTRIES: u32 = 8;

/// What came of asking.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ring {
    /// A ring was made.
    Works,
    /// The kernel has none, or a filter says so.
    Missing,
    /// The sysctl forbids it, with this value.
    Disabled(String),
    /// A filter of system calls or a security module forbids it.
    Filtered,
    /// It failed with these words.
    Failed(String),
}

impl Ring {
    /// Asks for a ring and gives it back.
    pub fn probe(sys: &dyn Sys) -> Ring {
        let disabled = sys.read(DISABLED).unwrap_or_default();
        Ring::of(setup(), disabled.trim())
    }

    fn of(asked: Result<(), Errno>, disabled: &str) -> Ring {
        match asked {
            Ok(()) => Ring::Works,
            Err(Errno::NOSYS) => Ring::Missing,
            Err(Errno::PERM | Errno::ACCESS) if matches!(disabled, "1" | "2") => {
                Ring::Disabled(disabled.to_owned())
            }
            Err(Errno::PERM | Errno::ACCESS) => Ring::Filtered,
            Err(error) => Ring::Failed(std::io::Error::from(error).to_string()),
        }
    }
}

fn setup() -> Result<(), Errno> {
    let mut params = io_uring_params::default();
    // SAFETY: the precondition concerns the flag ATTACH_WQ only, and no flag is set. The ring is
    // never mapped or entered; its descriptor is closed at once.
    let ring = unsafe { io_uring_setup(ENTRIES, &mut params) };
    ring.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_is_told_from_the_others() {
        assert_eq!(Ring::of(Ok(()), "2"), Ring::Works, "root may");
        assert_eq!(Ring::of(Err(Errno::NOSYS), "0"), Ring::Missing);
        assert_eq!(Ring::of(Err(Errno::PERM), "2"), Ring::Disabled("2".into()));
        assert_eq!(Ring::of(Err(Errno::PERM), "0"), Ring::Filtered);
        assert_eq!(Ring::of(Err(Errno::PERM), ""), Ring::Filtered);
        assert!(matches!(Ring::of(Err(Errno::NOMEM), "0"), Ring::Failed(_)));
    }
}
