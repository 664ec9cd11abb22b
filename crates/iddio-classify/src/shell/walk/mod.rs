//! The walk over a program for a shell: which commands it may run, with what words.
//!
//! An abstract interpretation. Every branch is taken, every loop is repeated until nothing new is
//! learnt, every function runs; variables hold several values, or one that nobody knows. Each simple
//! command goes to the judge of command lines as it stands then ([`crate::command::line()`]).
//!
//! INVARIANT: nothing a run may execute is left out; where the walk loses sight, the whole is
//! break-glass. It steps a bounded number of times and nests a bounded number of levels, over all
//! texts within texts together.

mod arithmetic;
mod braces;
mod builtins;
mod compound;
mod declare;
mod echo;
mod endless;
mod expand;
mod glob;
mod parameter;
mod programs;
mod redirect;
mod simple;
mod state;
mod text;
mod variables;

use std::{
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};

use iddio_core::{
    operation::{
        Description, Names, Operation, Override, Pattern, Protocol, Reason, ScopeKey, Scopes, Span,
    },
    text::RawText,
    tier::{Class, Tier},
};

use self::{
    programs::Traffic,
    state::{Body, Key, Parameters, Slot, State, Value},
    text::{Chunk, Origin, Text},
};
use super::ast::Script;
use crate::command::{
    Ambient, Found, Judged, RunPlan, Setting,
    line::{Feed, Judging, Known, TAME, Term},
    misleads, worse_class,
};

/// Judges a line for a shell: the shell itself, and within it what it may run.
pub(crate) fn line(text: &RawText, ambient: &Ambient) -> Judged {
    let (operation, within) =
        Walker::new(Judging::new(ambient), &Feed::Inherited, None).judged(text.as_bytes());
    Judged { operation, within, plan: RunPlan::nothing() }
}

/// Judges text that a program hands to a shell: what a wrapper's argument holds. Returns every
/// command that may run; the shell itself is among them, first, only where it has a tier of its own.
///
/// `at` is where the text stands in the outermost one; without it, this text is the outermost.
pub(crate) fn judge_text(
    text: &[u8],
    feed: &Feed,
    judging: &Judging<'_>,
    at: Option<Span>,
) -> Vec<Operation> {
    judge_within(text, None, feed, judging, at, Tame::Nothing)
}

/// The same, of text as [`crate::command::line::shell_text`] leaves it, with the words behind it,
/// which are `$0`, `$1` and so on. Without them, they may be anything.
pub(crate) fn judge_program(
    text: &[u8],
    arguments: Option<&[Term]>,
    feed: &Feed,
    judging: &Judging<'_>,
    at: Option<Span>,
) -> Vec<Operation> {
    let stands = text.windows(TAME.len()).any(|part| part == TAME);
    let tame = if stands { Tame::Stands } else { Tame::Nothing };
    judge_within(text, arguments, feed, judging, at, tame)
}

fn judge_within(
    text: &[u8],
    arguments: Option<&[Term]>,
    feed: &Feed,
    judging: &Judging<'_>,
    at: Option<Span>,
    tame: Tame,
) -> Vec<Operation> {
    let surroundings = judging.surroundings.clone();
    let Some(judging) = judging.within().map(|inner| Judging { surroundings, ..inner }) else {
        let mut shell = Shell::default();
        let why = "texts within texts, deeper than the limit";
        shell.add(Tier::UNKNOWN, Class::Unknown, "shell:limit", why, at);
        return vec![shell.operation(text)];
    };
    let mut walker = Walker::new(judging, feed, at);
    walker.inherits();
    if tame == Tame::Stands {
        walker.stands_for_tame();
    }
    if let Some(arguments) = arguments {
        walker.arguments_are(arguments);
    }
    let (operation, within) = walker.judged(text);
    let own = Tier::Observe < operation.native_tier() || within.is_empty();
    own.then_some(operation).into_iter().chain(within).collect()
}

