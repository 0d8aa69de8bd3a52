//! Who comes in by the Kafka listener: librdkafka with the right password and certificate does, and
//! nobody else gets a word.

#![allow(clippy::unwrap_used)] // Helpers of a test fail like the test itself.

#[path = "support/broker_node.rs"]
mod broker_node;
#[path = "support/kafka_peer.rs"]
mod kafka_peer;
#[path = "support/kafka_tls.rs"]
mod kafka_tls;
#[path = "support/node.rs"]
mod node;

use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, Instant};

use corelane::broker::versions::APIS;
use kafka_protocol::messages::{
    MetadataRequest, SaslAuthenticateRequest, SaslAuthenticateResponse, SaslHandshakeRequest,
};
use kafka_protocol::protocol::StrBytes;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message as _;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use broker_node::{BrokerNode, own_address};
use kafka_peer::{Peer, any_request, one_record, produce_request};
use kafka_tls::{Authority, Identity};

const MECHANISMS: [&str; 3] = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"];

/// How long librdkafka may take for anything.
const PATIENCE: Duration = Duration::from_secs(30);

/// Authentication for the section `[broker]`: alice may come in.
const SASL: &str = "sasl = [\"PLAIN\", \"SCRAM-SHA-256\", \"SCRAM-SHA-512\"]\n";
const USERS: &str = "[[broker.users]]\nname = \"alice\"\npassword = \"wonder,land=1\"\n\
                     [[broker.users]]\nname = \"a=b,c\"\npassword = \"bob's\"\n";
const ALICE: (&str, &str) = ("alice", "wonder,land=1");
/// A name that SCRAM has to escape.
const BOB: (&str, &str) = ("a=b,c", "bob's");

fn with_sasl() -> BrokerNode {
    BrokerNode::start_with(SASL, USERS)
}

/// A node that listens with TLS alone.
fn with_tls(authority: &Authority, client_ca: Option<&Authority>, sasl: &str) -> BrokerNode {
    let address = own_address();
    let Identity { certificate, key } = authority.server(address);
    let users = if sasl.is_empty() { "" } else { USERS };
    let client_ca = client_ca.map_or_else(String::new, |authority| {
        format!("client_ca = {:?}\n", authority.root())
    });
    let section = format!(
        "[broker]\nlisten = []\ntls_listen = [\"{address}\"]\n{sasl}\n{users}\n\
         [broker.tls]\ncertificate = {certificate:?}\nkey = {key:?}\n{client_ca}"
    );
    BrokerNode::start_at(address, &section)
}

/// librdkafka's settings.
struct Client(ClientConfig);

impl Client {
    fn of(address: SocketAddr) -> Client {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", address.to_string())
            .set("message.timeout.ms", "20000")
            .set("group.id", "readers");
        Client(config)
    }

    fn sasl(mut self, mechanism: &str, (name, password): (&str, &str)) -> Client {
        let protocol = match self.0.get("security.protocol") {
            Some("ssl") => "sasl_ssl",
            Some(_) | None => "sasl_plaintext",
        };
        self.0
            .set("security.protocol", protocol)
            .set("sasl.mechanism", mechanism)
            .set("sasl.username", name)
            .set("sasl.password", password);
        self
    }

    fn tls(mut self, trusted: &Authority) -> Client {
        self.0
            .set("security.protocol", "ssl")
            .set("ssl.ca.location", trusted.root().to_string_lossy());
        self
    }

    fn certificate(mut self, identity: &Identity) -> Client {
        let path = |path: &std::path::Path| path.to_string_lossy().into_owned();
        self.0
            .set("ssl.certificate.location", path(&identity.certificate))
            .set("ssl.key.location", path(&identity.key));
        self
    }

    /// Writes a record and reads it back.
    fn goes_through(&self, topic: &str) {
        let producer: BaseProducer = self.0.create().unwrap();
        let record = BaseRecord::to(topic)
            .key("key")
            .payload("value")
            .partition(0);
        producer.send(record).unwrap();
        producer.flush(PATIENCE).unwrap();
        assert_eq!(producer.in_flight_count(), 0);
        let consumer: BaseConsumer = self.0.create().unwrap();
        let mut from = TopicPartitionList::new();
        from.add_partition_offset(topic, 0, Offset::Beginning)
            .unwrap();
        consumer.assign(&from).unwrap();
        let message = consumer.poll(PATIENCE).expect("a record").unwrap();
        assert_eq!(message.payload(), Some(&b"value"[..]));
    }

