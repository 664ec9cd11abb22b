//! Whether a gateway lives, and whether it takes requests.
//!
//! It is *ready* while records can be stored, the watch over its home lives, and it does not come to an
//! end. It *lives* while the question whether it is ready is answered in time, whatever the answer: what a
//! full disk needs is space and no restart. INVARIANT: a question that is not answered in time makes it
//! unready, and leaves the watchdog unfed.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use iddio_runtime::{assemble::Runtime, status::Readiness};
use tokio::time::{self, MissedTickBehavior};

use crate::{drain::Drain, drain::Phase, notify};

/// How a gateway is.
pub struct Health {
    runtime: Arc<Runtime>,
    drain: Drain,
    found: ArcSwap<Readiness>,
    life: AtomicU8,
}

// === impl Health ===

impl Health {
    /// Begins with a gateway of which nothing is known: not ready.
    pub fn new(runtime: Arc<Runtime>, drain: Drain) -> Arc<Self> {
        let reasons = vec!["it starts".to_owned()];
        let found = ArcSwap::from_pointee(Readiness::Unready { reasons });
        Arc::new(Self { runtime, drain, found, life: AtomicU8::new(LIVES) })
    }

    /// Says whether it takes requests, as it was found last.
    pub fn ready(&self) -> Readiness {
        if self.drain.phase() != Phase::Serving {
            return Readiness::Unready { reasons: vec!["it comes to its end".to_owned()] };
        }
        Readiness::clone(&self.found.load())
    }

    /// Whether it answers itself.
    pub fn lives(&self) -> bool {
        self.life.load(Ordering::Relaxed) == LIVES
    }

    /// Asks now.
    pub async fn look(self: &Arc<Self>) {
        let runtime = self.runtime.clone();
        let asked = tokio::task::spawn_blocking(move || answers(&runtime));
        let (found, life) = match time::timeout(ANSWER_MAX, asked).await {
            Ok(Ok(found)) => (found, LIVES),
            Ok(Err(_)) | Err(_) => (unready("the pipeline does not answer"), SILENT),
        };
        let before = self.found.swap(Arc::new(found.clone()));
        self.life.store(life, Ordering::Relaxed);
        if *before != found {
            tell(&found);
        }
    }

    /// Asks again and again, and feeds the watchdog while it is answered.
    pub async fn watch(self: Arc<Self>) {
        let watchdog = notify::watchdog();
        let every = watchdog.map_or(LOOK_EVERY, |often| LOOK_EVERY.min(often / 3));
        let mut ticks = time::interval(every.max(Duration::from_millis(10)));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let _ = ticks.tick().await;
            self.look().await;
            if watchdog.is_some() && self.lives() {
                notify::alive();
            }
        }
    }
}

/// Looks at everything that a decision needs, on a thread that may wait.
fn answers(runtime: &Runtime) -> Readiness {
    let mut reasons = Vec::new();
    if !runtime.policy().is_watched() {
        reasons.push("nobody watches the home for changes".to_owned());
    }
    if let Err(reason) = runtime.recording() {
        reasons.push(format!("records cannot be stored: {reason}"));
    }
    if let Err(reason) = runtime.agents_live() {
        reasons.push(format!("nobody can be identified: {reason}"));
    }
    match reasons.is_empty() {
        true => Readiness::Ready,
        false => Readiness::Unready { reasons },
    }
}

fn tell(found: &Readiness) {
    match found {
        Readiness::Ready => {
            tracing::info!("ready");
            notify::status("serving");
        }
        Readiness::Unready { reasons } => {
            let reasons = reasons.join("; ");
            tracing::warn!(reasons, "not ready");
            notify::status(&format!("not ready: {reasons}"));
        }
    }
}

fn unready(reason: &str) -> Readiness {
    Readiness::Unready { reasons: vec![reason.to_owned()] }
}

const LIVES: u8 = 1;
const SILENT: u8 = 2;

/// How often to ask, where systemd does not want to hear more often.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// How long an answer may take: longer than a lock is waited for.
const ANSWER_MAX: Duration = Duration::from_secs(8);
