//! Every policy that ships loads, and its table tests pass.

use std::{fs, path::Path};

use iddio_policy::{Format, Surroundings, default_policy, lint, load, test};

#[test]
fn every_example_loads_and_its_table_tests_pass() {
    let mut tables = 0;
    for (path, text) in shipped() {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if name.contains("_test.") {
            continue;
        }
        let format = Format::of_name(&name);
        let loaded = load(&text, format, &name).unwrap_or_else(|error| panic!("{error}"));
        let table = path
            .with_file_name(format!("{}_test.yaml", path.file_stem().unwrap().to_str().unwrap()));
        let Ok(source) = fs::read(&table) else { continue };
        let report = test(&loaded, &source, Format::Yaml, "table", &|_| None);
        let report = report.unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(report.failed(), 0, "{}:\n{report}", path.display());
        assert!(!report.cases.is_empty());
        tables += 1;
    }
    assert!(3 <= tables, "agent.yaml, agent.toml and team.yaml have tables");
}

#[test]
fn the_default_policy_allows_reads_asks_for_changes_and_refuses_break_glass() {
    use iddio_core::{
        operation::{Protocol, ScopeKey},
        policy::Verdict,
        tier::{Class, Tier},
    };

    use crate::support::{decide, known, operation, yaml};

    let loaded = yaml(&default_policy("ada"));
    let cases = [
        (Protocol::Kubernetes, ScopeKey::Namespaces),
        (Protocol::Terraform, ScopeKey::Workspaces),
        (Protocol::Helm, ScopeKey::Releases),
        (Protocol::Aws, ScopeKey::Services),
        (Protocol::Command, ScopeKey::Commands),
    ];
    for (protocol, key) in cases {
        for (tier, verdict) in [
            (Tier::Observe, Verdict::Allow),
            (Tier::Operate, Verdict::Escalate),
            (Tier::Modify, Verdict::Escalate),
            (Tier::Sensitive, Verdict::Escalate),
            (Tier::BreakGlass, Verdict::Deny),
        ] {
            for names in [vec![(key, known(&["x"]))], vec![]] {
                let mut asked = operation(protocol, tier, names);
                asked.class = Class::Destroy;
                assert_eq!(
                    decide(&loaded, "local:ada", &asked).verdict,
                    verdict,
                    "{protocol:?} {tier}"
                );
                assert_eq!(decide(&loaded, "local:eve", &asked).verdict, Verdict::Deny);
            }
        }
    }
}

#[test]
fn a_user_no_principal_can_be_named_after_is_given_no_rules() {
    for user in ["", "ada lovelace", "a\nb", "ada:root", "é"] {
        let text = default_policy(user);
        assert!(text.contains("local:YOUR-USER"), "{user}");
        crate::support::yaml(&text);
    }
    assert!(default_policy("ada").contains("local:ada:"));
}

#[test]
fn lint_has_no_warning_for_the_policies_that_ship() {
    for (path, text) in shipped() {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if name.contains("_test.") {
            continue;
        }
        let loaded = load(&text, Format::of_name(&name), &name).unwrap();
        let findings = lint(&loaded, &Surroundings::default());
        let expected = ["empty-policy", "unknown-group", "verdicts-out-of-order"];
        let warnings: Vec<_> = findings
            .iter()
            .filter(|finding| finding.level == iddio_policy::Level::Warning)
            .filter(|finding| !expected.contains(&finding.code))
            .collect();
        assert!(warnings.is_empty(), "{warnings:?}");
    }
}

#[test]
fn the_examples_of_the_reference_load() {
    let blocks = fenced(DOCS, "```yaml\n");
    let [policy, tools, table] = blocks.as_slice() else { panic!("{} blocks", blocks.len()) };
    let loaded = load(policy.as_bytes(), Format::Yaml, "docs").unwrap();
    load(tools.as_bytes(), Format::Yaml, "docs").unwrap();
    let report = test(&loaded, table.as_bytes(), Format::Yaml, "docs", &|_| None).unwrap();
    assert_eq!(report.failed(), 1, "the case with a command needs a classifier: {report}");
}

#[test]
fn the_reference_names_every_key() {
    for key in iddio_policy::keys() {
        assert!(DOCS.contains(&format!("`{key}`")), "{key}");
    }
}

const DOCS: &str = include_str!("../../../../docs/policy.md");

/// Returns the fenced blocks that begin with `fence`.
fn fenced<'a>(text: &'a str, fence: &str) -> Vec<&'a str> {
    text.split(fence).skip(1).filter_map(|rest| rest.split("```").next()).collect()
}

fn shipped() -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../policies");
    let mut files = vec![root.join("default.yaml")];
    for folder in ["examples", "runbooks"] {
        let entries = fs::read_dir(root.join(folder)).unwrap();
        files.extend(entries.map(|entry| entry.unwrap().path()));
    }
    let policy = |path: &std::path::PathBuf| {
        path.extension().is_some_and(|extension| extension == "yaml" || extension == "toml")
    };
    files.into_iter().filter(policy).map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}
