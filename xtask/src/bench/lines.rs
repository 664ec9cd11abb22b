//! What judging command lines costs: P3 of command lines, and P13, beside two other readers of shell
//! programs in the same run.
//!
//! What a judgement costs is counted in instructions; what the goals say in times is the least of
//! many runs. The other readers read, and judge nothing.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;

use super::{callgrind, report::Row};
use crate::process::{self, Workspace};

/// The two programs that measure.
pub(super) struct Programs {
    /// Judges, and tells how long that takes.
    pub(super) times: PathBuf,
    /// Judges, and tells what that allocates.
    pub(super) allocations: PathBuf,
}

/// What something costs each time but the first.
struct Cost {
    instructions: u64,
    nanos: u64,
}

/// Whether a row is one of these.
pub(super) fn owns(row: &Row) -> bool {
    row.what.starts_with(JUDGEMENT) || row.what.starts_with(KINDS)
}

pub(super) fn rows(workspace: &Workspace, programs: &Programs) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for words in ARGUMENTS {
        rows.push(arguments(workspace, programs, words)?);
    }
    for (text, goal) in TEXTS {
        rows.push(text_beside(workspace, programs, text, goal)?);
    }
    rows.extend(worst(workspace, &programs.times)?);
    Ok(rows)
}

/// An argument vector: what its first judgement takes, which unpacks the tool's catalog, and what
/// every other takes.
fn arguments(workspace: &Workspace, programs: &Programs, words: &[&str]) -> Result<Row> {
    let cost = cost(workspace, &programs.times, "argv", words)?;
    let run =
        |times: &str| callgrind::counted(workspace, &programs.times, said("argv", times, words));
    let first = run("1")?.checked_sub(run("0")?).context("judging took less than nothing")?;
    let mut least = u64::MAX;
    for _ in 0..RUNS {
        let told = told(workspace, &programs.times, said("argv", "1", words))?;
        least = least.min(number(&told, "first_nanos")?);
    }
    let allocations = allocations(workspace, &programs.allocations, "argv", words)?;
    Ok(Row {
        id: "P3".to_owned(),
        what: format!("{JUDGEMENT} the arguments `{}`", shown(&words.join(" "))),
        ours: format!(
            "{} instructions, {:.1} µs, {allocations} allocations; the first time {:.2} ms, {:.1} \
             million instructions",
            cost.instructions,
            micros(cost.nanos),
            least as f64 / 1e6,
            first as f64 / 1e6
        ),
        reference: "callgrind; least of many runs".to_owned(),
        ratio: String::new(),
        goal: "the first time ≤ 2 ms".to_owned(),
    })
}

/// A text for a shell, beside other readers that only read it.
fn text_beside(workspace: &Workspace, programs: &Programs, text: &str, goal: &str) -> Result<Row> {
    let ours = cost(workspace, &programs.times, "shell", &[text])?;
    let sitter = cost(workspace, &programs.times, "sitter", &[text])?;
    let brush = cost(workspace, &programs.times, "brush", &[text])?;
    let allocations = allocations(workspace, &programs.allocations, "shell", &[text])?;
    let ratio = |other: &Cost| ours.instructions as f64 / other.instructions as f64;
    Ok(Row {
        id: "P13".to_owned(),
        what: format!("{JUDGEMENT} the {} bytes `{}`", text.len(), shown(text)),
        ours: format!(
            "{:.1} µs, {} instructions, {allocations} allocations",
            micros(ours.nanos),
            ours.instructions
        ),
        reference: format!(
            "reading alone: tree-sitter-bash {:.1} µs, {} instructions; brush-parser {:.1} µs, {} \
             instructions",
            micros(sitter.nanos),
            sitter.instructions,
            micros(brush.nanos),
            brush.instructions
        ),
        ratio: format!("{:.2}; {:.2}", ratio(&sitter), ratio(&brush)),
        goal: goal.to_owned(),
    })
}

