//! A run, from its start until no descendant is left.
//!
//! INVARIANT: a [`Running`] that is dropped before its end takes its child and all descendants with it.
//! Output to be kept is bounded, and read here; everything else flows without passing through this process.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;
use rustix::process::{
    Pid, Signal, WaitOptions, WaitStatus, getpid, getppid, getsid, kill_process, wait,
};
use thiserror::Error;

use crate::clock::{Alarm, since_boot, timespec};
use crate::ended::{Ended, Status, Stragglers};
use crate::request::{Limits, RunTime};
use crate::signals::{Arrived, Sender, Signals};
use crate::tree::{self, Process};

/// A child that was started and has an owner.
#[derive(Debug)]
#[must_use]
pub struct Running<'s> {
    signals: &'s mut Signals,
    start: Start,
    /// Exists from the moment there is something to time.
    alarm: Option<Alarm>,
    /// Exists from the moment someone may cancel.
    cancel: Option<Arc<OwnedFd>>,
    /// How long the run has to end once it is cancelled.
    cancel_grace: Duration,
    taps: [Tap; 2],
    main: Main,
    ending: Ending,
    cause: Cause,
    swept: Swept,
}

/// Ends a run from elsewhere.
#[derive(Clone, Debug)]
pub struct Canceller {
    fd: Arc<OwnedFd>,
}

/// Why a run could not be followed to its end; everything it had started has been killed.
#[derive(Debug, Error)]
#[error("the child could not be followed to its end")]
pub struct WaitError(#[from] io::Error);

/// What a start leaves to be followed.
#[derive(Debug)]
pub(crate) struct Start {
    pub(crate) main: Pid,
    pub(crate) strangers: HashSet<Process>,
    pub(crate) limits: Limits,
    pub(crate) started: SystemTime,
    pub(crate) since: Duration,
}

/// The reading end of an output that is kept, while it is open.
#[derive(Debug)]
pub(crate) struct Tap {
    source: Option<File>,
    kept: Vec<u8>,
    bytes_max: usize,
    room: Room,
}

/// What the main child is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Main {
    Ended(Status),
    Runs,
    Stopped,
}

/// How far this process has gone to end the main child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    Asked,
    Killed,
    Not,
}

/// Why it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    Cancelled,
    Itself,
    Time,
    TooMuchOutput,
}

/// Whether the descendants have been dealt with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Swept {
    Done,
    Owed,
}

/// Whether more output fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Room {
    Left,
    Exceeded,
}

/// What a poll found.
struct Ready {
    signals: bool,
    alarm: bool,
    cancel: bool,
}

/// What reaping found.
struct Reaped {
    children: Children,
    news: News,
}

/// Whether this process has children.
enum Children {
    None,
    Some,
}

/// Whether the main child changed.
#[derive(PartialEq, Eq)]
enum News {
    None,
    OfMain,
}

// === impl Running ===

impl<'s> Running<'s> {
    pub(crate) fn new(signals: &'s mut Signals, start: Start, taps: [Tap; 2]) -> io::Result<Self> {
        let cancel_grace = start.limits.term_grace;
        let mut running = Self {
            signals,
            start,
            alarm: None,
            cancel: None,
            cancel_grace,
            taps,
            main: Main::Runs,
            ending: Ending::Not,
            cause: Cause::Itself,
            swept: Swept::Owed,
        };
        if let RunTime::AtMost(duration) = running.start.limits.run_time {
            running.ring(duration)?;
        }
        Ok(running)
    }

    /// The process id of the main child.
    pub fn pid(&self) -> i32 {
        self.start.main.as_raw_nonzero().get()
    }

    /// When it started, by the wall clock.
    pub fn started(&self) -> SystemTime {
        self.start.started
    }

    /// Returns a handle that ends this run, and only this one, from any thread.
    pub fn canceller(&mut self) -> io::Result<Canceller> {
        if let Some(fd) = &self.cancel {
            return Ok(Canceller { fd: Arc::clone(fd) });
        }
        let fd = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        self.cancel = Some(Arc::clone(&fd));
        Ok(Canceller { fd })
    }

    /// Ends this run when `fd` becomes readable: the main child is asked to end, and what is left of
    /// the run after `grace` is killed, all of it at once.
    ///
    /// It takes the place of every [`Canceller`] there was.
    pub fn cancel_on(&mut self, fd: Arc<OwnedFd>, grace: Duration) {
        self.cancel = Some(fd);
        self.cancel_grace = grace;
    }

