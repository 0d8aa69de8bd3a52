//! The embedded log on a real device, each figure beside its baseline, in alternating rounds.
//!
//! Targets: durable with one in flight, p50 at most 1.5 times a bare O_DIRECT write + sync of
//! 4 KiB; `leader` p50 at most 10 us; 100-byte records in batches, durable, at least 3 M records/s
//! on one stripe; bandwidth at least 80 % of bare O_DIRECT writes.
//!
//! Not measured: the gateway, routing, handlers. Files lie under `target/`; run it where that is
//! the device of interest. Without `--bench`, which `cargo bench` adds, it runs tiny counts; `latency`,
//! `throughput` or `catch-up` runs only that part.

mod baseline;
mod catch_up;
#[path = "../support/device.rs"]
mod device;
mod rig;

use std::io;
use std::path::{Path, PathBuf};

use corelane::ids::Nanos;
use glommio::{LocalExecutorBuilder, Placement};
use hdrhistogram::Histogram;

use rig::{Rig, record};

/// Counts of a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scale {
    rounds: usize,
    singles_per_round: usize,
    small_records: usize,
    large_records: usize,
    segment_bytes: u32,
    catch_up_bytes: usize,
}

const FULL: Scale = Scale {
    rounds: 10,
    singles_per_round: 300,
    small_records: 6_000_000,
    large_records: 80_000,
    segment_bytes: 1 << 30,
    catch_up_bytes: 512 << 20,
};

const SMOKE: Scale = Scale {
    rounds: 2,
    singles_per_round: 5,
    small_records: 20_000,
    large_records: 400,
    segment_bytes: 16 << 20,
    catch_up_bytes: 4 << 20,
};

/// A folder that is removed again.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> io::Result<Folder> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench-log");
        let path = root.join(format!("{name}-{}", std::process::id()));
        std::fs::create_dir_all(path.join("stripe-000"))?;
        Ok(Folder(path))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            eprintln!("{} is left behind: {error}", self.0.display());
        }
    }
}

pub(crate) type Latency = Histogram<u64>;

pub(crate) fn latency() -> Latency {
    Histogram::new_with_bounds(1, 60_000_000_000, 3).expect("valid bounds")
}

pub(crate) fn note(latency: &mut Latency, ns: u64) {
    latency.saturating_record(ns.max(1));
}

fn print_latency(name: &str, latency: &Latency) {
    let us = |quantile| latency.value_at_quantile(quantile) as f64 / 1000.0;
    println!(
        "{name:<52} {:>9.1} {:>9.1} {:>9.1} {:>9.1}  n={}",
        us(0.5),
        us(0.9),
        us(0.99),
        us(1.0),
        latency.len()
    );
}

pub(crate) fn print_rate(name: &str, figure: f64, unit: &str, beside: &str) {
    println!("{name:<52} {figure:>9.2} {unit:<10} {beside}");
}

pub(crate) fn seconds(from: Nanos, to: Nanos) -> f64 {
    to.since(from) as f64 / 1e9
}

/// One record at a time, durable, beside blocking writes of one block.
async fn one_in_flight(scale: Scale) -> io::Result<()> {
    let folder = Folder::new("single")?;
    let mut rig = Rig::start(&folder, scale.segment_bytes, 1, rig::Memory::Roomy).await?;
    let mut synced = device::Blocking::new(folder.path(), device::Way::WriteThenSync)?;
    let mut dsync = device::Blocking::new(folder.path(), device::Way::SyncWrite)?;
    let (mut log, mut append) = (latency(), latency());
    let (mut with_sync, mut with_dsync) = (latency(), latency());
    let value = record(100);
    for _ in 0..scale.rounds {
        for _ in 0..scale.singles_per_round {
            note(&mut with_sync, synced.write_block()?);
        }
        for _ in 0..scale.singles_per_round {
            let (appended_ns, durable_ns) = rig.one(&value).await;
            note(&mut append, appended_ns);
            note(&mut log, durable_ns);
        }
        for _ in 0..scale.singles_per_round {
            note(&mut with_dsync, dsync.write_block()?);
        }
    }
    println!(
        "\nlatency, one in flight (us){:>35} {:>9} {:>9} {:>9}",
        "p50", "p90", "p99", "max"
    );
    print_latency("corelane, 100 B, acks=all (durable)", &log);
    print_latency("corelane, 100 B, acks=leader (appended)", &append);
    print_latency(
        "bare O_DIRECT pwrite 4 KiB + fdatasync, blocking",
        &with_sync,
    );
    print_latency("bare O_DIRECT|O_DSYNC pwrite 4 KiB, blocking", &with_dsync);
    let ratio = log.value_at_quantile(0.5) as f64 / with_sync.value_at_quantile(0.5) as f64;
    print_rate(
        "durable p50 / (write + sync) p50",
        ratio,
        "",
        "target: <= 1.5",
    );
    Ok(())
}

/// Many records at once, durable, beside plain sequential writes.
async fn throughput(scale: Scale) -> io::Result<()> {
    println!("\nthroughput, one stripe, durable");
    for (name, bytes, records) in [
        ("100 B records", 100, scale.small_records),
        ("10 KB records", 10_000, scale.large_records),
    ] {
        let folder = Folder::new("bulk")?;
        let before = baseline::sequential(&folder, records * bytes, baseline::Sync::No).await?;
        let before_dsync =
            baseline::sequential(&folder, records * bytes, baseline::Sync::EachWrite).await?;
        let mut rig = Rig::start(&folder, scale.segment_bytes, 8, rig::Memory::Roomy).await?;
        let seconds = rig.bulk(&record(bytes), records).await;
        drop(rig);
        let after = baseline::sequential(&folder, records * bytes, baseline::Sync::No).await?;
        let bare = (before + after) / 2.0;
        let rate = records as f64 / seconds / 1e6;
        let bandwidth = (records * bytes) as f64 / seconds / 1e9;
        print_rate(&format!("{name}: records"), rate, "M/s", "");
        let beside = format!(
            "bare O_DIRECT 1 MiB x 8: {bare:.2} ({before:.2}, {after:.2}); with O_DSYNC {before_dsync:.2}; {:.0} %",
            100.0 * bandwidth / bare
        );
        print_rate(&format!("{name}: payload"), bandwidth, "GB/s", &beside);
    }
    Ok(())
}

async fn run(scale: Scale) -> io::Result<()> {
    let only: Vec<String> = std::env::args()
        .skip(1)
        .filter(|a| !a.starts_with('-'))
        .collect();
    let wanted = |name: &str| only.is_empty() || only.iter().any(|o| o == name);
    if wanted("latency") {
        one_in_flight(scale).await?;
    }
    if wanted("throughput") {
        throughput(scale).await?;
    }
    if wanted("catch-up") {
        catch_up::run(scale).await?;
    }
    Ok(())
}

fn main() {
    // `cargo bench` says so; `cargo test --bench` says nothing to a bench with its own main.
    let smoke = !std::env::args().any(|argument| argument == "--bench");
    let scale = if smoke { SMOKE } else { FULL };
    let cpu = core_affinity::get_core_ids()
        .and_then(|ids| ids.last().copied())
        .map_or(Placement::Unbound, |id| Placement::Fixed(id.id));
    // The preempt timer stays at its default: with 200 us the executor was seen to sleep for ever
    // on Linux 6.18. Nothing here needs it, since the duty cycle gives way by itself.
    let executor = LocalExecutorBuilder::new(cpu)
        .make()
        .expect("an executor can be made here");
    if let Err(error) = executor.run(run(scale)) {
        eprintln!("log_append: {error}");
        std::process::exit(1);
    }
}
