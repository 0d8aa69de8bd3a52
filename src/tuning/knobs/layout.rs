//! The layout itself: the file that every other row and the engine read.

use crate::cpu::{LAYOUT_PATH, Layout};
use crate::tuning::host::Host;
use crate::tuning::item::{Action, Group, Item, Persist, Status};

use super::Knob;
use super::draft::{Draft, not_applicable, whole};

/// One split of the CPUs, for the tool and for the engine.
pub const LAYOUT: Knob = Knob {
    id: "layout",
    row: 1,
    group: Group::A,
    why: "every other row follows from one split of the CPUs; two that disagree are worse than none",
    risk: "none",
    measured: "tune audit: threads where the layout has them",
    undone: "the file is removed; it ends with the boot in any case",
    persist: Persist::Unit,
    probe: layout,
};

fn layout(host: &Host<'_>) -> Vec<Item> {
    let wanted = match &host.layout {
        Ok(wanted) => wanted,
        Err(why) => return not_applicable(host, &LAYOUT, &format!("no layout: {why}")),
    };
    let mut draft = Draft::new(host, &LAYOUT);
    draft.path(LAYOUT_PATH);
    let boot_id = &host.facts.boot_id;
    let stamped = Layout {
        boot_id: Some(boot_id.clone()),
        ..wanted.clone()
    };
    let (status, current) = match Layout::read_current(host.sys, LAYOUT_PATH, &host.topology) {
        // One that was written by hand has no boot of its own, and counts in every one.
        Ok(there) => {
            let there = Layout {
                boot_id: Some(boot_id.clone()),
                ..there
            };
            if there == stamped {
                (Status::Ok, "current".to_owned())
            } else {
                (Status::Drift, "another split".to_owned())
            }
        }
        Err(error) if error.is_missing() => (Status::Missing, "none".to_owned()),
        Err(error) => {
            draft.error(error.to_string());
            (Status::Drift, "does not hold".to_owned())
        }
    };
    draft.say(
        "",
        &current,
        &format!("{} shards on {}", wanted.shards.len(), wanted.shard_cpus()),
    );
    draft.found(status);
    if status != Status::Ok {
        draft.act(Action::DropIn {
            path: LAYOUT_PATH.to_owned(),
            before: whole(host, LAYOUT_PATH),
            after: stamped.to_json(),
            reload: None,
        });
    }
    draft.items()
}
