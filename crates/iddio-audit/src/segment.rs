//! The files the chain lies in: `0000000001.jsonl`, `0000000002.jsonl`, and so on.

use std::os::fd::{AsFd, OwnedFd};

use rustix::{
    fs::OFlags,
    io::{self, Errno},
};

use crate::directory::{Directory, FileError, io_error};
use iddio_core::json::LINE_BYTES_MAX;

/// Returns the file name of segment `number`.
pub(crate) fn name(number: u64) -> String {
    format!("{number:010}{SUFFIX}")
}

/// Returns the number of the segment with this file name.
pub(crate) fn number(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(SUFFIX)?;
    let sound = digits.len() == 10 && digits.bytes().all(|byte| byte.is_ascii_digit());
    sound.then(|| digits.parse().ok()).flatten()
}

/// Returns the numbers of the segments there are, in order.
pub(crate) fn numbers(dir: &Directory) -> Result<Vec<u64>, FileError> {
    let mut numbers: Vec<u64> = dir.names()?.iter().filter_map(|name| number(name)).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// Opens a segment to append to.
pub(crate) fn open(dir: &Directory, number: u64) -> Result<OwnedFd, FileError> {
    dir.file(&name(number), OFlags::RDWR | OFlags::APPEND)
}

/// Opens a segment to read.
pub(crate) fn open_to_read(dir: &Directory, number: u64) -> Result<OwnedFd, FileError> {
    dir.file(&name(number), OFlags::RDONLY)
}

/// Returns the size of an open file.
pub(crate) fn size(file: impl AsFd) -> Result<u64, Errno> {
    let stat = rustix::fs::fstat(file)?;
    u64::try_from(stat.st_size).map_err(|_| Errno::IO)
}

/// Reads `[from, to)`. Short only if the file is.
pub(crate) fn read(file: impl AsFd, from: u64, to: u64) -> Result<Vec<u8>, Errno> {
    let wanted = usize::try_from(to.saturating_sub(from)).map_err(|_| Errno::FBIG)?;
    let mut bytes = vec![0; wanted];
    let read = fill(file, from, &mut bytes)?;
    bytes.truncate(read);
    Ok(bytes)
}

/// Reads from `from` until `bytes` is full, and returns how much was read. Less only if the file
/// ends.
pub(crate) fn fill(file: impl AsFd, from: u64, bytes: &mut [u8]) -> Result<usize, Errno> {
    let mut done = 0;
    while let Some(rest) = bytes.get_mut(done..).filter(|rest| !rest.is_empty()) {
        match io::retry_on_intr(|| io::pread(&file, &mut *rest, from + done as u64))? {
            0 => break,
            read => done += read,
        }
    }
    Ok(done)
}

/// Reads the line that begins at `at`, without its newline.
pub(crate) fn line(dir: &Directory, number: u64, at: u64) -> Result<Option<Vec<u8>>, FileError> {
    let file = open_to_read(dir, number)?;
    let mut bytes = Vec::new();
    while bytes.len() <= LINE_BYTES_MAX {
        let from = at + bytes.len() as u64;
        let more = read(&file, from, from + LINE_STEP).map_err(|e| io_error(&name(number), e))?;
        let end = more.iter().position(|byte| *byte == b'\n');
        bytes.extend_from_slice(more.get(..end.unwrap_or(more.len())).unwrap_or_default());
        match end {
            Some(_) => return Ok(Some(bytes)),
            None if more.is_empty() => return Ok(None),
            None => {}
        }
    }
    Ok(None)
}

/// Reads the last complete line before `end`, without its newline, if there is one. `end` is the end
/// of a line.
pub(crate) fn last_line(file: impl AsFd, end: u64) -> Result<Option<Vec<u8>>, Errno> {
    let mut step = LINE_STEP;
    loop {
        let from = end.saturating_sub(step);
        let bytes = read(&file, from, end)?;
        let Some((newline, before)) = bytes.split_last() else { return Ok(None) };
        if *newline != b'\n' {
            return Ok(None);
        }
        if let Some(start) = before.iter().rposition(|byte| *byte == b'\n') {
            return Ok(before.get(start + 1..).map(<[u8]>::to_vec));
        }
        if from == 0 {
            return Ok(Some(before.to_vec()));
        }
        if (LINE_BYTES_MAX as u64) < step {
            return Ok(None);
        }
        step *= 4;
    }
}

const SUFFIX: &str = ".jsonl";

/// How much is read at once when looking for a line: several records of the usual size.
const LINE_STEP: u64 = 4096;

/// When a segment is full. Small enough to scan within a second after a crash of the machine, large
/// enough that a year of a busy host is a few thousand files.
pub const SEGMENT_BYTES: u64 = 64 << 20;
