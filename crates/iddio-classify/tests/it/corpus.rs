//! The corpus of command lines: each has the tier it must have, or the least it may have.

use iddio_classify::command::{Ambient, shell_line};
use iddio_core::text::RawText;
use serde::Deserialize;

#[derive(Deserialize)]
struct Line {
    id: String,
    cmd: String,
    expect: String,
}

fn corpus() -> Vec<Line> {
    let text = include_str!("../../../../tests/vectors/commands.jsonl");
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Lines that wait for a catalog or a language.
const WAITING: [&str; 8] =
    ["SH-022", "SH-029", "SH-057", "SH-155", "SH-284", "SH-285", "SH-292", "SH-294"];

#[test]
fn every_line_of_the_corpus_meets_its_bound() {
    let mut wrong = Vec::new();
    let mut seen = 0;
    for line in corpus() {
        seen += 1;
        let tier =
            shell_line(&RawText::from(line.cmd.as_str()), &Ambient::default()).tier().number();
        let holds = match line.expect.strip_prefix(">=") {
            Some(least) => least.parse::<u8>().unwrap() <= tier,
            None => line.expect.strip_prefix('=').unwrap().parse::<u8>().unwrap() == tier,
        };
        let waits = WAITING.contains(&line.id.as_str());
        if holds && waits {
            wrong.push(format!("{} waits for nothing any more", line.id));
        }
        if !holds && !waits {
            let shown: String = line.cmd.chars().take(100).collect();
            wrong.push(format!("{} `{shown}`: T{tier}, not {}", line.id, line.expect));
        }
    }
    assert!(wrong.is_empty(), "{} lines\n{}", wrong.len(), wrong.join("\n"));
    assert!(seen > 180, "only {seen} lines");
}
