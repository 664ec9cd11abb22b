//! The Kubernetes gateway with real kubectl, between it and an API server of ours.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
};

use iddio_tests::{
    Said, Started, World,
    apiserver::{ApiServer, MANY_MIB, OWN, Pair, kubeconfig},
    keepers::until,
    kube_binary, real,
};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    pki_types::{CertificateDer, pem::PemObject},
};

use crate::kit::{KUBECTL, of};

/// Reads and writes run, the rest is refused.
const WRITING: &str = "\
agents:
  claude:
    rules:
      - {protocol: kubernetes, cluster_scoped: true, tiers: {0: allow, 2: allow, 3: deny, 4: deny}}
";

/// Everything below break-glass runs.
const OPEN: &str = "\
agents:
  claude:
    rules:
      - {protocol: kubernetes, cluster_scoped: true, tiers: {0: allow, 2: allow, 3: allow, 4: deny}}
";

/// Writes ask.
const ASKING: &str = "\
agents:
  claude:
    rules:
      - {protocol: kubernetes, cluster_scoped: true, tiers: {0: allow, 2: escalate, 4: deny}}
";

/// A gateway, what is behind it, and an agent before it.
pub(crate) struct Scene {
    pub(crate) world: World,
    pub(crate) server: ApiServer,
    pub(crate) gateway: Started,
    pub(crate) address: SocketAddr,
    pub(crate) certificate: String,
    pub(crate) token: String,
    kubectl: Option<PathBuf>,
}

impl Scene {
    pub(crate) fn new(policy: &str) -> Self {
        Self::vouched(policy, None)
    }

    /// A gateway that is told somebody else vouches for the API server.
    pub(crate) fn vouched(policy: &str, authority: Option<&str>) -> Self {
        let world = World::with_policy(policy);
        world.iddio(["agent", "add", "claude"]).ok();
        let token = std::fs::read_to_string(world.home().join("agents/claude/token")).unwrap();
        let server = ApiServer::start();
        let pair = Pair::new();
        let certificate = world.file("server.pem", &pair.certificate);
        let key = world.file("server.key", &pair.key);
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(&key, private).unwrap();
        let authority = world.file("ca.pem", authority.unwrap_or(server.certificate()));
        let own = world.file("own-token", OWN);
        let config = format!(
            "listen = \"127.0.0.1:0\"\ncertificate = {certificate:?}\nkey = {key:?}\n[cluster]\n\
             name = \"prod\"\nserver = \"https://{}\"\ncertificate_authority = {authority:?}\n\
             token_file = {own:?}\n",
            server.address()
        );
        let config = world.file("kube.toml", config);
        let (gateway, address) = start(&world, &config);
        let (token, certificate) = (token.trim().to_owned(), pair.certificate);
        kubeconfig(&world.work().join("direct"), server.address(), server.certificate(), "direct");
        kubeconfig(&world.work().join("gateway"), address, &certificate, &token);
        let kubectl = real("kubectl", KUBECTL);
        Self { world, server, gateway, address, certificate, token, kubectl }
    }

    /// Stops the gateway and starts it again, at another port.
    pub(crate) fn restart(&mut self) {
        let config = self.world.work().join("kube.toml");
        self.gateway.signal(rustix::process::Signal::TERM);
        let (gateway, address) = start(&self.world, &config);
        let said = std::mem::replace(&mut self.gateway, gateway).end();
        assert_eq!(said.code, 0, "{said:?}");
        self.address = address;
    }

    /// Returns kubectl, with everything of its own in this world.
    pub(crate) fn kubectl(&self, config: &str, words: &[&str]) -> Command {
        let mut command = Command::new(self.kubectl.as_ref().unwrap());
        let _ = command.arg("--kubeconfig").arg(self.world.work().join(config)).args(words);
        let _ = command.env_clear().env("HOME", self.world.user()).env("PATH", "/usr/bin:/bin");
        let _ = command.current_dir(self.world.work()).stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self, config: &str, words: &[&str]) -> Said {
        Said::of(self.kubectl(config, words).output().unwrap())
    }

