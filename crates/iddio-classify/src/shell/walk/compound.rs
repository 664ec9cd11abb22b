//! Lists, pipelines, branches, loops and functions: which ways there are.
//!
//! No condition is believed: every way may be taken. `exit`, `return` and `break` end nothing.

use std::sync::Arc;

use iddio_core::{
    text::RawText,
    tier::{Class, Tier},
};

use super::{
    Called, Defined, Isolation, Pace, Walker,
    endless::{self, Repeats},
    programs::Traffic,
    state::{Body, Key, Parameters, Slot, Sure, Value, ambient},
    text::{Chunk, Origin, Text, settled},
};
use crate::{
    command::line::{Feed, Known, Stretch, Term},
    shell::{
        Span,
        ast::{Command, CommandKind, Ends, Join, List, Pipeline, Redirect, Script, TestPart, Word},
    },
};

// === impl Walker ===

impl Walker<'_> {
    pub(super) fn script(&mut self, script: &Script) {
        for list in &script.lists {
            match list.ends {
                Ends::Waited => self.and_or(list),
                Ends::Background => {
                    let paused = self.pace.paused;
                    let multiplies = self.reaches_itself(|walker| {
                        let written = walker.apart(|walker| walker.and_or(list));
                        walker.emit_maybe(&written);
                    });
                    if multiplies {
                        self.bomb();
                    }
                    self.pace = Pace { started: self.pace.started + 1, paused };
                }
            }
        }
    }

    /// What stands behind `&&` happens after what stands before it, or not at all.
    fn and_or(&mut self, list: &List) {
        self.pipeline(&list.first);
        if list.rest.is_empty() {
            return;
        }
        self.out.push(Text::default());
        let mut open = false;
        for (join, pipeline) in &list.rest {
            if open && *join == Join::Or {
                self.maybe_left();
                open = false;
            }
            if !open {
                self.state.enter();
                open = true;
            }
            self.pipeline(pipeline);
        }
        self.maybe_left();
        let written = self.out.pop().unwrap_or_default();
        self.emit_maybe(&written);
    }

    fn maybe_left(&mut self) {
        let way = self.state.leave();
        self.state.join(&[way], Sure::Maybe);
    }

    /// Notes output that may or may not be written.
    fn emit_maybe(&mut self, written: &Text) {
        if !written.0.is_empty() {
            self.emit(Text::unknown(Origin::Made));
        }
    }

    fn pipeline(&mut self, pipeline: &Pipeline) {
        let [first, rest @ ..] = pipeline.commands.as_slice() else { return };
        let Some((last, middle)) = rest.split_last() else {
            self.command(first);
            return;
        };
        let outer = self.feed.clone();
        let mut selves = 0;
        let mut collected = false;
        let mut away = false;
        for command in std::iter::once(first).chain(middle) {
            let before = self.traffic;
            let mut written = Text::default();
            selves += usize::from(self.reaches_itself(|walker| {
                written = walker.apart(|walker| walker.command(command));
            }));
            let Traffic { collect, send, .. } = self.traffic.since(before);
            away |= collected && 0 < send;
            collected |= 0 < collect;
            self.feed = match written.as_bytes() {
                Some(bytes) => Feed::Text(RawText::new(bytes)),
                None => Feed::Unknown,
            };
        }
        let before = self.traffic;
        selves += usize::from(self.reaches_itself(|walker| match walker.last_pipe {
            Isolation::Here => walker.command(last),
            Isolation::Apart => {
                let written = walker.apart(|walker| walker.command(last));
                walker.emit(written);
            }
        }));
        away |= collected && 0 < self.traffic.since(before).send;
        if 1 < selves {
            self.bomb();
        }
        self.feed = outer;
        if away {
            self.sent_away(first.span);
        }
    }

    /// What is read in bulk, or in secret, reaches another machine.
    pub(super) fn sent_away(&mut self, span: Span) {
        let why = "what it reads in bulk, or in secret, goes to another machine";
        let at = self.place(span);
        self.raise(Tier::BreakGlass, Class::Identity, "shell:exfiltration", why, at);
    }

    /// Whether something calls a function that it is a part of.
    fn reaches_itself(&mut self, action: impl FnOnce(&mut Self)) -> bool {
        let running = self.calls.len();
        let outer = std::mem::replace(&mut self.reached, usize::MAX);
        action(self);
        let itself = self.reached < running;
        self.reached = self.reached.min(outer);
        itself
    }

    fn bomb(&mut self) {
        let why = "a function starts itself beside itself, until the machine has no room";
        self.raise(Tier::BreakGlass, Class::Destroy, "shell:bomb", why, self.at);
    }

    pub(super) fn command(&mut self, command: &Command) {
        self.step(1);
        let left = self.judging.levels.get();
        if self.spent() {
            return;
        }
        let Some(less) = left.checked_sub(1) else {
            let why = "commands within commands, deeper than the limit";
            let at = self.place(command.span);
            self.raise(Tier::UNKNOWN, Class::Unknown, "shell:limit", why, at);
            return;
        };
        self.judging.levels.set(less);
        match &command.kind {
            CommandKind::Simple(simple) => self.simple(simple, &command.redirects, command.span),
            CommandKind::Function { name, body } => {
                // Redirections of the definition are those of every call.
                self.define(name, body, &command.redirects);
            }
            kind => self.redirected(&command.redirects, |walker| walker.compound(kind)),
        }
        self.judging.levels.set(left);
    }

    fn redirected(&mut self, redirects: &[Redirect], action: impl FnOnce(&mut Self)) {
        if redirects.is_empty() {
            return action(self);
        }
        let plumbing = self.plumb(redirects);
        for found in &plumbing.found {
            self.raise_found(found);
        }
        let outer = self.feed.clone();
        if let Some(feed) = &plumbing.feed {
            self.feed = feed.clone();
        }
        let before = self.open(&plumbing);
        self.out.push(Text::default());
        action(self);
        let written = self.out.pop().unwrap_or_default();
        self.close(before);
        self.emit_through(written, &plumbing);
        self.feed = outer;
    }

    fn compound(&mut self, kind: &CommandKind) {
        match kind {
            CommandKind::Simple(_) | CommandKind::Function { .. } => {}
            CommandKind::Group(script) => self.script(script),
            CommandKind::Subshell(script) => {
                let written = self.apart(|walker| walker.script(script));
                self.emit(written);
            }
            CommandKind::If { branches, otherwise } => self.branches(branches, otherwise.as_ref()),
            CommandKind::For { name, words, body } => self.each(name, words.as_deref(), body),
            CommandKind::CountingFor { expressions, body } => {
                for expression in expressions {
                    self.arithmetic(expression);
                }
                let before = self.pace;
                self.repeated(|walker| {
                    walker.script(body);
                    for expression in expressions {
                        walker.arithmetic(expression);
                    }
                });
                self.repeats(before, endless::counts_forever(expressions));
            }
            CommandKind::While { condition, body } => {
                let before = self.pace;
                self.repeated(|walker| {
                    walker.script(condition);
                    walker.script(body);
                });
                self.repeats(before, endless::holds_forever(condition));
            }
            CommandKind::Case { word, arms } => self.case(word, arms),
            CommandKind::Test(parts) => self.test(parts),
            CommandKind::Arithmetic(expression) => {
                self.arithmetic(expression);
            }
            CommandKind::Coprocess { name, body } => {
                let name = name.as_deref().unwrap_or(b"COPROC").to_vec();
                self.assign(&name, Value::one(Text::tame()), None);
                let _written = self.apart(|walker| {
                    walker.feed = Feed::Unknown;
                    walker.command(body);
                });
            }
        }
    }

    /// A loop was walked: one without an end that starts commands and waits for none of them fills
    /// the machine.
    fn repeats(&mut self, before: Pace, ends: Repeats) {
        let started = before.started < self.pace.started;
        if ends == Repeats::Forever && started && before.paused == self.pace.paused {
            let why = "a loop without an end starts commands that it does not wait for";
            self.raise(Tier::BreakGlass, Class::Destroy, "shell:bomb", why, self.at);
        }
    }

    fn branches(&mut self, branches: &[(Script, Script)], otherwise: Option<&Script>) {
        let mut ways = Vec::new();
        self.out.push(Text::default());
        for (condition, body) in branches {
            self.script(condition);
            self.state.enter();
            self.script(body);
            ways.push(self.state.leave());
        }
        if let Some(body) = otherwise {
            self.state.enter();
            self.script(body);
            ways.push(self.state.leave());
        }
        let none = if otherwise.is_some() { Sure::Surely } else { Sure::Maybe };
        self.state.join(&ways, none);
        let written = self.out.pop().unwrap_or_default();
        self.emit_maybe(&written);
    }

    fn case(&mut self, word: &Word, arms: &[(Vec<Word>, Script)]) {
        self.single(word);
        self.out.push(Text::default());
        for (patterns, body) in arms {
            for pattern in patterns {
                self.single(pattern);
            }
            // `;&` falls through, and `;;&` looks on: an arm may follow any before it.
            self.state.enter();
            self.script(body);
            self.maybe_left();
        }
        let written = self.out.pop().unwrap_or_default();
        self.emit_maybe(&written);
    }

    /// `for`: the body runs for each word that is known, one after the other.
    fn each(&mut self, name: &[u8], words: Option<&[Word]>, body: &Script) {
        let mut values: Vec<Text> = Vec::new();
        match words {
            Some(words) => {
                let before = self.traffic;
                for word in words {
                    let alternatives = self.terms(word);
                    values.extend(alternatives.iter().flatten().map(text_of));
                }
                self.tells(name, before);
            }
            None => match self.state.slot(&Key::Positional) {
                Some(Slot::Positional(Parameters::Known(list))) => {
                    values.extend(list.iter().flatten().cloned());
                }
                _ => values.push(Text::unknown(Origin::Outside)),
            },
        }
        values.dedup();
        let at = self.at;
        // `select` is this too, and puts there what is typed.
        if self.state.slot(&Key::Variable(b"REPLY".to_vec())).is_some() {
            self.assign(b"REPLY", Value::unknown(Origin::Made), at);
        }
        let one_by_one = !values.is_empty()
            && values.len() <= RUNS_MAX
            && values.iter().all(|value| value.as_bytes().is_some());
        if !one_by_one {
            // A list that is empty today: the body is there all the same.
            let values = match values.as_slice() {
                [] => vec![Text::unknown(Origin::Made)],
                _ => settled(values),
            };
            self.repeated(|walker| {
                walker.assign(name, Value::Scalar(values.clone()), at);
                walker.script(body);
            });
            return;
        }
        self.out.push(Text::default());
        for value in values {
            if self.spent() {
                break;
            }
            self.state.enter();
            self.assign(name, Value::one(value), at);
            self.script(body);
            self.maybe_left();
        }
        let written = self.out.pop().unwrap_or_default();
        self.emit_maybe(&written);
    }

    /// Repeats something until it teaches nothing new, forgetting what keeps changing.
    fn repeated(&mut self, mut action: impl FnMut(&mut Self)) {
        self.out.push(Text::default());
        for round in 0..ROUNDS_MAX {
            self.state.enter();
            action(self);
            let way = self.state.leave();
            let before: Vec<Option<Slot>> =
                way.keys().map(|key| self.state.slot(key).cloned()).collect();
            let keys: Vec<Key> = way.keys().cloned().collect();
            let changed = self.state.join(&[way], Sure::Maybe);
            if 0 < round {
                for key in &changed {
                    self.state.widen(key.clone());
                }
            }
            let moves =
                keys.iter().zip(&before).any(|(key, slot)| self.state.slot(key) != slot.as_ref());
            if changed.is_empty() || !moves || self.spent() {
                break;
            }
            if round + 1 == ROUNDS_MAX {
                let why = "a loop that keeps teaching something new";
                self.raise(Tier::UNKNOWN, Class::Unknown, "shell:limit", why, self.at);
            }
        }
        let written = self.out.pop().unwrap_or_default();
        self.emit_maybe(&written);
    }

    /// `[[ … ]]`.
    fn test(&mut self, parts: &[TestPart]) {
        let mut before: Vec<Text> = Vec::new();
        let mut arithmetic = false;
        let mut named = false;
        for part in parts {
            match part {
                TestPart::Operator(operator) => {
                    arithmetic = NUMERIC.contains(&operator.as_slice());
                    named = matches!(operator.as_slice(), b"-v" | b"-R");
                    if arithmetic {
                        let at = self.at;
                        for text in std::mem::take(&mut before) {
                            self.evaluated(&text, at);
                        }
                    }
                }
                TestPart::Operand(word) => {
                    let at = self.place(word.span);
                    let texts = self.single(word);
                    for text in &texts {
                        if arithmetic {
                            self.evaluated(text, at);
                        }
                        if named {
                            self.subscripts(text, at);
                        }
                    }
                    before = texts;
                    (arithmetic, named) = (false, false);
                }
            }
        }
    }

    fn define(&mut self, name: &[u8], body: &Arc<Command>, redirects: &[Redirect]) {
        let mut command = Arc::clone(body);
        if !redirects.is_empty() {
            // The reader leaves them with the body itself.
            let length = body.span.end.saturating_sub(body.span.start);
            self.step(1 + usize::try_from(length).unwrap_or(0) / 16);
            Arc::make_mut(&mut command).redirects.extend_from_slice(redirects);
        }
        let body = Body { command, at: self.at, number: self.functions.len() };
        let key = Key::Function(name.to_vec());
        self.state.set(key, Slot::Function(vec![body.clone()], Sure::Surely));
        self.functions.push(Defined { name: name.to_vec(), body, called: Called::No });
    }

    /// Runs a function.
    pub(super) fn call(&mut self, body: &Body, arguments: Parameters) {
        if let Some(place) = self.calls.iter().position(|running| running == body) {
            self.reached = self.reached.min(place);
        }
        if self.calls.iter().filter(|running| *running == body).count() >= RECURSIONS_MAX {
            self.emit(Text::unknown(Origin::Made));
            self.recursed = true;
            return;
        }
        if self.calls.contains(body) {
            return self.called(body, arguments);
        }
        let outer = std::mem::replace(&mut self.recursed, false);
        self.state.enter();
        self.called(body, arguments);
        let way = self.state.leave();
        let deeper = std::mem::replace(&mut self.recursed, outer);
        if !deeper {
            self.state.join(&[way], Sure::Surely);
            return;
        }
        // Deeper down it may find anything in what it changes, and in its words.
        self.state.enter();
        for key in self.state.join(&[way], Sure::Maybe) {
            self.state.widen(key);
        }
        self.called(body, Parameters::Unknown(Origin::Made));
        let way = self.state.leave();
        self.recursed = outer;
        for key in self.state.join(&[way], Sure::Maybe) {
            self.state.widen(key);
        }
    }

    fn called(&mut self, body: &Body, arguments: Parameters) {
        if let Some(defined) = self.functions.get_mut(body.number)
            && defined.body == *body
            && defined.called == Called::No
        {
            defined.called = Called::Yes;
        }
        let before = self.state.slot(&Key::Positional).cloned();
        self.state.set(Key::Positional, Slot::Positional(arguments));
        self.calls.push(body.clone());
        self.locals.push(std::collections::BTreeMap::new());
        let place = std::mem::replace(&mut self.at, body.at);
        let command = Arc::clone(&body.command);
        self.command(&command);
        self.at = place;
        for (key, slot) in self.locals.pop().unwrap_or_default() {
            let outer = match (&key, slot) {
                (_, Some(slot)) => slot,
                (Key::Variable(name), None) => Slot::Variable(ambient(name)),
                _ => continue,
            };
            self.state.set(key, outer);
        }
        self.calls.pop();
        let before = before.unwrap_or(Slot::Positional(Parameters::Unknown(Origin::Outside)));
        self.state.set(Key::Positional, before);
    }

    /// Marks a function as one that somebody calls with arguments nobody knows.
    pub(super) fn called_from_outside(&mut self, name: &[u8]) {
        for defined in &mut self.functions {
            if defined.name == name {
                defined.called = Called::Outside;
            }
        }
    }
}

