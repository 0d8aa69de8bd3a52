//! The hot path takes no memory: everything that a cycle needs was taken at start.
//!
//! Counts what `Core::run_once` allocates, and the broker's appends and reads of batches, on one core and on two that send to each other, once
//! every queue, buffer and table has been used. The transactions themselves are made before. Disks
//! are simulated and hand their buffers out again, as the real ones do.

#![allow(clippy::unwrap_used)] // Helpers of a test fail like the test itself.
#![allow(unsafe_code)] // A global allocator is an unsafe trait; this one only counts.

#[path = "support/batches.rs"]
mod batches;
#[path = "support/core_rig.rs"]
mod core_rig;
#[path = "support/log_rig.rs"]
mod log_rig;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use bytes::Bytes;
use corelane::engine::handler::HandlerContext;
use corelane::engine::ledger::Ledger;
use corelane::engine::message::Answer;
use corelane::engine::submitter::Entrance;
use corelane::ids::{Acks, Offset};
use corelane::log::files::MemoryFiles;
use corelane::log::sim::Pace;
use corelane::log::storage::{BatchesRead, ReadEnd};
use corelane::storage::Storage;

use core_rig::{Rig, Setup, body};

thread_local! {
    /// Allocations of this thread while `COUNTING`: other threads are the test's own.
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
    static COUNTING: Cell<bool> = const { Cell::new(false) };
}

struct Counting;

fn note() {
    // Not there any more while a thread ends; nothing is counted then.
    let counting = COUNTING.try_with(Cell::get).unwrap_or(false);
    if counting {
        let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
    }
}

// SAFETY: every call is the system allocator's own, with the same arguments.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note();
        // SAFETY: the caller's promises are the ones asked for here.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are the ones asked for here.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        note();
        // SAFETY: the caller's promises are the ones asked for here.
        unsafe { System.realloc(pointer, layout, bytes) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const WARM_UP: u64 = 1_000_000;
const COUNT: u64 = 100_000;

/// What may still be taken, in all: less than one in 250 transactions. It is none of theirs: the
/// index of the segment has an entry for each batch and doubles; the lists of a frame in memory are
/// used again, and grow where one gets a larger frame than it ever had; and the simulated disk makes
/// memory for what is read back from it.
const ALLOCATIONS_MAX: u64 = COUNT / 250;

type Factory = fn(&HandlerContext<'_>) -> Ledger;

/// Submits `bodies` and runs until all are answered and processed. Returns the allocations of the
/// cores' cycles.
fn allocations(rig: &mut Rig<Factory>, bodies: &[Bytes]) -> u64 {
    let mut next = 0;
    let mut answered = 0;
    ALLOCATIONS.set(0);
    loop {
        while let Some(body) = bodies.get(next) {
            let body = body.clone();
            let mark = next as u64;
            if rig
                .try_submit(0, Entrance::InTurn, body, Acks::All, mark)
                .is_err()
            {
                break;
            }
            next += 1;
        }
        rig.pass(20_000);
        let now = rig.now;
        for core in &mut rig.cores {
            COUNTING.set(true);
            core.run_once(now);
            COUNTING.set(false);
        }
        rig.step_keeper();
        rig.ports[0].poll(|_, answer| {
            assert!(matches!(answer, Answer::Stored(_)));
            answered += 1;
        });
        if answered == bodies.len() && rig.statuses.iter().all(|status| status.is_quiet()) {
            return ALLOCATIONS.get();
        }
    }
}

fn bodies(prefix: &str, count: u64) -> Vec<Bytes> {
    (0..count)
        .map(|number| {
            body(
                &format!("{prefix}{number}"),
                number as usize % 2,
                number,
                &[7; 50],
            )
        })
        .collect()
}

#[test]
fn a_transaction_takes_no_memory() {
    for cores in [1, 2] {
        let mut rig = Rig::new(
            Setup {
                cores,
                ring: 256,
                in_flight_max: 512,
                outstanding_max: 256 / usize::from(cores),
                intake_budget: 64,
                batch_records_max: 256,
                outputs_bytes_max: 256 << 10,
                window: 1 << 16,
                // Both runs fit one segment of each stripe: a new one takes memory, once.
                segment_bytes: 512 << 20,
                // Full after the warm-up, so that frames in memory are used again.
                tail_bytes: 2 << 20,
                pace: Pace::Polls(3),
                ..Setup::default()
            },
            Ledger::new as Factory,
        );
        let warm = allocations(&mut rig, &bodies("warm", WARM_UP));
        let bodies = bodies("counted", COUNT);
        let counted = allocations(&mut rig, &bodies);
        println!("{cores} cores: {warm} allocations to warm up, {counted} in {COUNT} transactions");
        assert!(counted <= ALLOCATIONS_MAX, "{counted} allocations");
    }
}

/// The same for the broker: a batch appended and read back takes no memory of its own.
#[test]
fn a_produced_batch_takes_no_memory() {
    const BATCHES: i32 = 3000;
    let mut setup = log_rig::Setup::new(1, Pace::Polls(2));
    setup.stripe.segment_bytes = 64 << 20;
    setup.stripe.tail_bytes = 1 << 20;
    let mut rig = log_rig::Rig::open(MemoryFiles::new(), &setup).unwrap();
    while !rig.log.is_prepared() {
        rig.cycle();
    }
    let mut out = Vec::with_capacity(1 << 20);
    let mut from = Offset(0);
    let mut counted = 0;
    for n in 0..2 * BATCHES {
        let bytes = batches::produced(7, 0, n * 3, batches::TRANSACTIONAL, 3);
        let now = rig.now;
        if n == BATCHES {
            ALLOCATIONS.set(0);
        }
        out.clear();
        COUNTING.set(true);
        let placed = rig.log.append_batch(now, batches::PLAIN, &bytes);
        let bounds = batches::bounds(1 << 16, ReadEnd::Visible);
        let read = rig.log.read_batches(batches::PLAIN, from, bounds, &mut out);
        COUNTING.set(false);
        counted = ALLOCATIONS.get();
        placed.unwrap();
        if let BatchesRead::Batches { next } = read.unwrap() {
            from = next;
        }
        rig.cycle();
    }
    assert!(
        from > Offset(6 * i64::from(BATCHES) - 300),
        "the reader comes along: {from}"
    );
    // The index of the segment and the simulated disk's buffers, as above.
    assert!(counted <= 30, "{counted} allocations");
}
