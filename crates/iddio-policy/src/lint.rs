//! What is allowed to stand in a policy and is probably not meant.
//!
//! Lint never changes what a policy decides and never refuses one.

use std::fmt;

use iddio_core::{
    approval::Assurance,
    operation::{Protocol, ScopeKey},
    policy::{
        Verdict,
        engine::{AgentSpec, BreakGlassAllow, ClusterScoped, Fallback, RuleSpec},
        pattern::{Glob, Globs},
        runbook::{Runbook, RunbookOperation},
    },
    principal::PrincipalId,
    tier::{Class, Tier},
};
use serde::Serialize;

use crate::{
    model::{AgentPlaces, Loaded, RulePlaces},
    reader::{listed, nearest},
    source::Position,
};

/// What lint knows beside the policy.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// The humans who can answer asks. `None`: not known, so nothing is said about them.
    pub operators: Option<Vec<Operator>>,
    /// Catalog rules of this installation that judge lower than those it ships with, in words.
    pub lowered: Vec<String>,
}

/// A human who can answer asks.
#[derive(Clone, Debug)]
pub struct Operator {
    /// Who.
    pub id: PrincipalId,
    /// The groups policy may name.
    pub groups: Vec<String>,
    /// The greatest assurance their answer can have.
    pub assurance: Assurance,
}

/// One remark.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Finding {
    /// How much it matters.
    pub level: Level,
    /// A word for machines: `shadowed-rule`.
    pub code: &'static str,
    /// The file.
    pub file: String,
    /// Where, or 0:0 for the whole.
    #[serde(flatten)]
    pub position: Position,
    /// What and why.
    pub message: String,
}

/// How much a finding matters.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Good to know.
    Note,
    /// Probably not meant.
    Warning,
}

/// Looks a policy over. Findings come in the order of the file.
pub fn lint(loaded: &Loaded, surroundings: &Surroundings) -> Vec<Finding> {
    let mut linter = Linter { loaded, surroundings, findings: Vec::new() };
    for (agent, places) in loaded.spec.agents.iter().zip(&loaded.places.agents) {
        linter.agent(agent, places);
    }
    for runbook in &loaded.spec.runbooks {
        linter.runbook(runbook);
    }
    linter.tools();
    for lowered in &surroundings.lowered {
        let message = format!("a catalog of this installation lowers {lowered}");
        linter.note(Level::Warning, "lowered-tier", Position::default(), message);
    }
    if loaded.spec.agents.is_empty() {
        let message = "no agent is named: everything is refused".to_owned();
        linter.note(Level::Warning, "empty-policy", Position::default(), message);
    }
    linter.findings.sort_by_key(|finding| finding.position);
    linter.findings
}

struct Linter<'a> {
    loaded: &'a Loaded,
    surroundings: &'a Surroundings,
    findings: Vec<Finding>,
}

// === impl Linter ===

