//! The tree of a shell program, as the reader leaves it.
//!
//! It is bash's grammar as far as it can be judged; what lies outside is a
//! [`super::SyntaxError`], never a guess. Every node knows where it stands. Text is bytes: a shell
//! knows no encoding. Nothing is expanded here.

use std::sync::Arc;

use super::Span;

/// A program: commands in order.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Script {
    /// Its lists, as separators part them.
    pub lists: Vec<List>,
}

/// Pipelines joined with `&&` and `||`, up to a separator.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct List {
    /// The first pipeline.
    pub first: Pipeline,
    /// What follows, and what joins it.
    pub rest: Vec<(Join, Pipeline)>,
    /// Whether it is waited for.
    pub ends: Ends,
}

/// What joins two pipelines.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Join {
    /// `&&`.
    And,
    /// `||`.
    Or,
}

/// How a list ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Ends {
    /// `&`: nobody waits for it.
    Background,
    /// `;`, a line's end, or the program's.
    Waited,
}

/// Commands joined with `|` and `|&`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Pipeline {
    /// The commands, never none. `!` and `time` before them change nothing that is judged and are
    /// left out.
    pub commands: Vec<Command>,
}

/// One command with its redirections.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Command {
    /// What it is.
    pub kind: CommandKind,
    /// Its redirections, in order.
    pub redirects: Vec<Redirect>,
    /// Where it stands, redirections included.
    pub span: Span,
}

/// A kind of command.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum CommandKind {
    /// Assignments and words; one of the two may be none.
    Simple(Simple),
    /// `{ …; }`.
    Group(Script),
    /// `( … )`.
    Subshell(Script),
    /// `if … then … elif … then … else … fi`.
    If {
        /// Conditions with what follows each.
        branches: Vec<(Script, Script)>,
        /// What follows `else`.
        otherwise: Option<Script>,
    },
    /// `for NAME in WORDS; do … done`, and `select`.
    For {
        /// The variable.
        name: Vec<u8>,
        /// The words; `None` without `in`, which is `"$@"`.
        words: Option<Vec<Word>>,
        /// What is repeated.
        body: Script,
    },
    /// `for ((…; …; …)); do … done`.
    CountingFor {
        /// Start, condition and step.
        expressions: Vec<Arithmetic>,
        /// What is repeated.
        body: Script,
    },
    /// `while … do … done` and `until … do … done`.
    While {
        /// What is tried first.
        condition: Script,
        /// What is repeated.
        body: Script,
    },
    /// `case WORD in PATTERNS) … ;; esac`.
    Case {
        /// The word that is compared.
        word: Word,
        /// Patterns with what follows each.
        arms: Vec<(Vec<Word>, Script)>,
    },
    /// `NAME() …` and `function NAME …`.
    Function {
        /// Its name.
        name: Vec<u8>,
        /// Its body, which whoever calls it shares.
        body: Arc<Command>,
    },
    /// `[[ … ]]`.
    Test(Vec<TestPart>),
    /// `(( … ))`.
    Arithmetic(Arithmetic),
    /// `coproc [NAME] …`.
    Coprocess {
        /// Its name, if it has one.
        name: Option<Vec<u8>>,
        /// What runs beside.
        body: Arc<Command>,
    },
}

/// A simple command.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Simple {
    /// `NAME=VALUE` before the first word.
    pub assignments: Vec<Assignment>,
    /// The program and its arguments.
    pub words: Vec<Word>,
}

/// `NAME=VALUE`, `NAME+=VALUE`, `NAME[…]=VALUE`, `NAME=(…)`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Assignment {
    /// The variable.
    pub name: Vec<u8>,
    /// What stands between `[` and `]`: evaluated as arithmetic.
    pub subscript: Option<Arithmetic>,
    /// `+=` instead of `=`.
    pub appends: Appends,
    /// The value.
    pub value: AssignedValue,
    /// Where it stands.
    pub span: Span,
}

/// Whether an assignment adds to what is there.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Appends {
    /// `+=`.
    Adds,
    /// `=`.
    Replaces,
}

/// What is assigned.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum AssignedValue {
    /// `(…)`: elements, each with its subscript, if it has one.
    Array(Vec<(Option<Arithmetic>, Word)>),
    /// One word, which may be empty.
    Word(Word),
}

/// A part of `[[ … ]]`, in order. Which operand belongs to which operator does not matter: every
/// word is expanded, and operands of arithmetic comparisons are evaluated as arithmetic.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum TestPart {
    /// An operand.
    Operand(Word),
    /// `-eq`, `-v`, `==`, `=~`, `&&`, `!`, `(` and so on.
    Operator(Vec<u8>),
}

/// A redirection.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Redirect {
    /// What stands before the operator.
    pub descriptor: Descriptor,
    /// What it does.
    pub operator: RedirectOperator,
    /// Its operand.
    pub target: RedirectTarget,
    /// Where it stands, operand included.
    pub span: Span,
}

/// The descriptor of a redirection.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Descriptor {
    /// None is named: standard input or standard output.
    Implied,
    /// `{NAME}`: a fresh one, whose number goes into a variable.
    Named(Vec<u8>),
    /// A number.
    Number(u32),
}

