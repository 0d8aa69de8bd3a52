//! The embedded log in a real data directory: what is acknowledged is there after a restart.

use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use corelane::clock::Clock;
use corelane::exactly_once::Fingerprint;
use corelane::ids::{Offset, PartitionId};
use corelane::log::directory::{DataDirectory, Options};
use corelane::log::dma::DmaDisk;
use corelane::log::keeper::{KeeperOptions, KeeperThread};
use corelane::log::recover::{Access, RecoverOptions, recover};
use corelane::log::storage::{LogStorage, StripeStart, partition_specs};
use corelane::log::stripe::{Processing, ReadAt, StripeOptions};
use corelane::storage::{
    Consumer, Offer, Outputs, Producer, ReadOutcome, Storage, StorageEvent, Visit,
};
use glommio::{LocalExecutorBuilder, Placement};

const PARTITIONS: u32 = 3;

struct Node {
    log: LogStorage<DmaDisk>,
    clock: Clock,
    durable: Vec<u32>,
    _keeper: KeeperThread,
    _directory: DataDirectory,
}

impl Node {
    /// Opens the directory with two stripes, both owned by this one core. With a tail of 0 bytes
    /// whatever is durable is read from the device.
    fn open(path: &Path) -> Node {
        let options = Options {
            stripes: 2,
            segment_bytes: 16 << 20,
        };
        let mut directory = DataDirectory::open(path, &options).expect("an empty directory");
        let topic = directory.ensure_topic("in", PARTITIONS).expect("room");
        let meta = *directory.meta();
        let keeper_options = KeeperOptions {
            directory_id: meta.directory_id,
            epoch: meta.epoch,
            segment_bytes: meta.segment_bytes,
            stripes: directory.stripes().collect(),
            spares_max: 1,
        };
        let files = directory.files();
        let (keeper, handles) =
            KeeperThread::spawn(files.clone(), keeper_options, Arc::new(|_| {})).expect("a thread");
        let recovery = RecoverOptions {
            directory_id: meta.directory_id,
            access: Access::Repair,
            window_records_max: 0,
            window_partitions: &|_| false,
            fingerprint: &|_| Fingerprint(0),
        };
        let catalog = directory.catalog();
        let starts = handles.into_iter().map(|keeper| {
            let stripe = keeper.stripe();
            StripeStart {
                recovered: recover(&files, stripe, &recovery).expect("nothing is damaged"),
                partitions: partition_specs(&catalog, stripe, |found| {
                    assert_eq!(found, topic);
                    (Processing::Handler, ReadAt::Durable)
                }),
                options: StripeOptions {
                    tail_bytes: 0,
                    ..StripeOptions::new(meta.segment_bytes as u32, meta.epoch)
                },
                keeper,
            }
        });
        let disk = DmaDisk::new(path.to_owned(), Rc::new(|| {})).expect("a ring");
        Node {
            log: LogStorage::new(starts.collect(), disk),
            clock: Clock::new(),
            durable: Vec::new(),
            _keeper: keeper,
            _directory: directory,
        }
    }

    async fn cycle(&mut self) {
        let now = self.clock.now();
        let durable = &mut self.durable;
        let mut on = |event| match event {
            StorageEvent::Appended(_)
            | StorageEvent::Written { .. }
            | StorageEvent::Group { .. } => {}
            StorageEvent::Durable(ack) => durable.push(ack.token),
            StorageEvent::Sent { .. } | StorageEvent::Returned(_) => {
                panic!("the log keeps what it has taken")
            }
            StorageEvent::Failed { token } => panic!("record {token} was lost"),
        };
        self.log.poll(now, &mut on);
        self.log.flush(now, &mut on);
        glommio::timer::sleep(Duration::from_millis(1)).await;
    }

    async fn offer(&mut self, number: u32) {
        let mut offer = Offer {
            partition: PartitionId(number % PARTITIONS),
            value: Bytes::from(format!("{number:08}-{}", "x".repeat(300))),
            key_start: 0,
            key_len: 8,
            taken: self.clock.now().mono,
            trace: None,
            token: number,
            seat: number,
        };
        while let Err((back, _)) = self.log.offer(offer) {
            offer = back;
            self.cycle().await;
        }
    }

    async fn stop(mut self) -> Vec<u32> {
        while self.log.is_busy() {
            self.cycle().await;
        }
        let now = self.clock.now();
        while self.log.finish(now) > 0 || self.log.is_busy() {
            self.cycle().await;
        }
        self.durable
    }
}

#[test]
fn what_was_durable_is_there_after_a_restart_and_is_read_from_the_device() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let executor = LocalExecutorBuilder::new(Placement::Unbound)
        .make()
        .expect("an executor can be made here");
    let path = folder.path().join("data");
    executor.run(async {
        let mut node = Node::open(&path);
        for number in 0..3000 {
            node.offer(number).await;
        }
        let mut durable = node.stop().await;
        durable.sort_unstable();
        assert!(durable.into_iter().eq(0..3000));

        let mut node = Node::open(&path);
        assert_eq!(node.log.backlog(), 3000);
        let outputs = Outputs::new(1024);
        let mut seen = vec![0u32; PARTITIONS as usize];
        for _ in 0..30_000 {
            while let Some(partition) = node.log.next_ready() {
                let outcome = node.log.read(partition, &mut |record| {
                    let next = &mut seen[partition.index()];
                    let number = *next * PARTITIONS + partition.0;
                    assert_eq!(record.offset, Offset(i64::from(*next)));
                    assert_eq!(record.key, format!("{number:08}").as_bytes());
                    *next += 1;
                    Visit::Continue
                });
                if let ReadOutcome::Records(next) = outcome.expect("nothing is damaged") {
                    let now = node.clock.now();
                    let commit = node.log.commit(now, partition, next, &outputs);
                    commit.expect("there is room");
                    node.log.requeue(partition);
                }
            }
            if node.log.backlog() == 0 {
                break;
            }
            node.cycle().await;
        }
        assert_eq!(seen.iter().sum::<u32>(), 3000);
        node.stop().await;
        let node = Node::open(&path);
        assert_eq!(node.log.backlog(), 0, "the positions are kept");
    });
}
