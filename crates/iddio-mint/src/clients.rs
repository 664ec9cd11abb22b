//! Who may connect with a certificate: looked at in the handshake, and again for as long as somebody
//! lives on what was believed once.
//!
//! INVARIANT: a certificate is one agent's or nobody's. It is issued for clients by an authority that
//! was named, has not ended, and says one name: `spiffe://iddio.local/agent/NAME`. A second name, of
//! whatever kind, makes it nobody's. Whether the agent is still registered is not said here.

use std::{fmt, path::Path, sync::Arc};

use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, RootCertStore, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, UnixTime, pem::PemObject},
    server::{
        WebPkiClientVerifier,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
};
use webpki::EndEntityCert;

use crate::tls::TlsError;

/// The authorities that are believed, and what they may say.
pub struct Clients {
    home: Arc<dyn ClientCertVerifier>,
    other: Option<Arc<dyn ClientCertVerifier>>,
    provider: Arc<CryptoProvider>,
}

/// What a certificate says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Certified {
    /// The agent's name.
    pub agent: String,
    /// Whose word it is.
    pub by: By,
}

/// Who issued a certificate.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum By {
    /// The home, which knows the serial numbers that are good: this one, in hexadecimal digits.
    Home(String),
    /// Another authority, whose certificates end soon enough.
    Other,
}

// === impl Clients ===

impl Clients {
    /// Believes the authority of a home, and one beside it: both certificates, PEM.
    ///
    /// # Errors
    ///
    /// When one is no certificate.
    pub fn new(home: &[u8], other: Option<&Path>) -> Result<Arc<Self>, TlsError> {
        let other = match other {
            Some(path) => {
                let text = std::fs::read(path).map_err(|error| {
                    TlsError::Certificate(path.display().to_string(), error.to_string())
                })?;
                Some(verifier(&text)?)
            }
            None => None,
        };
        let provider = Arc::new(aws_lc_rs::default_provider());
        Ok(Arc::new(Self { home: verifier(home)?, other, provider }))
    }

    /// Says whose a chain of certificates is, the first being the client's.
    ///
    /// # Errors
    ///
    /// When it is nobody's at `now`.
    pub fn certify(
        &self,
        chain: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<Certified, rustls::Error> {
        let (own, between) = chain.split_first().ok_or(NOBODY)?;
        let home = match self.home.verify_client_cert(own, between, now) {
            Ok(_) => Vouched::ByHome,
            Err(error) => {
                let other = self.other.as_ref().ok_or(error)?;
                let _ = other.verify_client_cert(own, between, now)?;
                Vouched::ByOther
            }
        };
        said(own, home)
    }

    /// Says whose a chain is that this verified a moment ago, in a handshake. Where two authorities are
    /// believed it is looked at again, since the handshake does not say which of them vouched.
    ///
    /// # Errors
    ///
    /// When it is nobody's at `now`.
    pub fn certified(
        &self,
        chain: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<Certified, rustls::Error> {
        match (chain.split_first(), &self.other) {
            (Some((own, _)), None) => said(own, Vouched::ByHome),
            (_, _) => self.certify(chain, now),
        }
    }
}

/// Who vouched for a certificate.
#[derive(Clone, Copy)]
enum Vouched {
    ByHome,
    ByOther,
}

/// Reads what a certificate says that was verified.
fn said(own: &CertificateDer<'_>, vouched: Vouched) -> Result<Certified, rustls::Error> {
    let read = EndEntityCert::try_from(own).map_err(|_| NOBODY)?;
    let mut names = read.valid_uri_names();
    let name = names.next().ok_or(NOBODY)?;
    let alone = names.next().is_none() && read.valid_dns_names().next().is_none();
    let agent = name.strip_prefix(AGENT_URI).filter(|agent| alone && is_agent(agent));
    let agent = agent.ok_or(NOBODY)?.to_owned();
    let by = match vouched {
        Vouched::ByHome => By::Home(hex(read.serial())),
        Vouched::ByOther => By::Other,
    };
    Ok(Certified { agent, by })
}

impl fmt::Debug for Clients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clients")
    }
}

