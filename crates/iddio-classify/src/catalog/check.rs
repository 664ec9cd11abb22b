//! What serde cannot see in a catalog.
//!
//! INVARIANT: after [`check`], every name a catalog refers to exists, every break-glass rule has a
//! class, every raise has a reason, and no flag is defined twice for one command.

use std::collections::BTreeSet;

use iddio_core::tier::{Class, Tier};

use crate::command::lists;

use super::{
    CatalogError, GLOBAL,
    format::{Also, Command, Flag, FlagTable, Language, Special, Style, Takes, Tool},
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
    let own = tool.command.values().map(|command| &command.get_ref().writes);
    let written = own.chain(tool.plain.iter().map(|plain| &plain.writes)).chain([&tool.writes]);
    if let Some(pattern) = written.flatten().find(|pattern| !is_below(pattern)) {
        return fail(0, format!("`{pattern}` is no pattern of paths below a directory"));
    }
    tool.flags.values().try_for_each(|table| flags(tool, table, text))?;
    plain(tool, text)?;
    commands(tool, text)?;
    families(tool, text)?;
    neutralisations(tool, text)?;
    tables(tool)?;
    if tool.plain.is_none() && tool.syntax.bare.is_none() {
        return fail(0, "`syntax.bare` or `[plain]` says what the program alone means".to_owned());
    }
    if tool.example.is_empty() {
        return fail(0, "a catalog has examples".to_owned());
    }
    for example in &tool.example {
        let scopes = tool.protocol.scope_keys();
        for key in example.get_ref().scopes.keys() {
            if !scopes.iter().any(|scope| scope.name() == key) {
                return fail(example.place(), format!("unknown scope `{key}`"));
            }
        }
    }
    Ok(())
}

/// Whether a pattern is of plain parts, so that it covers nothing above where it starts.
fn is_below(pattern: &str) -> bool {
    pattern.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

/// Whether the rules that depend on what else is given are sound.
fn conditions(command: &Command) -> Result<(), String> {
    if let Some(rule) = &command.without_arguments {
        graded(rule.tier, rule.class, &rule.why)?;
    }
    match &command.otherwise {
        Some(rule) => graded(rule.tier, rule.class, &rule.why),
        None => Ok(()),
    }
}

fn commands(tool: &Tool, text: &str) -> Result<(), CatalogError> {
    let mut spellings = BTreeSet::new();
    for (path, command) in &tool.command {
        let place = command.place();
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
        flags(tool, &command.flag, text)?;
        arguments(command).or_else(|message| fail(format!("command `{path}`: {message}")))?;
        conditions(command).or_else(|message| fail(format!("command `{path}`: {message}")))?;
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
        let place = family.place();
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

fn tables(tool: &Tool) -> Result<(), CatalogError> {
    let values = &tool.values;
    let named = [&values.operations, &values.outfiles, &values.read_parameters];
    match named.into_iter().flatten().find(|table| !lists::exists(table)) {
        Some(table) => Err(CatalogError::at("", 0, format!("there is no table `{table}`"))),
        None => Ok(()),
    }
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

fn flags(tool: &Tool, table: &FlagTable, text: &str) -> Result<(), CatalogError> {
    for (names, flag) in table.iter() {
        let place = flag.place();
        let fail = |message: String| {
            Err(CatalogError::at(text, place, format!("flag `{names}`: {message}")))
        };
        let sound = |name: &str| match tool.syntax.style {
            Style::Assignments => !name.is_empty(),
            _ => name.len() > 1 && name.starts_with(['-', '+']),
        };
        if !names.split(' ').all(sound) {
            return fail("a name starts with `-`".to_owned());
        }
        special(flag.get_ref()).or_else(fail)?;
        raise(flag.get_ref()).or_else(fail)?;
    }
    Ok(())
}

/// The program without subcommands.
fn plain(tool: &Tool, text: &str) -> Result<(), CatalogError> {
    let Some(plain) = &tool.plain else { return Ok(()) };
    let fail = |message: String| Err(CatalogError::at(text, 0, format!("`[plain]`: {message}")));
    graded(plain.tier, plain.class, &plain.why).or_else(fail)?;
    if !plain.aliases.is_empty() {
        return fail("other names of a program belong to `programs`".to_owned());
    }
    flags(tool, &plain.flag, text)?;
    arguments(plain).or_else(fail)?;
    conditions(plain).or_else(fail)?;
    let mut seen: BTreeSet<_> = plain.flag.keys().flat_map(|names| names.split(' ')).collect();
    let named = plain.flags.iter().map(String::as_str);
    for set in named.chain(tool.flags.contains_key(GLOBAL).then_some(GLOBAL)) {
        let Some(table) = tool.flags.get(set) else {
            return fail(format!("there is no flag set `{set}`"));
        };
        if let Some(name) =
            table.keys().flat_map(|names| names.split(' ')).find(|n| !seen.insert(n))
        {
            return fail(format!("the flag `{name}` twice"));
        }
    }
    Ok(())
}

/// What arguments cannot be together.
fn arguments(command: &Command) -> Result<(), String> {
    if let Some(rule) = &command.without_program {
        graded(rule.tier, rule.class, &rule.why)?;
    }
    let args = command.args.as_slice();
    for (place, arg) in args.iter().enumerate() {
        let last = place + 1 == args.len();
        if let Some(tier) = arg.tier {
            graded(tier, arg.class, &arg.why)?;
        }
        also(&arg.also)?;
        let takes_rest = arg.program == Some(Language::Argv) || arg.rest && arg.program.is_some();
        if takes_rest && !last {
            return Err(format!("nothing stands behind the program `{}`", arg.name));
        }
        let assigns = arg.is == Some(Special::Assignment);
        let repeats = args.iter().filter(|arg| arg.rest && arg.is != Some(Special::Assignment));
        if arg.rest && !assigns && repeats.count() > 1 {
            return Err("two arguments that repeat".to_owned());
        }
    }
    Ok(())
}

fn special(flag: &Flag) -> Result<(), String> {
    let takes = flag.value != Takes::Switch;
    let wants = match flag.is {
        None
        | Some(
            Special::Inline
            | Special::Stdin
            | Special::Delimiter
            | Special::Replace
            | Special::Terminal,
        ) => flag.path.is_some() || flag.program.is_some(),
        Some(_) => true,
    };
    match wants && !takes {
        true => Err("`path`, `program` and `is` are about a value, and it takes none".to_owned()),
        false => Ok(()),
    }
}

fn raise(flag: &Flag) -> Result<(), String> {
    also(&flag.also)?;
    match flag.tier {
        Some(tier) => graded(tier, flag.class, &flag.why),
        None if !flag.when.is_empty() || !flag.unless.is_empty() => {
            Err("`when` and `unless` need a `tier`".to_owned())
        }
        None => Ok(()),
    }
}

fn also(also: &[Also]) -> Result<(), String> {
    also.iter().try_for_each(|also| graded(also.tier, also.class, &also.why))
}

fn graded(tier: Tier, class: Option<Class>, why: &str) -> Result<(), String> {
    match (tier, class) {
        _ if why.is_empty() => Err("a tier needs a `why`".to_owned()),
        (Tier::BreakGlass, None) => Err("tier 4 needs a `class`".to_owned()),
        (Tier::BreakGlass, Some(_)) | (_, None) => Ok(()),
        (_, Some(_)) => Err("only tier 4 has a `class`".to_owned()),
    }
}
