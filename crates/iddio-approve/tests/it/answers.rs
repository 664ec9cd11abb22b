//! Saying yes and saying no.

use std::time::Duration;

use iddio_approve::{ApproveError, Custody, Form, Signer, State};
use iddio_core::{
    approval::{Answer, Assurance, Objection},
    principal::{PrincipalId, PrincipalKind},
    tier::Tier,
};

use crate::kit::{self, Home, no, yes};

#[test]
fn an_unsigned_yes_grants_t2_in_a_personal_home_with_no_assurance() {
    let home = Home::new();
    let ask = home.ask(1, Tier::Modify);
    let put = home.put(&ask);
    let id = put.id();
    let said = home.queue().approve(&id, yes(Signer::Unsigned)).unwrap();
    assert_eq!((said.assurance, said.have, said.need), (Assurance::None, 1, 1));
    let Answer::Grant(grants) = put.answer() else { panic!("no grant") };
    assert_eq!(ask.objection(&grants, home.now()), None);
    assert_eq!(grants[0].assurance(), Assurance::None);
    assert_eq!(grants[0].by().as_str(), "local:ada");
    assert_eq!(grants[0].statement(), None);
    let over = home.queue().wait(&id, Duration::from_secs(60)).unwrap();
    assert_eq!(over.state, State::Consumed);
}

#[test]
fn a_no_refuses_and_is_final() {
    let home = Home::new();
    let put = home.put(&home.ask(1, Tier::Modify));
    let id = put.id();
    home.queue().deny(&id, no(Signer::Unsigned)).unwrap();
    let Answer::Refuse { by } = put.answer() else { panic!("not refused") };
    assert_eq!(by.as_str(), "local:ada");
    let late = home.queue().approve(&id, yes(Signer::Unsigned)).unwrap_err();
    assert!(matches!(late, ApproveError::Ended { state: State::Refused, .. }), "{late}");
}

#[test]
fn t3_needs_a_signature() {
    let home = Home::new();
    let (_, bob) = home.enroll("bob", &[]);
    let ask = home.ask(1, Tier::Sensitive);
    let put = home.put(&ask);
    let id = put.id();
    let weak = home.queue().approve(&id, yes(Signer::Unsigned)).unwrap_err();
    assert!(matches!(weak, ApproveError::NeedsKey(_)), "{weak}");
    home.queue().approve(&id, yes(Signer::Key(&bob))).unwrap();
    let Answer::Grant(grants) = put.answer() else { panic!("no grant") };
    assert_eq!(ask.objection(&grants, home.now()), None);
    assert_eq!(grants[0].assurance(), Assurance::Passphrase);
    assert!(grants[0].statement().is_some());
}

#[test]
fn nobody_approves_their_own_request() {
    let home = Home::new();
    let (_, ada) = home.enroll("ada", &[]);
    let cases = [
        // Ada asks herself: at T3 she is excluded, also under her operator's name.
        (PrincipalKind::Human, "local:ada", vec![], Tier::Sensitive),
        (PrincipalKind::Human, "human:ada", vec![], Tier::Sensitive),
        // Somebody asks for her, directly or through another.
        (PrincipalKind::Agent, "claude-code", vec!["local:ada"], Tier::Sensitive),
        (PrincipalKind::Agent, "claude-code", vec!["human:ada", "human:eve"], Tier::Modify),
        (PrincipalKind::Workload, "ci", vec!["planner", "human:ada"], Tier::Sensitive),
    ];
    for (number, (kind, name, chain, tier)) in cases.into_iter().enumerate() {
        let mut ask = home.ask(number as u128, tier);
        ask.principal = kit::agent(name, &chain);
        ask.principal.kind = kind;
        let put = home.put(&ask);
        let id = put.id();
        let error = home.queue().approve(&id, yes(Signer::Key(&ada))).unwrap_err();
        let own = matches!(error, ApproveError::Objection(Objection::OwnRequest));
        assert!(own, "case {number}: {error}");
        put.cancel.cancel();
        assert!(matches!(put.answer(), Answer::Withdraw));
    }
}

#[test]
fn the_human_an_agent_works_for_may_approve_below_t3_unless_four_eyes_are_asked() {
    let home = Home::new();
    let mut ask = home.ask(1, Tier::Modify);
    ask.principal = kit::agent("claude-code", &["local:ada"]);
    let put = home.put(&ask);
    home.queue().approve(&put.id(), yes(Signer::Unsigned)).unwrap();
    assert!(matches!(put.answer(), Answer::Grant(_)));

    let mut ask = home.ask(2, Tier::Modify);
    ask.principal = kit::agent("claude-code", &["local:ada"]);
    let mut obligations = (*ask.decision.obligations).clone();
    obligations.four_eyes = iddio_core::policy::FourEyes::Required;
    ask.decision.obligations = obligations.into();
    let put = home.put(&ask);
    let error = home.queue().approve(&put.id(), yes(Signer::Unsigned)).unwrap_err();
    assert!(matches!(error, ApproveError::Objection(Objection::OwnRequest)), "{error}");
    put.cancel.cancel();
}

