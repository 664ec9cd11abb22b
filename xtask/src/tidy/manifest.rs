//! Rules about which crate knows which, from `cargo metadata`, and about manifests.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use serde_json::Value;

use super::{File, Finding, code::PURE};

/// The packages of the workspace and all they reach, without what only tests need.
pub(super) struct Graph {
    /// Package name to the names it depends on, build dependencies included.
    arrows: BTreeMap<String, BTreeSet<String>>,
    members: BTreeSet<String>,
}

// === impl Graph ===

impl Graph {
    /// Reads what `cargo metadata --format-version 1` says.
    pub(super) fn read(json: &str) -> Result<Self> {
        let metadata: Value = serde_json::from_str(json).context("cargo metadata is not JSON")?;
        let mut names = BTreeMap::new();
        for package in list(&metadata, "/packages") {
            names.insert(text(package, "/id"), text(package, "/name"));
        }
        let name = |id: &str| names.get(id).cloned().unwrap_or_default();
        let members = list(&metadata, "/workspace_members");
        let members = members.iter().filter_map(Value::as_str).map(name).collect();
        let mut arrows: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for node in list(&metadata, "/resolve/nodes") {
            let own = arrows.entry(name(&text(node, "/id"))).or_default();
            for dependency in list(node, "/deps") {
                let kinds = list(dependency, "/dep_kinds");
                if kinds.iter().any(|kind| text(kind, "/kind") != "dev") {
                    own.insert(name(&text(dependency, "/pkg")));
                }
            }
        }
        Ok(Self { arrows, members })
    }

    /// Returns what is wrong with the arrows.
    pub(super) fn check(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        for member in &self.members {
            let direct = self.arrows.get(member).cloned().unwrap_or_default();
            findings.extend(self.check_inside(member, &direct));
            let allowed =
                OUTSIDE.iter().find(|(name, _)| name == member).map(|(_, allowed)| *allowed);
            let foreign = direct.iter().filter(|name| !self.members.contains(*name));
            for name in foreign.filter(|name| allowed.is_some_and(|a| !a.contains(&name.as_str())))
            {
                findings.push(finding(member, format!("may not depend on `{name}`")));
            }
            let reached = self.reached(member);
            for (owner, absent) in ABSENT {
                let applies = owner == member || (owner == ANY && member.starts_with("iddio"));
                for name in absent.iter().filter(|name| applies && reached.contains(**name)) {
                    findings
                        .push(finding(member, format!("reaches `{name}`, which must stay absent")));
                }
            }
        }
        findings
    }

    /// Returns the members of the workspace that are crates of the product.
    pub(super) fn crates(&self) -> impl Iterator<Item = &str> {
        self.members.iter().map(String::as_str)
    }

    fn check_inside(&self, member: &str, direct: &BTreeSet<String>) -> Vec<Finding> {
        let Some((_, allowed)) = INSIDE.iter().find(|(name, _)| *name == member) else {
            let what = "has no line in the table of arrows (xtask/src/tidy/manifest.rs)";
            return vec![finding(member, what.to_owned())];
        };
        let ours = direct.iter().filter(|name| self.members.contains(*name));
        ours.filter(|name| !allowed.contains(&ANY) && !allowed.contains(&name.as_str()))
            .map(|name| finding(member, format!("may not know `{name}`")))
            .collect()
    }

    fn reached(&self, from: &str) -> BTreeSet<String> {
        let mut reached = BTreeSet::new();
        let mut waiting = vec![from.to_owned()];
        while let Some(name) = waiting.pop() {
            for next in self.arrows.get(&name).into_iter().flatten() {
                if reached.insert(next.clone()) {
                    waiting.push(next.clone());
                }
            }
        }
        reached
    }
}

/// Returns what is wrong with the manifests among `files`.
pub(super) fn check_manifests(files: &[File]) -> Vec<Finding> {
    let manifests = files.iter().filter(|file| file.path.ends_with("Cargo.toml"));
    manifests.flat_map(reasons).collect()
}

