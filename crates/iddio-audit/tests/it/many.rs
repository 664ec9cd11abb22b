//! Many at once on one chain.

use std::thread;

use iddio_audit::verify::verify;

use crate::kit::{open, run};

#[test]
fn a_log_that_was_written_verifies() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    (1..=20).for_each(|id| run(&log, id));
    drop(log);
    let report = verify(&dir.path().join("audit"), 1).unwrap();
    assert_eq!(report.bad, None);
    assert_eq!(report.story.records, 41);
    assert_eq!((report.story.decided, report.story.closed), (20, 20));
    assert_eq!(report.story.findings, []);
}

#[test]
fn many_callers_of_several_logs_share_one_chain() {
    let dir = tempfile::tempdir().unwrap();
    let logs: Vec<_> = (0..4).map(|_| open(dir.path())).collect();
    thread::scope(|scope| {
        for (place, log) in logs.iter().enumerate() {
            for caller in 0..8 {
                let first = (place * 8 + caller) as u128 * 1_000;
                scope.spawn(move || (first..first + 25).for_each(|id| run(log, id + 1)));
            }
        }
    });
    drop(logs);
    let report = verify(&dir.path().join("audit"), 2).unwrap();
    assert_eq!(report.bad, None);
    assert_eq!(report.story.records, 1 + 4 * 8 * 25 * 2);
    assert_eq!(report.story.findings, []);
}
