//! The rules that the section `[broker]` must keep, one function each.
//!
//! Owns: what contradicts itself, and what would open the log to other machines by accident. Never
//! does: ranges of single numbers ([`super::bounds`]); binding an address.

use std::collections::BTreeMap;
use std::fs::File;
use std::net::SocketAddr;
use std::path::Path;

use super::broker::BrokerConfig;
use super::resolve::StorageKind;
use super::validate::differs;
use super::{Config, ConfigError};
use crate::kafka::properties::SaslMechanism;

/// The topic that clients write transactions to; it is no topic of the log.
pub const INLET: &str = "transactions";

/// Longest name of a user, and longest password, in bytes.
const CREDENTIAL_BYTES_MAX: usize = 255;

pub(super) fn broker_is_valid(config: &Config) -> Result<(), ConfigError> {
    let broker = &config.broker;
    match config.storage() {
        StorageKind::Embedded => the_inlet_is_no_output(config)?,
        StorageKind::Clusters => return clusters_have_no_listener(broker),
    }
    listeners_differ(config)?;
    each_listener_can_be_advertised(broker)?;
    numbers_fit_each_other(broker)?;
    retention_is_a_bound(broker)?;
    users_can_authenticate(broker)?;
    tls_has_its_files(broker)?;
    nobody_gets_in_by_accident(broker)?;
    passwords_are_not_sent_in_clear(broker)
}

/// Whoever asked for a listener in so many words has to hear that there is none.
fn clusters_have_no_listener(broker: &BrokerConfig) -> Result<(), ConfigError> {
    let usual = BrokerConfig::default().listen;
    let key = if !broker.tls_listen.is_empty() {
        "broker.tls_listen"
    } else if !broker.listen.is_empty() && broker.listen != usual {
        "broker.listen"
    } else {
        return Ok(());
    };
    Err(ConfigError::key(
        key,
        "the shards are on clusters, so there is no log here that could be served",
        "left out, or []",
    ))
}

fn the_inlet_is_no_output(config: &Config) -> Result<(), ConfigError> {
    for (index, topic) in config.topics.iter().enumerate() {
        if topic.name == INLET {
            return Err(ConfigError::key(
                format!("topics[{index}].name"),
                "Kafka clients submit transactions under this name",
                "another name",
            ));
        }
    }
    Ok(())
}

/// As with the gateway: a repeated address would fail to bind only after recovery.
fn listeners_differ(config: &Config) -> Result<(), ConfigError> {
    let broker = &config.broker;
    let mut seen: BTreeMap<SocketAddr, String> = BTreeMap::new();
    let lists = [
        ("gateway.tcp", &config.gateway.tcp),
        ("broker.listen", &broker.listen),
        ("broker.tls_listen", &broker.tls_listen),
    ];
    for (list, addresses) in lists {
        for (index, address) in addresses.iter().enumerate() {
            let key = format!("{list}[{index}]");
            // Port 0 asks the system for a free port, so it may be repeated.
            if address.port() == 0 {
                continue;
            }
            if let Some(earlier) = seen.insert(*address, key.clone()) {
                let problem = format!("the same as {earlier}");
                return Err(ConfigError::key(key, problem, "each address once"));
            }
        }
    }
    Ok(())
}

/// A client connects to what it is told, not to where it found us.
fn each_listener_can_be_advertised(broker: &BrokerConfig) -> Result<(), ConfigError> {
    let lists = [
        ("listen", &broker.listen),
        ("tls_listen", &broker.tls_listen),
    ];
    if broker.advertised.is_empty() {
        for (list, addresses) in lists {
            let any = addresses.iter().position(|it| it.ip().is_unspecified());
            if let Some(index) = any {
                return Err(ConfigError::key(
                    format!("broker.{list}[{index}]"),
                    format!("clients cannot connect to {}", addresses[index]),
                    "an address of this machine, or broker.advertised",
                ));
            }
        }
        return Ok(());
    }
    let listeners = broker.listen.len() + broker.tls_listen.len();
    if broker.advertised.len() != listeners {
        return Err(ConfigError::key(
            "broker.advertised",
            format!("{} for {listeners} listeners", broker.advertised.len()),
            "one for each of listen, then one for each of tls_listen; or none at all",
        ));
    }
    for (index, address) in broker.advertised.iter().enumerate() {
        if host_and_port(address).is_none() {
            return Err(ConfigError::key(
                format!("broker.advertised[{index}]"),
                format!("{address:?} is no address"),
                "\"HOST:PORT\" (IPv6 as \"[IP]:PORT\")",
            ));
        }
    }
    Ok(())
}

/// Host and port of `HOST:PORT` or `[IP]:PORT`; none where it is neither, or where the port is 0.
pub(super) fn host_and_port(address: &str) -> Option<(&str, u16)> {
    let (host, port) = address.rsplit_once(':')?;
    let port = port.parse().ok().filter(|port| *port != 0)?;
    let bare = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let host = match bare {
        Some(ip) => ip.parse::<std::net::Ipv6Addr>().ok().map(|_| ip)?,
        None => host,
    };
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    let is_host = bare.is_some() || (!host.is_empty() && host.bytes().all(is_name));
    is_host.then_some((host, port))
}

