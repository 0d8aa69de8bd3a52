//! The coordinator with what is around it: storage, time, clients' requests.

use super::*;

pub(super) const SESSION_MS: i32 = 10_000;
pub(super) const REBALANCE_MS: i32 = 60_000;
pub(super) const DAY_MS: u64 = 24 * 3_600 * 1_000;

pub(super) fn s(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

/// Topics `a` and `b`, four partitions each.
struct Known;

impl Topics for Known {
    fn topic(&self, name: &str) -> Option<(TopicId, u32)> {
        matches!(name, "a" | "b").then_some((TopicId(0), 4))
    }

    fn find(&self, _: TopicId) -> Option<&TopicView> {
        None
    }
}

/// When stores end.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Storage {
    /// At once, well.
    Prompt,
    /// When a test says so.
    Held,
}

/// The coordinator with what is around it.
pub(super) struct World {
    pub(super) groups: Groups<u32>,
    pub(super) now: Now,
    pub(super) storage: Storage,
    pub(super) held: VecDeque<(u64, Vec<Pair>)>,
    pub(super) durable: BTreeMap<Vec<u8>, Vec<u8>>,
    pub(super) answers: BTreeMap<u32, ResponseKind>,
    pub(super) versions: BTreeMap<u32, i16>,
    asked: u32,
}

impl World {
    pub(super) fn new() -> World {
        World::with(GroupOptions::default())
    }

    pub(super) fn with(options: GroupOptions) -> World {
        World {
            groups: Groups::new(options, 7),
            now: Now {
                mono: Nanos(1_000_000_000),
                wall: UnixMicros(1_700_000_000_000_000),
            },
            storage: Storage::Prompt,
            held: VecDeque::new(),
            durable: BTreeMap::new(),
            answers: BTreeMap::new(),
            versions: BTreeMap::new(),
            asked: 0,
        }
    }

    /// Another start of the node, with what is durable.
    pub(super) fn restart(&mut self) {
        self.groups = Groups::new(self.groups.core.options.clone(), u64::from(self.asked) + 8);
        for (key, value) in &self.durable {
            self.groups.restore(key, value).expect("our own pair");
        }
        self.held.clear();
        self.tick();
    }

    /// Sends a request; whom the answer goes to is given back.
    pub(super) fn send(&mut self, version: i16, request: RequestKind) -> u32 {
        self.asked += 1;
        let to = self.asked;
        self.versions.insert(to, version);
        let caller = Caller {
            client_id: "client".to_owned(),
            host: "/127.0.0.1".to_owned(),
        };
        let call = Call {
            now: self.now,
            caller: &caller,
            version,
            to,
            topics: &Known,
        };
        let mut effects = Vec::new();
        if let RequestKind::TxnOffsetCommit(request) = request {
            self.groups.txn_offset_commit(&call, request, &mut effects);
        } else {
            self.groups.handle(&call, request, &mut effects);
        }
        self.take(effects);
        to
    }

    pub(super) fn take(&mut self, effects: Vec<Effect<u32>>) {
        for effect in effects {
            match effect {
                Effect::Answer { to, response } => {
                    // Every answer must be one that can be sent.
                    let version = self.versions[&to];
                    let mut bytes = BytesMut::new();
                    if let Err(error) = response.encode(&mut bytes, version) {
                        panic!("{response:?} in version {version}: {error}");
                    }
                    let former = self.answers.insert(to, *response);
                    assert!(former.is_none(), "{to} was answered twice: {former:?}");
                }
                Effect::Store { ticket, pairs } => {
                    assert_ne!(ticket & TICKET_BIT, 0);
                    assert!(!pairs.is_empty());
                    self.held.push_back((ticket, pairs));
                }
                Effect::Mark { .. } => panic!("groups mark nothing"),
            }
        }
        if self.storage == Storage::Prompt {
            self.settle(Outcome::Durable);
        }
    }

    /// Makes pairs durable.
    pub(super) fn keep(&mut self, pairs: &[Pair]) {
        for pair in pairs {
            match pair.value.is_empty() {
                true => self.durable.remove(&pair.key),
                false => self.durable.insert(pair.key.clone(), pair.value.clone()),
            };
        }
    }

    /// Ends the stores under way, and those that follow from them.
    pub(super) fn settle(&mut self, outcome: Outcome) {
        while self.settle_one(outcome) {}
    }

