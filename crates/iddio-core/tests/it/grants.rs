//! Which yes is a yes.

use iddio_core::{
    approval::{Assurance, Grant, Objection, Vouched},
    audit::Refusal,
    digest::Digest,
    operation::{Operation, OperationId},
    pipeline::Request,
    policy::{FourEyes, Obligations, Verdict},
    principal::{Identified, PrincipalId, PrincipalKind},
    tier::{Class, Tier},
    time::Timestamp,
};
use iddio_testkit::{Reply, ScriptedPolicy, TestAction, operation, principal, vouched};

use crate::bench::{Bench, asked, escalate, grants};

fn objected(objection: Objection) -> Result<(), Refusal> {
    Err(Refusal::Grant(objection))
}

#[test]
fn a_grant_for_another_question_is_a_refusal() {
    let got = asked(Tier::Modify, Obligations::NONE, Reply::Forge);
    assert_eq!(got, objected(Objection::OtherAsk));
}

#[test]
fn a_grant_for_the_same_operation_asked_earlier_is_for_another_question() {
    let bench = Bench::new(ScriptedPolicy::always(Verdict::Escalate), Reply::Yes);
    assert_eq!(bench.run(TestAction::at(Tier::Modify)), Ok(()));
    let first = bench.approver.asked().remove(0);
    let replay = grants(move |_| vec![vouched("human:bob", &first)]);
    let second = Bench::new(ScriptedPolicy::always(Verdict::Escalate), replay);
    second.clock.advance(1);
    assert_eq!(second.run(TestAction::at(Tier::Modify)), objected(Objection::OtherAsk));
}

#[test]
fn nobody_approves_their_own_request() {
    let check =
        |caller: &str, delegation: &[&str], by: &'static str, aliases: &'static [&str], tier| {
            let reply = grants(move |ask| {
                let aliases = aliases.iter().map(|name| PrincipalId::new(name).unwrap()).collect();
                vec![Vouched { aliases, ..vouched(by, ask) }]
            });
            let policy = ScriptedPolicy::new(move |_| escalate(tier, Obligations::NONE));
            let bench = Bench::new(policy, reply);
            let who = Identified::assertion(principal(caller, delegation));
            bench.run_request(Request::new(&who, OperationId(1), bench.now(), TestAction::at(tier)))
        };
    let own = objected(Objection::OwnRequest);
    // The agent itself, its delegator, under whatever name.
    assert_eq!(check("agent-1", &[], "agent-1", &[], Tier::Modify), own);
    assert_eq!(check("agent-1", &["agent-0", "human:ada"], "agent-0", &[], Tier::Modify), own);
    assert_eq!(
        check("agent-1", &["agent-0", "human:ada"], "human:bob", &["agent-0"], Tier::Modify),
        own
    );
    assert_eq!(check("agent-1", &["human:eve", "human:ada"], "human:eve", &[], Tier::Modify), own);
    // The root human, up to T2 and not above.
    for tier in [Tier::Observe, Tier::Operate, Tier::Modify] {
        assert_eq!(check("agent-1", &["human:ada"], "human:ada", &[], tier), Ok(()));
    }
    assert_eq!(check("agent-1", &["human:ada"], "human:ada", &[], Tier::Sensitive), own);
    assert_eq!(check("agent-1", &["human:ada"], "human:bob", &["human:ada"], Tier::Sensitive), own);
    // A human who acts for themselves is the root human, and so may up to T2 (a personal home).
    assert_eq!(check("local:ada", &[], "local:ada", &[], Tier::Modify), Ok(()));
    assert_eq!(check("local:ada", &[], "local:ada", &[], Tier::Sensitive), own);
    // Somebody else always may.
    assert_eq!(check("agent-1", &["human:ada"], "human:bob", &[], Tier::Sensitive), Ok(()));
}

#[test]
fn four_eyes_excludes_the_root_human_below_t3() {
    let check = |by: &'static str| {
        let four_eyes = Obligations { four_eyes: FourEyes::Required, ..Obligations::NONE };
        let policy = ScriptedPolicy::new(move |_| escalate(Tier::Modify, four_eyes.clone()));
        let bench = Bench::new(policy, grants(move |ask| vec![vouched(by, ask)]));
        let who = Identified::assertion(principal("agent-1", &["human:ada"]));
        let action = TestAction::at(Tier::Modify);
        bench.run_request(Request::new(&who, OperationId(1), bench.now(), action))
    };
    assert_eq!(check("human:ada"), objected(Objection::OwnRequest));
    assert_eq!(check("human:bob"), Ok(()));
}

#[test]
fn an_agent_grants_nothing() {
    for kind in [PrincipalKind::Agent, PrincipalKind::Workload] {
        let reply = grants(move |ask| vec![Vouched { kind, ..vouched("bot-2", ask) }]);
        let got = asked(Tier::Modify, Obligations::NONE, reply);
        assert_eq!(got, objected(Objection::NotHuman));
    }
}

