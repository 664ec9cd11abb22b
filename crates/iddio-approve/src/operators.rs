//! The humans who may answer, and the keys they answer with.
//!
//! The registry is one file in the home, `operators.json`, private to its owner. Assurance is
//! written down when a key is enrolled, and says what was seen then: `passphrase` for a key made
//! here under a passphrase, `hardware` for a key in hardware that signs when touched, and for any
//! other key what the person who enrols it states about where the private half lies.
//!
//! In a personal home whoever owns the files can write this one too. So every change made here
//! yields an administrative record for the audit log, with the key; `iddio doctor` compares the two
//! and names a key that no record mentions.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use iddio_core::{
    approval::Assurance,
    audit::{AdminEvent, Field},
    digest::Digest,
    principal::{Principal, PrincipalId},
    text::RawText,
    time::Timestamp,
};
use iddio_mint::{
    ApproverKey, ApproverPublic, FileError, Passphrase,
    approver::{KeyError, KeyKind, PublicError},
    open_private,
};
use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};

/// The operators of one home.
#[derive(Clone, Debug)]
pub struct Registry {
    dir: PathBuf,
    operators: Vec<Operator>,
}

/// A human who may answer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Operator {
    /// The principal: `human:ada`.
    pub id: PrincipalId,
    /// Other names of the same person, for example their Unix user.
    pub aliases: Vec<PrincipalId>,
    /// The groups policy may name.
    pub groups: Vec<String>,
    /// The key, if one is enrolled.
    pub key: Option<OperatorKey>,
    /// When they were added.
    pub enrolled: Timestamp,
    /// When they lost the right to answer, if they did.
    pub revoked: Option<Timestamp>,
}

/// An enrolled key.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct OperatorKey {
    /// The public half.
    pub public: ApproverPublic,
    /// What a signature by it is worth.
    pub assurance: Assurance,
    /// The file of the private half, if it was made here.
    pub file: Option<PathBuf>,
}

/// Where the private half of a key made elsewhere lies, as the person who enrols it states. Nobody
/// can check it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Custody {
    /// Within reach of the Unix user that asks: its signature proves nothing (assurance `none`).
    Here,
    /// Out of that user's reach: another machine, another user (assurance `uid`).
    Elsewhere,
}

/// What is said about a new operator.
#[derive(Clone, Debug, Default)]
pub struct Profile {
    /// The groups policy may name.
    pub groups: Vec<String>,
    /// Their Unix users on this machine. The one that is called as they are is always one.
    pub unix_users: Vec<String>,
}

/// The registry could not be read or changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// The file could not be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// The file is not a registry.
    #[error("`{}` is damaged: {reason}", .path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// There is one of that name.
    #[error("operator `{0}` exists already")]
    Exists(String),
    /// The key is enrolled for somebody else.
    #[error("this key is enrolled for `{0}` already")]
    KeyTaken(String),
    /// No name of an operator.
    #[error("`{0}` is no name for an operator: use a-z 0-9 . _ -, at most 64")]
    Name(String),
    /// There is none of that name.
    #[error("there is no operator `{0}`")]
    Unknown(String),
    /// There are too many.
    #[error("there are {OPERATORS_MAX} operators already")]
    Full,
    /// A key could not be made.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A public key could not be read.
    #[error(transparent)]
    Public(#[from] PublicError),
    /// The system said no.
    #[error("`{}`: {source}", .path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
}

// === impl Registry ===

impl Registry {
    /// Reads the registry of the home in `dir`; a home without one has no operators.
    ///
    /// # Errors
    ///
    /// When the file is open to others, not ours, or not a registry.
    pub fn open(dir: &Path) -> Result<Self, RegistryError> {
        let path = dir.join(FILE);
        let file = match open_private(&path) {
            Err(FileError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                return Ok(Self::none(dir));
            }
            opened => opened?,
        };
        let mut text = String::new();
        let read = file.take(FILE_BYTES_MAX).read_to_string(&mut text);
        read.map_err(|source| RegistryError::Io { path: path.clone(), source })?;
        let damaged = |reason: String| RegistryError::Damaged { path: path.clone(), reason };
        let stored: StoredRegistry =
            serde_json::from_str(&text).map_err(|error| damaged(error.to_string()))?;
        if stored.format != FORMAT {
            return Err(damaged("unknown format".to_owned()));
        }
        let operators: Option<Vec<_>> =
            stored.operators.into_iter().map(StoredOperator::operator).collect();
        let operators = operators.ok_or_else(|| damaged("unsound operator".to_owned()))?;
        Ok(Self { dir: dir.to_owned(), operators })
    }

