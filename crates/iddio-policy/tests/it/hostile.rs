//! Damaged and hostile files (F9): never a panic, never slow, never wider than what was written.

use std::time::Duration;

use iddio_core::{
    operation::{Names, Operation, Protocol, ScopeKey},
    tier::Tier,
};
use iddio_policy::{Format, LastGood, Reload, load};
use proptest::prelude::*;

use crate::support::{AGENT_TOML, AGENT_YAML, decide, known, operation, yaml};

const TEAM: &str = include_str!("../../../../policies/examples/team.yaml");

/// Operations that between them reach every rule of the example.
fn probes() -> Vec<Operation> {
    use Protocol::{Aws, Command, Helm, Kubernetes, Ssh, Terraform};
    use ScopeKey::{
        Accounts, Hosts, Namespaces, Regions, Releases, Services, SshPrincipals, Workspaces,
    };
    let scopes: Vec<(Protocol, Vec<(ScopeKey, Names)>)> = vec![
        (Kubernetes, vec![(Namespaces, known(&["payments"]))]),
        (Kubernetes, vec![(Namespaces, Names::Every)]),
        (Ssh, vec![(Hosts, known(&["prod-web-1"])), (SshPrincipals, known(&["deploy"]))]),
        (Terraform, vec![(Workspaces, known(&["staging-1"]))]),
        (Helm, vec![(Namespaces, known(&["staging-1"])), (Releases, known(&["nginx-1"]))]),
        (
            Aws,
            vec![
                (Services, known(&["s3"])),
                (Regions, known(&["us-east-1"])),
                (Accounts, known(&["123456789012"])),
            ],
        ),
        (Command, vec![]),
    ];
    let tiers = |(protocol, scopes): (Protocol, Vec<(ScopeKey, Names)>)| {
        Tier::ALL.map(|tier| operation(protocol, tier, scopes.clone()))
    };
    scopes.into_iter().flat_map(tiers).collect()
}

#[test]
fn a_file_cut_short_anywhere_is_refused_or_decides_no_milder() {
    let whole = yaml(AGENT_YAML);
    let probes = probes();
    let (mut loaded_cuts, mut refused_cuts) = (0, 0);
    for (text, format) in [(AGENT_YAML, Format::Yaml), (AGENT_TOML, Format::Toml)] {
        for end in 0..text.len() {
            match load(&text.as_bytes()[..end], format, "p") {
                Ok(cut) => {
                    loaded_cuts += 1;
                    for probe in &probes {
                        let before = decide(&whole, "claude-code", probe).verdict.strictness();
                        let after = decide(&cut, "claude-code", probe).verdict.strictness();
                        assert!(before <= after, "cut at {end}: {probe:?}");
                    }
                }
                Err(_) => refused_cuts += 1,
            }
        }
    }
    assert!(30 < loaded_cuts && 1_000 < refused_cuts, "{loaded_cuts} {refused_cuts}");
}

#[test]
fn flipped_bits_are_survived_and_break_glass_stays_closed() {
    let mut holder = LastGood::new(yaml(AGENT_YAML));
    let first = holder.current().version;
    let (mut accepted, mut refused) = (0, 0);
    for (text, format) in [(AGENT_YAML, Format::Yaml), (AGENT_TOML, Format::Toml)] {
        for place in 0..text.len() {
            for bit in [0, 2, 5, 7] {
                let mut bytes = text.as_bytes().to_vec();
                bytes[place] ^= 1 << bit;
                match holder.offer(&bytes, format, "p") {
                    Reload::Refused { kept, .. } => {
                        refused += 1;
                        assert_eq!((kept, holder.current().version), (first, first));
                    }
                    Reload::Accepted { .. } => {
                        accepted += 1;
                        for probe in probes().iter().filter(|probe| probe.tier == Tier::BreakGlass)
                        {
                            let decision = decide(&holder.current(), "claude-code", probe);
                            assert_eq!(decision.verdict, iddio_core::policy::Verdict::Deny);
                        }
                        holder = LastGood::new(yaml(AGENT_YAML));
                    }
                }
            }
        }
    }
    assert!(1_000 < accepted && 2_000 < refused, "{accepted} {refused}");
}

