//! A hash table from fingerprints to places in the window's entries: open addressing, linear
//! probing, no tombstones.
//!
//! Owns: the buckets. Never does: allocate after creation; grow.

use super::Fingerprint;

/// Place of an entry in the window; [`NONE`] stands for no entry.
pub(super) type Slot = u32;

/// No entry.
pub(super) const NONE: Slot = u32::MAX;

/// One bucket: the tag in the upper half, the slot after [`NONE`] in the lower, so that an empty one
/// is all zeros. The tag is the low half of the fingerprint's low half: it gives the home bucket,
/// and spares reading an entry that cannot match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Bucket(u64);

/// Bytes of one bucket.
pub(super) const BUCKET_BYTES: usize = size_of::<u64>();

impl Bucket {
    const EMPTY: Bucket = Bucket(0);

    #[inline]
    const fn new(tag: u32, slot: Slot) -> Bucket {
        Bucket((tag as u64) << 32 | slot.wrapping_sub(NONE) as u64)
    }

    #[inline]
    const fn tag(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// [`NONE`] where it is empty.
    #[inline]
    const fn slot(self) -> Slot {
        (self.0 as u32).wrapping_add(NONE)
    }
}

#[derive(Debug)]
pub(super) struct Table {
    /// [`Bucket`]s as numbers: zeroed memory comes from the kernel as it is touched.
    buckets: Box<[u64]>,
    mask: usize,
}

/// Buckets for this many entries: a power of two, at most three quarters full.
pub(super) const fn buckets_for(entries: usize) -> usize {
    (entries + entries / 3 + 1).next_power_of_two()
}

const fn tag_of(fingerprint: Fingerprint) -> u32 {
    fingerprint.0 as u32
}

impl Table {
    /// Room for `entries` entries.
    pub(super) fn new(entries: usize) -> Table {
        let buckets = vec![Bucket::EMPTY.0; buckets_for(entries)].into_boxed_slice();
        let mask = buckets.len() - 1;
        Table { buckets, mask }
    }

    /// Finds the slot of a fingerprint; `is_it` compares in full the entry at a slot whose tag
    /// matches.
    #[inline]
    pub(super) fn find(
        &self,
        fingerprint: Fingerprint,
        is_it: impl Fn(Slot) -> bool,
    ) -> Option<Slot> {
        let index = self.bucket_of(fingerprint, is_it)?;
        Some(self.bucket(index).slot())
    }

    /// Adds an entry that is not in the table. The caller keeps at least one bucket empty by
    /// never adding more than the table was made for.
    #[inline]
    pub(super) fn insert(&mut self, fingerprint: Fingerprint, slot: Slot) {
        let tag = tag_of(fingerprint);
        let mut index = tag as usize & self.mask;
        while self.bucket(index) != Bucket::EMPTY {
            index = (index + 1) & self.mask;
        }
        self.buckets[index] = Bucket::new(tag, slot).0;
    }

    /// Takes an entry out, if it is there, and closes the gap, so that no probe ends early.
    pub(super) fn remove(&mut self, fingerprint: Fingerprint, slot: Slot) {
        let Some(mut gap) = self.bucket_of(fingerprint, |found| found == slot) else {
            return;
        };
        let mut index = gap;
        loop {
            index = (index + 1) & self.mask;
            let bucket = self.bucket(index);
            if bucket == Bucket::EMPTY {
                break;
            }
            // A bucket may move back to the gap only if its home does not lie after the gap.
            let from_home = index.wrapping_sub(bucket.tag() as usize) & self.mask;
            let from_gap = index.wrapping_sub(gap) & self.mask;
            if from_home >= from_gap {
                self.buckets[gap] = bucket.0;
                gap = index;
            }
        }
        self.buckets[gap] = Bucket::EMPTY.0;
    }

    #[inline]
    fn bucket(&self, index: usize) -> Bucket {
        Bucket(self.buckets[index])
    }

    #[inline]
    fn bucket_of(&self, fingerprint: Fingerprint, is_it: impl Fn(Slot) -> bool) -> Option<usize> {
        let tag = tag_of(fingerprint);
        let mut index = tag as usize & self.mask;
        loop {
            let bucket = self.bucket(index);
            if bucket == Bucket::EMPTY {
                return None;
            }
            if bucket.tag() == tag && is_it(bucket.slot()) {
                return Some(index);
            }
            index = (index + 1) & self.mask;
        }
    }
}
