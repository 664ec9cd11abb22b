//! The certificate that a listener shows, replaced while it listens.
//!
//! Its files are looked at every second and are taken once they make a pair; whoever makes a connection
//! from then on sees the new one, and nobody loses theirs. A pair that does not load leaves the old one in
//! use. Both are records, with the fingerprints. Once an hour whoever issued it is asked for another one,
//! where its end is near.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use arc_swap::ArcSwap;
use iddio_core::{
    audit::{AdminEvent, Field},
    digest::Digest,
};
use iddio_runtime::{assemble::Runtime, status::CertificateReport};
use rustls::ServerConfig;
use tokio::time::{self, MissedTickBehavior};

/// What was made of the files.
#[derive(Clone)]
pub struct Loaded {
    /// The listener's configuration.
    pub config: Arc<ServerConfig>,
    /// The SHA-256 of the certificate itself.
    pub fingerprint: Digest,
    /// When it ends, in seconds since 1970, if it says so.
    pub not_after: Option<i64>,
}

/// How a certificate is had.
pub struct Source {
    /// The files it is made of.
    pub files: Vec<PathBuf>,
    /// Makes it of them.
    pub load: Box<dyn Fn() -> Result<Loaded, String> + Send + Sync>,
    /// Writes others in their place, where somebody here can issue them.
    pub renew: Option<Renew>,
}

/// Writes a new certificate into its files, each whole or not at all.
pub type Renew = Box<dyn Fn() -> Result<(), String> + Send + Sync>;

/// A certificate in use.
pub struct Certificate {
    source: Source,
    loaded: ArcSwap<Loaded>,
    seen: Mutex<Vec<Option<Stamp>>>,
}

type Stamp = (u64, u64, i64, i64);

// === impl Certificate ===

impl Certificate {
    /// Loads it for the first time.
    ///
    /// # Errors
    ///
    /// With the reason why there is nothing to show.
    pub fn open(source: Source) -> Result<Arc<Self>, String> {
        let seen = Mutex::new(stamps(&source.files));
        let loaded = ArcSwap::from_pointee((source.load)()?);
        Ok(Arc::new(Self { source, loaded, seen }))
    }

    /// Returns what a new connection is shown.
    pub fn config(&self) -> Arc<ServerConfig> {
        self.loaded.load().config.clone()
    }

    /// Returns what there is to say of it.
    pub fn report(&self) -> CertificateReport {
        let loaded = self.loaded.load();
        let fingerprint = loaded.fingerprint.to_string();
        CertificateReport { fingerprint, not_after: loaded.not_after }
    }

    /// Looks whether the files changed, and takes them if they make a pair. It may wait for a disk.
    pub fn refresh(&self, runtime: &Runtime) {
        let found = stamps(&self.source.files);
        {
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            if *seen == found {
                return;
            }
            *seen = found;
        }
        self.take(runtime);
    }

    /// Has another one issued, if its end is near. It may wait for a disk.
    pub fn renew(&self, runtime: &Runtime, now: SystemTime) {
        let Some(renew) = &self.source.renew else { return };
        let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        let window = now.saturating_add(WINDOW.as_secs());
        let window = i64::try_from(window).unwrap_or(i64::MAX);
        if self.loaded.load().not_after.is_none_or(|end| window < end) {
            return;
        }
        match renew() {
            Ok(()) => self.refresh(runtime),
            Err(error) => {
                tracing::error!(error, "the certificate was not renewed");
                let before = self.loaded.load().fingerprint;
                refused(runtime, before, &error);
            }
        }
    }

    /// Looks every second, and asks for another one every hour.
    pub async fn watch(self: Arc<Self>, runtime: Arc<Runtime>) {
        let mut ticks = time::interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for tick in 0_u64.. {
            let _ = ticks.tick().await;
            let (own, runtime) = (self.clone(), runtime.clone());
            let looked = tokio::task::spawn_blocking(move || {
                own.refresh(&runtime);
                if tick.is_multiple_of(LOOKS_AN_HOUR) {
                    own.renew(&runtime, SystemTime::now());
                }
            });
            // One that panicked has said so; the next look is as good.
            let _ = looked.await;
        }
    }

    fn take(&self, runtime: &Runtime) {
        let before = self.loaded.load().fingerprint;
        match (self.source.load)() {
            Err(error) => {
                tracing::error!(error, "the certificate was not taken");
                refused(runtime, before, &error);
            }
            Ok(loaded) => {
                let after = loaded.fingerprint;
                self.loaded.store(Arc::new(loaded));
                if before == after {
                    return;
                }
                let fields = vec![
                    ("fingerprint", Field::Digest(after)),
                    ("fingerprint_before", Field::Digest(before)),
                ];
                record(runtime, "certificate.swapped", fields);
                tracing::info!("another certificate is in use");
            }
        }
    }
}

fn refused(runtime: &Runtime, before: Digest, error: &str) {
    let fields =
        vec![("fingerprint_before", Field::Digest(before)), ("reason", Field::Text(error.into()))];
    record(runtime, "certificate.refused", fields);
}

fn record(runtime: &Runtime, event: &'static str, fields: Vec<(&'static str, Field)>) {
    if let Err(error) = runtime.record(AdminEvent { event, principal: None, fields }) {
        tracing::error!(%error, "unrecorded");
    }
}

fn stamps(files: &[PathBuf]) -> Vec<Option<Stamp>> {
    let stamp = |path: &PathBuf| {
        let metadata = fs::metadata(path).ok()?;
        Some((metadata.ino(), metadata.size(), metadata.ctime(), metadata.ctime_nsec()))
    };
    files.iter().map(stamp).collect()
}

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How often whoever issues is asked, in looks.
const LOOKS_AN_HOUR: u64 = 3600;

/// How long before its end a certificate is renewed.
const WINDOW: Duration = Duration::from_secs(30 * 24 * 3600);
