//! Bodies in CBOR, into the value that the same object in JSON gives.
//!
//! They are read as API servers read them: text may come as a byte string, names of members too, bytes
//! to be shown in base64 carry the tag that says so, and the whole may carry the tag of CBOR itself.
//! What JSON does not have (other tags and simple values, numbers beyond 64 bits or without end, text
//! in pieces) is refused, and so is a member that stands twice (threats K09, K10). Nothing is judged
//! here.

use base64ct::{Base64, Encoding};
use serde_json::{Map, Number, Value};

use super::document::{DEPTH_MAX, ManifestError, NODES_MAX, differs_in_more_than_case};

/// Reads one value and nothing behind it.
pub(super) fn one(bytes: &[u8]) -> Result<Value, ManifestError> {
    let bytes = bytes.strip_prefix(SELF_DESCRIBED).unwrap_or(bytes);
    let mut reader = Reader { rest: bytes, nodes: 0 };
    let value = reader.item(0)?;
    if !reader.rest.is_empty() {
        return Err(unreadable("bytes behind the end"));
    }
    differs_in_more_than_case(&value)?;
    Ok(value)
}

struct Reader<'a> {
    rest: &'a [u8],
    nodes: usize,
}

/// The head of an item: its kind, the small number in it, and the number it stands for.
#[derive(Clone, Copy)]
struct Head {
    major: u8,
    info: u8,
    argument: u64,
}

// === impl Reader ===

impl Reader<'_> {
    fn item(&mut self, depth: usize) -> Result<Value, ManifestError> {
        let head = self.head()?;
        self.nodes += 1;
        if DEPTH_MAX < depth || NODES_MAX < self.nodes {
            return Err(unreadable("deeper or larger than the limit"));
        }
        match head.major {
            0 => signed(head.argument).map(Value::from),
            1 => signed(head.argument).map(|number| Value::from(-1 - number)),
            2 | 3 => self.text(head).map(Value::from),
            4 => self.list(head, depth),
            5 => self.map(head, depth),
            6 => self.tagged(head),
            _ => simple(head),
        }
    }

    fn head(&mut self) -> Result<Head, ManifestError> {
        let [first] = self.take::<1>()?;
        let (major, info) = (first >> 5, first & 0x1f);
        let argument = match info {
            0..=23 => u64::from(info),
            24 => u64::from(u8::from_be_bytes(self.take()?)),
            25 => u64::from(u16::from_be_bytes(self.take()?)),
            26 => u64::from(u32::from_be_bytes(self.take()?)),
            27 => u64::from_be_bytes(self.take()?),
            ENDLESS if matches!(major, 4 | 5 | 7) => 0,
            _ => return Err(unreadable("a length that is none, or text in pieces")),
        };
        Ok(Head { major, info, argument })
    }

    fn take<const COUNT: usize>(&mut self) -> Result<[u8; COUNT], ManifestError> {
        let (taken, rest) = self.rest.split_first_chunk::<COUNT>().ok_or_else(cut)?;
        self.rest = rest;
        Ok(*taken)
    }

    fn bytes(&mut self, head: Head) -> Result<&[u8], ManifestError> {
        let length = usize::try_from(head.argument).map_err(|_| cut())?;
        let (taken, rest) = self.rest.split_at_checked(length).ok_or_else(cut)?;
        self.rest = rest;
        Ok(taken)
    }

    fn text(&mut self, head: Head) -> Result<String, ManifestError> {
        let bytes = self.bytes(head)?.to_vec();
        String::from_utf8(bytes).map_err(|_| ManifestError::NotText)
    }

    /// Whether the next byte ends what has no length of its own; it is taken then.
    fn ended(&mut self) -> Option<()> {
        self.rest = self.rest.strip_prefix(&[BREAK])?;
        Some(())
    }

    fn list(&mut self, head: Head, depth: usize) -> Result<Value, ManifestError> {
        let mut values = Vec::new();
        let mut left = head.argument;
        while head.info == ENDLESS || 0 < left {
            if head.info == ENDLESS && self.ended().is_some() {
                break;
            }
            values.push(self.item(depth + 1)?);
            left = left.saturating_sub(1);
        }
        Ok(Value::Array(values))
    }

    fn map(&mut self, head: Head, depth: usize) -> Result<Value, ManifestError> {
        let mut members = Map::new();
        let mut left = head.argument;
        while head.info == ENDLESS || 0 < left {
            if head.info == ENDLESS && self.ended().is_some() {
                break;
            }
            let name = self.head()?;
            if !matches!(name.major, 2 | 3) {
                return Err(unreadable("a member whose name is no text"));
            }
            let name = self.text(name)?;
            let value = self.item(depth + 1)?;
            if members.insert(name, value).is_some() {
                return Err(unreadable("a member stands twice"));
            }
            left = left.saturating_sub(1);
        }
        Ok(Value::Object(members))
    }

    /// A time is text; bytes to be shown in base64 are that text.
    fn tagged(&mut self, tag: Head) -> Result<Value, ManifestError> {
        let head = self.head()?;
        match (tag.argument, head.major) {
            (TIME, 2 | 3) => self.text(head).map(Value::from),
            (SHOWN_IN_BASE64, 2) => Ok(Base64::encode_string(self.bytes(head)?).into()),
            _ => Err(unreadable("a tag that is not read here")),
        }
    }
}

fn simple(head: Head) -> Result<Value, ManifestError> {
    let float = match (head.info, head.argument) {
        (20, _) => return Ok(Value::Bool(false)),
        (21, _) => return Ok(Value::Bool(true)),
        (22, _) => return Ok(Value::Null),
        (25, bits) => half(bits),
        (26, bits) => u32::try_from(bits).ok().map(|bits| f64::from(f32::from_bits(bits))),
        (27, bits) => Some(f64::from_bits(bits)),
        _ => None,
    };
    let number = float.and_then(Number::from_f64);
    number.map(Value::Number).ok_or_else(|| unreadable("a value that JSON does not have"))
}

/// A number of 16 bits: 1 sign, 5 exponent, 10 fraction.
fn half(bits: u64) -> Option<f64> {
    let bits = u16::try_from(bits).ok()?;
    let (exponent, fraction) = (i32::from(bits >> 10 & 0x1f), f64::from(bits & 0x3ff));
    let size = match exponent {
        0 => fraction * 2f64.powi(-24),
        31 => return None,
        exponent => (1024.0 + fraction) * 2f64.powi(exponent - 25),
    };
    Some(if bits >> 15 == 0 { size } else { -size })
}

fn signed(number: u64) -> Result<i64, ManifestError> {
    i64::try_from(number).map_err(|_| unreadable("a number beyond 64 bits"))
}

fn cut() -> ManifestError {
    unreadable("it ends too early")
}

fn unreadable(what: &str) -> ManifestError {
    ManifestError::Unreadable(what.to_owned())
}

/// The tag of CBOR itself, 55799, which encoders of Kubernetes write first.
const SELF_DESCRIBED: &[u8] = &[0xd9, 0xd9, 0xf7];

/// The tag of a time in text.
const TIME: u64 = 0;

/// The tag of bytes that are base64 where they are shown.
const SHOWN_IN_BASE64: u64 = 22;

/// What stands for a length that is not said.
const ENDLESS: u8 = 31;

/// What ends something without a length.
const BREAK: u8 = 0xff;
