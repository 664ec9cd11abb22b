//! Catalogs: what tools mean, as data.
//!
//! One file per tool under `policies/catalog/`, parsed and packed by `build.rs`, unpacked once, when
//! the tool is first asked about: a test holds each against its source, which is read strictly. A
//! catalog holds its own examples, which run as tests. Nothing here judges a command line: that is
//! [`crate::command`].

mod added;
mod check;
mod flags;
pub(crate) mod format;
mod lint;
mod outfile;
pub(crate) mod packed;
pub(crate) mod pattern;
mod placed;
mod told;

use std::{collections::BTreeMap, ops::Bound, sync::LazyLock};

use iddio_core::{digest::Digest, tier::Tier};

pub use added::{Added, Lowering, Weight};

use crate::command::{Standing, lists};
use format::{Command, Example, Flag, FlagTable, Style, Tool};
pub use lint::Remark;
use placed::Placed;
pub use told::{ToldCatalog, ToldCommand, ToldExample, ToldFamily, ToldFlag, ToldUnknown};

/// What one tool means.
#[derive(Debug)]
pub struct Catalog {
    pub(crate) tool: Tool,
    /// Paths by their other spellings.
    aliases: BTreeMap<String, String>,
    /// What it decides about every plan.
    pub(crate) standing: Standing,
    digest: Digest,
}

/// A command line that a catalog vouches for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Sample {
    /// The catalog that holds it.
    pub catalog: String,
    /// The line of the catalog it stands on.
    pub line: usize,
    /// Its words.
    pub argv: Vec<String>,
    /// The tier it must have.
    pub tier: Tier,
    /// The class it must have, if the catalog names one.
    pub class: Option<String>,
    /// The rule that must be among its reasons, if the catalog names one.
    pub rule: Option<String>,
    /// The scopes it must have, by key; `*` for all, `?` for unknown.
    pub scopes: Vec<(String, Vec<String>)>,
}

/// Why a catalog cannot be used.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{line}:{column}: {message}")]
pub struct CatalogError {
    /// The line, counted from 1.
    pub line: usize,
    /// The column, counted from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
}

// === impl Catalog ===

impl Catalog {
    /// Reads a catalog.
    pub fn parse(text: &str) -> Result<Self, CatalogError> {
        let mut tool: Tool = toml::from_str(text).map_err(|error| {
            let place = error.span().map_or(0, |span| span.start);
            CatalogError::at(text, place, error.message().to_owned())
        })?;
        several(&mut tool, text)?;
        check::check(&tool, text)?;
        outfile::add(&mut tool);
        let digest = identity(text, &tool);
        Ok(Self::build(tool, digest))
    }

    /// Takes a catalog that `build.rs` has read from a sound source.
    fn unpack(packed: &[u8], digest: Digest) -> Result<Self, CatalogError> {
        let fail = |message| CatalogError { line: 0, column: 0, message };
        let mut tool: Tool = packed::read(packed).map_err(|error| fail(error.to_string()))?;
        several(&mut tool, "")?;
        outfile::add(&mut tool);
        Ok(Self::build(tool, digest))
    }

