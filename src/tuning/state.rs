//! What was changed on this host, so that it can be changed back: the state file.
//!
//! Owns: the file, its lock, and the rules of its entries. Never does: changing what they are about.
//! Runs on: the main thread of a command.
//!
//! An entry is written before its change is made (*intent*), so a crash between the two leaves nothing
//! that cannot be undone. What was there before the first of several changes is never overwritten.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;

use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};

use super::change;
use super::item::{Action, Disruption};
use super::plan::Step;
use super::sections::{self, Sections};
use crate::cpu::{Layout, Sys, SysError};

/// Where the state lies.
pub const STATE_PATH: &str = "/var/lib/corelane/tuning/state.json";

/// What is locked while a host is changed. Not the state file itself: that one is replaced.
pub const LOCK_PATH: &str = "/var/lib/corelane/tuning/lock";

const SCHEMA: u32 = 1;

/// Files under these folders do not outlive a boot, nor does what is written to them.
const VOLATILE: [&str; 5] = ["/proc/", "/sys/", "/run/", "/dev/", "/var/run/"];

/// Everything that was changed and not changed back, in the order of the changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    schema: u32,
    /// The profile that was applied last, by which a boot applies it again.
    pub profile: Option<String>,
    /// The layout that the latest apply went by, which a boot goes by again. Without the boot that it
    /// was made in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layout: Option<Layout>,
    /// The knobs that were changed, which a boot changes again.
    pub knobs: BTreeSet<String>,
    /// Whether one of the changes reset a network link, as it was allowed to.
    pub link_reset: bool,
    /// The changes.
    pub entries: Vec<Entry>,
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The knob.
    pub id: String,
    /// The knobs that have lines in the file, where several share it.
    #[serde(default)]
    pub shared: Vec<String>,
    /// The file, or what stands for it: a command's target, a thread's folder in `/proc`.
    pub path: String,
    /// What kind of change, and what undoing it takes besides the values.
    #[serde(flatten)]
    pub how: How,
    /// What was there before the latest change; none where no file was.
    pub before: Option<String>,
    /// What the latest change sets.
    pub after: String,
    /// What was there before the first change; none where no file was.
    pub first_before: Option<String>,
    /// What was found after a change that did not hold.
    pub left: Option<String>,
    /// Whether it counts, and taking it back counts, only after a boot.
    pub reboot: bool,
    /// What making it may have broken, and taking it back may break.
    #[serde(default)]
    pub disruptive: Disruption,
    /// The boot in which it was changed.
    pub boot_id: String,
    /// When, in seconds since 1970.
    pub ts: u64,
    /// What came of it.
    pub outcome: Outcome,
}

/// What kind of change, and what undoing it takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum How {
    /// A value was written.
    Write,
    /// A file was put.
    DropIn {
        /// What makes the host take notice.
        reload: Option<Vec<String>>,
    },
    /// A program was run.
    Run {
        /// What undoes the first run.
        revert: Vec<String>,
        /// What tells whether the latest run still counts.
        verify: Option<(Vec<String>, String)>,
    },
    /// A thread was moved.
    Affinity {
        /// Its name.
        comm: String,
    },
}

/// What came of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It was about to be made; whether it was is not known.
    Intent,
    /// It was made, and read back.
    Applied,
    /// It was made without an error, and something else was read back.
    NotHeld,
    /// It could not be made.
    Failed,
    /// The kernel keeps the value to itself.
    Unmanageable,
}

/// Why there is no state to work with.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// It cannot be read or written.
    #[error(transparent)]
    File(#[from] SysError),
    /// It is there and says nothing that can be understood.
    #[error(
        "{STATE_PATH} cannot be understood: {problem}; it was left as it is and nothing was \
         changed. A copy is at {kept}. To go on: repair it; or, if what it says is not needed to \
         undo anything, remove it (every earlier value that it holds is then known only from the \
         copy)"
    )]
    Corrupt {
        /// What is wrong with it.
        problem: String,
        /// Where the copy is.
        kept: String,
    },
}

/// Why the host is not ours to change now.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another command changes it.
    #[error("another corelane tune changes this host ({LOCK_PATH} is locked)")]
    Held,
    /// This process may not.
    #[error("{LOCK_PATH}: no permission")]
    Denied,
    /// The lock cannot be taken.
    #[error("{LOCK_PATH} cannot be locked: {0}")]
    Failed(io::Error),
}

/// The right to change the host, held until it is dropped.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Default for State {
    fn default() -> State {
        State {
            schema: SCHEMA,
            profile: None,
            layout: None,
            knobs: BTreeSet::new(),
            link_reset: false,
            entries: Vec::new(),
        }
    }
}

