//! A path taken apart: names, each as far as it is known.

use iddio_core::text::RawText;

use super::absolute;
use crate::command::{
    Ambient,
    line::{Known, Term},
};

/// A path under judgement.
#[derive(Debug)]
pub(super) struct Subject {
    /// Whether it starts at the root.
    pub(super) rooted: bool,
    pub(super) parts: Vec<Part>,
    /// Whether more names may follow.
    pub(super) open: bool,
    /// Whether the last name may go on.
    pub(super) partial: bool,
}

/// A name in a path, or in a pattern for paths.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Part {
    pieces: Vec<Piece>,
    /// The name itself, where all of it is known.
    literal: Option<Vec<u8>>,
}

/// The bytes at the ends of a name, where they are known. Names that differ there do not meet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Ends {
    first: Option<u8>,
    last: Option<u8>,
}

/// A piece of a name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Piece {
    /// This byte.
    Byte(u8),
    /// Any one byte.
    One,
    /// Any run of bytes.
    Run,
}

// === impl Subject ===

impl Subject {
    pub(super) fn of(path: &Term, directory: Option<&RawText>) -> Self {
        let bytes = path.text.as_bytes();
        let (bytes, open) = match path.known {
            Known::Prefix(known) => (bytes.get(..known).unwrap_or(bytes), true),
            _ => (bytes, false),
        };
        let pattern = path.known == Known::Pattern;
        // What a shell would have made the home of somebody.
        let home = bytes.starts_with(b"~") || bytes.starts_with(b"$HOME");
        let directory = directory.filter(|_| !home);
        let mut tidied = absolute(bytes, directory);
        if directory.is_none()
            && let Some(climbed) = super::climbed(bytes)
        {
            tidied = climbed;
        }
        if open && bytes.ends_with(b"/") && !tidied.ends_with(b"/") {
            tidied.push(b'/');
        }
        let rooted = tidied.starts_with(b"/");
        let mut parts: Vec<Part> = tidied
            .split(|byte| *byte == b'/')
            .filter(|name| !name.is_empty())
            .map(|name| Part::of(name, pattern))
            .collect();
        let partial = open && !bytes.ends_with(b"/");
        if partial {
            parts.last_mut().into_iter().for_each(Part::goes_on);
        }
        Self { rooted, parts, open, partial }
    }

    /// Whether it may lead to or below `path`, an absolute one.
    pub(super) fn reaches(&self, path: &[u8]) -> bool {
        let own = absolute(path, None);
        let mut names = own.split(|byte| *byte == b'/').filter(|name| !name.is_empty());
        self.rooted
            && own != b"/"
            && self.parts.iter().all(|part| match names.next() {
                Some(name) => part.meets(&Part::of(name, false)),
                None => true,
            })
            && names.next().is_none()
    }

    /// Whether it is the root, or everything in it.
    pub(super) fn is_root(&self) -> bool {
        self.rooted && self.parts.iter().all(Part::is_wild) && self.parts.len() < 2
    }

    /// Whether it is the root, a directory right below it, or one that a system is made of.
    pub(super) fn is_root_or_system(&self) -> bool {
        let text = |place: usize| self.parts.get(place).and_then(Part::literal);
        if !self.rooted {
            return self.is_home();
        }
        // Everything in a directory is the directory.
        let wild = self.parts.last().is_some_and(Part::is_wild);
        let len = self.parts.len() - usize::from(wild);
        match (text(0), len) {
            (_, 0) => true,
            (Some(b"tmp"), _) => !wild && len == 1,
            (Some(top), 1) => !is_file_of_root(top) || wild,
            (None, _) => true,
            (Some(top), _) if SYSTEM.iter().any(|name| name.as_bytes() == top) => true,
            (Some(b"var"), 2) => text(1).is_none_or(|name| name != b"tmp" && name != b"www"),
            (Some(b"home"), 2) => true,
            _ => false,
        }
    }

