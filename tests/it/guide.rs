//! The guide and the README, run as they are read.
//!
//! Every `console` block of a document is played, in order, in one world whose working directory
//! holds `docs/examples`. In a block:
//!
//! - `$ ` is typed in the first terminal. What follows is what it shows; `…` matches anything.
//! - `# ` is typed in another terminal, while the command before it waits. After an empty line the
//!   rest of what the first terminal shows may follow.
//! - an id `esc_…` of the document stands for the id that was really given, from where it is first
//!   shown on.
//!
//! A terminal does not show the line of JSON that a program gets after a refusal, and neither do
//! the documents.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs,
    io::{BufRead, BufReader, Read},
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
};

use iddio_tests::{World, binary, person::Person, real, repository};

const TERRAFORM: &str = "install terraform 1.4 or newer into /usr/local/bin";

#[test]
fn every_block_of_the_guide_happens_as_it_is_shown() {
    let Some(_) = real("terraform", TERRAFORM) else { return };
    let Some(_) = real("ssh-keygen", "apt-get install openssh-client") else { return };
    let played = play("docs/guide.md", str::to_owned);
    assert!(20 < played, "the guide has more than {played} commands");
}

#[test]
fn a_tool_is_added_as_the_guide_says() {
    let played = play("docs/add-a-tool.md", str::to_owned);
    assert!(6 < played, "the guide has more than {played} commands");
}

#[test]
fn the_readme_happens_as_it_is_shown() {
    let Some(_) = real("terraform", TERRAFORM) else { return };
    // The README begins without an `iddio` to call; here there is one.
    let installed = |command: &str| {
        let command = command.replace("cargo run --release -p iddio --", "iddio");
        command.replace("target/release/iddio", "iddio")
    };
    let played = play("README.md", installed);
    assert!(4 < played, "the README has more than {played} commands");
}

#[test]
fn agents_run_in_boxes_as_the_guide_says() {
    let Some(_) = real("terraform", TERRAFORM) else { return };
    let played = play_in(&Person::new(), "docs/run.md", str::to_owned);
    assert!(6 < played, "the guide has more than {played} commands");
}

#[test]
fn the_rules_that_the_guide_shows_are_those_it_installs() {
    let read = |path: &str| fs::read_to_string(repository().join(path)).unwrap();
    let (guide, rules) = (read("docs/guide.md"), read("docs/examples/guide/claude-code.yaml"));
    assert!(guide.contains(&format!("```yaml\n{rules}```\n")));
}

#[test]
fn a_shown_line_matches_what_it_stands_for() {
    let mut ids = BTreeMap::new();
    let mut fits = |shown: &str, said: &str| matches(shown, said, &mut ids);
    assert!(fits("ok  … records, head", "ok  9 records, head"));
    assert!(!fits("ok  … records", "ok  9 records, head"));
    assert!(fits("…", "anything") && fits("a … b … c", "a 1 b 2 c"));
    assert!(
        fits("waits esc_7k2m9q4t", "waits esc_ybts447w") && fits("esc_7k2m9q4t", "esc_ybts447w")
    );
    assert!(!fits("again esc_7k2m9q4t", "again esc_aaaaaaaa"), "an id keeps its meaning");
}

/// Where a document is played.
trait Scene {
    /// Returns a command in it, not started yet.
    fn command(&self, words: [OsString; 4]) -> Command;
    /// Writes a file of the working directory.
    fn put(&self, name: &str, content: Vec<u8>);
    /// Where its `iddio` lies.
    fn programs(&self) -> PathBuf;
    /// Checks its log.
    fn verify(&self);
}

impl Scene for World {
    fn command(&self, words: [OsString; 4]) -> Command {
        self.within(words)
    }

    fn put(&self, name: &str, content: Vec<u8>) {
        self.file(name, content);
    }

    fn programs(&self) -> PathBuf {
        binary().parent().unwrap().to_owned()
    }

    fn verify(&self) {
        World::verify(self);
    }
}

impl Scene for Person {
    fn command(&self, words: [OsString; 4]) -> Command {
        self.within(words)
    }

    fn put(&self, name: &str, content: Vec<u8>) {
        self.file(&format!("shop/{name}"), content);
    }

    fn programs(&self) -> PathBuf {
        self.home().parent().unwrap().to_owned()
    }

    fn verify(&self) {
        self.iddio(["audit", "verify"]).ok();
    }
}

/// Plays a document and returns how many commands it had.
fn play(document: &str, typed: impl Fn(&str) -> String) -> usize {
    play_in(&World::new(), document, typed)
}

