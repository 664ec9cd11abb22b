//! The watch of a service over its home: policy, agents and freezes, as they change.
//!
//! A thread waits for the home's directories to change, and looks four times a second in any case, so
//! that where inotify is not to be had, or misses something, a change is found within that time. Agents
//! and freezes count at once: whoever holds a stream is woken to look. A policy comes into force once its
//! file has been at rest for [`REST`], after a record that names the old version and the new one; a file
//! that does not load leaves the old one in force, and that is a record, too. What is in flight is not
//! touched: it was decided under the policy that its record names.
//!
//! INVARIANT: a policy that cannot be recorded does not come into force; nothing else is recorded then,
//! so nothing is allowed either, and it is tried again.

use std::{
    io,
    os::fd::OwnedFd,
    sync::Arc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use iddio_core::{
    audit::{AdminEvent, AuditError, Field},
    digest::Digest,
};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};

use crate::{
    assemble::Runtime,
    freezes::watch::{changes, drain},
    policy::Candidate,
    stamped::Stamp,
};

/// Called whenever somebody may have been frozen, revoked or renamed, or another policy is in force.
pub type Changed = Arc<dyn Fn() + Send + Sync>;

/// A watch, which ends when it is dropped.
pub struct Watch {
    stop: Arc<OwnedFd>,
    thread: Option<JoinHandle<()>>,
}

/// What the thread has.
struct Sentry {
    runtime: Arc<Runtime>,
    changed: Changed,
    stop: Arc<OwnedFd>,
    inotify: Vec<OwnedFd>,
    policy: Pending,
    refused: Option<Digest>,
    agents: (Option<Stamp>, Digest),
    freezes: Option<Stamp>,
}

/// A policy file that changed, and when it is to be read.
struct Pending {
    stamp: Option<Stamp>,
    /// When it changed first and last since it was read.
    changed: Option<(Instant, Instant)>,
}

// === impl Watch ===

impl Watch {
    /// Begins to watch the home of `runtime`.
    ///
    /// # Errors
    ///
    /// When the system gives no thread or descriptor.
    pub fn start(runtime: Arc<Runtime>, changed: Changed) -> io::Result<Self> {
        let stop = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).map(Arc::new)?;
        let sentry = Sentry::new(runtime, changed, stop.clone());
        let named = thread::Builder::new().name("iddio-watch".to_owned());
        let thread = Some(named.spawn(move || sentry.stand())?);
        Ok(Self { stop, thread })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // It is full only if it is readable already, which is all that is wanted.
        let _ = rustix::io::write(&self.stop, &1_u64.to_ne_bytes());
        if let Some(thread) = self.thread.take() {
            // However it ended, from now on decisions look at the file themselves.
            let _ = thread.join();
        }
    }
}

// === impl Sentry ===

impl Sentry {
    fn new(runtime: Arc<Runtime>, changed: Changed, stop: Arc<OwnedFd>) -> Self {
        let home = runtime.home();
        let inotify = [home.root(), runtime.freezes().directory()];
        let inotify = inotify.into_iter().filter_map(changes).collect();
        // Looked at before what is in force was: whatever changed since shows.
        let policy = Pending { stamp: None, changed: None };
        let agents = (Stamp::of(&home.agents()), runtime.roll_version());
        let freezes = Stamp::of(&runtime.freezes().state());
        Self { runtime, changed, stop, inotify, policy, refused: None, agents, freezes }
    }

    fn stand(mut self) {
        loop {
            self.runtime.policy().beat();
            self.look();
            let mut sources = vec![PollFd::new(&*self.stop, PollFlags::IN)];
            sources.extend(self.inotify.iter().map(|fd| PollFd::new(fd, PollFlags::IN)));
            let wait = self.policy.left(Instant::now()).min(LOOK);
            let wait = Timespec::try_from(wait).ok();
            // Interrupted or failed: looking again is right in either case.
            let _ = poll(&mut sources, wait.as_ref());
            if sources.first().is_some_and(|stop| !stop.revents().is_empty()) {
                return;
            }
            self.inotify.iter().for_each(drain);
        }
    }

    fn look(&mut self) {
        let home = self.runtime.home();
        let freezes = Stamp::of(&self.runtime.freezes().state());
        let agents = Stamp::of(&home.agents());
        if (freezes, agents) != (self.freezes, self.agents.0) {
            (self.changed)();
        }
        self.freezes = freezes;
        if agents != self.agents.0 {
            self.agents.0 = agents;
            self.tell_agents();
        }
        let now = Instant::now();
        if self.policy.is_at_rest(Stamp::of(self.runtime.policy().path()), now) {
            match self.reload() {
                Ok(()) => self.policy.changed = None,
                Err(error) => eprintln!("iddio: the policy was not loaded: {error}"),
            }
        }
    }

