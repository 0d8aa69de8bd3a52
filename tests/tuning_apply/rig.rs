//! A small host, and knobs of each kind of change on it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use corelane::tuning::apply::{Applied, ApplyError, Order, apply};
use corelane::tuning::change::Reach;
use corelane::tuning::check::{Report, Selection, check_knobs};
use corelane::tuning::host::{Facts, Host};
use corelane::tuning::item::{Action, Disruption, Group, Item, Persist, Status};
use corelane::tuning::knobs::Knob;
use corelane::tuning::plan::Allow;
use corelane::tuning::profile::Profile;
use corelane::tuning::revert::{Foreign, Order as RevertOrder, RevertError, Reverted, revert};
use corelane::tuning::state::State;
use corelane::tuning::value::{holds, selected};

use crate::fake_host::FakeHost;
use crate::fake_host::kernel::{Answers, KernelModel};
use crate::fake_host::programs::Programs;

/// All that may be allowed.
pub const ALLOWED: Allow = Allow {
    link_reset: true,
    boot: true,
};

const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

const THREAD: i32 = 17;

/// A host with something to change of each kind.
pub struct Rig {
    pub fake: FakeHost,
    pub sys: KernelModel,
    pub programs: Programs,
    answers: Answers,
}

impl Rig {
    pub fn new(answers: Answers) -> Rig {
        let fake = FakeHost::empty(40);
        for (path, text) in [
            (BOOT_ID, "boot-1"),
            ("/sys/devices/system/cpu/online", "0-3"),
            ("/sys/devices/system/cpu/possible", "0-39"),
            ("/proc/sys/vm/swappiness", "60"),
            (
                "/sys/kernel/mm/transparent_hugepage/enabled",
                "[always] madvise never",
            ),
            ("/proc/irq/default_smp_affinity", "ff,ffffffff"),
            ("/proc/17/comm", "kswapd0"),
            ("/proc/17/status", "Name:\tkswapd0\nCpus_allowed_list:\t0-3"),
            ("/etc/default/grub.d/10-other.cfg", "A=1"),
        ] {
            fake.put(path, text);
        }
        for irq in [24, 25, 26] {
            let folder = format!("/proc/irq/{irq}");
            fake.put(&format!("{folder}/smp_affinity_list"), "0-39");
            fake.put(&format!("{folder}/smp_affinity"), "ff,ffffffff");
        }
        Rig::over(fake, answers)
    }

    fn over(fake: FakeHost, answers: Answers) -> Rig {
        Rig {
            sys: KernelModel::of(&fake, answers),
            programs: Programs::new(fake.path(), &["eth0"]),
            fake,
            answers,
        }
    }

    /// The same host for the next process.
    pub fn restarted(self) -> Rig {
        let sys = KernelModel::of(&self.fake, self.answers);
        Rig { sys, ..self }
    }

    /// Another boot begins; what that does to values is up to the test.
    pub fn reboot(&self) {
        self.fake.put(BOOT_ID, "boot-2");
    }

    pub fn host(&self) -> Host<'_> {
        let profile = Profile::default();
        let mut host = Host::find(&self.sys, &self.programs, profile, None).expect("CPUs");
        host.know(&State::peek(&self.sys));
        host
    }

    pub fn check(&self) -> Report {
        check_knobs(&self.host(), &everything(), CATALOGUE)
    }

    pub fn try_apply(&self, allow: Allow) -> Result<Applied, ApplyError> {
        let selection = everything();
        let order = Order {
            catalogue: CATALOGUE,
            selection: &selection,
            allow,
        };
        apply(&mut self.host(), &order, &mut |_| {})
    }

    pub fn apply(&self, allow: Allow) -> Applied {
        self.try_apply(allow).expect("nothing is in the way")
    }

    pub fn try_revert(&self, foreign: Foreign) -> Result<Reverted, RevertError> {
        self.try_revert_with(foreign, ALLOWED)
    }

    pub fn try_revert_with(&self, foreign: Foreign, allow: Allow) -> Result<Reverted, RevertError> {
        let reach = Reach {
            sys: &self.sys,
            commands: &self.programs,
        };
        let boot_id = Facts::read(&self.sys).boot_id;
        let order = RevertOrder {
            boot_id: &boot_id,
            foreign,
            allow,
            wants: &|_| true,
        };
        revert(reach, &order, &mut |_| {})
    }

    pub fn revert(&self, foreign: Foreign) -> Reverted {
        self.try_revert(foreign).expect("nothing is in the way")
    }

    /// Everything that can be set, to be compared.
    pub fn snapshot(&self) -> (BTreeMap<String, String>, String) {
        let tree = snapshot(self.fake.path(), self.answers);
        (tree, self.programs.snapshot())
    }
}

/// All files by path, but our notes and where interrupts went, which nobody sets. Files that take
/// anything hold the value that was chosen, without those that were not.
pub fn snapshot(root: &Path, answers: Answers) -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("in our folder") {
            let path = entry.expect("in our folder").path();
            let name = path.strip_prefix(root).expect("below the root");
            let name = name.display().to_string();
            let is_left_out = name == "var/lib/corelane" || name.contains("effective_affinity");
            if is_left_out {
                continue;
            }
            if path.is_symlink() {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = fs::read_to_string(&path).expect("in our folder");
            let text = match answers {
                Answers::Plain => selected(&text).to_owned(),
                Answers::Kernel => text,
            };
            files.insert(name, text);
        }
    }
    files
}

