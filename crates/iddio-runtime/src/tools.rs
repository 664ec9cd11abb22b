//! The programs a home knows: pinned at first use, or trusted by hand.
//!
//! A pin says "this path had this content when it was first used". It is only a pin: in a personal
//! home the caller owns the file. What it buys is that a changed tool is noticed before it runs.
//! The hash is cached by what `stat` says (device, inode, size, times), so an unchanged tool costs no
//! read.

use std::{
    fs::Metadata,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use iddio_core::digest::Digest;
use serde::{Deserialize, Serialize};

use crate::{
    home::Home,
    store::{self, StoreError},
};

/// What `stat` says of an opened program. Two equal stamps are one unchanged file.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Stamp {
    /// The device.
    pub dev: u64,
    /// The inode.
    pub ino: u64,
    /// Bytes.
    pub size: u64,
    /// Modification time, nanoseconds since the epoch.
    pub mtime_ns: i64,
    /// Change time, nanoseconds since the epoch.
    pub ctime_ns: i64,
}

/// A program the home knows.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Known {
    /// Its canonical path.
    pub path: PathBuf,
    /// The SHA-256 of its content, hexadecimal.
    pub sha256: String,
    /// What `stat` said when it was hashed.
    pub stamp: Stamp,
    /// How it became known.
    pub by: By,
    /// When, RFC 3339.
    pub since: String,
}

/// How a program became known.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum By {
    /// Iddio pinned it at its first use from the tool path.
    Pin,
    /// Somebody said `iddio tool trust`.
    Trust,
}

/// How an opened program stands to what the home knows.
#[derive(Clone, Debug, Eq, PartialEq)]
#[must_use]
pub enum ToolStanding {
    /// Its content is not what it was.
    Changed(Known),
    /// It is the one that is known.
    Known(Known),
    /// Nobody has seen it.
    New,
}

/// The programs of a home.
#[derive(Debug)]
pub struct Tools<'a> {
    home: &'a Home,
}

// === impl Stamp ===

impl Stamp {
    /// Takes what `stat` said.
    pub fn of(metadata: &Metadata) -> Self {
        let nanoseconds = |seconds: i64, rest: i64| {
            seconds.saturating_mul(NANOSECONDS_PER_SECOND).saturating_add(rest)
        };
        Self {
            dev: metadata.dev(),
            ino: metadata.ino(),
            size: metadata.size(),
            mtime_ns: nanoseconds(metadata.mtime(), metadata.mtime_nsec()),
            ctime_ns: nanoseconds(metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

// === impl Tools ===

impl<'a> Tools<'a> {
    /// Takes the programs of `home`.
    pub fn of(home: &'a Home) -> Self {
        Self { home }
    }

    /// Returns every program.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub fn list(&self) -> Result<Vec<Known>, StoreError> {
        store::read::<Stored>(&self.home.tools()).map(|stored| stored.tools)
    }

    /// Tells how the program at `path` stands. `hash` reads it, and is called only where the stamp
    /// does not settle the matter.
    ///
    /// # Errors
    ///
    /// When the store cannot be read, or `hash` fails.
    pub fn standing<E: From<StoreError>>(
        &self,
        path: &Path,
        stamp: Stamp,
        hash: impl FnOnce() -> Result<Digest, E>,
    ) -> Result<ToolStanding, E> {
        let known = self.list()?.into_iter().find(|known| known.path == path);
        Ok(match known {
            None => ToolStanding::New,
            Some(known) if known.stamp == stamp => ToolStanding::Known(known),
            Some(known) => match hash()?.to_hex() == known.sha256 {
                true => ToolStanding::Known(known),
                false => ToolStanding::Changed(known),
            },
        })
    }

    /// Makes a program known, or known anew.
    ///
    /// # Errors
    ///
    /// When the store cannot be written.
    pub fn learn(&self, known: Known) -> Result<(), StoreError> {
        let _lock = store::lock(&self.home.root().join("tools.lock"))?;
        let mut stored: Stored = store::read(&self.home.tools())?;
        stored.tools.retain(|old| old.path != known.path);
        stored.tools.push(known);
        store::write(&self.home.tools(), &stored)
    }
}

/// The file.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    tools: Vec<Known>,
}

const NANOSECONDS_PER_SECOND: i64 = 1_000_000_000;
