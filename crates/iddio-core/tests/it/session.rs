//! Requests within an operation.

use iddio_core::{
    audit::{Body, End, Outcome},
    operation::OperationId,
    pipeline::{Committed, Request},
    policy::Verdict,
    tier::Tier,
};
use iddio_testkit::{Reply, ScriptedPolicy, TestAction, block_on};

use crate::bench::{Bench, ID};

fn bench() -> Bench {
    Bench::new(ScriptedPolicy::always(Verdict::Allow), Reply::No)
}

#[test]
fn a_request_within_a_session_names_its_parent_and_its_principal() {
    let bench = bench();
    let flight = bench.in_flight(TestAction::at(Tier::Modify));
    let (session, now) = (flight.session(), bench.now());
    let inner = TestAction::at(Tier::Observe);
    let request = Request::within(&session, OperationId(2), now, inner).unwrap();
    let Committed::Warrant(warrant) = bench.admit_request(request).unwrap() else { panic!() };
    let subject = &warrant.record().subject;
    assert_eq!(subject.parent, Some(OperationId(ID)));
    assert_eq!(subject.principal.id.as_str(), "agent-1");
    let noted = bench.sink.noted();
    let Some(Body::Decided(record)) = noted[1].entry.as_ref().map(|entry| &entry.body) else {
        panic!();
    };
    assert_eq!(record.subject.parent, Some(OperationId(ID)));
}

#[test]
fn nothing_is_asked_within_a_session_that_has_ended() {
    let bench = bench();
    let flight = bench.in_flight(TestAction::at(Tier::Modify));
    let session = flight.session();
    let _closed = block_on(flight.close(End::of(Outcome::Forwarded))).unwrap();
    let inner = TestAction::at(Tier::Observe);
    let refused = Request::within(&session, OperationId(2), bench.now(), inner);
    assert_eq!(refused.err().unwrap().to_string(), "the session has ended");
}

#[test]
fn nothing_is_asked_within_a_session_that_was_dropped() {
    let bench = bench();
    let flight = bench.in_flight(TestAction::at(Tier::Modify));
    let session = flight.session();
    drop(flight);
    let inner = TestAction::at(Tier::Observe);
    assert!(Request::within(&session, OperationId(2), bench.now(), inner).is_err());
}
