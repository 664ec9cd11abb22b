//! `cargo xtask test`: every check, in stages, and one closing line.
//!
//! The closing line, `N passed, N failed`, stands alone on standard output and is summed over all
//! test binaries; a failed stage that is not a test run counts as one failure, so the line never
//! looks green when the exit status is not. A run that ran no test at all has failed.
//!
//! What it does not do: skip in silence. What `IDDIO_TEST_WITHOUT` leaves out is printed and
//! counted as skipped, never as passed.

use std::{collections::BTreeSet, env, process::Command, time::Instant};

use anyhow::{Result, bail};

use crate::{
    catalogs, docs,
    process::{self, Workspace},
    provision::{self, Tools},
    tidy,
};

/// How much to run.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Scope {
    /// All of it.
    Everything,
    /// Only the tests whose names contain this.
    Matching(String),
    /// What needs neither real programs nor documents: format, lints, tidy and unit tests.
    Quick,
}

/// How many tests ended how.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Count {
    /// Did what they claim.
    pub(crate) passed: u64,
    /// Did not, or could not be run.
    pub(crate) failed: u64,
    /// Were left out.
    pub(crate) skipped: u64,
}

/// The stages so far.
struct Run {
    lines: Vec<String>,
    count: Count,
}

/// Who runs the tests.
#[derive(Clone, Copy)]
enum Runner {
    CargoTest,
    Nextest,
}

/// Runs the checks that `scope` asks for.
pub(crate) fn run(workspace: &Workspace, scope: &Scope) -> Result<()> {
    let without = without()?;
    let mut run = Run { lines: Vec::new(), count: Count::default() };
    if !matches!(scope, Scope::Matching(_)) {
        run.check("format", || process::run(workspace.cargo().args(["fmt", "--all", "--check"])));
        run.check("lints", || process::run(workspace.cargo().args(CLIPPY)));
        run.check("tidy", || tidy::run(workspace));
    }
    let mut tools = Tools::default();
    if !matches!(scope, Scope::Quick) {
        run.check("real parts", || {
            tools = provision::run(workspace)?;
            Ok(())
        });
    }
    if *scope == Scope::Everything {
        run.check("catalogs", || catalogs::run(workspace, catalogs::Mode::Check));
    }
    let built = run.check("build", || {
        process::run(workspace.cargo().args(["build", "--workspace", "--all-targets"]))
    });
    if built {
        run.tests("tests", || tests(workspace, scope, &tools, &without));
        if *scope == Scope::Everything {
            run.tests("doc tests", || {
                let mut command = workspace.cargo();
                command.args(["test", "--workspace", "--doc"]);
                count(&mut command, Runner::CargoTest)
            });
            run.check("docs", || docs::check(workspace));
        }
    }
    run.close(&without)
}

// === impl Scope ===

impl Scope {
    /// Reads the words after `test`.
    pub(crate) fn read(words: &[&str]) -> Result<Self> {
        match words {
            [] => Ok(Self::Everything),
            ["--quick"] => Ok(Self::Quick),
            [word] if !word.starts_with('-') => Ok(Self::Matching((*word).to_owned())),
            _ => bail!("expected `test [--quick] [FILTER]`"),
        }
    }
}

// === impl Count ===

impl Count {
    /// Adds the numbers of another run.
    fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }

    /// Returns the closing line.
    fn line(self) -> String {
        let Self { passed, failed, skipped } = self;
        match skipped {
            0 => format!("{passed} passed, {failed} failed"),
            _ => format!("{passed} passed, {failed} failed, {skipped} skipped"),
        }
    }
}

// === impl Run ===

impl Run {
    /// Runs a stage that either holds or does not, and returns whether the next may rely on it.
    fn check(&mut self, name: &str, stage: impl FnOnce() -> Result<()>) -> bool {
        let result = self.stage(name, || stage().map(|()| Count::default()));
        self.count.failed += u64::from(result.is_none());
        result.is_some()
    }

    /// Runs a stage that counts tests.
    fn tests(&mut self, name: &str, stage: impl FnOnce() -> Result<Count>) {
        match self.stage(name, stage) {
            Some(count) => self.count.add(count),
            None => self.count.failed += 1,
        }
    }

