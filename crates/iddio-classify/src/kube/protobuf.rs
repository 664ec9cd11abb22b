//! Bodies in Kubernetes' protobuf form, into the value that the same object in JSON gives.
//!
//! The form says only numbers, so what they mean is a table (`policies/catalog/kube-messages.txt`) of
//! the kinds that are built in. A kind, a field or a form of a field that the table does not have is
//! refused as unsupported, because a server may know it: what nobody read nobody judged (threat K09).
//! A field that stands twice, which readers join in their own ways, is refused as well (K10).
//!
//! What is empty text is left out, as it is in JSON. Bytes are text in base64.

use std::{collections::HashMap, sync::LazyLock};

use base64ct::{Base64, Encoding};
use serde_json::{Map, Number, Value};

use super::{
    call::Malformed,
    document::{self, DEPTH_MAX, NODES_MAX},
};

/// Reads an object with its envelope.
pub(super) fn one(bytes: &[u8]) -> Result<Value, Malformed> {
    let rest = bytes.strip_prefix(MAGIC).ok_or_else(|| damaged("no object of Kubernetes"))?;
    let envelope = Envelope::read(rest)?;
    let Envelope { version, kind, raw } = &envelope;
    // Options of a request are of every API version.
    let name = match kind.as_str() {
        "DeleteOptions" => OPTIONS.to_owned(),
        _ => format!("{version}.{kind}"),
    };
    let mut reader = Reader { nodes: 0 };
    let mut members = Map::new();
    reader.message(&name, raw, 0, &mut members)?;
    for (name, text) in [("apiVersion", version), ("kind", kind)] {
        if members.insert(name.to_owned(), text.as_str().into()).is_some() {
            return Err(damaged("a member stands twice"));
        }
    }
    Ok(Value::Object(members))
}

/// What is around an object: what it is, and its bytes.
#[derive(Default)]
struct Envelope<'a> {
    version: String,
    kind: String,
    raw: &'a [u8],
}

/// How a field is written.
#[derive(Clone, Copy)]
enum Wire<'a> {
    /// A number.
    Number(u64),
    /// Eight bytes.
    Eight([u8; 8]),
    /// Bytes with their length.
    Bytes(&'a [u8]),
}

/// A field of a message.
struct Field {
    number: u32,
    name: &'static str,
    count: Count,
    what: &'static str,
}

/// How often a field may stand, and where.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Count {
    /// Once, and its members stand in the object around it.
    Inside,
    /// Any number of times: a list.
    List,
    /// Any number of times, each with a name of its own.
    Map,
    /// Once.
    One,
}

/// The fields of each message.
struct Table(HashMap<&'static str, Vec<Field>>);

/// The fields of some bytes, one after the other.
struct Fields<'a>(&'a [u8]);

struct Reader {
    nodes: usize,
}

// === impl Envelope ===

impl<'a> Envelope<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut envelope = Self::default();
        let mut seen = Vec::new();
        for field in Fields(bytes) {
            let (number, wire) = field?;
            once(&mut seen, number)?;
            match (number, wire) {
                (1, Wire::Bytes(kind)) => envelope.kind(kind)?,
                (2, Wire::Bytes(raw)) => envelope.raw = raw,
                // An encoding or a form of its own inside.
                (3 | 4, Wire::Bytes([])) => {}
                _ => return Err(unknown("an envelope with more than an object")),
            }
        }
        match envelope.kind.is_empty() || envelope.version.is_empty() {
            true => Err(damaged("an object that does not say its kind")),
            false => Ok(envelope),
        }
    }

    fn kind(&mut self, bytes: &[u8]) -> Result<(), Malformed> {
        let mut seen = Vec::new();
        for field in Fields(bytes) {
            let (number, wire) = field?;
            once(&mut seen, number)?;
            match (number, wire) {
                (1, Wire::Bytes(bytes)) => self.version = text(bytes)?,
                (2, Wire::Bytes(bytes)) => self.kind = text(bytes)?,
                _ => return Err(unknown("a kind with more than a name and a version")),
            }
        }
        Ok(())
    }
}

// === impl Reader ===

