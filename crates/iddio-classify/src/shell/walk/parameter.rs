//! Expansion of parameters: `$x`, `${x:-y}`, `${x#y}`, `"$@"`, `${!x}` and the rest.
//!
//! A parameter that the text never sets comes from the environment, so it may be anything.

use iddio_core::tier::{Class, Tier};

use super::{
    Walker, echo,
    expand::{Piece, Pieces, Quoting, joined, pieces},
    glob,
    state::{Key, Parameters, Slot, Value, ambient},
    text::{Chunk, Origin, Text, quoted, settled},
};
use crate::{
    catalog::pattern,
    command::line::{Minus, Surroundings},
    shell::{
        Span,
        ast::{
            Arithmetic, DefaultKind, EmptyCounts, Indirect, Parameter, ParameterOperation, Part,
            Word,
        },
    },
};

/// Elements of a list, each one of several texts; `None` if not even their number is known.
type Elements = Option<Vec<Vec<Text>>>;

/// Whether a parameter stands for a list: `$@`, `${x[@]}`.
pub(super) fn is_list(parameter: &Parameter) -> bool {
    parameter.indirect == Indirect::Direct
        && (parameter.name == b"@" || subscript(parameter) == Some(b'@'))
}

/// `@` or `*` between the brackets.
fn subscript(parameter: &Parameter) -> Option<u8> {
    match parameter.subscript.as_ref()?.parts.as_slice() {
        [Part::Quoted(bytes) | Part::Text(bytes)] => match bytes.as_slice() {
            [byte @ (b'@' | b'*')] => Some(*byte),
            _ => None,
        },
        _ => None,
    }
}

// === impl Walker ===

