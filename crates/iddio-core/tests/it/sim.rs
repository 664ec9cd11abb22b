//! Whole lives of operations, interleaved, with everything that can fail failing.
//!
//! Each seed runs several operations at once. A scheduler polls their futures in random order; the
//! log fails, lies, stalls and hangs; humans take their time or never answer; policy is reloaded
//! under them; the clock jumps, the machine sleeps; any future may be dropped at any await.
//!
//! Invariants, for every seed:
//! 1. Nothing is forwarded unless a durable record that allows this very action stands in the log.
//! 2. Nothing is forwarded twice.
//! 3. After recovery the log verifies with no finding: every debt has ended.
//! 4. Every refusal a caller was told of is recorded, and none was forwarded.
//! 5. A grant leads to at most one forwarding, and only of what was asked.
//! 6. Nothing is forwarded at a tier looser than the one policy decided.
//!
//! `seeds.txt` lists the seeds that once failed; they run first.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    pin::Pin,
    rc::Rc,
    sync::{Arc, Mutex},
    task::Poll,
};

use iddio_core::{
    BoxFuture,
    approval::{Answer, Approver, Ask},
    audit::{Body, End, Outcome, line::Kind},
    digest::Digest,
    operation::OperationId,
    pipeline::{Committed, Pipeline, Session},
    policy::{Decision, Obligations, Verdict},
    recording::Channel,
    tier::Tier,
    time::{Clock as _, Moment, Timestamp},
};
use iddio_testkit::{
    Dice, Fault, MemorySink, Mint, Reply, ScriptedFreezer, ScriptedPolicy, Tape, TapeState,
    TestAction, TestClock, caller, decision, operation, poll_once,
};

/// How many seeds are run; `IDDIO_TORTURE` multiplies it.
const SEEDS: u64 = 10_000;

#[test]
fn invariants_hold_for_every_seed() {
    let times = std::env::var("IDDIO_TORTURE").ok().and_then(|times| times.parse().ok());
    let seeds = SEEDS * times.unwrap_or(1);
    let known = include_str!("seeds.txt").lines().filter_map(|line| line.parse().ok());
    let mut total = Tally::default();
    for seed in known.chain(0..seeds) {
        let run = std::panic::AssertUnwindSafe(|| run(seed));
        match std::panic::catch_unwind(run) {
            Ok(tally) => total.add(&tally),
            Err(_) => panic!("seed {seed} fails: add it to seeds.txt"),
        }
    }
    // A simulation in which little happens proves little.
    let Tally { forwarded, refused, asked, granted, lapsed, dropped, failed, within } = total;
    let enough = |count: u64, per_thousand: u64| seeds * per_thousand / 1_000 < count;
    assert!(enough(forwarded, 400), "{total:?}");
    assert!(enough(refused, 800), "{total:?}");
    assert!(enough(asked, 800), "{total:?}");
    assert!(enough(granted, 40), "{total:?}");
    assert!(enough(lapsed, 100), "{total:?}");
    assert!(enough(dropped, 300), "{total:?}");
    assert!(enough(failed, 200), "{total:?}");
    assert!(enough(within, 20), "{total:?}");
}

/// What came about.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    forwarded: u64,
    refused: u64,
    asked: u64,
    granted: u64,
    lapsed: u64,
    dropped: u64,
    failed: u64,
    within: u64,
}

impl Tally {
    fn add(&mut self, other: &Self) {
        let Self { forwarded, refused, asked, granted, lapsed, dropped, failed, within } = other;
        self.forwarded += forwarded;
        self.refused += refused;
        self.asked += asked;
        self.granted += granted;
        self.lapsed += lapsed;
        self.dropped += dropped;
        self.failed += failed;
        self.within += within;
    }
}

/// One seed's world.
struct World {
    dice: Dice,
    sink: Arc<MemorySink>,
    clock: Arc<TestClock>,
    policy: Arc<ScriptedPolicy>,
    humans: Arc<Humans>,
    pipeline: Pipeline,
    sessions: RefCell<Vec<Session>>,
    /// What was forwarded: by id, the digest of the action.
    forwarded: RefCell<HashMap<OperationId, Digest>>,
    /// Whom a refusal was told.
    refused: RefCell<Vec<OperationId>>,
    tally: Cell<Tally>,
}