    /// Returns a registry without operators.
    pub(crate) fn none(dir: &Path) -> Self {
        Self { dir: dir.to_owned(), operators: Vec::new() }
    }

    /// Returns every operator, also the revoked.
    pub fn operators(&self) -> &[Operator] {
        &self.operators
    }

    /// Returns the operator called `name` (`ada` or `human:ada`), also if revoked.
    pub fn find(&self, name: &str) -> Option<&Operator> {
        let name = name.strip_prefix(KIND).unwrap_or(name);
        self.operators.iter().find(|operator| operator.name() == name)
    }

    /// Adds an operator, with a key made elsewhere if `key` holds its line.
    ///
    /// # Errors
    ///
    /// When the name is taken or unsound, or the key is of no use.
    pub fn add(
        dir: &Path,
        name: &str,
        key: Option<(&str, Custody)>,
        profile: &Profile,
        now: Timestamp,
    ) -> Result<Operator, RegistryError> {
        let key = match key {
            Some((line, custody)) => Some(external(line, custody)?),
            None => None,
        };
        let _lock = lock(dir)?;
        Self::open(dir)?.insert(name, key, profile, now)
    }

    /// Makes a key under `phrase` for an operator, who is added if not there yet.
    ///
    /// # Errors
    ///
    /// When they have a key already, the name is unsound, or the key cannot be written.
    pub fn enroll(
        dir: &Path,
        name: &str,
        phrase: &Passphrase,
        profile: &Profile,
        now: Timestamp,
    ) -> Result<Operator, RegistryError> {
        let id = principal(name)?;
        let _lock = lock(dir)?;
        let registry = Self::open(dir)?;
        registry.vacant(name)?;
        let keys = dir.join(KEYS);
        private_dir(&keys)?;
        let file = keys.join(format!("{}.{}", id.as_str().replace(':', "-"), now.0));
        let made = ApproverKey::create(&file, id.as_str(), phrase)?;
        let assurance = Assurance::Passphrase;
        let key = OperatorKey { public: made.public(), assurance, file: Some(file) };
        registry.insert(name, Some(key), profile, now)
    }

    /// Takes the right to answer from an operator. Grants that were not used yet die with it.
    ///
    /// # Errors
    ///
    /// When there is none of that name.
    pub fn revoke(dir: &Path, name: &str, now: Timestamp) -> Result<Operator, RegistryError> {
        let _lock = lock(dir)?;
        let mut registry = Self::open(dir)?;
        let name = name.strip_prefix(KIND).unwrap_or(name);
        let found = registry.operators.iter_mut().find(|operator| operator.name() == name);
        let operator = found.ok_or_else(|| RegistryError::Unknown(name.to_owned()))?;
        operator.revoked = operator.revoked.or(Some(now));
        let operator = operator.clone();
        registry.save()?;
        Ok(operator)
    }

    /// Returns the active operator whose statement names `id`.
    pub(crate) fn active(&self, id: &PrincipalId) -> Option<&Operator> {
        let mut active = self.operators.iter().filter(|operator| operator.revoked.is_none());
        active.find(|operator| operator.id == *id)
    }

    /// Returns the active operator with this key.
    pub(crate) fn by_key(&self, key: &ApproverPublic) -> Option<&Operator> {
        let mut active = self.operators.iter().filter(|operator| operator.revoked.is_none());
        let line = key.to_line();
        active
            .find(|operator| operator.key.as_ref().is_some_and(|key| key.public.to_line() == line))
    }

