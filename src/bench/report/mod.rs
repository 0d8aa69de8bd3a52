//! What comes of a benchmark, and the forms in which it is told.
//!
//! | module | what |
//! |---|---|
//! | [`model`] | the figures, and their keys in JSON |
//! | [`machine`] | what they were measured on |
//! | [`read`] | a report that was written before |
//! | [`html`] | all of it on one page, with pictures |
//! | [`hdr_log`] | latencies over time, for HdrHistogram's tools; the table of percentiles that these plot is [`crate::telemetry::hgrm`] |

pub mod hdr_log;
pub mod html;
pub mod machine;
pub mod model;
pub mod read;