/// Every dependency that is not ours has a line saying what for.
fn reasons(file: &File) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut inside = false;
    for (number, line) in (1..).zip(file.text.lines()) {
        if line.starts_with('[') {
            inside = line.trim_end_matches(']').ends_with("dependencies");
        }
        let Some((name, value)) = line.split_once('=').filter(|_| inside) else { continue };
        let name = name.trim();
        let ours = name.starts_with("iddio") || name.starts_with('#');
        if !ours && !value.contains('#') {
            findings.push(file.finding(number, format!("`{name}` does not say what it is for")));
        }
    }
    findings
}

fn finding(member: &str, what: String) -> Finding {
    Finding { path: format!("crate {member}"), line: 0, what }
}

fn list<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value.pointer(pointer).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

fn text(value: &Value, pointer: &str) -> String {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
}

const ANY: &str = "*";

/// Who may know whom. A new arrow is an event: a commit and a line in a decision record.
const INSIDE: &[(&str, &[&str])] = &[
    (
        "iddio",
        &[
            "iddio-approve",
            "iddio-audit",
            "iddio-classify",
            "iddio-core",
            "iddio-exec",
            "iddio-execd",
            "iddio-mint",
            "iddio-net",
            "iddio-policy",
            "iddio-record",
            "iddio-run",
            "iddio-runtime",
            "iddio-spawn",
        ],
    ),
    ("iddio-approve", &["iddio-core", "iddio-mint"]),
    ("iddio-audit", &["iddio-core"]),
    ("iddio-classify", &["iddio-core"]),
    ("iddio-core", &[]),
    // A gateway knows no sink, no approver and no other gateway.
    ("iddio-exec", &["iddio-classify", "iddio-core", "iddio-runtime", "iddio-spawn"]),
    // The broker is the gateway of exec for callers elsewhere.
    (
        "iddio-execd",
        &["iddio-core", "iddio-exec", "iddio-net", "iddio-runtime", "iddio-service", "iddio-spawn"],
    ),
    ("iddio-fuzz", &[ANY]),
    // It knows its minter and the recorder, and that connects through the one connector.
    (
        "iddio-kube",
        &[
            "iddio-classify",
            "iddio-core",
            "iddio-mint",
            "iddio-net",
            "iddio-record",
            "iddio-runtime",
            "iddio-serve",
        ],
    ),
    // The service keeps a log and is lent a signer; it judges nothing and starts nothing.
    ("iddio-logd", &["iddio-audit", "iddio-core", "iddio-mint", "iddio-service"]),
    // It asks the signer in the frames that the log service speaks.
    ("iddio-mint", &["iddio-audit", "iddio-core"]),
    ("iddio-net", &[]),
    ("iddio-policy", &["iddio-core"]),
    // It is lent what is decided, and knows no log.
    ("iddio-record", &["iddio-core"]),
    // A gateway as well: it lends agents a box, and tools that lead to another gateway behind a trait of its own.
    ("iddio-run", &["iddio-core", "iddio-net", "iddio-runtime", "iddio-spawn"]),
    // It reads checkpoints, and connects to one place.
    ("iddio-push", &["iddio-audit", "iddio-core", "iddio-mint", "iddio-net", "iddio-service"]),
    (
        "iddio-runtime",
        &[
            "iddio-approve",
            "iddio-audit",
            "iddio-core",
            "iddio-mint",
            "iddio-policy",
            // What root says of the log service is read as the log service reads it.
            "iddio-service",
        ],
    ),
    // What network gateways share; it judges nothing that passes, and alone of what they share it has a runtime.
    ("iddio-serve", &["iddio-core", "iddio-net", "iddio-runtime", "iddio-service"]),
    ("iddio-service", &[]),
    // It reads the log, and judges nothing that is not in a record.
    ("iddio-signer", &["iddio-audit", "iddio-core", "iddio-mint", "iddio-service"]),
    ("iddio-spawn", &[]),
    ("iddio-testkit", &["iddio-core"]),
    ("iddio-tests", &[ANY]),
    ("xtask", &[]),
];

