//! Policy files.
//!
//! [`load()`] reads a policy from YAML or TOML, strictly: an unknown key, protocol, verdict, tier or
//! class, a scope of another protocol, a bad glob or a duplicate name refuses the whole file, with
//! line, column and what was expected ([`Diagnostic`]). Both formats become one tree that one reader
//! reads, so a policy means the same in either.
//!
//! INVARIANTS: reading never panics and takes time and memory in proportion to the file; what is
//! not understood is refused, never skipped; a refused file changes nothing ([`LastGood`]).
//!
//! It does no IO: whoever has the bytes calls it. It decides nothing: that is
//! [`iddio_core::policy::engine`].

mod explain;
mod file;
mod limits;
mod lint;
mod load;
mod model;
mod reader;
mod rule;
mod runbook;
mod source;
mod starter;
mod table;
mod toml_tree;
mod tree;
mod yaml;

pub use explain::{Combination, Explanation, Found, OtherRule, RuleFound, Stands, explain};
pub use limits::FILE_BYTES_MAX;
pub use lint::{Finding, Level, Operator, Surroundings, lint};
pub use load::{Format, LastGood, PolicyError, Reload, load};
pub use model::{AgentPlaces, Destination, Inspected, Loaded, Places, RulePlaces, Trusted};
pub use source::{Diagnostic, Position};
pub use starter::default_policy;
pub use table::{CaseOutcome, CaseReport, Classify, Report, test};

/// Returns every key a policy file knows, at any level.
pub fn keys() -> impl Iterator<Item = &'static str> {
    file::KEYS.iter().chain(rule::KEYS).chain(runbook::KEYS).copied()
}
