//! What `corelane log` found, for people.
//!
//! Owns: the look. Never does: judging.

use std::fmt;

use crate::cli::report::new_table;
use crate::log::inspect::{Report, Stat, StripeStat};

/// The result of `verify`.
pub(super) struct Verified<'a>(pub(super) &'a Report);

impl fmt::Display for Verified<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let header = [
            "stripe", "segments", "frames", "entries", "batches", "records", "bytes", "problems",
        ];
        let mut table = new_table(&header, 0);
        for stripe in &self.0.stripes {
            table.add_row([
                u64::from(stripe.stripe),
                stripe.segments,
                stripe.frames,
                stripe.entries,
                stripe.batches,
                stripe.records,
                stripe.bytes,
                stripe.problems.len() as u64,
            ]);
        }
        writeln!(f, "{table}")?;
        for torn in self
            .0
            .stripes
            .iter()
            .filter_map(|stripe| stripe.torn.as_ref())
        {
            writeln!(
                f,
                "{}, byte {}: incomplete last write (frame {}), acknowledged to nobody: {}",
                torn.path, torn.byte, torn.frame, torn.reason
            )?;
        }
        for problem in self.0.problems() {
            writeln!(
                f,
                "{}, byte {}: {}",
                problem.path, problem.byte, problem.reason
            )?;
        }
        let verdict = if self.0.is_sound() {
            "sound"
        } else {
            "not sound"
        };
        write!(f, "{}: {verdict}", self.0.path)
    }
}

/// The result of `stat`.
pub(super) struct Counted<'a>(pub(super) &'a Stat);

impl fmt::Display for Counted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stat = self.0;
        write!(
            f,
            "{}: directory {}, format {}, opened {} times, {} stripes, segments of {} bytes",
            stat.path,
            stat.directory_id,
            stat.format_version,
            stat.epoch,
            stat.stripes.len(),
            stat.segment_bytes
        )?;
        stat.stripes
            .iter()
            .try_for_each(|stripe| write_stripe(f, stripe))
    }
}

fn write_stripe(f: &mut fmt::Formatter<'_>, stripe: &StripeStat) -> fmt::Result {
    write!(
        f,
        "\n\nstripe {}: last frame {}, {} segments, {} files waiting",
        stripe.stripe,
        stripe.frame_last,
        stripe.segments.len(),
        stripe.files_waiting
    )?;
    if let Some(torn) = &stripe.torn {
        write!(f, "\nincomplete last write at {torn}")?;
    }
    write_segments(f, stripe)?;
    write_partitions(f, stripe)?;
    if !stripe.state.is_empty() {
        let mut table = new_table(&["state", "value"], 2);
        for pair in &stripe.state {
            table.add_row([&pair.key, &pair.value]);
        }
        write!(f, "\n{table}")?;
    }
    Ok(())
}

fn write_segments(f: &mut fmt::Formatter<'_>, stripe: &StripeStat) -> fmt::Result {
    if stripe.segments.is_empty() {
        return Ok(());
    }
    let header = [
        "segment",
        "first frame",
        "last frame",
        "batches",
        "records",
        "bytes",
    ];
    let mut table = new_table(&header, 1);
    for segment in &stripe.segments {
        table.add_row([
            segment.path.clone(),
            segment.frame_first.to_string(),
            segment.frame_last.to_string(),
            segment.batches.to_string(),
            segment.records.to_string(),
            segment.bytes.to_string(),
        ]);
    }
    write!(f, "\n{table}")
}

fn write_partitions(f: &mut fmt::Formatter<'_>, stripe: &StripeStat) -> fmt::Result {
    let (used, empty): (Vec<_>, Vec<_>) = stripe
        .partitions
        .iter()
        .partition(|partition| partition.next > 0);
    if !used.is_empty() {
        let header = [
            "topic",
            "index",
            "partition",
            "start",
            "next",
            "position",
            "batches",
            "bytes",
        ];
        let mut table = new_table(&header, 1);
        for partition in used {
            table.add_row([
                partition.topic.clone(),
                partition.index.to_string(),
                partition.id.to_string(),
                partition.log_start.to_string(),
                partition.next.to_string(),
                partition.position.to_string(),
                partition.batches.to_string(),
                partition.bytes.to_string(),
            ]);
        }
        write!(f, "\n{table}")?;
    }
    if !empty.is_empty() {
        write!(f, "\n{} partitions without records", empty.len())?;
    }
    Ok(())
}
