//! The rules against a model that keeps everything and searches it from the start each time.

use proptest::prelude::*;

use super::*;

/// What was appended, in order.
#[derive(Clone, Copy, Debug)]
enum Event {
    Batch(ProducerBatch, Offset),
    Marker(Marker, Offset),
}

impl Event {
    fn producer(&self) -> (i64, i16) {
        match self {
            Event::Batch(batch, _) => (batch.producer_id, batch.epoch),
            Event::Marker(marker, _) => (marker.producer_id, marker.epoch),
        }
    }
}

/// A transaction: whose, its first offset, its end.
type Transaction = (i64, Offset, Option<(Verdict, Offset)>);

#[derive(Default)]
struct Model {
    events: Vec<Event>,
}

impl Model {
    fn transactions(&self) -> Vec<Transaction> {
        let mut found: Vec<Transaction> = Vec::new();
        for event in &self.events {
            let id = event.producer().0;
            let open = found.iter_mut().find(|t| t.0 == id && t.2.is_none());
            match event {
                Event::Batch(batch, base) => {
                    if batch.membership == Membership::Transactional && open.is_none() {
                        found.push((id, *base, None));
                    }
                }
                Event::Marker(marker, at) => {
                    if let Some(open) = open {
                        open.2 = Some((marker.verdict, *at));
                    }
                }
            }
        }
        found
    }

    fn check(&self, batch: &ProducerBatch) -> Result<Sequenced, ProducerError> {
        let producer_id = batch.producer_id;
        let own = self.events.iter().filter(|e| e.producer().0 == producer_id);
        let Some(current) = own.clone().map(|e| e.producer().1).max() else {
            return Ok(Sequenced::New);
        };
        if batch.epoch < current {
            return Err(ProducerError::InvalidProducerEpoch {
                producer_id,
                found: batch.epoch,
                current,
            });
        }
        let of_epoch: Vec<(ProducerBatch, Offset)> = own
            .filter_map(|event| match event {
                Event::Batch(known, base) if known.epoch == batch.epoch => Some((*known, *base)),
                Event::Batch(..) | Event::Marker(..) => None,
            })
            .collect();
        for (known, base_offset) in of_epoch.iter().rev().take(5) {
            if (known.first_sequence, known.records) == (batch.first_sequence, batch.records) {
                let base_offset = *base_offset;
                return Ok(Sequenced::Duplicate { base_offset });
            }
        }
        let expected = of_epoch.last().map_or(0, |(last, _)| {
            ((i64::from(last.first_sequence) + i64::from(last.records)) % (1 << 31)) as i32
        });
        if batch.first_sequence != expected {
            return Err(ProducerError::OutOfOrderSequence {
                producer_id,
                found: batch.first_sequence,
                expected,
            });
        }
        let mut transactions = self.transactions().into_iter();
        let is_open = transactions.any(|t| t.0 == producer_id && t.2.is_none());
        if is_open && batch.membership == Membership::Plain {
            return Err(ProducerError::InvalidTxnState { producer_id });
        }
        Ok(Sequenced::New)
    }

    fn stable(&self, visible: Offset) -> Offset {
        let transactions = self.transactions().into_iter();
        let unstable = transactions.filter(|t| t.2.is_none_or(|(_, at)| at >= visible));
        unstable.map(|t| t.1).min().unwrap_or(visible).min(visible)
    }

    fn aborted(&self, from: Offset, to: Offset) -> Vec<(Offset, i64, Offset)> {
        let transactions = self.transactions().into_iter();
        let mut found: Vec<_> = transactions
            .filter_map(|(id, first, end)| match end {
                Some((Verdict::Abort, last)) => Some((last, id, first)),
                Some((Verdict::Commit, _)) | None => None,
            })
            .filter(|(last, _, first)| *last >= from && *first < to)
            .collect();
        found.sort();
        found
    }
}

