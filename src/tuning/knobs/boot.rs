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
    let arranged = Arranged::read(host);
    let place = match Loader::of(host) {
        Loader::Grubby => GRUBBY,
        Loader::Grub | Loader::Unknown => GRUB_DROP_IN,
    };
    let is_unheeded = host.unheeded.contains(place);
    let mut status = Status::Ok;
    let mut absent = Vec::new();
    for parameter in wanted.iter().filter(|wanted| !running.contains(wanted)) {
        draft.path(place);
        if let Some(other) = conflict(parameter, &running, &arranged) {
            status = Status::Drift;
            draft.hint(format!(
                "the command line has {other} from elsewhere: remove it there, then apply"
            ));
        } else if arranged.has(parameter) && !is_unheeded {
            if status == Status::Ok {
                status = Status::RebootPending;
            }
            draft.hint(format!("{place}: boot"));
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
    match Loader::of(host) {
        Loader::Grubby => {
            for parameter in absent {
                draft.act(grubby(parameter));
            }
        }
        Loader::Grub => draft.act(Action::DropIn {
            path: GRUB_DROP_IN.to_owned(),
            before: whole(host, GRUB_DROP_IN),
            after: drop_in(host),
            reload: Some(words_of(&["update-grub"])),
        }),
        Loader::Unknown => {
            let absent = absent.join(" ");
            draft.hint(format!(
                "no boot loader known here: add {absent} to the kernel's command line"
            ));
        }
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
        verify: Some((words_of(&["grubby", "--info=ALL"]), parameter.to_owned())),
        before: format!("without {parameter}"),
        after: format!("with {parameter}"),
    }
}

/// The drop-in: a line per knob, each of which adds to what is there.
pub fn drop_in(host: &Host<'_>) -> String {
    let running = host.sys.read("/proc/cmdline").unwrap_or_default();
    let running = words(&running);
    let arranged = Arranged::read(host);
    let head = "# Made by corelane tune apply --allow-boot, removed by corelane tune revert.\n\
         # Adds to the kernel's command line; update-grub and a boot bring it into force.\n";
    let knobs = ROWS.iter().map(|(knob, _)| *knob);
    let file = super::shared_file(host, GRUB_DROP_IN, head, knobs, |knob| {
        let row = ROWS.iter().find(|(row, _)| row.id == knob.id);
        let mut wanted = row.map_or(Vec::new(), |(_, parameters)| parameters(host));
        wanted.retain(|parameter| conflict(parameter, &running, &arranged).is_none());
        if wanted.is_empty() {
            return String::new();
        }
        let wanted = wanted.join(" ");
        format!("{VARIABLE}=\"${VARIABLE} {wanted}\"\n")
    });
    file.text()
}

/// What changes the next kernel's command line on a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Loader {
    /// grubby(8): entries are changed one by one, and drop-ins are not read.
    Grubby,
    /// Our drop-in and `update-grub`. A grub-mkconfig without it (Arch, openSUSE) is the original one,
    /// which reads `/etc/default/grub` and nothing beside it.
    Grub,
    /// Something else.
    Unknown,
}

impl Loader {
    fn of(host: &Host<'_>) -> Loader {
        if host.sys.exists(GRUBBY) {
            Loader::Grubby
        } else if host.sys.exists(GRUB_DEFAULTS) && host.sys.exists(UPDATE_GRUB) {
            Loader::Grub
        } else {
            Loader::Unknown
        }
    }
}

/// The parameters that the next kernel gets, as far as is known.
#[derive(Debug, Default)]
struct Arranged {
    /// By our drop-in.
    ours: Vec<String>,
    /// By every boot entry.
    everywhere: Vec<String>,
    /// By some boot entry; by whom it was put there is not known.
    elsewhere: Vec<String>,
}

impl Arranged {
    fn read(host: &Host<'_>) -> Arranged {
        match Loader::of(host) {
            Loader::Grubby => {
                let ran = host.commands.run("grubby", &["--info=ALL"]);
                Arranged::of_entries(&ran.map(|ran| ran.output).unwrap_or_default())
            }
            Loader::Grub => {
                let text = host.sys.read(GRUB_DROP_IN).unwrap_or_default();
                let values = text.lines().map(str::trim);
                let values =
                    values.filter_map(|line| line.strip_prefix(VARIABLE)?.strip_prefix('='));
                let words = values.flat_map(|value| words(value.trim_matches('"')));
                Arranged {
                    ours: words.filter(|word| !word.starts_with('$')).collect(),
                    ..Arranged::default()
                }
            }
            Loader::Unknown => Arranged::default(),
        }
    }

    /// What `grubby --info=ALL` tells: a line `args="…"` for each entry.
    fn of_entries(info: &str) -> Arranged {
        let lines = info
            .lines()
            .filter_map(|line| line.trim().strip_prefix("args="));
        let entries: Vec<Vec<String>> = lines.map(|args| words(args.trim_matches('"'))).collect();
        let is_everywhere = |word: &&String| entries.iter().all(|entry| entry.contains(word));
        let first = entries.first().into_iter().flatten();
        Arranged {
            ours: Vec::new(),
            everywhere: first.filter(is_everywhere).cloned().collect(),
            elsewhere: entries.concat(),
        }
    }

    fn has(&self, parameter: &str) -> bool {
        let mut words = self.ours.iter().chain(&self.everywhere);
        words.any(|word| word == parameter)
    }
}

/// Another value of the same parameter that did not come through our drop-in: of the running kernel,
/// or of the next one.
fn conflict<'a>(parameter: &str, running: &'a [String], arranged: &'a Arranged) -> Option<&'a str> {
    let key = key(parameter);
    let other = |word: &&String| self::key(word) == key && *word != parameter;
    let mut others = running.iter().chain(&arranged.elsewhere).filter(other);
    others
        .find(|word| !arranged.ours.contains(word))
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
    is_there(&words(&running)) || Arranged::read(host).has(parameter)
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
        let nothing = Arranged::default();
        assert_eq!(conflict(wanted, &running, &nothing), Some("isolcpus=1-3"));
        let ours = Arranged {
            ours: words("isolcpus=1-3"),
            ..Arranged::default()
        };
        assert_eq!(conflict(wanted, &running, &ours), None);
        assert_eq!(conflict("quiet", &running, &nothing), None);
    }

    #[test]
    fn a_parameter_is_arranged_only_in_every_entry_and_as_a_whole_word() {
        let entries = Arranged::of_entries(
            "index=0\nargs=\"ro irqaffinity=0,8 skew_tick=1\"\nroot=\"UUID=1\"\nindex=1\n\
             args=\"ro irqaffinity=0,8\"\n",
        );
        assert!(entries.has("irqaffinity=0,8"));
        assert!(!entries.has("irqaffinity=0"));
        assert!(!entries.has("skew_tick=1"));
        assert_eq!(
            conflict("irqaffinity=0", &[], &entries),
            Some("irqaffinity=0,8")
        );
    }
}
