//! The command against a node played by the test.

use std::io::Write;

use clap::Parser;

use super::*;
use crate::client::played::{Played, play};
use crate::frame::ErrorCode;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    args: SubmitArgs,
}

/// `lines` transactions, number n with amount n, from one place.
fn input(lines: u64) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    for n in 0..lines {
        writeln!(
            file,
            r#"{{"id":"t{n}","client_location":{{"latitude":1,"longitude":2}},"amount":{n}}}"#
        )
        .unwrap();
    }
    file
}

fn submit_to(node: &Played, file: &tempfile::NamedTempFile, more: &[&str]) -> Done {
    let path = file.path().to_str().unwrap();
    let line = ["submit", "--to", &node.address, "--input", path];
    let line = Line::try_parse_from(line.iter().chain(more)).unwrap();
    submit_file(&line.args).unwrap()
}

#[test]
fn every_receipt_is_counted_once_over_all_connections() {
    let node = play(16, 3, |_, peer| {
        while let Some(submit) = peer.submit() {
            peer.receipt(submit.correlation);
        }
    });
    let done = submit_to(&node, &input(1000), &["--connections", "3"]);
    assert_eq!(done.problems, [""; 0]);
    let report = &done.report;
    assert_eq!((report.submitted, report.acknowledged), (1000, 1000));
    assert_eq!((report.lost, report.rejected, report.duplicates), (0, 0, 0));
    assert_eq!(report.processed, None, "a client cannot know");
    assert_eq!(report.amount_total, 499_500);
    assert_eq!(report.shards.len(), 1);
    assert_eq!(report.latency.produce.count, 1000);
    node.over();
}

#[test]
fn what_was_lost_or_rejected_is_counted_and_fails_the_command() {
    let node = play(1024, 1, |_, peer| {
        for n in 0..50 {
            let submit = peer.submit().unwrap();
            match n {
                0..40 => peer.receipt(submit.correlation),
                40..45 => peer.reject(submit.correlation, ErrorCode::PayloadTooLarge),
                _ => {} // Five are taken and never answered.
            }
        }
    });
    let done = submit_to(&node, &input(50), &[]);
    let report = &done.report;
    let counts = (report.submitted, report.acknowledged, report.rejected);
    assert_eq!(counts, (50, 40, 5));
    assert_eq!(report.lost, 5);
    assert!(done.problems[0].starts_with("5 submitted"));
    assert!(done.problems[1].contains("payload_too_large"));
    node.over();
}

#[test]
fn a_rate_is_kept_and_latency_counts_from_the_intended_moment() {
    let node = play(1024, 1, |_, peer| {
        // A stall of 100 ms at the start delays all that was meant to be sent meanwhile.
        std::thread::sleep(std::time::Duration::from_millis(100));
        while let Some(submit) = peer.submit() {
            peer.receipt(submit.correlation);
        }
    });
    let more = ["--rate", "1000", "--in-flight", "1"];
    let done = submit_to(&node, &input(200), &more);
    assert_eq!(done.report.acknowledged, 200);
    assert!(done.report.elapsed_seconds >= 0.199, "200 at 1000 a second");
    let median_us = done.report.latency.produce.p50_us.unwrap();
    let longest_us = done.report.latency.produce.max_us.unwrap();
    assert!(longest_us > 90_000.0, "the stall shows: {longest_us}");
    assert!(median_us < longest_us, "and passes: {median_us}");
    node.over();
}

#[test]
fn without_answers_nothing_is_acknowledged_and_nothing_lost() {
    let node = play(4, 1, |_, peer| while peer.submit().is_some() {});
    let done = submit_to(&node, &input(100), &["--acks", "none"]);
    assert_eq!(done.problems, [""; 0]);
    let report = &done.report;
    let counts = (report.submitted, report.acknowledged, report.lost);
    assert_eq!(counts, (100, 0, 0));
    node.over();
}
