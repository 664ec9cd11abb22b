//! The native policy engine.
//!
//! A [`PolicySpec`] is compiled once into a [`Policy`]; deciding then compares names and clones
//! reference counts. The rules of an agent lie by protocol behind one hash look-up, so a decision
//! costs the same however many agents there are.
//!
//! INVARIANTS
//! - Whatever no rule allows is refused: an unknown agent, a name that is only claimed, a class of
//!   break-glass that is not named, evasion and the unknown always.
//! - Scopes are sets and every name counts: each combination of names is decided by itself and
//!   the strictest verdict stands. A name that could not be established might be any name, so each
//!   rule it might fall under is heard, and a denial among them stands (E20).
//! - What [`Policy::compile`] accepts cannot allow break-glass unless it says so in so many words.
//!
//! It reads no file: `iddio-policy` turns text into a [`PolicySpec`].

use std::{
    collections::{HashMap, HashSet},
    fmt,
    hash::{BuildHasherDefault, Hasher},
    sync::Arc,
};

use super::{
    Decision, Evaluation, Obligations, OverrideVerdict, PolicyEvaluator, Query, Verdict,
    pattern::Globs, runbook::Runbook,
};
use crate::{
    digest::Digest,
    operation::{
        KubernetesPattern, Names, Operation, Override, OverrideKind, Pattern, Protocol, ScopeKey,
    },
    principal::{PrincipalId, Proof},
    tier::{Class, Tier},
};

/// What a policy says, before it is compiled.
#[derive(Clone, Debug)]
pub struct PolicySpec {
    /// The SHA-256 of the source.
    pub version: Digest,
    /// What is done where no rule names a verdict.
    pub fallback: Fallback,
    /// The principals, with their rules in file order.
    pub agents: Vec<AgentSpec>,
    /// The runbooks that rules may name.
    pub runbooks: Vec<Runbook>,
    /// Restrictions of single tools.
    pub tools: Vec<ToolSpec>,
    /// Groups of principals.
    pub groups: Vec<(String, Vec<PrincipalId>)>,
}

/// What is done below break-glass where no rule names a verdict. Never allowing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fallback {
    /// Refuse.
    Deny,
    /// Ask a human.
    Escalate,
}

/// A principal and its rules.
#[derive(Clone, Debug)]
pub struct AgentSpec {
    /// Whose rules these are.
    pub id: PrincipalId,
    /// The rules, in file order.
    pub rules: Vec<RuleSpec>,
}

/// One rule.
#[derive(Clone, Debug)]
pub struct RuleSpec {
    /// Which operations it is about.
    pub protocol: Protocol,
    /// The scopes it is restricted to. A key that is absent is not restricted.
    pub scopes: Vec<(ScopeKey, Globs)>,
    /// The verdict of each tier; `None` falls to the default.
    pub tiers: [Option<Verdict>; 5],
    /// The classes of break-glass its verdict for tier 4 is about.
    pub classes: Vec<Class>,
    /// The runbooks it consults, in order.
    pub runbooks: Vec<String>,
    /// Whether it covers writes to objects without a namespace.
    pub cluster_scoped: ClusterScoped,
    /// Which overrides it grants.
    pub grants: Grants,
    /// What must be kept besides.
    pub obligations: Obligations,
    /// Whether it may allow break-glass.
    pub break_glass: BreakGlassAllow,
}

/// Whether a Kubernetes rule covers writes to objects without a namespace.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ClusterScoped {
    /// It covers them where it covers every namespace.
    Covered,
    /// It does not.
    Excluded,
}

/// Whether a rule may allow break-glass without asking.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum BreakGlassAllow {
    /// `dangerous_allow: true` stands in the rule.
    DangerousAllow,
    /// It does not.
    Refused,
}

/// The overrides of identity and route that a rule lifts (invariant I7).
#[derive(Clone, Debug, Default)]
pub struct Grants(pub Vec<(OverrideKind, Globs)>);

/// A restriction of one program or MCP tool.
#[derive(Clone, Debug)]
pub struct ToolSpec {
    /// The name: of a program, or of a tool (`server/tool` or `tool`).
    pub name: String,
    /// Whether it may be used at all.
    pub switch: ToolSwitch,
    /// The groups and roles that may use it. `None`: everybody.
    pub roles: Option<Vec<String>>,
    /// Whether a human is always asked.
    pub approval: ToolApproval,
}

