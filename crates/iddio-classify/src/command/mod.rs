//! Command lines: what an argument vector does, and how it is run so that it does just that.
//!
//! [`judge()`] is pure and total. What a tool reads besides its arguments comes in as [`Ambient`] or
//! goes out as something the caller must do ([`RunPlan`]): the caller executes a plan without
//! knowing any tool. A tier below 3 is a claim about a run with every neutralisation of the plan in
//! place; [`Judged::raise`] is for the caller that cannot put one in place.
//!
//! It reads no shell: text for a shell is [`shell_line`], and a program that runs other programs is
//! answered as unknown.

mod added;
mod assignments;
mod files;
mod follow;
mod hostile;
mod inputs;
mod judge;
mod kube;
pub mod line;
pub(crate) mod lists;
mod parse;
mod plan;
mod scopes;
mod sent;
mod unknown;
mod unprepared;

use std::{borrow::Cow, sync::Arc};

use iddio_core::{
    operation::{Operation, Operations, Reason, Scopes, Span},
    text::RawText,
    tier::{Class, Tier},
};

use crate::catalog::Added;
pub use crate::kube::ManifestFacts;
pub(crate) use assignments::{Setting, assignment};
pub(crate) use hostile::misleads;
pub(crate) use judge::line;
pub use judge::{judge, judge_by};
pub(crate) use plan::Standing;
pub use plan::{
    Below, Binding, CatalogIdentity, EnvironmentPlan, EnvironmentValue, Extent, FactSource,
    FactWanted, InputFile, InputKind, InspectFormat, InspectedFile, ManifestNeed, Need,
    Neutralisation, OutputFile, Part, Pin, Program, RunPlan, Staged, StdinRole, Terminal, Written,
};

/// Judges a line for a shell: the shell itself, and within it every simple command that can run.
pub fn shell_line(text: &RawText, ambient: &Ambient) -> Judged {
    crate::shell::line(text, ambient)
}

/// What the caller knows besides the arguments. Everything in it is a claim of the caller's own;
/// nothing is taken from the one who asks.
#[derive(Clone, Debug, Default)]
pub struct Ambient {
    /// Names that hold where the command line says nothing: the current workspace, namespace,
    /// region. A key that is absent is not known.
    pub scopes: Scopes,
    /// Paths of iddio itself: its home, its sockets, its configuration. Each absolute.
    pub own_paths: Vec<RawText>,
    /// The working directory, to see through relative paths. Absolute.
    pub working_directory: Option<RawText>,
    /// The catalog program that the resolved program is trusted to be, where its file name does
    /// not say: a trusted path of a version manager.
    pub goes_by: Option<String>,
    /// Whether somebody vouched for the content of the program: it then counts for less than an
    /// unknown one where no catalog knows it, and for no less than a write.
    pub vouched: Vouched,
    /// What somebody read in the manifests, by the path that the command line names; `-` is
    /// standard input.
    pub manifests: Vec<(RawText, ManifestFacts)>,
    /// The catalogs that this installation adds to the built-in ones.
    pub catalogs: Arc<[Added]>,
    /// What standard input holds, to its end. Without it, whoever is there may write anything.
    pub stdin: Option<RawText>,
    /// What is done for programs that the program runs in turn.
    pub inner: Inner,
}

/// What a caller does for the programs that a program runs in turn: `sudo kubectl`, `sh -c 'git …'`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Inner {
    /// Their tiers are taken as they are: nobody starts them here, or it is another's to prepare
    /// their surroundings.
    #[default]
    AsJudged,
    /// Nothing: what needs prepared surroundings for a low tier ([`RunPlan::environment`],
    /// [`RunPlan::neutralise`], inputs that are bound) is at least tier 3.
    Unprepared,
}

/// Whether somebody vouched for a program's content.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Vouched {
    /// Nobody did.
    #[default]
    Nobody,
    /// Policy or a human did.
    Somebody,
}

/// Something found that raises a tier: in a word, in a program, about a file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Found {
    pub(crate) tier: Tier,
    /// Its class, if the tier is break-glass.
    pub(crate) class: Class,
    pub(crate) rule: Cow<'static, str>,
    /// What it means, for people.
    pub(crate) text: Cow<'static, str>,
    /// The index of the word it is about, where that is known.
    pub(crate) word: Option<usize>,
    /// Where it stands in the text for a shell.
    pub(crate) at: Option<Span>,
}

/// What a command line comes to.
#[derive(Clone, Debug)]
#[must_use]
pub struct Judged {
    /// What policy sees of the program itself.
    pub operation: Operation,
    /// What policy sees of the programs it runs in turn: those behind `sudo`, those of a shell's
    /// text. Each is decided under its own protocol.
    pub within: Vec<Operation>,
    /// How it runs, if it may.
    pub plan: RunPlan,
}

// === impl Judged ===

impl Judged {
    /// Raises the tier for something the caller found: a neutralisation it cannot put in place, a
    /// file it could not bind, what a plan does. Never lowers.
    pub fn raise(&mut self, reason: Reason, class: Class) {
        let operation = &mut self.operation;
        if reason.tier == Tier::BreakGlass {
            let stands = operation.tier == Tier::BreakGlass;
            operation.class = if stands { worse_class(operation.class, class) } else { class };
        }
        operation.tier = operation.tier.join(reason.tier);
        operation.reasons.push(reason);
    }

    /// Returns everything that policy sees: the program itself, then what it runs in turn.
    pub fn operations(&self) -> Operations {
        Operations::of(self.operation.clone(), self.within.clone())
    }

    /// Returns the tier of the whole: the maximum (invariant I1).
    pub fn tier(&self) -> Tier {
        let within = self.within.iter().map(Operation::native_tier);
        within.fold(self.operation.native_tier(), Tier::join)
    }

    /// Returns the reason that decided: the first of the greatest tier.
    pub fn decisive(&self) -> Option<&Reason> {
        self.operation.deciding_reason()
    }
}

// === impl Found ===

impl Found {
    /// Something about no word in particular.
    pub(crate) fn new(
        tier: Tier,
        class: Class,
        rule: impl Into<Cow<'static, str>>,
        text: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self { tier, class, rule: rule.into(), text: text.into(), word: None, at: None }
    }

    /// The same, about the word of this index.
    pub(crate) fn word(self, word: usize) -> Self {
        Self { word: Some(word), ..self }
    }
}

/// Returns the class that policy is stricter on.
pub(crate) fn worse_class(one: Class, other: Class) -> Class {
    let rank = |class| match class {
        Class::Session => 0,
        Class::Destroy => 1,
        Class::Identity => 2,
        Class::Unknown => 3,
        Class::Evasion => 4,
    };
    if rank(one) < rank(other) { other } else { one }
}

/// The most words a command line may have. The kernel takes more; no honest tool of ours needs it.
pub const ARGV_WORDS_MAX: usize = 16 * 1024;

/// The most bytes all words may have together: what the kernel takes at most, environment included.
pub const ARGV_BYTES_MAX: usize = 2 * 1024 * 1024;

/// The most bytes of one word: what Linux takes (`MAX_ARG_STRLEN`).
pub const WORD_BYTES_MAX: usize = 128 * 1024;

/// The most files a command line may name, and the most requests it may stand for. Somebody has to
/// be able to look at them.
pub const NAMED_MAX: usize = 4096;
