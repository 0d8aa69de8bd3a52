//! Waking a parked endpoint without losing a wake-up.
//!
//! The sleeper announces itself and then looks for mail once more; the sender puts the mail down
//! and then looks for the announcement. Each side has a sequentially consistent fence between
//! its two steps, so at least one of them sees the other (Dekker's pattern), and mail that
//! arrives while the endpoint falls asleep always rings.

use std::sync::Arc;
use std::task::Waker;

use super::sync::{AtomicBool, AtomicWaker, CachePadded, Ordering, fence};

/// One endpoint's doorbell.
#[derive(Debug, Default)]
pub struct Doorbell {
    asleep: CachePadded<AtomicBool>,
    waker: AtomicWaker,
}

/// The doorbells of all endpoints, shared by the rings of one mesh.
pub type Bells = Arc<[Doorbell]>;

impl Doorbell {
    /// Announces that the endpoint will sleep until `waker` is woken. The caller must look for
    /// mail once more afterwards, and call [`Doorbell::stay_awake`] if there is any.
    pub fn announce_sleep(&self, waker: &Waker) {
        self.waker.register(waker);
        self.asleep.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    /// Takes the announcement back, after waking or instead of sleeping.
    pub fn stay_awake(&self) {
        self.asleep.store(false, Ordering::Relaxed);
    }

    /// Wakes the endpoint if it has announced its sleep. To be called after the mail is in its
    /// ring. Returns whether it slept.
    pub fn ring(&self) -> bool {
        fence(Ordering::SeqCst);
        // The plain load keeps the cache line shared while nobody sleeps; the swap makes sure
        // that of several senders only one pays for the wake-up.
        if self.asleep.load(Ordering::Relaxed) && self.asleep.swap(false, Ordering::AcqRel) {
            self.waker.wake();
            return true;
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;
    use std::task::Wake;

    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn only_an_announced_sleeper_is_woken_and_only_once() {
        let count = Arc::new(Count(AtomicUsize::new(0)));
        let waker = Waker::from(Arc::clone(&count));
        let bell = Doorbell::default();
        assert!(!bell.ring());
        bell.announce_sleep(&waker);
        assert!(bell.ring());
        assert!(!bell.ring());
        assert_eq!(count.0.load(Ordering::SeqCst), 1);
        bell.announce_sleep(&waker);
        bell.stay_awake();
        assert!(!bell.ring());
    }

    /// Two threads, one message at a time, the receiver sleeping whenever it finds nothing: a
    /// lost wake-up would hang the test.
    #[test]
    fn no_wake_up_is_lost_when_mail_and_sleep_race() {
        struct Unpark(std::thread::Thread);
        impl Wake for Unpark {
            fn wake(self: Arc<Self>) {
                self.0.unpark();
            }
        }
        const ROUNDS: usize = 20_000;
        let bell = Arc::new(Doorbell::default());
        let mail = Arc::new(AtomicUsize::new(0));
        let receiver = {
            let (bell, mail) = (Arc::clone(&bell), Arc::clone(&mail));
            std::thread::spawn(move || {
                let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
                let mut seen = 0;
                while seen < ROUNDS {
                    let now = mail.load(Ordering::Acquire);
                    if now > seen {
                        seen = now;
                        continue;
                    }
                    bell.announce_sleep(&waker);
                    if mail.load(Ordering::Acquire) == seen {
                        std::thread::park();
                    }
                    bell.stay_awake();
                }
            })
        };
        for round in 1..=ROUNDS {
            mail.store(round, Ordering::Release);
            bell.ring();
            if round % 16 == 0 {
                std::thread::yield_now();
            }
        }
        receiver.join().unwrap();
    }
}
