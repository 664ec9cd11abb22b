//! Asks for the tests inside this crate, and a clock that is set by hand.

use std::{
    fs::File,
    io::Read,
    sync::{Arc, Mutex},
};

use iddio_core::{
    approval::Ask,
    digest::Digest,
    operation::{
        Context, Description, Effect, Operation, OperationId, Operations, Pattern, Protocol, Scopes,
    },
    policy::{Decision, Obligations, OverrideVerdict, Verdict},
    principal::{Principal, PrincipalId, PrincipalKind, Proof},
    tier::{Class, Tier},
    time::{BootTime, Clock, Moment, Timestamp},
};

use rustix::{
    fs::{Mode, OFlags},
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
};

use crate::{
    id::AskId,
    queue::{Entry, Form, Queue, Setting, State},
};

/// A clock that is set by hand.
pub(crate) struct HandClock(pub(crate) Mutex<Moment>);

impl HandClock {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(at(1_000_000))))
    }

    pub(crate) fn pass(&self, millis: u64) {
        let mut now = self.0.lock().unwrap();
        *now = now.plus_millis(millis);
    }
}

impl Clock for HandClock {
    fn now(&self) -> Moment {
        *self.0.lock().unwrap()
    }
}

/// A home in memory where there is such a file system: thousands of schedules need no disk.
pub(crate) fn home() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// The queue of Ada's personal home.
pub(crate) fn queue(home: &tempfile::TempDir, clock: &Arc<HandClock>) -> Queue {
    let dir = home.path().to_owned();
    let setting = Setting { dir, user: "ada".to_owned(), form: Form::Personal };
    Queue::open(setting, clock.clone()).unwrap()
}

/// A moment of boot 1.
pub(crate) fn at(millis: u64) -> Moment {
    Moment { wall: Timestamp(millis * 1_000), boot: BootTime { boot_id: 1, millis } }
}

/// An entry with as many effects as asked for.
pub(crate) fn entry(number: u128, effects: usize) -> Entry {
    let ask = ask(number, effects, at(0));
    let id = AskId::derive(ask.id, 0);
    Entry { id, ask, state: State::Pending, shown: 0, ended: None, votes: Vec::new() }
}

/// An ask of the agent `claude-code` at T2, for a quarter of an hour.
pub(crate) fn ask(number: u128, effects: usize, asked: Moment) -> Ask {
    let operation = Operation {
        protocol: Protocol::Terraform,
        tier: Tier::Modify,
        class: Class::Unknown,
        scopes: Scopes::default(),
        overrides: Vec::new(),
        pattern: Pattern::Unmatchable,
        reasons: Vec::new(),
        description: Description {
            command: Some("terraform apply".to_owned()),
            ..Description::default()
        },
    };
    let effect = |number| Effect {
        tier: Tier::Modify,
        sign: "+".to_owned(),
        text: format!("terraform_data.number_{number}"),
    };
    Ask {
        id: OperationId(number),
        principal: Principal {
            id: PrincipalId::new("claude-code").unwrap(),
            kind: PrincipalKind::Agent,
            delegation: Vec::new(),
            proof: Proof::Token,
            groups: Vec::new(),
            tenant: None,
            task: None,
        },
        action_digest: Digest::of_bytes(b"action"),
        operations: Operations::one(operation),
        effects: (0..effects).map(effect).collect(),
        context: Context::default(),
        decision: Decision {
            verdict: Verdict::Escalate,
            effective: Tier::Modify,
            overrides: OverrideVerdict::Held,
            rule: "claude-code / terraform / tier 2".into(),
            runbook: None,
            reason: None,
            obligations: Arc::new(Obligations::NONE),
            policy: Digest::of_bytes(b"policy"),
        },
        asked,
        lapses: asked.plus_millis(900_000),
    }
}

/// A pseudo-terminal: the end of whoever types, and the end of the program.
pub(crate) fn terminal() -> (File, File) {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let name = ptsname(&master, Vec::new()).unwrap();
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let tty = rustix::fs::open(name, flags, Mode::empty()).unwrap();
    (master.into(), tty.into())
}

/// Reads until `text` was shown, and returns all that was.
pub(crate) fn until(master: &mut File, text: &str) -> String {
    let (mut seen, mut bytes) = (String::new(), [0; 1_024]);
    while !seen.contains(text) {
        let read = master.read(&mut bytes).unwrap();
        seen.push_str(&String::from_utf8_lossy(&bytes[..read]));
    }
    seen
}
