//! SCRAM (RFC 5802, RFC 7677): grammar and sums of the server's side.
//!
//! As Kafka does: no channel binding, no SASLprep (names and passwords are UTF-8 as they are), optional
//! extensions are ignored, mandatory ones refused.
//!
//! Owns: one exchange. Never does: look up users, make nonces. Runs on: the connection's core.

use std::num::NonZeroU32;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ring::{digest, hmac, pbkdf2};

use super::{Hash, SaslError};

/// Length of a salt that we make, in bytes.
pub(super) const SALT_BYTES: usize = 16;
/// Longest output of a hash, in bytes.
const HASH_BYTES_MAX: usize = digest::SHA512_OUTPUT_LEN;

impl Hash {
    fn digest(self) -> &'static digest::Algorithm {
        match self {
            Hash::Sha256 => &digest::SHA256,
            Hash::Sha512 => &digest::SHA512,
        }
    }

    fn hmac(self) -> hmac::Algorithm {
        match self {
            Hash::Sha256 => hmac::HMAC_SHA256,
            Hash::Sha512 => hmac::HMAC_SHA512,
        }
    }

    fn pbkdf2(self) -> pbkdf2::Algorithm {
        match self {
            Hash::Sha256 => pbkdf2::PBKDF2_HMAC_SHA256,
            Hash::Sha512 => pbkdf2::PBKDF2_HMAC_SHA512,
        }
    }
}

/// What a server keeps of a password (RFC 5802, 2.2).
#[derive(Clone, Debug)]
pub(super) struct Credential {
    hash: Hash,
    salt: Vec<u8>,
    iterations: NonZeroU32,
    stored_key: hmac::Key,
    /// `StoredKey` once more, as a tag under a key of this process: ring compares tags in constant time.
    sealed_stored_key: hmac::Tag,
    server_key: hmac::Key,
}

impl Credential {
    /// From a password; takes milliseconds.
    pub(super) fn derive(
        hash: Hash,
        password: &str,
        salt: &[u8],
        iterations: NonZeroU32,
        seal: &hmac::Key,
    ) -> Credential {
        let mut salted = [0; HASH_BYTES_MAX];
        let salted = &mut salted[..hash.digest().output_len()];
        pbkdf2::derive(hash.pbkdf2(), iterations, salt, password.as_bytes(), salted);
        let salted = hmac::Key::new(hash.hmac(), salted);
        let client_key = hmac::sign(&salted, b"Client Key");
        let stored_key = digest::digest(hash.digest(), client_key.as_ref());
        let server_key = hmac::sign(&salted, b"Server Key");
        Credential {
            hash,
            salt: salt.to_vec(),
            iterations,
            stored_key: hmac::Key::new(hash.hmac(), stored_key.as_ref()),
            sealed_stored_key: hmac::sign(seal, stored_key.as_ref()),
            server_key: hmac::Key::new(hash.hmac(), server_key.as_ref()),
        }
    }

    /// For a name that nobody has: a salt that follows from the name, and a stored key that no proof
    /// leads to: what it is compared with is no hash.
    pub(super) fn of_nobody(
        hash: Hash,
        name: &str,
        iterations: NonZeroU32,
        seal: &hmac::Key,
    ) -> Credential {
        let mut context = hmac::Context::with_key(seal);
        // With a separator, so that no password's tag under the same key is ever a salt.
        context.update(match hash {
            Hash::Sha256 => b"\0salt 256\0",
            Hash::Sha512 => b"\0salt 512\0",
        });
        context.update(name.as_bytes());
        let salt = context.sign();
        Credential {
            hash,
            salt: salt.as_ref()[..SALT_BYTES].to_vec(),
            iterations,
            stored_key: hmac::Key::new(hash.hmac(), salt.as_ref()),
            sealed_stored_key: hmac::sign(seal, b""),
            server_key: hmac::Key::new(hash.hmac(), salt.as_ref()),
        }
    }

    #[cfg(test)]
    pub(super) fn salt(&self) -> &[u8] {
        &self.salt
    }
}

/// `client-first-message`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ClientFirst<'a> {
    /// `n,,` or the like; comes back in the last message.
    gs2_header: &'a str,
    /// Everything after it.
    bare: &'a str,
    /// The name without its escapes.
    pub(super) user: String,
    nonce: &'a str,
}

impl<'a> ClientFirst<'a> {
    /// Reads the message.
    pub(super) fn parse(token: &'a [u8]) -> Result<ClientFirst<'a>, SaslError> {
        let text = std::str::from_utf8(token).map_err(|_| SaslError::Malformed("not UTF-8"))?;
        let mut parts = text.splitn(3, ',');
        let (Some(binding), Some(authorization), Some(bare)) =
            (parts.next(), parts.next(), parts.next())
        else {
            return Err(SaslError::Malformed("no gs2 header"));
        };
        // "y": the client could bind the channel and believes that we cannot, and is right.
        if !matches!(binding, "n" | "y") {
            return Err(SaslError::Malformed("channel binding is not supported"));
        }
        let mut attributes = bare.split(',');
        let user = match attributes.next().map(attribute) {
            Some(Some(('n', name))) => unescaped(name)?,
            // "m": RFC 5802, 5.1: an extension that the server must know.
            Some(Some(('m', _))) => return Err(SaslError::Malformed("mandatory extension")),
            Some(_) | None => return Err(SaslError::Malformed("no user name")),
        };
        let Some(Some(('r', nonce))) = attributes.next().map(attribute) else {
            return Err(SaslError::Malformed("no nonce"));
        };
        if nonce.is_empty() || !nonce.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(SaslError::Malformed("nonce"));
        }
        check_extensions(attributes)?;
        match authorization.strip_prefix("a=") {
            None if authorization.is_empty() => {}
            None => return Err(SaslError::Malformed("authorization id")),
            Some(other) if unescaped(other)? == user => {}
            Some(_) => return Err(SaslError::OtherIdentity),
        }
        let gs2_header = &text[..text.len() - bare.len()];
        Ok(ClientFirst {
            gs2_header,
            bare,
            user,
            nonce,
        })
    }
}

