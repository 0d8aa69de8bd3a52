//! From what a host is made of to its files.

use std::fmt::Write as _;

use corelane::cpu::CpuSet;
use corelane::ids::CpuId;

use super::topology::{Disk, Driver, Hardware, Nic};
use super::{FakeHost, Irq};

/// The boot of every fake host.
pub const BOOT_ID: &str = "0f5a2c1e-7a44-4b58-9a51-3f0c8d1e2b6a";

/// The machine id of every fake host.
pub const MACHINE_ID: &str = "5b1e8f0c9a7d4e63b2f1a0c9d8e7f605";

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