/// What following a text takes: for tests of cost.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Cost {
    /// How many steps, if they sufficed.
    pub steps: Option<usize>,
    /// How many operations it comes to.
    pub operations: usize,
    /// The tier of the whole.
    pub tier: Tier,
}

/// Returns what following a text takes.
#[doc(hidden)]
pub fn cost(text: &[u8]) -> Cost {
    let ambient = Ambient::default();
    let judging = Judging::new(&ambient);
    let steps = Rc::clone(&judging.steps);
    let before = steps.get();
    let (shell, within) = Walker::new(judging, &Feed::Inherited, None).judged(text);
    let tiers = within.iter().map(Operation::native_tier);
    Cost {
        steps: Some(before - steps.get()).filter(|_| 0 < steps.get()),
        operations: within.len(),
        tier: tiers.fold(shell.native_tier(), Tier::join),
    }
}

/// What is found about the shell itself.
#[derive(Default)]
struct Shell {
    reasons: Vec<Reason>,
    overrides: Vec<Override>,
    class: Option<Class>,
}

/// A walk under way.
struct Walker<'a> {
    judging: Judging<'a>,
    state: State,
    /// Where the text stands that is walked, if it is not the outermost.
    at: Option<Span>,
    /// What commands read that redirect nothing.
    feed: Feed,
    /// What is written to standard output, by whoever wants to know, innermost last.
    out: Vec<Text>,
    shell: Shell,
    operations: Vec<Operation>,
    /// Operations that were there already.
    seen: BTreeSet<Vec<u8>>,
    /// Commands that were judged already, each with all that its judgement hangs on.
    judged: BTreeMap<Vec<u8>, Traffic>,
    /// How often it was asked whether one was.
    asked: usize,
    /// Variables that every later program has in its environment.
    environment: Vec<Surrounding>,
    /// How many of them there ever were.
    surroundings: usize,
    functions: Vec<Defined>,
    /// Bodies that are being run.
    calls: Vec<Body>,
    /// What variables held before a function made them its own.
    locals: Vec<BTreeMap<Key, Option<Slot>>>,
    traps: Vec<(Vec<u8>, Option<Span>)>,
    /// Variables whose values are evaluated when assigned.
    integers: BTreeSet<Vec<u8>>,
    /// Variables whose letters are changed when assigned.
    cased: BTreeSet<Vec<u8>>,
    /// What variables may hold whatever is assigned to them.
    loose: BTreeMap<Vec<u8>, Vec<Text>>,
    /// Whether a function went deeper into itself than it is followed.
    recursed: bool,
    /// The outermost of the functions that run and were called from within since this was reset.
    reached: usize,
    /// Variables that stand for others, with those they have stood for so far.
    references: BTreeMap<Vec<u8>, Targets>,
    /// How many process substitutions there were.
    processes: usize,
    /// Whether the last command of a pipeline runs in the shell itself.
    last_pipe: Isolation,
    tame: Tame,
    pace: Pace,
    traffic: Traffic,
    /// Variables that hold what a secret file does.
    secret: BTreeSet<Vec<u8>>,
    /// How many words of commands hold it.
    told: usize,
}

/// What a variable stands for.
#[derive(Default)]
struct Targets {
    names: BTreeSet<Vec<u8>>,
    /// Whether it may stand for any other.
    open: bool,
}

/// Whether the variable [`TAME`] stands for what is tame.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Tame {
    Nothing,
    Stands,
}

/// What a loop does to the number of processes.
#[derive(Clone, Copy, Default, Eq, PartialEq)]
struct Pace {
    /// How many commands were started that nobody waits for.
    started: usize,
    /// How often something waited, or ended a loop.
    paused: usize,
}

/// A variable that programs find in their environment.
struct Surrounding {
    setting: Setting,
    at: Option<Span>,
    /// Its place among all there ever were: what is below the last one is known by its number.
    number: usize,
}

/// A function.
struct Defined {
    name: Vec<u8>,
    body: Body,
    called: Called,
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Called {
    No,
    /// With arguments that nobody knows, by another shell.
    Outside,
    Yes,
}

/// Whether something runs in a process of its own.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Isolation {
    Apart,
    Here,
}

