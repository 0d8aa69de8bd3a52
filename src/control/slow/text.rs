//! The waterfall as text, for a log or a terminal.

use std::fmt;

use super::Slowest;

/// Characters of a bar.
const BAR: usize = 48;

/// Transactions that are written out.
const SHOWN: usize = 20;

impl fmt::Display for Slowest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = &self.slowest[..self.slowest.len().min(SHOWN)];
        write!(
            f,
            "the {} slowest transactions of the last {} minutes",
            shown.len(),
            self.minutes
        )?;
        for core in &self.missing_cores {
            write!(f, "; core {core} did not answer")?;
        }
        for it in shown {
            write!(
                f,
                "\n{}  {} partition {} offset {}, core {}",
                time(it.total_us),
                it.shard,
                it.partition,
                it.offset,
                it.core
            )?;
            if let Some(acks) = it.acks {
                write!(f, ", acks {acks}")?;
            }
            write!(f, ", {:.0} s ago", it.seconds_ago)?;
            for span in &it.stages {
                let bar = bar(span.start_us, span.took_us, it.total_us);
                write!(f, "\n  {:<9} {}  |{bar}|", span.stage, time(span.took_us))?;
            }
        }
        Ok(())
    }
}

/// Ten characters wide.
fn time(us: f64) -> String {
    match us {
        us if us < 999.95 => format!("{us:>7.1} µs"),
        us if us < 999_950.0 => format!("{:>7.2} ms", us / 1e3),
        us => format!("{:>7.2} s ", us / 1e6),
    }
}

/// Where a stretch lies in the whole. What is there at all has a character at least.
fn bar(start_us: f64, took_us: f64, total_us: f64) -> String {
    let place = |us: f64| {
        let share = if total_us > 0.0 { us / total_us } else { 0.0 };
        ((share * BAR as f64).round() as usize).min(BAR)
    };
    let start = place(start_us).min(BAR - 1);
    let end = match took_us > 0.0 {
        true => place(start_us + took_us).max(start + 1),
        false => start,
    };
    let (before, after) = (" ".repeat(start), " ".repeat(BAR - end));
    format!("{before}{}{after}", "#".repeat(end - start))
}
