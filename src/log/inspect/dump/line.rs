//! The lines of a dump, as text and as JSON.
//!
//! Owns: what each line says. Never does: I/O. Runs on: any thread.

use std::fmt;

use serde::Serialize;

/// A line of the dump.
#[derive(Debug, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub(super) enum Line<'a> {
    Frame {
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
    },
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
    Torn {
        path: String,
        byte: u32,
        frame: u64,
        reason: String,
    },
    Damaged {
        path: String,
        byte: u32,
        frame: u64,
        reason: String,
    },
}

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Line::Frame {
                path,
                byte,
                frame,
                epoch,
                durable,
                entries,
                bytes,
                sealed_at_us,
                stripe: _,
                segment: _,
            } => write!(
                f,
                "{path}, byte {byte}: frame {frame}, {bytes} bytes, {entries} entries, epoch \
                 {epoch}, durable {durable}, sealed at {sealed_at_us} us"
            ),
            Line::Batch(batch) => write!(f, "{batch}"),
            Line::Record(record) => write!(f, "{record}"),
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
            Line::Torn {
                path,
                byte,
                frame,
                reason,
            } => write!(
                f,
                "{path}, byte {byte}: torn tail, frame {frame} is incomplete: {reason}"
            ),
            Line::Damaged {
                path,
                byte,
                frame,
                reason,
            } => write!(f, "{path}, byte {byte}: DAMAGED, frame {frame}: {reason}"),
        }
    }
}

/// A batch of records.
#[derive(Debug, Serialize)]
pub(super) struct BatchLine<'a> {
    pub partition: u32,
    pub topic: &'a str,
    pub index: u32,
    pub byte: u32,
    pub bytes: u32,
    pub offset_first: i64,
    pub offset_last: i64,
    pub records: u32,
    pub leader_epoch: i32,
    pub codec: u8,
    pub timestamp_max_ms: i64,
}

impl fmt::Display for BatchLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let BatchLine {
            partition,
            topic,
            index,
            byte,
            bytes,
            offset_first,
            offset_last,
            records,
            leader_epoch: _,
            codec,
            timestamp_max_ms,
        } = self;
        write!(
            f,
            "  batch {topic}/{index} (partition {partition}), byte {byte}: {bytes} bytes, \
             offsets {offset_first} to {offset_last}, {records} records, codec {codec}, \
             newest {timestamp_max_ms} ms"
        )
    }
}

/// One record of a batch.
#[derive(Debug, Serialize)]
pub(super) struct RecordLine {
    pub offset: i64,
    pub timestamp_ms: i64,
    pub key: Option<String>,
    pub value_bytes: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    pub headers: Vec<(String, Option<String>)>,
}

impl fmt::Display for RecordLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RecordLine {
            offset,
            timestamp_ms,
            key,
            value_bytes,
            value,
            headers,
        } = self;
        let key = key.as_deref().unwrap_or("null");
        write!(
            f,
            "    record {offset}, {timestamp_ms} ms, key {key}, value "
        )?;
        match (value, value_bytes) {
            (Some(value), _) => write!(f, "{value}")?,
            (None, Some(bytes)) => write!(f, "{bytes} bytes")?,
            (None, None) => write!(f, "null")?,
        }
        for (name, value) in headers {
            write!(f, ", {name} = {}", value.as_deref().unwrap_or("null"))?;
        }
        Ok(())
    }
}
