//! One core's end of one cluster: its producer, its consumer and, for `exactly_once`, its
//! transactional producer, with everything that is under way through them.
//!
//! Owns: the three clients, the partitions as this core sees them, and what is read ahead. Never
//! does: waiting; what blocks goes to the helper thread. Runs on: the core.

//!
//! Where to start: `end` holds the parts and the order of a poll. A record's way is `produce`; a
//! message's way is `consume`, `part`, then `outputs` (`at_least_once`) or `transaction`
//! (`exactly_once`). `assign` decides which partitions are processed here.

mod assign;
mod breaker;
mod consume;
mod end;
mod options;
mod outputs;
mod part;
mod produce;
mod transaction;

pub use end::Cluster;
pub use options::{
    Assignment, ClusterOptions, Failover, Guarantee, OutputTopic, ShardTopic, StartError,
};
