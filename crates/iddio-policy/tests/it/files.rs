//! What loads and what does not: every error with its line, its column and its words, in both
//! formats.

use iddio_core::{
    approval::Assurance,
    audit::Durability,
    digest::Digest,
    policy::{CredentialReuse, FourEyes, Recorded, SharedApproval},
};
use iddio_policy::{Destination, Format, Inspected, LastGood, Reload, load};

use crate::support::{AGENT_TOML, AGENT_YAML, refused, yaml};

#[test]
fn a_mistake_is_shown_where_it_is() {
    let text =
        "agents:\n  a:\n    rules:\n      - protocol: aws\n        tiers:\n          2: alow\n";
    let expected = "\
policy.yaml:6:14: unknown verdict `alow`
    6 |           2: alow
      |              ^^^^ expected allow, escalate or deny; did you mean `allow`?";
    assert_eq!(refused(text, Format::Yaml), expected);
    let text = "[[agents.a.rules]]\nprotocol = \"aws\"\ntiers.2 = \"alow\"\n";
    let expected = "\
policy.toml:3:11: unknown verdict `alow`
    3 | tiers.2 = \"alow\"
      |           ^^^^^^ expected allow, escalate or deny; did you mean `allow`?";
    assert_eq!(refused(text, Format::Toml), expected);
}

#[test]
fn every_mistake_of_a_file_is_told_at_once_and_in_order() {
    let text =
        "default: no\nagents:\n  a: {rules: [{hosts: [x], tiers: {0: x, 7: deny}}]}\ngroups: 1\n";
    let message = refused(text, Format::Yaml);
    let heads: Vec<_> = message.lines().filter(|line| line.starts_with("policy.yaml")).collect();
    let expected = [
        "policy.yaml:1:10: unknown default `no`",
        "policy.yaml:3:16: `hosts` is no scope of kubernetes",
        "policy.yaml:3:39: unknown verdict `x`",
        "policy.yaml:3:42: unknown tier `7`",
        "policy.yaml:4:9: `1` is a number",
    ];
    assert_eq!(heads, expected);
}

/// A rule with one line more.
fn rule(line: &str) -> String {
    format!("agents:\n  a:\n    rules:\n      - {line}\n        tiers: {{0: allow}}\n")
}

fn toml_rule(line: &str) -> String {
    format!("[[agents.a.rules]]\n{line}\ntiers = {{ 0 = \"allow\" }}\n")
}

