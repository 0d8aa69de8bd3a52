//! What other tuners got wrong, or what the kernel's files mean against expectation; one test each.

use corelane::cpu::CpuSet;
use corelane::cpu::Sys as _;
use corelane::tuning::host::Host;
use corelane::tuning::item::{Action, Disruption, Status};
use corelane::tuning::knobs::{GRUB_DROP_IN, KNOBS, boot_drop_in, sysctl_drop_in};

use crate::fake_host::hosts;
use crate::fake_host::programs::Programs;
use crate::{NICS, is_unmet, only, parsed, probe, probe_refusing, probe_with, writes};

const EACCES: i32 = 13;
const EIO: i32 = 5;
const EINVAL: i32 = 22;

#[test]
fn zero_wake_up_latency_means_that_there_is_no_limit() {
    for (limit, is_fine) in [("0", false), ("n/a", true), ("2", true), ("50", false)] {
        let fake = hosts::host("metal_8c16t");
        for cpu in 0..16 {
            let path = format!("/sys/devices/system/cpu/cpu{cpu}/power/pm_qos_resume_latency_us");
            fake.put(&path, limit);
        }
        let items = probe_with(&fake, "", "cpu.idle");
        assert_eq!(
            only(&items).status == Status::Ok,
            is_fine,
            "{limit}: {items:?}"
        );
        // And it is never set by writing 0.
        assert!(writes(&items).iter().all(|(_, after)| *after == "2"));
    }
}

#[test]
fn sleep_states_that_are_switched_off_need_no_limit() {
    let fake = hosts::host("metal_8c16t");
    for cpu in 0..16 {
        fake.put(
            &format!("/sys/devices/system/cpu/cpu{cpu}/cpuidle/state2/disable"),
            "1",
        );
    }
    assert_eq!(only(&probe_with(&fake, "", "cpu.idle")).status, Status::Ok);
}

#[test]
fn no_host_is_told_that_its_cache_is_safe_or_that_it_has_no_swap() {
    for (name, fake) in hosts::all() {
        fake.put(
            "/proc/swaps",
            "Filename\tType\tSize\tUsed\tPriority\n/dev/sda3\tpartition\t8\t0\t-2",
        );
        let sys = fake.plain_sys();
        let programs = Programs::new(fake.path(), NICS);
        let profile = parsed("groups = [\"A\", \"B\", \"C\"]");
        let host = Host::find(&sys, &programs, profile, None).unwrap();
        for knob in KNOBS {
            for item in (knob.probe)(&host) {
                for action in &item.actions {
                    let text = format!("{action:?}");
                    assert!(!text.contains("write_cache"), "{name}: {text}");
                    assert!(!text.contains("swapoff"), "{name}: {text}");
                }
            }
        }
        let swap = probe(&host, "mm.swap");
        assert_eq!(only(&swap).status, Status::Drift);
        assert!(
            only(&swap)
                .hint
                .as_ref()
                .unwrap()
                .contains("swapoff and fstab are yours")
        );
    }
}

#[test]
fn the_tsc_is_called_reliable_only_after_an_hour_in_which_it_held() {
    let parameters = |uptime: &str, clock: &str, cmdline: &str| {
        let fake = hosts::host("metal_8c16t");
        fake.put("/proc/uptime", uptime);
        fake.put(
            "/sys/devices/system/clocksource/clocksource0/current_clocksource",
            clock,
        );
        fake.put("/proc/cmdline", cmdline);
        only(&probe_with(&fake, "", "timer.boot")).want.clone()
    };
    assert_eq!(parameters("3599.99 0", "tsc", "quiet"), "skew_tick=1");
    assert_eq!(
        parameters("3600.00 0", "tsc", "quiet"),
        "skew_tick=1 tsc=reliable"
    );
    assert_eq!(parameters("3600.00 0", "hpet", "quiet"), "skew_tick=1");
    // What was given at boot stays given in the first hour after it.
    assert_eq!(
        parameters("9.00 0", "tsc", "tsc=reliable"),
        "skew_tick=1 tsc=reliable"
    );
    // Somebody's other decision about the clock stands.
    assert_eq!(
        parameters("3600.00 0", "tsc", "tsc=nowatchdog"),
        "skew_tick=1"
    );
}

