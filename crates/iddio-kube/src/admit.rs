//! One request through the pipeline.
//!
//! What may wait for a disk or a human runs on threads of its own: the pipeline is one blocking core,
//! and a request that is being decided holds one of them. A client that goes away while a human thinks
//! withdraws its ask.

use std::{
    sync::{Arc, Mutex, PoisonError, atomic::Ordering},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::{
    Request as HttpRequest, Response, StatusCode,
    body::{Body as _, Incoming},
    header::HeaderValue,
};
use iddio_classify::kube::call::BODY_BYTES_MAX;
use iddio_core::{
    audit::{AdminEvent, End, Field, Outcome},
    credential::NoCredential,
    pipeline::{Committed, InFlight, Request, Warrant},
    principal::{Identified, PrincipalId},
    recording::Recorder,
    text::RawText,
    time::Clock,
};
use iddio_mint::{
    Token,
    clients::{By, Certified},
};
use iddio_runtime::{
    assemble::{Cancel, Notice, Prompt},
    clock::draw_id,
    identity::Certificate,
};
use tokio::{
    runtime::Handle,
    sync::{OwnedSemaphorePermit, mpsc},
    time,
};

use crate::{
    clusters::{self, Behind},
    connection::{HEADERS_MAX, Peer, Shown},
    escort::Escort,
    forward::{self, Flight, Known, Sent},
    look::Looking,
    mint::Bearer,
    operation::{Carried, KubeAction},
    recordings::OfNothing,
    refuse::{Body, Denial},
    request,
    serve::{COUNT_EVERY, Gateway},
    upgrade::{self, Opening, wish::Wished},
};

/// Who calls, and with what.
pub(crate) struct Caller {
    identified: Identified,
    shows: Arc<Shows>,
}

/// What a caller shows: on its connection, in its request, or both, which must agree.
struct Shows {
    peer: Arc<Peer>,
    token: Option<Token>,
}

/// What the pipeline said.
pub(crate) enum Admitted {
    Denied(Denial),
    Granted(Box<Granted>),
}

/// What may be forwarded.
pub(crate) struct Granted {
    /// The request.
    pub(crate) action: KubeAction,
    /// Its credential.
    pub(crate) bearer: Arc<Bearer>,
    /// What its end is recorded with.
    pub(crate) flight: InFlight,
    /// The ask, where a human said yes.
    pub(crate) asked: Option<String>,
}

/// Who may be asked about a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Asking {
    /// A human, while the client waits.
    Human,
    /// Nobody: it is refused where policy asks.
    Nobody,
}

// === impl Gateway ===

impl Gateway {
    /// Answers one request.
    pub(crate) async fn serve(
        self: Arc<Self>,
        mut request: HttpRequest<Incoming>,
        peer: Arc<Peer>,
        traceparent: Option<HeaderValue>,
    ) -> Result<Response<Body>, Denial> {
        let taken_over = hyper::upgrade::on(&mut request);
        let (parts, body) = request.into_parts();
        let hold = peer.hold.clone();
        let token = request::token(&parts.headers);
        let token = token.inspect_err(|_| self.stranger(&peer));
        let token = token.map_err(Denial::of_head)?;
        let caller = Arc::new(self.identify(Shows { peer, token })?);
        caller.shows.peer.visit.proven();
        let (head, behind) = self.direct(request::head(&parts));
        let (mut action, _room) = self.read(head, behind.as_deref(), body).await?;
        let principal = caller.identified.principal().id.clone();
        let _place = self.place(&principal)?;
        let place = self.stream(&action)?;
        let known = self.known(&caller);
        if let Some(behind) = &behind {
            let looking = Looking { caller: &caller, behind, hold: &hold };
            self.look(&looking, &mut action).await;
        }
        let admitted = self.decide(&caller, action, behind.clone(), Asking::Human, &hold).await?;
        match (admitted, behind) {
            (Admitted::Denied(denial), _) => Err(denial),
            (Admitted::Granted(granted), Some(behind)) => {
                let Granted { mut action, bearer, flight, asked } = *granted;
                let looking = Looking { caller: &caller, behind: &behind, hold: &hold };
                let moved = match asked {
                    Some(_) => self.look_again(&looking, &mut action).await.err(),
                    None => None,
                };
                let escort = Escort::new(&self.shared, &self.meters, traceparent);
                let (since, sent) = (Instant::now(), Sent::Once);
                let flight = Flight { flight, hold, since, known, escort, sent };
                if let Some(denial) = moved {
                    let why = "what it is about changed while it was decided".to_owned();
                    flight.end(Outcome::NotForwarded, Some(why));
                    return Err(denial);
                }
                match action.wished().clone() {
                    Wished::Stream(wish) => {
                        let ends = Opening { wish, client: taken_over, place };
                        let stopped = self.stopping.subscribe();
                        upgrade::open(&behind.upstream, action, &bearer, flight, ends, stopped)
                            .await
                    }
                    Wished::None | Wished::Unknown => {
                        forward::forward(&behind, action, &bearer, flight).await
                    }
                }
            }
            (Admitted::Granted(_), None) => Err(Denial::unavailable("there is no cluster")),
        }
    }

