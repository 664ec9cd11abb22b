//! Judges one command line as often as told, and tells what that costs (P3, P13).
//!
//! ```text
//! bench_line argv 1000 kubectl get pods
//! bench_line shell 1000 'ls | wc -l'
//! ```
//!
//! prints one JSON object. Under callgrind, two runs that differ only in how often they judge tell
//! the instructions of one judgement: none and one that of the first, which reads the catalog; one
//! and many that of any other.

use std::{hint::black_box, time::Instant};

use iddio_classify::command::{Ambient, Judged, judge, shell_line};
use iddio_core::text::RawText;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut words = std::env::args().skip(1);
    let kind = words.next().ok_or(USAGE)?;
    let times: u64 = words.next().ok_or(USAGE)?.parse()?;
    let argv: Vec<RawText> = words.map(RawText::from).collect();
    let ambient = Ambient::default();
    let once = || -> Option<Judged> {
        match kind.as_str() {
            "argv" => Some(judge(black_box(&argv), &ambient)),
            "shell" => argv.first().map(|text| shell_line(black_box(text), &ambient)),
            _ => None,
        }
    };
    let start = Instant::now();
    let mut tier = None;
    for _ in 0..times.min(1) {
        tier = Some(black_box(once()).ok_or(USAGE)?.tier().number());
    }
    let first = start.elapsed().as_nanos();
    let start = Instant::now();
    for _ in 1..times {
        let _judged = black_box(once());
    }
    let each = start.elapsed().as_nanos() / u128::from(times.max(2) - 1);
    let counted = allocation_counter::measure(|| {
        if times > 1 {
            let _judged = black_box(once());
        }
    });
    let report = serde_json::json!({
        "tier": tier, "first_nanos": first, "each_nanos": each,
        "allocations": counted.count_total, "bytes": counted.bytes_total,
    });
    println!("{report}");
    Ok(())
}

const USAGE: &str = "bench_line argv|shell TIMES WORD…";
