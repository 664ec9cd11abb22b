//! Bounded tickets: what one yes may serve, and what it may not (A07).

use iddio_approve::{Approval, ApproveError, Notice, Signer};
use iddio_core::{
    approval::{Answer, Ask},
    digest::Digest,
    operation::{Operation, Operations, Override, OverrideKind, Pattern, Protocol, ScopeKey},
    policy::{FourEyes, SharedApproval},
    principal::PrincipalKind,
    text::RawText,
    tier::Tier,
};

use crate::kit::{Home, agent, no, yes};

const QUARTER: u64 = 15 * 60 * 1_000;

#[test]
fn a_ticket_serves_like_asks_until_it_ends() {
    let home = Home::new();
    let (_, bob) = home.enroll("bob", &[]);
    let given_on = give(&home, Signer::Key(&bob), &home.ask(1, Tier::Modify));
    // Another environment, another plan, other effects: what changes from run to run.
    let mut like = home.ask(2, Tier::Modify);
    like.effects[0].text = "terraform_data.other".to_owned();
    like.context.inputs[0].digest = Some(Digest::of_bytes(b"another plan"));
    let put = home.put(&like);
    assert!(matches!(put.notices.recv().unwrap(), Notice::Ticket { .. }));
    let Answer::Grant(grants) = put.answer() else { panic!("no grant") };
    assert_eq!(like.objection(&grants, home.now()), None);
    assert_eq!(grants[0].ticket(), Some(given_on.as_str()));
    assert_eq!(grants[0].by().as_str(), "human:bob");

    home.clock.pass(QUARTER);
    let late = home.put(&home.ask(3, Tier::Modify));
    late.id();
    late.cancel.cancel();
}

#[test]
fn any_other_agent_target_word_or_rule_is_not_covered() {
    let home = Home::new();
    let (_, bob) = home.enroll("bob", &[]);
    give(&home, Signer::Key(&bob), &home.ask(1, Tier::Modify));
    type Change = fn(&mut Ask);
    let changes: [(&str, Change); 21] = [
        ("agent", |ask| ask.principal.id = agent("codex", &[]).id),
        ("kind", |ask| ask.principal.kind = PrincipalKind::Workload),
        ("delegation", |ask| ask.principal.delegation = agent("x", &["human:eve"]).delegation),
        ("tenant", |ask| ask.principal.tenant = Some("acme".to_owned())),
        ("task", |ask| ask.principal.task = Some("t-2".to_owned())),
        ("workspace scope", |ask| {
            operation(ask, |one| one.scopes.add_name(ScopeKey::Workspaces, "prod"));
        }),
        ("another scope", |ask| {
            operation(ask, |one| one.scopes.add_name(ScopeKey::Accounts, "1"));
        }),
        ("protocol", |ask| operation(ask, |one| one.protocol = Protocol::Helm)),
        ("verb", |ask| {
            operation(ask, |one| one.description.command = Some("terraform import".to_owned()));
        }),
        ("argument", |ask| {
            operation(ask, |one| one.description.argv.push(RawText::from("-target=x")));
        }),
        ("fewer arguments", |ask| {
            operation(ask, |one| one.description.argv.truncate(2));
        }),
        ("pattern", |ask| operation(ask, |one| one.pattern = Pattern::Unmatchable)),
        ("resource", |ask| {
            operation(ask, |one| one.description.resource = Some("pods".to_owned()));
        }),
        ("override", |ask| {
            operation(ask, |one| {
                let value = "https://evil.example".to_owned();
                one.overrides = vec![Override { kind: OverrideKind::Endpoint, value }];
            });
        }),
        ("directory", |ask| ask.context.directory = Some(RawText::from("/srv/prod"))),
        ("another input", |ask| ask.context.inputs[0].name = RawText::from("prod.tfvars")),
        ("second operation", |ask| {
            let one = ask.operations.split_first().0.clone();
            ask.operations = Operations::many([one.clone(), one]).unwrap();
        }),
        ("rule", |ask| ask.decision.rule = "another rule".into()),
        ("lower tier", |ask| {
            ask.decision.effective = Tier::Operate;
            operation(ask, |one| one.tier = Tier::Operate);
        }),
        ("stricter obligations", |ask| {
            obligations(ask, |all| all.four_eyes = FourEyes::Required);
        }),
        ("sharing forbidden", |ask| {
            obligations(ask, |all| all.shared_approval = SharedApproval::Forbidden);
        }),
    ];
    for (number, (name, change)) in changes.into_iter().enumerate() {
        let mut ask = home.ask(100 + number as u128, Tier::Modify);
        change(&mut ask);
        let put = home.put(&ask);
        match put.notices.recv().unwrap() {
            Notice::Waiting { .. } => {}
            other => panic!("{name}: {other:?}"),
        }
        put.cancel.cancel();
        assert!(matches!(put.answer(), Answer::Withdraw), "{name}");
    }
    // The table proves something only if the unchanged ask is covered.
    let put = home.put(&home.ask(999, Tier::Modify));
    assert!(matches!(put.notices.recv().unwrap(), Notice::Ticket { .. }));
}

