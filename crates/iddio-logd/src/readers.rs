//! Those who read: pages of the log, checkpoints and proofs, made on a thread of their own.
//!
//! A page may take a look through a whole segment, which must not make those wait who append.

use std::{
    collections::HashMap,
    io,
    os::fd::OwnedFd,
    path::PathBuf,
    sync::{
        Arc,
        mpsc::{Receiver, Sender, channel},
    },
    thread,
};

use iddio_audit::{
    checkpoint::{Tree, last_checkpoint},
    query::Pager,
    wire::{Code, No, Reply, Standing},
};
use iddio_core::{
    audit::{
        checkpoint::{Checkpoint, Note},
        verify::{Event, scan},
    },
    digest::Digest,
};
use rustix::event::{EventfdFlags, eventfd};

use crate::open::Open;

/// The thread that reads.
pub(crate) struct Readers {
    wanted: Sender<Wanted>,
    ready: Receiver<Page>,
    bell: Arc<OwnedFd>,
}

/// What the thread is told.
#[derive(Debug)]
pub(crate) enum Wanted {
    /// The client is gone.
    Gone(u64),
    /// A client wants to see something.
    Look { client: u64, look: Look },
}

/// What a client wants to see.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Look {
    Checkpoint,
    Consistency { old: u64 },
    Proof { seq: u64 },
    Records { from: u64 },
    Warrant { seq: u64 },
}

/// What a client sees.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) client: u64,
    pub(crate) reply: Reply,
    pub(crate) lines: Vec<u8>,
}

// === impl Readers ===

impl Readers {
    /// Starts the thread.
    pub(crate) fn start(log: PathBuf, open: Arc<Open>) -> io::Result<Self> {
        let bell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let bell = Arc::new(bell);
        // A client has one question at a time, so neither queue is longer than there are clients.
        let (wanted, questions) = channel();
        let (answers, ready) = channel();
        let own = bell.clone();
        let thread = thread::Builder::new().name("iddio-log-read".to_owned());
        thread.spawn(move || {
            let mut reading = Reading { log, open, pagers: HashMap::new() };
            for wanted in questions {
                let (client, look) = match wanted {
                    Wanted::Gone(client) => {
                        reading.pagers.remove(&client);
                        continue;
                    }
                    Wanted::Look { client, look } => (client, look),
                };
                let (reply, lines) = reading.look(client, look).unwrap_or_else(|reason| {
                    (Reply::No(No { code: Code::NotStored, reason }), Vec::new())
                });
                if answers.send(Page { client, reply, lines }).is_err() {
                    return;
                }
                // The bell rings already if it cannot be rung.
                let _ = rustix::io::write(&*own, &1_u64.to_ne_bytes());
            }
        })?;
        Ok(Self { wanted, ready, bell })
    }

    /// What becomes readable when a page is ready.
    pub(crate) fn bell(&self) -> &OwnedFd {
        &self.bell
    }

    pub(crate) fn want(&self, wanted: Wanted) {
        // The thread ends with the service.
        let _ = self.wanted.send(wanted);
    }

    /// Takes the pages that are ready.
    pub(crate) fn take(&self) -> Vec<Page> {
        let mut count = [0; 8];
        // An empty bell says so, and that is what is wanted.
        let _ = rustix::io::read(&*self.bell, &mut count);
        self.ready.try_iter().collect()
    }
}

/// What the thread works with.
struct Reading {
    log: PathBuf,
    open: Arc<Open>,
    pagers: HashMap<u64, Pager>,
}

// === impl Reading ===

impl Reading {
    /// Returns what is answered, and the bytes that follow it.
    fn look(&mut self, client: u64, look: Look) -> Result<(Reply, Vec<u8>), String> {
        let (log, open) = (&self.log, &self.open);
        match look {
            Look::Checkpoint => Ok((Reply::Checkpoint(self.note()?), Vec::new())),
            Look::Consistency { old } => self.prove(|tree, Checkpoint { size, .. }| {
                tree.consistency(old, *size).map_err(|error| error.to_string())
            }),
            Look::Proof { seq } => {
                let line = self.line(client, seq)?;
                let scanned = scan(&line).map_err(|error| error.to_string())?;
                self.prove(|tree, Checkpoint { size, .. }| {
                    let path = tree.path(seq, *size, scanned.hash);
                    path.map_err(|error| error.to_string())
                })
            }
            Look::Records { from } => {
                let pager = self.pagers.entry(client).or_default();
                let page = pager.page(log, from, PAGE_BYTES).map_err(|error| error.to_string());
                let (lines, next) = page?;
                Ok((Reply::Records { next }, lines))
            }
            Look::Warrant { seq } => {
                // Before the line is read: what is open now was stored before.
                let open = open.clone();
                let line = self.line(client, seq)?;
                let scanned = scan(&line).map_err(|error| error.to_string())?;
                let standing = match (scanned.event, open.is_live(scanned.id)) {
                    (Event::Allowed, true) => Standing::Open,
                    _ => Standing::Ended,
                };
                Ok((Reply::Warrant(standing), line))
            }
        }
    }

    fn note(&self) -> Result<Option<String>, String> {
        last_checkpoint(&self.log).map_err(|error| error.to_string())
    }

    /// Returns the line of record `seq`, without its newline.
    fn line(&mut self, client: u64, seq: u64) -> Result<Vec<u8>, String> {
        let pager = self.pagers.entry(client).or_default();
        let page = pager.page(&self.log, seq, 0).map_err(|error| error.to_string());
        let (mut line, _) = page?;
        match line.pop() {
            Some(b'\n') => Ok(line),
            Some(_) | None => Err(format!("the log has no record {seq}")),
        }
    }

    /// Makes a proof that leads to what was signed for last.
    fn prove(
        &self,
        path: impl FnOnce(&mut Tree, &Checkpoint) -> Result<Vec<Digest>, String>,
    ) -> Result<(Reply, Vec<u8>), String> {
        let note = self.note()?.ok_or("there is no checkpoint yet")?;
        let read = Note::read(&note).ok_or("the last checkpoint is damaged")?;
        let mut tree = Tree::open(&self.log).map_err(|error| error.to_string())?;
        let path = path(&mut tree, &read.checkpoint)?;
        Ok((Reply::Proof { note, path }, Vec::new()))
    }
}

/// How many bytes of lines a page has: what a slow reader may hold in memory here.
const PAGE_BYTES: usize = 256 << 10;
