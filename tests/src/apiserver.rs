//! An API server of ours that speaks enough of the Kubernetes API for real clients: discovery, objects,
//! lists in pieces, watches, logs, tokens of service accounts. It keeps what it was asked, so that a
//! test can see what reached it.

#![expect(clippy::indexing_slicing, reason = "a member of a JSON object that is not there is null")]

use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    net::SocketAddr,
    path::{Path, PathBuf},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body_util::{BodyExt, Either, Full};
use hyper::{
    Request, Response, Version,
    body::Body,
    body::Frame,
    body::Incoming,
    http::request::Parts,
    server::conn::{http1, http2},
    service::service_fn,
    upgrade::OnUpgrade,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{CertificateParams, KeyPair};
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{net::TcpListener, runtime::Runtime, sync::mpsc};

use crate::workload::{self, Asked};

/// The server, running until it is dropped.
pub struct ApiServer {
    address: SocketAddr,
    certificate: String,
    own_pair: Pair,
    shared: Arc<Shared>,
    _runtime: Runtime,
}

/// A request that reached the server.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The version of HTTP.
    pub version: Version,
    /// The method.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// The headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Whose token it had.
    pub account: String,
    /// The body.
    pub body: String,
}

/// What a server speaks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Spoken {
    /// HTTP/2, and HTTP/1.1 for whoever asks for that.
    Both,
    /// HTTP/1.1, and not a word of what else there could be.
    Http1,
}

/// A certificate for this host, and its key, both PEM.
pub struct Pair {
    /// The certificate, which vouches for itself.
    pub certificate: String,
    /// Its key.
    pub key: String,
}

struct Shared(Mutex<State>, TempDir);

#[derive(Default)]
struct State {
    objects: BTreeMap<(String, String, String), Value>,
    version: u64,
    tokens: BTreeMap<String, String>,
    /// What tokens were bound to, and is deleted.
    ended: BTreeSet<String>,
    seen: Vec<Seen>,
    watches: Vec<(Selector, mpsc::UnboundedSender<Bytes>)>,
    logs: Vec<mpsc::UnboundedSender<Bytes>>,
}

/// Which objects are meant: resource, namespace, name; empty means any.
#[derive(Clone)]
struct Selector {
    resource: String,
    namespace: String,
    name: String,
}

struct Pieces(mpsc::UnboundedReceiver<Bytes>);

type Answer = Response<Either<Full<Bytes>, Pieces>>;

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|piece| piece.map(|piece| Ok(Frame::data(piece))))
    }
}

// === impl ApiServer ===

impl ApiServer {
    /// Starts one on a free port of the loopback.
    pub fn start() -> Self {
        Self::speaking(Spoken::Both)
    }

