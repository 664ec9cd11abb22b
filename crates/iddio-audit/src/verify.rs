//! Checks a whole log: does the chain hold, and what became of the operations.
//!
//! Reads the segments as they are, without a lock, in chunks cut at newlines. Chunks are scanned on
//! several threads, since scanning a line needs nothing but the line; the links are joined in order
//! on one.

use std::{os::fd::OwnedFd, path::Path, thread};

use iddio_core::{
    audit::verify::{Broken, Scanned, Story, Verifier, scan},
    json::Value,
};

use crate::{
    directory::{Directory, FileError, io_error},
    disk::Disk,
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
    pub head: Option<iddio_core::digest::Digest>,
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

/// Verifies the log in `dir` on `threads` threads.
///
/// # Errors
///
/// When a segment cannot be read.
pub fn verify(dir: &Path, threads: usize) -> Result<Report, FileError> {
    let dir = Directory::open_existing(dir, &Disk::default())?;
    let mut run = Run {
        verifier: Verifier::new(),
        bad: None,
        unfinished: 0,
        whole: 0,
        log_id: None,
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
    let Run { verifier, bad, unfinished, log_id, .. } = run;
    Ok(Report { story: verifier.finish(), bad, unfinished, log_id, head })
}

struct Run {
    verifier: Verifier,
    bad: Option<Bad>,
    unfinished: u64,
    /// Where the last segment's complete lines end.
    whole: u64,
    log_id: Option<String>,
    threads: usize,
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

    fn break_at(&mut self, segment: u64, offset: u64, why: Broken) {
        self.bad = Some(Bad { segment, offset, seq: self.verifier.head().seq(), why });
    }

    /// Verifies complete lines that begin at `at`.
    fn chunk(&mut self, bytes: &[u8], segment: u64, at: u64) {
        if self.log_id.is_none() && !bytes.is_empty() {
            self.log_id = log_id(bytes);
        }
        if self.log_id.is_none() && !bytes.is_empty() {
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
                Ok(scanned) => self.verifier.link(&scanned),
                Err(why) => Err(why),
            };
            if let Err(why) = linked {
                return self.break_at(segment, offset, why);
            }
            offset += line.bytes as u64 + 1;
        }
    }
}

/// Returns the id that the first record gives the log.
fn log_id(bytes: &[u8]) -> Option<String> {
    let first = bytes.split(|byte| *byte == b'\n').next()?;
    let record = Value::read(first).ok()?;
    let created = record.member("event")?.as_text()? == "log.created";
    record.member("log_id")?.as_text().filter(|_| created).map(str::to_owned)
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
