//! The kernel's files, under a root: `/` on a real host, a folder that stands for one in tests.
//!
//! Owns: how those files are reached. Never does: knowing what any of them means. Everything that
//! looks at or changes the host goes through [`Sys`], so that it can be tried on hosts that are not
//! there. Runs on: housekeeping threads.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// Access to the files of a host. Paths are absolute, as on the host itself, whatever the root is.
pub trait Sys {
    /// Where this host's `/` is.
    fn root(&self) -> &Path;

    /// What a file holds, without the newline at its end.
    ///
    /// # Errors
    /// It is not there or cannot be read. That a folder lists a file does not mean that it can be
    /// read: drivers answer with EINVAL, EOPNOTSUPP and others.
    fn read(&self, path: &str) -> Result<String, SysError>;

    /// Writes `value` and a newline to a file of the kernel, in one system call. Makes no file.
    ///
    /// # Errors
    /// It is not there, or the kernel refuses the value.
    fn write(&self, path: &str, value: &str) -> Result<(), SysError>;

    /// The names in a folder, numbers inside them in numeric order (`tx-2` before `tx-10`).
    ///
    /// # Errors
    /// It is not there or cannot be read.
    fn list(&self, path: &str) -> Result<Vec<String>, SysError>;

    /// Where a path leads when every symbolic link is followed; links do not leave the root.
    ///
    /// # Errors
    /// It leads nowhere.
    fn canonical(&self, path: &str) -> Result<String, SysError>;

    /// Whether something is there.
    fn exists(&self, path: &str) -> bool;

    /// Makes or replaces an ordinary file and the folders above it: all of the new contents are
    /// there after a crash, or all of the old.
    ///
    /// # Errors
    /// It cannot be written.
    fn put_file(&self, path: &str, contents: &str, mode: u32) -> Result<(), SysError>;

    /// Removes an ordinary file.
    ///
    /// # Errors
    /// It is not there or cannot be removed.
    fn remove_file(&self, path: &str) -> Result<(), SysError>;
}

/// What was tried on a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SysAction {
    /// Reading, listing, following.
    Read,
    /// Writing, making, removing.
    Write,
}

/// Why a file of the host could not be read or written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {}: {}", .action.tried(), io::Error::from_raw_os_error(*.errno))]
pub struct SysError {
    /// As on the host, without the root.
    pub path: String,
    /// What was tried.
    pub action: SysAction,
    /// The kernel's error number.
    pub errno: i32,
}

impl SysAction {
    fn tried(self) -> &'static str {
        match self {
            SysAction::Read => "cannot be read",
            SysAction::Write => "cannot be written",
        }
    }
}

impl SysError {
    /// `path` could not be read or written because of `errno`.
    pub fn new(path: &str, action: SysAction, errno: i32) -> SysError {
        SysError {
            path: path.to_owned(),
            action,
            errno,
        }
    }

    /// Whether the file, or the device behind it, is not there.
    pub fn is_missing(&self) -> bool {
        self.is(&[
            rustix::io::Errno::NOENT,
            rustix::io::Errno::NODEV,
            rustix::io::Errno::NXIO,
            rustix::io::Errno::NOTDIR,
        ])
    }

    /// Whether this process may not.
    pub fn is_denied(&self) -> bool {
        self.is(&[
            rustix::io::Errno::ACCESS,
            rustix::io::Errno::PERM,
            rustix::io::Errno::ROFS,
        ])
    }

    /// Whether the kernel keeps the value to itself, as it does with managed interrupts.
    pub fn is_managed(&self) -> bool {
        self.is(&[rustix::io::Errno::IO])
    }

    fn is(&self, errors: &[rustix::io::Errno]) -> bool {
        errors
            .iter()
            .any(|error| error.raw_os_error() == self.errno)
    }
}

/// A host whose files lie under a folder of this one.
#[derive(Clone, Debug)]
pub struct HostSys {
    root: PathBuf,
}

impl HostSys {
    /// The host whose `/` is `root`; `/` itself for this one.
    pub fn new(root: impl Into<PathBuf>) -> HostSys {
        HostSys { root: root.into() }
    }

    /// Whether these are the files of the machine that we run on.
    pub fn is_real(&self) -> bool {
        self.root == Path::new("/")
    }

    fn at(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// The error that a file of a captured host says when it is read: `read 22` in `<file>.errno`.
    fn captured_error(&self, path: &str) -> Option<SysError> {
        if self.is_real() {
            return None;
        }
        let text = fs::read_to_string(self.at(&format!("{path}.errno"))).ok()?;
        let errno = text.lines().find_map(|line| line.strip_prefix("read "))?;
        let errno = errno.trim().parse().ok()?;
        Some(SysError::new(path, SysAction::Read, errno))
    }
}

impl fmt::Display for HostSys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.root.display().fmt(f)
    }
}

fn failed(path: &str, action: SysAction) -> impl Fn(io::Error) -> SysError {
    // An error without a number comes from the standard library, about contents that are no text.
    move |error| {
        let unknown = rustix::io::Errno::ILSEQ.raw_os_error();
        SysError::new(path, action, error.raw_os_error().unwrap_or(unknown))
    }
}

impl Sys for HostSys {
    fn root(&self) -> &Path {
        &self.root
    }

    fn read(&self, path: &str) -> Result<String, SysError> {
        if let Some(error) = self.captured_error(path) {
            return Err(error);
        }
        let bytes = fs::read(self.at(path)).map_err(failed(path, SysAction::Read))?;
        // Names of devices may hold anything.
        let mut text = String::from_utf8_lossy(&bytes).into_owned();
        if text.ends_with('\n') {
            text.pop();
        }
        Ok(text)
    }

