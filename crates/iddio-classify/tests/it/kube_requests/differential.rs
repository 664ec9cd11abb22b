//! The rules of Kubernetes' request info as its documentation has them, written a second time and
//! differently: over lists of words, not over places in a path.

#![expect(clippy::indexing_slicing, reason = "a model: out of range fails the test")]

use super::*;
use iddio_classify::kube::resource;
use proptest::prelude::*;

#[derive(Debug, Default, Eq, PartialEq)]
struct Model {
    verb: String,
    about: Option<[String; 6]>,
}

/// The model. `words` are those of the path, `watch` and `name` what the query says.
fn model(method: &str, words: &[&str], watch: bool, name: Option<&str>) -> Model {
    let lower = method.to_lowercase();
    let needed = match words.first() {
        Some(&"api") => 3,
        Some(&"apis") => 4,
        _ => usize::MAX,
    };
    if words.len() < needed {
        return Model { verb: lower, about: None };
    }
    let group = if needed == 4 { words[1] } else { "" };
    let (version, mut rest) = (words[needed - 2], &words[needed - 1..]);
    let mut verb = match method {
        "POST" => "create",
        "GET" | "HEAD" => "get",
        "PUT" => "update",
        "PATCH" => "patch",
        "DELETE" => "delete",
        _ => "",
    };
    if ["proxy", "watch"].contains(&rest[0]) {
        verb = rest[0];
        rest = &rest[1..];
    }
    let mut namespace = "";
    if rest[0] == "namespaces" && 1 < rest.len() {
        namespace = rest[1];
        if 2 < rest.len() && !["status", "finalize"].contains(&rest[2]) {
            rest = &rest[2..];
        }
    }
    let mut own = rest.get(1).copied().unwrap_or("");
    let subresource = match verb {
        "proxy" => "",
        _ => rest.get(2).copied().unwrap_or(""),
    };
    if own.is_empty() && verb == "get" {
        verb = if watch { "watch" } else { "list" };
        own = name.unwrap_or("");
    }
    if own.is_empty() && verb == "delete" {
        verb = "deletecollection";
    }
    let about = [group, version, namespace, rest[0], own, subresource];
    Model { verb: verb.to_owned(), about: Some(about.map(str::to_owned)) }
}

fn ours(call: &Call) -> Model {
    let about = call.info.resource.as_ref().map(|about| {
        let proxied = call.info.verb == "proxy";
        let subresource = if proxied { "" } else { &about.subresource };
        let (group, version) = (&about.group, &about.version);
        let (namespace, resource, name) = (&about.namespace, &about.resource, &about.name);
        [group, version, namespace, resource, name, subresource].map(|part: &str| part.to_owned())
    });
    Model { verb: call.info.verb.to_owned(), about }
}

const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
const SUBRESOURCES: [&str; 22] = [
    "",
    "approval",
    "attach",
    "binding",
    "ephemeralcontainers",
    "eviction",
    "exec",
    "finalize",
    "log",
    "portforward",
    "proxy",
    "proxy/a/b",
    "resize",
    "scale",
    "status",
    "token",
    "watch",
    "namespaces",
    "log/extra",
    "pods",
    "frobnicate",
    "status/x",
];
const QUERIES: [(&str, bool, Option<&str>); 10] = [
    ("", false, None),
    ("?watch=true", true, None),
    ("?watch", true, None),
    ("?watch=0", false, None),
    ("?watch=FALSE", false, None),
    ("?watch=no", true, None),
    ("?fieldSelector=metadata.name%3Dx", false, Some("x")),
    ("?fieldSelector=metadata.name==x,spec.a!=b&watch=1", true, Some("x")),
    ("?fieldSelector=metadata.name!=x", false, None),
    ("?fieldSelector=metadata.name=a%2Fb", false, None),
];

fn held(method: &str, path: &str, query: (&str, bool, Option<&str>), seen: &mut [usize; 2]) {
    let headers: Headers<'_> = if method == "PATCH" { MERGE } else { &[] };
    let body = if method == "PATCH" { r#"{"spec":{}}"# } else { "" };
    let words: Vec<_> = path.split('/').skip(1).collect();
    match read(method, &format!("{path}{}", query.0), headers, body) {
        Ok(call) => {
            seen[0] += 1;
            assert_eq!(ours(&call), model(method, &words, query.1, query.2), "{method} {path}");
            assert!(!call.operation("c").reasons.is_empty());
        }
        Err(_) => seen[1] += 1,
    }
}

#[test]
fn requests_are_taken_apart_by_the_rules_of_the_server() {
    let mut kinds: Vec<_> = resource::all().map(|kind| (kind.group, kind.plural)).collect();
    kinds.extend([("example.com", "widgets"), ("", "widgets"), ("apps", "watch")]);
    let mut seen = [0, 0];
    for (group, plural) in kinds {
        let root = match group {
            "" => "/api/v1".to_owned(),
            group => format!("/apis/{group}/v1"),
        };
        let mut paths = Vec::new();
        for before in ["", "/watch", "/proxy", "/namespaces/n", "/watch/namespaces/n"] {
            let collection = format!("{root}{before}/{plural}");
            let object = |subresource: &str| match subresource {
                "" => format!("{collection}/x"),
                subresource => format!("{collection}/x/{subresource}"),
            };
            paths.extend(SUBRESOURCES.map(object));
            paths.push(collection);
        }
        for path in &paths {
            for method in METHODS {
                held(method, path, QUERIES[0], &mut seen);
            }
            for query in QUERIES {
                held("GET", path, query, &mut seen);
            }
        }
    }
    for path in [
        "/",
        "/api",
        "/apis",
        "/api/v1",
        "/apis/apps",
        "/apis/apps/v1",
        "/version",
        "/healthz/etcd",
        "/openapi/v3/apis/apps/v1",
        "/metrics",
        "/foo/bar/baz/qux",
    ] {
        for method in METHODS {
            held(method, path, QUERIES[0], &mut seen);
        }
    }
    assert!(90_000 < seen[0] && seen[1] < seen[0] / 5, "{seen:?}");
}

proptest! {
    #[test]
    fn any_sound_path_is_taken_apart_alike(
        words in prop::collection::vec("api|apis|v1|namespaces|watch|proxy|pods|status|finalize|x[a-z.-]{0,3}", 1..9),
        method in prop::sample::select(METHODS.to_vec()),
    ) {
        let path = format!("/{}", words.join("/"));
        held(method, &path, QUERIES[0], &mut [0, 0]);
    }

    #[test]
    fn no_bytes_make_the_reader_panic_and_what_is_read_is_kept(
        method in "GET|POST|PATCH|DELETE|[A-Z]{0,4}",
        target in prop::collection::vec(any::<u8>(), 0..60),
        kind in "application/(json|yaml|json-patch\\+json|merge-patch\\+json|apply-patch\\+yaml)",
        body in prop::collection::vec(any::<u8>(), 0..80),
    ) {
        for target in [target.clone(), [b"/api/v1/pods?".to_vec(), target].concat()] {
            let headers = [("content-type", kind.as_bytes())];
            let raw = Raw { method: &method, target: &target, headers: &headers, body: &body };
            if let Ok(call) = Call::read(&raw) {
                prop_assert!(target.starts_with(call.path.as_bytes()));
                prop_assert_eq!(call.operation("c").tier, call.operation("c").tier);
            }
        }
    }
}