fn play_in(world: &dyn Scene, document: &str, typed: impl Fn(&str) -> String) -> usize {
    copy_examples(world);
    let text = fs::read_to_string(repository().join(document)).unwrap();
    let mut ids = BTreeMap::new();
    let mut played = 0;
    let mut last = 0;
    for block in blocks(&text) {
        let steps = steps(&block);
        if steps.iter().any(|step| step.command.starts_with("cargo xtask")) {
            continue;
        }
        for step in steps {
            played += 1 + step.elsewhere.len();
            if step.command == "echo $?" {
                assert_eq!(step.shown, [last.to_string()], "exit code in {document}");
                continue;
            }
            last = perform(world, &step, &typed, &mut ids);
        }
    }
    world.verify();
    played
}

/// Types a command, and meanwhile those of the other terminal. Returns its exit code.
fn perform(
    world: &dyn Scene,
    step: &Step,
    typed: &impl Fn(&str) -> String,
    ids: &mut BTreeMap<String, String>,
) -> i32 {
    let mut first = Terminal::start(world, &real_ids(&typed(&step.command), ids));
    if step.elsewhere.is_empty() {
        let (said, code) = first.rest();
        compare(&step.command, &step.shown, &said, ids);
        return code;
    }
    let before = first.until(&step.shown, ids);
    compare(&step.command, &step.shown, &before, ids);
    for (command, shown) in &step.elsewhere {
        let (said, _) = Terminal::start(world, &real_ids(&typed(command), ids)).rest();
        compare(command, shown, &said, ids);
    }
    let (said, code) = first.rest();
    if !step.after.is_empty() {
        compare(&step.command, &step.after, &said, ids);
    }
    code
}

/// A command of the first terminal, and what happens until it ends.
#[derive(Default)]
struct Step {
    command: String,
    shown: Vec<String>,
    elsewhere: Vec<(String, Vec<String>)>,
    after: Vec<String>,
}

fn steps(block: &[String]) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut ended = false;
    for line in block {
        if let Some(command) = line.strip_prefix("$ ") {
            steps.push(Step { command: command.to_owned(), ..Step::default() });
            ended = false;
            continue;
        }
        let Some(step) = steps.last_mut() else { panic!("a block begins with `$ `: {block:#?}") };
        match (line.strip_prefix("# "), step.elsewhere.last_mut()) {
            (Some(command), _) => step.elsewhere.push((command.to_owned(), Vec::new())),
            (None, Some(_)) if line.is_empty() => ended = true,
            (None, Some(_)) if ended => step.after.push(line.clone()),
            (None, Some((_, shown))) => shown.push(line.clone()),
            (None, None) => step.shown.push(line.clone()),
        }
    }
    steps
}

fn blocks(text: &str) -> Vec<Vec<String>> {
    let mut blocks = Vec::new();
    let mut open: Option<Vec<String>> = None;
    for line in text.lines() {
        match (&mut open, line) {
            (None, "```console") => open = Some(Vec::new()),
            (Some(_), "```") => blocks.extend(open.take()),
            (Some(block), line) => block.push(line.to_owned()),
            (None, _) => {}
        }
    }
    blocks
}

/// A shell that runs one line, with both its streams in one.
struct Terminal {
    child: Child,
    lines: BufReader<Box<dyn Read>>,
}

impl Terminal {
    fn start(world: &dyn Scene, line: &str) -> Self {
        let script = format!("PATH=\"$0:$PATH\"; export PATH; exec 2>&1; {line}");
        let words = ["sh".into(), "-c".into(), script.into(), world.programs().into_os_string()];
        let mut command = world.command(words);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = command.spawn().unwrap();
        let stdout: Box<dyn Read> = Box::new(child.stdout.take().unwrap());
        Self { child, lines: BufReader::new(stdout) }
    }

    /// Reads until the last line of `shown` was said, or nothing more comes.
    fn until(&mut self, shown: &[String], ids: &BTreeMap<String, String>) -> Vec<String> {
        let Some(last) = shown.last() else { panic!("a waiting command says so") };
        let mut said = Vec::new();
        while let Some(line) = self.line() {
            let found = matches(last, &line, &mut ids.clone());
            said.push(line);
            if found {
                break;
            }
        }
        said
    }

    fn rest(&mut self) -> (Vec<String>, i32) {
        let mut said = Vec::new();
        while let Some(line) = self.line() {
            said.push(line);
        }
        let status: ExitStatus = self.child.wait().unwrap();
        (said, status.code().unwrap_or(-1))
    }

