//! Every request of Kubernetes' OpenAPI document is taken for what the API server takes it for.

use super::*;
use iddio_classify::kube::resource::{self, Place};
use std::collections::BTreeMap;

const ROWS: &str = include_str!("../../../../../tests/vectors/kube-requests.tsv");

/// A path with a name in each of its places, and what its namespace is.
fn filled(template: &str) -> String {
    let words = template.split('/').map(|word| match word {
        "{namespace}" => "ns-1",
        "{name}" => "web-1.x",
        "{path}" | "{logpath}" => "a/b",
        word => word,
    });
    words.collect::<Vec<_>>().join("/")
}

#[test]
fn every_request_of_the_openapi_document_is_what_the_server_takes_it_for() {
    let (mut seen, mut slashed) = (0, 0);
    for row in ROWS.lines().filter(|line| !line.starts_with('#')) {
        let columns: Vec<_> = row.split('\t').collect();
        let [path, method, verb, group, version, resource, subresource, place] =
            columns.try_into().expect("eight columns");
        let target = filled(path);
        let headers = if method == "PATCH" { MERGE } else { &[] };
        let body = if method == "PATCH" { r#"{"metadata":{}}"# } else { "" };
        // Discovery stands in the document with a slash behind it, which no client sends (K06).
        let target = match target.strip_suffix('/') {
            None => target,
            Some(plain) => {
                assert_eq!(status(method, &target, headers, body), 400, "{row}");
                slashed += 1;
                plain.to_owned()
            }
        };
        let call = read(method, &target, headers, body);
        let call = call.unwrap_or_else(|error| panic!("{row}: {error}"));
        seen += 1;
        assert_eq!(call.info.verb, verb, "{row}");
        let Some(about) = &call.info.resource else {
            assert_eq!(resource, "", "{row}");
            continue;
        };
        let ours = [&about.group, &about.version, &about.resource, &about.subresource];
        assert_eq!(ours, [group, version, resource, subresource], "{row}");
        let namespace = match (place, resource) {
            ("namespace", _) => "ns-1",
            // A namespace is in itself.
            (_, "namespaces") if path.contains("{name}") => "web-1.x",
            _ => "",
        };
        assert_eq!(about.namespace, namespace, "{row}");
        let named = if path.contains("{name}") { "web-1.x" } else { "" };
        assert_eq!(about.name, named, "{row}");
    }
    assert!(900 < seen && 40 < slashed, "{seen} {slashed}");
}

#[test]
fn every_resource_of_the_openapi_document_is_known_and_is_where_it_says() {
    let mut places = BTreeMap::new();
    for row in ROWS.lines().filter(|line| !line.starts_with('#')) {
        let columns: Vec<_> = row.split('\t').collect();
        let [_, _, _, group, version, name, subresource, place] =
            columns.try_into().expect("eight columns");
        if !name.is_empty() && subresource.is_empty() && !version.contains("alpha") {
            let namespaced = places.entry((group, name)).or_insert(false);
            *namespaced |= place == "namespace";
        }
    }
    let unknown: Vec<_> = places
        .iter()
        .filter(|((group, name), _)| resource::find(name, group).is_none())
        .map(|((group, name), _)| format!("{name}.{group}"))
        .collect();
    // What signs a pod's certificates is left to the rules for what nobody knows.
    assert_eq!(unknown, ["podcertificaterequests.certificates.k8s.io"]);
    let known = |(group, name)| resource::find(name, group);
    for (key, namespaced) in places {
        let Some(resource) = known(key) else { continue };
        assert_eq!(resource.place == Place::Namespace, namespaced, "{key:?}");
    }
}
