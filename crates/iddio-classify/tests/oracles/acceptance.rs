//! What bash and dash call no program, the reader refuses; what they accept and the reader refuses
//! is refused for a reason that is written down here.

use std::{
    collections::BTreeMap,
    process::{Command, Stdio},
};

use iddio_classify::shell::{Dialect, read_as};

use crate::texts::{unwritten, written};

/// A text that a shell refuses and the reader reads.
struct Difference {
    /// What the shell says.
    says: &'static str,
    /// What stands in the text.
    near: &'static str,
    /// Why no harm comes of it: the tree holds at least what would run.
    _reason: &'static str,
}

#[test]
fn what_bash_refuses_we_refuse() {
    compared("/bin/bash", Dialect::Bash, 0xacce, BASH);
}

#[test]
fn what_dash_refuses_we_refuse() {
    compared("/bin/dash", Dialect::Posix, 0xacc5, DASH);
}

fn compared(shell: &str, dialect: Dialect, seed: u64, differences: &[Difference]) {
    let (mut accepted, mut wrong) = (0, Vec::new());
    let mut stricter = BTreeMap::<&str, Vec<String>>::new();
    for text in written().into_iter().chain(unwritten(seed, 1_200)) {
        if text.contains('\0') {
            continue;
        }
        let read = read_as(text.as_bytes(), dialect);
        match (complaint(shell, &text), read) {
            (None, Ok(_)) => accepted += 1,
            (None, Err(error)) => {
                stricter.entry(error.message).or_default().push(text);
            }
            (Some(says), Ok(_)) => {
                let known =
                    |known: &Difference| says.contains(known.says) && text.contains(known.near);
                if !differences.iter().any(known) {
                    wrong.push(format!("{text:?}\n  {says}"));
                }
            }
            (Some(_), Err(_)) => {}
        }
    }
    for (message, texts) in &mut stricter {
        let told =
            |text: &str| STRICTER.iter().any(|known| known.0 == *message && text.contains(known.1));
        texts.retain(|text| !told(text));
    }
    stricter.retain(|_, texts| !texts.is_empty());
    assert!(wrong.is_empty(), "{} read:\n{}", wrong.len(), wrong.join("\n"));
    assert!(stricter.is_empty(), "{shell} accepts, and we do not: {stricter:#?}");
    assert!(500 < accepted, "only {accepted} accepted");
}

/// What `shell` says against a text that it is only to read.
fn complaint(shell: &str, text: &str) -> Option<String> {
    let output = Command::new(shell)
        .args(["-n", "-c", "--", text])
        .env_clear()
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    // It gives up at a test that is none, and calls that a success.
    let refuses = !output.status.success() || told.contains("conditional");
    refuses.then_some(told)
}

#[rustfmt::skip]
const BASH: &[Difference] = &[
    Difference { says: "conditional", near: "[[", _reason: "words and operators are read in any order; a test that is none does not run" },
    Difference { says: "unexpected token", near: "@(", _reason: EXTGLOB },
    Difference { says: "unexpected token", near: "+(", _reason: EXTGLOB },
    Difference { says: "unexpected token", near: "?(", _reason: EXTGLOB },
    Difference { says: "unexpected token", near: "*(", _reason: EXTGLOB },
    Difference { says: "unexpected token", near: "!(", _reason: EXTGLOB },
];

#[rustfmt::skip]
const DASH: &[Difference] = &[
    Difference { says: "\"&\" unexpected", near: ";&", _reason: "other plain shells know it; nothing runs" },
    Difference { says: "Bad function name", near: "()", _reason: "the body is read, and nothing behind it runs" },
    Difference { says: "unexpected", near: "!", _reason: "`!` without a command runs nothing" },
];

const EXTGLOB: &str = "an option of the shell turns these patterns on";

/// What shells accept and the reader refuses: what it says, and what stands in the text. Neither
/// shell reads what stands in backquotes, in `$((` and in here-documents before it runs, and bash
/// gives up in silence at some tests that are none.
#[rustfmt::skip]
const STRICTER: &[(&str, &str)] = &[
    ("`!(` may be a pattern; a blank makes it none", "!("),
    ("`$` before a quote inside a quoted expansion", "${"),
    ("a backquote that is not closed", "`"),
    ("a backslash at the end of the text", "\\"),
    ("a body that is no compound command", "()"),
    ("a carriage return", "\r"),
    ("a character that hides or reorders what is shown", ""),
    ("a closed descriptor with a word right behind", "& -"),
    ("a closed descriptor with a word right behind", "&-"),
    ("a double quote that is not closed", "`"),
    ("a here-document that does not end", "<<"),
    ("a here-document without a body", "<<"),
    ("a here-document's end behind a continued line", "\\\n"),
    ("a here-document's end on a continued line", "\\\n"),
    ("a here-document's end that looks expanded", "<<"),
    ("a here-document's end with odd quotes", "<<"),
    ("a length of something else than a parameter", "${#"),
    ("a line's end inside a line that a here-document waits for", "<<"),
    ("a loop over something that is no variable", "for "),
    ("a pattern that is not closed", "`"),
    ("a reserved word out of place", "<<"),
    ("a reserved word out of place", "`"),
    ("a single quote that is not closed", "`"),
    ("a subshell that is not closed", "$(("),
    ("a subshell that is not closed", "`"),
    ("a substitution that is not closed", "<<"),
    ("a substitution that is not closed", "`"),
    ("an empty pattern, or a function without a name", "()"),
    ("an empty process substitution", "()"),
    ("an escape character", "\x1b"),
    ("an escape for a zero byte", "$'"),
    ("an escape without digits", "$'"),
    ("an expansion of something that is no parameter", "${"),
    ("an expansion that bash does not have", "${"),
    ("an expansion that only bash knows", "${"),
    ("an unknown transformation", "@"),
    ("arithmetic whose end is not sure", "${"),
    ("brackets that may be a subscript", "["),
    ("nested deeper than the limit", ""),
    ("not what a shell's grammar has here", "$(("),
    ("not what a shell's grammar has here", "()"),
    ("not what a shell's grammar has here", "[["),
    ("not what a shell's grammar has here", "`"),
    ("single quotes that may not quote here", "'"),
    ("text right behind an array", "=("),
    ("the text ends in the middle", "${"),
    ("the text ends in the middle", "<<"),
    ("the text ends in the middle", "[["),
    ("the text ends in the middle", "`"),
    ("white space that is not ASCII", ""),
];
