//! Requests and callers made up for tests.

use iddio_core::{
    digest::{Canonical, Encoder},
    operation::{
        Action, Context, Description, Effect, Operation, OperationId, Operations, Pattern,
        Protocol, Scopes,
    },
    pipeline::Request,
    principal::{Identified, Principal, PrincipalId, PrincipalKind, Proof},
    text::RawText,
    tier::{Class, Tier},
    time::Moment,
};

/// An action made of what a test says it is.
#[derive(Clone, Debug)]
pub struct TestAction {
    /// The request itself, raw.
    pub body: Vec<u8>,
    /// What it describes itself as.
    pub operations: Operations,
    /// What a yes would do.
    pub effects: Vec<Effect>,
    /// What else the human sees.
    pub context: Context,
}

// === impl TestAction ===

impl TestAction {
    /// An action of one operation.
    pub fn new(body: &[u8], operation: Operation) -> Self {
        let operations = Operations::one(operation);
        Self { body: body.to_vec(), operations, effects: Vec::new(), context: Context::default() }
    }

    /// An action of one ordinary operation at `tier`.
    pub fn at(tier: Tier) -> Self {
        Self::new(b"body", operation(tier))
    }
}

impl Canonical for TestAction {
    fn encode(&self, encoder: &mut Encoder) {
        let Self { body, operations, effects, context } = self;
        encoder.bytes(body);
        operations.encode(encoder);
        encoder.list(effects);
        context.encode(encoder);
    }
}

impl Action for TestAction {
    fn operations(&self) -> Operations {
        self.operations.clone()
    }

    fn effects(&self) -> Vec<Effect> {
        self.effects.clone()
    }

    fn context(&self) -> Context {
        self.context.clone()
    }
}

/// Returns the id `n`.
pub fn id(n: u128) -> OperationId {
    OperationId(n)
}

/// Returns an operation at `tier` with nothing special about it.
pub fn operation(tier: Tier) -> Operation {
    Operation {
        protocol: Protocol::Command,
        tier,
        class: Class::Destroy,
        scopes: Scopes::default(),
        overrides: Vec::new(),
        pattern: Pattern::Unmatchable,
        reasons: Vec::new(),
        description: Description {
            command: Some("tool".to_owned()),
            argv: vec![RawText::from("tool"), RawText::from("--go")],
            ..Description::default()
        },
    }
}

/// Returns a principal; the kind follows from the name: `human:…` and `local:…` are humans.
pub fn principal(name: &str, delegation: &[&str]) -> Principal {
    let named = |name: &str| PrincipalId::new(name).expect("a sound name");
    let human = name.starts_with("human:") || name.starts_with("local:");
    Principal {
        id: named(name),
        kind: if human { PrincipalKind::Human } else { PrincipalKind::Agent },
        delegation: delegation.iter().copied().map(named).collect(),
        proof: Proof::Token,
        groups: Vec::new(),
        tenant: None,
        task: None,
    }
}

/// Returns an agent that works for nobody.
pub fn caller(name: &str) -> Identified {
    Identified::assertion(principal(name, &[]))
}

/// Returns a request of the agent `agent-1`.
pub fn request(n: u128, asked: Moment, action: TestAction) -> Request<TestAction> {
    Request::new(&caller("agent-1"), id(n), asked, action)
}
