//! A clock that moves when it is told to.

use std::sync::Mutex;

use iddio_core::time::{BootTime, Clock, Moment, Timestamp};

use crate::lock;

/// A clock in the hands of the test.
#[derive(Debug)]
pub struct TestClock(Mutex<Moment>);

// === impl TestClock ===

impl TestClock {
    /// Begins in the first hour of a boot, on 2026-11-20.
    pub fn new() -> Self {
        let wall = Timestamp(1_795_176_000_000_000);
        let boot = BootTime { boot_id: 7, millis: 60_000 };
        Self(Mutex::new(Moment { wall, boot }))
    }

    /// Lets both clocks run, or a machine be suspended: boot time counts through suspend.
    pub fn advance(&self, millis: u64) {
        let mut now = lock(&self.0);
        *now = now.plus_millis(millis);
    }

    /// Sets the wall clock and leaves boot time alone.
    pub fn set_wall(&self, wall: Timestamp) {
        lock(&self.0).wall = wall;
    }

    /// Boots anew: another boot, boot time from zero.
    pub fn reboot(&self) {
        let mut now = lock(&self.0);
        now.boot = BootTime { boot_id: now.boot.boot_id.wrapping_add(1), millis: 0 };
    }
}

impl Default for TestClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for TestClock {
    fn now(&self) -> Moment {
        *lock(&self.0)
    }
}
