//! Attempts on the exec broker and on what runs under it: by real unprivileged users, some with a client
//! of their own making. `docs/escapes.md` says what stops each.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::Path,
    process::Stdio,
};

use iddio_tests::{
    Said,
    broker::{ADA, EVE, Host},
    keepers::until,
};
use rustix::process::Signal;

use crate::broker::{OPEN, sleepers};

/// A client of somebody's own making: speaks the protocol, and breaks it.
pub(crate) const CLIENT: &str = r#"
import array, os, socket, struct, sys
def raw(b): return struct.pack('>I', len(b)) + b
def start(words, env=(), directory=None, tree=None, token=None, streams=b'\0\0\0'):
    here = os.getcwd().encode()
    b = b'\x01' + struct.pack('>H', 2) + struct.pack('>I', len(words)) + b''.join(raw(w) for w in words)
    b += struct.pack('>I', len(env)) + b''.join(raw(n) + raw(v) for n, v in env)
    b += raw(directory or here) + raw(tree or directory or here) + b'\0'
    b += (b'\x01' + raw(token)) if token else b'\0'
    # No reason, no task, no outputs.
    b += b'\0\0' + struct.pack('>I', 0) + streams + struct.pack('>HH', 24, 80)
    return b
def connect():
    s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); return s
def send(s, body, fds, length=None):
    head = struct.pack('>I', len(body) if length is None else length)
    s.sendmsg([head + body], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', fds))] if fds else [])
def archive(data=b'\x09'):
    r, w = os.pipe(); os.write(w, data); os.close(w); return r
def null(flags=os.O_RDWR): return os.open('/dev/null', flags)
def answer(s):
    s.settimeout(60); out = b''
    try:
        while True:
            more = s.recv(65536)
            if not more: break
            out += more
    except OSError: pass
    os.write(1, b'ANSWER ' + out.replace(b'\0', b'.') + b'\n')
def ask(words, fds=None, **k):
    s = connect(); send(s, start(words, **k), fds or [null(), 1, 2, archive()]); answer(s)
"#;

/// Runs python as a user, with the client at hand and the broker's socket as its argument.
fn client(host: &Host, user: iddio_tests::broker::User, script: &str) -> Said {
    let script = format!("{CLIENT}\n{script}");
    let socket = host.socket();
    let words = ["python3", "-c", &script, socket.to_str().unwrap()];
    Said::of(host.as_user(user, words).stdin(Stdio::null()).output().unwrap())
}

/// Checks that the broker serves whoever behaves.
#[track_caller]
fn still_serves(host: &Host) {
    assert_eq!(host.run(ADA, ["echo", "served"]).ok().stdout, "served\n");
}

/// A host that gives every command a secret.
fn giving(value: &str) -> Host {
    let mut host = Host::new(OPEN, "");
    let path = host.path("root/secret");
    fs::write(&path, value).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    host.configure(&format!(
        "[[credentials]]\nfor = [\"command\"]\nvariable = {{ name = \"SECRET\", value = {{ file = {path:?} }} }}"
    ));
    host.start();
    host
}

const SECRET: &str = "canary-of-the-escapes-51b2";

#[test]
fn b40_a_program_told_to_show_everything_shows_no_credential() {
    let host = giving(SECRET);
    let script = "set -x; : $SECRET; env; echo $SECRET | base64; echo ${#SECRET}";
    let said = host.run(ADA, ["sh", "-c", script]).ok();
    assert!(said.stdout.contains("SECRET=***") && said.stdout.contains("\n26\n"), "{said:#?}");
    assert!(said.stderr.contains(": ***"), "{said:#?}");
    let encoded = "Y2FuYXJ5LW9mLXRoZS1lc2NhcGVz";
    assert!(!format!("{said:?}").contains(SECRET) && !said.stdout.contains(encoded), "{said:#?}");
}

#[test]
fn b41_what_a_tool_keeps_in_its_home_is_gone_with_the_run() {
    let host = giving(SECRET);
    let keep = "import os\nh = os.environ['HOME']\nos.makedirs(h + '/.aws/cli/cache')\nfor p in [h + '/.aws/cli/cache/x', '/tmp/kept-by-the-run']:\n    open(p, 'w').write(os.environ['SECRET'])\nprint(h)\n";
    host.file(ADA, "keep.py", keep);
    let said = host.run(ADA, ["python3", "keep.py"]).ok();
    assert!(!Path::new(said.stdout.trim()).exists() && !Path::new("/tmp/kept-by-the-run").exists());
    let look = "import os\nprint(os.listdir(os.environ['HOME']) + [n for n in os.listdir('/tmp') if 'iddio-broker' not in n])\n";
    host.file(ADA, "look.py", look);
    assert_eq!(host.run(ADA, ["python3", "look.py"]).ok().stdout, "[]\n");
}

#[test]
fn b42_the_environment_of_a_run_is_nobody_elses_to_read() {
    let host = giving(SECRET);
    let mut running = host.begin(ADA, ["sh", "-c", "echo up >&2; exec sleep 765001"]);
    running.until("up");
    until(|| sleepers("765001") == 1, || "it does not sleep".to_owned());
    let look = "for p in /proc/[0-9]*; do if tr '\\0' ' ' < $p/cmdline | grep -q '^sleep 765001'; then cat $p/environ; ls $p/fd; cat $p/maps $p/mem; readlink $p/cwd $p/root; fi; done";
    for user in [ADA, EVE] {
        let looked = Said::of(host.as_user(user, ["sh", "-c", look]).output().unwrap());
        assert!(!looked.stdout.contains("canary") && looked.stdout.is_empty(), "{looked:#?}");
        assert!(looked.stderr.contains("ermission denied"), "{looked:#?}");
    }
    // Where nothing is between, it is one `cat` away.
    let own = host
        .as_user(ADA, ["sh", "-c", "tr '\\0' '\\n' < /proc/self/environ"])
        .env("SECRET", SECRET)
        .output()
        .unwrap();
    assert!(Said::of(own).stdout.contains(SECRET));
    running.signal(Signal::KILL);
    running.end();
}

#[test]
fn b43_a_run_has_three_descriptors_and_no_other() {
    let host = Host::started(OPEN, "");
    let said = host.run(ADA, ["sh", "-c", "ls /proc/$$/fd"]).ok();
    assert_eq!(said.stdout.split_whitespace().collect::<Vec<_>>(), ["0", "1", "2"]);
    // None of them is the caller's: what is opened anew is a pipe of the run's own.
    let file = host.file(ADA, "in", "kept");
    let mut command = host.exec(ADA, ["sh", "-c", "echo over > /dev/stdin; cat > /dev/null"]);
    command.stdin(fs::File::open(&file).unwrap());
    let _ = command.output().unwrap();
    assert_eq!(fs::read(file).unwrap(), b"kept");
}

#[test]
fn b44_a_run_that_dies_leaves_no_core() {
    let host = giving(SECRET);
    let said = host.run(ADA, ["sh", "-c", "ulimit -c; ulimit -c unlimited; kill -SEGV $$"]);
    assert!(said.stdout.starts_with("0\n") && said.code != 0, "{said:#?}");
    let left: Vec<_> = fs::read_dir(host.work_of("ada")).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn b45_what_a_callers_environment_loads_is_not_loaded() {
    let host = Host::started(OPEN, "");
    let evil = host.file(ADA, "evil.so", "no library");
    let mut command = host.exec(ADA, ["env"]);
    for name in
        ["LD_PRELOAD", "LD_AUDIT", "BASH_ENV", "ENV", "PYTHONSTARTUP", "PERL5OPT", "NODE_OPTIONS"]
    {
        command.env(name, &evil);
    }
    let said = Said::of(command.output().unwrap()).ok();
    assert!(!said.stdout.contains("evil.so"), "{said:#?}");
}

#[test]
fn b46_what_forks_twice_ends_with_its_run() {
    let host = Host::started(OPEN, "");
    let script = "(setsid sh -c 'sleep 765002 & sleep 765002 &' &); sleep 0.3; exit 3";
    host.run(ADA, ["sh", "-c", script]).exits(3);
    until(|| sleepers("765002") == 0, || "it lives on".to_owned());
    // Without a broker it would.
    let mut command = host.as_user(ADA, ["sh", "-c", "(setsid sleep 765003 > /dev/null 2>&1 &)"]);
    command.output().unwrap();
    until(|| sleepers("765003") == 1, || "it does not live on".to_owned());
    host.as_user(ADA, ["pkill", "-x", "-f", "sleep 765003"]).output().unwrap();
}

#[test]
fn b47_a_directory_that_is_claimed_shows_what_was_sent_and_nothing_of_the_hosts() {
    let host = Host::started(OPEN, "");
    let home = host.path("home");
    for claimed in [home.to_str().unwrap(), "/root", "/var/lib"] {
        let said = client(&host, ADA, &format!("ask([b'ls', b'-A'], directory=b'{claimed}')"));
        assert!(said.stdout.starts_with("ANSWER"), "nothing is listed: {said:#?}");
    }
    for claimed in ["relative", "/a/../b", "/", ""] {
        let script = format!("ask([b'ls', b'-A', b'.'], directory=b'{claimed}' or b'x')");
        let said = client(&host, ADA, &script);
        assert!(
            !said.stdout.contains("policy.yaml") && said.stdout.contains("ANSWER"),
            "{said:#?}"
        );
    }
    still_serves(&host);
}

#[test]
fn b48_a_link_in_the_tree_leads_to_nothing_of_the_services() {
    let host = Host::started(OPEN, "");
    let work = host.work_of("ada");
    for (name, target) in [
        ("a", host.path("home/policy.yaml")),
        ("b", "/etc/shadow".into()),
        ("c", "../../home/policy.yaml".into()),
    ] {
        symlink(target, work.join(name)).unwrap();
        for words in [&["cat", name][..], &["cp", name, "copy"], &["kubectl", "apply", "-f", name]]
        {
            let said = host.run(ADA, words);
            assert!(said.code != 0 && !format!("{said:?}").contains("local:ada:"), "{said:#?}");
        }
        assert!(!work.join("copy").exists());
    }
    // Nor does a variable that names a file.
    let mut command = host.exec(ADA, ["kubectl", "config", "view"]);
    let said = Said::of(command.env("KUBECONFIG", host.path("home/policy.yaml")).output().unwrap());
    assert!(!format!("{said:?}").contains("protocol: command"), "{said:#?}");
}

#[test]
fn b49_a_hard_link_in_the_tree_is_a_copy() {
    let host = Host::started(OPEN, "");
    let outside = host.home_of("ada").join("outside");
    fs::write(&outside, "before").unwrap();
    std::os::unix::fs::chown(&outside, Some(ADA.uid), Some(ADA.uid)).unwrap();
    fs::hard_link(&outside, host.work_of("ada").join("link")).unwrap();
    host.run(ADA, ["sh", "-c", "echo after > link"]).ok();
    assert_eq!(fs::read(outside).unwrap(), b"before");
    assert_eq!(fs::read(host.work_of("ada").join("link")).unwrap(), b"after\n");
}

#[test]
fn b50_a_setuid_file_in_the_tree_is_none_and_a_run_gains_nothing() {
    let host = Host::started(OPEN, "");
    let path = host.file(ADA, "own", "#!/bin/sh\n");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o6755)).unwrap();
    let gain = "import os, shutil, subprocess\nprint(oct(os.stat('own').st_mode & 0o7777))\nprint(open('/proc/self/status').read())\nprint(subprocess.run(['su', '-c', 'id'], capture_output=True).stdout)\nshutil.copy('/bin/sh', 's')\ntry: os.chmod('s', 0o6755)\nexcept OSError as e: print(e)\nprint('end')\n";
    host.file(ADA, "gain.py", gain);
    let iddio = host.path("bin/iddio");
    let words = [iddio.to_str().unwrap(), "exec", "--out", "s", "--", "python3", "gain.py"];
    let said = Said::of(host.as_user(ADA, words).stdin(Stdio::null()).output().unwrap()).ok();
    assert!(
        said.stdout.starts_with("0o700\n") && said.stdout.contains("NoNewPrivs:\t1"),
        "{said:#?}"
    );
    assert!(said.stdout.contains("CapEff:\t0000000000000000") && !said.stdout.contains("uid=0"));
    let back = fs::metadata(host.work_of("ada").join("s")).unwrap();
    assert_eq!((back.mode() & 0o7000, back.uid()), (0, ADA.uid), "no bit comes back");
}

