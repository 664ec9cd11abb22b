//! `iddio catalog`: what the catalogs know, and whether they say what was meant.

use std::{
    env,
    fs::File,
    io::{self, BufRead, BufReader, Read},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use iddio_classify::{
    catalog::{Catalog, CatalogError, Sample, ToldCatalog, ToldCommand, Weight},
    command::{Ambient, judge_by, shell_line},
    coverage::{Coverage, Report, Unknown},
};
use iddio_core::{
    audit::{AdminEvent, Field},
    digest::Digest,
    text::RawText,
    time::Clock,
};
use iddio_exec::catalogs::Found;
use iddio_runtime::tools::{By, Known, Stamp, Tools};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    cli::CatalogVerb,
    commands,
    exit::{DONE, Ended, Failure},
    output::{self, Voice, foreign},
};

pub(crate) fn run(verb: CatalogVerb, voice: Voice) -> Ended {
    match verb {
        CatalogVerb::Coverage { file, json } => coverage(file.as_deref(), json),
        CatalogVerb::Explain { tool, path, json } => explain(&tool, &path.join(" "), json),
        CatalogVerb::Lint { files, json } => lint(&files, json, voice),
        CatalogVerb::List(json) => list(json.json),
        CatalogVerb::Trust { path, json } => trust(&path, json, voice),
    }
}

// === list ===

fn list(json: bool) -> Ended {
    let added = commands::catalogs()?;
    let mut rows: Vec<Value> =
        built_in()?.into_iter().map(|catalog| row(catalog, "built-in", None)).collect();
    rows.extend(
        added
            .found()
            .iter()
            .map(|found| row(found.added.catalog(), weight(found), Some(&found.path))),
    );
    if json {
        output::json(&Value::Array(rows))?;
        return Ok(DONE);
    }
    for row in rows {
        let text = |key: &str| foreign(row.get(key).and_then(Value::as_str).unwrap_or_default());
        let (name, from, summary) = (text("name"), text("from"), text("summary"));
        output::line(format_args!("{name:<16}  {from:<18}  {summary}"))?;
    }
    Ok(DONE)
}

fn row(catalog: &Catalog, from: &str, path: Option<&Path>) -> Value {
    json!({
        "name": catalog.name(),
        "from": from,
        "summary": catalog.summary(),
        "programs": catalog.programs(),
        "sha256": catalog.digest().to_hex(),
        "path": path,
    })
}

/// How a catalog of the installation counts, in words.
fn weight(found: &Found) -> &'static str {
    match (found.added.weight(), found.added.strangers().next()) {
        (Weight::Replaces, _) => "added, trusted",
        (Weight::Raises, None) => "added, raises",
        (Weight::Raises, Some(_)) => "added, not trusted",
    }
}

fn built_in() -> Result<Vec<&'static Catalog>, Failure> {
    let broken = |(name, error): (&str, &CatalogError)| {
        Failure::unavailable(format!("the built-in catalog {name}.toml:{error}"))
    };
    Catalog::built_in().map(|catalog| catalog.map_err(broken)).collect()
}

// === explain ===

fn explain(tool: &str, path: &str, json: bool) -> Ended {
    let added = commands::catalogs()?;
    let goes_by = |catalog: &&Catalog| {
        catalog.name() == tool || catalog.programs().iter().any(|program| program == tool)
    };
    let built_in = built_in()?.into_iter();
    let catalogs = built_in.chain(added.found().iter().map(|found| found.added.catalog()));
    let told: Vec<ToldCatalog> = catalogs.filter(goes_by).map(Catalog::explained).collect();
    if told.is_empty() {
        return Err(Failure::unavailable(format!("no catalog knows `{}`", foreign(tool)))
            .hint("a program no catalog knows is T3: docs/add-a-tool.md"));
    }
    let told: Vec<ToldCatalog> = told.into_iter().map(|told| narrowed(told, path)).collect();
    if told.iter().all(|told| told.commands.is_empty()) {
        let text = format!("the catalog of `{}` knows no `{}`", foreign(tool), foreign(path));
        return Err(Failure::unavailable(text).hint("what it does not know is T2 or more"));
    }
    for told in &told {
        match json {
            true => output::json(&serde_json::to_value(told).map_err(Failure::unavailable)?)?,
            false => tell(told, path)?,
        }
    }
    Ok(DONE)
}

