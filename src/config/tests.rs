//! What users may rely on when they write a configuration.

use std::fs;
use std::path::Path;

use super::*;

mod broker;
mod clusters;
mod control;
mod effective;
mod placement;

const SHIPPED: &str = include_str!("../../config/default.toml");

/// The error of `text` as users see it.
fn refused(text: &str) -> String {
    match Config::parse(text, "node.toml") {
        Ok(_) => panic!("accepted: {text}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn the_shipped_file_is_the_default() {
    let parsed = Config::parse(SHIPPED, "default.toml").expect("the shipped file is valid");
    assert_eq!(parsed, Config::default());
    assert_eq!(
        Config::parse("", "empty.toml").expect("no key is required"),
        Config::default()
    );
}

/// The parser lists the keys it knows in its error about an unknown one; each must be in the file.
#[test]
fn every_key_is_in_the_shipped_file() {
    let sections = [
        ("[node]", 9),
        ("[gateway]", 5),
        ("[broker]", 23),
        ("[[broker.users]]", 2),
        ("[broker.tls]", 3),
        ("[control]", 2),
        ("[trace]", 3),
        ("[logging]", 1),
        ("[log]", 8),
        ("[transactions]", 6),
        ("[transactions.default_shard]", 2),
        ("[processing]", 2),
        ("[clusters.tokyo]", 15),
        ("[clusters.tokyo.tls]", 5),
        ("[clusters.tokyo.sasl]", 4),
        ("[clusters.tokyo.producer]", 5),
        ("[clusters.tokyo.consumer]", 5),
        ("[clusters.tokyo.transaction]", 3),
        ("[membership]", 3),
        ("[[topics]]", 3),
        ("[[shards]]", 8),
    ];
    for (section, keys) in sections {
        let error = refused(&format!("{section}\nnonsense = 1\n"));
        let known: Vec<&str> = error
            .split('`')
            .skip(1)
            .step_by(2)
            .filter(|name| *name != "nonsense")
            .collect();
        assert_eq!(known.len(), keys, "{section}: {error}");
        for key in known {
            let mut in_section = SHIPPED
                .lines()
                .map(|line| line.trim_start_matches("# "))
                .skip_while(|line| *line != section);
            assert!(in_section.next().is_some(), "{section} is not in the file");
            let (table, list) = (format!(".{key}]"), format!(".{key}]]"));
            let is_there = in_section.any(|line| {
                line.starts_with(&format!("{key} = "))
                    || (line.starts_with('[') && line.ends_with(&table))
                    || (line.starts_with("[[") && line.ends_with(&list))
            });
            assert!(is_there, "{section} {key} is not in the file");
        }
    }
}

#[test]
fn the_commented_examples_of_the_shipped_file_are_valid() {
    let uncommented: String = SHIPPED
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(rest) if rest.starts_with('[') || is_assignment(rest) => rest,
            _ => line,
        })
        .map(|line| format!("{line}\n"))
        .collect();
    // Of the shards only the first stays, as the example puts that one on a cluster.
    let (rest, _) = uncommented
        .split_once("[[shards]]\nid = 1\n")
        .expect("a second shard");
    let directory = tempfile::tempdir().expect("a temporary directory");
    for file in ["ca.pem", "node.pem", "node.key", "password"] {
        fs::write(directory.path().join(file), "x").expect("written");
    }
    let files = format!("{}/", directory.path().display());
    let text = rest
        .replace("\"tls/", &format!("\"{files}"))
        .replace("\nshard = 3\n", "\nshard = 0\n");
    let config = Config::parse(&text, "default.toml").expect("the examples are valid");
    assert_eq!(config.topics.len(), 1);
    assert!(config.transactions.default_shard.is_some());
    // What the examples show as values of a cluster's keys are their defaults.
    let shown = &config.clusters["tokyo"];
    let mut plain = ClusterConfig {
        brokers: shown.brokers.clone(),
        extra: shown.extra.clone(),
        tls: shown.tls.clone(),
        sasl: shown.sasl.clone(),
        ..ClusterConfig::default()
    };
    assert_eq!(shown.producer(), plain.producer());
    assert_eq!(shown.consumer(Vec::new()), plain.consumer(Vec::new()));
    plain.producer = shown.producer.clone();
    plain.consumer = shown.consumer.clone();
    assert_eq!(*shown, plain);
}

