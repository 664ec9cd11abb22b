//! The one place that words a denial: `metav1.Status`, which every client of Kubernetes shows in one
//! line and a program can take apart.
//!
//! The message says what, how dangerous, why, by which rule and under which record; `details.causes`
//! says the same in parts, each under a reason of ours.

use bytes::Bytes;
use http_body_util::{Either, Full};
use hyper::{Response, StatusCode, header};
use iddio_classify::kube::Malformed;
use iddio_core::{audit::Refusal, credential::MintError, pipeline::Rejection, sanitise};
use serde_json::{Value, json};

use crate::{
    forward::Relay,
    operation::{Carried, NOT_YET},
    request::HeadError,
};

/// What a client gets: words of ours, or the answer of the API server.
pub type Body = Either<Full<Bytes>, Relay>;

/// A denial, before it is written down for the wire.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Denial {
    status: StatusCode,
    reason: &'static str,
    message: String,
    causes: Vec<(&'static str, String)>,
    close: Close,
    retry_secs: Option<u32>,
}

/// Whether the connection ends with the answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Close {
    /// It does: what follows on it could be anything (threat K21).
    Ends,
    /// It does not.
    Stays,
}

// === impl Denial ===

impl Denial {
    /// Words a recorded refusal. `ask` is the ask's name, if a human was asked.
    pub fn of_rejection(rejection: &Rejection, carried: &Carried, ask: Option<String>) -> Self {
        let record = rejection.record();
        let operation = record.subject.operations.worst();
        let decision = &record.decision;
        let what = operation.description.command.clone().unwrap_or_default();
        let because = operation.deciding_reason().map_or("unknown", |reason| reason.text.as_str());
        let because = if *carried == Carried::NotYet { NOT_YET } else { because };
        let why = match rejection.reason() {
            Refusal::Frozen | Refusal::Policy => {
                decision.reason.as_deref().unwrap_or("policy denies it").to_owned()
            }
            reason => reason.to_string(),
        };
        let (tier, id) = (decision.effective, rejection.receipt().id().to_string());
        let rule = decision.rule.to_string();
        let short = id.get(..RECORD_SHOWN).unwrap_or(&id);
        let message =
            format!("iddio refused {what}: {tier}, {because}; {why}; rule {rule}; record {short}");
        let retry = match rejection.reason() {
            Refusal::Lapse | Refusal::Withdrawn | Refusal::PolicyMoved | Refusal::Grant(_) => {
                "true"
            }
            Refusal::Approver | Refusal::Frozen | Refusal::Misjudged | Refusal::Policy => "false",
        };
        let mut causes = vec![
            ("iddio/tier", tier.number().to_string()),
            ("iddio/because", because.to_owned()),
            ("iddio/rule", rule),
            ("iddio/record", id),
            ("iddio/retry", retry.to_owned()),
        ];
        causes.extend(ask.map(|ask| ("iddio/ask", ask)));
        let (status, reason) = match carried {
            Carried::Malformed(malformed) => of_malformed(malformed),
            Carried::NotYet | Carried::Stream | Carried::Yes => {
                (StatusCode::FORBIDDEN, "Forbidden")
            }
        };
        let close = match carried {
            Carried::Yes => Close::Stays,
            Carried::Malformed(_) | Carried::NotYet | Carried::Stream => Close::Ends,
        };
        Self { status, reason, message, causes, close, retry_secs: None }
    }

    /// Words the refusal of what nobody forwards, although it was allowed.
    pub fn of_uncarried(carried: &Carried) -> Self {
        let (status, reason, what) = match carried {
            Carried::Malformed(malformed) => {
                let (status, reason) = of_malformed(malformed);
                (status, reason, malformed.to_string())
            }
            Carried::NotYet | Carried::Stream | Carried::Yes => {
                (StatusCode::FORBIDDEN, "Forbidden", NOT_YET.to_owned())
            }
        };
        Self::plain(status, reason, &format!("iddio refused the request: {what}")).ending()
    }

    /// Words what is wrong with a head.
    pub fn of_head(error: HeadError) -> Self {
        match error {
            HeadError::Anonymous => {
                Self::plain(StatusCode::UNAUTHORIZED, "Unauthorized", &error.to_string())
            }
            HeadError::Ambiguous(_) => {
                Self::plain(StatusCode::BAD_REQUEST, "BadRequest", &error.to_string()).ending()
            }
        }
    }

