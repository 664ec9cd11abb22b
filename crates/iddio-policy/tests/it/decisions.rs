//! What is decided: the product's example to the letter, tiers, classes, overrides, scope sets.

use iddio_core::{
    operation::{
        KubernetesPattern, Names, Operation, Override, OverrideKind, Pattern, Protocol, ScopeKey,
    },
    policy::{OverrideVerdict, Verdict, engine::COMBINATIONS_MAX},
    principal::Proof,
    tier::{Class, Tier},
};
use iddio_policy::{Format, load};

use crate::support::{AGENT_TOML, AGENT_YAML, NOW, decide, known, operation, principal, yaml};

const TIERS: [Tier; 5] = Tier::ALL;

#[test]
fn the_example_of_the_contract_decides_exactly() {
    use Protocol::{Aws, Helm, Kubernetes, Ssh, Terraform};
    use ScopeKey::{
        Accounts, Hosts, Namespaces, Regions, Releases, Services, SshPrincipals, Workspaces,
    };
    let rows: &[(Protocol, &[(ScopeKey, &str)], &str)] = &[
        (Kubernetes, &[(Namespaces, "payments")], "aaeed"),
        (Kubernetes, &[(Namespaces, "api-v1")], "aaeed"),
        (Kubernetes, &[(Namespaces, "prod")], "ddddd"),
        (Ssh, &[(Hosts, "prod-web-7"), (SshPrincipals, "deploy")], "adedd"),
        (Ssh, &[(Hosts, "prod-web-7"), (SshPrincipals, "root")], "ddddd"),
        (Ssh, &[(Hosts, "prod-web-1.evil.example"), (SshPrincipals, "deploy")], "ddddd"),
        (Terraform, &[(Workspaces, "staging-eu")], "adedd"),
        (Terraform, &[(Workspaces, "production")], "ddddd"),
        (Helm, &[(Namespaces, "staging-eu"), (Releases, "nginx-1")], "aaedd"),
        (Helm, &[(Namespaces, "staging-eu"), (Releases, "redis")], "ddddd"),
        (Aws, &[(Services, "s3"), (Regions, "us-east-1"), (Accounts, "123456789012")], "adedd"),
        (Aws, &[(Services, "iam"), (Regions, "us-east-1"), (Accounts, "123456789012")], "ddddd"),
        (Aws, &[(Services, "s3"), (Regions, "us-east-1")], "ddddd"),
        (Protocol::Command, &[], "ddddd"),
        (Protocol::Mcp, &[], "ddddd"),
        (Protocol::Https, &[], "ddddd"),
    ];
    let in_toml = load(AGENT_TOML.as_bytes(), Format::Toml, "agent.toml").unwrap();
    let in_yaml = yaml(AGENT_YAML);
    for (protocol, scopes, verdicts) in rows {
        let scopes: Vec<_> = scopes.iter().map(|(key, name)| (*key, known(&[name]))).collect();
        for (tier, verdict) in TIERS.into_iter().zip(verdicts.chars()) {
            let asked = operation(*protocol, tier, scopes.clone());
            for loaded in [&in_yaml, &in_toml] {
                let decision = decide(loaded, "claude-code", &asked);
                let word = decision.verdict.name();
                assert!(word.starts_with(verdict), "{protocol:?} {scopes:?} {tier}: {word}");
                assert_eq!(decision.effective, tier);
                assert_eq!(decision.policy, loaded.version);
            }
        }
    }
}

#[test]
fn decisions_name_their_rule() {
    let loaded = yaml(AGENT_YAML);
    let staging = [(ScopeKey::Workspaces, known(&["staging-1"]))];
    let asked = operation(Protocol::Terraform, Tier::Modify, staging);
    let decision = decide(&loaded, "claude-code", &asked);
    assert_eq!(&*decision.rule, "claude-code / terraform / tier 2 = escalate");
    assert_eq!(decision.reason, None);
    let decision = decide(&loaded, "somebody", &asked);
    assert_eq!(&*decision.rule, "unknown agent = deny");
}

