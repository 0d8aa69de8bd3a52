//! Responses to Fetch, written around records that lie elsewhere.
//!
//! Owns: the layouts of versions 4 to 17. Never does: touch a record; they are sent from where they
//! are, between the parts written here. Runs on: the hot path, per request.
//!
//! ```text
//! throttle i32 | error i16, session id i32 (7+) | topics [ name or id, partitions [ index
//!     i32, error i16, high watermark i64, last stable offset i64, log start i64 (5+),
//!     aborted [ producer id i64, first offset i64 ]?, preferred replica i32 (11+), records ] ]
//! ```
//! From version 12 on it is flexible. The session id is always 0: sessions (KIP-227) are declined.

use crate::wire::fetch::{IDS_SINCE, TopicRef, VERSION_MAX, VERSION_MIN, encoding};
use crate::wire::frame_writer::FrameWriter;

/// A transaction that was aborted: a reader of committed records skips its producer's from there on,
/// up to the marker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Aborted {
    /// Who wrote it.
    pub producer_id: i64,
    /// Its first offset in the partition.
    pub first_offset: i64,
}

/// What a partition's readers get besides records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fetched<'a> {
    /// The partition's index, as in the request.
    pub index: i32,
    /// Kafka's number of the error; 0 for none.
    pub error: i16,
    /// The offset after the last one that can be seen; -1 with an error.
    pub high_watermark: i64,
    /// The first offset of the oldest open transaction, or the high watermark; -1 with an error.
    pub last_stable_offset: i64,
    /// The partition's first offset; -1 with an error.
    pub log_start_offset: i64,
    /// The transactions aborted among the records; nothing for a reader of uncommitted records.
    pub aborted: Option<&'a [Aborted]>,
    /// Bytes of records that the caller puts where [`FetchResponse::partition`] says.
    pub records_bytes: usize,
}

/// Writes a response behind what a buffer holds, but for the records. Topics and partitions have to
/// come in the numbers that were announced.
#[derive(Debug)]
pub struct FetchResponse<'a> {
    frame: FrameWriter<'a>,
    version: i16,
    records_bytes: usize,
}

impl<'a> FetchResponse<'a> {
    /// Begins a response to that many topics. `error` is Kafka's number of an error of the whole
    /// request, which versions before 7 cannot say.
    ///
    /// # Panics
    /// A version that [`crate::wire::fetch::FetchView::parse`] refuses.
    pub fn begin(
        out: &'a mut Vec<u8>,
        version: i16,
        correlation_id: i32,
        error: i16,
        topics: usize,
    ) -> FetchResponse<'a> {
        const NO_THROTTLE: i32 = 0;
        const NO_SESSION: i32 = 0;
        assert!(
            (VERSION_MIN..=VERSION_MAX).contains(&version),
            "checked when parsed"
        );
        let mut frame = FrameWriter::begin(out, encoding(version), correlation_id);
        frame.i32(NO_THROTTLE);
        if version >= 7 {
            frame.i16(error);
            frame.i32(NO_SESSION);
        }
        frame.begin_topics(topics);
        FetchResponse {
            frame,
            version,
            records_bytes: 0,
        }
    }

    /// Begins a topic with that many partitions, named as the request's version names it.
    ///
    /// # Panics
    /// A name where the version has ids, or the other way round.
    #[inline]
    pub fn topic(&mut self, topic: TopicRef<'_>, partitions: usize) {
        assert_eq!(
            matches!(topic, TopicRef::Id(_)),
            self.version >= IDS_SINCE,
            "topics are named as in the request"
        );
        self.frame.topic_begins();
        match topic {
            TopicRef::Name(name) => self.frame.string(name),
            TopicRef::Id(id) => self.frame.uuid(id),
        }
        self.frame.begin_partitions(partitions);
    }

    /// Adds a partition to the topic: returns where in the buffer its records belong. They are not
    /// copied there; the caller sends the buffer up to that place, the records, and the rest.
    #[inline]
    pub fn partition(&mut self, fetched: &Fetched<'_>) -> usize {
        const NO_PREFERRED_REPLICA: i32 = -1;
        let frame = &mut self.frame;
        frame.i32(fetched.index);
        frame.i16(fetched.error);
        frame.i64(fetched.high_watermark);
        frame.i64(fetched.last_stable_offset);
        if self.version >= 5 {
            frame.i64(fetched.log_start_offset);
        }
        match fetched.aborted {
            None => frame.null_array(),
            Some(aborted) => {
                frame.count(aborted.len());
                for transaction in aborted {
                    frame.i64(transaction.producer_id);
                    frame.i64(transaction.first_offset);
                    frame.no_tagged_fields();
                }
            }
        }
        if self.version >= 11 {
            frame.i32(NO_PREFERRED_REPLICA);
        }
        frame.count(fetched.records_bytes);
        let at = frame.at();
        self.records_bytes += fetched.records_bytes;
        frame.no_tagged_fields();
        frame.partition_ends();
        at
    }

    /// Ends the response. The frame's length counts the records.
    ///
    /// # Panics
    /// Topics or partitions that were announced are missing, or the frame is longer than 2 GiB.
    pub fn finish(mut self) {
        self.frame.no_tagged_fields();
        self.frame.finish(self.records_bytes);
    }
}