// === impl Shell ===

impl Shell {
    fn add(&mut self, tier: Tier, class: Class, rule: &str, text: &str, at: Option<Span>) {
        if tier == Tier::BreakGlass {
            self.class = Some(self.class.map_or(class, |present| worse_class(present, class)));
        }
        let reason = Reason { tier, rule: rule.to_owned(), text: text.to_owned(), word: None, at };
        if self.reasons.contains(&reason) {
            return;
        }
        if self.reasons.len() < REASONS_MAX {
            self.reasons.push(reason);
        } else if let Some(least) = self.reasons.iter_mut().min_by_key(|reason| reason.tier)
            && least.tier < reason.tier
        {
            // INVARIANT: a reason of the greatest tier is among those kept.
            *least = reason;
        }
    }

    fn operation(mut self, text: &[u8]) -> Operation {
        if self.reasons.is_empty() {
            let why = "a shell, judged by what it runs";
            self.add(Tier::Observe, Class::Unknown, "shell:text", why, None);
        }
        let tier = self.reasons.iter().map(|reason| reason.tier).max().unwrap_or(Tier::UNKNOWN);
        let mut scopes = Scopes::default();
        scopes.add_name(ScopeKey::Commands, "sh");
        Operation {
            protocol: Protocol::Command,
            tier,
            class: self.class.unwrap_or(Class::Unknown),
            scopes,
            overrides: self.overrides,
            pattern: Pattern::Unmatchable,
            reasons: self.reasons,
            description: Description {
                command: Some("sh -c".to_owned()),
                argv: vec![RawText::new(text)],
                ..Description::default()
            },
        }
    }
}

// === impl Walker ===

impl<'a> Walker<'a> {
    fn new(judging: Judging<'a>, feed: &Feed, at: Option<Span>) -> Self {
        let mut state = State::new();
        state.set(Key::Directory, Slot::Directory(judging.directory.clone()));
        Self {
            judging,
            state,
            at,
            feed: feed.clone(),
            out: vec![Text::default()],
            shell: Shell::default(),
            operations: Vec::new(),
            seen: BTreeSet::new(),
            judged: BTreeMap::new(),
            asked: 0,
            environment: Vec::new(),
            surroundings: 0,
            functions: Vec::new(),
            calls: Vec::new(),
            locals: Vec::new(),
            traps: Vec::new(),
            integers: BTreeSet::new(),
            cased: BTreeSet::new(),
            loose: BTreeMap::new(),
            recursed: false,
            reached: usize::MAX,
            references: BTreeMap::new(),
            processes: 0,
            last_pipe: Isolation::Apart,
            tame: Tame::Nothing,
            pace: Pace::default(),
            traffic: Traffic::default(),
            secret: BTreeSet::new(),
            told: 0,
        }
    }

    /// Sets `$0`, `$1` and so on.
    fn arguments_are(&mut self, words: &[Term]) {
        let (name, rest) = match words {
            [Term { known: Known::Any, .. }, ..] => (Some(Text::unknown(Origin::Made)), words),
            [name, rest @ ..] => (Some(compound::text_of(name)), rest),
            [] => (None, words),
        };
        if let Some(name) = name {
            self.state.set(Key::Variable(b"0".to_vec()), Slot::Variable(Value::one(name)));
        }
        self.state.set(Key::Positional, Slot::Positional(Parameters::new(rest)));
    }

    /// Takes over which variables the texts around this one have set: of those nobody knows here
    /// what they hold.
    fn inherits(&mut self) {
        let assigned = self.judging.assigned.borrow().clone();
        if ASSIGNED_MAX < assigned.len() {
            let why = "more variables than are told apart";
            self.raise(Tier::UNKNOWN, Class::Unknown, "shell:limit", why, self.at);
        }
        for name in assigned.into_iter().take(ASSIGNED_MAX) {
            let value = Value::unknown(Origin::Made);
            self.state.set(Key::Variable(name), Slot::Variable(value));
        }
    }

