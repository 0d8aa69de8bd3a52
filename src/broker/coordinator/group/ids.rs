//! Names for members.
//!
//! Owns: that no two are the same. Never does: reading a source of randomness. Runs on: the core that
//! owns stripe 0.

use uuid::Builder;

use super::Name;

/// Makes ids that differ within one run of the node, and by its seed from those of other runs.
#[derive(Debug)]
pub(super) struct MemberIds {
    seed: u64,
    count: u64,
}

impl MemberIds {
    pub(super) fn new(seed: u64) -> MemberIds {
        MemberIds { seed, count: 0 }
    }

    /// `prefix-uuid`, as Kafka's: the prefix is the client's name or its instance id.
    pub(super) fn next(&mut self, prefix: &str) -> Name {
        self.count += 1;
        let halves = [mixed(self.seed), mixed(self.seed ^ mixed(self.count))];
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&halves[0].to_be_bytes());
        bytes[8..].copy_from_slice(&halves[1].to_be_bytes());
        // The version's and variant's bits are set over some of ours; the count is in enough others.
        let mixed_in = self.count.to_be_bytes();
        for (byte, count) in bytes[..6].iter_mut().zip(&mixed_in[2..]) {
            *byte ^= count;
        }
        let uuid = Builder::from_random_bytes(bytes).into_uuid();
        format!("{prefix}-{uuid}").into()
    }
}

/// SplitMix64's output function: a bijection that spreads every bit.
fn mixed(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn ids_differ_within_and_between_runs() {
        let mut ids = BTreeSet::new();
        for seed in 0..10 {
            let mut run = MemberIds::new(seed);
            ids.extend((0..1_000).map(|_| run.next("c")));
        }
        assert_eq!(ids.len(), 10_000);
        assert!(ids.iter().all(|id| id.starts_with("c-") && id.len() == 38));
    }
}