/// Whether a tool may be used at all.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ToolSwitch {
    /// It may not.
    Disabled,
    /// The rules say.
    Enabled,
}

/// Whether a human is asked before a tool is used.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ToolApproval {
    /// Where the rules say so.
    ByRule,
    /// Always.
    Required,
}

/// A policy that decides.
#[derive(Debug)]
pub struct Policy {
    version: Digest,
    agents: HashMap<PrincipalId, Agent, BuildHasherDefault<NameHasher>>,
    tools: HashMap<String, Tool>,
    words: Words,
}

/// Why a specification cannot be compiled. `rule` counts from 1 within the agent.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum CompileError {
    /// A rule allows break-glass without `dangerous_allow`.
    BreakGlassAllow(PrincipalId, usize),
    /// A rule does not deny break-glass and names no class of it.
    ClassesMissing(PrincipalId, usize),
    /// Two entries have one name.
    Duplicate(String),
    /// A rule restricts a scope that its protocol does not have, or one twice.
    ScopeKey(PrincipalId, usize, ScopeKey),
}

/// How a rule stands to one combination of names.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Match {
    /// It covers every name: it decides.
    Covers,
    /// It does not cover the name of this key.
    Misses(ScopeKey),
    /// The name of this key could not be established and might fall under the rule: its verdict is
    /// heard, and stands if it is stricter.
    Might(ScopeKey),
}

/// One name of one key, as a rule sees it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Atom<'a> {
    /// The operation has no names of this kind.
    Absent,
    /// All names.
    Every,
    /// This name.
    Name(&'a str),
    /// A name that could not be established.
    Unknown,
}

