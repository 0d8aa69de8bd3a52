//! What a partition knows of the Kafka producers that write to it: sequence numbers, open and
//! aborted transactions.
//!
//! Owns: the rules of Kafka's `ProducerStateManager` and `ProducerAppendInfo` (KIP-98), as data.
//! Never does: I/O, reading a clock; time comes in. Runs on: the partition's owner, and on
//! housekeeping threads when a log is recovered.
//!
//! A partition that no such producer wrote to holds no memory beyond the empty tables.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, VecDeque};

use crate::ids::{Offset, UnixMillis};

/// Batches of a producer that are told apart from new ones, as in Kafka: a client has at most so
/// many requests under way.
pub const BATCHES_REMEMBERED: usize = 5;

/// Producers of one partition that are remembered. Beyond it, the one that has been silent for
/// longest is forgotten; those with an open transaction stay, and are not counted out.
pub const PRODUCERS_MAX: usize = 4096;

/// A producer that was silent for so long is forgotten, as with Kafka's
/// `producer.id.expiration.ms`.
pub const PRODUCER_IDLE_MS_MAX: i64 = 24 * 60 * 60 * 1000;

/// Whether a batch belongs to a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Membership {
    /// It stands for itself.
    Plain,
    /// It counts once its transaction is committed.
    Transactional,
}

/// How a transaction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Its records count.
    Commit,
    /// They do not.
    Abort,
}

/// What the header of an idempotent producer's batch says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerBatch {
    /// The producer; 0 or more.
    pub producer_id: i64,
    /// Its epoch; 0 or more.
    pub epoch: i16,
    /// Sequence number of the first record; 0 or more.
    pub first_sequence: i32,
    /// Records; 1 or more.
    pub records: u32,
    /// Whether it belongs to a transaction.
    pub membership: Membership,
    /// The largest timestamp of its records.
    pub timestamp_max: UnixMillis,
}

impl ProducerBatch {
    /// Sequence number of the last record: they wrap from 2^31 - 1 to 0.
    pub const fn last_sequence(&self) -> i32 {
        let last = self.first_sequence as i64 + self.records as i64 - 1;
        (last & i32::MAX as i64) as i32
    }
}

/// The end of a transaction in one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marker {
    /// The producer.
    pub producer_id: i64,
    /// The epoch that counts from here on.
    pub epoch: i16,
    /// How the transaction ended.
    pub verdict: Verdict,
    /// When, as the marker's record says.
    pub timestamp: UnixMillis,
}

/// A batch that may be appended, or was before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sequenced {
    /// It is the producer's next one.
    New,
    /// It was appended before, at this offset.
    Duplicate {
        /// Offset of its first record.
        base_offset: Offset,
    },
}

/// Why a batch or marker of a producer is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProducerError {
    /// Kafka's error 45.
    #[error(
        "producer {producer_id}: sequence number {found} does not follow the last one, {expected} \
         would"
    )]
    OutOfOrderSequence {
        /// The producer.
        producer_id: i64,
        /// The batch's first sequence number.
        found: i32,
        /// The one that would do.
        expected: i32,
    },
    /// Kafka's error 47.
    #[error("producer {producer_id}: epoch {found} is over, the present one is {current}")]
    InvalidProducerEpoch {
        /// The producer.
        producer_id: i64,
        /// The batch's or marker's epoch.
        found: i16,
        /// The epoch that counts.
        current: i16,
    },
    /// Kafka's error 48.
    #[error("producer {producer_id} has an open transaction, and the batch is not part of it")]
    InvalidTxnState {
        /// The producer.
        producer_id: i64,
    },
}

/// One of a producer's newest batches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SequencedBatch {
    /// Sequence number of its first record.
    pub first_sequence: i32,
    /// Sequence number of its last record.
    pub last_sequence: i32,
    /// Offset of its first record.
    pub base_offset: Offset,
}

/// A producer, as one partition knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProducerState {
    /// The epoch that counts.
    pub epoch: i16,
    /// Its newest batches of this epoch, oldest first: at most [`BATCHES_REMEMBERED`].
    batches: [SequencedBatch; BATCHES_REMEMBERED],
    remembered: u8,
    /// First offset of its open transaction.
    pub transaction: Option<Offset>,
    /// Largest timestamp of its last batch or marker.
    pub timestamp: UnixMillis,
    /// When it last wrote, by the wall time of this node.
    pub written_at: UnixMillis,
}

impl ProducerState {
    /// A producer of which only this is known.
    pub fn new(epoch: i16) -> ProducerState {
        ProducerState {
            epoch,
            batches: [SequencedBatch::default(); BATCHES_REMEMBERED],
            remembered: 0,
            transaction: None,
            timestamp: UnixMillis(-1),
            written_at: UnixMillis(0),
        }
    }

    /// Its newest batches, oldest first.
    pub fn batches(&self) -> &[SequencedBatch] {
        &self.batches[..usize::from(self.remembered)]
    }

