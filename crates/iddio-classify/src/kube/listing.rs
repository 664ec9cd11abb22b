//! What the deletion of a collection would take: the names in a list of it (threat K08).
//!
//! The list is asked for with the same selectors, and says what is there then. What is shown is for
//! people; no tier follows from it.

use serde_json::Value;

use super::{document, query::Query};

/// What a list of a collection holds.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Listing {
    count: usize,
    more: More,
    /// Some of the names, in the order of the list.
    names: Vec<String>,
}

/// Whether a list goes on behind its end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum More {
    No,
    Yes,
}

/// Returns the target of the list of what a request with this path and query deletes.
pub(super) fn target(path: &str, query: &Query) -> String {
    let mut target = format!("{path}?limit={LIMIT}");
    for name in ["labelSelector", "fieldSelector"] {
        if let Some(value) = query.one(name) {
            target.push('&');
            target.push_str(name);
            target.push('=');
            value.bytes().for_each(|byte| escape(byte, &mut target));
        }
    }
    target
}

fn escape(byte: u8, to: &mut String) {
    match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
            to.push(char::from(byte));
        }
        byte => {
            to.push('%');
            for digit in [byte >> 4, byte & 0xf] {
                to.extend(char::from_digit(u32::from(digit), 16).map(|d| d.to_ascii_uppercase()));
            }
        }
    }
}

// === impl Listing ===

impl Listing {
    /// Reads the answer, in JSON.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let answer = document::one_json(bytes).ok()?;
        let items = answer.get("items")?.as_array()?;
        let name = |item: &Value| {
            let metadata = item.get("metadata")?;
            let own = metadata.get("name")?.as_str()?;
            Some(match metadata.get("namespace").and_then(Value::as_str) {
                Some(namespace) => format!("{namespace}/{own}"),
                None => own.to_owned(),
            })
        };
        let more = answer.pointer("/metadata/continue").and_then(Value::as_str);
        let more = match more {
            None | Some("") => More::No,
            Some(_) => More::Yes,
        };
        let names = items.iter().map(name).collect::<Option<Vec<_>>>()?;
        let count = names.len();
        Some(Self { count, more, names: names.into_iter().take(NAMES_MAX).collect() })
    }

    /// Says it in a line.
    pub(super) fn shown(&self) -> String {
        let Self { count, more, names } = self;
        let least = if *more == More::Yes { "at least " } else { "" };
        let mut text = format!("{least}{count} of them");
        if !names.is_empty() {
            text = format!("{text}: {}", names.join(", "));
        }
        if names.len() < *count || *more == More::Yes {
            text.push_str(", …");
        }
        text
    }
}

/// The most objects that are counted: an API server gives them in pieces of this size.
const LIMIT: usize = 500;

/// The most names that are shown.
const NAMES_MAX: usize = 20;
