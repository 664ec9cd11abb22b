//! The key that a signer's keys are wrapped under: made here, opened by the signer alone.
//!
//! It is made by whoever installs the host, in a file of root's that systemd passes to the signer.

use std::path::Path;

use base64ct::{Base64, Encoding};
use zeroize::Zeroizing;

use crate::file::{FileError, create_private};

/// No wrapping key was made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WrappingError {
    /// Its file could not be made.
    #[error(transparent)]
    File(#[from] FileError),
    /// The system gave no random bytes.
    #[error("no random bytes")]
    Random,
}

/// Makes a wrapping key in a new file, mode 0600.
///
/// # Errors
///
/// When the file exists or cannot be written, or there are no random bytes.
pub fn create_wrapping_key(path: &Path) -> Result<(), WrappingError> {
    let mut bytes = Zeroizing::new([0; WRAPPING_BYTES]);
    getrandom::fill(bytes.as_mut()).map_err(|_| WrappingError::Random)?;
    let digits = Zeroizing::new(Base64::encode_string(bytes.as_ref()));
    let text = Zeroizing::new(format!("{WRAPPING_HEADER}\n{}\n", digits.as_str()));
    Ok(create_private(path, text.as_bytes())?)
}

/// The first line of the file. A later form has another number.
pub const WRAPPING_HEADER: &str = "iddio-wrapping-key/v1";

/// AES-256.
pub const WRAPPING_BYTES: usize = 32;
