//! What a command line makes the tool read and write: found, so that it can be bound.
//!
//! What is approved is substituted, so every file that is read is named here by word and place.
//! What cannot be bound is at least tier 3 and says so (threat E21).

use std::borrow::Cow;

use iddio_core::{
    text::RawText,
    tier::{Class, Tier},
};

use super::{
    Ambient, Found, NAMED_MAX,
    judge::Sum,
    kube,
    line::{Feed, Known, Line, Term},
    parse::{Given, Parsed, Resolution, Word},
    plan::{Below, Binding, InputFile, InputKind, ManifestNeed, Need, OutputFile, StdinRole},
};
use crate::{
    catalog::{
        Catalog,
        format::{Command, Input, Output, PathUse},
    },
    kube::manifest::{ManifestFacts, Usage},
};

/// Adds every input and output of the command line to the plan.
pub(super) fn collect(
    catalog: &Catalog,
    parsed: &Parsed<'_>,
    line: &Line,
    ambient: &Ambient,
    sum: &mut Sum,
) {
    let command = match parsed.resolution {
        Resolution::Known(command) => Some(command),
        _ => None,
    };
    let Line { words: terms, feed } = line;
    let option = None;
    let mut reader = Reader { catalog, parsed, command, terms, feed, ambient, sum, option };
    for given in &parsed.flags {
        reader.option = Some(given.name.as_ref());
        let Some(value) = &given.value else { continue };
        for flag in &given.flags {
            if let Some(input) = flag.input {
                reader.input(input, value);
            }
            if let Some(output) = flag.output {
                reader.output(output, value);
            }
        }
    }
    reader.option = None;
    for (word, arg) in parsed.args.iter().zip(&parsed.slots) {
        if let Some(input) = arg.and_then(|arg| arg.input) {
            reader.input(input, word);
        }
        if let Some(output) = arg.and_then(|arg| arg.output) {
            reader.output(output, word);
        }
    }
    reader.directory();
    reader.values();
}

struct Reader<'r, 'a> {
    catalog: &'r Catalog,
    parsed: &'r Parsed<'a>,
    command: Option<&'r Command>,
    terms: &'r [Term],
    feed: &'r Feed,
    ambient: &'r Ambient,
    sum: &'r mut Sum,
    /// The option that is being read.
    option: Option<&'r str>,
}

