use std::collections::BTreeSet;

use super::*;
use crate::cpu::CpuSet;
use crate::tuning::jitter::report::Standing;

fn cpus(list: &str) -> CpuSet {
    CpuSet::parse_list(list).unwrap()
}

/// A host with nothing wrong.
pub(crate) fn tuned() -> HostFacts {
    HostFacts {
        kernel: "6.18".into(),
        cpu: "A CPU".into(),
        standing: Standing::Gating,
        cpus: cpus("0-15"),
        clock_source: Some("tsc".into()),
        clock_sources: vec!["tsc".into(), "hpet".into()],
        governors: BTreeSet::from(["performance".into()]),
        huge_pages: Some("madvise".into()),
        isolated: cpus("4-7"),
        shards: Some(cpus("4-7")),
        memory_lock: MemLock::Unlimited,
        ring: Ring::Works,
        nodes: vec![(0, cpus("0-7")), (1, cpus("8-15"))],
        engines: Vec::new(),
        place: Ok(Place {
            path: "/data".into(),
            mount_point: "/data".into(),
            file_system: "xfs".into(),
            options: vec!["rw".into(), "noatime".into()],
            free_bytes: 1 << 40,
            device: Some(BlockDevice {
                name: "nvme0n1".into(),
                write_cache: Some("write through".into()),
                fua: Some(true),
                rotational: Some(false),
                scheduler: Some("none".into()),
                node: Some(0),
            }),
        }),
    }
}

fn ids(facts: &HostFacts) -> Vec<&'static str> {
    cheap(facts).iter().map(|finding| finding.id).collect()
}

fn with(change: impl FnOnce(&mut HostFacts)) -> HostFacts {
    let mut facts = tuned();
    change(&mut facts);
    facts
}

fn with_disk(change: impl FnOnce(&mut BlockDevice)) -> HostFacts {
    with(|facts| change(facts.place.as_mut().unwrap().device.as_mut().unwrap()))
}

#[test]
fn a_tuned_host_has_no_findings() {
    assert!(ids(&tuned()).is_empty());
}

#[test]
fn each_fault_is_found_alone() {
    let place = |facts: &mut HostFacts| facts.place.clone().unwrap();
    for (expected, facts) in [
        ("io_uring", with(|f| f.ring = Ring::Filtered)),
        ("io_uring", with(|f| f.ring = Ring::Disabled("2".into()))),
        (
            "mem.lock",
            with(|f| f.memory_lock = MemLock::Bytes(MEMLOCK_BYTES_MIN - 1)),
        ),
        (
            "fs.volatile",
            with(|f| {
                f.place = Ok(Place {
                    file_system: "tmpfs".into(),
                    ..place(f)
                })
            }),
        ),
        (
            "clock.source",
            with(|f| f.clock_source = Some("hpet".into())),
        ),
        (
            "cpu.governor",
            with(|f| f.governors = BTreeSet::from(["powersave".into()])),
        ),
        ("mm.thp", with(|f| f.huge_pages = Some("always".into()))),
        ("cpu.isolate", with(|f| f.isolated = cpus("5-7"))),
        ("numa.place", with_disk(|disk| disk.node = Some(1))),
        (
            "blk.rotational",
            with_disk(|disk| disk.rotational = Some(true)),
        ),
        (
            "fs.discard",
            with(|f| f.place.as_mut().unwrap().options.push("discard".into())),
        ),
    ] {
        assert_eq!(ids(&facts), [expected]);
    }
    let flush = with_disk(|disk| {
        disk.write_cache = Some("write back".into());
        disk.fua = Some(false);
    });
    assert_eq!(ids(&flush), ["blk.flush"]);
}

#[test]
fn what_is_fine_or_unknown_is_no_finding() {
    for facts in [
        with(|f| f.memory_lock = MemLock::Bytes(MEMLOCK_BYTES_MIN)),
        with(|f| f.clock_sources = vec!["hpet".into()]),
        with(|f| f.clock_source = None),
        with(|f| f.governors.clear()),
        with(|f| f.huge_pages = None),
        with(|f| f.place = Err("unknown".into())),
        with_disk(|disk| disk.node = None),
        // A cache with FUA costs one flag, not a flush.
        with_disk(|disk| disk.write_cache = Some("write back".into())),
    ] {
        assert!(ids(&facts).is_empty(), "{:?}", ids(&facts));
    }
    let kvm = with(|f| {
        f.clock_source = Some("kvm-clock".into());
        f.clock_sources = vec!["kvm-clock".into()];
    });
    assert!(ids(&kvm).is_empty(), "nothing better is there");
}

#[test]
fn without_a_layout_missing_isolation_is_a_note() {
    let plain = with(|facts| {
        facts.shards = None;
        facts.isolated = CpuSet::new();
    });
    let findings = cheap(&plain);
    assert_eq!(
        (findings[0].id, findings[0].level),
        ("cpu.isolate", Level::Note)
    );
}

#[test]
fn what_blocks_comes_first() {
    let facts = with(|facts| {
        facts.huge_pages = Some("always".into());
        facts.place.as_mut().unwrap().options.push("discard".into());
        facts.ring = Ring::Missing;
    });
    assert_eq!(ids(&facts), ["io_uring", "mm.thp", "fs.discard"]);
}

#[test]
fn a_cached_disk_and_a_running_engine_are_told() {
    let disk = DiskFigures {
        access: Access::Cached,
        write_sync: Default::default(),
        dsync: Default::default(),
        bytes_per_s: 1.0,
        span_bytes: 1,
    };
    let facts = with(|facts| facts.engines.push("an engine (corelane, process 7)".into()));
    let findings = measured(&facts, &disk);
    let ids: Vec<&str> = findings.iter().map(|finding| finding.id).collect();
    assert_eq!(ids, ["fs.direct", "host.engine"]);
    assert!(findings[1].what.contains("process 7"));
}
