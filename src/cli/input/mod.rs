//! Transactions from a file: JSON Lines, plain, gzip or zstd.
//!
//! Owns: reading lines of bounded length, turning each into an [`InputTransaction`], and saying
//! exactly what is wrong with one that is none. Never does: routing, sending. Runs on: a
//! housekeeping thread.
//!
//! A line holds one object:
//!
//! | field | value |
//! |---|---|
//! | `id` | text of 1 to 64 bytes |
//! | `client_location` | `{"latitude": -90 to 90, "longitude": -180 to 180}` |
//! | `amount` | unsigned 64-bit integer; may be left out or null |
//! | `payload` | base64, standard alphabet with padding; may be left out or null |
//! | `submitted_at` | microseconds since the Unix epoch, integer; may be left out or null |
//! | `traceparent` | W3C trace context that the transaction belongs to; may be left out or null |
//!
//! Any other field, and a field that stands twice, is an error. Blank lines are skipped.

mod line;
mod reader;
mod source;
#[cfg(test)]
mod tests;

pub use reader::{InputReader, InputTransaction, OnError, Skipped, SkippedLine};
pub use source::InputError;
