//! P1, P2, P14 and P16: what the Kubernetes gateway takes, beside nginx and `kubectl proxy`.
//!
//! Before each of the three stands the same client (curl), behind each the same API server, which is an
//! nginx of its own with one list of pods; iddio classifies, decides and records every request besides.
//! What a server takes is the processor time of its own processes before and after, over the number of
//! requests; rounds go there and back again, and medians are compared. A new connection is the difference
//! between requests on connections of their own, which resume nothing, and requests on one that is kept.

use std::{
    fs,
    io::Write as _,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::report::Row;
use crate::process::{self, Workspace};

/// Where everything is, and what programs run there.
struct Scene {
    world: PathBuf,
    bin: PathBuf,
    clock_ticks: f64,
}

/// A server, which ends with the measurement.
struct Server {
    name: &'static str,
    child: Child,
    url: String,
    /// What curl needs to speak to it.
    shows: Vec<String>,
}

/// Whether a client keeps its connection.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Connections {
    Each,
    Kept,
}

/// What one server took: per request, and per request on a connection of its own, in microseconds.
#[derive(Default)]
struct Took {
    kept: Vec<f64>,
    each: Vec<f64>,
}

/// Whether a row is about this gateway.
pub(super) fn owns(row: &Row) -> bool {
    matches!(row.id.as_str(), "P1" | "P2" | "P14" | "P16")
}

/// Measures.
pub(super) fn rows(workspace: &Workspace) -> Result<Vec<Row>> {
    let mut cargo = workspace.cargo();
    process::run(cargo.args(["build", "--release", "-p", "iddio", "-p", "iddio-kube"]))?;
    let scene = Scene::new(workspace)?;
    let _api = scene.api_server()?;
    let nginx = scene.nginx()?;
    let kubectl = scene.kubectl()?;
    let gateway = scene.gateway()?;
    let idle = resident(&gateway)?;
    let servers = [&nginx, &kubectl, &gateway];
    let mut took = [Took::default(), Took::default(), Took::default()];
    for round in 0..ROUNDS {
        let mut order: Vec<_> = servers.iter().zip(took.iter_mut()).collect();
        if round % 2 == 1 {
            order.reverse();
        }
        for (server, took) in order {
            took.kept.push(scene.cost(server, Connections::Kept, REQUESTS)?);
            // `kubectl proxy` takes no TLS, so a new connection of its own is not the same thing.
            if server.name != "kubectl proxy" {
                took.each.push(scene.cost(server, Connections::Each, HANDSHAKES)?);
            }
        }
    }
    let [of_nginx, of_kubectl, of_gateway] = &took;
    let mut rows = requests(of_nginx, of_kubectl, of_gateway);
    rows.push(handshakes(of_nginx, of_gateway));
    rows.extend(scene.reloads(&gateway)?);
    rows.extend(scene.footprint(&gateway, idle)?);
    Ok(rows)
}

/// P1.
fn requests(nginx: &Took, kubectl: &Took, gateway: &Took) -> Vec<Row> {
    let ours = median(&gateway.kept);
    [
        ("nginx as mTLS reverse proxy", median(&nginx.kept), "≤ 0.80 × nginx"),
        ("`kubectl proxy`", median(&kubectl.kept), "≤ 0.10 × kubectl proxy"),
    ]
    .into_iter()
    .map(|(name, reference, goal)| Row {
        id: "P1".to_owned(),
        what: "Kubernetes gateway, a list of pods on a kept connection: CPU".to_owned(),
        ours: format!("{ours:.0} µs"),
        reference: format!("{name} {reference:.0} µs"),
        ratio: format!("{:.2}", ours / reference),
        goal: goal.to_owned(),
    })
    .collect()
}

/// P2.
fn handshakes(nginx: &Took, gateway: &Took) -> Row {
    let own = |took: &Took| (median(&took.each) - median(&took.kept)).max(0.0);
    let (ours, reference) = (own(gateway), own(nginx));
    Row {
        id: "P2".to_owned(),
        what: "Kubernetes gateway, a new mTLS connection: CPU".to_owned(),
        ours: format!("{ours:.0} µs"),
        reference: format!("nginx {reference:.0} µs"),
        ratio: format!("{:.2}", ours / reference),
        goal: "≤ 0.30 × nginx".to_owned(),
    }
}

