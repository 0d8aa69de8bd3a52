//! Why a node does not start.

use std::net::SocketAddr;

use crate::cpu::{CpuSet, LayoutFileError, PlanError};
use crate::geo::ShardTableError;
use crate::ids::StripeId;
use crate::location::LocationError;
use crate::log::directory::DirectoryError;
use crate::log::recover::RecoverError;

/// Why a node does not start. What was begun has been taken back.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// More cores than CPUs.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The layout of CPUs cannot be read or is none.
    #[error(transparent)]
    Layout(#[from] LayoutFileError),
    /// The layout of CPUs is not of this boot or host.
    #[error("{0}; to start without a layout: --allow-unplanned (node.allow_unplanned)")]
    StaleLayout(LayoutFileError),
    /// The layout names CPUs that this process is kept from.
    #[error(
        "{path}: this process may not use CPU {cpus}: a cpuset or a container keeps it from there; \
         to start without a layout: --allow-unplanned (node.allow_unplanned), or node.layout = \
         \"none\""
    )]
    LayoutOutOfReach {
        /// The layout's file.
        path: String,
        /// The CPUs.
        cpus: CpuSet,
    },
    /// The shard table.
    #[error("shard table: {0}")]
    Shards(#[from] ShardTableError),
    /// A shard's place.
    #[error("shard {shard}: {source}")]
    Location {
        /// Which shard.
        shard: String,
        /// What is wrong.
        source: LocationError,
    },
    /// The Kafka listener's certificates or users.
    #[error("broker: {reason}")]
    Broker {
        /// What is wrong.
        reason: String,
    },
    /// The data directory.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// The partitions of a topic do not fit the directory's stripes.
    #[error(
        "{topic}: partitions is {partitions}, but the data directory has {stripes} stripes; \
         allowed: a multiple of {stripes}, or 0 for one per stripe"
    )]
    Partitions {
        /// The topic; `transactions` for those of the shards.
        topic: String,
        /// Configured.
        partitions: u32,
        /// Of the directory.
        stripes: u16,
    },
    /// More cores than the partitions of the shards allow.
    #[error(
        "{cores} cores were asked for, but the greatest common divisor of the shards' partitions \
         is {lanes}, and the hash of an id must decide its core; allowed: 1 to {lanes} (node.cores)"
    )]
    Lanes {
        /// Asked for.
        cores: u32,
        /// Cores at the most.
        lanes: u32,
    },
    /// A cluster does not give what the start needs.
    #[error("cluster {cluster}: {reason}")]
    Cluster {
        /// Which.
        cluster: String,
        /// Why.
        reason: String,
    },
    /// A stripe cannot be recovered.
    #[error("stripe {stripe} cannot be recovered: {source}")]
    Recover {
        /// Which.
        stripe: StripeId,
        /// Why.
        source: Box<RecoverError>,
    },
    /// An address is taken or not allowed.
    #[error("cannot listen on {address}: {reason}")]
    Listen {
        /// The address or path.
        address: String,
        /// Why.
        reason: String,
    },
    /// The control port cannot be opened.
    #[error(
        "control.http: cannot listen on {address}: {reason}; another address: --control, none: \
         control.http = \"\""
    )]
    Control {
        /// Where.
        address: SocketAddr,
        /// Why.
        reason: String,
    },
    /// A thread, an executor or a file that the start needs.
    #[error("{what}: {reason}")]
    System {
        /// What was tried.
        what: &'static str,
        /// What came of it.
        reason: String,
    },
}
