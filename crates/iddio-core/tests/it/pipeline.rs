//! What each verdict leads to, and what is recorded of it.

use std::sync::{Arc, Mutex};

use iddio_core::{
    audit::{Body, Durability, End, Outcome, Refusal, line::Kind},
    operation::{Operation, Operations, Override, OverrideKind},
    pipeline::{ASKS_MAX, Committed},
    policy::{Decision, Obligations, OverrideVerdict, Recorded, Verdict},
    recording::{Channel, MetadataOnly},
    tier::{Class, Tier},
    time::{Clock as _, Timestamp},
};
use iddio_testkit::{
    Mint, Reply, ScriptedPolicy, Tape, TapeState, TestAction, block_on, decision, operation,
};

use crate::bench::{Bench, asked, escalate};

#[test]
fn allow_forwards() {
    let bench = Bench::new(ScriptedPolicy::always(Verdict::Allow), Reply::No);
    assert_eq!(bench.run(TestAction::at(Tier::Modify)), Ok(()));
    assert_eq!(bench.kinds(), [Kind::Allowed, Kind::Closed]);
    assert!(bench.approver.asked().is_empty());
}

#[test]
fn deny_refuses_without_asking() {
    let bench = Bench::new(ScriptedPolicy::always(Verdict::Deny), Reply::Yes);
    assert_eq!(bench.run(TestAction::at(Tier::Modify)), Err(Refusal::Policy));
    assert_eq!(bench.kinds(), [Kind::Denied]);
    assert!(bench.approver.asked().is_empty());
}

#[test]
fn escalate_follows_the_human() {
    let check = |reply, expect| assert_eq!(asked(Tier::Modify, Obligations::NONE, reply), expect);
    check(Reply::Yes, Ok(()));
    check(Reply::No, Err(Refusal::Approver));
    check(Reply::Lapse, Err(Refusal::Lapse));
    check(Reply::Withdraw, Err(Refusal::Withdrawn));
}

#[test]
fn an_ask_is_recorded_before_anyone_is_asked() {
    let bench = Bench::new(ScriptedPolicy::always(Verdict::Escalate), Reply::Yes);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (sink, log) = (bench.sink.clone(), seen.clone());
    bench.approver.on_ask(move |ask| {
        let noted = sink.noted();
        let Some(Body::Asked(record)) = noted[0].entry.as_ref().map(|entry| &entry.body) else {
            panic!("the ask is not recorded");
        };
        assert_eq!(record.ask_digest, ask.digest());
        assert_eq!(noted[0].durability, Durability::Sync);
        log.lock().unwrap().push(noted.len());
    });
    assert_eq!(bench.run(TestAction::at(Tier::Modify)), Ok(()));
    assert_eq!(*seen.lock().unwrap(), [1]);
    assert_eq!(bench.kinds(), [Kind::Asked, Kind::Allowed, Kind::Closed]);
}

#[test]
fn an_ask_that_cannot_be_recorded_is_put_to_nobody() {
    let bench = Bench::new(ScriptedPolicy::always(Verdict::Escalate), Reply::Yes);
    bench.sink.fail_next([iddio_testkit::Fault::Fail]);
    assert!(bench.admit(TestAction::at(Tier::Modify)).is_err());
    assert!(bench.approver.asked().is_empty());
}

#[test]
fn the_close_repeats_the_decision_and_its_place() {
    let bench = Bench::new(ScriptedPolicy::always(Verdict::Escalate), Reply::Yes);
    assert_eq!(bench.run(TestAction::at(Tier::Modify)), Ok(()));
    let noted = bench.sink.noted();
    let body = |place: usize| noted[place].entry.as_ref().map(|entry| entry.body.clone()).unwrap();
    let (Body::Decided(decided), Body::Closed(closed)) = (body(1), body(2)) else {
        panic!("{noted:?}");
    };
    assert_eq!(closed.decided_seq, 1);
    assert!(Arc::ptr_eq(&closed.decided, &decided));
    assert!(closed.end.recording.is_some());
}

