//! Protocol buffers, read strictly against a table of what each message may hold.
//!
//! A lenient reader keeps the last of two singular fields, merges submessages and skips what it
//! does not know; two readers may then disagree about one plan. Here a field that is unknown, of
//! another wire type, given twice though singular, or not minimally encoded is an error.
//! The tables are finite and do not refer to themselves, so the depth of nesting is theirs.

/// What a field holds.
pub(super) enum Kind {
    /// A number, a boolean or an enum.
    Number,
    /// UTF-8 text.
    Text,
    /// Bytes nobody here looks into.
    Bytes,
    /// Another message.
    Message(&'static Schema),
}

/// How often a field may occur.
#[derive(Eq, PartialEq)]
pub(super) enum Times {
    Once,
    Many,
}

/// One field of a message.
pub(super) struct Field(pub(super) u32, pub(super) Kind, pub(super) Times);

/// The fields a message may hold.
pub(super) struct Schema {
    pub(super) name: &'static str,
    pub(super) fields: &'static [Field],
}

/// A message that fits its schema.
#[derive(Debug)]
pub(super) struct Message<'a>(Vec<(u32, Value<'a>)>);

#[derive(Debug)]
enum Value<'a> {
    Number(u64),
    Text(&'a str),
    Bytes(&'a [u8]),
    Message(Message<'a>),
}

/// Why a message was not read.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum WireError {
    /// It ends too early.
    #[error("a `{0}` message is cut short")]
    Truncated(&'static str),
    /// A field nobody here knows: made by a newer program.
    #[error("field {1} of a `{0}` message is unknown")]
    Unknown(&'static str, u32),
    /// A field that may occur once occurs twice.
    #[error("field {1} of a `{0}` message is given twice")]
    Twice(&'static str, u32),
    /// A field has another type than it should.
    #[error("field {1} of a `{0}` message has the wrong type")]
    Type(&'static str, u32),
    /// A number that could be written shorter, or does not fit.
    #[error("a `{0}` message has a malformed number")]
    Number(&'static str),
    /// Text that is not UTF-8.
    #[error("field {1} of a `{0}` message is not UTF-8")]
    Text(&'static str, u32),
    /// More fields than one message may have.
    #[error("a `{0}` message has too many fields")]
    TooMany(&'static str),
}

/// Reads a message.
pub(super) fn read<'a>(bytes: &'a [u8], schema: &'static Schema) -> Result<Message<'a>, WireError> {
    let mut budget = FIELDS_MAX;
    message(bytes, schema, &mut budget)
}

fn message<'a>(
    mut bytes: &'a [u8],
    schema: &'static Schema,
    budget: &mut usize,
) -> Result<Message<'a>, WireError> {
    let mut values: Vec<(u32, Value<'a>)> = Vec::new();
    while !bytes.is_empty() {
        *budget = budget.checked_sub(1).ok_or(WireError::TooMany(schema.name))?;
        let key = varint(&mut bytes, schema)?;
        let number = u32::try_from(key >> 3).map_err(|_| WireError::Number(schema.name))?;
        let field = schema.fields.iter().find(|field| field.0 == number);
        let field = field.ok_or(WireError::Unknown(schema.name, number))?;
        // Singular fields are few, so that looking for an earlier one is cheap: a message with
        // many fields has them repeated.
        if field.2 == Times::Once && values.iter().any(|(seen, _)| *seen == number) {
            return Err(WireError::Twice(schema.name, number));
        }
        let value = value(&mut bytes, schema, field, key & 7, budget)?;
        values.push((number, value));
    }
    Ok(Message(values))
}

fn value<'a>(
    bytes: &mut &'a [u8],
    schema: &'static Schema,
    field: &'static Field,
    wire_type: u64,
    budget: &mut usize,
) -> Result<Value<'a>, WireError> {
    let number = field.0;
    match (&field.1, wire_type) {
        (Kind::Number, VARINT) => Ok(Value::Number(varint(bytes, schema)?)),
        (Kind::Text, LENGTH_DELIMITED) => {
            let text = std::str::from_utf8(delimited(bytes, schema)?);
            Ok(Value::Text(text.map_err(|_| WireError::Text(schema.name, number))?))
        }
        (Kind::Bytes, LENGTH_DELIMITED) => Ok(Value::Bytes(delimited(bytes, schema)?)),
        (Kind::Message(inner), LENGTH_DELIMITED) => {
            Ok(Value::Message(message(delimited(bytes, schema)?, inner, budget)?))
        }
        _ => Err(WireError::Type(schema.name, number)),
    }
}

fn delimited<'a>(bytes: &mut &'a [u8], schema: &Schema) -> Result<&'a [u8], WireError> {
    let length = varint(bytes, schema)?;
    let length = usize::try_from(length).map_err(|_| WireError::Truncated(schema.name))?;
    let (content, rest) =
        bytes.split_at_checked(length).ok_or(WireError::Truncated(schema.name))?;
    *bytes = rest;
    Ok(content)
}

fn varint(bytes: &mut &[u8], schema: &Schema) -> Result<u64, WireError> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first().ok_or(WireError::Truncated(schema.name))?;
        *bytes = rest;
        let bits = u64::from(byte & 0x7f);
        if bits.checked_shl(shift).is_none_or(|shifted| shifted >> shift != bits) {
            return Err(WireError::Number(schema.name));
        }
        number |= bits << shift;
        if byte & 0x80 == 0 {
            // A last group of zeros could have been left out.
            let minimal = bits != 0 || shift == 0;
            return if minimal { Ok(number) } else { Err(WireError::Number(schema.name)) };
        }
    }
    Err(WireError::Number(schema.name))
}

// === impl Message ===

impl<'a> Message<'a> {
    /// Returns a number, 0 where it is absent.
    pub(super) fn number(&self, field: u32) -> u64 {
        self.values(field).find_map(Value::number).unwrap_or(0)
    }

    /// Returns a text, empty where it is absent.
    pub(super) fn text(&self, field: u32) -> &'a str {
        self.texts(field).next().unwrap_or_default()
    }

    /// Returns every text of a repeated field.
    pub(super) fn texts(&self, field: u32) -> impl Iterator<Item = &'a str> {
        self.values(field).filter_map(|value| match value {
            Value::Text(text) => Some(*text),
            _ => None,
        })
    }

    /// Returns bytes.
    pub(super) fn bytes(&self, field: u32) -> Option<&'a [u8]> {
        self.values(field).find_map(|value| match value {
            Value::Bytes(bytes) => Some(*bytes),
            _ => None,
        })
    }

    /// Returns a submessage.
    pub(super) fn message(&self, field: u32) -> Option<&Message<'a>> {
        self.messages(field).next()
    }

    /// Returns every submessage of a repeated field.
    pub(super) fn messages(&self, field: u32) -> impl Iterator<Item = &Message<'a>> {
        self.values(field).filter_map(|value| match value {
            Value::Message(message) => Some(message),
            _ => None,
        })
    }

    fn values(&self, field: u32) -> impl Iterator<Item = &Value<'a>> {
        self.0.iter().filter(move |(number, _)| *number == field).map(|(_, value)| value)
    }
}

// === impl Value ===

impl Value<'_> {
    fn number(&self) -> Option<u64> {
        match self {
            Self::Number(number) => Some(*number),
            _ => None,
        }
    }
}

const VARINT: u64 = 0;
const LENGTH_DELIMITED: u64 = 2;

/// Fields of a whole plan: a thousand resources with a hundred paths each.
const FIELDS_MAX: usize = 1 << 20;
