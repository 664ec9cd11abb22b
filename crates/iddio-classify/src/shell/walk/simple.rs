//! A simple command: its words, what is set for it, where it reads and writes, and who judges it.

use iddio_core::{
    operation::{Description, Operation, Pattern, Protocol, Reason, ScopeKey, Scopes},
    text::RawText,
    tier::{Class, Tier},
};

use super::{
    Walker,
    compound::text_of,
    endless,
    parameter::is_name,
    programs::{self, Traffic, is_secret_file},
    redirect::Plumbing,
    state::{Key, Names, Parameters, Slot, Sure, Value},
    text::{Chunk, Origin, Text, quoted, settled},
};
use crate::{
    command::{
        Found, Setting, assignment,
        line::{Feed, Known, Line, Minus, Stretch, Term},
        worse_class,
    },
    shell::{
        Span,
        ast::{Appends, AssignedValue, Assignment, Part, Redirect, Simple},
    },
};

/// What a simple command has besides its words.
pub(super) struct Around {
    /// What is set for it alone.
    settings: Vec<(Setting, Option<Span>)>,
    pub(super) plumbing: Plumbing,
    /// What it reads.
    pub(super) feed: Feed,
    /// Where it stands.
    pub(super) at: Option<Span>,
    adorned: Adorned,
}

/// Whether a command has assignments or redirections.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Adorned {
    No,
    Yes,
}

/// Whether a command was judged just as it stands.
enum Standing {
    /// It was, and did this with secrets.
    Judged(Traffic),
    /// It was not; with what it is known by, if it is worth knowing.
    New(Option<Vec<u8>>),
}

/// Who judges a command.
#[derive(Clone, Copy)]
enum Judge {
    /// The judge of command lines.
    Command,
    /// Nobody: the program is not known.
    Nobody,
    /// The shell, whose own command it is.
    Shell,
}

/// Where a program's name is looked up.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Lookup {
    /// Aliases, functions, the shell's own commands, files.
    Everywhere,
    /// The shell's own commands and files: behind `command`.
    NoFunctions,
    /// Files only: behind `exec`.
    Programs,
}

// === impl Walker ===

