//! What a boot does again: the split that was applied before it, and no other.

use std::fs;
use std::process::{Command, Output};

use corelane::cpu::{LAYOUT_PATH, Layout};
use corelane::tuning::change::Reach;
use corelane::tuning::exit::Exit;
use corelane::tuning::host::Facts;
use corelane::tuning::plan::Allow;
use corelane::tuning::revert::{Foreign, Order, revert};
use corelane::tuning::state::{STATE_PATH, State};

use crate::fake_host::FakeHost;
use crate::fake_host::hosts;
use crate::fake_host::programs::Programs;

const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// Runs `corelane tune` on a host; no program of the machine is run for it.
fn tune(fake: &FakeHost, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_corelane"))
        .arg("tune")
        .args(arguments)
        .env("TUNING_ROOT", fake.path())
        .output()
        .expect("the program is built")
}

fn succeeds(fake: &FakeHost, arguments: &[&str]) {
    let ran = tune(fake, arguments);
    let text = String::from_utf8_lossy(&ran.stdout);
    let errors = String::from_utf8_lossy(&ran.stderr);
    assert_eq!(
        ran.status.code(),
        Some(0),
        "{arguments:?}: {text}\n{errors}"
    );
}

/// Another boot begins: what was in `/run` has gone.
fn boot(fake: &FakeHost) {
    fake.put(BOOT_ID, "another boot");
    fake.remove("/run/corelane");
}

fn layout(fake: &FakeHost) -> Layout {
    Layout::read(&fake.plain_sys()).expect("a layout in its place")
}

#[test]
fn a_boot_goes_by_the_split_that_was_applied_however_it_was_asked_for() {
    // By its own command beforehand, or by a file.
    for by_file in [false, true] {
        let fake = hosts::host("metal_8c16t");
        succeeds(
            &fake,
            &["layout", "--write", "--quiet", "--max-shards", "2"],
        );
        if by_file {
            let text = fake.read(LAYOUT_PATH);
            fake.remove("/run/corelane");
            fake.put("/etc/layout.json", &text);
            let path = fake.at("/etc/layout.json");
            // As an operator keeps it: for every boot.
            let mut by_hand: Layout = serde_json::from_str(&text).expect("a layout");
            (by_hand.boot_id, by_hand.hash) = (None, None);
            fs::write(path, by_hand.to_json()).expect("in our folder");
            let arguments = [
                "apply",
                "--only",
                "layout,irq.move",
                "--layout",
                "/etc/layout.json",
            ];
            succeeds(&fake, &arguments);
        } else {
            succeeds(&fake, &["apply", "--only", "layout,irq.move"]);
        }
        let before = layout(&fake);
        assert_eq!(before.shards.len(), 2);
        boot(&fake);
        succeeds(&fake, &["apply", "--from-state"]);
        let boot_id = Some("another boot".to_owned());
        let expected = Layout { boot_id, ..before };
        assert_eq!(layout(&fake), expected, "by file: {by_file}");
    }
}

#[test]
fn a_boot_on_other_cpus_is_refused_and_changes_nothing() {
    let fake = hosts::host("metal_8c16t");
    succeeds(&fake, &["apply", "--only", "layout,irq.move"]);
    boot(&fake);
    fake.put("/sys/devices/system/cpu/online", "0-6,8-15");
    let state = fake.read(STATE_PATH);
    let ran = tune(&fake, &["apply", "--from-state"]);
    assert_eq!(ran.status.code(), Some(i32::from(Exit::Refused.code())));
    let errors = String::from_utf8_lossy(&ran.stderr);
    assert!(errors.contains("applied before does not hold"), "{errors}");
    assert!(errors.contains("nothing was changed"), "{errors}");
    assert!(!fake.at(LAYOUT_PATH).exists());
    assert_eq!(fake.read(STATE_PATH), state);
}

#[test]
fn queues_of_the_network_have_the_interrupts_of_this_boot() {
    let fake = hosts::host("metal_8c16t");
    succeeds(&fake, &["apply", "--only", "layout"]);
    let mut state = State::read(&fake.plain_sys()).expect("just written");
    let queues = layout(&fake).nic_queues;
    assert!(!queues.is_empty());
    // As if the numbers had been others before the boot.
    let kept = state.layout.as_mut().expect("it was applied");
    for queue in &mut kept.nic_queues {
        queue.irq += 1_000;
    }
    state.save(&fake.plain_sys()).expect("in our folder");
    boot(&fake);
    succeeds(&fake, &["apply", "--from-state"]);
    assert_eq!(layout(&fake).nic_queues, queues);
}

#[test]
fn a_layout_that_was_taken_back_does_not_come_again() {
    let fake = hosts::host("metal_8c16t");
    succeeds(
        &fake,
        &["layout", "--write", "--quiet", "--max-shards", "2"],
    );
    succeeds(&fake, &["apply", "--only", "layout,irq.move"]);
    let sys = fake.plain_sys();
    assert!(State::peek(&sys).knobs.contains("layout"));
    let programs = Programs::new(fake.path(), &[]);
    let reach = Reach {
        sys: &sys,
        commands: &programs,
    };
    let boot_id = Facts::read(&sys).boot_id;
    let order = Order {
        boot_id: &boot_id,
        foreign: Foreign::Skip,
        allow: Allow {
            link_reset: false,
            boot: false,
        },
        wants: &|_| true,
    };
    revert(reach, &order, &mut |_| {}).expect("nothing is in the way");
    assert!(!fake.at(STATE_PATH).exists());
}

#[test]
fn a_profile_is_found_again_from_another_folder() {
    let fake = hosts::host("metal_8c16t");
    let own = tempfile::tempdir().expect("a folder for temporary files");
    fs::write(own.path().join("own.toml"), "max_shards = 3\n").expect("in our folder");
    let run = |folder: &str, arguments: &[&str]| {
        let ran = Command::new(env!("CARGO_BIN_EXE_corelane"))
            .current_dir(folder)
            .arg("tune")
            .args(arguments)
            .env("TUNING_ROOT", fake.path())
            .output()
            .expect("the program is built");
        let errors = String::from_utf8_lossy(&ran.stderr);
        assert_eq!(ran.status.code(), Some(0), "{errors}");
    };
    let folder = own.path().to_string_lossy();
    let arguments = ["apply", "--only", "layout", "--profile", "own.toml"];
    run(&folder, &arguments);
    boot(&fake);
    run("/", &["apply", "--from-state"]);
    assert_eq!(layout(&fake).shards.len(), 3);
}
