//! Producer ids: each is handed out once, for ever.
//!
//! Owns: the block of ids that is durably reserved, and what of it is left. Never does: store it (the
//! caller does, and reports the end). Runs on: the core that owns stripe 0.
//!
//! As in Kafka's `RPCProducerIdManager` a block of 1,000 ids is reserved before its first id is handed
//! out, so that one store serves many producers. After a restart the rest of a block is skipped.

use super::{Outcome, Pair};

/// The one key. Its value: version (1 byte, 1), then the first id that is not reserved (i64, big-endian).
pub const PREFIX: &[u8] = b"\xffi";

/// Ids per reservation.
const BLOCK: i64 = 1000;
const VERSION: u8 = 1;
/// No reservation goes further: at a million blocks a second it takes 146 years to get here.
const END_MAX: i64 = i64::MAX / 2;

/// What is known of ids.
#[derive(Debug, Default)]
pub struct ProducerIds {
    /// The next id to hand out; there is one while it is below `end`.
    next: i64,
    /// End of the block in use.
    end: i64,
    /// Durably reserved are the ids below it.
    reserved: i64,
    reservation: Reservation,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Reservation {
    #[default]
    None,
    Underway,
}

impl ProducerIds {
    /// Takes the stored value; `None` where it is not understood.
    pub fn restore(&mut self, value: &[u8]) -> Option<()> {
        let (&version, reserved) = value.split_first()?;
        let reserved = i64::from_be_bytes(reserved.try_into().ok()?);
        if version != VERSION || !(0..=END_MAX).contains(&reserved) {
            return None;
        }
        *self = ProducerIds {
            next: reserved,
            end: reserved,
            reserved,
            reservation: Reservation::None,
        };
        Some(())
    }

    /// An id that was never handed out before; `None` until more are reserved.
    pub fn take(&mut self) -> Option<i64> {
        if self.next == self.end {
            return None;
        }
        let id = self.next;
        self.next += 1;
        Some(id)
    }

    /// What to store so that more ids can be taken; `None` while such a store is under way.
    pub fn reserve(&mut self) -> Option<Pair> {
        if self.reservation == Reservation::Underway {
            return None;
        }
        self.reservation = Reservation::Underway;
        let mut value = vec![VERSION];
        value.extend_from_slice(&(self.reserved + BLOCK).to_be_bytes());
        Some(Pair {
            key: PREFIX.to_vec(),
            value,
        })
    }

    /// The end of that store.
    pub fn stored(&mut self, outcome: Outcome) {
        self.reservation = Reservation::None;
        match outcome {
            Outcome::Durable => {
                self.next = self.reserved;
                self.reserved += BLOCK;
                self.end = self.reserved;
            }
            // After Lost the block may be reserved or not: nobody ever uses it in this process.
            Outcome::Refused | Outcome::Lost => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_id_is_handed_out_before_its_block_is_durable() {
        let mut ids = ProducerIds::default();
        assert_eq!(ids.take(), None);
        ids.reserve().expect("the first reservation");
        assert_eq!(ids.reserve(), None, "one at a time");
        assert_eq!(ids.take(), None);
        ids.stored(Outcome::Refused);
        assert_eq!(ids.take(), None, "a refused block is not reserved");
        ids.reserve().expect("it is tried again");
        ids.stored(Outcome::Durable);
        let taken: Vec<i64> = std::iter::from_fn(|| ids.take()).collect();
        assert_eq!(taken, (0..BLOCK).collect::<Vec<i64>>());
    }

    #[test]
    fn a_restart_skips_what_a_crash_may_have_handed_out() {
        let mut ids = ProducerIds::default();
        let first = ids.reserve().unwrap();
        ids.stored(Outcome::Durable);
        assert_eq!(ids.take(), Some(0));

        let mut again = ProducerIds::default();
        again.restore(&first.value).expect("our own value");
        assert_eq!(again.take(), None);
        again.reserve().expect("a new block");
        again.stored(Outcome::Durable);
        assert_eq!(again.take(), Some(BLOCK));
    }

    #[test]
    fn a_value_of_someone_else_is_refused() {
        for value in [
            &[][..],
            &[1],
            &[2, 0, 0, 0, 0, 0, 0, 0, 1],
            &[1, 0xff, 0, 0, 0, 0, 0, 0, 1],
            &[1, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
            &[1, 0, 0, 0, 0, 0, 0, 0, 1, 0],
        ] {
            assert_eq!(ProducerIds::default().restore(value), None, "{value:?}");
        }
    }
}