    /// Returns the built-in catalog for a program's file name.
    pub fn for_program(name: &str) -> Option<&'static Self> {
        let place = PROGRAMS.binary_search_by_key(&name, |(program, _)| program).ok()?;
        let (_, catalog) = PROGRAMS.get(place)?;
        BUILT_IN.get(*catalog)?.catalog.as_ref().ok()
    }

    /// Whether a program of this name has a built-in catalog, usable or not.
    pub(crate) fn names(name: &str) -> bool {
        PROGRAMS.binary_search_by_key(&name, |(program, _)| program).is_ok()
    }

    /// Returns every program that has a built-in catalog.
    pub(crate) fn all_programs() -> impl Iterator<Item = &'static str> {
        PROGRAMS.iter().map(|(program, _)| *program)
    }

    /// Returns every built-in catalog, or what is wrong with it.
    pub fn built_in()
    -> impl Iterator<Item = Result<&'static Self, (&'static str, &'static CatalogError)>> {
        BUILT_IN
            .iter()
            .map(|built_in| built_in.catalog.as_ref().map_err(|error| (built_in.name, error)))
    }

    /// Returns its name, the prefix of its rules.
    pub fn name(&self) -> &str {
        &self.tool.name
    }

    /// Returns its one sentence.
    pub fn summary(&self) -> &str {
        &self.tool.summary
    }

    /// Returns the file names of the programs it describes.
    pub fn programs(&self) -> &[String] {
        &self.tool.programs
    }

    /// Returns the digest of its source and of the tables it refers to, which identifies it in
    /// records.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Returns every command path with its tier and reason, for `catalog explain`.
    pub fn commands(&self) -> impl Iterator<Item = (&str, Tier, &str)> {
        self.tool.command.iter().map(|(path, command)| {
            (path.as_str(), command.get_ref().tier, command.get_ref().why.as_str())
        })
    }

    /// Returns the command lines it vouches for; `text` is the source it was read from.
    pub fn samples(text: &str) -> Result<Vec<Sample>, CatalogError> {
        let tool: Tool = toml::from_str(text).map_err(|error| {
            let place = error.span().map_or(0, |span| span.start);
            CatalogError::at(text, place, error.message().to_owned())
        })?;
        Ok(tool
            .example
            .iter()
            .map(|example| sample(&tool.name, example.place(), text, example.get_ref()))
            .collect())
    }

    /// Returns the examples of its source, wherever that is.
    fn examples(&self) -> Vec<Example> {
        let own = self.tool.example.iter().map(|example| example.get_ref().clone());
        let own: Vec<Example> = own.collect();
        let built_in = || BUILT_IN.iter().find(|built_in| built_in.name == self.tool.name);
        let read = |built_in: &BuiltIn| toml::from_str::<Tool>(built_in.source).ok();
        match own.is_empty() {
            true => built_in().and_then(read).map_or(own, |tool| {
                tool.example.iter().map(|example| example.get_ref().clone()).collect()
            }),
            false => own,
        }
    }

    /// Returns the sources of the built-in catalogs, by name.
    pub fn sources() -> impl Iterator<Item = (&'static str, &'static str)> {
        BUILT_IN.iter().map(|built_in| (built_in.name, built_in.source))
    }

    pub(crate) fn style(&self) -> Style {
        self.tool.syntax.style
    }

    /// Returns the command of this path, with its first spelling.
    pub(crate) fn entry(&self, path: &str) -> Option<(&str, &Command)> {
        let commands = &self.tool.command;
        let alias = || commands.get_key_value(self.aliases.get(path)?);
        let (path, command) = commands.get_key_value(path).or_else(alias)?;
        Some((path, command.get_ref()))
    }

    /// Returns what the program means without a subcommand.
    pub(crate) fn plain(&self) -> Option<&Command> {
        self.tool.plain.as_ref()
    }

    /// Whether words can name a subcommand at all.
    pub(crate) fn has_commands(&self) -> bool {
        !self.tool.command.is_empty() || self.tool.syntax.family_words > 0
    }

    /// Whether any flag that `path` knows satisfies something.
    pub(crate) fn flags_of(&self, path: &str) -> impl Iterator<Item = &Flag> {
        self.tables(path).flat_map(FlagTable::values)
    }

    /// Whether a path has subcommands.
    pub(crate) fn is_group(&self, path: &str) -> bool {
        // A space sorts before all else that a path holds.
        let behind = (Bound::Excluded(path), Bound::Unbounded);
        let next = self.tool.command.range::<str, _>(behind).next();
        let rest = next.and_then(|(next, _)| next.strip_prefix(path));
        !path.is_empty() && rest.is_some_and(|rest| rest.starts_with(' '))
    }

    /// Returns the flag of this exact name that `path` knows.
    pub(crate) fn flag(&self, path: &str, name: &str) -> Option<(&str, &Flag)> {
        self.tables(path).find_map(|table| table.named(name))
    }

    /// Returns every flag of `path` that `prefix` may abbreviate.
    pub(crate) fn flags_from<'c>(&'c self, path: &str, prefix: &str) -> Vec<(&'c str, &'c Flag)> {
        self.tables(path).flat_map(|table| table.from(prefix)).collect()
    }

    /// Whether options before the command have meanings of their own.
    pub(crate) fn has_front(&self) -> bool {
        self.tool.flags.contains_key(FRONT)
    }

    fn tables(&self, path: &str) -> impl Iterator<Item = &FlagTable> {
        let command = match self.entry(path) {
            Some((_, command)) => Some(command),
            None if path.is_empty() => self.plain(),
            None => None,
        };
        let sets = &self.tool.flags;
        let named = command.map(|command| command.flags.as_slice()).unwrap_or_default();
        let front = sets.get(FRONT).filter(|_| path.is_empty());
        let own = command.map(|command| &command.flag).into_iter();
        own.chain(named.iter().filter_map(|name| sets.get(name)))
            .chain(front)
            .chain(sets.get(GLOBAL))
    }

    fn build(tool: Tool, digest: Digest) -> Self {
        let aliases = tool.command.iter().flat_map(|(path, command)| {
            let (parent, _) = path.rsplit_once(' ').unwrap_or(("", path));
            command.get_ref().aliases.iter().map(move |alias| {
                (format!("{parent} {alias}").trim_start().to_owned(), path.clone())
            })
        });
        let (aliases, standing) = (aliases.collect(), Standing::of(&tool, digest));
        Self { tool, aliases, standing, digest }
    }
}

