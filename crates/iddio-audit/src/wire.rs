//! What clients and the log service say to each other.
//!
//! A frame is its length, four bytes with the highest first, and so many bytes. The bytes are one
//! object in the canonical JSON of the records, read by the same strict reader; a page of records is
//! followed by a frame of lines as they stand in the log. `docs/log-service.md` says it word by word.
//!
//! INVARIANT: what is read is written as the same bytes again; anything else is no message.

use std::fmt;

use iddio_core::{
    audit::{
        Durability, Receipt,
        line::stated::{of_base64, to_base64},
    },
    digest::Digest,
    json::{LINE_BYTES_MAX, Value},
    operation::OperationId,
};
use zeroize::Zeroizing;

/// What a client says.
#[derive(Debug)]
pub enum Call {
    /// A record is to be stored.
    Append(Statement),
    /// The last checkpoint is wanted.
    Checkpoint,
    /// A proof is wanted that the log as it was with so many records is the beginning of the one that
    /// was signed for last.
    Consistency(u64),
    /// The first words, with the version the client speaks.
    Hello(u64),
    /// The client lost track of these operations.
    Orphan(Vec<OperationId>),
    /// A proof is wanted that the record with this number is in the log that was signed for last.
    Prove(u64),
    /// Records from this one on are wanted.
    Read(u64),
    /// The record with this number is wanted, and whether what it decided is still open.
    Warrant(u64),
}

/// A record to be stored.
#[derive(Debug)]
pub struct Statement {
    /// What the client drew for this append; the same when it asks again.
    pub request: u128,
    /// When it may be acknowledged.
    pub durability: Durability,
    /// How many records the log had when this was asked first, if it is asked again.
    pub after: Option<u64>,
    /// The record, as [`iddio_core::audit::line::stated`] reads it.
    pub record: Value,
    /// The secrets that were taken out of it, in the order of its commitments.
    pub secrets: Vec<Secret>,
}

/// A secret on its way to the keeper of the commitment keys.
pub struct Secret(pub Zeroizing<Vec<u8>>);

/// What the service says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Reply {
    /// The last checkpoint, if there is one.
    Checkpoint(Option<String>),
    /// The first words: the version, and how many records there are.
    Hello {
        /// The version the service speaks.
        version: u64,
        /// How many records there are.
        head: u64,
    },
    /// It will not.
    No(No),
    /// What was lost track of is noted.
    Noted,
    /// A proof, and what it leads to.
    Proof {
        /// The checkpoint, signed.
        note: String,
        /// The siblings, nearest first.
        path: Vec<Digest>,
    },
    /// It is stored, as durable as was asked.
    Receipt {
        /// Which operation.
        id: OperationId,
        /// Its place.
        seq: u64,
        /// The hash of its line.
        hash: Digest,
    },
    /// Lines follow, in a frame of their own.
    Records {
        /// The number of the record after them.
        next: u64,
    },
    /// The line of a record follows, in a frame of its own.
    Warrant(Standing),
}

/// Whether what a record decided is still open.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Standing {
    /// It has ended, or was never open.
    Ended,
    /// It is allowed and has not ended, and whoever owns it lives.
    Open,
}

/// Why the service will not.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct No {
    /// For programs.
    pub code: Code,
    /// For people.
    pub reason: String,
}

/// Why the service will not, in one word.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Code {
    /// There are too many clients, or calls.
    Busy,
    /// It is not for this peer to say or to see.
    Forbidden,
    /// It is no message, or no statement.
    Malformed,
    /// The operation is not open, or not this peer's.
    NotOpen,
    /// The log could not store it.
    NotStored,
    /// It was asked for too long ago to tell whether it was stored.
    Unknown,
    /// The service does not speak this version.
    Version,
}

/// The bytes are no message.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum WireError {
    /// A frame is longer than [`FRAME_BYTES_MAX`], or empty.
    #[error("a frame of {0} bytes")]
    Length(u64),
    /// It is not canonical JSON.
    #[error("not canonical JSON")]
    Json,
    /// It is not a message.
    #[error("not a message")]
    Shape,
}

