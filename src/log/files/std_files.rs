//! [`Files`] over the file system.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{FileEntry, Files, HeaderBlock};
use crate::limits::BLOCK_BYTES;
use rustix::fs::{FallocateFlags, OFlags};
use rustix::io::Errno;

/// Zeros are written in pieces of this size.
const PIECE_BYTES: usize = 1 << 20;

/// The files below a folder of the file system.
#[derive(Clone, Debug)]
pub struct StdFiles {
    root: PathBuf,
    pause: Duration,
}

impl StdFiles {
    /// The files below `root`.
    pub fn new(root: impl Into<PathBuf>) -> StdFiles {
        StdFiles {
            root: root.into(),
            pause: Duration::ZERO,
        }
    }

    /// The same, but making a segment waits `pause` after every MiB, so that the zeros leave the
    /// device room for the appends that go on meanwhile.
    pub fn with_pause(root: impl Into<PathBuf>, pause: Duration) -> StdFiles {
        StdFiles {
            root: root.into(),
            pause,
        }
    }

    fn full(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    fn write_zeros(&self, path: &Path, bytes: u64, header: &HeaderBlock) -> io::Result<()> {
        let file = create_direct(path)?;
        // Says at once whether there is room, before any bandwidth goes into zeros, and keeps the
        // file in few pieces.
        match rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, bytes) {
            Ok(()) | Err(Errno::OPNOTSUPP) => {}
            Err(error) => return Err(error.into()),
        }
        let mut memory = vec![0u8; PIECE_BYTES + BLOCK_BYTES];
        // O_DIRECT wants memory that starts at a block.
        let aligned = memory.as_ptr().align_offset(BLOCK_BYTES);
        let piece = &mut memory[aligned..aligned + PIECE_BYTES];
        piece[..header.len()].copy_from_slice(header);
        let mut position = 0;
        while position < bytes {
            let len = PIECE_BYTES.min((bytes - position) as usize);
            file.write_all_at(&piece[..len], position)?;
            if position == 0 {
                piece[..header.len()].fill(0);
            }
            position += len as u64;
            if !self.pause.is_zero() && position < bytes {
                std::thread::sleep(self.pause);
            }
        }
        file.sync_all()
    }
}

/// Opens for writing past the page cache, where the file system can do that.
fn create_direct(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    let direct = OFlags::DIRECT.bits() as i32;
    match options.clone().custom_flags(direct).open(path) {
        Err(error) if error.raw_os_error() == Some(Errno::INVAL.raw_os_error()) => {
            options.open(path)
        }
        result => result,
    }
}

/// Makes the names in the folder of `path` durable.
pub(crate) fn sync_parent(path: &Path) -> io::Result<()> {
    // The parent of a relative path of one part is the empty path, which cannot be opened.
    let parent = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}

fn temporary(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".tmp");
    name.into()
}

/// Makes `path` by way of a temporary file, which is removed again where that fails.
fn replace(path: &Path, write: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<()> {
    let temporary = temporary(path);
    let written = write(&temporary).and_then(|()| fs::rename(&temporary, path));
    if let Err(error) = written {
        // The first error counts; space taken by half a file would only make it worse.
        let _ = fs::remove_file(&temporary);
        return Err(error);
    }
    sync_parent(path)
}

/// Replaces `path` by `bytes`, durably and all or nothing.
pub(crate) fn write_file_atomic(path: &Path, bytes: &[u8]) -> io::Result<()> {
    replace(path, |temporary| {
        let mut file = File::create(temporary)?;
        file.write_all(bytes)?;
        file.sync_all()
    })
}

impl Files for StdFiles {
    fn list(&self, folder: &str) -> io::Result<Vec<FileEntry>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(self.full(folder))? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            let metadata = match entry.metadata() {
                // Removed since the folder was read.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                result => result?,
            };
            if metadata.is_file() {
                let bytes = metadata.len();
                entries.push(FileEntry { name, bytes });
            }
        }
        Ok(entries)
    }

    fn read_at(&self, path: &str, position: u64, out: &mut [u8]) -> io::Result<usize> {
        let file = File::open(self.full(path))?;
        let mut filled = 0;
        while filled < out.len() {
            match file.read_at(&mut out[filled..], position + filled as u64) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    fn write_segment(&self, path: &str, bytes: u64, header: &HeaderBlock) -> io::Result<()> {
        // By way of a temporary name: a file under its final name is always whole.
        replace(&self.full(path), |temporary| {
            self.write_zeros(temporary, bytes, header)
        })
    }

    fn write_header(&self, path: &str, header: &HeaderBlock) -> io::Result<()> {
        let file = OpenOptions::new().write(true).open(self.full(path))?;
        file.write_all_at(header, 0)?;
        file.sync_all()
    }

    fn write_atomic(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        write_file_atomic(&self.full(path), bytes)
    }

    fn sync(&self, path: &str) -> io::Result<()> {
        File::open(self.full(path))?.sync_all()
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let to = self.full(to);
        fs::rename(self.full(from), &to)?;
        sync_parent(&to)
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        let path = self.full(path);
        match fs::remove_file(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
            Ok(()) => sync_parent(&path),
        }
    }
}
