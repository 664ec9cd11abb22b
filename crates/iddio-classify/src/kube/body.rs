//! Bodies of changes to Kubernetes objects, as far as a command line carries them.
//!
//! A body raises what its request line gives: a privileged pod, host namespaces, host paths. It is
//! JSON or YAML as every reader takes it; what is not is break-glass, because nobody knows what it
//! asks for.

use iddio_core::tier::{Class, Tier};
use serde_json::Value;

use super::{
    Verdict, document,
    pod::{self, Scene},
};

/// Judges the body of a change, or returns `None` if it raises nothing.
///
/// It looks for the fields wherever they stand, so a merge patch, a JSON patch and a whole object
/// are read alike.
pub fn judge(text: &str) -> Option<Verdict> {
    if text.len() > BODY_BYTES_MAX {
        return Some(unread("a body longer than the limit"));
    }
    match read(text) {
        Some(value @ (Value::Object(_) | Value::Array(_))) => worst(&value),
        _ => Some(unread("a body that is not a strict JSON or YAML object or list")),
    }
}

/// Reads one document that every reader takes alike (threat K10).
pub fn read(text: &str) -> Option<Value> {
    let mut documents = document::documents(text.as_bytes()).ok()?.into_iter();
    let document = documents.next()?;
    documents.next().is_none().then_some(document)
}

/// Judges what `kubectl label` and `annotate` set or take away: `key=value`, `key-`.
pub fn setting(text: &str) -> Option<Verdict> {
    let key = text.split('=').next().unwrap_or("").trim_end_matches('-');
    pod::named(&key.to_ascii_lowercase())
}

/// Returns everything a change raises, each with why: members wherever they stand, and the
/// operations of a JSON patch.
pub(super) fn raised(value: &Value) -> Vec<Verdict> {
    let members = pod::look(value, Scene::Patch).into_iter().map(|found| found.verdict);
    let operations = value.as_array().into_iter().flatten().filter_map(patch_operation);
    let mut raised: Vec<_> = members.chain(operations).collect();
    raised.sort();
    raised.dedup();
    raised
}

fn worst(value: &Value) -> Option<Verdict> {
    raised(value).into_iter().max()
}

/// An operation of a JSON patch names its field in `path`; `move` and `copy` hide what they write.
fn patch_operation(value: &Value) -> Option<Verdict> {
    let operation = value.get("op")?.as_str()?;
    let path = value.get("path")?.as_str()?;
    if matches!(operation, "move" | "copy") {
        return Some(verdict(Tier::BreakGlass, Class::Unknown, "a patch that moves or copies"));
    }
    let written = value.get("value").unwrap_or(&Value::Null);
    let parts: Vec<_> =
        path.split('/').map(|part| part.replace("~1", "/").replace("~0", "~")).collect();
    // An index stands for a member of the list that is named before it.
    let named = parts.iter().filter(|part| !part.bytes().all(|byte| byte.is_ascii_digit()));
    let mut parent = "";
    let mut found = None;
    for part in named {
        let next = match part.as_str() {
            "-" => pod::member("", parent, &Value::Array(vec![written.clone()]), Scene::Patch),
            part => pod::member(parent, part, written, Scene::Patch),
        };
        found = found.max(next);
        parent = part;
    }
    // What stands behind an index of `add` is one of its names.
    if parent == "add" {
        let list = Value::Array(vec![written.clone()]);
        found = found.max(pod::member("capabilities", "add", &list, Scene::Patch));
    }
    match operation {
        "remove" if path.to_ascii_lowercase().contains("securitycontext") => {
            found.max(Some(verdict(Tier::Sensitive, Class::Identity, "a changed security context")))
        }
        _ => found,
    }
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
