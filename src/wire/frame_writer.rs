//! A response frame written straight into a buffer that is used again and again.
//!
//! Owns: the layout of lengths, strings, counts and empty tagged fields; that topics and partitions
//! come as announced. Never does: know an API. Runs on: the hot path, per response.

use uuid::Uuid;

use crate::wire::api::Encoding;
use crate::wire::reader::STRING_BYTES_MAX;

const LENGTH_BYTES: usize = 4;

/// Writes the fields of a response one after another.
#[derive(Debug)]
pub(super) struct FrameWriter<'a> {
    out: &'a mut Vec<u8>,
    /// Where the frame's length is.
    start: usize,
    encoding: Encoding,
    topics_left: usize,
    partitions_left: usize,
}

impl<'a> FrameWriter<'a> {
    /// Begins a frame behind what `out` holds: its length, to be filled in, and the header of a
    /// response.
    pub(super) fn begin(
        out: &'a mut Vec<u8>,
        encoding: Encoding,
        correlation_id: i32,
    ) -> FrameWriter<'a> {
        let start = out.len();
        let mut frame = FrameWriter {
            out,
            start,
            encoding,
            topics_left: 0,
            partitions_left: 0,
        };
        frame.i32(0);
        frame.i32(correlation_id);
        frame.no_tagged_fields();
        frame
    }

    /// Where in the buffer the next field goes.
    #[inline]
    pub(super) fn at(&self) -> usize {
        self.out.len()
    }

    #[inline]
    pub(super) fn i16(&mut self, value: i16) {
        self.out.extend_from_slice(&value.to_be_bytes());
    }

    #[inline]
    pub(super) fn i32(&mut self, value: i32) {
        self.out.extend_from_slice(&value.to_be_bytes());
    }

    #[inline]
    pub(super) fn i64(&mut self, value: i64) {
        self.out.extend_from_slice(&value.to_be_bytes());
    }

    #[inline]
    pub(super) fn uuid(&mut self, value: Uuid) {
        self.out.extend_from_slice(value.as_bytes());
    }

    #[inline]
    fn unsigned(&mut self, value: usize) {
        let mut rest = value;
        while rest >= 0x80 {
            self.out.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        self.out.push(rest as u8);
    }

    /// A string, or null. One that is too long for Kafka is cut: that can be text for people only,
    /// for names are as long as they came.
    #[inline]
    pub(super) fn nullable_string(&mut self, value: Option<&str>) {
        let text = value.map(|text| {
            let mut end = text.len().min(STRING_BYTES_MAX);
            while !text.is_char_boundary(end) {
                end -= 1;
            }
            &text[..end]
        });
        match self.encoding {
            Encoding::Flexible => self.unsigned(text.map_or(0, |text| text.len() + 1)),
            Encoding::Fixed => self.i16(text.map_or(-1, |text| text.len() as i16)),
        }
        self.out.extend_from_slice(text.unwrap_or("").as_bytes());
    }

    /// A string.
    #[inline]
    pub(super) fn string(&mut self, value: &str) {
        self.nullable_string(Some(value));
    }

    /// A number of elements, or of bytes that follow.
    ///
    /// # Panics
    /// More than 2^31 - 1.
    #[inline]
    pub(super) fn count(&mut self, count: usize) {
        let wide = i32::try_from(count).expect("a frame is shorter than 2 GiB");
        match self.encoding {
            Encoding::Flexible => self.unsigned(count + 1),
            Encoding::Fixed => self.i32(wide),
        }
    }

    /// An array that is null.
    #[inline]
    pub(super) fn null_array(&mut self) {
        match self.encoding {
            Encoding::Flexible => self.unsigned(0),
            Encoding::Fixed => self.i32(-1),
        }
    }

    /// The end of a structure, where its encoding has one.
    #[inline]
    pub(super) fn no_tagged_fields(&mut self) {
        if self.encoding == Encoding::Flexible {
            self.out.push(0);
        }
    }

    /// Announces the topics of the response.
    #[inline]
    pub(super) fn begin_topics(&mut self, topics: usize) {
        self.count(topics);
        self.topics_left = topics;
    }

    /// A topic begins.
    ///
    /// # Panics
    /// All topics have been written, or the one before lacks partitions.
    #[inline]
    pub(super) fn topic_begins(&mut self) {
        assert_eq!(self.partitions_left, 0, "a topic lacks partitions");
        self.topics_left = self
            .topics_left
            .checked_sub(1)
            .expect("as many topics as announced");
    }

    /// Announces the partitions of the topic, and ends it if there are none.
    #[inline]
    pub(super) fn begin_partitions(&mut self, partitions: usize) {
        self.count(partitions);
        self.partitions_left = partitions;
        if partitions == 0 {
            self.no_tagged_fields();
        }
    }

    /// A partition has been written; after the last one the topic ends.
    ///
    /// # Panics
    /// All partitions of the topic have been written before.
    #[inline]
    pub(super) fn partition_ends(&mut self) {
        self.partitions_left = self
            .partitions_left
            .checked_sub(1)
            .expect("as many partitions as announced");
        if self.partitions_left == 0 {
            self.no_tagged_fields();
        }
    }

    /// Ends the frame, to which `elsewhere` bytes belong that are not in the buffer.
    ///
    /// # Panics
    /// Topics or partitions are missing, or the frame is longer than 2 GiB.
    pub(super) fn finish(self, elsewhere: usize) {
        assert_eq!(
            (self.topics_left, self.partitions_left),
            (0, 0),
            "the response lacks topics or partitions"
        );
        let length = self.out.len() - self.start - LENGTH_BYTES + elsewhere;
        let length = i32::try_from(length).expect("a frame is shorter than 2 GiB");
        self.out[self.start..self.start + LENGTH_BYTES].copy_from_slice(&length.to_be_bytes());
    }
}
