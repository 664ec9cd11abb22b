//! `iddio kube manifests`: what a cluster has to know of the gateway.
//!
//! The rights come from the classifier's own table: a service account of a tier may do what is judged
//! to be of that tier or below, and nothing that is above. So what the gateway decides and what the API
//! server permits agree, and a mistake of the gateway's meets a second fence.

use std::collections::{BTreeMap, BTreeSet};

use iddio_classify::kube::{Line, Method, resource, resource_request};
use iddio_core::tier::Tier;
use iddio_runtime::agents::Agents;
use serde_json::{Value, json};

use crate::{
    cli::{KubeVerb, ManifestsArgs},
    commands,
    exit::{DONE, Ended, Failure},
    output::{self, Voice},
};

mod yaml;

pub(crate) fn run(verb: KubeVerb, voice: Voice) -> Ended {
    match verb {
        KubeVerb::Manifests(arguments) => manifests(arguments, voice),
    }
}

fn manifests(arguments: ManifestsArgs, voice: Voice) -> Ended {
    let ManifestsArgs { agent, namespace, r#in, custom, break_glass, json } = arguments;
    let agents = match agent.is_empty() {
        true => live(voice)?,
        false => agent,
    };
    let wanted = Wanted { agents, namespace, within: r#in, custom, highest: highest(break_glass) };
    wanted.check()?;
    let objects = wanted.objects();
    match json {
        true => output::json(&json!({"apiVersion": "v1", "kind": "List", "items": objects}))?,
        false => {
            for object in &objects {
                output::line("---")?;
                output::line(yaml::text(object).trim_end())?;
            }
        }
    }
    Ok(DONE)
}

/// Returns the agents that are registered and not revoked.
fn live(voice: Voice) -> Result<Vec<String>, Failure> {
    let home = commands::home(voice)?;
    let agents = Agents::of(&home).list()?;
    let live = agents.into_iter().filter(|agent| agent.revoked.is_none());
    Ok(live.map(|agent| agent.name).collect())
}

fn highest(break_glass: bool) -> Tier {
    if break_glass { Tier::BreakGlass } else { Tier::Sensitive }
}

/// What the manifests are for.
struct Wanted {
    agents: Vec<String>,
    namespace: String,
    within: Vec<String>,
    custom: Vec<String>,
    highest: Tier,
}

/// The verbs on the resources of one group.
type Rules = BTreeMap<(String, BTreeSet<&'static str>), BTreeSet<String>>;

// === impl Wanted ===

impl Wanted {
    fn check(&self) -> Result<(), Failure> {
        if self.agents.is_empty() {
            return Err(Failure::usage(
                "no agent is registered: iddio agent add NAME, or --agent NAME",
            ));
        }
        let names = self.agents.iter().chain([&self.namespace]).chain(&self.within);
        for name in names {
            if !is_label(name) {
                let text = format!(
                    "`{}` is no name of Kubernetes: use a-z, 0-9 and - within",
                    output::foreign(name)
                );
                return Err(Failure::usage(text));
            }
        }
        for group in &self.custom {
            let known = resource::all().any(|resource| resource.group == group);
            if known || !group.split('.').all(is_label) || !group.contains('.') {
                let text = format!("`{}` is no group of custom resources", output::foreign(group));
                return Err(Failure::usage(text));
            }
        }
        Ok(())
    }

    fn objects(&self) -> Vec<Value> {
        let mut objects = self.gateway();
        for tier in self.tiers() {
            objects.push(json!({
                "apiVersion": "rbac.authorization.k8s.io/v1",
                "kind": "ClusterRole",
                "metadata": {"name": role(tier)},
                "rules": self.rules(tier),
            }));
        }
        for agent in &self.agents {
            self.agent(agent, &mut objects);
        }
        objects
    }

    fn tiers(&self) -> impl Iterator<Item = Tier> + Clone + use<> {
        let highest = self.highest;
        // Nothing of Kubernetes is tier 1 by nature: runbooks make it so, and the account follows nature.
        let used = [Tier::Observe, Tier::Modify, Tier::Sensitive, Tier::BreakGlass];
        used.into_iter().filter(move |tier| *tier <= highest)
    }

    /// Returns the gateway's own account: it makes tokens of the accounts below, and ends them.
    fn gateway(&self) -> Vec<Value> {
        let namespace = &self.namespace;
        let accounts: Vec<_> = self
            .agents
            .iter()
            .flat_map(|agent| self.tiers().map(move |tier| account(agent, tier)))
            .collect();
        let secrets: Vec<_> = self.agents.iter().map(|agent| format!("iddio-{agent}")).collect();
        vec![
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}),
            json!({
                "apiVersion": "v1", "kind": "ServiceAccount", "metadata": within(GATEWAY, namespace),
                "automountServiceAccountToken": false,
            }),
            json!({
                "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
                "metadata": within(GATEWAY, namespace),
                "rules": [
                    {"apiGroups": [""], "resources": ["serviceaccounts/token"],
                     "resourceNames": accounts, "verbs": ["create"]},
                    {"apiGroups": [""], "resources": ["secrets"],
                     "resourceNames": secrets, "verbs": ["delete"]},
                ],
            }),
            binding(
                "RoleBinding",
                within(GATEWAY, namespace),
                ("Role", GATEWAY),
                (GATEWAY, namespace),
            ),
        ]
    }

    /// Adds the accounts of an agent, and what they are bound to.
    fn agent(&self, agent: &str, objects: &mut Vec<Value>) {
        let namespace = &self.namespace;
        let secret = format!("iddio-{agent}");
        objects.push(json!({
            "apiVersion": "v1", "kind": "Secret", "type": "Opaque", "metadata": within(&secret, namespace),
        }));
        for tier in self.tiers() {
            let account = account(agent, tier);
            objects.push(json!({
                "apiVersion": "v1", "kind": "ServiceAccount", "metadata": within(&account, namespace),
                "automountServiceAccountToken": false,
            }));
            // An account may what is of its tier, and what is below: a body may raise a request.
            for below in self.tiers().filter(|below| *below <= tier) {
                let name = format!("{account}-may-t{}", below.number());
                let (role, subject) = (role(below), (account.as_str(), namespace.as_str()));
                let role = ("ClusterRole", role.as_str());
                if self.within.is_empty() {
                    let metadata = json!({"name": name});
                    objects.push(binding("ClusterRoleBinding", metadata, role, subject));
                }
                for place in &self.within {
                    objects.push(binding("RoleBinding", within(&name, place), role, subject));
                }
            }
        }
    }

    /// Returns what is judged to be of this tier, as rules of RBAC.
    fn rules(&self, tier: Tier) -> Vec<Value> {
        let mut rules: Rules = BTreeMap::new();
        for resource in resource::all() {
            let parts = SUBRESOURCES.iter().filter(|(of, ..)| *of == resource.plural);
            let parts = parts.map(|(_, subresource, requests)| (*subresource, *requests));
            for (subresource, requests) in [("", WHOLE)].into_iter().chain(parts) {
                let verbs: BTreeSet<_> = requests
                    .iter()
                    .filter(|request| judged(resource, subresource, request) == tier)
                    .map(|(verb, ..)| *verb)
                    .collect();
                if !verbs.is_empty() {
                    let name = match subresource {
                        "" => resource.plural.to_owned(),
                        subresource => format!("{}/{subresource}", resource.plural),
                    };
                    let key = (resource.group.to_owned(), verbs);
                    let _new = rules.entry(key).or_default().insert(name);
                }
            }
        }
        // What the table does not know: reads are tier 2, writes tier 3, collections tier 4.
        for group in &self.custom {
            let verbs: &[&str] = match tier {
                Tier::Modify => &["get", "list", "watch"],
                Tier::Sensitive => &["create", "delete", "patch", "update"],
                _ => continue,
            };
            let key = (group.clone(), verbs.iter().copied().collect());
            let _new = rules.entry(key).or_default().insert("*".to_owned());
        }
        let rule = |((group, verbs), resources)| json!({"apiGroups": [group], "resources": resources, "verbs": verbs});
        rules.into_iter().map(rule).collect()
    }
}

/// A verb of RBAC, the method that it is, and whether it names an object.
type Request = (&'static str, Method, Names);

/// Whether a request names an object.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Names {
    One,
    All,
}

/// Returns the tier of the request that a verb stands for, whatever its body may make of it.
fn judged(resource: &resource::Resource, subresource: &str, request: &Request) -> Tier {
    let (_, method, names) = *request;
    let line = Line {
        group: resource.group,
        version: "v1",
        namespace: if resource.place == resource::Place::Namespace { "a" } else { "" },
        resource: resource.plural,
        name: if names == Names::One { "a" } else { "" },
        subresource,
        rest: "",
    };
    resource_request(method, &line).tier
}

fn role(tier: Tier) -> String {
    format!("iddio-t{}", tier.number())
}

fn account(agent: &str, tier: Tier) -> String {
    format!("iddio-{agent}-t{}", tier.number())
}

fn within(name: &str, namespace: &str) -> Value {
    json!({"name": name, "namespace": namespace})
}

fn binding(kind: &str, metadata: Value, role: (&str, &str), subject: (&str, &str)) -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": metadata,
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": role.0, "name": role.1},
        "subjects": [{"kind": "ServiceAccount", "name": subject.0, "namespace": subject.1}],
    })
}