impl Walker<'_> {
    /// Expands a parameter.
    pub(super) fn parameter(&mut self, parameter: &Parameter, quoting: Quoting) -> Vec<Pieces> {
        let star = match parameter.name.as_slice() {
            [byte @ (b'@' | b'*')] => Some(*byte),
            _ => subscript(parameter),
        };
        let at = self.place(parameter.span);
        match &parameter.operation {
            ParameterOperation::NamesFrom => {
                let names = self.state.names(&parameter.name);
                let known = names.into_iter().map(|name| vec![Text::known(name)]).collect();
                // The environment has more of them.
                let mut all = listed(Some(known), quoting);
                for pieces in &mut all {
                    pieces.push(Piece::Many);
                }
                return all;
            }
            ParameterOperation::Keys => return vec![vec![self.keys(&parameter.name)]],
            _ => {}
        }
        if let Some(star) = star
            && parameter.indirect == Indirect::Direct
        {
            self.traffic.files += usize::from(self.secret.contains(&parameter.name));
            return self.list(parameter, star, quoting);
        }
        // What a secret file says is read once more with the variable that holds it.
        self.traffic.files += usize::from(self.secret.contains(&parameter.name));
        let values = self.values(parameter, at);
        self.operated(parameter, values, quoting)
    }

    fn operated(
        &mut self,
        parameter: &Parameter,
        values: Vec<Text>,
        quoting: Quoting,
    ) -> Vec<Pieces> {
        let at = self.place(parameter.span);
        if let ParameterOperation::Default { kind, empty, word } = &parameter.operation {
            return self.default(parameter, (*kind, *empty), word, values, quoting);
        }
        let values = if values.is_empty() { vec![Text::default()] } else { values };
        let texts: Vec<Text> =
            values.iter().map(|value| self.operation(&parameter.operation, value, at)).collect();
        settled(texts).iter().map(|text| pieces(text, quoting)).collect()
    }

    /// Returns what a parameter may hold; none if it is not set.
    fn values(&mut self, parameter: &Parameter, at: Option<Span>) -> Vec<Text> {
        let values = self.held(&parameter.name, parameter.subscript.as_ref());
        match parameter.indirect {
            Indirect::Direct => values,
            Indirect::Indirect => {
                let mut all = Vec::new();
                for value in values {
                    match value.as_bytes() {
                        Some(name) if is_name(name) => all.extend(self.held(name, None)),
                        Some(name) => {
                            // `${!x}` evaluates the subscript that the value holds.
                            self.evaluated_text(name, at);
                            all.push(Text::unknown(Origin::Made));
                        }
                        None => {
                            self.doubt(&value, at);
                            all.push(Text::unknown(Origin::Made));
                        }
                    }
                }
                settled(all)
            }
        }
    }

    /// Returns what a name may hold, at a subscript.
    pub(super) fn held(&mut self, name: &[u8], subscript: Option<&Arithmetic>) -> Vec<Text> {
        if let Some(number) = std::str::from_utf8(name).ok().and_then(|name| name.parse().ok()) {
            return self.positional(number);
        }
        let index = subscript.map(|subscript| self.arithmetic(subscript));
        match (self.value(name), index) {
            (Value::Array(elements), Some(index)) => {
                let place = index.as_bytes().and_then(|text| std::str::from_utf8(text).ok());
                let place = place.and_then(|text| text.parse::<i64>().ok()).and_then(|place| {
                    let len = i64::try_from(elements.len()).ok()?;
                    usize::try_from(if place < 0 { place + len } else { place }).ok()
                });
                match place {
                    Some(place) => elements.get(place).cloned().unwrap_or_default(),
                    None => settled(elements.into_iter().flatten().collect()),
                }
            }
            (value, _) => value.texts(),
        }
    }

    /// `${!x[@]}`: places in a list, or whatever the text took for names of elements.
    fn keys(&self, name: &[u8]) -> Piece {
        match self.value(name) {
            Value::Array(_) => Piece::Split(Chunk::Tame(Minus::Never)),
            Value::Scalar(texts) if texts.iter().all(|text| text.as_bytes().is_some()) => {
                Piece::Split(Chunk::Tame(Minus::Never))
            }
            Value::Scalar(_) => Piece::Many,
        }
    }

    /// Returns what a variable holds.
    pub(super) fn value(&self, name: &[u8]) -> Value {
        match (self.state.slot(&Key::Variable(name.to_vec())), name) {
            (Some(Slot::Variable(value)), _) => value.clone(),
            (_, b"PWD") => Value::one(match self.directory() {
                Some(directory) => Text::known(directory.as_bytes()),
                None => Text::known("."),
            }),
            (_, b"#") => match self.state.slot(&Key::Positional) {
                Some(Slot::Positional(Parameters::Known(list))) => {
                    Value::one(Text::known(list.len().to_string()))
                }
                _ => Value::one(Text::tame()),
            },
            _ if self.is_absent(name) => Value::Scalar(Vec::new()),
            _ => ambient(name),
        }
    }

    /// Whether a variable that the text does not set is surely none.
    fn is_absent(&self, name: &[u8]) -> bool {
        let (Surroundings::Only(kept), Ok(text)) =
            (&self.judging.surroundings, std::str::from_utf8(name))
        else {
            return false;
        };
        let own = OWN.iter().any(|own| match own.strip_suffix('*') {
            Some(start) => text.starts_with(start),
            None => *own == text,
        });
        is_name(name) && !own && !pattern::any_covers(kept, text)
    }

    fn positional(&self, number: usize) -> Vec<Text> {
        match (self.state.slot(&Key::Positional), number.checked_sub(1)) {
            (_, None) => self.value(b"0").texts(),
            (Some(Slot::Positional(Parameters::Known(list))), Some(place)) => {
                list.get(place).cloned().unwrap_or_default()
            }
            (Some(Slot::Positional(Parameters::Unknown(origin))), _) => {
                vec![Text::unknown(*origin)]
            }
            _ => vec![Text::unknown(Origin::Outside)],
        }
    }

    fn elements(&mut self, parameter: &Parameter) -> Elements {
        if parameter.subscript.is_none() {
            return match self.state.slot(&Key::Positional) {
                Some(Slot::Positional(Parameters::Known(list))) => Some(list.clone()),
                _ => None,
            };
        }
        match self.value(&parameter.name) {
            Value::Array(elements) => Some(elements),
            Value::Scalar(texts) if texts.is_empty() => Some(Vec::new()),
            Value::Scalar(texts) if texts.iter().any(|text| text.origin().is_some()) => None,
            Value::Scalar(texts) => Some(vec![texts]),
        }
    }

    /// Expands `$@`, `$*`, `${x[@]}` and what is done with them.
    fn list(&mut self, parameter: &Parameter, star: u8, quoting: Quoting) -> Vec<Pieces> {
        let at = self.place(parameter.span);
        let elements = self.elements(parameter);
        let elements = match &parameter.operation {
            ParameterOperation::Length => {
                let text = match elements {
                    Some(elements) => Text::known(elements.len().to_string()),
                    None => Text::tame(),
                };
                return vec![pieces(&text, quoting)];
            }
            ParameterOperation::Value => elements,
            ParameterOperation::Default { kind, word, .. } => match (&elements, kind) {
                (Some(list), DefaultKind::Use | DefaultKind::Assign) if list.is_empty() => {
                    return self.parts(&word.parts, quoting);
                }
                (Some(list), DefaultKind::Instead) if !list.is_empty() => {
                    return self.parts(&word.parts, quoting);
                }
                _ => {
                    let mut all = self.parts(&word.parts, quoting);
                    all.extend(listed(elements, quoting));
                    return all;
                }
            },
            ParameterOperation::Substring { offset, length } => {
                let offset = number(&self.arithmetic(offset));
                let length = length.as_ref().map(|length| number(&self.arithmetic(length)));
                // `$@` counts from 1, `$0` being its zeroth element.
                let first = usize::from(parameter.subscript.is_none());
                match (elements, offset.and_then(|offset| usize::try_from(offset).ok()), length) {
                    (Some(list), Some(offset), None) if first <= offset => {
                        Some(list.into_iter().skip(offset - first).collect())
                    }
                    (Some(list), Some(offset), Some(Some(length))) if first <= offset => {
                        let length = usize::try_from(length).unwrap_or(0);
                        Some(list.into_iter().skip(offset - first).take(length).collect())
                    }
                    _ => None,
                }
            }
            operation => elements.map(|list| {
                list.into_iter()
                    .map(|texts| {
                        let all = texts.iter().map(|text| self.operation(operation, text, at));
                        settled(all.collect())
                    })
                    .collect()
            }),
        };
        if star == b'*' && quoting == Quoting::Quoted {
            return vec![self.starred(elements)];
        }
        listed(elements, quoting)
    }

    /// `"$*"`: one word, with the first separator between.
    fn starred(&self, elements: Elements) -> Pieces {
        let Some(elements) = elements else {
            return vec![Piece::Fixed(Chunk::Unknown(Origin::Outside))];
        };
        let separator = self.separators().map(|all| all.first().copied());
        let mut text = Text::default();
        for (place, element) in elements.iter().enumerate() {
            match separator {
                Some(Some(byte)) if place > 0 => text.push(Chunk::Bytes(vec![byte])),
                None if place > 0 => text.push(Chunk::Unknown(Origin::Made)),
                _ => {}
            }
            match element.as_slice() {
                [only] => text.extend(only.clone()),
                _ => text.push(Chunk::Unknown(Origin::Made)),
            }
        }
        pieces(&text, Quoting::Quoted)
    }

    /// `${x:-w}`, `${x:=w}`, `${x:?w}`, `${x:+w}`.
    fn default(
        &mut self,
        parameter: &Parameter,
        (kind, empty): (DefaultKind, EmptyCounts),
        word: &Word,
        values: Vec<Text>,
        quoting: Quoting,
    ) -> Vec<Pieces> {
        let open = |text: &Text| text.0.is_empty() || text.origin().is_some();
        let may_lack = values.is_empty() || values.iter().any(open);
        let present: Vec<Pieces> = values
            .iter()
            .filter(|text| empty == EmptyCounts::AsValue || !text.0.is_empty())
            .map(|text| pieces(text, quoting))
            .collect();
        let nothing = || vec![vec![]];
        match kind {
            DefaultKind::Fail => {
                let _shown = self.parts(&word.parts, quoting);
                if present.is_empty() { nothing() } else { present }
            }
            DefaultKind::Instead => {
                let mut all = self.parts(&word.parts, quoting);
                if may_lack {
                    all.extend(nothing());
                }
                if present.is_empty() { nothing() } else { all }
            }
            DefaultKind::Assign | DefaultKind::Use => {
                let mut all = present;
                if may_lack {
                    let words = self.parts(&word.parts, quoting);
                    if kind == DefaultKind::Assign {
                        let mut texts = values;
                        texts.retain(|text| empty == EmptyCounts::AsValue || !text.0.is_empty());
                        texts.extend(words.iter().cloned().map(joined));
                        let value = Value::Scalar(settled(texts));
                        self.assign(&parameter.name, value, self.place(parameter.span));
                    }
                    all.extend(words);
                }
                if all.is_empty() { nothing() } else { all }
            }
        }
    }

    /// Does to a text what stands behind the name.
    fn operation(&mut self, operation: &ParameterOperation, text: &Text, at: Option<Span>) -> Text {
        let unknown = || match text.0.as_slice() {
            [Chunk::Plain | Chunk::Tame(_)] => Text::plain(),
            _ => Text::unknown(text.origin().unwrap_or(Origin::Made)),
        };
        match operation {
            ParameterOperation::Length => match text.as_bytes() {
                Some(bytes) => {
                    let count = std::str::from_utf8(bytes).map(|text| text.chars().count());
                    count.map_or_else(|_| Text::tame(), |count| Text::known(count.to_string()))
                }
                None => Text::tame(),
            },
            ParameterOperation::Trim { operator, pattern } => {
                let pattern = self.pattern(pattern);
                match (text.as_bytes(), pattern) {
                    (Some(bytes), Some(pattern)) if bytes.len() <= MATCHED_BYTES_MAX => {
                        self.step(1 + bytes.len() * bytes.len() / 64);
                        Text::known(trimmed(bytes, operator, &pattern))
                    }
                    (None, pattern) => {
                        names(text, operator, pattern.as_deref()).unwrap_or_else(unknown)
                    }
                    _ => unknown(),
                }
            }
            ParameterOperation::Substring { offset, length } => {
                let offset = number(&self.arithmetic(offset));
                let length = length.as_ref().map(|length| number(&self.arithmetic(length)));
                let known = match (text.as_bytes(), offset, length) {
                    (Some(bytes), Some(offset), None) => substring(bytes, offset, None),
                    (Some(bytes), Some(offset), Some(Some(length))) => {
                        substring(bytes, offset, Some(length))
                    }
                    _ => None,
                };
                known.map_or_else(unknown, Text::known)
            }
            ParameterOperation::Replace { operator, pattern, with } => {
                let pattern = self.pattern(pattern);
                let with = self.single(with);
                match (text.as_bytes(), pattern, with.as_slice()) {
                    (Some(bytes), Some(pattern), [with]) if bytes.len() <= MATCHED_BYTES_MAX => {
                        self.step(1 + bytes.len() * bytes.len() / 64);
                        let with = with.as_bytes().filter(|with| !with.contains(&b'&'));
                        let replaced = with.map(|with| replaced(bytes, operator, &pattern, with));
                        replaced.map_or_else(unknown, Text::known)
                    }
                    _ => unknown(),
                }
            }
            ParameterOperation::Case { operator, pattern } => {
                let all =
                    pattern.parts.is_empty() || self.pattern(pattern).as_deref() == Some(b"?");
                match text.as_bytes().filter(|bytes| all && bytes.is_ascii()) {
                    Some(bytes) => Text::known(cased(bytes, operator)),
                    None => unknown(),
                }
            }
            ParameterOperation::Transform(letter) => self.transformed(text, *letter, at),
            _ => text.clone(),
        }
    }

    fn transformed(&mut self, text: &Text, letter: u8, at: Option<Span>) -> Text {
        let known = text.as_bytes().filter(|bytes| bytes.is_ascii());
        match (letter, known) {
            (b'P', Some(bytes)) => {
                let special = bytes.iter().any(|byte| b"$`\\!".contains(byte));
                self.evaluated_text(bytes, at);
                if special { Text::unknown(Origin::Made) } else { text.clone() }
            }
            (b'P', None) => {
                if text.origin().is_some() {
                    let why = "a prompt that nobody knows is expanded as a program";
                    self.raise(Tier::UNKNOWN, Class::Unknown, "shell:prompt", why, at);
                }
                Text::unknown(Origin::Made)
            }
            (b'E', Some(bytes)) => Text::known(echo::escapes(bytes)),
            (b'Q', Some(bytes)) => Text::known(quoted(bytes)),
            (b'U', Some(bytes)) => Text::known(bytes.to_ascii_uppercase()),
            (b'L', Some(bytes)) => Text::known(bytes.to_ascii_lowercase()),
            (b'u', Some(bytes)) => Text::known(cased(bytes, b"^")),
            _ => Text::unknown(Origin::Made),
        }
    }
}

