//! What the service does for those who behave.

use std::thread;

use iddio_audit::{
    checkpoint::{Signed, signed_by},
    verify::{Standing, verify_against},
    wire::{Call, Code, No, Reply, Statement},
};
use iddio_core::{
    audit::{
        AuditSink, Body, Durability, Outcome,
        checkpoint::Note,
        line::stated,
        secret::{Commit, Commitment},
    },
    digest::Digest,
};

use crate::kit::{Acks, GATEWAY, Host, KEEPER, STRANGER, acks, entries, hear, hello, say};

#[test]
fn a_record_says_which_user_and_process_wrote_it_whatever_that_claims() {
    let host = Host::started();
    let mut client = host.speak(GATEWAY, "gateway", [1, 10, 2]).spawn().unwrap();
    let pid = client.id();
    assert!(client.wait().unwrap().success());
    let said = client.wait_with_output().unwrap();
    let mut got = Acks::new();
    acks(&said.stdout, &mut got);
    assert!(50 <= got.len() + 10, "{}", got.len());
    host.check(&got);
    for seq in got.keys() {
        let records = host.records();
        let record = &records[usize::try_from(*seq).unwrap()];
        let uid = record.value.member("peer").and_then(|peer| peer.member("uid")?.as_int());
        assert_eq!(uid, Some(u64::from(GATEWAY)));
        assert_eq!(record.text("writer").unwrap().split('-').nth(1), Some(&*pid.to_string()));
        assert!(
            record.text("timestamp").unwrap() > "2026-11-20T15:03:07.000001Z"
                || record.text("timestamp").unwrap().starts_with("20")
        );
    }
    let report = host.verify();
    assert_eq!(report.story.findings, []);
    assert_eq!(report.story.closed, 20);
}

#[test]
fn a_user_speaks_for_itself_and_not_for_an_agent() {
    let host = Host::started();
    let said = host.speak(STRANGER, "gateway", [1, 1, 1]).output().unwrap();
    let error = String::from_utf8(said.stderr).unwrap();
    assert!(error.contains("`local:bin` may not speak for `claude-code`"), "{error}");
    let own = |name: &str| {
        host.speak(STRANGER, "own", [3, 1, 1]).env("IDDIO_TEST_USER", name).output().unwrap()
    };
    assert!(own("bin").status.success());
    let error = String::from_utf8(own("root").stderr).unwrap();
    assert!(error.contains("`local:bin` may not speak for `local:root`"), "{error}");
    let agents: Vec<_> =
        host.records().iter().filter_map(|r| Some(r.text("agent")?.to_owned())).collect();
    assert_eq!(agents, ["local:bin", "local:bin"]);
}

#[test]
fn the_configuration_says_for_which_agents_a_user_speaks() {
    let mut host = Host::new("[speaks]\nbin = [\"claude-code\"]");
    host.start();
    let said = host.speak(STRANGER, "gateway", [1, 1, 1]).output().unwrap();
    // It may speak for that agent, and that agent acts for nobody but it.
    let error = String::from_utf8(said.stderr).unwrap();
    assert!(error.contains("may not say for whom others act"), "{error}");
}

#[test]
fn what_a_dead_client_left_open_is_closed_as_abandoned() {
    let host = Host::started();
    let mut client = host.speak(GATEWAY, "hold", [1, 3, 1]).spawn().unwrap();
    host.until(|record| record.text("id") == Some("00000000000000000000000000000003"));
    assert!(host.records().iter().all(|record| record.text("event") != Some("closed")));
    client.kill().unwrap();
    client.wait().unwrap();
    for id in 1..=3 {
        let id = format!("{id:032x}");
        let end = host.until(|r| r.text("id") == Some(&id) && r.text("event") == Some("closed"));
        assert_eq!(end.text("outcome"), Some("abandoned"));
        assert_eq!(end.text("agent"), Some("claude-code"));
    }
    assert_eq!(host.verify().story.findings, []);
}

#[test]
fn a_client_that_outlives_the_service_keeps_its_operations() {
    let mut host = Host::started();
    let sink = host.remote();
    let entry = entries::allowed(7);
    let seq = entries::wait(sink.append(&entry, Durability::Sync)).unwrap().seq();
    host.kill();
    host.start();
    // One more turn: what a dead service left is looked at in the first.
    let _ =
        entries::wait(sink.append(&entries::denied(8, "claude-code"), Durability::Sync)).unwrap();
    let closed = entries::closed_as(&entry, 7, seq);
    let _ = entries::wait(sink.append(&closed, Durability::Sync)).unwrap();
    let story = host.verify().story;
    assert_eq!((story.findings, story.abandoned, story.closed), (vec![], 0, 1));
}

