//! Where the files of the host are that is looked at.
//!
//! Owns: choosing between the option and the environment. Never does: looking.

use std::ffi::OsString;
use std::path::PathBuf;

/// Where the environment says that the host's files are.
pub(super) const ROOT_VARIABLE: &str = "TUNING_ROOT";

/// The folder that stands for `/`.
///
/// # Errors
/// The option and the environment name different ones: changing one while the other is meant must
/// not happen.
pub(super) fn root(option: Option<PathBuf>, variable: Option<OsString>) -> Result<PathBuf, String> {
    let variable = variable.filter(|root| !root.is_empty()).map(PathBuf::from);
    match (option, variable) {
        (Some(option), Some(variable)) if option != variable => Err(format!(
            "--root is {}, {ROOT_VARIABLE} is {}; allowed: one of the two, or the same",
            option.display(),
            variable.display()
        )),
        (Some(root), _) | (None, Some(root)) => Ok(root),
        (None, None) => Ok(PathBuf::from("/")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_roots_are_an_error() {
        let path = |text: &str| Some(PathBuf::from(text));
        let variable = |text: &str| Some(OsString::from(text));
        assert_eq!(root(None, None), Ok(PathBuf::from("/")));
        assert_eq!(root(path("/a"), None), Ok(PathBuf::from("/a")));
        assert_eq!(root(None, variable("/b")), Ok(PathBuf::from("/b")));
        assert_eq!(root(None, variable("")), Ok(PathBuf::from("/")));
        assert_eq!(root(path("/a"), variable("/a")), Ok(PathBuf::from("/a")));
        let error = root(path("/"), variable("/b")).unwrap_err();
        assert!(error.contains("TUNING_ROOT is /b"), "{error}");
    }
}
