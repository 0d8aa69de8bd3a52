//! Who may come in: names and what is kept of their passwords.
//!
//! Passwords come from the configuration and are salted anew at every start, so nothing about them is
//! ever stored. PLAIN compares a keyed hash, not a slow one: it runs on a core that serves everybody.
//!
//! Owns: credentials in memory. Never does: change after it was made; tell unknown users from wrong
//! passwords. Runs on: made on a control thread (SCRAM's derivation takes milliseconds per user), read by
//! every core.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;

use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};

use super::scram::{Credential, SALT_BYTES};
use super::{Hash, Mechanism, SaslError};

/// Fewest rounds of SCRAM's derivation; Kafka's minimum and its default.
pub const ITERATIONS_MIN: u32 = 4096;

/// What is wrong with the list of users or of mechanisms.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SetUpError {
    /// Nobody could ever come in.
    #[error("authentication is on, but there is no user")]
    NoUsers,
    /// Nobody could ever come in.
    #[error("authentication is on, but there is no mechanism")]
    NoMechanisms,
    /// The same name twice.
    #[error("user {0:?} is there twice")]
    Twice(String),
    /// A name that no client could send.
    #[error("user name {0:?} is empty or has a NUL character")]
    Name(String),
    /// A password that no client could send.
    #[error("the password of user {0:?} is empty or has a NUL character")]
    Password(String),
    /// A derivation that is too cheap.
    #[error("{0} rounds of derivation are too few: at least {ITERATIONS_MIN}")]
    Iterations(u32),
    /// The system gives no random bytes.
    #[error("no random bytes to be had")]
    NoRandom,
}

#[derive(Debug)]
struct Secrets {
    plain: hmac::Tag,
    /// One for each SCRAM mechanism that is enabled.
    scram: Vec<(Hash, Credential)>,
}

/// All users of a listener and the mechanisms that it offers.
#[derive(Debug)]
pub struct Users {
    mechanisms: Vec<Mechanism>,
    iterations: NonZeroU32,
    /// Made at start; what is compared is compared as tags under it, in constant time.
    seal: hmac::Key,
    random: SystemRandom,
    by_name: BTreeMap<Arc<str>, Secrets>,
}

impl Users {
    /// Derives what is kept from `(name, password)`; takes milliseconds for each user and SCRAM
    /// mechanism. `iterations` is SCRAM's work factor, at least [`ITERATIONS_MIN`].
    pub fn new<'a>(
        accounts: impl IntoIterator<Item = (&'a str, &'a str)>,
        mechanisms: &[Mechanism],
        iterations: u32,
    ) -> Result<Users, SetUpError> {
        if mechanisms.is_empty() {
            return Err(SetUpError::NoMechanisms);
        }
        let iterations = NonZeroU32::new(iterations)
            .filter(|rounds| rounds.get() >= ITERATIONS_MIN)
            .ok_or(SetUpError::Iterations(iterations))?;
        let random = SystemRandom::new();
        let seal =
            hmac::Key::generate(hmac::HMAC_SHA256, &random).map_err(|_| SetUpError::NoRandom)?;
        let mut users = Users {
            mechanisms: distinct(mechanisms),
            iterations,
            seal,
            random,
            by_name: BTreeMap::new(),
        };
        for (name, password) in accounts {
            users.add(name, password)?;
        }
        if users.by_name.is_empty() {
            return Err(SetUpError::NoUsers);
        }
        Ok(users)
    }

    fn add(&mut self, name: &str, password: &str) -> Result<(), SetUpError> {
        if name.is_empty() || name.contains('\0') {
            return Err(SetUpError::Name(name.to_owned()));
        }
        if password.is_empty() || password.contains('\0') {
            return Err(SetUpError::Password(name.to_owned()));
        }
        if self.by_name.contains_key(name) {
            return Err(SetUpError::Twice(name.to_owned()));
        }
        let mut scram = Vec::new();
        for mechanism in &self.mechanisms {
            if let Mechanism::Scram(hash) = *mechanism {
                let mut salt = [0; SALT_BYTES];
                self.random
                    .fill(&mut salt)
                    .map_err(|_| SetUpError::NoRandom)?;
                let credential =
                    Credential::derive(hash, password, &salt, self.iterations, &self.seal);
                scram.push((hash, credential));
            }
        }
        let plain = hmac::sign(&self.seal, password.as_bytes());
        self.by_name
            .insert(Arc::from(name), Secrets { plain, scram });
        Ok(())
    }

    /// What clients may choose from, in the configured order.
    pub fn mechanisms(&self) -> &[Mechanism] {
        &self.mechanisms
    }

    /// The user of this name with this password.
    pub(super) fn check_plain(&self, name: &str, password: &str) -> Result<Arc<str>, SaslError> {
        let found = self.by_name.get_key_value(name);
        // An unknown name takes the same steps; no password has this tag, because none is empty.
        let nobody = hmac::sign(&self.seal, b"");
        let tag = found.map_or(&nobody, |(_, secrets)| &secrets.plain);
        let matches = hmac::verify(&self.seal, password.as_bytes(), tag.as_ref());
        match (found, matches) {
            (Some((name, _)), Ok(())) => Ok(Arc::clone(name)),
            (_, _) => Err(SaslError::Credentials),
        }
    }

    /// A user's credential; for an unknown name one that looks the same and that no proof fits. Its
    /// salt follows from the name, so that asking twice shows nothing either.
    pub(super) fn credential(&self, hash: Hash, name: &str) -> Credential {
        let made_up = Credential::of_nobody(hash, name, self.iterations, &self.seal);
        let known = self.by_name.get(name).and_then(|secrets| {
            let mut own = secrets.scram.iter();
            own.find(|(of, _)| *of == hash)
        });
        known.map_or(made_up, |(_, credential)| credential.clone())
    }

    /// The key under which credentials are compared.
    pub(super) fn seal(&self) -> &hmac::Key {
        &self.seal
    }

    /// Fresh random bytes.
    pub(super) fn random<const N: usize>(&self) -> Result<[u8; N], SaslError> {
        let mut bytes = [0; N];
        self.random
            .fill(&mut bytes)
            .map_err(|_| SaslError::NoRandom)?;
        Ok(bytes)
    }
}

