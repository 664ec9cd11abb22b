//! Programs within a command line: what `sudo`, `sh -c`, `xargs`, `awk` run in turn (invariant I2).
//!
//! A wrapper keeps its own tier; what it runs is judged under its own protocol and stands in
//! [`super::Judged::within`]. A program that is not known whole is break-glass. Depth and number of
//! commands are bounded by [`Judging`].

use iddio_core::{
    text::RawText,
    tier::{Class, Tier},
};

use super::{
    Inner, files,
    judge::{self, Sum},
    line::{Feed, Judging, Known, Line, Surroundings, Term, shell_text},
    parse::{Given, Parsed, Word},
    plan::StdinRole,
};
use crate::{
    catalog::{
        Catalog,
        format::{Appends, Command, Flag, Instead, Interpreter, Language, PathUse, Special, Takes},
        pattern,
    },
    languages, paths, shell,
};

/// Whether a command line brings a program to run.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Runs {
    Nothing,
    Something,
}

/// Says whether a command line brings a program to run.
pub(super) fn runs(parsed: &Parsed<'_>, command: Option<&Command>) -> Runs {
    let by_flag = flags(parsed).any(|(_, flag)| {
        let special = matches!(flag.is, Some(Special::Inline | Special::Module));
        flag.program.is_some() || special
    });
    let by_argument = parsed.slots.iter().flatten().any(|arg| arg.program.is_some())
        || command.is_some_and(|command| command.interpreter.is_some()) && !parsed.args.is_empty();
    match by_flag || by_argument || parsed.program.is_some() {
        true => Runs::Something,
        false => Runs::Nothing,
    }
}

/// Adds every program that the words bring.
pub(super) fn judge(
    catalog: &Catalog,
    parsed: &Parsed<'_>,
    command: Option<&Command>,
    line: &Line,
    judging: &Judging<'_>,
    sum: &mut Sum,
) {
    let Some(mut inner) = judging.within() else {
        if runs(parsed, command) == Runs::Something {
            let text = "programs within programs, more than the limit";
            sum.add(Tier::UNKNOWN, Class::Evasion, "program:depth", text, None);
        }
        return;
    };
    inner.directory = files::directory(parsed, &line.words, judging);
    // What runs on another machine has that one's surroundings.
    if parsed.slots.iter().flatten().any(|arg| arg.is == Some(Special::Host)) {
        inner.inner = Inner::AsJudged;
    }
    if let (Surroundings::AsPlanned, Some(Interpreter::Shell)) =
        (&judging.surroundings, command.and_then(|command| command.interpreter))
    {
        inner.surroundings = surroundings(parsed, line, sum);
    }
    let rule = parsed.rule.as_str();
    let mut follower = Follower { parsed, line, judging: &inner, sum, rule };
    let split = follower.flags();
    for (word, arg) in parsed.args.iter().zip(&parsed.slots) {
        if let Some(language) = arg.and_then(|arg| arg.program) {
            follower.program(language, &[word.term(&line.words)], &line.feed);
        }
    }
    if let (Some((index, arg)), false) = (parsed.program, split) {
        let words = line.words.get(index..).unwrap_or_default();
        let language = arg.program.unwrap_or(Language::Code);
        let appends = command.map_or(Appends::Nothing, |command| command.appends);
        follower.rest(language, words, appends);
    }
    let Some(command) = command else { return };
    if runs(parsed, Some(command)) == Runs::Nothing
        && let Some(without) = &command.without_program
    {
        follower.sum.add_rule(without, &parsed.rule, None);
    }
    if let Some(interpreter) = command.interpreter {
        follower.interpreter(catalog, interpreter);
    } else if let Some(language) = command.feed
        && runs(parsed, Some(command)) == Runs::Nothing
        && !flags(parsed).any(|(_, flag)| flag.instead == Some(Instead::Feed))
    {
        follower.feed(language);
    }
}

/// Every flag that was given and is on, with how.
fn flags<'p, 'a>(parsed: &'p Parsed<'a>) -> impl Iterator<Item = (&'p Given<'a>, &'p Flag)> {
    let on = parsed.flags.iter().filter(|given| !given.is_off());
    on.flat_map(|given| given.flags.iter().map(move |flag| (given, *flag)))
}

