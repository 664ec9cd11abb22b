//! Where `iddio audit` reads: the host's log service where there is one, else the home's own log.
//!
//! The host decides, as it does for writing: where root configured a service, that is the log.

use std::{
    collections::VecDeque,
    ops::ControlFlow,
    path::{Path, PathBuf},
    time::Duration,
};

use iddio_audit::{
    checkpoint::{CheckpointError, Tree, last_checkpoint},
    query::{self, Filter, Record, Tail},
    remote::{Remote, RemoteError},
    verify::{Report, Stream, verify, verify_against},
};
use iddio_core::{audit::checkpoint::Note, digest::Digest, json::Value};
use iddio_runtime::recorder;

use crate::{commands, exit::Failure};

/// A log to read.
pub(super) enum Source {
    /// In this directory.
    Directory(PathBuf),
    /// Behind the host's log service.
    Service(Remote),
}

/// A log that is read as it grows.
pub(super) enum Following {
    Directory(Tail),
    Service(Remote, u64),
}

/// Returns the log that records go to.
pub(super) fn source() -> Result<Source, Failure> {
    match recorder::service() {
        Ok(Some(remote)) => Ok(Source::Service(remote)),
        Ok(None) => Ok(Source::Directory(commands::home_there()?.log())),
        Err(error) => Err(Failure::unavailable(error).hint("iddio doctor")),
    }
}

// === impl Source ===

impl Source {
    /// Calls `each` with every record that `filter` wants, until it breaks.
    pub(super) fn each(
        &self,
        filter: &Filter,
        mut each: impl FnMut(Record) -> ControlFlow<()>,
    ) -> Result<(), Failure> {
        match self {
            Self::Directory(dir) => query::query(dir, filter, each).map_err(Failure::unavailable),
            Self::Service(remote) => {
                let lines = remote.lines(0, |line| match record(line) {
                    Some(record) if filter.wants(&record) => each(record),
                    // What is not canonical JSON is no record; the verifier says so.
                    Some(_) | None => ControlFlow::Continue(()),
                });
                lines.map(drop).map_err(refused)
            }
        }
    }

    /// Returns the last `count` records that `filter` wants.
    pub(super) fn last(&self, filter: &Filter, count: usize) -> Result<Vec<Record>, Failure> {
        let mut kept = VecDeque::new();
        self.each(filter, |record| {
            kept.push_back(record);
            if count < kept.len() {
                kept.pop_front();
            }
            ControlFlow::Continue(())
        })?;
        Ok(kept.into())
    }

    /// Returns record `seq`, if there is one.
    pub(super) fn numbered(&self, seq: u64) -> Result<Option<Record>, Failure> {
        let mut found = None;
        match self {
            Self::Directory(_) => self.each(&Filter::default(), |record| {
                if record.int("seq") != Some(seq) {
                    return ControlFlow::Continue(());
                }
                found = Some(record);
                ControlFlow::Break(())
            })?,
            Self::Service(remote) => {
                let lines = remote.lines(seq, |line| {
                    found = record(line);
                    ControlFlow::Break(())
                });
                lines.map(drop).map_err(refused)?;
            }
        }
        Ok(found)
    }

    /// Returns the last checkpoint, if there is one.
    pub(super) fn checkpoint(&self) -> Result<Option<String>, Failure> {
        match self {
            Self::Directory(dir) => last_checkpoint(dir).map_err(Failure::unavailable),
            Self::Service(remote) => remote.checkpoint().map_err(refused),
        }
    }

    /// Returns the last checkpoint, and the proof that the record `seq` with `hash` is in it.
    pub(super) fn prove(&self, seq: u64, hash: Digest) -> Result<(String, Vec<Digest>), Failure> {
        match self {
            Self::Directory(dir) => prove(dir, seq, hash),
            Self::Service(remote) => remote.prove(seq).map_err(refused),
        }
    }

    /// Verifies the log, and against a checkpoint if there is one.
    pub(super) fn verify(&self, note: Option<&Note>) -> Result<Report, Failure> {
        match self {
            Self::Directory(dir) => {
                let threads = std::thread::available_parallelism().map_or(1, usize::from);
                let report = match note {
                    Some(note) => verify_against(dir, threads, note, None),
                    None => verify(dir, threads),
                };
                report.map_err(Failure::unavailable)
            }
            Self::Service(remote) => {
                let mut stream = Stream::new(note.map(|note| (note, None)));
                let lines = remote.lines(0, |line| {
                    stream.line(line);
                    ControlFlow::Continue(())
                });
                lines.map_err(refused)?;
                Ok(stream.finish())
            }
        }
    }

    /// Begins to follow it from the record after the last one there is now.
    pub(super) fn follow(&self) -> Result<Following, Failure> {
        match self {
            Self::Directory(dir) => {
                Ok(Following::Directory(Tail::from_end(dir).map_err(Failure::unavailable)?))
            }
            Self::Service(remote) => {
                let head = remote.head().map_err(refused)?;
                Ok(Following::Service(Remote::at(remote.socket(), remote.keeper()), head))
            }
        }
    }
}

// === impl Following ===

impl Following {
    /// Waits for more records, for as long as a look takes.
    pub(super) fn next(&mut self) -> Result<Vec<Record>, Failure> {
        match self {
            Self::Directory(tail) => {
                let line = tail.next_line(FOLLOW_WAIT).map_err(Failure::unavailable)?;
                Ok(line.as_deref().and_then(record).into_iter().collect())
            }
            Self::Service(remote, from) => {
                let mut records = Vec::new();
                let next = remote.lines(*from, |line| {
                    records.extend(record(line));
                    ControlFlow::Continue(())
                });
                *from = next.map_err(refused)?;
                if records.is_empty() {
                    std::thread::sleep(LOOK_EVERY);
                }
                Ok(records)
            }
        }
    }
}

fn record(line: &[u8]) -> Option<Record> {
    let value = Value::read(line).ok()?;
    Some(Record { line: line.to_vec(), value })
}

fn prove(dir: &Path, seq: u64, hash: Digest) -> Result<(String, Vec<Digest>), Failure> {
    let note = last_checkpoint(dir).map_err(Failure::unavailable)?;
    let note = note.ok_or_else(|| {
        Failure::unavailable("there is no checkpoint yet").hint("iddio audit checkpoint")
    })?;
    let mut tree = Tree::open(dir).map_err(Failure::unavailable)?;
    let proof = tree.prove(seq, hash).map_err(|error| match error {
        CheckpointError::NoRecord(_) => {
            Failure::unavailable(format!("record #{seq} is younger than the last checkpoint"))
                .hint("iddio audit checkpoint")
        }
        error => Failure::unavailable(error),
    })?;
    Ok((note, proof.path))
}

fn refused(error: RemoteError) -> Failure {
    match error {
        RemoteError::No(reason) => Failure::refused(reason)
            .hint("root names who reads in /etc/iddio/log.toml: readers, reader_group"),
        error => Failure::unavailable(error),
    }
}

/// How long one wait for a record lasts before the next: nothing depends on it.
const FOLLOW_WAIT: Duration = Duration::from_secs(60);

/// How often a service is asked for more.
const LOOK_EVERY: Duration = Duration::from_millis(200);
