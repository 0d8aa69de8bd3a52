//! Changing a host and changing it back: what is written, what is written down, and what is left
//! alone. With files that take anything, and with a model of how a kernel answers.

#[path = "tuning_apply/boot.rs"]
mod boot;
#[path = "tuning_apply/catalogue.rs"]
mod catalogue;
#[path = "support/fake_host/mod.rs"]
mod fake_host;
#[path = "tuning_apply/refusals.rs"]
mod refusals;
#[path = "tuning_apply/rig.rs"]
mod rig;
#[path = "tuning_apply/script.rs"]
mod script;
#[path = "tuning_apply/shared.rs"]
mod shared;

use std::panic::{AssertUnwindSafe, catch_unwind};

use corelane::tuning::apply::Done;
use corelane::tuning::exit::Exit;
use corelane::tuning::plan::Allow;
use corelane::tuning::revert::{Foreign, Undone};
use corelane::tuning::state::{Outcome, STATE_PATH, State};
use fake_host::kernel::{Answers, EIO, EROFS};
use rig::{ALLOWED, Rig};

const BOTH: [Answers; 2] = [Answers::Plain, Answers::Kernel];

#[test]
fn what_was_applied_is_as_wanted_and_a_second_time_nothing_is_written() {
    for answers in BOTH {
        let rig = Rig::new(answers);
        assert_eq!(rig.apply(ALLOWED).exit(), Exit::Reboot);
        let summary = rig.check().summary();
        assert_eq!((summary.must, summary.should), (0, 0), "{:#?}", rig.check());
        let (changes, commands) = (rig.sys.changes(), rig.programs.changes().len());
        let again = rig.apply(ALLOWED);
        assert_eq!(again.exit(), Exit::Ok);
        assert!(again.lines.is_empty(), "{:?}", again.lines);
        assert_eq!(rig.sys.changes(), changes, "a second apply wrote");
        assert_eq!(rig.programs.changes().len(), commands);
    }
}

#[test]
fn what_disturbs_is_done_only_when_allowed_and_links_come_last() {
    let rig = Rig::new(Answers::Kernel);
    let applied = rig.apply(Allow::default());
    assert_eq!(applied.exit(), Exit::Ok);
    let withheld: Vec<_> = applied.withheld.iter().map(|step| step.id).collect();
    assert_eq!(withheld, ["t.boot", "t.link"]);
    assert!(!rig.fake.at("/etc/default/grub.d/60-t.cfg").exists());
    let applied = rig.apply(ALLOWED);
    let ids: Vec<_> = applied.lines.iter().map(|line| line.step.id).collect();
    assert_eq!(ids, ["t.boot", "t.link"]);
}

#[test]
fn revert_restores_byte_for_byte() {
    for answers in BOTH {
        let rig = Rig::new(answers);
        let before = rig.snapshot();
        rig.apply(ALLOWED);
        assert_ne!(rig.snapshot(), before);
        let reverted = rig.revert(Foreign::Skip);
        // A file for the boot was taken away.
        assert_eq!(reverted.exit(), Exit::Reboot, "{:#?}", reverted.lines);
        assert_eq!(rig.snapshot(), before);
        assert!(!rig.fake.at(STATE_PATH).exists());
        assert_eq!(rig.revert(Foreign::Skip).exit(), Exit::Ok);
    }
}

#[test]
fn changes_are_taken_back_in_reverse() {
    let rig = Rig::new(Answers::Kernel);
    let applied = rig.apply(ALLOWED);
    let places = applied.lines.iter().map(|line| line.step.action.place());
    let mut places: Vec<String> = places.collect();
    places.reverse();
    let reverted = rig.revert(Foreign::Skip);
    let undone: Vec<_> = reverted
        .lines
        .iter()
        .map(|line| line.entry.path.clone())
        .collect();
    assert_eq!(undone, places);
}

#[test]
fn a_crash_after_any_change_leaves_nothing_that_revert_does_not_restore() {
    for answers in BOTH {
        let mut crashes = 0;
        loop {
            let rig = Rig::new(answers);
            let before = rig.snapshot();
            rig.sys.crash_after(crashes);
            let ended = catch_unwind(AssertUnwindSafe(|| rig.apply(ALLOWED)));
            if ended.is_ok() {
                break;
            }
            let after_crash = rig.restarted();
            after_crash.revert(Foreign::Skip);
            assert_eq!(
                after_crash.snapshot(),
                before,
                "{answers:?}, crash {crashes}"
            );
            crashes += 1;
        }
        // Changes of files, and savings of the state; some changes are commands.
        assert!(crashes > 9, "{crashes}");
    }
}

#[test]
fn a_crash_while_reverting_leaves_the_rest_to_the_next_revert() {
    let mut crashes = 0;
    loop {
        let rig = Rig::new(Answers::Kernel);
        let before = rig.snapshot();
        rig.apply(ALLOWED);
        rig.sys.crash_after(crashes);
        let ended = catch_unwind(AssertUnwindSafe(|| rig.revert(Foreign::Skip)));
        if ended.is_ok() {
            break;
        }
        let after_crash = rig.restarted();
        after_crash.revert(Foreign::Skip);
        assert_eq!(after_crash.snapshot(), before, "crash {crashes}");
        crashes += 1;
    }
    assert!(crashes > 9, "{crashes}");
}