// === impl Scene ===

impl Scene {
    fn new(workspace: &Workspace) -> Result<Self> {
        let world = workspace.target().join("bench-kube");
        if world.exists() {
            fs::remove_dir_all(&world)?;
        }
        fs::create_dir_all(world.join("user"))?;
        let entry = format!("root:x:0:0:root:{}:/bin/sh\n", world.join("user").display());
        fs::write(world.join("passwd"), entry)?;
        let ticks = process::output(workspace.command("getconf").arg("CLK_TCK"))?;
        let scene = Self {
            world,
            bin: workspace.target().join("release"),
            clock_ticks: ticks.trim().parse().context("CLK_TCK")?,
        };
        scene.certificates()?;
        Ok(scene)
    }

    /// Makes an authority, a certificate of this host, and a client's.
    fn certificates(&self) -> Result<()> {
        let script = r#"
            set -e
            ec="-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
            openssl req -x509 $ec -keyout ca.key -out ca.pem -subj /CN=bench-ca -days 30
            for name in server client; do
                openssl req $ec -keyout $name.key -out $name.csr -subj /CN=$name
                printf 'subjectAltName=IP:127.0.0.1,DNS:api\n' > ext
                openssl x509 -req -in $name.csr -CA ca.pem -CAkey ca.key -CAcreateserial \
                    -out $name.pem -days 30 -extfile ext
            done
            printf own-token > own-token
            "#;
        let mut sh = Command::new("sh");
        process::output(sh.args(["-c", script]).current_dir(&self.world)).map(|_| ())
    }

