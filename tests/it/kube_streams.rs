//! Streams into workloads with real kubectl, by WebSocket and by SPDY, through the gateway and without.

use std::{
    fs::File,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    thread,
};

use iddio_tests::{Said, keepers::until};
use rustix::termios::Winsize;

use crate::{kit::of, kube::Scene};

/// Sessions run as well.
const SESSIONS: &str = "\
agents:
  claude:
    rules:
      - {protocol: kubernetes, cluster_scoped: true, tiers: {0: allow, 2: allow, 3: allow, 4: allow},
         classes: [session], dangerous_allow: true}
";

/// What kubectl is told to speak.
const SPOKEN: [(&str, &str); 2] = [("websocket", "true"), ("spdy", "false")];

fn kubectl(scene: &Scene, config: &str, spoken: &str, words: &[&str]) -> Command {
    let mut command = scene.kubectl(config, words);
    command.env("KUBECTL_REMOTE_COMMAND_WEBSOCKETS", spoken);
    command.env("KUBECTL_PORT_FORWARD_WEBSOCKETS", spoken);
    command
}

/// Runs kubectl with some input.
fn fed(scene: &Scene, config: &str, spoken: &str, words: &[&str], input: &[u8]) -> Said {
    let mut command = kubectl(scene, config, spoken, words);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let feeding = thread::spawn(move || {
        // A program that reads nothing ends before its input does.
        let _ = stdin.write_all(&input);
    });
    let said = Said::of(child.wait_with_output().unwrap());
    feeding.join().unwrap();
    said
}

#[test]
fn a_command_in_a_pod_is_the_same_through_the_gateway_by_either_protocol() {
    let scene = Scene::new(SESSIONS);
    if scene.without_kubectl() {
        return;
    }
    let much = vec![b'x'; 1 << 20];
    let script: &[(&[&str], &[u8])] = &[
        (&["exec", "web-1", "--", "echo", "hello there"], b""),
        (&["exec", "web-1", "--", "sh", "-c", "echo out; echo err >&2; exit 7"], b""),
        (&["exec", "web-1", "--", "true"], b""),
        (&["exec", "web-1", "--", "no-such-program"], b""),
        (&["exec", "web-1", "-c", "c", "--", "head", "-c", "3000000", "/dev/zero"], b""),
        (&["exec", "-i", "web-1", "--", "cat"], b"some input\nand more"),
        (&["exec", "-i", "web-1", "--", "cat"], b""),
        (&["exec", "-i", "web-1", "--", "wc", "-c"], &much),
        (&["exec", "-i", "web-1", "--", "sh", "-c", "head -c 3; cat >/dev/null"], &much),
        (&["exec", "-i", "web-1", "--", "sh", "-c", "cat >&2; exit 200"], b"to the other side"),
        (&["attach", "-i", "web-1"], b"one\ntwo\n"),
    ];
    for (name, spoken) in SPOKEN {
        for (words, input) in script {
            let direct = fed(&scene, "direct", spoken, words, input);
            let through = fed(&scene, "gateway", spoken, words, input);
            let parts = |said: Said| (said.code, said.stdout, said.stderr);
            assert_eq!(parts(through), parts(direct), "{name}: {words:?}");
        }
    }
    let seen = scene.server.seen();
    let streams = seen.iter().filter(|seen| seen.account == "iddio-claude-t4").count();
    assert_eq!(streams, 2 * script.len());
    let records = scene.end();
    let closed = of(&records, "closed");
    let codes: Vec<_> = closed.iter().filter_map(|closed| closed["exit_code"].as_u64()).collect();
    let expected = [0, 7, 0, 127, 0, 0, 0, 0, 0, 200, 3];
    assert_eq!(codes, [expected, expected].concat());
}

/// kubectl at a terminal.
struct Terminal {
    own: File,
    child: Child,
    seen: Arc<Mutex<String>>,
}

