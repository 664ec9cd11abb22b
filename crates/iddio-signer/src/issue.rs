//! From what may be certified to the certificate.
//!
//! INVARIANT: a certificate lives [`LIFE_SECS`] from now and not a second longer, and says nothing
//! that [`crate::derive`] did not find in the record, but for the addresses it is good from, which the
//! host's configuration says.

use iddio_core::{json::Value, time::Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyUsagePurpose, PublicKeyData, SanType, SerialNumber, SignatureAlgorithm,
};
use ssh_key::{
    HashAlg, LineEnding, PublicKey, SshSig,
    certificate::{Builder, CertType},
};
use time::{Duration, OffsetDateTime};

use crate::{
    derive::{Enrolment, SshConstraints, X509Constraints},
    keys::{ForSsh, ForX509, KeyName, KeyStore},
};

/// A public key that a client certificate is wanted for: a point of P-256.
#[derive(Clone, Debug)]
pub struct Subject(Vec<u8>);

/// A public key that an SSH certificate is wanted for.
#[derive(Clone, Debug)]
pub struct SshSubject(PublicKey);

/// Nothing could be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IssueError {
    /// The public key is none that certificates are made for.
    #[error("the public key is not {0}")]
    Key(&'static str),
    /// A library could not do what it must be able to do.
    #[error("bug: {0}")]
    Bug(String),
}

// === impl Subject ===

impl Subject {
    /// Reads a SubjectPublicKeyInfo in DER.
    ///
    /// # Errors
    ///
    /// When it is not that of an uncompressed point of P-256.
    pub fn read(der: &[u8]) -> Result<Self, IssueError> {
        let point = der.strip_prefix(P256_PREFIX).filter(|point| point.len() == P256_POINT_BYTES);
        let point = point.filter(|point| point.first() == Some(&UNCOMPRESSED));
        let point = point.ok_or(IssueError::Key("a P-256 key as SubjectPublicKeyInfo"))?;
        Ok(Self(point.to_vec()))
    }
}

impl PublicKeyData for Subject {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &rcgen::PKCS_ECDSA_P256_SHA256
    }
}

// === impl SshSubject ===

impl SshSubject {
    /// Reads a public key as OpenSSH writes it.
    ///
    /// # Errors
    ///
    /// When it is none, or not Ed25519.
    pub fn read(line: &str) -> Result<Self, IssueError> {
        let wrong = IssueError::Key("an Ed25519 key as OpenSSH writes it");
        let key = PublicKey::from_openssh(line);
        let key = key.ok().filter(|key| key.algorithm() == ssh_key::Algorithm::Ed25519);
        key.map(Self).ok_or(wrong)
    }
}

/// Makes an SSH user certificate, good from `sources` alone.
///
/// # Errors
///
/// When a library fails.
pub fn ssh(
    store: &dyn KeyStore,
    subject: SshSubject,
    constraints: &SshConstraints,
    sources: &str,
    seq: u64,
    now: Timestamp,
) -> Result<String, IssueError> {
    let SshConstraints { key_id, principal, force_command, extensions } = constraints;
    let bug = |error: ssh_key::Error| IssueError::Bug(error.to_string());
    let now = now.0 / 1_000_000;
    let (after, before) = (now.saturating_sub(SKEW_SECS), now.saturating_add(LIFE_SECS));
    let mut nonce = vec![0; 32];
    getrandom::fill(&mut nonce).map_err(|_| IssueError::Bug("no random bytes".to_owned()))?;
    let mut builder =
        Builder::new(nonce, subject.0.key_data().clone(), after, before).map_err(bug)?;
    builder.cert_type(CertType::User).map_err(bug)?;
    builder.serial(seq).map_err(bug)?;
    builder.key_id(key_id).map_err(bug)?;
    builder.valid_principal(principal).map_err(bug)?;
    if let Some(command) = force_command {
        builder.critical_option("force-command", command).map_err(bug)?;
    }
    builder.critical_option("source-address", sources).map_err(bug)?;
    for extension in *extensions {
        builder.extension(*extension, "").map_err(bug)?;
    }
    let signer = ForSsh::of(store, KeyName::Ssh).map_err(|e| IssueError::Bug(e.to_string()))?;
    builder.sign(&signer).and_then(|certificate| certificate.to_openssh()).map_err(bug)
}

