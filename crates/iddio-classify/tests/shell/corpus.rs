//! Every line that people wrote is read, but for six that hide something or nest without an end.

use std::collections::BTreeSet;

use iddio_classify::shell::read;

/// A carriage return, white space that is not ASCII, an override of the direction, an escape, and
/// two that nest without an end.
const REFUSED: [&str; 6] = ["SH-183", "SH-186", "SH-190", "SH-191", "SH-195", "SH-196"];

#[test]
fn every_line_of_the_corpus_is_read_but_for_six() {
    let refused = refused(include_str!("../../../../tests/vectors/commands.jsonl"));
    assert_eq!(refused, REFUSED.map(str::to_owned).into());
}

#[test]
fn every_benign_line_is_read() {
    let refused = refused(include_str!("../../../../tests/vectors/benign.jsonl"));
    assert_eq!(refused, BTreeSet::new());
}

fn refused(lines: &str) -> BTreeSet<String> {
    let rows = lines.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let rows: Vec<_> = rows.collect();
    assert!(100 < rows.len());
    let refused = rows.iter().filter(|row| read(row["cmd"].as_str().unwrap().as_bytes()).is_err());
    refused.map(|row| row["id"].as_str().unwrap().to_owned()).collect()
}
