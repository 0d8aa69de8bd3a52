//! What a load is made of, whatever it is put on.
//!
//! Owns: the values of records. Never does: send them.

use bytes::Bytes;

use crate::ids::Acks;

/// What a load is made of. The words are those of the OpenMessaging Benchmark.
#[derive(Clone, Debug)]
pub struct Traffic {
    /// Topics; at least 1.
    pub topics: u32,
    /// Partitions of each; at least 1.
    pub partitions: u32,
    /// Producers of each topic; at least 1. The rate is that of all together.
    pub producers: u32,
    /// Independent readers of each topic, each of which gets every record.
    pub subscriptions: u32,
    /// Consumers that share a subscription.
    pub consumers: u32,
    /// Which keys records have.
    pub keys: Keys,
    /// Their values.
    pub values: Values,
    /// What an acknowledgement stands for.
    pub acks: Acks,
}

/// Which keys records have, and with that, which partition they go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keys {
    /// None: the client chooses (`NO_KEY`).
    None,
    /// One of 10,000 after the other (`KEY_ROUND_ROBIN`).
    RoundRobin,
    /// One of 10,000 at random, with a fixed seed (`RANDOM_NANO`).
    Random,
}

/// A pool of values, all of one length, that records take in turn.
#[derive(Clone, Debug)]
pub struct Values {
    pool: Vec<Bytes>,
    kind: String,
}

impl Values {
    /// A pool. `kind` is what a report says of it, as in `random bytes`.
    ///
    /// # Panics
    /// If the pool is empty.
    pub fn new(pool: Vec<Bytes>, kind: impl Into<String>) -> Values {
        assert!(!pool.is_empty(), "a load needs at least one value");
        Values {
            pool,
            kind: kind.into(),
        }
    }

    /// `count` values of `bytes` bytes, of which a share of `random` (0 to 1) differs from value to
    /// value and the rest is zeros, so that codecs find something. The same for the same arguments.
    pub fn generate(bytes: usize, count: usize, random: f64) -> Values {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let noisy = (bytes as f64 * random.clamp(0.0, 1.0)).round() as usize;
        let value = |_| {
            let mut value = vec![0; bytes];
            for byte in &mut value[..noisy] {
                *byte = (splitmix(&mut state) >> 56) as u8;
            }
            value.into()
        };
        let pool = (0..count.max(1)).map(value).collect();
        Values::new(pool, format!("{:.0} % random bytes", random * 100.0))
    }

    /// The value of a record.
    #[inline]
    pub fn get(&self, number: u64) -> &Bytes {
        &self.pool[(number % self.pool.len() as u64) as usize]
    }

    /// What they are made of.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// Bytes of the longest.
    pub fn bytes_max(&self) -> usize {
        self.pool.iter().map(Bytes::len).max().unwrap_or(0)
    }
}

/// The next number of Steele, Lea and Flood's SplitMix64.
pub fn splitmix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_as_random_as_they_were_asked_to_be_and_repeat() {
        let values = Values::generate(100, 3, 0.5);
        assert_eq!(values.bytes_max(), 100);
        assert_ne!(values.get(0), values.get(1));
        assert_eq!(values.get(0), values.get(3));
        assert!(values.get(0)[50..].iter().all(|byte| *byte == 0));
        assert!(values.get(0)[..50].iter().any(|byte| *byte != 0));
        let again = Values::generate(100, 3, 0.5);
        assert_eq!(values.get(2), again.get(2));
    }
}
