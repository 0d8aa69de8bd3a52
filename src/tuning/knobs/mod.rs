//! The catalogue: every knob of the host that is looked at, and why.
//!
//! Owns: the list. Never does: changing anything; a probe only reads, and what would be done is in
//! [`Item::actions`].

use super::host::Host;
use super::item::{Group, Item, Persist};

/// One knob.
#[derive(Clone, Copy)]
pub struct Knob {
    /// Its name, as in `irq.move`; stable.
    pub id: &'static str,
    /// Its row in the documentation's table.
    pub row: u8,
    /// How much it matters.
    pub group: Group,
    /// Why it moves the tail of the latency.
    pub why: &'static str,
    /// What it may cost.
    pub risk: &'static str,
    /// How its effect is measured.
    pub measured: &'static str,
    /// How it is undone.
    pub undone: &'static str,
    /// What keeps it set over a boot.
    pub persist: Persist,
    /// How it stands on a host, in each place where it is found.
    pub probe: fn(&Host<'_>) -> Vec<Item>,
}

/// Every knob.
pub const KNOBS: &[Knob] = &[];
