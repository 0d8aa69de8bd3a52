//! How a host stands: every chosen knob's items, and what they come to.
//!
//! Owns: which knobs are looked at, their order, the summary and its exit code. Never does: looking
//! (that is each knob's probe), changing anything. Runs on: the main thread of a command.

use std::collections::BTreeMap;

use serde::Serialize;

use super::exit::Exit;
use super::host::Host;
use super::item::{Group, Item, Status};
use super::knobs::{KNOBS, Knob};

/// Which knobs are looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    only: Vec<Name>,
    skip: Vec<Name>,
}

/// A knob or a group of them, as it is named by `--only` and `--skip`.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Name {
    Id(&'static str),
    Group(Group),
}

/// A name that is no knob's and no group's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown knob {name}; known: the groups A, B, C, R, and {known}")]
pub struct UnknownKnob {
    /// As it was given.
    pub name: String,
    /// Those that there are.
    pub known: String,
}

/// From which level on an unmet knob is a failure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FailOn {
    /// A must only.
    Must,
    /// A should too.
    #[default]
    Should,
    /// None is.
    Never,
}

/// How a host stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Sorted by id, and by what they are about.
    pub items: Vec<Item>,
}

/// How many items stand how.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// By status, in the order of [`Status`]; those that occur.
    #[serde(flatten)]
    pub counts: BTreeMap<Status, usize>,
    /// Of those that are not as wanted: must.
    pub must: usize,
    /// Of those that are not as wanted: should.
    pub should: usize,
}

impl Selection {
    /// Of knobs in `catalogue`: those that `only` names (all, where it is empty) but those that
    /// `skip` names.
    ///
    /// # Errors
    /// A name is no knob's and no group's.
    pub fn parse(
        only: &[String],
        skip: &[String],
        catalogue: &[Knob],
    ) -> Result<Selection, UnknownKnob> {
        let names = |names: &[String]| -> Result<Vec<Name>, UnknownKnob> {
            let parsed = names.iter().map(|name| Name::parse(name, catalogue));
            parsed.collect()
        };
        Ok(Selection {
            only: names(only)?,
            skip: names(skip)?,
        })
    }

    /// Exactly these knobs.
    pub fn of(ids: Vec<&'static str>) -> Selection {
        Selection {
            only: ids.into_iter().map(Name::Id).collect(),
            skip: Vec::new(),
        }
    }

    /// Whether knobs or groups are named, and not all that the profile sets are meant.
    pub fn is_explicit(&self) -> bool {
        !self.only.is_empty()
    }

    /// Whether a knob of this name is meant, whatever the profile says.
    pub fn names(&self, id: &str, catalogue: &[Knob]) -> bool {
        let named = |names: &[Name], knob: &Knob| names.iter().any(|name| name.is(knob));
        match catalogue.iter().find(|knob| knob.id == id) {
            Some(knob) => {
                !named(&self.skip, knob) && (self.only.is_empty() || named(&self.only, knob))
            }
            // Of an older version: meant where all are.
            None => self.only.is_empty(),
        }
    }

    /// Whether a knob is looked at: because it is named, else because the host's profile sets its
    /// group. What is only reported, and what only acts where the profile asks for it by a key of its
    /// own, is always looked at.
    pub fn takes(&self, knob: &Knob, host: &Host<'_>) -> bool {
        let named = |names: &[Name]| names.iter().any(|name| name.is(knob));
        if named(&self.skip) {
            return false;
        }
        if !self.only.is_empty() {
            return named(&self.only);
        }
        let profile = &host.profile;
        let is_set = match knob.group {
            Group::A | Group::B => profile.sets(knob.group),
            Group::C | Group::R => true,
        };
        is_set && !profile.skip.iter().any(|id| id == knob.id)
    }
}

impl Name {
    fn parse(name: &str, catalogue: &[Knob]) -> Result<Name, UnknownKnob> {
        let group = match name {
            "A" => Some(Group::A),
            "B" => Some(Group::B),
            "C" => Some(Group::C),
            "R" => Some(Group::R),
            _ => None,
        };
        let knob = || catalogue.iter().find(|knob| knob.id == name);
        group
            .map(Name::Group)
            .or_else(|| knob().map(|knob| Name::Id(knob.id)))
            .ok_or_else(|| UnknownKnob {
                name: name.to_owned(),
                known: ids(catalogue).join(", "),
            })
    }

    fn is(&self, knob: &Knob) -> bool {
        match self {
            Name::Id(id) => *id == knob.id,
            Name::Group(group) => *group == knob.group,
        }
    }
}

/// The names of the knobs of a catalogue, each once, sorted.
pub fn ids(catalogue: &[Knob]) -> Vec<&'static str> {
    let mut ids: Vec<_> = catalogue.iter().map(|knob| knob.id).collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

/// How the host stands in the chosen knobs of the catalogue.
pub fn check(host: &Host<'_>, selection: &Selection) -> Report {
    check_knobs(host, selection, KNOBS)
}

/// The same for a catalogue of one's own.
pub fn check_knobs(host: &Host<'_>, selection: &Selection, catalogue: &[Knob]) -> Report {
    let mut items = Vec::new();
    for knob in catalogue.iter().filter(|knob| selection.takes(knob, host)) {
        items.extend((knob.probe)(host));
    }
    for item in &mut items {
        leave_out_unmanageable(item, host);
    }
    // Stable, so that what one knob says stays in the order in which it says it.
    items.sort_by_key(|item| item.id);
    Report { items }
}

/// Takes out what the kernel has refused in this boot because it keeps the value to itself, which
/// nothing but trying tells. An item of which nothing else is left is unmanageable, not unmet.
fn leave_out_unmanageable(item: &mut Item, host: &Host<'_>) {
    let count = item.actions.len();
    item.actions
        .retain(|action| !host.unmanageable.contains(&action.place()));
    let left_out = count - item.actions.len();
    if left_out > 0 && item.actions.is_empty() {
        item.status = Status::Unmanageable;
        let hint = "the kernel refused to have it changed, and places it itself";
        item.hint = Some(hint.to_owned());
    }
}

impl Report {
    /// What the items come to.
    pub fn summary(&self) -> Summary {
        let mut summary = Summary::default();
        for item in &self.items {
            *summary.counts.entry(item.status).or_default() += 1;
            if item.status.is_unmet() {
                match item.group {
                    Group::A => summary.must += 1,
                    Group::B | Group::C => summary.should += 1,
                    Group::R => {}
                }
            }
        }
        summary
    }
}

impl Summary {
    /// How `check` ends.
    pub fn exit(&self, fail_on: FailOn) -> Exit {
        let fails_on_must = fail_on != FailOn::Never;
        if self.must > 0 && fails_on_must {
            Exit::Must
        } else if self.should > 0 && fail_on == FailOn::Should {
            Exit::Should
        } else if self.counts.contains_key(&Status::RebootPending) && fails_on_must {
            Exit::Reboot
        } else {
            Exit::Ok
        }
    }
}
