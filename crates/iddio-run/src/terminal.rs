//! What lies between the agent's terminal and the caller's: bytes, window changes, signals, and an end that leaves
//! the caller's terminal as it was.
//!
//! INVARIANT: what the agent's last words make the caller's terminal answer is not typed to the caller's shell. The
//! terminal is asked one more question at the end, and all that comes before its answer is thrown away.
//!
//! It reads no meaning into what it carries, but for the modes that an agent may leave switched on.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, IsTerminal, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use iddio_spawn::Status;
use iddio_spawn::sandbox::{Confined, Streams};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::Signal;
use rustix::termios::{
    OptionalActions, QueueSelector, Termios, Winsize, tcflush, tcgetattr, tcgetwinsize, tcsetattr,
    tcsetwinsize,
};
use signal_hook::iterator::backend::SignalDelivery;
use signal_hook::iterator::exfiltrator::SignalOnly;

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// By itself, or by a signal.
    Itself(Status),
    /// Because it was held.
    Held,
}

/// The caller's side of a run.
pub struct Side {
    signals: SignalDelivery<UnixStream, SignalOnly>,
    /// What it was like before, if it is a terminal that is relayed.
    terminal: Option<Termios>,
    modes: Modes,
}

/// What the agent switched on in the caller's terminal, and what it asked of it.
#[derive(Debug, Default)]
struct Modes {
    on: BTreeSet<u16>,
    /// Questions whose answer may be taken for that to our own, less the answers that passed.
    open: usize,
    shown: Reading,
    typed: Reading,
}

/// How far into a control sequence a stream is.
#[derive(Debug, Default)]
enum Reading {
    #[default]
    Text,
    Escape,
    /// Within one, with its parameters so far.
    Sequence(Vec<u8>),
}

// === impl Side ===

impl Side {
    /// Looks at what this process has, and catches what it is told from now on.
    ///
    /// # Errors
    ///
    /// When the system does not let it.
    pub fn open() -> io::Result<Self> {
        let (read, write) = UnixStream::pair()?;
        let caught = CAUGHT.iter().map(|signal| signal.as_raw());
        let signals = SignalDelivery::with_pipe(read, write, SignalOnly, caught)?;
        let both = io::stdin().is_terminal() && io::stdout().is_terminal();
        let terminal = both.then(|| tcgetattr(io::stdin())).transpose()?;
        Ok(Self { signals, terminal, modes: Modes::default() })
    }