/// Keeps the subcommand that is asked about, and those below it.
fn narrowed(mut told: ToldCatalog, path: &str) -> ToldCatalog {
    if path.is_empty() {
        return told;
    }
    let below = format!("{path} ");
    let last = path.rsplit(' ').next().unwrap_or(path);
    told.commands.retain(|command| {
        let aliased = command.aliases.iter().any(|alias| alias == last);
        command.path == path || command.path.starts_with(&below) || aliased
    });
    let words: Vec<&str> = path.split(' ').collect();
    told.examples.retain(|example| {
        let run: Vec<&str> = example.run.split(' ').collect();
        run.windows(words.len()).any(|window| window == words)
    });
    told
}

/// Tells a catalog, or the one subcommand in full.
fn tell(told: &ToldCatalog, path: &str) -> io::Result<()> {
    let programs = told.programs.join(" ");
    output::line(format_args!("{}  {}", foreign(&told.name), foreign(&told.summary)))?;
    output::line(format_args!("  programs   {}", foreign(&programs)))?;
    output::line(format_args!("  protocol   {}  sha256 {}", told.protocol, told.sha256))?;
    for command in &told.commands {
        tell_command(command)?;
    }
    if !path.is_empty() {
        return tell_examples(told);
    }
    for family in &told.families {
        let (patterns, why) = (family.commands.join(", "), foreign(&family.why));
        output::line(format_args!("  T{}  {}  {why}", family.tier, foreign(&patterns)))?;
    }
    let unknown = &told.unknown;
    output::line(format_args!(
        "  unknown    subcommands T{}, flags T{}",
        unknown.command, unknown.flag
    ))?;
    output::line(format_args!("  keeps      {}", foreign(&told.keeps.join(" "))))?;
    for set in &told.sets {
        output::line(format_args!("  sets       {}", foreign(set)))?;
    }
    for what in &told.neutralises {
        output::line(format_args!("  without    {}", foreign(what)))?;
    }
    if !told.scopes.is_empty() {
        output::line(format_args!("  scopes     {}", told.scopes.join(" ")))?;
    }
    tell_examples(told)
}

fn tell_command(command: &ToldCommand) -> io::Result<()> {
    let ToldCommand { path, tier, class, why, aliases, arguments, raised_by, .. } = command;
    let path = if path.is_empty() { "(alone)" } else { path };
    let class = class.map(|class| format!(" {class}")).unwrap_or_default();
    let words: Vec<&str> =
        std::iter::once(path).chain(arguments.iter().map(String::as_str)).collect();
    let also = match aliases.is_empty() {
        true => String::new(),
        false => format!("  (also {})", foreign(&aliases.join(", "))),
    };
    let words = foreign(&words.join(" "));
    output::line(format_args!("  T{tier}{class}  {words}  {}{also}", foreign(why)))?;
    for flag in raised_by {
        let when = match flag.when.is_empty() {
            true => String::new(),
            false => format!(" = {}", foreign(&flag.when.join(" | "))),
        };
        let (names, why) = (foreign(&flag.names), foreign(&flag.why));
        output::line(format_args!("      T{}  {names}{when}  {why}", flag.tier))?;
    }
    Ok(())
}

fn tell_examples(told: &ToldCatalog) -> io::Result<()> {
    for example in &told.examples {
        output::line(format_args!("  example    T{}  {}", example.tier, foreign(&example.run)))?;
    }
    Ok(())
}

// === lint ===

/// Something lint says, with its place.
struct Said {
    file: String,
    line: usize,
    column: usize,
    level: &'static str,
    message: String,
}

