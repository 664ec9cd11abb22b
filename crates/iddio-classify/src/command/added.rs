//! What the catalogs of an installation say to a command.
//!
//! INVARIANT: [`join`] never lowers, but for a program that no built-in rule knows and a catalog
//! whose content somebody trusted ([`Weight::Replaces`]). A file that the same text wrote, a shell,
//! what runs other programs and iddio itself are known to built-in rules.

use iddio_core::{
    operation::{Operation, Pattern},
    tier::{Class, Tier},
};

use super::{
    Judged, judge,
    line::{Judging, Known, Line},
    worse_class,
};
use crate::catalog::{Catalog, Weight};

/// Joins what the added catalogs say to what the built-in rules said.
///
/// `goes_by` is the name the caller says the program is trusted to have.
pub(super) fn join(
    mut judged: Judged,
    line: &Line,
    judging: &Judging<'_>,
    goes_by: Option<&str>,
) -> Judged {
    let catalogs = &judging.ambient.catalogs;
    let program = line.words.first().filter(|word| word.known == Known::Whole);
    let Some(name) = program.and_then(|word| word.text.as_str()) else { return judged };
    let file = name.rsplit('/').next().unwrap_or(name);
    for added in catalogs.iter() {
        let programs = added.catalog().programs();
        if !programs.iter().any(|program| program == file || Some(program.as_str()) == goes_by) {
            continue;
        }
        let other = judge::by_catalog(added.catalog(), file, line, judging);
        let elsewhere = name.contains('/') && goes_by.is_none();
        judged = match added.weight() {
            Weight::Replaces if !elsewhere && is_stranger(&judged.operation) => other,
            Weight::Replaces | Weight::Raises => raised(judged, listed(other, added.catalog())),
        };
    }
    judged
}

/// What a catalog says because it lists it. What it does not list is for the built-in rules: a
/// catalog that raises one command says nothing about the others.
fn listed(mut judged: Judged, catalog: &Catalog) -> Judged {
    let tool = &catalog.tool;
    let operation = &mut judged.operation;
    operation.reasons.retain(|reason| {
        let unknown = [&tool.unknown_command.why, &tool.unknown_flag.why].contains(&&reason.text);
        !unknown && !reason.rule.ends_with(":doubtful")
    });
    let tiers = operation.reasons.iter().map(|reason| reason.tier);
    operation.tier = tiers.fold(Tier::Observe, Tier::join);
    judged
}

/// Whether nothing is known of a program, and nothing speaks against it.
fn is_stranger(operation: &Operation) -> bool {
    let stranger = |rule: &str| matches!(rule, "program:trusted" | "program:unknown");
    operation.tier < Tier::BreakGlass
        && operation.reasons.iter().any(|reason| stranger(&reason.rule))
}

/// The greater of two judgements of one command, run as the first says.
fn raised(mut judged: Judged, other: Judged) -> Judged {
    let Judged { operation: by, within, plan: _ } = other;
    let operation = &mut judged.operation;
    if operation.tier < by.tier {
        operation.pattern = Pattern::Unmatchable;
    }
    operation.class = class(operation, &by);
    operation.tier = operation.tier.join(by.tier);
    for reason in by.reasons {
        if !operation.reasons.contains(&reason) {
            operation.reasons.push(reason);
        }
    }
    for found in by.overrides {
        if !operation.overrides.contains(&found) {
            operation.overrides.push(found);
        }
    }
    judged.within.extend(within);
    judged
}

fn class(one: &Operation, other: &Operation) -> Class {
    match (one.tier, other.tier) {
        (Tier::BreakGlass, Tier::BreakGlass) => worse_class(one.class, other.class),
        (_, Tier::BreakGlass) => other.class,
        _ => one.class,
    }
}
