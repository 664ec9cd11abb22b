//! Addresses that are fetched or sent to: `curl http://2852039166/`.
//!
//! An address is judged by where it leads, whatever its spelling: numbers in decimal, octal or
//! hexadecimal, addresses of version 4 within version 6, names with a dot at the end. What gives a
//! machine its credentials is break-glass (threats H08, H09). Nothing is resolved: a name that
//! leads there by its records is for whoever connects.

use std::net::{Ipv4Addr, Ipv6Addr};

use iddio_core::tier::{Class, Tier};

use crate::command::{Found, line::Known};

/// Judges one address, as far as it is known. Files (`file://`) are for the path catalog.
pub(crate) fn judge(text: &str, known: Known) -> Vec<Found> {
    let lower = text.trim().to_ascii_lowercase();
    let mut found = Vec::new();
    let (scheme, rest) = match lower.split_once("://") {
        Some((scheme, rest)) => (scheme, rest),
        None => ("http", lower.as_str()),
    };
    let rest = rest.trim_start_matches('/');
    // Some readers take `\` for `/`: what either reading finds counts.
    let authority = rest.split(['/', '?', '#']).next().unwrap_or("");
    let before = lower.len() - rest.len() + authority.len();
    let host_known = match known {
        Known::Whole => true,
        Known::Prefix(bytes) => before < bytes,
        Known::Any | Known::Pattern => false,
    };
    match (known, host_known) {
        (Known::Whole, _) => {}
        (_, true) => found.push(raise(Tier::Modify, "a path that only the run knows")),
        (_, false) => found.push(raise(Tier::Sensitive, "an address that only the run knows")),
    }
    if host_known && !SCHEMES.contains(&scheme) {
        found.push(raise(Tier::Sensitive, "another protocol than http"));
    }
    let user = authority.rsplit_once('@');
    if user.is_some() {
        found.push(raise(Tier::Sensitive, "a name or password in the address"));
    }
    let hosts = [user.map_or(authority, |(_, host)| host)];
    let backslash = authority.split('\\').next().unwrap_or("");
    for host in hosts.into_iter().chain([backslash]) {
        found.extend(host_of(host));
    }
    found.sort_by_key(|found| std::cmp::Reverse(found.tier));
    found.dedup();
    found
}

fn raise(tier: Tier, text: &'static str) -> Found {
    Found::new(tier, Class::Evasion, "address", text)
}

fn metadata() -> Found {
    let text = "the address that gives a machine its credentials";
    Found::new(Tier::BreakGlass, Class::Identity, "address:metadata", text)
}

/// Judges a host with its port.
fn host_of(text: &str) -> Option<Found> {
    let text = decoded(text);
    if let Some(bracketed) = text.strip_prefix('[') {
        let address = bracketed.split([']', '%']).next().unwrap_or("");
        return match address.parse::<Ipv6Addr>() {
            Ok(address) => version_6(address),
            Err(_) => Some(raise(Tier::Sensitive, "a host that is spelled unusually")),
        };
    }
    let host = text.split(':').next().unwrap_or("").trim_end_matches('.');
    if let Some((address, form)) = number(host) {
        return match version_4(address) {
            Some(found) => Some(found),
            None if form == Form::Usual => None,
            None => Some(raise(Tier::Sensitive, "a host that is spelled unusually")),
        };
    }
    let named = METADATA_NAMES.contains(&host);
    let inside = METADATA_PARTS.iter().any(|part| host.contains(part));
    if named || inside {
        return Some(metadata());
    }
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "-._*".contains(letter);
    match host.chars().all(plain) {
        true => None,
        false => Some(raise(Tier::Sensitive, "a host that is spelled unusually")),
    }
}

/// The host with `%41` and wide digits as what they stand for.
fn decoded(text: &str) -> String {
    let mut plain = String::new();
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        let code = u32::from(letter);
        let pair = letters.as_str().get(..2).filter(|_| letter == '%');
        match pair.and_then(|pair| u8::from_str_radix(pair, 16).ok()) {
            Some(byte) => {
                plain.push(char::from(byte).to_ascii_lowercase());
                letters.nth(1);
            }
            // Fullwidth forms stand this far behind ASCII.
            None if (0xff01..=0xff5e).contains(&code) => {
                let letter = char::from_u32(code - 0xfee0).unwrap_or(letter);
                plain.push(letter.to_ascii_lowercase());
            }
            None if matches!(letter, '\u{3002}' | '\u{ff61}') => plain.push('.'),
            None => plain.push(letter),
        }
    }
    plain
}

/// How an address of version 4 is written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Form {
    /// Otherwise: fewer parts, octal, hexadecimal.
    Unusual,
    /// Four decimal numbers.
    Usual,
}

/// Reads a host as C libraries read numbers.
fn number(host: &str) -> Option<(Ipv4Addr, Form)> {
    let parts: Vec<&str> = host.split('.').collect();
    let (last, first) = parts.split_last()?;
    if PARTS_MAX <= first.len() || host.is_empty() {
        return None;
    }
    let mut address: u64 = 0;
    let mut form = Form::Usual;
    for part in first {
        let (value, usual) = part_value(part)?;
        if 0xff < value {
            return None;
        }
        address = (address << 8) | value;
        form = if usual == Form::Unusual { usual } else { form };
    }
    let (value, usual) = part_value(last)?;
    let room = 8 * (PARTS_MAX - first.len());
    let value = value & u64::MAX.checked_shr(64 - u32::try_from(room).ok()?)?;
    let whole = first.len() + 1 == PARTS_MAX && usual == Form::Usual;
    let address = u32::try_from((address << room) | value).ok()?;
    let form = if whole { form } else { Form::Unusual };
    Some((Ipv4Addr::from(address), form))
}

