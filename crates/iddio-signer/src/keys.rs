//! The keys: where they lie, and what signs with them.
//!
//! A [`KeyStore`] signs and shows public halves; nothing else comes out of it. [`Wrapped`] is the one
//! there is: a file for each key, sealed with AES-256-GCM under a wrapping key that lies elsewhere, as
//! a systemd credential or a file of the signer's alone. A module or a TPM would be another.
//!
//! INVARIANT: a private key is in memory of this module and nowhere else in clear; a sealed key opens
//! under its own name only, so that two cannot be swapped.

use std::{
    fmt,
    fs::{self, File},
    io::{Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use aes_gcm::{
    Aes256Gcm, KeyInit,
    aead::{Aead, Payload},
};
use base64ct::{Base64, Encoding};
use ed25519_dalek::{Signer, SigningKey};
use iddio_mint::wrapping::{WRAPPING_BYTES, WRAPPING_HEADER, WrappingError, create_wrapping_key};
use rcgen::{KeyPair, PublicKeyData, SignatureAlgorithm};
use rustix::fs::OFlags;
use zeroize::Zeroizing;

/// Signs, and never tells.
pub trait KeyStore: Send + Sync {
    /// Returns the public half: 32 bytes of Ed25519, or an uncompressed point of P-256.
    fn public(&self, key: KeyName) -> Vec<u8>;

    /// Returns the signature of `message`: 64 bytes of Ed25519, or ECDSA with SHA-256 in DER.
    ///
    /// # Errors
    ///
    /// When the key cannot be used.
    fn sign(&self, key: KeyName, message: &[u8]) -> Result<Vec<u8>, KeyStoreError>;
}

/// Which key.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum KeyName {
    /// Signs checkpoints: Ed25519.
    Checkpoint,
    /// Signs registry entries of approvers: Ed25519.
    Registry,
    /// Signs SSH user certificates: Ed25519.
    Ssh,
    /// Signs X.509 certificates: ECDSA on P-256.
    X509,
}

/// Keys in files, wrapped.
pub struct Wrapped {
    checkpoint: SigningKey,
    registry: SigningKey,
    ssh: SigningKey,
    x509: KeyPair,
}

/// The key that the others are wrapped under.
pub struct WrappingKey(Zeroizing<[u8; WRAPPING_BYTES]>);

/// Whose a wrapping key may be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kept {
    /// systemd passed it as a credential: root's or ours, closed to others.
    AsCredential,
    /// A file of ours alone.
    InFile,
}

/// A key could not be made, opened or used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyStoreError {
    /// A file could not be read or written.
    #[error("`{}`: {source}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A file is not the signer's alone.
    #[error("`{}` is not a file that the signer alone may read", .0.display())]
    Open(PathBuf),
    /// A file holds something else, or was sealed under another key or another name.
    #[error("`{}` does not open under this wrapping key", .0.display())]
    Sealed(PathBuf),
    /// The system gave no random bytes.
    #[error("no random bytes")]
    Random,
    /// There is no wrapping key.
    #[error(transparent)]
    Wrapping(#[from] WrappingError),
    /// A library could not do what it must be able to do.
    #[error("bug: {0}")]
    Bug(&'static str),
}

/// Lends a key to the library that makes X.509 certificates.
pub struct ForX509<'a> {
    store: &'a dyn KeyStore,
    point: Vec<u8>,
}

/// Lends an Ed25519 key to the library that makes SSH certificates and signatures.
pub struct ForSsh<'a> {
    store: &'a dyn KeyStore,
    key: KeyName,
    public: [u8; 32],
}

// === impl KeyName ===

impl KeyName {
    /// Every key.
    pub const ALL: [Self; 4] = [Self::Checkpoint, Self::Registry, Self::Ssh, Self::X509];

    /// Returns the word that its file is called by and sealed under.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Checkpoint => "checkpoint",
            Self::Registry => "registry",
            Self::Ssh => "ssh",
            Self::X509 => "x509",
        }
    }
}

// === impl Wrapped ===

