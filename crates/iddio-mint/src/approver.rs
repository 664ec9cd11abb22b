//! The keys that sign an approver's answer.
//!
//! A key we make is an OpenSSH Ed25519 key under a passphrase (bcrypt-pbkdf, AES-256-CTR), and a
//! signature is in the SSHSIG format, so that a stranger checks a grant with `ssh-keygen -Y verify`
//! and nothing of ours. Public keys made elsewhere can be used to verify: `ssh-ed25519`, and
//! `sk-ssh-ed25519@openssh.com` for a hardware key whose owner touched it.
//!
//! INVARIANT: a key we opened was under a passphrase. An unencrypted private key is refused, since
//! a signature by it would prove only that somebody could read a file.

use std::{fmt, path::Path};

use ssh_key::{
    Algorithm, Cipher, HashAlg, Kdf, LineEnding, PrivateKey, PublicKey, SshSig,
    private::{Ed25519Keypair, KeypairData},
};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::file::{FileError, create_private, read_private};

/// An approver's private key, unlocked.
pub struct ApproverKey(PrivateKey);

/// An approver's public key.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ApproverPublic(PublicKey);

/// What protects the private half, as far as the public half says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum KeyKind {
    /// A key in a file or an agent: what protects it cannot be seen from here.
    Software,
    /// A key in hardware that its owner touches for each signature.
    Hardware,
}

/// A passphrase. Zeroed on drop.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Passphrase(Vec<u8>);

/// A passphrase is not one we take.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PassphraseError {
    /// It is longer than anybody types.
    #[error("the passphrase is longer than {PASSPHRASE_BYTES_MAX} bytes")]
    TooLong,
    /// It is too short to resist guessing.
    #[error("the passphrase is shorter than {PASSPHRASE_BYTES_MIN} bytes")]
    TooShort,
}

/// An approver key could not be made, opened or used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// Its file could not be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// The file does not hold an OpenSSH private key we can read.
    #[error("`{0}` does not hold an OpenSSH Ed25519 private key")]
    Format(String),
    /// The passphrase is wrong.
    #[error("wrong passphrase for `{0}`")]
    Passphrase(String),
    /// The system gave no random bytes.
    #[error("no random bytes for a key")]
    Random,
    /// The library could not do what it must be able to do.
    #[error("bug: {0}")]
    Bug(&'static str),
    /// The key has no passphrase, so it proves nothing.
    #[error("`{0}` is not protected by a passphrase")]
    Unprotected(String),
}

/// A public key is not one we take.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PublicError {
    /// It is of a kind we do not verify.
    #[error("keys of type `{0}` are not supported; use ssh-ed25519 or sk-ssh-ed25519@openssh.com")]
    Algorithm(String),
    /// It is not a line of the OpenSSH public key format.
    #[error("not an OpenSSH public key")]
    Format,
}

/// A signature is not by this key over these bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum VerifyError {
    /// It is no SSHSIG signature, or uses a hash or version we do not take.
    #[error("not a signature in the SSHSIG format with SHA-512")]
    Format,
    /// It is not by this key over these bytes for this purpose.
    #[error("the signature does not verify")]
    Invalid,
    /// A hardware key signed without its owner touching it.
    #[error("the hardware key was not touched")]
    NotPresent,
}

// === impl ApproverKey ===

