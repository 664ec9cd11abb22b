//! A pipeline on the test's bench: every part within reach.

use std::sync::Arc;

use iddio_core::{
    approval::{Ask, Vouched},
    audit::{AuditError, End, Outcome, Refusal, line::Kind},
    pipeline::{Committed, InFlight, Pipeline, Request, Warrant},
    policy::{Decision, Obligations, Verdict},
    recording::Channel,
    tier::Tier,
    time::{Clock as _, Moment},
};
use iddio_testkit::{
    MemorySink, Mint, Reply, ScriptedApprover, ScriptedFreezer, ScriptedPolicy, Tape, TapeState,
    TestAction, TestClock, block_on, decision, id, request,
};

/// The id every single request of these tests has.
pub(crate) const ID: u128 = 1;

pub(crate) struct Bench {
    pub(crate) approver: Arc<ScriptedApprover>,
    pub(crate) freezer: Arc<ScriptedFreezer>,
    pub(crate) sink: Arc<MemorySink>,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) pipeline: Pipeline,
}

impl Bench {
    pub(crate) fn new(policy: ScriptedPolicy, reply: Reply) -> Self {
        Self::scripted(policy, [reply])
    }

    pub(crate) fn scripted(
        policy: ScriptedPolicy,
        replies: impl IntoIterator<Item = Reply>,
    ) -> Self {
        let approver = Arc::new(ScriptedApprover::new(replies));
        let sink = Arc::new(MemorySink::default());
        let clock = Arc::new(TestClock::new());
        let freezer = Arc::new(ScriptedFreezer::nobody());
        let pipeline = Pipeline {
            freezer: freezer.clone(),
            policy: Arc::new(policy),
            approver: approver.clone(),
            sink: sink.clone(),
            clock: clock.clone(),
        };
        Self { approver, freezer, sink, clock, pipeline }
    }

    pub(crate) fn now(&self) -> Moment {
        self.clock.now()
    }

    pub(crate) fn admit(&self, action: TestAction) -> Result<Committed<TestAction>, AuditError> {
        self.admit_request(request(ID, self.now(), action))
    }

    pub(crate) fn admit_request(
        &self,
        request: Request<TestAction>,
    ) -> Result<Committed<TestAction>, AuditError> {
        block_on(self.pipeline.admit(request))
    }

    #[track_caller]
    pub(crate) fn warrant(&self, action: TestAction) -> Warrant<TestAction> {
        match self.admit(action).unwrap() {
            Committed::Warrant(warrant) => warrant,
            Committed::Rejection(rejection) => panic!("refused: {}", rejection.reason()),
        }
    }

    #[track_caller]
    pub(crate) fn in_flight(&self, action: TestAction) -> InFlight {
        let permit = block_on(self.warrant(action).mint(&Mint::Works)).unwrap();
        let (_, _, flight) = block_on(permit.exercise(&Tape::new(TapeState::Works))).unwrap();
        flight
    }

    /// Takes `action` all the way and says why it was refused, if it was. The log must then tell a
    /// story without a finding.
    #[track_caller]
    pub(crate) fn run(&self, action: TestAction) -> Result<(), Refusal> {
        self.run_request(request(ID, self.now(), action))
    }

    #[track_caller]
    pub(crate) fn run_request(&self, request: Request<TestAction>) -> Result<(), Refusal> {
        let result = match self.admit_request(request).unwrap() {
            Committed::Rejection(rejection) => Err(rejection.reason()),
            Committed::Warrant(warrant) => {
                let permit = block_on(warrant.mint(&Mint::Works)).unwrap();
                let tape = Tape::new(TapeState::Works);
                let (action, credential, mut flight) = block_on(permit.exercise(&tape)).unwrap();
                let expect = format!("token for {}", String::from_utf8_lossy(&action.body));
                assert_eq!(credential, expect);
                flight.frame(Channel::Request, &action.body).unwrap();
                let _closed = block_on(flight.close(End::of(Outcome::Forwarded))).unwrap();
                Ok(())
            }
        };
        self.assert_sound();
        result
    }

    #[track_caller]
    pub(crate) fn assert_sound(&self) {
        assert_eq!(self.sink.orphans(), []);
        assert_eq!(self.sink.story().findings, []);
    }

    pub(crate) fn kinds(&self) -> Vec<Kind> {
        self.sink.kinds(id(ID))
    }
}

/// Escalates at `tier`, with `obligations`.
pub(crate) fn escalate(tier: Tier, obligations: Obligations) -> Decision {
    Decision { obligations: Arc::new(obligations), ..decision(Verdict::Escalate, tier) }
}

/// Runs one action at `tier` under a policy that escalates, answered by `reply`.
#[track_caller]
pub(crate) fn asked(tier: Tier, obligations: Obligations, reply: Reply) -> Result<(), Refusal> {
    let policy = ScriptedPolicy::new(move |_| escalate(tier, obligations.clone()));
    Bench::new(policy, reply).run(TestAction::at(tier))
}

/// A reply of grants, made from the ask.
pub(crate) fn grants(make: impl Fn(&Ask) -> Vec<Vouched> + Send + Sync + 'static) -> Reply {
    Reply::Grants(Arc::new(make))
}
