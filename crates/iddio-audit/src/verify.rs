//! Checks a whole log: does the chain hold, and what became of the operations.
//!
//! Reads the segments as they are, without a lock, in chunks cut at newlines. Chunks are scanned on
//! several threads, since scanning a line needs nothing but the line; the links are joined in order
//! on one.

use std::{os::fd::OwnedFd, path::Path, thread};

use iddio_core::{
    audit::{
        checkpoint::Note,
        tree::{self, Frontier},
        verify::{Broken, Scanned, Story, Verifier, scan},
    },
    digest::Digest,
    json::Value,
};

use crate::{
    checkpoint::{Signed, signed_by},
    directory::{Directory, FileError, io_error},
    segment,
};

/// What a log was found to be.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Report {
    /// What it tells, up to the first bad record.
    pub story: Story,
    /// The first record that does not stand where it stands.
    pub bad: Option<Bad>,
    /// Bytes after the last complete line: an append in progress, or one that was cut short.
    pub unfinished: u64,
    /// The log's id, from its first record.
    pub log_id: Option<String>,
    /// The last record's hash, if there is one: what to note elsewhere.
    pub head: Option<Digest>,
    /// What it is to the checkpoint it was verified against, if there was one.
    pub checkpoint: Option<Standing>,
}

/// The first bad record.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Bad {
    /// Which segment.
    pub segment: u64,
    /// Where in it the record begins.
    pub offset: u64,
    /// Which number it should have.
    pub seq: u64,
    /// What is wrong with it.
    pub why: Broken,
}

/// What a log is to an older checkpoint of it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Standing {
    /// It has fewer records than were signed for.
    Cut,
    /// It contains exactly what was signed for.
    Holds,
    /// Its chain breaks before the end of what was signed for.
    Broken,
    /// The checkpoint is of another log.
    OtherLog,
    /// What was signed for was rewritten.
    Rewritten,
    /// The checkpoint was not signed with the log's key, or the key that was given.
    Unsigned,
}

/// Verifies the log in `dir` on `threads` threads.
///
/// # Errors
///
/// When a segment cannot be read.
pub fn verify(dir: &Path, threads: usize) -> Result<Report, FileError> {
    run(dir, threads, None)
}

/// Verifies the log in `dir`, and against a checkpoint that was kept elsewhere. `key` is the public
/// key that its holder trusts; without one the log's own word is taken for it.
///
/// # Errors
///
/// When a segment cannot be read.
pub fn verify_against(
    dir: &Path,
    threads: usize,
    note: &Note,
    key: Option<[u8; 32]>,
) -> Result<Report, FileError> {
    run(dir, threads, Some((note, key)))
}

fn run(
    dir: &Path,
    threads: usize,
    against: Option<(&Note, Option<[u8; 32]>)>,
) -> Result<Report, FileError> {
    let dir = Directory::open_to_read(dir)?;
    let mut run = Run {
        verifier: Verifier::new(),
        bad: None,
        unfinished: 0,
        whole: 0,
        first: None,
        tree: against
            .map(|(note, _)| Growing { wanted: note.checkpoint.size, tree: Frontier::default() }),
        threads: threads.clamp(1, THREADS_MAX),
    };
    for number in segment::numbers(&dir)? {
        let file = segment::open_to_read(&dir, number)?;
        run.segment(&file, number)?;
        if run.bad.is_some() {
            break;
        }
    }
    let head = run.verifier.head().prev();
    let checkpoint = against.map(|(note, key)| run.standing(note, key));
    let Run { verifier, bad, unfinished, first, .. } = run;
    let log_id = first.map(|first| first.log_id);
    Ok(Report { story: verifier.finish(), bad, unfinished, log_id, head, checkpoint })
}

struct Run {
    verifier: Verifier,
    bad: Option<Bad>,
    unfinished: u64,
    /// Where the last segment's complete lines end.
    whole: u64,
    first: Option<First>,
    tree: Option<Growing>,
    threads: usize,
}

/// What the first record says of the log.
struct First {
    log_id: String,
    key: Option<[u8; 32]>,
}

/// The tree over the records that a checkpoint was signed for.
struct Growing {
    wanted: u64,
    tree: Frontier,
}

impl Run {
    fn segment(&mut self, file: &OwnedFd, number: u64) -> Result<(), FileError> {
        let fail = |errno| io_error(&segment::name(number), errno);
        if self.unfinished != 0 {
            self.break_at(number.saturating_sub(1), self.whole, Broken::Cut);
            return Ok(());
        }
        let mut bytes: Vec<u8> = Vec::new();
        let mut at = 0;
        loop {
            let from = at + bytes.len() as u64;
            let more = segment::read(file, from, from + CHUNK_BYTES).map_err(fail)?;
            let last = more.is_empty();
            bytes.extend_from_slice(&more);
            let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
            self.chunk(bytes.get(..whole).unwrap_or_default(), number, at);
            at += whole as u64;
            bytes.drain(..whole);
            if last || self.bad.is_some() {
                break;
            }
        }
        self.unfinished = bytes.len() as u64;
        self.whole = at;
        Ok(())
    }