impl Terminal {
    fn start(mut kubectl: Command, columns: u16) -> Self {
        use rustix::{
            fs::{Mode, OFlags},
            pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
        };
        let own = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&own).unwrap();
        unlockpt(&own).unwrap();
        let name = ptsname(&own, Vec::new()).unwrap();
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let theirs = rustix::fs::open(name.as_c_str(), flags, Mode::empty()).unwrap();
        let mut command = Command::new("setsid");
        command.args(["--ctty", "--wait"]).arg(kubectl.get_program()).args(kubectl.get_args());
        for (name, value) in kubectl.get_envs() {
            command.env(name, value.unwrap());
        }
        command.env("TERM", "dumb").current_dir(kubectl.get_current_dir().unwrap());
        let again = || Stdio::from(theirs.try_clone().unwrap());
        command.stdin(again()).stdout(again()).stderr(again());
        let _ = kubectl.stdin(Stdio::null());
        let own = File::from(own);
        size(&own, columns);
        let child = command.spawn().unwrap();
        drop((command, theirs));
        let seen = Arc::<Mutex<String>>::default();
        let (shown, mut reading) = (seen.clone(), own.try_clone().unwrap());
        thread::spawn(move || {
            let mut buffer = [0; 1024];
            while let Ok(read @ 1..) = reading.read(&mut buffer) {
                shown.lock().unwrap().push_str(&String::from_utf8_lossy(&buffer[..read]));
            }
        });
        Self { own, child, seen }
    }

    fn shows(&self, text: &str) {
        let seen = || self.seen.lock().unwrap().clone();
        until(|| seen().contains(text), || format!("no `{text}` in {:?}", seen()));
    }

    fn types(&mut self, text: &str) {
        self.own.write_all(text.as_bytes()).unwrap();
    }
}