fn is_assignment(line: &str) -> bool {
    line.split_once(" = ").is_some_and(|(key, _)| {
        key.bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte == b'_')
    })
}

#[test]
fn an_unknown_key_is_named_with_its_path_and_line() {
    let error = refused("[node]\ncores = 2\nspin = 5\n");
    assert!(
        error.starts_with("node.toml line 3: node.spin: unknown field `spin`"),
        "{error}"
    );
    assert!(error.contains("`spin_us`"), "{error}");
    let error = refused("[nodes]\ncores = 2\n");
    assert!(
        error.starts_with("node.toml line 1: nodes: unknown field"),
        "{error}"
    );
}

#[test]
fn a_number_out_of_range_is_named_with_its_range() {
    let cases = [
        (
            "[node]\nspin_us = 2000000",
            "node.spin_us: 2000000 is out of range; allowed: 0 to 1000000 microseconds",
        ),
        ("[node]\ncores = -1", "allowed: 0 to 256 cores"),
        ("[node]\ncores = 257", "allowed: 0 to 256 cores"),
        ("[node]\ncores = 70000", "allowed: 0 to 256 cores"),
        (
            "[node]\npreempt_timer_us = 9999",
            "allowed: 10000 to 1000000 microseconds",
        ),
        (
            "[node]\nin_flight_max = 0",
            "allowed: 1 to 1048576 transactions",
        ),
        ("[node]\nmesh_capacity = 1", "allowed: 2 to 65536 messages"),
        (
            "[gateway]\nconnections_max = 0",
            "allowed: 1 to 65536 connections",
        ),
        (
            "[gateway]\nconnection_in_flight_max = 0",
            "allowed: 1 to 65536 transactions",
        ),
        ("[log]\nstripes = 300", "allowed: 0 to 256 stripes"),
        (
            "[log]\nsegment_bytes = 4096",
            "allowed: 16777216 to 2147483648 bytes",
        ),
        (
            "[log]\ntail_bytes = 1",
            "allowed: 16777216 to 68719476736 bytes",
        ),
        (
            "[log]\nretention_ms = -5",
            "allowed: 0 to 9223372036854775807 milliseconds",
        ),
        (
            "[log]\nwrites_in_flight_max = 65",
            "allowed: 1 to 64 writes",
        ),
        (
            "[transactions]\npayload_bytes_max = 4194305",
            "allowed: 1 to 4194304 bytes",
        ),
        (
            "[transactions]\npartitions = 65537",
            "allowed: 0 to 65536 partitions",
        ),
        (
            "[transactions]\nduplicate_window_records = 0",
            "allowed: 1 to 268435456 transactions",
        ),
        (
            "[processing]\nbatch_records_max = 0",
            "allowed: 1 to 65536 transactions",
        ),
        (
            "[processing]\nretry_backoff_ms = 0",
            "allowed: 1 to 60000 milliseconds",
        ),
    ];
    for (text, expected) in cases {
        let error = refused(text);
        let key = text.split_once('\n').expect("two lines").1;
        let key = key.split_once(' ').expect("an assignment").0;
        assert!(error.starts_with("node.toml line 2: "), "{error}");
        assert!(error.contains(&format!(".{key}: ")), "{error}");
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn a_value_of_the_wrong_type_is_named_with_what_is_allowed() {
    let cases = [
        (
            "[node]\nidle = \"lazy\"",
            "node.idle: ",
            "allowed: \"adaptive\" or \"spin\"",
        ),
        (
            "[node]\nlayout = \"\"",
            "node.layout: it is empty",
            "allowed: \"auto\", \"none\" or a path",
        ),
        (
            "[node]\noversubscribe = 1",
            "node.oversubscribe: ",
            "allowed: true or false",
        ),
        (
            "[node]\nspin_us = \"50\"",
            "node.spin_us: ",
            "allowed: 0 to 1000000 microseconds",
        ),
        (
            "[gateway]\ntcp = [\"nowhere\"]",
            "gateway.tcp[0]: ",
            "allowed: a list of \"IP:PORT\"",
        ),
        (
            "[log]\nread_at = \"never\"",
            "log.read_at: ",
            "allowed: \"durable\" or \"appended\"",
        ),
        (
            "[transactions]\nacks = \"one\"",
            "transactions.acks: ",
            "allowed: \"none\", \"leader\" or \"all\"",
        ),
        (
            "[[shards]]\nid = -1\nname = \"a\"",
            "shards[0].id: ",
            "allowed: 0 to 65535",
        ),
        ("[[shards]]\nid = 1", "shards[0]: missing field `name`", ""),
        ("node = 3", "node: invalid type: integer `3`", ""),
    ];
    for (text, key, allowed) in cases {
        let error = refused(text);
        assert!(error.contains(key) && error.contains(allowed), "{error}");
        assert!(error.starts_with("node.toml line "), "{error}");
    }
}

#[test]
fn text_that_is_no_toml_is_named_with_its_line() {
    let error = refused("[node]\ncores = = 2\n");
    assert!(
        error.starts_with("node.toml line 2: not valid TOML: "),
        "{error}"
    );
    let error = refused("[node]\ncores = 1\ncores = 2\n");
    assert!(
        error.starts_with("node.toml line 3: not valid TOML: duplicate key"),
        "{error}"
    );
}

#[test]
fn a_port_open_to_other_machines_is_refused_unless_allowed() {
    for address in ["0.0.0.0:7171", "[::]:7171", "192.168.1.5:7171"] {
        let text = format!("[gateway]\ntcp = [\"127.0.0.1:1\", \"{address}\"]\n");
        let error = refused(&text);
        assert!(
            error.contains("line 2: gateway.tcp[1]: ")
                && error.contains("unless gateway.allow_remote = true"),
            "{error}"
        );
        let allowed = format!("{text}allow_remote = true\n");
        Config::parse(&allowed, "node.toml").expect("allowed");
    }
    Config::parse("[gateway]\ntcp = [\"[::1]:7171\"]", "node.toml").expect("loopback as well");
}

#[test]
fn rules_between_keys_are_held() {
    let shard = |id: u32, name: &str| {
        format!("[[shards]]\nid = {id}\nname = \"{name}\"\nlatitude = 0.0\nlongitude = 0.0\n")
    };
    let cases = [
        (
            "[gateway]\ntcp = [\"127.0.0.1:7\", \"127.0.0.1:7\"]".to_owned(),
            "gateway.tcp[1]: the same as gateway.tcp[0]",
        ),
        (
            "[gateway]\nunix = [\"a\", \"a\"]".to_owned(),
            "gateway.unix[1]: the same as gateway.unix[0]",
        ),
        (
            "[gateway]\nunix = [\"\"]".to_owned(),
            "gateway.unix[0]: the path is empty",
        ),
        (
            "[log]\ndirectory = \"\"".to_owned(),
            "log.directory: the path is empty",
        ),
        (
            "[log]\nsegment_bytes = 16777217".to_owned(),
            "log.segment_bytes: 16777217 is no multiple of 4096",
        ),
        (
            "[log]\nretention_bytes = 1".to_owned(),
            "at least 134217728 bytes",
        ),
        (
            "shards = []".to_owned(),
            "shards: 0 shards are listed; allowed: 1 to 4096 shards",
        ),
        (
            format!("{}{}", shard(1, "a"), shard(1, "b")),
            "line 7: shards[1].id: the same as shards[0].id",
        ),
        (
            format!("{}{}", shard(1, "a"), shard(2, "a")),
            "line 8: shards[1].name: the same as shards[0].name",
        ),
        (
            shard(1, "Tokyo"),
            "shards[0].name: \"Tokyo\" is no name of a shard",
        ),
        (shard(1, ""), "shards[0].name"),
        (
            shard(1, "a").replace("latitude = 0.0", "latitude = 90.5"),
            "line 4: shards[0].latitude: 90.5 is out of range; allowed: -90 to 90",
        ),
        (
            shard(1, "a").replace("longitude = 0.0", "longitude = nan"),
            "shards[0].longitude: NaN is out of range",
        ),
        (
            "[transactions.default_shard]\nshard = 99\nbeyond_km = 5.0".to_owned(),
            "line 2: transactions.default_shard.shard: no shard has the id 99",
        ),
        (
            "[transactions.default_shard]\nshard = 1\nbeyond_km = -5.0".to_owned(),
            "line 3: transactions.default_shard.beyond_km: -5 is out of range; allowed: 0 to 20100 kilometres",
        ),
        (
            "[[topics]]\nname = \"transactions-x\"".to_owned(),
            "topics[0].name: ",
        ),
        ("[[topics]]\nname = \"..\"".to_owned(), "topics[0].name: "),
        (
            "[[topics]]\nname = \"a\"\n[[topics]]\nname = \"a\"".to_owned(),
            "line 4: topics[1].name: the same as topics[0].name",
        ),
        (
            "[[topics]]\nname = \"a\"\npartitions = 70000".to_owned(),
            "topics[0].partitions: 70000 is out of range",
        ),
        (
            "[log]\nstripes = 3\n[transactions]\npartitions = 4".to_owned(),
            "line 4: transactions.partitions: 4 partitions do not spread evenly over 3 stripes; allowed: 0 (one per stripe), or a multiple of 3",
        ),
        (
            "[log]\nstripes = 3\n[[topics]]\nname = \"a\"\npartitions = 4".to_owned(),
            "line 5: topics[0].partitions: ",
        ),
        (
            "[log]\nstripes = 1\n[transactions]\npartitions = 5000".to_owned(),
            "80000 partitions in all",
        ),
    ];
    for (text, expected) in cases {
        let error = refused(&text);
        assert!(
            error.contains(expected),
            "expected {expected}\n  in {error}"
        );
    }
}

#[test]
fn the_layout_is_checked_once_the_stripes_are_known() {
    let config = Config::parse("[transactions]\npartitions = 6", "node.toml").expect("valid");
    assert!(config.validate_layout(2).is_ok());
    assert!(config.validate_layout(4).is_err());
    assert_eq!(config.partitions_of_shard(2), 6);
    assert_eq!(Config::default().partitions_of_shard(4), 4);
}

#[test]
fn a_missing_file_is_named() {
    let error = Config::load(Path::new("no/such/file.toml")).expect_err("there is none");
    assert!(error.to_string().contains("no/such/file.toml"), "{error}");
}

#[test]
fn a_file_is_loaded_and_its_errors_name_it() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("node.toml");
    fs::write(&path, "[node]\ncores = 3\n").expect("written");
    assert_eq!(Config::load(&path).expect("valid").node.cores, 3);
    fs::write(&path, "[node]\ncore = 3\n").expect("written");
    let error = Config::load(&path).expect_err("unknown key").to_string();
    assert!(error.contains("node.toml line 2: node.core: "), "{error}");
}

#[test]
fn an_error_of_a_change_is_not_blamed_on_the_file() {
    let open = |config: &mut Config| config.gateway.tcp = vec!["0.0.0.0:1".parse().expect("valid")];
    let error = Config::parse_with("[gateway]\ntcp = []", "node.toml", open)
        .expect_err("refused")
        .to_string();
    assert!(error.starts_with("gateway.tcp[0]: "), "{error}");
    let allow = |config: &mut Config| config.gateway.allow_remote = true;
    Config::parse_with("[gateway]\ntcp = [\"0.0.0.0:1\"]", "node.toml", allow)
        .expect("allowed by the change");
}
