//! The Kubernetes gateway as its clients find it: certificates of the home's authority, HTTP/2, and
//! several clusters behind it. Real kubectl, and raw clients that say what no honest one would.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    process::{Command, Stdio},
    sync::Arc,
};

use http_body_util::{BodyExt, Full};
use hyper::{Request, StatusCode, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use iddio_tests::{
    Said, Started, World,
    apiserver::{ApiServer, OWN, Spoken, kubeconfig},
    keepers::until,
    kube_binary, real,
};
use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SanType,
};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use serde_json::Value;

use crate::kit::{KUBECTL, of, only};

/// Everything below break-glass runs, for two agents.
const OPEN: &str = "\
agents:
  claude:
    rules:
      - {protocol: kubernetes, cluster_scoped: true, tiers: {0: allow, 2: allow, 3: allow, 4: deny}}
  other:
    rules:
      - {protocol: kubernetes, cluster_scoped: true, tiers: {0: allow, 2: allow, 3: allow, 4: deny}}
";

/// One of two clusters.
const ONE: &str = "\
agents:
  claude:
    rules:
      - {protocol: kubernetes, clusters: [prod], cluster_scoped: true, tiers: {0: allow, 2: allow, 4: deny}}
";

/// A gateway that shows its home's certificate, with clusters behind it.
struct Scene {
    world: World,
    servers: Vec<ApiServer>,
    gateway: Started,
    address: SocketAddr,
    kubectl: Option<PathBuf>,
}

/// What a raw client shows.
struct Pair {
    certificate: String,
    key: String,
}

impl Scene {
    /// A gateway before servers of these names.
    fn new(policy: &str, names: &[&str]) -> Self {
        Self::speaking(policy, names, Spoken::Both)
    }

    fn speaking(policy: &str, names: &[&str], spoken: Spoken) -> Self {
        let world = World::with_policy(policy);
        let servers: Vec<_> = names.iter().map(|_| ApiServer::speaking(spoken)).collect();
        let own = world.file("own-token", OWN);
        let clusters: String = names
            .iter()
            .zip(&servers)
            .map(|(name, server)| {
                let authority = world.file(&format!("{name}-ca.pem"), server.certificate());
                format!(
                    "[[cluster]]\nname = {name:?}\nserver = \"https://{}\"\n\
                     certificate_authority = {authority:?}\ntoken_file = {own:?}\n",
                    server.address()
                )
            })
            .collect();
        let gateway = started(&world, &clusters);
        let (gateway, address) = gateway;
        // What the command line reads says where the gateway really is.
        let _ = world.file("known.toml", format!("listen = \"{address}\"\n{clusters}"));
        let kubectl = real("kubectl", KUBECTL);
        let scene = Self { world, servers, gateway, address, kubectl };
        scene.agent("add", "claude");
        scene
    }

    /// Adds or rotates an agent.
    fn agent(&self, verb: &str, name: &str) {
        let known = self.world.work().join("known.toml");
        let known = known.to_str().unwrap();
        let _ = self.world.iddio(["agent", verb, name, "--kube", known]).ok();
    }

    /// The kubeconfig that `iddio agent` wrote.
    fn kubeconfig(&self, agent: &str) -> PathBuf {
        self.world.home().join("agents").join(agent).join("kubeconfig")
    }

    fn kubectl(&self, config: &PathBuf, words: &[&str]) -> Command {
        let mut command = Command::new(self.kubectl.as_ref().unwrap());
        let _ = command.arg("--kubeconfig").arg(config).args(["-n", "payments"]).args(words);
        let _ = command.env_clear().env("HOME", self.world.user()).env("PATH", "/usr/bin:/bin");
        let _ = command.current_dir(self.world.work()).stdin(Stdio::null());
        command
    }

    fn run(&self, config: &PathBuf, words: &[&str]) -> Said {
        Said::of(self.kubectl(config, words).output().unwrap())
    }

