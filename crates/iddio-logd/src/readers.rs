//! Those who read: pages of the log and checkpoints, made on a thread of their own.
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
    checkpoint::last_checkpoint,
    query::Pager,
    wire::{Code, No, Reply},
};
use rustix::event::{EventfdFlags, eventfd};

/// The thread that reads.
pub(crate) struct Readers {
    wanted: Sender<Wanted>,
    ready: Receiver<Page>,
    bell: Arc<OwnedFd>,
}

/// What a client wants to see.
#[derive(Debug)]
pub(crate) enum Wanted {
    Checkpoint(u64),
    /// The client is gone.
    Gone(u64),
    Records {
        client: u64,
        from: u64,
    },
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
    pub(crate) fn start(log: PathBuf) -> io::Result<Self> {
        let bell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let bell = Arc::new(bell);
        // A client has one question at a time, so neither queue is longer than there are clients.
        let (wanted, questions) = channel();
        let (answers, ready) = channel();
        let own = bell.clone();
        let thread = thread::Builder::new().name("iddio-log-read".to_owned());
        thread.spawn(move || {
            let mut pagers = HashMap::new();
            for wanted in questions {
                let Some(page) = look(&log, &mut pagers, wanted) else { continue };
                if answers.send(page).is_err() {
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

fn look(log: &std::path::Path, pagers: &mut HashMap<u64, Pager>, wanted: Wanted) -> Option<Page> {
    let sorry = |error: String| Reply::No(No { code: Code::NotStored, reason: error });
    Some(match wanted {
        Wanted::Gone(client) => {
            pagers.remove(&client);
            return None;
        }
        Wanted::Checkpoint(client) => {
            let note = last_checkpoint(log);
            let reply = note.map_or_else(|error| sorry(error.to_string()), Reply::Checkpoint);
            Page { client, reply, lines: Vec::new() }
        }
        Wanted::Records { client, from } => {
            match pagers.entry(client).or_default().page(log, from, PAGE_BYTES) {
                Ok((lines, next)) => Page { client, reply: Reply::Records { next }, lines },
                Err(error) => Page { client, reply: sorry(error.to_string()), lines: Vec::new() },
            }
        }
    })
}

/// How many bytes of lines a page has: what a slow reader may hold in memory here.
const PAGE_BYTES: usize = 256 << 10;
