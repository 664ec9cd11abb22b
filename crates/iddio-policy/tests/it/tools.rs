//! The tools on policy: explain, lint, table tests.

use iddio_core::{
    approval::Assurance,
    operation::{KubernetesPattern, Names, Operations, Pattern, Protocol, ScopeKey},
    policy::Query,
    principal::PrincipalId,
    tier::Tier,
};
use iddio_policy::{
    Explanation, Format, Level, Loaded, Operator, Surroundings, explain, lint, test,
};

use crate::support::{AGENT_YAML, NOW, known, operation, principal, yaml};

fn explained(
    loaded: &Loaded,
    agent: &str,
    asked: &iddio_core::operation::Operation,
) -> Explanation {
    let principal = principal(agent);
    explain(loaded, &Query { principal: &principal, operation: asked, now: NOW })
}

#[test]
fn an_explanation_says_which_rule_which_scope_which_tier_and_why_not_the_others() {
    let loaded = yaml(AGENT_YAML);
    let mut asked = operation(
        Protocol::Kubernetes,
        Tier::Modify,
        [(ScopeKey::Namespaces, known(&["payments"]))],
    );
    asked.pattern = Pattern::Kubernetes(KubernetesPattern {
        methods: vec!["PATCH".to_owned()],
        api_groups: vec!["apps".to_owned()],
        resources: vec!["deployments".to_owned()],
        fields: Some(vec![
            "/spec/template/metadata/annotations/kubectl.kubernetes.io~1restartedAt".to_owned(),
        ]),
    });
    let explanation = explained(&loaded, "claude-code", &asked);
    assert_eq!(
        explanation.headline(),
        "T2 → T1 by runbook restart-deploy; rule 1 (kubernetes, payments) tier 1 = allow"
    );
    let text = explanation.to_string();
    for part in [
        "namespaces payments: T1 allow",
        "rule 1   line 6     decides  namespaces payments, api-* → allow",
        "rule 2   line 10    other    it is about ssh",
    ] {
        assert!(text.contains(part), "{text}");
    }
    assert_eq!(
        serde_json::to_value(&explanation).unwrap()["combinations"][0]["rules"][0]["stands"],
        "decides"
    );
}

#[test]
fn an_explanation_says_what_a_rule_does_not_cover_and_what_it_might() {
    let loaded = yaml(
        "agents: {a: {rules: [{namespaces: [prod], tiers: {0: deny}}, {namespaces: ['*'], tiers: {0: allow}}]}}",
    );
    let rows = [
        (
            known(&["dev"]),
            "T0; rule 2 (kubernetes, dev) tier 0 = allow",
            "misses   namespaces prod does not cover it",
        ),
        (
            Names::Unknown,
            "T0; rule 1 (kubernetes, unknown) tier 0 = deny",
            "decides  namespaces prod might be meant → deny",
        ),
    ];
    for (names, headline, part) in rows {
        let asked = operation(Protocol::Kubernetes, Tier::Observe, [(ScopeKey::Namespaces, names)]);
        let explanation = explained(&loaded, "a", &asked);
        assert_eq!(explanation.headline(), headline);
        assert!(explanation.to_string().contains(part), "{explanation}");
    }
    let asked = operation(Protocol::Kubernetes, Tier::Modify, []);
    let text = explained(&loaded, "a", &asked).to_string();
    assert!(text.contains("rule 2   line 1     misses   writes to objects without a namespace need `cluster_scoped: true`"), "{text}");
    let unknown = explained(&loaded, "b", &asked);
    assert_eq!(
        unknown.headline(),
        "T2; unknown agent = deny: the policy has no agent of this name"
    );
}