fn size(terminal: &File, columns: u16) {
    let size = Winsize { ws_row: 30, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    rustix::termios::tcsetwinsize(terminal, size).unwrap();
}

#[test]
fn k24_a_shell_at_a_terminal_has_its_size_and_its_exit_code_by_either_protocol() {
    let scene = Scene::new(SESSIONS);
    if scene.without_kubectl() {
        return;
    }
    for (_, spoken) in SPOKEN {
        for config in ["direct", "gateway"] {
            let words = ["exec", "-it", "web-1", "--", "sh"];
            let mut terminal = Terminal::start(kubectl(&scene, config, spoken, &words), 91);
            terminal.shows("$ ");
            terminal.types("echo the answer is $((6*7))\r");
            terminal.shows("answer is 42");
            terminal.types("while [ \"$(stty size)\" != '30 91' ]; do :; done; stty size\r");
            terminal.shows("\n30 91");
            size(&terminal.own, 77);
            terminal.types("while [ \"$(stty size)\" != '30 77' ]; do :; done; stty size\r");
            terminal.shows("\n30 77");
            terminal.types("exit 9\r");
            let code = terminal.child.wait().unwrap().code();
            let seen = terminal.seen.lock().unwrap().clone();
            assert_eq!(code, Some(9), "{config} {spoken}: {seen:?}");
        }
    }
    let records = scene.end();
    let closed = of(&records, "closed");
    let codes: Vec<_> = closed.iter().filter_map(|closed| closed["exit_code"].as_u64()).collect();
    assert_eq!(codes, [9, 9]);
}

#[test]
fn a_port_is_forwarded_by_either_protocol() {
    let scene = Scene::new(SESSIONS);
    if scene.without_kubectl() {
        return;
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let serving = thread::spawn(move || {
        // Each connection hears what it said, and then that it ends.
        for stream in listener.incoming().take(2 * CONNECTIONS) {
            let mut stream = stream.unwrap();
            thread::spawn(move || {
                let mut said = Vec::new();
                stream.read_to_end(&mut said).unwrap();
                said.reverse();
                stream.write_all(&said).unwrap();
            });
        }
    });
    for (_, spoken) in SPOKEN {
        let words = ["port-forward", "web-1", &format!(":{port}")];
        let mut command = kubectl(&scene, "gateway", spoken, &words);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut out = child.stdout.take().unwrap();
        let mut line = Vec::new();
        let mut byte = [0];
        while out.read(&mut byte).unwrap() == 1 && byte[0] != b'\n' {
            line.push(byte[0]);
        }
        let line = String::from_utf8(line).unwrap();
        let local = line.split("127.0.0.1:").nth(1).unwrap().split(' ').next().unwrap();
        let local: u16 = local.parse().unwrap();
        let talking: Vec<_> = (0..CONNECTIONS)
            .map(|number| {
                thread::spawn(move || {
                    let mut stream = TcpStream::connect(("127.0.0.1", local)).unwrap();
                    let said: Vec<u8> =
                        (0..300_000 * number).map(|at| (at * 7 + number) as u8).collect();
                    stream.write_all(&said).unwrap();
                    stream.shutdown(std::net::Shutdown::Write).unwrap();
                    let mut heard = Vec::new();
                    stream.read_to_end(&mut heard).unwrap();
                    heard.reverse();
                    assert_eq!(heard.len(), said.len());
                    assert!(heard == said);
                })
            })
            .collect();
        for talking in talking {
            talking.join().unwrap();
        }
        child.kill().unwrap();
        let _ = child.wait();
    }
    serving.join().unwrap();
    let records = scene.end();
    let forwarded = of(&records, "decided");
    let forwarded = forwarded.iter().filter(|decided| decided["method"] == "portforward");
    assert_eq!(forwarded.count(), 2);
}

#[test]
fn files_are_copied_both_ways_by_either_protocol() {
    let scene = Scene::new(SESSIONS);
    if scene.without_kubectl() {
        return;
    }
    let place = scene.world.work().join("pod");
    std::fs::create_dir(&place).unwrap();
    let mut state = 1u64;
    let bytes: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) as u8
    })
    .take(COPIED_BYTES)
    .collect();
    let here = scene.world.file("here", &bytes);
    for (name, spoken) in SPOKEN {
        let there = place.join(name);
        let back = scene.world.work().join(format!("back-{name}"));
        let remote = format!("web-1:{}", there.display());
        let (here, local) = (here.to_str().unwrap(), back.to_str().unwrap());
        for words in [["cp", here, &remote], ["cp", &remote, local]] {
            let said = kubectl(&scene, "gateway", spoken, &words).output().unwrap();
            let said = Said::of(said);
            let notes = || {
                let records = scene.world.records();
                let ended = of(&records, "closed");
                ended.iter().map(|end| end["note"].to_string()).collect::<Vec<_>>()
            };
            assert_eq!(said.code, 0, "{words:?}: {said:?} {:?}", notes());
        }
        assert!(std::fs::read(&there).unwrap() == bytes, "{name}: up");
        assert!(std::fs::read(&back).unwrap() == bytes, "{name}: down");
    }
    let _ = scene.end();
}

/// How many connections to one port are made at once.
const CONNECTIONS: usize = 5;

/// How much is copied: more than waits anywhere on its way.
const COPIED_BYTES: usize = 9_000_000;

/// A command that runs until it is ended, by kubectl.
struct Running {
    child: Child,
    out: std::process::ChildStdout,
}

impl Running {
    fn exec(scene: &Scene, spoken: &str) -> Self {
        let words = ["exec", "-i", "web-1", "--", "sh", "-c", "echo started; exec sleep 600"];
        Self::start(kubectl(scene, "gateway", spoken, &words))
    }

    fn start(mut command: Command) -> Self {
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut out = child.stdout.take().unwrap();
        let mut byte = [0];
        while out.read(&mut byte).unwrap() == 1 && byte[0] != b'\n' {}
        Self { child, out }
    }

    /// Waits until it was ended, and returns what was said of it.
    fn ended(mut self) -> Said {
        let mut rest = Vec::new();
        let _ = self.out.read_to_end(&mut rest);
        Said::of(self.child.wait_with_output().unwrap())
    }
}

