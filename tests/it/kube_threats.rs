//! What attackers ask of the Kubernetes gateway, over the wire (threats K01 to K28): what is refused is
//! refused by the gateway, and the API server hears nothing of it.

use std::io::{Read, Write};

use serde_json::{Value, json};

use iddio_tests::keepers::until;

use crate::{kit::of, kube::Scene};

/// Everything is denied, so that each refusal says its tier.
const DENYING: &str = "\
agents:
  claude:
    rules:
      - {protocol: kubernetes, cluster_scoped: true, tiers: {0: deny, 2: deny, 3: deny, 4: deny}}
";

/// Everything below break-glass runs.
const OPEN: &str = "\
agents:
  claude:
    rules:
      - {protocol: kubernetes, cluster_scoped: true, tiers: {0: allow, 2: allow, 3: allow, 4: deny}}
";

/// Destruction asks.
const ASKING: &str = "\
agents:
  claude:
    rules:
      - {protocol: kubernetes, cluster_scoped: true, tiers: {0: allow, 2: escalate, 3: escalate, 4: escalate}, classes: [destroy]}
";

/// What the record of a look says.
const LOOK: &str = "so that another request can be judged";

/// What came back.
#[derive(Debug)]
struct Answer {
    status: u16,
    text: String,
}

/// A request: its line, its media type, its body.
type Asked<'a> = (&'a str, &'a str, &'a [u8]);

const JSON: &str = "application/json";
const MERGE: &str = "application/merge-patch+json";
const STRATEGIC: &str = "application/strategic-merge-patch+json";
const JSON_PATCH: &str = "application/json-patch+json";
const APPLY: &str = "application/apply-patch+yaml";
const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";
const CBOR: &str = "application/cbor";

/// Sends one request and reads the answer.
fn ask(scene: &Scene, (line, kind, body): Asked<'_>, more: &str) -> Answer {
    let length = match body {
        [] => String::new(),
        body => format!("Content-Type: {kind}\r\nContent-Length: {}\r\n", body.len()),
    };
    let head = scene.head(line, &format!("{length}{more}Connection: close\r\n"));
    let mut stream = scene.send(&head);
    let _ = stream.write_all(body);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let text = String::from_utf8_lossy(&answer).into_owned();
    let status = text.split(' ').nth(1).and_then(|status| status.parse().ok());
    Answer { status: status.unwrap_or_else(|| panic!("{line}: {text}")), text }
}

