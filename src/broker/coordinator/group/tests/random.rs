//! Members that do anything at any time.

use proptest::prelude::*;

use super::*;
use crate::broker::coordinator::group::words::State;

const CLIENTS: usize = 5;

#[derive(Clone, Debug)]
enum Step {
    /// Joins, as the member it is, or anew; some are static, some change what they say.
    Join {
        client: usize,
        anew: bool,
        says: usize,
    },
    Sync {
        client: usize,
    },
    Beat {
        client: usize,
    },
    Leave {
        client: usize,
    },
    Commit {
        client: usize,
        offset: i64,
    },
    Pass {
        ms: u64,
    },
    Settle {
        well: bool,
    },
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let client = 0..CLIENTS;
    prop_oneof![
        6 => (client.clone(), prop::bool::weighted(0.2), 0..2_usize)
            .prop_map(|(client, anew, says)| Step::Join { client, anew, says }),
        5 => client.clone().prop_map(|client| Step::Sync { client }),
        3 => client.clone().prop_map(|client| Step::Beat { client }),
        1 => client.clone().prop_map(|client| Step::Leave { client }),
        3 => (client, 0..100_i64).prop_map(|(client, offset)| Step::Commit { client, offset }),
        3 => prop_oneof![0..50_u64, 1_000..9_000_u64, 10_000..70_000_u64]
            .prop_map(|ms| Step::Pass { ms }),
        3 => prop::bool::weighted(0.9).prop_map(|well| Step::Settle { well }),
        1 => Just(Step::Restart),
    ]
}

/// What a client knows of itself.
#[derive(Clone, Debug, Default)]
struct Client {
    id: String,
    generation: i32,
    leads: bool,
    listed: Vec<String>,
    joining: Option<u32>,
    syncing: Option<(u32, i32)>,
}

struct Model {
    world: World,
    clients: Vec<Client>,
    leaders: BTreeMap<i32, String>,
}

impl Model {
    fn new() -> Model {
        let mut world = World::new();
        world.storage = Storage::Held;
        Model {
            world,
            clients: vec![Client::default(); CLIENTS],
            leaders: BTreeMap::new(),
        }
    }

    /// Clients read their answers.
    fn read(&mut self) {
        for client in &mut self.clients {
            if let Some(to) = client.joining
                && self.world.answer(to).is_some()
            {
                client.joining = None;
                let told = self.world.joined(to);
                match told.error_code {
                    0 => {
                        client.id = told.member_id.to_string();
                        client.generation = told.generation_id;
                        let members = told.members.iter();
                        client.listed = members.map(|one| one.member_id.to_string()).collect();
                        client.leads = told.leader == told.member_id && !told.skip_assignment;
                        if client.leads {
                            let leader = client.id.clone();
                            let former = self.leaders.insert(client.generation, leader);
                            let is_same = former.is_none_or(|former| former == client.id);
                            assert!(is_same, "generation {} has two leaders", client.generation);
                            assert!(client.listed.contains(&client.id));
                        }
                    }
                    79 => client.id = told.member_id.to_string(),
                    25 | 82 => client.id.clear(),
                    15 | 23 => {}
                    other => panic!("JoinGroup got {other}"),
                }
            }
            if let Some((to, generation)) = client.syncing
                && self.world.answer(to).is_some()
            {
                client.syncing = None;
                let synced = self.world.synced(to);
                match synced.error_code {
                    0 if !synced.assignment.is_empty() => {
                        // Leaders assign their generation and the member's own name.
                        let text = std::str::from_utf8(&synced.assignment).expect("as assigned");
                        let (by, number) = text.split_once('/').expect("as assigned");
                        assert_eq!(number, generation.to_string());
                        assert_eq!(Some(by), self.leaders.get(&generation).map(String::as_str));
                    }
                    0 | 15 | 22 | 23 | 25 | 27 | 82 => {}
                    other => panic!("SyncGroup got {other}"),
                }
            }
        }
    }

    fn join(&mut self, number: usize, anew: bool, says: usize) {
        let client = &mut self.clients[number];
        if anew {
            client.id.clear();
        }
        let names = [&["range", "sticky"][..], &["range"]][says];
        let protocols: Vec<(&str, Bytes)> = names
            .iter()
            .map(|name| (*name, subscription(&["a"])))
            .collect();
        let mut request = join_by(&client.id, &protocols);
        if number == 0 {
            request.group_instance_id = Some(s("i"));
        }
        client.joining = Some(self.world.join(9, request));
    }