/// What a shell that the gateway starts finds in its environment. It knows no more names where it
/// reads no start-up file, and is none that sets many by itself.
fn surroundings(parsed: &Parsed<'_>, line: &Line, sum: &Sum) -> Surroundings {
    let program = line.words.first().and_then(Term::as_str).unwrap_or_default();
    let plain = PLAIN_SHELLS.contains(&program.rsplit('/').next().unwrap_or_default());
    let quiet = parsed.flags.iter().all(|given| QUIET.contains(&given.name.as_ref()));
    if !plain || !quiet {
        return Surroundings::Unknown;
    }
    let planned = &sum.plan.environment;
    let set = planned.set.iter().map(|(name, _)| name.clone());
    Surroundings::Only(planned.keep.iter().cloned().chain(set).collect())
}

struct Follower<'r, 'a, 'j> {
    parsed: &'r Parsed<'a>,
    line: &'r Line,
    /// One level deeper than the command line itself.
    judging: &'r Judging<'j>,
    sum: &'r mut Sum,
    rule: &'r str,
}

impl Follower<'_, '_, '_> {
    /// Adds the programs of options, and says whether one of them is the front of the arguments.
    fn flags(&mut self) -> bool {
        let parsed = self.parsed;
        let mut split = false;
        for (given, flag) in flags(parsed) {
            let (Some(language), Some(value)) = (flag.program, &given.value) else { continue };
            let term = value.term(&self.line.words);
            match language {
                Language::Split => {
                    split = true;
                    self.split(&term);
                }
                language => self.program(language, &[term], &self.line.feed),
            }
        }
        split
    }

    /// One program; `words` is one word, but for the languages whose programs are words.
    fn program(&mut self, language: Language, words: &[Term], feed: &Feed) {
        match language {
            Language::Argv => self.command(words.to_vec(), feed),
            Language::Shell => self.shell(words, feed),
            Language::Split => words.iter().for_each(|word| self.split(word)),
            language => {
                let findings = languages::judge(language, words, self.judging);
                findings.found.iter().for_each(|found| self.sum.add_found(found));
                self.sum.within.extend(findings.within);
            }
        }
    }

    /// The program that all remaining words are.
    fn rest(&mut self, language: Language, words: &[Term], appends: Appends) {
        let mut words = words.to_vec();
        if language != Language::Argv {
            if language == Language::Shell && appends != Appends::Nothing {
                words.push(Term::whole(RawText::from("\"$@\"")));
            }
            return self.program(language, &words, &self.line.feed);
        }
        let mut feed = self.line.feed.clone();
        match appends {
            Appends::Nothing => {}
            Appends::Unknown => words.push(anything()),
            Appends::Input => {
                let has =
                    |special| flags(self.parsed).any(move |(_, flag)| flag.is == Some(special));
                let plain = !has(Special::FeedFile) && !has(Special::Delimiter);
                let replaced = flags(self.parsed)
                    .find(|(_, flag)| flag.is == Some(Special::Replace))
                    .map(|(given, _)| given.value.as_ref().map_or("{}", |value| &value.text));
                match (replaced, &feed) {
                    (Some(mark), _) => words.iter_mut().for_each(|word| veil(word, mark)),
                    (None, Feed::Text(text)) if plain => words.extend(parted(text)),
                    (None, Feed::Nothing) => {}
                    (None, _) => words.push(anything()),
                }
                // Its own input is left to what it runs where the arguments come from a file, and a
                // terminal is opened on demand.
                let leaves = has(Special::FeedFile)
                    || flags(self.parsed).any(|(_, flag)| flag.is == Some(Special::Terminal));
                feed = if leaves { Feed::Inherited } else { Feed::Nothing };
            }
        }
        self.command(words, &feed);
    }

    /// A program and its arguments.
    fn command(&mut self, words: Vec<Term>, feed: &Feed) {
        if self.judging.spend().is_none() {
            let text = "more commands than the limit";
            return self.sum.add(Tier::UNKNOWN, Class::Evasion, "program:limit", text, None);
        }
        let judged = judge::line(&Line { words, feed: feed.clone() }, self.judging);
        self.sum.within.push(judged.operation);
        self.sum.within.extend(judged.within);
    }

    /// Text for a shell: one word, or several joined by spaces.
    fn shell(&mut self, words: &[Term], feed: &Feed) {
        self.shell_called(words, None, feed);
    }

    /// The same, with the words that the text finds in `$0`, `$1` and so on.
    fn shell_called(&mut self, words: &[Term], arguments: Option<&[Term]>, feed: &Feed) {
        let Some(text) = shell_text(words) else {
            return self.unknown("text for a shell that only the run knows");
        };
        let at = words.first().and_then(|word| word.span);
        let operations = shell::judge_program(&text, arguments, feed, self.judging, at);
        self.sum.within.extend(operations);
    }

    /// Words in one word, which stand before the arguments: the program itself reads them again.
    fn split(&mut self, word: &Term) {
        let Some(text) = word.as_str().filter(|text| !text.contains(['$', '\\', '#'])) else {
            return self.unknown("words that only the run knows");
        };
        let mut words: Vec<_> = self.line.words.first().cloned().into_iter().collect();
        words.extend(pattern::words(&text.replace(['\t', '\n'], " ")).into_iter().map(|text| {
            Term {
                text: RawText::from(text),
                known: Known::Whole,
                span: word.span,
                stretches: None,
            }
        }));
        let rest = self.parsed.program.and_then(|(index, _)| self.line.words.get(index..));
        words.extend(rest.unwrap_or_default().iter().cloned());
        self.command(words, &self.line.feed);
    }

    /// A program on standard input.
    fn feed(&mut self, language: Language) {
        self.sum.plan.stdin = StdinRole::Program;
        match &self.line.feed {
            Feed::Nothing => {}
            Feed::Text(text) => {
                // What it runs reads on where the program itself has got to.
                self.program(language, &[Term::whole(text.clone())], &Feed::Unknown)
            }
            Feed::File(file) => self.script(&file.clone()),
            Feed::Inherited => {
                let text = "whoever writes to it says what it does";
                self.sum.add(Tier::BreakGlass, Class::Session, self.rule, text, None);
            }
            Feed::Unknown => self.unknown("what another program writes is its program"),
        }
    }

    fn interpreter(&mut self, catalog: &Catalog, interpreter: Interpreter) {
        let parsed = self.parsed;
        let special = |wanted| flags(parsed).find(|(_, flag)| flag.is == Some(wanted));
        let language = match interpreter {
            Interpreter::Code => Language::Code,
            Interpreter::ForeignShell | Interpreter::Shell => Language::Shell,
        };
        if let Some((given, _)) = special(Special::Module) {
            return self.module(catalog, given.value.as_ref());
        }
        if let Some((given, flag)) = special(Special::Inline) {
            let first = parsed.args.first();
            let behind = usize::from(flag.value == Takes::Switch);
            let program = if flag.value == Takes::Switch { first } else { given.value.as_ref() };
            return match (program, interpreter) {
                (None, _) => self.unknown("a program that is not there"),
                (Some(word), Interpreter::ForeignShell) => self.foreign(word),
                (Some(word), Interpreter::Shell) => {
                    let words = parsed.args.iter().skip(behind);
                    let words: Vec<_> = words.map(|word| word.term(&self.line.words)).collect();
                    self.shell_called(
                        &[word.term(&self.line.words)],
                        Some(&words),
                        &self.line.feed,
                    );
                }
                (Some(word), _) => {
                    self.program(language, &[word.term(&self.line.words)], &self.line.feed);
                }
            };
        }
        let stdin = special(Special::Stdin).is_some();
        match parsed.args.first().filter(|_| !stdin) {
            Some(word) if !matches!(word.whole(), Some("-" | "/dev/stdin" | "/proc/self/fd/0")) => {
                self.script(&word.term(&self.line.words));
            }
            None if flags(parsed).any(|(_, flag)| flag.instead == Some(Instead::Feed)) => {}
            _ if interpreter == Interpreter::Shell => self.feed(language),
            _ => self.feed(Language::Code),
        }
    }

    /// A program in a file.
    fn script(&mut self, file: &Term) {
        let path = file.text.as_bytes();
        let passed = path.starts_with(b"/dev/fd/") || path.starts_with(b"/proc/self/fd/");
        if file.known != Known::Whole || passed {
            return self.unknown("runs a file that only the run knows");
        }
        if self.judging.wrote(&file.text) {
            return self.unknown("runs a file that the same text writes first");
        }
        let directory = self.judging.directory.as_ref();
        let found = paths::judge(PathUse::Run, file, directory, self.judging.ambient);
        if let Some(found) = found {
            self.sum.add_found(&found);
        }
        let text = "runs a program from a file";
        self.sum.add(Tier::Sensitive, Class::Unknown, self.rule, text, None);
    }

    /// A module with all words behind its name: `python3 -m pip install x`.
    fn module(&mut self, catalog: &Catalog, name: Option<&Word<'_>>) {
        let Some((word, name)) = name.and_then(|word| Some((word, word.whole()?))) else {
            return self.unknown("runs a module that only the run knows");
        };
        let modules = &catalog.tool.modules;
        let rule = format!("{} {name}", self.rule);
        if let Some((_, means)) = modules.iter().find(|(known, _)| pattern::covers(known, name)) {
            self.sum.add_rule(means, &rule, Some(word.word));
        }
        let listed = modules.iter().any(|(known, _)| pattern::covers(known, name));
        if Catalog::names(name) && listed {
            let rest = self.line.words.get(word.word + 1..).unwrap_or_default();
            let words = [word.term(&self.line.words)].into_iter().chain(rest.iter().cloned());
            self.command(words.collect(), &self.line.feed);
        } else if !listed {
            let text = "runs a module that the catalog does not know";
            self.sum.add(Tier::Sensitive, Class::Unknown, &rule, text, Some(word.word));
        }
    }

    /// Text for a shell of another grammar: read only where no grammar could matter.
    fn foreign(&mut self, word: &Word<'_>) {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b" _./:,@%+-".contains(&byte);
        match word.whole().filter(|text| text.bytes().all(plain)) {
            Some(text) => {
                let words = text.split_ascii_whitespace().map(|word| Term::whole(word.into()));
                self.command(words.collect(), &self.line.feed);
            }
            None => self.unknown("text for a shell that is not read here"),
        }
    }

    fn unknown(&mut self, text: &str) {
        self.sum.add(Tier::UNKNOWN, Class::Unknown, self.rule, text, None);
    }
}

