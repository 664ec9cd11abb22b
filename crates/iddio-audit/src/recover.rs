//! What to do when the log does not end where the last append said it would.
//!
//! Bytes after the last published end were written by a process that died before it could publish
//! them, or before the machine crashed. Those that are complete, right records stay: they may have
//! been acknowledged. What follows them was acknowledged to nobody; it is copied aside, never
//! dropped, and only then cut. Damage below the synced mark is no torn tail: the log then takes no
//! more records (N2).
//!
//! Every step may be the last one before the process is killed; the next one starts over and does
//! the same (`docs/audit-format.md`, "Recovery").

use std::{collections::HashMap, os::fd::AsFd};

use iddio_core::{
    audit::{
        chain::Head,
        verify::{Event, Scanned, Verifier},
    },
    json::Value,
    operation::OperationId,
};
use rustix::fs::OFlags;

use crate::{
    directory::{Directory, FileError, io_error},
    register::Place,
    segment,
};

/// What a part of a segment holds.
#[derive(Debug)]
pub(crate) struct Prefix {
    /// Where the next record goes.
    pub(crate) head: Head,
    /// The end of the longest good prefix.
    pub(crate) valid: u64,
    /// The end of the file.
    pub(crate) size: u64,
    /// What the records in it opened and did not close, and who wrote them.
    pub(crate) opened: HashMap<OperationId, (String, Place)>,
    /// What the records in it closed.
    pub(crate) ended: Vec<OperationId>,
}

/// Reads `number` from `start`, where `head` is the place of the record, to its end, and returns the
/// longest prefix that holds.
pub(crate) fn prefix(
    file: impl AsFd,
    number: u64,
    start: u64,
    head: Head,
) -> Result<Prefix, FileError> {
    let fail = |errno| io_error(&segment::name(number), errno);
    let size = segment::size(&file).map_err(fail)?;
    let mut verifier = Verifier::from(head);
    let mut found = Prefix { head, valid: start, size, opened: HashMap::new(), ended: Vec::new() };
    let mut rest: Vec<u8> = Vec::new();
    let mut at = start;
    while at < size {
        let chunk = segment::read(&file, at, size.min(at + CHUNK_BYTES)).map_err(fail)?;
        if chunk.is_empty() {
            break;
        }
        at += chunk.len() as u64;
        rest.extend_from_slice(&chunk);
        let mut used = 0;
        for line in rest.split_inclusive(|byte| *byte == b'\n') {
            let Some(line) = line.strip_suffix(b"\n") else { break };
            let Ok(scanned) = verifier.feed(line) else { return Ok(found) };
            found.take(&scanned, line, Place { segment: number, offset: found.valid });
            used += line.len() + 1;
        }
        rest.drain(..used);
        if CHUNK_BYTES < rest.len() as u64 {
            return Ok(found);
        }
    }
    Ok(found)
}

impl Prefix {
    fn take(&mut self, scanned: &Scanned, line: &[u8], place: Place) {
        self.head = Head::after(scanned.seq, scanned.hash);
        self.valid += line.len() as u64 + 1;
        match scanned.event {
            Event::Admin => {}
            Event::Asked | Event::Allowed => {
                let record = Value::read(line).ok();
                let writer = record.as_ref().and_then(|record| record.member("writer"));
                let writer = writer.and_then(Value::as_text).unwrap_or_default().to_owned();
                self.opened.insert(scanned.id, (writer, place));
            }
            Event::Denied | Event::Closed { .. } => {
                self.opened.remove(&scanned.id);
                self.ended.push(scanned.id);
            }
        }
    }
}

/// Returns the place after the last record of segment `number`, which was synced before the next one
/// began.
pub(crate) fn head_after(dir: &Directory, number: u64) -> Result<Option<Head>, FileError> {
    let file = segment::open_to_read(dir, number)?;
    let last = segment::size(&file).and_then(|size| segment::last_line(&file, size));
    let last = last.map_err(|errno| io_error(&segment::name(number), errno))?;
    let scanned = last.and_then(|line| iddio_core::audit::verify::scan(&line).ok());
    Ok(scanned.map(|scanned| Head::after(scanned.seq, scanned.hash)))
}

/// Copies the bytes from `valid` on to a file of their own, makes that durable, and then cuts them
/// off the segment.
pub(crate) fn set_aside(
    dir: &Directory,
    file: impl AsFd,
    number: u64,
    valid: u64,
    size: u64,
) -> Result<(), FileError> {
    let fail = |errno| io_error(&segment::name(number), errno);
    let tail = segment::read(&file, valid, size).map_err(fail)?;
    keep(dir, &format!("{number:010}.{valid}"), &tail)?;
    dir.disk().truncate(&file, valid).map_err(fail)?;
    dir.disk().sync(&file).map_err(fail)
}

/// Writes `tail` to a file named after `stem`. A file that holds the same already, from a recovery
/// that was killed, serves.
fn keep(dir: &Directory, stem: &str, tail: &[u8]) -> Result<(), FileError> {
    for turn in 0..TORN_FILES_MAX {
        let name = format!("{stem}.{turn}{TORN_NEW}");
        let kept = dir.file(&format!("{stem}.{turn}{TORN}"), OFlags::RDONLY);
        match kept {
            Ok(_) => continue,
            Err(FileError::Io { errno: rustix::io::Errno::NOENT, .. }) => {}
            Err(error) => return Err(error),
        }
        let fail = |errno| io_error(&name, errno);
        let file = dir.file_or_new(&name, OFlags::RDWR)?;
        let held = segment::size(&file).map_err(fail)?;
        let same = held <= tail.len() as u64 && {
            let held = segment::read(&file, 0, held).map_err(fail)?;
            tail.starts_with(&held)
        };
        if same {
            dir.disk().truncate(&file, 0).map_err(fail)?;
            let mut rest = tail;
            while !rest.is_empty() {
                let wrote = dir.disk().append(&file, rest).map_err(fail)?;
                rest = rest.get(wrote..).unwrap_or_default();
            }
            dir.disk().sync(&file).map_err(fail)?;
            return dir.sync();
        }
    }
    Err(io_error(stem, rustix::io::Errno::EXIST))
}

/// Returns the tails that were set aside and are not yet on record.
pub(crate) fn unrecorded(dir: &Directory) -> Result<Vec<String>, FileError> {
    Ok(dir.names()?.into_iter().filter(|name| name.ends_with(TORN_NEW)).collect())
}

/// Marks a tail that was set aside as being on record.
pub(crate) fn recorded(dir: &Directory, name: &str) -> Result<(), FileError> {
    let stem = name.strip_suffix(TORN_NEW).unwrap_or(name);
    dir.rename(name, &format!("{stem}{TORN}"))
}

/// Returns the segment and offset that the name of a tail states.
pub(crate) fn torn_place(name: &str) -> Option<(u64, u64)> {
    let mut parts = name.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// A tail set aside and on record.
const TORN: &str = ".torn";

/// A tail set aside, and not yet on record.
const TORN_NEW: &str = ".torn-new";

/// How many tails may be set aside at one place. Each ends with a record, so two is a lot.
const TORN_FILES_MAX: usize = 64;

/// How much of a segment is read at once.
const CHUNK_BYTES: u64 = 4 << 20;
