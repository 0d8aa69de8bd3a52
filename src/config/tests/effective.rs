//! What users may rely on when a configuration is printed.

use super::*;
use crate::kafka::properties::MAPPING;

const CLUSTERS: &str = "
[membership]
shards = [1]
[transactions]
partitions = 3
[clusters.tokyo]
brokers = [\"a:1\"]
profile = \"throughput\"
extra = { \"client.rack\" = \"r\" }
[clusters.tokyo.tls]
[clusters.tokyo.producer]
linger_ms = 1.5
[[topics]]
name = \"settlements\"
[[shards]]
id = 1
name = \"a\"
latitude = 1.0
longitude = 1.0
cluster = \"tokyo\"
";

#[test]
fn what_is_printed_parses_to_the_same() {
    for text in ["", CLUSTERS] {
        let config = Config::parse(text, "node.toml").expect("valid");
        let effective = config.effective();
        let printed = effective.to_toml();
        let again = Config::parse(&printed, "printed.toml").expect("valid again");
        assert_eq!(again, effective, "{printed}");
        assert_eq!(again.effective(), effective);
        for (name, cluster) in &config.clusters {
            let printed = &again.clusters[name];
            assert_eq!(printed.producer(), cluster.producer());
            assert_eq!(printed.consumer(Vec::new()), cluster.consumer(Vec::new()));
        }
    }
}

#[test]
fn what_is_filled_in_is_printed() {
    let config = Config::parse(CLUSTERS, "node.toml").expect("valid");
    let printed = config.effective().to_toml();
    for line in [
        "instance = \"1\"",
        "topic = \"transactions-a\"",
        "partitions = 3",
        "linger_ms = 1.5",
        "batch_size = 1048576",
        "compression_type = \"lz4\"",
        "isolation_level = \"read_committed\"",
        "verify_hostname = true",
        "\"client.rack\" = \"r\"",
    ] {
        assert!(
            printed.lines().any(|shown| shown == line),
            "{line} is not in\n{printed}"
        );
    }
}

const DOCUMENT: &str = include_str!("../../../docs/configuration.md");

#[test]
fn the_document_shows_which_property_each_key_becomes() {
    let rows: Vec<String> = MAPPING
        .iter()
        .map(|row| {
            let key = match row.section {
                "cluster" => row.key.to_owned(),
                section => format!("{section}.{}", row.key),
            };
            let property = match row.property {
                "" => "none".to_owned(),
                property => format!("`{property}`"),
            };
            format!("| `{key}` | {property} | {} |", row.effect)
        })
        .collect();
    let shown: Vec<&str> = DOCUMENT
        .lines()
        .skip_while(|line| *line != "| key | librdkafka property | how |")
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .collect();
    assert_eq!(
        shown,
        rows,
        "docs/configuration.md should have:\n{}",
        rows.join("\n")
    );
}

/// The keys of the table are keys of the file, so a renamed key cannot stay in the document.
#[test]
fn the_keys_of_the_document_are_keys_of_the_file() {
    let brokers = "[clusters.tokyo]\nbrokers = [\"a:1\"]\n";
    for row in MAPPING {
        // Those two are of the cluster and its shards; the engine hands them on.
        if matches!(row.key, "brokers" | "topics") {
            continue;
        }
        for key in row.key.split(", ") {
            let key = match row.section {
                "cluster" => key.to_owned(),
                section => format!("{section}.{key}"),
            };
            // No key takes a list of lists, so what is known is refused for its type.
            let error = refused(&format!("{brokers}{key} = [[0]]\n"));
            assert!(!error.contains("unknown field"), "{key}: {error}");
        }
    }
}
