//! A log on a simulated disk, with the keeper run by hand and simulated time.
#![allow(dead_code)] // Each test uses a part of it.

use std::sync::Arc;

use bytes::Bytes;
use corelane::clock::Now;
use corelane::exactly_once::Fingerprint;
use corelane::ids::{Nanos, Offset, PartitionId, StripeId, TopicId, UnixMicros};
use corelane::log::files::MemoryFiles;
use corelane::log::keeper::{Keeper, KeeperOptions};
use corelane::log::recover::{Access, RecoverError, RecoverOptions, recover};
use corelane::log::sim::{Pace, SimDisk};
use corelane::log::state::Recovered;
use corelane::log::storage::{LogStorage, StripeStart};
use corelane::log::stripe::{PartitionSpec, Processing, ReadAt, StripeOptions};
use corelane::storage::{
    Ack, CommitRefusal, Consumer, Offer, Outputs, Producer, ReadError, ReadOutcome, Record,
    Refusal, Storage, StorageEvent, Visit,
};

/// Small, so that tests roll.
pub const SEGMENT_BYTES: u32 = 128 << 10;

/// The one stripe.
pub const STRIPE: StripeId = StripeId(0);

/// Partitions 0 to 3 are processed.
pub const INPUTS: u32 = 4;

/// Partitions 4 and 5: where handlers send to.
pub const OUTPUT_TOPIC: TopicId = TopicId(1);

/// All of them.
pub const PARTITIONS: u32 = 6;

/// Identifies the directory.
pub const DIRECTORY: u128 = 7;

/// What may differ from rig to rig.
#[derive(Clone, Debug)]
pub struct Setup {
    pub seed: u64,
    pub pace: Pace,
    pub epoch: u32,
    pub stripe: StripeOptions,
}

impl Setup {
    pub fn new(seed: u64, pace: Pace) -> Setup {
        Setup {
            seed,
            pace,
            epoch: 1,
            stripe: StripeOptions::new(SEGMENT_BYTES, 1),
        }
    }
}

/// A running log.
pub struct Rig {
    pub files: MemoryFiles,
    pub log: LogStorage<SimDisk>,
    pub now: Now,
    pub appended: Vec<Ack>,
    pub durable: Vec<Ack>,
    pub failed: Vec<u32>,
    keeper: Keeper<MemoryFiles>,
}

/// What recovery makes of these files.
pub fn recover_from(files: &MemoryFiles, access: Access) -> Result<Recovered, RecoverError> {
    let options = RecoverOptions {
        directory_id: DIRECTORY,
        access,
        window_records_max: 0,
        window_partitions: &|_| false,
        fingerprint: &|_| Fingerprint(0),
    };
    recover(files, STRIPE, &options)
}

/// The value of record `number`: its key first, then filler of a length that varies.
pub fn value(number: u32, filler: usize) -> Bytes {
    Bytes::from(format!("{number:012}-{}", "x".repeat(filler)))
}

/// The number in a value.
pub fn number(value: &[u8]) -> u32 {
    let digits = std::str::from_utf8(&value[..12]).expect("written by `value`");
    digits.parse().expect("written by `value`")
}

fn spec(partition: u32) -> PartitionSpec {
    let (topic, processing) = if partition < INPUTS {
        (TopicId(0), Processing::Handler)
    } else {
        (OUTPUT_TOPIC, Processing::None)
    };
    PartitionSpec {
        id: PartitionId(partition),
        topic,
        processing,
        read_at: ReadAt::Durable,
    }
}

impl Rig {
    /// A log in an empty directory.
    pub fn new(seed: u64, pace: Pace) -> Rig {
        Rig::open(MemoryFiles::new(), &Setup::new(seed, pace)).expect("nothing to be damaged")
    }

    /// Recovers and goes on.
    pub fn open(files: MemoryFiles, setup: &Setup) -> Result<Rig, RecoverError> {
        let recovered = recover_from(&files, Access::Repair)?;
        let again = recover_from(&files, Access::ReadOnly)?;
        assert_eq!(again.state, recovered.state, "a repair changes no state");
        let options = KeeperOptions {
            directory_id: DIRECTORY,
            epoch: setup.epoch,
            segment_bytes: setup.stripe.segment_bytes.into(),
            stripes: vec![STRIPE],
            spares_max: 2,
        };
        let (keeper, handles) =
            Keeper::new(files.clone(), options, Arc::new(|_| {})).expect("the folder is there");
        let starts = handles.into_iter().map(|keeper| StripeStart {
            recovered: again_of(&recovered),
            partitions: (0..PARTITIONS).map(spec).collect(),
            options: StripeOptions {
                epoch: setup.epoch,
                ..setup.stripe
            },
            keeper,
        });
        let disk = SimDisk::new(files.clone(), setup.seed, setup.pace);
        Ok(Rig {
            files,
            log: LogStorage::new(starts.collect(), disk),
            now: Now {
                mono: Nanos(1),
                wall: UnixMicros(1_700_000_000_000_000),
            },
            appended: Vec::new(),
            durable: Vec::new(),
            failed: Vec::new(),
            keeper,
        })
    }

