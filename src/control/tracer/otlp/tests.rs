//! A collector of this process: what reaches it, and what becomes of spans without one.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::mpsc::channel;

use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;

use super::*;
use crate::control::tracer::span::About;
use crate::ids::{Acks, CoreId, Offset, PartitionIndex, ShardId};

/// What it was sent, with the kind of content; `answer` is what it says.
fn collector(answer: (StatusCode, &'static str)) -> (SocketAddr, Receiver<(String, Value)>) {
    let (to, requests) = channel();
    let to = Arc::new(Mutex::new(to));
    let take = move |headers: HeaderMap, body: String| {
        let kind = headers["content-type"].to_str().unwrap().to_owned();
        let body = serde_json::from_str(&body).unwrap();
        to.lock().unwrap().send((kind, body)).unwrap();
        async move { answer }
    };
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    listener.set_nonblocking(true).unwrap();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            let router = Router::new().route("/v1/traces", post(take));
            axum::serve(listener, router).await.unwrap();
        });
    });
    (address, requests)
}

fn exporter(address: SocketAddr) -> (Exporter, Arc<Counts>) {
    let counts = Arc::new(Counts::default());
    let url = format!("http://{address}/v1/traces");
    (Exporter::spawn(url, Arc::clone(&counts)).unwrap(), counts)
}

fn leg() -> Span {
    let now = clock::monotonic();
    Span {
        trace_id: 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c,
        id: 0x1f,
        parent: 0xb7ad_6b71_6920_3331,
        name: "send_transaction",
        start: Nanos(now.0.saturating_sub(1_500_000)),
        end: now,
        about: Some(About {
            leg: Leg::Send,
            shard: ShardId(4),
            partition: PartitionIndex(2),
            offset: Offset(1000),
            core: CoreId(1),
            acks: Some(Acks::All),
        }),
    }
}

fn stage() -> Span {
    Span {
        id: 0x20,
        parent: 0x1f,
        name: "append",
        about: None,
        ..leg()
    }
}

#[test]
fn a_collector_gets_spans_as_the_protocol_writes_them() {
    let (address, requests) = collector((StatusCode::OK, "{}"));
    let (exporter, counts) = exporter(address);
    exporter.send(vec![leg(), stage()]);
    drop(exporter);
    let (kind, body) = requests.try_recv().expect("sent before the exporter ended");
    assert_eq!(kind, "application/json");
    let resource = &body["resourceSpans"][0];
    let service = &resource["resource"]["attributes"][0];
    assert_eq!(service["key"], "service.name");
    assert_eq!(service["value"]["stringValue"], "corelane");
    let spans = &resource["scopeSpans"][0]["spans"];
    let leg = &spans[0];
    assert_eq!(leg["traceId"], "0af7651916cd43dd8448eb211c80319c");
    assert_eq!(leg["spanId"], "000000000000001f");
    assert_eq!(leg["parentSpanId"], "b7ad6b7169203331");
    assert_eq!(
        (&leg["name"], &leg["kind"]),
        (&json!("send_transaction"), &json!(2))
    );
    let nanos = |field: &str| leg[field].as_str().unwrap().parse::<i128>().unwrap();
    let (start, end) = (nanos("startTimeUnixNano"), nanos("endTimeUnixNano"));
    assert_eq!(end - start, 1_500_000);
    let wall = i128::from(clock::wall().0) * 1000;
    assert!((wall - end).abs() < 60_000_000_000, "by the wall clock");
    let offset = json!({ "key": "corelane.offset", "value": { "intValue": "1000" } });
    assert!(leg["attributes"].as_array().unwrap().contains(&offset));
    assert_eq!(spans[1]["parentSpanId"], leg["spanId"]);
    assert_eq!(spans[1]["name"], "append");
    assert_eq!((counts.sent(), counts.dropped()), (2, 0));
}

#[test]
fn what_a_collector_refuses_or_takes_in_part_is_counted() {
    let cases = [
        (
            StatusCode::OK,
            r#"{"partialSuccess":{"rejectedSpans":"1"}}"#,
            (1, 1),
        ),
        (
            StatusCode::OK,
            r#"{"partialSuccess":{"rejectedSpans":2}}"#,
            (0, 2),
        ),
        (StatusCode::OK, "", (2, 0)),
        (StatusCode::SERVICE_UNAVAILABLE, "", (0, 2)),
    ];
    for (status, text, expected) in cases {
        let (address, _requests) = collector((status, text));
        let (exporter, counts) = exporter(address);
        exporter.send(vec![leg(), stage()]);
        drop(exporter);
        assert_eq!(
            (counts.sent(), counts.dropped()),
            expected,
            "{status} {text}"
        );
    }
}

/// A listener that never answers holds the sender up; whoever hands spans over is not.
#[test]
fn a_collector_that_is_away_costs_spans_that_are_counted() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (exporter, counts) = exporter(silent.local_addr().unwrap());
    let batches = 4 * BATCHES_MAX as u64;
    let start = Instant::now();
    for _ in 0..batches {
        exporter.send(vec![leg()]);
    }
    assert!(start.elapsed() < PATIENCE, "nobody waited for an answer");
    assert!(counts.dropped() > 0, "what does not fit is dropped at once");
    drop(exporter);
    assert_eq!((counts.sent(), counts.dropped()), (0, batches));
}
