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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt as _;

    use glommio::{LocalExecutor, allocate_dma_buffer_global};

    use super::*;
    use crate::ids::FrameSeq;
    use crate::limits::BLOCK_BYTES;
    use crate::log::disk::Op;

    fn tag(frame: u64) -> Tag {
        let op = Op::Write(FrameSeq(frame));
        Tag { lane: 0, op }
    }

    fn block(filling: u8) -> Rc<DmaBuffer> {
        let mut buffer = allocate_dma_buffer_global(BLOCK_BYTES);
        buffer.as_bytes_mut().fill(filling);
        Rc::new(buffer)
    }

    fn ended(ring: &mut Ring) -> Written {
        loop {
            if let Some(written) = ring.poll() {
                return written;
            }
            std::thread::yield_now();
        }
    }

    /// Runs `test` with a new ring and a file opened for writing, on an executor, and gives the file's
    /// bytes.
    fn with_file(test: impl AsyncFnOnce(Ring, Rc<DmaFile>)) -> Vec<u8> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        LocalExecutor::default().run(async {
            let file = Rc::new(DmaFile::create(&path).await.unwrap());
            test(Ring::new().unwrap(), Rc::clone(&file)).await;
            file.close_rc().await.unwrap();
        });
        std::fs::read(&path).unwrap()
    }

    #[test]
    fn each_write_ends_once_under_its_tag_and_lies_where_it_belongs() {
        let bytes = with_file(async |mut ring, file| {
            for frame in 0..3 {
                let position = frame * BLOCK_BYTES as u64;
                ring.write(Rc::clone(&file), position, block(frame as u8), tag(frame));
            }
            assert_eq!(ring.underway(), 3);
            let mut tags = Vec::new();
            for _ in 0..3 {
                let written = ended(&mut ring);
                written.result.unwrap();
                tags.push(written.tag);
            }
            tags.sort_by_key(|tag| format!("{tag:?}"));
            assert_eq!(tags, [tag(0), tag(1), tag(2)]);
            assert!(ring.poll().is_none() && ring.underway() == 0);
        });
        let first: Vec<u8> = bytes.chunks(BLOCK_BYTES).map(|block| block[0]).collect();
        assert_eq!(first, [0, 1, 2]);
        assert!(
            bytes
                .chunks(BLOCK_BYTES)
                .all(|b| b.iter().all(|byte| *byte == b[0]))
        );
    }

    #[test]
    fn a_write_that_the_kernel_refuses_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, vec![7; BLOCK_BYTES]).unwrap();
        LocalExecutor::default().run(async {
            let file = Rc::new(DmaFile::open(&path).await.unwrap());
            let mut ring = Ring::new().unwrap();
            ring.write(Rc::clone(&file), 0, block(1), tag(5));
            let written = ended(&mut ring);
            assert_eq!(written.tag, tag(5));
            assert_eq!(written.result.unwrap_err().raw_os_error(), Some(9), "EBADF");
            file.close_rc().await.unwrap();
        });
        let mut byte = [0];
        std::fs::File::open(&path)
            .unwrap()
            .read_exact_at(&mut byte, 0)
            .unwrap();
        assert_eq!(byte, [7], "nothing was written");
    }

    #[test]
    fn a_ring_that_goes_waits_for_its_writes() {
        let buffer = block(9);
        let bytes = with_file(async |mut ring, file| {
            for frame in 0..100 {
                let position = frame * BLOCK_BYTES as u64;
                ring.write(Rc::clone(&file), position, Rc::clone(&buffer), tag(frame));
            }
            drop(ring);
            assert_eq!(Rc::strong_count(&buffer), 1, "the kernel has read them all");
        });
        assert_eq!(bytes.len(), 100 * BLOCK_BYTES);
        assert!(bytes.iter().all(|byte| *byte == 9));
    }
}
