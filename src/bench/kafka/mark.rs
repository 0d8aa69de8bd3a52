//! What a record says of itself: which it is, and when it was meant to be sent.
//!
//! Owns: the first bytes of a value, and values with them. Never does: send. Runs on: the threads of
//! a load.

use bytes::{BufMut as _, Bytes, BytesMut};

use crate::ids::Nanos;

/// Bytes at the start of a value that its mark takes.
pub const MARK_BYTES: usize = 16;

/// Bits of the number of a record within its producer: a million a second for 12 days.
const NUMBER_BITS: u32 = 40;

/// Producers of a load at the most: what is left of 64 bits.
pub const PRODUCERS_MAX: u64 = 1 << (64 - NUMBER_BITS);

/// What a record says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// When it was meant to be sent; none where it was sent as soon as it was taken.
    pub intended: Option<Nanos>,
    /// Which producer sent it, from 0 of all producers of the load.
    pub producer: u32,
    /// Its number among that producer's records, from 0.
    pub number: u64,
}

impl Mark {
    /// Both numbers in one.
    pub fn id(self) -> u64 {
        (u64::from(self.producer) << NUMBER_BITS) | self.number
    }

    /// What the value begins with; none if it is too short to be one of ours.
    #[inline]
    pub fn read(value: &[u8]) -> Option<Mark> {
        let (intended, rest) = value.split_first_chunk::<8>()?;
        let (id, _) = rest.split_first_chunk::<8>()?;
        let (intended, id) = (u64::from_le_bytes(*intended), u64::from_le_bytes(*id));
        Some(Mark {
            intended: (intended != 0).then_some(Nanos(intended)),
            producer: (id >> NUMBER_BITS) as u32,
            number: id & ((1 << NUMBER_BITS) - 1),
        })
    }
}

/// Makes values with marks: copies, in chunks of memory that many values share.
#[derive(Debug, Default)]
pub struct Stamp {
    chunk: BytesMut,
}

impl Stamp {
    const CHUNK_BYTES: usize = 256 << 10;

    /// The value with the mark in place of its first bytes. It has at least [`MARK_BYTES`].
    #[inline]
    pub fn put(&mut self, mark: Mark, value: &[u8]) -> Bytes {
        if self.chunk.capacity() < value.len() {
            self.chunk = BytesMut::with_capacity(Self::CHUNK_BYTES.max(value.len()));
        }
        let intended = mark.intended.map_or(0, |at| at.0.max(1));
        self.chunk.put_u64_le(intended);
        self.chunk.put_u64_le(mark.id());
        self.chunk.put_slice(&value[MARK_BYTES..]);
        self.chunk.split().freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_keeps_its_length_and_rest_and_says_which_it_is() {
        let mut stamp = Stamp::default();
        for (number, intended) in [(0, None), ((1 << 40) - 1, Some(Nanos(77)))] {
            let mark = Mark {
                intended,
                producer: PRODUCERS_MAX as u32 - 1,
                number,
            };
            let plain = [7; 100];
            let value = stamp.put(mark, &plain);
            assert_eq!(value.len(), plain.len());
            assert_eq!(&value[MARK_BYTES..], &plain[MARK_BYTES..]);
            assert_eq!(Mark::read(&value), Some(mark));
            assert_eq!(Mark::read(&value[..MARK_BYTES - 1]), None);
        }
    }

    #[test]
    fn values_larger_than_a_chunk_are_values_too() {
        let mark = Mark {
            intended: None,
            producer: 1,
            number: 2,
        };
        let mut stamp = Stamp::default();
        let plain = vec![1; Stamp::CHUNK_BYTES + 1];
        assert_eq!(stamp.put(mark, &plain).len(), plain.len());
        assert_eq!(stamp.put(mark, &[0; 16]).len(), 16);
    }
}
