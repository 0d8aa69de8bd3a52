//! Texts that must not be seen: passwords, and whatever users put under `extra`.
//!
//! Owns: keeping them out of `Debug`, of printed configurations and of the parser's errors. Never
//! does: keeping them out of memory or swap.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::kafka::properties::{MASK, Property, masked};

/// A text that is shown as `***` wherever it is printed.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The text itself, for the one who needs it.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Whether there is no text.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Secret {
        Secret(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(MASK)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Secret, D::Error> {
        // The parser's own error about a wrong type would repeat the value.
        match toml::Value::deserialize(deserializer)? {
            toml::Value::String(text) => Ok(Secret(text)),
            toml::Value::Integer(_)
            | toml::Value::Float(_)
            | toml::Value::Boolean(_)
            | toml::Value::Datetime(_)
            | toml::Value::Array(_)
            | toml::Value::Table(_) => Err(serde::de::Error::custom("not a string in quotes")),
        }
    }
}

/// Further librdkafka properties by name. Which of them are secret is known to whoever prints them.
pub type Extra = BTreeMap<String, Secret>;

/// Writes the properties, those that may hold a secret as `***`.
pub(super) fn serialize_extra<S: Serializer>(
    extra: &Extra,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let properties: Vec<Property> = extra
        .iter()
        .map(|(name, value)| (name.clone(), value.reveal().to_owned()))
        .collect();
    serializer.collect_map(masked(&properties))
}
