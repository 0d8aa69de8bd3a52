//! A few harmless knobs of the machine that the tests run on: set by the same code as everywhere,
//! read again, and put back.

use corelane::cpu::{HostSys, Sys};

/// Values that harm nobody for a second: how often counters are folded, and where timers go.
const HARMLESS: &[(&str, &str, &str)] = &[
    ("vm.stat", "/proc/sys/vm/stat_interval", "10"),
    ("timer.migrate", "/proc/sys/kernel/timer_migration", "0"),
];

/// Puts values back when it goes, also when a test fails.
struct Restore<'a> {
    sys: &'a HostSys,
    values: Vec<(&'static str, String)>,
}

impl Drop for Restore<'_> {
    fn drop(&mut self) {
        for (path, value) in &self.values {
            if let Err(error) = self.sys.write(path, value) {
                eprintln!("{path} was {value} and could not be put back: {error}");
            }
        }
    }
}
