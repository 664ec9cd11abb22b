//! Spans for a collector, by OTLP over HTTP, as JSON.
//!
//! A request may come with the `traceparent` of W3C, and goes on with one whose parent is our span. Off
//! unless configured; then a request costs two random numbers and one place in a queue. INVARIANT: nobody
//! waits for a collector: what does not fit into the queue, and what the collector does not take, is dropped
//! and counted. A span names no object, no caller and nothing of what passed.

use std::{
    collections::VecDeque,
    fmt::Write as _,
    io::{self, Read, Write},
    net::TcpStream,
    path::Path,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, SystemTime},
};

use iddio_net::Destination;
use iddio_runtime::clock::draw_id;
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use serde_json::{Value, json};

use crate::config::{Endpoint, Scheme, Traces};

/// Takes spans, and has them sent.
#[derive(Clone)]
pub struct Tracer(Option<Arc<Queue>>);

/// A span that is open.
#[derive(Debug)]
pub struct Span {
    trace: u128,
    id: u64,
    parent: Option<u64>,
    sampled: Sampled,
    begun: SystemTime,
}

/// Whether a span is sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Sampled {
    No,
    Yes,
}

/// What a span says.
#[derive(Clone, Debug)]
pub struct Said {
    /// What it is of.
    pub name: &'static str,
    /// What there is to say, of names and words that are known beforehand.
    pub attributes: Vec<(&'static str, Attribute)>,
    /// Whether it went wrong on our side.
    pub outcome: Outcome,
}

/// A value in a span.
#[derive(Clone, Debug)]
pub enum Attribute {
    /// A number.
    Int(i64),
    /// A word.
    Text(String),
}

/// Whether something went wrong on our side.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// It did.
    Error,
    /// It did not.
    Ok,
}

/// Why spans cannot be sent.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// Who vouches for the collector cannot be read.
    #[error("traces: certificate authority: {0}")]
    Authority(String),
    /// The collector cannot be named.
    #[error("traces: `{0}` cannot be connected to")]
    Name(String),
    /// There is no thread for it.
    #[error("traces: {0}")]
    Thread(#[from] io::Error),
}

/// Sends spans until it is dropped; then it sends what is left, for a moment.
pub struct Exporter {
    queue: Arc<Queue>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Queue {
    waiting: Mutex<Waiting>,
    more: Condvar,
    dropped: AtomicU64,
    sent: AtomicU64,
}

#[derive(Default)]
struct Waiting {
    spans: VecDeque<Value>,
    closed: bool,
}

struct Collector {
    endpoint: Endpoint,
    named: Destination,
    tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
    service: &'static str,
}

// === impl Tracer ===

impl Tracer {
    /// One that takes nothing.
    pub fn off() -> Self {
        Self(None)
    }

    /// Begins to send spans of `service` to the collector of `traces`.
    ///
    /// # Errors
    ///
    /// When the collector cannot be reached in principle. Whether it is there is not asked.
    pub fn start(traces: &Traces, service: &'static str) -> Result<(Self, Exporter), TraceError> {
        let collector = Collector::new(traces, service)?;
        let queue = Arc::<Queue>::default();
        let own = queue.clone();
        let named = thread::Builder::new().name("iddio-traces".to_owned());
        let thread = Some(named.spawn(move || own.send_all(&collector))?);
        Ok((Self(Some(queue.clone())), Exporter { queue, thread }))
    }

    /// Opens a span for a request that came with this `traceparent`, if it had one. Where nothing is
    /// sent there is none.
    pub fn begin(&self, traceparent: Option<&str>) -> Option<Span> {
        let _queue = self.0.as_ref()?;
        let (own, id) = (draw_id().ok()?.0, draw_id().ok()?.0);
        let id = (id as u64).max(1);
        let begun = SystemTime::now();
        Some(match traceparent.and_then(parse) {
            Some((trace, parent, sampled)) => {
                Span { trace, id, parent: Some(parent), sampled, begun }
            }
            None => Span { trace: own.max(1), id, parent: None, sampled: Sampled::Yes, begun },
        })
    }

