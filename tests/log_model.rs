//! The log against a plain model, over random operations, crashes and restarts. What is checked
//! after each restart:
//!
//! - every record that was acknowledged as durable is there, and what is there is a prefix of
//!   what was appended, record by record;
//! - of the commits a prefix holds, and it includes all that were durable: position, state and
//!   outputs are those of exactly these commits;
//! - while running: offsets as the model counts them, nothing visible beyond what is durable.
//!
//! proptest prints the seed and the smallest failing run.

mod support;

use corelane::ids::{Offset, PartitionId};
use corelane::log::files::MemoryFiles;
use corelane::log::sim::Pace;
use corelane::storage::{CommitRefusal, Consumer, Outputs, ReadOutcome, Visit};
use proptest::prelude::*;
use support::log_rig::{INPUTS, OUTPUT_TOPIC, PARTITIONS, Rig, SEGMENT_BYTES, Setup, number};

#[derive(Clone, Debug)]
enum Step {
    /// Offers so many records to a partition.
    Offer {
        partition: u32,
        count: u32,
        filler: usize,
    },
    Cycles(u32),
    /// Reads a partition and commits up to so many of its records, each with an output.
    Commit {
        partition: u32,
        records_max: u32,
    },
    Pace(u32),
    /// Nothing ends from here on, until the pace changes.
    Stall,
    Settle,
    /// Power is lost, then a restart.
    Crash,
    /// A clean stop, then a restart.
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..INPUTS, 1..40u32, 0..3000usize)
            .prop_map(|(partition, count, filler)| Step::Offer { partition, count, filler }),
        8 => (1..20u32).prop_map(Step::Cycles),
        6 => (0..INPUTS, 1..30u32)
            .prop_map(|(partition, records_max)| Step::Commit { partition, records_max }),
        2 => (0..10u32).prop_map(Step::Pace),
        1 => Just(Step::Stall),
        1 => Just(Step::Settle),
        2 => Just(Step::Crash),
        1 => Just(Step::Restart),
    ]
}

/// A commit, as the model remembers it.
#[derive(Clone, Debug)]
struct Commit {
    partition: u32,
    next: Offset,
    outputs: Vec<u32>,
}

/// What the log should hold.
#[derive(Debug, Default)]
struct Model {
    /// By partition: the numbers of the records that were appended, in offset order.
    appended: Vec<Vec<u32>>,
    /// By partition: how many of them are durable.
    durable: Vec<usize>,
    commits: Vec<Commit>,
    /// How many of them are certainly durable.
    commits_durable: usize,
}

struct Run {
    rig: Rig,
    model: Model,
    setup: Setup,
    next_number: u32,
    partition_of: Vec<u32>,
    acks_seen: (usize, usize),
}

impl Run {
    fn new(seed: u64, tail_bytes: usize) -> Run {
        let mut setup = Setup::new(seed, Pace::Polls(3));
        setup.stripe.tail_bytes = tail_bytes;
        Run {
            rig: Rig::open(MemoryFiles::new(), &setup).expect("nothing to be damaged"),
            model: Model {
                appended: vec![Vec::new(); INPUTS as usize],
                durable: vec![0; INPUTS as usize],
                ..Model::default()
            },
            setup,
            next_number: 0,
            partition_of: Vec::new(),
            acks_seen: (0, 0),
        }
    }

    /// Follows the news of the last cycles.
    fn follow(&mut self) {
        for ack in &self.rig.appended[self.acks_seen.0..] {
            let partition = self.partition_of[ack.token as usize] as usize;
            let appended = &mut self.model.appended[partition];
            assert_eq!(
                ack.offset.0 as usize,
                appended.len(),
                "offsets have no gaps"
            );
            appended.push(ack.token);
        }
        for ack in &self.rig.durable[self.acks_seen.1..] {
            let partition = self.partition_of[ack.token as usize] as usize;
            let durable = &mut self.model.durable[partition];
            assert_eq!(ack.offset.0 as usize, *durable, "in offset order");
            *durable += 1;
        }
        assert!(self.rig.failed.is_empty());
        self.acks_seen = (self.rig.appended.len(), self.rig.durable.len());
        for partition in 0..INPUTS {
            let offsets = self.rig.log.offsets(PartitionId(partition));
            let durable = self.model.durable[partition as usize] as i64;
            assert_eq!(
                offsets.visible,
                Offset(durable),
                "visible is what is durable"
            );
        }
    }

    fn apply(&mut self, step: &Step) {
        match *step {
            Step::Offer {
                partition,
                count,
                filler,
            } => self.offer(partition, count, filler),
            Step::Cycles(count) => {
                for _ in 0..count {
                    self.rig.cycle();
                }
            }
            Step::Commit {
                partition,
                records_max,
            } => self.commit(partition, records_max),
            Step::Pace(polls) => self.rig.log.disk_mut().set_pace(Pace::Polls(polls)),
            Step::Stall => self.rig.log.disk_mut().set_pace(Pace::Never),
            Step::Settle => self.settle(),
            Step::Crash => self.restart(Stop::Crash),
            Step::Restart => {
                self.settle();
                self.rig.finish();
                self.restart(Stop::Clean);
            }
        }
        self.follow();
    }

