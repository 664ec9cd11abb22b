//! Rows, the table of them, and the document that holds it.

use std::{fs, thread};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::process::{self, Workspace};

/// One line of the table.
#[derive(Debug)]
pub(super) struct Row {
    /// The id on the scoreboard: `P5`.
    pub(super) id: String,
    /// What was measured.
    pub(super) what: String,
    /// Ours, with its unit.
    pub(super) ours: String,
    /// The reference in the same run, with its unit.
    pub(super) reference: String,
    /// Ours over the reference, or the reference over ours, as `what` says.
    pub(super) ratio: String,
    /// What we aim for.
    pub(super) goal: String,
}

// === impl Row ===

impl Row {
    /// Reads what an example program prints: an object with these members, as text or numbers.
    pub(super) fn read(line: &str) -> Result<Self> {
        let json: Value = serde_json::from_str(line).with_context(|| format!("`{line}`"))?;
        let member = |name: &str| match json.get(name) {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Number(number)) => number_text(number.as_f64().unwrap_or_default()),
            _ => String::new(),
        };
        let id = member("id");
        let id = if id.is_empty() { "P?".to_owned() } else { id };
        Ok(Self {
            id,
            what: member("what"),
            ours: member("ours"),
            reference: member("reference"),
            ratio: member("ratio"),
            goal: member("goal"),
        })
    }

    /// Returns what rows are sorted by: the number of the id.
    pub(super) fn order(&self) -> u32 {
        let digits: String = self.id.chars().filter(char::is_ascii_digit).collect();
        digits.parse().unwrap_or(u32::MAX)
    }
}

/// Returns the rows as a table.
pub(super) fn table(rows: &[Row]) -> String {
    let mut lines = vec![
        "| id | what | ours | reference | ratio | goal |".to_owned(),
        "|---|---|---|---|---|---|".to_owned(),
    ];
    for Row { id, what, ours, reference, ratio, goal } in rows {
        lines.push(format!("| {id} | {what} | {ours} | {reference} | {ratio} | {goal} |"));
    }
    lines.join("\n")
}

/// Returns the whole document.
pub(super) fn document(workspace: &Workspace, rows: &[Row]) -> Result<String> {
    let machine = machine()?;
    let table = table(rows);
    let heading = heading(workspace)?;
    Ok(format!(
        "# Performance\n\n{RULE}\n{heading}\n\n{machine}\n{AWAKE}\n{table}\n\n{LINES}\n{WAITING}"
    ))
}

fn heading(workspace: &Workspace) -> Result<String> {
    let date = process::output(workspace.command("date").args(["-u", "+%Y-%m-%d"]))?;
    Ok(format!("## Measured on {}", date.trim()))
}

/// Writes the document.
pub(super) fn write(workspace: &Workspace, text: &str) -> Result<()> {
    fs::write(workspace.path("docs/performance.md"), text).context("docs/performance.md")
}

/// Puts rows in place of those that are theirs, in a document that was measured today and here. No
/// other is touched: rows of different days or machines do not belong together.
pub(super) fn update(
    workspace: &Workspace,
    rows: Vec<Row>,
    replaced: impl Fn(&Row) -> bool,
) -> Result<()> {
    let name = "docs/performance.md";
    let present = fs::read_to_string(workspace.path(name)).context(name)?;
    if !present.contains(&heading(workspace)?) || !present.contains(machine()?.trim()) {
        eprintln!("{name} was measured on another day or machine, and stays as it is");
        return Ok(());
    }
    let mut all = listed(&present);
    all.retain(|row| !replaced(row));
    all.extend(rows);
    all.sort_by_key(Row::order);
    write(workspace, &document(workspace, &all)?)
}

/// Reads the rows of a document.
fn listed(document: &str) -> Vec<Row> {
    let lines = document.lines().filter(|line| line.starts_with("| P"));
    let read = |line: &str| {
        let cells = line.trim().trim_start_matches("| ").trim_end_matches(" |");
        let mut cells = cells.split(" | ").map(|cell| cell.trim().to_owned());
        Some(Row {
            id: cells.next()?,
            what: cells.next()?,
            ours: cells.next()?,
            reference: cells.next()?,
            ratio: cells.next()?,
            goal: cells.next()?,
        })
    };
    lines.filter_map(read).collect()
}

