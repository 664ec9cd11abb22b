//! The service killed at every kind of call while clients speak, a full log, a disk that fails (N1, N2,
//! N4, F1, F3).

use std::process::{Child, Command};

use iddio_core::audit::{AuditSink, Durability};

use crate::kit::{Acks, GATEWAY, Host, acks, entries};

/// The calls between hearing a record and answering it, and those of starting.
const CALLS: [&str; 9] = [
    "accept4",
    "recvfrom",
    "epoll_wait",
    "write",
    "pwrite64",
    "fdatasync",
    "sendto",
    "flock",
    "openat",
];

#[test]
fn a_service_killed_at_any_call_under_load_loses_nothing_and_stores_nothing_twice() {
    assert!(Command::new("strace").arg("-V").output().is_ok(), "apt-get install strace");
    let mut host = Host::started();
    host.kill();
    let (mut kills, mut got) = (0, Acks::new());
    for (turn, call) in CALLS.iter().enumerate() {
        let first = turn as u64 * 1_000_000 + 1;
        host.start_with(&format!("{call}:signal=KILL:when={}", 40 + turn * 13));
        let until = std::time::Instant::now() + crate::kit::PATIENCE;
        let mut ended = false;
        while !ended && host.remote().head().is_err() {
            ended = host.has_ended();
            assert!(std::time::Instant::now() < until, "{call}: {}", host.errors());
        }
        if ended {
            kills += 1;
            host.start();
        }
        let clients: Vec<Child> = (0..4)
            .map(|place| {
                let numbers = [first + place * 10_000, 40, 4];
                // It may be killed between the look above and a client's first word.
                let mut client = host.speak(GATEWAY, "gateway", numbers);
                client.env("IDDIO_TEST_PATIENT", "yes").spawn().unwrap()
            })
            .collect();
        if !ended {
            let until = std::time::Instant::now() + crate::kit::PATIENCE;
            let mut clients_done = false;
            while !host.has_ended() && !clients_done {
                assert!(std::time::Instant::now() < until, "{call}: {}", host.errors());
                clients_done = host.verify().story.closed >= (turn as u64 + 1) * 640;
                std::thread::yield_now();
            }
            kills += u32::from(!clients_done);
            host.kill();
            host.start();
        }
        for client in clients {
            let said = client.wait_with_output().unwrap();
            acks(&said.stdout, &mut got);
            let error = String::from_utf8_lossy(&said.stderr);
            assert!(said.status.success(), "{call}: {error} {}", host.errors());
        }
        host.check(&got);
        host.kill();
    }
    assert!(5 < kills, "{kills} kills");
    host.start();
    let story = host.verify().story;
    assert_eq!(story.findings, []);
    // The clients lived through it all, so nothing of theirs was given up.
    assert_eq!((story.abandoned, story.closed), (0, CALLS.len() as u64 * 640));
}

#[test]
fn a_sync_that_fails_refuses_everything_from_then_on() {
    let mut host = Host::new("");
    host.start_with("fdatasync:error=EIO:when=12+");
    host.wait();
    let remote = host.remote();
    let mut got = Acks::new();
    let mut refused = 0;
    for id in 1..=40 {
        match entries::wait(remote.append(&entries::denied(id, "a"), Durability::Sync)) {
            Ok(receipt) => {
                assert_eq!(refused, 0, "acknowledged after a failed sync");
                got.insert(receipt.seq(), (receipt.id().to_string(), receipt.hash().to_string()));
            }
            Err(_) => refused += 1,
        }
    }
    assert!(0 < refused && !got.is_empty(), "{refused} {}", got.len());
    host.check(&got);
}

#[test]
fn a_full_log_refuses_says_so_and_lets_what_is_open_end() {
    let mut host = Host::new("bytes_max = 40000");
    host.start();
    let remote = host.remote();
    let mut open = Vec::new();
    for id in 1..=100 {
        let entry = entries::allowed(id);
        match entries::wait(remote.append(&entry, Durability::Sync)) {
            Ok(receipt) => open.push((id, receipt.seq(), entry)),
            Err(error) => {
                assert!(error.to_string().contains("no space is left"), "{error}");
                break;
            }
        }
    }
    assert!(5 < open.len() && open.len() < 100);
    host.until(|record| record.text("event") == Some("log.full"));
    for (id, seq, entry) in open {
        let end = entries::closed_as(&entry, id, seq);
        let _ = entries::wait(remote.append(&end, Durability::Sync)).unwrap();
    }
    assert_eq!(host.verify().story.findings, []);
}

