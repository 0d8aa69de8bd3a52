//! A few harmless knobs of the machine that the tests run on: set by the same code as everywhere,
//! read again, and taken back.

use std::path::Path;

use corelane::cpu::{HostSys, Sys, SysError};
use corelane::tuning::apply::{Done, Order, apply};
use corelane::tuning::check::Selection;
use corelane::tuning::host::Host;
use corelane::tuning::knobs::KNOBS;
use corelane::tuning::plan::Allow;
use corelane::tuning::revert::{Foreign, Order as RevertOrder, Undone, revert};

use crate::fake_host::hosts;
use crate::fake_host::programs::Programs;
use crate::{NICS, parsed};

/// Values that harm nobody for a second: how often counters are folded, and where timers go. With
/// what the kernel starts with, and what the knob wants.
const HARMLESS: &[(&str, &str, &str, &str)] = &[
    ("vm.stat", "/proc/sys/vm/stat_interval", "1", "10"),
    (
        "timer.migrate",
        "/proc/sys/kernel/timer_migration",
        "1",
        "0",
    ),
];

/// A host that is not there but for the harmless values, which are this machine's. So the state of
/// what was changed is not this machine's, and nothing else of it can be touched.
struct Grafted {
    fake: HostSys,
    real: HostSys,
}

impl Grafted {
    fn of(&self, path: &str) -> &HostSys {
        let is_real = HARMLESS.iter().any(|(_, harmless, ..)| *harmless == path);
        if is_real { &self.real } else { &self.fake }
    }
}

impl Sys for Grafted {
    fn root(&self) -> &Path {
        self.fake.root()
    }

    fn read(&self, path: &str) -> Result<String, SysError> {
        self.of(path).read(path)
    }

    fn write(&self, path: &str, value: &str) -> Result<(), SysError> {
        self.of(path).write(path, value)
    }

    fn list(&self, path: &str) -> Result<Vec<String>, SysError> {
        self.fake.list(path)
    }

    fn canonical(&self, path: &str) -> Result<String, SysError> {
        self.fake.canonical(path)
    }

    fn exists(&self, path: &str) -> bool {
        self.of(path).exists(path)
    }

    fn put_file(&self, path: &str, contents: &str, mode: u32) -> Result<(), SysError> {
        self.fake.put_file(path, contents, mode)
    }

    fn remove_file(&self, path: &str) -> Result<(), SysError> {
        self.fake.remove_file(path)
    }
}

/// Puts values back when it goes, also when a test fails.
struct Restore {
    sys: HostSys,
    values: Vec<(&'static str, String)>,
}

impl Drop for Restore {
    fn drop(&mut self) {
        for (path, value) in &self.values {
            if let Err(error) = self.sys.write(path, value) {
                eprintln!("{path} was {value} and could not be put back: {error}");
            }
        }
    }
}

/// Brings the values to where the kernel starts, to be put back later. None where this machine does
/// not let us.
fn start(sys: &HostSys) -> Result<Restore, SysError> {
    let mut restore = Restore {
        sys: sys.clone(),
        values: Vec::new(),
    };
    for (_, path, start, _) in HARMLESS {
        restore.values.push((path, sys.read(path)?));
        sys.write(path, start)?;
    }
    Ok(restore)
}

#[test]
fn a_real_kernel_takes_what_is_applied_and_gets_back_what_it_had() {
    let real = HostSys::new("/");
    let _restore = match start(&real) {
        Ok(restore) => restore,
        Err(error) => {
            eprintln!("skipped: {error}");
            return;
        }
    };
    let fake = hosts::host("vm_2");
    let sys = Grafted {
        fake: fake.plain_sys(),
        real: real.clone(),
    };
    let programs = Programs::new(fake.path(), NICS);
    let mut host = Host::find(&sys, &programs, parsed(""), None).unwrap();
    let selection = Selection::of(HARMLESS.iter().map(|(id, ..)| *id).collect());
    let order = Order {
        catalogue: KNOBS,
        selection: &selection,
        allow: Allow::default(),
    };
    let applied = apply(&mut host, &order, &mut |_| {}).unwrap();
    assert_eq!(applied.lines.len(), HARMLESS.len());
    assert!(
        applied.lines.iter().all(|line| line.done == Done::Applied),
        "{applied:?}"
    );
    for (_, path, _, wanted) in HARMLESS {
        assert_eq!(real.read(path).unwrap(), *wanted, "{path}");
    }
    let again = apply(&mut host, &order, &mut |_| {}).unwrap();
    assert!(again.lines.is_empty(), "{again:?}");
    let boot_id = host.facts.boot_id.clone();
    let reverted = revert(
        host.reach(),
        &RevertOrder {
            boot_id: &boot_id,
            foreign: Foreign::Skip,
            allow: Allow::default(),
            wants: &|_| true,
        },
        &mut |_| {},
    )
    .unwrap();
    assert!(
        reverted
            .lines
            .iter()
            .all(|line| line.undone == Undone::Reverted),
        "{reverted:?}"
    );
    for (_, path, start, _) in HARMLESS {
        assert_eq!(real.read(path).unwrap(), *start, "{path}");
    }
}
