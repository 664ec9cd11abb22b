//! Tokens for single requests: `TokenRequest` for a service account of the agent and the tier.
//!
//! The gateway's own token can make tokens of these accounts and nothing else. What it gets lives as
//! short as API servers allow, is bound to a Secret of the agent's, so that deleting that Secret ends
//! every token at once, and is never written down. Above tier 0 each request has one of its own; reads
//! of one agent share one for five minutes, unless policy says otherwise.
//!
//! The account follows the tier by nature: a runbook makes a write easier to decide, not smaller.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Method, Request, StatusCode, header};
use iddio_core::{
    BoxFuture,
    credential::{CredentialMinter, MintError},
    pipeline::Warrant,
    policy::CredentialReuse,
    tier::Tier,
    time::{BootTime, Clock},
};
use serde::Deserialize;
use serde_json::json;
use zeroize::Zeroizing;

use crate::{
    cluster::{Cluster, Own, is_name},
    operation::KubeAction,
    upstream::{Upstream, UpstreamError},
};

/// A bearer token of one service account.
pub struct Bearer {
    token: Zeroizing<String>,
    purpose: Purpose,
}

/// What a token is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Purpose {
    /// Reads of one agent, for a while.
    Shared,
    /// One request.
    Single,
}

/// Makes the tokens of one cluster.
pub struct Minter {
    upstream: Arc<Upstream>,
    namespace: String,
    own: Own,
    clock: Arc<dyn Clock>,
    shared: Mutex<HashMap<String, (Arc<Bearer>, BootTime)>>,
}

/// What became of an agent's tokens.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Ended {
    /// There was nothing to end.
    Already,
    /// They are ended.
    Now,
}

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The answer is none.
    #[error("the API server's answer is no token")]
    Answer,
    /// The API server says no.
    #[error("the API server refuses a token of `{account}`: {status}")]
    Refused {
        /// Of which account.
        account: String,
        /// The HTTP status.
        status: u16,
    },
    /// The agent's name cannot be one of Kubernetes.
    #[error("`{0}` cannot be part of a service account's name: use a-z, 0-9 and -")]
    Name(String),
    /// The gateway's own token cannot be read.
    #[error("the gateway's own token cannot be read: {0}")]
    Own(String),
    /// There is no API server.
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
}

// === impl Minter ===

impl Minter {
    /// Makes the minter of a cluster.
    pub fn new(cluster: &Cluster, upstream: Arc<Upstream>, clock: Arc<dyn Clock>) -> Self {
        let (namespace, own) = (cluster.namespace.clone(), cluster.own.clone());
        Self { upstream, namespace, own, clock, shared: Mutex::default() }
    }

    /// Returns another token for a read of `agent` whose token the API server took no more. One that was
    /// made for that request alone has no successor: that the server refuses it means something else.
    pub(crate) async fn instead(&self, agent: &str, refused: &Arc<Bearer>) -> Option<Arc<Bearer>> {
        if refused.purpose == Purpose::Single {
            return None;
        }
        {
            let mut shared = self.shared();
            // Somebody may have got a new one meanwhile.
            if shared.get(agent).is_some_and(|(known, _)| Arc::ptr_eq(known, refused)) {
                let _ = shared.remove(agent);
            }
        }
        if let Some(bearer) = self.fresh(agent) {
            return Some(bearer);
        }
        let made = self.request(agent, Tier::Observe, Purpose::Shared).await;
        let bearer =
            Arc::new(made.inspect_err(|error| tracing::error!(%error, "there is no token")).ok()?);
        self.share(agent, &bearer);
        Some(bearer)
    }

    async fn bearer(&self, warrant: &Warrant<KubeAction>) -> Result<Arc<Bearer>, TokenError> {
        let record = warrant.record();
        let agent = record.subject.principal.id.as_str();
        let tier = record.subject.operations.native_tier();
        let shares = match record.decision.obligations.credential {
            CredentialReuse::Default => tier == Tier::Observe,
            CredentialReuse::PerRequest => false,
            // Never beyond the tier that the token was made for.
            CredentialReuse::Reuse => tier == Tier::Observe,
        };
        if shares && let Some(bearer) = self.fresh(agent) {
            return Ok(bearer);
        }
        let purpose = if shares { Purpose::Shared } else { Purpose::Single };
        let bearer = Arc::new(self.request(agent, tier, purpose).await?);
        if shares {
            self.share(agent, &bearer);
        }
        Ok(bearer)
    }

    fn share(&self, agent: &str, bearer: &Arc<Bearer>) {
        let until = self.clock.now().plus_millis(SHARED_MILLIS_MAX).boot;
        let mut shared = self.shared();
        let now = self.clock.now().boot;
        shared.retain(|_, (_, until)| now.until(*until).is_some());
        if shared.len() < SHARED_MAX {
            let _ = shared.insert(agent.to_owned(), (bearer.clone(), until));
        }
    }

    fn fresh(&self, agent: &str) -> Option<Arc<Bearer>> {
        let now = self.clock.now().boot;
        let shared = self.shared();
        let (bearer, until) = shared.get(agent)?;
        now.until(*until).map(|_| bearer.clone())
    }

    async fn request(
        &self,
        agent: &str,
        tier: Tier,
        purpose: Purpose,
    ) -> Result<Bearer, TokenError> {
        if !is_name(agent) {
            return Err(TokenError::Name(agent.to_owned()));
        }
        let account = format!("iddio-{agent}-t{}", tier.number());
        let body = json!({
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {
                "audiences": [AUDIENCE],
                "expirationSeconds": LIFE_SECS,
                "boundObjectRef": {
                    "apiVersion": "v1", "kind": "Secret", "name": format!("iddio-{agent}"),
                },
            },
        });
        let namespace = &self.namespace;
        let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token");
        let (status, bytes) = self.say(Method::POST, path, body.to_string()).await?;
        if !status.is_success() {
            return Err(TokenError::Refused { account, status: status.as_u16() });
        }
        let token = token(&bytes).ok_or(TokenError::Answer)?;
        Ok(Bearer { token, purpose })
    }