impl Walker<'_> {
    pub(super) fn simple(&mut self, simple: &Simple, redirects: &[Redirect], span: Span) {
        let at = self.place(span);
        if simple.words.is_empty() {
            return self.wordless(simple, redirects);
        }
        let told = self.told;
        let lines = self.command_words(&simple.words);
        let mut settings = Vec::new();
        let mut values = Vec::new();
        for assignment in &simple.assignments {
            let before = self.traffic;
            let value = self.assigned(assignment);
            self.tells(&assignment.name, before);
            let at = self.place(assignment.span);
            let set = self.settings(&assignment.name, &value);
            settings.extend(set.into_iter().map(|setting| (setting, at)));
            values.push((assignment.name.clone(), value, at));
        }
        let own = self.traffic;
        let plumbing = self.plumb(redirects);
        let fed = 0 < self.traffic.since(own).files;
        let tells = self.traffic;
        let feed = plumbing.feed.clone().unwrap_or_else(|| self.feed.clone());
        let adorned = match simple.assignments.is_empty() && redirects.is_empty() {
            true => Adorned::No,
            false => Adorned::Yes,
        };
        let around = Around { settings, plumbing, feed, at, adorned };
        let before = self.set_for_one(&values);
        match <[Vec<Term>; 1]>::try_from(lines) {
            Ok([only]) => self.run(only, &around, Lookup::Everywhere),
            Err(lines) => self.run_each(lines, &around),
        }
        let did = self.traffic.since(tells);
        let sends = 0 < did.send && (fed || self.reads_secret(&around));
        if sends || told < self.told && 0 < did.tell {
            self.sent_away(span);
        }
        // Behind some commands of the shell itself, what is set for one stays.
        let stays = simple.words.first().is_some_and(|word| match word.parts.as_slice() {
            [Part::Text(name)] => SPECIAL.contains(&name.as_slice()),
            _ => true,
        });
        for (key, slot) in before {
            if stays {
                self.state.enter();
                self.state.set(key, slot);
                let way = self.state.leave();
                self.state.join(&[way], Sure::Maybe);
            } else {
                self.state.set(key, slot);
            }
        }
    }

    /// Assignments and redirections without a command.
    fn wordless(&mut self, simple: &Simple, redirects: &[Redirect]) {
        for assignment in &simple.assignments {
            let before = self.traffic;
            self.statement(assignment);
            self.tells(&assignment.name, before);
        }
        let plumbing = self.plumb(redirects);
        for found in &plumbing.found {
            let secret = Tier::Sensitive <= found.tier && is_secret_file(&found.rule);
            self.traffic.files += usize::from(secret);
            self.raise_found(found);
        }
        if simple.assignments.is_empty() && plumbing.feed.is_some() {
            // `$(< file)` is what the file holds.
            self.emit(Text::unknown(Origin::Made));
        }
    }

    /// Runs what may be any of several command lines.
    fn run_each(&mut self, lines: Vec<Vec<Term>>, around: &Around) {
        let mut ways = Vec::new();
        self.out.push(Text::default());
        for line in lines {
            self.state.enter();
            self.run(line, around, Lookup::Everywhere);
            ways.push(self.state.leave());
        }
        self.state.join(&ways, Sure::Surely);
        let written = self.out.pop().unwrap_or_default();
        if !written.0.is_empty() {
            self.emit(Text::unknown(Origin::Made));
        }
    }

    /// Sets variables for one command: functions and builtins see them.
    fn set_for_one(&mut self, values: &[(Vec<u8>, Value, Option<Span>)]) -> Vec<(Key, Slot)> {
        let mut before = Vec::new();
        for (name, value, _) in values {
            let key = Key::Variable(name.clone());
            let present = self.state.slot(&key).cloned();
            before.push((key, present.unwrap_or_else(|| Slot::Variable(self.value(name)))));
            self.store(name, value.clone());
        }
        before.reverse();
        before
    }

    /// `NAME=value` without a command.
    fn statement(&mut self, assignment: &Assignment) {
        self.step(STEPS_PER_ASSIGNMENT);
        let value = self.assigned(assignment);
        let at = self.place(assignment.span);
        self.assign(&assignment.name, value, at);
    }

    /// Evaluates the right side of an assignment, with what `+=` adds to.
    fn assigned(&mut self, assignment: &Assignment) -> Value {
        let index = assignment.subscript.as_ref().map(|subscript| self.arithmetic(subscript));
        let present = || match assignment.appends {
            Appends::Adds => Some(()),
            Appends::Replaces => None,
        };
        match &assignment.value {
            AssignedValue::Array(elements) => {
                let more = self.elements_of(elements);
                let before = match (present(), self.value(&assignment.name)) {
                    (Some(()), Value::Array(elements)) => Some(elements),
                    (Some(()), Value::Scalar(_)) => None,
                    (None, _) => Some(Vec::new()),
                };
                match (before, more) {
                    (Some(before), Some(more)) => {
                        Value::Array(before.into_iter().chain(more).collect())
                    }
                    (None, _) | (_, None) => Value::unknown(Origin::Made),
                }
            }
            AssignedValue::Word(word) => {
                let texts = self.single(word);
                match (index, self.value(&assignment.name)) {
                    (Some(index), value) => element_set(value, &index, texts, assignment.appends),
                    (None, _) if present().is_none() => Value::Scalar(texts),
                    (None, value) => {
                        let left = match value.texts() {
                            texts if texts.is_empty() => vec![Text::default()],
                            texts => texts,
                        };
                        let mut sums = Vec::new();
                        for one in &left {
                            for other in &texts {
                                let mut sum = one.clone();
                                sum.extend(other.clone());
                                sums.push(sum);
                            }
                        }
                        Value::Scalar(settled(sums))
                    }
                }
            }
        }
    }

    /// Expands the elements of `( … )`; `None` if their number is not known.
    pub(super) fn elements_of(
        &mut self,
        elements: &[(Option<crate::shell::ast::Arithmetic>, crate::shell::ast::Word)],
    ) -> Option<Vec<Vec<Text>>> {
        let mut all = Vec::new();
        let mut known = Some(());
        for (subscript, word) in elements {
            if let Some(subscript) = subscript {
                self.arithmetic(subscript);
                known = None;
            }
            match self.terms(word).as_slice() {
                [terms] if terms.iter().all(|term| term.known != Known::Any) => {
                    all.extend(terms.iter().map(|term| vec![text_of(term)]));
                }
                _ => known = None,
            }
        }
        known.map(|()| all)
    }

    /// Sets a variable, with everything that follows from its name.
    pub(super) fn assign(&mut self, name: &[u8], value: Value, at: Option<Span>) {
        let value = self.kept(name, value, at);
        if EVALUATED.contains(&name) {
            for text in value.texts() {
                self.later_evaluated(name, &text, at);
            }
        }
        for setting in self.settings(name, &value) {
            match &setting {
                Setting::Overrides(item) => self.overrides(item.clone()),
                Setting::Shapes(found) => {
                    self.raise_found(&Found { at: found.at.or(at), ..found.clone() });
                }
                Setting::Harmless => continue,
            }
            self.surround_later(setting, at);
        }
        self.through_reference(name, &value, at);
        self.store(name, value);
    }

    /// A text goes into a variable that a shell runs or expands by itself.
    fn later_evaluated(&mut self, name: &[u8], text: &Text, at: Option<Span>) {
        match text.as_bytes() {
            Some(bytes) if name == b"PROMPT_COMMAND" => {
                let bytes = bytes.to_vec();
                return self.nested_apart(&bytes, at);
            }
            Some(bytes) => return self.evaluated_text(bytes, at),
            None => {}
        }
        let expands = |chunk: &Chunk| match chunk {
            Chunk::Bytes(bytes) => {
                let opens = |pair: &[u8]| matches!(pair, [b'$', b'(' | b'{' | b'['] | [b'`', _]);
                bytes.windows(2).any(opens) || matches!(bytes.last(), Some(b'$' | b'`'))
            }
            _ => false,
        };
        let shows = name.starts_with(b"PS") && name != b"PS4";
        let made = text.origin() == Some(Origin::Made) && !shows;
        let runs = made || name == b"PROMPT_COMMAND" || text.0.iter().any(expands);
        if runs || text.origin().is_some() {
            let tier = if runs { Tier::UNKNOWN } else { Tier::Sensitive };
            let why = "text that nobody knows is expanded as a program";
            self.raise(tier, Class::Unknown, "shell:prompt", why, at);
        }
    }

    fn store(&mut self, name: &[u8], value: Value) {
        self.judging.assigns(name);
        let long = |text: &Text| VALUE_BYTES_MAX < text.len();
        let value = match value {
            Value::Scalar(texts) if texts.iter().any(long) => Value::unknown(Origin::Made),
            Value::Array(elements)
                if VALUE_BYTES_MAX < elements.iter().flatten().map(Text::len).sum() =>
            {
                Value::unknown(Origin::Made)
            }
            value => value,
        };
        self.state.set(Key::Variable(name.to_vec()), Slot::Variable(value));
    }

    /// Judges what setting a variable comes to, for each value it may get.
    pub(super) fn settings(&self, name: &[u8], value: &Value) -> Vec<Setting> {
        let Ok(name) = std::str::from_utf8(name) else { return Vec::new() };
        let mut settings: Vec<Setting> = Vec::new();
        for text in value.texts() {
            let known = text.as_bytes().map(|bytes| std::str::from_utf8(bytes).unwrap_or("?"));
            let shown = String::from_utf8_lossy(&text.shown()).into_owned();
            let mut setting = assignment(name, known, &shown);
            if matches!(name, "BASH_ENV" | "ENV")
                && known.is_some_and(|path| self.judging.wrote(&RawText::from(path)))
            {
                let why = "every shell below runs what the text itself has written";
                let rule = "shell:evaluated";
                setting = Setting::Shapes(Found::new(Tier::UNKNOWN, Class::Unknown, rule, why));
            }
            if setting != Setting::Harmless && !settings.contains(&setting) {
                settings.push(setting);
            }
        }
        settings
    }

    /// Runs one command line, whoever it belongs to.
    pub(super) fn run(&mut self, line: Vec<Term>, around: &Around, lookup: Lookup) {
        self.step(1 + line.len());
        if self.spent() {
            return;
        }
        let Some(program) = line.first() else {
            for found in &around.plumbing.found {
                self.raise_found(found);
            }
            return;
        };
        let name = match program.known {
            Known::Whole => program.text.as_bytes().to_vec(),
            Known::Pattern => return self.patterned(&line, around),
            Known::Any | Known::Prefix(_) => return self.unresolved(&line, around),
        };
        if self.state.program_names() == Names::Programs {
            if lookup == Lookup::Programs || self.builtin(&name, &line, around).is_none() {
                self.external(line, around, &[]);
            }
            return;
        }
        if lookup == Lookup::Everywhere {
            self.aliased(&name, &line, around);
        }
        if lookup == Lookup::Everywhere
            && let Some(Slot::Function(bodies, sure)) =
                self.state.slot(&Key::Function(name.clone())).cloned()
        {
            self.functions_called(&bodies, &line, around);
            if sure == Sure::Surely && !bodies.is_empty() {
                return;
            }
        }
        if let Some(Slot::Hash(paths)) = self.state.slot(&Key::Hash(name.clone())).cloned() {
            for path in paths {
                let mut line = line.clone();
                if let Some(first) = line.first_mut() {
                    *first = Term { span: first.span, ..path };
                }
                match line.first().map(|term| term.known) {
                    Some(Known::Whole) => self.external(line, around, &[]),
                    _ => self.unresolved(&line, around),
                }
            }
            return;
        }
        if lookup == Lookup::Programs || self.builtin(&name, &line, around).is_none() {
            self.external(line, around, &[]);
        }
    }

    fn functions_called(&mut self, bodies: &[super::state::Body], line: &[Term], around: &Around) {
        let arguments = || Parameters::new(line.get(1..).unwrap_or_default());
        for found in &around.plumbing.found {
            self.raise_found(found);
        }
        for (setting, at) in around.settings.clone() {
            self.surround_later(setting, at);
        }
        let outer = std::mem::replace(&mut self.feed, around.feed.clone());
        let before = self.open(&around.plumbing);
        self.out.push(Text::default());
        match bodies {
            [only] => self.call(only, arguments()),
            _ => {
                let mut ways = Vec::new();
                for body in bodies {
                    self.state.enter();
                    self.call(body, arguments());
                    ways.push(self.state.leave());
                }
                self.state.join(&ways, Sure::Maybe);
            }
        }
        let written = self.out.pop().unwrap_or_default();
        self.close(before);
        self.emit_through(written, &around.plumbing);
        self.feed = outer;
    }

    /// Runs a line once more with an alias in place of its first word.
    fn aliased(&mut self, name: &[u8], line: &[Term], around: &Around) {
        let Some(Slot::Alias(texts)) = self.state.slot(&Key::Alias(name.to_vec())).cloned() else {
            return;
        };
        for (text, at) in texts {
            let Some(known) = text.as_bytes() else {
                self.unresolved(line, around);
                continue;
            };
            let mut text = known.to_vec();
            for term in line.iter().skip(1) {
                // Behind a blank, the next word may be an alias too.
                let key = Key::Alias(term.text.as_bytes().to_vec());
                let next = match self.state.slot(&key) {
                    Some(Slot::Alias(texts)) if text.ends_with(b" ") || text.ends_with(b"\t") => {
                        texts.first().and_then(|(text, _)| text.as_bytes()).map(<[u8]>::to_vec)
                    }
                    _ => None,
                };
                text.push(b' ');
                text.extend(next.unwrap_or_else(|| written_out(term)));
            }
            // An alias is not followed into itself.
            let alias = Key::Alias(name.to_vec());
            self.apart(|walker| {
                walker.state.set(alias, Slot::Alias(Vec::new()));
                walker.nested(&text, around.at.or(at));
            });
        }
    }

    /// A program that nobody knows.
    pub(super) fn unresolved(&mut self, line: &[Term], around: &Around) {
        let why = "the program is not known before it runs";
        match self.standing(Judge::Nobody, line, around) {
            Standing::Judged(traffic) => self.traffic.add(traffic),
            Standing::New(key) => {
                let before = self.traffic;
                let found = Found::new(Tier::UNKNOWN, Class::Unknown, PROGRAM_UNKNOWN, why).word(0);
                self.own(line, around, vec![found]);
                if let Some(key) = key {
                    self.judged.insert(key, self.traffic.since(before));
                }
            }
        }
        self.emit_through(Text::unknown(Origin::Made), &around.plumbing);
    }

    /// A program named by a pattern: every known program it covers, and one that nobody knows.
    fn patterned(&mut self, line: &[Term], around: &Around) {
        let Some(program) = line.first() else { return };
        self.step(STEPS_PER_PATTERN);
        let why = "the program is whatever file a pattern finds";
        let found = Found::new(Tier::Sensitive, Class::Unknown, "shell:program", why).word(0);
        let covered = programs::covered(program.text.as_bytes());
        match covered {
            Some(names) => {
                for name in names {
                    let mut line = line.to_vec();
                    if let Some(first) = line.first_mut() {
                        first.text = RawText::new(name);
                        first.known = Known::Whole;
                    }
                    self.external(line, around, std::slice::from_ref(&found));
                }
                self.own(line, around, vec![found]);
            }
            None => self.unresolved(line, around),
        }
        self.emit_through(Text::unknown(Origin::Made), &around.plumbing);
    }

    /// Hands a line to the judge of command lines.
    pub(super) fn external(&mut self, line: Vec<Term>, around: &Around, more: &[Found]) {
        self.pace.paused += usize::from(endless::takes_time(&line));
        self.judging.directory = self.directory();
        let line = Line { words: line, feed: around.feed.clone() };
        match self.standing(Judge::Command, &line.words, around) {
            Standing::Judged(traffic) if more.is_empty() => self.traffic.add(traffic),
            Standing::Judged(_) => self.judged_externally(&line, around, more),
            Standing::New(key) => {
                let before = self.traffic;
                self.judged_externally(&line, around, more);
                if let Some(key) = key {
                    self.judged.insert(key, self.traffic.since(before));
                }
            }
        }
        let written = match programs::makes_temporary(&line) && self.keeps_temporary() {
            true => {
                let mut text = Text::known(TEMPORARY);
                text.push(Chunk::Tame(Minus::Never));
                text
            }
            false => programs::output(&line),
        };
        self.emit_through(written, &around.plumbing);
    }

    fn judged_externally(&mut self, line: &Line, around: &Around, more: &[Found]) {
        let judged = crate::command::line(line, &self.judging);
        let mut operation = judged.operation;
        let within = judged.within;
        for found in more {
            add(&mut operation, found, &line.words);
        }
        self.adorn(&mut operation, around, &line.words);
        self.keep(operation);
        for mut operation in within {
            self.surround(&mut operation, around);
            for reason in &mut operation.reasons {
                reason.at = reason.at.or(around.at);
            }
            self.keep(operation);
        }
    }

    /// Whether a command was not judged before just as it stands now. One that was need not be
    /// judged again: its operations are there.
    fn standing(&mut self, judge: Judge, line: &[Term], around: &Around) -> Standing {
        self.asked += 1;
        let told_apart = around.settings.is_empty() && around.plumbing.found.is_empty();
        if !told_apart || self.asked <= UNASKED {
            return Standing::New(None);
        }
        let mut key = Vec::with_capacity(super::KEY_BYTES);
        key.extend([judge as u8, around.adorned as u8]);
        let number = |key: &mut Vec<u8>, number: usize| key.extend(number.to_le_bytes());
        match &around.feed {
            Feed::Inherited => key.push(0),
            Feed::Nothing => key.push(1),
            Feed::Unknown => key.push(2),
            Feed::Text(text) if text.as_bytes().len() < FEED_BYTES_MAX => {
                key.push(3);
                number(&mut key, text.as_bytes().len());
                key.extend_from_slice(text.as_bytes());
            }
            Feed::Text(_) | Feed::File(_) => return Standing::New(None),
        }
        number(&mut key, self.judging.depth);
        key.push(u8::from(self.judging.strays.get()));
        number(&mut key, self.judging.written.borrow().len());
        number(&mut key, self.judging.assigned.borrow().len());
        number(&mut key, self.environment.last().map_or(0, |last| last.number));
        match &self.judging.directory {
            Some(directory) => {
                number(&mut key, directory.as_bytes().len());
                key.extend_from_slice(directory.as_bytes());
            }
            None => number(&mut key, usize::MAX),
        }
        for term in line {
            let known = match term.known {
                Known::Whole => usize::MAX,
                Known::Any => usize::MAX - 1,
                Known::Pattern => usize::MAX - 2,
                Known::Prefix(length) => length,
            };
            number(&mut key, known);
            number(&mut key, term.text.as_bytes().len());
            key.extend_from_slice(term.text.as_bytes());
            number(&mut key, term.stretches.as_ref().map_or(0, |all| all.len() + 1));
            for stretch in term.stretches.iter().flat_map(|all| all.iter()) {
                match stretch {
                    Stretch::Bytes(bytes) => {
                        number(&mut key, bytes.len());
                        key.extend_from_slice(bytes);
                    }
                    Stretch::Tame(Minus::Never) => number(&mut key, usize::MAX),
                    Stretch::Tame(Minus::Maybe) => number(&mut key, usize::MAX - 1),
                }
            }
        }
        match self.judged.get(&key) {
            Some(traffic) => Standing::Judged(*traffic),
            None => Standing::New(Some(key)),
        }
    }

    /// Whether temporary files lie where they do by default, for all that the text says.
    fn keeps_temporary(&self) -> bool {
        let set = self.state.slot(&Key::Variable(b"TMPDIR".to_vec()));
        set.is_none()
    }

    /// Keeps an operation of the shell itself: a builtin, or a program nobody knows.
    pub(super) fn own(&mut self, line: &[Term], around: &Around, found: Vec<Found>) {
        if found.is_empty() {
            match self.standing(Judge::Shell, line, around) {
                Standing::Judged(_) => return,
                Standing::New(Some(key)) => _ = self.judged.insert(key, Traffic::default()),
                Standing::New(None) => {}
            }
        }
        let name = match line.first() {
            Some(Term { known: Known::Whole, text, .. }) => {
                String::from_utf8_lossy(text.as_bytes()).into_owned()
            }
            _ => String::new(),
        };
        let mut scopes = Scopes::default();
        match name.as_str() {
            "" => scopes.add(ScopeKey::Commands, iddio_core::operation::Names::Unknown),
            name => scopes.add_name(ScopeKey::Commands, name),
        }
        let whole: Option<Vec<String>> =
            line.iter().map(|term| term.as_str().map(str::to_owned)).collect();
        let mut operation = Operation {
            protocol: Protocol::Command,
            tier: Tier::Observe,
            class: Class::Unknown,
            scopes,
            overrides: Vec::new(),
            pattern: whole.map_or(Pattern::Unmatchable, Pattern::Command),
            reasons: Vec::new(),
            description: Description {
                command: Some(if name.is_empty() { "…".to_owned() } else { name.clone() }),
                argv: line.iter().map(|term| term.text.clone()).collect(),
                ..Description::default()
            },
        };
        let harmless = Found::new(
            Tier::Observe,
            Class::Unknown,
            format!("builtin:{name}"),
            "a command of the shell itself",
        );
        if found.is_empty() {
            add(&mut operation, &harmless, line);
        }
        for found in &found {
            add(&mut operation, found, line);
        }
        self.adorn(&mut operation, around, line);
        self.keep(operation);
    }

    /// Adds to an operation what stands around its words.
    fn adorn(&mut self, operation: &mut Operation, around: &Around, line: &[Term]) {
        for reason in &mut operation.reasons {
            let word = reason.word.and_then(|word| usize::try_from(word).ok());
            let span = word.and_then(|word| line.get(word)).and_then(|term| term.span);
            reason.at = reason.at.or(span).or(around.at);
        }
        for found in &around.plumbing.found {
            add(operation, found, line);
        }
        if around.adorned == Adorned::Yes {
            operation.pattern = Pattern::Unmatchable;
        }
        self.surround(operation, around);
    }

    /// Adds the variables that a program finds in its environment.
    fn surround(&self, operation: &mut Operation, around: &Around) {
        let lasting = self.environment.iter().map(|known| (&known.setting, &known.at));
        let own = around.settings.iter().map(|(setting, at)| (setting, at));
        for (setting, at) in lasting.chain(own) {
            match setting {
                Setting::Harmless => continue,
                Setting::Overrides(item) => {
                    if !operation.overrides.contains(item) {
                        operation.overrides.push(item.clone());
                    }
                }
                Setting::Shapes(found) => {
                    let found = Found { at: found.at.or(*at), ..found.clone() };
                    add(operation, &found, &[]);
                }
            }
            operation.pattern = Pattern::Unmatchable;
        }
    }
}