/// Holds each request to the tier that its refusal names; none of them reaches the API server.
fn refused(rows: &[(Asked<'_>, u8)]) {
    let scene = Scene::new(DENYING);
    for (asked, tier) in rows {
        let answer = ask(&scene, *asked, "");
        assert_eq!(answer.status, 403, "{} {answer:?}", asked.0);
        assert!(answer.text.contains(&format!(": T{tier} ")), "{} {answer:?}", asked.0);
    }
    // Discovery is open to whoever has a rule, and the gateway's own looks are as well.
    let seen = scene.server.seen();
    assert!(seen.iter().all(|seen| seen.target == "/apis/example.com/v1"), "{seen:#?}");
    let records = scene.end();
    // Looks of the gateway's own are denied as well.
    let own = |decided: &&Value| !decided["command"].as_str().unwrap_or_default().contains(LOOK);
    let decided = of(&records, "decided");
    let native: Vec<_> =
        decided.iter().filter(|d| own(&&***d)).map(|d| d["native_tier"].as_u64()).collect();
    let expected: Vec<_> = rows.iter().map(|(_, tier)| Some(u64::from(*tier))).collect();
    assert_eq!(native, expected);
}

const PODS: &str = "/api/v1/namespaces/payments/pods";
const WEB: &str = "/apis/apps/v1/namespaces/payments/deployments/web";

#[test]
fn k03_the_kubelet_is_not_reached_through_a_node() {
    let rows = ["run/ns/pod/c", "exec/ns/pod/c?command=id", "containerLogs/ns/pod/c", "pods"];
    let lines = rows.map(|row| format!("GET /api/v1/nodes/n/proxy/{row}"));
    let rows: Vec<_> = lines.iter().map(|line| ((line.as_str(), "", &b""[..]), 4)).collect();
    refused(&rows);
}

#[test]
fn k04_no_method_goes_through_a_proxy() {
    let mut rows = Vec::new();
    let lines: Vec<_> = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
        .iter()
        .flat_map(|method| {
            ["services/https:svc:443/proxy/a", "pods/web-1/proxy"]
                .map(|path| format!("{method} /api/v1/namespaces/payments/{path}"))
        })
        .collect();
    rows.extend(lines.iter().map(|line| ((line.as_str(), "", &b""[..]), 4)));
    refused(&rows);
}

#[test]
fn k06_a_path_with_two_readings_is_refused_over_the_wire() {
    let scene = Scene::new(OPEN);
    for path in [
        "//api/v1/pods",
        "/api/v1/../v1/secrets",
        "/api/v1/%2e%2e/secrets",
        "/api/v1%2fsecrets",
        "/api/v1/pods;x=y",
        "/api/v1/pods/",
        "/API/v1/pods",
        "/api/v1/Secrets",
        "/api/v1/namespaces/%70ayments/pods",
        "/api/v1/watch",
    ] {
        let answer = ask(&scene, (&format!("GET {path}"), "", b""), "");
        assert_eq!(answer.status, 400, "{path} {answer:?}");
    }
    assert!(scene.server.seen().is_empty());
    let _ = scene.end();
}

#[test]
fn k07_secrets_are_sensitive_as_a_table_and_as_metadata_too() {
    let scene = Scene::new(DENYING);
    for accept in [
        "application/json",
        "application/json;as=Table;v=v1;g=meta.k8s.io",
        "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io",
    ] {
        for target in ["secrets", "secrets?watch=true", "secrets/db"] {
            let line = format!("GET /api/v1/namespaces/payments/{target}");
            let answer = ask(&scene, (&line, "", b""), &format!("Accept: {accept}\r\n"));
            assert_eq!(answer.status, 403, "{answer:?}");
            assert!(answer.text.contains(": T3 ") && answer.text.contains("reads a Secret"));
        }
    }
    assert!(scene.server.seen().is_empty());
    let _ = scene.end();
}

#[test]
fn k08_a_collection_is_deleted_as_one_whatever_selects_from_it() {
    let lines = ["", "?labelSelector=app%3Dx", "?fieldSelector=metadata.name%3Dweb-1"]
        .map(|query| format!("DELETE {PODS}{query}"));
    let rows: Vec<_> = lines.iter().map(|line| ((line.as_str(), "", &b""[..]), 4)).collect();
    refused(&rows);
}

fn part(number: u8, bytes: &[u8]) -> Vec<u8> {
    [&[number << 3 | 2, u8::try_from(bytes.len()).unwrap()], bytes].concat()
}

fn protobuf(version: &str, kind: &str, raw: &[u8]) -> Vec<u8> {
    let what = [part(1, version.as_bytes()), part(2, kind.as_bytes())].concat();
    [&b"k8s\0"[..], &part(1, &what), &part(2, raw)].concat()
}

#[test]
fn k09_every_form_of_a_body_is_judged_and_passes_byte_for_byte_or_is_refused() {
    let scene = Scene::new(OPEN);
    let configmaps = "POST /api/v1/namespaces/payments/configmaps";
    let json = br#"{"metadata":{"name":"a"}}"#;
    let yaml = b"metadata:\n  name: b\n";
    let cbor = b"\xd9\xd9\xf7\xa1\x48metadata\xa1\x44name\x41c";
    let binary = protobuf("v1", "ConfigMap", &part(1, &part(1, b"d")));
    let pass: [Asked<'_>; 4] = [
        (configmaps, JSON, json),
        (configmaps, "application/yaml", yaml),
        (configmaps, CBOR, cbor),
        (configmaps, PROTOBUF, &binary),
    ];
    for asked in pass {
        let before = scene.server.seen().len();
        let answer = ask(&scene, asked, "");
        assert!(!answer.text.contains("iddio refused"), "{} {answer:?}", asked.1);
        let seen = scene.server.seen();
        assert_eq!(seen.len(), before + 1, "{}", asked.1);
        assert_eq!(seen[before].body, String::from_utf8_lossy(asked.2), "{}", asked.1);
    }
    let before = scene.server.seen().len();
    let pods = format!("POST {PODS}");
    let host = protobuf("v1", "Pod", &part(2, &[11 << 3, 1]));
    let table: [(Asked<'_>, &str, u16); 8] = [
        ((&pods, PROTOBUF, &host), "", 403),
        ((&pods, CBOR, b"\xa1\x44spec\xa1\x47hostPID\xf5"), "", 403),
        ((configmaps, JSON, json), "Content-Encoding: gzip\r\n", 415),
        ((configmaps, PROTOBUF, &protobuf("v1", "Widget", b"")), "", 415),
        ((configmaps, PROTOBUF, &protobuf("v1", "ConfigMap", &part(15, b"x"))), "", 415),
        ((configmaps, PROTOBUF, json), "", 400),
        ((configmaps, "text/plain", json), "", 415),
        ((configmaps, "application/json, application/yaml", json), "", 415),
    ];
    for (asked, more, status) in table {
        let answer = ask(&scene, asked, more);
        assert_eq!(answer.status, status, "{} {answer:?}", asked.1);
    }
    assert_eq!(scene.server.seen().len(), before);
    let _ = scene.end();
}

#[test]
fn k10_a_body_that_two_readers_take_differently_never_passes() {
    let scene = Scene::new(OPEN);
    let line = "PUT /api/v1/namespaces/payments/configmaps/a";
    let deep = [r#"{"a":"#.repeat(10_000), "1".to_owned(), "}".repeat(10_000)].concat();
    let bodies: [&[u8]; 9] = [
        br#"{"kind":"ConfigMap","kind":"ClusterRoleBinding"}"#,
        br#"{"metadata":{"name":"a"},"Metadata":{"name":"b"}}"#,
        b"\xef\xbb\xbf{}",
        b"{} {}",
        b"[]",
        br#"{"kind":"ClusterRoleBinding"}"#,
        br#"{"metadata":{"namespace":"kube-system"}}"#,
        br#"{"metadata":{"name":"other"}}"#,
        deep.as_bytes(),
    ];
    for body in bodies {
        let answer = ask(&scene, (line, JSON, body), "");
        assert_eq!(answer.status, 400, "{} {answer:?}", String::from_utf8_lossy(body));
    }
    let head = scene.head(line, "Content-Type: application/json\r\nContent-Length: 104857600\r\n");
    assert!(scene.raw(&head).starts_with("HTTP/1.1 413"), "a hundred mebibytes");
    assert!(scene.server.seen().is_empty());
    let _ = scene.end();
}

#[test]
fn k11_a_privileged_pod_template_hidden_in_any_workload_is_break_glass() {
    let pod = json!({"containers": [{"name": "c", "securityContext": {"privileged": true}}]});
    let template = json!({"spec": {"template": {"spec": pod}}}).to_string();
    let cron = json!({"spec": {"jobTemplate": {"spec": {"template": {"spec": pod}}}}}).to_string();
    let plain = json!({ "spec": pod }).to_string();
    let strong = [
        json!({"spec": {"hostPID": true}}),
        json!({"spec": {"hostIPC": true}}),
        json!({"spec": {"hostNetwork": true}}),
        json!({"spec": {"nodeName": "n"}}),
        json!({"spec": {"volumes": [{"name": "v", "hostPath": {"path": "/"}}]}}),
        json!({"spec": {"containers": [{"securityContext": {"capabilities": {"add": ["SYS_ADMIN"]}}}]}}),
    ]
    .map(|body| body.to_string());
    let lines = [
        (PODS.to_owned(), &plain),
        ("/apis/apps/v1/namespaces/payments/deployments".to_owned(), &template),
        ("/apis/apps/v1/namespaces/payments/statefulsets".to_owned(), &template),
        ("/apis/apps/v1/namespaces/payments/daemonsets".to_owned(), &template),
        ("/apis/apps/v1/namespaces/payments/replicasets".to_owned(), &template),
        ("/apis/batch/v1/namespaces/payments/jobs".to_owned(), &template),
        ("/apis/batch/v1/namespaces/payments/cronjobs".to_owned(), &cron),
        ("/apis/example.com/v1/namespaces/payments/widgets".to_owned(), &cron),
    ]
    .map(|(path, body)| (format!("POST {path}"), body));
    let mut rows: Vec<_> =
        lines.iter().map(|(line, body)| ((line.as_str(), JSON, body.as_bytes()), 4)).collect();
    let pods = format!("POST {PODS}");
    rows.extend(strong.iter().map(|body| ((pods.as_str(), JSON, body.as_bytes()), 4)));
    refused(&rows);
}

#[test]
fn k12_a_container_is_not_added_to_a_running_pod() {
    let line = format!("PATCH {PODS}/web-1/ephemeralcontainers");
    let body = br#"{"spec":{"ephemeralContainers":[{"name":"d"}]}}"#;
    let plain = format!("PATCH {PODS}/web-1");
    refused(&[((&line, STRATEGIC, body), 4), ((&plain, STRATEGIC, body), 4)]);
}

#[test]
fn k13_who_gives_rights_breaks_the_glass() {
    let roles = "/apis/rbac.authorization.k8s.io/v1";
    let line = |rest: &str| format!("POST {roles}/{rest}");
    let (role, cluster) = (line("namespaces/payments/roles"), line("clusterroles"));
    let binding = line("clusterrolebindings");
    refused(&[
        ((&role, JSON, br#"{"rules":[{"verbs":["escalate"]}]}"#), 4),
        ((&role, JSON, br#"{"rules":[{"verbs":["bind"]}]}"#), 4),
        ((&cluster, JSON, br#"{"rules":[{"verbs":["impersonate"]}]}"#), 4),
        ((&cluster, JSON, br#"{"rules":[{"verbs":["*"]}]}"#), 4),
        ((&cluster, JSON, br#"{"metadata":{"labels":{"rbac.authorization.k8s.io/aggregate-to-admin":"true"}}}"#), 4),
        ((&binding, JSON, br#"{"roleRef":{"name":"cluster-admin"}}"#), 4),
    ]);
}

#[test]
fn k14_tokens_and_certificates_break_the_glass_and_asking_about_oneself_observes() {
    let token = "POST /api/v1/namespaces/payments/serviceaccounts/x/token";
    let csr = "PUT /apis/certificates.k8s.io/v1/certificatesigningrequests/x/approval";
    let own = "POST /apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    refused(&[
        ((token, JSON, br#"{"kind":"TokenRequest","spec":{}}"#), 4),
        ((csr, JSON, b"{}"), 4),
        ((own, JSON, b"{}"), 0),
        (("POST /apis/authentication.k8s.io/v1/selfsubjectreviews", JSON, b"{}"), 0),
    ]);
}

#[test]
fn k15_what_the_cluster_is_governed_by_breaks_the_glass() {
    let hooks = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations";
    let (make, drop) = (format!("POST {hooks}"), format!("DELETE {hooks}/x"));
    let crd = "PATCH /apis/apiextensions.k8s.io/v1/customresourcedefinitions/x";
    let label = br#"{"metadata":{"labels":{"pod-security.kubernetes.io/enforce":"privileged"}}}"#;
    refused(&[
        ((&make, JSON, b"{}"), 4),
        ((&drop, "", b""), 4),
        (("POST /apis/apiregistration.k8s.io/v1/apiservices", JSON, b"{}"), 4),
        ((crd, MERGE, br#"{"spec":{"conversion":{"strategy":"Webhook"}}}"#), 4),
        (("PATCH /api/v1/namespaces/payments", MERGE, label), 4),
    ]);
}

#[test]
fn k16_a_namespace_is_not_finalised_a_scale_modifies_and_an_eviction_is_sensitive() {
    let scale = format!("PATCH {WEB}/scale");
    let evict = format!("POST {PODS}/web-1/eviction");
    refused(&[
        (("PUT /api/v1/namespaces/payments/finalize", JSON, b"{}"), 4),
        ((&scale, MERGE, br#"{"spec":{"replicas":0}}"#), 2),
        ((&evict, JSON, br#"{"apiVersion":"policy/v1","kind":"Eviction"}"#), 3),
    ]);
}

#[test]
fn k17_a_dry_run_lowers_nothing_over_the_wire() {
    let lines = ["dryRun=All", "dryRun=all", "dryRun=", "dry%52un=All"]
        .map(|query| format!("DELETE {WEB}?{query}"));
    let rows: Vec<_> = lines.iter().map(|line| ((line.as_str(), "", &b""[..]), 3)).collect();
    refused(&rows);
    let scene = Scene::new(OPEN);
    for query in ["dryRun=All&dryRun=", "dryrun=All"] {
        let answer = ask(&scene, (&format!("DELETE {WEB}?{query}"), "", b""), "");
        assert_eq!(answer.status, 400, "{answer:?}");
    }
    assert!(scene.server.seen().is_empty());
    let _ = scene.end();
}

#[test]
fn k25_what_nobody_knows_is_never_harmless_over_the_wire() {
    let widgets = "/apis/example.com/v1/namespaces/payments/widgets";
    let (list, make) = (format!("GET {widgets}"), format!("POST {widgets}"));
    let (sub, put) =
        (format!("GET {PODS}/web-1/frobnicate"), format!("PUT {PODS}/web-1/frobnicate"));
    refused(&[
        ((&list, "", b""), 2),
        ((&make, JSON, b"{}"), 3),
        ((&sub, "", b""), 2),
        ((&put, JSON, b"{}"), 3),
    ]);
    let scene = Scene::new(OPEN);
    let answer = ask(&scene, ("FROB /api/v1/pods", "", b""), "");
    assert_eq!(answer.status, 400, "{answer:?}");
    let _ = scene.end();
}

/// Characters that steer a terminal, hide, or reorder what follows.
const HOSTILE: [&str; 6] = ["\u{202e}", "\u{200b}", "\u{e0041}", "\u{feff}", "\u{2066}", "\u{85}"];

fn harmless(text: &str) -> bool {
    text.chars().all(|letter| letter == '\n' || !letter.is_control())
        && HOSTILE.iter().all(|hostile| !text.contains(hostile))
}

#[test]
fn x01_to_x11_hostile_names_in_a_request_are_shown_escaped_wherever_they_are_shown() {
    let scene = Scene::new(ASKING);
    let line = "PUT /api/v1/namespaces/payments/configmaps/a";
    let names =
        ["\u{1b}[8m", "\u{1b}[2J\r", "\u{1b}]0;x\u{7}", "\u{9b}31m", "\u{202e}x", "\u{8}\u{7f}"];
    for name in names {
        // A member twice, but for case: the refusal names it.
        let twice = format!("{{{}:1,{}:2}}", json!(format!("a{name}")), json!(format!("A{name}")));
        let answer = ask(&scene, (line, JSON, twice.as_bytes()), "");
        assert_eq!(answer.status, 400, "{answer:?}");
        let body = answer.text.split_once("\r\n\r\n").unwrap().1;
        let status: Value = serde_json::from_str(body).unwrap();
        assert!(harmless(status["message"].as_str().unwrap()), "{body}");
        for cause in status["details"]["causes"].as_array().unwrap() {
            assert!(harmless(cause["message"].as_str().unwrap()), "{body}");
        }
    }
    let kind = format!("application/{}", "\u{202e}json");
    assert_eq!(ask(&scene, (line, &kind, b"{}"), "").status, 415);
    // What selects is shown to whoever is asked.
    let encoded: String =
        HOSTILE.concat().bytes().map(|byte| format!("%{byte:02x}")).collect::<String>();
    let selector = encoded.replace("%c2%85", "");
    let line = format!("DELETE {PODS}?labelSelector=app%3D{selector}x");
    let waiting = scene.send(&scene.head(&line, "Connection: close\r\n"));
    let asks = || scene.world.json(["approvals", "list", "--json"]).as_array().unwrap().clone();
    until(|| asks().len() == 1, || "nobody was asked".to_owned());
    let id = asks()[0]["id"].as_str().unwrap().to_owned();
    for words in [&["approvals", "list"][..], &["approvals", "show", &id], &["audit", "query"]] {
        let said = scene.world.iddio(words.iter().copied()).ok();
        assert!(harmless(&said.stdout), "{words:?}: {}", said.stdout);
    }
    let shown = scene.world.iddio(["approvals", "show", &id]).ok();
    assert!(shown.stdout.contains("labels app="), "{}", shown.stdout);
    drop(waiting);
    until(|| asks().is_empty(), || "the ask still waits".to_owned());
    let _ = scene.end();
}

fn privileged() -> Value {
    let pod = json!({"containers": [{"name": "c", "securityContext": {"privileged": true}}]});
    json!({"metadata": {"name": "root"}, "spec": {"replicas": 1, "template": {"spec": pod}}})
}

#[test]
fn k11_a_change_is_judged_by_the_object_that_results() {
    let scene = Scene::new(OPEN);
    scene.server.place("deployments", "payments", "root", privileged());
    let root = "PATCH /apis/apps/v1/namespaces/payments/deployments/root".to_owned();
    let (web, none) = (format!("PATCH {WEB}"), format!("PATCH {WEB}-9"));
    let image = br#"{"spec":{"template":{"spec":{"containers":[{"name":"c","image":"j"}]}}}}"#;
    let count = br#"[{"op":"replace","path":"/spec/replicas","value":2}]"#;
    let table: [(Asked<'_>, u16); 6] = [
        ((&root, STRATEGIC, image), 403),
        ((&root, MERGE, br#"{"spec":{"replicas":2}}"#), 403),
        ((&root, JSON_PATCH, count), 403),
        ((&root, APPLY, b"spec:\n  replicas: 2\n"), 403),
        ((&web, STRATEGIC, br#"{"spec":{"replicas":2}}"#), 200),
        ((&none, MERGE, br#"{"spec":{"replicas":2}}"#), 404),
    ];
    for (asked, status) in table {
        let answer = ask(&scene, asked, "");
        assert_eq!(answer.status, status, "{asked:?} {answer:?}");
        assert_eq!(answer.text.contains(": T4 "), status == 403, "{answer:?}");
    }
    let seen = scene.server.seen();
    let patched: Vec<_> = seen.iter().filter(|seen| seen.method == "PATCH").collect();
    assert_eq!(patched.len(), 2, "{patched:#?}");
    let looks: Vec<_> = seen.iter().filter(|seen| seen.method == "GET").collect();
    assert_eq!(looks.len(), 6, "{looks:#?}");
    assert!(looks.iter().all(|look| look.account == "iddio-claude-t0"), "{looks:#?}");
    let records = scene.end();
    let decided = of(&records, "decided");
    let own = decided.iter().filter(|d| d["command"].as_str().unwrap_or_default().contains(LOOK));
    assert_eq!(own.count(), 6);
}

#[test]
fn k11_a_change_of_an_object_that_the_agent_may_not_read_is_sensitive() {
    let scene = Scene::new(
        "agents:\n  claude:\n    rules:\n      - {protocol: kubernetes, cluster_scoped: true, \
         tiers: {0: deny, 2: allow, 3: deny}}\n",
    );
    let line = format!("PATCH {WEB}");
    let answer = ask(&scene, (&line, MERGE, br#"{"spec":{"replicas":2}}"#), "");
    assert_eq!(answer.status, 403, "{answer:?}");
    assert!(answer.text.contains(": T3 "), "{answer:?}");
    assert!(scene.server.seen().is_empty());
    let _ = scene.end();
}

#[test]
fn a16_an_object_that_changed_while_a_human_thought_is_not_patched() {
    let scene = Scene::new(ASKING);
    let asks = || scene.world.json(["approvals", "list", "--json"]).as_array().unwrap().clone();
    let body = r#"{"spec":{"replicas":2}}"#;
    let more =
        format!("Content-Type: {MERGE}\r\nContent-Length: {}\r\nConnection: close\r\n", body.len());
    let mut waiting = scene.send(&(scene.head(&format!("PATCH {WEB}"), &more) + body));
    until(|| asks().len() == 1, || "nobody was asked".to_owned());
    scene.server.place("deployments", "payments", "web", privileged());
    let _ = scene.world.approve_all();
    let mut answer = String::new();
    let _ = waiting.read_to_string(&mut answer);
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
    assert!(scene.server.seen().iter().all(|seen| seen.method == "GET"));
    let records = scene.end();
    let outcomes: Vec<_> =
        of(&records, "closed").iter().map(|closed| closed["outcome"].clone()).collect();
    assert!(outcomes.contains(&json!("not_forwarded")), "{outcomes:?}");
}

#[test]
fn k08_who_is_asked_about_a_collection_sees_what_it_holds() {
    let scene = Scene::new(ASKING);
    let asks = || scene.world.json(["approvals", "list", "--json"]).as_array().unwrap().clone();
    let line = format!("DELETE {PODS}");
    let waiting = scene.send(&scene.head(&line, "Connection: close\r\n"));
    until(|| asks().len() == 1, || "nobody was asked".to_owned());
    let id = asks()[0]["id"].as_str().unwrap().to_owned();
    let shown = scene.world.iddio(["approvals", "show", &id]).ok();
    assert!(shown.stdout.contains("2 of them"), "{}", shown.stdout);
    assert!(shown.stdout.contains("web-1") && shown.stdout.contains("web-2"), "{}", shown.stdout);
    drop(waiting);
    until(|| asks().is_empty(), || "the ask still waits".to_owned());
    let _ = scene.end();
}

#[test]
fn k25_discovery_names_the_kind_of_a_custom_resource_and_lowers_nothing() {
    let scene = Scene::new(OPEN);
    let line = "POST /apis/example.com/v1/namespaces/payments/widgets";
    let other = ask(&scene, (line, JSON, br#"{"kind":"Gadget","metadata":{"name":"w"}}"#), "");
    assert_eq!(other.status, 400, "{other:?}");
    let own = ask(&scene, (line, JSON, br#"{"kind":"Widget","metadata":{"name":"w"}}"#), "");
    assert_eq!(own.status, 201, "{own:?}");
    let seen = scene.server.seen();
    let asked = seen.iter().filter(|seen| seen.target == "/apis/example.com/v1").count();
    assert_eq!(asked, 1, "{seen:#?}");
    let records = scene.end();
    let decided = of(&records, "decided");
    let allowed = decided.iter().find(|d| d["method"] == "create" && d["decision"] == "allow");
    assert_eq!(allowed.unwrap()["native_tier"], 3);
}
