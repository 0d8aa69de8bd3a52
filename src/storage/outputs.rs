//! What a handler wants written together with its position.
//!
//! Owns: one growing buffer, reused for every batch, so that steady state allocates nothing.

use crate::ids::TopicId;
use crate::telemetry::{TRACE_HEADER, Traceparent};

/// Keys of state that begin with this byte are the engine's own.
pub const RESERVED_KEY: u8 = 0xff;

/// Records to other topics and state changes, collected while a batch is processed and committed
/// with its position as one atomic group.
#[derive(Debug)]
pub struct Outputs {
    bytes: Vec<u8>,
    records: Vec<RecordSpan>,
    state: Vec<StateSpan>,
    bytes_max: usize,
    overflowed: bool,
    trace: Option<Traceparent>,
}

#[derive(Debug, Clone, Copy)]
struct RecordSpan {
    topic: TopicId,
    start: usize,
    key_len: u32,
    value_len: u32,
    headers_len: u32,
    headers: u32,
}

#[derive(Debug, Clone, Copy)]
struct StateSpan {
    start: usize,
    key_len: u32,
    value_len: u32,
}

/// One record that a handler wants sent.
#[derive(Debug, Clone, Copy)]
pub struct OutputRecord<'a> {
    /// Where to.
    pub topic: TopicId,
    /// The record's key; empty means none.
    pub key: &'a [u8],
    /// The record's value.
    pub value: &'a [u8],
    /// Number of headers in `headers`.
    pub header_count: u32,
    /// The headers: for each a 2-byte name length, a 4-byte value length (both little endian),
    /// then the name, then the value.
    headers: &'a [u8],
}

impl<'a> OutputRecord<'a> {
    /// The headers in the order they were given; names may repeat.
    pub fn headers(&self) -> impl Iterator<Item = (&'a str, &'a [u8])> + Clone + use<'a> {
        let mut rest = self.headers;
        std::iter::from_fn(move || {
            let (lengths, tail) = rest.split_at_checked(6)?;
            let name_len = u16::from_le_bytes([lengths[0], lengths[1]]) as usize;
            let value_len =
                u32::from_le_bytes([lengths[2], lengths[3], lengths[4], lengths[5]]) as usize;
            let (name, tail) = tail.split_at(name_len);
            let (value, tail) = tail.split_at(value_len);
            rest = tail;
            let name = std::str::from_utf8(name).expect("written from a str by Outputs::send");
            Some((name, value))
        })
    }
}

/// A point to which [`Outputs::rewind`] can go back.
#[derive(Debug, Clone, Copy)]
pub struct Mark {
    bytes: usize,
    records: usize,
    state: usize,
}

/// Why something was not added to the outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OutputsRefused {
    /// More was put out than one atomic group can hold.
    #[error("outputs of {bytes} bytes exceed the {bytes_max} bytes that one atomic group may hold")]
    Full {
        /// What the outputs would have come to.
        bytes: usize,
        /// The bound.
        bytes_max: usize,
    },
    /// The key of a state value is one of the engine's own.
    #[error("state keys that begin with byte 0xff are the engine's own")]
    ReservedKey,
}

/// What each record or state change adds to its own bytes when it is stored, at the most.
const ENTRY_OVERHEAD_BYTES: usize = 128;

impl Outputs {
    /// Empty outputs that hold at most `bytes_max` bytes, overheads included.
    pub fn new(bytes_max: usize) -> Outputs {
        Outputs {
            bytes: Vec::with_capacity(bytes_max.min(64 << 10)),
            records: Vec::with_capacity(256),
            state: Vec::with_capacity(64),
            bytes_max,
            overflowed: false,
            trace: None,
        }
    }

    /// What is put out from now on belongs to this trace: each record gets the header
    /// [`TRACE_HEADER`], unless the handler gives it one itself.
    pub(crate) fn set_trace(&mut self, trace: Option<Traceparent>) {
        self.trace = trace;
    }

    /// Whether something was refused since the last [`Outputs::rewind`] or [`Outputs::clear`].
    pub fn overflowed(&self) -> bool {
        self.overflowed
    }

    /// Puts out a record.
    ///
    /// # Errors
    /// More than an atomic group holds; nothing was added.
    pub fn send(&mut self, topic: TopicId, key: &[u8], value: &[u8]) -> Result<(), OutputsRefused> {
        self.send_with_headers(topic, key, value, &[])
    }

