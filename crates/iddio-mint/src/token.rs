//! Bearer tokens of agents.
//!
//! A token is `iddio_` and 256 random bits in lower-case base32. Only its SHA-256 is stored: the
//! bits are uniformly random, so there is nothing to guess and no need for a slow hash.

use std::fmt;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// A bearer token in clear. It exists when it is made, to be shown once, and when it is presented.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Token(String);

/// What is stored of a token.
#[derive(Clone)]
pub struct TokenHash([u8; 32]);

/// Whether a token is the one that was stored.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use]
pub enum TokenMatch {
    /// It is.
    Same,
    /// It is not.
    Other,
}

/// The system gave no random bytes.
#[derive(Debug, thiserror::Error)]
#[error("no random bytes for a token")]
#[non_exhaustive]
pub struct TokenError;

// === impl Token ===

impl Token {
    /// Draws a new token.
    ///
    /// # Errors
    ///
    /// When the system gives no random bytes.
    pub fn draw() -> Result<Self, TokenError> {
        let mut bits = Zeroizing::new([0; 32]);
        getrandom::fill(bits.as_mut()).map_err(|_| TokenError)?;
        let mut text = String::with_capacity(TEXT_BYTES);
        text.push_str(PREFIX);
        base32(bits.as_ref(), &mut text);
        Ok(Self(text))
    }

    /// Reads a token, or returns `None` if the text cannot be one.
    pub fn parse(text: &str) -> Option<Self> {
        let body = text.strip_prefix(PREFIX)?;
        let sound = |byte: u8| ALPHABET.contains(&byte);
        (text.len() == TEXT_BYTES && body.bytes().all(sound)).then(|| Self(text.to_owned()))
    }

    /// Returns the text, to show it once to whoever asked for it.
    pub fn dangerous_reveal(&self) -> &str {
        &self.0
    }

    /// Returns what is stored of it.
    pub fn hash(&self) -> TokenHash {
        TokenHash(Sha256::new().chain_update(DOMAIN).chain_update(&self.0).finalize().into())
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(***)")
    }
}

// === impl TokenHash ===

impl TokenHash {
    /// Reads 64 lower-case hexadecimal digits.
    pub fn from_hex(text: &str) -> Option<Self> {
        let digits = text.as_bytes();
        let mut hash = [0; 32];
        if digits.len() != 64 {
            return None;
        }
        for (byte, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
            let [high, low] = pair else { return None };
            *byte = nibble(*high)? << 4 | nibble(*low)?;
        }
        Some(Self(hash))
    }

    /// Returns 64 lower-case hexadecimal digits.
    pub fn to_hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Compares two in constant time.
    pub fn is(&self, other: &Self) -> TokenMatch {
        match bool::from(self.0.ct_eq(&other.0)) {
            true => TokenMatch::Same,
            false => TokenMatch::Other,
        }
    }

    /// Returns its first bits, by which a store finds it among many. They say nothing about a token:
    /// who would use them has to invert the hash.
    pub fn shelf(&self) -> u64 {
        let (first, _) = self.0.split_first_chunk().unwrap_or((&[0; 8], &[]));
        u64::from_be_bytes(*first)
    }

    /// Compares in constant time.
    pub fn matches(&self, token: &Token) -> TokenMatch {
        match bool::from(self.0.ct_eq(&token.hash().0)) {
            true => TokenMatch::Same,
            false => TokenMatch::Other,
        }
    }
}

/// Shows nothing: a hash of a token identifies it to whoever can list the store.
impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash(***)")
    }
}

/// Writes `bytes` in base32 without padding, five bits a letter, most significant first.
fn base32(bytes: &[u8], text: &mut String) {
    let (mut held, mut bits) = (0_u32, 0_u32);
    let letter = |five: u32| ALPHABET.get(five as usize & 31).map_or('a', |byte| char::from(*byte));
    for byte in bytes {
        held = (held << 8 | u32::from(*byte)) & 0xfff;
        bits += 8;
        while 5 <= bits {
            bits -= 5;
            text.push(letter(held >> bits));
        }
    }
    if 0 < bits {
        text.push(letter(held << (5 - bits)));
    }
}

fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

/// What every token begins with, so that secret scanners find one that leaked.
const PREFIX: &str = "iddio_";

/// RFC 4648 base32, lower case.
const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// The bytes of a token's text: the prefix, and 256 bits at five a letter.
const TEXT_BYTES: usize = PREFIX.len() + 52;

/// Keeps token hashes apart from every other SHA-256 in the product.
const DOMAIN: &str = "iddio-agent-token/v1:";