#[test]
fn there_is_no_ticket_above_t2_for_long_or_where_policy_forbids_it() {
    let home = Home::new();
    let (_, bob) = home.enroll("bob", &[]);
    let mut forbidden = home.ask(3, Tier::Modify);
    obligations(&mut forbidden, |all| all.shared_approval = SharedApproval::Forbidden);
    let cases = [
        (home.ask(1, Tier::Sensitive), QUARTER),
        (home.ask(2, Tier::Modify), QUARTER + 1),
        (home.ask(4, Tier::Modify), 0),
        (forbidden, QUARTER),
    ];
    for (ask, millis) in cases {
        let put = home.put(&ask);
        let approval = Approval { ticket_millis: Some(millis), ..yes(Signer::Key(&bob)) };
        let error = home.queue().approve(&put.id(), approval).unwrap_err();
        assert!(matches!(error, ApproveError::NoTicket { .. }), "{error}");
        put.cancel.cancel();
    }
}

#[test]
fn a_ticket_dies_with_its_operator_and_without_one_serves_only_where_none_is_enough() {
    let home = Home::new();
    let (_, bob) = home.enroll("bob", &[]);
    give(&home, Signer::Key(&bob), &home.ask(1, Tier::Modify));
    iddio_approve::Registry::revoke(home.path(), "bob", home.now().wall).unwrap();
    let put = home.put(&home.ask(2, Tier::Modify));
    let id = put.id();
    home.queue().deny(&id, no(Signer::Unsigned)).unwrap();
    assert!(matches!(put.answer(), Answer::Refuse { .. }));

    give(&home, Signer::Unsigned, &home.ask(3, Tier::Modify));
    let put = home.put(&home.ask(4, Tier::Modify));
    let Answer::Grant(grants) = put.answer() else { panic!("no grant") };
    assert_eq!(grants[0].assurance(), iddio_core::approval::Assurance::None);
}

fn give(home: &Home, signer: Signer<'_>, ask: &Ask) -> String {
    let put = home.put(ask);
    let id = put.id();
    let approval = Approval { ticket_millis: Some(QUARTER), ..yes(signer) };
    home.queue().approve(&id, approval).unwrap();
    assert!(matches!(put.answer(), Answer::Grant(_)));
    id
}

fn operation(ask: &mut Ask, change: impl FnOnce(&mut Operation)) {
    let mut operation = ask.operations.split_first().0.clone();
    change(&mut operation);
    ask.operations = Operations::one(operation);
}

fn obligations(ask: &mut Ask, change: impl FnOnce(&mut iddio_core::policy::Obligations)) {
    let mut all = (*ask.decision.obligations).clone();
    change(&mut all);
    ask.decision.obligations = all.into();
}
