//! The gateway's framed protocol: bytes <-> frames. `docs/gateway.md` gives every byte.
//!
//! ```text
//! frame = length of what follows (u32) , kind (u8) , body
//! ```
//!
//! All numbers are little endian. A client opens with [`Hello`], the node answers [`Welcome`];
//! after that submits and answers flow both ways without waiting for each other, matched by the
//! [`Correlation`] that the client chose.
//!
//! Owns: the layout of frames, their bounds, the error codes. Never does: I/O, allocation beyond
//! the frame it writes, a panic on bytes from outside. Runs on: any thread.

mod body;
mod code;
mod from_client;
mod from_server;
mod split;

pub use code::{ErrorCode, GoodbyeReason, Outcome};
pub use from_client::{
    ClientFrame, Hello, SUBMIT_TRACED_TRANSACTION_START, SUBMIT_TRANSACTION_START, Submit,
    SubmitStart, begin_submit, begin_submit_traced, encode_ping, finish_submit,
};
pub use from_server::{
    Goodbye, PONG_FRAME_BYTES, RECEIPT_FRAME_BYTES, Receipt, Rejected, ServerFrame,
    WELCOME_FRAME_BYTES, Welcome, encode_pong,
};
pub use split::{Fault, Frame, Kind, ProtocolError, Split, split};

use crate::limits::GATEWAY_FRAME_BYTES_MAX;

/// First bytes of a [`Hello`]'s body.
pub const MAGIC: [u8; 4] = *b"CLGW";

/// Version of the protocol. A node speaks exactly one.
pub const VERSION: u16 = 1;

/// Bytes in front of a frame's body: length and kind.
pub const HEADER_BYTES: usize = 5;

/// Bytes of a client's name, at the most.
pub const CLIENT_NAME_BYTES_MAX: usize = 64;

/// Bytes of a message in [`Rejected`] and [`Goodbye`], at the most; longer ones are cut.
pub const MESSAGE_BYTES_MAX: usize = 512;

/// What a client puts on a submit to recognise the answer. Any number will do; the node only
/// hands it back, also when it repeats.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Correlation(pub u64);

impl std::fmt::Display for Correlation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(&self.0, f)
    }
}

const _: () = {
    assert!(
        GATEWAY_FRAME_BYTES_MAX <= u32::MAX as usize,
        "a frame's length fits its field"
    );
    assert!(
        SUBMIT_TRACED_TRANSACTION_START + crate::limits::TRANSACTION_BYTES_MAX
            <= GATEWAY_FRAME_BYTES_MAX,
        "the largest transaction fits a submit, traced or not"
    );
};
