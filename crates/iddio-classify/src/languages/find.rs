//! Expressions of find: what is done with the files that are found.
//!
//! Looking is free: names, dates and sizes are shown, and nothing is read. What is found is at a
//! starting point or below, and has a name that a test may narrow; commands get it as a word that
//! starts so. Order and operators do not count: an action that one branch reaches is an action.

use iddio_core::{
    operation::Operation,
    text::RawText,
    tier::{Class, Tier},
};

use super::Findings;
use crate::{
    catalog::format::PathUse,
    command::{
        self,
        line::{Feed, Judging, Known, Line, Term},
    },
    paths,
};

/// Judges the words behind `find`.
pub(super) fn judge(words: &[Term], judging: &Judging<'_>) -> Findings {
    let mut expression = Expression::new(words, judging);
    expression.actions();
    expression.findings
}

/// An expression while it is read.
struct Expression<'a> {
    words: &'a [Term],
    judging: &'a Judging<'a>,
    place: usize,
    /// Where it looks; empty if only the run knows.
    starts: Vec<Term>,
    /// Patterns of names that tests look for, one of which covers whatever is found.
    names: Vec<String>,
    narrowed: Narrowed,
    findings: Findings,
}

/// Whether every file counts, or those that pass a test that is worth the name.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Narrowed {
    No,
    Yes,
}

// === impl Expression ===

impl<'a> Expression<'a> {
    fn new(words: &'a [Term], judging: &'a Judging<'a>) -> Self {
        let mut new = Self {
            words,
            judging,
            place: 0,
            starts: Vec::new(),
            names: Vec::new(),
            narrowed: Narrowed::No,
            findings: Findings::default(),
        };
        new.leading_options();
        while let Some(word) = words.get(new.place).filter(|word| !starts_expression(word)) {
            new.starts.push(word.clone());
            new.place += 1;
        }
        if new.starts.is_empty() {
            new.starts.push(Term::whole(RawText::from(".")));
        }
        new.tests();
        new
    }

    /// Skips `-H`, `-L`, `-P`, `-D x` and `-O3`.
    fn leading_options(&mut self) {
        while let Some(word) = self.words.get(self.place).and_then(Term::as_str) {
            match word {
                "-H" | "-L" | "-P" => {}
                "-D" => self.place += 1,
                _ if word.starts_with("-O") && word.len() == 3 => {}
                _ => return,
            }
            self.place += 1;
        }
    }

    /// Looks over the tests: which names they want, and whether they narrow at all.
    fn tests(&mut self) {
        let text = |at: usize| self.words.get(at).and_then(Term::as_str);
        let mut joined = false;
        for at in self.place..self.words.len() {
            let value = text(at + 1);
            match text(at).unwrap_or("") {
                "-name" | "-path" | "-wholename" => {
                    let Some(value) = value else { continue };
                    self.names.push(value.rsplit('/').next().unwrap_or(value).to_owned());
                    if value.chars().any(|letter| letter.is_ascii_alphanumeric()) {
                        self.narrowed = Narrowed::Yes;
                    }
                }
                "-iname" | "-ipath" | "-iwholename" | "-regex" | "-iregex" | "-empty" | "-user"
                | "-nouser" | "-inum" | "-mtime" | "-mmin" | "-atime" | "-amin" | "-ctime"
                | "-cmin" | "-size" => self.narrowed = Narrowed::Yes,
                "-o" | "-or" | "," | "!" | "-not" => joined = true,
                _ => {}
            }
        }
        // With these it takes a reader of the whole expression to know what is left.
        if joined {
            self.narrowed = Narrowed::No;
            self.names.clear();
        }
    }

    /// Judges every predicate in turn.
    fn actions(&mut self) {
        while let Some(word) = self.words.get(self.place) {
            self.place += 1;
            match word.as_str() {
                Some(name) => self.predicate(name),
                None => self.raise(
                    Tier::UNKNOWN,
                    Class::Unknown,
                    "find:unknown",
                    "a part of the expression that only the run knows",
                ),
            }
        }
    }

    fn predicate(&mut self, name: &str) {
        match name {
            _ if TESTS.contains(&name) || newer(name) => self.value(),
            _ if PLAIN.contains(&name) => {}
            "-fprintf" => {
                self.file(PathUse::Write);
                self.value();
            }
            "-fprint" | "-fprint0" | "-fls" => self.file(PathUse::Write),
            "-files0-from" => {
                self.file(PathUse::Read);
                self.starts.clear();
            }
            "-delete" => self.delete(),
            "-exec" | "-ok" => self.run(None),
            "-execdir" | "-okdir" => {
                let here = Term {
                    text: RawText::from("./"),
                    known: Known::Prefix(2),
                    span: None,
                    stretches: None,
                };
                self.run(Some(here));
            }
            _ => self.raise(
                Tier::Modify,
                Class::Unknown,
                "find:unknown",
                "a part of the expression that nobody knows",
            ),
        }
    }

