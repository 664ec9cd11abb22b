//! Text as far as it is known before anything runs.
//!
//! What a variable holds or a command prints is a row of chunks: bytes that are known, and stretches
//! that are not. INVARIANT: joining and cutting only ever lose knowledge.

use super::glob;
use crate::command::line::{Minus, Stretch};

/// A text.
#[derive(Clone, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Text(pub(super) Vec<Chunk>);

/// A stretch of a text.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Chunk {
    /// These bytes.
    Bytes(Vec<u8>),
    /// The name of a file that this pattern covers.
    Names(Vec<u8>),
    /// A name without white space, as somebody sets it: a user, a host.
    Plain,
    /// Letters that [`crate::command::line::is_tame`] takes, one at least: a count, a process id, a
    /// day. None of it means anything to a shell.
    Tame(Minus),
    /// Anything.
    Unknown(Origin),
}

/// Where something unknown comes from.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Origin {
    /// What a command writes, or a file holds.
    Made,
    /// The arguments the shell was started with, or whoever types.
    Outside,
    /// A variable that the text does not set: only who starts the shell could have.
    Environment,
}

// === impl Text ===

impl Text {
    /// Takes bytes that are known.
    pub(super) fn known(bytes: impl Into<Vec<u8>>) -> Self {
        let bytes = bytes.into();
        if bytes.is_empty() { Self::default() } else { Self(vec![Chunk::Bytes(bytes)]) }
    }

    /// Takes anything.
    pub(super) fn unknown(origin: Origin) -> Self {
        Self(vec![Chunk::Unknown(origin)])
    }

    /// Takes a plain name.
    pub(super) fn plain() -> Self {
        Self(vec![Chunk::Plain])
    }

    /// Takes a count, an id, a day.
    pub(super) fn tame() -> Self {
        Self(vec![Chunk::Tame(Minus::Never)])
    }

    /// The same, of a number that may be less than nothing.
    pub(super) fn number() -> Self {
        Self(vec![Chunk::Tame(Minus::Maybe)])
    }

    /// Returns what it is made of, if another shell may read it again.
    pub(super) fn stretches(&self) -> Option<Vec<Stretch>> {
        let stretch = |chunk: &Chunk| match chunk {
            Chunk::Bytes(bytes) => Some(Stretch::Bytes(bytes.clone())),
            Chunk::Tame(minus) => Some(Stretch::Tame(*minus)),
            Chunk::Names(_) | Chunk::Plain | Chunk::Unknown(_) => None,
        };
        self.0.iter().map(stretch).collect()
    }

    /// Returns the bytes, if all are known.
    pub(super) fn as_bytes(&self) -> Option<&[u8]> {
        match self.0.as_slice() {
            [] => Some(b""),
            [Chunk::Bytes(bytes)] => Some(bytes),
            _ => None,
        }
    }

    /// Adds a stretch at the end.
    pub(super) fn push(&mut self, chunk: Chunk) {
        match (self.0.last_mut(), chunk) {
            (_, Chunk::Bytes(bytes)) if bytes.is_empty() => {}
            (Some(Chunk::Bytes(present)), Chunk::Bytes(bytes)) => present.extend(bytes),
            (Some(Chunk::Unknown(present)), Chunk::Unknown(origin)) => {
                *present = (*present).min(origin);
            }
            (_, chunk) => self.0.push(chunk),
        }
        if CHUNKS_MAX < self.0.len() {
            *self = Self::unknown(Origin::Made);
        }
    }

    /// Adds a text at the end.
    pub(super) fn extend(&mut self, other: Self) {
        for chunk in other.0 {
            self.push(chunk);
        }
    }

    /// Returns how many bytes are known.
    pub(super) fn len(&self) -> usize {
        let count = |chunk: &Chunk| match chunk {
            Chunk::Bytes(bytes) | Chunk::Names(bytes) => bytes.len(),
            Chunk::Plain | Chunk::Tame(_) | Chunk::Unknown(_) => 1,
        };
        self.0.iter().map(count).sum()
    }

    /// Takes the line ends off the end, as a substitution does.
    pub(super) fn without_line_ends(mut self) -> Self {
        while let Some(Chunk::Bytes(bytes)) = self.0.last_mut() {
            while bytes.last() == Some(&b'\n') {
                bytes.pop();
            }
            if !bytes.is_empty() {
                break;
            }
            self.0.pop();
        }
        self
    }

