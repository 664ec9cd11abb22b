//! What fields of Kubernetes objects mean, wherever they stand.
//!
//! A pod specification may be hidden in any workload and any custom resource (threat K11), so every
//! member of a value is looked at, by its name in any case. Labels and the like hold names that
//! somebody chose, and only those that are known to do something count.

use iddio_core::tier::{Class, Tier};
use serde_json::{Map, Value};

use super::Verdict;

/// What a value is part of.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Scene {
    /// A change to an object: whatever it names of security is changed.
    Patch,
    /// A whole object: a security context that only restricts is no change for the worse, and the
    /// default service account is no other.
    Whole,
}

/// Something that raises, and where it stands.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Found {
    /// What it comes to.
    pub verdict: Verdict,
    /// The members that lead there, parted by dots.
    pub path: String,
}

/// Something that raises, and the value that does.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Seen<'a> {
    /// What it is.
    pub(super) found: Found,
    /// The value of the member.
    value: &'a Value,
}

/// Looks at every member of a value. Its depth is bounded by who read it.
pub(super) fn look(value: &Value, scene: Scene) -> Vec<Found> {
    seen(value, scene).into_iter().map(|seen| seen.found).collect()
}

/// Looks at every member of a value, and keeps the values.
pub(super) fn seen(value: &Value, scene: Scene) -> Vec<Seen<'_>> {
    let mut look = Look { scene, path: Vec::new(), seen: Vec::new() };
    look.value(value);
    look.seen
}

/// Looks at one member alone: what a JSON patch or a setting names.
pub(super) fn member(parent: &str, key: &str, value: &Value, scene: Scene) -> Option<Verdict> {
    let key = key.to_ascii_lowercase();
    host(&key, value)
        .or_else(|| identity(&key, value, scene))
        .or_else(|| sensitive(&parent.to_ascii_lowercase(), &key, value, scene))
        .or_else(|| named(&key))
}

struct Look<'a> {
    scene: Scene,
    path: Vec<&'a str>,
    seen: Vec<Seen<'a>>,
}

impl<'a> Look<'a> {
    fn value(&mut self, value: &'a Value) {
        match value {
            Value::Object(members) if self.holds_names(members) => {
                for (key, value) in members {
                    self.add(key, value, named(&key.to_ascii_lowercase()));
                }
            }
            Value::Object(members) => {
                for (key, value) in members {
                    let parent = self.path.last().copied().unwrap_or("");
                    self.add(key, value, member(parent, key, value, self.scene));
                    self.path.push(key);
                    self.value(value);
                    self.path.pop();
                }
            }
            Value::Array(values) => values.iter().for_each(|value| self.value(value)),
            _ => {}
        }
    }

    /// Whether this map is one of names that somebody chose.
    fn holds_names(&self, members: &Map<String, Value>) -> bool {
        let called = self.path.last().is_some_and(|key| NAMES.contains(key));
        called && members.values().all(|value| value.is_string() || value.is_null())
    }

    fn add(&mut self, key: &str, value: &'a Value, verdict: Option<Verdict>) {
        let Some(verdict) = verdict else { return };
        if self.seen.len() < FOUND_MAX {
            let path: Vec<_> = self.path.iter().copied().chain([key]).collect();
            let found = Found { verdict, path: path.join(".") };
            self.seen.push(Seen { found, value });
        } else if let Some(least) = self.seen.iter_mut().min_by_key(|seen| seen.found.verdict.tier)
            && least.found.verdict.tier < verdict.tier
        {
            // INVARIANT: one of the greatest tier is among those kept.
            *least = Seen { found: Found { verdict, path: key.to_owned() }, value };
        }
    }
}

/// What gives the host, or a way around the scheduler.
fn host(key: &str, value: &Value) -> Option<Verdict> {
    let set = is_set(value);
    let reason = match key {
        "privileged" | "hostprocess" if set => "a privileged container",
        "hostnetwork" | "hostpid" | "hostipc" if set => "a namespace of the host",
        "hostpath" if set => "a path of the host",
        "procmount" if value.as_str().is_none_or(|mount| mount != "Default") && set => {
            "the host's /proc"
        }
        "add" if names(value, |name| STRONG.contains(&name)) => "a strong capability",
        "nodename" if set && value != "" => "a pod placed past the scheduler",
        "ephemeralcontainers" if set => "a container added to a running pod",
        _ => return None,
    };
    Some(verdict(Tier::BreakGlass, Class::Session, reason))
}