    /// The first error that librdkafka reports; it goes on trying for ever.
    fn error(&self) -> RDKafkaErrorCode {
        let consumer: BaseConsumer = self.0.create().unwrap();
        let mut list = TopicPartitionList::new();
        list.add_partition_offset("refused", 0, Offset::Beginning)
            .unwrap();
        consumer.assign(&list).unwrap();
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            match consumer.poll(Duration::from_millis(100)) {
                Some(Err(KafkaError::MessageConsumption(code) | KafkaError::Global(code)))
                    // What follows from the first error.
                    if code != RDKafkaErrorCode::AllBrokersDown =>
                {
                    return code;
                }
                Some(Ok(_)) => panic!("a record for somebody who must not come in"),
                Some(Err(_)) | None => {}
            }
        }
        panic!("librdkafka reports no error");
    }
}

#[test]
fn librdkafka_comes_in_with_every_mechanism() {
    let broker = with_sasl();
    for mechanism in MECHANISMS {
        for user in [ALICE, BOB] {
            let topic = mechanism.to_lowercase();
            Client::of(broker.address)
                .sasl(mechanism, user)
                .goes_through(&topic);
        }
    }
}

#[test]
fn librdkafka_comes_in_over_tls_with_and_without_a_password() {
    let authority = Authority::new("root");
    let broker = with_tls(&authority, None, "");
    Client::of(broker.address).tls(&authority).goes_through("t");
    let broker = with_tls(&authority, None, SASL);
    for mechanism in MECHANISMS {
        Client::of(broker.address)
            .tls(&authority)
            .sasl(mechanism, ALICE)
            .goes_through("t");
    }
    let anonymous = Client::of(broker.address).tls(&authority);
    assert_ne!(anonymous.error(), RDKafkaErrorCode::NoError);
}

#[test]
fn librdkafka_with_a_wrong_password_is_refused() {
    let broker = with_sasl();
    for mechanism in MECHANISMS {
        for user in [(ALICE.0, "wrong"), ("eve", ALICE.1), ("alic", ALICE.1)] {
            let client = Client::of(broker.address).sasl(mechanism, user);
            assert_eq!(client.error(), RDKafkaErrorCode::Authentication);
        }
    }
    let unknown = Client::of(broker.address).sasl("SCRAM-SHA-512", ALICE);
    unknown.goes_through("after");
}

#[test]
fn a_mechanism_that_is_off_is_refused() {
    let broker = BrokerNode::start_with("sasl = [\"SCRAM-SHA-512\"]", USERS);
    for mechanism in ["PLAIN", "SCRAM-SHA-256"] {
        let client = Client::of(broker.address).sasl(mechanism, ALICE);
        assert_eq!(client.error(), RDKafkaErrorCode::Authentication);
        let mut peer = broker.peer();
        let request = SaslHandshakeRequest::default()
            .with_mechanism(StrBytes::from_string(mechanism.to_owned()));
        let response = peer.ask(1, &request);
        assert_eq!(response.error_code, 33);
        assert_eq!(response.mechanisms.len(), 1);
        assert_eq!(&*response.mechanisms[0], "SCRAM-SHA-512");
    }
    Client::of(broker.address)
        .sasl("SCRAM-SHA-512", ALICE)
        .goes_through("on");
}

#[test]
fn client_certificates_are_required_where_their_authority_is_named() {
    let (authority, clients) = (Authority::new("root"), Authority::new("clients"));
    let broker = with_tls(&authority, Some(&clients), "");
    let client = || Client::of(broker.address).tls(&authority);
    client()
        .certificate(&clients.client())
        .goes_through("certified");
    let foreign = Authority::new("foreign");
    let refused = [foreign.client(), clients.expired_client()];
    for identity in &refused {
        let error = client().certificate(identity).error();
        assert_ne!(error, RDKafkaErrorCode::NoError);
    }
    assert_ne!(client().error(), RDKafkaErrorCode::NoError, "none at all");
}