/// Each row: a policy, and the findings it has, as `level code line`.
#[test]
fn lint_finds_what_is_probably_not_meant() {
    let all = "tiers: {0: allow, 1: escalate, 2: escalate, 3: escalate, 4: deny}";
    let agent = |rules: &[&str]| {
        let rules: String = rules.iter().map(|rule| format!("      - {{{rule}}}\n")).collect();
        format!("agents:\n  a:\n    rules:\n{rules}")
    };
    let rows = [
        (agent(&[all]), vec![]),
        (agent(&[all, &format!("namespaces: [x], {all}")]), vec!["Warning shadowed-rule 5"]),
        (
            agent(&[
                &format!("namespaces: ['api-*'], {all}"),
                &format!("namespaces: [api-1, 'api-v*'], {all}"),
            ]),
            vec!["Warning shadowed-rule 5"],
        ),
        (
            agent(&[
                &format!("namespaces: ['api-?'], {all}"),
                &format!("namespaces: ['api-*'], {all}"),
            ]),
            vec![],
        ),
        (agent(&[&format!("namespaces: [x], {all}"), all]), vec![]),
        (agent(&[all, &format!("cluster_scoped: true, {all}")]), vec![]),
        (agent(&["tiers: {0: allow, 2: escalate}"]), vec!["Note tier-left-to-default 4"]),
        (
            agent(&["tiers: {0: escalate, 1: allow, 2: deny, 3: allow, 4: deny}"]),
            vec!["Warning sensitive-allowed 4", "Warning verdicts-out-of-order 4"],
        ),
        (agent(&[&format!("namespaces: [Prod], {all}")]), vec!["Warning glob-covers-nothing 4"]),
        (agent(&[&format!("namespaces: ['*'], {all}")]), vec!["Note glob-covers-everything 4"]),
        (agent(&[&format!("namespaces: ['?*'], {all}")]), vec!["Warning glob-covers-everything 4"]),
        (agent(&[&format!("namespaces: ['a*', ab], {all}")]), vec!["Note glob-adds-nothing 4"]),
        (
            agent(&[&format!("protocol: aws, accounts: ['1234'], {all}")]),
            vec!["Warning glob-covers-nothing 4"],
        ),
        (
            agent(&[&format!("runbooks: [restrat], {all}")])
                + "runbooks: {restart: {operations: [{commands: [x]}]}}\n",
            vec!["Warning unknown-runbook 4", "Note unused-runbook 5"],
        ),
        (
            agent(&[&format!("approvers: [ser], {all}")]) + "groups: {sre: [bob]}\n",
            vec!["Warning unknown-group 4"],
        ),
        (
            agent(&[&format!("dangerous_allow: true, classes: [session], {all}")]),
            vec!["Note idle-key 4", "Note idle-key 4"],
        ),
        (
            agent(&[
                "tiers: {0: deny, 1: deny, 2: deny, 3: deny, 4: allow}, dangerous_allow: true, classes: [evasion]",
            ]),
            vec![
                "Warning dangerous-allow 4",
                "Warning class-never-passes 4",
                "Warning verdicts-out-of-order 4",
            ],
        ),
        ("default: deny\n".to_owned(), vec!["Warning empty-policy 0"]),
    ];
    for (text, expected) in rows {
        let findings = lint(&yaml(&text), &Surroundings::default());
        let mut found: Vec<_> = findings
            .iter()
            .map(|finding| {
                format!("{:?} {} {}", finding.level, finding.code, finding.position.line)
            })
            .collect();
        found.sort();
        let mut expected = expected;
        expected.sort_unstable();
        assert_eq!(found, expected, "{text}\n{findings:?}");
    }
}

#[test]
fn lint_says_where_nobody_could_answer() {
    let human = |name: &str, assurance| Operator {
        id: PrincipalId::new(name).unwrap(),
        groups: vec!["sre".to_owned()],
        assurance,
    };
    let rows = [
        ("tiers: {2: escalate}", vec![], false),
        ("tiers: {3: escalate}", vec![], true),
        ("tiers: {3: escalate}", vec![human("bob", Assurance::None)], true),
        ("tiers: {3: escalate}", vec![human("bob", Assurance::Passphrase)], false),
        (
            "tiers: {3: escalate}, assurance: hardware",
            vec![human("bob", Assurance::Passphrase)],
            true,
        ),
        ("tiers: {3: escalate}, approvers: [dba]", vec![human("bob", Assurance::Hardware)], true),
        ("tiers: {3: escalate}, approvers: [sre]", vec![human("bob", Assurance::Hardware)], false),
        ("tiers: {4: escalate}, classes: [destroy]", vec![human("bob", Assurance::Hardware)], true),
        (
            "tiers: {4: escalate}, classes: [session]",
            vec![human("bob", Assurance::Hardware)],
            false,
        ),
    ];
    for (rule, operators, expected) in rows {
        let loaded = yaml(&format!("agents: {{a: {{rules: [{{{rule}}}]}}}}"));
        let surroundings = Surroundings { operators: Some(operators), lowered: Vec::new() };
        let findings = lint(&loaded, &surroundings);
        let found = findings.iter().any(|finding| finding.code == "nobody-can-answer");
        assert_eq!(found, expected, "{rule}: {findings:?}");
        assert!(
            lint(&loaded, &Surroundings::default()).iter().all(|f| f.code != "nobody-can-answer")
        );
    }
}