    /// Reads a value that names nothing.
    fn value(&mut self) {
        if self.words.get(self.place).is_some_and(|word| word.known == Known::Any) {
            self.raise(
                Tier::Sensitive,
                Class::Unknown,
                "find:unknown",
                "a value that may turn out to be more than one word",
            );
        }
        self.place += 1;
    }

    fn file(&mut self, usage: PathUse) {
        let Some(path) = self.words.get(self.place) else { return };
        self.place += 1;
        self.uses(usage, path);
    }

    fn uses(&mut self, usage: PathUse, path: &Term) {
        let directory = self.judging.directory.as_ref();
        let found = paths::judge(usage, path, directory, self.judging.ambient);
        self.findings.found.extend(found);
    }

    fn delete(&mut self) {
        self.raise(Tier::Sensitive, Class::Destroy, "find:delete", "removes what it finds");
        if self.starts.is_empty() {
            let text = "removes files in places that only the run knows";
            self.raise(Tier::BreakGlass, Class::Destroy, "find:delete", text);
        }
        for start in self.starts.clone() {
            match self.narrowed {
                Narrowed::No => self.uses(PathUse::RemoveTree, &start),
                Narrowed::Yes if start.as_str().is_some_and(whole_system) => {
                    let text = "removes files all over the system";
                    self.raise(Tier::BreakGlass, Class::Destroy, "find:delete", text);
                }
                Narrowed::Yes => {
                    for found in self.found() {
                        self.uses(PathUse::Remove, &found);
                    }
                }
            }
        }
    }

    /// Judges the command behind `-exec`, with `{}` as every word that it may be.
    fn run(&mut self, found: Option<Term>) {
        let rest = self.words.get(self.place..).unwrap_or_default();
        let is = |word: Option<&Term>, text| word.and_then(Term::as_str) == Some(text);
        let end = (0..rest.len()).position(|at| {
            is(rest.get(at), ";") || (is(rest.get(at), "+") && at > 0 && is(rest.get(at - 1), "{}"))
        });
        let length = end.unwrap_or(rest.len());
        let command = rest.get(..length).unwrap_or_default();
        self.place += length + 1;
        if command.is_empty() || end.is_none() {
            let text = "a command without an end";
            return self.raise(Tier::UNKNOWN, Class::Unknown, "find:unknown", text);
        }
        let aside = found.is_some();
        let words = found.map_or_else(|| self.found(), |here| vec![here]);
        for found in words {
            let words = command.iter().map(|word| filled(word, &found)).collect();
            // What it runs reads what it could read itself.
            let line = Line { words, feed: Feed::Inherited };
            match self.judged(&line, aside) {
                Some(operations) => self.findings.within.extend(operations),
                None => {
                    let text = "too many commands within commands";
                    self.raise(Tier::UNKNOWN, Class::Unknown, "limit:commands", text);
                    return;
                }
            }
        }
    }

    fn judged(&self, line: &Line, aside: bool) -> Option<Vec<Operation>> {
        self.judging.spend()?;
        let mut within = self.judging.within()?;
        if aside {
            within.directory = None;
        }
        let judged = command::line(line, &within);
        self.judging.commands.set(within.commands.get());
        Some([judged.operation].into_iter().chain(judged.within).collect())
    }

    /// Returns the words that what is found may be.
    fn found(&self) -> Vec<Term> {
        let anything = Term {
            text: RawText::from("{}"),
            known: Known::Prefix(0),
            span: None,
            stretches: None,
        };
        if self.starts.is_empty() || STARTS_MAX < self.starts.len() {
            return vec![anything];
        }
        self.starts.iter().flat_map(|start| self.below(start)).collect()
    }

    /// Returns the words that what is found from one starting point may be.
    fn below(&self, start: &Term) -> Vec<Term> {
        let (text, span) = (start.text.as_bytes(), start.span);
        let slash: &[u8] = if text.ends_with(b"/") { b"" } else { b"/" };
        let pattern = |base: &[u8], name: &str| Term {
            text: RawText::new([base, slash, name.as_bytes()].concat()),
            known: Known::Pattern,
            span,
            stretches: None,
        };
        let wide = start.as_str().is_some_and(|start| whole_system(start) || start == "~");
        match start.known {
            Known::Any => vec![Term { known: Known::Prefix(0), ..start.clone().opaque() }],
            Known::Prefix(_) => vec![start.clone().opaque()],
            Known::Pattern => vec![pattern(text, "*")],
            // Of all the files of a system the worst is assumed.
            Known::Whole if wide => {
                let text = RawText::new([text, slash].concat());
                let known = Known::Prefix(text.as_bytes().len());
                vec![Term { text, known, span, stretches: None }]
            }
            Known::Whole if self.names.is_empty() => vec![pattern(&escaped(text), "*")],
            Known::Whole => {
                let base = escaped(text);
                let names = self.names.iter().take(STARTS_MAX);
                names.map(|name| pattern(&base, name)).collect()
            }
        }
    }

