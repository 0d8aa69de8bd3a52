//! An item while it is made: the files that were looked at, what each says, and what would be done.
//!
//! Owns: how many findings become one status. Never does: knowing a knob. Runs on: the main thread
//! of a command.

use crate::cpu::{CpuSet, SysError};
use crate::tuning::host::Host;
use crate::tuning::item::{Action, Disruption, Item, Persist, Status};

use super::Knob;
use super::rule::{Rule, Verdict};

/// An item of one knob in one place.
pub(super) struct Draft<'a, 'h> {
    host: &'a Host<'h>,
    item: Item,
    current: Vec<String>,
    want: Vec<String>,
    status: Option<Status>,
}

impl<'a, 'h> Draft<'a, 'h> {
    pub(super) fn new(host: &'a Host<'h>, knob: &Knob) -> Draft<'a, 'h> {
        let item = Item {
            id: knob.id,
            group: knob.group,
            status: Status::NotApplicable,
            current: String::new(),
            want: String::new(),
            paths: Vec::new(),
            persist: knob.persist,
            reboot: knob.persist == Persist::Boot,
            disruptive: Disruption::None,
            error: None,
            hint: None,
            actions: Vec::new(),
        };
        Draft {
            host,
            item,
            current: Vec::new(),
            want: Vec::new(),
            status: None,
        }
    }

    /// For a place of a knob that is kept in another way than the knob's other places.
    pub(super) fn kept_by(mut self, persist: Persist) -> Draft<'a, 'h> {
        self.item.persist = persist;
        self.item.reboot = persist == Persist::Boot;
        self
    }

    /// Judges one value of the kernel by a rule; where it is not as wanted, it would be written.
    /// `label` says in the table which of several values it is; empty where there is one.
    pub(super) fn value(&mut self, path: &str, label: &str, rule: &Rule<'_>) -> Status {
        self.item.paths.push(path.to_owned());
        let text = match self.host.sys.read(path) {
            Ok(text) => text,
            Err(error) => return self.unread(label, &error),
        };
        let judged = rule.judge(text.trim(), self.host);
        self.say(label, &judged.current, &judged.want);
        let status = match judged.verdict {
            Verdict::Good => Status::Ok,
            Verdict::Write { before, after } => {
                self.act(Action::Write {
                    path: path.to_owned(),
                    before,
                    after,
                });
                Status::Drift
            }
            Verdict::NotOffered => Status::NotApplicable,
            Verdict::Strange(reason) => {
                self.item.error = Some(format!("{path}: {reason}"));
                Status::Unreadable
            }
        };
        self.found(status);
        status
    }

    /// Notes that a file could not be read; says what that comes to.
    pub(super) fn unread(&mut self, label: &str, error: &SysError) -> Status {
        let status = if error.is_denied() {
            self.say(label, "not readable", "");
            Status::Unreadable
        } else if error.is_managed() {
            self.say(label, "kept by the kernel", "");
            self.hint("kernel-managed, fine");
            Status::Unmanageable
        } else {
            // Absent, or the driver has no such thing (EINVAL, EOPNOTSUPP).
            Status::NotApplicable
        };
        // That a feature is absent is no error worth telling.
        if !error.is_missing() {
            self.item.error = Some(error.to_string());
        }
        self.found(status);
        status
    }

    /// Adds to what the table shows.
    pub(super) fn say(&mut self, label: &str, current: &str, want: &str) {
        let labelled = |text: &str| match (label, text) {
            (_, "") => None,
            ("", text) => Some(text.to_owned()),
            (label, text) => Some(format!("{label}={text}")),
        };
        self.current.extend(labelled(current));
        self.want.extend(labelled(want));
    }

    /// Judges a file of ours by its whole contents.
    /// `reload` makes the host take notice of it.
    pub(super) fn file(&mut self, path: &str, wanted: &str, reload: Option<&[&str]>) -> Status {
        self.path(path);
        let now = whole(self.host, path);
        let status = match &now {
            Some(now) if now == wanted && self.host.unheeded.contains(path) => {
                self.hint("the host has not taken notice of it yet");
                Status::Drift
            }
            Some(now) if now == wanted => Status::Ok,
            Some(_) => Status::Drift,
            None => Status::Missing,
        };
        let current = match &now {
            Some(now) if now == wanted => "as wanted",
            Some(_) => "another text",
            None => "none",
        };
        self.say("", current, "our file");
        if status != Status::Ok {
            self.act(Action::DropIn {
                path: path.to_owned(),
                before: now,
                after: wanted.to_owned(),
                reload: reload.map(words),
            });
        }
        self.found(status);
        status
    }

    /// Sums up what many equal places said.
    pub(super) fn replace_said(&mut self, current: &str, want: &str) {
        self.current = vec![current.to_owned()];
        self.want = vec![want.to_owned()];
    }

