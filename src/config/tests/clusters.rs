//! What users may rely on when they put shards on clusters.

use std::fs;

use super::*;
use crate::ids::{Acks, ShardId};
use crate::kafka::properties::{CompressionType, IsolationLevel};

/// Two shards on two clusters, with room for more keys in each section. The line of the first key
/// of a section is the line after its name.
struct Text {
    head: &'static str,
    tokyo: &'static str,
    osaka: &'static str,
    east: &'static str,
    west: &'static str,
}

const PLAIN: Text = Text {
    head: "",
    tokyo: "",
    osaka: "",
    east: "cluster = \"tokyo\"\npartitions = 4",
    west: "cluster = \"osaka\"\npartitions = 2",
};

impl Text {
    fn toml(&self) -> String {
        let Text {
            head,
            tokyo,
            osaka,
            east,
            west,
        } = self;
        format!(
            "{head}\n[clusters.tokyo]\nbrokers = [\"10.0.0.1:9092\"]\n{tokyo}\n\
             [clusters.osaka]\nbrokers = [\"10.0.0.2:9092\"]\n{osaka}\n\
             [[shards]]\nid = 1\nname = \"east\"\nlatitude = 1.0\nlongitude = 1.0\n{east}\n\
             [[shards]]\nid = 2\nname = \"west\"\nlatitude = 2.0\nlongitude = 2.0\n{west}\n"
        )
    }

    fn parsed(&self) -> Config {
        Config::parse(&self.toml(), "node.toml").expect("valid")
    }
}

/// Each text is refused with an error that holds the expected words and names the right line.
fn all_refused(cases: Vec<(Text, &str)>) {
    for (text, expected) in cases {
        let toml = text.toml();
        let error = refused(&toml);
        assert!(
            error.contains(expected),
            "expected {expected}\n  in {error}\n{toml}"
        );
        let line: usize = error
            .strip_prefix("node.toml line ")
            .and_then(|rest| rest.split(':').next())
            .and_then(|line| line.parse().ok())
            .unwrap_or_else(|| panic!("no line in {error}"));
        // The line is that of the key, or of its section where the key is not in the text.
        let key = error.split(": ").nth(1).expect("a key");
        let key = key.split('[').next().expect("text");
        let shown = toml.lines().nth(line - 1).expect("a line of the text");
        assert!(
            key.split('.').any(|part| shown.contains(part)),
            "{error}\n points to {shown}"
        );
    }
}

fn tokyo(tokyo: &'static str) -> Text {
    Text { tokyo, ..PLAIN }
}

#[test]
fn defaults_are_those_of_the_document() {
    let config = PLAIN.parsed();
    assert_eq!(config.storage(), StorageKind::Clusters);
    assert_eq!(Config::default().storage(), StorageKind::Embedded);
    let cluster = &config.clusters["tokyo"];
    assert_eq!(cluster.processing, Delivery::ExactlyOnce);
    assert_eq!(cluster.failover, Failover::Wait);
    assert!(cluster.create_topics);
    assert_eq!(cluster.memory_per_partition, 32 << 20);
    assert_eq!(cluster.producer().linger_ms, 0.0);
    assert_eq!(cluster.producer().acks, Acks::All);
    assert_eq!(cluster.producer().brokers, ["10.0.0.1:9092"]);
    let consumer = cluster.consumer(vec!["a".to_owned()]);
    assert_eq!(consumer.group_id, "corelane");
    assert_eq!(consumer.topics, ["a"]);
    assert_eq!(consumer.isolation_level, IsolationLevel::ReadCommitted);
    assert_eq!(config.shards[0].topic_name(), "transactions-east");
    assert_eq!(
        config.shards[0].dead_letter_topic(),
        "transactions-east.dlq"
    );
    assert_eq!(config.shard_partitions(&config.shards[1]), 2);
    let on_osaka: Vec<&str> = config
        .shards_on("osaka")
        .map(|shard| shard.name.as_str())
        .collect();
    assert_eq!(on_osaka, ["west"]);
}

