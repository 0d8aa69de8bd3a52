//! The live view: a node's page on a terminal of any size.
//!
//! Owns: what the screen looks like, and how far it is scrolled. Never does: asking, or reading keys.

use std::net::SocketAddr;
use std::time::Duration;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use super::flights;
use super::model::Status;
use super::page::{self, Section};

/// Cells of the bar that shows how busy a core is.
const BAR: usize = 10;

const HELP: &str = "q quit   up/down scroll";

/// What is on the screen.
#[derive(Debug)]
pub(super) struct View {
    address: SocketAddr,
    /// The last that the node told.
    status: Status,
    /// None while it answers; else for how long it has not, and why.
    gone: Option<(Duration, String)>,
    scrolled: u16,
}

impl View {
    /// Of a node that has told this.
    pub fn new(address: SocketAddr, status: Status) -> View {
        View {
            address,
            status,
            gone: None,
            scrolled: 0,
        }
    }

    /// The node has told this.
    pub fn show(&mut self, status: Status) {
        self.status = status;
        self.gone = None;
    }

    /// The node does not answer since so long: the last that it told stays, and it is said how old it
    /// is.
    pub fn show_gone(&mut self, since: Duration, reason: String) {
        self.gone = Some((since, reason));
    }

    /// Goes up (negative) or down by so many lines.
    pub fn scroll(&mut self, lines: i16) {
        self.scrolled = self.scrolled.saturating_add_signed(lines);
    }

    /// Draws everything.
    pub fn draw(&mut self, frame: &mut Frame<'_>) {
        let body = self.body();
        let area = frame.area();
        let rows = [
            Constraint::Length(1),
            Constraint::Min(0),
            Constraint::Length(1),
        ];
        let [top, middle, bottom] = Layout::vertical(rows).areas(area);
        // Where there is more than fits, the last line stays the last one.
        let lines = u16::try_from(body.len()).unwrap_or(u16::MAX);
        self.scrolled = self.scrolled.min(lines.saturating_sub(middle.height));
        frame.render_widget(self.headline(), top);
        frame.render_widget(Paragraph::new(body).scroll((self.scrolled, 0)), middle);
        let help = Line::styled(HELP, Style::new().fg(Color::DarkGray));
        frame.render_widget(help, bottom);
    }

    fn headline(&self) -> Line<'static> {
        let bold = Style::new().add_modifier(Modifier::BOLD);
        match &self.gone {
            None => {
                let line = page::headline(self.address, &self.status);
                match self.status.ready {
                    Some(false) => Line::styled(line, bold.fg(Color::Red)),
                    Some(true) | None => Line::styled(line, bold),
                }
            }
            // What matters first, for a narrow screen.
            Some((since, _)) => Line::styled(
                format!(
                    "NO ANSWER for {} s from {}; figures are as old",
                    since.as_secs(),
                    self.address
                ),
                bold.fg(Color::Red),
            ),
        }
    }

    fn body(&self) -> Vec<Line<'static>> {
        let mut lines = Vec::new();
        let red = Style::new().fg(Color::Red);
        if let Some((_, reason)) = &self.gone {
            lines.push(Line::styled(reason.clone(), red));
        }
        for reason in page::reasons(&self.status) {
            lines.push(Line::styled(reason, red));
        }
        for section in page::sections(&self.status) {
            lines.extend(self.section(&section));
            lines.push(Line::default());
        }
        lines
    }

    fn section(&self, section: &Section) -> Vec<Line<'static>> {
        let widths: Vec<usize> = (0..section.head.len())
            .map(|column| {
                let cells = section.rows.iter().map(|row| row[column].chars().count());
                cells.chain([section.head[column].len()]).max().unwrap_or(0)
            })
            .collect();
        let line = |cells: &mut dyn Iterator<Item = &str>| {
            let mut line = String::new();
            for (column, (cell, &width)) in cells.zip(&widths).enumerate() {
                // Names to the left, figures to the right.
                match column {
                    0 => line.push_str(&format!("{cell:<width$}")),
                    _ => line.push_str(&format!("  {cell:>width$}")),
                }
            }
            line
        };
        let title = Style::new().fg(Color::Cyan).add_modifier(Modifier::BOLD);
        let mut lines = vec![
            Line::styled(section.title.clone(), title),
            Line::styled(
                line(&mut section.head.iter().copied()),
                Style::new().add_modifier(Modifier::UNDERLINED),
            ),
        ];
        for (place, row) in section.rows.iter().enumerate() {
            let is_flight = section.title.starts_with(flights::TITLE);
            let (text, waterfall) = match row.split_last() {
                // A bar has a colour for each of its letters.
                Some((bar, rest)) if is_flight => (rest, flights::coloured(bar)),
                Some(_) | None => (row.as_slice(), Vec::new()),
            };
            let mut spans = vec![Span::raw(line(&mut text.iter().map(String::as_str)))];
            if !waterfall.is_empty() {
                spans.push(Span::raw("  "));
                spans.extend(waterfall);
            }
            if section.title == page::CORES {
                let core = self.status.cores.get(place);
                spans.extend(core.and_then(|it| it.busy_share).map(bar));
            }
            lines.push(Line::from(spans));
        }
        lines
    }
}