/// Any number of words that nobody knows.
fn anything() -> Term {
    Term { text: RawText::from("…"), known: Known::Any, span: None, stretches: None }
}

/// Hides what stands in place of `mark` and behind it.
fn veil(word: &mut Term, mark: &str) {
    word.stretches = None;
    let bytes = word.text.as_bytes();
    let place = bytes.windows(mark.len().max(1)).position(|part| part == mark.as_bytes());
    if let (Known::Whole, Some(place)) = (word.known, place) {
        word.known = Known::Prefix(place);
    }
}

/// The words that `xargs` makes of a text.
fn parted(text: &RawText) -> Vec<Term> {
    match text.as_str().filter(|text| !text.contains(['\'', '"', '\\'])) {
        Some(text) => {
            text.split_ascii_whitespace().map(|word| Term::whole(RawText::from(word))).collect()
        }
        None => vec![anything()],
    }
}

/// Shells whose own variables are known.
const PLAIN_SHELLS: [&str; 4] = ["ash", "bash", "dash", "sh"];

/// Options of a shell that make it read nothing more and set no variable.
const QUIET: [&str; 14] = [
    "-c",
    "-e",
    "-f",
    "-n",
    "-o",
    "-u",
    "-v",
    "-x",
    "+e",
    "+u",
    "+x",
    "--norc",
    "--noprofile",
    "--posix",
];
