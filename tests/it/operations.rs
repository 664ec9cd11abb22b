//! A gateway while it runs: reload, revocation, certificates that change, hand-over, floods, a kill, and
//! what operators see of it. `docs/operations.md` is what these tests hold it to.

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead, BufReader, ErrorKind, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    os::{
        fd::OwnedFd,
        unix::{
            fs::PermissionsExt,
            net::{UnixDatagram, UnixStream},
        },
    },
    path::{Path, PathBuf},
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc,
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use iddio_tests::{
    Started, World,
    apiserver::{ApiServer, OWN, Pair},
    keepers::until,
    kube_binary,
};
use rustix::process::Signal;
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    pki_types::{CertificateDer, pem::PemObject},
};
use serde_json::Value;

use crate::kit::of;

/// Everything below break-glass runs.
const OPEN: &str = "\
agents:
  claude:
    rules:
      - {protocol: kubernetes, cluster_scoped: true, tiers: {0: allow, 2: allow, 3: allow, 4: deny}}
";

/// What every load reads.
const PODS: &str = "/api/v1/namespaces/payments/pods";

/// A home, an API server behind it, and the gateway's configuration.
struct Site {
    world: World,
    server: ApiServer,
    config: PathBuf,
    pair: Pair,
    token: String,
}

/// A gateway that runs, and where.
struct Gateway {
    started: Started,
    address: SocketAddr,
}

/// A client that keeps its connection for as long as the gateway does.
struct Client {
    from: SocketAddr,
    to: SocketAddr,
    config: Arc<ClientConfig>,
    token: String,
    stream: Option<BufReader<StreamOwned<ClientConnection, TcpStream>>>,
}

/// Clients that ask again and again, until they are told to stop.
struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    threads: Vec<JoinHandle<Vec<String>>>,
}

impl Site {
    fn new(more: &str) -> Self {
        let world = World::with_policy(OPEN);
        world.iddio(["agent", "add", "claude"]).ok();
        let token = fs::read_to_string(world.home().join("agents/claude/token")).unwrap();
        let server = ApiServer::start();
        let pair = Pair::new();
        let token = token.trim().to_owned();
        let site = Self { world, server, config: PathBuf::new(), pair, token };
        site.show(&site.pair);
        let (certificate, key) = site.shown();
        let authority = site.world.file("ca.pem", site.server.certificate());
        let own = site.world.file("own-token", OWN);
        let config = format!(
            "listen = \"127.0.0.1:0\"\ncertificate = {certificate:?}\nkey = {key:?}\n{more}\n\
             [cluster]\nname = \"prod\"\nserver = \"https://{}\"\n\
             certificate_authority = {authority:?}\ntoken_file = {own:?}\n",
            site.server.address()
        );
        let config = site.world.file("kube.toml", config);
        Self { config, ..site }
    }

    /// Puts a certificate and its key where the gateway looks for them, one after the other.
    fn show(&self, pair: &Pair) {
        let (certificate, key) = self.shown();
        for (path, text) in [(certificate, &pair.certificate), (key, &pair.key)] {
            let new = path.with_extension("new");
            fs::write(&new, text).unwrap();
            fs::set_permissions(&new, fs::Permissions::from_mode(0o600)).unwrap();
            fs::rename(&new, path).unwrap();
        }
    }

    fn shown(&self) -> (PathBuf, PathBuf) {
        (self.world.work().join("server.pem"), self.world.work().join("server.key"))
    }

    fn words(&self) -> [String; 3] {
        let text = |path: &Path| path.to_str().unwrap().to_owned();
        [text(kube_binary()), "--config".to_owned(), text(&self.config)]
    }

    fn start(&self) -> Gateway {
        self.start_with(&[])
    }

    fn start_with(&self, environment: &[(&str, &Path)]) -> Gateway {
        let mut command = self.world.within(self.words());
        command.stdin(Stdio::null()).envs(environment.iter().copied());
        let mut started = Started::of(&mut command);
        let line = started.until("listening on");
        let address = line.rsplit(' ').next().unwrap().parse().unwrap();
        Gateway { started, address }
    }

