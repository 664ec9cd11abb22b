//! The path catalog: what happens when a file is read, written, removed, linked (threat E22).
//!
//! One catalog, `policies/paths.toml`, for redirections, file tools and transfers alike. A path is
//! judged by its letters, tidied against the directory the command works in; links on the disk are
//! for whoever runs it. Of a path that is not known whole the worst is assumed that it may be.

use iddio_core::{
    text::RawText,
    tier::{Class, Tier},
};

use crate::{
    catalog::format::PathUse,
    command::{Ambient, Found, line::Term},
};

/// Whether a program's path leads into a directory of the system's own programs.
pub(crate) fn is_of_the_system(path: &str, directory: Option<&RawText>) -> bool {
    let path = absolute(path.as_bytes(), directory);
    let Some(place) = path.iter().rposition(|byte| *byte == b'/') else { return false };
    PROGRAMS.iter().any(|home| Some(home.as_bytes()) == path.get(..place))
}

/// Returns a path without `.`, `..` and doubled slashes, from the root where that is known.
pub(crate) fn absolute(path: &[u8], directory: Option<&RawText>) -> Vec<u8> {
    let directory = directory.map_or(&b""[..], RawText::as_bytes);
    let from = if path.starts_with(b"/") { &b""[..] } else { directory };
    let rooted = path.starts_with(b"/") || from.starts_with(b"/");
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in from.split(|byte| *byte == b'/').chain(path.split(|byte| *byte == b'/')) {
        match part {
            b"" | b"." => {}
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

/// Judges one use of a file; `None` where it is a read of nothing special.
///
/// `directory` is where the command works, if that is known.
pub(crate) fn judge(
    usage: PathUse,
    path: &Term,
    directory: Option<&RawText>,
    ambient: &Ambient,
) -> Option<Found> {
    let _ = (path, directory, ambient);
    let found = |tier, text| Some(Found::new(tier, Class::Destroy, "path:use", text));
    match usage {
        PathUse::List | PathUse::Read | PathUse::ReadTree => None,
        PathUse::Remove | PathUse::LinkName | PathUse::LinkTarget | PathUse::Run => {
            found(Tier::Sensitive, "a file that is removed, linked or run")
        }
        PathUse::RemoveTree => found(Tier::BreakGlass, "a tree that is removed"),
        PathUse::Append
        | PathUse::Attributes
        | PathUse::AttributesTree
        | PathUse::Create
        | PathUse::MoveFrom
        | PathUse::Write
        | PathUse::WriteTree => found(Tier::Modify, "a file that is written"),
    }
}

/// Where the system keeps its own programs.
const PROGRAMS: [&str; 9] = [
    "/bin",
    "/lib",
    "/lib64",
    "/sbin",
    "/usr/bin",
    "/usr/lib/x86_64-linux-gnu",
    "/usr/local/bin",
    "/usr/local/sbin",
    "/usr/sbin",
];
