//! Topics and their settings: who changes them, and by which rules.
//!
//! Owns: the requests of Kafka's clients about topics, their settings and the node's; the catalog
//! while the node runs. Never does: anything to records. Runs on: the administrator's thread.
//!
//! | file | what |
//! |---|---|
//! | `administrator` | the thread: durable first, then every core, then the answer |
//! | `work` | one request against a copy of the catalog |
//! | `create`, `delete`, `describe`, `alter` | the requests |
//! | `settings` | which settings there are, and what each may be |
//! | `facts` | from a catalog to what cores and clients see of it |
//! | `refusal`, `failed` | errors as clients are told |

mod administrator;
mod alter;
mod create;
mod delete;
mod describe;
mod facts;
mod failed;
mod refusal;
mod settings;
#[cfg(test)]
#[allow(clippy::wildcard_enum_match_arm)] // The enums of all of Kafka's messages.
mod tests;
mod work;

pub use administrator::{Administrator, Topics};
pub use facts::{Facts, INLET_ID, RESERVED, Role};
