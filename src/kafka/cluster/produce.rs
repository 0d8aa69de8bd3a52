//! Offers to librdkafka, and its delivery reports back as news.

use super::breaker::Step;
use super::{Cluster, Failover};
use crate::clock::Now;
use crate::ids::{Acks, Nanos, Offset};
use crate::kafka::helper::Job;
use crate::kafka::native::{KafkaError, Persisted, ProducerEvent, SendError};
use crate::storage::{Ack, Offer, Refusal, StorageEvent};
use crate::telemetry::{TRACE_HEADER, Traceparent};

/// Reports taken from librdkafka in one cycle.
const REPORTS_MAX: usize = 4096;

/// Marks the tokens of outputs (`at_least_once`), which share the producer with offers.
const OUTPUT: u64 = 1 << 63;

/// What is kept of an offer beside its value, which the producer keeps.
#[derive(Debug, Clone)]
pub(super) struct Meta {
    part: u32,
    key_start: u32,
    key_len: u32,
    taken: Nanos,
    seat: u32,
    trace: Option<Box<Traceparent>>,
}

/// The token of an output of the open commit `number` of a partition.
pub(super) fn output_token(part: u32, number: u32) -> u64 {
    OUTPUT | u64::from(part & 0x7fff_ffff) << 32 | u64::from(number)
}

impl Cluster {
    /// As [`crate::storage::Producer::offer`]; `part` is the offer's partition.
    #[allow(clippy::result_large_err)] // The offer is moved back, not boxed: no allocation here.
    pub fn offer(&mut self, part: u32, offer: Offer) -> Result<(), (Offer, Refusal)> {
        if self.failure.is_some() {
            return Err((offer, Refusal::Poisoned));
        }
        if !self.is_available() {
            return Err((offer, Refusal::Unavailable));
        }
        if self.outstanding >= self.outstanding_max {
            return Err((offer, Refusal::Full));
        }
        let to = self.part(part);
        let (topic, index) = (to.topic, to.index);
        let start = offer.key_start as usize;
        let key = start..start + offer.key_len as usize;
        let token = u64::from(offer.token);
        let meta = Meta {
            part,
            key_start: offer.key_start,
            key_len: offer.key_len,
            taken: offer.taken,
            seat: offer.seat,
            trace: None,
        };
        let sent = match &offer.trace {
            None => self.producer.send(topic, index, key, offer.value, token),
            Some(trace) => {
                let header = std::iter::once((TRACE_HEADER, trace.as_bytes()));
                self.producer
                    .send_with_headers(topic, index, key, offer.value, header, token)
            }
        };
        match sent {
            Ok(()) => {
                let place = offer.token as usize;
                if self.metas.len() <= place {
                    self.metas.resize(place + 1, None);
                }
                self.metas[place] = Some(Meta {
                    trace: offer.trace,
                    ..meta
                });
                self.outstanding += 1;
                Ok(())
            }
            Err((value, error)) => {
                let refusal = match error {
                    SendError::QueueFull => Refusal::Full,
                    SendError::TooLarge => Refusal::TooLarge,
                    SendError::State(error) => {
                        let name = self.consumer.topic_name(topic);
                        self.fail(format!("writing to topic {name}: {error}"));
                        Refusal::Poisoned
                    }
                };
                Err((Offer { value, ..offer }, refusal))
            }
        }
    }

    /// Whether the cluster counts as reachable.
    #[inline]
    pub fn is_reachable(&self) -> bool {
        self.breaker.is_reachable()
    }

    /// Whether offers are taken rather than sent to another shard.
    #[inline]
    pub fn is_available(&self) -> bool {
        self.breaker.is_reachable() || self.failover == Failover::Wait
    }