#[test]
fn a_close_tells_of_a_recording_that_was_lost() {
    let bench = Bench::new(ScriptedPolicy::always(Verdict::Allow), Reply::No);
    let permit = block_on(bench.warrant(TestAction::at(Tier::Modify)).mint(&Mint::Works)).unwrap();
    let tape = Tape::new(TapeState::Unsealable);
    let (_, _, mut flight) = block_on(permit.exercise(&tape)).unwrap();
    flight.frame(Channel::Request, b"x").unwrap();
    let end = End { note: Some("late".to_owned()), ..End::of(Outcome::Forwarded) };
    let _closed = block_on(flight.close(end)).unwrap();
    assert_eq!(outcome(&bench), Some(Outcome::Forwarded));
    let note = ended(&bench).and_then(|end| end.note).unwrap();
    assert!(note.starts_with("late; recording could not be sealed"), "{note}");
    bench.assert_sound();
}

#[test]
fn what_policy_wants_recorded_in_full_does_not_go_on_without_a_recording() {
    let policy = ScriptedPolicy::new(|query| {
        let mut decision = decision(Verdict::Allow, query.operation.native_tier());
        let full = Obligations { record: Recorded::Full, ..Obligations::NONE };
        decision.obligations = Arc::new(full);
        decision
    });
    let bench = Bench::new(policy, Reply::No);
    let permit = block_on(bench.warrant(TestAction::at(Tier::Modify)).mint(&Mint::Works)).unwrap();
    assert!(block_on(permit.exercise(&MetadataOnly)).is_err());
    let note = ended(&bench).and_then(|end| end.note).unwrap();
    assert!(note.contains("policy wants a full recording"), "{note}");
    assert_eq!(outcome(&bench), Some(Outcome::NotForwarded));
    bench.assert_sound();
}

#[test]
fn no_credential_no_forward() {
    let bench = Bench::new(ScriptedPolicy::always(Verdict::Allow), Reply::No);
    let warrant = bench.warrant(TestAction::at(Tier::Modify));
    assert!(block_on(warrant.mint(&Mint::Refuses)).is_err());
    assert_eq!(outcome(&bench), Some(Outcome::NotForwarded));
    bench.assert_sound();
}

#[test]
fn no_recording_no_forward() {
    let bench = Bench::new(ScriptedPolicy::always(Verdict::Allow), Reply::No);
    let permit = block_on(bench.warrant(TestAction::at(Tier::Modify)).mint(&Mint::Works)).unwrap();
    assert!(block_on(permit.exercise(&Tape::new(TapeState::Closed))).is_err());
    assert_eq!(outcome(&bench), Some(Outcome::NotForwarded));
    bench.assert_sound();
}

#[test]
fn a_warrant_outlived_is_not_forwarded() {
    let bench = Bench::new(ScriptedPolicy::always(Verdict::Allow), Reply::No);
    let warrant = bench.warrant(TestAction::at(Tier::Modify));
    // A machine that slept: boot time counts through suspend.
    bench.clock.advance(iddio_core::pipeline::WARRANT_MILLIS_MAX);
    assert!(block_on(warrant.mint(&Mint::Works)).is_err());
    assert_eq!(outcome(&bench), Some(Outcome::NotForwarded));
    bench.assert_sound();
}

#[test]
fn a_clock_set_back_lengthens_no_warrant() {
    let bench = Bench::new(ScriptedPolicy::always(Verdict::Allow), Reply::No);
    let warrant = bench.warrant(TestAction::at(Tier::Modify));
    bench.clock.advance(iddio_core::pipeline::WARRANT_MILLIS_MAX);
    bench.clock.set_wall(Timestamp(0));
    assert!(block_on(warrant.mint(&Mint::Works)).is_err());
}

#[test]
fn a_clock_set_ahead_shortens_no_warrant() {
    let bench = Bench::new(ScriptedPolicy::always(Verdict::Allow), Reply::No);
    let warrant = bench.warrant(TestAction::at(Tier::Modify));
    bench.clock.set_wall(Timestamp(u64::MAX));
    assert!(block_on(warrant.mint(&Mint::Works)).is_ok());
}

