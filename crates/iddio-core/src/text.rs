//! Text that may not be text.
//!
//! Arguments, paths and names are bytes on Unix. They are kept as bytes, shown through
//! [`crate::sanitise`], and stored as a JSON string when they are UTF-8 and as tagged base64
//! (`{"base64": "…"}`) when they are not: never lossily.

use crate::digest::{Canonical, Encoder};

/// Bytes that are usually text.
#[derive(Clone, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct RawText(Vec<u8>);

impl RawText {
    /// Takes bytes as they are.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(bytes.into())
    }

    /// Returns the bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Returns the text, if it is UTF-8.
    pub fn as_str(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }
}

impl From<&str> for RawText {
    fn from(text: &str) -> Self {
        Self(text.as_bytes().to_vec())
    }
}

impl From<String> for RawText {
    fn from(text: String) -> Self {
        Self(text.into_bytes())
    }
}

impl Canonical for RawText {
    fn encode(&self, encoder: &mut Encoder) {
        encoder.bytes(&self.0);
    }
}
