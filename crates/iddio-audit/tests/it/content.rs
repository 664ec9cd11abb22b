//! What stands in a record, whatever is put in (L05, L06, E13, E28).

use std::{fs, path::Path, sync::Arc};

use iddio_audit::{
    commitments::{Erased, Matches, erase, matches},
    query::{Filter, Record, Tail, last, show},
    verify::verify,
};
use iddio_core::{
    audit::{
        AdminEvent, AuditSink, Body, ClosedRecord, DecisionRecord, End, Field, Outcome,
        secret::Commitment,
    },
    digest::Digest,
    json::Value,
    operation::Operations,
    policy::Verdict,
    text::RawText,
};

use crate::kit::{
    allowed, append, asked, closed, decision, denied, entry, open, operation, run, subject,
};

fn records(home: &Path) -> Vec<Record> {
    last(&home.join("audit"), &Filter::default(), usize::MAX).unwrap()
}

fn decided_with(argv: &[&[u8]]) -> Arc<DecisionRecord> {
    Arc::new(DecisionRecord {
        subject: subject("claude-code", operation(argv)),
        decision: decision(Verdict::Allow),
        answer: None,
        refusal: None,
        latency_us: 1,
    })
}

#[test]
fn a_newline_or_json_in_any_field_stays_in_its_field() {
    let evil = "x\"},{\"event\":\"decided\"\n{\"seq\":0}\r\u{2028}\u{0}\u{1b}[2J\\";
    let home = tempfile::tempdir().unwrap();
    let log = open(home.path());
    let mut operation = operation(&[b"terraform", evil.as_bytes()]);
    let description = &mut operation.description;
    let fields = [
        &mut description.command,
        &mut description.method,
        &mut description.path,
        &mut description.namespace,
        &mut description.resource,
        &mut description.workspace,
    ];
    fields.into_iter().for_each(|field| *field = Some(evil.to_owned()));
    let mut subject = subject("claude-code", operation);
    subject.principal.tenant = Some(evil.to_owned());
    subject.principal.task = Some(evil.to_owned());
    let mut decision = decision(Verdict::Allow);
    (decision.rule, decision.runbook) = (evil.into(), Some(evil.into()));
    decision.reason = Some(evil.into());
    let decided = DecisionRecord { subject, decision, answer: None, refusal: None, latency_us: 1 };
    let decided = Arc::new(decided);
    let receipt = append(&log, &entry(1, Body::Decided(decided.clone()))).unwrap();
    let end = End { note: Some(evil.to_owned()), ..End::of(Outcome::Forwarded) };
    let body = ClosedRecord { decided_seq: receipt.seq(), decided, end };
    let _ = append(&log, &entry(1, Body::Closed(body))).unwrap();
    let fields = vec![("what", Field::Text(RawText::from(evil)))];
    let event = AdminEvent { event: "policy.loaded", principal: None, fields };
    let _ = append(&log, &entry(2, Body::Admin(event))).unwrap();
    drop(log);
    let report = verify(&home.path().join("audit"), 1).unwrap();
    assert_eq!((report.bad, report.story.records), (None, 4));
    let records = records(home.path());
    let names = ["command", "method", "path", "namespace", "resource", "workspace", "tenant"];
    for name in names.into_iter().chain(["task_id", "rule", "runbook", "reason", "note"]) {
        assert_eq!(records[2].text(name), Some(evil), "{name}");
    }
    assert_eq!(records[3].text("what"), Some(evil));
}

#[test]
fn a_field_that_the_chain_assigns_is_nobody_elses() {
    let home = tempfile::tempdir().unwrap();
    let log = open(home.path());
    for name in ["hash", "prev_hash", "seq", "id", "writer", "timestamp", "event"] {
        let fields = vec![(name, Field::Int(1))];
        let event = AdminEvent { event: "policy.loaded", principal: None, fields };
        assert!(append(&log, &entry(1, Body::Admin(event))).is_err(), "{name}");
    }
}

