//! Sends what was decided, and streams the answer while the caller may have it.
//!
//! The answer passes as it comes, piece by piece and no faster than the client takes it, so that a
//! watch without end costs no more memory than one piece. Whenever agents or freezes change while it
//! flows, the gateway looks whether the caller is still who it was and nobody froze it; if not, the stream
//! is cut without an end, so that no client takes it for a whole answer (threat K20).
//!
//! INVARIANT: whatever happens to a stream, its record gets an end: on its last piece, on its failure,
//! on being cut, or when it is dropped because the client went away.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http_body_util::{Either, Full};
use hyper::{
    HeaderMap, Request, Response, StatusCode,
    body::{Body as HttpBody, Frame, Incoming, SizeHint},
    header,
};
use iddio_core::{
    audit::{End, Outcome},
    credential::MintError,
    pipeline::{InFlight, Leash},
    policy::Recorded,
    recording::Channel,
};
use tokio::{
    sync::mpsc,
    time::{Sleep, sleep_until},
};

use crate::{
    clusters::Behind,
    escort::Escort,
    mint::Bearer,
    operation::KubeAction,
    recordings,
    refuse::{Body, Denial},
    upstream::{Link, Upstream, UpstreamError},
};

/// An operation in flight, and who waits for its end.
pub struct Flight {
    /// The operation.
    pub flight: InFlight,
    /// Held until its end is recorded, so that the gateway does not stop before.
    pub hold: mpsc::Sender<()>,
    /// When it began.
    pub since: Instant,
    /// Whether the caller is still known.
    pub known: Arc<dyn Fn() -> Known + Send + Sync>,
    /// What goes along with it.
    pub escort: Escort,
    /// How often it was sent.
    pub sent: Sent,
}

/// How often a request was sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Sent {
    /// Twice: the token of the first time was refused.
    Again,
    /// Once, or not yet.
    Once,
}

/// Whether a caller is still who it was.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Known {
    /// Its token was revoked, or replaced.
    No,
    /// It is.
    Yes,
}

