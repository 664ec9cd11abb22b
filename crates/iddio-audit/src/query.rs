//! Reads records: all that match, one by its id, or each new one as it comes.
//!
//! Readers take no lock and see complete lines only. They do not check the chain: that is
//! [`crate::verify`]'s business.

use std::{
    collections::VecDeque,
    ops::ControlFlow,
    os::fd::OwnedFd,
    path::Path,
    time::{Duration, Instant},
};

use iddio_core::json::Value;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::inotify,
    io::{self, Errno},
};

use crate::{
    directory::{Directory, FileError, io_error},
    segment,
};

/// A stored record.
#[derive(Clone, Debug)]
pub struct Record {
    /// Its line, without the newline.
    pub line: Vec<u8>,
    /// What it says.
    pub value: Value,
}

/// Which records are wanted: those that satisfy every field that is there.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Of this agent.
    pub agent: Option<String>,
    /// With this verdict word.
    pub decision: Option<String>,
    /// Of this event.
    pub event: Option<String>,
    /// Whose id begins so.
    pub id_prefix: Option<String>,
    /// With this outcome.
    pub outcome: Option<String>,
    /// At this time or later: RFC 3339 in UTC, or the beginning of one (`2026-11-20T14`).
    pub since: Option<String>,
    /// At this tier or above.
    pub tier_min: Option<u8>,
    /// Before this time.
    pub until: Option<String>,
}

/// Follows a log: yields every record from some point on, as soon as it is written.
#[derive(Debug)]
pub struct Tail {
    dir: Directory,
    watch: OwnedFd,
    number: u64,
    file: Option<OwnedFd>,
    at: u64,
    bytes: Vec<u8>,
    ready: VecDeque<Vec<u8>>,
}

/// Reads a log page by page, and remembers where the last page ended.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pager {
    /// The number of the next record, and where it stands.
    at: Option<(u64, After)>,
}

/// Calls `each` with every record that `filter` wants, in order, until it breaks.
///
/// # Errors
///
/// When a segment cannot be read.
pub fn query(
    dir: &Path,
    filter: &Filter,
    mut each: impl FnMut(Record) -> ControlFlow<()>,
) -> Result<(), FileError> {
    let dir = Directory::open_to_read(dir)?;
    let mut lines = Lines::new(&dir, 0, 0)?;
    while let Some((_, line)) = lines.next_line()? {
        // What is not canonical JSON is no record; the verifier says so.
        let Ok(value) = Value::read(&line) else { continue };
        let record = Record { line, value };
        if filter.wants(&record) && each(record).is_break() {
            break;
        }
    }
    Ok(())
}

/// Returns the last `count` records that `filter` wants, in order.
///
/// # Errors
///
/// When a segment cannot be read.
pub fn last(dir: &Path, filter: &Filter, count: usize) -> Result<Vec<Record>, FileError> {
    let mut kept = VecDeque::new();
    query(dir, filter, |record| {
        kept.push_back(record);
        if count < kept.len() {
            kept.pop_front();
        }
        ControlFlow::Continue(())
    })?;
    Ok(kept.into())
}

/// Returns every record whose id begins with `id_prefix`: an operation's whole story.
///
/// # Errors
///
/// When a segment cannot be read.
pub fn show(dir: &Path, id_prefix: &str) -> Result<Vec<Record>, FileError> {
    let filter = Filter { id_prefix: Some(id_prefix.to_owned()), ..Filter::default() };
    last(dir, &filter, RECORDS_PER_OPERATION_MAX)
}

// === impl Pager ===

impl Pager {
    /// Returns the lines from record `from` on, each with its newline, at most `bytes_max` of them but
    /// for the first, and the number of the record after them.
    ///
    /// # Errors
    ///
    /// When a segment cannot be read.
    pub fn page(
        &mut self,
        dir: &Path,
        from: u64,
        bytes_max: usize,
    ) -> Result<(Vec<u8>, u64), FileError> {
        let dir = Directory::open_to_read(dir)?;
        let known = self.at.filter(|(seq, _)| *seq <= from);
        let (mut seq, (number, offset)) = match known {
            Some(at) => at,
            None => begins_before(&dir, from)?,
        };
        let mut lines = Lines::new(&dir, number, offset)?;
        let mut page = Vec::new();
        let mut after = (number, offset);
        while let Some((end, line)) = lines.next_line()? {
            if from <= seq {
                if !page.is_empty() && bytes_max < page.len() + line.len() + 1 {
                    break;
                }
                page.extend_from_slice(&line);
                page.push(b'\n');
            }
            (seq, after) = (seq + 1, end);
        }
        self.at = Some((seq, after));
        Ok((page, seq.max(from)))
    }
}

