//! The entries of `policies/paths.toml`, compiled once.

use std::{collections::BTreeMap, sync::LazyLock};

use iddio_core::tier::{Class, Tier};
use serde::{Deserialize, Deserializer, de::Error as _};

use super::subject::{Ends, Part, Subject};
use crate::catalog::{format::PathUse, packed};

/// One kind of path.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) what: String,
    pub(super) class: Class,
    /// No use of it counts.
    pub(super) harmless: bool,
    /// A tree in it may be removed like any other.
    pub(super) disposable: bool,
    at: Vec<Pattern>,
    except: Vec<Pattern>,
    read: Tier,
    write: Tier,
    append: Tier,
    attributes: Tier,
    remove: Tier,
    run: Tier,
}

/// A pattern of paths.
#[derive(Debug)]
struct Pattern {
    /// Whether it stands below any directory.
    anywhere: bool,
    parts: Vec<Part>,
    /// Whether all below it belong to it.
    tail: bool,
}

/// All entries, found by a name in the path.
#[derive(Debug)]
pub(super) struct Entries {
    all: Vec<Entry>,
    /// Patterns from the root.
    rooted: Index,
    /// Patterns that may stand below any directory.
    anywhere: Index,
    /// Those of hidden names among them.
    hidden: Vec<Place>,
}

/// Patterns by what they begin with.
#[derive(Debug, Default)]
struct Index {
    /// By their first name, where that is a literal.
    by_name: BTreeMap<Vec<u8>, Vec<Candidate>>,
    /// The others, with what is known of the ends of their first names.
    others: Vec<(Ends, Candidate)>,
}

/// A pattern that may cover a path.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    place: Place,
    /// What is known of the ends of its second name, if it has one.
    second: Option<Ends>,
}

/// Where a pattern stands: in which entry, and where there.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Place {
    entry: usize,
    pattern: usize,
}

/// Returns the entries; `None` if the catalog cannot be read, which a test rules out.
pub(super) fn entries() -> Option<&'static Entries> {
    ENTRIES.as_ref()
}

/// Reads a path catalog.
#[cfg(test)]
pub(super) fn read(source: &str) -> Result<Entries, toml::de::Error> {
    toml::from_str(source).map(compiled)
}

fn compiled(file: File) -> Entries {
    let all: Vec<_> = file.path.into_iter().map(Entry::of).collect();
    let (mut rooted, mut anywhere) = (Index::default(), Index::default());
    let mut hidden = Vec::new();
    for (entry, patterns) in all.iter().map(|entry| &entry.at).enumerate() {
        for (pattern, written) in patterns.iter().enumerate() {
            let place = Place { entry, pattern };
            let first = written.parts.first();
            let candidate = Candidate { place, second: written.parts.get(1).map(Part::ends) };
            let index = if written.anywhere { &mut anywhere } else { &mut rooted };
            match first.and_then(Part::literal) {
                Some(name) => index.by_name.entry(name.to_vec()).or_default().push(candidate),
                None => {
                    let ends = first.map_or(Ends::of(b""), Part::ends);
                    index.others.push((ends, candidate));
                }
            }
            if written.anywhere && first.is_some_and(Part::starts_hidden) {
                hidden.push(place);
            }
        }
    }
    Entries { all, rooted, anywhere, hidden }
}

// === impl Entries ===

impl Entries {
    /// Returns the entries that a use of a path may be one of, in their order, each with how.
    pub(super) fn covering(&self, subject: &Subject, usage: PathUse) -> Vec<(&Entry, How)> {
        let near = self.near(subject, usage);
        let entries = near.chunk_by(|one, other| one.entry == other.entry);
        let covering = entries.filter_map(|places| {
            let entry = self.all.get(places.first()?.entry)?;
            let patterns = places.iter().filter_map(|place| entry.at.get(place.pattern));
            Some((entry, entry.covers(patterns, subject, usage)?))
        });
        covering.collect()
    }

    /// The same, by trying every pattern.
    #[cfg(test)]
    pub(super) fn covering_slowly(&self, subject: &Subject, usage: PathUse) -> Vec<(&Entry, How)> {
        let covering = |entry: &Entry| entry.covers(entry.at.iter(), subject, usage);
        self.all.iter().filter_map(|entry| Some((entry, covering(entry)?))).collect()
    }

