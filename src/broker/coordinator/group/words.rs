//! The words in which a group's state is told.
//!
//! Owns: the words. Never does: using them. Runs on: the core that owns stripe 0.

use super::format::Fact;
use super::member::Waiting;
use crate::ids::UnixMillis;

/// Where a group stands. Kafka's fifth, Dead, is a group that is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Without members.
    Empty,
    /// Members are joining.
    PreparingRebalance,
    /// A generation exists; its leader has not said yet who is assigned what.
    CompletingRebalance,
    /// All know what they are assigned.
    Stable,
}

impl State {
    /// As clients are told.
    pub(super) const fn name(self) -> &'static str {
        match self {
            State::Empty => "Empty",
            State::PreparingRebalance => "PreparingRebalance",
            State::CompletingRebalance => "CompletingRebalance",
            State::Stable => "Stable",
        }
    }
}

/// The wait for further members of a group that had none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct InitialDelay {
    /// How long the wait under way is, in milliseconds.
    pub(super) delay_ms: i64,
    /// How much longer it may become.
    pub(super) remaining_ms: i64,
    /// Whether someone joined since it began.
    pub(super) news: News,
}

/// Whether a new member joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum News {
    /// Nobody did.
    None,
    /// Someone did.
    Member,
}

/// What is stored of a group beside its offsets, as far as we know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Recorded {
    /// Nothing.
    Nothing,
    /// This, or it is on its way.
    Fact(Fact),
    /// A store has failed, so one thing or another.
    Unknown,
}

/// Since when an offset is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum UnusedSince {
    /// This moment, whichever offset.
    At(UnixMillis),
    /// Its own commit.
    Commit,
}

/// What a member that is gone had under way.
#[derive(Debug)]
pub(super) struct Removed<R> {
    pub(super) joining: Option<Waiting<R>>,
    pub(super) syncing: Option<Waiting<R>>,
}

/// Whether someone can lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leader {
    /// The group's leader has joined.
    Present,
    /// Nobody has.
    Absent,
}

/// A stored pair that this program did not write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    /// Its key has no form that is known.
    #[error("the key of a stored fact about a group is not understood")]
    Key,
    /// Its value has not.
    #[error("the value of a stored fact about a group is not understood")]
    Value,
}