    /// The certificate and the key of an agent's kubeconfig.
    fn pair(&self, agent: &str) -> Pair {
        let text = std::fs::read_to_string(self.kubeconfig(agent)).unwrap();
        let member = |name: &str| {
            let line = text.lines().find_map(|line| line.trim().strip_prefix(name)).unwrap();
            let bytes = iddio_core::audit::line::stated::of_base64(line.trim()).unwrap();
            String::from_utf8(bytes).unwrap()
        };
        let certificate = member("client-certificate-data:");
        Pair { certificate, key: member("client-key-data:") }
    }

    fn token(&self, agent: &str) -> String {
        let path = self.world.home().join("agents").join(agent).join("token");
        std::fs::read_to_string(path).unwrap().trim().to_owned()
    }

    /// TLS as a client has it that believes the home and shows `pair`.
    fn tls(&self, pair: Option<&Pair>, protocols: &[&str]) -> ClientConfig {
        let authority = std::fs::read(self.world.home().join("tls/ca.pem")).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(&authority).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match pair {
            None => config.with_no_client_auth(),
            Some(Pair { certificate, key }) => {
                let chain = CertificateDer::pem_slice_iter(certificate.as_bytes());
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
                config.with_client_auth_cert(chain.map(Result::unwrap).collect(), key).unwrap()
            }
        };
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        config
    }

    fn connect(&self, config: ClientConfig) -> StreamOwned<ClientConnection, TcpStream> {
        let name = "127.0.0.1".try_into().unwrap();
        let connection = ClientConnection::new(Arc::new(config), name).unwrap();
        StreamOwned::new(connection, TcpStream::connect(self.address).unwrap())
    }

    /// Sends bytes over HTTP/1.1 and returns all that comes, or how it failed.
    fn raw(&self, pair: Option<&Pair>, bytes: &str) -> Result<String, String> {
        let mut stream = self.connect(self.tls(pair, &["http/1.1"]));
        let mut answer = Vec::new();
        let sent = stream.write_all(bytes.as_bytes()).and_then(|()| stream.flush());
        let read = sent.and_then(|()| stream.read_to_end(&mut answer).map(drop));
        match read {
            // An end without a goodbye is an end.
            Err(error) if answer.is_empty() => Err(error.to_string()),
            _ => Ok(String::from_utf8_lossy(&answer).into_owned()),
        }
    }

    fn head(&self, path: &str, more: &str) -> String {
        format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{more}\r\n")
    }

    /// Stops the gateway, and returns what is on record.
    fn end(self) -> Vec<Value> {
        self.gateway.signal(rustix::process::Signal::TERM);
        let said = self.gateway.end();
        assert_eq!(said.code, 0, "{said:?}");
        self.world.verify();
        self.world.records()
    }
}

fn started(world: &World, clusters: &str) -> (Started, SocketAddr) {
    let config = world.file("kube.toml", format!("listen = \"127.0.0.1:0\"\n{clusters}"));
    let words = [kube_binary().as_os_str(), "--config".as_ref(), config.as_os_str()];
    let mut gateway = Started::of(world.within(words).stdin(Stdio::null()));
    let line = gateway.until("listening on");
    let address = line.rsplit(' ').next().unwrap().parse().unwrap();
    (gateway, address)
}

const PODS: &str = "/api/v1/namespaces/payments/pods";