/// How each stream ended, by what it was.
fn ends(records: &[serde_json::Value], verb: &str) -> Vec<(String, String)> {
    let decided = of(records, "decided");
    let closed = of(records, "closed");
    let own = decided.iter().filter(|decided| decided["method"] == verb);
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    own.flat_map(|decided| closed.iter().filter(|closed| closed["id"] == decided["id"]))
        .map(|closed| (text(&closed["outcome"]), text(&closed["note"])))
        .collect()
}

#[test]
fn k20_a_freeze_cuts_streams_and_tells_the_client_why() {
    let scene = Scene::new(SESSIONS);
    if scene.without_kubectl() {
        return;
    }
    let running = SPOKEN.map(|(_, spoken)| Running::exec(&scene, spoken));
    let ports = SPOKEN.map(|(_, spoken)| {
        Running::start(kubectl(&scene, "gateway", spoken, &["port-forward", "web-1", ":80"]))
    });
    let _ = scene.world.iddio(["freeze", "--agent", "claude", "--reason", "x"]).ok();
    for running in running {
        let said = running.ended();
        assert_eq!(said.code, 1, "{said:?}");
        assert!(said.stderr.contains("iddio cut the stream: the caller was frozen"), "{said:?}");
    }
    for running in ports {
        let said = running.ended();
        assert!(said.stderr.contains("lost connection to pod"), "{said:?}");
    }
    let records = scene.end();
    for verb in ["exec", "portforward"] {
        let cut = ("frozen".to_owned(), "cut: the caller was frozen".to_owned());
        assert_eq!(ends(&records, verb), [cut.clone(), cut]);
    }
}

#[test]
fn k20_a_revoked_agent_a_time_that_is_over_and_a_gateway_that_stops_cut_streams() {
    let scene =
        Scene::new(&SESSIONS.replace("dangerous_allow", "max_duration: 2s, dangerous_allow"));
    if scene.without_kubectl() {
        return;
    }
    let said = Running::exec(&scene, "true").ended();
    assert!(said.stderr.contains("it may not run longer"), "{said:?}");
    let running = Running::exec(&scene, "true");
    let _ = scene.world.iddio(["agent", "revoke", "claude"]).ok();
    let said = running.ended();
    assert!(said.stderr.contains("revoked"), "{said:?}");
    let ends = ends(&scene.end(), "exec");
    let outcomes: Vec<_> = ends.iter().map(|(outcome, _)| outcome.as_str()).collect();
    assert_eq!(outcomes, ["timed_out", "forwarded"], "{ends:?}");
    let scene = Scene::new(SESSIONS);
    let running = SPOKEN.map(|(_, spoken)| Running::exec(&scene, spoken));
    let waiting = thread::spawn(move || running.map(Running::ended));
    let records = scene.end();
    for said in waiting.join().unwrap() {
        assert!(said.stderr.contains("the gateway stops"), "{said:?}");
    }
    for (outcome, note) in self::ends(&records, "exec") {
        assert_eq!((outcome.as_str(), note.as_str()), ("timed_out", "cut: the gateway stops"));
    }
}

/// The headers that ask for a WebSocket.
const SOCKET: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Extensions: permessage-deflate\r\n";

fn exec(pod: &str) -> String {
    format!("GET /api/v1/namespaces/payments/pods/{pod}/exec?command=id&stdout=true")
}

#[test]
fn k21_a_failed_upgrade_is_a_plain_error_that_ends_both_connections() {
    let scene = Scene::new(SESSIONS);
    let after = scene.head("GET /api/v1/namespaces/payments/secrets", "");
    let socket = format!("{SOCKET}Sec-WebSocket-Protocol: v5.channel.k8s.io\r\n");
    let spdy = "Connection: Upgrade\r\nUpgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: v4.channel.k8s.io\r\n";
    for (pod, status) in [("refusing", "500"), ("unsure", "502")] {
        for upgrade in [socket.as_str(), spdy] {
            let answer = scene.raw(&format!("{}{after}", scene.head(&exec(pod), upgrade)));
            assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
            assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
            assert!(answer.to_ascii_lowercase().contains("connection: close"), "{answer}");
        }
    }
    let seen = scene.server.seen();
    assert_eq!(seen.len(), 4, "{seen:#?}");
    assert!(seen.iter().all(|seen| seen.target.contains("/exec?")), "{seen:#?}");
    let ends = ends(&scene.end(), "exec");
    assert!(ends.iter().all(|(_, note)| note.contains("no stream")), "{ends:?}");
}

