//! TOML to a tree.

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use crate::{
    source::{Fault, Source},
    tree::{Entry, Node, Value},
};

/// Parses a document.
pub(crate) fn parse(source: &Source<'_>) -> Result<Node, Fault> {
    let table = DeTable::parse(source.text).map_err(|error| {
        let span = error.span().unwrap_or(0..0);
        let message = error.message().lines().next().unwrap_or_default();
        let (message, expected) = match message.starts_with("duplicate key") {
            true => {
                let key = source.text.get(span.clone()).unwrap_or_default();
                (format!("duplicate key `{key}`"), "each key stands once")
            }
            false => (format!("not readable as TOML: {message}"), ""),
        };
        Fault { span, message, expected: expected.to_owned() }
    })?;
    let span = table.span();
    Ok(Node { value: map(table.into_inner()), span })
}

fn node(value: Spanned<DeValue<'_>>) -> Node {
    let span = value.span();
    let value = match value.into_inner() {
        DeValue::Array(items) => Value::List(items.into_iter().map(node).collect()),
        DeValue::Boolean(value) => Value::Boolean(value),
        DeValue::Datetime(_) => Value::Other("a date"),
        DeValue::Float(_) => Value::Other("a fraction"),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map_or(Value::Other("a number out of range"), Value::Integer),
        DeValue::String(text) => Value::Text(text.into_owned()),
        DeValue::Table(table) => map(table),
    };
    Node { value, span }
}

/// The parser sorts keys; their spans tell the order of the file.
fn map(table: DeTable<'_>) -> Value {
    let entry = |(key, value): (Spanned<_>, Spanned<DeValue<'_>>)| {
        let span = key.span();
        let key: std::borrow::Cow<'_, str> = key.into_inner();
        Entry { key: key.into_owned(), span, node: node(value) }
    };
    let mut entries: Vec<_> = table.into_iter().map(entry).collect();
    entries.sort_by_key(|entry| entry.span.start);
    Value::Map(entries)
}
