//! A freeze comes before policy, and holds until the last moment before forwarding.

use iddio_core::{
    audit::{Body, Outcome, Refusal, line::Kind},
    credential::MintError,
    freeze::{Freeze, Frozen, Hold, Whom},
    policy::Verdict,
    principal::{Principal, PrincipalId, PrincipalKind},
    tier::Tier,
};
use iddio_testkit::{Mint, Reply, ScriptedPolicy, TestAction, block_on, freeze, principal};

use crate::bench::Bench;

fn name(text: &str) -> PrincipalId {
    PrincipalId::new(text).unwrap()
}

fn operator(names: &[&str]) -> Whom {
    Whom::Operator { name: name(names[0]), names: names.iter().map(|one| name(one)).collect() }
}

fn these(whom: Whom) -> Frozen {
    Frozen::These(vec![freeze(whom)])
}

fn unknown() -> Frozen {
    Frozen::Unknown { reason: "the file is damaged".to_owned() }
}

/// `claude-code`, for `local:ada`, on `task-7`.
fn agent() -> Principal {
    Principal {
        id: name("claude-code"),
        kind: PrincipalKind::Agent,
        delegation: vec![name("local:ada")],
        task: Some("task-7".to_owned()),
        ..principal("x", &[])
    }
}

#[test]
fn a_freeze_holds_its_agent_its_task_its_human_and_nobody_else() {
    let table = [
        (Whom::All, true),
        (Whom::Agent(name("claude-code")), true),
        (Whom::Agent(name("claude")), false),
        (Whom::Agent(name("local:ada")), false),
        (Whom::Task("task-7".to_owned()), true),
        (Whom::Task("task-77".to_owned()), false),
        (operator(&["human:ada", "local:ada"]), true),
        (operator(&["human:bob", "local:bob"]), false),
    ];
    for (whom, held) in table {
        let hold = these(whom.clone()).hold(&agent());
        assert_eq!(hold.is_some(), held, "{whom}");
    }
    assert!(unknown().hold(&agent()).is_some());
    assert_eq!(Frozen::These(Vec::new()).hold(&agent()), None);
    let ada = Principal {
        id: name("local:ada"),
        kind: PrincipalKind::Human,
        delegation: Vec::new(),
        task: None,
        ..principal("x", &[])
    };
    assert!(these(operator(&["human:ada", "local:ada"])).hold(&ada).is_some());
    assert!(these(Whom::Agent(name("claude-code"))).hold(&ada).is_none());
}

#[test]
fn the_widest_freeze_is_named_with_who_when_why_and_the_way_out() {
    let frozen = Frozen::These(vec![
        freeze(Whom::Agent(name("claude-code"))),
        Freeze { reason: Some("fire\u{1b}[2J".to_owned()), ..freeze(Whom::All) },
    ]);
    let hold = frozen.hold(&agent()).unwrap();
    assert_eq!(hold.rule(), "frozen: everybody");
    let reason = hold.reason();
    assert!(reason.contains("human:ada") && reason.contains("fire"), "{reason}");
    assert!(reason.contains("2026-11-20T") && !reason.contains('\u{1b}'), "{reason}");
    assert_eq!(hold.remedy(), "a human lifts it: iddio thaw --all");
    let hold = unknown().hold(&agent()).unwrap();
    assert!(matches!(hold, Hold::Unknown { .. }));
    assert!(hold.reason().contains("damaged") && hold.remedy().contains("iddio freeze repair"));
}

#[test]
fn who_is_frozen_is_refused_before_policy_is_asked_and_before_any_human_is() {
    for verdict in [Verdict::Allow, Verdict::Escalate, Verdict::Deny] {
        for frozen in [these(Whom::All), unknown()] {
            let bench = Bench::new(ScriptedPolicy::always(verdict), Reply::Yes);
            bench.freezer.set(frozen);
            assert_eq!(bench.run(TestAction::at(Tier::Observe)), Err(Refusal::Frozen));
            assert_eq!(bench.kinds(), [Kind::Denied]);
            assert!(bench.approver.asked().is_empty());
        }
    }
}

#[test]
fn the_record_of_a_frozen_caller_says_which_freeze_and_why() {
    let bench = Bench::new(ScriptedPolicy::always(Verdict::Allow), Reply::Yes);
    bench.freezer.set(these(Whom::All));
    assert_eq!(bench.run(TestAction::at(Tier::Modify)), Err(Refusal::Frozen));
    let noted = bench.sink.noted();
    let Some(Body::Decided(record)) = noted[0].entry.as_ref().map(|entry| &entry.body) else {
        panic!("{noted:?}");
    };
    assert_eq!(record.decision.verdict, Verdict::Deny);
    assert_eq!(record.decision.effective, Tier::Modify);
    assert_eq!(&*record.decision.rule, "frozen: everybody");
    assert!(record.decision.reason.as_deref().unwrap().contains("it deletes things"));
}

