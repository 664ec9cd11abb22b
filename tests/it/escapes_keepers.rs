//! Attempts on the keepers of log and keys: by `nobody`, a real unprivileged user, and by processes
//! that have a keeper's own user. `docs/escapes.md` says what stops each.

use std::{
    fs::{self, Permissions},
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
    process::{Child, Output, Stdio},
};

use iddio_audit::remote::{Remote, RemoteError};
use iddio_mint::signer::{Signer, SignerError, wire::Code};
use iddio_tests::keepers::{
    Keepers, LOG, NOBODY, OTHER_GATEWAY, SIGNER, as_user, example, service, until,
};

use crate::keepers::{SSH_KEY, decided, refused, ssh, state};

/// Runs a program as a user and returns what came of it.
fn tried(uid: u32, words: &[&str]) -> Output {
    let (program, words) = words.split_first().unwrap();
    as_user(uid, program).args(words).output().unwrap()
}

/// Checks that a program ends with a failure, and says why.
#[track_caller]
fn fails(uid: u32, words: &[&str], why: &str) {
    let output = tried(uid, words);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains(why), "{words:?}: {output:?}");
}

/// Checks that a program ends well: the attempt works where there is no boundary.
#[track_caller]
fn works(uid: u32, words: &[&str]) {
    let output = tried(uid, words);
    assert!(output.status.success(), "{words:?}: {output:?}");
}

/// Runs python as a user until it says that it is ready, and leaves it there.
#[track_caller]
fn holding(uid: u32, script: &str, words: &[&str]) -> Child {
    let mut command = as_user(uid, "python3");
    command.args(["-c", script]).args(words).stdin(Stdio::piped());
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    let said = child.stdout.as_mut().unwrap();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(said), &mut line).unwrap();
    assert_eq!(line, "ready\n");
    child
}