#[test]
fn masks_are_compared_as_sets_of_cpus_however_wide_they_are_printed() {
    let fake = hosts::host("metal_2x32c128t");
    let path = "/proc/irq/default_smp_affinity";
    for mask in ["1", "00000001", "00000000,00000000,00000000,00000001"] {
        fake.put(path, mask);
        let items = probe_with(&fake, "", "irq.default");
        assert_eq!(items[0].status, Status::Ok, "{mask}: {:?}", items[0]);
        assert_eq!(items[0].current, "0");
    }
    fake.put(path, "ffffffff,ffffffff,ffffffff,ffffffff");
    let items = probe_with(&fake, "", "irq.default");
    assert_eq!(items[0].status, Status::Drift);
    let (_, after) = writes(&items)[0];
    // As wide as the kernel prints it.
    assert_eq!(after.split(',').count(), 4, "{after}");
    assert!(!CpuSet::parse_mask(after).unwrap().is_empty());
}

#[test]
fn every_member_of_a_bond_is_set_and_no_other_interface() {
    let fake = hosts::host("bond_vlan");
    let items = probe_with(&fake, "", "net.queues");
    let names: Vec<_> = items
        .iter()
        .map(|item| item.current.split('=').next().unwrap())
        .collect();
    assert_eq!(names, ["eth0", "eth1"]);
    // The second interface of this one serves somebody else.
    let fake = hosts::host("metal_2x32c128t");
    let items = probe_with(&fake, "", "net.queues");
    assert!(only(&items).current.starts_with("ens1f0="), "{items:?}");
    let items = probe_with(&fake, "nic = \"eno1\"", "net.queues");
    assert!(only(&items).current.starts_with("eno1="), "{items:?}");
}

#[test]
fn a_link_is_reset_only_with_a_word() {
    let items = probe_with(&hosts::host("metal_8c16t"), "", "net.queues");
    assert_eq!(only(&items).disruptive, Disruption::LinkReset);
    let items = probe_with(&hosts::host("metal_8c16t"), "", "cpu.isolate");
    assert_eq!(only(&items).disruptive, Disruption::Boot);
}

#[test]
fn queues_are_paired_with_cpus_by_number_and_not_as_text() {
    let fake = hosts::host("metal_2x32c128t");
    let items = probe_with(&fake, "net_mode = \"per-shard\"", "net.steer");
    let paths = writes(&items);
    let xps = paths.iter().filter(|(path, _)| path.ends_with("xps_cpus"));
    let cpus: Vec<(String, CpuSet)> = xps
        .map(|(path, mask)| {
            let queue = path.split('/').rev().nth(1).unwrap().to_owned();
            (queue, CpuSet::parse_mask(mask).unwrap())
        })
        .collect();
    let queues: Vec<&str> = cpus
        .iter()
        .map(|(queue, _)| queue.as_str())
        .take(12)
        .collect();
    assert_eq!(queues[2], "tx-2");
    assert_eq!(queues[10], "tx-10");
    // Neighbours in number are neighbours in CPU.
    let first = |at: usize| cpus[at].1.iter().next().unwrap().index();
    assert_eq!(first(10), first(2) + 8);
}

#[test]
fn managed_interrupts_are_fine_as_they_are() {
    let fake = hosts::host("managed_nvme");
    let items = probe_with(&fake, "", "irq.move");
    let kept = items
        .iter()
        .find(|item| item.status == Status::Unmanageable)
        .unwrap();
    assert_eq!(kept.hint.as_deref(), Some("kernel-managed, fine"));
    assert!(kept.current.contains("8 nvme vectors"), "{}", kept.current);
    let managed = fake.irqs.iter().filter(|irq| irq.is_managed);
    let moved = writes(&items);
    for irq in managed {
        let folder = format!("/proc/irq/{}/", irq.number);
        assert!(
            moved.iter().all(|(path, _)| !path.starts_with(&folder)),
            "{folder}"
        );
    }
    // The queue for administration is anybody's.
    let admin = fake
        .irqs
        .iter()
        .find(|irq| irq.action == "nvme0q0")
        .unwrap();
    let path = format!("/proc/irq/{}/smp_affinity_list", admin.number);
    assert!(moved.iter().any(|(moved, _)| *moved == path));
}

