//! The reader: bytes become a tree, or an error says why not.
//!
//! - Size and characters are checked before anything else ([`check`]); depth is counted at every
//!   kind of nesting ([`Shared::depth`]), so that neither the reader nor what walks its tree can run
//!   out of stack.
//! - Every byte is read once, but for backquotes (whose text is unescaped and read again, one level
//!   of depth each) and for `((`, which may turn out to be two subshells ([`REREADS_MAX`]).
//! - INVARIANT: whatever command a shell finds in the text is in the tree. Where shells or their
//!   versions disagree about where a word ends, the text is refused.
//! - [`Dialect::Posix`] reads what a plain `sh` would: `[[`, `function`, `$'…'` and the like mean
//!   nothing there, and other commands may appear.
//!
//! Nothing is expanded and nothing is judged here.

mod arithmetic;
mod assignment;
mod check;
mod compound;
mod cursor;
mod documents;
mod dollar;
mod parameter;
mod quotes;
mod redirect;
mod script;
mod test;
mod word;

use std::cell::Cell;

use super::{
    DEPTH_MAX, Span, SyntaxError, TEXT_BYTES_MAX,
    ast::{Script, Word},
};

/// Which shell a text is read as.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Dialect {
    /// bash.
    Bash,
    /// A shell that knows nothing beyond POSIX, such as dash.
    Posix,
}

/// Reads a text as bash does.
///
/// # Errors
///
/// The text is too long, too deep, holds what hides or reorders, or is not bash's grammar as far as
/// it can be judged.
pub fn read(text: &[u8]) -> Result<Script, SyntaxError> {
    read_as(text, Dialect::Bash)
}

/// Reads a text as a shell of `dialect` does.
///
/// # Errors
///
/// As [`read`].
pub fn read_as(text: &[u8], dialect: Dialect) -> Result<Script, SyntaxError> {
    reading(text, dialect).map(|(script, _)| script)
}

/// Reads a text as bash does and, where a plain `sh` reads another program, as that does.
///
/// # Errors
///
/// As [`read`]; what a plain `sh` cannot read it does not run.
pub(crate) fn read_both(text: &[u8]) -> Result<(Script, Option<Script>), SyntaxError> {
    let (script, dialects) = reading(text, Dialect::Bash)?;
    let other = match dialects {
        Dialects::Agree => None,
        Dialects::MayDiffer => read_as(text, Dialect::Posix).ok(),
    };
    let other = other.filter(|other| *other != script);
    Ok((script, other))
}

fn reading(text: &[u8], dialect: Dialect) -> Result<(Script, Dialects), SyntaxError> {
    check::text(text)?;
    let differs = Cell::new(Dialects::Agree);
    let mut shared = Shared { depth: 0, rereads: 0, bodies: Vec::new(), dialect, differs };
    let mut reader = Reader::new(Source { text, origins: None }, 0, &mut shared);
    let mut script = reader.whole()?;
    if !shared.bodies.is_empty() {
        documents::attach(&mut script, &mut shared.bodies);
    }
    Ok((script, shared.differs.get()))
}

/// What is read: bytes, and where they come from if they were unescaped.
#[derive(Clone, Copy)]
struct Source<'t> {
    text: &'t [u8],
    /// For each byte its place in the whole text; `None` if it is its own index.
    origins: Option<&'t [u32]>,
}

/// A reader of one source: the text, what stands in backquotes, a here-document's body.
struct Reader<'t, 's> {
    source: Source<'t>,
    /// The next byte.
    pos: usize,
    /// Behind the last byte taken, line continuations left out.
    end: usize,
    /// Here-documents whose bodies have not begun.
    pending: Vec<documents::Pending>,
    /// How many of them belong to what surrounds the substitution being read.
    waiting: usize,
    shared: &'s mut Shared,
}

/// What the readers of all sources of a text share.
struct Shared {
    depth: usize,
    rereads: usize,
    /// Bodies of here-documents, by the number that their redirections hold in the meantime.
    bodies: Vec<Option<Word>>,
    dialect: Dialect,
    differs: Cell<Dialects>,
}

/// Whether the reading depends on the dialect.
#[derive(Clone, Copy)]
enum Dialects {
    /// Nothing in the text makes the reader ask which one it is.
    Agree,
    /// Something does.
    MayDiffer,
}

/// What surrounds an expansion, as far as quoting goes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Quoting {
    /// Double quotes.
    Double,
    /// A here-document's body.
    Here,
    /// Nothing.
    None,
}

/// How often `((` and `$((` of one text may turn out not to be arithmetic. No honest text does it
/// twice; each time what follows is read again.
const REREADS_MAX: usize = 8;
