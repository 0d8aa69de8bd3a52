//! What a client is told when the device is full or fails, on a simulated disk.

use std::sync::Arc;

use super::*;
use crate::broker::message::{Read, Ticket};
use crate::exactly_once::Fingerprint;
use crate::ids::{Offset, StripeId, TopicId, UnixMicros};
use crate::log::files::MemoryFiles;
use crate::log::keeper::{Keeper, KeeperOptions};
use crate::log::recover::{Access, RecoverOptions, recover};
use crate::log::sim::{Pace, SimDisk};
use crate::log::storage::StripeStart;
use crate::log::stripe::{PartitionSpec, Processing, ReadAt, StripeOptions};
use crate::mesh::EndpointId;
use crate::storage::Producer as _;
use crate::wire::{BatchSpec, RecordSource, batch_len, write_batch};

const SEGMENT_BYTES: u32 = 128 << 10;
const STRIPE: StripeId = StripeId(0);
const PARTITION: PartitionId = PartitionId(0);
const DIRECTORY: u128 = 7;
const PATIENCE_NS: u64 = 1_000_000_000;
const STORAGE_ERROR: i16 = 56;

/// An owner, its log and the keeper of that, run by hand.
struct World {
    owner: Owner,
    log: LogStorage<SimDisk>,
    keeper: Keeper<MemoryFiles>,
    files: MemoryFiles,
    now: Now,
    asked: u32,
    /// What was told of appends, by the number of the request.
    told: Vec<(u32, Appended)>,
    /// What was told of frames.
    settled: Vec<(Mark, FrameEnd)>,
}

impl World {
    fn new() -> World {
        let files = MemoryFiles::new();
        let options = RecoverOptions {
            directory_id: DIRECTORY,
            access: Access::Repair,
            window_records_max: 0,
            window_partitions: &|_| false,
            fingerprint: &|_| Fingerprint(0),
        };
        let recovered = recover(&files, STRIPE, &options).expect("nothing to be damaged");
        let options = KeeperOptions {
            directory_id: DIRECTORY,
            epoch: 1,
            segment_bytes: SEGMENT_BYTES.into(),
            stripes: vec![STRIPE],
            spares_max: 2,
        };
        let (keeper, mut handles) =
            Keeper::new(files.clone(), options, Arc::new(|_| {})).expect("the folder is there");
        let start = StripeStart {
            recovered,
            partitions: vec![PartitionSpec {
                id: PARTITION,
                topic: TopicId(0),
                processing: Processing::None,
                read_at: ReadAt::Durable,
            }],
            options: StripeOptions::new(SEGMENT_BYTES, 1),
            keeper: handles.pop().expect("one stripe"),
        };
        let disk = SimDisk::new(files.clone(), 1, Pace::Polls(2));
        World {
            owner: Owner::new(PATIENCE_NS),
            log: LogStorage::new(vec![start], disk),
            keeper,
            files,
            now: Now {
                mono: Nanos(1),
                wall: UnixMicros(1_700_000_000_000_000),
            },
            asked: 0,
            told: Vec::new(),
            settled: Vec::new(),
        }
    }

    /// A duty cycle, after so much time.
    fn cycle(&mut self, ns: u64) {
        self.now.mono.0 += ns;
        self.now.wall.0 += (ns / 1000) as i64;
        self.log.poll(self.now, &mut |_| {});
        self.keeper.step(self.now.mono);
        self.owner.turn(self.now, &mut self.log);
        self.log.flush(self.now, &mut |_| {});
        while let Some((asker, tell)) = self.owner.next_finished() {
            if let Tell::Part { done, .. } = tell {
                let PartDone::Appended(appended) = done else {
                    panic!("{done:?}");
                };
                self.told.push((asker.ticket.place, appended));
            } else if let Tell::Settled { mark, end, .. } = tell {
                self.settled.push((mark, end));
            }
        }
    }

    fn settle(&mut self) {
        for _ in 0..50 {
            self.cycle(10_000);
        }
    }

    /// Asks for an append, and gives the request's number.
    fn append(&mut self, bytes: usize, acks: Acks) -> u32 {
        self.asked += 1;
        let batch = batch(bytes).into();
        let ask = PartAsk {
            asker: asker(self.asked),
            index: 0,
            partition: PARTITION,
            op: PartOp::Append { batch, acks },
        };
        self.owner.part(ask, self.now, &mut self.log);
        self.asked
    }

