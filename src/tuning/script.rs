//! A plan as a POSIX shell script: the same changes in the same order, for people who want to read
//! them first or to make them without this program.
//!
//! Owns: the script's text. Never does: running it; writing down what was there before, so that only
//! `apply` can be taken back. Runs on: the main thread of a command.

use super::change::taskset;
use super::exit::Exit;
use super::item::Action;
use super::plan::{Plan, Step};

const HEAD: &str = "#!/bin/sh
# The changes of corelane tune apply, made without it. What was there before is written down only as
# remarks: corelane tune revert knows nothing of it.
set -u
root=${TUNING_ROOT:-}
failed=0
";

const FAIL: &str = "
# fail KNOB PLACE: notes a change that could not be made; the others are still made.
fail() {
    failed=$((failed + 1))
    echo \"failed: $1: $2\" >&2
}
";

const WRITE: &str = "
# write PATH VALUE: to a file of the kernel, which has to be there.
write() {
    [ -e \"$root$1\" ] && printf '%s\\n' \"$2\" >\"$root$1\"
}
";

const PUT: &str = "
# put PATH: a file of ours from standard input, all of it or nothing. Whose a file is that is there
# already, only apply knows; so it is left alone, but for those under /run/corelane, which are ours.
put() {
    case $1 in
    /run/corelane/*) ;;
    *) [ ! -e \"$root$1\" ] || return 1 ;;
    esac
    mkdir -p \"$root${1%/*}\" && cat >\"$root$1.new\" && chmod 644 \"$root$1.new\" &&
        mv \"$root$1.new\" \"$root$1\"
}
";

const RUN: &str = "
# run PROGRAM...: a program; of a host that lies in a folder only one that lies in it too.
run() (
    if [ -n \"$root\" ]; then
        PATH=$root/usr/local/sbin:$root/usr/local/bin:$root/usr/sbin:$root/usr/bin:$root/sbin:$root/bin
    fi
    \"$@\" >/dev/null
)
";

const MOVE: &str = "
# is_thread TID NAME: whether a thread is still the one that is meant.
is_thread() {
    [ \"$(cat \"$root/proc/$1/comm\" 2>/dev/null)\" = \"$2\" ]
}
";

/// The script.
pub fn script(plan: &Plan) -> String {
    let mut text = HEAD.to_owned();
    let has = |is: fn(&Action) -> bool| plan.steps.iter().any(|step| is(&step.action));
    let needs_run = |action: &Action| match action {
        Action::Run { .. } | Action::Affinity { .. } => true,
        Action::DropIn { reload, .. } => reload.is_some(),
        Action::Write { .. } => false,
    };
    // Only what is used, so that a reader has nothing to wonder about.
    for (is_used, function) in [
        (!plan.steps.is_empty(), FAIL),
        (has(|action| matches!(action, Action::Write { .. })), WRITE),
        (has(|action| matches!(action, Action::DropIn { .. })), PUT),
        (has(needs_run), RUN),
        (
            has(|action| matches!(action, Action::Affinity { .. })),
            MOVE,
        ),
    ] {
        if is_used {
            text.push_str(function);
        }
    }
    for step in &plan.steps {
        text.push('\n');
        text.push_str(&lines(step));
    }
    for step in &plan.withheld {
        let option = step.disruptive.option().unwrap_or_default();
        let place = remark(&step.action.place());
        text.push_str(&format!(
            "\n# left out without {option}: {} {place}\n",
            step.id
        ));
    }
    let done = match plan.steps.iter().any(|step| step.reboot) {
        true => Exit::Reboot,
        false => Exit::Ok,
    };
    text.push_str(&format!(
        "\n[ \"$failed\" -eq 0 ] || exit {}\nexit {}\n",
        Exit::Partial.code(),
        done.code()
    ));
    text
}

/// One step: what was there before as a remark, and the change.
fn lines(step: &Step) -> String {
    let place = step.action.place();
    let before = match step.action.before() {
        Some(before) => before.lines().next().unwrap_or_default(),
        None => "(no file)",
    };
    let remark = format!("# {}, before: {}\n", step.id, remark(before));
    let or_fail = format!("|| fail {} {}", quoted(step.id), quoted(&place));
    let change = match &step.action {
        Action::Write { path, after, .. } => {
            format!("write {} {} {or_fail}\n", quoted(path), quoted(after))
        }
        Action::DropIn {
            path,
            after,
            reload,
            ..
        } => {
            let end = end_marker(after);
            let body = after.strip_suffix('\n').unwrap_or(after);
            let put = format!("put {} <<'{end}' {or_fail}\n{body}\n{end}\n", quoted(path));
            match reload {
                Some(command) => format!("{put}run {} {or_fail}\n", words(command)),
                None => put,
            }
        }
        Action::Run { apply, .. } => format!("run {} {or_fail}\n", words(apply)),
        Action::Affinity {
            tid, comm, after, ..
        } => {
            let tid = tid.to_string();
            let command = words(&taskset(&tid, after));
            // A thread that has ended needs no moving.
            format!(
                "! is_thread {tid} {} || run {command} {or_fail}\n",
                quoted(comm)
            )
        }
    };
    format!("{remark}{change}")
}

/// A line that the contents do not have.
fn end_marker(contents: &str) -> String {
    let mut marker = "CORELANE".to_owned();
    while contents.lines().any(|line| line == marker) {
        marker.push('_');
    }
    marker
}

fn words(command: &[String]) -> String {
    let words: Vec<String> = command.iter().map(|word| quoted(word)).collect();
    words.join(" ")
}

/// A word that the shell takes as it is.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// Text that ends with its line.
fn remark(text: &str) -> String {
    text.replace(['\n', '\r'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_the_host_stay_words() {
        assert_eq!(quoted("a'b $(c)"), "'a'\\''b $(c)'");
        assert_eq!(end_marker("x\nCORELANE\nCORELANE_\n"), "CORELANE__");
        assert_eq!(remark("a\nrm -rf"), "a rm -rf");
    }
}
