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

/// Asks, and reads a line without echo. Keys that would raise signals are read as keys, since a
/// signal here would end the process with a terminal that shows nothing.
fn typed(tty: &mut File, question: &str) -> Result<Passphrase, ReadPassphraseError> {
    let fail = ReadPassphraseError::Read;
    let quiet = tty.try_clone().map_err(fail)?;
    let settings = Changed::raw(&quiet).map_err(fail)?;
    tty.write_all(question.as_bytes()).map_err(fail)?;
    let line = edited(tty);
    drop(settings);
    tty.write_all(b"\n").map_err(fail)?;
    Ok(Passphrase::new(line.map_err(fail)?.to_vec())?)
}

/// Reads keys up to Enter, with the corrections a terminal would make.
fn edited(tty: &mut File) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut line = Zeroizing::new(Vec::with_capacity(LINE_BYTES_MAX));
    let mut key = Zeroizing::new([0]);
    while line.len() < LINE_BYTES_MAX {
        match tty.read(key.as_mut()) {
            Ok(0) => break,
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        }
        match key.first().copied() {
            Some(b'\n' | b'\r' | END) | None => break,
            Some(INTERRUPT) => return Err(io::Error::other("interrupted")),
            Some(BACKSPACE | DELETE) => {
                // A character of several bytes goes whole.
                while line.pop().is_some_and(|byte| byte & 0xc0 == 0x80) {}
            }
            Some(KILL) => line.clear(),
            Some(byte) => line.push(byte),
        }
    }
    Ok(line)
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

/// Ctrl-C.
const INTERRUPT: u8 = 0x03;

/// Ctrl-D.
const END: u8 = 0x04;

/// Ctrl-H.
const BACKSPACE: u8 = 0x08;

/// Ctrl-U.
const KILL: u8 = 0x15;

/// The key that most terminals send for backspace.
const DELETE: u8 = 0x7f;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[test]
    fn a_passphrase_is_typed_without_echo_and_with_corrections() {
        let cases = [
            ("correct horse\n", "correct horse"),
            ("wrong\x15correct horse\n", "correct horse"),
            ("correct horsx\x7fe\n", "correct horse"),
            ("correct hors\u{e9}\x7fe\r", "correct horse"),
        ];
        for (keys, expected) in cases {
            let (mut master, mut tty) = sample::terminal();
            let before = format!("{:?}", tcgetattr(&tty).unwrap().local_modes);
            let other_end = tty.try_clone().unwrap();
            let reader = std::thread::spawn(move || typed(&mut tty, "Passphrase: "));
            let mut seen = sample::until(&mut master, "Passphrase: ");
            master.write_all(keys.as_bytes()).unwrap();
            let phrase = reader.join().unwrap().unwrap();
            let wanted = Passphrase::new(expected.as_bytes().to_vec()).unwrap();
            assert_eq!(phrase.agrees_with(&wanted), PassphraseAgreement::Same, "{keys:?}");
            seen.push_str(&sample::until(&mut master, "\n"));
            assert_eq!(seen.trim_end(), "Passphrase:", "nothing is echoed");
            assert_eq!(format!("{:?}", tcgetattr(&other_end).unwrap().local_modes), before);
        }
    }

    #[test]
    fn an_interrupted_passphrase_leaves_the_terminal_as_it_was() {
        let (mut master, mut tty) = sample::terminal();
        let before = format!("{:?}", tcgetattr(&tty).unwrap().local_modes);
        let other_end = tty.try_clone().unwrap();
        let reader = std::thread::spawn(move || typed(&mut tty, "Passphrase: "));
        sample::until(&mut master, "Passphrase: ");
        master.write_all(b"planted canary\x03").unwrap();
        let error = reader.join().unwrap().unwrap_err();
        assert!(!format!("{error} {error:?}").contains("planted"), "{error:?}");
        assert_eq!(format!("{:?}", tcgetattr(&other_end).unwrap().local_modes), before);
    }

    #[test]
    fn a_passphrase_from_a_descriptor_ends_at_the_first_newline() {
        let (reader, mut writer) = std::io::pipe().unwrap();
        writer.write_all(b"correct horse\nand no more").unwrap();
        drop(writer);
        let source = PassphraseSource::Descriptor(reader.into());
        let phrase = read_passphrase(source, "", Typing::Twice).unwrap();
        let wanted = Passphrase::new(b"correct horse".to_vec()).unwrap();
        assert_eq!(phrase.agrees_with(&wanted), PassphraseAgreement::Same);
    }
}
