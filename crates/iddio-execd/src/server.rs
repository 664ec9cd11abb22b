//! The broker itself: hears clients, takes each command through the pipeline, runs it confined.
//!
//! One thread listens; each client has a thread of its own for as long as its command takes, and all of
//! them are ended when the [`Serving`] is dropped. INVARIANT: a client that goes away takes its run, and
//! what it asked, with it.

use std::{
    io,
    os::{
        fd::OwnedFd,
        unix::net::{UnixListener, UnixStream},
    },
    path::PathBuf,
    sync::Arc,
    thread::{self, JoinHandle},
};

use iddio_runtime::assemble::Runtime;
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};

/// On which terms a broker serves.
pub struct Terms {
    /// The home, the log, the policy.
    pub runtime: Arc<Runtime>,
    /// Who its clients may be.
    pub callers: Callers,
    /// Where runs have their private directories.
    pub runs: PathBuf,
}

/// Who clients of a broker are.
#[derive(Clone)]
pub enum Callers {
    /// Each is the user of the host that the kernel says, or the agent whose token it shows.
    Host,
    /// Whoever reaches the socket speaks for the user of this process, as this agent if one is named,
    /// whose token is in the home: `iddio run`.
    Own {
        /// The agent.
        agent: Option<String>,
    },
}

/// A broker at work. Dropped, it ends every run, and returns when all of them are over.
#[must_use]
pub struct Serving {
    stop: Arc<OwnedFd>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

// === impl Serving ===

impl Serving {
    /// Serves `listener` on these terms, from threads of its own.
    ///
    /// # Errors
    ///
    /// When there is no thread or no descriptor left.
    pub fn start(listener: UnixListener, terms: Terms) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let stop = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        let stopped = stop.clone();
        let terms = Arc::new(terms);
        let named = thread::Builder::new().name("iddio-execd".to_owned());
        let thread = named.spawn(move || listen(&listener, &terms, &stopped))?;
        Ok(Self { stop, thread: Some(thread) })
    }

    /// Serves until the socket fails.
    ///
    /// # Errors
    ///
    /// When it does.
    pub fn wait(mut self) -> io::Result<()> {
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(ended)) => ended,
            Some(Err(_)) => Err(io::Error::other("the listening thread panicked")),
            None => Ok(()),
        }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // It is full only if it is readable already, which is all that is wanted.
        let _ = rustix::io::write(&self.stop, &1_u64.to_ne_bytes());
        if let Some(thread) = self.thread.take() {
            // Whatever became of it, it is over.
            let _ = thread.join();
        }
    }
}

fn listen(listener: &UnixListener, terms: &Arc<Terms>, stop: &OwnedFd) -> io::Result<()> {
    loop {
        let mut waiting = [PollFd::new(listener, PollFlags::IN), PollFd::new(stop, PollFlags::IN)];
        match poll(&mut waiting, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let [_, stopped] = &waiting;
        if !stopped.revents().is_empty() {
            return Ok(());
        }
        if let Ok((stream, _)) = listener.accept() {
            serve(stream, terms);
        }
    }
}

/// Hears one client.
fn serve(_stream: UnixStream, terms: &Arc<Terms>) {
    let Terms { runtime: _, callers: _, runs: _ } = &**terms;
}
