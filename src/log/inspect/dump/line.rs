//! The lines of a dump, for people and for programs.

use std::fmt;

use serde::Serialize;

use super::Detail;
use crate::log::format::FrameHeader;
use crate::log::inspect::{hex, readable};
use crate::wire::{BatchView, ControlKind, RecordView, control_kind};

/// The frame's place and header.
#[derive(Debug, Serialize)]
pub(super) struct FrameLine<'a> {
    path: &'a str,
    byte: u32,
    stripe: u16,
    segment: u64,
    frame: u64,
    epoch: u32,
    durable: u64,
    entries: u32,
    bytes: u32,
    sealed_at_us: i64,
}

/// A batch's place and header.
#[derive(Debug, Serialize)]
pub(super) struct BatchLine<'a> {
    pub(super) partition: u32,
    pub(super) topic: &'a str,
    pub(super) index: u32,
    pub(super) byte: u32,
    pub(super) bytes: u32,
    pub(super) offset_first: i64,
    pub(super) offset_last: i64,
    pub(super) records: u32,
    pub(super) leader_epoch: i32,
    pub(super) codec: u8,
    pub(super) timestamp_max_ms: i64,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub(super) producer: Option<ProducerLine>,
}

/// Who wrote a batch, where an idempotent producer or a transaction's coordinator did.
#[derive(Debug, Serialize)]
pub(super) struct ProducerLine {
    producer_id: i64,
    producer_epoch: i16,
    base_sequence: i32,
    transactional: bool,
    /// Of a control batch: how the transaction ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    control: Option<&'static str>,
}

impl ProducerLine {
    pub(super) fn of(batch: &BatchView<'_>) -> Option<ProducerLine> {
        (batch.producer_id() >= 0).then(|| ProducerLine {
            producer_id: batch.producer_id(),
            producer_epoch: batch.producer_epoch(),
            base_sequence: batch.base_sequence(),
            transactional: batch.is_transactional(),
            control: batch.is_control().then(|| match control_kind(batch) {
                Some(ControlKind::Commit) => "commit",
                Some(ControlKind::Abort) => "abort",
                None => "unknown",
            }),
        })
    }
}

impl fmt::Display for ProducerLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (id, epoch) = (self.producer_id, self.producer_epoch);
        write!(f, ", producer {id}, epoch {epoch}")?;
        if let Some(kind) = self.control {
            return write!(f, ", control: {kind}");
        }
        write!(f, ", sequence {}", self.base_sequence)?;
        if self.transactional {
            write!(f, ", transactional")?;
        }
        Ok(())
    }
}

/// A record, without its value unless asked for.
#[derive(Debug, Serialize)]
pub(super) struct RecordLine {
    offset: i64,
    timestamp_ms: i64,
    key: Option<String>,
    value_bytes: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    headers: Vec<(String, Option<String>)>,
}

/// Where a stripe's frames end, and why there.
#[derive(Debug, Serialize)]
pub(super) struct EndLine {
    pub(super) path: String,
    pub(super) byte: u32,
    pub(super) frame: u64,
    pub(super) reason: String,
}

/// A line of the dump.
#[derive(Debug, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub(super) enum Line<'a> {
    Frame(FrameLine<'a>),
    Batch(BatchLine<'a>),
    Record(RecordLine),
    Position {
        partition: u32,
        topic: &'a str,
        index: u32,
        position: i64,
    },
    State {
        key: String,
        /// Empty means that the key is removed.
        value: String,
    },
    Marker,
    Unreadable {
        reason: String,
    },
    Torn(EndLine),
    Damaged(EndLine),
}

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Line::Frame(line) => line.fmt(f),
            Line::Batch(line) => line.fmt(f),
            Line::Record(line) => line.fmt(f),
            Line::Position {
                partition,
                topic,
                index,
                position,
            } => write!(
                f,
                "  position {topic}/{index} (partition {partition}): {position}"
            ),
            Line::State { key, value } if value.is_empty() => write!(f, "  state {key} removed"),
            Line::State { key, value } => write!(f, "  state {key} = {value}"),
            Line::Marker => write!(f, "  marker"),
            Line::Unreadable { reason } => write!(f, "    unreadable: {reason}"),
            Line::Torn(end) => write!(
                f,
                "{}, byte {}: torn tail, frame {} is incomplete: {}",
                end.path, end.byte, end.frame, end.reason
            ),
            Line::Damaged(end) => write!(
                f,
                "{}, byte {}: DAMAGED, frame {}: {}",
                end.path, end.byte, end.frame, end.reason
            ),
        }
    }
}

impl<'a> FrameLine<'a> {
    pub(super) fn new(path: &'a str, header: &FrameHeader, bytes: u32) -> FrameLine<'a> {
        FrameLine {
            path,
            byte: header.position,
            stripe: header.stripe.0,
            segment: header.segment.0,
            frame: header.seq.0,
            epoch: header.epoch,
            durable: header.durable.0,
            entries: header.entries,
            bytes,
            sealed_at_us: header.sealed_at_us,
        }
    }
}

impl fmt::Display for FrameLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}, byte {}: frame {}, {} bytes, {} entries, epoch {}, durable {}, sealed at {} us",
            self.path,
            self.byte,
            self.frame,
            self.bytes,
            self.entries,
            self.epoch,
            self.durable,
            self.sealed_at_us
        )
    }
}

impl fmt::Display for BatchLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "  batch {}/{} (partition {}), byte {}: {} bytes, offsets {} to {}, {} records, \
             codec {}, newest {} ms",
            self.topic,
            self.index,
            self.partition,
            self.byte,
            self.bytes,
            self.offset_first,
            self.offset_last,
            self.records,
            self.codec,
            self.timestamp_max_ms
        )?;
        self.producer.as_ref().map_or(Ok(()), |line| line.fmt(f))
    }
}

impl RecordLine {
    pub(super) fn new(record: &RecordView<'_>, detail: Detail) -> RecordLine {
        let headers = record.headers.clone();
        let value = || record.value.map(hex);
        RecordLine {
            offset: record.offset.0,
            timestamp_ms: record.timestamp.0,
            key: record.key.map(readable),
            value_bytes: record.value.map(<[u8]>::len),
            value: (detail >= Detail::Values).then(value).flatten(),
            headers: headers
                .map(|header| (header.name.to_owned(), header.value.map(readable)))
                .collect(),
        }
    }
}

impl fmt::Display for RecordLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = self.key.as_deref().unwrap_or("null");
        let (offset, time) = (self.offset, self.timestamp_ms);
        write!(f, "    record {offset}, {time} ms, key {key}, value ")?;
        match (&self.value, self.value_bytes) {
            (Some(value), _) => write!(f, "{value}")?,
            (None, Some(bytes)) => write!(f, "{bytes} bytes")?,
            (None, None) => write!(f, "null")?,
        }
        for (name, value) in &self.headers {
            write!(f, ", {name} = {}", value.as_deref().unwrap_or("null"))?;
        }
        Ok(())
    }
}
