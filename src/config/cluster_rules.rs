//! The rules that one cluster's section must keep, one function each.
//!
//! Owns: what contradicts itself, or what librdkafka or Kafka would refuse or undo later, at a time
//! when nobody looks. Never does: talking to a cluster.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use super::bounds::CLUSTER_NAME;
use super::cluster_bounds::{BROKERS, GROUP_ID, every_number_is_in_range};
use super::clusters::{ClusterConfig, Delivery, EMBEDDED, Failover, SaslConfig, TlsConfig};
use super::extra::extras_leave_alone_what_is_relied_on;
use super::resolve::password_in;
use super::validate::{differs, is_label};
use super::{Config, ConfigError};
use crate::ids::Acks;
use crate::kafka::properties::IsolationLevel;

/// Longest name of a consumer group in bytes.
const GROUP_ID_BYTES_MAX: usize = 249;

pub(super) fn clusters_are_valid(config: &Config) -> Result<(), ConfigError> {
    for (name, cluster) in &config.clusters {
        let section = Section { name, cluster };
        section.is_named()?;
        section.is_used(config)?;
        every_number_is_in_range(name, cluster)?;
        section.brokers_are_addresses()?;
        section.the_group_is_named()?;
        section.tls_files_are_there()?;
        section.sasl_has_a_user_and_one_password()?;
        extras_leave_alone_what_is_relied_on(config, name, cluster)?;
        section.a_batch_is_sent_before_it_expires()?;
        section.acks_hold_what_receipts_promise(config)?;
        section.exactly_once_is_possible()?;
        section.failover_has_somewhere_to_go(config)?;
    }
    Ok(())
}

/// One cluster and its name.
struct Section<'a> {
    name: &'a str,
    cluster: &'a ClusterConfig,
}