fn end(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Checks that both keepers still serve those who behave.
#[track_caller]
fn still_keep(host: &Keepers, id: u128) {
    let record = state(host, &decided(id, ssh("shell", "a@b", &[]), None));
    host.signer().unwrap().ssh(record, SSH_KEY).unwrap();
}

#[track_caller]
fn is_told(output: &Output, what: &str) {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains(what), "{output:?}");
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn b70_a_record_that_somebody_saw_gets_nobody_else_a_certificate_and_nobody_two() {
    let host = Keepers::started();
    let record = state(&host, &decided(1, ssh("shell", "root@web-1", &[]), None));
    let (seq, digest) = (record.seq.to_string(), record.action.to_hex());
    for kind in ["ssh", "x509", "registry"] {
        is_told(&host.ask(NOBODY, kind, &seq, &digest), "forbidden");
    }
    // It is worth one to whom it is for, and then never again.
    let first = host.ask(0, "ssh", &seq, &digest);
    assert!(first.status.success(), "{first:?}");
    is_told(&host.ask(0, "ssh", &seq, &digest), "used");
    is_told(&host.ask(NOBODY, "ssh", &seq, &digest), "forbidden");
}

#[test]
fn b71_a_gateway_uses_no_other_gateways_record() {
    let mut host = Keepers::new("", "");
    let config = fs::read_to_string(host.signer_config()).unwrap();
    let config = config.replace("ssh = [\"root\"]", "ssh = [\"root\", \"games\"]");
    fs::write(host.signer_config(), config).unwrap();
    host.start();
    let record = state(&host, &decided(1, ssh("shell", "root@web-1", &[]), None));
    let (seq, digest) = (record.seq.to_string(), record.action.to_hex());
    let stolen = host.ask(OTHER_GATEWAY, "ssh", &seq, &digest);
    is_told(&stolen, "not stated by who asks");
    assert!(host.ask(0, "ssh", &seq, &digest).status.success());
}

#[test]
fn b72_what_users_state_of_themselves_is_worth_no_certificate() {
    let host = Keepers::started();
    let (log, keeper) = (host.log_socket(), LOG.to_string());
    let own = host.ask(NOBODY, "own", text(&log), &keeper);
    // The log takes it: it is said of nobody but who says it.
    is_told(&own, "forbidden");
    let stated = host.log().read(0).unwrap().0;
    assert!(String::from_utf8_lossy(&stated).contains("root@web-1"));
}

#[test]
fn b73_nobody_but_the_log_service_has_checkpoints_signed() {
    let host = Keepers::started();
    let root = "0".repeat(64);
    for uid in [NOBODY, OTHER_GATEWAY, 0] {
        is_told(&host.ask(uid, "checkpoint", "9999", &root), "forbidden");
        is_told(&host.ask(uid, "last", "0", &root), "forbidden");
    }
    // The log service's own user may ask, and gets none for a log that is not the one it keeps.
    until(|| host.log().checkpoint().is_ok_and(|note| note.is_some()), || host.errors());
    is_told(&host.ask(LOG, "checkpoint", "9999", &root), "warrant");
}

#[test]
fn b74_a_socket_put_where_a_keeper_belongs_is_told_nothing() {
    let host = Keepers::new("", "");
    let squat = |socket: &Path| {
        let mut command = as_user(NOBODY, text(&example("speak")));
        command.arg(socket).args(["1", "squat", "0", "0", "0"]);
        command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
    };
    // The keepers' directories are closed to it.
    for socket in [host.log_socket(), host.signer_socket()] {
        assert!(!squat(&socket).wait().unwrap().success());
        assert!(!socket.exists());
    }
    // Where they are not, it gets there, and no client speaks to it.
    for directory in ["run-log", "run-signer"] {
        fs::set_permissions(host.path(directory), Permissions::from_mode(0o777)).unwrap();
    }
    let squatters = [squat(&host.log_socket()), squat(&host.signer_socket())];
    until(|| host.log_socket().exists() && host.signer_socket().exists(), String::new);
    let told = Remote::at(&host.log_socket(), LOG).head();
    assert!(matches!(told, Err(RemoteError::Squatter { uid: NOBODY, .. })), "{told:?}");
    let told = Signer::connect(&host.signer_socket(), SIGNER);
    assert!(matches!(told, Err(SignerError::Squatter { uid: NOBODY, .. })), "{told:?}");
    squatters.into_iter().for_each(end);
}

#[test]
fn b75_a_file_or_link_made_earlier_in_the_place_of_a_socket_leads_nowhere() {
    let host = Keepers::new("", "");
    for (name, uid, config, directory) in [
        ("iddio-logd", LOG, host.log_config(), "run-log"),
        ("iddio-signer", SIGNER, host.signer_config(), "run-signer"),
    ] {
        let serve = |socket: &Path| {
            let program = service(name);
            let words = [text(&program), "--config", text(&config), "--socket", text(socket)];
            tried(uid, &words)
        };
        // Nobody can make one in the keeper's directory.
        let socket = host.path(directory).join("made.sock");
        fails(NOBODY, &["ln", "-s", "/etc/passwd", text(&socket)], "Permission denied");
        // In a directory that is everybody's, as this one, a keeper puts no socket at all.
        let open = host.path("everybodys");
        fs::create_dir(&open).unwrap();
        fs::set_permissions(&open, Permissions::from_mode(0o1777)).unwrap();
        let target = host.path("target");
        fs::write(&target, "whole").unwrap();
        fs::set_permissions(&target, Permissions::from_mode(0o666)).unwrap();
        let socket = open.join("made.sock");
        works(NOBODY, &["ln", "-s", text(&target), text(&socket)]);
        is_told(&serve(&socket), "others could put a socket of their own");
        assert_eq!(fs::read_to_string(&target).unwrap(), "whole");
        fs::remove_dir_all(&open).unwrap();
    }
}

#[test]
fn b76_the_log_is_neither_read_nor_locked_nor_listed() {
    let host = Keepers::started();
    let directory = host.log_directory();
    for (words, why) in [
        (["ls", text(&directory)], "Permission denied"),
        (["cat", text(&directory.join("0000000001.jsonl"))], "Permission denied"),
        (["tee", text(&directory.join("0000000001.jsonl"))], "Permission denied"),
    ] {
        fails(NOBODY, &words, why);
    }
    for lock in ["write.lock", "sync.lock"] {
        let lock = directory.join(lock);
        fails(NOBODY, &["flock", text(&lock), "true"], "Permission denied");
        // A hard link made elsewhere would be a way to the lock.
        let link = host.path(&format!("link-{}", lock.file_name().unwrap().to_str().unwrap()));
        fails(NOBODY, &["ln", text(&lock), text(&link)], "Permission denied");
        works(LOG, &["flock", "--nonblock", text(&lock), "true"]);
    }
    still_keep(&host, 1);
}

#[test]
fn b77_keys_ledger_and_standing_are_closed_and_the_keys_are_wrapped() {
    let host = Keepers::started();
    for name in ["keys/x509.key", "keys/ssh.key", "wrapping", "state/ledger", "state/standing"] {
        let path = host.path("lib-signer").join(name);
        for uid in [NOBODY, LOG, OTHER_GATEWAY] {
            fails(uid, &["cat", text(&path)], "Permission denied");
            fails(uid, &["rm", "-f", text(&path)], "Permission denied");
        }
    }
    for name in ["checkpoint", "registry", "ssh", "x509"] {
        let path = host.path("lib-signer/keys").join(format!("{name}.key"));
        let stored = fs::read_to_string(path).unwrap();
        assert!(stored.starts_with("iddio-wrapped-key/v1 "), "{stored}");
    }
}

#[test]
fn b78_the_keepers_are_not_traced_not_even_by_processes_of_their_own_user() {
    let host = Keepers::started();
    let trace = |uid: u32, pid: u32| {
        let pid = pid.to_string();
        let words = ["timeout", "--signal=INT", "1", "strace", "-o", "/dev/null", "-p", &pid];
        tried(uid, &words)
    };
    for (pid, own) in [(host.log_pid(), LOG), (host.signer_pid(), SIGNER)] {
        for uid in [NOBODY, own] {
            is_told(&trace(uid, pid), "Operation not permitted");
        }
    }
    // Any other process of that user can be traced by it.
    let mut other = as_user(SIGNER, "sleep").arg("60").spawn().unwrap();
    let traced = trace(SIGNER, other.id());
    let said = String::from_utf8_lossy(&traced.stderr).into_owned();
    assert!(!said.contains("Operation not permitted"), "{said}");
    other.kill().unwrap();
    other.wait().unwrap();
    still_keep(&host, 1);
}

#[test]
fn b79_memory_environment_and_descriptors_of_the_keepers_are_not_to_be_seen() {
    let host = Keepers::started();
    for (pid, own) in [(host.log_pid(), LOG), (host.signer_pid(), SIGNER)] {
        for uid in [NOBODY, own] {
            for name in ["environ", "mem", "maps", "auxv", "syscall", "stack"] {
                let path = format!("/proc/{pid}/{name}");
                let output = tried(uid, &["dd", &format!("if={path}"), "count=1", "status=none"]);
                assert!(!output.status.success() && output.stdout.is_empty(), "{path}: {output:?}");
            }
            for name in ["fd", "map_files", "task"] {
                let path = format!("/proc/{pid}/{name}");
                let seen = tried(uid, &["cat", &format!("{path}/0"), &format!("{path}/3")]);
                assert!(!seen.status.success() && seen.stdout.is_empty(), "{path}: {seen:?}");
            }
        }
    }
    let mut other = as_user(SIGNER, "sleep").env("CANARY", "1").arg("60").spawn().unwrap();
    let environ = format!("/proc/{}/environ", other.id());
    let control =
        || String::from_utf8_lossy(&tried(SIGNER, &["cat", &environ]).stdout).into_owned();
    until(|| control().contains("CANARY"), control);
    other.kill().unwrap();
    other.wait().unwrap();
}

#[test]
fn b80_a_keeper_that_dies_leaves_no_core() {
    let mut host = Keepers::started();
    for pid in [host.log_pid(), host.signer_pid()] {
        let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
        let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
        let numbers: Vec<&str> = core.split_whitespace().skip(4).take(2).collect();
        assert_eq!(numbers, ["0", "0"], "{core}");
        // Who is not dumpable has files in /proc that are root's.
        let owner = fs::metadata(format!("/proc/{pid}/environ")).unwrap();
        assert_eq!(std::os::unix::fs::MetadataExt::uid(&owner), 0);
    }
    works(SIGNER, &["kill", "-ABRT", &host.signer_pid().to_string()]);
    until(|| !Path::new(&format!("/proc/{}/fd/0", host.signer_pid())).exists(), String::new);
    let left = |dir: &Path| {
        fs::read_dir(dir).unwrap().any(|entry| {
            let name = entry.unwrap().file_name();
            name.to_string_lossy().starts_with("core")
        })
    };
    assert!(!left(&host.path("lib-signer")) && !left(Path::new(".")) && !left(Path::new("/")));
    host.kill_signer();
    host.start_signer();
    still_keep(&host, 1);
}

#[test]
fn b81_nobody_stops_or_ends_a_keeper() {
    let host = Keepers::started();
    for pid in [host.log_pid(), host.signer_pid()] {
        for signal in ["-KILL", "-STOP", "-TERM", "-SEGV"] {
            fails(NOBODY, &["kill", signal, &pid.to_string()], "Operation not permitted");
        }
        // Nor makes it wait: its place in the schedule is its own.
        fails(NOBODY, &["renice", "-n", "19", "-p", &pid.to_string()], "Operation not permitted");
    }
    // The signer, were it taken over, signals nobody either: it gave that up.
    let status = fs::read_to_string(format!("/proc/{}/status", host.signer_pid())).unwrap();
    assert!(status.contains("NoNewPrivs:\t1") && status.contains("Seccomp:\t2"), "{status}");
    still_keep(&host, 1);
}

#[test]
fn b82_descriptors_are_neither_taken_nor_given() {
    let host = Keepers::started();
    let open = |pid: u32| fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
    still_keep(&host, 1);
    let before = [open(host.log_pid()), open(host.signer_pid())];
    let script = "
import array, os, socket, sys
for path in sys.argv[1:]:
    s = socket.socket(socket.AF_UNIX)
    s.connect(path)
    fds = array.array('i', [os.open('/dev/null', os.O_RDONLY) for _ in range(200)])
    s.sendmsg([b'\\x00'], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds.tobytes())])
    s.sendall(b'\\x00\\x00\\x1c{\"do\":\"hello\",\"version\":1}')
    data, ancillary, flags, _ = s.recvmsg(4096, 4096)
    assert b'hello' in data, data
    assert not ancillary and not flags, (ancillary, flags)