#[test]
fn lint_shows_lowered_catalog_tiers() {
    let lowered = vec!["terraform:destroy from 4 to 2".to_owned()];
    let findings = lint(&yaml(AGENT_YAML), &Surroundings { operators: None, lowered });
    let first = findings.first().unwrap();
    assert_eq!((first.code, first.level), ("lowered-tier", Level::Warning));
    assert_eq!(
        first.to_string(),
        "policy.yaml: warning: a catalog of this installation lowers terraform:destroy from 4 to 2 [lowered-tier]"
    );
}

#[test]
fn a_failing_table_test_says_what_was_expected_and_what_was_got() {
    let table = "tests:\n  - {name: wrong, agent: claude-code, scopes: {namespaces: [payments]}, tier: 0, \
                 expect: {verdict: deny, tier: 1, runbook: r}}\n  - {agent: nobody, protocol: aws, tier: 0, expect: deny}\n";
    let report =
        test(&yaml(AGENT_YAML), table.as_bytes(), Format::Yaml, "t.yaml", &|_| None).unwrap();
    assert_eq!((report.failed(), report.cases.len()), (1, 2));
    let text = report.to_string();
    assert!(
        text.contains("FAIL  wrong   allow — T0; rule 1 (kubernetes, payments) tier 0 = allow"),
        "{text}"
    );
    assert!(text.contains("t.yaml:2:5: verdict: expected deny, got allow"), "{text}");
    assert!(text.contains("t.yaml:2:5: tier: expected 1, got 0"), "{text}");
    assert!(text.contains("t.yaml:2:5: runbook: expected r, got none"), "{text}");
    assert!(text.ends_with("1 passed, 1 failed"), "{text}");
    assert_eq!(serde_json::to_value(&report).unwrap()["cases"][1]["outcome"], "passed");
}

#[test]
fn a_table_test_asks_the_callers_classifier_about_commands() {
    let table = "tests:\n  - {agent: claude-code, command: terraform apply, expect: {verdict: escalate, tier: 2}}\n  \
                 - {agent: claude-code, command: [what, is this], expect: deny}\n";
    let classify = |argv: &[String]| {
        let staging = [(ScopeKey::Workspaces, known(&["staging-1"]))];
        (argv == ["terraform", "apply"])
            .then(|| Operations::one(operation(Protocol::Terraform, Tier::Modify, staging)))
    };
    let report =
        test(&yaml(AGENT_YAML), table.as_bytes(), Format::Yaml, "t.yaml", &classify).unwrap();
    assert_eq!(report.failed(), 1, "{report}");
    assert!(report.to_string().contains("the command could not be classified"), "{report}");
}

#[test]
fn a_file_of_tests_is_read_as_strictly_as_a_policy() {
    let rows = [
        ("tests: []", "1:8: an empty list"),
        ("{}", "1:1: missing key `tests`"),
        ("tests: [{agent: a, tier: 0}]", "1:9: missing key `expect`"),
        ("tests: [{agent: a, tier: 5, expect: deny}]", "1:26: `5` is out of range"),
        ("tests: [{agent: a, tier: 0, expect: no}]", "1:37: unknown verdict `no`"),
        (
            "tests: [{agent: a, tier: 0, scopes: {hosts: [a]}, expect: deny}]",
            "1:38: `hosts` is no scope of kubernetes",
        ),
        (
            "tests: [{agent: a, tier: 0, command: x, expect: deny}]",
            "1:20: `tier` and `command` in one case",
        ),
        ("tests: [{agent: a, tier: 0, expect: {}}]", "1:37: nothing is expected"),
        ("tests: [{agent: a, tier: 0, expcet: deny}]", "1:29: unknown key `expcet`"),
    ];
    for (text, expected) in rows {
        let result = test(&yaml(AGENT_YAML), text.as_bytes(), Format::Yaml, "t", &|_| None);
        let error = result.map(|report| report.cases.len()).unwrap_err().to_string();
        assert!(error.contains(&format!("t:{expected}")), "{text}\n{error}");
    }
}
