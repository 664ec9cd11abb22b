//! The conversation with one client, once it has said what it wants.
//!
//! One thread hears the client for as long as its command takes; everybody else reads what it said here.
//! INVARIANT: a connection that ends, in whatever way, counts as the client having gone away, and is
//! remembered: whoever looks later hears it too.

use std::{
    collections::VecDeque,
    io,
    net::Shutdown,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::net::UnixStream,
    },
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rustix::termios::{Winsize, tcsetwinsize};

use crate::{
    carry::{CarryError, receive, send},
    stream::Bell,
    wire::{Ask, Say, Window},
};

/// The conversation.
pub(crate) struct Line {
    socket: UnixStream,
    /// Rings when there is something in `heard`.
    pub(crate) bell: Bell,
    heard: Mutex<Heard>,
    saying: Mutex<()>,
}

/// What a client has said since somebody looked.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    /// Signals it got, in order.
    pub(crate) signals: VecDeque<i32>,
    /// Whether it is still there.
    pub(crate) client: Presence,
    window: Option<Window>,
    terminal: Option<Arc<OwnedFd>>,
}

/// Whether a client is there.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Presence {
    /// It went away.
    Gone,
    /// It is there.
    #[default]
    There,
}

// === impl Line ===

impl Line {
    /// Takes over a connection whose client has said what it wants.
    pub(crate) fn new(socket: UnixStream, window: Window) -> io::Result<Self> {
        let heard = Heard { window: Some(window), ..Heard::default() };
        let (heard, saying) = (Mutex::new(heard), Mutex::new(()));
        Ok(Self { socket, bell: Bell::new()?, heard, saying })
    }

    /// Says something, with descriptors attached. A client that does not hear counts as gone.
    pub(crate) fn say(&self, say: &Say, attached: &[BorrowedFd<'_>]) {
        let _one_at_a_time = self.saying.lock().unwrap_or_else(PoisonError::into_inner);
        let said = say.frame().map_err(CarryError::from);
        if said.and_then(|frame| send(&self.socket, &frame, attached)).is_err() {
            self.leave();
        }
    }

    /// Hears the client until it is gone.
    pub(crate) fn hear(&self) {
        loop {
            let ask = receive(&self.socket, 0).and_then(|got| Ok(Ask::read(&got.body)?));
            match ask {
                Ok(Ask::Signal(signal)) => {
                    let mut heard = self.heard();
                    if heard.signals.len() < SIGNALS_MAX {
                        heard.signals.push_back(signal);
                    }
                    drop(heard);
                    self.bell.ring();
                }
                Ok(Ask::Window(window)) => {
                    let mut heard = self.heard();
                    heard.window = Some(window);
                    heard.resize();
                }
                // It says what it wants once.
                Ok(Ask::Start(_)) | Err(_) => return self.leave(),
            }
        }
    }

    /// Returns what the client said since the last time.
    pub(crate) fn take(&self) -> Heard {
        self.bell.hush();
        let mut heard = self.heard();
        let signals = std::mem::take(&mut heard.signals);
        Heard { signals, client: heard.client, window: heard.window, terminal: None }
    }

    /// The size of the client's terminal.
    pub(crate) fn window(&self) -> Winsize {
        winsize(self.heard().window)
    }

    /// Lets a terminal follow the size of the client's from here on.
    pub(crate) fn follow(&self, terminal: Option<Arc<OwnedFd>>) {
        let mut heard = self.heard();
        heard.terminal = terminal;
        heard.resize();
    }

    /// Ends the conversation.
    pub(crate) fn leave(&self) {
        self.heard().client = Presence::Gone;
        // What is closed already is closed.
        let _ = self.socket.shutdown(Shutdown::Both);
        self.bell.ring();
    }

    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Heard ===

impl Heard {
    fn resize(&self) {
        if let Some(terminal) = &self.terminal {
            // A terminal that is gone has no size.
            let _ = tcsetwinsize(terminal.as_fd(), winsize(self.window));
        }
    }
}

fn winsize(window: Option<Window>) -> Winsize {
    let Window { rows, columns } = window.unwrap_or(Window { rows: 0, columns: 0 });
    Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }
}

/// The most signals that wait to be passed on.
const SIGNALS_MAX: usize = 64;