/// Adds a reason to an operation.
fn add(operation: &mut Operation, found: &Found, line: &[Term]) {
    if found.tier == Tier::BreakGlass {
        operation.class = match operation.tier {
            Tier::BreakGlass => worse_class(operation.class, found.class),
            _ => found.class,
        };
    }
    operation.tier = operation.tier.join(found.tier);
    let at = found.at.or_else(|| line.get(found.word?)?.span);
    let reason = Reason {
        tier: found.tier,
        rule: found.rule.clone().into_owned(),
        text: found.text.clone().into_owned(),
        word: found.word.and_then(|word| u32::try_from(word).ok()),
        at,
    };
    if !operation.reasons.contains(&reason) {
        operation.reasons.push(reason);
    }
}

/// Sets one element.
fn element_set(value: Value, index: &Text, texts: Vec<Text>, appends: Appends) -> Value {
    let place = index.as_bytes().and_then(|text| std::str::from_utf8(text).ok()?.parse().ok());
    let mut elements = match value {
        Value::Array(elements) => elements,
        Value::Scalar(texts) if texts.iter().all(|text| text.0.is_empty()) => Vec::new(),
        Value::Scalar(texts)
            if texts == [Text::unknown(Origin::Outside)]
                || texts == [Text::unknown(Origin::Environment)] =>
        {
            Vec::new()
        }
        Value::Scalar(texts) => vec![texts],
    };
    let place: Option<usize> = place;
    match place {
        Some(place)
            if place <= elements.len() && place < ELEMENTS_MAX && appends == Appends::Replaces =>
        {
            match elements.get_mut(place) {
                Some(element) => *element = texts,
                None => elements.push(texts),
            }
            Value::Array(elements)
        }
        _ => Value::unknown(Origin::Made),
    }
}

