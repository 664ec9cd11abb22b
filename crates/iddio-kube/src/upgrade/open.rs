//! Asks an API server for a stream, on a connection of its own.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Either, Full, Limited};
use hyper::{
    Request, Response, StatusCode,
    body::Incoming,
    header::{self, HeaderValue},
    upgrade::OnUpgrade,
};
use iddio_core::{audit::Outcome, credential::MintError};
use tokio::{
    sync::{OwnedSemaphorePermit, watch},
    time,
};

use super::{
    carry::{Ends, carry},
    relay::Relay,
    wish::Wish,
};
use crate::{
    forward::Flight,
    mint::Bearer,
    operation::KubeAction,
    refuse::{Body, Denial},
    upstream::{Link, Upstream, UpstreamError},
};

/// What a stream is opened with.
pub(crate) struct Opening {
    /// What the client wishes.
    pub(crate) wish: Wish,
    /// The client's connection, once it is taken over.
    pub(crate) client: OnUpgrade,
    /// Its place among the streams.
    pub(crate) place: Option<OwnedSemaphorePermit>,
}

/// Asks for a stream and returns what the client gets. The stream goes on by itself after that.
pub(crate) async fn open(
    upstream: &Arc<Upstream>,
    action: KubeAction,
    bearer: &Bearer,
    flight: Flight,
    opening: Opening,
    stopped: watch::Receiver<()>,
) -> Result<Response<Body>, Denial> {
    if flight.flight.leash().hold().is_some() {
        flight.end(Outcome::NotForwarded, Some("frozen before it was sent".to_owned()));
        return Err(Denial::of_mint(MintError::Frozen).ending());
    }
    let Opening { wish, client, place } = opening;
    let offer = wish.offer();
    let asked = offer.and_then(|offer| {
        let request = request(&upstream.authority(), action, &offer.headers(), bearer)?;
        Some((offer, request))
    });
    let Some((offer, mut request)) = asked else {
        flight.end(Outcome::NotForwarded, Some("it cannot be written".to_owned()));
        return Err(Denial::upstream("iddio could not write the request").ending());
    };
    flight.escort.mark(&mut request);
    let (mut response, link) = match upstream.upgrade(request).await {
        Ok(answered) => answered,
        Err(error) => {
            let outcome = match &error {
                UpstreamError::Slow => Outcome::TimedOut,
                UpstreamError::Http(_) => Outcome::Forwarded,
                _ => Outcome::NotForwarded,
            };
            flight.end(outcome, Some(error.to_string()));
            return Err(Denial::upstream(&format!("iddio has no answer: {error}")).ending());
        }
    };
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return plain(response, link, flight).await;
    }
    let (speech, told) = match offer.taken(response.headers()) {
        Ok(taken) => taken,
        Err(what) => {
            flight.end(Outcome::Forwarded, Some(format!("no stream: {what}")));
            let text = format!("the API server made no stream: {what}");
            return Err(Denial::upstream(&text).ending());
        }
    };
    let server = hyper::upgrade::on(&mut response);
    let ends = Ends { client, server, link, place };
    // It is held by its flight until its end is recorded, and told when the gateway stops.
    let carried = tokio::spawn(carry(ends, Relay::new(speech), flight, stopped));
    drop(carried);
    let mut answer = Response::new(Either::Left(Full::default()));
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    *answer.headers_mut() = told;
    Ok(answer)
}

/// Writes the request: what was judged, what is offered, the credential, and nothing else.
fn request(
    authority: &str,
    action: KubeAction,
    offered: &[(&'static str, String)],
    bearer: &Bearer,
) -> Option<Request<Full<Bytes>>> {
    let KubeAction { head, body, .. } = action;
    let mut request = Request::builder()
        .method(head.method.as_str())
        .uri(head.target.as_str())
        .header(header::HOST, authority)
        .header(header::AUTHORIZATION, bearer.header().ok()?);
    for (name, value) in offered {
        request = request.header(*name, value.as_str());
    }
    for (name, value) in &head.headers {
        request = request.header(name.as_str(), value.as_slice());
    }
    request.body(Full::new(body)).ok()
}

/// Passes on the answer of a server that made no stream, and ends both connections (threat K21).
async fn plain(
    response: Response<Incoming>,
    link: Link,
    flight: Flight,
) -> Result<Response<Body>, Denial> {
    let (parts, body) = response.into_parts();
    let status = parts.status;
    let read = time::timeout(PLAIN_MAX, Limited::new(body, PLAIN_BYTES_MAX).collect()).await;
    drop(link);
    flight.end(Outcome::Forwarded, Some(format!("status {}; no stream", status.as_u16())));
    let failed = status.is_client_error() || status.is_server_error();
    let (true, Ok(Ok(read))) = (failed, read) else {
        let text = format!("the API server answered {}, and made no stream", status.as_u16());
        return Err(Denial::upstream(&text).ending());
    };
    let mut answer = Response::new(Either::Left(Full::new(read.to_bytes())));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    for name in [header::CONTENT_TYPE, header::RETRY_AFTER] {
        if let Some(value) = parts.headers.get(&name) {
            let _ = headers.insert(name, value.clone());
        }
    }
    let _ = headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    Ok(answer)
}

/// The most of an answer that is no stream: a status of a few hundred bytes.
const PLAIN_BYTES_MAX: usize = 256 * 1024;

/// How long it may take.
const PLAIN_MAX: time::Duration = time::Duration::from_secs(10);
