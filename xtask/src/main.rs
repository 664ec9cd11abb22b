//! Everything that is not cargo: test, ci, tidy, bench, torture.
//!
//! One command per verb; each is a module of the same name. Words for people go to standard error,
//! except the closing line of `test`, which goes to standard output for whoever counts.
//!
//! What it does not do: install anything from a crate registry to run the tests, or reach any
//! network address itself. Package managers do that, in [`provision`] and [`torture`].

mod bench;
mod catalogs;
mod docs;
mod process;
mod provision;
mod suite;
mod tidy;
mod torture;

use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::{process::Workspace, suite::Scope};

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match Workspace::find().and_then(|workspace| run(&workspace, &words)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(workspace: &Workspace, words: &[String]) -> Result<()> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["bench", names @ ..] => bench::run(workspace, names),
        // What `bench` runs of itself, inside a mount namespace.
        ["bench-inside", iddio, world] => bench::startup_inside(iddio, world),
        ["catalogs"] => catalogs::run(workspace, catalogs::Mode::Write),
        ["catalogs", "--check"] => catalogs::run(workspace, catalogs::Mode::Check),
        ["ci"] => suite::run(workspace, &Scope::Everything),
        ["docs"] => docs::write(workspace),
        ["provision"] => provision::run(workspace).map(|_| ()),
        ["test", rest @ ..] => suite::run(workspace, &Scope::read(rest)?),
        ["tidy"] => tidy::run(workspace),
        ["torture", rest @ ..] => torture::run(workspace, rest),
        [] | ["help" | "--help" | "-h"] => {
            eprint!("{HELP}");
            Ok(())
        }
        [word, ..] => bail!("unknown command `{word}`\n{HELP}"),
    }
}

const HELP: &str = "\
usage: cargo xtask COMMAND

  test [--quick] [FILTER]  run every check; with a filter, only the tests whose names contain it
  ci                       run what continuous integration runs: `test`, everything
  tidy                     check what the compiler does not: arrows, house rules, documents
  provision                find or install the real programs that tests drive
  bench [NAME]             measure, and write docs/performance.md
  torture [MINUTES]        mutate, fuzz and simulate for longer, and write a dated report
  catalogs [--check]       write the tables of what every AWS operation does, or fail if they are stale
  docs                     write the generated reference, man pages and completions
";
