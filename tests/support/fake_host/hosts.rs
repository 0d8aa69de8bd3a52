//! The files that knobs look at, for each host that stands in for a real one: as the kernel shows
//! them on a host that nobody has tuned.
//!
//! What is there already (CPUs, nodes, devices) stays; masks and numbers of files follow from it.

use std::fs;

use corelane::cpu::CpuSet;

use super::FakeHost;
use super::topology;

/// What sets one host apart from another, beyond its hardware.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trait {
    /// A hypervisor beneath: no frequencies, no firmware, another clock.
    Virtual,
    /// No cpufreq driver.
    NoFrequencies,
    /// cpusets of cgroup v1, so that systemd has no AllowedCPUs.
    CgroupV1,
    /// `tuned` was here: isolation and latency settings in force, by the boot loader's own file.
    Tuned,
    /// An interface that does not name its interrupts.
    NoNames,
}

/// Every host, with the files of its knobs.
pub fn all() -> Vec<(&'static str, FakeHost)> {
    let mut hosts = topology::all();
    for (name, host) in &hosts {
        add_knobs(host, name);
    }
    hosts.sort_by_key(|(name, _)| *name);
    hosts
}

/// One of them.
pub fn host(name: &str) -> FakeHost {
    let host = match name {
        "vm_2" => topology::vm_2(),
        "metal_8c16t" => topology::metal_8c16t(),
        "metal_2x32c128t" => topology::metal_2x32c128t(),
        "managed_nvme" => topology::managed_nvme(),
        "bond_vlan" => topology::bond_vlan(),
        "empty_msi" => topology::empty_msi(),
        "tuned_already" => topology::tuned_already(),
        other => panic!("{other} is not asked for by itself yet"),
    };
    add_knobs(&host, name);
    host
}

fn add_knobs(host: &FakeHost, name: &str) {
    let traits: &[Trait] = match name {
        "vm_2" => &[Trait::Virtual, Trait::NoFrequencies],
        "no_cpufreq" => &[Trait::NoFrequencies],
        "cgroup_v1" => &[Trait::Virtual, Trait::NoFrequencies, Trait::CgroupV1],
        "tuned_already" => &[Trait::Tuned],
        "empty_msi" => &[Trait::NoNames],
        _ => &[],
    };
    let set = |name: &str| {
        let list = host.read(&format!("/sys/devices/system/cpu/{name}"));
        CpuSet::parse_list(&list).expect("a list of the fixture")
    };
    let tree = Tree {
        host,
        possible: set("possible"),
        online: set("online"),
        traits,
    };
    tree.identity();
    tree.sysctls();
    tree.memory();
    tree.kernel();
    tree.power();
    tree.interrupts();
    tree.blocks();
    tree.nics();
    tree.threads();
    tree.distribution();
}

struct Tree<'a> {
    host: &'a FakeHost,
    possible: CpuSet,
    online: CpuSet,
    traits: &'a [Trait],
}