fn lint(files: &[PathBuf], json: bool, voice: Voice) -> Ended {
    let mut said = Vec::new();
    let mut examples = 0;
    if files.is_empty() {
        for (name, source) in Catalog::sources() {
            examples += lint_source(&format!("{name}.toml"), source, &mut said);
        }
        for found in commands::catalogs()?.found() {
            let source = commands::text(&found.path)?;
            examples += lint_source(&found.path.display().to_string(), &source, &mut said);
        }
    }
    for file in files {
        let source = commands::text(file)?;
        examples += lint_source(&file.display().to_string(), &source, &mut said);
    }
    if json {
        let told = said.iter().map(|said| {
            let Said { file, line, column, level, message } = said;
            json!({
                "file": file, "line": line, "column": column, "level": level, "message": message,
            })
        });
        output::json(&json!({"findings": told.collect::<Vec<_>>(), "examples": examples}))?;
    } else {
        for Said { file, line, column, level, message } in &said {
            let (file, message) = (foreign(file), foreign(message));
            output::line(format_args!("{file}:{line}:{column}: {level}: {message}"))?;
        }
        if said.is_empty() {
            voice.say(format_args!("nothing to remark; {examples} examples hold"));
        }
    }
    if said.iter().any(|said| said.level == ERROR) { Err(Failure::No) } else { Ok(DONE) }
}

/// Looks one catalog over, runs its examples, and returns how many there are.
fn lint_source(file: &str, source: &str, said: &mut Vec<Said>) -> usize {
    let mut say = |level, CatalogError { line, column, message }| {
        said.push(Said { file: file.to_owned(), line, column, level, message });
    };
    let read = Catalog::parse(source)
        .and_then(|catalog| Ok((catalog, Catalog::samples(source)?, Catalog::lint(source)?)));
    let (catalog, samples, remarks) = match read {
        Ok(read) => read,
        Err(error) => {
            say(ERROR, error);
            return 0;
        }
    };
    for remark in remarks {
        say("warning", remark);
    }
    for sample in &samples {
        if let Some(message) = fault(&catalog, sample) {
            say(ERROR, CatalogError { line: sample.line, column: 1, message });
        }
    }
    samples.len()
}

/// Says what does not hold of an example.
fn fault(catalog: &Catalog, sample: &Sample) -> Option<String> {
    let argv: Vec<RawText> = sample.argv.iter().map(|word| RawText::from(word.as_str())).collect();
    let judged = judge_by(catalog, &argv, &Ambient::default());
    let operations = judged.operations();
    let worst = operations.worst();
    let run = sample.argv.join(" ");
    let why = worst.deciding_reason().map(|why| why.text.clone()).unwrap_or_default();
    if judged.tier() != sample.tier {
        let (is, wanted) = (judged.tier().number(), sample.tier.number());
        return Some(format!("`{run}` is T{is}, not T{wanted}: {why}"));
    }
    if let Some(class) = sample.class.as_deref()
        && worst.native_class().name() != class
    {
        return Some(format!("`{run}` has class {}, not {class}", worst.native_class().name()));
    }
    let rule = sample.rule.as_deref()?;
    let named = operations.iter().flat_map(|operation| &operation.reasons);
    let named = named.into_iter().any(|reason| reason.rule == rule);
    (!named).then(|| format!("`{run}` has no rule `{rule}` among its reasons"))
}

// === coverage ===

fn coverage(file: Option<&Path>, json: bool) -> Ended {
    let ambient = commands::ambient()?;
    let mut input: Box<dyn BufRead> = match file {
        Some(path) => Box::new(BufReader::new(
            File::open(path).map_err(|error| commands::named(path, &error))?,
        )),
        None => Box::new(io::stdin().lock()),
    };
    let mut coverage = Coverage::default();
    let mut line = Vec::new();
    while read_line(&mut input, &mut line)? {
        if let Some(text) = command_line(&line) {
            coverage.add(&shell_line(&text, &ambient));
        }
    }
    let report = coverage.report();
    if json {
        output::json(&report_json(&report))?;
        return Ok(DONE);
    }
    tell_report(&report)?;
    Ok(DONE)
}

/// A line of the input in its JSON form.
#[derive(Deserialize)]
struct Line {
    cmd: String,
}

