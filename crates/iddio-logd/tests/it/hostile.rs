//! What the service does with those who do not behave (E09, E24, F6).

use std::{
    io::Write,
    os::unix::{fs::PermissionsExt, net::UnixStream},
    process::Command,
};

use iddio_audit::{
    remote::{Remote, RemoteError},
    wire::{Call, Code, No, Reply, Statement},
};
use iddio_core::{
    audit::{AuditSink, Durability},
    json::Value,
};

use crate::kit::{GATEWAY, Host, KEEPER, STRANGER, entries, hear, hello, say};

/// The service still stores what others say.
#[track_caller]
fn still_serves(host: &Host, id: u128) {
    let stored = entries::wait(host.remote().append(&entries::denied(id, "a"), Durability::Sync));
    let _ = stored.unwrap();
    host.verify();
}

#[test]
fn what_is_no_message_ends_the_conversation_and_nothing_else() {
    let host = Host::started();
    let hello = hello();
    let cases: [&[&[u8]]; 8] = [
        &[b"{}"],
        &[b"GET / HTTP/1.1"],
        &[b"{\"do\":\"read\",\"from\":0}"],
        &[&hello, &hello],
        &[&hello, b"{\"do\": \"checkpoint\"}"],
        &[&hello, b"{\"do\":\"read\",\"from\":-1}"],
        &[&hello, b"{\"do\":\"checkpoint\",\"more\":1}"],
        &[&hello, b"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["],
    ];
    for case in cases {
        let mut stream = say(&host.socket(), case);
        let mut last = None;
        while let Some(reply) = hear(&mut stream) {
            last = Some(reply);
        }
        assert!(matches!(last, Some(Reply::No(No { code: Code::Malformed, .. }))), "{last:?}");
    }
    for length in [0_u32, 1 << 21, u32::MAX] {
        let mut stream = UnixStream::connect(host.socket()).unwrap();
        stream.write_all(&length.to_be_bytes()).unwrap();
        let reply = hear(&mut stream);
        assert!(matches!(reply, Some(Reply::No(No { code: Code::Malformed, .. }))), "{reply:?}");
        assert_eq!(hear(&mut stream), None);
    }
    still_serves(&host, 1);
}

#[test]
fn what_is_no_record_is_refused_and_the_conversation_goes_on() {
    let host = Host::started();
    let text = |members: &[(&str, &str)]| {
        let member = |(name, value): &(&str, &str)| ((*name).to_owned(), Value::text(*value));
        Value::Object(members.iter().map(member).collect())
    };
    let id = ("id", "00000000000000000000000000000009");
    let cases = [
        (text(&[]), "`id` is missing"),
        (text(&[id]), "`event` is missing"),
        (text(&[id, ("event", "log.full")]), "do not state `log.full`"),
        (text(&[id, ("event", "decided")]), "is missing"),
        (text(&[id, ("event", "tool.pinned"), ("writer", "me")]), "no `writer`"),
        (text(&[id, ("event", "tool.pinned"), ("hash", "00")]), "no `hash`"),
        (text(&[id, ("event", "closed"), ("outcome", "forwarded")]), "is missing"),
        (text(&[id, ("event", "asked"), ("seq", "1")]), "no `seq`"),
    ];
    let mut stream = say(&host.socket(), &[&hello()]);
    assert!(matches!(hear(&mut stream), Some(Reply::Hello { .. })));
    for (request, (record, why)) in (0..).zip(cases) {
        let (durability, after, secrets) = (Durability::Sync, None, Vec::new());
        let call = Call::Append(Statement { request, durability, after, record, secrets });
        let mut frame = Vec::new();
        iddio_audit::wire::put(&mut frame, &call.to_bytes()).unwrap();
        stream.write_all(&frame).unwrap();
        let Some(Reply::No(No { code: Code::Malformed, reason })) = hear(&mut stream) else {
            panic!("{why}");
        };
        assert!(reason.contains(why), "{reason} is not {why}");
    }
    assert!(host.records().iter().all(|r| r.text("event").unwrap().starts_with("log.")));
}

