//! What serde cannot see in a catalog.
//!
//! INVARIANT: after [`check`], every name a catalog refers to exists, every break-glass rule has a
//! class, every raise has a reason, and no flag is defined twice for one command.

use std::collections::BTreeSet;

use iddio_core::tier::{Class, Tier};

use super::{
    CatalogError, GLOBAL,
    format::{Flag, FlagTable, Tool},
};

/// Returns the first thing that is wrong.
pub(super) fn check(tool: &Tool, text: &str) -> Result<(), CatalogError> {
    let fail = |place, message: String| Err(CatalogError::at(text, place, message));
    if tool.programs.is_empty() || tool.name.is_empty() || tool.summary.is_empty() {
        return fail(0, "`name`, `summary` and `programs` must not be empty".to_owned());
    }
    for rule in [&tool.unknown_command, &tool.unknown_flag] {
        if rule.tier < Tier::Modify {
            return fail(0, "what is unknown has tier 2 or more".to_owned());
        }
    }
    tool.flags.values().try_for_each(|table| flags(table, text))?;
    commands(tool, text)?;
    families(tool, text)?;
    neutralisations(tool, text)?;
    if tool.example.is_empty() {
        return fail(0, "a catalog has examples".to_owned());
    }
    for example in &tool.example {
        let scopes = tool.protocol.scope_keys();
        for key in example.get_ref().scopes.keys() {
            if !scopes.iter().any(|scope| scope.name() == key) {
                return fail(example.span().start, format!("unknown scope `{key}`"));
            }
        }
    }
    Ok(())
}

fn commands(tool: &Tool, text: &str) -> Result<(), CatalogError> {
    let mut spellings = BTreeSet::new();
    for (path, command) in &tool.command {
        let place = command.span().start;
        let command = command.get_ref();
        let fail = |message: String| Err(CatalogError::at(text, place, message));
        graded(command.tier, command.class, &command.why)
            .or_else(|message| fail(format!("command `{path}`: {message}")))?;
        let parent = path.rsplit_once(' ').map_or("", |(parent, _)| parent);
        let aliases = command.aliases.iter().map(|alias| format!("{parent} {alias}"));
        for spelling in aliases.chain([path.clone()]) {
            if !spellings.insert(spelling.trim_start().to_owned()) {
                return fail(format!("command `{path}` has a name that is taken"));
            }
        }
        flags(&command.flag, text)?;
        let mut seen = BTreeSet::new();
        let named = command.flags.iter().map(String::as_str);
        let tables: Option<Vec<_>> = named.map(|name| tool.flags.get(name)).collect();
        let Some(tables) = tables else {
            return fail(format!("command `{path}` names a flag set that is not there"));
        };
        let global = tool.flags.get(GLOBAL);
        let tables = tables.into_iter().chain(global);
        for names in tables.flat_map(|table| table.keys()).chain(command.flag.keys()) {
            for name in names.split(' ') {
                if !seen.insert(name) {
                    return fail(format!("command `{path}` has the flag `{name}` twice"));
                }
            }
        }
    }
    Ok(())
}

fn families(tool: &Tool, text: &str) -> Result<(), CatalogError> {
    for family in &tool.family {
        let place = family.span().start;
        let fail = |message: String| Err(CatalogError::at(text, place, message));
        let family = family.get_ref();
        graded(family.tier, family.class, &family.why)
            .or_else(|message| fail(format!("family: {message}")))?;
        for pattern in family.commands.iter().chain(&family.except) {
            if pattern.split(' ').count() != tool.syntax.family_words {
                return fail(format!(
                    "`{pattern}` does not have {} words",
                    tool.syntax.family_words
                ));
            }
            for word in pattern.split(' ') {
                let set = word.strip_prefix('{').and_then(|name| name.strip_suffix('}'));
                if set.is_some_and(|set| !tool.sets.contains_key(set)) {
                    return fail(format!("there is no word set `{word}`"));
                }
            }
        }
    }
    Ok(())
}

fn neutralisations(tool: &Tool, text: &str) -> Result<(), CatalogError> {
    for neutralise in &tool.neutralise {
        let inspects = !neutralise.inspect.is_empty();
        let sound = neutralise.absent.is_empty() == inspects
            && neutralise.format.is_some() == inspects
            && neutralise.forbid.is_empty() != inspects;
        if !sound {
            let message = format!(
                "neutralise `{}` needs either `absent`, or `inspect` with `format` and `forbid`",
                neutralise.what
            );
            return Err(CatalogError::at(text, 0, message));
        }
    }
    Ok(())
}

fn flags(table: &FlagTable, text: &str) -> Result<(), CatalogError> {
    for (names, flag) in table {
        let place = flag.span().start;
        let fail = |message: String| {
            Err(CatalogError::at(text, place, format!("flag `{names}`: {message}")))
        };
        if !names.split(' ').all(|name| name.len() > 1 && name.starts_with('-')) {
            return fail("a name starts with `-`".to_owned());
        }
        raise(flag.get_ref()).or_else(fail)?;
    }
    Ok(())
}

fn raise(flag: &Flag) -> Result<(), String> {
    match flag.tier {
        Some(tier) => graded(tier, flag.class, &flag.why),
        None if !flag.when.is_empty() || !flag.unless.is_empty() => {
            Err("`when` and `unless` need a `tier`".to_owned())
        }
        None => Ok(()),
    }
}

fn graded(tier: Tier, class: Option<Class>, why: &str) -> Result<(), String> {
    match (tier, class) {
        _ if why.is_empty() => Err("a tier needs a `why`".to_owned()),
        (Tier::BreakGlass, None) => Err("tier 4 needs a `class`".to_owned()),
        (Tier::BreakGlass, Some(_)) | (_, None) => Ok(()),
        (_, Some(_)) => Err("only tier 4 has a `class`".to_owned()),
    }
}
