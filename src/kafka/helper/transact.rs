//! Ending transactions.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::calls::{Called, Caller};
use super::{AGAIN_AFTER, CALL_MAX, KnownPosition, NamedOffset, Reply, Worker};
use crate::clock;
use crate::ids::{Nanos, Offset};
use crate::kafka::native::{ErrorClass, KafkaError, NativeProducer, TransactionControl};

/// How a transaction ended.
pub(in crate::kafka) enum Ended {
    /// All of it holds.
    Committed,
    /// None of it holds; the error says why where it should have been committed.
    Aborted(Option<KafkaError>),
    /// Whether it holds is not known, and the producer is of no more use:
    /// [`super::Job::ReplaceProducer`] comes next.
    ProducerLost(KafkaError),
    /// After [`Ended::ProducerLost`]: this producer takes the place of the one before, and what the
    /// cluster says about positions and state counts.
    Replaced(Box<NativeProducer>, Fate),
    /// Another instance of this node has taken over, or there is no way on.
    Failed(KafkaError),
}

/// What became of the transaction that was open when its producer was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::kafka) enum Fate {
    /// All of it holds: the cluster has its positions.
    Held,
    /// None of it holds, or it is not known to, as in a group, where partitions may be another's by
    /// now.
    NotHeld,
}

impl Worker {
    pub(super) fn init_transactions(&mut self) -> Reply {
        let transactions = self.transactions();
        match self.persist(|| transactions.init(CALL_MAX)) {
            Ok(()) => Reply::TransactionsReady,
            Err(error) => Reply::Failed(error),
        }
    }

    pub(super) fn commit(&mut self, offsets: &[NamedOffset], begun: Nanos) -> Ended {
        let group = match self.parts.consumer.group_metadata() {
            Ok(group) => group,
            Err(error) => return self.abort(Some(error), begun),
        };
        let (transactions, offsets) = (self.transactions(), offsets.to_vec());
        // Not tried again: nothing holds yet, so the transaction as a whole can be.
        let sent = self.call(move || transactions.send_offsets(&offsets, &group, CALL_MAX));
        if let Err(error) = sent {
            return match error.class() {
                _ if error.is_left_behind() => Ended::ProducerLost(error),
                ErrorClass::Retry | ErrorClass::AbortTransaction => self.abort(Some(error), begun),
                ErrorClass::Fatal => self.lost_or_failed(error, begun),
            };
        }
        match self.end(begun, |transactions| transactions.commit(CALL_MAX)) {
            Ok(()) => Ended::Committed,
            Err(error) => match error.class() {
                _ if error.is_left_behind() => Ended::ProducerLost(error),
                ErrorClass::AbortTransaction => self.abort(Some(error), begun),
                ErrorClass::Retry | ErrorClass::Fatal => self.lost_or_failed(error, begun),
            },
        }
    }

    pub(super) fn abort(&mut self, why: Option<KafkaError>, begun: Nanos) -> Ended {
        match self.end(begun, |transactions| transactions.abort(CALL_MAX)) {
            Ok(()) => Ended::Aborted(why),
            Err(error) if error.is_left_behind() => Ended::ProducerLost(error),
            Err(error) => self.lost_or_failed(error, begun),
        }
    }

    /// What an error that ends all trying says about the transaction.
    ///
    /// One that the cluster ended because it took too long gives the same error as one of a
    /// producer that was fenced by its successor. Only one that was open for the timeout can have
    /// expired. Where the coordinator was silent when the transaction's first partition was
    /// announced, it knows of no transaction that could be aborted, which librdkafka takes for
    /// fatal; and after being apart, producer and broker may disagree on sequence numbers.
    fn lost_or_failed(&self, error: KafkaError, begun: Nanos) -> Ended {
        let is_lost = error.is_invalid_transaction_state()
            || error.is_out_of_step()
            || self.is_expired(begun);
        match is_lost {
            true => Ended::ProducerLost(error),
            false => Ended::Failed(error),
        }
    }

