//! Clients that submit all the time, over whatever happens to the node and its cluster, and keep
//! every receipt.

#![allow(dead_code)] // Each test uses its own part of this.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::Scope;
use std::time::{Duration, Instant};

use corelane::client::{ClientOptions, RetryOptions, RetryingClient};
use corelane::ids::Acks;
use corelane::transaction::TxReceipt;

use super::load::transaction;

const CLIENTS: u16 = 2;
const IN_FLIGHT: usize = 64;
/// Each client submits so many at a time, then rests: some 1000 a second, which leaves the machine
/// to the brokers.
const BURST: usize = 8;
const REST: Duration = Duration::from_millis(12);

/// How long the answers to what is in flight may take while nothing is wrong any more.
const PATIENCE: Duration = Duration::from_secs(60);

/// The receipts, by id.
#[derive(Default)]
pub struct Traffic {
    /// Clients that earlier traffic had: their ids are not used again.
    clients_before: u16,
    receipts: Mutex<BTreeMap<String, TxReceipt>>,
    is_over: AtomicBool,
}

/// Ends the traffic, also where the test fails, which would otherwise wait for its threads.
pub struct Ending<'a>(&'a Traffic);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.is_over.store(true, Ordering::Release);
    }
}

impl Traffic {
    /// Starts the clients. They end, each with all its receipts, once the returned value is dropped.
    pub fn start<'scope>(
        &'scope self,
        scope: &'scope Scope<'scope, '_>,
        address: &'scope str,
    ) -> Ending<'scope> {
        for client in 0..CLIENTS {
            let client = self.clients_before + client;
            scope.spawn(move || self.run(client, address));
        }
        Ending(self)
    }

    /// Traffic with new ids after this one, which goes on with its receipts.
    pub fn and_then(self) -> Traffic {
        Traffic {
            clients_before: self.clients_before + CLIENTS,
            receipts: self.receipts,
            is_over: AtomicBool::new(false),
        }
    }

    /// Receipts so far.
    pub fn count(&self) -> usize {
        self.receipts.lock().expect("no holder panics").len()
    }

    /// Waits for so many more receipts.
    pub fn wait_for_more(&self, more: usize) {
        let wanted = self.count() + more;
        let deadline = Instant::now() + PATIENCE;
        while self.count() < wanted {
            let count = self.count();
            assert!(Instant::now() < deadline, "{count} receipts and no more");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// All receipts, by id.
    pub fn receipts(self) -> BTreeMap<String, TxReceipt> {
        self.receipts.into_inner().expect("no holder panics")
    }

    fn run(&self, client: u16, address: &str) {
        let options = ClientOptions {
            name: format!("traffic-{client}"),
            in_flight_max: IN_FLIGHT,
            read_timeout: Some(PATIENCE),
            ..ClientOptions::default()
        };
        let retry = RetryOptions {
            backoff_min: Duration::from_millis(2),
            backoff_max: Duration::from_millis(50),
            // A minute and more, so that a failed test ends.
            attempts_max: 1500,
        };
        let mut connection = RetryingClient::new(address, options, retry).expect("an address");
        let (mut seq, mut in_flight) = (0, 0);
        loop {
            let is_over = self.is_over.load(Ordering::Acquire);
            for _ in 0..if is_over { 0 } else { BURST } {
                let transaction = transaction(client, seq);
                let submitted = connection.submit(&transaction.borrowed(), Acks::All);
                submitted.expect("the node comes back");
                (seq, in_flight) = (seq + 1, in_flight + 1);
            }
            while in_flight > if is_over { 0 } else { IN_FLIGHT - BURST } {
                let reply = connection.recv().expect("the node comes back");
                in_flight -= 1;
                self.note(reply.outcome.expect("nothing here is worth a rejection"));
            }
            if is_over {
                return;
            }
            std::thread::sleep(REST);
        }
    }

    fn note(&self, receipt: TxReceipt) {
        let mut receipts = self.receipts.lock().expect("no holder panics");
        let before = receipts.insert(receipt.id.to_string(), receipt);
        assert_eq!(before, None, "one answer for each");
    }
}
