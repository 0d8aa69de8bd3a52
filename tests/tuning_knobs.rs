//! The knobs on hosts that are not there: what each says, what it would do, and the traps that
//! other tools fell into.

#[path = "tuning_knobs/captured.rs"]
mod captured;
#[path = "tuning_knobs/catalogue.rs"]
mod catalogue;
#[path = "support/fake_host/mod.rs"]
mod fake_host;
#[path = "tuning_knobs/golden.rs"]
mod golden;
#[path = "tuning_knobs/real.rs"]
mod real;
#[path = "tuning_knobs/services.rs"]
mod services;
#[path = "tuning_knobs/traps.rs"]
mod traps;

use std::collections::BTreeMap;
use std::path::Path;

use corelane::cpu::{HostSys, Sys, SysAction, SysError};
use corelane::tuning::host::Host;
use corelane::tuning::item::{Action, Item, Status};
use corelane::tuning::knobs::KNOBS;
use corelane::tuning::profile::Profile;
use fake_host::FakeHost;
use fake_host::programs::Programs;

/// Interfaces that `ethtool` knows on the hosts.
const NICS: &[&str] = &["eth0", "eth1", "eno1", "ens1f0", "enp65s0"];

/// What one knob says of a host.
fn probe(host: &Host<'_>, id: &str) -> Vec<Item> {
    let knob = KNOBS.iter().find(|knob| knob.id == id);
    (knob.expect("a knob of the catalogue").probe)(host)
}

/// What one knob says of a fake host with a profile of these lines.
fn probe_with(fake: &FakeHost, profile: &str, id: &str) -> Vec<Item> {
    let sys = fake.plain_sys();
    let programs = Programs::new(fake.path(), NICS);
    let host = Host::find(&sys, &programs, parsed(profile), None).expect("a host of the tests");
    probe(&host, id)
}

fn parsed(profile: &str) -> Profile {
    Profile::parse(profile, "test.toml", &[]).expect("a profile of the tests")
}

/// The only item of a knob.
fn only(items: &[Item]) -> &Item {
    assert_eq!(items.len(), 1, "{items:#?}");
    &items[0]
}

/// What is written where.
fn writes(items: &[Item]) -> Vec<(&str, &str)> {
    let actions = items.iter().flat_map(|item| &item.actions);
    actions
        .filter_map(|action| match action {
            Action::Write { path, after, .. } => Some((path.as_str(), after.as_str())),
            Action::DropIn { .. } | Action::Run { .. } | Action::Affinity { .. } => None,
        })
        .collect()
}

/// A host of which some files say an error number when they are read.
struct Refusing {
    sys: HostSys,
    errors: BTreeMap<String, i32>,
}

impl Refusing {
    fn new(fake: &FakeHost, errors: &[(&str, i32)]) -> Refusing {
        let errors = errors
            .iter()
            .map(|(path, errno)| ((*path).to_owned(), *errno));
        Refusing {
            sys: fake.plain_sys(),
            errors: errors.collect(),
        }
    }
}

impl Sys for Refusing {
    fn root(&self) -> &Path {
        self.sys.root()
    }

    fn read(&self, path: &str) -> Result<String, SysError> {
        match self.errors.get(path) {
            Some(errno) => Err(SysError::new(path, SysAction::Read, *errno)),
            None => self.sys.read(path),
        }
    }

    fn write(&self, path: &str, value: &str) -> Result<(), SysError> {
        self.sys.write(path, value)
    }

    fn list(&self, path: &str) -> Result<Vec<String>, SysError> {
        self.sys.list(path)
    }

    fn canonical(&self, path: &str) -> Result<String, SysError> {
        self.sys.canonical(path)
    }

    fn exists(&self, path: &str) -> bool {
        self.sys.exists(path)
    }

    fn put_file(&self, path: &str, contents: &str, mode: u32) -> Result<(), SysError> {
        self.sys.put_file(path, contents, mode)
    }

    fn remove_file(&self, path: &str) -> Result<(), SysError> {
        self.sys.remove_file(path)
    }
}

/// What one knob says of a host whose files say errors.
fn probe_refusing(fake: &FakeHost, errors: &[(&str, i32)], id: &str) -> Vec<Item> {
    let sys = Refusing::new(fake, errors);
    let programs = Programs::new(fake.path(), NICS);
    let host = Host::find(&sys, &programs, parsed(""), None).expect("a host of the tests");
    probe(&host, id)
}

/// Whether an item is not as wanted.
fn is_unmet(item: &Item) -> bool {
    matches!(item.status, Status::Drift | Status::Missing)
}
