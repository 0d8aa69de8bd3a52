use kafka_protocol::protocol::buf::ByteBuf;
use proptest::prelude::*;

use super::super::{Hash, ITERATIONS_MIN, Mechanism, test_client};
use super::*;

const HANDSHAKE: i16 = 17;
const AUTHENTICATE: i16 = 36;
const BARE: &str = "n=ann,r=nonce";

fn gate() -> Gate {
    // Derived once: it takes milliseconds.
    static USERS: std::sync::OnceLock<Arc<Users>> = std::sync::OnceLock::new();
    let users = USERS.get_or_init(|| {
        let users = Users::new([("ann", "secret")], &Mechanism::ALL, ITERATIONS_MIN);
        Arc::new(users.expect("a good list"))
    });
    Gate::new(Arc::clone(users))
}

fn encoded<R: Encodable>(request: &R, version: i16) -> Bytes {
    let mut body = BytesMut::new();
    request.encode(&mut body, version).expect("a good request");
    body.freeze()
}

fn decoded<R: Decodable + HeaderVersion>(frame: &Bytes, version: i16, correlation_id: i32) -> R {
    let mut frame = frame.clone();
    let length = frame.try_get_bytes(4).expect("a length");
    let length = <[u8; 4]>::try_from(&*length).expect("four bytes");
    assert_eq!(i32::from_be_bytes(length) as usize, frame.len());
    let header = ResponseHeader::decode(&mut frame, R::header_version(version)).expect("a header");
    assert_eq!(header.correlation_id, correlation_id);
    let response = R::decode(&mut frame, version).expect("a response");
    assert!(frame.is_empty(), "nothing follows");
    response
}

fn handshake(gate: &mut Gate, version: i16, mechanism: &str) -> SaslHandshakeResponse {
    let mechanism = StrBytes::from_string(mechanism.to_owned());
    let request = SaslHandshakeRequest::default().with_mechanism(mechanism);
    match gate.request(HANDSHAKE, version, 7, encoded(&request, version)) {
        Turn::Answer(frame) => decoded(&frame, version, 7),
        other @ (Turn::Refuse { .. } | Turn::Close { .. }) => panic!("{other:?}"),
    }
}

fn authenticate(gate: &mut Gate, version: i16, token: &str) -> Turn {
    let token = Bytes::copy_from_slice(token.as_bytes());
    let request = SaslAuthenticateRequest::default().with_auth_bytes(token);
    gate.request(AUTHENTICATE, version, -8, encoded(&request, version))
}

fn said(turn: &Turn, version: i16) -> SaslAuthenticateResponse {
    match turn {
        Turn::Answer(frame) | Turn::Refuse { answer: frame, .. } => decoded(frame, version, -8),
        Turn::Close { why } => panic!("{why}"),
    }
}

#[test]
fn scram_goes_through_every_version() {
    for version in 0..=2 {
        let mut gate = gate();
        let response = handshake(&mut gate, 1, "SCRAM-SHA-512");
        assert_eq!(response.error_code, 0);
        assert_eq!(gate.expects(), Expects::Request);
        let first = authenticate(&mut gate, version, &format!("n,,{BARE}"));
        let first = said(&first, version);
        assert_eq!((first.error_code, first.error_message), (0, None));
        assert_eq!(gate.principal(), None);
        let challenge = std::str::from_utf8(&first.auth_bytes).expect("text");
        let answer = test_client::answer(Hash::Sha512, "secret", BARE, challenge);
        let last = authenticate(&mut gate, version, &answer.last);
        assert!(matches!(last, Turn::Answer(_)));
        let last = said(&last, version);
        assert_eq!(last.error_code, 0);
        assert_eq!(last.auth_bytes, answer.server_last);
        assert_eq!(last.session_lifetime_ms, 0, "it never has to come again");
        assert_eq!(gate.principal().map(|name| &**name), Some("ann"));
    }
}

#[test]
fn bare_tokens_follow_a_handshake_of_version_0() {
    let mut gate = gate();
    assert_eq!(handshake(&mut gate, 0, "PLAIN").error_code, 0);
    assert_eq!(gate.expects(), Expects::Token);
    let empty = Bytes::from_static(&[0; 4]);
    assert_eq!(gate.token(b"\0ann\0secret"), Turn::Answer(empty));
    assert_eq!(gate.expects(), Expects::Request);
    assert!(gate.principal().is_some());

    let mut gate = self::gate();
    handshake(&mut gate, 0, "SCRAM-SHA-256");
    let Turn::Answer(challenge) = gate.token(format!("n,,{BARE}").as_bytes()) else {
        panic!("no challenge");
    };
    let challenge = std::str::from_utf8(&challenge[4..]).expect("text");
    let answer = test_client::answer(Hash::Sha256, "secret", BARE, challenge);
    assert_eq!(gate.expects(), Expects::Token);
    let last = gate.token(answer.last.as_bytes());
    assert_eq!(last, Turn::Answer(bare(answer.server_last.as_bytes())));
    assert_eq!(gate.expects(), Expects::Request);
}

#[test]
fn a_bad_bare_token_gets_no_answer() {
    let mut gate = gate();
    handshake(&mut gate, 0, "PLAIN");
    let why = SaslError::Credentials;
    assert_eq!(gate.token(b"\0ann\0wrong"), Turn::Close { why });
    assert_eq!(gate.principal(), None);
}

