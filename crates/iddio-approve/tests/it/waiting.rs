//! Waiting for an answer, and no longer than anybody does.

use std::{
    pin::pin,
    process::{Command, Stdio},
    sync::Arc,
    task::{Context, Waker},
    time::Duration,
};

use iddio_approve::{Cancel, Prompt, QueueApprover, Signer, State};
use iddio_core::{
    approval::{Answer, Approver},
    tier::Tier,
};

use crate::kit::{Home, yes};

#[test]
fn an_ask_lapses_when_its_time_is_over_and_a_late_yes_is_refused() {
    let home = Home::new();
    let put = home.put(&home.ask(1, Tier::Modify));
    let id = put.id();
    home.clock.pass(15 * 60 * 1_000);
    assert!(matches!(put.answer(), Answer::Lapse));
    home.queue().approve(&id, yes(Signer::Unsigned)).unwrap_err();
    assert_eq!(home.queue().show(&id).unwrap().state, State::Lapsed);
}

#[test]
fn a_cancelled_asker_withdraws() {
    let home = Home::new();
    let put = home.put(&home.ask(1, Tier::Modify));
    let id = put.id();
    put.cancel.cancel();
    assert!(matches!(put.answer(), Answer::Withdraw));
    assert_eq!(home.queue().show(&id).unwrap().state, State::Withdrawn);
}

#[test]
fn a_flag_that_a_signal_handler_sets_is_enough() {
    let home = Home::new();
    let put = home.put(&home.ask(1, Tier::Modify));
    put.id();
    put.cancel.flag().store(true, std::sync::atomic::Ordering::Release);
    assert!(matches!(put.answer(), Answer::Withdraw));
}

#[test]
fn a_dropped_future_withdraws_its_ask() {
    let home = Home::new();
    let (told, notices) = std::sync::mpsc::channel();
    let told = std::sync::Mutex::new(told);
    let approver = QueueApprover::new(
        home.setting(),
        home.clock.clone(),
        Cancel::new().unwrap(),
        Prompt::Off,
        Arc::new(move |notice| {
            let _ = told.lock().unwrap().send(notice);
        }),
    );
    let ask = home.ask(1, Tier::Modify);
    let id = {
        let mut future = pin!(approver.ask(&ask));
        assert!(future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        match notices.recv().unwrap() {
            iddio_approve::Notice::Waiting { id, .. } => id.to_string(),
            other => panic!("{other:?}"),
        }
    };
    let over = home.queue().wait(&id, Duration::from_secs(3_600)).unwrap();
    assert_eq!(over.state, State::Withdrawn);
}

#[test]
fn a_killed_askers_ask_is_withdrawn_at_the_next_look() {
    let home = Home::new();
    let put = home.put(&home.ask(1, Tier::Modify));
    let id = put.id();
    // A process that holds the asker's lock as an asker does, in place of the one that goes.
    let lock = home.path().join("askers").join(&id);
    put.cancel.cancel();
    let _ = put.answer();
    let mut asker = Command::new("flock")
        .args(["--no-fork", "--exclusive"])
        .arg(&lock)
        .args(["sh", "-c", "echo held; exec cat"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("flock is missing: apt-get install util-linux");
    let mut line = [0; 5];
    std::io::Read::read_exact(asker.stdout.as_mut().unwrap(), &mut line).unwrap();
    reopen(&home, &id);
    assert_eq!(home.queue().show(&id).unwrap().state, State::Pending);
    asker.kill().unwrap();
    asker.wait().unwrap();
    assert_eq!(home.queue().show(&id).unwrap().state, State::Withdrawn);
}

#[test]
fn an_approver_that_cannot_use_its_queue_lapses() {
    let home = Home::new();
    std::fs::write(home.path().join("approvals.db"), "not a database, and long enough").unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(home.path().join("approvals.db"), mode).unwrap();
    let put = home.put(&home.ask(1, Tier::Modify));
    let told = put.notices.recv().unwrap();
    assert!(matches!(told, iddio_approve::Notice::Failed { .. }), "{told:?}");
    assert!(matches!(put.answer(), Answer::Lapse));
}

#[test]
fn waiting_for_an_ask_ends_with_it_or_with_patience() {
    let home = Home::new();
    let put = home.put(&home.ask(1, Tier::Modify));
    let id = put.id();
    assert_eq!(home.queue().wait(&id, Duration::ZERO).unwrap().state, State::Pending);
    let waiter = {
        let (mut queue, id) = (home.queue(), id.clone());
        std::thread::spawn(move || queue.wait(&id, Duration::from_secs(3_600)).unwrap().state)
    };
    home.queue().approve(&id, yes(Signer::Unsigned)).unwrap();
    assert_eq!(waiter.join().unwrap(), State::Consumed);
    assert!(matches!(put.answer(), Answer::Grant(_)));
}

/// Makes an ask pending again, behind the queue's back.
fn reopen(home: &Home, id: &str) {
    let db = rusqlite::Connection::open(home.path().join("approvals.db")).unwrap();
    db.execute("UPDATE asks SET state = 'pending', ended = NULL WHERE id = ?1", [id]).unwrap();
}