    /// Returns a command in which the user database says that the home is this world's.
    fn within<'a>(&self, words: impl IntoIterator<Item = &'a str>) -> Command {
        let mut command = Command::new("unshare");
        let enter = "mount --bind \"$0\" /etc/passwd && exec \"$@\"";
        command.args(["-m", "sh", "-c", enter]).arg(self.world.join("passwd")).args(words);
        command.current_dir(&self.world).env("HOME", self.world.join("user"));
        command
    }

    fn program(&self, name: &str) -> String {
        self.bin.join(name).display().to_string()
    }

    /// Starts an nginx with one worker; `body` is what its server says.
    fn start_nginx(&self, name: &'static str, body: &str) -> Result<Child> {
        let world = self.world.display();
        let conf = format!(
            "daemon off; master_process off; pid {world}/{name}.pid; error_log {world}/{name}.log;\n\
             events {{ worker_connections 4096; }}\nhttp {{ access_log off; keepalive_requests \
             10000000; keepalive_timeout 600s;\n{body}\n}}\n"
        );
        let path = self.world.join(format!("{name}.conf"));
        fs::write(&path, conf)?;
        let mut command = Command::new("nginx");
        command.arg("-c").arg(path).arg("-e").arg(self.world.join(format!("{name}.log")));
        command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().context("cannot start nginx")
    }

    /// The API server of all three.
    fn api_server(&self) -> Result<Server> {
        let port = free()?;
        fs::write(self.world.join("api-port"), port.to_string())?;
        let world = self.world.display();
        let pod =
            r#"{"metadata":{"name":"web","namespace":"payments"},"status":{"phase":"Running"}}"#;
        let pods = vec![pod; PODS].join(",");
        let list =
            format!(r#"{{"kind":"PodList","apiVersion":"v1","metadata":{{}},"items":[{pods}]}}"#);
        let token = r#"{"kind":"TokenRequest","status":{"token":"minted"}}"#;
        let body = format!(
            "server {{ listen 127.0.0.1:{port} ssl; ssl_certificate {world}/server.pem; \
             ssl_certificate_key {world}/server.key; default_type application/json;\n\
             location ~ /token$ {{ return 201 '{token}'; }}\n\
             location / {{ return 200 '{list}'; }} }}"
        );
        let child = self.start_nginx("api", &body)?;
        let server = Server {
            name: "API server",
            child,
            url: self.url("https", port),
            shows: self.ca("ca.pem"),
        };
        self.until_it_answers(&server)?;
        Ok(server)
    }

    fn nginx(&self) -> Result<Server> {
        let (port, api) = (free()?, self.api_port()?);
        let world = self.world.display();
        let body = format!(
            "upstream api {{ server 127.0.0.1:{api}; keepalive 32; keepalive_requests 10000000; }}\n\
             server {{ listen 127.0.0.1:{port} ssl; ssl_certificate {world}/server.pem; \
             ssl_certificate_key {world}/server.key; ssl_client_certificate {world}/ca.pem; \
             ssl_verify_client on; location / {{ proxy_pass https://api; proxy_http_version 1.1; \
             proxy_set_header Connection \"\"; proxy_ssl_verify on; \
             proxy_ssl_trusted_certificate {world}/ca.pem; proxy_ssl_name api; }} }}"
        );
        let child = self.start_nginx("proxy", &body)?;
        let mut shows = self.ca("ca.pem");
        shows.extend(self.client("client.pem", "client.key"));
        let server = Server { name: "nginx", child, url: self.url("https", port), shows };
        self.until_it_answers(&server)?;
        Ok(server)
    }

    fn kubectl(&self) -> Result<Server> {
        let (port, api) = (free()?, self.api_port()?);
        let world = self.world.display();
        let config = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: a\nclusters:\n- name: a\n  cluster: \
             {{server: 'https://127.0.0.1:{api}', certificate-authority: '{world}/ca.pem'}}\nusers:\n\
             - name: a\n  user: {{token: direct}}\ncontexts:\n- name: a\n  context: {{cluster: a, \
             user: a}}\n"
        );
        fs::write(self.world.join("direct"), config)?;
        let mut command = Command::new("kubectl");
        command.args(["--kubeconfig", "direct", "proxy", "--port", &port.to_string()]);
        command.current_dir(&self.world).stdin(Stdio::null()).stdout(Stdio::null());
        let child = command.spawn().context("cannot start kubectl")?;
        let server =
            Server { name: "kubectl proxy", child, url: self.url("http", port), shows: Vec::new() };
        self.until_it_answers(&server)?;
        Ok(server)
    }

    /// The gateway, and the agent whose certificate its client shows.
    fn gateway(&self) -> Result<Server> {
        let (port, api) = (free()?, self.api_port()?);
        let world = self.world.display();
        let config = format!(
            "listen = \"127.0.0.1:{port}\"\ncertificate = \"{world}/server.pem\"\nkey = \
             \"{world}/server.key\"\n[cluster]\nname = \"prod\"\nserver = \
             \"https://127.0.0.1:{api}\"\ncertificate_authority = \"{world}/ca.pem\"\ntoken_file = \
             \"{world}/own-token\"\n"
        );
        fs::write(self.world.join("kube.toml"), config)?;
        let iddio = self.program("iddio");
        process::output(&mut self.within([iddio.as_str(), "init"]))?;
        fs::write(self.policy(), POLICY)?;
        let add = [iddio.as_str(), "agent", "add", "claude", "--kube", "kube.toml"];
        process::output(&mut self.within(add))?;
        let script = r#"
            set -e
            for part in certificate key; do
                kubectl --kubeconfig "$0" config view --raw \
                    -o "jsonpath={.users[0].user.client-$part-data}" | base64 -d > "agent-$part.pem"
            done
            "#;
        let kubeconfig = self.home().join("agents/claude/kubeconfig");
        let mut sh = Command::new("sh");
        sh.args(["-c", script]).arg(kubeconfig).current_dir(&self.world);
        process::output(&mut sh)?;
        let program = self.program("iddio-kube");
        let mut command = self.within([program.as_str(), "--config", "kube.toml"]);
        let log = fs::File::create(self.world.join("gateway.log"))?;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let child = command.spawn().context("cannot start iddio-kube")?;
        let mut shows = self.ca("ca.pem");
        shows.extend(self.client("agent-certificate.pem", "agent-key.pem"));
        let server = Server { name: "iddio-kube", child, url: self.url("https", port), shows };
        self.until_it_answers(&server)?;
        Ok(server)
    }

    fn home(&self) -> PathBuf {
        self.world.join("user/.iddio")
    }

    fn policy(&self) -> PathBuf {
        self.home().join("policy.yaml")
    }

    fn api_port(&self) -> Result<String> {
        Ok(fs::read_to_string(self.world.join("api-port"))?)
    }

    fn url(&self, scheme: &str, port: u16) -> String {
        format!("{scheme}://127.0.0.1:{port}/api/v1/namespaces/payments/pods")
    }

    fn ca(&self, name: &str) -> Vec<String> {
        vec!["--cacert".to_owned(), self.world.join(name).display().to_string()]
    }

    fn client(&self, certificate: &str, key: &str) -> Vec<String> {
        let path = |name: &str| self.world.join(name).display().to_string();
        vec!["--cert".to_owned(), path(certificate), "--key".to_owned(), path(key)]
    }

    /// Returns curl, which asks so many times and prints the status of each.
    fn curl(&self, server: &Server, connections: Connections, count: usize) -> Command {
        let mut command = Command::new("curl");
        command.args(["--silent", "--http1.1", "--no-sessionid", "--output", "/dev/null"]);
        command.args(["--write-out", "%{http_code}\\n"]).args(&server.shows);
        if connections == Connections::Each {
            command.args(["--header", "Connection: close"]);
        }
        command.arg(format!("{}?limit=[1-{count}]", server.url));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        command
    }

    fn until_it_answers(&self, server: &Server) -> Result<()> {
        let until = Instant::now() + PATIENCE;
        loop {
            let answered =
                self.curl(server, Connections::Kept, 1).stderr(Stdio::null()).output()?;
            match String::from_utf8_lossy(&answered.stdout).trim() {
                "200" => return Ok(()),
                other if until <= Instant::now() => {
                    bail!("{} does not answer: {other}", server.name)
                }
                _ => std::thread::sleep(Duration::from_millis(50)),
            }
        }
    }

    /// Has requests sent by some clients at once, and returns what each took of the server's processor
    /// time, in microseconds.
    fn cost(&self, server: &Server, connections: Connections, count: usize) -> Result<f64> {
        let each = count / CLIENTS;
        let before = self.used(server.child.id())?;
        let clients: Vec<Child> = (0..CLIENTS)
            .map(|_| self.curl(server, connections, each).spawn().context("cannot start curl"))
            .collect::<Result<_>>()?;
        for client in clients {
            let told = client.wait_with_output()?;
            let told = String::from_utf8_lossy(&told.stdout);
            let good = told.lines().filter(|line| *line == "200").count();
            if good != each {
                bail!("{} answered {good} of {each} requests", server.name);
            }
        }
        let used = self.used(server.child.id())? - before;
        Ok(used * 1_000_000.0 / (each * CLIENTS) as f64)
    }

    /// Returns the processor time of a process, in seconds.
    fn used(&self, pid: u32) -> Result<f64> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        // The name, in parentheses, may hold anything.
        let (_, rest) = stat.rsplit_once(')').context("stat")?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let field = |index: usize| fields.get(index).and_then(|text| text.parse::<f64>().ok());
        let (user, system) = (field(11).context("utime")?, field(12).context("stime")?);
        Ok((user + system) / self.clock_ticks)
    }

    /// P14: reloads under load, what failed meanwhile, and how long after its rest a policy is in force.
    fn reloads(&self, gateway: &Server) -> Result<Vec<Row>> {
        let mut loads: Vec<Child> = (0..CLIENTS)
            .map(|_| self.curl(gateway, Connections::Kept, RELOAD_REQUESTS).spawn().context("curl"))
            .collect::<Result<_>>()?;
        let mut reloads = 0;
        while loads.iter_mut().any(|load| matches!(load.try_wait(), Ok(None))) {
            fs::write(self.policy(), format!("{POLICY}# {reloads}\n"))?;
            std::thread::sleep(REST + Duration::from_millis(150));
            reloads += 1;
        }
        let (mut good, mut all) = (0, 0);
        for load in loads {
            let told = load.wait_with_output()?;
            let told = String::from_utf8_lossy(&told.stdout).into_owned();
            good += told.lines().filter(|line| *line == "200").count();
            all += RELOAD_REQUESTS;
        }
        let iddio = self.program("iddio");
        let query = [iddio.as_str(), "audit", "query", "--json"];
        let told = process::output(&mut self.within(query))?;
        let recorded = told
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .filter(|record| record.get("event").is_some_and(|event| event == "policy.reloaded"))
            .count();
        Ok(vec![Row {
            id: "P14".to_owned(),
            what: format!("policy reloads under load: failed requests of {all} over {recorded}"),
            ours: (all - good).to_string(),
            reference: format!("{reloads} edits"),
            ratio: String::new(),
            goal: "0 of 1 M over 1,000".to_owned(),
        }])
    }

    /// P16.
    fn footprint(&self, gateway: &Server, idle: f64) -> Result<Vec<Row>> {
        let size = fs::metadata(self.bin.join("iddio-kube"))?.len() as f64 / 1e6;
        let row = |what: &str, ours: String, goal: &str| Row {
            id: "P16".to_owned(),
            what: format!("Kubernetes gateway, {what}"),
            ours,
            reference: String::new(),
            ratio: String::new(),
            goal: goal.to_owned(),
        };
        let before = resident(gateway)?;
        let script = self.world.join("idle.py");
        fs::write(&script, IDLE)?;
        let (_, port) = gateway.url.split_once("127.0.0.1:").context("a port")?;
        let (port, _) = port.split_once('/').context("a port")?;
        let mut holder = Command::new("python3")
            .arg(script)
            .args([port, "ca.pem", "agent-certificate.pem", "agent-key.pem"])
            .current_dir(&self.world)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start python3")?;
        let mut line = String::new();
        let told = holder.stdout.as_mut().context("a pipe")?;
        let _ = std::io::BufRead::read_line(&mut std::io::BufReader::new(told), &mut line)?;
        let held = resident(gateway)?;
        if let Some(stdin) = holder.stdin.as_mut() {
            stdin.write_all(b"\n")?;
        }
        let _ = holder.wait();
        let count = line.trim();
        Ok(vec![
            row("binary, stripped", format!("{size:.1} MB"), "≤ 15 MB"),
            row("resident when it serves nobody", format!("{idle:.1} MB"), "≤ 12 MB"),
            row("resident after the load above", format!("{before:.1} MB"), "information"),
            row(
                &format!("resident with {count} idle connections"),
                format!("{held:.1} MB"),
                "≤ 40 MB",
            ),
        ])
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // One that is gone already is what we want.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns the memory in use by a server, in megabytes.
fn resident(server: &Server) -> Result<f64> {
    let path = format!("/proc/{}/status", server.child.id());
    let status = fs::read_to_string(Path::new(&path))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("VmRSS")?;
    let kilobytes: f64 = line.trim().trim_end_matches(" kB").parse().context("VmRSS")?;
    Ok(kilobytes / 1_000.0)
}

fn free() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

fn median(numbers: &[f64]) -> f64 {
    let mut sorted = numbers.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Reads run.
const POLICY: &str = "\
agents:
  claude:
    rules:
      - {protocol: kubernetes, cluster_scoped: true, tiers: {0: allow, 4: deny}}
";

/// Holds connections on which one request was answered.
const IDLE: &str = r#"
import socket, ssl, sys
port, ca, cert, key = int(sys.argv[1]), *sys.argv[2:]
context = ssl.create_default_context(cafile=ca)
context.load_cert_chain(cert, key)
held = []
for _ in range(1000):
    try:
        raw = socket.create_connection(("127.0.0.1", port))
        tls = context.wrap_socket(raw, server_hostname="127.0.0.1")
        tls.sendall(b"GET /version HTTP/1.1\r\nHost: a\r\n\r\n")
        tls.recv(65536)
        held.append(tls)
    except OSError:
        break
print(len(held), flush=True)
sys.stdin.readline()
"#;

/// There and back again, twice.
const ROUNDS: usize = 4;

/// Clients at once.
const CLIENTS: usize = 4;

/// Requests of one round on connections that are kept: clocks of processes tick a hundred times a second.
const REQUESTS: usize = 8_000;

/// Connections of one round.
const HANDSHAKES: usize = 800;

/// Requests of each client while policies are reloaded.
const RELOAD_REQUESTS: usize = 20_000;

/// How long a policy file is at rest before it is loaded.
const REST: Duration = Duration::from_millis(500);

/// Pods of the list: some two kilobytes.
const PODS: usize = 24;

/// How long a server may take to start on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);