impl Section<'_> {
    /// An error about `key` of this cluster.
    fn error(
        &self,
        key: &str,
        problem: impl Into<String>,
        allowed: impl Into<String>,
    ) -> ConfigError {
        ConfigError::key(format!("clusters.{}.{key}", self.name), problem, allowed)
    }

    fn is_named(&self) -> Result<(), ConfigError> {
        if is_label(self.name) && self.name != EMBEDDED {
            return Ok(());
        }
        Err(ConfigError::key(
            format!("clusters.{}", self.name),
            format!("{:?} is no name of a cluster", self.name),
            CLUSTER_NAME,
        ))
    }

    /// Most likely a shard names another cluster by mistake.
    fn is_used(&self, config: &Config) -> Result<(), ConfigError> {
        if config.shards_on(self.name).next().is_some() {
            return Ok(());
        }
        Err(ConfigError::key(
            format!("clusters.{}", self.name),
            "no shard uses it",
            "clusters that a shard names with `cluster`",
        ))
    }

    fn brokers_are_addresses(&self) -> Result<(), ConfigError> {
        let brokers = &self.cluster.brokers;
        if brokers.is_empty() {
            return Err(self.error("brokers", "none is listed", BROKERS));
        }
        let list = format!("clusters.{}.brokers", self.name);
        let mut seen = BTreeMap::new();
        for (index, broker) in brokers.iter().enumerate() {
            if !is_address(broker) {
                return Err(self.error(
                    &format!("brokers[{index}]"),
                    format!("{broker:?} is no address"),
                    BROKERS,
                ));
            }
            differs(&mut seen, broker, index, &list, "")?;
        }
        Ok(())
    }

    fn the_group_is_named(&self) -> Result<(), ConfigError> {
        let group = &self.cluster.consumer.group_id;
        if (1..=GROUP_ID_BYTES_MAX).contains(&group.len()) {
            return Ok(());
        }
        Err(self.error(
            "consumer.group_id",
            format!("{} characters long", group.len()),
            GROUP_ID,
        ))
    }

    fn tls_files_are_there(&self) -> Result<(), ConfigError> {
        let Some(TlsConfig {
            ca,
            certificate,
            key,
            key_password,
            verify_hostname: _,
        }) = &self.cluster.tls
        else {
            return Ok(());
        };
        match (certificate, key) {
            (Some(_), None) => {
                return Err(self.error("tls.certificate", "its `key` is missing", "both or none"));
            }
            (None, Some(_)) => {
                return Err(self.error("tls.key", "its `certificate` is missing", "both or none"));
            }
            (Some(_), Some(_)) | (None, None) => {}
        }
        if key_password.is_some() && key.is_none() {
            return Err(self.error("tls.key_password", "there is no `key`", "only with `key`"));
        }
        for (name, path) in [
            ("tls.ca", ca),
            ("tls.certificate", certificate),
            ("tls.key", key),
        ] {
            if let Some(path) = path {
                File::open(path).map_err(|error| self.unreadable(name, path, &error))?;
            }
        }
        Ok(())
    }

    fn unreadable(&self, key: &str, path: &Path, error: &std::io::Error) -> ConfigError {
        self.error(
            key,
            format!("{} cannot be read: {error}", path.display()),
            "a file that this process may read",
        )
    }

    fn sasl_has_a_user_and_one_password(&self) -> Result<(), ConfigError> {
        const ONE: &str = "exactly one of `password` and `password_file`";
        let Some(SaslConfig {
            mechanism: _,
            username,
            password,
            password_file,
        }) = &self.cluster.sasl
        else {
            return Ok(());
        };
        if username.is_empty() {
            return Err(self.error("sasl.username", "it is missing", "a name"));
        }
        match (password, password_file) {
            (Some(_), Some(_)) => Err(self.error("sasl.password", "given twice", ONE)),
            (None, None) => Err(self.error("sasl.password", "it is missing", ONE)),
            (Some(password), None) if password.is_empty() => {
                Err(self.error("sasl.password", "it is empty", "a password"))
            }
            (Some(_), None) => Ok(()),
            (None, Some(file)) => {
                let key = "sasl.password_file";
                let password =
                    password_in(file).map_err(|error| self.unreadable(key, file, &error))?;
                if password.is_empty() {
                    let problem = format!("{} is empty", file.display());
                    return Err(self.error(key, problem, "a file that holds the password"));
                }
                Ok(())
            }
        }
    }

    /// librdkafka refuses this too, but only when the client is made.
    fn a_batch_is_sent_before_it_expires(&self) -> Result<(), ConfigError> {
        let producer = self.cluster.producer();
        if producer.linger_ms < f64::from(producer.timeout_ms) {
            return Ok(());
        }
        Err(self.error(
            "producer.linger_ms",
            format!(
                "{} is not less than timeout_ms = {}: every record would fail before it is sent",
                producer.linger_ms, producer.timeout_ms
            ),
            "less than timeout_ms",
        ))
    }

    fn acks_hold_what_receipts_promise(&self, config: &Config) -> Result<(), ConfigError> {
        let (written, promised) = (self.cluster.producer().acks, config.transactions.acks);
        if self.is_exactly_once() && written != Acks::All {
            return Err(self.error(
                "producer.acks",
                format!(
                    "\"{written}\" contradicts processing = \"exactly_once\": a lost record could \
                     not be told from a written one"
                ),
                "\"all\", or processing = \"at_least_once\"",
            ));
        }
        if promised > written {
            return Err(self.error(
                "producer.acks",
                format!(
                    "\"{written}\" is less than receipts promise: transactions.acks = \
                     \"{promised}\""
                ),
                format!("\"{promised}\" or more"),
            ));
        }
        Ok(())
    }

    fn is_exactly_once(&self) -> bool {
        match self.cluster.processing {
            Delivery::ExactlyOnce => true,
            Delivery::AtLeastOnce => false,
        }
    }

    fn exactly_once_is_possible(&self) -> Result<(), ConfigError> {
        if !self.is_exactly_once() {
            return Ok(());
        }
        if self.cluster.consumer(Vec::new()).isolation_level == IsolationLevel::ReadUncommitted {
            return Err(self.error(
                "consumer.isolation_level",
                "\"read_uncommitted\" contradicts processing = \"exactly_once\": what an aborted \
                 transaction wrote would be processed",
                "\"read_committed\", or processing = \"at_least_once\"",
            ));
        }
        let transaction = &self.cluster.transaction;
        if transaction.interval_ms >= f64::from(transaction.timeout_ms) {
            return Err(self.error(
                "transaction.interval_ms",
                format!(
                    "{} is not less than timeout_ms = {}: brokers would abort every transaction",
                    transaction.interval_ms, transaction.timeout_ms
                ),
                "less than timeout_ms",
            ));
        }
        let record_ms = self.cluster.producer().timeout_ms;
        if transaction.timeout_ms < record_ms {
            return Err(self.error(
                "transaction.timeout_ms",
                format!(
                    "{} is less than producer.timeout_ms = {record_ms}: a record would outlive \
                     its transaction",
                    transaction.timeout_ms
                ),
                format!("at least {record_ms} milliseconds"),
            ));
        }
        Ok(())
    }

    fn failover_has_somewhere_to_go(&self, config: &Config) -> Result<(), ConfigError> {
        match self.cluster.failover {
            Failover::Wait => Ok(()),
            Failover::NextNearest if config.clusters.len() > 1 => Ok(()),
            Failover::NextNearest => Err(self.error(
                "failover",
                "\"next-nearest\" needs a second cluster to go to",
                "\"wait\", or at least two clusters",
            )),
        }
    }
}

/// Whether a text is `host:port`, with an IPv6 address in brackets.
fn is_address(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else {
        return false;
    };
    let is_host = match host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
    {
        Some(ip) => ip.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            !host.is_empty()
                && host
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
        }
    };
    is_host && port.parse::<u16>().is_ok_and(|port| port != 0)
}