/// Makes a client certificate.
///
/// # Errors
///
/// When a library fails.
pub fn x509(
    store: &dyn KeyStore,
    trust_domain: &str,
    subject: &Subject,
    constraints: &X509Constraints,
    seq: u64,
    now: Timestamp,
) -> Result<String, IssueError> {
    let X509Constraints { agent, uri } = constraints;
    let now = moment(now)?;
    let mut params = CertificateParams::default();
    params.serial_number = Some(serial(seq)?);
    params.distinguished_name = named(agent);
    let uri = uri.as_str().try_into().map_err(bug)?;
    params.subject_alt_names = vec![SanType::URI(uri)];
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    params.not_before = now - Duration::seconds(SKEW_SECS.cast_signed());
    params.not_after = now + Duration::seconds(LIFE_SECS.cast_signed());
    let authority = authority(trust_domain);
    let issuer = Issuer::from_params(&authority, ForX509::of(store));
    Ok(params.signed_by(subject, &issuer).map_err(bug)?.pem())
}

/// Makes the certificate of the CA itself. It is made once, and kept.
///
/// # Errors
///
/// When a library fails.
pub fn x509_authority(
    store: &dyn KeyStore,
    trust_domain: &str,
    now: Timestamp,
) -> Result<String, IssueError> {
    let mut params = authority(trust_domain);
    let now = moment(now)?;
    params.serial_number = Some(serial(0)?);
    params.not_before = now - Duration::seconds(SKEW_SECS.cast_signed());
    params.not_after = now + Duration::days(AUTHORITY_DAYS);
    let own = ForX509::of(store);
    Ok(params.self_signed(&own).map_err(bug)?.pem())
}

/// Makes a registry entry, and its signature (SSHSIG).
///
/// # Errors
///
/// When a library fails.
pub fn registry(
    store: &dyn KeyStore,
    enrolment: &Enrolment,
    seq: u64,
    action: iddio_core::digest::Digest,
) -> Result<(String, String), IssueError> {
    let Enrolment { operator, key, groups } = enrolment;
    let text = |text: &String| Value::text(text.as_str());
    let members = [
        ("action_digest", Value::Text(action.to_hex())),
        ("format", Value::Int(1)),
        ("groups", Value::Array(groups.iter().map(text).collect())),
        ("key", text(key)),
        ("operator", text(operator)),
        ("seq", Value::Int(seq)),
    ];
    let members = members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let entry = String::from_utf8(Value::Object(members).to_canonical()).map_err(bug)?;
    let signer = ForSsh::of(store, KeyName::Registry).map_err(bug)?;
    let signature = SshSig::sign(&signer, REGISTRY_NAMESPACE, HashAlg::Sha512, entry.as_bytes());
    let signature = signature.and_then(|signature| signature.to_pem(LineEnding::LF));
    Ok((entry, signature.map_err(bug)?))
}

/// Whom certificates are issued by.
fn authority(trust_domain: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = named(&format!("iddio {trust_domain}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn named(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

/// Returns a serial number: nobody guesses it, and its end is the number of the record.
fn serial(seq: u64) -> Result<SerialNumber, IssueError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(bug)?;
    let (first, last) = bytes.split_at_mut(8);
    last.copy_from_slice(&seq.to_be_bytes());
    // Positive, and of one length.
    if let Some(byte) = first.first_mut() {
        *byte = *byte & 0x3f | 0x40;
    }
    Ok(SerialNumber::from_slice(&bytes))
}

fn moment(now: Timestamp) -> Result<OffsetDateTime, IssueError> {
    let secs = i64::try_from(now.0 / 1_000_000).map_err(bug)?;
    OffsetDateTime::from_unix_timestamp(secs).map_err(bug)
}

fn bug(error: impl ToString) -> IssueError {
    IssueError::Bug(error.to_string())
}

/// How long a certificate lives: what one connection needs to be made.
pub const LIFE_SECS: u64 = 300;

/// The namespace of a registry entry's signature.
pub const REGISTRY_NAMESPACE: &str = "iddio-registry";

/// How far behind ours a clock may be that checks a certificate.
const SKEW_SECS: u64 = 30;

/// How long the CA's own certificate lives.
const AUTHORITY_DAYS: i64 = 3_650;

/// A SubjectPublicKeyInfo of P-256 up to the point (RFC 5480).
const P256_PREFIX: &[u8] = &[
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// The first byte of a point that is written whole.
const UNCOMPRESSED: u8 = 4;

const P256_POINT_BYTES: usize = 65;