    /// Whether it is one file below `/etc`.
    pub(super) fn is_setting(&self) -> bool {
        let first = self.parts.first().and_then(Part::literal);
        let wild = self.parts.iter().any(|part| part.literal().is_none());
        self.rooted && first == Some(b"etc") && 1 < self.parts.len() && !wild && !self.open
    }

    /// Whether it is a home, or holds homes.
    pub(super) fn holds_homes(&self) -> bool {
        let first = self.parts.first().and_then(Part::literal);
        match (self.rooted, first, self.parts.len()) {
            (false, _, _) => self.is_home(),
            (true, _, 0) => true,
            (true, Some(b"home" | b"Users"), 1 | 2) | (true, Some(b"root"), 1) => true,
            (true, _, _) => false,
        }
    }

    /// Whether it is somebody's home, or everything in it.
    fn is_home(&self) -> bool {
        let wild = self.parts.last().is_some_and(Part::is_wild);
        let first = self.parts.first().and_then(Part::literal);
        let home = first.is_some_and(|name| name.starts_with(b"~") || name == b"$HOME");
        home && self.parts.len() - usize::from(wild) == 1
    }

    /// Whether removing it with all below it is no more than removing one directory that is named:
    /// below the working directory, or disposable.
    pub(super) fn is_plain_tree(
        &self,
        path: &Term,
        directory: Option<&RawText>,
        ambient: &Ambient,
        disposable: bool,
    ) -> bool {
        let Some(last) = self.parts.last() else { return false };
        // The unknown part may be empty, and leave the directory in front of it.
        if self.open && path.text.as_bytes().get(..self.known(path)).is_some_and(ends_name) {
            return false;
        }
        if self.is_home() || self.parts.iter().any(|part| part.literal() == Some(b"..")) {
            return false;
        }
        let named = self.parts.iter().filter(|part| !part.is_wild()).count();
        if !self.rooted {
            return named > 0 && (named > 1 || !last.is_wild() || self.parts.len() > 1);
        }
        if disposable {
            return self.parts.len() > 1;
        }
        // What the caller's own directory holds is plain; what a text changed to is not.
        let Some(home) = ambient.working_directory.as_ref() else { return false };
        let home = absolute(home.as_bytes(), None);
        let names = home.split(|byte| *byte == b'/').filter(|name| !name.is_empty());
        let above: Vec<_> = names.map(|name| Part::of(name, false)).collect();
        let below = above.len() < self.parts.len()
            && above.len() > 1
            && above.iter().zip(&self.parts).all(|(above, part)| above == part);
        let rest = self.parts.get(above.len()..).unwrap_or_default();
        let _ = directory;
        below && rest.first().is_some_and(|part| !part.is_wild())
    }

    fn known(&self, path: &Term) -> usize {
        match path.known {
            Known::Prefix(known) => known,
            _ => path.text.as_bytes().len(),
        }
    }
}

fn ends_name(known: &[u8]) -> bool {
    matches!(known.last(), None | Some(b'/' | b'.'))
}

/// Files that live right below the root.
fn is_file_of_root(name: &[u8]) -> bool {
    name == b"swapfile" || name == b"swap.img" || name.starts_with(b".")
}

// === impl Part ===

