//! Making the changes of a plan, each written down before it is made and read again after it.
//!
//! Owns: the order of writing down, changing and reading again; what the run came to. Never does:
//! deciding what is wanted; overwriting a file that somebody else wrote. Runs on: the main thread of a
//! command.

use super::change::{self, ChangeError, Reach};
use super::check::{Selection, check_knobs};
use super::exit::Exit;
use super::guard::{self, Refusal};
use super::host::Host;
use super::item::Disruption;
use super::knobs::{Knob, LAYOUT};
use super::plan::{Allow, Plan, PlanError, Step};
use super::state::{Entry, How, Lock, LockError, Outcome, State};
use crate::clock;
use crate::cpu::SysError;

/// Setting one knob may bring up others: a network link that was reset has new interrupts. So the
/// host is looked at again until nothing new is to be done, but not for ever.
const ROUNDS_MAX: usize = 4;

/// Files under this folder are made by us alone, and anew at every boot.
const OWN_FOLDER: &str = "/run/corelane/";

/// What is applied.
pub struct Order<'a> {
    /// The knobs that there are.
    pub catalogue: &'a [Knob],
    /// Those that are applied.
    pub selection: &'a Selection,
    /// What is allowed.
    pub allow: Allow,
}

/// What came of one step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Done {
    /// It was made, and read back.
    Applied,
    /// It was so already.
    Already,
    /// It was made without an error, and this was read back.
    NotHeld(String),
    /// The kernel keeps the value to itself; no failure.
    Unmanageable,
    /// The file was written or edited by somebody else; it was left alone.
    Foreign,
    /// The place has gone since it was looked at.
    Gone,
    /// This process may not.
    Denied(String),
    /// It could not be made.
    Failed(String),
}

/// A step and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The step.
    pub step: Step,
    /// What came of it.
    pub done: Done,
}

/// What a run came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// In the order in which it was done.
    pub lines: Vec<Line>,
    /// What needs a word from the operator first.
    pub withheld: Vec<Step>,
}

/// Why nothing, or nothing more, was done.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// It is not safe to.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Knobs contradict each other.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// What is about to be done cannot be written down, so it is not done.
    #[error("the state cannot be saved, so nothing more was changed: {0}")]
    State(#[from] SysError),
}

impl ApplyError {
    /// How the command ends.
    pub fn exit(&self) -> Exit {
        match self {
            ApplyError::Refused(_) => Exit::Refused,
            ApplyError::Plan(_) | ApplyError::State(_) => Exit::Error,
        }
    }
}

impl Done {
    /// Whether the host is as wanted there, or as near to it as it can be.
    pub fn is_fine(&self) -> bool {
        match self {
            Done::Applied | Done::Already | Done::Unmanageable | Done::Gone => true,
            Done::NotHeld(_) | Done::Foreign | Done::Denied(_) | Done::Failed(_) => false,
        }
    }
}

impl Applied {
    /// How the command ends.
    pub fn exit(&self) -> Exit {
        let takes_boot = |line: &Line| line.step.reboot && line.done == Done::Applied;
        if self.lines.iter().any(|line| !line.done.is_fine()) {
            Exit::Partial
        } else if self.lines.iter().any(takes_boot) {
            Exit::Reboot
        } else {
            Exit::Ok
        }
    }

    /// Knobs for which this process has not the rights, each once.
    pub fn denied(&self) -> Vec<&'static str> {
        let denied = |line: &&Line| matches!(line.done, Done::Denied(_));
        let mut ids: Vec<_> = self
            .lines
            .iter()
            .filter(denied)
            .map(|line| line.step.id)
            .collect();
        ids.dedup();
        ids
    }
}

