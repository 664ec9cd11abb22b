//! Instruction counts under callgrind, which no neighbour disturbs.
//!
//! Two runs that differ only in how often they decide differ by nothing but decisions, so their
//! difference, divided, is the cost of one. Reading the policy cancels out but for the seeds of hash
//! tables, which so many decisions drown.

use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::report::Row;
use crate::process::{self, Workspace};

/// How large the policy is.
#[derive(Clone, Copy)]
struct Size {
    agents: u64,
    rules: u64,
}

/// Counts what a decision costs under a small and under a large policy.
pub(super) fn decisions(workspace: &Workspace, program: &Path) -> Result<Vec<Row>> {
    let small = per_decision(workspace, program, SMALL)?;
    let large = per_decision(workspace, program, LARGE)?;
    let allocations = allocations(workspace, program, LARGE)?;
    let row = |what: &str, ours: String, reference: &str, ratio: String, goal: &str| Row {
        id: "P3".to_owned(),
        what: what.to_owned(),
        ours,
        reference: reference.to_owned(),
        ratio,
        goal: goal.to_owned(),
    };
    Ok(vec![
        row(
            "native decision, 10 rules of one agent",
            format!("{small} instructions"),
            "callgrind",
            String::new(),
            "≤ 600 with classification",
        ),
        row(
            "native decision, 10,000 rules of 1,000 agents",
            format!("{large} instructions"),
            &format!("{small} with 10 rules"),
            format!("{:.2}", large as f64 / small as f64),
            "≤ 1.1",
        ),
        row(
            "native decision, allocations",
            format!("{allocations} in {COUNTED}"),
            "",
            String::new(),
            "0",
        ),
    ])
}

fn per_decision(workspace: &Workspace, program: &Path, size: Size) -> Result<u64> {
    let few = instructions(workspace, program, size, FEW)?;
    let many = instructions(workspace, program, size, MANY)?;
    many.checked_sub(few).map(|all| all / (MANY - FEW)).context("more decisions took less")
}

fn instructions(workspace: &Workspace, program: &Path, size: Size, times: u64) -> Result<u64> {
    let words = size.words(times);
    counted(workspace, program, words.iter().map(String::as_str))
}

/// Counts the instructions of one run.
pub(super) fn counted<'w>(
    workspace: &Workspace,
    program: &Path,
    words: impl Iterator<Item = &'w str>,
) -> Result<u64> {
    let mut valgrind = workspace.command("valgrind");
    valgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).arg(program);
    let ended = valgrind.args(words).output().context("cannot run valgrind")?;
    let words = String::from_utf8_lossy(&ended.stderr);
    match collected(&words).filter(|_| ended.status.success()) {
        Some(count) => Ok(count),
        None => bail!("callgrind counted nothing: {}", words.trim()),
    }
}

fn allocations(workspace: &Workspace, program: &Path, size: Size) -> Result<u64> {
    let told = process::output(workspace.command(program).args(size.words(COUNTED)))?;
    let json: Value = serde_json::from_str(told.trim()).with_context(|| format!("`{told}`"))?;
    json.get("allocations").and_then(Value::as_u64).context("no allocations were counted")
}

// === impl Size ===

impl Size {
    fn words(self, times: u64) -> [String; 6] {
        let Self { agents, rules } = self;
        [("--agents", agents), ("--rules", rules), ("--decisions", times)]
            .map(|(name, number)| [name.to_owned(), number.to_string()])
            .concat()
            .try_into()
            .unwrap_or_default()
    }
}

/// Reads `==12== Collected : 123456`.
fn collected(words: &str) -> Option<u64> {
    let line = words.lines().find(|line| line.contains("Collected :"))?;
    line.rsplit(' ').next()?.parse().ok()
}

const SMALL: Size = Size { agents: 1, rules: 10 };
const LARGE: Size = Size { agents: 1_000, rules: 10_000 };

const FEW: u64 = 1_000;
const MANY: u64 = 201_000;

/// How many decisions allocations are counted over.
const COUNTED: u64 = 100_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_is_read_from_what_callgrind_says() {
        assert_eq!(collected("==1== Events    : Ir\n==1== Collected : 1234\n"), Some(1234));
        assert_eq!(collected("nothing"), None);
    }

    #[test]
    fn a_size_is_said_as_the_program_reads_it() {
        assert_eq!(SMALL.words(7), ["--agents", "1", "--rules", "10", "--decisions", "7"]);
    }
}