/// Returns the number of the first record of the last segment that begins at `seq` or before, and
/// where it stands.
fn begins_before(dir: &Directory, seq: u64) -> Result<(u64, After), FileError> {
    for number in segment::numbers(dir)?.into_iter().rev() {
        let first = segment::line(dir, number, 0)?;
        let first = first.and_then(|line| iddio_core::audit::verify::scan(&line).ok());
        if let Some(first) = first.filter(|first| first.seq <= seq) {
            return Ok((first.seq, (number, 0)));
        }
    }
    Ok((0, (0, 0)))
}

/// Calls `each` with every line of the last segment, and of the one before if the last has less than
/// `bytes_min`.
///
/// # Errors
///
/// When a segment cannot be read.
pub fn newest(dir: &Path, bytes_min: u64, mut each: impl FnMut(Vec<u8>)) -> Result<(), FileError> {
    let dir = Directory::open_to_read(dir)?;
    let numbers = segment::numbers(&dir)?;
    let Some(last) = numbers.last().copied() else { return Ok(()) };
    let file = segment::open_to_read(&dir, last)?;
    let size = segment::size(&file).map_err(|errno| io_error(&segment::name(last), errno))?;
    let short = size < bytes_min && numbers.contains(&last.saturating_sub(1));
    let begin = if short { last.saturating_sub(1) } else { last };
    let mut lines = Lines::new(&dir, begin, 0)?;
    while let Some((_, line)) = lines.next_line()? {
        each(line);
    }
    Ok(())
}

// === impl Record ===

impl Record {
    /// Returns the text of a member, if it has one.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.value.member(name).and_then(Value::as_text)
    }

    /// Returns the integer of a member, if it has one.
    pub fn int(&self, name: &str) -> Option<u64> {
        self.value.member(name).and_then(Value::as_int)
    }
}

// === impl Filter ===

impl Filter {
    /// Whether `record` is wanted.
    pub fn wants(&self, record: &Record) -> bool {
        let Self { agent, decision, event, id_prefix, outcome, since, tier_min, until } = self;
        let is = |name: &str, wanted: &Option<String>| {
            wanted.as_deref().is_none_or(|wanted| record.text(name) == Some(wanted))
        };
        let time = record.text("timestamp").unwrap_or_default();
        let id = record.text("id").unwrap_or_default();
        is("agent", agent)
            && is("decision", decision)
            && is("event", event)
            && is("outcome", outcome)
            && id_prefix.as_deref().is_none_or(|prefix| id.starts_with(prefix))
            && since.as_deref().is_none_or(|since| since <= time)
            && until.as_deref().is_none_or(|until| time < until)
            && tier_min.is_none_or(|min| record.int("tier").is_some_and(|t| u64::from(min) <= t))
    }
}

// === impl Tail ===

impl Tail {
    /// Follows the log in `dir` from the record after the last one there is now.
    ///
    /// # Errors
    ///
    /// When the log cannot be read or watched.
    pub fn from_end(dir: &Path) -> Result<Self, FileError> {
        let mut tail = Self::from_start(dir)?;
        if let Some(last) = segment::numbers(&tail.dir)?.pop() {
            let file = segment::open_to_read(&tail.dir, last)?;
            let fail = |errno| io_error(&segment::name(last), errno);
            let size = segment::size(&file).map_err(fail)?;
            tail.number = last;
            tail.at = end_of_lines(&file, size).map_err(fail)?;
            tail.file = Some(file);
        }
        Ok(tail)
    }

