//! Spans to a collector: OTLP over HTTP, in the JSON form of its protocol.
//!
//! Owns: the thread that sends, and the spans that wait for it. Never does: keep who hands spans over;
//! try a batch again, since what a trace misses is worth less than what waits behind it. A collector
//! that is away costs spans, which are counted. Runs on: a housekeeping thread.

#[cfg(test)]
mod tests;

use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::{Value, json};
use ureq::Agent;

use super::Counts;
use super::span::Span;
use crate::clock;
use crate::ids::Nanos;
use crate::telemetry::Leg;

/// Batches of spans that wait, at the most.
const BATCHES_MAX: usize = 64;

/// Spans of one request, at the most.
const REQUEST_SPANS_MAX: usize = 2048;

/// How long a collector may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long what waits may take at the end.
const FAREWELL: Duration = Duration::from_secs(3);

/// The line to a collector. Ends when dropped, with what could be sent by then.
#[derive(Debug)]
pub(super) struct Exporter {
    queue: Option<SyncSender<Vec<Span>>>,
    thread: Option<JoinHandle<()>>,
    counts: Arc<Counts>,
    /// Until when the last spans may take, once it is being dropped.
    ends: Arc<OnceLock<Instant>>,
}

impl Counts {
    fn send_spans(&self, count: u64) {
        self.sent.fetch_add(count, Ordering::Relaxed);
    }

    fn drop_spans(&self, count: u64) {
        self.dropped.fetch_add(count, Ordering::Relaxed);
    }
}

/// What a collector may answer beside *taken*.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Answer {
    partial_success: Option<PartialSuccess>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PartialSuccess {
    /// The protocol writes 64-bit numbers as text; not every collector does.
    rejected_spans: Value,
}

impl Exporter {
    /// Sends to `url`. The thread runs where the calling one does.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn spawn(url: String, counts: Arc<Counts>) -> std::io::Result<Exporter> {
        let (queue, batches) = sync_channel(BATCHES_MAX);
        let ends = Arc::new(OnceLock::new());
        let sender = Sender::new(url, Arc::clone(&counts), Arc::clone(&ends));
        let thread = std::thread::Builder::new()
            .name("trace-otlp".to_owned())
            .spawn(move || sender.run(&batches))?;
        Ok(Exporter {
            queue: Some(queue),
            thread: Some(thread),
            counts,
            ends,
        })
    }

    /// Hands spans over; where too many wait, they are dropped.
    pub fn send(&self, spans: Vec<Span>) {
        let count = spans.len();
        let queue = self.queue.as_ref().expect("taken only when dropped");
        if queue.try_send(spans).is_err() {
            self.counts.drop_spans(count as u64);
        }
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        let _ = self.ends.set(Instant::now() + FAREWELL);
        drop(self.queue.take());
        if let Some(thread) = self.thread.take() {
            // It ends by itself within `FAREWELL` and one `PATIENCE`; a panic was printed.
            let _ = thread.join();
        }
    }
}

struct Sender {
    agent: Agent,
    url: String,
    counts: Arc<Counts>,
    /// Whether the last request failed: one line for an outage.
    is_away: bool,
    ends: Arc<OnceLock<Instant>>,
}

impl Sender {
    fn new(url: String, counts: Arc<Counts>, ends: Arc<OnceLock<Instant>>) -> Sender {
        let config = Agent::config_builder()
            .timeout_global(Some(PATIENCE))
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .build();
        Sender {
            agent: config.new_agent(),
            url,
            counts,
            is_away: false,
            ends,
        }
    }

    fn run(mut self, batches: &Receiver<Vec<Span>>) {
        while let Ok(mut spans) = batches.recv() {
            while spans.len() < REQUEST_SPANS_MAX {
                let Ok(more) = batches.try_recv() else {
                    break;
                };
                spans.extend(more);
            }
            if self.ends.get().is_some_and(|end| Instant::now() > *end) {
                self.counts.drop_spans(spans.len() as u64);
            } else {
                self.deliver(&spans);
            }
        }
    }

