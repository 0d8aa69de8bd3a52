//! One stripe's requests: what is tried when, and what each takes on the file system.
//!
//! Owns: the order of the steps that makes each request safe against a crash in its middle.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use super::{Action, KEEPER_QUEUE, KeeperOptions, Queues, Reply, Request};
use crate::ids::{Nanos, SegmentSeq, StripeId};
use crate::log::files::{
    Files, HeaderBlock, StripeFiles, index_path, segment_path, spare_path, stripe_folder,
};
use crate::log::format::{SEGMENT_HEADER_BYTES, SegmentHeader};
use crate::log::index::IndexFile;

/// How long a request waits for space before it is tried again.
const RETRY_NS: u64 = 100_000_000;

/// A request that is not done yet.
#[derive(Debug)]
struct Waiting {
    request: Request,
    /// Not tried before this.
    try_at: Nanos,
    /// Whether its stripe knows that there is no space for it.
    told: bool,
}

/// What came of trying a request.
enum Tried {
    Done(Reply),
    /// Tried again after this time.
    Later(Nanos),
    /// Said once, then tried again.
    NoSpace,
}

/// One stripe's side of the keeper.
#[derive(Debug)]
pub(super) struct Port {
    stripe: StripeId,
    queues: Arc<Queues>,
    waiting: VecDeque<Waiting>,
    /// Replies for which the queue had no room.
    outbox: VecDeque<Reply>,
    /// The last segment that has an index file.
    sealed: Option<SegmentSeq>,
}

impl Request {
    fn seq(&self) -> SegmentSeq {
        match self {
            Request::PrepareSegment { seq }
            | Request::Seal { seq, .. }
            | Request::Recycle { seq } => *seq,
        }
    }

    fn action(&self) -> Action {
        match self {
            Request::PrepareSegment { .. } => Action::Prepare,
            Request::Seal { .. } => Action::Seal,
            Request::Recycle { .. } => Action::Recycle,
        }
    }
}

fn is_no_space(error: &io::Error) -> bool {
    use io::ErrorKind::{QuotaExceeded, StorageFull};
    [StorageFull, QuotaExceeded].contains(&error.kind())
}

impl Port {
    /// Reads the stripe's folder and clears what a crash left half made.
    pub(super) fn open<F: Files>(
        files: &F,
        stripe: StripeId,
        queues: Arc<Queues>,
    ) -> io::Result<Port> {
        let found = StripeFiles::list(files, stripe)?;
        for name in &found.leftovers {
            files.remove(&format!("{}/{name}", stripe_folder(stripe)))?;
        }
        Ok(Port {
            stripe,
            queues,
            waiting: VecDeque::new(),
            outbox: VecDeque::new(),
            sealed: found.indexes.last().copied(),
        })
    }

    pub(super) const fn stripe(&self) -> StripeId {
        self.stripe
    }

