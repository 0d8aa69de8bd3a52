//! How fast a directory makes data durable.
//!
//! Owns: a file without a name in that directory, gone with the process however that ends, and the
//! writes to it. Never does: touching any other file. Runs on: the thread that asks, and on
//! [`IN_FLIGHT`] more for the bandwidth.
//!
//! The method is that of `benches/log_append/main.rs`: blocks that were written before, O_DIRECT,
//! one at a time, since that is what the log does to its segments.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use rustix::fs::{FallocateFlags, Mode, OFlags, fallocate, openat, statvfs};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::limits::BLOCK_BYTES;

/// Written at once when preparing, and for the bandwidth.
const PIECE_BYTES: usize = 1 << 20;

/// Writes under way for the bandwidth.
pub const IN_FLIGHT: usize = 8;

/// The file is at least so long,
const BYTES_MIN: u64 = 16 << 20;

/// at most so long,
const BYTES_MAX: u64 = 256 << 20;

/// and at most this part of what is free.
const FREE_SHARE: u64 = 4;

/// Latencies above count as this.
const LATENCY_NS_MAX: u64 = 60_000_000_000;

/// Latencies, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Latency {
    /// How many were measured.
    pub count: u64,
    /// Median.
    pub p50_ns: u64,
    /// 99 of 100 took no longer.
    pub p99_ns: u64,
    /// 999 of 1,000.
    pub p999_ns: u64,
    /// The longest.
    pub max_ns: u64,
}

/// Whether writes go past the page cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Access {
    /// They do, as the log's.
    #[default]
    Direct,
    /// The file system has no O_DIRECT.
    Cached,
}

/// What a disk gives.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DiskFigures {
    /// Past the page cache or through it.
    pub access: Access,
    /// A write of 4 KiB, then fdatasync.
    pub write_sync: Latency,
    /// A write of 4 KiB with O_DSYNC, as the log does.
    pub dsync: Latency,
    /// Bytes a second: 1 MiB each, [`IN_FLIGHT`] under way.
    pub bytes_per_s: f64,
    /// How much of the disk was written to, over and over.
    pub span_bytes: u64,
}

/// Why a directory cannot be measured.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// It is not there.
    #[error("{0}: there is no such directory; make it, or name another one")]
    Missing(String),
    /// It is something else.
    #[error("{0}: is no directory")]
    NotADirectory(String),
    /// Its file system is mounted read-only.
    #[error("{0}: the file system is read-only, and a log has to write; mount it with 'rw'")]
    ReadOnly(String),
    /// This user may not write.
    #[error("{0}: this user may not write there; run as the user of the engine")]
    Denied(String),
    /// There is no room.
    #[error(
        "{path}: {free_bytes} bytes are free, and measuring takes {BYTES_MIN}; make room, or name \
         another directory"
    )]
    Full {
        /// The directory.
        path: String,
        /// What is free.
        free_bytes: u64,
    },
    /// Something else failed.
    #[error("{path}: {what} failed: {source}")]
    Io {
        /// The directory.
        path: String,
        /// What was tried.
        what: &'static str,
        /// The system's words.
        source: io::Error,
    },
}

/// Measures `directory` for about `budget`.
///
/// # Errors
/// Nothing can be written there; see [`DiskError`].
pub fn measure(directory: &Path, budget: Duration) -> Result<DiskFigures, DiskError> {
    let failed = |what| move |source: io::Error| classify(directory, what, source);
    let (file, access) = unnamed(directory).map_err(failed("making a file"))?;
    let free_bytes = statvfs(directory)
        .map(|s| s.f_bavail.saturating_mul(s.f_frsize))
        .map_err(|error| failed("asking for free space")(error.into()))?;
    let bytes = (free_bytes / FREE_SHARE).clamp(BYTES_MIN, BYTES_MAX) / PIECE_BYTES as u64
        * PIECE_BYTES as u64;
    let span_bytes = prepare(&file, bytes, budget / 4).map_err(failed("writing"))?;
    let synced = Block::new(&file, span_bytes)
        .time(budget / 4, |block| {
            block.write().and_then(|()| file.sync_data())
        })
        .map_err(failed("a write with fdatasync"))?;
    let sync_file = reopened(&file, access).map_err(failed("opening with O_DSYNC"))?;
    let dsync = Block::new(&sync_file, span_bytes)
        .time(budget / 4, |block| block.write())
        .map_err(failed("a write with O_DSYNC"))?;
    let bytes_per_s = bandwidth(&file, span_bytes, budget / 4).map_err(failed("writing"))?;
    Ok(DiskFigures {
        access,
        write_sync: synced,
        dsync,
        bytes_per_s,
        span_bytes,
    })
}

