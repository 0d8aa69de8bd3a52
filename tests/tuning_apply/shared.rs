//! Files that several knobs share, what makes the host take notice of them, and what they bring at the
//! next boot.

use std::cell::{Cell, RefCell};

use corelane::tuning::apply::{Applied, Order, apply};
use corelane::tuning::change::Reach;
use corelane::tuning::check::{Selection, check};
use corelane::tuning::commands::{CommandError, Commands, Ran};
use corelane::tuning::exit::Exit;
use corelane::tuning::host::{Facts, Host};
use corelane::tuning::item::Status;
use corelane::tuning::knobs::{GRUB_DROP_IN, KNOBS, SYSCTL_DROP_IN};
use corelane::tuning::profile::Profile;
use corelane::tuning::revert::{Foreign, Order as RevertOrder, Reverted, revert};
use corelane::tuning::state::State;

use crate::fake_host::kernel::{Answers, KernelModel};
use crate::fake_host::programs::Programs;
use crate::fake_host::{FakeHost, hosts};
use crate::rig::ALLOWED;

const SWAPPINESS: &str = "/proc/sys/vm/swappiness";

/// A host with the whole catalogue, whose boot loader does what the test wants.
struct Booted {
    fake: FakeHost,
    sys: KernelModel,
    programs: Loaders,
}

/// The programs of a host, and those of its boot loader.
struct Loaders {
    programs: Programs,
    is_broken: Cell<bool>,
    /// How often the boot loader was told something.
    told: Cell<usize>,
    /// Arguments of two kernels, as grubby has them.
    arguments: RefCell<[Vec<String>; 2]>,
}

impl Loaders {
    fn grubby(&self, option: &str) -> String {
        let mut entries = self.arguments.borrow_mut();
        for entry in entries.iter_mut() {
            if let Some(word) = option.strip_prefix("--args=") {
                entry.push(word.to_owned());
            } else if let Some(word) = option.strip_prefix("--remove-args=") {
                entry.retain(|known| known != word);
            }
        }
        let entry = |words: &Vec<String>| format!("args=\"ro {}\"\n", words.join(" "));
        entries.iter().map(entry).collect()
    }
}

impl Commands for Loaders {
    fn run(&self, program: &str, arguments: &[&str]) -> Result<Ran, CommandError> {
        let said = |code, output: String| Ran {
            code: Some(code),
            output,
            errors: String::new(),
        };
        match (program, arguments) {
            ("update-grub", _) => {
                self.told.set(self.told.get() + 1);
                Ok(said(i32::from(self.is_broken.get()), String::new()))
            }
            ("grubby", [.., option]) => {
                let is_change = *option != "--info=ALL";
                self.told.set(self.told.get() + usize::from(is_change));
                Ok(said(0, self.grubby(option)))
            }
            _ => self.programs.run(program, arguments),
        }
    }
}

impl Booted {
    fn new() -> Booted {
        let fake = hosts::host("metal_8c16t");
        Booted {
            sys: KernelModel::of(&fake, Answers::Kernel),
            programs: Loaders {
                programs: Programs::new(
                    fake.path(),
                    &["eth0", "eth1", "eno1", "ens1f0", "enp65s0"],
                ),
                is_broken: Cell::new(false),
                told: Cell::new(0),
                arguments: RefCell::default(),
            },
            fake,
        }
    }

    fn selection(only: &[&str], skip: &[&str]) -> Selection {
        let owned = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>();
        Selection::parse(&owned(only), &owned(skip), KNOBS).expect("knobs of the catalogue")
    }

    fn host(&self) -> Host<'_> {
        let profile = Profile::shipped("metal").expect("a shipped one");
        let mut host = Host::find(&self.sys, &self.programs, profile, None).expect("CPUs");
        host.know(&State::peek(&self.sys));
        host
    }

    fn apply(&self, only: &[&str], skip: &[&str]) -> Applied {
        let selection = Booted::selection(only, skip);
        let order = Order {
            catalogue: KNOBS,
            selection: &selection,
            allow: ALLOWED,
        };
        apply(&mut self.host(), &order, &mut |_| {}).expect("nothing is in the way")
    }

    fn revert(&self, only: &[&str]) -> Reverted {
        let selection = Booted::selection(only, &[]);
        let reach = Reach {
            sys: &self.sys,
            commands: &self.programs,
        };
        let order = RevertOrder {
            boot_id: &Facts::read(&self.sys).boot_id,
            foreign: Foreign::Skip,
            allow: ALLOWED,
            wants: &|id| selection.names(id, KNOBS),
        };
        revert(reach, &order, &mut |_| {}).expect("nothing is in the way")
    }

    fn status(&self, id: &str) -> Status {
        let selection = Booted::selection(&[id], &[]);
        check(&self.host(), &selection).items[0].status
    }
}

