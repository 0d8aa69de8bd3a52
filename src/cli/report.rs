//! What came of a run: one JSON object, or tables for people.
//!
//! Owns: the names in the JSON and the look of the tables. Never does: measuring.

use std::collections::BTreeMap;
use std::fmt;

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, Table};
use serde::Serialize;

use super::input::{Skipped, SkippedLine};
use crate::ids::ShardId;
use crate::telemetry::Summary;

/// What came of a run. Counts are of transactions.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct RunReport {
    /// Handed in, duplicates included; lines that were skipped are not.
    pub submitted: u64,
    /// Answered as `acks` asked for, duplicates included.
    pub acknowledged: u64,
    /// Taken by the handler; unknown to a client.
    pub processed: Option<u64>,
    /// Known already, so appended and processed no second time.
    pub duplicates: u64,
    /// Refused by the handler and kept in the dead-letter topic; unknown to a client.
    pub dead_lettered: Option<u64>,
    /// Answered with an error.
    pub rejected: u64,
    /// Neither answered nor refused. Anything but 0 is a failure.
    pub lost: u64,
    /// Lines that are no transaction.
    pub skipped: u64,
    /// The first of them.
    pub skipped_lines: Vec<SkippedLine>,
    /// Sum of the amounts of all shards.
    pub amount_total: u128,
    /// From the first transaction to the last answer.
    pub elapsed_seconds: f64,
    /// Submitted over elapsed.
    pub throughput_per_second: f64,
    /// One entry per shard, in the order of the configuration.
    pub shards: Vec<ShardReport>,
    /// How long it took.
    pub latency: LatencyReport,
}

/// What went to one shard.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ShardReport {
    /// The shard.
    #[serde(serialize_with = "shard_id")]
    pub id: ShardId,
    /// Its name; empty where only the number is known.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Transactions, each counted once.
    pub transactions: u64,
    /// Sum of their amounts.
    pub amount_total: u128,
}

/// Latencies by stage, each from the moment a transaction was meant to start it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct LatencyReport {
    /// From intake to the acknowledgement.
    pub produce: Percentiles,
    /// From visible to processed.
    pub consume: Percentiles,
    /// From intake to processed.
    pub end_to_end: Percentiles,
    /// The stages in between, by the catalogue's names: where the time of the three above goes.
    pub stages: BTreeMap<&'static str, Percentiles>,
}

/// The distribution of one latency in microseconds; none where nothing was measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Percentiles {
    /// How many were measured.
    pub count: u64,
    /// Median.
    pub p50_us: Option<f64>,
    /// 90th percentile.
    pub p90_us: Option<f64>,
    /// 99th percentile.
    pub p99_us: Option<f64>,
    /// 99.9th percentile.
    pub p999_us: Option<f64>,
    /// The longest.
    pub max_us: Option<f64>,
}

impl RunReport {
    /// Adds what the reader passed over.
    pub fn note_skipped(&mut self, skipped: &Skipped) {
        self.skipped = skipped.count;
        self.skipped_lines = skipped.first.clone();
    }

    /// Takes the shards and the sum of their amounts.
    pub fn set_shards(&mut self, shards: Vec<ShardReport>) {
        // 2^128 is more than any number of 64-bit amounts that fits a machine.
        self.amount_total = shards.iter().map(|shard| shard.amount_total).sum();
        self.shards = shards;
    }

    /// Takes the time; throughput follows from it.
    pub fn set_elapsed(&mut self, seconds: f64) {
        self.elapsed_seconds = seconds;
        self.throughput_per_second = if seconds > 0.0 {
            self.submitted as f64 / seconds
        } else {
            0.0
        };
    }

    /// As one JSON object on one line.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("numbers, text and lists only")
    }
}

impl From<Summary> for Percentiles {
    fn from(summary: Summary) -> Percentiles {
        let some = |us: f64| (summary.count > 0).then_some(us);
        Percentiles {
            count: summary.count,
            p50_us: some(summary.p50_us),
            p90_us: some(summary.p90_us),
            p99_us: some(summary.p99_us),
            p999_us: some(summary.p999_us),
            max_us: some(summary.max_us),
        }
    }
}

fn shard_id<S: serde::Serializer>(id: &ShardId, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u16(id.0)
}

/// The tables.
impl fmt::Display for RunReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.shards.is_empty() {
            writeln!(f, "{}", self.shard_table())?;
        }
        writeln!(f, "{}", self.latency_table())?;
        for skipped in &self.skipped_lines {
            writeln!(f, "skipped line {}: {}", skipped.line, skipped.reason)?;
        }
        let unlisted = self.skipped - self.skipped_lines.len() as u64;
        if unlisted > 0 {
            writeln!(f, "skipped {unlisted} further lines")?;
        }
        writeln!(
            f,
            "submitted {}, acknowledged {}, processed {}, duplicates {}, dead-lettered {}, \
             rejected {}, skipped {}, lost {}",
            self.submitted,
            self.acknowledged,
            or_dash(self.processed),
            self.duplicates,
            or_dash(self.dead_lettered),
            self.rejected,
            self.skipped,
            self.lost,
        )?;
        write!(
            f,
            "{:.3} s, {:.0} transactions/s",
            self.elapsed_seconds, self.throughput_per_second
        )
    }
}

