//! The one pipeline, as a chain of types.
//!
//! ```text
//! Identified, A
//!   │ Request::new
//! Request ──classify──▶ Classified ──decide──▶ Decided ──approve──▶ Settled
//!                                                                     │ commit
//!                                        Rejection ◀── Committed ──▶ Warrant
//!                                                                     │ mint
//!                                Closed ◀──close── InFlight ◀──exercise── Permit
//! ```
//!
//! Each state is one struct with private fields. Each transition consumes the state before it, so
//! no state is used twice, and none is `Clone`. The only source of a [`Permit`] is a [`Warrant`];
//! the only source of a `Warrant` is [`Settled::commit`]; and `commit` returns only after the
//! decision is durable. A gateway that forwards without a recorded decision does not compile, nor
//! one that refuses without a recorded refusal, nor one that uses a permit twice: the
//! compile-fail tests of the workspace hold the messages.
//!
//! INVARIANT: from the moment a record may exist that has no end yet, a [`Debt`] exists too. It is
//! paid by the record of the end, or its `Drop` tells the sink. An operation cannot end in silence.
//!
//! What this module does not do: read a clock, draw an id, store, ask, mint or forward. Those are
//! the traits it is given.

use std::{
    fmt,
    future::poll_fn,
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{self, Poll},
};

use crate::{
    approval::{Answer, Approver, Ask, Grant},
    audit::{
        AskRecord, AuditError, AuditSink, Body, ClosedRecord, DecisionRecord, Durability, End,
        Entry, Outcome, Receipt, Refusal, Subject,
    },
    credential::{CredentialMinter, MintError},
    freeze::{Freezer, Hold},
    operation::{Action, Context, Effect, Operation, OperationId, Operations, action_digest},
    policy::{Decision, Evaluation, Obligations, OverrideVerdict, PolicyEvaluator, Query, Verdict},
    principal::{Identified, Principal},
    recording::{Channel, Recorder, Recording},
    tier::Tier,
    time::{Clock, Moment, Timestamp},
};

/// The authorities every gateway consults, in the one order there is.
///
/// [`Pipeline::admit`] is the paved path. The states below exist for tests, and for reading.
#[derive(Clone)]
pub struct Pipeline {
    /// Says who is stopped, before policy says anything.
    pub freezer: Arc<dyn Freezer>,
    /// Says whether.
    pub policy: Arc<dyn PolicyEvaluator>,
    /// Says yes or no when policy says to ask.
    pub approver: Arc<dyn Approver>,
    /// Remembers.
    pub sink: Arc<dyn AuditSink>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
}

/// A request from an identified caller.
#[must_use]
pub struct Request<A> {
    id: OperationId,
    asked: Moment,
    principal: Principal,
    parent: Option<OperationId>,
    action: A,
}

/// A request whose danger is known.
#[must_use]
pub struct Classified<A> {
    facts: Facts,
    action: A,
}

/// A request policy has spoken on.
#[must_use]
pub struct Decided<A> {
    facts: Facts,
    action: A,
    judged: Judged,
    decided: Moment,
}

/// A request that is either allowed or refused, which nobody may yet act on.
#[must_use]
pub struct Settled<A> {
    facts: Facts,
    action: A,
    settlement: Settlement,
    debt: Debt,
}

/// A settled request whose settlement is durable.
#[must_use]
pub enum Committed<A> {
    /// It may not go on, and the caller may now be told.
    Rejection(Rejection),
    /// It may go on.
    Warrant(Warrant<A>),
}

/// A durable decision not to forward. A gateway's refusal is made from one of these.
#[must_use]
pub struct Rejection {
    reason: Refusal,
    record: Arc<DecisionRecord>,
    receipt: Receipt,
}

/// A durable decision to forward `A`, and the debt of one outcome.
#[must_use]
pub struct Warrant<A> {
    action: A,
    duty: Duty,
    expires: Moment,
}

/// The right to forward `A` once, with the credential to do it.
#[must_use]
pub struct Permit<A, C> {
    action: A,
    credential: C,
    duty: Duty,
}

