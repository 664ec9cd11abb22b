//! The path catalog: what happens when a file is read, written, removed, linked (threat E22).
//!
//! One catalog, `policies/paths.toml`, for redirections, file tools and transfers alike. A path is
//! judged by its letters, tidied against the directory the command works in; links on the disk are
//! for whoever runs it. Of a path that is not known whole the worst is assumed that it may be, but
//! for one thing: an unknown end is not taken for a way out of the directory in front of it.

mod entries;
mod subject;
#[cfg(test)]
mod tests;

use iddio_core::{
    text::RawText,
    tier::{Class, Tier},
};

use self::{entries::entries, subject::Subject};
use crate::{
    catalog::format::PathUse,
    command::{
        Ambient, Found,
        line::{Known, Term},
    },
};

/// Judges one use of a file; `None` where it is a read of nothing special.
///
/// `directory` is where the command works, if that is known.
pub(crate) fn judge(
    usage: PathUse,
    path: &Term,
    directory: Option<&RawText>,
    ambient: &Ambient,
) -> Option<Found> {
    if is_unknown(path) {
        return unknown(usage);
    }
    let subject = Subject::of(path, directory);
    let own = ambient.own_paths.iter().any(|own| subject.reaches(own.as_bytes()));
    if own {
        let text = format!("{} files of iddio itself", verb(usage));
        return Some(Found::new(Tier::BreakGlass, Class::Evasion, "path:iddio", text));
    }
    if usage == PathUse::List {
        return None;
    }
    let Some(entries) = entries() else {
        let text = "the catalog of paths cannot be read";
        return Some(Found::new(Tier::UNKNOWN, Class::Unknown, "path:broken", text));
    };
    let mut worst: Option<Found> = None;
    let mut join = |found: Found| {
        if worst.as_ref().is_none_or(|worst| worst.tier < found.tier) {
            worst = Some(found);
        }
    };
    let mut disposable = false;
    for (entry, how) in entries.covering(&subject, usage) {
        if entry.harmless {
            return None;
        }
        disposable |= entry.disposable;
        let tier = entry.tier(usage, how);
        if Tier::Observe < tier {
            let text = format!("{} {}", verb(usage), entry.what);
            join(Found::new(tier, entry.class, format!("path:{}", entry.name), text));
        }
    }
    if let Some(found) = ordinary(usage, &subject, path, directory, ambient, disposable) {
        join(found);
    }
    worst
}

/// What a use comes to by the place of a file in the tree alone.
fn ordinary(
    usage: PathUse,
    subject: &Subject,
    path: &Term,
    directory: Option<&RawText>,
    ambient: &Ambient,
    disposable: bool,
) -> Option<Found> {
    let found = |tier, class, text| Some(Found::new(tier, class, "path:place", text));
    let destroys = |text| found(Tier::BreakGlass, Class::Destroy, text);
    let open = matches!(path.known, Known::Prefix(_)) || is_adrift(path, directory, ambient);
    match usage {
        PathUse::List => None,
        PathUse::Read | PathUse::ReadTree if open => {
            found(Tier::Modify, Class::Unknown, "reads a file that only the run knows")
        }
        PathUse::Read | PathUse::ReadTree => None,
        PathUse::RemoveTree => match subject.is_plain_tree(path, directory, ambient, disposable) {
            true => found(Tier::Sensitive, Class::Destroy, "removes a directory with all below it"),
            false => destroys("removes a tree that may be anything, or more than one directory"),
        },
        // A directory of the system itself, or a file of those that make it run.
        PathUse::Remove if subject.is_root_or_system() && !subject.is_setting() => {
            destroys("removes from a directory of the system")
        }
        PathUse::Remove => found(Tier::Sensitive, Class::Destroy, "removes a file"),
        PathUse::MoveFrom if subject.is_root_or_system() => {
            destroys("moves a directory of the system away")
        }
        PathUse::AttributesTree if subject.is_root_or_system() => {
            destroys("changes the rights of a directory of the system with all below it")
        }
        PathUse::WriteTree if subject.is_root() => destroys("writes files all over the system"),
        PathUse::WriteTree if !disposable && subject.is_root_or_system() => {
            found(Tier::Sensitive, Class::Destroy, "writes files below a directory of the system")
        }
        PathUse::Run => found(Tier::Sensitive, Class::Unknown, "runs a program from a file"),
        PathUse::LinkTarget => None,
        PathUse::Append
        | PathUse::Attributes
        | PathUse::AttributesTree
        | PathUse::Create
        | PathUse::LinkName
        | PathUse::MoveFrom
        | PathUse::Write
        | PathUse::WriteTree => found(Tier::Modify, Class::Destroy, "changes a file"),
    }
}

/// Whether a path starts from where the text went, and only the run knows where that is.
fn is_adrift(path: &Term, directory: Option<&RawText>, ambient: &Ambient) -> bool {
    let from_here =
        !path.text.as_bytes().starts_with(b"/") && !path.text.as_bytes().starts_with(b"~");
    from_here && directory.is_none() && ambient.working_directory.is_some()
}

/// Whether nothing of a path is known.
fn is_unknown(path: &Term) -> bool {
    match path.known {
        Known::Any | Known::Prefix(0) => true,
        Known::Pattern | Known::Prefix(_) | Known::Whole => false,
    }
}

