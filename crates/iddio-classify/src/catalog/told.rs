//! What a catalog says, for people and programs: `iddio catalog explain`.

use serde::Serialize;

use super::{
    Catalog,
    format::{Command, Flag, FlagTable, Rule, Takes},
};

/// A catalog, told.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct ToldCatalog {
    /// Its name.
    pub name: String,
    /// Its one sentence.
    pub summary: String,
    /// The programs it is for.
    pub programs: Vec<String>,
    /// Under whose rules they are decided.
    pub protocol: &'static str,
    /// The digest of its source, as records have it.
    pub sha256: String,
    /// What it says of the program alone, and of every subcommand.
    pub commands: Vec<ToldCommand>,
    /// Patterns of whole families of subcommands.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub families: Vec<ToldFamily>,
    /// What a subcommand or flag means that is not listed.
    pub unknown: ToldUnknown,
    /// Names of the environment that pass through; nothing else does.
    pub keeps: Vec<String>,
    /// Names of the environment that are fixed.
    pub sets: Vec<String>,
    /// What must not be there for the tiers to hold.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub neutralises: Vec<String>,
    /// Where the names of scopes come from.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<&'static str>,
    /// The longest it may run.
    pub timeout_seconds: u64,
    /// Command lines it vouches for.
    pub examples: Vec<ToldExample>,
}

/// A subcommand, told.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct ToldCommand {
    /// Its words, empty for the program alone.
    pub path: String,
    /// Its tier.
    pub tier: u8,
    /// Its class, at tier 4.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class: Option<&'static str>,
    /// What it does.
    pub why: String,
    /// Other spellings.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// Its arguments, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub arguments: Vec<String>,
    /// The flags that raise it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub raised_by: Vec<ToldFlag>,
    /// How many flags it knows.
    pub flags_known: usize,
}

/// A flag that raises, told.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct ToldFlag {
    /// Its names, parted by spaces.
    pub names: String,
    /// What it raises to.
    pub tier: u8,
    /// Why.
    pub why: String,
    /// The values that raise; none for every value.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub when: Vec<String>,
}

/// A family, told.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct ToldFamily {
    /// Its patterns.
    pub commands: Vec<String>,
    /// Its tier.
    pub tier: u8,
    /// What it does.
    pub why: String,
}

/// What is unknown, told.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct ToldUnknown {
    /// The tier of a subcommand that is not listed.
    pub command: u8,
    /// The tier of a flag that is not listed.
    pub flag: u8,
}

/// An example, told.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct ToldExample {
    /// The line.
    pub run: String,
    /// Its tier.
    pub tier: u8,
}

// === impl Catalog ===

impl Catalog {
    /// Tells all of it.
    pub fn explained(&self) -> ToldCatalog {
        let tool = &self.tool;
        let family = |family: &super::format::Family| ToldFamily {
            commands: family.commands.clone(),
            tier: family.tier.number(),
            why: family.why.clone(),
        };
        let example = |example: &super::format::Example| ToldExample {
            run: example.run.clone(),
            tier: example.tier.number(),
        };
        ToldCatalog {
            name: tool.name.clone(),
            summary: tool.summary.clone(),
            programs: tool.programs.clone(),
            protocol: tool.protocol.name(),
            sha256: self.digest().to_hex(),
            commands: self.told(),
            families: tool.family.iter().map(|spanned| family(spanned.get_ref())).collect(),
            unknown: ToldUnknown {
                command: tool.unknown_command.tier.number(),
                flag: tool.unknown_flag.tier.number(),
            },
            keeps: tool.environment.keep.clone(),
            sets: tool.environment.set.iter().map(|(name, to)| format!("{name}={to}")).collect(),
            neutralises: tool.neutralise.iter().map(|item| item.what.clone()).collect(),
            scopes: tool.scope.iter().map(|scope| scope.key.name()).collect(),
            timeout_seconds: tool.timeout_seconds,
            examples: self.examples().iter().map(example).collect(),
        }
    }

    /// Tells what it says of the program alone and of every subcommand, in order of their words.
    pub fn told(&self) -> Vec<ToldCommand> {
        let alone = match &self.tool.plain {
            Some(plain) => Some(self.told_command("", plain)),
            None => self.tool.syntax.bare.as_ref().map(bare),
        };
        let commands = self.tool.command.iter();
        let commands = commands.map(|(path, command)| self.told_command(path, command.get_ref()));
        alone.into_iter().chain(commands).collect()
    }

    fn told_command(&self, path: &str, command: &Command) -> ToldCommand {
        let sets = command.flags.iter().map(String::as_str).chain([super::GLOBAL]);
        let tables = sets.filter_map(|name| self.tool.flags.get(name));
        let tables: Vec<&FlagTable> = std::iter::once(&command.flag).chain(tables).collect();
        let flags = || tables.iter().flat_map(|table| table.iter());
        let raises = flags().filter_map(|(names, flag)| raising(names, flag.get_ref()));
        let mut raised_by: Vec<ToldFlag> = raises.collect();
        raised_by.sort_by_key(|flag| std::cmp::Reverse(flag.tier));
        ToldCommand {
            path: path.to_owned(),
            tier: command.tier.number(),
            class: command.class.map(|class| class.name()),
            why: command.why.clone(),
            aliases: command.aliases.clone(),
            arguments: command
                .args
                .iter()
                .map(|arg| match arg.rest {
                    true => format!("{}…", arg.name),
                    false => arg.name.clone(),
                })
                .collect(),
            raised_by,
            flags_known: flags().map(|(names, _)| names.split(' ').count()).sum(),
        }
    }
}

fn bare(rule: &Rule) -> ToldCommand {
    ToldCommand {
        path: String::new(),
        tier: rule.tier.number(),
        class: rule.class.map(|class| class.name()),
        why: rule.why.clone(),
        aliases: Vec::new(),
        arguments: Vec::new(),
        raised_by: Vec::new(),
        flags_known: 0,
    }
}

fn raising(names: &str, flag: &Flag) -> Option<ToldFlag> {
    let names = match flag.value {
        Takes::Switch => names.to_owned(),
        _ => format!("{names} VALUE"),
    };
    let when = flag.when.clone();
    match (flag.tier, flag.overrides, flag.program) {
        (Some(tier), ..) => {
            Some(ToldFlag { names, tier: tier.number(), why: flag.why.clone(), when })
        }
        (None, Some(_), _) => {
            let why = "overrides identity or route; only a grant of the policy permits it";
            Some(ToldFlag { names, tier: 4, why: why.to_owned(), when })
        }
        (None, None, _) => None,
    }
}