    /// What the agent reads and writes: a terminal of its own where the caller has one, else the caller's own streams.
    ///
    /// # Errors
    ///
    /// When there is no descriptor left.
    pub fn streams(&self) -> io::Result<Streams> {
        if self.terminal.is_some() {
            return Ok(Streams::Terminal(tcgetwinsize(io::stdout()).unwrap_or(SIZE)));
        }
        // A terminal is never handed over: whoever holds one can read what is typed on it.
        let stdin = match io::stdin().is_terminal() {
            true => OwnedFd::from(File::open("/dev/null")?),
            false => io::stdin().as_fd().try_clone_to_owned()?,
        };
        let out = |stream: BorrowedFd<'_>, terminal: bool| match terminal {
            true => plain(stream),
            false => stream.try_clone_to_owned(),
        };
        Ok(Streams::Given {
            stdin,
            stdout: out(io::stdout().as_fd(), io::stdout().is_terminal())?,
            stderr: out(io::stderr().as_fd(), io::stderr().is_terminal())?,
        })
    }

    /// Stays with a run to its end. `held` becomes readable when it is to be ended.
    ///
    /// # Errors
    ///
    /// When the run cannot be followed; it has been killed then.
    pub fn follow(&mut self, mut confined: Confined, held: BorrowedFd<'_>) -> io::Result<End> {
        let master = confined.take_terminal().map(File::from);
        if let Some(master) = &master {
            rustix::io::ioctl_fionbio(master, true)?;
            self.raw()?;
        }
        let mut carried = Carried { master, stdin: Source::Open, pending: Vec::new() };
        let mut end = None;
        let mut kill_at = None;
        while end.is_none() {
            let ready = self.wait(&carried, &confined, held, kill_at)?;
            if ready.held {
                confined.killer().kill()?;
                end = Some(End::Held);
            }
            carried.turn(&ready, &mut self.modes)?;
            if ready.signals {
                let asked = self.heed(&confined, carried.master.as_ref())?;
                if asked && kill_at.is_none() {
                    kill_at = Instant::now().checked_add(TERM_GRACE);
                }
            }
            if kill_at.is_some_and(|at| at <= Instant::now()) {
                confined.killer().kill()?;
            }
            if ready.ended {
                break;
            }
        }
        let status = confined.wait().map_err(io::Error::other)?;
        // Nobody is left to write: what is there is all there is.
        carried.drain(&mut self.modes)?;
        self.restore();
        Ok(end.unwrap_or(End::Itself(status)))
    }

    /// Lets every key through as it is typed.
    fn raw(&self) -> io::Result<()> {
        let Some(before) = &self.terminal else { return Ok(()) };
        let mut raw = before.clone();
        raw.make_raw();
        Ok(tcsetattr(io::stdin(), OptionalActions::Drain, &raw)?)
    }

    fn wait(
        &self,
        carried: &Carried,
        confined: &Confined,
        held: BorrowedFd<'_>,
        until: Option<Instant>,
    ) -> io::Result<Ready> {
        let stdin = io::stdin();
        let mut fds = vec![
            PollFd::from_borrowed_fd(self.signals.get_read().as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(confined.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(held, PollFlags::IN),
        ];
        if let Some(master) = &carried.master {
            let mut wanted = PollFlags::IN;
            wanted.set(PollFlags::OUT, !carried.pending.is_empty());
            fds.push(PollFd::new(master, wanted));
            if carried.stdin == Source::Open && carried.pending.is_empty() {
                fds.push(PollFd::from_borrowed_fd(stdin.as_fd(), PollFlags::IN));
            }
        }
        let patience = until.map(|until| until.saturating_duration_since(Instant::now()));
        match poll(
            &mut fds,
            patience.and_then(|patience| Timespec::try_from(patience).ok()).as_ref(),
        ) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let mut found = fds.iter().map(PollFd::revents);
        let mut next = || found.next().unwrap_or(PollFlags::empty());
        let (signals, ended, held, master, stdin) = (next(), next(), next(), next(), next());
        Ok(Ready {
            signals: !signals.is_empty(),
            ended: !ended.is_empty(),
            held: !held.is_empty(),
            shown: master.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR),
            typed: !stdin.is_empty(),
        })
    }

    /// Does what signals call for. Says whether one of them asks to end.
    fn heed(&mut self, confined: &Confined, master: Option<&File>) -> io::Result<bool> {
        let mut asked = false;
        let arrived: Vec<_> = self.signals.pending().collect();
        for signal in arrived.into_iter().filter_map(Signal::from_named_raw) {
            match (signal, master) {
                (Signal::WINCH, Some(master)) => {
                    if let Ok(size) = tcgetwinsize(io::stdout()) {
                        tcsetwinsize(master, size)?;
                    }
                }
                (Signal::WINCH, None) => {}
                (Signal::CONT, Some(_)) => self.raw()?,
                (signal, _) => {
                    asked |= [Signal::TERM, Signal::HUP].contains(&signal);
                    confined.signal(signal)?;
                }
            }
        }
        Ok(asked)
    }

    /// Leaves the caller's terminal as it was, with nothing typed on it that nobody typed.
    fn restore(&mut self) {
        let Some(before) = self.terminal.take() else { return };
        let mut out = io::stdout();
        // Whatever of this fails, the rest is still worth doing.
        let _ = out.write_all(self.modes.off().as_bytes());
        let _ = out.write_all(ARE_YOU_THERE).and_then(|()| out.flush());
        swallow_answers(self.modes.open);
        let _ = tcflush(io::stdin(), QueueSelector::IFlush);
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &before);
    }
}

impl Drop for Side {
    fn drop(&mut self) {
        self.restore();
    }
}

/// What a poll found.
struct Ready {
    signals: bool,
    ended: bool,
    held: bool,
    shown: bool,
    typed: bool,
}

/// What is carried between two terminals.
struct Carried {
    master: Option<File>,
    stdin: Source,
    /// Typed, and not taken yet.
    pending: Vec<u8>,
}

/// Whether there is more to come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    Closed,
    Open,
}

// === impl Carried ===