    /// Ends the oldest store under way. Says whether there was one.
    pub(super) fn settle_one(&mut self, outcome: Outcome) -> bool {
        let Some((ticket, pairs)) = self.held.pop_front() else {
            return false;
        };
        if outcome == Outcome::Durable {
            self.keep(&pairs);
        }
        let mut effects = Vec::new();
        self.groups.stored(ticket, outcome, self.now, &mut effects);
        self.take(effects);
        true
    }

    pub(super) fn tick(&mut self) {
        let mut effects = Vec::new();
        self.groups.tick(self.now, &mut effects);
        self.take(effects);
    }

    /// Lets time pass; everything happens when it is due.
    pub(super) fn pass(&mut self, ms: u64) {
        let until = self.now.mono.after(ms * 1_000_000);
        while let Some(at) = self.groups.next_deadline().filter(|at| *at <= until) {
            self.go_to(at.max(self.now.mono));
            self.tick();
        }
        self.go_to(until);
    }

    fn go_to(&mut self, at: Nanos) {
        let ns = at.since(self.now.mono);
        self.now.mono = at;
        self.now.wall.0 += i64::try_from(ns / 1_000).expect("short");
    }

    /// The answer to a request, if it has come.
    pub(super) fn answer(&self, to: u32) -> Option<&ResponseKind> {
        self.answers.get(&to)
    }

    pub(super) fn unanswered(&self) -> usize {
        self.versions.len() - self.answers.len()
    }
}

macro_rules! answers {
    ($($name:ident: $variant:ident($response:ident)),* $(,)?) => {
        impl World {
            $(
                /// The answer, which must have come.
                pub(super) fn $name(&self, to: u32) -> $response {
                    match self.answer(to) {
                        Some(ResponseKind::$variant(response)) => response.clone(),
                        other => panic!("{to} got {other:?}"),
                    }
                }
            )*
        }
    };
}

answers! {
    joined: JoinGroup(JoinGroupResponse),
    synced: SyncGroup(SyncGroupResponse),
    beaten: Heartbeat(HeartbeatResponse),
    left: LeaveGroup(LeaveGroupResponse),
    committed: OffsetCommit(OffsetCommitResponse),
    fetched: OffsetFetch(OffsetFetchResponse),
}

/// Metadata of a consumer that reads these.
pub(super) fn subscription(topics: &[&str]) -> Bytes {
    let mut bytes = vec![0, 1];
    bytes.extend_from_slice(&(topics.len() as u32).to_be_bytes());
    for topic in topics {
        bytes.extend_from_slice(&(topic.len() as u16).to_be_bytes());
        bytes.extend_from_slice(topic.as_bytes());
    }
    bytes.into()
}

/// A request of a consumer that reads topic `a`, by `range`.
pub(super) fn join(member: &str) -> JoinGroupRequest {
    join_by(member, &[("range", subscription(&["a"]))])
}

pub(super) fn join_by(member: &str, protocols: &[(&str, Bytes)]) -> JoinGroupRequest {
    let protocol = |(name, metadata): &(&str, Bytes)| {
        JoinGroupRequestProtocol::default()
            .with_name(s(name))
            .with_metadata(metadata.clone())
    };
    JoinGroupRequest::default()
        .with_group_id(GroupId(s("g")))
        .with_session_timeout_ms(SESSION_MS)
        .with_rebalance_timeout_ms(REBALANCE_MS)
        .with_member_id(s(member))
        .with_protocol_type(s("consumer"))
        .with_protocols(protocols.iter().map(protocol).collect())
}

/// A member that has been told its generation.
#[derive(Clone, Debug)]
pub(super) struct Told {
    pub(super) id: String,
    pub(super) generation: i32,
}

impl World {
    pub(super) fn join(&mut self, version: i16, request: JoinGroupRequest) -> u32 {
        self.send(version, request.into())
    }

    /// The id that a new dynamic member is told first.
    pub(super) fn told_id(&mut self) -> String {
        let to = self.join(9, join(""));
        let told = self.joined(to);
        assert_eq!(told.error_code, 79);
        told.member_id.to_string()
    }

