//! Fetch requests, read in place.
//!
//! Owns: the layouts of versions 4 to 17. Never does: allocation; a panic, whatever the bytes. Runs
//! on: the hot path, per request.
//!
//! ```text
//! replica id i32 (to 14) | max wait i32 | min bytes i32 | max bytes i32 | isolation i8 |
//!     session id i32, session epoch i32 (7+) |
//!     topics [ name (to 12) or id (13+), partitions [ index i32, leader epoch i32 (9+),
//!     offset i64, last fetched epoch i32 (12+), log start i64 (5+), max bytes i32 ] ] |
//!     forgotten topics [ name or id, partitions [ i32 ] ] (7+) | rack (11+)
//! ```
//! From version 12 on it is flexible. Sessions (KIP-227) are declined by session id 0 in each response,
//! so that every request names all its partitions. Tagged fields are for replicas and skipped.

use uuid::Uuid;

use crate::wire::api::{self, Encoding};
pub use crate::wire::fetch_response::{Aborted, FetchResponse, Fetched};
use crate::wire::reader::{Malformed, Reader};

/// The first version with a layout here, which is the first with batches v2.
pub const VERSION_MIN: i16 = 4;
/// The last version with a layout here.
pub const VERSION_MAX: i16 = 17;

/// From here on topics are addressed by id.
pub(super) const IDS_SINCE: i16 = 13;

pub(super) fn encoding(version: i16) -> Encoding {
    api::encoding(api::FETCH, version).expect("Fetch is served")
}

/// What a client calls a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TopicRef<'a> {
    /// By name, up to version 12.
    Name(&'a str),
    /// By id, from version 13 on.
    Id(Uuid),
}

/// What a reader may see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// Everything up to the high watermark.
    Uncommitted,
    /// What is below the last stable offset; aborted transactions are named.
    Committed,
}

/// A Fetch request, all of which has been checked. Cheap to copy.
#[derive(Clone, Copy, Debug)]
pub struct FetchView<'a> {
    /// The longest to wait for `bytes_min`, in milliseconds.
    pub wait_ms_max: i32,
    /// Bytes of records to wait for.
    pub bytes_min: i32,
    /// Bytes of records to send, but for a first batch that is longer.
    pub bytes_max: i32,
    /// What the reader may see.
    pub isolation: Isolation,
    /// The session the client is in; 0 for none. The broker never gives another.
    pub session_id: i32,
    /// The request's number in its session; -1 without one, 0 to ask for one.
    pub session_epoch: i32,
    topics: FetchTopics<'a>,
}

/// The topics of a request, in its order. They may repeat.
#[derive(Clone, Copy, Debug)]
pub struct FetchTopics<'a> {
    reader: Reader<'a>,
    version: i16,
    left: u32,
}

/// A topic of a request.
#[derive(Clone, Copy, Debug)]
pub struct FetchTopic<'a> {
    /// Which.
    pub topic: TopicRef<'a>,
    /// Its partitions.
    pub partitions: FetchPartitions<'a>,
}

/// The partitions of a topic, in the request's order. Indexes may repeat.
#[derive(Clone, Copy, Debug)]
pub struct FetchPartitions<'a> {
    reader: Reader<'a>,
    version: i16,
    left: u32,
}

/// A partition of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FetchPartition {
    /// Its index, as the client says.
    pub index: i32,
    /// The leader epoch that the client knows; -1 for none.
    pub leader_epoch: i32,
    /// Where to read from, as the client says.
    pub offset: i64,
    /// The epoch of the last batch that the client has; -1 for none.
    pub last_fetched_epoch: i32,
    /// Bytes of records to send, but for a first batch that is longer.
    pub bytes_max: i32,
}

#[inline]
fn read_name<'a>(reader: &mut Reader<'a>, version: i16) -> Result<TopicRef<'a>, Malformed> {
    if version >= IDS_SINCE {
        reader.uuid("topic_id").map(TopicRef::Id)
    } else {
        reader.string("topic").map(TopicRef::Name)
    }
}

/// Reads a topic, all its partitions included.
#[inline]
fn read_topic<'a>(reader: &mut Reader<'a>, version: i16) -> Result<FetchTopic<'a>, Malformed> {
    let topic = read_name(reader, version)?;
    let left = reader.count("partitions")?;
    let partitions = FetchPartitions {
        reader: *reader,
        version,
        left,
    };
    for _ in 0..left {
        read_partition(reader, version)?;
    }
    reader.tagged_fields()?;
    Ok(FetchTopic { topic, partitions })
}

