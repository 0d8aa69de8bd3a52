//! Asks a node's control port for its status.
//!
//! Owns: how long it waits, and the words for what goes wrong. Never does: reading the page.

use std::net::SocketAddr;
use std::time::Duration;

use ureq::Agent;

/// How long an answer may take. The node has it ready within milliseconds; the rest is the network.
const PATIENCE: Duration = Duration::from_secs(5);

/// A node, by its control port.
#[derive(Clone, Debug)]
pub(super) struct Node {
    agent: Agent,
    address: SocketAddr,
}

/// Why there is no status.
#[derive(Debug, thiserror::Error)]
pub(super) enum ClientError {
    /// Nobody answers, or not in time.
    #[error(
        "no answer from the control port {address}: {reason}; is a node running there, with \
         [control] http on?"
    )]
    NoAnswer {
        /// Who was asked.
        address: SocketAddr,
        /// What the system said.
        reason: String,
    },
    /// Somebody answers who is no node.
    #[error("what answers at {address} is no corelane control port: {reason}")]
    NotOurs {
        /// Who was asked.
        address: SocketAddr,
        /// What is wrong with the answer.
        reason: String,
    },
}

impl Node {
    /// The node whose control port is there. Nothing is asked yet.
    pub fn new(address: SocketAddr) -> Node {
        let config = Agent::config_builder()
            .timeout_global(Some(PATIENCE))
            .http_status_as_error(false)
            .max_redirects(0)
            // A proxy for the web knows nothing of a loopback port.
            .proxy(None)
            .build();
        Node {
            agent: config.new_agent(),
            address,
        }
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The page `/v1/status`.
    pub fn status(&self) -> Result<String, ClientError> {
        let no_answer = |error: ureq::Error| ClientError::NoAnswer {
            address: self.address,
            reason: error.to_string(),
        };
        let url = format!("http://{}/v1/status", self.address);
        let mut answer = self.agent.get(url).call().map_err(no_answer)?;
        if answer.status() != 200 {
            return Err(self.not_ours(&format!("it answers {}", answer.status())));
        }
        answer.body_mut().read_to_string().map_err(no_answer)
    }

    /// The node's answer is none of a node's.
    pub fn not_ours(&self, reason: &impl ToString) -> ClientError {
        ClientError::NotOurs {
            address: self.address,
            reason: reason.to_string(),
        }
    }
}