#[test]
fn the_file_wins_over_the_profile_and_the_profile_over_the_default() {
    let config = tokyo(
        "profile = \"throughput\"\n[clusters.tokyo.producer]\nlinger_ms = 2.5\n\
         [clusters.tokyo.consumer]\nmax_poll_records = 7",
    )
    .parsed();
    let producer = config.clusters["tokyo"].producer();
    assert_eq!(producer.linger_ms, 2.5);
    assert_eq!(producer.batch_size, 1 << 20);
    assert_eq!(producer.compression_type, CompressionType::Lz4);
    let throughput = tokyo("profile = \"throughput\"").parsed().clusters["tokyo"].producer();
    assert_eq!(throughput.linger_ms, 5.0);
    let consumer = config.clusters["tokyo"].consumer(Vec::new());
    assert_eq!(consumer.max_poll_records, 7);
}

#[test]
fn partitions_of_a_shard_come_from_the_shard_then_from_all() {
    let config = Text {
        head: "[transactions]\npartitions = 9",
        east: "cluster = \"tokyo\"",
        ..PLAIN
    }
    .parsed();
    assert_eq!(config.shard_partitions(&config.shards[0]), 9);
    assert_eq!(config.shard_partitions(&config.shards[1]), 2);
    // Nine is no multiple of three, but there are no stripes on clusters.
    assert!(config.validate_layout(2).is_ok());
}

#[test]
fn the_place_of_a_node_follows_from_its_shards() {
    let mut config = PLAIN.parsed();
    assert_eq!(config.membership_instance().as_deref(), Some("all"));
    assert!(config.processes(ShardId(2)));
    config.membership.shards = [7, 0, 2, 1, 9, 4, 5].map(ShardId).to_vec();
    assert_eq!(
        config.membership_instance().as_deref(),
        Some("0to2-4to5-7-9")
    );
    assert!(!config.processes(ShardId(3)));
    config.membership.instance = "a".to_owned();
    assert_eq!(config.membership_instance().as_deref(), Some("a"));
    config.membership = MembershipConfig {
        mode: MembershipMode::Group,
        ..MembershipConfig::default()
    };
    assert_eq!(config.membership_instance(), None);
    assert!(config.processes(ShardId(3)));
}

#[test]
fn wrong_values_of_a_cluster_are_named() {
    all_refused(vec![
        (
            tokyo("profile = \"fast\""),
            "clusters.tokyo.profile: unknown variant `fast`, expected `latency` or `throughput`; \
             allowed: \"latency\" or \"throughput\"",
        ),
        (
            tokyo("[clusters.tokyo.producer]\nacks = \"one\""),
            "clusters.tokyo.producer.acks: ",
        ),
        (
            tokyo("[clusters.tokyo.producer]\nacks = \"one\""),
            "allowed: \"none\", \"leader\" or \"all\"",
        ),
        (
            tokyo("[clusters.tokyo.producer]\ncompression_type = \"rar\""),
            "clusters.tokyo.producer.compression_type: ",
        ),
        (
            tokyo("[clusters.tokyo.producer]\nbatch_size = 0"),
            "clusters.tokyo.producer.batch_size: 0 is out of range; allowed: 1 to 2147483647 bytes",
        ),
        (
            tokyo("[clusters.tokyo.producer]\nbatch_size = 2147483648"),
            "producer.batch_size: 2147483648 is out of range",
        ),
        (
            tokyo("[clusters.tokyo.producer]\nlinger_ms = nan"),
            "producer.linger_ms: NaN is out of range",
        ),
        (
            tokyo("[clusters.tokyo.producer]\nlinger_ms = -1.0"),
            "allowed: 0 to 900000 milliseconds",
        ),
        (
            tokyo("[clusters.tokyo.producer]\ntimeout_ms = 0"),
            "producer.timeout_ms: 0 is out of range; allowed: 1 to 2147483647",
        ),
        (
            tokyo("memory_per_partition = 1000"),
            "allowed: 1048576 to 1073741824 bytes",
        ),
        (tokyo("unreachable_ms = 1"), "allowed: 100 to 60000 milli"),
        (tokyo("start_timeout_ms = 1"), "allowed: 1000 to 600000"),
        (
            tokyo("[clusters.tokyo.consumer]\nfetch_min_bytes = 0"),
            "allowed: 1 to 100000000 bytes",
        ),
        (
            tokyo("[clusters.tokyo.consumer]\nfetch_max_wait_ms = 300001"),
            "allowed: 0 to 300000 milliseconds",
        ),
        (
            tokyo("[clusters.tokyo.consumer]\nmax_poll_records = 0"),
            "allowed: 1 to 1000000 records",
        ),
        (
            tokyo("[clusters.tokyo.consumer]\ngroup_id = \"\""),
            "consumer.group_id: 0 characters long; allowed: 1 to 249 characters",
        ),
        (
            tokyo("[clusters.tokyo.transaction]\nrecords_max = 0"),
            "transaction.records_max: 0 is out of range",
        ),
        (
            tokyo("[clusters.tokyo.transaction]\ntimeout_ms = 10"),
            "transaction.timeout_ms: 10 is out of range",
        ),
    ]);
}

