//! Counts what judging a command line allocates, once the catalogs are there:
//! `count_line argv|shell WORD…`.
//!
//! It stands apart from `bench_line`, because counting costs a third of what it counts.

use std::hint::black_box;

use iddio_classify::command::{Ambient, judge, shell_line};
use iddio_core::text::RawText;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut words = std::env::args().skip(1);
    let kind = words.next().ok_or(USAGE)?;
    let argv: Vec<RawText> = words.map(RawText::from).collect();
    let text = argv.first().ok_or(USAGE)?;
    let ambient = Ambient::default();
    let once = || match kind.as_str() {
        "shell" => shell_line(black_box(text), &ambient),
        _ => judge(black_box(&argv), &ambient),
    };
    let _first = black_box(once());
    let counted = allocation_counter::measure(|| {
        let _judged = black_box(once());
    });
    let (count, bytes) = (counted.count_total, counted.bytes_total);
    println!("{}", serde_json::json!({ "allocations": count, "bytes": bytes }));
    Ok(())
}

const USAGE: &str = "count_line argv|shell WORD…";
