//! Judges one command line as often as told, and tells what that costs (P3, P13); or has another
//! reader of shell programs read it, to compare with.
//!
//! ```text
//! bench_line argv 1000 kubectl get pods
//! bench_line shell 1000 'ls | wc -l'
//! bench_line sitter 1000 'ls | wc -l'
//! bench_line shell 1 '@deep substitutions'
//! ```
//!
//! prints one JSON object. Under callgrind, two runs that differ only in how often they judge tell
//! the instructions of one judgement: none and one that of the first, which unpacks the catalog; one
//! and many that of any other. A text `@NAME` is one of the worst texts of 64 KiB; `families` prints
//! their names.

use std::{hint::black_box, time::Instant};

use iddio_classify::command::{Ambient, judge, shell_line};
use iddio_core::text::RawText;

#[path = "../tests/shell/families.rs"]
mod families;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut words = std::env::args().skip(1);
    let kind = words.next().ok_or(USAGE)?;
    if kind == "families" {
        families::families(FAMILY_BYTES).iter().for_each(|(name, _)| println!("{name}"));
        return Ok(());
    }
    let times: u64 = words.next().ok_or(USAGE)?.parse()?;
    let argv: Vec<RawText> = words.map(RawText::from).collect();
    let text = text(argv.first().and_then(RawText::as_str).ok_or(USAGE)?)?;
    let ambient = Ambient::default();
    match kind.as_str() {
        "argv" => report(times, || judge(black_box(&argv), &ambient).tier().number()),
        "shell" => {
            let text = RawText::from(text);
            report(times, || shell_line(black_box(&text), &ambient).tier().number());
        }
        "sitter" => {
            let mut parser = tree_sitter::Parser::new();
            parser.set_language(&tree_sitter_bash::LANGUAGE.into())?;
            report(times, || {
                let tree = parser.parse(black_box(&text), None);
                u8::from(tree.is_some_and(|tree| !tree.root_node().has_error()))
            });
        }
        "brush" => {
            let options = brush_parser::ParserOptions::default();
            report(times, || {
                let mut parser = brush_parser::Parser::new(black_box(text.as_bytes()), &options);
                u8::from(parser.parse_program().is_ok())
            });
        }
        _ => return Err(USAGE.into()),
    }
    Ok(())
}

fn text(word: &str) -> Result<String, Box<dyn std::error::Error>> {
    let Some(name) = word.strip_prefix('@') else { return Ok(word.to_owned()) };
    let mut all = families::families(FAMILY_BYTES).into_iter();
    let (_, text) = all.find(|(known, _)| *known == name).ok_or("no such text")?;
    Ok(String::from_utf8(text)?)
}

/// Does it once, then as often as told, and prints what one time took: the first, and the least of
/// all rounds of the others.
fn report(times: u64, mut once: impl FnMut() -> u8) {
    let start = Instant::now();
    let answer = (0 < times).then(|| black_box(once()));
    let first = start.elapsed().as_nanos();
    let rounds = ROUNDS.min(times.saturating_sub(1)).max(1);
    let each = times.saturating_sub(1) / rounds;
    let mut least = u128::MAX;
    for _ in 0..rounds {
        let start = Instant::now();
        for _ in 0..each {
            black_box(once());
        }
        least = least.min(start.elapsed().as_nanos() / u128::from(each.max(1)));
    }
    let report = serde_json::json!({ "answer": answer, "first_nanos": first, "each_nanos": least });
    println!("{report}");
}

const USAGE: &str = "bench_line argv|shell|sitter|brush TIMES WORD…";

/// How long the worst texts are: as long as a text may be.
const FAMILY_BYTES: usize = 64 * 1024;

/// In how many rounds the times are parted.
const ROUNDS: u64 = 100;
