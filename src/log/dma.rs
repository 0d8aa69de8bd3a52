//! The real disk: O_DIRECT and O_DSYNC through io_uring.
//!
//! Owns: the open segment files of one core. Never does: waiting. Writes go through a ring of their own
//! (`ring.rs`), of which only [`Disk::poll`] has news. Every other operation is a local task of
//! the executor that leaves its result in a queue and calls the wake hook, so that a parked core goes
//! on. Runs on: the core's executor.
//!
//! O_DSYNC makes a completed write durable: there is no separate sync (docs/decisions/0001).

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use glommio::io::{DmaBuffer, DmaFile, OpenOptions, ReadResult};
use rustix::fs::OFlags;

use super::disk::{Completion, Disk, Done, FileId, Op, Tag};
use super::files::segment_path;
use super::ring::{Ring, Written};
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
    ring: Ring,
    spare: VecDeque<Rc<DmaBuffer>>,
}

struct Shared {
    done: RefCell<VecDeque<Completion<ReadResult>>>,
    /// By [`FileId`]; none where it was closed.
    files: RefCell<Vec<Option<Rc<DmaFile>>>>,
    wake: Wake,
    /// Operations that the executor has under way.
    tasks: Cell<usize>,
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
    ///
    /// # Errors
    /// The kernel gives no io_uring.
    pub fn new(directory: PathBuf, wake: Wake) -> io::Result<DmaDisk> {
        Ok(DmaDisk {
            directory,
            ring: Ring::new()?,
            spare: VecDeque::with_capacity(SPARE_MAX),
            shared: Rc::new(Shared {
                done: RefCell::new(VecDeque::with_capacity(128)),
                files: RefCell::new(Vec::new()),
                wake,
                tasks: Cell::new(0),
            }),
        })
    }

    /// Runs an operation to its end and leaves what came of it in the queue.
    fn start(
        &self,
        tag: Tag,
        operation: impl Future<Output = io::Result<Done<ReadResult>>> + 'static,
    ) {
        let shared = Rc::clone(&self.shared);
        // An alarm is a thing of time, and wakes the core by itself.
        let counted = usize::from(tag.op != Op::Alarm);
        shared.tasks.set(shared.tasks.get() + counted);
        let task = glommio::spawn_local(async move {
            let result = operation.await;
            shared.tasks.set(shared.tasks.get() - counted);
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

    /// As far as they can be used again: what trimming took off a buffer is not counted.
    fn spare_bytes(&self) -> usize {
        self.spare.iter().map(|buffer| buffer.len()).sum()
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
        self.ring.write(file, position.into(), buffer, tag);
    }

    fn awaits_look(&self) -> bool {
        self.ring.underway() > 0
    }

    fn awaits_executor(&self) -> bool {
        self.shared.tasks.get() > 0
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
        if let Some(done) = self.shared.done.borrow_mut().pop_front() {
            return Some(done);
        }
        let Written { tag, result } = self.ring.poll()?;
        let result = result.map(|()| Done::Written);
        Some(Completion { tag, result })
    }
}
