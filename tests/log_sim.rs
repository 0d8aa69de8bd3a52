//! The embedded log on a simulated disk.

mod support;

use corelane::ids::{Offset, PartitionId};
use corelane::log::sim::Pace;
use corelane::log::storage::LogStorage;
use corelane::storage::{Consumer, Producer, ReadOutcome};
use support::log_rig::{Rig, Seen};

#[test]
fn records_are_appended_then_durable_then_read_in_order() {
    let mut rig = Rig::new(1, Pace::Polls(3));
    for number in 0..1000u32 {
        rig.offer(PartitionId(number % 4), number);
    }
    rig.settle();
    assert_eq!(rig.durable.len(), 1000);
    let seen = rig.read_all();
    assert_eq!(seen.len(), 1000);
    let _ = Offset(0);
}
