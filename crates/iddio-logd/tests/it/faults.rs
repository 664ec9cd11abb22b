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
        // Nobody is there yet: the first append of a client is refused where nobody listens.
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
                host.speak(GATEWAY, "gateway", numbers).spawn().unwrap()
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
