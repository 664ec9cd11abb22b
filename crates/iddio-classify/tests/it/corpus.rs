//! The corpus of command lines, as far as it needs no shell.
//!
//! Its lines are for a shell. A line without anything a shell would read is one simple command,
//! whose words are its arguments; the others are answered as unread until a shell is read.

use iddio_classify::command::{Ambient, shell_line};
use iddio_core::{text::RawText, tier::Tier};
use serde::Deserialize;

use crate::kit::judged;

#[derive(Deserialize)]
struct Line {
    id: String,
    class: String,
    cmd: String,
    expect: String,
}

fn corpus() -> Vec<Line> {
    let text = include_str!("../../../../tests/vectors/commands.jsonl");
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Splits a line that no shell would change: spaces part, single quotes quote.
fn plain(line: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quoted = false;
    for letter in line.chars() {
        match letter {
            '\'' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            _ if quoted => word.get_or_insert_default().push(letter),
            ' ' => words.extend(word.take()),
            '|' | '&' | ';' | '<' | '>' | '(' | ')' | '$' | '`' | '\\' | '"' | '*' | '?' | '['
            | ']' | '#' | '{' | '}' | '\n' | '\r' => return None,
            _ => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    (!quoted).then_some(words)
}

#[test]
fn every_plain_line_of_our_tools_meets_its_bound() {
    let mut wrong = Vec::new();
    let mut seen = 0;
    for line in corpus() {
        let ours = ["kubectl ", "terraform ", "tofu ", "helm ", "aws "];
        let class = ["I ", "J ", "K "].iter().any(|class| line.class.starts_with(class));
        if !class && !ours.iter().any(|tool| line.cmd.starts_with(tool)) {
            continue;
        }
        let Some(words) = plain(&line.cmd) else { continue };
        seen += 1;
        let tier = judged(&words).operation.native_tier().number();
        let holds = match line.expect.strip_prefix(">=") {
            Some(least) => least.parse::<u8>().unwrap() <= tier,
            None => line.expect.strip_prefix('=').unwrap().parse::<u8>().unwrap() == tier,
        };
        if !holds {
            wrong.push(format!("{} `{}`: T{tier}, not {}", line.id, line.cmd, line.expect));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(seen > 50, "only {seen} lines");
}

#[test]
fn no_plain_line_of_the_corpus_falls_below_its_floor() {
    let mut wrong = Vec::new();
    for line in corpus() {
        let Some(words) = plain(&line.cmd) else { continue };
        let Some(least) = line.expect.strip_prefix(">=") else { continue };
        let least: u8 = least.parse().unwrap();
        let tier = judged(&words).operation.native_tier().number();
        // An unknown program has tier 3 until it has a catalog (a later version).
        if tier < least.min(3) {
            wrong.push(format!("{} `{}`: T{tier}, not {}", line.id, line.cmd, line.expect));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn text_for_a_shell_is_break_glass() {
    for line in corpus() {
        let judged = shell_line(&RawText::from(line.cmd.as_str()), &Ambient::default());
        assert_eq!(judged.operation.native_tier(), Tier::BreakGlass);
    }
}
