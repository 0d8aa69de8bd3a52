//! A strict reader of OpenMetrics text, by the rules of its specification 1.0 and of promtool: what
//! is doubtful is refused.

#![allow(dead_code)] // Each test uses its own part of this.

use std::collections::{BTreeMap, BTreeSet};

/// Labels of a sample.
pub type Labels = BTreeMap<String, String>;

/// A page that was read.
#[derive(Debug, Default)]
pub struct Page {
    /// The type of each family.
    pub kinds: BTreeMap<String, String>,
    /// Values by the sample's name, then by labels.
    pub samples: BTreeMap<String, BTreeMap<Labels, f64>>,
}

impl Page {
    /// The sum of a sample over all labels.
    pub fn sum(&self, sample: &str) -> f64 {
        let found = self.samples.get(sample);
        let found = found.unwrap_or_else(|| panic!("there is no {sample}"));
        found.values().sum()
    }
}

/// A family while its lines are read.
#[derive(Default)]
struct Family {
    name: String,
    has_help: bool,
    kind: Option<String>,
    has_samples: bool,
}

/// Reads a page.
///
/// # Errors
/// The first line that breaks a rule, and which.
pub fn parse(text: &str) -> Result<Page, String> {
    let body = text
        .strip_suffix("# EOF\n")
        .ok_or("it does not end with # EOF")?;
    let mut page = Page::default();
    let mut family = Family::default();
    let mut names = BTreeSet::new();
    for line in body.lines() {
        let step = match line.strip_prefix("# ") {
            Some(rest) => describe(rest, &mut family, &mut names, &mut page),
            None => sample(line, &mut family, &mut page),
        };
        step.map_err(|reason| format!("{line:?}: {reason}"))?;
    }
    for (name, kind) in &page.kinds {
        if kind == "histogram" {
            check_histogram(&page, name).map_err(|reason| format!("{name}: {reason}"))?;
        }
    }
    Ok(page)
}

fn describe(
    rest: &str,
    family: &mut Family,
    names: &mut BTreeSet<String>,
    page: &mut Page,
) -> Result<(), String> {
    let mut words = rest.splitn(3, ' ');
    let mut next = || words.next().filter(|word| !word.is_empty());
    let (Some(what), Some(name), Some(value)) = (next(), next(), next()) else {
        return Err("no description".to_owned());
    };
    if family.name != name {
        if !names.insert(name.to_owned()) {
            return Err("its family is there twice".to_owned());
        }
        *family = Family {
            name: name.to_owned(),
            ..Family::default()
        };
    }
    if family.has_samples {
        return Err("a description after samples".to_owned());
    }
    match what {
        "HELP" if !family.has_help && !value.contains(['\\', '"']) => family.has_help = true,
        "TYPE" if family.kind.is_none() => {
            if !["counter", "gauge", "histogram"].contains(&value) {
                return Err("an unknown type".to_owned());
            }
            family.kind = Some(value.to_owned());
            page.kinds.insert(name.to_owned(), value.to_owned());
        }
        "UNIT" if name.ends_with(&format!("_{value}")) => {}
        _ => return Err("a description that is wrong or repeated".to_owned()),
    }
    Ok(())
}

fn sample(line: &str, family: &mut Family, page: &mut Page) -> Result<(), String> {
    let (series, value) = line.rsplit_once(' ').ok_or("no value")?;
    let (name, labels) = match series.split_once('{') {
        Some((name, rest)) => (
            name,
            parse_labels(rest.strip_suffix('}').ok_or("labels without an end")?)?,
        ),
        None => (series, Labels::new()),
    };
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if name.is_empty() || !name.chars().all(fits) {
        return Err("a bad name".to_owned());
    }
    let suffix = name.strip_prefix(&family.name).ok_or("another's family")?;
    let kind = family.kind.as_deref().ok_or("no type")?;
    let suffixes: &[&str] = match kind {
        "counter" => &["_total"],
        "gauge" => &[""],
        _ => &["_bucket", "_sum", "_count"],
    };
    if !family.has_help || !suffixes.contains(&suffix) {
        return Err("no help, or a suffix that its type does not have".to_owned());
    }
    family.has_samples = true;
    let value: f64 = value.parse().map_err(|_| "no number")?;
    if !value.is_finite() || (kind != "gauge" && value < 0.0) {
        return Err("a value that its type does not have".to_owned());
    }
    let series = page.samples.entry(name.to_owned()).or_default();
    if series.insert(labels, value).is_some() {
        return Err("it is there twice".to_owned());
    }
    Ok(())
}

fn parse_labels(text: &str) -> Result<Labels, String> {
    let mut labels = Labels::new();
    for pair in text.split(',') {
        let (name, value) = pair.split_once('=').ok_or("no label")?;
        let value = value.strip_prefix('"').and_then(|it| it.strip_suffix('"'));
        let value = value.ok_or("a label's value without quotes")?;
        if labels.insert(name.to_owned(), value.to_owned()).is_some() {
            return Err("a label twice".to_owned());
        }
    }
    Ok(labels)
}

/// Buckets only grow, the last one is all, and there is a sum.
fn check_histogram(page: &Page, name: &str) -> Result<(), String> {
    let empty = BTreeMap::new();
    let of = |suffix: &str| page.samples.get(&format!("{name}_{suffix}"));
    let mut buckets: BTreeMap<Labels, Vec<(f64, f64)>> = BTreeMap::new();
    for (labels, count) in of("bucket").unwrap_or(&empty) {
        let mut rest = labels.clone();
        let bound = rest.remove("le").ok_or("a bucket without le")?;
        let bound = bound.replace("+Inf", "inf");
        let bound: f64 = bound.parse().map_err(|_| "le is no number")?;
        buckets.entry(rest).or_default().push((bound, *count));
    }
    for (labels, mut found) in buckets {
        found.sort_by(|a, b| a.0.total_cmp(&b.0));
        let grows = found.windows(2).all(|two| two[0].1 <= two[1].1);
        let last = found.last().ok_or("no buckets")?;
        let count = of("count").and_then(|it| it.get(&labels));
        let sum = of("sum").and_then(|it| it.get(&labels));
        if !grows || last.0 != f64::INFINITY || count != Some(&last.1) || sum.is_none() {
            return Err(format!(
                "{labels:?}: {found:?}, count {count:?}, sum {sum:?}"
            ));
        }
    }
    Ok(())
}
