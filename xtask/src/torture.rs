//! `cargo xtask torture`: mutate, fuzz and simulate for longer than a test run may take.

use anyhow::{Result, bail};

use crate::process::Workspace;

/// Runs everything and writes a dated report.
pub(crate) fn run(_workspace: &Workspace, _words: &[&str]) -> Result<()> {
    bail!("nothing to torture yet")
}
