//! The page `/v1/slow`: asked of the cores, so that many who want it cost them as much as one.
//!
//! Owns: the one copy of the page that clients share. Never does: blocking the port's thread.

use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::Mutex;
use tokio::time::sleep;

use super::board::Board;
use super::routes::json;
use crate::clock;
use crate::control::slow::{PATIENCE, ask};

/// How old a page may be that is given to a further client.
const SHARED: Duration = Duration::from_millis(500);

/// How often it is looked whether the cores have answered: a parked one needs some 100 µs.
const LOOK: Duration = Duration::from_millis(1);

/// A page that was made a moment ago.
#[derive(Debug, Default)]
pub(super) struct SharedSlow(Mutex<Option<(Instant, Bytes)>>);

impl SharedSlow {
    /// The page, made anew where it is too old. Whoever comes while it is made waits for it.
    pub async fn get(&self, board: &Board) -> Bytes {
        let mut last = self.0.lock().await;
        match &*last {
            Some((made, page)) if made.elapsed() < SHARED => page.clone(),
            Some(_) | None => {
                let page = Bytes::from(make(board).await);
                *last = Some((Instant::now(), page.clone()));
                page
            }
        }
    }
}

async fn make(board: &Board) -> String {
    let asked_at = Instant::now();
    let mut asked = ask(board);
    while !asked.take() && asked_at.elapsed() < PATIENCE {
        sleep(LOOK).await;
    }
    json(&asked.told(board.shards(), clock::monotonic()))
}
