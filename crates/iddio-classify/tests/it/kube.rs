//! Request lines of the Kubernetes API (threats K01 to K17, K25).

use iddio_classify::kube::{self, Target};
use iddio_core::tier::{Class, Tier};

fn tier(method: &str, path: &str) -> u8 {
    kube::request(method, path).tier.number()
}

#[test]
fn every_rule_gives_the_tier_of_the_contract() {
    for (method, path, expected) in CONTRACT {
        assert_eq!(tier(method, path), *expected, "{method} {path}");
    }
}

#[test]
fn a_path_with_two_readings_is_refused() {
    let paths = [
        "",
        "api/v1",
        "//api/v1/pods",
        "/api//v1/pods",
        "/api/v1/../v1/secrets",
        "/api/v1/./pods",
        "/api/v1/..",
        "/api/v1/.",
        "/..",
        "/api/v1/%2e%2e/secrets",
        "/api/v1%2fsecrets",
        "/api/v1%2Fsecrets",
        "/api/v1/pods%00",
        "/api/v1/pods%",
        "/api/v1/pods%2",
        "/api/v1/pods%zz",
        "/api/v1/pods%255c",
        "/api/v1/pods;x=y",
        "/api/v1/pods/",
        "/api/v1/Pods",
        "/API/v1/pods/../x",
        "/api/v1/namespaces/n/pods/x/EXEC",
        "/api/v1/pods\\x",
        "/api/v1/pods\u{0}",
        "/api/v1/pods x",
        "/api/v1/p\u{f6}ds",
    ];
    for path in paths {
        let verdict = kube::request("GET", path);
        assert_eq!((verdict.tier, verdict.rule), (Tier::BreakGlass, 10), "{path}");
    }
    for method in ["get", "", "CONNECT", "TRACE", "DELETECOLLECTION"] {
        assert_eq!(kube::request(method, "/api/v1/pods").rule, 10, "{method}");
    }
    let long = format!("/api/v1/namespaces/{}", "x".repeat(kube::PATH_BYTES_MAX));
    assert_eq!(kube::request("GET", &long).rule, 10);
}

#[test]
fn dots_and_upper_case_in_names_are_no_offence() {
    let path = "/apis/rbac.authorization.k8s.io/v1/clusterroles/system:Node..x";
    assert_eq!(tier("GET", path), 0);
    assert_eq!(tier("GET", "/api/v1/namespaces/n/configmaps/kube-root-ca.crt"), 0);
    assert_eq!(tier("GET", "/api/v1/namespaces/n/configmaps/a.."), 0);
    assert_eq!(tier("GET", "/api/v1/namespaces/n/configmaps/..a"), 0);
}

#[test]
fn a_path_is_taken_apart_as_the_server_does() {
    let Some(Target::Resource(line)) =
        kube::target("/apis/apps/v1/namespaces/n/deployments/d/scale")
    else {
        panic!("no resource");
    };
    assert_eq!((line.group, line.version), ("apps", "v1"));
    assert_eq!((line.namespace, line.resource), ("n", "deployments"));
    assert_eq!((line.name, line.subresource), ("d", "scale"));
}

#[test]
fn sessions_destruction_and_identity_have_their_class() {
    let class = |method, path| kube::request(method, path).class;
    assert_eq!(class("GET", "/api/v1/namespaces/n/pods/x/exec"), Class::Session);
    assert_eq!(class("DELETE", "/api/v1/namespaces/n/pods"), Class::Destroy);
    assert_eq!(class("POST", "/api/v1/namespaces/n/serviceaccounts/x/token"), Class::Identity);
}

