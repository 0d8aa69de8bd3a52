//! Durable writes through an io_uring of their own, looked at by the duty cycle.
//!
//! Owns: the ring, and what the kernel reads from while a write is under way. Never does: waiting, but
//! for its end. Runs on: the core.
//!
//! The executor's rings reach the kernel only when no task of the executor is runnable. Here a write is
//! handed over by the call that begins it, and its end is seen in memory that the kernel shares,
//! without a system call (docs/decisions/0007-writes-have-a-ring-of-their-own.md).
//!
//! JUSTIFICATION of unsafe code: the kernel reads a write's buffer and uses its file after the call has
//! returned, which no type can express. Both are kept here, unmoved, until the write has ended.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd as _, RawFd};
use std::rc::Rc;

use glommio::io::{DmaBuffer, DmaFile};
use io_uring::{IoUring, opcode, squeue, types};

use super::disk::Tag;

/// Writes that the ring takes before the kernel has seen them. Stripes bound what is under way; were it
/// more, [`Ring::write`] hands over what is there and goes on.
const ENTRIES: u32 = 64;

/// A write that the kernel works on.
#[derive(Debug)]
struct Underway {
    tag: Tag,
    buffer: Rc<DmaBuffer>,
    /// Kept open.
    _file: Rc<DmaFile>,
}

/// A write that has ended.
#[derive(Debug)]
pub(super) struct Written {
    pub tag: Tag,
    /// Fails also where fewer bytes were written than asked for.
    pub result: io::Result<()>,
}

/// See the module.
pub(super) struct Ring {
    uring: IoUring,
    /// By the number that the kernel hands back.
    underway: Vec<Option<Underway>>,
    free: Vec<usize>,
    /// Writes in the ring that the kernel would not look at yet.
    unseen: usize,
}

impl std::fmt::Debug for Ring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ring")
            .field("underway", &self.underway())
            .finish_non_exhaustive()
    }
}

impl Ring {
    /// Asks the kernel for a ring.
    ///
    /// # Errors
    /// The kernel gives none.
    pub fn new() -> io::Result<Ring> {
        Ok(Ring {
            uring: IoUring::new(ENTRIES)?,
            underway: Vec::with_capacity(ENTRIES as usize),
            free: Vec::with_capacity(ENTRIES as usize),
            unseen: 0,
        })
    }

    /// Writes that have not ended.
    pub fn underway(&self) -> usize {
        self.underway.len() - self.free.len()
    }

    /// Begins to write the whole buffer at `position` of the file.
    pub fn write(&mut self, file: Rc<DmaFile>, position: u64, buffer: Rc<DmaBuffer>, tag: Tag) {
        let bytes: &[u8] = (*buffer).as_ref();
        let (start, len) = (bytes.as_ptr(), bytes.len());
        let len = u32::try_from(len).expect("bounded by FRAME_BYTES_MAX");
        let fd: RawFd = file.as_raw_fd();
        let number = self.free.pop().unwrap_or_else(|| {
            self.underway.push(None);
            self.underway.len() - 1
        });
        self.underway[number] = Some(Underway {
            tag,
            buffer,
            _file: file,
        });
        let entry = opcode::Write::new(types::Fd(fd), start, len)
            .offset(position)
            .build()
            .user_data(number as u64);
        self.push(&entry);
    }

    fn push(&mut self, entry: &squeue::Entry) {
        loop {
            // SAFETY: the entry names a buffer and a file that `underway` holds until the kernel says
            // that the write has ended. The buffer lies on the heap, so it does not move with its `Rc`;
            // nobody writes to it, since `Rc::get_mut` finds a second owner here.
            let pushed = unsafe { self.uring.submission().push(entry) };
            self.unseen += usize::from(pushed.is_ok());
            self.hand_over();
            if pushed.is_ok() {
                return;
            }
            // The ring is full of what the kernel has no memory for now.
            rustix::thread::sched_yield();
        }
    }

    /// Shows the kernel what is new. Where it has no room now, the next call tries again.
    fn hand_over(&mut self) {
        if let Ok(seen) = self.uring.submit() {
            self.unseen = self.unseen.saturating_sub(seen);
        }
    }

    /// A write that has ended, if there is one.
    pub fn poll(&mut self) -> Option<Written> {
        if self.unseen > 0 {
            self.hand_over();
        }
        let ended = self.uring.completion().next()?;
        let number = ended.user_data() as usize;
        let write = self.underway[number].take();
        let write = write.expect("the kernel ends each write once");
        self.free.push(number);
        let bytes = (*write.buffer).as_ref().len();
        let result = match u32::try_from(ended.result()) {
            Ok(written) if written as usize == bytes => Ok(()),
            Ok(written) => {
                let text = format!("only {written} of {bytes} bytes were written");
                Err(io::Error::new(io::ErrorKind::WriteZero, text))
            }
            Err(_) => Err(io::Error::from_raw_os_error(-ended.result())),
        };
        Some(Written {
            tag: write.tag,
            result,
        })
    }
}

impl Drop for Ring {
    /// Waits for what is under way: until then the kernel reads from the buffers.
    fn drop(&mut self) {
        while self.underway() > 0 {
            if self.poll().is_some() {
                continue;
            }
            match self.uring.submit_and_wait(1) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                    // It cannot be known when the kernel is done with them.
                    std::mem::forget(std::mem::take(&mut self.underway));
                    self.free.clear();
                }
                Ok(_) | Err(_) => {}
            }
        }
    }
}
