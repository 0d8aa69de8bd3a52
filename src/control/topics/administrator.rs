//! The administrator's thread: one change after the other, each durable before anybody sees it.
//!
//! Owns: the data directory's catalog from the start of the node to its end, and so the directory's
//! lock. Never does: anything to records; judging requests ([`super::work`]). Runs on: a
//! housekeeping thread of its own.

use std::sync::Arc;
use std::thread::JoinHandle;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::{RequestKind, ResponseKind};

use super::facts::Facts;
use super::failed::with_error;
use super::refusal::Refusal;
use super::work::Work;
use crate::broker::admin::{AdminCall, AdminEnd, Change, StopAdmin, Stopping};
use crate::broker::view::View;
use crate::control::error::StartError;
use crate::control::http::TopicCounts;
use crate::ids::PartitionId;
use crate::log::directory::{DataDirectory, new_uuid};
use crate::log::stripe::TopicRetention;

/// The catalog of an open data directory, and what is needed to change it.
#[derive(Debug)]
pub struct Topics {
    directory: DataDirectory,
    facts: Facts,
    counts: Arc<TopicCounts>,
}

impl Topics {
    /// Takes the directory over, once the engine's own topics are there.
    pub fn new(directory: DataDirectory, facts: Facts) -> Topics {
        let topics = Topics {
            directory,
            facts,
            counts: Arc::default(),
        };
        topics.count();
        topics
    }

    /// How many topics and partitions there are, from now on.
    pub(in crate::control) fn counts(&self) -> Arc<TopicCounts> {
        Arc::clone(&self.counts)
    }

    fn count(&self) {
        let catalog = self.directory.catalog();
        let topics = catalog.topics();
        let partitions: usize = topics.iter().map(|topic| topic.partitions.len()).sum();
        self.counts.set(topics.len() as u64, partitions as u64);
    }

    /// What clients may know at the start.
    pub fn view(&self) -> Arc<View> {
        Arc::new(self.facts.view(&self.directory.catalog()))
    }

    /// How long each partition keeps its records at the start, by id.
    pub fn retentions(&self) -> impl Iterator<Item = (PartitionId, TopicRetention)> {
        self.facts.retentions(&self.directory.catalog()).into_iter()
    }

    /// Does what a request asks for, durably. The change is to be made known before the answer is;
    /// none: nothing is to be. No answer: the request is not for the administrator.
    pub fn execute(
        &mut self,
        version: i16,
        request: RequestKind,
    ) -> (Option<Change>, Option<ResponseKind>) {
        let old = self.directory.catalog();
        let mut uuid = || new_uuid().map_err(|error| error.to_string());
        let mut work = Work {
            facts: &self.facts,
            catalog: (*old).clone(),
            uuid: &mut uuid,
        };
        let response = work.execute(version, request);
        let new = work.catalog;
        if new == *old {
            return (None, response);
        }
        match self.directory.replace_catalog(new) {
            Ok(()) => {
                self.count();
                let change = self.facts.change(&old, &self.directory.catalog());
                (Some(change), response)
            }
            Err(error) => {
                tracing::error!(%error, "the catalog cannot be written: topics stay as they are");
                let refusal = Refusal::new(ResponseError::KafkaStorageError, error.to_string());
                (
                    None,
                    response.map(|response| with_error(response, &refusal)),
                )
            }
        }
    }
}

/// The running administrator. Dropping it ends its thread and gives the data directory up.
#[derive(Debug)]
pub struct Administrator {
    stop: StopAdmin,
    thread: Option<JoinHandle<()>>,
}

impl Administrator {
    /// Starts the thread, on the CPUs of the caller.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn spawn(
        topics: Topics,
        end: AdminEnd,
        stop: StopAdmin,
    ) -> Result<Administrator, StartError> {
        let thread = std::thread::Builder::new()
            .name("administrator".to_owned())
            .spawn(move || serve(topics, &end))
            .map_err(|error| StartError::System {
                what: "starting the administrator",
                reason: error.to_string(),
            })?;
        Ok(Administrator {
            stop,
            thread: Some(thread),
        })
    }
}

impl Drop for Administrator {
    fn drop(&mut self) {
        self.stop.stop();
        if let Some(thread) = self.thread.take() {
            // If it has panicked, that was said on its own thread.
            let _ = thread.join();
        }
    }
}

fn serve(mut topics: Topics, end: &AdminEnd) {
    while let Some(call) = end.next() {
        if let Err(Stopping) = one(&mut topics, end, call) {
            return;
        }
    }
}

fn one(topics: &mut Topics, end: &AdminEnd, call: AdminCall) -> Result<(), Stopping> {
    let (change, response) = topics.execute(call.version, *call.request);
    if let Some(change) = change {
        end.publish(change)?;
    }
    match response {
        Some(response) => end.answer(call.to, Box::new(response)),
        None => {
            tracing::error!(core = %call.to.0, "a request that is not the administrator's");
            Ok(())
        }
    }
}