#[test]
fn a_body_raises_wherever_its_fields_stand() {
    let table = [
        (r#"{"spec":{"replicas":3}}"#, None),
        (r#"{"spec":{"template":{"spec":{"hostNetwork":true}}}}"#, Some(4)),
        (r#"{"spec":{"template":{"spec":{"hostNetwork":false}}}}"#, None),
        (r#"{"spec":{"containers":[{"securityContext":{"privileged":true}}]}}"#, Some(4)),
        (r#"{"spec":{"volumes":[{"hostPath":{"path":"/"}}]}}"#, Some(4)),
        (
            r#"{"spec":{"containers":[{"securityContext":{"capabilities":{"add":["CAP_SYS_ADMIN"]}}}]}}"#,
            Some(4),
        ),
        (r#"[{"op":"add","path":"/spec/template/spec/hostPID","value":true}]"#, Some(4)),
        (r#"[{"op":"move","from":"/a","path":"/b"}]"#, Some(4)),
        (r#"[{"op":"replace","path":"/spec/replicas","value":2}]"#, None),
        (r#"{"spec":{"template":{"spec":{"serviceAccountName":"x"}}}}"#, Some(3)),
        (r#"{"metadata":{"labels":{"pod-security.kubernetes.io/enforce":"privileged"}}}"#, Some(4)),
        (r#"{"spec":{"privileged":true,"privileged":false}}"#, Some(4)),
        (r#"{"spec":{"replicas":3},"Spec":{"replicas":4}}"#, Some(4)),
        ("spec: {replicas: 3}", None),
        ("spec:\n  template:\n    spec:\n      hostPID: true\n", Some(4)),
        ("spec: {replicas: 3}\n---\nspec: {replicas: 3}", Some(4)),
        ("spec: {replicas: 3}\nspec: {replicas: 4}", Some(4)),
        ("", Some(4)),
        ("3", Some(4)),
    ];
    for (body, expected) in table {
        assert_eq!(
            kube::body::judge(body).map(|verdict| verdict.tier.number()),
            expected,
            "{body}"
        );
    }
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    assert_eq!(kube::body::judge(&deep).map(|verdict| verdict.tier.number()), Some(4));
}

/// Requests, with the tiers of the contract, in the order of its rules.
const CONTRACT: &[(&str, &str, u8)] = &[
    // 1
    ("GET", "/healthz", 0),
    ("GET", "/readyz/etcd", 0),
    ("GET", "/version", 0),
    ("GET", "/api", 0),
    ("GET", "/apis/apps/v1", 0),
    ("GET", "/openapi/v3/apis/apps/v1", 0),
    ("GET", "/metrics", 0),
    ("POST", "/healthz", 4),
    ("GET", "/debug/pprof/profile", 4),
    ("GET", "/logs", 4),
    ("GET", "/", 4),
    // 2
    ("GET", "/api/v1/namespaces/n/pods/x/exec", 4),
    ("POST", "/api/v1/namespaces/n/pods/x/attach", 4),
    ("GET", "/api/v1/namespaces/n/pods/x/portforward", 4),
    ("GET", "/api/v1/namespaces/n/services/https:svc:443/proxy/a/b", 4),
    ("GET", "/api/v1/nodes/n/proxy/run/ns/pod/c", 4),
    ("GET", "/api/v1/proxy/nodes/n/run", 4),
    ("PATCH", "/api/v1/namespaces/n/pods/x/ephemeralcontainers", 4),
    // 3
    ("POST", "/api/v1/namespaces/n/serviceaccounts/x/token", 4),
    ("PUT", "/apis/certificates.k8s.io/v1/certificatesigningrequests/x/approval", 4),
    ("POST", "/api/v1/namespaces/n/pods/x/binding", 4),
    ("POST", "/api/v1/namespaces/n/bindings", 4),
    ("PUT", "/api/v1/namespaces/n/finalize", 4),
    ("POST", "/api/v1/namespaces/n/pods/x/eviction", 3),
    ("GET", "/api/v1/namespaces/n/pods/x/log", 0),
    ("GET", "/apis/apps/v1/namespaces/n/deployments/x/status", 0),
    ("GET", "/apis/apps/v1/namespaces/n/deployments/x/scale", 0),
    ("PATCH", "/apis/apps/v1/namespaces/n/deployments/x/scale", 2),
    // 4
    ("POST", "/apis/rbac.authorization.k8s.io/v1/namespaces/n/roles", 4),
    ("DELETE", "/apis/rbac.authorization.k8s.io/v1/clusterroles/x", 4),
    ("PUT", "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/x", 4),
    ("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", 4),
    ("DELETE", "/api/v1/namespaces/n", 4),
    ("PATCH", "/api/v1/nodes/n", 4),
    ("DELETE", "/api/v1/persistentvolumes/x", 4),
    ("PATCH", "/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas/x", 4),
    ("POST", "/api/v1/namespaces/n/serviceaccounts", 3),
    // 5
    ("GET", "/api/v1/secrets", 3),
    ("GET", "/api/v1/watch/namespaces/n/secrets", 3),
    ("GET", "/api/v1/namespaces/n/secrets/x", 3),
    ("PUT", "/api/v1/namespaces/n/secrets/x", 3),
    ("DELETE", "/api/v1/namespaces/n/secrets/x", 3),
    ("DELETE", "/api/v1/namespaces/n/secrets", 4),
    // 8
    ("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", 0),
    ("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", 0),
    // 6, 7, 9
    ("DELETE", "/api/v1/namespaces/n/pods/x", 3),
    ("DELETE", "/api/v1/namespaces/n/pods", 4),
    ("POST", "/apis/apps/v1/namespaces/n/deployments", 2),
    ("PATCH", "/apis/apps/v1/namespaces/n/deployments/x", 2),
    ("GET", "/api/v1/namespaces/n/pods", 0),
    ("HEAD", "/api/v1/pods", 0),
    ("GET", "/api/v1/namespaces", 0),
    ("GET", "/api/v1/namespaces/n", 0),
    // Unknown groups, resources and subresources.
    ("GET", "/apis/example.com/v1/widgets", 2),
    ("PATCH", "/apis/example.com/v1/namespaces/n/widgets/x", 3),
    ("GET", "/apis/example.com/v1/secrets", 2),
    ("GET", "/api/v1/namespaces/n/pods/x/frobnicate", 2),
    ("PUT", "/api/v1/namespaces/n/pods/x/frobnicate", 3),
];