#[test]
fn an_owner_may_say_every_way_an_operation_ends_but_the_services_own() {
    let host = Host::started();
    let sink = host.remote();
    // A new way to end does not compile until it stands here.
    let says = |outcome| match outcome {
        Outcome::Abandoned
        | Outcome::Forwarded
        | Outcome::Frozen
        | Outcome::NotForwarded
        | Outcome::TimedOut => true,
        Outcome::Withdrawn => false,
    };
    let outcomes = [
        Outcome::Abandoned,
        Outcome::Forwarded,
        Outcome::Frozen,
        Outcome::NotForwarded,
        Outcome::TimedOut,
        Outcome::Withdrawn,
    ];
    for (id, outcome) in (1..).zip(outcomes) {
        let decided = entries::allowed(id);
        let seq = entries::wait(sink.append(&decided, Durability::Sync)).unwrap().seq();
        let mut closed = entries::closed_as(&decided, id, seq);
        if let Body::Closed(record) = &mut closed.body {
            record.end.outcome = outcome;
        }
        let stored = entries::wait(sink.append(&closed, Durability::Sync));
        assert_eq!(stored.is_ok(), says(outcome), "{outcome:?} {stored:?}");
    }
}

#[test]
fn an_end_waits_for_a_service_that_comes_back() {
    let mut host = Host::started();
    let sink = host.remote();
    let entry = entries::allowed(7);
    let seq = entries::wait(sink.append(&entry, Durability::Sync)).unwrap().seq();
    host.kill();
    let closed = entries::closed_as(&entry, 7, seq);
    thread::scope(|scope| {
        let closing = scope.spawn(|| entries::wait(sink.append(&closed, Durability::Sync)));
        // What has not happened is refused meanwhile, and does not wait.
        let next = entries::denied(8, "claude-code");
        assert!(entries::wait(host.remote().append(&next, Durability::Sync)).is_err());
        host.start();
        assert!(closing.join().unwrap().is_ok());
    });
    let story = host.verify().story;
    assert_eq!((story.findings, story.abandoned, story.closed), (vec![], 0, 1));
}

#[test]
fn what_lost_its_end_while_the_service_was_away_is_told_with_the_next_record() {
    let mut host = Host::started();
    let sink = host.remote();
    let entry = entries::allowed(7);
    let _ = entries::wait(sink.append(&entry, Durability::Sync)).unwrap();
    host.kill();
    sink.orphan(entry.id);
    host.start();
    // This process lives on, as a gateway does: nobody waits for its end.
    let next =
        |id| entries::wait(sink.append(&entries::denied(id, "claude-code"), Durability::Sync));
    let _ = next(8).unwrap();
    let _ = next(9).unwrap();
    let story = host.verify().story;
    assert_eq!((story.findings, story.abandoned), (vec![], 1));
}

/// Commits to nothing: the entries of these tests hold no secret.
struct Nothing;

impl Commit for Nothing {
    fn commit(&self, _: &str, _: &[u8]) -> Commitment {
        Commitment { key: String::new(), mac: [0; 32] }
    }
}

fn statement(id: u128, request: u128, after: Option<u64>) -> Vec<u8> {
    let record = stated::state(&entries::allowed(id), &Nothing);
    let durability = Durability::Sync;
    let secrets = Vec::new();
    Call::Append(Statement { request, durability, after, record, secrets }).to_bytes().to_vec()
}

#[test]
fn an_append_that_is_asked_again_is_one_record_even_after_a_restart() {
    let mut host = Host::started();
    let ask = |host: &Host, after| {
        let mut stream = say(&host.socket(), &[&hello(), &statement(5, 99, after)]);
        assert!(matches!(hear(&mut stream), Some(Reply::Hello { .. })));
        hear(&mut stream).unwrap()
    };
    let first = ask(&host, None);
    assert!(matches!(first, Reply::Receipt { .. }), "{first:?}");
    assert_eq!(ask(&host, Some(1)), first);
    host.kill();
    host.start();
    // The process that asked first still lives, so the operation is open, and the answer is known.
    assert_eq!(ask(&host, Some(1)), first);
    let stored = host.records().iter().filter(|r| r.text("event") == Some("decided")).count();
    assert_eq!(stored, 1);
}

