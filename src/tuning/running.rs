//! Engines that run on this host, which a measurement would disturb, and which would disturb it.
//!
//! Owns: how one is recognised. Never does: signalling it.

use std::fmt;

use crate::cpu::Sys;

/// The name of the program.
const PROGRAM: &str = "corelane";

/// Commands that run cores.
const COMMANDS: [&str; 2] = ["run", "serve"];

/// How the threads of cores are named, in programs that run a node in themselves, too. See
/// `spawn` in `src/control/executor.rs`.
const CORE_THREAD: &str = "core-";

/// A process that runs cores.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Engine {
    /// Its id.
    pub pid: u32,
    /// Its program's name as the kernel keeps it: 15 bytes at most.
    pub program: String,
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an engine ({}, process {})", self.program, self.pid)
    }
}

/// All engines of the host. Processes that end meanwhile, or that may not be looked at, are left out.
pub fn engines(sys: &dyn Sys) -> Vec<Engine> {
    let processes = sys.list("/proc").unwrap_or_default();
    let ids = processes.iter().filter_map(|name| name.parse().ok());
    ids.filter_map(|pid| engine(sys, pid)).collect()
}

fn engine(sys: &dyn Sys, pid: u32) -> Option<Engine> {
    let program = sys.read(&format!("/proc/{pid}/comm")).ok()?;
    let is_engine = (program == PROGRAM && has_command(sys, pid)) || has_core(sys, pid);
    is_engine.then_some(Engine { pid, program })
}

/// Whether a process of this program was told to run cores. Arguments of other programs are none of
/// ours: they may hold secrets, and what is read here gets into captures.
fn has_command(sys: &dyn Sys, pid: u32) -> bool {
    let line = sys.read(&format!("/proc/{pid}/cmdline"));
    // Arguments are separated by zero bytes.
    line.is_ok_and(|line| {
        let command = line.split('\0').nth(1);
        command.is_some_and(|command| COMMANDS.contains(&command))
    })
}

/// Whether a thread is named as cores are: `core-0`.
fn has_core(sys: &dyn Sys, pid: u32) -> bool {
    let folder = format!("/proc/{pid}/task");
    let threads = sys.list(&folder).unwrap_or_default();
    threads.iter().any(|tid| {
        let name = sys
            .read(&format!("{folder}/{tid}/comm"))
            .unwrap_or_default();
        let number = name.strip_prefix(CORE_THREAD);
        number.is_some_and(|n| !n.is_empty() && n.bytes().all(|byte| byte.is_ascii_digit()))
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::cpu::HostSys;

    #[test]
    fn engines_are_known_by_their_command_or_their_cores() {
        let folder = tempfile::tempdir().unwrap();
        let process = |pid: u32, comm: &str, line: &str, threads: &[&str]| {
            let path = folder.path().join(format!("proc/{pid}"));
            for (tid, name) in threads.iter().enumerate() {
                fs::create_dir_all(path.join(format!("task/{tid}"))).unwrap();
                fs::write(path.join(format!("task/{tid}/comm")), format!("{name}\n")).unwrap();
            }
            fs::create_dir_all(&path).unwrap();
            fs::write(path.join("comm"), format!("{comm}\n")).unwrap();
            fs::write(path.join("cmdline"), line).unwrap();
        };
        let sys = HostSys::new(folder.path());
        assert!(engines(&sys).is_empty(), "no processes to look at");
        process(1, "init", "init\0", &["init"]);
        process(
            2,
            "corelane",
            "/usr/bin/corelane\0serve\0--tcp\0",
            &["corelane"],
        );
        process(
            3,
            "corelane",
            "corelane\0jitter\0",
            &["corelane", "jitter-1"],
        );
        process(4, "embedding", "./embedding\0", &["main", "core-12"]);
        process(5, "other", "other\0", &["core-", "core-watch", "core-1a"]);
        process(6, "kworker/0", "", &["kworker/0"]);
        // An argument of another program is not looked at.
        process(8, "sh", "corelane\0serve\0", &["sh"]);
        fs::create_dir_all(folder.path().join("proc/7")).unwrap();
        let found: Vec<u32> = engines(&sys).iter().map(|engine| engine.pid).collect();
        assert_eq!(found, [2, 4]);
        let text = engines(&sys)[1].to_string();
        assert_eq!(text, "an engine (embedding, process 4)");
    }
}
