//! What the device gives without a log.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::PathBuf;
use std::rc::Rc;

use corelane::clock;
use corelane::log::files::{Files, StdFiles};
use corelane::log::format::SEGMENT_HEADER_BYTES;
use futures_lite::future;
use glommio::io::OpenOptions as DmaOptions;
use rustix::fs::OFlags;

use crate::{Folder, Latency, note};

const BLOCK: usize = 4096;
const PIECE: usize = 1 << 20;
const IN_FLIGHT: usize = 8;
const SINGLE_FILE_BYTES: u64 = 16 << 20;

/// How one block is made durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    WriteThenSync,
    SyncWrite,
}

/// Whether each sequential write is durable when it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sync {
    No,
    EachWrite,
}

/// Blocking writes of one block to a file that was written before.
pub struct Blocking {
    file: File,
    way: Way,
    memory: Vec<u8>,
    aligned: usize,
    position: u64,
}

fn prepare(folder: &Folder, name: &str, bytes: u64) -> io::Result<PathBuf> {
    let header = [0; SEGMENT_HEADER_BYTES];
    StdFiles::new(folder.path()).write_segment(name, bytes, &header)?;
    Ok(folder.path().join(name))
}

impl Blocking {
    pub fn new(folder: &Folder, way: Way) -> io::Result<Blocking> {
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

    pub fn write_block(&mut self, latency: &mut Latency) -> io::Result<()> {
        let block = &self.memory[self.aligned..self.aligned + BLOCK];
        let start = clock::monotonic();
        self.file.write_all_at(block, self.position)?;
        if self.way == Way::WriteThenSync {
            self.file.sync_data()?;
        }
        note(latency, clock::monotonic().since(start));
        self.position = (self.position + BLOCK as u64) % SINGLE_FILE_BYTES;
        Ok(())
    }
}

/// Writes `bytes` in sequence, 1 MiB each, 8 in flight. GB/s.
pub async fn sequential(folder: &Folder, bytes: usize, sync: Sync) -> io::Result<f64> {
    let pieces = bytes.div_ceil(PIECE).max(IN_FLIGHT);
    let path = prepare(folder, "bare-sequential", (pieces * PIECE) as u64)?;
    let flags = match sync {
        Sync::No => OFlags::empty(),
        Sync::EachWrite => OFlags::DSYNC,
    };
    let file = DmaOptions::new()
        .read(true)
        .write(true)
        .custom_flags(flags.bits() as i32)
        .dma_open(&path)
        .await?;
    let mut buffer = glommio::allocate_dma_buffer_global(PIECE);
    buffer.as_bytes_mut().fill(b'x');
    let buffer = Rc::new(buffer);
    let start = clock::monotonic();
    let lane = async |first: usize| -> io::Result<()> {
        for piece in (first..pieces).step_by(IN_FLIGHT) {
            let at = (piece * PIECE) as u64;
            file.write_rc_at(Rc::clone(&buffer), at).await?;
        }
        Ok(())
    };
    future::try_zip(
        future::try_zip(
            future::try_zip(lane(0), lane(1)),
            future::try_zip(lane(2), lane(3)),
        ),
        future::try_zip(
            future::try_zip(lane(4), lane(5)),
            future::try_zip(lane(6), lane(7)),
        ),
    )
    .await?;
    let seconds = crate::seconds(start, clock::monotonic());
    file.close().await?;
    std::fs::remove_file(path)?;
    Ok((pieces * PIECE) as f64 / seconds / 1e9)
}

/// Reads the first `bytes` of a file in sequence, 256 KiB each, 4 in flight. GB/s.
pub async fn sequential_read(path: PathBuf, bytes: usize) -> io::Result<f64> {
    const CHUNK: usize = 256 << 10;
    let file = DmaOptions::new().read(true).dma_open(&path).await?;
    let chunks = bytes / CHUNK;
    let start = clock::monotonic();
    let lane = async |first: usize| -> io::Result<()> {
        for chunk in (first..chunks).step_by(4) {
            file.read_at_aligned((chunk * CHUNK) as u64, CHUNK).await?;
        }
        Ok(())
    };
    future::try_zip(
        future::try_zip(lane(0), lane(1)),
        future::try_zip(lane(2), lane(3)),
    )
    .await?;
    let seconds = crate::seconds(start, clock::monotonic());
    file.close().await?;
    Ok((chunks * CHUNK) as f64 / seconds / 1e9)
}