#[test]
fn arguments_that_are_not_text_are_stored_as_they_are() {
    let home = tempfile::tempdir().unwrap();
    let log = open(home.path());
    let argv: [&[u8]; 3] = [b"terraform", b"\xff\xfe\x00x", "é".as_bytes()];
    let _ = append(&log, &entry(1, Body::Decided(decided_with(&argv)))).unwrap();
    drop(log);
    let records = records(home.path());
    let tagged = Value::Object(vec![("base64".to_owned(), Value::text("//4AeA=="))]);
    let wanted = Value::Array(vec![Value::text("terraform"), tagged, Value::text("é")]);
    assert_eq!(records[1].value.member("argv"), Some(&wanted));
}

#[test]
fn a_record_that_is_too_long_is_refused_and_the_next_one_is_not() {
    let home = tempfile::tempdir().unwrap();
    let log = open(home.path());
    let long = vec![b'x'; 2 << 20];
    let error = append(&log, &entry(1, Body::Decided(decided_with(&[&long])))).unwrap_err();
    assert!(error.to_string().contains("bytes"), "{error}");
    run(&log, 2);
}

#[test]
fn a_secret_is_nowhere_in_the_log_and_can_be_checked_until_its_key_is_erased() {
    let secret = b"hunter2-canary-91d7f0";
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("audit");
    let log = open(home.path());
    let word = [b"--password=", &secret[..]].concat();
    let argv: [&[u8]; 3] = [b"psql", &word, b"--host=db"];
    let _ = append(&log, &entry(1, Body::Decided(decided_with(&argv)))).unwrap();
    drop(log);
    for file in files(&dir) {
        let bytes = fs::read(&file).unwrap();
        let found = bytes.windows(secret.len()).any(|window| window == secret);
        assert!(!found, "{}", file.display());
        let plain = Digest::of_bytes(secret).to_hex();
        assert!(!bytes.windows(64).any(|window| window == plain.as_bytes()));
    }
    let records = records(home.path());
    let words = records[1].value.member("argv").unwrap().clone();
    let shown = ["psql", "--password=[password]", "--host=db"].map(Value::text).to_vec();
    assert_eq!(words, Value::Array(shown));
    let Some(Value::Array(commitments)) = records[1].value.member("commitments") else { panic!() };
    let text = |name: &str| commitments[0].member(name).unwrap().as_text().unwrap();
    let mac = *Digest::from_hex(text("hmac")).unwrap().as_bytes();
    let commitment = Commitment { key: text("key").to_owned(), mac };
    let check = |bytes: &[u8]| matches(&dir, &commitment, text("field"), bytes).unwrap();
    assert_eq!(check(secret), Some(Matches::Yes));
    assert_eq!(check(b"hunter3"), Some(Matches::No));
    assert_eq!(erase(&dir, &commitment.key).unwrap(), Erased::Now);
    assert_eq!(check(secret), None);
    assert_eq!(erase(&dir, &commitment.key).unwrap(), Erased::Absent);
    assert_eq!(verify(&dir, 1).unwrap().bad, None);
}

