//! Numbers from a seed, so that a failed run can be repeated.

#![allow(dead_code)] // Each test uses its own part of this.

/// SplitMix64.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// From `CORELANE_TEST_SEED` if that is set, else from the clock. Printed, so that a failed
    /// test shows it.
    pub fn from_environment(test: &str) -> Random {
        let seed = match std::env::var("CORELANE_TEST_SEED") {
            Ok(text) => text.parse().expect("CORELANE_TEST_SEED is a number"),
            Err(_) => corelane::clock::wall().0 as u64,
        };
        println!("{test}: repeat with CORELANE_TEST_SEED={seed}");
        Random(seed)
    }

    /// From a number.
    pub fn seeded(seed: u64) -> Random {
        Random(seed)
    }

    /// A generator of its own for a part, so that parts do not depend on each other's order.
    pub fn fork(&mut self) -> Random {
        Random(self.next())
    }

    /// Any number.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number from `range`.
    pub fn within(&mut self, range: std::ops::Range<u64>) -> u64 {
        range.start + self.next() % (range.end - range.start)
    }

    /// A number from 0 to 1.
    pub fn fraction(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// `length` random bytes.
    pub fn bytes(&mut self, length: usize) -> Vec<u8> {
        let words = std::iter::repeat_with(|| self.next().to_le_bytes());
        words.flatten().take(length).collect()
    }
}
