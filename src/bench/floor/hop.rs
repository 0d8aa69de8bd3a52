//! How fast a word of memory goes from one core to another and back.
//!
//! Owns: two words, each on cache lines of its own. Never does: entering the kernel while it
//! measures. Runs on: two threads, pinned, that spin.

use std::hint::spin_loop;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::clock;
use crate::ids::CpuId;
use crate::telemetry::empty_histogram;
use crate::tuning::jitter::pin_to;

/// Tells the answering thread that it may go.
const ENDED: u64 = u64::MAX;

/// A word that shares no cache line with another, nor the line that is fetched with it.
#[derive(Default)]
#[repr(align(128))]
struct Word(AtomicU64);

/// Round trips in nanoseconds: the first thread writes a number, the second sees it and answers with
/// the same. Each includes one reading of the clock, some 25 ns. At least one round trip.
///
/// # Errors
/// A thread cannot be put on its CPU.
pub fn round_trip(first: CpuId, second: CpuId, span: Duration) -> io::Result<Histogram<u64>> {
    let (there, back) = (Word::default(), Word::default());
    let (pinned, is_pinned) = mpsc::channel();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let result = pin_to(second);
            let may_answer = result.is_ok();
            // The other end waits for exactly this.
            let _ = pinned.send(result);
            if may_answer {
                answer(&there.0, &back.0);
            }
        });
        is_pinned.recv().map_err(io::Error::other)??;
        let asking = scope.spawn(|| {
            let asked = pin_to(first).map(|()| ask(&there.0, &back.0, span));
            there.0.store(ENDED, Ordering::Release);
            asked
        });
        asking.join().expect("asking has nothing that panics")
    })
}

fn answer(there: &AtomicU64, back: &AtomicU64) {
    let mut last = 0;
    loop {
        match there.load(Ordering::Acquire) {
            ENDED => return,
            number if number == last => spin_loop(),
            number => {
                last = number;
                back.store(number, Ordering::Release);
            }
        }
    }
}

fn ask(there: &AtomicU64, back: &AtomicU64, span: Duration) -> Histogram<u64> {
    let mut histogram = empty_histogram();
    let start = clock::monotonic();
    let end = start.after(span.as_nanos() as u64);
    let mut before = start;
    for number in 1..ENDED {
        there.store(number, Ordering::Release);
        while back.load(Ordering::Acquire) != number {
            spin_loop();
        }
        let now = clock::monotonic();
        histogram.saturating_record(now.since(before).max(1));
        before = now;
        if now >= end {
            break;
        }
    }
    histogram
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::allowed_cpus;

    #[test]
    fn a_word_comes_back_where_threads_can_go() {
        let cpus = allowed_cpus().unwrap();
        let (first, last) = (cpus[0], cpus[cpus.len() - 1]);
        let histogram = round_trip(first, last, Duration::from_millis(2)).unwrap();
        assert!(!histogram.is_empty());
        let nowhere = CpuId(1023);
        assert!(round_trip(first, nowhere, Duration::ZERO).is_err());
        assert!(round_trip(nowhere, first, Duration::ZERO).is_err());
    }
}