#[test]
fn an_agents_kubeconfig_works_as_it_was_written_and_speaks_http_2_on_both_sides() {
    let scene = Scene::new(OPEN, &["prod"]);
    if scene.kubectl.is_none() {
        return;
    }
    let config = scene.kubeconfig("claude");
    let mode = std::os::unix::fs::PermissionsExt::mode;
    assert_eq!(mode(&std::fs::metadata(&config).unwrap().permissions()) & 0o777, 0o600);
    let said = scene.run(&config, &["get", "pods", "-o", "name"]).ok();
    assert_eq!(said.stdout, "pod/web-1\npod/web-2\n");
    let _ = scene.run(&config, &["label", "pod", "web-1", "a=b"]).ok();
    let mut loud = scene.kubectl(&config, &["get", "pods"]);
    let said = Said::of(loud.env("GODEBUG", "http2debug=1").output().unwrap()).ok();
    assert!(said.stderr.contains("http2: Transport received"), "{}", said.stderr);
    let seen = scene.servers[0].seen();
    assert!(seen.iter().all(|seen| seen.version == Version::HTTP_2), "{seen:#?}");
    let records = scene.end();
    for decided in of(&records, "decided") {
        assert_eq!(
            (&decided["agent"], &decided["proof"]),
            (&"claude".into(), &"certificate".into())
        );
    }
    let _ = only(&records, "ca.made");
    let certified = only(&records, "agent.certified");
    assert_eq!(certified["subject"], "claude");
    assert_eq!(certified["serial"].as_str().unwrap().len(), 32);
}

/// A client library, doing what programs do: everything it says is one line of JSON.
const LIBRARY: &str = r#"
import json, sys
from kubernetes import client, config, watch
from kubernetes.client.rest import ApiException

config.load_kube_config(sys.argv[1])
core, apps = client.CoreV1Api(), client.AppsV1Api()
say = lambda *words: print(json.dumps(words), flush=True)
names = lambda found: [item.metadata.name for item in found.items]

page = core.list_namespaced_pod("payments", limit=1)
rest = core.list_namespaced_pod("payments", limit=1, _continue=page.metadata._continue)
say("pages", names(page), names(rest))
body = {"metadata": {"name": "m"}, "data": {"a": "b"}}
say("created", core.create_namespaced_config_map("payments", body).metadata.name)
for _ in watch.Watch().stream(core.list_namespaced_config_map, "payments", timeout_seconds=2):
    break
say("read", core.read_namespaced_config_map("m", "payments").data)
say("patched", core.patch_namespaced_config_map("m", "payments", {"data": {"a": "c"}}).data)
body["data"]["a"] = "d"
say("replaced", core.replace_namespaced_config_map("m", "payments", body).data)
raw = apps.patch_namespaced_deployment("web", "payments", {"spec": {"replicas": 3}}, _preload_content=False)
say("scaled", json.loads(raw.data)["spec"]["replicas"])
say("log", core.read_namespaced_pod_log("web-1", "payments").splitlines()[0])
for what in (lambda: core.delete_namespace("payments"), lambda: core.read_namespaced_pod("nobody", "payments")):
    try:
        what()
    except ApiException as error:
        status = json.loads(error.body)
        causes = [cause["reason"] for cause in (status.get("details") or {}).get("causes", [])]
        say("refused", error.status, status["reason"], "iddio/rule" in causes)
say("deleted", core.delete_namespaced_config_map("m", "payments").status)
"#;