    /// Starts one that speaks this much of HTTP.
    pub fn speaking(spoken: Spoken) -> Self {
        let runtime = Runtime::new().expect("threads");
        let (pair, own_pair) = (Pair::new(), Pair::new());
        let place = TempDir::with_prefix("iddio-pod-").expect("a temporary directory");
        let shared = Arc::new(Shared(Mutex::default(), place));
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a port");
        let address = listener.local_addr().expect("an address");
        let acceptor = tokio_rustls::TlsAcceptor::from(pair.server(spoken, &own_pair.certificate));
        let own = shared.clone();
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (own, acceptor) = (own.clone(), acceptor.clone());
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let certified = stream.get_ref().1.peer_certificates().is_some();
                    let service = service_fn(move |mut request| {
                        let own = own.clone();
                        if certified {
                            // As real ones do: who shows a certificate is whom it says, whatever the
                            // request says.
                            let bearer = format!("Bearer {OWN}").parse().expect("a header");
                            let _ = request.headers_mut().insert("authorization", bearer);
                        }
                        async move { Ok::<_, Infallible>(own.answer(request).await) }
                    });
                    if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
                        let connection = http2::Builder::new(TokioExecutor::new());
                        let _ = connection.serve_connection(TokioIo::new(stream), service).await;
                        return;
                    }
                    let connection = http1::Builder::new();
                    let connection = connection.serve_connection(TokioIo::new(stream), service);
                    let _ = connection.with_upgrades().await;
                });
            }
        });
        let certificate = pair.certificate;
        let server = Self { address, certificate, own_pair, shared, _runtime: runtime };
        server.reset();
        server
    }

    /// Puts back what was there at the start.
    pub fn reset(&self) {
        let mut state = self.shared.lock();
        let tokens = [("direct", "direct"), (OWN, "own")];
        let tokens = tokens.map(|(token, account)| (token.to_owned(), account.to_owned()));
        *state = State { tokens: tokens.into(), ..State::default() };
        for (resource, namespace, name) in [
            ("namespaces", "", "payments"),
            ("pods", "payments", "web-1"),
            ("pods", "payments", "web-2"),
            ("pods", "other", "web-3"),
            ("secrets", "payments", "db"),
            ("deployments", "payments", "web"),
        ] {
            let object = json!({"metadata": {"name": name}, "spec": {"replicas": 1, "containers": [{"name": "c"}]}, "status": {"phase": "Running"}});
            let _ = state.put(resource, namespace, name, object, "ADDED");
        }
    }

    /// Its port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Who vouches for it, PEM.
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// A client certificate that it takes for the gateway's own credential.
    pub fn own_pair(&self) -> &Pair {
        &self.own_pair
    }

    /// What reached it, but for requests for tokens.
    pub fn seen(&self) -> Vec<Seen> {
        let state = self.shared.lock();
        state.seen.iter().filter(|seen| seen.account != "own").cloned().collect()
    }

    /// The requests for tokens that reached it.
    pub fn token_requests(&self) -> Vec<Seen> {
        let state = self.shared.lock();
        state.seen.iter().filter(|seen| seen.account == "own").cloned().collect()
    }

    /// Adds a line to the logs that are being followed, and ends them if there are no more.
    pub fn log(&self, line: Option<&str>) {
        let mut state = self.shared.lock();
        match line {
            Some(line) => state.logs.iter().for_each(|log| {
                let _ = log.send(Bytes::from(format!("{line}\n")));
            }),
            None => state.logs.clear(),
        }
    }

    /// How many follow a log or watch something now.
    pub fn streams(&self) -> usize {
        let mut state = self.shared.lock();
        state.watches.retain(|(_, watch)| !watch.is_closed());
        state.logs.retain(|log| !log.is_closed());
        state.watches.len() + state.logs.len()
    }

    /// Puts an object there, as somebody else.
    pub fn put(&self, resource: &str, namespace: &str, name: &str) {
        self.place(resource, namespace, name, json!({"metadata": {"name": name}}));
    }

    /// Puts this object there, as somebody else.
    pub fn place(&self, resource: &str, namespace: &str, name: &str, object: Value) {
        let _ = self.shared.lock().put(resource, namespace, name, object, "ADDED");
    }
}

/// Writes a kubeconfig.
pub fn kubeconfig(path: &Path, address: SocketAddr, certificate: &str, token: &str) {
    let authority = path.with_extension("ca");
    std::fs::write(&authority, certificate).expect("a certificate");
    let text = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{"name": "c", "cluster": {
            "server": format!("https://{address}"), "certificate-authority": authority}}],
        "users": [{"name": "u", "user": {"token": token}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u", "namespace": "payments"}}],
    });
    std::fs::write(path, text.to_string()).expect("a kubeconfig");
}

// === impl Pair ===

impl Pair {
    /// Makes one.
    pub fn new() -> Self {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("a name");
        let certificate = params.self_signed(&key).expect("a certificate").pem();
        Self { certificate, key: key.serialize_pem() }
    }

