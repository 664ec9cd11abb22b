//! Arguments taken apart as the tool itself would take them.
//!
//! Two passes. The first finds the command, for which only global flags matter; the second reads
//! every option in the light of that command. Where the tool's reading and ours could part, both
//! are counted: an option behind a Go tool's arguments is an argument to the tool, and is still
//! held against it here. A word that is known in part is read by what is known of it; where it may
//! be an option besides an argument, it is both. Time is linear in the words.

use std::borrow::Cow;

use iddio_core::{text::RawText, tier::Tier};

use super::line::{Known, Minus, Stretch, Term};
use crate::catalog::{
    Catalog,
    format::{Arg, Bundle, Command, Flag, Instead, Language, Special, Style, Takes},
};

/// A command line taken apart.
pub(super) struct Parsed<'a> {
    /// The words as they came.
    pub(super) terms: &'a [Term],
    pub(super) resolution: Resolution<'a>,
    /// The command's words, or what stands where they should.
    pub(super) path: String,
    /// The name of the rule for the command itself.
    pub(super) rule: String,
    /// The indices of the command's words.
    pub(super) path_words: Vec<usize>,
    pub(super) flags: Vec<Given<'a>>,
    /// What is neither command nor option.
    pub(super) args: Vec<Word<'a>>,
    /// What the catalog says about each of `args`.
    pub(super) slots: Vec<Option<&'a Arg>>,
    /// Where the words of a program begin that it runs, and what the catalog says about them.
    pub(super) program: Option<(usize, &'a Arg)>,
    /// Words that could be read in two ways, with the reason.
    pub(super) doubts: Vec<Doubt>,
    /// Words of which only the run knows whether they are options.
    pub(super) veiled: Vec<usize>,
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
    /// One that the catalog lists, or the program itself where it has no subcommands.
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
    /// The text, as far as it is known.
    pub(super) text: Cow<'a, str>,
    pub(super) word: usize,
    /// Where in the word it starts, in bytes.
    pub(super) start: usize,
    pub(super) known: Known,
}

// === impl Parsed ===

impl Parsed<'_> {
    /// Returns what follows what is known of a value, if all of it is bytes and tame stretches.
    pub(super) fn tail(&self, value: &Word<'_>) -> Option<&[Stretch]> {
        let stretches = self.terms.get(value.word)?.stretches.as_deref()?;
        let Known::Prefix(known) = value.known else { return None };
        match stretches {
            [Stretch::Bytes(head), rest @ ..] if head.len() == value.start + known => Some(rest),
            rest if value.start + known == 0 => Some(rest),
            _ => None,
        }
    }

    /// Whether files are written into the working directory by names that only the run knows.
    pub(super) fn unpacks(&self) -> bool {
        let command = match self.resolution {
            Resolution::Known(command) => {
                let looks = command.otherwise.as_ref().map_or(&[][..], |other| &other.unless);
                command.unpacks && !looks.iter().any(|names| self.gives(names))
            }
            _ => false,
        };
        let mut given = self.flags.iter().filter(|given| !given.is_off());
        command || given.any(|given| given.flags.iter().any(|flag| flag.unpacks))
    }

    /// Whether an option of one of these names, parted by spaces, is given beyond doubt.
    pub(super) fn gives(&self, names: &str) -> bool {
        self.flags.iter().any(|given| {
            given.flags.len() == 1
                && !given.is_off()
                && names.split(' ').any(|name| name == given.name)
        })
    }
}

/// Returns the text of every word, as far as it is known.
pub(super) fn texts(terms: &[Term]) -> Vec<Cow<'_, str>> {
    terms.iter().map(Term::head).collect()
}

/// Takes words apart; the first is the program, and `words` are [`texts`] of `terms`.
pub(super) fn parse<'a>(
    catalog: &'a Catalog,
    terms: &'a [Term],
    words: &'a [Cow<'a, str>],
) -> Parsed<'a> {
    let mut reader = Reader { catalog, terms, words, doubts: Vec::new(), veiled: Vec::new() };
    let (path, path_words) = reader.command();
    let known = catalog.entry(&path);
    let resolution = match (known, catalog.plain()) {
        (Some((_, command)), _) => Resolution::Known(command),
        (None, Some(plain)) if path_words.is_empty() => Resolution::Known(plain),
        _ if path.is_empty() => Resolution::Bare,
        _ if catalog.is_group(&path) => Resolution::Group,
        _ if path_words.len() == catalog.tool.syntax.family_words => Resolution::Family,
        _ => Resolution::Unknown,
    };
    let path = known.map_or(path, |(spelled, _)| spelled.to_owned());
    let command = match resolution {
        Resolution::Known(command) => Some(command),
        _ => None,
    };
    let Options { flags, args, mut slots, program } = reader.options(&path, &path_words, command);
    if let Some(command) = command
        && !stepwise(command)
    {
        slots = placed(command, &flags, args.len());
    }
    let Reader { doubts, veiled, .. } = reader;
    let rule = match path.as_str() {
        "" if catalog.plain().is_some() => catalog.name().to_owned(),
        path => [catalog.name(), ":", path].concat(),
    };
    Parsed {
        resolution,
        path,
        rule,
        path_words,
        flags,
        args,
        slots,
        program,
        doubts,
        veiled,
        terms,
    }
}

