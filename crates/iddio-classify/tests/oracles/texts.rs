//! The texts that readers are compared on.

use crate::{
    kit::{Dice, times},
    programs::{mutated, soup},
    rows::{POSIX, READ, REFUSED, text},
};

/// Returns texts that people wrote: the corpus, the benign set, the tables of the reader.
pub(crate) fn written() -> Vec<String> {
    let line = |line: &str| {
        let row: serde_json::Value = serde_json::from_str(line).unwrap();
        row["cmd"].as_str().unwrap().to_owned()
    };
    let corpus = include_str!("../../../../tests/vectors/commands.jsonl");
    let benign = include_str!("../../../../tests/vectors/benign.jsonl");
    let mut texts: Vec<_> = corpus.lines().chain(benign.lines()).map(line).collect();
    texts.extend(
        [READ, REFUSED, POSIX].iter().flat_map(|table| table.iter().map(|row| text(row.0))),
    );
    texts
}

/// Returns texts that nobody wrote: random programs, and the written ones with one thing changed.
pub(crate) fn unwritten(seed: u64, count: u64) -> Vec<String> {
    let mut dice = Dice::new(seed);
    let written = written();
    let mut texts = Vec::new();
    for turn in 0..times(count) {
        let text = if turn % 2 == 0 {
            soup(&mut dice)
        } else {
            let at = dice.below(written.len());
            mutated(&mut dice, &written[at])
        };
        texts.push(text);
    }
    texts
}
