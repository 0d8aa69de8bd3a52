use std::collections::{HashMap, VecDeque};

use proptest::prelude::*;

use super::{Entry, Fingerprint, Fingerprinter, Window, WindowFull, WindowOptions};
use crate::ids::{Nanos, Offset, PartitionId, UnixMillis};

const AGE_NS: u64 = 50;

fn window(entries_max: usize) -> Window {
    Window::new(WindowOptions {
        entries_max,
        age_max_ns: AGE_NS,
    })
}

fn stored(offset: i64) -> Entry {
    Entry::Stored {
        partition: PartitionId(3),
        offset: Offset(offset),
        timestamp: UnixMillis(offset + 1000),
    }
}

fn store(
    window: &mut Window,
    fingerprint: Fingerprint,
    offset: i64,
    now: u64,
) -> Result<Entry, WindowFull> {
    window.store(
        fingerprint,
        PartitionId(3),
        Offset(offset),
        UnixMillis(offset + 1000),
        Nanos(now),
    )
}

/// The window written the plain way: a map, and the stored ids in order.
struct Oracle {
    entries: HashMap<u128, Entry>,
    order: VecDeque<(u128, u64)>,
    entries_max: usize,
}

impl Oracle {
    fn make_room(&mut self) -> Result<(), WindowFull> {
        if self.entries.len() < self.entries_max {
            return Ok(());
        }
        let (oldest, _) = self.order.pop_front().ok_or(WindowFull {
            entries_max: self.entries_max,
        })?;
        self.entries.remove(&oldest);
        Ok(())
    }

    fn insert_in_flight(&mut self, id: u128, token: u32) -> Result<Option<Entry>, WindowFull> {
        if let Some(entry) = self.entries.get(&id) {
            return Ok(Some(*entry));
        }
        self.make_room()?;
        self.entries.insert(id, Entry::InFlight { token });
        Ok(None)
    }

    fn store(&mut self, id: u128, offset: i64, now: u64) -> Result<Entry, WindowFull> {
        match self.entries.get(&id) {
            Some(Entry::Stored { .. }) => return Ok(self.entries[&id]),
            Some(Entry::InFlight { .. }) => {}
            None => self.make_room()?,
        }
        self.entries.insert(id, stored(offset));
        self.order.push_back((id, now));
        Ok(stored(offset))
    }

    fn forget(&mut self, id: u128) {
        self.entries.remove(&id);
        self.order.retain(|(other, _)| *other != id);
    }

    fn expire(&mut self, now: u64, budget: usize) -> usize {
        let mut dropped = 0;
        while dropped < budget && self.order.front().is_some_and(|(_, at)| now - at > AGE_NS) {
            let (id, _) = self.order.pop_front().unwrap();
            self.entries.remove(&id);
            dropped += 1;
        }
        dropped
    }
}

#[derive(Debug, Clone)]
enum Operation {
    Insert(usize),
    Store(usize),
    Forget(usize),
    Expire(usize),
    Wait(u64),
}

/// Ids that crowd the table: they share home buckets, and some even the whole tag.
fn crowded_ids() -> Vec<u128> {
    let mut ids = Vec::new();
    for home in [0_u128, 1, 2, 15, 0xffff_ffff] {
        for high in [0_u128, 1, 1 << 95] {
            ids.push(high << 32 | home);
        }
    }
    ids
}

