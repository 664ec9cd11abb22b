//! What a policy file says beside its rules, as typed data.

use std::{collections::BTreeMap, net::IpAddr};

use iddio_core::{
    digest::Digest,
    policy::engine::{Policy, PolicySpec},
    principal::PrincipalId,
};
use serde::Serialize;

use crate::source::Position;

/// A policy file that was accepted.
#[derive(Debug)]
pub struct Loaded {
    /// What decides.
    pub policy: Policy,
    /// What it was compiled from, for tools that look at policy.
    pub spec: PolicySpec,
    /// The SHA-256 of the source, which every record carries.
    pub version: Digest,
    /// The name of the file, as the caller gave it.
    pub name: String,
    /// Groups of principals, who may approve or use tools.
    pub groups: BTreeMap<String, Vec<PrincipalId>>,
    /// Programs and scripts that may run below the tier of an unknown program.
    pub trusted: Vec<Trusted>,
    /// The destinations each inspected protocol decrypts.
    pub inspect: BTreeMap<Inspected, Vec<Destination>>,
    /// Where things stand in the file.
    pub places: Places,
}

/// Where things stand in a file.
#[derive(Clone, Debug, Default)]
pub struct Places {
    /// For each agent, in the order of the specification, where its name and its rules stand.
    pub agents: Vec<AgentPlaces>,
    /// Where each runbook's name stands.
    pub runbooks: BTreeMap<String, Position>,
    /// Where each tool's name stands.
    pub tools: BTreeMap<String, Position>,
}

/// Where an agent and its rules stand.
#[derive(Clone, Debug, Default)]
pub struct AgentPlaces {
    /// Its name.
    pub name: Position,
    /// Its rules, in file order.
    pub rules: Vec<RulePlaces>,
}

/// Where a rule and its parts stand.
#[derive(Clone, Debug, Default)]
pub struct RulePlaces {
    /// Where it begins.
    pub rule: Position,
    /// Where its `tiers` stand.
    pub tiers: Position,
    /// Where each of its keys stands.
    pub keys: BTreeMap<String, Position>,
}

/// A program or script and the content it is trusted with.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Trusted {
    /// Its absolute path.
    pub path: String,
    /// The SHA-256 of its content.
    pub sha256: Digest,
}

/// A protocol whose destinations may be inspected.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Inspected {
    /// AWS.
    Aws,
    /// Azure.
    Azure,
    /// Fly.io.
    Fly,
    /// Anything else.
    Generic,
    /// Google Cloud.
    Google,
    /// Kubernetes control planes.
    Kubectl,
}

/// One destination on an `inspect` list.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Destination {
    /// One address.
    Address(IpAddr),
    /// This host and no other, lower case.
    Host(String),
    /// A network: an address and how many leading bits count.
    Network(IpAddr, u8),
    /// Every host below this domain (`*.example.com`), lower case, without the `*.`.
    Suffix(String),
}

// === impl Inspected ===

impl Inspected {
    /// Every inspected protocol.
    pub const ALL: [Self; 6] =
        [Self::Aws, Self::Azure, Self::Fly, Self::Generic, Self::Google, Self::Kubectl];

    /// Returns the section's name in policy files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Aws => "aws",
            Self::Azure => "azure",
            Self::Fly => "fly",
            Self::Generic => "generic",
            Self::Google => "google",
            Self::Kubectl => "kubectl",
        }
    }
}

// === impl Destination ===

impl Destination {
    /// Reads an exact host, `*.suffix`, an address or a CIDR network.
    pub fn parse(text: &str) -> Option<Self> {
        if let Ok(address) = text.parse() {
            return Some(Self::Address(address));
        }
        if let Some((address, bits)) = text.split_once('/') {
            let address: IpAddr = address.parse().ok()?;
            let width = if address.is_ipv4() { 32 } else { 128 };
            let plain = !bits.is_empty() && bits.bytes().all(|byte| byte.is_ascii_digit());
            let bits: u8 = plain.then(|| bits.parse().ok()).flatten()?;
            return (bits <= width && host_bits_are_zero(address, bits))
                .then_some(Self::Network(address, bits));
        }
        let lower = text.to_ascii_lowercase();
        match lower.strip_prefix("*.") {
            Some(suffix) => {
                (is_host(suffix) && suffix.contains('.')).then(|| Self::Suffix(suffix.to_owned()))
            }
            None => is_host(&lower).then_some(Self::Host(lower)),
        }
    }
}

/// Whether an address has nothing set beyond its network: `10.0.0.1/8` says two things at once.
fn host_bits_are_zero(address: IpAddr, bits: u8) -> bool {
    match address {
        IpAddr::V4(address) => address.to_bits().checked_shl(u32::from(bits)).unwrap_or(0) == 0,
        IpAddr::V6(address) => address.to_bits().checked_shl(u32::from(bits)).unwrap_or(0) == 0,
    }
}

/// Whether `text` is a host name (RFC 1123) in lower case. A last label of digits alone is an
/// address gone wrong.
fn is_host(text: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    let last = text.rsplit('.').next().unwrap_or_default();
    let numeric = last.bytes().all(|byte| byte.is_ascii_digit());
    text.len() <= 253 && text.split('.').all(label) && !numeric
}
