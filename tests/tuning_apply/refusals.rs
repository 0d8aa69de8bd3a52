//! When nothing is changed, and how to go on is said.

use std::fs;

use corelane::tuning::apply::{Order, apply};
use corelane::tuning::check::Selection;
use corelane::tuning::exit::Exit;
use corelane::tuning::plan::Allow;
use corelane::tuning::revert::Foreign;
use corelane::tuning::state::{Lock, STATE_PATH};

use crate::fake_host::kernel::Answers;
use crate::rig::{ALLOWED, CATALOGUE, Rig};

/// The words of a refused apply, which has changed nothing.
fn refused(rig: &Rig) -> String {
    let before = rig.snapshot();
    let error = rig.try_apply(ALLOWED).expect_err("it has to be refused");
    assert_eq!(error.exit(), Exit::Refused);
    assert_eq!(rig.snapshot(), before);
    error.to_string()
}

#[test]
fn a_damaged_state_file_is_kept_and_nothing_is_changed() {
    for text in ["{\"schema\": 1, \"entries\": [", "{}", "", "\u{0}\u{0}"] {
        let rig = Rig::new(Answers::Kernel);
        rig.fake.put(STATE_PATH, text);
        let error = refused(&rig);
        for part in [STATE_PATH, ".damaged", "repair it", "remove it"] {
            assert!(error.contains(part), "{error}");
        }
        assert_eq!(rig.fake.read(STATE_PATH), text);
        assert_eq!(rig.fake.read(&format!("{STATE_PATH}.damaged")), text);
        let error = rig
            .try_revert(Foreign::Skip)
            .expect_err("it has to be refused");
        assert_eq!(error.exit(), Exit::Refused);
        // A check does without it, and makes no copy.
        fs::remove_file(rig.fake.at(&format!("{STATE_PATH}.damaged"))).unwrap();
        assert!(rig.check().summary().must > 0);
        assert!(!rig.fake.at(&format!("{STATE_PATH}.damaged")).exists());
    }
}

#[test]
fn a_state_of_a_later_version_is_refused() {
    let rig = Rig::new(Answers::Kernel);
    rig.apply(ALLOWED);
    let text = rig
        .fake
        .read(STATE_PATH)
        .replace("\"schema\": 1", "\"schema\": 2");
    rig.fake.put(STATE_PATH, &text);
    let error = rig
        .try_revert(Foreign::Skip)
        .expect_err("it has to be refused");
    assert!(error.to_string().contains("schema 2; known: 1"), "{error}");
}

#[test]
fn one_command_at_a_time_changes_a_host() {
    let rig = Rig::new(Answers::Kernel);
    let lock = Lock::take(&rig.sys).unwrap();
    assert!(refused(&rig).contains("another corelane tune"));
    let error = rig
        .try_revert(Foreign::Skip)
        .expect_err("it has to be refused");
    assert_eq!(error.exit(), Exit::Refused);
    drop(lock);
    rig.apply(ALLOWED);
}

#[test]
fn in_a_container_nothing_is_changed() {
    let rig = Rig::new(Answers::Kernel);
    rig.fake.put(
        "/proc/self/mounts",
        "overlay / overlay rw 0 0\nsysfs /sys sysfs rw 0 0\nsysfs /sys sysfs ro,nosuid 0 0",
    );
    let error = refused(&rig);
    assert!(error.contains("/sys is mounted read-only"), "{error}");
    assert!(error.contains("container"), "{error}");
}

#[test]
fn beside_an_engine_nothing_is_changed() {
    let rig = Rig::new(Answers::Kernel);
    for pid in [4000, 4001] {
        rig.fake.put(&format!("/proc/{pid}/comm"), "corelane");
    }
    rig.fake
        .put("/proc/4000/cmdline", "/usr/bin/corelane\0tune\0check\0");
    rig.fake.put(
        "/proc/4001/cmdline",
        "/usr/bin/corelane\0serve\0--config\0a.toml\0",
    );
    let error = refused(&rig);
    assert!(error.contains("process 4001"), "{error}");
}

#[test]
fn beside_a_program_that_runs_a_node_in_itself_nothing_is_changed() {
    let rig = Rig::new(Answers::Kernel);
    rig.fake.put("/proc/4002/comm", "embedding");
    rig.fake.put("/proc/4002/task/4002/comm", "embedding");
    rig.fake.put("/proc/4002/task/4003/comm", "core-0");
    let error = refused(&rig);
    assert!(error.contains("embedding, process 4002"), "{error}");
}

#[test]
fn where_another_tuner_is_at_work_nothing_is_changed() {
    let rig = Rig::new(Answers::Kernel);
    rig.fake.put("/proc/900/comm", "tuned");
    let error = refused(&rig);
    assert!(error.contains("tuned.service is at work"), "{error}");
    assert!(
        error.contains("systemctl disable --now tuned.service"),
        "{error}"
    );
}

#[test]
fn a_host_without_a_layout_is_changed_only_in_what_is_named() {
    let rig = Rig::new(Answers::Kernel);
    rig.fake.put("/sys/devices/system/cpu/online", "0-2");
    let mut host = rig.host();
    let why = host.layout.clone().expect_err("three cores are too few");
    let order = Order {
        catalogue: CATALOGUE,
        selection: &Selection::default(),
        allow: ALLOWED,
    };
    let error = apply(&mut host, &order, &mut |_| {}).expect_err("nothing is named");
    assert_eq!(error.exit(), Exit::Refused);
    assert!(error.to_string().contains(&why), "{error}");
    assert!(error.to_string().contains("--only"), "{error}");
    assert_eq!(rig.sys.changes(), 0);
    // What is named is done; the rig names all.
    assert!(!rig.apply(Allow::default()).lines.is_empty());
}

#[test]
fn nothing_is_taken_back_beside_an_engine_or_in_a_container() {
    for (path, text) in [
        ("/proc/4001/cmdline", "/usr/bin/corelane\0serve\0"),
        ("/proc/self/mounts", "sysfs /sys sysfs ro,nosuid 0 0"),
    ] {
        let rig = Rig::new(Answers::Kernel);
        rig.apply(ALLOWED);
        rig.fake.put("/proc/4001/comm", "corelane");
        rig.fake.put(path, text);
        let before = rig.snapshot();
        let error = rig
            .try_revert(Foreign::Skip)
            .expect_err("it has to be refused");
        assert_eq!(error.exit(), Exit::Refused, "{path}");
        assert_eq!(rig.snapshot(), before, "{path}");
    }
}

#[test]
fn what_disturbs_is_taken_back_only_when_allowed() {
    let rig = Rig::new(Answers::Kernel);
    let before = rig.snapshot();
    rig.apply(ALLOWED);
    let reverted = rig
        .try_revert_with(Foreign::Skip, Allow::default())
        .expect("nothing is in the way");
    assert_eq!(reverted.exit(), Exit::Partial);
    let held = reverted.lines.iter().filter(|line| !line.undone.is_fine());
    let said: Vec<String> = held.map(|line| line.to_string()).collect();
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said[0].contains("--allow-link-reset"), "{said:?}");
    assert!(said[1].contains("--allow-boot"), "{said:?}");
    rig.revert(Foreign::Skip);
    assert_eq!(rig.snapshot(), before);
}
