//! Random texts run by real shells: whatever program runs, the reader found it or refused.
//!
//! The texts are made of tokens that mean something to a shell; the only programs are ten that note
//! that they ran. Nothing but those, reserved words and harmless builtins can be named.

use iddio_classify::shell::{Dialect, read_as};

use crate::{
    kit::{Dice, Playground, times},
    show::{Quotes, show},
};

#[test]
fn whatever_bash_runs_was_found() {
    what_runs_was_found("/bin/bash", Dialect::Bash, 0x0b45);
}

#[test]
fn whatever_dash_runs_was_found() {
    what_runs_was_found("/bin/dash", Dialect::Posix, 0xda55);
}

fn what_runs_was_found(shell: &str, dialect: Dialect, seed: u64) {
    let playground = Playground::new();
    let mut dice = Dice::new(seed);
    let (mut found, mut refused, mut missed) = (0, 0, Vec::new());
    let mut tried = 0;
    while tried < times(400) {
        let text = soup(&mut dice);
        let Ok(script) = read_as(text.as_bytes(), dialect) else {
            refused += 1;
            continue;
        };
        tried += 1;
        let shown = show(&script, Quotes::Removed);
        let ran = playground.ran(shell, &text);
        found += usize::from(!ran.is_empty());
        // A program whose name is made while it runs may be any of them.
        let made = |word: &str| {
            word.split([' ', ')']).next().is_some_and(|word| word.contains(['$', '*', '?', '[']))
        };
        let names_anything = shown.split("(run ").skip(1).any(made);
        let unseen = ran.iter().any(|program| {
            let at = |end: &str| shown.contains(&format!("(run {program}{end}"));
            !at(" ") && !at(")")
        });
        if unseen && !names_anything {
            missed.push(format!("{text:?}\n  ran {ran:?}\n  read {shown}"));
        }
    }
    assert!(missed.is_empty(), "{} missed:\n{}", missed.len(), missed.join("\n"));
    assert!(tried / 20 < found as u64, "only {found} of {tried} ran anything ({refused} refused)");
}

/// A text whose tokens are mostly in places where they may stand.
fn soup(dice: &mut Dice) -> String {
    let mut text = String::new();
    for _ in 0..=dice.below(14) {
        match dice.below(10) {
            0..3 => text.push_str(dice.pick(COMMANDS)),
            3 => text.push_str(dice.pick(FRAMES)),
            4 => {
                let frame = dice.pick(FRAMES);
                text = frame.replacen("m9", &text, 1);
            }
            5 => text.push_str(dice.pick(&[" ", ";", "\n", " "])),
            _ => text.push_str(dice.pick(TOKENS)),
        }
    }
    // One bite out of it.
    if dice.below(4) == 0 && !text.is_empty() {
        let at = dice.below(text.len());
        if text.is_char_boundary(at) && text.is_char_boundary(at + 1) {
            text.remove(at);
        }
    }
    text
}

const COMMANDS: &[&str] =
    &["m0", "m1 ", "m2;", "m3\n", "; m4", "&& m5", "| m6", " m7 ", "& m8", "x=1 m1"];

