//! YAML to a tree.
//!
//! Refused: anchors, aliases, merge keys, tags of one's own, several documents, duplicate keys,
//! `yes` for a boolean, and whatever is deeper or longer than a policy can be. Nothing is included
//! or taken from the environment; those features of the parser are not compiled in.

use std::{fmt, ops::Range};

use serde::{
    Deserialize, Deserializer,
    de::{Error as _, MapAccess, SeqAccess, Visitor},
};
use serde_saphyr::{
    Location, Spanned,
    budget::{Budget, BudgetBreach},
    options::{DuplicateKeyPolicy, MergeKeyPolicy, Options},
};

use crate::{
    limits::{DEPTH_MAX, FILE_BYTES_MAX, NODES_MAX},
    source::{Fault, Source},
    tree::{Entry, Node, Value},
};

/// Parses one document.
pub(crate) fn parse(source: &Source<'_>) -> Result<Node, Fault> {
    let raw: Spanned<Raw> = serde_saphyr::from_str_with_options(source.text, options())
        .map_err(|error| fault(source, &error))?;
    Ok(raw.value.into_node(range(&raw.referenced)))
}

fn options() -> Options {
    let mut budget = Budget::default();
    budget.max_aliases = 0;
    budget.max_anchors = 0;
    budget.max_depth = DEPTH_MAX;
    budget.max_documents = 1;
    budget.max_events = NODES_MAX * 2;
    budget.max_merge_keys = 0;
    budget.max_nodes = NODES_MAX;
    budget.max_total_scalar_bytes = FILE_BYTES_MAX;
    let mut options = Options::default();
    options.budget = Some(budget);
    options.duplicate_keys = DuplicateKeyPolicy::Error;
    options.merge_keys = MergeKeyPolicy::Error;
    options.reject_unsupported_tags = true;
    options.strict_booleans = true;
    options.with_snippet = false;
    options
}

fn fault(source: &Source<'_>, error: &serde_saphyr::Error) -> Fault {
    use serde_saphyr::Error as E;
    let start = match error.location() {
        Some(location) if location != Location::UNKNOWN => {
            source.offset(location.line(), location.column())
        }
        _ => 0,
    };
    let (message, expected) = match error.without_snippet() {
        E::DuplicateMappingKey { .. } => {
            (format!("duplicate key `{}`", source.word(start)), "each key stands once")
        }
        E::Budget { breach, .. } => (breached(breach).to_owned(), "a policy needs none of these"),
        _ => {
            let whole = error.render();
            let brief = whole.split(" at line ").next().unwrap_or_default();
            let brief = brief.lines().next().unwrap_or_default();
            (format!("not readable as YAML: {brief}"), "")
        }
    };
    let end = start + source.word(start).len();
    Fault { span: start..end, message, expected: expected.to_owned() }
}

fn breached(breach: &BudgetBreach) -> &'static str {
    match breach {
        BudgetBreach::Aliases { .. } | BudgetBreach::Anchors { .. } => "an anchor or an alias",
        BudgetBreach::Depth { .. } => "nested too deeply",
        BudgetBreach::Documents { .. } => "more than one document",
        BudgetBreach::MergeKeys { .. } => "a merge key",
        _ => "too large or too complicated for a policy",
    }
}

fn range(location: &Location) -> Range<usize> {
    let start = location.span().byte_offset().and_then(|offset| usize::try_from(offset).ok());
    let bytes = location.span().byte_len().and_then(|bytes| usize::try_from(bytes).ok());
    let start = start.unwrap_or_default();
    start..start.saturating_add(bytes.unwrap_or_default())
}

/// A value whose children know their place.
enum Raw {
    Leaf(Value),
    List(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<String>, Spanned<Raw>)>),
}

impl Raw {
    fn into_node(self, span: Range<usize>) -> Node {
        let child = |raw: Spanned<Self>| raw.value.into_node(range(&raw.referenced));
        let value = match self {
            Self::Leaf(value) => value,
            Self::List(items) => Value::List(items.into_iter().map(child).collect()),
            Self::Map(entries) => {
                let entry = |(key, raw): (Spanned<String>, Spanned<Self>)| Entry {
                    span: range(&key.referenced),
                    key: key.value,
                    node: child(raw),
                };
                Value::Map(entries.into_iter().map(entry).collect())
            }
        };
        Node { value, span }
    }
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text, a number, a boolean, a list or a map")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Raw, E> {
        Ok(Raw::Leaf(Value::Boolean(value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Raw, E> {
        Ok(Raw::Leaf(Value::Integer(value)))
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Raw, E> {
        i64::try_from(value).map(|value| Raw::Leaf(Value::Integer(value))).map_err(E::custom)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Raw, E> {
        Ok(Raw::Leaf(Value::Other("no whole number: quote it if it is text")))
    }

    fn visit_str<E>(self, value: &str) -> Result<Raw, E> {
        Ok(Raw::Leaf(Value::Text(value.to_owned())))
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Leaf(Value::Nothing))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Raw, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Raw::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Raw, A::Error> {
        let mut map = Vec::new();
        while let Some(key) = entries.next_key()? {
            map.push((key, entries.next_value()?));
        }
        if map.len() > NODES_MAX {
            Err(A::Error::custom("too many keys"))
        } else {
            Ok(Raw::Map(map))
        }
    }
}