impl Wrapped {
    /// Opens the keys in `dir`.
    ///
    /// # Errors
    ///
    /// When one is missing, is open to others, or does not open under `wrapping`.
    pub fn open(dir: &Path, wrapping: &WrappingKey) -> Result<Self, KeyStoreError> {
        let seed = |name: KeyName| {
            let path = path_of(dir, name);
            let seed = wrapping.unseal(name, &path)?;
            let seed: &[u8; 32] =
                seed.as_slice().try_into().map_err(|_| KeyStoreError::Sealed(path))?;
            Ok::<_, KeyStoreError>(SigningKey::from_bytes(seed))
        };
        let path = path_of(dir, KeyName::X509);
        let der = wrapping.unseal(KeyName::X509, &path)?;
        let x509 = KeyPair::try_from(der.as_slice()).map_err(|_| KeyStoreError::Sealed(path))?;
        Ok(Self {
            checkpoint: seed(KeyName::Checkpoint)?,
            registry: seed(KeyName::Registry)?,
            ssh: seed(KeyName::Ssh)?,
            x509,
        })
    }

    /// Makes the keys that are not in `dir` yet. None is ever replaced.
    ///
    /// # Errors
    ///
    /// When one cannot be made or written.
    pub fn furnish(dir: &Path, wrapping: &WrappingKey) -> Result<(), KeyStoreError> {
        for name in KeyName::ALL {
            let path = path_of(dir, name);
            if fs::symlink_metadata(&path).is_ok() {
                continue;
            }
            let secret = match name {
                KeyName::Checkpoint | KeyName::Registry | KeyName::Ssh => {
                    let mut seed = Zeroizing::new(vec![0; 32]);
                    getrandom::fill(&mut seed).map_err(|_| KeyStoreError::Random)?;
                    seed
                }
                KeyName::X509 => {
                    let pair = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256);
                    let pair = pair.map_err(|_| KeyStoreError::Bug("no P-256 key"))?;
                    Zeroizing::new(pair.serialize_der())
                }
            };
            create(&path, &wrapping.seal(name, &secret)?)?;
        }
        Ok(())
    }

    /// Takes over the seed of a checkpoint key that a log was begun with.
    ///
    /// # Errors
    ///
    /// When there is one already.
    pub fn adopt_checkpoint(
        dir: &Path,
        wrapping: &WrappingKey,
        seed: &[u8; 32],
    ) -> Result<(), KeyStoreError> {
        let path = path_of(dir, KeyName::Checkpoint);
        create(&path, &wrapping.seal(KeyName::Checkpoint, seed)?)
    }

    fn ed25519(&self, name: KeyName) -> Option<&SigningKey> {
        match name {
            KeyName::Checkpoint => Some(&self.checkpoint),
            KeyName::Registry => Some(&self.registry),
            KeyName::Ssh => Some(&self.ssh),
            KeyName::X509 => None,
        }
    }
}

impl KeyStore for Wrapped {
    fn public(&self, key: KeyName) -> Vec<u8> {
        match self.ed25519(key) {
            Some(key) => key.verifying_key().to_bytes().to_vec(),
            None => self.x509.der_bytes().to_vec(),
        }
    }

    fn sign(&self, key: KeyName, message: &[u8]) -> Result<Vec<u8>, KeyStoreError> {
        match self.ed25519(key) {
            Some(key) => Ok(Signer::<ed25519_dalek::Signature>::sign(key, message).to_vec()),
            None => rcgen::SigningKey::sign(&self.x509, message)
                .map_err(|_| KeyStoreError::Bug("P-256 did not sign")),
        }
    }
}

impl fmt::Debug for Wrapped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Wrapped(***)")
    }
}

// === impl WrappingKey ===

impl WrappingKey {
    /// Makes a new one in a new file, mode 0600.
    ///
    /// # Errors
    ///
    /// When the file exists or cannot be written, or there are no random bytes.
    pub fn create(path: &Path) -> Result<Self, KeyStoreError> {
        create_wrapping_key(path)?;
        Self::open(path, Kept::InFile)
    }

    /// Reads the one in `path`.
    ///
    /// # Errors
    ///
    /// When others could read it, or it holds something else.
    pub fn open(path: &Path, kept: Kept) -> Result<Self, KeyStoreError> {
        let text = read(path, kept)?;
        let sealed = || KeyStoreError::Sealed(path.to_owned());
        let text = std::str::from_utf8(&text).map_err(|_| sealed())?;
        let digits = text.strip_prefix(WRAPPING_HEADER).and_then(|rest| rest.strip_prefix('\n'));
        let digits = digits.and_then(|rest| rest.strip_suffix('\n')).ok_or_else(sealed)?;
        let mut bytes = Zeroizing::new([0; WRAPPING_BYTES]);
        let decoded = Base64::decode(digits, bytes.as_mut()).map_err(|_| sealed())?;
        if decoded.len() != WRAPPING_BYTES {
            return Err(sealed());
        }
        Ok(Self(bytes))
    }