    pub(super) fn poll_producer(&mut self, now: Now, on: &mut impl FnMut(StorageEvent)) -> usize {
        if !self.producer.has_news() {
            return 0;
        }
        // Taken out for the time of the poll, since its reports change everything else.
        let mut events = std::mem::take(&mut self.reports);
        let work = self
            .producer
            .poll(REPORTS_MAX, &mut |event| events.push(event));
        for event in events.drain(..) {
            self.on_report(event, now, on);
        }
        self.reports = events;
        // One line for a poll: a cluster that goes away fails thousands of records at once.
        if let Some((count, error)) = self.unacknowledged.take() {
            tracing::warn!(cluster = self.name, count, %error, "records were not acknowledged");
        }
        work
    }

    pub(super) fn note_unacknowledged(&mut self, error: KafkaError) {
        self.unacknowledged.get_or_insert((0, error)).0 += 1;
    }

    fn on_report(&mut self, event: ProducerEvent, now: Now, on: &mut impl FnMut(StorageEvent)) {
        match event {
            ProducerEvent::Delivered {
                token,
                offset,
                timestamp,
            } => {
                self.breaker.answered(now.mono);
                if token & OUTPUT != 0 {
                    return self.on_output(token, Ok(()));
                }
                let (token, meta) = self.take_meta(token);
                if self.acks == Acks::None {
                    return on(StorageEvent::Sent { token });
                }
                if offset < Offset::ZERO {
                    // A repeated batch that its broker recognised, but no longer knew the place of.
                    // Whoever took this number for the place would take the record itself for a
                    // duplicate. Processing will meet it; its submitter may ask again.
                    return on(StorageEvent::Failed { token });
                }
                let part = self.part_mut(meta.part);
                part.end = part.end.max(offset.plus(1));
                part.note_taken(offset, meta.taken);
                let ack = Ack {
                    token,
                    offset,
                    timestamp,
                };
                on(StorageEvent::Appended(ack));
                on(StorageEvent::Durable(ack));
            }
            ProducerEvent::Failed {
                token,
                error,
                persisted,
                value,
            } => {
                if token & OUTPUT != 0 {
                    return self.on_output(token, Err(error));
                }
                let (token, meta) = self.take_meta(token);
                if error.is_unknown_topic() {
                    let name = self.consumer.topic_name(self.part(meta.part).topic);
                    self.fail(format!("writing to topic {name}: {error}"));
                }
                match (persisted, value) {
                    (Persisted::No, Some(value)) if self.failover == Failover::NextNearest => {
                        on(StorageEvent::Returned(Offer {
                            partition: self.part(meta.part).id,
                            value,
                            key_start: meta.key_start,
                            key_len: meta.key_len,
                            taken: meta.taken,
                            trace: meta.trace,
                            token,
                            seat: meta.seat,
                        }));
                    }
                    (Persisted::No | Persisted::Maybe, _) => {
                        self.note_unacknowledged(error);
                        on(StorageEvent::Failed { token });
                    }
                }
            }
            ProducerEvent::Error(error) => self.on_client_error(&error),
        }
    }

    fn take_meta(&mut self, token: u64) -> (u32, Meta) {
        // Offers' tokens are 32-bit numbers.
        let token = token as u32;
        let meta = self.metas[token as usize].take();
        self.outstanding -= 1;
        (token, meta.expect("reported once, as it was offered once"))
    }

    pub(super) fn tend_breaker(&mut self, now: Now) {
        let under_way = self.outstanding + self.outputs_outstanding;
        if under_way > 0 && !self.was_sending {
            self.breaker.first_sent(now.mono);
        }
        self.was_sending = under_way > 0;
        match self.breaker.step(now.mono, under_way) {
            Step::Rest => {}
            Step::Opened => {
                self.counts.unreachable += 1;
                tracing::warn!(
                    cluster = self.name,
                    under_way,
                    "the cluster acknowledges nothing: it counts as unreachable"
                );
            }
            Step::Probe if self.is_probing => {}
            Step::Probe => {
                self.is_probing = true;
                self.helper.ask(Job::Probe);
            }
        }
    }
}