    /// Starts a gateway on a socket that stays ours, as systemd does.
    fn start_on(&self, listener: &TcpListener) -> Started {
        let lent: OwnedFd = listener.try_clone().unwrap().into();
        let script = "export LISTEN_PID=$$ LISTEN_FDS=1; exec \"$@\" 3<&0 </dev/null";
        let words = ["sh", "-c", script, "sh"].map(str::to_owned).into_iter();
        let mut command = self.world.within(words.chain(self.words()));
        let mut started = Started::of(command.stdin(Stdio::from(lent)));
        let _ = started.until("listening on");
        started
    }

    fn client(&self, to: SocketAddr) -> Client {
        let from = SocketAddr::from(([127, 0, 0, 1], 0));
        let config = believing(&self.pair.certificate);
        Client { from, to, config, token: self.token.clone(), stream: None }
    }

    /// Begins to ask for pods with some clients.
    fn load(&self, to: SocketAddr, clients: usize) -> Load {
        let stop = Arc::<AtomicBool>::default();
        let answered = Arc::<AtomicUsize>::default();
        let threads = (0..clients).map(|_| {
            let (mut client, stop, answered) = (self.client(to), stop.clone(), answered.clone());
            thread::spawn(move || {
                let mut failed = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    match client.get(PODS) {
                        Ok((200, _)) => {
                            let _ = answered.fetch_add(1, Ordering::Relaxed);
                        }
                        other => failed.push(format!("{other:?}")),
                    }
                }
                failed
            })
        });
        Load { threads: threads.collect(), stop, answered }
    }

    fn status(&self) -> Value {
        let said = self.world.iddio(["status", "--json"]);
        let value: Value = serde_json::from_str(&said.stdout).unwrap();
        value["services"][0]["report"].clone()
    }

    fn policy_version(&self) -> String {
        self.status()["policy"]["version"].as_str().unwrap_or_default().to_owned()
    }

    /// Stops a gateway, and returns what is on record. Whatever was allowed has one end.
    fn end(&self, started: Started) -> Vec<Value> {
        started.signal(Signal::TERM);
        let said = started.end();
        assert_eq!(said.code, 0, "{said:#?}");
        self.settled()
    }

    /// Checks that every decision to allow has an end, and returns what is on record.
    fn settled(&self) -> Vec<Value> {
        self.world.verify();
        let records = self.world.records();
        let closed: BTreeSet<_> =
            of(&records, "closed").iter().map(|closed| closed["id"].to_string()).collect();
        assert_eq!(closed.len(), of(&records, "closed").len(), "an end that stands twice");
        for decided in of(&records, "decided") {
            let allowed = decided["refusal"].is_null();
            assert_eq!(closed.contains(&decided["id"].to_string()), allowed, "{decided:#}");
        }
        records
    }
}

impl Client {
    /// Asks for a path, on the connection there is or a new one.
    ///
    /// A connection that ended without a byte of an answer is a failure all the same: a client that may
    /// not send twice would have failed.
    fn get(&mut self, path: &str) -> std::io::Result<(u16, String)> {
        self.ask("GET", path, "")
    }

    fn ask(&mut self, method: &str, path: &str, body: &str) -> std::io::Result<(u16, String)> {
        let asked = self.asked(method, path, body);
        if asked.is_err() {
            self.stream = None;
        }
        asked
    }

    fn asked(&mut self, method: &str, path: &str, body: &str) -> std::io::Result<(u16, String)> {
        let token = &self.token;
        let more = match body.is_empty() {
            true => String::new(),
            false => format!(
                "Content-Type: application/merge-patch+json\r\nContent-Length: {}\r\n",
                body.len()
            ),
        };
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n{more}\r\n{body}"
        );
        if self.stream.is_none() {
            self.stream = Some(BufReader::new(connect(self.from, self.to, &self.config)?));
        }
        let stream = self.stream.as_mut().unwrap();
        stream.get_mut().write_all(request.as_bytes())?;
        let (status, headers) = head(stream)?;
        let mut body = Vec::new();
        match header(&headers, "content-length") {
            Some(length) => {
                body.resize(length.parse().map_err(std::io::Error::other)?, 0);
                stream.read_exact(&mut body)?;
            }
            None => loop {
                let mut size = String::new();
                let _ = stream.read_line(&mut size)?;
                let size = usize::from_str_radix(size.trim(), 16).map_err(std::io::Error::other)?;
                let mut piece = vec![0; size + 2];
                stream.read_exact(&mut piece)?;
                body.extend_from_slice(&piece[..size]);
                if size == 0 {
                    break;
                }
            },
        }
        if header(&headers, "connection") == Some("close") {
            self.stream = None;
        }
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    }
}