    /// Puts out a record with headers; a name may repeat and has at most 65,535 bytes.
    ///
    /// # Errors
    /// More than an atomic group holds; nothing was added.
    pub fn send_with_headers(
        &mut self,
        topic: TopicId,
        key: &[u8],
        value: &[u8],
        headers: &[(&str, &[u8])],
    ) -> Result<(), OutputsRefused> {
        let is_own = |(name, _): &(&str, &[u8])| *name == TRACE_HEADER;
        let trace = self.trace.filter(|_| !headers.iter().any(is_own));
        let trace = trace.as_ref().map(|trace| (TRACE_HEADER, trace.as_bytes()));
        let all = || headers.iter().copied().chain(trace);
        let headers_len: usize = all().map(|(n, v)| 6 + n.len() + v.len()).sum();
        self.check_room(key.len() + value.len() + headers_len)?;
        let start = self.bytes.len();
        self.bytes.extend_from_slice(key);
        self.bytes.extend_from_slice(value);
        for (name, value) in all() {
            let name_len = u16::try_from(name.len()).expect("documented bound of a header's name");
            self.bytes.extend_from_slice(&name_len.to_le_bytes());
            self.bytes.extend_from_slice(&len_u32(value).to_le_bytes());
            self.bytes.extend_from_slice(name.as_bytes());
            self.bytes.extend_from_slice(value);
        }
        self.records.push(RecordSpan {
            topic,
            start,
            key_len: len_u32(key),
            value_len: len_u32(value),
            headers_len: u32::try_from(headers_len).expect("bounded by bytes_max"),
            headers: u32::try_from(all().count()).expect("bounded by bytes_max"),
        });
        Ok(())
    }

    /// Sets a state value; an empty `value` removes the key. Later reads of the state, also after
    /// a restart, see it if and only if the position that is committed with it holds.
    ///
    /// # Errors
    /// More than an atomic group holds, or a key that begins with [`RESERVED_KEY`]; nothing was
    /// added.
    pub fn set_state(&mut self, key: &[u8], value: &[u8]) -> Result<(), OutputsRefused> {
        if key.first() == Some(&RESERVED_KEY) {
            return Err(OutputsRefused::ReservedKey);
        }
        self.check_room(key.len() + value.len())?;
        let start = self.bytes.len();
        self.bytes.extend_from_slice(key);
        self.bytes.extend_from_slice(value);
        self.state.push(StateSpan {
            start,
            key_len: len_u32(key),
            value_len: len_u32(value),
        });
        Ok(())
    }

    /// The records, in order.
    pub fn records(&self) -> OutputRecords<'_> {
        OutputRecords {
            outputs: self,
            next: 0,
        }
    }

    /// The state changes, in order.
    pub fn state_changes(&self) -> StateChanges<'_> {
        StateChanges {
            outputs: self,
            next: 0,
        }
    }

    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty() && self.state.is_empty()
    }

    /// Bytes that this takes when stored, at the most.
    pub fn stored_bytes_max(&self) -> usize {
        self.bytes.len() + (self.records.len() + self.state.len()) * ENTRY_OVERHEAD_BYTES
    }

    /// A point to come back to.
    pub fn mark(&self) -> Mark {
        Mark {
            bytes: self.bytes.len(),
            records: self.records.len(),
            state: self.state.len(),
        }
    }

    /// Drops everything added since `mark`.
    pub fn rewind(&mut self, mark: Mark) {
        self.bytes.truncate(mark.bytes);
        self.records.truncate(mark.records);
        self.state.truncate(mark.state);
        self.overflowed = false;
    }

    /// Drops everything, keeps the memory.
    pub fn clear(&mut self) {
        self.rewind(Mark {
            bytes: 0,
            records: 0,
            state: 0,
        });
    }

    fn check_room(&mut self, more: usize) -> Result<(), OutputsRefused> {
        let bytes = self.stored_bytes_max() + more + ENTRY_OVERHEAD_BYTES;
        if bytes > self.bytes_max {
            self.overflowed = true;
            return Err(OutputsRefused::Full {
                bytes,
                bytes_max: self.bytes_max,
            });
        }
        Ok(())
    }
}

fn len_u32(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).expect("bounded by bytes_max, which is far below 4 GiB")
}

/// Iterator over [`Outputs::records`].
#[derive(Debug, Clone)]
pub struct OutputRecords<'a> {
    outputs: &'a Outputs,
    next: usize,
}

impl<'a> Iterator for OutputRecords<'a> {
    type Item = OutputRecord<'a>;