    fn line(&mut self) -> Option<String> {
        let mut bytes = Vec::new();
        match self.lines.read_until(b'\n', &mut bytes).unwrap() {
            0 => None,
            _ => Some(plain(String::from_utf8_lossy(&bytes).trim_end_matches('\n'))),
        }
    }
}

impl Drop for Terminal {
    /// A document that does not hold must not leave a command waiting for its yes.
    fn drop(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        if let Ok(None) = self.child.try_wait() {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
    }
}

/// Takes the colours of foreign tools out of a line.
fn plain(line: &str) -> String {
    let mut parts = line.split("\x1b[");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + part.split_once('m').map_or(part, |(_, rest)| rest))
}

/// Compares what was said with what is shown. A line that is `…` alone stands for any lines.
#[track_caller]
fn compare(command: &str, shown: &[String], said: &[String], ids: &mut BTreeMap<String, String>) {
    let said: Vec<&String> =
        said.iter().filter(|line| !line.starts_with("{\"refused\":")).collect();
    let fail = |line: &str| -> ! {
        panic!("`{command}` does not show `{line}`, but:\n{said:#?}\nshown:\n{shown:#?}")
    };
    let mut at = 0;
    let mut skip = false;
    for line in shown {
        if line == "…" {
            skip = true;
            continue;
        }
        let found = match skip {
            true => (at..said.len()).find(|place| matches(line, said[*place], ids)),
            false => (at < said.len() && matches(line, said[at], ids)).then_some(at),
        };
        at = found.unwrap_or_else(|| fail(line)) + 1;
        skip = false;
    }
    if !skip && at < said.len() && !shown.is_empty() {
        fail("its end");
    }
}

/// Whether a shown line stands for a said one. Ids it names for the first time are learnt.
fn matches(shown: &str, said: &str, ids: &mut BTreeMap<String, String>) -> bool {
    let known = real_ids(shown, ids);
    let mut parts = Vec::new();
    let mut new = Vec::new();
    let mut rest = known.as_str();
    while let Some(start) = rest.find("esc_") {
        let (before, from) = rest.split_at(start);
        let end = from.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(from.len());
        let (id, after) = from.split_at(end);
        if ids.values().any(|real| real == id) || end == 4 {
            parts.push(format!("{before}{id}"));
        } else {
            new.push(id.to_owned());
            parts.push(format!("{before}{ID}"));
        }
        rest = after;
    }
    parts.push(rest.to_owned());
    let pattern = parts.concat();
    let Some(found) = fit(&pattern, said) else { return false };
    ids.extend(new.into_iter().zip(found));
    true
}

/// Fits `pattern`, in which `…` is anything and [`ID`] an id, and returns the ids.
fn fit(pattern: &str, said: &str) -> Option<Vec<String>> {
    let next = pattern.find(['…', ID]);
    let Some(next) = next else { return (pattern == said).then(Vec::new) };
    let (literal, tail) = pattern.split_at(next);
    let said = said.strip_prefix(literal)?;
    if let Some(tail) = tail.strip_prefix('…') {
        let ends = said.char_indices().map(|(place, _)| place).chain([said.len()]);
        return ends.filter_map(|place| said.get(place..)).find_map(|rest| fit(tail, rest));
    }
    let tail = tail.strip_prefix(ID)?;
    let id: String = said.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
    let mut ids = vec![id.clone()];
    ids.extend(fit(tail, said.get(id.len()..)?)?);
    id.starts_with("esc_").then_some(ids)
}

fn real_ids(text: &str, ids: &BTreeMap<String, String>) -> String {
    ids.iter().fold(text.to_owned(), |text, (shown, real)| text.replace(shown, real))
}

fn copy_examples(world: &dyn Scene) {
    let from = repository().join("docs/examples");
    let mut todo = vec![from.clone()];
    while let Some(directory) = todo.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            // What somebody left who tried the example in the checkout is no part of it.
            let left = [".terraform", "terraform.tfstate"];
            let name = path.file_name().unwrap().to_str().unwrap();
            if left.iter().any(|left| name.starts_with(left)) {
                continue;
            }
            match path.is_dir() {
                true => todo.push(path),
                false => {
                    let name = path.strip_prefix(&from).unwrap().to_str().unwrap();
                    world.put(&format!("docs/examples/{name}"), fs::read(&path).unwrap());
                }
            }
        }
    }
}

/// Stands for an id that is not known yet: a character no document has.
const ID: char = '\u{f8ff}';