#[test]
fn a_quorum_is_of_different_people() {
    let two = || Obligations { required_approvers: 2, ..Obligations::NONE };
    let check = |names: &'static [(&str, &[&str])]| {
        let reply = grants(move |ask| {
            let grant = |(by, aliases): &(&str, &[&str])| {
                let aliases = aliases.iter().map(|name| PrincipalId::new(name).unwrap()).collect();
                Vouched { aliases, ..vouched(by, ask) }
            };
            names.iter().map(grant).collect()
        });
        asked(Tier::Modify, two(), reply)
    };
    assert_eq!(check(&[("human:bob", &[]), ("human:eve", &[])]), Ok(()));
    let few = objected(Objection::TooFew);
    assert_eq!(check(&[]), few);
    assert_eq!(check(&[("human:bob", &[])]), few);
    assert_eq!(check(&[("human:bob", &[]), ("human:bob", &[])]), few);
    assert_eq!(check(&[("human:bob", &["local:bob"]), ("local:bob", &[])]), few);
    assert_eq!(check(&[("human:bob", &["uid:7"]), ("human:eve", &["uid:7"])]), few);
}

#[test]
fn break_glass_takes_two_and_a_session_one() {
    let check = |class, reply| {
        let policy = ScriptedPolicy::new(|_| escalate(Tier::BreakGlass, Obligations::NONE));
        let action = TestAction::new(b"x", Operation { class, ..operation(Tier::BreakGlass) });
        Bench::new(policy, reply).run(action)
    };
    assert_eq!(check(Class::Destroy, Reply::Yes), objected(Objection::TooFew));
    assert_eq!(check(Class::Destroy, Reply::YesOfTwo), Ok(()));
    assert_eq!(check(Class::Session, Reply::Yes), Ok(()));
}

#[test]
fn assurance_is_what_tier_and_policy_ask_for() {
    let check = |tier, required, given| {
        let obligations = Obligations { assurance: required, ..Obligations::NONE };
        let reply =
            grants(move |ask| vec![Vouched { assurance: given, ..vouched("human:bob", ask) }]);
        asked(tier, obligations, reply)
    };
    use Assurance::{Hardware, None, Passphrase, Uid};
    let weak = objected(Objection::WeakAssurance);
    assert_eq!(check(Tier::Modify, None, None), Ok(()));
    // `none` never satisfies T3, whatever policy says.
    assert_eq!(check(Tier::Sensitive, None, None), weak);
    assert_eq!(check(Tier::Sensitive, None, Uid), Ok(()));
    assert_eq!(check(Tier::Modify, Passphrase, Uid), weak);
    assert_eq!(check(Tier::Modify, Passphrase, Hardware), Ok(()));
    assert_eq!(check(Tier::Sensitive, Hardware, Passphrase), weak);
}

#[test]
fn only_the_groups_policy_names_answer() {
    let check = |groups: &'static [&str]| {
        let obligations = Obligations {
            approvers: vec!["sre".to_owned(), "oncall".to_owned()],
            ..Obligations::NONE
        };
        let reply = grants(move |ask| {
            let groups = groups.iter().map(|group| (*group).to_owned()).collect();
            vec![Vouched { groups, ..vouched("human:bob", ask) }]
        });
        asked(Tier::Modify, obligations, reply)
    };
    assert_eq!(check(&["oncall"]), Ok(()));
    assert_eq!(check(&["dev", "sre"]), Ok(()));
    assert_eq!(check(&["dev"]), objected(Objection::OutsideGroups));
    assert_eq!(check(&[]), objected(Objection::OutsideGroups));
}

#[test]
fn one_bad_grant_spoils_the_rest() {
    let reply = grants(|ask| vec![vouched("human:bob", ask), vouched("agent-1", ask)]);
    let got = asked(Tier::Modify, Obligations::NONE, reply);
    assert_eq!(got, objected(Objection::OwnRequest));
}

#[test]
fn a_grant_that_comes_late_is_a_lapse() {
    let late = |millis: u64, wall: Option<u64>| {
        let obligations = Obligations { ask_millis: Some(60_000), ..Obligations::NONE };
        let policy = ScriptedPolicy::new(move |_| escalate(Tier::Modify, obligations.clone()));
        let bench = Bench::new(policy, Reply::Yes);
        let clock = bench.clock.clone();
        bench.approver.on_ask(move |_| {
            clock.advance(millis);
            wall.into_iter().for_each(|wall| clock.set_wall(Timestamp(wall)));
        });
        bench.run(TestAction::at(Tier::Modify))
    };
    assert_eq!(late(59_999, None), Ok(()));
    assert_eq!(late(60_000, None), Err(Refusal::Lapse));
    // The wall clock, moved back or ahead, changes nothing (A15).
    assert_eq!(late(60_000, Some(0)), Err(Refusal::Lapse));
    assert_eq!(late(1, Some(u64::MAX)), Ok(()));
}

#[test]
fn a_grant_of_another_boot_is_a_lapse() {
    let bench = Bench::new(ScriptedPolicy::always(Verdict::Escalate), Reply::Yes);
    let clock = bench.clock.clone();
    bench.approver.on_ask(move |_| clock.reboot());
    assert_eq!(bench.run(TestAction::at(Tier::Modify)), Err(Refusal::Lapse));
}

