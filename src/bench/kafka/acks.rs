//! When the newest records of a producer were acknowledged.
//!
//! Owns: one word for each of them. Never does: wait, lock. Runs on: written by the producer's thread,
//! read by consumers'.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::ids::Nanos;

/// What is known of a record's acknowledgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acked {
    /// It was not acknowledged yet.
    NotYet,
    /// Then.
    At(AckTime),
    /// So many came after it that it was forgotten.
    Forgotten,
}

/// A moment, in steps of 64 ns of a clock that goes round in 19 hours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AckTime(u64);

impl AckTime {
    const BITS: u32 = 40;
    const MASK: u64 = (1 << Self::BITS) - 1;
    const SHIFT: u32 = 6;

    fn of(now: Nanos) -> AckTime {
        AckTime((now.0 >> Self::SHIFT) & Self::MASK)
    }

    /// Nanoseconds from it to `now`; 0 where it is the later one.
    pub fn until(self, now: Nanos) -> u64 {
        let steps = AckTime::of(now).0.wrapping_sub(self.0) & Self::MASK;
        if steps > Self::MASK / 2 {
            return 0;
        }
        steps << Self::SHIFT
    }
}

/// When the newest records of a producer were acknowledged. One writer, any number of readers.
#[derive(Debug)]
pub struct Acks {
    /// The lap in the upper bits, from 1; the time in the lower ones. One word, so that nobody sees
    /// half of it.
    slots: Box<[AtomicU64]>,
}

impl Acks {
    /// For so many records: what is older is forgotten.
    pub fn new(slots: usize) -> Acks {
        Acks {
            slots: (0..slots).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    /// Laps go round as well, after trillions of records.
    fn lap(&self, number: u64) -> u64 {
        (number / self.slots.len() as u64 + 1) & (u64::MAX >> AckTime::BITS)
    }

    fn slot(&self, number: u64) -> &AtomicU64 {
        &self.slots[(number % self.slots.len() as u64) as usize]
    }

    /// The record was acknowledged. By the one writer.
    pub fn note(&self, number: u64, now: Nanos) {
        let word = (self.lap(number) << AckTime::BITS) | AckTime::of(now).0;
        self.slot(number).store(word, Ordering::Release);
    }

    /// What is known of a record.
    pub fn at(&self, number: u64) -> Acked {
        let word = self.slot(number).load(Ordering::Acquire);
        match (word >> AckTime::BITS).cmp(&self.lap(number)) {
            std::cmp::Ordering::Less => Acked::NotYet,
            std::cmp::Ordering::Equal => Acked::At(AckTime(word & AckTime::MASK)),
            std::cmp::Ordering::Greater => Acked::Forgotten,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_known_from_its_acknowledgement_until_newer_ones_take_its_place() {
        let acks = Acks::new(4);
        assert_eq!(acks.at(0), Acked::NotYet);
        acks.note(0, Nanos(6_400));
        let Acked::At(time) = acks.at(0) else {
            panic!("{:?}", acks.at(0));
        };
        assert_eq!(time.until(Nanos(64_000)), 57_600);
        assert_eq!(time.until(Nanos(64)), 0, "received first");
        assert_eq!(acks.at(4), Acked::NotYet);
        acks.note(4, Nanos(9_000));
        assert_eq!(acks.at(0), Acked::Forgotten);
        assert!(matches!(acks.at(4), Acked::At(_)));
    }

    #[test]
    fn times_are_right_when_their_clock_goes_round() {
        let round = 1 << (AckTime::BITS + AckTime::SHIFT);
        let time = AckTime::of(Nanos(round - 128));
        assert_eq!(time.until(Nanos(round + 128)), 256);
    }
}
