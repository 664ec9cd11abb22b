//! What the bound manifests of a command hold.
//!
//! Only sealed copies are read, so that what is judged is what the tool sends. What cannot be read
//! is break-glass; what could not be bound stays unread, and the judge knows what that is worth.

use std::{fs, path::Path};

use iddio_classify::command::{Below, InputFile, ManifestFacts, ManifestNeed, Need, RunPlan};
use iddio_core::{operation::Effect, text::RawText};

use crate::{
    bind::{self, Bound},
    snapshot::Snapshot,
};

/// Reads every manifest of `plan` that was bound, by the path the command line names.
pub(crate) fn read(plan: &RunPlan, bound: &Bound) -> Vec<(RawText, ManifestFacts)> {
    let mut read: Vec<(RawText, ManifestFacts)> = Vec::new();
    for need in needs(plan) {
        let Some(input) = plan.inputs.get(need.input) else { continue };
        let Some(facts) = one(need, input, bound) else { continue };
        // What is named twice was sealed twice, and may differ.
        match read.iter_mut().find(|(path, _)| *path == input.path) {
            Some((_, known)) => known.join(facts),
            None => read.push((input.path.clone(), facts)),
        }
    }
    read
}

/// Returns what happens to each object, for an approver.
pub(crate) fn effects(plan: &RunPlan, facts: &[(RawText, ManifestFacts)]) -> Vec<Effect> {
    let usage = |path: &RawText| {
        let named = |need: &&ManifestNeed| {
            plan.inputs.get(need.input).is_some_and(|input| input.path == *path)
        };
        needs(plan).find(named).map(|need| &need.usage)
    };
    let effects = |(path, facts): &(RawText, ManifestFacts)| Some(facts.effects(usage(path)?));
    facts.iter().filter_map(effects).flatten().collect()
}

fn needs(plan: &RunPlan) -> impl Iterator<Item = &ManifestNeed> {
    plan.needs.iter().filter_map(|need| match need {
        Need::Manifest(need) => Some(need),
        _ => None,
    })
}

fn one(need: &ManifestNeed, input: &InputFile, bound: &Bound) -> Option<ManifestFacts> {
    if let Some(tree) = bound.tree_of(input) {
        return Some(directory(tree, need));
    }
    Some(match bind::content(bound.sealed(input)?) {
        Ok(bytes) => ManifestFacts::of(&bytes, &need.usage),
        Err(error) => ManifestFacts::unreadable(error.to_string()),
    })
}

/// Reads a directory as kubectl does: every file whose name ends as one of theirs.
fn directory(tree: &Snapshot, need: &ManifestNeed) -> ManifestFacts {
    let mut facts = ManifestFacts::default();
    let ends =
        |path: &&Path| path.extension().is_some_and(|end| ENDS.iter().any(|known| end == *known));
    let reached = |path: &&Path| need.below == Below::Everything || path.components().count() == 1;
    for path in tree.files().chain(tree.links()).filter(ends).filter(reached) {
        facts.join(match fs::read(tree.root().join(path)) {
            Ok(bytes) => ManifestFacts::of(&bytes, &need.usage),
            Err(error) => ManifestFacts::unreadable(format!("{}: {error}", path.display())),
        });
    }
    facts
}

/// How the names end of the files that kubectl reads in a directory.
const ENDS: [&str; 3] = ["json", "yaml", "yml"];