    /// Puts the policy in force that the file has now, if it has one.
    fn reload(&mut self) -> Result<(), AuditError> {
        let policy = self.runtime.policy();
        let before = ("policy_before", Field::Digest(policy.in_force().version()));
        match policy.candidate() {
            Candidate::Same => self.refused = None,
            Candidate::Better(loaded, stamp) => {
                let version = loaded.version;
                let fields = vec![("policy_version", Field::Digest(version)), before];
                self.record("policy.reloaded", fields)?;
                policy.put(loaded, stamp);
                self.refused = None;
                // For whoever opens this home next; at worst it records the version again.
                let _ = self.runtime.remember_policy(version);
                (self.changed)();
            }
            Candidate::Worse { version, .. } if self.refused == Some(version) => {}
            Candidate::Worse { reason, version } => {
                let reason = ("reason", Field::Text(reason.as_str().into()));
                let fields = vec![("policy_version", Field::Digest(version)), before, reason];
                self.record("policy.refused", fields)?;
                self.refused = Some(version);
            }
        }
        Ok(())
    }

    /// Records that the agents are others now. They count already.
    fn tell_agents(&mut self) {
        let version = self.runtime.roll_version();
        let before = std::mem::replace(&mut self.agents.1, version);
        if before == version {
            return;
        }
        let mut fields = vec![
            ("agents_version", Field::Digest(version)),
            ("agents_before", Field::Digest(before)),
        ];
        let event = match self.runtime.agents_live() {
            Ok(count) => {
                fields.push(("agents", Field::Int(count)));
                "agents.reloaded"
            }
            Err(reason) => {
                fields.push(("reason", Field::Text(reason.as_str().into())));
                "agents.refused"
            }
        };
        if let Err(error) = self.record(event, fields) {
            eprintln!("iddio: {error}");
        }
    }

    fn record(
        &self,
        event: &'static str,
        fields: Vec<(&'static str, Field)>,
    ) -> Result<(), AuditError> {
        let recorded = self.runtime.record(AdminEvent { event, principal: None, fields });
        // The sync may have taken a while.
        self.runtime.policy().beat();
        recorded.map(|_| ())
    }
}

// === impl Pending ===

impl Pending {
    /// Notes what the file looks like, and says whether it is to be read.
    fn is_at_rest(&mut self, stamp: Option<Stamp>, now: Instant) -> bool {
        if stamp != self.stamp {
            self.stamp = stamp;
            let first = self.changed.map_or(now, |(first, _)| first);
            self.changed = Some((first, now));
        }
        self.left(now).is_zero()
    }

    /// How long until it is to be read, if it changed.
    fn left(&self, now: Instant) -> Duration {
        let Some((first, last)) = self.changed else { return Duration::MAX };
        let (quiet, waited) = (now.duration_since(last), now.duration_since(first));
        REST.saturating_sub(quiet).min(RESTLESS_MAX.saturating_sub(waited))
    }
}

/// How long a policy file is at rest before it is read: whoever writes it is done by then.
pub const REST: Duration = Duration::from_millis(500);

/// How long one that is written again and again is waited for.
const RESTLESS_MAX: Duration = Duration::from_secs(5);

/// How often to look in any case: four times a second.
const LOOK: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_is_read_when_it_has_been_at_rest_or_was_waited_for_long_enough() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("policy.yaml");
        let stamp = |text: &str| {
            std::fs::write(&path, text).unwrap();
            Stamp::of(&path)
        };
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let first = stamp("a");
        let mut pending = Pending { stamp: first, changed: None };
        assert!(!pending.is_at_rest(first, at(0)));
        assert!(!pending.is_at_rest(first, at(60_000)), "nothing changed");
        let second = stamp("ab");
        assert!(!pending.is_at_rest(second, at(60_000)));
        assert!(!pending.is_at_rest(second, at(60_499)));
        assert_eq!(pending.left(at(60_400)), Duration::from_millis(100));
        let third = stamp("abc");
        assert!(!pending.is_at_rest(third, at(60_499)), "it moved again");
        assert!(!pending.is_at_rest(third, at(60_998)));
        assert!(pending.is_at_rest(third, at(60_999)));
        pending.changed = None;
        assert!(!pending.is_at_rest(third, at(70_000)));
        for tick in 0..20 {
            let stamp = stamp(&"x".repeat(10 + tick));
            let rest = pending.is_at_rest(stamp, at(80_000 + 300 * tick as u64));
            assert_eq!(rest, 5_000 <= 300 * tick, "{tick}");
        }
    }
}