/// Watches a decision being made. The engine takes the same path watched and unwatched.
pub trait Trace {
    /// The names of one combination are about to be decided, in the order of the protocol's keys.
    fn combination(&mut self, _keys: &[ScopeKey], _atoms: &[Atom<'_>]) {}

    /// A rule, counted from 1 within the agent, was held against the combination.
    fn rule(&mut self, _place: usize, _found: Match) {}

    /// The rule was heard: it covers the combination or might, and by itself decides so.
    fn applied(&mut self, _place: usize, _decision: &Decision) {}

    /// The combination was decided.
    fn decided(&mut self, _decision: &Decision) {}
}

/// Watches nothing.
struct Unwatched;

#[derive(Debug)]
struct Agent {
    /// By protocol: the discriminant is the index.
    rules: [Vec<Rule>; PROTOCOL_SLOTS],
    /// What no rule matches, by tier.
    unmatched: Vec<Ruling>,
    /// What API there is.
    discovery: Ruling,
}

#[derive(Debug)]
struct Rule {
    place: usize,
    /// The restricted keys only, in the order of the protocol's.
    scopes: Box<[Restriction]>,
    rulings: Vec<Ruling>,
    /// Break-glass whose class is not named, or never let through.
    held: Ruling,
    classes: Vec<Class>,
    runbooks: Vec<Arc<Runbook>>,
    cluster_scoped: ClusterScoped,
    grants: Grants,
    obligations: Arc<Obligations>,
}

/// The names a rule is restricted to, of one key.
#[derive(Debug)]
struct Restriction {
    key: ScopeKey,
    /// Where the key stands among the protocol's.
    slot: usize,
    globs: Globs,
}

/// Whether an operation writes Kubernetes objects that have no namespace.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum BareWrite {
    No,
    Yes,
}

/// A verdict and its words, made once.
#[derive(Clone, Debug)]
struct Ruling {
    verdict: Verdict,
    rule: Arc<str>,
    reason: Option<Arc<str>>,
}

#[derive(Debug)]
struct Tool {
    switch: ToolSwitch,
    roles: Option<HashSet<String>>,
    /// Members of the groups among the roles.
    members: HashSet<PrincipalId>,
    approval: ToolApproval,
    disabled: Ruling,
    barred: Ruling,
    asks: Ruling,
}

/// The words of decisions that belong to no agent.
#[derive(Debug)]
struct Words {
    nothing_owed: Arc<Obligations>,
    claimed: Ruling,
    unknown: Ruling,
    too_many: Ruling,
    class: Arc<str>,
    evasion: Arc<str>,
    not_understood: Arc<str>,
}

/// Spreads names over a table, fast. Only the policy's author chooses the names in the table, so it
/// need not withstand chosen ones.
#[derive(Default)]
struct NameHasher(u64);

/// The atoms of one key.
#[derive(Clone, Copy)]
enum Atoms<'a> {
    One(Atom<'a>),
    Many(&'a [String]),
}

// === impl Policy ===

impl Policy {
    /// Compiles a specification, unless it allows what it does not name.
    pub fn compile(spec: PolicySpec) -> Result<Self, CompileError> {
        let PolicySpec { version, fallback, agents, runbooks, tools, groups } = spec;
        let runbooks = index_runbooks(runbooks)?;
        let mut compiled = HashMap::with_capacity_and_hasher(agents.len(), <_>::default());
        for agent in agents {
            let id = agent.id.clone();
            let agent = Agent::compile(agent, fallback, &runbooks)?;
            if compiled.insert(id.clone(), agent).is_some() {
                return Err(CompileError::Duplicate(id.as_str().to_owned()));
            }
        }
        let tools = index_tools(tools, &groups)?;
        Ok(Self { version, agents: compiled, tools, words: Words::new() })
    }

    /// Decides, and lets `trace` watch.
    pub fn decide(&self, query: &Query<'_>, trace: &mut impl Trace) -> Decision {
        let Query { principal, operation, now: _ } = query;
        if principal.proof == Proof::Claimed {
            return self.refuse(&self.words.claimed, operation);
        }
        let Some(agent) = self.agents.get(&principal.id) else {
            return self.refuse(&self.words.unknown, operation);
        };
        let decision = self.decide_scopes(agent, operation, trace);
        match self.tools.is_empty() {
            true => decision,
            false => self.restrict(decision, query),
        }
    }

    fn decide_scopes(
        &self,
        agent: &Agent,
        operation: &Operation,
        trace: &mut impl Trace,
    ) -> Decision {
        let keys = operation.protocol.scope_keys();
        let mut combination = [Atom::Absent; KEYS_MAX];
        for (slot, key) in combination.iter_mut().zip(keys) {
            match Atoms::of(operation, *key) {
                Atoms::One(atom) => *slot = atom,
                Atoms::Many(_) => return self.decide_each(agent, operation, trace),
            }
        }
        // Nearly every operation: at most one name of each kind.
        trace.combination(keys, combination.get(..keys.len()).unwrap_or_default());
        let decision = self.decide_combination(agent, operation, &combination, trace);
        trace.decided(&decision);
        decision
    }

    /// Decides each combination of names and joins.
    #[cold]
    fn decide_each(
        &self,
        agent: &Agent,
        operation: &Operation,
        trace: &mut impl Trace,
    ) -> Decision {
        let keys = operation.protocol.scope_keys();
        let mut atoms = [Atoms::One(Atom::Absent); KEYS_MAX];
        let mut count: usize = 1;
        for (slot, key) in atoms.iter_mut().zip(keys) {
            *slot = Atoms::of(operation, *key);
            count = count.saturating_mul(slot.len());
        }
        if COMBINATIONS_MAX < count {
            return self.refuse(&self.words.too_many, operation);
        }
        let mut joined: Option<Decision> = None;
        for place in 0..count {
            let combination = pick(&atoms, place);
            trace.combination(keys, combination.get(..keys.len()).unwrap_or_default());
            let decision = self.decide_combination(agent, operation, &combination, trace);
            trace.decided(&decision);
            joined = Some(join(joined, decision));
        }
        joined.unwrap_or_else(|| self.refuse(&self.words.too_many, operation))
    }

    fn decide_combination(
        &self,
        agent: &Agent,
        operation: &Operation,
        combination: &[Atom<'_>; KEYS_MAX],
        trace: &mut impl Trace,
    ) -> Decision {
        let rules = agent.rules(operation.protocol);
        if is_discovery(operation) && rules.iter().any(|rule| rule.in_cluster(combination)) {
            return self.settle(Tier::Observe, &agent.discovery);
        }
        let bare = BareWrite::of(operation);
        let mut heard = None;
        for rule in rules {
            let found = rule.holds(bare, combination);
            trace.rule(rule.place, found);
            if let Match::Misses(_) = found {
                continue;
            }
            let own = self.apply(rule, operation);
            trace.applied(rule.place, &own);
            match (found, heard) {
                (Match::Covers, None) => return own,
                (Match::Covers, Some(before)) => return join(Some(before), own),
                (Match::Might(_) | Match::Misses(_), before) => heard = Some(join(before, own)),
            }
        }
        join(heard, self.fall_back(agent, operation))
    }

    /// Applies a rule that covers the operation.
    fn apply(&self, rule: &Rule, operation: &Operation) -> Decision {
        let granted = !operation.overrides.is_empty() && rule.grants.cover(&operation.overrides);
        let (native, class, overrides) = match granted {
            true => (operation.tier, operation.class, OverrideVerdict::Granted),
            false => (operation.native_tier(), operation.native_class(), OverrideVerdict::Held),
        };
        let runbook = rule.runbook(operation);
        let effective = if runbook.is_some() { Tier::Operate } else { native };
        let ruling = rule.ruling(effective);
        let (ruling, reason) = match (effective, class) {
            (Tier::BreakGlass, Class::Evasion) => (&rule.held, Some(&self.words.evasion)),
            (Tier::BreakGlass, Class::Unknown) => (&rule.held, Some(&self.words.not_understood)),
            (Tier::BreakGlass, class)
                if ruling.verdict != Verdict::Deny && !rule.classes.contains(&class) =>
            {
                (&rule.held, Some(&self.words.class))
            }
            _ => (ruling, ruling.reason.as_ref()),
        };
        Decision {
            verdict: ruling.verdict,
            effective,
            overrides,
            rule: ruling.rule.clone(),
            runbook: runbook.map(|runbook| runbook.name().clone()),
            reason: reason.cloned(),
            obligations: rule.obligations.clone(),
            policy: self.version,
        }
    }

    fn fall_back(&self, agent: &Agent, operation: &Operation) -> Decision {
        let native = operation.native_tier();
        match agent.unmatched.get(usize::from(native.number())) {
            Some(ruling) => self.settle(native, ruling),
            None => self.refuse(&self.words.unknown, operation),
        }
    }

    fn refuse(&self, ruling: &Ruling, operation: &Operation) -> Decision {
        self.settle(operation.native_tier(), ruling)
    }

    fn settle(&self, effective: Tier, ruling: &Ruling) -> Decision {
        Decision {
            verdict: ruling.verdict,
            effective,
            overrides: OverrideVerdict::Held,
            rule: ruling.rule.clone(),
            runbook: None,
            reason: ruling.reason.clone(),
            obligations: self.words.nothing_owed.clone(),
            policy: self.version,
        }
    }

    /// Holds the restrictions of single tools against a decision. They only ever make it stricter.
    fn restrict(&self, mut decision: Decision, query: &Query<'_>) -> Decision {
        let mut hold = |tool: &Tool| {
            if let Some(ruling) = tool.ruling(query)
                && decision.verdict.strictness() < ruling.verdict.strictness()
            {
                decision.verdict = ruling.verdict;
                decision.rule = ruling.rule.clone();
                decision.reason = ruling.reason.clone();
            }
        };
        match tool_names(query.operation) {
            ToolNames::Known(names) => {
                names.iter().filter_map(|name| self.tools.get(name)).for_each(&mut hold);
            }
            // It might be any of them.
            ToolNames::Unknown => self.tools.values().for_each(&mut hold),
        }
        decision
    }
}

impl PolicyEvaluator for Policy {
    fn evaluate<'a>(&'a self, query: &Query<'a>) -> Evaluation<'a> {
        Evaluation::Now(self.decide(query, &mut Unwatched))
    }

    fn version(&self) -> Digest {
        self.version
    }
}

impl Trace for Unwatched {}

/// Joins the decisions on two names of one operation. An override is granted only where every name
/// grants it.
fn join(heard: Option<Decision>, decision: Decision) -> Decision {
    let Some(heard) = heard else { return decision };
    let overrides = match (heard.overrides, decision.overrides) {
        (OverrideVerdict::Granted, OverrideVerdict::Granted) => OverrideVerdict::Granted,
        (OverrideVerdict::Held, _) | (_, OverrideVerdict::Held) => OverrideVerdict::Held,
    };
    let joined = heard.join(decision);
    let runbook = joined.runbook.clone().filter(|_| joined.effective == Tier::Operate);
    Decision { overrides, runbook, ..joined }
}

/// Returns the `place`-th combination, counting through the keys like digits.
fn pick<'a>(atoms: &[Atoms<'a>; KEYS_MAX], mut place: usize) -> [Atom<'a>; KEYS_MAX] {
    atoms.map(|atoms| {
        let base = atoms.len().max(1);
        let digit = place % base;
        place /= base;
        atoms.at(digit)
    })
}

/// Whether the operation only asks what API there is (product contract: Kubernetes rule 1): a read
/// of tier 0 that names no resource.
fn is_discovery(operation: &Operation) -> bool {
    let Pattern::Kubernetes(KubernetesPattern { methods, resources, .. }) = &operation.pattern
    else {
        return false;
    };
    operation.protocol == Protocol::Kubernetes
        && operation.native_tier() == Tier::Observe
        && resources.is_empty()
        && !methods.is_empty()
        && methods.iter().all(|method| is_read(method))
        && operation.scopes.names(ScopeKey::Namespaces).is_none()
}

fn is_read(method: &str) -> bool {
    matches!(method, "GET" | "HEAD" | "OPTIONS")
}

// === impl BareWrite ===

impl BareWrite {
    /// Looks at what is sent. Where that is not known, it writes.
    fn of(operation: &Operation) -> Self {
        let native = operation.native_tier();
        let unscoped = operation.protocol == Protocol::Kubernetes
            && native != Tier::Observe
            && operation.scopes.names(ScopeKey::Namespaces).is_none();
        let read = || match &operation.pattern {
            Pattern::Kubernetes(KubernetesPattern { methods, .. }) => {
                !methods.is_empty() && methods.iter().all(|method| is_read(method))
            }
            Pattern::Command(_) | Pattern::Tool(..) | Pattern::Unmatchable => false,
        };
        match unscoped && (native == Tier::BreakGlass || !read()) {
            true => Self::Yes,
            false => Self::No,
        }
    }
}

// === impl NameHasher ===

impl Hasher for NameHasher {
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.mix(u64::from_le_bytes(*word));
        }
        if !rest.is_empty() {
            self.mix(rest.iter().fold(1, |word, byte| (word << 8) | u64::from(*byte)));
        }
    }

    fn write_u8(&mut self, byte: u8) {
        self.mix(u64::from(byte));
    }

    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 32)
    }
}

