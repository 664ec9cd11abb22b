//! Checks a whole log: does the chain hold, and what became of the operations.
//!
//! Reads the segments as they are, without a lock, in blocks. Blocks are read and scanned on several
//! threads, since scanning a line needs nothing but the line; the links are joined in order on one.

use std::{io::BufRead, os::fd::OwnedFd, path::Path, sync::mpsc::sync_channel, thread};

use iddio_core::{
    audit::{
        checkpoint::Note,
        tree::{self, Frontier},
        verify::{Broken, Scanned, Story, Verifier, scan},
    },
    digest::Digest,
    json::Value,
};
use rustix::io::Errno;

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

/// Verifies a log whose lines come one after the other, as a log service shows them.
pub struct Stream<'a> {
    run: Run,
    against: Option<(&'a Note, Option<[u8; 32]>)>,
}

// === impl Stream ===

impl<'a> Stream<'a> {
    /// Begins, to compare with a checkpoint if there is one, as [`verify_against`] does.
    pub fn new(against: Option<(&'a Note, Option<[u8; 32]>)>) -> Self {
        Self { run: Run::new(1, against.map(|(note, _)| note)), against }
    }

    /// Takes the next line, without its newline. After a bad one nothing is believed.
    pub fn line(&mut self, line: &[u8]) {
        if self.run.bad.is_some() {
            return;
        }
        let opening = self.run.first.is_none().then(|| line.to_vec());
        let lines = vec![Line { bytes: line.len(), scanned: scan(line) }];
        self.run.link(Block { lines, opening, unfinished: 0 }, 1);
    }

    /// Returns what was found.
    pub fn finish(self) -> Report {
        self.run.report(self.against)
    }
}

fn run(
    dir: &Path,
    threads: usize,
    against: Option<(&Note, Option<[u8; 32]>)>,
) -> Result<Report, FileError> {
    let dir = Directory::open_to_read(dir)?;
    let mut run = Run::new(threads, against.map(|(note, _)| note));
    for number in segment::numbers(&dir)? {
        let file = segment::open_to_read(&dir, number)?;
        run.segment(&file, number)?;
        if run.bad.is_some() {
            break;
        }
    }
    Ok(run.report(against))
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

// === impl Run ===

impl Run {
    fn new(threads: usize, note: Option<&Note>) -> Self {
        let grows =
            |note: &Note| Growing { wanted: note.checkpoint.size, tree: Frontier::default() };
        Self {
            verifier: Verifier::new(),
            bad: None,
            unfinished: 0,
            whole: 0,
            first: None,
            tree: note.map(grows),
            threads: threads.clamp(1, THREADS_MAX),
        }
    }

    fn report(self, against: Option<(&Note, Option<[u8; 32]>)>) -> Report {
        let head = self.verifier.head().prev();
        let checkpoint = against.map(|(note, key)| self.standing(note, key));
        let Self { verifier, bad, unfinished, first, .. } = self;
        let log_id = first.map(|first| first.log_id);
        Report { story: verifier.finish(), bad, unfinished, log_id, head, checkpoint }
    }

    fn segment(&mut self, file: &OwnedFd, number: u64) -> Result<(), FileError> {
        let fail = |errno| io_error(&segment::name(number), errno);
        if self.unfinished != 0 {
            self.break_at(number.saturating_sub(1), self.whole, Broken::Cut);
            return Ok(());
        }
        // What is appended from here on is for the next time.
        let size = segment::size(file).map_err(fail)?;
        self.whole = 0;
        let blocks = size.div_ceil(BLOCK_BYTES);
        if self.threads == 1 {
            let mut reader = Reader { file, size, buffer: Vec::new() };
            for place in 0..blocks {
                self.link(reader.block(place).map_err(fail)?, number);
                if self.bad.is_some() {
                    break;
                }
            }
            return Ok(());
        }
        self.blocks_on_threads(file, size, number)
    }

    /// Scans every n-th block on the n-th thread, and links them here, in order.
    fn blocks_on_threads(
        &mut self,
        file: &OwnedFd,
        size: u64,
        number: u64,
    ) -> Result<(), FileError> {
        let fail = |errno| io_error(&segment::name(number), errno);
        let blocks = size.div_ceil(BLOCK_BYTES);
        thread::scope(|scope| {
            let mut sources = Vec::with_capacity(self.threads);
            for first in (0..blocks).take(self.threads) {
                let (give, take) = sync_channel(BLOCKS_AHEAD);
                let mine = (first..blocks).step_by(self.threads);
                scope.spawn(move || {
                    let mut reader = Reader { file, size, buffer: Vec::new() };
                    for place in mine {
                        let block = reader.block(place);
                        // Nobody takes it once a bad record was found.
                        if give.send(block).is_err() {
                            break;
                        }
                    }
                });
                sources.push(take);
            }
            // A source that ends early is of a thread that panicked, and the scope says so.
            let blocks = sources.iter().cycle().map_while(|source| source.recv().ok());
            for block in blocks {
                self.link(block.map_err(fail)?, number);
                if self.bad.is_some() {
                    break;
                }
            }
            Ok(())
        })
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

    /// Links the lines of the next block.
    fn link(&mut self, block: Block, segment: u64) {
        let Block { lines, opening, unfinished } = block;
        if self.first.is_none()
            && let Some(opening) = opening
        {
            self.first = first(&opening);
            if self.first.is_none() {
                return self.break_at(segment, self.whole, Broken::Shape("log_id"));
            }
        }
        for line in lines {
            let linked = match line.scanned {
                Ok(scanned) => {
                    self.grow(&scanned);
                    self.verifier.link(&scanned)
                }
                Err(why) => Err(why),
            };
            if let Err(why) = linked {
                return self.break_at(segment, self.whole, why);
            }
            self.whole += line.bytes as u64 + 1;
        }
        self.unfinished += unfinished;
    }
}

/// Returns what the first record says of the log.
fn first(line: &[u8]) -> Option<First> {
    let record = Value::read(line).ok()?;
    let created = record.member("event")?.as_text()? == "log.created";
    let log_id = record.member("log_id")?.as_text().filter(|_| created)?.to_owned();
    let key = record.member("checkpoint_key").and_then(Value::as_text).and_then(Digest::from_hex);
    Some(First { log_id, key: key.map(|key| *key.as_bytes()) })
}

struct Line {
    bytes: usize,
    scanned: Result<Scanned, Broken>,
}

/// Reads one block after another into the same memory.
struct Reader<'a> {
    file: &'a OwnedFd,
    size: u64,
    buffer: Vec<u8>,
}

/// The lines that begin in one block of a segment.
struct Block {
    lines: Vec<Line>,
    /// The first line of the segment, if it begins here and is complete.
    opening: Option<Vec<u8>>,
    /// What begins here and has no end.
    unfinished: u64,
}

impl Reader<'_> {
    /// Scans the lines that begin in the block `place`, up to the first that is wrong in itself. The
    /// last of them may end in a later block.
    fn block(&mut self, place: u64) -> Result<Block, Errno> {
        let mut block = Block { lines: Vec::new(), opening: None, unfinished: 0 };
        // With the byte before, which says whether a line begins at the first.
        let lead = usize::from(place != 0);
        let from = place * BLOCK_BYTES - lead as u64;
        let to = self.size.min((place + 1) * BLOCK_BYTES);
        self.read(from, usize::try_from(to - from).map_err(|_| Errno::FBIG)?)?;
        let mut at = match place {
            0 => 0,
            _ => line_end(&self.buffer, 0).map_or(self.buffer.len(), |end| end + 1),
        };
        let inside = self.buffer.len();
        block.lines.reserve(inside / LINE_BYTES_USUAL);
        while at < inside {
            let Some(end) = self.line_end(from, at)? else {
                block.unfinished = (self.buffer.len() - at) as u64;
                break;
            };
            let line = self.buffer.get(at..end).unwrap_or_default();
            if from + at as u64 == 0 {
                block.opening = Some(line.to_vec());
            }
            let scanned = scan(line);
            let stop = scanned.is_err();
            block.lines.push(Line { bytes: line.len(), scanned });
            if stop {
                break;
            }
            at = end + 1;
        }
        Ok(block)
    }

    /// Returns where the line at `at` ends; reads on if it ends in a later block.
    fn line_end(&mut self, from: u64, at: usize) -> Result<Option<usize>, Errno> {
        let mut looked = at;
        loop {
            if let Some(end) = line_end(&self.buffer, looked) {
                return Ok(Some(end));
            }
            looked = self.buffer.len();
            let more = self.size.saturating_sub(from + looked as u64).min(BLOCK_BYTES);
            if more == 0 || self.extend(from, usize::try_from(more).unwrap_or(0))? == 0 {
                return Ok(None);
            }
        }
    }

    /// Replaces the buffer with `bytes` from `from` on.
    fn read(&mut self, from: u64, bytes: usize) -> Result<(), Errno> {
        self.buffer.resize(bytes, 0);
        let read = segment::fill(self.file, from, &mut self.buffer)?;
        self.buffer.truncate(read);
        Ok(())
    }

    /// Adds `bytes` more to the buffer, which begins at `from`, and returns how many there were.
    fn extend(&mut self, from: u64, bytes: usize) -> Result<usize, Errno> {
        let held = self.buffer.len();
        self.buffer.resize(held + bytes, 0);
        let rest = self.buffer.get_mut(held..).unwrap_or_default();
        let read = segment::fill(self.file, from + held as u64, rest)?;
        self.buffer.truncate(held + read);
        Ok(read)
    }
}

/// Returns where the next newline is, from `at` on.
fn line_end(bytes: &[u8], at: usize) -> Option<usize> {
    let mut rest = bytes.get(at..).unwrap_or_default();
    // The standard library looks for a byte many at a time here, and nowhere else in public.
    let skipped = rest.skip_until(b'\n').ok()?;
    let end = at + skipped.checked_sub(1)?;
    (bytes.get(end) == Some(&b'\n')).then_some(end)
}

/// How much of a segment is read at once: what stays in a processor's cache while it is scanned.
const BLOCK_BYTES: u64 = 256 << 10;

/// How many scanned blocks of one thread may wait to be linked.
const BLOCKS_AHEAD: usize = 4;

/// What a record takes, about: for how many room is made.
const LINE_BYTES_USUAL: usize = 512;

/// The most threads: beyond it the join is what takes the time.
const THREADS_MAX: usize = 8;
