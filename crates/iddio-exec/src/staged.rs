//! A bare apply that a human is asked about: first the plan, as an operation of its own, then that
//! plan and nothing else (product contract, section 2).
//!
//! INVARIANT: the plan that is shown is the plan that runs. It is read once into sealed memory; the
//! approver's digest and the child's argument are both that memory. Preview and run work in one
//! private copy of the tree.

use std::{
    ffi::{OsStr, OsString},
    fs,
    os::unix::{ffi::OsStrExt, fs::OpenOptionsExt},
    path::{Path, PathBuf},
};

use iddio_classify::{
    command::{Judged, Part, Staged},
    terraform::{ProviderOrigin, judge::Trust, plan::PlanFacts},
};
use iddio_core::{operation::Effect, text::RawText};
use iddio_spawn::{Arguments, RequestError, SPOOL_BYTES_MAX, SealedInput, SpoolError};

use crate::{
    bind::Bound,
    operation::{BoundInput, Material},
    prepare::{self, Place, PlanUse},
};

/// The file that the preview writes, by the name under which it is judged. Where it really lies is
/// private, and says nothing about what the command does.
pub const PLAN_NAME: &str = "iddio.tfplan";

/// Returns the words of one stage, with `file` where the plan stands.
pub fn words(parts: &[Part], original: &[OsString], file: &Path) -> Vec<OsString> {
    let word = |part: &Part| match part {
        Part::File => Some(file.as_os_str().to_owned()),
        Part::FileBehind(text) => {
            let mut word = OsString::from(text);
            word.push(file);
            Some(word)
        }
        Part::Original(index) => original.get(*index).cloned(),
        Part::Text(text) => Some(text.into()),
    };
    parts.iter().filter_map(word).collect()
}

/// Reads the plan that a preview wrote, once and for all.
///
/// # Errors
///
/// When there is none, or it is too long.
pub fn seal(path: &Path) -> Result<SealedInput, SpoolError> {
    // The preview made everything around it: a link it left would lead elsewhere.
    if path.canonicalize()? != path {
        return Err(std::io::Error::other("a link stands in its place").into());
    }
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let flags = i32::try_from(flags.bits()).unwrap_or_default();
    let file = fs::File::options().read(true).custom_flags(flags).open(path)?;
    match file.metadata()?.is_file() {
        true => SealedInput::spool(file, SPOOL_BYTES_MAX),
        false => Err(std::io::Error::other("not a regular file").into()),
    }
}

/// Judges an apply by the plan that will be carried out, and binds it to that plan.
pub fn by_plan(
    mut judged: Judged,
    staged: &Staged,
    original: &[OsString],
    directory: &Path,
    sealed: SealedInput,
    trust: &Trust,
) -> (Judged, Bound, Vec<Effect>, Place) {
    let path: PathBuf = sealed.path();
    let name = RawText::from("the plan that was shown");
    let input = BoundInput { name, argument: None, sealed };
    let plan = prepare::read_plan(Some(&input));
    let effects = prepare::raise_for_plan(&mut judged, plan.as_ref(), PlanUse::Carried, trust);
    let facts = plan.and_then(Result::ok);
    let place = facts.as_ref().map_or(Place::Copy, place);
    let state = facts.filter(|_| place == Place::Copy);
    let state = state.and_then(|facts| state_option(&facts, directory));
    let mut words = words(&staged.run, original, &path);
    if let Some(state) = state {
        // Before the plan, which comes last: the state is written where it lies, not in the copy.
        let last = words.len().saturating_sub(1);
        words.insert(last, state);
    }
    let bound = Bound { inputs: vec![input], ..Bound::of(words) };
    (judged, bound, effects, place)
}

/// Returns where the plan may be carried out. The plan holds the configuration; what else a run
/// reads from its tree are scripts of provisioners and files that providers upload. Where neither
/// can be, it runs in the original, as it would without iddio.
fn place(facts: &PlanFacts) -> Place {
    let built_in = facts.providers.iter().all(|at| at.origin() == ProviderOrigin::BuiltIn);
    match built_in && facts.config.findings.is_empty() {
        true => Place::Original,
        false => Place::Copy,
    }
}

/// Returns the option that leads a run in a copy to the state in the original, where the state is a
/// local file of the default workspace. Named workspaces lie in a directory that is linked; other
/// backends lie elsewhere.
fn state_option(facts: &PlanFacts, directory: &Path) -> Option<OsString> {
    let backend = &facts.backend;
    let path = backend.identity.as_deref()?.strip_prefix("local:")?;
    let path = (backend.workspace == "default").then(|| directory.join(path))?;
    let mut option = OsString::from("-state=");
    option.push(path);
    Some(option)
}

/// Puts the place where a preview's plan really lies in place of the name it was judged by.
///
/// # Errors
///
/// When the place cannot be an argument.
pub fn put(material: &mut Material, file: &Path) -> Result<(), RequestError> {
    let placed = |word: &OsString| match word.as_bytes().strip_suffix(PLAN_NAME.as_bytes()) {
        Some(before) => {
            let mut placed = OsString::from(OsStr::from_bytes(before));
            placed.push(file);
            placed
        }
        None => word.clone(),
    };
    let rest: Vec<OsString> = material.arguments.rest().iter().map(placed).collect();
    material.arguments = Arguments::new(material.arguments.name(), rest)?;
    Ok(())
}
