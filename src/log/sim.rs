//! A simulated disk: in memory, reproducible from a seed, and as unkind as a real one may be.
//!
//! Owns: operations under way and the faults that were asked for. What is on the platter lies in
//! [`MemoryFiles`], which recovery and the keeper use too. Never does: I/O. Runs on: a test.
//!
//! Faults and their limits:
//! - operations end in any order, each after 0 to a chosen number of polls, or never;
//! - a crash leaves of each write that has not ended nothing, all, a prefix to any byte, or any
//!   set of sectors; a write that has ended is whole;
//! - the next write or read fails on request; of a failed write a prefix may be on the platter.
//!
//! Flipped bits and a full device are [`MemoryFiles`]' to give.

use std::io;
use std::ops::Deref;
use std::rc::Rc;

use super::disk::{Completion, Disk, Done, FileId, Tag};
use super::files::{Files, MemoryFiles, segment_path};
use crate::ids::{SegmentSeq, StripeId};

/// What a device writes as a whole, or not at all.
const SECTOR_BYTES: usize = 512;

/// Buffers and chunks kept for reuse.
const SPARE_MAX: usize = 256;

/// Memory of the simulated disk.
#[derive(Debug, Default)]
pub struct SimBuffer {
    bytes: Vec<u8>,
    /// Bytes that count; fewer than there are after a trim.
    len: usize,
}

impl AsRef<[u8]> for SimBuffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl AsMut<[u8]> for SimBuffer {
    fn as_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[..self.len]
    }
}

/// What a crash leaves of a write that was under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// Nothing.
    Nothing,
    /// All of it.
    All,
    /// So many bytes from its start.
    Prefix(usize),
    /// The sectors whose bit in this pattern, repeated, is set.
    Sectors(u64),
}

/// When operations end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// Each after 0 to so many polls.
    Polls(u32),
    /// Not at all.
    Never,
}

#[derive(Debug)]
struct Underway {
    tag: Tag,
    due: u64,
    action: Action,
}

#[derive(Debug)]
enum Action {
    Open(FileId),
    Write {
        file: FileId,
        position: u32,
        buffer: Rc<SimBuffer>,
    },
    Read {
        file: FileId,
        position: u32,
        bytes: u32,
    },
    Alarm,
}

/// The simulated disk.
#[derive(Debug)]
pub struct SimDisk {
    platter: MemoryFiles,
    /// Paths of the segments that were opened.
    opened: Vec<String>,
    underway: Vec<Underway>,
    pace: Pace,
    polls: u64,
    random: u64,
    write_fault: Option<io::ErrorKind>,
    read_fault: Option<io::ErrorKind>,
    spare: Vec<Rc<SimBuffer>>,
}

impl SimDisk {
    /// A disk over `platter`. The same seed and the same calls give the same completions.
    pub fn new(platter: MemoryFiles, seed: u64, pace: Pace) -> SimDisk {
        SimDisk {
            platter,
            opened: Vec::new(),
            underway: Vec::with_capacity(128),
            pace,
            polls: 0,
            random: seed,
            write_fault: None,
            read_fault: None,
            spare: Vec::with_capacity(SPARE_MAX),
        }
    }

    /// From now on operations that are started end at this pace; `Never` also holds back those
    /// under way.
    pub fn set_pace(&mut self, pace: Pace) {
        self.pace = pace;
    }

    /// The next write to end fails; a prefix of it is on the platter.
    pub fn fail_next_write(&mut self, kind: io::ErrorKind) {
        self.write_fault = Some(kind);
    }

    /// The next read to end fails.
    pub fn fail_next_read(&mut self, kind: io::ErrorKind) {
        self.read_fault = Some(kind);
    }

    /// Bytes of the writes under way, in the order in which they were started.
    pub fn writes_under_way(&self) -> impl Iterator<Item = usize> {
        self.underway.iter().filter_map(|op| match &op.action {
            Action::Write { buffer, .. } => Some(buffer.len),
            Action::Open(_) | Action::Read { .. } | Action::Alarm => None,
        })
    }

    /// Power is lost. `keep` says for each write under way (its number in the order in which they
    /// were started, its bytes) what of it is on the platter.
    pub fn crash(self, mut keep: impl FnMut(usize, usize) -> Kept) {
        let mut number = 0;
        for op in &self.underway {
            if let Action::Write {
                file,
                position,
                buffer,
            } = &op.action
            {
                let kept = keep(number, buffer.len);
                number += 1;
                self.put(*file, *position, (**buffer).as_ref(), kept);
            }
        }
    }

    /// Power is lost, and what is left of each write is up to the seed.
    pub fn crash_at_random(mut self) {
        let mut random = self.next_random();
        self.crash(|_, bytes| {
            random = mix(random);
            match random % 8 {
                0 => Kept::Nothing,
                1 => Kept::All,
                2..=4 => Kept::Prefix((random >> 8) as usize % (bytes + 1)),
                _ => Kept::Sectors(mix(random)),
            }
        });
    }