/// An operation that is being forwarded and recorded.
#[must_use]
pub struct InFlight {
    recording: Box<dyn Recording>,
    session: OpenSession,
    duty: Duty,
}

/// A handle to an operation in flight, for the requests made within it. Channel tasks share it.
#[derive(Clone)]
pub struct Session {
    id: OperationId,
    principal: Arc<Principal>,
    open: Arc<AtomicBool>,
}

/// What tells, from anywhere, whether an operation in flight may go on.
#[derive(Clone)]
pub struct Leash {
    record: Arc<DecisionRecord>,
    freezer: Arc<dyn Freezer>,
}

/// An operation that has ended and whose end is durable.
#[derive(Debug)]
#[must_use]
pub struct Closed(Receipt);

/// A request was made within a session that has ended.
#[derive(Debug)]
#[non_exhaustive]
pub struct SessionEnded;

// === impl Pipeline ===

impl Pipeline {
    /// Returns what holds `caller` now.
    pub fn hold(&self, caller: &Principal) -> Option<Hold> {
        self.freezer.look().hold(caller)
    }

    /// Takes `request` to a durable settlement.
    ///
    /// # Errors
    ///
    /// When a record cannot be stored: nothing was forwarded, and nothing may be.
    pub async fn admit<A: Action>(&self, request: Request<A>) -> Result<Committed<A>, AuditError> {
        let decided = request.classify().decide(self).await;
        decided.approve(self).await?.commit(self).await
    }
}

// === impl Request ===

impl<A: Action> Request<A> {
    /// Makes a request of `caller`, who was identified on the connection it came by.
    pub fn new(caller: &Identified, id: OperationId, asked: Moment, action: A) -> Self {
        Self { id, asked, principal: caller.principal().clone(), parent: None, action }
    }

    /// Makes a request inside another operation: a command inside a session.
    ///
    /// # Errors
    ///
    /// When the session has ended.
    pub fn within(
        session: &Session,
        id: OperationId,
        asked: Moment,
        action: A,
    ) -> Result<Self, SessionEnded> {
        if !session.open.load(Ordering::Acquire) {
            return Err(SessionEnded);
        }
        let principal = Principal::clone(&session.principal);
        Ok(Self { id, asked, principal, parent: Some(session.id), action })
    }

    /// Says that it belongs to the task that `caller` names, where the operation it is made within belongs to
    /// none: what was said outside stands.
    pub fn on_task_of(mut self, caller: &Identified) -> Self {
        if self.principal.task.is_none() {
            self.principal.task.clone_from(&caller.principal().task);
        }
        self
    }

    /// Describes the action and digests it.
    pub fn classify(self) -> Classified<A> {
        let Self { id, asked, principal, parent, action } = self;
        let operations = action.operations();
        let action_digest = action_digest(&action);
        let subject = Subject { principal, parent, operations, action_digest };
        let effects = action.effects();
        let context = action.context();
        Classified { facts: Facts { id, asked, subject, effects, context }, action }
    }
}

// === impl Classified ===

impl<A: Action> Classified<A> {
    /// Asks policy, once for each operation; the strictest verdict wins.
    pub async fn decide(self, pipeline: &Pipeline) -> Decided<A> {
        let Self { facts, action } = self;
        let judged = facts.judge(pipeline, facts.asked).await;
        Decided { facts, action, judged, decided: pipeline.clock.now() }
    }

    /// What was described.
    pub fn operations(&self) -> &Operations {
        &self.facts.subject.operations
    }
}

// === impl Decided ===

impl<A: Action> Decided<A> {
    /// Asks humans, if policy said to. An ask is durable before anyone sees it.
    ///
    /// # Errors
    ///
    /// When the ask cannot be recorded: nobody was asked.
    pub async fn approve(self, pipeline: &Pipeline) -> Result<Settled<A>, AuditError> {
        let Self { facts, action, judged, decided } = self;
        let latency_us = decided.wall.0.saturating_sub(facts.asked.wall.0);
        let mut debt = Debt::none(facts.id, pipeline.sink.clone());
        let (judged, answer, refusal) = match judged.refusal() {
            Some(refusal) => (judged, None, Some(refusal)),
            None if judged.decision.verdict == Verdict::Allow => (judged, None, None),
            None => consult(pipeline, &facts, judged, &mut debt).await?,
        };
        let settlement = Settlement { decision: judged.decision, answer, refusal, latency_us };
        Ok(Settled { facts, action, settlement, debt })
    }