    pub(super) fn path(&mut self, path: &str) {
        self.item.paths.push(path.to_owned());
    }

    pub(super) fn act(&mut self, action: Action) {
        self.item.actions.push(action);
    }

    /// How many changes there would be so far.
    pub(super) fn actions(&self) -> usize {
        self.item.actions.len()
    }

    pub(super) fn disrupts(&mut self, disruption: Disruption) {
        self.item.disruptive = disruption;
    }

    pub(super) fn hint(&mut self, hint: impl Into<String>) {
        let hint = hint.into();
        match &mut self.item.hint {
            Some(there) if there.contains(&hint) => {}
            Some(there) => {
                there.push_str("; ");
                there.push_str(&hint);
            }
            none => *none = Some(hint),
        }
    }

    pub(super) fn error(&mut self, error: impl Into<String>) {
        self.item.error = Some(error.into());
    }

    /// Adds a finding. The worst of all is the item's status.
    pub(super) fn found(&mut self, status: Status) {
        self.status = Some(match self.status {
            Some(there) if weight(there) >= weight(status) => there,
            _ => status,
        });
    }

    /// The worst finding so far.
    pub(super) fn status(&self) -> Status {
        self.status.unwrap_or(Status::NotApplicable)
    }

    pub(super) fn item(mut self) -> Item {
        self.item.status = self.status();
        self.item.current = self.current.join(" ");
        self.item.want = self.want.join(" ");
        if self.item.current.is_empty() {
            "-".clone_into(&mut self.item.current);
        }
        let is_unexplained = self.item.hint.is_none() && self.item.error.is_none();
        if self.item.status == Status::NotApplicable && is_unexplained {
            self.hint("neither this kernel nor the hardware has it");
        }
        if self.item.want.is_empty() {
            "-".clone_into(&mut self.item.want);
        }
        self.item
    }

    pub(super) fn items(self) -> Vec<Item> {
        vec![self.item()]
    }
}

/// A command as actions have it.
pub(super) fn words(command: &[&str]) -> Vec<String> {
    command.iter().map(|word| (*word).to_owned()).collect()
}

/// All of an ordinary file; reading takes the last newline away.
pub(super) fn whole(host: &Host<'_>, path: &str) -> Option<String> {
    let text = host.sys.read(path).ok()?;
    Some(format!("{text}\n"))
}

/// How much a finding says about the item that it is a part of.
fn weight(status: Status) -> u8 {
    match status {
        Status::NotApplicable => 0,
        Status::Unmanageable => 1,
        Status::Ok => 2,
        Status::RebootPending => 3,
        Status::Unreadable => 4,
        Status::Missing => 5,
        Status::Drift => 6,
    }
}

/// The one item of a knob that this host has nothing of, with the reason.
pub(super) fn not_applicable(host: &Host<'_>, knob: &Knob, why: &str) -> Vec<Item> {
    let mut draft = Draft::new(host, knob);
    draft.hint(why);
    draft.items()
}

/// The one item of a knob that is as the profile asks for, which is to leave it alone.
pub(super) fn policy(host: &Host<'_>, knob: &Knob, current: &str, policy: &str) -> Vec<Item> {
    let mut draft = Draft::new(host, knob);
    draft.say("", current, &format!("{policy} (policy)"));
    draft.found(Status::Ok);
    draft.items()
}

/// The CPUs of a layout, as the knobs see them.
pub(super) struct Split {
    /// CPUs that run a shard and nothing else.
    pub shards: CpuSet,
    /// Shards, and the siblings that stay idle for them: what interrupts and tasks keep away from.
    pub quiet: CpuSet,
    /// Threads and interrupts of clients and brokers.
    pub io: CpuSet,
    /// Everything else.
    pub housekeeping: CpuSet,
    /// Housekeeping and I/O: where everything but shards may run.
    pub others: CpuSet,
}

/// The split that every CPU row is derived from; where there is none, the row's one item.
pub(super) fn split(host: &Host<'_>, knob: &Knob) -> Result<Split, Vec<Item>> {
    match &host.layout {
        Ok(layout) => {
            let shards = layout.shard_cpus();
            let others = layout.housekeeping.union(&layout.io);
            Ok(Split {
                quiet: shards.union(&layout.parked).difference(&others),
                shards,
                io: layout.io.clone(),
                housekeeping: layout.housekeeping.clone(),
                others,
            })
        }
        // The layout's own row has all of it; a dozen rows need no more than the gist.
        Err(why) => {
            let gist = why.split(": ").next().unwrap_or(why);
            Err(not_applicable(host, knob, &format!("no layout: {gist}")))
        }
    }
}
