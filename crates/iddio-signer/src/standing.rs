//! What was signed last of the one log there is: which, how many records, which root.
//!
//! INVARIANT: a checkpoint is signed only if it is of that log, has no fewer records, and is proved to
//! begin with what was signed last; and what was signed last is on the disk before the signature
//! leaves. So nobody who holds the log, or the whole log service, can have two stories signed.

use std::{
    fs::File,
    io::Read,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use iddio_audit::wire::{Fields, object};
use iddio_core::{
    audit::{
        checkpoint::Checkpoint,
        tree::{self, Proof},
    },
    digest::Digest,
    json::Value,
};
use rustix::fs::OFlags;

use crate::ledger::replace;

/// What was signed last.
#[derive(Debug)]
pub struct Standing {
    dir: PathBuf,
    last: Option<Checkpoint>,
    health: Health,
}

/// A checkpoint is not signed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StandingError {
    /// It is of another log.
    #[error("it is of another log than the one that is signed for")]
    OtherLog,
    /// It has fewer records.
    #[error("it has {found} records, fewer than the {signed} that were signed for")]
    Fewer {
        /// How many it has.
        found: u64,
        /// How many were signed for.
        signed: u64,
    },
    /// It is not proved to begin with what was signed for.
    #[error("it is not proved to begin with the {0} records that were signed for")]
    Unproven(u64),
    /// It could not be written down.
    #[error("it cannot be written down: {0}")]
    Io(#[from] std::io::Error),
    /// An earlier write failed.
    #[error("an earlier write failed; nothing is signed until the signer is started anew")]
    Failed,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Health {
    Failed,
    Sound,
}

// === impl Standing ===

impl Standing {
    /// Reads what was signed last from `dir`.
    ///
    /// # Errors
    ///
    /// When it cannot be read, or is something else.
    pub fn open(dir: &Path) -> std::io::Result<Self> {
        let mut options = File::options();
        options.read(true).custom_flags(OFlags::NOFOLLOW.bits().cast_signed());
        let last = match options.open(dir.join(NAME)) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
            Ok(file) => {
                let mut text = Vec::new();
                file.take(BYTES_MAX).read_to_end(&mut text)?;
                let strange = || std::io::Error::other("the standing is damaged");
                Some(read(&text).ok_or_else(strange)?)
            }
        };
        Ok(Self { dir: dir.to_owned(), last, health: Health::Sound })
    }

    /// Returns what was signed last.
    pub fn last(&self) -> Option<&Checkpoint> {
        self.last.as_ref()
    }

    /// Takes note of a checkpoint that is about to be signed: it is on the disk when this returns.
    ///
    /// # Errors
    ///
    /// When it does not continue what was signed last, or cannot be written down.
    pub fn advance(&mut self, next: &Checkpoint, path: &[Digest]) -> Result<(), StandingError> {
        if self.health == Health::Failed {
            return Err(StandingError::Failed);
        }
        let begun = match &self.last {
            Some(last) if last.log_id != next.log_id => return Err(StandingError::OtherLog),
            Some(last) if next.size < last.size => {
                return Err(StandingError::Fewer { found: next.size, signed: last.size });
            }
            Some(last) => (last.size, last.root),
            None => (0, tree::empty_root()),
        };
        match tree::extends(begun.0, &begun.1, next.size, &next.root, path) {
            Proof::Holds if self.last.as_ref() == Some(next) => return Ok(()),
            Proof::Holds => {}
            Proof::Fails => return Err(StandingError::Unproven(begun.0)),
        }
        self.health = Health::Failed;
        self.write(next)?;
        self.health = Health::Sound;
        self.last = Some(next.clone());
        Ok(())
    }

    fn write(&self, next: &Checkpoint) -> std::io::Result<()> {
        let Checkpoint { log_id, size, root } = next;
        let text = object(vec![
            ("log_id", Value::text(log_id.as_str())),
            ("root", Value::Text(root.to_hex())),
            ("size", Value::Int(*size)),
        ]);
        replace(&self.dir, NAME, &text.to_canonical()).map(drop)
    }
}

fn read(text: &[u8]) -> Option<Checkpoint> {
    let mut fields = Fields::read(text).ok()?;
    let log_id = fields.text("log_id").ok()?;
    let root = fields.digest("root").ok()?;
    let size = fields.int("size").ok()?;
    fields.end().ok()?;
    Some(Checkpoint { log_id, size, root })
}

const NAME: &str = "standing";

/// More than a standing has.
const BYTES_MAX: u64 = 4_096;

#[cfg(test)]
mod tests {
    use std::fs;

    use iddio_core::audit::tree::{Frontier, Subtrees, leaf};

    use super::*;

    struct Leaves(Vec<Digest>);

    impl Subtrees for Leaves {
        type Error = std::convert::Infallible;

        fn subtree(&mut self, height: u32, place: u64) -> Result<Digest, Self::Error> {
            let start = usize::try_from(place << height).unwrap();
            let mut frontier = Frontier::default();
            self.0[start..start + (1 << height)].iter().for_each(|leaf| frontier.push(*leaf));
            Ok(frontier.root())
        }
    }

    fn log(count: u64, seed: u8) -> Leaves {
        let own = |n: u64| leaf(&Digest::of_bytes(&[n.to_le_bytes(), [seed; 8]].concat()));
        Leaves((0..count).map(own).collect())
    }

    fn at(leaves: &mut Leaves, size: u64) -> Checkpoint {
        let Ok(root) = tree::root(leaves, size);
        Checkpoint { log_id: "a".repeat(32), size, root }
    }

    #[test]
    fn one_log_is_signed_for_and_it_only_grows() {
        let dir = tempfile::tempdir().unwrap();
        let (mut own, mut forked) = (log(30, 1), log(30, 2));
        let mut standing = Standing::open(dir.path()).unwrap();
        standing.advance(&at(&mut own, 5), &[]).unwrap();
        let Ok(path) = tree::consistency(&mut own, 5, 12);
        standing.advance(&at(&mut own, 12), &path).unwrap();
        // The next signer knows what this one did.
        for mut standing in [standing, Standing::open(dir.path()).unwrap()] {
            assert_eq!(standing.last().unwrap().size, 12);
            standing.advance(&at(&mut own, 12), &[]).unwrap();
            let fewer = standing.advance(&at(&mut own, 5), &[]);
            assert!(matches!(fewer, Err(StandingError::Fewer { .. })), "{fewer:?}");
            let other = Checkpoint { log_id: "b".repeat(32), ..at(&mut own, 12) };
            assert!(matches!(standing.advance(&other, &[]), Err(StandingError::OtherLog)));
            let Ok(path) = tree::consistency(&mut forked, 12, 20);
            let forged = standing.advance(&at(&mut forked, 20), &path);
            assert!(matches!(forged, Err(StandingError::Unproven(12))));
            assert!(standing.advance(&at(&mut own, 20), &[]).is_err(), "no proof at all");
            let swapped = standing.advance(&at(&mut forked, 12), &[]);
            assert!(matches!(swapped, Err(StandingError::Unproven(12))));
        }
    }

    #[test]
    fn a_damaged_standing_signs_nothing() {
        let dir = tempfile::tempdir().unwrap();
        for text in ["", "{}", "{\"log_id\":\"a\",\"root\":\"00\",\"size\":1}"] {
            fs::write(dir.path().join(NAME), text).unwrap();
            assert!(Standing::open(dir.path()).is_err(), "{text}");
        }
    }
}