#[inline]
fn read_partition(reader: &mut Reader<'_>, version: i16) -> Result<FetchPartition, Malformed> {
    let index = reader.i32("partition")?;
    let leader_epoch = if version >= 9 {
        reader.i32("current_leader_epoch")?
    } else {
        -1
    };
    let offset = reader.i64("fetch_offset")?;
    let last_fetched_epoch = if version >= 12 {
        reader.i32("last_fetched_epoch")?
    } else {
        -1
    };
    if version >= 5 {
        // A replica's own; consumers send -1.
        reader.i64("log_start_offset")?;
    }
    let bytes_max = reader.i32("partition_max_bytes")?;
    reader.tagged_fields()?;
    Ok(FetchPartition {
        index,
        leader_epoch,
        offset,
        last_fetched_epoch,
        bytes_max,
    })
}

/// Topics that a session leaves out from now on. There are no sessions, so they say nothing.
fn read_forgotten(reader: &mut Reader<'_>, version: i16) -> Result<(), Malformed> {
    for _ in 0..reader.count("forgotten_topics_data")? {
        read_name(reader, version)?;
        for _ in 0..reader.count("forgotten partitions")? {
            reader.i32("forgotten partitions")?;
        }
        reader.tagged_fields()?;
    }
    Ok(())
}

impl<'a> FetchView<'a> {
    /// Reads the body at `body_at` of `frame`, and checks all of it.
    ///
    /// # Errors
    /// A version that has no layout here, a field that is cut short or has an impossible value, or
    /// bytes after the last field.
    pub fn parse(
        frame: &'a [u8],
        body_at: usize,
        version: i16,
    ) -> Result<FetchView<'a>, Malformed> {
        if !(VERSION_MIN..=VERSION_MAX).contains(&version) {
            return Err(Malformed {
                field: "api version",
                at: body_at,
            });
        }
        let mut reader = Reader::new(frame, body_at, encoding(version));
        if version <= 14 {
            // -1 from consumers; nobody replicates from here.
            reader.i32("replica_id")?;
        }
        let wait_ms_max = reader.i32("max_wait_ms")?;
        let bytes_min = reader.i32("min_bytes")?;
        let bytes_max = reader.i32("max_bytes")?;
        let isolation_at = reader.at();
        let isolation = match reader.i8("isolation_level")? {
            0 => Isolation::Uncommitted,
            1 => Isolation::Committed,
            _ => {
                return Err(Malformed {
                    field: "isolation_level",
                    at: isolation_at,
                });
            }
        };
        let (session_id, session_epoch) = if version >= 7 {
            (reader.i32("session_id")?, reader.i32("session_epoch")?)
        } else {
            (0, -1)
        };
        let left = reader.count("topics")?;
        let topics = FetchTopics {
            reader,
            version,
            left,
        };
        for _ in 0..left {
            read_topic(&mut reader, version)?;
        }
        if version >= 7 {
            read_forgotten(&mut reader, version)?;
        }
        if version >= 11 {
            reader.string("rack_id")?;
        }
        reader.tagged_fields()?;
        reader.end()?;
        Ok(FetchView {
            wait_ms_max,
            bytes_min,
            bytes_max,
            isolation,
            session_id,
            session_epoch,
            topics,
        })
    }

    /// The topics.
    #[inline]
    pub const fn topics(&self) -> FetchTopics<'a> {
        self.topics
    }
}

impl<'a> Iterator for FetchTopics<'a> {
    type Item = FetchTopic<'a>;

    #[inline]
    fn next(&mut self) -> Option<FetchTopic<'a>> {
        self.left = self.left.checked_sub(1)?;
        read_topic(&mut self.reader, self.version).ok()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left as usize, Some(self.left as usize))
    }
}

impl ExactSizeIterator for FetchTopics<'_> {}

impl Iterator for FetchPartitions<'_> {
    type Item = FetchPartition;

    #[inline]
    fn next(&mut self) -> Option<FetchPartition> {
        self.left = self.left.checked_sub(1)?;
        read_partition(&mut self.reader, self.version).ok()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left as usize, Some(self.left as usize))
    }
}

impl ExactSizeIterator for FetchPartitions<'_> {}
