//! Tests of the rights that are handed out.

use super::*;

fn wanted(highest: Tier) -> Wanted {
    Wanted {
        agents: vec!["claude".to_owned()],
        namespace: "iddio".to_owned(),
        within: Vec::new(),
        custom: vec!["example.com".to_owned()],
        highest,
    }
}

/// Every (group, resource, verb) that a tier's own role permits.
fn permitted(tier: Tier) -> BTreeSet<(String, String, String)> {
    let words = |rule: &Value, name: &str| -> Vec<String> {
        rule[name].as_array().unwrap().iter().map(|w| w.as_str().unwrap().to_owned()).collect()
    };
    let mut all = BTreeSet::new();
    for rule in wanted(Tier::BreakGlass).rules(tier) {
        for group in words(&rule, "apiGroups") {
            for resource in words(&rule, "resources") {
                for verb in words(&rule, "verbs") {
                    assert_ne!(verb, "*");
                    assert!(all.insert((group.clone(), resource.clone(), verb)), "twice: {rule}");
                }
            }
        }
    }
    all
}

fn has(tier: Tier, group: &str, resource: &str, verb: &str) -> bool {
    permitted(tier).contains(&(group.to_owned(), resource.to_owned(), verb.to_owned()))
}

#[test]
fn what_an_account_may_is_what_its_tier_is() {
    let table = [
        (Tier::Observe, "", "pods", "watch"),
        (Tier::Observe, "", "pods/log", "get"),
        (Tier::Observe, "apps", "deployments/scale", "get"),
        (Tier::Modify, "apps", "deployments", "patch"),
        (Tier::Modify, "apps", "deployments/scale", "patch"),
        (Tier::Modify, "example.com", "*", "get"),
        (Tier::Sensitive, "", "secrets", "get"),
        (Tier::Sensitive, "", "pods", "delete"),
        (Tier::Sensitive, "", "pods/eviction", "create"),
        (Tier::Sensitive, "", "serviceaccounts", "patch"),
        (Tier::Sensitive, "example.com", "*", "update"),
        (Tier::BreakGlass, "", "pods/exec", "get"),
        (Tier::BreakGlass, "", "pods/exec", "create"),
        (Tier::BreakGlass, "", "pods", "deletecollection"),
        (Tier::BreakGlass, "rbac.authorization.k8s.io", "clusterrolebindings", "create"),
    ];
    for (tier, group, resource, verb) in table {
        for other in [Tier::Observe, Tier::Operate, Tier::Modify, Tier::Sensitive, Tier::BreakGlass]
        {
            assert_eq!(
                has(other, group, resource, verb),
                other == tier,
                "{resource} {verb} {other:?}"
            );
        }
    }
}

#[test]
fn nobody_is_given_what_would_make_more_of_them() {
    for tier in [Tier::Observe, Tier::Modify, Tier::Sensitive, Tier::BreakGlass] {
        for (_, resource, verb) in permitted(tier) {
            assert!(!["bind", "escalate", "impersonate"].contains(&verb.as_str()), "{resource}");
            assert_ne!(resource, "serviceaccounts/token");
        }
    }
}

#[test]
fn break_glass_has_no_account_unless_it_is_asked_for() {
    let text = |highest| wanted(highest).objects().iter().map(yaml::text).collect::<String>();
    assert!(!text(Tier::Sensitive).contains("-t4"));
    assert!(!text(Tier::Sensitive).contains("pods/exec"));
    assert!(text(Tier::BreakGlass).contains("iddio-claude-t4"));
}

#[test]
fn the_gateway_itself_makes_tokens_of_the_accounts_and_ends_them_and_nothing_else() {
    let objects = wanted(Tier::Sensitive).gateway();
    let role = objects.iter().find(|object| object["kind"] == "Role").unwrap();
    let accounts = ["iddio-claude-t0", "iddio-claude-t2", "iddio-claude-t3"];
    assert_eq!(
        role["rules"],
        json!([
            {"apiGroups": [""], "resources": ["serviceaccounts/token"],
             "resourceNames": accounts, "verbs": ["create"]},
            {"apiGroups": [""], "resources": ["secrets"],
             "resourceNames": ["iddio-claude"], "verbs": ["delete"]},
        ])
    );
}

#[test]
fn rights_within_namespaces_bind_no_account_to_the_cluster() {
    let objects = Wanted { within: vec!["shop".to_owned()], ..wanted(Tier::Sensitive) }.objects();
    assert!(objects.iter().all(|object| object["kind"] != "ClusterRoleBinding"));
    let bound = objects.iter().filter(|object| object["metadata"]["namespace"] == "shop");
    assert_eq!(bound.count(), 6);
}

#[test]
fn names_that_are_none_of_kubernetes_are_refused() {
    for name in ["Claude", "a_b", "-a", "a-", "", "a\nkind: x", &"a".repeat(64)] {
        let of = Wanted { agents: vec![name.to_owned()], ..wanted(Tier::Sensitive) };
        assert!(of.check().is_err(), "{name}");
    }
    for group in ["apps", "*", "rbac.authorization.k8s.io", "a..b", "x.Y"] {
        let of = Wanted { custom: vec![group.to_owned()], ..wanted(Tier::Sensitive) };
        assert!(of.check().is_err(), "{group}");
    }
    assert!(wanted(Tier::Sensitive).check().is_ok());
}

#[test]
fn yaml_says_what_the_object_is() {
    let object = json!({
        "kind": "Role", "on": {"a": "yes", "n": 1},
        "rules": [{"verbs": ["get", "list"], "resources": ["pods"]}, {"verbs": []}],
    });
    let text = yaml::text(&object);
    assert_eq!(
        text,
        "kind: \"Role\"\non:\n  a: \"yes\"\n  n: 1\nrules:\n  - resources: [\"pods\"]\n    \
         verbs: [\"get\",\"list\"]\n  - verbs: []\n"
    );
}
