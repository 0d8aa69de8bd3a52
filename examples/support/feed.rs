//! What the examples have in common: a file of transactions into a node of this process.

use std::error::Error;
use std::path::Path;
use std::time::Duration;

use corelane::cli::input::{InputReader, OnError};
use corelane::clock;
use corelane::control::Node;
use corelane::engine::submitter::Entrance;
use corelane::frame::Correlation;
use corelane::ids::Acks;
use corelane::limits::PAYLOAD_BYTES_DEFAULT;
use corelane::transaction::{TransactionRef, codec};

/// Submits every transaction of a file and waits until each one is answered and processed.
pub fn feed(node: &mut Node, file: &Path) -> Result<(), Box<dyn Error>> {
    let mut port = node.submitter().ok_or("the node has no port left")?;
    for (line, number) in InputReader::open(file, PAYLOAD_BYTES_DEFAULT, OnError::Stop)?.zip(0..) {
        let line = line?;
        let transaction = TransactionRef {
            id: line.id.as_bytes(),
            client_location: line.client_location,
            submitted_at: clock::wall(),
            amount: line.amount,
            payload: &line.payload,
        };
        let mut body = Vec::with_capacity(codec::encoded_len(&transaction));
        codec::encode(&transaction, &mut body)?;
        let (mut body, mark) = (body.into(), Correlation(number));
        // A refused one comes back: the core has no room until answers are taken.
        let taken = clock::monotonic();
        while let Err(back) = port.submit(Entrance::InTurn, body, Acks::All, mark, taken) {
            body = back;
            port.wait(Duration::from_millis(10));
            port.poll(|_, _| {});
        }
    }
    while port.outstanding() > 0 {
        port.wait(Duration::from_millis(10));
        port.poll(|_, _| {});
        node.failure().map_or(Ok(()), Err)?;
    }
    Ok(node.drain(Duration::from_secs(60))?)
}
