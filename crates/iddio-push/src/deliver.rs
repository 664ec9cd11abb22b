//! What was delivered, what was not, and when it is tried again.
//!
//! A checkpoint covers all before it, so the last one is delivered and none is kept waiting. That the
//! place is down is a record, and so is that it is up again: two records for each time, since every
//! record makes a new checkpoint.

use std::time::Duration;

use iddio_core::audit::checkpoint::Note;

use crate::post::PostError;

/// Where checkpoints come from and go to.
pub trait World {
    /// Returns the last checkpoint, if there is one.
    ///
    /// # Errors
    ///
    /// When the log service is away. The words are for people.
    fn checkpoint(&self) -> Result<Option<String>, String>;

    /// Delivers it.
    ///
    /// # Errors
    ///
    /// When it was not taken.
    fn post(&self, note: &str) -> Result<(), PostError>;

    /// Records what became of the place.
    fn record(&self, change: &Change);
}

/// What became of the place.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Change {
    /// It took a checkpoint of so many records, and had not before.
    Delivered(u64),
    /// It did not take one, and had before.
    Undelivered {
        /// Of so many records.
        size: u64,
        /// Why.
        reason: String,
    },
}

/// What was delivered so far.
#[derive(Debug)]
pub struct Deliveries {
    every: Duration,
    delivered: Option<u64>,
    health: Health,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Health {
    /// So many times in a row.
    Failing(u32),
    Sound,
}

// === impl Deliveries ===

impl Deliveries {
    /// Begins, to look for a new checkpoint `every` so long.
    pub fn new(every: Duration) -> Self {
        Self { every, delivered: None, health: Health::Sound }
    }

    /// Looks once, delivers what is new, and returns how long to wait.
    pub fn turn(&mut self, world: &dyn World) -> Duration {
        let note = match world.checkpoint() {
            Ok(Some(note)) => note,
            Ok(None) => return self.every,
            Err(reason) => {
                eprintln!("iddio-push: {reason}");
                return self.every;
            }
        };
        let size = Note::read(&note).map(|note| note.checkpoint.size);
        let Some(size) = size.filter(|size| self.delivered.is_none_or(|last| last < *size)) else {
            return self.every;
        };
        match world.post(&note) {
            Ok(()) => {
                self.delivered = Some(size);
                if std::mem::replace(&mut self.health, Health::Sound) != Health::Sound {
                    world.record(&Change::Delivered(size));
                }
                self.every
            }
            Err(error) => {
                let reason = error.to_string();
                eprintln!("iddio-push: {reason}");
                let times = match self.health {
                    Health::Failing(times) => times.saturating_add(1),
                    Health::Sound => {
                        world.record(&Change::Undelivered { size, reason });
                        1
                    }
                };
                self.health = Health::Failing(times);
                let wait = self.every.saturating_mul(1 << times.min(DOUBLINGS_MAX));
                wait.min(WAIT_MAX.max(self.every))
            }
        }
    }
}

/// How often the wait is doubled at most.
const DOUBLINGS_MAX: u32 = 6;

/// The longest wait for a place that is down.
const WAIT_MAX: Duration = Duration::from_secs(600);

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use iddio_core::{audit::checkpoint::Checkpoint, digest::Digest};

    use super::*;

    #[derive(Default)]
    struct Fake {
        size: u64,
        down: bool,
        posted: RefCell<Vec<u64>>,
        recorded: RefCell<Vec<Change>>,
    }

    impl World for Fake {
        fn checkpoint(&self) -> Result<Option<String>, String> {
            let root = Digest::of_bytes(b"root");
            let checkpoint = Checkpoint { log_id: "a".repeat(32), size: self.size, root };
            Ok((self.size != 0).then(|| checkpoint.note(&[7; 32], &[9; 64])))
        }

        fn post(&self, note: &str) -> Result<(), PostError> {
            if self.down {
                return Err(PostError::Status(503));
            }
            self.posted.borrow_mut().push(Note::read(note).unwrap().checkpoint.size);
            Ok(())
        }

        fn record(&self, change: &Change) {
            self.recorded.borrow_mut().push(change.clone());
        }
    }

    #[test]
    fn each_checkpoint_goes_out_once_and_a_place_that_is_down_is_a_record_once() {
        let every = Duration::from_secs(60);
        let mut world = Fake::default();
        let mut deliveries = Deliveries::new(every);
        assert_eq!(deliveries.turn(&world), every);
        world.size = 3;
        assert_eq!([deliveries.turn(&world), deliveries.turn(&world)], [every, every]);
        (world.size, world.down) = (5, true);
        let waits: Vec<u64> = (0..6).map(|_| deliveries.turn(&world).as_secs()).collect();
        assert_eq!(waits, [120, 240, 480, 600, 600, 600]);
        // What came meanwhile is in the next.
        (world.size, world.down) = (9, false);
        assert_eq!(deliveries.turn(&world), every);
        assert_eq!(*world.posted.borrow(), [3, 9]);
        let reason = "it was answered with status 503".to_owned();
        let down = Change::Undelivered { size: 5, reason };
        assert_eq!(*world.recorded.borrow(), [down, Change::Delivered(9)]);
    }
}
