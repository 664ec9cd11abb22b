//! Wakes whoever holds a stream when somebody may have been frozen, revoked or replaced.
//!
//! Nothing is said about who: whoever is woken looks. A stream that nothing happens to costs no timer.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use iddio_runtime::reload::Changed;
use tokio::{sync::watch, time};

/// Where changes come from.
#[derive(Clone, Debug)]
pub struct Changes(watch::Sender<u64>);

/// What one stream hears of changes.
pub struct Heard {
    receiver: watch::Receiver<u64>,
    waiting: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

// === impl Changes ===

impl Changes {
    /// Begins with no change.
    pub fn new() -> Self {
        Self(watch::Sender::new(0))
    }

    /// Wakes everybody who listens.
    pub fn tell(&self) {
        self.0.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Returns what the watch of a home calls.
    pub fn teller(&self) -> Changed {
        let own = self.clone();
        Arc::new(move || own.tell())
    }

    /// Begins to listen: changes from now on are heard.
    pub fn listen(&self) -> Heard {
        Heard { receiver: self.0.subscribe(), waiting: None }
    }

    /// Wakes everybody twice a second for as long as `watched` says that nobody else does.
    pub async fn stand_in(&self, watched: impl Fn() -> bool) {
        loop {
            time::sleep(STAND_IN_EVERY).await;
            if !watched() {
                self.tell();
            }
        }
    }
}

impl Default for Changes {
    fn default() -> Self {
        Self::new()
    }
}

// === impl Heard ===

impl Heard {
    /// Whether something changed since this was asked last; nobody is woken for it.
    pub fn take(&mut self) -> Option<()> {
        self.receiver.has_changed().ok().filter(|changed| *changed)?;
        self.receiver.mark_unchanged();
        self.waiting = None;
        Some(())
    }

    /// Has the task woken by the next change. Is ready if there was one that [`Self::take`] did not tell
    /// yet.
    pub fn wakes(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Self { receiver, waiting } = self;
        let future = waiting.get_or_insert_with(|| {
            let mut receiver = receiver.clone();
            Box::pin(async move {
                if receiver.changed().await.is_err() {
                    // Nobody is left to tell of changes: the process ends.
                    std::future::pending::<()>().await;
                }
            })
        });
        let ready = future.as_mut().poll(context);
        if ready.is_ready() {
            *waiting = None;
        }
        ready
    }
}

/// How often streams look by themselves while nobody watches the home: revocation takes a second at
/// most.
const STAND_IN_EVERY: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, task::Waker};

    use super::*;

    #[test]
    fn a_change_is_told_once_and_to_everybody() {
        let changes = Changes::new();
        let (mut one, mut two) = (changes.listen(), changes.listen());
        let mut context = Context::from_waker(Waker::noop());
        assert!(one.take().is_none() && one.wakes(&mut context).is_pending());
        changes.tell();
        changes.tell();
        assert!(one.wakes(&mut context).is_ready());
        assert!(one.take().is_some() && one.take().is_none());
        assert!(one.wakes(&mut context).is_pending());
        assert!(two.take().is_some());
        assert!(two.wakes(&mut context).is_pending());
        changes.teller()();
        assert!(one.take().is_some() && two.take().is_some());
    }

    #[test]
    fn who_waits_is_woken() {
        let threads = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let changes = Changes::new();
        let mut heard = changes.listen();
        threads.block_on(async {
            let waiting = tokio::spawn(async move {
                poll_fn(|context| heard.wakes(context)).await;
                heard.take()
            });
            tokio::task::yield_now().await;
            changes.tell();
            assert!(waiting.await.unwrap().is_some());
        });
    }
}
