//! What users may rely on when a configuration is printed.

use super::*;

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
