//! Prints frames, entries and records in the order they lie in, for people or as JSON lines.

mod line;

use std::io::Write;
use std::path::Path;

use serde::Serialize;

use super::{InspectError, readable};
use crate::ids::{FrameSeq, PartitionId, SegmentSeq, StripeId};
use crate::log::catalog::Catalog;
use crate::log::directory::DataDirectory;
use crate::log::files::{StdFiles, StripeFiles, segment_path, stripe_folder};
use crate::log::format::SEGMENT_HEADER_BYTES;
use crate::log::scan::{Entry, Frame, FrameFault, Payload};
use crate::log::walk::{Ending, Place, Start, Step, Walk};
use crate::wire::BatchView;

use line::{BatchLine, EndLine, FrameLine, Line, ProducerLine, RecordLine};

/// How much is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Detail {
    /// A line per frame.
    Frames,
    /// And one per entry.
    #[default]
    Entries,
    /// And one per record, with its key.
    Records,
    /// And the records' values, in hexadecimal.
    Values,
}

/// For whom it is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DumpFormat {
    /// Indented lines.
    #[default]
    Human,
    /// A JSON object a line.
    JsonLines,
}

/// What is printed. The default is everything, down to entries.
#[derive(Clone, Debug, Default)]
pub struct DumpFilter {
    /// Only this stripe.
    pub stripe: Option<StripeId>,
    /// Only entries of this topic's partitions; frames without any are left out.
    pub topic: Option<String>,
    /// Only entries of this partition; frames without any are left out.
    pub partition: Option<PartitionId>,
    /// Only this frame and later ones.
    pub frame_first: Option<FrameSeq>,
    /// At most so many frames per stripe.
    pub frames_max: Option<u64>,
    /// How much of each.
    pub detail: Detail,
    /// For whom.
    pub format: DumpFormat,
}

/// What was printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DumpSummary {
    /// Frames.
    pub frames: u64,
    /// Stripes that end in damage; the dump of a stripe stops there.
    pub damaged: u64,
}

/// Prints what the filter lets pass. Never changes anything.
///
/// # Errors
/// The directory or a segment cannot be read, the topic is unknown, or `out` cannot be written.
pub fn dump(
    path: &Path,
    filter: &DumpFilter,
    out: &mut dyn Write,
) -> Result<DumpSummary, InspectError> {
    let directory = DataDirectory::open_read_only(path)?;
    let catalog = directory.catalog();
    if let Some(name) = &filter.topic
        && catalog.topic(name).is_none()
    {
        let known: Vec<_> = catalog
            .topics()
            .iter()
            .map(|topic| topic.name.as_str())
            .collect();
        return Err(InspectError::UnknownTopic {
            name: name.clone(),
            known: known.join(", "),
        });
    }
    let files = directory.files();
    let mut dump = Dump {
        catalog: &catalog,
        filter,
        out,
        summary: DumpSummary::default(),
    };
    for stripe in directory.stripes() {
        if filter.stripe.is_none_or(|wanted| wanted == stripe) {
            dump.stripe(&files, stripe, directory.meta().directory_id)?;
        }
    }
    Ok(dump.summary)
}

struct Dump<'a> {
    catalog: &'a Catalog,
    filter: &'a DumpFilter,
    out: &'a mut dyn Write,
    summary: DumpSummary,
}