/// Brings the host to what is wanted. `tell` hears of each step as it is done.
///
/// # Errors
/// It is refused before anything is changed; or the state cannot be saved, and then nothing more is.
pub fn apply(
    host: &mut Host<'_>,
    order: &Order<'_>,
    tell: &mut dyn FnMut(&Line),
) -> Result<Applied, ApplyError> {
    host.selection = order.selection.clone();
    let report = check_knobs(host, order.selection, order.catalogue);
    let first = Plan::of(&report, order.allow)?;
    guard::before_apply(host, order.selection, &report, &first)?;
    let _lock = Lock::take(host.sys).map_err(|error| refused(error, &first))?;
    let mut state = State::read(host.sys).map_err(Refusal::State)?;
    state.outlive(&host.facts.boot_id);
    state.forget_void(&host.facts.boot_id);
    host.know(&state);
    let mut run = Run {
        state,
        applied: Applied::default(),
    };
    for _ in 0..ROUNDS_MAX {
        let report = check_knobs(host, order.selection, order.catalogue);
        let plan = Plan::of(&report, order.allow)?;
        run.applied.withheld = plan.withheld;
        let steps: Vec<Step> = plan
            .steps
            .into_iter()
            .filter(|step| run.is_new(step))
            .collect();
        if steps.is_empty() {
            break;
        }
        run.round(host, steps, tell)?;
        host.know(&run.state);
    }
    run.look_again(host)?;
    run.note_order(host)?;
    Ok(run.applied)
}

fn refused(error: LockError, plan: &Plan) -> Refusal {
    let mut ids: Vec<_> = plan.steps.iter().map(|step| step.id).collect();
    ids.dedup();
    match error {
        LockError::Denied => Refusal::Denied {
            knobs: ids.join(", "),
        },
        LockError::Held | LockError::Failed(_) => Refusal::Lock(error),
    }
}

/// A run of apply under way.
struct Run {
    state: State,
    applied: Applied,
}

impl Run {
    /// Whether a step has not been tried in this run.
    fn is_new(&self, step: &Step) -> bool {
        let place = step.action.place();
        !self.applied.lines.iter().any(|line| {
            line.step.action.place() == place && line.step.action.after() == step.action.after()
        })
    }

    /// Makes changes: looks at all, writes all down at once, which is as safe as one by one and does
    /// not wait for the disk hundreds of times, and then changes and reads again each.
    fn round(
        &mut self,
        host: &Host<'_>,
        steps: Vec<Step>,
        tell: &mut dyn FnMut(&Line),
    ) -> Result<(), ApplyError> {
        let ts = u64::try_from(clock::wall().0 / 1_000_000).unwrap_or_default();
        let mut intended = Vec::new();
        for step in steps {
            let entry = Entry::intent(&step, &host.facts.boot_id, ts);
            match self.beforehand(host.reach(), &entry) {
                Some(done) => self.note(step, done, tell),
                None => intended.push((step, entry)),
            }
        }
        if intended.is_empty() {
            return Ok(());
        }
        for (step, entry) in &intended {
            self.state.intend(entry.clone());
            self.state.link_reset |= step.disruptive == Disruption::LinkReset;
        }
        self.state.profile = Some(host.profile.name.clone());
        self.state.layout = host.kept_layout();
        self.state.save(host.sys)?;
        for (step, entry) in intended {
            let done = self.make(host.reach(), &step, &entry);
            self.note(step, done, tell);
        }
        Ok(self.state.save(host.sys)?)
    }

    fn note(&mut self, step: Step, done: Done, tell: &mut dyn FnMut(&Line)) {
        let line = Line { step, done };
        tell(&line);
        self.applied.lines.push(line);
    }

    /// Makes one change that was written down, and reads it again.
    fn make(&mut self, reach: Reach<'_>, step: &Step, entry: &Entry) -> Done {
        let (after, command) = (Some(entry.after.as_str()), step.action.command());
        let set = change::set(reach, &entry.path, &entry.how, after, command);
        let (outcome, left, done) = match set {
            Err(error) if error.is_managed() => (Outcome::Unmanageable, None, Done::Unmanageable),
            Err(error) => (Outcome::Failed, None, failed(&error)),
            Ok(()) => read_back(reach, entry),
        };
        self.state.settle(entry, outcome, left);
        done
    }

