//! Which recordings there are, and which one somebody means.

use std::path::{Path, PathBuf};

use iddio_core::operation::OperationId;
use iddio_record::{
    read::{self, Contents, ReadError, Track},
    store,
};

use crate::{exit::Failure, output::foreign};

/// A recording, and what is in it.
pub(super) struct Found {
    /// Its id.
    pub(super) recording: OperationId,
    /// Its file.
    pub(super) path: PathBuf,
    /// What its operations say of themselves.
    pub(super) contents: Contents,
}

/// What somebody means: a recording, and some or all of its operations.
pub(super) struct Picked {
    /// Its id.
    pub(super) recording: OperationId,
    /// Its file.
    pub(super) path: PathBuf,
    /// The operations.
    pub(super) tracks: Vec<Track>,
}

/// Returns all recordings, oldest first. A file that is none is left to the verifier.
pub(super) fn all(dir: &Path) -> Result<Vec<Found>, Failure> {
    let mut found = Vec::new();
    for (recording, ..) in store::list(dir).map_err(Failure::unavailable)? {
        let path = store::path(dir, recording);
        match read::skim(&path) {
            Ok(contents) => found.push(Found { recording, path, contents }),
            Err(ReadError::NotOne) => {}
            Err(error) => return Err(Failure::unavailable(format!("{recording}: {error}"))),
        }
    }
    Ok(found)
}

/// Returns the one recording, or the one operation in one, whose id begins so.
pub(super) fn pick(dir: &Path, id: &str) -> Result<Picked, Failure> {
    let begins = |own: OperationId| own.to_string().starts_with(id);
    let none =
        || Failure::usage(format!("no recording of `{}`", foreign(id))).hint("iddio sessions list");
    if id.is_empty() {
        return Err(none());
    }
    let mut picked: Option<Picked> = None;
    for Found { recording, path, contents } in all(dir)? {
        let tracks: Vec<_> = match begins(recording) {
            true => contents.tracks,
            false => contents.tracks.into_iter().filter(|t| begins(t.operation)).collect(),
        };
        if tracks.is_empty() {
            continue;
        }
        if picked.is_some() {
            return Err(Failure::usage(format!("`{}` is the beginning of several", foreign(id)))
                .hint("say more of the id"));
        }
        picked = Some(Picked { recording, path, tracks });
    }
    picked.ok_or_else(none)
}
