//! What this process has used so far, as the kernel counts it.
//!
//! Owns: reading it. Never does: measuring a load. Runs on: the thread that asks.

use std::fs;

use rustix::time::{ClockId, clock_gettime};

use super::target::Usage;

/// What this process has used, without what only a target knows. A figure that the kernel does not
/// tell is 0.
pub fn of_process() -> Usage {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Usage {
        busy_ns: Vec::new(),
        cpu_s: time.tv_sec as f64 + time.tv_nsec as f64 / 1e9,
        resident_bytes: number("/proc/self/status", "VmRSS:") * 1024,
        written_bytes: number("/proc/self/io", "write_bytes:"),
    }
}

/// The number that follows a key at the beginning of a line.
fn number(path: &str, key: &str) -> u64 {
    let text = fs::read_to_string(path).unwrap_or_default();
    let value = text.lines().find_map(|line| line.strip_prefix(key));
    let first = value.and_then(|value| value.split_whitespace().next());
    first.and_then(|first| first.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_memory_and_has_used_time() {
        let before = of_process();
        assert!(before.resident_bytes > 1 << 20);
        let mut sum = 0_u64;
        while of_process().cpu_s <= before.cpu_s {
            sum = sum.wrapping_add(1);
        }
        assert!(of_process().cpu_s > before.cpu_s);
    }
}
