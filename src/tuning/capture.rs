//! A host in a file: everything that was looked at while it was checked, to be looked at again
//! elsewhere.
//!
//! Owns: the tar file's form. Never does: choosing files by a list that somebody has to keep; what a
//! check asks for is what is recorded. Runs on: the main thread of a command.
//!
//! The form: files under the host's own paths, links as links, folders that were listed with what
//! was in them. A file that is there and cannot be read has a `<file>.errno` beside it: `read 22`, with
//! the kernel's error number, as [`crate::cpu::HostSys`] understands it. What programs said is in
//! [`COMMANDS_FILE`], where [`crate::tuning::commands`] finds it. Names of processes are in it; their
//! arguments and environment, which may hold passwords, are not, whoever reads them; nor are the
//! contents of files that nobody read, like addresses of network cards.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Write};
use std::path::{Component, Path, PathBuf};

use super::commands::{COMMANDS_FILE, Call, CommandError, Commands, Ran};
use crate::cpu::{Sys, SysError};

/// The processes of which the first argument is kept: it says whether one is an engine.
const PROGRAM: &str = "corelane";

/// How many links may lead to each other; the kernel's own limit (path_resolution(7)).
const LINKS_MAX: usize = 40;

/// A host's files, noting what is asked for.
pub struct Recorder<'a> {
    sys: &'a dyn Sys,
    asked: RefCell<BTreeMap<String, Asked>>,
}

/// What was asked of a path; the later ones say more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Asked {
    Exists,
    Read,
    List,
}

impl<'a> Recorder<'a> {
    /// Notes what is asked of `sys`.
    pub fn new(sys: &'a dyn Sys) -> Recorder<'a> {
        Recorder {
            sys,
            asked: RefCell::default(),
        }
    }

    fn note(&self, path: &str, asked: Asked) {
        let mut all = self.asked.borrow_mut();
        let known = all.entry(path.to_owned()).or_insert(asked);
        *known = asked.max(*known);
    }
}

impl Sys for Recorder<'_> {
    fn root(&self) -> &Path {
        self.sys.root()
    }

    fn read(&self, path: &str) -> Result<String, SysError> {
        self.note(path, Asked::Read);
        self.sys.read(path)
    }

    fn write(&self, path: &str, value: &str) -> Result<(), SysError> {
        self.sys.write(path, value)
    }

    fn list(&self, path: &str) -> Result<Vec<String>, SysError> {
        self.note(path, Asked::List);
        self.sys.list(path)
    }

    fn canonical(&self, path: &str) -> Result<String, SysError> {
        self.note(path, Asked::Exists);
        self.sys.canonical(path)
    }

    fn exists(&self, path: &str) -> bool {
        self.note(path, Asked::Exists);
        self.sys.exists(path)
    }

    fn put_file(&self, path: &str, contents: &str, mode: u32) -> Result<(), SysError> {
        self.sys.put_file(path, contents, mode)
    }

    fn remove_file(&self, path: &str) -> Result<(), SysError> {
        self.sys.remove_file(path)
    }
}

/// A host's programs, noting what they say.
pub struct CommandRecorder<'a> {
    commands: &'a dyn Commands,
    calls: RefCell<Vec<Call>>,
}

impl<'a> CommandRecorder<'a> {
    /// Notes what `commands` say.
    pub fn new(commands: &'a dyn Commands) -> CommandRecorder<'a> {
        CommandRecorder {
            commands,
            calls: RefCell::default(),
        }
    }
}

impl Commands for CommandRecorder<'_> {
    fn run(&self, program: &str, arguments: &[&str]) -> Result<Ran, CommandError> {
        let answer = self.commands.run(program, arguments);
        let call = Call::new(program, arguments, &answer);
        let mut calls = self.calls.borrow_mut();
        if !calls.contains(&call) {
            calls.push(call);
        }
        answer
    }
}

/// What a tar file came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Captured {
    /// Files with contents.
    pub files: usize,
    /// Links.
    pub links: usize,
    /// Files that are there and cannot be read.
    pub unreadable: usize,
}

/// Writes what was asked for, as it is now, to a tar file.
///
/// # Errors
/// `out` cannot be written. What cannot be read is a part of the result.
pub fn write(
    recorder: &Recorder<'_>,
    commands: &CommandRecorder<'_>,
    out: impl Write,
) -> io::Result<Captured> {
    let mut archive = Archive {
        root: recorder.sys.root().to_path_buf(),
        tar: tar::Builder::new(out),
        done: BTreeSet::new(),
        captured: Captured::default(),
    };
    for (path, asked) in recorder.asked.borrow().iter() {
        archive.add(path, *asked)?;
    }
    let calls = commands.calls.borrow();
    let json = serde_json::to_vec_pretty(&*calls)?;
    archive.file(Path::new(COMMANDS_FILE), &json)?;
    archive.tar.finish()?;
    Ok(archive.captured)
}

struct Archive<W: Write> {
    root: PathBuf,
    tar: tar::Builder<W>,
    /// Paths that are in it.
    done: BTreeSet<PathBuf>,
    captured: Captured,
}

impl<W: Write> Archive<W> {
    fn add(&mut self, path: &str, asked: Asked) -> io::Result<()> {
        let Some(path) = self.resolve(Path::new(path))? else {
            return Ok(());
        };
        let here = self.at(&path);
        if here.is_dir() {
            self.folder(&path)?;
            return match asked {
                Asked::List => self.names(&path),
                Asked::Read | Asked::Exists => Ok(()),
            };
        }
        match asked {
            Asked::Exists => self.empty(&path),
            Asked::Read | Asked::List => match fs::read(here) {
                Ok(contents) => {
                    let contents = self.fit_to_show(&path, contents);
                    self.file(&path, &contents)
                }
                Err(error) => self.unreadable(&path, &error),
            },
        }
    }

