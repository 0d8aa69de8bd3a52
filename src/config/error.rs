//! What is wrong with a configuration, and where.
//!
//! Owns: the one error type, and turning the parser's errors into it. Never does: I/O.

use std::fmt;
use std::io;

use super::{bounds, locate};

/// Where a bad value stands; empty for a configuration that was put together in memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The file's name as the user gave it.
    pub file: Option<String>,
    /// The line, from 1.
    pub line: Option<usize>,
}

/// Why there is no configuration. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("configuration {file} cannot be read: {source}")]
    Read {
        /// The file.
        file: String,
        /// What the system said.
        source: io::Error,
    },
    /// The text is no TOML.
    #[error("{place}not valid TOML: {message}")]
    Syntax {
        /// Where.
        place: Place,
        /// What the parser expected.
        message: String,
    },
    /// A key is unknown, missing or of the wrong type, or its value is out of range.
    #[error("{place}{key}: {problem}{}", allowed_suffix(.allowed))]
    Key {
        /// Where.
        place: Place,
        /// The key's path, as in `node.spin_us` or `shards[2].name`.
        key: String,
        /// What is wrong with it.
        problem: String,
        /// What would be right; empty where the problem says so already.
        allowed: String,
    },
}

fn allowed_suffix(text: &str) -> String {
    if text.is_empty() {
        String::new()
    } else {
        format!("; allowed: {text}")
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.file, self.line) {
            (Some(file), Some(line)) => write!(f, "{file} line {line}: "),
            (Some(file), None) => write!(f, "{file}: "),
            (None, _) => Ok(()),
        }
    }
}

impl ConfigError {
    /// An error about `key`, not yet placed in a file.
    pub(super) fn key(
        key: impl Into<String>,
        problem: impl Into<String>,
        allowed: impl Into<String>,
    ) -> ConfigError {
        ConfigError::Key {
            place: Place::default(),
            key: key.into(),
            problem: problem.into(),
            allowed: allowed.into(),
        }
    }

    /// The same error with the place of its key in `text`. A key that is not in the text has its
    /// default, so then the file alone is named.
    pub(super) fn placed(self, text: &str, file: &str) -> ConfigError {
        match self {
            ConfigError::Key {
                place: _,
                key,
                problem,
                allowed,
            } => ConfigError::Key {
                place: Place {
                    file: Some(file.to_owned()),
                    line: locate::line_of_key(text, &key),
                },
                key,
                problem,
                allowed,
            },
            ConfigError::Read { .. } | ConfigError::Syntax { .. } => self,
        }
    }
}

/// Adds the key path, the line and the allowed values to an error of the TOML parser.
pub(super) fn from_toml(error: &toml::de::Error, text: &str, file: &str) -> ConfigError {
    let line = error.span().map(|span| locate::line_at(text, span.start));
    let place = Place {
        file: Some(file.to_owned()),
        line,
    };
    match error.span().and_then(|span| locate::key_at(text, &span)) {
        Some(key) => ConfigError::Key {
            place,
            problem: error.message().to_owned(),
            allowed: bounds::allowed(&key),
            key,
        },
        None => ConfigError::Syntax {
            place,
            message: error.message().to_owned(),
        },
    }
}
