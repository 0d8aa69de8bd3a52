//! What users may rely on about the Kafka listener.

use super::*;

const TLS: &str = "[broker.tls]\ncertificate = \"FILE\"\nkey = \"FILE\"\n";
const ALICE: &str = "[[broker.users]]\nname = \"alice\"\npassword = \"pa55\"\n";

fn accepted(text: &str) -> Config {
    Config::parse(text, "node.toml").unwrap_or_else(|error| panic!("{error}\n{text}"))
}

fn broker(keys: &str) -> String {
    format!("[broker]\n{keys}\n")
}

#[test]
fn nobody_opens_the_log_to_other_machines_by_accident() {
    let error = refused(&broker("listen = [\"10.0.0.1:9092\"]"));
    for part in [
        "node.toml line 2: broker.listen[0]:",
        "by anybody",
        "broker.sasl",
        "broker.allow_unauthenticated = true",
    ] {
        assert!(error.contains(part), "{error}");
    }
    accepted(&broker(
        "listen = [\"10.0.0.1:9092\"]\nallow_unauthenticated = true",
    ));
    accepted(&(broker("listen = [\"10.0.0.1:9092\"]\nsasl = [\"SCRAM-SHA-256\"]") + ALICE));
}

#[test]
fn plain_passwords_stay_on_this_machine_or_in_tls() {
    let listen = |address: &str, key: &str| {
        broker(&format!("{key} = [\"{address}\"]\nsasl = [\"PLAIN\"]")) + ALICE
    };
    let error = refused(&listen("10.0.0.1:9092", "listen"));
    assert!(error.contains("in clear"), "{error}");
    accepted(&listen("127.0.0.1:9092", "listen"));
    let file = tempfile::NamedTempFile::new().expect("a file");
    let tls = TLS.replace("FILE", &file.path().display().to_string());
    accepted(&(listen("10.0.0.1:9093", "tls_listen") + &tls));
}

#[test]
fn tls_needs_its_files() {
    let listen = broker("tls_listen = [\"127.0.0.1:9093\"]");
    let error = refused(&listen);
    assert!(error.contains("[broker.tls] is missing"), "{error}");
    let error = refused(&(listen.clone() + &TLS.replace("FILE", "nowhere.pem")));
    assert!(
        error.contains("broker.tls.certificate: nowhere.pem cannot be read"),
        "{error}"
    );
    // Certificates of clients are authentication, too.
    let file = tempfile::NamedTempFile::new().expect("a file");
    let path = file.path().display().to_string();
    let remote = broker("tls_listen = [\"10.0.0.1:9093\"]") + &TLS.replace("FILE", &path);
    assert!(refused(&remote).contains("by anybody"));
    accepted(&(remote + &format!("client_ca = \"{path}\"\n")));
}

#[test]
fn users_and_mechanisms_come_together() {
    let error = refused(&broker("sasl = [\"PLAIN\"]"));
    assert!(error.contains("nobody could authenticate"), "{error}");
    let error = refused(ALICE);
    assert!(error.contains("nobody is asked for a password"), "{error}");
    let sasl = broker("sasl = [\"PLAIN\"]");
    let error = refused(&format!("{sasl}{ALICE}{ALICE}"));
    assert!(
        error.contains("broker.users[1].name: the same as"),
        "{error}"
    );
    let error = refused(&(sasl.clone() + &ALICE.replace("alice", "")));
    assert!(error.contains("broker.users[0].name"), "{error}");
    let error = refused(&broker("sasl = [\"GSSAPI\"]"));
    assert!(error.contains("\"SCRAM-SHA-512\""), "{error}");
}

#[test]
fn a_password_is_neither_printed_nor_repeated_in_an_error() {
    let text = broker("sasl = [\"SCRAM-SHA-512\", \"PLAIN\"]") + ALICE;
    let config = accepted(&text);
    let printed = config.effective().to_toml();
    assert!(
        printed.contains("sasl = [\"SCRAM-SHA-512\", \"PLAIN\"]"),
        "{printed}"
    );
    assert!(printed.contains("password = \"***\""), "{printed}");
    assert!(!printed.contains("pa55") && !format!("{config:?}").contains("pa55"));
    let error = refused(&text.replace("\"pa55\"", "5512345"));
    assert!(!error.contains("5512345"), "{error}");
}