    /// Takes a request through the pipeline while its client waits.
    pub(crate) async fn decide(
        self: &Arc<Self>,
        caller: &Arc<Caller>,
        action: KubeAction,
        behind: Option<Arc<Behind>>,
        asking: Asking,
        hold: &mpsc::Sender<()>,
    ) -> Result<Admitted, Denial> {
        let cancel = Cancel::new();
        let cancel = cancel.map_err(|_| Denial::unavailable("iddio has no descriptor left"))?;
        let withdraw = Withdraw(cancel.clone());
        let (own, caller, holding) = (self.clone(), caller.clone(), hold.clone());
        let admitting = tokio::task::spawn_blocking(move || {
            let admitted = own.admit(&caller, action, behind.as_deref(), asking, cancel);
            drop(holding);
            admitted
        });
        let admitted = admitting.await;
        drop(withdraw);
        admitted.map_err(|_| Denial::unavailable("iddio failed while it decided"))
    }

    fn identify(&self, shows: Shows) -> Result<Caller, Denial> {
        match self.who(&shows) {
            Some(identified) => Ok(Caller { identified, shows: Arc::new(shows) }),
            None => {
                self.stranger(&shows.peer);
                Err(Denial::of_head(request::HeadError::Anonymous))
            }
        }
    }

    fn stranger(&self, peer: &Peer) {
        self.strangers.count(peer.address);
        self.meters.stranger();
        peer.visit.blame(Instant::now());
    }

    /// Returns the agent that shows this. Whoever shows anything else is nobody.
    fn who(&self, shows: &Shows) -> Option<Identified> {
        let identified = match (shows.peer.shown(self.front.clients()), &shows.token) {
            (Shown::Agent(Certified { agent, by }), token) => {
                let serial = match &by {
                    By::Home(serial) => Some(serial.as_str()),
                    By::Other => None,
                };
                let certificate = Certificate { agent: &agent, serial };
                self.runtime.certified(&certificate, token.as_ref())
            }
            (Shown::Nothing, Some(token)) => self.runtime.bearer(token),
            (Shown::Nothing, None) | (Shown::Stale, _) => return None,
        };
        identified.ok().flatten()
    }

    /// Finds the cluster that a request is for, and takes what names it out of its target. One that is
    /// for none has a fault.
    fn direct(&self, head: request::Head) -> (request::Head, Option<Arc<Behind>>) {
        match self.clusters.of(&head.target) {
            Some((behind, target)) => {
                let target = target.to_owned();
                (request::Head { target, ..head }, Some(behind))
            }
            None => (request::Head { fault: head.fault.or(Some(NO_CLUSTER)), ..head }, None),
        }
    }

