//! What the tests share: entries, a clock, a way to wait.

use std::{
    future::Future,
    path::Path,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    thread::Thread,
};

use iddio_audit::{Log, Options};
use iddio_core::{
    audit::{
        AskRecord, AuditError, AuditSink, Body, ClosedRecord, DecisionRecord, Durability, End,
        Entry, Outcome, Receipt, Refusal, Subject,
    },
    digest::Digest,
    operation::{
        Description, Operation, OperationId, Operations, Pattern, Protocol, Reason, Scopes,
    },
    policy::{Decision, Obligations, OverrideVerdict, Verdict},
    principal::{Principal, PrincipalId, PrincipalKind, Proof},
    text::RawText,
    tier::{Class, Tier},
    time::{BootTime, Clock, Moment, Timestamp},
};

/// A clock that moves a microsecond with every look, in the boot it is given.
pub(crate) struct Ticking {
    micros: AtomicU64,
    boot: u128,
}

impl Ticking {
    pub(crate) fn in_boot(boot: u128) -> Arc<Self> {
        Arc::new(Self { micros: AtomicU64::new(1_795_186_987_000_000), boot })
    }

    pub(crate) fn pass_millis(&self, millis: u64) {
        self.micros.fetch_add(millis * 1_000, Ordering::Relaxed);
    }
}

impl Clock for Ticking {
    fn now(&self) -> Moment {
        let micros = self.micros.fetch_add(1, Ordering::Relaxed);
        let boot = BootTime { boot_id: self.boot, millis: micros / 1_000 };
        Moment { wall: Timestamp(micros), boot }
    }
}

pub(crate) const BOOT: u128 = 0xb007;

pub(crate) fn options() -> Options {
    Options::of_home(Ticking::in_boot(BOOT), "test-host".to_owned(), [7; 32])
}

pub(crate) fn open(dir: &Path) -> Log {
    Log::open(&dir.join("audit"), options()).unwrap()
}

pub(crate) fn principal(name: &str) -> Principal {
    Principal {
        id: PrincipalId::new(name).unwrap(),
        kind: PrincipalKind::Agent,
        delegation: vec![PrincipalId::new("local:ada").unwrap()],
        proof: Proof::Token,
        groups: Vec::new(),
        tenant: None,
        task: Some("task-7".to_owned()),
    }
}

pub(crate) fn operation(argv: &[&[u8]]) -> Operation {
    let description = Description {
        command: Some("terraform apply".to_owned()),
        argv: argv.iter().map(|word| RawText::new(*word)).collect(),
        workspace: Some("default".to_owned()),
        ..Description::default()
    };
    let reason = Reason {
        tier: Tier::Modify,
        rule: "terraform:apply".to_owned(),
        text: "`apply` creates or updates".to_owned(),
        word: None,
        at: None,
    };
    Operation {
        protocol: Protocol::Terraform,
        tier: Tier::Modify,
        class: Class::Unknown,
        scopes: Scopes::default(),
        overrides: Vec::new(),
        pattern: Pattern::Unmatchable,
        reasons: vec![reason],
        description,
    }
}

pub(crate) fn subject(agent: &str, operation: Operation) -> Subject {
    Subject {
        principal: principal(agent),
        parent: None,
        operations: Operations::one(operation),
        action_digest: Digest::of_bytes(b"action"),
    }
}

pub(crate) fn decision(verdict: Verdict) -> Decision {
    Decision {
        verdict,
        effective: Tier::Modify,
        overrides: OverrideVerdict::Held,
        rule: "claude-code / terraform / tier 2".into(),
        runbook: None,
        reason: None,
        obligations: Arc::new(Obligations::NONE),
        policy: Digest::of_bytes(b"policy"),
    }
}

pub(crate) fn decided_record(agent: &str, refusal: Option<Refusal>) -> Arc<DecisionRecord> {
    let verdict = if refusal.is_some() { Verdict::Deny } else { Verdict::Allow };
    Arc::new(DecisionRecord {
        subject: subject(agent, operation(&[b"terraform", b"apply", b"-auto-approve"])),
        decision: decision(verdict),
        answer: None,
        refusal,
        latency_us: 42,
    })
}

pub(crate) fn entry(id: u128, body: Body) -> Entry {
    Entry { id: OperationId(id), at: Timestamp(1_795_186_987_000_001), body }
}

pub(crate) fn allowed(id: u128) -> Entry {
    entry(id, Body::Decided(decided_record("claude-code", None)))
}

pub(crate) fn denied(id: u128, agent: &str) -> Entry {
    entry(id, Body::Decided(decided_record(agent, Some(Refusal::Policy))))
}

pub(crate) fn asked(id: u128) -> Entry {
    let record = AskRecord {
        subject: subject("claude-code", operation(&[b"terraform", b"apply"])),
        decision: decision(Verdict::Escalate),
        ask_digest: Digest::of_bytes(b"ask"),
        lapses: Timestamp(1_795_187_887_000_001),
    };
    entry(id, Body::Asked(Arc::new(record)))
}

pub(crate) fn closed(id: u128, decided_seq: u64) -> Entry {
    closed_of(decided_record("claude-code", None), id, decided_seq)
}

/// The end of an operation whose decision is `decided`, as the pipeline records it.
pub(crate) fn closed_as(decided: &Entry, id: u128, decided_seq: u64) -> Entry {
    match &decided.body {
        Body::Decided(record) => closed_of(record.clone(), id, decided_seq),
        Body::Admin(_) | Body::Asked(_) | Body::Closed(_) => closed(id, decided_seq),
    }
}

fn closed_of(decided: Arc<DecisionRecord>, id: u128, decided_seq: u64) -> Entry {
    let end = End {
        outcome: Outcome::Forwarded,
        exit_code: Some(0),
        duration_ms: Some(1_204),
        recording: None,
        note: None,
    };
    entry(id, Body::Closed(ClosedRecord { decided_seq, decided, end }))
}

/// Appends and waits for it.
pub(crate) fn append(log: &Log, entry: &Entry) -> Result<Receipt, AuditError> {
    wait(log.append(entry, Durability::Sync))
}

/// Runs an operation from its decision to its end.
pub(crate) fn run(log: &Log, id: u128) {
    let entry = allowed(id);
    let decided = append(log, &entry).unwrap();
    let _ = append(log, &closed_as(&entry, id, decided.seq())).unwrap();
}

/// Waits for a future on this thread.
pub(crate) fn wait<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => return value,
            Poll::Pending => std::thread::park(),
        }
    }
}

/// How much more than usual to try: `cargo xtask torture` sets it.
pub(crate) fn factor() -> u64 {
    std::env::var("IDDIO_TORTURE").ok().and_then(|factor| factor.parse().ok()).unwrap_or(1)
}
