//! Patterns of catalogs: globs, word sets, and the words of an example.
//!
//! A glob takes time proportional to pattern times text, whatever either holds. The word splitter is for examples alone; it is no
//! shell.

use std::collections::BTreeMap;

use crate::command::line::{Stretch, is_tame};

/// Whether `*` (any run) patterns cover `text`.
pub(crate) fn covers(pattern: &str, text: &str) -> bool {
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

/// Whether any pattern covers `text`.
pub(crate) fn any_covers(patterns: &[String], text: &str) -> bool {
    patterns.iter().any(|pattern| covers(pattern, text))
}

/// Whether a pattern covers every text that starts with `known`.
pub(crate) fn covers_every(pattern: &str, known: &str) -> bool {
    match pattern.split_once('*') {
        Some((head, "")) => known.starts_with(head),
        _ => false,
    }
}

/// Whether a pattern may cover a text that starts with `known`. `*NAME:*` is about what stands
/// before the first colon: behind one, nothing that follows makes another name.
pub(crate) fn may_cover(pattern: &str, known: &str) -> bool {
    let name = pattern.strip_prefix('*').and_then(|rest| rest.strip_suffix(":*"));
    if name.is_some_and(|name| !name.contains(['*', ':'])) && known.contains(':') {
        return covers(pattern, known);
    }
    match pattern.split_once('*') {
        None => pattern.starts_with(known),
        Some((head, _)) => head.starts_with(known) || known.starts_with(head),
    }
}

/// Whether a pattern may cover a text that starts with `known` and goes on with `tail`.
pub(crate) fn may_cover_tame(pattern: &str, known: &str, tail: &[Stretch]) -> bool {
    let pattern = pattern.as_bytes();
    let mut reached = vec![false; pattern.len() + 1];
    if let Some(first) = reached.first_mut() {
        *first = true;
    }
    skip_stars(pattern, &mut reached);
    let step = |reached: &[bool], takes: &dyn Fn(u8) -> bool| {
        let mut next = vec![false; reached.len()];
        for (place, byte) in pattern.iter().enumerate() {
            let to = match byte {
                b'*' => place,
                byte if takes(*byte) => place + 1,
                _ => continue,
            };
            if let (Some(true), Some(next)) = (reached.get(place), next.get_mut(to)) {
                *next = true;
            }
        }
        skip_stars(pattern, &mut next);
        next
    };
    let head = [Stretch::Bytes(known.as_bytes().to_vec())];
    for stretch in head.iter().chain(tail) {
        match stretch {
            Stretch::Bytes(bytes) => {
                for own in bytes {
                    reached = step(&reached, &|byte| byte == *own);
                }
            }
            Stretch::Tame(_) => {
                let mut all = vec![false; reached.len()];
                // As long as the pattern is all that can make a difference.
                for _ in 0..=pattern.len() {
                    reached = step(&reached, &is_tame);
                    all.iter_mut().zip(&reached).for_each(|(all, one)| *all |= one);
                }
                reached = all;
            }
        }
    }
    reached.last().copied().unwrap_or_default()
}

fn skip_stars(pattern: &[u8], reached: &mut [bool]) {
    for (place, byte) in pattern.iter().enumerate() {
        let here = *byte == b'*' && reached.get(place) == Some(&true);
        if let Some(next) = reached.get_mut(place + 1).filter(|_| here) {
            *next = true;
        }
    }
}

/// Whether a pattern of words covers `words`, with `{set}` standing for a set's words.
pub(crate) fn covers_words(
    pattern: &str,
    words: &[&str],
    sets: &BTreeMap<String, Vec<String>>,
) -> bool {
    let mut patterns = pattern.split(' ');
    let all = words.iter().all(|word| {
        patterns.next().is_some_and(|pattern| {
            match pattern.strip_prefix('{').and_then(|name| name.strip_suffix('}')) {
                Some(set) => sets.get(set).is_some_and(|set| set.iter().any(|name| name == word)),
                None => covers(pattern, word),
            }
        })
    });
    all && patterns.next().is_none()
}

/// Splits an example into words: spaces part, `'…'` and `"…"` quote.
pub(crate) fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    for letter in line.chars() {
        match (quote, letter) {
            (Some(open), _) if open == letter => quote = None,
            (Some(_), _) => word.get_or_insert_default().push(letter),
            (None, '\'' | '"') => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            (None, ' ') => words.extend(word.take()),
            (None, _) => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    words
}
