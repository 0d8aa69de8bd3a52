//! The whole catalogue on every host that is not there: applied, applied again, crashed, taken back.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use corelane::cpu::Sys as _;
use corelane::tuning::apply::{Applied, Order, apply};
use corelane::tuning::change::Reach;
use corelane::tuning::check::{Report, Selection, check, ids};
use corelane::tuning::exit::Exit;
use corelane::tuning::host::{Facts, Host};
use corelane::tuning::item::Status;
use corelane::tuning::knobs::KNOBS;
use corelane::tuning::profile::{NetMode, Profile};
use corelane::tuning::revert::{Foreign, Order as RevertOrder, Reverted, revert};
use corelane::tuning::state::State;

use crate::fake_host::FakeHost;
use crate::fake_host::hosts;
use crate::fake_host::kernel::{Answers, KernelModel};
use crate::fake_host::programs::Programs;
use crate::rig::{ALLOWED, snapshot};

/// Interfaces that `ethtool` knows on the hosts.
const NICS: &[&str] = &["eth0", "eth1", "eno1", "ens1f0", "enp65s0"];

/// A host of the list.
struct Fixture {
    name: &'static str,
    fake: FakeHost,
    sys: KernelModel,
    programs: Programs,
    answers: Answers,
    profile: Profile,
}

impl Fixture {
    fn new(name: &'static str, fake: FakeHost, answers: Answers) -> Fixture {
        let programs = Programs::new(fake.path(), NICS);
        let mut profile = Profile::shipped("metal").expect("a shipped one");
        // Not what the interfaces have, so that they have to be set.
        profile.net.rx_usecs = Some(20);
        Fixture {
            name,
            sys: KernelModel::of(&fake, answers),
            // Both versions of what is printed.
            programs: if name == "metal_8c16t" {
                programs.with_tabs()
            } else {
                programs
            },
            fake,
            answers,
            profile,
        }
    }

    fn host(&self) -> Host<'_> {
        let profile = self.profile.clone();
        let mut host = Host::find(&self.sys, &self.programs, profile, None).expect("CPUs");
        host.know(&State::peek(&self.sys));
        host
    }

    /// Named, so that hosts too small for a layout are changed as well.
    fn selection() -> Selection {
        Selection::of(ids(KNOBS))
    }

    fn apply(&self) -> Applied {
        let selection = Fixture::selection();
        let order = Order {
            catalogue: KNOBS,
            selection: &selection,
            allow: ALLOWED,
        };
        let applied = apply(&mut self.host(), &order, &mut |_| {});
        applied.unwrap_or_else(|error| panic!("{}: {error}", self.name))
    }

    fn check(&self) -> Report {
        check(&self.host(), &Fixture::selection())
    }

    fn revert(&self) -> Reverted {
        let reach = Reach {
            sys: &self.sys,
            commands: &self.programs,
        };
        let boot_id = Facts::read(&self.sys).boot_id;
        let order = RevertOrder {
            boot_id: &boot_id,
            foreign: Foreign::Skip,
            allow: ALLOWED,
            wants: &|_| true,
        };
        revert(reach, &order, &mut |_| {}).unwrap_or_else(|error| panic!("{}: {error}", self.name))
    }

    fn snapshot(&self) -> (BTreeMap<String, String>, String) {
        let tree = snapshot(self.fake.path(), self.answers);
        (tree, self.programs.snapshot())
    }
}

/// Every host but the one that another tuner has, in both ways to answer.
fn fixtures() -> Vec<Fixture> {
    let mut fixtures = Vec::new();
    for answers in [Answers::Plain, Answers::Kernel] {
        let hosts = hosts::all()
            .into_iter()
            .filter(|(name, _)| *name != "tuned_already");
        fixtures.extend(hosts.map(|(name, fake)| Fixture::new(name, fake, answers)));
    }
    fixtures
}

#[test]
fn every_host_is_as_wanted_after_apply_and_a_second_one_writes_nothing() {
    for fixture in fixtures() {
        let (name, answers) = (fixture.name, fixture.answers);
        let applied = fixture.apply();
        let failed: Vec<_> = applied
            .lines
            .iter()
            .filter(|line| !line.done.is_fine())
            .collect();
        assert!(failed.is_empty(), "{name} {answers:?}: {failed:#?}");
        let report = fixture.check();
        let unmet = report.items.iter().filter(|item| {
            // Where an interrupt goes after its mask was written, plain files do not tell.
            let is_told = answers == Answers::Kernel || item.id != "irq.move";
            item.status.is_unmet() && !item.actions.is_empty() && is_told
        });
        let unmet: Vec<_> = unmet.collect();
        assert!(unmet.is_empty(), "{name} {answers:?}: {unmet:#?}");
        let (changes, commands) = (fixture.sys.changes(), fixture.programs.changes());
        let again = fixture.apply();
        assert_eq!(again.exit(), Exit::Ok, "{name} {answers:?}: {again:#?}");
        assert_eq!(
            fixture.sys.changes(),
            changes,
            "{name} {answers:?}: {again:#?}"
        );
        assert_eq!(fixture.programs.changes(), commands, "{name} {answers:?}");
    }
}

