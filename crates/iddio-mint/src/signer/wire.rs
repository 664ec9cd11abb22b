//! What the signer and those who ask it say to each other.
//!
//! Frames and canonical JSON are those of the log service ([`iddio_audit::wire`]); the words are of
//! their own. `docs/signer.md` says it word by word.
//!
//! INVARIANT: nothing here says what is to be certified but the number of a record, the digest of the
//! action it is about, and a public key. What a certificate says comes from the record.

use iddio_audit::wire::{Fields, WireError, digests, object};
use iddio_core::{
    audit::{
        checkpoint::Checkpoint,
        line::stated::{of_base64, to_base64},
    },
    digest::Digest,
    json::Value,
};

/// What is asked of the signer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Call {
    /// A checkpoint is to be signed.
    Checkpoint {
        /// What the log is.
        checkpoint: Checkpoint,
        /// That it begins with what was signed last.
        path: Vec<Digest>,
    },
    /// The first words, with the version that is spoken.
    Hello(u64),
    /// How far the log was that was signed last.
    Last,
    /// The public keys are wanted.
    Public,
    /// An approver's registry entry is to be signed, as this record decided.
    Registry(Warranted),
    /// An SSH user certificate is wanted for a public key, in one line as OpenSSH writes it.
    Ssh(Warranted, String),
    /// A client certificate is wanted for a public key, a SubjectPublicKeyInfo in DER.
    X509(Warranted, Vec<u8>),
}

/// The record that decided what is asked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Warranted {
    /// Its number.
    pub seq: u64,
    /// The digest of the action it is about.
    pub action: Digest,
}

/// What the signer says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Reply {
    /// A certificate: a line as OpenSSH writes it, or PEM.
    Certificate(String),
    /// A registry entry and its signature (SSHSIG).
    Entry {
        /// The entry: canonical JSON.
        entry: String,
        /// The signature, armoured.
        signature: String,
    },
    /// The first words.
    Hello(u64),
    /// What was signed last.
    Last {
        /// Which log, if one was.
        log_id: Option<String>,
        /// How many records it had.
        size: u64,
    },
    /// It will not.
    No(No),
    /// The public keys.
    Public(Public),
    /// The signature of a checkpoint.
    Signature([u8; 64]),
}

/// The public halves of the signer's keys.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Public {
    /// Of checkpoints, Ed25519.
    pub checkpoint: [u8; 32],
    /// Of registry entries, as OpenSSH writes it.
    pub registry: String,
    /// Of SSH certificates, as OpenSSH writes it: for `TrustedUserCAKeys`.
    pub ssh: String,
    /// Of X.509 certificates: the certificate of the CA, PEM.
    pub x509: String,
}

/// Why the signer will not.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct No {
    /// For programs.
    pub code: Code,
    /// For people.
    pub reason: String,
}

/// Why the signer will not, in one word.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Code {
    /// Too many ask at once.
    Busy,
    /// It is not for this peer to ask.
    Forbidden,
    /// It is no message.
    Malformed,
    /// The log service or the signer's own files cannot be used.
    Unavailable,
    /// Something was signed for this record already.
    Used,
    /// The signer does not speak this version.
    Version,
    /// The record, or the proof, does not warrant it.
    Warrant,
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
            "checkpoint" => Self::Checkpoint {
                checkpoint: Checkpoint {
                    log_id: log_id(fields.text("log_id")?)?,
                    root: fields.digest("root")?,
                    size: fields.int("size")?,
                },
                path: fields.digests("path")?,
            },
            "hello" => Self::Hello(fields.int("version")?),
            "last" => Self::Last,
            "public" => Self::Public,
            "registry" => Self::Registry(warranted(&mut fields)?),
            "ssh" => Self::Ssh(warranted(&mut fields)?, fields.text("public_key")?),
            "x509" => {
                let key = of_base64(&fields.text("public_key")?).ok_or(WireError::Shape)?;
                Self::X509(warranted(&mut fields)?, key)
            }
            _ => return Err(WireError::Shape),
        };
        fields.end()?;
        Ok(call)
    }

    /// Returns the message's bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let does = |word| ("do", Value::text(word));
        let members = match self {
            Self::Checkpoint { checkpoint: Checkpoint { log_id, size, root }, path } => vec![
                does("checkpoint"),
                ("log_id", Value::text(log_id.as_str())),
                ("path", digests(path)),
                ("root", Value::Text(root.to_hex())),
                ("size", Value::Int(*size)),
            ],
            Self::Hello(version) => vec![does("hello"), ("version", Value::Int(*version))],
            Self::Last => vec![does("last")],
            Self::Public => vec![does("public")],
            Self::Registry(record) => with(vec![does("registry")], *record),
            Self::Ssh(record, key) => {
                with(vec![does("ssh"), ("public_key", Value::text(key.as_str()))], *record)
            }
            Self::X509(record, key) => {
                with(vec![does("x509"), ("public_key", Value::Text(to_base64(key)))], *record)
            }
        };
        object(members).to_canonical()
    }
}

fn warranted(fields: &mut Fields) -> Result<Warranted, WireError> {
    Ok(Warranted { seq: fields.int("seq")?, action: fields.digest("action_digest")? })
}

