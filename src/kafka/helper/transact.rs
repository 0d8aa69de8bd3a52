//! Ending transactions.

use std::time::Duration;

use super::{CALL_MAX, NamedOffset, Reply, Worker};
use crate::clock;
use crate::ids::Nanos;
use crate::kafka::native::{ErrorClass, KafkaError, NativeProducer, TransactionControl};

/// How a transaction ended.
pub(in crate::kafka) enum Ended {
    /// All of it holds.
    Committed,
    /// None of it holds; the error says why where it should have been committed.
    Aborted(Option<KafkaError>),
    /// None of it holds, and the producer is of no more use: [`super::Job::ReplaceProducer`] comes
    /// next.
    ProducerLost(KafkaError),
    /// After [`Ended::ProducerLost`]: this producer takes the place of the one before.
    Replaced(Box<NativeProducer>),
    /// Another instance of this node has taken over, or there is no way on.
    Failed(KafkaError),
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
        let transactions = self.transactions();
        let result = self.persist(|| {
            let group = self.parts.consumer.group_metadata()?;
            transactions.send_offsets(offsets, &group, CALL_MAX)
        });
        let result = result.and_then(|()| self.persist(|| transactions.commit(CALL_MAX)));
        match result {
            Ok(()) => Ended::Committed,
            Err(error) => match error.class() {
                // Nothing is waited for any more, so nobody learns whether it holds.
                ErrorClass::Retry => Ended::Failed(error),
                ErrorClass::AbortTransaction => self.abort(Some(error), begun),
                ErrorClass::Fatal => self.lost_or_failed(error, begun),
            },
        }
    }

    pub(super) fn abort(&mut self, why: Option<KafkaError>, begun: Nanos) -> Ended {
        let transactions = self.transactions();
        match self.persist(|| transactions.abort(CALL_MAX)) {
            Ok(()) => Ended::Aborted(why),
            Err(error) => match error.class() {
                ErrorClass::Retry => Ended::Failed(error),
                ErrorClass::AbortTransaction | ErrorClass::Fatal => {
                    self.lost_or_failed(error, begun)
                }
            },
        }
    }

    /// What a fatal error says about the transaction.
    ///
    /// One that the cluster ended because it took too long gives the same error as one of a
    /// producer that was fenced by its successor. Only one that was open for the timeout can have
    /// expired. Where the coordinator was silent when the transaction's first partition was
    /// announced, it knows of no transaction that could be aborted, which librdkafka takes for
    /// fatal.
    fn lost_or_failed(&self, error: KafkaError, begun: Nanos) -> Ended {
        let age = Duration::from_nanos(clock::monotonic().since(begun));
        let is_lost = error.is_invalid_transaction_state() || age >= self.parts.transaction_timeout;
        match is_lost {
            true => Ended::ProducerLost(error),
            false => Ended::Failed(error),
        }
    }

    /// Makes another producer of the same transactional id, unless a successor has gone on with
    /// the partitions while this node was silent: then their positions are not the `settled` ones
    /// any more. Looked at twice: before, so that a successor at work is not fenced, and after, when
    /// nobody else can commit.
    pub(super) fn replace(&mut self, settled: &[NamedOffset], why: KafkaError) -> Ended {
        let replaced = self.persist(|| {
            if self.is_overtaken(settled)? {
                return Ok(None);
            }
            let producer = (self.parts.make_transactional)()?;
            producer.transactions().init(CALL_MAX)?;
            Ok((!self.is_overtaken(settled)?).then_some(producer))
        });
        match replaced {
            Ok(Some(producer)) => {
                self.parts.transactions = Some(producer.transactions());
                Ended::Replaced(Box::new(producer))
            }
            Ok(None) => Ended::Failed(why),
            Err(error) => Ended::Failed(error),
        }
    }

    /// Whether somebody has committed positions beyond these.
    fn is_overtaken(&self, settled: &[NamedOffset]) -> Result<bool, KafkaError> {
        if settled.is_empty() {
            return Ok(false);
        }
        let names: Vec<_> = settled
            .iter()
            .map(|(topic, index, _)| (topic.clone(), *index))
            .collect();
        let committed = self.parts.consumer.committed(&names, CALL_MAX)?;
        let mut pairs = settled.iter().zip(committed);
        Ok(pairs.any(|((_, _, settled), found)| found.is_some_and(|found| found > *settled)))
    }

    fn transactions(&self) -> TransactionControl {
        let transactions = self.parts.transactions.clone();
        transactions.expect("asked for only where there is a transactional producer")
    }
}
