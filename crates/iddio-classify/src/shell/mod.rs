//! Text for a shell: read, followed as far as it can be, and judged by every command it may run.
//!
//! The reader ([`read`]) is bounded in bytes and depth and never guesses: what is not bash's grammar
//! as documented is an error, and an error is break-glass. The walk follows variables, functions,
//! descriptors and directories; where it loses sight of a value it says so to the judges of
//! commands, who assume the worst of it.

pub mod ast;
pub mod syntax;
mod walk;

pub use iddio_core::operation::Span;

use self::syntax::read_both;
pub use self::syntax::{Dialect, read, read_as};
#[doc(hidden)]
pub use walk::{Cost, cost};
pub(crate) use walk::{judge_program, judge_text, line};

/// The most bytes of text that are read. No honest line comes near.
pub const TEXT_BYTES_MAX: usize = 64 * 1024;

/// The most levels of nesting: quotes, substitutions, compound commands together.
pub const DEPTH_MAX: usize = 64;

/// Why a text is not read.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("byte {}: {message}", at.start)]
pub struct SyntaxError {
    /// Where.
    pub at: Span,
    /// What is wrong.
    pub message: &'static str,
}