impl Dump<'_> {
    fn print(&mut self, line: &Line<'_>) -> Result<(), InspectError> {
        match self.filter.format {
            DumpFormat::Human => writeln!(self.out, "{line}"),
            DumpFormat::JsonLines => serde_json::to_writer(&mut *self.out, line)
                .map_err(Into::into)
                .and_then(|()| writeln!(self.out)),
        }
        .map_err(InspectError::Output)
    }

    fn stripe(
        &mut self,
        files: &StdFiles,
        stripe: StripeId,
        directory_id: u128,
    ) -> Result<(), InspectError> {
        let found =
            StripeFiles::list(files, stripe).map_err(InspectError::io(stripe_folder(stripe)))?;
        let mut segments = found.segments;
        // Up to a gap: what lies behind it does not follow from what was printed.
        let contiguous = segments.chunk_by(|a, b| a.0.0 + 1 == b.0.0).next();
        let gap = contiguous.map_or(0, <[_]>::len);
        let missing = (gap < segments.len()).then(|| SegmentSeq(segments[gap - 1].0.0 + 1));
        segments.truncate(gap);
        let Some((first, _)) = segments.first().copied() else {
            return Ok(());
        };
        let start = Start {
            segment: first,
            position: SEGMENT_HEADER_BYTES as u32,
            frame: (first == SegmentSeq(0)).then_some(FrameSeq(1)),
            epoch: 0,
        };
        let mut walk = Walk::new(files, stripe, directory_id, segments, start)?;
        let mut left = self.filter.frames_max.unwrap_or(u64::MAX);
        while left > 0 {
            match walk.step()? {
                Step::Frame(header) => {
                    if self
                        .filter
                        .frame_first
                        .is_none_or(|first| header.seq >= first)
                    {
                        let path = walk.path();
                        left -= u64::from(self.frame(&path, &walk.frame()?)?);
                    }
                }
                Step::End(ending) => return self.end(stripe, walk.next_frame(), ending, missing),
            }
        }
        Ok(())
    }

    fn end(
        &mut self,
        stripe: StripeId,
        next: FrameSeq,
        ending: Ending,
        missing: Option<SegmentSeq>,
    ) -> Result<(), InspectError> {
        let end = |at: Place, fault: &FrameFault| EndLine {
            path: segment_path(stripe, at.segment),
            byte: at.position,
            frame: at.frame.0,
            reason: fault.to_string(),
        };
        let line = match (ending, missing) {
            (Ending::Damaged { at, fault, .. }, _) => Line::Damaged(end(at, &fault)),
            (Ending::Clean | Ending::Torn { .. }, Some(missing)) => Line::Damaged(EndLine {
                path: segment_path(stripe, missing),
                byte: 0,
                frame: next.0,
                reason: "the segment is missing".into(),
            }),
            (Ending::Torn { at, fault }, None) => Line::Torn(end(at, &fault)),
            (Ending::Clean, None) => return Ok(()),
        };
        self.summary.damaged += u64::from(matches!(line, Line::Damaged(_)));
        self.print(&line)
    }

    fn wants(&self, entry: &Entry<'_>) -> bool {
        let filter = self.filter;
        if filter.topic.is_none() && filter.partition.is_none() {
            return true;
        }
        match entry.payload {
            Payload::Batch(_) | Payload::Position(_) => {}
            // They belong to no partition.
            Payload::State { .. } | Payload::Marker => return false,
        }
        let id = entry.header.partition;
        let (topic, _) = place(self.catalog, id);
        filter.partition.is_none_or(|wanted| wanted == id)
            && filter.topic.as_deref().is_none_or(|wanted| wanted == topic)
    }

    /// Prints a frame and what is wanted of it; whether anything was.
    fn frame(&mut self, path: &str, frame: &Frame<'_>) -> Result<bool, InspectError> {
        if !frame.entries().any(|entry| self.wants(&entry)) {
            return Ok(false);
        }
        self.summary.frames += 1;
        let line = FrameLine::new(path, &frame.header, frame.bytes());
        self.print(&Line::Frame(line))?;
        if self.filter.detail < Detail::Entries {
            return Ok(true);
        }
        for entry in frame.entries() {
            if self.wants(&entry) {
                self.entry(&entry)?;
            }
        }
        Ok(true)
    }

    fn entry(&mut self, entry: &Entry<'_>) -> Result<(), InspectError> {
        let id = entry.header.partition;
        let (topic, index) = place(self.catalog, id);
        match &entry.payload {
            Payload::Batch(batch) => {
                self.print(&Line::Batch(BatchLine {
                    partition: id.0,
                    topic,
                    index,
                    byte: entry.position,
                    bytes: entry.header.payload_bytes,
                    offset_first: batch.base_offset().0,
                    offset_last: batch.next_offset().0 - 1,
                    records: batch.record_count(),
                    leader_epoch: batch.leader_epoch(),
                    codec: batch.codec(),
                    timestamp_max_ms: batch.max_timestamp().0,
                    producer: ProducerLine::of(batch),
                }))?;
                self.records(batch)
            }
            Payload::Position(position) => self.print(&Line::Position {
                partition: id.0,
                topic,
                index,
                position: position.0,
            }),
            Payload::State { key, value } => self.print(&Line::State {
                key: readable(key),
                value: readable(value),
            }),
            Payload::Marker => self.print(&Line::Marker),
        }
    }

    fn records(&mut self, batch: &BatchView<'_>) -> Result<(), InspectError> {
        if self.filter.detail < Detail::Records {
            return Ok(());
        }
        let records = match batch.records() {
            Ok(records) => records,
            Err(error) => {
                let reason = error.to_string();
                return self.print(&Line::Unreadable { reason });
            }
        };
        for record in records {
            let line = match record {
                Ok(record) => Line::Record(RecordLine::new(&record, self.filter.detail)),
                Err(error) => Line::Unreadable {
                    reason: error.to_string(),
                },
            };
            self.print(&line)?;
        }
        Ok(())
    }
}

/// Topic and index of a partition; of an unknown one verify complains.
fn place(catalog: &Catalog, id: PartitionId) -> (&str, u32) {
    let meta = catalog.partition(id);
    let topic = meta.and_then(|meta| catalog.topic_by_id(meta.topic));
    let name = topic.map_or("unknown", |topic| topic.name.as_str());
    (name, meta.map_or(0, |meta| meta.index.0))
}
