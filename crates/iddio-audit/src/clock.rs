//! The machine's clocks, behind the core's trait.
//!
//! Here, since a log is the lowest thing that tells the time and the boot.

use std::{fs::File, io::Read};

use iddio_core::time::{BootTime, Clock, Moment, Timestamp};
use rustix::time::{ClockId, Timespec, clock_gettime};

/// Tells the time of this machine.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    boot_id: u128,
}

impl SystemClock {
    /// Reads which boot this is.
    ///
    /// Where the kernel does not say, boot 0 stands for it: deadlines then hold within this
    /// process and, at worst, outlive a reboot that nobody waiting would survive.
    pub fn new() -> Self {
        Self { boot_id: boot_id().unwrap_or(0) }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Moment {
        let wall = clock_gettime(ClockId::Realtime);
        let boot = clock_gettime(ClockId::Boottime);
        Moment {
            wall: Timestamp(count(wall, 1_000_000)),
            boot: BootTime { boot_id: self.boot_id, millis: count(boot, 1_000) },
        }
    }
}

fn boot_id() -> Option<u128> {
    let mut text = String::with_capacity(BOOT_ID_BYTES);
    let file = File::open(BOOT_ID_PATH).ok()?;
    file.take(BOOT_ID_BYTES as u64).read_to_string(&mut text).ok()?;
    let digits: String = text.chars().filter(char::is_ascii_hexdigit).collect();
    u128::from_str_radix(&digits, 16).ok()
}

/// Returns `time` in units of which a second has `per_second`, never below zero.
fn count(time: Timespec, per_second: u64) -> u64 {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(time.tv_nsec).unwrap_or(0);
    seconds.saturating_mul(per_second).saturating_add(nanos / (1_000_000_000 / per_second))
}

/// More than the id with its dashes and its line end.
const BOOT_ID_BYTES: usize = 64;

const BOOT_ID_PATH: &str = "/proc/sys/kernel/random/boot_id";
