//! What users may rely on about the control port.

use super::*;

#[test]
fn the_control_port_is_for_this_machine_unless_said_otherwise() {
    let remote = "[control]\nhttp = \"0.0.0.0:9644\"\n";
    let error = refused(remote);
    assert!(error.contains("node.toml line 2: control.http:"), "{error}");
    assert!(error.contains("control.allow_remote = true"), "{error}");
    let allowed = format!("{remote}allow_remote = true\n");
    Config::parse(&allowed, "node.toml").expect("allowed in words");
    for local in ["127.0.0.1:0", "[::1]:9644", ""] {
        let text = format!("[control]\nhttp = \"{local}\"\n");
        let config = Config::parse(&text, "node.toml").expect("a loopback address, or none");
        assert_eq!(config.control.http.to_string(), local);
    }
}

#[test]
fn what_is_no_address_is_refused_with_what_is_allowed() {
    let error = refused("[control]\nhttp = \"localhost\"\n");
    for part in ["line 2", "control.http", "\"IP:PORT\"", "or \"\""] {
        assert!(error.contains(part), "{error}");
    }
}