    /// What can be said before a change is made, which then is not made.
    fn beforehand(&self, reach: Reach<'_>, entry: &Entry) -> Option<Done> {
        let found = match change::current(reach, &entry.path, &entry.how) {
            Ok(found) => found,
            Err(_) if can_be_unknown(&entry.how) => return None,
            Err(error) => return Some(failed(&error)),
        };
        let is_file = matches!(entry.how, How::DropIn { .. });
        let Some(found) = found else {
            let has_to_be_there = matches!(entry.how, How::Write | How::Affinity { .. });
            return has_to_be_there.then_some(Done::Gone);
        };
        // What tells about a command may tell a part only; whether it is to be run, its knob says.
        let is_command = matches!(entry.how, How::Run { .. });
        let is_open = is_command || self.state.has_unheeded(entry);
        if !is_open && change::holds(&entry.path, &entry.how, &found, &entry.after) {
            return Some(Done::Already);
        }
        let is_ours = entry.path.starts_with(OWN_FOLDER) || self.state.wrote(entry, &found);
        (is_file && !is_ours).then_some(Done::Foreign)
    }

    /// Notes by which profile and layout the host was brought where it is, if these are others than
    /// before. A layout that is in its place is put there again by the next boot, whoever wrote it.
    fn note_order(&mut self, host: &Host<'_>) -> Result<(), SysError> {
        let is_new = host.has_layout_in_place() && self.state.knobs.insert(LAYOUT.id.to_owned());
        let (name, layout) = (Some(host.profile.name.clone()), host.kept_layout());
        let is_same = self.state.profile == name && self.state.layout == layout;
        if self.state.is_empty() || (is_same && !is_new) {
            return Ok(());
        }
        self.state.profile = name;
        self.state.layout = layout;
        self.state.save(host.sys)
    }

    /// Reads everything again once all is done: a later change, or somebody else, may have undone an
    /// earlier one.
    fn look_again(&mut self, host: &Host<'_>) -> Result<(), SysError> {
        let mut is_new = false;
        let places: Vec<String> = self
            .applied
            .lines
            .iter()
            .map(|line| line.step.action.place())
            .collect();
        for (at, line) in self.applied.lines.iter_mut().enumerate() {
            // A later round may have wanted more of the same file, and then its value counts.
            let is_replaced = places[at + 1..].contains(&places[at]);
            if line.done != Done::Applied || is_replaced {
                continue;
            }
            let entry = Entry::intent(&line.step, "", 0);
            let (outcome, left, done) = read_back(host.reach(), &entry);
            if done != Done::Applied {
                self.state.settle(&entry, outcome, left);
                line.done = done;
                is_new = true;
            }
        }
        if is_new {
            self.state.save(host.sys)
        } else {
            Ok(())
        }
    }
}

/// Reads a place again that was set without an error.
fn read_back(reach: Reach<'_>, entry: &Entry) -> (Outcome, Option<String>, Done) {
    match change::current(reach, &entry.path, &entry.how) {
        Ok(Some(found)) if change::holds(&entry.path, &entry.how, &found, &entry.after) => {
            (Outcome::Applied, None, Done::Applied)
        }
        Ok(Some(found)) => (Outcome::NotHeld, Some(found.clone()), Done::NotHeld(found)),
        // A command that nothing tells about has said itself that it went well.
        Ok(None) if matches!(entry.how, How::Run { verify: None, .. }) => {
            (Outcome::Applied, None, Done::Applied)
        }
        Ok(None) => (Outcome::Failed, None, Done::Gone),
        Err(error) => (Outcome::Failed, None, failed(&error)),
    }
}

fn failed(error: &ChangeError) -> Done {
    if error.is_denied() {
        Done::Denied(error.to_string())
    } else {
        Done::Failed(error.to_string())
    }
}

/// Whether a change may be made although what is there cannot be told: what tells about a command may
/// fail exactly because it has not been run.
fn can_be_unknown(how: &How) -> bool {
    matches!(how, How::Run { .. })
}