fn files(dir: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

#[test]
fn several_operations_are_all_told_and_the_worst_stands_in_front() {
    let home = tempfile::tempdir().unwrap();
    let log = open(home.path());
    let mut worse = operation(&[b"kubectl", b"delete", b"ns", b"prod"]);
    worse.tier = iddio_core::tier::Tier::BreakGlass;
    worse.protocol = iddio_core::operation::Protocol::Kubernetes;
    let mut record = (*decided_with(&[b"terraform", b"plan"])).clone();
    let both = [record.subject.operations.worst().clone(), worse];
    record.subject.operations = Operations::many(both).unwrap();
    let _ = append(&log, &entry(1, Body::Decided(Arc::new(record)))).unwrap();
    drop(log);
    let records = records(home.path());
    assert_eq!(records[1].text("protocol"), Some("kubernetes"));
    assert_eq!(records[1].int("native_tier"), Some(4));
    let Some(Value::Array(all)) = records[1].value.member("operations") else { panic!() };
    assert_eq!(all.len(), 2);
    assert_eq!(all[0].member("protocol"), Some(&Value::text("terraform")));
}

#[test]
fn a_closed_record_tells_the_whole_story_alone() {
    let home = tempfile::tempdir().unwrap();
    let log = open(home.path());
    let decided = append(&log, &allowed(7)).unwrap();
    let _ = append(&log, &closed(7, decided.seq())).unwrap();
    drop(log);
    let story = show(&home.path().join("audit"), &format!("{:032x}", 7)).unwrap();
    assert_eq!(story.len(), 2);
    let names = ["timestamp", "agent", "protocol", "command", "workspace", "decision", "hash"];
    for name in names.into_iter().chain(["prev_hash", "action_digest", "writer", "policy_version"])
    {
        assert!(story[1].text(name).is_some(), "{name}");
    }
    let ints = ["tier", "native_tier", "exit_code", "duration_ms", "latency_us", "decided_seq"];
    ints.into_iter().for_each(|name| assert!(story[1].int(name).is_some(), "{name}"));
    assert_eq!(story[1].text("outcome"), Some("forwarded"));
}

#[test]
fn queries_find_what_they_ask_for() {
    let home = tempfile::tempdir().unwrap();
    let log = open(home.path());
    run(&log, 1);
    let _ = append(&log, &denied(2, "other")).unwrap();
    drop(log);
    let dir = home.path().join("audit");
    let some = |text: &str| Some(text.to_owned());
    let none = Filter::default;
    let cases = [
        (none(), 4),
        (Filter { agent: some("other"), ..none() }, 1),
        (Filter { agent: some("nobody"), ..none() }, 0),
        (Filter { decision: some("allow"), ..none() }, 2),
        (Filter { event: some("closed"), ..none() }, 1),
        (Filter { outcome: some("forwarded"), ..none() }, 1),
        (Filter { tier_min: Some(2), ..none() }, 3),
        (Filter { tier_min: Some(3), ..none() }, 0),
        (Filter { since: some("2026-11-20"), ..none() }, 4),
        (Filter { since: some("2026-11-21"), ..none() }, 0),
        (Filter { until: some("2026-11-20"), ..none() }, 0),
        (Filter { id_prefix: some("0000000000000000000000000000000"), ..none() }, 3),
    ];
    for (filter, count) in cases {
        assert_eq!(last(&dir, &filter, 100).unwrap().len(), count, "{filter:?}");
    }
    assert_eq!(last(&dir, &none(), 2).unwrap()[0].int("seq"), Some(2));
}

#[test]
fn a_tail_sees_every_record_across_segments() {
    let home = tempfile::tempdir().unwrap();
    let mut options = crate::kit::options();
    options.segment_bytes = 3 << 10;
    let dir = home.path().join("audit");
    let log = iddio_audit::Log::open(&dir, options).unwrap();
    run(&log, 1);
    let mut late = Tail::from_end(&dir).unwrap();
    let mut all = Tail::from_start(&dir).unwrap();
    let wait = std::time::Duration::from_secs(30);
    std::thread::scope(|scope| {
        let log = &log;
        scope.spawn(move || (2..=30).for_each(|id| run(log, id)));
        for seq in 0..61 {
            let line = all.next_line(wait).unwrap().unwrap();
            let record = Value::read(&line).unwrap();
            assert_eq!(record.member("seq"), Some(&Value::Int(seq)));
        }
        for seq in 3..61 {
            let line = late.next_line(wait).unwrap().unwrap();
            assert_eq!(Value::read(&line).unwrap().member("seq"), Some(&Value::Int(seq)));
        }
    });
    assert_eq!(all.next_line(std::time::Duration::ZERO).unwrap(), None);
}

#[test]
fn what_the_pipeline_lost_track_of_is_closed() {
    let home = tempfile::tempdir().unwrap();
    let log = open(home.path());
    let decided = append(&log, &allowed(1)).unwrap();
    let _ = append(&log, &asked(2)).unwrap();
    [1, 2, 3].iter().for_each(|id| log.orphan(iddio_core::operation::OperationId(*id)));
    log.finish().unwrap();
    let records = records(home.path());
    let ends: Vec<_> = records[3..].iter().map(|record| record.text("outcome").unwrap()).collect();
    assert_eq!(ends, ["abandoned", "withdrawn"]);
    assert_eq!(records[3].int("decided_seq"), Some(decided.seq()));
    // The owner was slow, not gone: its true end is told apart, and is no oddity.
    let _ = append(&log, &closed(1, decided.seq())).unwrap();
    drop(log);
    let story = verify(&home.path().join("audit"), 1).unwrap().story;
    assert_eq!((story.abandoned, story.withdrawn, story.closed_late), (1, 1, 1));
    assert_eq!(story.findings, []);
}
