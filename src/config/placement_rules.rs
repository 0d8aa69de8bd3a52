//! The rules about where shards and topics are, and which of them this node processes.
//!
//! Owns: what the sections `[[shards]]`, `[[topics]]` and `[membership]` must agree on. Never does:
//! the clusters' own keys ([`super::cluster_rules`]).

use std::collections::BTreeMap;

use super::bounds::{INSTANCE, REPLICATION, SHARD_TOPIC, TOPIC_PARTITIONS};
use super::clusters::{Delivery, EMBEDDED, MembershipMode};
use super::resolve::StorageKind;
use super::validate::{differs, is_label, is_topic};
use super::{Config, ConfigError, ShardConfig};
use crate::ids::ShardId;
use crate::limits::PARTITIONS_MAX;

/// Most copies of a partition that Kafka can be asked for.
const REPLICATION_MAX: u16 = i16::MAX as u16;

pub(super) fn placement_is_valid(config: &Config) -> Result<(), ConfigError> {
    clusters_of_shards_are_there(config)?;
    shards_are_all_embedded_or_all_on_clusters(config)?;
    replication_is_in_range(config)?;
    match config.storage() {
        StorageKind::Embedded => keys_of_clusters_are_not_set(config)?,
        StorageKind::Clusters => {
            topics_of_shards_are_named(config)?;
            topics_of_shards_have_partitions(config)?;
            topics_differ_on_each_cluster(config)?;
        }
    }
    membership_is_valid(config)
}

fn clusters_of_shards_are_there(config: &Config) -> Result<(), ConfigError> {
    for (index, shard) in config.shards.iter().enumerate() {
        if shard.cluster != EMBEDDED && config.cluster_of(shard).is_none() {
            let names: Vec<String> = std::iter::once(EMBEDDED)
                .chain(config.clusters.keys().map(String::as_str))
                .map(|name| format!("{name:?}"))
                .collect();
            return Err(ConfigError::key(
                format!("shards[{index}].cluster"),
                format!("there is no cluster {:?}", shard.cluster),
                names.join(", "),
            ));
        }
    }
    Ok(())
}

fn shards_are_all_embedded_or_all_on_clusters(config: &Config) -> Result<(), ConfigError> {
    let is_embedded = |shard: &ShardConfig| shard.cluster == EMBEDDED;
    let Some(first) = config.shards.first() else {
        return Ok(());
    };
    let other = config
        .shards
        .iter()
        .position(|shard| is_embedded(shard) != is_embedded(first));
    match other {
        None => Ok(()),
        Some(index) => Err(ConfigError::key(
            format!("shards[{index}].cluster"),
            format!(
                "{:?}, but shards[0] is on {:?}: the shards of one node are either all embedded \
                 or all on clusters",
                config.shards[index].cluster, first.cluster
            ),
            if is_embedded(first) {
                "\"embedded\", or a cluster for every shard"
            } else {
                "a cluster for every shard, or \"embedded\" for all"
            },
        )),
    }
}

fn replication_is_in_range(config: &Config) -> Result<(), ConfigError> {
    let shards = config.shards.iter().map(|shard| shard.replication);
    let topics = config.topics.iter().map(|topic| topic.replication);
    let all = shards
        .enumerate()
        .map(|(index, copies)| ("shards", index, copies))
        .chain(
            topics
                .enumerate()
                .map(|(index, copies)| ("topics", index, copies)),
        );
    for (list, index, copies) in all {
        if copies > REPLICATION_MAX {
            return Err(ConfigError::key(
                format!("{list}[{index}].replication"),
                format!("{copies} is out of range"),
                REPLICATION,
            ));
        }
    }
    Ok(())
}

/// What has no effect is refused, so that nobody believes that it has one.
fn keys_of_clusters_are_not_set(config: &Config) -> Result<(), ConfigError> {
    const ON_CLUSTERS: &str = "only with a shard on a cluster";
    for (index, shard) in config.shards.iter().enumerate() {
        let key = |field: &str| format!("shards[{index}].{field}");
        let own = ShardConfig {
            topic: None,
            ..shard.clone()
        };
        if shard.topic_name() != own.topic_name() {
            let problem = format!("the log built in calls it {}", own.topic_name());
            return Err(ConfigError::key(key("topic"), problem, ON_CLUSTERS));
        }
        if shard.partitions != 0 {
            let problem = "in the log built in every shard has transactions.partitions";
            return Err(ConfigError::key(key("partitions"), problem, ON_CLUSTERS));
        }
        if shard.replication != 0 {
            let problem = "the log built in keeps one copy";
            return Err(ConfigError::key(key("replication"), problem, ON_CLUSTERS));
        }
    }
    if let Some(index) = config
        .topics
        .iter()
        .position(|topic| topic.replication != 0)
    {
        return Err(ConfigError::key(
            format!("topics[{index}].replication"),
            "the log built in keeps one copy",
            "only with shards on clusters",
        ));
    }
    Ok(())
}

fn topics_of_shards_are_named(config: &Config) -> Result<(), ConfigError> {
    for (index, shard) in config.shards.iter().enumerate() {
        let topic = shard.topic_name();
        if !is_topic(&topic) {
            return Err(ConfigError::key(
                format!("shards[{index}].topic"),
                format!("{topic:?} is no name of a topic"),
                SHARD_TOPIC,
            ));
        }
    }
    Ok(())
}

