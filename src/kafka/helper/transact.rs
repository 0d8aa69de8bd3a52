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
    /// None of it holds: the cluster had ended it by itself because it took too long. The producer
    /// is of no more use, and this one takes its place.
    Expired(Box<NativeProducer>, KafkaError),
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
                ErrorClass::Retry | ErrorClass::AbortTransaction => self.abort(Some(error), begun),
                ErrorClass::Fatal => self.replace_if_expired(error, begun),
            },
        }
    }

    pub(super) fn abort(&mut self, why: Option<KafkaError>, begun: Nanos) -> Ended {
        let transactions = self.transactions();
        match self.persist(|| transactions.abort(CALL_MAX)) {
            Ok(()) => Ended::Aborted(why),
            Err(error) => self.replace_if_expired(error, begun),
        }
    }

    /// A transaction that the cluster ended because it took too long gives the same error as one
    /// of a producer that was fenced by its successor. Its age tells them apart: only one that was
    /// open for the timeout can have expired, and while the cluster could not be reached for so
    /// long, nobody can have taken over either without its positions being those of the last
    /// commit.
    fn replace_if_expired(&mut self, error: KafkaError, begun: Nanos) -> Ended {
        let age = Duration::from_nanos(clock::monotonic().since(begun));
        if age < self.parts.transaction_timeout {
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
                Ended::Expired(Box::new(producer), error)
            }
            Err(error) => Ended::Failed(error),
        }
    }

    fn transactions(&self) -> TransactionControl {
        let transactions = self.parts.transactions.clone();
        transactions.expect("asked for only where there is a transactional producer")
    }
}