#[derive(Clone, Debug)]
enum Step {
    Batch {
        id: i64,
        epoch: i16,
        /// Added to the sequence number that would be right; a step back may meet a duplicate.
        slip: i32,
        records: u32,
        membership: Membership,
    },
    Marker {
        id: i64,
        epoch: i16,
        verdict: Verdict,
    },
    /// All becomes visible.
    Show,
    /// What is kept is written and read back.
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let slip = prop_oneof![8 => Just(0), 2 => -12..0_i32, 1 => 1..3_i32];
    let membership = prop_oneof![Just(Membership::Plain), Just(Membership::Transactional)];
    let verdict = prop_oneof![Just(Verdict::Commit), Just(Verdict::Abort)];
    let epoch = prop_oneof![8 => Just(0_i16), 1 => 1..3_i16];
    let batch = (0..3_i64, epoch.clone(), slip, 1..4_u32, membership).prop_map(
        |(id, epoch, slip, records, membership)| Step::Batch {
            id,
            epoch,
            slip,
            records,
            membership,
        },
    );
    let marker = (0..3_i64, epoch, verdict).prop_map(|(id, epoch, verdict)| Step::Marker {
        id,
        epoch,
        verdict,
    });
    let step = prop_oneof![
        12 => batch,
        3 => marker,
        2 => Just(Step::Show),
        1 => Just(Step::Restart),
    ];
    prop::collection::vec(step, 1..120)
}

fn now(offset: Offset) -> UnixMillis {
    UnixMillis(1_000_000 + offset.0)
}

/// Both, side by side.
#[derive(Default)]
struct Pair {
    real: Producers,
    model: Model,
    next: Offset,
    visible: Offset,
}

impl Pair {
    fn take(&mut self, step: &Step, first: i32) {
        match *step {
            Step::Batch {
                id,
                epoch,
                slip,
                records,
                membership,
            } => {
                let mut batch = ProducerBatch {
                    producer_id: id,
                    epoch,
                    first_sequence: first,
                    records,
                    membership,
                    timestamp_max: now(self.next),
                };
                // Aim at the right number, then miss it.
                if let Err(ProducerError::OutOfOrderSequence { expected, .. }) =
                    self.model.check(&batch)
                {
                    batch.first_sequence = expected;
                }
                batch.first_sequence = batch.first_sequence.wrapping_add(slip) & i32::MAX;
                let expected = self.model.check(&batch);
                assert_eq!(self.real.check(&batch), expected, "{batch:?}");
                if expected == Ok(Sequenced::New) {
                    self.real.append(&batch, self.next, now(self.next));
                    self.model.events.push(Event::Batch(batch, self.next));
                    self.next = self.next.plus(records);
                }
            }
            Step::Marker { id, epoch, verdict } => {
                let own = |e: &&Event| e.producer().0 == id;
                let events = self.model.events.iter().filter(own);
                let current = events.map(|e| e.producer().1).max();
                let result = self.real.check_marker(id, epoch);
                assert_eq!(result.is_err(), current.is_some_and(|c| epoch < c));
                if result.is_ok() {
                    let marker = Marker {
                        producer_id: id,
                        epoch,
                        verdict,
                        timestamp: now(self.next),
                    };
                    let at = self.next;
                    self.real.end(&marker, at, self.visible, now(at));
                    self.model.events.push(Event::Marker(marker, at));
                    self.next = at.plus(1);
                }
            }
            Step::Show => self.visible = self.next,
            Step::Restart => {
                self.visible = self.next;
                let states = self.real.states().map(|(id, state)| (id, state.clone()));
                let aborted = self.real.aborted_transactions().copied();
                self.real = Producers::restore(states, aborted);
            }
        }
    }

    fn compare(&self) {
        assert_eq!(
            self.real.stable(self.visible),
            self.model.stable(self.visible)
        );
        let ends = [0, self.visible.0 / 2, self.visible.0, self.next.0].map(Offset);
        for from in ends {
            for to in ends {
                let mut found = Vec::new();
                self.real
                    .aborted(from, to, &mut |id, first| found.push((id, first)));
                let expected = self.model.aborted(from, to);
                let expected: Vec<_> = expected
                    .iter()
                    .map(|(_, id, first)| (*id, *first))
                    .collect();
                assert_eq!(found, expected, "{from} to {to}");
            }
        }
    }
}

