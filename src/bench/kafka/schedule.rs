//! Which records a thread sends, and when.
//!
//! Owns: the arithmetic. Never does: read a clock, send. Runs on: a sender's thread.

use crate::bench::pace::Pace;
use crate::ids::Nanos;

/// A record that a thread has to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// When.
    pub at: Nanos,
    /// Which of the thread's producers sends it, from 0.
    pub place: usize,
    /// How many records that producer sent before it in this load.
    pub round: u64,
}

/// The records of one thread: producers take turns, record by record, and a thread has every
/// `threads`-th producer, so that all together send exactly the load's pace.
#[derive(Clone, Debug)]
pub struct Schedule {
    pace: Pace,
    producers: u64,
    threads: u64,
    thread: u64,
    round: u64,
    place: u64,
}

impl Schedule {
    /// Of `producers` in all, those of thread number `thread` of `threads`. There are no more threads
    /// than producers.
    pub fn new(pace: Pace, producers: usize, threads: usize, thread: usize) -> Schedule {
        Schedule {
            pace,
            producers: producers as u64,
            threads: threads as u64,
            thread: thread as u64,
            round: 0,
            place: 0,
        }
    }

    /// The next record; none after the last.
    #[inline]
    pub fn peek(&self) -> Option<Due> {
        let producer = self.thread + self.place * self.threads;
        let number = self.round * self.producers + producer;
        (number < self.pace.count()).then(|| Due {
            at: self.pace.intended(number),
            place: self.place as usize,
            round: self.round,
        })
    }

    /// Goes on to the one after it.
    #[inline]
    pub fn step(&mut self) {
        self.place += 1;
        if self.thread + self.place * self.threads >= self.producers {
            self.place = 0;
            self.round += 1;
        }
    }

    /// When the record was meant to be sent.
    #[inline]
    pub fn intended(&self, place: usize, round: u64) -> Nanos {
        let producer = self.thread + place as u64 * self.threads;
        self.pace.intended(round * self.producers + producer)
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;
    use std::time::Duration;

    use super::*;

    #[test]
    fn threads_share_the_records_of_a_load_without_gap_or_overlap() {
        let rate = NonZeroU64::new(1000).unwrap();
        let pace = Pace::new(Nanos(5), rate, Duration::from_millis(103));
        for (producers, threads) in [(1, 1), (5, 2), (4, 4), (7, 3)] {
            let mut times = Vec::new();
            for thread in 0..threads {
                let mut schedule = Schedule::new(pace, producers, threads, thread);
                while let Some(due) = schedule.peek() {
                    assert_eq!(due.at, schedule.intended(due.place, due.round));
                    times.push(due.at);
                    schedule.step();
                }
            }
            times.sort();
            let all: Vec<Nanos> = (0..pace.count()).map(|n| pace.intended(n)).collect();
            assert_eq!(times, all, "{producers} producers on {threads} threads");
        }
    }
}