    pub(crate) fn through(&self, words: &[&str]) -> Said {
        self.run("gateway", words)
    }

    pub(crate) fn without_kubectl(&self) -> bool {
        self.kubectl.is_none()
    }

    /// Sends bytes over TLS and returns all that comes until the gateway closes.
    pub(crate) fn raw(&self, bytes: &str) -> String {
        let mut answer = Vec::new();
        let _ = self.send(bytes).read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// Sends bytes over TLS.
    pub(crate) fn send(&self, bytes: &str) -> StreamOwned<ClientConnection, TcpStream> {
        let mut roots = RootCertStore::empty();
        let authority = CertificateDer::from_pem_slice(self.certificate.as_bytes()).unwrap();
        roots.add(authority).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = "127.0.0.1".try_into().unwrap();
        let connection = ClientConnection::new(Arc::new(config), name).unwrap();
        let stream = TcpStream::connect(self.address).unwrap();
        let mut stream = StreamOwned::new(connection, stream);
        stream.write_all(bytes.as_bytes()).unwrap();
        stream
    }

    /// A request head with the agent's token.
    pub(crate) fn head(&self, line: &str, more: &str) -> String {
        let token = &self.token;
        format!("{line} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n{more}\r\n")
    }

    /// Stops the gateway, and returns what is on record.
    pub(crate) fn end(self) -> Vec<serde_json::Value> {
        self.gateway.signal(rustix::process::Signal::TERM);
        let said = self.gateway.end();
        assert_eq!(said.code, 0, "{said:?}");
        self.world.verify();
        let records = self.world.records();
        let text = serde_json::to_string(&records).unwrap() + &said.stderr;
        for secret in [self.token.as_str(), OWN, "minted."] {
            assert!(!text.contains(secret), "`{secret}` is on record or in a log");
        }
        for decided in of(&records, "decided") {
            let allowed = decided["refusal"].is_null();
            let closed = of(&records, "closed");
            let ends = closed.iter().filter(|closed| closed["id"] == decided["id"]).count();
            assert_eq!(ends, usize::from(allowed), "{decided:#}");
        }
        records
    }
}

fn start(world: &World, config: &Path) -> (Started, SocketAddr) {
    let words = [kube_binary().as_os_str(), "--config".as_ref(), config.as_os_str()];
    let mut gateway = Started::of(world.within(words).stdin(Stdio::null()));
    let line = gateway.until("listening on");
    let address = line.rsplit(' ').next().unwrap().parse().unwrap();
    (gateway, address)
}

#[test]
fn one_script_of_kubectl_agrees_direct_and_through_the_gateway() {
    let scene = Scene::new(OPEN);
    if scene.without_kubectl() {
        return;
    }
    let manifest =
        r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"m"},"data":{"a":"b"}}"#;
    let _ = scene.world.file("m.json", manifest);
    let _ = scene.world.file("n.json", manifest.replace("\"m\"", "\"n\""));
    let yaml = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: o\ndata:\n  a: b\n";
    let _ = scene.world.file("o.yaml", yaml);
    let script: &[&[&str]] = &[
        &["version"],
        &["api-resources"],
        &["get", "pods"],
        &["get", "pods", "-A", "-o", "name", "--chunk-size=1"],
        &["get", "pod", "web-1", "-o", "json"],
        &["get", "pod", "nobody"],
        &["get", "widgets"],
        &["get", "namespaces"],
        &["create", "--validate=false", "-f", "m.json"],
        &["create", "--validate=false", "-f", "m.json"],
        &["get", "configmap", "m", "-o", "yaml"],
        &["label", "configmap", "m", "x=y"],
        &["apply", "--validate=false", "-f", "n.json"],
        &["apply", "--validate=false", "-f", "n.json"],
        &["apply", "--validate=false", "--server-side", "-f", "o.yaml"],
        &["apply", "--validate=false", "--server-side", "--force-conflicts", "-f", "o.yaml"],
        &["replace", "--validate=false", "-f", "n.json"],
        &["get", "configmaps", "-o", "json"],
        &["annotate", "configmap", "m", "x=y"],
        &["patch", "deployment", "web", "--type=merge", "-p", r#"{"spec":{"replicas":3}}"#],
        &["rollout", "restart", "deployment", "web", "--dry-run=server"],
        &["get", "deployment", "web", "-o", "jsonpath={.spec.replicas}"],
        &["get", "--raw", "/api/v1/namespaces/payments/pods?limit=1"],
        &["logs", "web-1"],
        &["delete", "configmap", "m"],
        &["delete", "configmap", "m"],
        &["delete", "pod", "web-2", "--wait=false"],
        &["get", "pods"],
    ];
    let run = |config| -> Vec<_> {
        scene.server.reset();
        script.iter().map(|words| (words, scene.run(config, words))).collect()
    };
    for ((words, direct), (_, through)) in run("direct").into_iter().zip(run("gateway")) {
        let direct = (direct.code, direct.stdout, direct.stderr);
        assert_eq!((through.code, through.stdout, through.stderr), direct, "{words:?}");
    }
    let records = scene.end();
    assert!(20 < of(&records, "closed").len());
}

