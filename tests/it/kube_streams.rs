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