fn numbers_fit_each_other(broker: &BrokerConfig) -> Result<(), ConfigError> {
    let request = u64::from(broker.request_bytes_max);
    let pairs = [
        (
            "broker.request_bytes_max",
            request,
            "broker.message_bytes_max",
            u64::from(broker.message_bytes_max),
        ),
        (
            "broker.connection_bytes_max",
            broker.connection_bytes_max,
            "broker.request_bytes_max",
            request,
        ),
        (
            "broker.bytes_max",
            broker.bytes_max,
            "broker.connection_bytes_max",
            broker.connection_bytes_max,
        ),
        (
            "broker.group_max_session_timeout_ms",
            broker.group_max_session_timeout_ms.into(),
            "broker.group_min_session_timeout_ms",
            broker.group_min_session_timeout_ms.into(),
        ),
    ];
    for (key, value, of, least) in pairs {
        if value < least {
            return Err(ConfigError::key(
                key,
                format!("{value} is less than {of}, {least}"),
                format!("{least} and more"),
            ));
        }
    }
    Ok(())
}

fn retention_is_a_bound(broker: &BrokerConfig) -> Result<(), ConfigError> {
    let bounds = [
        ("retention_ms", broker.retention_ms),
        ("retention_bytes", broker.retention_bytes),
        ("offsets_retention_ms", broker.offsets_retention_ms),
    ];
    for (key, value) in bounds {
        if value < -1 {
            return Err(ConfigError::key(
                format!("broker.{key}"),
                format!("{value} is out of range"),
                "-1 (no bound), 0 and more",
            ));
        }
    }
    Ok(())
}

fn users_can_authenticate(broker: &BrokerConfig) -> Result<(), ConfigError> {
    let mut seen = BTreeMap::new();
    for (index, mechanism) in broker.sasl.iter().enumerate() {
        differs(&mut seen, mechanism.to_string(), index, "broker.sasl", "")?;
    }
    match (broker.sasl.is_empty(), broker.users.is_empty()) {
        (false, true) => {
            return Err(ConfigError::key(
                "broker.sasl",
                "nobody could authenticate: there is no [[broker.users]]",
                "[], or users",
            ));
        }
        // Whoever lists users believes that the others are kept out.
        (true, false) => {
            return Err(ConfigError::key(
                "broker.users",
                "nobody is asked for a password: broker.sasl is empty",
                "mechanisms in broker.sasl, or no users",
            ));
        }
        (true, true) | (false, false) => {}
    }
    let mut names = BTreeMap::new();
    for (index, user) in broker.users.iter().enumerate() {
        let fits = |text: &str| (1..=CREDENTIAL_BYTES_MAX).contains(&text.len());
        let allowed = format!("1 to {CREDENTIAL_BYTES_MAX} bytes");
        if !fits(&user.name) {
            let key = format!("broker.users[{index}].name");
            return Err(ConfigError::key(key, "it does not fit", allowed));
        }
        if !fits(user.password.reveal()) {
            let key = format!("broker.users[{index}].password");
            return Err(ConfigError::key(key, "it does not fit", allowed));
        }
        differs(&mut names, &user.name, index, "broker.users", ".name")?;
    }
    Ok(())
}

fn tls_has_its_files(broker: &BrokerConfig) -> Result<(), ConfigError> {
    let Some(tls) = &broker.tls else {
        if broker.tls_listen.is_empty() {
            return Ok(());
        }
        return Err(ConfigError::key(
            "broker.tls_listen",
            "there is no certificate to show: [broker.tls] is missing",
            "[], or [broker.tls] with certificate and key",
        ));
    };
    let files: [(&str, Option<&Path>); 3] = [
        ("certificate", Some(&tls.certificate)),
        ("key", Some(&tls.key)),
        ("client_ca", tls.client_ca.as_deref()),
    ];
    for (key, path) in files {
        let Some(path) = path else { continue };
        File::open(path).map_err(|error| {
            ConfigError::key(
                format!("broker.tls.{key}"),
                format!("{} cannot be read: {error}", path.display()),
                "a file that this process may read",
            )
        })?;
    }
    Ok(())
}

/// Without authentication, only this machine's own users get in.
fn nobody_gets_in_by_accident(broker: &BrokerConfig) -> Result<(), ConfigError> {
    if broker.allow_unauthenticated || !broker.sasl.is_empty() {
        return Ok(());
    }
    let shows_certificates = broker.tls.as_ref().is_some_and(|it| it.client_ca.is_some());
    let lists = [
        ("listen", Some(&broker.listen)),
        (
            "tls_listen",
            (!shows_certificates).then_some(&broker.tls_listen),
        ),
    ];
    for (list, addresses) in lists {
        for (index, address) in addresses.into_iter().flatten().enumerate() {
            if !address.ip().is_loopback() {
                return Err(ConfigError::key(
                    format!("broker.{list}[{index}]"),
                    format!("{address} can be reached from other machines, by anybody"),
                    "loopback addresses, unless broker.sasl is set or \
                     broker.allow_unauthenticated = true",
                ));
            }
        }
    }
    Ok(())
}

/// PLAIN sends the password itself.
fn passwords_are_not_sent_in_clear(broker: &BrokerConfig) -> Result<(), ConfigError> {
    if !broker.sasl.contains(&SaslMechanism::Plain) {
        return Ok(());
    }
    for (index, address) in broker.listen.iter().enumerate() {
        if !address.ip().is_loopback() {
            return Err(ConfigError::key(
                format!("broker.listen[{index}]"),
                format!("with PLAIN, passwords would be sent to {address} in clear"),
                "loopback addresses; others in broker.tls_listen, or without PLAIN",
            ));
        }
    }
    Ok(())
}
