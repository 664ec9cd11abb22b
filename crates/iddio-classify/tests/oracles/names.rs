//! Names of programs as they stand in a text.

use iddio_classify::shell::ast::{CommandKind, Part, Script};

use crate::visit::{Node, visit};

/// Returns the names of simple commands that a tree holds, at any depth, as far as they are literal.
pub(crate) fn ours(script: &Script) -> Vec<String> {
    let mut names = Vec::new();
    visit(script, &mut |node| {
        if let Node::Command(command) = node
            && let CommandKind::Simple(simple) = &command.kind
            && let Some(word) = simple.words.first()
            && let Some(name) = literal(&word.parts)
        {
            names.push(String::from_utf8(name).unwrap());
        }
    });
    names
}

fn literal(parts: &[Part]) -> Option<Vec<u8>> {
    let mut text = Vec::new();
    for part in parts {
        match part {
            Part::Quoted(bytes) | Part::Text(bytes) => text.extend_from_slice(bytes),
            Part::Double(parts) => text.extend(literal(parts)?),
            _ => return None,
        }
    }
    Some(text)
}

/// Removes the quotes of a word; `None` if something in it is expanded or decoded.
pub(crate) fn unquoted(raw: &str) -> Option<String> {
    let mut text = String::new();
    let mut letters = raw.chars();
    let mut double = false;
    while let Some(letter) = letters.next() {
        match letter {
            '$' | '`' => return None,
            '<' | '>' if !double => return None,
            '"' => double = !double,
            '\'' if !double => text.extend(letters.by_ref().take_while(|letter| *letter != '\'')),
            '\\' => match letters.next()? {
                '\n' => {}
                next @ ('"' | '\\' | '$' | '`') => text.push(next),
                next if double => text.extend(['\\', next]),
                next => text.push(next),
            },
            other => text.push(other),
        }
    }
    Some(text)
}

/// Returns what is in `these` more often than in `those`.
pub(crate) fn beyond(these: &[String], those: &[String]) -> Vec<String> {
    let mut left = those.to_vec();
    let mut beyond = Vec::new();
    for name in these {
        match left.iter().position(|other| other == name) {
            Some(at) => drop(left.swap_remove(at)),
            None => beyond.push(name.clone()),
        }
    }
    beyond
}
