//! A page that is mapped, touched and unmapped again.
//!
//! Owns: that page, for as long as a call takes. Never does: handing it out.
//!
//! JUSTIFICATION of unsafe code: the shootdown of other CPUs' address translations, which this is
//! there to cause, follows from taking memory away, and no safe function does that at a known time
//! (allocators keep theirs). Not by `madvise`: it refuses memory that is locked, as the meter's is.
#![allow(unsafe_code)]

use std::io;

use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous, munmap};

/// Bytes that are mapped: one page of the largest usual size.
const BYTES: usize = 64 << 10;

/// Makes every CPU that runs this process forget where a page was.
///
/// # Errors
/// There is no memory.
pub fn shootdown() -> io::Result<()> {
    let (access, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE);
    // SAFETY: the kernel chooses where (a null address), so that nothing that exists is replaced.
    let start = unsafe { mmap_anonymous(std::ptr::null_mut(), BYTES, access, flags) }?;
    // Without a page behind it, there would be no translation to forget.
    // SAFETY: `start` is the beginning of a mapping of BYTES bytes that may be written; nobody else
    // has its address.
    unsafe { start.cast::<u8>().write_volatile(1) };
    // SAFETY: exactly the mapping made above, once; no reference to it was ever made.
    unsafe { munmap(start, BYTES) }.map_err(io::Error::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_can_be_done_over_and_over() {
        for _ in 0..1000 {
            shootdown().unwrap();
        }
    }
}