#[test]
fn bombs_are_refused_before_they_go_off() {
    let nested_anchors = {
        let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for level in 1..10 {
            let previous = format!("*a{}, ", level - 1).repeat(10);
            text.push_str(&format!("a{level}: &a{level} [{previous}]\n"));
        }
        text
    };
    let keys: String = (0..200_000).map(|number| format!("k{number}: 1\n")).collect();
    let unknown: String = (0..100_000).map(|number| format!("k{number} = 1\n")).collect();
    let agents: String =
        (0..50_000).map(|number| format!("  a{number}: {{rules: [{{}}]}}\n")).collect();
    let bombs = [
        nested_anchors,
        unknown,
        format!("agents:\n{agents}"),
        format!("agents: {{é: 1, {}}}", "b: {rules: [{tiers: {}}]}, ".repeat(100_000)),
        format!("agents: {{b: {{rules: [{}]}}}}\nx: 1", "{tiers: {}}, ".repeat(50_000)),
        format!("default: deny\ngroups: {{g: [{}]}}", "a, ".repeat(100_000)),
        "[".repeat(1_000_000),
        "{a: ".repeat(200_000),
        "- ".repeat(200_000),
        "? ".repeat(100_000),
        "a:\n ".repeat(1_000),
        format!("default: {}", "x".repeat(3_000_000)),
        format!("default: \"{}", "\\".repeat(1_000_000)),
        keys,
        "!".repeat(500_000),
        "&a ".repeat(200_000),
        "\n".repeat(4_000_000),
        "#\n".repeat(2_000_000),
        format!("a = {}", "[".repeat(500_000)),
        format!("a = {}", "{a=".repeat(100_000)),
        format!("{} = 1", vec!["a"; 200_000].join(".")),
    ];
    for bomb in bombs {
        for format in [Format::Yaml, Format::Toml] {
            let (sender, receiver) = std::sync::mpsc::channel();
            let source = bomb.clone();
            std::thread::spawn(move || {
                let refused = load(source.as_bytes(), format, "p").is_err();
                sender.send(refused)
            });
            // Not a measurement: a bomb that goes off takes hours or all memory.
            let refused = receiver.recv_timeout(Duration::from_secs(60));
            let start: String = bomb.chars().take(20).collect();
            assert_eq!(refused, Ok(true), "{format:?} {start}");
        }
    }
}

fn mutated() -> impl Strategy<Value = (Vec<u8>, Format)> {
    let sources = prop_oneof![
        Just((AGENT_YAML, Format::Yaml)),
        Just((TEAM, Format::Yaml)),
        Just((AGENT_TOML, Format::Toml)),
    ];
    let edit =
        (any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<Vec<u8>>(), 0..5_u8);
    (sources, prop::collection::vec(edit, 1..6)).prop_map(|((text, format), edits)| {
        let mut bytes = text.as_bytes().to_vec();
        for (one, other, noise, kind) in edits {
            if bytes.is_empty() {
                break;
            }
            let (one, other) = (one.index(bytes.len()), other.index(bytes.len()));
            let (start, end) = (one.min(other), one.max(other));
            match kind {
                0 => bytes.truncate(start),
                1 => drop(bytes.drain(start..end.min(start + 40))),
                2 => drop(bytes.splice(start..start, noise)),
                3 => {
                    let copied = bytes[start..end.min(start + 80)].to_vec();
                    drop(bytes.splice(end..end, copied));
                }
                _ => bytes.swap(start, end),
            }
        }
        (bytes, format)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_mutated_file_never_panics_and_a_refused_one_replaces_nothing((bytes, format) in mutated()) {
        let mut holder = LastGood::new(yaml("agents: {}"));
        let before = holder.current().version;
        match holder.offer(&bytes, format, "p") {
            Reload::Accepted { new, .. } => prop_assert_eq!(new, holder.current().version),
            Reload::Refused { error, .. } => {
                prop_assert_eq!(holder.current().version, before);
                prop_assert!(!error.diagnostics.is_empty());
                prop_assert!(!error.to_string().chars().any(|c| c.is_control() && c != '\n'));
            }
        }
    }

    #[test]
    fn noise_never_panics(bytes in any::<Vec<u8>>(), text in "\\PC{0,200}") {
        for format in [Format::Yaml, Format::Toml] {
            drop(load(&bytes, format, "p"));
            drop(load(text.as_bytes(), format, "p"));
        }
    }
}
