//! Properties of decisions, over policies and operations drawn at random.
//!
//! The model decides by brute force: every name that could not be established is replaced by each
//! name there is, and the strictest verdict stands. It shares nothing with the engine.

use iddio_core::{
    digest::Digest,
    operation::{Names, Operation, Protocol, ScopeKey},
    policy::{
        Obligations, Query, Verdict,
        engine::{
            AgentSpec, BreakGlassAllow, ClusterScoped, Fallback, Grants, Policy, PolicySpec,
            RuleSpec,
        },
        pattern::{Glob, GlobKind, Globs},
    },
    principal::PrincipalId,
    tier::{Class, Tier},
};
use proptest::prelude::*;

use crate::{
    decisions::Silent,
    support::{NOW, operation, principal},
};

/// The names of the little world the model lives in.
const WORLD: [&str; 4] = ["dev", "prod", "prod-1", "test"];

const PATTERNS: [&str; 7] = ["*", "prod*", "prod", "dev", "?es*", "prod-?", "*t"];

fn globs() -> impl Strategy<Value = Vec<&'static str>> {
    prop::collection::vec(prop::sample::select(&PATTERNS[..]), 1..3)
}

fn verdict() -> impl Strategy<Value = Option<Verdict>> {
    prop_oneof![
        Just(None),
        Just(Some(Verdict::Allow)),
        Just(Some(Verdict::Deny)),
        Just(Some(Verdict::Escalate)),
    ]
}

#[derive(Clone, Debug)]
struct Rule {
    namespaces: Option<Vec<&'static str>>,
    releases: Option<Vec<&'static str>>,
    tiers: [Option<Verdict>; 5],
}

fn rule() -> impl Strategy<Value = Rule> {
    let tiers = prop::array::uniform5(verdict());
    (prop::option::of(globs()), prop::option::of(globs()), tiers)
        .prop_map(|(namespaces, releases, tiers)| Rule { namespaces, releases, tiers })
}

fn rules() -> impl Strategy<Value = Vec<Rule>> {
    prop::collection::vec(rule(), 0..6)
}

fn names() -> impl Strategy<Value = Option<Names>> {
    let some = prop::sample::subsequence(WORLD.to_vec(), 1..=3);
    prop_oneof![
        1 => Just(None),
        1 => Just(Some(Names::Every)),
        1 => Just(Some(Names::Unknown)),
        4 => some.prop_map(|names| Some(Names::Known(names.into_iter().map(str::to_owned).collect()))),
    ]
}

fn asked() -> impl Strategy<Value = Operation> {
    (names(), names(), prop::sample::select(&Tier::ALL[..])).prop_map(
        |(namespaces, releases, tier)| {
            let keys = [(ScopeKey::Namespaces, namespaces), (ScopeKey::Releases, releases)];
            let scopes =
                keys.into_iter().filter_map(|(key, names)| names.map(|names| (key, names)));
            let mut asked = operation(Protocol::Helm, tier, scopes);
            asked.class = Class::Session;
            asked
        },
    )
}

fn fallback() -> impl Strategy<Value = Fallback> {
    prop_oneof![Just(Fallback::Deny), Just(Fallback::Escalate)]
}

fn compile(rules: &[Rule], fallback: Fallback) -> Policy {
    let set = |patterns: &Vec<&str>| {
        Globs::new(patterns.iter().map(|text| Glob::new(GlobKind::Plain, text).unwrap()))
    };
    let spec = |rule: &Rule| RuleSpec {
        protocol: Protocol::Helm,
        scopes: [(ScopeKey::Namespaces, &rule.namespaces), (ScopeKey::Releases, &rule.releases)]
            .into_iter()
            .filter_map(|(key, patterns)| patterns.as_ref().map(|patterns| (key, set(patterns))))
            .collect(),
        tiers: rule.tiers,
        classes: vec![Class::Session],
        runbooks: Vec::new(),
        cluster_scoped: ClusterScoped::Excluded,
        grants: Grants::default(),
        obligations: Obligations::NONE,
        break_glass: BreakGlassAllow::DangerousAllow,
    };
    Policy::compile(PolicySpec {
        version: Digest::of_bytes(b""),
        fallback,
        agents: vec![AgentSpec {
            id: PrincipalId::new("a").unwrap(),
            rules: rules.iter().map(spec).collect(),
        }],
        runbooks: Vec::new(),
        tools: Vec::new(),
        groups: Vec::new(),
    })
    .unwrap()
}

fn engine(rules: &[Rule], fallback: Fallback, asked: &Operation) -> Verdict {
    let principal = principal("a");
    let query = Query { principal: &principal, operation: asked, now: NOW };
    compile(rules, fallback).decide(&query, &mut Silent).verdict
}