#[test]
fn every_mistake_of_a_rule_has_its_place_and_its_words() {
    // Each row: the YAML line, its column, the TOML line, its column, message, expectation.
    let rows: &[(&str, u32, &str, u32, &str, &str)] = &[
        (
            "protocol: kubernets",
            19,
            "protocol = \"kubernets\"",
            12,
            "unknown protocol `kubernets`",
            "did you mean `kubernetes`?",
        ),
        (
            "protocl: aws",
            9,
            "protocl = \"aws\"",
            1,
            "unknown key `protocl`",
            "did you mean `protocol`?",
        ),
        ("xyzzy: 1", 9, "xyzzy = 1", 1, "unknown key `xyzzy`", "expected one of 35 words"),
        (
            "hosts: [a]",
            9,
            "hosts = [\"a\"]",
            1,
            "`hosts` is no scope of kubernetes",
            "expected clusters or namespaces here",
        ),
        ("namespaces: []", 21, "namespaces = []", 14, "an empty list", "at least one item"),
        ("namespaces: x", 21, "namespaces = \"x\"", 14, "`x` is text", "expected a list"),
        (
            "namespaces: [7]",
            22,
            "namespaces = [7]",
            15,
            "`7` is a number",
            "text: write it in quotes",
        ),
        (
            "namespaces: [\"a b\"]",
            22,
            "namespaces = [\"a b\"]",
            15,
            "bad glob `a b`",
            "` ` has no meaning in a glob",
        ),
        (
            "namespaces: [\"a**\"]",
            22,
            "namespaces = [\"a**\"]",
            15,
            "bad glob `a**`",
            "`**` has a meaning in paths only",
        ),
        (
            "namespaces: [\"\"]",
            22,
            "namespaces = [\"\"]",
            15,
            "bad glob ``",
            "an empty glob covers nothing",
        ),
        (
            "classes: [sesion]",
            19,
            "classes = [\"sesion\"]",
            12,
            "unknown class `sesion`",
            "did you mean `session`?",
        ),
        (
            "required_approvers: 0",
            29,
            "required_approvers = 0",
            22,
            "`0` is out of range",
            "expected a number from 1 to 16",
        ),
        (
            "required_approvers: two",
            29,
            "required_approvers = \"two\"",
            22,
            "`two` is text",
            "expected a whole number",
        ),
        (
            "four_eyes: yes",
            20,
            "four_eyes = \"yes\"",
            13,
            "`yes` is text",
            "expected true or false",
        ),
        (
            "assurance: gpg",
            20,
            "assurance = \"gpg\"",
            13,
            "unknown assurance `gpg`",
            "none, uid, passphrase or hardware",
        ),
        ("timeout: soon", 18, "timeout = \"soon\"", 11, "bad duration `soon`", "90s, 30m or 1h30m"),
        ("timeout: 25h", 18, "timeout = \"25h\"", 11, "`25h` is out of range", "at most 1d"),
        ("timeout: 30", 18, "timeout = 30", 11, "`30` is a number", "expected a duration"),
        ("timeout: 0s", 18, "timeout = \"0s\"", 11, "`0s` is out of range", "more than 0"),
        (
            "timeout_minutes: 1441",
            26,
            "timeout_minutes = 1441",
            19,
            "`1441` is out of range",
            "from 1 to 1440",
        ),
        ("max_duration: 8d", 23, "max_duration = \"8d\"", 16, "`8d` is out of range", "at most 7d"),
        ("record: all", 17, "record = \"all\"", 10, "unknown recording `all`", "full or metadata"),
        (
            "durability: async",
            21,
            "durability = \"async\"",
            14,
            "unknown durability `async`",
            "did you mean `sync`?",
        ),
        (
            "credential: once",
            21,
            "credential = \"once\"",
            14,
            "unknown credential `once`",
            "per_request or reuse",
        ),
        ("shared_approval: 1", 26, "shared_approval = 1", 19, "`1` is a number", "true or false"),
        (
            "grants: {profile: [a]}",
            18,
            "grants = {profile = [\"a\"]}",
            11,
            "unknown key `profile`",
            "did you mean `profiles`?",
        ),
        ("grants: {env: []}", 23, "grants = {env = []}", 17, "an empty list", ""),
        (
            "approvers: [\"a b\"]",
            21,
            "approvers = [\"a b\"]",
            14,
            "bad name `a b`",
            "printable characters",
        ),
        ("notify: \"\"", 17, "notify = \"\"", 10, "bad name ``", ""),
        ("verify: [a]", 17, "verify = [\"a\"]", 10, "this is a list", "expected text"),
        (
            "dangerous_allow: \"true\"",
            26,
            "dangerous_allow = \"true\"",
            19,
            "`true` is text",
            "true or false",
        ),
        ("cluster_scoped: 3", 25, "cluster_scoped = 3", 18, "`3` is a number", "true or false"),
        (
            "runbooks: restart",
            19,
            "runbooks = \"restart\"",
            12,
            "`restart` is text",
            "expected a list",
        ),
    ];
    for (in_yaml, yaml_column, in_toml, toml_column, message, expected) in rows {
        for (text, format, line, column) in [
            (rule(in_yaml), Format::Yaml, 4, yaml_column),
            (toml_rule(in_toml), Format::Toml, 2, toml_column),
        ] {
            let error = load(text.as_bytes(), format, "p").map(|loaded| loaded.spec).unwrap_err();
            let first = error.diagnostics.first().unwrap();
            let place = (first.position.line, first.position.column);
            assert_eq!((place, first.message.as_str()), ((line, *column), *message), "{text}");
            assert!(first.expected.contains(expected), "{text}\n{}", first.expected);
        }
    }
}

