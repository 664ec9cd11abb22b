//! One command at a broker, from the caller's side: one loop over all that may happen.

use std::{
    fs::File,
    io::{self, Write},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::{fs::MetadataExt, net::UnixStream},
    },
    path::{Path, PathBuf},
    thread::{self, JoinHandle},
};

use iddio_spawn::Supervisor;
use rustix::{
    event::{PollFd, PollFlags, poll},
    fs::{Mode, OFlags, open},
    process::{Signal, getpid, kill_process},
};

use super::{
    Broker, Face, VisitError, Wanted,
    terminal::{Raw, Streams, Typed, window},
};
use crate::{
    carry::{CarryError, receive, send},
    tree::{self, Ignored, Packed},
    wire::{Ask, Say, Start, Stream},
};

/// A command at a broker.
struct Visit<'a> {
    socket: UnixStream,
    signals: Supervisor,
    kinds: [Stream; 3],
    typed: Option<Typed>,
    shown: [Option<OwnedFd>; 2],
    raw: Option<Raw>,
    top: OwnedFd,
    packing: Option<JoinHandle<io::Result<Packed>>>,
    face: &'a mut dyn Face,
}

/// What there is to see to.
struct Ready {
    said: bool,
    signalled: bool,
    typed: bool,
}

pub(super) fn run(broker: &Broker, wanted: Wanted, face: &mut dyn Face) -> Result<u8, VisitError> {
    let system = |what| move |source: io::Error| VisitError::System { what, source };
    let signals = Supervisor::install()
        .map_err(|error| VisitError::System { what: "signals", source: io::Error::other(error) })?;
    tree::outlive_file_limits().map_err(system("signals"))?;
    let directory = std::env::current_dir().map_err(system("working directory"))?;
    let root = tree_of(&directory);
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let top = open(&root, flags, Mode::empty()).map_err(io::Error::from);
    let top = top.map_err(system("working directory"))?;
    let ignored = Ignored::of(top.as_fd())?;
    // A look first: what is too large costs no copy, and nobody a question.
    tree::measure(top.as_fd(), &ignored)
        .map_err(|large| VisitError::Large { large, tree: root.clone() })?;
    let socket = broker.connect()?;
    let Streams { kinds, given, typed, shown } = Streams::take().map_err(system("streams"))?;
    let Wanted { words, environment, agent, token, because, task, outputs } = wanted;
    let start = Start {
        words,
        environment,
        directory: directory.into(),
        tree: root.into(),
        agent,
        token,
        because,
        task,
        outputs,
        streams: kinds,
        window: window(),
    };
    let (archive, write) = io::pipe().map_err(system("a pipe"))?;
    let [stdin, stdout, stderr] = &given;
    let attached = [stdin.as_fd(), stdout.as_fd(), stderr.as_fd(), archive.as_fd()];
    let frame = Ask::Start(Box::new(start)).frame().map_err(CarryError::from)?;
    send(&socket, &frame, &attached)?;
    drop((given, archive));
    let packed = top.try_clone().map_err(system("a descriptor"))?;
    let packing = thread::spawn(move || tree::pack(packed.as_fd(), &ignored, write));
    let packing = Some(packing);
    let visit = Visit { socket, signals, kinds, typed, shown, raw: None, top, packing, face };
    visit.stay()
}

// === impl Visit ===

