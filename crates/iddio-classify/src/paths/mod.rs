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
