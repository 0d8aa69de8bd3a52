//! How a transactional id is stored.
//!
//! Owns: the bytes of its pair. Never does: I/O. Runs on: the core that owns stripe 0.
//!
//! The key is [`PREFIX`] and the transactional id. The value, all numbers big-endian:
//!
//! | bytes | what |
//! |---|---|
//! | 1 | version: 1 |
//! | 1 | state: its place in [`State::ALL`] |
//! | 8, 2 | producer id, epoch |
//! | 2 | the epoch before, or -1 |
//! | 8 | the producer id before, or -1 |
//! | 4 | timeout in milliseconds |
//! | 8, 8 | begin of the transaction (or -1), time of this value; milliseconds since the Unix epoch |
//! | 4, then 4 + 4 each | partitions: topic, partition |
//! | 4, then 4 + length each | groups |

use std::collections::BTreeSet;

use super::metadata::{Metadata, NO_EPOCH, Partition, Producer, State};
use crate::broker::coordinator::Pair;
use crate::ids::{PartitionIndex, TopicId, UnixMillis};

/// What all keys of transactional ids begin with.
pub const PREFIX: &[u8] = b"\xfft";

const VERSION: u8 = 1;

/// The key of a transactional id.
pub fn key(transactional_id: &str) -> Vec<u8> {
    [PREFIX, transactional_id.as_bytes()].concat()
}

/// The transactional id of a key.
pub fn id_of(key: &[u8]) -> Option<&str> {
    let id = std::str::from_utf8(key.strip_prefix(PREFIX)?).ok()?;
    (!id.is_empty()).then_some(id)
}

/// What to store.
pub fn pair(transactional_id: &str, metadata: &Metadata) -> Pair {
    Pair {
        key: key(transactional_id),
        value: encode(metadata),
    }
}

fn encode(metadata: &Metadata) -> Vec<u8> {
    let place = State::ALL
        .iter()
        .position(|state| *state == metadata.state)
        .expect("ALL has every state");
    let mut out = vec![VERSION, place as u8];
    out.extend_from_slice(&metadata.producer.id.to_be_bytes());
    out.extend_from_slice(&metadata.producer.epoch.to_be_bytes());
    out.extend_from_slice(&metadata.last_epoch.to_be_bytes());
    out.extend_from_slice(&metadata.previous_id.to_be_bytes());
    out.extend_from_slice(&metadata.timeout_ms.to_be_bytes());
    out.extend_from_slice(&metadata.started.0.to_be_bytes());
    out.extend_from_slice(&metadata.updated.0.to_be_bytes());
    // Neither count can pass what one request after another could name: far below u32::MAX.
    out.extend_from_slice(&(metadata.partitions.len() as u32).to_be_bytes());
    for (topic, partition) in &metadata.partitions {
        out.extend_from_slice(&topic.0.to_be_bytes());
        out.extend_from_slice(&partition.0.to_be_bytes());
    }
    out.extend_from_slice(&(metadata.groups.len() as u32).to_be_bytes());
    for group in &metadata.groups {
        out.extend_from_slice(&(group.len() as u32).to_be_bytes());
        out.extend_from_slice(group.as_bytes());
    }
    out
}

/// A stored value; `None` where it is not understood.
pub fn decode(value: &[u8]) -> Option<Metadata> {
    let mut rest = Rest(value);
    let [version, place] = rest.take()?;
    if version != VERSION {
        return None;
    }
    let metadata = Metadata {
        state: *State::ALL.get(usize::from(place))?,
        producer: Producer {
            id: i64::from_be_bytes(rest.take()?),
            epoch: i16::from_be_bytes(rest.take()?),
        },
        last_epoch: i16::from_be_bytes(rest.take()?),
        previous_id: i64::from_be_bytes(rest.take()?),
        timeout_ms: i32::from_be_bytes(rest.take()?),
        started: UnixMillis(i64::from_be_bytes(rest.take()?)),
        updated: UnixMillis(i64::from_be_bytes(rest.take()?)),
        partitions: rest.partitions()?,
        groups: rest.groups()?,
    };
    let sound = rest.0.is_empty()
        && metadata.producer.id >= 0
        && metadata.producer.epoch > NO_EPOCH
        && metadata.timeout_ms > 0;
    sound.then_some(metadata)
}

/// What is left to read.
struct Rest<'a>(&'a [u8]);

impl Rest<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (bytes, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*bytes)
    }

    fn count(&mut self) -> Option<u32> {
        self.take().map(u32::from_be_bytes)
    }

    fn partitions(&mut self) -> Option<BTreeSet<Partition>> {
        let mut partitions = BTreeSet::new();
        for _ in 0..self.count()? {
            let topic = TopicId(self.count()?);
            partitions.insert((topic, PartitionIndex(self.count()?)));
        }
        Some(partitions)
    }

    fn groups(&mut self) -> Option<BTreeSet<String>> {
        let mut groups = BTreeSet::new();
        for _ in 0..self.count()? {
            let length = self.count()? as usize;
            let (group, rest) = self.0.split_at_checked(length)?;
            self.0 = rest;
            groups.insert(std::str::from_utf8(group).ok()?.to_owned());
        }
        Some(groups)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full() -> Metadata {
        Metadata {
            producer: Producer { id: 7, epoch: 3 },
            last_epoch: 2,
            previous_id: 5,
            state: State::PrepareCommit,
            started: UnixMillis(11),
            partitions: BTreeSet::from([
                (TopicId(1), PartitionIndex(0)),
                (TopicId(1), PartitionIndex(9)),
            ]),
            groups: BTreeSet::from(["one".to_owned(), "zwei ü".to_owned()]),
            ..Metadata::new(7, 60_000, UnixMillis(12))
        }
    }

    #[test]
    fn what_was_stored_comes_back() {
        for state in State::ALL {
            let metadata = Metadata { state, ..full() };
            let pair = pair("my-id", &metadata);
            assert_eq!(id_of(&pair.key), Some("my-id"));
            assert_eq!(decode(&pair.value), Some(metadata));
        }
    }

    #[test]
    fn a_value_that_is_cut_or_longer_is_refused() {
        let value = encode(&full());
        for length in 0..value.len() {
            assert_eq!(decode(&value[..length]), None, "{length} bytes");
        }
        let longer = [&value[..], &[0]].concat();
        assert_eq!(decode(&longer), None);
    }

    #[test]
    fn damage_is_refused_or_decoded_but_never_panics() {
        let value = encode(&full());
        for at in 0..value.len() {
            for byte in [0, 1, 0x7f, 0x80, 0xff] {
                let mut damaged = value.clone();
                damaged[at] = byte;
                let _ = decode(&damaged);
            }
        }
    }

    #[test]
    fn a_key_of_something_else_is_no_transactional_id() {
        assert_eq!(id_of(b"\xffgx"), None);
        assert_eq!(id_of(PREFIX), None);
        assert_eq!(id_of(b"\xfft\xff\xff"), None);
    }
}