impl Part {
    /// Reads a name, as a pattern of a shell or of the catalog, or as it stands.
    pub(super) fn of(name: &[u8], pattern: bool) -> Self {
        let special = |byte: &u8| matches!(byte, b'*' | b'?' | b'[' | b'+' | b'@' | b'!' | b'\\');
        if !pattern || !name.iter().any(special) {
            let pieces = name.iter().copied().map(Piece::Byte).collect();
            return Self { pieces, literal: Some(name.to_vec()) };
        }
        let mut pieces = Vec::with_capacity(name.len());
        let mut rest = name;
        while let Some((byte, behind)) = rest.split_first() {
            rest = behind;
            pieces.push(match byte {
                b'*' => Piece::Run,
                b'?' => Piece::One,
                // A set of letters, of which any one may be meant.
                b'[' => match behind.iter().skip(1).position(|byte| *byte == b']') {
                    Some(end) => {
                        rest = behind.get(end + 2..).unwrap_or_default();
                        Piece::One
                    }
                    None => Piece::Byte(b'['),
                },
                // An extended pattern covers what nobody wants to work out.
                b'+' | b'@' | b'!' if behind.first() == Some(&b'(') => {
                    rest = &[];
                    Piece::Run
                }
                b'\\' => match behind.split_first() {
                    Some((byte, behind)) => {
                        rest = behind;
                        Piece::Byte(*byte)
                    }
                    None => Piece::Byte(b'\\'),
                },
                byte => Piece::Byte(*byte),
            });
        }
        pieces.dedup_by(|one, other| *one == Piece::Run && *other == Piece::Run);
        let bytes = pieces.iter().map(|piece| match piece {
            Piece::Byte(byte) => Some(*byte),
            Piece::One | Piece::Run => None,
        });
        let literal = bytes.collect();
        Self { pieces, literal }
    }

    /// Says that the name may go on.
    fn goes_on(&mut self) {
        self.pieces.push(Piece::Run);
        self.literal = None;
    }

    /// Returns the name, if it is known.
    pub(super) fn literal(&self) -> Option<&[u8]> {
        self.literal.as_deref()
    }

    /// Whether the name is known.
    pub(super) fn is_literal(&self) -> bool {
        self.literal.is_some()
    }

    /// Returns the bytes at its ends, where they are known.
    pub(super) fn ends(&self) -> Ends {
        let byte = |piece: Option<&Piece>| match piece {
            Some(Piece::Byte(byte)) => Some(*byte),
            Some(Piece::One | Piece::Run) | None => None,
        };
        Ends { first: byte(self.pieces.first()), last: byte(self.pieces.last()) }
    }

    /// Whether it is so long that it is taken to meet every other.
    pub(super) fn is_endless(&self) -> bool {
        ENDLESS <= self.pieces.len()
    }

    /// Whether nothing of it is known: `*`, `?`, `.*`.
    pub(super) fn is_wild(&self) -> bool {
        let dot = self.pieces.first() == Some(&Piece::Byte(b'.'));
        let rest = self.pieces.get(usize::from(dot)..).unwrap_or_default();
        !rest.is_empty() && rest.iter().all(|piece| !matches!(piece, Piece::Byte(_)))
    }

    /// Whether it, a shell's pattern, leaves out what `other` covers: names that start with a dot.
    pub(super) fn skips(&self, other: &Self) -> bool {
        let wild = matches!(self.pieces.first(), Some(Piece::One | Piece::Run));
        wild && other.starts_hidden()
    }

    /// Whether it is close enough to `other`, which may stand in any directory, that this is what
    /// is meant: `*.pem` and `*-key.pem`, `id_*` and `id_rsa`, not `*` and `id_rsa`.
    pub(super) fn suggests(&self, other: &Self) -> bool {
        let byte = |piece: &&Piece| matches!(piece, Piece::Byte(_));
        let ends = |part: &Self| part.pieces.iter().rev().take_while(byte).count();
        let starts = |part: &Self| part.pieces.iter().take_while(byte).count();
        if self.is_literal() {
            return true;
        }
        match other.is_literal() {
            true => starts(self) > 1,
            false => ends(self) > 2 && ends(self) <= ends(other) && starts(other) == 0,
        }
    }

    /// Whether its names start with a dot.
    pub(super) fn starts_hidden(&self) -> bool {
        self.pieces.first() == Some(&Piece::Byte(b'.'))
    }

