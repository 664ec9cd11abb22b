//! The signer and the log service together: what is decided is signed, once, and nothing else.

use std::{
    fs,
    io::{Read, Write},
    net::TcpListener,
    ops::ControlFlow,
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use iddio_audit::{
    checkpoint::{Signed, signed_by},
    verify::{Standing, verify_against},
};
use iddio_core::{
    audit::{AuditSink, Body, DecisionRecord, Durability, Entry, Refusal, checkpoint::Note},
    digest::Digest,
    operation::{Operation, Protocol},
};
use iddio_mint::signer::{
    SignerError,
    wire::{Code, Warranted},
};
use iddio_tests::keepers::{Keepers, PUSHER, as_user, service, until};

#[path = "../../crates/iddio-audit/tests/it/kit.rs"]
#[expect(dead_code, reason = "its own tests use all of it")]
pub(crate) mod entries;

/// A public key of nobody.
pub(crate) const SSH_KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJfUkZ6G1kK6Bq8q6bYw0mVhC5b0k0kB1fJp7q1m0k0B";

/// An operation over SSH: `exec` of words, or another method without any.
pub(crate) fn ssh(method: &str, resource: &str, argv: &[&[u8]]) -> Operation {
    let mut operation = entries::operation(argv);
    operation.protocol = Protocol::Ssh;
    operation.description.workspace = None;
    operation.description.method = Some(method.to_owned());
    operation.description.resource = Some(resource.to_owned());
    operation
}

/// The decision of an operation; refused where `refusal` says why.
pub(crate) fn decided(id: u128, operation: Operation, refusal: Option<Refusal>) -> Entry {
    let mut entry = match refusal {
        None => entries::allowed(id),
        Some(_) => entries::denied(id, "claude-code"),
    };
    if let Body::Decided(record) = &mut entry.body {
        let mut own = DecisionRecord::clone(record);
        own.subject = entries::subject("claude-code", operation);
        *record = Arc::new(own);
    }
    entry
}

/// States a decision and returns what names it.
pub(crate) fn state(host: &Keepers, entry: &Entry) -> Warranted {
    let seq = entries::wait(host.log().append(entry, Durability::Sync)).unwrap().seq();
    Warranted { seq, action: Digest::of_bytes(b"action") }
}

#[track_caller]
pub(crate) fn refused<T: std::fmt::Debug>(signed: Result<T, SignerError>, code: Code, why: &str) {
    let error = signed.unwrap_err();
    assert_eq!(error.code(), Some(code), "{error}");
    assert!(error.to_string().contains(why), "`{error}` is not `{why}`");
}

/// Runs a program on some input and returns what it says.
#[track_caller]
fn run(program: &str, words: &[&str], input: &str) -> String {
    let mut command = Command::new(program);
    command.args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{program}: {error}"));
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn an_allowed_command_gets_one_certificate_for_just_that() {
    let mut host = Keepers::started();
    let log = host.log();
    let entry = decided(1, ssh("exec", "deploy@web-1", &[b"systemctl", b"restart", b"a b"]), None);
    let seq = entries::wait(log.append(&entry, Durability::Sync)).unwrap().seq();
    let record = Warranted { seq, action: Digest::of_bytes(b"action") };
    let line = host.signer().unwrap().ssh(record, SSH_KEY).unwrap();
    let told = run("ssh-keygen", &["-L", "-f", "-"], &line);
    for part in [
        "user certificate",
        "Key ID: \"iddio:claude-code:web-1\"",
        &format!("Serial: {seq}"),
        "Principals: \n                deploy\n",
        "force-command 'systemctl' 'restart' 'a b'",
        "source-address 127.0.0.1,10.0.0.0/8",
        "Extensions: (none)",
    ] {
        assert!(told.contains(part), "no `{part}` in {told}");
    }
    refused(host.signer().unwrap().ssh(record, SSH_KEY), Code::Used, "already");
    host.kill_signer();
    host.start_signer();
    refused(host.signer().unwrap().ssh(record, SSH_KEY), Code::Used, "already");
    // It was this operation's, and that has ended: nothing is signed for it, whatever the ledger says.
    let end = entries::closed_as(&entry, 1, seq);
    let _ = entries::wait(log.append(&end, Durability::Sync)).unwrap();
    fs::remove_file(host.path("lib-signer/state/ledger")).unwrap();
    host.kill_signer();
    host.start_signer();
    refused(host.signer().unwrap().ssh(record, SSH_KEY), Code::Warrant, "has ended");
}

#[test]
fn what_was_not_allowed_or_is_about_something_else_is_not_signed_for() {
    let host = Keepers::started();
    let shell = || ssh("shell", "root@web-1", &[]);
    let denied = state(&host, &decided(1, shell(), Some(Refusal::Policy)));
    let mut signer = host.signer().unwrap();
    refused(signer.ssh(denied, SSH_KEY), Code::Warrant, "allows nothing");
    let allowed = state(&host, &decided(2, shell(), None));
    let other = Warranted { action: Digest::of_bytes(b"other"), ..allowed };
    refused(signer.ssh(other, SSH_KEY), Code::Warrant, "another action");
    let absent = Warranted { seq: allowed.seq + 1_000, ..allowed };
    refused(signer.ssh(absent, SSH_KEY), Code::Warrant, "no record");
    refused(signer.x509(allowed, &[1, 2, 3]), Code::Malformed, "P-256");
    refused(signer.ssh(allowed, "ssh-rsa AAAA"), Code::Malformed, "Ed25519");
    refused(signer.registry(allowed), Code::Warrant, "another protocol");
    // Nothing of that has spent the record.
    let told = run("ssh-keygen", &["-L", "-f", "-"], &signer.ssh(allowed, SSH_KEY).unwrap());
    assert!(told.contains("permit-pty") && !told.contains("force-command"), "{told}");
    let secret = ssh("exec", "deploy@web-1", &[b"mysql", b"--password=hunter2-canary"]);
    let secret = state(&host, &decided(3, secret, None));
    refused(signer.ssh(secret, SSH_KEY), Code::Warrant, "secret was taken out");
}

#[test]
fn a_client_certificate_verifies_and_names_the_agent() {
    let host = Keepers::started();
    let mut operation = entries::operation(&[b"get"]);
    operation.protocol = Protocol::Kubernetes;
    let record = state(&host, &decided(1, operation, None));
    let key = run("openssl", &["ecparam", "-name", "prime256v1", "-genkey", "-noout"], "");
    let public = host.path("key.der");
    run("openssl", &["ec", "-pubout", "-outform", "DER", "-out", public.to_str().unwrap()], &key);
    let mut signer = host.signer().unwrap();
    let pem = signer.x509(record, &fs::read(&public).unwrap()).unwrap();
    let authority = host.path("authority.pem");
    fs::write(&authority, signer.public().unwrap().x509).unwrap();
    let authority = authority.to_str().unwrap();
    run("openssl", &["verify", "-purpose", "sslclient", "-CAfile", authority], &pem);
    let told = run("openssl", &["x509", "-noout", "-text"], &pem);
    for part in [
        "CN = claude-code",
        "URI:spiffe://iddio.local/agent/claude-code",
        "TLS Web Client Authentication",
        "CA:FALSE",
        "Digital Signature",
    ] {
        assert!(told.contains(part), "no `{part}` in {told}");
    }
    let leaf = host.path("leaf.pem");
    fs::write(&leaf, &pem).unwrap();
    let lives = |seconds: &str| {
        let mut command = Command::new("openssl");
        command.args(["x509", "-noout", "-checkend", seconds, "-in"]).arg(&leaf);
        command.stdout(Stdio::null()).status().unwrap().success()
    };
    assert!(lives("200") && !lives("301"), "{told}");
    refused(signer.ssh(record, SSH_KEY), Code::Warrant, "another protocol");
    refused(signer.x509(record, &fs::read(&public).unwrap()), Code::Used, "already");
}

#[test]
fn the_first_approver_is_roots_and_every_other_one_needs_an_approvers_key() {
    let host = Keepers::started();
    let enrolment = |id, name: &str| {
        let words = ["iddio", "operator", "enroll", name, "--key", SSH_KEY, "--group", "sre"];
        let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
        let mut operation = entries::operation(&words);
        operation.protocol = Protocol::Command;
        state(&host, &decided(id, operation, None))
    };
    let mut signer = host.signer().unwrap();
    let (entry, signature) = signer.registry(enrolment(1, "ada")).unwrap();
    assert!(entry.contains("\"operator\":\"ada\"") && entry.contains(SSH_KEY), "{entry}");
    let (signers, sealed) = (host.path("signers"), host.path("entry.sig"));
    fs::write(&signers, format!("signer {}\n", signer.public().unwrap().registry)).unwrap();
    fs::write(&sealed, signature).unwrap();
    let (signers, sealed) = (signers.to_str().unwrap(), sealed.to_str().unwrap());
    let words =
        ["-Y", "verify", "-n", "iddio-registry", "-I", "signer", "-f", signers, "-s", sealed];
    run("ssh-keygen", &words, &entry);
    refused(signer.registry(enrolment(2, "eve")), Code::Warrant, "no approver's key");
}

#[test]
fn checkpoints_are_the_signers_and_of_one_log_that_only_grows() {
    let mut host = Keepers::started();
    let public = host.signer().unwrap().public().unwrap().checkpoint;
    let signed = |size: u64| {
        let log = host.log();
        let note = || log.checkpoint().unwrap().and_then(|note| Note::read(&note));
        until(|| note().is_some_and(|note| size <= note.checkpoint.size), || host.errors());
        note().unwrap()
    };
    let before = signed(1);
    assert_eq!(signed_by(&before, &public), Signed::By);
    let record = state(&host, &decided(1, ssh("shell", "a@b", &[]), None));
    let after = signed(record.seq + 1);
    assert_eq!(signed_by(&after, &public), Signed::By);
    // The record is proved to be in it, and what was before to be its beginning.
    let (note, path) = host.log().prove(record.seq).unwrap();
    assert_eq!(Note::read(&note).as_ref(), Some(&after));
    assert!(!path.is_empty());
    let (_, path) = host.log().consistency(before.checkpoint.size).unwrap();
    assert_eq!(
        iddio_core::audit::tree::extends(
            before.checkpoint.size,
            &before.checkpoint.root,
            after.checkpoint.size,
            &after.checkpoint.root,
            &path,
        ),
        iddio_core::audit::tree::Proof::Holds
    );
    let report = verify_against(&host.log_directory(), 1, &after, None).unwrap();
    assert_eq!(report.checkpoint, Some(Standing::Holds));
    // A log in its place, by whoever holds the service: the signer does not sign for it.
    host.kill_log();
    fs::rename(host.log_directory(), host.path("lib-log/aside")).unwrap();
    host.start_log();
    until(|| host.errors().contains("signs for the log"), || host.errors());
    assert_eq!(host.log().checkpoint().unwrap(), None);
}

#[test]
fn a_log_cut_back_behind_what_was_signed_gets_no_other_story_signed() {
    let mut host = Keepers::started();
    let signed = |host: &Keepers| {
        let note = host.log().checkpoint().unwrap().and_then(|note| Note::read(&note));
        note.map_or(0, |note| note.checkpoint.size)
    };
    let first = state(&host, &decided(1, ssh("shell", "a@b", &[]), None));
    until(|| first.seq < signed(&host), || host.errors());
    host.kill_log();
    // Whoever holds the log takes a record back, and all that remembers it there.
    let segment = host.log_directory().join("0000000001.jsonl");
    let text = fs::read_to_string(&segment).unwrap();
    let kept: String = text.lines().take(1).map(|line| format!("{line}\n")).collect();
    fs::write(&segment, kept).unwrap();
    for memory in ["write.lock", "sync.lock", "writers", "tree"] {
        let path = host.log_directory().join(memory);
        match path.is_dir() {
            true => fs::remove_dir_all(&path).unwrap(),
            false => fs::remove_file(&path).unwrap(),
        }
    }
    host.start_log();
    until(|| host.errors().contains("checkpoint:"), || host.errors());
    let told = host.errors();
    assert!(told.contains("fewer than") || told.contains("not proved to begin"), "{told}");
    assert_eq!(signed(&host), 0);
}

/// Waits until something holds or the signer has ended; then starts it again, and counts one.
fn restarted_if_gone(host: &mut Keepers, holds: impl Fn(&Keepers) -> bool) -> u32 {
    let end = Instant::now() + Duration::from_secs(60);
    while !host.signer_has_ended() {
        if holds(host) {
            return 0;
        }
        assert!(Instant::now() < end, "{}", host.errors());
        std::thread::yield_now();
    }
    host.kill_signer();
    host.start_signer();
    1
}

#[test]
fn a_signer_killed_at_any_call_signs_for_no_record_twice() {
    let mut host = Keepers::started();
    host.kill_signer();
    let (mut kills, mut given) = (0, 0);
    let calls = ["accept4", "write", "fdatasync", "sendto", "connect", "recvfrom", "openat"];
    for (turn, call) in (0..).zip(calls) {
        // At another one each time; some of them are of its start.
        host.start_signer_with(&format!("{call}:signal=KILL:when={}+", 3 + turn % 3));
        kills += restarted_if_gone(&mut host, |host| host.signer().is_ok());
        for id in 1..=8_u128 {
            let id = u128::try_from(turn).unwrap() * 100 + id;
            let record = state(&host, &decided(id, ssh("shell", "a@b", &[]), None));
            let ask = |host: &Keepers| host.signer().and_then(|mut s| s.ssh(record, SSH_KEY));
            let mut got = 0;
            for _ in 0..3 {
                match ask(&host) {
                    Ok(_) => got += 1,
                    Err(error) if error.code().is_some() => {}
                    // It went away in the middle of it.
                    Err(_) => kills += restarted_if_gone(&mut host, |_| false),
                }
            }
            assert!(got <= 1, "{call}: record {} was signed for {got} times", record.seq);
            given += got;
        }
        host.kill_signer();
    }
    assert!(3 <= kills, "{kills} kills");
    assert!(20 <= given, "{given} certificates");
}

#[test]
fn keepers_serve_the_sockets_that_systemd_opened() {
    iddio_tests::real("systemd-socket-activate", "apt-get install systemd").unwrap();
    let mut host = Keepers::new("", "");
    host.start_activated();
    let record = state(&host, &decided(1, ssh("shell", "a@b", &[]), None));
    host.signer().unwrap().ssh(record, SSH_KEY).unwrap();
}

#[test]
fn checkpoints_are_taken_elsewhere_and_that_a_place_was_down_is_on_record() {
    let host = Keepers::started();
    let state = |id| state(&host, &decided(id, ssh("shell", "a@b", &[]), None)).seq;
    // A place that is down: nobody listens there yet.
    let place = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = place.local_addr().unwrap();
    drop(place);
    let (config, log) = (host.path("push.toml"), host.log_socket());
    let text = format!(
        "url = \"http://{address}/checkpoints\"\nlog_user = \"daemon\"\nlog_socket = {log:?}\nsecs = 1\n"
    );
    fs::write(&config, text).unwrap();
    let program = service("iddio-push");
    let mut command = as_user(PUSHER, program.to_str().unwrap());
    let mut pushing = command.arg("--config").arg(&config).stderr(Stdio::null()).spawn().unwrap();
    let stands = |event: &str| {
        let mut found = None;
        let lines = host.log().lines(0, |line| {
            let text = String::from_utf8_lossy(line).into_owned();
            if text.contains(&format!("\"event\":\"{event}\"")) {
                found = Some(text);
            }
            ControlFlow::Continue(())
        });
        lines.unwrap();
        found
    };
    until(|| stands("checkpoint.undelivered").is_some(), || host.errors());
    let down = stands("checkpoint.undelivered").unwrap();
    assert!(down.contains("does not answer") && down.contains("\"peer\":{\"uid\":10}"), "{down}");
    // It is up again, and gets one that covers what it missed.
    let missed = state(1);
    let place = TcpListener::bind(address).unwrap();
    let public = host.signer().unwrap().public().unwrap().checkpoint;
    loop {
        let (mut stream, _) = place.accept().unwrap();
        let mut heard = Vec::new();
        let mut chunk = [0; 4_096];
        let note = loop {
            let read = stream.read(&mut chunk).unwrap();
            heard.extend_from_slice(&chunk[..read]);
            let text = String::from_utf8_lossy(&heard);
            let body = text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned());
            if let Some(note) = body.as_deref().and_then(Note::read) {
                break note;
            }
            assert!(read != 0, "{text}");
        };
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
        assert_eq!(signed_by(&note, &public), Signed::By);
        if missed < note.checkpoint.size {
            break;
        }
    }
    until(|| stands("checkpoint.delivered").is_some(), || host.errors());
    pushing.kill().unwrap();
    pushing.wait().unwrap();
}

#[test]
fn without_the_log_service_nothing_is_signed_and_with_a_full_disk_neither() {
    let mut host = Keepers::started();
    let record = state(&host, &decided(1, ssh("shell", "a@b", &[]), None));
    host.kill_log();
    refused(host.signer().unwrap().ssh(record, SSH_KEY), Code::Unavailable, "away");
    host.start_log();
    host.kill_signer();
    host.start_signer_with("fdatasync:error=EIO:when=1+");
    until(|| host.signer().is_ok(), || host.errors());
    let mut signer = host.signer().unwrap();
    refused(signer.ssh(record, SSH_KEY), Code::Unavailable, "written down");
    let next = state(&host, &decided(2, ssh("shell", "a@b", &[]), None));
    refused(signer.ssh(next, SSH_KEY), Code::Unavailable, "earlier write failed");
}
