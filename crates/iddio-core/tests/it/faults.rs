//! What happens when the log, the caller or the disk goes away at the worst moment.

use iddio_core::{
    audit::{Outcome, line::Kind, verify::Oddity},
    pipeline::Committed,
    policy::Verdict,
    tier::Tier,
};
use iddio_testkit::{
    Fault, Mint, Reply, ScriptedPolicy, Tape, TapeState, TestAction, block_on, cancel,
    cancel_after, request,
};

use crate::bench::{Bench, ID};

const FAULTS: [Fault; 3] = [Fault::Fail, Fault::FailAfterWrite, Fault::Lie];
const HANGS: [Fault; 2] = [Fault::Hang, Fault::HangBeforeWrite];

fn bench(verdict: Verdict) -> Bench {
    Bench::new(ScriptedPolicy::always(verdict), Reply::Yes)
}

fn action() -> TestAction {
    TestAction::at(Tier::Modify)
}

/// Recovers, and checks that the log tells of an end.
#[track_caller]
fn recovered(bench: &Bench, expect: &[Kind]) {
    bench.sink.heal();
    bench.sink.recover();
    assert_eq!(bench.kinds(), expect);
    bench.assert_sound();
}

#[test]
fn no_record_no_warrant() {
    for fault in FAULTS {
        let bench = bench(Verdict::Allow);
        bench.sink.fail_next([fault]);
        assert!(bench.admit(action()).is_err(), "{fault:?}");
        let stored: &[Kind] = match fault {
            Fault::Fail => &[],
            _ => &[Kind::Allowed, Kind::Closed],
        };
        recovered(&bench, stored);
    }
}

#[test]
fn no_record_no_refusal_either() {
    for fault in FAULTS {
        let bench = bench(Verdict::Deny);
        bench.sink.fail_next([fault]);
        assert!(bench.admit(action()).is_err(), "{fault:?}");
        let stored: &[Kind] = if fault == Fault::Fail { &[] } else { &[Kind::Denied] };
        recovered(&bench, stored);
    }
}

#[test]
fn no_record_of_the_ask_no_ask() {
    for fault in FAULTS {
        let bench = bench(Verdict::Escalate);
        bench.sink.fail_next([fault]);
        assert!(bench.admit(action()).is_err(), "{fault:?}");
        assert!(bench.approver.asked().is_empty());
        let stored: &[Kind] = if fault == Fault::Fail { &[] } else { &[Kind::Asked, Kind::Closed] };
        recovered(&bench, stored);
    }
}

#[test]
fn no_record_of_the_answer_no_warrant() {
    for fault in FAULTS {
        let bench = bench(Verdict::Escalate);
        bench.sink.fail_next([Fault::None, fault]);
        assert!(bench.admit(action()).is_err(), "{fault:?}");
        let stored: &[Kind] = match fault {
            Fault::Fail => &[Kind::Asked, Kind::Closed],
            _ => &[Kind::Asked, Kind::Allowed, Kind::Closed],
        };
        recovered(&bench, stored);
    }
}

#[test]
fn a_caller_who_leaves_during_an_append_leaves_nothing_open() {
    for hang in HANGS {
        for (before, verdict) in
            [(0, Verdict::Allow), (0, Verdict::Escalate), (1, Verdict::Escalate)]
        {
            let bench = bench(verdict);
            bench.sink.fail_next(std::iter::repeat_n(Fault::None, before).chain([hang]));
            cancel(bench.pipeline.admit(request(ID, bench.now(), action())));
            bench.sink.heal();
            bench.sink.recover();
            bench.assert_sound();
        }
    }
}

#[test]
fn a_caller_who_leaves_before_the_answer_withdraws_the_ask() {
    let bench = Bench::new(ScriptedPolicy::always(Verdict::Escalate), Reply::Hang);
    cancel(bench.pipeline.admit(request(ID, bench.now(), action())));
    assert_eq!(bench.sink.story().findings[0].what, Oddity::AskOpen);
    recovered(&bench, &[Kind::Asked, Kind::Closed]);
    assert_eq!(bench.sink.story().withdrawn, 1);
}

#[test]
fn a_caller_who_leaves_during_minting_is_closed() {
    let bench = bench(Verdict::Allow);
    let warrant = bench.warrant(action());
    cancel(warrant.mint(&Mint::Hangs));
    recovered(&bench, &[Kind::Allowed, Kind::Closed]);
    assert_eq!(bench.sink.story().abandoned, 1);
}

#[test]
fn every_state_that_is_dropped_is_closed() {
    let check = |drop_it: fn(&Bench)| {
        let bench = bench(Verdict::Allow);
        drop_it(&bench);
        assert_eq!(bench.sink.orphans().len(), 1);
        recovered(&bench, &[Kind::Allowed, Kind::Closed]);
        assert_eq!(bench.sink.story().abandoned, 1);
    };
    check(|bench| drop(bench.warrant(action())));
    check(|bench| drop(block_on(bench.warrant(action()).mint(&Mint::Works)).unwrap()));
    check(|bench| drop(bench.in_flight(action())));
}

#[test]
fn an_end_that_is_not_recorded_is_recovered() {
    for fault in FAULTS {
        let bench = bench(Verdict::Allow);
        let flight = bench.in_flight(action());
        bench.sink.fail_next([fault]);
        let end = iddio_core::audit::End::of(Outcome::Forwarded);
        assert!(block_on(flight.close(end)).is_err(), "{fault:?}");
        recovered(&bench, &[Kind::Allowed, Kind::Closed]);
    }
}

#[test]
fn a_failed_mint_whose_end_is_not_recorded_is_recovered() {
    for fault in FAULTS {
        let bench = bench(Verdict::Allow);
        let warrant = bench.warrant(action());
        bench.sink.fail_next([fault]);
        assert!(block_on(warrant.mint(&Mint::Refuses)).is_err());
        recovered(&bench, &[Kind::Allowed, Kind::Closed]);
    }
}

#[test]
fn a_failed_recording_whose_end_is_not_recorded_is_recovered() {
    for fault in FAULTS {
        let bench = bench(Verdict::Allow);
        let permit = block_on(bench.warrant(action()).mint(&Mint::Works)).unwrap();
        bench.sink.fail_next([fault]);
        assert!(block_on(permit.exercise(&Tape::new(TapeState::Closed))).is_err());
        recovered(&bench, &[Kind::Allowed, Kind::Closed]);
    }
}

#[test]
fn a_slow_disk_changes_nothing_and_may_be_left_at_any_poll() {
    for verdict in [Verdict::Allow, Verdict::Escalate, Verdict::Deny] {
        let mut finished = false;
        for polls in 1..20 {
            let bench = bench(verdict);
            bench.sink.fail_next([Fault::Slow, Fault::Slow]);
            let admitted =
                cancel_after(bench.pipeline.admit(request(ID, bench.now(), action())), polls);
            match &admitted {
                Some(Ok(Committed::Warrant(_) | Committed::Rejection(_))) => finished = true,
                Some(Err(error)) => panic!("{error}"),
                None => assert!(!finished, "{polls}"),
            }
            drop(admitted);
            bench.sink.heal();
            bench.sink.recover();
            bench.assert_sound();
        }
        assert!(finished);
    }
}

#[test]
fn a_recording_that_fills_up_stops_the_forwarding() {
    let bench = bench(Verdict::Allow);
    let permit = block_on(bench.warrant(action()).mint(&Mint::Works)).unwrap();
    let (_, _, mut flight) = block_on(permit.exercise(&Tape::new(TapeState::Full))).unwrap();
    assert!(flight.frame(iddio_core::recording::Channel::Request, b"x").is_err());
}
