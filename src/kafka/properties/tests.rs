use std::collections::BTreeMap;
use std::path::PathBuf;
use std::str::FromStr;

use super::*;
use crate::ids::Acks;
use crate::kafka::native::{ClientConf, NativeConsumer, NativeProducer};

fn settings() -> ClientSettings {
    ClientSettings {
        client_id: "corelane-0".to_owned(),
        memory_bytes: 32 * 1024 * 1024,
        ..ClientSettings::default()
    }
}

fn secure() -> ClientSettings {
    ClientSettings {
        security: Security {
            tls: Some(Tls {
                ca: Some(PathBuf::from("ca.pem")),
                certificate: Some(PathBuf::from("own.pem")),
                key: Some(PathBuf::from("own.key")),
                key_password: Some("hush1".to_owned()),
                verify_hostname: VerifyHostname::No,
            }),
            sasl: Some(Sasl {
                mechanism: SaslMechanism::ScramSha512,
                username: "user".to_owned(),
                password: "hush2".to_owned(),
            }),
        },
        ..settings()
    }
}

fn transactional(timeout_ms: u32) -> ProducerRole {
    ProducerRole::Transactional {
        id: "tid".to_owned(),
        timeout_ms,
    }
}

fn producer(config: &ProducerConfig, role: &ProducerRole) -> BTreeMap<String, String> {
    let list = producer_properties(config, &settings(), role).unwrap();
    let map: BTreeMap<String, String> = list.iter().cloned().collect();
    assert_eq!(map.len(), list.len(), "a property is set twice: {list:?}");
    map
}

fn consumer(config: &ConsumerConfig, membership: Membership) -> BTreeMap<String, String> {
    let list = consumer_properties(config, &settings(), membership).unwrap();
    let map: BTreeMap<String, String> = list.iter().cloned().collect();
    assert_eq!(map.len(), list.len(), "a property is set twice: {list:?}");
    map
}

#[test]
fn librdkafka_makes_a_producer_of_every_combination() {
    for profile in [ProducerConfig::latency(), ProducerConfig::throughput()] {
        for acks in [Acks::None, Acks::Leader, Acks::All] {
            for compression_type in CompressionType::ALL.iter().copied() {
                let config = ProducerConfig {
                    brokers: vec!["127.0.0.1:1".to_owned()],
                    acks,
                    compression_type,
                    ..profile.clone()
                };
                let list = producer_properties(&config, &settings(), &ProducerRole::Plain);
                ClientConf::new(&list.unwrap()).unwrap();
            }
        }
        for role in [
            ProducerRole::Plain,
            transactional(1_000),
            transactional(60_000),
        ] {
            let list = producer_properties(&profile, &settings(), &role).unwrap();
            NativeProducer::new(ClientConf::new(&list).unwrap()).unwrap();
        }
    }
}

#[test]
fn librdkafka_makes_a_consumer_of_every_combination() {
    for membership in [Membership::Static, Membership::Group] {
        for isolation_level in IsolationLevel::ALL.iter().copied() {
            for (fetch_max_wait_ms, memory_bytes) in [(0, 0), (500, 1 << 25), (300_000, u64::MAX)] {
                let config = ConsumerConfig {
                    isolation_level,
                    fetch_max_wait_ms,
                    ..ConsumerConfig::default()
                };
                let settings = ClientSettings {
                    memory_bytes,
                    ..settings()
                };
                let list = consumer_properties(&config, &settings, membership).unwrap();
                NativeConsumer::new(ClientConf::new(&list).unwrap()).unwrap();
            }
        }
    }
}