#[test]
fn a_refusal_is_one_line_of_kubectl_and_on_record() {
    let scene = Scene::new(WRITING);
    if scene.without_kubectl() {
        return;
    }
    let said = scene.through(&["delete", "pod", "web-1", "--wait=false"]).exits(1);
    assert_eq!(said.stderr.lines().count(), 1, "{}", said.stderr);
    assert!(
        said.stderr.starts_with(
            "Error from server (Forbidden): iddio refused delete pods payments/web-1: T3"
        ),
        "{}",
        said.stderr
    );
    let said = scene.through(&["get", "secret", "db"]).exits(1);
    assert!(said.stderr.contains("reads a Secret"), "{}", said.stderr);
    let _ = scene.through(&["get", "pods"]).ok();
    let said = scene.through(&["exec", "web-1", "--", "id"]).exits(1);
    assert!(said.stderr.contains("runs a program in a workload"), "{}", said.stderr);
    assert!(
        scene
            .server
            .seen()
            .iter()
            .all(|seen| seen.method == "GET" && !seen.target.contains("secrets"))
    );
    let records = scene.end();
    let denied = of(&records, "decided");
    let denied: Vec<_> = denied.iter().filter(|decided| decided["decision"] == "deny").collect();
    // kubectl may try a stream in two ways.
    let (objects, streams) = denied.split_at(2);
    assert!(!streams.is_empty() && streams.iter().all(|stream| stream["method"] == "exec"));
    assert_eq!(objects[1]["method"], "get");
    assert_eq!(denied[0]["method"], "delete");
    assert_eq!(denied[0]["path"], "/api/v1/namespaces/payments/pods/web-1");
    assert_eq!(denied[0]["agent"], "claude");
}

#[test]
fn each_write_has_a_token_of_its_own_and_reads_share_one() {
    let scene = Scene::new(OPEN);
    if scene.without_kubectl() {
        return;
    }
    for _ in 0..2 {
        let _ = scene.through(&["get", "pods"]).ok();
    }
    for name in ["a", "b"] {
        let _ = scene.through(&["label", "pod", "web-1", &format!("{name}=x")]).ok();
    }
    let _ = scene.through(&["delete", "pod", "web-1", "--wait=false"]).ok();
    let asked: Vec<_> =
        scene.server.token_requests().iter().map(|seen| seen.target.clone()).collect();
    let account =
        |tier| format!("/api/v1/namespaces/iddio/serviceaccounts/iddio-claude-t{tier}/token");
    assert_eq!(asked, [account(0), account(2), account(2), account(3)]);
    for seen in scene.server.token_requests() {
        let body: serde_json::Value = serde_json::from_str(&seen.body).unwrap();
        assert_eq!(body["spec"]["expirationSeconds"], 600);
        assert_eq!(body["spec"]["audiences"][0], "https://kubernetes.default.svc");
        assert_eq!(body["spec"]["boundObjectRef"]["name"], "iddio-claude");
    }
    for seen in scene.server.seen() {
        let tier = match seen.method.as_str() {
            "GET" => 0,
            "PATCH" => 2,
            _ => 3,
        };
        assert_eq!(seen.account, format!("iddio-claude-t{tier}"), "{seen:?}");
    }
    let _ = scene.end();
}