/// Without stripes nothing else says how many there are, and every node must say the same.
fn topics_of_shards_have_partitions(config: &Config) -> Result<(), ConfigError> {
    let mut total = 0;
    for (index, shard) in config.shards.iter().enumerate() {
        let key = format!("shards[{index}].partitions");
        match config.shard_partitions(shard) {
            0 => {
                return Err(ConfigError::key(
                    key,
                    "neither it nor transactions.partitions says how many the topic has",
                    format!("1 to {PARTITIONS_MAX} partitions"),
                ));
            }
            partitions if partitions as usize > PARTITIONS_MAX => {
                return Err(ConfigError::key(
                    key,
                    format!("{partitions} is out of range"),
                    TOPIC_PARTITIONS,
                ));
            }
            partitions => total += partitions as usize,
        }
        if total > PARTITIONS_MAX {
            return Err(ConfigError::key(
                key,
                format!("{total} partitions of shards in all"),
                format!("{PARTITIONS_MAX} partitions in all"),
            ));
        }
    }
    Ok(())
}

/// Each cluster has the topics of its shards, their dead letters and state, and each topic of
/// `[[topics]]`.
fn topics_differ_on_each_cluster(config: &Config) -> Result<(), ConfigError> {
    let mut owners: BTreeMap<(&str, String), usize> = BTreeMap::new();
    for (index, shard) in config.shards.iter().enumerate() {
        let topics = [
            shard.topic_name(),
            shard.dead_letter_topic(),
            shard.state_topic(),
        ];
        for topic in topics {
            let taken = |owner: usize| {
                ConfigError::key(
                    format!("shards[{index}].topic"),
                    format!(
                        "{topic:?} on {:?} belongs to shards[{owner}] already",
                        shard.cluster
                    ),
                    "a topic of its own, one for its dead letters (its name with .dlq) and one for its \
                     state (.state)",
                )
            };
            if let Some(owner) = owners.insert((&shard.cluster, topic.clone()), index) {
                return Err(taken(owner));
            }
        }
    }
    for (index, topic) in config.topics.iter().enumerate() {
        let owner = owners.iter().find(|((_, name), _)| *name == topic.name);
        if let Some(((cluster, _), owner)) = owner {
            return Err(ConfigError::key(
                format!("topics[{index}].name"),
                format!("{:?} on {cluster:?} belongs to shards[{owner}]", topic.name),
                "a name that no shard's topic, dead letters or state have",
            ));
        }
    }
    Ok(())
}

fn membership_is_valid(config: &Config) -> Result<(), ConfigError> {
    if config.storage() == StorageKind::Embedded {
        return membership_is_left_alone(config);
    }
    match config.membership.mode {
        MembershipMode::Static => the_shards_of_this_node_are_listed(config)?,
        MembershipMode::Group => the_group_decides_alone(config)?,
    }
    the_instance_is_named(config)
}

/// The log built in belongs to one node, which processes all of it.
fn membership_is_left_alone(config: &Config) -> Result<(), ConfigError> {
    let membership = &config.membership;
    let key = if membership.mode != MembershipMode::Static {
        "membership.mode"
    } else if !membership.shards.is_empty() {
        "membership.shards"
    } else if !membership.instance.is_empty() {
        "membership.instance"
    } else {
        return Ok(());
    };
    Err(ConfigError::key(
        key,
        "every shard is embedded, so this node processes all of them",
        "left out, unless the shards are on clusters",
    ))
}

fn the_shards_of_this_node_are_listed(config: &Config) -> Result<(), ConfigError> {
    let mut seen: BTreeMap<ShardId, usize> = BTreeMap::new();
    for (index, id) in config.membership.shards.iter().enumerate() {
        if !config.shards.iter().any(|shard| shard.id == *id) {
            return Err(ConfigError::key(
                format!("membership.shards[{index}]"),
                format!("no shard has the id {id}"),
                "ids of listed shards",
            ));
        }
        differs(&mut seen, *id, index, "membership.shards", "")?;
    }
    Ok(())
}

fn the_group_decides_alone(config: &Config) -> Result<(), ConfigError> {
    if config.membership.shards.is_empty() {
        return Ok(());
    }
    Err(ConfigError::key(
        "membership.shards",
        "with mode = \"group\" the consumer group decides",
        "left out, or mode = \"static\"",
    ))
}

/// Two nodes of one name would shut each other out; a node without one could not be shut out.
fn the_instance_is_named(config: &Config) -> Result<(), ConfigError> {
    let is_exactly_once = |delivery| match delivery {
        Delivery::ExactlyOnce => true,
        Delivery::AtLeastOnce => false,
    };
    let problem = match config.membership_instance() {
        Some(name) if is_label(&name) => return Ok(()),
        Some(name) if config.membership.instance.is_empty() => format!(
            "the name made from `shards` is too long ({} characters): give one",
            name.len()
        ),
        Some(name) => format!("{name:?} is no name of a place"),
        None => {
            let needed = config
                .clusters
                .iter()
                .find(|(_, cluster)| is_exactly_once(cluster.processing));
            match needed {
                None => return Ok(()),
                Some((cluster, _)) => format!(
                    "needed with mode = \"group\", as clusters.{cluster}.processing = \
                     \"exactly_once\""
                ),
            }
        }
    };
    Err(ConfigError::key("membership.instance", problem, INSTANCE))
}
