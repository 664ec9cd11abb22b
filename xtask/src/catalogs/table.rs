//! The generated tables: their lines, and what changed between two of them.

use std::{collections::BTreeMap, fmt::Write as _};

use super::facts::{Arity, Facts};

/// Every command with its tier.
#[derive(Debug, Default, Eq, PartialEq)]
pub(crate) struct Table {
    pub(crate) rows: BTreeMap<String, Row>,
}

/// What is known of one command.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Row {
    pub(crate) tier: u8,
    /// Empty below tier 4.
    pub(crate) class: String,
    pub(crate) tag: String,
}

// === impl Row ===

impl Row {
    pub(crate) fn new(tier: u8, tag: &str) -> Self {
        Self { tier, class: String::new(), tag: tag.to_owned() }
    }

    /// Returns the one of the greater tier; of two alike the more telling, which is `other`.
    pub(crate) fn or(self, other: Self) -> Self {
        if self.tier <= other.tier { other } else { self }
    }

    fn words(&self) -> String {
        let Self { tier, class, tag } = self;
        let colon = if class.is_empty() { "" } else { ":" };
        format!("{tier}{colon}{class}\t{tag}")
    }
}

// === impl Table ===

impl Table {
    /// Returns the file, sorted by command.
    pub(crate) fn render(&self, facts: &Facts) -> String {
        let mut text = header("Every command of the AWS CLI: its tier, and why.", facts);
        for (path, row) in &self.rows {
            let _ = writeln!(text, "{path}\t{}", row.words());
        }
        text
    }

    /// Reads a file that [`Self::render`] wrote. A line that is none is left out.
    pub(crate) fn read(text: &str) -> Self {
        let rows = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
            let mut fields = line.split('\t');
            let (path, grade, tag) = (fields.next()?, fields.next()?, fields.next()?);
            let (tier, class) = grade.split_once(':').unwrap_or((grade, ""));
            let (class, tag) = (class.to_owned(), tag.to_owned());
            Some((path.to_owned(), Row { tier: tier.parse().ok()?, class, tag }))
        });
        Self { rows: rows.collect() }
    }

    /// Says what `self` changes of `old`, for people: what lowers a tier first.
    pub(crate) fn changes(&self, old: &Self) -> String {
        let mut groups = [const { Vec::new() }; 5];
        for (path, row) in &self.rows {
            let (place, line) = match old.rows.get(path) {
                None => (3, format!("{path}: {}", row.words())),
                Some(was) if was == row => continue,
                Some(was) => {
                    let place = match was.tier.cmp(&row.tier) {
                        std::cmp::Ordering::Greater => 0,
                        std::cmp::Ordering::Less => 1,
                        std::cmp::Ordering::Equal => 2,
                    };
                    (place, format!("{path}: {} was {}", row.words(), was.words()))
                }
            };
            if let Some(group) = groups.get_mut(place) {
                group.push(line.replace('\t', " "));
            }
        }
        let gone = old.rows.keys().filter(|path| !self.rows.contains_key(*path));
        let [lowered, raised, otherwise, added, removed] = &mut groups;
        removed.extend(gone.cloned());
        let titles = ["lowered", "raised", "for another reason", "added", "removed"];
        let lists: [&Vec<String>; 5] = [lowered, raised, otherwise, added, removed];
        let mut text = String::new();
        for (title, lines) in titles.into_iter().zip(lists) {
            if !lines.is_empty() {
                let _ = writeln!(text, "{title}: {}", lines.len());
            }
            for line in lines.iter().take(SHOWN_MAX) {
                let _ = writeln!(text, "  {line}");
            }
            if SHOWN_MAX < lines.len() {
                let _ = writeln!(text, "  and {} more", lines.len() - SHOWN_MAX);
            }
        }
        text
    }

    /// Counts the commands of each tier.
    pub(crate) fn by_tier(&self) -> [usize; 5] {
        let mut count = [0; 5];
        for row in self.rows.values() {
            if let Some(count) = count.get_mut(usize::from(row.tier)) {
                *count += 1;
            }
        }
        count
    }
}

/// Returns the commands that write a file, with all their options: only who knows every option
/// knows which word is the file.
pub(crate) fn outfiles(facts: &Facts) -> String {
    let mut text = header(
        "Commands of the AWS CLI that write a file, with their options. Behind a name: nothing, one\n\
         # value; `*`, several; `?`, none; `>`, a file that is written. `>` alone: the argument is one.",
        facts,
    );
    for fact in &facts.commands {
        let arguments = &fact.arguments;
        let writes =
            arguments.values().any(|arity| matches!(arity, Arity::File | Arity::PlaceFile));
        if !writes || fact.api.is_none() {
            continue;
        }
        text.push_str(&fact.path);
        for (name, arity) in arguments {
            let _ = match arity {
                Arity::File => write!(text, "\t{name}>"),
                Arity::Many => write!(text, "\t{name}*"),
                Arity::One | Arity::Place => write!(text, "\t{name}"),
                Arity::PlaceFile => write!(text, "\t>"),
                Arity::Switch => write!(text, "\t{name}?"),
            };
        }
        text.push('\n');
    }
    text
}

/// Returns the options that observations take.
pub(crate) fn parameters(facts: &Facts, table: &Table) -> String {
    let mut text = header("Every option of the AWS CLI's observations.", facts);
    let observes = |path: &str| table.rows.get(path).is_some_and(|row| row.tier == 0);
    let mut names: Vec<_> = facts
        .commands
        .iter()
        .filter(|fact| observes(&fact.path))
        .flat_map(|fact| fact.arguments.keys())
        .collect();
    names.sort();
    names.dedup();
    for name in names {
        text.push_str(name);
        text.push('\n');
    }
    text
}

fn header(title: &str, facts: &Facts) -> String {
    let from: Vec<_> =
        facts.versions.iter().map(|(name, version)| format!("{name} {version}")).collect();
    format!(
        "# {title}\n# Written by `cargo xtask catalogs` from {}. Change aws-reviewed.toml instead.\n",
        from.join(", ")
    )
}

/// The most lines shown of one kind of change; the file's own diff has all.
const SHOWN_MAX: usize = 40;
