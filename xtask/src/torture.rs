//! `cargo xtask torture`: mutate, fuzz and simulate for longer than a test run may take.
//!
//! Three parts, each with a share of the time it is given, and one dated report under
//! `docs/torture` that is committed: what ran, for how long, and what came of it. A part that could
//! not run says so in the report; it is not left out.
//!
//! What it does not do: run in `cargo xtask test`, or fail because a mutant lived. The report is
//! read by people.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::process::{self, Workspace};

/// What one part came to, as lines of the report.
struct Part {
    title: &'static str,
    lines: Vec<String>,
}

/// Runs everything for about `words` minutes, and writes the report.
pub(crate) fn run(workspace: &Workspace, words: &[&str]) -> Result<()> {
    let minutes = match words {
        [] => MINUTES_DEFAULT,
        [minutes] => minutes.parse().with_context(|| format!("`{minutes}` is no number"))?,
        _ => bail!("expected `torture [MINUTES]`"),
    };
    let all = Duration::from_secs(60 * minutes);
    let parts = [
        part("Simulations and properties", || simulate(workspace)),
        part("Fuzzing", || fuzz(workspace, all / 4)),
        part("Mutation", || mutate(workspace, all / 2)),
    ];
    let date = process::output(workspace.command("date").args(["-u", "+%Y-%m-%d"]))?;
    let report = report(date.trim(), minutes, &parts);
    let directory = workspace.path("docs/torture");
    fs::create_dir_all(&directory)?;
    let path = directory.join(format!("{}.md", date.trim()));
    fs::write(&path, &report).with_context(|| format!("cannot write {}", path.display()))?;
    println!("{report}");
    Ok(())
}

fn part(title: &'static str, run: impl FnOnce() -> Result<Vec<String>>) -> Part {
    eprintln!("── {title}");
    let started = Instant::now();
    let mut lines = run().unwrap_or_else(|error| vec![format!("It could not run: {error:#}.")]);
    lines.push(format!("It took {:.0} s.", started.elapsed().as_secs_f64()));
    Part { title, lines }
}

fn report(date: &str, minutes: u64, parts: &[Part]) -> String {
    let mut text = format!(
        "# Torture, {date}\n\nWritten by `cargo xtask torture {minutes}`.\n\
         What is short here is short in time, not in kind: the same command runs it for longer.\n"
    );
    for Part { title, lines } in parts {
        text.push_str(&format!("\n## {title}\n\n{}\n", lines.join("\n")));
    }
    text
}

/// Runs every simulation and property test with more seeds.
fn simulate(workspace: &Workspace) -> Result<Vec<String>> {
    let mut command = workspace.cargo();
    command.args(["test", "--workspace", "--lib", "--tests", "--no-fail-fast"]);
    command.env("IDDIO_TORTURE", TIMES.to_string());
    command.env("PROPTEST_CASES", (PROPTEST_CASES_USUAL * TIMES).to_string());
    let told = process::tee(&mut command)?;
    let failed: Vec<&str> =
        told.text.lines().filter(|line| line.trim_end().ends_with("... FAILED")).collect();
    let mut lines = vec![format!(
        "All tests, with {TIMES} times the seeds of a usual run: {}.",
        if told.status.success() { "every one passed" } else { "not every one passed" }
    )];
    lines.extend(failed.into_iter().map(|line| format!("- {}", line.trim())));
    Ok(lines)
}

/// Fuzzes every target for its share of `time`, on nightly.
fn fuzz(workspace: &Workspace, time: Duration) -> Result<Vec<String>> {
    let tool = tool(workspace, "cargo-fuzz")?;
    let directory = workspace.path("tests/fuzz");
    let fuzz = |verb: &str| {
        let mut command = workspace.command(&tool);
        command.current_dir(&directory).args(["fuzz", verb]);
        command.env("RUSTUP_TOOLCHAIN", "nightly");
        command
    };
    let listed = process::output(&mut fuzz("list"))?;
    let targets: Vec<&str> = listed.lines().collect();
    let count = u32::try_from(targets.len()).unwrap_or(u32::MAX).max(1);
    let seconds = (time / count).as_secs().max(10);
    let mut lines = vec![format!("{count} targets, {seconds} s each.")];
    for target in targets {
        // What is found goes to the first directory; the committed corpus is only read.
        let found = workspace.target().join("torture/corpus").join(target);
        fs::create_dir_all(&found)?;
        let mut command = fuzz("run");
        command.arg("--target-dir").arg(workspace.target().join("fuzz"));
        command.arg(target).arg(&found).arg(directory.join("corpus").join(target));
        command.arg("--").arg(format!("-max_total_time={seconds}"));
        let told = process::tee(&mut command)?;
        let runs = told.text.lines().rev().find(|line| line.contains("Done "));
        lines.push(match (told.status.success(), runs) {
            (true, Some(done)) => format!("- `{target}`: {}.", done.trim()),
            (true, None) => format!("- `{target}`: nothing found."),
            (false, _) => {
                format!("- `{target}`: FAILED, the input is under tests/fuzz/fuzz/artifacts.")
            }
        });
    }
    Ok(lines)
}

