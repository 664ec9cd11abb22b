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
        if !holds {
            let shown: String = line.cmd.chars().take(100).collect();
            wrong.push(format!("{} `{shown}`: T{tier}, not {}", line.id, line.expect));
        }
    }
    assert!(wrong.is_empty(), "{} lines\n{}", wrong.len(), wrong.join("\n"));
    assert!(seen > 180, "only {seen} lines");
}