impl Linter<'_> {
    fn note(&mut self, level: Level, code: &'static str, position: Position, message: String) {
        let file = self.loaded.name.clone();
        self.findings.push(Finding { level, code, file, position, message });
    }

    fn agent(&mut self, agent: &AgentSpec, places: &AgentPlaces) {
        for (number, (rule, at)) in agent.rules.iter().zip(&places.rules).enumerate() {
            let earlier = agent.rules.iter().take(number);
            if let Some(shadow) = earlier.enumerate().find(|(_, other)| shadows(other, rule)) {
                let message = format!("rule {} covers all that this rule covers", shadow.0 + 1);
                self.note(Level::Warning, "shadowed-rule", at.rule, message);
            }
            self.tiers(rule, at);
            self.break_glass(rule, at);
            self.scopes(rule, at);
            self.names(rule, at);
            self.approvers(rule, at);
        }
    }

    fn tiers(&mut self, rule: &RuleSpec, at: &RulePlaces) {
        let unnamed = Tier::ALL.into_iter().zip(rule.tiers).filter(|(_, said)| said.is_none());
        let unnamed: Vec<_> = unnamed.map(|(tier, _)| tier.number().to_string()).collect();
        if !unnamed.is_empty() {
            let names: Vec<_> = unnamed.iter().map(String::as_str).collect();
            let default = match self.loaded.spec.fallback {
                Fallback::Deny => "deny",
                Fallback::Escalate => "escalate, and deny for tier 4",
            };
            let message = format!("tier {} is left to the default ({default})", listed(&names));
            self.note(Level::Note, "tier-left-to-default", at.tiers, message);
        }
        let [_, _, _, sensitive, _] = rule.tiers;
        if sensitive == Some(Verdict::Allow) {
            let message = "tier 3 runs without asking: deletes, secret reads, identity changes";
            self.note(Level::Warning, "sensitive-allowed", at.tiers, message.to_owned());
        }
        let rank = |verdict: Verdict| verdict.strictness();
        let said: Vec<_> = rule.tiers.iter().flatten().copied().collect();
        if said.windows(2).any(|pair| matches!(pair, [low, high] if rank(*high) < rank(*low))) {
            let message = "a more dangerous tier has a milder verdict than a lesser one";
            self.note(Level::Warning, "verdicts-out-of-order", at.tiers, message.to_owned());
        }
    }

    fn break_glass(&mut self, rule: &RuleSpec, at: &RulePlaces) {
        let [.., top] = rule.tiers;
        let dangerous = rule.break_glass == BreakGlassAllow::DangerousAllow;
        let open = matches!(top, Some(Verdict::Allow | Verdict::Escalate));
        if dangerous && top == Some(Verdict::Allow) {
            let message = "break-glass runs without asking anybody".to_owned();
            self.note(Level::Warning, "dangerous-allow", key(at, "dangerous_allow"), message);
        } else if dangerous {
            let message = "`dangerous_allow` changes nothing: tier 4 is not allowed".to_owned();
            self.note(Level::Note, "idle-key", key(at, "dangerous_allow"), message);
        }
        if !open && !rule.classes.is_empty() {
            let message = "`classes` change nothing: tier 4 is denied".to_owned();
            self.note(Level::Note, "idle-key", key(at, "classes"), message);
        }
        let never = |class: &&Class| matches!(class, Class::Evasion | Class::Unknown);
        if let Some(class) = rule.classes.iter().find(never).filter(|_| open) {
            let message = format!("class `{}` is always refused, named or not", class.name());
            self.note(Level::Warning, "class-never-passes", key(at, "classes"), message);
        }
    }

    fn scopes(&mut self, rule: &RuleSpec, at: &RulePlaces) {
        for (scope, globs) in &rule.scopes {
            let position = key(at, scope.name());
            if globs.covers_everything() {
                let message =
                    format!("`*` restricts nothing: as if `{}` were not there", scope.name());
                self.note(Level::Note, "glob-covers-everything", position, message);
            }
            for (number, glob) in globs.iter().enumerate() {
                if let Some(why) = impossible(*scope, glob) {
                    let message = format!("`{glob}` covers nothing: {why}");
                    self.note(Level::Warning, "glob-covers-nothing", position, message);
                }
                let open = |character| matches!(character, '*' | '?');
                if !glob.is_everything() && glob.as_str().chars().all(open) {
                    let message = format!("`{glob}` covers nearly everything");
                    self.note(Level::Warning, "glob-covers-everything", position, message);
                }
                let before = globs.iter().enumerate();
                let wider = before.filter(|(other, _)| *other != number).map(|(_, glob)| glob);
                let mut wider = wider.filter(|wider| wider.as_str() != glob.as_str());
                if let Some(wider) = wider.find(|wider| includes(wider, glob)) {
                    let message = format!("`{glob}` adds nothing to `{wider}`");
                    self.note(Level::Note, "glob-adds-nothing", position, message);
                }
            }
        }
    }

    fn names(&mut self, rule: &RuleSpec, at: &RulePlaces) {
        let known: Vec<&str> =
            self.loaded.spec.runbooks.iter().map(|r| r.name().as_ref()).collect();
        for name in &rule.runbooks {
            if !known.contains(&name.as_str()) {
                let hint = nearest(name, &known).map(|near| format!("; did you mean `{near}`?"));
                let message = format!("there is no runbook `{name}`{}", hint.unwrap_or_default());
                self.note(Level::Warning, "unknown-runbook", key(at, "runbooks"), message);
            }
        }
        for group in &rule.obligations.approvers {
            self.group(group, key(at, "approvers"));
        }
    }

    fn group(&mut self, group: &String, position: Position) {
        let operators = self.surroundings.operators.as_deref();
        let elsewhere = operators.map(|all| all.iter().any(|one| one.groups.contains(group)));
        if !self.loaded.groups.contains_key(group) && elsewhere != Some(true) {
            let known: Vec<_> = self.loaded.groups.keys().map(String::as_str).collect();
            let hint = nearest(group, &known).map(|near| format!("; did you mean `{near}`?"));
            let message = format!("nobody is known in group `{group}`{}", hint.unwrap_or_default());
            self.note(Level::Warning, "unknown-group", position, message);
        }
    }

    /// Whether anybody could answer what the rule escalates.
    fn approvers(&mut self, rule: &RuleSpec, at: &RulePlaces) {
        let escalates = |tier: Tier| {
            rule.tiers.get(usize::from(tier.number())).copied().flatten() == Some(Verdict::Escalate)
        };
        let Some(worst) = Tier::ALL.into_iter().rev().find(|tier| escalates(*tier)) else { return };
        let owed = &rule.obligations;
        let needed = match (owed.required_approvers, worst) {
            (0, Tier::BreakGlass) if rule.classes != [Class::Session] => 2,
            (0, _) => 1,
            (named, _) => named,
        };
        let least = owed.assurance.max(match worst {
            Tier::Sensitive | Tier::BreakGlass => Assurance::Uid,
            Tier::Observe | Tier::Operate | Tier::Modify => Assurance::None,
        });
        let Some(operators) = &self.surroundings.operators else { return };
        let able = |operator: &&Operator| {
            let groups = &owed.approvers;
            let member = |group: &String| {
                operator.groups.contains(group)
                    || self.loaded.groups.get(group).is_some_and(|all| all.contains(&operator.id))
            };
            least <= operator.assurance && (groups.is_empty() || groups.iter().any(member))
        };
        let able = operators.iter().filter(able).count();
        if least != Assurance::None && able < usize::from(needed) {
            let message = format!(
                "tier {} asks for {needed} approver(s) of assurance {} and {able} can answer",
                worst.number(),
                least.name(),
            );
            self.note(Level::Warning, "nobody-can-answer", at.tiers, message);
        }
    }

    fn runbook(&mut self, runbook: &Runbook) {
        let name = runbook.name();
        let position = self.loaded.places.runbooks.get(name.as_ref()).copied().unwrap_or_default();
        let rules = self.loaded.spec.agents.iter().flat_map(|agent| &agent.rules);
        if !rules.into_iter().any(|rule| rule.runbooks.iter().any(|own| **own == **name)) {
            let message = format!("no rule consults runbook `{name}`");
            self.note(Level::Note, "unused-runbook", position, message);
        }
        for operation in runbook.operations() {
            let RunbookOperation::Kubernetes(operation) = operation else { continue };
            if operation.resources.covers("secrets") && runbook.cap() == Tier::Sensitive {
                let message = format!("runbook `{name}` approves secrets in advance");
                self.note(Level::Warning, "runbook-secrets", position, message);
            }
            if operation.resources.covers_everything() {
                let message = format!("runbook `{name}` approves every resource in advance");
                self.note(Level::Warning, "runbook-everything", position, message);
            }
        }
    }

    fn tools(&mut self) {
        for tool in &self.loaded.spec.tools {
            let position = self.loaded.places.tools.get(&tool.name).copied().unwrap_or_default();
            for role in tool.roles.iter().flatten() {
                self.group(role, position);
            }
        }
    }
}