impl Lock {
    /// Takes it, without waiting.
    ///
    /// # Errors
    /// Somebody else has it, or it cannot be taken.
    pub fn take(sys: &dyn Sys) -> Result<Lock, LockError> {
        let path = sys.root().join(LOCK_PATH.trim_start_matches('/'));
        const DENIED: [io::ErrorKind; 2] = [
            io::ErrorKind::PermissionDenied,
            io::ErrorKind::ReadOnlyFilesystem,
        ];
        let failed = |error: io::Error| match DENIED.contains(&error.kind()) {
            true => LockError::Denied,
            false => LockError::Failed(error),
        };
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(failed)?;
        }
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(failed)?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Lock { _file: file }),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(LockError::Held),
            Err(error) => Err(LockError::Failed(error.into())),
        }
    }
}

impl State {
    /// What the state file says; nothing where there is none.
    ///
    /// # Errors
    /// It cannot be read, or it is damaged: then a copy of it is kept aside.
    pub fn read(sys: &dyn Sys) -> Result<State, StateError> {
        if !sys.exists(STATE_PATH) {
            return Ok(State::default());
        }
        let text = sys.read(STATE_PATH)?;
        State::parse(&text).or_else(|problem| {
            let kept = format!("{STATE_PATH}.damaged");
            sys.put_file(&kept, &format!("{text}\n"), 0o600)?;
            Err(StateError::Corrupt { problem, kept })
        })
    }

    /// The same for commands that change nothing and can do without it: nothing where it cannot be
    /// read, as by others than root.
    pub fn peek(sys: &dyn Sys) -> State {
        let text = sys.read(STATE_PATH).unwrap_or_default();
        State::parse(&text).unwrap_or_default()
    }

    fn parse(text: &str) -> Result<State, String> {
        match serde_json::from_str::<State>(text) {
            Ok(state) if state.schema == SCHEMA => Ok(state),
            Ok(state) => Err(format!("schema {}; known: {SCHEMA}", state.schema)),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Puts it on disk: all of it or nothing. Where no change is left, no file is.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn save(&self, sys: &dyn Sys) -> Result<(), SysError> {
        if self.is_empty() {
            return match sys.exists(STATE_PATH) {
                true => sys.remove_file(STATE_PATH),
                false => Ok(()),
            };
        }
        let text = serde_json::to_string_pretty(self).expect("text, numbers and lists only");
        sys.put_file(STATE_PATH, &format!("{text}\n"), 0o600)
    }

    /// Whether there is nothing to undo and nothing that a boot has to do again.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.knobs.is_empty()
    }

    /// Notes that a change is about to be made. What was there before the first change to the place
    /// stays, unless a boot has brought another value since.
    pub fn intend(&mut self, mut entry: Entry) {
        self.knobs.insert(entry.id.clone());
        self.knobs.extend(entry.shared.iter().cloned());
        if let Some(at) = self.entries.iter().position(|known| known.is_about(&entry)) {
            // To the end: changes are undone in reverse.
            let known = self.entries.remove(at);
            entry.follow(known);
        }
        self.entries.push(entry);
    }

    /// Notes what came of a change that was noted before.
    pub fn settle(&mut self, intended: &Entry, outcome: Outcome, left: Option<String>) {
        let entry = self
            .entries
            .iter_mut()
            .find(|known| known.is_about(intended));
        if let Some(entry) = entry {
            entry.outcome = outcome;
            entry.left = left;
        }
    }

    /// Whether a file that holds `found` is as we left it.
    pub fn wrote(&self, entry: &Entry, found: &str) -> bool {
        let known = self.entries.iter().find(|known| known.is_about(entry));
        known.is_some_and(|known| known.is_ours(found))
    }

    /// Forgets changes that a boot has undone. Their knobs stay known.
    pub fn forget_void(&mut self, boot_id: &str) {
        self.entries.retain(|entry| !entry.is_void(boot_id));
    }

    /// Takes values that a file of ours has set again at the boot for set in this boot: a boot does
    /// not undo those, and what was there before the first change still has to be put back.
    pub fn outlive(&mut self, boot_id: &str) {
        let keepers: Vec<Entry> = self
            .entries
            .iter()
            .filter(|entry| entry.is_kept())
            .cloned()
            .collect();
        for entry in &mut self.entries {
            let is_set_again = |keeper: &Entry| sections::sets(&keeper.after, &entry.path);
            if entry.how == How::Write && keepers.iter().any(is_set_again) {
                boot_id.clone_into(&mut entry.boot_id);
            }
        }
    }

    /// Files that were put or taken away, and of which the host has not taken notice.
    pub fn unheeded(&self) -> impl Iterator<Item = &str> {
        let unheeded = self.entries.iter().filter(|entry| entry.is_unheeded());
        unheeded.map(|entry| entry.path.as_str())
    }

    /// Whether that is so of the file that an entry is about.
    pub fn has_unheeded(&self, entry: &Entry) -> bool {
        let known = self.entries.iter().find(|known| known.is_about(entry));
        known.is_some_and(Entry::is_unheeded)
    }

    /// Files that refused a value in this boot because the kernel keeps it to itself.
    pub fn unmanageable(&self, boot_id: &str) -> impl Iterator<Item = &str> {
        self.entries
            .iter()
            .filter(move |entry| entry.outcome == Outcome::Unmanageable && entry.boot_id == boot_id)
            .map(|entry| entry.path.as_str())
    }
}

impl Entry {
    /// A change that is about to be made.
    pub fn intent(step: &Step, boot_id: &str, ts: u64) -> Entry {
        let (how, before, after) = match step.action.clone() {
            Action::Write { before, after, .. } => (How::Write, Some(before), after),
            Action::DropIn {
                before,
                after,
                reload,
                ..
            } => (How::DropIn { reload }, before, after),
            Action::Run {
                revert,
                verify,
                before,
                after,
                ..
            } => (How::Run { revert, verify }, Some(before), after),
            Action::Affinity {
                comm,
                before,
                after,
                ..
            } => (How::Affinity { comm }, Some(before), after),
        };
        let shared = match &how {
            How::DropIn { .. } => Sections::parse(&after).ids().map(str::to_owned).collect(),
            How::Write | How::Run { .. } | How::Affinity { .. } => Vec::new(),
        };
        Entry {
            id: step.id.to_owned(),
            shared,
            path: step.action.place(),
            how,
            first_before: before.clone(),
            before,
            after,
            left: None,
            reboot: step.reboot,
            disruptive: step.disruptive,
            boot_id: boot_id.to_owned(),
            ts,
            outcome: Outcome::Intent,
        }
    }

