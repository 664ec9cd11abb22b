//! The certificate that a listener shows, replaced while it listens.
//!
//! Its files are looked at every second and are taken once they make a pair; whoever makes a connection
//! from then on sees the new one, and nobody loses theirs. A pair that does not load leaves the old one in
//! use, and that is a record. Once an hour whoever can issue another one looks whether that is due. That
//! one is used in place of another is recorded by whoever swaps them, with both fingerprints.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use iddio_core::{
    audit::{AdminEvent, Field},
    digest::Digest,
};
use iddio_runtime::{assemble::Runtime, status::CertificateReport};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use tokio::time::{self, MissedTickBehavior};

/// How a certificate is had.
pub struct Source {
    /// The file that holds it, first of its chain.
    pub certificate: PathBuf,
    /// All files that it and its key are made of.
    pub files: Vec<PathBuf>,
    /// Makes listeners show what the files hold now, or has another one issued where the end is near, and
    /// records either. Where the files are no pair, nothing changes.
    pub tend: Box<dyn Fn() -> Result<(), String> + Send + Sync>,
}

/// A certificate in use.
pub struct Certificate {
    source: Source,
    used: Mutex<Used>,
}

struct Used {
    facts: Facts,
    stamps: Vec<Option<Stamp>>,
}

/// What a certificate says of itself.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Facts {
    fingerprint: Digest,
    not_after: Option<i64>,
}

type Stamp = (u64, u64, i64, i64);

/// The tag and the content of what DER nests.
type Element<'a> = (u8, &'a [u8]);

// === impl Certificate ===

impl Certificate {
    /// Takes one that listeners show already.
    ///
    /// # Errors
    ///
    /// With the reason why it cannot be read.
    pub fn of(source: Source) -> Result<Arc<Self>, String> {
        let stamps = stamps(&source.files);
        let facts = facts(&source)?;
        Ok(Arc::new(Self { source, used: Mutex::new(Used { facts, stamps }) }))
    }

    /// Returns what there is to say of it.
    pub fn report(&self) -> CertificateReport {
        let Facts { fingerprint, not_after } = self.used().facts;
        CertificateReport { fingerprint: fingerprint.to_string(), not_after }
    }

    /// Looks whether the files changed, and takes them if they make a pair. It may wait for a disk.
    pub fn refresh(&self, runtime: &Runtime) {
        let found = stamps(&self.source.files);
        {
            let mut used = self.used();
            if used.stamps == found {
                return;
            }
            used.stamps = found;
        }
        self.tend(runtime);
    }

    fn tend(&self, runtime: &Runtime) {
        let before = self.used().facts.fingerprint;
        match (self.source.tend)().and_then(|()| facts(&self.source)) {
            Ok(facts) => {
                self.used().facts = facts;
                if facts.fingerprint != before {
                    tracing::info!("another certificate is in use");
                }
            }
            Err(error) => {
                tracing::error!(error, "the certificate was not taken");
                refused(runtime, before, &error);
            }
        }
    }

    /// Looks every second, and asks for another one every hour.
    pub async fn watch(self: Arc<Self>, runtime: Arc<Runtime>) {
        let mut ticks = time::interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for tick in 0_u64.. {
            let _ = ticks.tick().await;
            let (own, runtime) = (self.clone(), runtime.clone());
            let looked = tokio::task::spawn_blocking(move || {
                if tick.is_multiple_of(LOOKS_AN_HOUR) {
                    own.tend(&runtime);
                }
                own.refresh(&runtime);
            });
            // One that panicked has said so; the next look is as good.
            let _ = looked.await;
        }
    }

    fn used(&self) -> MutexGuard<'_, Used> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn refused(runtime: &Runtime, before: Digest, error: &str) {
    let fields =
        vec![("fingerprint_before", Field::Digest(before)), ("reason", Field::Text(error.into()))];
    record(runtime, "tls.refused", fields);
}

fn record(runtime: &Runtime, event: &'static str, fields: Vec<(&'static str, Field)>) {
    if let Err(error) = runtime.record(AdminEvent { event, principal: None, fields }) {
        tracing::error!(%error, "unrecorded");
    }
}

