//! What is taken out, and what stays.

use super::*;

fn raw(words: &[&str]) -> Vec<RawText> {
    words.iter().map(|word| RawText::from(*word)).collect()
}

/// Splits a line of a table at spaces; `_` inside a word stands for itself, `␣` for a space.
fn split(line: &str) -> Vec<RawText> {
    line.split(' ').map(|word| RawText::from(word.replace('␣', " "))).collect()
}

fn joined(words: &[Redacted]) -> String {
    let shown = words.iter().map(|word| {
        let shown = word.render(&mut |_, _| "***".into());
        shown.as_str().unwrap().replace(' ', "␣")
    });
    shown.collect::<Vec<_>>().join(" ")
}