    /// Takes over from the entry of an earlier change to the same place what was there first.
    fn follow(&mut self, earlier: Entry) {
        if earlier.is_void(&self.boot_id) {
            return;
        }
        self.first_before = earlier.first_before;
        if let (How::Run { revert, .. }, How::Run { revert: first, .. }) =
            (&mut self.how, earlier.how)
        {
            *revert = first;
        }
    }

    /// Whether a boot has undone the change: values of the kernel do not outlive it, files do.
    pub fn is_void(&self, boot_id: &str) -> bool {
        let is_volatile = match self.how {
            How::Write | How::Affinity { .. } => true,
            How::DropIn { .. } => VOLATILE.iter().any(|folder| self.path.starts_with(folder)),
            How::Run { .. } => false,
        };
        is_volatile && self.boot_id != boot_id
    }

    /// Whether it is a file that is there at the next boot as well.
    fn is_kept(&self) -> bool {
        let is_volatile = VOLATILE.iter().any(|folder| self.path.starts_with(folder));
        matches!(self.how, How::DropIn { .. }) && !is_volatile
    }

    /// Whether the program that makes the host take notice of the file has not been seen to succeed:
    /// it failed, was ended, or the process ended before it.
    pub fn is_unheeded(&self) -> bool {
        let is_open = matches!(self.outcome, Outcome::Intent | Outcome::Failed);
        is_open && matches!(self.how, How::DropIn { reload: Some(_) })
    }

    /// Whether what is found is what we left: what the latest change set or what came of it, or, where
    /// it is not known that it was made, what was there before it.
    pub fn is_ours(&self, found: &str) -> bool {
        let is = |value: &Option<String>| {
            let value = value.as_deref();
            value.is_some_and(|value| change::holds(&self.path, &self.how, found, value))
        };
        change::holds(&self.path, &self.how, found, &self.after)
            || is(&self.left)
            || (self.outcome != Outcome::Applied && is(&self.before))
    }

    /// Whether both are about the same place.
    fn is_about(&self, other: &Entry) -> bool {
        self.path == other.path && self.kind() == other.kind()
    }

    fn kind(&self) -> &'static str {
        match self.how {
            How::Write => "write",
            How::DropIn { .. } => "drop-in",
            How::Run { .. } => "run",
            How::Affinity { .. } => "affinity",
        }
    }
}
