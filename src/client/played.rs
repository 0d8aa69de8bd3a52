//! A node played by a test, on a Unix socket.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread::JoinHandle;

use crate::frame::{
    ClientFrame, Correlation, ErrorCode, Kind, Receipt, Rejected, Split, VERSION, Welcome, split,
};
use crate::ids::{Acks, Offset, PartitionIndex, ShardId, UnixMillis};
use crate::limits::GATEWAY_FRAME_BYTES_MAX;
use crate::transaction::{Submission, codec};

/// The node's end of a connection.
pub(crate) struct Peer {
    stream: UnixStream,
    bytes: Vec<u8>,
}

/// A submit as the node sees it.
#[derive(Debug, PartialEq)]
pub(crate) struct Submitted {
    pub(crate) correlation: Correlation,
    pub(crate) acks: Acks,
    pub(crate) id: String,
}

impl Peer {
    /// The next frame as bytes of its own; `None` at the end of the connection.
    pub(crate) fn frame(&mut self) -> Option<Vec<u8>> {
        loop {
            if let Split::Frame(frame) = split(&self.bytes, GATEWAY_FRAME_BYTES_MAX).unwrap() {
                let frame = frame.bytes.to_vec();
                self.bytes.drain(..frame.len());
                return Some(frame);
            }
            let mut more = [0; 4096];
            match self.stream.read(&mut more) {
                Ok(0) | Err(_) => return None,
                Ok(n) => self.bytes.extend_from_slice(&more[..n]),
            }
        }
    }

    fn greet(&mut self, in_flight_max: u32) {
        let hello = self.frame().unwrap();
        assert_eq!(hello[4], Kind::Hello as u8, "the first frame is a hello");
        let welcome = Welcome {
            version: VERSION,
            in_flight_max,
            frame_bytes_max: 4096,
            node_id: 9,
        };
        self.send(&welcome.encode());
    }

    pub(crate) fn submit(&mut self) -> Option<Submitted> {
        let bytes = self.frame()?;
        let Split::Frame(frame) = split(&bytes, GATEWAY_FRAME_BYTES_MAX).unwrap() else {
            panic!("a whole frame was cut out");
        };
        let ClientFrame::Submit(submit) = ClientFrame::decode(frame).unwrap() else {
            panic!("not a submit: {frame:?}");
        };
        let transaction = codec::decode(&bytes[submit.transaction]).unwrap();
        Some(Submitted {
            correlation: submit.correlation,
            acks: submit.acks,
            id: String::from_utf8(transaction.id.to_vec()).unwrap(),
        })
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    pub(crate) fn receipt(&mut self, correlation: Correlation) {
        let receipt = Receipt {
            correlation,
            shard: ShardId(3),
            partition: PartitionIndex(1),
            offset: Offset(correlation.0 as i64 + 100),
            timestamp: UnixMillis(5),
            acks: Acks::All,
            submission: Submission::First,
        };
        self.send(&receipt.encode());
    }

    pub(crate) fn reject(&mut self, correlation: Correlation, code: ErrorCode) {
        let mut bytes = Vec::new();
        let message = "because";
        Rejected {
            correlation,
            code,
            message,
        }
        .encode(&mut bytes);
        self.send(&bytes);
    }
}

/// Plays a node that allows `in_flight_max` and takes as many connections as stated. Each, numbered
/// from 0 and on a thread of its own, gets its welcome, then `script`, then ends.
pub(crate) fn play(
    in_flight_max: u32,
    connections: usize,
    script: impl Fn(usize, &mut Peer) + Send + Sync + 'static,
) -> Played {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("node.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let node = std::thread::spawn(move || {
        std::thread::scope(|scope| {
            for number in 0..connections {
                let (stream, _) = listener.accept().unwrap();
                let script = &script;
                scope.spawn(move || {
                    let bytes = Vec::new();
                    let mut peer = Peer { stream, bytes };
                    peer.greet(in_flight_max);
                    script(number, &mut peer);
                });
            }
        });
    });
    Played {
        address: format!("unix:{}", path.display()),
        node,
        _folder: folder,
    }
}

/// A node that is being played.
pub(crate) struct Played {
    pub(crate) address: String,
    node: JoinHandle<()>,
    _folder: tempfile::TempDir,
}

impl Played {
    /// Waits for the end of every script; fails where one failed.
    pub(crate) fn over(self) {
        self.node.join().unwrap();
    }
}
