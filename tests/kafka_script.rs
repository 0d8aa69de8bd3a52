//! `scripts/kafka`: the clusters that other tests rely on really start, fail over and go away.

#[path = "support/kafka.rs"]
mod kafka;

use std::process::Command;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use kafka::{Access, Extra, Isolation, KafkaCluster, script};
use rdkafka::client::ClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

/// How long a record may take to be on all replicas, a change of leader included.
const PATIENCE: Duration = Duration::from_secs(30);

fn produce(kafka: &KafkaCluster, topic: &str, value: &str) {
    let mut config = kafka.client_config();
    config.set("acks", "all").set("enable.idempotence", "true");
    let producer: BaseProducer = config.create().expect("a producer");
    let record: BaseRecord<'_, str, str> = BaseRecord::to(topic).partition(0).payload(value);
    producer.send(record).expect("there is room");
    producer.flush(PATIENCE).expect("the record is written");
}

fn values(kafka: &KafkaCluster, topic: &str) -> Vec<String> {
    let records = kafka.consume_all(topic, Isolation::ReadCommitted);
    records
        .into_iter()
        .map(|record| String::from_utf8(record.value.expect("a value")).expect("UTF-8"))
        .collect()
}

fn states(kafka: &KafkaCluster) -> Vec<String> {
    let status = kafka.run("status", &["--json"]);
    let status: serde_json::Value = serde_json::from_str(&status).expect("JSON");
    let nodes = status["nodes"].as_array().expect("a list");
    nodes
        .iter()
        .map(|node| node["state"].as_str().expect("a word").to_owned())
        .collect()
}

/// Keeps the first error that concerns the whole client.
#[derive(Default)]
struct Listener {
    error: Mutex<Option<RDKafkaErrorCode>>,
}

impl ClientContext for Listener {
    fn error(&self, error: KafkaError, _reason: &str) {
        let mut first = self.error.lock().expect("nobody panics holding it");
        *first = first.or(error.rdkafka_error_code());
    }
}

impl ConsumerContext for Listener {}

/// The error that a client with these settings runs into.
fn first_error(config: &ClientConfig) -> RDKafkaErrorCode {
    let client: BaseConsumer<Listener> = config
        .create_with_context(Listener::default())
        .expect("a client");
    let deadline = Instant::now() + PATIENCE;
    loop {
        assert!(Instant::now() < deadline, "the client is not refused");
        let _ = client.poll(Duration::from_millis(20));
        let error = *client.context().error.lock().expect("nobody panics");
        if let Some(error) = error {
            return error;
        }
    }
}

#[test]
fn a_killed_leader_is_replaced_and_comes_back_with_its_data() {
    let Some(kafka) = KafkaCluster::up_or_skip("script-three", 3, Extra::default()) else {
        return;
    };
    assert_eq!(kafka.brokers().split(',').count(), 3);
    assert_eq!(states(&kafka), ["up", "up", "up"]);
    kafka.create_topic("moves", 1, 3);
    produce(&kafka, "moves", "before");
    let first = kafka.leader_of("moves", 0);
    kafka.kill(first);
    assert_eq!(states(&kafka)[usize::from(first) - 1], "down");
    let second = kafka.leader_other_than(first, "moves", 0);
    produce(&kafka, "moves", "without");
    kafka.start(first);
    kafka.wait_in_sync("moves", 0, 3);
    // From now on the first one's copy is needed: two of three have to write.
    kafka.kill(second);
    kafka.leader_other_than(second, "moves", 0);
    produce(&kafka, "moves", "after");
    assert_eq!(values(&kafka, "moves"), ["before", "without", "after"]);
}

#[test]
fn the_client_port_takes_tls_and_known_users_only() {
    let extra = Extra {
        access: Access::TlsAndSasl,
        ..Extra::default()
    };
    let Some(kafka) = KafkaCluster::up_or_skip("script-tls", 1, extra) else {
        return;
    };
    for mechanism in ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] {
        let mut config = kafka.client_config();
        config.set("sasl.mechanism", mechanism);
        let client: BaseConsumer = config.create().expect("a client");
        let metadata = client.fetch_metadata(None, PATIENCE);
        assert!(metadata.is_ok(), "{mechanism}: {:?}", metadata.err());
        config.set("sasl.password", "another");
        assert_eq!(first_error(&config), RDKafkaErrorCode::Authentication);
    }
    let mut stranger = kafka.client_config();
    stranger.remove("ssl.ca.location");
    assert_eq!(first_error(&stranger), RDKafkaErrorCode::SSL);
    kafka.create_topic("guarded", 1, 1);
    produce(&kafka, "guarded", "a record");
    assert_eq!(values(&kafka, "guarded"), ["a record"]);
}

#[test]
fn a_cluster_is_its_own_and_goes_without_a_trace() {
    let extra = Extra {
        properties: vec![("message.max.bytes", "2000")],
        ..Extra::default()
    };
    let Some(kafka) = KafkaCluster::up_or_skip("script-one", 1, extra) else {
        return;
    };
    let again = ["--brokers", "1", "--property", "message.max.bytes=2000"];
    assert_eq!(kafka.run("up", &again).trim(), kafka.brokers());
    let other = kafka.try_run("up", &["--brokers", "3"]);
    assert_eq!(other.status.code(), Some(1), "it is up with other options");
    kafka.pause(1);
    assert_eq!(states(&kafka), ["paused"]);
    kafka.resume(1);
    assert_eq!(states(&kafka), ["up"]);
    kafka.create_topic("kept", 1, 1);
    produce(&kafka, "kept", "a record");
    kafka.stop(1);
    assert_eq!(states(&kafka), ["down"]);
    kafka.start(1);
    assert_eq!(values(&kafka, "kept"), ["a record"]);

    let region = kafka.and_another("script-two", 1, Extra::default());
    assert_ne!(region.brokers(), kafka.brokers());
    let folder = kafka.folder();
    drop(kafka);
    assert!(!folder.exists());
    assert_eq!(states(&region), ["up"], "the other one stays");
}

#[test]
fn a_cluster_whose_owner_was_killed_goes_with_the_next_start() {
    let Some(kafka) = KafkaCluster::up_or_skip("script-first", 1, Extra::default()) else {
        return;
    };
    let mut owner = Command::new("sleep").arg("600").spawn().expect("it starts");
    let name = format!("script-orphan-{}", owner.id());
    let up = script(&["up", "--name", &name, "--owner", &owner.id().to_string()]);
    owner.kill().expect("it can be killed");
    owner.wait().expect("it can be waited for");
    assert!(up.status.success(), "{up:?}");
    let folder = kafka.folder().with_file_name(&name);
    assert!(folder.exists());
    let region = kafka.and_another("script-second", 1, Extra::default());
    assert!(!folder.exists());
    assert_eq!(states(&kafka), ["up"], "its owner is this test");
    drop(region);
}

#[test]
fn wrong_usage_is_told_apart_from_failure() {
    for wrong in [
        &["up", "--brokers", "2"][..],
        &["up", "--name", "../elsewhere"],
        &["up", "--property", "no-value"],
        &["kill", "0"],
        &["status", "--tls"],
        &["restart"],
        &[],
    ] {
        assert_eq!(script(wrong).status.code(), Some(2), "{wrong:?}");
    }
    let nobody = ["kill", "--name", "nobody-has-this", "1"];
    assert_eq!(script(&nobody).status.code(), Some(1));
}
