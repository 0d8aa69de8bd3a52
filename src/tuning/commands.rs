//! Programs of the host that are run because no file does the same: `ethtool`, `systemctl`.
//!
//! Owns: starting them and waiting, for a time; ending one that takes longer. Never does: reading what
//! they say; ending what it did not start; running a program of this machine for a host that lies in a
//! folder. Runs on: the main thread of a command.
//!
//! A host that was captured has what its programs said in [`COMMANDS_FILE`]: asked the same again, they
//! say the same.

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde::{Deserialize, Serialize};

/// What the programs of a captured host said: a list of [`Call`].
pub const COMMANDS_FILE: &str = "/.corelane/commands.json";

/// Where programs lie in a host's file system (environ(7), as `sudo` and `systemd` set it).
const FOLDERS: [&str; 6] = [
    "usr/local/sbin",
    "usr/local/bin",
    "usr/sbin",
    "usr/bin",
    "sbin",
    "bin",
];

/// What a program that takes long may take at least.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// How a program ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ran {
    /// Its exit code; none where a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub output: String,
    /// Standard error.
    pub errors: String,
}

impl Ran {
    /// Whether it said that all went well.
    pub fn is_ok(&self) -> bool {
        self.code == Some(0)
    }
}

/// What a program was asked and said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// The program and its arguments.
    pub command: Vec<String>,
    /// Whether it is installed and ended.
    pub ran: bool,
    /// Its exit code.
    pub code: Option<i32>,
    /// Standard output.
    pub output: String,
    /// Standard error, or why it did not run.
    pub errors: String,
}

impl Call {
    /// Notes an answer.
    pub fn new(program: &str, arguments: &[&str], answer: &Result<Ran, CommandError>) -> Call {
        let command = std::iter::once(program).chain(arguments.iter().copied());
        let command = command.map(str::to_owned).collect();
        match answer {
            Ok(ran) => Call {
                command,
                ran: true,
                code: ran.code,
                output: ran.output.clone(),
                errors: ran.errors.clone(),
            },
            Err(error) => Call {
                command,
                ran: false,
                code: None,
                output: String::new(),
                errors: error.to_string(),
            },
        }
    }

    fn asks(&self, program: &str, arguments: &[&str]) -> bool {
        self.command
            .split_first()
            .is_some_and(|(first, rest)| first == program && rest == arguments)
    }

    /// What was said.
    fn answer(self, program: &str) -> Result<Ran, CommandError> {
        let missing = missing(program);
        if self.ran {
            Ok(Ran {
                code: self.code,
                output: self.output,
                errors: self.errors,
            })
        } else if self.errors == missing.to_string() {
            Err(missing)
        } else {
            Err(failed(program, self.errors))
        }
    }
}

/// Why a program did not run to its end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// It is not installed.
    #[error("{0} is not installed")]
    Missing(String),
    /// It was still running after the time.
    #[error("{program} did not end within {seconds} s; it was ended")]
    TooSlow {
        /// Which one.
        program: String,
        /// The time.
        seconds: u64,
    },
    /// It could not be started.
    #[error("{program} cannot be run: {reason}")]
    Failed {
        /// Which one.
        program: String,
        /// The system's words.
        reason: String,
    },
}

/// Runs programs. A seam, so that tests can stand in for tools that are not there.
pub trait Commands {
    /// Runs a program to its end.
    ///
    /// # Errors
    /// It is not installed, cannot be started, or takes too long.
    fn run(&self, program: &str, arguments: &[&str]) -> Result<Ran, CommandError>;

    /// The same for a program that is known to take long, such as one that makes a boot menu of every
    /// system on every disk: ending it halfway does harm, so it has [`PATIENCE`] at least.
    ///
    /// # Errors
    /// As [`Commands::run`].
    fn run_patiently(&self, program: &str, arguments: &[&str]) -> Result<Ran, CommandError> {
        self.run(program, arguments)
    }
}

/// Runs the programs of a host: those of this machine, or for a host that lies in a folder only those
/// that lie in it too. What those of a captured host said before, they say again.
#[derive(Clone, Debug)]
pub struct HostCommands {
    root: PathBuf,
    timeout: Duration,
}

impl HostCommands {
    /// The programs of the host whose `/` is `root`. Each may take `timeout`.
    pub fn new(root: impl Into<PathBuf>, timeout: Duration) -> HostCommands {
        HostCommands {
            root: root.into(),
            timeout,
        }
    }

