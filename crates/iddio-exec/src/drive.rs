//! Waits for a future on this thread, and hears the caller meanwhile.
//!
//! A wake-up that comes while the future is being polled costs no system call; only a sleeping
//! thread is rung. Sleep is bounded, so that a lost ring delays and never hangs.

use std::{
    io,
    os::fd::OwnedFd,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use iddio_runtime::assemble::Cancel;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};

use crate::hand::{Hand, Wish};

/// Polls `future` to its end, and withdraws what waits when the caller takes it back, or is `held`.
///
/// # Errors
///
/// When the system cannot wait.
pub fn drive<T>(
    hand: &mut impl Hand,
    cancel: &Cancel,
    held: impl Fn() -> bool,
    future: impl Future<Output = T>,
) -> io::Result<T> {
    let bell = Arc::new(Bell {
        ring: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
        state: AtomicU8::new(AWAKE),
    });
    let waker = Waker::from(bell.clone());
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        bell.state.store(AWAKE, Ordering::Release);
        if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return Ok(value);
        }
        let asleep =
            bell.state.compare_exchange(AWAKE, ASLEEP, Ordering::AcqRel, Ordering::Acquire);
        if asleep.is_err() {
            continue;
        }
        if sleep(&bell, hand)? == Heard::Caller && hand.heed().contains(&Wish::Leave) {
            cancel.cancel();
        }
        if held() {
            cancel.cancel();
        }
    }
}

/// What ended a sleep.
#[derive(Eq, PartialEq)]
enum Heard {
    Ring,
    Caller,
}

fn sleep(bell: &Bell, hand: &impl Hand) -> io::Result<Heard> {
    let mut waiting = [
        PollFd::new(&bell.ring, PollFlags::IN),
        PollFd::from_borrowed_fd(hand.calls(), PollFlags::IN),
    ];
    match poll(&mut waiting, Some(&SLEEP_MAX)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => {}
        Err(error) => return Err(error.into()),
    }
    let [_, signals] = &waiting;
    let heard = if signals.revents().is_empty() { Heard::Ring } else { Heard::Caller };
    let mut number = [0; 8];
    // Empty or not, the future is polled again.
    let _ = rustix::io::read(&bell.ring, &mut number);
    Ok(heard)
}

/// Wakes the loop of [`drive`].
struct Bell {
    ring: OwnedFd,
    state: AtomicU8,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        if self.state.swap(WOKEN, Ordering::AcqRel) == ASLEEP {
            // It is full only if it is readable already, which is all that is wanted.
            let _ = rustix::io::write(&self.ring, &1_u64.to_ne_bytes());
        }
    }
}

const AWAKE: u8 = 0;
const ASLEEP: u8 = 1;
const WOKEN: u8 = 2;

/// The longest sleep without a look: a lost ring, or a freeze, waits a quarter of a second.
const SLEEP_MAX: Timespec = Timespec { tv_sec: 0, tv_nsec: 250_000_000 };
