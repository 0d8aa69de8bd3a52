//! Taking changes back, the latest first.
//!
//! Owns: which changes are still ours to take back. Never does: touching what somebody else has
//! changed since, unless it is told to; starting by itself, least of all when a service stops. Runs on:
//! the main thread of a command.

use super::change::{self, ChangeError, Reach};
use super::exit::Exit;
use super::guard::Refusal;
use super::state::{Entry, How, Lock, LockError, Outcome, State};
use crate::cpu::SysError;

/// What is done about a place that somebody else has changed since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Foreign {
    /// It is left alone.
    Skip,
    /// What was there before our first change is put back.
    Overwrite,
}

/// What came of one change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Undone {
    /// It was taken back, and read again.
    Reverted,
    /// It had not been made, or had gone with the boot, the device or the thread.
    Nothing,
    /// Somebody else has changed the place since, and this was found; it was left alone.
    Foreign(String),
    /// It was taken back without an error, and this was read back.
    NotHeld(String),
    /// It could not be taken back.
    Failed(String),
}

/// A change and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The change.
    pub entry: Entry,
    /// What came of it.
    pub undone: Undone,
}

/// What a run came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reverted {
    /// In the order in which it was done.
    pub lines: Vec<Line>,
}

/// Why nothing, or nothing more, was taken back.
#[derive(Debug, thiserror::Error)]
pub enum RevertError {
    /// It is not safe to.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// What was taken back cannot be written down, so nothing more is.
    #[error("the state cannot be saved, so nothing more was taken back: {0}")]
    State(#[from] SysError),
}

impl RevertError {
    /// How the command ends.
    pub fn exit(&self) -> Exit {
        match self {
            RevertError::Refused(_) => Exit::Refused,
            RevertError::State(_) => Exit::Error,
        }
    }
}

impl Undone {
    /// Whether nothing of ours is left there.
    pub fn is_fine(&self) -> bool {
        match self {
            Undone::Reverted | Undone::Nothing => true,
            Undone::Foreign(_) | Undone::NotHeld(_) | Undone::Failed(_) => false,
        }
    }
}

impl Reverted {
    /// How the command ends.
    pub fn exit(&self) -> Exit {
        let takes_boot = |line: &Line| line.undone == Undone::Reverted && line.entry.reboot;
        if self.lines.iter().any(|line| !line.undone.is_fine()) {
            Exit::Partial
        } else if self.lines.iter().any(takes_boot) {
            Exit::Reboot
        } else {
            Exit::Ok
        }
    }
}

/// Takes back every change whose knob `wants` names, the latest first. `tell` hears of each as it is
/// done.
///
/// # Errors
/// It is refused before anything is changed; or the state cannot be saved, and then nothing more is.
pub fn revert(
    reach: Reach<'_>,
    boot_id: &str,
    foreign: Foreign,
    wants: &dyn Fn(&str) -> bool,
    tell: &mut dyn FnMut(&Line),
) -> Result<Reverted, RevertError> {
    let _lock = Lock::take(reach.sys).map_err(|error| match error {
        LockError::Denied => Refusal::Denied {
            knobs: "all that were changed".to_owned(),
        },
        LockError::Held | LockError::Failed(_) => Refusal::Lock(error),
    })?;
    let mut state = State::read(reach.sys).map_err(Refusal::State)?;
    let mut reverted = Reverted::default();
    for at in (0..state.entries.len()).rev() {
        if !wants(&state.entries[at].id) {
            continue;
        }
        let entry = state.entries[at].clone();
        let undone = undo(reach, &entry, boot_id, foreign);
        if undone.is_fine() {
            // Those before it keep their places.
            state.entries.remove(at);
            state.save(reach.sys)?;
        }
        let line = Line { entry, undone };
        tell(&line);
        reverted.lines.push(line);
    }
    forget_knobs(&mut state, wants);
    state.save(reach.sys)?;
    Ok(reverted)
}

/// A knob of which nothing is left is not to be set again by the next boot.
fn forget_knobs(state: &mut State, wants: &dyn Fn(&str) -> bool) {
    let entries = &state.entries;
    state
        .knobs
        .retain(|id| !wants(id) || entries.iter().any(|entry| entry.id == *id));
}

fn undo(reach: Reach<'_>, entry: &Entry, boot_id: &str, foreign: Foreign) -> Undone {
    if entry.is_void(boot_id) || entry.outcome == Outcome::Unmanageable {
        return Undone::Nothing;
    }
    let found = match change::current(reach, &entry.path, &entry.how) {
        Ok(found) => found,
        Err(error) => return failed(&error),
    };
    if matches!(entry.how, How::Run { .. }) {
        return undo_run(reach, entry, boot_id, found, foreign);
    }
    let Some(found) = found else {
        return undo_absent(reach, entry, foreign);
    };
    let is_first = |found: &str| {
        let first = entry.first_before.as_deref();
        first.is_some_and(|first| change::holds(&entry.path, &entry.how, found, first))
    };
    if is_first(&found) {
        return Undone::Nothing;
    }
    if !entry.is_ours(&found) && foreign == Foreign::Skip {
        return Undone::Foreign(found);
    }
    let first = entry.first_before.as_deref();
    if let Err(error) = change::set(reach, &entry.path, &entry.how, first, &[]) {
        return failed(&error);
    }
    match change::current(reach, &entry.path, &entry.how) {
        Ok(None) if first.is_none() => Undone::Reverted,
        Ok(Some(found)) if is_first(&found) => Undone::Reverted,
        Ok(found) => Undone::NotHeld(found.unwrap_or_default()),
        Err(error) => failed(&error),
    }
}

/// The place is not there. A file of somebody that we had replaced is put back only when told to:
/// somebody has taken ours away since.
fn undo_absent(reach: Reach<'_>, entry: &Entry, foreign: Foreign) -> Undone {
    let first = entry.first_before.as_deref();
    match (&entry.how, first) {
        (How::DropIn { .. }, Some(_)) if foreign == Foreign::Skip => {
            Undone::Foreign("removed".to_owned())
        }
        (How::DropIn { .. }, Some(_)) => {
            match change::set(reach, &entry.path, &entry.how, first, &[]) {
                Ok(()) => Undone::Reverted,
                Err(error) => failed(&error),
            }
        }
        // A device or a thread that has gone has taken the change with it.
        (How::DropIn { .. } | How::Write | How::Run { .. } | How::Affinity { .. }, _) => {
            Undone::Nothing
        }
    }
}

/// `found` is what is said about whether the change is in force; none where nothing says.
fn undo_run(
    reach: Reach<'_>,
    entry: &Entry,
    boot_id: &str,
    found: Option<String>,
    foreign: Foreign,
) -> Undone {
    let How::Run { revert, .. } = &entry.how else {
        return Undone::Nothing;
    };
    let is_in_force = |found: &str| change::holds(&entry.path, &entry.how, found, &entry.after);
    if let Some(found) = &found
        && !is_in_force(found)
    {
        // Not made, or undone by a boot; or by somebody else.
        if entry.outcome != Outcome::Applied || entry.boot_id != boot_id {
            return Undone::Nothing;
        }
        if foreign == Foreign::Skip {
            return Undone::Foreign(found.clone());
        }
    }
    if let Err(error) = change::set(reach, &entry.path, &entry.how, None, revert) {
        return failed(&error);
    }
    match change::current(reach, &entry.path, &entry.how) {
        Ok(Some(found)) if is_in_force(&found) => Undone::NotHeld(found),
        Ok(_) => Undone::Reverted,
        Err(error) => failed(&error),
    }
}

fn failed(error: &ChangeError) -> Undone {
    Undone::Failed(error.to_string())
}
