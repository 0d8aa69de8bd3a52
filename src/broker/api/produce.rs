//! Produce: each partition's batch goes to its owner; the answer leaves when all are where the client
//! wants them.
//!
//! Owns: a request's answer while it is incomplete. Never does: looking into a batch; the owner's log
//! checks it, the inlet reads it. Runs on: the connection's core, per request.

use std::sync::Arc;

use bytes::Bytes;
use kafka_protocol::error::ResponseError;

use crate::ids::{Acks, PartitionIndex};
use crate::log::disk::Disk;
use crate::wire::produce::{ProduceResponse, ProduceView, Produced};

use super::super::core::{Around, Broker};
use super::super::desk::Answer;
use super::super::message::{Appended, PartAsk, PartDone, PartOp, Ticket};
use super::super::underway::{Client, Work};
use super::super::verify::{Claim, author};
use super::super::versions;
use super::super::view::{Home, TopicKind, TopicView};

/// A request under way.
#[derive(Debug)]
pub(in crate::broker) struct Produce {
    frame: Bytes,
    body: usize,
    acks: Acks,
    /// By partition, in the request's order.
    results: Vec<Appended>,
    left: usize,
}

impl Produce {
    /// Enters what became of a part. Returns how many are missing.
    pub fn part(&mut self, index: u32, done: &PartDone) -> usize {
        self.results[index as usize] = match done {
            PartDone::Appended(appended) => *appended,
            PartDone::Offset(_)
            | PartDone::Producers(_)
            | PartDone::Size(_)
            | PartDone::Gone(_) => Appended::refused(done.error()),
        };
        self.left -= 1;
        self.left
    }
}

/// Where a partition's batch goes.
enum Way {
    Owner(Home, Bytes),
    /// To the owner, if it is part of this transaction.
    Verified(Home, Bytes, Claim),
    Inlet(Bytes),
}

impl Broker {
    /// Takes a Produce request.
    pub(in crate::broker) fn produce<D: Disk>(
        &mut self,
        client: Client,
        frame: Bytes,
        body: usize,
        around: &mut Around<'_, D>,
    ) {
        let Ok(view) = ProduceView::parse(&frame, body, client.version) else {
            return self.answer(&client, Answer::HangUp);
        };
        let acks = match view.acks {
            0 => Ok(Acks::None),
            1 => Ok(Acks::Leader),
            -1 => Ok(Acks::All),
            _ => Err(ResponseError::InvalidRequiredAcks),
        };
        // Old batches have another format, which is neither stored nor read.
        let known =
            versions::find(client.key).is_some_and(|api| client.version >= api.decoded_from);
        let whole = match known {
            true => acks.err(),
            false => Some(ResponseError::UnsupportedVersion),
        };
        let transactional_id = view.transactional_id.map(Arc::from);
        let mut results = Vec::new();
        let mut ways = Vec::new();
        for topic in view.topics() {
            let found = self.view.topic(topic.name).map(|found| &**found);
            for partition in topic.partitions {
                let records = partition.records.map(|range| frame.slice(range));
                let way = match whole {
                    Some(error) => Err(error),
                    None => way(found, partition.index, records, &transactional_id),
                };
                let index = results.len() as u32;
                match way {
                    Err(error) => results.push(Appended::refused(error.code())),
                    Ok(way) => {
                        ways.push((index, way));
                        results.push(Appended::refused(0));
                    }
                }
            }
        }
        let acks = acks.unwrap_or_default();
        let work = Produce {
            frame: frame.clone(),
            body,
            acks,
            results,
            left: ways.len(),
        };
        let ticket = self.underway.insert(Work::Produce(client, work));
        if ways.is_empty() {
            return self.finish_produce(ticket);
        }
        self.send(ticket, acks, ways, around);
    }