#[test]
fn a_client_library_of_another_maker_works_with_the_same_kubeconfig_direct_and_through() {
    let scene = Scene::new(OPEN, &["prod"]);
    let without = std::env::var("IDDIO_TEST_WITHOUT").unwrap_or_default();
    if without.split(',').any(|word| word == "python3-kubernetes") {
        println!("WITHOUT python3-kubernetes: a client library");
        return;
    }
    let script = scene.world.file("library.py", LIBRARY);
    let direct = scene.world.work().join("direct");
    let server = &scene.servers[0];
    kubeconfig(&direct, server.address(), server.certificate(), "direct");
    let run = |config: &PathBuf| {
        server.reset();
        let mut command = Command::new("/usr/bin/python3");
        let _ = command.arg(&script).arg(config).env_clear().env("HOME", scene.world.user());
        let said = Said::of(command.stdin(Stdio::null()).output().unwrap());
        assert_eq!(said.code, 0, "apt-get install python3-kubernetes? {}", said.stderr);
        said.stdout.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let through = run(&scene.kubeconfig("claude"));
    let direct = run(&direct);
    let refused = |line: &&String| line.starts_with("[\"refused\", 403");
    let refusals: Vec<_> = through.iter().filter(refused).collect();
    assert_eq!(refusals, [r#"["refused", 403, "Forbidden", true]"#]);
    // Deleting a namespace is what policy refuses; all the rest agrees.
    let rest: Vec<_> = through.iter().filter(|line| !refused(line)).cloned().collect();
    assert_eq!(rest, direct);
    assert_eq!(through.len(), 10);
    let _ = scene.end();
}

#[test]
fn an_api_server_of_http_1_is_served_as_well() {
    let scene = Scene::speaking(OPEN, &["prod"], Spoken::Http1);
    if scene.kubectl.is_none() {
        return;
    }
    let config = scene.kubeconfig("claude");
    for _ in 0..2 {
        let _ = scene.run(&config, &["get", "pods"]).ok();
    }
    assert!(scene.servers[0].seen().iter().all(|seen| seen.version == Version::HTTP_11));
    let _ = scene.end();
}

#[test]
fn a_certificate_that_was_rotated_or_revoked_ends_at_once_and_so_does_what_flows_by_it() {
    let scene = Scene::new(OPEN, &["prod"]);
    if scene.kubectl.is_none() {
        return;
    }
    let config = scene.kubeconfig("claude");
    let old = scene.world.work().join("old");
    let _ = std::fs::copy(&config, &old).unwrap();
    let watch = |config: &PathBuf| {
        let mut command = scene.kubectl(config, &["get", "configmaps", "--watch"]);
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    };
    let streams = || scene.servers[0].streams();
    let mut first = watch(&old);
    until(|| streams() == 1, || "there is no watch".to_owned());
    scene.agent("rotate", "claude");
    until(|| streams() == 0, || "the watch of the old certificate goes on".to_owned());
    let _ = first.kill();
    let _ = first.wait();
    let said = scene.run(&old, &["get", "pods"]).exits(1);
    assert!(said.stderr.contains("You must be logged in"), "{}", said.stderr);
    let _ = scene.run(&config, &["get", "pods"]).ok();
    let revoked = scene.world.work().join("revoked");
    let _ = std::fs::copy(&config, &revoked).unwrap();
    let mut second = watch(&revoked);
    until(|| streams() == 1, || "there is no watch".to_owned());
    let _ = scene.world.iddio(["agent", "revoke", "claude"]).ok();
    until(|| streams() == 0, || "the watch of the revoked certificate goes on".to_owned());
    let _ = second.kill();
    let _ = second.wait();
    let _ = scene.run(&revoked, &["get", "pods"]).exits(1);
    assert!(!config.exists(), "the kubeconfig of a revoked agent is gone");
    let records = scene.end();
    let serials: Vec<_> =
        of(&records, "agent.certified").iter().map(|event| event["serial"].clone()).collect();
    assert!(serials.len() == 2 && serials[0] != serials[1], "{serials:?}");
}

#[test]
fn a_resumed_session_is_no_longer_good_than_what_it_resumes() {
    let scene = Scene::new(OPEN, &["prod"]);
    let pair = scene.pair("claude");
    let config = scene.tls(Some(&pair), &["http/1.1"]);
    let ask = || {
        let mut stream = scene.connect(config.clone());
        stream.write_all(scene.head(PODS, "").as_bytes()).unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let resumed = stream.conn.handshake_kind() == Some(rustls::HandshakeKind::Resumed);
        (String::from_utf8_lossy(&answer).into_owned(), resumed)
    };
    let (first, resumed) = ask();
    assert!(first.starts_with("HTTP/1.1 200") && !resumed, "{first}");
    let (second, resumed) = ask();
    assert!(second.starts_with("HTTP/1.1 200") && resumed, "{second}");
    let _ = scene.world.iddio(["agent", "revoke", "claude"]).ok();
    let (third, resumed) = ask();
    assert!(third.starts_with("HTTP/1.1 401") && resumed, "{third}");
    let _ = scene.end();
}

#[test]
fn a_certificate_that_is_nobodys_is_refused_in_the_handshake_and_counted() {
    let scene = Scene::new(OPEN, &["prod"]);
    let key = KeyPair::generate().unwrap();
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let leaf = |issuer: &Issuer<'_, &KeyPair>, uri: &str| {
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![SanType::URI(uri.try_into().unwrap())];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let own = KeyPair::generate().unwrap();
        Pair {
            certificate: params.signed_by(&own, issuer).unwrap().pem(),
            key: own.serialize_pem(),
        }
    };
    let stranger =
        leaf(&Issuer::from_params(&authority, &key), "spiffe://iddio.local/agent/claude");
    // The home's own key vouches for whatever whoever has it likes, and yet not for any name.
    let own = std::fs::read_to_string(scene.world.home().join("tls/ca.key")).unwrap();
    let own = KeyPair::from_pem(&own).unwrap();
    let mut home = CertificateParams::default();
    home.distinguished_name = rcgen::DistinguishedName::new();
    home.distinguished_name.push(rcgen::DnType::CommonName, "iddio home authority");
    let of_home = |uri: &str| leaf(&Issuer::from_params(&home, &own), uri);
    let table = [
        stranger,
        of_home("spiffe://iddio.local/operator/claude"),
        of_home("spiffe://elsewhere/agent/claude"),
        of_home("spiffe://iddio.local/agent/claude/x"),
    ];
    let count = table.len();
    for pair in table {
        let failed = scene.raw(Some(&pair), &scene.head(PODS, "")).unwrap_err();
        assert!(failed.contains("alert") || failed.contains("Alert"), "{failed}");
    }
    // A name that is one, under a number that nobody stored, is a stranger's as well.
    let unknown = of_home("spiffe://iddio.local/agent/claude");
    let answer = scene.raw(Some(&unknown), &scene.head(PODS, "")).unwrap();
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    assert!(scene.servers[0].seen().is_empty());
    let records = scene.end();
    assert_eq!(only(&records, "kube.strangers")["requests"], count as u64 + 1);
    assert!(of(&records, "decided").is_empty());
}

#[test]
fn k28_a_certificate_and_a_token_are_of_one_agent_or_of_nobody() {
    let scene = Scene::new(OPEN, &["prod"]);
    scene.agent("add", "other");
    let bearer = |agent: &str| format!("Authorization: Bearer {}\r\n", scene.token(agent));
    let claude = scene.pair("claude");
    let of = |pair: Option<&Pair>, more: &str| {
        let answer = scene.raw(pair, &scene.head(PODS, more)).unwrap();
        answer.split(' ').nth(1).unwrap().to_owned()
    };
    assert_eq!(of(Some(&claude), ""), "200");
    assert_eq!(of(None, &bearer("claude")), "200");
    assert_eq!(of(Some(&claude), &bearer("claude")), "200");
    assert_eq!(of(Some(&claude), &bearer("other")), "401");
    assert_eq!(of(Some(&claude), "Authorization: Bearer nonsense\r\n"), "401");
    assert_eq!(of(Some(&claude), "Authorization: Basic YTpi\r\n"), "401");
    assert_eq!(of(Some(&claude), &(bearer("claude") + &bearer("claude"))), "400");
    assert_eq!(of(None, ""), "401");
    let _ = scene.end();
}

#[test]
fn each_cluster_has_a_path_of_its_own_and_policy_tells_them_apart() {
    let scene = Scene::new(ONE, &["prod", "staging"]);
    if scene.kubectl.is_none() {
        return;
    }
    let config = scene.kubeconfig("claude");
    let _ = scene.run(&config, &["get", "pods"]).ok();
    let _ = scene.run(&config, &["--context", "prod", "get", "pods"]).ok();
    let said = scene.run(&config, &["--context", "staging", "get", "pods"]).exits(1);
    assert!(said.stderr.contains("(Forbidden)"), "{}", said.stderr);
    assert!(!scene.servers[0].seen().is_empty());
    assert!(scene.servers[1].seen().is_empty() && scene.servers[1].token_requests().is_empty());
    let pair = scene.pair("claude");
    for path in [
        PODS,
        "/clusters/other/api/v1/namespaces/payments/pods",
        "/clusters/Prod/api/v1/namespaces/payments/pods",
        "/clusters/pro%64/api/v1/namespaces/payments/pods",
        "/clusters/prod/../staging/api/v1/namespaces/payments/pods",
        "/clusters/prod//api/v1/namespaces/payments/pods",
        "/clusters/prod",
    ] {
        let answer = scene.raw(Some(&pair), &scene.head(path, "")).unwrap();
        assert!(answer.starts_with("HTTP/1.1 400"), "{path}: {answer}");
    }
    let seen = scene.servers[0].seen();
    assert!(seen.iter().all(|seen| !seen.target.contains("clusters")), "{seen:#?}");
    let records = scene.end();
    let decided = of(&records, "decided");
    let refused = |cluster: &str| {
        let refused =
            |decided: &&&Value| decided["refusal"] == "policy" && decided["cluster"] == cluster;
        decided.iter().filter(refused).count()
    };
    assert!(0 < refused("staging"), "{records:#?}");
    assert_eq!((refused("prod"), refused("-")), (2, 5), "{records:#?}");
}

#[test]
fn a_cluster_of_a_kubeconfig_gets_the_gateways_certificate_for_tokens_and_never_for_a_clients_request()
 {
    let world = World::with_policy(OPEN);
    let server = ApiServer::start();
    let authority = world.file("ca.pem", server.certificate());
    let certificate = world.file("own.pem", &server.own_pair().certificate);
    let private = |path: &PathBuf| {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(path, mode).unwrap();
    };
    let key = world.file("own.key", &server.own_pair().key);
    private(&key);
    let config = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: none\ncontexts:\n- name: admin\n  context: \
         {{cluster: c, user: u}}\nclusters:\n- name: c\n  cluster:\n    server: https://{}\n    \
         certificate-authority: {authority:?}\nusers:\n- name: u\n  user:\n    client-certificate: \
         {certificate:?}\n    client-key: {key:?}\n",
        server.address()
    );
    let config = world.file("cluster.kubeconfig", config);
    private(&config);
    let clusters =
        format!("[[cluster]]\nname = \"prod\"\nkubeconfig = {config:?}\ncontext = \"admin\"\n");
    let (gateway, address) = started(&world, &clusters);
    let _ = world.file("known.toml", format!("listen = \"{address}\"\n{clusters}"));
    let (kubectl, servers) = (None, vec![server]);
    let scene = Scene { world, servers, gateway, address, kubectl };
    scene.agent("add", "claude");
    let pair = scene.pair("claude");
    let answer = scene.raw(Some(&pair), &scene.head(PODS, "")).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let server = &scene.servers[0];
    let asked = server.token_requests();
    let accounts: Vec<_> = server.seen().iter().map(|seen| seen.account.clone()).collect();
    assert_eq!((asked.len(), accounts), (1, vec!["iddio-claude-t0".to_owned()]));
    let _ = scene.end();
}

#[test]
fn a_read_whose_token_the_server_forgot_is_sent_again_with_a_new_one_and_a_write_is_not() {
    let scene = Scene::new(OPEN, &["prod"]);
    let pair = scene.pair("claude");
    let get = || scene.raw(Some(&pair), &scene.head(PODS, "")).unwrap();
    assert!(get().starts_with("HTTP/1.1 200"));
    // The server starts anew: no token that it made before means anything.
    scene.servers[0].reset();
    assert!(get().starts_with("HTTP/1.1 200"));
    let records = scene.end();
    let notes: Vec<_> = of(&records, "closed")
        .iter()
        .filter_map(|closed| closed["note"].as_str().map(str::to_owned))
        .collect();
    assert_eq!(notes, ["status 200", "status 200; sent again with a new token"]);
}

#[test]
fn the_gateways_certificate_is_the_homes_and_is_issued_anew_when_its_names_change() {
    let scene = Scene::new(OPEN, &["prod"]);
    let path = scene.world.home().join("tls/server.pem");
    let first = std::fs::read(&path).unwrap();
    let clusters = std::fs::read_to_string(scene.world.work().join("kube.toml")).unwrap();
    let (_, clusters) = clusters.split_once('\n').unwrap();
    let config = scene.tls(None, &["http/1.1"]);
    scene.gateway.signal(rustix::process::Signal::TERM);
    assert_eq!(scene.gateway.end().code, 0);
    let run = |text: &str| {
        let (gateway, address) = started(&scene.world, text);
        let name = "127.0.0.1".try_into().unwrap();
        let mut client = ClientConnection::new(Arc::new(config.clone()), name).unwrap();
        let mut stream = TcpStream::connect(address).unwrap();
        while client.is_handshaking() {
            let _ = client.complete_io(&mut stream).unwrap();
        }
        gateway.signal(rustix::process::Signal::TERM);
        assert_eq!(gateway.end().code, 0);
        std::fs::read(&path).unwrap()
    };
    assert_eq!(run(clusters), first, "nothing changed");
    let second = run(&format!("names = [\"gw.example\"]\n{clusters}"));
    assert_ne!(second, first);
    let records = scene.world.records();
    let issued = of(&records, "tls.issued");
    let [before, after] = issued.as_slice() else { panic!("{issued:#?}") };
    assert_eq!(after["fingerprint_before"], before["fingerprint"]);
    assert!(after["names"].to_string().contains("gw.example"));
    let text = serde_json::to_string(&records).unwrap();
    assert!(!text.contains("PRIVATE"));
}

#[test]
fn k26_http_2_names_one_host_and_makes_no_tunnels() {
    let scene = Scene::new(OPEN, &["prod"]);
    let pair = scene.pair("claude");
    let config = scene.tls(Some(&pair), &["h2"]);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let ask = |request: Request<Full<bytes::Bytes>>| {
        runtime.block_on(async {
            let stream = tokio::net::TcpStream::connect(scene.address).await.unwrap();
            let connector = tokio_rustls::TlsConnector::from(Arc::new(config.clone()));
            let stream = connector.connect("127.0.0.1".try_into().unwrap(), stream).await.unwrap();
            let builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
            let (mut sender, connection) = builder.handshake(TokioIo::new(stream)).await.unwrap();
            let driver = tokio::spawn(connection);
            let answer = sender.send_request(request).await;
            let answer = match answer {
                Ok(answer) => {
                    let status = answer.status();
                    let body = answer.into_body().collect().await.unwrap().to_bytes();
                    Ok((status, String::from_utf8_lossy(&body).into_owned()))
                }
                Err(error) => Err(error.to_string()),
            };
            driver.abort();
            answer
        })
    };
    let get = |uri: &str| Request::get(uri.to_owned());
    let uri = format!("https://gw{PODS}");
    let (status, _) = ask(get(&uri).body(Full::default()).unwrap()).unwrap();
    assert_eq!(status, StatusCode::OK);
    let same = get(&uri).header("host", "gw").body(Full::default()).unwrap();
    assert_eq!(ask(same).unwrap().0, StatusCode::OK);
    let other = get(&uri).header("host", "other").body(Full::default()).unwrap();
    let (status, body) = ask(other).unwrap();
    assert_eq!(status, StatusCode::BAD_REQUEST, "{body}");
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(body["kind"], "Status");
    let tunnel = Request::connect("gw:443").body(Full::default()).unwrap();
    assert!(
        ask(tunnel).is_err_and(|error| !error.is_empty()) || scene.servers[0].seen().len() == 2
    );
    let many = (0..200).fold(get(&uri), |request, n| request.header(format!("a-{n}"), "b"));
    let (status, _) = ask(many.body(Full::default()).unwrap()).unwrap();
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert_eq!(scene.servers[0].seen().len(), 2);
    let records = scene.end();
    let decided = of(&records, "decided");
    let refused = decided.iter().filter(|decided| decided["decision"] == "deny").count();
    assert!(2 <= refused, "{decided:#?}");
}

/// A frame of HTTP/2.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// Sends raw frames after the preface and returns, once the gateway has closed, how many bytes it let in
/// and the codes of the GOAWAY frames that came back.
fn attacked(scene: &Scene, frames: &[u8]) -> (usize, Vec<u32>) {
    let mut stream = scene.connect(scene.tls(None, &["h2"]));
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    bytes.extend(frame(4, 0, 0, &[]));
    stream.write_all(&bytes).unwrap();
    let mut sent = 0;
    for piece in frames.chunks(16 * 1024) {
        // The gateway may be gone by now, which is what should happen.
        if stream.write_all(piece).and_then(|()| stream.flush()).is_err() {
            break;
        }
        sent += piece.len();
    }
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let (mut codes, mut rest) = (Vec::new(), answer.as_slice());
    while let [a, b, c, kind, _, _, _, _, _, body @ ..] = rest {
        let length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
        let Some((payload, after)) = body.split_at_checked(length) else { break };
        if *kind == 7 {
            codes.push(u32::from_be_bytes(payload[4..8].try_into().unwrap()));
        }
        rest = after;
    }
    (sent, codes)
}

#[test]
fn f6_a_flood_of_resets_or_of_continuations_ends_its_connection_and_nobody_elses() {
    let scene = Scene::new(OPEN, &["prod"]);
    let pair = scene.pair("claude");
    // `GET https://a/`, in the words that HPACK knows by number.
    let head = [0x82, 0x87, 0x84, 0x41, 1, b'a'];
    let resets: Vec<u8> = (0..1_000_000_u32)
        .flat_map(|n| {
            let stream = 2 * n + 1;
            let mut pair = frame(1, 0x5, stream, &head);
            pair.extend(frame(3, 0, stream, &8_u32.to_be_bytes()));
            pair
        })
        .collect();
    // More than the buffers of two sockets hold. The word to calm down (11) may be lost with what was
    // not read.
    let (sent, codes) = attacked(&scene, &resets);
    assert!(sent < resets.len() && codes.iter().all(|code| *code == 11), "{sent} {codes:?}");
    let mut endless = frame(1, 0x1, 1, &head);
    let literal: Vec<u8> = [0, 1, b'b', 100].into_iter().chain([b'c'; 100]).collect();
    while endless.len() < 32 << 20 {
        endless.extend(frame(9, 0, 1, &literal));
    }
    let (sent, _) = attacked(&scene, &endless);
    assert!(sent < endless.len(), "all of it was read");
    let answer = scene.raw(Some(&pair), &scene.head(PODS, "")).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let pid = scene.gateway.pid().as_raw_nonzero();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    let mib = line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() / 1024;
    assert!(mib < 128, "{mib} MiB");
    let _ = scene.end();
}

#[test]
fn k27_watches_that_nobody_reads_hold_up_nobody_on_the_same_connection() {
    let scene = Scene::new(OPEN, &["prod"]);
    let pair = scene.pair("claude");
    // More than a hundred, so that the gateway needs a second connection, and none of them is read.
    let stalled: Vec<_> = (0..120)
        .map(|_| {
            let mut stream = scene.connect(scene.tls(Some(&pair), &["http/1.1"]));
            stream.write_all(scene.head("/metrics", "").as_bytes()).unwrap();
            stream.flush().unwrap();
            stream
        })
        .collect();
    until(|| scene.servers[0].seen().len() == 120, || format!("{}", scene.servers[0].seen().len()));
    let answer = scene.raw(Some(&pair), &scene.head(PODS, "")).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    drop(stalled);
    let _ = scene.end();
}