/// Returns what a word of a list may be.
pub(super) fn text_of(term: &Term) -> Text {
    let bytes = term.text.as_bytes();
    if let (Known::Prefix(_), Some(stretches)) = (term.known, &term.stretches) {
        let chunk = |stretch: &Stretch| match stretch {
            Stretch::Bytes(bytes) => Chunk::Bytes(bytes.clone()),
            Stretch::Tame(minus) => Chunk::Tame(*minus),
        };
        return Text(stretches.iter().map(chunk).collect());
    }
    match term.known {
        Known::Whole => Text::known(bytes),
        Known::Pattern => Text(vec![Chunk::Names(bytes.to_vec())]),
        Known::Any => Text::unknown(Origin::Made),
        Known::Prefix(length) => {
            let mut text = Text::known(bytes.get(..length).unwrap_or_default());
            text.push(Chunk::Unknown(Origin::Made));
            text
        }
    }
}

/// Operators whose operands are expressions.
pub(super) const NUMERIC: [&[u8]; 6] = [b"-eq", b"-ne", b"-lt", b"-le", b"-gt", b"-ge"];

/// How often a loop is walked. From the second time on, what changes is forgotten, so that each time
/// at least one more variable holds anything.
const ROUNDS_MAX: usize = 64;

/// For how many words a loop is walked one by one.
const RUNS_MAX: usize = 64;

/// How deep a function is followed into itself.
const RECURSIONS_MAX: usize = 2;