proptest! {
    #[test]
    fn the_rules_are_those_of_the_model(
        steps in steps(),
        first in prop_oneof![Just(0), Just(i32::MAX - 5)],
    ) {
        let mut pair = Pair::default();
        for step in &steps {
            pair.take(step, first);
            pair.compare();
        }
    }
}

fn batch(producer_id: i64, first_sequence: i32, membership: Membership) -> ProducerBatch {
    ProducerBatch {
        producer_id,
        epoch: 0,
        first_sequence,
        records: 2,
        membership,
        timestamp_max: UnixMillis(5),
    }
}

#[test]
fn sequence_numbers_wrap_to_zero() {
    let mut producers = Producers::default();
    let last = ProducerBatch {
        records: 3,
        ..batch(1, i32::MAX - 1, Membership::Plain)
    };
    assert_eq!(last.last_sequence(), 0);
    producers.append(&last, Offset(0), UnixMillis(0));
    let next = batch(1, 1, Membership::Plain);
    assert_eq!(producers.check(&next), Ok(Sequenced::New));
    let end = ProducerBatch {
        records: 1,
        ..batch(2, i32::MAX, Membership::Plain)
    };
    producers.append(&end, Offset(3), UnixMillis(0));
    let next = batch(2, 0, Membership::Plain);
    assert_eq!(producers.check(&next), Ok(Sequenced::New));
}

#[test]
fn idle_producers_are_forgotten_unless_a_transaction_of_theirs_is_open() {
    let mut producers = Producers::default();
    producers.append(&batch(1, 0, Membership::Plain), Offset(0), UnixMillis(10));
    producers.append(
        &batch(2, 0, Membership::Transactional),
        Offset(2),
        UnixMillis(10),
    );
    producers.expire(UnixMillis(9 + PRODUCER_IDLE_MS_MAX));
    assert_eq!(producers.summaries().count(), 2);
    producers.expire(UnixMillis(10 + PRODUCER_IDLE_MS_MAX));
    let left: Vec<_> = producers.summaries().map(|p| p.producer_id).collect();
    assert_eq!(left, [2]);
    // Nothing is known of the forgotten one: whatever it goes on with is taken.
    let next = batch(1, 77, Membership::Plain);
    assert_eq!(producers.check(&next), Ok(Sequenced::New));
}

#[test]
fn too_many_producers_push_out_the_one_that_is_silent_for_longest() {
    let mut producers = Producers::default();
    producers.append(
        &batch(-7, 0, Membership::Transactional),
        Offset(0),
        UnixMillis(0),
    );
    for id in 0..PRODUCERS_MAX as i64 + 5 {
        let at = Offset(2 + 2 * id);
        producers.append(&batch(id, 0, Membership::Plain), at, UnixMillis(1 + id));
    }
    assert_eq!(producers.summaries().count(), PRODUCERS_MAX);
    let ids: Vec<_> = producers
        .summaries()
        .map(|p| p.producer_id)
        .take(3)
        .collect();
    assert_eq!(ids, [-7, 6, 7]);
}

#[test]
fn aborted_transactions_go_with_the_start_of_the_log() {
    let mut producers = Producers::default();
    for (round, at) in [(0, 0), (1, 3)] {
        producers.append(
            &batch(1, round * 2, Membership::Transactional),
            Offset(at),
            UnixMillis(0),
        );
        let marker = Marker {
            producer_id: 1,
            epoch: 0,
            verdict: Verdict::Abort,
            timestamp: UnixMillis(0),
        };
        producers.end(&marker, Offset(at + 2), Offset(at), UnixMillis(0));
    }
    producers.forget_before(Offset(2));
    assert_eq!(producers.aborted_transactions().len(), 2);
    producers.forget_before(Offset(3));
    let left: Vec<_> = producers.aborted_transactions().map(|t| t.last).collect();
    assert_eq!(left, [Offset(5)]);
}
