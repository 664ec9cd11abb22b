//! What the reader makes of texts, and what it refuses.

use iddio_classify::shell::{DEPTH_MAX, Dialect, TEXT_BYTES_MAX, read, read_as};

use crate::{
    rows::{POSIX, READ, REFUSED, text},
    show::{Quotes, show},
};

#[test]
fn bash_is_read_as_bash_means_it() {
    let mut wrong = Vec::new();
    for (row, expected) in READ {
        let shown = match read(text(row).as_bytes()) {
            Ok(script) => show(&script, Quotes::Kept),
            Err(error) => format!("refused: {error}"),
        };
        if shown != *expected {
            wrong.push(format!("{row}\x01{shown}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_plain_shell_finds_other_commands() {
    for (row, expected) in POSIX {
        let shown = match read_as(text(row).as_bytes(), Dialect::Posix) {
            Ok(script) => show(&script, Quotes::Kept),
            Err(error) => format!("refused: {error}"),
        };
        assert_eq!(shown, *expected, "{row}");
    }
}

#[test]
fn what_is_no_program_is_refused_with_its_reason() {
    for (row, reason) in REFUSED {
        let Err(error) = read(text(row).as_bytes()) else { panic!("`{row}` is read") };
        assert!(error.message.contains(reason), "`{row}`: {error}");
    }
}

#[test]
fn depth_and_size_are_bounded_on_a_small_stack() {
    let levels = [
        "$(",
        "( ",
        "{ ",
        "((",
        "\"$(",
        "${x:-",
        "$((",
        "<(",
        "if a; then ",
        "[[ $(",
        "x[$(",
        "a=(<(",
        "f() { ",
        "\"${x:-",
    ];
    let nested = |open: &str, times: usize| open.repeat(times);
    let check = move || {
        for open in levels {
            for times in [DEPTH_MAX - 1, DEPTH_MAX + 1, 4_000] {
                assert!(read(nested(open, times).as_bytes()).is_err(), "{times} times {open}");
            }
        }
        for (open, close) in [
            ("$(", ")"),
            ("( ", ")"),
            ("{ ", "; }"),
            ("\"$(", ")\""),
            ("${x:-", "}"),
            ("if a; then ", "; fi"),
            ("<(", ")"),
        ] {
            let at = DEPTH_MAX / open.matches(['"', '(', '{', 'i']).count().max(1);
            let text = [open.repeat(at), "a".to_owned(), close.repeat(at)].concat();
            let script = read(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(script.clone(), script);
            assert!(100 < format!("{script:?}").len());
        }
        let long = "a".repeat(TEXT_BYTES_MAX + 1);
        assert!(read(long.as_bytes()).is_err());
        assert!(read(&long.as_bytes()[1..]).is_ok());
    };
    std::thread::Builder::new().stack_size(SMALL_STACK).spawn(check).unwrap().join().unwrap();
}

#[test]
fn a_plain_word_stands_where_its_span_says() {
    for (row, _) in READ {
        let text = text(row);
        for (word, at) in crate::show::plain_words(&read(text.as_bytes()).unwrap()) {
            let there = text.get(at.start as usize..at.end as usize).unwrap();
            assert_eq!(there.replace("\\\n", "").replace("\\`", "`"), word, "{row}");
        }
    }
}

/// What the reader gets by with, in a debug build.
const SMALL_STACK: usize = 1024 * 1024;
