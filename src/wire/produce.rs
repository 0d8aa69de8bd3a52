//! Produce requests, read in place, and their responses.
//!
//! Owns: the layouts of versions 0 to 11. Never does: look into the records; copy them. Runs on: the
//! hot path, per request.
//!
//! ```text
//! request:  transactional id? (3+) | acks i16 | timeout i32 | topics [ name, partitions [ index i32,
//!           records? ] ]
//! response: topics [ name, partitions [ index i32, error i16, base offset i64, append time i64 (2+),
//!           log start i64 (5+), record errors [] (8+), message? (8+) ] ], throttle i32 (1+)
//! ```
//! From version 9 on it is flexible. Versions 0 to 2 can be read so far that they can be refused in
//! their own layout; what they carry is not stored.

use std::ops::Range;

use crate::wire::api::{self, Encoding};
use crate::wire::frame_writer::FrameWriter;
use crate::wire::reader::{Malformed, Reader};

/// The last version with a layout here; later ones address topics by id and need transactions v2.
pub const VERSION_MAX: i16 = 11;

fn encoding(version: i16) -> Encoding {
    api::encoding(api::PRODUCE, version).expect("Produce is served")
}

/// Reads a topic, all its partitions included.
#[inline]
fn read_topic<'a>(reader: &mut Reader<'a>) -> Result<ProduceTopic<'a>, Malformed> {
    let name = reader.string("name")?;
    let left = reader.count("partition_data")?;
    let partitions = ProducePartitions {
        reader: *reader,
        left,
    };
    for _ in 0..left {
        read_partition(reader)?;
    }
    reader.tagged_fields()?;
    Ok(ProduceTopic { name, partitions })
}

#[inline]
fn read_partition(reader: &mut Reader<'_>) -> Result<ProducePartition, Malformed> {
    let index = reader.i32("index")?;
    let records = reader.nullable_bytes("records")?;
    let end = reader.at();
    reader.tagged_fields()?;
    Ok(ProducePartition {
        index,
        records: records.map(|records| end - records.len()..end),
    })
}

/// A Produce request, all of which has been checked. Cheap to copy.
#[derive(Clone, Copy, Debug)]
pub struct ProduceView<'a> {
    /// The producer's transactional id.
    pub transactional_id: Option<&'a str>,
    /// Which acknowledgement is asked for: any number; 0, 1 and -1 have a meaning.
    pub acks: i16,
    /// How long the client lets the broker wait, in milliseconds.
    pub timeout_ms: i32,
    topics: ProduceTopics<'a>,
}

/// The topics of a request, in its order. Names may repeat.
#[derive(Clone, Copy, Debug)]
pub struct ProduceTopics<'a> {
    reader: Reader<'a>,
    left: u32,
}

/// A topic of a request.
#[derive(Clone, Copy, Debug)]
pub struct ProduceTopic<'a> {
    /// Its name, as the client says.
    pub name: &'a str,
    /// Its partitions.
    pub partitions: ProducePartitions<'a>,
}

/// The partitions of a topic, in the request's order. Indexes may repeat.
#[derive(Clone, Copy, Debug)]
pub struct ProducePartitions<'a> {
    reader: Reader<'a>,
    left: u32,
}

/// A partition of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProducePartition {
    /// Its index, as the client says.
    pub index: i32,
    /// Where in the frame its records are; nothing if they are null.
    pub records: Option<Range<usize>>,
}

impl<'a> ProduceView<'a> {
    /// Reads the body at `body_at` of `frame`, and checks all of it but the records.
    ///
    /// # Errors
    /// A version that has no layout here, a field that is cut short or has an impossible value, or
    /// bytes after the last field.
    pub fn parse(
        frame: &'a [u8],
        body_at: usize,
        version: i16,
    ) -> Result<ProduceView<'a>, Malformed> {
        if !(0..=VERSION_MAX).contains(&version) {
            return Err(Malformed {
                field: "api version",
                at: body_at,
            });
        }
        let mut reader = Reader::new(frame, body_at, encoding(version));
        let transactional_id = if version >= 3 {
            reader.nullable_string("transactional_id")?
        } else {
            None
        };
        let acks = reader.i16("acks")?;
        let timeout_ms = reader.i32("timeout_ms")?;
        let left = reader.count("topic_data")?;
        let topics = ProduceTopics { reader, left };
        for _ in 0..left {
            read_topic(&mut reader)?;
        }
        reader.tagged_fields()?;
        reader.end()?;
        Ok(ProduceView {
            transactional_id,
            acks,
            timeout_ms,
            topics,
        })
    }

    /// The topics.
    #[inline]
    pub const fn topics(&self) -> ProduceTopics<'a> {
        self.topics
    }
}

