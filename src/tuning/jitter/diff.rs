//! Two measurements beside each other.
//!
//! Owns: ratios, and what of them is a regression. Never does: measuring.

use std::fmt;

use serde::Serialize;

use super::report::{Figures, JitterReport, SCHEMA};

/// A figure may grow by this much.
pub const REGRESSION_RATIO: f64 = 1.2;

/// A figure of the table.
struct Column {
    name: &'static str,
    of: fn(&Figures) -> f64,
    judged: Judged,
}

/// Whether growth of a figure is a regression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Judged {
    /// By more than the ratio, and by more than this.
    Above(u64),
    /// No: quantiles of the gaps depend on how many gaps there are, so that a change which removes
    /// many short ones makes them grow.
    No,
}

/// Gaps below this are not told apart from flickers of memory, see the meter.
const FLOOR_NS: u64 = 200;

const COLUMNS: [Column; 8] = [
    Column {
        name: "wait p99.9 (ns)",
        of: |figures| figures.wait_p999_ns as f64,
        judged: Judged::Above(FLOOR_NS),
    },
    Column {
        name: "wait p99.99 (ns)",
        of: |figures| figures.wait_p9999_ns as f64,
        judged: Judged::Above(FLOOR_NS),
    },
    Column {
        name: "lost (ppm)",
        of: |figures| figures.lost_ppm,
        judged: Judged::Above(1),
    },
    Column {
        name: "gap max (ns)",
        of: |figures| figures.gap_max_ns as f64,
        judged: Judged::Above(FLOOR_NS),
    },
    Column {
        name: "gap p99.9 (ns)",
        of: |figures| figures.gap_p999_ns as f64,
        judged: Judged::No,
    },
    Column {
        name: "gap p99 (ns)",
        of: |figures| figures.gap_p99_ns as f64,
        judged: Judged::No,
    },
    Column {
        name: "gap p50 (ns)",
        of: |figures| figures.gap_p50_ns as f64,
        judged: Judged::No,
    },
    Column {
        name: "gaps per s",
        of: |figures| figures.gaps_per_s,
        judged: Judged::No,
    },
];

/// One figure of one CPU, or of all.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// A CPU's number, or `all`.
    pub cpu: String,
    /// Which figure, with its unit.
    pub figure: &'static str,
    /// In the first measurement.
    pub before: f64,
    /// In the second.
    pub after: f64,
    /// The second by the first; none where the first is 0.
    pub ratio: Option<f64>,
    /// Whether it grew by more than may be.
    pub regression: bool,
}

/// The comparison.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct JitterDiff {
    /// [`SCHEMA`].
    pub schema: u32,
    /// `corelane jitter diff`.
    pub tool: &'static str,
    /// How many figures regressed.
    pub regressions: usize,
    /// What makes the two hard to compare.
    pub notes: Vec<String>,
    /// `all` first, then each CPU that both have.
    pub rows: Vec<Row>,
}

impl JitterDiff {
    /// Compares.
    pub fn of(before: &JitterReport, after: &JitterReport) -> JitterDiff {
        let mut rows = Vec::new();
        let mut notes = Vec::new();
        let cpus =
            |report: &JitterReport| -> Vec<u16> { report.cpus.iter().map(|c| c.cpu).collect() };
        if cpus(before) != cpus(after) {
            notes.push("the CPUs differ: only those in both are compared one by one".to_owned());
        }
        if before.facts.cpu != after.facts.cpu {
            let (old, new) = (&before.facts.cpu, &after.facts.cpu);
            notes.push(format!("two kinds of CPU: {old} and {new}"));
        }
        push_rows(&mut rows, "all", &before.all, &after.all);
        for cpu in &before.cpus {
            if let Some(other) = after.cpus.iter().find(|other| other.cpu == cpu.cpu) {
                push_rows(
                    &mut rows,
                    &cpu.cpu.to_string(),
                    &cpu.figures,
                    &other.figures,
                );
            }
        }
        JitterDiff {
            schema: SCHEMA,
            tool: "corelane jitter diff",
            regressions: rows.iter().filter(|row| row.regression).count(),
            notes,
            rows,
        }
    }
}

fn push_rows(rows: &mut Vec<Row>, cpu: &str, before: &Figures, after: &Figures) {
    for column in &COLUMNS {
        let (before, after) = ((column.of)(before), (column.of)(after));
        let regression = match column.judged {
            Judged::Above(floor) => {
                after > before * REGRESSION_RATIO && after - before > floor as f64
            }
            Judged::No => false,
        };
        rows.push(Row {
            cpu: cpu.to_owned(),
            figure: column.name,
            before,
            after,
            ratio: (before > 0.0).then(|| after / before),
            regression,
        });
    }
}

