//! Where a directory lies: the file system, its options, the device below.
//!
//! Owns: `/proc/self/mountinfo` and the queue of a block device. Never does: writing.

use std::io;
use std::path::Path;

use rustix::fs::statvfs;
use serde::{Deserialize, Serialize};

use crate::cpu::Sys;

/// File systems that forget everything when the machine stops.
const VOLATILE: [&str; 2] = ["tmpfs", "ramfs"];

/// Where a directory lies.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The directory, or the nearest one above it that exists.
    pub path: String,
    /// Where its file system is mounted.
    pub mount_point: String,
    /// `ext4`, `xfs`.
    pub file_system: String,
    /// Options of the mount and of the file system.
    pub options: Vec<String>,
    /// Bytes that are free for this user.
    pub free_bytes: u64,
    /// The disk; none where the file system is on no block device.
    pub device: Option<BlockDevice>,
}

/// A disk, as its queue describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockDevice {
    /// `nvme0n1`.
    pub name: String,
    /// `write back` or `write through`.
    pub write_cache: Option<String>,
    /// Whether a single write can be made durable without a flush of the whole cache.
    pub fua: Option<bool>,
    /// Whether it turns.
    pub rotational: Option<bool>,
    /// The scheduler in use.
    pub scheduler: Option<String>,
    /// Its memory node, where known.
    pub node: Option<u32>,
}

impl Place {
    /// Finds out where `directory` lies, without writing.
    ///
    /// # Errors
    /// It cannot be followed to a mounted file system.
    pub fn of(sys: &dyn Sys, directory: &Path) -> io::Result<Place> {
        let absolute = std::path::absolute(directory)?;
        let existing = absolute.ancestors().find(|path| path.exists());
        let path = existing.unwrap_or(Path::new("/")).canonicalize()?;
        let mounts = sys.read("/proc/self/mountinfo").map_err(io::Error::other)?;
        let mut place = mount_of(&mounts, &path).unwrap_or_default();
        let statistics = statvfs(&path)?;
        place.free_bytes = statistics.f_bavail.saturating_mul(statistics.f_frsize);
        place.path = path.display().to_string();
        Ok(Place {
            device: place.device.and_then(|found| queue_of(sys, &found.name)),
            ..place
        })
    }

    /// Whether what is written is gone when the machine stops.
    pub fn is_volatile(&self) -> bool {
        VOLATILE.contains(&self.file_system.as_str())
    }

    /// Whether an option is set.
    pub fn has(&self, option: &str) -> bool {
        self.options.iter().any(|set| set == option)
    }
}

/// The mount that a path lies in. The device is named by its numbers; see [`queue_of`].
///
/// Documentation/filesystems/proc.rst, 3.5: id, parent, device, root, mount point, options, tags,
/// `-`, type, source, options of the file system.
fn mount_of(mounts: &str, path: &Path) -> Option<Place> {
    let mounts = mounts.lines().filter_map(|line| {
        let (left, right) = line.split_once(" - ")?;
        let left: Vec<&str> = left.split(' ').collect();
        let right: Vec<&str> = right.split(' ').collect();
        let point = unescaped(left.get(4)?);
        path.starts_with(&point).then_some(())?;
        let options = [left.get(5), right.get(2)].into_iter().flatten();
        let mut options: Vec<String> = options
            .flat_map(|list| list.split(','))
            .map(str::to_owned)
            .collect();
        options.sort_unstable();
        options.dedup();
        // The source is the better name: some file systems have numbers of their own.
        let source = unescaped(right.get(1)?);
        let name = source.strip_prefix("/dev/").map(str::to_owned);
        Some(Place {
            mount_point: point,
            file_system: (*right.first()?).to_owned(),
            options,
            device: Some(BlockDevice {
                name: name.unwrap_or_else(|| (*left.get(2).unwrap_or(&"")).to_owned()),
                ..BlockDevice::default()
            }),
            ..Place::default()
        })
    });
    // The last of those that reach deepest: it covers the earlier ones.
    mounts.max_by_key(|place| place.mount_point.len())
}

/// Blanks and the like are written as three octal digits.
fn unescaped(name: &str) -> String {
    let mut text = String::new();
    let mut rest = name;
    while let Some((before, after)) = rest.split_once('\\') {
        text.push_str(before);
        let code = after
            .get(..3)
            .and_then(|code| u8::from_str_radix(code, 8).ok());
        match code {
            Some(byte) => {
                text.push(char::from(byte));
                rest = &after[3..];
            }
            None => {
                text.push('\\');
                rest = after;
            }
        }
    }
    text + rest
}

