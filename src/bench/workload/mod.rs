//! Workloads of the OpenMessaging Benchmark, as their files are: read, run, and reported with the names
//! that its own tools know.
//!
//! Owns: the form of the files and of the result, and the order of a workload's phases. Never does:
//! send or receive ([`super::kafka`] does). Runs on: the thread that asks.
//!
//! | module | what |
//! |---|---|
//! | [`mod@file`] | a workload's file |
//! | [`driver`] | a driver's file, for Kafka |
//! | [`names`] | what Java's client calls its properties, in librdkafka's words |
//! | [`phases`] | warm-up, search for the highest rate, test, backlog |
//! | [`rate`] | the search's next step |
//! | [`result`] | the result's JSON |

pub mod driver;
pub mod file;
pub mod names;
pub mod phases;
pub mod rate;
pub mod result;
mod yaml;
