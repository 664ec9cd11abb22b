//! Canonical encoding and SHA-256 digests.
//!
//! INVARIANT: two values with the same digest are the same value. The encoding is therefore
//! injective: every variable-length field is preceded by its length, every enum by its tag, and
//! lists by their count.

use std::fmt;

use sha2::{Digest as _, Sha256};

/// A SHA-256 digest (FIPS 180-4).
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Digest([u8; 32]);

impl Digest {
    /// Returns the digest of the canonical encoding of `value`.
    pub fn of(value: &impl Canonical) -> Self {
        let mut encoder = Encoder(Sha256::new());
        value.encode(&mut encoder);
        Self(encoder.0.finalize().into())
    }

    /// Returns the plain SHA-256 of `bytes`: file contents, policy sources, log lines.
    pub fn of_bytes(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// Takes 32 bytes that are already a SHA-256 digest.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Reads 64 lower-case hexadecimal digits.
    pub fn from_hex(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        let digits = text.as_bytes();
        if digits.len() != 64 {
            return None;
        }
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let [high, low] = pair else { return None };
            *byte = (nibble(*high)? << 4) | nibble(*low)?;
        }
        Some(Self(bytes))
    }

    /// Returns the bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Returns 64 lower-case hexadecimal digits.
    pub fn to_hex(self) -> String {
        self.to_string()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A value with exactly one byte representation.
///
/// Implementations destructure `self` without `..`, so that a new field does not compile until it
/// is hashed.
pub trait Canonical {
    /// Writes the fields of `self`, in declaration order.
    fn encode(&self, encoder: &mut Encoder);
}

/// Writes canonical bytes into a running hash.
pub struct Encoder(Sha256);

impl Encoder {
    /// Writes the tag of an enum variant.
    pub fn tag(&mut self, tag: u8) {
        self.0.update([tag]);
    }

    /// Writes an integer, little-endian.
    pub fn int(&mut self, n: u128) {
        self.0.update(n.to_le_bytes());
    }

    /// Writes bytes, preceded by their length.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.int(bytes.len() as u128);
        self.0.update(bytes);
    }

    /// Writes a string, preceded by its length.
    pub fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    /// Writes an optional value, preceded by whether it is there.
    pub fn option(&mut self, value: Option<&impl Canonical>) {
        self.tag(u8::from(value.is_some()));
        if let Some(value) = value {
            value.encode(self);
        }
    }

    /// Writes a sequence, preceded by its length.
    pub fn list<'a, T: Canonical + 'a>(
        &mut self,
        items: impl IntoIterator<Item = &'a T, IntoIter: ExactSizeIterator>,
    ) {
        let items = items.into_iter();
        self.int(items.len() as u128);
        items.for_each(|item| item.encode(self));
    }

    /// Writes a nested digest.
    pub fn digest(&mut self, digest: Digest) {
        self.0.update(digest.0);
    }
}

impl Canonical for Digest {
    fn encode(&self, encoder: &mut Encoder) {
        encoder.digest(*self);
    }
}

impl Canonical for String {
    fn encode(&self, encoder: &mut Encoder) {
        encoder.text(self);
    }
}

impl Canonical for Vec<u8> {
    fn encode(&self, encoder: &mut Encoder) {
        encoder.bytes(self);
    }
}

fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}
