//! JSON, read strictly: no duplicate member, no text after the value, bounded nesting.
//!
//! And the JSON syntax of the configuration language, turned into the same blocks and arguments as
//! the native one. Positions are not kept.

use std::{collections::BTreeSet, fmt};

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use super::hcl::{Attribute, Block, Body, Expression, Position, SyntaxError, Text, template};

/// A JSON value. Numbers are kept as text.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Json {
    Null,
    Boolean(String),
    Number(String),
    Text(String),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
}

struct Strict;

/// Reads a value. The reader limits nesting to 128.
pub(super) fn parse(bytes: &[u8]) -> Option<Json> {
    serde_json::from_slice(bytes).ok()
}

/// Reads a file in JSON syntax.
pub(super) fn body(bytes: &[u8]) -> Result<Body, SyntaxError> {
    let root = parse(bytes).ok_or(SyntaxError { at: NOWHERE, what: "not strict JSON" })?;
    let mut body = Body::default();
    fill(&mut body, &root, Level::Root)?;
    Ok(body)
}

/// Where in the language an object stands: it decides how many labels its members have.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Level {
    Root,
    Resource,
    Check,
    Terraform,
    Other,
    /// Below an argument: its calls are already known.
    Argument,
}

fn fill(body: &mut Body, value: &Json, level: Level) -> Result<(), SyntaxError> {
    match value {
        Json::List(items) => items.iter().try_for_each(|item| fill(body, item, level)),
        Json::Object(members) => {
            for (name, value) in members {
                // A member of this name is a comment.
                if name == "//" {
                    continue;
                }
                match labels_of(name, level) {
                    Some((labels, inner)) => blocks(body, name, &[], labels, inner, value)?,
                    None => member(body, name, value, level)?,
                }
            }
            Ok(())
        }
        Json::Null => Ok(()),
        _ => Err(SyntaxError { at: NOWHERE, what: "a block is not an object" }),
    }
}

fn labels_of(name: &str, level: Level) -> Option<(usize, Level)> {
    match (level, name) {
        (Level::Root, "resource" | "data" | "ephemeral" | "action") => Some((2, Level::Resource)),
        (Level::Root, "provider" | "module" | "variable" | "output") => Some((1, Level::Other)),
        (Level::Root, "check") => Some((1, Level::Check)),
        (Level::Root, "terraform") => Some((0, Level::Terraform)),
        (Level::Root, "removed") => Some((0, Level::Resource)),
        (Level::Root, "locals" | "moved" | "import") => Some((0, Level::Other)),
        (Level::Resource, "provisioner") => Some((1, Level::Other)),
        (Level::Resource, "lifecycle" | "connection") => Some((0, Level::Other)),
        (Level::Check, "data") => Some((2, Level::Resource)),
        (Level::Check, "assert") => Some((0, Level::Other)),
        (Level::Terraform, "backend" | "provider_meta" | "state_store") => Some((1, Level::Other)),
        (Level::Terraform, "cloud" | "required_providers" | "encryption") => {
            Some((0, Level::Other))
        }
        _ => None,
    }
}

fn blocks(
    body: &mut Body,
    kind: &str,
    labels: &[String],
    missing: usize,
    level: Level,
    value: &Json,
) -> Result<(), SyntaxError> {
    if let Json::List(items) = value {
        return items.iter().try_for_each(|item| blocks(body, kind, labels, missing, level, item));
    }
    if missing == 0 {
        let mut inner = Body::default();
        fill(&mut inner, value, level)?;
        let labels = labels.to_vec();
        body.blocks.push(Block { kind: kind.to_owned(), labels, at: NOWHERE, body: inner });
        return Ok(());
    }
    let Json::Object(members) = value else {
        let null = matches!(value, Json::Null);
        let error = SyntaxError { at: NOWHERE, what: "a block is not an object" };
        return if null { Ok(()) } else { Err(error) };
    };
    for (label, value) in members.iter().filter(|(label, _)| label != "//") {
        let mut labels = labels.to_vec();
        labels.push(label.clone());
        blocks(body, kind, &labels, missing.saturating_sub(1), level, value)?;
    }
    Ok(())
}

/// Adds what may be an argument or a nested block: JSON does not tell them apart, so it is both.
fn member(body: &mut Body, name: &str, value: &Json, level: Level) -> Result<(), SyntaxError> {
    let value_of = if level == Level::Argument { shallow } else { expression };
    let attribute = Attribute { name: name.to_owned(), at: NOWHERE, value: value_of(value)? };
    body.attributes.push(attribute);
    let objects: Vec<&Json> = match value {
        Json::Object(_) => vec![value],
        Json::List(items) => items.iter().filter(|item| matches!(item, Json::Object(_))).collect(),
        _ => Vec::new(),
    };
    for object in objects {
        let mut inner = Body::default();
        fill(&mut inner, object, Level::Argument)?;
        let kind = name.to_owned();
        body.blocks.push(Block { kind, labels: Vec::new(), at: NOWHERE, body: inner });
    }
    Ok(())
}

