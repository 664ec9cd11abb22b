//! Reads and judges shell texts as often as told: `bench_shell TIMES [NAME…]`; with `-` instead,
//! shows the tree of what stands on standard input. Names choose among the texts.
//!
//! Under callgrind, two runs that differ only in their times tell the instructions of one reading.

use std::{hint::black_box, io::Read as _, time::Instant};

use iddio_classify::{
    command::{Ambient, shell_line},
    shell::read,
};
use iddio_core::text::RawText;

#[path = "../tests/shell/families.rs"]
mod families;

fn main() {
    let first = std::env::args().nth(1);
    if first.as_deref() == Some("-") {
        let mut text = Vec::new();
        let _read = std::io::stdin().read_to_end(&mut text);
        println!("{:#?}", read(&text));
        return;
    }
    let named: Vec<String> = std::env::args().skip(2).collect();
    let times = first.and_then(|times| times.parse().ok()).unwrap_or(1u32);
    let chosen = |name: &str| named.is_empty() || named.iter().any(|chosen| chosen == name);
    for (name, text) in texts().into_iter().filter(|(name, _)| chosen(name)) {
        let mut lists = 0;
        let reading = nanos(times, || {
            lists += read(black_box(&text)).map_or(0, |script| script.lists.len());
        });
        let line = RawText::from(String::from_utf8_lossy(&text).as_ref());
        let ambient = Ambient::default();
        let mut operations = 0;
        let judging = nanos(times, || {
            operations += shell_line(black_box(&line), &ambient).within.len();
        });
        println!(
            "{{\"text\": \"{name}\", \"bytes\": {}, \"read_nanos\": {reading}, \"judge_nanos\": \
             {judging}, \"lists\": {lists}, \"operations\": {operations}}}",
            text.len()
        );
    }
}

fn nanos(times: u32, mut run: impl FnMut()) -> u128 {
    let start = Instant::now();
    (0..times).for_each(|_| run());
    start.elapsed().as_nanos() / u128::from(times.max(1))
}

/// What a host's gateway sees, and the worst of 64 KiB.
fn texts() -> Vec<(&'static str, Vec<u8>)> {
    let seen = [("plain", "ls -la /var/log/nginx"), ("line", LINE)];
    let mut texts: Vec<_> =
        seen.iter().map(|(name, text)| (*name, text.as_bytes().to_vec())).collect();
    texts.extend(families::families(64 * 1024));
    texts
}

/// 125 bytes with most of what people write.
const LINE: &str = "for f in $(find /var/log -name '*.gz'); do echo \"${f%.gz}\" && zcat \"$f\" | grep -c 'ERROR' >> /tmp/errors.txt 2>&1; done; echo ok";