    /// What policy said.
    pub fn decision(&self) -> &Decision {
        &self.judged.decision
    }

    /// What was described.
    pub fn operations(&self) -> &Operations {
        &self.facts.subject.operations
    }

    /// What a yes would do, worst first.
    pub fn effects(&self) -> &[Effect] {
        &self.facts.effects
    }
}

// === impl Settled ===

impl<A: Action> Settled<A> {
    /// Makes the settlement durable.
    ///
    /// # Errors
    ///
    /// When it cannot be stored: nothing was forwarded and nothing may be; the action is dropped.
    pub async fn commit(self, pipeline: &Pipeline) -> Result<Committed<A>, AuditError> {
        let Self { facts, action, settlement, mut debt } = self;
        let Settlement { decision, answer, refusal, latency_us } = settlement.now(pipeline, &facts);
        let durability = durability(&decision, facts.subject.operations.native_tier());
        let subject = facts.subject;
        let record = DecisionRecord { subject, decision, answer, refusal, latency_us };
        let record = Arc::new(record);
        // The debt is taken on before the write, and kept if the write fails or is cancelled: in
        // both cases the record may yet be durable, and only the sink can tell.
        debt.owe();
        let now = pipeline.clock.now();
        let receipt = debt.append(now.wall, Body::Decided(record.clone()), durability).await?;
        Ok(match refusal {
            Some(reason) => {
                debt.settled();
                Committed::Rejection(Rejection { reason, record, receipt })
            }
            None => {
                let expires = warrant_end(now, record.answer.as_ref());
                let clock = pipeline.clock.clone();
                let freezer = pipeline.freezer.clone();
                let duty = Duty { record, receipt, durability, clock, freezer, debt };
                Committed::Warrant(Warrant { action, duty, expires })
            }
        })
    }
}

// === impl Rejection ===

impl Rejection {
    /// Why.
    pub fn reason(&self) -> Refusal {
        self.reason
    }

    /// What was recorded.
    pub fn record(&self) -> &DecisionRecord {
        &self.record
    }

    /// Where the refusal is recorded. Shown to the caller, so that they can ask about it.
    pub fn receipt(&self) -> &Receipt {
        &self.receipt
    }
}

// === impl Warrant ===

impl<A> Warrant<A> {
    /// The request itself, for what a minter needs of it: a public key, an audience.
    pub fn action(&self) -> &A {
        &self.action
    }

    /// What was recorded. A minter scopes the credential to this, and no wider.
    pub fn record(&self) -> &DecisionRecord {
        &self.duty.record
    }

    /// Where the decision is recorded.
    pub fn receipt(&self) -> &Receipt {
        &self.duty.receipt
    }

    /// Exchanges the warrant for a permit.
    ///
    /// # Errors
    ///
    /// When no credential can be made, the warrant or a grant behind it has expired (a suspended
    /// machine), or the caller was frozen meanwhile. The operation is then closed as
    /// [`Outcome::NotForwarded`].
    pub async fn mint<M>(self, minter: &M) -> Result<Permit<A, M::Credential>, MintError>
    where
        M: CredentialMinter<A>,
    {
        let now = self.duty.clock.now();
        let minted = match now.boot.until(self.expires.boot) {
            Some(_) if self.duty.hold().is_some() => Err(MintError::Frozen),
            Some(_) => minter.mint(&self).await,
            None => Err(MintError::Expired),
        };
        let Self { action, duty, expires: _ } = self;
        match minted {
            Ok(credential) => Ok(Permit { action, credential, duty }),
            Err(error) => {
                let note = Some(error.to_string());
                // If this close fails too, dropping the debt reports it; the caller hears of the
                // first failure.
                let _ = duty.pay(End { note, ..End::of(Outcome::NotForwarded) }).await;
                Err(error)
            }
        }
    }
}

