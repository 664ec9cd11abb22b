//! Whole requests of the Kubernetes API: line, query, upgrade and body together (threats K01 to K17,
//! K25).

use iddio_classify::kube::{Call, Malformed, Raw, Upgrade};
use iddio_core::{
    operation::{Names, Pattern, ScopeKey},
    tier::{Class, Tier},
};

mod differential;
mod discovered;
mod forms;
mod results;
mod vectors;

type Headers<'a> = &'a [(&'a str, &'a [u8])];

fn read(method: &str, target: &str, headers: Headers<'_>, body: &str) -> Result<Call, Malformed> {
    Call::read(&Raw { method, target: target.as_bytes(), headers, body: body.as_bytes() })
}

#[expect(clippy::panic, reason = "a request of a table that cannot be read fails its test")]
fn tier(method: &str, target: &str, headers: Headers<'_>, body: &str) -> u8 {
    let call = read(method, target, headers, body);
    let call = call.unwrap_or_else(|error| panic!("{method} {target} {body}: {error}"));
    call.operation("c").tier.number()
}

#[expect(clippy::panic, reason = "a request of a table that cannot be read fails its test")]
fn status(method: &str, target: &str, headers: Headers<'_>, body: &str) -> u16 {
    match read(method, target, headers, body) {
        Ok(call) => panic!("{method} {target} {body} is read as {}", call.shown()),
        Err(malformed) => {
            let operation = malformed.operation("c", method, target);
            assert_eq!(operation.tier, Tier::BreakGlass);
            assert!(matches!(operation.class, Class::Evasion | Class::Unknown));
            malformed.status()
        }
    }
}

const WEBSOCKET: Headers<'_> = &[
    ("connection", b"Upgrade"),
    ("upgrade", b"websocket"),
    ("sec-websocket-protocol", b"v5.channel.k8s.io"),
];
const SPDY: Headers<'_> = &[("connection", b"keep-alive, Upgrade"), ("upgrade", b"SPDY/3.1")];
const JSON: Headers<'_> = &[("content-type", b"application/json")];
const YAML: Headers<'_> = &[("content-type", b"application/yaml; charset=utf-8")];
const APPLY: Headers<'_> = &[("content-type", b"application/apply-patch+yaml")];
const MERGE: Headers<'_> = &[("content-type", b"application/merge-patch+json")];
const STRATEGIC: Headers<'_> = &[("content-type", b"application/strategic-merge-patch+json")];
const JSON_PATCH: Headers<'_> = &[("content-type", b"application/json-patch+json")];

#[test]
fn k01_an_exec_by_websocket_is_an_exec_and_no_get() {
    let target = "/api/v1/namespaces/n/pods/x/exec?command=sh&command=-c&command=id&stdin=true";
    let call = read("GET", target, WEBSOCKET, "").unwrap();
    assert_eq!((call.verb(), call.info.verb), ("exec", "get"));
    assert_eq!(call.upgrade, Upgrade::WebSocket);
    let operation = call.operation("c");
    assert_eq!((operation.tier, operation.class), (Tier::BreakGlass, Class::Session));
    assert_eq!(operation.description.method.as_deref(), Some("exec"));
    assert_eq!(operation.pattern, Pattern::Unmatchable);
    assert!(call.effects().first().unwrap().text.ends_with("exec pods/exec n/x: sh -c id"));
}

#[test]
fn k02_an_exec_by_post_and_spdy_has_the_same_tier() {
    let target = "/api/v1/namespaces/n/pods/x/exec?command=sh";
    let call = read("POST", target, SPDY, "").unwrap();
    assert_eq!((call.upgrade, call.verb()), (Upgrade::Spdy, "exec"));
    assert_eq!(call.operation("c").tier, Tier::BreakGlass);
    for verb in ["attach", "portforward"] {
        let target = format!("/api/v1/namespaces/n/pods/x/{verb}");
        for (method, headers) in [("GET", WEBSOCKET), ("POST", SPDY), ("GET", &[] as Headers<'_>)] {
            let call = read(method, &target, headers, "").unwrap();
            assert_eq!((call.verb(), call.operation("c").tier.number()), (verb, 4));
        }
    }
}

#[test]
fn k03_k04_whatever_goes_through_a_proxy_is_break_glass_by_every_method() {
    let targets = [
        "/api/v1/nodes/n/proxy/exec/ns/pod/c?command=id&command=id",
        "/api/v1/nodes/n/proxy/run/ns/pod/c",
        "/api/v1/nodes/n/proxy/containerLogs/ns/pod/c",
        "/api/v1/nodes/n:10250/proxy/portForward/ns/pod",
        "/api/v1/namespaces/n/services/https:svc:443/proxy/a/b?x=1;y=2",
        "/api/v1/namespaces/n/pods/x/proxy",
        "/api/v1/proxy/nodes/n/run",
    ];
    for target in targets {
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"] {
            // A semicolon is read in two ways, whosever it is.
            match target.contains(';') {
                true => assert_eq!(status(method, target, &[], ""), 400),
                false => assert_eq!(tier(method, target, &[], ""), 4, "{method} {target}"),
            }
        }
        if !target.contains(';') {
            assert_eq!(tier("GET", target, WEBSOCKET, ""), 4);
        }
    }
}

