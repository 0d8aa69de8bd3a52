//! The live page: one document that needs nothing else and asks the node each second.
//!
//! Owns: putting it together, and what its browser may do with it. Never does: figures, which its
//! scripts get from the other paths like any other client.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use ring::digest::{SHA256, digest};

const PAGE: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = concat!(
    include_str!("base.js"),
    include_str!("land.js"),
    include_str!("map.js"),
    include_str!("charts.js"),
    include_str!("slow.js"),
    include_str!("page.js"),
);

/// The page and the policy that goes with it.
#[derive(Clone, Debug)]
pub(super) struct LivePage {
    /// HTML.
    pub body: Bytes,
    /// Content-Security-Policy: its own style and script and nothing else, and no other page around it.
    pub policy: String,
}

impl LivePage {
    /// Puts it together.
    pub fn new() -> LivePage {
        let body = PAGE
            .replacen("{{STYLE}}", STYLE, 1)
            .replacen("{{SCRIPT}}", SCRIPT, 1);
        let policy = format!(
            "default-src 'none'; script-src '{}'; style-src '{}'; connect-src 'self'; img-src data:; \
             base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
            source(SCRIPT),
            source(STYLE),
        );
        LivePage {
            body: body.into(),
            policy,
        }
    }
}

/// How a policy names an element by its text.
fn source(text: &str) -> String {
    let hash = digest(&SHA256, text.as_bytes());
    format!("sha256-{}", STANDARD.encode(hash))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_needs_nothing_outside_and_makes_no_markup_of_text() {
        let page = LivePage::new();
        let text = std::str::from_utf8(&page.body).unwrap();
        assert!(!text.contains("{{"), "a mark was left");
        assert_eq!(text.matches("<script").count(), 1);
        // The one address is the name of the kind of drawings, which nobody fetches.
        assert_eq!(text.matches("://").count(), 1);
        for outside in ["src=", "@import", "url(", "//cdn", "import("] {
            assert!(!text.contains(outside), "{outside}");
        }
        for way in [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            "setTimeout(\"",
        ] {
            assert!(!text.contains(way), "{way} makes markup or code of text");
        }
        assert!(!page.policy.contains("unsafe"), "{}", page.policy);
        // Of the empty text, as the standard has it.
        let empty = "sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
        assert_eq!(source(""), empty);
    }

    /// A land outline is most of the page; it is fetched once.
    #[test]
    fn the_page_is_small() {
        let bytes = LivePage::new().body.len();
        assert!(bytes < 64 << 10, "{bytes} bytes");
    }
}