/// Who may do what.
fn identity(key: &str, value: &Value, scene: Scene) -> Option<Verdict> {
    let set = is_set(value);
    let other = scene == Scene::Patch || value != "default" && value != "";
    let (tier, reason) = match key {
        "roleref" => (Tier::BreakGlass, "a binding"),
        "aggregationrule" if set => (Tier::BreakGlass, "an aggregated role"),
        "serviceaccountname" | "serviceaccount" if set && other => {
            (Tier::Sensitive, "another service account")
        }
        "automountserviceaccounttoken" if set => (Tier::Sensitive, "a service account's token"),
        _ => return None,
    };
    Some(verdict(tier, Class::Identity, reason))
}

/// What is worth a look.
fn sensitive(parent: &str, key: &str, value: &Value, scene: Scene) -> Option<Verdict> {
    let set = is_set(value);
    let filled = set && value.as_array().is_none_or(|values| !values.is_empty());
    let reason = match key {
        "secretref" | "secretkeyref" | "secretname" if set => "a reference to a Secret",
        "imagepullsecrets" if filled => "a reference to a Secret",
        "secret" if value.is_object() => "a reference to a Secret",
        "securitycontext" if scene == Scene::Patch => "a changed security context",
        "securitycontext" if !restricts(value) => "a security context that does not only restrict",
        "hostport" if set && value != 0 => "a port of the host",
        "flexvolume" if set => "a volume whose driver runs on the host",
        "externalips" if filled => "takes traffic for an address from others",
        "finalizers" if scene == Scene::Patch || filled => "changed finalizers",
        "ownerreferences" if scene == Scene::Patch || filled => "changed owners",
        "add" if parent == "capabilities" && names(value, |name| !HARMLESS.contains(&name)) => {
            "a capability"
        }
        _ => return None,
    };
    Some(verdict(Tier::Sensitive, Class::Identity, reason))
}

/// Labels and annotations that do something, in lower case.
pub(super) fn named(key: &str) -> Option<Verdict> {
    let (tier, reason) = match key {
        _ if key.starts_with("pod-security.kubernetes.io/") => {
            (Tier::BreakGlass, "a pod security label")
        }
        _ if key.starts_with("container.apparmor.security.beta.kubernetes.io/")
            || key.starts_with("seccomp.security.alpha.kubernetes.io/") =>
        {
            (Tier::Sensitive, "a changed security context")
        }
        _ => return None,
    };
    Some(verdict(tier, Class::Identity, reason))
}

/// Whether a security context takes away and gives nothing.
fn restricts(context: &Value) -> bool {
    let Some(members) = context.as_object() else { return context.is_null() };
    members.iter().all(|(key, value)| match key.as_str() {
        _ if value.is_null() => true,
        "runAsNonRoot" | "readOnlyRootFilesystem" => value == true,
        "allowPrivilegeEscalation" | "privileged" => value == false,
        "runAsUser" | "runAsGroup" | "fsGroup" => value.as_u64().is_some_and(|id| id != 0),
        "fsGroupChangePolicy" | "supplementalGroupsPolicy" => true,
        "seccompProfile" | "appArmorProfile" => {
            value.get("type").is_some_and(|kind| kind == "RuntimeDefault" || kind == "Localhost")
        }
        "procMount" => value == "Default",
        // What it adds is looked at by itself.
        "capabilities" => true,
        _ => false,
    })
}

/// Whether a field does what it says: it is there, and not switched off.
fn is_set(value: &Value) -> bool {
    !matches!(value, Value::Bool(false) | Value::Null)
}

/// Whether a list names any of these, with or without `CAP_`.
fn names(value: &Value, wanted: impl Fn(&str) -> bool) -> bool {
    let Some(list) = value.as_array() else { return false };
    list.iter().filter_map(Value::as_str).any(|name| {
        let name = name.to_ascii_uppercase();
        wanted(name.strip_prefix("CAP_").unwrap_or(&name))
    })
}

fn verdict(tier: Tier, class: Class, reason: &'static str) -> Verdict {
    Verdict { tier, class, rule: 7, reason }
}

/// Capabilities that give the host or other workloads.
const STRONG: [&str; 15] = [
    "ALL",
    "AUDIT_CONTROL",
    "BPF",
    "CHECKPOINT_RESTORE",
    "DAC_READ_SEARCH",
    "MAC_ADMIN",
    "MAC_OVERRIDE",
    "NET_ADMIN",
    "PERFMON",
    "SYSLOG",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_MODULE",
    "SYS_PTRACE",
    "SYS_RAWIO",
];

/// Capabilities that workloads which drop all others keep.
const HARMLESS: [&str; 1] = ["NET_BIND_SERVICE"];

/// Maps of names that somebody chose.
const NAMES: [&str; 5] = ["annotations", "labels", "matchLabels", "nodeSelector", "selector"];

/// The most findings that are kept of one object.
pub(super) const FOUND_MAX: usize = 64;