fn key(at: &RulePlaces, key: &str) -> Position {
    at.keys.get(key).copied().unwrap_or(at.rule)
}

/// Whether `earlier` covers all that `later` covers, so that `later` is never reached.
fn shadows(earlier: &RuleSpec, later: &RuleSpec) -> bool {
    let within = |key: &ScopeKey| match (scope(earlier, *key), scope(later, *key)) {
        (None, _) => true,
        (Some(wide), None) => wide.covers_everything(),
        (Some(wide), Some(narrow)) => narrow.iter().all(|glob| covered(wide, glob)),
    };
    let cluster = earlier.protocol != Protocol::Kubernetes
        || earlier.cluster_scoped == ClusterScoped::Covered
        || later.cluster_scoped == ClusterScoped::Excluded;
    earlier.protocol == later.protocol
        && cluster
        && earlier.protocol.scope_keys().iter().all(within)
}

fn scope(rule: &RuleSpec, key: ScopeKey) -> Option<&Globs> {
    rule.scopes.iter().find(|(own, _)| *own == key).map(|(_, globs)| globs)
}

fn covered(wide: &Globs, narrow: &Glob) -> bool {
    wide.iter().any(|wide| includes(wide, narrow))
}

/// Whether every name that `narrow` covers is covered by `wide`, as far as the texts tell: never
/// yes when it is no.
fn includes(wide: &Glob, narrow: &Glob) -> bool {
    let by_run = !wide.as_str().contains('?')
        && !narrow.as_str().contains("**")
        && !narrow.is_everything()
        && wide.covers(narrow.as_str());
    wide.is_everything() || wide.as_str() == narrow.as_str() || by_run
}

/// Returns why no name is like that, where the names of a kind have a known shape.
fn impossible(key: ScopeKey, glob: &Glob) -> Option<&'static str> {
    let text = glob.as_str();
    let open = |character: char| matches!(character, '*' | '?');
    let all = |sound: fn(char) -> bool| text.chars().all(|c| open(c) || sound(c));
    let label = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.');
    match key {
        ScopeKey::Accounts if !all(|c| c.is_ascii_digit()) => Some("account ids are digits"),
        ScopeKey::Accounts if glob.is_exact() && text.len() != 12 => {
            Some("account ids have 12 digits")
        }
        ScopeKey::Namespaces if !all(label) => {
            Some("namespaces are lower-case letters, digits and `-`")
        }
        ScopeKey::Methods if !all(|c| c.is_ascii_uppercase()) => Some("methods are upper case"),
        ScopeKey::Paths if !text.starts_with(['/', '*', '?']) => Some("paths begin with `/`"),
        ScopeKey::Hosts if text.contains('/') => Some("hosts hold no `/`"),
        ScopeKey::Regions | ScopeKey::Services
            if text.contains(|c: char| c.is_ascii_uppercase()) =>
        {
            Some("regions and services are lower case")
        }
        _ => None,
    }
}

// === impl Finding ===

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { level, code, file, position, message } = self;
        let level = match level {
            Level::Note => "note",
            Level::Warning => "warning",
        };
        match *position == Position::default() {
            true => write!(f, "{file}: {level}: {message} [{code}]"),
            false => write!(f, "{file}:{position}: {level}: {message} [{code}]"),
        }
    }
}
