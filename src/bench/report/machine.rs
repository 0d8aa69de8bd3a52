//! What figures were measured on.
//!
//! Owns: reading it. Never does: measuring.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::cpu::{HostSys, Sys};
use crate::tuning::doctor::facts::HostFacts;
use crate::tuning::doctor::place::BlockDevice;
use crate::tuning::jitter::report::Standing;

/// What figures were measured on. A text is empty where the host does not tell.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// The processor's name.
    pub cpu: String,
    /// CPUs that this process may use.
    pub cpus: usize,
    /// `metal` or a virtual machine's kind.
    pub standing: String,
    /// The kernel's release.
    pub kernel: String,
    /// How frequencies are chosen.
    pub governor: String,
    /// CPUs that the scheduler leaves alone, as a list.
    pub isolated: String,
    /// The clock that the kernel reads.
    pub clock_source: String,
    /// File system of the data directory, with its mount options.
    pub file_system: String,
    /// The device under it.
    pub device: String,
    /// Bytes of memory.
    pub memory_bytes: u64,
    /// Load average of the last minute when the run began, as the kernel writes it.
    pub load_average: String,
}

impl Machine {
    /// Reads what this host tells. `directory` is where the data lies; it need not be there yet.
    pub fn read(directory: &Path) -> Machine {
        Machine::of(&HostSys::new("/"), directory)
    }

    fn of(sys: &dyn Sys, directory: &Path) -> Machine {
        let facts = HostFacts::read(sys, directory);
        let read = |path: &str| sys.read(path).unwrap_or_default().trim().to_owned();
        let governors: Vec<String> = facts.governors.into_iter().collect();
        let place = facts.place.unwrap_or_default();
        let standing = match facts.standing {
            Standing::Gating => "metal".to_owned(),
            Standing::Informational => virtual_kind(&read("/sys/class/dmi/id/sys_vendor")),
        };
        let load = read("/proc/loadavg");
        Machine {
            cpu: facts.cpu,
            cpus: facts.cpus.len(),
            standing,
            kernel: facts.kernel,
            governor: governors.join(", "),
            isolated: facts.isolated.to_string(),
            clock_source: facts.clock_source.unwrap_or_default(),
            file_system: format!("{} {}", place.file_system, place.options.join(","))
                .trim()
                .to_owned(),
            device: place.device.as_ref().map_or(String::new(), told),
            memory_bytes: memory_bytes(&read("/proc/meminfo")),
            load_average: load
                .split_whitespace()
                .next()
                .unwrap_or_default()
                .to_owned(),
        }
    }
}

fn virtual_kind(vendor: &str) -> String {
    match vendor {
        "" => "virtual machine".to_owned(),
        vendor => format!("virtual machine ({vendor})"),
    }
}

/// As in `nvme0n1, write back, FUA, scheduler none`.
fn told(device: &BlockDevice) -> String {
    let flag = |is: Option<bool>, name: &str| (is == Some(true)).then(|| name.to_owned());
    let parts = [
        Some(device.name.clone()),
        device
            .write_cache
            .as_deref()
            .map(|cache| cache.trim().to_owned()),
        flag(device.fua, "FUA"),
        flag(device.rotational, "rotational"),
        device
            .scheduler
            .as_ref()
            .map(|name| format!("scheduler {name}")),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn memory_bytes(meminfo: &str) -> u64 {
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0).saturating_mul(1024)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_machine_is_described_and_what_it_does_not_tell_is_empty() {
        let folder = tempfile::tempdir().unwrap();
        let sys = HostSys::new(folder.path());
        let bare = Machine::of(&sys, folder.path());
        assert_eq!(bare.standing, "metal");
        assert_eq!((bare.memory_bytes, bare.file_system.as_str()), (0, ""));
        let put = |path: &str, text: &str| {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        put(
            "proc/cpuinfo",
            "model name\t: A CPU\nflags\t\t: fpu hypervisor\n",
        );
        put("proc/meminfo", "MemTotal:       4 kB\nMemFree: 1 kB\n");
        put("proc/loadavg", "0.52 0.40 0.30 1/100 7\n");
        put("sys/class/dmi/id/sys_vendor", "QEMU\n");
        let told = Machine::of(&sys, folder.path());
        assert_eq!(told.cpu, "A CPU");
        assert_eq!(told.standing, "virtual machine (QEMU)");
        assert_eq!(
            (told.memory_bytes, told.load_average.as_str()),
            (4096, "0.52")
        );
    }

    #[test]
    fn a_device_is_named_with_what_decides_its_speed() {
        let device = BlockDevice {
            name: "nvme0n1".into(),
            write_cache: Some("write back\n".into()),
            fua: Some(true),
            rotational: Some(false),
            scheduler: None,
            node: None,
        };
        assert_eq!(told(&device), "nvme0n1, write back, FUA");
    }
}
