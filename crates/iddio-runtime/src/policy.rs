//! The policy of a home, in force.
//!
//! INVARIANT: a file that does not load never decides. With no good policy everything is denied,
//! with the line and column that is wrong as the reason; after a good one was loaded it stays in
//! force until a better file loads.
//!
//! A short process looks at the file's stamp with each decision, so an edit is in force with the next
//! one, also while a human thinks. A service has a watch, which loads an edit once the file is at rest
//! and then puts it in force at once for everybody; a decision then takes one look at memory, and none
//! at the file. INVARIANT: where the watch has not been heard of for [`PULSE_MAX`], decisions look at
//! the file themselves.
//!
//! Nothing here waits for a lock but a load for another load.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use iddio_core::{
    digest::Digest,
    policy::{Decision, Evaluation, Obligations, OverrideVerdict, PolicyEvaluator, Query, Verdict},
};
use iddio_policy::{Format, Loaded, PolicyError, load};

use crate::{stamped::Stamp, store};

/// The policy of a home.
#[derive(Debug)]
pub struct HomePolicy {
    path: PathBuf,
    state: ArcSwap<State>,
    loading: Mutex<()>,
    pulse: Pulse,
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

/// What a file would change if it came into force.
pub(crate) enum Candidate {
    /// It loads, and is another policy than the one in force.
    Better(Arc<Loaded>, Option<Stamp>),
    /// It is what is in force.
    Same,
    /// It does not load.
    Worse {
        /// What is wrong.
        reason: String,
        /// The digest of the file.
        version: Digest,
    },
}

// === impl HomePolicy ===

impl HomePolicy {
    /// Loads the policy at `path`.
    pub fn open(path: PathBuf) -> Self {
        let stamp = Stamp::of(&path);
        let in_force = match read(&path) {
            Ok(loaded) => InForce::Good(Arc::new(loaded)),
            Err(Unloadable { reason, version }) => InForce::None { reason, version },
        };
        let state = ArcSwap::from_pointee(State { stamp, in_force });
        Self { path, state, loading: Mutex::default(), pulse: Pulse::new() }
    }

    /// Returns what decides now.
    pub fn in_force(&self) -> InForce {
        let state = self.state.load();
        match self.pulse.is_felt() || self.stamp() == state.stamp {
            true => state.in_force.clone(),
            false => self.refreshed(),
        }
    }

    /// Returns where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether a watch lives, on which decisions rely.
    pub fn is_watched(&self) -> bool {
        self.pulse.is_felt()
    }

    /// Says that the watch lives. It is to say so again within [`PULSE_MAX`].
    pub(crate) fn beat(&self) {
        self.pulse.beat();
    }

    pub(crate) fn stamp(&self) -> Option<Stamp> {
        Stamp::of(&self.path)
    }

    /// Reads the file, and changes nothing.
    pub(crate) fn candidate(&self) -> Candidate {
        let stamp = self.stamp();
        let old = self.state.load().in_force.clone();
        match (read(&self.path), old) {
            (Ok(loaded), InForce::Good(old)) if old.version == loaded.version => Candidate::Same,
            (Ok(loaded), _) => Candidate::Better(Arc::new(loaded), stamp),
            (Err(Unloadable { version, .. }), InForce::None { version: old, .. })
                if old == version =>
            {
                Candidate::Same
            }
            (Err(Unloadable { reason, version }), _) => Candidate::Worse { reason, version },
        }
    }

    /// Puts a policy in force: every decision from now on is its.
    pub(crate) fn put(&self, loaded: Arc<Loaded>, stamp: Option<Stamp>) {
        self.state.store(Arc::new(State { stamp, in_force: InForce::Good(loaded) }));
    }

    /// Reads a file that changed. One that does not load leaves a good policy in force.
    fn refreshed(&self) -> InForce {
        let _loading = self.loading.lock().unwrap_or_else(PoisonError::into_inner);
        let stamp = self.stamp();
        let old = self.state.load_full();
        if stamp == old.stamp {
            return old.in_force.clone();
        }
        let in_force = match (read(&self.path), &old.in_force) {
            (Ok(loaded), _) => InForce::Good(Arc::new(loaded)),
            (Err(Unloadable { reason, version }), InForce::None { .. }) => {
                InForce::None { reason, version }
            }
            (Err(_), good) => good.clone(),
        };
        self.state.store(Arc::new(State { stamp, in_force: in_force.clone() }));
        in_force
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

struct Unloadable {
    reason: String,
    version: Digest,
}

/// When the watch was last heard of.
#[derive(Debug)]
struct Pulse {
    since: Instant,
    /// Milliseconds since then, plus one; 0 is never.
    last: AtomicU64,
}

// === impl Pulse ===

impl Pulse {
    fn new() -> Self {
        Self { since: Instant::now(), last: AtomicU64::new(0) }
    }

    fn beat(&self) {
        self.last.store(self.millis() + 1, Ordering::Release);
    }

    fn is_felt(&self) -> bool {
        let last = self.last.load(Ordering::Acquire);
        let oldest = (self.millis() + 1).saturating_sub(PULSE_MAX.as_millis() as u64);
        last != 0 && oldest <= last
    }

    fn millis(&self) -> u64 {
        u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX >> 1)
    }
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

/// How long decisions rely on the watch without hearing of it. It says that it lives four times a second.
pub const PULSE_MAX: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use std::fs;

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

    #[test]
    fn while_the_watch_lives_only_the_watch_changes_what_is_in_force() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("policy.yaml");
        fs::write(&path, GOOD).unwrap();
        let policy = HomePolicy::open(path.clone());
        let old = policy.in_force().version();
        policy.beat();
        let better = GOOD.replace("allow", "deny");
        fs::write(&path, &better).unwrap();
        assert_eq!(policy.in_force().version(), old);
        let Candidate::Better(loaded, stamp) = policy.candidate() else { panic!("it loads") };
        policy.put(loaded, stamp);
        assert_eq!(policy.in_force().version(), Digest::of_bytes(better.as_bytes()));
        assert!(matches!(policy.candidate(), Candidate::Same));
        fs::write(&path, "nonsense: [").unwrap();
        assert!(matches!(policy.candidate(), Candidate::Worse { .. }));
        assert_eq!(policy.in_force().version(), Digest::of_bytes(better.as_bytes()));
    }

    #[test]
    fn a_watch_that_fell_silent_is_not_relied_on() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("policy.yaml");
        fs::write(&path, GOOD).unwrap();
        let mut policy = HomePolicy::open(path.clone());
        policy.beat();
        let better = GOOD.replace("allow", "deny");
        fs::write(&path, &better).unwrap();
        policy.pulse.since -= PULSE_MAX * 2;
        assert_eq!(policy.in_force().version(), Digest::of_bytes(better.as_bytes()));
    }
}