    /// Whether some name is covered by both.
    pub(super) fn meets(&self, with: &Self) -> bool {
        let (one, other) = (self.pieces.as_slice(), with.pieces.as_slice());
        if one.len().saturating_mul(other.len()) > PIECES_MAX {
            return true;
        }
        if let (Some(one), Some(other)) = (&self.literal, &with.literal) {
            return one == other;
        }
        // Most names part at their first or last byte.
        let Some((one, other)) = trimmed(one, other) else { return false };
        let Some((one, other)) = trimmed_end(one, other) else { return false };
        let covers_nothing = |pieces: &[Piece]| pieces.iter().all(|piece| *piece == Piece::Run);
        match (one, other) {
            ([], rest) | (rest, []) => covers_nothing(rest),
            ([Piece::Run], _) | (_, [Piece::Run]) => true,
            _ => meets(one, other),
        }
    }
}

// === impl Ends ===

impl Ends {
    /// The ends of a name that is known.
    pub(super) fn of(name: &[u8]) -> Self {
        Self { first: name.first().copied(), last: name.last().copied() }
    }

    /// Whether names with these ends may be the same.
    pub(super) fn may_meet(self, other: Self) -> bool {
        let differ = |one: Option<u8>, other: Option<u8>| matches!((one, other), (Some(one), Some(other)) if one != other);
        !differ(self.first, other.first) && !differ(self.last, other.last)
    }
}

/// Takes off what two patterns start with, a byte each; `None` where that differs.
fn trimmed<'p>(mut one: &'p [Piece], mut other: &'p [Piece]) -> Option<(&'p [Piece], &'p [Piece])> {
    while let ([first, rest @ ..], [second, behind @ ..]) = (one, other) {
        match (first, second) {
            (Piece::Run, _) | (_, Piece::Run) => break,
            (Piece::Byte(first), Piece::Byte(second)) if first != second => return None,
            _ => (one, other) = (rest, behind),
        }
    }
    Some((one, other))
}

/// The same, at their ends.
fn trimmed_end<'p>(
    mut one: &'p [Piece],
    mut other: &'p [Piece],
) -> Option<(&'p [Piece], &'p [Piece])> {
    while let ([rest @ .., last], [before @ .., end]) = (one, other) {
        match (last, end) {
            (Piece::Run, _) | (_, Piece::Run) => break,
            (Piece::Byte(last), Piece::Byte(end)) if last != end => return None,
            _ => (one, other) = (rest, before),
        }
    }
    Some((one, other))
}

/// Whether two patterns cover a name in common: a table of how much of each is used up.
fn meets(one: &[Piece], other: &[Piece]) -> bool {
    let mut row = vec![false; other.len() + 1];
    for i in (0..=one.len()).rev() {
        let mut next = vec![false; other.len() + 1];
        for j in (0..=other.len()).rev() {
            let below = |row: &[bool], at: usize| row.get(at).copied().unwrap_or(false);
            let meet = match (one.get(i), other.get(j)) {
                (None, None) => true,
                (Some(Piece::Run), Some(_)) => below(&row, j) || below(&next, j + 1),
                (Some(Piece::Run), None) => below(&row, j),
                (_, Some(Piece::Run)) => {
                    below(&next, j + 1) || one.get(i).is_some() && below(&row, j)
                }
                (None, _) | (_, None) => false,
                (Some(Piece::Byte(one)), Some(Piece::Byte(other))) if one != other => false,
                (Some(_), Some(_)) => below(&row, j + 1),
            };
            if let Some(cell) = next.get_mut(j) {
                *cell = meet;
            }
        }
        row = next;
    }
    row.first().copied().unwrap_or(false)
}

/// Directories that a system is made of, with all below them.
const SYSTEM: [&str; 12] =
    ["bin", "boot", "dev", "etc", "lib", "lib32", "lib64", "proc", "root", "sbin", "sys", "usr"];

/// The most comparisons of two names. Longer ones are taken to meet.
const PIECES_MAX: usize = 64 * 1024;

/// From this length on, a name may be one of those: no pattern of the catalog has as many bytes as
/// this goes into [`PIECES_MAX`].
const ENDLESS: usize = 512;