#[test]
fn a_grant_runs_out_before_its_ask_may() {
    let early = |ask: &iddio_core::approval::Ask| ask.asked.plus_millis(1_000);
    let reply = move || {
        grants(move |ask| vec![Vouched { expires: early(ask), ..vouched("human:bob", ask) }])
    };
    let check = |thought: u64| {
        let bench = Bench::new(ScriptedPolicy::always(Verdict::Escalate), reply());
        let clock = bench.clock.clone();
        bench.approver.on_ask(move |_| clock.advance(thought));
        bench.run(TestAction::at(Tier::Modify))
    };
    assert_eq!(check(999), Ok(()));
    assert_eq!(check(1_000), objected(Objection::Expired));
}

#[test]
fn a_grant_that_runs_out_ends_the_warrant() {
    let reply = grants(|ask| {
        vec![Vouched { expires: ask.asked.plus_millis(1_000), ..vouched("human:bob", ask) }]
    });
    let bench = Bench::new(ScriptedPolicy::always(Verdict::Escalate), reply);
    let warrant = bench.warrant(TestAction::at(Tier::Modify));
    bench.clock.advance(1_000);
    assert!(iddio_testkit::block_on(warrant.mint(&iddio_testkit::Mint::Works)).is_err());
    bench.assert_sound();
}

#[test]
fn an_ask_waits_no_longer_than_a_day() {
    let obligations = Obligations { ask_millis: Some(u64::MAX), ..Obligations::NONE };
    let policy = ScriptedPolicy::new(move |_| escalate(Tier::Modify, obligations.clone()));
    let bench = Bench::new(policy, Reply::Lapse);
    assert_eq!(bench.run(TestAction::at(Tier::Modify)), Err(Refusal::Lapse));
    let ask = bench.approver.asked().remove(0);
    assert_eq!(ask.lapses, ask.asked.plus_millis(24 * 60 * 60 * 1_000));
}

#[test]
fn a_grant_tells_what_was_vouched_for_and_people_are_counted_once() {
    let bench = Bench::new(ScriptedPolicy::always(Verdict::Escalate), Reply::Yes);
    assert_eq!(bench.run(TestAction::at(Tier::Modify)), Ok(()));
    let ask = bench.approver.asked().remove(0);
    let statement = Some(Digest::of_bytes(b"statement"));
    let ticket = Some("esc_00000000".to_owned());
    let bob = Grant::assertion(Vouched { ticket, statement, ..vouched("human:bob", &ask) });
    assert_eq!(bob.ticket(), Some("esc_00000000"));
    assert_eq!(bob.statement(), statement);
    assert_eq!(bob.by().as_str(), "human:bob");
    assert_eq!(bob.expires(), ask.lapses);
    assert_eq!(bob.assurance(), Assurance::Hardware);
    let also_bob = Grant::assertion(Vouched {
        aliases: vec![PrincipalId::new("human:bob").unwrap()],
        ..vouched("human:robert", &ask)
    });
    let eve = Grant::assertion(vouched("human:eve", &ask));
    assert_eq!(eve.ticket(), None);
    assert_eq!(Grant::people(&[]), 0);
    assert_eq!(Grant::people(&[bob.clone(), also_bob.clone()]), 1);
    assert_eq!(Grant::people(&[bob, also_bob, eve]), 2);
}

#[test]
fn an_assurance_is_read_by_its_own_name_alone() {
    for assurance in Assurance::ALL {
        assert_eq!(Assurance::from_name(assurance.name()), Some(assurance));
    }
    let names = Assurance::ALL.map(Assurance::name);
    assert_eq!(names, ["none", "uid", "passphrase", "hardware"]);
    assert_eq!(Assurance::from_name("None"), None);
    assert_eq!(Assurance::from_name(""), None);
}

#[test]
fn an_objection_says_what_is_wrong_with_a_yes() {
    let cases = [
        (Objection::NotHuman, "the approver is not a human"),
        (Objection::OtherAsk, "the grant answers another ask"),
        (Objection::OwnRequest, "the approver is the requester or acts for it"),
        (Objection::OutsideGroups, "the approver is in none of the groups policy names"),
        (Objection::Expired, "the grant has expired"),
        (Objection::TooFew, "not enough approvers"),
        (Objection::WeakAssurance, "the grant's assurance is too weak for this tier or policy"),
    ];
    for (objection, text) in cases {
        assert_eq!(objection.to_string(), text);
    }
}

#[test]
fn an_ask_waits_a_quarter_of_an_hour_where_nobody_says_otherwise() {
    assert_eq!(iddio_core::pipeline::ASK_MILLIS_DEFAULT, 900_000);
    assert_eq!(iddio_core::pipeline::ASK_MILLIS_MAX, 86_400_000);
    assert_eq!(iddio_core::pipeline::WARRANT_MILLIS_MAX, 60_000);
}
