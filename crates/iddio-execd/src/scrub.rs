//! Takes secrets out of a stream, wherever it is cut.
//!
//! INVARIANT: no whole secret leaves, however its bytes arrive: what could be the beginning of one waits
//! for what follows. What waits is shorter than the longest secret, so memory is bounded, and nothing is
//! let go for having waited long: who prints a secret slowly prints it all the same.
//!
//! Exactly the secrets are taken out, as they are and as programs write them: in JSON, in a URL, in
//! base64. It is no judge of what else looks like one.

use std::{collections::HashMap, sync::Arc};

use zeroize::Zeroizing;

/// The secrets of one run.
#[derive(Clone, Default)]
pub struct Secrets {
    needles: Arc<Needles>,
}

/// Everything to be taken out.
#[derive(Default)]
struct Needles {
    /// In the order of their bytes.
    sorted: Vec<Zeroizing<Vec<u8>>>,
    /// By how they begin, the longest first.
    by_head: HashMap<[u8; VALUE_BYTES_MIN], Vec<usize>>,
}

/// One stream on its way out.
pub struct Scrubber {
    secrets: Secrets,
    held: Zeroizing<Vec<u8>>,
}

// === impl Secrets ===

impl Secrets {
    /// Takes values that must not leave. Short ones are left: they would take out what is none.
    pub fn new<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut needles: Vec<Zeroizing<Vec<u8>>> = Vec::new();
        for value in values.into_iter().filter(|value| VALUE_BYTES_MIN <= value.len()) {
            let lines = value.split(|byte| *byte == b'\n').filter(|l| LINE_BYTES_MIN <= l.len());
            // Keys of many lines are printed line by line.
            let parts = std::iter::once(value).chain(lines.filter(|line| *line != value));
            for part in parts {
                needles.extend(
                    [part.to_vec(), json(part), percent(part), base64(part)].map(Into::into),
                );
            }
        }
        needles.sort_by(|one, other| one.as_slice().cmp(other.as_slice()));
        needles.dedup();
        let mut by_head: HashMap<_, Vec<usize>> = HashMap::new();
        for (at, needle) in needles.iter().enumerate().rev() {
            if let Some(head) = needle.first_chunk::<VALUE_BYTES_MIN>() {
                // What begins with another comes behind it in order, so the longest is first here.
                by_head.entry(*head).or_default().push(at);
            }
        }
        Self { needles: Arc::new(Needles { sorted: needles, by_head }) }
    }

    /// Whether there is nothing to take out.
    pub fn is_empty(&self) -> bool {
        self.needles.sorted.is_empty()
    }

    /// Returns `bytes` without them.
    pub fn clean(&self, bytes: Vec<u8>) -> Vec<u8> {
        if self.is_empty() {
            return bytes;
        }
        let mut scrubber = Scrubber::new(self.clone());
        let mut out = scrubber.push(&bytes);
        out.extend(scrubber.finish());
        out
    }

    fn starting(&self, at: &[u8]) -> Option<usize> {
        let Needles { sorted, by_head } = &*self.needles;
        let these = by_head.get(at.first_chunk::<VALUE_BYTES_MIN>()?)?;
        let mut these = these.iter().filter_map(|at| sorted.get(*at));
        these.find(|needle| at.starts_with(needle)).map(|needle| needle.len())
    }

    /// Whether `rest`, which ends where the stream ends so far, may be the beginning of one.
    fn may_begin(&self, rest: &[u8]) -> bool {
        let sorted = &self.needles.sorted;
        let from = sorted.partition_point(|needle| needle.as_slice() <= rest);
        sorted.get(from).is_some_and(|needle| needle.starts_with(rest))
    }
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("***")
    }
}

// === impl Scrubber ===

impl Scrubber {
    /// Begins a stream.
    pub fn new(secrets: Secrets) -> Self {
        Self { secrets, held: Zeroizing::default() }
    }

    /// Takes the next bytes, and returns what may leave.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<u8> {
        if self.secrets.is_empty() {
            return bytes.to_vec();
        }
        self.held.extend_from_slice(bytes);
        // The longest that begins here may still be coming.
        let (out, rest) = self.take_out(|rest| self.secrets.may_begin(rest));
        self.held = rest;
        out
    }

    /// Ends the stream, and returns the rest of what may leave.
    pub fn finish(&mut self) -> Vec<u8> {
        let (out, _nothing) = self.take_out(|_| false);
        self.held = Zeroizing::default();
        out
    }

    /// Returns what is held without secrets, and what is left of it where `stop` says to wait.
    fn take_out(&self, stop: impl Fn(&[u8]) -> bool) -> (Vec<u8>, Zeroizing<Vec<u8>>) {
        let mut out = Vec::with_capacity(self.held.len());
        let mut rest = self.held.as_slice();
        while let [first, tail @ ..] = rest {
            if stop(rest) {
                break;
            }
            match self.secrets.starting(rest) {
                Some(length) => {
                    out.extend_from_slice(INSTEAD);
                    rest = rest.get(length..).unwrap_or_default();
                }
                None => {
                    out.push(*first);
                    rest = tail;
                }
            }
        }
        (out, Zeroizing::new(rest.to_vec()))
    }
}

