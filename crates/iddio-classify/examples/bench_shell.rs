//! Reads shell texts as often as told: `bench_shell TIMES`; with `-` instead, shows the tree of
//! what stands on standard input.
//!
//! Under callgrind, two runs that differ only in their times tell the instructions of one reading.

use std::{hint::black_box, io::Read as _, time::Instant};

use iddio_classify::shell::read;

fn main() {
    let first = std::env::args().nth(1);
    if first.as_deref() == Some("-") {
        let mut text = Vec::new();
        let _read = std::io::stdin().read_to_end(&mut text);
        println!("{:#?}", read(&text));
        return;
    }
    let times = first.and_then(|times| times.parse().ok()).unwrap_or(1u32);
    for (name, text) in texts() {
        let start = Instant::now();
        let mut lists = 0;
        for _ in 0..times {
            lists += read(black_box(&text)).map_or(0, |script| script.lists.len());
        }
        let nanos = start.elapsed().as_nanos() / u128::from(times.max(1));
        println!(
            "{{\"text\": \"{name}\", \"bytes\": {}, \"nanos\": {nanos}, \"lists\": {lists}}}",
            text.len()
        );
    }
}

/// What a host's gateway sees, and the worst of 64 KiB.
fn texts() -> Vec<(&'static str, Vec<u8>)> {
    let fill = |piece: &str| piece.as_bytes().iter().copied().cycle().take(64 * 1024).collect();
    let nested = |open: &str, levels: usize, middle: &str, close: &str| {
        [open.repeat(levels), middle.repeat(60_000 / middle.len()), close.repeat(levels)]
            .concat()
            .into_bytes()
    };
    vec![
        ("plain", b"ls -la /var/log/nginx".to_vec()),
        ("line", LINE.as_bytes().to_vec()),
        ("letters", fill("a")),
        ("words", fill("a ")),
        ("lists", fill("a;")),
        ("lines", fill("a\n")),
        ("continuations", fill("\\\n")),
        ("continued words", fill("i\\\nf")),
        ("pipes", fill("a|")),
        ("quotes", fill("'a'\"b\"")),
        ("parameters", fill("$a")),
        ("braces", fill("${a}")),
        ("substitutions", fill("$(a)")),
        ("backquotes", fill("`a`")),
        ("subshells", fill("(a);")),
        ("deep", nested("$(", 62, "a ", ")")),
        ("deep arithmetic", nested("((", 30, "a ", "))")),
        ("deep ambiguity", nested("((", 30, "a ", ") )")),
        ("deep documents", nested("<<E\n$(cat ", 20, "a ", "\nE\n)")),
        ("documents", fill("a <<E\nE\n")),
        ("escaped backquotes", nested("`", 1, "\\\\\\\\", "`")),
    ]
}

/// 125 bytes with most of what people write.
const LINE: &str = "for f in $(find /var/log -name '*.gz'); do echo \"${f%.gz}\" && zcat \"$f\" | grep -c 'ERROR' >> /tmp/errors.txt 2>&1; done; echo ok";