    /// Remembers a batch; the oldest one is forgotten where there are too many.
    pub fn remember(&mut self, batch: SequencedBatch) {
        if usize::from(self.remembered) == BATCHES_REMEMBERED {
            self.batches.rotate_left(1);
            self.remembered -= 1;
        }
        self.batches[usize::from(self.remembered)] = batch;
        self.remembered += 1;
    }

    /// Sequence number that the next batch of this epoch has to start with.
    fn expected(&self) -> i32 {
        let last = self.batches().last();
        last.map_or(0, |batch| batch.last_sequence.wrapping_add(1) & i32::MAX)
    }

    fn enter(&mut self, epoch: i16) {
        if epoch != self.epoch {
            self.epoch = epoch;
            self.remembered = 0;
        }
    }
}

/// A transaction that was aborted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AbortedTransaction {
    /// Whose.
    pub producer_id: i64,
    /// Offset of its first record.
    pub first: Offset,
    /// Offset of its marker.
    pub last: Offset,
    /// The last stable offset as the marker left it: no transaction that ends later starts below.
    pub stable: Offset,
}

/// A transaction that may still hold the last stable offset back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Unstable {
    first: Offset,
    producer_id: i64,
    /// Its marker, once there is one; stable when that is visible.
    marker: Option<Offset>,
}

/// What is told of a producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerSummary {
    /// Its id.
    pub producer_id: i64,
    /// Its epoch.
    pub epoch: i16,
    /// Sequence number of its last record; -1 where none of this epoch is known.
    pub last_sequence: i32,
    /// Largest timestamp of its last batch or marker; -1 where there is none.
    pub timestamp: UnixMillis,
    /// First offset of its open transaction.
    pub transaction: Option<Offset>,
}

/// The producers of one partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Producers {
    by_id: BTreeMap<i64, ProducerState>,
    /// By first offset.
    unstable: Vec<Unstable>,
    /// By last offset.
    aborted: VecDeque<AbortedTransaction>,
}

