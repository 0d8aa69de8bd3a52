//! How a kernel answers: plain files take any value and give it back as it is, a kernel does not.
//!
//! What it models:
//! - a selection (`always [madvise] never`) takes one of its words and moves the brackets;
//! - masks come back padded to the numbers of CPUs, lists as short as they can be;
//! - an interrupt's mask and list are one value;
//! - a queue's number of flows is rounded up to a power of two;
//! - a managed interrupt takes nothing (EIO);
//! - a file listed may refuse to be read or written, with the errno that its sidecar names:
//!   `carrier` next to `carrier.errno`, which holds lines `read 22` or `write 5`;
//! - a file named to [`KernelModel::stuck`] takes a value and keeps the old one.
//!
//! It counts every change that is made through it, and can stop the process that makes one too many.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use corelane::cpu::{CpuSet, HostSys, Sys, SysAction, SysError};

use super::FakeHost;

/// Input/output error: what the kernel says to who moves a managed interrupt.
pub const EIO: i32 = 5;

/// Read-only file system.
pub const EROFS: i32 = 30;

/// Invalid argument.
const EINVAL: i32 = 22;

/// What the panic says that stands for a crash.
pub const CRASH: &str = "the process ends here";

/// Whether a kernel answers, or the files that stand for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answers {
    Plain,
    Kernel,
}

/// The files of a fake host.
pub struct KernelModel {
    files: HostSys,
    root: PathBuf,
    answers: Answers,
    /// What masks are padded to.
    cpus: usize,
    stuck: RefCell<BTreeSet<String>>,
    /// Files that say an error number when they are written.
    refused: RefCell<BTreeMap<String, i32>>,
    changes: Cell<usize>,
    crash_after: Cell<Option<usize>>,
}

impl KernelModel {
    pub fn new(root: &Path, cpus: usize, answers: Answers) -> KernelModel {
        KernelModel {
            files: HostSys::new(root),
            root: root.to_owned(),
            answers,
            cpus,
            stuck: RefCell::default(),
            refused: RefCell::default(),
            changes: Cell::new(0),
            crash_after: Cell::new(None),
        }
    }

    /// The files of a fake host. Its kernel keeps managed interrupts to itself.
    pub fn of(fake: &FakeHost, answers: Answers) -> KernelModel {
        let model = KernelModel::new(fake.path(), fake.cpus, answers);
        for irq in fake.irqs.iter().filter(|irq| irq.is_managed) {
            for name in ["smp_affinity", "smp_affinity_list"] {
                model.refuse(&format!("/proc/irq/{}/{name}", irq.number), EIO);
            }
        }
        model
    }

    /// From now on a file says `errno` when it is written.
    pub fn refuse(&self, path: &str, errno: i32) {
        self.refused.borrow_mut().insert(path.to_owned(), errno);
    }

    /// From now on a file takes a value and keeps the old one.
    pub fn stuck(&self, path: &str) {
        self.stuck.borrow_mut().insert(path.to_owned());
    }

    /// How many values were written, files put and files removed.
    pub fn changes(&self) -> usize {
        self.changes.get()
    }

    /// Lets `changes` more be made; the process that tries another one ends there.
    pub fn crash_after(&self, changes: usize) {
        self.crash_after.set(Some(self.changes.get() + changes));
    }

    fn change(&self) {
        if self.crash_after.get() == Some(self.changes.get()) {
            panic!("{CRASH}");
        }
        self.changes.set(self.changes.get() + 1);
    }

    /// The errno that a file says for `what`: by its sidecar, or because it was told to.
    fn errno(&self, path: &str, what: &str) -> Option<i32> {
        if let Some(errno) = self.refused.borrow().get(path)
            && what == "write"
        {
            return Some(*errno);
        }
        let sidecar = format!("{}.errno", path.trim_start_matches('/'));
        let text = fs::read_to_string(self.root.join(sidecar)).ok()?;
        let mut lines = text.lines().filter_map(|line| line.split_once(' '));
        let (_, number) = lines.find(|(named, _)| *named == what)?;
        number.parse().ok()
    }