fn classify(directory: &Path, what: &'static str, source: io::Error) -> DiskError {
    let path = directory.display().to_string();
    match source.raw_os_error().map(Errno::from_raw_os_error) {
        // /proc and the like are there and take no files.
        Some(Errno::NOENT) if !directory.exists() => DiskError::Missing(path),
        Some(Errno::NOTDIR) => DiskError::NotADirectory(path),
        Some(Errno::ROFS) => DiskError::ReadOnly(path),
        Some(Errno::ACCESS | Errno::PERM) => DiskError::Denied(path),
        Some(Errno::NOSPC | Errno::DQUOT) => DiskError::Full {
            free_bytes: statvfs(directory).map_or(0, |s| s.f_bavail.saturating_mul(s.f_frsize)),
            path,
        },
        _ => DiskError::Io { path, what, source },
    }
}

/// A file that no name leads to, so that it goes with the process even if that is killed.
fn unnamed(directory: &Path) -> io::Result<(File, Access)> {
    if !std::fs::metadata(directory)?.is_dir() {
        return Err(Errno::NOTDIR.into());
    }
    match made(directory, OFlags::DIRECT) {
        Err(Errno::INVAL) => Ok((made(directory, OFlags::empty())?, Access::Cached)),
        result => Ok((result?, Access::Direct)),
    }
}

fn made(directory: &Path, extra: OFlags) -> Result<File, Errno> {
    let flags = OFlags::RDWR | OFlags::CLOEXEC | extra;
    let mode = Mode::RUSR | Mode::WUSR;
    match openat(rustix::fs::CWD, directory, flags | OFlags::TMPFILE, mode) {
        // Not every file system has files without names: make one and take its name away.
        Err(Errno::OPNOTSUPP | Errno::ISDIR) => {
            let path = directory.join(format!(".doctor-{}", std::process::id()));
            let file = openat(
                rustix::fs::CWD,
                &path,
                flags | OFlags::CREATE | OFlags::EXCL,
                mode,
            )?;
            rustix::fs::unlink(&path)?;
            Ok(file.into())
        }
        result => result.map(File::from),
    }
}

