//! `cargo xtask bench`: measure by the measuring rule, and write `docs/performance.md`.
//!
//! A row is a ratio to a reference in the same run, an instruction count, a minimum of wall-clock
//! over many runs, or a count; rates are information. Crates measure themselves in an example
//! program that prints one JSON row per line; what needs whole programs is measured here.
//!
//! What it does not do: judge. A number that misses its goal is printed as one that does; only what
//! could not be measured is a failure.

mod broker;
mod callgrind;
mod kube;
mod lines;
mod report;
mod startup;

use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::{
    process::{self, Workspace},
    provision,
};

pub(crate) use startup::inside as startup_inside;

use self::report::Row;

/// A set of benchmarks that run together.
struct Bench {
    name: &'static str,
    run: fn(&Workspace) -> Result<Vec<Row>>,
    /// Whether a row is one of its own.
    owns: fn(&Row) -> bool,
    needs: Needs,
}

/// What has to be built before.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Needs {
    /// The examples that it builds itself.
    Examples,
    /// Every program.
    Programs,
}

/// Processes that keep the processors from sleeping, at the lowest priority there is.
struct Awake(Vec<Child>);

/// Runs the benchmarks named, or all of them. A full run writes the document; another puts its rows
/// into one of the same day and machine.
pub(crate) fn run(workspace: &Workspace, names: &[&str]) -> Result<()> {
    let known: Vec<&str> = BENCHES.iter().map(|bench| bench.name).collect();
    if let Some(name) = names.iter().find(|name| !known.contains(*name)) {
        bail!("no benchmark `{name}`; there are {}", known.join(", "));
    }
    provision::references(workspace)?;
    let chosen = |bench: &&Bench| names.is_empty() || names.contains(&bench.name);
    let chosen: Vec<&Bench> = BENCHES.iter().filter(chosen).collect();
    if chosen.iter().any(|bench| bench.needs == Needs::Programs) {
        process::run(workspace.cargo().args(["build", "--release", "--workspace", "--bins"]))?;
    }
    let awake = Awake::begin(workspace)?;
    let mut rows = Vec::new();
    let mut failed = Vec::new();
    for bench in &chosen {
        eprintln!("── {}", bench.name);
        match (bench.run)(workspace) {
            Ok(more) => rows.extend(more),
            Err(error) => failed.push(format!("{}: {error:#}", bench.name)),
        }
    }
    drop(awake);
    rows.sort_by_key(Row::order);
    println!("{}", report::table(&rows));
    // The document holds a whole run or nothing: half a table would look like one.
    if !failed.is_empty() {
        bail!("could not be measured: {}", failed.join("; "));
    }
    match names.is_empty() {
        true => report::write(workspace, &report::document(workspace, &rows)?),
        false => {
            report::update(workspace, rows, |row| chosen.iter().any(|bench| (bench.owns)(row)))
        }
    }
}

// === impl Awake ===

impl Awake {
    fn begin(workspace: &Workspace) -> Result<Self> {
        let mut spinners = Vec::new();
        for _ in 0..report::cores() {
            let mut command = workspace.command("chrt");
            command.args(["--idle", "0", "sh", "-c", "while :; do :; done"]);
            let spinner = command.stdin(Stdio::null()).spawn();
            spinners.push(spinner.context("cannot keep the processors awake: no `chrt`")?);
        }
        Ok(Self(spinners))
    }
}

impl Drop for Awake {
    fn drop(&mut self) {
        for spinner in &mut self.0 {
            // A spinner that is gone already is what we want.
            let _ = spinner.kill();
            let _ = spinner.wait();
        }
    }
}

/// Runs an example program of a crate and reads the rows it prints.
fn example(workspace: &Workspace, package: &str, name: &str) -> Result<Vec<Row>> {
    let program = build_example(workspace, package, name)?;
    let mut command = Command::new(program);
    // A temporary directory in memory would make a sync cost nothing.
    command.current_dir(workspace.root()).env("TMPDIR", workspace.target());
    let told = process::output(&mut command)?;
    told.lines().filter(|line| line.starts_with('{')).map(Row::read).collect()
}

fn build_example(workspace: &Workspace, package: &str, name: &str) -> Result<std::path::PathBuf> {
    let mut cargo = workspace.cargo();
    cargo.args(["build", "--release", "--package", package, "--example", name]);
    process::run(&mut cargo)?;
    Ok(workspace.target().join("release/examples").join(name))
}

/// P5 and P6.
fn audit(workspace: &Workspace) -> Result<Vec<Row>> {
    example(workspace, "iddio-audit", "bench_audit")
}

/// Whether a row is about the log service.
fn of_service(row: &Row) -> bool {
    row.what.starts_with("log service")
}

/// P5, where a host has a log service.
fn log_service(workspace: &Workspace) -> Result<Vec<Row>> {
    example(workspace, "iddio-logd", "bench_logd")
}

/// P3.
fn decision(workspace: &Workspace) -> Result<Vec<Row>> {
    let program = build_example(workspace, "iddio-policy", "bench_decision")?;
    callgrind::decisions(workspace, &program)
}

/// P3 of command lines, and P13.
fn line(workspace: &Workspace) -> Result<Vec<Row>> {
    let times = build_example(workspace, "iddio-classify", "bench_line")?;
    let allocations = build_example(workspace, "iddio-classify", "count_line")?;
    lines::rows(workspace, &lines::Programs { times, allocations })
}

const BENCHES: [Bench; 6] = [
    Bench {
        name: "audit",
        run: audit,
        owns: |row| matches!(row.id.as_str(), "P5" | "P6") && !of_service(row),
        needs: Needs::Programs,
    },
    Bench {
        name: "decision",
        run: decision,
        owns: |row| row.what.starts_with("native decision"),
        needs: Needs::Programs,
    },
    Bench { name: "exec", run: startup::rows, owns: |row| row.id == "P9", needs: Needs::Programs },
    Bench { name: "kube", run: kube::rows, owns: kube::owns, needs: Needs::Examples },
    Bench { name: "line", run: line, owns: lines::owns, needs: Needs::Examples },
    Bench { name: "log-service", run: log_service, owns: of_service, needs: Needs::Programs },
];
