//! Our producer and consumer, polled as a core does: with a zero timeout, and parked on the wake
//! callback when there is nothing to do.

use std::sync::Arc;
use std::time::Duration;

use corelane::clock;
use corelane::ids::{Nanos, Offset};
use corelane::kafka::native::{
    ClientConf, ConsumerEvent, NativeConsumer, NativeProducer, ProducerEvent, SendError,
    TopicPartition, TopicRef,
};
use corelane::kafka::properties::Property;

use crate::Failure;
use crate::round::Once;
use crate::settings::POLL_RECORDS;
use crate::values::Values;

/// Reports that one poll hands over at the most.
const REPORTS_MAX: usize = 4096;

/// What is done while there is nothing to do; the node's setting of this name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Idle {
    /// Spin for 50 us, the node's default, then park.
    Adaptive,
    Spin,
}

impl Idle {
    const SPIN_NS: u64 = 50_000;

    /// Gives the CPU away until the wake callback or `until`, once nothing was done since `active`
    /// for long enough. What came before the call is no reason to wait: `unpark` is remembered.
    pub fn rest(self, active: Nanos, now: Nanos, until: Option<Nanos>) {
        const MAX: Duration = Duration::from_millis(100);
        if self == Idle::Spin || now.since(active) < Idle::SPIN_NS {
            std::hint::spin_loop();
            return;
        }
        let left = until.map_or(MAX, |until| Duration::from_nanos(until.since(now)));
        std::thread::park_timeout(left.min(MAX));
    }
}

/// A client's configuration that wakes the calling thread, which has to be the one that polls.
fn waking(properties: &[Property]) -> Result<ClientConf, Failure> {
    let thread = std::thread::current();
    let mut conf = ClientConf::new(properties)?;
    conf.wake_by(Arc::new(move || thread.unpark()));
    Ok(conf)
}

/// A producer for one partition of one topic.
pub struct Producer {
    pub native: NativeProducer,
    topic: TopicRef,
    values: Values,
}

impl Producer {
    pub fn new(properties: &[Property], topic: &str, values: Values) -> Result<Producer, Failure> {
        let mut native = NativeProducer::new(waking(properties)?)?;
        let topic = native.add_topic(topic)?;
        Ok(Producer {
            native,
            topic,
            values,
        })
    }

    /// Hands a value over for partition 0; false while the queue is full.
    pub fn produce(&mut self, number: usize) -> Result<bool, Failure> {
        let value = self.values.share(number);
        match self.native.send(self.topic, 0, 0..0, value, number as u64) {
            Ok(()) => Ok(true),
            Err((_, SendError::QueueFull)) => Ok(false),
            Err((_, error @ (SendError::TooLarge | SendError::State(_)))) => Err(error.into()),
        }
    }

    /// Takes the reports that are there, if there are any: whether there were.
    pub fn poll(&mut self, once: &mut Once, mut on: impl FnMut(usize)) -> bool {
        if !self.native.has_news() {
            return false;
        }
        let events = self.native.poll(REPORTS_MAX, &mut |event| match event {
            ProducerEvent::Delivered { token, .. } => {
                once.delivered(token as usize);
                on(token as usize);
            }
            ProducerEvent::Failed { token, error, .. } => {
                once.fail(format!("record {token}: {error}"));
            }
            ProducerEvent::Error(error) => once.fail(error.to_string()),
        });
        events > 0
    }
}

/// A consumer of one partition.
pub struct Consumer {
    native: NativeConsumer,
    part: TopicPartition,
}

impl Consumer {
    pub fn new(properties: &[Property], topic: &str) -> Result<Consumer, Failure> {
        let mut native = NativeConsumer::new(waking(properties)?)?;
        let topic = native.add_topic(topic)?;
        let part = TopicPartition {
            topic,
            partition: 0,
        };
        Ok(Consumer { native, part })
    }

    /// Reads the partition from its start.
    pub fn start(&mut self) -> Result<(), Failure> {
        Ok(self.native.assign(&[(self.part, Offset::ZERO)])?)
    }

    /// Reads nothing any more.
    pub fn stop(&mut self) -> Result<(), Failure> {
        Ok(self.native.assign(&[])?)
    }

    /// Takes what is there, or parks until something may be. `on` gets offsets and values.
    pub fn poll(
        &mut self,
        active: &mut Nanos,
        mut on: impl FnMut(i64, &[u8]),
    ) -> Result<(), Failure> {
        let mut problem = None;
        let mut count = 0;
        if self.native.has_news() {
            count = self.native.poll(POLL_RECORDS, &mut |event| match event {
                ConsumerEvent::Message(message) => on(message.offset().0, message.value()),
                ConsumerEvent::Error(error) | ConsumerEvent::Partition(_, error) => {
                    problem = Some(error);
                }
                ConsumerEvent::End(..)
                | ConsumerEvent::Assigned(_)
                | ConsumerEvent::Revoked(_)
                | ConsumerEvent::Lost(_)
                | ConsumerEvent::Committed { .. } => {}
            });
        }
        if let Some(problem) = problem {
            return Err(problem.into());
        }
        if count == 0 {
            let now = clock::monotonic();
            Idle::Adaptive.rest(*active, now, None);
        } else {
            *active = clock::monotonic();
        }
        Ok(())
    }
}