    fn raise(&mut self, tier: Tier, class: Class, rule: &'static str, text: &'static str) {
        self.findings.add(tier, class, rule, text);
    }
}

/// Whether a word ends the starting points.
fn starts_expression(word: &Term) -> bool {
    let first = word.text.as_bytes().first().copied();
    match word.known {
        Known::Any | Known::Prefix(0) => true,
        Known::Whole | Known::Pattern | Known::Prefix(_) => {
            first == Some(b'-') && word.text.as_bytes().len() > 1
                || matches!(word.as_str(), Some("(" | ")" | "!" | ","))
        }
    }
}

/// Whether it is `-newerXY`.
fn newer(name: &str) -> bool {
    name.strip_prefix("-newer").is_some_and(|kind| {
        kind.len() == 2 && kind.chars().all(|letter| matches!(letter, 'a' | 'B' | 'c' | 'm' | 't'))
    })
}

/// Whether a starting point is the root or one of its great directories.
fn whole_system(start: &str) -> bool {
    let mut parts = start.split('/').filter(|part| !part.is_empty() && *part != ".");
    start.starts_with('/')
        && match (parts.next(), parts.next()) {
            (None, _) => true,
            (Some(name), None) => SYSTEM.contains(&name),
            (Some(_), Some(_)) => start.split('/').any(|part| part == ".."),
        }
}

/// Returns the pattern that covers nothing but `text`.
fn escaped(text: &[u8]) -> Vec<u8> {
    let special = |byte: &u8| b"*?[\\".contains(byte);
    text.iter().flat_map(|byte| special(byte).then_some(b'\\').into_iter().chain([*byte])).collect()
}

/// Puts what is found in place of `{}`, which may stand anywhere in a word.
fn filled(word: &Term, found: &Term) -> Term {
    let text = word.text.as_bytes();
    let Some(place) = text.windows(2).position(|pair| pair == b"{}") else {
        return word.clone().opaque();
    };
    if text.len() == 2 {
        return Term { span: word.span, ..found.clone() };
    }
    // Within a word it is not worth following: what is known ends there.
    let known = Known::Prefix(place);
    Term { text: word.text.clone(), known, span: word.span, stretches: None }
}

/// The most starting points, and names, that are followed one by one.
const STARTS_MAX: usize = 16;

/// Directories of the root in which a deletion by name hits the system.
const SYSTEM: [&str; 14] = [
    "bin", "boot", "dev", "etc", "home", "lib", "lib64", "opt", "root", "sbin", "srv", "sys",
    "usr", "var",
];

/// Tests and options with a value that names no file that is opened.
const TESTS: [&str; 45] = [
    "-amin",
    "-anewer",
    "-atime",
    "-cmin",
    "-cnewer",
    "-context",
    "-ctime",
    "-fstype",
    "-gid",
    "-group",
    "-ilname",
    "-iname",
    "-inum",
    "-ipath",
    "-iregex",
    "-iwholename",
    "-links",
    "-lname",
    "-maxdepth",
    "-mindepth",
    "-mmin",
    "-mtime",
    "-name",
    "-newer",
    "-path",
    "-perm",
    "-printf",
    "-regex",
    "-regextype",
    "-samefile",
    "-size",
    "-type",
    "-uid",
    "-used",
    "-user",
    "-wholename",
    "-xtype",
    "-D",
    "-Bmin",
    "-Bnewer",
    "-Btime",
    "-flags",
    "-mnewer",
    "-xattrname",
    "-acl",
];

/// Tests, options, operators and actions without a value that only look.
const PLAIN: [&str; 39] = [
    "-H",
    "-L",
    "-P",
    "(",
    ")",
    "!",
    ",",
    "-a",
    "-and",
    "-d",
    "-daystart",
    "-depth",
    "-empty",
    "-executable",
    "-false",
    "-follow",
    "-ignore_readdir_race",
    "-ls",
    "-mount",
    "-nogroup",
    "-noignore_readdir_race",
    "-noleaf",
    "-not",
    "-nouser",
    "-nowarn",
    "-o",
    "-or",
    "-print",
    "-print0",
    "-prune",
    "-quit",
    "-readable",
    "-true",
    "-warn",
    "-writable",
    "-xdev",
    "-help",
    "--help",
    "--version",
];
