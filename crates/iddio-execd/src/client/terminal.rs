//! The caller's terminal, while the command has one of its own elsewhere.
//!
//! INVARIANT: the terminal is as it was before whenever this process stops, ends, or shows something of
//! its own; only being killed leaves it otherwise.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::{
    event::PollFlags,
    pipe::{PipeFlags, pipe_with},
    termios::{OptionalActions, Termios, isatty, tcgetattr, tcgetwinsize, tcsetattr},
};

use crate::wire::{Stream, Window};

/// The streams of this process, as the broker gets them.
pub(super) struct Streams {
    pub(super) kinds: [Stream; 3],
    pub(super) given: [OwnedFd; 3],
    /// What is typed goes here.
    pub(super) typed: Option<Typed>,
    /// What comes out of here is shown on standard output, or on standard error.
    pub(super) shown: [Option<OwnedFd>; 2],
}

/// What is typed, on its way.
pub(super) struct Typed {
    to: OwnedFd,
    waiting: Vec<u8>,
}

/// A terminal that hands every key on as it is, until this is dropped.
pub(super) struct Raw {
    before: Termios,
}

// === impl Streams ===

impl Streams {
    /// Takes this process's streams; in the place of a terminal, a pipe.
    pub(super) fn take() -> io::Result<Self> {
        let kind = |fd: BorrowedFd<'_>| match isatty(fd) {
            true => Stream::Terminal,
            false => Stream::Plain,
        };
        let (stdin, stdout, stderr) =
            (rustix::stdio::stdin(), rustix::stdio::stdout(), rustix::stdio::stderr());
        let kinds = [kind(stdin), kind(stdout), kind(stderr)];
        let (given_stdin, typed) = match kinds[0] {
            Stream::Plain => (stdin.try_clone_to_owned()?, None),
            Stream::Terminal => {
                let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
                rustix::io::ioctl_fionbio(&write, true)?;
                (read, Some(Typed { to: write, waiting: Vec::new() }))
            }
        };
        let out = |kind, fd: BorrowedFd<'_>| -> io::Result<(OwnedFd, Option<OwnedFd>)> {
            if kind == Stream::Plain {
                return Ok((fd.try_clone_to_owned()?, None));
            }
            let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
            rustix::io::ioctl_fionbio(&read, true)?;
            Ok((write, Some(read)))
        };
        let (given_stdout, shown) = out(kinds[1], stdout)?;
        let (given_stderr, complained) = out(kinds[2], stderr)?;
        let given = [given_stdin, given_stdout, given_stderr];
        Ok(Self { kinds, given, typed, shown: [shown, complained] })
    }
}

// === impl Typed ===

impl Typed {
    /// What has to be ready for something to move.
    pub(super) fn waits_for(&self) -> (BorrowedFd<'_>, PollFlags) {
        match self.waiting.is_empty() {
            true => (rustix::stdio::stdin(), PollFlags::IN),
            false => (self.to.as_fd(), PollFlags::OUT),
        }
    }

    /// Moves what can be moved. At the end of what is typed there is no more.
    pub(super) fn go(mut self) -> Option<Self> {
        if self.waiting.is_empty() {
            let mut buffer = [0; TYPED_BYTES];
            match rustix::io::read(rustix::stdio::stdin(), &mut buffer) {
                Ok(0) => return None,
                Ok(count) => self.waiting.extend(buffer.get(..count).unwrap_or_default()),
                Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => return Some(self),
                Err(_) => return None,
            }
        }
        match rustix::io::write(&self.to, &self.waiting) {
            Ok(count) => drop(self.waiting.drain(..count.min(self.waiting.len()))),
            Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => {}
            // Nobody reads it any more.
            Err(_) => return None,
        }
        Some(self)
    }
}

// === impl Raw ===

impl Raw {
    /// Takes the terminal on standard input.
    pub(super) fn begin() -> io::Result<Self> {
        let before = tcgetattr(rustix::stdio::stdin())?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(rustix::stdio::stdin(), OptionalActions::Now, &raw)?;
        Ok(Self { before })
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // A terminal that is gone has no modes.
        let _ = tcsetattr(rustix::stdio::stdin(), OptionalActions::Now, &self.before);
    }
}

/// The size of the terminal that any of the streams is.
pub(super) fn window() -> Window {
    let all = [rustix::stdio::stdout(), rustix::stdio::stderr(), rustix::stdio::stdin()];
    let size = all.into_iter().find_map(|fd| tcgetwinsize(fd).ok());
    size.map_or(Window { rows: 0, columns: 0 }, |size| Window {
        rows: size.ws_row,
        columns: size.ws_col,
    })
}

/// What is typed or pasted at once.
const TYPED_BYTES: usize = 4096;
