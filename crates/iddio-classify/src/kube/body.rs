//! Bodies of Kubernetes requests, as far as a command line carries them.
//!
//! A body raises what its request line gives: a privileged pod, host namespaces, host paths. It is
//! strict JSON; what is not is break-glass, because nobody knows what it asks for.

use std::{collections::BTreeSet, fmt};

use iddio_core::tier::{Class, Tier};
use serde::{
    Deserialize, Deserializer,
    de::{Error as _, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Value};

use super::Verdict;

/// Judges the JSON body of a write, or returns `None` if it raises nothing.
///
/// It looks for the fields wherever they stand, so a merge patch, a JSON patch and a whole object
/// are read alike.
pub fn judge(text: &str) -> Option<Verdict> {
    if text.len() > BODY_BYTES_MAX {
        return Some(unread("a body longer than the limit"));
    }
    match read(text) {
        Some(value @ (Value::Object(_) | Value::Array(_))) => worst(&value),
        _ => Some(unread("a body that is not a strict JSON object or list")),
    }
}

/// Reads JSON that every reader takes alike: an object that names a member twice, in whatever
/// case, is refused (threat K10). Nesting is bounded by serde_json.
pub fn read(text: &str) -> Option<Value> {
    serde_json::from_str(text).ok().map(|Strict(value)| value)
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

/// A JSON value without doubled members.
struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(StrictVisitor).map(Self)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(Strict(value)) = items.next_element()? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        let mut names = BTreeSet::new();
        while let Some((name, Strict(value))) = members.next_entry::<String, Strict>()? {
            if !names.insert(name.to_lowercase()) {
                return Err(A::Error::custom("a member stands twice"));
            }
            object.insert(name, value);
        }
        Ok(Value::Object(object))
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
