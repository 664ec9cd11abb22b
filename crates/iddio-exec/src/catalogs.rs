//! The catalogs of an installation: those in the home, and those of the machine.
//!
//! INVARIANT: all of them are read or none is. A file that is no sound catalog makes the whole set
//! unusable, and [`crate::prepare`] then refuses what it would have judged: a rule that somebody
//! wrote to raise a tier must not vanish with a typing error.
//!
//! A catalog raises. It also lowers, for programs that no built-in catalog knows, once its content is
//! trusted: by `iddio catalog trust`, or by policy's `trusted`.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use iddio_classify::{
    catalog::{Added, CatalogError, Lowering, Weight},
    command::CatalogIdentity,
};
use iddio_core::digest::Digest;
use iddio_runtime::{
    home::Home,
    store::{self, StoreError},
};

/// The catalogs of an installation, as they are now.
#[derive(Clone, Debug)]
pub enum Catalogs {
    /// At least one cannot be used, so that none is.
    Broken {
        /// Which, where and why: `catalogs/x.toml:3:1: …`.
        reason: String,
    },
    /// All of them, in the order of their names.
    Sound(Vec<Found>),
}

/// A catalog that was found.
#[derive(Clone, Debug)]
pub struct Found {
    /// Where it lies.
    pub path: PathBuf,
    /// It.
    pub added: Added,
}

/// Why the catalogs cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CatalogsError {
    /// A file is no catalog.
    #[error("{}:{error}", path.display())]
    Catalog {
        /// Which file.
        path: PathBuf,
        /// Where and why.
        error: CatalogError,
    },
    /// The directory could not be read.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which directory.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// There are more files than anybody looks over.
    #[error("{}: more than {CATALOGS_MAX} catalogs", path.display())]
    Many {
        /// In which directory.
        path: PathBuf,
    },
    /// A file could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Two catalogs are for one program: which of them lowers it would be a matter of chance.
    #[error("{}: `{program}` has another catalog, {}", path.display(), other.display())]
    Twice {
        /// The second.
        path: PathBuf,
        /// The first.
        other: PathBuf,
        /// The program.
        program: String,
    },
}

// === impl Catalogs ===

impl Catalogs {
    /// Reads the catalogs of a home and of the machine. `trusted` are the contents somebody vouched
    /// for.
    pub fn load(home: &Home, trusted: &[(PathBuf, Digest)]) -> Self {
        match read_all(&[home.catalogs(), PathBuf::from(MACHINE)], trusted) {
            Ok(found) => Self::Sound(found),
            Err(error) => Self::Broken { reason: error.to_string() },
        }
    }

    /// Takes none.
    pub fn none() -> Self {
        Self::Sound(Vec::new())
    }

    /// Returns those that judge; none where they cannot be used.
    pub fn added(&self) -> Arc<[Added]> {
        self.found().iter().map(|found| found.added.clone()).collect()
    }

    /// Returns those that were found; none where they cannot be used.
    pub fn found(&self) -> &[Found] {
        match self {
            Self::Broken { .. } => &[],
            Self::Sound(found) => found,
        }
    }

    /// Returns what identifies them in an action.
    pub fn identities(&self) -> Vec<CatalogIdentity> {
        self.found().iter().map(|found| found.added.identity()).collect()
    }
}

// === impl Found ===

impl Found {
    /// Returns what it lowers, in words.
    pub fn lowered(&self) -> Vec<String> {
        let file = self.path.file_name().unwrap_or(self.path.as_os_str());
        let told = |lowering: Lowering| {
            let Lowering { command, from, to } = lowering;
            format!("`{command}` from {from} to {to} ({})", file.display())
        };
        self.added.lowerings().into_iter().map(told).collect()
    }
}

fn read_all(
    directories: &[PathBuf],
    trusted: &[(PathBuf, Digest)],
) -> Result<Vec<Found>, CatalogsError> {
    let mut found: Vec<Found> = Vec::new();
    for directory in directories {
        for path in files(directory)? {
            let new = read(&path, trusted)?;
            for program in new.added.catalog().programs() {
                let has = |other: &&Found| other.added.catalog().programs().contains(program);
                if let Some(other) = found.iter().find(has) {
                    let (other, program) = (other.path.clone(), program.clone());
                    return Err(CatalogsError::Twice { path, other, program });
                }
            }
            found.push(new);
        }
    }
    Ok(found)
}

/// Returns the catalogs of a directory, sorted; a directory that is not there has none.
fn files(directory: &Path) -> Result<Vec<PathBuf>, CatalogsError> {
    let io = |source| CatalogsError::Io { path: directory.to_owned(), source };
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(io(source)),
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(io)?.path();
        if path.extension().is_some_and(|end| end == "toml") {
            files.push(path);
        }
        if CATALOGS_MAX < files.len() {
            return Err(CatalogsError::Many { path: directory.to_owned() });
        }
    }
    files.sort();
    Ok(files)
}

fn read(path: &Path, trusted: &[(PathBuf, Digest)]) -> Result<Found, CatalogsError> {
    let bytes = store::read_bytes(path)?.unwrap_or_default();
    let broken = |line, column, message| CatalogsError::Catalog {
        path: path.to_owned(),
        error: CatalogError { line, column, message },
    };
    let text = String::from_utf8(bytes).map_err(|_| broken(1, 1, "not UTF-8".to_owned()))?;
    let digest = Digest::of_bytes(text.as_bytes());
    let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let vouched = trusted.iter().any(|(path, content)| *path == real && *content == digest);
    let weight = if vouched { Weight::Replaces } else { Weight::Raises };
    let added = Added::parse(&text, weight)
        .map_err(|error| broken(error.line, error.column, error.message))?;
    Ok(Found { path: path.to_owned(), added })
}

/// Where services have their catalogs.
const MACHINE: &str = "/etc/iddio/catalogs";

/// The most catalogs of one directory: as many as somebody can look over.
const CATALOGS_MAX: usize = 256;
