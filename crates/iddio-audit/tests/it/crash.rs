//! Writers that are killed, at every step and at any moment (F1, F15, N1, N2).
//!
//! The parent keeps what each writer said was acknowledged. Whatever happens to the writers, every
//! acknowledged record stands in the log, once, and the chain holds.

use std::{
    collections::BTreeMap,
    env,
    io::Read,
    ops::ControlFlow,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use iddio_audit::{
    query::{Filter, query},
    verify::verify,
};

use crate::kit::{factor, open, run};

/// What was acknowledged: seq to id and hash.
type Acks = BTreeMap<u64, (String, String)>;

#[test]
fn a_writer_killed_at_any_step_loses_nothing_it_acknowledged() {
    let home = tempfile::tempdir().unwrap();
    let (dir, mut acks) = (home.path().join("audit"), Acks::new());
    let mut killed = 0;
    for (turn, how) in ["before", "tear", "after"].iter().enumerate() {
        for step in 1..=60 * factor() {
            let first = (turn as u64 * 10_000 + step) * 10;
            let kill = format!("{how}:{step}");
            let child = spawn(&dir, first, 3, 1, Some(&kill));
            killed += u32::from(!collect(child, &mut acks));
            check(&dir, &acks);
        }
    }
    assert!(100 < killed, "only {killed} writers were killed");
    settle(home.path(), &acks);
}

#[test]
fn writers_killed_at_any_moment_lose_nothing_they_acknowledged() {
    let home = tempfile::tempdir().unwrap();
    let (dir, mut acks) = (home.path().join("audit"), Acks::new());
    for round in 0..6 * factor() {
        let children = (0..10).map(|place| {
            let first = (round * 10 + place) * 100_000 + 1;
            // Every other one is killed, each at another step.
            let kill = format!("tear:{}", 40 + place * 37 + round * 11);
            spawn(&dir, first, 30, 3, (place % 2 == 0).then_some(kill.as_str()))
        });
        let children: Vec<Child> = children.collect();
        for child in children {
            collect(child, &mut acks);
        }
        check(&dir, &acks);
    }
    settle(home.path(), &acks);
}

/// Runs one more writer to its end and expects a log without a single finding.
fn settle(home: &Path, acks: &Acks) {
    let log = open(home);
    run(&log, u128::MAX);
    drop(log);
    check(&home.join("audit"), acks);
    let report = verify(&home.join("audit"), 2).unwrap();
    assert_eq!(report.story.findings, [], "{report:?}");
    assert_eq!(report.unfinished, 0);
    assert!(0 < report.story.abandoned && 0 < report.story.withdrawn, "{report:?}");
}

/// Checks that the chain holds and that every acknowledged record stands in it.
fn check(dir: &Path, acks: &Acks) {
    if !dir.exists() {
        return;
    }
    let report = verify(dir, 1).unwrap();
    assert_eq!(report.bad, None);
    let mut found = Acks::new();
    let each = |record: iddio_audit::query::Record| {
        let text = |name| record.text(name).unwrap().to_owned();
        let seq = record.int("seq").unwrap();
        assert_eq!(found.insert(seq, (text("id"), text("hash"))), None);
        ControlFlow::Continue(())
    };
    query(dir, &Filter::default(), each).unwrap();
    for (seq, ack) in acks {
        assert_eq!(found.get(seq), Some(ack), "record {seq} was acknowledged");
    }
}

fn spawn(dir: &Path, first: u64, count: u64, threads: u64, kill: Option<&str>) -> Child {
    let mut command = Command::new(writer());
    command.arg(dir).args([first, count, threads].map(|n| n.to_string()));
    if let Some(kill) = kill {
        command.env("IDDIO_TEST_KILL", kill);
    }
    command.stdout(Stdio::piped()).stdin(Stdio::null()).spawn().unwrap()
}

/// Waits for a writer and takes down what it said; whether it came to its end.
fn collect(mut child: Child, acks: &mut Acks) -> bool {
    let mut said = String::new();
    child.stdout.take().unwrap().read_to_string(&mut said).unwrap();
    let ended = child.wait().unwrap();
    for line in said.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')) {
        let words: Vec<&str> = line.split(' ').collect();
        let ack = (words[1].to_owned(), words[2].to_owned());
        let seq = words[0].parse().unwrap();
        assert_eq!(acks.insert(seq, ack), None, "{seq} was acknowledged twice");
    }
    assert!(ended.success() || ended.code().is_none(), "{ended}");
    ended.success()
}

/// The example program that the tests of this crate build with themselves.
fn writer() -> PathBuf {
    let own = env::current_exe().unwrap();
    let path = own.parent().unwrap().parent().unwrap().join("examples/writer");
    assert!(path.exists(), "build it first: cargo build -p iddio-audit --examples");
    path
}
