//! A disk that fails (F1, F3, L04, E23, E24).

use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use iddio_audit::{
    Allowance, Budget, Disk, Fault, Faults, Log, Op, Repaired, Room,
    query::{Filter, last},
    status,
    verify::verify,
};
use iddio_core::{
    audit::{AuditSink, Durability},
    operation::OperationId,
};
use rustix::io::Errno;

use crate::kit::{
    BOOT, Ticking, allowed, append, asked, closed, denied, factor, open, options, run, wait,
};

/// Fails the n-th operation, or every one of a kind from the n-th on.
struct Failing {
    only: Option<Op>,
    left: AtomicU64,
    errno: Errno,
    after: Fault,
}

impl Failing {
    fn nth(n: u64, errno: Errno) -> Disk {
        let left = AtomicU64::new(n);
        Disk::with(Arc::new(Self { only: None, left, errno, after: Fault::None }))
    }

    fn from_nth(op: Op, n: u64, errno: Errno) -> Disk {
        let left = AtomicU64::new(n);
        Disk::with(Arc::new(Self { only: Some(op), left, errno, after: Fault::Fail(errno) }))
    }
}

impl Faults for Failing {
    fn before(&self, op: Op) -> Fault {
        if self.only.is_some_and(|only| only != op) {
            return Fault::None;
        }
        match self.left.load(Ordering::Relaxed) {
            0 => self.after,
            1 => {
                self.left.store(0, Ordering::Relaxed);
                Fault::Fail(self.errno)
            }
            left => {
                self.left.store(left - 1, Ordering::Relaxed);
                Fault::None
            }
        }
    }
}

fn open_on(home: &Path, disk: Disk) -> Result<Log, iddio_audit::OpenError> {
    let mut options = options();
    options.disk = disk;
    options.segment_bytes = 8 << 10;
    Log::open(&home.join("audit"), options)
}

fn told(home: &Path, event: &str) -> Vec<iddio_audit::query::Record> {
    let filter = Filter { event: Some(event.to_owned()), ..Filter::default() };
    last(&home.join("audit"), &filter, 1_000).unwrap()
}

#[test]
fn whichever_operation_fails_nothing_acknowledged_is_lost() {
    for errno in [Errno::IO, Errno::NOSPC, Errno::ROFS] {
        let home = tempfile::tempdir().unwrap();
        let mut acks = Vec::new();
        let mut failed = 0;
        for step in 1..=45 * factor() {
            // A sync that failed poisons the boot; what stands on the disk after the next is true.
            let mut options = options();
            options.clock = Ticking::in_boot(BOOT + u128::from(step));
            options.disk = Failing::nth(step, errno);
            options.segment_bytes = 4 << 10;
            let Ok(log) = Log::open(&home.path().join("audit"), options) else {
                failed += 1;
                continue;
            };
            for id in 0..3 {
                let id = u128::from(step) * 10 + id;
                match append(&log, &allowed(id)) {
                    Ok(receipt) => {
                        acks.push(receipt.clone());
                        acks.extend(append(&log, &closed(id, receipt.seq())));
                    }
                    Err(_) => {
                        failed += 1;
                        log.orphan(OperationId(id));
                    }
                }
            }
            drop(log);
            check(home.path(), &acks);
        }
        assert!(20 < failed, "only {failed} operations failed");
        let mut options = options();
        options.clock = Ticking::in_boot(0);
        let log = Log::open(&home.path().join("audit"), options).unwrap();
        run(&log, u128::MAX);
        drop(log);
        let report = verify(&home.path().join("audit"), 1).unwrap();
        assert_eq!(report.story.findings, [], "{errno}");
    }
}

fn check(home: &Path, acks: &[iddio_core::audit::Receipt]) {
    let report = verify(&home.join("audit"), 1).unwrap();
    assert_eq!(report.bad, None);
    let records = last(&home.join("audit"), &Filter::default(), usize::MAX).unwrap();
    for ack in acks {
        let record = &records[usize::try_from(ack.seq()).unwrap()];
        assert_eq!(record.text("hash").unwrap(), ack.hash().to_hex());
    }
}

