//! A step of the stage that failed.

use std::fmt::Display;
use std::path::Path;

use crate::program::shown;

/// A step that failed, and why: no more is done, and the caller hears it.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) step: String,
    pub(super) reason: String,
}

/// Says what was about to be done.
pub(super) trait At<T> {
    /// Names the step.
    fn at(self, step: &str) -> Result<T, Failed>;
    /// Names the step and what it was done to.
    fn at_path(self, step: &str, path: &Path) -> Result<T, Failed>;
}

// === impl At ===

impl<T, E: Display> At<T> for Result<T, E> {
    fn at(self, step: &str) -> Result<T, Failed> {
        self.map_err(|error| Failed { step: step.to_owned(), reason: error.to_string() })
    }

    fn at_path(self, step: &str, path: &Path) -> Result<T, Failed> {
        self.map_err(|error| Failed {
            step: format!("{step} `{}`", shown(path)),
            reason: error.to_string(),
        })
    }
}
