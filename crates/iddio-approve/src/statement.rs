//! What an approver signs.
//!
//! A statement is a text of eight lines. It names the ask and the digest of everything that was
//! shown, the verdict, who says it, and until when. A signature over it is in the SSHSIG format
//! with the namespace `iddio-approval`, so `ssh-keygen -Y verify` checks it without iddio:
//!
//! ```text
//! iddio-grant/v1
//! ask: esc_7k2m9q3d
//! digest: 5d1e… (64 digits)
//! verdict: grant
//! operator: human:ada
//! expires: 1795186987000001 5f0c… (32 digits) 123456
//! ticket: none
//! nonce: 9b1d… (32 digits)
//! ```
//!
//! A time is the wall clock in microseconds, the boot id, and milliseconds since that boot. Only
//! the last two decide.
//!
//! INVARIANT: one statement has one text. What does not read back as itself is no statement.

use std::fmt;

use iddio_core::{
    digest::Digest,
    principal::PrincipalId,
    time::{BootTime, Moment, Timestamp},
};

use crate::id::AskId;

/// What an approver says about one ask.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Statement {
    /// Which ask.
    pub ask: AskId,
    /// The digest of what was shown.
    pub digest: Digest,
    /// What they say.
    pub word: Word,
    /// Who says it.
    pub operator: PrincipalId,
    /// Until when it may be used.
    pub expires: Moment,
    /// Until when it may serve like asks.
    pub ticket: Option<Moment>,
    /// 128 random bits, so that no two statements are the same.
    pub nonce: u128,
}

/// Yes or no.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Word {
    /// Yes.
    Grant,
    /// No.
    Refuse,
}

/// The namespace of signatures over statements: a signature made for anything else is none here.
pub const NAMESPACE: &str = "iddio-approval";

// === impl Statement ===

impl Statement {
    /// Reads a statement, or returns `None` if the text is none.
    pub fn parse(text: &str) -> Option<Self> {
        let body = text.strip_prefix(HEADER)?.strip_prefix('\n')?.strip_suffix('\n')?;
        let mut lines = body.split('\n');
        let mut field = |name: &str| lines.next()?.strip_prefix(name)?.strip_prefix(": ");
        let statement = Self {
            ask: AskId::parse(field("ask")?)?,
            digest: Digest::from_hex(field("digest")?)?,
            word: Word::from_name(field("verdict")?)?,
            operator: PrincipalId::new(field("operator")?)?,
            expires: moment(field("expires")?)?,
            ticket: match field("ticket")? {
                "none" => None,
                until => Some(moment(until)?),
            },
            nonce: u128::from_str_radix(field("nonce")?, 16).ok()?,
        };
        (statement.to_string() == text).then_some(statement)
    }

    /// Returns the digest of the text, by which a record leads to it.
    pub fn text_digest(&self) -> Digest {
        Digest::of_bytes(self.to_string().as_bytes())
    }
}

/// Writes the text that is signed.
impl fmt::Display for Statement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ask, digest, word, operator, expires, ticket, nonce } = self;
        writeln!(f, "{HEADER}")?;
        writeln!(f, "ask: {ask}")?;
        writeln!(f, "digest: {digest}")?;
        writeln!(f, "verdict: {}", word.name())?;
        writeln!(f, "operator: {operator}")?;
        writeln!(f, "expires: {}", Written(*expires))?;
        match ticket {
            Some(until) => writeln!(f, "ticket: {}", Written(*until))?,
            None => writeln!(f, "ticket: none")?,
        }
        writeln!(f, "nonce: {nonce:032x}")
    }
}

// === impl Word ===

impl Word {
    /// Returns the word as written in statements.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Grant => "grant",
            Self::Refuse => "refuse",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        [Self::Grant, Self::Refuse].into_iter().find(|word| word.name() == name)
    }
}

/// A moment as statements write it.
struct Written(Moment);

impl fmt::Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Moment { wall: Timestamp(wall), boot: BootTime { boot_id, millis } } = self.0;
        write!(f, "{wall} {boot_id:032x} {millis}")
    }
}

fn moment(text: &str) -> Option<Moment> {
    let mut words = text.split(' ');
    let wall = Timestamp(words.next()?.parse().ok()?);
    let boot_id = u128::from_str_radix(words.next()?, 16).ok()?;
    let millis = words.next()?.parse().ok()?;
    words.next().is_none().then_some(Moment { wall, boot: BootTime { boot_id, millis } })
}

/// The first line. A later format has another number.
const HEADER: &str = "iddio-grant/v1";