impl Load {
    /// Waits until so many more answers came.
    fn on(&self, more: usize) {
        let goal = self.answered.load(Ordering::Relaxed) + more;
        until(
            || goal <= self.answered.load(Ordering::Relaxed),
            || "the load stands still".to_owned(),
        );
    }

    /// Stops, and returns how many were answered. None failed.
    fn end(self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            let failed = thread.join().unwrap();
            assert!(failed.is_empty(), "{} failed: {:#?}", failed.len(), failed.first());
        }
        self.answered.load(Ordering::Relaxed)
    }
}

fn believing(certificate: &str) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(config)
}

/// Connects from an address of this host.
fn tcp(from: SocketAddr, to: SocketAddr) -> std::io::Result<TcpStream> {
    use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
    let own = socket(AddressFamily::INET, SocketType::STREAM, None)?;
    bind(&own, &from)?;
    connect(&own, &to)?;
    let stream = TcpStream::from(own);
    stream.set_read_timeout(Some(Duration::from_secs(40)))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn connect(
    from: SocketAddr,
    to: SocketAddr,
    config: &Arc<ClientConfig>,
) -> std::io::Result<StreamOwned<ClientConnection, TcpStream>> {
    let name = "127.0.0.1".try_into().unwrap();
    let connection = ClientConnection::new(config.clone(), name).map_err(std::io::Error::other)?;
    let mut stream = StreamOwned::new(connection, tcp(from, to)?);
    while stream.conn.is_handshaking() {
        let _ = stream.conn.complete_io(&mut stream.sock)?;
    }
    Ok(stream)
}

/// Reads the head of an answer: its status and its headers.
fn head(stream: &mut impl BufRead) -> std::io::Result<(u16, Vec<String>)> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line)? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let status = lines[0].split(' ').nth(1).and_then(|status| status.parse().ok());
    Ok((status.ok_or(ErrorKind::InvalidData)?, lines))
}

fn header<'a>(lines: &'a [String], name: &str) -> Option<&'a str> {
    let mut pairs = lines.iter().filter_map(|line| line.split_once(": "));
    pairs.find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