";
    let script = script.replace("\\x1c", "\\x1a");
    let (log, signer) = (host.log_socket(), host.signer_socket());
    works(NOBODY, &["python3", "-c", &script, text(&log), text(&signer)]);
    until(
        || [open(host.log_pid()), open(host.signer_pid())] <= before,
        || format!("{before:?} became {:?}", [open(host.log_pid()), open(host.signer_pid())]),
    );
}

#[test]
fn b83_no_keeper_has_an_abstract_socket_and_none_reaches_one() {
    let host = Keepers::started();
    // A name without a file is anybody's to take. Nobody looks there.
    let script = "
import socket, sys
for path in sys.argv[1:]:
    s = socket.socket(socket.AF_UNIX)
    s.bind('\\0' + path)
    s.listen()
print('ready', flush=True)
s.settimeout(60)
s.accept()
";
    let (log, signer) = (host.log_socket(), host.signer_socket());
    let squatter = holding(NOBODY, script, &[text(&log), text(&signer)]);
    still_keep(&host, 1);
    for pid in [host.log_pid(), host.signer_pid()] {
        let table = fs::read_to_string(format!("/proc/{pid}/net/unix")).unwrap();
        let numbers: Vec<String> = fs::read_dir(format!("/proc/{pid}/fd"))
            .unwrap()
            .filter_map(|entry| fs::read_link(entry.unwrap().path()).ok())
            .filter_map(|link| {
                let name = link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?;
                Some(format!(" {name} "))
            })
            .collect();
        let own = table.lines().filter(|line| numbers.iter().any(|n| line.contains(n.as_str())));
        let own: Vec<&str> = own.collect();
        assert!(!own.is_empty() && own.iter().all(|line| !line.contains('@')), "{own:?}");
    }
    end(squatter);
}

