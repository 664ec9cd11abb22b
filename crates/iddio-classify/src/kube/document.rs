//! Documents as kubectl reads them: JSON one after the other, or YAML parted by `---`.
//!
//! What two readers could take differently is refused (threat K10): a member named twice, in
//! whatever case but where names are free, a byte order mark, tags of one's own. Anchors, depth and
//! size are bounded. Nothing is judged here.

use std::{collections::BTreeSet, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{Error as _, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Value};
use serde_saphyr::{
    budget::Budget,
    options::{DuplicateKeyPolicy, Options},
};

/// Why documents cannot be read.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ManifestError {
    /// Two members that differ in case alone.
    #[error("`{0}` stands twice, in different case")]
    Alike(String),
    /// It starts with a byte order mark.
    #[error("it starts with a byte order mark")]
    ByteOrderMark,
    /// An object without a kind, or with one that is no text.
    #[error("an object without `kind`, `apiVersion` or readable `metadata`")]
    NoObject,
    /// It is not UTF-8.
    #[error("it is not UTF-8")]
    NotText,
    /// It is longer than the limit.
    #[error("it is longer than {MANIFEST_BYTES_MAX} bytes")]
    TooLong,
    /// It has more objects than the limit.
    #[error("it has more objects than the limit")]
    TooMany,
    /// It is neither YAML nor JSON as every reader takes them.
    #[error("not readable: {0}")]
    Unreadable(String),
}

/// Reads every document; empty ones are left out.
pub(super) fn documents(text: &[u8]) -> Result<Vec<Value>, ManifestError> {
    let text = sound(text)?;
    let documents = match text.trim_start().starts_with('{') {
        // What starts as JSON and is none is YAML in braces.
        true => json(text).or_else(|_| yaml(text))?,
        false => yaml(text)?,
    };
    for document in &documents {
        differs_in_more_than_case(document)?;
    }
    Ok(documents.into_iter().filter(|document| !document.is_null()).collect())
}

/// Reads one value of JSON and nothing else, as a server reads what says it is JSON.
pub(super) fn one_json(text: &[u8]) -> Result<Value, ManifestError> {
    let text = sound(text)?;
    let mut values = json(text)?.into_iter();
    single(values.next(), values.next())
}

/// Reads one document of YAML.
pub(super) fn one_yaml(text: &[u8]) -> Result<Value, ManifestError> {
    let mut values = documents(text)?.into_iter();
    single(values.next(), values.next())
}

fn single(first: Option<Value>, second: Option<Value>) -> Result<Value, ManifestError> {
    match (first, second) {
        (Some(value), None) => {
            differs_in_more_than_case(&value)?;
            Ok(value)
        }
        (None, _) => Err(ManifestError::Unreadable("nothing".to_owned())),
        (Some(_), Some(_)) => Err(ManifestError::Unreadable("more than one document".to_owned())),
    }
}

/// Takes text that is short enough, UTF-8, and begins without a mark.
fn sound(text: &[u8]) -> Result<&str, ManifestError> {
    if MANIFEST_BYTES_MAX < text.len() {
        return Err(ManifestError::TooLong);
    }
    let text = std::str::from_utf8(text).map_err(|_| ManifestError::NotText)?;
    match text.starts_with('\u{feff}') {
        true => Err(ManifestError::ByteOrderMark),
        false => Ok(text),
    }
}

fn json(text: &str) -> Result<Vec<Value>, ManifestError> {
    serde_json::Deserializer::from_str(text)
        .into_iter::<Strict>()
        .map(|read| read.map(|Strict(value)| value))
        .collect::<Result<_, _>>()
        .map_err(|error| ManifestError::Unreadable(error.to_string()))
}

fn yaml(text: &str) -> Result<Vec<Value>, ManifestError> {
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    let read: Vec<Strict> =
        serde_saphyr::from_multiple_with_options(text, options()).map_err(|error| {
            let whole = error.render();
            let brief = whole.lines().next().unwrap_or_default();
            ManifestError::Unreadable(brief.chars().take(ERROR_CHARS_MAX).collect())
        })?;
    Ok(read.into_iter().map(|Strict(value)| value).collect())
}

fn options() -> Options {
    let mut budget = Budget::default();
    budget.max_aliases = ALIASES_MAX;
    budget.max_anchors = ALIASES_MAX;
    budget.max_depth = DEPTH_MAX;
    budget.max_documents = super::manifest::OBJECTS_MAX;
    budget.max_events = NODES_MAX * 2;
    budget.max_nodes = NODES_MAX;
    budget.max_total_scalar_bytes = MANIFEST_BYTES_MAX;
    let mut options = Options::default();
    options.budget = Some(budget);
    options.alias_limits.max_total_replayed_events = NODES_MAX;
    options.duplicate_keys = DuplicateKeyPolicy::Error;
    options.reject_unsupported_tags = true;
    options.strict_booleans = true;
    options.with_snippet = false;
    options
}

/// Refuses members that differ in case alone, but in maps whose keys are anybody's to choose.
pub(super) fn differs_in_more_than_case(value: &Value) -> Result<(), ManifestError> {
    match value {
        Value::Object(members) => {
            let mut names = BTreeSet::new();
            for (name, value) in members {
                if !names.insert(name.to_lowercase()) {
                    return Err(ManifestError::Alike(name.clone()));
                }
                let free = FREE.contains(&name.as_str());
                match value.as_object().filter(|_| free) {
                    Some(map) => map.values().try_for_each(differs_in_more_than_case)?,
                    None => differs_in_more_than_case(value)?,
                }
            }
            Ok(())
        }
        Value::Array(values) => values.iter().try_for_each(differs_in_more_than_case),
        _ => Ok(()),
    }
}

/// A value without doubled members.
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
        f.write_str("an object, a list, text, a number or a truth")
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

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, from: D) -> Result<Value, D::Error> {
        from.deserialize_any(self)
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
        while let Some((name, Strict(value))) = members.next_entry::<String, Strict>()? {
            if object.insert(name, value).is_some() {
                return Err(A::Error::custom("a member stands twice"));
            }
        }
        Ok(Value::Object(object))
    }
}

/// Maps whose keys are names that somebody chose: files, labels.
const FREE: [&str; 8] = [
    "annotations",
    "binaryData",
    "data",
    "labels",
    "matchLabels",
    "nodeSelector",
    "selector",
    "stringData",
];

/// The longest text that is read: etcd takes objects of 1.5 MB, and the largest bundles of
/// definitions that people apply have some 5 MB.
pub(crate) const MANIFEST_BYTES_MAX: usize = 8 * 1024 * 1024;

/// The most values: those bundles have some 200 000.
pub(super) const NODES_MAX: usize = 1_000_000;

/// The most anchors and aliases: an honest file has a handful.
const ALIASES_MAX: usize = 1_000;

/// As deep as the JSON reader goes.
pub(super) const DEPTH_MAX: usize = 127;

/// An error is shown in one line.
const ERROR_CHARS_MAX: usize = 200;