    fn server(&self, spoken: Spoken, client: &str) -> Arc<rustls::ServerConfig> {
        let mut clients = RootCertStore::empty();
        let client = CertificateDer::from_pem_slice(client.as_bytes()).expect("PEM");
        clients.add(client).expect("a certificate");
        let chain = vec![CertificateDer::from_pem_slice(self.certificate.as_bytes()).expect("PEM")];
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes()).expect("PEM");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let clients =
            WebPkiClientVerifier::builder_with_provider(Arc::new(clients), provider.clone());
        let clients = clients.allow_unauthenticated().build().expect("a verifier");
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_client_cert_verifier(clients)
            .with_single_cert(chain, key);
        let mut config = config.expect("a pair");
        if spoken == Spoken::Both {
            config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        }
        Arc::new(config)
    }
}

impl Default for Pair {
    fn default() -> Self {
        Self::new()
    }
}

// === impl Shared ===

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn answer(&self, mut request: Request<Incoming>) -> Answer {
        let taken_over = hyper::upgrade::on(&mut request);
        let (parts, body) = request.into_parts();
        let body = body.collect().await.expect("a body").to_bytes();
        let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
        let bearer = header("authorization").and_then(|value| value.strip_prefix("Bearer "));
        let mut state = self.lock();
        let Some(account) = bearer.and_then(|token| state.tokens.get(token)).cloned() else {
            return status(401, "Unauthorized", "no token that is known");
        };
        let headers = parts.headers.iter().map(|(name, value)| {
            (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
        });
        let target = parts.uri.path_and_query().expect("a path").as_str().to_owned();
        state.seen.push(Seen {
            version: parts.version,
            method: parts.method.to_string(),
            target,
            headers: headers.collect(),
            account: account.clone(),
            body: String::from_utf8_lossy(&body).into_owned(),
        });
        if parts.headers.contains_key("upgrade") {
            return upgraded(&parts, taken_over, self.1.path().to_owned());
        }
        let query: BTreeMap<_, _> = parts
            .uri
            .query()
            .unwrap_or_default()
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.replace("%3D", "=")))
            .collect();
        let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
        state.act(&account, parts.method.as_str(), parts.uri.path(), &query, body)
    }
}

// === impl State ===

impl State {
    fn act(
        &mut self,
        account: &str,
        method: &str,
        path: &str,
        query: &BTreeMap<String, String>,
        body: Value,
    ) -> Answer {
        if let Some(answer) = discovery(path) {
            return ok(200, &answer);
        }
        if path == "/metrics" {
            // One piece, many times: it costs this process nothing.
            let (sender, receiver) = mpsc::unbounded_channel();
            let piece = Bytes::from(vec![b'x'; 1 << 20]);
            for _ in 0..MANY_MIB {
                let _ = sender.send(piece.clone());
            }
            return streamed(receiver);
        }
        if path == "/healthz/elsewhere" {
            let mut answer = status(302, "Found", "elsewhere");
            let place = "https://elsewhere.example/".parse().expect("a header");
            let _ = answer.headers_mut().insert("location", place);
            return answer;
        }
        let words: Vec<_> = path.split('/').skip(1).collect();
        let rest = match words.as_slice() {
            ["api", "v1", rest @ ..] | ["apis", "apps" | "example.com", "v1", rest @ ..] => rest,
            _ => return status(404, "NotFound", "no such path"),
        };
        let (namespace, rest) = match rest {
            ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (*namespace, rest),
            rest => ("", rest),
        };
        if account == "own" {
            return match (method, rest) {
                ("POST", ["serviceaccounts", name, "token"]) => self.token(name, &body),
                ("DELETE", ["secrets", name]) => self.end(name),
                _ => status(
                    403,
                    "Forbidden",
                    "the gateway may make and end tokens, and nothing else",
                ),
            };
        }
        match (method, rest) {
            ("GET", ["pods", _, "log"]) => self.follow(query),
            ("GET", [resource]) => self.list(resource, namespace, query),
            ("POST", [resource]) => {
                let name = body["metadata"]["name"].as_str().unwrap_or_default().to_owned();
                if self.objects.contains_key(&key(resource, namespace, &name)) {
                    let text = format!("{resource} \"{name}\" already exists");
                    return status(409, "AlreadyExists", &text);
                }
                ok(201, &self.put(resource, namespace, &name, body, "ADDED"))
            }
            (method, [resource, name]) => self.one(method, resource, namespace, name, body),
            _ => status(404, "NotFound", "no such path"),
        }
    }