#[test]
fn b84_a_flood_of_records_is_paid_by_whoever_floods() {
    let host = Keepers::started();
    let mut flood = as_user(NOBODY, text(&example("speak")));
    flood.arg(host.log_socket()).args([&LOG.to_string(), "refused", "1000000", "750", "4"]);
    flood.env("IDDIO_TEST_USER", "nobody").stdout(Stdio::null());
    let output = flood.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    still_keep(&host, 1);
    // Three thousand were said, some hundred stand there, and that the others were counted.
    let records = host.log().head().unwrap();
    assert!(300 < records && records < 1_000, "{records}");
    let log = fs::read_to_string(host.log_directory().join("0000000001.jsonl")).unwrap();
    let counted = log.lines().find(|line| line.contains("\"refusals.counting\"")).unwrap();
    assert!(counted.contains("\"agent\":\"local:nobody\""), "{counted}");
}

#[test]
fn b85_as_many_connections_as_one_may_have_leave_room_for_the_others() {
    let host = Keepers::started();
    let script = "
import resource, socket, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
kept = []
for path in sys.argv[1:]:
    for _ in range(700):
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(5)
        try:
            s.connect(path)
        except OSError:
            pass
        kept.append(s)
print('ready', flush=True)
sys.stdin.read()
";
    let (log, signer) = (host.log_socket(), host.signer_socket());
    let flood = holding(NOBODY, script, &[text(&log), text(&signer)]);
    still_keep(&host, 1);
    end(flood);
    still_keep(&host, 2);
}

