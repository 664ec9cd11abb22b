//! Whatever program another reader finds in a text, our reader finds or refuses.

use std::thread;

use iddio_classify::shell::read;

use crate::{
    brush,
    names::{beyond, ours},
    sitter,
    texts::{unwritten, written},
};

/// A way in which another reader finds a program where there is none.
struct Mistake {
    reader: Reader,
    /// Whether it may be what made the reader find a program (the second) in a text (the first).
    made: fn(&str, &str) -> bool,
    /// Why bash does not run it.
    _reason: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Reader {
    Brush,
    TreeSitter,
}

#[test]
fn whatever_brush_finds_we_find() {
    // It recurses as deep as a text nests.
    let check =
        || compared(Reader::Brush, |text| brush::answers(text).then(|| brush::names(text))?);
    thread::Builder::new().stack_size(BIG_STACK).spawn(check).unwrap().join().unwrap();
}

#[test]
fn whatever_tree_sitter_finds_we_find() {
    compared(Reader::TreeSitter, sitter::names);
}

fn compared(reader: Reader, names: impl Fn(&str) -> Option<Vec<String>>) {
    let (mut both, mut found, mut missed) = (0, 0, Vec::new());
    let all = written().into_iter().chain(unwritten(0x0bac1e, 4_000));
    for text in all {
        let Ok(script) = read(text.as_bytes()) else { continue };
        let Some(theirs) = names(&text) else { continue };
        both += 1;
        found += theirs.len();
        let ours = ours(&script);
        for name in beyond(&theirs, &ours) {
            let known =
                |mistake: &Mistake| mistake.reader == reader && (mistake.made)(&text, &name);
            if !MISTAKES.iter().any(known) {
                missed.push(format!("{text:?}\n  `{name}` of {theirs:?}, ours {ours:?}"));
            }
        }
    }
    assert!(missed.is_empty(), "{} missed:\n{}", missed.len(), missed.join("\n"));
    assert!(500 < both && 1_000 < found, "{reader:?} read {both} texts, with {found} programs");
}

const BIG_STACK: usize = 256 * 1024 * 1024;

/// Whether `name` stands in a text right before one of `ends`.
fn before(text: &str, name: &str, ends: &[&str]) -> bool {
    ends.iter().any(|end| text.contains(&format!("{name}{end}")))
}

/// Whether a text has a subscript with a blank or an operator in it.
fn has_odd_subscript(text: &str, _: &str) -> bool {
    let odd =
        |inside: &str| inside.contains([' ', '\n', '\t', ';', '&', '|', '<', '>', '(', ')', '{']);
    text.split('[')
        .skip(1)
        .any(|rest| rest.contains(']') && rest.split(']').next().is_some_and(odd))
}

/// Whether a text has a pattern in parentheses.
fn has_pattern(text: &str, _: &str) -> bool {
    ["@(", "+(", "?(", "*(", "!("].iter().any(|open| text.contains(open))
}

#[rustfmt::skip]
const MISTAKES: &[Mistake] = &[
    Mistake { reader: Reader::Brush, made: |text, name| before(text, name, &["<(", ">("]), _reason: "a process substitution goes on with a word" },
    Mistake { reader: Reader::Brush, made: |text, name| name.starts_with('{') && before(text, name, &["<", ">"]), _reason: "`{NAME}` before a redirection is a descriptor" },
    Mistake { reader: Reader::Brush, made: has_odd_subscript, _reason: "a subscript goes on to its bracket" },
    Mistake { reader: Reader::Brush, made: |text, name| name == "time" && text.contains("! time"), _reason: "a reserved word behind another" },
    Mistake { reader: Reader::TreeSitter, made: |text, name| before(text, name, &["<(", ">("]), _reason: "a process substitution goes on with a word" },
    Mistake { reader: Reader::TreeSitter, made: |text, name| before(text, name, &["\\", "`", "\"", "'", "$"]), _reason: "a word goes on behind quotes, substitutions and line continuations" },
    Mistake { reader: Reader::TreeSitter, made: has_pattern, _reason: "it does not know patterns in parentheses" },
    Mistake { reader: Reader::TreeSitter, made: |text, name| text.contains(&format!("[({name})]")), _reason: "a parenthesis in a subscript is arithmetic" },
    Mistake { reader: Reader::TreeSitter, made: |text, _| text.contains("$["), _reason: "`$[…]` is arithmetic" },
    Mistake { reader: Reader::TreeSitter, made: |text, _| text.contains("$(("), _reason: "it reads arithmetic with blanks as commands" },
    Mistake { reader: Reader::TreeSitter, made: |text, name| name == "coproc" && text.contains("coproc "), _reason: "a reserved word" },
    Mistake { reader: Reader::TreeSitter, made: |text, name| name == "}" && text.contains("coproc "), _reason: "the end of a coprocess" },
    Mistake { reader: Reader::TreeSitter, made: |text, name| name == "fi" && text.contains("i\\\nf "), _reason: "a reserved word; its `if` is continued" },
    Mistake { reader: Reader::TreeSitter, made: |text, name| ["!", "for", "do", "done"].contains(&name) && text.contains("! "), _reason: "a reserved word behind `!`" },
    Mistake { reader: Reader::TreeSitter, made: |text, name| text.contains(&format!("\\ {name}")) || name == "] }", _reason: "it loses blanks at the beginning of a word, and takes some for it" },
    Mistake { reader: Reader::TreeSitter, made: |text, _| text.contains("= -"), _reason: "what is assigned may be nothing" },
    Mistake { reader: Reader::TreeSitter, made: |_, name| name == "time", _reason: "a reserved word" },
    Mistake { reader: Reader::TreeSitter, made: |text, _| text.contains("\\`"), _reason: "backquotes inside backquotes are text to it" },
    Mistake { reader: Reader::TreeSitter, made: |text, name| text.contains("<<") && text.contains(&format!("\n{name}\n")), _reason: "a here-document's body" },
    Mistake { reader: Reader::TreeSitter, made: |text, name| text.contains("<<") && text.contains(&format!("&& {name}\n")), _reason: "what stands behind `<<` on its line it reads twice" },
    Mistake { reader: Reader::TreeSitter, made: |text, name| text.contains(&format!("=1 {name}")), _reason: "an assignment whose name is none is the program" },
];