#[test]
fn a_server_of_another_authority_is_not_trusted() {
    let (authority, other) = (Authority::new("root"), Authority::new("other"));
    let broker = with_tls(&authority, None, "");
    let client = Client::of(broker.address).tls(&other);
    assert_eq!(client.error(), RDKafkaErrorCode::SSL);
}

/// Plain bytes at a TLS listener end there, and a handshake at a plain one.
#[test]
fn encrypted_and_plain_do_not_mix() {
    let authority = Authority::new("root");
    let encrypted = with_tls(&authority, None, "");
    let mut peer = encrypted.peer();
    peer.send(&any_request(18, 0, b"", b"")).unwrap();
    // An alert may come first; it is no answer of Kafka's.
    let mut heard = Vec::new();
    let _ = std::io::Read::read_to_end(&mut peer.stream, &mut heard);
    assert!(heard.len() < 16 && heard.first().is_none_or(|byte| *byte == 0x15));
    Client::of(encrypted.address)
        .tls(&authority)
        .goes_through("t");

    let mut plain = BrokerNode::start();
    let client = Client::of(plain.address).tls(&authority);
    assert_ne!(client.error(), RDKafkaErrorCode::NoError);
    plain.serves_others();
}

/// Nobody knows this client: it gets ApiVersions, and the end for everything else.
#[test]
fn unauthenticated_requests_get_nothing() {
    let broker = with_sasl();
    for api in APIS {
        for version in [api.min, api.max] {
            let mut peer = broker.peer();
            assert!(peer.api_versions().is_some(), "that may be asked");
            let asked = any_request(api.key, version, b"", &[0; 32]);
            let _ = peer.send(&asked);
            peer.end_sending();
            let said = peer.rest();
            let allowed = ["ApiVersions", "SaslHandshake", "SaslAuthenticate"].contains(&api.name);
            assert!(
                said.is_empty() || allowed,
                "{} {version}: {said:?}",
                api.name
            );
        }
    }
    // A good request between handshake and proof is as good as none.
    let mut peer = broker.peer();
    handshake(&mut peer, 1, "PLAIN");
    let request = produce_request("t", 0, one_record(b"x"));
    assert!(peer.try_ask(9, &request).is_none());
    // Nor can somebody unknown have much memory taken for it.
    let mut peer = broker.peer();
    peer.send(&1_000_000_i32.to_be_bytes()).unwrap();
    assert_eq!(peer.frame(), None);
}

fn handshake(peer: &mut Peer, version: i16, mechanism: &str) {
    let request =
        SaslHandshakeRequest::default().with_mechanism(StrBytes::from_string(mechanism.to_owned()));
    assert_eq!(peer.ask(version, &request).error_code, 0);
}

fn authenticate(peer: &mut Peer, token: &str) -> Option<SaslAuthenticateResponse> {
    let request =
        SaslAuthenticateRequest::default().with_auth_bytes(token.to_owned().into_bytes().into());
    peer.try_ask(2, &request)
}

/// Neither the answer nor what follows tells an unknown name from a wrong password.
#[test]
fn a_refusal_tells_nothing_and_is_the_last_word() {
    let broker = with_sasl();
    let mut seen = Vec::new();
    for token in ["\0alice\0wrong", "\0eve\0wrong", "\0\0", "x"] {
        let mut peer = broker.peer();
        handshake(&mut peer, 1, "PLAIN");
        let response = authenticate(&mut peer, token).unwrap();
        assert_eq!(response.error_code, 58);
        assert_eq!(peer.frame(), None, "the connection ends");
        seen.push(response);
    }
    seen.dedup();
    assert_eq!(seen.len(), 1);
}

