//! What the hardware of each host is: CPUs, caches, memory nodes, NVMe, network interfaces, their
//! interrupts, and the names by which the kernel knows the machine.

use std::fmt::Write as _;

use corelane::cpu::CpuSet;
use corelane::ids::CpuId;

use super::{FakeHost, Irq};

/// The boot of every fake host.
pub const BOOT_ID: &str = "0f5a2c1e-7a44-4b58-9a51-3f0c8d1e2b6a";

/// The machine id of every fake host.
pub const MACHINE_ID: &str = "5b1e8f0c9a7d4e63b2f1a0c9d8e7f605";

/// A real host's flags that tuning asks for.
const METAL: &str = "fpu tsc msr constant_tsc nonstop_tsc rdtscp pdpe1gb aes avx2";

/// Those of a virtual machine.
const GUEST: &str = "fpu tsc msr constant_tsc nonstop_tsc rdtscp hypervisor aes avx2";

/// What a host is made of. CPUs are numbered as on x86: the first of each core, then the second.
pub struct Hardware {
    pub nodes: usize,
    pub cores_per_node: usize,
    pub threads: usize,
    pub cores_per_cache: usize,
    /// CPUs that do not run; empty for none.
    pub offline: &'static str,
    /// CPUs that the scheduler was told at boot to leave alone.
    pub isolated: &'static str,
    pub kernel: &'static str,
    pub model: &'static str,
    pub flags: &'static str,
    pub nvme: &'static [Nvme],
    pub nics: &'static [Nic],
    /// Bonds and VLANs, after what they stand on.
    pub stacked: &'static [Stacked],
    pub default_nic: &'static str,
    /// What `/` and `/srv/data` are on.
    pub disk: Disk,
}

/// An NVMe controller with one namespace.
pub struct Nvme {
    pub name: &'static str,
    pub node: i32,
    pub io_queues: u32,
    pub poll: bool,
}

/// A network interface with hardware.
pub struct Nic {
    pub name: &'static str,
    pub node: i32,
    pub queues: u32,
    pub driver: Driver,
}

/// How a driver names its interrupts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Driver {
    /// `virtio2-input.0`; the interface belongs to a virtio device below the PCI function.
    Virtio,
    /// `eth0-TxRx-0`
    Intel,
    /// `mlx5_comp0@pci:0000:41:00.0`
    Mellanox,
    /// As Intel's, on a machine that leaves `msi_irqs` empty.
    Silent,
}

/// An interface that stands on others.
pub struct Stacked {
    pub name: &'static str,
    pub on: &'static [&'static str],
    pub is_bond: bool,
}

/// What the file systems are on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Disk {
    /// `/` on the first NVMe controller, data on the last.
    Nvme,
    /// All on `vda`.
    Virtio,
}

/// One node, 8 cores of 2 CPUs, an NVMe drive, an interface with 8 queues. Others are told apart
/// from it.
const METAL_8C16T: Hardware = Hardware {
    nodes: 1,
    cores_per_node: 8,
    threads: 2,
    cores_per_cache: 8,
    offline: "",
    isolated: "",
    kernel: "6.12.9",
    model: "Fake Metal 8-Core",
    flags: METAL,
    nvme: &[Nvme {
        name: "nvme0",
        node: 0,
        io_queues: 16,
        poll: false,
    }],
    nics: &[Nic {
        name: "eth0",
        node: 0,
        queues: 8,
        driver: Driver::Intel,
    }],
    stacked: &[],
    default_nic: "eth0",
    disk: Disk::Nvme,
};

/// The virtual machine of two CPUs: no SMT, no NVMe, one queue, memory nodes unknown.
pub fn vm_2() -> FakeHost {
    build(&Hardware {
        cores_per_node: 2,
        threads: 1,
        cores_per_cache: 2,
        kernel: "6.18.44",
        model: "Fake Guest",
        flags: GUEST,
        nvme: &[],
        nics: &[Nic {
            name: "eth0",
            node: -1,
            queues: 1,
            driver: Driver::Virtio,
        }],
        disk: Disk::Virtio,
        ..METAL_8C16T
    })
}