#[test]
fn k05_nothing_a_client_says_of_itself_goes_on_with_a_stream() {
    let scene = Scene::new(SESSIONS);
    let who = "Impersonate-User: admin\r\nimpersonate_group: system:masters\r\nX-Remote-User: admin\r\nOrigin: https://a\r\nCookie: a=b\r\n";
    let protocols = "Sec-WebSocket-Protocol: base64.channel.k8s.io, v4.channel.k8s.io\r\n";
    let head = scene.head(&exec("web-1"), &format!("{SOCKET}{who}{protocols}"));
    // A close with a mask: the client has enough.
    let mut stream = scene.send(&head);
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 101");
    stream.write_all(&[0x88, 0x80, 0, 0, 0, 0]).unwrap();
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest);
    let rest = String::from_utf8_lossy(&rest).to_ascii_lowercase();
    assert!(rest.contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo="), "{rest}");
    assert!(rest.contains("sec-websocket-protocol: v4.channel.k8s.io"), "{rest}");
    let seen = scene.server.seen();
    let [seen] = seen.as_slice() else { panic!("{seen:#?}") };
    assert_eq!(seen.account, "iddio-claude-t4");
    let header = |name: &str| {
        let found = seen.headers.iter().find(|(own, _)| own == name);
        found.map(|(_, value)| value.as_str())
    };
    assert_eq!(header("sec-websocket-protocol"), Some("v4.channel.k8s.io"));
    assert_ne!(header("sec-websocket-key"), Some("dGhlIHNhbXBsZSBub25jZQ=="));
    let gone = ["impersonate", "remote", "origin", "cookie", "extensions"];
    let stays = |(name, _): &&(String, String)| gone.iter().any(|part| name.contains(part));
    assert!(!seen.headers.iter().any(|header| stays(&header)), "{seen:#?}");
    // A token among the protocols is a second credential.
    let bearer = "Sec-WebSocket-Protocol: base64url.bearer.authorization.k8s.io.c2VjcmV0, v5.channel.k8s.io\r\n";
    let answer = scene.raw(&scene.head(&exec("web-1"), &format!("{SOCKET}{bearer}")));
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    assert_eq!(scene.server.seen().len(), 1);
    let records = scene.end();
    assert!(!serde_json::to_string(&records).unwrap().contains("c2VjcmV0"));
    let stripped = crate::kit::only(&records, "kube.headers_stripped");
    assert_eq!(stripped["headers"].as_array().unwrap().len(), 3);
}

#[test]
fn k23_a_stream_that_cannot_be_recorded_is_not_made() {
    let scene = Scene::new(SESSIONS);
    if scene.without_kubectl() {
        return;
    }
    std::fs::write(scene.world.home().join("recordings"), "in the way").unwrap();
    for (_, spoken) in SPOKEN {
        let words = ["exec", "web-1", "--", "id"];
        let said = Said::of(kubectl(&scene, "gateway", spoken, &words).output().unwrap());
        assert_eq!(said.code, 1, "{said:?}");
        assert!(said.stderr.contains("iddio cannot record"), "{said:?}");
    }
    let _ = scene.through(&["get", "pods"]).ok();
    assert!(scene.server.seen().iter().all(|seen| !seen.target.contains("exec")));
    let ends = ends(&scene.end(), "exec");
    assert!(2 <= ends.len());
    assert!(ends.iter().all(|(outcome, _)| outcome == "not_forwarded"), "{ends:?}");
}
