//! The recordings of a gateway: opened with the first operation that wants one, and open from then on.
//!
//! Streams are recorded whatever policy says; requests and their answers where it says `record: full`.
//! While the recordings cannot be opened, operations that want one are refused, and all others go on
//! (threat K23).

use std::{
    io,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use hyper::{HeaderMap, StatusCode};
use iddio_core::{
    audit::DecisionRecord,
    operation::OperationId,
    policy::Recorded,
    recording::{MetadataOnly, Recorder, Recording},
    time::Clock,
};
use iddio_record::store::{Limits, Store};

use crate::{operation::KubeAction, request::Head};

/// The recordings of a home.
pub struct Recordings {
    dir: PathBuf,
    clock: Arc<dyn Clock>,
    store: Mutex<Option<Arc<Store>>>,
}

/// The recorder of streams.
pub(crate) struct OfStreams(pub(crate) Arc<Recordings>);

/// The recorder of requests and their answers.
pub(crate) struct OfExchanges(pub(crate) Arc<Recordings>);

// === impl Recordings ===

impl Recordings {
    /// The recordings that are, or will be, in `dir`.
    pub fn new(dir: PathBuf, clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self { dir, clock, store: Mutex::default() })
    }

    fn store(&self) -> io::Result<Arc<Store>> {
        let mut store = self.store.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = store.as_ref() {
            return Ok(open.clone());
        }
        let opened = Store::open(self.dir.clone(), Limits::GATEWAY, self.clock.clone())?;
        *store = Some(opened.clone());
        Ok(opened)
    }
}

// === impl OfStreams ===

impl Recorder for OfStreams {
    fn open(&self, id: OperationId, decided: &DecisionRecord) -> io::Result<Box<dyn Recording>> {
        self.0.store()?.sessions().open(id, decided)
    }
}

// === impl OfExchanges ===

impl Recorder for OfExchanges {
    fn open(&self, id: OperationId, decided: &DecisionRecord) -> io::Result<Box<dyn Recording>> {
        match decided.decision.obligations.record {
            Recorded::Metadata => MetadataOnly.open(id, decided),
            Recorded::Full => self.0.store()?.exchanges().open(id, decided),
        }
    }
}

/// The recorder of what is allowed and given up: nothing flows.
pub(crate) struct OfNothing;

impl Recorder for OfNothing {
    fn open(&self, _: OperationId, _: &DecisionRecord) -> io::Result<Box<dyn Recording>> {
        Ok(Box::new(MetadataOnly))
    }
}

/// Takes from a request what would make its answer unreadable: whoever records it asks for no packing.
pub(crate) fn readable(head: &mut Head) {
    head.headers.retain(|(name, _)| name != "accept-encoding");
}

/// The head of a request, as it is recorded.
pub(crate) fn request_head(action: &KubeAction) -> Vec<u8> {
    let mut out = format!("{} {}\n", action.head.method, action.head.target).into_bytes();
    for (name, value) in &action.head.headers {
        line(&mut out, name, value);
    }
    out
}

/// The head of an answer, as it is recorded.
pub(crate) fn response_head(status: StatusCode, headers: &HeaderMap) -> Vec<u8> {
    let mut out = format!("{}\n", status.as_u16()).into_bytes();
    for (name, value) in headers {
        line(&mut out, name.as_str(), value.as_bytes());
    }
    out
}

fn line(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.push(b'\n');
}