fn distinct(mechanisms: &[Mechanism]) -> Vec<Mechanism> {
    let mut distinct = Vec::with_capacity(mechanisms.len());
    for mechanism in mechanisms {
        if !distinct.contains(mechanism) {
            distinct.push(*mechanism);
        }
    }
    distinct
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(accounts: &[(&str, &str)]) -> Result<Users, SetUpError> {
        Users::new(
            accounts.iter().copied(),
            &[Mechanism::Plain],
            ITERATIONS_MIN,
        )
    }

    #[test]
    fn bad_lists_are_refused_by_name() {
        assert_eq!(made(&[]).err(), Some(SetUpError::NoUsers));
        let twice = made(&[("a", "x"), ("a", "y")]);
        assert_eq!(twice.err(), Some(SetUpError::Twice("a".to_owned())));
        assert_eq!(
            made(&[("", "x")]).err(),
            Some(SetUpError::Name(String::new()))
        );
        assert_eq!(
            made(&[("a\0b", "x")]).err(),
            Some(SetUpError::Name("a\0b".to_owned()))
        );
        for password in ["", "x\0"] {
            let refused = made(&[("a", password)]).expect_err("nobody could send it");
            assert_eq!(refused, SetUpError::Password("a".to_owned()));
            assert!(!refused.to_string().contains('x'), "shows no password");
        }
        let none = Users::new([("a", "x")], &[], ITERATIONS_MIN);
        assert_eq!(none.err(), Some(SetUpError::NoMechanisms));
        let cheap = Users::new([("a", "x")], &Mechanism::ALL, 4095);
        assert_eq!(cheap.err(), Some(SetUpError::Iterations(4095)));
    }

    #[test]
    fn plain_takes_the_right_password_only() {
        let users = made(&[("ann", "secret"), ("bob", "other")]).expect("a good list");
        assert_eq!(users.check_plain("ann", "secret").as_deref(), Ok("ann"));
        for (name, password) in [
            ("ann", "other"),
            ("eve", "secret"),
            ("ann", ""),
            ("eve", ""),
        ] {
            assert_eq!(
                users.check_plain(name, password),
                Err(SaslError::Credentials)
            );
        }
    }

    #[test]
    fn salts_differ_between_users_and_starts() {
        let salts = || {
            let users = Users::new(
                [("ann", "same"), ("bob", "same")],
                &[Mechanism::Scram(Hash::Sha256)],
                ITERATIONS_MIN,
            )
            .expect("a good list");
            ["ann", "bob", "nobody", "nobody else"]
                .map(|name| users.credential(Hash::Sha256, name).salt().to_vec())
        };
        let mut all: Vec<Vec<u8>> = salts().into_iter().chain(salts()).collect();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 8);
    }

    #[test]
    fn an_unknown_name_keeps_its_salt() {
        let users = Users::new(
            [("ann", "secret")],
            &[Mechanism::Scram(Hash::Sha512)],
            ITERATIONS_MIN,
        )
        .expect("a good list");
        let ask = |name| users.credential(Hash::Sha512, name).salt().to_vec();
        assert_eq!(ask("eve"), ask("eve"));
        assert_eq!(ask("eve").len(), ask("ann").len());
    }
}
