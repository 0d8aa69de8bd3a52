//! Kafka's formats: bytes to structs and back.
//!
//! Owns: record batches v2 as borrowed views, and their writer; the header of requests, Produce and
//! Fetch in place; the shapes of all other requests; decompression. Never does: I/O, compression;
//! allocation, but for decompressed records. Runs on: any thread; the hot path uses it per record.

pub mod api;
pub mod batch;
mod control;
pub mod decompress;
pub mod fetch;
mod fetch_response;
mod frame_writer;
pub mod produce;
mod reader;
mod records;
pub mod request;
pub mod shape;
mod varint;
mod write;

pub use batch::{BatchError, BatchView};
pub use control::{CONTROL_BATCH_BYTES, ControlBatch, ControlKind, control_kind, write_control};
pub use reader::Malformed;
pub use records::{HeaderView, Headers, RecordView, Records};
pub use write::{BatchSpec, NoHeaders, RecordSource, assign, batch_len, write_batch};

#[cfg(test)]
mod tests;
