//! Why a policy decides as it does: which rule, which scope, which tier, and why not the others.
//!
//! The explanation watches the engine decide ([`Trace`]); it never decides by itself, so it cannot
//! disagree.

use std::fmt;

use iddio_core::{
    operation::ScopeKey,
    policy::{
        Decision, Query,
        engine::{Atom, Match, RuleSpec, Trace},
        pattern::Globs,
    },
};
use serde::Serialize;

use crate::{
    model::{Loaded, RulePlaces},
    source::{Position, printable},
};

/// A decision and how it came about.
#[derive(Clone, Debug, Serialize)]
pub struct Explanation {
    /// The principal.
    pub agent: String,
    /// The protocol it was decided under.
    pub protocol: &'static str,
    /// What was decided.
    pub verdict: &'static str,
    /// The tier by nature, with every override held against it.
    pub native_tier: u8,
    /// The tier it was judged at.
    pub tier: u8,
    /// The rule, as records name it.
    pub rule: String,
    /// The runbook that lowered the tier.
    pub runbook: Option<String>,
    /// Why, where the rule does not say.
    pub reason: Option<String>,
    /// Whether the overrides were granted, if there are any.
    pub overrides: Option<&'static str>,
    /// Each combination of names, and how it was decided.
    pub combinations: Vec<Combination>,
    /// The rules that are about other protocols.
    pub other_protocols: Vec<OtherRule>,
    /// The file and the SHA-256 of its source.
    pub file: String,
    /// The policy's version.
    pub policy_version: String,
}

/// One name of each kind, decided by itself.
#[derive(Clone, Debug, Serialize)]
pub struct Combination {
    /// The names, as `namespace payments`.
    pub names: Vec<String>,
    /// What was decided for them.
    pub verdict: &'static str,
    /// At which tier.
    pub tier: u8,
    /// The rule, as records name it.
    pub rule: String,
    /// The rules in file order, up to the one that decided.
    pub rules: Vec<RuleFound>,
}

/// A rule held against one combination.
#[derive(Clone, Debug, Serialize)]
pub struct RuleFound {
    /// Which rule of the agent, from 1.
    pub rule: usize,
    /// Where it stands.
    pub position: Position,
    /// How it stands to the names.
    pub found: Found,
    /// Why, in words.
    pub why: String,
    /// What it says by itself, if it was heard.
    pub verdict: Option<&'static str>,
    /// Whether this rule's word is the one that stands.
    pub stands: Stands,
}

/// How a rule stands to a combination of names.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Found {
    /// It covers them and decides.
    Covers,
    /// It might cover a name that could not be established: it is heard.
    Might,
    /// It does not cover them.
    Misses,
}

/// Whether a rule's word is the one that stands for a combination.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Stands {
    /// It is.
    Decides,
    /// Another's is.
    No,
}

/// A rule that is about another protocol.
#[derive(Clone, Debug, Serialize)]
pub struct OtherRule {
    /// Which rule of the agent, from 1.
    pub rule: usize,
    /// Where it stands.
    pub position: Position,
    /// What it is about.
    pub protocol: &'static str,
}

/// Decides, and says why.
pub fn explain(loaded: &Loaded, query: &Query<'_>) -> Explanation {
    let Query { principal, operation, now: _ } = query;
    let agents = loaded.spec.agents.iter().zip(&loaded.places.agents);
    let mut own = agents.filter(|(agent, _)| agent.id == principal.id);
    let (rules, places) = match own.next() {
        Some((agent, places)) => (agent.rules.as_slice(), places.rules.as_slice()),
        None => Default::default(),
    };
    let mut watcher = Watcher { rules, places, combinations: Vec::new(), open: None };
    let decision = loaded.policy.decide(query, &mut watcher);
    let other = |(place, rule): (usize, &RuleSpec)| OtherRule {
        rule: place + 1,
        position: places.get(place).map(|places| places.rule).unwrap_or_default(),
        protocol: rule.protocol.name(),
    };
    let others = rules.iter().enumerate().filter(|(_, rule)| rule.protocol != operation.protocol);
    let overrides = match (operation.overrides.is_empty(), decision.overrides) {
        (true, _) => None,
        (false, iddio_core::policy::OverrideVerdict::Granted) => Some("granted"),
        (false, iddio_core::policy::OverrideVerdict::Held) => Some("held"),
    };
    Explanation {
        agent: principal.id.to_string(),
        protocol: operation.protocol.name(),
        verdict: decision.verdict.name(),
        native_tier: operation.native_tier().number(),
        tier: decision.effective.number(),
        rule: decision.rule.to_string(),
        runbook: decision.runbook.as_deref().map(str::to_owned),
        reason: decision.reason.as_deref().map(str::to_owned),
        overrides,
        combinations: watcher.combinations,
        other_protocols: others.map(other).collect(),
        file: loaded.name.clone(),
        policy_version: loaded.version.to_hex(),
    }
}

/// Writes down what the engine does.
struct Watcher<'a> {
    rules: &'a [RuleSpec],
    places: &'a [RulePlaces],
    combinations: Vec<Combination>,
    open: Option<Open>,
}

/// A combination that is being decided.
struct Open {
    names: Vec<String>,
    rules: Vec<RuleFound>,
    words: Vec<(usize, std::sync::Arc<str>)>,
}

// === impl Watcher ===