/// The worst texts of 64 KiB: those that were the worst once, and those that are the worst now.
fn worst(workspace: &Workspace, program: &Path) -> Result<Vec<Row>> {
    let names = process::output(workspace.command(program).arg("families"))?;
    let names: Vec<&str> = names.lines().collect();
    let time = |kind: &str, times: &str, name: &str| {
        let text = format!("@{name}");
        number(&told(workspace, program, said(kind, times, &[&text]))?, "each_nanos")
    };
    // Whatever may be too slow is looked at again: few runs say little on a shared machine.
    let mut all = Vec::new();
    for name in &names {
        let few = time("shell", "6", name)?;
        let nanos = if few < WORST_NANOS / 2 { few } else { few.min(time("shell", FEW, name)?) };
        all.push((nanos, *name));
    }
    all.sort_unstable();
    all.reverse();
    let slow = all.iter().filter(|(nanos, _)| WORST_NANOS < *nanos).count();
    let shown = |place: usize, name: &str| place < WORST || ONCE_THE_WORST.contains(&name);
    let mut rows = Vec::new();
    for (_, (nanos, name)) in
        all.iter().enumerate().filter(|(place, (_, name))| shown(*place, name))
    {
        let ours = (*nanos).min(time("shell", FEW, name)?);
        let sitter = time("sitter", "11", name)?;
        rows.push(Row {
            id: "P13".to_owned(),
            what: format!("{JUDGEMENT} 64 KiB, {name}"),
            ours: format!("{:.1} ms", ours as f64 / 1e6),
            reference: format!("tree-sitter-bash, reading alone, {:.1} ms", sitter as f64 / 1e6),
            ratio: format!("{:.2}", ours as f64 / sitter as f64),
            goal: "≤ 20 ms".to_owned(),
        });
    }
    rows.push(Row {
        id: "P13".to_owned(),
        what: format!("{KINDS} that take more than 20 ms, of {}", names.len()),
        ours: slow.to_string(),
        reference: String::new(),
        ratio: String::new(),
        goal: "0".to_owned(),
    });
    Ok(rows)
}

fn cost(workspace: &Workspace, program: &Path, kind: &str, words: &[&str]) -> Result<Cost> {
    let run = |times: u64| {
        let times = times.to_string();
        callgrind::counted(workspace, program, said(kind, &times, words))
    };
    let (one, many) = (run(1)?, run(1 + COUNTED)?);
    let told = told(workspace, program, said(kind, TIMED, words))?;
    Ok(Cost {
        instructions: many.checked_sub(one).context("more of it took less")? / COUNTED,
        nanos: number(&told, "each_nanos")?,
    })
}

fn allocations(workspace: &Workspace, program: &Path, kind: &str, words: &[&str]) -> Result<u64> {
    let told = told(workspace, program, [kind].into_iter().chain(words.iter().copied()))?;
    number(&told, "allocations")
}

/// The words that say what to do how often.
fn said<'w>(kind: &'w str, times: &'w str, words: &'w [&'w str]) -> impl Iterator<Item = &'w str> {
    [kind, times].into_iter().chain(words.iter().copied())
}

fn told<'w>(
    workspace: &Workspace,
    program: &Path,
    words: impl Iterator<Item = &'w str>,
) -> Result<Value> {
    let told = process::output(workspace.command(program).args(words))?;
    serde_json::from_str(told.trim()).with_context(|| format!("`{told}`"))
}

fn number(told: &Value, name: &str) -> Result<u64> {
    told.get(name).and_then(Value::as_u64).with_context(|| format!("no `{name}` was told"))
}

fn micros(nanos: u64) -> f64 {
    nanos as f64 / 1e3
}

/// Text as a cell of a table holds it.
fn shown(text: &str) -> String {
    text.replace('|', "\\|")
}

/// How the rows begin.
const JUDGEMENT: &str = "judgement of";
const KINDS: &str = "kinds of 64 KiB";

/// Argument vectors whose first judgement is measured.
const ARGUMENTS: [&[&str]; 8] = [
    &["ls", "-la"],
    &["git", "status"],
    &["kubectl", "get", "pods"],
    &["docker", "ps"],
    &["terraform", "plan"],
    &["aws", "ec2", "describe-instances"],
    &["gcloud", "compute", "instances", "list"],
    &["bash", "-c", "ls | wc"],
];

/// Texts, each with its goal.
const TEXTS: [(&str, &str); 3] = [
    ("ls -la /var/log/nginx", "≤ 1 µs without metacharacters"),
    (LOOP, "≤ 15 µs for 125 bytes"),
    (PIPES, "≤ 15 µs for 125 bytes"),
];

const LOOP: &str = "for f in $(find /var/log -name '*.gz'); do echo \"${f%.gz}\" && zcat \"$f\" | \
                    grep -c 'ERROR' >> /srv/errors.txt 2>&1; done; echo ok";

const PIPES: &str = "cat /var/log/nginx/access.log | grep -v healthz | awk '{print $1}' | sort | \
                     uniq -c | sort -rn | head -20 > /srv/top-clients.txt";

/// Texts that took hundreds of milliseconds before the walk shared what it reads and remembers what
/// it judged.
const ONCE_THE_WORST: [&str; 6] = [
    "deep processes",
    "deep substitutions",
    "deep functions",
    "a query",
    "subscripts",
    "a long function called twice",
];

/// How many of those that are the worst now are shown.
const WORST: usize = 6;

/// What none of them should take.
const WORST_NANOS: u64 = 20_000_000;

/// How often something is counted besides the first time.
const COUNTED: u64 = 200;

/// How often something small is timed: a hundred rounds of two hundred.
const TIMED: &str = "20001";

/// How often something large is timed.
const FEW: &str = "61";

/// How many processes judge for the first time.
const RUNS: usize = 60;
