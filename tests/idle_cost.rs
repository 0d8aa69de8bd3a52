//! What a node costs while nobody uses it: CPU time of parked cores, memory of idle partitions.
//!
//! The figures are printed: `cargo test --test idle_cost -- --nocapture`.

#[path = "support/node.rs"]
mod node;

use std::time::Duration;

use node::{Node, Setup};

/// From the last work to parked cores, prepared segments and written markers.
const SETTLING: Duration = Duration::from_secs(2);

/// Shards of the default configuration.
const SHARDS: u32 = 8;
/// The least: one for each of the two stripes.
const FEW_PER_SHARD: u32 = 2;
/// 1,008 in all.
const MANY_PER_SHARD: u32 = 126;

/// A node of two cores that park when idle.
fn node_with_partitions_per_shard(partitions: u32) -> Node {
    let mut setup = Setup::with_cores(2);
    setup.config.insert_str(
        0,
        &format!("[node]\nidle = \"adaptive\"\n\n[transactions]\npartitions = {partitions}\n\n"),
    );
    Node::start(setup)
}

/// Idle cores park: two of them, with everything else of the process, take under 2 % of one core.
#[test]
fn an_idle_node_takes_under_two_percent_of_a_core() {
    const WINDOW: Duration = Duration::from_secs(5);
    let node = node_with_partitions_per_shard(FEW_PER_SHARD);
    std::thread::sleep(SETTLING);
    let before = node.cpu_time();
    std::thread::sleep(WINDOW);
    let used = node.cpu_time() - before;
    let percent = 100.0 * used.as_secs_f64() / WINDOW.as_secs_f64();
    println!("idle, 2 cores: {used:?} of CPU time in {WINDOW:?}, {percent:.2} % of one core");
    assert!(percent < 2.0, "{percent:.2} % of one core");
}

/// An idle partition takes under 1 MB.
#[test]
fn an_idle_partition_takes_under_one_megabyte() {
    let resident_kb = |per_shard| {
        let node = node_with_partitions_per_shard(per_shard);
        std::thread::sleep(SETTLING);
        node.resident_kb()
    };
    let few_kb = resident_kb(FEW_PER_SHARD);
    let many_kb = resident_kb(MANY_PER_SHARD);
    let (few, many) = (SHARDS * FEW_PER_SHARD, SHARDS * MANY_PER_SHARD);
    let each_kb = many_kb.saturating_sub(few_kb) as f64 / f64::from(many - few);
    println!(
        "resident: {few_kb} kB with {few} partitions, {many_kb} kB with {many}: {each_kb:.1} kB each"
    );
    assert!(each_kb < 1000.0, "{each_kb:.1} kB for each idle partition");
}
