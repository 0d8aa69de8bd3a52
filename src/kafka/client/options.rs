//! What a client is connected with besides how it sends or reads.
//!
//! Owns: the options both sides share, and why a client cannot be made. Never does: ask a broker.
//! Runs on: the thread that connects.

use rustix::thread::{CpuSet, sched_setaffinity};

use crate::ids::CpuId;
use crate::kafka::native::{ClientConf, KafkaError, Wake};
use crate::kafka::properties::{ClientSettings, ExtraError, Property};

/// What a client is connected with besides its configuration. The default connects in plain text
/// and holds up to 32 MiB.
#[derive(Clone)]
pub struct ClientOptions {
    /// Name, security, memory, and further properties of librdkafka.
    pub settings: ClientSettings,
    /// The CPUs on which librdkafka's threads and ours may run. Empty: those of the thread that
    /// connects.
    pub cpus: Vec<CpuId>,
}

impl Default for ClientOptions {
    fn default() -> ClientOptions {
        ClientOptions {
            settings: ClientSettings {
                client_id: "corelane".to_owned(),
                memory_bytes: 32 << 20,
                ..ClientSettings::default()
            },
            cpus: Vec::new(),
        }
    }
}

/// Why no client could be made. That nobody answers is no reason: a client goes on trying.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// A list of the configuration has no entry.
    #[error("{field} is empty; allowed: one entry or more")]
    Empty {
        /// Its name.
        field: &'static str,
    },
    /// An entry of `extra` that may not be set there.
    #[error(transparent)]
    Extra(#[from] ExtraError),
    /// librdkafka refuses; names the property and what is allowed.
    #[error(transparent)]
    Client(#[from] KafkaError),
    /// The system has no further thread for us.
    #[error("no thread can be started: {reason}")]
    Thread {
        /// In the system's words.
        reason: String,
    },
}

/// `Ok` for a list with entries.
pub(super) fn not_empty<T>(field: &'static str, list: &[T]) -> Result<(), ConnectError> {
    if list.is_empty() {
        Err(ConnectError::Empty { field })
    } else {
        Ok(())
    }
}

impl ClientOptions {
    /// What librdkafka makes a client from.
    pub(super) fn conf(
        &self,
        properties: &[Property],
        wake: Option<Wake>,
    ) -> Result<ClientConf, KafkaError> {
        let mut conf = ClientConf::new(properties)?;
        if !self.cpus.is_empty() {
            conf.place_threads(&self.cpus);
        }
        if let Some(wake) = wake {
            conf.wake_by(wake);
        }
        Ok(conf)
    }

    /// Lets this thread run where the client's threads may.
    pub(super) fn place_this_thread(&self) {
        if self.cpus.is_empty() {
            return;
        }
        let mut set = CpuSet::new();
        for cpu in self.cpus.iter().filter(|cpu| cpu.index() < CpuSet::MAX_CPU) {
            set.set(cpu.index());
        }
        if let Err(error) = sched_setaffinity(None, &set) {
            tracing::error!(%error, "the thread of a producer could not be placed");
        }
    }
}