    fn one(
        &mut self,
        method: &str,
        resource: &str,
        namespace: &str,
        name: &str,
        body: Value,
    ) -> Answer {
        let key = key(resource, namespace, name);
        let Some(mut object) = self.objects.get(&key).cloned() else {
            // Server-side apply makes what is not there; nothing else names a kind in a patch.
            if method == "PATCH" && body["kind"].is_string() {
                return ok(201, &self.put(resource, namespace, name, body, "ADDED"));
            }
            return status(404, "NotFound", &format!("{resource} \"{name}\" not found"));
        };
        match method {
            "GET" => ok(200, &object),
            "PATCH" => {
                merge(&mut object, &body);
                ok(200, &self.put(resource, namespace, name, object, "MODIFIED"))
            }
            "PUT" => ok(200, &self.put(resource, namespace, name, body, "MODIFIED")),
            "DELETE" => {
                let _ = self.objects.remove(&key);
                self.tell(resource, namespace, name, &json!({"type": "DELETED", "object": object}));
                ok(
                    200,
                    &json!({
                        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success",
                        "details": {"name": name, "kind": resource}
                    }),
                )
            }
            _ => status(405, "MethodNotAllowed", "no such method"),
        }
    }

    fn list(
        &mut self,
        resource: &str,
        namespace: &str,
        query: &BTreeMap<String, String>,
    ) -> Answer {
        let name = query.get("fieldSelector").and_then(|text| text.strip_prefix("metadata.name="));
        let selector = Selector {
            resource: resource.to_owned(),
            namespace: namespace.to_owned(),
            name: name.unwrap_or_default().to_owned(),
        };
        let Some((kind, version)) = kind(resource) else {
            return status(404, "NotFound", "no such resource");
        };
        if query.get("watch").is_some_and(|word| word == "true" || word == "1") {
            let (sender, receiver) = mpsc::unbounded_channel();
            self.watches.push((selector, sender));
            return streamed(receiver);
        }
        let found = self.objects.iter().filter(|(key, _)| selector.means(key));
        let items: Vec<_> = found.map(|(_, object)| object.clone()).collect();
        let limit = query.get("limit").and_then(|limit| limit.parse::<usize>().ok()).unwrap_or(0);
        let from = query.get("continue").and_then(|from| from.parse::<usize>().ok()).unwrap_or(0);
        let until = if limit == 0 { items.len() } else { items.len().min(from + limit) };
        let more = if until < items.len() { until.to_string() } else { String::new() };
        let page = items.get(from..until).unwrap_or_default();
        let metadata = json!({"resourceVersion": self.version.to_string(), "continue": more});
        let kind = format!("{kind}List");
        ok(200, &json!({"kind": kind, "apiVersion": version, "metadata": metadata, "items": page}))
    }

    fn follow(&mut self, query: &BTreeMap<String, String>) -> Answer {
        let (sender, receiver) = mpsc::unbounded_channel();
        let _ = sender.send(Bytes::from("the first line\n"));
        if query.get("follow").is_some_and(|word| word == "true") {
            self.logs.push(sender);
        }
        streamed(receiver)
    }

    /// Makes a token, bound to an object that has to be there.
    fn token(&mut self, account: &str, body: &Value) -> Answer {
        let bound = body["spec"]["boundObjectRef"]["name"].as_str().unwrap_or_default();
        if self.ended.contains(bound) {
            return status(404, "NotFound", &format!("secrets \"{bound}\" not found"));
        }
        let token = format!("minted.{account}.{}", self.tokens.len());
        let _ = self.tokens.insert(token.clone(), account.to_owned());
        ok(
            201,
            &json!({
                "kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1",
                "status": {"token": token, "expirationTimestamp": "2099-01-01T00:00:00Z"}
            }),
        )
    }

