//! What `check` and `plan` print for every host, word by word.

use corelane::cpu::Sys as _;
use corelane::tuning::check::{FailOn, Selection, check, ids};
use corelane::tuning::host::Host;
use corelane::tuning::knobs::KNOBS;
use corelane::tuning::plan::{Allow, Plan};
use corelane::tuning::profile::Profile;
use corelane::tuning::render::{Shown, check_json, check_table, plan_lines};
use corelane::tuning::script::script;

use crate::NICS;
use crate::catalogue::golden;
use crate::fake_host::hosts;
use crate::fake_host::programs::Programs;

#[test]
fn check_and_plan_print_what_they_printed_before() {
    for (name, fake) in hosts::all() {
        let sys = fake.plain_sys();
        let programs = Programs::new(fake.path(), NICS);
        let profile = Profile::find(None, &sys, &ids(KNOBS)).unwrap();
        let host = Host::find(&sys, &programs, profile, None).unwrap();
        let report = check(&host, &Selection::default());
        let quiet = Plan::of(&report, Allow::default()).unwrap();
        let all = Allow {
            link_reset: true,
            boot: true,
        };
        let all = Plan::of(&report, all).unwrap();
        // The folder has another name each time.
        let root = sys.root().display().to_string();
        for (kind, text) in [
            (
                "check.txt",
                check_table(&host, &report, FailOn::Should, Shown::All),
            ),
            ("check.json", check_json(&host, &report)),
            ("plan.txt", plan_lines(&host, &quiet)),
            ("plan.sh", script(&all)),
        ] {
            let text = text.replace(&root, "ROOT");
            let path = format!("tests/fixtures/tuning/{name}/{kind}");
            golden(&path, &format!("{}\n", text.trim_end()));
        }
    }
}