/// What a use of any file comes to: the worst, softened where honest lines would drown in it.
fn unknown(usage: PathUse) -> Option<Found> {
    let found = |tier, text| Some(Found::new(tier, Class::Unknown, "path:unknown", text));
    match usage {
        PathUse::List => None,
        PathUse::Read | PathUse::ReadTree | PathUse::LinkTarget => {
            found(Tier::Modify, "reads a file that only the run knows")
        }
        PathUse::RemoveTree | PathUse::AttributesTree | PathUse::Run => {
            found(Tier::UNKNOWN, "only the run knows which files")
        }
        PathUse::Append
        | PathUse::Attributes
        | PathUse::Create
        | PathUse::LinkName
        | PathUse::MoveFrom
        | PathUse::Remove
        | PathUse::Write
        | PathUse::WriteTree => found(Tier::Sensitive, "only the run knows which file"),
    }
}

/// Whether a program's path leads into a directory of the system's own programs.
pub(crate) fn is_of_the_system(path: &str, directory: Option<&RawText>) -> bool {
    let path = absolute(path.as_bytes(), directory);
    let Some(place) = path.iter().rposition(|byte| *byte == b'/') else { return false };
    PROGRAMS.iter().any(|home| Some(home.as_bytes()) == path.get(..place))
}

/// Returns where a path leads that climbs out of a directory nobody knows, if that can only be meant
/// for a place near the root.
pub(crate) fn climbed(path: &[u8]) -> Option<Vec<u8>> {
    if !path.windows(2).any(|pair| pair == b"..") {
        return None;
    }
    let tidied = absolute(path, None);
    let mut names = tidied.split(|byte| *byte == b'/').skip_while(|name| *name == b"..");
    let first = names.next()?;
    let climbs = tidied.starts_with(b"../");
    let near = ROOTS.iter().any(|root| root.as_bytes() == first);
    let rest = names.fold(first.to_vec(), |path, name| [&path, &b"/"[..], name].concat());
    (climbs && near).then(|| [b"/", rest.as_slice()].concat())
}

/// Returns the text that a pattern is where it covers no file.
pub(crate) fn unescaped(pattern: &[u8]) -> Vec<u8> {
    let mut literal = Vec::new();
    let mut bytes = pattern.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => literal.extend(bytes.next()),
            byte => literal.push(*byte),
        }
    }
    literal
}

/// Returns a path without `.`, `..` and doubled slashes, from the root where that is known.
pub(crate) fn absolute(path: &[u8], directory: Option<&RawText>) -> Vec<u8> {
    if is_tidy(path) {
        return path.to_vec();
    }
    let directory = directory.map_or(&b""[..], RawText::as_bytes);
    let from = if path.starts_with(b"/") { &b""[..] } else { directory };
    let rooted = path.starts_with(b"/") || from.starts_with(b"/");
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in from.split(|byte| *byte == b'/').chain(path.split(|byte| *byte == b'/')) {
        match part {
            b"" | b"." => {}
            // What a process has open or works in: only the kernel knows what lies above it.
            b".." if rooted && parts.len() > 2 && parts.first() == Some(&&b"proc"[..]) => {
                parts.push(part);
            }
            b".." if rooted && MOVED.contains(&parts.as_slice()) => {
                parts.clear();
            }
            b".." if rooted || parts.last().is_some_and(|last| *last != b"..") => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    let joined = parts.join(&b'/');
    match rooted {
        true => [b"/", joined.as_slice()].concat(),
        false => joined,
    }
}

/// Whether a path starts at the root and holds nothing to tidy: no empty name, none with a dot in
/// front.
fn is_tidy(path: &[u8]) -> bool {
    let parted = |pair: &[u8]| matches!(pair, b"//" | b"/.");
    1 < path.len()
        && path.starts_with(b"/")
        && !path.ends_with(b"/")
        && !path.windows(2).any(parted)
}

fn verb(usage: PathUse) -> &'static str {
    match usage {
        PathUse::Append | PathUse::Create | PathUse::Write | PathUse::WriteTree => "writes",
        PathUse::Attributes | PathUse::AttributesTree => "changes who may use",
        PathUse::LinkName => "puts a link in place of",
        PathUse::LinkTarget => "gives another name to",
        PathUse::List => "lists",
        PathUse::MoveFrom => "moves away",
        PathUse::Read | PathUse::ReadTree => "reads",
        PathUse::Remove | PathUse::RemoveTree => "removes",
        PathUse::Run => "runs",
    }
}

/// Links of every system to a directory right below the root.
const MOVED: [&[&[u8]]; 1] = [&[b"var", b"run"]];

/// Directories right below the root whose names mean little elsewhere.
const ROOTS: [&str; 6] = ["boot", "dev", "etc", "proc", "root", "sys"];

/// Where the system keeps its own programs.
const PROGRAMS: [&str; 11] = [
    "/bin",
    "/lib",
    "/lib/x86_64-linux-gnu",
    "/lib64",
    "/sbin",
    "/usr/bin",
    "/usr/lib64",
    "/usr/lib/x86_64-linux-gnu",
    "/usr/local/bin",
    "/usr/local/sbin",
    "/usr/sbin",
];
