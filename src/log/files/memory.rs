//! [`Files`] in memory, for tests and simulation: shared by clones, bounded on request.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{FileEntry, Files, HeaderBlock};

/// Files in memory. Clones share them. Everything is "durable" at once.
#[derive(Clone, Debug, Default)]
pub struct MemoryFiles {
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug, Default)]
struct Shared {
    files: BTreeMap<String, Vec<u8>>,
    bytes_max: Option<u64>,
}

impl Shared {
    /// Puts a file in place, if there is room.
    fn put(&mut self, path: &str, content: Vec<u8>) -> io::Result<()> {
        let others = self.files.iter().filter(|(name, _)| *name != path);
        let used: u64 = others.map(|(_, content)| content.len() as u64).sum();
        if let Some(max) = self.bytes_max
            && used + content.len() as u64 > max
        {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.files.insert(path.to_owned(), content);
        Ok(())
    }
}

fn not_found(path: &str) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("no file {path}"))
}

impl MemoryFiles {
    /// No files, no bound.
    pub fn new() -> MemoryFiles {
        MemoryFiles::default()
    }

    /// From now on all files together may take `bytes` bytes; none lifts the bound.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.lock().bytes_max = bytes;
    }

    /// Writes `bytes` at `position`, growing the file (with zeros) where needed: what the hot side
    /// does.
    pub fn write_at(&self, path: &str, position: u64, bytes: &[u8]) {
        let mut shared = self.lock();
        // Without taking memory where the file is there: tests count what the hot side takes.
        if !shared.files.contains_key(path) {
            shared.files.insert(path.to_owned(), Vec::new());
        }
        let content = shared.files.get_mut(path).expect("just seen to");
        let end = position as usize + bytes.len();
        if content.len() < end {
            content.resize(end, 0);
        }
        content[position as usize..end].copy_from_slice(bytes);
    }

    /// Applies `change` to a file's content; for tests that damage it.
    ///
    /// # Panics
    /// There is no such file.
    pub fn edit(&self, path: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let mut shared = self.lock();
        let content = shared.files.get_mut(path);
        change(content.expect("documented: the file exists"));
    }

    /// Names and contents of all files.
    pub fn snapshot(&self) -> BTreeMap<String, Vec<u8>> {
        self.lock().files.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        // Every change is complete before anything can panic.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Files for MemoryFiles {
    fn list(&self, folder: &str) -> io::Result<Vec<FileEntry>> {
        let prefix = format!("{folder}/");
        let shared = self.lock();
        let files = shared.files.iter().filter_map(|(path, content)| {
            Some(FileEntry {
                name: path.strip_prefix(&prefix)?.to_owned(),
                bytes: content.len() as u64,
            })
        });
        Ok(files.collect())
    }

    fn read_at(&self, path: &str, position: u64, out: &mut [u8]) -> io::Result<usize> {
        let shared = self.lock();
        let content = shared.files.get(path).ok_or_else(|| not_found(path))?;
        let start = content.len().min(position as usize);
        let len = out.len().min(content.len() - start);
        out[..len].copy_from_slice(&content[start..start + len]);
        Ok(len)
    }

    fn write_segment(&self, path: &str, bytes: u64, header: &HeaderBlock) -> io::Result<()> {
        let mut content = vec![0; bytes as usize];
        content[..header.len()].copy_from_slice(header);
        self.lock().put(path, content)
    }

    fn write_header(&self, path: &str, header: &HeaderBlock) -> io::Result<()> {
        let mut shared = self.lock();
        let content = shared.files.get_mut(path).ok_or_else(|| not_found(path))?;
        content[..header.len()].copy_from_slice(header);
        Ok(())
    }

    fn write_atomic(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        self.lock().put(path, bytes.to_vec())
    }

    fn sync(&self, path: &str) -> io::Result<()> {
        let there = self.lock().files.contains_key(path);
        there.then_some(()).ok_or_else(|| not_found(path))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut shared = self.lock();
        let content = shared.files.remove(from).ok_or_else(|| not_found(from))?;
        shared.files.insert(to.to_owned(), content);
        Ok(())
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        self.lock().files.remove(path);
        Ok(())
    }
}
