//! Whatever program another reader finds in a text, our reader finds or refuses.

use std::thread;

use iddio_classify::shell::read;

use crate::{
    brush,
    names::{beyond, ours},
    sitter,
    texts::{unwritten, written},
};

/// A program that another reader finds where there is none.
struct Mistake {
    reader: Reader,
    /// The program; `%` for any.
    name: &'static str,
    /// What stands in the text, where `%` is the program.
    near: &'static str,
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
            let known = |mistake: &Mistake| {
                mistake.reader == reader
                    && ["%", &name].contains(&mistake.name)
                    && text.contains(&mistake.near.replace('%', &name))
            };
            if !MISTAKES.iter().any(known) {
                missed.push(format!("{text:?}\n  `{name}` of {theirs:?}, ours {ours:?}"));
            }
        }
    }
    assert!(missed.is_empty(), "{} missed:\n{}", missed.len(), missed.join("\n"));
    assert!(500 < both && 1_000 < found, "{reader:?} read {both} texts, with {found} programs");
}

const BIG_STACK: usize = 256 * 1024 * 1024;

#[rustfmt::skip]
const MISTAKES: &[Mistake] = &[
    Mistake { reader: Reader::Brush, name: "%", near: "%<(", _reason: "a process substitution goes on with a word" },
    Mistake { reader: Reader::Brush, name: "{x}", near: "{x}<", _reason: "`{NAME}` before a redirection is a descriptor" },
    Mistake { reader: Reader::Brush, name: "{x}", near: "{x}>", _reason: "`{NAME}` before a redirection is a descriptor" },
    Mistake { reader: Reader::Brush, name: "a[1", near: "%; rm", _reason: "a subscript goes on to its bracket" },
    Mistake { reader: Reader::Brush, name: "rm", near: "a[1; % ]=", _reason: "a subscript goes on to its bracket" },
    Mistake { reader: Reader::Brush, name: "rm]=x", near: "a[1; %", _reason: "a subscript goes on to its bracket" },
    Mistake { reader: Reader::Brush, name: "x[", near: "x[&& m5]=", _reason: "a subscript goes on to its bracket" },
    Mistake { reader: Reader::Brush, name: "m5]=1declare", near: "x[&& m5]=", _reason: "a subscript goes on to its bracket" },
    Mistake { reader: Reader::TreeSitter, name: "%", near: "%<(", _reason: "a process substitution goes on with a word" },
    Mistake { reader: Reader::TreeSitter, name: "%", near: "%\\\n", _reason: "a word goes on behind a line continuation" },
    Mistake { reader: Reader::TreeSitter, name: "%", near: "[(%)]", _reason: "a parenthesis in a subscript is arithmetic" },
    Mistake { reader: Reader::TreeSitter, name: "%", near: "$[", _reason: "`$[…]` is arithmetic" },
    Mistake { reader: Reader::TreeSitter, name: "coproc", near: "coproc ", _reason: "a reserved word" },
    Mistake { reader: Reader::TreeSitter, name: "ech{y:-", near: "%`", _reason: "a substitution goes on with a word" },
    Mistake { reader: Reader::TreeSitter, name: "fi", near: "i\\\nf ", _reason: "a reserved word; its `if` is continued" },
    Mistake { reader: Reader::TreeSitter, name: "time", near: "time", _reason: "a reserved word" },
    Mistake { reader: Reader::TreeSitter, name: "x", near: "<<E |\nx\nE", _reason: "a here-document's body" },
    Mistake { reader: Reader::TreeSitter, name: "}", near: "coproc ", _reason: "the end of a coprocess" },
];
