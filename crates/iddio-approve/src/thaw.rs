//! What an operator signs to lift a freeze.
//!
//! ```text
//! iddio-thaw/v1
//! freeze: 0f3c… (32 digits)
//! whom: agent claude-code
//! operator: human:ada
//! ```
//!
//! A freeze has 128 random bits of its own, so a signature lifts one freeze, once, and no later one
//! of the same agent. The namespace is `iddio-thaw`: a signature over a grant lifts nothing, and one
//! over a thaw grants nothing.

use std::fmt;

use iddio_core::{freeze::Freeze, principal::PrincipalId};

/// What is signed.
#[derive(Clone, Copy, Debug)]
pub struct ThawStatement<'a> {
    /// Which freeze.
    pub freeze: &'a Freeze,
    /// Who lifts it.
    pub operator: &'a PrincipalId,
}

/// The namespace of signatures over these statements.
pub const NAMESPACE: &str = "iddio-thaw";

/// Writes the text that is signed.
impl fmt::Display for ThawStatement<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { freeze, operator } = self;
        writeln!(f, "{HEADER}")?;
        writeln!(f, "freeze: {}", freeze.id)?;
        writeln!(f, "whom: {}", freeze.whom)?;
        writeln!(f, "operator: {operator}")
    }
}

/// The first line. A later format has another number.
const HEADER: &str = "iddio-thaw/v1";
