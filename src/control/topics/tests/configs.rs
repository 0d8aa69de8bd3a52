//! Describing and changing settings.

use kafka_protocol::messages::alter_configs_request::{
    AlterConfigsResource as Replace, AlterableConfig as ReplaceConfig,
};
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_configs_response::DescribeConfigsResourceResult as Entry;
use kafka_protocol::messages::incremental_alter_configs_request::{
    AlterConfigsResource as Alter, AlterableConfig,
};
use kafka_protocol::messages::{
    AlterConfigsRequest, DescribeConfigsRequest, IncrementalAlterConfigsRequest,
};

use super::*;
use crate::control::topics::settings::{TOPIC, node_settings};

const TOPIC_KIND: i8 = 2;
const NODE_KIND: i8 = 4;
const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

impl Bench {
    fn describe(&mut self, kind: i8, of: &str, keys: Option<&[&str]>) -> (i16, Vec<Entry>) {
        let keys = keys.map(|keys| keys.iter().map(|key| word(key)).collect());
        let resource = DescribeConfigsResource::default()
            .with_resource_type(kind)
            .with_resource_name(word(of))
            .with_configuration_keys(keys);
        let request = DescribeConfigsRequest::default()
            .with_resources(vec![resource])
            .with_include_synonyms(true)
            .with_include_documentation(true);
        match self.run(4, RequestKind::DescribeConfigs(request)) {
            ResponseKind::DescribeConfigs(mut response) => {
                encodes(&response, 4);
                let result = response.results.pop().unwrap();
                (result.error_code, result.configs)
            }
            other => panic!("{other:?}"),
        }
    }

    /// Value, source, whether it is read only, and where its synonyms come from.
    fn entry(&mut self, kind: i8, of: &str, key: &str) -> (String, i8, bool, Vec<i8>) {
        let (code, mut entries) = self.describe(kind, of, Some(&[key]));
        assert_eq!((code, entries.len()), (0, 1), "{key}");
        let entry = entries.pop().unwrap();
        let sources = entry.synonyms.iter().map(|it| it.source).collect();
        let value = message(entry.value);
        (value, entry.config_source, entry.read_only, sources)
    }

    fn alter(&mut self, kind: i8, of: &str, changes: &[(&str, i8, &str)]) -> (i16, String) {
        self.alter_with(kind, of, changes, false)
    }

    fn alter_with(
        &mut self,
        kind: i8,
        of: &str,
        changes: &[(&str, i8, &str)],
        validate_only: bool,
    ) -> (i16, String) {
        let configs = changes.iter().map(|(name, operation, value)| {
            AlterableConfig::default()
                .with_name(word(name))
                .with_config_operation(*operation)
                .with_value((*operation != DELETE).then(|| word(value)))
        });
        let resource = Alter::default()
            .with_resource_type(kind)
            .with_resource_name(word(of))
            .with_configs(configs.collect());
        let request = IncrementalAlterConfigsRequest::default()
            .with_resources(vec![resource])
            .with_validate_only(validate_only);
        match self.run(1, RequestKind::IncrementalAlterConfigs(request)) {
            ResponseKind::IncrementalAlterConfigs(mut response) => {
                encodes(&response, 1);
                let result = response.responses.pop().unwrap();
                (result.error_code, message(result.error_message))
            }
            other => panic!("{other:?}"),
        }
    }

    fn replace(&mut self, kind: i8, of: &str, values: &[(&str, &str)]) -> (i16, String) {
        let configs = values.iter().map(|(name, value)| {
            ReplaceConfig::default()
                .with_name(word(name))
                .with_value(Some(word(value)))
        });
        let resource = Replace::default()
            .with_resource_type(kind)
            .with_resource_name(word(of))
            .with_configs(configs.collect());
        let request = AlterConfigsRequest::default().with_resources(vec![resource]);
        match self.run(2, RequestKind::AlterConfigs(request)) {
            ResponseKind::AlterConfigs(mut response) => {
                encodes(&response, 2);
                let result = response.responses.pop().unwrap();
                (result.error_code, message(result.error_message))
            }
            other => panic!("{other:?}"),
        }
    }
}

const FINE: (i16, String) = (0, String::new());

#[test]
fn every_default_is_a_value_that_could_be_set() {
    for setting in TOPIC {
        assert_eq!(setting.check(setting.default), Ok(()), "{}", setting.name);
    }
    let mut names: Vec<&str> = node_settings().map(|setting| setting.name).collect();
    let all = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all, "each name once");
}