impl NameHasher {
    fn mix(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(HASH_FACTOR);
    }
}

// === impl Atoms ===

impl<'a> Atoms<'a> {
    fn of(operation: &'a Operation, key: ScopeKey) -> Self {
        match operation.scopes.names(key) {
            None => Self::One(Atom::Absent),
            Some(Names::Every) => Self::One(Atom::Every),
            Some(Names::Unknown) => Self::One(Atom::Unknown),
            Some(Names::Known(names)) => match names.as_slice() {
                // A key that applies to no name at all is not understood.
                [] => Self::One(Atom::Unknown),
                [name] => Self::One(Atom::Name(name)),
                names => Self::Many(names),
            },
        }
    }

    fn len(self) -> usize {
        match self {
            Self::One(_) => 1,
            Self::Many(names) => names.len(),
        }
    }

    fn at(self, place: usize) -> Atom<'a> {
        match self {
            Self::One(atom) => atom,
            Self::Many(names) => names.get(place).map_or(Atom::Unknown, |name| Atom::Name(name)),
        }
    }
}

// === impl Agent ===

impl Agent {
    fn compile(
        spec: AgentSpec,
        fallback: Fallback,
        runbooks: &HashMap<String, Arc<Runbook>>,
    ) -> Result<Self, CompileError> {
        let AgentSpec { id, rules: specs } = spec;
        let mut rules: [Vec<Rule>; PROTOCOL_SLOTS] = Default::default();
        let mut alike = [0_usize; PROTOCOL_SLOTS];
        for spec in &specs {
            if let Some(count) = alike.get_mut(spec.protocol as usize) {
                *count += 1;
            }
        }
        for (place, spec) in specs.iter().enumerate() {
            let title = match alike.get(spec.protocol as usize) {
                Some(1) => format!("{id} / {}", spec.protocol.name()),
                _ => format!("{id} / {} (rule {})", spec.protocol.name(), place + 1),
            };
            let rule = Rule::compile(spec, &id, place + 1, &title, fallback, runbooks)?;
            if let Some(slot) = rules.get_mut(spec.protocol as usize) {
                slot.push(rule);
            }
        }
        let unmatched = |tier: Tier| {
            let verdict = fallback.verdict(tier);
            let rule = format!("{id} / no rule / tier {} = {}", tier.number(), verdict.name());
            Ruling::new(verdict, rule, Some("no rule of this protocol covers its scopes"))
        };
        let discovery = format!("{id} / kubernetes / discovery = allow");
        let unmatched = Tier::ALL.map(unmatched).into();
        Ok(Self { rules, unmatched, discovery: Ruling::new(Verdict::Allow, discovery, None) })
    }