    pub(super) fn sync(
        &mut self,
        member: &str,
        generation: i32,
        assignments: &[(&str, &'static [u8])],
    ) -> u32 {
        let assignment = |(member, assignment): &(&str, &'static [u8])| {
            SyncGroupRequestAssignment::default()
                .with_member_id(s(member))
                .with_assignment(Bytes::from_static(assignment))
        };
        let request = SyncGroupRequest::default()
            .with_group_id(GroupId(s("g")))
            .with_generation_id(generation)
            .with_member_id(s(member))
            .with_protocol_type(Some(s("consumer")))
            .with_protocol_name(Some(s("range")))
            .with_assignments(assignments.iter().map(assignment).collect());
        self.send(5, request.into())
    }

    /// The error of a heartbeat.
    pub(super) fn beat(&mut self, member: &str, generation: i32) -> i16 {
        let request = HeartbeatRequest::default()
            .with_group_id(GroupId(s("g")))
            .with_generation_id(generation)
            .with_member_id(s(member));
        let to = self.send(4, request.into());
        self.beaten(to).error_code
    }

    /// The errors of a leave, the request's own first.
    pub(super) fn leave(&mut self, members: &[(&str, Option<&str>)]) -> Vec<i16> {
        let member = |(id, instance): &(&str, Option<&str>)| {
            MemberIdentity::default()
                .with_member_id(s(id))
                .with_group_instance_id(instance.map(s))
        };
        let request = LeaveGroupRequest::default()
            .with_group_id(GroupId(s("g")))
            .with_members(members.iter().map(member).collect());
        let to = self.send(5, request.into());
        let left = self.left(to);
        let own = std::iter::once(left.error_code);
        own.chain(left.members.iter().map(|one| one.error_code))
            .collect()
    }

    /// A stable group of this many dynamic members, its leader first.
    pub(super) fn stable(&mut self, members: usize) -> Vec<Told> {
        let ids: Vec<String> = (0..members).map(|_| self.told_id()).collect();
        let mut joins: Vec<u32> = ids.iter().map(|id| self.join(9, join(id))).collect();
        if members > 1 {
            // The first is a generation ahead of the others: it rejoins.
            joins[0] = self.join(9, join(&ids[0]));
        }
        let told = self.joined(joins[0]);
        let leader = told.leader.to_string();
        let generation = told.generation_id;
        let mut told: Vec<Told> = ids.into_iter().map(|id| Told { id, generation }).collect();
        told.sort_by_key(|member| member.id != leader);
        for member in told.iter().rev() {
            let to = self.sync(&member.id, generation, &[]);
            if member.id == leader {
                assert_eq!(self.synced(to).error_code, 0);
            }
        }
        told
    }

    /// Sends OffsetCommit for topic `a`.
    pub(super) fn commit(&mut self, member: &str, generation: i32, offsets: &[(i32, i64)]) -> u32 {
        self.send(9, commit_of(member, generation, "a", offsets).into())
    }

    /// What readers see of topic `a`'s partition: offset and error.
    pub(super) fn offset(&mut self, partition: i32) -> (i64, i16) {
        self.offset_of("g", "a", partition, false)
    }

    pub(super) fn offset_of(
        &mut self,
        group: &str,
        topic: &str,
        partition: i32,
        require_stable: bool,
    ) -> (i64, i16) {
        let topics = OffsetFetchRequestTopics::default()
            .with_name(TopicName(s(topic)))
            .with_partition_indexes(vec![partition]);
        let group = OffsetFetchRequestGroup::default()
            .with_group_id(GroupId(s(group)))
            .with_topics(Some(vec![topics]));
        let request = OffsetFetchRequest::default()
            .with_groups(vec![group])
            .with_require_stable(require_stable);
        let to = self.send(9, request.into());
        let fetched = self.fetched(to);
        assert_eq!(fetched.groups[0].error_code, 0);
        let found = &fetched.groups[0].topics[0].partitions[0];
        (found.committed_offset, found.error_code)
    }
}

pub(super) fn commit_of(
    member: &str,
    generation: i32,
    topic: &str,
    offsets: &[(i32, i64)],
) -> OffsetCommitRequest {
    let partition = |(partition, offset): &(i32, i64)| {
        OffsetCommitRequestPartition::default()
            .with_partition_index(*partition)
            .with_committed_offset(*offset)
            .with_committed_leader_epoch(0)
            .with_committed_metadata(Some(s("note")))
    };
    OffsetCommitRequest::default()
        .with_group_id(GroupId(s("g")))
        .with_generation_id_or_member_epoch(generation)
        .with_member_id(s(member))
        .with_topics(vec![
            OffsetCommitRequestTopic::default()
                .with_name(TopicName(s(topic)))
                .with_partitions(offsets.iter().map(partition).collect()),
        ])
}

/// The errors of an OffsetCommit, by partition.
pub(super) fn codes(response: &OffsetCommitResponse) -> Vec<i16> {
    let partitions = response.topics.iter().flat_map(|topic| &topic.partitions);
    partitions.map(|partition| partition.error_code).collect()
}
