//! The values under way: each has a slot until its report comes.
//!
//! Owns: the values. Never does: allocate once it has grown to what is under way at most.
//! Runs on: the producer's core.

use bytes::Bytes;

/// What a send left behind for its report.
#[derive(Debug)]
pub(super) struct UnderWay {
    pub token: u64,
    /// The value, where librdkafka reads it in place or a failure is to bring it back.
    pub value: Option<Bytes>,
}

/// A slot of the [`Slab`]; never 0, so that it fits a pointer that must not be null.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot(usize);

impl Slot {
    pub fn number(self) -> usize {
        self.0
    }

    pub fn from_number(number: usize) -> Slot {
        Slot(number)
    }
}

#[derive(Debug, Default)]
pub(super) struct Slab {
    entries: Vec<Option<UnderWay>>,
    free: Vec<u32>,
}

impl Slab {
    /// Keeps `under_way` until [`Slab::take`].
    pub fn put(&mut self, under_way: UnderWay) -> Slot {
        match self.free.pop() {
            Some(index) => {
                self.entries[index as usize] = Some(under_way);
                Slot(index as usize + 1)
            }
            None => {
                // A slot costs its entry here and its number in `free`, so that giving it back
                // never allocates.
                self.entries.push(Some(under_way));
                self.free.reserve(self.entries.len() - self.free.len());
                Slot(self.entries.len())
            }
        }
    }

    /// Gives back what `slot` holds and frees it; none if it holds nothing.
    pub fn take(&mut self, slot: Slot) -> Option<UnderWay> {
        let index = slot.0.checked_sub(1)?;
        let under_way = self.entries.get_mut(index)?.take()?;
        let index = u32::try_from(index).expect("librdkafka queues at most ten million messages");
        self.free.push(index);
        Some(under_way)
    }

    pub fn len(&self) -> usize {
        self.entries.len() - self.free.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(token: u64) -> UnderWay {
        UnderWay { token, value: None }
    }

    #[test]
    fn a_slot_gives_back_what_was_put_once() {
        let mut slab = Slab::default();
        let one = slab.put(token(1));
        let two = slab.put(token(2));
        assert_eq!(slab.len(), 2);
        assert_eq!(slab.take(one).map(|it| it.token), Some(1));
        assert!(slab.take(one).is_none());
        assert_eq!(slab.len(), 1);
        assert_eq!(slab.take(two).map(|it| it.token), Some(2));
        assert_eq!(slab.len(), 0);
    }

    #[test]
    fn freed_slots_are_used_again_before_the_slab_grows() {
        let mut slab = Slab::default();
        for round in 0..5 {
            let slots: Vec<Slot> = (0..100).map(|n| slab.put(token(n))).collect();
            assert_eq!(slab.entries.len(), 100, "round {round}");
            for slot in slots {
                slab.take(slot).unwrap();
            }
        }
    }

    #[test]
    fn numbers_that_are_no_slot_hold_nothing() {
        let mut slab = Slab::default();
        slab.put(token(1));
        assert!(slab.take(Slot::from_number(0)).is_none());
        assert!(slab.take(Slot::from_number(2)).is_none());
        assert!(slab.take(Slot::from_number(usize::MAX)).is_none());
    }
}