fn listed(elements: Elements, quoting: Quoting) -> Vec<Pieces> {
    let Some(elements) = elements else { return vec![vec![Piece::Many]] };
    let mut all: Vec<Pieces> = vec![Vec::new()];
    for (place, texts) in elements.iter().enumerate() {
        let next: Vec<Pieces> = texts
            .iter()
            .map(|text| {
                let mut pieces = if place > 0 { vec![Piece::Break] } else { Vec::new() };
                if quoting == Quoting::Quoted {
                    pieces.push(Piece::Quotes);
                }
                pieces.extend(self::pieces(text, quoting));
                pieces
            })
            .collect();
        let next = if next.is_empty() { vec![Vec::new()] } else { next };
        all = super::text::concatenated(all, next, || Piece::Many);
    }
    all
}

/// Whether bytes are the name of a variable.
pub(super) fn is_name(bytes: &[u8]) -> bool {
    let letter = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    bytes.first().is_some_and(|byte| !byte.is_ascii_digit()) && bytes.iter().all(letter)
}

fn number(text: &Text) -> Option<i64> {
    std::str::from_utf8(text.as_bytes()?).ok()?.parse().ok()
}

fn substring(bytes: &[u8], offset: i64, length: Option<i64>) -> Option<Vec<u8>> {
    if !bytes.is_ascii() {
        return None;
    }
    let len = i64::try_from(bytes.len()).ok()?;
    let start = if offset < 0 { len + offset } else { offset.min(len) };
    if start < 0 {
        return Some(Vec::new());
    }
    let end = match length {
        None => len,
        Some(length) if length < 0 => len + length,
        Some(length) => start.saturating_add(length).min(len),
    };
    let range = usize::try_from(start).ok()?..usize::try_from(end).ok()?;
    Some(bytes.get(range).unwrap_or_default().to_vec())
}