    fn seal(&self, name: KeyName, secret: &[u8]) -> Result<Vec<u8>, KeyStoreError> {
        let mut nonce = [0; NONCE_BYTES];
        getrandom::fill(&mut nonce).map_err(|_| KeyStoreError::Random)?;
        let header = header(name);
        let payload = Payload { msg: secret, aad: header.as_bytes() };
        let sealed = self.cipher().encrypt(&nonce.into(), payload);
        let sealed = sealed.map_err(|_| KeyStoreError::Bug("a key could not be sealed"))?;
        let digits = Base64::encode_string(&[&nonce[..], &sealed].concat());
        Ok(format!("{header}\n{digits}\n").into_bytes())
    }

    fn unseal(&self, name: KeyName, path: &Path) -> Result<Zeroizing<Vec<u8>>, KeyStoreError> {
        let text = read(path, Kept::InFile)?;
        let sealed = || KeyStoreError::Sealed(path.to_owned());
        let text = std::str::from_utf8(&text).map_err(|_| sealed())?;
        let header = header(name);
        let digits = text.strip_prefix(&header).and_then(|rest| rest.strip_prefix('\n'));
        let digits = digits.and_then(|rest| rest.strip_suffix('\n')).ok_or_else(sealed)?;
        let bytes = Base64::decode_vec(digits).map_err(|_| sealed())?;
        let (nonce, bytes) = bytes.split_first_chunk::<NONCE_BYTES>().ok_or_else(sealed)?;
        let payload = Payload { msg: bytes, aad: header.as_bytes() };
        let secret = self.cipher().decrypt(&(*nonce).into(), payload);
        secret.map(Zeroizing::new).map_err(|_| sealed())
    }

    fn cipher(&self) -> Aes256Gcm {
        Aes256Gcm::new(&(*self.0).into())
    }
}

impl fmt::Debug for WrappingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WrappingKey(***)")
    }
}

// === impl ForX509 ===

impl<'a> ForX509<'a> {
    /// Lends the X.509 key of `store`.
    pub fn of(store: &'a dyn KeyStore) -> Self {
        Self { store, point: store.public(KeyName::X509) }
    }
}

impl PublicKeyData for ForX509<'_> {
    fn der_bytes(&self) -> &[u8] {
        &self.point
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &rcgen::PKCS_ECDSA_P256_SHA256
    }
}

impl rcgen::SigningKey for ForX509<'_> {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        let signature = self.store.sign(KeyName::X509, message);
        signature.map_err(|_| rcgen::Error::RemoteKeyError)
    }
}

// === impl ForSsh ===

impl<'a> ForSsh<'a> {
    /// Lends an Ed25519 key of `store`.
    ///
    /// # Errors
    ///
    /// When `key` is none.
    pub fn of(store: &'a dyn KeyStore, key: KeyName) -> Result<Self, KeyStoreError> {
        let public = store.public(key).try_into();
        let public = public.map_err(|_| KeyStoreError::Bug("not an Ed25519 key"))?;
        Ok(Self { store, key, public })
    }

    /// Returns the public half as OpenSSH writes it.
    pub fn line(&self) -> String {
        let key = ssh_key::PublicKey::new(ssh_key::SigningKey::public_key(self), "");
        key.to_openssh().map(|line| line.trim_end().to_owned()).unwrap_or_default()
    }
}

impl Signer<ssh_key::Signature> for ForSsh<'_> {
    fn try_sign(
        &self,
        message: &[u8],
    ) -> Result<ssh_key::Signature, ed25519_dalek::SignatureError> {
        let failed = |_| ed25519_dalek::SignatureError::new();
        let bytes = self.store.sign(self.key, message).map_err(failed)?;
        let signature = ssh_key::Signature::new(ssh_key::Algorithm::Ed25519, bytes);
        signature.map_err(|_| ed25519_dalek::SignatureError::new())
    }
}

impl ssh_key::SigningKey for ForSsh<'_> {
    fn public_key(&self) -> ssh_key::public::KeyData {
        ssh_key::public::Ed25519PublicKey(self.public).into()
    }
}

fn path_of(dir: &Path, name: KeyName) -> PathBuf {
    dir.join(format!("{}.key", name.name()))
}