    fn stage(&mut self, name: &str, stage: impl FnOnce() -> Result<Count>) -> Option<Count> {
        eprintln!("── {name}");
        let started = Instant::now();
        let result = stage();
        let seconds = started.elapsed().as_secs_f64();
        let word = match &result {
            Ok(count) if count.failed == 0 => "ok".to_owned(),
            Ok(count) => format!("FAILED ({})", count.line()),
            Err(error) => format!("FAILED: {error:#}"),
        };
        let line = format!("{name:<12} {seconds:>7.1} s  {word}");
        eprintln!("── {line}");
        self.lines.push(line);
        result.ok()
    }

    fn close(mut self, without: &[String]) -> Result<()> {
        eprintln!("\nstages");
        for line in &self.lines {
            eprintln!("  {line}");
        }
        for name in without {
            eprintln!("left out: tests that need {name} (IDDIO_TEST_WITHOUT)");
        }
        if self.count.passed == 0 {
            eprintln!("no test passed: nothing was shown");
            self.count.failed += 1;
        }
        println!("{}", self.count.line());
        match self.count.failed {
            0 => Ok(()),
            failed => bail!("{failed} failed"),
        }
    }
}

/// Returns the programs whose tests are left out: only those that no package has.
fn without() -> Result<Vec<String>> {
    let named = env::var("IDDIO_TEST_WITHOUT").unwrap_or_default();
    let names: Vec<String> =
        named.split(',').map(str::trim).filter(|name| !name.is_empty()).map(Into::into).collect();
    match names.iter().find(|name| !WITHOUT_ALLOWED.contains(&name.as_str())) {
        Some(name) => bail!("IDDIO_TEST_WITHOUT may not name `{name}`, only {WITHOUT_ALLOWED:?}"),
        None => Ok(names),
    }
}

fn tests(workspace: &Workspace, scope: &Scope, tools: &Tools, without: &[String]) -> Result<Count> {
    let runner = match process::which("cargo-nextest") {
        Some(_) => Runner::Nextest,
        None => Runner::CargoTest,
    };
    let mut command = workspace.cargo();
    match runner {
        Runner::Nextest => command.args(["nextest", "run", "--workspace", "--no-fail-fast"]),
        Runner::CargoTest => command.args(["test", "--workspace", "--no-fail-fast"]),
    };
    match (scope, runner) {
        (Scope::Quick, _) => command.args(["--lib", "--bins"]),
        (_, Runner::Nextest) => command.args(["--lib", "--bins", "--tests"]),
        (_, Runner::CargoTest) => command.args(["--lib", "--bins", "--tests"]),
    };
    if matches!(runner, Runner::Nextest) {
        command.args(["--status-level", "fail", "--final-status-level", "fail"]);
        if !without.is_empty() {
            command.args(["--success-output", "immediate"]);
        }
    }
    if let Scope::Matching(filter) = scope {
        command.arg(filter);
    }
    if matches!(runner, Runner::CargoTest) && !without.is_empty() {
        command.args(["--", "--show-output"]);
    }
    command.envs(tools.variables());
    command.env("IDDIO_TEST_BIN", workspace.target().join("debug/iddio"));
    let mut counted = count(&mut command, runner)?;
    if !matches!(scope, Scope::Everything) {
        // Those that the filter left out were not asked for.
        counted.skipped = 0;
    }
    Ok(counted)
}

/// Runs a test runner and counts what it ran.
fn count(command: &mut Command, runner: Runner) -> Result<Count> {
    let told = process::tee(command.env("NEXTEST_HIDE_PROGRESS_BAR", "1"))?;
    let mut count = match runner {
        Runner::CargoTest => read_cargo_test(&told.text),
        Runner::Nextest => read_nextest(&told.text),
    };
    // Such a test ends well, having shown nothing: it was left out, it did not pass.
    let left_out = left_out(&told.text).min(count.passed);
    count.passed -= left_out;
    count.skipped += left_out;
    if !told.status.success() && count.failed == 0 {
        // A binary that died, or did not start, has no line of its own.
        count.failed = 1;
    }
    Ok(count)
}

/// Reads `test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 1 filtered out`.
fn read_cargo_test(text: &str) -> Count {
    let mut count = Count::default();
    for line in text.lines() {
        let Some((_, numbers)) = line.trim().split_once("test result: ") else { continue };
        let numbers = numbers.split_once(". ").map_or(numbers, |(_, numbers)| numbers);
        for part in numbers.split(';') {
            add_part(&mut count, part);
        }
    }
    count
}

