//! The kernel's command line: what a knob wants there, whether it is in force, and the one drop-in
//! file that brings it.
//!
//! Owns: the drop-in. Never does: touching a boot configuration that is not ours; rewriting
//! `GRUB_CMDLINE_LINUX` loses whatever the rewriter does not understand (a second `console=`, a
//! value with `=` in it). Runs on: the main thread of a command.

use crate::tuning::host::Host;
use crate::tuning::item::{Action, Disruption, Status};

use super::draft::{Draft, whole, words as words_of};
use super::{Knob, cpu, irq, kernel, nvme, pcie};

/// Our file where grub-mkconfig looks for additions to `/etc/default/grub`.
pub const GRUB_DROP_IN: &str = "/etc/default/grub.d/60-corelane.cfg";

const GRUB_DEFAULTS: &str = "/etc/default/grub";

/// Where it is there, boot entries are changed through it, and drop-ins are not read.
const GRUBBY: &str = "/usr/sbin/grubby";

/// What makes the boot menu anew from the defaults and the drop-ins, on Debian and its like.
const UPDATE_GRUB: &str = "/usr/sbin/update-grub";

const VARIABLE: &str = "GRUB_CMDLINE_LINUX_DEFAULT";

/// What a knob wants on the command line of this host; nothing where it has no use.
type Parameters = fn(&Host<'_>) -> Vec<String>;

/// Every knob that wants something there.
const ROWS: &[(&Knob, Parameters)] = &[
    (&cpu::ISOLATE, cpu::isolate_parameters),
    (&irq::DEFAULT, irq::default_parameters),
    (&nvme::POLL, nvme::poll_parameters),
    (&kernel::NOHZ_FULL, kernel::nohz_parameters),
    (&kernel::RCU_NOCB, kernel::rcu_parameters),
    (&kernel::TIMER_BOOT, kernel::timer_parameters),
    (&pcie::IOMMU, pcie::iommu_parameters),
];

/// Finds whether the running kernel was given what `knob` wants, and adds what would bring it.
pub(super) fn check(draft: &mut Draft<'_, '_>, host: &Host<'_>, knob: &Knob) -> Status {
    let row = ROWS.iter().find(|(row, _)| row.id == knob.id);
    let wanted = row.map_or(Vec::new(), |(_, parameters)| parameters(host));
    draft.path("/proc/cmdline");
    let running = match host.sys.read("/proc/cmdline") {
        Ok(text) => words(&text),
        Err(error) => return draft.unread("cmdline", &error),
    };
    let arranged = arranged(host);
    let mut status = Status::Ok;
    let mut absent = Vec::new();
    for parameter in wanted.iter().filter(|wanted| !running.contains(wanted)) {
        draft.path(GRUB_DROP_IN);
        if let Some(other) = conflict(parameter, &running, &arranged) {
            status = Status::Drift;
            draft.hint(format!(
                "the command line has {other} from elsewhere: remove it there, then apply"
            ));
        } else if arranged.contains(parameter) {
            if status == Status::Ok {
                status = Status::RebootPending;
            }
            draft.hint(format!("{GRUB_DROP_IN}: boot"));
        } else {
            status = Status::Missing;
            absent.push(parameter.as_str());
        }
    }
    if !absent.is_empty() {
        arrange(draft, host, &absent);
    }
    draft.found(status);
    status
}

/// Adds what brings parameters. Rows of the drop-in add the same action, which is done once.
fn arrange(draft: &mut Draft<'_, '_>, host: &Host<'_>, absent: &[&str]) {
    draft.disrupts(Disruption::Boot);
    if host.sys.exists(GRUBBY) {
        for parameter in absent {
            draft.act(grubby(parameter));
        }
    } else if host.sys.exists(GRUB_DEFAULTS) {
        draft.act(Action::DropIn {
            path: GRUB_DROP_IN.to_owned(),
            before: whole(host, GRUB_DROP_IN),
            after: drop_in(host),
            reload: host
                .sys
                .exists(UPDATE_GRUB)
                .then(|| vec!["update-grub".to_owned()]),
        });
    } else {
        let absent = absent.join(" ");
        draft.hint(format!(
            "no boot loader known here: add {absent} to the kernel's command line"
        ));
    }
}

fn grubby(parameter: &str) -> Action {
    let change = |option: &str| {
        let argument = format!("{option}={parameter}");
        words_of(&["grubby", "--update-kernel=ALL", &argument])
    };
    Action::Run {
        target: format!("grubby {parameter}"),
        apply: change("--args"),
        revert: change("--remove-args"),
        verify: Some((words_of(&["grubby", "--info=ALL"]), format!(" {parameter}"))),
        before: format!("without {parameter}"),
        after: format!("with {parameter}"),
    }
}

/// The drop-in: a line per knob, each of which adds to what is there.
pub fn drop_in(host: &Host<'_>) -> String {
    let running = host.sys.read("/proc/cmdline").unwrap_or_default();
    let running = words(&running);
    let arranged = arranged(host);
    let mut text = String::from(
        "# Made by corelane tune apply --allow-boot, removed by corelane tune revert.\n\
         # Adds to the kernel's command line; update-grub and a boot bring it into force.\n",
    );
    for (knob, parameters) in ROWS {
        let mut wanted = parameters(host);
        wanted.retain(|parameter| conflict(parameter, &running, &arranged).is_none());
        if !super::is_set(host, knob) || wanted.is_empty() {
            continue;
        }
        let wanted = wanted.join(" ");
        text.push_str(&format!("{VARIABLE}=\"${VARIABLE} {wanted}\"\n"));
    }
    text
}

/// The parameters that our drop-in adds already.
fn arranged(host: &Host<'_>) -> Vec<String> {
    let text = host.sys.read(GRUB_DROP_IN).unwrap_or_default();
    let lines = text.lines().map(str::trim);
    lines
        .filter_map(|line| line.strip_prefix(VARIABLE)?.strip_prefix('='))
        .flat_map(|value| words(value.trim_matches('"')))
        .filter(|word| !word.starts_with('$'))
        .collect()
}

/// Another value of the same parameter that did not come through our drop-in.
fn conflict<'a>(parameter: &str, running: &'a [String], arranged: &[String]) -> Option<&'a str> {
    let key = key(parameter);
    let other = |word: &&String| self::key(word) == key && *word != parameter;
    let mut others = running.iter().filter(other);
    others
        .find(|word| !arranged.contains(word))
        .map(String::as_str)
}

