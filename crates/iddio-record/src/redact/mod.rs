//! Takes secrets out of what is recorded, before it reaches a disk.
//!
//! What a terminal shows and reads is looked at as text ([`text`]), bodies that are JSON by the place of
//! each value in them ([`json`]), and what neither can read is left out. What is taken out leaves a mark
//! that says what sort of thing it was and between which powers of two its length lies: never a digest,
//! which would let somebody try values until one fits.
//!
//! INVARIANT: bytes come out in the order they went in, and each byte that comes out was looked at
//! together with what stands around it, across the borders of frames.
//!
//! What this module does not do: find a secret that has neither shape, name nor known place.

pub(crate) mod body;
pub(crate) mod json;
pub(crate) mod session;
#[cfg(test)]
mod tests;
pub(crate) mod text;

use iddio_core::redact::{Kind, Redacted};

/// Returns what stands in the place of a secret.
pub(crate) fn mark(what: &str, length: usize) -> String {
    match length {
        0..SHORT => format!("[redacted {what}, under {SHORT} bytes]"),
        _ => {
            let from = 1_usize << length.ilog2();
            format!("[redacted {what}, {from} to {} bytes]", 2 * from - 1)
        }
    }
}

/// Returns what stands in the place of what was not looked at.
pub(crate) fn omitted(bytes: u64, why: &str) -> String {
    format!("[omitted {bytes} bytes: {why}]")
}

/// Returns the text with its secrets marked, or `None` if there are none.
pub(crate) fn masked(found: &Redacted) -> Option<Vec<u8>> {
    if found.secrets() == 0 {
        return None;
    }
    let mark = &mut |kind: Kind, secret: &[u8]| mark(word(kind), secret.len());
    Some(found.render(mark).as_bytes().to_vec())
}

/// Returns the word a mark says.
pub(crate) fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Cookie => "cookie",
        Kind::Key => "key",
        Kind::Password => "password",
        Kind::PrivateKey => "private key",
        Kind::Signature => "signature",
        Kind::Token => "token",
        Kind::Value => "value",
    }
}

/// Below this all lengths are one class: most passwords that people think up are not much longer.
const SHORT: usize = 8;