impl Producers {
    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty() && self.aborted.is_empty()
    }

    /// Whether a batch may be appended.
    ///
    /// # Errors
    /// It does not follow the producer's last one, its epoch is over, or it stands outside the
    /// producer's open transaction.
    pub fn check(&self, batch: &ProducerBatch) -> Result<Sequenced, ProducerError> {
        // Whatever an unknown producer begins with is taken: it may have been forgotten.
        let Some(state) = self.by_id.get(&batch.producer_id) else {
            return Ok(Sequenced::New);
        };
        let producer_id = batch.producer_id;
        if batch.epoch < state.epoch {
            return Err(ProducerError::InvalidProducerEpoch {
                producer_id,
                found: batch.epoch,
                current: state.epoch,
            });
        }
        let expected = if batch.epoch == state.epoch {
            let last_sequence = batch.last_sequence();
            let same = |known: &&SequencedBatch| {
                known.first_sequence == batch.first_sequence && known.last_sequence == last_sequence
            };
            if let Some(known) = state.batches().iter().find(same) {
                return Ok(Sequenced::Duplicate {
                    base_offset: known.base_offset,
                });
            }
            state.expected()
        } else {
            0
        };
        if batch.first_sequence != expected {
            return Err(ProducerError::OutOfOrderSequence {
                producer_id,
                found: batch.first_sequence,
                expected,
            });
        }
        match batch.membership {
            Membership::Plain if state.transaction.is_some() => {
                Err(ProducerError::InvalidTxnState { producer_id })
            }
            Membership::Plain | Membership::Transactional => Ok(Sequenced::New),
        }
    }

    /// Enters a batch that was appended at `base_offset`. It is not checked: what lies in the log
    /// was.
    pub fn append(&mut self, batch: &ProducerBatch, base_offset: Offset, now: UnixMillis) {
        let state = self.known(batch.producer_id, batch.epoch);
        state.enter(batch.epoch);
        state.remember(SequencedBatch {
            first_sequence: batch.first_sequence,
            last_sequence: batch.last_sequence(),
            base_offset,
        });
        state.timestamp = batch.timestamp_max;
        state.written_at = now;
        let begins = batch.membership == Membership::Transactional && state.transaction.is_none();
        if begins {
            state.transaction = Some(base_offset);
            self.unstable.push(Unstable {
                first: base_offset,
                producer_id: batch.producer_id,
                marker: None,
            });
        }
    }

    /// Whether a producer's transaction may be ended in this epoch.
    ///
    /// # Errors
    /// The epoch is over.
    pub fn check_marker(&self, producer_id: i64, epoch: i16) -> Result<(), ProducerError> {
        match self.by_id.get(&producer_id) {
            Some(state) if epoch < state.epoch => Err(ProducerError::InvalidProducerEpoch {
                producer_id,
                found: epoch,
                current: state.epoch,
            }),
            Some(_) | None => Ok(()),
        }
    }

    /// Enters a marker that was appended at offset `at`. `visible` is the offset up to which
    /// consumers may read; a transaction counts as open for them until its marker is below.
    pub fn end(&mut self, marker: &Marker, at: Offset, visible: Offset, now: UnixMillis) {
        let producer_id = marker.producer_id;
        let state = self.known(producer_id, marker.epoch);
        state.enter(marker.epoch);
        state.timestamp = marker.timestamp;
        state.written_at = now;
        let Some(first) = state.transaction.take() else {
            return;
        };
        let ended = |entry: &&mut Unstable| {
            entry.producer_id == producer_id && entry.marker.is_none() && entry.first == first
        };
        if let Some(entry) = self.unstable.iter_mut().find(ended) {
            entry.marker = Some(at);
        }
        match marker.verdict {
            Verdict::Commit => {}
            Verdict::Abort => {
                let open = self.unstable.iter().find(|entry| entry.marker.is_none());
                self.aborted.push_back(AbortedTransaction {
                    producer_id,
                    first,
                    last: at,
                    stable: open.map_or(at.plus(1), |entry| entry.first),
                });
            }
        }
        self.unstable
            .retain(|entry| entry.marker.is_none_or(|marker| marker >= visible));
    }

    /// The last stable offset: the first one of the oldest transaction whose end is not below
    /// `visible`, else `visible`.
    pub fn stable(&self, visible: Offset) -> Offset {
        let holds = |entry: &&Unstable| entry.marker.is_none_or(|marker| marker >= visible);
        let oldest = self.unstable.iter().find(holds);
        oldest.map_or(visible, |entry| entry.first.min(visible))
    }

    /// Visits the aborted transactions of which records may lie in `from..to`: producer and first
    /// offset.
    pub fn aborted(&self, from: Offset, to: Offset, visit: &mut dyn FnMut(i64, Offset)) {
        let start = self.aborted.partition_point(|entry| entry.last < from);
        for entry in self.aborted.range(start..) {
            if entry.first < to {
                visit(entry.producer_id, entry.first);
            }
            // Whatever was aborted after this one starts at or after this offset.
            if entry.stable >= to {
                return;
            }
        }
    }

    /// Forgets aborted transactions that ended before the log's start.
    pub fn forget_before(&mut self, log_start: Offset) {
        let gone = self.aborted.partition_point(|entry| entry.last < log_start);
        self.aborted.drain(..gone);
    }

    /// Forgets producers that have been silent for [`PRODUCER_IDLE_MS_MAX`], unless a transaction
    /// of theirs is open.
    pub fn expire(&mut self, now: UnixMillis) {
        self.by_id.retain(|_, state| {
            let idle_ms = now.0.saturating_sub(state.written_at.0);
            state.transaction.is_some() || idle_ms < PRODUCER_IDLE_MS_MAX
        });
    }

    /// Every producer, by id.
    pub fn summaries(&self) -> impl Iterator<Item = ProducerSummary> {
        self.by_id.iter().map(|(id, state)| ProducerSummary {
            producer_id: *id,
            epoch: state.epoch,
            last_sequence: state.batches().last().map_or(-1, |b| b.last_sequence),
            timestamp: state.timestamp,
            transaction: state.transaction,
        })
    }

    /// Every producer by id, as it is kept.
    pub fn states(&self) -> impl ExactSizeIterator<Item = (i64, &ProducerState)> {
        self.by_id.iter().map(|(id, state)| (*id, state))
    }

    /// Every aborted transaction, in the order of their markers.
    pub fn aborted_transactions(&self) -> impl ExactSizeIterator<Item = &AbortedTransaction> {
        self.aborted.iter()
    }

    /// What was kept: the reverse of [`Producers::states`] and
    /// [`Producers::aborted_transactions`].
    pub fn restore(
        states: impl IntoIterator<Item = (i64, ProducerState)>,
        aborted: impl IntoIterator<Item = AbortedTransaction>,
    ) -> Producers {
        let by_id: BTreeMap<i64, ProducerState> = states.into_iter().collect();
        let open = by_id.iter().filter_map(|(id, state)| {
            Some(Unstable {
                first: state.transaction?,
                producer_id: *id,
                marker: None,
            })
        });
        let mut unstable: Vec<Unstable> = open.collect();
        unstable.sort_unstable_by_key(|entry| entry.first);
        Producers {
            by_id,
            unstable,
            aborted: aborted.into_iter().collect(),
        }
    }

    /// The producer, made where it is not known, within the bound.
    fn known(&mut self, producer_id: i64, epoch: i16) -> &mut ProducerState {
        if self.by_id.len() >= PRODUCERS_MAX && !self.by_id.contains_key(&producer_id) {
            self.forget_oldest();
        }
        match self.by_id.entry(producer_id) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => entry.insert(ProducerState::new(epoch)),
        }
    }

    fn forget_oldest(&mut self) {
        let closed = self.by_id.iter().filter(|(_, s)| s.transaction.is_none());
        let oldest = closed.min_by_key(|(_, state)| state.written_at);
        if let Some(id) = oldest.map(|(id, _)| *id) {
            self.by_id.remove(&id);
        }
    }
}

#[cfg(test)]
mod tests;