#[test]
fn a_freeze_that_comes_between_any_two_steps_leaves_nothing_forwarded() {
    // Allowed without an ask: looked at on deciding and on committing.
    for looks in 0..2 {
        let bench = Bench::new(ScriptedPolicy::always(Verdict::Allow), Reply::Yes);
        bench.freezer.set_after(looks, these(Whom::All));
        assert_eq!(bench.run(TestAction::at(Tier::Modify)), Err(Refusal::Frozen), "{looks}");
    }
    // Asked: also when the answer comes, and when policy is asked again.
    for looks in 0..4 {
        let bench = Bench::new(ScriptedPolicy::always(Verdict::Escalate), Reply::Yes);
        bench.freezer.set_after(looks, these(Whom::All));
        assert_eq!(bench.run(TestAction::at(Tier::Modify)), Err(Refusal::Frozen), "{looks}");
    }
}

#[test]
fn an_ask_that_a_freeze_ended_is_refused_as_frozen_however_the_wait_ended() {
    for reply in [Reply::Withdraw, Reply::Lapse, Reply::No, Reply::Yes] {
        let bench = Bench::new(ScriptedPolicy::always(Verdict::Escalate), reply);
        let freezer = bench.freezer.clone();
        bench.approver.on_ask(move |_| freezer.set(these(Whom::All)));
        assert_eq!(bench.run(TestAction::at(Tier::Modify)), Err(Refusal::Frozen));
        assert_eq!(bench.kinds(), [Kind::Asked, Kind::Denied]);
    }
}

#[test]
fn k20_a_warrant_whose_caller_is_frozen_before_it_starts_gets_no_credential() {
    let bench = Bench::new(ScriptedPolicy::always(Verdict::Allow), Reply::Yes);
    let warrant = bench.warrant(TestAction::at(Tier::Modify));
    bench.freezer.set(these(Whom::All));
    let minted = block_on(warrant.mint(&Mint::Works));
    assert_eq!(minted.err(), Some(MintError::Frozen));
    assert_eq!(bench.kinds(), [Kind::Allowed, Kind::Closed]);
    let noted = bench.sink.noted();
    let Some(Body::Closed(closed)) = noted[1].entry.as_ref().map(|entry| &entry.body) else {
        panic!("{noted:?}");
    };
    assert_eq!(closed.end.outcome, Outcome::NotForwarded);
    assert!(closed.end.note.as_deref().unwrap().contains("frozen"));
    bench.assert_sound();
}

#[test]
fn k20_what_is_in_flight_is_held_from_the_moment_of_the_freeze() {
    let bench = Bench::new(ScriptedPolicy::always(Verdict::Allow), Reply::Yes);
    let flight = bench.in_flight(TestAction::at(Tier::Modify));
    let leash = flight.leash();
    assert_eq!(leash.hold(), None);
    bench.freezer.set(unknown());
    assert!(leash.hold().is_some());
    bench.freezer.set(Frozen::These(Vec::new()));
    assert_eq!(leash.hold(), None);
    let end = iddio_core::audit::End::of(Outcome::Frozen);
    let _closed = block_on(flight.close(end)).unwrap();
    bench.assert_sound();
}

#[test]
fn a09_the_yes_of_a_frozen_operator_counts_for_nothing() {
    let bench = Bench::new(ScriptedPolicy::always(Verdict::Escalate), Reply::Yes);
    bench.freezer.set(these(operator(&["human:bob", "local:bob"])));
    assert_eq!(bench.run(TestAction::at(Tier::Modify)), Err(Refusal::Frozen));
    let other = Bench::new(ScriptedPolicy::always(Verdict::Escalate), Reply::Yes);
    other.freezer.set(these(operator(&["human:eve"])));
    assert_eq!(other.run(TestAction::at(Tier::Modify)), Ok(()));
    // Frozen between the yes and the start.
    let late = Bench::new(ScriptedPolicy::always(Verdict::Escalate), Reply::Yes);
    let warrant = late.warrant(TestAction::at(Tier::Modify));
    late.freezer.set(these(operator(&["human:bob"])));
    assert_eq!(block_on(warrant.mint(&Mint::Works)).err(), Some(MintError::Frozen));
}

#[test]
fn nobody_is_frozen_twice_under_two_names_of_one_human() {
    let ada = operator(&["human:ada", "local:ada"]);
    assert!(ada.is_same(&operator(&["local:ada"])));
    assert!(!ada.is_same(&operator(&["human:bob"])));
    assert!(!ada.is_same(&Whom::Agent(name("human:ada"))));
    assert!(Whom::All.is_same(&Whom::All));
    assert!(ada.is_human(&[name("local:ada")]) && !Whom::All.is_human(&[name("local:ada")]));
}