/// Asks an operators' page.
fn page(address: SocketAddr, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    let _ = stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

/// A free port of the loopback, which nobody has yet.
fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

#[test]
fn a_policy_is_reloaded_under_load_without_a_failed_request_and_on_record() {
    let site = Site::new("");
    let gateway = site.start();
    let load = site.load(gateway.address, 3);
    load.on(10);
    let mut versions = vec![site.policy_version()];
    for round in 0..3 {
        let text = format!("{OPEN}# round {round}\n");
        site.world.set_policy(&text);
        let before = versions.last().unwrap().clone();
        until(|| site.policy_version() != before, || "the policy is not loaded".to_owned());
        versions.push(site.policy_version());
        load.on(10);
    }
    // A file that does not load changes nothing, and is told once.
    site.world.set_policy("agents: {claude: {rules: 7}}\n");
    let refusals =
        || of(&site.world.records(), "policy.refused").iter().filter(told_by_reload).count();
    until(|| refusals() == 1, || "the refusal is not on record".to_owned());
    assert_eq!(&site.policy_version(), versions.last().unwrap());
    load.on(10);
    assert!(40 < load.end());
    site.world.set_policy(OPEN);
    let records = site.end(gateway.started);
    let reloaded = of(&records, "policy.reloaded");
    for (pair, record) in versions.windows(2).zip(&reloaded) {
        assert_eq!(record["policy_before"], pair[0].as_str());
        assert_eq!(record["policy_version"], pair[1].as_str());
    }
    assert!(3 <= reloaded.len());
    let known: BTreeSet<_> = versions.iter().map(String::as_str).collect();
    for decided in of(&records, "decided") {
        assert!(known.contains(decided["policy_version"].as_str().unwrap()), "{decided:#}");
    }
}

/// The command line may meet the bad policy, too, and says so under the same name.
fn told_by_reload(record: &&&Value) -> bool {
    record["reason"].as_str().is_some_and(|reason| reason.contains("policy.yaml"))
        && !record["policy_before"].is_null()
}

#[test]
fn f12_another_certificate_is_shown_from_then_on_and_connections_live_on() {
    let mut site = Site::new("");
    let gateway = site.start();
    let mut old = site.client(gateway.address);
    assert_eq!(old.get(PODS).unwrap().0, 200);
    let load = site.load(gateway.address, 2);
    load.on(10);
    let fingerprint = |site: &Site| site.status()["certificate"]["fingerprint"].to_string();
    let before = fingerprint(&site);
    // A key of another certificate: nothing changes, and that is on record.
    fs::write(site.shown().1, &Pair::new().key).unwrap();
    let refused = || !of(&site.world.records(), "tls.refused").is_empty();
    until(refused, || "nothing was refused".to_owned());
    assert_eq!(fingerprint(&site), before);
    let new = Pair::new();
    site.show(&new);
    until(|| fingerprint(&site) != before, || "the certificate is not taken".to_owned());
    assert!(old.stream.is_some());
    assert_eq!(old.get(PODS).unwrap().0, 200, "on the connection from before");
    load.on(10);
    assert!(20 < load.end());
    let mut stale = site.client(gateway.address);
    assert!(stale.get(PODS).is_err(), "the old certificate is shown no more");
    site.pair = new;
    assert_eq!(site.client(gateway.address).get(PODS).unwrap().0, 200);
    drop(old);
    let records = site.end(gateway.started);
    assert!(!of(&records, "tls.replaced").is_empty());
}

#[test]
fn f12_a_revoked_agent_is_cut_at_once_and_on_record() {
    let site = Site::new("");
    let gateway = site.start();
    let mut watching = site.client(gateway.address);
    let stream = connect(watching.from, watching.to, &watching.config).unwrap();
    let mut stream = BufReader::new(stream);
    let path = "/api/v1/namespaces/payments/configmaps?watch=true";
    let token = &site.token;
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n");
    stream.get_mut().write_all(request.as_bytes()).unwrap();
    assert_eq!(head(&mut stream).unwrap().0, 200);
    until(|| site.server.streams() == 1, || "there is no watch".to_owned());
    let _ = site.world.iddio(["agent", "revoke", "claude"]).ok();
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest);
    assert!(!rest.ends_with(b"0\r\n\r\n"), "no client takes it for a whole answer");
    assert_eq!(watching.get(PODS).unwrap().0, 401);
    let records = site.end(gateway.started);
    let text = serde_json::to_string(&of(&records, "closed")).unwrap();
    assert!(text.contains("revoked"), "{text}");
    assert!(!of(&records, "agents.reloaded").is_empty());
}

#[test]
fn f14_a_gateway_is_replaced_under_load_without_a_failed_request_or_a_lost_record() {
    let site = Site::new("");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mut gateway = site.start_on(&listener);
    let load = site.load(address, 4);
    for _ in 0..3 {
        load.on(20);
        gateway.signal(Signal::TERM);
        let said = gateway.end();
        assert_eq!(said.code, 0, "{said:#?}");
        gateway = site.start_on(&listener);
    }
    load.on(20);
    let answered = load.end();
    let records = site.end(gateway);
    assert_eq!(of(&records, "decided").len(), answered);
    assert_eq!(site.server.seen().len(), answered);
}

