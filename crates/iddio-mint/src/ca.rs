//! The authority of a home: who vouches for the gateway's server and for agents with a certificate.
//!
//! Its key lies in the home and is lent to nobody: callers hand in names and get a certificate with a
//! key of its own. Where a host has a signer, that one's authority vouches for agents as well; this
//! one is there in every home.
//!
//! INVARIANT: a certificate of an agent says one name, `spiffe://iddio.local/agent/NAME`, and is good
//! for clients alone; one of a server is good for servers alone. Neither can vouch for another.

use std::{fmt, fs, io, os::unix::fs::DirBuilderExt, path::Path};

use iddio_core::time::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, SanType, SerialNumber,
};
use sha2::{Digest, Sha256};
use time::{Duration, OffsetDateTime};
use zeroize::Zeroizing;

use crate::file::{FileError, create_private, read_private, replace_private};

/// The authority of a home, with its key.
pub struct Authority {
    certificate: String,
    key: Zeroizing<KeyPair>,
}

/// An authority, and whether it is new.
#[derive(Debug)]
pub enum Opened {
    /// It was there.
    Found(Authority),
    /// It was made just now.
    Made(Authority),
}

/// A certificate and its key.
pub struct Issued {
    /// The certificate, PEM.
    pub certificate: String,
    /// What records say of it.
    pub facts: Facts,
    key: Zeroizing<String>,
}

/// What is known of a certificate without its key.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Facts {
    /// Its serial number, in lower-case hexadecimal digits.
    pub serial: String,
    /// The SHA-256 of its DER, in lower-case hexadecimal digits.
    pub fingerprint: String,
    /// When it ends.
    pub until: Timestamp,
}

/// No certificate was made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CaError {
    /// A library could not do what it must be able to do.
    #[error("bug: {0}")]
    Bug(String),
    /// A file that holds a key could not be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// The authority's key is none.
    #[error("`{0}` holds no key")]
    Key(String),
    /// A name is none that certificates have.
    #[error("`{0}` is no name of a server: use a DNS name or an address")]
    Name(String),
}

// === impl Authority ===

impl Authority {
    /// Opens the authority in `directory`, making what is not there.
    ///
    /// # Errors
    ///
    /// When a file cannot be read or made, or others may read the key.
    pub fn open_or_make(directory: &Path, now: Timestamp) -> Result<Opened, CaError> {
        let io = |path: &Path| {
            let path = path.to_owned();
            move |source| CaError::File(FileError::Io { path, source })
        };
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(directory);
        made.map_err(io(directory))?;
        let (key, certificate) = (directory.join(KEY_FILE), directory.join(CERTIFICATE_FILE));
        let fresh = KeyPair::generate().map(Zeroizing::new).map_err(bug)?;
        let text = Zeroizing::new(fresh.serialize_pem());
        // Whoever was first made the key that counts.
        match create_private(&key, text.as_bytes()) {
            Ok(()) | Err(FileError::Exists(_)) => {}
            Err(error) => return Err(error.into()),
        }
        let key = read_key(&key)?;
        match fs::read_to_string(&certificate) {
            Ok(certificate) => Ok(Opened::Found(Self { certificate, key })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let made = own(&key, now)?;
                replace_private(&certificate, made.as_bytes())?;
                Ok(Opened::Made(Self { certificate: made, key }))
            }
            Err(source) => Err(io(&certificate)(source)),
        }
    }

    /// Its own certificate, PEM: what clients and gateways believe.
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// Makes a certificate for a server that goes by these names and addresses.
    ///
    /// # Errors
    ///
    /// When one of them is none.
    pub fn server(&self, names: &[String], now: Timestamp) -> Result<Issued, CaError> {
        let mut params = CertificateParams::default();
        for name in names {
            let wrong = || CaError::Name(name.clone());
            let name = match name.parse() {
                Ok(address) => SanType::IpAddress(address),
                Err(_) if is_dns(name) => {
                    SanType::DnsName(name.as_str().try_into().map_err(|_| wrong())?)
                }
                Err(_) => return Err(wrong()),
            };
            params.subject_alt_names.push(name);
        }
        params.distinguished_name = named("iddio gateway");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.issue(params, SERVER_DAYS, now)
    }