    /// Makes another producer of the same transactional id, unless a successor has gone on with the
    /// partitions while this node was silent: then their positions are none of the `known` ones.
    /// Looked at twice: before, so that a successor at work is not fenced, and after, when nobody
    /// else can commit.
    pub(super) fn replace(&mut self, known: &[KnownPosition], why: KafkaError) -> Ended {
        let replaced = self.persist(|| {
            if self.fate(known)?.is_none() {
                return Ok(None);
            }
            let producer = (self.parts.make_transactional)()?;
            producer.transactions().init(CALL_MAX)?;
            Ok(self.fate(known)?.map(|fate| (producer, fate)))
        });
        match replaced {
            Ok(Some((producer, fate))) => {
                self.parts.transactions = Some(producer.transactions());
                Ended::Replaced(Box::new(producer), fate)
            }
            Ok(None) => Ended::Failed(why),
            Err(error) => Ended::Failed(error),
        }
    }

    /// What the committed positions say about the open transaction; none where somebody else has
    /// committed some.
    fn fate(&self, known: &[KnownPosition]) -> Result<Option<Fate>, KafkaError> {
        if known.is_empty() {
            return Ok(Some(Fate::NotHeld));
        }
        let names: Vec<_> = known
            .iter()
            .map(|known| (known.topic.clone(), known.index))
            .collect();
        let committed = self.committed(&names)?;
        Ok(fate_of(known, &committed))
    }

    /// Ends the transaction: tries until it succeeds or cannot be alive any more, since what was not
    /// ended by then has been by the cluster, whatever librdkafka waits for.
    fn end(
        &mut self,
        begun: Nanos,
        call: fn(&TransactionControl) -> Result<(), KafkaError>,
    ) -> Result<(), KafkaError> {
        loop {
            let transactions = self.transactions();
            let result = self.call(move || call(&transactions));
            let Err(error) = result else {
                return Ok(());
            };
            let is_over = self.give_up.load(Ordering::Acquire) || self.is_expired(begun);
            if error.class() != ErrorClass::Retry || error.is_left_behind() || is_over {
                return Err(error);
            }
            std::thread::sleep(AGAIN_AFTER);
        }
    }

    /// Makes a call that may never come back.
    fn call(
        &mut self,
        call: impl FnOnce() -> Result<(), KafkaError> + Send + 'static,
    ) -> Result<(), KafkaError> {
        let caller = match self.caller.take() {
            Some(caller) => caller,
            None => match Caller::spawn(&self.parts.name, &self.parts.cpus) {
                Ok(caller) => caller,
                Err(error) => return Err(KafkaError::system(&error)),
            },
        };
        match caller.call(Box::new(call), &self.give_up) {
            Called::Back(result) => {
                self.caller = Some(caller);
                result
            }
            Called::Never => Err(KafkaError::left_behind()),
        }
    }

    fn is_expired(&self, begun: Nanos) -> bool {
        let age = Duration::from_nanos(clock::monotonic().since(begun));
        age >= self.parts.transaction_timeout
    }

    fn transactions(&self) -> TransactionControl {
        let transactions = self.parts.transactions.clone();
        transactions.expect("asked for only where there is a transactional producer")
    }
}

/// See [`Worker::fate`]. A transaction holds as a whole, so one partition tells.
fn fate_of(known: &[KnownPosition], committed: &[Option<Offset>]) -> Option<Fate> {
    let mut fate = Fate::NotHeld;
    for (known, found) in known.iter().zip(committed) {
        match found {
            Some(found) if *found > known.settled && *found == known.attempted => {
                fate = Fate::Held;
            }
            Some(found) if *found > known.settled => return None,
            Some(_) | None => {}
        }
    }
    Some(fate)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(settled: i64, attempted: i64) -> KnownPosition {
        KnownPosition {
            topic: "transactions-east".to_owned(),
            index: 0,
            settled: Offset(settled),
            attempted: Offset(attempted),
        }
    }

    #[test]
    fn positions_tell_what_became_of_a_transaction() {
        let known = [known(5, 9), known(7, 7), known(0, 0)];
        let committed = |first| [Some(Offset(first)), Some(Offset(7)), None];
        assert_eq!(fate_of(&known, &committed(5)), Some(Fate::NotHeld));
        assert_eq!(fate_of(&known, &committed(9)), Some(Fate::Held));
        // A successor went on: from the old position, from the new one, or with another partition.
        assert_eq!(fate_of(&known, &committed(6)), None);
        assert_eq!(fate_of(&known, &committed(12)), None);
        let other = [Some(Offset(9)), Some(Offset(8)), None];
        assert_eq!(fate_of(&known, &other), None);
    }
}
