//! Ids of traces and spans, and the draw of what is traced.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};

use super::TraceContext;

/// Random ids: unlike those of any other source, and never 0. Not for secrets.
#[derive(Debug)]
pub struct IdSource(u64);

impl IdSource {
    /// A source that starts anywhere.
    pub fn new() -> IdSource {
        // The one randomness of the standard library: each has keys of its own.
        IdSource(RandomState::new().build_hasher().finish())
    }

    /// SplitMix64: every number comes once before any comes twice.
    #[inline]
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// The id of a span.
    pub fn span(&mut self) -> u64 {
        self.next().max(1)
    }

    /// The id of a trace.
    pub fn trace(&mut self) -> u128 {
        let high = u128::from(self.next()) << 64;
        high | u128::from(self.span())
    }
}

impl Default for IdSource {
    fn default() -> IdSource {
        IdSource::new()
    }
}

/// Which of the transactions that came without a context are traced.
#[derive(Debug)]
pub struct Sampler {
    /// A draw below this is traced; 0 traces none, and draws nothing.
    below: u64,
}

impl Sampler {
    /// Traces this share of them, 0.0 to 1.0; what is beyond counts as the nearer end.
    pub fn new(rate: f64) -> Sampler {
        Sampler {
            // A cast keeps within the type: 1.0 gives its largest number.
            below: (rate * u64::MAX as f64) as u64,
        }
    }

    /// Whether any is traced.
    #[inline]
    pub const fn is_on(&self) -> bool {
        self.below != 0
    }

    /// The context of the next one, if it is traced.
    pub fn draw(&self, ids: &mut IdSource) -> Option<TraceContext> {
        let is_drawn = self.below == u64::MAX || ids.next() < self.below;
        is_drawn.then(|| TraceContext::root(ids.trace()))
    }
}