#[test]
fn a_name_that_is_only_claimed_has_no_rules() {
    let loaded = yaml(AGENT_YAML);
    let mut caller = principal("claude-code");
    let asked = operation(
        Protocol::Kubernetes,
        Tier::Observe,
        [(ScopeKey::Namespaces, known(&["payments"]))],
    );
    for (proof, verdict) in [
        (Proof::Claimed, Verdict::Deny),
        (Proof::Token, Verdict::Allow),
        (Proof::Certificate, Verdict::Allow),
        (Proof::UnixUser, Verdict::Allow),
    ] {
        caller.proof = proof;
        let query = iddio_core::policy::Query { principal: &caller, operation: &asked, now: NOW };
        assert_eq!(loaded.policy.decide(&query, &mut Silent).verdict, verdict, "{proof:?}");
    }
}

pub(crate) struct Silent;

impl iddio_core::policy::engine::Trace for Silent {}

#[test]
fn break_glass_passes_by_the_name_of_its_class_only() {
    let text = "agents: {a: {rules: [{tiers: {0: allow, 4: allow}, dangerous_allow: true, \
                classes: [session, destroy, evasion, unknown]}]}}";
    let loaded = yaml(text);
    for (class, verdict) in [
        (Class::Session, Verdict::Allow),
        (Class::Destroy, Verdict::Allow),
        (Class::Identity, Verdict::Deny),
        (Class::Evasion, Verdict::Deny),
        (Class::Unknown, Verdict::Deny),
    ] {
        let mut asked = operation(
            Protocol::Kubernetes,
            Tier::BreakGlass,
            [(ScopeKey::Namespaces, known(&["x"]))],
        );
        asked.class = class;
        let decision = decide(&loaded, "a", &asked);
        assert_eq!(
            (decision.verdict, decision.effective),
            (verdict, Tier::BreakGlass),
            "{class:?}"
        );
        assert_eq!(decision.reason.is_some(), verdict == Verdict::Deny);
    }
}

#[test]
fn unnamed_tiers_and_uncovered_names_fall_to_the_default_but_break_glass_never_asks() {
    for (default, below) in [("deny", Verdict::Deny), ("escalate", Verdict::Escalate)] {
        let loaded = yaml(&format!(
            "default: {default}\nagents: {{a: {{rules: [{{namespaces: [x], tiers: {{}}}}]}}}}"
        ));
        for tier in TIERS {
            for name in ["x", "y"] {
                let mut asked =
                    operation(Protocol::Kubernetes, tier, [(ScopeKey::Namespaces, known(&[name]))]);
                asked.class = Class::Session;
                let expected = if tier == Tier::BreakGlass { Verdict::Deny } else { below };
                assert_eq!(
                    decide(&loaded, "a", &asked).verdict,
                    expected,
                    "{default} {tier} {name}"
                );
            }
            assert_eq!(
                decide(&loaded, "b", &operation(Protocol::Aws, tier, [])).verdict,
                Verdict::Deny
            );
        }
    }
}

