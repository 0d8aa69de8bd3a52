//! A page that is mapped and given back, over and over.
//!
//! Owns: one page of memory. Never does: handing it out.
//!
//! JUSTIFICATION of unsafe code: the shootdown of other CPUs' address translations, which this is
//! there to cause, follows from `madvise` and `munmap` only, and no safe function makes the kernel
//! take a page away at a known time (allocators keep theirs).
#![allow(unsafe_code)]

use std::io;

use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous, munmap};

/// Bytes that are mapped: one page of the largest usual size.
const BYTES: usize = 64 << 10;

/// Memory that nothing else uses.
#[derive(Debug)]
pub struct Page {
    /// Start of a private mapping of [`BYTES`] bytes.
    start: *mut std::ffi::c_void,
}

impl Page {
    /// Maps it.
    ///
    /// # Errors
    /// There is no memory.
    pub fn map() -> io::Result<Page> {
        let (access, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE);
        // SAFETY: the kernel chooses where (a null address), so that nothing that exists is replaced.
        let start = unsafe { mmap_anonymous(std::ptr::null_mut(), BYTES, access, flags) };
        Ok(Page { start: start? })
    }

    /// Brings the page and gives it back: every CPU that runs this process has to forget where it
    /// was.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn touch_and_drop(&mut self) -> io::Result<()> {
        // SAFETY: `start` is the beginning of a mapping of BYTES bytes that can be written, which
        // lives until this is dropped; nobody else has its address.
        unsafe { self.start.cast::<u8>().write_volatile(1) };
        // SAFETY: as above. What the page holds is lost, and nobody reads it.
        unsafe { madvise(self.start, BYTES, Advice::LinuxDontNeed) }.map_err(io::Error::from)
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // SAFETY: the mapping was made by `map` and is unmapped once, here; no reference to it
        // exists, since none is ever handed out.
        let unmapped = unsafe { munmap(self.start, BYTES) };
        debug_assert!(unmapped.is_ok(), "the mapping is ours: {unmapped:?}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_comes_back_after_it_was_given_away() {
        let mut page = Page::map().unwrap();
        for _ in 0..100 {
            page.touch_and_drop().unwrap();
        }
    }
}
