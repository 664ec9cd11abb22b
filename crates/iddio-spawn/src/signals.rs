//! The signals this process gets, as events with their sender.
//!
//! INVARIANT: a signal that was ignored when this process started is left alone, so that a child inherits it
//! ignored (`nohup`, background jobs of a plain shell). All others of [`WATCHED`] are caught while a
//! [`Signals`] exists, and act as they do by default when none does.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use rustix::process::Signal;
use signal_hook::flag::register_conditional_default;
use signal_hook::iterator::backend::SignalDelivery;
use signal_hook::iterator::exfiltrator::WithOrigin;
use signal_hook::low_level::siginfo::{Cause, Origin};

/// A signal this process got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrived {
    /// Its number.
    pub signal: i32,
    /// Who sent it.
    pub sender: Sender,
}

/// Who sent a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    /// The kernel: the terminal, for every signal a terminal makes, or a child that changed.
    Kernel,
    /// A process outside this process's sight, such as one outside its container.
    Outside,
    /// This process.
    Process(i32),
}

/// The signals of this process, caught.
#[derive(Debug)]
pub(crate) struct Signals {
    delivery: SignalDelivery<UnixStream, WithOrigin>,
}

// === impl Signals ===

impl Signals {
    /// Starts catching.
    pub(crate) fn catch() -> io::Result<Self> {
        let ignored = ignored()?;
        let idle = IDLE.get_or_init(|| Arc::new(AtomicBool::new(false)));
        idle.store(false, Ordering::SeqCst);
        let caught = WATCHED.into_iter().filter(|signal| !ignored.contains(*signal));
        // INVARIANT: registered once and before the delivery, so that a signal without a `Signals` acts as it does by
        // default; a handler, once installed, is never taken away.
        if !DEFAULTS.swap(true, Ordering::SeqCst) {
            for signal in caught.clone() {
                register_conditional_default(signal.as_raw(), Arc::clone(idle))?;
            }
        }
        let (read, write) = UnixStream::pair()?;
        // Always caught: were it ignored, the kernel would throw exit codes away.
        let all = caught.chain([Signal::CHILD]).map(Signal::as_raw);
        let delivery = SignalDelivery::with_pipe(read, write, WithOrigin::default(), all)?;
        Ok(Self { delivery })
    }

    /// Takes what arrived, without waiting.
    pub(crate) fn take(&mut self) -> Vec<Arrived> {
        self.delivery.pending().map(|origin| Arrived::from_origin(&origin)).collect()
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        if let Some(idle) = IDLE.get() {
            idle.store(true, Ordering::SeqCst);
        }
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.delivery.get_read().as_fd()
    }
}

// === impl Arrived ===

impl Arrived {
    fn from_origin(origin: &Origin) -> Self {
        let sender = match (origin.cause, origin.process) {
            (Cause::Kernel | Cause::Chld(_), _) => Sender::Kernel,
            (_, Some(process)) if process.pid > 0 => Sender::Process(process.pid),
            _ => Sender::Outside,
        };
        Self { signal: origin.signal, sender }
    }
}

/// A set of signals as `/proc` writes it.
struct SignalSet(u64);

// === impl SignalSet ===

impl SignalSet {
    fn contains(&self, signal: Signal) -> bool {
        let bit = u32::try_from(signal.as_raw()).ok().and_then(|number| number.checked_sub(1));
        bit.and_then(|bit| self.0.checked_shr(bit)).is_some_and(|rest| rest & 1 == 1)
    }
}

/// Returns the signals this process ignores.
fn ignored() -> io::Result<SignalSet> {
    // With room for all of it the kernel writes it once; read bit by bit it takes eight calls.
    let mut status = String::with_capacity(STATUS_BYTES);
    File::open("/proc/self/status")?.take(STATUS_BYTES_MAX).read_to_string(&mut status)?;
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).map(SignalSet).ok_or_else(
        || io::Error::new(io::ErrorKind::InvalidData, "no `SigIgn` in `/proc/self/status`"),
    )
}

/// What is caught and, sent to this process alone, passed on to the child.
const WATCHED: [Signal; 10] = [
    Signal::HUP,
    Signal::INT,
    Signal::QUIT,
    Signal::TERM,
    Signal::USR1,
    Signal::USR2,
    Signal::ALARM,
    Signal::CONT,
    Signal::TSTP,
    Signal::WINCH,
];

/// More than `/proc/self/status` has.
const STATUS_BYTES: usize = 4096;
/// Far more than it will ever have.
const STATUS_BYTES_MAX: u64 = 64 * 1024;

/// Whether no `Signals` exists.
static IDLE: OnceLock<Arc<AtomicBool>> = OnceLock::new();
/// Whether the defaults for idle times are registered.
static DEFAULTS: AtomicBool = AtomicBool::new(false);
