//! The child's whole environment: what the catalog lets through, then what it sets.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    io,
    os::unix::{ffi::OsStrExt, fs::symlink},
    path::Path,
};

use iddio_classify::command::{EnvironmentPlan, EnvironmentValue, Pin};
use iddio_core::text::RawText;
use iddio_spawn::{Environment, RequestError, SealedInput, SpoolError, ToolPath};

use crate::{operation::BoundInput, run_dir::RunDir};

/// An environment, and the sealed files that its values name.
#[derive(Debug)]
pub struct Built {
    /// The environment.
    pub environment: Environment,
    /// The files.
    pub files: Vec<BoundInput>,
}

/// Why there is no environment.
#[derive(Debug, thiserror::Error)]
pub enum EnvironmentError {
    /// A private directory could not be made.
    #[error("a private directory could not be made: {0}")]
    Io(#[from] io::Error),
    /// A variable cannot be written down.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// A private file could not be made.
    #[error(transparent)]
    Spool(#[from] SpoolError),
}

/// What an environment is built from.
#[derive(Debug)]
pub struct Sources<'a> {
    /// The caller's environment.
    pub caller: &'a BTreeMap<OsString, OsString>,
    /// The home directory that the user database names.
    pub user_home: &'a Path,
    /// Where programs are looked for.
    pub tool_path: &'a ToolPath,
    /// What belongs to this run.
    pub run: &'a RunDir,
}

/// Builds the environment of a plan.
///
/// # Errors
///
/// When a value cannot be written down or a private file cannot be made.
pub fn build(
    plan: &EnvironmentPlan,
    pins: &[Pin],
    sources: &Sources<'_>,
) -> Result<Built, EnvironmentError> {
    let mut values: BTreeMap<OsString, OsString> = BTreeMap::new();
    for (name, value) in sources.caller {
        if plan.keep.iter().any(|kept| covers(kept, name)) {
            values.insert(name.clone(), value.clone());
        }
    }
    // The home is what the user database says, never what the caller says (threat E06).
    if let Some(home) = values.get_mut(OsStr::new("HOME")) {
        *home = sources.user_home.into();
    }
    let mut files = Vec::new();
    for (name, value) in &plan.set {
        let value = sources.value(plan, name, value, &mut files)?;
        values.insert(name.into(), value);
    }
    for pin in pins {
        if let Pin::Variable { name, value, .. } = pin {
            values.insert(name.into(), value.into());
        }
    }
    let mut environment = Environment::empty();
    for (name, value) in values {
        environment.set(name, value)?;
    }
    Ok(Built { environment, files })
}

// === impl Sources ===

impl Sources<'_> {
    fn value(
        &self,
        plan: &EnvironmentPlan,
        name: &str,
        value: &EnvironmentValue,
        files: &mut Vec<BoundInput>,
    ) -> Result<OsString, EnvironmentError> {
        Ok(match value {
            EnvironmentValue::BelowHome(path) => self.user_home.join(path).into(),
            EnvironmentValue::EmptyFile => EMPTY_FILE.into(),
            EnvironmentValue::FileWith(text) => {
                let sealed = SealedInput::of(text.as_bytes())?;
                let path = sealed.path();
                files.push(BoundInput { name: RawText::from(name), argument: None, sealed });
                path.into()
            }
            EnvironmentValue::PrivateDirectory => {
                self.run.directory(&format!("private-{}", name.to_ascii_lowercase()))?.into()
            }
            EnvironmentValue::PrivateHome => self.private_home(plan)?,
            EnvironmentValue::Text(text) => text.into(),
            EnvironmentValue::ToolPath => {
                let joined = std::env::join_paths(self.tool_path.directories());
                joined.map_err(|error| io::Error::other(error.to_string()))?
            }
        })
    }

    /// Makes an empty home in which only what the plan carries over is seen.
    fn private_home(&self, plan: &EnvironmentPlan) -> Result<OsString, EnvironmentError> {
        let home = self.run.directory("home")?;
        for path in &plan.carry {
            let (target, link) = (self.user_home.join(path), home.join(path));
            if let Some(parent) = link.parent() {
                std::fs::create_dir_all(parent)?;
            }
            match symlink(target, link) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(error.into());
                }
                Ok(()) | Err(_) => {}
            }
        }
        Ok(home.into())
    }
}

/// Whether a name of the allow-list covers a variable: exactly, or as a prefix before `*`.
fn covers(kept: &str, name: &OsStr) -> bool {
    match kept.strip_suffix('*') {
        Some(prefix) => name.as_bytes().starts_with(prefix.as_bytes()),
        None => name.as_bytes() == kept.as_bytes(),
    }
}

/// What every tool reads as an empty file.
const EMPTY_FILE: &str = "/dev/null";
