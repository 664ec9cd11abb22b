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
use tokio::{
    sync::{Semaphore, mpsc, watch},
    task::JoinSet,
    time,
};
use tokio_rustls::TlsAcceptor;

use crate::{
    clusters::Clusters,
    config::Config,
    front::{self, Front, FrontError},
    recordings::{OfExchanges, OfStreams, Recordings},
    socket::Listener,
    strangers::Strangers,
    upstream::UpstreamError,
};

/// The gateway of some clusters.
pub struct Gateway {
    pub(crate) runtime: Arc<Runtime>,
    pub(crate) clusters: Clusters,
    pub(crate) front: Arc<Front>,
    pub(crate) strangers: Strangers,
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
    pub fn new(runtime: Arc<Runtime>, config: &Config) -> Result<Arc<Self>, GatewayError> {
        let clock: Arc<dyn Clock> = runtime.clock();
        let clusters = Clusters::new(&config.clusters, &clock)?;
        let front = Arc::new(Front::open(runtime.clone(), config)?);
        let recordings = Recordings::new(runtime.home().recordings(), clock);
        Ok(Arc::new(Self {
            runtime,
            clusters,
            front,
            strangers: Strangers::default(),
            told: Mutex::default(),
            waiting: Mutex::default(),
            bodies: Arc::new(Semaphore::new(BODIES_MIB_MAX)),
            streams: Arc::new(Semaphore::new(STREAMS_MAX)),
            of_streams: OfStreams(recordings.clone()),
            of_exchanges: OfExchanges(recordings),
            stopping: watch::Sender::new(()),
        }))
    }

    /// Serves until `stop` is ready; then lets what flows come to its end, for a while.
    pub async fn run(self: &Arc<Self>, listener: Listener, stop: impl Future<Output = ()>) {
        let acceptor = TlsAcceptor::from(self.front.config());
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let stopped = self.stopping.subscribe();
        let (hold, mut ended) = mpsc::channel::<()>(1);
        let mut connections = JoinSet::new();
        let mut minute = time::interval(COUNT_EVERY);
        let mut hour = time::interval(front::LOOK_EVERY);
        let mut stop = pin!(stop);
        loop {
            let taken = async {
                let place = places.clone().acquire_owned().await.ok();
                (listener.accept().await, place)
            };
            tokio::select! {
                () = &mut stop => break,
                _ = minute.tick() => self.tell_strangers(&hold),
                _ = hour.tick() => self.look_after_front(&hold),
                Some(_) = connections.join_next() => {}
                (accepted, place) = taken => {
                    // A connection that is gone already, or no descriptor left: the next one.
                    let Ok((stream, peer)) = accepted else { time::sleep(PAUSE).await; continue };
                    let (own, acceptor, hold) = (self.clone(), acceptor.clone(), hold.clone());
                    let stopped = stopped.clone();
                    let _ = connections.spawn(async move {
                        own.connection(stream, peer.ip(), acceptor, stopped, hold).await;
                        drop(place);
                    });
                }
            }
        }
        drop(listener);
        let _ = self.stopping.send(());
        let drained = async { while connections.join_next().await.is_some() {} };
        if time::timeout(DRAIN_MAX, drained).await.is_err() {
            connections.shutdown().await;
        }
        self.tell_strangers(&hold);
        drop(hold);
        let _ = time::timeout(DRAIN_MAX, ended.recv()).await;
    }

    /// Renews the certificate where that is due, on a thread that may wait.
    fn look_after_front(&self, hold: &mpsc::Sender<()>) {
        let (front, hold) = (self.front.clone(), hold.clone());
        let looking = tokio::task::spawn_blocking(move || {
            if let Err(error) = front.look_after() {
                eprintln!("iddio-kube: the certificate is not renewed: {error}");
            }
            drop(hold);
        });
        drop(looking);
    }

    fn tell_strangers(self: &Arc<Self>, hold: &mpsc::Sender<()>) {
        let Some(event) = self.strangers.take() else { return };
        let (runtime, hold) = (self.runtime.clone(), hold.clone());
        let telling = tokio::task::spawn_blocking(move || {
            if let Err(error) = runtime.record(event) {
                eprintln!("iddio-kube: {error}");
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

/// How long streams may go on once the gateway stops.
const DRAIN_MAX: Duration = Duration::from_secs(10);

/// How long to wait where no connection could be taken.
const PAUSE: Duration = Duration::from_millis(50);