fn trimmed(bytes: &[u8], operator: &[u8], pattern: &[u8]) -> Vec<u8> {
    let mut places: Vec<usize> = (0..=bytes.len()).collect();
    let suffix = operator.starts_with(b"%");
    // The least that is taken away comes first.
    if suffix != (operator.len() > 1) {
        places.reverse();
    }
    for place in places {
        let (left, right) = bytes.split_at(place);
        let (taken, kept) = if suffix { (right, left) } else { (left, right) };
        if glob::covers(pattern, taken) {
            return kept.to_vec();
        }
    }
    bytes.to_vec()
}

/// What is left of a file's name that only a pattern tells.
fn names(text: &Text, operator: &[u8], pattern: Option<&[u8]>) -> Option<Text> {
    let [Chunk::Names(names)] = text.0.as_slice() else { return None };
    let directory = names.iter().rposition(|byte| *byte == b'/').map_or(0, |place| place + 1);
    let whole = names.get(..directory).unwrap_or_default();
    let kept = match (operator.starts_with(b"%"), pattern) {
        (true, Some(pattern)) if !pattern.contains(&b'/') => whole,
        (false, Some(b"*/")) => b"",
        _ => return None,
    };
    Some(Text(vec![Chunk::Names([kept, b"*"].concat())]))
}

