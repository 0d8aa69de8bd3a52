//! What the device takes for one block.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use corelane::clock;
use corelane::log::files::{Files, StdFiles};
use corelane::log::format::SEGMENT_HEADER_BYTES;
use rustix::fs::OFlags;

const BLOCK: usize = 4096;
const SINGLE_FILE_BYTES: u64 = 16 << 20;

/// How one block is made durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    WriteThenSync,
    SyncWrite,
}

/// Blocking writes of one block to a file that was written before.
pub struct Blocking {
    file: File,
    way: Way,
    memory: Vec<u8>,
    aligned: usize,
    position: u64,
}

/// Makes a file whose every block was written.
pub fn prepare(folder: &Path, name: &str, bytes: u64) -> io::Result<PathBuf> {
    let header = [0; SEGMENT_HEADER_BYTES];
    StdFiles::new(folder).write_segment(name, bytes, &header)?;
    Ok(folder.join(name))
}

impl Blocking {
    pub fn new(folder: &Path, way: Way) -> io::Result<Blocking> {
        let (name, flags) = match way {
            Way::WriteThenSync => ("bare-sync", OFlags::DIRECT),
            Way::SyncWrite => ("bare-dsync", OFlags::DIRECT | OFlags::DSYNC),
        };
        let path = prepare(folder, name, SINGLE_FILE_BYTES)?;
        let file = OpenOptions::new()
            .write(true)
            .custom_flags(flags.bits() as i32)
            .open(path)?;
        let memory = vec![b'x'; 2 * BLOCK];
        let aligned = memory.as_ptr().align_offset(BLOCK);
        Ok(Blocking {
            file,
            way,
            memory,
            aligned,
            position: 0,
        })
    }

    /// Nanoseconds until the next block was durable.
    pub fn write_block(&mut self) -> io::Result<u64> {
        let block = &self.memory[self.aligned..self.aligned + BLOCK];
        let start = clock::monotonic();
        self.file.write_all_at(block, self.position)?;
        if self.way == Way::WriteThenSync {
            self.file.sync_data()?;
        }
        let ns = clock::monotonic().since(start);
        self.position = (self.position + BLOCK as u64) % SINGLE_FILE_BYTES;
        Ok(ns)
    }
}
