//! AddPartitionsToTxn, AddOffsetsToTxn and TxnOffsetCommit: what a transaction writes to.
//!
//! Owns: the requests' checks. Never does: keep offsets (the groups do). Runs on: the core that owns
//! stripe 0.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::{
    AddOffsetsToTxnRequest, AddPartitionsToTxnRequest, TopicName, TxnOffsetCommitRequest,
};

use super::answer::{self, Api, Asker, Verdict};
use super::coordinator::{Storage, Transactions};
use super::initialize::{NAME_BYTES_MAX, transactional_id};
use super::metadata::{Metadata, Partition, Producer, State};
use super::slot::Slot;
use crate::broker::coordinator::group::Groups;
use crate::broker::coordinator::{Call, Effect, Topics};
use crate::broker::view::TopicKind;
use crate::clock::Now;
use crate::ids::PartitionIndex;

/// What is to be part of a transaction.
#[derive(Debug)]
pub struct Add {
    id: Arc<str>,
    producer: Producer,
    partitions: BTreeSet<Partition>,
    group: Option<String>,
}

/// What to do with a request that adds.
enum Course {
    /// It is part of the transaction already.
    Done,
    /// To be stored.
    Store(Metadata),
    /// To be heard again when no change is under way.
    Park,
}

fn place(topics: &dyn Topics, name: &str, partition: i32) -> Result<Partition, ResponseError> {
    let unknown = ResponseError::UnknownTopicOrPartition;
    let (topic, partitions) = topics.topic(name).ok_or(unknown)?;
    let index = u32::try_from(partition).map_err(|_| unknown)?;
    if index >= partitions {
        return Err(unknown);
    }
    match topics.find(topic).ok_or(unknown)?.kind {
        TopicKind::Plain => Ok((topic, PartitionIndex(index))),
        // The one is the engine's own; what is written to the other leaves it at once, and no abort
        // could bring it back.
        TopicKind::Shard | TopicKind::Inlet => Err(ResponseError::PolicyViolation),
    }
}

/// The partitions that were named, or the code of each: one that cannot be added keeps out all.
fn places(
    topics: &dyn Topics,
    named: &[(TopicName, Vec<i32>)],
) -> Result<BTreeSet<Partition>, BTreeMap<(TopicName, i32), ResponseError>> {
    let mut places = BTreeSet::new();
    let mut errors = BTreeMap::new();
    for (name, partitions) in named {
        for partition in partitions {
            match place(topics, name, *partition) {
                Ok(place) => {
                    places.insert(place);
                }
                Err(error) => {
                    errors.insert((name.clone(), *partition), error);
                }
            }
        }
    }
    if errors.is_empty() {
        return Ok(places);
    }
    Err(errors)
}

/// The fact, if this is its living producer.
pub fn check_producer<R>(
    slot: Option<&Slot<R>>,
    producer: Producer,
) -> Result<(&Slot<R>, &Metadata), ResponseError> {
    let found = slot.and_then(|slot| Some((slot, slot.fact.as_ref()?)));
    let (slot, fact) = found.ok_or(ResponseError::InvalidProducerIdMapping)?;
    if fact.producer.id != producer.id {
        return Err(ResponseError::InvalidProducerIdMapping);
    }
    if fact.producer.epoch != producer.epoch {
        return Err(ResponseError::ProducerFenced);
    }
    Ok((slot, fact))
}

/// Whether a change is under way after which the transaction is not open.
fn is_ending<R>(slot: &Slot<R>) -> bool {
    let goes_on = |fact: &Metadata| fact.state == State::Ongoing;
    matches!(&slot.change, Some(change) if !change.next.as_ref().is_some_and(goes_on))
}

impl<R: Copy> Transactions<R> {
    /// Whether a batch of this producer may be appended to this partition now: its transaction is open,
    /// and the partition durably part of it (KIP-890). Whatever is let in by this must reach the
    /// partition before the markers that are asked for later.
    ///
    /// # Errors
    /// INVALID_PRODUCER_ID_MAPPING or PRODUCER_FENCED, if it is not the living producer; else
    /// INVALID_TXN_STATE.
    pub fn may_write(
        &self,
        id: &str,
        producer: Producer,
        partition: Partition,
    ) -> Result<(), ResponseError> {
        let (slot, fact) = check_producer(self.slots.get(id), producer)?;
        let is_part = fact.state == State::Ongoing && fact.partitions.contains(&partition);
        match is_part && !is_ending(slot) {
            true => Ok(()),
            false => Err(ResponseError::InvalidTxnState),
        }
    }

