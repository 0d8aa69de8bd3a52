use proptest::prelude::*;

use super::super::{ITERATIONS_MIN, test_client};
use super::*;

const BARE: &str = "n=ann,r=nonce";

fn users(mechanisms: &[Mechanism]) -> Arc<Users> {
    let users = Users::new([("ann", "secret")], mechanisms, ITERATIONS_MIN);
    Arc::new(users.expect("a good list"))
}

fn chosen(users: &Arc<Users>, mechanism: &str) -> Session {
    let mut session = Session::new(Arc::clone(users));
    session.handshake(mechanism).expect("it is offered");
    session
}

fn challenge(session: &mut Session, bare: &str) -> String {
    match session.step(format!("n,,{bare}").as_bytes()) {
        Ok(Step::Challenge(token)) => String::from_utf8(token).expect("text"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn plain_takes_one_message() {
    let users = users(&Mechanism::ALL);
    let mut session = chosen(&users, "PLAIN");
    assert_eq!(session.principal(), None);
    let done = Step::Done {
        principal: Arc::from("ann"),
        token: Vec::new(),
    };
    assert_eq!(session.step(b"\0ann\0secret"), Ok(done));
    assert_eq!(session.principal().map(|name| &**name), Some("ann"));
}

#[test]
fn scram_takes_two_messages_and_proves_the_server_too() {
    let users = users(&Mechanism::ALL);
    for hash in [Hash::Sha256, Hash::Sha512] {
        let mut session = chosen(&users, Mechanism::Scram(hash).name());
        let challenge = challenge(&mut session, BARE);
        assert!(challenge.starts_with("r=nonce") && challenge.ends_with(",i=4096"));
        assert_eq!(session.principal(), None);
        let answer = test_client::answer(hash, "secret", BARE, &challenge);
        let done = Step::Done {
            principal: Arc::from("ann"),
            token: answer.server_last.into_bytes(),
        };
        assert_eq!(session.step(answer.last.as_bytes()), Ok(done));
        assert_eq!(session.principal().map(|name| &**name), Some("ann"));
    }
}

#[test]
fn an_unknown_user_sees_what_a_wrong_password_sees() {
    let users = users(&Mechanism::ALL);
    for hash in [Hash::Sha256, Hash::Sha512] {
        let seen = ["ann", "eve"].map(|name| {
            let mut session = chosen(&users, Mechanism::Scram(hash).name());
            let bare = format!("n={name},r=nonce");
            let challenge = challenge(&mut session, &bare);
            let answer = test_client::answer(hash, "wrong", &bare, &challenge);
            let end = session.step(answer.last.as_bytes());
            assert_eq!(session.principal(), None);
            (challenge.len(), end)
        });
        assert_eq!(seen[0], seen[1]);
        assert_eq!(seen[0].1, Err(SaslError::Credentials));
    }
}

#[test]
fn nonces_do_not_repeat() {
    let users = users(&Mechanism::ALL);
    let ask = || challenge(&mut chosen(&users, "SCRAM-SHA-256"), BARE);
    assert_ne!(ask(), ask());
}

/// A message that was heard on another connection is of no use here.
#[test]
fn a_repeated_proof_is_refused() {
    let users = users(&Mechanism::ALL);
    let mut heard = chosen(&users, "SCRAM-SHA-256");
    let asked = challenge(&mut heard, BARE);
    let answer = test_client::answer(Hash::Sha256, "secret", BARE, &asked);
    let mut session = chosen(&users, "SCRAM-SHA-256");
    challenge(&mut session, BARE);
    assert!(session.step(answer.last.as_bytes()).is_err());
    assert!(heard.step(answer.last.as_bytes()).is_ok());
}

#[test]
fn only_what_is_enabled_can_be_chosen() {
    let users = users(&[Mechanism::Scram(Hash::Sha512)]);
    let mut session = Session::new(users);
    for name in ["PLAIN", "SCRAM-SHA-256", "GSSAPI", "", "scram-sha-512"] {
        assert_eq!(session.handshake(name), Err(HandshakeError::Unsupported));
    }
    assert_eq!(
        session.handshake("SCRAM-SHA-512"),
        Ok(()),
        "it may ask again"
    );
}

#[test]
fn messages_out_of_order_get_nowhere() {
    let users = users(&Mechanism::ALL);
    let mut session = Session::new(Arc::clone(&users));
    assert_eq!(session.step(b"\0ann\0secret"), Err(SaslError::OutOfOrder));
    assert_eq!(
        session.handshake("PLAIN"),
        Err(HandshakeError::OutOfOrder),
        "it is over"
    );

    let mut session = chosen(&users, "SCRAM-SHA-256");
    assert_eq!(session.handshake("PLAIN"), Err(HandshakeError::OutOfOrder));
    challenge(&mut session, BARE);
    assert_eq!(session.handshake("PLAIN"), Err(HandshakeError::OutOfOrder));
    assert!(
        session.step(b"n,,n=ann,r=nonce").is_err(),
        "not twice the first"
    );
    assert_eq!(session.principal(), None);
    assert_eq!(session.step(b""), Err(SaslError::OutOfOrder));
}

#[test]
fn nothing_comes_after_the_end() {
    let users = users(&Mechanism::ALL);
    let mut session = chosen(&users, "PLAIN");
    assert!(session.step(b"\0ann\0wrong").is_err());
    assert_eq!(session.step(b"\0ann\0secret"), Err(SaslError::OutOfOrder));
    assert_eq!(session.principal(), None);

    let mut session = chosen(&users, "PLAIN");
    session.step(b"\0ann\0secret").expect("right");
    assert_eq!(session.step(b"\0ann\0wrong"), Err(SaslError::OutOfOrder));
    assert_eq!(session.handshake("PLAIN"), Err(HandshakeError::OutOfOrder));
    assert_eq!(session.principal().map(|name| &**name), Some("ann"));
}

proptest! {
    /// Whatever is said in whatever order: nobody comes in without the password.
    #[test]
    fn noise_never_authenticates(
        said in prop::collection::vec(
            prop_oneof![
                prop::collection::vec(any::<u8>(), 0..64),
                Just(b"n,,n=ann,r=nonce".to_vec()),
                Just(b"\0ann\0wrong".to_vec()),
                Just(b"c=biws,r=nonce,p=AAAA".to_vec()),
            ],
            0..6,
        ),
        mechanism in prop::sample::select(&Mechanism::ALL[..]),
    ) {
        // Derived once: it takes milliseconds.
        static USERS: std::sync::OnceLock<Arc<Users>> = std::sync::OnceLock::new();
        let users = USERS.get_or_init(|| users(&Mechanism::ALL));
        let mut session = chosen(users, mechanism.name());
        for token in said {
            let _ = session.step(&token);
            prop_assert_eq!(session.principal(), None);
        }
    }
}
