//! Tables and JSON of what was found, what would be done and what was done.
//!
//! Owns: their form, which does not change but with the schema. Never does: printing. Runs on: the
//! main thread of a command.

use std::fmt;

use serde::Serialize;

use super::apply::{self, Applied, Done};
use super::check::{FailOn, Report, Summary};
use super::exit::Exit;
use super::host::{Facts, Host};
use super::item::{Disruption, Group, Item, Persist, Status};
use super::plan::{Plan, Step};
use super::revert::{self, Reverted, Undone};

/// The version of the JSON.
pub const SCHEMA: u32 = 1;

/// What makes the JSON.
const TOOL: &str = concat!("corelane ", env!("CARGO_PKG_VERSION"));

/// Which items a table has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// All.
    All,
    /// Those that are not as wanted.
    Unmet,
}

/// What every JSON starts with.
#[derive(Serialize)]
struct Head<'a> {
    schema: u32,
    tool: &'static str,
    host: &'a Facts,
    layout_hash: Option<&'a str>,
}

#[derive(Serialize)]
struct CheckJson<'a> {
    #[serde(flatten)]
    head: Head<'a>,
    summary: Summary,
    items: Vec<ItemJson<'a>>,
}

/// An item as readers elsewhere see it: without the actions, which `plan` has.
#[derive(Serialize)]
struct ItemJson<'a> {
    id: &'a str,
    group: Group,
    status: Status,
    current: &'a str,
    want: &'a str,
    paths: &'a [String],
    persist: Persist,
    reboot: bool,
    disruptive: Disruption,
    error: Option<&'a str>,
    hint: Option<&'a str>,
}

#[derive(Serialize)]
struct PlanJson<'a> {
    #[serde(flatten)]
    head: Head<'a>,
    steps: &'a [Step],
    withheld: &'a [Step],
}

#[derive(Serialize)]
struct RunJson<'a> {
    #[serde(flatten)]
    head: Head<'a>,
    exit: u8,
    steps: Vec<DoneJson<'a>>,
    withheld: &'a [Step],
}

#[derive(Serialize)]
struct DoneJson<'a> {
    id: &'a str,
    place: String,
    result: &'static str,
    detail: Option<&'a str>,
}

fn head<'a>(host: &'a Host<'_>) -> Head<'a> {
    let layout = host.layout.as_ref().ok();
    Head {
        schema: SCHEMA,
        tool: TOOL,
        host: &host.facts,
        layout_hash: layout.and_then(|layout| layout.hash.as_deref()),
    }
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string_pretty(value).expect("text, numbers and lists only")
}

/// `check` as JSON.
pub fn check_json(host: &Host<'_>, report: &Report) -> String {
    json(&CheckJson {
        head: head(host),
        summary: report.summary(),
        items: report.items.iter().map(ItemJson::of).collect(),
    })
}

/// `plan` as JSON.
pub fn plan_json(host: &Host<'_>, plan: &Plan) -> String {
    json(&PlanJson {
        head: head(host),
        steps: &plan.steps,
        withheld: &plan.withheld,
    })
}

/// `apply` as JSON.
pub fn apply_json(host: &Host<'_>, applied: &Applied) -> String {
    let lines = applied.lines.iter().map(|line| DoneJson {
        id: line.step.id,
        place: line.step.action.place(),
        result: line.done.name(),
        detail: line.done.detail(),
    });
    json(&RunJson {
        head: head(host),
        exit: applied.exit().code(),
        steps: lines.collect(),
        withheld: &applied.withheld,
    })
}

/// `revert` as JSON.
pub fn revert_json(reverted: &Reverted) -> String {
    let lines = reverted.lines.iter().map(|line| DoneJson {
        id: &line.entry.id,
        place: line.entry.path.clone(),
        result: line.undone.name(),
        detail: line.undone.detail(),
    });
    let steps: Vec<DoneJson<'_>> = lines.collect();
    let exit = reverted.exit().code();
    json(&serde_json::json!({"schema": SCHEMA, "tool": TOOL, "exit": exit, "steps": steps}))
}