#[test]
fn brokers_are_addresses() {
    for broker in [
        "a", "a:", ":1", "a:0", "a:70000", "a b:1", "::1:1", "x://a:1",
    ] {
        let toml = PLAIN.toml().replace("10.0.0.1:9092", broker);
        let error = refused(&toml);
        assert!(
            error.contains(&format!(
                "line 3: clusters.tokyo.brokers[0]: {broker:?} is no address; allowed: a list of"
            )),
            "{error}"
        );
    }
    for broker in ["[::1]:9092", "kafka-1.example_net:1", "localhost:65535"] {
        let toml = PLAIN.toml().replace("10.0.0.1:9092", broker);
        Config::parse(&toml, "node.toml").expect(broker);
    }
    let none = PLAIN.toml().replace("\"10.0.0.1:9092\"", "");
    assert!(refused(&none).contains("clusters.tokyo.brokers: none is listed"));
    let twice = PLAIN
        .toml()
        .replace("\"10.0.0.1:9092\"", "\"a:1\", \"a:1\"");
    assert!(refused(&twice).contains(
        "clusters.tokyo.brokers[1]: the same as clusters.tokyo.brokers[0]; allowed: each value once"
    ));
}

#[test]
fn contradictions_of_a_cluster_are_refused_with_the_reason() {
    all_refused(vec![
        (
            tokyo("[clusters.tokyo.producer]\nacks = \"none\""),
            "clusters.tokyo.producer.acks: \"none\" contradicts processing = \"exactly_once\": ",
        ),
        (
            tokyo("[clusters.tokyo.producer]\nacks = \"leader\""),
            "allowed: \"all\", or processing = \"at_least_once\"",
        ),
        (
            tokyo("processing = \"at_least_once\"\n[clusters.tokyo.producer]\nacks = \"leader\""),
            "producer.acks: \"leader\" is less than receipts promise: transactions.acks = \"all\"; \
             allowed: \"all\" or more",
        ),
        (
            tokyo("[clusters.tokyo.consumer]\nisolation_level = \"read_uncommitted\""),
            "clusters.tokyo.consumer.isolation_level: \"read_uncommitted\" contradicts processing",
        ),
        (
            tokyo("[clusters.tokyo.producer]\nlinger_ms = 5\ntimeout_ms = 5"),
            "clusters.tokyo.producer.linger_ms: 5 is not less than timeout_ms = 5: ",
        ),
        (
            tokyo("[clusters.tokyo.transaction]\ninterval_ms = 1000.0\ntimeout_ms = 1000"),
            "clusters.tokyo.transaction.interval_ms: 1000 is not less than timeout_ms = 1000: ",
        ),
        (
            tokyo("[clusters.tokyo.transaction]\ntimeout_ms = 2000"),
            "clusters.tokyo.transaction.timeout_ms: 2000 is less than producer.timeout_ms = ",
        ),
    ]);
    let leader = "processing = \"at_least_once\"\n[clusters.tokyo.producer]\nacks = \"leader\"\n\
                  [clusters.tokyo.consumer]\nisolation_level = \"read_uncommitted\"";
    let weaker = Text {
        head: "[transactions]\nacks = \"leader\"",
        tokyo: leader,
        ..PLAIN
    };
    assert_eq!(
        weaker.parsed().clusters["tokyo"].producer().acks,
        Acks::Leader
    );
}

