//! The flags of a catalog, by names.

use std::{fmt, str::Split};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};

use super::{format::Flag, placed::Placed};

/// Flags by their names; several names of one flag stand in one key, parted by spaces.
#[derive(Clone, Debug, Default)]
pub(crate) struct FlagTable {
    /// Sorted by key.
    flags: Vec<(String, Placed<Flag>)>,
    /// Every single name, sorted: none twice.
    names: Vec<Name>,
}

/// Where a single name stands: in the key of which flag, and where there.
#[derive(Clone, Copy, Debug)]
struct Name {
    flag: usize,
    start: usize,
    end: usize,
}

// === impl FlagTable ===

impl FlagTable {
    /// Returns every key with its flag.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Placed<Flag>)> {
        self.flags.iter().map(|(names, flag)| (names.as_str(), flag))
    }

    /// Returns every key.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> {
        self.flags.iter().map(|(names, _)| names.as_str())
    }

    /// Returns every flag.
    pub(crate) fn values(&self) -> impl Iterator<Item = &Flag> {
        self.flags.iter().map(|(_, flag)| flag.get_ref())
    }

    /// Returns the flag of a single name, and the name.
    pub(crate) fn named(&self, name: &str) -> Option<(&str, &Flag)> {
        let place = self.names.binary_search_by(|known| self.text(*known).cmp(name)).ok()?;
        let known = *self.names.get(place)?;
        let (_, flag) = self.flags.get(known.flag)?;
        Some((self.text(known), flag.get_ref()))
    }

    /// Returns every single name that starts so, sorted, with its flag.
    pub(crate) fn from<'t>(
        &'t self,
        start: &str,
    ) -> impl Iterator<Item = (&'t str, &'t Flag)> + use<'t> {
        let first = self.names.partition_point(|name| self.text(*name) < start);
        let names = self.names.get(first..).unwrap_or_default();
        let count = names.partition_point(|name| self.text(*name).starts_with(start));
        names.get(..count).unwrap_or_default().iter().filter_map(|name| {
            let (_, flag) = self.flags.get(name.flag)?;
            Some((self.text(*name), flag.get_ref()))
        })
    }

    fn text(&self, name: Name) -> &str {
        let key = self.flags.get(name.flag).map(|(names, _)| names.as_str());
        key.and_then(|names| names.get(name.start..name.end)).unwrap_or("")
    }
}

impl FromIterator<(String, Placed<Flag>)> for FlagTable {
    fn from_iter<I: IntoIterator<Item = (String, Placed<Flag>)>>(flags: I) -> Self {
        let mut flags: Vec<_> = flags.into_iter().collect();
        flags.sort_by(|(one, _), (other, _)| one.cmp(other));
        let mut names = Vec::with_capacity(flags.len() * 2);
        for (flag, (key, _)) in flags.iter().enumerate() {
            let mut start = 0;
            for name in single(key) {
                names.push(Name { flag, start, end: start + name.len() });
                start += name.len() + 1;
            }
        }
        let mut table = Self { flags, names };
        let mut names = std::mem::take(&mut table.names);
        // Of a name that stands twice, which `check` refuses, the last counts.
        names.sort_by(|one, other| {
            table.text(*one).cmp(table.text(*other)).then(other.flag.cmp(&one.flag))
        });
        names.dedup_by(|one, other| table.text(*one) == table.text(*other));
        table.names = names;
        table
    }
}

/// The single names of a key.
fn single(key: &str) -> Split<'_, char> {
    key.split(' ')
}

impl<'de> Deserialize<'de> for FlagTable {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = FlagTable;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table of flags")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<FlagTable, A::Error> {
        let mut flags = Vec::with_capacity(map.size_hint().unwrap_or(0));
        while let Some(entry) = map.next_entry()? {
            flags.push(entry);
        }
        Ok(flags.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_is_found_by_each_of_its_names_and_by_what_they_start_with() {
        let text = "'-a --all' = { why = 'all' }\n'--almost' = { why = 'almost' }\n-b = {}";
        let table: FlagTable = toml::from_str(text).unwrap();
        let why = |name: &str| table.named(name).map(|(name, flag)| (name, flag.why.as_str()));
        assert_eq!(why("-a"), Some(("-a", "all")));
        assert_eq!(why("--all"), Some(("--all", "all")));
        for name in ["", "-", "--al", "--all ", "-a --all", "-c", "all"] {
            assert!(why(name).is_none(), "{name}");
        }
        let from = |start| table.from(start).map(|(name, _)| name).collect::<Vec<_>>();
        assert_eq!(from("--al"), ["--all", "--almost"]);
        assert_eq!(from("--all"), ["--all"]);
        assert_eq!(from("--x"), [""; 0]);
        assert_eq!(from(""), ["--all", "--almost", "-a", "-b"]);
        assert_eq!(table.keys().collect::<Vec<_>>(), ["--almost", "-a --all", "-b"]);
    }
}
