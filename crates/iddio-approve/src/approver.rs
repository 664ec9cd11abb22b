//! The approver that puts every ask to the queue.
//!
//! An ask waits on a thread of its own, so that it works under any executor and blocks none. The
//! number of threads is bounded by the number of asks that may wait. The thread holds the asker's
//! lock, verifies what arrives, and takes the grants; the future only hears of the end.
//!
//! Whatever goes wrong is an [`Answer::Lapse`]: nobody could be asked.

use std::{
    collections::BTreeSet,
    fmt,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    thread,
};

use iddio_core::{
    BoxFuture,
    approval::{Answer, Approver, Ask},
    time::Clock,
};

use crate::{
    bell::{Bell, Cancel, Rung},
    id::AskId,
    prompt::{self, Prompt},
    queue::{Enqueued, Hold, Ignored, PutError, Queue, QueueError, Setting, Step},
};

/// Asks through the queue of one home.
#[derive(Clone)]
pub struct QueueApprover {
    setting: Setting,
    clock: Arc<dyn Clock>,
    cancel: Cancel,
    prompt: Prompt,
    notice: Arc<dyn Fn(Notice) + Send + Sync>,
}

/// What an asker may want to tell its user.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Notice {
    /// The ask waits in the queue: say where it can be answered, and for how long.
    Waiting {
        /// Its name.
        id: AskId,
        /// Milliseconds until it lapses.
        lapses_millis: u64,
        /// Whether it is held back first.
        hold: Hold,
    },
    /// The ask could not be put, and is refused.
    NotPut {
        /// Why.
        reason: String,
    },
    /// Something in the queue looked like an answer and was none. Worth a record.
    Ignored {
        /// About which ask.
        id: AskId,
        /// Why it was ignored.
        why: Ignored,
    },
    /// A bounded ticket answered the ask; no human saw it.
    Ticket {
        /// The ask.
        id: AskId,
    },
    /// The registry of operators cannot be read, so nothing signed counts.
    NoRegistry {
        /// Why.
        reason: String,
    },
    /// The queue failed while the ask waited, and the ask is refused.
    Failed {
        /// Why.
        reason: String,
    },
}

// === impl QueueApprover ===

impl QueueApprover {
    /// Makes an approver for the home of `setting`. What happens meanwhile is told to `notice`,
    /// from another thread.
    pub fn new(
        setting: Setting,
        clock: Arc<dyn Clock>,
        cancel: Cancel,
        prompt: Prompt,
        notice: Arc<dyn Fn(Notice) + Send + Sync>,
    ) -> Self {
        Self { setting, clock, cancel, prompt, notice }
    }

    /// Asks and waits on this thread.
    fn ask_here(&self, ask: &Ask, dropped: &Cancel) -> Answer {
        match self.try_ask(ask, dropped) {
            Ok(answer) => answer,
            Err(AskError::Put(error)) => {
                (self.notice)(Notice::NotPut { reason: error.to_string() });
                Answer::Lapse
            }
            Err(AskError::Queue(error)) => {
                (self.notice)(Notice::Failed { reason: error.to_string() });
                Answer::Lapse
            }
        }
    }

    fn try_ask(&self, ask: &Ask, dropped: &Cancel) -> Result<Answer, AskError> {
        let mut queue = Queue::open(self.setting.clone(), self.clock.clone())?;
        let Enqueued { id, hold, presence } = queue.put(ask).map_err(AskError::Put)?;
        let notice = &*self.notice;
        if let Step::Answered(answer) = queue.redeem(&id, ask, notice)? {
            notice(Notice::Ticket { id });
            return Ok(answer);
        }
        let bell = Bell::new(&queue.file()).map_err(QueueError::Wait)?;
        let bell = bell.with(&self.cancel).with(dropped);
        let left = self.clock.now().boot.until(ask.lapses.boot).unwrap_or(0);
        notice(Notice::Waiting { id: id.clone(), lapses_millis: left, hold });
        let prompting = prompt::start(self.prompt, &self.setting, &self.clock, &id, ask, hold);
        let answer = self.watch(&mut queue, &id, ask, &bell);
        // The prompt ends before the answer is told, so that the terminal is the caller's again.
        drop(prompting);
        drop(presence);
        answer
    }

    fn watch(
        &self,
        queue: &mut Queue,
        id: &AskId,
        ask: &Ask,
        bell: &Bell,
    ) -> Result<Answer, AskError> {
        let mut told = BTreeSet::new();
        loop {
            if let Step::Answered(answer) = queue.step(id, ask, &mut told, &*self.notice)? {
                return Ok(answer);
            }
            let Some(left) = self.clock.now().boot.until(ask.lapses.boot) else {
                // The next step ends it in the queue; the asker has its answer in any case.
                let _ = queue.step(id, ask, &mut told, &*self.notice);
                return Ok(Answer::Lapse);
            };
            if bell.wait(left) == Rung::Cancelled {
                queue.withdraw(id)?;
                return Ok(Answer::Withdraw);
            }
        }
    }
}

impl Approver for QueueApprover {
    fn ask<'a>(&'a self, ask: &'a Ask) -> BoxFuture<'a, Answer> {
        let Ok(dropped) = Cancel::new() else { return Box::pin(async { Answer::Lapse }) };
        let slot = Arc::new(Mutex::new(Slot { answer: None, waker: None }));
        let (asker, question) = (self.clone(), ask.clone());
        let (theirs, gone) = (slot.clone(), dropped.clone());
        let run = move || {
            // If the thread panics, the slot is filled all the same.
            let mut filler = Filler { slot: theirs, answer: Answer::Lapse };
            filler.answer = asker.ask_here(&question, &gone);
        };
        match thread::Builder::new().name("iddio-ask".to_owned()).spawn(run) {
            Ok(_) => Box::pin(Waiting { slot, dropped }),
            Err(_) => Box::pin(async { Answer::Lapse }),
        }
    }
}

impl fmt::Debug for QueueApprover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueueApprover").field("setting", &self.setting).finish_non_exhaustive()
    }
}

/// An ask ended without an answer.
enum AskError {
    Put(PutError),
    Queue(QueueError),
}

impl From<QueueError> for AskError {
    fn from(error: QueueError) -> Self {
        Self::Queue(error)
    }
}

/// Where the thread leaves its answer.
struct Slot {
    answer: Option<Answer>,
    waker: Option<Waker>,
}

/// The future. Cancellation: dropping it withdraws the ask.
struct Waiting {
    slot: Arc<Mutex<Slot>>,
    dropped: Cancel,
}

impl Future for Waiting {
    type Output = Answer;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Answer> {
        let mut slot = lock(&self.slot);
        match slot.answer.take() {
            Some(answer) => Poll::Ready(answer),
            None => {
                slot.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.dropped.cancel();
    }
}

/// Fills the slot when it is dropped, so that a panic is a refusal and not a wait without end.
struct Filler {
    slot: Arc<Mutex<Slot>>,
    answer: Answer,
}

impl Drop for Filler {
    fn drop(&mut self) {
        let mut slot = lock(&self.slot);
        slot.answer = Some(std::mem::replace(&mut self.answer, Answer::Lapse));
        if let Some(waker) = slot.waker.take() {
            waker.wake();
        }
    }
}

fn lock(slot: &Mutex<Slot>) -> MutexGuard<'_, Slot> {
    slot.lock().unwrap_or_else(PoisonError::into_inner)
}
