//! The freezes of a home: who is stopped, kept so that every process sees it and none can miss it.
//!
//! INVARIANT: whoever the log says is frozen, the state says is frozen too. A freeze is state first
//! and record second, a thaw is record first and state second, both under one lock: a crash between
//! the two leaves somebody refused whom the log does not name, and never the other way round.
//! Nothing is acknowledged before both are durable.
//!
//! A state that is missing, damaged or unreadable freezes everybody. A human makes it anew from the
//! log ([`Freezes::repair`]).
//!
//! What this module does not do: decide who may freeze or thaw, or word it. That is the caller's.

mod record;
mod stored;
pub(crate) mod watch;

use std::{
    fs, io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use iddio_core::freeze::{FREEZES_MAX, Freeze, Freezer, Frozen, TEXT_BYTES_MAX, Whom};

use self::stored::Stored;
pub use self::{
    record::{recorded, set_event},
    watch::Watch,
};
use crate::{
    home::Home,
    stamped::Stamped,
    store::{self, Lock, StoreError},
};

/// The freezes of a home.
#[derive(Clone, Debug)]
pub struct Freezes {
    directory: PathBuf,
    /// What a look finds, read again when the file changed.
    seen: Arc<Stamped<Result<Vec<Freeze>, String>>>,
}

/// A freeze that is in force and is to be recorded before anyone is told. The lock is held as long
/// as this lives.
#[derive(Debug)]
#[must_use]
pub struct Pending {
    freeze: Freeze,
    was: Was,
    _lock: Lock,
}

/// How things stood before.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Was {
    /// The state cannot be read, so everybody was frozen, and still is.
    Damaged,
    /// They were frozen already; whether that is on record is for the log to say.
    Frozen,
    /// They were not.
    Free,
}

/// Freezes that are to be recorded as lifted before they are.
#[derive(Debug)]
#[must_use]
pub struct Lifting {
    path: PathBuf,
    lifted: Vec<Freeze>,
    left: Vec<Freeze>,
    _lock: Lock,
}

/// A state that is to be made anew, once that is recorded.
#[derive(Debug)]
#[must_use]
pub struct Repair {
    path: PathBuf,
    /// Who is frozen from then on.
    freezes: Vec<Freeze>,
    unrecorded: Vec<Freeze>,
    damage: Option<String>,
    _lock: Lock,
}

/// The freezes could not be changed.
#[derive(Debug, thiserror::Error)]
pub enum FreezeError {
    /// The state cannot be read, so everybody is frozen.
    #[error("who is frozen cannot be told, so everybody is: {reason}")]
    Damaged {
        /// Why not.
        reason: String,
    },
    /// There are too many.
    #[error("there are {FREEZES_MAX} freezes already")]
    Full,
    /// The reason is too long.
    #[error("a reason has at most {TEXT_BYTES_MAX} bytes")]
    Long,
    /// The state could not be written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Nobody of that kind is frozen.
    #[error("no freeze of {0}")]
    Unknown(String),
}

// === impl Freezes ===

impl Freezes {
    /// Takes the freezes of `home`.
    pub fn of(home: &Home) -> Self {
        Self::at(home.freezes())
    }

    fn at(directory: PathBuf) -> Self {
        let seen = Arc::new(Stamped::new(directory.join(STATE), list));
        Self { directory, seen }
    }

