//! What making, changing or deleting each type of resource is worth: data, compiled in.
//!
//! The catalog is `policies/catalog/terraform-types.toml`. Entries only raise: the tier of a change
//! is the highest of all entries whose pattern matches, and of the floor for its action.

use std::sync::LazyLock;

use iddio_core::tier::{Class, Tier};
use serde::Deserialize;

use super::msgpack::{Truth, Value};

/// What a catalog entry tells apart.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(super) enum Change {
    /// The resource is made.
    Create,
    /// It is deleted.
    Delete,
    /// It is changed in place.
    Update,
}

/// What the catalog says of one change of one type.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Rating {
    pub(super) tier: Tier,
    pub(super) class: Option<Class>,
    /// The entry that decided; empty for the floor.
    pub(super) rule: String,
}

/// The catalog.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Catalog {
    version: u32,
    secrets: Vec<String>,
    #[serde(rename = "type")]
    entries: Vec<Entry>,
    exposure: Vec<Exposure>,
    #[cfg_attr(not(test), expect(dead_code, reason = "examples run as tests"))]
    example: Vec<Example>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    rule: String,
    patterns: Vec<String>,
    create: u8,
    update: u8,
    delete: u8,
    class: Option<String>,
}

/// A planned value that opens something to everybody.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Exposure {
    rule: String,
    patterns: Vec<String>,
    /// Member names; empty for any text anywhere in the value.
    members: Vec<String>,
    /// What the member is, as text: `true`, `false`, or a string it contains.
    contains: Vec<String>,
    tier: u8,
    class: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(not(test), expect(dead_code, reason = "examples run as tests"))]
struct Example {
    r#type: String,
    change: String,
    tier: u8,
}

// === impl Catalog ===

impl Catalog {
    /// Returns the catalog that is compiled in; absent only if it does not parse, and then
    /// everything is unknown.
    pub(super) fn compiled() -> Option<&'static Self> {
        static CATALOG: LazyLock<Option<Catalog>> = LazyLock::new(|| Catalog::parse(SOURCE).ok());
        CATALOG.as_ref()
    }

    fn parse(source: &str) -> Result<Self, String> {
        let catalog: Self = toml::from_str(source).map_err(|error| error.to_string())?;
        let entries = catalog.entries.iter().map(|entry| (&entry.rule, &entry.class));
        let exposures = catalog.exposure.iter().map(|entry| (&entry.rule, &entry.class));
        for (rule, class) in entries.chain(exposures) {
            if class.as_deref().is_some_and(|class| Class::from_name(class).is_none()) {
                return Err(format!("rule `{rule}` has an unknown class"));
            }
        }
        let numbers = catalog.entries.iter().flat_map(|e| [e.create, e.update, e.delete]);
        let mut numbers = numbers.chain(catalog.exposure.iter().map(|e| e.tier));
        match (catalog.version, numbers.all(|number| Tier::from_number(number).is_some())) {
            (1, true) => Ok(catalog),
            (1, false) => Err("a tier is not 0 to 4".to_owned()),
            (version, _) => Err(format!("version {version} is unknown")),
        }
    }

    /// Returns the highest tier any entry gives this change of this type.
    pub(super) fn rate(&self, kind: &str, change: Change) -> Rating {
        let mut rating = Rating { tier: floor(change), class: None, rule: String::new() };
        for entry in &self.entries {
            if !entry.patterns.iter().any(|pattern| matches(pattern, kind)) {
                continue;
            }
            let number = match change {
                Change::Create => entry.create,
                Change::Delete => entry.delete,
                Change::Update => entry.update,
            };
            let tier = Tier::from_number(number).unwrap_or(Tier::UNKNOWN);
            if tier > rating.tier || (tier == rating.tier && rating.rule.is_empty()) {
                let class = entry.class.as_deref().and_then(Class::from_name);
                rating = Rating { tier, class, rule: entry.rule.clone() };
            }
        }
        rating
    }

    /// Reports whether any entry knows this type.
    pub(super) fn knows(&self, kind: &str) -> Known {
        let mut patterns = self.entries.iter().flat_map(|entry| &entry.patterns);
        match patterns.any(|pattern| matches(pattern, kind)) {
            true => Known::Yes,
            false => Known::No,
        }
    }

    /// Reports whether reading this type of data source or ephemeral resource yields a secret.
    pub(super) fn reads_secret(&self, kind: &str) -> bool {
        self.secrets.iter().any(|pattern| matches(pattern, kind))
    }

    /// Returns what a planned value opens to everybody.
    pub(super) fn exposures(&self, kind: &str, value: &Value) -> Vec<Rating> {
        let mut found = Vec::new();
        for exposure in &self.exposure {
            let applies = exposure.patterns.iter().any(|pattern| matches(pattern, kind));
            if applies && exposure.fits(value, &exposure.members) {
                found.push(Rating {
                    tier: Tier::from_number(exposure.tier).unwrap_or(Tier::UNKNOWN),
                    class: exposure.class.as_deref().and_then(Class::from_name),
                    rule: exposure.rule.clone(),
                });
            }
        }
        found
    }
}

