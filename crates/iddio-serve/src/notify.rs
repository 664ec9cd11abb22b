//! What systemd is told: that a gateway is ready, reloads, stops, and lives.
//!
//! Where nobody listens (`NOTIFY_SOCKET` is not set), nothing happens.

use std::time::Duration;

use sd_notify::NotifyState;

/// It serves.
pub fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// It reads its files again, and says [`ready`] once it has.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        // Without the time systemd does not know which reload is meant.
        Err(_) => tell(&[NotifyState::Status("reloading")]),
    }
}

/// It comes to its end.
pub fn stopping() {
    tell(&[NotifyState::Stopping, NotifyState::Status("serving what is in flight")]);
}

/// It lives: a decision could be made just now.
pub fn alive() {
    tell(&[NotifyState::Watchdog]);
}

/// Says how it is, in a few words.
pub fn status(text: &str) {
    tell(&[NotifyState::Status(text)]);
}

/// Returns how often systemd wants to hear that it lives, if it does.
pub fn watchdog() -> Option<Duration> {
    sd_notify::watchdog_enabled()
}

fn tell(states: &[NotifyState<'_>]) {
    // Nobody may be listening for it.
    let _ = sd_notify::notify(states);
}
