//! A home in a temporary directory, a clock that is set by hand, and asks to put.

use std::{
    path::Path,
    pin::pin,
    sync::{Arc, Mutex, mpsc},
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
};

use iddio_approve::{
    Approval, Cancel, Custody, Denial, Form, Notice, Operator, Profile, Prompt, Queue,
    QueueApprover, Registry, Reviewed, Setting, Signer,
};
use iddio_core::{
    approval::{Answer, Approver, Ask},
    digest::Digest,
    operation::{
        Context as AskContext, Description, Effect, Input, Operation, OperationId, Operations,
        Pattern, Protocol, Reason, ScopeKey, Scopes,
    },
    policy::{Decision, Obligations, OverrideVerdict, Verdict},
    principal::{Principal, PrincipalId, PrincipalKind, Proof},
    text::RawText,
    tier::{Class, Tier},
    time::{BootTime, Clock, Moment, Timestamp},
};
use iddio_mint::{ApproverKey, Passphrase};

/// The passphrase of every key in these tests.
pub(crate) const PHRASE: &str = "correct horse battery";

/// A clock that is set by hand.
pub(crate) struct HandClock(Mutex<Moment>);

/// A home.
pub(crate) struct Home {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) clock: Arc<HandClock>,
    pub(crate) form: Form,
}

impl HandClock {
    pub(crate) fn pass(&self, millis: u64) {
        let mut now = self.0.lock().unwrap();
        *now = now.plus_millis(millis);
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut Moment)) {
        change(&mut self.0.lock().unwrap());
    }
}

impl Clock for HandClock {
    fn now(&self) -> Moment {
        *self.0.lock().unwrap()
    }
}

impl Home {
    pub(crate) fn new() -> Self {
        let boot = BootTime { boot_id: 7, millis: 1_000_000 };
        let wall = Timestamp(1_795_186_987_000_001);
        let clock = Arc::new(HandClock(Mutex::new(Moment { wall, boot })));
        Self { dir: tempfile::tempdir().unwrap(), clock, form: Form::Personal }
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn setting(&self) -> Setting {
        Setting { dir: self.path().to_owned(), user: "ada".to_owned(), form: self.form }
    }

    pub(crate) fn queue(&self) -> Queue {
        Queue::open(self.setting(), self.clock.clone()).unwrap()
    }

    pub(crate) fn now(&self) -> Moment {
        self.clock.now()
    }

    /// An ask by the agent `claude-code`: an apply at `tier`.
    pub(crate) fn ask(&self, number: u128, tier: Tier) -> Ask {
        ask(number, tier, self.now())
    }

    /// Puts an ask and returns a handle once it is in the queue.
    pub(crate) fn put(&self, ask: &Ask) -> Put {
        let (told, notices) = mpsc::channel();
        let told = Mutex::new(told);
        let cancel = Cancel::new().unwrap();
        let approver = QueueApprover::new(
            self.setting(),
            self.clock.clone(),
            cancel.clone(),
            Prompt::Off,
            Arc::new(move |notice| {
                let _ = told.lock().unwrap().send(notice);
            }),
        );
        let ask = ask.clone();
        let thread = thread::spawn(move || block_on(approver.ask(&ask)));
        Put { notices, cancel, thread }
    }

    /// Enrols an operator with a passphrase key, and opens it.
    pub(crate) fn enroll(&self, name: &str, groups: &[&str]) -> (Operator, ApproverKey) {
        let groups = groups.iter().map(ToString::to_string).collect();
        let profile = Profile { groups, unix_users: Vec::new() };
        let operator =
            Registry::enroll(self.path(), name, &phrase(), &profile, self.now().wall).unwrap();
        let file = operator.key.as_ref().unwrap().file.clone().unwrap();
        let key = ApproverKey::open(&file, &phrase()).unwrap();
        (operator, key)
    }

    /// Adds an operator with a key made elsewhere.
    pub(crate) fn add(&self, name: &str, line: &str, custody: Custody) -> Operator {
        let key = Some((line, custody));
        Registry::add(self.path(), name, key, &Profile::default(), self.now().wall).unwrap()
    }
}

/// An ask that was put.
pub(crate) struct Put {
    pub(crate) notices: mpsc::Receiver<Notice>,
    pub(crate) cancel: Cancel,
    thread: thread::JoinHandle<Answer>,
}

impl Put {
    /// Waits until the ask is in the queue, and returns its name.
    pub(crate) fn id(&self) -> String {
        match self.notices.recv().unwrap() {
            Notice::Waiting { id, .. } => id.to_string(),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn answer(self) -> Answer {
        self.thread.join().unwrap()
    }
}

pub(crate) fn phrase() -> Passphrase {
    Passphrase::new(PHRASE.as_bytes().to_vec()).unwrap()
}

pub(crate) fn yes(signer: Signer<'_>) -> Approval<'_> {
    Approval { signer, ticket_millis: None, reviewed: Reviewed::NotSaid }
}

pub(crate) fn no(signer: Signer<'_>) -> Denial<'_> {
    Denial { signer, reason: None }
}

pub(crate) fn ask(number: u128, tier: Tier, now: Moment) -> Ask {
    let mut scopes = Scopes::default();
    scopes.add_name(ScopeKey::Workspaces, "default");
    let argv = ["terraform", "-chdir=docs/examples/hello", "apply", "-auto-approve"];
    let operation = Operation {
        protocol: Protocol::Terraform,
        tier,
        class: Class::Destroy,
        scopes,
        overrides: Vec::new(),
        pattern: Pattern::Command(argv.iter().map(ToString::to_string).collect()),
        reasons: vec![Reason {
            tier,
            rule: "terraform:apply".to_owned(),
            text: "`apply` creates or updates".to_owned(),
            word: Some(2),
            at: None,
        }],
        description: Description {
            command: Some("terraform apply".to_owned()),
            argv: argv.iter().map(|word| RawText::from(*word)).collect(),
            workspace: Some("default".to_owned()),
            ..Description::default()
        },
    };
    Ask {
        id: OperationId(number),
        principal: agent("claude-code", &[]),
        action_digest: Digest::of_bytes(&number.to_le_bytes()),
        operations: Operations::one(operation),
        effects: vec![Effect {
            tier,
            sign: "+".to_owned(),
            text: "terraform_data.hello".to_owned(),
        }],
        context: AskContext {
            directory: Some(RawText::from("docs/examples/hello")),
            inputs: vec![Input {
                name: RawText::from("plan"),
                digest: Some(Digest::of_bytes(b"plan")),
            }],
            explanation: Some(RawText::from("please approve, it is urgent")),
        },
        decision: Decision {
            verdict: Verdict::Escalate,
            effective: tier,
            overrides: OverrideVerdict::Held,
            rule: "local:ada / terraform / tier 2".into(),
            runbook: None,
            reason: None,
            obligations: Arc::new(Obligations::NONE),
            policy: Digest::of_bytes(b"policy"),
        },
        asked: now,
        lapses: now.plus_millis(15 * 60 * 1_000),
    }
}

pub(crate) fn agent(name: &str, delegation: &[&str]) -> Principal {
    Principal {
        id: PrincipalId::new(name).unwrap(),
        kind: PrincipalKind::Agent,
        delegation: delegation.iter().map(|name| PrincipalId::new(name).unwrap()).collect(),
        proof: Proof::Token,
        groups: Vec::new(),
        tenant: None,
        task: None,
    }
}

pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => return value,
            Poll::Pending => thread::park(),
        }
    }
}