fn part_value(part: &str) -> Option<(u64, Form)> {
    let octal = part.strip_prefix('0').filter(|rest| !rest.is_empty());
    match (part.strip_prefix("0x"), octal) {
        (Some(digits), _) => Some((u64::from_str_radix(digits, 16).ok()?, Form::Unusual)),
        (None, Some(digits)) => Some((u64::from_str_radix(digits, 8).ok()?, Form::Unusual)),
        (None, None) => Some((part.parse().ok()?, Form::Usual)),
    }
}

fn version_4(address: Ipv4Addr) -> Option<Found> {
    let known = address.is_link_local() || METADATA_ADDRESSES.contains(&address);
    known.then(metadata)
}

/// An address of version 6, and the one of version 4 that it may carry.
fn version_6(address: Ipv6Addr) -> Option<Found> {
    let [a, b, c, _, _, _, g, h] = address.segments();
    let joined = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    let carried = match (a, b) {
        (0x2002, _) => Some(joined(b, c)),
        (0, _) | (0x64, 0xff9b) => Some(joined(g, h)),
        _ => None,
    };
    let own = a == 0xfd00 && b == 0x0ec2 || a == 0xfe80;
    match own {
        true => Some(metadata()),
        false => carried.and_then(version_4),
    }
}

/// What is fetched as pages are.
const SCHEMES: [&str; 6] = ["file", "ftp", "ftps", "http", "https", ""];

/// Numbers of an address of version 4.
const PARTS_MAX: usize = 4;

/// Metadata services that are not link-local: Alibaba, Oracle, Azure.
const METADATA_ADDRESSES: [Ipv4Addr; 3] = [
    Ipv4Addr::new(100, 100, 100, 200),
    Ipv4Addr::new(192, 0, 0, 192),
    Ipv4Addr::new(168, 63, 129, 16),
];

/// Names of metadata services.
const METADATA_NAMES: [&str; 5] = [
    "instance-data",
    "instance-data.ec2.internal",
    "metadata",
    "metadata.goog",
    "metadata.internal",
];

/// Parts of names that lead to metadata services: `169.254.169.254.nip.io`.
const METADATA_PARTS: [&str; 6] = [
    "169-254-169-254",
    "169.254.169.254",
    "169.254.170.2",
    "a9fea9fe",
    "metadata.azure.",
    "metadata.google.internal",
];

#[cfg(test)]
mod tests {
    use super::{Known, judge};

    #[test]
    fn an_address_is_judged_by_where_it_leads_whatever_its_spelling() {
        let table = [
            ("https://x.example/a?b=c", 0),
            ("x.example", 0),
            ("http://localhost:8080/", 0),
            ("http://10.0.0.7/", 0),
            ("ftp://x.example/a", 0),
            ("gopher://x.example/", 3),
            ("ldap://x.example/", 3),
            ("https://ann:secret@x.example/", 3),
            ("http://0x7f000001/", 3),
            ("http://2130706433/", 3),
            ("http://ex%61mple/", 0),
            ("http://{a,b}.example/", 3),
            ("http://169.254.169.254/latest", 4),
            ("169.254.169.254", 4),
            ("HTTP://169.254.169.254:80/", 4),
            ("http://2852039166/", 4),
            ("http://0xa9fea9fe", 4),
            ("http://0xA9.0xFE.0xA9.0xFE/", 4),
            ("http://0251.0376.0251.0376/", 4),
            ("http://169.254.43518/", 4),
            ("http://169.16689662/", 4),
            ("http://169.254.169.254./", 4),
            ("http://%31%36%39.254.169.254/", 4),
            ("http://１６９.254.169.254/", 4),
            ("http://169。254。169。254/", 4),
            ("http://[::ffff:169.254.169.254]/", 4),
            ("http://[::ffff:a9fe:a9fe]:80/", 4),
            ("http://[64:ff9b::a9fe:a9fe]/", 4),
            ("http://[2002:a9fe:a9fe::]/", 4),
            ("http://[fd00:ec2::254]/", 4),
            ("http://[fe80::a9fe:a9fe%25eth0]/", 4),
            ("http://METADATA.google.internal./x", 4),
            ("http://metadata/", 4),
            ("http://x.example@169.254.169.254/", 4),
            ("http://169.254.169.254\\@x.example/", 4),
            ("http://169.254.169.254.nip.io/", 4),
            ("http:///169.254.169.254/", 4),
        ];
        for (address, tier) in table {
            let found = judge(address, Known::Whole);
            let most = found.iter().map(|found| found.tier.number()).max().unwrap_or(0);
            assert_eq!(most, tier, "{address}: {found:?}");
        }
    }

    #[test]
    fn an_address_that_only_the_run_knows_is_worth_its_worst() {
        let most = |address, known| {
            judge(address, Known::Prefix(known)).iter().map(|found| found.tier.number()).max()
        };
        assert_eq!(most("https://x.example/v1/…", 21), Some(2));
        assert_eq!(most("https://x.example…", 17), Some(3));
        assert_eq!(most("…", 0), Some(3));
    }
}