    fn deliver(&mut self, spans: &[Span]) {
        let count = spans.len() as u64;
        match self.post(spans) {
            Ok(rejected) => {
                let rejected = rejected.min(count);
                self.counts.send_spans(count - rejected);
                self.counts.drop_spans(rejected);
                self.is_away = false;
            }
            Err(reason) => {
                self.counts.drop_spans(count);
                if !std::mem::replace(&mut self.is_away, true) {
                    tracing::warn!(url = self.url, reason, "the collector takes no spans");
                }
            }
        }
    }

    /// One request. Returns how many spans the collector did not want.
    fn post(&self, spans: &[Span]) -> Result<u64, String> {
        let body = request(spans).to_string();
        let mut answer = self
            .agent
            .post(&self.url)
            .content_type("application/json")
            .send(body)
            .map_err(|error| error.to_string())?;
        if !answer.status().is_success() {
            return Err(format!("it answers {}", answer.status()));
        }
        // An empty or unreadable answer of success is one.
        let text = answer.body_mut().read_to_string().unwrap_or_default();
        let answer: Answer = serde_json::from_str(&text).unwrap_or_default();
        let rejected = answer.partial_success.unwrap_or_default().rejected_spans;
        let text = rejected.as_str().and_then(|text| text.parse().ok());
        Ok(rejected.as_u64().or(text).unwrap_or(0))
    }
}

/// The spans as the protocol's JSON: ids in hexadecimal, 64-bit numbers as text.
fn request(spans: &[Span]) -> Value {
    // The wall clock is only looked at to show when it was.
    let (mono, wall) = (clock::monotonic(), clock::wall());
    let at = |moment: Nanos| {
        let ago = i128::from(mono.0) - i128::from(moment.0);
        (i128::from(wall.0) * 1000 - ago).to_string()
    };
    let spans: Vec<Value> = spans.iter().map(|span| one(span, at)).collect();
    json!({
        "resourceSpans": [{
            "resource": { "attributes": [text("service.name", "corelane")] },
            "scopeSpans": [{
                "scope": { "name": "corelane", "version": env!("CARGO_PKG_VERSION") },
                "spans": spans,
            }],
        }],
    })
}

fn one(span: &Span, at: impl Fn(Nanos) -> String) -> Value {
    /// The protocol's numbers of what a span is.
    const INTERNAL: u32 = 1;
    const CONSUMER: u32 = 5;
    const SERVER: u32 = 2;
    let kind = match span.about.map(|about| about.leg) {
        None => INTERNAL,
        Some(Leg::Send | Leg::Slow) => SERVER,
        Some(Leg::Process) => CONSUMER,
    };
    let mut attributes: Vec<Value> = span.about.map_or_else(Vec::new, |about| {
        vec![
            number("corelane.shard", about.shard.0.into()),
            number("corelane.partition", about.partition.0.into()),
            number("corelane.offset", about.offset.0),
            number("corelane.core", about.core.0.into()),
        ]
    });
    let acks = span.about.and_then(|about| about.acks);
    attributes.extend(acks.map(|acks| text("corelane.acks", &acks.to_string())));
    let parent = match span.parent {
        0 => String::new(),
        parent => format!("{parent:016x}"),
    };
    json!({
        "traceId": format!("{:032x}", span.trace_id),
        "spanId": format!("{:016x}", span.id),
        "parentSpanId": parent,
        "name": span.name,
        "kind": kind,
        "startTimeUnixNano": at(span.start),
        "endTimeUnixNano": at(span.end),
        "attributes": attributes,
    })
}

fn number(key: &str, value: i64) -> Value {
    json!({ "key": key, "value": { "intValue": value.to_string() } })
}

fn text(key: &str, value: &str) -> Value {
    json!({ "key": key, "value": { "stringValue": value } })
}