impl Reader {
    /// Reads a message into the members of an object.
    fn message(
        &mut self,
        name: &str,
        bytes: &[u8],
        depth: usize,
        members: &mut Map<String, Value>,
    ) -> Result<(), Malformed> {
        if DEPTH_MAX < depth {
            return Err(damaged("deeper than the limit"));
        }
        let known = TABLE.0.get(name);
        let known = known.ok_or_else(|| unknown(&format!("`{}`", shown(name))))?;
        let mut seen = Vec::new();
        for field in Fields(bytes) {
            let (number, wire) = field?;
            self.count()?;
            let field = known.iter().find(|field| field.number == number);
            let field =
                field.ok_or_else(|| unknown(&format!("field {number} of `{}`", shown(name))))?;
            if matches!(field.count, Count::Inside | Count::One) {
                once(&mut seen, number)?;
            }
            match (field.count, wire) {
                (Count::Inside, Wire::Bytes(bytes)) => {
                    self.message(field.what, bytes, depth + 1, members)?;
                }
                (Count::List, wire) => self.list(field, wire, depth, members)?,
                (Count::Map, Wire::Bytes(bytes)) => self.entry(field, bytes, depth, members)?,
                (Count::One, wire) => {
                    let value = self.value(field.what, wire, depth)?;
                    // JSON leaves it out.
                    let empty = value.as_str().is_some_and(str::is_empty);
                    if !empty && members.insert(field.name.to_owned(), value).is_some() {
                        return Err(damaged("a member stands twice"));
                    }
                }
                (Count::Inside | Count::Map, _) => return Err(form(field.name)),
            }
        }
        Ok(())
    }

    fn list(
        &mut self,
        field: &Field,
        wire: Wire<'_>,
        depth: usize,
        members: &mut Map<String, Value>,
    ) -> Result<(), Malformed> {
        // Numbers may come together.
        let mut values = Vec::new();
        match (field.what, wire) {
            ("i" | "l" | "b", Wire::Bytes(mut packed)) => {
                while !packed.is_empty() {
                    self.count()?;
                    let number = number(&mut packed)?;
                    values.push(self.value(field.what, Wire::Number(number), depth)?);
                }
            }
            _ => values.push(self.value(field.what, wire, depth)?),
        }
        let list = members.entry(field.name).or_insert_with(|| Value::Array(Vec::new()));
        match list {
            Value::Array(list) => list.append(&mut values),
            _ => return Err(damaged("a member stands twice")),
        }
        Ok(())
    }

    /// An entry of a map: 1 is its name, 2 its value.
    fn entry(
        &mut self,
        field: &Field,
        bytes: &[u8],
        depth: usize,
        members: &mut Map<String, Value>,
    ) -> Result<(), Malformed> {
        let (mut name, mut value) = (None, None);
        for entry in Fields(bytes) {
            let twice = match entry? {
                (1, Wire::Bytes(bytes)) => name.replace(text(bytes)?).is_some(),
                (2, wire) => value.replace(self.value(field.what, wire, depth)?).is_some(),
                _ => return Err(form(field.name)),
            };
            if twice {
                return Err(damaged("a member stands twice"));
            }
        }
        let map = members.entry(field.name).or_insert_with(|| Value::Object(Map::new()));
        let map = map.as_object_mut().ok_or_else(|| damaged("a member stands twice"))?;
        let value = value.unwrap_or_else(|| Value::from(""));
        match map.insert(name.unwrap_or_default(), value) {
            Some(_) => Err(damaged("a member stands twice")),
            None => Ok(()),
        }
    }