    fn write(&self, path: &str, value: &str) -> Result<(), SysError> {
        let failed = failed(path, SysAction::Write);
        let mut file = OpenOptions::new()
            .write(true)
            .truncate(true)
            .open(self.at(path))
            .map_err(&failed)?;
        file.write_all(format!("{value}\n").as_bytes())
            .map_err(&failed)
    }

    fn list(&self, path: &str) -> Result<Vec<String>, SysError> {
        let failed = failed(path, SysAction::Read);
        let mut names = Vec::new();
        for entry in fs::read_dir(self.at(path)).map_err(&failed)? {
            let name = entry.map_err(&failed)?.file_name();
            let name = name.to_string_lossy().into_owned();
            if self.is_real() || !name.ends_with(".errno") {
                names.push(name);
            }
        }
        names.sort_by(|a, b| natural(a).cmp(&natural(b)).then_with(|| a.cmp(b)));
        Ok(names)
    }

    fn canonical(&self, path: &str) -> Result<String, SysError> {
        let failed = failed(path, SysAction::Read);
        let root = fs::canonicalize(&self.root).map_err(&failed)?;
        let found = fs::canonicalize(self.at(path)).map_err(&failed)?;
        let missing = || {
            failed(io::Error::from_raw_os_error(
                rustix::io::Errno::NOENT.raw_os_error(),
            ))
        };
        let inside = found.strip_prefix(&root).map_err(|_| missing())?;
        Ok(format!("/{}", inside.display()))
    }

    fn exists(&self, path: &str) -> bool {
        self.at(path).symlink_metadata().is_ok()
    }

    fn put_file(&self, path: &str, contents: &str, mode: u32) -> Result<(), SysError> {
        let failed = failed(path, SysAction::Write);
        let target = self.at(path);
        let folder = target.parent().unwrap_or(&self.root);
        fs::create_dir_all(folder).map_err(&failed)?;
        let name = target.file_name().unwrap_or_default().to_string_lossy();
        let temporary = folder.join(format!(".{name}.new"));
        let written = (|| {
            let mut file = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(mode)
                .open(&temporary)?;
            file.write_all(contents.as_bytes())?;
            file.sync_all()?;
            fs::rename(&temporary, &target)?;
            fs::File::open(folder)?.sync_all()
        })();
        written.map_err(|error| {
            // Of no use to anybody; that it stays is no second error.
            let _ = fs::remove_file(&temporary);
            failed(error)
        })
    }

    fn remove_file(&self, path: &str) -> Result<(), SysError> {
        fs::remove_file(self.at(path)).map_err(failed(path, SysAction::Write))
    }
}

/// A name as text and numbers in turn, which compare as people count.
fn natural(name: &str) -> Vec<(u64, &str)> {
    let mut parts = Vec::new();
    let mut rest = name;
    while !rest.is_empty() {
        let text = rest
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(rest.len());
        let (word, after) = rest.split_at(text);
        let digits = after
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(after.len());
        let (number, after) = after.split_at(digits);
        if !word.is_empty() {
            parts.push((0, word));
        }
        if !number.is_empty() {
            parts.push((number.parse().unwrap_or(u64::MAX), ""));
        }
        rest = after;
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sys() -> (tempfile::TempDir, HostSys) {
        let folder = tempfile::tempdir().unwrap();
        let sys = HostSys::new(folder.path());
        (folder, sys)
    }

    #[test]
    fn numbers_in_names_count() {
        let (folder, sys) = sys();
        for name in ["tx-10", "tx-2", "rx-0", "cpu", "tx-2a"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        let names = sys.list("/").unwrap();
        assert_eq!(names, ["cpu", "rx-0", "tx-2", "tx-2a", "tx-10"]);
    }

    #[test]
    fn files_of_the_kernel_are_not_made_and_own_ones_are() {
        let (_folder, sys) = sys();
        let error = sys.write("/proc/sys/vm/swappiness", "1").unwrap_err();
        assert!(error.is_missing());
        assert_eq!(error.path, "/proc/sys/vm/swappiness");
        sys.put_file("/etc/sysctl.d/a.conf", "one\n", 0o644)
            .unwrap();
        sys.put_file("/etc/sysctl.d/a.conf", "two\n", 0o644)
            .unwrap();
        assert_eq!(sys.read("/etc/sysctl.d/a.conf").unwrap(), "two");
        assert_eq!(sys.list("/etc/sysctl.d").unwrap(), ["a.conf"]);
        sys.write("/etc/sysctl.d/a.conf", "3").unwrap();
        assert_eq!(sys.read("/etc/sysctl.d/a.conf").unwrap(), "3");
        sys.remove_file("/etc/sysctl.d/a.conf").unwrap();
        assert!(!sys.exists("/etc/sysctl.d/a.conf"));
    }

    #[test]
    fn links_are_followed_inside_the_root_only() {
        let (folder, sys) = sys();
        fs::create_dir_all(folder.path().join("sys/devices/nvme0")).unwrap();
        let link =
            |target, name: &str| std::os::unix::fs::symlink(target, folder.path().join(name));
        link("sys/devices/nvme0", "inside").unwrap();
        link("/", "outside").unwrap();
        assert_eq!(sys.canonical("/inside").unwrap(), "/sys/devices/nvme0");
        assert!(sys.canonical("/outside").unwrap_err().is_missing());
    }
}
