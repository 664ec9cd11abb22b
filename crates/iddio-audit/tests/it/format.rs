//! The format document and its checker, held against the code (L08).

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use iddio_audit::verify::verify;
use iddio_core::{
    audit::{
        AdminEvent, Body, Field,
        chain::Head,
        line::Fragment,
        secret::{Commit, Commitment},
        verify::Verifier,
    },
    digest::Digest,
    operation::OperationId,
    text::RawText,
};

use crate::kit::{allowed, closed, entry, factor, open, run};

/// Commits to nothing: the example holds no secret.
struct Nothing;

impl Commit for Nothing {
    fn commit(&self, _: &str, _: &[u8]) -> Commitment {
        Commitment { key: String::new(), mac: [0; 32] }
    }
}

fn docs(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(name)
}

/// The three records of the worked example.
fn example() -> String {
    let fields = vec![
        ("checkpoint_key", Field::Digest(Digest::from_bytes([7; 32]))),
        ("format", Field::Int(1)),
        ("host", Field::Text(RawText::from("web-1"))),
        ("log_id", Field::Text(RawText::from(OperationId(0x10c).to_string()))),
    ];
    let created = AdminEvent { event: "log.created", principal: None, fields };
    let entries = [entry(1, Body::Admin(created)), allowed(2), closed(2, 1)];
    let (mut head, mut lines) = (Head::GENESIS, Vec::new());
    for entry in &entries {
        let writer = "0000000000000000000000000000b007-4242-1234567";
        let fragment = Fragment::new(entry, writer, &Nothing).unwrap();
        let hash = fragment.seal(&head, &mut lines);
        head = Head::after(head.seq(), hash);
    }
    String::from_utf8(lines).unwrap()
}

#[test]
fn the_worked_example_is_what_the_log_writes() {
    let document = fs::read_to_string(docs("audit-format.md")).unwrap();
    let example = example();
    assert!(document.contains(&example), "the document should say:\n{example}");
    let mut verifier = Verifier::new();
    for line in example.lines() {
        let _ = verifier.feed(line.as_bytes()).unwrap();
        // The document also spells out what is hashed for the first record.
    }
    let first = example.lines().next().unwrap();
    let hash = &first[first.find("\"hash\":\"").unwrap() + 8..][..64];
    let unhashed = first.replacen(&format!("\"hash\":\"{hash}\","), "", 1);
    assert!(document.contains(&unhashed), "the document should say:\n{unhashed}");
    assert_eq!(Digest::of_bytes(unhashed.as_bytes()).to_hex(), hash);
}

#[test]
fn the_checker_in_the_documentation_is_short() {
    let lines = fs::read_to_string(docs("verify.py")).unwrap().lines().count();
    assert!(lines <= 40, "{lines} lines");
}

#[test]
fn a_stranger_with_python_finds_what_the_verifier_finds() {
    let home = tempfile::tempdir().unwrap();
    let log = open(home.path());
    (1..=4).for_each(|id| run(&log, id));
    drop(log);
    let dir = home.path().join("audit");
    let head = verify(&dir, 1).unwrap().head.unwrap();
    let (sound, said) = checker(&dir);
    assert!(sound, "{said}");
    assert_eq!(said.trim(), format!("ok 9 records, head {head}"));
    let segment = dir.join("0000000001.jsonl");
    let bytes = fs::read(&segment).unwrap();
    let step = bytes.len() / (12 * usize::try_from(factor()).unwrap());
    for place in (0..bytes.len() - 1).step_by(step.max(1)) {
        let mut mutated = bytes.clone();
        mutated[place] = mutated[place].wrapping_add(1);
        fs::write(&segment, &mutated).unwrap();
        let bad = verify(&dir, 1).unwrap().bad.unwrap();
        let (sound, said) = checker(&dir);
        assert!(!sound && said.starts_with(&format!("bad record {} ", bad.seq)), "{said}");
    }
}

fn checker(dir: &Path) -> (bool, String) {
    let done = Command::new("python3").arg(docs("verify.py")).arg(dir).output().unwrap();
    let said = [done.stdout, done.stderr].concat();
    (done.status.success(), String::from_utf8(said).unwrap())
}