    /// Appends batches of one request of this core's own client. Gives the frames that hold them,
    /// each once; what becomes of them is told then.
    fn append_request(&mut self, batches: usize) -> Vec<Mark> {
        self.asked += 1;
        let (asker, one) = (asker(self.asked), batch(1_000));
        let frame = Bytes::from(one.repeat(batches));
        let mut marks = Vec::new();
        for number in 0..batches {
            let append = Append {
                partition: PARTITION,
                frame: &frame,
                records: number * one.len()..(number + 1) * one.len(),
                acks: Acks::All,
                rest: (batches - number - 1) * one.len(),
            };
            let (now, log) = (self.now, &mut self.log);
            match self.owner.append((asker, number as u32), append, now, log) {
                Took::Durable(mark, appended) => {
                    assert_eq!(appended.error, 0);
                    marks.push(mark);
                }
                took @ (Took::Done(_) | Took::Later) => panic!("{took:?}"),
            }
        }
        marks.dedup();
        for mark in &marks {
            self.owner.when_settled(*mark, asker);
        }
        marks
    }

    /// What a request was told; `None` while it waits.
    fn told(&self, number: u32) -> Option<Appended> {
        let told = self.told.iter().filter(|(asked, _)| *asked == number);
        let told: Vec<_> = told.collect();
        assert!(told.len() <= 1, "request {number} was answered twice");
        told.first().map(|(_, appended)| *appended)
    }

    fn error(&self, number: u32) -> Option<i16> {
        self.told(number).map(|appended| appended.error)
    }

    /// The offset after the last record that can be read, by reading.
    fn read_to_the_end(&mut self) -> Offset {
        let mut from = Offset::ZERO;
        loop {
            let ask = ReadAsk {
                asker: asker(u32::MAX),
                reads: vec![Read {
                    index: 0,
                    partition: PARTITION,
                    from,
                    bytes_max: 1 << 20,
                }],
                bytes_max: 1 << 20,
                end: ReadEnd::Visible,
                watch: Watch::No,
            };
            self.owner.read(ask, &mut self.log);
            let read = (0..50).find_map(|_| {
                let next = self.owner.next_finished();
                self.log.poll(self.now, &mut |_| {});
                self.owner.turn(self.now, &mut self.log);
                next
            });
            let Some((_, Tell::Read { done, .. })) = read else {
                panic!("a read has no end");
            };
            assert_eq!(done[0].error, 0, "reads go on");
            let mut rest = &done[0].records[..];
            if rest.is_empty() {
                return from;
            }
            while !rest.is_empty() {
                let batch = crate::wire::BatchView::parse(rest).expect("whole batches");
                assert_eq!(batch.base_offset(), from, "no gaps");
                from = batch.next_offset();
                rest = &rest[batch.bytes().len()..];
            }
        }
    }
}

fn asker(place: u32) -> Asker {
    Asker {
        core: EndpointId(0),
        ticket: Ticket {
            place,
            generation: 0,
        },
    }
}

fn batch(bytes: usize) -> Vec<u8> {
    let value = vec![7; bytes];
    let records = || [RecordSource::new(None, Some(&value))].into_iter();
    let spec = BatchSpec {
        base_offset: Offset::ZERO,
        base_timestamp: UnixMillis(1),
        max_timestamp: UnixMillis(1),
    };
    let mut out = vec![0; batch_len(records())];
    write_batch(&mut out, &spec, records());
    out
}

#[test]
fn a_write_that_fails_is_told_to_all_that_wait_for_it_and_reads_go_on() {
    let mut world = World::new();
    world.settle();
    for _ in 0..5 {
        world.append(100, Acks::All);
        world.settle();
    }
    assert!((1..=5).all(|number| world.error(number) == Some(0)));
    // One under way when it fails, one that follows it, one that is only appended.
    world
        .log
        .disk_mut()
        .fail_next_write(std::io::ErrorKind::Other);
    let written = world.append(100, Acks::All);
    world.cycle(10_000);
    let follows = world.append(100, Acks::All);
    let appended = world.append(100, Acks::Leader);
    world.settle();
    assert_eq!(world.error(written), Some(STORAGE_ERROR));
    assert_eq!(world.error(follows), Some(STORAGE_ERROR));
    assert_eq!(world.error(appended), Some(0), "more was not promised");
    for acks in [Acks::All, Acks::Leader, Acks::None] {
        let later = world.append(100, acks);
        world.cycle(10_000);
        assert_eq!(world.error(later), Some(STORAGE_ERROR), "at once, for good");
    }
    assert_eq!(world.read_to_the_end(), Offset(5), "what was acknowledged");
    assert!(!world.owner.is_busy());
}