/// Mutates the crates that decide, package by package, for their share of `time`.
fn mutate(workspace: &Workspace, time: Duration) -> Result<Vec<String>> {
    let tool = tool(workspace, "cargo-mutants")?;
    let share = time / u32::try_from(MUTATED.len())?;
    let mut lines = vec!["A random sample, as large as the time allowed.".to_owned()];
    for package in MUTATED {
        let out = workspace.target().join("torture").join(package);
        fs::create_dir_all(&out)?;
        let mut command = Command::new("timeout");
        command.current_dir(workspace.root());
        // An interrupted run has written what it knows so far.
        command.args(["--signal=INT", "--kill-after=60", &share.as_secs().to_string()]);
        command.arg(&tool).args(["mutants", "--package", package, "--shuffle", "--no-times"]);
        command.args(["--minimum-test-timeout", "60", "--output"]).arg(&out);
        process::tee(&mut command)?;
        let mut list = workspace.command(&tool);
        let listed = process::output(list.args(["mutants", "--list", "--package", package]))?;
        let there_are = listed.lines().count();
        lines.extend(outcomes(package, there_are, &out.join("mutants.out/outcomes.json"))?);
    }
    Ok(lines)
}

/// Reads what came of the mutants of one package.
fn outcomes(package: &str, there_are: usize, path: &Path) -> Result<Vec<String>> {
    let text = fs::read_to_string(path).with_context(|| format!("no {}", path.display()))?;
    let json: Value = serde_json::from_str(&text)?;
    let number = |name: &str| json.get(name).and_then(Value::as_u64).unwrap_or_default();
    let (caught, missed) = (number("caught") + number("timeout"), number("missed"));
    let score = match caught + missed {
        0 => "no score".to_owned(),
        all => format!("{:.1} %", 100.0 * caught as f64 / all as f64),
    };
    let unviable = number("unviable");
    let mut lines = vec![format!(
        "`{package}`: {caught} caught, {missed} missed, {unviable} did not compile, \
         of {there_are} there are; {score}."
    )];
    let list = json.get("outcomes").and_then(Value::as_array).into_iter().flatten();
    for outcome in list.filter(|outcome| outcome["summary"] == "MissedMutant") {
        let name = outcome.pointer("/scenario/Mutant/name").and_then(Value::as_str);
        lines.push(format!("- missed: `{}`", name.unwrap_or("a mutant without a name")));
    }
    Ok(lines)
}

/// Returns a cargo tool, installed under the target directory if it is not there yet.
fn tool(workspace: &Workspace, name: &str) -> Result<PathBuf> {
    if let Some(found) = process::which(name) {
        return Ok(found);
    }
    let root = workspace.target().join("tools").join(name);
    let path = root.join("bin").join(name);
    if !path.is_file() {
        let mut install = workspace.cargo();
        install.args(["install", "--locked", "--quiet", name, "--root"]).arg(&root);
        process::run(&mut install)?;
    }
    Ok(path)
}

/// An afternoon's worth is asked for by name; an hour is what one waits for.
const MINUTES_DEFAULT: u64 = 60;

/// How many times the seeds of a usual run.
const TIMES: u64 = 5;

/// What proptest runs unless told.
const PROPTEST_CASES_USUAL: u64 = 256;

/// The crates that decide, and the one that remembers.
const MUTATED: [&str; 4] = ["iddio-core", "iddio-policy", "iddio-classify", "iddio-audit"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_of_the_mutants_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("outcomes.json");
        let json = r#"{"caught": 18, "missed": 1, "timeout": 1, "unviable": 4, "outcomes": [
            {"summary": "Success", "scenario": "Baseline"},
            {"summary": "MissedMutant", "scenario": {"Mutant": {"name": "replace a with b"}}}
        ]}"#;
        fs::write(&path, json).unwrap();
        let lines = outcomes("iddio-core", 100, &path).unwrap();
        assert_eq!(
            lines,
            [
                "`iddio-core`: 19 caught, 1 missed, 4 did not compile, of 100 there are; 95.0 %.",
                "- missed: `replace a with b`",
            ]
        );
    }

    #[test]
    fn a_part_that_could_not_run_is_in_the_report() {
        let parts = [part("Fuzzing", || bail!("no nightly"))];
        assert!(report("2026-11-20", 1, &parts).contains("It could not run: no nightly."));
    }
}