#[test]
fn an_interrupt_that_says_eio_is_managed_and_no_failure() {
    let fake = hosts::host("metal_8c16t");
    let irq = fake
        .irqs
        .iter()
        .find(|irq| irq.action == "eth0-TxRx-1")
        .unwrap();
    let path = format!("/proc/irq/{}/effective_affinity_list", irq.number);
    let items = probe_refusing(&fake, &[(path.as_str(), EIO)], "irq.move");
    assert!(
        items
            .iter()
            .any(|item| item.current.contains("1 other vectors")),
        "{items:?}"
    );
    assert!(
        writes(&items)
            .iter()
            .all(|(moved, _)| !moved.contains(&format!("/{}/", irq.number)))
    );
}

#[test]
fn an_interface_without_names_for_its_interrupts_has_them_moved_too() {
    let fake = hosts::host("empty_msi");
    let items = probe_with(&fake, "", "irq.move");
    let irq = fake
        .irqs
        .iter()
        .find(|irq| irq.action == "eth0-TxRx-0")
        .unwrap();
    let path = format!("/proc/irq/{}/smp_affinity_list", irq.number);
    assert!(writes(&items).iter().any(|(moved, _)| *moved == path));
}

#[test]
fn interrupts_that_are_not_started_are_left_alone() {
    let fake = hosts::host("metal_8c16t");
    let irq = &fake.irqs[0];
    fake.put(
        &format!("/proc/irq/{}/effective_affinity_list", irq.number),
        "",
    );
    let items = probe_with(&fake, "", "irq.move");
    let path = format!("/proc/irq/{}/smp_affinity_list", irq.number);
    assert!(writes(&items).iter().all(|(moved, _)| *moved != path));
}

#[test]
fn a_listed_file_that_cannot_be_read_is_told_apart_by_its_error() {
    let fake = hosts::host("metal_8c16t");
    let path = "/proc/sys/vm/stat_interval";
    for (errno, status) in [
        (EACCES, Status::Unreadable),
        (EINVAL, Status::NotApplicable),
        (EIO, Status::Unmanageable),
    ] {
        let items = probe_refusing(&fake, &[(path, errno)], "vm.stat");
        assert_eq!(only(&items).status, status, "{errno}");
        assert!(only(&items).error.as_ref().unwrap().contains(path));
        assert!(only(&items).actions.is_empty());
    }
    // One queue: the file is listed, and reading it says that it is not there. No error at all.
    for queue in 0..8 {
        fake.remove(&format!("/sys/class/net/eth0/queues/tx-{queue}/xps_cpus"));
    }
    let items = probe_with(&fake, "", "net.steer");
    assert_eq!(
        (only(&items).status, &only(&items).error),
        (Status::Ok, &None)
    );
}

#[test]
fn a_file_that_holds_nonsense_is_unreadable_and_never_written() {
    let fake = hosts::host("metal_8c16t");
    fake.put("/proc/sys/vm/stat_interval", "often");
    let items = probe_with(&fake, "", "vm.stat");
    assert_eq!(only(&items).status, Status::Unreadable);
    assert!(only(&items).error.as_ref().unwrap().contains("'often'"));
    assert!(only(&items).actions.is_empty());
}

#[test]
fn a_selection_is_read_by_its_brackets_and_written_back_without() {
    let fake = hosts::host("metal_8c16t");
    let items = probe_with(&fake, "", "mm.thp");
    let Action::Write { before, after, .. } = &only(&items).actions[0] else {
        panic!("{items:?}");
    };
    assert_eq!((before.as_str(), after.as_str()), ("always", "madvise"));
    // What the kernel does not offer cannot be asked of it.
    fake.put(
        "/sys/kernel/mm/transparent_hugepage/enabled",
        "[always] never",
    );
    fake.put("/sys/kernel/mm/transparent_hugepage/khugepaged/defrag", "0");
    let items = probe_with(&fake, "", "mm.thp");
    assert!(writes(&items).is_empty(), "{items:?}");
}

