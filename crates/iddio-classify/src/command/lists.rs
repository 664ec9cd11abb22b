//! Generated tables that catalogs refer to, searched where they lie.
//!
//! A table is text: one line an entry, sorted by its first field, fields parted by tabs. It is
//! never read as a whole: looking a command up among twenty thousand costs fifteen comparisons, and
//! starting the program costs nothing. `cargo xtask catalogs` writes them.

use iddio_core::tier::{Class, Tier};

/// What a table says about a command.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Operation {
    pub(crate) tier: Tier,
    pub(crate) class: Option<Class>,
    /// Why, for people.
    pub(crate) why: &'static str,
}

/// A command that writes a file, with all its options.
pub(crate) struct Outfile {
    pub(crate) path: &'static str,
    pub(crate) options: Vec<(&'static str, Behind)>,
    /// Whether its argument is the file.
    pub(crate) argument: Argument,
}

/// What stands behind an option.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Behind {
    /// The name of a file that is written.
    File,
    /// Any number of values.
    Many,
    /// Nothing.
    Nothing,
    /// One value.
    One,
}

/// What the argument of a command is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Argument {
    /// The name of a file that is written.
    File,
    /// There is none.
    None,
}

/// Whether a catalog may refer to a table of this name.
pub(crate) fn exists(table: &str) -> bool {
    text(table).is_some()
}

/// Returns what `table` says about the command `path`.
pub(crate) fn operation(table: &str, path: &str) -> Option<Operation> {
    let line = at_or_behind(text(table)?, path)?;
    let mut fields = line.split('\t');
    let (key, grade, tag) = (fields.next()?, fields.next()?, fields.next()?);
    let (tier, class) = grade.split_once(':').unwrap_or((grade, ""));
    let tier = Tier::from_number(tier.parse().ok()?)?;
    let why = TAGS.iter().find(|(known, _)| *known == tag).map_or(tag, |(_, why)| *why);
    (key == path).then_some(Operation { tier, class: Class::from_name(class), why })
}

/// Returns every command of `table` that writes a file.
pub(crate) fn outfiles(table: &str) -> impl Iterator<Item = Outfile> {
    let lines = text(table).unwrap_or("").lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| {
        let (path, rest) = line.split_once('\t')?;
        let mut argument = Argument::None;
        let mut options = Vec::new();
        for word in rest.split('\t') {
            let named = |mark| word.strip_suffix(mark);
            options.push(match (named('>'), named('*'), named('?')) {
                (Some(""), ..) => {
                    argument = Argument::File;
                    continue;
                }
                (Some(name), ..) => (name, Behind::File),
                (_, Some(name), _) => (name, Behind::Many),
                (.., Some(name)) => (name, Behind::Nothing),
                _ => (word, Behind::One),
            });
        }
        Some(Outfile { path, options, argument })
    })
}

/// Whether `table` holds `name`, or a name that starts with it.
pub(super) fn holds_or_extends(table: &str, name: &str) -> bool {
    let line = text(table).and_then(|text| at_or_behind(text, name));
    line.is_some_and(|known| known.starts_with(name))
}

/// Returns the first line whose first field is `key` or sorts behind it.
fn at_or_behind(text: &'static str, key: &str) -> Option<&'static str> {
    let bytes = text.as_bytes();
    let line_at = |start: usize| {
        let rest = bytes.get(start..)?;
        let length = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
        text.get(start..start + length)
    };
    // INVARIANT: both are starts of lines; what is before `low` sorts before the key, what is at
    // `high` or behind it does not.
    let (mut low, mut high) = (0, text.len());
    while low < high {
        let before = bytes.get(low..low.midpoint(high))?;
        let start = low + before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let line = line_at(start)?;
        if line.split('\t').next()? < key {
            low = start + line.len() + 1;
        } else {
            high = start;
        }
    }
    line_at(low).filter(|line| !line.is_empty())
}

/// Returns a table as it is.
pub(crate) fn text(table: &str) -> Option<&'static str> {
    match table {
        "aws-operations" => Some(include_str!("../../../../policies/catalog/aws-operations.txt")),
        "aws-outfiles" => Some(include_str!("../../../../policies/catalog/aws-outfiles.txt")),
        "aws-read-parameters" => {
            Some(include_str!("../../../../policies/catalog/aws-read-parameters.txt"))
        }
        _ => None,
    }
}

