//! What a server says of its custom resources tells scopes and kinds, and lowers nothing (threat K25).

use super::*;
use iddio_classify::kube::discovery::Discovered;
use serde_json::{Value, json};

fn answer(resources: Value) -> Vec<u8> {
    json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "example.com/v1",
        "resources": resources})
    .to_string()
    .into_bytes()
}

fn names() -> Discovered {
    let resources = json!([
        {"name": "widgets", "namespaced": true, "kind": "Widget", "verbs": ["get"]},
        {"name": "widgets/status", "namespaced": true, "kind": "Widget", "verbs": ["get"]},
        {"name": "planets", "namespaced": false, "kind": "Planet", "verbs": ["get"]},
    ]);
    Discovered::read(&answer(resources), "example.com", "v1").unwrap()
}

#[test]
fn k25_what_discovery_says_tells_scopes_and_lowers_no_tier() {
    let table = [
        ("GET", "widgets", Some(Names::Every)),
        ("DELETE", "widgets", Some(Names::Every)),
        ("GET", "planets", None),
        ("GET", "frobs", None),
        ("GET", "namespaces/n/widgets/x", Some(Names::Known(vec!["n".to_owned()]))),
    ];
    for (method, rest, expected) in table {
        let target = format!("/apis/example.com/v1/{rest}");
        let mut call = read(method, &target, &[], "").unwrap();
        assert_eq!(call.unknown(), Some(("example.com", "v1")));
        let before = call.operation("c");
        call.discovered(&names()).unwrap();
        let after = call.operation("c");
        assert_eq!(after.scopes.names(ScopeKey::Namespaces).cloned(), expected, "{target}");
        assert_eq!((after.tier, after.class), (before.tier, before.class), "{target}");
    }
    assert_eq!(read("GET", "/api/v1/pods", &[], "").unwrap().unknown(), None);
    assert_eq!(read("GET", "/apis/apps/v1/deployments", &[], "").unwrap().unknown(), None);
}

#[test]
fn k10_an_object_is_of_the_kind_that_discovery_says() {
    let target = "/apis/example.com/v1/namespaces/n/widgets";
    for (body, sound) in [
        (r#"{"kind":"Widget"}"#, true),
        ("{}", true),
        (r#"{"kind":"Planet"}"#, false),
        (r#"{"kind":"widget"}"#, false),
    ] {
        let mut call = read("POST", target, JSON, body).unwrap();
        assert_eq!(call.discovered(&names()).is_ok(), sound, "{body}");
    }
}

#[test]
fn an_answer_that_is_not_the_one_asked_for_says_nothing() {
    let one = |name: &str, kind: &str| json!({"name": name, "namespaced": true, "kind": kind});
    let read = |bytes: &[u8]| Discovered::read(bytes, "example.com", "v1");
    assert!(read(&answer(json!([one("widgets", "Widget")]))).is_some());
    let many: Vec<_> = (0..3_000).map(|at| one(&format!("w{at}"), "W")).collect();
    let other = String::from_utf8(answer(json!([]))).unwrap();
    let bad = [
        answer(json!([one("widgets", "Widget"), one("widgets", "Other")])),
        answer(json!([one("Widgets", "Widget")])),
        answer(json!([one("widgets", "Wid get")])),
        answer(json!([one("", "Widget")])),
        answer(json!([{"name": "widgets", "kind": "Widget"}])),
        answer(json!({})),
        answer(json!(many)),
        other.replace("example.com/v1", "example.com/v2").into_bytes(),
        other.replace("example.com/v1", "v1").into_bytes(),
        other.replace("APIResourceList", "Status").into_bytes(),
        b"{}".to_vec(),
        b"\xff".to_vec(),
        vec![b' '; 2 << 20],
    ];
    for (at, bytes) in bad.iter().enumerate() {
        assert_eq!(read(bytes), None, "{at}");
    }
}