#[test]
fn nobody_ends_or_takes_over_anothers_operation() {
    let host = Host::started();
    let sink = host.remote();
    let entry = entries::allowed(1);
    let seq = entries::wait(sink.append(&entry, Durability::Sync)).unwrap().seq();
    // Another process of another gateway.
    let said = host.speak(GATEWAY, "gateway", [1, 1, 1]).output().unwrap();
    let error = String::from_utf8(said.stderr).unwrap();
    assert!(error.contains("another process has this operation open"), "{error}");
    // The owner cannot decide twice, or end what is not open, or name another decision.
    let twice = entries::wait(sink.append(&entry, Durability::Sync)).unwrap_err().to_string();
    assert!(twice.contains("decided already"), "{twice}");
    let wrong = entries::closed_as(&entry, 1, seq + 5);
    assert!(entries::wait(sink.append(&wrong, Durability::Sync)).is_err());
    let absent = entries::closed(77, seq);
    let absent = entries::wait(sink.append(&absent, Durability::Sync)).unwrap_err().to_string();
    assert!(absent.contains("no such operation open"), "{absent}");
    let end = entries::closed_as(&entry, 1, seq);
    let _ = entries::wait(sink.append(&end, Durability::Sync)).unwrap();
    assert_eq!(host.verify().story.findings, []);
}

#[test]
fn half_frames_and_silence_keep_nobody_else_waiting() {
    let host = Host::started();
    let half = |bytes: &[u8]| {
        let mut stream = UnixStream::connect(host.socket()).unwrap();
        stream.write_all(bytes).unwrap();
        stream
    };
    let kept: Vec<_> = (0..60)
        .map(|place| match place % 3 {
            0 => half(&[]),
            1 => half(&[0, 0]),
            _ => half(&[0, 0, 200, 0, b'{', b'"']),
        })
        .collect();
    still_serves(&host, 1);
    drop(kept);
    still_serves(&host, 2);
}

#[test]
fn a_flood_of_refusals_is_counted_and_paid_by_whoever_floods() {
    let host = Host::started();
    let remote = host.remote();
    for id in 1..=400 {
        let _ =
            entries::wait(remote.append(&entries::denied(id, "noisy"), Durability::Write)).unwrap();
    }
    let counting = host.until(|record| record.text("event") == Some("refusals.counting"));
    assert_eq!(counting.text("agent"), Some("noisy"));
    assert!(host.records().len() < 350, "{}", host.records().len());
    still_serves(&host, 1_000);
}

#[test]
fn a_squatter_at_the_socket_is_told_nothing() {
    let host = Host::new("");
    std::fs::set_permissions(host.path("run"), std::fs::Permissions::from_mode(0o777)).unwrap();
    let mut squatter = host.speak(STRANGER, "squat", [0, 0, 0]).spawn().unwrap();
    let mut said = std::io::BufReader::new(squatter.stdout.take().unwrap());
    let mut line = String::new();
    std::io::BufRead::read_line(&mut said, &mut line).unwrap();
    let remote = Remote::at(&host.socket(), KEEPER);
    let refused = remote.head().unwrap_err();
    assert!(matches!(refused, RemoteError::Squatter { uid: STRANGER, .. }), "{refused}");
    line.clear();
    std::io::BufRead::read_line(&mut said, &mut line).unwrap();
    assert_eq!(line, "0\n", "it was told something");
    // And the service does not put its socket where others could put theirs.
    let mut service = Command::new(env!("CARGO_BIN_EXE_iddio-logd"));
    std::os::unix::process::CommandExt::uid(&mut service, KEEPER);
    service.arg("--config").arg(host.config()).arg("--socket").arg(host.path("run/other.sock"));
    let ended = service.output().unwrap();
    let error = String::from_utf8(ended.stderr).unwrap();
    assert!(error.contains("others could put a socket of their own"), "{error}");
    squatter.kill().unwrap();
    squatter.wait().unwrap();
}

#[test]
fn a_configuration_that_others_may_write_is_not_read() {
    let host = Host::new("");
    std::fs::set_permissions(host.config(), std::fs::Permissions::from_mode(0o666)).unwrap();
    let mut service = Command::new(env!("CARGO_BIN_EXE_iddio-logd"));
    let ended = service.arg("--config").arg(host.config()).output().unwrap();
    assert!(String::from_utf8_lossy(&ended.stderr).contains("may be written by others"));
}

#[test]
fn the_log_is_closed_to_everybody_but_its_keeper() {
    let host = Host::started();
    let mut cat = Command::new("cat");
    std::os::unix::process::CommandExt::uid(&mut cat, GATEWAY);
    std::os::unix::process::CommandExt::gid(&mut cat, GATEWAY);
    let ended = cat.arg(host.log().join("0000000001.jsonl")).output().unwrap();
    assert!(!ended.status.success() && ended.stdout.is_empty());
}