fn with(mut members: Vec<(&'static str, Value)>, record: Warranted) -> Vec<(&'static str, Value)> {
    let Warranted { seq, action } = record;
    members.push(("action_digest", Value::Text(action.to_hex())));
    members.push(("seq", Value::Int(seq)));
    members
}

/// Reads the id of a log: 32 hexadecimal digits, which make no second line in a checkpoint.
fn log_id(text: String) -> Result<String, WireError> {
    let id = iddio_core::operation::OperationId::from_hex(&text);
    id.map(|_| text).ok_or(WireError::Shape)
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
            "certificate" => Self::Certificate(fields.text("certificate")?),
            "entry" => {
                Self::Entry { entry: fields.text("entry")?, signature: fields.text("signature")? }
            }
            "hello" => Self::Hello(fields.int("version")?),
            "last" => {
                Self::Last { log_id: fields.optional_text("log_id")?, size: fields.int("size")? }
            }
            "no" => {
                let word = fields.text("code")?;
                let code = CODES.into_iter().find(|code| code.name() == word);
                let code = code.ok_or(WireError::Shape)?;
                Self::No(No { code, reason: fields.text("reason")? })
            }
            "public" => Self::Public(Public {
                checkpoint: *fields.digest("checkpoint")?.as_bytes(),
                registry: fields.text("registry")?,
                ssh: fields.text("ssh")?,
                x509: fields.text("x509")?,
            }),
            "signature" => {
                let bytes = of_base64(&fields.text("signature")?).ok_or(WireError::Shape)?;
                Self::Signature(bytes.try_into().map_err(|_| WireError::Shape)?)
            }
            _ => return Err(WireError::Shape),
        };
        fields.end()?;
        Ok(reply)
    }

    /// Returns the message's bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let is = |word| ("is", Value::text(word));
        let text = |text: &String| Value::text(text.as_str());
        let members = match self {
            Self::Certificate(pem) => vec![is("certificate"), ("certificate", text(pem))],
            Self::Entry { entry, signature } => {
                vec![is("entry"), ("entry", text(entry)), ("signature", text(signature))]
            }
            Self::Hello(version) => vec![is("hello"), ("version", Value::Int(*version))],
            Self::Last { log_id, size } => {
                let mut members = vec![is("last"), ("size", Value::Int(*size))];
                members.extend(log_id.iter().map(|id| ("log_id", text(id))));
                members
            }
            Self::No(No { code, reason }) => {
                vec![is("no"), ("code", Value::text(code.name())), ("reason", text(reason))]
            }
            Self::Public(Public { checkpoint, registry, ssh, x509 }) => vec![
                is("public"),
                ("checkpoint", Value::Text(Digest::from_bytes(*checkpoint).to_hex())),
                ("registry", text(registry)),
                ("ssh", text(ssh)),
                ("x509", text(x509)),
            ],
            Self::Signature(bytes) => {
                vec![is("signature"), ("signature", Value::Text(to_base64(bytes)))]
            }
        };
        object(members).to_canonical()
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
            Self::Unavailable => "unavailable",
            Self::Used => "used",
            Self::Version => "version",
            Self::Warrant => "warrant",
        }
    }
}

/// The version of the protocol.
pub const VERSION: u64 = 1;

/// The longest frame: a public key and a proof are far below.
pub const FRAME_BYTES_MAX: usize = 64 << 10;

const CODES: [Code; 7] = [
    Code::Busy,
    Code::Forbidden,
    Code::Malformed,
    Code::Unavailable,
    Code::Used,
    Code::Version,
    Code::Warrant,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_heard_and_nothing_else_is_a_message() {
        let record = Warranted { seq: 7, action: Digest::of_bytes(b"a") };
        let checkpoint =
            Checkpoint { log_id: "0".repeat(32), size: 3, root: Digest::of_bytes(b"r") };
        let calls = [
            Call::Checkpoint { checkpoint, path: vec![Digest::of_bytes(b"p")] },
            Call::Hello(1),
            Call::Last,
            Call::Public,
            Call::Registry(record),
            Call::Ssh(record, "ssh-ed25519 AAAA".to_owned()),
            Call::X509(record, vec![0x30, 1]),
        ];
        for call in calls {
            let bytes = call.to_bytes();
            assert_eq!(Call::read(&bytes).unwrap(), call);
            let more = String::from_utf8(bytes).unwrap().replacen('{', "{\"a\":1,", 1);
            assert_eq!(Call::read(more.as_bytes()), Err(WireError::Shape), "{more}");
        }
        let bad = r#"{"do":"checkpoint","log_id":"a\nb","path":[],"root":"","size":1}"#;
        assert!(Call::read(bad.as_bytes()).is_err());
        let public =
            Public { checkpoint: [7; 32], registry: "r".into(), ssh: "s".into(), x509: "x".into() };
        let replies = [
            Reply::Certificate("c".into()),
            Reply::Entry { entry: "{}".into(), signature: "s".into() },
            Reply::Hello(1),
            Reply::Last { log_id: None, size: 0 },
            Reply::Last { log_id: Some("x".into()), size: 9 },
            Reply::No(No { code: Code::Used, reason: "why".into() }),
            Reply::Public(public),
            Reply::Signature([9; 64]),
        ];
        for reply in replies {
            assert_eq!(Reply::read(&reply.to_bytes()).unwrap(), reply);
        }
    }
}