/// The queue of a device that is named `nvme0n1p1`, `mapper/data` or `254:0`. A partition has that of
/// its disk.
fn queue_of(sys: &dyn Sys, name: &str) -> Option<BlockDevice> {
    let folder = if name.contains(':') {
        sys.canonical(&format!("/sys/dev/block/{name}")).ok()?
    } else {
        let node = sys.canonical(&format!("/dev/{name}")).ok();
        let node = node.as_deref().and_then(|path| path.rsplit('/').next());
        sys.canonical(&format!("/sys/class/block/{}", node.unwrap_or(name)))
            .ok()?
    };
    let disk = if sys.exists(&format!("{folder}/partition")) {
        folder.rsplit_once('/')?.0
    } else {
        &folder
    };
    let read = |file: &str| sys.read(&format!("{disk}/{file}")).ok();
    let flag = |file: &str| read(file).map(|value| value.trim() == "1");
    let scheduler = read("queue/scheduler").map(|list| chosen(&list).to_owned());
    // -1 where the firmware does not tell.
    let node = ["device/numa_node", "device/device/numa_node"];
    let node = node
        .into_iter()
        .find_map(|file| read(file)?.trim().parse().ok());
    Some(BlockDevice {
        name: disk.rsplit('/').next().unwrap_or(disk).to_owned(),
        write_cache: read("queue/write_cache"),
        fua: flag("queue/fua"),
        rotational: flag("queue/rotational"),
        scheduler,
        node,
    })
}

/// Of `[none] mq-deadline` the one in brackets.
pub(super) fn chosen(list: &str) -> &str {
    let inside = list
        .split_once('[')
        .and_then(|(_, rest)| rest.split_once(']'));
    inside.map_or(list.trim(), |(chosen, _)| chosen)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::cpu::HostSys;

    const MOUNTS: &str = "27 1 254:0 / / rw,relatime - ext4 /dev/vda1 rw,discard\n\
        30 27 0:26 / /dev/shm rw - tmpfs tmpfs rw,size=4k\n\
        31 27 259:1 / /data/one\\040two rw,noatime shared:5 - xfs /dev/nvme0n1p1 rw,attr2\n\
        32 27 0:40 / /data/plain rw - btrfs none rw\n";

    #[test]
    fn the_deepest_mount_counts() {
        let mount = |path: &str| mount_of(MOUNTS, Path::new(path)).unwrap();
        assert_eq!(mount("/var/lib").file_system, "ext4");
        assert!(mount("/var").has("discard"));
        assert!(mount("/dev/shm/x").is_volatile());
        let data = mount("/data/one two/corelane");
        assert_eq!(data.file_system, "xfs");
        assert_eq!(data.options, ["attr2", "noatime", "rw"]);
        assert_eq!(data.device.unwrap().name, "nvme0n1p1");
        assert_eq!(
            mount("/data/one twofold").file_system,
            "ext4",
            "another folder"
        );
        assert_eq!(mount("/data/plain").device.unwrap().name, "0:40");
        assert!(mount_of("", Path::new("/")).is_none());
    }

    #[test]
    fn a_partition_has_the_queue_of_its_disk() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let disk = root.join("sys/devices/pci0/nvme/nvme0/nvme0n1");
        fs::create_dir_all(disk.join("queue")).unwrap();
        fs::create_dir_all(disk.join("nvme0n1p1")).unwrap();
        fs::create_dir_all(disk.join("device")).unwrap();
        fs::create_dir_all(root.join("sys/class/block")).unwrap();
        let put = |name: &str, text: &str| fs::write(disk.join(name), text).unwrap();
        put("nvme0n1p1/partition", "1\n");
        put("queue/write_cache", "write back\n");
        put("queue/fua", "1\n");
        put("queue/rotational", "0\n");
        put("queue/scheduler", "[none] mq-deadline\n");
        put("device/numa_node", "1\n");
        let link = root.join("sys/class/block/nvme0n1p1");
        symlink("../../devices/pci0/nvme/nvme0/nvme0n1/nvme0n1p1", link).unwrap();
        let found = queue_of(&HostSys::new(root), "nvme0n1p1").unwrap();
        let expected = BlockDevice {
            name: "nvme0n1".into(),
            write_cache: Some("write back".into()),
            fua: Some(true),
            rotational: Some(false),
            scheduler: Some("none".into()),
            node: Some(1),
        };
        assert_eq!(found, expected);
        assert_eq!(queue_of(&HostSys::new(root), "0:40"), None);
    }

    #[test]
    fn a_directory_that_is_not_there_yet_lies_where_it_will_be_made() {
        let folder = tempfile::tempdir().unwrap();
        let sys = HostSys::new("/");
        let place = Place::of(&sys, &folder.path().join("not/yet")).unwrap();
        let real = folder.path().canonicalize().unwrap();
        assert_eq!(place.path, real.display().to_string());
        assert!(!place.file_system.is_empty());
    }
}
