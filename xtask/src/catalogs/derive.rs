//! The tier of an operation, from what AWS publishes and what people reviewed.
//!
//! INVARIANT: an operation is an observation only if every published access level is a read, its
//! name begins like a read, its request is none that deletes, and its answer holds nothing that
//! the model calls sensitive and that is named like a credential; or if somebody vouches for it by
//! its exact name. Of several answers the greatest wins.

use std::collections::BTreeSet;

use super::{
    facts::{Api, Arity, Fact, Facts, Kind},
    reviewed::Reviewed,
    table::{Row, Table},
};

/// An access level, from the most harmless to the least.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Level {
    List,
    Read,
    Tagging,
    Write,
    Permissions,
}

/// What the first word of an operation's name says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Verb {
    Delete,
    Other,
    Purchase,
    Read,
}

/// Returns the tier of every command.
pub(crate) fn table(facts: &Facts, reviewed: &Reviewed) -> Table {
    let mut table = Table::default();
    for fact in &facts.commands {
        table.rows.insert(fact.path.clone(), row(fact, facts, reviewed));
    }
    for (path, row) in reviewed.absent() {
        table.rows.insert(path.to_owned(), row);
    }
    table
}

fn row(fact: &Fact, facts: &Facts, reviewed: &Reviewed) -> Row {
    let path = fact.path.as_str();
    let own = match (fact.kind, &fact.api) {
        (Kind::Waiter, _) => Row::new(0, "wait"),
        (Kind::Operation, Some(api)) => reviewed
            .vouched(path)
            .unwrap_or_else(|| operation(path, api, &levels(path, api, facts, reviewed))),
        (Kind::Operation | Kind::Customisation, _) => {
            reviewed.customisation(path).unwrap_or_else(|| Row::new(3, "unreviewed"))
        }
    };
    let writes_a_file =
        fact.arguments.values().any(|arity| matches!(arity, Arity::File | Arity::PlaceFile));
    let own = if writes_a_file && own.tier < 2 { Row::new(2, "outfile") } else { own };
    reviewed.raised(path, own)
}

/// Returns what every source says of the permissions that an operation needs.
fn levels(path: &str, api: &Api, facts: &Facts, reviewed: &Reviewed) -> BTreeSet<Level> {
    let service = path.split(' ').next().unwrap_or("");
    let by_method = reviewed.methods.services.contains(service);
    let permissions = reviewed.permissions.get(&format!("{service} {}", api.operation));
    let wanted: Vec<(&str, String)> = match permissions {
        Some(named) => named
            .iter()
            .filter_map(|name| name.split_once(':'))
            .map(|(prefix, name)| (prefix, name.to_lowercase()))
            .collect(),
        None => {
            let others = reviewed.prefixes.get(service).into_iter().flatten();
            let name = api.operation.to_lowercase();
            let prefixes = api.prefixes.iter().chain(others);
            let mut wanted: Vec<_> =
                prefixes.clone().map(|prefix| (prefix.as_str(), name.clone())).collect();
            if by_method {
                let method = api.method.to_lowercase();
                wanted.extend(prefixes.map(|prefix| (prefix.as_str(), method.clone())));
            }
            wanted
        }
    };
    let sources = facts.levels.iter();
    sources
        .flat_map(|source| {
            wanted.iter().filter_map(|(prefix, name)| source.get(*prefix)?.get(name))
        })
        .map(|level| Level::read(level))
        .collect()
}