#[test]
fn the_first_value_is_never_overwritten() {
    for answers in BOTH {
        let rig = Rig::new(answers);
        rig.apply(ALLOWED);
        rig.fake.put("/proc/sys/vm/swappiness", "30");
        rig.apply(ALLOWED);
        let state = State::read(&rig.sys).unwrap();
        let entry = state
            .entries
            .iter()
            .find(|entry| entry.id == "t.value")
            .unwrap();
        assert_eq!(entry.before.as_deref(), Some("30"));
        assert_eq!(entry.first_before.as_deref(), Some("60"));
        rig.revert(Foreign::Skip);
        assert_eq!(rig.fake.read("/proc/sys/vm/swappiness"), "60");
    }
}

#[test]
fn what_somebody_else_changed_since_is_left_alone_unless_forced() {
    for answers in BOTH {
        let rig = Rig::new(answers);
        let before = rig.snapshot();
        rig.apply(ALLOWED);
        rig.fake.put("/proc/sys/vm/swappiness", "30");
        rig.fake
            .put("/etc/sysctl.d/90-t.conf", "vm.swappiness = 30");
        let reverted = rig.revert(Foreign::Skip);
        assert_eq!(reverted.exit(), Exit::Partial);
        let foreign =
            |line: &&corelane::tuning::revert::Line| matches!(line.undone, Undone::Foreign(_));
        let left: Vec<_> = reverted.lines.iter().filter(foreign).collect();
        assert_eq!(left.len(), 2, "{left:#?}");
        assert_eq!(rig.fake.read("/proc/sys/vm/swappiness"), "30");
        assert_eq!(
            rig.fake.read("/etc/sysctl.d/90-t.conf"),
            "vm.swappiness = 30"
        );
        rig.revert(Foreign::Overwrite);
        assert_eq!(rig.snapshot(), before);
    }
}

#[test]
fn a_file_of_somebody_else_is_not_overwritten() {
    let rig = Rig::new(Answers::Kernel);
    rig.fake.put("/etc/sysctl.d/90-t.conf", "by hand");
    let applied = rig.apply(ALLOWED);
    assert_eq!(applied.exit(), Exit::Partial);
    let line = applied
        .lines
        .iter()
        .find(|line| line.step.id == "t.file")
        .unwrap();
    assert_eq!(line.done, Done::Foreign);
    assert_eq!(rig.fake.read("/etc/sysctl.d/90-t.conf"), "by hand");
    rig.revert(Foreign::Overwrite);
    assert_eq!(rig.fake.read("/etc/sysctl.d/90-t.conf"), "by hand");
}

#[test]
fn a_value_that_does_not_stick_and_a_file_that_cannot_be_written_are_named() {
    for answers in BOTH {
        let rig = Rig::new(answers);
        let before = rig.snapshot();
        rig.sys.stuck("/proc/sys/vm/swappiness");
        rig.sys
            .refuse("/sys/kernel/mm/transparent_hugepage/enabled", EROFS);
        let applied = rig.apply(ALLOWED);
        assert_eq!(applied.exit(), Exit::Partial);
        let done = |id: &str| {
            let line = applied.lines.iter().find(|line| line.step.id == id);
            line.unwrap().done.clone()
        };
        assert_eq!(done("t.value"), Done::NotHeld("60".to_owned()));
        assert!(matches!(done("t.select"), Done::Denied(_)));
        assert_eq!(applied.denied(), ["t.select"]);
        // The others were made all the same.
        assert_eq!(done("t.mask"), Done::Applied);
        rig.revert(Foreign::Skip);
        assert_eq!(rig.snapshot(), before);
    }
}

#[test]
fn a_managed_interrupt_is_no_failure_and_is_not_tried_again() {
    for answers in BOTH {
        let rig = Rig::new(answers);
        rig.sys.refuse("/proc/irq/24/smp_affinity_list", EIO);
        let applied = rig.apply(ALLOWED);
        assert_eq!(applied.exit(), Exit::Reboot, "{:#?}", applied.lines);
        let state = State::read(&rig.sys).unwrap();
        let is_managed = |outcome| outcome == Outcome::Unmanageable;
        let managed = state
            .entries
            .iter()
            .filter(|entry| is_managed(entry.outcome));
        assert_eq!(managed.count(), 1);
        assert_eq!(rig.check().summary().must, 0, "{:#?}", rig.check());
        let changes = rig.sys.changes();
        assert_eq!(rig.apply(ALLOWED).exit(), Exit::Ok);
        assert_eq!(rig.sys.changes(), changes);
    }
}

#[test]
fn a_boot_voids_values_of_the_kernel_and_not_files() {
    let rig = Rig::new(Answers::Kernel);
    rig.apply(ALLOWED);
    rig.reboot();
    // As after a boot: somebody's value, which happens to be the one that we had set.
    rig.fake.put("/proc/sys/vm/swappiness", "1");
    let reverted = rig.revert(Foreign::Skip);
    let undone = |id: &str| {
        let line = reverted.lines.iter().find(|line| line.entry.id == id);
        line.unwrap().undone.clone()
    };
    assert_eq!(undone("t.value"), Undone::Nothing);
    assert_eq!(undone("t.file"), Undone::Reverted);
    assert_eq!(rig.fake.read("/proc/sys/vm/swappiness"), "1");
    assert!(!rig.fake.at("/etc/sysctl.d/90-t.conf").exists());
}

#[test]
fn knobs_stay_known_over_a_boot_and_the_new_first_value_counts() {
    let rig = Rig::new(Answers::Kernel);
    rig.apply(ALLOWED);
    rig.reboot();
    rig.fake.put("/proc/sys/vm/swappiness", "45");
    let state = State::read(&rig.sys).unwrap();
    assert!(state.knobs.contains("t.value"));
    assert!(state.link_reset);
    rig.apply(ALLOWED);
    rig.revert(Foreign::Skip);
    assert_eq!(rig.fake.read("/proc/sys/vm/swappiness"), "45");
}