#[test]
fn f01_a_gateway_that_is_killed_leaves_nothing_forwarded_without_a_record() {
    let site = Site::new("");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mut writers = Vec::new();
    for round in 0..3 {
        let gateway = site.start_on(&listener);
        let (sent, stop) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
        for writer in 0..3 {
            let (mut client, sent, stop) = (site.client(address), sent.clone(), stop.clone());
            writers.push(thread::spawn(move || {
                for number in 0.. {
                    let path = format!("{PODS}/web-1?fieldManager=w{round}-{writer}-{number}");
                    let body = r#"{"metadata":{"labels":{"a":"b"}}}"#;
                    if client.ask("PATCH", &path, body).is_err() || stop.load(Ordering::Relaxed) {
                        return;
                    }
                    let _ = sent.fetch_add(1, Ordering::Relaxed);
                }
            }));
        }
        until(|| 12 <= sent.load(Ordering::Relaxed), || "the load stands still".to_owned());
        stop.store(true, Ordering::Relaxed);
        gateway.signal(Signal::KILL);
        let _ = gateway.end();
    }
    let gateway = site.start_on(&listener);
    assert_eq!(site.client(address).get(PODS).unwrap().0, 200);
    // Whoever had not been accepted when a gateway was killed was served by the next.
    writers.into_iter().for_each(|writer| writer.join().unwrap());
    let records = site.end(gateway);
    let decided: BTreeSet<_> = of(&records, "decided")
        .iter()
        .map(|decided| decided["path"].as_str().unwrap_or_default().to_owned())
        .collect();
    let patched: Vec<_> =
        site.server.seen().into_iter().filter(|seen| seen.method == "PATCH").collect();
    assert!(36 <= patched.len(), "{}", patched.len());
    for seen in patched {
        let path = seen.target.split('?').next().unwrap();
        assert!(decided.contains(&seen.target) || decided.contains(path), "{seen:#?}");
    }
    let allowed = of(&records, "decided").iter().filter(|own| own["method"] == "patch").count();
    let seen = site.server.seen().iter().filter(|seen| seen.method == "PATCH").count();
    assert!(seen <= allowed, "{seen} were forwarded and {allowed} are on record");
}

#[test]
fn f06_whoever_drips_or_says_nothing_is_cut_and_others_are_served() {
    let site = Site::new("");
    let gateway = site.start();
    let load = site.load(gateway.address, 2);
    load.on(5);
    let hostile = SocketAddr::from(([127, 0, 0, 2], 0));
    let config = believing(&site.pair.certificate);
    let mut held: Vec<Box<dyn Read>> = Vec::new();
    for number in 0..300 {
        let Ok(mut stream) = tcp(hostile, gateway.address) else { continue };
        match number % 3 {
            // Nothing at all.
            0 => held.push(Box::new(stream)),
            // A handshake that never goes on.
            1 => {
                let _ = stream.write_all(&[0x16, 0x03, 0x01]);
                held.push(Box::new(stream));
            }
            // A head that never ends.
            _ => {
                drop(stream);
                let Ok(mut stream) = connect(hostile, gateway.address, &config) else { continue };
                let _ = stream.write_all(b"GET /api HTTP/1.1\r\nHost: a\r\nX-Drip: ");
                held.push(Box::new(stream));
            }
        }
    }
    load.on(5);
    for mut stream in held {
        let mut byte = [0];
        // The end of the stream, or an error of TLS that was cut: never a timeout of ours.
        if let Err(error) = stream.read(&mut byte) {
            assert!(
                !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
                "{error}"
            );
        }
    }
    load.on(5);
    assert!(15 <= load.end());
    let counts = site.status()["counts"].clone();
    let refused = |reason: &str| {
        counts[format!("iddio_connections_refused_total{{reason=\"{reason}\"}}")].as_u64().unwrap()
    };
    let overdue = counts["iddio_connections_overdue_total"].as_u64().unwrap();
    assert!(0 < refused("away") + refused("crowded") && 0 < overdue, "{counts:#}");
    let _ = site.end(gateway.started);
}