fn replaced(bytes: &[u8], operator: &[u8], pattern: &[u8], with: &[u8]) -> Vec<u8> {
    let longest = |rest: &[u8], from_start: bool| {
        let mut lengths = (0..=rest.len()).rev();
        match from_start {
            true => {
                lengths.find(|end| rest.get(..*end).is_some_and(|part| glob::covers(pattern, part)))
            }
            false => lengths.find(|end| {
                rest.get(rest.len() - end..).is_some_and(|part| glob::covers(pattern, part))
            }),
        }
    };
    match operator {
        b"/#" => match longest(bytes, true) {
            Some(end) => [with, bytes.get(end..).unwrap_or_default()].concat(),
            None => bytes.to_vec(),
        },
        b"/%" => match longest(bytes, false) {
            Some(end) => [bytes.get(..bytes.len() - end).unwrap_or_default(), with].concat(),
            None => bytes.to_vec(),
        },
        _ => {
            let mut out = Vec::new();
            let mut rest = bytes;
            while let Some((first, tail)) = rest.split_first() {
                match longest(rest, true).filter(|end| *end > 0) {
                    Some(end) => {
                        out.extend_from_slice(with);
                        rest = rest.get(end..).unwrap_or_default();
                        if operator == b"/" {
                            break;
                        }
                    }
                    None => {
                        out.push(*first);
                        rest = tail;
                    }
                }
            }
            out.extend_from_slice(rest);
            out
        }
    }
}