impl ClientCertVerifier for Clients {
    fn client_auth_mandatory(&self) -> bool {
        // Whoever has a bearer token needs no certificate.
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let chain: Vec<_> = std::iter::once(end_entity).chain(intermediates).cloned().collect();
        self.certify(&chain, now).map(|_| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

fn verifier(authority: &[u8]) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let bad = |error: String| TlsError::Certificate("authority of clients".to_owned(), error);
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(authority) {
        let certificate = certificate.map_err(|error| bad(error.to_string()))?;
        roots.add(certificate).map_err(|error| bad(error.to_string()))?;
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    let built = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
    built.map_err(|error| bad(error.to_string()))
}

/// Whether this can be an agent's name: what agents are registered under, and nothing that a path
/// could be made of.
fn is_agent(name: &str) -> bool {
    let sound = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=AGENT_BYTES_MAX).contains(&name.len())
        && name.bytes().all(sound)
        && name.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What the names of agents begin with: the trust domain and the one kind of path there is.
const AGENT_URI: &str = "spiffe://iddio.local/agent/";

const AGENT_BYTES_MAX: usize = 64;

/// The client is told that access is denied, and nothing more.
const NOBODY: rustls::Error =
    rustls::Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure);

#[cfg(test)]
mod tests {
    use rcgen::{
        BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
        SanType,
    };

    use super::*;

    struct Root {
        params: CertificateParams,
        key: KeyPair,
    }

    impl Root {
        fn new() -> Self {
            let mut params = CertificateParams::default();
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            Self { params, key: KeyPair::generate().unwrap() }
        }

        fn pem(&self) -> String {
            self.params.self_signed(&self.key).unwrap().pem()
        }

        fn leaf(
            &self,
            names: Vec<SanType>,
            usage: ExtendedKeyUsagePurpose,
        ) -> CertificateDer<'static> {
            let mut params = CertificateParams::default();
            params.subject_alt_names = names;
            params.extended_key_usages = vec![usage];
            let key = KeyPair::generate().unwrap();
            let issuer = Issuer::from_params(&self.params, &self.key);
            params.signed_by(&key, &issuer).unwrap().der().clone()
        }
    }

    fn uri(name: &str) -> SanType {
        SanType::URI(name.try_into().unwrap())
    }

    #[test]
    fn a_certificate_is_one_agents_or_nobodys() {
        let root = Root::new();
        let clients = Clients::new(root.pem().as_bytes(), None).unwrap();
        let of = |names: Vec<SanType>| {
            let leaf = root.leaf(names, ExtendedKeyUsagePurpose::ClientAuth);
            clients.certify(&[leaf], UnixTime::now()).map(|certified| certified.agent)
        };
        let good = "spiffe://iddio.local/agent/claude";
        assert_eq!(of(vec![uri(good)]).unwrap(), "claude");
        for bad in [
            "spiffe://iddio.local/agent/",
            "spiffe://iddio.local/agent/a/b",
            "spiffe://iddio.local/agent/a%2fb",
            "spiffe://iddio.local/agent/..",
            "spiffe://iddio.local/agent/claude?x",
            "spiffe://iddio.local/agent//claude",
            "spiffe://iddio.local/Agent/claude",
            "spiffe://iddio.local/operator/claude",
            "spiffe://iddio.locale/agent/claude",
            "spiffe://other/agent/claude",
            "SPIFFE://iddio.local/agent/claude",
            "https://iddio.local/agent/claude",
            "spiffe://iddio.local:1/agent/claude",
        ] {
            assert_eq!(of(vec![uri(bad)]), Err(NOBODY), "{bad}");
        }
        let dns = SanType::DnsName("claude".try_into().unwrap());
        for names in [vec![], vec![dns.clone()], vec![uri(good), dns], vec![uri(good), uri(good)]] {
            assert_eq!(of(names), Err(NOBODY));
        }
    }

    #[test]
    fn what_another_vouches_for_or_what_is_for_servers_is_nobodys() {
        let (root, stranger) = (Root::new(), Root::new());
        let clients = Clients::new(root.pem().as_bytes(), None).unwrap();
        let name = || vec![uri("spiffe://iddio.local/agent/claude")];
        let server = root.leaf(name(), ExtendedKeyUsagePurpose::ServerAuth);
        assert!(clients.certify(&[server], UnixTime::now()).is_err());
        let foreign = stranger.leaf(name(), ExtendedKeyUsagePurpose::ClientAuth);
        assert!(clients.certify(std::slice::from_ref(&foreign), UnixTime::now()).is_err());
        assert!(clients.certify(&[], UnixTime::now()).is_err());
        let dir = tempfile::tempdir().unwrap();
        let other = dir.path().join("other.pem");
        std::fs::write(&other, stranger.pem()).unwrap();
        let both = Clients::new(root.pem().as_bytes(), Some(&other)).unwrap();
        assert_eq!(both.certify(&[foreign], UnixTime::now()).unwrap().by, By::Other);
        let own = root.leaf(name(), ExtendedKeyUsagePurpose::ClientAuth);
        let again = clients.certified(std::slice::from_ref(&own), UnixTime::now()).unwrap();
        assert_eq!(again, both.certified(std::slice::from_ref(&own), UnixTime::now()).unwrap());
        let certified = both.certify(&[own], UnixTime::now()).unwrap();
        assert_eq!(again, certified);
        assert!(matches!(certified.by, By::Home(serial) if !serial.is_empty()));
    }
}
