//! A human who answers as the test says.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use iddio_core::{
    BoxFuture,
    approval::{Answer, Approver, Ask, Assurance, Grant, Vouched},
    digest::Digest,
    principal::{PrincipalId, PrincipalKind},
};

use crate::lock;

/// What a scripted human does with an ask.
#[derive(Clone)]
pub enum Reply {
    /// Says yes to another question.
    Forge,
    /// Says yes with these, made from the ask.
    Grants(MakeGrants),
    /// Does not answer, ever: the future stays pending.
    Hang,
    /// Lets it lapse.
    Lapse,
    /// Says no.
    No,
    /// The requester says yes to its own request.
    OwnYes,
    /// The caller went away.
    Withdraw,
    /// `human:bob` says yes, with a hardware key.
    Yes,
    /// `human:bob` and `human:eve` both do.
    YesOfTwo,
}

/// Makes grants from an ask.
pub type MakeGrants = Arc<dyn Fn(&Ask) -> Vec<Vouched> + Send + Sync>;

type OnAsk = Box<dyn Fn(&Ask) + Send + Sync>;

/// Answers from a script, and the last reply for ever.
pub struct ScriptedApprover {
    replies: Mutex<VecDeque<Reply>>,
    asked: Mutex<Vec<Ask>>,
    on_ask: Mutex<OnAsk>,
}

// === impl ScriptedApprover ===

impl ScriptedApprover {
    /// Gives each of `replies` in turn, and the last for ever.
    pub fn new(replies: impl IntoIterator<Item = Reply>) -> Self {
        Self {
            replies: Mutex::new(replies.into_iter().collect()),
            asked: Mutex::new(Vec::new()),
            on_ask: Mutex::new(Box::new(|_| ())),
        }
    }

    /// Calls `on_ask` whenever an ask arrives, before it is answered.
    pub fn on_ask(&self, on_ask: impl Fn(&Ask) + Send + Sync + 'static) {
        *lock(&self.on_ask) = Box::new(on_ask);
    }

    /// Returns the asks that arrived.
    pub fn asked(&self) -> Vec<Ask> {
        lock(&self.asked).clone()
    }

    fn next(&self) -> Reply {
        let mut replies = lock(&self.replies);
        match replies.len() {
            0 => Reply::Lapse,
            1 => replies.front().cloned().expect("one reply"),
            _ => replies.pop_front().expect("a reply"),
        }
    }
}

impl Approver for ScriptedApprover {
    fn ask<'a>(&'a self, ask: &'a Ask) -> BoxFuture<'a, Answer> {
        lock(&self.asked).push(ask.clone());
        lock(&self.on_ask)(ask);
        let answer = match self.next().answer(ask) {
            Some(answer) => answer,
            None => return Box::pin(std::future::pending()),
        };
        Box::pin(std::future::ready(answer))
    }
}

// === impl Reply ===

impl Reply {
    /// Returns the answer to `ask`, or `None` for one that never comes.
    pub fn answer(&self, ask: &Ask) -> Option<Answer> {
        let grants = |vouched: Vec<Vouched>| {
            Answer::Grant(vouched.into_iter().map(Grant::assertion).collect())
        };
        Some(match self {
            Self::Forge => {
                let other = Digest::of_bytes(b"another question");
                grants(vec![Vouched { ask: other, ..vouched("human:bob", ask) }])
            }
            Self::Grants(make) => grants(make(ask)),
            Self::Hang => return None,
            Self::Lapse => Answer::Lapse,
            Self::No => Answer::Refuse { by: name("human:bob") },
            Self::OwnYes => grants(vec![vouched(ask.principal.id.as_str(), ask)]),
            Self::Withdraw => Answer::Withdraw,
            Self::Yes => grants(vec![vouched("human:bob", ask)]),
            Self::YesOfTwo => grants(vec![vouched("human:bob", ask), vouched("human:eve", ask)]),
        })
    }
}

/// Returns what an adapter would vouch for a human's yes by hardware key, good until the ask
/// lapses.
pub fn vouched(by: &str, ask: &Ask) -> Vouched {
    Vouched {
        by: name(by),
        aliases: Vec::new(),
        kind: PrincipalKind::Human,
        groups: Vec::new(),
        assurance: Assurance::Hardware,
        ask: ask.digest(),
        expires: ask.lapses,
        ticket: None,
        statement: None,
    }
}

fn name(name: &str) -> PrincipalId {
    PrincipalId::new(name).expect("a sound name")
}
