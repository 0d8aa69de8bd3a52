//! The real disk: O_DIRECT and O_DSYNC through glommio's io_uring.
//!
//! Owns: the open segment files of one core. Never does: waiting; each operation is a local task
//! that leaves its result in a queue and calls the wake hook, so that a parked core goes on. Runs
//! on: the core's executor.
//!
//! O_DSYNC makes a completed write durable: there is no separate sync (docs/decisions/0001).

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use glommio::io::{DmaBuffer, DmaFile, OpenOptions, ReadResult};
use rustix::fs::OFlags;

use super::disk::{Completion, Disk, Done, FileId, Tag};
use super::files::segment_path;
use crate::ids::{SegmentSeq, StripeId};

/// Buffers kept for reuse, and the smallest that is worth it.
const SPARE_MAX: usize = 16;
const SPARE_BYTES_MIN: usize = 128 << 10;

/// Called after each finished operation.
pub type Wake = Rc<dyn Fn()>;

/// The disk of one core.
pub struct DmaDisk {
    directory: PathBuf,
    shared: Rc<Shared>,
    spare: VecDeque<Rc<DmaBuffer>>,
}

struct Shared {
    done: RefCell<VecDeque<Completion<ReadResult>>>,
    /// By [`FileId`]; none where it was closed.
    files: RefCell<Vec<Option<Rc<DmaFile>>>>,
    wake: Wake,
}

impl std::fmt::Debug for DmaDisk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DmaDisk")
            .field("directory", &self.directory)
            .finish_non_exhaustive()
    }
}

impl DmaDisk {
    /// A disk for the data directory `directory`. Must be used within a glommio executor.
    pub fn new(directory: PathBuf, wake: Wake) -> DmaDisk {
        DmaDisk {
            directory,
            spare: VecDeque::with_capacity(SPARE_MAX),
            shared: Rc::new(Shared {
                done: RefCell::new(VecDeque::with_capacity(128)),
                files: RefCell::new(Vec::new()),
                wake,
            }),
        }
    }

    /// Runs an operation to its end and leaves what came of it in the queue.
    fn start(
        &self,
        tag: Tag,
        operation: impl Future<Output = io::Result<Done<ReadResult>>> + 'static,
    ) {
        let shared = Rc::clone(&self.shared);
        let task = glommio::spawn_local(async move {
            let result = operation.await;
            shared
                .done
                .borrow_mut()
                .push_back(Completion { tag, result });
            (shared.wake)();
        });
        task.detach();
    }

    fn file(&self, file: FileId) -> Rc<DmaFile> {
        let files = self.shared.files.borrow();
        let open = files.get(file.0 as usize).and_then(Option::as_ref);
        Rc::clone(open.expect("the stripe uses a file between open and close"))
    }
}

impl Shared {
    fn insert(&self, file: DmaFile) -> FileId {
        let mut files = self.files.borrow_mut();
        let free = files.iter().position(Option::is_none);
        let index = free.unwrap_or_else(|| {
            files.push(None);
            files.len() - 1
        });
        files[index] = Some(Rc::new(file));
        FileId(index as u32)
    }
}

impl Disk for DmaDisk {
    type Buffer = DmaBuffer;
    type Chunk = ReadResult;

    fn allocate(&mut self, bytes_min: usize, bytes: usize) -> Rc<DmaBuffer> {
        let least = bytes_min.max(bytes / 8 * 7);
        let fits = |b: &Rc<DmaBuffer>| (least..=bytes).contains(&b.len());
        if let Some(buffer) = self.spare.iter().position(fits) {
            return self.spare.swap_remove_back(buffer).expect("just found");
        }
        // Not from the ring's registered memory: frames stay in memory long after their write.
        Rc::new(glommio::allocate_dma_buffer_global(bytes))
    }

    fn trim(buffer: &mut DmaBuffer, bytes: usize) {
        buffer.trim_to_size(bytes);
    }

    fn release(&mut self, buffer: Rc<DmaBuffer>) {
        // Fresh memory of this size costs a page fault for every 4 KiB, as much as the copy into
        // it. A trimmed buffer cannot grow again; one that was nearly full serves once more.
        if buffer.len() >= SPARE_BYTES_MIN && Rc::strong_count(&buffer) == 1 {
            if self.spare.len() == SPARE_MAX {
                self.spare.pop_front();
            }
            self.spare.push_back(buffer);
        }
    }

    fn open(&mut self, stripe: StripeId, segment: SegmentSeq, tag: Tag) {
        let path = self.directory.join(segment_path(stripe, segment));
        let shared = Rc::clone(&self.shared);
        self.start(tag, async move {
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .custom_flags(OFlags::DSYNC.bits() as i32)
                .dma_open(path)
                .await?;
            Ok(Done::Opened(shared.insert(file)))
        });
    }

    fn write(&mut self, file: FileId, position: u32, buffer: Rc<DmaBuffer>, tag: Tag) {
        let file = self.file(file);
        self.start(tag, async move {
            let bytes = buffer.len();
            let written = file.write_rc_at(buffer, position.into()).await?;
            if written != bytes {
                let text = format!("only {written} of {bytes} bytes were written");
                return Err(io::Error::new(io::ErrorKind::WriteZero, text));
            }
            Ok(Done::Written)
        });
    }

    fn read(&mut self, file: FileId, position: u32, bytes: u32, tag: Tag) {
        let file = self.file(file);
        self.start(tag, async move {
            let chunk = file
                .read_at_aligned(position.into(), bytes as usize)
                .await?;
            Ok(Done::Read(chunk))
        });
    }

    fn close(&mut self, file: FileId) {
        let closed = self.shared.files.borrow_mut()[file.0 as usize].take();
        if let Some(file) = closed {
            let task = glommio::spawn_local(async move {
                if let Err(error) = file.close_rc().await {
                    // Every write to it has ended durably, so that nothing is lost.
                    tracing::warn!(%error, "closing a segment failed");
                }
            });
            task.detach();
        }
    }

    fn alarm(&mut self, ns: u64, tag: Tag) {
        self.start(tag, async move {
            glommio::timer::sleep(Duration::from_nanos(ns)).await;
            Ok(Done::Alarm)
        });
    }

    fn poll(&mut self) -> Option<Completion<ReadResult>> {
        self.shared.done.borrow_mut().pop_front()
    }
}