#[test]
fn b86_half_sentences_keep_nobody_else_waiting() {
    let host = Keepers::started();
    let script = "
import socket, sys
kept = []
for path in sys.argv[1:]:
    for place in range(20):
        s = socket.socket(socket.AF_UNIX)
        s.connect(path)
        s.sendall([b'\\0', b'\\0\\0\\2\\0{', b'\\0\\0\\0'][place % 3])
        kept.append(s)
print('ready', flush=True)
sys.stdin.read()
";
    let (log, signer) = (host.log_socket(), host.signer_socket());
    let slow = holding(NOBODY, script, &[text(&log), text(&signer)]);
    still_keep(&host, 1);
    end(slow);
}

#[test]
fn b87_lengths_that_lie_and_words_that_are_none_end_the_conversation_and_no_keeper() {
    let host = Keepers::started();
    let script = "
import os, socket, struct, sys
hello = b'{\"do\":\"hello\",\"version\":1}'
said = [b'\\xff\\xff\\xff\\xff', struct.pack('>I', 0), struct.pack('>I', 1 << 20) + b'x',
        struct.pack('>I', 9) + b'{\"do\": 1}', struct.pack('>I', 4) + b'null',
        struct.pack('>I', len(hello)) + hello + struct.pack('>I', 60000) + b'[' * 60000,
        struct.pack('>I', len(hello)) + hello + struct.pack('>I', len(hello)) + hello]
said += [os.urandom(300) for _ in range(50)]
for path in sys.argv[1:]:
    for words in said:
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(30)
        s.connect(path)
        try:
            s.sendall(words)
            s.shutdown(socket.SHUT_WR)
            while s.recv(4096):
                pass
        except (BrokenPipeError, ConnectionResetError):
            pass
";
    let (log, signer) = (host.log_socket(), host.signer_socket());
    works(NOBODY, &["python3", "-c", script, text(&log), text(&signer)]);
    still_keep(&host, 1);
}