/// Returns the frame at the beginning of `bytes` and how many bytes it takes, if it is all there.
///
/// # Errors
///
/// When its length is none that a frame has.
pub fn frame(bytes: &[u8]) -> Result<Option<(&[u8], usize)>, WireError> {
    let Some((length, rest)) = bytes.split_first_chunk() else { return Ok(None) };
    let length = u32::from_be_bytes(*length) as usize;
    if length == 0 || FRAME_BYTES_MAX < length {
        return Err(WireError::Length(length as u64));
    }
    Ok(rest.get(..length).map(|body| (body, HEADER_BYTES + length)))
}

/// Appends a frame with `body` to `out`.
///
/// # Errors
///
/// When it is longer than a frame may be.
pub fn put(out: &mut Vec<u8>, body: &[u8]) -> Result<(), WireError> {
    let error = WireError::Length(body.len() as u64);
    let length = u32::try_from(body.len()).map_err(|_| error)?;
    if FRAME_BYTES_MAX < body.len() {
        return Err(error);
    }
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(body);
    Ok(())
}

// === impl Call ===

impl Call {
    /// Reads a message.
    ///
    /// # Errors
    ///
    /// When it is none.
    pub fn read(body: &[u8]) -> Result<Self, WireError> {
        let mut fields = Fields::read(body)?;
        let call = match fields.text("do")?.as_str() {
            "append" => Self::Append(Statement {
                after: fields.optional_int("after")?,
                durability: match fields.text("durability")?.as_str() {
                    "sync" => Durability::Sync,
                    "write" => Durability::Write,
                    _ => return Err(WireError::Shape),
                },
                record: fields.take("record").ok_or(WireError::Shape)?,
                request: fields.id("request")?.0,
                secrets: fields.secrets()?,
            }),
            "checkpoint" => Self::Checkpoint,
            "consistency" => Self::Consistency(fields.int("old")?),
            "hello" => Self::Hello(fields.int("version")?),
            "orphan" => match fields.take("ids") {
                Some(Value::Array(ids)) if ids.len() <= ORPHANS_MAX => {
                    let id = |id: &Value| id.as_text().and_then(OperationId::from_hex);
                    let ids: Option<Vec<_>> = ids.iter().map(id).collect();
                    Self::Orphan(ids.ok_or(WireError::Shape)?)
                }
                _ => return Err(WireError::Shape),
            },
            "prove" => Self::Prove(fields.int("seq")?),
            "read" => Self::Read(fields.int("from")?),
            "warrant" => Self::Warrant(fields.int("seq")?),
            _ => return Err(WireError::Shape),
        };
        fields.end()?;
        Ok(call)
    }

    /// Returns the message's bytes.
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let object = match self {
            Self::Append(statement) => {
                let Statement { request, durability, after, record, secrets } = statement;
                let durability = match durability {
                    Durability::Sync => "sync",
                    Durability::Write => "write",
                };
                let mut members = vec![
                    ("do", Value::text("append")),
                    ("durability", Value::text(durability)),
                    ("record", record.clone()),
                    ("request", Value::Text(OperationId(*request).to_string())),
                ];
                members.extend(after.map(|after| ("after", Value::Int(after))));
                if !secrets.is_empty() {
                    let secrets = secrets.iter().map(|secret| Value::Text(to_base64(&secret.0)));
                    members.push(("secrets", Value::Array(secrets.collect())));
                }
                object(members)
            }
            Self::Checkpoint => object(vec![("do", Value::text("checkpoint"))]),
            Self::Consistency(old) => {
                object(vec![("do", Value::text("consistency")), ("old", Value::Int(*old))])
            }
            Self::Hello(version) => {
                object(vec![("do", Value::text("hello")), ("version", Value::Int(*version))])
            }
            Self::Orphan(ids) => {
                let ids = ids.iter().map(|id| Value::Text(id.to_string())).collect();
                object(vec![("do", Value::text("orphan")), ("ids", Value::Array(ids))])
            }
            Self::Prove(seq) => {
                object(vec![("do", Value::text("prove")), ("seq", Value::Int(*seq))])
            }
            Self::Read(from) => {
                object(vec![("do", Value::text("read")), ("from", Value::Int(*from))])
            }
            Self::Warrant(seq) => {
                object(vec![("do", Value::text("warrant")), ("seq", Value::Int(*seq))])
            }
        };
        Zeroizing::new(object.to_canonical())
    }
}