#[test]
fn a_small_host_says_why_nothing_is_isolated() {
    let fake = hosts::host("vm_2");
    for id in [
        "cpu.isolate",
        "irq.move",
        "wq.mask",
        "cpu.idle",
        "nvme.poll",
        "net.queues",
    ] {
        let items = probe_with(&fake, "", id);
        assert_eq!(only(&items).status, Status::NotApplicable, "{id}");
        let hint = only(&items).hint.as_ref().unwrap();
        assert!(
            hint.contains("cores") || hint.contains("NVMe"),
            "{id}: {hint}"
        );
        assert!(only(&items).actions.is_empty());
    }
    // What needs no split is set all the same.
    assert!(is_unmet(only(&probe_with(&fake, "", "vm.stat"))));
}

#[test]
fn the_boot_drop_in_adds_and_never_repeats_what_others_gave() {
    let fake = hosts::host("metal_8c16t");
    let sys = fake.plain_sys();
    let programs = Programs::new(fake.path(), NICS);
    let host = Host::find(&sys, &programs, parsed(""), None).unwrap();
    let text = boot_drop_in(&host);
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    assert!(!lines.is_empty());
    for line in lines {
        let start = "GRUB_CMDLINE_LINUX_DEFAULT=\"$GRUB_CMDLINE_LINUX_DEFAULT ";
        assert!(line.starts_with(start) && line.ends_with('"'), "{line}");
    }
    for foreign in ["console", "UUID", "quiet"] {
        assert!(!text.contains(foreign), "{text}");
    }
    // One file for all: whichever row asks, it is the same.
    let texts: Vec<String> = ["cpu.isolate", "nvme.poll", "rcu.nocb", "timer.boot"]
        .iter()
        .flat_map(|id| probe(&host, id))
        .flat_map(|item| item.actions)
        .filter_map(|action| match action {
            Action::DropIn { path, after, .. } => (path == GRUB_DROP_IN).then_some(after),
            Action::Write { .. } | Action::Run { .. } | Action::Affinity { .. } => None,
        })
        .collect();
    assert_eq!(texts.len(), 4);
    assert!(texts.iter().all(|after| *after == text));
}

#[test]
fn a_boot_row_is_pending_once_its_drop_in_is_there() {
    let fake = hosts::host("metal_8c16t");
    let items = probe_with(&fake, "", "cpu.isolate");
    let Action::DropIn { after, .. } = &only(&items).actions[0] else {
        panic!("{items:?}");
    };
    fake.put(GRUB_DROP_IN, after.trim_end());
    let items = probe_with(&fake, "", "cpu.isolate");
    assert_eq!(only(&items).status, Status::RebootPending);
    assert!(only(&items).actions.is_empty());
    // Booted with it, and the kernel did as it was told; or it did not.
    let parameter = after
        .split_whitespace()
        .find(|word| word.starts_with("isolcpus="))
        .unwrap();
    fake.put(
        "/proc/cmdline",
        &format!("quiet {}", parameter.trim_end_matches('"')),
    );
    let items = probe_with(&fake, "", "cpu.isolate");
    assert_eq!(only(&items).status, Status::Drift);
    assert!(
        only(&items)
            .error
            .as_ref()
            .unwrap()
            .contains("the kernel has not done it")
    );
    let cpus = parameter
        .trim_end_matches('"')
        .rsplit("managed_irq,")
        .next()
        .unwrap();
    fake.put("/sys/devices/system/cpu/isolated", cpus);
    assert_eq!(
        only(&probe_with(&fake, "", "cpu.isolate")).status,
        Status::Ok
    );
}

#[test]
fn isolation_that_somebody_else_gave_is_not_doubled() {
    let fake = hosts::host("metal_8c16t");
    fake.put("/proc/cmdline", "isolcpus=15 quiet");
    fake.put("/sys/devices/system/cpu/isolated", "15");
    let items = probe_with(&fake, "", "cpu.isolate");
    assert_eq!(only(&items).status, Status::Drift);
    assert!(only(&items).actions.is_empty());
    assert!(
        only(&items)
            .hint
            .as_ref()
            .unwrap()
            .contains("isolcpus=15 from elsewhere")
    );
}