fn header(name: KeyName) -> String {
    format!("{SEALED_HEADER} {}", name.name())
}

/// Reads a file that holds a secret.
fn read(path: &Path, kept: Kept) -> Result<Zeroizing<Vec<u8>>, KeyStoreError> {
    let io = |source| KeyStoreError::Io { path: path.to_owned(), source };
    let mut options = File::options();
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    options.read(true).custom_flags(flags.bits().cast_signed());
    let file = options.open(path).map_err(io)?;
    let metadata = file.metadata().map_err(io)?;
    let own = metadata.uid() == rustix::process::geteuid().as_raw();
    let closed = match kept {
        // systemd gives the service's user access by an access list, which shows as group bits.
        Kept::AsCredential => (own || metadata.uid() == 0) && metadata.mode() & 0o027 == 0,
        Kept::InFile => own && metadata.mode() & 0o077 == 0 && metadata.nlink() == 1,
    };
    if !metadata.is_file() || !closed {
        return Err(KeyStoreError::Open(path.to_owned()));
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(KEY_FILE_BYTES_MAX));
    file.take(KEY_FILE_BYTES_MAX as u64).read_to_end(&mut bytes).map_err(io)?;
    Ok(bytes)
}

/// Creates a file that holds a secret, and makes it durable.
fn create(path: &Path, bytes: &[u8]) -> Result<(), KeyStoreError> {
    let io = |source| KeyStoreError::Io { path: path.to_owned(), source };
    let mut options = File::options();
    options.write(true).create_new(true).mode(0o400);
    let mut file = options.open(path).map_err(io)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    let written = written.and_then(|()| match path.parent() {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    });
    written.map_err(|source| {
        // Best effort: a half key must not be found later.
        let _ = fs::remove_file(path);
        io(source)
    })
}

/// The first word of a file with a wrapped key; its name follows.
const SEALED_HEADER: &str = "iddio-wrapped-key/v1";

/// What AES-GCM takes. A key is sealed once or a few times, so random ones never meet.
const NONCE_BYTES: usize = 12;

/// The most bytes of a key file: a P-256 key in PKCS#8 has under 200.
const KEY_FILE_BYTES_MAX: usize = 4_096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_lie_wrapped_and_open_under_their_own_name_and_wrapping_key_alone() {
        let dir = tempfile::tempdir().unwrap();
        let wrapping = WrappingKey::create(&dir.path().join("wrapping")).unwrap();
        Wrapped::furnish(dir.path(), &wrapping).unwrap();
        let store = Wrapped::open(dir.path(), &wrapping).unwrap();
        // Furnishing again replaces nothing.
        Wrapped::furnish(dir.path(), &wrapping).unwrap();
        let again = WrappingKey::open(&dir.path().join("wrapping"), Kept::InFile).unwrap();
        let again = Wrapped::open(dir.path(), &again).unwrap();
        for name in KeyName::ALL {
            assert_eq!(store.public(name), again.public(name));
            let text = fs::read(path_of(dir.path(), name)).unwrap();
            let secret = wrapping.unseal(name, &path_of(dir.path(), name)).unwrap();
            assert!(!text.windows(secret.len().min(16)).any(|w| w == &secret[..w.len()]));
        }
        let other = WrappingKey::create(&dir.path().join("other")).unwrap();
        assert!(matches!(Wrapped::open(dir.path(), &other), Err(KeyStoreError::Sealed(_))));
        // Two keys that were swapped open under neither name.
        fs::rename(dir.path().join("ssh.key"), dir.path().join("aside")).unwrap();
        fs::copy(dir.path().join("registry.key"), dir.path().join("ssh.key")).unwrap();
        assert!(matches!(Wrapped::open(dir.path(), &wrapping), Err(KeyStoreError::Sealed(_))));
    }

    #[test]
    fn a_key_file_that_others_may_read_is_not_read() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("wrapping");
        WrappingKey::create(&path).unwrap();
        for (mode, kept, fits) in [
            (0o400, Kept::InFile, true),
            (0o440, Kept::InFile, false),
            (0o440, Kept::AsCredential, true),
            (0o444, Kept::AsCredential, false),
            (0o460, Kept::AsCredential, false),
        ] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(WrappingKey::open(&path, kept).is_ok(), fits, "{mode:o} {kept:?}");
        }
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(WrappingKey::open(&link, Kept::AsCredential).is_err());
    }
}