#[test]
fn k05_identity_headers_of_a_client_never_reach_the_api_server() {
    let scene = Scene::new(OPEN);
    let head = scene.head(
        "GET /api/v1/namespaces/payments/pods",
        "impersonate-user: admin\r\nIMPERSONATE-GROUP: system:masters\r\nX-Remote-User: admin\r\nConnection: close\r\n",
    );
    assert!(scene.raw(&head).starts_with("HTTP/1.1 200"));
    let seen = scene.server.seen();
    let [seen] = seen.as_slice() else { panic!("{seen:#?}") };
    let names: Vec<_> = seen.headers.iter().map(|(name, _)| name.as_str()).collect();
    assert!(names.iter().all(|name| !name.contains("impersonate") && !name.contains("remote")));
    assert_eq!(seen.account, "iddio-claude-t0");
    let records = scene.end();
    let stripped = crate::kit::only(&records, "kube.headers_stripped");
    assert_eq!(stripped["headers"].as_array().unwrap().len(), 3);
}

#[test]
fn k21_k26_k28_what_has_no_one_reading_is_refused_and_the_connection_ends() {
    let scene = Scene::new(OPEN);
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: v5.channel.k8s.io\r\n";
    let exec = scene.head("GET /api/v1/namespaces/payments/pods/web-1/exec?command=id", upgrade);
    let after = scene.head("GET /api/v1/namespaces/payments/pods", "");
    let twice = format!("Authorization: Bearer {}\r\n", scene.token);
    let with_body = |kind: &str, body: &str| {
        let more = format!("Content-Type: {kind}\r\nContent-Length: {}\r\n", body.len());
        scene.head("POST /api/v1/namespaces/payments/configmaps", &more) + body
    };
    let table = [
        (format!("{exec}{after}"), "403"),
        (scene.head("GET /api/v1/namespaces/payments/../other/pods", ""), "400"),
        (scene.head("GET /api/v1//pods", ""), "400"),
        (scene.head("GET https://other/api/v1/pods", ""), "400"),
        (scene.head("CONNECT a:443", "Connection: close\r\n"), "400"),
        (
            scene.head(
                "GET /api/v1/pods",
                "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n",
            ),
            "400",
        ),
        (scene.head("GET /api/v1/pods", "Host: b\r\n"), "400"),
        (scene.head("GET /api/v1/pods", &twice), "400"),
        (
            scene
                .head("POST /api/v1/namespaces/payments/configmaps", "Transfer-Encoding: gzip\r\n"),
            "400",
        ),
        (scene.head("GET /api/v1/pods", "A: b\r\n c\r\n"), "400"),
        (
            scene.head(
                "POST /api/v1/namespaces/payments/configmaps",
                "Content-Length: 99999999\r\n",
            ),
            "413",
        ),
        (with_body("application/vnd.kubernetes.protobuf", "k8s0"), "400"),
        (with_body("application/json\r\nContent-Encoding: gzip", "{}"), "415"),
        (with_body("application/json", r#"{"kind":"ConfigMap","kind":"Secret"}"#), "400"),
        (with_body("application/json", r#"{"kind":"ClusterRoleBinding"}"#), "400"),
        ("GET /api/v1/pods HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".to_owned(), "401"),
    ];
    for (bytes, expected) in table {
        let answer = scene.raw(&bytes);
        assert!(answer.starts_with(&format!("HTTP/1.1 {expected}")), "{bytes}\n{answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{bytes}\n{answer}");
    }
    assert!(scene.server.seen().is_empty(), "{:#?}", scene.server.seen());
    let records = scene.end();
    let strangers = crate::kit::only(&records, "kube.strangers");
    assert_eq!(strangers["requests"], 2);
}

#[test]
fn k26_of_two_lengths_one_counts_and_the_connection_ends_with_it() {
    let scene = Scene::new(OPEN);
    let after = scene.head("GET /api/v1/namespaces/payments/secrets", "");
    let lengths = [
        "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n",
        "Content-Length: 4\r\nContent-Length: 40\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
        "Transfer-Encoding: identity, chunked\r\nContent-Length: 4\r\n",
    ];
    for length in lengths {
        let head = scene.head("POST /api/v1/namespaces/payments/configmaps", length);
        let answer = scene.raw(&format!("{head}0\r\n\r\n{after}"));
        assert!(answer.matches("HTTP/1.1 ").count() <= 1, "{length}\n{answer}");
    }
    // Whatever was made of the first, nobody saw the second.
    let seen = scene.server.seen();
    assert!(seen.iter().all(|seen| !seen.target.contains("secrets")), "{seen:#?}");
    assert!(seen.iter().all(|seen| seen.body.is_empty()), "{seen:#?}");
    let _ = scene.end();
}

#[test]
fn k22_a_redirect_is_not_followed_and_not_passed_on() {
    let scene = Scene::new(OPEN);
    let answer = scene.raw(&scene.head("GET /healthz/elsewhere", "Connection: close\r\n"));
    assert!(answer.starts_with("HTTP/1.1 502"), "{answer}");
    assert!(!answer.to_ascii_lowercase().contains("elsewhere.example"), "{answer}");
    let _ = scene.end();
}

#[test]
fn a_write_waits_for_a_human_and_a_client_that_goes_away_withdraws_it() {
    let scene = Scene::new(ASKING);
    if scene.without_kubectl() {
        return;
    }
    let label = |value: &str| {
        let mut command = scene.kubectl("gateway", &["label", "pod", "web-1", value]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let asked = || {
        let asks = scene.world.json(["approvals", "list", "--json"]);
        asks.as_array().is_some_and(|asks| !asks.is_empty())
    };
    let waiting = label("a=b");
    until(asked, || "nobody was asked".to_owned());
    let _ = scene.world.approve_all();
    let said = Said::of(waiting.wait_with_output().unwrap()).ok();
    assert_eq!(said.stdout, "pod/web-1 labeled\n");
    let mut waiting = label("c=d");
    until(asked, || "nobody was asked".to_owned());
    waiting.kill().unwrap();
    let _ = waiting.wait();
    until(|| !asked(), || "the ask still waits".to_owned());
    let patches = scene.server.seen().iter().filter(|seen| seen.method == "PATCH").count();
    assert_eq!(patches, 1);
    let records = scene.end();
    assert_eq!(of(&records, "asked").len(), 2);
    let text = serde_json::to_string(&records).unwrap();
    assert!(text.contains("withdrawn"), "{text}");
}

#[test]
fn a_watch_and_a_log_flow_as_they_come_and_a_freeze_cuts_them() {
    let scene = Scene::new(OPEN);
    if scene.without_kubectl() {
        return;
    }
    let start = |words: &[&str]| {
        let mut command = scene.kubectl("gateway", words);
        command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
    };
    let line = |stream: &mut std::process::ChildStdout| {
        let mut text = Vec::new();
        let mut byte = [0];
        while stream.read(&mut byte).unwrap() == 1 && byte[0] != b'\n' {
            text.push(byte[0]);
        }
        String::from_utf8(text).unwrap()
    };
    let mut log = start(&["logs", "-f", "web-1"]);
    let mut logged = log.stdout.take().unwrap();
    assert_eq!(line(&mut logged), "the first line");
    scene.server.log(Some("the second line"));
    assert_eq!(line(&mut logged), "the second line");
    let mut watch = start(&["get", "configmaps", "--watch", "-o", "name"]);
    let mut watched = watch.stdout.take().unwrap();
    until(|| scene.server.streams() == 2, || "there is no watch".to_owned());
    scene.server.put("configmaps", "payments", "new");
    assert_eq!(line(&mut watched), "configmap/new");
    scene.server.log(None);
    assert!(log.wait().unwrap().success(), "a log that ends is no failure");
    let _ = scene.world.iddio(["freeze", "--agent", "claude", "--reason", "x"]).ok();
    until(|| scene.server.streams() == 0, || "the watch goes on".to_owned());
    let _ = watch.kill();
    let _ = watch.wait();
    let records = scene.end();
    let outcomes: Vec<_> =
        of(&records, "closed").iter().filter_map(|closed| closed["outcome"].as_str()).collect();
    assert!(outcomes.contains(&"frozen"), "{outcomes:?}");
}

#[test]
fn a_revoked_agent_is_nobody_at_once_and_what_flows_to_it_is_cut() {
    let scene = Scene::new(OPEN);
    if scene.without_kubectl() {
        return;
    }
    let mut command = scene.kubectl("gateway", &["get", "configmaps", "--watch"]);
    let mut watch = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    until(|| scene.server.streams() == 1, || "there is no watch".to_owned());
    let _ = scene.world.iddio(["agent", "revoke", "claude"]).ok();
    until(|| scene.server.streams() == 0, || "the watch goes on".to_owned());
    let _ = watch.kill();
    let _ = watch.wait();
    let said = scene.through(&["get", "pods"]).exits(1);
    assert!(said.stderr.contains("You must be logged in"), "{}", said.stderr);
    let _ = scene.end();
}

#[test]
fn the_tokens_of_a_revoked_agent_end_at_the_api_server_too() {
    let mut scene = Scene::new(OPEN);
    let deleted = |scene: &Scene| {
        let asked = scene.server.token_requests();
        let asked = asked.iter().filter(|seen| seen.method == "DELETE");
        asked.map(|seen| seen.target.clone()).collect::<Vec<_>>()
    };
    let head = scene.head("GET /api/v1/pods", "Connection: close\r\n");
    assert!(scene.raw(&head).starts_with("HTTP/1.1 200"));
    let minted = scene.server.seen().pop().unwrap();
    assert_eq!(minted.account, "iddio-claude-t0");
    assert_eq!(deleted(&scene), [""; 0], "an agent that lives keeps its tokens");
    let _ = scene.world.iddio(["agent", "revoke", "claude"]).ok();
    until(|| !deleted(&scene).is_empty(), || "nothing was deleted".to_owned());
    assert_eq!(deleted(&scene), ["/api/v1/namespaces/iddio/secrets/iddio-claude"]);
    let ended = |scene: &Scene| {
        let records = scene.world.records();
        of(&records, "kube.tokens_ended").iter().filter(|r| r["subject"] == "claude").count()
    };
    until(|| ended(&scene) == 1, || "it is not on record".to_owned());
    // Whoever was revoked while no gateway ran is heard when one starts; what is ended stays so.
    scene.server.reset();
    scene.restart();
    until(|| !deleted(&scene).is_empty(), || "nothing was deleted".to_owned());
    until(|| ended(&scene) == 2, || "it is not on record".to_owned());
    let _ = scene.end();
}

#[test]
fn k18_k19_a_yes_is_for_one_request_of_one_agent() {
    let scene = Scene::new(&format!("{ASKING}{}", ASKING.replace("agents:\n  claude", "  other")));
    if scene.without_kubectl() {
        return;
    }
    let _ = scene.world.iddio(["agent", "add", "other"]).ok();
    let token = std::fs::read_to_string(scene.world.home().join("agents/other/token")).unwrap();
    let other = scene.world.work().join("other");
    kubeconfig(&other, scene.address, &scene.certificate, token.trim());
    let label = |config: &str| {
        let mut command = scene.kubectl(config, &["label", "pod", "web-1", "a=b"]);
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    };
    let asks = || scene.world.json(["approvals", "list", "--json"]).as_array().unwrap().clone();
    let mut labelling = Vec::new();
    for (count, config) in (1..).zip(["gateway", "gateway", "gateway", "other"]) {
        labelling.push(label(config));
        until(|| asks().len() == count, || format!("{} ask", asks().len()));
    }
    let one = asks()[0]["id"].as_str().unwrap().to_owned();
    let _ = scene.world.iddio(["approvals", "approve", &one]).ok();
    let ended = || scene.server.seen().iter().filter(|seen| seen.method == "PATCH").count() == 1;
    until(ended, || "nothing was patched".to_owned());
    assert_eq!(asks().len(), 3, "the others still wait");
    for mut labelling in labelling {
        let _ = labelling.kill();
        let _ = labelling.wait();
    }
    until(|| asks().is_empty(), || "asks still wait".to_owned());
    let patched: Vec<_> =
        scene.server.seen().into_iter().filter(|seen| seen.method == "PATCH").collect();
    assert_eq!(patched.len(), 1, "{patched:#?}");
    let records = scene.end();
    let granted = of(&records, "decided");
    let granted = granted.iter().filter(|decided| decided["approved_by"].is_string()).count();
    assert_eq!(granted, 1);
}

#[test]
fn k27_an_answer_of_any_size_costs_one_piece_of_memory_at_a_time() {
    let scene = Scene::new(OPEN);
    let peak = || {
        let pid = scene.gateway.pid().as_raw_nonzero();
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() / 1024
    };
    let head = scene.head("GET /metrics", "Connection: close\r\n");
    // A client that does not read for now: whatever would be held back is held back now.
    let mut slow = scene.send(&head);
    let mut stream = scene.send(&head);
    let (mut total, mut buffer) = (0, vec![0; 1 << 20]);
    loop {
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => break,
            Ok(read) => total += read,
        }
    }
    assert!(MANY_MIB << 20 <= total, "{total}");
    let peak = peak();
    assert!(peak < MANY_MIB / 2, "{peak} MiB at most");
    let mut first = [0];
    assert_eq!(slow.read(&mut first).unwrap(), 1);
    drop(slow);
    let _ = scene.end();
}

#[test]
fn a_rule_for_one_namespace_covers_that_and_discovery_and_nothing_else() {
    let scene = Scene::new(
        "agents:\n  claude:\n    rules:\n      - {protocol: kubernetes, clusters: [prod], \
         namespaces: [payments], tiers: {0: allow, 2: allow}}\n",
    );
    if scene.without_kubectl() {
        return;
    }
    let _ = scene.through(&["api-resources"]).ok();
    let _ = scene.through(&["get", "pods"]).ok();
    let _ = scene.through(&["label", "pod", "web-1", "a=b"]).ok();
    let refused: [&[&str]; 6] = [
        &["get", "pods", "-n", "other"],
        &["get", "pods", "-A"],
        &["get", "namespaces"],
        &["get", "namespace", "payments"],
        &["label", "namespace", "payments", "a=b"],
        &["label", "pod", "web-3", "-n", "other", "a=b"],
    ];
    for words in refused {
        let said = scene.through(words).exits(1);
        assert!(said.stderr.contains("iddio refused"), "{words:?}: {}", said.stderr);
    }
    let discovery = |target: &str| {
        let path = target.split('?').next().unwrap();
        ["/version", "/api", "/apis", "/api/v1", "/apis/apps/v1"].contains(&path)
            || path.starts_with("/openapi/")
    };
    for seen in scene.server.seen() {
        let own = seen.target.starts_with("/api/v1/namespaces/payments/pods");
        assert!(own || discovery(&seen.target), "{seen:#?}");
    }
    let _ = scene.end();
}

#[test]
fn an_api_server_that_nobody_vouches_for_gets_nothing() {
    let scene = Scene::vouched(OPEN, Some(&Pair::new().certificate));
    for line in ["GET /api/v1/pods", "DELETE /api/v1/namespaces/payments/pods/web-1"] {
        let answer = scene.raw(&scene.head(line, "Connection: close\r\n"));
        assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    }
    assert!(scene.server.seen().is_empty() && scene.server.token_requests().is_empty());
    let records = scene.end();
    let outcomes: Vec<_> =
        of(&records, "closed").iter().filter_map(|closed| closed["outcome"].as_str()).collect();
    assert_eq!(outcomes, ["not_forwarded", "not_forwarded"]);
}
