//! A log on a simulated disk with the keeper run by hand, on simulated time.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use corelane::clock::Now;
use corelane::ids::{Acks, FrameSeq, Nanos, Offset, PartitionId, StripeId, TopicId, UnixMicros};
use corelane::log::files::MemoryFiles;
use corelane::log::keeper::{Keeper, KeeperOptions};
use corelane::log::sim::{Pace, SimDisk};
use corelane::log::state::{Recovered, StripeState};
use corelane::log::storage::{LogStorage, StripeStart};
use corelane::log::stripe::{PartitionSpec, Processing, ReadAt, StripeOptions};
use corelane::storage::{
    Ack, Consumer, Offer, Outputs, Producer, ReadOutcome, Refusal, StorageEvent, Visit,
};

pub const SEGMENT_BYTES: u32 = 256 << 10;

pub struct Rig {
    pub files: MemoryFiles,
    pub keeper: Keeper<MemoryFiles>,
    pub log: LogStorage<SimDisk>,
    pub now: Now,
    pub appended: Vec<Ack>,
    pub durable: Vec<Ack>,
    pub failed: Vec<u32>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub partition: PartitionId,
    pub offset: Offset,
    pub value: Vec<u8>,
}

impl Rig {
    pub fn new(seed: u64, pace: Pace) -> Rig {
        let files = MemoryFiles::new();
        let stripes = vec![StripeId(0)];
        let (keeper, handles) = Keeper::new(
            files.clone(),
            KeeperOptions {
                directory_id: 7,
                epoch: 1,
                segment_bytes: SEGMENT_BYTES.into(),
                stripes,
                spares_max: 2,
            },
            Arc::new(|_| {}),
        )
        .unwrap();
        let starts = handles
            .into_iter()
            .map(|keeper| StripeStart {
                recovered: Recovered {
                    stripe: StripeId(0),
                    state: StripeState::default(),
                    segments: Vec::new(),
                    frame_last: FrameSeq(0),
                    recent: Vec::new(),
                    torn: None,
                },
                partitions: (0..4)
                    .map(|p| PartitionSpec {
                        id: PartitionId(p),
                        topic: TopicId(0),
                        processing: Processing::Handler,
                        read_at: ReadAt::Durable,
                    })
                    .collect(),
                options: StripeOptions::new(SEGMENT_BYTES, 1),
                keeper,
            })
            .collect();
        let disk = SimDisk::new(files.clone(), seed, pace);
        Rig {
            files,
            keeper,
            log: LogStorage::new(starts, disk),
            now: Now {
                mono: Nanos(1),
                wall: UnixMicros(1_000_000),
            },
            appended: Vec::new(),
            durable: Vec::new(),
            failed: Vec::new(),
        }
    }

    pub fn cycle(&mut self) -> usize {
        self.now.mono.0 += 10_000;
        self.now.wall.0 += 10;
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
        };
        let work = log.poll(self.now, &mut on) + log.flush(self.now, &mut on);
        work + self.keeper.step(self.now.mono)
    }

    pub fn offer(&mut self, partition: PartitionId, number: u32) {
        let value = Bytes::from(format!("key-{number:08}-{}", "x".repeat(100)));
        let offer = Offer {
            partition,
            value,
            key_start: 0,
            key_len: 12,
            taken: self.now.mono,
            token: number,
        };
        if let Err((offer, refusal)) = self.log.offer(offer) {
            assert_eq!(refusal, Refusal::Full);
            for _ in 0..100 {
                self.cycle();
            }
            self.log.offer(offer).unwrap();
        }
    }

    pub fn settle(&mut self) {
        for _ in 0..10_000 {
            self.cycle();
            if !self.log.is_busy() {
                return;
            }
        }
        panic!("still busy");
    }

    pub fn read_all(&mut self) -> Vec<Seen> {
        let mut seen = Vec::new();
        let outputs = Outputs::new(1 << 20);
        for _ in 0..100_000 {
            let Some(partition) = self.log.next_ready() else {
                if self.log.backlog() == 0 {
                    break;
                }
                self.cycle();
                continue;
            };
            let outcome = self
                .log
                .read(partition, &mut |record| {
                    seen.push(Seen {
                        partition,
                        offset: record.offset,
                        value: record.value.to_vec(),
                    });
                    Visit::Continue
                })
                .unwrap();
            if let ReadOutcome::Records(next) = outcome {
                self.log
                    .commit(self.now, partition, next, &outputs)
                    .unwrap();
            }
            self.log.requeue(partition);
            self.cycle();
        }
        seen
    }
}
