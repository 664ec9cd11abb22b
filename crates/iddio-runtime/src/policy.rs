//! The policy of a home, in force.
//!
//! INVARIANT: a file that does not load never decides. With no good policy everything is denied,
//! with the line and column that is wrong as the reason; after a good one was loaded it stays in
//! force until a better file loads. A decision takes one look at the file's stamp, so an edit is in
//! force with the next decision, also while a human thinks.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use iddio_core::{
    digest::Digest,
    policy::{Decision, Evaluation, Obligations, OverrideVerdict, PolicyEvaluator, Query, Verdict},
};
use iddio_policy::{Format, Loaded, PolicyError, load};

use crate::store;

/// The policy of a home.
#[derive(Debug)]
pub struct HomePolicy {
    path: PathBuf,
    state: Mutex<State>,
}

/// What a look at the policy file found.
#[derive(Clone, Debug)]
pub enum InForce {
    /// This policy decides.
    Good(Arc<Loaded>),
    /// None does; everything is denied.
    None {
        /// What is wrong, for people.
        reason: String,
        /// The digest of the file that does not load.
        version: Digest,
    },
}

// === impl HomePolicy ===

impl HomePolicy {
    /// Loads the policy at `path`.
    pub fn open(path: PathBuf) -> Self {
        let stamp = stamp(&path);
        let in_force = match read(&path) {
            Ok(loaded) => InForce::Good(Arc::new(loaded)),
            Err(Unloadable { reason, version }) => InForce::None { reason, version },
        };
        Self { path, state: Mutex::new(State { stamp, in_force }) }
    }

    /// Returns what decides now.
    pub fn in_force(&self) -> InForce {
        self.refreshed().in_force.clone()
    }

    /// Returns where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Looks at the file again if it changed. A file that does not load leaves a good policy in
    /// force.
    fn refreshed(&self) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let stamp = stamp(&self.path);
        if stamp != state.stamp {
            state.stamp = stamp;
            match (read(&self.path), &state.in_force) {
                (Ok(loaded), _) => state.in_force = InForce::Good(Arc::new(loaded)),
                (Err(Unloadable { reason, version }), InForce::None { .. }) => {
                    state.in_force = InForce::None { reason, version };
                }
                (Err(_), InForce::Good(_)) => {}
            }
        }
        state
    }
}

impl PolicyEvaluator for HomePolicy {
    fn evaluate<'a>(&'a self, query: &Query<'a>) -> Evaluation<'a> {
        match self.in_force() {
            InForce::Good(loaded) => Evaluation::Now(decide(&loaded, query)),
            InForce::None { reason, version } => Evaluation::Now(deny(query, &reason, version)),
        }
    }

    fn version(&self) -> Digest {
        self.in_force().version()
    }
}

// === impl InForce ===

impl InForce {
    /// The digest that records carry.
    pub fn version(&self) -> Digest {
        match self {
            Self::Good(loaded) => loaded.version,
            Self::None { version, .. } => *version,
        }
    }
}

#[derive(Debug)]
struct State {
    stamp: Option<Stamp>,
    in_force: InForce,
}

/// What `stat` says; two equal stamps are one unchanged file.
type Stamp = (u64, u64, u64, i64, i64, i64, i64);

struct Unloadable {
    reason: String,
    version: Digest,
}

fn stamp(path: &Path) -> Option<Stamp> {
    let metadata = fs::metadata(path).ok()?;
    let (changed, modified) = (metadata.ctime(), metadata.mtime());
    let nanos = (metadata.ctime_nsec(), metadata.mtime_nsec());
    Some((metadata.dev(), metadata.ino(), metadata.size(), changed, nanos.0, modified, nanos.1))
}

fn read(path: &Path) -> Result<Loaded, Unloadable> {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let unreadable = |error: io::Error| Unloadable {
        reason: format!("{name}: {error}"),
        version: Digest::of_bytes(b""),
    };
    let bytes = match store::read_bytes(path) {
        Ok(Some(bytes)) => bytes,
        Ok(None) => return Err(unreadable(io::ErrorKind::NotFound.into())),
        Err(error) => return Err(unreadable(io::Error::other(error.to_string()))),
    };
    load(&bytes, Format::of_name(&name), &name)
        .map_err(|error| Unloadable { reason: first(&error), version: Digest::of_bytes(&bytes) })
}

fn first(error: &PolicyError) -> String {
    let text = error.to_string();
    text.lines().next().unwrap_or("the policy does not load").to_owned()
}

fn decide(loaded: &Loaded, query: &Query<'_>) -> Decision {
    match loaded.policy.evaluate(query) {
        Evaluation::Now(decision) => decision,
        // The native engine never answers later; if it did, nobody would be here to wait.
        Evaluation::Later(_) => deny(query, "the policy did not decide at once", loaded.version),
    }
}

fn deny(query: &Query<'_>, reason: &str, version: Digest) -> Decision {
    Decision {
        verdict: Verdict::Deny,
        effective: query.operation.native_tier(),
        overrides: OverrideVerdict::Held,
        rule: "no policy in force".into(),
        runbook: None,
        reason: Some(reason.into()),
        obligations: Arc::new(Obligations::NONE),
        policy: version,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "agents:\n  local:ada:\n    rules:\n      - {tiers: {0: allow}}\n";

    #[test]
    fn a_file_that_does_not_load_never_replaces_a_good_policy_and_never_decides_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("policy.yaml");
        fs::write(&path, "agents: {x: {rules: 7}}\n").unwrap();
        let bad = HomePolicy::open(path.clone());
        assert!(matches!(bad.in_force(), InForce::None { .. }));
        fs::write(&path, GOOD).unwrap();
        let good = bad.in_force().version();
        assert_eq!(good, Digest::of_bytes(GOOD.as_bytes()));
        fs::write(&path, "nonsense: [").unwrap();
        assert_eq!(bad.in_force().version(), good, "the last good policy stays");
        fs::remove_file(&path).unwrap();
        assert_eq!(bad.in_force().version(), good);
    }

    #[test]
    fn no_file_is_no_policy() {
        let directory = tempfile::tempdir().unwrap();
        let none = HomePolicy::open(directory.path().join("policy.yaml"));
        assert!(matches!(none.in_force(), InForce::None { .. }));
    }
}