/// A single-socket machine with 8 cores and 16 CPUs.
pub fn metal_8c16t() -> FakeHost {
    build(&METAL_8C16T)
}

/// Two sockets with 32 cores each, 128 CPUs: masks of four words. Data and network on node 0, a
/// second interface on node 1.
pub fn metal_2x32c128t() -> FakeHost {
    build(&Hardware {
        nodes: 2,
        cores_per_node: 32,
        cores_per_cache: 32,
        nvme: &[
            Nvme {
                name: "nvme0",
                node: 0,
                io_queues: 128,
                poll: true,
            },
            Nvme {
                name: "nvme1",
                node: 0,
                io_queues: 128,
                poll: true,
            },
        ],
        nics: &[
            Nic {
                name: "eno1",
                node: 1,
                queues: 8,
                driver: Driver::Intel,
            },
            Nic {
                name: "ens1f0",
                node: 0,
                queues: 63,
                driver: Driver::Mellanox,
            },
        ],
        default_nic: "ens1f0",
        ..METAL_8C16T
    })
}

/// One socket of 64 cores behind 8 third-level caches.
pub fn epyc_8ccx() -> FakeHost {
    build(&Hardware {
        cores_per_node: 64,
        cores_per_cache: 8,
        nics: &[Nic {
            name: "enp65s0",
            node: 0,
            queues: 32,
            driver: Driver::Mellanox,
        }],
        default_nic: "enp65s0",
        ..METAL_8C16T
    })
}

/// Two sockets, 96 CPUs of which 0-3 and 8-95 run: masks of three words.
pub fn cpus_96_holes() -> FakeHost {
    build(&Hardware {
        nodes: 2,
        cores_per_node: 24,
        cores_per_cache: 24,
        offline: "4-7",
        ..METAL_8C16T
    })
}

/// As [`metal_8c16t`], with fewer NVMe queues than CPUs, whose interrupts the kernel manages.
pub fn managed_nvme() -> FakeHost {
    build(&Hardware {
        nvme: &[Nvme {
            name: "nvme0",
            node: 0,
            io_queues: 8,
            poll: false,
        }],
        ..METAL_8C16T
    })
}

/// Two interfaces bonded, a VLAN on the bond.
pub fn bond_vlan() -> FakeHost {
    build(&Hardware {
        nodes: 2,
        nics: &[
            Nic {
                name: "eth0",
                node: 1,
                queues: 4,
                driver: Driver::Intel,
            },
            Nic {
                name: "eth1",
                node: 1,
                queues: 4,
                driver: Driver::Intel,
            },
        ],
        stacked: &[
            Stacked {
                name: "bond0",
                on: &["eth0", "eth1"],
                is_bond: true,
            },
            Stacked {
                name: "bond0.100",
                on: &["bond0"],
                is_bond: false,
            },
        ],
        default_nic: "bond0.100",
        ..METAL_8C16T
    })
}

/// A guest of 8 CPUs on an old kernel; what it lacks is in its control groups.
pub fn cgroup_v1() -> FakeHost {
    build(&Hardware {
        threads: 1,
        kernel: "4.19.0",
        flags: GUEST,
        ..METAL_8C16T
    })
}

/// A guest of 8 cores whose frequency nobody can set.
pub fn no_cpufreq() -> FakeHost {
    build(&Hardware {
        flags: GUEST,
        model: "Fake Guest",
        ..METAL_8C16T
    })
}

/// Somebody else has isolated CPUs already: all but one of the socket, siblings of housekeeping too.
pub fn tuned_already() -> FakeHost {
    build(&Hardware {
        isolated: "1-15",
        ..METAL_8C16T
    })
}

/// 64 cores whose second CPUs are switched off.
pub fn smt_off_64() -> FakeHost {
    build(&Hardware {
        cores_per_node: 64,
        cores_per_cache: 16,
        offline: "64-127",
        ..METAL_8C16T
    })
}

/// A machine that does not say which interrupts its interface has.
pub fn empty_msi() -> FakeHost {
    build(&Hardware {
        nics: &[Nic {
            name: "eth0",
            node: 0,
            queues: 8,
            driver: Driver::Silent,
        }],
        ..METAL_8C16T
    })
}

