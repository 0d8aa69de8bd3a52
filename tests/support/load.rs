//! Clients that submit numbered transactions and note every receipt.

#![allow(dead_code)] // Each test uses its own part of this.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use corelane::client::{ClientOptions, RetryOptions, RetryingClient};
use corelane::ids::{Acks, UnixMicros};
use corelane::location::GeoLocation;
use corelane::transaction::{Submission, Transaction, TransactionId, TxReceipt};

use super::random::Random;

/// Transaction `seq` of client `client`; the same numbers always give the same bytes.
pub fn transaction(client: u16, seq: u64) -> Transaction {
    let mut random = Random::seeded((u64::from(client) << 48) ^ seq);
    let latitude = random.fraction() * 180.0 - 90.0;
    let longitude = random.fraction() * 360.0 - 180.0;
    let payload_bytes = random.within(0..300) as usize;
    Transaction {
        id: TransactionId::new(format!("{client}-{seq}").as_bytes()).expect("short"),
        client_location: GeoLocation::new(latitude, longitude).expect("in range"),
        submitted_at: UnixMicros(seq as i64),
        amount: Some(amount(client, seq)),
        payload: random.bytes(payload_bytes),
    }
}

/// Its amount.
pub fn amount(client: u16, seq: u64) -> u64 {
    1 + Random::seeded((u64::from(client) << 40) + seq).within(0..1_000_000)
}

/// Client and number out of an id.
pub fn numbers(id: &str) -> (u16, u64) {
    let (client, seq) = id.split_once('-').expect("made by transaction()");
    (
        client.parse().expect("a number"),
        seq.parse().expect("a number"),
    )
}

/// One client: its receipts may be looked at while it runs.
#[derive(Default)]
pub struct Load {
    /// By the transaction's number.
    pub receipts: Mutex<BTreeMap<u64, TxReceipt>>,
    stop: AtomicBool,
}

impl Load {
    /// No new transactions from now on; those without an answer still get theirs.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Submits until told to stop, over as many connections as it takes, now and then an old
    /// transaction again, and returns how many duplicates were answered.
    pub fn run(&self, client: u16, address: &str, mut random: Random) -> u64 {
        const IN_FLIGHT: usize = 32;
        let options = ClientOptions {
            name: format!("load-{client}"),
            in_flight_max: IN_FLIGHT,
            read_timeout: Some(Duration::from_secs(10)),
            ..ClientOptions::default()
        };
        let retry = RetryOptions {
            backoff_min: Duration::from_millis(2),
            backoff_max: Duration::from_millis(50),
            // Some 40 s, so that a failed test ends.
            attempts_max: 800,
        };
        let mut connection =
            RetryingClient::new(address, options, retry).expect("the address is one");
        let (mut seq_next, mut in_flight, mut duplicates) = (0, 0, 0);
        loop {
            let is_stopping = self.stop.load(Ordering::Relaxed);
            if !is_stopping {
                for _ in 0..random.within(1..9) {
                    if in_flight == IN_FLIGHT {
                        break;
                    }
                    let is_again = seq_next > 0 && random.within(0..64) == 0;
                    let seq = if is_again {
                        random.within(0..seq_next)
                    } else {
                        seq_next += 1;
                        seq_next - 1
                    };
                    let transaction = transaction(client, seq);
                    connection
                        .submit(&transaction.borrowed(), Acks::All)
                        .expect("the node comes back");
                    in_flight += 1;
                }
            }
            if in_flight == 0 {
                assert!(is_stopping);
                return duplicates;
            }
            let reply = connection.recv().expect("the node comes back");
            in_flight -= 1;
            let receipt = reply.outcome.expect("nothing here is worth a rejection");
            duplicates += u64::from(receipt.submission == Submission::Duplicate);
            self.note(receipt);
            if random.within(0..8) == 0 {
                std::thread::sleep(Duration::from_micros(random.within(0..2000)));
            }
        }
    }

    /// A second receipt for a transaction must name the same place.
    fn note(&self, receipt: TxReceipt) {
        let (_, seq) = numbers(&receipt.id.to_string());
        let mut receipts = self.receipts.lock().expect("no holder panics");
        let first = receipts.entry(seq).or_insert(receipt);
        let place = |r: &TxReceipt| (r.shard, r.partition, r.offset, r.timestamp);
        assert_eq!(
            place(first),
            place(&receipt),
            "{} lies in one place",
            receipt.id
        );
    }
}