// === impl CatalogError ===

impl CatalogError {
    pub(crate) fn at(text: &str, place: usize, message: String) -> Self {
        let before = text.get(..place).unwrap_or(text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
        Self { line, column, message }
    }
}

/// The flag set every command has.
pub(crate) const GLOBAL: &str = "global";

/// The flag set of what stands before the command alone: `git -c` is not `git commit -c`.
pub(crate) const FRONT: &str = "front";

/// A catalog in the binary, parsed when it is first asked for.
struct BuiltIn {
    name: &'static str,
    source: &'static str,
    catalog: LazyLock<Result<Catalog, CatalogError>>,
}

macro_rules! built_in {
    ($name:literal, $source:literal, $packed:literal, $digest:expr) => {
        BuiltIn {
            name: $name,
            source: include_str!($source),
            catalog: LazyLock::new(|| {
                Catalog::unpack(include_bytes!($packed), Digest::from_bytes($digest))
            }),
        }
    };
}

include!(concat!(env!("OUT_DIR"), "/catalogs.rs"));

/// Returns what identifies a catalog: the digest of its source or, where it refers to tables, that
/// of its source's digest and theirs. `build.rs` does the same.
fn identity(text: &str, tool: &Tool) -> Digest {
    let own = Digest::of_bytes(text.as_bytes());
    let values = &tool.values;
    let tables = [&values.operations, &values.outfiles, &values.read_parameters];
    let tables: Vec<&str> =
        tables.into_iter().flatten().filter_map(|table| lists::text(table)).collect();
    if tables.is_empty() {
        return own;
    }
    let tables = tables.into_iter().map(|table| Digest::of_bytes(table.as_bytes()));
    let digests = std::iter::once(own).chain(tables);
    Digest::of_bytes(&digests.flat_map(|digest| *digest.as_bytes()).collect::<Vec<_>>())
}

/// Makes a command of each of many.
fn several(tool: &mut Tool, text: &str) -> Result<(), CatalogError> {
    let mut all = Vec::new();
    for many in &tool.many {
        let (paths, command) = many.get_ref().each();
        let command = Placed::new(many.place(), command);
        all.extend(paths.map(|path| (path, command.clone())));
    }
    if all.is_empty() {
        return Ok(());
    }
    all.extend(std::mem::take(&mut tool.command));
    all.sort_by(|(one, _), (other, _)| one.cmp(other));
    for pair in all.windows(2) {
        if let [(path, first), (next, second)] = pair
            && path == next
        {
            let message = format!("command `{path}` has a name that is taken");
            return Err(CatalogError::at(text, first.place().max(second.place()), message));
        }
    }
    tool.command = all.into_iter().collect();
    Ok(())
}

fn sample(catalog: &str, place: usize, text: &str, example: &Example) -> Sample {
    Sample {
        catalog: catalog.to_owned(),
        line: CatalogError::at(text, place, String::new()).line,
        argv: pattern::words(&example.run),
        tier: example.tier,
        class: example.class.map(|class| class.name().to_owned()),
        rule: example.rule.clone(),
        scopes: example.scopes.iter().map(|(key, names)| (key.clone(), names.clone())).collect(),
    }
}
