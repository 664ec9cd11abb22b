//! Patterns as a shell matches them: `*`, `?`, `[…]`, and the forms of `extglob` as anything.
//!
//! Matching takes time in proportion to the product of the two lengths, at most.

/// Returns bytes as a pattern that covers them alone.
pub(super) fn escaped(bytes: &[u8]) -> Vec<u8> {
    let mut pattern = Vec::with_capacity(bytes.len());
    for byte in bytes {
        if SPECIAL.contains(byte) {
            pattern.push(b'\\');
        }
        pattern.push(*byte);
    }
    pattern
}

/// Whether unquoted text is a pattern.
pub(super) fn is_pattern(bytes: &[u8]) -> bool {
    let bracket = bytes.iter().position(|byte| *byte == b'[');
    let closed = |at| bytes.get(at..).is_some_and(|rest: &[u8]| rest.contains(&b']'));
    bytes.iter().any(|byte| matches!(byte, b'*' | b'?'))
        || bracket.is_some_and(closed)
        || bytes.windows(2).any(|pair| matches!(pair, [b'+' | b'@' | b'!', b'(']))
}

/// Whether a pattern covers a text. What is not understood covers everything.
pub(super) fn covers(pattern: &[u8], text: &[u8]) -> bool {
    Compiled::of(pattern).covers(text)
}

/// A pattern that was read.
pub(super) struct Compiled(Option<Vec<Step>>);

// === impl Compiled ===

impl Compiled {
    pub(super) fn of(pattern: &[u8]) -> Self {
        Self(steps(pattern))
    }

    /// Whether it covers a text. What is not understood covers everything.
    pub(super) fn covers(&self, text: &[u8]) -> bool {
        let Some(steps) = &self.0 else { return true };
        if steps.len() < WORD_BITS {
            return reaches_end(steps, text);
        }
        let mut reached = vec![false; steps.len() + 1];
        if let Some(first) = reached.first_mut() {
            *first = true;
        }
        skip_stars(steps, &mut reached);
        for byte in text {
            let mut next = vec![false; steps.len() + 1];
            for (at, step) in steps.iter().enumerate() {
                if !reached.get(at).copied().unwrap_or_default() {
                    continue;
                }
                let to = match step {
                    Step::Star => at,
                    step if step.takes(*byte) => at + 1,
                    _ => continue,
                };
                if let Some(place) = next.get_mut(to) {
                    *place = true;
                }
            }
            reached = next;
            skip_stars(steps, &mut reached);
        }
        reached.last().copied().unwrap_or_default()
    }
}

/// The same for few steps: a bit says of each whether it is reached.
fn reaches_end(steps: &[Step], text: &[u8]) -> bool {
    let stars = |mut reached: u64| {
        for (at, step) in steps.iter().enumerate() {
            if *step == Step::Star && reached & (1 << at) != 0 {
                reached |= 1 << (at + 1);
            }
        }
        reached
    };
    let mut reached = stars(1);
    for byte in text {
        let mut next = 0_u64;
        for (at, step) in steps.iter().enumerate() {
            if reached & (1 << at) == 0 {
                continue;
            }
            next |= match step {
                Step::Star => 1 << at,
                step if step.takes(*byte) => 1 << (at + 1),
                _ => 0,
            };
        }
        reached = stars(next);
        if reached == 0 {
            return false;
        }
    }
    reached & (1 << steps.len()) != 0
}

/// As many steps as a word has bits are one too many: the end has a bit of its own.
const WORD_BITS: usize = 64;

fn skip_stars(steps: &[Step], reached: &mut [bool]) {
    for (at, step) in steps.iter().enumerate() {
        if *step == Step::Star
            && reached.get(at).copied().unwrap_or_default()
            && let Some(next) = reached.get_mut(at + 1)
        {
            *next = true;
        }
    }
}

#[derive(Eq, PartialEq)]
enum Step {
    Any,
    Byte(u8),
    Set(Vec<(u8, u8)>, Sense),
    Star,
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Sense {
    In,
    NotIn,
}

impl Step {
    fn takes(&self, byte: u8) -> bool {
        match self {
            Self::Any | Self::Star => true,
            Self::Byte(own) => *own == byte,
            Self::Set(ranges, sense) => {
                let inside = ranges.iter().any(|(low, high)| (*low..=*high).contains(&byte));
                inside == (*sense == Sense::In)
            }
        }
    }
}

/// Reads a pattern; `None` for what only `extglob` reads, or a class.
fn steps(pattern: &[u8]) -> Option<Vec<Step>> {
    let mut steps = Vec::new();
    let mut rest = pattern;
    while let [first, tail @ ..] = rest {
        rest = tail;
        match (*first, rest) {
            (b'+' | b'@' | b'!' | b'?' | b'*', [b'(', ..]) => return None,
            (b'\\', [next, tail @ ..]) => {
                steps.push(Step::Byte(*next));
                rest = tail;
            }
            (b'*', _) => steps.push(Step::Star),
            (b'?', _) => steps.push(Step::Any),
            (b'[', _) => match set(rest)? {
                Some((step, tail)) => {
                    steps.push(step);
                    rest = tail;
                }
                None => steps.push(Step::Byte(b'[')),
            },
            (byte, _) => steps.push(Step::Byte(byte)),
        }
    }
    Some(steps)
}

/// Reads what follows `[`; the inner `None` if nothing closes it.
fn set(rest: &[u8]) -> Option<Option<(Step, &[u8])>> {
    let (sense, mut rest) = match rest {
        [b'!' | b'^', rest @ ..] => (Sense::NotIn, rest),
        rest => (Sense::In, rest),
    };
    let mut ranges = Vec::new();
    let mut first = true;
    loop {
        match rest {
            [] => return Some(None),
            [b']', tail @ ..] if !first => {
                return Some(Some((Step::Set(ranges, sense), tail)));
            }
            [b'[', b':' | b'.' | b'=', ..] => return None,
            [low, b'-', high, tail @ ..] if *high != b']' => {
                ranges.push((*low, *high));
                rest = tail;
            }
            [b'\\', byte, tail @ ..] | [byte, tail @ ..] => {
                ranges.push((*byte, *byte));
                rest = tail;
            }
        }
        first = false;
    }
}

const SPECIAL: &[u8] = b"*?[]\\()!+@";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_steps_and_many_cover_the_same() {
        let patterns =
            ["", "*", "?", "a*", "*a", "a?c", "[a-c]*", "*b*c*", "[!a]b", "**", "a[bc", "\\*"];
        let texts = ["", "a", "b", "abc", "aac", "xbxc", "bb", "a[bc", "*", "cab"];
        let long = "z".repeat(80);
        let mut covered = 0;
        for pattern in patterns {
            for text in texts {
                let few = covers(pattern.as_bytes(), text.as_bytes());
                // The same with so much in front that a word does not do.
                let many =
                    covers([&long, pattern].concat().as_bytes(), [&long, text].concat().as_bytes());
                assert_eq!(few, many, "{pattern} {text}");
                covered += usize::from(few);
            }
        }
        assert!(20 < covered && covered < 100, "{covered}");
    }
}