/// Every host above, by name.
pub fn all() -> Vec<(&'static str, FakeHost)> {
    vec![
        ("vm_2", vm_2()),
        ("metal_8c16t", metal_8c16t()),
        ("metal_2x32c128t", metal_2x32c128t()),
        ("epyc_8ccx", epyc_8ccx()),
        ("cpus_96_holes", cpus_96_holes()),
        ("managed_nvme", managed_nvme()),
        ("bond_vlan", bond_vlan()),
        ("cgroup_v1", cgroup_v1()),
        ("no_cpufreq", no_cpufreq()),
        ("tuned_already", tuned_already()),
        ("smt_off_64", smt_off_64()),
        ("empty_msi", empty_msi()),
    ]
}

/// Writes a host's files.
pub fn build(hardware: &Hardware) -> FakeHost {
    let all = hardware.nodes * hardware.cores_per_node;
    let mut host = FakeHost::empty(all * hardware.threads);
    let possible: CpuSet = (0..host.cpus).map(cpu).collect();
    let offline = CpuSet::parse_list(hardware.offline).expect("a list of the fixture");
    let online = possible.difference(&offline);
    let root = "/sys/devices/system/cpu";
    for (name, set) in [
        ("possible", &possible),
        ("present", &possible),
        ("online", &online),
        ("offline", &offline),
    ] {
        host.put(&format!("{root}/{name}"), &set.to_string());
    }
    host.put(&format!("{root}/isolated"), hardware.isolated);
    for core in 0..all {
        let cpus: CpuSet = (0..hardware.threads).map(|n| cpu(core + n * all)).collect();
        let cpus = cpus.difference(&offline);
        let node = core / hardware.cores_per_node;
        let group = core / hardware.cores_per_cache * hardware.cores_per_cache;
        let behind: CpuSet = (group..group + hardware.cores_per_cache)
            .flat_map(|core| (0..hardware.threads).map(move |n| cpu(core + n * all)))
            .collect();
        for number in cpus.iter() {
            let cpu = format!("{root}/cpu{number}");
            let topology = format!("{cpu}/topology");
            let core_id = core % hardware.cores_per_node;
            host.put(&format!("{topology}/core_id"), &core_id.to_string());
            host.put(
                &format!("{topology}/physical_package_id"),
                &node.to_string(),
            );
            host.put(
                &format!("{topology}/thread_siblings_list"),
                &cpus.to_string(),
            );
            for (index, level, shared) in [(0, 1, &cpus), (3, 3, &behind.difference(&offline))] {
                let cache = format!("{cpu}/cache/index{index}");
                host.put(&format!("{cache}/level"), &level.to_string());
                host.put(&format!("{cache}/shared_cpu_list"), &shared.to_string());
            }
        }
        for number in 0..hardware.threads {
            let cpu = core + number * all;
            // CPU 0 cannot be switched off, and so has no file for it.
            if cpu > 0 {
                let runs = if online.contains(CpuId(cpu as u16)) {
                    "1"
                } else {
                    "0"
                };
                host.put(&format!("{root}/cpu{cpu}/online"), runs);
            }
        }
    }
    for node in 0..hardware.nodes {
        let first = node * hardware.cores_per_node;
        let cpus: CpuSet = (first..first + hardware.cores_per_node)
            .flat_map(|core| (0..hardware.threads).map(move |n| cpu(core + n * all)))
            .collect();
        let list = cpus.difference(&offline).to_string();
        host.put(
            &format!("/sys/devices/system/node/node{node}/cpulist"),
            &list,
        );
    }
    kernel(&host, hardware, &online);
    devices(&mut host, hardware);
    interrupts(&host, &online);
    host
}

fn cpu(number: usize) -> CpuId {
    CpuId(number as u16)
}