/// Returns the command line that a line of the input holds; none for an empty one or a comment.
fn command_line(line: &[u8]) -> Option<RawText> {
    let line = line.trim_ascii();
    match line.first()? {
        b'#' => None,
        b'{' => match serde_json::from_slice::<Line>(line) {
            Ok(Line { cmd }) => Some(RawText::from(cmd)),
            Err(_) => Some(RawText::new(line)),
        },
        _ => Some(RawText::new(line)),
    }
}

fn read_line(input: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
    line.clear();
    let limit = u64::try_from(LINE_BYTES_MAX).unwrap_or(u64::MAX);
    let count = input.by_ref().take(limit).read_until(b'\n', line)?;
    if LINE_BYTES_MAX <= count && line.last() != Some(&b'\n') {
        input.skip_until(b'\n')?;
    }
    Ok(0 < count)
}

fn report_json(report: &Report) -> Value {
    let tool = |(name, tool): &(String, iddio_classify::coverage::ToolCoverage)| {
        let mut value = serde_json::to_value(tool).unwrap_or(Value::Null);
        if let Some(object) = value.as_object_mut() {
            object.insert("tool".to_owned(), json!(name));
        }
        value
    };
    json!({
        "lines": report.lines,
        "lines_unknown": report.lines_unknown,
        "tools": report.tools.iter().map(tool).collect::<Vec<_>>(),
        "unknown": report.unknown,
    })
}

fn tell_report(report: &Report) -> io::Result<()> {
    let share = report.unknown_share_percent_hundredths;
    output::line(format_args!(
        "{} lines, {} of them with something unknown ({}.{:02} %)",
        report.lines,
        report.lines_unknown,
        share / 100,
        share % 100
    ))?;
    output::line("tool              commands  known  subcommand?  flag?  program?")?;
    for (name, tool) in &report.tools {
        output::line(format_args!(
            "{:<16}  {:>8}  {:>5}  {:>11}  {:>5}  {:>8}",
            foreign(name),
            tool.commands,
            tool.known,
            tool.unknown_command,
            tool.unknown_flag,
            tool.unknown_program
        ))?;
    }
    for seen in &report.unknown {
        let kind = match seen.kind {
            Unknown::Command => "subcommand",
            Unknown::Flag => "flag",
            Unknown::Program => "program",
        };
        output::line(format_args!(
            "unknown {kind:<10}  {:>4} x  {}",
            seen.count,
            foreign(&seen.name)
        ))?;
    }
    Ok(())
}

// === trust ===

fn trust(path: &Path, json: bool, voice: Voice) -> Ended {
    let runtime = commands::runtime(voice)?;
    let home = runtime.home().clone();
    let caller = commands::human(&home)?;
    let path = env::current_dir()?.join(path);
    let path = path.canonicalize().map_err(|error| commands::named(&path, &error))?;
    let source = commands::text(&path)?;
    Catalog::parse(&source)
        .map_err(|error| Failure::unavailable(format!("{}:{error}", path.display())))?;
    let digest = Digest::of_bytes(source.as_bytes());
    let metadata = path.metadata().map_err(|error| commands::named(&path, &error))?;
    let _recorded = runtime
        .record(AdminEvent {
            event: "catalog.trusted",
            principal: Some(caller.principal().clone()),
            fields: vec![
                ("path", Field::Text(RawText::new(path.as_os_str().as_bytes()))),
                ("sha256", Field::Digest(digest)),
            ],
        })
        .map_err(Failure::unavailable)?;
    Tools::of(&home).learn(Known {
        path: path.clone(),
        sha256: digest.to_hex(),
        stamp: Stamp::of(&metadata),
        by: By::Trust,
        since: runtime.clock().now().wall.to_string(),
    })?;
    match json {
        true => output::json(&json!({"path": path, "sha256": digest.to_hex()}))?,
        false => voice.say(format_args!(
            "{} is trusted as it is now (sha256 {digest})",
            foreign(&path.display().to_string())
        )),
    }
    let outside = path.parent() != home.catalogs().canonicalize().ok().as_deref();
    if outside {
        voice.tell("it does not lie in the home's directory `catalogs`, where it would count");
    }
    Ok(DONE)
}

const ERROR: &str = "error";

/// The longest line: the most text for a shell that is read, and as much again for escapes.
const LINE_BYTES_MAX: usize = 256 * 1024;