// === impl Reply ===

impl Reply {
    /// Reads a message.
    ///
    /// # Errors
    ///
    /// When it is none.
    pub fn read(body: &[u8]) -> Result<Self, WireError> {
        let mut fields = Fields::read(body)?;
        let reply = match fields.text("is")?.as_str() {
            "checkpoint" => Self::Checkpoint(match fields.take("note") {
                Some(Value::Text(note)) => Some(note),
                Some(_) => return Err(WireError::Shape),
                None => None,
            }),
            "hello" => Self::Hello { head: fields.int("head")?, version: fields.int("version")? },
            "no" => {
                let word = fields.text("code")?;
                let code = CODES.into_iter().find(|code| code.name() == word);
                let code = code.ok_or(WireError::Shape)?;
                Self::No(No { code, reason: fields.text("reason")? })
            }
            "noted" => Self::Noted,
            "proof" => Self::Proof { note: fields.text("note")?, path: fields.digests("path")? },
            "receipt" => Self::Receipt {
                hash: Digest::from_hex(&fields.text("hash")?).ok_or(WireError::Shape)?,
                id: fields.id("id")?,
                seq: fields.int("seq")?,
            },
            "records" => Self::Records { next: fields.int("next")? },
            "warrant" => Self::Warrant(match fields.text("standing")?.as_str() {
                "ended" => Standing::Ended,
                "open" => Standing::Open,
                _ => return Err(WireError::Shape),
            }),
            _ => return Err(WireError::Shape),
        };
        fields.end()?;
        Ok(reply)
    }

    /// Returns the message's bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let is = |word| ("is", Value::text(word));
        let members = match self {
            Self::Checkpoint(note) => {
                let note = note.iter().map(|note| ("note", Value::text(note.as_str())));
                [is("checkpoint")].into_iter().chain(note).collect()
            }
            Self::Hello { version, head } => {
                vec![is("hello"), ("head", Value::Int(*head)), ("version", Value::Int(*version))]
            }
            Self::No(No { code, reason }) => {
                let reason = Value::text(reason.as_str());
                vec![is("no"), ("code", Value::text(code.name())), ("reason", reason)]
            }
            Self::Noted => vec![is("noted")],
            Self::Proof { note, path } => {
                vec![is("proof"), ("note", Value::text(note.as_str())), ("path", digests(path))]
            }
            Self::Receipt { id, seq, hash } => vec![
                is("receipt"),
                ("hash", Value::Text(hash.to_hex())),
                ("id", Value::Text(id.to_string())),
                ("seq", Value::Int(*seq)),
            ],
            Self::Records { next } => vec![is("records"), ("next", Value::Int(*next))],
            Self::Warrant(standing) => {
                let word = match standing {
                    Standing::Ended => "ended",
                    Standing::Open => "open",
                };
                vec![is("warrant"), ("standing", Value::text(word))]
            }
        };
        object(members).to_canonical()
    }

    /// Returns what says that `receipt` was given.
    pub fn receipt(receipt: &Receipt) -> Self {
        Self::Receipt { id: receipt.id(), seq: receipt.seq(), hash: receipt.hash() }
    }
}

// === impl Code ===

impl Code {
    /// Returns the word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Busy => "busy",
            Self::Forbidden => "forbidden",
            Self::Malformed => "malformed",
            Self::NotOpen => "not_open",
            Self::NotStored => "not_stored",
            Self::Unknown => "unknown",
            Self::Version => "version",
        }
    }
}

// === impl Secret ===

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Returns digests as they stand in a message.
pub fn digests(path: &[Digest]) -> Value {
    Value::Array(path.iter().map(|digest| Value::Text(digest.to_hex())).collect())
}