impl<'a> Iterator for ProduceTopics<'a> {
    type Item = ProduceTopic<'a>;

    #[inline]
    fn next(&mut self) -> Option<ProduceTopic<'a>> {
        self.left = self.left.checked_sub(1)?;
        read_topic(&mut self.reader).ok()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left as usize, Some(self.left as usize))
    }
}

impl ExactSizeIterator for ProduceTopics<'_> {}

impl Iterator for ProducePartitions<'_> {
    type Item = ProducePartition;

    #[inline]
    fn next(&mut self) -> Option<ProducePartition> {
        self.left = self.left.checked_sub(1)?;
        read_partition(&mut self.reader).ok()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left as usize, Some(self.left as usize))
    }
}

impl ExactSizeIterator for ProducePartitions<'_> {}

/// What became of a partition's records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Produced<'a> {
    /// The partition's index, as in the request.
    pub index: i32,
    /// Kafka's number of the error; 0 for none.
    pub error: i16,
    /// Offset of the first record; -1 with an error.
    pub base_offset: i64,
    /// The partition's first offset; -1 with an error.
    pub log_start_offset: i64,
    /// What to tell a person about the error; from version 8 on.
    pub message: Option<&'a str>,
}

/// Writes a response behind what a buffer holds. Topics and partitions have to come in the numbers
/// that were announced.
#[derive(Debug)]
pub struct ProduceResponse<'a> {
    frame: FrameWriter<'a>,
    version: i16,
}

impl<'a> ProduceResponse<'a> {
    /// Begins a response to that many topics.
    ///
    /// # Panics
    /// A version that [`ProduceView::parse`] refuses.
    pub fn begin(
        out: &'a mut Vec<u8>,
        version: i16,
        correlation_id: i32,
        topics: usize,
    ) -> ProduceResponse<'a> {
        assert!((0..=VERSION_MAX).contains(&version), "checked when parsed");
        let mut frame = FrameWriter::begin(out, encoding(version), correlation_id);
        frame.begin_topics(topics);
        ProduceResponse { frame, version }
    }

    /// Begins a topic with that many partitions.
    #[inline]
    pub fn topic(&mut self, name: &str, partitions: usize) {
        self.frame.topic_begins();
        self.frame.string(name);
        self.frame.begin_partitions(partitions);
    }

    /// Adds a partition to the topic.
    #[inline]
    pub fn partition(&mut self, produced: &Produced<'_>) {
        /// The broker does not stamp records: their own times are kept.
        const NO_APPEND_TIME: i64 = -1;
        let frame = &mut self.frame;
        frame.i32(produced.index);
        frame.i16(produced.error);
        frame.i64(produced.base_offset);
        if self.version >= 2 {
            frame.i64(NO_APPEND_TIME);
        }
        if self.version >= 5 {
            frame.i64(produced.log_start_offset);
        }
        if self.version >= 8 {
            // A batch is taken as a whole or not at all, so that no record has an error of its own.
            frame.count(0);
            frame.nullable_string(produced.message);
        }
        frame.no_tagged_fields();
        frame.partition_ends();
    }

    /// Ends the response.
    ///
    /// # Panics
    /// Topics or partitions that were announced are missing.
    pub fn finish(mut self, throttle_ms: i32) {
        if self.version >= 1 {
            self.frame.i32(throttle_ms);
        }
        self.frame.no_tagged_fields();
        self.frame.finish(0);
    }
}