#[test]
fn b51_a_pipe_or_a_socket_in_the_tree_keeps_nobody_waiting() {
    let host = Host::started(OPEN, "");
    let make = "mkfifo p; python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind(\"s\")'; ln -s p l";
    Said::of(host.as_user(ADA, ["sh", "-c", make]).output().unwrap()).ok();
    assert_eq!(host.run(ADA, ["ls"]).ok().stdout, "l\n");
    host.run(ADA, ["kubectl", "apply", "-f", "p"]);
    still_serves(&host);
}

#[test]
fn b52_b53_pagers_and_editors_of_the_callers_are_not_started() {
    let host = Host::started(OPEN, "");
    let mut command = host.exec(ADA, ["env"]);
    for name in [
        "PAGER",
        "GIT_PAGER",
        "MANPAGER",
        "AWS_PAGER",
        "EDITOR",
        "VISUAL",
        "KUBE_EDITOR",
        "GIT_EDITOR",
        "LESSOPEN",
    ] {
        command.env(name, "sh -c 'exec sh'");
    }
    let said = Said::of(command.output().unwrap()).ok();
    assert!(!said.stdout.contains("exec sh") && said.stdout.contains("PAGER=cat"), "{said:#?}");
    assert!(said.stdout.contains("EDITOR=false\n") && said.stdout.contains("LESSSECURE=1"));
}

