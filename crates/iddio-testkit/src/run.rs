//! Polls futures without a runtime.

use std::{
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
};

/// Polls until ready. A future that waits for ever fails the test instead.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    for _ in 0..POLLS_MAX {
        if let Poll::Ready(value) = poll_once(future.as_mut()) {
            return value;
        }
    }
    panic!("still pending after {POLLS_MAX} polls");
}

/// Polls once and drops: a caller that went away. Fails if the future was ready.
pub fn cancel<T>(future: impl Future<Output = T>) {
    assert!(cancel_after(future, 1).is_none(), "the future was ready");
}

/// Polls up to `polls` times and drops; returns the value if it was ready before that.
pub fn cancel_after<T>(future: impl Future<Output = T>, polls: usize) -> Option<T> {
    let mut future = pin!(future);
    (0..polls).find_map(|_| match poll_once(future.as_mut()) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    })
}

/// Polls once. Nobody is woken: whoever polls comes again by themselves.
pub fn poll_once<T>(future: Pin<&mut (impl Future<Output = T> + ?Sized)>) -> Poll<T> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// So many polls mean that nothing will come.
const POLLS_MAX: usize = 10_000;