#[test]
fn a_full_disk_is_told_after_the_patience_and_in_order() {
    let mut world = World::new();
    world.settle();
    world.files.set_capacity(Some(0));
    let mut stored = 0;
    // Segments that are there already are filled first.
    let waits = loop {
        let number = world.append(20_000, Acks::All);
        world.settle();
        match world.error(number) {
            Some(0) => stored += 1,
            None => break number,
            Some(code) => panic!("error {code}"),
        }
        assert!(stored < 100, "it is never full");
    };
    assert!(stored > 3, "there was room for some");
    let wake = world
        .owner
        .next_wake()
        .expect("it waits for so long at most");
    assert!(wake.0 <= world.now.mono.0 + PATIENCE_NS);
    world.cycle(PATIENCE_NS / 2);
    let small = world.append(10, Acks::Leader);
    world.cycle(10_000);
    assert_eq!((world.error(waits), world.error(small)), (None, None));
    assert_eq!(world.read_to_the_end(), Offset(stored), "reads go on");
    world.cycle(PATIENCE_NS / 2);
    assert_eq!(world.error(waits), Some(STORAGE_ERROR));
    world.settle();
    // What came later and waits less long is not refused before its time; it may fit, too.
    let in_time = world.error(small);
    assert!([None, Some(0)].contains(&in_time), "{in_time:?}");
    // Space again: what waits is stored, and then what comes.
    world.files.set_capacity(None);
    world.cycle(PATIENCE_NS / 4);
    world.settle();
    let last = world.append(20_000, Acks::All);
    world.settle();
    assert_eq!((world.error(small), world.error(last)), (Some(0), Some(0)));
    assert_eq!(
        world.told(last).map(|told| told.base_offset),
        Some(stored + 1)
    );
    assert_eq!(world.read_to_the_end(), Offset(stored + 2), "once each");
}

#[test]
fn batches_of_one_request_share_a_write_and_are_told_of_it_once() {
    let mut world = World::new();
    world.settle();
    let marks = world.append_request(50);
    assert_eq!(
        marks.len(),
        1,
        "one frame takes 50 kB, and so does one write"
    );
    assert!(world.settled.is_empty(), "not before it is durable");
    world.settle();
    assert_eq!(world.settled, [(marks[0], FrameEnd::Durable)]);
    // More than is left in the segment: what fits it, then the next one.
    let marks = world.append_request(80);
    assert!(marks.len() > 1, "no segment is as long");
    world.settle();
    let mut told: Vec<Mark> = world.settled[1..].iter().map(|(mark, _)| *mark).collect();
    told.sort();
    assert_eq!(told, marks, "each frame once");
    assert_eq!(world.read_to_the_end(), Offset(130));
    assert!(!world.owner.is_busy());
}

#[test]
fn a_request_is_told_which_of_its_frames_is_lost() {
    let mut world = World::new();
    world.settle();
    world.append_request(70);
    world.settle();
    let durable = world.settled.len();
    // One of its writes fails; the frames that follow it are lost with it.
    world
        .log
        .disk_mut()
        .fail_next_write(std::io::ErrorKind::Other);
    let marks = world.append_request(80);
    world.settle();
    let mut told = world.settled.split_off(durable);
    told.sort_by_key(|(mark, _)| *mark);
    let frames: Vec<Mark> = told.iter().map(|(mark, _)| *mark).collect();
    assert_eq!(frames, marks, "each frame once");
    let survive = |(_, end): &(Mark, FrameEnd)| *end == FrameEnd::Durable;
    assert!(told.is_sorted_by_key(|told| !survive(told)), "{told:?}");
    let kept = told.iter().filter(|told| survive(told)).count();
    assert!(kept < told.len(), "{told:?}");
    assert!(!world.owner.is_busy());
}
