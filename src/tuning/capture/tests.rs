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
