//! What would be done to the host, in the order in which it would be done.
//!
//! Owns: order, and what needs a word from the operator first. Never does: doing it. Runs on: the main
//! thread of a command.

use serde::Serialize;

use super::check::Report;
use super::exit::Exit;
use super::item::{Action, Disruption};

/// What the operator allows besides what disturbs nobody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Allow {
    /// `--allow-link-reset`: network links may go down for seconds.
    pub link_reset: bool,
    /// `--allow-boot`: the next boot may be changed.
    pub boot: bool,
}

/// One change that would be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    /// The knob.
    pub id: &'static str,
    /// The change.
    pub action: Action,
    /// What it may break.
    pub disruptive: Disruption,
    /// Whether it counts only after a boot.
    pub reboot: bool,
}

/// What would be done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// In order.
    pub steps: Vec<Step>,
    /// What needs a word from the operator first.
    pub withheld: Vec<Step>,
}

/// Why there is no plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// Two knobs want the same place otherwise. A mistake in the catalogue.
    #[error("{first} and {second} want {place} otherwise; leave one out with --skip")]
    Conflict {
        /// Which place.
        place: String,
        /// One knob.
        first: &'static str,
        /// The other.
        second: &'static str,
    },
}

impl Allow {
    /// Whether a change that may break this is allowed.
    pub fn allows(self, disruption: Disruption) -> bool {
        match disruption {
            Disruption::None => true,
            Disruption::LinkReset => self.link_reset,
            Disruption::Boot => self.boot,
        }
    }
}

impl Disruption {
    /// The option that allows it; none where nothing has to.
    pub fn option(self) -> Option<&'static str> {
        match self {
            Disruption::None => None,
            Disruption::LinkReset => Some("--allow-link-reset"),
            Disruption::Boot => Some("--allow-boot"),
        }
    }

    /// What disturbs more comes later: a link that is reset may cut the operator off, so everything
    /// else is done by then.
    fn rank(self) -> u8 {
        match self {
            Disruption::None => 0,
            Disruption::Boot => 1,
            Disruption::LinkReset => 2,
        }
    }
}

impl Plan {
    /// What has to be done where a report says that the host is not as wanted. A place that several
    /// knobs want the same way is set once.
    ///
    /// # Errors
    /// Knobs contradict each other.
    pub fn of(report: &Report, allow: Allow) -> Result<Plan, PlanError> {
        let mut steps: Vec<Step> = Vec::new();
        for item in report.items.iter().filter(|item| item.status.is_unmet()) {
            for action in &item.actions {
                let place = action.place();
                let known = steps.iter().find(|step| step.action.place() == place);
                if let Some(known) = known {
                    if known.action.after() != action.after() {
                        return Err(PlanError::Conflict {
                            place,
                            first: known.id,
                            second: item.id,
                        });
                    }
                    continue;
                }
                steps.push(Step {
                    id: item.id,
                    action: action.clone(),
                    disruptive: item.disruptive,
                    reboot: item.reboot,
                });
            }
        }
        // Stable: within a rank as the report has them.
        steps.sort_by_key(|step| step.disruptive.rank());
        let (steps, withheld) = steps
            .into_iter()
            .partition(|step| allow.allows(step.disruptive));
        Ok(Plan { steps, withheld })
    }

    /// How `plan` ends.
    pub fn exit(&self) -> Exit {
        if self.steps.is_empty() && self.withheld.is_empty() {
            Exit::Ok
        } else {
            Exit::Must
        }
    }
}
