//! Where transactions come from and which shard is nearest to there, in cells of ten degrees: written by
//! one core for some of them, read from anywhere without a lock.
//!
//! Owns: the cells and a small table of counts. Never does: choosing which transactions are noted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::limits::SHARDS_MAX;
use crate::location::GeoLocation;

/// Width and height of a cell, in degrees.
pub const CELL_DEGREES: u32 = 10;

const COLUMNS: u32 = 360 / CELL_DEGREES;
const ROWS: u32 = 180 / CELL_DEGREES;

/// Pairs of a cell and a shard that a core can count; there are hardly more than cells, 648, since few
/// cells are nearest to two shards. 24 KB.
const SLOTS: usize = 2048;

/// Slots that are looked at for a pair. Where none of them is free it is not counted.
const PROBES: usize = 16;

const _: () = assert!(SLOTS.is_power_of_two());
const _: () = assert!((COLUMNS * ROWS) as usize * SHARDS_MAX < u32::MAX as usize);

/// A part of the Earth's surface that is ten degrees wide and high.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cell(u32);

impl Cell {
    /// The cell in which a place lies. The borders in the far north and east belong to the last ones.
    #[inline]
    pub fn of(location: GeoLocation) -> Cell {
        let degrees = f64::from(CELL_DEGREES);
        // Both are positive, and a cast cuts off what is behind the point.
        let row = ((location.latitude() + 90.0) / degrees) as u32;
        let column = ((location.longitude() + 180.0) / degrees) as u32;
        Cell(row.min(ROWS - 1) * COLUMNS + column.min(COLUMNS - 1))
    }

    /// Degrees north and east of its middle.
    pub fn middle(self) -> (f64, f64) {
        let middle = |at: u32| f64::from(at * CELL_DEGREES) + f64::from(CELL_DEGREES) / 2.0;
        let (row, column) = (self.0 / COLUMNS, self.0 % COLUMNS);
        (middle(row) - 90.0, middle(column) - 180.0)
    }
}

#[derive(Debug, Default)]
struct Slot {
    /// 0 while it is free. Written once, before its count.
    pair: AtomicU32,
    count: AtomicU64,
}

/// Makes a core's flows, all at 0.
pub fn flows() -> (FlowWriter, FlowReader) {
    let slots: Arc<[Slot]> = (0..SLOTS).map(|_| Slot::default()).collect();
    (FlowWriter(Arc::clone(&slots)), FlowReader(slots))
}

/// The one writer of a core's flows. Not `Clone`, as [`CounterWriter`](super::CounterWriter).
#[derive(Debug)]
pub struct FlowWriter(Arc<[Slot]>);

impl FlowWriter {
    /// Adds so many transactions from a place to a shard, which is named by its place among the shards.
    pub fn add(&mut self, from: GeoLocation, shard: usize, count: u64) {
        let pair = 1 + Cell::of(from).0 * SHARDS_MAX as u32 + shard as u32;
        // Neighbours are spread over the whole table.
        let first = pair.wrapping_mul(0x9e37_79b1) as usize >> (32 - SLOTS.ilog2());
        for step in 0..PROBES {
            let slot = &self.0[(first + step) % SLOTS];
            match slot.pair.load(Ordering::Relaxed) {
                0 => slot.pair.store(pair, Ordering::Relaxed),
                found if found == pair => {}
                _ => continue,
            }
            // Nobody else writes, so nothing can come between.
            let value = slot.count.load(Ordering::Relaxed).wrapping_add(count);
            return slot.count.store(value, Ordering::Release);
        }
    }
}

/// Reads a core's flows.
#[derive(Clone, Debug)]
pub struct FlowReader(Arc<[Slot]>);

/// From where and to which shard, by its place among the shards.
pub type Flow = (Cell, usize);

impl FlowReader {
    /// What was counted so far, pair by pair, in no order.
    pub fn counts(&self) -> impl Iterator<Item = (Flow, u64)> {
        self.0.iter().filter_map(|slot| {
            let count = slot.count.load(Ordering::Acquire);
            let pair = slot.pair.load(Ordering::Relaxed).checked_sub(1)?;
            let shards = SHARDS_MAX as u32;
            let flow = (Cell(pair / shards), (pair % shards) as usize);
            (count > 0).then_some((flow, count))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn place(latitude: f64, longitude: f64) -> GeoLocation {
        GeoLocation::new(latitude, longitude).unwrap()
    }

    #[test]
    fn every_place_lies_in_a_cell_whose_middle_is_near() {
        for latitude in (-90..=90).map(f64::from) {
            for longitude in (-180..=180).map(f64::from) {
                let (north, east) = Cell::of(place(latitude, longitude)).middle();
                assert!((north - latitude).abs() <= 5.0, "{latitude} {longitude}");
                assert!((east - longitude).abs() <= 5.0, "{latitude} {longitude}");
            }
        }
    }

    /// From every cell to two shards each: nothing is lost, nothing counts for another.
    #[test]
    fn counts_of_all_cells_are_kept_apart() {
        let (mut writer, reader) = flows();
        let mut wanted = BTreeMap::new();
        for turn in 1..=2 {
            for latitude in (-85..=85).step_by(10).map(f64::from) {
                for longitude in (-175..=175).step_by(10).map(f64::from) {
                    for shard in [3, SHARDS_MAX - 1] {
                        let from = place(latitude, longitude);
                        let count = turn * shard as u64;
                        writer.add(from, shard, count);
                        *wanted.entry((Cell::of(from), shard)).or_default() += count;
                    }
                }
            }
        }
        let found: BTreeMap<Flow, u64> = reader.counts().collect();
        assert_eq!(wanted.len(), 2 * 648);
        assert_eq!(found, wanted);
    }
}