impl Watcher<'_> {
    fn scope(&self, place: usize, key: ScopeKey) -> Option<&Globs> {
        let rule = self.rules.get(place.checked_sub(1)?)?;
        rule.scopes.iter().find(|(own, _)| *own == key).map(|(_, globs)| globs)
    }

    /// Says what a rule restricts: `namespaces payments, api-*`.
    fn scopes(&self, place: usize) -> String {
        let rule = place.checked_sub(1).and_then(|place| self.rules.get(place));
        let scopes = rule.map(|rule| rule.scopes.as_slice()).unwrap_or_default();
        let each = |(key, globs): &(ScopeKey, Globs)| format!("{} {globs}", key.name());
        match scopes {
            [] => "no scope restricts it".to_owned(),
            scopes => scopes.iter().map(each).collect::<Vec<_>>().join("; "),
        }
    }

    fn why(&self, place: usize, found: Match) -> String {
        let namespaces = self.scope(place, ScopeKey::Namespaces);
        let every = namespaces.is_none_or(Globs::covers_everything);
        let patterns = |key| self.scope(place, key).map(Globs::to_string).unwrap_or_default();
        match found {
            Match::Covers => self.scopes(place),
            Match::Might(key) => {
                format!("{} {} might be meant", key.name(), patterns(key))
            }
            Match::Misses(ScopeKey::Namespaces) if every => {
                "writes to objects without a namespace need `cluster_scoped: true`".to_owned()
            }
            Match::Misses(key) => format!("{} {} does not cover it", key.name(), patterns(key)),
        }
    }
}

impl Trace for Watcher<'_> {
    fn combination(&mut self, keys: &[ScopeKey], atoms: &[Atom<'_>]) {
        let name = |(key, atom): (&ScopeKey, &Atom<'_>)| match atom {
            Atom::Absent => None,
            Atom::Every => Some(format!("{} every", key.name())),
            Atom::Name(name) => Some(format!("{} {}", key.name(), printable(name))),
            Atom::Unknown => Some(format!("{} unknown", key.name())),
        };
        let names = keys.iter().zip(atoms).filter_map(name).collect();
        self.open = Some(Open { names, rules: Vec::new(), words: Vec::new() });
    }

    fn rule(&mut self, place: usize, found: Match) {
        let position = place.checked_sub(1).and_then(|place| self.places.get(place));
        let position = position.map(|places| places.rule).unwrap_or_default();
        let why = self.why(place, found);
        let found = match found {
            Match::Covers => Found::Covers,
            Match::Might(_) => Found::Might,
            Match::Misses(_) => Found::Misses,
        };
        let stands = Stands::No;
        if let Some(open) = &mut self.open {
            open.rules.push(RuleFound { rule: place, position, found, why, verdict: None, stands });
        }
    }

    fn applied(&mut self, place: usize, decision: &Decision) {
        let Some(open) = &mut self.open else { return };
        open.words.push((place, decision.rule.clone()));
        if let Some(last) = open.rules.last_mut() {
            last.verdict = Some(decision.verdict.name());
        }
    }

    fn decided(&mut self, decision: &Decision) {
        let Some(Open { names, mut rules, words }) = self.open.take() else { return };
        let word = words.iter().find(|(_, rule)| std::sync::Arc::ptr_eq(rule, &decision.rule));
        for rule in &mut rules {
            if word.is_some_and(|(place, _)| *place == rule.rule) {
                rule.stands = Stands::Decides;
            }
        }
        self.combinations.push(Combination {
            names,
            verdict: decision.verdict.name(),
            tier: decision.effective.number(),
            rule: decision.rule.to_string(),
            rules,
        });
    }
}

// === impl Explanation ===

impl Explanation {
    /// Returns the whole in one line: tier, rule, verdict.
    pub fn headline(&self) -> String {
        let tier = match &self.runbook {
            Some(runbook) => format!("T{} → T{} by runbook {runbook}", self.native_tier, self.tier),
            None if self.tier < self.native_tier => {
                format!("T{} → T{} by granted overrides", self.native_tier, self.tier)
            }
            None => format!("T{}", self.tier),
        };
        let deciding = self.combinations.iter().find(|combination| combination.rule == self.rule);
        let rule = deciding.and_then(|combination| {
            combination.rules.iter().find(|rule| rule.stands == Stands::Decides)
        });
        let said = match (rule, deciding) {
            (Some(rule), Some(combination)) => {
                let value = |name: &String| name.split_once(' ').map(|(_, name)| name.to_owned());
                let names = combination.names.iter().filter_map(value);
                let title: Vec<_> =
                    std::iter::once(self.protocol.to_owned()).chain(names).collect();
                format!(
                    "rule {} ({}) tier {} = {}",
                    rule.rule,
                    title.join(", "),
                    self.tier,
                    self.verdict
                )
            }
            _ => self.rule.clone(),
        };
        match &self.reason {
            Some(reason) => format!("{tier}; {said}: {reason}"),
            None => format!("{tier}; {said}"),
        }
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.headline())?;
        for Combination { names, verdict, tier, rules, .. } in &self.combinations {
            let names = if names.is_empty() { "no scopes".to_owned() } else { names.join(", ") };
            write!(f, "\n  {names}: T{tier} {verdict}")?;
            for RuleFound { rule, position, found, why, verdict, stands } in rules {
                let mark = match (found, stands) {
                    (_, Stands::Decides) => "decides",
                    (Found::Covers, Stands::No) => "covers",
                    (Found::Might, Stands::No) => "heard",
                    (Found::Misses, Stands::No) => "misses",
                };
                let line = position.line;
                write!(f, "\n    rule {rule:<3} line {line:<5} {mark:<8} {why}")?;
                if let Some(verdict) = verdict {
                    write!(f, " → {verdict}")?;
                }
            }
        }
        for OtherRule { rule, position, protocol } in &self.other_protocols {
            let line = position.line;
            write!(f, "\n    rule {rule:<3} line {line:<5} other    it is about {protocol}")?;
        }
        if let Some(overrides) = self.overrides {
            write!(f, "\n  overrides of identity or route: {overrides}")?;
        }
        write!(f, "\n  policy {} ({})", self.policy_version, self.file)
    }
}
