//! A connection that may say anything, to see what the node makes of it.

#![allow(dead_code)] // Each test uses its own part of this.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use corelane::frame::{
    Correlation, ErrorCode, GoodbyeReason, Hello, Receipt, ServerFrame, Split, VERSION, Welcome,
    begin_submit, finish_submit, split,
};
use corelane::ids::Acks;
use corelane::limits::GATEWAY_FRAME_BYTES_MAX;
use corelane::transaction::{Transaction, codec};

/// What the node said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    Welcome(Welcome),
    Receipt(Receipt),
    Rejected(Correlation, ErrorCode),
    Pong(u64),
    Goodbye(GoodbyeReason, Option<u64>),
    /// It closed the connection.
    End,
}

/// A connection without manners.
pub struct Raw {
    pub stream: UnixStream,
    bytes: Vec<u8>,
}

impl Raw {
    /// Connects and says nothing.
    pub fn connect(socket: &Path) -> Raw {
        let stream = UnixStream::connect(socket).expect("the node listens");
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .expect("the timeout is not zero");
        Raw {
            stream,
            bytes: Vec::new(),
        }
    }

    /// Connects and says hello.
    pub fn greeted(socket: &Path) -> (Raw, Welcome) {
        let mut raw = Raw::connect(socket);
        raw.send(&hello()).expect("the node reads");
        match raw.next() {
            Said::Welcome(welcome) => (raw, welcome),
            other => panic!("no welcome but {other:?}"),
        }
    }

    /// Sends bytes.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Says that no more will come.
    pub fn end_sending(&self) {
        // The node may have closed before: then there is nothing to end.
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// The next thing that the node says.
    pub fn next(&mut self) -> Said {
        loop {
            let answer = split(&self.bytes, GATEWAY_FRAME_BYTES_MAX).expect("a node's frames");
            if let Split::Frame(frame) = answer {
                let frame_bytes = frame.bytes.len();
                let said = match ServerFrame::decode(frame).expect("a node's frames") {
                    ServerFrame::Welcome(welcome) => Said::Welcome(welcome),
                    ServerFrame::Receipt(receipt) => Said::Receipt(receipt),
                    ServerFrame::Rejected(rejected) => {
                        Said::Rejected(rejected.correlation, rejected.code)
                    }
                    ServerFrame::Pong { token } => Said::Pong(token),
                    ServerFrame::Goodbye(goodbye) => {
                        Said::Goodbye(goodbye.reason, goodbye.position)
                    }
                };
                self.bytes.drain(..frame_bytes);
                return said;
            }
            let mut more = [0; 64 << 10];
            match self.stream.read(&mut more) {
                Ok(0) => return Said::End,
                Ok(read) => self.bytes.extend_from_slice(&more[..read]),
                // The node closed while bytes to it were still on their way.
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Said::End,
                Err(error) => panic!("the node neither answers nor closes: {error}"),
            }
        }
    }

    /// Everything that the node says until it closes.
    pub fn rest(&mut self) -> Vec<Said> {
        std::iter::from_fn(|| match self.next() {
            Said::End => None,
            said => Some(said),
        })
        .collect()
    }
}

/// A hello's bytes.
pub fn hello() -> Vec<u8> {
    let mut bytes = Vec::new();
    Hello {
        version: VERSION,
        client: "faulty",
    }
    .encode(&mut bytes);
    bytes
}

/// A submit's bytes.
pub fn submit(correlation: u64, acks: Acks, transaction: &Transaction) -> Vec<u8> {
    let mut bytes = Vec::new();
    codec::encode(&transaction.borrowed(), &mut bytes).expect("within bounds");
    submit_bytes(correlation, acks, &bytes)
}

/// The bytes of a submit whose transaction may be none.
pub fn submit_bytes(correlation: u64, acks: Acks, transaction: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let start = begin_submit(&mut bytes, Correlation(correlation), acks);
    bytes.extend_from_slice(transaction);
    finish_submit(&mut bytes, start, GATEWAY_FRAME_BYTES_MAX).expect("within bounds");
    bytes
}
