//! Taking changes back, the latest first.
//!
//! Owns: which changes are still ours to take back. Never does: touching what somebody else has
//! changed since, unless it is told to; starting by itself, least of all when a service stops. Runs on:
//! the main thread of a command.

use super::change::{self, ChangeError, Reach};
use super::exit::Exit;
use super::guard::{self, Refusal};
use super::item::Disruption;
use super::plan::Allow;
use super::sections::Sections;
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

/// What is taken back.
pub struct Order<'a> {
    /// The boot that the host is in.
    pub boot_id: &'a str,
    /// Of what somebody else has changed.
    pub foreign: Foreign,
    /// What is allowed.
    pub allow: Allow,
    /// Whether a knob of this name is meant.
    pub wants: &'a dyn Fn(&str) -> bool,
}

/// How much of a change is taken back.
enum Share {
    /// Nothing.
    None,
    /// Lines of some knobs; this is left of the file.
    Part(Sections),
    /// All of it.
    Whole,
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
    /// Taking it back may break this, which was not allowed; it was left alone.
    Withheld(Disruption),
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
            Undone::Foreign(_) | Undone::NotHeld(_) | Undone::Failed(_) | Undone::Withheld(_) => {
                false
            }
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

/// Takes back every change whose knob the order names, the latest first. `tell` hears of each as it is
/// done.
///
/// # Errors
/// It is refused before anything is changed; or the state cannot be saved, and then nothing more is.
pub fn revert(
    reach: Reach<'_>,
    order: &Order<'_>,
    tell: &mut dyn FnMut(&Line),
) -> Result<Reverted, RevertError> {
    let _lock = Lock::take(reach.sys).map_err(|error| match error {
        LockError::Denied => Refusal::Denied {
            knobs: "all that were changed".to_owned(),
        },
        LockError::Held | LockError::Failed(_) => Refusal::Lock(error),
    })?;
    let mut state = State::read(reach.sys).map_err(Refusal::State)?;
    state.outlive(order.boot_id);
    let is_meant = |entry: &Entry| !matches!(share(entry, order.wants), Share::None);
    if state.entries.iter().any(is_meant) {
        guard::before_revert(reach.sys)?;
    }
    let mut reverted = Reverted::default();
    for at in (0..state.entries.len()).rev() {
        let mut entry = state.entries[at].clone();
        let is_held = !order.allow.allows(entry.disruptive) && !entry.is_void(order.boot_id);
        let undone = match share(&entry, order.wants) {
            Share::None => continue,
            Share::Part(_) | Share::Whole if is_held => Undone::Withheld(entry.disruptive),
            Share::Part(rest) => {
                let undone = undo_part(reach, &mut state, at, &rest, order)?;
                entry.id = taken(&entry, order.wants);
                undone
            }
            Share::Whole => undo_whole(reach, &mut state, at, order)?,
        };
        let line = Line { entry, undone };
        tell(&line);
        reverted.lines.push(line);
    }
    forget_knobs(&mut state, order.wants);
    state.save(reach.sys)?;
    Ok(reverted)
}

/// How much of a change is meant. A file that several knobs share goes with the knob that keeps it, or
/// with the last of those that have lines in it.
fn share(entry: &Entry, wants: &dyn Fn(&str) -> bool) -> Share {
    let is_keeper = !entry.shared.contains(&entry.id);
    if is_keeper && wants(&entry.id) {
        return Share::Whole;
    }
    if !entry.shared.iter().any(|id| wants(id)) {
        return Share::None;
    }
    let rest = Sections::parse(&entry.after).without(wants);
    if rest.is_empty() {
        Share::Whole
    } else {
        Share::Part(rest)
    }
}

/// The knobs whose lines are taken out of a shared file.
fn taken(entry: &Entry, wants: &dyn Fn(&str) -> bool) -> String {
    let ids = entry.shared.iter().filter(|id| wants(id));
    let ids: Vec<&str> = ids.map(String::as_str).collect();
    ids.join(",")
}

/// Takes a change back and forgets it.
fn undo_whole(
    reach: Reach<'_>,
    state: &mut State,
    at: usize,
    order: &Order<'_>,
) -> Result<Undone, SysError> {
    let entry = state.entries[at].clone();
    let has_reload = matches!(entry.how, How::DropIn { reload: Some(_) });
    if has_reload {
        // Once the file has gone, nothing else says that the host has to take notice of that.
        state.entries[at].outcome = Outcome::Intent;
        state.save(reach.sys)?;
    }
    let undone = undo(reach, &entry, order.boot_id, order.foreign);
    if undone.is_fine() {
        // Those before it keep their places.
        state.entries.remove(at);
        // A value that is as before says so itself; that a command was run does not.
        if matches!(entry.how, How::Run { .. }) {
            state.save(reach.sys)?;
        }
    } else if has_reload {
        state.entries[at].outcome = match undone {
            Undone::Failed(_) => Outcome::Failed,
            Undone::Reverted
            | Undone::Nothing
            | Undone::Foreign(_)
            | Undone::NotHeld(_)
            | Undone::Withheld(_) => entry.outcome,
        };
    }
    Ok(undone)
}

/// Takes lines out of a file of ours that other knobs have lines in as well.
fn undo_part(
    reach: Reach<'_>,
    state: &mut State,
    at: usize,
    rest: &Sections,
    order: &Order<'_>,
) -> Result<Undone, SysError> {
    let entry = state.entries[at].clone();
    let found = match change::current(reach, &entry.path, &entry.how) {
        Ok(found) => found,
        Err(error) => return Ok(failed(&error)),
    };
    let is_ours = found.as_deref().is_some_and(|found| entry.is_ours(found));
    if !is_ours && order.foreign == Foreign::Skip {
        let found = found.unwrap_or_else(|| "removed".to_owned());
        return Ok(Undone::Foreign(found));
    }
    let intended = &mut state.entries[at];
    intended.before = found;
    intended.after = rest.text();
    intended.outcome = Outcome::Intent;
    state.save(reach.sys)?;
    let known = &mut state.entries[at];
    let after = Some(known.after.as_str());
    if let Err(error) = change::set(reach, &known.path, &known.how, after, &[]) {
        known.outcome = Outcome::Failed;
        return Ok(failed(&error));
    }
    known.outcome = Outcome::Applied;
    known.shared = rest.ids().map(str::to_owned).collect();
    let is_keeper = !entry.shared.contains(&entry.id);
    if let Some(first) = known.shared.first()
        && !is_keeper
    {
        known.id.clone_from(first);
    }
    Ok(Undone::Reverted)
}

/// A knob of which nothing is left is not to be set again by the next boot.
fn forget_knobs(state: &mut State, wants: &dyn Fn(&str) -> bool) {
    let entries = &state.entries;
    let is_left = |id: &String| {
        let mut entries = entries.iter();
        entries.any(|entry| entry.id == *id || entry.shared.contains(id))
    };
    state.knobs.retain(|id| !wants(id) || is_left(id));
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
        return notice(reach, entry);
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
        (How::DropIn { .. }, None) => notice(reach, entry),
        // A device or a thread that has gone has taken the change with it.
        (How::Write | How::Run { .. } | How::Affinity { .. }, _) => Undone::Nothing,
    }
}

/// The file is as it was before; the host may not have taken notice of that.
fn notice(reach: Reach<'_>, entry: &Entry) -> Undone {
    let How::DropIn { reload } = &entry.how else {
        return Undone::Nothing;
    };
    if !entry.is_unheeded() {
        return Undone::Nothing;
    }
    match change::notice(reach, reload.as_deref()) {
        Ok(()) => Undone::Reverted,
        Err(error) => failed(&error),
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
