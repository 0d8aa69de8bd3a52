//! Which devices of the host are the engine's: disks beneath its data, interfaces beneath its
//! network.
//!
//! Owns: following partitions and mapped devices down to disks. Never does: naming devices
//! that serve somebody else.

use crate::tuning::host::Host;

const BLOCK: &str = "/sys/block";

/// How many devices may be stacked on each other; deeper is a loop.
const DEPTH_MAX: usize = 8;

/// A file system that is mounted.
pub(super) struct Mount {
    pub point: String,
    /// `major:minor`
    pub device: String,
    pub kind: String,
    /// Of the mount and of the file system.
    pub options: String,
}

/// The file system that `path` lies on: the deepest mount above it, the last of several there.
pub(super) fn mount_of(host: &Host<'_>, path: &str) -> Option<Mount> {
    let text = host.sys.read("/proc/self/mountinfo").ok()?;
    let mounts = text.lines().filter_map(mount);
    let is_above = |mount: &Mount| {
        let point = mount.point.trim_end_matches('/');
        path == point
            || path
                .strip_prefix(point)
                .is_some_and(|rest| rest.starts_with('/'))
    };
    mounts
        .filter(is_above)
        .enumerate()
        .max_by_key(|(index, mount)| (mount.point.len(), *index))
        .map(|(_, mount)| mount)
}

/// A line of mountinfo (Documentation/filesystems/proc.rst, 3.5).
fn mount(line: &str) -> Option<Mount> {
    let (head, tail) = line.split_once(" - ")?;
    let head: Vec<&str> = head.split(' ').collect();
    let tail: Vec<&str> = tail.split(' ').collect();
    let (own, of_kind) = (head.get(5)?, tail.get(2).unwrap_or(&""));
    Some(Mount {
        point: head.get(4)?.replace("\\040", " "),
        device: (*head.get(2)?).to_owned(),
        kind: (*tail.first()?).to_owned(),
        options: format!("{own},{of_kind}"),
    })
}

/// The mount of the engine's data, where the profile says where that is.
pub(super) fn data_mount(host: &Host<'_>) -> Option<Mount> {
    let folder = host.profile.data_dir.as_ref()?;
    mount_of(host, &folder.to_string_lossy())
}

/// Disks beneath the engine's data; every disk that is hardware where the profile names no folder.
pub(super) fn data_disks(host: &Host<'_>) -> Vec<String> {
    if let Some(mount) = data_mount(host)
        && let Ok(path) = host
            .sys
            .canonical(&format!("/sys/dev/block/{}", mount.device))
    {
        let mut disks = Vec::new();
        add_disks(host, &path, DEPTH_MAX, &mut disks);
        if !disks.is_empty() {
            return disks;
        }
    }
    let mut disks = host.sys.list(BLOCK).unwrap_or_default();
    disks.retain(|disk| host.sys.exists(&format!("{BLOCK}/{disk}/device")));
    disks
}

/// The disks of a partition, of a disk, or beneath a mapped device.
fn add_disks(host: &Host<'_>, path: &str, depth: usize, disks: &mut Vec<String>) {
    let Some((parent, name)) = path.rsplit_once('/').filter(|_| depth > 0) else {
        return;
    };
    if host.sys.exists(&format!("{path}/partition")) {
        return add_disks(host, parent, depth - 1, disks);
    }
    let lower = host.sys.list(&format!("{path}/slaves")).unwrap_or_default();
    for slave in &lower {
        if let Ok(path) = host.sys.canonical(&format!("{path}/slaves/{slave}")) {
            add_disks(host, &path, depth - 1, disks);
        }
    }
    let name = name.to_owned();
    if lower.is_empty() && host.sys.exists(&format!("{BLOCK}/{name}")) && !disks.contains(&name) {
        disks.push(name);
    }
}

/// Why the interfaces of the engine are not known.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NicError {
    #[error("there is no interface {0}; there are: {1}")]
    Unknown(String, String),
    #[error("{0} has no device beneath it")]
    Virtual(String),
    #[error("several interfaces ({0}): name one with nic in the profile")]
    Several(String),
    #[error("no network interface is hardware")]
    None,
}

/// The interfaces of the engine: what lies beneath the one that the profile names, else beneath the
/// default route, else the only one. Interfaces that serve others are nobody's business here.
pub(super) fn nics(host: &Host<'_>) -> Result<Vec<String>, NicError> {
    let topology = &host.topology;
    let named = host.profile.nic.as_ref().or(topology.default_nic.as_ref());
    if let Some(name) = named {
        let known: Vec<&str> = topology.nics.iter().map(|nic| nic.name.as_str()).collect();
        if !known.contains(&name.as_str()) {
            return Err(NicError::Unknown(name.clone(), known.join(", ")));
        }
        let hardware = topology.hardware_of(name);
        if hardware.is_empty() {
            return Err(NicError::Virtual(name.clone()));
        }
        return Ok(hardware.iter().map(|nic| nic.name.clone()).collect());
    }
    let hardware = topology.nics.iter().filter(|nic| nic.is_physical);
    let names: Vec<String> = hardware.map(|nic| nic.name.clone()).collect();
    match names.len() {
        0 => Err(NicError::None),
        1 => Ok(names),
        _ => Err(NicError::Several(names.join(", "))),
    }
}