fn cased(bytes: &[u8], operator: &[u8]) -> Vec<u8> {
    let turn = |byte: u8| match operator.first() {
        Some(b'^') => byte.to_ascii_uppercase(),
        Some(b',') => byte.to_ascii_lowercase(),
        _ if byte.is_ascii_uppercase() => byte.to_ascii_lowercase(),
        _ => byte.to_ascii_uppercase(),
    };
    let all = operator.len() > 1;
    bytes
        .iter()
        .enumerate()
        .map(|(at, byte)| if all || at == 0 { turn(*byte) } else { *byte })
        .collect()
}

/// The longest text that patterns are matched against: matching is not linear.
const MATCHED_BYTES_MAX: usize = 512;

/// Variables that a shell sets by itself.
const OWN: [&str; 41] = [
    "BASH*", "COLUMNS", "COMP*", "COPROC", "DIRSTACK", "EDITOR", "ENV", "EPOCH*", "ERRNO", "EUID",
    "FC*", "FUNCNAME", "FUNCNEST", "GROUPS", "HIST*", "HOME", "HOST*", "IDDIO*", "IFS", "INSIDE*",
    "LINENO", "LINES", "MACHTYPE", "MAIL*", "MAPFILE", "OLDPWD", "OPT*", "OSTYPE", "PATH", "PIPE*",
    "PPID", "PS*", "PWD", "RANDOM", "READ*", "REPLY", "SECONDS", "SH*", "SRANDOM", "UID", "_",
];
