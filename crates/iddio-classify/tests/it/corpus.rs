//! The corpora of command lines: each has the tier it must have, or the least it may have.

use iddio_classify::command::{Ambient, shell_line};
use iddio_core::text::RawText;
use serde::Deserialize;

#[derive(Deserialize)]
struct Line {
    id: String,
    cmd: String,
    expect: String,
}

/// Returns every line that is judged otherwise, and how many lines there are.
fn wrong(corpus: &str) -> (Vec<String>, usize) {
    let lines: Vec<Line> = corpus.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut wrong = Vec::new();
    for line in &lines {
        let tier =
            shell_line(&RawText::from(line.cmd.as_str()), &Ambient::default()).tier().number();
        let holds = match line.expect.strip_prefix(">=") {
            Some(least) => least.parse::<u8>().unwrap() <= tier,
            None => line.expect.strip_prefix('=').unwrap().parse::<u8>().unwrap() == tier,
        };
        if !holds {
            let shown: String = line.cmd.chars().take(100).collect();
            wrong.push(format!("{} `{shown}`: T{tier}, not {}", line.id, line.expect));
        }
    }
    (wrong, lines.len())
}

#[test]
fn every_line_of_the_corpus_meets_its_bound() {
    let (wrong, seen) = wrong(include_str!("../../../../tests/vectors/commands.jsonl"));
    assert!(wrong.is_empty(), "{} lines\n{}", wrong.len(), wrong.join("\n"));
    assert!(seen > 180, "only {seen} lines");
}

#[test]
fn every_line_of_the_larger_corpus_meets_its_bound() {
    let text = include_str!("../../../../tests/vectors/commands-more.jsonl");
    let (wrong, seen) = wrong(text);
    assert!(wrong.is_empty(), "{} lines\n{}", wrong.len(), wrong.join("\n"));
    assert!(seen > 870, "only {seen} lines");
}