/// How busy a core is, as a bar.
fn bar(share: f64) -> Span<'static> {
    let full = ((share.clamp(0.0, 1.0) * BAR as f64).round() as usize).min(BAR);
    let colour = match share {
        share if share >= 0.9 => Color::Red,
        share if share >= 0.7 => Color::Yellow,
        _ => Color::Green,
    };
    let text = format!("  {}{}", "█".repeat(full), "░".repeat(BAR - full));
    Span::styled(text, Style::new().fg(colour))
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::*;

    fn status() -> Status {
        let text = r#"{"version":"1.2.3","uptime_seconds":61.5,"ready":true,
            "storage":{"kind":"embedded","directory":"data","free_bytes":5000000000},
            "cores":[{"core":0,"phase":"running","busy_share":0.5,"cycle_max_seconds":0.002,
                      "counters":{"stalls":4},"rates":{"submitted":1500.0}}],
            "shards":[{"shard":"new-york","lag":17,"processed_per_second":1200.0,
                       "p50_us":250.0,"p99_us":900.0,"p999_us":1500.0},
                      {"shard":"tokyo","lag":0}],
            "slow":{"minutes":5,"slowest":[{"shard":"tokyo","partition":1,"offset":77,"core":0,
                    "acks":"all","total_us":1500.0,"seconds_ago":3.2,
                    "stages":[{"stage":"hop","start_us":0,"took_us":375.0},
                              {"stage":"sync","start_us":375.0,"took_us":1125.0}]}]},
            "recent":{"latencies_seconds":10.0,"rates":{"submitted":1500.0},
                      "latencies":{"produce":{"count":9,"p50_us":150.0}}}}"#;
        Status::read(text).unwrap()
    }

    fn view() -> View {
        View::new(SocketAddr::from(([127, 0, 0, 1], 9644)), status())
    }

    /// The screen as lines of text.
    fn drawn(view: &mut View, (width, height): (u16, u16)) -> Vec<String> {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| view.draw(frame)).unwrap();
        let buffer = terminal.backend().buffer();
        let cells = buffer.content().chunks(usize::from(width.max(1)));
        cells
            .map(|row| row.iter().map(|cell| cell.symbol()).collect())
            .collect()
    }

    #[test]
    fn a_large_screen_shows_every_section() {
        let screen = drawn(&mut view(), (120, 60)).join("\n");
        for wanted in [
            "corelane 1.2.3 at 127.0.0.1:9644, up 00:01:01, ready",
            "end to end",
            "50 %",
            "█████░░░░░",
            "2.00 ms",
            "new-york",
            "1.20 k/s",
            "900 µs",
            "tokyo",
            "1@77",
            "1.50 ms  hhhhhhhhhhssssssssssssssssssssssssssssss",
            "tail read",
            "high water",
            "5.00 GB",
            "q quit",
        ] {
            assert!(screen.contains(wanted), "{wanted}:\n{screen}");
        }
    }

    #[test]
    fn any_size_is_drawn_and_the_first_line_stays() {
        for width in [1, 2, 20, 80, 300] {
            for height in [1, 2, 3, 10, 200] {
                let screen = drawn(&mut view(), (width, height));
                assert_eq!(screen.len(), usize::from(height));
                if height > 1 {
                    assert!(screen[0].starts_with('c'), "{width} x {height}: {screen:?}");
                }
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_reached_by_scrolling_and_not_passed() {
        let mut view = view();
        let first = drawn(&mut view, (80, 8));
        assert!(!first.join("\n").contains("sync p99"));
        view.scroll(i16::MAX);
        let last = drawn(&mut view, (80, 8)).join("\n");
        assert!(last.contains("sync p99"), "{last}");
        // The way back is as long as what was seen, not as what was asked for.
        view.scroll(-100);
        assert_eq!(drawn(&mut view, (80, 8)), first);
    }

    #[test]
    fn a_node_that_is_gone_is_said_and_comes_back() {
        let mut view = view();
        view.show_gone(Duration::from_secs(7), "connection refused".to_owned());
        let narrow = drawn(&mut view, (18, 3));
        assert_eq!(narrow[0], "NO ANSWER for 7 s ");
        let gone = drawn(&mut view, (120, 40)).join("\n");
        assert!(gone.contains("NO ANSWER for 7 s"), "{gone}");
        assert!(gone.contains("connection refused"), "{gone}");
        assert!(gone.contains("new-york"), "the last figures stay: {gone}");
        view.show(status());
        let back = drawn(&mut view, (120, 40)).join("\n");
        assert!(!back.contains("NO ANSWER"), "{back}");
    }

    #[test]
    fn a_node_that_is_not_ready_says_why() {
        let text = r#"{"version":"1","ready":false,
            "reasons":[{"kind":"disk_full","core":0,"detail":"2 stripes wait"}]}"#;
        let address = SocketAddr::from(([127, 0, 0, 1], 9644));
        let mut view = View::new(address, Status::read(text).unwrap());
        let screen = drawn(&mut view, (80, 24)).join("\n");
        assert!(screen.contains("NOT READY"), "{screen}");
        assert!(screen.contains("disk_full: 2 stripes wait"), "{screen}");
    }
}
