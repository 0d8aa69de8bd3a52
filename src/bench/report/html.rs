//! A report as one page that needs nothing else: figures, pictures, the machine.
//!
//! Owns: putting the page together. Never does: drawing, which its script does in the browser; it
//! puts every text in as text, so that none can become markup.

use super::model::Report;

const PAGE: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// The page. It refers to nothing outside, and tells the browser to fetch nothing.
pub fn page(report: &Report) -> String {
    let json = serde_json::to_string(report).expect("text, lists, maps with text keys and numbers");
    // The data last: it is the only part that others wrote, and may hold the marks of the others.
    PAGE.replacen("{{STYLE}}", STYLE, 1)
        .replacen("{{SCRIPT}}", SCRIPT, 1)
        .replacen("{{DATA}}", &inert(&json), 1)
}

/// JSON that no parser of HTML takes for the end of its element, or for a comment in it.
fn inert(json: &str) -> String {
    json.replace('<', "\\u003c")
}
