use super::*;
use predict::Measures;

fn finding(id: &'static str, level: Level, term: Option<Term>) -> Finding {
    Finding {
        id,
        level,
        term,
        what: "what".into(),
        fix: "fix".into(),
    }
}

fn measures() -> Measures {
    Measures {
        sync_p50_ns: 20_000.0,
        sync_p99_ns: 60_000.0,
        bytes_per_s: 6e9,
        wait_p99_ns: Some(0.0),
        wake_p99_ns: Some(5_000.0),
        // Fast enough for every aim, which no CPU of today is.
        speed: 12.0 * predict::REFERENCE_SPEED,
        cores: 16,
    }
}

#[test]
fn what_blocks_is_mended_before_everything() {
    let findings = [
        finding("mm.thp", Level::Costs, Some(Term::Jitter)),
        finding("mem.lock", Level::Blocks, None),
    ];
    let noisy = Measures {
        wait_p99_ns: Some(9e6),
        ..measures()
    };
    assert!(first(&findings, &predict::predict(&noisy)).starts_with("mem.lock: "));
}

#[test]
fn the_cause_of_the_first_missed_figure_is_named() {
    let findings = [
        finding("blk.flush", Level::Costs, Some(Term::Device)),
        finding("cpu.isolate", Level::Note, Some(Term::Jitter)),
    ];
    let noisy = Measures {
        wait_p99_ns: Some(9e6),
        ..measures()
    };
    assert!(first(&findings, &predict::predict(&noisy)).starts_with("cpu.isolate: "));
    let slow = Measures {
        sync_p99_ns: 9e6,
        ..measures()
    };
    assert!(first(&findings, &predict::predict(&slow)).starts_with("blk.flush: "));
    // Nothing was found that explains it.
    let told = first(&findings[..1], &predict::predict(&noisy));
    assert!(told.contains("corelane tune check"), "{told}");
}

#[test]
fn a_host_that_reaches_all_is_told_what_it_costs_or_nothing() {
    let targets = predict::predict(&measures());
    let costs = [finding("mm.thp", Level::Costs, Some(Term::Jitter))];
    assert!(first(&costs, &targets).starts_with("mm.thp: "));
    let note = [finding("fs.discard", Level::Note, Some(Term::Device))];
    assert!(first(&note, &targets).starts_with("nothing"));
}

/// A node says it at each start, so it has to be quick; and it must not write.
#[test]
fn a_glance_leaves_the_directory_alone() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("data");
    let _ = glance(&crate::cpu::HostSys::new("/"), &missing);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}