// === impl Permit ===

impl<A, C> Permit<A, C> {
    /// Spends the permit. The recording is open before the gateway holds the action.
    ///
    /// # Errors
    ///
    /// When no recording can be opened. The operation is then closed as [`Outcome::NotForwarded`].
    pub async fn exercise(self, recorder: &dyn Recorder) -> io::Result<(A, C, InFlight)> {
        let Self { action, credential, duty } = self;
        match recorder.open(duty.debt.id, &duty.record) {
            Ok(recording) => {
                let session = OpenSession(Session {
                    id: duty.debt.id,
                    principal: Arc::new(duty.record.subject.principal.clone()),
                    open: Arc::new(AtomicBool::new(true)),
                });
                Ok((action, credential, InFlight { recording, session, duty }))
            }
            Err(error) => {
                let note = Some(format!("no recording could be opened: {error}"));
                let _ = duty.pay(End { note, ..End::of(Outcome::NotForwarded) }).await;
                Err(error)
            }
        }
    }
}

// === impl InFlight ===

impl InFlight {
    /// Returns the leash. Whoever forwards looks at it before the first byte and whenever freezes
    /// change, and ends what is held.
    pub fn leash(&self) -> Leash {
        Leash { record: self.duty.record.clone(), freezer: self.duty.freezer.clone() }
    }

    /// Records one frame, without waiting and before its bytes are passed on. If this fails, stop
    /// forwarding.
    ///
    /// # Errors
    ///
    /// When the recording cannot take it.
    pub fn frame(&mut self, channel: Channel, bytes: &[u8]) -> io::Result<()> {
        self.recording.frame(channel, bytes)
    }

    /// Is ready once the recording has room. Wait for it before reading on; if it fails, stop
    /// forwarding.
    ///
    /// # Errors
    ///
    /// When the recording is lost.
    pub fn poll_room(&mut self, context: &mut task::Context<'_>) -> Poll<io::Result<()>> {
        self.recording.poll_room(context)
    }

    /// Waits until the recording has room. Wait for it before reading on; if it fails, stop
    /// forwarding.
    ///
    /// # Errors
    ///
    /// When the recording is lost.
    pub async fn room(&mut self) -> io::Result<()> {
        poll_fn(|context| self.poll_room(context)).await
    }

    /// Returns a handle for the requests made within this operation.
    pub fn session(&self) -> Session {
        self.session.0.clone()
    }

    /// What was recorded.
    pub fn record(&self) -> &DecisionRecord {
        &self.duty.record
    }

    /// Seals the recording and records the end. Requests within are refused from here on.
    ///
    /// # Errors
    ///
    /// When the end cannot be stored; the sink is then told that it is owed.
    pub async fn close(self, end: End) -> Result<Closed, AuditError> {
        let Self { recording, session, duty } = self;
        drop(session);
        let end = match recording.seal() {
            Ok(sealed) => End { recording: sealed.or(end.recording), ..end },
            Err(error) => {
                let lost = format!("recording could not be sealed: {error}");
                let note = end.note.map_or(lost.clone(), |note| format!("{note}; {lost}"));
                End { note: Some(note), ..end }
            }
        };
        duty.pay(end).await
    }
}

// === impl Session ===

impl Session {
    /// Which operation.
    pub fn id(&self) -> OperationId {
        self.id
    }
}

// === impl Leash ===

impl Leash {
    /// Returns what holds the caller now, or somebody whose yes the operation stands on.
    pub fn hold(&self) -> Option<Hold> {
        let DecisionRecord { subject, answer, .. } = self.record.as_ref();
        hold(self.freezer.as_ref(), &subject.principal, answer.as_ref())
    }
}

// === impl Closed ===

impl Closed {
    /// Where the end is recorded.
    pub fn receipt(&self) -> &Receipt {
        &self.0
    }
}