    /// Deletes what tokens are bound to, and so ends them.
    fn end(&mut self, bound: &str) -> Answer {
        if !self.ended.insert(bound.to_owned()) {
            return status(404, "NotFound", &format!("secrets \"{bound}\" not found"));
        }
        let accounts = format!("{bound}-t");
        self.tokens.retain(|_, account| !account.starts_with(&accounts));
        ok(200, &json!({"kind": "Status", "apiVersion": "v1", "status": "Success"}))
    }

    fn put(
        &mut self,
        resource: &str,
        namespace: &str,
        name: &str,
        mut object: Value,
        event: &str,
    ) -> Value {
        self.version += 1;
        let (kind, version) = kind(resource).expect("a resource");
        object["kind"] = kind.into();
        object["apiVersion"] = version.into();
        let metadata = &mut object["metadata"];
        metadata["resourceVersion"] = self.version.to_string().into();
        metadata["uid"] = format!("{resource}-{name}").into();
        metadata["creationTimestamp"] = "2020-01-01T00:00:00Z".into();
        if !namespace.is_empty() {
            metadata["namespace"] = namespace.into();
        }
        let _ = self.objects.insert(key(resource, namespace, name), object.clone());
        self.tell(resource, namespace, name, &json!({"type": event, "object": object}));
        object
    }

    fn tell(&mut self, resource: &str, namespace: &str, name: &str, event: &Value) {
        let key = key(resource, namespace, name);
        for (_, watch) in self.watches.iter().filter(|(selector, _)| selector.means(&key)) {
            let _ = watch.send(Bytes::from(format!("{event}\n")));
        }
    }
}

/// Takes a connection over, as a real server does, or as one that is broken.
fn upgraded(parts: &Parts, taken_over: OnUpgrade, place: PathBuf) -> Answer {
    let header = |name: &str| parts.headers.get_all(name).iter();
    let words = |name: &str| {
        let values = header(name).filter_map(|value| value.to_str().ok());
        let words = values.flat_map(|value| value.split(',')).map(|word| word.trim().to_owned());
        words.collect::<Vec<_>>()
    };
    let socket = words("upgrade") == ["websocket"];
    let name = if socket { "sec-websocket-protocol" } else { "x-stream-protocol-version" };
    let offered = words(name);
    let path: Vec<_> = parts.uri.path().split('/').skip(1).collect();
    let ["api", "v1", "namespaces", _, "pods", pod, kind] = path.as_slice() else {
        return status(404, "NotFound", "no such stream");
    };
    let spoken: &[&str] = match (*kind, socket) {
        ("portforward", true) => &["SPDY/3.1+portforward.k8s.io"],
        ("portforward", false) => &["portforward.k8s.io"],
        _ => &["v5.channel.k8s.io", "v4.channel.k8s.io"],
    };
    let chosen = spoken.iter().find(|own| offered.iter().any(|name| name == *own));
    let chosen = match (*pod, chosen) {
        ("refusing", _) => return status(500, "InternalError", "container not found"),
        ("unsure", _) => "v9.channel.k8s.io",
        (_, Some(chosen)) => *chosen,
        (_, None) => return status(400, "BadRequest", "no protocol that is known"),
    };
    let asked = Asked::read(parts.uri.query().unwrap_or_default());
    let (five, ports) = (chosen == "v5.channel.k8s.io", *kind == "portforward");
    tokio::spawn(async move {
        let Ok(taken) = taken_over.await else { return };
        match (socket, ports) {
            (true, false) => workload::command_by_websocket(taken, asked, five, place).await,
            (false, false) => workload::command_by_spdy(taken, asked, place).await,
            (true, true) => workload::ports_by_websocket(taken).await,
            (false, true) => workload::ports_by_spdy(taken).await,
        }
    });
    let upgrade = if socket { "websocket" } else { "SPDY/3.1" };
    let mut answer = Response::builder()
        .status(101)
        .header("connection", "Upgrade")
        .header("upgrade", upgrade)
        .header(name, chosen);
    if let Some(key) = words("sec-websocket-key").first() {
        answer = answer.header("sec-websocket-accept", workload::accept(key));
    }
    answer.body(Either::Left(Full::default())).expect("an answer")
}

