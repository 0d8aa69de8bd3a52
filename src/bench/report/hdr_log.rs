//! Histograms of short whiles, one after the other, as HdrHistogram's own tools read them: its
//! interval log, version 1.3, with histograms in the compressed form V2.
//!
//! Owns: its text. Never does: a percentile. Runs on: the thread that reports.

use std::io::{self, Write};
use std::time::{Duration, SystemTime};

use hdrhistogram::Histogram;
use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{
    IntervalLogWriterBuilder, IntervalLogWriterError, Tag,
};

use crate::bench::meters::{Snapshot, Span};

/// A log that is written line by line, so that what was measured before a crash is there.
#[derive(Debug)]
pub struct HdrLog<W> {
    to: W,
}

impl<W: Write> HdrLog<W> {
    /// Begins a log: its head. Times of intervals count from `started`, the end of the warm-up or
    /// whenever intervals begin.
    ///
    /// # Errors
    /// `to` takes no more.
    pub fn begin(mut to: W, started: SystemTime) -> io::Result<HdrLog<W>> {
        IntervalLogWriterBuilder::new()
            .add_comment("[Histogram log format version 1.3]")
            .add_comment("[Values are nanoseconds]")
            .with_start_time(started)
            .with_base_time(started)
            .begin_log_with(&mut to, &mut V2DeflateSerializer::new())?;
        writeln!(
            to,
            "\"StartTimestamp\",\"Interval_Length\",\"Interval_Max\",\"Interval_Compressed_Histogram\""
        )?;
        Ok(HdrLog { to })
    }

    /// Adds what came in `length` from `start` on, both since the log's beginning: a line for each
    /// span that had something, with the span's name as its tag.
    ///
    /// # Errors
    /// The log takes no more.
    pub fn interval(
        &mut self,
        start: Duration,
        length: Duration,
        came: &Snapshot,
    ) -> io::Result<()> {
        for span in Span::ALL {
            if !came.span(span).is_empty() {
                self.line(span, start, length, came.span(span))?;
            }
        }
        self.to.flush()
    }

    fn line(
        &mut self,
        span: Span,
        start: Duration,
        length: Duration,
        histogram: &Histogram<u64>,
    ) -> io::Result<()> {
        let mut serializer = V2DeflateSerializer::new();
        // No head this time.
        IntervalLogWriterBuilder::new()
            .begin_log_with(&mut self.to, &mut serializer)?
            .write_histogram(histogram, start, length, Tag::new(span.name()))
            .map_err(|error| match error {
                IntervalLogWriterError::IoError(error) => error,
                IntervalLogWriterError::SerializeError(error) => io::Error::other(error),
            })
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use hdrhistogram::serialization::Deserializer;
    use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};

    use super::*;
    use crate::telemetry::empty_histogram;

    fn came(span: Span, latencies: impl Iterator<Item = u64>) -> Snapshot {
        let mut histogram = empty_histogram();
        for ns in latencies {
            histogram.saturating_record(ns);
        }
        let mut snapshot = Snapshot::default();
        snapshot.add(span, &histogram);
        snapshot
    }

    #[test]
    fn the_crates_own_reader_finds_the_same_percentiles() {
        let started = SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_250);
        let second = Duration::from_secs(1);
        let mut text = Vec::new();
        let mut log = HdrLog::begin(&mut text, started).unwrap();
        let first = came(Span::Produce, (1..=100_000).map(|at| at * 37));
        let later = came(Span::EndToEnd, (1..=1_000).map(|at| at * at * 91));
        log.interval(Duration::ZERO, second, &first).unwrap();
        log.interval(second, second / 2, &later).unwrap();
        let entries: Vec<_> = IntervalLogIterator::new(&text)
            .map(Result::unwrap)
            .collect();
        let base = Duration::from_millis(1_700_000_000_250);
        assert_eq!(
            entries[..2],
            [LogEntry::StartTime(base), LogEntry::BaseTime(base)]
        );
        let expected = [
            (Span::Produce, &first, Duration::ZERO, second),
            (Span::EndToEnd, &later, second, second / 2),
        ];
        assert_eq!(
            entries.len(),
            2 + expected.len(),
            "spans with nothing have no line"
        );
        for (entry, (span, came, start, length)) in entries[2..].iter().zip(expected) {
            let LogEntry::Interval(line) = entry else {
                panic!("{entry:?} is no interval");
            };
            assert_eq!(line.tag(), Tag::new(span.name()));
            assert_eq!((line.start_timestamp(), line.duration()), (start, length));
            let bytes = STANDARD.decode(line.encoded_histogram()).unwrap();
            let read: Histogram<u64> = Deserializer::new().deserialize(&mut &bytes[..]).unwrap();
            assert_eq!(&read, came.span(span));
            for quantile in [0.5, 0.9, 0.99, 0.999, 1.0] {
                let written = came.span(span).value_at_quantile(quantile);
                assert_eq!(read.value_at_quantile(quantile), written);
            }
        }
    }
}