// === impl SessionEnded ===

impl fmt::Display for SessionEnded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the session has ended")
    }
}

impl std::error::Error for SessionEnded {}

/// What is known from the first moment and never changes.
struct Facts {
    id: OperationId,
    asked: Moment,
    subject: Subject,
    effects: Vec<Effect>,
    context: Context,
}

/// What policy said, and whether it may say so.
struct Judged {
    decision: Decision,
    standing: Standing,
}

/// Whether policy kept to the tiers it may give.
#[derive(Clone, Copy)]
enum Standing {
    Frozen,
    Misjudged,
    Sound,
}

/// Everything about a request but the request.
struct Settlement {
    decision: Decision,
    answer: Option<Answer>,
    refusal: Option<Refusal>,
    latency_us: u64,
}

/// The debt of one outcome, and what its record will repeat.
struct Duty {
    record: Arc<DecisionRecord>,
    receipt: Receipt,
    durability: Durability,
    clock: Arc<dyn Clock>,
    freezer: Arc<dyn Freezer>,
    debt: Debt,
}

/// The duty to record one outcome. Dropping it unpaid tells the sink.
struct Debt {
    id: OperationId,
    sink: Arc<dyn AuditSink>,
    owed: bool,
}

/// The one owner of a session. A session ends when this is dropped, however that comes about.
struct OpenSession(Session);

impl Drop for OpenSession {
    fn drop(&mut self) {
        self.0.open.store(false, Ordering::Release);
    }
}

// === impl Facts ===

impl Facts {
    /// Asks who is frozen, and then policy.
    async fn judge(&self, pipeline: &Pipeline, now: Moment) -> Judged {
        if let Some(hold) = pipeline.freezer.look().hold(&self.subject.principal) {
            return self.frozen(pipeline, &hold);
        }
        let (first, rest) = self.subject.operations.split_first();
        let mut judged = self.judge_one(pipeline, first, now).await;
        for operation in rest {
            let other = self.judge_one(pipeline, operation, now).await;
            judged = judged.join(other);
        }
        judged
    }

    /// Returns the denial of a caller who is held. Policy is not asked.
    fn frozen(&self, pipeline: &Pipeline, hold: &Hold) -> Judged {
        let decision = Decision {
            verdict: Verdict::Deny,
            effective: self.subject.operations.native_tier(),
            overrides: OverrideVerdict::Held,
            rule: hold.rule().into(),
            runbook: None,
            reason: Some(hold.reason().into()),
            obligations: Arc::new(Obligations::NONE),
            policy: pipeline.policy.version(),
        };
        Judged { decision, standing: Standing::Frozen }
    }

    async fn judge_one(&self, pipeline: &Pipeline, operation: &Operation, now: Moment) -> Judged {
        let query = Query { principal: &self.subject.principal, operation, now };
        let decision = match pipeline.policy.evaluate(&query) {
            Evaluation::Now(decision) => decision,
            Evaluation::Later(decision) => decision.await,
        };
        let standing = standing(operation, &decision);
        Judged { decision, standing }
    }

    fn ask(&self, decision: Decision, asked: Moment) -> Ask {
        let wait = decision.obligations.ask_millis.unwrap_or(ASK_MILLIS_DEFAULT);
        Ask {
            id: self.id,
            principal: self.subject.principal.clone(),
            action_digest: self.subject.action_digest,
            operations: self.subject.operations.clone(),
            effects: self.effects.clone(),
            context: self.context.clone(),
            decision,
            asked,
            lapses: asked.plus_millis(wait.min(ASK_MILLIS_MAX)),
        }
    }

    fn ask_record(&self, ask: &Ask) -> AskRecord {
        AskRecord {
            subject: self.subject.clone(),
            decision: ask.decision.clone(),
            ask_digest: ask.digest(),
            lapses: ask.lapses.wall,
        }
    }
}

// === impl Judged ===