/// What the tags of a table mean. `docs/catalog-aws.md` says more.
const TAGS: [(&str, &str); 25] = [
    (
        "audit-off",
        "turns an audit trail or a detector off, narrows it, or destroys what it recorded",
    ),
    ("code", "runs a program elsewhere, or sets one up that will run"),
    ("credential", "makes, prints or changes a credential"),
    ("data", "takes content out or away"),
    ("delete", "deletes, takes a protection away, or cannot be undone"),
    ("destroy", "destroys what cannot be brought back"),
    ("export", "lets a store's content leave"),
    ("identity", "changes identities, keys, secrets or accounts"),
    ("key-loss", "destroys or locks a key, and with it all that it encrypts"),
    ("lasting", "makes a credential that lasts, or lets outsiders in for good"),
    ("list", "lists"),
    ("outfile", "writes its answer to a file"),
    ("permissions", "changes who may do what"),
    ("public", "opens, shares or exposes something, or may do so"),
    ("purchase", "spends money for good"),
    ("read", "reads"),
    ("secret", "its answer holds a credential, a secret or a signed address"),
    ("session", "opens a session on a machine or in a container, or runs programs there"),
    ("settings", "changes as whom and where later commands act, or makes them run a program"),
    ("tagging", "changes tags, which access may hang on"),
    ("unpublished", "a read by its name alone: AWS publishes no permission for it"),
    ("unreviewed", "a command of the CLI's own that nobody reviewed"),
    ("verb", "published as a read, but its name or its request says more"),
    ("wait", "asks until something has happened"),
    ("write", "an ordinary write"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_a_table_is_found_and_nothing_between_two() {
        let lines = text("aws-operations").unwrap().lines().filter(|line| !line.starts_with('#'));
        let paths: std::collections::BTreeSet<_> =
            lines.clone().map(|line| line.split('\t').next().unwrap()).collect();
        let mut last = "";
        for line in lines {
            let path = line.split('\t').next().unwrap();
            assert!(last < path, "`{path}` is out of order");
            last = path;
            assert!(operation("aws-operations", path).is_some(), "`{path}` is not found");
            let (longer, shorter) = (format!("{path}x"), &path[..path.len() - 1]);
            for other in [longer.as_str(), shorter] {
                let found = operation("aws-operations", other).is_some();
                assert_eq!(found, paths.contains(other), "`{other}`");
            }
        }
        for path in ["", "#", "# Every", "zzz zzz", "\n", "\t"] {
            assert_eq!(operation("aws-operations", path), None, "`{path}`");
        }
    }

    #[test]
    fn every_tag_is_explained_and_every_explained_tag_is_used() {
        let text = text("aws-operations").unwrap();
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let used: std::collections::BTreeSet<_> =
            lines.map(|line| line.rsplit('\t').next().unwrap()).collect();
        for tag in &used {
            assert!(TAGS.iter().any(|(known, _)| known == tag), "`{tag}` is not explained");
        }
        for (tag, _) in TAGS {
            // No command is unreviewed today; one of a later version of the CLI will be.
            assert!(used.contains(tag) || tag == "unreviewed", "`{tag}` is not used");
        }
    }

    #[test]
    fn an_operation_at_tier_4_has_a_class_and_no_other_has() {
        let text = text("aws-operations").unwrap();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let found = operation("aws-operations", line.split('\t').next().unwrap()).unwrap();
            assert_eq!(found.tier == Tier::BreakGlass, found.class.is_some(), "{line}");
        }
    }
}
