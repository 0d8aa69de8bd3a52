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
    /// None of it holds, and its producer is of no more use: the cluster had ended the transaction
    /// by itself because it took too long, or they lost count of each other while they were apart.
    /// This producer takes its place. Someone else may have been there meanwhile.
    Replaced(Box<NativeProducer>, KafkaError),
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
        let result = self.persist_until_expired(begun, || {
            let group = self.parts.consumer.group_metadata()?;
            transactions.send_offsets(offsets, &group, CALL_MAX)
        });
        let commit = || self.persist_until_expired(begun, || transactions.commit(CALL_MAX));
        let result = result.and_then(|()| commit());
        match result {
            Ok(()) => Ended::Committed,
            Err(error) => match error.class() {
                ErrorClass::Retry | ErrorClass::AbortTransaction => self.abort(Some(error), begun),
                ErrorClass::Fatal => self.replace(error, begun),
            },
        }
    }

    pub(super) fn abort(&mut self, why: Option<KafkaError>, begun: Nanos) -> Ended {
        let transactions = self.transactions();
        match self.persist_until_expired(begun, || transactions.abort(CALL_MAX)) {
            Ok(()) => Ended::Aborted(why),
            Err(error) => self.replace(error, begun),
        }
    }

    /// A transaction that the cluster ended because it took too long gives the same error as one
    /// of a producer that was fenced by its successor. Its age tells them apart: only one that was
    /// open for the timeout can have expired. It may all the same have a successor; that one is
    /// fenced then, and what it has done is found with the positions, which are asked for again.
    fn replace(&mut self, error: KafkaError, begun: Nanos) -> Ended {
        if !self.is_expired(begun) && !error.is_out_of_step() {
            return Ended::Failed(error);
        }
        let replaced = self.persist(|| {
            let producer = (self.parts.make_transactional)()?;
            producer.transactions().init(CALL_MAX)?;
            Ok(producer)
        });
        match replaced {
            Ok(producer) => {
                self.parts.transactions = Some(producer.transactions());
                Ended::Replaced(Box::new(producer), error)
            }
            Err(error) => Ended::Failed(error),
        }
    }

    /// Calls as [`Worker::persist`], but only as long as the transaction can still be alive: what
    /// cannot be ended by then has been by the cluster, whatever librdkafka waits for.
    fn persist_until_expired<T>(
        &self,
        begun: Nanos,
        mut call: impl FnMut() -> Result<T, KafkaError>,
    ) -> Result<T, KafkaError> {
        self.persist(|| match call() {
            Err(error) if self.is_expired(begun) => Ok(Err(error)),
            result => result.map(Ok),
        })?
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
