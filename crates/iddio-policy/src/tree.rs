//! What YAML and TOML have in common: a tree of values that know where they stand.
//!
//! Both formats become this tree and one reader reads it, so a policy means the same in either.

use std::ops::Range;

/// A value and the bytes it was written in.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) value: Value,
    pub(crate) span: Range<usize>,
}

/// A value. Maps keep the order of the file.
#[derive(Debug)]
pub(crate) enum Value {
    Boolean(bool),
    Integer(i64),
    List(Vec<Node>),
    Map(Vec<Entry>),
    /// Nothing is written where a value was expected.
    Nothing,
    /// A number that is not whole, a date: nothing in a policy is one.
    Other(&'static str),
    Text(String),
}

/// One entry of a map.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) span: Range<usize>,
    pub(crate) node: Node,
}

// === impl Value ===

impl Value {
    /// Returns the word for its type, with an article.
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::Boolean(_) => "a boolean",
            Self::Integer(_) => "a number",
            Self::List(_) => "a list",
            Self::Map(_) => "a map",
            Self::Nothing => "nothing",
            Self::Other(kind) => kind,
            Self::Text(_) => "text",
        }
    }
}
