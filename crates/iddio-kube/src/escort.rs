//! What goes along with an operation in flight: word of changes, meters, a trace.

use hyper::{Request, header::HeaderValue};
use iddio_serve::{changes::Heard, metrics::Held, shared::Shared};

use crate::meters::Meters;

/// It goes along until the operation ends.
pub struct Escort {
    /// Wakes when somebody may have been frozen or revoked.
    pub changes: Heard,
    /// Counts.
    pub meters: Meters,
    traceparent: Option<HeaderValue>,
    _counted: Held,
}

// === impl Escort ===

impl Escort {
    /// Begins to go along.
    pub fn new(shared: &Shared, meters: &Meters, traceparent: Option<HeaderValue>) -> Self {
        let (changes, counted) = (shared.changes.listen(), meters.flight());
        Self { changes, meters: meters.clone(), traceparent, _counted: counted }
    }

    /// Tells the API server of the trace that goes on, if there is one.
    pub fn mark<B>(&self, request: &mut Request<B>) {
        if let Some(traceparent) = self.traceparent.clone() {
            let _ = request.headers_mut().insert(TRACEPARENT, traceparent);
        }
    }
}

/// How a trace goes on.
const TRACEPARENT: &str = "traceparent";