impl Visit<'_> {
    /// Stays until the broker has said its last word.
    fn stay(mut self) -> Result<u8, VisitError> {
        loop {
            let Ready { said, signalled, typed } = self.wait()?;
            self.show_all()?;
            if signalled {
                self.pass_on()?;
            }
            if typed {
                self.typed = self.typed.take().and_then(Typed::go);
            }
            if !said {
                continue;
            }
            let received = receive(&self.socket, 1)?;
            let say = Say::read(&received.body).map_err(CarryError::from)?;
            match (&say, received.descriptors.into_iter().next()) {
                (Say::Back, Some(archive)) => self.take_back(archive),
                (Say::Back, None) | (_, Some(_)) => return Err(CarryError::Descriptors.into()),
                (Say::Started(kinds), None) => {
                    let whole =
                        [self.kinds, *kinds].concat().iter().all(|k| *k == Stream::Terminal);
                    self.raw = if whole { Raw::begin().ok() } else { None };
                }
                (Say::Ended(code), None) => {
                    self.show_all()?;
                    return Ok(*code);
                }
                (say, None) => {
                    let raw = self.raw.take();
                    self.face.show(say);
                    match say {
                        Say::Failed { code, .. } => return Ok(*code),
                        Say::Refused { .. } => return Ok(REFUSED),
                        _ => self.raw = raw.and_then(|_| Raw::begin().ok()),
                    }
                }
            }
        }
    }

    fn wait(&self) -> Result<Ready, VisitError> {
        let typed = self.typed.as_ref().map(Typed::waits_for);
        let mut waiting = vec![
            PollFd::new(&self.socket, PollFlags::IN),
            PollFd::from_borrowed_fd(self.signals.as_fd(), PollFlags::IN),
        ];
        waiting.extend(typed.map(|(fd, flags)| PollFd::from_borrowed_fd(fd, flags)));
        let shown = self.shown.iter().flatten();
        waiting.extend(shown.map(|fd| PollFd::new(fd, PollFlags::IN)));
        match poll(&mut waiting, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(VisitError::System { what: "waiting", source: error.into() }),
        }
        let mut found = waiting.iter().map(|fd| !fd.revents().is_empty());
        let mut next = || found.next().unwrap_or(false);
        let (said, signalled) = (next(), next());
        Ok(Ready { said, signalled, typed: typed.is_some() && next() })
    }

    /// Shows what has come so far.
    fn show_all(&mut self) -> Result<(), VisitError> {
        let outs: [BorrowedFd<'static>; 2] = [rustix::stdio::stdout(), rustix::stdio::stderr()];
        for (from, to) in self.shown.iter_mut().zip(outs) {
            let Some(source) = from else { continue };
            let mut buffer = [0; SHOWN_BYTES];
            loop {
                match rustix::io::read(&*source, &mut buffer) {
                    Ok(0) => {
                        *from = None;
                        break;
                    }
                    Ok(count) => {
                        let written = write_all(to, buffer.get(..count).unwrap_or_default());
                        written.map_err(|source| VisitError::System { what: "output", source })?;
                    }
                    Err(rustix::io::Errno::INTR) => {}
                    Err(_) => break,
                }
            }
        }
        Ok(())
    }

    /// Tells the broker of the signals this process got.
    fn pass_on(&mut self) -> Result<(), VisitError> {
        for arrived in self.signals.arrived() {
            let is = |signal: Signal| arrived.signal == signal.as_raw();
            let ask = if is(Signal::WINCH) {
                Ask::Window(window())
            } else if is(Signal::CHILD) {
                continue;
            } else if is(Signal::TSTP) {
                let raw = self.raw.take();
                // It cannot fail for oneself. What follows happens once somebody continued us.
                let _ = kill_process(getpid(), Signal::STOP);
                self.raw = raw.and_then(|_| Raw::begin().ok());
                continue;
            } else {
                Ask::Signal(arrived.signal)
            };
            let frame = ask.frame().map_err(CarryError::from)?;
            send(&self.socket, &frame, &[])?;
        }
        Ok(())
    }

    /// Writes what the command was to write in the tree.
    fn take_back(&mut self, archive: OwnedFd) {
        let packed = self.packing.take().and_then(|packing| packing.join().ok());
        let Some(Ok(packed)) = packed else { return };
        match tree::take_back(File::from(archive), self.top.as_fd(), &packed) {
            Ok(back) if back.conflicts.is_empty() => {}
            Ok(back) => {
                let names: Vec<_> =
                    back.conflicts.iter().map(|path| path.display().to_string()).collect();
                let text = format!("changed meanwhile, left alone: {}", names.join(", "));
                self.remark(text);
            }
            Err(error) => self.remark(format!("not everything could be written: {error}")),
        }
    }

    fn remark(&mut self, text: String) {
        let raw = self.raw.take();
        self.face.show(&Say::Remark(text));
        self.raw = raw.and_then(|_| Raw::begin().ok());
    }
}

/// Returns the top of the tree that a command sees: the version-controlled one around the working
/// directory, if it is the caller's own and below its home, or the working directory alone.
fn tree_of(directory: &Path) -> PathBuf {
    let own = rustix::process::geteuid().as_raw();
    let home = nix::unistd::User::from_uid(nix::unistd::Uid::effective()).ok().flatten();
    let home = home.map(|user| user.dir);
    let fits = |above: &&Path| {
        above.parent().is_some()
            && Some(*above) != home.as_deref()
            && std::fs::symlink_metadata(above).is_ok_and(|found| found.uid() == own)
    };
    let above = directory.ancestors().take(ABOVE_MAX).take_while(fits);
    let versioned = |above: &&Path| above.join(".git").is_dir();
    above.into_iter().find(versioned).unwrap_or(directory).to_owned()
}

fn write_all(to: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<()> {
    struct Out<'a>(BorrowedFd<'a>);
    impl Write for Out<'_> {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            Ok(rustix::io::write(self.0, bytes)?)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    Out(to).write_all(bytes)
}

/// How far up a tree's top is looked for.
const ABOVE_MAX: usize = 16;

/// What is shown at once.
const SHOWN_BYTES: usize = 16 * 1024;

/// `EX_NOPERM`.
const REFUSED: u8 = 77;