#[test]
fn an_override_is_break_glass_unless_the_deciding_rule_grants_it() {
    let loaded = yaml(
        "agents: {a: {rules: [{protocol: aws, tiers: {0: allow, 2: escalate, 4: deny}, grants: \
         {profiles: [dev-*], endpoints: ['http://127.0.0.1:*'], env: ['AWS_REGION=*'], \
         kubeconfigs: ['/home/a/*']}}]}}",
    );
    let kinds = [
        OverrideKind::Profile,
        OverrideKind::Endpoint,
        OverrideKind::Env,
        OverrideKind::Kubeconfig,
    ];
    let [profile, endpoint, env, kubeconfig] = kinds;
    let rows: &[(&[(OverrideKind, &str)], bool)] = &[
        (&[(profile, "dev-1")], true),
        (&[(profile, "prod")], false),
        (&[(profile, "dev-1"), (endpoint, "http://127.0.0.1:5000")], true),
        (&[(profile, "dev-1"), (endpoint, "http://127.0.0.1:5000@evil.example")], false),
        (&[(profile, "dev-1"), (endpoint, "http://127.0.0.1:80/../x")], false),
        (&[(env, "AWS_REGION=eu-west-1")], true),
        (&[(env, "AWS_PROFILE=dev-1")], false),
        (&[(kubeconfig, "/home/a/config")], true),
        (&[(kubeconfig, "/home/a/../b")], false),
        (&[(kubeconfig, "/home/a/b/c")], false),
        (&[(endpoint, "dev-1")], false),
    ];
    for (overrides, granted) in rows {
        let mut asked = operation(Protocol::Aws, Tier::Observe, []);
        asked.overrides = overrides
            .iter()
            .map(|(kind, value)| Override { kind: *kind, value: (*value).to_owned() })
            .collect();
        let decision = decide(&loaded, "a", &asked);
        let expected = match granted {
            true => (Verdict::Allow, Tier::Observe, OverrideVerdict::Granted),
            false => (Verdict::Deny, Tier::BreakGlass, OverrideVerdict::Held),
        };
        assert_eq!(
            (decision.verdict, decision.effective, decision.overrides),
            expected,
            "{overrides:?}"
        );
    }
}

#[test]
fn an_override_is_granted_only_if_every_name_grants_it() {
    let loaded = yaml(
        "agents: {a: {rules: [{namespaces: [x], tiers: {0: allow, 4: escalate}, classes: [session], \
         grants: {profiles: ['*']}}, {namespaces: [y], tiers: {0: allow}}]}}",
    );
    let mut asked = operation(
        Protocol::Kubernetes,
        Tier::Observe,
        [(ScopeKey::Namespaces, known(&["x", "y"]))],
    );
    asked.overrides = vec![Override { kind: OverrideKind::Profile, value: "p".to_owned() }];
    let decision = decide(&loaded, "a", &asked);
    assert_eq!(
        (decision.verdict, decision.effective, decision.overrides),
        (Verdict::Deny, Tier::BreakGlass, OverrideVerdict::Held)
    );
}

#[test]
fn names_that_could_not_be_established_are_held_against_every_rule_they_might_fall_under() {
    let deny_first = "agents: {a: {rules: [{namespaces: [prod], tiers: {0: deny, 2: escalate}}, \
                      {namespaces: ['*'], tiers: {0: allow, 2: allow}}]}}";
    let allow_first = "agents: {a: {rules: [{namespaces: [dev], tiers: {0: allow, 2: allow}}, \
                       {namespaces: ['*'], tiers: {0: escalate, 2: allow}}]}}";
    let narrow = "agents: {a: {rules: [{namespaces: [dev, 'a*', '?*'], tiers: {0: allow}}]}}";
    let rows = [
        (deny_first, Tier::Observe, Verdict::Deny),
        (deny_first, Tier::Modify, Verdict::Escalate),
        (allow_first, Tier::Observe, Verdict::Escalate),
        (allow_first, Tier::Modify, Verdict::Allow),
        (narrow, Tier::Observe, Verdict::Deny),
    ];
    for (text, tier, verdict) in rows {
        for names in [Names::Every, Names::Unknown, known(&[])] {
            let asked =
                operation(Protocol::Kubernetes, tier, [(ScopeKey::Namespaces, names.clone())]);
            assert_eq!(
                decide(&yaml(text), "a", &asked).verdict,
                verdict,
                "{text} {tier} {names:?}"
            );
        }
    }
}

#[test]
fn more_combinations_of_names_than_are_decided_at_once_are_refused() {
    let loaded = yaml("agents: {a: {rules: [{protocol: helm, tiers: {0: allow}}]}}");
    let names =
        |count: usize| Names::Known((0..count).map(|number| format!("n{number}")).collect());
    let rows = [
        (16, COMBINATIONS_MAX / 16, Verdict::Allow),
        (17, COMBINATIONS_MAX / 16, Verdict::Deny),
        (1, COMBINATIONS_MAX + 1, Verdict::Deny),
        (COMBINATIONS_MAX + 1, COMBINATIONS_MAX + 1, Verdict::Deny),
    ];
    for (namespaces, releases, verdict) in rows {
        let scopes =
            [(ScopeKey::Namespaces, names(namespaces)), (ScopeKey::Releases, names(releases))];
        let asked = operation(Protocol::Helm, Tier::Observe, scopes);
        assert_eq!(decide(&loaded, "a", &asked).verdict, verdict, "{namespaces} {releases}");
    }
}

