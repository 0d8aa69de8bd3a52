//! Keeping a thread on its CPU.
//!
//! Owns: the mask of the thread that asks. Never does: choosing CPUs.

use std::io;

use rustix::thread::{CpuSet as Mask, sched_setaffinity};

use crate::ids::CpuId;

/// Lets the calling thread run on `cpu` only.
///
/// # Errors
/// The CPU is not there, or this process may not use it.
pub fn pin_to(cpu: CpuId) -> io::Result<()> {
    if cpu.index() >= Mask::MAX_CPU {
        let text = format!("CPU {} is beyond what can be asked for", cpu.0);
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    let mut mask = Mask::new();
    mask.set(cpu.index());
    sched_setaffinity(None, &mask).map_err(io::Error::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpus_that_are_not_there_are_refused() {
        std::thread::spawn(|| {
            for cpu in [1023, 1024, u16::MAX] {
                assert!(pin_to(CpuId(cpu)).is_err(), "{cpu}");
            }
        })
        .join()
        .unwrap();
    }
}