#[test]
fn a_runbook_lowers_a_tier_but_never_the_top_one_and_nothing_raises() {
    use Tier::{BreakGlass, Modify, Observe, Operate, Sensitive};
    let check = |native, effective, expect| {
        let bench = Bench::new(ScriptedPolicy::allows_at(effective), Reply::No);
        assert_eq!(bench.run(TestAction::at(native)), expect, "{native} at {effective}");
    };
    check(Sensitive, Sensitive, Ok(()));
    check(Sensitive, Operate, Ok(()));
    check(BreakGlass, BreakGlass, Ok(()));
    for (native, effective) in [
        (Observe, Operate),
        (Modify, Sensitive),
        (Sensitive, BreakGlass),
        (BreakGlass, Sensitive),
        (BreakGlass, Observe),
    ] {
        check(native, effective, Err(Refusal::Misjudged));
    }
}

#[test]
fn an_override_counts_until_it_is_granted() {
    let overridden = || {
        let value = "https://elsewhere".to_owned();
        let overrides = vec![Override { kind: OverrideKind::Endpoint, value }];
        TestAction::new(b"x", Operation { overrides, ..operation(Tier::Observe) })
    };
    assert_eq!(overridden().operations.worst().native_class(), Class::Evasion);
    let check = |overrides, effective, expect| {
        let policy = ScriptedPolicy::new(move |_| Decision {
            overrides,
            ..decision(Verdict::Allow, effective)
        });
        assert_eq!(Bench::new(policy, Reply::No).run(overridden()), expect);
    };
    check(OverrideVerdict::Held, Tier::Observe, Err(Refusal::Misjudged));
    check(OverrideVerdict::Held, Tier::BreakGlass, Ok(()));
    check(OverrideVerdict::Granted, Tier::Observe, Ok(()));
    check(OverrideVerdict::Granted, Tier::BreakGlass, Err(Refusal::Misjudged));
}

#[test]
fn of_several_operations_the_strictest_verdict_wins() {
    use Verdict::{Allow, Deny, Escalate};
    let check = |verdicts: [Verdict; 3], expect| {
        let tiers = [Tier::Observe, Tier::Modify, Tier::Sensitive];
        let operations = Operations::many(tiers.map(operation)).unwrap();
        let action = TestAction { operations, ..TestAction::at(Tier::Observe) };
        let policy = ScriptedPolicy::new(move |query| {
            let tier = query.operation.tier;
            let place = tiers.iter().position(|known| *known == tier).unwrap();
            decision(verdicts[place], tier)
        });
        assert_eq!(Bench::new(policy, Reply::No).run(action), expect, "{verdicts:?}");
    };
    check([Allow, Allow, Allow], Ok(()));
    check([Escalate, Allow, Allow], Err(Refusal::Approver));
    check([Allow, Allow, Escalate], Err(Refusal::Approver));
    check([Deny, Allow, Escalate], Err(Refusal::Policy));
    check([Escalate, Deny, Escalate], Err(Refusal::Policy));
}

#[test]
fn one_misjudged_operation_spoils_the_action() {
    let operations = Operations::many([Tier::Observe, Tier::BreakGlass].map(operation)).unwrap();
    let action = TestAction { operations, ..TestAction::at(Tier::Observe) };
    let bench = Bench::new(ScriptedPolicy::allows_at(Tier::Observe), Reply::Yes);
    assert_eq!(bench.run(action), Err(Refusal::Misjudged));
}