    /// Sends each partition's batch on its way.
    fn send<D: Disk>(
        &mut self,
        ticket: Ticket,
        acks: Acks,
        ways: Vec<(u32, Way)>,
        around: &mut Around<'_, D>,
    ) {
        for (index, way) in ways {
            match way {
                Way::Owner(home, batch) => {
                    let what = (home.id, PartOp::Append { batch, acks });
                    self.ask_part(home.owner, (ticket, index), what, around);
                }
                Way::Verified(home, batch, claim) => {
                    let part = PartAsk {
                        asker: self.asker(ticket),
                        index,
                        partition: home.id,
                        op: PartOp::Append { batch, acks },
                    };
                    self.ask_verified(home.owner, claim, part, around);
                }
                Way::Inlet(batch) => self.inlet.take(ticket, index, batch, acks),
            }
        }
    }

    /// Everything that is waited for has come.
    pub(in crate::broker) fn finish_produce(&mut self, ticket: Ticket) {
        let Some(Work::Produce(client, produce)) = self.underway.remove(ticket) else {
            return;
        };
        let failed = produce.results.iter().any(|result| result.error != 0);
        let answer = match (produce.acks, failed) {
            // There is no answer in which to say it: the end of the connection says that it failed.
            (Acks::None, true) => Answer::HangUp,
            (Acks::None, false) => Answer::Silence,
            (Acks::Leader | Acks::All, _) => response(&client, &produce),
        };
        self.answer(&client, answer);
    }
}

/// Where a batch goes, or why it goes nowhere.
fn way(
    topic: Option<&TopicView>,
    index: i32,
    records: Option<Bytes>,
    transactional_id: &Option<Arc<str>>,
) -> Result<Way, ResponseError> {
    let topic = topic.ok_or(ResponseError::UnknownTopicOrPartition)?;
    let home = topic
        .home(index)
        .ok_or(ResponseError::UnknownTopicOrPartition)?;
    let batch = records.unwrap_or_default();
    if batch.len() > topic.limits.message_bytes_max as usize {
        return Err(ResponseError::MessageTooLarge);
    }
    match topic.kind {
        TopicKind::Plain => {
            let Some(author) = author(&batch) else {
                return Ok(Way::Owner(home, batch));
            };
            // Kafka's error where a transaction's batch comes without its id.
            let unnamed = ResponseError::TransactionalIdAuthorizationFailed;
            let claim = Claim {
                transactional_id: transactional_id.clone().ok_or(unnamed)?,
                author,
                // It was found, so it is not negative.
                place: (topic.id, PartitionIndex(index.unsigned_abs())),
            };
            Ok(Way::Verified(home, batch, claim))
        }
        // An id decides its partition, so that duplicates meet: only the engine puts records there.
        TopicKind::Shard => Err(ResponseError::PolicyViolation),
        TopicKind::Inlet => Ok(Way::Inlet(batch)),
    }
}

fn response(client: &Client, produce: &Produce) -> Answer {
    let Ok(view) = ProduceView::parse(&produce.frame, produce.body, client.version) else {
        return Answer::HangUp;
    };
    let mut out = Vec::with_capacity(128);
    let topics = view.topics();
    let mut results = produce.results.iter();
    let mut response = ProduceResponse::begin(
        &mut out,
        client.version,
        client.correlation_id,
        topics.len(),
    );
    for topic in topics {
        response.topic(topic.name, topic.partitions.len());
        for (partition, result) in topic.partitions.zip(&mut results) {
            response.partition(&Produced {
                index: partition.index,
                error: result.error,
                base_offset: result.base_offset,
                log_start_offset: result.log_start,
                message: message(result.error),
            });
        }
    }
    response.finish(0);
    Answer::Frame(vec![out.into()])
}

/// What to tell a person.
fn message(error: i16) -> Option<&'static str> {
    let policy = ResponseError::PolicyViolation.code();
    (error == policy)
        .then_some("only the engine writes to a shard's topic; produce to 'transactions' instead")
}