    fn value(&mut self, what: &str, wire: Wire<'_>, depth: usize) -> Result<Value, Malformed> {
        Ok(match (what, wire) {
            ("b", Wire::Number(number)) => (number != 0).into(),
            ("d", Wire::Eight(bytes)) => {
                let number = Number::from_f64(f64::from_le_bytes(bytes));
                number.map(Value::Number).ok_or_else(|| damaged("a number without end"))?
            }
            ("i", Wire::Number(number)) => {
                let number = i32::try_from(number.cast_signed());
                number.map_err(|_| damaged("a number beyond 32 bits"))?.into()
            }
            ("l", Wire::Number(number)) => number.cast_signed().into(),
            ("s", Wire::Bytes(bytes)) => text(bytes)?.into(),
            ("y", Wire::Bytes(bytes)) => Base64::encode_string(bytes).into(),
            ("b" | "d" | "i" | "l" | "s" | "y", _) => return Err(form(what)),
            (what, Wire::Bytes(bytes)) => match what {
                "FieldsV1" | "RawExtension" => embedded(bytes)?,
                "IntOrString" => int_or_text(bytes)?,
                "MicroTime" | "Time" => time(bytes)?,
                "Quantity" => single(bytes)?.map(text).transpose()?.into(),
                what => {
                    let mut members = Map::new();
                    self.message(what, bytes, depth + 1, &mut members)?;
                    Value::Object(members)
                }
            },
            (what, _) => return Err(form(what)),
        })
    }

    fn count(&mut self) -> Result<(), Malformed> {
        self.nodes += 1;
        match NODES_MAX < self.nodes {
            true => Err(damaged("larger than the limit")),
            false => Ok(()),
        }
    }
}

// === impl Fields ===

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u32, Wire<'a>), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        (!self.0.is_empty()).then(|| field(&mut self.0))
    }
}

/// Takes a field. After an error nothing more of its bytes means anything.
fn field<'a>(rest: &mut &'a [u8]) -> Result<(u32, Wire<'a>), Malformed> {
    let tag = number(rest)?;
    let field = u32::try_from(tag >> 3).ok().filter(|number| (1..=FIELD_MAX).contains(number));
    let field = field.ok_or_else(|| damaged("a field without a number"))?;
    let wire = match tag & 7 {
        0 => Wire::Number(number(rest)?),
        1 => {
            let (taken, behind) = rest.split_first_chunk::<8>().ok_or_else(cut)?;
            *rest = behind;
            Wire::Eight(*taken)
        }
        2 => {
            let length = usize::try_from(number(rest)?).map_err(|_| cut())?;
            let (taken, behind) = rest.split_at_checked(length).ok_or_else(cut)?;
            *rest = behind;
            Wire::Bytes(taken)
        }
        // Groups, and four bytes, which no field has.
        _ => return Err(unknown("a field in a form that Kubernetes does not use")),
    };
    Ok((field, wire))
}

/// Takes a number: seven bits a byte, the lowest first.
fn number(rest: &mut &[u8]) -> Result<u64, Malformed> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (byte, behind) = rest.split_first().ok_or_else(cut)?;
        *rest = behind;
        let bits = u64::from(byte & 0x7f);
        if shift == 63 && 1 < bits {
            break;
        }
        value |= bits << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(damaged("a number beyond 64 bits"))
}

/// Returns the bytes of a message with one field, if it is there.
fn single(bytes: &[u8]) -> Result<Option<&[u8]>, Malformed> {
    let mut found = None;
    for field in Fields(bytes) {
        match field? {
            (1, Wire::Bytes(own)) if found.is_none() => found = Some(own),
            _ => return Err(unknown("a value with more than itself")),
        }
    }
    Ok(found)
}

/// An object in JSON within.
fn embedded(bytes: &[u8]) -> Result<Value, Malformed> {
    match single(bytes)? {
        None | Some([]) => Ok(Value::Null),
        Some(raw) => document::one_json(raw).map_err(Malformed::of_document),
    }
}

fn int_or_text(bytes: &[u8]) -> Result<Value, Malformed> {
    let (mut is_text, mut int, mut words) = (false, 0, String::new());
    let mut seen = Vec::new();
    for field in Fields(bytes) {
        let (number, wire) = field?;
        once(&mut seen, number)?;
        match (number, wire) {
            (1, Wire::Number(kind @ (0 | 1))) => is_text = kind == 1,
            (2, Wire::Number(number)) => int = number.cast_signed(),
            (3, Wire::Bytes(bytes)) => words = text(bytes)?,
            _ => return Err(form("a number or text")),
        }
    }
    Ok(if is_text { words.into() } else { int.into() })
}