#[test]
fn a_limit_that_is_higher_already_is_not_lowered_at_the_next_boot() {
    let fake = hosts::host("metal_8c16t");
    let sys = fake.plain_sys();
    let programs = Programs::new(fake.path(), NICS);
    let host = Host::find(&sys, &programs, parsed(""), None).unwrap();
    let text = sysctl_drop_in(&host);
    assert!(
        text.contains("net.ipv4.tcp_max_syn_backlog = 65535\n"),
        "{text}"
    );
    assert!(text.contains("net.core.somaxconn = 4096\n"), "{text}");
    assert!(text.contains("vm.swappiness = 1\n"), "{text}");
    assert!(!text.contains("busy_poll"), "{text}");
}

#[test]
fn what_is_to_be_measured_first_acts_only_where_it_is_asked_for() {
    let fake = hosts::host("metal_8c16t");
    for id in [
        "cpu.boost",
        "tick.nohz_full",
        "net.busypoll",
        "rt.throttle",
        "mce",
    ] {
        let items = probe_with(&fake, "", id);
        assert_eq!(only(&items).status, Status::Ok, "{id}");
        assert!(only(&items).actions.is_empty(), "{id}");
    }
    assert!(is_unmet(only(&probe_with(
        &fake,
        "nohz = true",
        "tick.nohz_full"
    ))));
    let all = "groups = [\"A\", \"B\", \"C\"]";
    assert!(is_unmet(only(&probe_with(&fake, all, "mce"))));
    // Nothing of ours runs with SCHED_FIFO, so that there is nothing to be gained by it.
    assert!(!is_unmet(only(&probe_with(&fake, all, "rt.throttle"))));
    fake.put("/sys/devices/system/cpu/cpufreq/boost", "1");
    let items = probe_with(&fake, "boost = \"off\"", "cpu.boost");
    assert_eq!(
        writes(&items),
        [("/sys/devices/system/cpu/cpufreq/boost", "0")]
    );
}

#[test]
fn every_policy_of_frequencies_is_set_and_not_as_many_as_there_are_cores() {
    let fake = hosts::host("metal_8c16t");
    let items = probe_with(&fake, "", "cpu.governor");
    let governors = writes(&items);
    let count = governors
        .iter()
        .filter(|(path, _)| path.ends_with("scaling_governor"))
        .count();
    assert_eq!(count, 16);
}

#[test]
fn irqbalance_that_leaves_shards_alone_may_stay() {
    let fake = hosts::host("metal_8c16t");
    let items = probe_with(&fake, "", "irq.balance");
    let Action::Run { apply, revert, .. } = &only(&items).actions[0] else {
        panic!("{items:?}");
    };
    assert_eq!(
        apply.join(" "),
        "systemctl disable --now irqbalance.service"
    );
    assert_eq!(
        revert.join(" "),
        "systemctl enable --now irqbalance.service"
    );
    fake.put(
        "/etc/default/irqbalance",
        "OPTIONS=\nIRQBALANCE_BANNED_CPULIST=\"1-15\"",
    );
    assert_eq!(
        only(&probe_with(&fake, "", "irq.balance")).status,
        Status::Ok
    );
    fake.put("/etc/default/irqbalance", "#IRQBALANCE_BANNED_CPULIST=1-15");
    assert!(is_unmet(only(&probe_with(&fake, "", "irq.balance"))));
}

#[test]
fn kernel_threads_that_are_bound_to_a_cpu_are_left_there() {
    let fake = hosts::host("metal_8c16t");
    let items = probe_with(&fake, "", "kthreads");
    let moved: Vec<&str> = only(&items)
        .actions
        .iter()
        .filter_map(|action| match action {
            Action::Affinity { comm, .. } => Some(comm.as_str()),
            Action::Write { .. } | Action::DropIn { .. } | Action::Run { .. } => None,
        })
        .collect();
    // Names may hold brackets and blanks; programs of users are not the kernel's.
    assert_eq!(moved, ["kthreadd", "kcompactd0", "odd) (name"]);
}

#[test]
fn probes_change_nothing() {
    for (name, fake) in hosts::all() {
        let sys = fake.plain_sys();
        let programs = Programs::new(fake.path(), NICS);
        let before = programs.snapshot();
        let host = Host::find(&sys, &programs, parsed(""), None).unwrap();
        for knob in KNOBS {
            (knob.probe)(&host);
        }
        assert_eq!(programs.changes(), Vec::<String>::new(), "{name}");
        assert_eq!(programs.snapshot(), before);
        assert!(!sys.exists("/run/corelane"), "{name}");
    }
}
