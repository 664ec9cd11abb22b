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
    let Some(steps) = steps(pattern) else { return true };
    let mut reached = vec![false; steps.len() + 1];
    if let Some(first) = reached.first_mut() {
        *first = true;
    }
    skip_stars(&steps, &mut reached);
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
        skip_stars(&steps, &mut reached);
    }
    reached.last().copied().unwrap_or_default()
}

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