/// Named, so that it does not matter that this host has no layout.
pub fn everything() -> Selection {
    Selection::of(CATALOGUE.iter().map(|knob| knob.id).collect())
}

/// A knob of each kind of change.
pub const CATALOGUE: &[Knob] = &[
    knob("t.value", |host| {
        value(host, "t.value", "/proc/sys/vm/swappiness", "1")
    }),
    knob("t.select", |host| {
        value(
            host,
            "t.select",
            "/sys/kernel/mm/transparent_hugepage/enabled",
            "madvise",
        )
    }),
    knob("t.mask", |host| {
        value(host, "t.mask", "/proc/irq/default_smp_affinity", "3")
    }),
    knob("t.irq", interrupts),
    knob("t.file", |host| {
        file(host, "t.file", "/etc/sysctl.d/90-t.conf", Disruption::None)
    }),
    knob("t.boot", |host| {
        file(
            host,
            "t.boot",
            "/etc/default/grub.d/60-t.cfg",
            Disruption::Boot,
        )
    }),
    knob("t.thread", thread),
    knob("t.service", service),
    knob("t.link", link),
];

const fn knob(id: &'static str, probe: fn(&Host<'_>) -> Vec<Item>) -> Knob {
    Knob {
        id,
        row: 0,
        group: Group::A,
        why: "",
        risk: "",
        measured: "",
        undone: "",
        persist: Persist::None,
        probe,
    }
}

/// An item with the change that would be made, if one has to be.
fn item(id: &'static str, disruptive: Disruption, actions: Vec<Action>) -> Item {
    let status = if actions.is_empty() {
        Status::Ok
    } else {
        Status::Drift
    };
    Item {
        id,
        group: Group::A,
        status,
        current: String::new(),
        want: String::new(),
        paths: Vec::new(),
        persist: Persist::None,
        reboot: disruptive == Disruption::Boot,
        disruptive,
        error: None,
        hint: None,
        actions,
    }
}

fn write(host: &Host<'_>, path: &str, after: &str) -> Vec<Action> {
    let reading = host.sys.read(path).expect("a file of the rig");
    if holds(path, &reading, after) {
        return Vec::new();
    }
    vec![Action::Write {
        path: path.to_owned(),
        before: selected(&reading).to_owned(),
        after: after.to_owned(),
    }]
}

fn value(host: &Host<'_>, id: &'static str, path: &str, after: &str) -> Vec<Item> {
    vec![item(id, Disruption::None, write(host, path, after))]
}

fn interrupts(host: &Host<'_>) -> Vec<Item> {
    let paths = [24, 25, 26].map(|irq| format!("/proc/irq/{irq}/smp_affinity_list"));
    let actions = paths.iter().flat_map(|path| write(host, path, "0,1"));
    vec![item("t.irq", Disruption::None, actions.collect())]
}

fn file(host: &Host<'_>, id: &'static str, path: &str, disruptive: Disruption) -> Vec<Item> {
    let after = "# ours\na = 1\n";
    let before = host.sys.read(path).ok().map(|text| format!("{text}\n"));
    let actions = if before.as_deref() == Some(after) {
        Vec::new()
    } else {
        vec![Action::DropIn {
            path: path.to_owned(),
            before,
            after: after.to_owned(),
            reload: Some(vec!["update-grub".to_owned()]),
        }]
    };
    vec![item(id, disruptive, actions)]
}

fn thread(host: &Host<'_>) -> Vec<Item> {
    let status = host
        .sys
        .read(&format!("/proc/{THREAD}/status"))
        .expect("a file of the rig");
    let actions = if status.ends_with("Cpus_allowed_list:\t0-1") {
        Vec::new()
    } else {
        vec![Action::Affinity {
            tid: THREAD,
            comm: "kswapd0".to_owned(),
            before: "0-3".to_owned(),
            after: "0-1".to_owned(),
        }]
    };
    vec![item("t.thread", Disruption::None, actions)]
}

fn run(host: &Host<'_>, target: &str, commands: [&str; 3], expected: &str) -> Vec<Action> {
    let [apply, revert, verify] =
        commands.map(|command| command.split(' ').map(str::to_owned).collect::<Vec<_>>());
    let words: Vec<&str> = verify[1..].iter().map(String::as_str).collect();
    let said = host
        .commands
        .run(&verify[0], &words)
        .expect("a program of the rig")
        .output;
    if said.trim() == expected || said.ends_with(expected) {
        return Vec::new();
    }
    vec![Action::Run {
        target: target.to_owned(),
        apply,
        revert,
        verify: Some((verify, expected.to_owned())),
        before: "before".to_owned(),
        after: "after".to_owned(),
    }]
}

fn service(host: &Host<'_>) -> Vec<Item> {
    let commands = [
        "systemctl disable --now fstrim.timer",
        "systemctl enable --now fstrim.timer",
        "systemctl is-active fstrim.timer",
    ];
    let actions = run(host, "systemctl fstrim.timer", commands, "inactive");
    vec![item("t.service", Disruption::None, actions)]
}

fn link(host: &Host<'_>) -> Vec<Item> {
    let commands = [
        "ethtool -L eth0 combined 4",
        "ethtool -L eth0 combined 63",
        "ethtool -l eth0",
    ];
    let actions = run(host, "ethtool -L eth0", commands, "Combined:\t4\n");
    vec![item("t.link", Disruption::LinkReset, actions)]
}