#[test]
fn whoever_came_in_is_served_and_asked_no_more() {
    let broker = with_sasl();
    let mut peer = broker.peer();
    handshake(&mut peer, 1, "PLAIN");
    let response = authenticate(&mut peer, "\0alice\0wonder,land=1").unwrap();
    assert_eq!((response.error_code, response.session_lifetime_ms), (0, 0));
    peer.make_topic("mine");
    assert_eq!(peer.produce("mine", 0, one_record(b"x")).error, 0);
    let again = authenticate(&mut peer, "\0alice\0wrong").unwrap();
    assert_eq!(again.error_code, 34, "ILLEGAL_SASL_STATE");
    assert_eq!(peer.end_offset("mine", 0), 1, "and still is");
}

/// The oldest form: after SaslHandshake 0 tokens go bare, each behind its length.
#[test]
fn bare_tokens_are_understood() {
    let broker = with_sasl();
    let mut peer = broker.peer();
    handshake(&mut peer, 0, "PLAIN");
    let token = b"\0alice\0wonder,land=1";
    peer.send(&(token.len() as i32).to_be_bytes()).unwrap();
    peer.send(token).unwrap();
    assert_eq!(peer.frame().as_deref(), Some(&b""[..]));
    let response = peer.ask(9, &MetadataRequest::default().with_topics(None));
    assert_eq!(response.brokers.len(), 1);

    let mut peer = broker.peer();
    handshake(&mut peer, 0, "PLAIN");
    peer.send(&3_i32.to_be_bytes()).unwrap();
    peer.send(b"\0a\0").unwrap();
    assert_eq!(peer.frame(), None);
}

/// A listener that asks nobody says so, as Kafka does.
#[test]
fn authentication_where_there_is_none_is_an_illegal_state() {
    let mut broker = BrokerNode::start();
    let mut peer = broker.peer();
    let request =
        SaslHandshakeRequest::default().with_mechanism(StrBytes::from_static_str("PLAIN"));
    assert_eq!(peer.ask(1, &request).error_code, 34);
    broker.serves_others();
}

/// What `corelane serve` says to a `[broker]` section that it must refuse.
fn refusal(section: &str) -> String {
    let folder = tempfile::TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let config = folder.path().join("node.toml");
    std::fs::write(&config, section).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_corelane"))
        .arg("serve")
        .args(["--config".as_ref(), config.as_os_str()])
        .args([
            "--data-dir".as_ref(),
            folder.path().join("data").as_os_str(),
        ])
        .args(["--unix".as_ref(), folder.path().join("s").as_os_str()])
        .args(["--cores", "1", "--oversubscribe"])
        .args(["--control", "127.0.0.1:0"])
        .output()
        .unwrap();
    assert!(!output.status.success(), "it must not start");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn nothing_beyond_loopback_is_opened_without_authentication() {
    let advertised = "advertised = [\"node:9092\"]";
    for address in [
        "0.0.0.0:0",
        "[::]:0",
        "192.0.2.1:9092",
        "[2001:db8::1]:9092",
    ] {
        let section = format!("[broker]\nlisten = [\"{address}\"]\n{advertised}\n");
        let said = refusal(&section);
        assert!(said.contains("broker.listen[0]"), "{said}");
        assert!(said.contains("allow_unauthenticated"), "{said}");
    }
    // PLAIN is no help where everybody can listen.
    let section =
        format!("[broker]\nlisten = [\"0.0.0.0:0\"]\n{advertised}\nsasl = [\"PLAIN\"]\n{USERS}");
    assert!(refusal(&section).contains("broker.listen[0]"));
}

#[test]
fn certificates_that_cannot_be_used_are_named_at_the_start() {
    let authority = Authority::new("root");
    let Identity { certificate, key } = authority.server("127.0.0.1:9092".parse().unwrap());
    let other = authority.client();
    let section = |certificate, key| {
        format!(
            "[broker]\nlisten = []\ntls_listen = [\"127.0.0.1:0\"]\n\
             [broker.tls]\ncertificate = {certificate:?}\nkey = {key:?}\n"
        )
    };
    let missing = key.with_extension("missing");
    let said = refusal(&section(&certificate, &missing));
    assert!(said.contains("broker.tls.key"), "{said}");
    let said = refusal(&section(&certificate, &other.key));
    assert!(
        said.contains("does not belong to the certificate"),
        "{said}"
    );
    let said = refusal(&section(&key, &key));
    assert!(said.contains("has no certificate"), "{said}");
}