    /// One duty cycle of 10 us.
    pub fn cycle(&mut self) -> usize {
        self.pass(10_000);
        let Rig {
            appended,
            durable,
            failed,
            log,
            ..
        } = self;
        let mut on = |event| match event {
            StorageEvent::Appended(ack) => appended.push(ack),
            StorageEvent::Durable(ack) => durable.push(ack),
            StorageEvent::Failed { token } => failed.push(token),
            StorageEvent::Written { .. } | StorageEvent::Group { .. } => {}
            StorageEvent::Sent { .. } | StorageEvent::Returned(_) => {
                panic!("the log keeps what it has taken")
            }
        };
        let work = log.poll(self.now, &mut on) + log.flush(self.now, &mut on);
        work + self.keeper.step(self.now.mono)
    }

    /// Lets time pass.
    pub fn pass(&mut self, ns: u64) {
        self.now.mono.0 += ns;
        self.now.wall.0 += (ns / 1000) as i64;
    }

    /// Offers record `number`; its token is the number.
    pub fn try_offer(&mut self, partition: u32, number: u32, filler: usize) -> Result<(), Refusal> {
        let offer = Offer {
            partition: PartitionId(partition),
            value: value(number, filler),
            key_start: 0,
            key_len: 12,
            taken: self.now.mono,
            trace: None,
            token: number,
            seat: number + 7,
        };
        self.log.offer(offer).map_err(|(_, refusal)| refusal)
    }

    /// Offers record `number`, in as many cycles as it takes.
    pub fn offer(&mut self, partition: u32, number: u32, filler: usize) {
        for _ in 0..1000 {
            match self.try_offer(partition, number, filler) {
                Ok(()) => return,
                Err(refusal) => assert_eq!(refusal, Refusal::Full),
            }
            self.cycle();
        }
        panic!("the log stays full");
    }

    /// Runs until all is durable.
    pub fn settle(&mut self) {
        for _ in 0..10_000 {
            self.cycle();
            if !self.log.is_busy() {
                return;
            }
        }
        panic!("the log stays busy");
    }

    /// Runs until all is durable and witnessed.
    pub fn finish(&mut self) {
        self.settle();
        while self.log.finish(self.now) > 0 {
            self.settle();
        }
    }

    /// Power is lost.
    pub fn into_disk(self) -> SimDisk {
        let Rig { mut log, .. } = self;
        let empty = SimDisk::new(MemoryFiles::new(), 0, Pace::Never);
        std::mem::replace(log.disk_mut(), empty)
    }

    /// Visits the visible records of a partition from `from` on.
    pub fn read_range(
        &mut self,
        partition: u32,
        mut from: Offset,
        mut visit: impl FnMut(Record<'_>),
    ) -> Result<(), ReadError> {
        loop {
            let outcome = self
                .log
                .read_from(PartitionId(partition), from, &mut |record| {
                    visit(record);
                    Visit::Continue
                })?;
            match outcome {
                ReadOutcome::Records(next) => from = next,
                ReadOutcome::Empty => return Ok(()),
                ReadOutcome::Pending => {
                    self.cycle();
                }
            }
        }
    }

    /// The numbers of a partition's visible records, checked for gaps.
    pub fn numbers(&mut self, partition: u32) -> Vec<u32> {
        let mut numbers = Vec::new();
        let mut expected = self.log.offsets(PartitionId(partition)).start;
        self.read_range(partition, expected, |record| {
            assert_eq!(record.offset, expected, "no gaps");
            expected = expected.plus(1);
            numbers.push(number(record.value));
        })
        .expect("nothing is damaged");
        numbers
    }

    /// Reads from a partition's position and commits what was read.
    pub fn read_one(&mut self, partition: u32, outputs: &Outputs) {
        let id = PartitionId(partition);
        let outcome = self.log.read(id, &mut |_| Visit::Continue);
        if let ReadOutcome::Records(next) = outcome.expect("nothing is damaged") {
            match self.log.commit(self.now, id, next, outputs) {
                Ok(_) | Err(CommitRefusal::Full) => {}
                Err(refusal) => panic!("{refusal:?}"),
            }
        }
        self.cycle();
    }

    /// The state pairs.
    pub fn state(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut pairs = Vec::new();
        self.log.state(0, &mut |key, value| {
            pairs.push((key.to_vec(), value.to_vec()))
        });
        pairs
    }
}

fn again_of(recovered: &Recovered) -> Recovered {
    Recovered {
        stripe: recovered.stripe,
        state: recovered.state.clone(),
        segments: recovered.segments.clone(),
        frame_last: recovered.frame_last,
        recent: recovered.recent.clone(),
        torn: recovered.torn.clone(),
    }
}
