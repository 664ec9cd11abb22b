//! Counts what a decision costs (P3).
//!
//! ```text
//! bench_decision --agents 1000 --rules 10000 --decisions 100000
//! ```
//!
//! builds a policy of that many agents and rules, decides that many times, and prints one JSON
//! object. Under callgrind, two runs that differ only in `--decisions` tell the instructions of one
//! decision: what is not deciding cancels out.

use std::hint::black_box;

use iddio_core::{
    operation::{Description, Operation, Pattern, Protocol, ScopeKey, Scopes},
    policy::{Decision, Evaluation, PolicyEvaluator, Query},
    principal::{Principal, PrincipalId, PrincipalKind, Proof},
    tier::{Class, Tier},
    time::{BootTime, Moment, Timestamp},
};
use iddio_policy::{Format, load};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut settings = [("--agents", 1_u64), ("--rules", 10), ("--decisions", 1_000)];
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let setting = settings.iter_mut().find(|(name, _)| *name == word);
        let (_, value) = setting.ok_or_else(|| format!("unknown option `{word}`"))?;
        *value = words.next().ok_or("an option needs a number")?.parse()?;
    }
    let [agents, rules, decisions] = settings.map(|(_, value)| value);
    let source = source(agents.max(1), rules);
    let loaded = load(source.as_bytes(), Format::Yaml, "bench.yaml")?;
    let principal = principal(agents / 2).ok_or("no principal")?;
    let operation = operation();
    let moment = Moment { wall: Timestamp(0), boot: BootTime { boot_id: 0, millis: 0 } };
    let query = Query { principal: &principal, operation: &operation, now: moment };
    let decide = || match loaded.policy.evaluate(black_box(&query)) {
        Evaluation::Now(decision) => Some(decision),
        Evaluation::Later(_) => None,
    };
    let mut last: Option<Decision> = None;
    let counted = allocation_counter::measure(|| {
        for _ in 0..decisions {
            last = black_box(decide());
        }
    });
    let rule = last.map(|decision| decision.rule.to_string()).unwrap_or_default();
    let report = serde_json::json!({
        "bench": "decision", "agents": agents, "rules": rules, "decisions": decisions,
        "allocations": counted.count_total, "bytes": source.len(), "rule": rule,
    });
    println!("{report}");
    Ok(())
}

/// Writes a policy whose rules are spread evenly over its agents, and those of an agent over the
/// protocols; the last of each protocol covers its operations.
fn source(agents: u64, rules: u64) -> String {
    let protocols = [
        ("kubernetes", "namespaces"),
        ("terraform", "workspaces"),
        ("helm", "releases"),
        ("aws", "services"),
        ("command", "commands"),
    ];
    let each = (rules / agents).max(1);
    let mut text = String::from("agents:\n");
    for agent in 0..agents {
        text.push_str(&format!("  agent-{agent:06}:\n    rules:\n"));
        for rule in 0..each {
            let number = usize::try_from(rule).unwrap_or(0) % protocols.len();
            let (protocol, scope) = protocols.get(number).copied().unwrap_or_default();
            let last = each <= rule + protocols.len() as u64;
            let name = if last { "team-*".to_owned() } else { format!("x{rule}-*") };
            text.push_str(&format!(
                "      - {{protocol: {protocol}, {scope}: [\"{name}\"], tiers: {{0: allow, 2: escalate}}}}\n"
            ));
        }
    }
    text
}

fn principal(agent: u64) -> Option<Principal> {
    Some(Principal {
        id: PrincipalId::new(&format!("agent-{agent:06}"))?,
        kind: PrincipalKind::Agent,
        delegation: Vec::new(),
        proof: Proof::Token,
        groups: Vec::new(),
        tenant: None,
        task: None,
    })
}

fn operation() -> Operation {
    let mut scopes = Scopes::default();
    scopes.add_name(ScopeKey::Namespaces, "team-web");
    Operation {
        protocol: Protocol::Kubernetes,
        tier: Tier::Observe,
        class: Class::Unknown,
        scopes,
        overrides: Vec::new(),
        pattern: Pattern::Unmatchable,
        reasons: Vec::new(),
        description: Description::default(),
    }
}