#[test]
fn an_agents_name_is_no_operator() {
    let home = Home::new();
    for name in ["", "Claude", "claude code", "agent:x", "../x", "a/b", "-x", &"a".repeat(65)] {
        let added = iddio_approve::Registry::add(
            home.path(),
            name,
            None,
            &iddio_approve::Profile::default(),
            home.now().wall,
        );
        assert!(added.is_err(), "{name:?}");
    }
    let added = iddio_approve::Registry::add(
        home.path(),
        "claude-code",
        None,
        &iddio_approve::Profile::default(),
        home.now().wall,
    );
    assert_eq!(added.unwrap().id, PrincipalId::new("human:claude-code").unwrap());
}

#[test]
fn one_person_under_two_names_counts_once() {
    let home = Home::new();
    let (ada, ada_key) = home.enroll("ada", &[]);
    let (_, bob_key) = home.enroll("bob", &[]);
    let line = ada.key.as_ref().unwrap().public.to_line();
    let taken = iddio_approve::Registry::add(
        home.path(),
        "eve",
        Some((&line, Custody::Here)),
        &iddio_approve::Profile::default(),
        home.now().wall,
    );
    taken.unwrap_err();

    let mut ask = home.ask(1, Tier::Modify);
    let mut obligations = (*ask.decision.obligations).clone();
    obligations.required_approvers = 2;
    ask.decision.obligations = obligations.into();
    let put = home.put(&ask);
    let id = put.id();
    let mut queue = home.queue();
    // Ada's key, her key again, and her Unix user without a key: one person.
    assert_eq!(queue.approve(&id, yes(Signer::Key(&ada_key))).unwrap().have, 1);
    assert_eq!(queue.approve(&id, yes(Signer::Key(&ada_key))).unwrap().have, 1);
    assert_eq!(queue.approve(&id, yes(Signer::Unsigned)).unwrap().have, 1);
    assert_eq!(queue.show(&id).unwrap().state, State::Pending);
    assert_eq!(queue.approve(&id, yes(Signer::Key(&bob_key))).unwrap().have, 2);
    let Answer::Grant(grants) = put.answer() else { panic!("no grant") };
    assert_eq!(ask.objection(&grants, home.now()), None);
}

#[test]
fn break_glass_needs_two_signed_answers() {
    let home = Home::new();
    let (_, bob) = home.enroll("bob", &[]);
    let (_, eve) = home.enroll("eve", &[]);
    let put = home.put(&home.ask(1, Tier::BreakGlass));
    let id = put.id();
    let first = home.queue().approve(&id, yes(Signer::Key(&bob))).unwrap();
    assert_eq!((first.have, first.need), (1, 2));
    assert_eq!(home.queue().show(&id).unwrap().state, State::Pending);
    home.queue().approve(&id, yes(Signer::Key(&eve))).unwrap();
    let Answer::Grant(grants) = put.answer() else { panic!("no grant") };
    assert_eq!(grants.len(), 2);
}

#[test]
fn policy_may_name_groups_and_a_least_assurance() {
    let home = Home::new();
    let (_, bob) = home.enroll("bob", &["dev"]);
    let (_, eve) = home.enroll("eve", &["sre"]);
    let mut ask = home.ask(1, Tier::Modify);
    let mut obligations = (*ask.decision.obligations).clone();
    obligations.approvers = vec!["sre".to_owned()];
    obligations.assurance = Assurance::Passphrase;
    ask.decision.obligations = obligations.into();
    let put = home.put(&ask);
    let id = put.id();
    let mut queue = home.queue();
    assert!(matches!(
        queue.approve(&id, yes(Signer::Unsigned)).unwrap_err(),
        ApproveError::NeedsKey(_)
    ));
    assert!(matches!(
        queue.approve(&id, yes(Signer::Key(&bob))).unwrap_err(),
        ApproveError::Objection(Objection::OutsideGroups)
    ));
    queue.approve(&id, yes(Signer::Key(&eve))).unwrap();
    assert!(matches!(put.answer(), Answer::Grant(_)));
}

#[test]
fn in_a_service_every_answer_is_signed() {
    let mut home = Home::new();
    home.form = Form::Service;
    let (_, bob) = home.enroll("bob", &[]);
    let put = home.put(&home.ask(1, Tier::Modify));
    let id = put.id();
    let error = home.queue().approve(&id, yes(Signer::Unsigned)).unwrap_err();
    assert!(matches!(error, ApproveError::NeedsKey(_)), "{error}");
    home.queue().approve(&id, yes(Signer::Key(&bob))).unwrap();
    assert!(matches!(put.answer(), Answer::Grant(_)));
}