#[test]
fn a_failed_sync_stops_this_process_and_the_next_until_the_machine_starts_anew() {
    let home = tempfile::tempdir().unwrap();
    let log = open(home.path());
    run(&log, 1);
    drop(log);
    let log = open_on(home.path(), Failing::from_nth(Op::Sync, 1, Errno::IO)).unwrap();
    assert!(append(&log, &allowed(2)).is_err());
    let again = append(&log, &allowed(3)).unwrap_err().to_string();
    assert!(again.contains("an earlier sync failed"), "{again}");
    drop(log);
    let next = open(home.path());
    assert!(append(&next, &allowed(4)).is_err());
    drop(next);
    assert_eq!(
        status(&home.path().join("audit"), None).unwrap().health,
        iddio_audit::Health::Poisoned
    );
    // In another boot what can be read is what is on the disk.
    let mut options = options();
    options.clock = Ticking::in_boot(BOOT + 1);
    let log = Log::open(&home.path().join("audit"), options).unwrap();
    run(&log, 5);
    drop(log);
    let report = verify(&home.path().join("audit"), 1).unwrap();
    assert_eq!((report.bad, report.story.findings), (None, Vec::new()));
}

#[test]
fn a_repair_sets_aside_what_was_not_synced_and_goes_on() {
    let home = tempfile::tempdir().unwrap();
    run(&open(home.path()), 1);
    let log = open_on(home.path(), Failing::from_nth(Op::Sync, 1, Errno::IO)).unwrap();
    assert!(append(&log, &allowed(2)).is_err());
    // As long as the disk fails there is nothing to go on with.
    assert!(log.repair().is_err());
    drop(log);
    let log = open(home.path());
    assert!(append(&log, &allowed(3)).is_err());
    assert!(matches!(log.repair().unwrap(), Repaired::SetAside(1..)));
    assert_eq!(log.repair().unwrap(), Repaired::Nothing);
    run(&log, 4);
    drop(log);
    assert_eq!(told(home.path(), "log.recovered").len(), 1);
    let report = verify(&home.path().join("audit"), 1).unwrap();
    assert_eq!((report.bad, report.story.findings), (None, Vec::new()));
}

#[test]
fn a_full_disk_refuses_every_tier_says_so_and_goes_on_when_there_is_room() {
    let home = tempfile::tempdir().unwrap();
    let mut options = options();
    options.bytes_max = Some(6_000);
    let log = Log::open(&home.path().join("audit"), options.clone()).unwrap();
    let mut id = 0;
    let (opened, refused) = loop {
        id += 1;
        match append(&log, &allowed(id)) {
            Ok(receipt) => {
                if let Err(error) = append(&log, &closed(id, receipt.seq())) {
                    break (Some(receipt), error);
                }
            }
            Err(error) => break (None, error),
        }
    };
    assert!(refused.to_string().contains("no space"), "{refused}");
    assert!(wait(log.append(&allowed(1_000), Durability::Write)).is_err());
    assert!(append(&log, &denied(1_001, "claude-code")).is_err());
    assert_eq!(told(home.path(), "log.full").len(), 1);
    assert_eq!(status(&home.path().join("audit"), Some(6_000)).unwrap().room, Room::Full);
    // What is in flight can still end.
    if let Some(receipt) = opened {
        let _ = append(&log, &closed(id, receipt.seq())).unwrap();
    }
    drop(log);
    options.bytes_max = Some(60_000);
    let log = Log::open(&home.path().join("audit"), options).unwrap();
    run(&log, 2_000);
    drop(log);
    assert_eq!(told(home.path(), "log.resumed").len(), 1);
    let report = verify(&home.path().join("audit"), 1).unwrap();
    assert_eq!((report.bad, report.story.findings), (None, Vec::new()));
}

#[test]
fn a_disk_that_reports_no_space_leaves_whole_records_and_the_reserve_says_so() {
    let home = tempfile::tempdir().unwrap();
    run(&open(home.path()), 1);
    // The second append of this process fails; the third, into the reserve, does not.
    let log = open_on(home.path(), {
        let left = AtomicU64::new(2);
        let (only, errno, after) = (Some(Op::Append), Errno::NOSPC, Fault::None);
        Disk::with(Arc::new(Failing { only, left, errno, after }))
    })
    .unwrap();
    let _ = append(&log, &asked(2)).unwrap();
    assert!(append(&log, &allowed(2)).is_err());
    assert_eq!(told(home.path(), "log.full").len(), 1);
    // There is room again: the next append takes the reserve back and goes on.
    run(&log, 2);
    drop(log);
    assert_eq!(told(home.path(), "log.resumed").len(), 1);
    let report = verify(&home.path().join("audit"), 1).unwrap();
    assert_eq!((report.bad, report.story.findings), (None, Vec::new()));
}

