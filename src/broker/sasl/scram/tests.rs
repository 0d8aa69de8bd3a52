use proptest::prelude::*;
use ring::rand::SystemRandom;

use super::super::test_client;
use super::*;

fn seal() -> hmac::Key {
    hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new()).expect("random bytes")
}

fn rounds(count: u32) -> NonZeroU32 {
    NonZeroU32::new(count).expect("not 0")
}

/// An exchange that somebody else worked out, password "pencil".
struct Example {
    hash: Hash,
    salt: &'static str,
    first: &'static str,
    server_nonce: &'static str,
    challenge: &'static str,
    last: &'static str,
    server_last: &'static str,
}

/// RFC 7677, section 3.
const RFC_7677: Example = Example {
    hash: Hash::Sha256,
    salt: "W22ZaJ0SNY7soEsUEjb6gQ==",
    first: "n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
    server_nonce: "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
    challenge: "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
    last: "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
           p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
    server_last: "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
};

/// RFC 5802's example in section 5, worked out for SHA-512 by Python's hashlib.
const RFC_5802_BY_SHA_512: Example = Example {
    hash: Hash::Sha512,
    salt: "QSXCR+Q6sek8bf92",
    first: "n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL",
    server_nonce: "3rfcNHYJY1ZVvWVs7j",
    challenge: "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
    last: "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,\
           p=VdS8LkrURiej1tG6iX+fqCXQfUnBb//d9llXYaH+ylUbDwBUz9geyR9fC4TewskRUM2tlYSalhAT4Aay1Q5dTA==",
    server_last: "v=14PAAuavk9hxBEkgB0brDxUhvWu+N16meYk+qxVNFqchR8QPohM09Y4Z6WaTCuX4C6nqMB9KIJTDm6RpSM990g==",
};

/// An exchange of `example` up to the challenge.
fn challenged(example: &Example, seal: &hmac::Key) -> (Exchange, String) {
    let salt = BASE64.decode(example.salt).expect("a salt");
    let credential = Credential::derive(example.hash, "pencil", &salt, rounds(4096), seal);
    let first = ClientFirst::parse(example.first.as_bytes()).expect("a first message");
    assert_eq!(first.user, "user");
    Exchange::start(&first, credential, example.server_nonce)
}

#[test]
fn exchanges_of_the_rfcs_are_reproduced() {
    for example in [RFC_7677, RFC_5802_BY_SHA_512] {
        let seal = seal();
        let (exchange, challenge) = challenged(&example, &seal);
        assert_eq!(challenge, example.challenge);
        let last = exchange.finish(example.last.as_bytes(), &seal);
        assert_eq!(last.as_deref(), Ok(example.server_last));
    }
}

#[test]
fn a_proof_with_any_bit_flipped_is_refused() {
    let seal = seal();
    let (start, proof) = RFC_7677.last.rsplit_once("p=").expect("a proof");
    let proof = BASE64.decode(proof).expect("base64");
    for bit in [0, 7, 128, proof.len() * 8 - 1] {
        let mut wrong = proof.clone();
        wrong[bit / 8] ^= 1 << (bit % 8);
        let last = format!("{start}p={}", BASE64.encode(wrong));
        let (exchange, _) = challenged(&RFC_7677, &seal);
        assert_eq!(
            exchange.finish(last.as_bytes(), &seal),
            Err(SaslError::Credentials)
        );
    }
}

#[test]
fn a_last_message_that_is_not_of_this_exchange_is_refused() {
    let seal = seal();
    let good = RFC_7677.last;
    for last in [
        "".to_owned(),
        "p=".to_owned(),
        good.replace("c=biws", "c=eSws"),
        good.replace("c=biws", "c=biws=="),
        good.replace("c=biws,", ""),
        good.replace("r=rOpr", "r=rOpR"),
        good.replace("%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0", ""),
        good.replace(",p=", ",m=x,p="),
        good.replace(",p=", ",nonsense,p="),
        good.replace("p=dHzb", "p="),
        good.replace("p=dHzb", "p=dHzbdHzb"),
        good.replace("AndVQ=", "AndVQ"),
        good.replace("p=dHzb", "p=!!!!"),
        format!("{good},x=y"),
    ] {
        let (exchange, _) = challenged(&RFC_7677, &seal);
        assert!(
            matches!(
                exchange.finish(last.as_bytes(), &seal),
                Err(SaslError::Malformed(_))
            ),
            "{last}"
        );
    }
}

#[test]
fn a_signed_extension_counts_and_an_unsigned_one_does_not_fit() {
    let seal = seal();
    let (exchange, _) = challenged(&RFC_7677, &seal);
    let last = RFC_7677.last.replace(",p=", ",x=y,p=");
    assert_eq!(
        exchange.finish(last.as_bytes(), &seal),
        Err(SaslError::Credentials),
        "an extension is part of what is signed"
    );
}

/// As librdkafka 2.0.2, Debian's, does.
#[test]
fn a_client_that_says_its_nonce_twice_comes_in() {
    let seal = seal();
    let bare = "n=user,r=nonce";
    for (before_nonce, comes_in) in [("nonce", true), ("noncenonce", false), ("once", false)] {
        let (exchange, challenge) = challenged_cheaply(&seal);
        let answer =
            test_client::answer_with(Hash::Sha256, "pencil", bare, &challenge, before_nonce);
        let last = exchange.finish(answer.last.as_bytes(), &seal);
        assert_eq!(last.is_ok(), comes_in, "{before_nonce}");
    }
}