#[test]
fn operators_see_metrics_health_spans_and_what_systemd_hears() {
    let operations = free();
    let collector = TcpListener::bind("127.0.0.1:0").unwrap();
    let more = format!(
        "[operations]\nlisten = \"{operations}\"\n[traces]\nendpoint = \"http://{}/v1/traces\"\n\
         [log]\nformat = \"json\"\n",
        collector.local_addr().unwrap()
    );
    let batches = collect(collector);
    let site = Site::new(&more);
    let socket = site.world.work().join("notify");
    let heard = UnixDatagram::bind(&socket).unwrap();
    heard.set_read_timeout(Some(Duration::from_secs(40))).unwrap();
    let watchdog = Path::new("600000");
    let mut command = site.world.within(site.words());
    command.stdin(Stdio::null()).env("NOTIFY_SOCKET", &socket).env("WATCHDOG_USEC", watchdog);
    let mut started = Started::of(&mut command);
    let line: Value = serde_json::from_str(&started.until("listening on")).unwrap();
    let line = line["message"].as_str().unwrap();
    let address = line.rsplit(' ').next().unwrap().parse().unwrap();
    let said = || {
        let mut bytes = [0; 4096];
        let read = heard.recv(&mut bytes).expect("systemd hears something");
        String::from_utf8_lossy(&bytes[..read]).into_owned()
    };
    let hears = |word: &str| while !said().contains(word) {};
    hears("READY=1");
    hears("WATCHDOG=1");
    assert_eq!(page(operations, "/healthz"), (200, "ok\n".to_owned()));
    assert_eq!(page(operations, "/readyz").0, 200);
    assert_eq!(page(operations, "/elsewhere").0, 404);
    let mut client = site.client(address);
    assert_eq!(client.get(PODS).unwrap().0, 200);
    assert_eq!(client.get("/api/v1/nodes/n/proxy/run").unwrap().0, 403);
    let (_, metrics) = page(operations, "/metrics");
    let numbers = parsed(&metrics);
    let number = |name: &str| numbers.iter().find(|(own, _)| own == name).unwrap().1;
    assert_eq!(number("iddio_requests_total{verdict=\"allow\",tier=\"0\"}"), 1.0);
    assert_eq!(number("iddio_requests_total{verdict=\"deny\",tier=\"4\"}"), 1.0);
    assert_eq!(number("iddio_ready"), 1.0);
    assert!(0.0 < number("process_resident_memory_bytes") && 2.0 < number("iddio_log_head"));
    for secret in ["payments", "claude", &site.token] {
        assert!(!metrics.contains(secret), "{secret}");
    }
    let spans: Vec<Value> = batches.recv_timeout(Duration::from_secs(40)).unwrap();
    let seen = site.server.seen();
    let traced = seen[0].headers.iter().find(|(name, _)| name == "traceparent").unwrap();
    let id = spans[0]["spanId"].as_str().unwrap();
    assert!(traced.1.contains(id), "{traced:?} {spans:#?}");
    assert!(!spans[0].to_string().contains("payments"), "{spans:#?}");
    started.signal(Signal::HUP);
    hears("RELOADING=1");
    hears("READY=1");
    let said = site.world.iddio(["status"]).ok();
    assert!(said.stdout.contains("iddio-kube") && said.stdout.contains("policy"), "{said:#?}");
    started.signal(Signal::TERM);
    hears("STOPPING=1");
    drop(client);
    let said = started.end();
    assert_eq!(said.code, 0, "{said:#?}");
    for line in said.stderr.lines() {
        assert!(serde_json::from_str::<Value>(line).is_ok(), "{line}");
    }
    let _ = site.settled();
    assert_eq!(site.world.iddio(["status"]).code, 1, "nobody answers any more");
}

/// Takes spans, and answers that they were taken.
fn collect(collector: TcpListener) -> mpsc::Receiver<Vec<Value>> {
    let (sender, batches) = mpsc::channel();
    let _ = thread::spawn(move || {
        for stream in collector.incoming() {
            let mut stream = BufReader::new(stream.unwrap());
            let (mut length, mut line) = (0, String::new());
            while 2 < stream.read_line(&mut line).unwrap() {
                if let Some(text) = line.strip_prefix("Content-Length: ") {
                    length = text.trim().parse().unwrap();
                }
                line.clear();
            }
            let mut body = vec![0; length];
            stream.read_exact(&mut body).unwrap();
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
            stream.get_mut().write_all(answer).unwrap();
            let body: Value = serde_json::from_slice(&body).unwrap();
            let spans = &body["resourceSpans"][0]["scopeSpans"][0]["spans"];
            if sender.send(spans.as_array().unwrap().clone()).is_err() {
                return;
            }
        }
    });
    batches
}

