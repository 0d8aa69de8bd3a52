//! Exactly once: what makes two submissions the same one.

/// A 128-bit keyed hash of a transaction id. Two ids share one with probability 2^-128.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fingerprint(pub u128);