/// What a redirection does.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RedirectOperator {
    /// `>>`.
    Append,
    /// `&>>`.
    AppendBoth,
    /// `>|`.
    Clobber,
    /// `<&`.
    DuplicateInput,
    /// `>&`: a descriptor, or a file for both outputs.
    DuplicateOutput,
    /// `<<` and `<<-`.
    HereDocument,
    /// `<<<`.
    HereString,
    /// `<`.
    Input,
    /// `>`.
    Output,
    /// `&>`.
    OutputBoth,
    /// `<>`.
    ReadWrite,
}

/// The operand of a redirection.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum RedirectTarget {
    /// The body of a here-document, in double quotes unless its delimiter was quoted. The tabs that
    /// `<<-` takes away are away.
    Document(Word),
    /// A word.
    Word(Word),
}

/// A word, not yet expanded.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Word {
    /// Its parts, in order. None is the empty word, which only a redirection or an assignment has.
    pub parts: Vec<Part>,
    /// Where it stands.
    pub span: Span,
}

/// A part of a word.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Part {
    /// `$(( … ))` and `$[ … ]`.
    Arithmetic(Arithmetic),
    /// `(…)` behind `NAME=` as an argument of `declare` and its like: elements, each with its
    /// subscript, if it has one.
    Array(Vec<(Option<Arithmetic>, Word)>),
    /// `$( … )` and backquotes.
    Command(Script),
    /// `"…"`: never [`Part::Text`], never [`Part::Process`]. `$"…"` too.
    Double(Vec<Part>),
    /// `${…}` and `$NAME`.
    Parameter(Box<Parameter>),
    /// `<(…)` and `>(…)`.
    Process(Flow, Script),
    /// Text that nothing expands: `'…'`, `$'…'` decoded, `\x`.
    Quoted(Vec<u8>),
    /// Text that braces, a tilde and file name patterns (`*`, `?`, `[…]`, `@(…)`) work in.
    Text(Vec<u8>),
}

/// Which way a process substitution flows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Flow {
    /// `<(…)`: its output is read.
    Read,
    /// `>(…)`: it reads what is written.
    Write,
}

/// An arithmetic expression: text with expansions, as in double quotes. Names in the text are
/// variables whose values are expressions again.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Arithmetic {
    /// Its parts: [`Part::Quoted`] is the text.
    pub parts: Vec<Part>,
    /// Where it stands.
    pub span: Span,
}

/// An expansion of a parameter.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Parameter {
    /// A name, digits, or one of `@ * # ? - $ ! 0`.
    pub name: Vec<u8>,
    /// What stands in `[…]` behind the name; `@` and `*` are text.
    pub subscript: Option<Arithmetic>,
    /// `${!NAME}`: what it holds is a name.
    pub indirect: Indirect,
    /// What is done with the value.
    pub operation: ParameterOperation,
    /// Where it stands.
    pub span: Span,
}

/// Whether a parameter holds the name of another.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Indirect {
    /// It holds a value.
    Direct,
    /// It holds a name.
    Indirect,
}

/// What is done with the value of a parameter.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ParameterOperation {
    /// `${x}`.
    Value,
    /// `${#x}`.
    Length,
    /// `${x:-w}` `${x-w}`, `:=` `=`, `:?` `?`, `:+` `+`.
    Default {
        /// Which of the four.
        kind: DefaultKind,
        /// Whether an empty value counts as none (the colon).
        empty: EmptyCounts,
        /// The word.
        word: Word,
    },
    /// `${x#p}`, `##`, `%`, `%%`.
    Trim {
        /// The operator as written.
        operator: Vec<u8>,
        /// What is taken away.
        pattern: Word,
    },
    /// `${x:o}` and `${x:o:l}`.
    Substring {
        /// Where it starts.
        offset: Arithmetic,
        /// How much is taken.
        length: Option<Arithmetic>,
    },
    /// `${x/p/w}`, `//`, `/#`, `/%`.
    Replace {
        /// The operator as written.
        operator: Vec<u8>,
        /// What is replaced.
        pattern: Word,
        /// With what; empty if it is left out.
        with: Word,
    },
    /// `${x^p}`, `^^`, `,`, `,,`, `~`, `~~`.
    Case {
        /// The operator as written.
        operator: Vec<u8>,
        /// The letters it is about; empty for all.
        pattern: Word,
    },
    /// `${x@P}` and the like: the letter.
    Transform(u8),
    /// `${!x*}` and `${!x@}`: names that start so.
    NamesFrom,
    /// `${!x[@]}` and `${!x[*]}`: subscripts in use.
    Keys,
}

/// What a default is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum DefaultKind {
    /// `=`: assigned if there is none.
    Assign,
    /// `?`: shown, and the shell ends.
    Fail,
    /// `+`: used if there is one.
    Instead,
    /// `-`: used if there is none.
    Use,
}

/// Whether an empty value counts as none.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum EmptyCounts {
    /// It counts as none.
    AsNone,
    /// It is a value.
    AsValue,
}
