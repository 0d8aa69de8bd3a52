//! `plan --script` does what `apply` does.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::time::Duration;

use corelane::tuning::apply::{Order, apply};
use corelane::tuning::check::check_knobs;
use corelane::tuning::commands::HostCommands;
use corelane::tuning::plan::Plan;
use corelane::tuning::script::script;

use crate::fake_host::kernel::Answers;
use crate::rig::{ALLOWED, CATALOGUE, Rig, everything, snapshot};

/// Programs that note with which words they were called; the thread's mover does it, too.
const STUBS: [(&str, &str); 4] = [
    (
        "systemctl",
        "#!/bin/sh\necho \"systemctl $*\" >>\"$TUNING_ROOT/calls\"\n",
    ),
    (
        "ethtool",
        "#!/bin/sh\necho \"ethtool $*\" >>\"$TUNING_ROOT/calls\"\n",
    ),
    (
        "update-grub",
        "#!/bin/sh\necho \"update-grub $*\" >>\"$TUNING_ROOT/calls\"\n",
    ),
    (
        "taskset",
        "#!/bin/sh\nprintf 'Name:\\tkswapd0\\nCpus_allowed_list:\\t%s\\n' \"$2\" \
         >\"$TUNING_ROOT/proc/$3/status\"\n",
    ),
];

fn host_with_stubs() -> Rig {
    let rig = Rig::new(Answers::Plain);
    for (name, text) in STUBS {
        let path = rig.fake.at(&format!("/usr/sbin/{name}"));
        fs::create_dir_all(path.parent().expect("below the root")).expect("in our folder");
        fs::write(&path, text).expect("in our folder");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("in our folder");
    }
    rig
}

fn script_of(rig: &Rig) -> String {
    let report = check_knobs(&rig.host(), &everything(), CATALOGUE);
    script(&Plan::of(&report, ALLOWED).expect("in our folder"))
}

/// Runs a script against a host in a folder; its exit code and what it complained about.
fn run(shell: &str, rig: &Rig, script: &str) -> (Option<i32>, String) {
    let ran = Command::new(shell)
        .args(["-c", script])
        .env("TUNING_ROOT", rig.fake.path())
        .output()
        .expect("in our folder");
    (
        ran.status.code(),
        String::from_utf8(ran.stderr).expect("in our folder"),
    )
}

#[test]
fn a_script_leaves_the_host_as_apply_does() {
    let applied = host_with_stubs();
    let text = script_of(&applied);
    let commands = HostCommands::new(applied.fake.path(), Duration::from_secs(60));
    let mut host = applied.host();
    host.commands = &commands;
    let selection = everything();
    let order = Order {
        catalogue: CATALOGUE,
        selection: &selection,
        allow: ALLOWED,
    };
    // The stubs tell nothing, so what was run is not seen to hold.
    let report = check_knobs(&applied.host(), &selection, CATALOGUE);
    let steps = Plan::of(&report, ALLOWED).unwrap().steps.len();
    for shell in ["dash", "bash"] {
        let scripted = host_with_stubs();
        let (code, complaints) = run(shell, &scripted, &text);
        assert_eq!((code, complaints.as_str()), (Some(5), ""), "{shell}");
        if shell == "dash" {
            let done = apply(&mut host, &order, &mut |_| {}).expect("nothing is in the way");
            assert_eq!(done.lines.len(), steps);
        }
        let mut own = snapshot(applied.fake.path(), Answers::Plain);
        let mut theirs = snapshot(scripted.fake.path(), Answers::Plain);
        let changes = |calls: Option<String>| -> Vec<String> {
            let calls = calls.expect("programs were run");
            let asks = |line: &&str| line.contains("is-active") || line.contains("-l eth0");
            calls
                .lines()
                .filter(|line| !asks(line))
                .map(str::to_owned)
                .collect()
        };
        assert_eq!(
            changes(own.remove("calls")),
            changes(theirs.remove("calls"))
        );
        assert_eq!(own, theirs, "{shell}");
    }
}

#[test]
fn a_script_leaves_files_that_are_there_alone() {
    let rig = host_with_stubs();
    let text = script_of(&rig);
    rig.fake.put("/etc/sysctl.d/90-t.conf", "# somebody's");
    let (code, complaints) = run("dash", &rig, &text);
    assert_eq!(code, Some(4));
    assert!(complaints.contains("failed: t.file: "), "{complaints}");
    assert_eq!(rig.fake.read("/etc/sysctl.d/90-t.conf"), "# somebody's");
}

#[test]
fn a_script_goes_on_after_a_failure_and_says_so() {
    let rig = host_with_stubs();
    let text = script_of(&rig);
    fs::remove_file(rig.fake.at("/proc/sys/vm/swappiness")).unwrap();
    fs::remove_file(rig.fake.at("/usr/sbin/ethtool")).unwrap();
    let (code, complaints) = run("dash", &rig, &text);
    assert_eq!(code, Some(4));
    for part in [
        "failed: t.value: /proc/sys/vm/swappiness",
        "failed: t.link: ethtool -L eth0",
    ] {
        assert!(complaints.contains(part), "{complaints}");
    }
    assert_eq!(rig.fake.read("/proc/irq/25/smp_affinity_list"), "0,1");
    assert!(!rig.fake.at("/proc/sys/vm/swappiness").exists());
}

#[test]
fn shellcheck_finds_nothing_in_a_script() {
    let rig = host_with_stubs();
    let path = rig.fake.at("/plan.sh");
    fs::write(&path, script_of(&rig)).unwrap();
    let Ok(ran) = Command::new("shellcheck")
        .args(["-s", "sh"])
        .arg(&path)
        .output()
    else {
        eprintln!("shellcheck is not installed");
        return;
    };
    assert!(
        ran.status.success(),
        "{}",
        String::from_utf8_lossy(&ran.stdout)
    );
}
