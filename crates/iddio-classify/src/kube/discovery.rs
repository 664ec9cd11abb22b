//! What a server says of a version of one of its API groups: the answer to `/apis/GROUP/VERSION`.
//!
//! It names custom resources: their kind, and whether they live in namespaces. It raises, tells scopes
//! and lowers no tier, because whoever may define a resource would lower what is done to it (threat
//! K25).
//!
//! INVARIANT: an answer is believed whole or not at all. What is not of the group and version that were
//! asked for, names something twice or is over a limit says nothing, and everything stays as it is
//! where nobody asked.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{document, resource::Place};

/// What a server says of one version of a group.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Discovered(BTreeMap<String, Named>);

/// A resource, as its server names it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Named {
    /// Its kind.
    pub kind: String,
    /// Where its objects live.
    pub place: Place,
}

// === impl Discovered ===

impl Discovered {
    /// Reads the answer, in JSON.
    pub fn read(bytes: &[u8], group: &str, version: &str) -> Option<Self> {
        if ANSWER_BYTES_MAX < bytes.len() {
            return None;
        }
        let answer = document::one_json(bytes).ok()?;
        let text = |name: &str| answer.get(name).and_then(Value::as_str);
        let own = text("kind") == Some("APIResourceList");
        let asked = text("groupVersion")?.split_once('/') == Some((group, version));
        let list = answer.get("resources")?.as_array().filter(|list| list.len() <= NAMES_MAX)?;
        if !own || !asked {
            return None;
        }
        let mut names = BTreeMap::new();
        for resource in list {
            let name = resource.get("name")?.as_str()?;
            // A subresource is judged by its own name, whoever has it.
            if name.contains('/') {
                continue;
            }
            let place = match resource.get("namespaced")?.as_bool()? {
                true => Place::Namespace,
                false => Place::Cluster,
            };
            let kind = resource.get("kind")?.as_str().filter(|kind| is_kind(kind))?.to_owned();
            let twice = names.insert(name.to_owned(), Named { kind, place });
            if !is_plural(name) || twice.is_some() {
                return None;
            }
        }
        Some(Self(names))
    }

    /// Returns the resource with this plural name.
    pub fn of(&self, plural: &str) -> Option<&Named> {
        self.0.get(plural)
    }
}

fn is_plural(name: &str) -> bool {
    let sound =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte);
    (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(sound)
}

fn is_kind(name: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric())
}

/// The longest answer: the core group's, the largest there is, has some 20 KB.
pub const ANSWER_BYTES_MAX: usize = 1024 * 1024;

/// The most resources of one version.
const NAMES_MAX: usize = 2048;

/// The longest name; labels of DNS have 63 bytes.
const NAME_BYTES_MAX: usize = 63;