impl<'r> Reader<'r, '_> {
    fn bytes(&self, word: usize) -> &'r [u8] {
        self.terms.get(word).map_or(&b""[..], |term| term.text.as_bytes())
    }

    /// The rule of what is being read.
    fn rule(&self) -> String {
        let rule = self.parsed.rule.as_str();
        self.option.map_or_else(|| rule.to_owned(), |option| [rule, " ", option].concat())
    }

    fn input(&mut self, input: Input, word: &Word<'_>) {
        use InputKind as Kind;
        match input {
            Input::Chart => self.chart(word),
            Input::Configuration => {
                let index = self.file(Kind::Configuration, Binding::Directory, word);
                self.sum.plan.needs.push(Need::ConfigurationAt(index));
            }
            Input::DataList => self.list(word),
            Input::DataPair => {
                let path = after(word, word.text.find('=').map_or(0, |place| place + 1));
                self.data(&path);
            }
            Input::Manifest => {
                let usage = kube::usage(self.command);
                self.each(word, |reader, word| reader.manifest(word, usage.clone()));
            }
            Input::Patch => self.manifest(word, Usage::Patch),
            Input::Plan => {
                let index = self.file(Kind::SavedPlan, Binding::File, word);
                self.sum.plan.needs.push(Need::SavedPlan(index));
            }
            Input::Remote if word.text.contains("://") => {}
            Input::Data | Input::Remote => {
                self.data(word);
            }
            Input::State => {
                self.file(Kind::State, Binding::File, word);
            }
            Input::Values => self.each(word, |reader, word| {
                reader.file(Kind::Values, Binding::File, word);
                reader.reads(word);
            }),
            Input::Variables => {
                self.file(Kind::Variables, Binding::File, word);
                self.reads(word);
            }
        }
    }

    /// Adds a file that is read as it is, and what reading it means.
    fn data(&mut self, word: &Word<'_>) {
        self.file(InputKind::Data, Binding::FileOrDirectory, word);
        self.reads(word);
    }

    /// Adds what it means to read a file, whatever the tool makes of it: errors and results show it.
    fn reads(&mut self, word: &Word<'_>) {
        let directory = self.ambient.working_directory.as_ref();
        let term = word.term(self.terms);
        let found = crate::paths::judge(PathUse::Read, &term, directory, self.ambient);
        // Files of variables are what such an option is for.
        let own = |found: &Found| found.rule == "path:environment-file";
        let found = found.filter(|found| Tier::Sensitive <= found.tier && !own(found));
        if let Some(found) = found {
            self.sum.add_found(&found.word(word.word));
        }
    }

    /// Adds a file, and returns its index among the inputs.
    fn file(&mut self, kind: InputKind, binding: Binding, word: &Word<'_>) -> usize {
        let binding = match word.text.as_ref() {
            _ if word.known != Known::Whole => Binding::Unbound,
            "-" | "/dev/stdin" => Binding::Stdin,
            text if text.contains("://") => Binding::Unbound,
            text if text.starts_with("/dev/") || text.starts_with("/proc/") => Binding::Unbound,
            _ => binding,
        };
        if binding == Binding::Stdin
            && self.sum.plan.stdin == StdinRole::Data
            && kind != InputKind::Data
        {
            self.sum.plan.stdin = StdinRole::Input;
        }
        if binding == Binding::Unbound {
            let text = "it reads what cannot be bound: it may be something else when it runs";
            self.sum.add(Tier::Sensitive, Class::Unknown, &self.rule(), text, Some(word.word));
        }
        let end = self.terms.get(word.word).map_or(0, |term| term.text.as_bytes().len());
        let end = end.min(word.start + word.text.len());
        self.push(kind, binding, word, end)
    }

    fn push(&mut self, kind: InputKind, binding: Binding, word: &Word<'_>, end: usize) -> usize {
        if NAMED_MAX <= self.sum.plan.inputs.len() {
            let text = "more files than the limit";
            self.sum.add(Tier::UNKNOWN, Class::Unknown, "argv:limit", text, Some(word.word));
            return self.sum.plan.inputs.len() - 1;
        }
        let raw = self.bytes(word.word);
        let path = RawText::new(raw.get(word.start..end).unwrap_or(raw));
        let input = InputFile { word: word.word, start: word.start, end, path, kind, binding };
        self.sum.plan.inputs.push(input);
        self.sum.plan.inputs.len() - 1
    }

    /// A chart is bound only where it can be nothing but a path.
    fn chart(&mut self, word: &Word<'_>) {
        let text = word.text.as_ref();
        let path = text == "."
            || text == ".."
            || text.starts_with("./")
            || text.starts_with("../")
            || text.starts_with('/');
        if path {
            self.file(InputKind::Chart, Binding::FileOrDirectory, word);
        } else {
            let why = "a chart by reference: what it holds cannot be bound";
            self.sum.add(Tier::Sensitive, Class::Unknown, &self.rule(), why, Some(word.word));
            self.push(InputKind::Chart, Binding::Unbound, word, word.start + word.text.len());
        }
    }

    /// Several paths parted by commas, as pflag's slices take them.
    fn each(&mut self, word: &Word<'_>, add: impl Fn(&mut Self, &Word<'_>)) {
        let mut place = 0;
        for part in word.text.split(',') {
            let text = Cow::Borrowed(part);
            add(
                self,
                &Word { text, word: word.word, start: word.start + place, known: word.known },
            );
            place += part.len() + 1;
        }
    }

    /// `name=path,name=path`.
    fn list(&mut self, word: &Word<'_>) {
        let mut place = 0;
        for part in word.text.split(',') {
            let start = place + part.find('=').map_or(0, |sign| sign + 1);
            let path = word.text.get(start..place + part.len()).unwrap_or("");
            let (text, start) = (Cow::Borrowed(path), word.start + start);
            let path = Word { text, word: word.word, start, known: word.known };
            self.file(InputKind::Data, Binding::File, &path);
            place += part.len() + 1;
        }
    }

    /// What a manifest holds decides what is asked for. While nobody has read it, it is tier 3:
    /// the common case is a write at tier 2, the worst one tier 4.
    fn manifest(&mut self, word: &Word<'_>, usage: Usage) {
        let index = self.file(InputKind::Manifest, Binding::FileOrDirectory, word);
        let recursive =
            |given: &Given<'_>| RECURSIVE.contains(&given.name.as_ref()) && !given.is_off();
        let below = match self.parsed.flags.iter().any(recursive) {
            true => Below::Everything,
            false => Below::Nothing,
        };
        let need = ManifestNeed { input: index, usage: usage.clone(), below };
        self.sum.plan.needs.push(Need::Manifest(need));
        let raw = self.sum.plan.inputs.get(index).map(|input| input.path.clone());
        let whole = word.known == Known::Whole;
        let mut known = self.ambient.manifests.iter().filter(|_| whole);
        let facts = known.find(|(path, _)| Some(path) == raw.as_ref());
        let stdin = matches!(word.text.as_ref(), "-" | "/dev/stdin") && whole;
        match (facts, self.feed) {
            (_, Feed::Text(text)) if stdin => {
                let facts = ManifestFacts::of(text.as_bytes(), &usage);
                kube::objects(&facts, &usage, word.word, self.sum);
            }
            (Some((_, facts)), _) => kube::objects(facts, &usage, word.word, self.sum),
            (None, _) => {
                let text = "a manifest that was not read decides what is asked for";
                self.sum.add(Tier::Sensitive, Class::Unknown, &self.rule(), text, Some(word.word));
            }
        }
    }

    /// A file that is written is harmless only as a plain name below the working directory.
    fn output(&mut self, output: Output, word: &Word<'_>) {
        let text = word.text.as_ref();
        let elsewhere = output == Output::Remote && text.contains("://");
        if elsewhere || matches!(text, "-" | "/dev/stdout" | "/dev/null" | "stdout") {
            return;
        }
        let plain = word.known == Known::Whole
            && !text.starts_with(['/', '~'])
            && text.split('/').all(|part| part == "." || !part.starts_with('.'));
        if !plain {
            let why = "it writes outside the working directory or to a hidden file";
            self.sum.add(Tier::Sensitive, Class::Unknown, &self.rule(), why, Some(word.word));
        }
        let raw = self.bytes(word.word);
        let path = RawText::new(raw.get(word.start..).unwrap_or(raw));
        self.sum.plan.outputs.push(OutputFile { word: word.word, path });
    }

    /// The directory the tool changes to first.
    fn directory(&mut self) {
        let given = self
            .parsed
            .flags
            .iter()
            .find(|given| given.flags.iter().any(|flag| flag.changes_directory));
        let Some(value) = given.and_then(|given| given.value.as_ref()) else { return };
        let raw = self.bytes(value.word);
        self.sum.plan.directory = raw.get(value.start..).map(RawText::new);
    }

    /// Values that mean a file or an address wherever they stand: `file://x`.
    fn values(&mut self) {
        let values = &self.catalog.tool.values;
        if values.file_prefixes.is_empty() && values.url_prefixes.is_empty() {
            return;
        }
        let files = matches!(self.parsed.resolution, Resolution::Family | Resolution::Known(_));
        let mut option = String::new();
        for (index, term) in self.terms.iter().enumerate().skip(1) {
            let text = term.head();
            let start = match text.strip_prefix("--").map(|rest| rest.split_once('=')) {
                Some(Some((name, _))) => {
                    option = name.to_owned();
                    name.len() + 3
                }
                Some(None) => {
                    option = text.trim_start_matches("--").to_owned();
                    continue;
                }
                None => 0,
            };
            let value = text.get(start..).unwrap_or("");
            let word = |skip: usize| Word {
                text: Cow::Owned(value.get(skip..).unwrap_or("").to_owned()),
                word: index,
                start: start + skip,
                known: term.known,
            };
            let prefix = values.file_prefixes.iter().find(|prefix| value.starts_with(*prefix));
            if let Some(prefix) = prefix.filter(|_| files) {
                self.file(InputKind::Data, Binding::File, &word(prefix.len()));
            } else if values.url_prefixes.iter().any(|prefix| value.starts_with(prefix))
                && !values.url_plain.contains(&option)
                && !self.routes(&option)
            {
                self.file(InputKind::Data, Binding::Unbound, &word(0));
            }
        }
    }

    /// Whether an option, in full or in part, is a global one that takes a route: its value is
    /// handed on, and judged as an override.
    fn routes(&self, option: &str) -> bool {
        let name = format!("--{option}");
        let flags = self.catalog.flags_from(&self.parsed.path, &name);
        !option.is_empty() && flags.iter().any(|(_, flag)| flag.overrides.is_some())
    }
}

fn after<'a>(word: &'a Word<'_>, start: usize) -> Word<'a> {
    let text = word.text.get(start..).unwrap_or("");
    let start = word.start + start;
    Word { text: Cow::Borrowed(text), word: word.word, start, known: word.known }
}

/// How kubectl's options are called that make it read directories below.
const RECURSIVE: [&str; 2] = ["--recursive", "-R"];
