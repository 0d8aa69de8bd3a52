//! Control's hold on a core.

use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam::queue::ArrayQueue;

use super::http::CoreView;
use crate::engine::command::Command;
use crate::engine::status::CoreStatus;
use crate::engine::trace::TraceReader;
use crate::telemetry::{CounterReader, StageReader};

/// A core, as control holds it.
pub(super) struct CoreHandle {
    pub status: Arc<CoreStatus>,
    pub commands: Arc<ArrayQueue<Command>>,
    pub counters: CounterReader,
    pub stages: StageReader,
    pub traces: TraceReader,
    /// None before the thread is started and after it was waited for.
    pub thread: Option<JoinHandle<()>>,
}

impl CoreHandle {
    /// What the control port may see of it.
    pub fn view(&self) -> CoreView {
        CoreView {
            status: Arc::clone(&self.status),
            counters: self.counters.clone(),
            stages: self.stages.clone(),
        }
    }
}