/// Reads the text format of Prometheus: every line is a comment or a name and a number.
fn parsed(text: &str) -> Vec<(String, f64)> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let line = |line: &str| {
        let (name, number) = line.rsplit_once(' ').unwrap_or_else(|| panic!("{line}"));
        (name.to_owned(), number.parse().unwrap_or_else(|_| panic!("{line}")))
    };
    lines.map(line).collect()
}

#[test]
fn a_gateway_that_cannot_record_says_that_it_is_not_ready_and_is_again_once_it_can() {
    let operations = free();
    let site = Site::new(&format!("[operations]\nlisten = \"{operations}\"\n"));
    // The log lies on a file system of its own, in the gateway's namespace alone.
    let log = site.world.home().join("log");
    let script = r#"
        cp -a "$0" "$0.saved" && mount -t tmpfs -o size=3m,mode=700 tmpfs "$0" \
            && cp -a "$0.saved/." "$0/" && exec "$@""#;
    let words = ["sh", "-c", script, log.to_str().unwrap()].map(str::to_owned).into_iter();
    let mut command = site.world.within(words.chain(site.words()));
    let mut started = Started::of(command.stdin(Stdio::null()));
    let line = started.until("listening on");
    let address = line.rsplit(' ').next().unwrap().parse().unwrap();
    let ready = |status: u16| move || page(operations, "/readyz").0 == status;
    until(ready(200), || "it is never ready".to_owned());
    let mut client = site.client(address);
    assert_eq!(client.get(PODS).unwrap().0, 200);
    let seen = site.server.seen().len();
    let pid = started.pid().as_raw_nonzero();
    let inside = PathBuf::from(format!("/proc/{pid}/root")).join(log.strip_prefix("/").unwrap());
    let filler = inside.join("filler");
    let mut file = fs::File::create(&filler).unwrap();
    while file.write_all(&[0; 4096]).is_ok() {}
    drop(file);
    let mut refused = 0;
    until(
        || page(operations, "/readyz").0 == 503,
        || "it is ready without room for a record".to_owned(),
    );
    // A tail of the log may still have room for a few.
    while refused < 2 {
        match client.get(PODS).unwrap().0 {
            503 => refused += 1,
            status => assert_eq!((status, refused), (200, 0)),
        }
    }
    let (status, reasons) = page(operations, "/readyz");
    assert_eq!(status, 503);
    assert!(reasons.contains("records cannot be stored"), "{reasons}");
    assert_eq!(page(operations, "/healthz").0, 200, "what it needs is space and no restart");
    fs::remove_file(&filler).unwrap();
    until(ready(200), || "it is not ready again".to_owned());
    assert_eq!(client.get(PODS).unwrap().0, 200);
    assert!(seen < site.server.seen().len());
    // What is on record goes with the namespace, so it is looked at from within.
    let resumed = fs::read_dir(&inside).unwrap().filter_map(Result::ok).any(|entry| {
        fs::read_to_string(entry.path()).is_ok_and(|text| text.contains("recording.resumed"))
    });
    assert!(resumed, "that it resumed is on record");
    started.signal(Signal::TERM);
    let _ = started.end();
}

#[test]
fn only_its_own_user_asks_a_gateway_how_it_is() {
    let site = Site::new("");
    let gateway = site.start();
    let socket = site.world.home().join("status.sock");
    let mode = fs::metadata(&socket).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    assert!(UnixStream::connect(&socket).is_ok());
    let report = site.status();
    assert_eq!(report["service"], "iddio-kube");
    assert_eq!(report["ready"]["state"], "ready");
    assert_eq!((&report["agents"], &report["freezes"]), (&1.into(), &0.into()));
    let _ = site.world.iddio(["freeze", "--agent", "claude", "--reason", "x"]).ok();
    assert_eq!(site.status()["freezes"], 1);
    let _ = site.end(gateway.started);
}
