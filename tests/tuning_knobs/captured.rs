//! A host that was captured, looked at elsewhere.

use std::time::Duration;

use corelane::cpu::HostSys;
use corelane::tuning::capture::{CommandRecorder, Recorder, write};
use corelane::tuning::commands::HostCommands;
use corelane::tuning::host::Host;
use corelane::tuning::knobs::KNOBS;

use crate::fake_host::hosts;
use crate::fake_host::programs::Programs;
use crate::{NICS, parsed};

#[test]
fn a_captured_host_stands_as_it_stood() {
    let fake = hosts::host("metal_8c16t");
    let sys = fake.plain_sys();
    let programs = Programs::new(fake.path(), NICS);
    let (sys, programs) = (Recorder::new(&sys), CommandRecorder::new(&programs));
    let said = |host: &Host<'_>| -> Vec<String> {
        let items = KNOBS.iter().flat_map(|knob| (knob.probe)(host));
        items.map(|item| format!("{item:#?}")).collect()
    };
    let stood = said(&Host::find(&sys, &programs, parsed(""), None).unwrap());
    let mut bytes = Vec::new();
    write(&sys, &programs, &mut bytes).unwrap();
    let copy = tempfile::tempdir().unwrap();
    let mut archive = tar::Archive::new(bytes.as_slice());
    archive.unpack(copy.path()).unwrap();
    let sys = HostSys::new(copy.path());
    let programs = HostCommands::new(copy.path(), Duration::from_secs(60));
    let stands = said(&Host::find(&sys, &programs, parsed(""), None).unwrap());
    assert_eq!(stands, stood);
    // Some of it is known from programs only.
    assert!(stood.iter().any(|item| item.contains("ethtool -C")));
}
