use super::*;
use crate::cpu::HostSys;

/// A process of these threads: name, and where each may run.
fn process(threads: &[(&str, &str)]) -> (tempfile::TempDir, HostSys) {
    let folder = tempfile::tempdir().unwrap();
    let sys = HostSys::new(folder.path());
    let put = |path: String, text: String| sys.put_file(&path, &text, 0o644).unwrap();
    put("/proc/70/comm".to_owned(), "corelane\n".to_owned());
    for (at, (comm, allowed)) in threads.iter().enumerate() {
        let root = format!("/proc/70/task/{}", 70 + at);
        put(format!("{root}/comm"), format!("{comm}\n"));
        let status = format!(
            "Name:\t{comm}\nState:\tS (sleeping)\nCpus_allowed_list:\t{allowed}\n\
             voluntary_ctxt_switches:\t9\nnonvoluntary_ctxt_switches:\t{at}\n"
        );
        put(format!("{root}/status"), status);
        let fields = vec!["0"; 35].join(" ");
        put(
            format!("{root}/stat"),
            format!("70 (a) b) S {fields} 3 0\n"),
        );
    }
    (folder, sys)
}

fn host(online: &str) -> Topology {
    let online = CpuSet::parse_list(online).unwrap();
    Topology {
        possible: online.clone(),
        online,
        ..Topology::default()
    }
}

fn layout() -> Layout {
    serde_json::from_str(
        r#"{"schema": 1, "shards": [{"id": 0, "cpu": 4}, {"id": 1, "cpu": 5}],
            "housekeeping": "0-1", "io": "2", "parked": "3"}"#,
    )
    .unwrap()
}

const AT_HOME: &[(&str, &str)] = &[
    ("corelane", "0-1"),
    ("core-watch", "0-1"),
    ("core-0", "4"),
    ("block-0", "0-1"),
    ("core-1", "5"),
    ("rdk:main", "2"),
    ("kafka-main-0", "2"),
];

#[test]
fn threads_that_are_where_the_layout_has_them_are_clean() {
    let (_folder, sys) = process(AT_HOME);
    let audit = Audit::of(&sys, 70, Some(&layout()), &host("0-5")).unwrap();
    assert_eq!(audit.strays().count(), 0, "{audit:?}");
    assert_eq!(audit.verdict, Verdict::Clean);
    let core = &audit.threads[2];
    assert_eq!(core.role, Role::Shard(0));
    assert_eq!(core.facts.last_cpu, Some(3));
    assert_eq!(core.facts.state, 'S');
    assert_eq!(core.facts.nonvoluntary_switches, 2);
}

#[test]
fn every_thread_that_may_run_elsewhere_is_named() {
    for (comm, allowed, said) in [
        (
            "log-keeper",
            "0-5",
            "may run on shard CPU 4-5; should be on 0-1",
        ),
        (
            "iou-wrk-71",
            "4",
            "may run on shard CPU 4; should be on 0-1",
        ),
        (
            "rdk:broker1",
            "2,5",
            "may run on shard CPU 5; should be on 2",
        ),
        ("rdk:broker1", "1", "may run on CPU 1; should be on 2"),
        (
            "log-keeper",
            "0,3",
            "may run on CPU 3, which is to stay idle",
        ),
        ("core-1", "5", "shares CPU 5 with core-1"),
        ("core-2", "1", "the layout has no such shard"),
    ] {
        let mut threads = AT_HOME.to_vec();
        threads.push((comm, allowed));
        let (_folder, sys) = process(&threads);
        let audit = Audit::of(&sys, 70, Some(&layout()), &host("0-5")).unwrap();
        assert_eq!(audit.verdict, Verdict::Strays);
        let wrong = audit.threads.last().unwrap().wrong.as_deref();
        assert_eq!(wrong, Some(said), "{comm} on {allowed}");
    }
    for (allowed, said) in [
        ("5", "shares CPU 5 with core-1"),
        ("1", "is on CPU 1; the layout has it on 4"),
        ("4-5", "may run on CPU 4-5; a shard's executor has one CPU"),
    ] {
        let mut threads = AT_HOME.to_vec();
        threads[2].1 = allowed;
        let (_folder, sys) = process(&threads);
        let audit = Audit::of(&sys, 70, Some(&layout()), &host("0-5")).unwrap();
        assert_eq!(audit.threads[2].wrong.as_deref(), Some(said));
    }
}

#[test]
fn without_a_layout_the_executors_cpus_are_theirs() {
    let (_folder, sys) = process(&[("corelane", "0-1"), ("core-0", "1"), ("log-keeper", "0")]);
    let audit = Audit::of(&sys, 70, None, &host("0-1")).unwrap();
    let strays: Vec<&str> = audit.strays().map(|t| t.facts.comm.as_str()).collect();
    assert_eq!(strays, ["corelane"]);
    assert_eq!(audit.expected.source, Source::Executors);
}

#[test]
fn where_every_cpu_has_a_core_nothing_is_proven() {
    let (_folder, sys) = process(&[("corelane", "0-1"), ("core-0", "0"), ("core-1", "1")]);
    let audit = Audit::of(&sys, 70, None, &host("0-1")).unwrap();
    assert_eq!(audit.verdict, Verdict::Unproven);
    assert!(audit.unproven[0].contains("1 other threads"), "{audit:?}");
}

#[test]
fn what_is_no_node_is_said() {
    let (_folder, sys) = process(&[("bash", "0-1")]);
    let said = |pid| {
        Audit::of(&sys, pid, None, &host("0-1"))
            .unwrap_err()
            .to_string()
    };
    assert!(said(70).contains("process 70 (corelane) has no thread named core-0"));
    assert_eq!(said(71), "there is no process 71");
}