    fn rules(&self, protocol: Protocol) -> &[Rule] {
        self.rules.get(protocol as usize).map(Vec::as_slice).unwrap_or_default()
    }
}

// === impl Rule ===

impl Rule {
    fn compile(
        spec: &RuleSpec,
        id: &PrincipalId,
        place: usize,
        title: &str,
        fallback: Fallback,
        runbooks: &HashMap<String, Arc<Runbook>>,
    ) -> Result<Self, CompileError> {
        let [.., top] = spec.tiers;
        match top {
            Some(Verdict::Allow) if spec.break_glass == BreakGlassAllow::Refused => {
                return Err(CompileError::BreakGlassAllow(id.clone(), place));
            }
            Some(Verdict::Allow | Verdict::Escalate) if spec.classes.is_empty() => {
                return Err(CompileError::ClassesMissing(id.clone(), place));
            }
            Some(_) | None => {}
        }
        let mut scopes: Vec<Restriction> = Vec::new();
        for (key, globs) in &spec.scopes {
            let slot = spec.protocol.scope_keys().iter().position(|own| own == key);
            match slot.filter(|_| scopes.iter().all(|scope| scope.key != *key)) {
                Some(slot) => scopes.push(Restriction { key: *key, slot, globs: globs.clone() }),
                None => return Err(CompileError::ScopeKey(id.clone(), place, *key)),
            }
        }
        scopes.sort_by_key(|scope| scope.slot);
        let ruling = |(tier, named): (Tier, Option<Verdict>)| {
            let verdict = named.unwrap_or(fallback.verdict(tier));
            let text = format!("{title} / tier {} = {}", tier.number(), verdict.name());
            let unnamed = named.is_none().then_some("the rule names no verdict for this tier");
            Ruling::new(verdict, text, unnamed)
        };
        let rulings = Tier::ALL.into_iter().zip(spec.tiers).map(ruling).collect();
        let consulted = spec.runbooks.iter().filter_map(|name| runbooks.get(name)).cloned();
        Ok(Self {
            place,
            scopes: scopes.into(),
            rulings,
            held: Ruling::new(Verdict::Deny, format!("{title} / tier 4 = deny"), None),
            classes: spec.classes.clone(),
            runbooks: consulted.collect(),
            cluster_scoped: spec.cluster_scoped,
            grants: spec.grants.clone(),
            obligations: Arc::new(spec.obligations.clone()),
        })
    }

