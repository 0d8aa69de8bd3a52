//! Asks a node's control port for its status and its slowest transactions.
//!
//! Owns: how long it waits, and the words for what goes wrong. Never does: reading figures.

use std::net::SocketAddr;
use std::time::Duration;

use serde::Deserialize as _;
use serde_json::Value;
use ureq::Agent;

use super::model::Status;

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

    /// What the node tells of itself: the page `/v1/status`, with `/v1/slow` in it under `slow` where the
    /// node has that. As it is read here, and all of it, for whoever knows other keys.
    pub fn told(&self) -> Result<(Status, Value), ClientError> {
        let status = self.page("/v1/status")?;
        let mut whole = status.ok_or_else(|| self.not_ours("it has no /v1/status"))?;
        let read =
            |value: &Value| Status::deserialize(value).map_err(|error| self.not_ours(&error));
        // Before the other page is asked for: what is no node has none.
        let status = read(&whole)?;
        let Some(slow) = self.page("/v1/slow")? else {
            return Ok((status, whole));
        };
        if let Some(keys) = whole.as_object_mut() {
            keys.insert("slow".to_owned(), slow);
        }
        Ok((read(&whole)?, whole))
    }

    /// A page of the node; none where it has no such page.
    fn page(&self, path: &str) -> Result<Option<Value>, ClientError> {
        let no_answer = |error: ureq::Error| ClientError::NoAnswer {
            address: self.address,
            reason: error.to_string(),
        };
        let url = format!("http://{}{path}", self.address);
        let mut answer = self.agent.get(url).call().map_err(no_answer)?;
        match answer.status().as_u16() {
            200 => {}
            404 => return Ok(None),
            other => return Err(self.not_ours(&format!("it answers {other}"))),
        }
        let text = answer.body_mut().read_to_string().map_err(no_answer)?;
        let page = serde_json::from_str(&text).map_err(|error| self.not_ours(&error))?;
        Ok(Some(page))
    }

    /// The node's answer is none of a node's.
    fn not_ours(&self, reason: &(impl ToString + ?Sized)) -> ClientError {
        ClientError::NotOurs {
            address: self.address,
            reason: reason.to_string(),
        }
    }
}
