//! What the hardware of each host is: CPUs, caches, memory nodes, NVMe, network interfaces, their
//! interrupts, and the names by which the kernel knows the machine.

use super::FakeHost;
use super::write::build;

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
