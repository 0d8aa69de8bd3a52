//! InitProducerId: who is the living producer from now on.
//!
//! Owns: the request's checks, requests that wait for producer ids. Never does: answer before what is
//! answered is durable. Runs on: the core that owns stripe 0.

use std::sync::Arc;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::InitProducerIdRequest;

use super::answer::{Api, Asker, Verdict};
use super::coordinator::{Storage, Transactions};
use super::metadata::{Initialized, Metadata, NO_EPOCH, NO_ID, Producer};
use crate::broker::coordinator::{Call, Effect, Outcome};
use crate::clock::Now;

/// Longest transactional id or group, in bytes: Kafka's longest string.
pub const NAME_BYTES_MAX: usize = i16::MAX as usize;

/// The request, checked.
#[derive(Debug)]
pub struct Initialize {
    /// The transactional id; `None` asks for a producer id only.
    id: Option<Arc<str>>,
    timeout_ms: i32,
    expected: Option<Producer>,
}

/// A transactional id as requests may name it.
pub fn transactional_id(id: &str) -> Result<Arc<str>, ResponseError> {
    if id.is_empty() || id.len() > NAME_BYTES_MAX {
        return Err(ResponseError::InvalidRequest);
    }
    Ok(id.into())
}

fn check(
    request: &InitProducerIdRequest,
    timeout_max_ms: i32,
) -> Result<Initialize, ResponseError> {
    let producer = Producer {
        id: request.producer_id.0,
        epoch: request.producer_epoch,
    };
    let expected = match (producer.id, producer.epoch) {
        (NO_ID, NO_EPOCH) => None,
        (NO_ID, _) | (_, NO_EPOCH) => return Err(ResponseError::InvalidRequest),
        _ => Some(producer),
    };
    let id = match &request.transactional_id {
        None => None,
        Some(id) => Some(transactional_id(id)?),
    };
    let timeout_ms = request.transaction_timeout_ms;
    if id.is_some() && !(1..=timeout_max_ms).contains(&timeout_ms) {
        return Err(ResponseError::InvalidTransactionTimeout);
    }
    Ok(Initialize {
        id,
        timeout_ms,
        expected,
    })
}

impl<R: Copy> Transactions<R> {
    pub(super) fn init_producer_id(
        &mut self,
        call: &Call<'_, R>,
        request: InitProducerIdRequest,
        effects: &mut Vec<Effect<R>>,
    ) {
        let asker = Asker {
            to: call.to,
            version: call.version,
            api: Api::InitProducerId,
        };
        match check(&request, self.options.timeout_max_ms) {
            Ok(request) => self.initialize(asker, request, call.now, effects),
            Err(error) => effects.push(asker.answer(Verdict::Error(error))),
        }
    }

    fn initialize(
        &mut self,
        asker: Asker<R>,
        request: Initialize,
        now: Now,
        effects: &mut Vec<Effect<R>>,
    ) {
        if self.storage == Storage::Poisoned {
            let error = Verdict::Error(ResponseError::CoordinatorNotAvailable);
            return effects.push(asker.answer(error));
        }
        let Some(id) = &request.id else {
            return match self.ids.take() {
                Some(id) => {
                    let producer = Producer { id, epoch: 0 };
                    effects.push(asker.answer(Verdict::Producer(producer)));
                }
                None => self.wait_for_ids(asker, request, effects),
            };
        };
        let id = Arc::clone(id);
        if self
            .slots
            .get(&id)
            .is_some_and(|slot| slot.change.is_some())
        {
            let error = Verdict::Error(ResponseError::ConcurrentTransactions);
            return effects.push(asker.answer(error));
        }
        let at = now.millis();
        let Initialize {
            timeout_ms,
            expected,
            ..
        } = request;
        let fact = self.slots.fact(&id);
        match fact.map(|fact| fact.initialize(timeout_ms, expected, at)) {
            Some(Err(error)) => effects.push(asker.answer(Verdict::Error(error))),
            Some(Ok(Initialized::Ready(next))) => {
                let answer = (asker, Verdict::Producer(next.producer));
                self.change(&id, Some(next), Some(answer), Vec::new(), effects);
            }
            Some(Ok(Initialized::AbortFirst(next))) => {
                let again = Verdict::Error(ResponseError::ConcurrentTransactions);
                self.change(&id, Some(next), Some((asker, again)), Vec::new(), effects);
            }
            None | Some(Ok(Initialized::NeedsId)) => {
                let Some(producer_id) = self.ids.take() else {
                    return self.wait_for_ids(asker, request, effects);
                };
                let next = match fact {
                    None => Metadata::new(producer_id, timeout_ms, at),
                    Some(fact) => fact.with_new_id(producer_id, timeout_ms, expected, at),
                };
                let answer = (asker, Verdict::Producer(next.producer));
                self.change(&id, Some(next), Some(answer), Vec::new(), effects);
            }
        }
    }

    fn wait_for_ids(&mut self, asker: Asker<R>, request: Initialize, effects: &mut Vec<Effect<R>>) {
        self.waiting.push_back((asker, request));
        if let Some(pair) = self.ids.reserve() {
            self.store_ids(pair, effects);
        }
    }

    /// A block of ids was stored, or not: those who waited for it are heard again, with all checks.
    pub(super) fn ids_stored(&mut self, outcome: Outcome, now: Now, effects: &mut Vec<Effect<R>>) {
        self.ids.stored(outcome);
        for (asker, request) in std::mem::take(&mut self.waiting) {
            match outcome {
                Outcome::Durable => self.initialize(asker, request, now, effects),
                Outcome::Refused | Outcome::Lost => {
                    let error = Verdict::Error(ResponseError::CoordinatorNotAvailable);
                    effects.push(asker.answer(error));
                }
            }
        }
    }
}
