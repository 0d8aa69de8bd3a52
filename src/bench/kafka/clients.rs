//! The clients of a load: what they are made with, and who reads what.
//!
//! Owns: the making of them. Never does: poll. Runs on: the threads that will poll them.

use std::sync::mpsc::Sender as Outbox;

use super::account::Seat;
use super::mark::{MARK_BYTES, PRODUCERS_MAX};
use super::receiver::Inlet;
use super::rest::waking;
use super::sender::Outlet;
use super::{KafkaOptions, Place};
use crate::bench::error::BenchError;
use crate::bench::punctual::Punctual;
use crate::bench::target::{TargetFacts, TargetKind};
use crate::ids::Offset;
use crate::kafka::native::{KafkaError, NativeConsumer, NativeProducer, TopicPartition};
use crate::kafka::properties::{Property, masked};

/// Each has threads of its own.
const CLIENTS_MAX: u64 = 10_000;

/// Whether a load can be made of this at all.
///
/// # Errors
/// Values are too short for a mark, or there are too many clients or none.
pub fn check(options: &KafkaOptions) -> Result<(), BenchError> {
    let traffic = &options.traffic;
    let bytes = traffic.values.bytes_max();
    let refused = |option, found: String, allowed: String| {
        Err(BenchError::Option {
            option,
            found,
            allowed,
        })
    };
    if bytes < MARK_BYTES {
        let allowed =
            format!("a record carries its number and time, which take {MARK_BYTES} bytes");
        return refused("size", bytes.to_string(), allowed);
    }
    let producers = u64::from(traffic.topics) * u64::from(traffic.producers);
    let consumers =
        u64::from(traffic.topics) * u64::from(traffic.subscriptions) * u64::from(traffic.consumers);
    let clients = producers.saturating_add(consumers);
    if producers == 0 || traffic.partitions == 0 || clients > CLIENTS_MAX.min(PRODUCERS_MAX) {
        let allowed = format!("1 to {CLIENTS_MAX} producers and consumers on 1 or more partitions");
        return refused("producers", clients.to_string(), allowed);
    }
    Ok(())
}

/// What clients are made with.
pub struct Clients {
    /// Properties of each producer.
    pub producer: Vec<Property>,
    /// Properties of each consumer.
    pub consumer: Vec<Property>,
    /// The topics.
    pub topics: Vec<String>,
    /// What the target is.
    pub options: KafkaOptions,
}

impl Clients {
    /// A producer, made on the thread that will poll it.
    ///
    /// # Errors
    /// librdkafka refuses the properties.
    pub fn outlet(&self, number: usize) -> Result<Outlet, KafkaError> {
        let mut native = NativeProducer::new(waking(&self.producer)?)?;
        let topic = number / self.options.traffic.producers as usize;
        let topic = native.add_topic(&self.topics[topic])?;
        Ok(Outlet {
            native,
            topic,
            producer: number as u32,
            next: 0,
        })
    }

    /// A consumer, made on the thread that will poll it.
    ///
    /// # Errors
    /// librdkafka refuses the properties.
    pub fn inlet(&self, number: usize, seat: Seat) -> Result<Inlet, KafkaError> {
        let mut native = NativeConsumer::new(waking(&self.consumer)?)?;
        let topic = native.add_topic(&self.topics[seat.topic as usize])?;
        let traffic = &self.options.traffic;
        let own = (seat.consumer..traffic.partitions).step_by(traffic.consumers as usize);
        let part = |partition: u32| TopicPartition {
            topic,
            partition: partition as i32,
        };
        let parts: Vec<_> = own.map(|it| (part(it), Offset::ZERO)).collect();
        native.assign(&parts)?;
        Ok(Inlet {
            native,
            number,
            seat,
        })
    }
}

/// Says whether the clients of a thread are there; gives them back if so. The thread is punctual from
/// here on, which threads of its clients are not: they were started before.
pub fn hand_over<C>(
    clients: Result<Vec<C>, KafkaError>,
    ready: &Outbox<Result<(), KafkaError>>,
) -> Option<(Vec<C>, Punctual)> {
    let punctual = Punctual::start();
    match clients {
        Ok(clients) => ready.send(Ok(())).ok().map(|()| (clients, punctual)),
        Err(error) => {
            // Nobody listens any more once another thread has failed.
            let _ = ready.send(Err(error));
            None
        }
    }
}

/// The places of all consumers; those that would have no partition are left out.
pub fn seats(options: &KafkaOptions) -> Vec<Seat> {
    let traffic = &options.traffic;
    let mut seats = Vec::new();
    for topic in 0..traffic.topics {
        for subscription in 0..traffic.subscriptions {
            for consumer in 0..traffic.consumers.min(traffic.partitions) {
                seats.push(Seat {
                    topic,
                    subscription,
                    consumer,
                });
            }
        }
    }
    seats
}

impl Clients {
    /// What a report shows of the target.
    pub fn facts(&self, durability: String) -> TargetFacts {
        let name = match &self.options.place {
            Place::Node { .. } | Place::Running(_) => TargetKind::Listener,
            Place::Configured { .. } | Place::Brokers(_) => TargetKind::Cluster,
        };
        let mut settings = Vec::new();
        for (side, list) in [("producer", &self.producer), ("consumer", &self.consumer)] {
            let mut last: Vec<Property> = Vec::new();
            for (name, value) in masked(list) {
                last.retain(|(known, _)| *known != name);
                last.push((name, value));
            }
            let named = last.into_iter();
            settings.extend(named.map(|(name, value)| (format!("{side} {name}"), value)));
        }
        settings.push((
            "assignment".to_owned(),
            "partitions are dealt out, no group; no position is committed".to_owned(),
        ));
        TargetFacts {
            name: name.name().to_owned(),
            durability,
            versions: vec![format!("librdkafka {}", crate::kafka::library_version())],
            settings,
        }
    }
}