/// Whether the catalog has an entry for a type.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Known {
    No,
    Yes,
}

// === impl Exposure ===

impl Exposure {
    fn fits(&self, value: &Value, members: &[String]) -> bool {
        match value {
            Value::Map(map) => map.iter().any(|(name, value)| {
                let named = members.is_empty() || members.contains(name);
                self.fits(value, if named { &[] } else { members })
            }),
            Value::List(items) => items.iter().any(|item| self.fits(item, members)),
            _ if !members.is_empty() => false,
            Value::Text(text) => self.contains.iter().any(|part| text.contains(part.as_str())),
            Value::Boolean(Truth::True) => self.contains.iter().any(|part| part == "true"),
            Value::Boolean(Truth::False) => self.contains.iter().any(|part| part == "false"),
            _ => false,
        }
    }
}

/// What a change is at least: `apply` is a standard write, and any delete cannot be taken back.
fn floor(change: Change) -> Tier {
    match change {
        Change::Create | Change::Update => Tier::Modify,
        Change::Delete => Tier::Sensitive,
    }
}

/// Matches a name against a pattern in which `*` stands for any run of characters.
pub(super) fn matches(pattern: &str, name: &str) -> bool {
    let Some((head, tail)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut rest) = name.strip_prefix(head) else { return false };
    let parts: Vec<&str> = tail.split('*').collect();
    let Some((last, middle)) = parts.split_last() else { return true };
    for part in middle {
        let Some(at) = rest.find(part) else { return false };
        rest = rest.get(at.saturating_add(part.len())..).unwrap_or_default();
    }
    rest.ends_with(last)
}

const SOURCE: &str = include_str!("../../../../policies/catalog/terraform-types.toml");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_example_in_the_catalog_gets_the_tier_it_names() {
        let catalog = Catalog::parse(SOURCE).unwrap();
        assert!(catalog.example.len() > 40);
        for example in &catalog.example {
            let change = match example.change.as_str() {
                "create" => Change::Create,
                "update" => Change::Update,
                "delete" => Change::Delete,
                other => panic!("unknown change `{other}`"),
            };
            let rating = catalog.rate(&example.r#type, change);
            assert_eq!(rating.tier.number(), example.tier, "{} {change:?}", example.r#type);
        }
    }

    #[test]
    fn no_entry_is_below_the_floor_and_break_glass_names_its_class() {
        let catalog = Catalog::parse(SOURCE).unwrap();
        for entry in &catalog.entries {
            let rule = &entry.rule;
            assert!(entry.create >= 2 && entry.update >= 2 && entry.delete >= 3, "{rule}");
            let glass = [entry.create, entry.update, entry.delete].contains(&4);
            assert!(!glass || entry.class.is_some(), "{rule} names no class");
        }
    }

    #[test]
    fn a_star_stands_for_any_run() {
        let table = [
            ("aws_iam_*", "aws_iam_role", true),
            ("aws_iam_*", "aws_iam", false),
            ("google_*_iam_*", "google_project_iam_member", true),
            ("google_*_iam_*", "google_project_iamx", false),
            ("*_secret", "a_secret", true),
            ("*_secret", "a_secret_b", false),
            ("aws_s3_bucket", "aws_s3_bucket", true),
            ("aws_s3_bucket", "aws_s3_bucket_acl", false),
        ];
        for (pattern, name, expected) in table {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }
}