    /// Holds the rule against one combination of names.
    #[inline]
    fn holds(&self, bare: BareWrite, combination: &[Atom<'_>; KEYS_MAX]) -> Match {
        if bare == BareWrite::Yes && self.cluster_scoped == ClusterScoped::Excluded {
            return Match::Misses(ScopeKey::Namespaces);
        }
        let mut found = Match::Covers;
        for Restriction { key, slot, globs } in &self.scopes {
            match combination.get(*slot) {
                Some(Atom::Name(name)) if globs.covers(name) => {}
                Some(Atom::Name(_)) => return Match::Misses(*key),
                _ if globs.covers_everything() => {}
                Some(Atom::Every | Atom::Unknown) => found = Match::Might(*key),
                Some(Atom::Absent) | None => return Match::Misses(*key),
            }
        }
        found
    }

    /// Whether the rule covers the combination's cluster, leaving namespaces aside.
    fn in_cluster(&self, combination: &[Atom<'_>; KEYS_MAX]) -> bool {
        let mut clusters = self.scopes.iter().filter(|scope| scope.key == ScopeKey::Clusters);
        clusters.all(|Restriction { slot, globs, .. }| match combination.get(*slot) {
            Some(Atom::Name(name)) => globs.covers(name),
            _ => globs.covers_everything(),
        })
    }

    fn runbook(&self, operation: &Operation) -> Option<&Arc<Runbook>> {
        let native = operation.native_tier();
        self.runbooks.iter().find(|runbook| runbook.lowers(native, &operation.pattern))
    }

    fn ruling(&self, tier: Tier) -> &Ruling {
        self.rulings.get(usize::from(tier.number())).unwrap_or(&self.held)
    }
}

// === impl Ruling ===

impl Ruling {
    fn new(verdict: Verdict, rule: impl Into<Arc<str>>, reason: Option<&str>) -> Self {
        Self { verdict, rule: rule.into(), reason: reason.map(Arc::from) }
    }
}

// === impl Fallback ===

impl Fallback {
    /// Returns what it means at `tier`: break-glass is let through by name only.
    pub const fn verdict(self, tier: Tier) -> Verdict {
        match (self, tier) {
            (Self::Escalate, Tier::Observe | Tier::Operate | Tier::Modify | Tier::Sensitive) => {
                Verdict::Escalate
            }
            (Self::Escalate, Tier::BreakGlass) | (Self::Deny, _) => Verdict::Deny,
        }
    }
}

// === impl Grants ===

impl Grants {
    /// Whether every one of `overrides` is granted.
    fn cover(&self, overrides: &[Override]) -> bool {
        let granted = |Override { kind, value }: &Override| {
            self.0.iter().any(|(own, globs)| own == kind && globs.covers(value))
        };
        overrides.iter().all(granted)
    }
}

// === impl Tool ===

/// The tools an operation uses, by name.
enum ToolNames {
    Known(Vec<String>),
    Unknown,
}

impl Tool {
    fn compile(spec: ToolSpec, groups: &[(String, Vec<PrincipalId>)]) -> Self {
        let ToolSpec { name, switch, roles, approval } = spec;
        let roles: Option<HashSet<String>> = roles.map(|roles| roles.into_iter().collect());
        let among = |group: &&(String, Vec<PrincipalId>)| {
            roles.as_ref().is_some_and(|roles| roles.contains(&group.0))
        };
        let members = groups.iter().filter(among).flat_map(|(_, members)| members.clone());
        let members = members.collect();
        let ruling = |verdict: Verdict, why: &str, reason: &str| {
            Ruling::new(
                verdict,
                format!("tools / {name} / {why} = {}", verdict.name()),
                Some(reason),
            )
        };
        Self {
            switch,
            roles,
            members,
            approval,
            disabled: ruling(Verdict::Deny, "enabled", "the tool is switched off"),
            barred: ruling(Verdict::Deny, "allowed_roles", "the caller has none of the roles"),
            asks: ruling(Verdict::Escalate, "require_approval", "the tool always asks a human"),
        }
    }

    /// Returns what the restriction demands of this caller, if anything.
    fn ruling(&self, query: &Query<'_>) -> Option<&Ruling> {
        let Query { principal, operation: _, now: _ } = query;
        let barred = self.roles.as_ref().is_some_and(|roles| {
            let own = principal.groups.iter().any(|group| roles.contains(group));
            !own && !self.members.contains(&principal.id)
        });
        match (self.switch, self.approval) {
            (ToolSwitch::Disabled, _) => Some(&self.disabled),
            (ToolSwitch::Enabled, _) if barred => Some(&self.barred),
            (ToolSwitch::Enabled, ToolApproval::Required) => Some(&self.asks),
            (ToolSwitch::Enabled, ToolApproval::ByRule) => None,
        }
    }
}

/// Names the tools an operation uses: the program it starts, the MCP tool it calls.
fn tool_names(operation: &Operation) -> ToolNames {
    let mut names = Vec::new();
    for key in [ScopeKey::Commands, ScopeKey::Tools] {
        match operation.scopes.names(key) {
            Some(Names::Known(known)) => names.extend(known.iter().cloned()),
            Some(Names::Every | Names::Unknown) => return ToolNames::Unknown,
            None => {}
        }
    }
    if let Pattern::Tool(server, tool) = &operation.pattern {
        names.extend([tool.clone(), format!("{server}/{tool}")]);
    }
    let mut programs = Vec::new();
    if let Some(first) = operation.description.argv.first() {
        let Some(program) = first.as_str() else { return ToolNames::Unknown };
        programs.push(program);
    }
    if let Pattern::Command(words) = &operation.pattern {
        programs.extend(words.first().map(String::as_str));
    }
    for program in programs {
        names
            .extend([program.to_owned(), program.rsplit('/').next().unwrap_or(program).to_owned()]);
    }
    ToolNames::Known(names)
}

fn index_runbooks(runbooks: Vec<Runbook>) -> Result<HashMap<String, Arc<Runbook>>, CompileError> {
    let mut index = HashMap::new();
    for runbook in runbooks {
        let name = runbook.name().to_string();
        if index.insert(name.clone(), Arc::new(runbook)).is_some() {
            return Err(CompileError::Duplicate(name));
        }
    }
    Ok(index)
}

fn index_tools(
    tools: Vec<ToolSpec>,
    groups: &[(String, Vec<PrincipalId>)],
) -> Result<HashMap<String, Tool>, CompileError> {
    let mut index = HashMap::new();
    for tool in tools {
        let name = tool.name.clone();
        if index.insert(name.clone(), Tool::compile(tool, groups)).is_some() {
            return Err(CompileError::Duplicate(name));
        }
    }
    Ok(index)
}

// === impl Words ===

impl Words {
    fn new() -> Self {
        let deny = |rule: &str, reason: &str| Ruling::new(Verdict::Deny, rule, Some(reason));
        Self {
            nothing_owed: Arc::new(Obligations::NONE),
            claimed: deny("unproven name = deny", "the caller only claims its name"),
            unknown: deny("unknown agent = deny", "the policy has no agent of this name"),
            too_many: deny(
                "too many names = deny",
                "it touches more names than are decided at once",
            ),
            class: "the rule does not name this class of break-glass".into(),
            evasion: "evasion is always refused".into(),
            not_understood: "what is not understood is always refused".into(),
        }
    }
}

// === impl CompileError ===

impl fmt::Display for CompileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BreakGlassAllow(agent, rule) => {
                write!(f, "rule {rule} of `{agent}` allows tier 4 without `dangerous_allow: true`")
            }
            Self::ClassesMissing(agent, rule) => {
                write!(f, "rule {rule} of `{agent}` does not deny tier 4 and names no `classes`")
            }
            Self::Duplicate(name) => write!(f, "`{name}` is there twice"),
            Self::ScopeKey(agent, rule, key) => {
                write!(f, "rule {rule} of `{agent}` cannot restrict `{}` there", key.name())
            }
        }
    }
}

impl std::error::Error for CompileError {}

/// The most combinations of names that one operation is decided by. Each is a walk over the rules
/// of one agent; a request that touches more is refused and can be split.
pub const COMBINATIONS_MAX: usize = 256;

/// An odd number with its bits well mixed (2^64 over the golden ratio).
const HASH_FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

/// The most scope keys any protocol has.
const KEYS_MAX: usize = 3;

/// One more than the greatest protocol number.
const PROTOCOL_SLOTS: usize = 9;

const _: () = {
    let mut place = 0;
    while place < Protocol::ALL.len() {
        #[expect(clippy::indexing_slicing, reason = "a constant, checked by the compiler")]
        let protocol = Protocol::ALL[place];
        assert!(protocol.scope_keys().len() <= KEYS_MAX && (protocol as usize) < PROTOCOL_SLOTS);
        place += 1;
    }
};