#[test]
fn an_unsupported_mechanism_is_told_what_there_is() {
    for version in 0..=1 {
        let mut gate = gate();
        let response = handshake(&mut gate, version, "GSSAPI");
        assert_eq!(response.error_code, 33);
        let names: Vec<&str> = response.mechanisms.iter().map(|name| &**name).collect();
        assert_eq!(names, ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]);
        assert_eq!(gate.expects(), Expects::Request, "it may ask again");
    }
}

#[test]
fn a_refusal_is_the_same_whatever_was_wrong() {
    let refusal = |token: &str| {
        let mut gate = gate();
        handshake(&mut gate, 1, "PLAIN");
        let turn = authenticate(&mut gate, 2, token);
        assert_eq!(gate.principal(), None);
        let Turn::Refuse { answer, .. } = turn else {
            panic!("{turn:?}");
        };
        answer
    };
    let wrong = refusal("\0ann\0wrong");
    let response: SaslAuthenticateResponse = decoded(&wrong, 2, -8);
    assert_eq!(response.error_code, 58);
    assert_eq!(response.error_message.as_deref(), Some(SaslError::TOLD));
    assert!(response.auth_bytes.is_empty());
    for token in ["\0eve\0secret", "bob\0ann\0secret", "nonsense", ""] {
        assert_eq!(refusal(token), wrong, "{token:?}");
    }
}

#[test]
fn messages_out_of_order_are_refused() {
    let mut fresh = gate();
    let early = authenticate(&mut fresh, 1, "\0ann\0secret");
    assert!(matches!(early, Turn::Refuse { .. }));
    assert_eq!(said(&early, 1).error_code, 34);

    let mut twice = gate();
    handshake(&mut twice, 1, "PLAIN");
    let mechanism = StrBytes::from_static_str("PLAIN");
    let again = SaslHandshakeRequest::default().with_mechanism(mechanism);
    let turn = twice.request(HANDSHAKE, 1, 7, encoded(&again, 1));
    let Turn::Refuse { answer, .. } = turn else {
        panic!("{turn:?}");
    };
    let response: SaslHandshakeResponse = decoded(&answer, 1, 7);
    assert_eq!(response.error_code, 34);
}

/// Kafka answers those with ILLEGAL_SASL_STATE and leaves the connection open.
#[test]
fn what_comes_after_the_end_costs_nobody_his_connection() {
    let mut gate = gate();
    handshake(&mut gate, 1, "PLAIN");
    authenticate(&mut gate, 1, "\0ann\0secret");
    assert_eq!(handshake(&mut gate, 1, "PLAIN").error_code, 34);
    let late = authenticate(&mut gate, 1, "\0ann\0wrong");
    assert!(matches!(late, Turn::Answer(_)));
    assert_eq!(said(&late, 1).error_code, 34);
    assert!(gate.principal().is_some());
}

#[test]
fn a_listener_without_authentication_says_so() {
    let answer = refuse(HANDSHAKE, 1, 7).expect("a response");
    let response: SaslHandshakeResponse = decoded(&answer, 1, 7);
    assert_eq!(response.error_code, 34);
    assert!(response.mechanisms.is_empty());
    for version in 0..=2 {
        let answer = refuse(AUTHENTICATE, version, 7).expect("a response");
        let response: SaslAuthenticateResponse = decoded(&answer, version, 7);
        assert_eq!(response.error_code, 34);
    }
    for (key, version) in [(HANDSHAKE, 2), (AUTHENTICATE, -1), (3, 0), (999, 0)] {
        assert_eq!(refuse(key, version, 7), None);
    }
}

#[test]
fn other_requests_and_broken_ones_close_the_connection() {
    let request = encoded(&SaslHandshakeRequest::default(), 1);
    let mut longer = request.to_vec();
    longer.push(0);
    for (key, version, body) in [
        (3, 1, Bytes::new()),
        (999, 0, Bytes::new()),
        (HANDSHAKE, 2, request.clone()),
        (HANDSHAKE, -1, request.clone()),
        (HANDSHAKE, 1, request.slice(1..)),
        (HANDSHAKE, 1, Bytes::from(longer)),
        (AUTHENTICATE, 0, Bytes::from_static(&[0xff; 4])),
        (
            AUTHENTICATE,
            0,
            Bytes::from_static(&[0x7f, 0xff, 0xff, 0xff, 1]),
        ),
        (AUTHENTICATE, 2, Bytes::from_static(&[0])),
        (
            AUTHENTICATE,
            2,
            Bytes::from_static(&[1, 0xff, 0xff, 0xff, 0xff, 0x0f]),
        ),
    ] {
        let mut gate = gate();
        let turn = gate.request(key, version, 7, body);
        assert!(matches!(turn, Turn::Close { .. }), "{key} {version}");
        assert_eq!(gate.principal(), None);
    }
}

proptest! {
    #[test]
    fn no_body_breaks_the_gate(
        key in prop::sample::select(&[HANDSHAKE, AUTHENTICATE, 18, 3][..]),
        version in -1..4_i16,
        body in prop::collection::vec(any::<u8>(), 0..64),
        is_chosen in any::<bool>(),
    ) {
        let mut gate = gate();
        if is_chosen {
            handshake(&mut gate, 1, "SCRAM-SHA-256");
        }
        let _ = gate.request(key, version, 7, Bytes::from(body));
        prop_assert_eq!(gate.principal(), None);
    }
}
