//! What users may rely on about where shards and topics are, and who processes them.

use super::*;

const CLUSTER: &str = "[clusters.tokyo]\nbrokers = [\"a:1\"]\n";

fn shard(id: u32, name: &str, keys: &str) -> String {
    format!("[[shards]]\nid = {id}\nname = \"{name}\"\nlatitude = 0.0\nlongitude = 0.0\n{keys}\n")
}

fn on_tokyo(id: u32, name: &str, keys: &str) -> String {
    shard(
        id,
        name,
        &format!("cluster = \"tokyo\"\npartitions = 1\n{keys}"),
    )
}

fn all_refused(cases: Vec<(String, &str)>) {
    for (text, expected) in cases {
        let error = refused(&text);
        assert!(
            error.contains(expected),
            "expected {expected}\n  in {error}\n{text}"
        );
    }
}

#[test]
fn shards_and_clusters_belong_together() {
    let a = on_tokyo(1, "a", "");
    all_refused(vec![
        (
            shard(1, "a", "cluster = \"kyoto\""),
            "line 6: shards[0].cluster: there is no cluster \"kyoto\"; allowed: \"embedded\"",
        ),
        (
            format!("{CLUSTER}{}", shard(1, "a", "cluster = \"kyoto\"")),
            "allowed: \"embedded\", \"tokyo\"",
        ),
        (
            format!("{CLUSTER}{a}{}", shard(2, "b", "")),
            "shards[1].cluster: \"embedded\", but shards[0] is on \"tokyo\": the shards of one \
             node are either all embedded or all on clusters",
        ),
        (
            format!("{CLUSTER}{}{a}", shard(2, "b", "")),
            "line 14: shards[1].cluster: \"tokyo\", but shards[0] is on \"embedded\"",
        ),
        (
            format!("{CLUSTER}[clusters.osaka]\nbrokers = [\"b:1\"]\n{a}"),
            "line 3: clusters.osaka: no shard uses it",
        ),
        (
            CLUSTER.to_owned(),
            "line 1: clusters.tokyo: no shard uses it",
        ),
        (
            CLUSTER.replace("tokyo", "embedded") + &shard(1, "a", ""),
            "clusters.embedded: \"embedded\" is no name of a cluster",
        ),
        (
            CLUSTER.replace("tokyo", "Tokyo")
                + &shard(1, "a", "cluster = \"Tokyo\"\npartitions = 1"),
            "clusters.Tokyo: \"Tokyo\" is no name of a cluster; allowed: 1 to 64 of a-z 0-9 -",
        ),
    ]);
}

#[test]
fn topics_on_a_cluster_are_whole_and_differ() {
    let a = on_tokyo(1, "a", "");
    all_refused(vec![
        (
            format!("{CLUSTER}{}", shard(1, "a", "cluster = \"tokyo\"")),
            "shards[0].partitions: neither it nor transactions.partitions says how many",
        ),
        (
            format!(
                "{CLUSTER}{}",
                shard(1, "a", "cluster = \"tokyo\"\npartitions = 65537")
            ),
            "line 9: shards[0].partitions: 65537 is out of range",
        ),
        (
            format!(
                "{CLUSTER}{a}{}",
                shard(2, "b", "cluster = \"tokyo\"\npartitions = 65536")
            ),
            "shards[1].partitions: 65537 partitions of shards in all",
        ),
        (
            format!("{CLUSTER}{}", on_tokyo(1, "a", "replication = 32768")),
            "line 10: shards[0].replication: 32768 is out of range",
        ),
        (
            format!("{CLUSTER}{}", on_tokyo(1, "a", "topic = \"a b\"")),
            "shards[0].topic: \"a b\" is no name of a topic",
        ),
        (
            format!(
                "{CLUSTER}{a}{}",
                on_tokyo(2, "b", "topic = \"transactions-a\"")
            ),
            "shards[1].topic: \"transactions-a\" on \"tokyo\" belongs to shards[0] already",
        ),
        (
            format!(
                "{CLUSTER}{a}{}",
                on_tokyo(2, "b", "topic = \"transactions-a.dlq\"")
            ),
            "shards[1].topic: \"transactions-a.dlq\" on \"tokyo\" belongs to shards[0] already",
        ),
        (
            format!(
                "{CLUSTER}{a}{}",
                on_tokyo(2, "b", "topic = \"transactions-a.state\"")
            ),
            "shards[1].topic: \"transactions-a.state\" on \"tokyo\" belongs to shards[0] already",
        ),
        (
            format!(
                "{CLUSTER}[[topics]]\nname = \"x.dlq\"\n{}",
                on_tokyo(1, "a", "topic = \"x\"")
            ),
            "line 4: topics[0].name: \"x.dlq\" on \"tokyo\" belongs to shards[0]",
        ),
        (
            format!("{CLUSTER}[[topics]]\nname = \"x\"\nreplication = 40000\n{a}"),
            "line 5: topics[0].replication: 40000 is out of range",
        ),
    ]);
    let two = format!(
        "{CLUSTER}[clusters.osaka]\nbrokers = [\"b:1\"]\n{}{}",
        on_tokyo(1, "a", "topic = \"x\""),
        on_tokyo(2, "b", "topic = \"x\"").replace("tokyo", "osaka"),
    );
    Config::parse(&two, "node.toml").expect("one topic's name on two clusters");
}

