//! The doorbell loses no wake-up, in any interleaving and with any store still under way.
//!
//! A lost wake-up leaves the receiver parked for ever, which loom reports as a deadlock.

use std::sync::Arc as StdArc;
use std::task::{Wake, Waker};

use corelane_loom::doorbell::Doorbell;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;

struct Unpark(thread::Thread);

impl Wake for Unpark {
    fn wake(self: StdArc<Self>) {
        self.0.unpark();
    }
}

/// An endpoint: a doorbell, and a ring of which only the number of messages matters. The ring's
/// ordering is the weakest that hands a message over.
#[derive(Default)]
struct Endpoint {
    bell: Doorbell,
    mail: AtomicUsize,
}

impl Endpoint {
    fn send(&self) -> bool {
        self.mail.fetch_add(1, Ordering::Release);
        self.bell.ring()
    }

    /// Receives as a core does: looks, announces its sleep, looks once more, sleeps.
    fn receive(&self, messages: usize) {
        let waker = Waker::from(StdArc::new(Unpark(thread::current())));
        loop {
            let seen = self.mail.load(Ordering::Acquire);
            if seen == messages {
                return;
            }
            self.bell.announce_sleep(&waker);
            if self.mail.load(Ordering::Acquire) == seen {
                thread::park();
            }
            self.bell.stay_awake();
        }
    }
}

/// Runs a model with at most so many preemptions, which keeps it short.
fn explore(preemptions: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(model);
}

#[test]
fn mail_that_meets_a_core_falling_asleep_wakes_it() {
    loom::model(|| {
        let endpoint = Arc::new(Endpoint::default());
        let sender = {
            let endpoint = Arc::clone(&endpoint);
            thread::spawn(move || {
                endpoint.send();
            })
        };
        endpoint.receive(1);
        sender.join().unwrap();
    });
}

#[test]
fn a_core_that_was_woken_and_falls_asleep_again_is_woken_again() {
    explore(3, || {
        let endpoint = Arc::new(Endpoint::default());
        let sender = {
            let endpoint = Arc::clone(&endpoint);
            thread::spawn(move || {
                endpoint.send();
                endpoint.send();
            })
        };
        endpoint.receive(2);
        sender.join().unwrap();
    });
}

#[test]
fn two_senders_wake_a_core_for_both_and_only_one_pays_for_a_sleep() {
    explore(3, || {
        let endpoint = Arc::new(Endpoint::default());
        let waker = Waker::from(StdArc::new(Unpark(thread::current())));
        endpoint.bell.announce_sleep(&waker);
        let send = || {
            let endpoint = Arc::clone(&endpoint);
            thread::spawn(move || endpoint.send())
        };
        let (one, other) = (send(), send());
        thread::park();
        let woken = [one.join().unwrap(), other.join().unwrap()];
        assert_eq!(woken.iter().filter(|&&woke| woke).count(), 1);
        assert_eq!(endpoint.mail.load(Ordering::Acquire), 2);
    });
}
