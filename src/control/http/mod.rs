//! The control port: metrics, health and status of a running node over HTTP.
//!
//! Owns: one thread with a runtime of its own, its sockets and their bounds. Never does: anything that a
//! core waits for: it reads counters, latencies and [`crate::engine::status::CoreStatus`] beside them,
//! and asks for one thing only, the slowest transactions. Runs on: a housekeeping thread.
//!
//! | path | what |
//! |---|---|
//! | `/metrics` | everything of [`crate::telemetry::families`], OpenMetrics text |
//! | `/healthz` | 200 while the process lives |
//! | `/readyz` | 200, or 503 with the reasons |
//! | `/v1/status` | the same figures for programs, as JSON |
//! | `/v1/slow` | the slowest transactions of the last minutes, as JSON ([`super::slow`]) |
//! | `/` | the same figures for people, live in a browser ([`page`]) |

mod board;
mod figures;
mod listener;
mod metrics;
mod page;
mod ready;
mod routes;
mod samples;
mod slow;
mod status;

use std::future::IntoFuture as _;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;

use futures_lite::FutureExt as _;
use tokio::sync::oneshot;

use super::error::StartError;
use listener::Bounded;
use samples::Samples;

pub(super) use board::{Addresses, Board, CoreView, Holder, Running, ShardView, TopicCounts};

/// The control port. Dropping it ends its thread; what is being answered is cut off.
#[derive(Debug)]
pub(super) struct Http {
    address: SocketAddr,
    /// Dropped to stop.
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Http {
    /// Listens at `address` and answers from `board` until it is dropped. The thread inherits the
    /// caller's CPU mask, which must be that of housekeeping.
    ///
    /// # Errors
    /// The address is taken or not there.
    pub fn spawn(address: SocketAddr, board: Arc<Board>) -> Result<Http, StartError> {
        let refused = |error: std::io::Error| StartError::Control {
            address,
            reason: error.to_string(),
        };
        let listener = TcpListener::bind(address).map_err(refused)?;
        listener.set_nonblocking(true).map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()
            .map_err(refused)?;
        let (stop, stopped) = oneshot::channel::<()>();
        let serve = async move {
            let listener = match Bounded::new(listener) {
                Ok(listener) => listener,
                Err(error) => return tracing::error!(%error, "the control port does not answer"),
            };
            let samples = Arc::new(Samples::default());
            tokio::spawn(sample(Arc::clone(&board), Arc::clone(&samples)));
            let serving = axum::serve(listener, routes::router(board, samples)).into_future();
            let stopped = async {
                // Both mean the same: its owner is gone.
                let _ = stopped.await;
                Ok(())
            };
            if let Err(error) = stopped.or(serving).await {
                tracing::error!(%error, "the control port no longer answers");
            }
        };
        let thread = std::thread::Builder::new()
            .name("control-http".to_owned())
            .spawn(move || runtime.block_on(serve))
            .map_err(refused)?;
        Ok(Http {
            address,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Takes samples until the runtime ends.
async fn sample(board: Arc<Board>, samples: Arc<Samples>) {
    let mut ticks = tokio::time::interval(samples::EVERY);
    // After a halt of the host a burst of samples would say nothing.
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        samples.take(&board);
    }
}

impl Drop for Http {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic was printed when it happened, and only cost its own answer.
            let _ = thread.join();
        }
    }
}
