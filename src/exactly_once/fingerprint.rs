//! From a transaction id of any length to a number of fixed length.

use std::hash::{BuildHasher, RandomState};
use std::sync::OnceLock;

use siphasher::sip128::SipHasher13;

/// A 128-bit keyed hash of a transaction id. Two ids share one with probability 2^-128.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fingerprint(pub u128);

/// Makes fingerprints: SipHash-1-3 with 128 bits of result.
///
/// One and three rounds are what the standard library's own maps use against the same attack: inputs
/// that collide, chosen by somebody who neither knows the key nor ever sees a result. No way to find
/// any is known. Two and four rounds, SipHash's form for authentication codes that an attacker sees,
/// would cost half as much again for each transaction.
///
/// The key is secret, so that nobody can construct two ids with one fingerprint and thereby have
/// another's transaction taken for a duplicate. Fingerprints compare only under the same key:
/// they are never stored where another process would read them.
#[derive(Clone, Copy)]
pub struct Fingerprinter {
    hasher: SipHasher13,
}

impl Fingerprinter {
    /// With the key of this process, which is drawn at random once: all fingerprinters made so
    /// agree, on every core.
    pub fn new() -> Fingerprinter {
        static KEY: OnceLock<(u64, u64)> = OnceLock::new();
        let (key0, key1) = *KEY.get_or_init(|| {
            // The standard library seeds this state from the operating system's random source.
            let state = RandomState::new();
            (state.hash_one(0_u64), state.hash_one(1_u64))
        });
        Fingerprinter {
            hasher: SipHasher13::new_with_keys(key0, key1),
        }
    }

    /// With a given key, for runs that must repeat exactly.
    pub fn with_key(key: [u8; 16]) -> Fingerprinter {
        Fingerprinter {
            hasher: SipHasher13::new_with_key(&key),
        }
    }

    /// The fingerprint of an id.
    #[inline]
    pub fn of(&self, id: &[u8]) -> Fingerprint {
        Fingerprint(self.hasher.hash(id).as_u128())
    }
}

impl Default for Fingerprinter {
    fn default() -> Fingerprinter {
        Fingerprinter::new()
    }
}

impl std::fmt::Debug for Fingerprinter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Fingerprinter { key: secret }")
    }
}