/// Whether a text is a DNS label (RFC 1123), which every part of our names has to be.
fn is_label(text: &str) -> bool {
    let sound = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=LABEL_BYTES_MAX).contains(&text.len())
        && text.bytes().all(sound)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// The verbs of a resource.
const WHOLE: &[Request] = &[
    ("create", Method::Post, Names::All),
    ("delete", Method::Delete, Names::One),
    ("deletecollection", Method::Delete, Names::All),
    ("get", Method::Get, Names::One),
    ("list", Method::Get, Names::All),
    ("patch", Method::Patch, Names::One),
    ("update", Method::Put, Names::One),
    ("watch", Method::Get, Names::All),
];

/// The verbs of a subresource that is read, and changed.
const CHANGED: &[Request] = &[
    ("get", Method::Get, Names::One),
    ("patch", Method::Patch, Names::One),
    ("update", Method::Put, Names::One),
];

/// The verbs of a stream: by WebSocket it is a GET.
const STREAM: &[Request] =
    &[("create", Method::Post, Names::One), ("get", Method::Get, Names::One)];

const MADE: &[Request] = &[("create", Method::Post, Names::One)];
const READ: &[Request] = &[("get", Method::Get, Names::One)];

/// The subresources that clients use.
const SUBRESOURCES: &[(&str, &str, &[Request])] = &[
    ("deployments", "scale", CHANGED),
    ("pods", "attach", STREAM),
    ("pods", "ephemeralcontainers", CHANGED),
    ("pods", "eviction", MADE),
    ("pods", "exec", STREAM),
    ("pods", "log", READ),
    ("pods", "portforward", STREAM),
    ("replicasets", "scale", CHANGED),
    ("replicationcontrollers", "scale", CHANGED),
    ("statefulsets", "scale", CHANGED),
];

/// The account of the gateway itself.
const GATEWAY: &str = "iddio-kube";

/// RFC 1123.
const LABEL_BYTES_MAX: usize = 63;

#[cfg(test)]
mod tests;