#[test]
fn failover_needs_a_second_cluster() {
    let next = tokyo("failover = \"next-nearest\"");
    assert_eq!(
        next.parsed().clusters["tokyo"].failover,
        Failover::NextNearest
    );
    let one = next
        .toml()
        .replace("[clusters.osaka]\nbrokers = [\"10.0.0.2:9092\"]\n", "")
        .replace("\"osaka\"", "\"tokyo\"");
    let error = refused(&one);
    assert!(
        error.contains("line 4: clusters.tokyo.failover: \"next-nearest\" needs a second cluster"),
        "{error}"
    );
}

#[test]
fn tls_and_sasl_are_whole() {
    all_refused(vec![
        (
            tokyo("[clusters.tokyo.tls]\nca = \"no/such.pem\""),
            "clusters.tokyo.tls.ca: no/such.pem cannot be read: ",
        ),
        (
            tokyo("[clusters.tokyo.tls]\ncertificate = \"a\""),
            "clusters.tokyo.tls.certificate: its `key` is missing",
        ),
        (
            tokyo("[clusters.tokyo.tls]\nkey = \"a\""),
            "clusters.tokyo.tls.key: its `certificate` is missing",
        ),
        (
            tokyo("[clusters.tokyo.tls]\nkey = \"no/k\"\ncertificate = \"no/such.pem\""),
            "clusters.tokyo.tls.certificate: no/such.pem cannot be read: ",
        ),
        (
            tokyo("[clusters.tokyo.tls]\nkey_password = \"hunter2\""),
            "clusters.tokyo.tls.key_password: there is no `key`",
        ),
        (
            tokyo("[clusters.tokyo.sasl]\nmechanism = \"GSSAPI\""),
            "allowed: \"PLAIN\", \"SCRAM-SHA-256\" or \"SCRAM-SHA-512\"",
        ),
        (
            tokyo("[clusters.tokyo.sasl]\nmechanism = \"PLAIN\"\npassword = \"hunter2\""),
            "clusters.tokyo.sasl.username: it is missing",
        ),
        (
            tokyo("[clusters.tokyo.sasl]\nmechanism = \"PLAIN\"\nusername = \"a\""),
            "clusters.tokyo.sasl.password: it is missing; allowed: exactly one of `password` and",
        ),
        (
            tokyo(
                "[clusters.tokyo.sasl]\nmechanism = \"PLAIN\"\nusername = \"a\"\n\
                 password = \"hunter2\"\npassword_file = \"b\"",
            ),
            "clusters.tokyo.sasl.password: given twice",
        ),
        (
            tokyo(
                "[clusters.tokyo.sasl]\nmechanism = \"PLAIN\"\nusername = \"a\"\npassword = \"\"",
            ),
            "clusters.tokyo.sasl.password: it is empty",
        ),
        (
            tokyo(
                "[clusters.tokyo.sasl]\nmechanism = \"PLAIN\"\nusername = \"a\"\n\
                 password_file = \"no/such\"",
            ),
            "clusters.tokyo.sasl.password_file: no/such cannot be read: ",
        ),
    ]);
}

#[test]
fn a_password_file_is_read_without_its_line_end() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("password");
    let text = PLAIN.toml().replace(
        "[clusters.osaka]",
        &format!(
            "[clusters.tokyo.sasl]\nmechanism = \"PLAIN\"\nusername = \"a\"\npassword_file = {file:?}\n\
             [clusters.osaka]"
        ),
    );
    fs::write(&file, " hunter2 \r\n").expect("written");
    let config = Config::parse(&text, "node.toml").expect("valid");
    let settings = config.clusters["tokyo"].settings("node", 3).expect("read");
    let sasl = settings.security.sasl.expect("set");
    assert_eq!(sasl.password, " hunter2 ");
    assert_eq!(settings.memory_bytes, 3 * (32 << 20));
    fs::write(&file, "\n").expect("written");
    let error = refused(&text);
    assert!(
        error.contains("sasl.password_file") && error.contains("is empty"),
        "{error}"
    );
}