    /// Reads the body, which is short enough to be judged whole, while there is room for it.
    async fn read(
        &self,
        head: request::Head,
        behind: Option<&Behind>,
        body: Incoming,
    ) -> Result<(KubeAction, Option<OwnedSemaphorePermit>), Denial> {
        let (cluster, server) = match behind {
            Some(behind) => (behind.name.clone(), behind.server.clone()),
            None => (clusters::NONE.into(), clusters::NONE.into()),
        };
        if body.is_end_stream() || head.fault.is_some() {
            return Ok((KubeAction::new(cluster, server, head, Bytes::new()), None));
        }
        let most = body.size_hint().upper().and_then(|most| usize::try_from(most).ok());
        if most.is_some_and(|most| BODY_BYTES_MAX < most) {
            return Ok((KubeAction::too_long(cluster, server, head), None));
        }
        let mebibytes = most.unwrap_or(BODY_BYTES_MAX).div_ceil(1 << 20);
        let room = self.bodies.clone().acquire_many_owned(u32::try_from(mebibytes).unwrap_or(1));
        let reading = async {
            let room = room.await.ok();
            (Limited::new(body, BODY_BYTES_MAX).collect().await, room)
        };
        let slow = |_| Denial::body(StatusCode::REQUEST_TIMEOUT, "the body did not come in time");
        let (read, room) = time::timeout(BODY_MAX, reading).await.map_err(slow)?;
        match read {
            Ok(read) => Ok((KubeAction::new(cluster, server, head, read.to_bytes()), room)),
            Err(error) if error.is::<LengthLimitError>() => {
                Ok((KubeAction::too_long(cluster, server, head), None))
            }
            Err(_) => {
                Err(Denial::body(StatusCode::REQUEST_TIMEOUT, "the body broke off before its end"))
            }
        }
    }

    /// Takes a request through the pipeline, on a thread that may wait.
    fn admit(
        &self,
        caller: &Caller,
        action: KubeAction,
        behind: Option<&Behind>,
        asking: Asking,
        cancel: Cancel,
    ) -> Admitted {
        self.tell_stripped(&caller.identified, &action.head.stripped);
        let asked: Arc<Mutex<Option<String>>> = Arc::default();
        let (remembered, withdraw) = (asked.clone(), cancel.clone());
        let notice = Arc::new(move |notice: Notice| match notice {
            Notice::Waiting { id, .. } => {
                let mut asked = remembered.lock().unwrap_or_else(PoisonError::into_inner);
                *asked = Some(id.as_str().to_owned());
                if asking == Asking::Nobody {
                    withdraw.cancel();
                }
            }
            Notice::NotPut { reason }
            | Notice::NoRegistry { reason }
            | Notice::Failed { reason } => {
                tracing::error!(reason, "nobody could be asked");
            }
            _ => {}
        });
        let gone = cancel.flag();
        let pipeline = self.runtime.pipeline(cancel, Prompt::Off, notice);
        let Ok(id) = draw_id() else {
            return Admitted::Denied(Denial::unavailable("iddio has no random numbers"));
        };
        let carried = action.carried();
        let began = Instant::now();
        let now = self.runtime.clock().now();
        let request = Request::new(&caller.identified, id, now, action);
        Handle::current().block_on(async {
            let admitted = pipeline.admit(request).await;
            self.meters.settled(&admitted, began.elapsed());
            match admitted {
                Err(error) => {
                    tracing::error!(%error, "unrecorded");
                    let text = "iddio cannot record the request, so it is not forwarded";
                    Admitted::Denied(Denial::unavailable(text))
                }
                Ok(Committed::Rejection(rejection)) => {
                    let ask = taken(&asked);
                    Admitted::Denied(Denial::of_rejection(&rejection, &carried, ask))
                }
                Ok(Committed::Warrant(warrant)) => match (carried, behind) {
                    _ if gone.load(Ordering::Acquire) => {
                        let denial = Denial::unavailable("the client went away");
                        give_up(warrant, "the client went away", denial).await
                    }
                    (Carried::Stream, Some(behind)) => {
                        grant(warrant, behind, &self.of_streams, taken(&asked)).await
                    }
                    (Carried::Yes, Some(behind)) => {
                        grant(warrant, behind, &self.of_exchanges, taken(&asked)).await
                    }
                    (carried, _) => {
                        let denial = Denial::of_uncarried(&carried);
                        give_up(warrant, "it cannot be carried", denial).await
                    }
                },
            }
        })
    }

    /// Says, for as long as an answer flows, whether its caller is still known.
    pub(crate) fn known(self: &Arc<Self>, caller: &Caller) -> Arc<dyn Fn() -> Known + Send + Sync> {
        let (own, shows) = (self.clone(), caller.shows.clone());
        let name = caller.identified.principal().id.clone();
        Arc::new(move || match own.who(&shows) {
            Some(identified) if identified.principal().id == name => Known::Yes,
            _ => Known::No,
        })
    }

