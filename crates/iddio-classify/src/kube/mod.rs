//! Kubernetes requests: how dangerous a request line is (product contract, section 2).
//!
//! The rules are tried in the contract's order, 10, 1, 2, 3, 4, 5, 8, 6, 7, 9, and the first hit
//! wins. A request line alone is judged here, without allocating; a body may raise what it gives
//! ([`body`], [`manifest()`]), never lower it, but for the one case the contract names (a node made
//! unschedulable), which its caller asks for by [`node_unschedulable`]. A gateway reads its requests
//! with [`Call`], which puts line, query, upgrade and body together.

pub mod body;
pub mod call;
mod cbor;
pub mod content;
pub mod discovery;
mod document;
pub mod info;
pub mod listing;
pub mod manifest;
mod patch;
mod pod;
mod protobuf;
pub mod query;
pub mod resource;

use iddio_core::tier::{Class, Tier};

pub use call::{Call, Current, Malformed, Raw, Upgrade};
pub use manifest::{ManifestError, ManifestFacts, manifest, object};
pub use pod::Found;
pub use resource::Resource;

/// What a request line comes to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Verdict {
    /// How dangerous it is.
    pub tier: Tier,
    /// What kind of break-glass it is. Meaningful at tier 4.
    pub class: Class,
    /// The number of the rule, as the contract counts them.
    pub rule: u8,
    /// Why, for people.
    pub reason: &'static str,
}

/// A path of the API, taken apart.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Target<'a> {
    /// Not a resource: health, version, discovery, metrics and what else a server may have.
    NonResource(&'a str),
    /// A resource.
    Resource(Line<'a>),
}

/// The parts of a resource path. An empty part is not there.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Line<'a> {
    /// The API group; empty for the core group.
    pub group: &'a str,
    /// The version.
    pub version: &'a str,
    /// The namespace.
    pub namespace: &'a str,
    /// The plural name of the resource.
    pub resource: &'a str,
    /// The object's name; empty for a collection.
    pub name: &'a str,
    /// The subresource.
    pub subresource: &'a str,
    /// What follows the subresource: the path a proxy forwards.
    pub rest: &'a str,
}

/// Judges a request line; `path` is without its query.
pub fn request(method: &str, path: &str) -> Verdict {
    let Some(method) = Method::of(method) else {
        return refused("unknown method");
    };
    match target(path) {
        None => refused("a path that could be read in two ways"),
        Some(Target::NonResource(path)) => non_resource(method, path),
        Some(Target::Resource(line)) => resource_request(method, &line),
    }
}

/// Takes a path apart, or returns `None` for one that two readers could take differently (rule
/// 10): it is refused, never normalised and forwarded.
pub fn target(path: &str) -> Option<Target<'_>> {
    let mut parts = Parts::of(path)?;
    let group = match parts.next() {
        "api" => "",
        "apis" => parts.next(),
        _ => return Some(Target::NonResource(path)),
    };
    let version = parts.next();
    let first = parts.next();
    if first.is_empty() {
        return Some(Target::NonResource(path));
    }
    // The old forms `/api/v1/watch/…` and `/api/v1/proxy/…` carry the verb in the path.
    let (first, proxied) = match first {
        "watch" => (parts.next(), false),
        "proxy" => (parts.next(), true),
        first => (first, false),
    };
    let mut line = Line { group, version, resource: first, ..Line::default() };
    line.name = parts.next();
    line.subresource = parts.next();
    if first == "namespaces" && !matches!(line.subresource, "" | "status" | "finalize") {
        line.namespace = line.name;
        line.resource = line.subresource;
        line.name = parts.next();
        line.subresource = parts.next();
    }
    line.rest = parts.next();
    if proxied {
        line.subresource = "proxy";
    }
    // Names may have upper case (RBAC's do); what kubectl and servers define has none.
    let lower = |part: &str| !part.bytes().any(|byte| byte.is_ascii_uppercase() || byte == b'%');
    let plain = match parts.odd {
        Odd::Everywhere => {
            let defined = [group, version, line.resource, line.namespace, line.subresource];
            defined.into_iter().all(lower)
        }
        Odd::Nowhere => true,
    };
    plain.then_some(Target::Resource(line))
}