    fn grow(&mut self, scanned: &Scanned) {
        if let Some(Growing { wanted, tree }) = &mut self.tree
            && tree.size() < *wanted
        {
            tree.push(tree::leaf(&scanned.hash));
        }
    }

    fn standing(&self, note: &Note, key: Option<[u8; 32]>) -> Standing {
        let checkpoint = &note.checkpoint;
        let Some(First { log_id, key: stated }) = &self.first else { return Standing::Cut };
        let Some(Growing { wanted, tree }) = &self.tree else { return Standing::Broken };
        let key = key.or(*stated);
        if checkpoint.log_id != *log_id {
            Standing::OtherLog
        } else if key.is_none_or(|key| signed_by(note, &key) == Signed::Not) {
            Standing::Unsigned
        } else if self.verifier.head().seq() < *wanted {
            if self.bad.is_some() { Standing::Broken } else { Standing::Cut }
        } else if tree.root() == checkpoint.root {
            Standing::Holds
        } else {
            Standing::Rewritten
        }
    }

    fn break_at(&mut self, segment: u64, offset: u64, why: Broken) {
        self.bad = Some(Bad { segment, offset, seq: self.verifier.head().seq(), why });
    }

    /// Verifies complete lines that begin at `at`.
    fn chunk(&mut self, bytes: &[u8], segment: u64, at: u64) {
        if self.first.is_none() && !bytes.is_empty() {
            self.first = first(bytes);
        }
        if self.first.is_none() && !bytes.is_empty() {
            return self.break_at(segment, at, Broken::Shape("log_id"));
        }
        let parts = cut(bytes, self.threads);
        let scanned: Vec<Vec<Line>> = thread::scope(|scope| {
            let handles: Vec<_> =
                parts.iter().skip(1).map(|part| scope.spawn(move || scan_all(part))).collect();
            let first = parts.first().map(|part| scan_all(part)).unwrap_or_default();
            let rest = handles.into_iter().map(|handle| match handle.join() {
                Ok(lines) => lines,
                Err(panic) => std::panic::resume_unwind(panic),
            });
            std::iter::once(first).chain(rest).collect()
        });
        let mut offset = at;
        for line in scanned.into_iter().flatten() {
            let linked = match line.scanned {
                Ok(scanned) => {
                    self.grow(&scanned);
                    self.verifier.link(&scanned)
                }
                Err(why) => Err(why),
            };
            if let Err(why) = linked {
                return self.break_at(segment, offset, why);
            }
            offset += line.bytes as u64 + 1;
        }
    }
}

/// Returns what the first record says of the log.
fn first(bytes: &[u8]) -> Option<First> {
    let first = bytes.split(|byte| *byte == b'\n').next()?;
    let record = Value::read(first).ok()?;
    let created = record.member("event")?.as_text()? == "log.created";
    let log_id = record.member("log_id")?.as_text().filter(|_| created)?.to_owned();
    let key = record.member("checkpoint_key").and_then(Value::as_text).and_then(Digest::from_hex);
    Some(First { log_id, key: key.map(|key| *key.as_bytes()) })
}

struct Line {
    bytes: usize,
    scanned: Result<Scanned, Broken>,
}

fn scan_all(part: &[u8]) -> Vec<Line> {
    let mut lines = Vec::with_capacity(part.len() / 512);
    let part = part.strip_suffix(b"\n").unwrap_or(part);
    if part.is_empty() {
        return lines;
    }
    for line in part.split(|byte| *byte == b'\n') {
        let scanned = scan(line);
        let stop = scanned.is_err();
        lines.push(Line { bytes: line.len(), scanned });
        if stop {
            break;
        }
    }
    lines
}

/// Cuts complete lines into about `count` parts of complete lines.
fn cut(bytes: &[u8], count: usize) -> Vec<&[u8]> {
    let mut parts = Vec::with_capacity(count);
    let mut rest = bytes;
    for left in (1..=count).rev() {
        let target = rest.len() / left;
        let end = rest.get(target..).and_then(|after| after.iter().position(|b| *b == b'\n'));
        let (part, after) = match end.filter(|_| 1 < left) {
            Some(end) => rest.split_at(target + end + 1),
            None => (rest, &[][..]),
        };
        if !part.is_empty() {
            parts.push(part);
        }
        rest = after;
    }
    parts
}

/// How much of a segment is read at once.
const CHUNK_BYTES: u64 = 4 << 20;

/// The most threads: beyond it the join is what takes the time.
const THREADS_MAX: usize = 8;