struct Reader<'a> {
    catalog: &'a Catalog,
    terms: &'a [Term],
    words: &'a [Cow<'a, str>],
    doubts: Vec<Doubt>,
    veiled: Vec<usize>,
}

/// What stands behind the program's name.
#[derive(Default)]
struct Options<'a> {
    flags: Vec<Given<'a>>,
    args: Vec<Word<'a>>,
    slots: Vec<Option<&'a Arg>>,
    program: Option<(usize, &'a Arg)>,
}

/// What a word looks like.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Shape {
    Argument,
    /// Only the run knows.
    Either,
    Option,
}

// === impl Reader ===

impl<'a> Reader<'a> {
    /// Finds the command: its path and the indices of its words.
    fn command(&mut self) -> (String, Vec<usize>) {
        let mut path = String::new();
        let mut places = Vec::new();
        if !self.catalog.has_commands() {
            return (path, places);
        }
        let mut index = 1;
        while let Some(word) = self.words.get(index) {
            let whole = self.known(index) == Known::Whole;
            if !whole && !is_option(word) {
                let text = "a subcommand that only the run knows";
                self.doubts.push(Doubt { tier: Tier::UNKNOWN, word: index, text });
                break;
            }
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
            let longer = match path.as_str() {
                "" => word.to_string(),
                path => [path, " ", word].concat(),
            };
            let listed = self.catalog.entry(&longer).is_some() || self.catalog.is_group(&longer);
            if !listed && path.is_empty() && self.catalog.plain().is_some() {
                break;
            }
            let family = places.len() < self.catalog.tool.syntax.family_words;
            let takes_words =
                || self.catalog.entry(&path).is_some_and(|(_, command)| !command.args.is_empty());
            let group = || path.is_empty() || self.catalog.is_group(&path);
            if !(listed || family && !self.leaf(&path) || group() && !takes_words()) {
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
    fn options(
        &mut self,
        path: &str,
        path_words: &[usize],
        command: Option<&'a Command>,
    ) -> Options<'a> {
        let mut read = Options::default();
        let mut terminated = false;
        let mut index = 1;
        // The command that stands before a word, unless all of it does: `git -c x commit`.
        let places = path_words.to_vec();
        let before = |index| {
            let words = places.iter().filter(|place| **place < index).count();
            let mut ends = path.match_indices(' ').map(|(end, _)| end);
            match words {
                words if words == places.len() => None,
                0 => Some(""),
                words => path.get(..ends.nth(words - 1)?),
            }
        };
        let mut path_words = path_words.iter().copied().peekable();
        let mut steps = Steps::of(command);
        while let Some(word) = self.words.get(index) {
            if path_words.next_if_eq(&index).is_some() {
                index += 1;
                continue;
            }
            if !terminated && word.as_ref() == "--" && self.ends_options(index) {
                // Argparse takes it away in one parser, and the next one reads options behind it.
                terminated = self.catalog.style() != Style::Argparse;
                if !terminated {
                    let text = "options behind `--`, which the tool may read as options";
                    self.doubts.push(Doubt { tier: Tier::Modify, word: index, text });
                }
                index += 1;
                continue;
            }
            let shape = if terminated { Shape::Argument } else { self.shape(index) };
            if index == 1 && shape == Shape::Argument && self.bundles() {
                index = self.bundle(path, &mut read.flags);
                continue;
            }
            if shape == Shape::Option {
                let start = read.flags.len();
                let front = before(index).filter(|_| self.catalog.has_front());
                let path = front.unwrap_or(path);
                let next = self.option(path, index, &mut read.flags);
                index = self.behind(start, index, next, &mut read);
                let given = read.flags.get(start..).unwrap_or_default();
                terminated |= given.iter().any(|given| given.flags.iter().any(|flag| flag.ends));
                continue;
            }
            if shape == Shape::Either {
                self.veiled.push(index);
            }
            let word = self.part(index, 0);
            if let Some(steps) = &mut steps {
                let arg = steps.take(&word);
                if let Some(arg) = arg.filter(|arg| takes_rest(arg)) {
                    read.program = Some((index, arg));
                    break;
                }
                read.slots.push(arg);
            }
            read.args.push(word);
            terminated |= self.catalog.style() == Style::GetoptFirst;
            index += 1;
        }
        read
    }

    /// Returns where to read on behind an option. A Go tool stops at its first argument: an option
    /// behind that is an argument to it.
    fn behind(&mut self, start: usize, index: usize, next: usize, read: &mut Options<'a>) -> usize {
        if self.catalog.style() != Style::Go || read.args.is_empty() {
            return next;
        }
        let text = "an option behind an argument, which the tool takes as an argument";
        self.doubts.push(Doubt { tier: Tier::Modify, word: index, text });
        read.args.push(self.part(index, 0));
        let detached = |option: &mut Given<'a>| {
            option.value.take_if(|value| value.word != index);
        };
        read.flags.iter_mut().skip(start).for_each(detached);
        index + 1
    }

    fn bundles(&self) -> bool {
        self.catalog.tool.syntax.bundle == Bundle::First && self.known(1) == Known::Whole
    }

    /// Reads options without their dash in the first word; their values follow it in order.
    fn bundle(&mut self, path: &str, found: &mut Vec<Given<'a>>) -> usize {
        let mut next = 2;
        let Some(word) = self.words.get(1) else { return next };
        for letter in word.chars().take(CLUSTER_BYTES_MAX) {
            let (name, flags) = self.lookup(Style::Pflag, path, Cow::Owned(format!("-{letter}")));
            let takes = flags.first().map(|flag| flag.value);
            let value = match takes {
                Some(Takes::Required | Takes::Many) => self.word(next),
                _ => None,
            };
            next += usize::from(value.is_some());
            found.push(Given { name, flags, value, word: 1 });
        }
        next
    }

    fn ends_options(&self, index: usize) -> bool {
        self.known(index) == Known::Whole && self.catalog.style() != Style::Words
    }

    /// Whether a word starts with a letter or a digit, whichever it is.
    fn starts_tame(&self, index: usize) -> bool {
        let stretches = self.terms.get(index).and_then(|term| term.stretches.as_deref());
        matches!(stretches, Some([Stretch::Tame(Minus::Never), ..]))
    }

    fn shape(&self, index: usize) -> Shape {
        let Some(word) = self.words.get(index) else { return Shape::Argument };
        let option = match self.catalog.style() {
            Style::Words => return Shape::Argument,
            Style::Assignments => word.contains('=') || word.starts_with("--"),
            _ if word.starts_with('+') => {
                let sign = word.get(..2).unwrap_or("+");
                word.len() > 1 && self.catalog.flag("", sign).is_some()
            }
            _ => is_option(word),
        };
        match self.known(index) {
            Known::Whole if option => Shape::Option,
            Known::Whole => Shape::Argument,
            Known::Any => Shape::Either,
            Known::Prefix(_) if option => Shape::Option,
            Known::Prefix(_) if word.is_empty() && self.starts_tame(index) => Shape::Argument,
            Known::Prefix(_) | Known::Pattern if word.is_empty() || word.as_ref() == "-" => {
                Shape::Either
            }
            Known::Pattern if option => Shape::Either,
            Known::Prefix(_) | Known::Pattern => Shape::Argument,
        }
    }

    /// Reads the option at `index` and returns the index behind it and its value.
    fn option(&mut self, path: &str, index: usize, found: &mut Vec<Given<'a>>) -> usize {
        let Some(word) = self.words.get(index) else { return index + 1 };
        let style = self.catalog.style();
        let clusters = matches!(style, Style::Pflag | Style::Getopt | Style::GetoptFirst)
            && !word.starts_with("--");
        if !clusters {
            return self.long(style, path, index, word, found);
        }
        let endless = CLUSTER_BYTES_MAX < word.len()
            && word.get(1..CLUSTER_BYTES_MAX).is_none_or(|word| !word.contains('='))
            && !self.takes_rest(path, word);
        if endless {
            let text = "more short options in one word than the limit";
            self.doubts.push(Doubt { tier: Tier::UNKNOWN, word: index, text });
            return index + 1;
        }
        self.cluster(path, index, word, found)
    }

    /// Reads `--name`, `--name=value`, `--name value`, Go's `-name`, and `name=value`.
    fn long(
        &mut self,
        style: Style,
        path: &str,
        index: usize,
        word: &'a str,
        found: &mut Vec<Given<'a>>,
    ) -> usize {
        let (name, attached) = match word.split_once('=') {
            Some(_) if style == Style::Single && self.catalog.flag(path, word).is_some() => {
                (word, None)
            }
            Some((name, value)) => (name, Some(value)),
            None => (word, None),
        };
        if attached.is_none() && self.known(index) != Known::Whole {
            return self.open(path, index, name, found);
        }
        let name = match style {
            Style::Go if name.starts_with("--") => Cow::Borrowed(name.get(1..).unwrap_or(name)),
            Style::Pflag if name.contains('_') => Cow::Owned(name.replace('_', "-")),
            _ => Cow::Borrowed(name),
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
        found.push(Given { name, flags, value, word: index });
        behind
    }

    /// Reads an option whose name goes on as only the run knows: any that starts so.
    fn open(
        &mut self,
        path: &str,
        index: usize,
        name: &'a str,
        found: &mut Vec<Given<'a>>,
    ) -> usize {
        let flags = self.catalog.flags_from(path, name).into_iter().map(|(_, flag)| flag).collect();
        let value = Word { text: Cow::Borrowed(""), word: index, start: 0, known: Known::Any };
        found.push(Given { name: Cow::Borrowed(name), flags, value: Some(value), word: index });
        self.veiled.push(index);
        index + 1
    }

    /// Whether the first short option of a word takes all the rest of it as its value.
    fn takes_rest(&self, path: &str, word: &str) -> bool {
        let first: String = word.chars().take(2).collect();
        let flag = self.catalog.flag(path, &first);
        flag.is_some_and(|(_, flag)| flag.value == Takes::Required)
    }

    /// Reads `-abc`, `-n value`, `-nvalue`, in Go tools `-n=value`, and `-5` where `-#` is listed.
    fn cluster(
        &mut self,
        path: &str,
        index: usize,
        word: &'a str,
        found: &mut Vec<Given<'a>>,
    ) -> usize {
        let assigns = self.catalog.style() == Style::Pflag;
        let sign = word.get(..1).unwrap_or("-");
        let mut digits = 0;
        for (place, letter) in word.char_indices().skip(1) {
            if place < digits {
                continue;
            }
            let behind = place + letter.len_utf8();
            let rest = word.get(behind..).unwrap_or("");
            let (mut name, mut flags) =
                self.lookup(Style::Pflag, path, short(word, sign, place, letter));
            if flags.is_empty() && letter.is_ascii_digit() {
                (name, flags) = self.lookup(Style::Pflag, path, Cow::Borrowed("-#"));
                digits = word.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            }
            let takes = flags.first().map(|flag| flag.value);
            let unknown = flags.is_empty();
            let value = match takes {
                Some(Takes::Required | Takes::Many) if rest.is_empty() => self.word(index + 1),
                Some(Takes::Required | Takes::Many) => {
                    let sign = assigns && rest.starts_with('=');
                    Some(self.part(index, behind + usize::from(sign)))
                }
                Some(Takes::Optional | Takes::Maybe) if !assigns && !rest.is_empty() => {
                    Some(self.part(index, behind))
                }
                Some(_) if assigns && rest.starts_with('=') => Some(self.part(index, behind + 1)),
                Some(_) | None => None,
            };
            let last = value.is_some() || unknown;
            let next = value.as_ref().map_or(index, |value| value.word) + 1;
            found.push(Given { name, flags, value, word: index });
            if last {
                return next;
            }
        }
        if self.known(index) != Known::Whole {
            self.veiled.push(index);
        }
        index + 1
    }

    /// Returns the flags that `name` may be, and the name to show.
    fn lookup(
        &self,
        style: Style,
        path: &str,
        name: Cow<'a, str>,
    ) -> (Cow<'a, str>, Vec<&'a Flag>) {
        if let Some((name, flag)) = self.catalog.flag(path, &name) {
            return (Cow::Borrowed(name), vec![flag]);
        }
        let abbreviates = matches!(style, Style::Argparse | Style::Getopt | Style::GetoptFirst);
        if !abbreviates || name.len() < 3 || !name.starts_with("--") {
            return (name, Vec::new());
        }
        let candidates = self.catalog.flags_from(path, &name);
        let shown = match candidates.as_slice() {
            [(only, _)] => Cow::Borrowed(*only),
            _ => name,
        };
        (shown, candidates.into_iter().map(|(_, flag)| flag).collect())
    }

    fn run_of_values(&self, from: usize) -> usize {
        let rest = self.words.get(from..).unwrap_or_default();
        rest.iter().take_while(|word| !is_option(word) && word.as_ref() != "--").count()
    }

    fn word(&self, index: usize) -> Option<Word<'a>> {
        self.words.get(index).map(|_| self.part(index, 0))
    }

    fn part(&self, index: usize, start: usize) -> Word<'a> {
        let text = self.words.get(index).and_then(|word| word.get(start..)).unwrap_or("");
        let known = match self.known(index) {
            Known::Prefix(bytes) => Known::Prefix(bytes.saturating_sub(start)),
            known => known,
        };
        Word { text: Cow::Borrowed(text), word: index, start, known }
    }

