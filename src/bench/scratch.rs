//! A directory for the data of a benchmark.
//!
//! Owns: making and removing it. Never does: anything to what was there before.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use super::error::BenchError;

/// An empty directory that is removed, with all that came into it, when this is dropped.
#[derive(Debug)]
pub struct Scratch(PathBuf);

impl Scratch {
    /// Makes one in `parent`, which has to be there.
    ///
    /// # Errors
    /// The system refuses.
    pub fn make(parent: &Path) -> Result<Scratch, BenchError> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("corelane-bench-{}-{number}", std::process::id());
        let path = parent.join(name);
        match fs::create_dir(&path) {
            Ok(()) => Ok(Scratch(path)),
            Err(source) => Err(BenchError::File { path, source }),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            tracing::warn!(path = %self.0.display(), %error, "temporary data is left behind");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_made_is_gone_and_what_was_there_stays() {
        let parent = tempfile::tempdir().unwrap();
        let (first, second) = (
            Scratch::make(parent.path()).unwrap(),
            Scratch::make(parent.path()).unwrap(),
        );
        fs::write(first.path().join("segment"), "data").unwrap();
        drop(first);
        assert!(second.path().is_dir());
        drop(second);
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
        let nowhere = parent.path().join("nowhere");
        assert!(matches!(
            Scratch::make(&nowhere),
            Err(BenchError::File { .. })
        ));
    }
}