    pub(super) fn add_partitions(
        &mut self,
        call: &Call<'_, R>,
        request: AddPartitionsToTxnRequest,
        effects: &mut Vec<Effect<R>>,
    ) {
        let named: Vec<(TopicName, Vec<i32>)> = request
            .v3_and_below_topics
            .into_iter()
            .map(|topic| (topic.name, topic.partitions))
            .collect();
        let partitions = match places(call.topics, &named) {
            Ok(partitions) => partitions,
            Err(errors) => {
                let others = ResponseError::OperationNotAttempted;
                let response = answer::partitions(named, |name, partition| {
                    let key = (name.clone(), partition);
                    errors.get(&key).unwrap_or(&others).code()
                });
                return effects.push(Effect::Answer {
                    to: call.to,
                    response: Box::new(response),
                });
            }
        };
        let asker = Asker {
            to: call.to,
            version: call.version,
            api: Api::AddPartitionsToTxn(named),
        };
        match transactional_id(&request.v3_and_below_transactional_id) {
            Err(error) => effects.push(asker.answer(Verdict::Error(error))),
            Ok(id) => {
                let producer = Producer {
                    id: request.v3_and_below_producer_id.0,
                    epoch: request.v3_and_below_producer_epoch,
                };
                let add = Add {
                    id,
                    producer,
                    partitions,
                    group: None,
                };
                self.add(asker, add, call.now, effects);
            }
        }
    }

    pub(super) fn add_offsets(
        &mut self,
        call: &Call<'_, R>,
        request: AddOffsetsToTxnRequest,
        effects: &mut Vec<Effect<R>>,
    ) {
        let asker = Asker {
            to: call.to,
            version: call.version,
            api: Api::AddOffsetsToTxn,
        };
        let group = request.group_id.to_string();
        let id = transactional_id(&request.transactional_id).and_then(|id| {
            if group.is_empty() || group.len() > NAME_BYTES_MAX {
                return Err(ResponseError::InvalidGroupId);
            }
            Ok(id)
        });
        match id {
            Err(error) => effects.push(asker.answer(Verdict::Error(error))),
            Ok(id) => {
                let producer = Producer {
                    id: request.producer_id.0,
                    epoch: request.producer_epoch,
                };
                let add = Add {
                    id,
                    producer,
                    partitions: BTreeSet::new(),
                    group: Some(group),
                };
                self.add(asker, add, call.now, effects);
            }
        }
    }

    /// Makes it part of the transaction, which begins with the first.
    pub(super) fn add(
        &mut self,
        asker: Asker<R>,
        add: Add,
        now: Now,
        effects: &mut Vec<Effect<R>>,
    ) {
        match self.course(&add, now) {
            Err(error) => effects.push(asker.answer(Verdict::Error(error))),
            Ok(Course::Done) => effects.push(asker.answer(Verdict::Done)),
            Ok(Course::Store(next)) => {
                let answer = (asker, Verdict::Done);
                self.change(&add.id, Some(next), Some(answer), Vec::new(), effects);
            }
            Ok(Course::Park) => {
                let id = Arc::clone(&add.id);
                self.slots.of(&id).parked = Some((asker, add));
            }
        }
    }

    fn course(&self, add: &Add, now: Now) -> Result<Course, ResponseError> {
        if self.storage == Storage::Poisoned {
            return Err(ResponseError::CoordinatorNotAvailable);
        }
        let (slot, fact) = check_producer(self.slots.get(&add.id), add.producer)?;
        if slot.is_busy() {
            // One may wait: a producer asks one thing at a time.
            if slot.parked.is_none() && slot.is_moving() {
                return Ok(Course::Park);
            }
            return Err(ResponseError::ConcurrentTransactions);
        }
        if fact.has(&add.partitions, add.group.as_deref()) {
            return Ok(Course::Done);
        }
        let next = fact.with(&add.partitions, add.group.as_deref(), now.millis());
        if next.content_bytes() > self.options.content_bytes_max {
            return Err(ResponseError::PolicyViolation);
        }
        Ok(Course::Store(next))
    }

    pub(super) fn txn_offset_commit(
        &mut self,
        call: &Call<'_, R>,
        request: TxnOffsetCommitRequest,
        groups: &mut Groups<R>,
        effects: &mut Vec<Effect<R>>,
    ) {
        match self.check_offsets(&request) {
            Ok(()) => groups.txn_offset_commit(call, request, effects),
            Err(error) => effects.push(Effect::Answer {
                to: call.to,
                response: Box::new(answer::offsets_refused(request, error)),
            }),
        }
    }

    /// Offsets may come while the transaction is open and nothing that ends it is under way. Stores
    /// become durable in order, so those of offsets that were let in here are before the end's.
    fn check_offsets(&self, request: &TxnOffsetCommitRequest) -> Result<(), ResponseError> {
        let id = transactional_id(&request.transactional_id)?;
        if self.storage == Storage::Poisoned {
            return Err(ResponseError::CoordinatorNotAvailable);
        }
        let producer = Producer {
            id: request.producer_id.0,
            epoch: request.producer_epoch,
        };
        let (slot, fact) = check_producer(self.slots.get(&id), producer)?;
        if fact.state.deciding().is_some() || is_ending(slot) {
            return Err(ResponseError::ConcurrentTransactions);
        }
        if !fact.has(&BTreeSet::new(), Some(&request.group_id)) {
            return Err(ResponseError::InvalidTxnState);
        }
        Ok(())
    }
}