/// Judges a request for a resource.
pub fn resource_request(method: Method, line: &Line<'_>) -> Verdict {
    let collection = line.name.is_empty();
    let write = method.writes();
    if let Some(verdict) = connect(method, line) {
        return verdict;
    }
    let Some(resource) = resource::find(line.resource, line.group) else {
        return unknown(write, "a resource that the catalog does not know");
    };
    let subresource = subresource(method, resource, line.subresource);
    if let Subresource::Decided(verdict) = subresource {
        return verdict;
    }
    if write && resource.control == resource::Control::ClusterControl {
        return verdict(Tier::BreakGlass, Class::Identity, 4, resource.why);
    }
    if write && resource.control == resource::Control::ServiceAccount {
        return verdict(Tier::Sensitive, Class::Identity, 4, "writes a service account");
    }
    if resource.control == resource::Control::Secret {
        return match (method, collection) {
            (Method::Delete, true) => {
                verdict(Tier::BreakGlass, Class::Destroy, 5, "deletes a collection of Secrets")
            }
            (_, _) if write => verdict(Tier::Sensitive, Class::Identity, 5, "writes a Secret"),
            _ => verdict(Tier::Sensitive, Class::Identity, 5, "reads a Secret"),
        };
    }
    if method == Method::Post && resource.control == resource::Control::Review {
        return verdict(Tier::Observe, Class::Unknown, 8, "asks what is permitted");
    }
    match (method, collection, subresource) {
        (Method::Delete, true, _) => {
            verdict(Tier::BreakGlass, Class::Destroy, 6, "deletes a collection")
        }
        (Method::Delete, false, _) => verdict(Tier::Sensitive, Class::Destroy, 6, "deletes"),
        (_, _, Subresource::Unknown) => unknown(write, "a subresource that is not known"),
        _ if write => verdict(Tier::Modify, Class::Unknown, 7, "creates or changes"),
        _ => verdict(Tier::Observe, Class::Unknown, 9, "reads"),
    }
}

/// Returns what a PATCH of a node comes to that touches nothing but `spec.unschedulable`.
pub fn node_unschedulable() -> Verdict {
    verdict(Tier::Modify, Class::Unknown, 4, "makes a node schedulable or not")
}

/// An HTTP method that a Kubernetes server knows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Method {
    /// `DELETE`
    Delete,
    /// `GET`
    Get,
    /// `HEAD`
    Head,
    /// `OPTIONS`
    Options,
    /// `PATCH`
    Patch,
    /// `POST`
    Post,
    /// `PUT`
    Put,
}

// === impl Method ===

impl Method {
    /// Returns the method with this name, in upper case.
    pub fn of(name: &str) -> Option<Self> {
        Some(match name {
            "DELETE" => Self::Delete,
            "GET" => Self::Get,
            "HEAD" => Self::Head,
            "OPTIONS" => Self::Options,
            "PATCH" => Self::Patch,
            "POST" => Self::Post,
            "PUT" => Self::Put,
            _ => return None,
        })
    }

    /// Returns its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Delete => "DELETE",
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Options => "OPTIONS",
            Self::Patch => "PATCH",
            Self::Post => "POST",
            Self::Put => "PUT",
        }
    }

    fn writes(self) -> bool {
        matches!(self, Self::Delete | Self::Patch | Self::Post | Self::Put)
    }
}

/// What a subresource decides.
#[derive(Clone, Copy)]
enum Subresource {
    /// The verdict.
    Decided(Verdict),
    /// Nothing: the resource decides.
    Open,
    /// Nothing is known about it.
    Unknown,
}

/// The parts of a sound path, one after the other; empty when there are no more.
struct Parts<'a> {
    path: &'a str,
    /// Where the slashes behind the first stand; beyond any path where there is none.
    slashes: [u16; PARTS_MAX],
    next: usize,
    from: usize,
    odd: Odd,
}

/// Whether a path holds upper case or escapes, which only some parts may.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Odd {
    /// Somewhere.
    Everywhere,
    /// Nowhere.
    Nowhere,
}

