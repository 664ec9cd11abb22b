//! The binary forms of a body: CBOR and protobuf are judged as the same object in JSON is, and what
//! could be read otherwise is refused (threats K09, K10, K11).

use super::*;
use proptest::prelude::*;
use serde_json::{Value, json};

/// A body as bytes, which are no text.
fn of_bytes(method: &str, target: &str, kind: &str, body: &[u8]) -> Result<Call, Malformed> {
    let headers = [("content-type", kind.as_bytes())];
    Call::read(&Raw { method, target: target.as_bytes(), headers: &headers, body })
}

const CBOR: &str = "application/cbor";
const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";
const PODS: &str = "/api/v1/namespaces/n/pods";
const SECRETS: &str = "/api/v1/namespaces/n/secrets";
const ROLES: &str = "/apis/rbac.authorization.k8s.io/v1/namespaces/n/roles";
const LEASE: &str = "/apis/coordination.k8s.io/v1/namespaces/n/leases/l";
const CONFIG: &str = "/api/v1/namespaces/n/configmaps/c";

// A writer of CBOR, from its definition.

fn head(major: u8, length: usize) -> Vec<u8> {
    let major = major << 5;
    match length {
        0..=23 => vec![major | length as u8],
        24..=255 => vec![major | 24, length as u8],
        256..=65_535 => [&[major | 25][..], &(length as u16).to_be_bytes()].concat(),
        _ => [&[major | 26][..], &(length as u32).to_be_bytes()].concat(),
    }
}

/// Text is written as API machinery does, as bytes, or else as text.
fn cbor(value: &Value, text: u8) -> Vec<u8> {
    let string = |string: &str| [head(text, string.len()), string.as_bytes().to_vec()].concat();
    match value {
        Value::Null => vec![0xf6],
        Value::Bool(truth) => vec![0xf4 + u8::from(*truth)],
        Value::Number(number) => match (number.as_u64(), number.as_i64()) {
            (Some(number), _) => [&[0x1b][..], &number.to_be_bytes()].concat(),
            (None, Some(number)) => {
                [&[0x3b][..], &(-1 - number).cast_unsigned().to_be_bytes()].concat()
            }
            _ => [&[0xfb][..], &number.as_f64().unwrap().to_be_bytes()].concat(),
        },
        Value::String(own) => string(own),
        Value::Array(values) => {
            let items = values.iter().flat_map(|value| cbor(value, text));
            head(4, values.len()).into_iter().chain(items).collect()
        }
        Value::Object(members) => {
            let pairs =
                members.iter().flat_map(|(name, value)| [string(name), cbor(value, text)].concat());
            head(5, members.len()).into_iter().chain(pairs).collect()
        }
    }
}

fn described(bytes: &[u8]) -> Vec<u8> {
    [&[0xd9, 0xd9, 0xf7], bytes].concat()
}

// A writer of protobuf, from its definition. The numbers are those of Kubernetes' published messages.