impl Selector {
    fn means(&self, key: &(String, String, String)) -> bool {
        let any = |wanted: &str, own: &str| wanted.is_empty() || wanted == own;
        self.resource == key.0 && any(&self.namespace, &key.1) && any(&self.name, &key.2)
    }
}

fn key(resource: &str, namespace: &str, name: &str) -> (String, String, String) {
    (resource.to_owned(), namespace.to_owned(), name.to_owned())
}

fn kind(resource: &str) -> Option<(&'static str, &'static str)> {
    RESOURCES
        .iter()
        .find(|(name, ..)| *name == resource)
        .map(|(_, kind, version, _)| (*kind, *version))
}

/// What there is: resource, kind, version, whether it has a namespace.
const RESOURCES: [(&str, &str, &str, bool); 6] = [
    ("configmaps", "ConfigMap", "v1", true),
    ("deployments", "Deployment", "apps/v1", true),
    ("namespaces", "Namespace", "v1", false),
    ("pods", "Pod", "v1", true),
    ("secrets", "Secret", "v1", true),
    ("widgets", "Widget", "example.com/v1", true),
];

fn discovery(path: &str) -> Option<Value> {
    let version = |version: &str| json!({"groupVersion": version, "version": "v1"});
    let resources = |wanted: &str| {
        let own = RESOURCES.iter().filter(|(_, _, version, _)| *version == wanted);
        let listed: Vec<_> = own
            .map(|(name, kind, _, namespaced)| {
                json!({"name": name, "singularName": "", "namespaced": namespaced, "kind": kind,
                    "verbs": ["create", "delete", "get", "list", "patch", "update", "watch"]})
            })
            .collect();
        json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": wanted,
            "resources": listed})
    };
    Some(match path {
        "/version" => json!({"major": "1", "minor": "32", "gitVersion": "v1.32.0"}),
        "/api" => json!({"kind": "APIVersions", "versions": ["v1"]}),
        "/apis" => json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": [{
            "name": "apps", "versions": [version("apps/v1")],
            "preferredVersion": version("apps/v1")}]}),
        "/api/v1" => resources("v1"),
        "/apis/apps/v1" => resources("apps/v1"),
        // A group that only those find who ask for it.
        "/apis/example.com/v1" => resources("example.com/v1"),
        _ => return None,
    })
}

/// A merge patch, as RFC 7386 has it.
fn merge(object: &mut Value, patch: &Value) {
    let Some(members) = patch.as_object() else {
        *object = patch.clone();
        return;
    };
    if !object.is_object() {
        *object = json!({});
    }
    for (name, value) in members {
        match value.is_null() {
            true => {
                let _ = object.as_object_mut().and_then(|own| own.remove(name));
            }
            false => merge(&mut object[name], value),
        }
    }
}

fn ok(code: u16, value: &Value) -> Answer {
    let answer = Response::builder().status(code).header("content-type", "application/json");
    answer.body(Either::Left(Full::new(Bytes::from(value.to_string())))).expect("an answer")
}

fn status(code: u16, reason: &str, message: &str) -> Answer {
    ok(
        code,
        &json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": message, "reason": reason, "code": code
        }),
    )
}

fn streamed(receiver: mpsc::UnboundedReceiver<Bytes>) -> Answer {
    let answer = Response::builder().header("content-type", "application/json");
    answer.body(Either::Right(Pieces(receiver))).expect("an answer")
}

/// How long the answer for `/metrics` is.
pub const MANY_MIB: usize = 192;

/// The gateway's own token.
pub const OWN: &str = "own.token";
