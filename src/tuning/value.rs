//! Values as the kernel takes and gives them.
//!
//! Owns: whether what a file holds is the value that was written to it. Never does: I/O.

use crate::cpu::CpuSet;

/// Files that hold CPUs as a hexadecimal mask (Documentation/core-api/irq/irq-affinity.rst,
/// Documentation/networking/scaling.rst, Documentation/core-api/workqueue.rst), by the end of their
/// paths.
const MASKS: [&str; 5] = [
    "/smp_affinity",
    "/default_smp_affinity",
    "/rps_cpus",
    "/xps_cpus",
    "/workqueue/cpumask",
];

/// Files that hold CPUs as a list, by the end of their paths. The watchdog's is one in spite of its
/// name (Documentation/admin-guide/sysctl/kernel.rst).
const LISTS: [&str; 5] = [
    "/smp_affinity_list",
    "/kernel/watchdog_cpumask",
    "/cpuset.cpus",
    "/cpuset.cpus.exclusive",
    "/cpulist",
];

/// The value that a reading stands for and that may be written back: the chosen one where the kernel
/// shows all that there are (`always [madvise] never`), else all of it.
pub fn selected(reading: &str) -> &str {
    let reading = reading.trim();
    let chosen = reading
        .split_whitespace()
        .find_map(|word| word.strip_prefix('[')?.strip_suffix(']'));
    chosen.unwrap_or(reading)
}

/// Whether the file at `path`, of which `reading` was read, holds `value`: CPUs are compared as sets,
/// whatever their padding; lists of numbers whatever the blanks between them.
pub fn holds(path: &str, reading: &str, value: &str) -> bool {
    let (reading, value) = (selected(reading), selected(value));
    if reading == value || reading.split_whitespace().eq(value.split_whitespace()) {
        return true;
    }
    match cpus(path, reading).zip(cpus(path, value)) {
        Some((reading, value)) => reading == value,
        None => false,
    }
}

/// The CPUs that a file's text names, where it is a file of CPUs.
fn cpus(path: &str, text: &str) -> Option<CpuSet> {
    let is_one_of = |ends: &[&str]| ends.iter().any(|end| path.ends_with(end));
    if is_one_of(&MASKS) || (path.contains("/workqueue/") && path.ends_with("/cpumask")) {
        CpuSet::parse_mask(text).ok()
    } else if is_one_of(&LISTS) {
        CpuSet::parse_list(text).ok()
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chosen_one_of_several_is_the_value() {
        assert_eq!(selected("always [madvise] never"), "madvise");
        assert_eq!(selected("[none] mq-deadline\n"), "none");
        assert_eq!(selected("none"), "none");
        assert_eq!(selected("4096\t131072"), "4096\t131072");
    }

    #[test]
    fn cpus_are_compared_as_sets_and_only_where_they_are_cpus() {
        let mask = "/proc/irq/5/smp_affinity";
        assert!(holds(mask, "00000000,0000000f", "f"));
        assert!(holds(mask, "000f", "0000000f"));
        assert!(!holds(mask, "00000001,0000000f", "f"));
        let list = "/proc/irq/5/smp_affinity_list";
        assert!(holds(list, "0-3", "0,1,2,3"));
        assert!(!holds(list, "0-3", "0-4"));
        assert!(holds("/proc/sys/kernel/watchdog_cpumask", "0-1", "0,1"));
        // A number is no mask.
        assert!(!holds("/proc/sys/vm/swappiness", "010", "10"));
    }

    #[test]
    fn blanks_between_numbers_say_nothing() {
        let path = "/proc/sys/net/ipv4/tcp_mem";
        assert!(holds(path, "1\t2\t3", "1 2 3"));
        assert!(!holds(path, "1\t2\t3", "1 23"));
    }
}
