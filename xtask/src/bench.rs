//! `cargo xtask bench`: measure by the measuring rule, and write `docs/performance.md`.

use anyhow::{Result, bail};

use crate::process::Workspace;

/// Runs the benchmarks named, or all of them.
pub(crate) fn run(_workspace: &Workspace, _names: &[&str]) -> Result<()> {
    bail!("no benchmark yet")
}