#[test]
fn a_policy_that_became_stricter_is_heeded() {
    let tier = Tier::Modify;
    let first = || escalate(tier, Obligations::NONE);
    let stricter = || {
        escalate(tier, Obligations { approvers: vec!["oncall".to_owned()], ..Obligations::NONE })
    };
    let check = |decisions: Vec<Decision>, replies: Vec<Reply>, asks: usize, expect| {
        let bench = Bench::scripted(ScriptedPolicy::in_turn(decisions), replies);
        assert_eq!(bench.run(TestAction::at(tier)), expect);
        assert_eq!(bench.approver.asked().len(), asks);
    };
    // Unchanged, or looser: the yes stands.
    check(vec![first(), first()], vec![Reply::Yes], 1, Ok(()));
    check(vec![first(), decision(Verdict::Allow, tier)], vec![Reply::Yes], 1, Ok(()));
    // A denial wins (E15).
    let denied = decision(Verdict::Deny, tier);
    check(vec![first(), denied], vec![Reply::Yes], 1, Err(Refusal::Policy));
    // Stricter: asked again, and the second answer counts (A01).
    let no = vec![Reply::Yes, Reply::No];
    check(vec![first(), stricter()], no, 2, Err(Refusal::Approver));
    let two = Obligations { required_approvers: 2, ..Obligations::NONE };
    let again = vec![Reply::Yes, Reply::YesOfTwo];
    check(vec![first(), escalate(tier, two)], again, 2, Ok(()));
}

#[test]
fn a_policy_that_never_rests_is_asked_about_a_bounded_number_of_times() {
    let minutes = std::sync::atomic::AtomicU64::new(1_000_000);
    let policy = ScriptedPolicy::new(move |_| {
        let wait = minutes.fetch_sub(1, std::sync::atomic::Ordering::Relaxed);
        escalate(Tier::Modify, Obligations { ask_millis: Some(wait), ..Obligations::NONE })
    });
    let bench = Bench::new(policy, Reply::Yes);
    assert_eq!(bench.run(TestAction::at(Tier::Modify)), Err(Refusal::PolicyMoved));
    assert_eq!(bench.approver.asked().len(), ASKS_MAX);
}

#[test]
fn durability_follows_the_tier_by_nature() {
    let check = |native, effective, named, expect| {
        let policy = ScriptedPolicy::new(move |_| {
            let obligations = Arc::new(Obligations { durability: named, ..Obligations::NONE });
            Decision { obligations, ..decision(Verdict::Allow, effective) }
        });
        let bench = Bench::new(policy, Reply::No);
        assert_eq!(bench.run(TestAction::at(native)), Ok(()));
        assert!(bench.sink.noted().iter().all(|noted| noted.durability == expect));
    };
    check(Tier::Observe, Tier::Observe, None, Durability::Write);
    check(Tier::Observe, Tier::Observe, Some(Durability::Sync), Durability::Sync);
    check(Tier::Modify, Tier::Operate, None, Durability::Sync);
    check(Tier::Modify, Tier::Observe, Some(Durability::Write), Durability::Sync);
}

#[test]
fn a_rejection_says_where_it_is_recorded() {
    let bench = Bench::new(ScriptedPolicy::always(Verdict::Deny), Reply::No);
    let Committed::Rejection(rejection) = bench.admit(TestAction::at(Tier::Modify)).unwrap() else {
        panic!("allowed");
    };
    assert_eq!((rejection.reason(), rejection.receipt().seq()), (Refusal::Policy, 0));
    assert_eq!(rejection.record().refusal, Some(Refusal::Policy));
}

#[test]
fn latency_leaves_the_humans_time_out() {
    let bench = Bench::new(ScriptedPolicy::always(Verdict::Escalate), Reply::Yes);
    let clock = bench.clock.clone();
    bench.approver.on_ask(move |_| clock.advance(30_000));
    let warrant = bench.warrant(TestAction::at(Tier::Modify));
    assert_eq!(warrant.record().latency_us, 0);
    assert_eq!(bench.clock.now().boot.millis, 90_000);
}

fn ended(bench: &Bench) -> Option<End> {
    match bench.sink.noted().pop()?.entry?.body {
        Body::Closed(closed) => Some(closed.end),
        Body::Admin(_) | Body::Asked(_) | Body::Decided(_) => None,
    }
}

fn outcome(bench: &Bench) -> Option<Outcome> {
    ended(bench).map(|end| end.outcome)
}