/// The kernel rounds numbers of flows up: shares of 63 queues are no powers of two.
#[test]
fn hosts_whose_shards_see_the_network_are_as_wanted_after_one_apply() {
    let mut rounded = 0;
    for mut fixture in fixtures() {
        let nics = fixture.sys.list("/sys/class/net").unwrap();
        for nic in nics {
            let queues = format!("/sys/class/net/{nic}/queues");
            let names = fixture.sys.list(&queues).unwrap_or_default();
            let receivers = names.iter().filter(|name| name.starts_with("rx-")).count();
            rounded += usize::from(!receivers.is_power_of_two());
        }
        fixture.profile.net_mode = NetMode::PerShard;
        fixture.apply();
        let changes = fixture.sys.changes();
        let again = fixture.apply();
        let (name, answers) = (fixture.name, fixture.answers);
        assert_eq!(again.exit(), Exit::Ok, "{name} {answers:?}: {again:#?}");
        assert_eq!(
            fixture.sys.changes(),
            changes,
            "{name} {answers:?}: {again:#?}"
        );
    }
    assert!(rounded > 0, "no host shows it");
}

#[test]
fn every_host_is_restored_byte_for_byte() {
    for fixture in fixtures() {
        let (name, answers) = (fixture.name, fixture.answers);
        let before = fixture.snapshot();
        fixture.apply();
        let reverted = fixture.revert();
        let left: Vec<_> = reverted
            .lines
            .iter()
            .filter(|line| !line.undone.is_fine())
            .collect();
        assert!(left.is_empty(), "{name} {answers:?}: {left:#?}");
        let after = fixture.snapshot();
        assert_eq!(after.1, before.1, "{name} {answers:?}");
        for (path, text) in &before.0 {
            assert_eq!(after.0.get(path), Some(text), "{name} {answers:?}: {path}");
        }
        assert_eq!(after.0.len(), before.0.len(), "{name} {answers:?}");
    }
}

#[test]
fn a_crash_in_the_middle_of_a_host_is_taken_back() {
    for name in ["metal_8c16t"] {
        let mut crashes = 0;
        loop {
            let fixture = Fixture::new(name, hosts::host(name), Answers::Kernel);
            let before = fixture.snapshot();
            fixture.sys.crash_after(crashes);
            let ended = catch_unwind(AssertUnwindSafe(|| fixture.apply()));
            if ended.is_ok() {
                break;
            }
            let sys = KernelModel::of(&fixture.fake, Answers::Kernel);
            let fixture = Fixture { sys, ..fixture };
            fixture.revert();
            assert_eq!(fixture.snapshot(), before, "{name}, crash {crashes}");
            // Every one of hundreds would take minutes.
            crashes += 13;
        }
        assert!(crashes > 40, "{name}: {crashes}");
    }
}

#[test]
fn where_another_tuner_has_the_host_it_is_named() {
    let fixture = Fixture::new(
        "tuned_already",
        hosts::host("tuned_already"),
        Answers::Kernel,
    );
    fixture.fake.put("/proc/900/comm", "tuned");
    let selection = Fixture::selection();
    let order = Order {
        catalogue: KNOBS,
        selection: &selection,
        allow: ALLOWED,
    };
    let error = apply(&mut fixture.host(), &order, &mut |_| {}).expect_err("tuned runs");
    assert_eq!(error.exit(), Exit::Refused);
    assert!(error.to_string().contains("tuned.service"), "{error}");
    assert_eq!(fixture.sys.changes(), 0);
}

#[test]
fn a_check_changes_nothing_and_knows_what_cannot_be_changed() {
    for fixture in fixtures() {
        let before = fixture.snapshot();
        let report = fixture.check();
        assert_eq!(fixture.sys.changes(), 0, "{}", fixture.name);
        assert_eq!(fixture.snapshot(), before);
        assert!(fixture.sys.exists("/sys"), "{}", fixture.name);
        let has = |status: Status| report.items.iter().any(|item| item.status == status);
        assert!(
            has(Status::Ok) && has(Status::NotApplicable),
            "{}",
            fixture.name
        );
    }
}
