//! Measuring the floor: one figure after the other.
//!
//! Owns: their order, their share of the time, and the CPUs they are measured on. Never does: a
//! measurement of its own. Runs on: the thread that asks.

use std::io;
use std::path::Path;
use std::time::Duration;

use super::{Floor, Jitter, Timing, hop, loopback};
use crate::bench::error::BenchError;
use crate::cpu::{CpuSet, HostSys, Layout, Sys, allowed_cpus};
use crate::tuning::doctor::disk;
use crate::tuning::jitter::{self, JitterError, JitterOptions};

/// What to measure.
#[derive(Clone, Copy, Debug)]
pub struct FloorOptions<'a> {
    /// The directory whose device is measured; it must be there.
    pub directory: &'a Path,
    /// Bytes of a message over loopback; at least 1.
    pub record_bytes: usize,
    /// How long all of it takes, about. Half a second comes on top, to find the counter's rate.
    pub span: Duration,
}

/// Measures one after the other, so that nothing disturbs the rest: the device for half of the span,
/// loopback for a quarter, the jitter for three sixteenths, the hop for the last one.
///
/// # Errors
/// Nothing can be written to the directory, the CPU's counter is no clock, a thread cannot be put on
/// its CPU, or there is no loopback.
pub fn measure(options: &FloorOptions<'_>) -> Result<Floor, BenchError> {
    let sys = HostSys::new("/");
    let cpus = cpus(&sys)?;
    let sixteenth = options.span / 16;
    let disk = disk::measure(options.directory, sixteenth * 8)?;
    let failed = |what| move |source: io::Error| BenchError::System { what, source };
    let loopback = loopback::round_trip(options.record_bytes.max(1), sixteenth * 2)
        .map_err(failed("loopback round trips"))?;
    let loopback_bytes_per_s =
        loopback::bandwidth(sixteenth * 2).map_err(failed("loopback bandwidth"))?;
    let ends = cpus.first().zip(cpus.iter().last());
    let hop = match ends.filter(|(first, last)| first != last) {
        Some((first, last)) => Some(
            hop::round_trip(first, last, sixteenth).map_err(failed("a hop between two CPUs"))?,
        ),
        None => None,
    };
    Ok(Floor {
        access: disk.access,
        write_sync: disk.write_sync.into(),
        dsync: disk.dsync.into(),
        write_bytes_per_s: disk.bytes_per_s,
        loopback: Timing::of(&loopback),
        loopback_bytes_per_s,
        hop: hop.as_ref().map(Timing::of),
        jitter: gaps(&sys, cpus, sixteenth * 3)?,
    })
}

/// The CPUs that cores run on: those of the layout, or else all that this process may use.
fn cpus(sys: &dyn Sys) -> Result<CpuSet, BenchError> {
    let of_layout = Layout::read(sys).map(|layout| layout.shard_cpus());
    match of_layout {
        Ok(cpus) if !cpus.is_empty() => Ok(cpus),
        _ => {
            let allowed = allowed_cpus().map_err(|error| BenchError::System {
                what: "asking for this process's CPUs",
                source: io::Error::other(error),
            })?;
            Ok(allowed.into_iter().collect())
        }
    }
}

fn gaps(sys: &dyn Sys, cpus: CpuSet, span: Duration) -> Result<Vec<Jitter>, BenchError> {
    let options = JitterOptions {
        cpus,
        span,
        stress: None,
    };
    let report = jitter::run(sys, &options).map_err(|error| match error {
        JitterError::Clock(clock) => BenchError::Clock(clock.to_string()),
        other @ (JitterError::Meter(_) | JitterError::Counters(_) | JitterError::Stress { .. }) => {
            BenchError::System {
                what: "watching the CPUs",
                source: io::Error::other(other),
            }
        }
    })?;
    let jitter = report.cpus.iter().map(|cpu| Jitter {
        cpu: cpu.cpu,
        lost: cpu.figures.lost_ppm / 1e6,
        max_us: cpu.figures.gap_max_ns as f64 / 1e3,
        wait_p9999_us: cpu.figures.wait_p9999_ns as f64 / 1e3,
    });
    Ok(jitter.collect())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn options(directory: &Path) -> FloorOptions<'_> {
        FloorOptions {
            directory,
            record_bytes: 100,
            span: Duration::from_millis(160),
        }
    }

    #[test]
    fn a_host_has_a_floor_and_keeps_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let floor = measure(&options(folder.path())).unwrap();
        for timing in [floor.write_sync, floor.dsync, floor.loopback] {
            assert!(timing.count > 0 && timing.p50_us > 0.0);
            assert!(timing.p50_us <= timing.p99_us && timing.p99_us <= timing.max_us);
        }
        assert!(floor.write_bytes_per_s > 0.0 && floor.loopback_bytes_per_s > 0.0);
        let cpus = cpus(&HostSys::new("/")).unwrap().len();
        assert_eq!(floor.hop.is_some(), cpus > 1);
        assert_eq!(floor.jitter.len(), cpus);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        let json = serde_json::to_string(&floor).unwrap();
        let read: Floor = serde_json::from_str(&json).unwrap();
        assert_eq!(read.jitter.len(), cpus);
    }

    #[test]
    fn a_directory_that_is_not_there_is_not_made() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("missing");
        let error = measure(&options(&missing)).unwrap_err();
        assert!(error.to_string().contains("no such directory"), "{error}");
        assert!(!missing.exists());
    }
}
