//! Brace expansion: `{a,b}` and `{1..9}`, before anything else is expanded.

use std::borrow::Cow;

use crate::shell::ast::Part;

/// A letter run or a part that braces do not look into.
#[derive(Clone, Debug)]
pub(super) enum Token<'p> {
    /// Text.
    Bytes(Cow<'p, [u8]>),
    /// Another part of the word.
    Part(&'p Part),
}

#[derive(Clone)]
enum Item {
    Byte(u8),
    Part(usize),
}

/// Braces make more words than anyone reads.
pub(super) struct TooMany;

// === impl Token ===

impl<'p> Token<'p> {
    fn of(part: &'p Part) -> Self {
        match part {
            Part::Text(bytes) => Self::Bytes(Cow::Borrowed(bytes)),
            part => Self::Part(part),
        }
    }
}

/// Returns every word that braces make of one.
pub(super) fn expanded(parts: &[Part]) -> Result<Vec<Vec<Token<'_>>>, TooMany> {
    let braces = |part: &Part| matches!(part, Part::Text(bytes) if bytes.contains(&b'{'));
    let parted = |pair: &[Part]| !matches!(pair, [Part::Text(_), Part::Text(_)]);
    if !parts.iter().any(braces) && parts.windows(2).all(parted) {
        return Ok(vec![parts.iter().map(Token::of).collect()]);
    }
    let mut items = Vec::new();
    for (place, part) in parts.iter().enumerate() {
        match part {
            Part::Text(bytes) => items.extend(bytes.iter().map(|byte| Item::Byte(*byte))),
            _ => items.push(Item::Part(place)),
        }
    }
    let words = match parts.iter().any(braces) {
        true => {
            let mut budget = WORDS_MAX;
            expand(&items, &mut budget, DEPTH_MAX)?
        }
        false => vec![items],
    };
    Ok(words.into_iter().map(|word| tokens(&word, parts)).collect())
}

fn tokens<'p>(items: &[Item], parts: &'p [Part]) -> Vec<Token<'p>> {
    let mut tokens: Vec<Token<'p>> = Vec::new();
    for item in items {
        match item {
            Item::Byte(byte) => match tokens.last_mut() {
                Some(Token::Bytes(bytes)) => bytes.to_mut().push(*byte),
                _ => tokens.push(Token::Bytes(Cow::Owned(vec![*byte]))),
            },
            Item::Part(place) => tokens.extend(parts.get(*place).map(Token::Part)),
        }
    }
    tokens
}

fn expand(items: &[Item], budget: &mut usize, depth: usize) -> Result<Vec<Vec<Item>>, TooMany> {
    let depth = depth.checked_sub(1).ok_or(TooMany)?;
    let Some((before, choices, after)) = first(items)? else { return Ok(vec![items.to_vec()]) };
    let tails = expand(after, budget, depth)?;
    let mut middles = Vec::new();
    for choice in &choices {
        middles.extend(expand(choice, budget, depth)?);
    }
    let mut words = Vec::new();
    for middle in &middles {
        for tail in &tails {
            let cost = 1 + (before.len() + middle.len() + tail.len()) / 64;
            *budget = budget.checked_sub(cost).ok_or(TooMany)?;
            words.push([before, middle.as_slice(), tail.as_slice()].concat());
        }
    }
    Ok(words)
}

type Split<'a> = (&'a [Item], Vec<Vec<Item>>, &'a [Item]);

/// Finds the first pair of braces that expands.
fn first(items: &[Item]) -> Result<Option<Split<'_>>, TooMany> {
    let mut tried = 0;
    for (place, item) in items.iter().enumerate() {
        if !matches!(item, Item::Byte(b'{')) {
            continue;
        }
        tried += 1;
        if OPEN_MAX < tried {
            return Err(TooMany);
        }
        let (before, behind) = items.split_at(place);
        let Some((inner, after)) = closed(behind.get(1..).unwrap_or_default()) else { continue };
        let choices = match parted(inner) {
            choices if choices.len() > 1 => choices,
            _ => match sequence(inner) {
                Some(choices) => choices?,
                None => continue,
            },
        };
        return Ok(Some((before, choices, after)));
    }
    Ok(None)
}

/// Returns what stands before the brace that closes, and behind it.
fn closed(items: &[Item]) -> Option<(&[Item], &[Item])> {
    let mut depth = 0_usize;
    for (place, item) in items.iter().enumerate() {
        match item {
            Item::Byte(b'{') => depth += 1,
            Item::Byte(b'}') if depth == 0 => {
                return Some((items.get(..place)?, items.get(place + 1..)?));
            }
            Item::Byte(b'}') => depth -= 1,
            _ => {}
        }
    }
    None
}

fn parted(items: &[Item]) -> Vec<Vec<Item>> {
    let mut depth = 0_usize;
    let mut all = Vec::new();
    let mut open = Vec::new();
    for item in items {
        match item {
            Item::Byte(b'{') => depth += 1,
            Item::Byte(b'}') => depth = depth.saturating_sub(1),
            Item::Byte(b',') if depth == 0 => {
                all.push(std::mem::take(&mut open));
                continue;
            }
            _ => {}
        }
        open.push(item.clone());
    }
    all.push(open);
    all
}

/// Reads `1..9`, `a..e`, `01..10..2`.
fn sequence(items: &[Item]) -> Option<Result<Vec<Vec<Item>>, TooMany>> {
    let bytes: Option<Vec<u8>> = items
        .iter()
        .map(|item| match item {
            Item::Byte(byte) => Some(*byte),
            Item::Part(_) => None,
        })
        .collect();
    let text = String::from_utf8(bytes?).ok()?;
    let mut ends = text.split("..");
    let (low, high) = (ends.next()?, ends.next()?);
    let step: i64 = ends.next().map_or(Some(1), |step| step.parse().ok())?;
    let step = step.unsigned_abs().max(1);
    if ends.next().is_some() {
        return None;
    }
    let letter = |text: &str| match text.as_bytes() {
        [byte] if byte.is_ascii_alphabetic() => Some(i64::from(*byte)),
        _ => None,
    };
    let (from, to, letters) = match (low.parse::<i64>(), high.parse::<i64>()) {
        (Ok(from), Ok(to)) => (from, to, false),
        _ => (letter(low)?, letter(high)?, true),
    };
    let count = from.abs_diff(to) / step;
    let Some(count) = usize::try_from(count).ok().filter(|count| *count < WORDS_MAX) else {
        return Some(Err(TooMany));
    };
    let padded = |text: &str| text.trim_start_matches('-').starts_with('0') && text.len() > 1;
    let width = if padded(low) || padded(high) { low.len().max(high.len()) } else { 0 };
    let step = i64::try_from(step).ok()?;
    let mut words = Vec::new();
    for place in 0..=i64::try_from(count).ok()? {
        let offset = step.checked_mul(place)?;
        let value = if from <= to { from + offset } else { from - offset };
        let text = match u8::try_from(value) {
            Ok(byte) if letters => char::from(byte).to_string(),
            _ => format!("{value:0width$}"),
        };
        words.push(text.bytes().map(Item::Byte).collect());
    }
    Some(Ok(words))
}

/// The most words of one word.
const WORDS_MAX: usize = 4096;

/// The most braces in braces, and braces in a row.
const DEPTH_MAX: usize = 64;

/// The most braces that are tried: each looks for the one that closes it.
const OPEN_MAX: usize = 64;