#[test]
fn b54_a_run_types_nothing_into_its_callers_terminal() {
    let host = Host::started(OPEN, "");
    let steal = "import fcntl\nfor c in 'echo typed-by-the-run\\n':\n    fcntl.ioctl(0, 0x5412, c.encode())\n";
    host.file(ADA, "steal.py", steal);
    let iddio = host.path("bin/iddio");
    let line =
        format!("{} exec -- python3 steal.py; read -t 1 got; echo got:$got.", iddio.display());
    let mut command =
        host.as_user(ADA, ["script", "-qec", &format!("bash -c '{line}'"), "/dev/null"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let stdin = child.stdin.take();
    let said = Said::of(child.wait_with_output().unwrap());
    drop(stdin);
    assert!(said.stdout.contains("got:."), "{said:#?}");
}

#[test]
fn b55_what_a_refusal_repeats_reaches_no_terminal_raw() {
    let host = Host::started(OPEN, "");
    let said = host.run(ADA, ["rm", "-rf", "/\u{1b}]0;title\u{7}\u{1b}[2J"]).exits(77);
    assert!(!said.stderr.contains('\u{1b}') && !said.stderr.contains('\u{7}'), "{said:#?}");
}

#[test]
fn b56_b58_what_is_no_stream_or_open_the_other_way_is_refused() {
    let host = Host::started(OPEN, "");
    for fd in [
        // The name of a file that the run's user could open and the caller could not.
        "os.open('/etc/passwd', os.O_PATH)",
        "os.open('/', os.O_RDONLY)",
        "socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).detach()",
        "null(os.O_WRONLY)",
    ] {
        let said = client(
            &host,
            ADA,
            &format!("ask([b'cat', b'/dev/stdin'], fds=[{fd}, 1, 2, archive()])"),
        );
        assert!(
            said.stdout.contains("a stream is") && !said.stdout.contains("root:x"),
            "{fd} {said:#?}"
        );
    }
    let said = client(&host, ADA, "ask([b'true'], fds=[null(), null(os.O_RDONLY), 2, archive()])");
    assert!(said.stdout.contains("not open the way"), "{said:#?}");
    still_serves(&host);
}

#[test]
fn b57_more_or_fewer_descriptors_than_four_end_the_conversation() {
    let host = Host::started(OPEN, "");
    for count in [0, 3, 5, 8, 9, 200] {
        let script = format!(
            "ask([b'true'], fds=[null() for _ in range({count})] or None) if {count} else (lambda s: (send(s, start([b'true']), []), answer(s)))(connect())"
        );
        let said = client(&host, ADA, &script);
        assert!(said.stdout.contains("ANSWER") && !said.stdout.contains("served"), "{said:#?}");
    }
    let open = fs::read_dir(format!("/proc/{}/fd", host.pid())).unwrap().count();
    assert!(open < 64, "{open} descriptors are open");
    still_serves(&host);
}

#[test]
fn b59_names_in_the_environment_make_nobody_somebody_else() {
    let host = Host::started(OPEN, "");
    let mut command = host.exec(ADA, ["id"]);
    for name in ["USER", "LOGNAME", "SUDO_USER", "SUDO_UID"] {
        command.env(name, "root");
    }
    Said::of(command.output().unwrap()).ok();
    let said = client(&host, EVE, "ask([b'id'], env=[(b'USER', b'ada'), (b'LOGNAME', b'ada')])");
    assert!(said.stdout.contains("uid="), "{said:#?}");
    let who: Vec<_> = host
        .records()
        .iter()
        .filter(|r| r["event"] == "closed")
        .map(|r| r["agent"].clone())
        .collect();
    assert_eq!(who, ["local:ada", "local:eve"]);
}

#[test]
fn b60_a_forged_token_is_a_caller_that_policy_does_not_know() {
    let host = Host::started(OPEN, "");
    for token in ["iddio_0000000000000000000000000000000000000000", "x", "local:ada"] {
        let said = client(&host, ADA, &format!("ask([b'id'], token=b'{token}')"));
        assert!(said.stdout.contains("refused") && !said.stdout.contains("uid="), "{said:#?}");
    }
}

#[test]
fn b61_a_socket_of_somebody_elses_is_told_nothing() {
    let mut host = Host::started(OPEN, "");
    host.kill();
    // Where the broker's own lies nobody else makes one.
    let squat =
        format!("import socket; socket.socket(socket.AF_UNIX).bind('{}')", host.socket().display());
    fs::remove_file(host.socket()).unwrap();
    let said = Said::of(host.as_user(EVE, ["python3", "-c", &squat]).output().unwrap());
    assert!(said.stderr.contains("Permission denied"), "{said:#?}");
    // And where one could be, its listener is looked at first.
    fs::set_permissions(host.path(""), fs::Permissions::from_mode(0o777)).unwrap();
    let serve = format!(
        "import os, socket; s = socket.socket(socket.AF_UNIX); s.bind('{}'); os.chmod('{}', 0o666); s.listen(); print('ready', flush=True); c, _ = s.accept(); print('heard', len(c.recv(9999)), flush=True)",
        host.socket().display(),
        host.socket().display()
    );
    let mut command = host.as_user(EVE, ["python3", "-c", &serve]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
    assert_eq!(lines.next().unwrap().unwrap(), "ready");
    host.run(ADA, ["id"]).exits(69).says("who is not the exec broker");
    assert_eq!(lines.next().unwrap().unwrap(), "heard 0");
    child.wait().unwrap();
}

#[test]
fn b62_lengths_that_lie_and_words_that_are_none_end_the_conversation_alone() {
    let host = Host::started(OPEN, "");
    for send in [
        "send(s, b'', [], length=0xffffffff)",
        "send(s, b'\\x01', [], length=5 << 20)",
        "send(s, b'\\xff' * 100, [null(), 1, 2, archive()])",
        "send(s, start([b'true'])[:-1], [null(), 1, 2, archive()])",
        "send(s, start([b'true']) + b'x', [null(), 1, 2, archive()])",
        "send(s, b'\\x01\\x00\\x01\\xff\\xff\\xff\\xff', [null(), 1, 2, archive()])",
        "send(s, b'\\x02\\x00\\x00\\x00\\x09', [])",
    ] {
        let said = client(
            &host,
            ADA,
            &format!("s = connect(); {send}; s.shutdown(socket.SHUT_WR); answer(s)"),
        );
        assert!(said.stdout.contains("ANSWER"), "{send} {said:#?}");
    }
    still_serves(&host);
}

#[test]
fn b63_a_connection_closed_by_half_is_a_client_that_left() {
    let host = Host::started(OPEN, "");
    let script = "s = connect(); send(s, start([b'sleep', b'765004']), [null(), 1, 2, archive()]); s.recv(1); s.shutdown(socket.SHUT_WR); answer(s)";
    let said = client(&host, ADA, script);
    assert!(said.stdout.contains("ANSWER"), "{said:#?}");
    until(|| sleepers("765004") == 0, || "it lives on".to_owned());
    still_serves(&host);
}

#[test]
fn b64_nobody_signals_the_broker_or_the_runs_of_others() {
    let host = Host::started(OPEN, "");
    let mut running = host.begin(ADA, ["sh", "-c", "echo up >&2; exec sleep 765005"]);
    running.until("up");
    until(|| sleepers("765005") == 1, || "it does not sleep".to_owned());
    let shoot = format!(
        "kill -9 {}; kill -STOP {}; kill -9 {}; for p in /proc/[0-9]*; do if tr '\\0' ' ' < $p/cmdline 2>/dev/null | grep -q '^sleep 765005'; then kill -9 ${{p#/proc/}}; fi; done; true",
        host.pid(),
        host.pid(),
        running.pid().as_raw_nonzero()
    );
    for user in [EVE, ADA] {
        let shoot = if user.uid == ADA.uid {
            shoot.replace(&format!("kill -9 {};", running.pid().as_raw_nonzero()), "")
        } else {
            shoot.clone()
        };
        let said = Said::of(host.as_user(user, ["sh", "-c", &shoot]).output().unwrap());
        assert!(said.stderr.contains("not permitted"), "{said:#?}");
        assert_eq!(sleepers("765005"), 1);
    }
    still_serves(&host);
    running.signal(Signal::KILL);
    running.end();
}

#[test]
fn b65_no_variable_of_a_callers_chooses_home_policy_or_broker() {
    let host = Host::started("agents: {}\n", "");
    let own = host.work_of("ada").join("own");
    let mut init = host.as_user(ADA, [host.path("bin/iddio").to_str().unwrap(), "init"]);
    Said::of(init.env("IDDIO_HOME", &own).output().unwrap());
    for (name, value) in [
        ("IDDIO_HOME", own.to_str().unwrap()),
        ("IDDIO_RUN_SOCKET", "/tmp/none"),
        ("IDDIO_RUN", "x"),
        ("IDDIO_POLICY", "/tmp/p"),
    ] {
        let mut command = host.exec(ADA, ["id"]);
        let said = Said::of(command.env(name, value).output().unwrap()).exits(77);
        assert!(!said.stdout.contains("uid="), "{name}");
    }
}

#[test]
fn b66_an_archive_that_leads_elsewhere_writes_nothing() {
    let host = Host::started(OPEN, "");
    for (name, kind) in [
        ("../escaped", 2),
        ("/tmp/iddio-escaped", 2),
        ("a/../../escaped", 2),
        ("../escaped", 1),
        ("../escaped", 3),
    ] {
        let script = format!(
            "n = b'{name}'; body = bytes([{kind}]) + struct.pack('>H', len(n)) + n + (b'\\0' + struct.pack('>I', 1) + b'x' + struct.pack('>I', 0) if {kind} == 2 else raw(b'/')[2:] if {kind} == 3 else b''); ask([b'true'], fds=[null(), 1, 2, archive(body + b'\\x09')])"
        );
        let said = client(&host, ADA, &script);
        assert!(said.stdout.contains("did not arrive as one"), "{name} {said:#?}");
    }
    assert!(!host.path("runs/escaped").exists() && !Path::new("/tmp/iddio-escaped").exists());
    still_serves(&host);
}

#[test]
fn b67_a_run_reaches_neither_the_hosts_loopback_nor_metadata_nor_anything_unnamed() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let host = Host::started(OPEN, "network = [\"169.254.169.254:80\", \"example.com:443\"]");
    let reach = format!(
        "import socket\nfor a in [('127.0.0.1', {port}), ('169.254.169.254', 80), ('10.0.0.1', 443)]:\n    s = socket.socket(); s.settimeout(5)\n    try: s.connect(a); print('REACHED', a)\n    except OSError as e: print('not', e)\nfor t in ['169.254.169.254:80', '127.0.0.1:{port}', '[::ffff:169.254.169.254]:80', 'elsewhere.example:443']:\n    s = socket.create_connection(('127.0.0.1', 3128)); s.sendall(f'CONNECT {{t}} HTTP/1.1\\r\\n\\r\\n'.encode()); print(s.recv(64)[:12])\ns = socket.socket(socket.AF_UNIX)\ntry: s.connect(b'\\0abstract'); print('REACHED')\nexcept OSError as e: print('not', e)\n"
    );
    host.file(ADA, "reach.py", reach);
    let said = host.run(ADA, ["python3", "reach.py"]).ok();
    assert!(!said.stdout.contains("REACHED") && !said.stdout.contains(" 200"), "{said:#?}");
    assert_eq!(
        said.stdout.matches("403").count()
            + said.stdout.matches("405").count()
            + said.stdout.matches("400").count(),
        4,
        "{said:#?}"
    );
    assert!(
        std::net::TcpStream::connect(("127.0.0.1", port)).is_ok(),
        "without a fence it is there"
    );
}

#[test]
fn b68_a_run_sees_nothing_of_the_brokers_and_speaks_to_no_broker() {
    let host = Host::started(OPEN, "");
    let (home, socket, runs) = (host.path("home"), host.socket(), host.path("runs"));
    let look = format!(
        "import os, socket\ndef t(f, *a):\n    try: print('SEEN', f(*a))\n    except OSError as e: print('not', e)\nt(os.listdir, {home:?})\nt(os.stat, {socket:?})\nt(open, '/etc/iddio/exec.toml')\nt(os.listdir, '/run/iddio')\nt(socket.socket(socket.AF_UNIX).connect, {socket:?})\nprint(len(os.listdir({runs:?})), os.listdir('/etc/iddio'))\n"
    );
    host.file(ADA, "look.py", look);
    let said = host.run(ADA, ["python3", "look.py"]).ok();
    assert!(!said.stdout.contains("SEEN"), "{said:#?}");
    assert!(said.stdout.ends_with("1 []\n"), "its own run and no other: {said:#?}");
}

#[test]
fn b69_a_run_sees_and_traces_no_process_but_its_own() {
    let host = giving(SECRET);
    let mut other = host.begin(EVE, ["sh", "-c", "echo up >&2; exec sleep 765006"]);
    other.until("up");
    let said = host
        .run(
            ADA,
            ["sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '; ls -d /proc/[0-9]* | wc -l"],
        )
        .ok();
    assert!(!said.stdout.contains("765006") && !said.stdout.contains("iddio-execd"), "{said:#?}");
    other.signal(Signal::KILL);
    other.end();
}
