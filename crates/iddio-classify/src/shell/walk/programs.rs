//! What is known about programs by name alone: which a pattern covers, and what some write.

use iddio_core::{operation::Operation, text::RawText, tier::Tier};

use super::{
    glob,
    text::{Chunk, Origin, Text},
};
use crate::{
    catalog::Catalog,
    command::line::{Feed, Line, Minus},
};

/// Returns the programs that a pattern may find, with the directory it names; `None` for too many.
pub(super) fn covered(pattern: &[u8]) -> Option<Vec<Vec<u8>>> {
    let split = pattern.iter().rposition(|byte| *byte == b'/').map_or(0, |place| place + 1);
    let (_, file) = pattern.split_at(split);
    if PATTERN_BYTES_MAX < file.len() {
        return None;
    }
    let literal = |byte: &&u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let start = file.iter().take_while(literal).count();
    let start = file.get(..start).unwrap_or_default();
    let pattern = glob::Compiled::of(file);
    let mut names: Vec<Vec<u8>> = Catalog::all_programs()
        .chain(DANGEROUS)
        .filter(|name| name.as_bytes().starts_with(start))
        .filter(|name| pattern.covers(name.as_bytes()))
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
        (["seq", numbers @ ..], _) => counted(numbers),
        (["wc", "-l" | "-c" | "-m" | "-w"], _)
        | (["nproc" | "whoami" | "hostname" | "arch"] | ["nproc", "--all"], _)
        | (["id", "-u" | "-g" | "-un" | "-gn"] | ["uname"] | ["uname", "-m" | "-r" | "-s"], _) => {
            Text::tame()
        }
        (["hostname", "-s" | "-f" | "-d"], _) => Text::tame(),
        (["git", "rev-parse", options @ .., "HEAD"], _) if options.iter().all(is_hash) => {
            Text::tame()
        }
        (["grep" | "egrep" | "fgrep", "-c", pattern], _) if !is_option(pattern) => Text::tame(),
        (["grep" | "egrep" | "fgrep", "-c", pattern, file], _)
            if ![pattern, file].into_iter().any(|word| is_option(word)) =>
        {
            Text::tame()
        }
        // One number, or several in lines.
        (["pgrep", options @ .., _], _)
            if options.iter().all(|word| PLAIN_PGREP.contains(word)) =>
        {
            Text::plain()
        }
        (["date", rest @ ..], _) => day(rest).unwrap_or_else(|| Text::unknown(Origin::Made)),
        _ => Text::unknown(Origin::Made),
    }
}

/// Whether an option of `git rev-parse` leaves it at printing a hash.
fn is_hash(option: &&str) -> bool {
    matches!(*option, "--short" | "--verify" | "-q" | "--quiet")
        || option.strip_prefix("--short=").is_some_and(|count| count.parse::<u8>().is_ok())
}

fn is_option(word: &str) -> bool {
    word.starts_with('-') || word == "?"
}

/// What `seq` writes: the numbers themselves where they are few.
fn counted(numbers: &[&str]) -> Text {
    let parsed: Option<Vec<i64>> = numbers.iter().map(|number| number.parse().ok()).collect();
    let (first, step, last) = match parsed.as_deref() {
        Some([last]) => (1, 1, *last),
        Some([first, last]) => (*first, 1, *last),
        Some([first, step, last]) if 0 < *step => (*first, *step, *last),
        _ => return Text::unknown(Origin::Made),
    };
    let count = last.checked_sub(first).map_or(i64::MAX, |reach| reach / step);
    if COUNTED_MAX <= count {
        return Text::unknown(Origin::Made);
    }
    let mut text = String::new();
    let mut number = first;
    while number <= last {
        text.push_str(&number.to_string());
        text.push('\n');
        number = number.saturating_add(step);
    }
    Text::known(text)
}

/// What `date` writes, if that is nothing but digits and the marks of its format.
fn day(words: &[&str]) -> Option<Text> {
    let (format, options) = words.split_last()?;
    let mut options = options.iter();
    while let Some(option) = options.next() {
        match *option {
            "-u" | "--utc" => {}
            // Which day it is about; the next word is no format then.
            "-d" | "-v" => _ = options.next()?,
            option if ["--date=", "-v"].iter().any(|start| option.starts_with(start)) => {}
            _ => return None,
        }
    }
    let mut letters = format.strip_prefix('+')?.chars();
    let mut text = Text::default();
    while let Some(letter) = letters.next() {
        let (count, mark) = match letter {
            '%' => match letters.next()? {
                'T' => (3, ":"),
                'D' => (3, "/"),
                'R' => (2, ":"),
                letter if "FYmdHMSsjNyVuw".contains(letter) => (1, ""),
                _ => return None,
            },
            letter => {
                text.push(Chunk::Bytes(letter.to_string().into_bytes()));
                continue;
            }
        };
        for place in 0..count {
            if place > 0 {
                text.push(Chunk::Bytes(mark.as_bytes().to_vec()));
            }
            text.push(Chunk::Tame(Minus::Never));
        }
    }
    text.push(Chunk::Bytes(b"\n".to_vec()));
    Some(text)
}