    fn offer(&mut self, partition: u32, count: u32, filler: usize) {
        for _ in 0..count {
            if self
                .rig
                .try_offer(partition, self.next_number, filler)
                .is_err()
            {
                return;
            }
            self.partition_of.push(partition);
            self.next_number += 1;
        }
    }

    fn settle(&mut self) {
        self.rig.log.disk_mut().set_pace(Pace::Polls(2));
        self.rig.settle();
        self.model.commits_durable = self.model.commits.len();
    }

    fn commit(&mut self, partition: u32, records_max: u32) {
        let id = PartitionId(partition);
        let mut outputs = Outputs::new(SEGMENT_BYTES as usize);
        let mut commit = Commit {
            partition,
            next: self.rig.log.position(id),
            outputs: Vec::new(),
        };
        let visible = self.model.durable[partition as usize];
        let outcome = self.rig.log.read(id, &mut |record| {
            assert!((record.offset.0 as usize) < visible, "only what is durable");
            let found = number(record.value);
            let value = format!("{found:012}");
            outputs
                .send(OUTPUT_TOPIC, &record.value[..12], value.as_bytes())
                .expect("fits");
            commit.outputs.push(found);
            if commit.outputs.len() as u32 == records_max {
                Visit::Stop
            } else {
                Visit::Continue
            }
        });
        match outcome.expect("nothing is damaged") {
            ReadOutcome::Records(next) => commit.next = next,
            ReadOutcome::Pending | ReadOutcome::Empty => return,
        }
        let count = (self.model.commits.len() + 1).to_string();
        outputs
            .set_state(b"commits", count.as_bytes())
            .expect("fits");
        match self.rig.log.commit(self.rig.now, id, commit.next, &outputs) {
            Ok(_) => self.model.commits.push(commit),
            Err(CommitRefusal::Full) => {}
            Err(refusal) => panic!("{refusal:?}"),
        }
    }

    fn restart(&mut self, stop: Stop) {
        self.follow();
        let files = self.rig.files.clone();
        self.setup.epoch += 1;
        self.setup.seed += 1;
        let opened = Rig::open(MemoryFiles::new(), &self.setup).expect("nothing to be damaged");
        let disk = std::mem::replace(&mut self.rig, opened).into_disk();
        match stop {
            Stop::Crash => disk.crash_at_random(),
            Stop::Clean => assert_eq!(disk.writes_under_way().count(), 0),
        }
        self.rig = Rig::open(files, &self.setup).expect("a crash is no damage");
        self.acks_seen = (0, 0);
        self.check();
    }

    /// Compares everything that recovery found with the model, then goes on from there.
    fn check(&mut self) {
        for partition in 0..INPUTS {
            let numbers = self.rig.numbers(partition);
            let appended = &mut self.model.appended[partition as usize];
            assert!(
                numbers.len() >= self.model.durable[partition as usize],
                "a promise broken"
            );
            assert!(
                appended.starts_with(&numbers),
                "what is there was appended so"
            );
            appended.truncate(numbers.len());
            self.model.durable[partition as usize] = numbers.len();
        }
        let commits = match self.rig.state().as_slice() {
            [] => 0,
            [(key, value)] => {
                assert_eq!(key, b"commits");
                let text = std::str::from_utf8(value).expect("written by `commit`");
                text.parse().expect("written by `commit`")
            }
            more => panic!("{more:?}"),
        };
        assert!(
            commits >= self.model.commits_durable,
            "a durable commit is lost"
        );
        self.model.commits.truncate(commits);
        self.model.commits_durable = commits;
        let mut positions = vec![Offset::ZERO; INPUTS as usize];
        let mut outputs = Vec::new();
        for commit in &self.model.commits {
            positions[commit.partition as usize] = commit.next;
            outputs.extend_from_slice(&commit.outputs);
        }
        for (partition, position) in (0..).zip(positions) {
            assert_eq!(self.rig.log.position(PartitionId(partition)), position);
        }
        let mut found = Vec::new();
        for partition in INPUTS..PARTITIONS {
            found.extend(self.rig.numbers(partition));
        }
        found.sort_unstable();
        outputs.sort_unstable();
        assert_eq!(found, outputs, "outputs of exactly these commits");
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    Crash,
    Clean,
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn the_log_holds_its_promises_through_any_run(
        seed in any::<u64>(),
        tail_bytes in prop_oneof![Just(0usize), Just(100_000), Just(64 << 20)],
        steps in prop::collection::vec(step(), 1..120),
    ) {
        let mut run = Run::new(seed >> 1, tail_bytes);
        for step in &steps {
            run.apply(step);
        }
        run.apply(&Step::Crash);
    }
}