const FRAMES: &[&str] = &[
    "$(m9)",
    "`m9`",
    "\"$(m9)\"",
    "(m9)",
    "{ m9; }",
    "((m9))",
    "((m9) )",
    "$((m9))",
    "$((m9) )",
    "$[m9]",
    "[[ m9 ]]",
    "[[ x =~ m9 ]]",
    "[[ -n m9 && x ]]",
    "<(m9)",
    "m1 <(m9)",
    "if m9; then m1; fi",
    "while m9; do break; done",
    "for x in m9; do m2; done",
    "for ((m9;;)); do break; done",
    "case m9 in x) m3;; esac",
    "case x in m9) m4;; x) m5; esac",
    "f() { m9; }; f",
    "function f { m9; }; f",
    "f() ( m9 ); f",
    "x=(m9)",
    "x[m9]=1",
    "x[m9",
    "declare x=(m9)",
    "${x:-m9}",
    "m1 ${x:-$(m9)}",
    "\"${x:-m9}\"",
    "${x#m9}",
    "\"${x%m9}\"",
    "${x/m9/}",
    "${x:m9}",
    "${x[m9]}",
    "m1 <<E\nm9\nE\n",
    "m1 <<'E'\nm9\nE\n",
    "m1 <<-E\n\tm9\n\tE\n",
    "m1 <<E\n$(m9)\nE\n",
    "'m9'",
    "\"m9\"",
    "$'m9'",
    "$\"m9\"",
    "# m9\n",
    "m1 # m9",
    "coproc m9",
    "coproc x { m9; }",
    "time m9",
    "! m9",
    "m1 |& m9",
    "m1 &> o1; m9",
    "m1 2>&1 m9",
    "{ m9; } 2>o1",
    "select x in m9; do m1; break; done",
    "@(m9)",
    "m1 @(m9|x)",
    "!(m9)",
    "m1 $'\\'m9'",
    "\\\nm9",
    "m1 <<< m9",
    "{x}<o1 m9",
    ">o1 m9",
    "2>o1 m9",
    "m1 >&- m9",
    "m1 <<E m9\nE\n",
    "m1 $(m2 <<E\nm9\nE\n)",
    "until m9; do m1; done",
    "m1 `m2 \\`m9\\``",
    "\"`m9`\"",
    "m1 \"${x:-\"m9\"}\"",
    "m1 ${x:-'m9'}",
    "if (m9) then m1; fi",
    "{ m1; { m9; } }",
    "m1 <<\\E\nm9\nE\n",
    "m1 <<\"E\"\n`m9`\nE\n",
    "m1 <<E <<F\nm9\nE\nm8\nF\n",
    "m1 <<E | m2\nm9\nE\n",
    "f() if m9; then m1; fi; f",
    "f() m9; f",
    "m1 $((1 + $(m9)))",
    "x=m9",
    "x+=m9",
    "x=$(m9) m1",
    "time -p m9",
    "${!x}m9",
    "${#x}m9",
    "${x@Q}m9",
    "[[ a < m9 ]]",
    "[[ a || m9 ]]",
    "[ a ] m9",
    "case x in (x) m9;; esac",
    "case x in x) m1;& y) m9;; esac",
    "case x in x|y) m9;;& esac",
    "for x; do m9; done",
    "for x in a; { m9; }",
    "echo",
    "${ m9; }",
    "${| m9; }",
    "m1 \"'$(m9)'\"",
    "m1 '\"$(m9)\"'",
    "m1 \\\"$(m9)\\\"",
    "m1 a#$(m9)",
];

const TOKENS: &[&str] = &[
    " ",
    " ",
    "\n",
    ";",
    "&",
    "|",
    "&&",
    "||",
    "(",
    ")",
    "{ ",
    "; }",
    "}",
    "'",
    "\"",
    "`",
    "\\",
    "$",
    "$(",
    "${",
    "$((",
    "))",
    "((",
    "#",
    " #",
    "<",
    ">",
    ">>",
    "<<",
    "<<E\n",
    "\nE\n",
    "<<<",
    "<(",
    ">(",
    "&>",
    ">&",
    "2>",
    "if ",
    " then ",
    " fi ",
    " do ",
    " done ",
    "case ",
    " in ",
    " esac",
    ";;",
    "!",
    "! ",
    "time ",
    "[[ ",
    " ]]",
    "[",
    "]",
    "x",
    "x=",
    "x=(",
    "f() ",
    "function f ",
    "coproc ",
    "=",
    "+=",
    "*",
    "?",
    "@(",
    "+(",
    "!(",
    "$'",
    "$\"",
    "\\\n",
    "\t",
    "-",
    "1",
    "E",
    ":",
    "else ",
    "elif ",
    "while ",
    "until ",
    "for x in ",
    "select x in ",
    "$[",
    "${x",
    "}",
    "\\\"",
    "\\'",
    "\\`",
    "\\\\",
    "$x",
    "${x:-",
    "${x/",
    "%",
    ",",
    "o1",
    "-p ",
    "~",
    "declare ",
    "local ",
    "export ",
    ":; ",
    "true ",
];
