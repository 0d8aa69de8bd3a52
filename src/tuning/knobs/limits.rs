//! Limits that would keep the engine from starting or from locking its memory.

use crate::tuning::host::Host;
use crate::tuning::item::{Group, Item, Persist, Status};

use super::Knob;
use super::draft::Draft;
use super::services::has_systemd;
use super::sysctl;

/// Our file beside the engine's unit.
pub const LIMITS_DROP_IN: &str = "/etc/systemd/system/corelane.service.d/60-corelane-limits.conf";

/// Open files: connections, segments of the log, rings. Spec row 20.
const FILES_MIN: u64 = 1_048_576;

/// Memory that may be locked, and files that may be open.
pub const LIMITS: Knob = Knob {
    id: "limits",
    row: 20,
    group: Group::A,
    why: "an executor does not start below 512 KiB of lockable memory; io_uring may be forbidden",
    risk: "none",
    measured: "/proc/<pid>/limits of the engine",
    undone: "the drop-in is removed; the value from before is written back",
    persist: Persist::Unit,
    probe: limits,
};

fn limits(host: &Host<'_>) -> Vec<Item> {
    let mut ring = Draft::new(host, &LIMITS).kept_by(Persist::Sysctl);
    // Absent on kernels that cannot forbid it.
    sysctl::check(&mut ring, host, &LIMITS);
    vec![ring.item(), processes(host)]
}

/// The text of the drop-in.
pub fn drop_in() -> String {
    format!(
        "# Made by corelane tune apply, removed by corelane tune revert.\n\
         [Service]\nLimitMEMLOCK=infinity\nLimitNOFILE={FILES_MIN}\n"
    )
}

fn processes(host: &Host<'_>) -> Item {
    let mut draft = Draft::new(host, &LIMITS);
    if has_systemd(host) {
        let reload = ["systemctl", "daemon-reload"];
        if draft.file(LIMITS_DROP_IN, &drop_in(), Some(&reload)) != Status::Ok {
            draft.hint("counts from the engine's next start");
        }
        return draft.item();
    }
    // Without systemd an engine started from this shell gets what this process has.
    let path = "/proc/self/limits";
    draft.path(path);
    match host.sys.read(path) {
        Ok(text) => {
            let memory = hard_limit(&text, "Max locked memory");
            let files = hard_limit(&text, "Max open files");
            let current = format!("memlock={} files={}", spell(memory), spell(files));
            draft.say(
                "",
                &current,
                &format!("memlock=unlimited files≥{FILES_MIN}"),
            );
            let is_enough = memory == u64::MAX && files >= FILES_MIN;
            draft.found(if is_enough { Status::Ok } else { Status::Drift });
            if !is_enough {
                draft.hint(format!(
                    "there is no systemd to set them: ulimit -l unlimited -n {FILES_MIN} before the engine"
                ));
            }
        }
        Err(error) => {
            draft.unread("limits", &error);
        }
    }
    draft.item()
}

/// The hard limit in a row of `/proc/<pid>/limits`: a process raises its soft limit itself.
fn hard_limit(text: &str, name: &str) -> u64 {
    let row = text.lines().find_map(|line| line.strip_prefix(name));
    let hard = row.and_then(|row| row.split_whitespace().nth(1));
    match hard {
        Some("unlimited") => u64::MAX,
        Some(number) => number.parse().unwrap_or(0),
        None => 0,
    }
}

fn spell(limit: u64) -> String {
    if limit == u64::MAX {
        "unlimited".to_owned()
    } else {
        limit.to_string()
    }
}