    /// Ends a span.
    pub fn end(&self, span: Span, said: Said) {
        let Some(queue) = &self.0 else { return };
        if span.sampled == Sampled::Yes {
            queue.put(span.to_json(said));
        }
    }

    /// How many spans were sent, and how many were dropped.
    pub fn counts(&self) -> (u64, u64) {
        let count = |of: fn(&Queue) -> &AtomicU64| {
            self.0.as_ref().map_or(0, |queue| of(queue).load(Ordering::Relaxed))
        };
        (count(|queue| &queue.sent), count(|queue| &queue.dropped))
    }
}

// === impl Span ===

impl Span {
    /// Returns the `traceparent` that goes on.
    pub fn traceparent(&self) -> String {
        let flags = u8::from(self.sampled == Sampled::Yes);
        format!("00-{:032x}-{:016x}-{flags:02x}", self.trace, self.id)
    }

    fn to_json(&self, said: Said) -> Value {
        let Said { name, attributes, outcome } = said;
        let nanos = |time: SystemTime| {
            let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            since.as_nanos().to_string()
        };
        let attributes: Vec<_> = attributes.into_iter().map(pair).collect();
        json!({
            "traceId": format!("{:032x}", self.trace),
            "spanId": format!("{:016x}", self.id),
            "parentSpanId": self.parent.map(|parent| format!("{parent:016x}")).unwrap_or_default(),
            "name": name,
            "kind": SERVER,
            "startTimeUnixNano": nanos(self.begun),
            "endTimeUnixNano": nanos(SystemTime::now()),
            "attributes": attributes,
            "status": {"code": if outcome == Outcome::Error { STATUS_ERROR } else { STATUS_UNSET }},
        })
    }
}

fn pair((key, value): (&'static str, Attribute)) -> Value {
    let value = match value {
        // 64-bit integers are text in OTLP's JSON.
        Attribute::Int(number) => json!({"intValue": number.to_string()}),
        Attribute::Text(text) => json!({"stringValue": text}),
    };
    json!({"key": key, "value": value})
}

/// Reads a `traceparent`; one that is none is as good as absent.
fn parse(text: &str) -> Option<(u128, u64, Sampled)> {
    let mut parts = text.split('-');
    let (version, trace, parent, flags) =
        (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let sizes = [version.len(), trace.len(), parent.len(), flags.len()];
    let digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    let sound = sizes == [2, 32, 16, 2]
        && version != "ff"
        && (version != "00" || parts.next().is_none())
        && [version, trace, parent, flags].iter().all(|part| part.bytes().all(digit));
    if !sound {
        return None;
    }
    let trace = u128::from_str_radix(trace, 16).ok().filter(|trace| *trace != 0)?;
    let parent = u64::from_str_radix(parent, 16).ok().filter(|parent| *parent != 0)?;
    let flags = u8::from_str_radix(flags, 16).ok()?;
    Some((trace, parent, if flags & 1 == 1 { Sampled::Yes } else { Sampled::No }))
}

// === impl Queue ===

impl Queue {
    fn put(&self, span: Value) {
        let mut waiting = self.waiting();
        match waiting.spans.len() < QUEUE_MAX {
            true => waiting.spans.push_back(span),
            false => {
                let _ = self.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
        let full = BATCH_MAX <= waiting.spans.len();
        drop(waiting);
        if full {
            self.more.notify_one();
        }
    }

    fn send_all(&self, collector: &Collector) {
        loop {
            let (batch, closed) = self.batch();
            if !batch.is_empty() {
                let count = u64::try_from(batch.len()).unwrap_or(u64::MAX);
                let counter = match collector.post(batch) {
                    Ok(()) => &self.sent,
                    Err(error) => {
                        tracing::warn!(%error, "spans were not taken");
                        &self.dropped
                    }
                };
                let _ = counter.fetch_add(count, Ordering::Relaxed);
            }
            if closed {
                return;
            }
        }
    }

    /// Waits for a full batch, or for a while.
    fn batch(&self) -> (Vec<Value>, bool) {
        let waiting = self.waiting();
        let short = |waiting: &mut Waiting| waiting.spans.len() < BATCH_MAX && !waiting.closed;
        let waited = self.more.wait_timeout_while(waiting, BATCH_EVERY, short);
        let (mut waiting, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let count = waiting.spans.len().min(BATCH_MAX);
        (waiting.spans.drain(..count).collect(), waiting.closed && waiting.spans.is_empty())
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        self.queue.waiting().closed = true;
        self.queue.more.notify_one();
        if let Some(thread) = self.thread.take() {
            // However it ended, there is nothing left to send.
            let _ = thread.join();
        }
    }
}

// === impl Collector ===

impl Collector {
    fn new(traces: &Traces, service: &'static str) -> Result<Self, TraceError> {
        let Traces { endpoint, certificate_authority } = traces;
        let unnamed = || TraceError::Name(endpoint.host.clone());
        let named = authority(endpoint).parse().map_err(|_| unnamed())?;
        let tls = match (endpoint.scheme, certificate_authority) {
            (Scheme::Http, _) => None,
            (Scheme::Https, None) => {
                return Err(TraceError::Authority("there is none".to_owned()));
            }
            (Scheme::Https, Some(path)) => {
                let name = ServerName::try_from(endpoint.host.clone()).map_err(|_| unnamed())?;
                Some((client(path).map_err(TraceError::Authority)?, name))
            }
        };
        Ok(Self { endpoint: endpoint.clone(), named, tls, service })
    }

    /// Posts one batch on a connection of its own.
    fn post(&self, spans: Vec<Value>) -> io::Result<()> {
        let Endpoint { host, port, path, .. } = &self.endpoint;
        let body = self.body(spans);
        let mut head = String::new();
        let authority = authority(&self.endpoint);
        let length = body.len();
        // Writing into a string cannot fail.
        let _ = write!(
            head,
            "POST {path} HTTP/1.1\r\nHost: {authority}\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\nConnection: close\r\n\r\n"
        );
        let named = std::slice::from_ref(&self.named);
        let stream = iddio_net::connect(named, host, *port).map_err(io::Error::other)?;
        stream.set_read_timeout(Some(ANSWER_MAX))?;
        stream.set_write_timeout(Some(ANSWER_MAX))?;
        match &self.tls {
            None => exchange(stream, head.as_bytes(), &body),
            Some((config, name)) => {
                let client = ClientConnection::new(config.clone(), name.clone());
                let client = client.map_err(io::Error::other)?;
                let stream: StreamOwned<ClientConnection, TcpStream> =
                    StreamOwned::new(client, stream);
                exchange(stream, head.as_bytes(), &body)
            }
        }
    }

    fn body(&self, spans: Vec<Value>) -> Vec<u8> {
        let service = pair(("service.name", Attribute::Text(self.service.to_owned())));
        let scope = json!({"scope": {"name": "iddio"}, "spans": spans});
        let body = json!({"resourceSpans": [
            {"resource": {"attributes": [service]}, "scopeSpans": [scope]},
        ]});
        body.to_string().into_bytes()
    }
}

/// Sends a request, and reads of the answer whether it was taken.
fn exchange(mut stream: impl Read + Write, head: &[u8], body: &[u8]) -> io::Result<()> {
    stream.write_all(head)?;
    stream.write_all(body)?;
    stream.flush()?;
    let mut answer = [0; b"HTTP/1.1 200".len()];
    stream.read_exact(&mut answer)?;
    match answer.strip_prefix(b"HTTP/1.1 2") {
        Some(_) => Ok(()),
        None => Err(io::Error::other("the collector refused them")),
    }
}

fn authority(endpoint: &Endpoint) -> String {
    let Endpoint { host, port, .. } = endpoint;
    match host.contains(':') {
        true => format!("[{host}]:{port}"),
        false => format!("{host}:{port}"),
    }
}

fn client(path: &Path) -> Result<Arc<ClientConfig>, String> {
    let text = std::fs::read(path).map_err(|error| format!("`{}`: {error}", path.display()))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&text) {
        let certificate = certificate.map_err(|error| error.to_string())?;
        roots.add(certificate).map_err(|error| error.to_string())?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// OTLP's number of a span of a server.
const SERVER: u8 = 2;

/// OTLP's number of a status nobody set.
const STATUS_UNSET: u8 = 0;

/// OTLP's number of an error.
const STATUS_ERROR: u8 = 2;

/// The most spans that wait: some megabytes.
const QUEUE_MAX: usize = 4096;

/// The most that are sent at once.
const BATCH_MAX: usize = 512;

/// How long a batch that is not full is waited for.
const BATCH_EVERY: Duration = Duration::from_secs(1);

/// How long a collector may take.
const ANSWER_MAX: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use std::{io::BufRead as _, io::BufReader, net::TcpListener, sync::mpsc};

    use super::*;

    /// A collector that takes one batch after the other.
    fn collector() -> (Traces, mpsc::Receiver<Value>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}/v1/traces", listener.local_addr().unwrap());
        let (sender, batches) = mpsc::channel();
        let _ = thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = BufReader::new(stream.unwrap());
                let (mut length, mut line) = (0, String::new());
                while stream.read_line(&mut line).unwrap() > 2 {
                    if let Some(text) = line.strip_prefix("Content-Length: ") {
                        length = text.trim().parse().unwrap();
                    }
                    line.clear();
                }
                let mut body = vec![0; length];
                stream.read_exact(&mut body).unwrap();
                stream
                    .get_mut()
                    .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                    .unwrap();
                if sender.send(serde_json::from_slice(&body).unwrap()).is_err() {
                    return;
                }
            }
        });
        let endpoint = endpoint.parse().unwrap();
        (Traces { endpoint, certificate_authority: None }, batches)
    }

    fn said() -> Said {
        let attributes =
            vec![("tier", Attribute::Int(3)), ("verdict", Attribute::Text("deny".into()))];
        Said { name: "request", attributes, outcome: Outcome::Ok }
    }

    #[test]
    fn a_span_continues_the_trace_it_came_with_and_arrives() {
        let (traces, batches) = collector();
        let (tracer, exporter) = Tracer::start(&traces, "iddio-kube").unwrap();
        let came = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let span = tracer.begin(Some(came)).unwrap();
        let goes = span.traceparent();
        assert!(goes.starts_with("00-0af7651916cd43dd8448eb211c80319c-") && goes.ends_with("-01"));
        assert_ne!(goes, came);
        tracer.end(span, said());
        drop(exporter);
        assert_eq!(tracer.counts(), (1, 0));
        let batch = batches.recv().unwrap();
        let span = &batch["resourceSpans"][0]["scopeSpans"][0]["spans"][0];
        assert_eq!(span["traceId"], "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(span["parentSpanId"], "b7ad6b7169203331");
        assert_eq!(span["attributes"][0]["value"]["intValue"], "3");
        let service = &batch["resourceSpans"][0]["resource"]["attributes"][0];
        assert_eq!(service["value"]["stringValue"], "iddio-kube");
    }

    #[test]
    fn nobody_waits_for_a_collector_that_is_not_there() {
        let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let endpoint = format!("http://{gone}/v1/traces").parse().unwrap();
        let traces = Traces { endpoint, certificate_authority: None };
        let (tracer, exporter) = Tracer::start(&traces, "iddio-kube").unwrap();
        for _ in 0..3 * QUEUE_MAX {
            let span = tracer.begin(None).unwrap();
            tracer.end(span, said());
        }
        assert!(tracer.0.as_ref().unwrap().waiting().spans.len() <= QUEUE_MAX);
        drop(exporter);
        assert_eq!(tracer.counts(), (0, 3 * QUEUE_MAX as u64));
    }

    #[test]
    fn what_is_not_sampled_is_not_sent_and_off_is_off() {
        assert!(Tracer::off().begin(None).is_none());
        let (traces, _batches) = collector();
        let (tracer, exporter) = Tracer::start(&traces, "iddio-kube").unwrap();
        let came = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";
        let span = tracer.begin(Some(came)).unwrap();
        assert!(span.traceparent().ends_with("-00"));
        tracer.end(span, said());
        drop(exporter);
        assert_eq!(tracer.counts(), (0, 0));
    }

    #[test]
    fn what_is_no_traceparent_begins_a_new_trace() {
        for text in [
            "",
            "00",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0\r",
        ] {
            assert!(parse(text).is_none(), "{text}");
        }
        assert!(parse("01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x").is_some());
    }
}