#[test]
fn k06_a_path_with_two_readings_is_refused_and_said_so() {
    let targets: [&[u8]; 20] = [
        b"//api/v1/pods",
        b"/api//v1/pods",
        b"/api/v1/../v1/secrets",
        b"/api/v1/%2e%2e/secrets",
        b"/api/v1/%2E/secrets",
        b"/api/v1%2fsecrets",
        b"/api/v1%2Fsecrets",
        b"/api/v1/pods;x=y",
        b"/api/v1/pods/",
        b"/API/v1/pods",
        b"/Apis/apps/v1/deployments",
        b"/api/v1/Pods",
        b"/api/V1/pods",
        b"/api/v1/pods/\xff",
        b"/api/v1/p\xc3\xb6ds",
        b"/api/v1/watch",
        b"/api/v1/proxy",
        b"http://other/api/v1/pods",
        b"*",
        b"",
    ];
    for target in targets {
        let raw = Raw { method: "GET", target, headers: &[], body: b"" };
        let error = Call::read(&raw).expect_err(&String::from_utf8_lossy(target));
        assert_eq!(error.status(), 400, "{}", String::from_utf8_lossy(target));
    }
    for method in ["get", "CONNECT", "TRACE", "PROPFIND", ""] {
        assert_eq!(status(method, "/api/v1/pods", &[], ""), 400, "{method}");
    }
    assert_eq!(status("POST", "/api/v1/watch/pods", &[], ""), 400);
}

#[test]
fn k07_reading_secrets_is_sensitive_in_whatever_form_they_are_wished_for() {
    for accept in [
        "application/json",
        "application/json;as=Table;v=v1;g=meta.k8s.io,application/json",
        "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io",
        "application/vnd.kubernetes.protobuf;stream=watch",
    ] {
        let headers = [("accept", accept.as_bytes())];
        for target in ["/api/v1/secrets", "/api/v1/namespaces/n/secrets?watch=1"] {
            assert_eq!(tier("GET", target, &headers, ""), 3, "{target} {accept}");
        }
        assert_eq!(tier("GET", "/api/v1/namespaces/n/secrets/x", &headers, ""), 3);
    }
}

#[test]
fn k08_a_collection_stays_one_whatever_selects_from_it() {
    for target in [
        "/api/v1/namespaces/n/pods",
        "/api/v1/namespaces/n/pods?labelSelector=app%3Dx",
        "/api/v1/namespaces/n/pods?fieldSelector=metadata.name=x",
    ] {
        let call = read("DELETE", target, &[], "").unwrap();
        assert_eq!(call.info.verb, "deletecollection");
        assert_eq!(call.operation("c").tier.number(), 4, "{target}");
        assert_eq!(call.operation("c").class, Class::Destroy);
    }
    let target = "/api/v1/namespaces/n/pods?labelSelector=app%3Dx";
    let effects = read("DELETE", target, &[], "").unwrap().effects();
    assert!(effects.first().unwrap().text.contains("labels app=x"));
}

const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/n/deployments";
const DEPLOYMENT: &str = "/apis/apps/v1/namespaces/n/deployments/d";

