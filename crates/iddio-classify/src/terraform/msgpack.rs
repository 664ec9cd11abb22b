//! MessagePack as Terraform writes values into plans: read whole, bounded, or not at all.
//!
//! It keeps what judging needs (text, truth, structure) and forgets which extension or number an
//! unknown or numeric value had.

use std::fmt;

/// A planned value. It may hold secrets, so it does not print itself.
#[derive(Clone, Eq, PartialEq)]
pub struct Planned(pub(super) Value);

/// A value.
#[derive(Clone, Eq, PartialEq)]
pub(super) enum Value {
    Null,
    Boolean(Truth),
    Number,
    Text(String),
    /// Bytes: the JSON type that goes before a value of dynamic type.
    Bytes,
    /// Not known before the apply.
    Unknown,
    List(Vec<Value>),
    Map(Vec<(String, Value)>),
}

/// A boolean that may cross a module.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Truth {
    False,
    True,
}

struct Reader<'a> {
    bytes: &'a [u8],
    budget: usize,
}

/// Reads one value; nothing may follow it.
pub(super) fn read(bytes: &[u8]) -> Option<Value> {
    let mut reader = Reader { bytes, budget: VALUES_MAX };
    let value = reader.value(DEPTH_MAX)?;
    reader.bytes.is_empty().then_some(value)
}

// === impl Planned ===

impl fmt::Debug for Planned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

// === impl Value ===

impl Value {
    /// Returns the member of a map.
    pub(super) fn member(&self, name: &str) -> Option<&Value> {
        match self {
            Self::Map(members) => {
                members.iter().find(|(member, _)| member == name).map(|(_, value)| value)
            }
            _ => None,
        }
    }

    /// Returns the text of a member that is one and is not empty.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        match self.member(name) {
            Some(Self::Text(text)) if !text.is_empty() => Some(text),
            _ => None,
        }
    }
}

// === impl Reader ===

impl Reader<'_> {
    fn value(&mut self, depth: usize) -> Option<Value> {
        let depth = depth.checked_sub(1)?;
        self.budget = self.budget.checked_sub(1)?;
        let head = self.number(1)?;
        let low = |mask: usize| usize::try_from(head).ok().map(|head| head & mask);
        match head {
            0x00..=0x7f | 0xe0..=0xff => Some(Value::Number),
            0x80..=0x8f => self.map(low(0x0f)?, depth),
            0x90..=0x9f => self.list(low(0x0f)?, depth),
            0xa0..=0xbf => self.text(low(0x1f)?),
            0xc0 => Some(Value::Null),
            0xc2 => Some(Value::Boolean(Truth::False)),
            0xc3 => Some(Value::Boolean(Truth::True)),
            0xc4..=0xc6 => {
                let length = self.length(head, 0xc4)?;
                self.skip(length, Value::Bytes)
            }
            0xc7..=0xc9 => {
                let length = self.length(head, 0xc7)?;
                self.skip(length.checked_add(1)?, Value::Unknown)
            }
            0xca | 0xce | 0xd2 => self.skip(4, Value::Number),
            0xcb | 0xcf | 0xd3 => self.skip(8, Value::Number),
            0xcc | 0xd0 => self.skip(1, Value::Number),
            0xcd | 0xd1 => self.skip(2, Value::Number),
            0xd4..=0xd8 => {
                let length = 1_usize.checked_shl(u32::try_from(head.checked_sub(0xd4)?).ok()?)?;
                self.skip(length.checked_add(1)?, Value::Unknown)
            }
            0xd9..=0xdb => {
                let length = self.length(head, 0xd9)?;
                self.text(length)
            }
            0xdc | 0xdd => {
                let length = self.length(head, 0xdb)?;
                self.list(length, depth)
            }
            0xde | 0xdf => {
                let length = self.length(head, 0xdd)?;
                self.map(length, depth)
            }
            _ => None,
        }
    }

    /// Reads a length of 1, 2 or 4 bytes, as the distance of `head` from `base` says.
    fn length(&mut self, head: u64, base: u64) -> Option<usize> {
        let width = 1_usize.checked_shl(u32::try_from(head.checked_sub(base)?).ok()?)?;
        usize::try_from(self.number(width)?).ok()
    }

    fn number(&mut self, width: usize) -> Option<u64> {
        let bytes = self.take(width)?;
        Some(bytes.iter().fold(0, |number, byte| (number << 8) | u64::from(*byte)))
    }

    fn take(&mut self, length: usize) -> Option<&[u8]> {
        let (taken, rest) = self.bytes.split_at_checked(length)?;
        self.bytes = rest;
        Some(taken)
    }

    fn skip(&mut self, length: usize, value: Value) -> Option<Value> {
        self.take(length).map(|_| value)
    }

    fn text(&mut self, length: usize) -> Option<Value> {
        let text = std::str::from_utf8(self.take(length)?).ok()?.to_owned();
        Some(Value::Text(text))
    }

    fn list(&mut self, length: usize, depth: usize) -> Option<Value> {
        let mut items = Vec::new();
        for _ in 0..length {
            items.push(self.value(depth)?);
        }
        Some(Value::List(items))
    }

    fn map(&mut self, length: usize, depth: usize) -> Option<Value> {
        let mut members: Vec<(String, Value)> = Vec::new();
        let mut names = std::collections::BTreeSet::new();
        for _ in 0..length {
            let Value::Text(name) = self.value(depth)? else { return None };
            if !names.insert(name.clone()) {
                return None;
            }
            let value = self.value(depth)?;
            members.push((name, value));
        }
        Some(Value::Map(members))
    }
}

/// How deep values may nest: deep schemas reach about 20.
const DEPTH_MAX: usize = 64;

/// Values of one object: larger ones are documents, and those are text.
const VALUES_MAX: usize = 1 << 20;
