//! Numbers that must not be mixed up, each as a type of its own.
//!
//! Owns: the identifiers shared by all modules. Never does: I/O, arithmetic that can wrap
//! unnoticed. Runs on: any thread.

use std::fmt;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $inner);

        impl $name {
            /// The number as an index into a table.
            #[inline]
            pub const fn index(self) -> usize {
                self.0 as usize
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

id! {
    /// A core: one CPU with one pinned executor. Dense from 0 within one node; the CPU's number
    /// in the machine is [`CpuId`].
    CoreId(u16)
}
id! {
    /// A CPU as the kernel numbers it.
    CpuId(u16)
}
id! {
    /// A stripe: one append-only durable log. Dense from 0 within one data directory.
    StripeId(u16)
}
id! {
    /// A geographic shard, as numbered in the configuration.
    ShardId(u16)
}
id! {
    /// A topic of this data directory. Dense from 0, never reused.
    TopicId(u32)
}
id! {
    /// A partition's number within its topic, as Kafka counts: 0 to the topic's partitions - 1.
    PartitionIndex(u32)
}
id! {
    /// A partition of this node, whatever its topic. Dense from 0 within one data directory,
    /// never reused; the catalog maps it to a topic and a [`PartitionIndex`].
    PartitionId(u32)
}
id! {
    /// A segment of a stripe. Counts up from 0 for the life of the stripe and is never reused,
    /// also where the segment's file is.
    SegmentSeq(u64)
}
id! {
    /// A frame of a stripe: what one write makes durable. Counts up from 1 for the life of the
    /// stripe; 0 stands for "before the first frame".
    FrameSeq(u64)
}

/// A record's offset in its partition: 0 upwards, without gaps in what was appended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Offset(pub i64);

impl Offset {
    /// The first offset of a partition.
    pub const ZERO: Offset = Offset(0);

    /// The offset `count` records further.
    #[inline]
    pub const fn plus(self, count: u32) -> Offset {
        Offset(self.0 + count as i64)
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// Wall time in milliseconds since the Unix epoch, as Kafka stamps records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixMillis(pub i64);

/// Wall time in microseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixMicros(pub i64);

/// Monotonic nanoseconds since an arbitrary point that is the same for the whole process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nanos(pub u64);

impl Nanos {
    /// Nanoseconds from `earlier` to `self`; 0 where `earlier` is the later one.
    #[inline]
    pub const fn since(self, earlier: Nanos) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// The moment `ns` nanoseconds later.
    #[inline]
    pub const fn after(self, ns: u64) -> Nanos {
        Nanos(self.0.saturating_add(ns))
    }
}

/// Which promise a receipt carries. The words *appended* and *durable* are defined at
/// [`crate::log`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Acks {
    /// Sent and forgotten: no receipt comes back. Kafka's `acks=0`.
    None = 0,
    /// Appended in the owner's memory; lost if the machine dies first. Kafka's `acks=1`.
    Leader = 1,
    /// Durable. Kafka's `acks=all`.
    #[default]
    All = 2,
}

impl Acks {
    /// The level with this number on the wire, if there is one.
    pub const fn from_wire(byte: u8) -> Option<Acks> {
        match byte {
            0 => Some(Acks::None),
            1 => Some(Acks::Leader),
            2 => Some(Acks::All),
            _ => None,
        }
    }

    /// The name used in configuration, JSON and documents.
    pub const fn name(self) -> &'static str {
        match self {
            Acks::None => "none",
            Acks::Leader => "leader",
            Acks::All => "all",
        }
    }
}

impl std::str::FromStr for Acks {
    type Err = String;

    fn from_str(text: &str) -> Result<Acks, String> {
        match text {
            "none" => Ok(Acks::None),
            "leader" => Ok(Acks::Leader),
            "all" => Ok(Acks::All),
            other => Err(format!(
                "acks '{other}' is unknown; allowed: none, leader, all"
            )),
        }
    }
}

impl fmt::Display for Acks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
