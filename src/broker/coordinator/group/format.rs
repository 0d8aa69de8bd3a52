//! How what must survive is written down.
//!
//! | key, after [`PREFIX`] | value | what |
//! |---|---|---|
//! | `o`, group, topic, partition u32 | entry | a committed offset |
//! | `p`, producer i64, group, topic, partition u32 | entry | an offset of a transaction that has not ended |
//! | `s`, group | version u8 = 1, since i64, protocol type | since when (Unix ms) the group has no members, -1 while it has some |
//!
//! A group or topic in the first two is a length u16 and its bytes; in `s`, where nothing follows, the
//! bytes alone. An entry is: version u8 = 1, order u64, offset i64, leader epoch i32, time of the commit
//! i64 (Unix ms), expiry i64 (Unix ms, -1: by the settings), metadata to the end. Numbers are big endian.
//!
//! Owns: the bytes. Never does: interpreting them. Runs on: the core that owns stripe 0.

use super::{Name, PREFIX, RestoreError};
use crate::broker::coordinator::Pair;
use crate::broker::coordinator::offsets::Entry;
use crate::ids::{Offset, PartitionIndex, UnixMillis};

const VERSION: u8 = 1;
const NONE: i64 = -1;

/// What a key names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Key {
    /// A committed offset.
    Offset(Name, Name, PartitionIndex),
    /// One of a transaction by this producer.
    Pending(i64, Name, Name, PartitionIndex),
    /// What a group is like without members.
    Standing(Name),
}

/// What is remembered of a group beside its offsets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fact {
    /// Since when it has no members; `None` while it has some.
    pub(super) empty_since: Option<UnixMillis>,
    /// What its members were, as `consumer`.
    pub(super) protocol_type: Name,
}

/// Takes bytes from the front.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl Reader<'_> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, tail) = self.0.split_first_chunk::<N>()?;
        self.0 = tail;
        Some(*head)
    }

    pub(super) fn i16(&mut self) -> Option<i16> {
        self.array().map(i16::from_be_bytes)
    }

    pub(super) fn i32(&mut self) -> Option<i32> {
        self.array().map(i32::from_be_bytes)
    }

    fn i64(&mut self) -> Option<i64> {
        self.array().map(i64::from_be_bytes)
    }

    /// That many bytes of UTF-8.
    pub(super) fn text(&mut self, length: usize) -> Option<Name> {
        let (head, tail) = self.0.split_at_checked(length)?;
        self.0 = tail;
        Some(std::str::from_utf8(head).ok()?.into())
    }

    fn counted(&mut self) -> Option<Name> {
        let length = self.array().map(u16::from_be_bytes)?;
        self.text(usize::from(length))
    }

    fn rest(&mut self) -> Option<Name> {
        self.text(self.0.len())
    }
}

/// Names come from the wire, where they are no longer than this, or are refused
/// ([`super::answers::check_group`]).
fn put_counted(bytes: &mut Vec<u8>, text: &str) {
    let length = u16::try_from(text.len()).unwrap_or(u16::MAX);
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(&text.as_bytes()[..usize::from(length)]);
}

fn put_place(bytes: &mut Vec<u8>, group: &str, topic: &str, partition: PartitionIndex) {
    put_counted(bytes, group);
    put_counted(bytes, topic);
    bytes.extend_from_slice(&partition.0.to_be_bytes());
}

impl Key {
    /// As it is stored.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut bytes = PREFIX.to_vec();
        match self {
            Key::Offset(group, topic, partition) => {
                bytes.push(b'o');
                put_place(&mut bytes, group, topic, *partition);
            }
            Key::Pending(producer, group, topic, partition) => {
                bytes.push(b'p');
                bytes.extend_from_slice(&producer.to_be_bytes());
                put_place(&mut bytes, group, topic, *partition);
            }
            Key::Standing(group) => {
                bytes.push(b's');
                bytes.extend_from_slice(group.as_bytes());
            }
        }
        bytes
    }

    /// The pair that removes it.
    pub(super) fn removal(&self) -> Pair {
        Pair {
            key: self.bytes(),
            value: Vec::new(),
        }
    }

    /// A key as stored.
    pub(super) fn read(bytes: &[u8]) -> Result<Key, RestoreError> {
        let read = || {
            let (kind, rest) = bytes.strip_prefix(PREFIX)?.split_first()?;
            let mut reader = Reader(rest);
            let key = match kind {
                b'o' => Key::Offset(
                    reader.counted()?,
                    reader.counted()?,
                    partition(&mut reader)?,
                ),
                b'p' => Key::Pending(
                    reader.i64()?,
                    reader.counted()?,
                    reader.counted()?,
                    partition(&mut reader)?,
                ),
                b's' => Key::Standing(reader.rest()?),
                _ => return None,
            };
            reader.0.is_empty().then_some(key)
        };
        read().ok_or(RestoreError::Key)
    }
}

