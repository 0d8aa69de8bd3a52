//! Programs of a host that is not there: services, a network card, and what else is asked to take
//! notice of a file.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use corelane::tuning::commands::{CommandError, Commands, Ran};

/// What the programs know.
pub struct Programs {
    root: PathBuf,
    state: RefCell<State>,
}

struct State {
    /// Units by name: whether they run, and whether they are started at boot.
    units: BTreeMap<String, (bool, bool)>,
    /// The slice of the engine's service; empty where it is not installed.
    engine_slice: String,
    /// AllowedCPUs of slices.
    allowed: BTreeMap<String, String>,
    /// Network cards by name.
    nics: BTreeMap<String, Card>,
    /// Commands that changed something, in order.
    changes: Vec<String>,
}

#[derive(Clone)]
struct Card {
    most: u32,
    channels: u32,
    adaptive: (String, String),
    rx_usecs: u32,
    ntuple: bool,
    /// What stands before a number: versions of the program differ.
    gap: &'static str,
}

impl Programs {
    /// A host with irqbalance running, and cards that nobody has tuned.
    pub fn new(root: impl Into<PathBuf>, nics: &[&str]) -> Programs {
        let units = [
            ("irqbalance.service", (true, true)),
            ("fstrim.timer", (true, true)),
            ("corelane-tune.service", (false, false)),
        ];
        let card = Card {
            most: 63,
            channels: 63,
            adaptive: ("on".to_owned(), "on".to_owned()),
            rx_usecs: 8,
            ntuple: false,
            gap: " ",
        };
        let nics = nics.iter().map(|nic| ((*nic).to_owned(), card.clone()));
        Programs {
            root: root.into(),
            state: RefCell::new(State {
                units: units.map(|(name, state)| (name.to_owned(), state)).into(),
                engine_slice: "corelane.slice".to_owned(),
                allowed: BTreeMap::new(),
                nics: nics.collect(),
                changes: Vec::new(),
            }),
        }
    }

    /// The engine's service belongs to another slice.
    pub fn put_engine_in(&self, slice: &str) {
        slice.clone_into(&mut self.state.borrow_mut().engine_slice);
    }

    /// The same host with the `ethtool` of newer versions, which prints a tab before a number.
    pub fn with_tabs(self) -> Programs {
        for card in self.state.borrow_mut().nics.values_mut() {
            card.gap = "\t";
        }
        self
    }

    /// The commands that changed something since the start.
    pub fn changes(&self) -> Vec<String> {
        self.state.borrow().changes.clone()
    }

    /// Everything that the programs know, to be compared.
    pub fn snapshot(&self) -> String {
        let state = self.state.borrow();
        let nics = state.nics.iter().map(|(name, card)| {
            let Card {
                channels,
                adaptive,
                rx_usecs,
                ntuple,
                ..
            } = card;
            format!("{name} {channels} {adaptive:?} {rx_usecs} {ntuple}")
        });
        let nics: Vec<String> = nics.collect();
        format!(
            "{:?}\n{:?}\n{}",
            state.units,
            state.allowed,
            nics.join("\n")
        )
    }

    fn systemctl(&self, arguments: &[&str]) -> Ran {
        let mut state = self.state.borrow_mut();
        let unit = (*arguments.last().unwrap_or(&"")).to_owned();
        let known = state.units.get(&unit).copied();
        match arguments {
            ["is-active", _] => match known {
                Some((true, _)) => said(0, "active\n"),
                _ => said(3, "inactive\n"),
            },
            ["is-enabled", _] => match known {
                Some((_, true)) => said(0, "enabled\n"),
                Some((_, false)) => said(1, "disabled\n"),
                None => said(4, "not-found\n"),
            },
            ["show", "--property=AllowedCPUs", "--value", slice] => {
                let cpus = state.allowed.get(*slice).cloned().unwrap_or_default();
                said(0, &format!("{cpus}\n"))
            }
            ["show", "--property=Slice", "--value", "corelane.service"] => {
                said(0, &format!("{}\n", state.engine_slice))
            }
            ["set-property", "--runtime", slice, property] => {
                state
                    .changes
                    .push(format!("systemctl {}", arguments.join(" ")));
                let cpus = property.trim_start_matches("AllowedCPUs=").to_owned();
                self.limit(slice, &cpus);
                state.allowed.insert((*slice).to_owned(), cpus);
                state.allowed.retain(|_, cpus| !cpus.is_empty());
                said(0, "")
            }
            ["daemon-reload"] => said(0, ""),
            [
                change @ ("enable" | "disable" | "start" | "stop"),
                rest @ ..,
            ] => {
                state
                    .changes
                    .push(format!("systemctl {}", arguments.join(" ")));
                let Some(unit) = state.units.get_mut(&unit) else {
                    return said(1, "");
                };
                let now = rest.contains(&"--now");
                match *change {
                    "enable" => *unit = (unit.0 || now, true),
                    "disable" => *unit = (unit.0 && !now, false),
                    "start" => unit.0 = true,
                    _ => unit.0 = false,
                }
                said(0, "")
            }
            _ => said(1, ""),
        }
    }