    /// Returns the patterns that may cover a path, sorted: the first name of each meets a name of
    /// the path. The exceptions are a root, which is above everything, and a tree that holds homes.
    fn near(&self, subject: &Subject, usage: PathUse) -> Vec<Place> {
        if subject.parts.is_empty() || subject.parts.iter().any(Part::is_endless) {
            let mut places: Vec<Place> = self.rooted.all().chain(self.anywhere.all()).collect();
            places.sort_unstable();
            return places;
        }
        let mut places = Vec::new();
        // Behind its last name a path goes on where only the run knows how, or for a tree.
        let ends = !subject.open && !takes_trees(usage);
        let mut rest = subject.parts.as_slice();
        while let [part, behind @ ..] = rest {
            let second = |candidate: &Candidate| match (candidate.second, behind.first()) {
                (None, _) => true,
                (Some(_), None) => !ends,
                (Some(second), Some(next)) => second.may_meet(next.ends()),
            };
            if subject.rooted && rest.len() == subject.parts.len() {
                self.rooted.add(part, second, &mut places);
            }
            self.anywhere.add(part, second, &mut places);
            rest = behind;
        }
        if takes_trees(usage) && subject.holds_homes() {
            places.extend(&self.hidden);
        }
        places.sort_unstable();
        places.dedup();
        places
    }
}

// === impl Index ===

impl Index {
    fn all(&self) -> impl Iterator<Item = Place> {
        let named = self.by_name.values().flatten();
        named.chain(self.others.iter().map(|(_, other)| other)).map(|candidate| candidate.place)
    }

    /// Adds the patterns whose first name meets a name of a path, and of which `second` holds.
    fn add(&self, part: &Part, second: impl Fn(&Candidate) -> bool, places: &mut Vec<Place>) {
        let ends = part.ends();
        let mut add = |candidate: &Candidate| {
            if second(candidate) {
                places.push(candidate.place);
            }
        };
        match part.literal() {
            Some(name) => self.by_name.get(name).into_iter().flatten().for_each(&mut add),
            None => {
                let named = self.by_name.iter();
                let named = named.filter(|(name, _)| Ends::of(name).may_meet(ends));
                named.flat_map(|(_, candidates)| candidates).for_each(&mut add);
            }
        }
        let others = self.others.iter().filter(|(others, _)| others.may_meet(ends));
        others.for_each(|(_, candidate)| add(candidate));
    }
}

// === impl Entry ===

impl Entry {
    fn of(written: Written) -> Self {
        let patterns = |texts: &[String]| texts.iter().map(|text| Pattern::of(text)).collect();
        let write = written.write;
        Self {
            at: patterns(&written.at),
            except: patterns(&written.except),
            name: written.name,
            what: written.what,
            class: written.class.unwrap_or(Class::Unknown),
            harmless: written.harmless,
            disposable: written.disposable,
            read: written.read,
            write,
            append: written.append.unwrap_or(write),
            attributes: written.attributes.unwrap_or(write),
            remove: written.remove.unwrap_or(write),
            run: written.run,
        }
    }

    /// Returns the tier of a use, of one of its paths or of what is above one.
    pub(super) fn tier(&self, usage: PathUse, how: How) -> Tier {
        match usage {
            // Another name for a directory gives all below it another name to be read by.
            PathUse::LinkTarget if how == How::Above => self.read,
            PathUse::Append => self.append,
            PathUse::Attributes | PathUse::AttributesTree => self.attributes,
            PathUse::Create | PathUse::LinkName | PathUse::Write | PathUse::WriteTree => self.write,
            PathUse::LinkTarget => self.read.join(self.write.min(Tier::Sensitive)),
            PathUse::List => match self.read {
                Tier::BreakGlass => Tier::Modify,
                _ => Tier::Observe,
            },
            PathUse::MoveFrom => self.remove.join(self.read),
            PathUse::Read | PathUse::ReadTree => self.read,
            PathUse::Remove | PathUse::RemoveTree => self.remove,
            PathUse::Run => self.run.join(self.read),
        }
    }

    /// Says whether a use of this path may be one of the entry's, by those of its patterns that may
    /// cover it.
    fn covers<'p>(
        &self,
        patterns: impl Iterator<Item = &'p Pattern>,
        subject: &Subject,
        usage: PathUse,
    ) -> Option<How> {
        let how =
            patterns.filter_map(|pattern| pattern.covers(subject, takes_trees(usage))).max()?;
        if self.except.iter().any(|pattern| pattern.covers(subject, false) == Some(How::Is)) {
            return None;
        }
        // What a path may hold or become is not held against every look at its directory, and
        // makes nothing harmless or disposable.
        let reads = matches!(usage, PathUse::Read | PathUse::ReadTree | PathUse::LinkTarget);
        let passes = self.harmless || self.disposable || reads && self.read == Tier::BreakGlass;
        (how == How::Is || !passes).then_some(how)
    }
}

