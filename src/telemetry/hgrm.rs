//! The percentile table that HdrHistogram's tools read and plot (`.hgrm`).
//!
//! Owns: its text. Never does: writing files.

use std::fmt::Write as _;

use hdrhistogram::Histogram;

/// Lines for each halving of what is left to 100 %, as HdrHistogram's own tools write.
const TICKS_PER_HALF: u32 = 5;

/// The table of a histogram of nanoseconds, values in microseconds.
pub fn table(histogram: &Histogram<u64>) -> String {
    let mut text = "       Value     Percentile TotalCount 1/(1-Percentile)\n\n".to_owned();
    let us = |ns: f64| ns / 1000.0;
    let mut count = 0;
    for step in histogram.iter_quantiles(TICKS_PER_HALF) {
        let value = us(step.value_iterated_to().min(histogram.max()) as f64);
        let quantile = step.quantile_iterated_to();
        count += step.count_since_last_iteration();
        let left = 1.0 / (1.0 - quantile);
        let line = if quantile < 1.0 {
            writeln!(text, "{value:12.3} {quantile:2.12} {count:10} {left:14.2}")
        } else {
            // The last line has no ratio: nothing is left.
            writeln!(text, "{value:12.3} {quantile:2.12} {count:10}")
        };
        line.expect("writing to a string does not fail");
    }
    let foot = format!(
        "#[Mean    = {:12.3}, StdDeviation   = {:12.3}]\n\
         #[Max     = {:12.3}, Total count    = {:12}]\n\
         #[Buckets = {:12}, SubBuckets     = {:12}]\n",
        us(histogram.mean()),
        us(histogram.stdev()),
        us(histogram.max() as f64),
        histogram.len(),
        histogram.buckets(),
        sub_buckets(histogram.sigfig()),
    );
    text + &foot
}

/// Values of a bucket: the power of two that tells twice 10 to the power of the digits apart.
fn sub_buckets(digits: u8) -> u64 {
    (2 * 10_u64.pow(digits.into())).next_power_of_two()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_every_value_once_and_ends_at_the_longest() {
        let mut histogram = Histogram::new_with_bounds(1, 10_000_000_000, 3).unwrap();
        for us in 1..=1000 {
            histogram.record(us * 1000).unwrap();
        }
        let table = table(&histogram);
        let rows: Vec<Vec<f64>> = table
            .lines()
            .skip(2)
            .take_while(|line| !line.starts_with('#'))
            .map(|line| {
                line.split_whitespace()
                    .map(|w| w.parse().unwrap())
                    .collect()
            })
            .collect();
        assert!(rows.iter().rev().skip(1).all(|row| row.len() == 4));
        assert!(rows.is_sorted_by(|a, b| a[0] <= b[0] && a[1] <= b[1] && a[2] <= b[2]));
        let last = rows.last().unwrap();
        assert_eq!((last[1], last[2]), (1.0, 1000.0));
        assert!(
            (last[0] / 1000.0 - 1.0).abs() < 0.001,
            "three digits: {}",
            last[0]
        );
        assert!(
            table.ends_with("SubBuckets     =         2048]\n"),
            "{table}"
        );
        assert!(table.contains("Total count    =         1000]"));
    }
}