type Life = Pin<Box<dyn Future<Output = ()>>>;

fn run(seed: u64) -> Tally {
    let world = Rc::new(World::new(seed));
    let mut lives: Vec<Life> = (0..2 + world.dice.below(5))
        .map(|n| Box::pin(life(world.clone(), u128::from(n) + 1)) as Life)
        .collect();
    for _ in 0..STEPS_MAX {
        if lives.is_empty() {
            break;
        }
        world.disturb();
        let place = world.dice.index(lives.len());
        let gone = world.dice.one_in(60);
        let done = gone || matches!(poll_once(lives[place].as_mut()), Poll::Ready(()));
        if done {
            drop(lives.swap_remove(place));
        }
        if gone {
            world.count(|tally| tally.dropped += 1);
        }
    }
    // Who still waits goes away.
    let waiting = lives.len() as u64;
    world.count(|tally| tally.dropped += waiting);
    drop(lives);
    world.check();
    world.tally.get()
}

impl World {
    fn new(seed: u64) -> Self {
        let dice = Dice::new(seed);
        let sink = Arc::new(MemorySink::default());
        let clock = Arc::new(TestClock::new());
        let policy = Arc::new(ScriptedPolicy::new(rule(dice.next())));
        let freezer = Arc::new(ScriptedFreezer::nobody());
        let humans = Arc::new(Humans {
            dice: Mutex::new(dice.next()),
            clock: clock.clone(),
            asked: Mutex::default(),
            told: Mutex::default(),
        });
        let pipeline = Pipeline {
            freezer: freezer.clone(),
            policy: policy.clone(),
            approver: humans.clone(),
            sink: sink.clone(),
            clock: clock.clone(),
        };
        let (sessions, forwarded, refused) = Default::default();
        let tally = Cell::default();
        Self { dice, sink, clock, policy, humans, pipeline, sessions, forwarded, refused, tally }
    }

    fn count(&self, add: impl FnOnce(&mut Tally)) {
        let mut tally = self.tally.get();
        add(&mut tally);
        self.tally.set(tally);
    }

    /// Lets the world move between two polls.
    fn disturb(&self) {
        let dice = &self.dice;
        match dice.below(24) {
            0 => self.policy.reload(rule(dice.next())),
            1..=4 => self.clock.advance(dice.below(20_000)),
            5 => self.clock.set_wall(Timestamp(dice.next() >> dice.below(20))),
            6 if dice.one_in(8) => self.clock.reboot(),
            // A lid is closed for an hour.
            7 if dice.one_in(4) => self.clock.advance(3_600_000),
            8 | 9 => self.sink.fail_next([*dice.pick(&FAULTS)]),
            10 if dice.one_in(2) => self.sink.heal(),
            11 => self.sink.recover(),
            _ => {}
        }
    }

    /// Notes a forwarding, after checking that it may happen.
    fn forward(&self, id: OperationId, action: &TestAction) {
        let digest = Digest::of(action);
        let noted = self.sink.noted();
        let records: Vec<_> = noted
            .iter()
            .filter(|noted| noted.id == id)
            .filter_map(|noted| match noted.entry.as_ref().map(|entry| &entry.body) {
                Some(Body::Decided(record)) => Some(record.clone()),
                _ => None,
            })
            .collect();
        assert_eq!(records.len(), 1, "decided once");
        let record = &records[0];
        assert_eq!(record.refusal, None);
        assert_eq!(record.subject.action_digest, digest);
        assert_ne!(record.decision.verdict, Verdict::Deny);
        let native = action.operations.native_tier();
        assert!(record.decision.effective <= native);
        assert!(native != Tier::BreakGlass || record.decision.effective == native);
        if record.decision.verdict == Verdict::Escalate {
            assert!(matches!(record.answer, Some(Answer::Grant(_))));
        }
        if let Some(Answer::Grant(grants)) = &record.answer {
            // Each grant answers an ask of this operation that was recorded before it.
            let asked = self.humans.asked.lock().unwrap();
            assert!(!grants.is_empty());
            assert!(asked.iter().any(|ask| ask.id == id && ask.action_digest == digest));
            let told = self.humans.told.lock().unwrap().get(&id).copied();
            assert_eq!(told, Some(Told::Yes), "forwarded on an answer that is no yes");
            self.count(|tally| tally.granted += 1);
        }
        let before = self.forwarded.borrow_mut().insert(id, digest);
        assert_eq!(before, None, "forwarded once");
        self.count(|tally| tally.forwarded += 1);
    }

