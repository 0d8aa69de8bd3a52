//! A progress bar, where somebody watches.
//!
//! Owns: the bar's look, on standard error. Never does: anything where that is no terminal.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How far a command has come. Cheap to update: drawn at most ten times a second.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// Starts a bar for `total` transactions, or one without end where that is not known. Hidden
    /// where standard error is no terminal.
    pub fn start(total: Option<u64>) -> Progress {
        let template = match total {
            Some(_) => "{elapsed_precise} {wide_bar} {pos}/{len} {per_sec}",
            None => "{elapsed_precise} {spinner} {pos} {per_sec}",
        };
        let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr_with_hz(10))
            .with_style(ProgressStyle::with_template(template).expect("constant and valid"));
        if !bar.is_hidden() {
            bar.enable_steady_tick(Duration::from_millis(100));
        }
        Progress { bar }
    }

    /// `done` transactions are done.
    pub fn set(&self, done: u64) {
        self.bar.set_position(done);
    }

    /// Prints a line above the bar, or just prints it where there is none.
    pub fn note(&self, line: &str) {
        self.bar.suspend(|| eprintln!("{line}"));
    }
}

/// Also on the way out of an error, so that the message is not drawn over.
impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_looks_are_valid() {
        for total in [None, Some(10)] {
            let progress = Progress::start(total);
            progress.set(5);
            assert_eq!(progress.bar.position(), 5);
        }
    }
}
