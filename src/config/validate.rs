//! The rules that a configuration must keep, one function each.
//!
//! Owns: what needs more than one key, or more than a range, to judge. Never does: changing a
//! value.

use std::collections::BTreeMap;

use super::bounds::{TOPIC_NAME, TOPIC_PARTITIONS, every_number_is_in_range};
use super::broker_rules::broker_is_valid;
use super::cluster_rules::clusters_are_valid;
use super::control::control_is_for_this_machine;
use super::placement_rules::placement_is_valid;
use super::resolve::StorageKind;
use super::shard_rules::shards_are_valid;
use super::trace::trace_is_valid;
use super::{Config, ConfigError, TopicConfig};
use crate::limits::{BLOCK_BYTES, PARTITIONS_MAX};

/// Longest name of a shard, a cluster or a place in bytes; `transactions-{name}.dlq` is then a Kafka
/// topic name.
const LABEL_BYTES_MAX: usize = 64;

/// Longest name of a topic in bytes; Kafka's own limit is 249, with `.dlq` behind it.
const TOPIC_NAME_BYTES_MAX: usize = 200;

impl Config {
    /// Checks every rule. Call it again after overriding values, for example from arguments.
    ///
    /// # Errors
    /// The first rule that is broken, with the key and what is allowed.
    pub fn validate(&self) -> Result<(), ConfigError> {
        every_number_is_in_range(self)?;
        remote_addresses_are_allowed(self)?;
        clients_can_connect_once_per_address(self)?;
        control_is_for_this_machine(self)?;
        trace_is_valid(self)?;
        the_directory_is_named(self)?;
        segments_are_whole_blocks(self)?;
        retention_keeps_two_segments(self)?;
        shards_are_valid(self)?;
        topic_names_are_valid_and_differ(self)?;
        topic_partitions_are_in_range(self)?;
        placement_is_valid(self)?;
        broker_is_valid(self)?;
        clusters_are_valid(self)?;
        match self.log.stripes {
            0 => Ok(()),
            stripes => self.validate_layout(stripes),
        }
    }

    /// Checks the partitions against the number of stripes; to be called once that is known, where
    /// `log.stripes` leaves it to the cores or to the data directory. On clusters there are no
    /// stripes, so everything fits.
    ///
    /// # Errors
    /// The key whose number of partitions does not fit.
    pub fn validate_layout(&self, stripes: u16) -> Result<(), ConfigError> {
        match self.storage() {
            StorageKind::Embedded => {}
            StorageKind::Clusters => return Ok(()),
        }
        partitions_are_a_multiple_of_the_stripes(self, stripes)?;
        partitions_fit_one_directory(self, stripes)
    }

    /// Partitions of each shard's topic in a data directory of `stripes` stripes.
    pub fn partitions_of_shard(&self, stripes: u16) -> u32 {
        one_per_stripe_if_zero(self.transactions.partitions, stripes)
    }
}

impl TopicConfig {
    /// Partitions of this topic in a data directory of `stripes` stripes.
    pub fn partitions_on(&self, stripes: u16) -> u32 {
        one_per_stripe_if_zero(self.partitions, stripes)
    }
}

fn one_per_stripe_if_zero(partitions: u32, stripes: u16) -> u32 {
    match partitions {
        0 => u32::from(stripes),
        given => given,
    }
}

/// Nobody opens a port to other machines by accident.
fn remote_addresses_are_allowed(config: &Config) -> Result<(), ConfigError> {
    if config.gateway.allow_remote {
        return Ok(());
    }
    for (index, address) in config.gateway.tcp.iter().enumerate() {
        if !address.ip().is_loopback() {
            return Err(ConfigError::key(
                format!("gateway.tcp[{index}]"),
                format!("{address} can be reached from other machines"),
                "loopback addresses, unless gateway.allow_remote = true",
            ));
        }
    }
    Ok(())
}

/// A repeated address would fail to bind only after the log has been recovered.
fn clients_can_connect_once_per_address(config: &Config) -> Result<(), ConfigError> {
    let mut tcp = BTreeMap::new();
    for (index, address) in config.gateway.tcp.iter().enumerate() {
        // Port 0 asks the system for a free port, so it may be repeated.
        if address.port() != 0 {
            differs(&mut tcp, *address, index, "gateway.tcp", "")?;
        }
    }
    let mut unix = BTreeMap::new();
    for (index, path) in config.gateway.unix.iter().enumerate() {
        if path.as_os_str().is_empty() {
            return Err(ConfigError::key(
                format!("gateway.unix[{index}]"),
                "the path is empty",
                "paths of sockets",
            ));
        }
        differs(&mut unix, path, index, "gateway.unix", "")?;
    }
    Ok(())
}

fn the_directory_is_named(config: &Config) -> Result<(), ConfigError> {
    if config.log.directory.as_os_str().is_empty() {
        return Err(ConfigError::key(
            "log.directory",
            "the path is empty",
            "the path of a directory",
        ));
    }
    Ok(())
}