impl<'a> ItemJson<'a> {
    fn of(item: &'a Item) -> ItemJson<'a> {
        ItemJson {
            id: item.id,
            group: item.group,
            status: item.status,
            current: &item.current,
            want: &item.want,
            paths: &item.paths,
            persist: item.persist,
            reboot: item.reboot,
            disruptive: item.disruptive,
            error: item.error.as_deref(),
            hint: item.hint.as_deref(),
        }
    }
}

/// Which host is meant, in one line; another one where it lies in a folder.
pub fn header(host: &Host<'_>) -> String {
    let mut text = String::new();
    let root = host.sys.root();
    if root != "/" {
        text.push_str(&format!(
            "root  {}: no real host is looked at\n",
            root.display()
        ));
    }
    let (facts, topology) = (&host.facts, &host.topology);
    let mut packages: Vec<u32> = topology.cores.iter().map(|core| core.package).collect();
    packages.sort_unstable();
    packages.dedup();
    let (cores, threads) = (topology.cores.len(), topology.online.len());
    let size = match packages.len() {
        0 | 1 => format!("{cores}c/{threads}t"),
        packages => format!("{packages}×{}c/{threads}t", cores / packages),
    };
    let name = if facts.name.is_empty() {
        "-"
    } else {
        &facts.name
    };
    text.push_str(&format!(
        "host  {name}  {size}  kernel {}  profile {}  ",
        facts.kernel, host.profile.name
    ));
    match &host.layout {
        Ok(layout) => text.push_str(&format!(
            "layout {}  S={} H={} I={} parked={}",
            layout.hash.as_deref().unwrap_or("by hand"),
            layout.shard_cpus(),
            layout.housekeeping,
            layout.io,
            if layout.parked.is_empty() {
                "-".to_owned()
            } else {
                layout.parked.to_string()
            },
        )),
        Err(why) => text.push_str(&format!("no layout: {why}")),
    }
    text
}

/// `check` as a table with its footer.
pub fn check_table(host: &Host<'_>, report: &Report, fail_on: FailOn, shown: Shown) -> String {
    let mut rows = vec![
        ["ID", "GRP", "CURRENT", "WANT", "STATUS", "HOW"]
            .map(str::to_owned)
            .to_vec(),
    ];
    let is_shown = |item: &&Item| {
        shown == Shown::All || !matches!(item.status, Status::Ok | Status::NotApplicable)
    };
    rows.extend(report.items.iter().filter(is_shown).map(|item| {
        vec![
            item.id.to_owned(),
            format!("{:?}", item.group),
            item.current.clone(),
            item.want.clone(),
            item.status.name().to_owned(),
            how(item),
        ]
    }));
    let footer = footer(report, report.summary().exit(fail_on));
    format!("{}\n{}{footer}", header(host), table(&rows))
}

/// How an item becomes as wanted, and what to know about it.
fn how(item: &Item) -> String {
    let way = match (item.status, item.disruptive.option()) {
        (Status::RebootPending, _) => "boot".to_owned(),
        (Status::Drift | Status::Missing, _) if item.actions.is_empty() => "by hand".to_owned(),
        (Status::Drift | Status::Missing, None) => "apply".to_owned(),
        (Status::Drift | Status::Missing, Some(option)) => format!("apply {option}"),
        (Status::Ok | Status::Unreadable | Status::Unmanageable | Status::NotApplicable, _) => {
            "-".to_owned()
        }
    };
    let notes = [item.error.as_deref(), item.hint.as_deref()];
    let notes: Vec<&str> = notes.into_iter().flatten().collect();
    if notes.is_empty() {
        way
    } else {
        format!("{way}  {}", notes.join("; "))
    }
}

fn footer(report: &Report, exit: Exit) -> String {
    let mut parts = Vec::new();
    for (status, count) in report.summary().counts {
        let must = report
            .items
            .iter()
            .filter(|item| item.status == status && item.group == Group::A);
        let must = match must.count() {
            0 => String::new(),
            must if status.is_unmet() => format!(" ({must} must)"),
            _ => String::new(),
        };
        parts.push(format!("{count} {}{must}", status.name()));
    }
    format!("{}  exit {}", parts.join(" · "), exit.code())
}

/// Columns side by side; the last is as long as it is.
fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(&format!("{cell:<width$}  "));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// `plan` as lines.
pub fn plan_lines(host: &Host<'_>, plan: &Plan) -> String {
    let mut rows = Vec::new();
    for (number, step) in (1..).zip(&plan.steps) {
        rows.push(vec![
            format!("{number:>2}"),
            step.id.to_owned(),
            step.action.place(),
            change(step),
            format!("revert: {}", way_back(step)),
            marks(step),
        ]);
    }
    let mut text = format!("{}\n{}", header(host), table(&rows));
    text.push_str(&withheld(&plan.withheld));
    let (count, held) = (plan.steps.len(), plan.withheld.len());
    text.push_str(&format!(
        "{count} to do · {held} withheld  exit {}",
        plan.exit().code()
    ));
    text
}

/// What needs a word from the operator first, a line each.
pub fn withheld(steps: &[Step]) -> String {
    let mut text = String::new();
    for step in steps {
        let option = step.disruptive.option().unwrap_or_default();
        let (place, change) = (step.action.place(), change(step));
        text.push_str(&format!(
            "-- needs {option}: {}  {place}  {change}\n",
            step.id
        ));
    }
    text
}

/// What is there and what is to be there.
fn change(step: &Step) -> String {
    use super::item::Action;
    match &step.action {
        Action::DropIn { before, after, .. } => {
            let lines = |text: &str| format!("{} lines", text.lines().count());
            let before = before.as_deref().map_or("none".to_owned(), lines);
            format!("{before} → {}", lines(after))
        }
        Action::Write { before, after, .. }
        | Action::Run { before, after, .. }
        | Action::Affinity { before, after, .. } => format!("\"{before}\" → \"{after}\""),
    }
}

fn way_back(step: &Step) -> String {
    use super::item::Action;
    match &step.action {
        Action::Write { before, .. } | Action::Affinity { before, .. } => format!("\"{before}\""),
        Action::DropIn { before: None, .. } => "removed".to_owned(),
        Action::DropIn {
            before: Some(_), ..
        } => "as before".to_owned(),
        Action::Run { revert, .. } => revert.join(" "),
    }
}

fn marks(step: &Step) -> String {
    let disruptive = match step.disruptive {
        Disruption::LinkReset => Some("link goes down"),
        Disruption::None | Disruption::Boot => None,
    };
    let reboot = step.reboot.then_some("takes a boot");
    let marks: Vec<&str> = [disruptive, reboot].into_iter().flatten().collect();
    marks.join(", ")
}

/// A line of `apply`.
impl fmt::Display for apply::Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (id, place) = (self.step.id, self.step.action.place());
        write!(
            f,
            "{:<12} {id}  {place}  {}",
            self.done.name(),
            change(&self.step)
        )?;
        self.done
            .detail()
            .map_or(Ok(()), |detail| write!(f, "  {detail}"))
    }
}

