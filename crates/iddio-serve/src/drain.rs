//! How a gateway comes to an end without a failed request.
//!
//! Three phases follow each other. While *leaving*, no new connection is taken, and every answer says
//! that its connection ends with it; a connection that is idle stays open for a moment, so that a request
//! which is on its way to it is served. While *closing*, idle connections end, and those with a request in
//! flight end after it (HTTP/2 hears so by GOAWAY). What is still there at the end is *cut*: its records
//! get an end all the same.
//!
//! Where the socket was inherited, it stays open in whoever lent it, and who connects meanwhile waits for
//! the next process.

use std::{sync::Arc, time::Duration};

use tokio::{sync::watch, time};

/// Tells everybody of the end.
#[derive(Clone, Debug)]
pub struct Drain(Arc<watch::Sender<Phase>>);

/// What a connection hears of it.
#[derive(Clone, Debug)]
pub struct Drained(watch::Receiver<Phase>);

/// How far the end is.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Phase {
    /// It serves.
    Serving,
    /// Answers end their connections; idle ones stay for a moment.
    Leaving,
    /// Idle connections end.
    Closing,
    /// Everything ends.
    Cut,
}

/// How long phases may take.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Patience {
    /// How long an idle connection may still bring a request.
    pub idle: Duration,
    /// How long what is in flight may go on after that.
    pub flight: Duration,
}

// === impl Drain ===

impl Drain {
    /// Begins with a gateway that serves.
    pub fn new() -> Self {
        Self(Arc::new(watch::Sender::new(Phase::Serving)))
    }

    /// Returns what a connection listens to.
    pub fn listen(&self) -> Drained {
        Drained(self.0.subscribe())
    }

    /// Returns how far it is.
    pub fn phase(&self) -> Phase {
        *self.0.borrow()
    }

    /// Goes to the next phases until `ended` is ready: everybody is gone.
    ///
    /// Returns the last phase that was needed.
    pub async fn end(&self, patience: Patience, ended: impl Future<Output = ()>) -> Phase {
        let mut ended = std::pin::pin!(ended);
        let phases = [
            (Phase::Leaving, patience.idle),
            (Phase::Closing, patience.flight),
            (Phase::Cut, patience.idle),
        ];
        for (phase, patience) in phases {
            let _ = self.0.send_replace(phase);
            if time::timeout(patience, ended.as_mut()).await.is_ok() {
                return phase;
            }
        }
        Phase::Cut
    }
}

impl Default for Drain {
    fn default() -> Self {
        Self::new()
    }
}

// === impl Drained ===

impl Drained {
    /// Returns how far it is.
    pub fn phase(&self) -> Phase {
        *self.0.borrow()
    }

    /// Returns once it is at `phase` or beyond.
    ///
    /// Cancellation: nothing is lost.
    pub async fn reaches(&self, phase: Phase) {
        let mut receiver = self.0.clone();
        // Where nobody is left to say so, nobody serves any more.
        let _ = receiver.wait_for(|now| phase <= *now).await;
    }
}

// === impl Patience ===

impl Patience {
    /// A gateway's: systemd waits for 30 seconds.
    pub const GATEWAY: Self =
        Self { idle: Duration::from_secs(1), flight: Duration::from_secs(10) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_follow_each_other_until_everybody_is_gone() {
        let threads = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let moment = Duration::from_millis(1);
        let patience = Patience { idle: moment, flight: moment };
        threads.block_on(async {
            for phase in [Phase::Leaving, Phase::Closing, Phase::Cut] {
                let drain = Drain::new();
                let listener = drain.listen();
                assert_eq!(listener.phase(), Phase::Serving);
                let reached = drain.end(patience, listener.reaches(phase)).await;
                assert!(phase <= reached);
            }
            let drain = Drain::new();
            assert_eq!(drain.end(patience, std::future::pending()).await, Phase::Cut);
        });
    }
}
