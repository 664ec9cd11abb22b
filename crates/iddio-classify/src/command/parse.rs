//! Arguments taken apart as the tool itself would take them.
//!
//! Two passes. The first finds the command, for which only global flags matter; the second reads
//! every option in the light of that command. Where the tool's reading and ours could part, both
//! are counted: an option behind a Go tool's arguments is an argument to the tool, and is still
//! held against it here. Time is linear in the words.

use std::borrow::Cow;

use iddio_core::{text::RawText, tier::Tier};

use crate::catalog::{
    Catalog,
    format::{Command, Flag, Style, Takes},
};

/// A command line taken apart.
pub(super) struct Parsed<'a> {
    pub(super) resolution: Resolution<'a>,
    /// The command's words, or what stands where they should.
    pub(super) path: String,
    /// The indices of the command's words.
    pub(super) path_words: Vec<usize>,
    pub(super) flags: Vec<Given<'a>>,
    /// What is neither command nor option.
    pub(super) args: Vec<Word<'a>>,
    /// Words that could be read in two ways, with the reason.
    pub(super) doubts: Vec<Doubt>,
}

/// A word that could be read in two ways.
pub(super) struct Doubt {
    pub(super) tier: Tier,
    pub(super) word: usize,
    pub(super) text: &'static str,
}

/// Which command it is.
pub(super) enum Resolution<'a> {
    /// None was named.
    Bare,
    /// One that families judge.
    Family,
    /// A word with subcommands, none of which was named.
    Group,
    /// One that the catalog lists.
    Known(&'a Command),
    /// None that the catalog lists.
    Unknown,
}

/// An option that was given.
pub(super) struct Given<'a> {
    /// Its name as the catalog spells it, or as written.
    pub(super) name: Cow<'a, str>,
    /// The flags it may be: none is unknown, several are an ambiguous abbreviation.
    pub(super) flags: Vec<&'a Flag>,
    pub(super) value: Option<Word<'a>>,
    /// The index of the word it stands in.
    pub(super) word: usize,
}

/// A word, or the part of one that is a value.
#[derive(Clone)]
pub(super) struct Word<'a> {
    pub(super) text: Cow<'a, str>,
    pub(super) word: usize,
    /// Where in the word it starts, in bytes.
    pub(super) start: usize,
}

/// Takes `argv` apart; its first word is the program.
pub(super) fn parse<'a>(catalog: &'a Catalog, argv: &'a [RawText]) -> Parsed<'a> {
    let words: Vec<Cow<'a, str>> =
        argv.iter().map(|word| String::from_utf8_lossy(word.as_bytes())).collect();
    let mut reader = Reader { catalog, words: &words, doubts: Vec::new() };
    let (path, path_words) = reader.command();
    let known = catalog.entry(&path);
    let resolution = match known {
        _ if path.is_empty() => Resolution::Bare,
        Some((_, command)) => Resolution::Known(command),
        None if catalog.is_group(&path) => Resolution::Group,
        None if path_words.len() == catalog.tool.syntax.family_words => Resolution::Family,
        None => Resolution::Unknown,
    };
    let path = known.map_or(path, |(entry, _)| entry.path.clone());
    let (flags, args) = reader.options(&path, &path_words);
    let doubts = reader.doubts;
    let flags = flags.into_iter().map(Given::owned).collect();
    let args = args.into_iter().map(Word::owned).collect();
    Parsed { resolution, path, path_words, flags, args, doubts }
}

struct Reader<'c, 'w> {
    catalog: &'c Catalog,
    words: &'w [Cow<'w, str>],
    doubts: Vec<Doubt>,
}

