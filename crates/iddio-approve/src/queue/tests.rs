//! The queue's state machine, from the inside: what an asker may take, and when.

use std::{collections::BTreeSet, sync::Barrier, thread};

use iddio_core::{approval::Answer, time::Clock};

use super::{
    Approval, Denial, Enqueued, Hold, PENDING_MAX, PENDING_PER_PRINCIPAL_MAX, PutError, Queue,
    QueueError, REFUSALS_FREE, Reviewed, Signer, State, Step,
};
use crate::{
    approver::Notice,
    sample::{self, HandClock},
};

const YES: Approval<'_> =
    Approval { signer: Signer::Unsigned, ticket_millis: None, reviewed: Reviewed::NotSaid };

const NO: Denial<'_> = Denial { signer: Signer::Unsigned, reason: None };

/// F8 and A02: whatever the order of askers, approvers, deaths and clocks, an ask ends once, and a
/// yes is used at most once and never late.
#[test]
fn ten_thousand_schedules_end_every_ask_exactly_once() {
    let (home, clock) = (sample::home(), HandClock::new());
    // Two connections race for one file.
    let mut queues = [sample::queue(&home, &clock), sample::queue(&home, &clock)];
    let mut dice = Dice(0x5eed);
    let mut ends = std::collections::BTreeMap::<&str, usize>::new();
    for number in 0..10_000 {
        // Kin would be held back after three refusals; each schedule has an asker of its own.
        let mut ask = sample::ask(number, 1, clock.now());
        let name = format!("agent-{number}");
        ask.principal.id = iddio_core::principal::PrincipalId::new(&name).unwrap();
        ask.lapses = ask.asked.plus_millis(1_000);
        let put = queues[0].put(&ask).unwrap();
        let (id, mut presence) = (put.id, Some(put.presence));
        let (mut taken, mut end, mut voted) = (0, None, false);
        let steps = 2 + dice.roll(6);
        for _ in 0..steps {
            let queue = &mut queues[dice.roll(2)];
            match dice.roll(7) {
                0 | 1 => {
                    let before = end;
                    if queue.approve(id.as_str(), YES).is_ok() {
                        assert!(before.is_none(), "a yes was taken after the end");
                        assert!(clock.now().boot.until(ask.lapses.boot).is_some());
                        voted = true;
                    }
                }
                2 => {
                    let denied = queue.deny(id.as_str(), NO).is_ok();
                    assert!(!denied || end.is_none(), "a no was taken after the end");
                }
                3 => clock.pass(300 + dice.roll(600) as u64),
                4 if dice.roll(2) == 0 => presence = None,
                5 if dice.roll(2) == 0 => queue.withdraw(&id).unwrap(),
                _ if presence.is_some() => {
                    let step = queue.step(&id, &ask, &mut BTreeSet::new(), &|_| {}).unwrap();
                    if let Step::Answered(Answer::Grant(grants)) = step {
                        assert!(voted && !grants.is_empty());
                        assert!(clock.now().boot.until(ask.lapses.boot).is_some());
                        taken += 1;
                    }
                }
                _ => {}
            }
            let state = queues[dice.roll(2)].show(id.as_str()).unwrap().state;
            assert!(end.is_none_or(|end| end == state), "an end changed: {end:?} {state:?}");
            end = (state != State::Pending).then_some(state);
        }
        drop(presence);
        let state = queues[1].show(id.as_str()).unwrap().state;
        assert_ne!(state, State::Pending, "nobody waits, and it waits");
        assert!(taken <= 1);
        assert_eq!(taken == 1, state == State::Consumed);
        *ends.entry(state.name()).or_default() += 1;
    }
    for state in ["consumed", "refused", "lapsed", "withdrawn"] {
        assert!(300 < ends.get(state).copied().unwrap_or(0), "{ends:?}");
    }
}

