use super::*;

/// A host like the one that the constants were measured on, at rest.
fn reference() -> Measures {
    Measures {
        sync_p50_ns: 81_000.0,
        sync_p99_ns: 180_000.0,
        bytes_per_s: 3.26e9,
        wait_p99_ns: Some(0.0),
        wake_p99_ns: Some(40_000.0),
        speed: REFERENCE_SPEED,
        cores: 2,
    }
}

fn of(measures: &Measures, id: &str) -> Target {
    let mut targets = predict(measures).into_iter();
    targets.find(|target| target.id == id).unwrap()
}

#[test]
fn the_reference_gives_what_was_measured_on_it() {
    let near = |id: &str, measured: f64| {
        let predicted = of(&reference(), id).predicted;
        assert!(
            (predicted / measured - 1.0).abs() < 0.02,
            "{id}: {predicted}"
        );
    };
    near("produce.durable.p50", 106_000.0);
    near("produce.durable.p99", 220_000.0);
    near("rate.partition", 0.63e6);
    near("disk", 1.72e9);
}

#[test]
fn a_quiet_fast_host_of_two_cores_reaches_all_but_the_rates() {
    for target in predict(&reference()) {
        let expected = match target.id.starts_with("rate.") {
            true => Verdict::OutOfReach,
            false => Verdict::Reachable,
        };
        assert_eq!(target.verdict, expected, "{target:?}");
    }
    let topics = of(&reference(), "rate.topics");
    assert!(
        topics.from.contains("80 hosts like this one"),
        "{}",
        topics.from
    );
}

#[test]
fn a_slow_sync_takes_the_durable_figures_and_is_named() {
    let slow = Measures {
        sync_p50_ns: 900_000.0,
        sync_p99_ns: 6_000_000.0,
        ..reference()
    };
    assert_eq!(of(&slow, "produce.durable.p50").verdict, Verdict::AtRisk);
    let p99 = of(&slow, "produce.durable.p99");
    assert_eq!((p99.verdict, p99.term), (Verdict::OutOfReach, Term::Device));
    assert_eq!(of(&slow, "end-to-end.p99").verdict, Verdict::OutOfReach);
    assert_eq!(
        of(&slow, "consume.p99").verdict,
        Verdict::Reachable,
        "no disk in it"
    );
}

#[test]
fn a_cpu_that_is_taken_away_shows_in_every_tail_and_no_median() {
    let noisy = Measures {
        wait_p99_ns: Some(7_000_000.0),
        ..reference()
    };
    for id in [
        "produce.durable.p99",
        "consume.p99",
        "consume.p99.aim",
        "end-to-end.p99.aim",
    ] {
        let target = of(&noisy, id);
        assert_eq!(
            (target.verdict, target.term),
            (Verdict::OutOfReach, Term::Jitter),
            "{id}"
        );
    }
    assert_eq!(
        of(&noisy, "produce.durable.p50").verdict,
        Verdict::Reachable
    );
}

#[test]
fn slow_wake_ups_take_consuming() {
    let sleepy = Measures {
        wake_p99_ns: Some(200_000.0),
        ..reference()
    };
    let target = of(&sleepy, "consume.p99.aim");
    assert_eq!(
        (target.verdict, target.term),
        (Verdict::OutOfReach, Term::Wake)
    );
}

#[test]
fn what_could_not_be_measured_is_never_called_reachable() {
    let blind = Measures {
        wait_p99_ns: None,
        wake_p99_ns: None,
        ..reference()
    };
    for id in ["produce.durable.p99", "consume.p99", "end-to-end.p99"] {
        let target = of(&blind, id);
        assert_eq!(target.verdict, Verdict::AtRisk, "{id}");
        assert!(target.from.contains("unknown"), "{}", target.from);
    }
    assert_eq!(
        of(&blind, "produce.durable.p50").verdict,
        Verdict::Reachable
    );
}

#[test]
fn rates_are_the_less_of_cores_and_disk() {
    let slow_disk = Measures {
        bytes_per_s: 0.1e9,
        ..reference()
    };
    let target = of(&slow_disk, "rate.partitions");
    assert_eq!(
        (target.verdict, target.term),
        (Verdict::OutOfReach, Term::Device)
    );
    assert!((target.predicted - 0.1e9 * STRIPE_SHARE / RECORD_BYTES).abs() < 1.0);
    let slow_cores = Measures {
        speed: REFERENCE_SPEED / 4.0,
        bytes_per_s: 60e9,
        cores: 1024,
        ..reference()
    };
    let target = of(&slow_cores, "rate.topics");
    assert_eq!(
        (target.verdict, target.term),
        (Verdict::Reachable, Term::Core)
    );
    assert_eq!(
        of(&slow_cores, "rate.partition.aim").verdict,
        Verdict::OutOfReach
    );
}

#[test]
fn the_margin_separates_three_verdicts() {
    for (found, expected) in [
        (80.0, Verdict::Reachable),
        (81.0, Verdict::AtRisk),
        (125.0, Verdict::AtRisk),
        (126.0, Verdict::OutOfReach),
    ] {
        assert_eq!(verdict(found, 100.0), expected, "{found}");
    }
}
