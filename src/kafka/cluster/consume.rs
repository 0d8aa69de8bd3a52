//! What the consumer brings: messages to their partitions, and what it says about them.

use super::Cluster;
use super::end::Stop;
use super::part::{Part, Phase};
use crate::clock::Now;
use crate::kafka::native::{ConsumerEvent, KafkaError, TopicPartition};
use crate::storage::{ReadOutcome, Record, Visit};

/// A member of a group must poll now and then also when there is no news, or it counts as dead.
const POLL_INTERVAL_NS: u64 = 1_000_000_000;

/// Time between two looks at how far the consumer has come.
const ENDS_INTERVAL_NS: u64 = 100_000_000;

/// Outputs of `at_least_once` under way, beyond which nothing more is processed.
const OUTPUTS_OUTSTANDING_MAX: usize = 64 << 10;

impl Cluster {
    pub(super) fn poll_consumer(&mut self, now: Now) -> usize {
        let is_due = now.mono.since(self.polled_at) > POLL_INTERVAL_NS;
        if !self.consumer.has_news() && !is_due {
            return 0;
        }
        // Beyond the bound messages stay with librdkafka, whose own bound then stops the fetching.
        if self.read_ahead >= self.read_ahead_max {
            return 0;
        }
        self.polled_at = now.mono;
        // Taken out for the time of the poll, since its events change everything else.
        let mut events = std::mem::take(&mut self.arrivals);
        let mut keep = |event| events.push(event);
        let work = self.consumer.poll(self.poll_records_max, &mut keep);
        for event in events.drain(..) {
            self.on_consumer_event(event, now);
        }
        self.arrivals = events;
        work
    }

    fn on_consumer_event(&mut self, event: ConsumerEvent, now: Now) {
        match event {
            ConsumerEvent::Message(message) => {
                let Some(part) = self.number_of(message.part()) else {
                    return;
                };
                self.read_ahead += self.part_mut(part).take(message, now.mono);
                self.requeue(part);
            }
            // Not asked for: see the event.
            ConsumerEvent::End(..) => {}
            ConsumerEvent::Partition(place, error) => self.on_partition_error(place, &error),
            ConsumerEvent::Error(error) => self.on_client_error(&error),
            ConsumerEvent::Assigned(places) => {
                self.counts.rebalances += 1;
                self.on_assigned(&places);
            }
            ConsumerEvent::Revoked(places) => {
                self.counts.rebalances += 1;
                self.on_revoked(&places);
            }
            ConsumerEvent::Lost(places) => {
                self.counts.rebalances += 1;
                self.on_lost(&places);
            }
            ConsumerEvent::Committed { result: Ok(()), .. } => {}
            ConsumerEvent::Committed {
                result: Err(error),
                parts,
            } => {
                tracing::warn!(cluster = self.name, %error, "positions were not committed");
                // Said again with the next commit.
                for (place, _) in parts {
                    if let Some(part) = self.number_of(place) {
                        self.part_mut(part).reported = crate::ids::Offset(-1);
                    }
                }
            }
        }
    }

    pub(super) fn number_of(&self, place: TopicPartition) -> Option<u32> {
        self.by_place.get(&place).copied()
    }

    fn on_partition_error(&mut self, place: TopicPartition, error: &KafkaError) {
        let topic = self.consumer.topic_name(place.topic);
        let partition = place.partition;
        let number = self.number_of(place);
        let is_open = number.is_some_and(|part| self.part(part).phase == Phase::Open);
        // Of a partition that was just given away librdkafka still reports a fetch from nowhere.
        if error.is_unknown_topic() || (error.is_out_of_range() && is_open) {
            self.fail(format!("partition {partition} of topic {topic}: {error}"));
        } else {
            tracing::warn!(cluster = self.name, topic, partition, %error, "reading failed for now");
        }
    }

    /// Errors of a whole client. librdkafka mends its connections by itself, so only what it calls
    /// fatal ends anything.
    pub(super) fn on_client_error(&mut self, error: &KafkaError) {
        let fatal = [self.producer.fatal_error(), self.consumer.fatal_error()];
        if let Some(error) = fatal.into_iter().flatten().next() {
            self.fail(match error.is_fenced() {
                true => format!("another instance of this node has taken over: {error}"),
                false => error.to_string(),
            });
        } else if error.is_unknown_topic() && self.names_a_topic_read(error) {
            self.fail(error.to_string());
        } else {
            tracing::warn!(cluster = self.name, %error, "the cluster's client reports an error");
        }
    }

    /// Whether an error is about a topic that was there when reading began. Of one that has just
    /// been made, a broker may not know yet. librdkafka tells the topic in the text only.
    fn names_a_topic_read(&self, error: &KafkaError) -> bool {
        let mut read = self.parts.iter().filter(|part| part.is_read);
        read.any(|part| error.text.contains(self.consumer.topic_name(part.topic)))
    }

    /// Looks now and then whether what is left of partitions that seem to have more is nothing but
    /// control records.
    pub(super) fn tend_ends(&mut self, now: Now) {
        if now.mono < self.ends_at {
            return;
        }
        self.ends_at = now.mono.after(ENDS_INTERVAL_NS);
        let waits = |part: &&Part| part.waits_for_more();
        let places: Vec<_> = self.parts.iter().filter(waits).map(Part::place).collect();
        if places.is_empty() {
            return;
        }
        let positions = self.consumer.positions(&places);
        for (place, position) in places.into_iter().zip(positions) {
            if let Some(part) = self.number_of(place) {
                self.part_mut(part).met_end = position;
            }
        }
    }

    /// As [`crate::storage::Consumer::next_ready`].
    pub fn next_ready(&mut self) -> Option<u32> {
        let can_write = match &self.transaction {
            Some(transaction) => transaction.is_writable(),
            None => {
                self.breaker.is_reachable() && self.outputs_outstanding < OUTPUTS_OUTSTANDING_MAX
            }
        };
        if !can_write || self.stop != Stop::No {
            return None;
        }
        let part = self.ready.pop_front()?;
        self.part_mut(part).queued = false;
        Some(part)
    }

    /// As [`crate::storage::Consumer::requeue`].
    pub fn requeue(&mut self, part: u32) {
        let entry = self.part_mut(part);
        if entry.is_ready() && !entry.queued {
            entry.queued = true;
            self.ready.push_back(part);
        }
    }

    /// As [`crate::storage::Consumer::read`].
    pub fn read(&mut self, part: u32, visit: &mut impl FnMut(Record<'_>) -> Visit) -> ReadOutcome {
        let part = self.part_mut(part);
        // It may have been given away since it was queued.
        if part.phase != Phase::Open {
            return ReadOutcome::Empty;
        }
        match part.read(visit) {
            Some(next) => ReadOutcome::Records(next),
            None => ReadOutcome::Empty,
        }
    }
}