/// As JSON writes it inside quotation marks.
fn json(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for byte in bytes {
        match byte {
            b'"' | b'\\' => out.extend([b'\\', *byte]),
            b'\n' => out.extend(b"\\n"),
            b'\r' => out.extend(b"\\r"),
            b'\t' => out.extend(b"\\t"),
            byte => out.push(*byte),
        }
    }
    out
}

/// As a URL writes it.
fn percent(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for byte in bytes {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(*byte),
            byte => out.extend(format!("%{byte:02X}").bytes()),
        }
    }
    out
}

/// As base64 writes it by itself, but for the last digit and the filling, which depend on what follows.
fn base64(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for three in bytes.chunks(3) {
        let mut bits = 0_u32;
        (0..3).for_each(|at| bits = bits << 8 | u32::from(three.get(at).copied().unwrap_or(0)));
        let digits = if three.len() == 3 { 4 } else { three.len() };
        for at in 0..digits {
            let digit = (bits >> (18 - 6 * at)) & 63;
            out.extend(usize::try_from(digit).ok().and_then(|digit| BASE64.get(digit)));
        }
    }
    out
}

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// What stands where a secret stood.
pub const INSTEAD: &[u8] = b"***";

/// Shorter values are found everywhere.
pub const VALUE_BYTES_MIN: usize = 8;

/// Shorter lines of a value are found everywhere.
const LINE_BYTES_MIN: usize = 24;

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &[u8] = b"wJalrXUtnFEMI/K7MDENG+\"key\"";

    #[test]
    fn a_secret_does_not_leave_wherever_the_stream_is_cut() {
        let secrets = Secrets::new([SECRET, b"wJalrXUtnFEMI", b"xxxxxxxy"]);
        let whole = [b"a wJalrXUt ".as_slice(), SECRET, b" xxxxxxxxxxy end wJalrX"].concat();
        let clean = secrets.clean(whole.clone());
        assert_eq!(String::from_utf8_lossy(&clean), "a wJalrXUt *** xxx*** end wJalrX");
        for first in 0..whole.len() {
            for second in first..whole.len() {
                let mut scrubber = Scrubber::new(secrets.clone());
                let mut out = Vec::new();
                let parts = [&whole[..first], &whole[first..second], &whole[second..]];
                parts.iter().for_each(|part| out.extend(scrubber.push(part)));
                out.extend(scrubber.finish());
                assert_eq!(out, clean, "cut at {first} and {second}");
            }
        }
    }

    #[test]
    fn byte_by_byte_nothing_waits_that_begins_no_secret() {
        let mut scrubber = Scrubber::new(Secrets::new([SECRET]));
        assert_eq!(scrubber.push(b"Enter a value: "), b"Enter a value: ");
        let out: Vec<u8> = SECRET.iter().flat_map(|byte| scrubber.push(&[*byte])).collect();
        assert_eq!(out, INSTEAD);
    }

    #[test]
    fn what_programs_make_of_a_secret_does_not_leave_either() {
        let secrets = Secrets::new([SECRET]);
        for form in [json(SECRET), percent(SECRET), base64(SECRET)] {
            assert_eq!(secrets.clean([b"<".as_slice(), &form, b">"].concat()), b"<***>");
        }
        assert_eq!(base64(b"Man"), b"TWFu");
        assert_eq!(base64(b"Ma"), b"TW");
        let key = b"-----BEGIN KEY-----\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\nshort\n";
        let line =
            Secrets::new([key.as_slice()]).clean(b"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA".to_vec());
        assert_eq!(line, INSTEAD);
    }

    #[test]
    fn short_values_and_no_values_change_nothing() {
        for secrets in [Secrets::default(), Secrets::new([b"a".as_slice(), b"", b"1234567"])] {
            assert_eq!(secrets.clean(b"a 1234567".to_vec()), b"a 1234567");
        }
        assert_eq!(format!("{:?}", Secrets::new([SECRET])), "***");
    }
}
