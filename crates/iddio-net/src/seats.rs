//! How many may be served at once.
//!
//! INVARIANT: whoever leaves frees a seat, however they leave: a thread that panics, or does not start,
//! holds none.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// So many seats.
#[derive(Clone, Debug)]
pub struct Seats {
    taken: Arc<AtomicUsize>,
    most: usize,
}

/// One of them. Dropped, it is free again.
#[derive(Debug)]
#[must_use]
pub struct Seat {
    taken: Arc<AtomicUsize>,
}

// === impl Seats ===

impl Seats {
    /// Makes so many seats, all of them free.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self { taken: Arc::default(), most }
    }

    /// Takes a seat, if one is free.
    pub fn take(&self) -> Option<Seat> {
        let before = self.taken.fetch_add(1, Ordering::AcqRel);
        // Made first, so that one too many is given back like any other.
        let seat = Seat { taken: self.taken.clone() };
        (before < self.most).then_some(seat)
    }
}

// === impl Seat ===

impl Drop for Seat {
    fn drop(&mut self) {
        self.taken.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_no_more_than_there_are_and_who_leaves_frees_one() {
        let seats = Seats::new(2);
        let (one, two) = (seats.take(), seats.take());
        assert!(one.is_some() && two.is_some());
        assert!(seats.take().is_none() && seats.take().is_none(), "asking takes nothing");
        drop(one);
        let left = std::thread::spawn({
            let seat = seats.take();
            move || drop(seat)
        });
        left.join().unwrap();
        assert!(seats.take().is_some());
    }
}