#[test]
fn every_mistake_above_the_rules_has_its_place_and_its_words() {
    let rows: &[(&str, u32, u32, &str)] = &[
        ("default: allow\n", 1, 10, "unknown default `allow`"),
        ("agent: {}\n", 1, 1, "unknown key `agent`"),
        ("{}\n", 1, 1, "the policy says nothing"),
        ("agents: []\n", 1, 9, "this is a list"),
        ("agents:\n  \"a b\": {rules: [{tiers: {}}]}\n", 2, 3, "bad principal `a b`"),
        ("agents:\n  a: {}\n", 2, 6, "missing key `rules`"),
        ("agents:\n  a: {rules: []}\n", 2, 14, "an empty list"),
        ("agents:\n  a: {rules: [{}]}\n", 2, 15, "missing key `tiers`"),
        ("agents:\n  a: {rules: [{tiers: {5: deny}}]}\n", 2, 24, "unknown tier `5`"),
        ("agents:\n  a: {rules: [{tiers: {T0: deny}}]}\n", 2, 24, "unknown tier `T0`"),
        (
            "agents:\n  a: {rules: [{tiers: {4: allow}}]}\n",
            2,
            27,
            "tier 4 is allowed without asking",
        ),
        (
            "agents:\n  a: {rules: [{tiers: {4: escalate}}]}\n",
            2,
            27,
            "tier 4 is not denied and no class is named",
        ),
        (
            "agents:\n  a: {rules: [{tiers: {4: allow}, dangerous_allow: true}]}\n",
            2,
            27,
            "tier 4 is not denied and no class is named",
        ),
        (
            "agents:\n  a: {rules: [{timeout: 1m, timeout_minutes: 1, tiers: {}}]}\n",
            2,
            29,
            "`timeout_minutes` says the same as `timeout`",
        ),
        (
            "agents:\n  a: {rules: [{protocol: aws, cluster_scoped: true, tiers: {}}]}\n",
            2,
            31,
            "`cluster_scoped` has no meaning for aws",
        ),
        (
            "agents:\n  a: {rules: [{tiers: {}}]}\n  a: {rules: [{tiers: {}}]}\n",
            3,
            3,
            "duplicate key `a`",
        ),
        ("groups: {g: [\"a b\"]}\n", 1, 14, "bad principal `a b`"),
        ("groups: {g: [a, a]}\n", 1, 17, "`a` is there twice"),
        ("trusted: [{path: bin/x, sha256: \"00\"}]\n", 1, 18, "bad path `bin/x`"),
        ("trusted: [{path: /bin/../x}]\n", 1, 11, "missing key `sha256`"),
        ("tools: {t: {enable: true}}\n", 1, 13, "unknown key `enable`"),
        ("kubectl: {inspect: [\"10.0.0.1/8\"]}\n", 1, 21, "bad destination `10.0.0.1/8`"),
        ("google: {}\n", 1, 9, "missing key `inspect`"),
        ("runbooks:\n  r: {max_tier: 4, operations: []}\n", 2, 17, "`4` is out of range"),
        ("runbooks:\n  r: {operations: []}\n", 2, 19, "an empty list"),
        ("runbooks:\n  r: {operations: [{}]}\n", 2, 20, "the operation names nothing"),
        (
            "runbooks:\n  r: {operations: [{methods: [PATCH], resources: [x]}]}\n",
            2,
            20,
            "a write names the `fields` it may touch",
        ),
        (
            "runbooks:\n  r: {operations: [{methods: [DELETE], resources: [x]}]}\n",
            2,
            20,
            "a write names the `fields` it may touch",
        ),
        (
            "runbooks:\n  r: {operations: [{methods: [PATCH], resources: [x], fields: []}]}\n",
            2,
            20,
            "a write names the `fields` it may touch",
        ),
        (
            "runbooks:\n  r: {operations: [{methods: [PATCH], resources: [x], fields: [\"/\"]}]}\n",
            2,
            20,
            "a field is a JSON pointer to part of an object",
        ),
        (
            "runbooks:\n  r: {operations: [{methods: [PATCH], resources: [x], fields: [\"/a~2\"]}]}\n",
            2,
            20,
            "a field is a JSON pointer to part of an object",
        ),
        (
            "runbooks:\n  r: {operations: [{methods: [patch], resources: [x]}]}\n",
            2,
            31,
            "unknown method `patch`",
        ),
        (
            "runbooks:\n  r: {operations: [{methods: [GET], commands: [x]}]}\n",
            2,
            20,
            "the operation mixes protocols",
        ),
        (
            "runbooks:\n  r: {operations: [{commands: [\"a; b\"]}]}\n",
            2,
            32,
            "bad command pattern `a; b`",
        ),
        (
            "runbooks:\n  r: {operations: [{commands: [\"a  b\"]}]}\n",
            2,
            32,
            "bad command pattern `a  b`",
        ),
        ("runbooks:\n  r: {operations: [{tools: [\"a/\"]}]}\n", 2, 29, "bad tool `a/`"),
    ];
    for (text, line, column, message) in rows {
        let error = load(text.as_bytes(), Format::Yaml, "p").map(|loaded| loaded.spec).unwrap_err();
        let first = error.diagnostics.first().unwrap();
        let place = (first.position.line, first.position.column, first.message.as_str());
        assert_eq!(place, (*line, *column, *message), "{text}");
    }
}