#[test]
fn objects_without_a_namespace_need_the_lone_star_and_writes_need_cluster_scoped_too() {
    let policy = |rule: &str| {
        yaml(&format!("agents: {{a: {{rules: [{{{rule} tiers: {{0: allow, 2: allow}}}}]}}}}"))
    };
    let rows = [
        ("namespaces: [x],", "dd"),
        ("namespaces: [x], cluster_scoped: true,", "dd"),
        ("namespaces: ['*'],", "ad"),
        ("namespaces: ['*'], cluster_scoped: true,", "aa"),
        ("", "ad"),
        ("cluster_scoped: true,", "aa"),
        ("cluster_scoped: false,", "ad"),
    ];
    for (rule, verdicts) in rows {
        for (tier, verdict) in [Tier::Observe, Tier::Modify].into_iter().zip(verdicts.chars()) {
            let mut asked = operation(Protocol::Kubernetes, tier, []);
            asked.pattern = Pattern::Kubernetes(KubernetesPattern {
                methods: vec![if tier == Tier::Observe { "GET" } else { "PATCH" }.to_owned()],
                api_groups: vec![String::new()],
                resources: vec!["nodes".to_owned()],
                fields: None,
            });
            let decision = decide(&policy(rule), "a", &asked);
            assert!(decision.verdict.name().starts_with(verdict), "{rule} {tier}");
        }
    }
}

#[test]
fn api_discovery_is_open_to_whoever_has_a_kubernetes_rule_for_the_cluster() {
    let mut asked =
        operation(Protocol::Kubernetes, Tier::Observe, [(ScopeKey::Clusters, known(&["dev"]))]);
    asked.pattern = Pattern::Kubernetes(KubernetesPattern {
        methods: vec!["GET".to_owned()],
        api_groups: Vec::new(),
        resources: Vec::new(),
        fields: None,
    });
    for (rule, verdict) in [
        ("namespaces: [x], tiers: {2: escalate}", Verdict::Allow),
        ("clusters: [dev], namespaces: [x], tiers: {}", Verdict::Allow),
        ("clusters: [prod], tiers: {}", Verdict::Deny),
        ("protocol: helm, tiers: {0: allow}", Verdict::Deny),
    ] {
        let loaded = yaml(&format!("agents: {{a: {{rules: [{{{rule}}}]}}}}"));
        assert_eq!(decide(&loaded, "a", &asked).verdict, verdict, "{rule}");
    }
    asked.tier = Tier::Sensitive;
    let loaded = yaml("agents: {a: {rules: [{namespaces: [x], tiers: {}}]}}");
    assert_eq!(decide(&loaded, "a", &asked).verdict, Verdict::Deny);
}

#[test]
fn obligations_of_every_name_add_up() {
    let loaded = yaml(
        "agents: {a: {rules: [{namespaces: [x], tiers: {2: escalate}, required_approvers: 3, timeout: 5m}, \
         {namespaces: [y], tiers: {2: escalate}, four_eyes: true, timeout: 10m, notify: '#y'}]}}",
    );
    let asked =
        operation(Protocol::Kubernetes, Tier::Modify, [(ScopeKey::Namespaces, known(&["x", "y"]))]);
    let owed = decide(&loaded, "a", &asked).obligations;
    assert_eq!(owed.required_approvers, 3);
    assert_eq!(owed.four_eyes, iddio_core::policy::FourEyes::Required);
    assert_eq!((owed.ask_millis, owed.notify.as_slice()), (Some(300_000), &["#y".to_owned()][..]));
}

