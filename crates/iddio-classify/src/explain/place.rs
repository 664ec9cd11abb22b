//! Where the words of a reason stand in the line that is shown.
//!
//! A reason from text for a shell brings its place along. One from an argument vector names a word,
//! and its place follows from the words before it. Where a place cannot be told for certain there
//! is none: a reason never points at the wrong word.

use iddio_core::{
    operation::{Operation, Span},
    text::RawText,
};

use super::Subject;

/// Returns the line that places point into.
pub(super) fn line(subject: Subject<'_>) -> Vec<u8> {
    match subject {
        Subject::Shell(text) => text.as_bytes().to_vec(),
        Subject::Words(words) => {
            let words: Vec<_> = words.iter().map(RawText::as_bytes).collect();
            words.join(&b' ')
        }
    }
}

/// Returns where the cause of a reason stands: `word` of the operation's own words, or `at` in the
/// outermost text for a shell.
pub(super) fn span(
    subject: Subject<'_>,
    operation: &Operation,
    word: Option<u32>,
    at: Option<Span>,
) -> Option<Span> {
    let own = word.and_then(|word| operation.description.argv.get(usize::try_from(word).ok()?));
    match (subject, at) {
        (Subject::Shell(text), Some(at)) => sound(at, text.as_bytes().len()),
        (Subject::Shell(text), None) => only(text.as_bytes(), own?.as_bytes()),
        (Subject::Words(words), None) => {
            let place = within(words, &operation.description.argv)?;
            of_word(words, place + usize::try_from(word?).ok()?)
        }
        (Subject::Words(words), Some(at)) => {
            // A word that is itself text for a shell: the only one that says at that place what the
            // operation's word says.
            let own = own?.as_bytes();
            let says = |text: &RawText| slice(text.as_bytes(), at).is_some_and(|part| part == own);
            let mut places = (0..words.len()).filter(|place| words.get(*place).is_some_and(says));
            let (place, None) = (places.next()?, places.next()) else { return None };
            let base = of_word(words, place)?.start;
            Some(Span { start: base.checked_add(at.start)?, end: base.checked_add(at.end)? })
        }
    }
}

/// Returns the index of the operation's word that holds a value, if one does.
pub(super) fn word_with(operation: &Operation, value: &str) -> Option<u32> {
    let value = value.as_bytes();
    let argv = &operation.description.argv;
    let place = argv.iter().position(|word| {
        let word = word.as_bytes();
        !value.is_empty() && word.windows(value.len()).any(|part| part == value)
    })?;
    u32::try_from(place).ok()
}

/// Returns where the words of an operation begin among all words: at the front, or the last place
/// where they all stand, which is what a wrapper runs.
fn within(words: &[RawText], own: &[RawText]) -> Option<usize> {
    if own.is_empty() || words.starts_with(own) {
        return (!own.is_empty()).then_some(0);
    }
    (0..words.len()).rev().find(|place| {
        let rest = words.get(*place..).unwrap_or_default();
        rest.starts_with(own)
    })
}

fn of_word(words: &[RawText], place: usize) -> Option<Span> {
    let before = words.get(..place)?.iter().map(|word| word.as_bytes().len() + 1).sum::<usize>();
    let end = before + words.get(place)?.as_bytes().len();
    Some(Span { start: u32::try_from(before).ok()?, end: u32::try_from(end).ok()? })
}

/// Returns the only place where `part` stands in `text`.
fn only(text: &[u8], part: &[u8]) -> Option<Span> {
    if part.is_empty() || SEARCHED_BYTES_MAX < text.len() {
        return None;
    }
    let mut places = text.windows(part.len()).enumerate().filter(|(_, window)| *window == part);
    let (Some((start, _)), None) = (places.next(), places.next()) else { return None };
    let (start, len) = (u32::try_from(start).ok()?, u32::try_from(part.len()).ok()?);
    Some(Span { start, end: start.checked_add(len)? })
}

fn sound(at: Span, len: usize) -> Option<Span> {
    let end = usize::try_from(at.end).ok()?;
    (at.start < at.end && end <= len).then_some(at)
}

fn slice(text: &[u8], at: Span) -> Option<&[u8]> {
    text.get(usize::try_from(at.start).ok()?..usize::try_from(at.end).ok()?)
}

/// The longest text that is searched for a word: the search is quadratic at worst, and nobody looks
/// at a caret under a longer line.
const SEARCHED_BYTES_MAX: usize = 8 * 1024;
