//! The key that signs checkpoints of the audit log.
//!
//! It is made once, when a home is, and lies in a file of its own. It has no passphrase, because
//! the log signs unattended: what it proves is that a checkpoint was made by this home, and it
//! proves that to whoever holds an older checkpoint or wrote the public key down elsewhere.

use std::{fmt, path::Path};

use base64ct::{Base64, Encoding};
use ed25519_dalek::{Signer, SigningKey};
use zeroize::Zeroizing;

use crate::file::{FileError, create_private, read_private};

/// An Ed25519 key that signs checkpoints. The seed is zeroed on drop.
pub struct CheckpointKey(SigningKey);

/// A checkpoint key could not be made or opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointKeyError {
    /// Its file could not be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// The file holds something else.
    #[error("`{0}` does not hold a checkpoint key")]
    Format(String),
    /// The system gave no random bytes.
    #[error("no random bytes")]
    Random,
}

// === impl CheckpointKey ===

impl CheckpointKey {
    /// Makes a new key in a new file, mode 0600.
    ///
    /// # Errors
    ///
    /// When the file exists or cannot be written, or there are no random bytes.
    pub fn create(path: &Path) -> Result<Self, CheckpointKeyError> {
        let mut seed = Zeroizing::new([0; 32]);
        getrandom::fill(seed.as_mut()).map_err(|_| CheckpointKeyError::Random)?;
        let encoded = Zeroizing::new(Base64::encode_string(seed.as_ref()));
        let text = Zeroizing::new(format!("{HEADER}\n{}\n", encoded.as_str()));
        create_private(path, text.as_bytes())?;
        Ok(Self(SigningKey::from_bytes(&seed)))
    }

    /// Opens the key in `path`.
    ///
    /// # Errors
    ///
    /// When the file is not private, not ours, or does not hold exactly a checkpoint key.
    pub fn open(path: &Path) -> Result<Self, CheckpointKeyError> {
        let bytes = read_private(path)?;
        let seed = seed(&bytes);
        let seed = seed.ok_or_else(|| CheckpointKeyError::Format(path.display().to_string()))?;
        Ok(Self(SigningKey::from_bytes(&seed)))
    }

    /// Returns the public key.
    pub fn public(&self) -> [u8; 32] {
        self.0.verifying_key().to_bytes()
    }

    /// Signs `message` (RFC 8032, pure Ed25519).
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }
}

impl fmt::Debug for CheckpointKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CheckpointKey(***)")
    }
}

fn seed(bytes: &[u8]) -> Option<Zeroizing<[u8; 32]>> {
    let text = std::str::from_utf8(bytes).ok()?;
    let encoded = text.strip_prefix(HEADER)?.strip_prefix('\n')?.strip_suffix('\n')?;
    let mut seed = Zeroizing::new([0; 32]);
    let decoded = Base64::decode(encoded, seed.as_mut()).ok()?;
    (decoded.len() == 32).then_some(seed)
}

/// The first line of the file. A later format has another number.
const HEADER: &str = "iddio-checkpoint-key/v1";