/// A runbook of every sort, consulted by rules of every protocol.
const RUNBOOKS: &str = r#"
agents:
  a:
    rules:
      - {protocol: kubernetes, runbooks: [k], tiers: {0: deny, 1: allow, 2: escalate, 3: escalate, 4: escalate}, classes: [session]}
      - {protocol: command, runbooks: [c], tiers: {0: deny, 1: allow, 2: escalate, 3: escalate, 4: escalate}, classes: [session]}
      - {protocol: mcp, runbooks: [m], tiers: {0: deny, 1: allow, 2: escalate, 3: escalate}}
runbooks:
  k:
    max_tier: 3
    operations:
      - {methods: [PATCH], resources: [deployments, pods/eviction], fields: ["/spec/replicas", "/metadata/labels"]}
      - {methods: [PUT], api_groups: [batch], resources: ["cron*"], subresources: ["", status], fields: ["/spec"]}
      - {methods: [DELETE], api_groups: [""], resources: [pods], fields: []}
  c:
    max_tier: 3
    operations:
      - commands: ["deploy web-* --now", ["rm", "*"]]
  m:
    operations:
      - tools: ["github/list_*", close_issue]
"#;

#[test]
fn a_runbook_lowers_what_it_names_and_not_a_field_a_word_or_a_tier_more() {
    let request = |method: &str, group: &str, resource: &str, fields: Option<&[&str]>| {
        Pattern::Kubernetes(KubernetesPattern {
            methods: vec![method.to_owned()],
            api_groups: vec![group.to_owned()],
            resources: vec![resource.to_owned()],
            fields: fields.map(|fields| fields.iter().map(|field| (*field).to_owned()).collect()),
        })
    };
    let words = |text: &str| Pattern::Command(text.split(' ').map(str::to_owned).collect());
    let tool = |server: &str, tool: &str| Pattern::Tool(server.to_owned(), tool.to_owned());
    let (k, c, m) = (Protocol::Kubernetes, Protocol::Command, Protocol::Mcp);
    let rows = [
        (k, request("PATCH", "apps", "deployments", Some(&["/spec/replicas"])), true),
        (
            k,
            request(
                "PATCH",
                "apps",
                "deployments",
                Some(&["/metadata/labels/a", "/spec/replicas"]),
            ),
            true,
        ),
        (
            k,
            request("PATCH", "apps", "deployments", Some(&["/spec/replicas", "/spec/template"])),
            false,
        ),
        (k, request("PATCH", "apps", "deployments", Some(&["/spec/replicas2"])), false),
        (k, request("PATCH", "apps", "deployments", Some(&["/spec"])), false),
        (k, request("PATCH", "apps", "deployments", Some(&[])), false),
        (k, request("PATCH", "apps", "deployments", None), false),
        (k, request("PUT", "apps", "deployments", Some(&["/spec/replicas"])), false),
        (k, request("PATCH", "apps", "deployments/scale", Some(&["/spec/replicas"])), false),
        (k, request("PATCH", "evil.example", "deployments", Some(&["/spec/replicas"])), false),
        (k, request("PATCH", "x.k8s.io", "deployments", Some(&["/spec/replicas"])), true),
        (k, request("PATCH", "", "pods/eviction", Some(&["/spec/replicas"])), true),
        (k, request("PATCH", "", "pods", Some(&["/spec/replicas"])), false),
        (k, request("PUT", "batch", "cronjobs", Some(&["/spec/schedule"])), true),
        (k, request("PUT", "batch", "cronjobs/status", Some(&["/spec"])), true),
        (k, request("PUT", "batch", "jobs", Some(&["/spec"])), false),
        (k, request("PUT", "apps", "cronjobs", Some(&["/spec"])), false),
        (k, request("DELETE", "", "pods", None), true),
        (k, request("DELETE", "apps", "pods", None), false),
        (k, words("deploy web-1 --now"), false),
        (k, Pattern::Unmatchable, false),
        (c, words("deploy web-1 --now"), true),
        (c, words("deploy web-1"), false),
        (c, words("deploy web-1 --now -n other"), false),
        (c, words("deploy web-../../x --now"), false),
        (c, words("rm x"), true),
        (c, words("rm -rf"), false),
        (c, words("rm ../x"), false),
        (c, Pattern::Unmatchable, false),
        (m, tool("github", "list_issues"), true),
        (m, tool("gitlab", "list_issues"), false),
        (m, tool("gitlab", "close_issue"), true),
        (m, tool("github", "delete_issue"), false),
    ];
    let loaded = yaml(RUNBOOKS);
    for (protocol, pattern, matches) in rows {
        let mut asked = operation(protocol, Tier::Modify, [(ScopeKey::Namespaces, known(&["x"]))]);
        asked.pattern = pattern.clone();
        let decision = decide(&loaded, "a", &asked);
        let expected = if matches {
            (Verdict::Allow, Tier::Operate)
        } else {
            (Verdict::Escalate, Tier::Modify)
        };
        assert_eq!((decision.verdict, decision.effective), expected, "{pattern:?}");
        assert_eq!(decision.runbook.is_some(), matches);
        asked.overrides = vec![Override { kind: OverrideKind::Env, value: "A=b".to_owned() }];
        assert_eq!(
            decide(&loaded, "a", &asked).effective,
            Tier::BreakGlass,
            "overrides: {pattern:?}"
        );
    }
}