    fn next(&mut self) -> Option<OutputRecord<'a>> {
        let span = self.outputs.records.get(self.next)?;
        self.next += 1;
        let bytes = &self.outputs.bytes[span.start..];
        let (key, bytes) = bytes.split_at(span.key_len as usize);
        let (value, bytes) = bytes.split_at(span.value_len as usize);
        let headers = &bytes[..span.headers_len as usize];
        Some(OutputRecord {
            topic: span.topic,
            key,
            value,
            header_count: span.headers,
            headers,
        })
    }
}

/// Iterator over [`Outputs::state_changes`]: key and value.
#[derive(Debug, Clone)]
pub struct StateChanges<'a> {
    outputs: &'a Outputs,
    next: usize,
}

impl<'a> Iterator for StateChanges<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<(&'a [u8], &'a [u8])> {
        let span = self.outputs.state.get(self.next)?;
        self.next += 1;
        let bytes = &self.outputs.bytes[span.start..];
        let (key, bytes) = bytes.split_at(span.key_len as usize);
        Some((key, &bytes[..span.value_len as usize]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::TraceContext;

    #[test]
    fn outputs_come_back_in_order_and_rewind_drops_only_what_came_after() {
        let mut outputs = Outputs::new(4096);
        outputs.send(TopicId(3), b"k", b"value").unwrap();
        outputs.set_state(b"sum", b"42").unwrap();
        let mark = outputs.mark();
        let headers: [(&str, &[u8]); 2] = [("reason", b"a"), ("reason", b"b")];
        outputs
            .send_with_headers(TopicId(4), b"", b"x", &headers)
            .unwrap();
        outputs.set_state(b"gone", b"1").unwrap();
        let second = outputs.records().nth(1).unwrap();
        assert!(
            second
                .headers()
                .eq([("reason", &b"a"[..]), ("reason", &b"b"[..])])
        );
        outputs.rewind(mark);
        let records: Vec<_> = outputs
            .records()
            .map(|r| (r.topic, r.key, r.value))
            .collect();
        assert_eq!(records, [(TopicId(3), &b"k"[..], &b"value"[..])]);
        assert!(outputs.state_changes().eq([(&b"sum"[..], &b"42"[..])]));
    }

    #[test]
    fn what_a_traced_record_puts_out_has_the_header_once() {
        let header = |text: &str| text.parse::<TraceContext>().unwrap().to_header();
        let ours = header("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
        let mut outputs = Outputs::new(4096);
        outputs.send(TopicId(1), b"k", b"before").unwrap();
        outputs.set_trace(Some(ours));
        outputs.send(TopicId(1), b"k", b"plain").unwrap();
        outputs
            .send_with_headers(TopicId(1), b"k", b"more", &[("unit", b"cent")])
            .unwrap();
        outputs
            .send_with_headers(TopicId(1), b"k", b"own", &[(TRACE_HEADER, b"mine")])
            .unwrap();
        outputs.set_trace(None);
        outputs.send(TopicId(1), b"k", b"after").unwrap();
        let trace = (TRACE_HEADER, ours.as_bytes());
        let expected: [&[(&str, &[u8])]; 5] = [
            &[],
            &[trace],
            &[("unit", b"cent"), trace],
            &[(TRACE_HEADER, b"mine")],
            &[],
        ];
        for (record, expected) in outputs.records().zip(expected) {
            assert!(record.headers().eq(expected.iter().copied()));
            assert_eq!(record.header_count as usize, expected.len());
        }
    }

    #[test]
    fn a_reserved_key_is_refused_and_nothing_is_added() {
        let mut outputs = Outputs::new(1000);
        let refused = outputs.set_state(&[RESERVED_KEY, b'g'], b"1");
        assert_eq!(refused, Err(OutputsRefused::ReservedKey));
        assert!(outputs.is_empty() && !outputs.overflowed());
        outputs.set_state(b"", b"1").unwrap();
        outputs.set_state(b"g\xff", b"1").unwrap();
    }

    #[test]
    fn outputs_beyond_one_group_are_refused_and_change_nothing() {
        let mut outputs = Outputs::new(1000);
        outputs.send(TopicId(0), b"k", &[0; 500]).unwrap();
        assert!(outputs.send(TopicId(0), b"k", &[0; 500]).is_err());
        assert_eq!(outputs.records().count(), 1);
        outputs.clear();
        assert!(outputs.is_empty());
    }
}