fn partition(reader: &mut Reader<'_>) -> Option<PartitionIndex> {
    Some(PartitionIndex(u32::from_be_bytes(reader.array()?)))
}

/// An offset as stored.
pub(super) fn entry_bytes(entry: &Entry) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(37 + entry.metadata.len());
    bytes.push(VERSION);
    bytes.extend_from_slice(&entry.order.to_be_bytes());
    bytes.extend_from_slice(&entry.offset.0.to_be_bytes());
    bytes.extend_from_slice(&entry.leader_epoch.to_be_bytes());
    bytes.extend_from_slice(&entry.committed.0.to_be_bytes());
    let expires = entry.expires.map_or(NONE, |at| at.0);
    bytes.extend_from_slice(&expires.to_be_bytes());
    bytes.extend_from_slice(entry.metadata.as_bytes());
    bytes
}

/// A stored offset.
pub(super) fn read_entry(bytes: &[u8]) -> Result<Entry, RestoreError> {
    let read = || {
        let mut reader = Reader(bytes);
        if reader.array()? != [VERSION] {
            return None;
        }
        Some(Entry {
            order: u64::from_be_bytes(reader.array()?),
            offset: Offset(reader.i64()?),
            leader_epoch: reader.i32()?,
            committed: UnixMillis(reader.i64()?),
            expires: Some(reader.i64()?).filter(|at| *at != NONE).map(UnixMillis),
            metadata: reader.rest()?,
        })
    };
    read().ok_or(RestoreError::Value)
}

impl Fact {
    /// As it is stored.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        let since = self.empty_since.map_or(NONE, |at| at.0);
        bytes.extend_from_slice(&since.to_be_bytes());
        bytes.extend_from_slice(self.protocol_type.as_bytes());
        bytes
    }

    /// A stored one.
    pub(super) fn read(bytes: &[u8]) -> Result<Fact, RestoreError> {
        let read = || {
            let mut reader = Reader(bytes);
            if reader.array()? != [VERSION] {
                return None;
            }
            Some(Fact {
                empty_since: Some(reader.i64()?).filter(|at| *at != NONE).map(UnixMillis),
                protocol_type: reader.rest()?,
            })
        };
        read().ok_or(RestoreError::Value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_stored_reads_back() {
        let (group, topic) = (Name::from("g\u{e9}"), Name::from("t"));
        for key in [
            Key::Offset(group.clone(), topic.clone(), PartitionIndex(7)),
            Key::Pending(-3, group.clone(), topic, PartitionIndex(u32::MAX)),
            Key::Standing(group),
        ] {
            assert_eq!(Key::read(&key.bytes()), Ok(key));
        }
        let entry = Entry {
            order: 1 << 40,
            offset: Offset(-2),
            leader_epoch: -1,
            committed: UnixMillis(5),
            expires: Some(UnixMillis(9)),
            metadata: "m".into(),
        };
        assert_eq!(read_entry(&entry_bytes(&entry)), Ok(entry));
        let fact = Fact {
            empty_since: None,
            protocol_type: "consumer".into(),
        };
        assert_eq!(Fact::read(&fact.bytes()), Ok(fact));
    }

    #[test]
    fn foreign_bytes_are_refused() {
        for key in [
            &b""[..],
            b"\xffg",
            b"\xffx",
            b"\xffgz",
            b"\xffgo\x00\x01g",
            b"\xffgo\x00\x00\x00\x00\x00\x00\x00\x00more",
            b"\xffgs\xff",
        ] {
            assert_eq!(Key::read(key), Err(RestoreError::Key), "{key:?}");
        }
        for value in [&b""[..], b"\x01", b"\x02\0\0\0\0\0\0\0\0"] {
            assert_eq!(Fact::read(value), Err(RestoreError::Value), "{value:?}");
            assert_eq!(read_entry(value), Err(RestoreError::Value), "{value:?}");
        }
    }
}