fn operation(path: &str, api: &Api, levels: &BTreeSet<Level>) -> Row {
    let verb = Verb::of(path.split(' ').nth(1).unwrap_or(""));
    let removes = matches!(api.method.as_str(), "DELETE" | "PATCH" | "PUT");
    let published = match (levels.last(), verb) {
        (None, Verb::Read) => Row::new(2, "unpublished"),
        (None, _) => Row::new(2, "write"),
        (Some(Level::List | Level::Read), Verb::Read) if removes => Row::new(2, "verb"),
        (Some(Level::List), Verb::Read) => Row::new(0, "list"),
        (Some(Level::Read), Verb::Read) => Row::new(0, "read"),
        (Some(Level::List | Level::Read), _) => Row::new(2, "verb"),
        (Some(Level::Tagging), _) => Row::new(2, "tagging"),
        (Some(Level::Write), _) => Row::new(2, "write"),
        (Some(Level::Permissions), _) => Row::new(3, "permissions"),
    };
    let tags = published.tag == "tagging" && !path.contains(" delete-");
    if verb == Verb::Delete && !tags {
        published.or(Row::new(3, "delete"))
    } else if verb == Verb::Purchase {
        published.or(Row::new(3, "purchase"))
    } else if verb == Verb::Read && answers_a_credential(api) {
        published.or(Row::new(3, "secret"))
    } else {
        published
    }
}

/// Whether the model says so: a sensitive member named like one, or a signed address. A write mostly
/// repeats what it was given.
fn answers_a_credential(api: &Api) -> bool {
    let plain = |name: &&String| name.ends_with("Config") || name.ends_with("At");
    api.sensitive.iter().any(|name| is_credential(name))
        || api.signed.iter().any(|name| !plain(&name))
}

/// Whether a sensitive member is a credential by its name, and not a person's address or the name
/// of a key.
fn is_credential(name: &str) -> bool {
    let name = name.to_lowercase();
    let named = SECRETS.iter().any(|word| name.contains(word));
    let harmless = HARMLESS.iter().any(|word| name.contains(word));
    named && !harmless
}

// === impl Level ===

impl Level {
    /// Reads one as the sources spell it: `Tagging, Write`. What is unknown counts as the worst.
    fn read(text: &str) -> Self {
        let has = |word: &str| text.split(", ").any(|part| part == word);
        match text {
            "List" => Self::List,
            "Read" => Self::Read,
            _ if has("Permissions management") => Self::Permissions,
            _ if has("Tagging") => Self::Tagging,
            "Write" => Self::Write,
            _ => Self::Permissions,
        }
    }
}

// === impl Verb ===

impl Verb {
    fn of(operation: &str) -> Self {
        let name = operation.strip_prefix("batch-").unwrap_or(operation);
        let first = name.split('-').next().unwrap_or(name);
        match first {
            _ if READS.contains(&first) => Self::Read,
            _ if DELETES.contains(&first) => Self::Delete,
            "purchase" => Self::Purchase,
            _ => Self::Other,
        }
    }
}

/// First words of reads. That AWS publishes a read as well is the other half.
const READS: [&str; 33] = [
    "analyze",
    "autocomplete",
    "calculate",
    "check",
    "classify",
    "compare",
    "contains",
    "count",
    "describe",
    "detect",
    "estimate",
    "evaluate",
    "filter",
    "geocode",
    "get",
    "head",
    "infer",
    "is",
    "list",
    "lookup",
    "predict",
    "preview",
    "recognize",
    "resolve",
    "retrieve",
    "reverse",
    "scan",
    "search",
    "simulate",
    "suggest",
    "validate",
    "verify",
    "view",
];

/// First words of what deletes or takes a protection away.
const DELETES: [&str; 11] = [
    "delete",
    "deregister",
    "destroy",
    "disable",
    "erase",
    "purge",
    "release",
    "remove",
    "reset",
    "revoke",
    "terminate",
];

/// Parts of names of credentials.
const SECRETS: [&str; 15] = [
    "accesskey",
    "activationkey",
    "apikey",
    "authenticationmaterial",
    "credential",
    "devicespecifickey",
    "password",
    "presharedkey",
    "privatekey",
    "secret",
    "streamkey",
    "accesstoken",
    "authtoken",
    "jointoken",
    "securitytoken",
];

/// Parts of names that hold such a word and are none.
const HARMLESS: [&str; 2] = ["arn", "secretid"];
