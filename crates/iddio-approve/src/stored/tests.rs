//! Stored asks: whole, exact, and covered by the digest to the last byte.

use std::sync::Arc;

use iddio_core::{
    approval::{Ask, Assurance},
    audit::Durability,
    digest::Digest,
    operation::{
        Description, Input, KubernetesPattern, Names, Operations, Override, OverrideKind, Pattern,
        Reason, ScopeKey, Span,
    },
    policy::{CredentialReuse, FourEyes, OverrideVerdict, Recorded, SharedApproval},
    principal::{PrincipalId, PrincipalKind, Proof},
    text::RawText,
    tier::Tier,
};

use super::{read, write};
use crate::sample;

#[test]
fn an_ask_comes_back_as_it_was_put() {
    for ask in [sample::ask(1, 3, sample::at(5)), rich()] {
        let text = write(&ask).unwrap();
        let back = read(&text).unwrap();
        assert_eq!(back.digest(), ask.digest());
        assert_eq!(format!("{back:?}"), format!("{ask:?}"));
    }
}

#[test]
fn changing_any_stored_byte_changes_the_digest_or_is_noticed() {
    let ask = rich();
    let (text, digest) = (write(&ask).unwrap(), ask.digest());
    let (mut noticed, mut changed) = (0, 0);
    for place in 0..text.len() {
        for with in [b'0', b'1', b'a', b' ', b'"', text.as_bytes()[place] ^ 1] {
            let mut bytes = text.clone().into_bytes();
            if bytes[place] == with {
                continue;
            }
            bytes[place] = with;
            let Ok(other) = String::from_utf8(bytes) else { continue };
            match read(&other) {
                Err(_) => noticed += 1,
                Ok(other) => {
                    assert_ne!(other.digest(), digest, "byte {place}");
                    changed += 1;
                }
            }
        }
    }
    assert!(1_000 < noticed && 1_000 < changed, "{noticed} {changed}");
}

#[test]
fn removing_or_repeating_any_part_is_noticed() {
    let text = write(&rich()).unwrap();
    for place in 0..text.len() {
        assert!(read(&text[..place]).is_err(), "cut at {place}");
    }
    for (from, to) in [
        ("{\"format\"", "{ \"format\""),
        ("\"tier\":3", "\"tier\":3,\"tier\":2"),
        ("iddio-ask/v1", "iddio-ask/v2"),
        ("{\"format\"", "{\"extra\":1,\"format\""),
        ("}}", "}} "),
    ] {
        let other = text.replacen(from, to, 1);
        assert_ne!(other, text, "{from}");
        assert!(read(&other).is_err(), "{from}");
    }
}

/// An ask with something in every field.
fn rich() -> Ask {
    let mut ask = sample::ask(2, 2, sample::at(77));
    let mut first = ask.operations.split_first().0.clone();
    first.tier = Tier::Sensitive;
    first.scopes.add_name(ScopeKey::SshPrincipals, "deploy");
    first.scopes.add(ScopeKey::Namespaces, Names::Every);
    first.scopes.add(ScopeKey::Clusters, Names::Unknown);
    first.overrides =
        vec![Override { kind: OverrideKind::Endpoint, value: "https://x".to_owned() }];
    first.pattern = Pattern::Kubernetes(KubernetesPattern {
        methods: vec!["PATCH".to_owned()],
        api_groups: vec![String::new()],
        resources: vec!["deployments/scale".to_owned()],
        fields: Some(vec!["/spec".to_owned()]),
    });
    first.reasons = vec![Reason {
        tier: Tier::Sensitive,
        rule: "kube:5".to_owned(),
        text: "reads \"a\" Secret".to_owned(),
        word: Some(4),
        at: Some(Span { start: 3, end: 9 }),
    }];
    first.description = Description {
        command: Some("kubectl".to_owned()),
        argv: vec![RawText::from("kubectl"), RawText::new(*b"\xff\xfe\x00"), RawText::from("")],
        method: Some("GET".to_owned()),
        path: Some("/api/v1".to_owned()),
        namespace: Some("web".to_owned()),
        resource: Some("secrets".to_owned()),
        workspace: Some("default".to_owned()),
        cluster: Some("prod".to_owned()),
    };
    let mut second = first.clone();
    second.pattern = Pattern::Tool("files".to_owned(), "read".to_owned());
    ask.operations = Operations::many([first, second]).unwrap();
    ask.principal.kind = PrincipalKind::Workload;
    ask.principal.proof = Proof::UnixUser;
    ask.principal.delegation = vec![PrincipalId::new("human:ada").unwrap()];
    ask.principal.groups = vec!["g".to_owned()];
    ask.principal.tenant = Some("acme".to_owned());
    ask.principal.task = Some("t-1".to_owned());
    ask.context.directory = Some(RawText::from("/srv"));
    ask.context.explanation = Some(RawText::new(*b"trust me \xf0"));
    ask.context.inputs = vec![
        Input { name: RawText::from("plan"), digest: Some(Digest::of_bytes(b"plan")) },
        Input { name: RawText::from("https://x"), digest: None },
    ];
    let decision = &mut ask.decision;
    decision.overrides = OverrideVerdict::Granted;
    decision.runbook = Some("restart".into());
    decision.reason = Some("default".into());
    let mut obligations = (*decision.obligations).clone();
    obligations.approvers = vec!["sre".to_owned()];
    obligations.required_approvers = 2;
    obligations.four_eyes = FourEyes::Required;
    obligations.assurance = Assurance::Hardware;
    obligations.ask_millis = Some(1_000);
    obligations.notify = vec!["#sre".to_owned()];
    obligations.run_millis_max = Some(2_000);
    obligations.record = Recorded::Full;
    obligations.durability = Some(Durability::Sync);
    obligations.credential = CredentialReuse::PerRequest;
    obligations.shared_approval = SharedApproval::Forbidden;
    obligations.verify = Some("check".to_owned());
    decision.obligations = Arc::new(obligations);
    ask
}
