//! A member of a group.
//!
//! Owns: what a member said of itself, what it waits for. Never does: deciding anything for the group.
//! Runs on: the core that owns stripe 0.

use bytes::Bytes;

use super::Name;

/// A request whose answer is owed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiting<R> {
    /// Whom to answer.
    pub(super) to: R,
    /// In which version.
    pub(super) version: i16,
}

/// A way of assigning partitions that a member knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Protocol {
    /// Its name, as `range`.
    pub(super) name: Name,
    /// What the member tells the leader; opaque here, but see [`super::subscription`].
    pub(super) metadata: Bytes,
}

/// Whether a member has ever been told of a generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It waits for its first; it cannot send heartbeats yet.
    New,
    /// It has.
    Known,
}

/// A member.
#[derive(Debug)]
pub(super) struct Member<R> {
    pub(super) id: Name,
    /// Set for static members (KIP-345).
    pub(super) instance: Option<Name>,
    pub(super) client_id: Name,
    pub(super) host: Name,
    pub(super) rebalance_timeout_ms: i32,
    pub(super) session_timeout_ms: i32,
    /// In the order that it prefers; never empty.
    pub(super) protocols: Vec<Protocol>,
    /// By the leader of the current generation; empty before it has spoken.
    pub(super) assignment: Bytes,
    pub(super) standing: Standing,
    /// Its JoinGroup under way.
    pub(super) joining: Option<Waiting<R>>,
    /// Its SyncGroup under way.
    pub(super) syncing: Option<Waiting<R>>,
}

impl<R> Member<R> {
    /// What it says with this protocol; empty if it does not know it.
    pub(super) fn metadata(&self, protocol: Option<&str>) -> Bytes {
        let known = |known: &&Protocol| Some(&*known.name) == protocol;
        self.protocols
            .iter()
            .find(known)
            .map(|known| known.metadata.clone())
            .unwrap_or_default()
    }

    /// Whether it knows the protocol.
    pub(super) fn supports(&self, protocol: &str) -> bool {
        self.protocols.iter().any(|known| &*known.name == protocol)
    }

    /// Whether it counts as alive without heartbeats: it cannot send any while it waits for us.
    pub(super) fn is_excused(&self) -> bool {
        match self.standing {
            Standing::New => false,
            Standing::Known => self.joining.is_some() || self.syncing.is_some(),
        }
    }
}