#[test]
fn what_is_no_policy_at_all_is_refused_with_its_place() {
    let large = "#".repeat(iddio_policy::FILE_BYTES_MAX + 1);
    let deep = format!("agents: {}", "{a: ".repeat(40));
    let deep_list = "[".repeat(100_000);
    let rows: &[(&[u8], &str)] = &[
        (b"", "p:1:1: a value is missing"),
        (b"# nothing\n", "p:2:1: a value is missing"),
        (b"[]\n", "p:1:1: this is a list"),
        (b"default: deny\xff\n", "p:1:14: not UTF-8"),
        (b"\xef\xbb\xbfdefault: deny\n", "p:1:1: the file begins with a byte order mark"),
        (b"default: deny\n\0", "p:2:1: a control character"),
        (b"default: \x1b[2Jdeny\n", "p:1:10: a control character"),
        (b"default: &a deny\n", "p:1:13: an anchor or an alias"),
        (b"default: deny\ngroups: *x\n", "p:2:9: "),
        (b"agents: &a {x: 1}\n<<: *a\n", "p:1:12: an anchor or an alias"),
        (b"default: !!python/object deny\n", "p:1:26: not readable as YAML: unsupported tag"),
        (b"default: deny\n---\ndefault: deny\n", "p:2:1: more than one document"),
        (b"default: deny\ndefault: deny\n", "p:2:1: duplicate key `default`"),
        (b"? [a]\n: b\n", "p:1:3: not readable as YAML"),
        (b"a: [1,\n", "p:1:4: not readable as YAML"),
        (deep.as_bytes(), "p:1:"),
        (deep_list.as_bytes(), "p:1:"),
        (large.as_bytes(), "p:1:1: the file is larger than 4 MiB"),
    ];
    for (source, start) in rows {
        let error = load(source, Format::Yaml, "p").map(|loaded| loaded.spec).unwrap_err();
        let shown: String = error.to_string().chars().take(200).collect();
        assert!(shown.starts_with(start), "{shown}");
        assert!(!error.diagnostics.is_empty());
        load(source, Format::Toml, "p").map(|loaded| loaded.spec).unwrap_err();
    }
    for (text, start) in [
        ("default = \"deny\"\ndefault = \"deny\"\n", "p:2:1: duplicate key `default`"),
        ("default = ", "p:1:11: not readable as TOML"),
        ("[agents.a]\n[agents.a]\n", "p:2:9: duplicate key `a`"),
    ] {
        let error = load(text.as_bytes(), Format::Toml, "p").map(|loaded| loaded.spec).unwrap_err();
        assert!(error.to_string().starts_with(start), "{error}");
    }
}

#[test]
fn a_message_never_carries_what_could_move_a_cursor() {
    let text = "agents:\n  a:\n    rules: [{tiers: {0: \"al\u{202e}ow\"}}]\n";
    let message = refused(text, Format::Yaml);
    assert!(message.contains("unknown verdict `al\u{fffd}ow`"), "{message}");
    assert!(!message.contains('\u{202e}'));
}

#[test]
fn every_key_of_a_rule_is_read() {
    let loaded = yaml(
        "agents: {a: {rules: [{protocol: kubernetes, clusters: [c], namespaces: [n], tiers: {4: allow}, \
         classes: [session, identity], runbooks: [r], cluster_scoped: true, approvers: [sre], \
         required_approvers: 2, four_eyes: true, assurance: hardware, timeout: 1h30m, notify: ['#b', '#a'], \
         max_duration: 90s, record: full, durability: sync, credential: per_request, shared_approval: false, \
         grants: {endpoints: ['*'], profiles: [p], kubeconfigs: [/k], env: [A=b]}, dangerous_allow: true, \
         verify: check}]}}",
    );
    let rule = loaded.spec.agents.first().and_then(|agent| agent.rules.first()).unwrap();
    let owed = &rule.obligations;
    assert_eq!((rule.scopes.len(), rule.classes.len(), rule.grants.0.len()), (2, 2, 4));
    assert_eq!(rule.runbooks, ["r"]);
    assert_eq!((owed.approvers.as_slice(), owed.required_approvers), (&["sre".to_owned()][..], 2));
    assert_eq!((owed.four_eyes, owed.assurance), (FourEyes::Required, Assurance::Hardware));
    assert_eq!((owed.ask_millis, owed.run_millis_max), (Some(5_400_000), Some(90_000)));
    assert_eq!(owed.notify, ["#a", "#b"]);
    assert_eq!((owed.record, owed.durability), (Recorded::Full, Some(Durability::Sync)));
    assert_eq!(owed.credential, CredentialReuse::PerRequest);
    assert_eq!(
        (owed.shared_approval, owed.verify.as_deref()),
        (SharedApproval::Forbidden, Some("check"))
    );
}