impl fmt::Display for JitterDiff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for note in &self.notes {
            writeln!(f, "note: {note}")?;
        }
        writeln!(
            f,
            "cpu  figure                 before         after    ratio"
        )?;
        for row in &self.rows {
            let ratio = row
                .ratio
                .map_or("-".to_owned(), |ratio| format!("{ratio:.2}"));
            let mark = if row.regression { "  WORSE" } else { "" };
            writeln!(
                f,
                "{:>3}  {:<16} {:>12.1}  {:>12.1} {ratio:>8}{mark}",
                row.cpu, row.figure, row.before, row.after
            )?;
        }
        match self.regressions {
            0 => f.write_str("no regression"),
            count => write!(
                f,
                "{count} figures grew by more than {:.0} %",
                (REGRESSION_RATIO - 1.0) * 100.0
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tuning::jitter::meter::AtLeast;
    use crate::tuning::jitter::report::{CpuJitter, Facts, Standing};

    fn figures(wait: u64, max: u64) -> Figures {
        Figures {
            span_ns: 1_000_000_000,
            gaps: 5,
            gaps_per_s: 5.0,
            gaps_at_least: AtLeast::default(),
            gap_p50_ns: 300,
            gap_p99_ns: 400,
            gap_p999_ns: 500,
            gap_max_ns: max,
            lost_ppm: 10.0,
            lost_worst_second_ppm: 10.0,
            wait_p999_ns: 0,
            wait_p9999_ns: wait,
        }
    }

    fn report(cpus: &[(u16, Figures)]) -> JitterReport {
        let cpu = |(cpu, figures): &(u16, Figures)| CpuJitter {
            cpu: *cpu,
            step_ns: 10,
            threshold_ns: 200,
            figures: figures.clone(),
            largest: Vec::new(),
            switches: Default::default(),
            counters: Default::default(),
            hints: Vec::new(),
        };
        JitterReport {
            schema: SCHEMA,
            tool: "corelane jitter".into(),
            facts: Facts {
                kernel: String::new(),
                cpu: "a CPU".into(),
                boot_id: String::new(),
                standing: Standing::Gating,
                counter_hz: 1e9,
                stress: None,
                stress_rounds: None,
            },
            memory_not_locked: None,
            all: cpus[0].1.clone(),
            cpus: cpus.iter().map(cpu).collect(),
            histogram: None,
        }
    }

    fn worse(before: &Figures, after: &Figures) -> Vec<&'static str> {
        let (before, after) = (
            report(&[(1, before.clone())]),
            report(&[(1, after.clone())]),
        );
        let diff = JitterDiff::of(&before, &after);
        let of_cpu = diff.rows.iter().filter(|row| row.cpu == "1");
        of_cpu
            .filter(|row| row.regression)
            .map(|row| row.figure)
            .collect()
    }

    #[test]
    fn only_growth_above_a_fifth_and_the_floor_is_a_regression() {
        let base = figures(10_000, 50_000);
        assert!(worse(&base, &base).is_empty());
        assert!(worse(&base, &figures(12_000, 60_000)).is_empty(), "20 %");
        assert_eq!(worse(&base, &figures(12_001, 50_000)), ["wait p99.99 (ns)"]);
        assert_eq!(worse(&base, &figures(100, 60_100)), ["gap max (ns)"]);
        // From nothing to less than can be told apart, and to more.
        assert!(worse(&figures(0, 0), &figures(200, 0)).is_empty());
        assert_eq!(
            worse(&figures(0, 0), &figures(201, 0)),
            ["wait p99.99 (ns)"]
        );
    }

    #[test]
    fn more_long_gaps_among_fewer_are_not_judged() {
        let base = figures(0, 0);
        let fewer = Figures {
            gap_p50_ns: 9_000,
            gap_p999_ns: 90_000,
            ..base.clone()
        };
        assert!(worse(&base, &fewer).is_empty());
    }

    #[test]
    fn cpus_are_compared_by_number_and_ratios_of_zero_left_out() {
        let before = report(&[(1, figures(0, 5)), (2, figures(1, 5))]);
        let after = report(&[(2, figures(900, 5)), (3, figures(9, 5))]);
        let diff = JitterDiff::of(&before, &after);
        assert_eq!(diff.notes.len(), 1);
        assert_eq!(diff.rows.len(), 2 * COLUMNS.len(), "all, and CPU 2");
        let wait = |cpu: &str| {
            let mut rows = diff.rows.iter();
            rows.find(|row| row.cpu == cpu && row.figure == "wait p99.99 (ns)")
                .unwrap()
        };
        assert_eq!(wait("all").ratio, None);
        assert_eq!(wait("2").ratio, Some(900.0));
        assert!(diff.to_string().contains("WORSE"));
    }
}