/// Reads `Summary [ 0.1s] 5 tests run: 3 passed (1 slow), 1 failed, 1 timed out, 2 skipped`.
fn read_nextest(text: &str) -> Count {
    let mut count = Count::default();
    for line in text.lines() {
        let Some((before, numbers)) = line.split_once(" run: ") else { continue };
        if !before.trim_start().starts_with("Summary") {
            continue;
        }
        for part in without_asides(numbers).split(',') {
            add_part(&mut count, part);
        }
    }
    count
}

/// Returns how many tests said that they did without their real part.
fn left_out(text: &str) -> u64 {
    let lines: BTreeSet<&str> =
        text.lines().map(str::trim).filter(|line| line.starts_with(LEFT_OUT)).collect();
    lines.len().try_into().unwrap_or(u64::MAX)
}

/// Removes what stands in parentheses.
fn without_asides(text: &str) -> String {
    let mut depth = 0_u32;
    let mut kept = String::new();
    for letter in text.chars() {
        match letter {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ if depth == 0 => kept.push(letter),
            _ => {}
        }
    }
    kept
}

fn add_part(count: &mut Count, part: &str) {
    let Some((number, word)) = part.trim().split_once(' ') else { return };
    let Ok(number) = number.parse::<u64>() else { return };
    match word.split_whitespace().next() {
        Some("passed") => count.passed += number,
        Some("skipped" | "ignored" | "filtered") => count.skipped += number,
        Some("measured") | None => {}
        Some(_) => count.failed += number,
    }
}

const CLIPPY: [&str; 6] = ["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"];

/// The programs that no package has, so that a machine may lack them; and booting systemd in namespaces, which
/// a container may not.
const WITHOUT_ALLOWED: [&str; 3] = ["helm", "systemd-boot", "terraform"];

/// What a test prints, with its name behind, when it is told to do without its real part.
const LEFT_OUT: &str = "WITHOUT ";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_of_both_runners_are_summed() {
        let cargo = "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 2 filtered out; finished in 0.0s\n\
                     test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out\n";
        assert_eq!(read_cargo_test(cargo), Count { passed: 4, failed: 2, skipped: 3 });
        let nextest = "     Summary [   0.1s] 7 tests run: 4 passed (1 slow, 1 leaky), 1 failed, 2 timed out, 5 skipped\n";
        assert_eq!(read_nextest(nextest).failed, 3);
        let one = " Summary [ 0.1s] 1 test run: 1 passed, 0 skipped";
        assert_eq!(read_nextest(one), Count { passed: 1, failed: 0, skipped: 0 });
    }

    #[test]
    fn a_test_that_was_left_out_has_not_passed() {
        let said = "test a ... ok\n  WITHOUT helm: a\n  WITHOUT helm: a\nWITHOUT terraform: b\n";
        assert_eq!(left_out(said), 2);
    }

    #[test]
    fn the_closing_line_says_skipped_only_when_something_was() {
        assert_eq!(Count { passed: 2, failed: 0, skipped: 0 }.line(), "2 passed, 0 failed");
        assert_eq!(
            Count { passed: 2, failed: 1, skipped: 3 }.line(),
            "2 passed, 1 failed, 3 skipped"
        );
    }

    #[test]
    fn a_failed_stage_is_never_a_green_line() {
        let mut run = Run { lines: Vec::new(), count: Count::default() };
        run.tests("tests", || Ok(Count { passed: 3, failed: 0, skipped: 0 }));
        assert!(!run.check("lints", || bail!("a warning")));
        assert_eq!(run.count.line(), "3 passed, 1 failed");
        assert!(run.close(&[]).is_err());
    }

    #[test]
    fn a_run_without_a_test_has_failed() {
        let run = Run { lines: Vec::new(), count: Count::default() };
        assert!(run.close(&[]).is_err());
    }

    #[test]
    fn words_after_test_are_read_strictly() {
        assert_eq!(Scope::read(&[]).unwrap(), Scope::Everything);
        assert_eq!(Scope::read(&["--quick"]).unwrap(), Scope::Quick);
        assert_eq!(Scope::read(&["torn"]).unwrap(), Scope::Matching("torn".into()));
        assert!(Scope::read(&["--fast"]).is_err());
    }
}
