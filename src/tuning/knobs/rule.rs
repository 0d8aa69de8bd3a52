//! What a value of the kernel should be, and how it is compared: numbers as numbers, selections by
//! what is selected, CPUs as sets.
//!
//! Owns: the comparison, and the text that would be written. Never does: reading or writing. Runs
//! on: the main thread of a command.

use crate::cpu::CpuSet;
use crate::tuning::host::Host;

/// What is wanted of one value.
#[derive(Debug)]
pub(super) enum Rule<'a> {
    /// This text, or this number.
    Is(&'a str),
    /// One of these; the first is written.
    OneOf(&'a [&'a str]),
    /// A number, this or more.
    AtLeast(i64),
    /// A number, this or less.
    AtMost(i64),
    /// A selection of which the kernel shows all choices (`always [madvise] never`): one of these;
    /// the first that it offers is written.
    Selected(&'a [&'a str]),
    /// CPUs that have none of `avoid`; `to` is written.
    Avoids {
        avoid: &'a CpuSet,
        to: &'a CpuSet,
        form: Form,
    },
    /// Exactly these CPUs.
    Cpus(&'a CpuSet, Form),
}

/// How a file spells CPUs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// `0-3,8`
    List,
    /// `ff,ffffffff`
    Mask,
}

/// A value as compared with a rule.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Judged {
    pub current: String,
    pub want: String,
    pub verdict: Verdict,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// As wanted.
    Good,
    /// Not as wanted; `before` can be written back.
    Write { before: String, after: String },
    /// The kernel has no such choice.
    NotOffered,
    /// The file holds what it should not.
    Strange(String),
}

impl Rule<'_> {
    pub(super) fn judge(&self, text: &str, host: &Host<'_>) -> Judged {
        match self {
            Rule::Is(want) => plain(text, want, same(text, want), want),
            Rule::OneOf(wants) => {
                let is_one = wants.iter().any(|want| same(text, want));
                plain(text, &wants.join("|"), is_one, wants[0])
            }
            Rule::AtLeast(least) => number(text, &format!("≥{least}"), *least, |n| n >= *least),
            Rule::AtMost(most) => number(text, &format!("≤{most}"), *most, |n| n <= *most),
            Rule::Selected(wants) => selection(text, wants),
            Rule::Avoids { avoid, to, form } => cpus(text, *form, host, |current| {
                let hit = current.intersection(avoid);
                let want = format!("none of {avoid}");
                (hit.is_empty(), want, (*to).clone())
            }),
            Rule::Cpus(want, form) => cpus(text, *form, host, |current| {
                (current == *want, want.to_string(), (*want).clone())
            }),
        }
    }
}

/// Numbers are equal however they are padded or separated.
fn same(text: &str, want: &str) -> bool {
    match (text.parse::<i64>(), want.parse::<i64>()) {
        (Ok(a), Ok(b)) => a == b,
        _ => text == want,
    }
}

fn plain(text: &str, want: &str, is_good: bool, write: &str) -> Judged {
    let verdict = if is_good {
        Verdict::Good
    } else {
        Verdict::Write {
            before: text.to_owned(),
            after: write.to_owned(),
        }
    };
    Judged {
        current: text.to_owned(),
        want: want.to_owned(),
        verdict,
    }
}

fn number(text: &str, want: &str, bound: i64, is_good: impl Fn(i64) -> bool) -> Judged {
    match text.parse() {
        Ok(n) => plain(text, want, is_good(n), &bound.to_string()),
        Err(_) => strange(text, want, "a number"),
    }
}

fn strange(text: &str, want: &str, expected: &str) -> Judged {
    Judged {
        current: text.to_owned(),
        want: want.to_owned(),
        verdict: Verdict::Strange(format!("'{text}' where {expected} is expected")),
    }
}

/// What a file of choices has selected, and all of its choices. A file that shows its one choice
/// without brackets has selected it.
pub(super) fn selected(text: &str) -> (Option<&str>, Vec<&str>) {
    let mut chosen = None;
    let mut choices = Vec::new();
    for word in text.split_whitespace() {
        let bare = word.trim_start_matches('[').trim_end_matches(']');
        if bare != word {
            chosen = Some(bare);
        }
        choices.push(bare);
    }
    match (chosen, choices.as_slice()) {
        (None, [only]) => (Some(*only), choices),
        _ => (chosen, choices),
    }
}

fn selection(text: &str, wants: &[&str]) -> Judged {
    let (chosen, choices) = selected(text);
    let want = wants.join("|");
    let Some(chosen) = chosen else {
        return strange(text, &want, "a selection in brackets");
    };
    let verdict = if wants.contains(&chosen) {
        Verdict::Good
    } else {
        match wants.iter().find(|want| choices.contains(want)) {
            Some(offered) => Verdict::Write {
                before: chosen.to_owned(),
                after: (*offered).to_owned(),
            },
            None => Verdict::NotOffered,
        }
    };
    Judged {
        current: chosen.to_owned(),
        want,
        verdict,
    }
}

fn cpus(
    text: &str,
    form: Form,
    host: &Host<'_>,
    judge: impl FnOnce(&CpuSet) -> (bool, String, CpuSet),
) -> Judged {
    let parsed = match form {
        Form::List => CpuSet::parse_list(text),
        Form::Mask => CpuSet::parse_mask(text),
    };
    let current = match parsed {
        Ok(current) => current,
        Err(error) => {
            return Judged {
                current: text.to_owned(),
                want: String::new(),
                verdict: Verdict::Strange(error.to_string()),
            };
        }
    };
    let (is_good, want, to) = judge(&current);
    let after = match form {
        Form::List => to.to_string(),
        Form::Mask => to.to_mask(width(host)),
    };
    let verdict = if is_good {
        Verdict::Good
    } else {
        Verdict::Write {
            before: text.to_owned(),
            after,
        }
    };
    // An empty list is a value too.
    let current = match current.to_string() {
        empty if empty.is_empty() => "none".to_owned(),
        list => list,
    };
    Judged {
        current,
        want,
        verdict,
    }
}

/// CPUs in a mask of this host: the kernel pads to the highest CPU that is possible.
pub(super) fn width(host: &Host<'_>) -> usize {
    let highest = host.topology.possible.iter().last();
    highest.map_or(1, |cpu| cpu.index() + 1)
}
