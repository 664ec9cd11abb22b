//! Time, as told by the caller. This crate reads no clock.
//!
//! Two clocks are told apart. [`Timestamp`] is for people and records: it may jump, so nothing is
//! decided by it. [`BootTime`] counts from boot and through suspend (`CLOCK_BOOTTIME`): deadlines
//! are set on it, and a deadline of another boot has passed.

use std::fmt;

use crate::digest::{Canonical, Encoder};

/// Tells the time.
pub trait Clock: Send + Sync {
    /// Returns both clocks, read together.
    fn now(&self) -> Moment;
}

/// Both clocks at one moment.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Moment {
    /// What people call it.
    pub wall: Timestamp,
    /// What deadlines are measured by.
    pub boot: BootTime,
}

/// Microseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Timestamp(pub u64);

/// A reading of the clock that counts from boot and through suspend.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct BootTime {
    /// Which boot, from `/proc/sys/kernel/random/boot_id`.
    pub boot_id: u128,
    /// Milliseconds since that boot.
    pub millis: u64,
}

// === impl Moment ===

impl Moment {
    /// Returns the moment `millis` later.
    #[must_use]
    pub fn plus_millis(self, millis: u64) -> Self {
        let wall = Timestamp(self.wall.0.saturating_add(millis.saturating_mul(1_000)));
        let boot = BootTime { millis: self.boot.millis.saturating_add(millis), ..self.boot };
        Self { wall, boot }
    }
}

impl Canonical for Moment {
    fn encode(&self, encoder: &mut Encoder) {
        let Self { wall, boot: BootTime { boot_id, millis } } = self;
        encoder.int(u128::from(wall.0));
        encoder.int(*boot_id);
        encoder.int(u128::from(*millis));
    }
}

// === impl BootTime ===

impl BootTime {
    /// Returns the milliseconds left until `deadline`, or `None` if it has passed.
    ///
    /// A deadline of another boot has passed: nobody who waited for it is still there.
    pub fn until(self, deadline: Self) -> Option<u64> {
        match self.boot_id == deadline.boot_id {
            true => deadline.millis.checked_sub(self.millis).filter(|left| 0 < *left),
            false => None,
        }
    }
}

// === impl Timestamp ===

/// Writes RFC 3339 in UTC with microseconds, for example `2026-11-20T14:03:07.000001Z`. A clock
/// that is set beyond the year 9999 is shown as its last moment, because RFC 3339 has no later one.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.0.min(SHOWN_MAX);
        let (seconds, micros) = (shown / 1_000_000, shown % 1_000_000);
        let (days, second) = (seconds / 86_400, seconds % 86_400);
        let (year, month, day) = civil(days);
        let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
        // Every record holds one, so the digits are placed by hand.
        let mut text = *b"0000-00-00T00:00:00.000000Z";
        for (part, end, digits) in [
            (year, 4, 4),
            (month, 7, 2),
            (day, 10, 2),
            (hour, 13, 2),
            (minute, 16, 2),
            (second, 19, 2),
            (micros, 26, 6),
        ] {
            let mut rest = part;
            let slots = text.get_mut(end - digits..end).unwrap_or_default();
            for slot in slots.iter_mut().rev() {
                *slot = b'0' + (rest % 10) as u8;
                rest /= 10;
            }
        }
        f.write_str(std::str::from_utf8(&text).unwrap_or_default())
    }
}

/// Returns year, month and day of the day `days` after 1970-01-01 (Gregorian, proleptic).
///
/// Counts in eras of 400 years that begin on 1 March, so that the leap day is the last of its year.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    (year, month, day)
}

/// The last moment of the year 9999, the last that RFC 3339 can write.
const SHOWN_MAX: u64 = 253_402_300_799_999_999;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_read_as_rfc_3339() {
        let cases = [
            (0, "1970-01-01T00:00:00.000000Z"),
            (951_782_400_000_000, "2000-02-29T00:00:00.000000Z"),
            (1_795_186_987_000_001, "2026-11-20T15:03:07.000001Z"),
            (4_107_542_400_000_000, "2100-03-01T00:00:00.000000Z"),
            (253_402_300_799_999_999, "9999-12-31T23:59:59.999999Z"),
            (u64::MAX, "9999-12-31T23:59:59.999999Z"),
        ];
        for (micros, text) in cases {
            assert_eq!(Timestamp(micros).to_string(), text);
        }
    }

    #[test]
    fn a_deadline_of_another_boot_has_passed() {
        let now = BootTime { boot_id: 1, millis: 5 };
        assert_eq!(now.until(BootTime { boot_id: 1, millis: 9 }), Some(4));
        assert_eq!(now.until(BootTime { boot_id: 1, millis: 5 }), None);
        assert_eq!(now.until(BootTime { boot_id: 2, millis: 9 }), None);
    }
}