    /// Returns the active operators who are the Unix user `name`, directly or by alias.
    pub(crate) fn by_alias<'a>(
        &'a self,
        id: &'a PrincipalId,
    ) -> impl Iterator<Item = &'a Operator> {
        let active = self.operators.iter().filter(|operator| operator.revoked.is_none());
        active.filter(move |operator| operator.aliases.contains(id))
    }

    fn vacant(&self, name: &str) -> Result<(), RegistryError> {
        match self.find(name) {
            Some(Operator { revoked: None, key: Some(_), .. }) => {
                Err(RegistryError::Exists(name.to_owned()))
            }
            Some(_) => Ok(()),
            None if OPERATORS_MAX <= self.operators.len() => Err(RegistryError::Full),
            None => Ok(()),
        }
    }

    fn insert(
        mut self,
        name: &str,
        key: Option<OperatorKey>,
        profile: &Profile,
        now: Timestamp,
    ) -> Result<Operator, RegistryError> {
        let id = principal(name)?;
        self.vacant(name)?;
        if let Some(taken) = key.as_ref().and_then(|key| self.by_key(&key.public)) {
            return Err(RegistryError::KeyTaken(taken.name().to_owned()));
        }
        // Somebody who was added without a key keeps their groups and names when one is made.
        let known = self.active(&id).cloned();
        if known.is_some() && key.is_none() {
            return Err(RegistryError::Exists(name.to_owned()));
        }
        let mut groups = profile.groups.clone();
        let mut users = vec![id.as_str().trim_start_matches(KIND).to_owned()];
        users.extend(profile.unix_users.iter().cloned());
        let mut aliases = Vec::new();
        for user in users {
            let alias = PrincipalId::new(&format!("local:{user}"));
            aliases.push(alias.ok_or(RegistryError::Name(user))?);
        }
        if let Some(known) = known {
            groups.extend(known.groups);
            aliases.extend(known.aliases);
        }
        aliases.sort();
        aliases.dedup();
        groups.sort();
        groups.dedup();
        let operator = Operator { id, aliases, groups, key, enrolled: now, revoked: None };
        self.operators.retain(|other| other.id != operator.id);
        self.operators.push(operator.clone());
        self.save()?;
        Ok(operator)
    }

    fn save(&self) -> Result<(), RegistryError> {
        let operators = self.operators.iter().map(StoredOperator::of).collect();
        let stored = StoredRegistry { format: FORMAT.to_owned(), operators };
        let path = self.dir.join(FILE);
        let damaged = |error: serde_json::Error| RegistryError::Damaged {
            path: path.clone(),
            reason: error.to_string(),
        };
        let text = serde_json::to_string_pretty(&stored).map_err(damaged)? + "\n";
        replace(&self.dir, &path, text.as_bytes())
            .map_err(|source| RegistryError::Io { path, source })
    }
}

// === impl Operator ===

impl Operator {
    /// Returns the name without its kind: `ada`.
    pub fn name(&self) -> &str {
        self.id.as_str().strip_prefix(KIND).unwrap_or(self.id.as_str())
    }

    /// Returns the administrative record of a change: `operator.added`, `operator.enrolled`,
    /// `operator.revoked`.
    ///
    /// It pins the key in the audit log, which the registry's file alone cannot.
    pub fn record(&self, event: &'static str, by: &Principal) -> AdminEvent {
        let text = |text: &str| Field::Text(RawText::from(text));
        let list = |names: &mut dyn Iterator<Item = &str>| Field::List(names.map(text).collect());
        let mut fields = vec![
            ("operator", text(self.id.as_str())),
            ("groups", list(&mut self.groups.iter().map(String::as_str))),
            ("aliases", list(&mut self.aliases.iter().map(PrincipalId::as_str))),
        ];
        if let Some(key) = &self.key {
            fields.push(("key", text(&key.public.to_line())));
            fields.push(("fingerprint", text(&key.public.fingerprint())));
            fields.push(("assurance", text(key.assurance.name())));
        }
        AdminEvent { event, principal: Some(by.clone()), fields }
    }