/// A line of `revert`.
impl fmt::Display for revert::Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (id, place) = (&self.entry.id, &self.entry.path);
        write!(f, "{:<12} {id}  {place}", self.undone.name())?;
        self.undone
            .detail()
            .map_or(Ok(()), |detail| write!(f, "  {detail}"))
    }
}

impl Done {
    fn name(&self) -> &'static str {
        match self {
            Done::Applied => "applied",
            Done::Already => "already",
            Done::NotHeld(_) => "not-held",
            Done::Unmanageable => "unmanageable",
            Done::Foreign => "foreign",
            Done::Gone => "gone",
            Done::Denied(_) => "denied",
            Done::Failed(_) => "failed",
        }
    }

    fn detail(&self) -> Option<&str> {
        match self {
            Done::NotHeld(text) | Done::Denied(text) | Done::Failed(text) => Some(text),
            Done::Foreign => {
                Some("written or edited by somebody else and left alone; remove it, then apply")
            }
            Done::Applied | Done::Already | Done::Unmanageable | Done::Gone => None,
        }
    }
}

impl Undone {
    fn name(&self) -> &'static str {
        match self {
            Undone::Reverted => "reverted",
            Undone::Nothing => "nothing",
            Undone::Foreign(_) => "foreign",
            Undone::NotHeld(_) => "not-held",
            Undone::Failed(_) => "failed",
            Undone::Withheld(_) => "withheld",
        }
    }

    fn detail(&self) -> Option<&str> {
        match self {
            Undone::Foreign(text) | Undone::NotHeld(text) | Undone::Failed(text) => Some(text),
            Undone::Withheld(disruption) => disruption.option(),
            Undone::Reverted | Undone::Nothing => None,
        }
    }
}
