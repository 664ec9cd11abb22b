//! Takes connections until the gateway stops, and then lets what flows come to its end.
//!
//! [`crate::connection`] speaks TLS and HTTP on each of them, [`crate::admit`] takes a request through
//! the pipeline.

use std::{
    collections::HashMap,
    pin::pin,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use iddio_core::{principal::PrincipalId, time::Clock};
use iddio_runtime::assemble::Runtime;
use iddio_serve::{
    drain::{Patience, Phase},
    shared::Shared,
};
use tokio::{
    sync::{Semaphore, mpsc, watch},
    task::JoinSet,
    time,
};
use tokio_rustls::TlsAcceptor;

use crate::{
    clusters::Clusters,
    config::Config,
    front::{Front, FrontError},
    look::Names,
    meters::Meters,
    recordings::{OfExchanges, OfStreams, Recordings},
    revoked,
    socket::Listener,
    strangers::Strangers,
    upstream::UpstreamError,
};

/// The gateway of some clusters.
pub struct Gateway {
    pub(crate) runtime: Arc<Runtime>,
    pub(crate) clusters: Arc<Clusters>,
    pub(crate) front: Arc<Front>,
    pub(crate) strangers: Strangers,
    /// What servers say of resources that are not built in.
    pub(crate) names: Names,
    /// Who was told of stripped headers, and when.
    pub(crate) told: Mutex<HashMap<PrincipalId, Instant>>,
    /// How many undecided requests each principal has.
    pub(crate) waiting: Mutex<HashMap<PrincipalId, usize>>,
    /// Room for bodies, in mebibytes.
    pub(crate) bodies: Arc<Semaphore>,
    /// Places for streams into workloads.
    pub(crate) streams: Arc<Semaphore>,
    /// Records those streams.
    pub(crate) of_streams: OfStreams,
    /// Records requests and their answers.
    pub(crate) of_exchanges: OfExchanges,
    /// Tells that the gateway stops.
    pub(crate) stopping: watch::Sender<()>,
    /// Limits before identity, changes, the end, spans.
    pub(crate) shared: Shared,
    /// What is counted.
    pub(crate) meters: Meters,
}

/// Why there is no gateway.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// It has nothing to show to clients.
    #[error(transparent)]
    Front(#[from] FrontError),
    /// A cluster is not described.
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
}

// === impl Gateway ===

impl Gateway {
    /// Makes the gateway that is configured, in an opened home.
    ///
    /// # Errors
    ///
    /// When a cluster is not described, or there is no certificate to show.
    pub fn new(
        runtime: Arc<Runtime>,
        config: &Config,
        shared: Shared,
    ) -> Result<Arc<Self>, GatewayError> {
        let meters = Meters::new(&shared.registry, &shared.penalties, &shared.tracer);
        let clock: Arc<dyn Clock> = runtime.clock();
        let clusters = Arc::new(Clusters::new(&config.clusters, &clock)?);
        let front = Arc::new(Front::open(runtime.clone(), config)?);
        let recordings = Recordings::new(runtime.home().recordings(), clock);
        Ok(Arc::new(Self {
            runtime,
            clusters,
            front,
            strangers: Strangers::default(),
            names: Names::default(),
            told: Mutex::default(),
            waiting: Mutex::default(),
            bodies: Arc::new(Semaphore::new(BODIES_MIB_MAX)),
            streams: Arc::new(Semaphore::new(STREAMS_MAX)),
            of_streams: OfStreams(recordings.clone()),
            of_exchanges: OfExchanges(recordings),
            stopping: watch::Sender::new(()),
            shared,
            meters,
        }))
    }

    /// What is shown to clients, for whoever looks after it.
    pub fn front(&self) -> &Arc<Front> {
        &self.front
    }

    /// Serves until `stop` is ready; then lets what flows come to its end, for a while.
    pub async fn run(self: &Arc<Self>, listener: Listener, stop: impl Future<Output = ()>) {
        let acceptor = TlsAcceptor::from(self.front.config());
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let (hold, mut ended) = mpsc::channel::<()>(1);
        let mut connections = JoinSet::new();
        let (runtime, changes) = (self.runtime.clone(), self.shared.changes.clone());
        let ending = tokio::spawn(revoked::watch(runtime, self.clusters.clone(), changes));
        let mut minute = time::interval(COUNT_EVERY);
        let mut stop = pin!(stop);
        loop {
            let taken = async {
                let place = places.clone().acquire_owned().await.ok();
                (listener.accept().await, place)
            };
            tokio::select! {
                () = &mut stop => break,
                _ = minute.tick() => self.tell_strangers(&hold),
                Some(_) = connections.join_next() => {}
                (accepted, place) = taken => {
                    // A connection that is gone already, or no descriptor left: the next one.
                    let Ok((stream, peer)) = accepted else { time::sleep(PAUSE).await; continue };
                    let arrived = self.shared.penalties.arrive(peer.ip(), Instant::now());
                    let visit = match arrived {
                        Ok(visit) => Arc::new(visit),
                        Err(turned) => { self.meters.refused(turned); continue }
                    };
                    let (own, acceptor, hold) = (self.clone(), acceptor.clone(), hold.clone());
                    let _ = connections.spawn(async move {
                        let counted = own.meters.connection();
                        own.connection(stream, peer.ip(), acceptor, visit, hold).await;
                        drop((place, counted));
                    });
                }
            }
        }
        drop(listener);
        ending.abort();
        let _ = self.stopping.send(());
        let drained = async { while connections.join_next().await.is_some() {} };
        if self.shared.drain.end(Patience::GATEWAY, drained).await == Phase::Cut {
            connections.shutdown().await;
        }
        self.tell_strangers(&hold);
        drop(hold);
        let _ = time::timeout(RECORDS_MAX, ended.recv()).await;
    }

    fn tell_strangers(self: &Arc<Self>, hold: &mpsc::Sender<()>) {
        let Some(event) = self.strangers.take() else { return };
        let (runtime, hold) = (self.runtime.clone(), hold.clone());
        let telling = tokio::task::spawn_blocking(move || {
            if let Err(error) = runtime.record(event) {
                tracing::error!(%error, "unrecorded");
            }
            drop(hold);
        });
        drop(telling);
    }
}

/// The most connections at once: each may hold a request, and descriptors are finite.
const CONNECTIONS_MAX: usize = 1024;

/// The most mebibytes of bodies that are held at once.
const BODIES_MIB_MAX: usize = 64;

/// The most streams into workloads at once: each holds two connections and what waits for them.
const STREAMS_MAX: usize = 256;

/// How often what was only counted is recorded.
pub(crate) const COUNT_EVERY: Duration = Duration::from_secs(60);

/// How long records of ends may take once everything has ended.
const RECORDS_MAX: Duration = Duration::from_secs(10);

/// How long to wait where no connection could be taken.
const PAUSE: Duration = Duration::from_millis(50);