#[test]
fn k09_every_form_of_a_body_is_parsed_or_refused() {
    let harmless = r#"{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"d"}}"#;
    let host = r#"{"spec":{"template":{"spec":{"hostPID":true}}}}"#;
    let host_yaml = "spec:\n  template:\n    spec:\n      hostPID: true\n";
    let patched = r#"[{"op":"add","path":"/spec/template/spec/hostPID","value":true}]"#;
    let table: [(&str, &str, Headers<'_>, &str, u8); 13] = [
        ("POST", DEPLOYMENTS, JSON, harmless, 2),
        ("POST", DEPLOYMENTS, &[], harmless, 2),
        ("POST", DEPLOYMENTS, JSON, host, 4),
        ("PUT", DEPLOYMENT, JSON, host, 4),
        ("POST", DEPLOYMENTS, YAML, host_yaml, 4),
        ("PATCH", DEPLOYMENT, APPLY, host_yaml, 4),
        ("PATCH", DEPLOYMENT, APPLY, host, 4),
        ("PATCH", DEPLOYMENT, APPLY, harmless, 2),
        ("PATCH", DEPLOYMENT, MERGE, host, 4),
        ("PATCH", DEPLOYMENT, STRATEGIC, host, 4),
        ("PATCH", DEPLOYMENT, JSON_PATCH, patched, 4),
        ("PATCH", DEPLOYMENT, MERGE, r#"{"spec":{"replicas":2}}"#, 2),
        ("DELETE", DEPLOYMENT, JSON, r#"{"kind":"DeleteOptions","gracePeriodSeconds":0}"#, 3),
    ];
    for (method, target, headers, body, expected) in table {
        assert_eq!(tier(method, target, headers, body), expected, "{method} {headers:?} {body}");
    }
    let refused: [(&str, &str); 8] = [
        ("application/vnd.kubernetes.protobuf", "k8s\0"),
        ("application/cbor", "\u{1}"),
        ("application/json; charset=utf-16", "{}"),
        ("application/json, application/yaml", "{}"),
        ("text/plain", "{}"),
        ("application/x-www-form-urlencoded", "a=b"),
        ("multipart/form-data", "{}"),
        ("", "{}"),
    ];
    for (kind, body) in refused {
        let headers = [("content-type", kind.as_bytes())];
        assert_eq!(status("PATCH", DEPLOYMENT, &headers, body), 415, "{kind}");
    }
    for encoding in ["gzip", "deflate", "br", "identity, gzip"] {
        let headers =
            [("content-type", &b"application/json"[..]), ("content-encoding", encoding.as_bytes())];
        assert_eq!(status("POST", DEPLOYMENTS, &headers, harmless), 415, "{encoding}");
    }
    let twice = [("content-type", &b"application/json"[..]), ("content-type", b"application/yaml")];
    assert_eq!(status("POST", DEPLOYMENTS, &twice, harmless), 400);
}

#[test]
fn k10_a_body_that_two_readers_take_differently_is_refused() {
    let deep = format!("{}1{}", r#"{"a":"#.repeat(10_000), "}".repeat(10_000));
    let bodies = [
        r#"{"kind":"ConfigMap","kind":"ClusterRoleBinding"}"#,
        r#"{"metadata":{"name":"a"},"Metadata":{"name":"b"}}"#,
        "\u{feff}{}",
        "{} {}",
        "{",
        "[]",
        "3",
        "null",
        "spec: {}",
        r#"{"kind":3}"#,
        r#"{"metadata":[]}"#,
        deep.as_str(),
    ];
    for body in bodies {
        assert_eq!(
            status("PUT", "/api/v1/namespaces/n/configmaps/a", JSON, body),
            400,
            "{body:.60}"
        );
    }
    let disagreeing = [
        r#"{"kind":"ClusterRoleBinding"}"#,
        r#"{"apiVersion":"rbac.authorization.k8s.io/v1"}"#,
        r#"{"metadata":{"namespace":"other"}}"#,
        r#"{"metadata":{"name":"other"}}"#,
    ];
    for body in disagreeing {
        assert_eq!(status("PUT", "/api/v1/namespaces/n/configmaps/a", JSON, body), 400, "{body}");
    }
    assert_eq!(status("PATCH", DEPLOYMENT, APPLY, "a: 1\n---\na: 2"), 400);
    assert_eq!(status("PATCH", DEPLOYMENT, APPLY, "a: 1\na: 2"), 400);
    assert_eq!(status("GET", DEPLOYMENT, JSON, "{}"), 400, "a read with a body");
    assert_eq!(status("DELETE", DEPLOYMENT, JSON, r#"{"kind":"Deployment"}"#), 400);
    assert_eq!(status("PATCH", DEPLOYMENT, JSON_PATCH, r#"[{"op":"make","path":"/a"}]"#), 400);
    assert_eq!(status("PATCH", DEPLOYMENT, MERGE, ""), 400);
    let long = format!(r#"{{"a":"{}"}}"#, "x".repeat(3 * 1024 * 1024));
    assert_eq!(status("POST", DEPLOYMENTS, JSON, &long), 413);
}

#[test]
fn k11_a_pod_hidden_in_whatever_is_created_is_found() {
    let pod = r#"{"containers":[{"securityContext":{"privileged":true}}]}"#;
    let template = format!(r#"{{"spec":{{"template":{{"spec":{pod}}}}}}}"#);
    let cron = format!(r#"{{"spec":{{"jobTemplate":{template}}}}}"#);
    let table = [
        ("/api/v1/namespaces/n/pods", format!(r#"{{"spec":{pod}}}"#)),
        (DEPLOYMENTS, template.clone()),
        ("/apis/apps/v1/namespaces/n/statefulsets", template.clone()),
        ("/apis/apps/v1/namespaces/n/daemonsets", template.clone()),
        ("/apis/batch/v1/namespaces/n/jobs", template.clone()),
        ("/apis/batch/v1/namespaces/n/cronjobs", cron.clone()),
        ("/apis/example.com/v1/namespaces/n/widgets", cron),
        ("/apis/example.com/v1/namespaces/n/widgets/x/frobnicate", template),
    ];
    for (target, body) in table {
        assert_eq!(tier("POST", target, JSON, &body), 4, "{target}");
    }
}

#[test]
fn k12_to_k16_what_gives_rights_or_takes_work_away_keeps_its_tier() {
    let table: [(&str, &str, Headers<'_>, &str, u8); 12] = [
        (
            "PATCH",
            "/api/v1/namespaces/n/pods/x/ephemeralcontainers",
            STRATEGIC,
            r#"{"spec":{"ephemeralContainers":[{"name":"d"}]}}"#,
            4,
        ),
        (
            "POST",
            "/apis/rbac.authorization.k8s.io/v1/namespaces/n/roles",
            JSON,
            r#"{"rules":[{"verbs":["escalate"]}]}"#,
            4,
        ),
        (
            "POST",
            "/api/v1/namespaces/n/serviceaccounts/x/token",
            JSON,
            r#"{"kind":"TokenRequest","spec":{"expirationSeconds":600}}"#,
            4,
        ),
        (
            "PUT",
            "/apis/certificates.k8s.io/v1/certificatesigningrequests/x/approval",
            JSON,
            "{}",
            4,
        ),
        ("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", JSON, "{}", 0),
        ("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", JSON, "{}", 0),
        (
            "DELETE",
            "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/x",
            &[],
            "",
            4,
        ),
        (
            "PATCH",
            "/api/v1/namespaces/n",
            MERGE,
            r#"{"metadata":{"labels":{"pod-security.kubernetes.io/enforce":"privileged"}}}"#,
            4,
        ),
        ("PUT", "/api/v1/namespaces/n/finalize", JSON, "{}", 4),
        (
            "PATCH",
            "/apis/apps/v1/namespaces/n/deployments/d/scale",
            MERGE,
            r#"{"spec":{"replicas":0}}"#,
            2,
        ),
        (
            "POST",
            "/api/v1/namespaces/n/pods/x/eviction",
            JSON,
            r#"{"apiVersion":"policy/v1","kind":"Eviction","metadata":{"name":"x","namespace":"n"}}"#,
            3,
        ),
        ("PATCH", "/api/v1/nodes/n", STRATEGIC, r#"{"spec":{"unschedulable":true}}"#, 2),
    ];
    for (method, target, headers, body, expected) in table {
        assert_eq!(tier(method, target, headers, body), expected, "{method} {target}");
    }
    let more = r#"{"spec":{"unschedulable":true,"taints":[]}}"#;
    assert_eq!(tier("PATCH", "/api/v1/nodes/n", STRATEGIC, more), 4);
    let whole = r#"{"spec":{"unschedulable":true}}"#;
    assert_eq!(tier("PUT", "/api/v1/nodes/n", JSON, whole), 4);
    assert_eq!(tier("PATCH", "/api/v1/nodes/n/status", STRATEGIC, whole), 4);
}

#[test]
fn k17_a_dry_run_in_any_spelling_lowers_nothing() {
    for word in ["dryRun=All", "dryRun=all", "dryRun=", "dryRun", "dry%52un=All", "dryRun=None"] {
        let target = format!("{DEPLOYMENT}?{word}");
        assert_eq!(tier("DELETE", &target, &[], ""), 3, "{word}");
    }
    for word in ["dryRun=All&dryRun=", "dryRun=All&dryRun=All", "dryrun=All", "DryRun=All"] {
        assert_eq!(status("DELETE", &format!("{DEPLOYMENT}?{word}"), &[], ""), 400, "{word}");
    }
    let body = r#"{"kind":"DeleteOptions","dryRun":["All"]}"#;
    assert_eq!(tier("DELETE", DEPLOYMENT, JSON, body), 3);
}

#[test]
fn k25_what_the_catalog_does_not_name_is_never_harmless() {
    let table = [
        ("GET", "/apis/example.com/v1/namespaces/n/widgets", 2),
        ("GET", "/apis/example.com/v1/widgets?watch=true", 2),
        ("POST", "/apis/example.com/v1/namespaces/n/widgets", 3),
        ("GET", "/api/v1/namespaces/n/pods/x/frobnicate", 2),
        ("PUT", "/api/v1/namespaces/n/pods/x/frobnicate", 3),
        ("DELETE", "/apis/example.com/v1/namespaces/n/widgets", 3),
    ];
    for (method, target, least) in table {
        assert!(least <= tier(method, target, &[], ""), "{method} {target}");
    }
}

#[test]
fn k26_an_upgrade_that_nobody_knows_is_break_glass_or_refused() {
    let unknown: Headers<'_> = &[("connection", b"upgrade"), ("upgrade", b"quic")];
    let exec = "/api/v1/namespaces/n/pods/x/exec?command=id";
    for (target, headers) in [
        (exec, unknown),
        ("/api/v1/pods", unknown),
        ("/api/v1/pods?watch=true", WEBSOCKET),
        ("/healthz", SPDY),
    ] {
        let operation = read("GET", target, headers, "").unwrap().operation("c");
        assert_eq!(
            (operation.tier, operation.class),
            (Tier::BreakGlass, Class::Unknown),
            "{target}"
        );
    }
    let refused: [Headers<'_>; 5] = [
        &[("connection", b"upgrade, http2-settings"), ("upgrade", b"h2c")],
        &[("upgrade", b"websocket")],
        &[("connection", b"upgrade")],
        &[("connection", b"upgrade"), ("upgrade", b"websocket"), ("upgrade", b"spdy/3.1")],
        &[("connection", b"upgrade\xff"), ("upgrade", b"websocket")],
    ];
    for headers in refused {
        assert_eq!(status("GET", exec, headers, ""), 400, "{headers:?}");
    }
}

#[test]
fn a_request_touches_its_namespace_every_one_or_the_cluster() {
    let names = |method, target| {
        let operation = read(method, target, &[], "").unwrap().operation("prod");
        let clusters = operation.scopes.names(ScopeKey::Clusters).cloned();
        assert_eq!(clusters, Some(Names::Known(vec!["prod".to_owned()])));
        operation.scopes.names(ScopeKey::Namespaces).cloned()
    };
    let one = Some(Names::Known(vec!["n".to_owned()]));
    assert_eq!(names("GET", "/api/v1/namespaces/n/pods"), one);
    assert_eq!(names("GET", "/apis/example.com/v1/namespaces/n/widgets"), one);
    assert_eq!(names("GET", "/api/v1/pods"), Some(Names::Every));
    for target in ["/api/v1/nodes", "/api/v1/namespaces/n", "/apis/example.com/v1/widgets", "/api"]
    {
        assert_eq!(names("GET", target), None, "{target}");
    }
}

#[test]
fn a_patch_names_the_fields_it_touches_and_what_does_not_say_names_none() {
    let fields = |headers, body| {
        let call = read("PATCH", DEPLOYMENT, headers, body).unwrap();
        match call.operation("c").pattern {
            Pattern::Kubernetes(pattern) => pattern.fields,
            _ => panic!("no pattern"),
        }
    };
    let restart = r#"{"spec":{"template":{"metadata":{"annotations":{"kubectl.kubernetes.io/restartedAt":"x"}}}}}"#;
    let pointer = "/spec/template/metadata/annotations/kubectl.kubernetes.io~1restartedAt";
    assert_eq!(fields(STRATEGIC, restart), Some(vec![pointer.to_owned()]));
    let list = r#"[{"op":"test","path":"/a","value":1},{"op":"replace","path":"/spec/replicas","value":1}]"#;
    assert_eq!(fields(JSON_PATCH, list), Some(vec!["/spec/replicas".to_owned()]));
    let moved = r#"[{"op":"move","from":"/a","path":"/b"}]"#;
    assert_eq!(fields(JSON_PATCH, moved), Some(vec!["/b".to_owned(), "/a".to_owned()]));
    for body in [r#"{"$patch":"replace"}"#, r#"{"spec":{"a":[{"$patch":"delete"}]}}"#, "{}"] {
        assert_eq!(fields(STRATEGIC, body), None, "{body}");
    }
    for body in [r#"[{"op":"replace","path":"","value":{}}]"#, r#"[{"op":"remove","path":"a"}]"#] {
        assert_eq!(fields(JSON_PATCH, body), None, "{body}");
    }
    assert_eq!(fields(APPLY, "{}"), None);
}
