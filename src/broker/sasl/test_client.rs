//! The client's side of SCRAM, for tests.

use std::num::NonZeroU32;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ring::{digest, hmac, pbkdf2};

use super::Hash;

/// What a client answers to a challenge, and what the server must answer to that.
pub(super) struct Answer {
    pub(super) last: String,
    pub(super) server_last: String,
}

/// `client-final-message` for `challenge` after a first message of `bare` behind the header `n,,`.
pub(super) fn answer(hash: Hash, password: &str, bare: &str, challenge: &str) -> Answer {
    answer_with(hash, password, bare, challenge, "")
}

/// The same with something before the nonce.
pub(super) fn answer_with(
    hash: Hash,
    password: &str,
    bare: &str,
    challenge: &str,
    before_nonce: &str,
) -> Answer {
    let (digest, hmac, pbkdf2) = match hash {
        Hash::Sha256 => (
            &digest::SHA256,
            hmac::HMAC_SHA256,
            pbkdf2::PBKDF2_HMAC_SHA256,
        ),
        Hash::Sha512 => (
            &digest::SHA512,
            hmac::HMAC_SHA512,
            pbkdf2::PBKDF2_HMAC_SHA512,
        ),
    };
    let part = |letter: &str| {
        let mut parts = challenge.split(',');
        parts
            .find_map(|part| part.strip_prefix(letter))
            .expect("a part of the challenge")
    };
    let salt = BASE64.decode(part("s=")).expect("a salt");
    let rounds: NonZeroU32 = part("i=").parse().expect("a number of rounds");
    let mut salted = vec![0; digest.output_len()];
    pbkdf2::derive(pbkdf2, rounds, &salt, password.as_bytes(), &mut salted);
    let sign = |key: &[u8], message: &str| {
        let tag = hmac::sign(&hmac::Key::new(hmac, key), message.as_bytes());
        tag.as_ref().to_vec()
    };
    let client_key = sign(&salted, "Client Key");
    let stored_key = digest::digest(digest, &client_key);
    let without_proof = format!("c=biws,r={before_nonce}{}", part("r="));
    let auth_message = format!("{bare},{challenge},{without_proof}");
    let signature = sign(stored_key.as_ref(), &auth_message);
    let proof: Vec<u8> = client_key
        .iter()
        .zip(signature)
        .map(|(left, right)| left ^ right)
        .collect();
    let server = sign(&sign(&salted, "Server Key"), &auth_message);
    Answer {
        last: format!("{without_proof},p={}", BASE64.encode(proof)),
        server_last: format!("v={}", BASE64.encode(server)),
    }
}
