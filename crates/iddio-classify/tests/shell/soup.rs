//! Random texts run by real shells: whatever program runs, the reader found it or refused.
//!
//! The texts name ten programs that note that they ran, reserved words and harmless builtins.

use iddio_classify::shell::{Dialect, read_as};

use crate::{
    kit::{Dice, Playground, times},
    programs::soup,
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