    /// The text holds the variable that stands for what is tame.
    fn stands_for_tame(&mut self) {
        self.tame = Tame::Stands;
        let value = Value::one(Text::number());
        self.state.set(Key::Variable(TAME.to_vec()), Slot::Variable(value));
    }

    /// Walks the whole text: returns the shell, and what it may run.
    fn judged(mut self, text: &[u8]) -> (Operation, Vec<Operation>) {
        self.letters(text);
        self.text(text);
        self.deferred();
        let mut shell = self.shell;
        shell.overrides.dedup();
        (shell.operation(text), self.operations)
    }

    /// Judges the letters of a text, whatever they mean (invariants I5 and I10).
    fn letters(&mut self, text: &[u8]) {
        if text.iter().all(|byte| matches!(byte, b' '..=b'~' | b'\t' | b'\n')) {
            return;
        }
        let mut offset = 0;
        let mut letters = Vec::new();
        for chunk in text.utf8_chunks() {
            let valid = chunk.valid();
            letters.extend(valid.char_indices().map(|(start, letter)| (offset + start, letter)));
            offset += valid.len() + chunk.invalid().len();
        }
        for (start, letter) in letters {
            let (rule, why) = match letter {
                '\r' => ("shell:control", "a carriage return hides what stands before it"),
                letter if misleads(letter) => {
                    ("shell:hidden", "a letter steers a terminal, or hides or reorders text")
                }
                letter if !letter.is_ascii() && letter.is_whitespace() => {
                    ("shell:space", "a space that is none to a shell")
                }
                _ => continue,
            };
            let end = start + letter.len_utf8();
            let at = match (u32::try_from(start), u32::try_from(end)) {
                (Ok(start), Ok(end)) => self.place(Span { start, end }),
                _ => None,
            };
            self.raise(Tier::BreakGlass, Class::Evasion, rule, why, at);
            return;
        }
    }

    fn text(&mut self, text: &[u8]) {
        match super::read_both(text) {
            Ok((script, other)) => {
                if let Some(other) = &other {
                    self.other_reading(other);
                }
                self.script(&script);
            }
            Err(error) => {
                // What is missing is missed at the end.
                let end = u32::try_from(text.len()).unwrap_or(u32::MAX);
                let Span { start, end } =
                    Span { start: error.at.start.min(end), end: error.at.end.min(end) };
                let at = self.place(Span { start, end });
                let why = format!("the text cannot be read: {}", error.message);
                self.raise(Tier::UNKNOWN, Class::Unknown, "shell:unreadable", &why, at);
                self.emit(Text::unknown(Origin::Made));
            }
        }
    }

    /// Walks the text as a plain `sh` reads it, which is another program: of what only that one
    /// runs, what is break-glass counts.
    fn other_reading(&mut self, other: &Script) {
        let operations = self.operations.len();
        let reasons = self.shell.reasons.len();
        self.apart(|walker| walker.script(other));
        let found = self.operations.split_off(operations.min(self.operations.len()));
        // A program that nobody knows is what the words of `[[` look like to such a shell.
        let counts = |operation: &Operation| {
            operation.native_tier() == Tier::BreakGlass
                && operation.reasons.iter().any(|reason| {
                    reason.tier == Tier::BreakGlass && reason.rule != simple::PROGRAM_UNKNOWN
                })
        };
        let (kept, dropped): (Vec<_>, Vec<_>) = found.into_iter().partition(counts);
        for operation in &dropped {
            self.seen.remove(&likeness(operation));
        }
        // They count when bash runs them.
        self.judged.clear();
        self.operations.extend(kept);
        let mut place = 0;
        self.shell.reasons.retain(|reason| {
            place += 1;
            place <= reasons || reason.tier == Tier::BreakGlass
        });
    }