    /// Makes a certificate for an agent, whose name was looked at where agents are registered.
    ///
    /// # Errors
    ///
    /// When a library fails.
    pub fn agent(&self, name: &str, now: Timestamp) -> Result<Issued, CaError> {
        let mut params = CertificateParams::default();
        let uri = format!("{AGENT_URI}{name}");
        params.subject_alt_names = vec![SanType::URI(uri.as_str().try_into().map_err(bug)?)];
        params.distinguished_name = named(name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.issue(params, AGENT_DAYS, now)
    }

    fn issue(
        &self,
        mut params: CertificateParams,
        days: i64,
        now: Timestamp,
    ) -> Result<Issued, CaError> {
        let (from, until) = life(days, now)?;
        let serial = serial()?;
        params.serial_number = Some(SerialNumber::from_slice(&serial));
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        (params.not_before, params.not_after) = (from, until);
        let key = KeyPair::generate().map(Zeroizing::new).map_err(bug)?;
        let authority = authority();
        let issuer = Issuer::from_params(&authority, &*self.key);
        let made = params.signed_by(&*key, &issuer).map_err(bug)?;
        let fingerprint = hex(&Sha256::digest(made.der()));
        let secs = u64::try_from(until.unix_timestamp()).map_err(bug)?;
        let until = Timestamp(secs.saturating_mul(1_000_000));
        let facts = Facts { serial: hex(&serial), fingerprint, until };
        let (certificate, key) = (made.pem(), Zeroizing::new(key.serialize_pem()));
        Ok(Issued { certificate, facts, key })
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Authority(***)")
    }
}

// === impl Opened ===

impl Opened {
    /// Returns the authority, new or not.
    pub fn authority(&self) -> &Authority {
        match self {
            Self::Found(authority) | Self::Made(authority) => authority,
        }
    }
}

// === impl Issued ===

impl Issued {
    /// Returns the key, PEM, to hand it to whom the certificate is for.
    pub fn dangerous_reveal(&self) -> &str {
        &self.key
    }

    /// Writes the certificate and then the key into one private file, which is replaced whole.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn store(&self, path: &Path) -> Result<(), CaError> {
        let text = Zeroizing::new(format!("{}{}", self.certificate, self.key.as_str()));
        Ok(replace_private(path, text.as_bytes())?)
    }
}

impl fmt::Debug for Issued {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issued").field("facts", &self.facts).field("key", &"***").finish()
    }
}

fn read_key(path: &Path) -> Result<Zeroizing<KeyPair>, CaError> {
    let none = || CaError::Key(path.display().to_string());
    let bytes = read_private(path)?;
    let text = std::str::from_utf8(&bytes).map_err(|_| none())?;
    KeyPair::from_pem(text).map(Zeroizing::new).map_err(|_| none())
}

/// Makes the authority's own certificate.
fn own(key: &KeyPair, now: Timestamp) -> Result<String, CaError> {
    let mut params = authority();
    params.serial_number = Some(SerialNumber::from_slice(&serial()?));
    (params.not_before, params.not_after) = life(AUTHORITY_DAYS, now)?;
    Ok(params.self_signed(key).map_err(bug)?.pem())
}

