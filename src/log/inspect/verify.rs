//! Reads everything of every stripe and names what is wrong, with file and byte.
//!
//! Goes on behind damage with the next valid frame, so that one report holds all of it.

use std::path::Path;

use serde::Serialize;

use super::InspectError;
use crate::ids::{FrameSeq, PartitionId, SegmentSeq, StripeId};
use crate::log::catalog::Catalog;
use crate::log::directory::DataDirectory;
use crate::log::files::{Files, StripeFiles, index_path, segment_path, stripe_folder};
use crate::log::format::SEGMENT_HEADER_BYTES;
use crate::log::rebuild::{History, Rebuild};
use crate::log::recover::load_index;
use crate::log::scan::{Frame, Payload};
use crate::log::state::{PartitionOffsets, SegmentIndex, StripeState};
use crate::log::walk::{Ending, Place, Start, Step, Walk, WalkError};

/// How often a stripe is read anew because its oldest segments went away meanwhile.
const ATTEMPTS: usize = 5;

/// What is wrong at one place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The file, relative to the data directory.
    pub path: String,
    /// The byte in it.
    pub byte: u64,
    /// What is wrong.
    pub reason: String,
}

/// An incomplete last write. Nobody was promised what it held; in a directory that is in use it
/// may still be under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TornReport {
    /// The file, relative to the data directory.
    pub path: String,
    /// Its first byte there.
    pub byte: u64,
    /// The frame that it should have become.
    pub frame: u64,
    /// What is there instead.
    pub reason: String,
}

/// What was read of a stripe.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct StripeReport {
    /// Which.
    pub stripe: u16,
    /// Segment files.
    pub segments: u64,
    /// Valid frames.
    pub frames: u64,
    /// Entries in them.
    pub entries: u64,
    /// Batches among the entries.
    pub batches: u64,
    /// Records in the batches.
    pub records: u64,
    /// Bytes of the frames, padding included.
    pub bytes: u64,
    /// The incomplete last write, if there is one.
    pub torn: Option<TornReport>,
    /// What is wrong.
    pub problems: Vec<Problem>,
}

/// What was read of a data directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The directory.
    pub path: String,
    /// Its id.
    pub directory_id: String,
    /// How often it was opened for writing.
    pub epoch: u32,
    /// Its stripes.
    pub stripes: Vec<StripeReport>,
}

impl Report {
    /// Whether nothing is wrong. A torn tail is nothing wrong.
    pub fn is_sound(&self) -> bool {
        self.problems().next().is_none()
    }

    /// All that is wrong.
    pub fn problems(&self) -> impl Iterator<Item = &Problem> {
        self.stripes.iter().flat_map(|stripe| &stripe.problems)
    }
}

/// Reads everything and checks all of it. Never changes anything.
///
/// # Errors
/// The directory itself cannot be opened; whatever is wrong below is in the report.
pub fn verify(path: &Path) -> Result<Report, InspectError> {
    let directory = DataDirectory::open_read_only(path)?;
    let mut report = Report {
        path: path.display().to_string(),
        directory_id: format!("{:032x}", directory.meta().directory_id),
        epoch: directory.meta().epoch,
        stripes: Vec::new(),
    };
    for stripe in directory.stripes() {
        // A topic may have been made since; its partitions must be known here.
        let directory = DataDirectory::open_read_only(path)?;
        let (files, catalog) = (directory.files(), directory.catalog());
        let id = directory.meta().directory_id;
        report
            .stripes
            .push(verify_stripe(&files, stripe, id, &catalog));
    }
    Ok(report)
}

/// The same for one stripe, over any files.
pub fn verify_stripe<F: Files + ?Sized>(
    files: &F,
    stripe: StripeId,
    directory_id: u128,
    catalog: &Catalog,
) -> StripeReport {
    let first = || {
        let found = StripeFiles::list(files, stripe).ok()?;
        found.segments.first().copied()
    };
    let read = || Verify::new(files, stripe, directory_id, catalog).run();
    for _ in 1..ATTEMPTS {
        let before = first();
        let report = read();
        // Retention took the oldest segment away while it was read: that is no problem.
        if report.problems.is_empty() || first() == before {
            return report;
        }
    }
    read()
}

struct Verify<'a, F: ?Sized> {
    directory_id: u128,
    catalog: &'a Catalog,
    files: &'a F,
    stripe: StripeId,
    found: StripeFiles,
    rebuild: Rebuild,
    history: History,
    /// Whether every frame of the present segment was valid.
    whole: bool,
    report: StripeReport,
}