/// Whether it prints the name of a new file or directory among the temporary ones.
pub(super) fn makes_temporary(line: &Line) -> bool {
    let mut words = line.words.iter().map(|term| term.as_str().unwrap_or("?"));
    words.next() == Some("mktemp")
        && words.all(|word| matches!(word, "-d" | "-q" | "-dq" | "-qd" | "--directory" | "--quiet"))
}

/// What commands do with secrets: how many that do it ran so far.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Traffic {
    /// They write secrets, or everything there is, to standard output.
    pub(super) collect: usize,
    /// What they write is what a file keeps secret, or everything there is.
    pub(super) files: usize,
    /// They send what they read to another machine.
    pub(super) send: usize,
    /// They send what their words say.
    pub(super) tell: usize,
}

// === impl Traffic ===

impl Traffic {
    /// Adds what one command does.
    pub(super) fn note(&mut self, operation: &Operation) {
        let program = operation.description.argv.first().and_then(RawText::as_str);
        let file = program.and_then(|path| path.rsplit('/').next()).unwrap_or_default();
        let sensitive = |rule: &dyn Fn(&str) -> bool| {
            let mut reasons = operation.reasons.iter();
            reasons.any(|reason| Tier::Sensitive <= reason.tier && rule(&reason.rule))
        };
        let path = sensitive(&is_secret_file) || COLLECTORS.contains(&file);
        let store = sensitive(&|rule| rule == "kube:5" || STORES.contains(&file));
        self.collect += usize::from(path || store);
        self.files += usize::from(path);
        self.send += usize::from(SENDERS.contains(&file));
        self.tell += usize::from(SENDERS.contains(&file) || ASKERS.contains(&file));
    }

    /// Adds what was counted elsewhere.
    pub(super) fn add(&mut self, other: Self) {
        self.collect += other.collect;
        self.files += other.files;
        self.send += other.send;
        self.tell += other.tell;
    }

    /// Returns what was added since.
    pub(super) fn since(self, before: Self) -> Self {
        Self {
            collect: self.collect - before.collect,
            files: self.files - before.files,
            send: self.send - before.send,
            tell: self.tell - before.tell,
        }
    }
}

/// Whether a rule is about a file that holds secrets.
pub(super) fn is_secret_file(rule: &str) -> bool {
    rule.starts_with("path:") && rule != "path:unknown" && rule != "path:place"
}

/// Options of `pgrep` that leave it at printing numbers.
const PLAIN_PGREP: [&str; 6] = ["-f", "-n", "-o", "-x", "-fn", "-fo"];

/// The most numbers of `seq` that are told apart.
const COUNTED_MAX: i64 = 64;

/// Programs that write whole trees, disks or databases to standard output.
const COLLECTORS: [&str; 10] = [
    "cpio",
    "dd",
    "env",
    "mongodump",
    "mysqldump",
    "pg_dump",
    "pg_dumpall",
    "printenv",
    "tar",
    "zip",
];

/// Programs that hand out secrets.
const STORES: [&str; 10] =
    ["aws", "az", "bw", "docker", "gcloud", "gpg", "kubectl", "op", "pass", "vault"];

/// Programs that send their standard input to another machine.
const SENDERS: [&str; 19] = [
    "aws", "curl", "ftp", "gh", "gsutil", "http", "https", "mail", "mailx", "nc", "ncat", "netcat",
    "openssl", "rclone", "sendmail", "socat", "ssh", "telnet", "wget",
];

/// Programs whose words reach other machines: the names that they ask for.
const ASKERS: [&str; 6] = ["dig", "drill", "host", "nslookup", "ping", "traceroute"];

/// Programs that do harm with most arguments, whether a catalog knows them or not.
const DANGEROUS: [&str; 34] = [
    "ash", "bash", "busybox", "chmod", "chown", "crontab", "curl", "dash", "dd", "env", "find",
    "halt", "ksh", "mkfs", "mv", "nc", "ncat", "node", "perl", "php", "poweroff", "python",
    "python3", "reboot", "rm", "ruby", "sh", "shred", "shutdown", "socat", "ssh", "sudo", "wget",
    "zsh",
];

/// The most bytes of a pattern that is tried on every program that is known: the longest name that a
/// file may have.
const PATTERN_BYTES_MAX: usize = 255;

/// The most programs one pattern stands for: more say nothing about it.
const COVERED_MAX: usize = 64;