/// The same file once more, with O_DSYNC. It has no name, but the process's own folder leads to it.
fn reopened(file: &File, access: Access) -> io::Result<File> {
    let direct = match access {
        Access::Direct => OFlags::DIRECT,
        Access::Cached => OFlags::empty(),
    };
    OpenOptions::new()
        .write(true)
        .custom_flags((OFlags::DSYNC | direct).bits() as i32)
        .open(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

/// Memory for O_DIRECT: `len` bytes from the start of a block on.
struct Aligned {
    memory: Vec<u8>,
    start: usize,
    len: usize,
}

impl Aligned {
    fn new(len: usize) -> Aligned {
        let memory = vec![b'x'; len + BLOCK_BYTES];
        let start = memory.as_ptr().align_offset(BLOCK_BYTES);
        Aligned { memory, start, len }
    }

    fn bytes(&self) -> &[u8] {
        &self.memory[self.start..self.start + self.len]
    }
}

/// Writes the file from its start, for at most `budget` but at least [`BYTES_MIN`]; says how far.
fn prepare(file: &File, bytes: u64, budget: Duration) -> io::Result<u64> {
    match fallocate(file, FallocateFlags::empty(), 0, bytes) {
        Ok(()) | Err(Errno::OPNOTSUPP) => {}
        Err(error) => return Err(error.into()),
    }
    let piece = Aligned::new(PIECE_BYTES);
    let start = Instant::now();
    let mut written = 0;
    while written < bytes && (written < BYTES_MIN || start.elapsed() < budget) {
        file.write_all_at(piece.bytes(), written)?;
        written += PIECE_BYTES as u64;
    }
    file.sync_all()?;
    Ok(written)
}

/// One block at a time, in sequence.
struct Block<'a> {
    file: &'a File,
    memory: Aligned,
    position: u64,
    span_bytes: u64,
}

impl<'a> Block<'a> {
    fn new(file: &'a File, span_bytes: u64) -> Block<'a> {
        Block {
            file,
            memory: Aligned::new(BLOCK_BYTES),
            position: 0,
            span_bytes,
        }
    }

    fn write(&mut self) -> io::Result<()> {
        self.file.write_all_at(self.memory.bytes(), self.position)?;
        self.position = (self.position + BLOCK_BYTES as u64) % self.span_bytes;
        Ok(())
    }

    /// Latencies of `each`, once at the least.
    fn time(
        &mut self,
        budget: Duration,
        each: impl Fn(&mut Self) -> io::Result<()>,
    ) -> io::Result<Latency> {
        let mut histogram = Histogram::<u64>::new_with_bounds(1, LATENCY_NS_MAX, 3)
            .expect("constant bounds that hdrhistogram allows");
        let start = Instant::now();
        loop {
            let before = Instant::now();
            each(self)?;
            histogram.saturating_record(before.elapsed().as_nanos() as u64);
            if start.elapsed() >= budget {
                return Ok(Latency::of(&histogram));
            }
        }
    }
}

impl Latency {
    /// The figures of a histogram of nanoseconds.
    pub fn of(histogram: &Histogram<u64>) -> Latency {
        let at = |quantile| histogram.value_at_quantile(quantile).min(histogram.max());
        Latency {
            count: histogram.len(),
            p50_ns: at(0.5),
            p99_ns: at(0.99),
            p999_ns: at(0.999),
            max_ns: histogram.max(),
        }
    }
}

/// Bytes a second, over blocks that were written before.
fn bandwidth(file: &File, span_bytes: u64, budget: Duration) -> io::Result<f64> {
    let pieces = span_bytes / PIECE_BYTES as u64;
    let next = AtomicU64::new(0);
    let start = Instant::now();
    let lane = || -> io::Result<()> {
        let memory = Aligned::new(PIECE_BYTES);
        loop {
            let piece = next.fetch_add(1, Ordering::Relaxed) % pieces;
            file.write_all_at(memory.bytes(), piece * PIECE_BYTES as u64)?;
            if start.elapsed() >= budget {
                return Ok(());
            }
        }
    };
    std::thread::scope(|scope| {
        let lanes: Vec<_> = (0..IN_FLIGHT).map(|_| scope.spawn(lane)).collect();
        for lane in lanes {
            lane.join().expect("writing has nothing that panics")?;
        }
        // Without O_DIRECT, what is still in memory is not written yet.
        file.sync_data()
    })?;
    let bytes = next.load(Ordering::Relaxed) * PIECE_BYTES as u64;
    Ok(bytes as f64 / start.elapsed().as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_measured_and_left_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let found = measure(folder.path(), Duration::from_millis(40)).unwrap();
        assert!(found.write_sync.count > 0 && found.write_sync.p50_ns > 0);
        assert!(found.dsync.count > 0 && found.dsync.max_ns >= found.dsync.p99_ns);
        assert!(found.bytes_per_s > 0.0);
        assert!(found.span_bytes >= BYTES_MIN);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_directory_that_is_none_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("missing");
        let error = measure(&missing, Duration::ZERO).unwrap_err();
        assert!(matches!(error, DiskError::Missing(_)), "{error}");
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        let error = measure(&file, Duration::ZERO).unwrap_err();
        assert!(matches!(error, DiskError::NotADirectory(_)), "{error}");
    }

    #[test]
    fn each_refusal_of_the_system_gets_its_own_words() {
        let told = |errno: Errno| classify(Path::new("/data"), "writing", errno.into());
        assert!(matches!(told(Errno::ROFS), DiskError::ReadOnly(_)));
        assert!(matches!(told(Errno::ACCESS), DiskError::Denied(_)));
        assert!(matches!(told(Errno::NOSPC), DiskError::Full { .. }));
        assert!(matches!(told(Errno::DQUOT), DiskError::Full { .. }));
        assert!(told(Errno::IO).to_string().contains("writing failed"));
    }

    #[test]
    fn memory_starts_at_a_block() {
        for len in [BLOCK_BYTES, PIECE_BYTES] {
            let memory = Aligned::new(len);
            assert_eq!(memory.bytes().as_ptr() as usize % BLOCK_BYTES, 0);
            assert_eq!(memory.bytes().len(), len);
        }
    }
}
