//! The kernel's own threads for io_uring (`iou-wrk-*`). It makes them for what cannot be done without
//! waiting, and without a word they run where the thread runs that asked: beside a core, of which
//! they then take the CPU.

#![allow(unsafe_code)]

use std::os::fd::{BorrowedFd, RawFd};

use rustix::io_uring::{IoringRegisterOp, io_uring_register};

use crate::ids::CpuId;

/// Bytes of the largest mask that we pass: 1,024 CPUs, as `sched_setaffinity` has it.
const MASK_BYTES: usize = 128;

/// What the kernel calls a ring among a process's files.
const RING: &str = "anon_inode:[io_uring]";

/// Keeps the kernel's threads for the calling thread's rings on `cpus`. To be called once the thread
/// has a ring. Where the kernel is too old for it, they stay where they are, and
/// `corelane tune audit` tells.
pub(super) fn keep_workers_on(cpus: &[CpuId]) {
    let mut mask = [0_u8; MASK_BYTES];
    for cpu in cpus.iter().map(|cpu| cpu.index()) {
        if let Some(byte) = mask.get_mut(cpu / 8) {
            *byte |= 1 << (cpu % 8);
        }
    }
    // The kernel keeps one pool of them for each thread; any ring will do to speak of it.
    if !rings().into_iter().any(|ring| register(ring, &mask)) {
        tracing::warn!("the kernel's threads for io_uring run beside this core");
    }
}

/// Whether the kernel takes the mask.
fn register(ring: RawFd, mask: &[u8; MASK_BYTES]) -> bool {
    // SAFETY: the number was open a moment ago, and is used for this one call only. Were it closed or
    // another file by now, the kernel would answer with an error and do nothing, as it does for
    // every file that is no ring. The mask is read during the call only, and its length is given.
    let answer = unsafe {
        io_uring_register(
            BorrowedFd::borrow_raw(ring),
            IoringRegisterOp::RegisterIowqAff,
            mask.as_ptr().cast(),
            MASK_BYTES as u32,
        )
    };
    answer.is_ok()
}

/// The rings that this process has open, the newest first.
fn rings() -> Vec<RawFd> {
    let files = std::fs::read_dir("/proc/self/fd");
    let mut rings: Vec<RawFd> = files
        .into_iter()
        .flatten()
        .flatten()
        .filter(|file| std::fs::read_link(file.path()).is_ok_and(|to| to.as_os_str() == RING))
        .filter_map(|file| file.file_name().to_str()?.parse().ok())
        .collect();
    rings.sort_unstable_by(|a, b| b.cmp(a));
    rings
}
