//! The controlling terminal: reading a key, a line, a passphrase.
//!
//! INVARIANT: the terminal's settings are put back when a guard is dropped, on every path. Input
//! that was typed before a question was shown is thrown away before the answer is read (E05).

use std::{
    fs::File,
    io::{self, Read, Write},
    os::fd::{AsFd, OwnedFd},
};

use iddio_mint::{
    Passphrase,
    approver::{PassphraseAgreement, PassphraseError},
};
use rustix::{
    fs::{Mode, OFlags},
    process::getpgrp,
    termios::{
        LocalModes, OptionalActions, QueueSelector, Termios, tcflush, tcgetattr, tcgetpgrp,
        tcsetattr,
    },
};
use zeroize::Zeroizing;

/// A terminal whose settings were changed and will be put back.
pub(crate) struct Changed<'a, Fd: AsFd> {
    tty: &'a Fd,
    before: Termios,
}

/// Where a passphrase comes from.
#[derive(Debug)]
pub enum PassphraseSource {
    /// A descriptor that was handed to this process, for scripts and tests: up to the first
    /// newline or the end.
    Descriptor(OwnedFd),
    /// The controlling terminal, without echo.
    Terminal,
}

/// How often a passphrase is typed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Typing {
    /// Once, to open a key.
    Once,
    /// Twice, to make one.
    Twice,
}

/// A passphrase could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadPassphraseError {
    /// There is no terminal to ask on.
    #[error("there is no terminal to ask for the passphrase on: {0}")]
    NoTerminal(io::Error),
    /// Reading failed.
    #[error("the passphrase could not be read: {0}")]
    Read(io::Error),
    /// It was typed two ways.
    #[error("the two passphrases differ")]
    Differ,
    /// It is not one we take.
    #[error(transparent)]
    Passphrase(#[from] PassphraseError),
}

/// Reads a passphrase. `question` is shown on the terminal, never on standard output.
///
/// # Errors
///
/// When there is no terminal, the two differ, or it is too short.
pub fn read_passphrase(
    source: PassphraseSource,
    question: &str,
    typing: Typing,
) -> Result<Passphrase, ReadPassphraseError> {
    match source {
        PassphraseSource::Descriptor(descriptor) => {
            let line = line(&mut File::from(descriptor)).map_err(ReadPassphraseError::Read)?;
            Ok(Passphrase::new(line.to_vec())?)
        }
        PassphraseSource::Terminal => {
            let mut tty = open().map_err(ReadPassphraseError::NoTerminal)?;
            let first = typed(&mut tty, question)?;
            if typing == Typing::Twice {
                let again = typed(&mut tty, "The same again: ")?;
                if first.agrees_with(&again) == PassphraseAgreement::Different {
                    return Err(ReadPassphraseError::Differ);
                }
            }
            Ok(first)
        }
    }
}

/// Opens the controlling terminal.
pub(crate) fn open() -> io::Result<File> {
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    Ok(rustix::fs::open(TTY, flags, Mode::empty())?.into())
}

/// Returns the terminal if this process may read from it: a background job would be stopped.
pub(crate) fn open_in_foreground() -> Option<File> {
    let tty = open().ok()?;
    let foreground = tcgetpgrp(&tty).ok()?;
    (foreground == getpgrp()).then_some(tty)
}

/// Throws away what was typed and not read.
pub(crate) fn flush(tty: &impl AsFd) -> io::Result<()> {
    Ok(tcflush(tty, QueueSelector::IFlush)?)
}

// === impl Changed ===

impl<'a, Fd: AsFd> Changed<'a, Fd> {
    /// Turns echo off, and throws away what was typed.
    pub(crate) fn silent(tty: &'a Fd) -> io::Result<Self> {
        Self::with(tty, |settings| {
            settings.local_modes -= LocalModes::ECHO;
            settings.local_modes |= LocalModes::ECHONL | LocalModes::ICANON;
        })
    }

    /// Gives single keys without echo; signals by key still work.
    pub(crate) fn keys(tty: &'a Fd) -> io::Result<Self> {
        Self::with(tty, |settings| settings.local_modes -= LocalModes::ECHO | LocalModes::ICANON)
    }

    /// Gives single keys without echo, also those that would raise signals.
    pub(crate) fn raw(tty: &'a Fd) -> io::Result<Self> {
        Self::with(tty, |settings| {
            settings.local_modes -= LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG;
        })
    }

    fn with(tty: &'a Fd, change: impl FnOnce(&mut Termios)) -> io::Result<Self> {
        let before = tcgetattr(tty)?;
        let mut settings = before.clone();
        change(&mut settings);
        tcsetattr(tty, OptionalActions::Flush, &settings)?;
        Ok(Self { tty, before })
    }
}

impl<Fd: AsFd> Drop for Changed<'_, Fd> {
    fn drop(&mut self) {
        // Nothing can be done if the terminal is gone.
        let _ = tcsetattr(self.tty, OptionalActions::Flush, &self.before);
    }
}

fn typed(tty: &mut File, question: &str) -> Result<Passphrase, ReadPassphraseError> {
    let fail = ReadPassphraseError::Read;
    tty.write_all(question.as_bytes()).map_err(fail)?;
    let quiet = tty.try_clone().map_err(fail)?;
    let _silent = Changed::silent(&quiet).map_err(fail)?;
    let line = line(tty).map_err(fail)?;
    Ok(Passphrase::new(line.to_vec())?)
}

/// Reads up to a newline or the end, byte by byte, so that nothing after it is taken.
fn line(input: &mut impl Read) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut line = Zeroizing::new(Vec::with_capacity(LINE_BYTES_MAX));
    let mut byte = Zeroizing::new([0]);
    while line.len() < LINE_BYTES_MAX {
        match input.read(byte.as_mut()) {
            Ok(0) => break,
            Ok(_) if byte.first() == Some(&b'\n') => break,
            Ok(_) => line.extend_from_slice(byte.as_ref()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(line)
}

/// The controlling terminal of whoever asks for it.
const TTY: &str = "/dev/tty";

/// The most bytes of a line that is read: more than a passphrase may have, so that one that is too
/// long is seen to be.
const LINE_BYTES_MAX: usize = 2_048;
