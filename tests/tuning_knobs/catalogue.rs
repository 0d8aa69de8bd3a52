//! The catalogue as a whole: every row is there, explains itself, and acts or says why it cannot;
//! the documents and examples that are made from it.
//!
//! `UPDATE=1 cargo test --test tuning_knobs` writes what these tests compare.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use corelane::tuning::host::Host;
use corelane::tuning::item::{Action, Group, Persist, Status};
use corelane::tuning::knobs::{
    KNOBS, LIMITS_DROP_IN, boot_drop_in, limits_drop_in, sysctl_drop_in, udev_drop_in,
};

use crate::fake_host::hosts;
use crate::fake_host::programs::Programs;
use crate::{NICS, is_unmet, parsed};

/// Rows of the table that the catalogue is made from.
const ROWS: u8 = 42;

/// The host that examples are made for.
const REFERENCE: &str = "metal_8c16t";

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Compares a file of the repository with what the code says, or writes it.
pub fn golden(path: &str, wanted: &str) {
    let file = repository(path);
    if std::env::var_os("UPDATE").is_some() {
        let folder = file.parent().expect("a file of the repository");
        fs::create_dir_all(folder).expect("the folder can be made");
        fs::write(&file, wanted).expect("the file can be written");
        return;
    }
    let there = fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(
        there, wanted,
        "{path} is not what the code says; UPDATE=1 cargo test --test tuning_knobs writes it"
    );
}

#[test]
fn every_row_is_there_once_and_explains_itself() {
    let rows: BTreeSet<u8> = KNOBS
        .iter()
        .map(|knob| knob.row)
        .filter(|row| *row > 0)
        .collect();
    assert_eq!(rows, (1..=ROWS).collect());
    let ids: BTreeSet<&str> = KNOBS.iter().map(|knob| knob.id).collect();
    assert_eq!(ids.len(), KNOBS.len());
    for knob in KNOBS {
        for text in [knob.why, knob.risk, knob.measured, knob.undone] {
            assert!(
                text.len() >= 3 && !text.contains('|'),
                "{}: {text:?}",
                knob.id
            );
        }
    }
}

#[test]
fn what_must_or_should_be_set_acts_or_says_why_it_cannot() {
    for (name, fake) in hosts::all() {
        let sys = fake.plain_sys();
        let programs = Programs::new(fake.path(), NICS);
        let host = Host::find(&sys, &programs, parsed(""), None).unwrap();
        for knob in KNOBS {
            let items = (knob.probe)(&host);
            assert!(!items.is_empty(), "{name}: {} says nothing", knob.id);
            for item in items {
                assert_eq!((item.id, item.group), (knob.id, knob.group));
                let is_explained = item.hint.is_some() || item.error.is_some();
                let needs_words = match item.status {
                    Status::Drift | Status::Missing => item.actions.is_empty(),
                    Status::Ok => false,
                    Status::Unreadable
                    | Status::Unmanageable
                    | Status::NotApplicable
                    | Status::RebootPending => true,
                };
                assert!(is_explained || !needs_words, "{name}: {item:#?}");
                // What is fine is left alone, and what is only reported too.
                if !is_unmet(&item) || knob.group == Group::R {
                    assert!(item.actions.is_empty(), "{name}: {item:#?}");
                }
            }
        }
    }
}

#[test]
fn every_action_leads_to_somewhere_else_and_back() {
    for (name, fake) in hosts::all() {
        let sys = fake.plain_sys();
        let programs = Programs::new(fake.path(), NICS);
        let host = Host::find(&sys, &programs, parsed(""), None).unwrap();
        for action in KNOBS
            .iter()
            .flat_map(|knob| (knob.probe)(&host))
            .flat_map(|i| i.actions)
        {
            assert_ne!(action.before(), Some(action.after()), "{name}: {action:?}");
            if let Action::Run { revert, verify, .. } = &action {
                assert!(!revert.is_empty(), "{name}: {action:?}");
                let is_asked = verify.is_some() || action.place().starts_with("ethtool -X");
                assert!(is_asked, "{name}: {action:?}");
            }
        }
    }
}

fn keeps(persist: Persist) -> &'static str {
    match persist {
        Persist::Boot => "boot drop-in",
        Persist::Sysctl => "sysctl drop-in",
        Persist::Unit => "service",
        Persist::Udev => "udev rule",
        Persist::App => "engine",
        Persist::None => "-",
    }
}

#[test]
fn the_readme_has_a_row_per_knob() {
    const START: &str = "<!-- knobs: made from the catalogue; UPDATE=1 writes it -->\n";
    const END: &str = "<!-- end of knobs -->\n";
    let mut table = String::from(
        "| knob | group | why | risk | how measured | how undone | kept by |\n\
         |---|---|---|---|---|---|---|\n",
    );
    for knob in KNOBS {
        table.push_str(&format!(
            "| `{}` | {:?} | {} | {} | {} | {} | {} |\n",
            knob.id,
            knob.group,
            knob.why,
            knob.risk,
            knob.measured,
            knob.undone,
            keeps(knob.persist)
        ));
    }
    let path = "tuning/README.md";
    let text = fs::read_to_string(repository(path)).unwrap();
    let (head, rest) = text.split_once(START).expect("the start of the table");
    let (_, tail) = rest.split_once(END).expect("the end of the table");
    golden(path, &format!("{head}{START}{table}{END}{tail}"));
}

#[test]
fn the_examples_are_what_is_written_for_the_reference_host() {
    let fake = hosts::host(REFERENCE);
    let sys = fake.plain_sys();
    let programs = Programs::new(fake.path(), NICS);
    let host = Host::find(&sys, &programs, parsed(""), None).unwrap();
    golden("tuning/grub.d/60-corelane.cfg", &boot_drop_in(&host));
    golden("tuning/sysctl.d/90-corelane.conf", &sysctl_drop_in(&host));
    golden("tuning/udev/60-corelane.rules", &udev_drop_in(&host));
    let limits = Path::new(LIMITS_DROP_IN)
        .file_name()
        .unwrap()
        .to_string_lossy();
    golden(
        &format!("tuning/systemd/corelane.service.d/{limits}"),
        &limits_drop_in(),
    );
}