    pub(super) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty() || !self.outbox.is_empty()
    }

    /// Takes requests, tries what is due, returns the number of replies sent.
    pub(super) fn step<F: Files>(
        &mut self,
        files: &F,
        options: &KeeperOptions,
        now: Nanos,
    ) -> usize {
        // A stripe that takes no replies gets no further work done, so both lists are bounded.
        while self.outbox.is_empty() && self.waiting.len() < KEEPER_QUEUE {
            let Some(request) = self.queues.requests.pop() else {
                break;
            };
            self.waiting.push_back(Waiting {
                request,
                try_at: now,
                told: false,
            });
        }
        while self.try_all(files, options, now) {}
        self.send()
    }

    /// Tries every request that is due, in order. Whether one of them may have let others pass.
    fn try_all<F: Files>(&mut self, files: &F, options: &KeeperOptions, now: Nanos) -> bool {
        let mut unblocked = false;
        let mut seal_waits = false;
        for _ in 0..self.waiting.len() {
            let Some(mut waiting) = self.waiting.pop_front() else {
                break;
            };
            let action = waiting.request.action();
            // An index must never be durable before that of an earlier segment.
            let blocked = action == Action::Seal && seal_waits;
            let tried = if blocked || waiting.try_at > now {
                Tried::Later(waiting.try_at)
            } else {
                self.try_one(files, options, &waiting.request, now)
            };
            match tried {
                Tried::Done(reply) => {
                    self.outbox.push_back(reply);
                    // A seal lets recycling pass, recycling makes space.
                    unblocked |= action != Action::Prepare;
                    continue;
                }
                Tried::Later(time) => waiting.try_at = time,
                Tried::NoSpace => {
                    waiting.try_at = now.after(RETRY_NS);
                    if !waiting.told {
                        let seq = waiting.request.seq();
                        self.outbox.push_back(Reply::NoSpace { action, seq });
                        waiting.told = true;
                    }
                }
            }
            seal_waits |= action == Action::Seal;
            self.waiting.push_back(waiting);
        }
        if unblocked {
            for waiting in &mut self.waiting {
                waiting.try_at = now;
            }
        }
        unblocked && !self.waiting.is_empty()
    }

    fn try_one<F: Files>(
        &mut self,
        files: &F,
        options: &KeeperOptions,
        request: &Request,
        now: Nanos,
    ) -> Tried {
        let seq = request.seq();
        let result = match request {
            Request::PrepareSegment { .. } => {
                prepare(files, self.stripe, options, seq).map(|()| Reply::Prepared { seq })
            }
            Request::Seal { index, state, .. } => {
                let file = IndexFile {
                    stripe: self.stripe,
                    segment: seq,
                    directory_id: options.directory_id,
                    epoch: options.epoch,
                    index: (**index).clone(),
                    state: state.clone(),
                };
                seal(files, self.stripe, &file).map(|()| {
                    self.sealed = self.sealed.max(Some(seq));
                    Reply::Sealed { seq }
                })
            }
            // The state up to a segment's end lives in its frames and in later indexes: the last
            // of both must not go.
            Request::Recycle { .. } if self.sealed <= Some(seq) => return Tried::Later(now),
            Request::Recycle { .. } => {
                recycle(files, self.stripe, options, seq).map(|()| Reply::Recycled { seq })
            }
        };
        match result {
            Ok(reply) => Tried::Done(reply),
            Err(error) if is_no_space(&error) => Tried::NoSpace,
            Err(error) => Tried::Done(Reply::Failed {
                seq,
                action: request.action(),
                error: format!("{}: {error}", segment_path(self.stripe, seq)),
            }),
        }
    }

    fn send(&mut self) -> usize {
        let mut sent = 0;
        while let Some(reply) = self.outbox.pop_front() {
            if let Err(reply) = self.queues.replies.push(reply) {
                self.outbox.push_front(reply);
                break;
            }
            sent += 1;
        }
        sent
    }
}

fn header(stripe: StripeId, options: &KeeperOptions, seq: SegmentSeq) -> HeaderBlock {
    let mut block = [0; SEGMENT_HEADER_BYTES];
    let header = SegmentHeader {
        stripe,
        seq,
        directory_id: options.directory_id,
        segment_bytes: options.segment_bytes,
    };
    header.encode(&mut block);
    block
}

fn prepare<F: Files>(
    files: &F,
    stripe: StripeId,
    options: &KeeperOptions,
    seq: SegmentSeq,
) -> io::Result<()> {
    let path = segment_path(stripe, seq);
    let block = header(stripe, options, seq);
    let found = StripeFiles::list(files, stripe)?;
    if found.segments.contains(&(seq, options.segment_bytes)) {
        // Made before a restart; recovery has checked that nothing of an older life counts in it.
        let mut there = [0; SEGMENT_HEADER_BYTES];
        let read = files.read_at(&path, 0, &mut there)?;
        if read == there.len() && there == block {
            return Ok(());
        }
    }
    for (spare, bytes) in found.spares {
        let spare = spare_path(stripe, spare);
        if bytes != options.segment_bytes {
            files.remove(&spare)?;
            continue;
        }
        // Header first: under its final name a file is always whole.
        files.write_header(&spare, &block)?;
        return files.rename(&spare, &path);
    }
    files.write_segment(&path, options.segment_bytes, &block)
}

fn seal<F: Files>(files: &F, stripe: StripeId, file: &IndexFile) -> io::Result<()> {
    let path = index_path(stripe, file.segment);
    let bytes = file.encode();
    match files.write_atomic(&path, &bytes) {
        Err(error) if is_no_space(&error) => {
            // Recycling waits for indexes, so space must not wait for recycling: spares go first.
            let spares = StripeFiles::list(files, stripe)?.spares;
            if spares.is_empty() {
                return Err(error);
            }
            for (spare, _) in spares {
                files.remove(&spare_path(stripe, spare))?;
            }
            files.write_atomic(&path, &bytes)
        }
        result => result,
    }
}

fn recycle<F: Files>(
    files: &F,
    stripe: StripeId,
    options: &KeeperOptions,
    seq: SegmentSeq,
) -> io::Result<()> {
    let path = segment_path(stripe, seq);
    let found = StripeFiles::list(files, stripe)?;
    let size = found.segments.iter().find(|(found, _)| *found == seq);
    match size {
        Some((_, bytes))
            if *bytes == options.segment_bytes && found.spares.len() < options.spares_max =>
        {
            files.rename(&path, &spare_path(stripe, seq))?;
        }
        Some(_) => files.remove(&path)?,
        None => {}
    }
    // After its segment: an index alone is ignored, a segment alone would be read at every start.
    files.remove(&index_path(stripe, seq))
}