    /// Walks a text that a command of this shell evaluates, in the shell itself.
    fn nested(&mut self, text: &[u8], at: Option<Span>) {
        self.step(1 + text.len() / 16);
        let Some(depth) = self.judging.depth.checked_sub(1) else {
            let why = "texts within texts, deeper than the limit";
            self.raise(Tier::UNKNOWN, Class::Unknown, "shell:limit", why, at);
            return;
        };
        if self.spent() {
            return;
        }
        let outer = std::mem::replace(&mut self.judging.depth, depth);
        let at = at.or(self.at);
        let place = std::mem::replace(&mut self.at, at);
        self.text(text);
        self.at = place;
        self.judging.depth = outer;
    }

    /// Walks a text that runs some other time, or elsewhere: what it changes is forgotten.
    fn nested_apart(&mut self, text: &[u8], at: Option<Span>) {
        self.apart(|walker| walker.nested(text, at));
    }

    /// Walks what runs at the end, or whenever somebody calls: traps, and functions nobody called.
    fn deferred(&mut self) {
        for (text, at) in std::mem::take(&mut self.traps) {
            self.nested_apart(&text, at);
        }
        let mut next = 0;
        while let Some(defined) = self.functions.get_mut(next) {
            next += 1;
            if defined.called != Called::Yes {
                defined.called = Called::Yes;
                let body = defined.body.clone();
                self.apart(|walker| walker.call(&body, Parameters::Unknown(Origin::Made)));
            }
        }
    }

    /// Does something whose changes to the shell are forgotten, and returns what it wrote.
    fn apart(&mut self, action: impl FnOnce(&mut Self)) -> Text {
        let feed = self.feed.clone();
        let environment = self.environment.len();
        self.state.enter();
        self.out.push(Text::default());
        action(self);
        let written = self.out.pop().unwrap_or_default();
        let _forgotten = self.state.leave();
        self.environment.truncate(environment);
        self.feed = feed;
        written
    }

    /// Runs what `$( … )` holds, and returns what stands for it.
    fn substitution(&mut self, script: &Script) -> Text {
        self.apart(|walker| walker.script(script)).without_line_ends()
    }

    /// Runs what `<( … )` holds, and returns the path that stands for it.
    fn process(&mut self, script: &Script) -> Chunk {
        let _written = self.apart(|walker| {
            walker.feed = Feed::Unknown;
            walker.script(script);
        });
        let path = format!("/dev/fd/{}", PROCESS_DESCRIPTOR.saturating_sub(self.processes));
        self.processes += 1;
        // What it holds was written by the text itself: as a program it is unknown.
        self.judging.written.borrow_mut().push(RawText::from(path.as_str()));
        Chunk::Bytes(path.into_bytes())
    }

    /// Notes what is written to standard output.
    fn emit(&mut self, text: Text) {
        if let Some(out) = self.out.last_mut() {
            out.extend(text);
            if OUTPUT_BYTES_MAX < out.len() {
                *out = Text::unknown(Origin::Made);
            }
        }
    }

    /// Adds a reason to the shell itself.
    fn raise(&mut self, tier: Tier, class: Class, rule: &str, text: &str, at: Option<Span>) {
        self.shell.add(tier, class, rule, text, at);
    }

    fn raise_found(&mut self, found: &Found) {
        self.shell.add(found.tier, found.class, &found.rule, &found.text, found.at.or(self.at));
    }

    /// Returns where a place in this text stands in the outermost one.
    fn place(&self, span: Span) -> Option<Span> {
        Some(self.at.unwrap_or(span))
    }

    fn directory(&self) -> Option<RawText> {
        match self.state.slot(&Key::Directory) {
            Some(Slot::Directory(directory)) => directory.clone(),
            _ => None,
        }
    }

    /// Returns what parts words; `None` if nobody knows.
    fn separators(&self) -> Option<Vec<u8>> {
        match self.state.slot(&Key::Variable(b"IFS".to_vec())) {
            Some(Slot::Variable(value)) => match value.texts().as_slice() {
                [] => Some(SEPARATORS.to_vec()),
                [only] => only.as_bytes().map(<[u8]>::to_vec),
                _ => None,
            },
            _ => Some(SEPARATORS.to_vec()),
        }
    }

