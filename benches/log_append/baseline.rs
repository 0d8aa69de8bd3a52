//! What the device gives without a log.

use std::io;
use std::path::PathBuf;
use std::rc::Rc;

use corelane::clock;
use futures_lite::future;
use glommio::io::OpenOptions as DmaOptions;
use rustix::fs::OFlags;

use crate::Folder;
use crate::device::prepare;

const PIECE: usize = 1 << 20;
const IN_FLIGHT: usize = 8;

/// Whether each sequential write is durable when it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sync {
    No,
    EachWrite,
}

/// Writes `bytes` in sequence, 1 MiB each, 8 in flight. GB/s.
pub async fn sequential(folder: &Folder, bytes: usize, sync: Sync) -> io::Result<f64> {
    let pieces = bytes.div_ceil(PIECE).max(IN_FLIGHT);
    let path = prepare(folder.path(), "bare-sequential", (pieces * PIECE) as u64)?;
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