    /// Takes one of the places for streams, where it is about one.
    fn stream(&self, action: &KubeAction) -> Result<Option<OwnedSemaphorePermit>, Denial> {
        if action.carried() != Carried::Stream {
            return Ok(None);
        }
        let busy = |_| Denial::busy("iddio carries as many streams as it may").ending();
        self.streams.clone().try_acquire_owned().map(Some).map_err(busy)
    }

    /// Takes one of the places a principal has for requests that are being decided.
    fn place(self: &Arc<Self>, principal: &PrincipalId) -> Result<Place, Denial> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if WAITING_OF_ALL_MAX <= waiting.values().sum() {
            return Err(Denial::busy("iddio has too many undecided requests"));
        }
        let count = waiting.entry(principal.clone()).or_default();
        if WAITING_MAX <= *count {
            return Err(Denial::busy("iddio has too many undecided requests of this agent"));
        }
        *count += 1;
        Ok(Place { gateway: self.clone(), principal: principal.clone() })
    }

    /// Records that somebody tried to be somebody else, once a minute at most for each.
    fn tell_stripped(&self, caller: &Identified, stripped: &[String]) {
        if stripped.is_empty() {
            return;
        }
        let principal = caller.principal();
        {
            let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
            told.retain(|_, since| since.elapsed() < COUNT_EVERY);
            if told.insert(principal.id.clone(), Instant::now()).is_some() {
                return;
            }
        }
        let names = stripped.iter().take(HEADERS_MAX);
        let names = names.map(|name| Field::Text(RawText::from(name.as_str()))).collect();
        let event = AdminEvent {
            event: "kube.headers_stripped",
            principal: Some(principal.clone()),
            fields: vec![("headers", Field::List(names))],
        };
        if let Err(error) = self.runtime.record(event) {
            tracing::error!(%error, "unrecorded");
        }
    }
}

/// A place among the undecided requests of a principal.
struct Place {
    gateway: Arc<Gateway>,
    principal: PrincipalId,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut waiting = self.gateway.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = waiting.get_mut(&self.principal) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                let _ = waiting.remove(&self.principal);
            }
        }
    }
}

/// Withdraws the ask of a request whose client goes away: the request's future is dropped then.
struct Withdraw(Cancel);

impl Drop for Withdraw {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

fn taken(asked: &Mutex<Option<String>>) -> Option<String> {
    asked.lock().unwrap_or_else(PoisonError::into_inner).take()
}

/// Gets the credential for what was allowed, and opens its recording.
async fn grant(
    warrant: Warrant<KubeAction>,
    behind: &Behind,
    recorder: &dyn Recorder,
    asked: Option<String>,
) -> Admitted {
    let permit = match warrant.mint(behind.minter.as_ref()).await {
        Ok(permit) => permit,
        Err(error) => return Admitted::Denied(Denial::of_mint(error)),
    };
    match permit.exercise(recorder).await {
        Ok((action, bearer, flight)) => {
            Admitted::Granted(Box::new(Granted { action, bearer, flight, asked }))
        }
        Err(error) => {
            tracing::error!(%error, "no recording could be opened");
            let text = "iddio cannot record what flows, so nothing does";
            Admitted::Denied(Denial::unavailable(text))
        }
    }
}

/// Ends what was allowed and is not forwarded.
async fn give_up(warrant: Warrant<KubeAction>, why: &str, denial: Denial) -> Admitted {
    if let Ok(permit) = warrant.mint(&NoCredential).await
        && let Ok((_, (), flight)) = permit.exercise(&OfNothing).await
    {
        let end = End { note: Some(why.to_owned()), ..End::of(Outcome::NotForwarded) };
        // Unrecorded, it stays a debt of the log's.
        let _ = flight.close(end).await;
    }
    Admitted::Denied(denial)
}

/// Why a request is for no cluster.
const NO_CLUSTER: &str =
    "the path names no cluster: the server of a kubeconfig ends with /clusters/NAME";

/// The most requests of one agent that are being decided: each holds a thread.
const WAITING_MAX: usize = 64;

/// The most of all agents together: fewer than there are threads, so that who is identified and what
/// ends finds one.
const WAITING_OF_ALL_MAX: usize = 384;

/// How long a body may take.
const BODY_MAX: Duration = Duration::from_secs(30);