/// Matches a pattern by trying every way a run can end.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    match (pattern.split_first(), name.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), _) => (0..=name.len()).any(|taken| matches(rest, &name[taken..])),
        (Some((b'?', rest)), Some((_, others))) => matches(rest, others),
        (Some((one, rest)), Some((other, others))) => one == other && matches(rest, others),
        (Some(_), None) | (None, Some(_)) => false,
    }
}

/// Which names there might be: themselves if known, any of the world if not. `None` is no name.
fn possible(names: Option<&Names>) -> Vec<Option<&str>> {
    match names {
        None => vec![None],
        Some(Names::Known(names)) => names.iter().map(|name| Some(name.as_str())).collect(),
        Some(Names::Every | Names::Unknown) => WORLD.iter().map(|name| Some(*name)).collect(),
    }
}

fn covers(patterns: Option<&Vec<&str>>, name: Option<&str>) -> bool {
    patterns.is_none_or(|patterns| match name {
        None => patterns.contains(&"*"),
        Some(name) => patterns.iter().any(|pattern| matches(pattern.as_bytes(), name.as_bytes())),
    })
}

fn model(rules: &[Rule], fallback: Fallback, asked: &Operation) -> Verdict {
    let mut strictest = Verdict::Allow;
    for namespace in possible(asked.scopes.names(ScopeKey::Namespaces)) {
        for release in possible(asked.scopes.names(ScopeKey::Releases)) {
            let rule = rules.iter().find(|rule| {
                covers(rule.namespaces.as_ref(), namespace)
                    && covers(rule.releases.as_ref(), release)
            });
            let said = rule.and_then(|rule| rule.tiers[usize::from(asked.tier.number())]);
            let verdict = said.unwrap_or(match (fallback, asked.tier) {
                (Fallback::Deny, _) | (_, Tier::BreakGlass) => Verdict::Deny,
                (Fallback::Escalate, _) => Verdict::Escalate,
            });
            if strictest.strictness() < verdict.strictness() {
                strictest = verdict;
            }
        }
    }
    strictest
}

fn established(asked: &Operation) -> bool {
    asked.scopes.iter().all(|(_, names)| matches!(names, Names::Known(_)))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_decision_is_milder_than_that_of_any_name_it_might_mean(
        rules in rules(), fallback in fallback(), asked in asked(),
    ) {
        let (engine, model) = (engine(&rules, fallback, &asked), model(&rules, fallback, &asked));
        prop_assert!(model.strictness() <= engine.strictness(), "engine {engine:?}, model {model:?}");
        if established(&asked) {
            prop_assert_eq!(engine, model);
        }
    }

    #[test]
    fn adding_a_deny_never_allows(
        rules in rules(), more in rule(), place in any::<prop::sample::Index>(),
        fallback in fallback(), asked in asked(),
    ) {
        let before = engine(&rules, fallback, &asked);
        let mut stricter = rules;
        let place = place.index(stricter.len() + 1);
        stricter.insert(place, Rule { tiers: [Some(Verdict::Deny); 5], ..more });
        let after = engine(&stricter, fallback, &asked);
        prop_assert!(before.strictness() <= after.strictness());
    }

    #[test]
    fn removing_an_allow_from_a_rule_never_allows(
        rules in rules(), place in any::<prop::sample::Index>(), fallback in fallback(), asked in asked(),
    ) {
        prop_assume!(!rules.is_empty());
        let before = engine(&rules, fallback, &asked);
        let mut stricter = rules.clone();
        let place = place.index(rules.len());
        for said in &mut stricter[place].tiers {
            *said = said.filter(|said| *said != Verdict::Allow);
        }
        let after = engine(&stricter, fallback, &asked);
        prop_assert!(before.strictness() <= after.strictness());
    }

    #[test]
    fn one_name_more_never_allows(
        rules in rules(), fallback in fallback(), asked in asked(),
        key in prop::sample::select(&[ScopeKey::Namespaces, ScopeKey::Releases][..]),
        name in prop::sample::select(&WORLD[..]),
    ) {
        prop_assume!(asked.scopes.names(key).is_some());
        let before = engine(&rules, fallback, &asked);
        let mut wider = asked.clone();
        wider.scopes.add_name(key, name);
        prop_assert!(before.strictness() <= engine(&rules, fallback, &wider).strictness());
    }

    #[test]
    fn globs_match_as_the_definition_says(
        pattern in "[ab*?]{1,6}", name in "[ab]{0,8}",
    ) {
        if let Ok(glob) = Glob::new(GlobKind::Plain, &pattern) {
            prop_assert_eq!(glob.covers(&name), matches(pattern.as_bytes(), name.as_bytes()));
        }
    }
}