#[test]
fn keys_of_clusters_have_no_place_with_the_log_built_in() {
    all_refused(vec![
        (
            shard(1, "a", "topic = \"x\""),
            "line 6: shards[0].topic: the log built in calls it transactions-a; allowed: only with",
        ),
        (
            shard(1, "a", "partitions = 3"),
            "line 6: shards[0].partitions: in the log built in every shard has",
        ),
        (
            shard(1, "a", "replication = 3"),
            "line 6: shards[0].replication: the log built in keeps one copy",
        ),
        (
            "[[topics]]\nname = \"x\"\nreplication = 3\n".to_owned(),
            "line 3: topics[0].replication: the log built in keeps one copy",
        ),
        (
            "[membership]\nmode = \"group\"\n".to_owned(),
            "line 2: membership.mode: every shard is embedded",
        ),
        (
            "[membership]\nshards = [1]\n".to_owned(),
            "line 2: membership.shards: every shard is embedded",
        ),
        (
            "[membership]\ninstance = \"a\"\n".to_owned(),
            "line 2: membership.instance: every shard is embedded",
        ),
    ]);
}

#[test]
fn members_are_told_without_contradiction() {
    let rest = format!("{CLUSTER}{}", on_tokyo(1, "a", ""));
    let member = |keys: &str| format!("[membership]\n{keys}\n{rest}");
    all_refused(vec![
        (
            member("shards = [1, 9]"),
            "line 2: membership.shards[1]: no shard has the id 9",
        ),
        (
            member("shards = [1, 1]"),
            "line 2: membership.shards[1]: the same as membership.shards[0]",
        ),
        (
            member("mode = \"group\"\nshards = [1]\ninstance = \"a\""),
            "line 3: membership.shards: with mode = \"group\" the consumer group decides",
        ),
        (
            member("mode = \"group\""),
            "membership.instance: needed with mode = \"group\", as clusters.tokyo.processing = \
             \"exactly_once\"; allowed: 1 to 64 of a-z 0-9 -",
        ),
        (
            member("instance = \"A\""),
            "line 2: membership.instance: \"A\" is no name of a place",
        ),
        (
            member("mode = \"both\""),
            "allowed: \"static\" or \"group\"",
        ),
        (
            member("shards = [-1]"),
            "allowed: a list of ids of shards, each once",
        ),
    ]);
    let group =
        member("mode = \"group\"").replace("brokers", "processing = \"at_least_once\"\nbrokers");
    Config::parse(&group, "node.toml").expect("no name is needed");
    let ids: Vec<u32> = (1..100).map(|id| id * 2).collect();
    let shards: String = ids
        .iter()
        .map(|id| on_tokyo(*id, &format!("s{id}"), ""))
        .collect();
    let error = refused(&format!(
        "[membership]\nshards = {ids:?}\n{CLUSTER}{shards}"
    ));
    assert!(
        error.contains("membership.instance: the name made from `shards` is too long"),
        "{error}"
    );
}