    fn check(&self) {
        self.sink.heal();
        self.sink.recover();
        let story = self.sink.story();
        assert_eq!(story.findings, []);
        let noted = self.sink.noted();
        for id in self.refused.borrow().iter() {
            assert!(noted.iter().any(|noted| noted.id == *id && noted.kind == Kind::Denied));
            assert!(!self.forwarded.borrow().contains_key(id));
        }
        for ask in self.humans.asked.lock().unwrap().iter() {
            let recorded =
                noted.iter().any(|noted| match noted.entry.as_ref().map(|it| &it.body) {
                    Some(Body::Asked(record)) => {
                        noted.id == ask.id && record.ask_digest == ask.digest()
                    }
                    _ => false,
                });
            assert!(recorded, "asked without a record");
            self.count(|tally| tally.asked += 1);
        }
        for noted in &noted {
            // An allowed operation is never refused later, nor the other way round.
            let kinds = self.sink.kinds(noted.id);
            let decided = kinds.iter().filter(|kind| matches!(kind, Kind::Allowed | Kind::Denied));
            assert!(decided.count() <= 1, "{kinds:?}");
        }
    }
}

/// One operation from its request to its end, however that looks.
async fn life(world: Rc<World>, n: u128) {
    let id = OperationId(n);
    let action = action(&world.dice, n);
    let asked = world.clock.now();
    let request = match world.inner_request(id, asked, &action) {
        Some(request) => request,
        None => iddio_core::pipeline::Request::new(&caller("agent-1"), id, asked, action),
    };
    let warrant = match world.pipeline.admit(request).await {
        Ok(Committed::Warrant(warrant)) => warrant,
        Ok(Committed::Rejection(rejection)) => {
            world.refused.borrow_mut().push(id);
            let lapse = rejection.reason() == iddio_core::audit::Refusal::Lapse;
            world.count(|tally| tally.refused += 1);
            world.count(|tally| tally.lapsed += u64::from(lapse));
            return;
        }
        Err(_) => return world.count(|tally| tally.failed += 1),
    };
    let mint = *world.dice.pick(&[Mint::Works, Mint::Works, Mint::Works, Mint::Refuses]);
    world.pause().await;
    let Ok(permit) = warrant.mint(&mint).await else { return };
    world.pause().await;
    let tape =
        *world.dice.pick(&[TapeState::Works, TapeState::Works, TapeState::Closed, TapeState::Full]);
    let Ok((action, _, mut flight)) = permit.exercise(&Tape::new(tape)).await else { return };
    world.sessions.borrow_mut().push(flight.session());
    if flight.frame(Channel::Request, &action.body).is_err() {
        let _ = flight.close(End::of(Outcome::NotForwarded)).await;
        return;
    }
    world.forward(id, &action);
    world.pause().await;
    let _ = flight.close(End::of(Outcome::Forwarded)).await;
}

impl World {
    /// Makes a request within a session, now and then, and checks that a dead one takes none.
    fn inner_request(
        &self,
        id: OperationId,
        asked: Moment,
        action: &TestAction,
    ) -> Option<iddio_core::pipeline::Request<TestAction>> {
        let session = self.sessions.borrow().last().cloned().filter(|_| self.dice.one_in(2))?;
        let request =
            iddio_core::pipeline::Request::within(&session, id, asked, action.clone()).ok()?;
        let ended = self.sink.kinds(session.id()).contains(&Kind::Closed);
        let orphaned = self.sink.orphans().contains(&session.id());
        // The end of a session may be written just before it is known; never after it was given up.
        assert!(!orphaned || !ended);
        self.count(|tally| tally.within += 1);
        Some(request)
    }

