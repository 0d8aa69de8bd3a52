//! As many records as librdkafka takes.

use corelane::clock;

use crate::Failure;
use crate::bare::{BareProducer, Taken};
use crate::report::seconds;
use crate::round::Once;

/// The loop of librdkafka's `rdkafka_performance`: a poll after each record, and one that waits
/// while the queue is full. Seconds until all are acknowledged.
pub fn flood(producer: &mut BareProducer, records: usize) -> Result<f64, Failure> {
    const FULL_WAIT_MS: i32 = 10;
    const LAST_WAIT_MS: i32 = 1000;
    let mut once = Once::new(records);
    let start = clock::monotonic();
    let mut poll = |producer: &mut BareProducer, wait_ms| {
        producer.poll(wait_ms, |(number, error)| match error {
            0 => once.delivered(number),
            error => once.fail(format!("record {number}: librdkafka's error {error}")),
        });
        once.is_complete()
    };
    for number in 0..records {
        while producer.produce(0, number)? == Taken::QueueFull {
            poll(producer, FULL_WAIT_MS)?;
        }
        poll(producer, 0)?;
    }
    while !poll(producer, LAST_WAIT_MS)? {}
    Ok(seconds(start, clock::monotonic()))
}