    /// What systemd tells the kernel.
    fn limit(&self, slice: &str, cpus: &str) {
        let path = self
            .root
            .join(format!("sys/fs/cgroup/{slice}/cpuset.cpus.effective"));
        let online = fs::read_to_string(self.root.join("sys/devices/system/cpu/online"));
        let text = if cpus.is_empty() {
            online.expect("a host has CPUs")
        } else {
            format!("{}\n", cpus.replace(' ', ","))
        };
        fs::write(path, text).expect("a temporary folder");
    }

    fn ethtool(&self, arguments: &[&str]) -> Ran {
        let mut state = self.state.borrow_mut();
        let State { nics, changes, .. } = &mut *state;
        let [option, nic, rest @ ..] = arguments else {
            return said(1, "");
        };
        let Some(card) = nics.get_mut(*nic) else {
            return failed(75, "netlink error: No such device");
        };
        if option.chars().nth(1).is_some_and(char::is_uppercase) {
            changes.push(format!("ethtool {}", arguments.join(" ")));
        }
        let number = || rest.get(1).and_then(|n| n.parse().ok()).unwrap_or(0);
        match *option {
            "-l" => said(0, &card.channels_text(nic)),
            "-L" => {
                card.channels = number();
                said(0, "")
            }
            "-c" => said(
                0,
                &format!(
                    "Coalesce parameters for {nic}:\nAdaptive RX: {}  TX: {}\nrx-usecs:{}{}\n",
                    card.adaptive.0, card.adaptive.1, card.gap, card.rx_usecs
                ),
            ),
            "-C" => {
                for pair in rest.chunks(2) {
                    match pair {
                        ["adaptive-rx", value] => (*value).clone_into(&mut card.adaptive.0),
                        ["adaptive-tx", value] => (*value).clone_into(&mut card.adaptive.1),
                        ["rx-usecs", value] => card.rx_usecs = value.parse().unwrap_or(0),
                        _ => return failed(1, "bad command line argument(s)"),
                    }
                }
                said(0, "")
            }
            "-x" => {
                let rings: Vec<String> = (0..card.channels).map(|r| r.to_string()).collect();
                let rows = rings.chunks(8).enumerate();
                let rows = rows.map(|(row, rings)| format!("{:5}: {}\n", row * 8, rings.join(" ")));
                let rows: String = rows.collect();
                said(0, &format!("RX flow hash indirection table\n{rows}"))
            }
            "-k" => {
                let ntuple = if card.ntuple { "on" } else { "off" };
                said(
                    0,
                    &format!("Features for {nic}:\nntuple-filters: {ntuple}\n"),
                )
            }
            "-K" => {
                card.ntuple = rest.last() == Some(&"on");
                said(0, "")
            }
            _ => failed(1, "bad command line argument(s)"),
        }
    }

    /// `taskset -pc LIST TID`.
    fn taskset(&self, arguments: &[&str]) -> Ran {
        let ["-pc", cpus, tid] = arguments else {
            return said(1, "");
        };
        let path = self.root.join(format!("proc/{tid}/status"));
        let Ok(status) = fs::read_to_string(&path) else {
            return failed(1, "No such process");
        };
        let line = |line: &str| {
            if line.starts_with("Cpus_allowed_list:") {
                format!("Cpus_allowed_list:\t{cpus}\n")
            } else {
                format!("{line}\n")
            }
        };
        let status: String = status.lines().map(line).collect();
        fs::write(path, status).expect("a temporary folder");
        self.state
            .borrow_mut()
            .changes
            .push(format!("taskset {}", arguments.join(" ")));
        said(0, "")
    }
}

impl Card {
    fn channels_text(&self, nic: &str) -> String {
        let other = "RX:\t\tn/a\nTX:\t\tn/a\nOther:\t\tn/a\n";
        format!(
            "Channel parameters for {nic}:\nPre-set maximums:\n{other}Combined:\t{}\n\
             Current hardware settings:\n{other}Combined:\t{}\n",
            self.most, self.channels
        )
    }
}

fn said(code: i32, output: &str) -> Ran {
    Ran {
        code: Some(code),
        output: output.to_owned(),
        errors: String::new(),
    }
}

fn failed(code: i32, errors: &str) -> Ran {
    Ran {
        code: Some(code),
        output: String::new(),
        errors: errors.to_owned(),
    }
}

impl Commands for Programs {
    fn run(&self, program: &str, arguments: &[&str]) -> Result<Ran, CommandError> {
        match program {
            "systemctl" => Ok(self.systemctl(arguments)),
            "ethtool" => Ok(self.ethtool(arguments)),
            "taskset" => Ok(self.taskset(arguments)),
            "timedatectl" => Ok(said(0, "yes\n")),
            "udevadm" | "update-grub" => Ok(said(0, "")),
            other => Err(CommandError::Missing(other.to_owned())),
        }
    }
}