    /// Every name this person is known by, and one made of their key: whoever holds the same key
    /// under two names is one person.
    pub(crate) fn names(&self) -> Vec<PrincipalId> {
        let key = self.key.as_ref().and_then(|key| {
            let digest = Digest::of_bytes(key.public.to_line().as_bytes());
            PrincipalId::new(&format!("key:{digest}"))
        });
        self.aliases.iter().cloned().chain(key).collect()
    }
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct StoredRegistry {
    format: String,
    operators: Vec<StoredOperator>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct StoredOperator {
    name: String,
    aliases: Vec<String>,
    groups: Vec<String>,
    key: Option<StoredKey>,
    enrolled: u64,
    revoked: Option<u64>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct StoredKey {
    public: String,
    assurance: String,
    file: Option<PathBuf>,
}

// === impl StoredOperator ===

impl StoredOperator {
    fn of(operator: &Operator) -> Self {
        let key = operator.key.as_ref().map(|key| StoredKey {
            public: key.public.to_line(),
            assurance: key.assurance.name().to_owned(),
            file: key.file.clone(),
        });
        Self {
            name: operator.name().to_owned(),
            aliases: operator.aliases.iter().map(ToString::to_string).collect(),
            groups: operator.groups.clone(),
            key,
            enrolled: operator.enrolled.0,
            revoked: operator.revoked.map(|at| at.0),
        }
    }

    fn operator(self) -> Option<Operator> {
        let aliases: Option<Vec<_>> =
            self.aliases.iter().map(|name| PrincipalId::new(name)).collect();
        let key = match self.key {
            Some(key) => Some(key.key()?),
            None => None,
        };
        Some(Operator {
            id: principal(&self.name).ok()?,
            aliases: aliases?,
            groups: self.groups,
            key,
            enrolled: Timestamp(self.enrolled),
            revoked: self.revoked.map(Timestamp),
        })
    }
}

impl StoredKey {
    /// A hardware key is worth no more than its type says, whatever the file claims.
    fn key(self) -> Option<OperatorKey> {
        let public = ApproverPublic::parse(&self.public).ok()?;
        let assurance = Assurance::from_name(&self.assurance)?;
        let sound = assurance != Assurance::Hardware || public.kind() == KeyKind::Hardware;
        sound.then_some(OperatorKey { public, assurance, file: self.file })
    }
}

fn external(line: &str, custody: Custody) -> Result<OperatorKey, RegistryError> {
    let public = ApproverPublic::parse(line)?;
    let assurance = match (public.kind(), custody) {
        (KeyKind::Hardware, _) => Assurance::Hardware,
        (KeyKind::Software, Custody::Elsewhere) => Assurance::Uid,
        (KeyKind::Software, Custody::Here) => Assurance::None,
    };
    Ok(OperatorKey { public, assurance, file: None })
}

/// Reads an operator's name, with or without its kind.
fn principal(name: &str) -> Result<PrincipalId, RegistryError> {
    let bare = name.strip_prefix(KIND).unwrap_or(name);
    let sound =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
    let first = bare.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    let fits = bare.len() <= NAME_BYTES_MAX && bare.bytes().all(sound) && first;
    let id = fits.then(|| PrincipalId::new(&format!("{KIND}{bare}"))).flatten();
    id.ok_or_else(|| RegistryError::Name(name.to_owned()))
}

/// Holds everybody else off while the registry changes.
fn lock(dir: &Path) -> Result<File, RegistryError> {
    let path = dir.join(LOCK);
    let open = || {
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed())
            .open(&path)?;
        rustix::fs::flock(&file, FlockOperation::LockExclusive)?;
        Ok(file)
    };
    open().map_err(|source: io::Error| RegistryError::Io { path: path.clone(), source })
}

fn private_dir(path: &Path) -> Result<(), RegistryError> {
    use std::os::unix::fs::DirBuilderExt;
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made.map_err(|source| RegistryError::Io { path: path.to_owned(), source }),
    }
}

/// Replaces a file whole or not at all.
fn replace(dir: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let draft = path.with_extension("draft");
    match fs::remove_file(&draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = File::options().create_new(true).write(true).mode(0o600).open(&draft)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&draft, path)?;
    File::open(dir)?.sync_all()
}

/// The registry's file in the home.
const FILE: &str = "operators.json";

/// The file locked while the registry changes.
const LOCK: &str = "operators.lock";

/// The directory of private keys made here.
const KEYS: &str = "keys";

/// What the principal of every operator begins with.
const KIND: &str = "human:";

/// The format. A later one has another number.
const FORMAT: &str = "iddio-operators/v1";

/// The most bytes of a name.
const NAME_BYTES_MAX: usize = 64;

/// The most operators of one home: a team, not a company. Fleets have a control plane.
const OPERATORS_MAX: usize = 256;

/// The most bytes of the file: every operator with a page of groups.
const FILE_BYTES_MAX: u64 = 1 << 20;
