//! Consumer groups by Kafka's classic protocol: who is a member, who assigns what, which offsets are
//! committed. The rules are those of Kafka 4's `GroupMetadataManager` and `OffsetMetadataManager`;
//! a request that Kafka would leave without an answer gets an error here.
//!
//! Owns: groups, their members, their offsets. Members are forgotten with the process and join again;
//! offsets are durable. Never does: I/O, reading a clock, deciding what a member is assigned. Runs on:
//! the core that owns stripe 0.

mod answers;
mod commit;
mod delete;
mod describe;
mod fetch;
mod format;
mod ids;
mod join;
mod lines;
mod member;
mod membership;
mod options;
mod rebalance;
mod scope;
mod state;
mod stored;
mod stores;
mod subscription;
#[cfg(test)]
mod tests;
mod timers;
mod words;

use std::collections::BTreeMap;
use std::sync::Arc;

use kafka_protocol::messages::RequestKind;

pub use options::GroupOptions;
pub use words::RestoreError;

use self::scope::{Core, Scope};
use self::state::Group;
use self::timers::Timer;
use super::{Call, Effect};
use crate::clock::Now;
use crate::ids::Nanos;

/// What all keys of groups begin with.
pub const PREFIX: &[u8] = b"\xffg";

/// Set in every ticket of [`Groups`] and in no other coordinator's.
pub const TICKET_BIT: u64 = 1 << 63;

/// The name of a group, a member, a topic.
type Name = Arc<str>;

/// All groups. `R` says whom to answer.
#[derive(Debug)]
pub struct Groups<R> {
    core: Core<R>,
    groups: BTreeMap<Name, Group<R>>,
    /// The last group that the look for unused offsets under way came to.
    looked_to: Option<Name>,
}

impl<R: Copy> Groups<R> {
    /// No groups. `seed` is random, another one for each start of the node: it makes member ids unique.
    pub fn new(options: GroupOptions, seed: u64) -> Groups<R> {
        Groups {
            core: Core::new(options, seed),
            groups: BTreeMap::new(),
            looked_to: None,
        }
    }

    /// Handles JoinGroup, SyncGroup, Heartbeat, LeaveGroup, OffsetCommit, OffsetFetch, OffsetDelete,
    /// ListGroups, DescribeGroups and DeleteGroups. Each is answered exactly once, now or later; any
    /// other request is not answered.
    // A hundred other kinds of request are not for groups.
    #[expect(clippy::wildcard_enum_match_arm)]
    pub fn handle(
        &mut self,
        call: &Call<'_, R>,
        request: RequestKind,
        effects: &mut Vec<Effect<R>>,
    ) {
        self.start(call.now, effects);
        match &request {
            RequestKind::JoinGroup(request) => self.join(call, request, effects),
            RequestKind::SyncGroup(request) => self.sync(call, request, effects),
            RequestKind::Heartbeat(request) => self.heartbeat(call, request, effects),
            RequestKind::LeaveGroup(request) => self.leave(call, request, effects),
            RequestKind::OffsetCommit(request) => self.commit(call, request, effects),
            RequestKind::OffsetFetch(request) => self.fetch(call, request, effects),
            RequestKind::OffsetDelete(request) => self.delete_offsets(call, request, effects),
            RequestKind::ListGroups(request) => self.list(call, request, effects),
            RequestKind::DescribeGroups(request) => self.describe(call, request, effects),
            RequestKind::DeleteGroups(request) => self.delete_groups(call, request, effects),
            _ => {}
        }
    }

    /// Does what is due.
    pub fn tick(&mut self, now: Now, effects: &mut Vec<Effect<R>>) {
        self.start(now, effects);
        while let Some(timer) = self.core.timers.pop(now.mono) {
            let mut scope = self.core.scope(now, effects);
            let group = match &timer {
                Timer::Retention => {
                    self.expire(now, effects);
                    continue;
                }
                Timer::Join(group)
                | Timer::Sync(group)
                | Timer::Member(group, _)
                | Timer::Record(group) => group,
            };
            if let Some(group) = self.groups.get_mut(group) {
                match &timer {
                    Timer::Join(_) => group.join_expired(&mut scope),
                    Timer::Sync(_) => group.sync_expired(&mut scope),
                    Timer::Member(_, member) => group.member_expired(member, &mut scope),
                    Timer::Record(_) => group.record_again(&mut scope),
                    Timer::Retention => {}
                }
            }
            self.remove_if_void(group);
        }
    }

    /// When [`Groups::tick`] is to be called next; at once before the first time.
    pub fn next_deadline(&self) -> Option<Nanos> {
        self.core.timers.next().or(Some(Nanos(0)))
    }

    /// What follows from what was restored. The look for unused offsets is always set from here on.
    fn start(&mut self, now: Now, effects: &mut Vec<Effect<R>>) {
        if !self.core.timers.is_set(&Timer::Retention) {
            self.begin_absence(now, effects);
            let ms = self.core.options.retention_check_interval_ms;
            let ms = i64::try_from(ms).unwrap_or(i64::MAX);
            self.core.timers.set(Timer::Retention, now.mono, ms);
        }
    }

    fn remove_if_void(&mut self, name: &str) {
        if self.groups.get(name).is_some_and(Group::is_void) {
            self.groups.remove(name);
        }
    }
}