fn expression(value: &Json) -> Result<Expression, SyntaxError> {
    let (mut calls, mut names) = (Vec::new(), Vec::new());
    let mut pending = vec![value];
    while let Some(value) = pending.pop() {
        match value {
            Json::Text(text) => calls.extend(template(text)?.calls),
            Json::List(items) => pending.extend(items),
            Json::Object(members) => {
                for (name, value) in members {
                    calls.extend(template(name)?.calls);
                    names.push(name.clone());
                    pending.push(value);
                }
            }
            Json::Null | Json::Boolean(_) | Json::Number(_) => {}
        }
    }
    Ok(Expression { names, calls, ..shallow(value)? })
}

/// Reads a value without looking for what is called inside.
fn shallow(value: &Json) -> Result<Expression, SyntaxError> {
    let list = match value {
        Json::List(items) => Some(items.iter().map(text_of).collect::<Result<_, _>>()?),
        _ => None,
    };
    let members = match value {
        Json::Object(members) => members
            .iter()
            .map(|(name, value)| {
                let text = text_of(value)?;
                let (list, members, names, calls) = (None, Vec::new(), Vec::new(), Vec::new());
                Ok((name.clone(), Expression { text, list, members, names, calls }))
            })
            .collect::<Result<_, SyntaxError>>()?,
        _ => Vec::new(),
    };
    let (names, calls) = (Vec::new(), Vec::new());
    Ok(Expression { text: text_of(value)?, list, members, names, calls })
}

fn text_of(value: &Json) -> Result<Text, SyntaxError> {
    match value {
        Json::Text(text) => Ok(template(text)?.text),
        value => {
            let mut text = Bounded(String::new());
            let text = match fmt::write(&mut text, format_args!("{value}")) {
                Ok(()) => text.0,
                Err(fmt::Error) => "(a long value)".to_owned(),
            };
            Ok(Text::Expression(text))
        }
    }
}

/// Text that grows no further than is shown.
struct Bounded(String);

// === impl Bounded ===

impl fmt::Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.0.len().saturating_add(text.len()) > TEXT_BYTES_MAX {
            return Err(fmt::Error);
        }
        self.0.push_str(text);
        Ok(())
    }
}

// === impl Json ===

impl Json {
    /// Returns the member of an object.
    pub(super) fn member(&self, name: &str) -> Option<&Json> {
        match self {
            Self::Object(members) => {
                members.iter().find(|(member, _)| member == name).map(|(_, value)| value)
            }
            _ => None,
        }
    }

    /// Returns the text of a member.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        match self.member(name) {
            Some(Self::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// Returns the elements of a member that is a list.
    pub(super) fn list(&self, name: &str) -> Option<&[Json]> {
        match self.member(name) {
            Some(Self::List(items)) => Some(items),
            _ => None,
        }
    }

    /// Returns the names of an object that differ only in case from one of these: a lenient reader
    /// would take them for it.
    pub(super) fn lookalike(&self, names: &[&str]) -> Option<&str> {
        let Self::Object(members) = self else { return None };
        let alike = |member: &str| {
            names.iter().any(|name| *name != member && name.to_lowercase() == member.to_lowercase())
        };
        members.iter().map(|(member, _)| member.as_str()).find(|member| alike(member))
    }
}

impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Boolean(text) | Self::Number(text) => f.write_str(text),
            Self::Text(text) => write!(f, "{text:?}"),
            Self::List(items) => {
                f.write_str("[")?;
                for (index, item) in items.iter().enumerate() {
                    let comma = if index == 0 { "" } else { ", " };
                    write!(f, "{comma}{item}")?;
                }
                f.write_str("]")
            }
            Self::Object(members) => {
                f.write_str("{")?;
                for (index, (name, value)) in members.iter().enumerate() {
                    let comma = if index == 0 { "" } else { ", " };
                    write!(f, "{comma}{name:?}: {value}")?;
                }
                f.write_str("}")
            }
        }
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Strict)
    }
}

// === impl Strict ===

impl<'de> Visitor<'de> for Strict {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Boolean(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(Json::Number(value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Number(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Json, E> {
        Ok(Json::Number(value.to_string()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Json, E> {
        Ok(Json::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Json, E> {
        Ok(Json::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Json, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Json::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
        let mut members: Vec<(String, Json)> = Vec::new();
        let mut names = BTreeSet::new();
        while let Some((name, value)) = map.next_entry::<String, Json>()? {
            if !names.insert(name.clone()) {
                return Err(serde::de::Error::custom("a member is given twice"));
            }
            members.push((name, value));
        }
        Ok(Json::Object(members))
    }
}

/// The longest value that is kept as text: it is for showing, and each level would keep its own.
const TEXT_BYTES_MAX: usize = 64 << 10;

/// JSON keeps no positions.
const NOWHERE: Position = Position { line: 0, column: 0 };
