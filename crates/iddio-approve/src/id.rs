//! Names of asks.
//!
//! `esc_` and eight letters of Crockford's base32 in lower case: 40 bits, enough to be unique among
//! the asks of one home, short enough to type, and without letters that look alike.

use std::fmt;

use iddio_core::{digest::Digest, operation::OperationId};

/// The name of an ask: `esc_7k2m9q3d`.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct AskId(String);

// === impl AskId ===

impl AskId {
    /// Derives the name of the `attempt`-th ask about `operation`.
    ///
    /// One operation may be asked about again, when policy moved; and 40 bits may collide.
    pub(crate) fn derive(operation: OperationId, attempt: u32) -> Self {
        let digest = Digest::of_bytes(format!("iddio-ask/{operation}/{attempt}").as_bytes());
        let mut bits =
            digest.as_bytes().iter().take(5).fold(0, |bits, byte| bits << 8 | u64::from(*byte));
        let mut letters = Vec::with_capacity(LETTERS);
        for _ in 0..LETTERS {
            letters.extend(ALPHABET.get((bits & 31) as usize));
            bits >>= 5;
        }
        Self(format!("{PREFIX}{}", String::from_utf8_lossy(&letters)))
    }

    /// Reads a whole name.
    pub fn parse(text: &str) -> Option<Self> {
        let letters = text.strip_prefix(PREFIX)?;
        let sound =
            letters.len() == LETTERS && letters.bytes().all(|byte| ALPHABET.contains(&byte));
        sound.then(|| Self(text.to_owned()))
    }

    /// Reads the beginning of a name as people type it: with or without `esc_`, in either case.
    pub(crate) fn beginning(text: &str) -> Option<String> {
        let text = text.to_ascii_lowercase();
        let letters = text.strip_prefix(PREFIX).unwrap_or(&text);
        let sound = (1..=LETTERS).contains(&letters.len())
            && letters.bytes().all(|byte| ALPHABET.contains(&byte));
        sound.then(|| format!("{PREFIX}{letters}"))
    }

    /// Returns the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What every name begins with.
const PREFIX: &str = "esc_";

/// How many letters follow.
const LETTERS: usize = 8;

/// Crockford's base32: no `i`, `l`, `o`, `u`.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