    /// A program ready to be started.
    fn command(&self, program: &str) -> Result<Command, CommandError> {
        let mut command = if self.root == Path::new("/") {
            Command::new(program)
        } else {
            let folders = FOLDERS.map(|folder| self.root.join(folder));
            let mut files = folders.iter().map(|folder| folder.join(program));
            let file = files.find(|file| file.is_file());
            let mut command = Command::new(file.ok_or_else(|| missing(program))?);
            // What it starts in turn is of that host as well.
            let path = folders.map(|folder| folder.into_os_string());
            command.env("PATH", path.join(":".as_ref()));
            command.env("TUNING_ROOT", &self.root);
            command
        };
        // Words of programs are compared, and numbers read.
        command.env("LC_ALL", "C").stdin(Stdio::null());
        Ok(command)
    }

    fn run_to_end(&self, program: &str, arguments: &[&str]) -> io::Result<Result<Ran, ()>> {
        // Into memory, not pipes: they cannot fill up, and a process that the program leaves behind
        // cannot keep them open.
        let (mut output, mut errors) = (memory("output")?, memory("errors")?);
        let mut command = match self.command(program) {
            Ok(command) => command,
            Err(_) => return Err(io::ErrorKind::NotFound.into()),
        };
        command
            .args(arguments)
            .stdout(output.try_clone()?)
            .stderr(errors.try_clone()?);
        let mut child = command.spawn()?;
        let Some(status) = wait(&mut child, self.timeout)? else {
            return Ok(Err(()));
        };
        Ok(Ok(Ran {
            code: status.code(),
            output: text(&mut output)?,
            errors: text(&mut errors)?,
        }))
    }

    /// What a program that does not lie in the host's folder said when the host was captured.
    fn said_before(&self, program: &str, arguments: &[&str]) -> Result<Ran, CommandError> {
        // This machine speaks for itself.
        if self.root == Path::new("/") {
            return Err(missing(program));
        }
        let file = self.root.join(COMMANDS_FILE.trim_start_matches('/'));
        let malformed = |error: io::Error| failed(program, format!("{COMMANDS_FILE}: {error}"));
        let text = fs::read(file).map_err(|error| {
            if error.kind() == io::ErrorKind::NotFound {
                missing(program)
            } else {
                malformed(error)
            }
        })?;
        let calls: Vec<Call> =
            serde_json::from_slice(&text).map_err(|error| malformed(error.into()))?;
        let call = calls
            .into_iter()
            .find(|call| call.asks(program, arguments))
            .ok_or_else(|| failed(program, "not run when the host was captured".to_owned()))?;
        call.answer(program)
    }
}

