//! The catalogue: every knob of the host that is looked at, and why.
//!
//! Owns: the list. Never does: changing anything; a probe only reads, and what would be done is in
//! [`Item::actions`]. Runs on: the main thread of a command.
//!
//! The rows are those of the table in `tuning/README.md`, which is made from this list.

mod block;
mod boot;
mod cpu;
mod devices;
mod draft;
mod ethtool;
mod irq;
mod kernel;
mod layout;
mod limits;
mod mm;
mod net;
mod nvme;
mod pcie;
mod report_only;
mod rule;
mod services;
mod sysctl;
mod threads;
mod udev;

use super::host::Host;
use super::item::{Group, Item, Persist};
use super::sections::Sections;

pub use boot::{GRUB_DROP_IN, drop_in as boot_drop_in};
pub use irq::{Interrupt, interrupts};
pub use layout::LAYOUT;
pub use limits::{LIMITS_DROP_IN, drop_in as limits_drop_in};
pub use sysctl::{SYSCTL_DROP_IN, drop_in as sysctl_drop_in};
pub use threads::engines;
pub use udev::{UDEV_DROP_IN, drop_in as udev_drop_in};

/// One knob.
#[derive(Clone, Copy)]
pub struct Knob {
    /// Its name, as in `irq.move`; stable.
    pub id: &'static str,
    /// Its row in the documentation's table; 0 for what keeps other rows set.
    pub row: u8,
    /// How much it matters.
    pub group: Group,
    /// Why it moves the tail of the latency.
    pub why: &'static str,
    /// What it may cost.
    pub risk: &'static str,
    /// How its effect is measured.
    pub measured: &'static str,
    /// How it is undone.
    pub undone: &'static str,
    /// What keeps it set over a boot.
    pub persist: Persist,
    /// How it stands on a host, in each place where it is found.
    pub probe: fn(&Host<'_>) -> Vec<Item>,
}

/// Every knob, in the order of the rows.
pub const KNOBS: &[Knob] = &[
    LAYOUT,
    cpu::ISOLATE,
    services::SLICES,
    threads::APP,
    irq::MOVE,
    irq::DEFAULT,
    irq::BALANCE,
    nvme::POLL,
    nvme::APST,
    cpu::IDLE,
    cpu::GOVERNOR,
    cpu::BOOST,
    cpu::SIBLING,
    threads::MAPPINGS,
    threads::SPIN,
    mm::THP,
    mm::NUMA_KSM,
    mm::SWAP,
    mm::COMPACT,
    limits::LIMITS,
    kernel::WORKQUEUES_MASK,
    threads::KTHREADS,
    kernel::NOHZ_FULL,
    kernel::RCU_NOCB,
    kernel::WATCHDOG,
    kernel::TIMER_MIGRATE,
    kernel::TIMER_BOOT,
    kernel::CLOCK_SOURCE,
    mm::VM_STAT,
    block::QUEUE,
    block::FLUSH,
    pcie::ASPM,
    pcie::IOMMU,
    net::QUEUES,
    net::COALESCE,
    net::STEER,
    net::BUSY_POLL,
    net::TCP,
    threads::RT_THROTTLE,
    report_only::MCE,
    cpu::CACHE,
    cpu::HOUSE,
    report_only::SMI,
    report_only::MITIGATIONS,
    report_only::FILE_SYSTEM,
    report_only::TIME_SYNC,
    report_only::FSTRIM,
    sysctl::KEEP,
    udev::KEEP,
    services::KEEP,
];

/// A file that several knobs share: what each of them that is meant wants there. Lines that the file
/// has of the others stay as they are.
fn shared_file<'k>(
    host: &Host<'_>,
    path: &str,
    head: &str,
    knobs: impl Iterator<Item = &'k Knob>,
    lines: impl Fn(&Knob) -> String,
) -> Sections {
    let there = Sections::parse(&host.sys.read(path).unwrap_or_default());
    let mut file = Sections::new(head);
    for knob in knobs {
        if host.selection.takes(knob, host) {
            file.push(knob.id, &lines(knob));
        } else {
            file.push(knob.id, there.lines_of(knob.id));
        }
    }
    file
}
