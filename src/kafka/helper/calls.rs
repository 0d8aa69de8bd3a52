//! Calls that librdkafka may never come back from.
//!
//! `rd_kafka_send_offsets_to_transaction` and its siblings wait without an end for a reply of
//! librdkafka's own main thread, whatever timeout they are given, and where a connection to the
//! coordinator broke at the wrong moment that reply does not come. So they run on a thread that can
//! be left behind. It holds its client, which is then never destroyed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use crate::ids::CpuId;
use crate::kafka::native::KafkaError;
use crate::kafka::placement::run_on;

/// How long a call may take: longer than librdkafka's own timeout of it.
const CALL_ENDS: Duration = Duration::from_secs(10);

/// The same once nothing shall be waited for any more.
const CALL_ENDS_AT_STOP: Duration = Duration::from_secs(1);

/// Time between two looks at whether that is so.
const LOOK: Duration = Duration::from_millis(100);

type Call = Box<dyn FnOnce() -> Result<(), KafkaError> + Send>;

/// A thread that makes calls, one after another.
pub(super) struct Caller {
    calls: Sender<Call>,
    results: Receiver<Result<(), KafkaError>>,
}

/// What became of a call.
pub(super) enum Called {
    /// It came back.
    Back(Result<(), KafkaError>),
    /// It did not, and this caller is of no more use.
    Never,
}

impl Caller {
    /// Starts the thread; it ends when this is dropped and its call has come back.
    pub fn spawn(name: &str, cpus: &[CpuId]) -> std::io::Result<Caller> {
        let (calls, asked) = channel::<Call>();
        let (to, results) = channel();
        let cpus = cpus.to_vec();
        let work = move || {
            run_on(&cpus);
            while let Ok(call) = asked.recv() {
                if to.send(call()).is_err() {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name(format!("{name}-tx"));
        // Not joined: it may be one that is left behind.
        drop(thread.spawn(work)?);
        Ok(Caller { calls, results })
    }

    /// Makes a call and waits for its result, within bounds.
    pub fn call(&self, call: Call, give_up: &AtomicBool) -> Called {
        let start = Instant::now();
        if self.calls.send(call).is_err() {
            return Called::Never;
        }
        loop {
            match self.results.recv_timeout(LOOK) {
                Ok(result) => return Called::Back(result),
                Err(RecvTimeoutError::Disconnected) => return Called::Never,
                Err(RecvTimeoutError::Timeout) => {}
            }
            let bound = match give_up.load(Ordering::Acquire) {
                true => CALL_ENDS_AT_STOP,
                false => CALL_ENDS,
            };
            if start.elapsed() > bound {
                return Called::Never;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_never_ends_is_left_behind_and_others_come_back() {
        let give_up = AtomicBool::new(false);
        let caller = Caller::spawn("test", &[]).unwrap();
        let fine = caller.call(Box::new(|| Ok(())), &give_up);
        assert!(matches!(fine, Called::Back(Ok(()))));
        give_up.store(true, Ordering::Release);
        let (hold, held) = channel::<()>();
        let stuck = move || {
            let _ = held.recv();
            Ok(())
        };
        let start = Instant::now();
        let stuck = caller.call(Box::new(stuck), &give_up);
        assert!(matches!(stuck, Called::Never));
        assert!(start.elapsed() < CALL_ENDS, "a stop does not wait for long");
        drop(hold);
    }
}
