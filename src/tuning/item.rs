//! What was found about one knob of the host, and what would be done about it.
//!
//! Owns: the words that `check`, `plan`, `apply` and `revert` share. Never does: finding or doing.

use serde::{Deserialize, Serialize};

/// How much a knob matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Group {
    /// Must be set.
    A,
    /// Should be set.
    B,
    /// To be measured on the host first; set only where it is asked for.
    C,
    /// Reported only.
    R,
}

/// How a knob stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// As wanted.
    Ok,
    /// Not as wanted.
    Drift,
    /// What should be there, is not.
    Missing,
    /// It is there, and this process may not read it or the kernel does not tell.
    Unreadable,
    /// The kernel or a driver keeps it to itself.
    Unmanageable,
    /// This host has nothing of the kind.
    #[serde(rename = "n/a")]
    NotApplicable,
    /// Arranged; the next boot brings it.
    RebootPending,
}

impl Status {
    /// Whether it is not as wanted, and something could be done.
    pub fn is_unmet(self) -> bool {
        match self {
            Status::Drift | Status::Missing => true,
            Status::Ok
            | Status::Unreadable
            | Status::Unmanageable
            | Status::NotApplicable
            | Status::RebootPending => false,
        }
    }

    /// Its name, as in tables and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Status::Ok => "ok",
            Status::Drift => "drift",
            Status::Missing => "missing",
            Status::Unreadable => "unreadable",
            Status::Unmanageable => "unmanageable",
            Status::NotApplicable => "n/a",
            Status::RebootPending => "reboot-pending",
        }
    }
}

/// What keeps a knob set over a boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Persist {
    /// The kernel's command line, by a drop-in file.
    Boot,
    /// `/etc/sysctl.d/90-corelane.conf`.
    Sysctl,
    /// The service that runs `corelane tune apply` before the engine.
    Unit,
    /// A udev rule.
    Udev,
    /// The engine itself.
    App,
    /// Nothing has to.
    None,
}

/// What an action may break.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Disruption {
    /// Nothing.
    #[default]
    None,
    /// A network link goes down for seconds: only with `--allow-link-reset`.
    LinkReset,
    /// The next boot is changed: only with `--allow-boot`.
    Boot,
}

/// One change to the host. Each can be undone, and each says what it takes the host from and to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Action {
    /// A value is written to a file of the kernel.
    Write {
        /// Which.
        path: String,
        /// What it holds, as a value that may be written back.
        before: String,
        /// What is written.
        after: String,
    },
    /// A whole file of ours is put where drop-ins belong.
    DropIn {
        /// Which.
        path: String,
        /// What is there now; none where nothing is.
        before: Option<String>,
        /// What it will hold. All knobs that share a file want the same contents of it.
        after: String,
        /// The program, with arguments, that makes the host take notice of the file: it is run after
        /// the file was put, and again after it was taken away.
        reload: Option<Vec<String>>,
    },
    /// A program is run.
    Run {
        /// What it changes, by which the change is known again, as in `ethtool -L eth0`.
        target: String,
        /// The program and its arguments.
        apply: Vec<String>,
        /// What undoes it.
        revert: Vec<String>,
        /// What is asked (a program and arguments), and what its output must hold once it is done.
        verify: Option<(Vec<String>, String)>,
        /// In words: the state before.
        before: String,
        /// In words: the state after.
        after: String,
    },
    /// A thread of the kernel is moved, with `taskset`.
    Affinity {
        /// Its id.
        tid: i32,
        /// Its name, by which it is known again.
        comm: String,
        /// CPUs it may run on, as a list.
        before: String,
        /// CPUs it is to run on, as a list.
        after: String,
    },
}

/// One knob in one place of the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Item {
    /// The knob's name, as in `irq.move`; stable.
    pub id: &'static str,
    /// How much it matters.
    pub group: Group,
    /// How it stands.
    pub status: Status,
    /// What is found, for people.
    pub current: String,
    /// What is wanted, for people.
    pub want: String,
    /// The files that were looked at.
    pub paths: Vec<String>,
    /// What keeps it set.
    pub persist: Persist,
    /// Whether it takes a boot.
    pub reboot: bool,
    /// What setting it may break.
    pub disruptive: Disruption,
    /// Why it could not be found out.
    pub error: Option<String>,
    /// What somebody who reads this should know or do.
    pub hint: Option<String>,
    /// What would be done; empty where nothing has to be or can be.
    pub actions: Vec<Action>,
}

impl Action {
    /// What it changes: a file, a command's target, a thread's folder in `/proc`. Two actions with the
    /// same place change the same thing.
    pub fn place(&self) -> String {
        match self {
            Action::Write { path, .. } | Action::DropIn { path, .. } => path.clone(),
            Action::Run { target, .. } => target.clone(),
            Action::Affinity { tid, .. } => format!("/proc/{tid}"),
        }
    }
    /// What is there before, in words or as a value; none where a file is not there yet.
    pub fn before(&self) -> Option<&str> {
        match self {
            Action::Write { before, .. }
            | Action::Run { before, .. }
            | Action::Affinity { before, .. } => Some(before),
            Action::DropIn { before, .. } => before.as_deref(),
        }
    }

    /// What is to be there, in words or as a value.
    pub fn after(&self) -> &str {
        match self {
            Action::Write { after, .. }
            | Action::DropIn { after, .. }
            | Action::Run { after, .. }
            | Action::Affinity { after, .. } => after,
        }
    }
    /// The program that is run, with its arguments; empty where none is.
    pub fn command(&self) -> &[String] {
        match self {
            Action::Run { apply, .. } => apply,
            Action::Write { .. } | Action::DropIn { .. } | Action::Affinity { .. } => &[],
        }
    }
}