/// Returns how many processors there are.
pub(super) fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// Names the machine by what matters, and by nothing that says whose it is.
fn machine() -> Result<String> {
    let cpu = fs::read_to_string("/proc/cpuinfo").context("cannot read about the processor")?;
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name"));
    let model =
        model.and_then(|rest| rest.split_once(':')).map_or("unknown", |(_, name)| name.trim());
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let kernel: String = kernel.trim().split('-').next().unwrap_or_default().to_owned();
    let virtualised = if cpu.contains(" hypervisor") { ", virtual" } else { "" };
    let cores = cores();
    Ok(format!("Machine: {cores} × {model}{virtualised}, Linux {kernel}.\n"))
}

fn number_text(number: f64) -> String {
    match number.abs() {
        size if 100.0 <= size => format!("{number:.0}"),
        size if 10.0 <= size => format!("{number:.1}"),
        _ => format!("{number:.2}"),
    }
}

const RULE: &str = "\
Written by `cargo xtask bench`; do not edit.

On a shared machine the rate and the tail latency of one and the same server spread several times between rounds, and instruction counts do not move at all.
So a row is one of four things:

- a ratio of processor time per operation to a reference in the same run, interleaved, as medians;
- an instruction count under callgrind, for pure functions;
- a ratio of wall-clock *minima* over 60 runs or more, for start-up;
- a count without noise: allocations, bytes, syncs, system calls.

Absolute times are information and carry over to no other machine.
No test asserts a time.
";

const AWAKE: &str = "\
The processors were kept awake by idle-priority spinners.
On an idle virtual machine a sync takes one timer tick and every ratio to raw syncs is about ten times larger.
";

const LINES: &str = "\
## What command lines cost

The other readers of shell text only read it; a judgement also follows it, judges every command by its catalog, and gives away what policy, approvers and the record need: operations with their words, scopes, reasons and patterns.
For the plain line of 21 bytes that makes more than eighty allocations, a third of its instructions.
Reading is a tenth of it, the path catalog and the options of the tool a tenth each, and nothing stands out: the goal of 1 µs is missed three times over, and would need operations that borrow.
The goal of 15 µs is missed by the pipeline, which is seven commands at less than 3 µs each, and by the loop, whose body is walked twice, because what its first round leaves may change the second.
What an argument vector costs is above the 600 instructions of a request line of Kubernetes for the same reason.

A first judgement unpacks one catalog: that of git takes 1 ms where reading its TOML took 5.

The worst 64 KiB took 250 ms, and most kinds more than 20.
What helped: sharing the bodies of functions and substitutions instead of copying them at every level; judging a command once for each way it stands; counting what takes time in steps; finding variables by their first letter and patterns of paths by their first two names.
The number of kinds above 20 ms is of wall-clock minima and rises with the load of the machine; tests bound the steps, which do not.
";

const WAITING: &str = "\
## Not measured yet

P1, P2, P4, P7, P8 and P10 to P12 and P14 to P16 measure gateways, the Rego engine, reloads of a running service and the fleet.
None of them exists yet; the rows appear with what they measure.
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_read_with_text_or_numbers_and_sorted_by_id() {
        let row = Row::read(r#"{"id": "P10", "what": "x", "ours": 12.345, "ratio": 0.5}"#).unwrap();
        assert_eq!((row.ours.as_str(), row.ratio.as_str(), row.order()), ("12.3", "0.50", 10));
        assert!(Row::read("{").is_err());
    }

    #[test]
    fn rows_are_read_back_as_they_were_written() {
        let row = |what: &str, reference: &str| Row {
            id: "P13".to_owned(),
            what: what.to_owned(),
            ours: "1".to_owned(),
            reference: reference.to_owned(),
            ratio: String::new(),
            goal: "≤ 2".to_owned(),
        };
        let rows = [row("`a \\| b`", "x; y"), row("c", "")];
        let written = table(&rows);
        assert_eq!(table(&listed(&written)), written);
        assert_eq!(listed(&written).len(), 2);
    }

    #[test]
    fn the_machine_is_named_without_saying_whose_it_is() {
        let machine = machine().unwrap();
        let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
        assert!(machine.starts_with("Machine: "));
        assert!(!machine.contains(host.trim()), "{machine}");
    }
}