#[test]
fn an_answer_that_was_lost_is_asked_for_again_and_the_record_stands_there_once() {
    let mut host = Host::started();
    host.kill();
    // The third answer is the first to an append: a hello was answered to who waits for the start, and
    // one to the client.
    host.start_with("sendto:signal=KILL:when=3");
    host.wait();
    let remote = host.remote();
    let entry = entries::allowed(7);
    let receipt = std::thread::scope(|scope| {
        let asking =
            scope.spawn(|| entries::wait(remote.append(&entry, Durability::Sync)).unwrap());
        let until = std::time::Instant::now() + crate::kit::PATIENCE;
        while !host.has_ended() {
            assert!(std::time::Instant::now() < until, "it lives: {}", host.errors());
            std::thread::yield_now();
        }
        // It is stored, and nobody was told.
        let stored = |host: &Host| {
            host.records().iter().filter(|record| record.text("event") == Some("decided")).count()
        };
        assert_eq!((stored(&host), asking.is_finished()), (1, false));
        host.start();
        let receipt = asking.join().unwrap();
        assert_eq!(stored(&host), 1);
        receipt
    });
    let record = host.until(|record| record.text("event") == Some("decided"));
    assert_eq!(record.int("seq"), Some(receipt.seq()));
    assert_eq!(record.text("hash"), Some(&*receipt.hash().to_hex()));
    let end = entries::closed_as(&entry, 7, receipt.seq());
    let _ = entries::wait(remote.append(&end, Durability::Sync)).unwrap();
    let story = host.verify().story;
    assert_eq!((story.findings, story.closed, story.abandoned), (vec![], 1, 0));
}

#[test]
fn a_disk_that_is_full_refuses_loses_nothing_and_goes_on_when_there_is_room() {
    let mut host = Host::new("");
    // A disk of the service's own, which nobody else sees: three megabytes, of which one is ballast.
    host.start_on("size=3m", "1048576");
    let remote = host.remote();
    let mut acks = Acks::new();
    let mut open = Vec::new();
    let mut refused = None;
    for id in 1..=20_000 {
        let entry = entries::allowed(id);
        match entries::wait(remote.append(&entry, Durability::Sync)) {
            Ok(receipt) => {
                acks.insert(receipt.seq(), (receipt.id().to_string(), receipt.hash().to_string()));
                open.push((id, receipt.seq(), entry));
            }
            Err(error) => {
                refused = Some(error.to_string());
                break;
            }
        }
        // What goes on and ends keeps the log growing and the owner's slots few.
        if 64 < open.len() {
            let (id, seq, entry) = open.remove(0);
            let end = entries::closed_as(&entry, id, seq);
            if entries::wait(remote.append(&end, Durability::Sync)).is_err() {
                open.insert(0, (id, seq, entry));
                refused = Some("an end is refused".to_owned());
                break;
            }
        }
    }
    let refused = refused.expect("the disk is full some time");
    assert!(100 < acks.len(), "{}", acks.len());
    // Refusing goes on, and the service lives and shows what it has.
    let again = entries::wait(remote.append(&entries::allowed(30_000), Durability::Sync));
    assert!(again.is_err(), "{refused}");
    check_through(&remote, &acks);
    host.make_room();
    let until = std::time::Instant::now() + crate::kit::PATIENCE;
    let mut id = 40_000;
    while entries::wait(remote.append(&entries::denied(id, "a"), Durability::Sync)).is_err() {
        assert!(std::time::Instant::now() < until, "{}", host.errors());
        id += 1;
    }
    for (id, seq, entry) in open {
        let end = entries::closed_as(&entry, id, seq);
        let _ = entries::wait(remote.append(&end, Durability::Sync)).unwrap();
    }
    check_through(&remote, &acks);
}

/// Checks through the socket that the chain holds and that what was acknowledged stands in it.
#[track_caller]
fn check_through(remote: &iddio_audit::remote::Remote, acks: &Acks) {
    let mut stream = iddio_audit::verify::Stream::new(None);
    let mut found = Acks::new();
    let lines = remote.lines(0, |line| {
        stream.line(line);
        let value = iddio_core::json::Value::read(line).unwrap();
        let text = |name: &str| value.member(name).unwrap().as_text().unwrap().to_owned();
        let seq = value.member("seq").unwrap().as_int().unwrap();
        found.insert(seq, (text("id"), text("hash")));
        std::ops::ControlFlow::Continue(())
    });
    lines.unwrap();
    let report = stream.finish();
    assert_eq!(report.bad, None);
    for (seq, ack) in acks {
        assert_eq!(found.get(seq), Some(ack), "record {seq} was acknowledged");
    }
}
