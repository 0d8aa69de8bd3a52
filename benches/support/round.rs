//! What a round keeps count of: reports and latencies.

use hdrhistogram::Histogram;

use crate::Failure;

/// Which records of a round were reported. Each has to be, once, and as delivered.
pub struct Once {
    seen: Vec<bool>,
    count: usize,
    problem: Option<String>,
}

impl Once {
    pub fn new(records: usize) -> Once {
        Once {
            seen: vec![false; records],
            count: 0,
            problem: None,
        }
    }

    /// A record was delivered.
    pub fn delivered(&mut self, number: usize) {
        match self.seen.get_mut(number) {
            Some(seen) if !*seen => {
                *seen = true;
                self.count += 1;
            }
            Some(_) => self.fail(format!("record {number} was reported twice")),
            None => self.fail(format!("record {number} was reported and never sent")),
        }
    }

    /// Something went wrong, after which the round's figures mean nothing.
    pub fn fail(&mut self, problem: String) {
        self.problem.get_or_insert(problem);
    }

    /// Whether every record was reported.
    ///
    /// # Errors
    /// Something went wrong.
    pub fn is_complete(&self) -> Result<bool, Failure> {
        match &self.problem {
            Some(problem) => Err(problem.clone().into()),
            None => Ok(self.count == self.seen.len()),
        }
    }
}

/// Nanoseconds up to a minute.
pub fn latencies() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000_000, 3).expect("constant bounds that are allowed")
}