#[test]
fn a_shared_file_has_the_lines_of_the_knobs_that_are_meant() {
    let booted = Booted::new();
    booted.apply(&["timer.boot"], &[]);
    let text = booted.fake.read(GRUB_DROP_IN);
    assert!(text.contains("skew_tick=1"), "{text}");
    assert!(
        !text.contains("isolcpus") && !text.contains("rcu_nocbs"),
        "{text}"
    );
    // What is there already stays.
    booted.apply(&["rcu.nocb"], &[]);
    let text = booted.fake.read(GRUB_DROP_IN);
    assert!(
        text.contains("skew_tick=1") && text.contains("rcu_nocbs"),
        "{text}"
    );
    booted.apply(&[], &["cpu.isolate", "mm.swap"]);
    assert!(!booted.fake.read(GRUB_DROP_IN).contains("isolcpus"));
    let text = booted.fake.read(SYSCTL_DROP_IN);
    assert!(
        text.contains("stat_interval") && !text.contains("swappiness"),
        "{text}"
    );
}

#[test]
fn a_knob_that_is_taken_back_leaves_the_lines_of_others() {
    let booted = Booted::new();
    booted.apply(&[], &[]);
    for id in ["cpu.isolate", "timer.boot", "mm.swap"] {
        let reverted = booted.revert(&[id]);
        assert!(!reverted.lines.is_empty(), "{id}");
        assert!(!State::peek(&booted.sys).knobs.contains(id), "{id}");
    }
    let text = booted.fake.read(GRUB_DROP_IN);
    assert!(text.contains("rcu_nocbs"), "{text}");
    assert!(
        !text.contains("isolcpus") && !text.contains("skew_tick"),
        "{text}"
    );
    let text = booted.fake.read(SYSCTL_DROP_IN);
    assert!(
        text.contains("stat_interval") && !text.contains("swappiness"),
        "{text}"
    );
    booted.revert(&[]);
    assert!(!booted.fake.at(GRUB_DROP_IN).exists());
    assert!(!booted.fake.at(SYSCTL_DROP_IN).exists());
}

#[test]
fn a_boot_menu_that_could_not_be_made_is_made_by_the_next_run() {
    let booted = Booted::new();
    booted.programs.is_broken.set(true);
    for _ in 0..2 {
        assert_eq!(booted.apply(&["timer.boot"], &[]).exit(), Exit::Partial);
        assert_eq!(booted.status("timer.boot"), Status::Missing);
    }
    booted.programs.is_broken.set(false);
    assert_eq!(booted.apply(&["timer.boot"], &[]).exit(), Exit::Reboot);
    assert_eq!(booted.status("timer.boot"), Status::RebootPending);
    booted.programs.is_broken.set(true);
    for _ in 0..2 {
        assert_eq!(booted.revert(&[]).exit(), Exit::Partial);
    }
    booted.programs.is_broken.set(false);
    let told = booted.programs.told.get();
    assert_eq!(booted.revert(&[]).exit(), Exit::Reboot);
    assert_eq!(booted.programs.told.get(), told + 1);
    assert!(booted.revert(&[]).lines.is_empty());
}

#[test]
fn boot_entries_are_changed_once_and_then_wait_for_the_boot() {
    let booted = Booted::new();
    booted.fake.put("/usr/sbin/grubby", "#!/bin/sh");
    assert_eq!(booted.apply(&["timer.boot"], &[]).exit(), Exit::Reboot);
    assert_eq!(booted.status("timer.boot"), Status::RebootPending);
    let told = booted.programs.told.get();
    assert_eq!(booted.apply(&["timer.boot"], &[]).exit(), Exit::Ok);
    assert_eq!(booted.programs.told.get(), told);
    // A kernel that was installed since has not got it.
    booted.programs.arguments.borrow_mut()[1].clear();
    assert_eq!(booted.status("timer.boot"), Status::Missing);
    booted.revert(&[]);
    assert_eq!(
        *booted.programs.arguments.borrow(),
        [const { Vec::<String>::new() }; 2]
    );
}

#[test]
fn a_boot_loader_that_reads_no_drop_ins_gets_none() {
    let booted = Booted::new();
    booted.fake.remove("/usr/sbin/update-grub");
    assert!(booted.apply(&["timer.boot"], &[]).lines.is_empty());
    assert_eq!(booted.status("timer.boot"), Status::Missing);
    assert!(!booted.fake.at(GRUB_DROP_IN).exists());
}

#[test]
fn a_value_that_our_file_has_set_again_at_the_boot_is_taken_back() {
    let booted = Booted::new();
    let first = booted.fake.read(SWAPPINESS);
    booted.apply(&["mm.swap", "keep.sysctl"], &[]);
    assert_ne!(booted.fake.read(SWAPPINESS), first);
    for boot in ["boot-2", "boot-3"] {
        booted.fake.put("/proc/sys/kernel/random/boot_id", boot);
        booted.apply(&["mm.swap", "keep.sysctl"], &[]);
    }
    booted.fake.put("/proc/sys/kernel/random/boot_id", "boot-4");
    booted.revert(&[]);
    assert_eq!(booted.fake.read(SWAPPINESS), first);
    assert!(!booted.fake.at(SYSCTL_DROP_IN).exists());
}