impl<'a, F: Files + ?Sized> Verify<'a, F> {
    fn new(
        files: &'a F,
        stripe: StripeId,
        directory_id: u128,
        catalog: &'a Catalog,
    ) -> Verify<'a, F> {
        Verify {
            directory_id,
            catalog,
            files,
            stripe,
            found: StripeFiles::default(),
            rebuild: from_nothing(History::Complete),
            history: History::Complete,
            whole: true,
            report: StripeReport {
                stripe: stripe.0,
                ..StripeReport::default()
            },
        }
    }

    fn problem(&mut self, path: String, byte: impl Into<u64>, reason: impl Into<String>) {
        self.report.problems.push(Problem {
            path,
            byte: byte.into(),
            reason: reason.into(),
        });
    }

    fn run(mut self) -> StripeReport {
        match StripeFiles::list(self.files, self.stripe) {
            Ok(found) => self.found = found,
            Err(error) => {
                self.problem(stripe_folder(self.stripe), 0u64, error.to_string());
                return self.report;
            }
        }
        self.report.segments = self.found.segments.len() as u64;
        let segments = self.found.segments.clone();
        // A gap splits the segments; each part is read on its own.
        let parts = segments.chunk_by(|a, b| a.0.0 + 1 == b.0.0);
        let mut follower: Option<SegmentSeq> = None;
        for part in parts {
            if let Some(expected) = follower {
                let path = segment_path(self.stripe, expected);
                self.problem(path, 0u64, "the segment is missing");
                self.history = History::Partial;
                self.rebuild = from_nothing(self.history);
            }
            self.follow(part, follower.is_none());
            follower = part.last().map(|(seq, _)| SegmentSeq(seq.0 + 1));
        }
        if let Some(end) = follower {
            self.check_indexes_beyond(end);
        }
        self.report
    }

    /// An index file speaks of a segment that is not there.
    fn check_indexes_beyond(&mut self, end: SegmentSeq) {
        for seq in self.found.indexes.clone() {
            // In a directory in use the segment may have come since the folder was listed.
            let there = self
                .files
                .read_at(&segment_path(self.stripe, seq), 0, &mut [0]);
            if seq >= end && there.is_err() {
                let reason = format!("its segment {} is missing", segment_path(self.stripe, seq));
                self.problem(index_path(self.stripe, seq), 0u64, reason);
            }
        }
    }

    /// Reads contiguous segments from their start, going on behind whatever is damaged.
    fn follow(&mut self, segments: &[(SegmentSeq, u64)], oldest: bool) {
        let first = segments[0].0;
        if first != SegmentSeq(0) || !oldest {
            self.history = History::Partial;
            self.rebuild = from_nothing(self.history);
        }
        let frame = match self.history {
            History::Complete => Some(FrameSeq(1)),
            // Its index says which frame is its first; without one, any may be.
            History::Partial => load_index(self.files, self.stripe, self.directory_id, first)
                .ok()
                .map(|file| file.index.frame_first),
        };
        let mut start = Start {
            segment: first,
            position: SEGMENT_HEADER_BYTES as u32,
            frame,
            epoch: 0,
        };
        loop {
            let rest: Vec<_> = segments
                .iter()
                .copied()
                .filter(|(seq, _)| *seq >= start.segment)
                .collect();
            match self.follow_from(rest, start) {
                Ok(None) => return,
                Ok(Some(next)) => start = next,
                Err(error) => {
                    let Some(next) = self.skip_segment(segments, &error) else {
                        return;
                    };
                    start = next;
                }
            }
        }
    }

    /// Reports a file that cannot be followed; where to go on behind it.
    fn skip_segment(&mut self, segments: &[(SegmentSeq, u64)], error: &WalkError) -> Option<Start> {
        let (path, reason) = match error {
            WalkError::Io { path, source } => (path, source.to_string()),
            WalkError::Header { path, source } => (path, source.to_string()),
            WalkError::Foreign { path, .. } => (path, error.to_string()),
        };
        self.problem(path.clone(), 0u64, reason);
        self.lose_track();
        let behind = segments
            .iter()
            .skip_while(|(seq, _)| segment_path(self.stripe, *seq) != *path)
            .nth(1)?;
        Some(Start {
            segment: behind.0,
            position: SEGMENT_HEADER_BYTES as u32,
            frame: None,
            epoch: 0,
        })
    }

    /// Follows the chain to its end; behind damage, where to go on.
    fn follow_from(
        &mut self,
        segments: Vec<(SegmentSeq, u64)>,
        start: Start,
    ) -> Result<Option<Start>, WalkError> {
        let mut current = start.segment;
        let mut walk = Walk::new(self.files, self.stripe, self.directory_id, segments, start)?;
        let mut looked_again = false;
        loop {
            match walk.step()? {
                Step::Frame(header) => {
                    looked_again = false;
                    if header.segment != current {
                        self.finish_segment(current, true);
                        current = header.segment;
                    }
                    let path = walk.path();
                    let frame = walk.frame()?;
                    self.take(&path, &frame);
                }
                Step::End(Ending::Damaged { .. }) if !looked_again => {
                    // In a directory in use the frame may have been under way when it was read;
                    // now that a later one says it is durable, it must be there.
                    walk.refresh();
                    looked_again = true;
                }
                Step::End(ending) => return Ok(self.end(walk.epoch(), current, ending)),
            }
        }
    }

    fn end(&mut self, epoch: u32, current: SegmentSeq, ending: Ending) -> Option<Start> {
        match ending {
            Ending::Clean => {}
            Ending::Torn { at, fault } => {
                self.report.torn = Some(TornReport {
                    path: segment_path(self.stripe, at.segment),
                    byte: at.position.into(),
                    frame: at.frame.0,
                    reason: fault.to_string(),
                });
            }
            Ending::Damaged {
                at,
                fault,
                witness,
                resume,
            } => {
                let reason = format!(
                    "frame {} is damaged: {fault}; it was durable, as frame {} in segment {}, \
                     byte {} says",
                    at.frame, witness.frame, witness.segment, witness.position
                );
                self.problem(segment_path(self.stripe, at.segment), at.position, reason);
                return Some(self.resume(current, resume, epoch));
            }
        }
        self.finish_segment(current, false);
        None
    }

    fn resume(&mut self, current: SegmentSeq, place: Place, epoch: u32) -> Start {
        if place.segment != current {
            self.rebuild.finish_segment();
        }
        self.lose_track();
        Start {
            segment: place.segment,
            position: place.position,
            frame: Some(place.frame),
            epoch,
        }
    }

    /// Something is missing: what comes next is taken as it is.
    fn lose_track(&mut self) {
        self.whole = false;
        self.history = History::Partial;
        self.rebuild = from_nothing(self.history);
    }

    fn take(&mut self, path: &str, frame: &Frame<'_>) {
        self.report.frames += 1;
        self.report.entries += u64::from(frame.header.entries);
        self.report.bytes += u64::from(frame.bytes());
        for entry in frame.entries() {
            let partition = entry.header.partition;
            let position = entry.position;
            match entry.payload {
                Payload::Batch(batch) => {
                    self.report.batches += 1;
                    self.report.records += u64::from(batch.record_count());
                    self.check_partition(path, position, partition);
                    // The CRC says that the bytes are what was written; this, that they mean
                    // something. What compressed batches hold is the client's affair.
                    let mut records = batch.records().into_iter().flatten();
                    if let Some(error) = records.find_map(Result::err) {
                        self.problem(path.to_owned(), position, error.to_string());
                    }
                }
                Payload::Position(_) => self.check_partition(path, position, partition),
                Payload::State { .. } | Payload::Marker => {}
            }
        }
        if let Err(contradiction) = self.rebuild.apply(frame) {
            let byte = contradiction.position;
            self.problem(path.to_owned(), byte, contradiction.to_string());
            self.lose_track();
        }
    }

    fn check_partition(&mut self, path: &str, position: u32, partition: PartitionId) {
        let stripe = self.catalog.partition(partition).map(|meta| meta.stripe);
        if stripe == Some(self.stripe) {
            return;
        }
        let reason = match stripe {
            // What is left of a deleted topic goes with its segments.
            None if self.catalog.was_deleted(partition) => return,
            None => format!("partition {partition} is not in the catalog"),
            Some(stripe) => format!("partition {partition} belongs to stripe {stripe}"),
        };
        self.problem(path.to_owned(), position, reason);
    }

    /// Compares the segment's index file, if there is one, with what was read.
    fn finish_segment(&mut self, seq: SegmentSeq, followed: bool) {
        let read = self.rebuild.finish_segment();
        let whole = std::mem::replace(&mut self.whole, true);
        if !self.found.indexes.contains(&seq) {
            return;
        }
        let path = index_path(self.stripe, seq);
        let file = match load_index(self.files, self.stripe, self.directory_id, seq) {
            Ok(file) => file,
            Err(reason) => {
                // A file that is gone went with its segment.
                if self.files.read_at(&path, 0, &mut [0]).is_ok() {
                    self.problem(path, 0u64, reason);
                }
                return;
            }
        };
        if !whole {
            return;
        }
        // A last segment that had been sealed may have got more frames since.
        if !followed && file.index.frame_last < read.frame_last {
            return;
        }
        if file.index != read {
            self.problem(
                path,
                0u64,
                "it does not say where the batches of its segment lie",
            );
        } else if self.history == History::Complete && !same_state(&file.state, &self.rebuild.state)
        {
            self.problem(
                path,
                0u64,
                "its state is not that at the end of its segment",
            );
        }
    }
}

fn from_nothing(history: History) -> Rebuild {
    Rebuild::new(StripeState::default(), SegmentIndex::default(), history)
}

/// Log starts are left out: they move with retention, which leaves no trace in the frames.
fn same_state(a: &StripeState, b: &StripeState) -> bool {
    let offsets = |state: &StripeState, partition: &PartitionId| {
        let offsets: PartitionOffsets =
            state.partitions.get(partition).copied().unwrap_or_default();
        (offsets.next, offsets.position)
    };
    let mut partitions = a.partitions.keys().chain(b.partitions.keys());
    a.values == b.values
        && partitions.all(|partition| offsets(a, partition) == offsets(b, partition))
}
