//! The command line of a service: `--config FILE`, `--socket PATH`, and at most a verb before or between
//! them.

use std::{
    ffi::OsString,
    fmt::Display,
    path::{Path, PathBuf},
    process::ExitCode,
};

/// What the command line says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Words {
    /// The configuration.
    pub config: PathBuf,
    /// The socket to serve; without one, the one that systemd opened.
    pub socket: Option<PathBuf>,
    /// What else there was: a verb, and what belongs to it.
    pub rest: Vec<String>,
}

/// The command line is not understood.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct UsageError(&'static str);

// === impl Words ===

impl Words {
    /// Reads what follows a program's name. Without `--config` the configuration is at `config`; `usage` is
    /// said of what cannot be read.
    ///
    /// # Errors
    ///
    /// When a flag is unknown, or lacks its value.
    pub fn read(
        words: impl IntoIterator<Item = OsString>,
        config: &str,
        usage: &'static str,
    ) -> Result<Self, UsageError> {
        let config = Path::new(config).to_owned();
        let mut found = Self { config, socket: None, rest: Vec::new() };
        let mut words = words.into_iter();
        while let Some(word) = words.next() {
            let mut value = || words.next().map(PathBuf::from).ok_or(UsageError(usage));
            match word.to_str() {
                Some("--config") => found.config = value()?,
                Some("--socket") => found.socket = Some(value()?),
                Some(word) if !word.starts_with('-') => found.rest.push(word.to_owned()),
                _ => return Err(UsageError(usage)),
            }
        }
        Ok(found)
    }

    /// Returns what else there was, to be matched.
    pub fn rest(&self) -> Vec<&str> {
        self.rest.iter().map(String::as_str).collect()
    }
}

/// Ends a service: says under its `name` why, if it failed.
pub fn ended<E: Display>(name: &str, result: Result<(), E>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{name}: {error:#}");
            ExitCode::from(UNAVAILABLE)
        }
    }
}

/// The exit code of a service that cannot serve.
const UNAVAILABLE: u8 = 69;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(words: &[&str]) -> Result<Words, UsageError> {
        Words::read(words.iter().map(OsString::from), "/etc/x", "usage: x")
    }

    #[test]
    fn a_verb_and_flags_are_read_in_any_order_and_nothing_else() {
        let words = read(&["forget", "--config", "/y", "2026-01-01", "--socket", "/z"]).unwrap();
        assert_eq!(words.rest(), ["forget", "2026-01-01"]);
        assert_eq!((words.config, words.socket), ("/y".into(), Some("/z".into())));
        assert_eq!(read(&[]).unwrap().config, Path::new("/etc/x"));
        for wrong in [&["--config"][..], &["--sockets", "/z"], &["-h"], &["forget", "--socket"]] {
            assert_eq!(read(wrong).unwrap_err().to_string(), "usage: x", "{wrong:?}");
        }
    }
}