/// The crates whose every foreign dependency is listed.
const OUTSIDE: [(&str, &[&str]); 2] =
    [("iddio-core", &["sha2"]), ("xtask", &["anyhow", "serde", "serde_json", "toml"])];

/// What must stay absent from all that a crate reaches.
const ABSENT: [(&str, &[&str]); 5] = [
    // `iddio exec` starts in about a millisecond; a runtime would be most of it.
    ("iddio", &["tokio", "async-std", "smol", "russh", "kube", "rmcp", "iddio-control"]),
    (PURE[0], RUNTIMES),
    (PURE[1], RUNTIMES),
    (PURE[2], RUNTIMES),
    // We link one TLS stack when we link one, and it is not this.
    (ANY, &["openssl-sys", "native-tls"]),
];

const RUNTIMES: &[&str] = &["tokio", "async-std", "smol", "mio", "hyper", "rustix"];

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns what is said about members with these arrows.
    fn said(members: &[&str], arrows: &[(&str, &str)]) -> Vec<String> {
        let mut graph = Graph {
            arrows: BTreeMap::new(),
            members: members.iter().map(|name| (*name).to_owned()).collect(),
        };
        for (from, to) in arrows {
            graph.arrows.entry((*from).to_owned()).or_default().insert((*to).to_owned());
        }
        graph.check().into_iter().map(|finding| finding.what).collect()
    }

    #[test]
    fn the_core_knows_nobody_but_a_hash() {
        assert!(said(&["iddio-core"], &[("iddio-core", "sha2")]).is_empty());
        assert_eq!(said(&["iddio-core"], &[("iddio-core", "serde")]).len(), 1);
        assert_eq!(said(&["iddio-core", "iddio-audit"], &[("iddio-core", "iddio-audit")]).len(), 1);
    }

    #[test]
    fn a_gateway_knows_no_sink_and_no_approver() {
        for other in ["iddio-audit", "iddio-approve"] {
            let said = said(&["iddio-exec", other], &[("iddio-exec", other)]);
            assert_eq!(said, [format!("may not know `{other}`")]);
        }
    }

    #[test]
    fn a_runtime_reached_through_others_is_found() {
        let arrows = [("iddio", "clap"), ("clap", "helper"), ("helper", "tokio")];
        assert_eq!(said(&["iddio"], &arrows), ["reaches `tokio`, which must stay absent"]);
    }

    #[test]
    fn a_crate_without_a_line_in_the_table_is_found() {
        assert_eq!(said(&["iddio-new"], &[]).len(), 1);
    }

    #[test]
    fn what_only_tests_need_is_no_arrow() {
        let json = r#"{
            "packages": [{"id": "c", "name": "iddio-core"}, {"id": "p", "name": "proptest"}, {"id": "s", "name": "sha2"}],
            "workspace_members": ["c"],
            "resolve": {"nodes": [{"id": "c", "deps": [
                {"pkg": "p", "dep_kinds": [{"kind": "dev"}]},
                {"pkg": "s", "dep_kinds": [{"kind": null}]}
            ]}]}
        }"#;
        let graph = Graph::read(json).unwrap();
        assert!(graph.check().is_empty());
        assert_eq!(graph.arrows["iddio-core"].len(), 1);
    }

    #[test]
    fn a_dependency_that_does_not_say_what_for_is_found() {
        let text = "[package]\nname = \"a\"\n[dependencies]\niddio-core = { workspace = true }\nserde = { workspace = true }\ntoml = { workspace = true } # policy\n";
        let files = [File { path: "crates/a/Cargo.toml".into(), text: text.into() }];
        let findings = check_manifests(&files);
        assert_eq!(findings.len(), 1);
        assert!(findings[0].what.contains("`serde`"));
    }
}