#[test]
fn what_the_engine_does_not_use_is_typed_data() {
    let loaded = yaml(include_str!("../../../../policies/examples/team.yaml"));
    assert_eq!(loaded.groups.len(), 2);
    assert_eq!(
        loaded.trusted.first().map(|trusted| trusted.path.as_str()),
        Some("/usr/local/bin/deploy")
    );
    assert_eq!(loaded.spec.tools.len(), 3);
    let listed = loaded.inspect.get(&Inspected::Kubectl).unwrap();
    assert_eq!(
        listed.as_slice(),
        [
            Destination::Suffix("eks.example".to_owned()),
            Destination::Network("10.0.0.0".parse().unwrap(), 8),
            Destination::Address("2001:db8::1".parse().unwrap()),
        ]
    );
    assert_eq!(loaded.inspect.get(&Inspected::Generic).map(Vec::len), Some(0));
}

#[test]
fn destinations_are_hosts_suffixes_addresses_and_networks() {
    for text in [
        "a.example",
        "A.example",
        "*.b.example",
        "127.0.0.1",
        "::1",
        "10.0.0.0/8",
        "2001:db8::/32",
        "0.0.0.0/0",
    ] {
        assert!(Destination::parse(text).is_some(), "{text}");
    }
    for text in [
        "",
        "*",
        "*.",
        "*.com",
        "a b",
        "a/b",
        "10.0.0.1/8",
        "10.0.0.0/33",
        "10.0.0.0/+8",
        "1.2.3",
        "-a",
        "a..b",
        "a.*.b",
        "http://a",
    ] {
        assert_eq!(Destination::parse(text), None, "{text}");
    }
}

#[test]
fn the_version_is_the_digest_of_the_source() {
    let loaded = yaml(AGENT_YAML);
    assert_eq!(loaded.version, Digest::of_bytes(AGENT_YAML.as_bytes()));
    let other = load(AGENT_TOML.as_bytes(), Format::Toml, "p").unwrap();
    assert_eq!(other.version, Digest::of_bytes(AGENT_TOML.as_bytes()));
}

#[test]
fn a_policy_means_the_same_in_both_formats() {
    let one = yaml(AGENT_YAML).spec;
    let other = load(AGENT_TOML.as_bytes(), Format::Toml, "p").unwrap().spec;
    assert_eq!(format!("{:?}", one.agents), format!("{:?}", other.agents));
    assert_eq!(format!("{:?}", one.runbooks), format!("{:?}", other.runbooks));
    assert_eq!(one.fallback, other.fallback);
}

#[test]
fn a_refused_file_leaves_the_last_good_policy_in_force() {
    let mut holder = LastGood::new(yaml(AGENT_YAML));
    let first = holder.current();
    match holder.offer(b"default: allow\n", Format::Yaml, "p") {
        Reload::Refused { kept, offered, error } => {
            assert_eq!((kept, offered), (first.version, Digest::of_bytes(b"default: allow\n")));
            assert_eq!(error.diagnostics.len(), 1);
        }
        Reload::Accepted { .. } => panic!("accepted"),
    }
    assert_eq!(holder.current().version, first.version);
    match holder.offer(b"agents: {}\n", Format::Yaml, "p") {
        Reload::Accepted { old, new } => {
            assert_eq!((old, new), (first.version, holder.current().version))
        }
        Reload::Refused { error, .. } => panic!("{error}"),
    }
    assert_eq!(first.spec.agents.len(), 1, "whoever holds the old policy keeps it");
}
