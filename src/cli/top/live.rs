//! The loop of the live view: keys and figures in, the screen out.
//!
//! Owns: the terminal, which is given back as it was, also on a panic; the thread that asks the node.
//! Never does: drawing ([`super::view`]). Runs on: the main thread.

use std::io;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::client::Node;
use super::model::Status;
use super::view::View;

/// How long a key may wait at the most, and new figures as well.
const TICK: Duration = Duration::from_millis(50);

/// Lines of a page up or down.
const PAGE: i16 = 10;

/// What came of asking the node; a text says why nothing did.
type Told = Result<Status, String>;

/// What a key asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    Quit,
    Scroll(i16),
    Nothing,
}

/// Shows the node, which has told `first`, until a key says stop.
pub(super) fn run(node: Node, interval: Duration, first: Status) -> io::Result<()> {
    let mut view = View::new(node.address(), first);
    let (tell, told) = mpsc::channel();
    // Dropped at the end, which ends the thread; an answer that it waits for then is not awaited.
    let (_stop, stopped) = mpsc::channel();
    thread::Builder::new()
        .name("ask".to_owned())
        .spawn(move || ask(&node, interval, &tell, &stopped))?;
    let mut terminal = ratatui::try_init()?;
    let shown = show(&mut terminal, &mut view, &told);
    shown.and(ratatui::try_restore())
}

/// Asks again and again until nobody wants to know.
fn ask(node: &Node, interval: Duration, tell: &Sender<Told>, stopped: &Receiver<()>) {
    while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(interval) {
        let told = node.told().map(|(status, _)| status);
        let told = told.map_err(|error| error.to_string());
        if tell.send(told).is_err() {
            return;
        }
    }
}

fn show(terminal: &mut DefaultTerminal, view: &mut View, told: &Receiver<Told>) -> io::Result<()> {
    let mut answered = Instant::now();
    loop {
        terminal.draw(|frame| view.draw(frame))?;
        // A resize ends the wait as well; the next turn draws to the new size.
        if event::poll(TICK)? {
            match event::read()? {
                Event::Key(key) => match wish(key) {
                    Wish::Quit => return Ok(()),
                    Wish::Scroll(lines) => view.scroll(lines),
                    Wish::Nothing => {}
                },
                Event::Resize(_, _)
                | Event::FocusGained
                | Event::FocusLost
                | Event::Mouse(_)
                | Event::Paste(_) => {}
            }
        }
        for told in told.try_iter() {
            match told {
                Ok(status) => {
                    answered = Instant::now();
                    view.show(status);
                }
                Err(reason) => view.show_gone(answered.elapsed(), reason),
            }
        }
    }
}

#[allow(clippy::wildcard_enum_match_arm)] // All the keys there are; most mean nothing here.
fn wish(key: KeyEvent) -> Wish {
    // Some terminals tell of a key's release, too.
    if key.kind == KeyEventKind::Release {
        return Wish::Nothing;
    }
    if key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL) {
        return Wish::Quit;
    }
    match key.code {
        KeyCode::Char('q') | KeyCode::Esc => Wish::Quit,
        KeyCode::Up | KeyCode::Char('k') => Wish::Scroll(-1),
        KeyCode::Down | KeyCode::Char('j') => Wish::Scroll(1),
        KeyCode::PageUp => Wish::Scroll(-PAGE),
        KeyCode::PageDown => Wish::Scroll(PAGE),
        KeyCode::Home => Wish::Scroll(i16::MIN),
        KeyCode::End => Wish::Scroll(i16::MAX),
        _ => Wish::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_that_quit_quit() {
        let key = |code| KeyEvent::new(code, KeyModifiers::NONE);
        assert_eq!(wish(key(KeyCode::Char('q'))), Wish::Quit);
        assert_eq!(wish(key(KeyCode::Esc)), Wish::Quit);
        let interrupt = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        assert_eq!(wish(interrupt), Wish::Quit);
        assert_eq!(wish(key(KeyCode::Char('c'))), Wish::Nothing);
        assert_eq!(wish(key(KeyCode::Down)), Wish::Scroll(1));
        let release = KeyEvent::new_with_kind(
            KeyCode::Char('q'),
            KeyModifiers::NONE,
            KeyEventKind::Release,
        );
        assert_eq!(wish(release), Wish::Nothing);
    }

    /// The thread that asks ends with the view, and a node that is not there is told as such.
    #[test]
    fn a_node_that_is_not_there_is_told_until_nobody_listens() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let node = Node::new(address);
        let (tell, told) = mpsc::channel();
        let (stop, stopped) = mpsc::channel();
        let asking = thread::spawn(move || ask(&node, Duration::from_millis(1), &tell, &stopped));
        for _ in 0..2 {
            let reason = told.recv().unwrap().unwrap_err();
            assert!(reason.contains(&address.to_string()), "{reason}");
        }
        drop(stop);
        asking.join().unwrap();
    }
}