#[test]
fn of_many_consumers_at_once_one_wins() {
    let (home, clock) = (sample::home(), HandClock::new());
    for number in 0..20 {
        let ask = sample::ask(number, 1, clock.now());
        let mut queue = sample::queue(&home, &clock);
        let Enqueued { id, presence, .. } = queue.put(&ask).unwrap();
        queue.approve(id.as_str(), YES).unwrap();
        let barrier = Barrier::new(8);
        let grants: usize = thread::scope(|scope| {
            let consume = || {
                let mut queue = sample::queue(&home, &clock);
                barrier.wait();
                let step = queue.step(&id, &ask, &mut BTreeSet::new(), &|_| {}).unwrap();
                usize::from(matches!(step, Step::Answered(Answer::Grant(_))))
            };
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(consume)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(grants, 1);
        drop(presence);
    }
}

#[test]
fn of_a_yes_and_a_no_at_once_one_stands() {
    let (home, clock) = (sample::home(), HandClock::new());
    for number in 0..20 {
        let mut ask = sample::ask(number, 1, clock.now());
        let name = format!("agent-{number}");
        ask.principal.id = iddio_core::principal::PrincipalId::new(&name).unwrap();
        let mut queue = sample::queue(&home, &clock);
        let Enqueued { id, presence, .. } = queue.put(&ask).unwrap();
        let barrier = Barrier::new(3);
        let step = thread::scope(|scope| {
            scope.spawn(|| {
                let mut queue = sample::queue(&home, &clock);
                barrier.wait();
                let _ = queue.approve(id.as_str(), YES);
            });
            scope.spawn(|| {
                let mut queue = sample::queue(&home, &clock);
                barrier.wait();
                let _ = queue.deny(id.as_str(), NO);
            });
            barrier.wait();
            loop {
                let step = queue.step(&id, &ask, &mut BTreeSet::new(), &|_| {}).unwrap();
                if let Step::Answered(answer) = step {
                    break answer;
                }
            }
        });
        let state = queue.show(id.as_str()).unwrap().state;
        match step {
            Answer::Grant(_) => assert_eq!(state, State::Consumed),
            Answer::Refuse { .. } => assert_eq!(state, State::Refused),
            other => panic!("{other:?}"),
        }
        drop(presence);
    }
}

#[test]
fn a_yes_after_the_deadline_is_refused_on_every_clock() {
    type Change = fn(&mut iddio_core::time::Moment);
    let cases: [(&str, Change); 4] = [
        // The machine slept: only the boot clock saw it (E27).
        ("suspend", |now| now.boot.millis += 901_000),
        // Somebody moved the wall clock back to before the ask (A15).
        ("wall clock back", |now| {
            now.boot.millis += 901_000;
            now.wall.0 = 0;
        }),
        ("another boot", |now| {
            now.boot.boot_id = 9;
            now.boot.millis = 5;
        }),
        ("exactly at the deadline", |now| now.boot.millis += 900_000),
    ];
    for (name, change) in cases {
        let (home, clock) = (sample::home(), HandClock::new());
        let mut queue = sample::queue(&home, &clock);
        let ask = sample::ask(1, 1, clock.now());
        let Enqueued { id, presence, .. } = queue.put(&ask).unwrap();
        queue.approve(id.as_str(), YES).unwrap();
        change(&mut clock.0.lock().unwrap());
        assert!(queue.approve(id.as_str(), YES).is_err(), "{name}");
        let step = queue.step(&id, &ask, &mut BTreeSet::new(), &|_| {}).unwrap();
        assert!(matches!(step, Step::Answered(Answer::Lapse)), "{name}: {step:?}");
        assert_eq!(queue.show(id.as_str()).unwrap().state, State::Lapsed, "{name}");
        drop(presence);
    }
}

#[test]
fn a_wall_clock_that_jumps_neither_kills_nor_revives_an_ask() {
    let (home, clock) = (sample::home(), HandClock::new());
    let mut queue = sample::queue(&home, &clock);
    let ask = sample::ask(1, 1, clock.now());
    let Enqueued { id, presence, .. } = queue.put(&ask).unwrap();
    for wall in [0, u64::MAX / 2, 1_795_186_987_000_001] {
        clock.0.lock().unwrap().wall.0 = wall;
        assert_eq!(queue.show(id.as_str()).unwrap().state, State::Pending);
    }
    queue.approve(id.as_str(), YES).unwrap();
    let step = queue.step(&id, &ask, &mut BTreeSet::new(), &|_| {}).unwrap();
    assert!(matches!(step, Step::Answered(Answer::Grant(_))));
    drop(presence);
}

#[test]
fn an_asker_that_died_between_grant_and_use_leaves_nothing_to_use() {
    let (home, clock) = (sample::home(), HandClock::new());
    let mut queue = sample::queue(&home, &clock);
    let ask = sample::ask(1, 1, clock.now());
    let Enqueued { id, presence, .. } = queue.put(&ask).unwrap();
    queue.approve(id.as_str(), YES).unwrap();
    drop(presence);
    assert_eq!(queue.show(id.as_str()).unwrap().state, State::Withdrawn);
    let step = queue.step(&id, &ask, &mut BTreeSet::new(), &|_| {}).unwrap();
    assert!(matches!(step, Step::Answered(Answer::Withdraw)), "{step:?}");
    assert!(queue.approve(id.as_str(), YES).is_err());
}

#[test]
fn a_full_queue_refuses_more_and_leaves_room_for_others() {
    let (home, clock) = (sample::home(), HandClock::new());
    let mut queue = sample::queue(&home, &clock);
    let mut held = Vec::new();
    let mut number = 0;
    let mut put = |queue: &mut Queue, name: &str| {
        number += 1;
        let mut ask = sample::ask(number, 1, clock.now());
        ask.principal.id = iddio_core::principal::PrincipalId::new(name).unwrap();
        queue.put(&ask)
    };
    for _ in 0..PENDING_PER_PRINCIPAL_MAX {
        held.push(put(&mut queue, "flooder").unwrap());
    }
    let error = put(&mut queue, "flooder").unwrap_err();
    assert!(matches!(error, PutError::PrincipalFull(_)), "{error}");
    held.push(put(&mut queue, "honest").unwrap());
    for other in 0.. {
        match put(&mut queue, &format!("agent-{other}")) {
            Ok(put) => held.push(put),
            Err(PutError::Full) => break,
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(held.len() as u64, PENDING_MAX);
    // Room is made as soon as somebody goes.
    held.pop();
    held.push(put(&mut queue, "honest").unwrap());
}

#[test]
fn an_ask_that_is_too_large_is_refused_and_not_cut() {
    let (home, clock) = (sample::home(), HandClock::new());
    let mut queue = sample::queue(&home, &clock);
    let mut ask = sample::ask(1, 1, clock.now());
    ask.effects[0].text = "x".repeat(super::ASK_BYTES_MAX);
    let error = queue.put(&ask).unwrap_err();
    assert!(matches!(error, PutError::TooLarge(_)), "{error}");
    assert!(queue.list(super::Filter::All).unwrap().entries.is_empty());
}

#[test]
fn after_three_refusals_like_asks_wait_longer_and_longer() {
    let (home, clock) = (sample::home(), HandClock::new());
    let mut queue = sample::queue(&home, &clock);
    let mut number = 0;
    let mut put = |queue: &mut Queue, name: &str, words: &str| {
        number += 1;
        let mut ask = sample::ask(number, 1, clock.now());
        ask.principal.id = iddio_core::principal::PrincipalId::new(name).unwrap();
        let mut operation = ask.operations.split_first().0.clone();
        operation.description.argv = vec![iddio_core::text::RawText::from(words)];
        ask.operations = iddio_core::operation::Operations::one(operation);
        queue.put(&ask).unwrap()
    };
    let mut holds = Vec::new();
    for round in 0..7 {
        let asked = put(&mut queue, "claude-code", &format!("argument {round}"));
        let millis = match asked.hold {
            Hold::None => 0,
            Hold::Millis(millis) => {
                // Nobody sees it, and nobody can answer it, until the time is over.
                assert!(queue.list(super::Filter::Open).unwrap().entries.is_empty());
                assert!(queue.approve(asked.id.as_str(), YES).is_err());
                millis
            }
        };
        clock.pass(millis);
        assert_eq!(queue.list(super::Filter::Open).unwrap().entries.len(), 1);
        holds.push(millis / 1_000);
        queue.deny(asked.id.as_str(), NO).unwrap();
    }
    assert_eq!(holds, [0, 0, 0, 30, 60, 120, 240]);
    assert_eq!(holds.iter().take_while(|hold| **hold == 0).count(), REFUSALS_FREE as usize);
    // Another agent is not held back, and a yes makes good.
    assert_eq!(put(&mut queue, "other", "").hold, Hold::None);
}

#[test]
fn a_row_that_a_script_wrote_grants_nothing_and_is_told() {
    let (home, clock) = (sample::home(), HandClock::new());
    let mut queue = sample::queue(&home, &clock);
    let mut ask = sample::ask(1, 1, clock.now());
    ask.decision.effective = iddio_core::tier::Tier::Sensitive;
    let Enqueued { id, presence, .. } = queue.put(&ask).unwrap();
    let digest = ask.digest();
    let forged = [
        "yes".to_owned(),
        String::new(),
        format!("iddio-grant/v1\nask: {id}\n"),
        statement(&id, digest, "human:bob", ask.lapses),
        statement(&id, digest, "local:ada", ask.lapses),
        statement(&id, digest, "human:ada", ask.lapses),
    ];
    let script = rusqlite::Connection::open(home.path().join("approvals.db")).unwrap();
    for statement in &forged {
        for signature in [None, Some("-----BEGIN SSH SIGNATURE-----\nAAAA\n")] {
            let sql = "INSERT OR IGNORE INTO votes (ask, statement, signature, cast_at)
                       VALUES (?1, ?2, ?3, 0)";
            script.execute(sql, rusqlite::params![id.as_str(), statement, signature]).unwrap();
        }
    }
    let told = std::sync::Mutex::new(Vec::new());
    let mut once = BTreeSet::new();
    for _ in 0..3 {
        let notice = |notice| told.lock().unwrap().push(notice);
        let step = queue.step(&id, &ask, &mut once, &notice).unwrap();
        assert!(matches!(step, Step::Waiting), "{step:?}");
    }
    let told = told.into_inner().unwrap();
    assert_eq!(told.len(), forged.len(), "each is told once: {told:?}");
    assert!(told.iter().all(|notice| matches!(notice, Notice::Ignored { .. })));
    // Setting the state by hand is no yes either.
    script.execute("UPDATE asks SET state = 'consumed', ended = 1", []).unwrap();
    let step = queue.step(&id, &ask, &mut once, &|_| {}).unwrap();
    assert!(matches!(step, Step::Answered(Answer::Lapse)), "{step:?}");
    drop(presence);
}

#[test]
fn an_ask_that_was_changed_in_the_file_cannot_be_answered_and_its_yes_is_worthless() {
    let (home, clock) = (sample::home(), HandClock::new());
    let mut queue = sample::queue(&home, &clock);
    let ask = sample::ask(1, 1, clock.now());
    let Enqueued { id, presence, .. } = queue.put(&ask).unwrap();
    let script = rusqlite::Connection::open(home.path().join("approvals.db")).unwrap();
    // A sound ask that says something else: it can be shown and approved, and the yes is for it.
    let mut other = ask.clone();
    other.effects[0].text = "harmless".to_owned();
    let body = crate::stored::write(&other).unwrap();
    script.execute("UPDATE asks SET body = ?1", [&body]).unwrap();
    queue.approve(id.as_str(), YES).unwrap();
    let step = queue.step(&id, &ask, &mut BTreeSet::new(), &|_| {}).unwrap();
    assert!(matches!(step, Step::Waiting), "{step:?}");
    // An unsound one is listed as damaged.
    script.execute("UPDATE asks SET body = replace(body, 'harmless', 'x\" ')", []).unwrap();
    assert!(matches!(queue.show(id.as_str()), Err(QueueError::Damaged(_))));
    let listed = queue.list(super::Filter::Open).unwrap();
    assert_eq!((listed.entries.len(), listed.damaged), (0, vec![id]));
    drop(presence);
}

#[test]
fn looking_at_the_queue_never_answers_it() {
    let (home, clock) = (sample::home(), HandClock::new());
    let mut queue = sample::queue(&home, &clock);
    let ask = sample::ask(1, 1, clock.now());
    let Enqueued { id, presence, .. } = queue.put(&ask).unwrap();
    for _ in 0..10 {
        let entry = queue.show(id.as_str()).unwrap();
        queue.list(super::Filter::All).unwrap();
        queue.wait(id.as_str(), std::time::Duration::ZERO).unwrap();
        let now = queue.now();
        crate::render::show(&entry, now, crate::render::View::Full);
        crate::render::json(&entry, now);
        crate::render::row(&entry, now);
        assert_eq!(entry.state, State::Pending);
        assert!(entry.votes.is_empty());
    }
    drop(presence);
}

#[test]
fn a_name_may_be_shortened_while_it_is_unique() {
    let (home, clock) = (sample::home(), HandClock::new());
    let mut queue = sample::queue(&home, &clock);
    let put = |queue: &mut Queue, number| queue.put(&sample::ask(number, 1, clock.now())).unwrap();
    let puts: Vec<_> = (0..20).map(|number| put(&mut queue, number)).collect();
    for asked in &puts {
        let letters = asked.id.as_str().trim_start_matches("esc_");
        assert_eq!(queue.show(letters).unwrap().id, asked.id);
        assert_eq!(queue.show(&letters[..7].to_uppercase()).unwrap().id, asked.id);
    }
    assert!(matches!(queue.show("esc_"), Err(QueueError::Unknown(_))));
    assert!(matches!(queue.show("%"), Err(QueueError::Unknown(_))));
    assert!(matches!(queue.show("esc_zzzzzzzz"), Err(QueueError::Unknown(_))));
    let firsts: BTreeSet<_> = puts.iter().map(|put| put.id.as_str().as_bytes()[4]).collect();
    assert!(firsts.len() < puts.len());
    let ambiguous = puts.iter().filter(|put| {
        let first = &put.id.as_str()[..5];
        matches!(queue.show(first), Err(QueueError::Ambiguous(_)))
    });
    assert!(0 < ambiguous.count());
}

#[test]
fn the_queues_files_are_private() {
    use std::os::unix::fs::PermissionsExt;
    let (home, clock) = (sample::home(), HandClock::new());
    let mut queue = sample::queue(&home, &clock);
    let put = queue.put(&sample::ask(1, 1, clock.now())).unwrap();
    let mode = |path: &std::path::Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&home.path().join("approvals.db")), 0o600);
    assert_eq!(mode(&home.path().join("askers")), 0o700);
    assert_eq!(mode(&home.path().join("askers").join(put.id.as_str())), 0o600);
    drop((queue, put));
    let file = home.path().join("approvals.db");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    let setting = super::Setting {
        dir: home.path().to_owned(),
        user: "ada".to_owned(),
        form: super::Form::Personal,
    };
    let error = Queue::open(setting, clock).unwrap_err();
    assert!(matches!(error, QueueError::File(_)), "{error}");
}

fn statement(
    id: &crate::id::AskId,
    digest: iddio_core::digest::Digest,
    operator: &str,
    expires: iddio_core::time::Moment,
) -> String {
    crate::statement::Statement {
        ask: id.clone(),
        digest,
        word: crate::statement::Word::Grant,
        operator: iddio_core::principal::PrincipalId::new(operator).unwrap(),
        expires,
        ticket: None,
        nonce: 1,
    }
    .to_string()
}

/// SplitMix64: the same schedules every time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % sides as u64) as usize
    }
}
