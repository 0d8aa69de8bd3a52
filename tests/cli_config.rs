//! `corelane config`: exit codes, and that what it prints is what the clients of a cluster get.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use corelane::config::Config;
use corelane::ids::CoreId;
use corelane::kafka::properties::{
    ClientSettings, Membership, ProducerRole, Property, consumer_properties, masked,
    producer_properties, with_given_positions,
};
use tempfile::TempDir;

const CLUSTERS: &str = "
[clusters.tokyo]
brokers = [\"10.0.0.1:9092\"]
profile = \"throughput\"
extra = { \"client.rack\" = \"r1\", \"ssl.keystore.password\" = \"hunter2\" }
[clusters.tokyo.tls]
[clusters.tokyo.sasl]
mechanism = \"SCRAM-SHA-512\"
username = \"alice\"
password = \"hunter2\"
[clusters.tokyo.producer]
linger_ms = 1.5
[clusters.osaka]
brokers = [\"10.0.0.2:9092\"]
processing = \"at_least_once\"
[[shards]]
id = 1
name = \"east\"
latitude = 1.0
longitude = 1.0
cluster = \"tokyo\"
partitions = 4
[[shards]]
id = 2
name = \"west\"
latitude = 2.0
longitude = 2.0
cluster = \"osaka\"
partitions = 2
";

struct Place {
    _directory: TempDir,
    file: PathBuf,
}

fn place(text: &str) -> Place {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("node.toml");
    fs::write(&file, text).expect("written");
    Place {
        _directory: directory,
        file,
    }
}

fn config(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_corelane"))
        .arg("config")
        .args(arguments)
        .output()
        .expect("the program starts")
}

impl Place {
    fn config(&self, arguments: &[&str]) -> Output {
        let file = self.file.to_str().expect("UTF-8");
        config(&[&["--config", file], arguments].concat())
    }

    /// What is printed, which must go well.
    fn printed(&self, arguments: &[&str]) -> String {
        let output = self.config(arguments);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        assert!(output.stderr.is_empty(), "{output:?}");
        String::from_utf8(output.stdout).expect("UTF-8")
    }
}

#[test]
fn a_valid_configuration_is_called_valid() {
    let output = config(&[]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(output.stdout, b"valid\n");
    let place = place(CLUSTERS);
    assert_eq!(place.printed(&[]), "valid\n");
    assert_eq!(place.printed(&["--json"]), "{\"valid\":true}\n");
}

#[test]
fn the_first_error_is_told_with_its_place_and_exit_code_1() {
    let place = place("[node]\nspin_us = 2000000\n");
    for arguments in [&[][..], &["--effective"], &["--json"]] {
        let output = place.config(arguments);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(output.stdout.is_empty(), "{output:?}");
        let error = String::from_utf8(output.stderr).expect("UTF-8");
        assert!(
            error.starts_with("error: ") && error.contains("node.toml line 2: node.spin_us: "),
            "{error}"
        );
    }
}

#[test]
fn the_effective_configuration_is_a_configuration() {
    let printed = place(CLUSTERS).printed(&["--effective"]);
    let meant = Config::parse(CLUSTERS, "node.toml").expect("valid");
    let again = Config::parse(&printed, "printed.toml").expect("valid");
    // The shards' topics, partitions and clusters; the sections of the clients without secrets.
    assert_eq!(again.shards, meant.effective().shards);
    assert_eq!(again.membership, meant.effective().membership);
    for (name, cluster) in &meant.clusters {
        assert_eq!(again.clusters[name].producer(), cluster.producer());
        let topics = || vec!["t".to_owned()];
        assert_eq!(
            again.clusters[name].consumer(topics()),
            cluster.consumer(topics())
        );
    }
}

#[test]
fn secrets_are_masked() {
    let place = place(CLUSTERS);
    for arguments in [&["--effective"][..], &["--effective", "--json"]] {
        let printed = place.printed(arguments);
        assert!(!printed.contains("hunter2"), "{printed}");
        assert!(printed.contains("***"), "{printed}");
        assert!(printed.contains("alice"), "{printed}");
    }
}

/// What the property functions make of the settings, put together here by hand.
fn expected(config: &Config, name: &str, memory_bytes: u64) -> [Vec<Property>; 3] {
    let cluster = &config.clusters[name];
    let settings = ClientSettings {
        client_id: "corelane-all-0".to_owned(),
        memory_bytes,
        ..cluster.settings("", 1).expect("no file is read")
    };
    let transactional = ProducerRole::Transactional {
        id: "corelane-all-0".to_owned(),
        timeout_ms: 60_000,
    };
    let topics = config
        .shards_on(name)
        .map(|shard| shard.topic_name())
        .collect();
    [
        producer_properties(&cluster.producer(), &settings, &ProducerRole::Plain),
        producer_properties(&cluster.producer(), &settings, &transactional),
        consumer_properties(&cluster.consumer(topics), &settings, Membership::Static)
            .map(with_given_positions),
    ]
    .map(|list| masked(&list.expect("no property is refused")))
}

#[test]
fn the_properties_shown_are_those_that_the_clients_get() {
    let place = place(CLUSTERS);
    let config = Config::parse(CLUSTERS, "node.toml").expect("valid");
    let printed = place.printed(&["--effective"]);
    let json: serde_json::Value =
        serde_json::from_str(&place.printed(&["--effective", "--json"])).expect("JSON");
    for (name, has_transactions) in [("tokyo", true), ("osaka", false)] {
        let [producer, transactional, consumer] = expected(&config, name, 8 << 20);
        let shown = [
            ("producer", producer, true),
            ("transactional producer", transactional, has_transactions),
            ("consumer", consumer, true),
        ];
        for (client, properties, is_there) in shown {
            let properties: BTreeMap<String, String> = properties.into_iter().collect();
            let mut lines = printed.lines();
            let found = lines.any(|line| line == format!("# {name}: {client}"));
            assert_eq!(found, is_there, "{name} {client}");
            let section: Vec<&str> = lines.map_while(|line| line.strip_prefix("#   ")).collect();
            let in_json = &json["clients"][name][client.replace(' ', "_")];
            if is_there {
                let expected: Vec<String> = properties
                    .iter()
                    .map(|(name, value)| format!("{name} = {value:?}"))
                    .collect();
                assert_eq!(section, expected, "{name} {client}");
                assert_eq!(*in_json, serde_json::json!(properties), "{name} {client}");
            } else {
                assert!(in_json.is_null(), "{name} {client}");
            }
        }
    }
    let own = config
        .client_properties("tokyo", &config.clusters["tokyo"], CoreId(3), 2)
        .expect("no file is read");
    let own: BTreeMap<String, String> = own.producer.into_iter().collect();
    assert_eq!(own["client.id"], "corelane-all-3");
    assert_eq!(own["sasl.password"], "hunter2");
    assert_eq!(own["queue.buffering.max.kbytes"], "16384");
}