/// Segments are written without the page cache, in whole blocks.
fn segments_are_whole_blocks(config: &Config) -> Result<(), ConfigError> {
    let bytes = config.log.segment_bytes;
    if !bytes.is_multiple_of(BLOCK_BYTES as u64) {
        return Err(ConfigError::key(
            "log.segment_bytes",
            format!("{bytes} is no multiple of {BLOCK_BYTES}"),
            format!("multiples of {BLOCK_BYTES} bytes"),
        ));
    }
    Ok(())
}

/// One segment is being written, so with less than two nothing sealed would ever be kept.
fn retention_keeps_two_segments(config: &Config) -> Result<(), ConfigError> {
    let bytes = config.log.retention_bytes;
    let least = 2 * config.log.segment_bytes;
    if bytes != 0 && bytes < least {
        return Err(ConfigError::key(
            "log.retention_bytes",
            format!("{bytes} is less than two segments"),
            format!("0 (no bound), or at least {least} bytes (2 x log.segment_bytes)"),
        ));
    }
    Ok(())
}

fn topic_names_are_valid_and_differ(config: &Config) -> Result<(), ConfigError> {
    let mut seen = BTreeMap::new();
    for (index, topic) in config.topics.iter().enumerate() {
        let name = topic.name.as_str();
        // Names that start so belong to the shards' own topics.
        if !is_topic(name) || name.starts_with("transactions-") {
            return Err(ConfigError::key(
                format!("topics[{index}].name"),
                format!("{name:?} is no name of a topic"),
                TOPIC_NAME,
            ));
        }
        differs(&mut seen, name, index, "topics", ".name")?;
    }
    Ok(())
}

fn topic_partitions_are_in_range(config: &Config) -> Result<(), ConfigError> {
    for (index, topic) in config.topics.iter().enumerate() {
        if topic.partitions as usize > PARTITIONS_MAX {
            return Err(ConfigError::key(
                format!("topics[{index}].partitions"),
                format!("{} is out of range", topic.partitions),
                TOPIC_PARTITIONS,
            ));
        }
    }
    Ok(())
}

/// Then a transaction id's hash alone decides the stripe, whichever shard it goes to; and every
/// stripe has a partition of every topic, so that outputs commit in the stripe of their input.
fn partitions_are_a_multiple_of_the_stripes(
    config: &Config,
    stripes: u16,
) -> Result<(), ConfigError> {
    let shards = (
        "transactions.partitions".to_owned(),
        config.transactions.partitions,
    );
    let topics = config
        .topics
        .iter()
        .enumerate()
        .map(|(index, topic)| (format!("topics[{index}].partitions"), topic.partitions));
    for (key, partitions) in std::iter::once(shards).chain(topics) {
        if !partitions.is_multiple_of(u32::from(stripes)) {
            return Err(ConfigError::key(
                key,
                format!("{partitions} partitions do not spread evenly over {stripes} stripes"),
                format!("0 (one per stripe), or a multiple of {stripes}"),
            ));
        }
    }
    Ok(())
}

/// Each shard has its topic and its dead-letter topic, of equal size.
fn partitions_fit_one_directory(config: &Config, stripes: u16) -> Result<(), ConfigError> {
    let of_shards = 2 * config.shards.len() as u64 * u64::from(config.partitions_of_shard(stripes));
    let of_topics: u64 = config
        .topics
        .iter()
        .map(|topic| u64::from(topic.partitions_on(stripes)))
        .sum();
    let total = of_shards + of_topics;
    if total > PARTITIONS_MAX as u64 {
        return Err(ConfigError::key(
            "transactions.partitions",
            format!(
                "{total} partitions in all, {of_shards} of {} shards with their dead-letter \
                 topics and {of_topics} of other topics",
                config.shards.len()
            ),
            format!("{PARTITIONS_MAX} partitions in all"),
        ));
    }
    Ok(())
}

/// Whether a text may name a shard, a cluster or a place.
pub(super) fn is_label(name: &str) -> bool {
    (1..=LABEL_BYTES_MAX).contains(&name.len())
        && name
            .bytes()
            .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
}

/// Whether a text may name a topic, by Kafka's rule.
pub(super) fn is_topic(name: &str) -> bool {
    (1..=TOPIC_NAME_BYTES_MAX).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
        && !matches!(name, "." | "..")
}

/// Notes `value` at `list[index]field`, or names the entry that has the same one.
pub(super) fn differs<T: Ord>(
    seen: &mut BTreeMap<T, usize>,
    value: T,
    index: usize,
    list: &str,
    field: &str,
) -> Result<(), ConfigError> {
    match seen.insert(value, index) {
        None => Ok(()),
        Some(earlier) => Err(ConfigError::key(
            format!("{list}[{index}]{field}"),
            format!("the same as {list}[{earlier}]{field}"),
            "each value once",
        )),
    }
}