impl Carried {
    fn turn(&mut self, ready: &Ready, modes: &mut Modes) -> io::Result<()> {
        let Some(master) = &mut self.master else { return Ok(()) };
        if ready.typed {
            let mut typed = [0; TYPED_BYTES];
            match io::stdin().lock().read(&mut typed) {
                Ok(0) => self.stdin = Source::Closed,
                Ok(count) => {
                    let typed = typed.get(..count).unwrap_or_default();
                    modes.hear(typed);
                    self.pending.extend_from_slice(typed);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // The terminal is gone; a signal says so too.
                Err(_) => self.stdin = Source::Closed,
            }
        }
        if !self.pending.is_empty() {
            match master.write(&self.pending) {
                Ok(count) => drop(self.pending.drain(..count.min(self.pending.len()))),
                Err(error) if is_later(&error) => {}
                // Nobody reads any more.
                Err(_) => self.pending.clear(),
            }
        }
        if ready.shown {
            self.show(modes)?;
        }
        Ok(())
    }

    /// Shows what there is, once. Says whether there may be more.
    fn show(&mut self, modes: &mut Modes) -> io::Result<Source> {
        let Some(master) = &mut self.master else { return Ok(Source::Closed) };
        let mut shown = vec![0; SHOWN_BYTES];
        match master.read(&mut shown) {
            Ok(count @ 1..) => {
                let shown = shown.get(..count).unwrap_or_default();
                modes.see(shown);
                let mut out = io::stdout().lock();
                out.write_all(shown)?;
                out.flush()?;
                Ok(Source::Open)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(Source::Open),
            Err(error) if is_later(&error) => Ok(Source::Closed),
            // Nobody holds the other end.
            Ok(0) | Err(_) => {
                self.master = None;
                Ok(Source::Closed)
            }
        }
    }

    fn drain(&mut self, modes: &mut Modes) -> io::Result<()> {
        while self.show(modes)? == Source::Open {}
        Ok(())
    }
}

// === impl Reading ===

impl Reading {
    /// Takes a byte. Returns the parameters and the end of a sequence, if it ends here.
    fn take(&mut self, byte: u8) -> Option<(Vec<u8>, u8)> {
        let (next, found) = match (std::mem::take(self), byte) {
            (_, ESCAPE) => (Self::Escape, None),
            (Self::Escape, b'[') | (_, CSI) => (Self::Sequence(Vec::new()), None),
            (Self::Sequence(_), 0x18 | 0x1a) | (Self::Text | Self::Escape, _) => (Self::Text, None),
            // What controls within a sequence do, they do without ending it.
            (Self::Sequence(so_far), ..0x20 | 0x7f) => (Self::Sequence(so_far), None),
            (Self::Sequence(mut so_far), 0x20..=0x3f) => {
                so_far.push(byte);
                let sound = so_far.len() <= SEQUENCE_BYTES_MAX;
                (if sound { Self::Sequence(so_far) } else { Self::Text }, None)
            }
            (Self::Sequence(so_far), end) => (Self::Text, Some((so_far, end))),
        };
        *self = next;
        found
    }
}

// === impl Modes ===

impl Modes {
    /// Looks at what the agent shows: `ESC [ ? numbers h` and `l`, and questions.
    fn see(&mut self, bytes: &[u8]) {
        for byte in bytes {
            match self.shown.take(*byte) {
                Some((numbers, end @ (b'h' | b'l'))) => {
                    if let Some(numbers) = numbers.strip_prefix(b"?") {
                        self.switch(numbers, Some(end));
                    }
                }
                Some((_, b'n')) => self.open = self.open.saturating_add(1),
                _ => {}
            }
        }
    }

    /// Looks at what is typed to the agent: answers.
    fn hear(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if self.typed.take(*byte).is_some_and(|(numbers, end)| numbers == b"0" && end == b'n') {
                self.open = self.open.saturating_sub(1);
            }
        }
    }

    fn switch(&mut self, numbers: &[u8], end: Option<u8>) {
        let numbers = std::str::from_utf8(numbers).unwrap_or_default().split(';');
        for number in numbers.filter_map(|number| number.parse().ok()) {
            let usual = USUALLY_ON.contains(&number);
            let differs = match end {
                Some(b'h') => !usual && REVERSIBLE.contains(&number),
                Some(b'l') => usual,
                _ => continue,
            };
            if differs {
                self.on.insert(number);
            } else {
                self.on.remove(&number);
            }
        }
    }

    /// Returns what switches everything back.
    fn off(&mut self) -> String {
        let changed = std::mem::take(&mut self.on);
        let back = |number: &u16| {
            let end = if USUALLY_ON.contains(number) { 'h' } else { 'l' };
            format!("\x1b[?{number}{end}")
        };
        let mut text: String = changed.iter().map(back).collect();
        if !changed.is_empty() {
            text.push_str("\x1b[0m");
        }
        text
    }
}

/// Throws away what the terminal answers, up to the answer to our own question, which comes after `open` others.
fn swallow_answers(open: usize) {
    let until = Instant::now().checked_add(ANSWER_TIME_MAX);
    let (mut reading, mut heard, mut count) = (Reading::default(), 0_usize, 0_usize);
    while heard <= open && count <= ANSWER_BYTES_MAX {
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        let patience = left.filter(|left| !left.is_zero());
        let Some(patience) = patience.and_then(|left| Timespec::try_from(left).ok()) else {
            return;
        };
        let stdin = io::stdin();
        let mut fds = [PollFd::from_borrowed_fd(stdin.as_fd(), PollFlags::IN)];
        if !matches!(poll(&mut fds, Some(&patience)), Ok(1..)) {
            return;
        }
        let mut bytes = [0; TYPED_BYTES];
        let Ok(read @ 1..) = rustix::io::read(stdin.as_fd(), &mut bytes) else { return };
        count = count.saturating_add(read);
        for byte in bytes.get(..read).unwrap_or_default() {
            let answer = reading.take(*byte);
            heard = heard.saturating_add(usize::from(
                answer.is_some_and(|(n, end)| n == b"0" && end == b'n'),
            ));
        }
    }
}

/// Opens a pipe that a thread empties into `stream`, so that a terminal is written to and never handed over.
fn plain(stream: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    let mut to = File::from(stream.try_clone_to_owned()?);
    std::thread::Builder::new().name("iddio-output".to_owned()).spawn(move || {
        // A terminal that is gone takes no more.
        let _ = io::copy(&mut File::from(read), &mut to);
    })?;
    Ok(write)
}

fn is_later(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

const CAUGHT: [Signal; 7] = [
    Signal::HUP,
    Signal::INT,
    Signal::QUIT,
    Signal::TERM,
    Signal::USR1,
    Signal::CONT,
    Signal::WINCH,
];
/// Of a terminal that does not say.
const SIZE: Winsize = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
/// How long an agent that is asked to end may take.
const TERM_GRACE: Duration = Duration::from_secs(10);
const TYPED_BYTES: usize = 4096;
const SHOWN_BYTES: usize = 64 * 1024;
const ESCAPE: u8 = 0x1b;
/// Begins a sequence in one byte.
const CSI: u8 = 0x9b;
/// Parameters of one sequence: none of a program's own is longer.
const SEQUENCE_BYTES_MAX: usize = 64;
/// Modes that outlive a program to the caller's grief: keys, wrapping off, the mouse, the other screen, focus, paste.
const REVERSIBLE: [u16; 14] =
    [1, 5, 9, 47, 1000, 1001, 1002, 1003, 1004, 1005, 1006, 1047, 1049, 2004];
/// Modes that are on unless a program switches them off: the cursor, wrapping.
const USUALLY_ON: [u16; 2] = [7, 25];
/// Asks a terminal whether it is well.
const ARE_YOU_THERE: &[u8] = b"\x1b[5n";
/// A terminal at the other end of the world answers sooner.
const ANSWER_TIME_MAX: Duration = Duration::from_millis(500);
/// More than all answers that an agent can provoke before it ends; after it, flushing has to do.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_switched_on_is_switched_off_however_it_was_cut() {
        for (shown, off) in [
            ("plain", ""),
            ("\x1b[?1049h\x1b[?25l text", "\x1b[?25h\x1b[?1049l\x1b[0m"),
            ("\x1b[?1049h\x1b[?1049l\x1b[?25l\x1b[?25h", ""),
            ("\x1b[?1000;1006h", "\x1b[?1000l\x1b[?1006l\x1b[0m"),
            ("\x1b[?2004h\x1b[?99999999999h\x1b[?h", "\x1b[?2004l\x1b[0m"),
            ("\x1b[?12h", ""),
            ("\x1b[?10\x0749h", "\x1b[?1049l\x1b[0m"),
            ("\x1b[?1049\x18h", ""),
        ] {
            for cut in 0..=shown.len() {
                let mut modes = Modes::default();
                let (first, second) = shown.split_at(cut);
                modes.see(first.as_bytes());
                modes.see(second.as_bytes());
                assert_eq!(modes.off(), off, "{shown:?} {cut}");
            }
        }
    }
}
