//! What a command line does to files, addresses and variables, as its catalog says of each value.
//!
//! The path catalog ([`crate::paths`]) knows the files; this module knows which word names one.

use std::borrow::Cow;

use iddio_core::{
    text::RawText,
    tier::{Class, Tier},
};

use super::{
    Found,
    assignments::{Setting, assignment},
    judge::Sum,
    line::{Below, Judging, Known, Term},
    parse::{Parsed, Resolution, Word},
    plan::Extent,
};
use crate::{
    catalog::format::{Output, PathUse, Special, Tool},
    languages, paths,
};

/// Adds what happens to every file, address and variable that the words name.
pub(super) fn judge(parsed: &Parsed<'_>, terms: &[Term], judging: &Judging<'_>, sum: &mut Sum) {
    let directories = directories(parsed, terms, judging);
    let mut files = Files { parsed, terms, judging, directories, sum };
    for given in &parsed.flags {
        let Some(value) = &given.value else { continue };
        for flag in &given.flags {
            if let Some(usage) = flag.path {
                let mut beside = flag.path_with.iter();
                let beside = beside.find(|(names, _)| parsed.gives(names));
                files.used(beside.map_or(usage, |(_, usage)| *usage), value);
            }
            if let Some(special) = flag.is {
                files.special(special, value);
            }
            if let Some(output) = flag.output {
                files.note(written_by(output), value);
                files.declare_word(written_by(output), value);
            }
        }
    }
    files.arguments();
    if parsed.unpacks() {
        files.write(b".", Below::Everything);
        files.declare(PathUse::WriteTree, b".");
    }
}

/// Declares what the catalog says that the tool and the command write without being told its name.
pub(super) fn declare(tool: &Tool, parsed: &Parsed<'_>, terms: &[Term], judging: &Judging<'_>) {
    let own = match parsed.resolution {
        Resolution::Known(command) => command.writes.as_slice(),
        _ => &[],
    };
    let Some(directory) = directory(parsed, terms, judging) else { return };
    for pattern in tool.writes.iter().chain(own) {
        judging.declare(pattern.as_bytes(), Some(&directory), Extent::Pattern);
    }
}

/// Where the tool works, and what it runs: where it is started, or where it changes to.
pub(super) fn directory(
    parsed: &Parsed<'_>,
    terms: &[Term],
    judging: &Judging<'_>,
) -> Option<RawText> {
    directories(parsed, terms, judging).pop().unwrap_or_default()
}

/// Every directory that the tool works in, one after the other: the last is where it stays.
fn directories(parsed: &Parsed<'_>, terms: &[Term], judging: &Judging<'_>) -> Vec<Option<RawText>> {
    let first = parsed.args.first().map_or(usize::MAX, |arg| arg.word);
    let mut all = vec![judging.directory.clone()];
    let mut before = false;
    for given in &parsed.flags {
        let changes = given.flags.iter().any(|flag| flag.changes_directory);
        let Some(value) = given.value.as_ref().filter(|_| changes) else { continue };
        // One that stands behind an argument may hold only for what comes after it.
        before |= given.word < first;
        let term = value.term(terms);
        let from = all.last().and_then(Option::as_ref);
        let path = paths::absolute(term.text.as_bytes(), from);
        let known = value.known == Known::Whole && path.starts_with(b"/");
        all.push(known.then(|| RawText::new(path)));
    }
    if before {
        all.remove(0);
    }
    all.truncate(DIRECTORIES_MAX);
    all
}

struct Files<'r, 'a> {
    parsed: &'r Parsed<'a>,
    terms: &'r [Term],
    judging: &'r Judging<'r>,
    /// Never empty.
    directories: Vec<Option<RawText>>,
    sum: &'r mut Sum,
}