/// Seconds since 1970 and billionths. A time of neither is none.
fn time(bytes: &[u8]) -> Result<Value, Malformed> {
    let (mut seconds, mut nanos) = (0, 0);
    let mut seen = Vec::new();
    for field in Fields(bytes) {
        let (number, wire) = field?;
        once(&mut seen, number)?;
        match (number, wire) {
            (1, Wire::Number(number)) => seconds = number.cast_signed(),
            (2, Wire::Number(number)) => nanos = number.cast_signed(),
            _ => return Err(form("a time")),
        }
    }
    Ok(match (seconds, nanos) {
        (0, 0) => Value::Null,
        (seconds, nanos) => format!("@{seconds}.{nanos:09}").into(),
    })
}

fn text(bytes: &[u8]) -> Result<String, Malformed> {
    let text = std::str::from_utf8(bytes).map_err(|_| damaged("text that is none"))?;
    Ok(text.to_owned())
}

fn once(seen: &mut Vec<u32>, number: u32) -> Result<(), Malformed> {
    if seen.contains(&number) {
        return Err(damaged("a member stands twice"));
    }
    seen.push(number);
    Ok(())
}

fn shown(name: &str) -> String {
    name.chars().take(NAME_CHARS_MAX).collect()
}

fn cut() -> Malformed {
    damaged("it ends too early")
}

fn damaged(what: &str) -> Malformed {
    Malformed::Body(format!("protobuf that is not readable: {what}"))
}

fn form(name: &str) -> Malformed {
    unknown(&format!("another form of `{name}`"))
}

fn unknown(what: &str) -> Malformed {
    Malformed::Media(format!(
        "{what} cannot be judged in protobuf here: send application/json or application/yaml"
    ))
}

// === impl Table ===

impl Table {
    fn read(source: &'static str) -> Self {
        let mut messages: HashMap<_, Vec<Field>> = HashMap::new();
        let mut name = "";
        for line in source.lines().filter(|line| !line.starts_with('#')) {
            match line.strip_prefix(' ') {
                None => {
                    name = line;
                    let _ = messages.entry(name).or_default();
                }
                Some(line) => messages.entry(name).or_default().extend(Field::read(line)),
            }
        }
        Self(messages)
    }
}

// === impl Field ===

impl Field {
    /// Reads `number name type`; what is none is a field that nobody knows.
    fn read(line: &'static str) -> Option<Self> {
        let mut words = line.split(' ');
        let (number, name) = (words.next()?.parse().ok()?, words.next()?);
        let what = words.next()?;
        let counts = [('*', Count::List), ('%', Count::Map), ('^', Count::Inside)];
        let count = counts.iter().find(|(sign, _)| what.starts_with(*sign));
        let (what, count) = match count {
            Some((sign, count)) => (what.strip_prefix(*sign)?, *count),
            None => (what, Count::One),
        };
        Some(Self { number, name, count, what })
    }
}

static TABLE: LazyLock<Table> = LazyLock::new(|| Table::read(SOURCE));

const SOURCE: &str = include_str!("../../../../policies/catalog/kube-messages.txt");

/// What an object of Kubernetes in protobuf begins with.
const MAGIC: &[u8] = b"k8s\0";

/// The message of what a delete says of itself.
const OPTIONS: &str = "meta.k8s.io/v1.DeleteOptions";

/// The greatest number of a field.
const FIELD_MAX: u32 = (1 << 29) - 1;

/// The most of a name that an error repeats.
const NAME_CHARS_MAX: usize = 100;

#[cfg(test)]
mod tests {
    use super::TABLE;

    #[test]
    fn every_type_that_the_table_names_is_there() {
        let own = ["b", "d", "i", "l", "s", "y"];
        let special = ["FieldsV1", "IntOrString", "MicroTime", "Quantity", "RawExtension", "Time"];
        let fields = TABLE.0.values().flatten();
        for field in fields.clone() {
            let what = &field.what;
            let found = own.contains(what) || special.contains(what) || TABLE.0.contains_key(what);
            assert!(found, "{} {what}", field.name);
        }
        assert!(2_500 < fields.count());
    }
}
