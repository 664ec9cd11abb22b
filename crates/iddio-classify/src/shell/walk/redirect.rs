//! Redirections: which files they write and read, and what a command then reads and writes.

use iddio_core::{
    text::RawText,
    tier::{Class, Tier},
};

use super::{
    Walker,
    expand::term,
    state::{Key, Mode, Slot, Value},
    text::{Origin, Text},
};
use crate::{
    catalog::format::PathUse,
    command::{
        Extent, Found,
        line::{Feed, Known, Term},
    },
    paths,
    shell::{
        Span,
        ast::{Descriptor, Redirect, RedirectOperator, RedirectTarget},
    },
};

/// What redirections come to.
pub(super) struct Plumbing {
    /// What they do to files.
    pub(super) found: Vec<Found>,
    /// What is read from standard input, if that changes.
    pub(super) feed: Option<Feed>,
    /// Where standard output goes.
    stdout: Output,
    /// Descriptors that are open on something else.
    opened: Vec<(u32, File)>,
}

/// Where standard output goes.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Output {
    /// Into something else.
    Elsewhere,
    /// Where it went before.
    Same,
}

/// What a descriptor is open on; `None` is what the shell was given.
type File = Option<(Term, Mode)>;

/// What descriptors were open on before.
pub(super) type Opened = Vec<(u32, Option<Slot>)>;

// === impl Walker ===