type Options<'c, 'w> = (Vec<Found<'c, 'w>>, Vec<Word<'w>>);

/// An option as read, before it is cut loose from the words.
struct Found<'c, 'w> {
    name: String,
    flags: Vec<&'c Flag>,
    value: Option<Word<'w>>,
    word: usize,
}

impl<'c, 'w> Reader<'c, 'w> {
    /// Finds the command: its path and the indices of its words.
    fn command(&mut self) -> (String, Vec<usize>) {
        let mut path = String::new();
        let mut places = Vec::new();
        let mut index = 1;
        while let Some(word) = self.words.get(index) {
            // Tools disagree on these: some skip them, some stop, some take them as the command.
            if matches!(word.as_ref(), "" | "-" | "--") || word.contains(char::is_whitespace) {
                let text = "no command, and nobody knows whether the tool looks further";
                self.doubts.push(Doubt { tier: Tier::UNKNOWN, word: index, text });
                break;
            }
            if is_option(word) {
                index += self.skip_option(&path, index);
                continue;
            }
            let longer = if path.is_empty() { word.to_string() } else { format!("{path} {word}") };
            let listed = self.catalog.entry(&longer).is_some() || self.catalog.is_group(&longer);
            let family = places.len() < self.catalog.tool.syntax.family_words;
            let group = path.is_empty() || self.catalog.is_group(&path);
            let takes_words =
                self.catalog.entry(&path).is_some_and(|(_, command)| !command.args.is_empty());
            if !(listed || family && !self.leaf(&path) || group && !takes_words) {
                break;
            }
            path = longer;
            places.push(index);
            index += 1;
            let whole = places.len() == self.catalog.tool.syntax.family_words;
            if self.leaf(&path) || whole && !self.catalog.is_group(&path) || !listed && !family {
                break;
            }
        }
        (path, places)
    }

    fn leaf(&self, path: &str) -> bool {
        self.catalog.entry(path).is_some() && !self.catalog.is_group(path)
    }

    /// Returns how many words the option at `index` takes before the command is known.
    fn skip_option(&mut self, path: &str, index: usize) -> usize {
        let mut found = Vec::new();
        let next = self.option(path, index, &mut found);
        let unknown = found.iter().any(|option| option.flags.is_empty());
        let attached = self.words.get(index).is_some_and(|word| word.contains('='));
        if unknown && !attached {
            let text = "an unknown option before the command may take the next word";
            self.doubts.push(Doubt { tier: Tier::UNKNOWN, word: index, text });
        }
        next - index
    }

    /// Reads every option and argument behind the program.
    fn options(&mut self, path: &str, path_words: &[usize]) -> Options<'c, 'w> {
        let mut found = Vec::new();
        let mut args = Vec::new();
        let mut terminated = false;
        let mut index = 1;
        let front = path_words.first().copied().unwrap_or(0);
        let mut path_words = path_words.iter().copied().peekable();
        let stops = self.catalog.style() == Style::Go;
        while let Some(word) = self.words.get(index) {
            if path_words.next_if_eq(&index).is_some() {
                index += 1;
            } else if !terminated && word.as_ref() == "--" {
                // Argparse takes it away in one parser, and the next one reads options behind it.
                terminated = self.catalog.style() != Style::Argparse;
                if !terminated {
                    let text = "options behind `--`, which the tool may read as options";
                    self.doubts.push(Doubt { tier: Tier::Modify, word: index, text });
                }
                index += 1;
            } else if !terminated && is_option(word) {
                let start = found.len();
                let path = if self.catalog.has_front() && index < front { "" } else { path };
                let next = self.option(path, index, &mut found);
                // A Go tool stops at its first argument: this one is an argument to it.
                if stops && !args.is_empty() {
                    let text = "an option behind an argument, which the tool takes as an argument";
                    self.doubts.push(Doubt { tier: Tier::Modify, word: index, text });
                    args.push(Word { text: word.clone(), word: index, start: 0 });
                    let detached = |option: &mut Found<'c, 'w>| {
                        option.value.take_if(|value| value.word != index);
                    };
                    found.iter_mut().skip(start).for_each(detached);
                    index += 1;
                } else {
                    index = next;
                }
            } else {
                args.push(Word { text: word.clone(), word: index, start: 0 });
                index += 1;
            }
        }
        (found, args)
    }

    /// Reads the option at `index` and returns the index behind it and its value.
    fn option(&mut self, path: &str, index: usize, found: &mut Vec<Found<'c, 'w>>) -> usize {
        let Some(word) = self.words.get(index) else { return index + 1 };
        match self.catalog.style() {
            Style::Pflag
                if !word.starts_with("--")
                    && CLUSTER_BYTES_MAX < word.len()
                    && word.get(1..CLUSTER_BYTES_MAX).is_none_or(|word| !word.contains('='))
                    && !self.takes_rest(path, word) =>
            {
                let text = "more short options in one word than the limit";
                self.doubts.push(Doubt { tier: Tier::UNKNOWN, word: index, text });
                index + 1
            }
            Style::Pflag if !word.starts_with("--") => self.cluster(path, index, word, found),
            style => self.long(style, path, index, word, found),
        }
    }

    /// Reads `--name`, `--name=value`, `--name value`, and Go's `-name`.
    fn long(
        &self,
        style: Style,
        path: &str,
        index: usize,
        word: &'w str,
        found: &mut Vec<Found<'c, 'w>>,
    ) -> usize {
        let (name, attached) = match word.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (word, None),
        };
        let name = match style {
            Style::Argparse
            | Style::Assignments
            | Style::Getopt
            | Style::GetoptFirst
            | Style::Single
            | Style::Words => name.to_owned(),
            Style::Go => format!("-{}", name.trim_start_matches('-')),
            Style::Pflag => name.replace('_', "-"),
        };
        let (name, flags) = self.lookup(style, path, name);
        let takes = flags.first().map(|flag| flag.value);
        let value = match (takes, attached) {
            (_, Some(value)) => Some(self.part(index, word.len() - value.len())),
            (Some(Takes::Required), None) => self.word(index + 1),
            (Some(Takes::Many | Takes::Maybe), None) => {
                self.word(index + 1).filter(|word| !is_option(&word.text))
            }
            (Some(Takes::Optional | Takes::Switch) | None, None) => None,
        };
        let behind = match (takes, attached) {
            (Some(Takes::Many), None) => index + 1 + self.run_of_values(index + 1),
            _ => value.as_ref().map_or(index, |value| value.word) + 1,
        };
        found.push(Found { name, flags, value, word: index });
        behind
    }

    /// Whether the first short option of a word takes all the rest of it as its value.
    fn takes_rest(&self, path: &str, word: &str) -> bool {
        let first: String = word.chars().take(2).collect();
        let flag = self.catalog.flag(path, &first);
        flag.is_some_and(|(_, flag)| flag.value == Takes::Required)
    }

    /// Reads `-abc`, `-n value`, `-nvalue` and `-n=value`.
    fn cluster(
        &self,
        path: &str,
        index: usize,
        word: &'w str,
        found: &mut Vec<Found<'c, 'w>>,
    ) -> usize {
        for (place, letter) in word.char_indices().skip(1) {
            let behind = place + letter.len_utf8();
            let rest = word.get(behind..).unwrap_or("");
            let (name, flags) = self.lookup(Style::Pflag, path, format!("-{letter}"));
            let takes = flags.first().map(|flag| flag.value);
            let unknown = flags.is_empty();
            let value = match takes {
                Some(Takes::Required) if rest.is_empty() => self.word(index + 1),
                Some(Takes::Required) => {
                    Some(self.part(index, behind + usize::from(rest.starts_with('='))))
                }
                Some(_) if rest.starts_with('=') => Some(self.part(index, behind + 1)),
                Some(_) | None => None,
            };
            let last = value.is_some() || unknown;
            let next = value.as_ref().map_or(index, |value| value.word) + 1;
            found.push(Found { name, flags, value, word: index });
            if last {
                return next;
            }
        }
        index + 1
    }

    /// Returns the flags that `name` may be, and the name to show.
    fn lookup(&self, style: Style, path: &str, name: String) -> (String, Vec<&'c Flag>) {
        if let Some((_, flag)) = self.catalog.flag(path, &name) {
            return (name, vec![flag]);
        }
        if style != Style::Argparse || name.len() < 3 {
            return (name, Vec::new());
        }
        let candidates = self.catalog.flags_from(path, &name);
        let shown = match candidates.as_slice() {
            [(only, _)] => (*only).to_owned(),
            _ => name.clone(),
        };
        (shown, candidates.into_iter().map(|(_, flag)| flag).collect())
    }

    fn run_of_values(&self, from: usize) -> usize {
        let rest = self.words.get(from..).unwrap_or_default();
        rest.iter().take_while(|word| !is_option(word) && word.as_ref() != "--").count()
    }

    fn word(&self, index: usize) -> Option<Word<'w>> {
        let text = self.words.get(index)?;
        Some(Word { text: Cow::Borrowed(text), word: index, start: 0 })
    }

    fn part(&self, index: usize, start: usize) -> Word<'w> {
        let text = self.words.get(index).and_then(|word| word.get(start..)).unwrap_or("");
        Word { text: Cow::Borrowed(text), word: index, start }
    }
}

impl Given<'_> {
    fn owned<'c>(found: Found<'c, '_>) -> Given<'c> {
        let Found { name, flags, value, word } = found;
        Given { name: Cow::Owned(name), flags, value: value.map(Word::owned), word }
    }

    /// Whether a switch was turned off: `--lock=false`.
    pub(super) fn is_off(&self) -> bool {
        self.value.as_ref().is_some_and(|value| is_false(&value.text))
    }
}

impl Word<'_> {
    fn owned<'b>(self) -> Word<'b> {
        Word { text: Cow::Owned(self.text.into_owned()), word: self.word, start: self.start }
    }
}

/// Whether a word is an option; a lone `-` is standard input.
fn is_option(word: &str) -> bool {
    word.len() > 1 && word.starts_with('-')
}

/// Whether Go reads this as false.
pub(super) fn is_false(text: &str) -> bool {
    matches!(text, "0" | "f" | "F" | "false" | "False" | "FALSE")
}

/// The most bytes of short options in one word. No tool has as many; a value behind one may be
/// longer.
const CLUSTER_BYTES_MAX: usize = 64;
