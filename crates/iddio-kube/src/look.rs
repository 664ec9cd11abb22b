//! Looks at what a request is about before it is judged: the object that a patch changes, what a
//! collection holds that is to be deleted, and what the server says of a resource that is not built in.
//!
//! A look is a request of its own: of the same agent, decided by policy, recorded, under a token of
//! tier 0, and it asks nobody. Where it is refused, fails, takes too long or brings too much, nothing is
//! known: a change is tier 3 at least, a count is not shown, and a resource stays one that nobody
//! knows. Nothing that a look brings lowers a tier.
//!
//! The object may change between the look and the patch, because the patch goes on byte for byte and
//! says of no version what its client did not say. Where a human thought meanwhile, the gateway looks
//! again, and what means something else by now is not forwarded (threats K08, A16). What is left is the
//! moment between that look and the API server's own.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::StatusCode;
use iddio_classify::kube::{
    Current, call::BODY_BYTES_MAX, discovery::Discovered, listing::Listing,
};
use iddio_core::tier::Tier;
use tokio::{sync::mpsc, time};

use crate::{
    admit::{Admitted, Asking, Caller, Granted},
    clusters::Behind,
    escort::Escort,
    forward::{self, Flight, Sent},
    operation::KubeAction,
    refuse::Denial,
    serve::Gateway,
};

/// What servers said of resources that are not built in, for a while.
#[derive(Default)]
pub(crate) struct Names(Mutex<HashMap<Key, Kept>>);

/// What was said, and when. Nothing, where nothing could be learnt.
type Kept = (Instant, Option<Arc<Discovered>>);

/// A cluster, and a version of one of its groups.
type Key = (Arc<str>, String, String);

/// What a look brought.
enum Seen {
    Absent,
    Object(Bytes),
    Unread,
}

/// Who looks, and where.
pub(crate) struct Looking<'a> {
    /// For whom.
    pub(crate) caller: &'a Arc<Caller>,
    /// At which cluster.
    pub(crate) behind: &'a Arc<Behind>,
    /// Held until its end is recorded.
    pub(crate) hold: &'a mpsc::Sender<()>,
}

// === impl Gateway ===

impl Gateway {
    /// Looks at what `action` is about, as far as its judgement needs that.
    pub(crate) async fn look(self: &Arc<Self>, looking: &Looking<'_>, action: &mut KubeAction) {
        if let Some(((group, version), look)) = action.unknown() {
            let key = (looking.behind.name.clone(), group, version);
            if let Some(names) = self.names(looking, key, look).await {
                action.discovered(&names);
            }
        }
        if let Some(look) = action.look() {
            match self.see(looking, look).await {
                Seen::Absent => action.resulting(Current::Absent),
                Seen::Object(bytes) => action.resulting(Current::Object(&bytes)),
                Seen::Unread => action.resulting(Current::Unread),
            }
        }
        if let Some(look) = action.list() {
            action.listed(match self.see(looking, look).await {
                Seen::Object(bytes) => Listing::read(&bytes),
                Seen::Absent | Seen::Unread => None,
            });
        }
    }

    /// Looks again after a human thought: what was asked about must be what happens.
    pub(crate) async fn look_again(
        self: &Arc<Self>,
        looking: &Looking<'_>,
        action: &mut KubeAction,
    ) -> Result<(), Denial> {
        let before = action.judged();
        self.look(looking, action).await;
        match action.judged() == before {
            true => Ok(()),
            false => Err(Denial::moved()),
        }
    }

    async fn names(
        self: &Arc<Self>,
        looking: &Looking<'_>,
        key: Key,
        look: KubeAction,
    ) -> Option<Arc<Discovered>> {
        if let Some(known) = self.names.kept(&key) {
            return known;
        }
        let (_, group, version) = &key;
        let names = match self.see(looking, look).await {
            Seen::Object(bytes) => Discovered::read(&bytes, group, version).map(Arc::new),
            Seen::Absent | Seen::Unread => None,
        };
        self.names.keep(key, names.clone());
        names
    }

    async fn see(self: &Arc<Self>, looking: &Looking<'_>, look: KubeAction) -> Seen {
        // INVARIANT: a look observes, and is worth no more than that.
        if Tier::Observe < look.judged().0 {
            return Seen::Unread;
        }
        time::timeout(LOOK_MAX, self.read_for(looking, look)).await.unwrap_or(Seen::Unread)
    }

    async fn read_for(self: &Arc<Self>, looking: &Looking<'_>, look: KubeAction) -> Seen {
        let Looking { caller, behind, hold } = looking;
        let to = Some((*behind).clone());
        let admitted = self.decide(caller, look, to, Asking::Nobody, hold).await;
        let Ok(Admitted::Granted(granted)) = admitted else { return Seen::Unread };
        let Granted { action, bearer, flight, asked: _ } = *granted;
        let (hold, known) = ((*hold).clone(), self.known(caller));
        let escort = Escort::new(&self.shared, &self.meters, None);
        let (since, sent) = (Instant::now(), Sent::Once);
        let flight = Flight { flight, hold, since, known, escort, sent };
        let answer = forward::forward(behind, action, &bearer, flight).await;
        let Ok(answer) = answer else { return Seen::Unread };
        match answer.status() {
            StatusCode::NOT_FOUND => Seen::Absent,
            StatusCode::OK => {
                let read = Limited::new(answer.into_body(), BODY_BYTES_MAX).collect().await;
                read.map_or(Seen::Unread, |read| Seen::Object(read.to_bytes()))
            }
            _ => Seen::Unread,
        }
    }
}

// === impl Names ===

impl Names {
    /// Returns what was said, if it was said lately.
    fn kept(&self, key: &Key) -> Option<Option<Arc<Discovered>>> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, names) = kept.get(key)?;
        let age = if names.is_some() { NAMES_AGE_MAX } else { NOTHING_AGE_MAX };
        (since.elapsed() < age).then(|| names.clone())
    }

    fn keep(&self, key: Key, names: Option<Arc<Discovered>>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if NAMES_MAX <= kept.len() {
            kept.retain(|_, (since, _)| since.elapsed() < NOTHING_AGE_MAX);
        }
        if kept.len() < NAMES_MAX {
            let _ = kept.insert(key, (Instant::now(), names));
        }
    }
}

/// How long a look may take: a client waits for it before its request is decided.
const LOOK_MAX: Duration = Duration::from_secs(10);

/// How long what a server says of its resources is believed: definitions seldom change, and what is
/// believed lowers nothing.
const NAMES_AGE_MAX: Duration = Duration::from_secs(300);

/// How long that nothing could be learnt is.
const NOTHING_AGE_MAX: Duration = Duration::from_secs(30);

/// The most versions of groups that are remembered: large clusters have some hundred.
const NAMES_MAX: usize = 512;