#[test]
fn librdkafka_takes_every_kind_of_security() {
    let mut settings = secure();
    for mechanism in SaslMechanism::ALL.iter().copied() {
        if let Some(sasl) = &mut settings.security.sasl {
            sasl.mechanism = mechanism;
        }
        let list = admin_properties(&["127.0.0.1:1".to_owned()], &settings).unwrap();
        assert!(list.contains(&("security.protocol".to_owned(), "sasl_ssl".to_owned())));
        ClientConf::new(&list).unwrap();
    }
    let protocol = |security: &Security| {
        let settings = ClientSettings {
            security: security.clone(),
            ..ClientSettings::default()
        };
        let list = admin_properties(&[], &settings).unwrap();
        let found = list
            .into_iter()
            .find(|(name, _)| name == "security.protocol");
        found.unwrap().1
    };
    settings.security.tls = None;
    assert_eq!(protocol(&settings.security), "sasl_plaintext");
    settings.security.sasl = None;
    assert_eq!(protocol(&settings.security), "plaintext");
    settings.security.tls = secure().security.tls;
    assert_eq!(protocol(&settings.security), "ssl");
}

#[test]
fn idempotence_and_order_follow_acks() {
    let of = |acks| {
        let config = ProducerConfig {
            acks,
            ..ProducerConfig::default()
        };
        let map = producer(&config, &ProducerRole::Plain);
        (
            map["acks"].clone(),
            map["enable.idempotence"].clone(),
            map["max.in.flight.requests.per.connection"].clone(),
        )
    };
    let row = |a: &str, b: &str, c: &str| (a.to_owned(), b.to_owned(), c.to_owned());
    assert_eq!(of(Acks::All), row("all", "true", "5"));
    assert_eq!(of(Acks::Leader), row("1", "false", "1"));
    assert_eq!(of(Acks::None), row("0", "false", "1"));
}

#[test]
fn the_profiles_are_what_users_were_told() {
    assert_eq!(ProducerConfig::default(), ProducerConfig::latency());
    let map = producer(&ProducerConfig::latency(), &ProducerRole::Plain);
    assert_eq!(map["linger.ms"], "0");
    let map = producer(&ProducerConfig::throughput(), &ProducerRole::Plain);
    assert_eq!(map["linger.ms"], "5");
    assert_eq!(map["batch.size"], "1048576");
    assert_eq!(map["message.max.bytes"], "1048588");
    assert_eq!(map["compression.type"], "lz4");
}

#[test]
fn memory_is_what_was_configured_and_not_librdkafkas_defaults() {
    let map = producer(&ProducerConfig::default(), &ProducerRole::Plain);
    assert_eq!(map["queue.buffering.max.kbytes"], "32768");
    let map = consumer(&ConsumerConfig::default(), Membership::Static);
    assert_eq!(map["queued.max.messages.kbytes"], "16384");
    assert_eq!(map["fetch.max.bytes"], "4194304");
}

#[test]
fn a_record_is_given_up_before_its_transaction_is() {
    let config = ProducerConfig {
        timeout_ms: 30_000,
        ..ProducerConfig::default()
    };
    let map = producer(&config, &transactional(10_000));
    assert_eq!(map["delivery.timeout.ms"], "10000");
    assert_eq!(map["transaction.timeout.ms"], "10000");
    assert_eq!(map["transactional.id"], "tid");
}

#[test]
fn positions_are_ours_and_groups_rebalance_step_by_step() {
    let map = consumer(&ConsumerConfig::default(), Membership::Group);
    assert_eq!(map["enable.auto.commit"], "false");
    assert_eq!(map["enable.auto.offset.store"], "false");
    assert_eq!(map["partition.assignment.strategy"], "cooperative-sticky");
    let map = consumer(&ConsumerConfig::default(), Membership::Static);
    assert!(!map.contains_key("partition.assignment.strategy"));
}

#[test]
fn extra_wins_over_tuning_and_never_over_what_guarantees_rest_on() {
    let with = |name: &str| ClientSettings {
        extra: BTreeMap::from([(name.to_owned(), "7".to_owned())]),
        ..settings()
    };
    let config = ProducerConfig::default();
    let list = producer_properties(&config, &with("linger.ms"), &ProducerRole::Plain).unwrap();
    assert_eq!(
        list.last().unwrap(),
        &("linger.ms".to_owned(), "7".to_owned())
    );
    for (name, instead) in relied::RELIED_ON {
        let error = producer_properties(&config, &with(name), &ProducerRole::Plain).unwrap_err();
        assert_eq!(error.property, *name);
        let text = error.to_string();
        assert!(text.contains(name) && text.contains(instead), "{text}");
    }
}