#[test]
fn first_messages_are_read() {
    let read = |text: &'static str| ClientFirst::parse(text.as_bytes());
    let plain = read("n,,n=user,r=nonce").expect("the usual one");
    assert_eq!((plain.gs2_header, plain.bare), ("n,,", "n=user,r=nonce"));
    assert_eq!((plain.user.as_str(), plain.nonce), ("user", "nonce"));
    let own = read("y,a=a=2Cb,n=a=2Cb,r=x,tokenauth=true");
    assert_eq!(own, Err(SaslError::Malformed("extension")), "one letter");
    let own = read("y,a=a=2Cb,n=a=2Cb,r=x,t=true").expect("its own name, and an extension");
    assert_eq!((own.gs2_header, own.user.as_str()), ("y,a=a=2Cb,", "a,b"));
    let escaped = read("n,,n=a=2C=3D=3D2Cü,r=!~").expect("escapes");
    assert_eq!((escaped.user.as_str(), escaped.nonce), ("a,==2Cü", "!~"));
}

#[test]
fn broken_first_messages_are_refused() {
    for text in [
        "",
        "n",
        "n,,",
        "n,,n=user",
        "n,,n=user,r=",
        "n,,n=,r=nonce",
        "n,,r=nonce,n=user",
        "n,,m=x,n=user,r=nonce",
        "n,,n=user,r=nonce,m=x",
        "n,,n=user,r=no nce",
        "n,,n=user,r=nönce",
        "n,,n=us=er,r=nonce",
        "n,,n=us=2cer,r=nonce",
        "n,,n=user=,r=nonce",
        "n,,n=us\0er,r=nonce",
        "n,x,n=user,r=nonce",
        "n,a=,n=user,r=nonce",
        "p=tls-unique,,n=user,r=nonce",
        "x,,n=user,r=nonce",
        "n=user,r=nonce",
        "n,,n=user,r=nonce,",
        "n,,N=user,r=nonce",
    ] {
        assert!(
            matches!(
                ClientFirst::parse(text.as_bytes()),
                Err(SaslError::Malformed(_))
            ),
            "{text:?}"
        );
    }
    let other = ClientFirst::parse(b"n,a=admin,n=user,r=nonce");
    assert_eq!(other, Err(SaslError::OtherIdentity));
    let bytes = ClientFirst::parse(b"n,,n=us\xffer,r=nonce");
    assert_eq!(bytes, Err(SaslError::Malformed("not UTF-8")));
}

proptest! {
    #[test]
    fn no_bytes_break_the_parser(token in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = ClientFirst::parse(&token);
        let seal = seal();
        let (exchange, _) = challenged_cheaply(&seal);
        prop_assert!(exchange.finish(&token, &seal).is_err());
    }

    /// Texts that are nearly right reach further into the parser than bytes do.
    #[test]
    fn no_text_breaks_the_parser(text in "[nyp]?,?(a=)?[a=,2C3D]{0,6},?n=[a=,]{0,5},?r=[ -~]{0,9}(,[a-z]=?.?)*") {
        if let Ok(first) = ClientFirst::parse(text.as_bytes()) {
            prop_assert!(!first.user.is_empty() && !first.nonce.contains(','));
            prop_assert_eq!(format!("{}{}", first.gs2_header, first.bare), text);
        }
    }

    /// Whatever the name: what a client escapes is what is looked up.
    #[test]
    fn names_survive_their_escapes(name in "[^\\x00]{1,20}") {
        let escaped = name.replace('=', "=3D").replace(',', "=2C");
        let text = format!("n,,n={escaped},r=nonce");
        let first = ClientFirst::parse(text.as_bytes());
        prop_assert_eq!(first.map(|first| first.user), Ok(name));
    }

    /// A client that knows the password comes in, one that does not stays out.
    #[test]
    fn the_password_decides(
        password in "[^\\x00]{1,20}",
        tried in "[^\\x00]{1,20}",
        is_long in any::<bool>(),
    ) {
        let hash = if is_long { Hash::Sha512 } else { Hash::Sha256 };
        let seal = seal();
        let credential = Credential::derive(hash, &password, b"salt", rounds(2), &seal);
        let first = ClientFirst::parse(b"n,,n=user,r=nonce").expect("a first message");
        for attempt in [&password, &tried] {
            let (exchange, challenge) = Exchange::start(&first, credential.clone(), "server");
            let answer = test_client::answer(hash, attempt, first.bare, &challenge);
            let last = exchange.finish(answer.last.as_bytes(), &seal);
            let expected = match *attempt == password {
                true => Ok(answer.server_last),
                false => Err(SaslError::Credentials),
            };
            prop_assert_eq!(last, expected);
        }
    }
}

fn challenged_cheaply(seal: &hmac::Key) -> (Exchange, String) {
    let credential = Credential::derive(Hash::Sha256, "pencil", b"salt", rounds(1), seal);
    let first = ClientFirst::parse(b"n,,n=user,r=nonce").expect("a first message");
    Exchange::start(&first, credential, "server")
}