fn operations() -> impl Strategy<Value = Vec<Operation>> {
    let id = 0..crowded_ids().len();
    let operation = prop_oneof![
        4 => id.clone().prop_map(Operation::Insert),
        4 => id.clone().prop_map(Operation::Store),
        2 => id.prop_map(Operation::Forget),
        1 => (0..4_usize).prop_map(Operation::Expire),
        1 => (0..40_u64).prop_map(Operation::Wait),
    ];
    prop::collection::vec(operation, 0..200)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn the_window_behaves_as_a_map_with_a_queue(
        entries_max in 1..14_usize,
        operations in operations(),
    ) {
        let ids = crowded_ids();
        let mut window = window(entries_max);
        let mut oracle = Oracle {
            entries: HashMap::new(),
            order: VecDeque::new(),
            entries_max,
        };
        let mut now = 0;
        for (step, operation) in (0..).zip(operations) {
            match operation {
                Operation::Insert(id) => prop_assert_eq!(
                    window.insert_in_flight(Fingerprint(ids[id]), step as u32),
                    oracle.insert_in_flight(ids[id], step as u32)
                ),
                Operation::Store(id) => prop_assert_eq!(
                    store(&mut window, Fingerprint(ids[id]), step, now),
                    oracle.store(ids[id], step, now)
                ),
                Operation::Forget(id) => {
                    window.forget(Fingerprint(ids[id]));
                    oracle.forget(ids[id]);
                }
                Operation::Expire(budget) => prop_assert_eq!(
                    window.expire(Nanos(now), budget),
                    oracle.expire(now, budget)
                ),
                Operation::Wait(ns) => now += ns,
            }
            prop_assert_eq!(window.len(), oracle.entries.len());
            for id in &ids {
                prop_assert_eq!(
                    window.get(Fingerprint(*id)),
                    oracle.entries.get(id).copied()
                );
            }
        }
    }
}

#[test]
fn a_stored_id_is_never_overwritten() {
    let mut window = window(4);
    let id = Fingerprint(7);
    assert_eq!(store(&mut window, id, 1, 0), Ok(stored(1)));
    assert_eq!(store(&mut window, id, 2, 0), Ok(stored(1)));
    assert_eq!(window.insert_in_flight(id, 9), Ok(Some(stored(1))));
    assert_eq!(window.get(id), Some(stored(1)));
}

#[test]
fn an_id_in_flight_is_never_pushed_out() {
    let mut window = window(3);
    for token in 0..2 {
        let id = Fingerprint(u128::from(token));
        assert_eq!(window.insert_in_flight(id, token), Ok(None));
    }
    for id in 10..1000 {
        assert_eq!(store(&mut window, Fingerprint(id), 1, 0), Ok(stored(1)));
    }
    for token in 0..2 {
        let id = Fingerprint(u128::from(token));
        assert_eq!(window.get(id), Some(Entry::InFlight { token }));
    }
    window.forget(Fingerprint(999));
    assert_eq!(window.insert_in_flight(Fingerprint(2), 2), Ok(None));
    assert_eq!(
        window.insert_in_flight(Fingerprint(3), 3),
        Err(WindowFull { entries_max: 3 })
    );
    assert_eq!(window.len(), 3);
}

#[test]
fn the_stated_memory_per_entry_holds_at_every_size() {
    for entries in [1 << 10, 12_289, 24_576, 24_577, 100_000, 1 << 20] {
        let window = window(entries);
        let per_entry = window.bytes() as f64 / entries as f64;
        assert!((66.0..=78.0).contains(&per_entry), "{entries}: {per_entry}");
        assert_eq!(window.capacity(), entries);
    }
}

#[test]
fn fingerprints_agree_within_the_process_and_depend_on_the_key() {
    let one = Fingerprinter::new();
    let other = Fingerprinter::default();
    assert_eq!(one.of(b"tx-1"), other.of(b"tx-1"));
    assert_ne!(one.of(b"tx-1"), one.of(b"tx-2"));
    assert_ne!(one.of(b"a"), one.of(b"a\0"));
    assert_ne!(
        Fingerprinter::with_key([1; 16]).of(b"tx-1"),
        Fingerprinter::with_key([2; 16]).of(b"tx-1")
    );
}

#[test]
fn fingerprints_are_siphash_2_4_with_128_bits() {
    // The first vectors of the reference implementation's vectors_sip128: key 00 01 .. 0f, input
    // empty and then 00.
    let key = std::array::from_fn(|byte| byte as u8);
    let fingerprinter = Fingerprinter::with_key(key);
    let expected = [
        0xa3_81_7f_04_ba_25_a8_e6_6d_f6_72_14_c7_55_02_93,
        0xda_87_c1_d8_6b_99_af_44_34_76_59_11_9b_22_fc_45_u128,
    ];
    for (input, expected) in [&b""[..], b"\0"].into_iter().zip(expected) {
        let found = fingerprinter.of(input).0.to_le_bytes();
        assert_eq!(found, expected.to_be_bytes());
    }
}
