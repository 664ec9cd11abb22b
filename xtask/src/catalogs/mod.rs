//! Generated catalogs: what every command of the AWS CLI does.
//!
//! `facts.py` says what the CLI can do and what AWS publishes about it; [`mod@derive`] joins that with
//! `policies/catalog/aws-reviewed.toml`; [`table`] writes the result. Nothing that AWS publishes is
//! committed but the tiers that follow from it. `docs/catalog-aws.md` explains the whole.

mod derive;
mod facts;
mod reviewed;
mod table;
#[cfg(test)]
mod tests;

use std::{collections::BTreeSet, fs};

use anyhow::{Context, Result, bail};

use self::{facts::Facts, reviewed::Reviewed, table::Table};
use crate::{
    process::{self, Workspace},
    provision,
};

/// Whether the tables are written, or only compared.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(crate) enum Mode {
    /// Fail if they would change.
    Check,
    /// Write them.
    Write,
}

/// Makes the tables anew, and says what changed.
pub(crate) fn run(workspace: &Workspace, mode: Mode) -> Result<()> {
    let facts = facts(workspace)?;
    let paths: BTreeSet<&str> = facts.commands.iter().map(|fact| fact.path.as_str()).collect();
    let text = fs::read_to_string(workspace.path(REVIEWED)).context(REVIEWED)?;
    let reviewed = Reviewed::parse(&text, &paths).context(REVIEWED)?;
    let table = derive::table(&facts, &reviewed);
    let old = fs::read_to_string(workspace.path(OPERATIONS)).unwrap_or_default();
    eprint!("{}", table.changes(&Table::read(&old)));
    let [observe, operate, modify, sensitive, break_glass] = table.by_tier();
    eprintln!(
        "{} commands: {observe} at tier 0, {operate} at 1, {modify} at 2, {sensitive} at 3, {break_glass} at 4",
        table.rows.len()
    );
    let files = [
        (OPERATIONS, table.render(&facts)),
        (OUTFILES, table::outfiles(&facts)),
        (PARAMETERS, table::parameters(&facts, &table)),
    ];
    for (path, text) in files {
        let same = fs::read_to_string(workspace.path(path)).is_ok_and(|old| old == text);
        match mode {
            Mode::Check if !same => bail!("{path} is stale; run `cargo xtask catalogs`"),
            Mode::Write if !same => fs::write(workspace.path(path), text).context(path)?,
            Mode::Check | Mode::Write => {}
        }
    }
    Ok(())
}

fn facts(workspace: &Workspace) -> Result<Facts> {
    let (python, packages) = provision::catalogs(workspace)?;
    let mut command = workspace.command(python);
    command.env("PYTHONPATH", packages).arg("-B").arg(workspace.path(SCRIPT));
    // What a developer has configured is not part of the command table.
    for (name, value) in [("AWS_CONFIG_FILE", "/dev/null"), ("AWS_DATA_PATH", "")] {
        command.env(name, value);
    }
    let json = process::output(&mut command)?;
    serde_json::from_str(&json).context("what facts.py says")
}

const SCRIPT: &str = "xtask/src/catalogs/facts.py";
const REVIEWED: &str = "policies/catalog/aws-reviewed.toml";
const OPERATIONS: &str = "policies/catalog/aws-operations.txt";
const OUTFILES: &str = "policies/catalog/aws-outfiles.txt";
const PARAMETERS: &str = "policies/catalog/aws-read-parameters.txt";