/// How a path has to do with an entry.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum How {
    /// It holds one of its paths, or may be one of them for all that is known.
    Above,
    /// It is one of its paths.
    Is,
}

/// Whether a use takes in all that lies below.
fn takes_trees(usage: PathUse) -> bool {
    use PathUse::{AttributesTree, LinkTarget, MoveFrom, ReadTree, RemoveTree};
    matches!(usage, AttributesTree | LinkTarget | MoveFrom | ReadTree | RemoveTree)
}

// === impl Pattern ===

impl Pattern {
    fn of(text: &str) -> Self {
        let (anywhere, text) = match text.strip_prefix("**/") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (tail, text) = match text.strip_suffix("/**") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let names = text.split('/').filter(|name| !name.is_empty());
        let parts = names.map(|name| Part::of(name.as_bytes(), true)).collect();
        Self { anywhere, parts, tail }
    }

    /// Says whether it covers the path or, of a tree, something below it.
    fn covers(&self, subject: &Subject, tree: bool) -> Option<How> {
        if !self.anywhere {
            return subject.rooted.then(|| self.aligned(subject, 0, tree)).flatten();
        }
        let hidden = self.parts.first().is_some_and(Part::starts_hidden);
        if tree && hidden && subject.holds_homes() {
            return Some(How::Above);
        }
        (0..subject.parts.len()).filter_map(|start| self.aligned(subject, start, tree)).max()
    }

    fn aligned(&self, subject: &Subject, start: usize, tree: bool) -> Option<How> {
        let mut known = false;
        for (place, part) in self.parts.iter().enumerate() {
            let Some(named) = subject.parts.get(start + place) else {
                // More names may follow, or a tree holds them. Those that stand in any directory
                // are not all suspected.
                let above = (subject.open || tree) && (known || !self.anywhere);
                return above.then_some(How::Above);
            };
            if named.skips(part) || !part.meets(named) {
                return None;
            }
            let partial = subject.partial && subject.parts.len() == start + place + 1;
            if self.anywhere && !known && (partial || !named.suggests(part)) {
                return None;
            }
            known |= named.is_literal();
        }
        let whole = subject.parts.len() == start + self.parts.len();
        (whole || self.tail).then_some(How::Is)
    }
}

/// The file as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    path: Vec<Written>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: String,
    what: String,
    at: Vec<String>,
    #[serde(default)]
    except: Vec<String>,
    #[serde(default, deserialize_with = "class")]
    class: Option<Class>,
    #[serde(default)]
    harmless: bool,
    #[serde(default)]
    disposable: bool,
    #[serde(default = "nothing", deserialize_with = "tier")]
    read: Tier,
    #[serde(default = "nothing", deserialize_with = "tier")]
    write: Tier,
    #[serde(default, deserialize_with = "some_tier")]
    append: Option<Tier>,
    #[serde(default, deserialize_with = "some_tier")]
    attributes: Option<Tier>,
    #[serde(default, deserialize_with = "some_tier")]
    remove: Option<Tier>,
    #[serde(default = "nothing", deserialize_with = "tier")]
    run: Tier,
}

fn nothing() -> Tier {
    Tier::Observe
}

fn tier<'de, D: Deserializer<'de>>(from: D) -> Result<Tier, D::Error> {
    let number = u8::deserialize(from)?;
    Tier::from_number(number).ok_or_else(|| D::Error::custom(format!("`{number}` is no tier")))
}

fn some_tier<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Tier>, D::Error> {
    tier(from).map(Some)
}

fn class<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Class>, D::Error> {
    let name = String::deserialize(from)?;
    let class = Class::from_name(&name);
    class.map(Some).ok_or_else(|| D::Error::custom(format!("unknown class `{name}`")))
}

/// As `build.rs` packs them; a test holds them against the file.
static ENTRIES: LazyLock<Option<Entries>> = LazyLock::new(|| {
    packed::read(include_bytes!(concat!(env!("OUT_DIR"), "/paths.packed"))).map(compiled).ok()
});