    /// Takes steps off what is left; the last one raises.
    fn step(&mut self, steps: usize) {
        let left = self.judging.steps.get();
        self.judging.steps.set(left.saturating_sub(steps));
        if left <= steps {
            let why = "following the text takes more steps than the limit";
            self.raise(Tier::UNKNOWN, Class::Unknown, "shell:limit", why, self.at);
        }
    }

    fn spent(&self) -> bool {
        self.judging.steps.get() == 0
    }

    /// Keeps an operation, unless it is there already.
    fn keep(&mut self, operation: Operation) {
        self.traffic.note(&operation);
        if !self.seen.insert(likeness(&operation)) {
            return;
        }
        if OPERATIONS_MAX <= self.operations.len() {
            let why = "more commands than anyone reads";
            self.raise(Tier::UNKNOWN, Class::Unknown, "shell:limit", why, self.at);
            // Nothing that is found from here on changes the answer.
            self.judging.steps.set(0);
            return;
        }
        self.operations.push(operation);
    }

    /// Notes a variable that every later program finds in its environment.
    fn surround_later(&mut self, setting: Setting, at: Option<Span>) {
        if self.environment.iter().any(|known| known.setting == setting) {
            return;
        }
        if self.environment.len() < SETTINGS_MAX {
            self.surroundings += 1;
            self.environment.push(Surrounding { setting, at, number: self.surroundings });
        } else {
            let why = "more settings than anyone reads";
            self.raise(Tier::UNKNOWN, Class::Unknown, "shell:limit", why, at);
        }
    }

    /// Notes an override of the shell itself.
    fn overrides(&mut self, item: Override) {
        if self.shell.overrides.contains(&item) {
            return;
        }
        if self.shell.overrides.len() < OVERRIDES_MAX {
            self.shell.overrides.push(item);
        } else {
            let why = "more overrides than anyone reads";
            self.raise(Tier::UNKNOWN, Class::Unknown, "shell:limit", why, self.at);
        }
    }
}

/// What two operations have in common that are the same but for where they stand.
fn likeness(operation: &Operation) -> Vec<u8> {
    let mut key = Vec::with_capacity(KEY_BYTES);
    key.extend([operation.protocol as u8, operation.tier as u8, operation.class as u8]);
    for word in &operation.description.argv {
        key.extend_from_slice(word.as_bytes());
        key.push(0);
    }
    for reason in &operation.reasons {
        key.push(1);
        key.extend_from_slice(reason.rule.as_bytes());
    }
    for item in &operation.overrides {
        key.push(2);
        key.extend_from_slice(item.value.as_bytes());
    }
    for (scope, names) in operation.scopes.iter() {
        key.extend_from_slice(&[3, scope as u8]);
        match names {
            Names::Every => key.push(4),
            Names::Unknown => key.push(5),
            Names::Known(names) => names.iter().for_each(|name| {
                key.extend_from_slice(name.as_bytes());
                key.push(0);
            }),
        }
    }
    key
}

/// As many bytes as most of these keys have.
const KEY_BYTES: usize = 128;

/// What parts words unless the text says otherwise.
const SEPARATORS: &[u8] = b" \t\n";

/// The most variables of the texts around one that are told apart.
const ASSIGNED_MAX: usize = 256;

/// The most reasons about the shell itself.
const REASONS_MAX: usize = 64;

/// The most different commands of one text. Somebody has to be able to read them all; a script of a
/// thousand lines has a few hundred.
const OPERATIONS_MAX: usize = 2048;

/// The most settings that later programs are held against.
const SETTINGS_MAX: usize = 64;

/// The most overrides of one text.
const OVERRIDES_MAX: usize = 256;

/// The most bytes of output that are kept to be read by another command.
const OUTPUT_BYTES_MAX: usize = 64 * 1024;

/// The descriptor of the first process substitution, as bash numbers them.
const PROCESS_DESCRIPTOR: usize = 63;