impl Files<'_, '_> {
    fn arguments(&mut self) {
        let given = || self.parsed.flags.iter().filter(|given| !given.is_off());
        let flags = || given().flat_map(|given| &given.flags);
        let uses = flags().find_map(|flag| flag.uses);
        let tree = flags().any(|flag| flag.tree);
        let parsed = self.parsed;
        let mut sources: Vec<&Word<'_>> = Vec::new();
        for (word, arg) in parsed.args.iter().zip(&parsed.slots) {
            let Some(arg) = arg else { continue };
            if let Some(usage) = arg.path {
                let usage = uses.unwrap_or(usage);
                let usage = if tree { with_tree(usage) } else { usage };
                self.used(usage, word);
                match arg.rest {
                    true => sources.push(word),
                    false => self.into(usage, word, &sources),
                }
            }
            if let Some(special) = arg.is {
                self.special(special, word);
            }
            if let Some(output) = arg.output {
                self.note(written_by(output), word);
                self.declare_word(written_by(output), word);
            }
        }
    }

    /// A target that is a directory gets the sources under their own names.
    fn into(&mut self, usage: PathUse, target: &Word<'_>, sources: &[&Word<'_>]) {
        let goes_in = matches!(usage, PathUse::Write | PathUse::WriteTree | PathUse::LinkName);
        let Some(directory) = target.whole().filter(|_| goes_in) else { return };
        for source in sources.iter().take(super::NAMED_MAX) {
            let name = source
                .whole()
                .and_then(|path| path.trim_end_matches('/').rsplit(['/', ':']).next());
            let Some(name) = name.filter(|name| !matches!(*name, "" | "." | "..")) else {
                continue;
            };
            let path = format!("{}/{name}", directory.trim_end_matches('/'));
            self.write(path.as_bytes(), Below::Nothing);
            self.declare(PathUse::Write, path.as_bytes());
            let term = Term::whole(RawText::from(path));
            if let Some(found) = self.worst(usage, &term).filter(|found| Tier::Modify < found.tier)
            {
                self.sum.add_found(&found.word(target.word));
            }
        }
    }

    /// One use of one file.
    fn used(&mut self, usage: PathUse, word: &Word<'_>) {
        self.note(usage, word);
        self.declare_word(usage, word);
        if let Some(found) = self.found(usage, word) {
            self.sum.add_found(&found.word(word.word));
        }
    }

    /// Remembers what is written: as a program it is unknown from then on.
    fn note(&self, usage: PathUse, word: &Word<'_>) {
        let below = match usage {
            PathUse::Append | PathUse::LinkName | PathUse::Write => Below::Nothing,
            PathUse::WriteTree => Below::Everything,
            _ => return,
        };
        if word.whole() != Some("-") && word.known == Known::Whole {
            let path = word.term(self.terms).text;
            self.write(path.as_bytes(), below);
        }
    }

    fn write(&self, path: &[u8], below: Below) {
        for directory in &self.directories {
            self.judging.write(path, directory.as_ref(), below);
        }
    }

    /// Declares what a word names as written, made or removed, if it is known whole.
    fn declare_word(&self, usage: PathUse, word: &Word<'_>) {
        let away = elsewhere(&word.text).is_some() || word.text.contains("://");
        if word.known == Known::Whole && word.whole() != Some("-") && !away {
            self.declare(usage, word.term(self.terms).text.as_bytes());
        }
    }

    /// Declares a path. The directory that the tool works in, or one above it, is not declared by a file being
    /// written into it; whoever unpacks there says so.
    fn declare(&self, usage: PathUse, path: &[u8]) {
        if !usage.changes() {
            return;
        }
        for directory in self.directories.iter().flatten() {
            let absolute = paths::absolute(path, Some(directory));
            let works = paths::absolute(directory.as_bytes(), None);
            let below = works.strip_prefix(absolute.as_slice());
            let above = below.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"));
            if usage == PathUse::WriteTree || !(above || absolute == b"/") {
                self.judging.declare(path, Some(directory), Extent::Below);
            }
        }
    }

    fn found(&self, usage: PathUse, word: &Word<'_>) -> Option<Found> {
        // Standard input or output.
        if word.whole() == Some("-") {
            return None;
        }
        self.worst(usage, &word.term(self.terms))
    }

    /// The worst that a use comes to in any directory the tool works in.
    fn worst(&self, usage: PathUse, term: &Term) -> Option<Found> {
        let directories = self.directories.iter().map(Option::as_ref);
        directories
            .filter_map(|directory| paths::judge(usage, term, directory, self.judging.ambient))
            .reduce(|worst, found| if worst.tier < found.tier { found } else { worst })
    }

    fn special(&mut self, special: Special, word: &Word<'_>) {
        match special {
            Special::Assignment => self.variable(word),
            Special::AtFile => {
                let start = match word.text.strip_prefix('@') {
                    Some(_) => Some(1),
                    None => {
                        ["=@", "=<"].iter().find_map(|sign| word.text.find(sign)).map(|at| at + 2)
                    }
                };
                if let Some(start) = start {
                    self.sent(&behind(word, start));
                }
            }
            Special::Sent => self.sent(word),
            Special::Unset => self.unset(word),
            Special::Url => self.address(word),
            Special::Copy => self.copied(word),
            Special::CopyTo => self.copied_to(word),
            Special::Delimiter
            | Special::FeedFile
            | Special::Host
            | Special::Inline
            | Special::Module
            | Special::Replace
            | Special::Stdin
            | Special::Terminal => {}
        }
    }

    /// A file whose content goes somewhere else: a secret one is given away.
    fn sent(&mut self, word: &Word<'_>) {
        let word_at = word.word;
        match self.found(PathUse::Read, word) {
            Some(found) if Tier::Sensitive <= found.tier => {
                let text = format!("sends away what it reads: {}", found.text);
                let rule = format!("{}:sends", self.parsed.rule);
                self.sum.add(Tier::BreakGlass, Class::Identity, &rule, &text, Some(word_at));
            }
            Some(found) => {
                let found = Found { tier: Tier::Sensitive, ..found };
                self.sum.add_found(&found.word(word_at));
            }
            None => {}
        }
    }

    /// A file that is copied, from here or from another machine.
    fn copied(&mut self, word: &Word<'_>) {
        let target = self.parsed.args.last();
        let away = target.is_some_and(|target| elsewhere(&target.text).is_some());
        if let Some(start) = elsewhere(&word.text) {
            let path = behind(word, start);
            if !path.text.is_empty() {
                self.used(PathUse::ReadTree, &path);
            }
        } else if let Some(found) = self.found(PathUse::ReadTree, word) {
            let secret = away && Tier::Sensitive <= found.tier;
            let tier = if secret { Tier::BreakGlass } else { found.tier };
            let class = if secret { Class::Identity } else { found.class };
            self.sum.add_found(&Found { tier, class, ..found }.word(word.word));
        }
    }

    /// Where files are copied to, here or on another machine.
    fn copied_to(&mut self, word: &Word<'_>) {
        let parsed = self.parsed;
        let sources = parsed.args.iter().filter(|arg| arg.word != word.word).collect::<Vec<_>>();
        let target = elsewhere(&word.text).map(|start| behind(word, start));
        // Nothing behind the host is the home there.
        let target = target.as_ref().unwrap_or(word);
        if !target.text.is_empty() {
            self.used(PathUse::WriteTree, target);
            self.into(PathUse::WriteTree, target, &sources);
        }
    }

    fn address(&mut self, word: &Word<'_>) {
        let rule = &self.parsed.rule;
        let literal = self.literal_address(word);
        let word = literal.as_ref().unwrap_or(word);
        let lower = word.text.to_ascii_lowercase();
        if let Some(path) = lower.strip_prefix("file://") {
            let start = word.text.len() - path.len();
            // With a host before it: `file://localhost/etc/passwd`.
            let start = start + path.find('/').unwrap_or(0);
            self.used(PathUse::Read, &behind(word, start));
        } else {
            // Digits and plain letters at the end lead nowhere else.
            let tame = self.parsed.tail(word).is_some();
            let led = |found: &Found| !tame || found.tier != Tier::Modify;
            for found in languages::url::judge(&word.text, word.known).into_iter().filter(led) {
                let found = Found { rule: format!("{rule}:{}", found.rule).into(), ..found };
                self.sum.add_found(&found.word(word.word));
            }
        }
    }

    /// The address that a pattern of file names is where no file has such a name. With a scheme, a
    /// file would have to lie in a directory called `https:`; and where the pattern starts behind
    /// the host, every file it could stand for is an address of that host.
    fn literal_address<'w>(&self, word: &Word<'w>) -> Option<Word<'w>> {
        let pattern = self.terms.get(word.word).filter(|_| word.known == Known::Pattern)?;
        let literal = paths::unescaped(pattern.text.as_bytes());
        let text = String::from_utf8(literal.get(word.start..)?.to_vec()).ok()?;
        let behind = |text: &str| text.split_once("://").map(|(_, rest)| rest.contains('/'));
        let host_known = behind(&word.text).unwrap_or_else(|| word.text.contains('/'));
        (text.contains("://") || host_known).then_some(Word {
            text: Cow::Owned(text),
            word: word.word,
            start: word.start,
            known: Known::Whole,
        })
    }

    /// `NAME=VALUE` for what runs (invariant I7).
    fn variable(&mut self, word: &Word<'_>) {
        let at = word.word;
        let Some((name, value)) = word.text.split_once('=') else {
            if word.known != Known::Whole {
                let text = "a variable that only the run knows";
                let rule = format!("{}:variable", self.parsed.rule);
                self.sum.add(Tier::Sensitive, Class::Unknown, &rule, text, Some(at));
            }
            return;
        };
        self.judging.assigns(name.as_bytes());
        let known = word.whole().map(|_| value);
        self.set(assignment(name, known, known.unwrap_or("?")), at);
    }

    /// The name of a variable that is taken away: what it said of routes or identities no longer
    /// holds.
    fn unset(&mut self, word: &Word<'_>) {
        match word.whole() {
            Some(name) => self.set(assignment(name, None, ""), word.word),
            None => {
                let text = "takes away a variable that only the run knows";
                let rule = format!("{}:variable", self.parsed.rule);
                self.sum.add(Tier::Sensitive, Class::Unknown, &rule, text, Some(word.word));
            }
        }
    }

    fn set(&mut self, setting: Setting, at: usize) {
        match setting {
            Setting::Harmless => {}
            Setting::Overrides(setting) => self.sum.overrides.push(setting),
            Setting::Shapes(found) => self.sum.add_found(&found.word(at)),
        }
    }
}

