//! A change to an object that holds pods is judged by the object that results (product contract,
//! section 2; threats K11, A16).

use super::*;
use iddio_classify::kube::Current;
use serde_json::{Value, json};

const TEMPLATE: &str = "/spec/template/spec/containers/0/securityContext/privileged";

fn deployment(spec: &Value) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"},
        "spec": {"replicas": 1, "template": {"spec": spec}}})
}

fn after(target: &str, headers: Headers<'_>, patch: &Value, current: Current<'_>) -> u8 {
    let mut call = read("PATCH", target, headers, &patch.to_string()).unwrap();
    let before = call.operation("c").tier;
    call.resulting(current);
    let tier = call.operation("c").tier;
    assert!(before <= tier, "a look at the object lowers nothing");
    let worst = call.effects().into_iter().map(|effect| effect.tier).max();
    assert_eq!(worst, Some(tier));
    tier.number()
}

#[test]
fn a_change_is_judged_by_the_object_that_results() {
    let plain = json!({"containers": [{"name": "a", "image": "i"}]});
    let privileged = json!({"containers": [{"name": "a", "image": "i", "securityContext": {"privileged": true}}]});
    let secret = json!({"containers": [{"name": "a", "env": [{"name": "E", "valueFrom":
        {"secretKeyRef": {"name": "s", "key": "k"}}}]}], "serviceAccountName": "web"});
    let image =
        json!({"spec": {"template": {"spec": {"containers": [{"name": "a", "image": "j"}]}}}});
    let replicas = json!({"spec": {"replicas": 3}});
    let env = |name: &str| {
        json!({"spec": {"template": {"spec": {"containers": [{"name": "a", "env": [{"name": "E",
        "valueFrom": {"secretKeyRef": {"name": name, "key": "k"}}}]}]}}}})
    };
    let taken = json!([{"op": "replace", "path": TEMPLATE, "value": false}]);
    let count = json!([{"op": "replace", "path": "/spec/replicas", "value": 3}]);
    let emptied = json!({"spec": {"template": {"spec": {"containers": [{"name": "b"}]}}}});
    let applied = json!({"metadata": {"name": "d"}, "spec": {"template": {"spec":
        {"containers": [{"name": "a", "image": "j"}]}}}});
    let table: [(&Value, Headers<'_>, &Value, u8); 12] = [
        (&plain, STRATEGIC, &image, 2),
        (&plain, JSON_PATCH, &count, 2),
        // What gives the host already runs whatever is changed.
        (&privileged, STRATEGIC, &image, 4),
        (&privileged, STRATEGIC, &replicas, 4),
        (&privileged, MERGE, &replicas, 4),
        (&privileged, JSON_PATCH, &count, 4),
        (&privileged, APPLY, &applied, 4),
        // A merge patch replaces the list, and the operation takes it away: that much is certain.
        (&privileged, MERGE, &emptied, 2),
        (&privileged, JSON_PATCH, &taken, 3),
        // A reference that stays is none that is added.
        (&secret, STRATEGIC, &image, 2),
        (&secret, MERGE, &replicas, 2),
        (&secret, STRATEGIC, &env("other"), 3),
    ];
    for (spec, headers, patch, expected) in table {
        let current = deployment(spec).to_string();
        let tier = after(DEPLOYMENT, headers, patch, Current::Object(current.as_bytes()));
        assert_eq!(tier, expected, "{headers:?} {patch} of {spec}");
    }
}

#[test]
fn an_object_that_cannot_be_read_makes_its_change_sensitive_and_one_that_is_not_there_does_not() {
    let replicas = json!({"spec": {"replicas": 3}});
    let bad: [&[u8]; 5] = [b"", b"{", b"[]", br#"{"a":1,"a":2}"#, b"\xff"];
    for bytes in bad {
        assert_eq!(after(DEPLOYMENT, MERGE, &replicas, Current::Object(bytes)), 3, "{bytes:?}");
    }
    assert_eq!(after(DEPLOYMENT, MERGE, &replicas, Current::Unread), 3);
    assert_eq!(after(DEPLOYMENT, MERGE, &replicas, Current::Absent), 2);
}

#[test]
fn where_the_scheduler_put_a_pod_is_no_change() {
    let pod = json!({"spec": {"nodeName": "n1", "serviceAccountName": "web",
        "ephemeralContainers": [{"name": "d"}]}});
    let (pod, target) = (pod.to_string(), "/api/v1/namespaces/n/pods/x");
    let label = json!({"metadata": {"labels": {"a": "b"}}});
    let current = || Current::Object(pod.as_bytes());
    assert_eq!(after(target, STRATEGIC, &label, current()), 2);
    let moved = json!({"spec": {"nodeName": "n2"}});
    assert_eq!(after(target, MERGE, &moved, current()), 4);
    let owned = json!({"metadata": {"finalizers": ["a/b"]}});
    assert_eq!(after(target, MERGE, &owned, current()), 3);
}

#[test]
fn only_changes_of_what_holds_pods_ask_for_the_object() {
    let changes = |method, target, headers, body| {
        read(method, target, headers, body).unwrap().changes().map(str::to_owned)
    };
    let patch = r#"{"metadata":{}}"#;
    assert_eq!(changes("PATCH", DEPLOYMENT, MERGE, patch).as_deref(), Some(DEPLOYMENT));
    let query = format!("{DEPLOYMENT}?dryRun=All");
    assert_eq!(changes("PATCH", &query, MERGE, patch).as_deref(), Some(DEPLOYMENT));
    for (method, target) in [
        ("PATCH", "/api/v1/namespaces/n/configmaps/c"),
        ("PATCH", "/apis/apps/v1/namespaces/n/deployments/d/scale"),
        ("PATCH", "/apis/example.com/v1/namespaces/n/deployments/d"),
        ("PUT", DEPLOYMENT),
        ("DELETE", DEPLOYMENT),
    ] {
        let headers = if method == "PATCH" { MERGE } else { JSON };
        let body = if method == "DELETE" { "{}" } else { patch };
        assert_eq!(changes(method, target, headers, body), None, "{method} {target}");
    }
}

#[test]
fn k08_who_is_asked_about_a_collection_is_shown_what_it_holds() {
    use iddio_classify::kube::listing::Listing;
    let target = "/api/v1/namespaces/n/pods?labelSelector=a%20in%20(b,c)&propagationPolicy=Orphan";
    let mut call = read("DELETE", target, &[], "").unwrap();
    let list = "/api/v1/namespaces/n/pods?limit=500&labelSelector=a%20in%20%28b%2Cc%29";
    assert_eq!(call.deletes().as_deref(), Some(list));
    let items: Vec<_> = (0..30).map(|at| json!({"metadata": {"name": format!("p{at}")}})).collect();
    let table = [
        (json!({"items": []}), "0 of them"),
        (json!({"items": [{"metadata": {"name": "a", "namespace": "n"}}]}), "1 of them: n/a"),
        (json!({"items": items}), "30 of them: p0, p1"),
        (json!({"items": [], "metadata": {"continue": "x"}}), "at least 0 of them, …"),
    ];
    for (answer, expected) in table {
        let listing = Listing::read(answer.to_string().as_bytes());
        assert!(listing.is_some(), "{answer}");
        call.listed(listing);
        let text = call.effects().first().unwrap().text.clone();
        assert!(text.contains(expected), "{text}");
        assert_eq!(call.operation("c").tier, Tier::BreakGlass);
    }
    for bad in ["", "{}", r#"{"items":[{}]}"#, r#"{"items":3}"#] {
        assert_eq!(Listing::read(bad.as_bytes()), None, "{bad}");
    }
    call.listed(None);
    assert!(call.effects().first().unwrap().text.contains("nobody knows how many"));
    assert_eq!(read("DELETE", "/api/v1/namespaces/n/pods/x", &[], "").unwrap().deletes(), None);
}