    fn put(&self, file: FileId, position: u32, bytes: &[u8], kept: Kept) {
        let path = &self.opened[file.0 as usize];
        let at = u64::from(position);
        match kept {
            Kept::Nothing => {}
            Kept::All => self.platter.write_at(path, at, bytes),
            Kept::Prefix(len) => self.platter.write_at(path, at, &bytes[..len]),
            Kept::Sectors(pattern) => {
                for (number, sector) in bytes.chunks(SECTOR_BYTES).enumerate() {
                    if pattern >> (number % 64) & 1 == 1 {
                        let at = at + (number * SECTOR_BYTES) as u64;
                        self.platter.write_at(path, at, sector);
                    }
                }
            }
        }
    }

    fn next_random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.random)
    }

    fn start(&mut self, tag: Tag, action: Action) {
        let delay = match self.pace {
            Pace::Polls(0) | Pace::Never => 0,
            Pace::Polls(max) => self.next_random() % (u64::from(max) + 1),
        };
        self.underway.push(Underway {
            tag,
            due: self.polls + delay,
            action,
        });
    }

    fn finish(&mut self, action: Action) -> io::Result<Done<SimChunk>> {
        match action {
            Action::Open(file) => Ok(Done::Opened(file)),
            Action::Alarm => Ok(Done::Alarm),
            Action::Write {
                file,
                position,
                buffer,
            } => {
                if let Some(kind) = self.write_fault.take() {
                    let kept = Kept::Prefix(self.next_random() as usize % (buffer.len + 1));
                    self.put(file, position, (*buffer).as_ref(), kept);
                    return Err(kind.into());
                }
                self.put(file, position, (*buffer).as_ref(), Kept::All);
                Ok(Done::Written)
            }
            Action::Read {
                file,
                position,
                bytes,
            } => {
                if let Some(kind) = self.read_fault.take() {
                    return Err(kind.into());
                }
                let mut buffer = self.allocate(bytes as usize, bytes as usize);
                let out = Rc::get_mut(&mut buffer).expect("nobody else holds a new buffer");
                let path = &self.opened[file.0 as usize];
                out.len = self
                    .platter
                    .read_at(path, position.into(), &mut out.bytes)?;
                Ok(Done::Read(SimChunk(buffer)))
            }
        }
    }
}

/// The finalizer of splitmix64.
fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

impl Disk for SimDisk {
    type Buffer = SimBuffer;
    type Chunk = SimChunk;

    fn allocate(&mut self, _bytes_min: usize, bytes: usize) -> Rc<SimBuffer> {
        let fits = |b: &Rc<SimBuffer>| b.bytes.len() == bytes && Rc::strong_count(b) == 1;
        if let Some(index) = self.spare.iter().position(fits) {
            let mut buffer = self.spare.swap_remove(index);
            let unique = Rc::get_mut(&mut buffer).expect("nobody else holds it: just checked");
            unique.len = bytes;
            return buffer;
        }
        Rc::new(SimBuffer {
            bytes: vec![0; bytes],
            len: bytes,
        })
    }

    fn trim(buffer: &mut SimBuffer, bytes: usize) {
        assert!(bytes <= buffer.len);
        buffer.len = bytes;
    }

    fn release(&mut self, buffer: Rc<SimBuffer>) {
        if self.spare.len() < SPARE_MAX {
            self.spare.push(buffer);
        }
    }

    fn spare_bytes(&self) -> usize {
        self.spare.iter().map(|buffer| buffer.bytes.len()).sum()
    }

    fn open(&mut self, stripe: StripeId, segment: SegmentSeq, tag: Tag) {
        let file = FileId(self.opened.len() as u32);
        self.opened.push(segment_path(stripe, segment));
        self.start(tag, Action::Open(file));
    }

    fn write(&mut self, file: FileId, position: u32, buffer: Rc<SimBuffer>, tag: Tag) {
        self.start(
            tag,
            Action::Write {
                file,
                position,
                buffer,
            },
        );
    }

    fn read(&mut self, file: FileId, position: u32, bytes: u32, tag: Tag) {
        self.start(
            tag,
            Action::Read {
                file,
                position,
                bytes,
            },
        );
    }

    fn close(&mut self, _file: FileId) {}

    fn alarm(&mut self, _ns: u64, tag: Tag) {
        self.start(tag, Action::Alarm);
    }

    fn awaits_look(&self) -> bool {
        false
    }

    fn awaits_executor(&self) -> bool {
        false
    }

    fn poll(&mut self) -> Option<Completion<SimChunk>> {
        self.polls += 1;
        if self.pace == Pace::Never {
            return None;
        }
        let (index, _) = self
            .underway
            .iter()
            .enumerate()
            .filter(|(_, op)| op.due <= self.polls)
            .min_by_key(|(_, op)| op.due)?;
        let op = self.underway.remove(index);
        let result = self.finish(op.action);
        Some(Completion {
            tag: op.tag,
            result,
        })
    }
}

/// Memory that was read into.
#[derive(Debug)]
pub struct SimChunk(Rc<SimBuffer>);

impl Deref for SimChunk {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        (*self.0).as_ref()
    }
}