/// Writes a word out again, so that a shell reads what is known of it.
pub(super) fn written_out(term: &Term) -> Vec<u8> {
    let bytes = term.text.as_bytes();
    match term.known {
        Known::Whole => quoted(bytes),
        Known::Pattern => bytes.to_vec(),
        Known::Any => NOBODY_KNOWS.to_vec(),
        Known::Prefix(length) => {
            [&quoted(bytes.get(..length).unwrap_or_default()), &b"\""[..], NOBODY_KNOWS, b"\""]
                .concat()
        }
    }
}

/// Splits `NAME=value` and `NAME+=value`.
pub(super) fn named(text: &Text) -> Option<(Vec<u8>, Text, Appends)> {
    let (first, rest) = text.0.split_first()?;
    let Chunk::Bytes(bytes) = first else { return None };
    let place = bytes.iter().position(|byte| *byte == b'=')?;
    let (name, value) = bytes.split_at(place);
    let (name, appends) = match name.strip_suffix(b"+") {
        Some(name) => (name, Appends::Adds),
        None => (name, Appends::Replaces),
    };
    let base = name
        .iter()
        .position(|byte| *byte == b'[')
        .map_or(name, |at| name.get(..at).unwrap_or_default());
    if !is_name(base) {
        return None;
    }
    let mut text = Text::known(value.get(1..).unwrap_or_default());
    text.extend(Text(rest.to_vec()));
    Some((name.to_vec(), text, appends))
}

