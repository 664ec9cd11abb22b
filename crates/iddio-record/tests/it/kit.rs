//! Decisions and stores for tests.

use std::{path::Path, sync::Arc};

use iddio_core::{
    audit::{DecisionRecord, Subject},
    digest::Digest,
    operation::{OperationId, Operations},
    policy::{Obligations, Recorded, Verdict},
    recording::{Channel, Recorder, Sealed},
    tier::Tier,
};
use iddio_record::{
    read::{self, End},
    store::{Limits, Store},
};
use iddio_testkit::{TestClock, decision, operation, principal};

pub(crate) const SMALL: Limits =
    Limits { recording_bytes: 64 << 20, all_bytes: 256 << 20, reserve_bytes: 0 };

/// A decision that wants this recorded of what an agent does to a resource.
pub(crate) fn decided(agent: &str, resource: &str, record: Recorded) -> DecisionRecord {
    let mut operation = operation(Tier::Modify);
    operation.description.resource = Some(resource.to_owned());
    let mut decision = decision(Verdict::Allow, Tier::Modify);
    decision.obligations = Arc::new(Obligations { record, ..Obligations::NONE });
    DecisionRecord {
        subject: Subject {
            principal: principal(agent, &[]),
            parent: None,
            operations: Operations::one(operation),
            action_digest: Digest::of_bytes(b"action"),
        },
        decision,
        answer: None,
        refusal: None,
        latency_us: 1,
    }
}

pub(crate) fn store(dir: &Path) -> Arc<Store> {
    limited(dir, SMALL)
}

pub(crate) fn limited(dir: &Path, limits: Limits) -> Arc<Store> {
    Store::open(dir.join("recordings"), limits, Arc::new(TestClock::new())).unwrap()
}

/// Records a session of these frames and seals it.
pub(crate) fn session(store: &Arc<Store>, id: u128, frames: &[(Channel, &[u8])]) -> Sealed {
    record(&store.sessions(), "claude", "pods/web", id, frames)
}

pub(crate) fn record(
    recorder: &dyn Recorder,
    agent: &str,
    resource: &str,
    id: u128,
    frames: &[(Channel, &[u8])],
) -> Sealed {
    let decided = decided(agent, resource, Recorded::Full);
    let mut recording = recorder.open(OperationId(id), &decided).unwrap();
    for (channel, bytes) in frames {
        recording.frame(*channel, bytes).unwrap();
    }
    recording.seal().unwrap().unwrap()
}

/// Reads what was recorded of an operation, and how it ends.
pub(crate) fn frames(dir: &Path, id: u128, offset: u64) -> (Vec<(Channel, Vec<u8>)>, End) {
    let path = iddio_record::store::path(&dir.join("recordings"), OperationId(id));
    let mut frames = Vec::new();
    let mut reader = read::open(&path).unwrap();
    let end = read::frames(&mut reader, OperationId(id), offset, |frame| {
        frames.push((frame.channel, frame.bytes.to_vec()));
        Ok(())
    });
    (frames, end.unwrap())
}