    /// Words why there is no credential.
    pub fn of_mint(error: MintError) -> Self {
        let text = format!("iddio did not forward the request: {error}");
        match error {
            MintError::Frozen => Self::plain(StatusCode::FORBIDDEN, "Forbidden", &text),
            MintError::Expired | MintError::Refused(_) | MintError::Unavailable => {
                Self::unavailable(&text)
            }
        }
    }

    /// Says that something of ours is not there. Nothing was forwarded.
    pub fn unavailable(text: &str) -> Self {
        Self::plain(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", text)
    }

    /// Says that the API server is not there, or said something that is not passed on.
    pub fn upstream(text: &str) -> Self {
        Self::plain(StatusCode::BAD_GATEWAY, "InternalError", text)
    }

    /// Says that what a request is about changed while a human thought. Nothing was forwarded. It is no
    /// conflict: clients try those again by themselves, and nobody should be asked by a loop.
    pub fn moved() -> Self {
        let text = "iddio did not forward the request: what it is about changed while it was decided, and \
                    what results is not what was asked about; ask again";
        Self::plain(StatusCode::FORBIDDEN, "Forbidden", text)
    }

    /// Says that there is too much at once.
    pub fn busy(text: &str) -> Self {
        let busy = Self::plain(StatusCode::TOO_MANY_REQUESTS, "TooManyRequests", text);
        Self { retry_secs: Some(1), ..busy }
    }

    /// Says that a body is too long, or did not come in time.
    pub fn body(status: StatusCode, text: &str) -> Self {
        let reason = match status {
            StatusCode::PAYLOAD_TOO_LARGE => "RequestEntityTooLarge",
            _ => "Timeout",
        };
        Self::plain(status, reason, text).ending()
    }

    /// Writes it for the wire.
    pub fn response(&self) -> Response<Body> {
        let body = Bytes::from(self.json().to_string());
        let length = body.len();
        let mut response = Response::new(Either::Left(Full::new(body)));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        let json = header::HeaderValue::from_static("application/json");
        let _ = headers.insert(header::CONTENT_TYPE, json);
        let _ = headers.insert(header::CONTENT_LENGTH, header::HeaderValue::from(length));
        if self.close == Close::Ends {
            let close = header::HeaderValue::from_static("close");
            let _ = headers.insert(header::CONNECTION, close);
        }
        if let Some(seconds) = self.retry_secs {
            let _ = headers.insert(header::RETRY_AFTER, header::HeaderValue::from(seconds));
        }
        response
    }

    fn json(&self) -> Value {
        let causes: Vec<_> = self
            .causes
            .iter()
            .map(|(reason, message)| json!({"reason": reason, "message": line(message)}))
            .collect();
        let mut details = json!({"causes": causes});
        if let (Some(seconds), Some(details)) = (self.retry_secs, details.as_object_mut()) {
            let _ = details.insert("retryAfterSeconds".to_owned(), seconds.into());
        }
        json!({
            "apiVersion": "v1",
            "kind": "Status",
            "metadata": {},
            "status": "Failure",
            "message": line(&self.message),
            "reason": self.reason,
            "details": details,
            "code": self.status.as_u16(),
        })
    }

    fn plain(status: StatusCode, reason: &'static str, message: &str) -> Self {
        let (message, causes) = (message.to_owned(), Vec::new());
        Self { status, reason, message, causes, close: Close::Stays, retry_secs: None }
    }

    /// Ends the connection with it.
    pub(crate) fn ending(self) -> Self {
        Self { close: Close::Ends, ..self }
    }
}

fn of_malformed(malformed: &Malformed) -> (StatusCode, &'static str) {
    match malformed.status() {
        413 => (StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge"),
        415 => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "UnsupportedMediaType"),
        _ => (StatusCode::BAD_REQUEST, "BadRequest"),
    }
}

/// One line that no terminal obeys.
fn line(text: &str) -> String {
    sanitise::line(text.as_bytes())
}

/// How many digits of a record's id people are shown: enough to paste, unique in any log.
const RECORD_SHOWN: usize = 12;
