//! Makes sure that what a tool takes code or targets from is not there, or says that it is.
//!
//! A low tier is a claim about a neutralised run. Whatever cannot be made sure of raises the tier:
//! nothing here ever lowers one (invariant I0, threat E02).

use std::{
    fs,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use iddio_classify::command::{InspectFormat, InspectedFile, Neutralisation};
use iddio_core::{digest::Digest, operation::Reason, sanitise, tier::Tier};
use serde_json::Value;

use crate::{
    facts::{Surroundings, yaml},
    reach::{Found, Reach},
};

/// Returns a reason for every neutralisation that does not hold.
pub fn objections(wanted: &[Neutralisation], around: &Surroundings<'_>) -> Vec<Reason> {
    wanted.iter().filter_map(|neutralisation| objection(neutralisation, around)).collect()
}

/// What a backend on Amazon takes its credentials from: the settings of the AWS SDK, which may name
/// a program. It counts only where there is such a backend.
pub(crate) fn amazon() -> Neutralisation {
    let inspected = |path: &str| InspectedFile {
        path: path.to_owned(),
        format: InspectFormat::Ini,
        forbid: vec!["credential_process".to_owned()],
    };
    Neutralisation {
        what: "a program that gives the backend its credentials".to_owned(),
        absent: Vec::new(),
        inspect: ["~/.aws/config", "~/.aws/credentials"].map(inspected).to_vec(),
        otherwise: Tier::Sensitive,
    }
}

/// Whether `init` remembers a backend on Amazon in this directory.
pub(crate) fn remembers_amazon(directory: &Path, reach: &Reach) -> bool {
    match reach.read(&directory.join(".terraform/terraform.tfstate")) {
        Found::Missing => false,
        Found::Text(text) => text.contains("\"s3\""),
        Found::Unreadable => true,
    }
}

/// Returns what is there of everything that is looked at: what an objection could come from.
pub(crate) fn state(wanted: &[Neutralisation], around: &Surroundings<'_>) -> Vec<Vec<u8>> {
    let mut state = Vec::new();
    for neutralisation in wanted {
        let absent =
            neutralisation.absent.iter().map(|path| present(&around.path(path), around.reach));
        state.extend(absent.map(|found| found.unwrap_or_default().into_bytes()));
        for path in neutralisation.inspect.iter().flat_map(|file| paths(&file.path, around)) {
            state.push(path.as_os_str().as_bytes().to_vec());
            state.push(match around.reach.read(&path) {
                Found::Missing => b"missing".to_vec(),
                Found::Text(text) => Digest::of_bytes(text.as_bytes()).to_hex().into_bytes(),
                Found::Unreadable => b"unreadable".to_vec(),
            });
        }
    }
    state
}

fn objection(wanted: &Neutralisation, around: &Surroundings<'_>) -> Option<Reason> {
    let present = wanted.absent.iter().find_map(|path| present(&around.path(path), around.reach));
    let held = || wanted.inspect.iter().find_map(|file| held(file, around));
    let found = present.or_else(held)?;
    let text = format!("{}: {}", wanted.what, sanitise::line(found.as_bytes()));
    Some(reason(wanted.otherwise, text))
}

fn reason(tier: Tier, text: String) -> Reason {
    Reason { tier, rule: "exec:neutralise".to_owned(), text, word: None, at: None }
}

/// Returns what is there under a path that should not be; `*` at the end covers every name that
/// starts so. A directory that cannot be read counts as holding it.
fn present(path: &Path, reach: &Reach) -> Option<String> {
    let name = path.file_name().map(OsStrExt::as_bytes).unwrap_or_default();
    let Some(stem) = name.strip_suffix(b"*") else {
        let missing = |error: &std::io::Error| error.kind() == std::io::ErrorKind::NotFound;
        return match reach.look(path) {
            Err(error) if missing(&error) => None,
            Ok(_) | Err(_) => Some(path.display().to_string()),
        };
    };
    let parent = path.parent()?;
    let entries = match reach.real(parent).and_then(fs::read_dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
        Err(_) => return Some(parent.display().to_string()),
    };
    let starts = |name: &std::ffi::OsString| name.as_bytes().starts_with(stem);
    let mut names = entries.map(|entry| entry.map(|entry| entry.file_name()));
    names.find_map(|name| match name {
        Ok(name) if starts(&name) => Some(parent.join(name).display().to_string()),
        Ok(_) => None,
        Err(_) => Some(parent.display().to_string()),
    })
}

/// Returns what a file holds that it must not. One that cannot be read counts as holding it.
fn held(file: &InspectedFile, around: &Surroundings<'_>) -> Option<String> {
    paths(&file.path, around).into_iter().find_map(|path| {
        let text = match around.reach.read(&path) {
            Found::Missing => return None,
            Found::Text(text) => text,
            Found::Unreadable => return Some(format!("{} cannot be read", path.display())),
        };
        let key = match file.format {
            InspectFormat::Ini => ini_key(&text, &file.forbid),
            InspectFormat::Yaml => match yaml(&text) {
                Some(value) => yaml_key(&value, &file.forbid),
                None => return Some(format!("{} cannot be parsed", path.display())),
            },
        };
        key.map(|key| format!("{} sets `{key}`", path.display()))
    })
}

/// Returns the files a catalog means: `$NAME` stands for the paths a variable holds.
fn paths(path: &str, around: &Surroundings<'_>) -> Vec<PathBuf> {
    match path.strip_prefix('$') {
        Some(name) => match around.variable(name) {
            Some(value) => std::env::split_paths(&value).collect(),
            None => Vec::new(),
        },
        None => vec![around.path(path)],
    }
}

fn ini_key(text: &str, forbidden: &[String]) -> Option<String> {
    let key = |line: &str| line.split_once('=').map(|(key, _)| key.trim().to_owned());
    text.lines().filter_map(key).find(|key| is_forbidden(key, forbidden))
}

/// Depth is bounded by the reader, so this recursion is too.
fn yaml_key(value: &Value, forbidden: &[String]) -> Option<String> {
    match value {
        Value::Object(members) => members.iter().find_map(|(key, value)| {
            let set = !value.is_null() && value.as_array().is_none_or(|list| !list.is_empty());
            let held = set && is_forbidden(key, forbidden);
            if held { Some(key.clone()) } else { yaml_key(value, forbidden) }
        }),
        Value::Array(items) => items.iter().find_map(|item| yaml_key(item, forbidden)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

fn is_forbidden(key: &str, forbidden: &[String]) -> bool {
    forbidden.iter().any(|name| match name.strip_suffix('*') {
        Some(stem) => key.starts_with(stem),
        None => key == name,
    })
}