#[test]
fn secrets_go_to_the_keeper_and_only_commitments_into_the_log() {
    let host = Host::started();
    let sink = host.remote();
    let mut entry = entries::allowed(1);
    if let iddio_core::audit::Body::Decided(record) = &mut entry.body {
        let mut own = iddio_core::audit::DecisionRecord::clone(record);
        let words: [&[u8]; 3] = [b"helm", b"upgrade", b"--password=hunter2-canary"];
        own.subject = entries::subject("claude-code", entries::operation(&words));
        *record = std::sync::Arc::new(own);
    }
    let _ = entries::wait(sink.append(&entry, Durability::Sync)).unwrap();
    let record = host.until(|record| record.text("event") == Some("decided"));
    let line = String::from_utf8(record.line.clone()).unwrap();
    assert!(!line.contains("hunter2-canary") && line.contains("[password]"), "{line}");
    let key = record.value.member("commitments").and_then(|list| match list {
        iddio_core::json::Value::Array(list) => list[0].member("key")?.as_text(),
        _ => None,
    });
    assert!(key.is_some_and(|key| host.log().join(format!("commitments/{key}.key")).exists()));
}

#[test]
fn five_hundred_clients_at_once_are_all_served() {
    let host = Host::started();
    let sinks: Vec<_> = (0..500).map(|_| host.remote()).collect();
    thread::scope(|scope| {
        for (place, sink) in sinks.iter().enumerate() {
            scope.spawn(move || {
                let id = place as u128 + 1;
                let entry = entries::allowed(id);
                let seq = entries::wait(sink.append(&entry, Durability::Sync)).unwrap().seq();
                let end = entries::closed_as(&entry, id, seq);
                let _ = entries::wait(sink.append(&end, Durability::Sync)).unwrap();
            });
        }
    });
    let story = host.verify().story;
    assert_eq!((story.decided, story.closed, story.findings), (500, 500, vec![]));
}

#[test]
fn readers_read_and_others_do_not() {
    let mut host = Host::new("readers = [\"nobody\"]");
    host.start();
    host.speak(GATEWAY, "gateway", [1, 5, 1]).output().unwrap();
    let said = host.speak(GATEWAY, "read", [0, 0, 0]).output().unwrap();
    let own: Vec<u8> = host.records().iter().flat_map(|r| [&*r.line, b"\n"].concat()).collect();
    assert!(own.starts_with(&said.stdout) && !said.stdout.is_empty());
    let said = host.speak(STRANGER, "read", [0, 0, 0]).output().unwrap();
    assert!(String::from_utf8_lossy(&said.stderr).contains("`local:bin` may not read the log"));
    let (lines, next) = host.remote().read(3).unwrap();
    assert!(lines.starts_with(&host.records()[3].line));
    assert_eq!(host.remote().read(next).unwrap(), (Vec::new(), next));
}

#[test]
fn checkpoints_are_signed_and_left_in_other_places() {
    let mut host = Host::new("");
    let more = format!(
        "checkpoint_file = {:?}\nsecond_log = {:?}\n",
        host.path("lib/checkpoints"),
        host.path("lib/second")
    );
    let config = std::fs::read_to_string(host.config()).unwrap() + &more;
    std::fs::write(host.config(), config).unwrap();
    host.start();
    host.speak(GATEWAY, "gateway", [1, 5, 1]).output().unwrap();
    let size = host.records().len() as u64;
    let until = std::time::Instant::now() + crate::kit::PATIENCE;
    let note = loop {
        let note = host.remote().checkpoint().unwrap().and_then(|text| Note::read(&text));
        match note {
            Some(note) if size <= note.checkpoint.size => break note,
            _ => assert!(std::time::Instant::now() < until, "{}", host.errors()),
        }
    };
    let key = host.records()[0].text("checkpoint_key").and_then(Digest::from_hex).unwrap();
    assert_eq!(signed_by(&note, key.as_bytes()), Signed::By);
    let report = verify_against(&host.log(), 1, &note, None).unwrap();
    assert_eq!(report.checkpoint, Some(Standing::Holds));
    // The places get it after it is kept, so they are asked until they have it.
    let signed = String::from_utf8(note.signed).unwrap();
    while !std::fs::read_to_string(host.path("lib/checkpoints"))
        .unwrap_or_default()
        .contains(&signed)
    {
        assert!(std::time::Instant::now() < until, "{}", host.errors());
    }
    assert!(host.path("lib/second").exists());
}

#[test]
fn where_the_service_is_away_nothing_is_recorded_and_that_is_said() {
    let host = Host::new("");
    let stored = entries::wait(host.remote().append(&entries::allowed(1), Durability::Write));
    let error = stored.unwrap_err().to_string();
    assert!(error.contains("is away") && error.contains("nothing can be recorded"), "{error}");
}

#[test]
fn the_service_speaks_one_version_and_says_so() {
    let host = Host::started();
    let mut stream = say(&host.socket(), &[&Call::Hello(7).to_bytes()]);
    let reply = hear(&mut stream).unwrap();
    assert!(matches!(reply, Reply::No(No { code: Code::Version, .. })), "{reply:?}");
    assert_eq!(hear(&mut stream), None);
    assert_eq!(KEEPER, 1);
}