/// Returns an object with these members.
pub fn object(members: Vec<(&str, Value)>) -> Value {
    Value::Object(members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

/// The members of a message, taken out one by one: what is missing, of another kind, or left over is
/// no message.
#[derive(Debug)]
pub struct Fields(Vec<(String, Value)>);

// === impl Fields ===

impl Fields {
    /// Reads an object in canonical JSON.
    ///
    /// # Errors
    ///
    /// When it is none.
    pub fn read(body: &[u8]) -> Result<Self, WireError> {
        match Value::read(body) {
            Ok(Value::Object(members)) => Ok(Self(members)),
            Ok(_) => Err(WireError::Shape),
            Err(_) => Err(WireError::Json),
        }
    }

    /// Takes a member out, if it is there.
    pub fn take(&mut self, name: &str) -> Option<Value> {
        let place = self.0.iter().position(|(own, _)| own == name)?;
        Some(self.0.swap_remove(place).1)
    }

    /// Takes text out.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub fn text(&mut self, name: &str) -> Result<String, WireError> {
        match self.take(name) {
            Some(Value::Text(text)) => Ok(text),
            _ => Err(WireError::Shape),
        }
    }

    /// Takes text out, if the member is there.
    ///
    /// # Errors
    ///
    /// When it is something else.
    pub fn optional_text(&mut self, name: &str) -> Result<Option<String>, WireError> {
        match self.take(name) {
            Some(Value::Text(text)) => Ok(Some(text)),
            Some(_) => Err(WireError::Shape),
            None => Ok(None),
        }
    }

    /// Takes an integer out.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub fn int(&mut self, name: &str) -> Result<u64, WireError> {
        self.optional_int(name)?.ok_or(WireError::Shape)
    }

    fn optional_int(&mut self, name: &str) -> Result<Option<u64>, WireError> {
        match self.take(name) {
            Some(Value::Int(n)) => Ok(Some(n)),
            Some(_) => Err(WireError::Shape),
            None => Ok(None),
        }
    }

    /// Takes a digest out.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub fn digest(&mut self, name: &str) -> Result<Digest, WireError> {
        Digest::from_hex(&self.text(name)?).ok_or(WireError::Shape)
    }

    /// Takes digests out: the path of a proof.
    ///
    /// # Errors
    ///
    /// When there are none, or more than a proof has.
    pub fn digests(&mut self, name: &str) -> Result<Vec<Digest>, WireError> {
        let Some(Value::Array(items)) = self.take(name) else { return Err(WireError::Shape) };
        let digest = |item: &Value| item.as_text().and_then(Digest::from_hex);
        let digests: Option<Vec<Digest>> = items.iter().map(digest).collect();
        digests.filter(|digests| digests.len() <= PATH_MAX).ok_or(WireError::Shape)
    }

    fn id(&mut self, name: &str) -> Result<OperationId, WireError> {
        OperationId::from_hex(&self.text(name)?).ok_or(WireError::Shape)
    }

    fn secrets(&mut self) -> Result<Vec<Secret>, WireError> {
        let items = match self.take("secrets") {
            Some(Value::Array(items)) if !items.is_empty() => items,
            Some(_) => return Err(WireError::Shape),
            None => return Ok(Vec::new()),
        };
        let secret = |item: Value| match item {
            Value::Text(text) => {
                let text = Zeroizing::new(text);
                of_base64(&text).map(|bytes| Secret(Zeroizing::new(bytes)))
            }
            _ => None,
        };
        let secrets: Option<Vec<_>> = items.into_iter().map(secret).collect();
        secrets.ok_or(WireError::Shape)
    }

    /// Ends the reading: nothing may be left.
    ///
    /// # Errors
    ///
    /// When something is.
    pub fn end(self) -> Result<(), WireError> {
        if self.0.is_empty() { Ok(()) } else { Err(WireError::Shape) }
    }
}

/// The version of the protocol.
pub const VERSION: u64 = 1;

/// The most bytes in a frame: what the reader of canonical JSON takes, which is a record.
pub const FRAME_BYTES_MAX: usize = LINE_BYTES_MAX;

/// The length before a frame.
pub const HEADER_BYTES: usize = 4;

/// How many operations one message gives up. More take several.
pub const ORPHANS_MAX: usize = 1_024;

/// The longest path of a proof: a sibling for each bit of a number, and one more.
const PATH_MAX: usize = 65;

const CODES: [Code; 7] = [
    Code::Busy,
    Code::Forbidden,
    Code::Malformed,
    Code::NotOpen,
    Code::NotStored,
    Code::Unknown,
    Code::Version,
];
