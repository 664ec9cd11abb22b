//! Random programs made of tokens that mean something to a shell.
//!
//! The only programs that they name are `m0` to `m9`, reserved words and harmless builtins.

use crate::kit::Dice;

/// A text whose tokens are mostly in places where they may stand.
pub(crate) fn soup(dice: &mut Dice) -> String {
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
    if dice.below(4) == 0 { bitten(dice, &text) } else { text }
}

/// The same text with one thing changed: a byte away, a token more, or a piece elsewhere.
pub(crate) fn mutated(dice: &mut Dice, text: &str) -> String {
    let place = |dice: &mut Dice| {
        let at = dice.below(text.len() + 1);
        (at..=text.len()).find(|at| text.is_char_boundary(*at)).unwrap()
    };
    let (one, other) = (place(dice), place(dice));
    let (from, to) = (one.min(other), one.max(other));
    match dice.below(4) {
        0 => bitten(dice, text),
        1 => [&text[..from], &text[to..]].concat(),
        2 => [&text[..to], &text[from..]].concat(),
        _ => [&text[..from], dice.pick(TOKENS), &text[from..]].concat(),
    }
}

/// One bite out of a text.
fn bitten(dice: &mut Dice, text: &str) -> String {
    let mut text = text.to_owned();
    if !text.is_empty() {
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