    /// Follows the run until no descendant is left, or those left cannot be killed.
    pub fn wait(mut self) -> Result<Ended, WaitError> {
        // The child may have ended before its signal could be caught; from here on each change is a signal.
        self.reap()?;
        let status = loop {
            match self.main {
                Main::Ended(status) => break status,
                Main::Runs | Main::Stopped => self.turn()?,
            }
        };
        let stragglers = self.sweep(self.straggler_grace())?;
        for tap in &mut self.taps {
            if tap.fill()? == Room::Exceeded && self.cause == Cause::Itself {
                self.cause = Cause::TooMuchOutput;
            }
        }
        let status = match self.cause {
            Cause::Cancelled => Status::Cancelled,
            Cause::Itself => status,
            Cause::Time => Status::TimedOut,
            Cause::TooMuchOutput => Status::TooMuchOutput,
        };
        let [stdout, stderr] = &mut self.taps;
        Ok(Ended {
            status,
            stragglers,
            started: self.start.started,
            duration: since_boot().saturating_sub(self.start.since),
            stdout: std::mem::take(&mut stdout.kept),
            stderr: std::mem::take(&mut stderr.kept),
        })
    }

    /// Waits for the next event and deals with it.
    fn turn(&mut self) -> io::Result<()> {
        let ready = self.poll(None)?;
        for index in 0..self.taps.len() {
            let room = self.taps.get_mut(index).map_or(Ok(Room::Left), Tap::fill)?;
            if room == Room::Exceeded {
                self.end(Cause::TooMuchOutput)?;
            }
        }
        if ready.signals {
            let before = self.main;
            let arrived = self.signals.take();
            let moved_on = self.reap()?.news == News::OfMain && before == Main::Stopped;
            for arrived in arrived {
                if moved_on && arrived.signal == Signal::CONT.as_raw() {
                    // Whoever continued this process continued the child as well. Continuing it again would undo a
                    // stop that came in the meantime.
                    continue;
                }
                self.heed(arrived)?;
            }
        }
        if ready.cancel {
            // Heard once; left readable it would wake every later poll.
            self.cancel = None;
            self.end(Cause::Cancelled)?;
        }
        if ready.alarm {
            self.end(Cause::Time)?;
        }
        Ok(())
    }

    /// Asks the main child to end; asked before, it is killed.
    fn end(&mut self, cause: Cause) -> io::Result<()> {
        if matches!(self.main, Main::Ended(_)) {
            return Ok(());
        }
        match self.ending {
            Ending::Not => {
                self.cause = cause;
                self.ending = Ending::Asked;
                self.pass_on_to_main(Signal::TERM)?;
                // A stopped process would not notice.
                self.pass_on_to_main(Signal::CONT)?;
                self.ring(self.grace(cause))
            }
            Ending::Asked if cause == Cause::Cancelled && self.cause != cause => {
                // It is ending already, but whoever cancels may have less patience.
                self.cause = cause;
                self.ring(self.grace(cause))
            }
            Ending::Asked if cause == Cause::Time => {
                self.ending = Ending::Killed;
                self.silence()?;
                self.pass_on_to_main(Signal::KILL)
            }
            // Only time turns an ask into a kill.
            Ending::Asked | Ending::Killed => Ok(()),
        }
    }

    fn grace(&self, cause: Cause) -> Duration {
        match cause {
            Cause::Cancelled => self.cancel_grace,
            Cause::Itself | Cause::Time | Cause::TooMuchOutput => self.start.limits.term_grace,
        }
    }

    /// Returns how long what outlives the main child has: nothing once the main child had to be
    /// killed after a cancellation.
    fn straggler_grace(&self) -> Duration {
        match (self.cause, self.ending) {
            (Cause::Cancelled, Ending::Killed) => Duration::ZERO,
            (Cause::Cancelled, Ending::Asked | Ending::Not) => {
                self.start.limits.straggler_grace.min(self.cancel_grace)
            }
            (Cause::Itself | Cause::Time | Cause::TooMuchOutput, _) => {
                self.start.limits.straggler_grace
            }
        }
    }