/// What ends a stream, whatever it is of.
pub(crate) struct Reins {
    leash: Leash,
    known: Arc<dyn Fn() -> Known + Send + Sync>,
    deadline: Option<(Instant, &'static str)>,
}

/// The answer of an API server, on its way.
pub struct Relay {
    body: Incoming,
    link: Option<Link>,
    upstream: Arc<Upstream>,
    flight: Option<Flight>,
    reins: Reins,
    deadline: Option<Pin<Box<Sleep>>>,
    status: StatusCode,
}

/// Sends a request and returns what the client gets.
///
/// A read that an API server refuses the shared token of is sent once more, with a new one: the server
/// may have begun anew, or the object that tokens are bound to. Nothing else is sent twice.
pub(crate) async fn forward(
    behind: &Behind,
    mut action: KubeAction,
    bearer: &Arc<Bearer>,
    mut flight: Flight,
) -> Result<Response<Body>, Denial> {
    if flight.flight.leash().hold().is_some() {
        flight.end(Outcome::NotForwarded, Some("frozen before it was sent".to_owned()));
        return Err(Denial::of_mint(MintError::Frozen));
    }
    if let Err(error) = flight.record_request(&mut action).await {
        flight.end(Outcome::NotForwarded, Some(unrecorded(&error)));
        return Err(Denial::unavailable("iddio cannot record what flows, so nothing does"));
    }
    let authority = behind.upstream.authority();
    let first = request(&authority, &action, bearer, &flight.escort);
    let mut sent = send(&behind.upstream, first).await;
    let refused = sent.as_ref().is_ok_and(|(response, _)| response.status() == UNAUTHORIZED);
    if refused && is_read(&action) && flight.flight.leash().hold().is_none() {
        let agent = flight.flight.record().subject.principal.id.as_str().to_owned();
        if let Some(bearer) = behind.minter.instead(&agent, bearer).await {
            flight.sent = Sent::Again;
            let again = request(&authority, &action, &bearer, &flight.escort);
            sent = send(&behind.upstream, again).await;
        }
    }
    match sent {
        Ok((response, link)) => relay(&behind.upstream, response, link, flight),
        Err(None) => {
            flight.end(Outcome::NotForwarded, Some("it cannot be written".to_owned()));
            Err(Denial::upstream("iddio could not write the request"))
        }
        Err(Some(error)) => {
            let outcome = match (&error, flight.sent) {
                (UpstreamError::Slow, _) => Outcome::TimedOut,
                (UpstreamError::Http(_), _) | (_, Sent::Again) => Outcome::Forwarded,
                _ => Outcome::NotForwarded,
            };
            flight.end(outcome, Some(error.to_string()));
            Err(Denial::upstream(&format!("iddio has no answer: {error}")))
        }
    }
}

/// Sends it, or says why there is no answer: nothing if it could not be written.
async fn send(
    upstream: &Upstream,
    request: Option<Request<Full<Bytes>>>,
) -> Result<(Response<Incoming>, Link), Option<UpstreamError>> {
    upstream.send(request.ok_or(None)?).await.map_err(Some)
}

/// Whether sending it twice is as good as sending it once.
fn is_read(action: &KubeAction) -> bool {
    matches!(action.head.method.as_str(), "GET" | "HEAD") && action.body.is_empty()
}

/// Writes the request: what was judged, the credential, and nothing else.
fn request(
    authority: &str,
    action: &KubeAction,
    bearer: &Bearer,
    escort: &Escort,
) -> Option<Request<Full<Bytes>>> {
    let KubeAction { head, body, .. } = action;
    let mut request = Request::builder()
        .method(head.method.as_str())
        .uri(head.target.as_str())
        .header(header::HOST, authority)
        .header(header::AUTHORIZATION, bearer.header().ok()?);
    for (name, value) in &head.headers {
        request = request.header(name.as_str(), value.as_slice());
    }
    let mut request = request.body(Full::new(body.clone())).ok()?;
    escort.mark(&mut request);
    Some(request)
}

/// Makes the client's answer of the server's. What would send the client, or its connection,
/// elsewhere is not passed on (threat K22).
fn relay(
    upstream: &Arc<Upstream>,
    response: Response<Incoming>,
    link: Link,
    mut flight: Flight,
) -> Result<Response<Body>, Denial> {
    let status = response.status();
    let elsewhere = status.is_redirection() && status != StatusCode::NOT_MODIFIED;
    if elsewhere || status == StatusCode::SWITCHING_PROTOCOLS {
        flight.end(Outcome::Forwarded, Some(format!("status {status}, not passed on")));
        let text = format!("the API server answered {}, which is not followed", status.as_u16());
        return Err(Denial::upstream(&text));
    }
    let (parts, body) = response.into_parts();
    if let Err(error) = flight.record_head(status, &parts.headers) {
        flight.end(Outcome::Forwarded, Some(format!("status {status}; {}", unrecorded(&error))));
        return Err(Denial::upstream("iddio cannot record the answer, so it is not passed on"));
    }
    let reins = flight.reins();
    let deadline = reins.deadline.map(|(until, _)| Box::pin(sleep_until(until.into())));
    let relay = Relay {
        body,
        link: Some(link),
        upstream: upstream.clone(),
        reins,
        flight: Some(flight),
        deadline,
        status,
    };
    let mut answer = Response::new(Either::Right(relay));
    *answer.status_mut() = status;
    *answer.headers_mut() = passed(&parts.headers);
    Ok(answer)
}

/// The headers of an answer that mean something to the client.
fn passed(headers: &HeaderMap) -> HeaderMap {
    let named: Vec<_> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|token| token.trim().to_ascii_lowercase())
        .collect();
    let mut passed = HeaderMap::new();
    for (name, value) in headers {
        let own = name.as_str();
        if !KEPT_BACK.contains(&own) && !named.iter().any(|token| token == own) {
            passed.append(name.clone(), value.clone());
        }
    }
    passed
}

