//! Bodies of Kubernetes requests, as far as a command line carries them.
//!
//! A body raises what its request line gives: a privileged pod, host namespaces, host paths. It is
//! strict JSON; what is not is break-glass, because nobody knows what it asks for.

use iddio_core::tier::{Class, Tier};
use serde_json::Value;

use super::Verdict;

/// Judges the JSON body of a write, or returns `None` if it raises nothing.
///
/// It looks for the fields wherever they stand, so a merge patch, a JSON patch and a whole object
/// are read alike.
pub fn judge(text: &str) -> Option<Verdict> {
    if text.len() > BODY_BYTES_MAX {
        return Some(unread("a body longer than the limit"));
    }
    match serde_json::from_str::<Value>(text) {
        Ok(Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) | Err(_) => {
            Some(unread("a body that is not a JSON object or list"))
        }
        Ok(value) => worst(&value),
    }
}

/// Walks the value; serde_json has bounded its depth.
fn worst(value: &Value) -> Option<Verdict> {
    let below = |found: Option<Verdict>, next: Option<Verdict>| match (found, next) {
        (Some(one), Some(other)) if one.tier >= other.tier => Some(one),
        (one, None) => one,
        (_, other) => other,
    };
    match value {
        Value::Object(members) => members
            .iter()
            .map(|(key, value)| below(member(key, value), worst(value)))
            .chain([patch_operation(value)])
            .fold(None, below),
        Value::Array(values) => values.iter().map(worst).fold(None, below),
        _ => None,
    }
}

/// What one member means, wherever it stands.
fn member(key: &str, value: &Value) -> Option<Verdict> {
    let set = !matches!(value, Value::Bool(false) | Value::Null);
    let control = |reason| Some(verdict(Tier::BreakGlass, Class::Session, reason));
    let sensitive = |reason| Some(verdict(Tier::Sensitive, Class::Identity, reason));
    match key {
        "privileged" if set => control("a privileged container"),
        "hostNetwork" | "hostPID" | "hostIPC" if set => control("a namespace of the host"),
        "hostPath" if set => control("a path of the host"),
        "hostUsers" if value == &Value::Bool(true) => None,
        "procMount" if value == "Unmasked" => control("the host's /proc"),
        "add"
            if names(
                value,
                &[
                    "SYS_ADMIN",
                    "ALL",
                    "SYS_PTRACE",
                    "SYS_MODULE",
                    "NET_ADMIN",
                    "DAC_READ_SEARCH",
                    "BPF",
                    "SYS_RAWIO",
                ],
            ) =>
        {
            control("a strong capability")
        }
        "nodeName" if set => control("a pod placed past the scheduler"),
        "ephemeralContainers" if set => control("a container added to a running pod"),
        "roleRef" => Some(verdict(Tier::BreakGlass, Class::Identity, "a binding")),
        "aggregationRule" if set => {
            Some(verdict(Tier::BreakGlass, Class::Identity, "an aggregated role"))
        }
        "secretRef" | "secretKeyRef" | "secretName" | "imagePullSecrets" if set => {
            sensitive("a reference to a Secret")
        }
        "serviceAccountName" | "serviceAccount" | "automountServiceAccountToken" if set => {
            sensitive("another service account")
        }
        "securityContext" => sensitive("a changed security context"),
        "finalizers" => sensitive("changed finalizers"),
        "ownerReferences" => sensitive("changed owners"),
        _ if key.starts_with("pod-security.kubernetes.io/") => {
            Some(verdict(Tier::BreakGlass, Class::Identity, "a pod security label"))
        }
        _ => None,
    }
}

/// An operation of a JSON patch names its field in `path`; `move` and `copy` hide what they write.
fn patch_operation(value: &Value) -> Option<Verdict> {
    let operation = value.get("op")?.as_str()?;
    let path = value.get("path")?.as_str()?;
    if matches!(operation, "move" | "copy") {
        return Some(verdict(Tier::BreakGlass, Class::Unknown, "a patch that moves or copies"));
    }
    let written = value.get("value").unwrap_or(&Value::Null);
    let mut found = None;
    for part in path.split('/') {
        let part = part.replace("~1", "/").replace("~0", "~");
        let next = member(&part, written);
        found = match (found, next) {
            (Some(one), Some(other)) => Some(if one < other { other } else { one }),
            (one, other) => one.or(other),
        };
    }
    match operation {
        "remove" if path.contains("securityContext") => {
            Some(verdict(Tier::Sensitive, Class::Identity, "a changed security context"))
        }
        _ => found,
    }
}

/// Whether a list names any of these, with or without `CAP_`.
fn names(value: &Value, wanted: &[&str]) -> bool {
    let Some(list) = value.as_array() else { return false };
    list.iter().filter_map(Value::as_str).any(|name| {
        let name = name.to_ascii_uppercase();
        wanted.contains(&name.strip_prefix("CAP_").unwrap_or(&name))
    })
}

fn unread(reason: &'static str) -> Verdict {
    verdict(Tier::BreakGlass, Class::Unknown, reason)
}

fn verdict(tier: Tier, class: Class, reason: &'static str) -> Verdict {
    Verdict { tier, class, rule: 7, reason }
}

impl PartialOrd for Verdict {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Verdict {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.tier, self.rule, self.reason).cmp(&(other.tier, other.rule, other.reason))
    }
}

/// The longest body that is read from a command line; the kernel takes 128 KiB in one word.
pub const BODY_BYTES_MAX: usize = 128 * 1024;