#[test]
fn a_runbook_never_lowers_break_glass_nor_more_than_its_cap_nor_reads() {
    let pattern = Pattern::Command(vec!["rm".to_owned(), "x".to_owned()]);
    let loaded = yaml(RUNBOOKS);
    let capped = yaml(&RUNBOOKS.replace("max_tier: 3", "max_tier: 2"));
    for (policy, tier, effective) in [
        (&loaded, Tier::Observe, Tier::Observe),
        (&loaded, Tier::Operate, Tier::Operate),
        (&loaded, Tier::Modify, Tier::Operate),
        (&loaded, Tier::Sensitive, Tier::Operate),
        (&loaded, Tier::BreakGlass, Tier::BreakGlass),
        (&capped, Tier::Modify, Tier::Operate),
        (&capped, Tier::Sensitive, Tier::Sensitive),
        (&capped, Tier::BreakGlass, Tier::BreakGlass),
    ] {
        let mut asked: Operation = operation(Protocol::Command, tier, []);
        asked.class = Class::Session;
        asked.pattern = pattern.clone();
        let decision = decide(policy, "a", &asked);
        assert_eq!(decision.effective, effective);
        assert_eq!(decision.runbook.is_some(), effective < tier, "{tier}");
    }
}

#[test]
fn a_typical_decision_allocates_nothing() {
    let mut text = String::from("agents:\n");
    for agent in 0..50 {
        text.push_str(&format!("  agent-{agent}:\n    rules:\n"));
        for rule in 0..10 {
            text.push_str(&format!(
                "      - {{namespaces: [team-{rule}-*], clusters: [eu], runbooks: [r], tiers: {{0: allow, 2: escalate}}}}\n"
            ));
        }
    }
    text.push_str(
        "runbooks: {r: {operations: [{methods: [PATCH], resources: [pods], fields: [/spec]}]}}\n",
    );
    let loaded = yaml(&text);
    let caller = principal("agent-30");
    for (tier, name) in
        [(Tier::Observe, "team-9-web"), (Tier::Modify, "team-0-a"), (Tier::Observe, "none")]
    {
        let scopes = [(ScopeKey::Namespaces, known(&[name])), (ScopeKey::Clusters, known(&["eu"]))];
        let asked = operation(Protocol::Kubernetes, tier, scopes);
        let query = iddio_core::policy::Query { principal: &caller, operation: &asked, now: NOW };
        let mut kept = None;
        let counted =
            allocation_counter::measure(|| kept = Some(loaded.policy.decide(&query, &mut Silent)));
        assert!(kept.is_some());
        assert_eq!(counted.count_total, 0, "{tier} {name}");
    }
}
