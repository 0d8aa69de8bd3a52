//! The slowest transactions as a waterfall of letters, one for each stage.
//!
//! Owns: which letter and which colour a stage has. Never does: drawing.

use ratatui::style::{Color, Style};
use ratatui::text::Span;

use super::model::{Flight, Slow};
use super::page::{Section, UNKNOWN, count, micros};

/// What the section's title begins with.
pub(super) const TITLE: &str = "slowest transactions";

/// Transactions that are shown.
const SHOWN: usize = 10;

/// Characters of the longest bar.
const BAR: usize = 40;

/// Where a bar is over. No space, which tables cut off.
const REST: char = '·';

/// What stands for a stage that has no letter.
const OTHER: char = '?';

/// The stages between a transaction's moments, in their order.
const STAGES: [(&str, char, Color); 9] = [
    ("intake", 'i', Color::Blue),
    ("hop", 'h', Color::Magenta),
    ("queue", 'q', Color::Yellow),
    ("frame", 'f', Color::Cyan),
    ("sync", 's', Color::Red),
    ("tail_read", 't', Color::LightBlue),
    ("process", 'p', Color::Green),
    ("commit", 'c', Color::LightRed),
    ("produce", 'P', Color::Gray),
];

/// The section; none where the node does not tell.
pub(super) fn section(slow: Option<&Slow>) -> Option<Section> {
    let slow = slow?;
    let letters = STAGES.map(|(name, letter, _)| format!("{letter} {}", name.replace('_', " ")));
    let mut title = format!(
        "{TITLE}, last {} min: {}",
        count(slow.minutes),
        letters.join(", ")
    );
    for core in &slow.missing_cores {
        title.push_str(&format!("; core {core} did not answer"));
    }
    let shown = &slow.slowest[..slow.slowest.len().min(SHOWN)];
    let longest = shown.iter().filter_map(|flight| flight.total_us);
    let longest = longest.fold(0.0, f64::max);
    Some(Section {
        title,
        head: &[
            "shard",
            "record",
            "core",
            "acks",
            "ago",
            "took",
            "waterfall",
        ],
        rows: shown.iter().map(|flight| row(flight, longest)).collect(),
    })
}

fn row(flight: &Flight, longest_us: f64) -> Vec<String> {
    let ago = flight.seconds_ago;
    vec![
        flight.shard.clone(),
        format!("{}@{}", count(flight.partition), count(flight.offset)),
        count(flight.core),
        flight.acks.clone().unwrap_or_else(|| UNKNOWN.to_owned()),
        ago.map_or(UNKNOWN.to_owned(), |seconds| format!("{seconds:.0} s")),
        micros(flight.total_us),
        bar(flight, longest_us),
    ]
}

/// Each stage as many letters as its share of the longest transaction; short ones may have none.
fn bar(flight: &Flight, longest_us: f64) -> String {
    let place = |us: f64| match longest_us > 0.0 {
        true => ((us / longest_us * BAR as f64).round() as usize).min(BAR),
        false => 0,
    };
    let mut cells = [REST; BAR];
    for stretch in &flight.stages {
        let known = STAGES.iter().find(|(name, _, _)| *name == stretch.stage);
        let letter = known.map_or(OTHER, |(_, letter, _)| *letter);
        let start = place(stretch.start_us);
        let end = place(stretch.start_us + stretch.took_us);
        // A negative figure is none of a node's, and draws nothing.
        for cell in cells.iter_mut().take(end).skip(start) {
            *cell = letter;
        }
    }
    cells.iter().collect()
}

/// A bar in the stages' colours.
pub(super) fn coloured(bar: &str) -> Vec<Span<'static>> {
    let colour = |letter: char| {
        let known = STAGES.iter().find(|(_, known, _)| *known == letter);
        known.map_or(Color::DarkGray, |(_, _, colour)| *colour)
    };
    let each = bar.chars();
    each.map(|letter| Span::styled(letter.to_string(), Style::new().fg(colour(letter))))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::top::model::Stretch;

    fn flight(stretches: &[(&str, f64, f64)]) -> Flight {
        let stages = stretches.iter().map(|(stage, start_us, took_us)| Stretch {
            stage: (*stage).to_owned(),
            start_us: *start_us,
            took_us: *took_us,
        });
        Flight {
            shard: "tokyo".to_owned(),
            total_us: Some(stretches.iter().map(|(_, _, took)| took).sum()),
            stages: stages.collect(),
            ..Flight::default()
        }
    }

    #[test]
    fn each_stage_has_its_share_of_the_longest_transaction() {
        let slow = Slow {
            minutes: Some(5),
            missing_cores: vec![3],
            slowest: vec![
                flight(&[
                    ("hop", 0.0, 25.0),
                    ("sync", 25.0, 50.0),
                    ("process", 75.0, 25.0),
                ]),
                flight(&[("intake", 0.0, 50.0)]),
            ],
        };
        let Section { title, rows, .. } = section(Some(&slow)).unwrap();
        assert!(title.contains("core 3 did not answer"), "{title}");
        assert!(title.contains("last 5 min"), "{title}");
        let bars: Vec<_> = rows.iter().map(|row| row[6].as_str()).collect();
        let wanted = [
            format!("{}{}{}", "h".repeat(10), "s".repeat(20), "p".repeat(10)),
            format!("{}{}", "i".repeat(20), "·".repeat(20)),
        ];
        assert_eq!(bars, wanted);
        assert_eq!(coloured(bars[0]).len(), BAR);
    }

    #[test]
    fn what_no_node_tells_is_drawn_within_the_bar() {
        for odd in [f64::NAN, f64::INFINITY, -5.0, 1e300, 0.0] {
            let flight = flight(&[("sync", odd, odd), ("unheard of", 0.0, 1.0)]);
            for longest in [odd, 1.0] {
                assert_eq!(bar(&flight, longest).chars().count(), BAR, "{odd}");
            }
        }
        assert!(section(None).is_none());
    }
}