#[test]
fn extra_reaches_the_clients_that_have_a_use_for_it() {
    let settings = ClientSettings {
        extra: BTreeMap::from([
            ("session.timeout.ms".to_owned(), "7000".to_owned()),
            ("compression.level".to_owned(), "3".to_owned()),
            ("client.rack".to_owned(), "a".to_owned()),
        ]),
        ..settings()
    };
    let names = |list: Vec<Property>| {
        let ours = |name: &String| settings.extra.contains_key(name);
        let names = list.into_iter().map(|(name, _)| name);
        names.filter(ours).collect::<Vec<String>>()
    };
    let config = ProducerConfig::default();
    let list = producer_properties(&config, &settings, &ProducerRole::Plain).unwrap();
    assert_eq!(names(list), ["client.rack", "compression.level"]);
    let config = ConsumerConfig::default();
    let list = consumer_properties(&config, &settings, Membership::Static).unwrap();
    assert_eq!(names(list), ["client.rack", "session.timeout.ms"]);
    let list = admin_properties(&[], &settings).unwrap();
    assert_eq!(names(list), ["client.rack"]);
}

#[test]
fn secrets_are_shown_nowhere() {
    let settings = secure();
    let list = admin_properties(&[], &settings).unwrap();
    assert!(format!("{list:?}").contains("hush1") && format!("{list:?}").contains("hush2"));
    let shown = format!("{:?}{:?}", masked(&list), settings.security);
    assert!(!shown.contains("hush"), "{shown}");
    assert!(
        shown.contains("\"user\"") && shown.contains("ca.pem"),
        "{shown}"
    );
    for name in [
        "ssl.key.pem",
        "ssl.keystore.password",
        "sasl.oauthbearer.client.secret",
    ] {
        let list = [(name.to_owned(), "hush".to_owned())];
        assert!(!format!("{:?}", masked(&list)).contains("hush"), "{name}");
    }
}

#[test]
fn the_table_names_properties_that_are_set_and_every_key() {
    let mut set: Vec<String> = Vec::new();
    let role = transactional(60_000);
    let lists = [
        producer_properties(&ProducerConfig::default(), &secure(), &role),
        consumer_properties(&ConsumerConfig::default(), &secure(), Membership::Group),
    ];
    for list in lists {
        set.extend(list.unwrap().into_iter().map(|(name, _)| name));
    }
    for row in MAPPING.iter().filter(|row| !row.property.is_empty()) {
        assert!(set.iter().any(|name| name == row.property), "{row:?}");
    }
    // Debug output names every field, so a key that is added and not explained fails here.
    let keys = |text: String| {
        let words: Vec<String> = text
            .split([' ', '{'])
            .filter_map(|word| word.strip_suffix(':').map(str::to_owned))
            .collect();
        assert!(!words.is_empty());
        words
    };
    for (section, keys) in [
        ("producer", keys(format!("{:?}", ProducerConfig::default()))),
        ("consumer", keys(format!("{:?}", ConsumerConfig::default()))),
    ] {
        for key in keys {
            let is_explained = |row: &Mapping| row.section == section && row.key == key;
            assert!(MAPPING.iter().any(is_explained), "{section}: {key}");
        }
    }
}

#[test]
fn names_of_values_are_those_of_the_configuration() {
    for value in CompressionType::ALL {
        assert_eq!(CompressionType::from_str(value.name()), Ok(*value));
    }
    let error = CompressionType::from_str("brotli").unwrap_err();
    assert_eq!(
        error,
        "compression_type 'brotli' is unknown; allowed: none, gzip, snappy, lz4, zstd"
    );
    let parsed: Result<IsolationLevel, _> = serde_json::from_str("\"read_committed\"");
    assert_eq!(parsed.unwrap(), IsolationLevel::ReadCommitted);
    let parsed: Result<SaslMechanism, _> = serde_json::from_str("\"SCRAM-SHA-256\"");
    assert_eq!(parsed.unwrap(), SaslMechanism::ScramSha256);
}