impl Tree<'_> {
    fn is(&self, wanted: Trait) -> bool {
        self.traits.contains(&wanted)
    }

    /// Puts a file where nothing is.
    fn put(&self, path: &str, text: &str) {
        if !self.has(path) {
            self.host.put(path, text);
        }
    }

    fn has(&self, path: &str) -> bool {
        self.host.path().join(path.trim_start_matches('/')).exists()
    }

    fn names(&self, path: &str) -> Vec<String> {
        let folder = self.host.path().join(path.trim_start_matches('/'));
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    }

    fn mask(&self) -> String {
        self.possible.to_mask(self.host.cpus)
    }

    fn identity(&self) {
        let cmdline = "root=UUID=0a-1b console=tty0 console=ttyS0,115200 quiet";
        let cmdline = if self.is(Trait::Tuned) {
            format!("{cmdline} skew_tick=1 isolcpus=managed_irq,domain,1-15 rcu_nocbs=1-15")
        } else {
            cmdline.to_owned()
        };
        self.put("/proc/cmdline", &cmdline);
        self.put("/proc/uptime", "86400.00 1.00");
        self.put("/proc/swaps", "Filename\tType\tSize\tUsed\tPriority");
        self.put(
            "/proc/self/limits",
            "Limit                     Soft Limit           Hard Limit           Units\n\
             Max open files            1024                 1048576              files\n\
             Max locked memory         8388608              8388608              bytes",
        );
        self.put(
            "/proc/self/mounts",
            "sysfs /sys sysfs rw 0 0\n/dev/sda2 / ext4 rw 0 0",
        );
    }

    fn sysctls(&self) {
        let all = self.possible.to_string();
        for (key, value) in [
            ("kernel/numa_balancing", "1"),
            ("kernel/nmi_watchdog", "1"),
            ("kernel/watchdog_cpumask", all.as_str()),
            ("kernel/timer_migration", "1"),
            ("kernel/sched_autogroup_enabled", "1"),
            ("kernel/sched_rt_runtime_us", "950000"),
            ("kernel/io_uring_disabled", "0"),
            ("vm/zone_reclaim_mode", "0"),
            ("vm/swappiness", "60"),
            ("vm/compaction_proactiveness", "20"),
            ("vm/watermark_boost_factor", "15000"),
            ("vm/stat_interval", "1"),
            ("net/core/busy_poll", "0"),
            ("net/core/busy_read", "0"),
            ("net/core/somaxconn", "4096"),
            ("net/core/rps_sock_flow_entries", "0"),
            ("net/ipv4/tcp_slow_start_after_idle", "1"),
            ("net/ipv4/tcp_autocorking", "1"),
            ("net/ipv4/tcp_max_syn_backlog", "65535"),
        ] {
            self.put(&format!("/proc/sys/{key}"), value);
        }
    }

    fn memory(&self) {
        let folder = "/sys/kernel/mm/transparent_hugepage";
        self.put(&format!("{folder}/enabled"), "[always] madvise never");
        let defrag = "always defer defer+madvise [madvise] never";
        self.put(&format!("{folder}/defrag"), defrag);
        self.put(&format!("{folder}/khugepaged/defrag"), "1");
        self.put("/sys/kernel/mm/ksm/run", "0");
    }

    fn kernel(&self) {
        let folder = "/sys/devices/virtual/workqueue";
        self.put(&format!("{folder}/cpumask"), &self.mask());
        self.put(&format!("{folder}/writeback/cpumask"), &self.mask());
        self.put(
            &format!("{folder}/cpumask_isolated"),
            &CpuSet::new().to_mask(self.host.cpus),
        );
        let clock = "/sys/devices/system/clocksource/clocksource0";
        let (current, offered) = if self.is(Trait::Virtual) {
            ("kvm-clock", "kvm-clock tsc acpi_pm")
        } else {
            ("tsc", "tsc hpet acpi_pm")
        };
        self.put(&format!("{clock}/current_clocksource"), current);
        self.put(&format!("{clock}/available_clocksource"), offered);
        self.put("/sys/kernel/rcu_normal", "0");
        self.put("/sys/kernel/debug/sched/base_slice_ns", "3000000");
        if !self.is(Trait::Virtual) {
            self.put("/sys/devices/system/cpu/nohz_full", "(null)");
        }
        let bugs = "/sys/devices/system/cpu/vulnerabilities";
        self.put(&format!("{bugs}/meltdown"), "Not affected");
        self.put(&format!("{bugs}/spectre_v2"), "Mitigation: Retpolines");
    }

    fn power(&self) {
        let cpus = "/sys/devices/system/cpu";
        for cpu in self.online.iter() {
            let folder = format!("{cpus}/cpu{}", cpu.index());
            self.put(&format!("{folder}/power/pm_qos_resume_latency_us"), "0");
            for (state, latency) in [("state0", "0"), ("state1", "1"), ("state2", "170")] {
                self.put(&format!("{folder}/cpuidle/{state}/latency"), latency);
                self.put(&format!("{folder}/cpuidle/{state}/disable"), "0");
            }
            if !self.is(Trait::NoFrequencies) && !self.is(Trait::Virtual) {
                let policy = format!("{cpus}/cpufreq/policy{}", cpu.index());
                self.put(&format!("{policy}/scaling_governor"), "powersave");
                let offered = "performance powersave";
                self.put(&format!("{policy}/scaling_available_governors"), offered);
                let preference = format!("{policy}/energy_performance_preference");
                self.put(&preference, "balance_performance");
            }
            if !self.is(Trait::Virtual) {
                let bank = format!(
                    "/sys/devices/system/machinecheck/machinecheck{}",
                    cpu.index()
                );
                self.put(&format!("{bank}/ignore_ce"), "0");
                self.put(&format!("{bank}/check_interval"), "300");
            }
        }
        if !self.is(Trait::Virtual) {
            let aspm = "/sys/module/pcie_aspm/parameters/policy";
            self.put(aspm, "[default] performance powersave powersupersave");
            self.put("/sys/kernel/iommu_groups/0/type", "DMA");
            self.put("/sys/kernel/iommu_groups/1/type", "DMA-FQ");
        }
    }

    /// Where each interrupt goes: managed ones to a CPU of their own, the rest to the last one, as
    /// where somebody balanced them.
    fn interrupts(&self) {
        self.put("/proc/irq/default_smp_affinity", &self.mask());
        let all = self.possible.to_string();
        let cpus: Vec<String> = self.online.iter().map(|cpu| cpu.to_string()).collect();
        let last = cpus.last().expect("a host has CPUs");
        let mut managed = cpus.iter().cycle();
        for irq in &self.host.irqs {
            let folder = format!("/proc/irq/{}", irq.number);
            let (allowed, effective) = match irq.action.as_str() {
                _ if irq.is_managed => {
                    let own = managed.next().expect("a host has CPUs");
                    (own, own.as_str())
                }
                "acpi" => (&all, "0"),
                // Not started: goes nowhere.
                action if action.ends_with("-config") => (&all, ""),
                _ => (&all, last.as_str()),
            };
            self.put(&format!("{folder}/smp_affinity_list"), allowed);
            let set = CpuSet::parse_list(allowed).expect("a list of the fixture");
            self.put(
                &format!("{folder}/smp_affinity"),
                &set.to_mask(self.host.cpus),
            );
            self.put(&format!("{folder}/effective_affinity_list"), effective);
            if !self.is(Trait::NoNames) {
                self.put(
                    &format!("/sys/kernel/irq/{}/actions", irq.number),
                    &irq.action,
                );
            }
            self.host.folder(&format!("{folder}/{}", irq.action));
        }
    }

    fn blocks(&self) {
        for controller in self.names("/sys/class/nvme") {
            self.put("/sys/module/nvme/parameters/poll_queues", "0");
            let folder = format!("/sys/class/nvme/{controller}/power");
            self.put(&format!("{folder}/pm_qos_latency_tolerance_us"), "100000");
        }
        self.put("/sys/block/loop0/queue/scheduler", "[none] mq-deadline");
        for disk in self.names("/sys/block") {
            if disk.starts_with("loop") {
                continue;
            }
            self.put(&format!("/sys/block/{disk}/device/model"), "Fake");
            let queue = format!("/sys/block/{disk}/queue");
            let is_nvme = disk.starts_with("nvme");
            let scheduler = if is_nvme {
                "[none] mq-deadline kyber"
            } else {
                "none [mq-deadline] kyber"
            };
            self.put(&format!("{queue}/scheduler"), scheduler);
            for (name, value) in [
                ("nomerges", "0"),
                ("iostats", "1"),
                ("add_random", "0"),
                ("wbt_lat_usec", if is_nvme { "2000" } else { "75000" }),
                ("rq_affinity", "1"),
                ("io_poll", "0"),
                (
                    "write_cache",
                    if is_nvme {
                        "write through"
                    } else {
                        "write back"
                    },
                ),
            ] {
                self.put(&format!("{queue}/{name}"), value);
            }
        }
    }

    fn nics(&self) {
        let none = CpuSet::new().to_mask(self.host.cpus);
        for nic in self.names("/sys/class/net") {
            let folder = format!("/sys/class/net/{nic}/queues");
            let queues = self.names(&folder);
            for queue in &queues {
                let queue_folder = format!("{folder}/{queue}");
                if queue.starts_with("rx-") {
                    self.put(&format!("{queue_folder}/rps_cpus"), &none);
                    self.put(&format!("{queue_folder}/rps_flow_cnt"), "0");
                } else if queues.len() > 2 {
                    // With one queue it is listed, and reading it says that it is not there.
                    self.put(&format!("{queue_folder}/xps_cpus"), &none);
                }
            }
        }
    }

    /// A thread of the kernel. Flags as in include/linux/sched.h.
    fn kernel_thread(&self, tid: usize, comm: &str, flags: u64) {
        let folder = format!("/proc/{tid}");
        self.put(&format!("{folder}/comm"), comm);
        let rest = "0 ".repeat(40);
        self.put(
            &format!("{folder}/stat"),
            &format!("{tid} ({comm}) S 2 0 0 0 -1 {flags} {rest}"),
        );
        self.put(
            &format!("{folder}/status"),
            &format!("Name:\t{comm}\nCpus_allowed_list:\t{}", self.possible),
        );
        self.put(&format!("{folder}/cmdline"), "");
    }

    fn threads(&self) {
        const KERNEL: u64 = 0x0020_0000;
        const BOUND: u64 = 0x0400_0000;
        self.kernel_thread(2, "kthreadd", KERNEL);
        self.kernel_thread(15, "ksoftirqd/0", KERNEL | BOUND);
        self.kernel_thread(40, "kcompactd0", KERNEL);
        self.kernel_thread(41, "odd) (name", KERNEL);
        self.kernel_thread(600, "sshd", 0);
    }

    fn distribution(&self) {
        self.put(
            "/etc/default/grub",
            "GRUB_CMDLINE_LINUX_DEFAULT=\"quiet resume=UUID=0a-1b\"",
        );
        self.put("/usr/sbin/update-grub", "#!/bin/sh");
        self.host.folder("/etc/default/grub.d");
        self.host.folder("/etc/udev/rules.d");
        self.host.folder("/etc/sysctl.d");
        self.host.folder("/run/systemd/system");
        if self.is(Trait::CgroupV1) {
            self.put(
                "/sys/fs/cgroup/cpuset/cpuset.cpus",
                &self.online.to_string(),
            );
            return;
        }
        self.put("/sys/fs/cgroup/cpuset.cpus.isolated", "");
        for slice in ["init.scope", "system.slice", "user.slice"] {
            let path = format!("/sys/fs/cgroup/{slice}/cpuset.cpus.effective");
            self.put(&path, &self.online.to_string());
        }
    }
}
