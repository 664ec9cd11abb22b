//! Loops that never end by themselves, and what slows one down.

use crate::{
    command::line::Term,
    shell::ast::{Arithmetic, CommandKind, Part, Script, Simple, TestPart, Word},
};

/// Whether a loop ends by itself, as far as its condition tells.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Repeats {
    /// What it asks for changes.
    Forever,
    /// What it asks for may change.
    Sometimes,
}

/// `while` and `until`: whether the condition is always the same.
pub(super) fn holds_forever(condition: &Script) -> Repeats {
    let pipelines = condition.lists.iter().flat_map(|list| {
        std::iter::once(&list.first).chain(list.rest.iter().map(|(_, pipeline)| pipeline))
    });
    let mut commands = pipelines.flat_map(|pipeline| &pipeline.commands);
    repeats(commands.all(|command| match &command.kind {
        CommandKind::Simple(simple) => is_constant(simple),
        CommandKind::Arithmetic(expression) => has_no_names(expression),
        CommandKind::Test(parts) => parts.iter().all(|part| match part {
            TestPart::Operand(word) => literal(word).is_some(),
            TestPart::Operator(operator) => !asks_for_files(operator),
        }),
        _ => false,
    }))
}

/// `for ((…; …; …))`: whether the condition is left out, or always the same.
pub(super) fn counts_forever(expressions: &[Arithmetic]) -> Repeats {
    repeats(expressions.get(1).is_none_or(has_no_names))
}

fn repeats(forever: bool) -> Repeats {
    if forever { Repeats::Forever } else { Repeats::Sometimes }
}

fn is_constant(simple: &Simple) -> bool {
    let words: Option<Vec<&[u8]>> = simple.words.iter().map(literal).collect();
    let Some(words) = words.filter(|_| simple.assignments.is_empty()) else { return false };
    match words.as_slice() {
        [b":" | b"true" | b"false" | b"echo" | b"printf", ..] => true,
        [b"[" | b"test", rest @ ..] => !rest.iter().any(|word| asks_for_files(word)),
        _ => false,
    }
}

/// Whether an operator of `test` asks for something outside the text.
fn asks_for_files(operator: &[u8]) -> bool {
    matches!(operator, [b'-', letter] if letter.is_ascii_alphabetic() && !b"nzao".contains(letter))
        || matches!(operator, b"-nt" | b"-ot" | b"-ef")
}

fn has_no_names(expression: &Arithmetic) -> bool {
    expression.parts.iter().all(|part| match part {
        Part::Quoted(bytes) | Part::Text(bytes) => !bytes.iter().any(u8::is_ascii_alphabetic),
        _ => false,
    })
}

fn literal(word: &Word) -> Option<&[u8]> {
    match word.parts.as_slice() {
        [Part::Text(bytes) | Part::Quoted(bytes)] => Some(bytes),
        [Part::Double(parts)] => match parts.as_slice() {
            [] => Some(b""),
            [Part::Quoted(bytes)] => Some(bytes),
            _ => None,
        },
        _ => None,
    }
}

/// Whether a program takes its time, and a loop with it.
pub(super) fn takes_time(words: &[Term]) -> bool {
    let name = words.first().and_then(Term::as_str).unwrap_or_default();
    let some =
        |word: &Term| word.as_str().is_none_or(|text| text.contains(|c| ('1'..='9').contains(&c)));
    match name.rsplit('/').next().unwrap_or_default() {
        "sleep" | "usleep" => words.get(1).is_some_and(some),
        "inotifywait" | "fswatch" => true,
        _ => false,
    }
}