fn facts(source: &Source) -> Result<Facts, String> {
    let path = &source.certificate;
    let unread = |error: String| format!("`{}`: {error}", path.display());
    let text = fs::read(path).map_err(|error| unread(error.to_string()))?;
    let first = CertificateDer::from_pem_slice(&text).map_err(|error| unread(error.to_string()))?;
    Ok(Facts { fingerprint: Digest::of_bytes(&first), not_after: not_after(&first) })
}

/// Reads when a certificate ends, for people and for renewal: what is believed of a certificate is the
/// TLS library's business.
fn not_after(certificate: &[u8]) -> Option<i64> {
    let ((_, outer), _) = element(certificate)?;
    let ((_, mut rest), _) = element(outer)?;
    // The version stands first, or not at all.
    if let ((VERSION, _), after) = element(rest)? {
        rest = after;
    }
    // A serial number, an algorithm, an issuer.
    for _ in 0..3 {
        (_, rest) = element(rest)?;
    }
    let ((_, validity), _) = element(rest)?;
    let (_, rest) = element(validity)?;
    let ((tag, text), _) = element(rest)?;
    seconds(tag, text)
}

/// Takes the first element of DER apart: its tag and content, and what follows it.
fn element(bytes: &[u8]) -> Option<(Element<'_>, &[u8])> {
    let (tag, rest) = bytes.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match *first {
        short @ ..=0x7f => (usize::from(short), rest),
        long @ 0x81..=0x84 => {
            let (length, rest) = rest.split_at_checked(usize::from(long & 0x7f))?;
            (length.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some(((*tag, content), rest))
}

/// Reads a time of DER: `YYMMDDHHMMSSZ`, or with four digits of the year.
fn seconds(tag: u8, text: &[u8]) -> Option<i64> {
    let digits = text.strip_suffix(b"Z")?;
    let number = |digits: &[u8]| std::str::from_utf8(digits).ok()?.parse::<i64>().ok();
    let (year, rest) = match tag {
        UTC_TIME => {
            let (year, rest) = digits.split_at_checked(2)?;
            let year = number(year)?;
            (if year < 50 { 2000 + year } else { 1900 + year }, rest)
        }
        GENERALIZED_TIME => {
            let (year, rest) = digits.split_at_checked(4)?;
            (number(year)?, rest)
        }
        _ => return None,
    };
    let parts: Vec<_> = rest.chunks(2).map(number).collect::<Option<_>>()?;
    let [month, day, hour, minute, second] = parts.as_slice() else { return None };
    // Days since 1970-01-01, in years that begin in March, so that the leap day is their last.
    let (year, month) = if *month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    let leaps = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    let days = year * 365 + leaps + (153 * month + 2) / 5 + day - 1 - 719_468;
    Some(((days * 24 + hour) * 60 + minute) * 60 + second)
}

fn stamps(files: &[PathBuf]) -> Vec<Option<Stamp>> {
    let stamp = |path: &PathBuf| {
        let metadata = fs::metadata(path).ok()?;
        Some((metadata.ino(), metadata.size(), metadata.ctime(), metadata.ctime_nsec()))
    };
    files.iter().map(stamp).collect()
}

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How often whoever issues is asked, in looks.
const LOOKS_AN_HOUR: u64 = 3600;

/// Tags of DER.
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_says_when_it_ends() {
        for (tag, text, expected) in [
            (UTC_TIME, "700101000000Z", Some(0)),
            (UTC_TIME, "260228235959Z", Some(1_772_323_199)),
            (UTC_TIME, "240229000000Z", Some(1_709_164_800)),
            (GENERALIZED_TIME, "20501231235959Z", Some(2_556_143_999)),
            (GENERALIZED_TIME, "21000301000000Z", Some(4_107_542_400)),
            (UTC_TIME, "2602282359Z", None),
            (UTC_TIME, "260228235959", None),
            (0x0c, "260228235959Z", None),
        ] {
            assert_eq!(seconds(tag, text.as_bytes()), expected, "{text}");
        }
        let own = rcgen::generate_simple_self_signed(vec!["a".to_owned()]).unwrap();
        // What rcgen gives unless told otherwise: the end of the year 4095.
        assert_eq!(not_after(own.cert.der()), Some(67_090_118_400));
        let der = own.cert.der();
        for end in 0..der.len() {
            let _ = not_after(&der[..end]);
        }
    }
}