/// Names, flags, mounts, routes.
fn kernel(host: &FakeHost, hardware: &Hardware, online: &CpuSet) {
    let version = format!("Linux version {} (builder@fake) #1 SMP", hardware.kernel);
    host.put("/proc/version", &version);
    host.put("/proc/sys/kernel/osrelease", hardware.kernel);
    host.put("/proc/sys/kernel/hostname", "fake");
    host.put("/proc/sys/kernel/random/boot_id", BOOT_ID);
    host.put("/etc/machine-id", MACHINE_ID);
    host.put("/etc/hostname", "fake");
    let mut cpus = String::new();
    for cpu in online.iter() {
        let (model, flags) = (hardware.model, hardware.flags);
        write!(
            cpus,
            "processor\t: {cpu}\nvendor_id\t: FakeVendor\nmodel name\t: {model}\nflags\t\t: {flags}\n\n"
        )
        .expect("memory");
    }
    host.put("/proc/cpuinfo", cpus.trim_end_matches('\n'));
    host.put(
        "/proc/net/route",
        &format!(
            "Iface\tDestination\tGateway \tFlags\n{nic}\t000200C0\t00000000\t0001\n{nic}\t00000000\t010200C0\t0003",
            nic = hardware.default_nic
        ),
    );
    let mount = |number: &str, point: &str, device: &str| {
        format!("27 1 {number} / {point} rw,relatime - xfs /dev/{device} rw")
    };
    let proc = "22 27 0:21 / /proc rw,relatime - proc proc rw";
    let mounts = match hardware.disk {
        Disk::Nvme => {
            let last = hardware.nvme.len() - 1;
            let data = format!("{}n1", hardware.nvme[last].name);
            [
                mount("259:0", "/", "nvme0n1"),
                mount(&format!("259:{last}"), "/srv/data", &data),
                proc.to_owned(),
            ]
        }
        Disk::Virtio => [
            mount("254:0", "/", "vda"),
            mount("254:0", "/srv/data", "vda"),
            proc.to_owned(),
        ],
    };
    host.put("/proc/self/mountinfo", &mounts.join("\n"));
}

/// NVMe drives, the virtio disk, network interfaces, with interrupts in the order of the buses.
fn devices(host: &mut FakeHost, hardware: &Hardware) {
    host.irqs.push(Irq {
        number: 9,
        action: "acpi".to_owned(),
        is_managed: false,
    });
    let mut next = 32;
    for (at, nvme) in hardware.nvme.iter().enumerate() {
        let pci = format!("/sys/devices/pci0000:00/0000:{:02x}:00.0", at + 1);
        let (name, namespace) = (nvme.name, format!("{}n1", nvme.name));
        host.put(&format!("{pci}/numa_node"), &nvme.node.to_string());
        let controller = format!("{pci}/nvme/{name}");
        host.link(&format!("{controller}/device"), &pci);
        host.link(&format!("/sys/class/nvme/{name}"), &controller);
        let block = format!("{controller}/{namespace}");
        let poll = if nvme.poll { "1" } else { "0" };
        host.put(&format!("{block}/queue/io_poll"), poll);
        block_device(host, &block, &namespace, &format!("259:{at}"));
        // Queue 0 is for administration, which anybody may move.
        for queue in 0..=nvme.io_queues {
            let action = format!("{name}q{queue}");
            add_irq(host, &pci, &mut next, action, queue > 0);
        }
    }
    if hardware.disk == Disk::Virtio {
        let block = "/sys/devices/pci0000:00/0000:00:02.0/virtio1/block/vda";
        host.put(&format!("{block}/queue/io_poll"), "0");
        block_device(host, block, "vda", "254:0");
        let pci = "/sys/devices/pci0000:00/0000:00:02.0";
        add_irq(host, pci, &mut next, "virtio1-req.0".to_owned(), false);
    }
    for (at, nic) in hardware.nics.iter().enumerate() {
        interface(host, nic, at, &mut next);
    }
    host.put("/sys/devices/virtual/net/lo/ifindex", "1");
    host.link("/sys/class/net/lo", "/sys/devices/virtual/net/lo");
    let bonds: Vec<&str> = hardware
        .stacked
        .iter()
        .filter(|stacked| stacked.is_bond)
        .map(|bond| bond.name)
        .collect();
    if !bonds.is_empty() {
        host.put("/sys/class/net/bonding_masters", &bonds.join(" "));
    }
    for (at, stacked) in hardware.stacked.iter().enumerate() {
        let device = format!("/sys/devices/virtual/net/{}", stacked.name);
        host.put(&format!("{device}/ifindex"), &(20 + at).to_string());
        host.put(&format!("{device}/operstate"), "up");
        host.link(&format!("/sys/class/net/{}", stacked.name), &device);
        if stacked.is_bond {
            host.put(&format!("{device}/bonding/slaves"), &stacked.on.join(" "));
        } else {
            for lower in stacked.on {
                let link = format!("{device}/lower_{lower}");
                host.link(&link, &format!("/sys/class/net/{lower}"));
            }
        }
    }
}