#[test]
fn settings_say_where_they_come_from() {
    let mut bench = Bench::new();
    bench.create(vec![
        with_configs(new_topic("a", 1), &[("max.message.bytes", "1234")]),
        new_topic("b", 1),
    ]);
    let key = "max.message.bytes";
    let own = bench.entry(TOPIC_KIND, "a", key);
    assert_eq!(own, ("1234".to_owned(), 1, false, vec![1, 5]));
    let default = bench.entry(TOPIC_KIND, "b", key);
    assert_eq!(default, ("1048588".to_owned(), 5, false, vec![5]));
    bench
        .facts
        .given
        .insert("message.max.bytes", "2000".to_owned());
    let given = bench.entry(TOPIC_KIND, "b", key);
    assert_eq!(given, ("2000".to_owned(), 4, false, vec![4, 5]));
    let view = bench.facts.view(&bench.catalog);
    let limit = |name: &str| view.topic(name).unwrap().limits.message_bytes_max;
    assert_eq!(
        (limit("a"), limit("b")),
        (1234, 2000),
        "what is said is what is obeyed"
    );
}

/// What clients decide by: group commit flushes before acks=all, and there is one replica.
#[test]
fn durability_is_described_as_it_is() {
    let mut bench = Bench::new();
    let mut value = |kind, of: &str, key: &str| bench.entry(kind, of, key).0;
    for (topic, node, is) in [
        ("flush.messages", "log.flush.interval.messages", "1"),
        ("min.insync.replicas", "min.insync.replicas", "1"),
        ("cleanup.policy", "log.cleanup.policy", "delete"),
        ("segment.bytes", "log.segment.bytes", "67108864"),
    ] {
        assert_eq!(value(TOPIC_KIND, "settlements", topic), is);
        assert_eq!(value(NODE_KIND, "0", node), is);
    }
    assert_eq!(value(NODE_KIND, "0", "num.partitions"), "4");
    assert_eq!(value(TOPIC_KIND, "transactions", "retention.ms"), "-1");
}

#[test]
fn what_is_not_there_is_not_described() {
    let mut bench = Bench::new();
    assert_eq!(bench.describe(TOPIC_KIND, "missing", None).0, 3);
    assert_eq!(bench.describe(NODE_KIND, "7", None).0, 42);
    assert_eq!(bench.describe(32, "group", None).0, 42);
    assert_eq!(bench.describe(NODE_KIND, "", None), (0, Vec::new()));
    let (code, all) = bench.describe(TOPIC_KIND, "settlements", Some(&[]));
    assert_eq!((code, all.len()), (0, TOPIC.len()), "no keys are all keys");
}

#[test]
fn some_settings_are_changed_and_the_others_stay() {
    let mut bench = Bench::new();
    bench.create(vec![with_configs(
        new_topic("a", 1),
        &[("retention.ms", "5")],
    )]);
    let old = bench.catalog.clone();
    let changes = [
        ("retention.bytes", SET, "99"),
        ("compression.type", SET, "lz4"),
    ];
    assert_eq!(bench.alter(TOPIC_KIND, "a", &changes), FINE);
    let change = bench.facts.change(&old, &bench.catalog);
    let (_, retention) = change.retention[0];
    assert_eq!((retention.ms, retention.bytes), (Some(5), Some(99)));
    assert_eq!(
        bench.alter(TOPIC_KIND, "a", &[("retention.ms", DELETE, "")]),
        FINE
    );
    assert_eq!(bench.entry(TOPIC_KIND, "a", "retention.ms").1, 5);
    // A list begins with what is in force.
    let policy = [("cleanup.policy", APPEND, "delete")];
    assert_eq!(bench.alter(TOPIC_KIND, "a", &policy), FINE);
    let policy = [("cleanup.policy", SUBTRACT, "compact")];
    assert_eq!(bench.alter(TOPIC_KIND, "a", &policy), FINE);
    // The whole is replaced by the older request.
    assert_eq!(
        bench.replace(TOPIC_KIND, "a", &[("flush.ms", "12345678")]),
        FINE
    );
    let only = &bench.catalog.topic("a").unwrap().configs;
    assert_eq!(only.keys().collect::<Vec<_>>(), ["flush.ms"]);
}

