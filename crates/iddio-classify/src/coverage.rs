//! How much of what people run the catalogs know: `iddio catalog coverage`.
//!
//! Counting changes no judgement. A command counts as known where no rule about the unknown had a
//! say in it.

use std::collections::BTreeMap;

use iddio_core::{
    operation::{Operation, Reason},
    sanitise,
};
use serde::Serialize;

use crate::{catalog::Catalog, command::Judged};

/// What was seen.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Coverage {
    lines: usize,
    lines_unknown: usize,
    tools: BTreeMap<String, ToolCoverage>,
    unknown: BTreeMap<(Unknown, String), usize>,
}

/// What was seen of one tool.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct ToolCoverage {
    /// How many commands.
    pub commands: usize,
    /// How many of them were known whole.
    pub known: usize,
    /// How many had a subcommand that its catalog does not know.
    pub unknown_command: usize,
    /// How many had a flag that its catalog does not know.
    pub unknown_flag: usize,
    /// How many were of a program that no catalog knows.
    pub unknown_program: usize,
}

/// What sort of thing is unknown.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Unknown {
    /// A subcommand.
    Command,
    /// An option.
    Flag,
    /// A program.
    Program,
}

/// A count, told.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Report {
    /// How many lines were read.
    pub lines: usize,
    /// How many of them had something unknown in them.
    pub lines_unknown: usize,
    /// The share of those, in hundredths of a percent.
    pub unknown_share_percent_hundredths: usize,
    /// Every tool, most often seen first.
    pub tools: Vec<(String, ToolCoverage)>,
    /// What is unknown, most often seen first.
    pub unknown: Vec<Seen>,
}

/// Something unknown, and how often it was seen.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Seen {
    /// What sort.
    pub kind: Unknown,
    /// What it is.
    pub name: String,
    /// How often.
    pub count: usize,
}

// === impl Coverage ===

impl Coverage {
    /// Counts one judged line. Of a text for a shell the shell itself is not counted.
    pub fn add(&mut self, judged: &Judged) {
        self.lines += 1;
        let shell = judged.operation.description.command.as_deref() == Some(SHELL);
        let own = Some(&judged.operation).filter(|_| !shell);
        let mut unknown = shell && judged.operation.reasons.iter().any(unread);
        for operation in own.into_iter().chain(&judged.within) {
            unknown |= self.add_operation(operation);
        }
        self.lines_unknown += usize::from(unknown);
    }

    /// Returns what was counted.
    pub fn report(self) -> Report {
        let mut tools: Vec<_> = self.tools.into_iter().collect();
        tools.sort_by_key(|(_, tool)| std::cmp::Reverse(tool.commands));
        let seen = |((kind, name), count)| Seen { kind, name, count };
        let mut unknown: Vec<_> = self.unknown.into_iter().map(seen).collect();
        unknown.sort_by_key(|seen| std::cmp::Reverse(seen.count));
        unknown.truncate(LISTED_MAX);
        Report {
            lines: self.lines,
            lines_unknown: self.lines_unknown,
            unknown_share_percent_hundredths: (self.lines_unknown * 10_000)
                .checked_div(self.lines)
                .unwrap_or(0),
            tools,
            unknown,
        }
    }

    /// Counts one command, and says whether something in it is unknown.
    fn add_operation(&mut self, operation: &Operation) -> bool {
        let Description { tool, command } = Description::of(operation);
        if !self.tools.contains_key(&tool) && TOOLS_MAX <= self.tools.len() {
            return true;
        }
        let catalog = Catalog::for_program(&tool);
        let entry = self.tools.entry(tool.clone()).or_default();
        entry.commands += 1;
        let mut found = Vec::new();
        for reason in &operation.reasons {
            match kind(catalog, reason) {
                Some(Unknown::Command) => {
                    entry.unknown_command += 1;
                    found.push((Unknown::Command, command.clone()));
                }
                Some(Unknown::Flag) => {
                    entry.unknown_flag += 1;
                    let flag = word(operation, reason).unwrap_or_default();
                    found.push((Unknown::Flag, format!("{command} {flag}")));
                }
                Some(Unknown::Program) => {
                    entry.unknown_program += 1;
                    found.push((Unknown::Program, tool.clone()));
                }
                None => {}
            }
        }
        entry.known += usize::from(found.is_empty());
        let unknown = !found.is_empty();
        for key in found {
            if self.unknown.contains_key(&key) || self.unknown.len() < UNKNOWN_MAX {
                *self.unknown.entry(key).or_default() += 1;
            }
        }
        unknown
    }
}

/// An operation as it is counted.
struct Description {
    tool: String,
    command: String,
}

impl Description {
    fn of(operation: &Operation) -> Self {
        let command = operation.description.command.as_deref().unwrap_or("?");
        let command = sanitise::clip_line(command.as_bytes(), NAME_COLUMNS).text;
        let tool = command.split(' ').next().unwrap_or("?");
        let tool = tool.rsplit('/').next().unwrap_or(tool).to_owned();
        Self { tool, command }
    }
}

fn kind(catalog: Option<&Catalog>, reason: &Reason) -> Option<Unknown> {
    if reason.rule.starts_with("program:") || reason.rule == "runner:unread" {
        return Some(Unknown::Program);
    }
    let tool = &catalog?.tool;
    match reason.text == tool.unknown_command.why {
        true => Some(Unknown::Command),
        false => (reason.text == tool.unknown_flag.why).then_some(Unknown::Flag),
    }
}

fn unread(reason: &Reason) -> bool {
    reason.rule == "shell:unread"
}

/// The name of the option that a reason points at, without its value.
fn word(operation: &Operation, reason: &Reason) -> Option<String> {
    let place = usize::try_from(reason.word?).ok()?;
    let word = operation.description.argv.get(place)?;
    let name = word.as_bytes().split(|byte| *byte == b'=').next()?;
    Some(sanitise::clip_line(name, NAME_COLUMNS).text)
}

/// What a text for a shell is called.
const SHELL: &str = "sh -c";

/// How many unknown things are listed: what is worth a look.
const LISTED_MAX: usize = 50;

/// The most tools that are counted apart. No machine has more that matter.
const TOOLS_MAX: usize = 4096;

/// The most unknown things that are told apart.
const UNKNOWN_MAX: usize = 16 * 1024;

/// The longest name that is counted.
const NAME_COLUMNS: usize = 80;
