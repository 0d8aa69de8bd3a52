//! One place of the host: what is there, and setting it.
//!
//! Owns: how each kind of change is made and looked at. Never does: deciding whether to, writing down
//! that it was. Runs on: the main thread of a command.

use super::commands::{CommandError, Commands, Ran};
use super::state::How;
use super::value;
use crate::cpu::{CpuSet, Sys, SysError};

/// What reaches the host.
#[derive(Clone, Copy)]
pub struct Reach<'a> {
    /// Its files.
    pub sys: &'a dyn Sys,
    /// Its programs.
    pub commands: &'a dyn Commands,
}

/// Why a change could not be made or looked at.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// A file.
    #[error(transparent)]
    File(#[from] SysError),
    /// A program could not be run.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// A program said that it failed.
    #[error("{command} failed{}: {errors}", .code.map(|code| format!(" with exit code {code}")).unwrap_or_default())]
    Failed {
        /// With its arguments.
        command: String,
        /// Its exit code, if it had one.
        code: Option<i32>,
        /// What it said.
        errors: String,
    },
    /// A file holds what the kernel does not write there.
    #[error("{path}: {problem}")]
    Malformed {
        /// Which.
        path: String,
        /// What is wrong.
        problem: String,
    },
}

impl ChangeError {
    /// Whether this process may not.
    pub fn is_denied(&self) -> bool {
        match self {
            ChangeError::File(error) => error.is_denied(),
            ChangeError::Command(_)
            | ChangeError::Failed { .. }
            | ChangeError::Malformed { .. } => false,
        }
    }

    /// Whether the kernel keeps the value to itself.
    pub fn is_managed(&self) -> bool {
        match self {
            ChangeError::File(error) => error.is_managed(),
            ChangeError::Command(_)
            | ChangeError::Failed { .. }
            | ChangeError::Malformed { .. } => false,
        }
    }
}

/// What is at a place: a value; none where the file or the thread is not there, and for a command
/// that nothing can tell about.
///
/// # Errors
/// It is there and does not tell.
pub fn current(reach: Reach<'_>, path: &str, how: &How) -> Result<Option<String>, ChangeError> {
    match how {
        How::Write | How::DropIn { .. } => read(reach.sys, path),
        How::Run { verify, .. } => match verify {
            // Programs that tell about a service exit as the service is, so the code says nothing.
            Some((command, _)) => Ok(Some(call(reach.commands, command)?.output)),
            None => Ok(None),
        },
        How::Affinity { comm } => match read(reach.sys, &format!("{path}/comm"))? {
            // Another thread may have got the number since.
            Some(name) if name == *comm => allowed_cpus(reach.sys, path),
            Some(_) | None => Ok(None),
        },
    }
}

/// Whether `found` at a place is `value`.
pub fn holds(path: &str, how: &How, found: &str, value: &str) -> bool {
    match how {
        How::Write => value::holds(path, found, value),
        How::DropIn { .. } => line_end(found) == line_end(value),
        How::Run { verify, .. } => verify
            .as_ref()
            .is_some_and(|(_, expected)| says(found, expected)),
        How::Affinity { .. } => {
            let sets = CpuSet::parse_list(found)
                .ok()
                .zip(CpuSet::parse_list(value).ok());
            sets.is_some_and(|(found, value)| found == value)
        }
    }
}

/// Sets a place to `value`; none takes a file away. A command is run as `command` says.
///
/// # Errors
/// It cannot be set. For a file with something that has to take notice: the file was put.
pub fn set(
    reach: Reach<'_>,
    path: &str,
    how: &How,
    value: Option<&str>,
    command: &[String],
) -> Result<(), ChangeError> {
    match how {
        How::Write => Ok(reach.sys.write(path, value.unwrap_or_default())?),
        How::DropIn { reload } => {
            match value {
                Some(contents) => {
                    let contents = format!("{}\n", line_end(contents));
                    reach.sys.put_file(path, &contents, 0o644)?;
                }
                None => reach.sys.remove_file(path)?,
            }
            notice(reach, reload.as_deref())
        }
        How::Run { .. } => run(reach.commands, command),
        How::Affinity { .. } => {
            let tid = path.trim_start_matches("/proc/");
            let command = taskset(tid, value.unwrap_or_default());
            run(reach.commands, &command)
        }
    }
}