#[test]
fn b88_who_may_not_read_the_log_sees_no_record_proof_or_warrant() {
    let host = Keepers::started();
    still_keep(&host, 1);
    let read = |uid: u32| {
        let mut command = as_user(uid, text(&example("speak")));
        command.arg(host.log_socket()).args([&LOG.to_string(), "read", "0", "0", "0"]);
        command.output().unwrap()
    };
    is_told(&read(NOBODY), "may not read the log");
    assert!(read(0).status.success());
    let script = "
import socket, struct, sys
def frame(words):
    return struct.pack('>I', len(words)) + words
for call in [b'{\"do\":\"prove\",\"seq\":0}', b'{\"do\":\"consistency\",\"old\":0}',
             b'{\"do\":\"warrant\",\"seq\":0}', b'{\"do\":\"checkpoint\"}',
             b'{\"do\":\"read\",\"from\":0}']:
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(30)
    s.connect(sys.argv[1])
    s.sendall(frame(b'{\"do\":\"hello\",\"version\":1}') + frame(call))
    s.shutdown(socket.SHUT_WR)
    data = b''
    while more := s.recv(4096):
        data += more
    assert b'\"forbidden\"' in data and b'hash' not in data, data
";
    works(NOBODY, &["python3", "-c", script, text(&host.log_socket())]);
}

#[test]
fn b89_a_configuration_that_others_could_have_written_is_not_obeyed() {
    let host = Keepers::new("", "");
    for (name, uid, config) in
        [("iddio-logd", LOG, host.log_config()), ("iddio-signer", SIGNER, host.signer_config())]
    {
        let program = service(name);
        let serve = |config: &Path| tried(uid, &[text(&program), "--config", text(config)]);
        fails(NOBODY, &["tee", text(&config)], "Permission denied");
        fs::set_permissions(&config, Permissions::from_mode(0o666)).unwrap();
        works(NOBODY, &["tee", "-a", text(&config)]);
        assert!(!serve(&config).status.success(), "{name}");
        fs::set_permissions(&config, Permissions::from_mode(0o644)).unwrap();
        // Nor through a link, nor one of somebody else's.
        let link = host.path(&format!("{name}.toml"));
        symlink(&config, &link).unwrap();
        assert!(!serve(&link).status.success(), "{name}");
        let own = host.path(&format!("{name}-own.toml"));
        fs::copy(&config, &own).unwrap();
        std::os::unix::fs::chown(&own, Some(NOBODY), Some(NOBODY)).unwrap();
        let output = serve(&own);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains("root"), "{name}: {said}");
    }
}

#[test]
fn b70_and_on_the_attempts_are_those_of_the_document() {
    let document = iddio_tests::repository().join("docs/escapes.md");
    let document = fs::read_to_string(document).unwrap();
    for id in 70..=89 {
        assert!(document.contains(&format!("| B{id} |")), "B{id}");
    }
}

#[test]
fn what_is_refused_to_all_is_refused_to_the_gateway_too() {
    // A gateway that was taken over says what it likes; what it gets is one of a kind and no wider.
    let host = Keepers::started();
    let mut signer = host.signer().unwrap();
    for (id, resource) in
        (1..).zip(["deploy,root@web-1", "*@web-1", "root\n@web-1", "@web-1", "root"])
    {
        let record = state(&host, &decided(id, ssh("shell", resource, &[]), None));
        refused(signer.ssh(record, SSH_KEY), Code::Warrant, "resource");
    }
}