    /// Returns the directory, which changes whenever the freezes do.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Makes the state of a new home, in which nobody is frozen.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn furnish(root: &Path) -> Result<(), StoreError> {
        let directory = root.join(DIRECTORY);
        make(&directory)?;
        store::write(&directory.join(STATE), &Stored::of(&[]))
    }

    /// Returns who is frozen.
    ///
    /// # Errors
    ///
    /// With the reason why that cannot be told, in which case everybody is.
    pub fn list(&self) -> Result<Vec<Freeze>, String> {
        list(&self.state())
    }

    /// Freezes, for every process from this moment on. What is returned is to be recorded.
    ///
    /// # Errors
    ///
    /// When it cannot be written: then nothing changed, or `freeze` is in force, and the next call
    /// tells which.
    pub fn set(&self, freeze: Freeze) -> Result<Pending, FreezeError> {
        let texts = [freeze.reason.as_deref(), freeze.whom.name()];
        if texts.into_iter().flatten().any(|text| TEXT_BYTES_MAX < text.len()) {
            return Err(FreezeError::Long);
        }
        let lock = self.lock()?;
        let Ok(mut freezes) = self.list() else {
            return Ok(Pending { freeze, was: Was::Damaged, _lock: lock });
        };
        if let Some(known) = freezes.iter().find(|known| known.whom.is_same(&freeze.whom)) {
            return Ok(Pending { freeze: known.clone(), was: Was::Frozen, _lock: lock });
        }
        // There is always room for everybody.
        if FREEZES_MAX <= freezes.len() && freeze.whom != Whom::All {
            return Err(FreezeError::Full);
        }
        freezes.push(freeze.clone());
        store::write(&self.state(), &Stored::of(&freezes))?;
        Ok(Pending { freeze, was: Was::Free, _lock: lock })
    }

    /// Prepares to lift every freeze of `whom`.
    ///
    /// # Errors
    ///
    /// When there is none, or the state cannot be read.
    pub fn lift(&self, whom: &Whom) -> Result<Lifting, FreezeError> {
        let lock = self.lock()?;
        let freezes = self.list().map_err(|reason| FreezeError::Damaged { reason })?;
        let (lifted, left): (Vec<_>, Vec<_>) =
            freezes.into_iter().partition(|freeze| freeze.whom.is_same(whom));
        match lifted.is_empty() {
            true => Err(FreezeError::Unknown(whom.to_string())),
            false => Ok(Lifting { path: self.state(), lifted, left, _lock: lock }),
        }
    }

    /// Prepares to make the state anew: everybody whom the state, if it can be read, or the log says
    /// is frozen. `recorded` reads the log, under the lock.
    ///
    /// # Errors
    ///
    /// When the log cannot be read.
    pub fn repair<E: From<StoreError>>(
        &self,
        recorded: impl FnOnce() -> Result<Vec<Freeze>, E>,
    ) -> Result<Repair, E> {
        let lock = self.lock()?;
        let recorded = recorded()?;
        let (known, damage) = match self.list() {
            Ok(known) => (known, None),
            Err(reason) => (Vec::new(), Some(reason)),
        };
        let unrecorded = missing(&known, &recorded);
        let freezes = [known.clone(), missing(&recorded, &known)].concat();
        Ok(Repair { path: self.state(), freezes, unrecorded, damage, _lock: lock })
    }

    /// Where the state is.
    pub(crate) fn state(&self) -> PathBuf {
        self.directory.join(STATE)
    }

    fn lock(&self) -> Result<Lock, StoreError> {
        make(&self.directory)?;
        store::lock(&self.directory.join(LOCK))
    }
}

impl Freezer for Freezes {
    fn look(&self) -> Frozen {
        match &*self.seen.now() {
            Ok(freezes) => Frozen::These(freezes.clone()),
            Err(reason) => Frozen::Unknown { reason: reason.clone() },
        }
    }
}

// === impl Pending ===

impl Pending {
    /// The freeze that is in force.
    pub fn freeze(&self) -> &Freeze {
        &self.freeze
    }

    /// How things stood before.
    pub fn was(&self) -> Was {
        self.was
    }
}

// === impl Lifting ===

impl Lifting {
    /// The freezes to be lifted. Each is to be recorded before [`Self::finish`].
    pub fn freezes(&self) -> &[Freeze] {
        &self.lifted
    }

    /// Lifts them.
    ///
    /// # Errors
    ///
    /// When the state cannot be written: they may be in force still, and lifting them again ends it.
    pub fn finish(self) -> Result<(), StoreError> {
        store::write(&self.path, &Stored::of(&self.left))
    }
}

// === impl Repair ===

impl Repair {
    /// Who is frozen from then on.
    pub fn freezes(&self) -> &[Freeze] {
        &self.freezes
    }

    /// Who was frozen without a record. Each is to be recorded before [`Self::finish`].
    pub fn unrecorded(&self) -> &[Freeze] {
        &self.unrecorded
    }

    /// What was wrong with the state, if it could not be read.
    pub fn damage(&self) -> Option<&str> {
        self.damage.as_deref()
    }

    /// Writes the state.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn finish(self) -> Result<(), StoreError> {
        store::write(&self.path, &Stored::of(&self.freezes))
    }
}

/// Returns those of `these` that are not among `others`.
pub fn missing(these: &[Freeze], others: &[Freeze]) -> Vec<Freeze> {
    let known = |freeze: &&Freeze| !others.iter().any(|other| other.id == freeze.id);
    these.iter().filter(known).cloned().collect()
}

fn list(path: &Path) -> Result<Vec<Freeze>, String> {
    let bytes = store::read_bytes(path).map_err(|error| error.to_string())?;
    let bytes = bytes.ok_or_else(|| format!("`{}` is missing", path.display()))?;
    let damaged = |reason: String| format!("`{}` is damaged: {reason}", path.display());
    Stored::read(&bytes).map_err(damaged)
}

fn make(directory: &Path) -> Result<(), StoreError> {
    match fs::DirBuilder::new().mode(0o700).create(directory) {
        Err(source) if source.kind() != io::ErrorKind::AlreadyExists => {
            Err(StoreError::Io { path: directory.to_owned(), source })
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Where they are in a home.
pub(crate) const DIRECTORY: &str = "freezes";

const STATE: &str = "state.json";

const LOCK: &str = "lock";

#[cfg(test)]
mod tests;
