//! What a command touches, and what fixes that in the child (threat E20).
//!
//! Names come from the command line first, then from what the caller established; what neither
//! says is unknown, and only the pattern `*` covers it.

use iddio_core::operation::{Names, Protocol, ScopeKey};

use super::{
    Ambient,
    judge::Sum,
    parse::Parsed,
    plan::{FactSource, FactWanted, Pin},
};
use crate::catalog::{
    Catalog,
    format::{Command, PinSource, Scope, Scoped},
};

/// Completes the scopes of `sum` by the rules of the catalog.
pub(super) fn settle(
    catalog: &Catalog,
    tool: &str,
    parsed: &Parsed<'_>,
    command: Option<&Command>,
    ambient: &Ambient,
    sum: &mut Sum,
) {
    // Whatever else it may touch, a program under the rules for commands is one of that name.
    if catalog.tool.protocol == Protocol::Command {
        sum.scopes.add_name(ScopeKey::Commands, tool);
    }
    if command.is_some_and(|command| command.scoped == Scoped::Nothing) {
        return;
    }
    let named = std::mem::take(&mut sum.named);
    for scope in &catalog.tool.scope {
        let names: Vec<_> = named
            .iter()
            .filter(|(key, _)| *key == scope.key)
            .map(|(_, name)| name.clone())
            .collect();
        let implied = names.is_empty();
        if !names.is_empty() {
            let known: Option<Vec<_>> = names.into_iter().collect();
            sum.scopes.add(scope.key, known.map_or(Names::Unknown, Names::Known));
        }
        if sum.every.contains(&scope.key) {
            sum.scopes.add(scope.key, Names::Every);
            continue;
        }
        if let Some(name) = scope.word.and_then(|word| parsed.path.split(' ').nth(word)) {
            let name = scope.alias.get(name).map_or(name, String::as_str);
            sum.scopes.add_name(scope.key, name);
        }
        let present = sum.scopes.names(scope.key).is_some();
        let implied = implied && sum.implied.contains(&scope.key);
        if present && !implied {
            continue;
        }
        let names = ambient.scopes.names(scope.key).cloned().unwrap_or(Names::Unknown);
        let unpinned = command
            .is_some_and(|command| command.unpinned.iter().any(|name| name == scope.key.name()));
        match (&names, &scope.pin) {
            // A name for all would contradict those that objects have.
            (Names::Known(known), Some(by)) if !unpinned && !present => {
                if let [name] = known.as_slice() {
                    sum.plan.pins.push(pin(scope.key, by, name));
                }
            }
            (Names::Unknown, _) => sum.plan.facts.extend(wanted(scope)),
            _ => {}
        }
        sum.scopes.add(scope.key, names);
    }
}

fn pin(scope: ScopeKey, by: &PinSource, name: &str) -> Pin {
    match by {
        PinSource::Env(variable) => {
            Pin::Variable { scope, name: variable.clone(), value: name.to_owned() }
        }
        PinSource::Flag(flag) => {
            Pin::Words { scope, before: 1, words: vec![flag.clone(), name.to_owned()] }
        }
    }
}

fn wanted(scope: &Scope) -> Option<FactWanted> {
    let sources: Vec<_> = scope.sources.iter().filter_map(|source| read(source)).collect();
    (!sources.is_empty()).then_some(FactWanted { scope: scope.key, sources })
}

/// Reads a source as catalogs write it.
pub(crate) fn read(source: &str) -> Option<FactSource> {
    let (kind, rest) = source.split_once(':')?;
    Some(match kind {
        "env" => FactSource::Variable(rest.to_owned()),
        "file" => FactSource::File(rest.to_owned()),
        "ini" => {
            let (path, key) = rest.split_once(':')?;
            FactSource::Ini { path: path.to_owned(), key: key.to_owned() }
        }
        "kubeconfig" => FactSource::Kubeconfig(rest.to_owned()),
        "literal" => FactSource::Literal(rest.to_owned()),
        _ => return None,
    })
}