impl Judged {
    fn join(self, other: Self) -> Self {
        let standing = match (self.standing, other.standing) {
            (Standing::Sound, Standing::Sound) => Standing::Sound,
            (Standing::Frozen, _) | (_, Standing::Frozen) => Standing::Frozen,
            (Standing::Misjudged, _) | (_, Standing::Misjudged) => Standing::Misjudged,
        };
        Self { decision: self.decision.join(other.decision), standing }
    }

    /// Why nobody needs to be asked: a freeze, a denial, or a tier policy may not give.
    fn refusal(&self) -> Option<Refusal> {
        match (self.standing, self.decision.verdict) {
            (Standing::Frozen, _) => Some(Refusal::Frozen),
            (Standing::Misjudged, _) => Some(Refusal::Misjudged),
            (Standing::Sound, Verdict::Deny) => Some(Refusal::Policy),
            (Standing::Sound, Verdict::Allow | Verdict::Escalate) => None,
        }
    }
}

// === impl Settlement ===

impl Settlement {
    /// Returns itself, or the refusal of a caller who was frozen since, or of one who needed the yes
    /// of somebody who was.
    fn now(self, pipeline: &Pipeline, facts: &Facts) -> Self {
        if self.refusal.is_some() {
            return self;
        }
        match hold(pipeline.freezer.as_ref(), &facts.subject.principal, self.answer.as_ref()) {
            None => self,
            Some(hold) => {
                let decision = facts.frozen(pipeline, &hold).decision;
                Self { decision, refusal: Some(Refusal::Frozen), ..self }
            }
        }
    }
}

// === impl Duty ===

impl Duty {
    /// Returns what holds the caller, or somebody whose yes it stands on.
    fn hold(&self) -> Option<Hold> {
        let DecisionRecord { subject, answer, .. } = self.record.as_ref();
        hold(self.freezer.as_ref(), &subject.principal, answer.as_ref())
    }

    async fn pay(self, end: End) -> Result<Closed, AuditError> {
        let Self { record, receipt, durability, clock, freezer: _, mut debt } = self;
        let closed = ClosedRecord { decided_seq: receipt.seq(), decided: record, end };
        let receipt = debt.append(clock.now().wall, Body::Closed(closed), durability).await?;
        debt.settled();
        Ok(Closed(receipt))
    }
}

// === impl Debt ===

impl Debt {
    fn none(id: OperationId, sink: Arc<dyn AuditSink>) -> Self {
        Self { id, sink, owed: false }
    }

    fn owe(&mut self) {
        self.owed = true;
    }

    fn settled(&mut self) {
        self.owed = false;
    }

    async fn append(
        &self,
        at: Timestamp,
        body: Body,
        durability: Durability,
    ) -> Result<Receipt, AuditError> {
        let entry = Entry { id: self.id, at, body };
        let receipt = self.sink.append(&entry, durability).await?;
        // Pair assertion: the sink checks what it writes, we check what it vouches for. A receipt
        // for some other entry is no receipt for this one.
        match receipt.id() == self.id {
            true => Ok(receipt),
            false => Err(AuditError::not_stored("the sink vouched for another record")),
        }
    }
}

impl Drop for Debt {
    fn drop(&mut self) {
        if self.owed {
            self.sink.orphan(self.id);
        }
    }
}

/// Asks humans until an answer stands or there is none, and returns the decision it stands under.
///
/// Policy may move while they think: it is asked again, and the answer stands only if the fresh
/// decision is no stricter; a denial wins; anything between is asked anew.
async fn consult(
    pipeline: &Pipeline,
    facts: &Facts,
    mut judged: Judged,
    debt: &mut Debt,
) -> Result<(Judged, Option<Answer>, Option<Refusal>), AuditError> {
    for _ in 0..ASKS_MAX {
        let ask = facts.ask(judged.decision.clone(), pipeline.clock.now());
        debt.owe();
        let record = Body::Asked(Arc::new(facts.ask_record(&ask)));
        let _asked = debt.append(ask.asked.wall, record, Durability::Sync).await?;
        let answer = pipeline.approver.ask(&ask).await;
        let now = pipeline.clock.now();
        // However the wait ended: a freeze that came meanwhile is why it comes to nothing.
        if let Some(hold) = pipeline.freezer.look().hold(&facts.subject.principal) {
            return Ok((facts.frozen(pipeline, &hold), Some(answer), Some(Refusal::Frozen)));
        }
        if let Some(refusal) = refusal(&ask, &answer, now) {
            return Ok((judged, Some(answer), Some(refusal)));
        }
        let fresh = facts.judge(pipeline, now).await;
        if let Some(refusal) = fresh.refusal() {
            return Ok((fresh, Some(answer), Some(refusal)));
        }
        if judged.decision.covers(&fresh.decision) {
            return Ok((fresh, Some(answer), None));
        }
        judged = fresh;
    }
    Ok((judged, None, Some(Refusal::PolicyMoved)))
}