fn varint(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while 0x7f < number {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

fn part(number: u64, bytes: impl AsRef<[u8]>) -> Vec<u8> {
    let bytes = bytes.as_ref();
    [varint(number << 3 | 2), varint(bytes.len() as u64), bytes.to_vec()].concat()
}

fn count(number: u64, value: i64) -> Vec<u8> {
    [varint(number << 3), varint(value.cast_unsigned())].concat()
}

fn object(version: &str, kind: &str, parts: &[Vec<u8>]) -> Vec<u8> {
    let kind = [part(1, version), part(2, kind)].concat();
    let tail = [part(1, kind), part(2, parts.concat()), part(3, ""), part(4, "")].concat();
    [b"k8s\0".to_vec(), tail].concat()
}

/// What servers and clients of Go write of an object's metadata, empty text included.
fn metadata(name: &str) -> Vec<u8> {
    let own = [part(1, name), part(2, ""), part(3, "n"), part(4, ""), part(5, ""), part(6, "")];
    part(1, [own.concat(), count(7, 0), part(8, "")].concat())
}

/// A pod with these parts of its specification and of its container.
fn pod(spec: &[Vec<u8>], container: &[Vec<u8>]) -> Vec<u8> {
    let container = part(2, [part(1, "c"), part(2, "i"), container.concat()].concat());
    let usual = [part(3, "Always"), part(6, ""), part(8, ""), part(9, ""), part(10, "")].concat();
    [container, usual, count(11, 0), count(12, 0), count(13, 0), spec.concat()].concat()
}

fn pod_json(spec: Value, container: Value) -> Value {
    let mut whole = json!({"containers": [{"name": "c", "image": "i"}], "restartPolicy": "Always"});
    let members = whole.as_object_mut().unwrap();
    members.extend(spec.as_object().unwrap().clone());
    let first = members.get_mut("containers").unwrap().get_mut(0).unwrap();
    first.as_object_mut().unwrap().extend(container.as_object().unwrap().clone());
    whole
}

/// Pod specifications in both forms, and their tier.
fn pods() -> Vec<(Value, Vec<u8>, u8)> {
    let security = |parts: &[Vec<u8>]| part(15, parts.concat());
    let volume = |source: Vec<u8>| part(1, [part(1, "v"), part(2, source)].concat());
    vec![
        (pod_json(json!({}), json!({})), pod(&[], &[]), 2),
        (pod_json(json!({"hostNetwork": true}), json!({})), pod(&[count(11, 1)], &[]), 0),
        (
            pod_json(json!({}), json!({"securityContext": {"privileged": true}})),
            pod(&[], &[security(&[count(2, 1)])]),
            4,
        ),
        (
            pod_json(
                json!({}),
                json!({"securityContext": {"capabilities": {"add": ["SYS_ADMIN"]}}}),
            ),
            pod(&[], &[security(&[part(1, part(1, "SYS_ADMIN"))])]),
            4,
        ),
        (
            pod_json(json!({}), json!({"securityContext": {"runAsUser": 0}})),
            pod(&[], &[security(&[count(4, 0)])]),
            3,
        ),
        (
            pod_json(json!({}), json!({"securityContext": {"runAsNonRoot": true, "runAsUser": 7}})),
            pod(&[], &[security(&[count(4, 7), count(5, 1)])]),
            2,
        ),
        (
            pod_json(json!({"volumes": [{"name": "v", "hostPath": {"path": "/"}}]}), json!({})),
            pod(&[volume(part(1, part(1, "/")))], &[]),
            4,
        ),
        (
            pod_json(json!({"volumes": [{"name": "v", "secret": {"secretName": "s"}}]}), json!({})),
            pod(&[volume(part(6, part(1, "s")))], &[]),
            3,
        ),
    ]
}

#[test]
fn k11_a_privileged_pod_template_hidden_in_any_binary_form_is_break_glass() {
    for (spec, bytes, tier) in pods() {
        // A field of the fixed ones that is set again stands twice.
        let twice = tier == 0;
        let json = json!({"metadata": {"name": "x", "namespace": "n"}, "spec": spec});
        let deployed = json!({"metadata": {"name": "x", "namespace": "n"}, "spec": {
            "replicas": 2, "template": {"spec": spec}}});
        let template = [count(1, 2), part(3, part(2, &bytes))].concat();
        let of_pod = object("v1", "Pod", &[metadata("x"), part(2, &bytes)]);
        let of_deployment = object("apps/v1", "Deployment", &[metadata("x"), part(2, template)]);
        for (target, json, protobuf) in
            [(PODS, json, of_pod), (DEPLOYMENTS, deployed, of_deployment)]
        {
            let as_json = read("POST", target, JSON, &json.to_string()).unwrap();
            let as_json = format!("{:?}", as_json.operation("c"));
            let as_cbor = of_bytes("POST", target, CBOR, &described(&cbor(&json, 2))).unwrap();
            assert_eq!(format!("{:?}", as_cbor.operation("c")), as_json, "{json}");
            match of_bytes("POST", target, PROTOBUF, &protobuf) {
                Err(error) => assert!(twice && error.status() == 400, "{error} {json}"),
                Ok(call) => {
                    let operation = call.operation("c");
                    assert_eq!(operation.tier.number(), tier, "{json}");
                    assert_eq!(format!("{operation:?}"), as_json, "{json}");
                }
            }
        }
    }
}

#[test]
fn k09_what_controllers_write_in_protobuf_is_judged_as_in_json() {
    let binary = [part(1, "k"), part(2, [0xff, 0])].concat();
    let rule = part(2, [part(1, "*"), part(2, ""), part(3, "pods")].concat());
    let spec =
        [part(1, "holder"), count(2, 15), part(4, [count(1, 1_700_000_000), count(2, 5)].concat())];
    let table = [
        (
            "POST",
            SECRETS,
            object("v1", "Secret", &[metadata("s"), part(2, binary), part(3, "Opaque")]),
            3,
        ),
        ("POST", ROLES, object("rbac.authorization.k8s.io/v1", "Role", &[metadata("r"), rule]), 4),
        (
            "PUT",
            LEASE,
            object("coordination.k8s.io/v1", "Lease", &[metadata("l"), part(2, spec.concat())]),
            2,
        ),
        (
            "PUT",
            CONFIG,
            object(
                "v1",
                "ConfigMap",
                &[metadata("c"), part(2, [part(1, "a"), part(2, "b")].concat())],
            ),
            2,
        ),
        (
            "POST",
            "/api/v1/namespaces/n/events",
            object(
                "v1",
                "Event",
                &[metadata("e"), part(2, part(1, "Pod")), part(3, "r"), part(4, "m")],
            ),
            2,
        ),
        (
            "DELETE",
            CONFIG,
            object("apps/v1", "DeleteOptions", &[count(1, 0), part(4, "Background")]),
            3,
        ),
        ("DELETE", SECRETS, object("v1", "DeleteOptions", &[part(5, "All")]), 4),
        (
            "POST",
            "/api/v1/namespaces/n/serviceaccounts/x/token",
            object(
                "authentication.k8s.io/v1",
                "TokenRequest",
                &[metadata(""), part(2, [part(1, "a"), count(4, 600)].concat())],
            ),
            4,
        ),
    ];
    for (method, target, body, tier) in table {
        let call = of_bytes(method, target, PROTOBUF, &body);
        let call = call.unwrap_or_else(|error| panic!("{method} {target}: {error}"));
        assert_eq!(call.operation("c").tier.number(), tier, "{method} {target}");
    }
}

#[test]
fn k09_protobuf_that_the_table_does_not_name_is_unsupported() {
    let whole = |kind: &str, parts: &[Vec<u8>]| object("v1", kind, parts);
    let named = metadata("c");
    let table = [
        whole("Widget", std::slice::from_ref(&named)),
        object("v2", "ConfigMap", std::slice::from_ref(&named)),
        whole("ConfigMap", &[named.clone(), part(99, "x")]),
        whole("ConfigMap", &[named.clone(), count(2, 1)]),
        whole("ConfigMap", &[named.clone(), vec![2 << 3 | 3, 2 << 3 | 4]]),
        whole("ConfigMap", &[named.clone(), vec![2 << 3 | 5, 0, 0, 0, 0]]),
        [&whole("ConfigMap", std::slice::from_ref(&named))[..], &part(5, "x")].concat(),
        [&b"k8s\0"[..], &part(1, [part(1, "v1"), part(2, "ConfigMap")].concat()), &part(3, "gzip")]
            .concat(),
    ];
    for body in table {
        let error = of_bytes("PUT", CONFIG, PROTOBUF, &body).expect_err("it is read");
        assert_eq!(error.status(), 415, "{error}");
    }
}

#[test]
fn k10_a_binary_body_that_two_readers_take_differently_is_refused() {
    let sound = object("v1", "ConfigMap", &[metadata("c")]);
    assert!(of_bytes("PUT", CONFIG, PROTOBUF, &sound).is_ok());
    let whole = |parts: &[Vec<u8>]| object("v1", "ConfigMap", parts);
    let twice = part(2, [part(1, "a"), part(2, "b")].concat());
    let deep = (0..200).fold(Vec::new(), |inner, _| part(1, inner));
    let protobuf = [
        sound[..sound.len() - 1].to_vec(),
        sound[1..].to_vec(),
        b"k8s\0".to_vec(),
        b"{}".to_vec(),
        whole(&[metadata("c"), metadata("c")]),
        whole(&[metadata("c"), twice.clone(), twice]),
        whole(&[metadata("c"), part(2, [part(1, "a"), part(1, "a")].concat())]),
        whole(&[metadata("other")]),
        whole(&[part(1, part(1, [0xff, 0xfe]))]),
        whole(&[vec![0, 0]]),
        whole(&[vec![0xff; 12]]),
        object("v1", "", &[metadata("c")]),
        object("v1", "Secret", &[metadata("c")]),
        object("rbac.authorization.k8s.io/v1", "ClusterRoleBinding", &[metadata("c")]),
        object("apiextensions.k8s.io/v1", "CustomResourceDefinition", &[part(2, deep)]),
    ];
    for (at, body) in protobuf.iter().enumerate() {
        let error = of_bytes("PUT", CONFIG, PROTOBUF, body).expect_err(&format!("{at} is read"));
        assert!(matches!(error.status(), 400 | 415), "{at}: {error}");
    }
    let member = |name: &str, value: &[u8]| [&head(3, name.len()), name.as_bytes(), value].concat();
    let map = |pairs: &[Vec<u8>]| [head(5, pairs.len()), pairs.concat()].concat();
    let text = |text: &str| [head(3, text.len()), text.as_bytes().to_vec()].concat();
    let as_bytes =
        |name: &str, value: &[u8]| [&head(2, name.len()), name.as_bytes(), value].concat();
    let a = text("a");
    let deep = [vec![0x81; 10_000], vec![0xf6]].concat();
    let refused = [
        map(&[member("kind", &a), member("kind", &a)]),
        map(&[member("kind", &a), as_bytes("kind", &a)]),
        map(&[member("kind", &text("ConfigMap")), member("Kind", &a)]),
        map(&[vec![1, 1]]),
        map(&[member("a", &[0xf7])]),
        map(&[member("a", &[0xe0])]),
        map(&[member("a", &[0xf9, 0x7c, 0])]),
        map(&[member("a", &[0xfb, 0x7f, 0xf8, 0, 0, 0, 0, 0, 0])]),
        map(&[member("a", &[0x1b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff])]),
        map(&[member("a", &[0xc2, 0x41, 1])]),
        map(&[member("a", &[0xd5, 0x41, 1])]),
        map(&[member("a", &[0x62, 0xff, 0xff])]),
        map(&[member("a", &[0x7f, 0x61, b'a', 0xff])]),
        map(&[member("a", &deep)]),
        map(&[]).into_iter().chain([0]).collect(),
        vec![0xa1],
        vec![0xbb, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        vec![0x80],
        vec![0xf6],
        described(&described(&map(&[]))),
        map(&[member("kind", &text("Secret"))]),
        map(&[member("metadata", &map(&[member("name", &a)]))]),
    ];
    for body in refused {
        let error = of_bytes("PUT", CONFIG, CBOR, &body).expect_err(&format!("{body:x?} is read"));
        assert_eq!(error.status(), 400, "{body:.40x?}");
    }
    let loose = [&[0xbf][..], &member("data", &[0xf6]), &member("x", &[0x9f, 1, 0xff]), &[0xff]];
    assert!(of_bytes("PUT", CONFIG, CBOR, &loose.concat()).is_ok(), "without a length");
    let half = map(&[member("x", &[0xf9, 0x38, 0]), member("y", &[0xd6, 0x41, 1])]);
    let call = of_bytes("PUT", CONFIG, CBOR, &half).unwrap();
    let expected = read("PUT", CONFIG, JSON, r#"{"x":0.5,"y":"AQ=="}"#).unwrap();
    assert_eq!(call.content, expected.content);
}

#[test]
fn k09_an_apply_in_cbor_is_an_apply() {
    let host = json!({"spec": {"template": {"spec": {"hostPID": true}}}});
    let call = of_bytes("PATCH", DEPLOYMENT, "application/apply-patch+cbor", &cbor(&host, 3));
    assert_eq!(call.unwrap().operation("c").tier, Tier::BreakGlass);
    let wrong = of_bytes("PATCH", DEPLOYMENT, CBOR, &cbor(&host, 3));
    assert_eq!(wrong.expect_err("no kind of patch").status(), 415);
}

/// Any object, not too deep.
fn any_object() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<i32>().prop_map(|number| json!(f64::from(number) / 2.0)),
        "[a-zA-Zé ]{0,8}".prop_map(Value::from),
    ];
    let value = leaf.prop_recursive(4, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-z]{1,6}|hostPID|privileged|add", inner, 0..5)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    });
    value.prop_map(|value| json!({"spec": value}))
}

proptest! {
    #[test]
    fn any_object_means_the_same_in_cbor_and_in_json(object in any_object(), text in 2u8..4) {
        let json = read("PUT", CONFIG, JSON, &object.to_string());
        let bytes = cbor(&object, text);
        let binary = of_bytes("PUT", CONFIG, CBOR, &bytes);
        match (json, binary) {
            (Ok(json), Ok(binary)) => prop_assert_eq!(json.content, binary.content),
            (Err(_), Err(_)) => {}
            (json, binary) => prop_assert!(false, "{json:?} {binary:?}"),
        }
    }

    #[test]
    fn no_binary_body_makes_the_reader_panic(
        body in prop::collection::vec(any::<u8>(), 0..120),
        kind in prop::sample::select(vec![CBOR, PROTOBUF]),
    ) {
        let _ = of_bytes("PUT", CONFIG, kind, &body);
        let _ = of_bytes("PUT", CONFIG, kind, &object("v1", "Pod", &[part(2, &body)]));
    }

    #[test]
    fn a_damaged_byte_of_protobuf_is_refused_or_judged(at in 0usize..200, to in any::<u8>()) {
        let parts = [metadata("x"), part(2, pod(&[], &[part(15, count(2, 1))]))];
        let mut body = object("v1", "Pod", &parts);
        let at = at % body.len();
        body[at] = to;
        if let Ok(call) = of_bytes("POST", PODS, PROTOBUF, &body) {
            prop_assert!(Tier::Modify <= call.operation("c").tier);
        }
    }
}
