//! The table that people keep: `policies/catalog/aws-reviewed.toml`.
//!
//! INVARIANT: every pattern matches a command, so that what was renamed is noticed.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, bail};
use serde::Deserialize;

use super::table::Row;

/// What people decided.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Reviewed {
    /// Prefixes of permissions, by service.
    pub(crate) prefixes: BTreeMap<String, Vec<String>>,
    pub(crate) methods: Methods,
    /// Permissions, by operation.
    pub(crate) permissions: BTreeMap<String, Vec<String>>,
    vouch: Vec<Entry>,
    customisation: Vec<Entry>,
    raise: Vec<Entry>,
}

/// Services whose permissions are named after methods.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Methods {
    pub(crate) services: BTreeSet<String>,
}

/// A decision about some commands.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Entry {
    tier: u8,
    #[serde(default)]
    class: String,
    tag: String,
    /// For whoever reviews it next.
    why: String,
    operations: Vec<String>,
    #[serde(default)]
    except: Vec<String>,
    /// Whether it leaves reads alone.
    #[serde(default)]
    only: Option<Only>,
    /// Whether the command table lacks them: commands of version 2.
    #[serde(default)]
    absent: bool,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "kebab-case")]
enum Only {
    Writes,
}

// === impl Reviewed ===

impl Reviewed {
    /// Reads the table and checks it against the commands there are.
    pub(crate) fn parse(text: &str, paths: &BTreeSet<&str>) -> Result<Self> {
        let reviewed: Self = toml::from_str(text)?;
        let entries = reviewed.vouch.iter().chain(&reviewed.customisation).chain(&reviewed.raise);
        let mut stale = Vec::new();
        for entry in entries {
            entry.check()?;
            stale.extend(entry.stale(paths));
        }
        if !stale.is_empty() {
            bail!("the command table of the CLI says otherwise: {}", stale.join("; "));
        }
        for entry in reviewed.vouch.iter().chain(&reviewed.customisation) {
            let pattern = entry.operations.iter().find(|pattern| pattern.contains('*'));
            if let Some(pattern) = pattern {
                bail!("`{pattern}`: only what raises may be a pattern");
            }
        }
        Ok(reviewed)
    }

    /// Returns what somebody vouches for.
    pub(crate) fn vouched(&self, path: &str) -> Option<Row> {
        self.vouch.iter().find(|entry| entry.covers(path)).map(Entry::row)
    }

    /// Returns what somebody says about a command of the CLI's own.
    pub(crate) fn customisation(&self, path: &str) -> Option<Row> {
        self.customisation.iter().find(|entry| entry.covers(path)).map(Entry::row)
    }

    /// Returns the commands that the command table lacks.
    pub(crate) fn absent(&self) -> impl Iterator<Item = (&str, Row)> {
        let entries = self.customisation.iter().filter(|entry| entry.absent);
        entries.flat_map(|entry| entry.operations.iter().map(|path| (path.as_str(), entry.row())))
    }

    /// Returns `row` raised by everything that covers `path`.
    pub(crate) fn raised(&self, path: &str, mut row: Row) -> Row {
        let writes = 2 <= row.tier;
        for entry in self.raise.iter().filter(|entry| entry.covers(path)) {
            let applies = entry.only.is_none() || writes;
            if applies && row.tier < entry.tier {
                row = entry.row();
            }
        }
        row
    }
}

// === impl Entry ===

impl Entry {
    fn covers(&self, path: &str) -> bool {
        let any = |patterns: &[String]| patterns.iter().any(|pattern| covers(pattern, path));
        any(&self.operations) && !any(&self.except)
    }

    fn row(&self) -> Row {
        Row { tier: self.tier, class: self.class.clone(), tag: self.tag.clone() }
    }

    fn check(&self) -> Result<()> {
        let Self { tier, class, tag, why, operations, except, .. } = self;
        if 4 < *tier || (*tier == 4) == class.is_empty() || tag.is_empty() || why.is_empty() {
            bail!("`{tag}`: needs a tier from 0 to 4, a tag, a reason, and at tier 4 a class");
        }
        if let Some(pattern) = operations.iter().find(|pattern| except.contains(pattern)) {
            bail!("`{pattern}` ({tag}) is named and excepted");
        }
        Ok(())
    }

    /// Returns the patterns that match nothing, and the absent commands that are there.
    fn stale(&self, paths: &BTreeSet<&str>) -> impl Iterator<Item = String> {
        let there = |pattern: &str| paths.iter().any(|path| covers(pattern, path));
        let patterns = self.operations.iter().chain(&self.except);
        let stale = patterns.filter(move |pattern| there(pattern) == self.absent);
        let what = if self.absent { "is there" } else { "matches nothing" };
        stale.map(move |pattern| format!("`{pattern}` ({}) {what}", self.tag))
    }
}

/// Whether a pattern, in which `*` is any run of characters, covers `text`.
fn covers(pattern: &str, text: &str) -> bool {
    let Some((head, tail)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut rest) = text.strip_prefix(head) else { return false };
    let mut parts = tail.split('*').peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        let Some(place) = rest.find(part) else { return false };
        rest = rest.get(place + part.len()..).unwrap_or("");
    }
    true
}
