//! Secrets on their way into a record: taken out, and committed to.
//!
//! A record never holds a value that the redactor takes for a secret, nor a plain digest of one: a
//! short secret could be guessed from it. It holds a commitment under a key that the home can erase
//! (L06, E28): with the key the value can be checked, without it nothing can be learned, and the
//! chain verifies either way, since it covers the commitment and not the value.
//!
//! What is a secret is for [`crate::redact`] to say.

/// Commits to values under a key that can be erased.
pub trait Commit: Send + Sync {
    /// Commits to `bytes`, which were taken out of `field`.
    fn commit(&self, field: &str, bytes: &[u8]) -> Commitment;
}

/// A keyed commitment.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Commitment {
    /// Names the key. Nothing about the value follows from it.
    pub key: String,
    /// HMAC-SHA256 over the field's name, a zero byte, and the value.
    pub mac: [u8; 32],
}
