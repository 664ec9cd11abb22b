//! The appends of late, so that one whose answer was lost can be asked again.
//!
//! INVARIANT: whatever was stored since [`Recent::since`] is known here by the number its client drew.
//! So an append that is asked again is found, or was never stored, or was asked too long ago to tell.

use std::collections::{HashMap, VecDeque};

use iddio_audit::wire::Reply;
use iddio_core::{audit::Receipt, digest::Digest, json::Value, operation::OperationId};

/// The appends of late.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    by_request: HashMap<Key, Reply>,
    order: VecDeque<(u64, Key)>,
    since: u64,
}

/// Who asked, and the number drawn for it: nobody is answered for another user's append.
type Key = (u32, u128);

/// What is known of an append.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Known {
    /// It was not stored.
    Not,
    /// It was stored, and this is the answer.
    Stored(Reply),
    /// It was asked before all that is known.
    TooOld,
}

// === impl Recent ===

impl Recent {
    /// Takes down a record that stands in the log already.
    pub(crate) fn read(&mut self, line: &[u8]) {
        let Ok(record) = Value::read(line) else { return };
        let text = |name| record.member(name).and_then(Value::as_text);
        let int = |value: Option<&Value>| value.and_then(Value::as_int);
        let Some(seq) = int(record.member("seq")) else { return };
        if self.order.is_empty() && self.since == 0 {
            self.since = seq;
        }
        let uid = int(record.member("peer").and_then(|peer| peer.member("uid")));
        let uid = uid.and_then(|uid| u32::try_from(uid).ok());
        let request = text("request").and_then(OperationId::from_hex);
        let id = text("id").and_then(OperationId::from_hex);
        let hash = text("hash").and_then(Digest::from_hex);
        if let (Some(uid), Some(request), Some(id), Some(hash)) = (uid, request, id, hash) {
            self.keep((uid, request.0), seq, Reply::Receipt { id, seq, hash });
        }
    }

    /// Takes down an append that was just stored.
    pub(crate) fn stored(&mut self, uid: u32, request: u128, receipt: &Receipt) {
        self.keep((uid, request), receipt.seq(), Reply::receipt(receipt));
    }

    /// Tells what is known of an append that was asked first when the log had `after` records; `None`
    /// if this is the first time.
    pub(crate) fn known(&self, uid: u32, request: u128, after: Option<u64>) -> Known {
        match (self.by_request.get(&(uid, request)), after) {
            (Some(reply), _) => Known::Stored(reply.clone()),
            (None, Some(after)) if after < self.since => Known::TooOld,
            (None, _) => Known::Not,
        }
    }

    fn keep(&mut self, key: Key, seq: u64, reply: Reply) {
        self.by_request.insert(key, reply);
        self.order.push_back((seq, key));
        if RECENT_MAX < self.order.len()
            && let Some((seq, key)) = self.order.pop_front()
        {
            self.by_request.remove(&key);
            self.since = seq + 1;
        }
    }
}

/// How many appends are known: more than a client that asks again for ten seconds can miss on a disk
/// that syncs for thousands at once. Some 150 bytes each.
const RECENT_MAX: usize = 1 << 17;