    /// Returns the worst origin of what is not known, if anything is not.
    pub(super) fn origin(&self) -> Option<Origin> {
        let unknown = |chunk: &Chunk| match chunk {
            Chunk::Unknown(origin) => Some(*origin),
            Chunk::Names(_) => Some(Origin::Made),
            Chunk::Bytes(_) | Chunk::Plain | Chunk::Tame(_) => None,
        };
        self.0.iter().filter_map(unknown).min()
    }

    /// Returns what is shown for it.
    pub(super) fn shown(&self) -> Vec<u8> {
        let mut shown = Vec::new();
        for chunk in &self.0 {
            match chunk {
                Chunk::Bytes(bytes) | Chunk::Names(bytes) => shown.extend_from_slice(bytes),
                Chunk::Plain | Chunk::Tame(_) | Chunk::Unknown(_) => {
                    shown.extend_from_slice(ELLIPSIS)
                }
            }
        }
        shown
    }

    /// Returns it as a file name pattern: known bytes stand for themselves.
    pub(super) fn as_pattern(&self) -> Option<Vec<u8>> {
        let mut pattern = Vec::new();
        for chunk in &self.0 {
            match chunk {
                Chunk::Bytes(bytes) => pattern.extend(glob::escaped(bytes)),
                Chunk::Names(names) => pattern.extend_from_slice(names),
                Chunk::Plain | Chunk::Tame(_) | Chunk::Unknown(_) => return None,
            }
        }
        Some(pattern)
    }
}

/// Joins every text of one list with every text of another, in order; too many are anything.
pub(super) fn concatenated<T: Clone>(
    mut left: Vec<Vec<T>>,
    mut right: Vec<Vec<T>>,
    unknown: impl Fn() -> T,
) -> Vec<Vec<T>> {
    match (left.as_mut_slice(), right.as_mut_slice()) {
        ([one], [other]) => {
            one.append(other);
            return left;
        }
        (_, [only]) => {
            for item in &mut left {
                item.extend(only.iter().cloned());
            }
            return left;
        }
        _ => {}
    }
    if ALTERNATIVES_MAX < left.len().saturating_mul(right.len()) {
        return vec![vec![unknown()]];
    }
    let mut all = Vec::new();
    for one in &left {
        for other in &right {
            all.push(one.iter().chain(other).cloned().collect());
        }
    }
    all
}

/// Drops doubles; too many are anything.
pub(super) fn settled(mut texts: Vec<Text>) -> Vec<Text> {
    texts.sort();
    texts.dedup();
    if ALTERNATIVES_MAX < texts.len() {
        return vec![any_of(&texts)];
    }
    texts
}

/// Returns bytes in single quotes, so that a shell reads them as they are.
pub(super) fn quoted(bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![b'\''];
    for byte in bytes {
        match byte {
            b'\'' => out.extend_from_slice(b"'\\''"),
            byte => out.push(*byte),
        }
    }
    out.push(b'\'');
    out
}

/// Returns a text that stands for each of several, and more like them.
pub(super) fn any_of(texts: &[Text]) -> Text {
    let digits = |text: &Text| match text.as_bytes() {
        Some(bytes) => !bytes.is_empty() && bytes.iter().all(u8::is_ascii_digit),
        None => matches!(text.0.as_slice(), [Chunk::Tame(_)]),
    };
    let name = |text: &Text| digits(text) || text.0 == [Chunk::Plain];
    match texts {
        texts if texts.contains(&Text::number()) && texts.iter().all(digits) => Text::number(),
        texts if texts.iter().all(digits) => Text::tame(),
        texts if texts.iter().all(name) => Text::plain(),
        texts => {
            Text::unknown(texts.iter().filter_map(Text::origin).min().unwrap_or(Origin::Outside))
        }
    }
}

/// What is shown where something is not known.
pub(super) const ELLIPSIS: &[u8] = "…".as_bytes();

/// The most values that are kept apart. More than a handful are loops, which repeat themselves.
pub(super) const ALTERNATIVES_MAX: usize = 16;

/// The most stretches of one text.
const CHUNKS_MAX: usize = 256;
