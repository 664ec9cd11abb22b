//! Languages of programs that stand in arguments: `awk '{print $1}'`, `psql -c 'select 1'`.
//!
//! A catalog says in which language a value is ([`Language`]); [`judge`] answers what it does:
//! what was found in it, and the operations of programs that it runs in turn. What is not known
//! whole, or not understood, is break-glass. Readers know nothing of catalogs: files they name go
//! through [`crate::paths::judge`], commands through [`crate::command::line()`], text for a shell
//! through [`crate::shell::judge_text`].

mod awk;
mod client;
mod cursor;
mod ed;
mod effect;
mod find;
mod mysql;
mod postgres;
mod redis;
mod sed;
mod sql;
mod sql_names;
mod sql_scan;
#[cfg(test)]
mod tests;
pub(crate) mod url;

use iddio_core::{
    operation::Operation,
    tier::{Class, Tier},
};

use crate::{
    catalog::format::Language,
    command::{
        Found,
        line::{Judging, Term},
    },
};

/// What a program in an argument comes to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Findings {
    /// What raises the tier of the program that runs it. None: it only reads and prints.
    pub(crate) found: Vec<Found>,
    /// What it runs in turn, each decided under its own protocol.
    pub(crate) within: Vec<Operation>,
}

/// Judges a program in one of the small languages. `words` is one word for all of them but
/// [`Language::Find`] and [`Language::Redis`], whose programs are words.
///
/// [`Language::Argv`], [`Language::Shell`] and [`Language::Split`] never come here: the judge of
/// command lines follows them itself.
pub(crate) fn judge(language: Language, words: &[Term], judging: &Judging<'_>) -> Findings {
    let bytes: usize = words.iter().map(|word| word.text.as_bytes().len()).sum();
    if judging.afford(bytes / BYTES_PER_STEP).is_none() {
        return Findings::unread("a program longer than what may be read in all");
    }
    match language {
        Language::Awk => effect::judge(words, judging, awk::read),
        Language::Ed => effect::judge(words, judging, ed::read),
        Language::Find => find::judge(words, judging),
        Language::Mysql => mysql::judge(words, judging),
        Language::Postgres => postgres::judge(words, judging),
        Language::Redis => redis::judge(words),
        Language::Sqlite => mysql::sqlite(words, judging),
        Language::Sed => effect::judge(words, judging, sed::read),
        Language::Code | Language::Argv | Language::Shell | Language::Split => {
            Findings::unread("a program in a language that is not read here")
        }
    }
}

/// How many bytes of a program are read for one step of the walk over a text.
const BYTES_PER_STEP: usize = 4;

// === impl Findings ===

impl Findings {
    /// The answer for what is not understood.
    pub(crate) fn unread(text: &'static str) -> Self {
        let mut findings = Self::default();
        findings.add(Tier::UNKNOWN, Class::Unknown, "code:unread", text);
        findings
    }

    /// Adds a reason.
    pub(crate) fn add(&mut self, tier: Tier, class: Class, rule: &'static str, text: &'static str) {
        self.found.push(Found::new(tier, class, rule, text));
    }

    /// Adds what another program within it comes to.
    pub(crate) fn join(&mut self, other: Self) {
        self.found.extend(other.found);
        self.within.extend(other.within);
    }
}
