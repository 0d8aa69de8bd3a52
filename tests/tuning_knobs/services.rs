//! Services and slices: what keeps others off the shards must not keep the engine off them, and what is
//! a host of people is not split at all.

use corelane::tuning::check::{Selection, check};
use corelane::tuning::commands::Commands as _;
use corelane::tuning::host::Host;
use corelane::tuning::item::{Action, Disruption, Item, Status};
use corelane::tuning::plan::{Allow, Plan};
use corelane::tuning::profile::Profile;

use crate::fake_host::hosts;
use crate::fake_host::programs::Programs;
use crate::{NICS, only, parsed, probe};

#[test]
fn no_slice_is_kept_off_shards_that_the_engine_would_have_to_leave() {
    let fake = hosts::host("metal_8c16t");
    let sys = fake.plain_sys();
    let programs = Programs::new(fake.path(), NICS);
    let host = Host::find(&sys, &programs, parsed(""), None).unwrap();
    let slices = || probe(&host, "sys.slices");
    let starts = |item: &&Item, slice: &str| item.current.starts_with(slice);
    // No cgroup of the service anywhere: the engine does not run, as whenever something is applied.
    for home in ["system.slice", ""] {
        programs.put_engine_in(home);
        let items = slices();
        for item in items.iter().filter(|item| !starts(item, "user.slice")) {
            assert_eq!(item.status, Status::Drift, "{home:?}: {item:?}");
            assert!(item.actions.is_empty(), "{home:?}: {item:?}");
            let hint = item.hint.as_ref().unwrap();
            assert!(hint.contains("Slice=corelane.slice"), "{hint}");
        }
    }
    programs.put_engine_in("corelane.slice");
    for item in slices() {
        let acts = !starts(&&item, "user.slice");
        assert_eq!(item.actions.len(), usize::from(acts), "{item:?}");
    }
    // A slice that is kept off shards with the engine in it is no better.
    let path = "/sys/fs/cgroup/system.slice/cpuset.cpus.effective";
    fake.put(path, "0-1,8-9");
    let system = || {
        slices()
            .into_iter()
            .find(|item| starts(&item, "system"))
            .unwrap()
    };
    assert_eq!(system().status, Status::Ok);
    programs.put_engine_in("system.slice");
    assert_eq!(system().status, Status::Drift);
}

#[test]
fn the_shipped_service_puts_the_engine_into_its_own_slice() {
    let text = include_str!("../../tuning/systemd/corelane.service.d/10-tuning.conf");
    let (_, service) = text.split_once("[Service]\n").unwrap();
    assert!(service.lines().any(|line| line == "Slice=corelane.slice"));
}

#[test]
fn irqbalance_that_is_only_started_at_boot_is_told_by_that() {
    let fake = hosts::host("metal_8c16t");
    let sys = fake.plain_sys();
    let programs = Programs::new(fake.path(), NICS);
    let host = Host::find(&sys, &programs, parsed(""), None).unwrap();
    let systemctl = |words: &[&str]| programs.run("systemctl", words).unwrap().output;
    systemctl(&["stop", "irqbalance.service"]);
    let items = probe(&host, "irq.balance");
    let Action::Run {
        apply,
        revert,
        verify,
        ..
    } = &only(&items).actions[0]
    else {
        panic!("{items:?}");
    };
    let (asked, expected) = verify.as_ref().unwrap();
    let run = |command: &[String]| {
        let words: Vec<&str> = command[1..].iter().map(String::as_str).collect();
        systemctl(&words).trim().to_owned()
    };
    assert_ne!(run(asked), *expected);
    run(apply);
    assert_eq!(run(asked), *expected);
    run(revert);
    assert_ne!(run(asked), *expected);
    assert_eq!(
        systemctl(&["is-active", "irqbalance.service"]).trim(),
        "inactive"
    );
}

#[test]
fn a_machine_that_people_work_on_is_not_split() {
    let fake = hosts::host("metal_8c16t");
    let sys = fake.plain_sys();
    let programs = Programs::new(fake.path(), NICS);
    let profile = Profile::shipped("laptop").unwrap();
    let host = Host::find(&sys, &programs, profile, None).unwrap();
    let report = check(&host, &Selection::default());
    let allow = Allow {
        link_reset: true,
        boot: true,
    };
    let plan = Plan::of(&report, allow).unwrap();
    assert!(!plan.steps.is_empty());
    for step in &plan.steps {
        assert!(
            !step.reboot && step.disruptive == Disruption::None,
            "{step:?}"
        );
        let place = step.action.place();
        let moves = matches!(step.action, Action::Affinity { .. })
            || [
                "affinity",
                "cpumask",
                "AllowedCPUs",
                "xps_cpus",
                "rps_cpus",
                "irqbalance",
            ]
            .iter()
            .any(|part| place.contains(part));
        assert!(!moves, "{step:?}");
    }
}
