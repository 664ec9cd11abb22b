//! What is known about programs by name alone: which a pattern covers, and what some write.

use super::{
    glob,
    text::{Origin, Text},
};
use crate::{
    catalog::Catalog,
    command::line::{Feed, Line},
};

/// Returns the programs that a pattern may find, with the directory it names; `None` for too many.
pub(super) fn covered(pattern: &[u8]) -> Option<Vec<Vec<u8>>> {
    let split = pattern.iter().rposition(|byte| *byte == b'/').map_or(0, |place| place + 1);
    let (_, file) = pattern.split_at(split);
    let known = Catalog::built_in()
        .filter_map(Result::ok)
        .flat_map(|catalog| catalog.programs().iter().map(String::as_str).collect::<Vec<_>>());
    let mut names: Vec<Vec<u8>> = known
        .chain(DANGEROUS)
        .filter(|name| glob::covers(file, name.as_bytes()))
        .map(|name| name.as_bytes().to_vec())
        .collect();
    names.sort();
    names.dedup();
    (names.len() <= COVERED_MAX).then_some(names)
}

/// Returns what a program writes, where that is known.
pub(super) fn output(line: &Line) -> Text {
    let words: Vec<_> = line.words.iter().map(|term| term.as_str().unwrap_or("?")).collect();
    match (words.as_slice(), &line.feed) {
        (["cat"] | ["cat", "-"], Feed::Text(text)) => Text::known(text.as_bytes()),
        (["wc", options @ ..], _) if options.iter().all(|word| word.starts_with('-')) => {
            Text::plain()
        }
        (["nproc" | "pgrep" | "whoami" | "hostname" | "arch", ..], _)
        | (["grep" | "egrep" | "fgrep", "-c", ..], _)
        | (["id", "-u" | "-g" | "-un" | "-gn"] | ["uname"] | ["uname", "-m" | "-r" | "-s"], _) => {
            Text::plain()
        }
        (["date", format], _) if format.starts_with('+') && !format.contains(' ') => Text::plain(),
        _ => Text::unknown(Origin::Made),
    }
}

/// Programs that do harm with most arguments, whether a catalog knows them or not.
const DANGEROUS: [&str; 34] = [
    "ash", "bash", "busybox", "chmod", "chown", "crontab", "curl", "dash", "dd", "env", "find",
    "halt", "ksh", "mkfs", "mv", "nc", "ncat", "node", "perl", "php", "poweroff", "python",
    "python3", "reboot", "rm", "ruby", "sh", "shred", "shutdown", "socat", "ssh", "sudo", "wget",
    "zsh",
];

/// The most programs one pattern stands for: more say nothing about it.
const COVERED_MAX: usize = 64;
