//! How fast one CPU computes, and how fast it wakes another.
//!
//! Owns: two small measurements. Never does: taking more than a second. Runs on: the thread that asks
//! and one more.

use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::disk::Latency;
use crate::clock;
use crate::ids::CpuId;
use crate::tuning::jitter::pin_to;

/// Steps of the chain that is timed.
const STEPS: u64 = 2_000_000;

/// Times it is timed; the fastest counts, since everything else was disturbed.
const TRIES: usize = 5;

/// A thread that was just woken is left alone for so long, so that it sleeps again.
const REST: Duration = Duration::from_micros(300);

/// A wake-up above counts as this.
const WAKE_NS_MAX: u64 = 1_000_000_000;

/// Millions of steps a second of a chain of dependent integer operations: each a multiplication, a
/// rotation and an exclusive or, five cycles on today's CPUs. It follows the clock rate of a core and
/// hardly depends on compiler or memory.
pub fn speed() -> f64 {
    let once = || {
        let start = Instant::now();
        let mut value = black_box(1_u64);
        for step in 0..STEPS {
            value = value.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(23) ^ step;
        }
        black_box(value);
        start.elapsed().as_secs_f64()
    };
    let fastest = (0..TRIES).map(|_| once()).fold(f64::INFINITY, f64::min);
    STEPS as f64 / fastest / 1e6
}

/// How long a parked thread on `sleeper` takes until it runs after a thread on `waker` has woken it.
/// None where the threads cannot be put there.
pub fn wake(waker: CpuId, sleeper: CpuId, budget: Duration) -> Option<Latency> {
    // Nanoseconds of the clock at which the sleeper was woken; 0: not yet. ENDED: it may go.
    const ENDED: u64 = u64::MAX;
    let woken_at = AtomicU64::new(0);
    std::thread::scope(|scope| {
        let sleeping = scope.spawn(|| {
            pin_to(sleeper).ok()?;
            let mut histogram = Histogram::<u64>::new_with_bounds(1, WAKE_NS_MAX, 3)
                .expect("constant bounds that hdrhistogram allows");
            loop {
                std::thread::park();
                let at = woken_at.swap(0, Ordering::Acquire);
                let now = clock::monotonic().0;
                match at {
                    // Parking may end by itself.
                    0 => {}
                    ENDED => return Some(Latency::of(&histogram)),
                    at => histogram.saturating_record(now.saturating_sub(at).max(1)),
                }
            }
        });
        let sleeper = sleeping.thread().clone();
        let woken_at = &woken_at;
        let waking = scope.spawn(move || {
            let pinned = pin_to(waker).ok();
            let start = Instant::now();
            while pinned.is_some() && start.elapsed() < budget {
                woken_at.store(clock::monotonic().0.max(1), Ordering::Release);
                sleeper.unpark();
                std::thread::sleep(REST);
            }
            woken_at.store(ENDED, Ordering::Release);
            sleeper.unpark();
            pinned
        });
        waking.join().expect("waking has nothing that panics")?;
        let latency = sleeping.join().expect("sleeping has nothing that panics")?;
        (latency.count > 0).then_some(latency)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::allowed_cpus;

    #[test]
    fn speed_is_a_number_of_steps() {
        let speed = speed();
        assert!(speed.is_finite() && speed > 0.0, "{speed}");
    }

    #[test]
    fn wake_ups_are_measured_where_threads_can_go() {
        let cpus = allowed_cpus().unwrap();
        let (first, last) = (cpus[0], cpus[cpus.len() - 1]);
        let latency = wake(first, last, Duration::from_millis(20)).unwrap();
        assert!(latency.p50_ns > 0 && latency.max_ns >= latency.p99_ns);
        assert_eq!(wake(first, CpuId(1023), Duration::from_millis(1)), None);
        assert_eq!(wake(CpuId(1023), first, Duration::from_millis(1)), None);
    }
}