    fn known(&self, index: usize) -> Known {
        self.terms.get(index).map_or(Known::Whole, |term| term.known)
    }
}

/// Arguments taken one by one, for commands that run a program or take assignments first.
struct Steps<'a> {
    args: &'a [Arg],
    next: usize,
}

impl<'a> Steps<'a> {
    fn of(command: Option<&'a Command>) -> Option<Self> {
        let command = command.filter(|command| stepwise(command))?;
        Some(Self { args: &command.args, next: 0 })
    }

    fn take(&mut self, word: &Word<'_>) -> Option<&'a Arg> {
        while let Some(arg) = self.args.get(self.next) {
            let assignment = arg.is == Some(Special::Assignment) && arg.rest;
            let sign = word.text.find('=').unwrap_or(0);
            if assignment && sign == 0 {
                self.next += 1;
                continue;
            }
            self.next += usize::from(!arg.rest);
            return Some(arg);
        }
        None
    }
}

/// Whether the arguments of a command have meanings one after the other, not by their number.
fn stepwise(command: &Command) -> bool {
    command.args.iter().any(|arg| takes_rest(arg) || arg.is == Some(Special::Assignment))
}

/// Whether an argument and all words behind it are a program.
fn takes_rest(arg: &Arg) -> bool {
    match arg.program {
        Some(Language::Argv) => true,
        Some(_) => arg.rest,
        None => false,
    }
}

/// Returns what the catalog says about each of `count` arguments. Where fewer stand than the
/// command takes, its leading optional ones are left out; behind one that repeats stand the last.
fn placed<'a>(command: &'a Command, flags: &[Given<'_>], count: usize) -> Vec<Option<&'a Arg>> {
    let mut args = command.args.as_slice();
    let instead = |place| {
        let flags = flags.iter().flat_map(|given| &given.flags);
        flags.into_iter().any(|flag| flag.instead == Some(place))
    };
    if instead(Instead::First) {
        args = args.get(1..).unwrap_or_default();
    }
    if instead(Instead::Last) {
        args = args.get(..args.len().saturating_sub(1)).unwrap_or_default();
    }
    let optional = args.iter().take_while(|arg| arg.optional).count();
    let left_out = args.len().saturating_sub(count).min(optional);
    let repeats = args.iter().position(|arg| arg.rest);
    let slot = |place: usize| {
        let from_end = count - place;
        match repeats {
            Some(repeats) if from_end < args.len() - repeats => args.get(args.len() - from_end),
            Some(repeats) if repeats <= place + left_out => args.get(repeats),
            _ => args.get(place + left_out),
        }
    };
    (0..count).map(slot).collect()
}

// === impl Given ===

impl Given<'_> {
    /// Whether a switch was turned off: `--lock=false`.
    pub(super) fn is_off(&self) -> bool {
        self.value
            .as_ref()
            .is_some_and(|value| value.known == Known::Whole && is_false(&value.text))
    }
}

// === impl Word ===

impl Word<'_> {
    /// Returns the text, if all of it is known.
    pub(super) fn whole(&self) -> Option<&str> {
        (self.known == Known::Whole).then_some(self.text.as_ref())
    }

    /// Returns it as a word of its own.
    pub(super) fn term(&self, terms: &[Term]) -> Term {
        let Some(term) = terms.get(self.word) else { return Term::whole(RawText::default()) };
        if self.start == 0 && self.known == term.known {
            return term.clone();
        }
        let text = match self.known {
            Known::Pattern | Known::Any => RawText::from(self.text.as_ref()),
            _ => RawText::new(term.text.as_bytes().get(self.start..).unwrap_or_default()),
        };
        let known = match self.known {
            Known::Pattern => Known::Prefix(self.text.len()),
            known => known,
        };
        Term { text, known, span: term.span, stretches: None }
    }
}

/// The name of a short option: the first of a word stands there as it is.
fn short<'a>(word: &'a str, sign: &str, place: usize, letter: char) -> Cow<'a, str> {
    match word.get(..place + letter.len_utf8()).filter(|_| place == sign.len()) {
        Some(first) => Cow::Borrowed(first),
        None => Cow::Owned([sign, letter.encode_utf8(&mut [0; 4])].concat()),
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