fn block_device(host: &FakeHost, device: &str, name: &str, number: &str) {
    host.put(&format!("{device}/dev"), number);
    host.link(&format!("/sys/block/{name}"), device);
    host.link(&format!("/sys/class/block/{name}"), device);
    host.link(&format!("/sys/dev/block/{number}"), device);
}

fn interface(host: &mut FakeHost, nic: &Nic, at: usize, next: &mut u32) {
    let slot = format!("0000:{:02x}:00.0", 0x41 + at);
    let pci = format!("/sys/devices/pci0000:40/{slot}");
    host.put(&format!("{pci}/numa_node"), &nic.node.to_string());
    let virtio = format!("virtio{}", at + 2);
    let parent = match nic.driver {
        Driver::Virtio => format!("{pci}/{virtio}"),
        Driver::Intel | Driver::Mellanox | Driver::Silent => pci.clone(),
    };
    let name = nic.name;
    let device = format!("{parent}/net/{name}");
    host.put(&format!("{device}/ifindex"), &(at + 2).to_string());
    host.put(&format!("{device}/operstate"), "up");
    host.link(&format!("{device}/device"), &parent);
    host.link(&format!("/sys/class/net/{name}"), &device);
    for queue in 0..nic.queues {
        host.folder(&format!("{device}/queues/rx-{queue}"));
        host.folder(&format!("{device}/queues/tx-{queue}"));
    }
    host.folder(&format!("{pci}/msi_irqs"));
    let one = |host: &mut FakeHost, next: &mut u32, action: String| {
        add_irq(host, &pci, next, action, false);
    };
    match nic.driver {
        Driver::Virtio => one(host, next, format!("{virtio}-config")),
        Driver::Mellanox => one(host, next, format!("mlx5_async0@pci:{slot}")),
        Driver::Intel | Driver::Silent => one(host, next, name.to_owned()),
    }
    for queue in 0..nic.queues {
        match nic.driver {
            Driver::Virtio => {
                one(host, next, format!("{virtio}-input.{queue}"));
                one(host, next, format!("{virtio}-output.{queue}"));
            }
            Driver::Intel | Driver::Silent => one(host, next, format!("{name}-TxRx-{queue}")),
            Driver::Mellanox => one(host, next, format!("mlx5_comp{queue}@pci:{slot}")),
        }
    }
    if nic.driver == Driver::Silent {
        host.remove(&format!("{pci}/msi_irqs"));
        host.folder(&format!("{pci}/msi_irqs"));
    }
}

fn add_irq(host: &mut FakeHost, pci: &str, next: &mut u32, action: String, is_managed: bool) {
    let number = *next;
    *next += 1;
    host.put(&format!("{pci}/msi_irqs/{number}"), "msix");
    host.irqs.push(Irq {
        number,
        action,
        is_managed,
    });
}

/// `/proc/interrupts`: nothing has happened yet.
fn interrupts(host: &FakeHost, online: &CpuSet) {
    let mut text = " ".repeat(5);
    for cpu in online.iter() {
        write!(text, "{:>11}", format!("CPU{cpu}")).expect("memory");
    }
    let zeros = "          0".repeat(online.len());
    for irq in &host.irqs {
        let (number, action) = (irq.number, &irq.action);
        write!(
            text,
            "\n{number:>4}:{zeros}  PCI-MSIX  {number}-edge      {action}"
        )
        .expect("memory");
    }
    for (name, meaning) in [
        ("LOC", "Local timer interrupts"),
        ("RES", "Rescheduling interrupts"),
        ("CAL", "Function call interrupts"),
        ("TLB", "TLB shootdowns"),
    ] {
        write!(text, "\n{name:>4}:{zeros}   {meaning}").expect("memory");
    }
    host.put("/proc/interrupts", &text);
}
