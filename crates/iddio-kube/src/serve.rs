//! Takes connections until the gateway stops, and then lets what flows come to its end.
//!
//! [`crate::connection`] speaks TLS and HTTP on each of them, [`crate::admit`] takes a request through
//! the pipeline.

use std::{
    collections::HashMap,
    io,
    pin::pin,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use iddio_core::{
    audit::DecisionRecord,
    operation::OperationId,
    principal::PrincipalId,
    recording::{Recorder, Recording},
};
use iddio_runtime::assemble::Runtime;
use rustls::ServerConfig;
use tokio::{
    sync::{Semaphore, mpsc, watch},
    task::JoinSet,
    time,
};
use tokio_rustls::TlsAcceptor;

use crate::{
    config::Cluster,
    mint::Minter,
    socket::Listener,
    strangers::Strangers,
    upstream::{Upstream, UpstreamError},
};

/// The gateway of one cluster.
pub struct Gateway {
    pub(crate) runtime: Arc<Runtime>,
    pub(crate) cluster: Arc<str>,
    pub(crate) server: Arc<str>,
    pub(crate) upstream: Arc<Upstream>,
    pub(crate) minter: Arc<Minter>,
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
    pub(crate) recorder: Arc<dyn Recorder>,
    /// Tells that the gateway stops.
    pub(crate) stopping: watch::Sender<()>,
}

/// The recorder of a gateway that has none: no stream is forwarded.
struct NoRecorder;

// === impl Gateway ===

impl Gateway {
    /// Makes the gateway of a cluster, in an opened home.
    ///
    /// # Errors
    ///
    /// When the cluster is not described.
    pub fn new(runtime: Arc<Runtime>, cluster: &Cluster) -> Result<Arc<Self>, UpstreamError> {
        let upstream = Arc::new(Upstream::new(cluster)?);
        let minter = Minter::new(cluster, upstream.clone(), runtime.clock());
        Ok(Arc::new(Self {
            runtime,
            cluster: cluster.name.as_str().into(),
            server: cluster.server.as_str().into(),
            upstream,
            minter: Arc::new(minter),
            strangers: Strangers::default(),
            told: Mutex::default(),
            waiting: Mutex::default(),
            bodies: Arc::new(Semaphore::new(BODIES_MIB_MAX)),
            streams: Arc::new(Semaphore::new(STREAMS_MAX)),
            recorder: Arc::new(NoRecorder),
            stopping: watch::Sender::new(()),
        }))
    }

    /// Serves until `stop` is ready; then lets what flows come to its end, for a while.
    pub async fn run(
        self: &Arc<Self>,
        listener: Listener,
        tls: Arc<ServerConfig>,
        stop: impl Future<Output = ()>,
    ) {
        let acceptor = TlsAcceptor::from(tls);
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let stopped = self.stopping.subscribe();
        let (hold, mut ended) = mpsc::channel::<()>(1);
        let mut connections = JoinSet::new();
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

impl Recorder for NoRecorder {
    fn open(&self, _: OperationId, _: &DecisionRecord) -> io::Result<Box<dyn Recording>> {
        Err(io::Error::other("streams are recorded in full, and there is no recorder"))
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