impl Walker<'_> {
    /// Expands and judges redirections, in order.
    pub(super) fn plumb(&mut self, redirects: &[Redirect]) -> Plumbing {
        let mut plumbing =
            Plumbing { found: Vec::new(), feed: None, stdout: Output::Same, opened: Vec::new() };
        if REDIRECTS_MAX < redirects.len() {
            let why = "more redirections than anyone reads";
            self.raise(Tier::UNKNOWN, Class::Unknown, "shell:limit", why, self.at);
        }
        for redirect in redirects.iter().take(REDIRECTS_MAX) {
            self.step(1);
            self.redirect(redirect, &mut plumbing);
        }
        plumbing
    }

    fn redirect(&mut self, redirect: &Redirect, plumbing: &mut Plumbing) {
        use RedirectOperator as Operator;
        let at = self.place(redirect.span);
        let input = matches!(
            redirect.operator,
            Operator::DuplicateInput
                | Operator::HereDocument
                | Operator::HereString
                | Operator::Input
                | Operator::ReadWrite
        );
        let descriptor = match &redirect.descriptor {
            Descriptor::Implied => u32::from(!input),
            Descriptor::Number(number) => *number,
            Descriptor::Named(name) => {
                self.assign(name, Value::one(Text::tame()), at);
                NAMED_DESCRIPTOR
            }
        };
        if matches!(redirect.operator, Operator::HereDocument | Operator::HereString) {
            let (RedirectTarget::Document(word) | RedirectTarget::Word(word)) = &redirect.target;
            let mut texts = self.single(word);
            if redirect.operator == Operator::HereString {
                for text in &mut texts {
                    text.extend(Text::known("\n"));
                }
            }
            match descriptor {
                0 => plumbing.feed = Some(feed(&texts)),
                // A file of the text's own making, to whoever reads it by name.
                number => {
                    let path = RawText::from(format!("/dev/fd/{number}"));
                    self.judging.written.borrow_mut().push(path);
                }
            }
            return;
        }
        let (RedirectTarget::Document(word) | RedirectTarget::Word(word)) = &redirect.target;
        for words in self.terms(word) {
            let target = match words.as_slice() {
                [only] if only.known != Known::Any => only.clone(),
                _ => term(&Text::unknown(Origin::Made), at),
            };
            match redirect.operator {
                Operator::DuplicateInput | Operator::DuplicateOutput => {
                    self.duplicate(redirect.operator, descriptor, &target, at, plumbing);
                }
                operator => self.file(operator, descriptor, target, at, plumbing),
            }
        }
    }

    fn file(
        &mut self,
        operator: RedirectOperator,
        descriptor: u32,
        target: Term,
        at: Option<Span>,
        plumbing: &mut Plumbing,
    ) {
        use RedirectOperator as Operator;
        let (usage, mode) = match operator {
            Operator::Append | Operator::AppendBoth => (PathUse::Append, Mode::Append),
            Operator::Input => (PathUse::Read, Mode::Read),
            _ => (PathUse::Write, Mode::Write),
        };
        let both = matches!(operator, Operator::AppendBoth | Operator::OutputBoth);
        plumbing.found.extend(self.path(usage, &target, at));
        if usage != PathUse::Read {
            self.writes(&target);
        }
        if (descriptor == 1 || both) && usage != PathUse::Read {
            plumbing.stdout = match target.as_str() {
                Some("/dev/stdout" | "/dev/fd/1" | "/dev/tty") => Output::Same,
                _ => Output::Elsewhere,
            };
        }
        if descriptor == 0 {
            plumbing.feed = Some(match target.as_str() {
                Some("/dev/null") => Feed::Nothing,
                Some("/dev/stdin" | "/dev/fd/0") => self.feed.clone(),
                _ if operator == Operator::ReadWrite => Feed::Unknown,
                _ => Feed::File(target.clone()),
            });
        }
        plumbing.opened.push((descriptor, Some((target, mode))));
    }

    /// `<&n`, `>&n`, `>&-`, `>&file`.
    fn duplicate(
        &mut self,
        operator: RedirectOperator,
        descriptor: u32,
        target: &Term,
        at: Option<Span>,
        plumbing: &mut Plumbing,
    ) {
        let output = operator == RedirectOperator::DuplicateOutput;
        let number = target.as_str().map(|text| text.strip_suffix('-').unwrap_or(text));
        match number {
            Some("") => {
                if descriptor == 0 {
                    plumbing.feed = Some(Feed::Nothing);
                }
                if descriptor == 1 {
                    plumbing.stdout = Output::Elsewhere;
                }
            }
            Some(number) if number.bytes().all(|byte| byte.is_ascii_digit()) => {
                let number = number.parse().unwrap_or(NAMED_DESCRIPTOR);
                self.copy(descriptor, number, at, plumbing);
            }
            Some(_) if output => {
                self.file(RedirectOperator::OutputBoth, descriptor, target.clone(), at, plumbing);
            }
            _ => {
                // `>&$fd`: of all descriptors that are open, one.
                for number in self.descriptors() {
                    self.copy(descriptor, number, at, plumbing);
                }
                if descriptor == 0 {
                    plumbing.feed = Some(Feed::Unknown);
                }
                if descriptor == 1 {
                    plumbing.stdout = Output::Elsewhere;
                }
            }
        }
    }

    fn copy(&mut self, to: u32, from: u32, at: Option<Span>, plumbing: &mut Plumbing) {
        let present = plumbing.opened.iter().rev().find(|(number, _)| *number == from);
        let files = match (present, self.state.slot(&Key::Descriptor(from))) {
            (Some((_, file)), _) => vec![file.clone()],
            (None, Some(Slot::Descriptor(files))) => files.clone(),
            (None, _) => vec![None],
        };
        for file in files {
            match &file {
                Some((target, Mode::Read)) if to == 0 => {
                    plumbing.feed = Some(Feed::File(target.clone()));
                }
                Some((_, Mode::Read)) => {}
                Some((target, mode)) => {
                    let usage =
                        if *mode == Mode::Append { PathUse::Append } else { PathUse::Write };
                    plumbing.found.extend(self.path(usage, target, at));
                    if to == 0 {
                        plumbing.feed = Some(Feed::Unknown);
                    }
                }
                None if to == 0 && from > 2 => plumbing.feed = Some(Feed::Unknown),
                None => {}
            }
            if to == 1 && (from != 1 || file.is_some()) {
                plumbing.stdout = Output::Elsewhere;
            }
            plumbing.opened.push((to, file));
        }
    }

    fn descriptors(&self) -> Vec<u32> {
        let open = |number: &u32| self.state.slot(&Key::Descriptor(*number)).is_some();
        (0..=NAMED_DESCRIPTOR).filter(open).collect()
    }

    /// Opens what redirections open, for as long as a compound command runs.
    pub(super) fn open(&mut self, plumbing: &Plumbing) -> Opened {
        let mut before = Vec::new();
        for (number, file) in &plumbing.opened {
            let key = Key::Descriptor(*number);
            before.push((*number, self.state.slot(&key).cloned()));
            self.state.set(key, Slot::Descriptor(vec![file.clone()]));
        }
        before
    }

    /// Puts back what was open before.
    pub(super) fn close(&mut self, before: Opened) {
        for (number, slot) in before.into_iter().rev() {
            let slot = slot.unwrap_or(Slot::Descriptor(vec![None]));
            self.state.set(Key::Descriptor(number), slot);
        }
    }

    /// Notes what is written to standard output, unless it goes elsewhere.
    pub(super) fn emit_through(&mut self, written: Text, plumbing: &Plumbing) {
        if plumbing.stdout == Output::Same {
            self.emit(written);
        }
    }

    /// Judges one use of a file by the shell itself.
    pub(super) fn path(
        &mut self,
        usage: PathUse,
        target: &Term,
        at: Option<Span>,
    ) -> Option<Found> {
        let bytes = target.text.as_bytes();
        if bytes.starts_with(b"/dev/tcp/") || bytes.starts_with(b"/dev/udp/") {
            let why = "the shell opens a connection";
            let found = Found::new(Tier::BreakGlass, Class::Session, "shell:network", why);
            return Some(Found { at, ..found });
        }
        if target.as_str().is_some_and(is_stream) {
            return None;
        }
        self.step(STEPS_PER_FILE);
        let directory = self.directory();
        let found = paths::judge(usage, target, directory.as_ref(), self.judging.ambient)?;
        Some(Found { at: found.at.or(target.span).or(at), word: None, ..found })
    }

    /// Remembers that a file is written: as a program it is unknown from then on.
    pub(super) fn writes(&mut self, target: &Term) {
        if target.as_str().is_some_and(is_stream) {
            return;
        }
        if target.known == Known::Whole {
            let directory = self.directory();
            self.judging.declare(target.text.as_bytes(), directory.as_ref(), Extent::Below);
        }
        let mut written = self.judging.written.borrow_mut();
        let absolute = match (self.directory(), target.text.as_bytes()) {
            (_, [b'/' | b'~', ..]) | (None, _) => None,
            (Some(directory), relative) => {
                Some(RawText::new([directory.as_bytes(), b"/", relative].concat()))
            }
        };
        for path in std::iter::once(target.text.clone()).chain(absolute) {
            if written.len() < WRITTEN_MAX && !written.contains(&path) {
                written.push(path);
            }
        }
    }
}

/// Whether a path is one of the shell's own streams, or nothing at all.
fn is_stream(path: &str) -> bool {
    let streams =
        ["/dev/null", "/dev/stdin", "/dev/stdout", "/dev/stderr", "/dev/tty", "/dev/zero"];
    streams.contains(&path) || path.starts_with("/dev/fd/")
}

/// Returns what a here-document or a here-string feeds.
fn feed(texts: &[Text]) -> Feed {
    match texts {
        [only] => match only.as_bytes() {
            Some(bytes) => Feed::Text(RawText::new(bytes)),
            None => Feed::Unknown,
        },
        _ => Feed::Unknown,
    }
}

/// The most redirections of one command that are followed. No honest command has a tenth of them.
const REDIRECTS_MAX: usize = 64;

/// What it takes to judge the use of a file, in steps.
const STEPS_PER_FILE: usize = 6;

/// Stands for every descriptor whose number the shell chooses.
const NAMED_DESCRIPTOR: u32 = 255;

/// The most written files that are remembered.
const WRITTEN_MAX: usize = 256;
