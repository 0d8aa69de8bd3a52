//! Hosts that are not there: folders that stand for their `/`, small, with the files of the kernel
//! that the layout and the knobs read.
//!
//! [`topology`] writes what the hardware is. Other files add what can be set, and a model of how the
//! kernel answers.
#![allow(dead_code)]

pub mod hosts;
pub mod kernel;
pub mod programs;
pub mod topology;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use corelane::cpu::HostSys;
use tempfile::TempDir;

/// A host in a folder.
pub struct FakeHost {
    /// Gone with the value.
    pub root: TempDir,
    /// Numbers of its CPUs, running or not: what masks are padded to.
    pub cpus: usize,
    /// Its interrupts, as `/proc/interrupts` lists them.
    pub irqs: Vec<Irq>,
}

/// An interrupt of a fake host.
#[derive(Clone, Debug)]
pub struct Irq {
    pub number: u32,
    /// What the driver calls it.
    pub action: String,
    /// Whether the kernel keeps its affinity to itself.
    pub is_managed: bool,
}

impl FakeHost {
    /// An empty one with numbers for `cpus` CPUs.
    pub fn empty(cpus: usize) -> FakeHost {
        FakeHost {
            root: tempfile::tempdir().expect("a folder for temporary files"),
            cpus,
            irqs: Vec::new(),
        }
    }

    /// Where its `/` is.
    pub fn path(&self) -> &Path {
        self.root.path()
    }

    /// Its files, which here are ordinary ones: they take any value and give it back as it is.
    pub fn plain_sys(&self) -> HostSys {
        HostSys::new(self.path())
    }

    /// Makes or replaces a file; a newline follows `text`, as after everything that the kernel says.
    pub fn put(&self, path: &str, text: &str) {
        let path = self.at(path);
        fs::create_dir_all(path.parent().expect("below the root")).expect("in our folder");
        fs::write(path, format!("{text}\n")).expect("in our folder");
    }

    /// Makes a folder.
    pub fn folder(&self, path: &str) {
        fs::create_dir_all(self.at(path)).expect("in our folder");
    }

    /// Makes a symbolic link at `path` to `target`, which is an absolute path of this host; the link
    /// itself is relative, as the kernel's are.
    pub fn link(&self, path: &str, target: &str) {
        let link = self.at(path);
        let parent = link.parent().expect("below the root");
        fs::create_dir_all(parent).expect("in our folder");
        let depth = path.trim_matches('/').matches('/').count();
        let relative = format!("{}{}", "../".repeat(depth), target.trim_start_matches('/'));
        symlink(relative, &link).expect("in our folder");
    }

    /// What a file holds, without the newline at its end.
    pub fn read(&self, path: &str) -> String {
        let text = fs::read_to_string(self.at(path)).expect("a file of the fixture");
        text.strip_suffix('\n').unwrap_or(&text).to_owned()
    }

    /// Removes a file or a folder with all in it.
    pub fn remove(&self, path: &str) {
        let path = self.at(path);
        if path.is_dir() && !path.is_symlink() {
            fs::remove_dir_all(path).expect("in our folder");
        } else {
            fs::remove_file(path).expect("a file of the fixture");
        }
    }

    pub fn at(&self, path: &str) -> PathBuf {
        self.path().join(path.trim_start_matches('/'))
    }
}