/// The most elements that are set one by one and told apart: each takes a copy of all.
const ELEMENTS_MAX: usize = 256;

/// The rule about programs that nobody knows before they run.
pub(super) const PROGRAM_UNKNOWN: &str = "shell:program";

/// An expansion of a variable that no text sets.
const NOBODY_KNOWS: &[u8] = b"$IDDIO_NOBODY_KNOWS";

/// Variables whose values a shell runs or expands.
const EVALUATED: [&[u8]; 7] =
    [b"BASH_ENV", b"ENV", b"PROMPT_COMMAND", b"PS0", b"PS1", b"PS2", b"PS4"];

/// How the names start that `mktemp` makes of its own.
const TEMPORARY: &str = "/tmp/tmp.";

/// Commands that may keep what is set for them: a plain `sh` says so, and `export x`.
const SPECIAL: [&[u8]; 13] = [
    b".",
    b":",
    b"declare",
    b"eval",
    b"exec",
    b"export",
    b"local",
    b"readonly",
    b"set",
    b"source",
    b"trap",
    b"typeset",
    b"unset",
];

/// The most bytes a variable keeps.
const VALUE_BYTES_MAX: usize = 64 * 1024;

/// What it takes to try a pattern on every program that is known, in steps.
const STEPS_PER_PATTERN: usize = 24;

/// What it takes to set a variable, in steps.
const STEPS_PER_ASSIGNMENT: usize = 2;

/// How many commands are judged before it is worth to remember which: most lines have no more, and
/// what stands often is remembered soon.
const UNASKED: usize = 4;

/// The most bytes of standard input that a command is told apart by.
const FEED_BYTES_MAX: usize = 256;