// === impl Flight ===

impl Flight {
    /// Records what is sent, before it is.
    async fn record_request(&mut self, action: &mut KubeAction) -> io::Result<()> {
        if self.recorded() == Recorded::Metadata {
            return Ok(());
        }
        recordings::readable(&mut action.head);
        self.flight.room().await?;
        self.flight.frame(Channel::RequestHead, &recordings::request_head(action))?;
        match action.body.is_empty() {
            true => Ok(()),
            false => self.flight.frame(Channel::Request, &action.body),
        }
    }

    /// Records the head of the answer, before it is passed on.
    fn record_head(&mut self, status: StatusCode, headers: &HeaderMap) -> io::Result<()> {
        match self.recorded() {
            Recorded::Metadata => Ok(()),
            Recorded::Full => {
                let head = recordings::response_head(status, headers);
                self.flight.frame(Channel::ResponseHead, &head)
            }
        }
    }

    fn recorded(&self) -> Recorded {
        self.flight.record().decision.obligations.record
    }

    /// Records the end. The record is made on a thread that may wait.
    pub fn end(self, outcome: Outcome, note: Option<String>) {
        self.close(End { note, ..End::of(outcome) });
    }

    /// What ends its stream: a freeze, a token that ends, and the time that policy gives it.
    pub(crate) fn reins(&self) -> Reins {
        let limit = self.flight.record().decision.obligations.run_millis_max;
        let deadline = limit.and_then(|limit| self.since.checked_add(Duration::from_millis(limit)));
        let deadline = deadline.map(|deadline| (deadline, "cut: it may not run longer"));
        Reins { leash: self.flight.leash(), known: self.known.clone(), deadline }
    }

    /// Records an end that says more.
    pub(crate) fn close(self, end: End) {
        let Self { flight, hold, since, known: _, escort, sent } = self;
        let note = match (end.note, sent) {
            (Some(note), Sent::Again) => Some(format!("{note}; {AGAIN}")),
            (None, Sent::Again) => Some(AGAIN.to_owned()),
            (note, Sent::Once) => note,
        };
        let end = End { note, ..end };
        let end = End { duration_ms: u64::try_from(since.elapsed().as_millis()).ok(), ..end };
        let closing = tokio::task::spawn_blocking(move || {
            if let Err(error) = iddio_runtime::block_on::block_on(flight.close(end)) {
                // The log keeps the debt.
                tracing::error!(%error, "the end of a request is not recorded yet");
            }
            drop((hold, escort));
        });
        // Whoever stops the gateway waits for what is held.
        drop(closing);
    }
}

// === impl Reins ===

impl Reins {
    /// Looks whether the stream may go on.
    pub(crate) fn cut(&self) -> Option<(Outcome, &'static str)> {
        if self.leash.hold().is_some() {
            return Some((Outcome::Frozen, "cut: the caller was frozen"));
        }
        if let Some((deadline, why)) = self.deadline
            && deadline <= Instant::now()
        {
            return Some((Outcome::TimedOut, why));
        }
        match (self.known)() {
            Known::Yes => None,
            Known::No => Some((Outcome::Forwarded, "cut: the caller's token was revoked")),
        }
    }

    /// Ends it then at the latest.
    pub(crate) fn no_later_than(&mut self, until: Option<Instant>, why: &'static str) {
        let until = until.map(|until| (until, why));
        self.deadline =
            [self.deadline, until].into_iter().flatten().min_by_key(|(until, _)| *until);
    }
}

// === impl Relay ===