/// `letter=value`.
fn attribute(text: &str) -> Option<(char, &str)> {
    let (name, value) = text.split_once('=')?;
    let mut letters = name.chars();
    let letter = letters.next().filter(char::is_ascii_alphabetic)?;
    letters.next().is_none().then_some((letter, value))
}

/// Extensions at a message's end are ignored where they are well formed.
fn check_extensions<'a>(mut extensions: impl Iterator<Item = &'a str>) -> Result<(), SaslError> {
    let well_formed = extensions.all(|text| {
        attribute(text).is_some_and(|(letter, value)| letter != 'm' && !value.is_empty())
    });
    match well_formed {
        true => Ok(()),
        false => Err(SaslError::Malformed("extension")),
    }
}

/// `saslname`: `=2C` stands for a comma, `=3D` for an equals sign; no other `=` and no NUL.
fn unescaped(name: &str) -> Result<String, SaslError> {
    const BAD: SaslError = SaslError::Malformed("user name");
    let mut parts = name.split('=');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (character, rest) = match (part.strip_prefix("2C"), part.strip_prefix("3D")) {
            (Some(rest), _) => (',', rest),
            (None, Some(rest)) => ('=', rest),
            (None, None) => return Err(BAD),
        };
        plain.push(character);
        plain.push_str(rest);
    }
    match plain.is_empty() || plain.contains('\0') {
        true => Err(BAD),
        false => Ok(plain),
    }
}

/// An exchange whose challenge was sent.
#[derive(Debug)]
pub(super) struct Exchange {
    credential: Credential,
    /// What `c=` must say: the first message's header.
    binding: String,
    /// The client's nonce.
    client_nonce: String,
    /// The client's nonce and ours.
    nonce: String,
    /// `AuthMessage` up to the comma before the client's last part.
    so_far: String,
}

impl Exchange {
    /// Answers the first message: `server-first-message`. `server_nonce` is printable and has no comma.
    pub(super) fn start(
        first: &ClientFirst<'_>,
        credential: Credential,
        server_nonce: &str,
    ) -> (Exchange, String) {
        let nonce = format!("{}{server_nonce}", first.nonce);
        let salt = BASE64.encode(&credential.salt);
        let challenge = format!("r={nonce},s={salt},i={}", credential.iterations);
        let exchange = Exchange {
            binding: BASE64.encode(first.gs2_header),
            so_far: format!("{},{challenge},", first.bare),
            client_nonce: first.nonce.to_owned(),
            nonce,
            credential,
        };
        (exchange, challenge)
    }

    /// Checks the client's proof and gives ours: `server-final-message`.
    pub(super) fn finish(self, token: &[u8], seal: &hmac::Key) -> Result<String, SaslError> {
        let hash = self.credential.hash;
        let text = std::str::from_utf8(token).map_err(|_| SaslError::Malformed("not UTF-8"))?;
        let Some((without_proof, proof)) = text.rsplit_once(",p=") else {
            return Err(SaslError::Malformed("no proof"));
        };
        self.check_final(without_proof)?;
        let mut client_key = BASE64
            .decode(proof)
            .map_err(|_| SaslError::Malformed("proof"))?;
        if client_key.len() != hash.digest().output_len() {
            return Err(SaslError::Malformed("proof"));
        }
        let auth_message = format!("{}{without_proof}", self.so_far);
        let signature = hmac::sign(&self.credential.stored_key, auth_message.as_bytes());
        for (byte, of_signature) in client_key.iter_mut().zip(signature.as_ref()) {
            *byte ^= of_signature;
        }
        let stored_key = digest::digest(hash.digest(), &client_key);
        hmac::verify(
            seal,
            stored_key.as_ref(),
            self.credential.sealed_stored_key.as_ref(),
        )
        .map_err(|_| SaslError::Credentials)?;
        let signature = hmac::sign(&self.credential.server_key, auth_message.as_bytes());
        Ok(format!("v={}", BASE64.encode(signature.as_ref())))
    }

    /// librdkafka before 2.6.1 puts its own nonce before the whole of ours, which has it already, and
    /// Kafka before 3.7.2 never looked. Either way the proof covers our challenge, so that nothing said
    /// in another exchange fits.
    fn is_nonce(&self, nonce: &str) -> bool {
        nonce.strip_prefix(&self.client_nonce) == Some(&self.nonce) || nonce == self.nonce
    }

    /// `client-final-message-without-proof`: our header, our nonce, then extensions.
    fn check_final(&self, text: &str) -> Result<(), SaslError> {
        let mut attributes = text.split(',');
        match attributes.next().map(attribute) {
            Some(Some(('c', binding))) if binding == self.binding => {}
            Some(_) | None => return Err(SaslError::Malformed("channel binding")),
        }
        match attributes.next().map(attribute) {
            Some(Some(('r', nonce))) if self.is_nonce(nonce) => {}
            Some(_) | None => return Err(SaslError::Malformed("nonce")),
        }
        check_extensions(attributes)
    }
}

#[cfg(test)]
mod tests;
