//! A batch's outputs and state changes as records, and the positions that follow them
//! (`at_least_once`; with transactions the positions are part of them).

use super::end::{Cluster, Output};
use super::part::Phase;
use crate::clock::Now;
use crate::ids::Offset;
use crate::kafka::helper::{Job, NamedOffset};
use crate::kafka::native::{KafkaError, NativeProducer, SendError, TopicRef};
use crate::storage::{Commit, CommitRefusal, LaneNews, OutputRecord, Outputs, positive_murmur2};

/// Time between two commits of positions: what is processed again after a crash.
const REPORT_INTERVAL_NS: u64 = 50_000_000;

/// Records of one batch on their way to librdkafka.
pub(super) struct Batch<'a> {
    pub outputs: &'a Outputs,
    /// Where the state changes go: the topic, and the partition's number in it.
    pub state: (TopicRef, i32),
    /// The number of the partition that the batch was read from.
    pub index: i32,
    pub token: u64,
}

impl Batch<'_> {
    /// Records that it has.
    pub fn len(&self) -> usize {
        self.outputs.records().count() + self.outputs.state_changes().count()
    }

    /// Hands every record over, copied: they lie in a buffer that is used again.
    pub fn send(
        &self,
        producer: &mut NativeProducer,
        output: impl Fn(&OutputRecord<'_>) -> Output,
    ) -> Result<(), SendError> {
        for record in self.outputs.records() {
            let to = output(&record);
            let partition = self.partition_of(record.key, to.partitions);
            let key = Some(record.key).filter(|key| !key.is_empty());
            let (value, headers) = (Some(record.value), record.headers());
            producer.send_copied(to.topic, partition, key, value, headers, self.token)?;
        }
        let (topic, index) = self.state;
        for (key, value) in self.outputs.state_changes() {
            // In a compacted topic a record without a value removes its key.
            let value = Some(value).filter(|value| !value.is_empty());
            let headers = std::iter::empty();
            producer.send_copied(topic, index, Some(key), value, headers, self.token)?;
        }
        Ok(())
    }

    /// Kafka's own choice for a key; without one, outputs stay in the partition of their input.
    fn partition_of(&self, key: &[u8], partitions: u32) -> i32 {
        let hash = match key {
            [] => self.index as u32,
            key => positive_murmur2(key),
        };
        // Below the number of partitions, which Kafka counts in an i32.
        (hash % partitions) as i32
    }
}

impl Cluster {
    /// As [`crate::storage::Consumer::commit`].
    pub fn commit(
        &mut self,
        now: Now,
        part: u32,
        next: Offset,
        outputs: &Outputs,
    ) -> Result<Commit, CommitRefusal> {
        if self.failure.is_some() {
            return Err(CommitRefusal::Poisoned);
        }
        if self.transaction.is_some() {
            return self.commit_in_transaction(now, part, next, outputs);
        }
        let number = self.part(part).next_number();
        let batch = self.batch(part, outputs, super::produce::output_token(part, number));
        let count = batch.len();
        let outputs_of = &self.outputs;
        let find = |record: &OutputRecord<'_>| find_output(outputs_of, record);
        let sent = batch.send(&mut self.producer, find);
        // What was handed over before a refusal is sent all the same and repeated with the batch,
        // as after a crash.
        match sent {
            Ok(()) => {}
            Err(SendError::QueueFull) => return Err(CommitRefusal::Full),
            Err(SendError::TooLarge) => return Err(CommitRefusal::TooLarge),
            Err(SendError::State(error)) => {
                let name = self.consumer.topic_name(self.part(part).topic);
                self.fail(format!("writing outputs of topic {name}: {error}"));
                return Err(CommitRefusal::Poisoned);
            }
        }
        self.outputs_outstanding += count;
        let part_of = self.part_mut(part);
        part_of.commit(next, outputs, count as u32);
        self.settle_complete(part);
        self.report_at
            .get_or_insert(now.mono.after(REPORT_INTERVAL_NS));
        Ok(Commit::Open)
    }

    pub(super) fn batch<'a>(&self, part: u32, outputs: &'a Outputs, token: u64) -> Batch<'a> {
        let from = self.part(part);
        let state = (self.state_topics[from.topic.0 as usize], from.index);
        Batch {
            outputs,
            state,
            index: from.index,
            token,
        }
    }

    /// A report about an output of an `at_least_once` commit.
    pub(super) fn on_output(&mut self, token: u64, result: Result<(), KafkaError>) {
        self.outputs_outstanding -= 1;
        let (part, number) = ((token >> 32) as u32 & 0x7fff_ffff, token as u32);
        match result {
            Ok(()) => {
                // Undone meanwhile: then nobody waits for it.
                let Some(commit) = self.part_mut(part).open_mut(number) else {
                    return;
                };
                commit.outstanding -= 1;
                self.settle_complete(part);
            }
            Err(error) => {
                self.note_unacknowledged(error);
                if self.part_mut(part).open_mut(number).is_some() {
                    self.undo(part);
                }
            }
        }
    }

    /// Takes back the open commits of a partition: its records are processed again.
    pub(super) fn undo(&mut self, part: u32) {
        self.part_mut(part).undo();
        self.news.push_back(LaneNews::Undone {
            lane: part as usize,
        });
        self.requeue(part);
    }

    fn settle_complete(&mut self, part: u32) {
        let commits = self.part(part).complete();
        if commits > 0 {
            self.settle(part, commits);
        }
    }

    pub(super) fn settle(&mut self, part: u32, commits: usize) {
        self.read_ahead -= self.part_mut(part).settle(commits);
        self.news.push_back(LaneNews::Settled {
            lane: part as usize,
            commits,
        });
    }

    /// Commits positions that have moved, when it is time.
    pub(super) fn report_positions(&mut self, now: Now) -> usize {
        if self.transaction.is_some() || self.report_at.is_none_or(|at| now.mono < at) {
            return 0;
        }
        self.report_at = None;
        let mut moved = Vec::new();
        for part in &mut self.parts {
            // One that was given away is another's to commit.
            if part.phase == Phase::Open && part.settled != part.reported {
                part.reported = part.settled;
                moved.push((part.place(), part.settled));
            }
        }
        if moved.is_empty() {
            return 0;
        }
        if let Err(error) = self.consumer.commit_async(&moved) {
            tracing::warn!(cluster = self.name, %error, "positions were not committed");
        }
        moved.len()
    }

    /// The settled positions of what is processed here; none with transactions, which have committed
    /// them.
    pub(super) fn last_positions(&self) -> Vec<NamedOffset> {
        if self.transaction.is_some() {
            return Vec::new();
        }
        (0..self.parts.len() as u32)
            .filter(|&part| self.part(part).phase == Phase::Open)
            .map(|part| self.named(part, self.part(part).settled))
            .collect()
    }

    /// Asks for the commit of the positions of partitions that are given away.
    pub(super) fn report_closing(&mut self) {
        let closing = self.closing.iter();
        let offsets = closing
            .map(|&p| self.named(p, self.part(p).settled))
            .collect();
        self.helper.ask(Job::CommitOffsets(offsets));
        self.is_reporting = true;
    }
}

/// Where a handler's record goes.
pub(super) fn find_output(outputs: &[Option<Output>], record: &OutputRecord<'_>) -> Output {
    let output = outputs.get(record.topic.index()).copied().flatten();
    output.expect("every topic that a handler may write to is on every cluster")
}