impl RunReport {
    fn shard_table(&self) -> Table {
        let mut table = new_table(&["shard", "transactions", "amount", "share"], 1);
        let transactions: u64 = self.shards.iter().map(|shard| shard.transactions).sum();
        let share = |part: u64| match transactions {
            0 => "-".to_owned(),
            all => format!("{:.1} %", 100.0 * part as f64 / all as f64),
        };
        for shard in &self.shards {
            table.add_row([
                format!("{} {}", shard.id, shard.name).trim_end().to_owned(),
                shard.transactions.to_string(),
                shard.amount_total.to_string(),
                share(shard.transactions),
            ]);
        }
        table.add_row([
            "total".to_owned(),
            transactions.to_string(),
            self.amount_total.to_string(),
            share(transactions),
        ]);
        table
    }

    fn latency_table(&self) -> Table {
        let header = ["latency, µs", "count", "p50", "p90", "p99", "p99.9", "max"];
        let mut table = new_table(&header, 1);
        let whole = [
            ("produce", &self.latency.produce),
            ("consume", &self.latency.consume),
            ("end to end", &self.latency.end_to_end),
        ];
        let stages = self.latency.stages.iter().map(|(name, of)| (*name, of));
        for (name, latency) in whole.into_iter().chain(stages) {
            let us = |value: Option<f64>| or_dash(value.map(|us| format!("{us:.1}")));
            table.add_row([
                name.replace('_', " "),
                latency.count.to_string(),
                us(latency.p50_us),
                us(latency.p90_us),
                us(latency.p99_us),
                us(latency.p999_us),
                us(latency.max_us),
            ]);
        }
        table
    }
}

/// A table whose columns from `numbers_from` on are numbers.
pub(super) fn new_table(header: &[&str], numbers_from: usize) -> Table {
    let mut table = Table::new();
    table.load_preset(UTF8_FULL_CONDENSED).set_header(header);
    for column in table.column_iter_mut().skip(numbers_from) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn or_dash<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn report() -> RunReport {
        let shard = |id, name: &str, transactions, amount_total| ShardReport {
            id: ShardId(id),
            name: name.to_owned(),
            transactions,
            amount_total,
        };
        let mut report = RunReport {
            submitted: 4,
            acknowledged: 4,
            processed: Some(4),
            dead_lettered: Some(0),
            ..RunReport::default()
        };
        report.set_shards(vec![
            shard(0, "tokyo", 3, u128::from(u64::MAX)),
            shard(7, "sydney", 1, u128::from(u64::MAX)),
        ]);
        report.set_elapsed(0.5);
        report.latency.produce = Percentiles::from(Summary {
            count: 4,
            p50_us: 168.25,
            p90_us: 170.0,
            p99_us: 1800.0,
            p999_us: 1800.0,
            max_us: 1800.5,
        });
        report
    }

    #[test]
    fn amounts_beyond_64_bits_are_summed_and_printed_whole() {
        let report = report();
        assert_eq!(report.amount_total, 2 * u128::from(u64::MAX));
        let json = report.to_json();
        assert!(
            json.contains(r#""amount_total":36893488147419103230"#),
            "{json}"
        );
        assert!(report.to_string().contains("36893488147419103230"));
    }

    /// Scripts read these names.
    #[test]
    fn the_json_has_every_promised_name() {
        let json: Value = serde_json::from_str(&report().to_json()).expect("valid JSON");
        for name in [
            "submitted",
            "acknowledged",
            "processed",
            "duplicates",
            "dead_lettered",
            "lost",
            "skipped",
            "elapsed_seconds",
            "throughput_per_second",
        ] {
            assert!(json[name].is_number(), "{name}");
        }
        assert_eq!(json["throughput_per_second"], 8.0);
        assert_eq!(json["shards"][1]["id"], 7);
        assert_eq!(json["shards"][1]["name"], "sydney");
        assert_eq!(json["shards"][1]["transactions"], 1);
        for stage in ["produce", "consume", "end_to_end"] {
            let latency = &json["latency"][stage];
            assert!(latency["count"].is_number(), "{stage}");
            for percentile in ["p50_us", "p90_us", "p99_us", "p999_us", "max_us"] {
                assert!(latency.get(percentile).is_some(), "{stage} {percentile}");
            }
        }
        assert_eq!(json["latency"]["produce"]["p50_us"], 168.25);
        assert!(json["latency"]["consume"]["p50_us"].is_null());
    }

    #[test]
    fn the_tables_show_shares_and_dashes_where_nothing_was_measured() {
        let text = report().to_string();
        let line = |start: &str| {
            text.lines()
                .find(|line| line.contains(start))
                .unwrap_or_else(|| panic!("{start} in\n{text}"))
        };
        assert!(line("0 tokyo").contains("75.0 %"));
        assert!(line("produce").contains("168.2") && line("produce").contains("1800.5"));
        assert_eq!(line("consume").matches(" - ").count(), 5);
        assert!(line("submitted 4").ends_with("skipped 0, lost 0"));
    }

    #[test]
    fn an_empty_run_has_no_share_and_no_rate() {
        let mut report = report();
        report.submitted = 0;
        report
            .shards
            .iter_mut()
            .for_each(|shard| shard.transactions = 0);
        report.set_elapsed(0.0);
        assert_eq!(report.throughput_per_second, 0.0);
        assert!(!report.to_string().contains("NaN"));
    }

    #[test]
    fn skipped_lines_beyond_the_listed_ones_are_counted() {
        let mut report = report();
        report.note_skipped(&Skipped {
            count: 3,
            first: vec![SkippedLine {
                line: 9,
                reason: "id: missing".to_owned(),
            }],
        });
        let text = report.to_string();
        assert!(text.contains("skipped line 9: id: missing\nskipped 2 further lines\n"));
    }
}