impl Commands for HostCommands {
    fn run_patiently(&self, program: &str, arguments: &[&str]) -> Result<Ran, CommandError> {
        let patient = HostCommands {
            timeout: self.timeout.max(PATIENCE),
            ..self.clone()
        };
        patient.run(program, arguments)
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Result<Ran, CommandError> {
        match self.run_to_end(program, arguments) {
            Ok(Ok(ran)) => Ok(ran),
            Ok(Err(())) => Err(CommandError::TooSlow {
                program: program.to_owned(),
                seconds: self.timeout.as_secs(),
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.said_before(program, arguments)
            }
            Err(error) => Err(failed(program, error.to_string())),
        }
    }
}

fn failed(program: &str, reason: String) -> CommandError {
    CommandError::Failed {
        program: program.to_owned(),
        reason,
    }
}

fn missing(program: &str) -> CommandError {
    CommandError::Missing(program.to_owned())
}

fn memory(name: &str) -> io::Result<File> {
    Ok(File::from(memfd_create(name, MemfdFlags::CLOEXEC)?))
}

fn text(file: &mut File) -> io::Result<String> {
    let mut bytes = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Waits until a child has ended; ends it after `timeout`, and then there is no status.
fn wait(child: &mut Child, timeout: Duration) -> io::Result<Option<ExitStatus>> {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or_else(|| io::Error::other("a process without a number"))?;
    // The number cannot be given to another process before the child is waited for.
    let ended = pidfd_open(pid, PidfdFlags::empty())?;
    let deadline = Instant::now() + timeout;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        let left = Timespec::try_from(left).ok();
        match poll(&mut [PollFd::new(&ended, PollFlags::IN)], left.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn host(timeout: Duration) -> HostCommands {
        HostCommands::new("/", timeout)
    }

    #[test]
    fn output_errors_and_exit_code_come_back() {
        let ran = host(Duration::from_secs(60))
            .run("sh", &["-c", "echo out; echo err >&2; exit 3"])
            .unwrap();
        assert_eq!(ran.code, Some(3));
        assert_eq!(
            (ran.output.as_str(), ran.errors.as_str()),
            ("out\n", "err\n")
        );
        assert!(!ran.is_ok());
    }

    #[test]
    fn output_larger_than_a_pipe_does_not_block() {
        let ran = host(Duration::from_secs(60))
            .run(
                "sh",
                &[
                    "-c",
                    "head -c 1000000 /dev/zero; head -c 1000000 /dev/zero >&2",
                ],
            )
            .unwrap();
        assert_eq!((ran.output.len(), ran.errors.len()), (1_000_000, 1_000_000));
    }

    #[test]
    fn a_program_that_takes_too_long_is_ended() {
        let error = host(Duration::from_millis(1))
            .run("sleep", &["1000"])
            .unwrap_err();
        assert!(matches!(error, CommandError::TooSlow { .. }), "{error}");
    }

    #[test]
    fn a_program_that_takes_long_is_given_the_time() {
        let ran =
            host(Duration::from_millis(1)).run_patiently("sh", &["-c", "sleep 0.1; echo done"]);
        assert_eq!(ran.unwrap().output, "done\n");
    }

    #[test]
    fn what_a_program_leaves_behind_is_not_waited_for() {
        let ran = host(Duration::from_secs(60))
            .run("sh", &["-c", "sleep 5 & echo started"])
            .unwrap();
        assert_eq!(ran.output, "started\n");
    }

    #[test]
    fn a_host_in_a_folder_runs_only_what_lies_in_it() {
        let root = tempfile::tempdir().unwrap();
        let commands = HostCommands::new(root.path(), Duration::from_secs(60));
        let error = commands.run("sh", &["-c", "exit 0"]).unwrap_err();
        assert_eq!(error, CommandError::Missing("sh".to_owned()));
        let stub = root.path().join("usr/sbin/ethtool");
        fs::create_dir_all(stub.parent().unwrap()).unwrap();
        fs::write(
            &stub,
            "#!/bin/sh\necho \"$TUNING_ROOT $*\"; command -v systemctl\n",
        )
        .unwrap();
        fs::set_permissions(&stub, fs::Permissions::from_mode(0o755)).unwrap();
        let ran = commands.run("ethtool", &["-l", "eth0"]).unwrap();
        assert_eq!(ran.output, format!("{} -l eth0\n", root.path().display()));
    }

    #[test]
    fn a_captured_host_says_what_it_said() {
        let root = tempfile::tempdir().unwrap();
        let commands = HostCommands::new(root.path(), Duration::from_secs(60));
        let ran = Ran {
            code: Some(3),
            output: "inactive\n".to_owned(),
            errors: "so\n".to_owned(),
        };
        let slow = CommandError::TooSlow {
            program: "ethtool".to_owned(),
            seconds: 10,
        };
        let calls = [
            Call::new("systemctl", &["is-active", "x"], &Ok(ran.clone())),
            Call::new("ethtool", &["-l", "eth0"], &Err(missing("ethtool"))),
            Call::new("ethtool", &["-c", "eth0"], &Err(slow)),
        ];
        let file = root.path().join(COMMANDS_FILE.trim_start_matches('/'));
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, serde_json::to_vec(&calls).unwrap()).unwrap();
        let said = |program: &str, arguments: &[&str]| commands.run(program, arguments);
        assert_eq!(said("systemctl", &["is-active", "x"]), Ok(ran));
        assert_eq!(said("ethtool", &["-l", "eth0"]), Err(missing("ethtool")));
        let error = said("ethtool", &["-c", "eth0"]).unwrap_err();
        assert!(
            error.to_string().contains("did not end within 10 s"),
            "{error}"
        );
        // Nobody asked it that: nothing is run, and nothing is made up.
        let error = said("systemctl", &["stop", "x"]).unwrap_err();
        assert!(error.to_string().contains("not run when"), "{error}");
        fs::write(&file, "[").unwrap();
        let error = said("systemctl", &["is-active", "x"]).unwrap_err();
        assert!(error.to_string().contains("commands.json: "), "{error}");
    }
}
