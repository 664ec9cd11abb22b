//! Instruction counts under callgrind, which no neighbour disturbs.
//!
//! A program that can be counted takes `count CASE N` and does the case N times. Two runs with
//! different N differ by nothing but the cases, so their difference is the cost of one.

use std::path::Path;

use anyhow::{Context, Result, bail};

use super::report::Row;
use crate::process::{self, Workspace};

/// Counts the cases of the decision benchmark: each name it lists under `cases`.
pub(super) fn decisions(workspace: &Workspace, program: &Path) -> Result<Vec<Row>> {
    let listed = process::output(workspace.command(program).arg("cases"))?;
    let mut rows = Vec::new();
    for line in listed.lines() {
        let (case, goal) = line.split_once('\t').unwrap_or((line, ""));
        let each = per_case(workspace, program, case)?;
        rows.push(Row {
            id: "P3".to_owned(),
            what: format!("{case}, instructions"),
            ours: each.to_string(),
            reference: "callgrind".to_owned(),
            ratio: String::new(),
            goal: goal.to_owned(),
        });
    }
    Ok(rows)
}

fn per_case(workspace: &Workspace, program: &Path, case: &str) -> Result<u64> {
    let few = instructions(workspace, program, case, FEW)?;
    let many = instructions(workspace, program, case, MANY)?;
    many.checked_sub(few).map(|all| all / (MANY - FEW)).context("more cases took less")
}

fn instructions(workspace: &Workspace, program: &Path, case: &str, times: u64) -> Result<u64> {
    let mut valgrind = workspace.command("valgrind");
    valgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).arg(program);
    valgrind.args(["count", case, &times.to_string()]);
    let ended = valgrind.output().context("cannot run valgrind")?;
    let words = String::from_utf8_lossy(&ended.stderr);
    match collected(&words).filter(|_| ended.status.success()) {
        Some(count) => Ok(count),
        None => bail!("callgrind counted nothing: {}", words.trim()),
    }
}

/// Reads `==12== Collected : 123456`.
fn collected(words: &str) -> Option<u64> {
    let line = words.lines().find(|line| line.contains("Collected :"))?;
    line.rsplit(' ').next()?.parse().ok()
}

const FEW: u64 = 100;
const MANY: u64 = 1_100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_is_read_from_what_callgrind_says() {
        assert_eq!(collected("==1== Events    : Ir\n==1== Collected : 1234\n"), Some(1234));
        assert_eq!(collected("nothing"), None);
    }
}
