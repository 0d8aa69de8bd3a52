//! Whether a node is ready to take transactions, and if not, why.
//!
//! Owns: the reasons; their kinds are an interface. Never does: asking a core.

use serde::Serialize;

use super::board::Board;
use crate::engine::status::Phase;
use crate::ids::CoreId;

/// Why a node is not ready, or not wholly.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Reason {
    /// What kind of reason.
    pub kind: ReasonKind,
    /// The core; none where it is the node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub core: Option<u16>,
    /// In words.
    pub detail: String,
}

/// The kinds of reasons.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum ReasonKind {
    /// The log is recovered, or clusters are asked, or a core is not there yet.
    Starting,
    /// The node stops: what was taken in is finished.
    Draining,
    /// The core has ended.
    Stopped,
    /// The core cannot go on: storage failed, or a handler said stop.
    Failed,
    /// The device of the data directory is full; what does not fit waits.
    DiskFull,
    /// A cluster acknowledges nothing.
    ClusterUnreachable,
}

/// Empty: the node is ready.
pub(super) fn reasons(board: &Board) -> Vec<Reason> {
    let mut reasons = Vec::new();
    if board.running().is_none() {
        reasons.push(Reason {
            kind: ReasonKind::Starting,
            core: None,
            detail: "the cores are not made yet".to_owned(),
        });
    }
    for (core, view) in (0..).zip(board.cores()) {
        let mut add = |kind, detail: String| {
            reasons.push(Reason {
                kind,
                core: Some(core),
                detail,
            });
        };
        let status = &view.status;
        match status.phase() {
            Phase::Starting => add(ReasonKind::Starting, format!("core {core} starts")),
            Phase::Running => {}
            Phase::Draining => add(
                ReasonKind::Draining,
                format!("core {core} takes nothing new: the node stops"),
            ),
            Phase::Stopped => add(ReasonKind::Stopped, format!("core {core} has ended")),
        }
        if let Some(failure) = status.failure() {
            add(ReasonKind::Failed, format!("{}: {failure}", CoreId(core)));
        }
        let load = status.load();
        if load.stripes_without_space > 0 {
            add(
                ReasonKind::DiskFull,
                format!(
                    "{} stripes of core {core} wait for space in the data directory",
                    load.stripes_without_space
                ),
            );
        }
        if load.clusters_unreachable > 0 {
            add(
                ReasonKind::ClusterUnreachable,
                format!(
                    "{} clusters acknowledge nothing to core {core}",
                    load.clusters_unreachable
                ),
            );
        }
    }
    reasons
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::board::{CoreView, Holder, Running, TopicCounts};
    use super::*;
    use crate::control::slow::Recorders;
    use crate::engine::status::{CoreStatus, Load};
    use crate::telemetry::{counters, stages};

    fn kinds(board: &Board) -> Vec<ReasonKind> {
        reasons(board).into_iter().map(|it| it.kind).collect()
    }

    #[test]
    fn every_reason_turns_the_node_red_and_goes_away_with_its_cause() {
        let board = Board::new(Holder::Embedded("data".into()));
        assert_eq!(kinds(&board), [ReasonKind::Starting]);
        let status = Arc::new(CoreStatus::default());
        board.show(Running {
            cores: vec![CoreView {
                status: Arc::clone(&status),
                counters: counters(0).1,
                stages: stages().1,
            }],
            topics: Arc::new(TopicCounts::default()),
            shards: Vec::new(),
            recorders: Recorders::default(),
        });
        assert_eq!(kinds(&board), [ReasonKind::Starting]);
        status.set_phase(Phase::Running);
        assert_eq!(kinds(&board), []);
        status.set_load(Load {
            stripes_without_space: 1,
            clusters_unreachable: 2,
            ..Load::default()
        });
        let both = [ReasonKind::DiskFull, ReasonKind::ClusterUnreachable];
        assert_eq!(kinds(&board), both);
        status.set_load(Load::default());
        assert_eq!(kinds(&board), []);
        status.set_phase(Phase::Draining);
        assert_eq!(kinds(&board), [ReasonKind::Draining]);
        status.set_phase(Phase::Stopped);
        status.fail_once("the disk is gone");
        let ended = [ReasonKind::Stopped, ReasonKind::Failed];
        assert_eq!(kinds(&board), ended);
        let last = reasons(&board).pop().unwrap();
        assert!(last.detail.contains("the disk is gone"), "{last:?}");
    }
}
