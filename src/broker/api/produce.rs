//! Produce: each partition's batch goes to its owner; the answer leaves when all are where the client
//! wants them.
//!
//! Owns: a request's answer while it is incomplete. Never does: looking into a batch; the owner's log
//! checks it, the inlet reads it. Runs on: the connection's core, per request.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use kafka_protocol::error::ResponseError;

use crate::ids::{Acks, PartitionIndex};
use crate::log::disk::Disk;
use crate::log::storage::Mark;
use crate::wire::produce::{ProduceResponse, ProduceView, Produced};

use super::super::core::{Around, Broker};
use super::super::desk::Answer;
use super::super::message::{Appended, FrameEnd, PartAsk, PartDone, PartOp, Ticket};
use super::super::owner::{Append, Took};
use super::super::underway::{Client, Work};
use super::super::verify::{Claim, author};
use super::super::versions;
use super::super::view::{Home, TopicKind, TopicView};

/// A request under way.
#[derive(Debug, Default)]
pub(in crate::broker) struct Produce {
    acks: Acks,
    /// The topics and how many partitions of each, in the request's order.
    topics: Vec<(String, usize)>,
    /// By partition, in the request's order.
    parts: Vec<Part>,
    /// The frames of this core that hold parts of it, as long as it waits for any.
    frames: Vec<Mark>,
    /// What is missing: parts that others answer, and frames.
    left: usize,
}

/// One partition of a request.
#[derive(Clone, Copy, Debug)]
struct Part {
    /// As in the request.
    index: i32,
    appended: Appended,
    /// The frame of this core that it waits for.
    mark: Option<Mark>,
}

impl Produce {
    /// Enters what became of the next partition's batch.
    fn push(&mut self, index: i32, took: &Took) {
        let (appended, mark) = match took {
            Took::Done(appended) => (*appended, None),
            Took::Durable(mark, appended) => {
                // Most often it is the last one.
                if !self.frames.iter().rev().any(|known| known == mark) {
                    self.frames.push(*mark);
                    self.left += 1;
                }
                (*appended, Some(*mark))
            }
            Took::Later => {
                self.left += 1;
                (Appended::refused(0), None)
            }
        };
        self.parts.push(Part {
            index,
            appended,
            mark,
        });
    }

    /// Enters what became of a part that somebody else answers. Returns how much is missing.
    pub fn part(&mut self, index: u32, done: &PartDone) -> usize {
        self.parts[index as usize].appended = match done {
            PartDone::Appended(appended) => *appended,
            PartDone::Offset(_)
            | PartDone::Producers(_)
            | PartDone::Size(_)
            | PartDone::Gone(_) => Appended::refused(done.error()),
        };
        self.left -= 1;
        self.left
    }

    /// Enters what became of a frame. Returns how much is missing.
    fn frame(&mut self, mark: Mark, end: FrameEnd) -> usize {
        match end {
            FrameEnd::Durable => {}
            FrameEnd::Lost => {
                let error = ResponseError::KafkaStorageError.code();
                let lost = |part: &&mut Part| part.mark == Some(mark);
                for part in self.parts.iter_mut().filter(lost) {
                    part.appended = Appended::refused(error);
                }
            }
        }
        self.left -= 1;
        self.left
    }
}

/// Where a partition's batch goes.
enum Way {
    Direct(Direct),
    /// To the owner, if it is part of this transaction.
    Verified(Home, Claim),
}