impl<'a> Parts<'a> {
    /// Rule 10: takes a path that has one reading. `.`, `..`, `//`, an escaped slash, dot, percent
    /// sign or control byte, a parameter, a trailing slash and control bytes have more than one.
    fn of(path: &'a str) -> Option<Self> {
        let bytes = path.as_bytes();
        if bytes.first() != Some(&b'/') || PATH_BYTES_MAX < bytes.len() {
            return None;
        }
        let (whole, rest) = bytes.as_chunks::<CHUNK>();
        let mut last = [b'a'; CHUNK];
        last.get_mut(..rest.len())?.copy_from_slice(rest);
        let mut parts =
            Self { path, slashes: [u16::MAX; PARTS_MAX], next: 0, from: 1, odd: Odd::Nowhere };
        let mut seen = Seen::default();
        let (mut count, mut from) = (0, 1);
        for (chunk, start) in whole.iter().chain([&last]).zip((0u16..).step_by(CHUNK)) {
            seen.look(chunk);
            let (words, _) = chunk.as_chunks::<8>();
            for (word, start) in words.iter().zip((start..).step_by(8)) {
                let mut slashes = slashes(u64::from_le_bytes(*word));
                while slashes != 0 {
                    let at = start + slashes.trailing_zeros() as u16 / 8;
                    slashes &= slashes - 1;
                    if at == 0 {
                        continue;
                    }
                    if ends_badly(bytes, from, at) {
                        return None;
                    }
                    from = at + 1;
                    if let Some(place) = parts.slashes.get_mut(count) {
                        *place = at;
                        count += 1;
                    }
                }
            }
        }
        let bad = Seen::anywhere(&seen.bad);
        let percent = Seen::anywhere(&seen.percent);
        if bad || percent && !escapes_plainly(bytes) {
            return None;
        }
        if percent || Seen::anywhere(&seen.upper) {
            parts.odd = Odd::Everywhere;
        }
        let end = u16::try_from(bytes.len()).ok()?;
        (end == 1 || !ends_badly(bytes, from, end)).then_some(parts)
    }

    #[inline]
    fn next(&mut self) -> &'a str {
        if self.path.len() <= self.from {
            return "";
        }
        let slash = self.slashes.get(self.next).copied().map_or(usize::MAX, usize::from);
        let end = slash.min(self.path.len());
        let part = self.path.get(self.from..end).unwrap_or("");
        self.next += 1;
        self.from = end + 1;
        part
    }
}

/// What was seen in a path, lane by lane, so that the compiler looks at a whole chunk at once.
#[derive(Default)]
struct Seen {
    bad: [u8; CHUNK],
    upper: [u8; CHUNK],
    percent: [u8; CHUNK],
}

impl Seen {
    fn look(&mut self, chunk: &[u8; CHUNK]) {
        let Self { bad, upper, percent } = self;
        let lanes = bad.iter_mut().zip(upper).zip(percent).zip(chunk);
        for (((bad, upper), percent), byte) in lanes {
            // Written out: a match would become a jump, and jumps are taken one by one.
            let byte = *byte;
            *bad |= u8::from(BEYOND_GRAPHIC < byte.wrapping_sub(b'!'));
            *bad |= u8::from(byte == b';') | u8::from(byte == b'?');
            *bad |= u8::from(byte == b'#') | u8::from(byte == b'\\');
            *upper |= u8::from(byte.wrapping_sub(b'A') <= b'Z' - b'A');
            *percent |= u8::from(byte == b'%');
        }
    }

    fn anywhere(lanes: &[u8; CHUNK]) -> bool {
        u128::from_le_bytes(*lanes) != 0
    }
}

/// Marks the slashes of a word of ASCII with the high bits of their bytes: only a byte that is 0
/// does not carry into it.
fn slashes(word: u64) -> u64 {
    let differs = word ^ (ONES * b'/' as u64);
    !(differs.wrapping_add(ONES * 0x7f)) & (ONES * 0x80)
}

/// Whether the part between `from` and `end` is empty, `.` or `..`.
#[inline]
fn ends_badly(bytes: &[u8], from: u16, end: u16) -> bool {
    match end - from {
        0 => true,
        1 | 2 => {
            let part = bytes.get(usize::from(from)..usize::from(end));
            matches!(part, Some(b"." | b".."))
        }
        _ => false,
    }
}