/// Makes the host take notice of a file that was put or taken away.
///
/// # Errors
/// The program for it failed.
pub fn notice(reach: Reach<'_>, reload: Option<&[String]>) -> Result<(), ChangeError> {
    let Some(command) = reload else {
        return Ok(());
    };
    let (program, arguments) = split(command);
    succeeded(command, reach.commands.run_patiently(program, &arguments)?)
}

/// The command that moves a thread.
pub fn taskset(tid: &str, cpus: &str) -> Vec<String> {
    ["taskset", "-pc", cpus, tid].map(str::to_owned).to_vec()
}

/// Contents without the newline at their end, which readings leave out.
fn line_end(contents: &str) -> &str {
    contents.strip_suffix('\n').unwrap_or(contents)
}

fn read(sys: &dyn Sys, path: &str) -> Result<Option<String>, ChangeError> {
    match sys.read(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.is_missing() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn allowed_cpus(sys: &dyn Sys, thread: &str) -> Result<Option<String>, ChangeError> {
    let path = format!("{thread}/status");
    let Some(status) = read(sys, &path)? else {
        return Ok(None);
    };
    let allowed = status
        .lines()
        .find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    match allowed {
        Some(cpus) => Ok(Some(cpus.trim().to_owned())),
        None => Err(ChangeError::Malformed {
            path,
            problem: "Cpus_allowed_list is missing".to_owned(),
        }),
    }
}

/// Whether output has the expected words; one word has to stand by itself, since `inactive` is not
/// `active`, and `irqaffinity=0,8` in quotes (as grubby(8) tells arguments) is not `irqaffinity=0`. How
/// far words stand apart does not count: some versions of `ethtool` print a tab where others print a
/// blank.
fn says(output: &str, expected: &str) -> bool {
    if expected.contains(char::is_whitespace) {
        even(output).contains(&even(expected))
    } else {
        let mut words = output.split(|between: char| between.is_whitespace() || between == '"');
        words.any(|word| word == expected)
    }
}

/// One blank for each run of white space, also at the ends.
fn even(text: &str) -> String {
    let mut even = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter.is_whitespace() {
            false => even.push(letter),
            true if even.ends_with(' ') => {}
            true => even.push(' '),
        }
    }
    even
}

/// Runs a program that has to succeed.
fn run(commands: &dyn Commands, command: &[String]) -> Result<(), ChangeError> {
    succeeded(command, call(commands, command)?)
}

fn succeeded(command: &[String], ran: Ran) -> Result<(), ChangeError> {
    if ran.is_ok() {
        return Ok(());
    }
    Err(ChangeError::Failed {
        command: command.join(" "),
        code: ran.code,
        errors: ran.errors.trim().to_owned(),
    })
}

fn call(commands: &dyn Commands, command: &[String]) -> Result<Ran, CommandError> {
    let (program, arguments) = split(command);
    commands.run(program, &arguments)
}

/// A command's program and its arguments.
fn split(command: &[String]) -> (&str, Vec<&str>) {
    let mut words = command.iter().map(String::as_str);
    (words.next().unwrap_or_default(), words.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found_however_far_they_stand_apart() {
        for output in ["a: 1\nrx-usecs: 8\nb: 2\n", "a:\t1\nrx-usecs:\t8\nb:\t2\n"] {
            assert!(says(output, "rx-usecs: 8\n"), "{output}");
        }
        for output in [
            "rx-usecs: 80\n",
            "rx-usecs:\t80\n",
            "rx-usecs: 18\n",
            "rx-usecs:8\n",
        ] {
            assert!(!says(output, "rx-usecs: 8\n"), "{output}");
        }
        assert!(says("args=\"ro quiet isolcpus=2\"\n", " isolcpus=2"));
        assert!(!says("inactive\n", "active"));
        assert!(says("active\n", "active"));
    }
}
