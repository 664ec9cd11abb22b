//! Checkpoints: what a log was at one time, signed (C2SP tlog-checkpoint and signed-note).
//!
//! Whoever holds an older checkpoint can tell that a log was cut, rewritten or replaced since. This
//! module writes and reads the text; the signature is made by a [`CheckpointSigner`] and checked
//! by `iddio-audit`.

use crate::digest::Digest;

/// Signs checkpoints. The key never leaves it.
pub trait CheckpointSigner: Send + Sync {
    /// Returns the Ed25519 signature of `bytes`.
    fn sign(&self, bytes: &[u8]) -> [u8; 64];

    /// Returns the public key.
    fn public(&self) -> [u8; 32];
}

/// What a log was: how many records, and the root of the tree over them.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Checkpoint {
    /// The log's id, from its first record.
    pub log_id: String,
    /// How many records.
    pub size: u64,
    /// The root of the tree over them.
    pub root: Digest,
}

/// A checkpoint with its signature, as read from text. Nothing has been checked.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Note {
    /// What it says.
    pub checkpoint: Checkpoint,
    /// The signed bytes.
    pub signed: Vec<u8>,
    /// The first four bytes of the key's id.
    pub key_id: [u8; 4],
    /// The signature.
    pub signature: [u8; 64],
}

// === impl Checkpoint ===

impl Checkpoint {
    /// Returns the name of the log: the first line, and the name of its key.
    pub fn origin(&self) -> String {
        format!("{ORIGIN}{}", self.log_id)
    }

    /// Returns the text that is signed: origin, size, root.
    pub fn text(&self) -> String {
        let root = encode(self.root.as_bytes());
        format!("{}\n{}\n{root}\n", self.origin(), self.size)
    }

    /// Returns the signed note.
    pub fn sign(&self, signer: &dyn CheckpointSigner) -> String {
        self.note(&signer.public(), &signer.sign(self.text().as_bytes()))
    }

    /// Returns the note that says so with `signature`, by the key `public`, over [`Self::text`].
    pub fn note(&self, public: &[u8; 32], signature: &[u8; 64]) -> String {
        let id = key_id(&self.origin(), public);
        let stated = encode(&[&id[..], signature].concat());
        format!("{}\n\u{2014} {} {stated}\n", self.text(), self.origin())
    }
}

// === impl Note ===

impl Note {
    /// Reads a signed note: three lines, an empty one, and the signature by the log's own key.
    /// Signatures of others (witnesses) may follow.
    pub fn read(note: &str) -> Option<Self> {
        if NOTE_BYTES_MAX < note.len() {
            return None;
        }
        let (text, signatures) = note.split_once("\n\n")?;
        let mut lines = text.split('\n');
        let log_id = lines.next()?.strip_prefix(ORIGIN)?.to_owned();
        let size_text = lines.next()?;
        let size = size_text.parse().ok().filter(|size: &u64| size.to_string() == size_text)?;
        let root = Digest::from_bytes(decode(lines.next()?)?.try_into().ok()?);
        let checkpoint = Checkpoint { log_id, size, root };
        let own = format!("\u{2014} {} ", checkpoint.origin());
        let stated = signatures.lines().find_map(|line| line.strip_prefix(own.as_str()))?;
        let bytes = decode(stated)?;
        let (key_id, signature) = bytes.split_first_chunk()?;
        let signature = signature.try_into().ok()?;
        Some(Self { checkpoint, signed: format!("{text}\n").into(), key_id: *key_id, signature })
    }

    /// Whether the note states that it was signed with `public`.
    pub fn names(&self, public: &[u8; 32]) -> bool {
        self.key_id == key_id(&self.checkpoint.origin(), public)
    }
}

/// Returns the id of an Ed25519 key under a name (C2SP signed-note).
fn key_id(name: &str, public: &[u8; 32]) -> [u8; 4] {
    let digest = Digest::of_bytes(&[name.as_bytes(), b"\n\x01", public].concat());
    let [a, b, c, d, ..] = *digest.as_bytes();
    [a, b, c, d]
}

/// Returns bytes in base64 with padding (RFC 4648, section 4).
pub(super) fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let byte = |place: usize| u32::from(group.get(place).copied().unwrap_or(0));
        let word = byte(0) << 16 | byte(1) << 8 | byte(2);
        for place in 0..4 {
            let digit = DIGITS.get((word >> (18 - 6 * place) & 63) as usize).copied();
            let padding = group.len() < place;
            text.push(if padding { '=' } else { char::from(digit.unwrap_or(b'=')) });
        }
    }
    text
}

/// Reads base64 in its one form.
pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    for group in text.trim_end_matches('=').as_bytes().chunks(4) {
        let mut word = 0;
        for digit in group {
            let place = DIGITS.iter().position(|own| own == digit)?;
            word = word << 6 | u32::try_from(place).ok()?;
        }
        let bits = group.len() * 6;
        let [_, a, b, c] = (word << (24 - bits)).to_be_bytes();
        bytes.extend([a, b, c].into_iter().take(bits / 8));
    }
    (encode(&bytes) == text).then_some(bytes)
}

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// What every log's name begins with.
const ORIGIN: &str = "iddio.local/log/";

/// The longest note: a checkpoint and the signatures of a few witnesses.
const NOTE_BYTES_MAX: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed;

    impl CheckpointSigner for Fixed {
        fn sign(&self, _: &[u8]) -> [u8; 64] {
            [9; 64]
        }

        fn public(&self) -> [u8; 32] {
            [7; 32]
        }
    }

    #[test]
    fn a_note_reads_as_it_was_written_and_in_no_other_form() {
        let root = Digest::of_bytes(b"root");
        let checkpoint = Checkpoint { log_id: "ab12".to_owned(), size: 41, root };
        let text = checkpoint.sign(&Fixed);
        let note = Note::read(&text).unwrap();
        assert_eq!(note.checkpoint, checkpoint);
        assert!(note.names(&[7; 32]) && !note.names(&[8; 32]));
        assert_eq!(note.signed, checkpoint.text().into_bytes());
        for (from, to) in [("41\n", "041\n"), ("41\n", "+41\n"), ("\n\n", "\n"), ("iddio", "idd1o")]
        {
            assert_eq!(Note::read(&text.replacen(from, to, 1)), None, "{to}");
        }
    }

    #[test]
    fn base64_is_that_of_rfc_4648() {
        let cases = ["", "Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"];
        for (length, text) in cases.into_iter().enumerate() {
            let bytes = &b"foobar"[..length];
            assert_eq!((encode(bytes).as_str(), decode(text).as_deref()), (text, Some(bytes)));
        }
        assert_eq!([decode("Zh=="), decode("Zg"), decode("Z")], [None, None, None]);
    }
}
