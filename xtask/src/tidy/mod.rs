//! `cargo xtask tidy`: what the compiler does not check.
//!
//! Every rule is a pure function from the files of the tree to findings, and each has a test that
//! shows it a bad sample. Rules that can be lints are lints, in the root manifest.

mod code;
mod documents;
mod manifest;
mod source;

use std::{fmt, fs, path::Path};

use anyhow::{Context, Result, bail};

use crate::process::{self, Workspace};

/// A file of the tree.
pub(crate) struct File {
    /// Where it is, from the root, with forward slashes.
    path: String,
    text: String,
}

/// Something that breaks a rule.
#[derive(Debug)]
pub(crate) struct Finding {
    path: String,
    line: usize,
    what: String,
}

/// Checks the whole tree.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let files = read_tree(workspace.root())?;
    let metadata = process::output(workspace.cargo().args(["metadata", "--format-version", "1"]))?;
    let graph = manifest::Graph::read(&metadata)?;
    let crates: Vec<&str> = graph.crates().collect();
    for finding in documents::crowded_lines(&files) {
        eprintln!("note: {finding}");
    }
    let mut findings = code::check(&files);
    findings.extend(graph.check());
    findings.extend(manifest::check_manifests(&files));
    findings.extend(documents::check(&files, &crates));
    for finding in &findings {
        eprintln!("{finding}");
    }
    match findings.len() {
        0 => Ok(()),
        count => bail!("{count} findings in {} files", files.len()),
    }
}

// === impl File ===

impl File {
    fn finding(&self, line: usize, what: impl Into<String>) -> Finding {
        Finding { path: self.path.clone(), line, what: what.into() }
    }
}

// === impl Finding ===

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, line, what } = self;
        match line {
            0 => write!(f, "{path}: {what}"),
            _ => write!(f, "{path}:{line}: {what}"),
        }
    }
}

/// Reads every text file under `root`, in order of path.
fn read_tree(root: &Path) -> Result<Vec<File>> {
    let mut files = Vec::new();
    let mut waiting = vec![root.to_owned()];
    while let Some(directory) = waiting.pop() {
        let entries = fs::read_dir(&directory);
        let entries = entries.with_context(|| format!("cannot list {}", directory.display()))?;
        for entry in entries {
            let entry = entry?;
            let path = entry.path();
            let name = entry.file_name().to_string_lossy().into_owned();
            let kind = entry.file_type()?;
            if kind.is_dir() && !SKIPPED.contains(&name.as_str()) {
                waiting.push(path);
            } else if kind.is_file() {
                // What is not text is nobody's rule: corpora, vectors, plans.
                let Ok(text) = fs::read_to_string(&path) else { continue };
                let inside = path.strip_prefix(root).context("a file outside the tree")?;
                files.push(File { path: inside.to_string_lossy().replace('\\', "/"), text });
            }
        }
    }
    files.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(files)
}

/// Directories that hold no source of ours.
const SKIPPED: [&str; 5] = [".git", ".terraform", "artifacts", "corpus", "target"];