/// Returns why `answer` is not a yes to `ask`, or `None` if it is.
fn refusal(ask: &Ask, answer: &Answer, now: Moment) -> Option<Refusal> {
    match answer {
        Answer::Grant(grants) => match now.boot.until(ask.lapses.boot) {
            Some(_) => ask.objection(grants, now).map(Refusal::Grant),
            None => Some(Refusal::Lapse),
        },
        Answer::Lapse => Some(Refusal::Lapse),
        Answer::Refuse { .. } => Some(Refusal::Approver),
        Answer::Withdraw => Some(Refusal::Withdrawn),
    }
}

/// Returns what holds the caller, or somebody whose yes it stands on.
fn hold(freezer: &dyn Freezer, principal: &Principal, answer: Option<&Answer>) -> Option<Hold> {
    let frozen = freezer.look();
    let silence = || granted(answer).iter().find_map(|grant| frozen.silence(grant));
    frozen.hold(principal).or_else(silence)
}

fn granted(answer: Option<&Answer>) -> &[Grant] {
    match answer {
        Some(Answer::Grant(grants)) => grants,
        Some(Answer::Lapse | Answer::Refuse { .. } | Answer::Withdraw) | None => &[],
    }
}

/// Whether policy gave the operation a tier it may have. A runbook may lower a tier, except the top
/// one; a granted override lifts what it raised; nothing may raise a tier here, since
/// classification has already joined all there is.
fn standing(operation: &Operation, decision: &Decision) -> Standing {
    let native = match decision.overrides {
        OverrideVerdict::Granted => operation.tier,
        OverrideVerdict::Held => operation.native_tier(),
    };
    let raised = native < decision.effective;
    let lowered_top = native == Tier::BreakGlass && decision.effective != native;
    if raised || lowered_top { Standing::Misjudged } else { Standing::Sound }
}

/// Returns what the tier asks for, or more if policy does. A tier that a runbook lowered counts as
/// it is by nature.
fn durability(decision: &Decision, native: Tier) -> Durability {
    let by_tier = Durability::of(decision.effective.join(native));
    decision.obligations.durability.map_or(by_tier, |named| named.max(by_tier))
}

/// Returns when a warrant ends: with the first grant behind it, and soon in any case.
fn warrant_end(now: Moment, answer: Option<&Answer>) -> Moment {
    let grants = granted(answer);
    let soon = now.plus_millis(WARRANT_MILLIS_MAX);
    let ends = grants.iter().map(Grant::expires);
    ends.fold(soon, |first, end| if end.boot.millis < first.boot.millis { end } else { first })
}

/// How long an ask waits where neither policy nor the channel says otherwise: 15 minutes.
pub const ASK_MILLIS_DEFAULT: u64 = 15 * 60 * 1_000;

/// The longest an ask may wait, whatever policy says: a day. A forgotten ask must end.
pub const ASK_MILLIS_MAX: u64 = 24 * 60 * 60 * 1_000;

/// How often one request may be put to humans, when policy keeps moving under them.
pub const ASKS_MAX: usize = 3;

/// How long a warrant may wait for its credential: a minute. Longer means a suspended machine.
pub const WARRANT_MILLIS_MAX: u64 = 60 * 1_000;