    /// Does what a signal calls for.
    fn heed(&mut self, arrived: Arrived) -> io::Result<()> {
        let resumed = arrived.signal == Signal::CONT.as_raw();
        if resumed && self.main == Main::Stopped {
            // Whoever continued this process meant the run.
            return self.pass_on_to_main(Signal::CONT);
        }
        if arrived.signal == Signal::CHILD.as_raw() {
            return Ok(());
        }
        match arrived.sender {
            Sender::Outside => self.pass_on(arrived.signal),
            Sender::Process(pid) if !tree::is_below(pid) => self.pass_on(arrived.signal),
            // A terminal that hangs up tells its session leader only, and leaves the rest to it.
            Sender::Kernel
                if arrived.signal == Signal::HUP.as_raw() && getsid(None) == Ok(getpid()) =>
            {
                self.pass_on(arrived.signal)
            }
            Sender::Kernel | Sender::Process(_) => Ok(()),
        }
    }

    fn pass_on(&self, signal: i32) -> io::Result<()> {
        Signal::from_named_raw(signal).map_or(Ok(()), |signal| self.pass_on_to_main(signal))
    }

    fn pass_on_to_main(&self, signal: Signal) -> io::Result<()> {
        if matches!(self.main, Main::Ended(_)) {
            return Ok(());
        }
        // Not reaped yet, so the id is still its own.
        match kill_process(self.start.main, signal) {
            Ok(()) | Err(Errno::SRCH) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Takes note of every child that changed.
    fn reap(&mut self) -> io::Result<Reaped> {
        let changes = WaitOptions::NOHANG | WaitOptions::UNTRACED | WaitOptions::CONTINUED;
        let mut news = News::None;
        let mut stopped = false;
        let children = loop {
            match wait(changes) {
                Ok(Some((pid, status))) if pid == self.start.main => {
                    self.main = Main::after(status, self.main);
                    stopped = self.main == Main::Stopped;
                    news = News::OfMain;
                }
                Ok(Some(_)) | Err(Errno::INTR) => {}
                Ok(None) => break Children::Some,
                Err(Errno::CHILD) => break Children::None,
                Err(error) => return Err(error.into()),
            }
        };
        if stopped {
            self.stop_along()?;
        }
        Ok(Reaped { children, news })
    }

    /// Stops this process because its child stopped, if there is someone to continue it.
    fn stop_along(&mut self) -> io::Result<()> {
        if self.ending != Ending::Not {
            return self.pass_on_to_main(Signal::CONT);
        }
        if is_under_job_control() && tree::is_stopped(self.start.main) {
            kill_process(getpid(), Signal::STOP)?;
            // Running again. The signal that did it is on record and is heeded next.
        }
        Ok(())
    }

    /// Ends whatever the main child left behind.
    fn sweep(&mut self, grace: Duration) -> io::Result<Stragglers> {
        // From here on there is nothing to cancel and another clock.
        self.alarm = None;
        self.cancel = None;
        let ask_until = since_boot().saturating_add(grace);
        let kill_until = ask_until.saturating_add(KILL_TIME_MAX);
        let mut seen = HashSet::new();
        loop {
            if matches!(self.reap()?.children, Children::None) {
                break;
            }
            let alive = tree::descendants(&self.start.strangers)?;
            let now = since_boot();
            if alive.is_empty() && !self.start.strangers.is_empty() || now >= kill_until {
                self.swept = Swept::Done;
                return Ok(Stragglers { outlived: seen.len(), remaining: alive.len() });
            }
            for process in alive {
                let new = seen.insert(process);
                if now >= ask_until {
                    process.signal(Signal::KILL)?;
                } else if new {
                    process.signal(Signal::TERM)?;
                    process.signal(Signal::CONT)?;
                }
            }
            let patience = if now >= ask_until {
                KILL_STEP
            } else {
                ask_until.saturating_sub(now).min(ASK_STEP)
            };
            let ready = self.poll(Some(patience))?;
            if ready.signals {
                self.signals.take();
            }
            for tap in &mut self.taps {
                tap.fill()?;
            }
        }
        self.swept = Swept::Done;
        Ok(Stragglers { outlived: seen.len(), remaining: 0 })
    }

    fn poll(&mut self, patience: Option<Duration>) -> io::Result<Ready> {
        let alarm = self.alarm.as_ref().map(|alarm| PollFd::new(alarm, PollFlags::IN));
        let cancel = self.cancel.as_ref().map(|fd| PollFd::new(fd, PollFlags::IN));
        let (alarms, cancels) = (alarm.is_some(), cancel.is_some());
        let sources = self.taps.iter().filter_map(|tap| tap.source.as_ref());
        let mut fds: Vec<_> = std::iter::once(PollFd::new(&*self.signals, PollFlags::IN))
            .chain(alarm)
            .chain(cancel)
            .chain(sources.map(|source| PollFd::new(source, PollFlags::IN)))
            .collect();
        match poll(&mut fds, patience.map(timespec).as_ref()) {
            Ok(_) => {}
            // The signal that interrupted is readable by now; the next poll says so.
            Err(Errno::INTR) => return Ok(Ready { signals: true, alarm: false, cancel: false }),
            Err(error) => return Err(error.into()),
        }
        let mut found = fds.iter().map(|fd| !fd.revents().is_empty());
        Ok(Ready {
            signals: found.next().unwrap_or(false),
            alarm: alarms && found.next().unwrap_or(false),
            cancel: cancels && found.next().unwrap_or(false),
        })
    }

    fn ring(&mut self, after: Duration) -> io::Result<()> {
        let alarm = match self.alarm.take() {
            Some(alarm) => alarm,
            None => Alarm::new()?,
        };
        self.alarm.insert(alarm).set(after)
    }

    fn silence(&self) -> io::Result<()> {
        self.alarm.as_ref().map_or(Ok(()), Alarm::clear)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if self.swept == Swept::Done {
            return;
        }
        // Nobody is left to tell of a failure, and the kill itself does not fail.
        self.ending = Ending::Killed;
        let _ = self.pass_on_to_main(Signal::KILL);
        let _ = self.silence();
        let _ = self.sweep(Duration::ZERO);
    }
}

// === impl Canceller ===

impl Canceller {
    /// Asks the run to end, as its time limit would; after its end it does nothing.
    pub fn cancel(&self) -> io::Result<()> {
        match rustix::io::write(&self.fd, &1_u64.to_ne_bytes()) {
            // A counter that is full is readable, which is all that is needed.
            Ok(_) | Err(Errno::AGAIN) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

// === impl Tap ===

impl Tap {
    /// Returns a tap on nothing.
    pub(crate) fn none() -> Self {
        Self { source: None, kept: Vec::new(), bytes_max: 0, room: Room::Left }
    }

    /// Returns a tap on `source` that keeps at most `bytes_max` bytes.
    pub(crate) fn on(source: OwnedFd, bytes_max: usize) -> io::Result<Self> {
        rustix::io::ioctl_fionbio(source.as_fd(), true)?;
        Ok(Self { source: Some(File::from(source)), kept: Vec::new(), bytes_max, room: Room::Left })
    }

    /// Takes what is there without waiting.
    fn fill(&mut self) -> io::Result<Room> {
        if self.source.is_none() {
            return Ok(self.room);
        }
        let mut buffer = vec![0; READ_BYTES];
        while let Some(source) = &mut self.source {
            match source.read(&mut buffer) {
                Ok(0) => self.source = None,
                Ok(count) => {
                    let room = self.bytes_max.saturating_sub(self.kept.len());
                    let fits = buffer.get(..count.min(room)).unwrap_or_default();
                    self.kept.extend_from_slice(fits);
                    if count > room {
                        // A writer that goes on finds the pipe broken.
                        self.source = None;
                        self.room = Room::Exceeded;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(self.room)
    }
}

// === impl Main ===

impl Main {
    fn after(status: WaitStatus, before: Self) -> Self {
        if let Some(code) = status.exit_status() {
            return Self::Ended(Status::Exited(u8::try_from(code).unwrap_or(u8::MAX)));
        }
        if let Some(signal) = status.terminating_signal() {
            return Self::Ended(Status::Signalled(signal));
        }
        if status.stopped() {
            return Self::Stopped;
        }
        if status.continued() { Self::Runs } else { before }
    }
}

/// Says whether there is a terminal, and a parent that shares it and may continue what stops.
fn is_under_job_control() -> bool {
    let terminal =
        open("/dev/tty", OFlags::RDONLY | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty());
    let session = |pid| getsid(pid).ok();
    terminal.is_ok() && getppid().is_some_and(|parent| session(Some(parent)) == session(None))
}

/// How long killing may take: what is not gone by then hangs in the kernel.
const KILL_TIME_MAX: Duration = Duration::from_secs(10);
/// How often newly forked descendants are looked for while killing.
const KILL_STEP: Duration = Duration::from_millis(5);
/// How often they are looked for while asking.
const ASK_STEP: Duration = Duration::from_millis(50);
/// What a pipe holds.
const READ_BYTES: usize = 64 * 1024;