impl Relay {
    /// Has the stream looked at as soon as something changes.
    fn listen(&mut self, context: &mut Context<'_>) {
        let changes = self.flight.as_mut().map(|flight| &mut flight.escort.changes);
        if changes.is_some_and(|changes| changes.wakes(context).is_ready()) {
            // Something changed since it was looked at: once more.
            context.waker().wake_by_ref();
        }
    }

    /// Looks whether the stream may go on, if something changed or its time is over.
    fn cut(&mut self, context: &mut Context<'_>) -> Option<(Outcome, &'static str)> {
        let over = |sleep: &mut Pin<Box<Sleep>>| sleep.as_mut().poll(context).is_ready();
        let late = self.deadline.as_mut().is_some_and(over);
        let flight = self.flight.as_mut()?;
        if flight.escort.changes.take().is_none() && !late {
            return None;
        }
        let cut = self.reins.cut()?;
        flight.escort.meters.cut(cut.0);
        Some(cut)
    }

    fn end(&mut self, outcome: Outcome, note: &str) {
        if let Some(flight) = self.flight.take() {
            flight.end(outcome, Some(format!("status {}; {note}", self.status.as_u16())));
        }
    }

    /// Ends a stream that cannot be recorded.
    fn lose(&mut self, error: io::Error) -> io::Error {
        self.link = None;
        self.end(Outcome::Forwarded, &unrecorded(&error));
        error
    }

    /// Ends a stream that came to its own end, and keeps the connection.
    fn finish(&mut self) {
        if let Some(link) = self.link.take() {
            self.upstream.keep(link);
        }
        if let Some(flight) = self.flight.take() {
            flight.end(Outcome::Forwarded, Some(format!("status {}", self.status.as_u16())));
        }
    }
}

impl HttpBody for Relay {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if let Some((outcome, note)) = self.cut(context) {
            self.link = None;
            self.end(outcome, note);
            return Poll::Ready(Some(Err(io::Error::other(note))));
        }
        // Nothing more is taken from the API server while the recording has no room.
        match self.flight.as_mut().map(|flight| flight.flight.poll_room(context)) {
            Some(Poll::Pending) => {
                self.listen(context);
                return Poll::Pending;
            }
            Some(Poll::Ready(Err(error))) => return Poll::Ready(Some(Err(self.lose(error)))),
            Some(Poll::Ready(Ok(()))) | None => {}
        }
        match Pin::new(&mut self.body).poll_frame(context) {
            Poll::Pending => {
                self.listen(context);
                Poll::Pending
            }
            Poll::Ready(Some(Ok(frame))) => {
                let taken = match (self.flight.as_mut(), frame.data_ref()) {
                    (Some(flight), Some(data)) if !data.is_empty() => {
                        flight.flight.frame(Channel::Response, data)
                    }
                    _ => Ok(()),
                };
                Poll::Ready(Some(taken.map(|()| frame).map_err(|error| self.lose(error))))
            }
            Poll::Ready(Some(Err(error))) => {
                self.link = None;
                self.end(Outcome::Forwarded, "the API server broke off");
                Poll::Ready(Some(Err(io::Error::other(error))))
            }
            Poll::Ready(None) => {
                self.finish();
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        match self.body.is_end_stream() {
            true => self.finish(),
            false => self.end(Outcome::Forwarded, "the client went away before the end"),
        }
    }
}

/// What the closed record says of a recording that was lost.
fn unrecorded(error: &io::Error) -> String {
    format!("cut: it could not be recorded: {error}")
}

/// Headers of an answer that are about a connection, would send the client elsewhere, or would make it
/// keep something.
const KEPT_BACK: [&str; 10] = [
    "alt-svc",
    "connection",
    "keep-alive",
    "location",
    "proxy-authenticate",
    "set-cookie",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// What the record of a request says that was sent twice.
const AGAIN: &str = "sent again with a new token";

const UNAUTHORIZED: StatusCode = StatusCode::UNAUTHORIZED;

/// How often a stream into a workload is looked at: whoever is frozen or revoked is cut within a second.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(500);