impl ApproverKey {
    /// Makes a new key under `passphrase` in a new file, mode 0600.
    ///
    /// # Errors
    ///
    /// When the file exists or cannot be written, or there are no random bytes.
    pub fn create(path: &Path, comment: &str, phrase: &Passphrase) -> Result<Self, KeyError> {
        let mut seed = Zeroizing::new([0; 32]);
        let mut dice = Zeroizing::new([0; 20]);
        getrandom::fill(seed.as_mut()).map_err(|_| KeyError::Random)?;
        getrandom::fill(dice.as_mut()).map_err(|_| KeyError::Random)?;
        let (check, salt) = dice.split_at(4);
        let check = check.iter().fold(0, |check, byte| check << 8 | u32::from(*byte));
        let kdf = Kdf::Bcrypt { salt: salt.to_vec(), rounds: BCRYPT_ROUNDS };
        let pair = KeypairData::from(Ed25519Keypair::from_seed(&seed));
        let key = PrivateKey::new(pair, comment);
        let key = key.map_err(|_| KeyError::Bug("an Ed25519 key could not be made"))?;
        let locked = key.encrypt_with(Cipher::Aes256Ctr, kdf, check, &phrase.0);
        let locked = locked.map_err(|_| KeyError::Bug("a key could not be encrypted"))?;
        let pem = locked.to_openssh(LineEnding::LF);
        let pem = pem.map_err(|_| KeyError::Bug("a key could not be encoded"))?;
        create_private(path, pem.as_bytes())?;
        Ok(Self(key))
    }

    /// Opens the key in `path`.
    ///
    /// # Errors
    ///
    /// When the file is not private and ours, holds no Ed25519 key under a passphrase, or the
    /// passphrase is wrong.
    pub fn open(path: &Path, phrase: &Passphrase) -> Result<Self, KeyError> {
        let name = || path.display().to_string();
        let bytes = read_private(path)?;
        let key = PrivateKey::from_openssh(&*bytes).map_err(|_| KeyError::Format(name()))?;
        if key.algorithm() != Algorithm::Ed25519 {
            return Err(KeyError::Format(name()));
        }
        if !key.is_encrypted() {
            return Err(KeyError::Unprotected(name()));
        }
        // Whoever could change the file could make us work for hours.
        if let Kdf::Bcrypt { rounds, .. } = key.kdf()
            && BCRYPT_ROUNDS_MAX < *rounds
        {
            return Err(KeyError::Format(name()));
        }
        key.decrypt(&phrase.0).map(Self).map_err(|_| KeyError::Passphrase(name()))
    }

    /// Returns the public half.
    pub fn public(&self) -> ApproverPublic {
        ApproverPublic(self.0.public_key().clone())
    }

    /// Signs `message` for `namespace` and returns an armoured SSHSIG.
    ///
    /// # Errors
    ///
    /// Never for a key this module made or opened; a failure of the library is passed on.
    pub fn sign(&self, namespace: &str, message: &[u8]) -> Result<String, KeyError> {
        let signature = self.0.sign(namespace, HashAlg::Sha512, message);
        let pem = signature.and_then(|signature| signature.to_pem(LineEnding::LF));
        pem.map_err(|_| KeyError::Bug("a signature could not be made"))
    }
}

impl fmt::Debug for ApproverKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApproverKey(***)")
    }
}

// === impl ApproverPublic ===

impl ApproverPublic {
    /// Reads one line of the OpenSSH public key format.
    ///
    /// # Errors
    ///
    /// When it is no such line, or of a type we do not verify.
    pub fn parse(line: &str) -> Result<Self, PublicError> {
        let line = line.trim_end_matches(['\r', '\n']);
        if PUBLIC_BYTES_MAX < line.len() || line.contains(|c: char| c.is_control()) {
            return Err(PublicError::Format);
        }
        let named = line.split(' ').next().unwrap_or_default();
        let key = match PublicKey::from_openssh(line) {
            Ok(key) => key,
            Err(_) if UNSUPPORTED.contains(&named) => {
                return Err(PublicError::Algorithm(named.to_owned()));
            }
            Err(_) => return Err(PublicError::Format),
        };
        match key.algorithm() {
            Algorithm::Ed25519 | Algorithm::SkEd25519 => Ok(Self(key)),
            other => Err(PublicError::Algorithm(other.as_str().to_owned())),
        }
    }

    /// Returns the key as one line, without its comment.
    pub fn to_line(&self) -> String {
        let key = PublicKey::new(self.0.key_data().clone(), "");
        key.to_openssh().map(|line| line.trim_end().to_owned()).unwrap_or_default()
    }

    /// Returns the fingerprint as `ssh-keygen -l` shows it: `SHA256:…`.
    pub fn fingerprint(&self) -> String {
        self.0.fingerprint(HashAlg::Sha256).to_string()
    }

