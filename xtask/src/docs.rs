//! `cargo xtask docs`: what is generated from the command line's own definition.
//!
//! The reference under `docs/reference` is committed, so that it can be read without building, and
//! [`check`] holds it to what the binary says today. Man pages and completions are built for
//! packages and not committed.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

use crate::process::{self, Workspace};

/// Writes the reference, the man pages and the completions.
pub(crate) fn write(workspace: &Workspace) -> Result<()> {
    let iddio = build(workspace)?;
    generate(workspace, &iddio, "reference", &workspace.path(REFERENCE))?;
    let dist = workspace.target().join("dist");
    for what in ["man", "completions"] {
        generate(workspace, &iddio, what, &dist.join(what))?;
    }
    eprintln!(
        "wrote {REFERENCE}, and man pages and completions in dist under the target directory"
    );
    Ok(())
}

/// Checks that the committed reference is what the binary generates, and that rustdoc is content.
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    let mut doc = workspace.cargo();
    doc.args(["doc", "--workspace", "--no-deps", "--document-private-items", "--quiet"]);
    process::run(doc.env("RUSTDOCFLAGS", FLAGS))?;
    let iddio = build(workspace)?;
    let fresh = workspace.target().join("docs-check");
    if fresh.exists() {
        fs::remove_dir_all(&fresh)?;
    }
    for what in ["reference", "man", "completions"] {
        generate(workspace, &iddio, what, &fresh.join(what))?;
    }
    let committed = read(&workspace.path(REFERENCE))?;
    match read(&fresh.join("reference"))? == committed {
        true => Ok(()),
        false => bail!("{REFERENCE} is not what the binary generates: run `cargo xtask docs`"),
    }
}

fn build(workspace: &Workspace) -> Result<PathBuf> {
    process::run(workspace.cargo().args(["build", "--quiet", "--package", "iddio"]))?;
    Ok(workspace.target().join("debug/iddio"))
}

fn generate(workspace: &Workspace, iddio: &Path, what: &str, into: &Path) -> Result<()> {
    fs::create_dir_all(into).with_context(|| format!("cannot make {}", into.display()))?;
    process::output(workspace.command(iddio).args(["generate", what]).arg(into)).map(|_| ())
}

/// Returns the text of every file directly in a directory, by name.
fn read(directory: &Path) -> Result<BTreeMap<String, String>> {
    let mut files = BTreeMap::new();
    let entries = fs::read_dir(directory);
    for entry in entries.with_context(|| format!("cannot list {}", directory.display()))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        files.insert(name, fs::read_to_string(entry.path())?);
    }
    Ok(files)
}

/// Private items are documented too, so a link to one leads somewhere.
const FLAGS: &str = "-D warnings -A rustdoc::private_intra_doc_links";

const REFERENCE: &str = "docs/reference";
