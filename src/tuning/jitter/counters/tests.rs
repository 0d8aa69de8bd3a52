use std::fs;

use crate::cpu::HostSys;

use super::*;

/// A table for `cpus` with one device, the timer, and a row that belongs to no CPU.
fn interrupts(cpus: &[u16], device: impl Fn(u16) -> u64, timer: impl Fn(u16) -> u64) -> String {
    let columns = |count: &dyn Fn(u16) -> u64| -> String {
        cpus.iter()
            .map(|cpu| format!(" {:>10}", count(*cpu)))
            .collect()
    };
    let head: String = cpus
        .iter()
        .map(|cpu| format!(" {:>10}", format!("CPU{cpu}")))
        .collect();
    format!(
        "    {head}\n 124:{} PCI-MSIX-0000:41:00.0   9-edge      mlx5_comp9@pci:0000:41:00.0\n \
         LOC:{}   Local timer interrupts\n ERR:          7\n MIS:          0\n",
        columns(&device),
        columns(&timer),
    )
}

#[test]
fn columns_are_the_cpus_that_are_online() {
    // 96 CPUs with a hole, as after taking some offline.
    let cpus: Vec<u16> = (0..4).chain(8..96).collect();
    let before = Rows::parse(&interrupts(&cpus, |_| 5, u64::from));
    let after = Rows::parse(&interrupts(
        &cpus,
        |cpu| if cpu == 95 { 9 } else { 5 },
        |cpu| u64::from(cpu) + 250,
    ));
    let moved = after.since(&before, CpuId(95));
    assert_eq!(moved.len(), 2);
    let device = Moved {
        row: "124".into(),
        what: "PCI-MSIX-0000:41:00.0 9-edge mlx5_comp9@pci:0000:41:00.0".into(),
        times: 4,
    };
    assert_eq!(moved[0], device);
    assert_eq!((moved[1].row.as_str(), moved[1].times), ("LOC", 250));
    assert_eq!(after.since(&before, CpuId(8)).len(), 1, "the timer only");
    assert!(after.since(&before, CpuId(5)).is_empty(), "an offline CPU");
}

#[test]
fn rows_that_come_or_start_anew_count_from_zero() {
    let with = Rows::parse(&interrupts(&[0, 1], |_| 3, |_| 1));
    let moved = with.since(&Rows::default(), CpuId(1));
    assert_eq!(moved[0].times, 3);
    let anew = with.since(&Rows::parse(&interrupts(&[0, 1], |_| 90, |_| 1)), CpuId(1));
    assert_eq!(anew.len(), 1);
    assert_eq!(anew[0].times, 3);
}

#[test]
fn a_table_of_no_known_shape_gives_nothing() {
    for text in ["", "\n\n", "CPU0\n 1: x\n nothing\n", "rubbish: 1 2 3\n"] {
        assert_eq!(Rows::parse(text), Rows::default(), "{text:?}");
    }
}

#[test]
fn all_counters_of_a_host_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let sys = HostSys::new(folder.path());
    fs::create_dir_all(folder.path().join("proc")).unwrap();
    let put = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    assert!(Counters::read(&sys, &[CpuId(1)]).unwrap_err().is_missing());
    put("proc/interrupts", &interrupts(&[0, 1], |_| 5, |_| 1));
    put(
        "proc/stat",
        "cpu  9 9 9 9 9 9 9 9 9 9\ncpu0 1 1 1 1 1 1 1 1\ncpu1 1 2 3 4 5 6 7 8 0 0\nctxt 5\n",
    );
    let before = Counters::read(&sys, &[CpuId(1)]).unwrap();
    put("proc/softirqs", "    CPU0 CPU1\n NET_RX: 4 9\n RCU: 1 0\n");
    put("proc/stat", "cpu1 1 2 3 4 5 8 11 16 0 0\n");
    put(
        "proc/schedstat",
        "version 17\ntimestamp 1\ncpu0 0 0 0 0 0 0 1 2 3\ncpu1 0 0 0 0 0 0 100 5000 7\ndomain0 MC 3 1\n",
    );
    // As the MSR's device: at the register's number lie its eight bytes.
    fs::create_dir_all(folder.path().join("dev/cpu/1")).unwrap();
    let mut registers = vec![0; 0x34];
    registers.extend(7_u64.to_le_bytes());
    fs::write(folder.path().join("dev/cpu/1/msr"), registers).unwrap();
    let after = Counters::read(&sys, &[CpuId(1)]).unwrap();
    let delta = after.since(&before, CpuId(1));
    assert!(delta.interrupts.is_empty());
    assert_eq!(delta.softirqs.len(), 1);
    assert_eq!(
        (delta.softirqs[0].row.as_str(), delta.softirqs[0].times),
        ("NET_RX", 9)
    );
    assert_eq!(
        (delta.irq_ms, delta.softirq_ms, delta.steal_ms),
        (20, 40, 80)
    );
    assert_eq!(
        (delta.run_delay_ns, delta.smi),
        (None, None),
        "not known before"
    );
    let later = after.since(&after, CpuId(1));
    assert_eq!((later.run_delay_ns, later.smi), (Some(0), Some(0)));
    assert_eq!(after.run_delay_ns.unwrap()[&CpuId(1)], 5000);
    assert_eq!(after.smi[&CpuId(1)], 7);
}

#[test]
fn devices_are_the_rows_with_a_number() {
    let delta = Delta {
        interrupts: ["124", "LOC", "7", "TLB"]
            .map(|row| Moved {
                row: row.into(),
                what: String::new(),
                times: 2,
            })
            .to_vec(),
        ..Delta::default()
    };
    let devices: Vec<&str> = delta.devices().map(|moved| moved.row.as_str()).collect();
    assert_eq!(devices, ["124", "7"]);
    assert_eq!(delta.interrupts_of("TLB"), 2);
    assert_eq!(delta.interrupts_of("CAL"), 0);
}