    /// Returns what protects the private half.
    pub fn kind(&self) -> KeyKind {
        match self.0.algorithm() {
            Algorithm::SkEd25519 => KeyKind::Hardware,
            _ => KeyKind::Software,
        }
    }

    /// Checks that `armoured` is this key's signature over `message` for `namespace`.
    ///
    /// # Errors
    ///
    /// When it is not, or a hardware key was not touched.
    pub fn verify(
        &self,
        namespace: &str,
        message: &[u8],
        armoured: &str,
    ) -> Result<(), VerifyError> {
        if SIGNATURE_BYTES_MAX < armoured.len() {
            return Err(VerifyError::Format);
        }
        let signature = SshSig::from_pem(armoured).map_err(|_| VerifyError::Format)?;
        let usual = signature.version() == SshSig::VERSION
            && signature.hash_alg() == HashAlg::Sha512
            && signature.reserved().is_empty()
            && signature.algorithm() == self.0.algorithm();
        if !usual {
            return Err(VerifyError::Format);
        }
        self.0.verify(namespace, message, &signature).map_err(|_| VerifyError::Invalid)?;
        match (self.kind(), touched(signature.signature_bytes())) {
            (KeyKind::Hardware, None) => Err(VerifyError::NotPresent),
            (KeyKind::Hardware, Some(())) | (KeyKind::Software, _) => Ok(()),
        }
    }
}

// === impl Passphrase ===

impl Passphrase {
    /// Takes a passphrase for a new key.
    ///
    /// # Errors
    ///
    /// When it is too short or too long.
    pub fn new(bytes: Vec<u8>) -> Result<Self, PassphraseError> {
        let phrase = Self(bytes);
        match phrase.0.len() {
            0..PASSPHRASE_BYTES_MIN => Err(PassphraseError::TooShort),
            PASSPHRASE_BYTES_MIN..=PASSPHRASE_BYTES_MAX => Ok(phrase),
            _ => Err(PassphraseError::TooLong),
        }
    }

    /// Whether two passphrases are the same, for the second time it is typed.
    pub fn agrees_with(&self, other: &Self) -> PassphraseAgreement {
        match bool::from(subtle::ConstantTimeEq::ct_eq(&*self.0, &*other.0)) {
            true => PassphraseAgreement::Same,
            false => PassphraseAgreement::Different,
        }
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase(***)")
    }
}

/// Whether a passphrase was typed the same way twice.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use]
pub enum PassphraseAgreement {
    /// It was not.
    Different,
    /// It was.
    Same,
}

/// Whether the flags of a hardware signature say that its owner was there: bit 0 of the byte after
/// the 64 bytes of the signature (OpenSSH's PROTOCOL.u2f).
fn touched(signature: &[u8]) -> Option<()> {
    let flags = signature.get(64)?;
    (flags & USER_PRESENT != 0).then_some(())
}

/// The flag of a touched key.
const USER_PRESENT: u8 = 1;

/// The rounds of bcrypt-pbkdf for a new key: what `ssh-keygen` uses since 9.4 is 24.
const BCRYPT_ROUNDS: u32 = 24;

/// The most rounds a key may ask for: about a minute of work.
const BCRYPT_ROUNDS_MAX: u32 = 4_096;

/// The fewest bytes of a passphrase: below it, the key file can be guessed open offline.
const PASSPHRASE_BYTES_MIN: usize = 10;

/// The most bytes of a passphrase: a terminal line.
const PASSPHRASE_BYTES_MAX: usize = 1_024;

/// The most bytes of a public key line. An Ed25519 key has under 200 with a comment.
const PUBLIC_BYTES_MAX: usize = 4_096;

/// The most bytes of an armoured signature. Ours have about 300.
const SIGNATURE_BYTES_MAX: usize = 4_096;

/// Key types people have, which the library is built without.
const UNSUPPORTED: [&str; 6] = [
    "ssh-rsa",
    "ssh-dss",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ecdsa-sha2-nistp256@openssh.com",
];