#[test]
fn a_setting_that_cannot_be_is_refused_whole_and_says_why() {
    let mut bench = Bench::new();
    bench.create(vec![new_topic("a", 1)]);
    let before = bench.catalog.clone();
    for (key, operation, value, code, says) in [
        (
            "cleanup.policy",
            SET,
            "compact",
            40,
            "compaction is not supported",
        ),
        (
            "cleanup.policy",
            APPEND,
            "compact",
            40,
            "compaction is not supported",
        ),
        ("cleanup.policy", SUBTRACT, "delete", 40, "Invalid value"),
        ("min.insync.replicas", SET, "2", 40, "one replica"),
        (
            "message.timestamp.type",
            SET,
            "LogAppendTime",
            40,
            "producer gave",
        ),
        ("retention.ms", SET, "soon", 40, "Not a number of type LONG"),
        ("retention.ms", SET, "-2", 40, "at least -1"),
        (
            "max.message.bytes",
            SET,
            "99999999",
            40,
            "must be 1 to 7340032",
        ),
        ("compression.type", SET, "brotli", 40, "must be one of"),
        ("retention.ms", APPEND, "1", 40, "not LIST"),
        (
            "dummy.doesntexist",
            SET,
            "x",
            40,
            "Unknown topic config name",
        ),
        ("retention.ms", 9, "x", 42, "Unknown operation 9"),
    ] {
        let changes = [("retention.bytes", SET, "1"), (key, operation, value)];
        let (got, why) = bench.alter(TOPIC_KIND, "a", &changes);
        assert_eq!(got, code, "{key}: {why}");
        assert!(why.contains(says), "{why}");
        assert_eq!(bench.catalog, before);
    }
    let twice = [("flush.ms", SET, "1"), ("flush.ms", DELETE, "")];
    assert_eq!(bench.alter(TOPIC_KIND, "a", &twice).0, 42);
    assert_eq!(bench.alter(TOPIC_KIND, "missing", &[]).0, 3);
    assert_eq!(bench.alter(TOPIC_KIND, "transactions-tokyo", &[]).0, 29);
    assert_eq!(bench.alter(TOPIC_KIND, "transactions", &[]).0, 29);
    let bad = with_configs(new_topic("b", 1), &[("dummy.doesntexist", "x")]);
    assert_eq!(bench.create(vec![bad])[0].0, 40);
    assert_eq!(bench.catalog, before);
}

#[test]
fn validating_a_change_makes_none() {
    let mut bench = Bench::new();
    let before = bench.catalog.clone();
    let changes = [("retention.ms", SET, "5")];
    let answer = bench.alter_with(TOPIC_KIND, "settlements", &changes, true);
    assert_eq!(answer, FINE);
    assert_eq!(bench.catalog, before);
}

/// What only tunes another broker may be set; what the node's configuration decides may not.
#[test]
fn the_nodes_settings_change_where_the_configuration_does_not_decide() {
    let mut bench = Bench::new();
    let key = "log.flush.interval.messages";
    assert_eq!(bench.replace(NODE_KIND, "0", &[(key, "1234")]), FINE);
    let set = bench.entry(NODE_KIND, "0", key);
    assert_eq!(set, ("1234".to_owned(), 2, false, vec![2, 5]));
    assert_eq!(
        bench.describe(NODE_KIND, "", None).1.len(),
        1,
        "what was set"
    );
    let of_topic = bench.entry(TOPIC_KIND, "settlements", "flush.messages");
    assert_eq!(of_topic, ("1234".to_owned(), 2, false, vec![2, 5]));
    for (key, value, says) in [
        ("num.partitions", "9", "(broker.default_partitions)"),
        ("log.retention.ms", "9", "(broker.retention_ms)"),
        ("log.segment.bytes", "1048576", "(log.segment_bytes)"),
        (
            "log.cleanup.policy",
            "compact",
            "compaction is not supported",
        ),
        ("nonsense", "9", "Unknown broker config name"),
    ] {
        let (code, why) = bench.alter(NODE_KIND, "0", &[(key, SET, value)]);
        assert_eq!(code, 40, "{why}");
        assert!(why.contains(says), "{why}");
    }
    assert_eq!(bench.replace(NODE_KIND, "0", &[]), FINE);
    assert_eq!(bench.entry(NODE_KIND, "0", key).1, 5);
}
