use std::os::unix::fs::symlink;

use super::*;
use crate::cpu::HostSys;

/// Programs of which none is installed.
struct NoCommands;

impl Commands for NoCommands {
    fn run(&self, program: &str, _: &[&str]) -> Result<Ran, CommandError> {
        Err(CommandError::Missing(program.to_owned()))
    }
}

fn host() -> (tempfile::TempDir, HostSys) {
    let folder = tempfile::tempdir().unwrap();
    let put = |path: &str, text: &str| {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    put("sys/devices/pci0/net/eth0/mtu", "1500\n");
    put("sys/devices/pci0/net/eth0/address", "secret\n");
    put("proc/version", "6.18\n");
    put("etc/shadow", "secret\n");
    fs::create_dir_all(folder.path().join("sys/class/net")).unwrap();
    let link = folder.path().join("sys/class/net/eth0");
    symlink("../../devices/pci0/net/eth0", link).unwrap();
    let sys = HostSys::new(folder.path());
    (folder, sys)
}

fn unpacked(
    recorder: &Recorder<'_>,
    commands: &CommandRecorder<'_>,
) -> (tempfile::TempDir, Captured) {
    let mut bytes = Vec::new();
    let captured = write(recorder, commands, &mut bytes).unwrap();
    let copy = tempfile::tempdir().unwrap();
    tar::Archive::new(bytes.as_slice())
        .unpack(copy.path())
        .unwrap();
    (copy, captured)
}

#[test]
fn what_was_asked_for_is_there_and_nothing_else() {
    let (_folder, sys) = host();
    let recorder = Recorder::new(&sys);
    recorder.read("/sys/class/net/eth0/mtu").unwrap();
    recorder.list("/sys/class/net").unwrap();
    recorder.list("/sys/class/net/eth0").unwrap();
    assert!(recorder.read("/proc/absent").is_err());
    assert!(recorder.exists("/proc/version"));
    let none = NoCommands;
    let (copy, captured) = unpacked(&recorder, &CommandRecorder::new(&none));
    let copy = HostSys::new(copy.path());
    assert_eq!(copy.read("/sys/class/net/eth0/mtu").unwrap(), "1500");
    assert_eq!(
        copy.canonical("/sys/class/net/eth0").unwrap(),
        "/sys/devices/pci0/net/eth0"
    );
    assert_eq!(
        copy.list("/sys/class/net/eth0").unwrap(),
        ["address", "mtu"]
    );
    assert_eq!(copy.read("/sys/class/net/eth0/address").unwrap(), "");
    assert!(copy.exists("/proc/version"));
    assert!(!copy.exists("/etc/shadow"));
    assert!(!copy.exists("/proc/absent"));
    // The link's file, and what programs said.
    assert_eq!((captured.files, captured.links), (2, 1));
}

#[test]
fn a_file_that_cannot_be_read_keeps_its_error() {
    // A process's own memory at address 0 cannot be read by anybody, root included.
    let real = HostSys::new("/");
    let recorder = Recorder::new(&real);
    let error = recorder.read("/proc/self/mem").unwrap_err();
    let none = NoCommands;
    let (copy, captured) = unpacked(&recorder, &CommandRecorder::new(&none));
    let copy = HostSys::new(copy.path());
    assert_eq!(copy.read("/proc/self/mem").unwrap_err(), error);
    assert_eq!(captured.unreadable, 1);
}

#[test]
fn what_programs_said_is_kept_once() {
    let (_folder, sys) = host();
    let recorder = Recorder::new(&sys);
    let none = NoCommands;
    let commands = CommandRecorder::new(&none);
    for _ in 0..2 {
        assert!(commands.run("ethtool", &["-l", "eth0"]).is_err());
    }
    let (copy, _) = unpacked(&recorder, &commands);
    let text = HostSys::new(copy.path()).read(COMMANDS_FILE).unwrap();
    let calls: Vec<Call> = serde_json::from_str(&text).unwrap();
    assert_eq!(calls.len(), 1);
    assert_eq!(calls[0].command, ["ethtool", "-l", "eth0"]);
    assert!(!calls[0].ran);
    assert_eq!(calls[0].errors, "ethtool is not installed");
}

/// Arguments and environments hold passwords; a capture is made to be given away.
#[test]
fn arguments_of_processes_stay_on_the_host() {
    let (folder, sys) = host();
    let put = |path: &str, text: &str| {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    for (pid, comm, line) in [
        ("1", "mysqld", "/usr/bin/mysqld\0--password=hidden\0"),
        ("2", "kthreadd", ""),
        (
            "3",
            "corelane",
            "/usr/bin/corelane\0serve\0--secret=hidden\0",
        ),
        ("4", "postgres", "postgres: hidden\0\0"),
        ("1/task/9", "helper", "/usr/bin/mysqld\0--password=hidden\0"),
    ] {
        put(&format!("proc/{pid}/comm"), &format!("{comm}\n"));
        put(&format!("proc/{pid}/cmdline"), line);
        put(&format!("proc/{pid}/environ"), "KEY=hidden\0");
    }
    put("proc/cmdline", "quiet isolcpus=2\n");
    let recorder = Recorder::new(&sys);
    let pids = ["1", "2", "3", "4", "1/task/9"];
    for pid in pids {
        // Whoever reads them.
        for file in ["cmdline", "environ"] {
            recorder.read(&format!("/proc/{pid}/{file}")).unwrap();
        }
    }
    recorder.read("/proc/cmdline").unwrap();
    let none = NoCommands;
    let mut bytes = Vec::new();
    write(&recorder, &CommandRecorder::new(&none), &mut bytes).unwrap();
    assert!(!String::from_utf8_lossy(&bytes).contains("hidden"));
    let (copy, _) = unpacked(&recorder, &CommandRecorder::new(&none));
    let copy = HostSys::new(copy.path());
    let lines = pids.map(|pid| copy.read(&format!("/proc/{pid}/cmdline")).unwrap());
    // Threads of the kernel and engines are told apart as before.
    let kept = [
        "mysqld\0",
        "",
        "/usr/bin/corelane\0serve\0",
        "postgres\0",
        "helper\0",
    ];
    assert_eq!(lines, kept);
    assert_eq!(copy.read("/proc/cmdline").unwrap(), "quiet isolcpus=2");
}
