//! Files of a data directory as the housekeeping side uses them: blocking, whole, durable.
//!
//! Owns: paths within a data directory, and what "durable" takes there (sync of the file, then of
//! its folder). Never does: appending; that is the hot side's. Runs on: housekeeping threads.

mod memory;
mod std_files;

use std::io;

use crate::ids::{SegmentSeq, StripeId};
use crate::log::format::SEGMENT_HEADER_BYTES;

pub use memory::MemoryFiles;
pub use std_files::StdFiles;
pub(crate) use std_files::{sync_parent, write_file_atomic};

/// A segment's header block.
pub type HeaderBlock = [u8; SEGMENT_HEADER_BYTES];

/// A file of a folder.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileEntry {
    /// Its name, without the folder.
    pub name: String,
    /// Its size in bytes.
    pub bytes: u64,
}

/// Blocking access to the files of one data directory. Paths are relative to it, with `/`.
///
/// A change that returns `Ok` is durable: it survives power loss.
pub trait Files: Send {
    /// The files of a folder, in no order.
    ///
    /// # Errors
    /// The folder is missing or cannot be read.
    fn list(&self, folder: &str) -> io::Result<Vec<FileEntry>>;

    /// Reads from byte `position` on until `out` is full or the file ends; returns the bytes read.
    ///
    /// # Errors
    /// The file is missing or cannot be read.
    fn read_at(&self, path: &str, position: u64, out: &mut [u8]) -> io::Result<usize>;

    /// Makes a file of `bytes` bytes: the header block, then zeros, all of them written, so that
    /// a later write neither allocates blocks nor converts unwritten ones. Replaces what is there.
    ///
    /// # Errors
    /// No space, or the device refuses; a part of the file may be left behind.
    fn write_segment(&self, path: &str, bytes: u64, header: &HeaderBlock) -> io::Result<()>;

    /// Overwrites the header block of a file and leaves the rest.
    ///
    /// # Errors
    /// The file is missing or cannot be written.
    fn write_header(&self, path: &str, header: &HeaderBlock) -> io::Result<()>;

    /// Replaces a file by `bytes`: after a crash it has either its old or its new content.
    ///
    /// # Errors
    /// No space, or the device refuses; the old content is still there.
    fn write_atomic(&self, path: &str, bytes: &[u8]) -> io::Result<()>;

    /// Makes durable what others have written to a file.
    ///
    /// # Errors
    /// The file is missing, or the device refuses.
    fn sync(&self, path: &str) -> io::Result<()>;

    /// Renames a file within its folder, replacing what bears the new name.
    ///
    /// # Errors
    /// The file is missing, or the device refuses.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file; one that is not there counts as removed.
    ///
    /// # Errors
    /// The device refuses.
    fn remove(&self, path: &str) -> io::Result<()>;
}

/// Reads a whole small file, up to `bytes_max` bytes.
///
/// # Errors
/// The file is missing, cannot be read or is longer.
pub fn read_whole<F: Files + ?Sized>(
    files: &F,
    path: &str,
    bytes_max: usize,
) -> io::Result<Vec<u8>> {
    const STEP_BYTES: usize = 64 << 10;
    let mut content = Vec::new();
    loop {
        let have = content.len();
        if have > bytes_max {
            return Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                format!("{path} is longer than {bytes_max} bytes"),
            ));
        }
        content.resize(have + STEP_BYTES.max(have), 0);
        let read = files.read_at(path, have as u64, &mut content[have..])?;
        let wanted = content.len() - have;
        content.truncate(have + read);
        if read < wanted {
            return Ok(content);
        }
    }
}

/// The folder of a stripe: `stripe-003`.
pub fn stripe_folder(stripe: StripeId) -> String {
    format!("stripe-{:03}", stripe.0)
}

/// A segment's file: `stripe-003/00000000000000000042.log`.
pub fn segment_path(stripe: StripeId, seq: SegmentSeq) -> String {
    format!("stripe-{:03}/{:020}.log", stripe.0, seq.0)
}

/// The index of a sealed segment: `stripe-003/00000000000000000042.index`.
pub fn index_path(stripe: StripeId, seq: SegmentSeq) -> String {
    format!("stripe-{:03}/{:020}.index", stripe.0, seq.0)
}

/// A file that waits for reuse, named after the segment it was: `stripe-003/....spare`.
pub fn spare_path(stripe: StripeId, seq: SegmentSeq) -> String {
    format!("stripe-{:03}/{:020}.spare", stripe.0, seq.0)
}

/// What lies in a stripe's folder, each kind in ascending order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StripeFiles {
    /// Segments with the sizes of their files.
    pub segments: Vec<(SegmentSeq, u64)>,
    /// Segments that have an index file.
    pub indexes: Vec<SegmentSeq>,
    /// Files waiting for reuse, by the number of the segment each was, with their sizes.
    pub spares: Vec<(SegmentSeq, u64)>,
    /// Left behind by a crash while a file was being made.
    pub leftovers: Vec<String>,
}

impl StripeFiles {
    /// Lists and sorts the folder of a stripe. Names that are not ours are ignored.
    ///
    /// # Errors
    /// The folder is missing or cannot be read.
    pub fn list<F: Files + ?Sized>(files: &F, stripe: StripeId) -> io::Result<StripeFiles> {
        let mut found = StripeFiles::default();
        for file in files.list(&stripe_folder(stripe))? {
            let Some((stem, extension)) = file.name.split_once('.') else {
                continue;
            };
            if stem.len() != 20 {
                continue;
            }
            let Ok(seq) = stem.parse().map(SegmentSeq) else {
                continue;
            };
            match extension {
                "log" => found.segments.push((seq, file.bytes)),
                "index" => found.indexes.push(seq),
                "spare" => found.spares.push((seq, file.bytes)),
                _ if extension.ends_with("tmp") => found.leftovers.push(file.name),
                _ => {}
            }
        }
        found.segments.sort_unstable();
        found.indexes.sort_unstable();
        found.spares.sort_unstable();
        Ok(found)
    }
}

#[cfg(test)]
mod tests;