/// Whether the running kernel was given `key` with any value.
pub(super) fn running_value(host: &Host<'_>, key: &str) -> Option<String> {
    let text = host.sys.read("/proc/cmdline").ok()?;
    let words = words(&text);
    let word = words.iter().rev().find(|word| self::key(word) == key)?;
    Some(
        word.split_once('=')
            .map_or("", |(_, value)| value)
            .to_owned(),
    )
}

/// Whether a parameter is in force or arranged.
pub(super) fn is_asked(host: &Host<'_>, parameter: &str) -> bool {
    let running = host.sys.read("/proc/cmdline").unwrap_or_default();
    let is_there = |words: &[String]| words.iter().any(|word| word == parameter);
    is_there(&words(&running)) || is_there(&arranged(host))
}

/// Up to the first `=` only: values hold more of them (`resume=UUID=…`). The kernel takes dashes
/// and underscores in names for the same (parameq in kernel/params.c).
fn key(word: &str) -> String {
    let name = word.split_once('=').map_or(word, |(name, _)| name);
    name.replace('-', "_")
}

/// The words of a command line. Quotes keep blanks together; a word may come twice (`console=`), and
/// what follows `--` is for init.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut is_quoted = false;
    for character in line.chars().chain([' ']) {
        match character {
            '"' => is_quoted = !is_quoted,
            blank if blank.is_whitespace() && !is_quoted => {
                if word == "--" {
                    return words;
                }
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
            }
            other => word.push(other),
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_line_keeps_duplicates_equals_signs_and_quotes() {
        let line = "root=UUID=1-2 console=tty0 console=ttyS0,115200 a=\"b c\" quiet -- isolcpus=1";
        assert_eq!(
            words(line),
            [
                "root=UUID=1-2",
                "console=tty0",
                "console=ttyS0,115200",
                "a=b c",
                "quiet"
            ]
        );
        assert_eq!(key("resume=UUID=1"), "resume");
        assert_eq!(key("rcu-nocbs=1"), key("rcu_nocbs=1"));
    }

    #[test]
    fn a_parameter_of_somebody_else_is_a_conflict_and_an_old_one_of_ours_is_not() {
        let running = words("isolcpus=1-3 quiet");
        let wanted = "isolcpus=domain,managed_irq,2-3";
        assert_eq!(conflict(wanted, &running, &[]), Some("isolcpus=1-3"));
        assert_eq!(
            conflict(wanted, &running, &["isolcpus=1-3".to_owned()]),
            None
        );
        assert_eq!(conflict("quiet", &running, &[]), None);
    }
}