    fn sync(&mut self, number: usize) {
        let client = self.clients[number].clone();
        let assignment = Bytes::from(format!("{}/{}", client.id, client.generation));
        let assignments = match client.leads {
            true => client
                .listed
                .iter()
                .map(|member| {
                    SyncGroupRequestAssignment::default()
                        .with_member_id(s(member))
                        .with_assignment(assignment.clone())
                })
                .collect(),
            false => Vec::new(),
        };
        let request = SyncGroupRequest::default()
            .with_group_id(GroupId(s("g")))
            .with_generation_id(client.generation)
            .with_member_id(s(&client.id))
            .with_assignments(assignments);
        let to = self.world.send(4, request.into());
        self.clients[number].syncing = Some((to, client.generation));
    }

    fn commit(&mut self, number: usize, offset: i64) {
        let client = self.clients[number].clone();
        let generation = client.generation.max(0);
        let group = self.world.groups.groups.get("g");
        let is_member = group.is_some_and(|group| group.members.contains_key(&*client.id));
        let is_current = group.is_some_and(|group| group.generation == generation);
        let to = self.world.commit(&client.id, generation, &[(0, offset)]);
        let is_refused = self.world.answer(to).is_some();
        assert!(
            is_refused || (is_member && is_current),
            "{client:?} committed"
        );
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Join { client, anew, says } => self.join(client, anew, says),
            Step::Sync { client } => self.sync(client),
            Step::Beat { client } => {
                let Client { id, generation, .. } = self.clients[client].clone();
                self.world.beat(&id, generation);
            }
            Step::Leave { client } => {
                let id = self.clients[client].id.clone();
                self.world.leave(&[(&id, None)]);
            }
            Step::Commit { client, offset } => self.commit(client, offset),
            Step::Pass { ms } => self.world.pass(ms),
            Step::Settle { well } => {
                let outcome = if well {
                    Outcome::Durable
                } else {
                    Outcome::Refused
                };
                self.world.settle_one(outcome);
            }
            Step::Restart => self.restart(),
        }
        self.read();
        self.check();
    }

    /// The node dies: what was under way is, for the clients, an error of the connection.
    fn restart(&mut self) {
        self.world.restart();
        self.world.versions.clear();
        self.world.answers.clear();
        for client in &mut self.clients {
            (client.joining, client.syncing) = (None, None);
            (client.id, client.leads) = (String::new(), false);
        }
        // Generations count anew, under members of other names.
        self.leaders.clear();
    }

    fn check(&self) {
        let now = self.world.now.mono;
        assert!(
            self.world
                .groups
                .next_deadline()
                .is_none_or(|at| at > now || at == Nanos(0))
        );
        for group in self.world.groups.groups.values() {
            let leader = group.leader.as_ref();
            assert_eq!(leader.is_none(), group.members.is_empty());
            assert!(leader.is_none_or(|leader| group.members.contains_key(leader)));
            for (instance, member) in &group.statics {
                let member = &group.members[member];
                assert_eq!(member.instance.as_ref(), Some(instance));
            }
            let is_member = |id: &std::sync::Arc<str>| group.members.contains_key(id);
            assert!(group.unsynced.iter().all(is_member));
            assert!(!group.expected.iter().any(is_member));
            for member in group.members.values() {
                let may_join = group.state == State::PreparingRebalance;
                assert!(member.joining.is_none() || may_join, "{group:?}");
                let may_sync = group.state == State::CompletingRebalance;
                assert!(member.syncing.is_none() || may_sync, "{group:?}");
            }
            assert_eq!(group.state == State::Empty, group.members.is_empty());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// One leader a generation, assignments come from it, commits only from the current generation's
    /// members, every request is answered in the end, and nothing panics.
    #[test]
    fn whatever_members_do_the_group_stays_whole(steps in prop::collection::vec(step(), 1..120)) {
        let mut model = Model::new();
        for step in steps {
            model.step(step);
        }
        model.world.settle(Outcome::Durable);
        model.world.storage = Storage::Prompt;
        model.world.pass(400_000);
        model.read();
        model.check();
        prop_assert_eq!(model.world.unanswered(), 0);
        // Nobody was heard of for long: nobody is left.
        for group in model.world.groups.groups.values() {
            prop_assert!(group.members.is_empty() && group.expected.is_empty());
        }
    }

    /// Readers never see what is not durable, and a restart changes nothing that they see.
    #[test]
    fn after_a_restart_readers_see_what_they_saw(
        commits in prop::collection::vec((0..4_i32, 0..50_i64, 0..5_usize), 1..40),
    ) {
        let mut world = World::new();
        world.storage = Storage::Held;
        for (partition, offset, settled) in commits {
            world.commit("", -1, &[(partition, offset)]);
            for _ in 0..settled {
                world.settle_one(Outcome::Durable);
            }
        }
        let before: Vec<_> = (0..4).map(|partition| world.offset(partition)).collect();
        world.restart();
        let after: Vec<_> = (0..4).map(|partition| world.offset(partition)).collect();
        prop_assert_eq!(before, after);
    }
}