    /// Writes a value as the kernel takes it.
    fn take(&self, path: &str, value: &str) -> Result<(), SysError> {
        let refused = || SysError::new(path, SysAction::Write, EINVAL);
        let now = self.files.read(path).unwrap_or_default();
        if now.split_whitespace().any(|word| word.starts_with('[')) {
            return self
                .files
                .write(path, &chosen(&now, value).ok_or_else(refused)?);
        }
        let name = path.rsplit('/').next().unwrap_or_default();
        match name {
            "smp_affinity" | "smp_affinity_list" => self.place_interrupt(path, name, value),
            "default_smp_affinity" | "rps_cpus" | "xps_cpus" | "cpumask" => {
                let cpus = CpuSet::parse_mask(value).map_err(|_| refused())?;
                self.files.write(path, &cpus.to_mask(self.cpus))
            }
            "watchdog_cpumask" => {
                let cpus = CpuSet::parse_list(value).map_err(|_| refused())?;
                self.files.write(path, &cpus.to_string())
            }
            "rps_flow_cnt" => {
                let flows: u32 = value.parse().map_err(|_| refused())?;
                // None stays none.
                let flows = if flows == 0 {
                    0
                } else {
                    flows.next_power_of_two()
                };
                self.files.write(path, &flows.to_string())
            }
            _ => self.files.write(path, value),
        }
    }

    /// An interrupt's mask, its list and where it really goes are written together.
    fn place_interrupt(&self, path: &str, name: &str, value: &str) -> Result<(), SysError> {
        let cpus = match name {
            "smp_affinity" => CpuSet::parse_mask(value),
            _ => CpuSet::parse_list(value),
        };
        let cpus = cpus.map_err(|_| SysError::new(path, SysAction::Write, EINVAL))?;
        let folder = path.strip_suffix(name).unwrap_or(path);
        let (mask, list) = (cpus.to_mask(self.cpus), cpus.to_string());
        for (name, text) in [
            ("smp_affinity", &mask),
            ("smp_affinity_list", &list),
            ("effective_affinity", &mask),
            ("effective_affinity_list", &list),
        ] {
            let path = format!("{folder}{name}");
            if self.files.exists(&path) {
                self.files.write(&path, text)?;
            }
        }
        Ok(())
    }
}

/// A selection with another word chosen; none where it has no such word.
fn chosen(selection: &str, value: &str) -> Option<String> {
    let bare = |word: &str| word.trim_matches(['[', ']']).to_owned();
    let words: Vec<String> = selection.split_whitespace().map(bare).collect();
    words.iter().find(|word| *word == value)?;
    let marked = words.iter().map(|word| match word == value {
        true => format!("[{word}]"),
        false => word.clone(),
    });
    Some(marked.collect::<Vec<_>>().join(" "))
}

impl Sys for KernelModel {
    fn root(&self) -> &Path {
        &self.root
    }

    fn read(&self, path: &str) -> Result<String, SysError> {
        match self.errno(path, "read") {
            Some(errno) => Err(SysError::new(path, SysAction::Read, errno)),
            None => self.files.read(path),
        }
    }

    fn write(&self, path: &str, value: &str) -> Result<(), SysError> {
        self.change();
        if let Some(errno) = self.errno(path, "write") {
            return Err(SysError::new(path, SysAction::Write, errno));
        }
        if self.stuck.borrow().contains(path) {
            return Ok(());
        }
        match self.answers {
            Answers::Plain => self.files.write(path, value),
            Answers::Kernel if !self.files.exists(path) => self.files.write(path, value),
            Answers::Kernel => self.take(path, value),
        }
    }

    fn list(&self, path: &str) -> Result<Vec<String>, SysError> {
        let mut names = self.files.list(path)?;
        names.retain(|name| !name.ends_with(".errno"));
        Ok(names)
    }

    fn canonical(&self, path: &str) -> Result<String, SysError> {
        self.files.canonical(path)
    }

    fn exists(&self, path: &str) -> bool {
        self.files.exists(path)
    }

    fn put_file(&self, path: &str, contents: &str, mode: u32) -> Result<(), SysError> {
        self.change();
        match self.errno(path, "write") {
            Some(errno) => Err(SysError::new(path, SysAction::Write, errno)),
            None => self.files.put_file(path, contents, mode),
        }
    }

    fn remove_file(&self, path: &str) -> Result<(), SysError> {
        self.change();
        self.files.remove_file(path)
    }
}