#[test]
fn secrets_are_in_no_error_and_no_debug_output() {
    let sasl = |password: &str| {
        PLAIN.toml().replace(
            "[clusters.osaka]",
            &format!(
                "extra = {{ \"ssl.keystore.password\" = \"hunter2\" }}\n[clusters.tokyo.sasl]\n\
                 mechanism = \"PLAIN\"\nusername = \"a\"\npassword = {password}\n[clusters.osaka]"
            ),
        )
    };
    let config = Config::parse(&sasl("\"hunter2\""), "node.toml").expect("valid");
    for shown in [format!("{config:?}"), config.effective().to_toml()] {
        assert!(!shown.contains("hunter2"), "{shown}");
        assert!(shown.contains(MASK), "{shown}");
    }
    for password in ["123987", "[\"123987\"]", "123987.5", "123987x", "\"123987"] {
        let error = refused(&sasl(password));
        assert!(!error.contains("123987"), "{error}");
        assert!(error.contains("node.toml line "), "{error}");
    }
    let property = PLAIN.toml().replace(
        "[clusters.osaka]",
        "extra = { \"ssl.keystore.password\" = 123987 }\n[clusters.osaka]",
    );
    let error = refused(&property);
    assert!(
        error.contains("clusters.tokyo.extra.ssl.keystore.password: not a string in quotes")
            && !error.contains("123987"),
        "{error}"
    );
}

#[test]
fn extras_do_not_override_what_is_relied_on() {
    all_refused(vec![
        (
            tokyo("extra = { \"linger.ms\" = \"7\" }"),
            "clusters.tokyo.extra.linger.ms: corelane has a key for it; allowed: \
             clusters.tokyo.producer.linger_ms instead",
        ),
        (
            tokyo("extra = { \"queue.buffering.max.ms\" = \"7\" }"),
            "allowed: clusters.tokyo.producer.linger_ms instead",
        ),
        (
            tokyo("extra = { \"sasl.password\" = \"hunter2\" }"),
            "allowed: clusters.tokyo.sasl.password instead",
        ),
        (
            tokyo("extra = { \"enable.idempotence\" = \"false\" }"),
            "clusters.tokyo.extra.enable.idempotence: not to be set here: it follows acks",
        ),
        (
            tokyo("extra = { \"transactional.id\" = \"x\" }"),
            "clusters.tokyo.extra.transactional.id: not to be set here: ",
        ),
    ]);
    all_refused(vec![
        (
            tokyo("extra = { \"linger\" = \"7\" }"),
            "clusters.tokyo.extra.linger: librdkafka refuses it: ",
        ),
        (
            tokyo("extra = { \"socket.timeout.ms\" = \"-5\" }"),
            "clusters.tokyo.extra.socket.timeout.ms: librdkafka refuses it: ",
        ),
    ]);
    let config = tokyo("extra = { \"client.rack\" = \"a\" }").parsed();
    let settings = config.clusters["tokyo"].settings("node", 1).expect("read");
    assert_eq!(settings.extra["client.rack"], "a");
}

#[test]
fn brokers_may_come_from_a_file_which_is_named_where_it_cannot_be_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("brokers");
    let listed = PLAIN.toml().replace(
        "brokers = [\"10.0.0.1:9092\"]",
        &format!("brokers_file = {:?}", file),
    );
    let error = refused(&listed);
    assert!(error.contains("clusters.tokyo.brokers_file"), "{error}");
    assert!(error.contains(&file.display().to_string()), "{error}");
    fs::write(&file, "10.0.0.7:9092, 10.0.0.8:9092\n10.0.0.9:9092\n").expect("written");
    let config = Config::parse(&listed, "node.toml").expect("valid");
    let brokers = ["10.0.0.7:9092", "10.0.0.8:9092", "10.0.0.9:9092"];
    assert_eq!(config.clusters["tokyo"].brokers, brokers);
    let both = listed.replace("brokers_file", "brokers = [\"a:1\"]\nbrokers_file");
    let error = refused(&both);
    assert!(error.contains("brokers is given as well"), "{error}");
}