/// Whether every escape stands for a letter that means nothing in a path.
fn escapes_plainly(bytes: &[u8]) -> bool {
    let plain = |at: usize| match bytes.get(at + 1..at + 3) {
        Some(
            [b'2', b'f' | b'F' | b'e' | b'E' | b'5'] | [b'5', b'c' | b'C'] | [b'7', b'f' | b'F'],
        ) => false,
        Some([b'2'..=b'7', digit]) => digit.is_ascii_hexdigit(),
        _ => false,
    };
    bytes.iter().enumerate().all(|(at, byte)| *byte != b'%' || plain(at))
}

/// How many bytes of a path are looked at together.
const CHUNK: usize = 16;

/// A one in every byte.
const ONES: u64 = 0x0101_0101_0101_0101;

/// How far behind `!` the last graphic character is.
const BEYOND_GRAPHIC: u8 = b'~' - b'!';

/// The most slashes that part a path for us; what follows is the rest, which a proxy forwards.
const PARTS_MAX: usize = 12;

/// Rule 1.
fn non_resource(method: Method, path: &str) -> Verdict {
    let open =
        ["/healthz", "/readyz", "/livez", "/version", "/api", "/apis", "/openapi", "/metrics"];
    let listed = open.iter().any(|prefix| {
        path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    });
    match method {
        Method::Get | Method::Head if listed => {
            verdict(Tier::Observe, Class::Unknown, 1, "health, version or discovery")
        }
        _ => verdict(Tier::BreakGlass, Class::Unknown, 1, "no resource, and no known path"),
    }
}

/// Rule 2: streams into workloads, for every method, of every resource.
fn connect(method: Method, line: &Line<'_>) -> Option<Verdict> {
    if line.subresource.is_empty() {
        return None;
    }
    let why = match line.subresource {
        "exec" => "runs a program in a workload",
        "attach" => "attaches to a workload",
        "portforward" => "opens a tunnel into a workload",
        "proxy" => "forwards requests past the API server",
        "ephemeralcontainers" if method.writes() => "adds a container to a running pod",
        _ => return None,
    };
    Some(verdict(Tier::BreakGlass, Class::Session, 2, why))
}

/// Rule 3.
fn subresource(method: Method, resource: &Resource, name: &str) -> Subresource {
    let break_glass =
        |why| Subresource::Decided(verdict(Tier::BreakGlass, Class::Identity, 3, why));
    if name.is_empty() && !method.writes() {
        return Subresource::Open;
    }
    match (resource.plural, name, method.writes()) {
        ("bindings", _, true) | (_, "binding", true) => break_glass("binds a pod to a node"),
        ("serviceaccounts", "token", true) => break_glass("issues a service account token"),
        ("certificatesigningrequests", "approval" | "status", true) => {
            break_glass("approves a certificate")
        }
        (_, "finalize", _) => break_glass("finalises a namespace"),
        (_, "eviction", _) => {
            Subresource::Decided(verdict(Tier::Sensitive, Class::Destroy, 3, "evicts a pod"))
        }
        ("pods", "log", false) | (_, "status", false) => {
            Subresource::Decided(verdict(Tier::Observe, Class::Unknown, 3, "reads a log or status"))
        }
        (_, "scale", false) => {
            Subresource::Decided(verdict(Tier::Observe, Class::Unknown, 3, "reads a scale"))
        }
        (_, "scale", true) => {
            Subresource::Decided(verdict(Tier::Modify, Class::Unknown, 3, "scales"))
        }
        (_, "" | "status", _) | ("pods", "resize" | "ephemeralcontainers", _) => Subresource::Open,
        _ => Subresource::Unknown,
    }
}

fn unknown(write: bool, reason: &'static str) -> Verdict {
    let tier = if write { Tier::Sensitive } else { Tier::Modify };
    verdict(tier, Class::Unknown, 9, reason)
}

fn refused(reason: &'static str) -> Verdict {
    verdict(Tier::BreakGlass, Class::Unknown, 10, reason)
}

fn verdict(tier: Tier, class: Class, rule: u8, reason: &'static str) -> Verdict {
    Verdict { tier, class, rule, reason }
}

/// The longest path that is read. Names have at most 253 bytes, so an honest path is far shorter.
pub const PATH_BYTES_MAX: usize = 4096;

// Places in a path are kept in 16 bits.
const _: () = assert!(PATH_BYTES_MAX < u16::MAX as usize);
