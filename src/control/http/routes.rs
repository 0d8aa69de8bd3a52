//! Which path gives which page.
//!
//! Owns: content types and status codes, and the one copy of each page that clients share. Never does:
//! what stands in the pages.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use bytes::Bytes;
use serde::Serialize;

use super::board::Board;
use super::metrics::{Exporter, classic};
use super::page::LivePage;
use super::ready::{Reason, reasons};
use super::samples::Samples;
use super::slow::SharedSlow;
use super::status::status;

/// As OpenMetrics 1.0 says.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// As Prometheus has had it before.
const CLASSIC: &str = "text/plain; version=0.0.4; charset=utf-8";
const JSON: &str = "application/json";
const TEXT: &str = "text/plain; charset=utf-8";
const HTML: &str = "text/html; charset=utf-8";

/// How old a page may be that is given to a further client: many who ask at once cost as much as one.
const SHARED: Duration = Duration::from_millis(100);

const PATHS: &str = "/, /metrics, /healthz, /readyz, /v1/status, /v1/slow\n";

/// The pages of the node on this board.
pub(super) fn router(board: Arc<Board>, samples: Arc<Samples>) -> Router {
    let pages = Arc::new(Pages {
        exporter: Exporter::new(Arc::clone(&board)),
        board,
        samples,
        metrics: Shared::default(),
        classic: Shared::default(),
        status: Shared::default(),
        slow: SharedSlow::default(),
        live: LivePage::new(),
    });
    Router::new()
        .route("/", get(live))
        .route("/metrics", get(metrics))
        .route(
            "/healthz",
            get(async || answer(StatusCode::OK, TEXT, "ok\n")),
        )
        .route("/readyz", get(readyz))
        .route("/v1/status", get(v1_status))
        .route("/v1/slow", get(v1_slow))
        .fallback(async || answer(StatusCode::NOT_FOUND, TEXT, PATHS))
        .with_state(pages)
}

struct Pages {
    board: Arc<Board>,
    samples: Arc<Samples>,
    exporter: Exporter,
    metrics: Shared,
    classic: Shared,
    status: Shared,
    slow: SharedSlow,
    live: LivePage,
}

/// A page that was made a moment ago.
#[derive(Default)]
struct Shared(Mutex<Option<(Instant, Bytes)>>);

impl Shared {
    /// The page, made anew where it is too old.
    fn get(&self, make: impl FnOnce() -> String) -> Bytes {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &*last {
            Some((made, page)) if made.elapsed() < SHARED => page.clone(),
            Some(_) | None => {
                let page = Bytes::from(make());
                *last = Some((Instant::now(), page.clone()));
                page
            }
        }
    }
}

async fn live(State(pages): State<Arc<Pages>>) -> Response {
    let mut page = answer(StatusCode::OK, HTML, pages.live.body.clone());
    let policy = HeaderValue::from_str(&pages.live.policy).expect("made of ASCII");
    let headers = page.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    headers.insert(
        header::REFERRER_POLICY,
        HeaderValue::from_static("no-referrer"),
    );
    page
}

/// Whoever accepts plain text and not OpenMetrics gets plain text.
async fn metrics(State(pages): State<Arc<Pages>>, headers: HeaderMap) -> Response {
    let page = pages.metrics.get(|| pages.exporter.page());
    let accepted = headers.get(header::ACCEPT).and_then(|it| it.to_str().ok());
    let accepted = accepted.unwrap_or_default();
    if accepted.contains("text/plain") && !accepted.contains("application/openmetrics-text") {
        let page = pages
            .classic
            .get(|| classic(&String::from_utf8_lossy(&page)));
        return answer(StatusCode::OK, CLASSIC, page);
    }
    answer(StatusCode::OK, OPEN_METRICS, page)
}

async fn v1_status(State(pages): State<Arc<Pages>>) -> Response {
    let page = pages
        .status
        .get(|| json(&status(&pages.board, &pages.samples)));
    answer(StatusCode::OK, JSON, page)
}

async fn v1_slow(State(pages): State<Arc<Pages>>) -> Response {
    let page = pages.slow.get(&pages.board).await;
    answer(StatusCode::OK, JSON, page)
}

/// What `/readyz` says.
#[derive(Serialize)]
struct Readiness {
    ready: bool,
    reasons: Vec<Reason>,
}

async fn readyz(State(pages): State<Arc<Pages>>) -> Response {
    let reasons = reasons(&pages.board);
    let ready = reasons.is_empty();
    let code = match ready {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    };
    answer(code, JSON, json(&Readiness { ready, reasons }))
}

pub(super) fn json(page: &impl Serialize) -> String {
    serde_json::to_string(page).expect("numbers, strings and names always serialize") + "\n"
}

/// One answer to a connection: whoever asks again comes again, so that slots are free in between.
fn answer(code: StatusCode, content: &'static str, body: impl Into<Bytes>) -> Response {
    let headers = [
        (header::CONTENT_TYPE, content),
        (header::CACHE_CONTROL, "no-store"),
        (header::CONNECTION, "close"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (code, headers, body.into()).into_response()
}