/// Where the path starts in `host:path`, `host::module/path`, `scheme://host/path`; `None` for a
/// file of this machine.
fn elsewhere(text: &str) -> Option<usize> {
    if let Some((scheme, rest)) = text.split_once("://") {
        // The names of buckets are no files.
        let machine = matches!(scheme, "rsync" | "scp" | "sftp" | "ssh");
        let path = rest.find('/').filter(|_| machine).unwrap_or(rest.len());
        return Some(scheme.len() + 3 + path);
    }
    let place = text.find(':')?;
    let path = text.get(place + 1..)?;
    let remote = !text.get(..place)?.contains('/') && place != 0;
    remote.then_some(text.len() - path.trim_start_matches(':').len())
}

fn behind<'w>(word: &'w Word<'_>, start: usize) -> Word<'w> {
    let text = Cow::Borrowed(word.text.get(start..).unwrap_or(""));
    let known = match word.known {
        Known::Prefix(bytes) => Known::Prefix(bytes.saturating_sub(start)),
        known => known,
    };
    Word { text, word: word.word, start: word.start + start, known }
}

fn written_by(output: Output) -> PathUse {
    match output {
        Output::Directory => PathUse::WriteTree,
        Output::File | Output::Remote => PathUse::Write,
    }
}

/// The same use, of everything below as well.
fn with_tree(usage: PathUse) -> PathUse {
    match usage {
        PathUse::Attributes => PathUse::AttributesTree,
        PathUse::Read => PathUse::ReadTree,
        PathUse::Remove => PathUse::RemoveTree,
        PathUse::Write => PathUse::WriteTree,
        usage => usage,
    }
}

/// The most changes of directory that are told apart; an honest line has one or two.
const DIRECTORIES_MAX: usize = 8;
