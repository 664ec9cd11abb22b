//! What the tests share: principals, operations, policies from text.

use iddio_core::{
    operation::{Description, Names, Operation, Pattern, Protocol, ScopeKey, Scopes},
    policy::{Decision, Evaluation, PolicyEvaluator, Query},
    principal::{Principal, PrincipalId, PrincipalKind, Proof},
    tier::{Class, Tier},
    time::{BootTime, Moment, Timestamp},
};
use iddio_policy::{Format, Loaded, load};

/// A moment. Policies read no clock.
pub(crate) const NOW: Moment =
    Moment { wall: Timestamp(0), boot: BootTime { boot_id: 0, millis: 0 } };

/// The example of the product's contract.
pub(crate) const AGENT_YAML: &str = include_str!("../../../../policies/examples/agent.yaml");

/// The same in TOML.
pub(crate) const AGENT_TOML: &str = include_str!("../../../../policies/examples/agent.toml");

pub(crate) fn yaml(text: &str) -> Loaded {
    load(text.as_bytes(), Format::Yaml, "policy.yaml").unwrap_or_else(|error| panic!("{error}"))
}

pub(crate) fn refused(text: &str, format: Format) -> String {
    let name = if format == Format::Yaml { "policy.yaml" } else { "policy.toml" };
    load(text.as_bytes(), format, name).map(|loaded| loaded.spec).unwrap_err().to_string()
}

pub(crate) fn principal(name: &str) -> Principal {
    Principal {
        id: PrincipalId::new(name).unwrap(),
        kind: PrincipalKind::Agent,
        delegation: Vec::new(),
        proof: Proof::Token,
        groups: Vec::new(),
        tenant: None,
        task: None,
    }
}

pub(crate) fn operation(
    protocol: Protocol,
    tier: Tier,
    scopes: impl IntoIterator<Item = (ScopeKey, Names)>,
) -> Operation {
    let mut sorted = Scopes::default();
    for (key, names) in scopes {
        sorted.add(key, names);
    }
    Operation {
        protocol,
        tier,
        class: Class::Unknown,
        scopes: sorted,
        overrides: Vec::new(),
        pattern: Pattern::Unmatchable,
        reasons: Vec::new(),
        description: Description::default(),
    }
}

pub(crate) fn known(names: &[&str]) -> Names {
    Names::Known(names.iter().map(|name| (*name).to_owned()).collect())
}

pub(crate) fn decide(loaded: &Loaded, name: &str, operation: &Operation) -> Decision {
    let principal = principal(name);
    match loaded.policy.evaluate(&Query { principal: &principal, operation, now: NOW }) {
        Evaluation::Now(decision) => decision,
        Evaluation::Later(_) => panic!("the native engine answers at once"),
    }
}