#[test]
fn clients_are_told_addresses_that_they_can_connect_to() {
    let any = "listen = [\"0.0.0.0:9092\"]\nallow_unauthenticated = true\n";
    let error = refused(&broker(any));
    assert!(
        error.contains("clients cannot connect to 0.0.0.0:9092"),
        "{error}"
    );
    accepted(&broker(&format!(
        "{any}advertised = [\"node-1.example:9092\"]"
    )));
    accepted(&broker(&format!("{any}advertised = [\"[fd00::1]:9092\"]")));
    for bad in [
        "node",
        "node:0",
        ":9092",
        "a b:9092",
        "[fd00::1:9092",
        "[x]:1",
        "fd00::1:1",
    ] {
        let error = refused(&broker(&format!("{any}advertised = [\"{bad}\"]")));
        assert!(error.contains("broker.advertised[0]"), "{bad}: {error}");
    }
    let error = refused(&broker("advertised = [\"a:1\", \"b:2\"]"));
    assert!(error.contains("2 for 1 listeners"), "{error}");
}

#[test]
fn an_address_is_listened_on_once() {
    let error = refused(&broker("listen = [\"127.0.0.1:7171\"]"));
    assert!(
        error.contains("broker.listen[0]: the same as gateway.tcp[0]"),
        "{error}"
    );
    accepted(&broker("listen = [\"127.0.0.1:0\", \"127.0.0.1:0\"]"));
}

#[test]
fn numbers_have_bounds_and_fit_each_other() {
    for (keys, says) in [
        ("default_partitions = 0", "1 to 4096 partitions"),
        ("node_id = -1", "broker.node_id"),
        ("message_bytes_max = 7340033", "1 to 7340032 bytes"),
        (
            "request_bytes_max = 65536",
            "less than broker.message_bytes_max",
        ),
        (
            "connection_bytes_max = 70000",
            "less than broker.request_bytes_max",
        ),
        ("bytes_max = 70000", "less than broker.connection_bytes_max"),
        ("retention_ms = -2", "-1 (no bound)"),
        (
            "group_max_session_timeout_ms = 10",
            "less than broker.group_min",
        ),
        ("nonsense = 1", "unknown field"),
    ] {
        let error = refused(&broker(keys));
        assert!(error.contains(says), "{keys}: {error}");
    }
    // Also no multiple of the stripes.
    accepted("[log]\nstripes = 4\n[broker]\ndefault_partitions = 3\n");
}

const ON_CLUSTERS: &str = "
[clusters.tokyo]
brokers = [\"a:1\"]
[[shards]]
id = 1
name = \"a\"
latitude = 1.0
longitude = 1.0
cluster = \"tokyo\"
partitions = 1
";

#[test]
fn with_clusters_there_is_no_listener_and_who_asks_for_one_hears_so() {
    let config = accepted(ON_CLUSTERS);
    assert!(!config.has_kafka_listener());
    assert!(Config::default().has_kafka_listener());
    accepted(&(broker("listen = []") + ON_CLUSTERS));
    for key in ["listen", "tls_listen"] {
        let text = broker(&format!("{key} = [\"127.0.0.1:9099\"]")) + ON_CLUSTERS;
        let error = refused(&text);
        assert!(error.contains(&format!("broker.{key}")), "{error}");
        assert!(error.contains("no log here"), "{error}");
    }
}

#[test]
fn the_inlets_name_is_no_output_of_the_embedded_log() {
    let topic = "[[topics]]\nname = \"transactions\"\n";
    assert!(refused(topic).contains("topics[0].name"));
    accepted(&format!("{topic}{ON_CLUSTERS}"));
}
