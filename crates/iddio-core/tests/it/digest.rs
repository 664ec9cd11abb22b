//! Two values with one digest are one value: every field counts (E13).
//!
//! The encodings are destructured without `..`, so a new field does not compile until it is hashed;
//! these tables check that each is hashed as itself.

use std::{collections::HashMap, sync::Arc};

use iddio_core::{
    approval::{Ask, Assurance},
    audit::Durability,
    digest::{Canonical, Digest},
    operation::{
        Context, Description, Effect, Input, KubernetesPattern, Names, Operation, OperationId,
        Operations, Override, OverrideKind, Pattern, Protocol, Reason, ScopeKey, Scopes, Span,
        action_digest,
    },
    policy::{
        CredentialReuse, Decision, FourEyes, Obligations, OverrideVerdict, Recorded,
        SharedApproval, Verdict,
    },
    principal::{Principal, PrincipalId, PrincipalKind, Proof},
    text::RawText,
    tier::{Class, Tier},
    time::{BootTime, Moment, Timestamp},
};
use iddio_testkit::{TestAction, decision, operation, principal};

/// A named change to a value.
type Edit<'a, T> = (&'a str, &'a dyn Fn(&mut T));

/// Checks that each edit of `base` has a digest of its own.
#[track_caller]
fn check<T: Canonical + Clone>(base: &T, edits: &[Edit<'_, T>]) {
    let mut seen = HashMap::from([(Digest::of(base), "nothing")]);
    assert_eq!(Digest::of(base), Digest::of(&base.clone()));
    for (name, edit) in edits {
        let mut edited = base.clone();
        edit(&mut edited);
        let twin = seen.insert(Digest::of(&edited), name);
        assert_eq!(twin, None, "{name} is hashed like its twin");
    }
}

fn text(text: &str) -> String {
    text.to_owned()
}

fn scopes(key: ScopeKey, names: Names) -> Scopes {
    let mut scopes = Scopes::default();
    scopes.add(key, names);
    scopes
}

#[test]
fn every_field_of_an_operation_counts() {
    let known = |names: &[&str]| Names::Known(names.iter().copied().map(text).collect());
    check::<Operation>(
        &operation(Tier::Modify),
        &[
            ("protocol", &|it| it.protocol = Protocol::Aws),
            ("tier", &|it| it.tier = Tier::Operate),
            ("class", &|it| it.class = Class::Session),
            ("scope", &|it| it.scopes = scopes(ScopeKey::Hosts, known(&["a"]))),
            ("scope key", &|it| it.scopes = scopes(ScopeKey::Paths, known(&["a"]))),
            ("scope names", &|it| it.scopes = scopes(ScopeKey::Hosts, known(&["a", "b"]))),
            ("scope joined", &|it| it.scopes = scopes(ScopeKey::Hosts, known(&["ab"]))),
            ("scope every", &|it| it.scopes = scopes(ScopeKey::Hosts, Names::Every)),
            ("scope unknown", &|it| it.scopes = scopes(ScopeKey::Hosts, Names::Unknown)),
            ("scope none", &|it| it.scopes = scopes(ScopeKey::Hosts, known(&[]))),
            ("override", &|it| {
                it.overrides = vec![Override { kind: OverrideKind::Env, value: text("x") }]
            }),
            ("override kind", &|it| {
                it.overrides = vec![Override { kind: OverrideKind::Profile, value: text("x") }]
            }),
            ("override value", &|it| {
                it.overrides = vec![Override { kind: OverrideKind::Env, value: text("y") }]
            }),
            ("pattern command", &|it| it.pattern = Pattern::Command(vec![text("a"), text("b")])),
            ("pattern words", &|it| it.pattern = Pattern::Command(vec![text("ab")])),
            ("pattern tool", &|it| it.pattern = Pattern::Tool(text("a"), text("b"))),
            ("pattern tool shifted", &|it| it.pattern = Pattern::Tool(text("ab"), text(""))),
            ("reason", &|it| it.reasons = vec![reason()]),
            ("reason tier", &|it| it.reasons = vec![Reason { tier: Tier::Modify, ..reason() }]),
            ("reason rule", &|it| it.reasons = vec![Reason { rule: text("r2"), ..reason() }]),
            ("reason text", &|it| it.reasons = vec![Reason { text: text("t2"), ..reason() }]),
            ("reason word", &|it| it.reasons = vec![Reason { word: Some(0), ..reason() }]),
            ("reason place", &|it| {
                it.reasons = vec![Reason { at: Some(Span::default()), ..reason() }]
            }),
            ("reason other word", &|it| it.reasons = vec![Reason { word: Some(1), ..reason() }]),
            ("command", &|it| it.description.command = Some(text("other"))),
            ("no command", &|it| it.description.command = None),
            ("argv", &|it| it.description.argv.push(RawText::from("x"))),
            ("argv empty word", &|it| it.description.argv.push(RawText::from(""))),
            ("argv joined", &|it| it.description.argv = vec![RawText::from("tool--go")]),
            ("argv bytes", &|it| it.description.argv = vec![RawText::new([0xff])]),
            ("argv other bytes", &|it| it.description.argv = vec![RawText::new([0xfe])]),
            ("argv replacement", &|it| it.description.argv = vec![RawText::from("\u{fffd}")]),
            ("method", &|it| it.description.method = Some(text("x"))),
            ("path", &|it| it.description.path = Some(text("x"))),
            ("namespace", &|it| it.description.namespace = Some(text("x"))),
            ("resource", &|it| it.description.resource = Some(text("x"))),
            ("workspace", &|it| it.description.workspace = Some(text("x"))),
            ("workspace empty", &|it| it.description.workspace = Some(text(""))),
        ],
    );
}

fn reason() -> Reason {
    Reason { tier: Tier::Observe, rule: text("r"), text: text("t"), word: None, at: None }
}

#[test]
fn every_field_of_a_kubernetes_pattern_counts() {
    type Edit = fn(&mut KubernetesPattern);
    let pattern = |edit: Edit| {
        let mut it = KubernetesPattern {
            methods: vec![text("GET")],
            api_groups: vec![text("apps")],
            resources: vec![text("pods")],
            fields: None,
        };
        edit(&mut it);
        Operation { pattern: Pattern::Kubernetes(it), ..operation(Tier::Modify) }
    };
    let edits: [Edit; 6] = [
        |_| (),
        |it| it.methods.push(String::new()),
        |it| it.api_groups.clear(),
        |it| it.resources = vec!["pods/exec".to_owned()],
        |it| it.fields = Some(Vec::new()),
        |it| it.fields = Some(vec!["/spec".to_owned()]),
    ];
    let digests: std::collections::HashSet<_> =
        edits.iter().map(|edit| Digest::of(&pattern(*edit))).collect();
    assert_eq!(digests.len(), edits.len());
}

#[test]
fn every_field_of_an_action_counts() {
    let effect = || Effect { tier: Tier::Modify, sign: text("~"), text: text("x") };
    let input = || Input { name: RawText::from("plan"), digest: None };
    check::<TestAction>(
        &TestAction::at(Tier::Modify),
        &[
            ("body", &|it| it.body.push(0)),
            ("body bytes", &|it| it.body = vec![0xff]),
            ("operations", &|it| it.operations = Operations::one(operation(Tier::Observe))),
            ("more operations", &|it| {
                it.operations =
                    Operations::many([Tier::Modify, Tier::Observe].map(operation)).unwrap();
            }),
            ("effect", &|it| it.effects = vec![effect()]),
            ("effect sign", &|it| it.effects = vec![Effect { sign: text("-"), ..effect() }]),
            ("effect tier", &|it| it.effects = vec![Effect { tier: Tier::Sensitive, ..effect() }]),
            ("effect text", &|it| it.effects = vec![Effect { text: text("y"), ..effect() }]),
            ("directory", &|it| it.context.directory = Some(RawText::from("/"))),
            ("input", &|it| it.context.inputs = vec![input()]),
            ("input digest", &|it| {
                it.context.inputs = vec![Input { digest: Some(Digest::of_bytes(b"")), ..input() }];
            }),
            ("explanation", &|it| it.context.explanation = Some(RawText::from("/"))),
        ],
    );
}

/// E13: what policy and the record see is the same, what would run is not.
#[test]
fn two_actions_with_one_description_have_two_digests() {
    let description = Description { argv: vec![RawText::from("?")], ..Description::default() };
    let operation = Operation { description, ..operation(Tier::Modify) };
    let one = TestAction::new(b"rm \xff", operation.clone());
    let other = TestAction::new(b"rm \xfe", operation);
    assert_eq!(Digest::of(&one.operations), Digest::of(&other.operations));
    assert_ne!(action_digest(&one), action_digest(&other));
}

#[test]
fn every_field_of_an_ask_counts() {
    let moment =
        |wall, millis| Moment { wall: Timestamp(wall), boot: BootTime { boot_id: 1, millis } };
    let base = Ask {
        id: OperationId(1),
        principal: principal("agent-1", &["human:ada"]),
        action_digest: Digest::of_bytes(b"a"),
        operations: Operations::one(operation(Tier::Modify)),
        effects: Vec::new(),
        context: Context::default(),
        decision: decision(Verdict::Escalate, Tier::Modify),
        asked: moment(1, 1),
        lapses: moment(2, 2),
    };
    check::<Ask>(
        &base,
        &[
            ("id", &|it| it.id = OperationId(2)),
            ("principal", &|it| it.principal = principal("agent-2", &["human:ada"])),
            ("action", &|it| it.action_digest = Digest::of_bytes(b"b")),
            ("operations", &|it| it.operations = Operations::one(operation(Tier::Observe))),
            ("effects", &|it| {
                it.effects = vec![Effect { tier: Tier::Modify, sign: text(""), text: text("") }];
            }),
            ("context", &|it| it.context.directory = Some(RawText::from("/"))),
            ("decision", &|it| it.decision = decision(Verdict::Escalate, Tier::Operate)),
            ("asked", &|it| it.asked = moment(9, 1)),
            ("asked boot", &|it| it.asked = moment(1, 9)),
            ("lapses", &|it| it.lapses = moment(9, 2)),
            ("lapses boot", &|it| it.lapses = moment(2, 9)),
            ("another boot", &|it| it.lapses.boot.boot_id = 9),
        ],
    );
}

#[test]
fn every_field_of_a_principal_counts() {
    let name = |name: &str| PrincipalId::new(name).unwrap();
    check::<Principal>(
        &principal("agent-1", &["human:ada"]),
        &[
            ("id", &|it| it.id = name("agent-2")),
            ("kind", &|it| it.kind = PrincipalKind::Workload),
            ("delegation", &|it| it.delegation = vec![name("human:bob")]),
            ("longer delegation", &|it| it.delegation.push(name("human:bob"))),
            ("no delegation", &|it| it.delegation.clear()),
            ("proof", &|it| it.proof = Proof::Claimed),
            ("groups", &|it| it.groups = vec![text("a"), text("b")]),
            ("groups joined", &|it| it.groups = vec![text("ab")]),
            ("tenant", &|it| it.tenant = Some(text("x"))),
            ("task", &|it| it.task = Some(text("x"))),
        ],
    );
}

#[test]
fn every_field_of_a_decision_and_its_obligations_counts() {
    fn obliged(edit: impl FnOnce(&mut Obligations)) -> Arc<Obligations> {
        let mut obligations = Obligations::NONE;
        edit(&mut obligations);
        Arc::new(obligations)
    }
    check::<Decision>(
        &decision(Verdict::Escalate, Tier::Modify),
        &[
            ("verdict", &|it| it.verdict = Verdict::Allow),
            ("effective", &|it| it.effective = Tier::Operate),
            ("overrides", &|it| it.overrides = OverrideVerdict::Granted),
            ("rule", &|it| it.rule = Arc::from("other")),
            ("runbook", &|it| it.runbook = Some(Arc::from("x"))),
            ("reason", &|it| it.reason = Some(Arc::from("x"))),
            ("policy", &|it| it.policy = Digest::of_bytes(b"other")),
            ("approvers", &|it| it.obligations = obliged(|it| it.approvers = vec![text("x")])),
            ("required", &|it| it.obligations = obliged(|it| it.required_approvers = 2)),
            ("four eyes", &|it| it.obligations = obliged(|it| it.four_eyes = FourEyes::Required)),
            ("assurance", &|it| it.obligations = obliged(|it| it.assurance = Assurance::Uid)),
            ("wait", &|it| it.obligations = obliged(|it| it.ask_millis = Some(0))),
            ("longer wait", &|it| it.obligations = obliged(|it| it.ask_millis = Some(1))),
            ("notify", &|it| it.obligations = obliged(|it| it.notify = vec![text("x")])),
            ("run", &|it| it.obligations = obliged(|it| it.run_millis_max = Some(0))),
            ("record", &|it| it.obligations = obliged(|it| it.record = Recorded::Full)),
            ("durability", &|it| {
                it.obligations = obliged(|it| it.durability = Some(Durability::Sync))
            }),
            ("credential", &|it| {
                it.obligations = obliged(|it| it.credential = CredentialReuse::Reuse)
            }),
            ("shared", &|it| {
                it.obligations = obliged(|it| it.shared_approval = SharedApproval::Forbidden);
            }),
            ("verify", &|it| it.obligations = obliged(|it| it.verify = Some(text("x")))),
        ],
    );
}
