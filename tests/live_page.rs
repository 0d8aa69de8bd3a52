//! The live page in a real browser: it shows what the node does, as it does it, says when the node is
//! gone, and comes back with it.

#![allow(clippy::unwrap_used)] // Helpers of a test fail like the test itself.

#[path = "support/browser.rs"]
mod browser;
#[path = "support/http.rs"]
mod http;
#[path = "support/load.rs"]
mod load;
#[path = "support/node.rs"]
mod node;
#[path = "support/random.rs"]
mod random;
#[path = "support/skip.rs"]
mod skip;

use std::net::TcpListener;
use std::path::Path;

use browser::Browser;
use load::Load;
use node::{Node, Setup};
use random::Random;

/// A node whose control port has a number that it keeps over a restart, and where that is.
fn start() -> (Node, String) {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap().to_string();
    drop(free);
    let mut setup = Setup::with_cores(2);
    setup
        .config
        .push_str(&format!("[control]\nhttp = \"{address}\"\n"));
    (Node::start(setup), address)
}

/// Runs `look` while a client submits from all over the world.
fn under_load<T>(node: &Node, client: u16, look: impl FnOnce() -> T) -> T {
    let load = Load::default();
    let address = node.address();
    std::thread::scope(|scope| {
        scope.spawn(|| load.run(client, &address, Random::seeded(client.into())));
        let stop = StopAtEnd(&load);
        let seen = look();
        drop(stop);
        seen
    })
}

/// Stops the load also where what was looked for was not found.
struct StopAtEnd<'a>(&'a Load);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// Pictures for people, where somebody wants them.
fn keep(browser: &mut Browser, name: &str) {
    let picture = browser.picture();
    assert!(picture.starts_with(b"\x89PNG"), "{name}");
    if let Some(folder) = std::env::var_os("CORELANE_PICTURES") {
        std::fs::write(Path::new(&folder).join(name), picture).unwrap();
    }
}

#[test]
fn a_browser_shows_every_shard_and_figures_that_move() {
    let Some(program) = browser::find() else {
        return skip::skip("needs a browser: chromium");
    };
    let (mut node, address) = start();
    let mut browser = Browser::start(&program);
    browser.resize((1280, 900), "light");
    browser.open(&format!("http://{address}/"));
    browser.until("document.querySelectorAll('#shards tbody tr').length === 8");
    let processed = "[...document.querySelectorAll('#shards tbody tr')]\
        .reduce((sum, row) => sum + Number(row.cells[6].textContent.replaceAll(',', '')), 0)";
    // Of all eight at some time; at a low rate not each has some in the same second.
    let is_moving = "document.querySelectorAll('#map circle.shard').length === 8 \
        && [...document.querySelectorAll('#shards tbody tr')].every((row) => /[1-9]/.test(row.cells[6].textContent)) \
        && document.querySelectorAll('#map circle.pulse').length > 0 \
        && /[1-9].*\\/s/.test(document.querySelector('[data-figure=\"processed\"]').textContent)";
    under_load(&node, 1, || {
        browser.until(is_moving);
        browser.until("document.querySelectorAll('#map path.flow').length >= 8");
        let before = browser.value(processed).as_u64().unwrap();
        assert!(before > 0);
        browser.until(&format!("{processed} > {before}"));
        // Each curve has a line by now, and none of them a place that is no number.
        let drawn = "[...document.querySelectorAll('#charts path.series')]\
            .every((path) => path.getAttribute('d').includes('L'))";
        browser.until(drawn);
        let lines = browser.value("document.querySelectorAll('#charts path.series').length");
        assert_eq!(lines, 2 + 3 + 3 + 2);
        let markup = browser.value("document.documentElement.outerHTML");
        for wrong in ["NaN", "undefined", "Infinity"] {
            let body = markup.as_str().unwrap().split("</main>").next().unwrap();
            assert!(!body.contains(wrong), "{wrong}");
        }
        for (name, size, scheme) in [
            ("wide-light.png", (1280, 900), "light"),
            ("wide-dark.png", (1280, 900), "dark"),
            ("phone-light.png", (400, 800), "light"),
            ("phone-dark.png", (400, 800), "dark"),
        ] {
            browser.resize(size, scheme);
            let width = size.0;
            // Drawn anew to that size, and nothing sticks out of it.
            browser.until(&format!(
                "innerWidth === {width} && document.querySelector('#map svg').clientWidth < {width} \
                 && document.querySelector('#map svg').clientWidth > {width} - 80 \
                 && document.documentElement.scrollWidth <= {width}"
            ));
            keep(&mut browser, name);
        }
    });
    assert!(browser.complaints.is_empty(), "{:?}", browser.complaints);
    node.kill9();
    browser.until("document.getElementById('state').textContent.startsWith('NO ANSWER')");
    browser.until("document.getElementById('main').classList.contains('old')");
    keep(&mut browser, "gone.png");
    node.restart();
    browser.until("document.getElementById('state').textContent === 'ready'");
    browser.until("!document.getElementById('main').classList.contains('old')");
    under_load(&node, 2, || browser.until(is_moving));
}

/// What the browser lets the page do: itself and nothing else.
#[test]
fn the_page_is_one_document_under_a_strict_policy() {
    let (node, address) = start();
    let page = http::get(&address, "/").unwrap();
    assert_eq!(page.code, 200);
    assert!(page.head.contains("content-type: text/html; charset=utf-8"));
    let policy = page
        .head
        .lines()
        .find_map(|line| line.strip_prefix("content-security-policy: "));
    let policy = policy.expect("a policy");
    assert!(policy.starts_with("default-src 'none';"), "{policy}");
    assert!(!policy.contains("unsafe"), "{policy}");
    assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
    assert!(!page.body.contains("{{"), "a mark was left");
    assert_eq!(page.body.matches("<script").count(), 1);
    drop(node);
}