    /// Ends every token of an agent, by deleting the Secret that all of them are bound to.
    ///
    /// # Errors
    ///
    /// When the API server did not say that it is deleted.
    pub(crate) async fn end(&self, agent: &str) -> Result<Ended, TokenError> {
        let _ = self.shared().remove(agent);
        // Nobody of such a name has had a token.
        if !is_name(agent) {
            return Ok(Ended::Already);
        }
        let (namespace, account) = (&self.namespace, format!("iddio-{agent}"));
        let path = format!("/api/v1/namespaces/{namespace}/secrets/{account}");
        match self.say(Method::DELETE, path, String::new()).await?.0 {
            StatusCode::NOT_FOUND => Ok(Ended::Already),
            status if status.is_success() => Ok(Ended::Now),
            status => Err(TokenError::Refused { account, status: status.as_u16() }),
        }
    }

    /// Says something to the API server as the gateway itself, and returns its answer.
    async fn say(
        &self,
        method: Method,
        path: String,
        body: String,
    ) -> Result<(StatusCode, Bytes), TokenError> {
        let mut request = Request::builder().method(method).uri(path);
        request = request.header(header::HOST, self.upstream.authority());
        if let Some(own) = self.own()? {
            let own = Zeroizing::new(format!("Bearer {}", own.as_str()));
            request = request.header(header::AUTHORIZATION, secret(&own)?);
        }
        if !body.is_empty() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let request = request
            .header(header::ACCEPT, "application/json")
            .body(Full::new(Bytes::from(body)))
            .map_err(|_| TokenError::Answer)?;
        let (response, link) = self.upstream.send(request).await?;
        let status = response.status();
        let read = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
        let bytes = read.map_err(|_| TokenError::Answer)?.to_bytes();
        self.upstream.keep(link);
        Ok((status, bytes))
    }

    /// Returns the gateway's own token, if it has one and not a certificate; whoever renews it replaces
    /// its file.
    fn own(&self) -> Result<Option<Zeroizing<String>>, TokenError> {
        let text = match &self.own {
            Own::Certificate(..) => return Ok(None),
            Own::Token(token) => token.clone(),
            Own::TokenFile(path) => {
                let text = std::fs::read_to_string(path).map(Zeroizing::new);
                text.map_err(|error| TokenError::Own(error.to_string()))?
            }
        };
        let trimmed = text.trim_end();
        match sound(trimmed) {
            true => Ok(Some(Zeroizing::new(trimmed.to_owned()))),
            false => Err(TokenError::Own("it is no token".to_owned())),
        }
    }

    fn shared(&self) -> std::sync::MutexGuard<'_, HashMap<String, (Arc<Bearer>, BootTime)>> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CredentialMinter<KubeAction> for Minter {
    type Credential = Arc<Bearer>;

    fn mint<'a>(
        &'a self,
        warrant: &'a Warrant<KubeAction>,
    ) -> BoxFuture<'a, Result<Self::Credential, MintError>> {
        Box::pin(async move {
            self.bearer(warrant).await.map_err(|error| {
                // The caller hears that there is none; why is for operators.
                tracing::error!(%error, "there is no token");
                MintError::Unavailable
            })
        })
    }
}

// === impl Bearer ===

impl Bearer {
    /// Returns the header that shows it.
    ///
    /// # Errors
    ///
    /// Never, since its letters were looked at; the type of headers cannot know.
    pub(crate) fn header(&self) -> Result<header::HeaderValue, TokenError> {
        secret(&Zeroizing::new(format!("Bearer {}", self.token.as_str())))
    }
}

/// Takes the token from an answer.
fn token(bytes: &[u8]) -> Option<Zeroizing<String>> {
    let Answer { status: Status { token } } = serde_json::from_slice(bytes).ok()?;
    let token = Zeroizing::new(token);
    sound(&token).then_some(token)
}

#[derive(Deserialize)]
struct Answer {
    status: Status,
}

#[derive(Deserialize)]
struct Status {
    token: String,
}

fn sound(token: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
    (1..=TOKEN_BYTES_MAX).contains(&token.len()) && token.bytes().all(letter)
}

/// A header value that is not printed.
fn secret(text: &str) -> Result<header::HeaderValue, TokenError> {
    let mut value = header::HeaderValue::from_str(text).map_err(|_| TokenError::Answer)?;
    value.set_sensitive(true);
    Ok(value)
}

/// Whom the token is for: the API server itself.
const AUDIENCE: &str = "https://kubernetes.default.svc";

/// How long it lives: API servers refuse less.
const LIFE_SECS: u32 = 600;

/// How long reads of one agent share one.
const SHARED_MILLIS_MAX: u64 = 300_000;

/// The most agents whose reads share one.
const SHARED_MAX: usize = 1024;

/// The most of an answer that is read.
const ANSWER_BYTES_MAX: usize = 256 * 1024;

/// The longest token: a signed one has some 1.5 KB.
const TOKEN_BYTES_MAX: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_token_is_not_taken_for_one() {
        assert!(token(br#"{"status":{"token":"a.b-c_d","expirationTimestamp":"x"}}"#).is_some());
        for answer in [
            &b""[..],
            b"{}",
            br#"{"status":{}}"#,
            br#"{"status":{"token":""}}"#,
            br#"{"status":{"token":"a b"}}"#,
            br#"{"status":{"token":"a\r\nX-Remote-User: admin"}}"#,
        ] {
            assert!(token(answer).is_none());
        }
    }
}