#[test]
fn a_loop_of_refusals_is_counted_and_keeps_nobody_else_from_the_log() {
    let home = tempfile::tempdir().unwrap();
    let clock = Ticking::in_boot(BOOT);
    let mut options = options();
    options.clock = clock.clone();
    let few = Allowance { burst: 10, per_second: 1 };
    options.budget = Some(Budget { records: few, refusals: few });
    let log = Log::open(&home.path().join("audit"), options.clone()).unwrap();
    let receipts: Vec<_> =
        (0..500).map(|id| append(&log, &denied(id, "looper")).unwrap()).collect();
    // Every refusal got a receipt; those that were counted lead to the record that says so.
    assert_eq!(receipts[499].id(), OperationId(499));
    assert_eq!(receipts[499].seq(), receipts[100].seq());
    drop(log);
    let records = status(&home.path().join("audit"), None).unwrap().records;
    assert!(records < 20, "{records} records");
    let log = Log::open(&home.path().join("audit"), options).unwrap();
    let other = append(&log, &denied(1_000, "other")).unwrap();
    assert_ne!(other.seq(), receipts[499].seq());
    clock.pass_millis(61_000);
    let _ = append(&log, &denied(1_001, "other")).unwrap();
    let counted = told(home.path(), "refusals.coalesced");
    assert_eq!(counted.len(), 1);
    assert_eq!(counted[0].text("agent"), Some("looper"));
    assert_eq!(counted[0].int("count"), Some(490));
    // Beyond its allowance an agent is allowed nothing, and asks nothing; an end is never refused.
    let stored = (2_000..2_100).map(|id| append(&log, &asked(id)).is_ok()).filter(|ok| *ok).count();
    assert_eq!(stored, 10);
    drop(log);
    let report = verify(&home.path().join("audit"), 1).unwrap();
    assert_eq!(report.bad, None);
}

#[test]
fn damage_below_what_was_synced_is_not_taken_for_a_torn_tail() {
    let home = tempfile::tempdir().unwrap();
    let log = open(home.path());
    run(&log, 1);
    drop(log);
    let segment = home.path().join("audit/0000000001.jsonl");
    let mut bytes = fs::read(&segment).unwrap();
    let place = bytes.len() - 10;
    bytes[place] ^= 1;
    fs::write(&segment, &bytes).unwrap();
    let log = open(home.path());
    let error = append(&log, &allowed(2)).unwrap_err().to_string();
    assert!(error.contains("damaged"), "{error}");
    drop(log);
    // Nor after a crash of the machine, and nothing was cut.
    let mut options = options();
    options.clock = Ticking::in_boot(BOOT + 1);
    let log = Log::open(&home.path().join("audit"), options).unwrap();
    assert!(append(&log, &allowed(2)).is_err());
    drop(log);
    assert_eq!(fs::read(&segment).unwrap(), bytes);
}

#[test]
fn a_torn_tail_is_kept_aside_and_told() {
    for boot in [BOOT, BOOT + 1] {
        let home = tempfile::tempdir().unwrap();
        let log = open(home.path());
        run(&log, 1);
        drop(log);
        let dir = home.path().join("audit");
        let segment = dir.join("0000000001.jsonl");
        let sound = fs::read(&segment).unwrap();
        let torn = b"{\"action_digest\":\"00";
        fs::write(&segment, [&sound[..], torn].concat()).unwrap();
        let mut options = options();
        options.clock = Ticking::in_boot(boot);
        let log = Log::open(&dir, options).unwrap();
        run(&log, 2);
        drop(log);
        let kept = fs::read(dir.join(format!("0000000001.{}.0.torn", sound.len()))).unwrap();
        assert_eq!(kept, torn);
        let records = told(home.path(), "log.recovered");
        assert_eq!(records.len(), 1);
        assert_eq!(records[0].int("length"), Some(torn.len() as u64));
        assert_eq!(verify(&dir, 1).unwrap().bad, None);
        assert!(fs::read(&segment).unwrap().starts_with(&sound));
    }
}
