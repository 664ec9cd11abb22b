//! What a gateway shares with every other, put together: the parts that connections and requests meet,
//! and the tasks that look after them for as long as the gateway serves.

use std::{io, sync::Arc, time::Duration};

use iddio_runtime::{
    assemble::Runtime,
    reload::{self, Watch},
    status,
};
use iddio_service::listen::ListenError;
use tokio::{
    signal::unix::{SignalKind, signal},
    task::JoinSet,
    time,
};

use crate::{
    certificate::Certificate,
    changes::Changes,
    config::{Operations, Place, Traces},
    drain::Drain,
    endpoint,
    health::Health,
    listen,
    metrics::Registry,
    notify,
    penalties::{Limits, Penalties},
    report::Reporter,
    trace::{Exporter, TraceError, Tracer},
};

/// What connections and requests meet.
#[derive(Clone)]
pub struct Shared {
    /// Who may come in at all.
    pub penalties: Arc<Penalties>,
    /// Wakes streams when somebody may have been frozen or revoked.
    pub changes: Changes,
    /// How far the end is.
    pub drain: Drain,
    /// Takes spans.
    pub tracer: Tracer,
    /// Where meters are named.
    pub registry: Arc<Registry>,
    service: &'static str,
    version: &'static str,
    runtime: Arc<Runtime>,
}

/// What looks after a gateway, until it is dropped.
pub struct Attending {
    tasks: JoinSet<()>,
    _watch: Watch,
    _exporter: Option<Exporter>,
}

/// Why a gateway cannot be looked after.
#[derive(Debug, thiserror::Error)]
pub enum AttendError {
    /// Operators have no socket to ask at.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// Spans cannot be sent.
    #[error(transparent)]
    Trace(#[from] TraceError),
    /// The home cannot be watched, or signals not be heard.
    #[error("the home cannot be watched: {0}")]
    Watch(#[from] io::Error),
}

// === impl Shared ===

impl Shared {
    /// Makes the parts of `service`. Nothing runs yet but the thread that sends spans, if there is one.
    ///
    /// # Errors
    ///
    /// When spans cannot be sent to where they should.
    pub fn new(
        service: &'static str,
        version: &'static str,
        runtime: Arc<Runtime>,
        limits: Limits,
        traces: Option<&Traces>,
    ) -> Result<(Self, Option<Exporter>), TraceError> {
        let (tracer, exporter) = match traces {
            Some(traces) => {
                let (tracer, exporter) = Tracer::start(traces, service)?;
                (tracer, Some(exporter))
            }
            None => (Tracer::off(), None),
        };
        let shared = Self {
            penalties: Penalties::new(limits),
            changes: Changes::new(),
            drain: Drain::new(),
            tracer,
            registry: Arc::default(),
            service,
            version,
            runtime,
        };
        Ok((shared, exporter))
    }

    /// Begins to look after everything, and asks once how the gateway is.
    ///
    /// # Errors
    ///
    /// When the home cannot be watched, or operators cannot be listened to.
    pub async fn attend(
        &self,
        certificate: Option<Arc<Certificate>>,
        operations: Option<&Operations>,
        exporter: Option<Exporter>,
    ) -> Result<Attending, AttendError> {
        let runtime = self.runtime.clone();
        let watch = Watch::start(runtime.clone(), self.changes.teller())?;
        let health = Health::new(runtime.clone(), self.drain.clone());
        health.look().await;
        let reporter = Reporter::new(
            self.service,
            self.version,
            runtime.clone(),
            health.clone(),
            certificate.clone(),
            self.registry.clone(),
        );
        let mut tasks = JoinSet::new();
        let own = Place::Unix(status::socket(runtime.home()));
        for place in [Some(&own), operations.map(|asked| &asked.listen)].into_iter().flatten() {
            let listener = listen::operators(place).await?;
            let _ = tasks.spawn(endpoint::serve(listener, reporter.clone()));
        }
        let _ = tasks.spawn(health.watch());
        let (changes, watched) = (self.changes.clone(), runtime.clone());
        let _ =
            tasks.spawn(async move { changes.stand_in(|| watched.policy().is_watched()).await });
        if let Some(certificate) = certificate.clone() {
            let _ = tasks.spawn(certificate.watch(runtime.clone()));
        }
        let mut hangup = signal(SignalKind::hangup())?;
        let changes = self.changes.clone();
        let _ = tasks.spawn(async move {
            while hangup.recv().await.is_some() {
                again(&runtime, certificate.as_ref(), &changes).await;
            }
        });
        Ok(Attending { tasks, _watch: watch, _exporter: exporter })
    }
}

// === impl Attending ===

impl Attending {
    /// Ends everything that looks after the gateway.
    pub async fn end(mut self) {
        self.tasks.shutdown().await;
    }
}

/// Looks at everything again, and waits until a policy that changed just now is in force.
async fn again(runtime: &Arc<Runtime>, certificate: Option<&Arc<Certificate>>, changes: &Changes) {
    notify::reloading();
    if let Some(certificate) = certificate.cloned() {
        let runtime = runtime.clone();
        // One that panicked has said so.
        let _ = tokio::task::spawn_blocking(move || certificate.refresh(&runtime)).await;
    }
    changes.tell();
    time::sleep(reload::REST + LOADING).await;
    notify::ready("serving");
}

/// How long the watch takes to find, read and record a policy, at most; where it takes longer systemd
/// hears too early that it is done, and nothing else happens.
const LOADING: Duration = Duration::from_millis(500);