    /// Is pending for some polls.
    async fn pause(&self) {
        let mut left = self.dice.below(4);
        std::future::poll_fn(|_| match left {
            0 => Poll::Ready(()),
            _ => {
                left -= 1;
                Poll::Pending
            }
        })
        .await;
    }
}

/// People who think for a while of the world's time, or never answer.
struct Humans {
    dice: Mutex<u64>,
    clock: Arc<TestClock>,
    asked: Mutex<Vec<Ask>>,
    /// What was answered last, by operation.
    told: Mutex<HashMap<OperationId, Told>>,
}

/// What an answer is worth, as the one who gave it knows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Told {
    /// In time, by somebody else, to this question.
    Yes,
    /// Anything else.
    No,
}

impl Approver for Humans {
    fn ask<'a>(&'a self, ask: &'a Ask) -> BoxFuture<'a, Answer> {
        self.asked.lock().unwrap().push(ask.clone());
        let dice = {
            let mut seed = self.dice.lock().unwrap();
            *seed = seed.wrapping_add(1);
            Dice::new(*seed)
        };
        let reply = dice.pick(&REPLIES).clone();
        let thought = match dice.below(4) {
            0 => 0,
            1 => 1_200_000,
            _ => dice.below(60_000),
        };
        let until = self.clock.now().plus_millis(thought);
        let honest = dice.one_in(2);
        Box::pin(std::future::poll_fn(move |_| {
            let now = self.clock.now();
            // Some channels notice that an ask lapsed; others answer late, and are not believed.
            if honest && now.boot.until(ask.lapses.boot).is_none() {
                return Poll::Ready(Answer::Lapse);
            }
            if now.boot.until(until.boot).is_some() {
                return Poll::Pending;
            }
            let kind = matches!(reply, Reply::Yes | Reply::YesOfTwo);
            let timely = now.boot.boot_id == ask.lapses.boot.boot_id
                && now.boot.millis < ask.lapses.boot.millis;
            let told = if kind && timely { Told::Yes } else { Told::No };
            self.told.lock().unwrap().insert(ask.id, told);
            reply.answer(ask).map_or(Poll::Pending, Poll::Ready)
        }))
    }
}

/// A policy drawn from `seed`: for each tier some verdict, some obligations.
fn rule(seed: u64) -> impl Fn(&iddio_core::policy::Query<'_>) -> Decision + Send + Sync {
    let dice = Dice::new(seed);
    let verdicts: [Verdict; 5] = std::array::from_fn(|_| {
        use Verdict::{Allow, Deny, Escalate};
        *dice.pick(&[Allow, Allow, Deny, Escalate, Escalate])
    });
    let lowered = dice.one_in(6);
    let obligations = Arc::new(Obligations {
        required_approvers: u8::try_from(dice.below(3)).unwrap_or(0),
        ask_millis: dice.one_in(2).then(|| 1_000 + dice.below(60_000)),
        ..Obligations::NONE
    });
    move |query| {
        let native = query.operation.native_tier();
        let effective = if lowered { Tier::Operate } else { native };
        let verdict = verdicts[usize::from(native.number())];
        Decision { obligations: obligations.clone(), ..decision(verdict, effective) }
    }
}

fn action(dice: &Dice, n: u128) -> TestAction {
    let tier = *dice.pick(&Tier::ALL);
    TestAction::new(&n.to_le_bytes(), operation(tier))
}

const FAULTS: [Fault; 8] = [
    Fault::Fail,
    Fault::Fail,
    Fault::FailAfterWrite,
    Fault::Hang,
    Fault::HangBeforeWrite,
    Fault::Lie,
    Fault::Slow,
    Fault::Slow,
];

const REPLIES: [Reply; 9] = [
    Reply::Yes,
    Reply::Yes,
    Reply::YesOfTwo,
    Reply::YesOfTwo,
    Reply::No,
    Reply::Forge,
    Reply::OwnYes,
    Reply::Hang,
    Reply::Lapse,
];

/// How many polls a seed gets. Whoever still waits then goes away.
const STEPS_MAX: usize = 160;