/// Where it goes without being asked for anything.
enum Direct {
    Owner(Home),
    Inlet,
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
        let acks = acks_wanted(&view, &client);
        let transactional_id = view.transactional_id.map(Arc::from);
        // No part is answered before this turn gives its answers out: until then the request may
        // lack what only the end of the loop knows.
        let ticket = self
            .underway
            .insert(Work::Produce(client, Produce::default()));
        let mut claims = Vec::new();
        let wanted = acks.unwrap_or_default();
        let mut produce = Produce {
            acks: wanted,
            topics: Vec::with_capacity(view.topics().len()),
            ..Produce::default()
        };
        for topic in view.topics() {
            let found = self.view.topic(topic.name).cloned();
            let partitions = topic.partitions.len();
            produce.topics.push((topic.name.to_owned(), partitions));
            produce.parts.reserve(partitions);
            for partition in topic.partitions {
                let records = partition.records.unwrap_or(0..0);
                let part = (ticket, produce.parts.len() as u32);
                let way = acks.and_then(|_| {
                    let batch = &frame[records.clone()];
                    way(found.as_deref(), partition.index, batch, &transactional_id)
                });
                let took = match way {
                    Err(error) => Took::Done(Appended::refused(error.code())),
                    Ok(Way::Direct(way)) => {
                        self.send_batch(way, part, (&frame, records), wanted, around)
                    }
                    Ok(Way::Verified(home, claim)) => {
                        claims.push((part.1, home, claim, frame.slice(records)));
                        Took::Later
                    }
                };
                produce.push(partition.index, &took);
            }
        }
        for mark in &produce.frames {
            self.owner.when_settled(*mark, self.asker(ticket));
        }
        let left = produce.left;
        if let Some(Work::Produce(_, place)) = self.underway.get_mut(ticket) {
            *place = produce;
        }
        if left == 0 {
            self.finish_produce(ticket);
        }
        // Not before: the coordinator may be here, and its refusal is an answer at once.
        self.send_claims(ticket, claims, wanted, around);
    }

    /// Sends batches of transactions on their way, each with its place in the request.
    fn send_claims<D: Disk>(
        &mut self,
        ticket: Ticket,
        claims: Vec<(u32, Home, Claim, Bytes)>,
        acks: Acks,
        around: &mut Around<'_, D>,
    ) {
        for (index, home, claim, batch) in claims {
            let part = PartAsk {
                asker: self.asker(ticket),
                index,
                partition: home.id,
                op: PartOp::Append { batch, acks },
            };
            self.ask_verified(home.owner, claim, part, around);
        }
    }

    /// Sends a batch, a part of a request's frame, where it goes.
    fn send_batch<D: Disk>(
        &mut self,
        way: Direct,
        (ticket, index): (Ticket, u32),
        (frame, records): (&Bytes, Range<usize>),
        acks: Acks,
        around: &mut Around<'_, D>,
    ) -> Took {
        match way {
            Direct::Inlet => {
                self.inlet.take(ticket, index, frame.slice(records), acks);
                Took::Later
            }
            Direct::Owner(home) if home.owner == self.options.core => {
                let asker = self.asker(ticket);
                let append = Append {
                    partition: home.id,
                    frame,
                    rest: (frame.len() - records.end) / usize::from(self.options.cores),
                    records,
                    acks,
                };
                let (now, storage) = (around.now, &mut *around.storage);
                self.owner.append((asker, index), append, now, storage)
            }
            Direct::Owner(home) => {
                let batch = frame.slice(records);
                let what = (home.id, PartOp::Append { batch, acks });
                self.ask_part(home.owner, (ticket, index), what, around);
                Took::Later
            }
        }
    }

    /// A frame is settled that holds parts of a request.
    pub(in crate::broker) fn produce_settled(&mut self, ticket: Ticket, mark: Mark, end: FrameEnd) {
        if let Some(Work::Produce(_, produce)) = self.underway.get_mut(ticket)
            && produce.frame(mark, end) == 0
        {
            self.finish_produce(ticket);
        }
    }

    /// Everything that is waited for has come.
    pub(in crate::broker) fn finish_produce(&mut self, ticket: Ticket) {
        let Some(Work::Produce(client, produce)) = self.underway.remove(ticket) else {
            return;
        };
        let failed = produce.parts.iter().any(|part| part.appended.error != 0);
        let answer = match (produce.acks, failed) {
            // There is no answer in which to say it: the end of the connection says that it failed.
            (Acks::None, true) => Answer::HangUp,
            (Acks::None, false) => Answer::Silence,
            (Acks::Leader | Acks::All, _) => response(&client, &produce),
        };
        self.answer(&client, answer);
    }
}

/// The acknowledgement that is asked for, or why no part of the request is taken.
fn acks_wanted(view: &ProduceView<'_>, client: &Client) -> Result<Acks, ResponseError> {
    // Old batches have another format, which is neither stored nor read.
    let known = versions::find(client.key).is_some_and(|api| client.version >= api.decoded_from);
    if !known {
        return Err(ResponseError::UnsupportedVersion);
    }
    match view.acks {
        0 => Ok(Acks::None),
        1 => Ok(Acks::Leader),
        -1 => Ok(Acks::All),
        _ => Err(ResponseError::InvalidRequiredAcks),
    }
}

/// Where a batch goes, or why it goes nowhere.
fn way(
    topic: Option<&TopicView>,
    index: i32,
    batch: &[u8],
    transactional_id: &Option<Arc<str>>,
) -> Result<Way, ResponseError> {
    let topic = topic.ok_or(ResponseError::UnknownTopicOrPartition)?;
    let home = topic
        .home(index)
        .ok_or(ResponseError::UnknownTopicOrPartition)?;
    if batch.len() > topic.limits.message_bytes_max as usize {
        return Err(ResponseError::MessageTooLarge);
    }
    match topic.kind {
        TopicKind::Plain => {
            let Some(author) = author(batch) else {
                return Ok(Way::Direct(Direct::Owner(home)));
            };
            // Kafka's error where a transaction's batch comes without its id.
            let unnamed = ResponseError::TransactionalIdAuthorizationFailed;
            let claim = Claim {
                transactional_id: transactional_id.clone().ok_or(unnamed)?,
                author,
                // It was found, so it is not negative.
                place: (topic.id, PartitionIndex(index.unsigned_abs())),
            };
            Ok(Way::Verified(home, claim))
        }
        // An id decides its partition, so that duplicates meet: only the engine puts records there.
        TopicKind::Shard => Err(ResponseError::PolicyViolation),
        TopicKind::Inlet => Ok(Way::Direct(Direct::Inlet)),
    }
}

fn response(client: &Client, produce: &Produce) -> Answer {
    /// The most that a partition takes which has no message.
    const PARTITION_BYTES: usize = 36;
    let mut out = Vec::with_capacity(128 + produce.parts.len() * PARTITION_BYTES);
    let mut parts = produce.parts.iter();
    let (version, to) = (client.version, client.correlation_id);
    let mut response = ProduceResponse::begin(&mut out, version, to, produce.topics.len());
    for (name, partitions) in &produce.topics {
        response.topic(name, *partitions);
        for part in parts.by_ref().take(*partitions) {
            response.partition(&Produced {
                index: part.index,
                error: part.appended.error,
                base_offset: part.appended.base_offset,
                log_start_offset: part.appended.log_start,
                message: message(part.appended.error),
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