    /// Yields every record there is, and then follows.
    ///
    /// # Errors
    ///
    /// When the log cannot be read or watched.
    pub fn from_start(dir: &Path) -> Result<Self, FileError> {
        let name = dir.to_string_lossy();
        let fail = |errno| io_error(&name, errno);
        let watch = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK);
        let watch = watch.map_err(fail)?;
        let wanted = inotify::WatchFlags::MODIFY | inotify::WatchFlags::CREATE;
        inotify::add_watch(&watch, dir, wanted).map_err(fail)?;
        let dir = Directory::open_to_read(dir)?;
        let number = segment::numbers(&dir)?.first().copied().unwrap_or(1);
        let (bytes, ready) = (Vec::new(), VecDeque::new());
        Ok(Self { dir, watch, number, file: None, at: 0, bytes, ready })
    }

    /// Returns the next record's line, waiting for it at most `wait`; `None` if none came.
    ///
    /// # Errors
    ///
    /// When a segment cannot be read.
    pub fn next_line(&mut self, wait: Duration) -> Result<Option<Vec<u8>>, FileError> {
        let until = Instant::now() + wait;
        loop {
            if let Some(line) = self.ready.pop_front() {
                return Ok(Some(line));
            }
            // Events are dropped before the file is read, so one that comes meanwhile still wakes.
            self.drop_events();
            if self.read()? {
                continue;
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || !self.sleep(left)? {
                return Ok(None);
            }
        }
    }

    /// Reads what there is; whether there was something, or the next segment begun.
    fn read(&mut self) -> Result<bool, FileError> {
        if self.file.is_none() {
            self.file = self.open(self.number)?;
        }
        let Some(file) = &self.file else { return Ok(false) };
        // Looked for before this one is read to its end: nothing is added to it once the next exists.
        let next = self.open(self.number + 1)?;
        let from = self.at + self.bytes.len() as u64;
        let fail = |errno| io_error(&segment::name(self.number), errno);
        let more = segment::read(file, from, from + STEP_BYTES).map_err(fail)?;
        if !more.is_empty() {
            self.bytes.extend_from_slice(&more);
            self.split();
            return Ok(true);
        }
        match next {
            Some(next) => {
                (self.number, self.at, self.file) = (self.number + 1, 0, Some(next));
                self.bytes.clear();
                Ok(true)
            }
            None => Ok(false),
        }
    }

    fn split(&mut self) {
        while let Some(end) = self.bytes.iter().position(|byte| *byte == b'\n') {
            let rest = self.bytes.split_off(end + 1);
            let mut line = std::mem::replace(&mut self.bytes, rest);
            self.at += line.len() as u64;
            line.pop();
            self.ready.push_back(line);
        }
    }

    fn open(&self, number: u64) -> Result<Option<OwnedFd>, FileError> {
        match segment::open_to_read(&self.dir, number) {
            Ok(file) => Ok(Some(file)),
            Err(FileError::Io { errno: Errno::NOENT, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn drop_events(&self) {
        let mut events = [0; 4096];
        while io::read(&self.watch, &mut events).is_ok_and(|read| 0 < read) {}
    }

    /// Sleeps until something changes; whether it did.
    fn sleep(&self, wait: Duration) -> Result<bool, FileError> {
        let wait = Timespec {
            tv_sec: i64::try_from(wait.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(wait.subsec_nanos()),
        };
        match poll(&mut [PollFd::new(&self.watch, PollFlags::IN)], Some(&wait)) {
            Ok(ready) => Ok(0 < ready),
            Err(Errno::INTR) => Ok(true),
            Err(errno) => Err(io_error(".", errno)),
        }
    }
}

/// A segment, and an offset in it: where a line ends and the next one begins.
pub(crate) type After = (u64, u64);

/// Every complete line of a log from some place on, without reading a whole segment at once.
pub(crate) struct Lines<'a> {
    dir: &'a Directory,
    numbers: VecDeque<u64>,
    open: Option<(u64, OwnedFd)>,
    /// Where `bytes` begins.
    at: u64,
    bytes: Vec<u8>,
    used: usize,
}

impl<'a> Lines<'a> {
    /// Begins at `offset` of segment `number`, or of the first one after it.
    pub(crate) fn new(dir: &'a Directory, number: u64, offset: u64) -> Result<Self, FileError> {
        let numbers = segment::numbers(dir)?.into_iter().filter(|own| number <= *own).collect();
        Ok(Self { dir, numbers, open: None, at: offset, bytes: Vec::new(), used: 0 })
    }

    /// Returns the next line, and the segment and offset after it.
    pub(crate) fn next_line(&mut self) -> Result<Option<(After, Vec<u8>)>, FileError> {
        loop {
            let Some((number, file)) = &self.open else {
                let Some(next) = self.numbers.pop_front() else { return Ok(None) };
                self.open = Some((next, segment::open_to_read(self.dir, next)?));
                continue;
            };
            let rest = self.bytes.get(self.used..).unwrap_or_default();
            if let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                let line = rest.get(..end).unwrap_or_default().to_vec();
                self.used += end + 1;
                return Ok(Some(((*number, self.at + self.used as u64), line)));
            }
            self.at += self.used as u64;
            self.bytes.drain(..self.used);
            self.used = 0;
            let from = self.at + self.bytes.len() as u64;
            let more = segment::read(file, from, from + STEP_BYTES);
            let more = more.map_err(|errno| io_error(&segment::name(*number), errno))?;
            self.bytes.extend_from_slice(&more);
            if more.is_empty() {
                (self.open, self.at) = (None, 0);
                self.bytes.clear();
            }
        }
    }
}

/// Returns where the last complete line before `size` ends.
fn end_of_lines(file: &OwnedFd, size: u64) -> Result<u64, Errno> {
    let mut end = size;
    while 0 < end {
        let from = end.saturating_sub(STEP_BYTES);
        let bytes = segment::read(file, from, end)?;
        if let Some(newline) = bytes.iter().rposition(|byte| *byte == b'\n') {
            return Ok(from + newline as u64 + 1);
        }
        end = from;
    }
    Ok(0)
}

/// How much is read at once.
const STEP_BYTES: u64 = 256 << 10;

/// How many records one id may have in an answer: an operation has a handful.
const RECORDS_PER_OPERATION_MAX: usize = 10_000;