    /// What of a file's contents may leave the host.
    ///
    /// Of a process's arguments only what tells an engine from others: the program and its first
    /// argument. Of any other process the name, since no arguments at all would make it a thread of
    /// the kernel (proc(5)).
    fn fit_to_show(&self, path: &Path, contents: Vec<u8>) -> Vec<u8> {
        let Some(process) = process_of(path) else {
            return contents;
        };
        let name = path.file_name().and_then(|name| name.to_str());
        match name {
            Some("environ") => Vec::new(),
            Some("cmdline") if !contents.is_empty() => {
                let comm = fs::read(self.at(&process.join("comm"))).unwrap_or_default();
                let comm = comm.trim_ascii_end();
                let first = contents.split(|byte| *byte == 0).take(2);
                let words: Vec<&[u8]> = match comm == PROGRAM.as_bytes() {
                    true => first.collect(),
                    false => vec![comm],
                };
                [words.join(&0), vec![0]].concat()
            }
            _ => contents,
        }
    }

    /// Where a path leads, with the links on the way in the archive; none where it leads nowhere or
    /// out of the root.
    fn resolve(&mut self, path: &Path) -> io::Result<Option<PathBuf>> {
        let mut rest: Vec<PathBuf> = parts(path);
        rest.reverse();
        let mut at = PathBuf::from("/");
        let mut links = 0;
        while let Some(part) = rest.pop() {
            if part == Path::new("..") {
                at.pop();
                continue;
            }
            let next = at.join(&part);
            let Ok(metadata) = fs::symlink_metadata(self.at(&next)) else {
                return Ok(None);
            };
            if !metadata.is_symlink() {
                at = next;
                continue;
            }
            links += 1;
            let Some(target) = fs::read_link(self.at(&next))
                .ok()
                .filter(|_| links <= LINKS_MAX)
            else {
                return Ok(None);
            };
            self.link(&next, &target)?;
            if target.is_absolute() {
                at = PathBuf::from("/");
            }
            rest.extend(parts(&target).into_iter().rev());
        }
        Ok(Some(at))
    }

    fn at(&self, path: &Path) -> PathBuf {
        self.root.join(inside(path))
    }

    /// What a folder holds: folders, links, and names of files.
    fn names(&mut self, folder: &Path) -> io::Result<()> {
        let Ok(entries) = fs::read_dir(self.at(folder)) else {
            return Ok(());
        };
        for entry in entries.flatten() {
            let path = folder.join(entry.file_name());
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => self.folder(&path)?,
                Ok(kind) if kind.is_symlink() => {
                    if let Ok(target) = fs::read_link(entry.path()) {
                        self.link(&path, &target)?;
                    }
                }
                // Of a file that nobody reads, the name is enough.
                Ok(_) => self.empty(&path)?,
                Err(_) => {}
            }
        }
        Ok(())
    }

    fn folder(&mut self, path: &Path) -> io::Result<()> {
        if !self.is_new(path) {
            return Ok(());
        }
        let mut header = header(tar::EntryType::Directory, 0o755);
        self.tar.append_data(&mut header, inside(path), io::empty())
    }

    fn link(&mut self, path: &Path, target: &Path) -> io::Result<()> {
        if !self.is_new(path) {
            return Ok(());
        }
        self.captured.links += 1;
        let mut header = header(tar::EntryType::Symlink, 0o777);
        self.tar.append_link(&mut header, inside(path), target)
    }

    fn file(&mut self, path: &Path, contents: &[u8]) -> io::Result<()> {
        if !self.is_new(path) {
            return Ok(());
        }
        self.captured.files += 1;
        self.contents(path, contents)
    }

    /// A file of which the name is enough. What it holds may still follow, and counts then.
    fn empty(&mut self, path: &Path) -> io::Result<()> {
        if self.done.contains(path) {
            return Ok(());
        }
        self.contents(path, &[])
    }

    fn unreadable(&mut self, path: &Path, error: &io::Error) -> io::Result<()> {
        let mut name = path.as_os_str().to_owned();
        name.push(".errno");
        let name = PathBuf::from(name);
        if !self.is_new(&name) {
            return Ok(());
        }
        self.captured.unreadable += 1;
        // So that a folder lists it.
        self.empty(path)?;
        let number = error.raw_os_error().unwrap_or_default();
        self.contents(&name, format!("read {number}\n").as_bytes())
    }

    fn contents(&mut self, path: &Path, contents: &[u8]) -> io::Result<()> {
        let mut header = header(tar::EntryType::Regular, 0o644);
        header.set_size(contents.len() as u64);
        self.tar.append_data(&mut header, inside(path), contents)
    }

    fn is_new(&mut self, path: &Path) -> bool {
        self.done.insert(path.to_path_buf())
    }
}

/// A header that is the same whoever makes the file, and whenever.
fn header(kind: tar::EntryType, mode: u32) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(0);
    header
}

/// A path as it is named in the archive.
fn inside(path: &Path) -> &Path {
    path.strip_prefix("/").unwrap_or(path)
}

/// The folder of the process, or of its thread, that a file tells about.
fn process_of(path: &Path) -> Option<&Path> {
    let folder = path.parent()?;
    let number = folder.file_name()?.to_str()?;
    let is_process = path.starts_with("/proc") && number.bytes().all(|byte| byte.is_ascii_digit());
    is_process.then_some(folder)
}

fn parts(path: &Path) -> Vec<PathBuf> {
    let named = |part: Component<'_>| match part {
        Component::Normal(name) => Some(PathBuf::from(name)),
        Component::ParentDir => Some(PathBuf::from("..")),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    };
    path.components().filter_map(named).collect()
}

#[cfg(test)]
mod tests;