/// Who issues.
fn authority() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = named("iddio home authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn named(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

/// Whether a text is a DNS name as certificates have them.
fn is_dns(name: &str) -> bool {
    let sound = |label: &str| {
        let letter = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        (1..=63).contains(&label.len())
            && label.bytes().all(letter)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.len() <= 253 && name.split('.').all(sound)
}

/// Draws a serial number that nobody guesses, positive and of one length.
fn serial() -> Result<[u8; SERIAL_BYTES], CaError> {
    let mut bytes = [0; SERIAL_BYTES];
    getrandom::fill(&mut bytes).map_err(bug)?;
    if let Some(first) = bytes.first_mut() {
        *first = *first & 0x3f | 0x40;
    }
    Ok(bytes)
}

fn life(days: i64, now: Timestamp) -> Result<(OffsetDateTime, OffsetDateTime), CaError> {
    let secs = i64::try_from(now.0 / 1_000_000).map_err(bug)?;
    let now = OffsetDateTime::from_unix_timestamp(secs).map_err(bug)?;
    Ok((now - Duration::seconds(SKEW_SECS), now + Duration::days(days)))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bug(error: impl ToString) -> CaError {
    CaError::Bug(error.to_string())
}

/// What the names of agents begin with.
pub const AGENT_URI: &str = "spiffe://iddio.local/agent/";

/// The authority's certificate in its directory: public.
pub const CERTIFICATE_FILE: &str = "ca.pem";

const KEY_FILE: &str = "ca.key";

/// How long the authority lives.
const AUTHORITY_DAYS: i64 = 3_650;

/// How long a server's certificate lives: clients of other makers believe none that lives longer, and
/// the gateway renews it by itself.
const SERVER_DAYS: i64 = 90;

/// How long an agent's certificate lives. Revoking one takes effect at once, so that this only bounds
/// how long a forgotten one is good.
const AGENT_DAYS: i64 = 365;

/// How far behind ours a clock may be that checks a certificate.
const SKEW_SECS: i64 = 300;

const SERIAL_BYTES: usize = 16;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const NOW: Timestamp = Timestamp(1_790_000_000_000_000);

    #[test]
    fn an_authority_is_made_once_and_its_key_is_private() {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().join("tls");
        let first = Authority::open_or_make(&home, NOW).unwrap();
        assert!(matches!(first, Opened::Made(_)));
        let again = Authority::open_or_make(&home, NOW).unwrap();
        assert!(matches!(again, Opened::Found(_)));
        assert_eq!(first.authority().certificate(), again.authority().certificate());
        let mode = |name: &str| fs::metadata(home.join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(KEY_FILE), mode(CERTIFICATE_FILE)), (0o600, 0o600));
        fs::set_permissions(home.join(KEY_FILE), fs::Permissions::from_mode(0o640)).unwrap();
        assert!(Authority::open_or_make(&home, NOW).is_err());
    }

    #[test]
    fn a_key_without_its_certificate_gets_one_again() {
        let dir = tempfile::tempdir().unwrap();
        let _ = Authority::open_or_make(dir.path(), NOW).unwrap();
        let key = fs::read(dir.path().join(KEY_FILE)).unwrap();
        fs::remove_file(dir.path().join(CERTIFICATE_FILE)).unwrap();
        assert!(matches!(Authority::open_or_make(dir.path(), NOW).unwrap(), Opened::Made(_)));
        assert_eq!(fs::read(dir.path().join(KEY_FILE)).unwrap(), key);
    }

    #[test]
    fn every_certificate_has_a_number_and_a_key_of_its_own_and_shows_none_of_it() {
        let dir = tempfile::tempdir().unwrap();
        let opened = Authority::open_or_make(dir.path(), NOW).unwrap();
        let (first, second) = (
            opened.authority().agent("claude", NOW).unwrap(),
            opened.authority().agent("claude", NOW).unwrap(),
        );
        assert_ne!(first.facts.serial, second.facts.serial);
        assert_ne!(first.dangerous_reveal(), second.dangerous_reveal());
        assert!(!format!("{first:?}{opened:?}").contains("PRIVATE"));
        assert_eq!(first.facts.serial.len(), 2 * SERIAL_BYTES);
    }

    #[test]
    fn a_server_has_names_that_are_names() {
        let dir = tempfile::tempdir().unwrap();
        let opened = Authority::open_or_make(dir.path(), NOW).unwrap();
        let server = |name: &str| opened.authority().server(&[name.to_owned()], NOW);
        for name in ["localhost", "gw.example", "127.0.0.1", "::1"] {
            assert!(server(name).is_ok(), "{name}");
        }
        for name in ["", "*", "a b", "a..b", "-a", "https://a", "a:443", "[::1]"] {
            assert!(matches!(server(name), Err(CaError::Name(_))), "{name}");
        }
    }
}
