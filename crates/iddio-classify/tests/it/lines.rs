//! Lines that try to be taken for something else.

use std::borrow::Cow;

use iddio_classify::command::{ARGV_WORDS_MAX, Ambient, WORD_BYTES_MAX, judge};
use iddio_core::{
    operation::{OverrideKind, Pattern, Protocol},
    text::RawText,
    tier::{Class, Tier},
};

use crate::kit::{judged, line, raw, tier};

#[test]
fn an_unknown_program_is_sensitive_by_its_full_path() {
    for text in ["frobnicate", "/tmp/x/terraform plan", "./kubectl get pods", "/usr/bin/frobnicate"]
    {
        let judged = line(text);
        assert_eq!(judged.operation.native_tier(), Tier::Sensitive, "{text}");
        assert_eq!(judged.operation.protocol, Protocol::Command);
        assert!(judged.plan.catalog.is_none());
    }
}

#[test]
fn a_trusted_path_is_judged_as_the_tool_it_is() {
    let ambient = Ambient { goes_by: Some("terraform".to_owned()), ..Ambient::default() };
    let judged = judge(&raw(&["/opt/tenv/terraform", "plan"]), &ambient);
    assert_eq!(judged.operation.native_tier(), Tier::Observe);
    assert_eq!(judged.operation.description.command.as_deref(), Some("terraform plan"));
}

#[test]
fn iddio_under_iddio_never_answers_its_own_asks() {
    for text in
        ["iddio approve req-123", "iddio approvals approve esc_1", "/usr/bin/iddio operator add x"]
    {
        let judged = line(text);
        assert_eq!(judged.operation.native_tier(), Tier::BreakGlass, "{text}");
        assert_eq!(judged.operation.native_class(), Class::Evasion, "{text}");
    }
    assert_eq!(tier("iddio exec -- terraform version"), 3);
    assert_eq!(tier("iddio exec -- bash"), 4);
    assert_eq!(tier("iddio audit verify"), 0);
}

#[test]
fn a_program_name_that_misleads_is_break_glass() {
    let names: [Cow<'static, [u8]>; 16] = [
        (&b""[..]).into(),
        (&b"terra\0form"[..]).into(),
        (&b"terraform\n"[..]).into(),
        (&b"terra\x1b[8mform"[..]).into(),
        (&b"terra\xffform"[..]).into(),
        (&b"terraform "[..]).into(),
        (&b"/usr/bin/"[..]).into(),
        (&b"-terraform"[..]).into(),
        (&b"AWS_PROFILE=x"[..]).into(),
        "\u{43a}ubectl".as_bytes().into(),
        "\u{ff52}\u{ff4d}".as_bytes().into(),
        "terraform\u{a0}".as_bytes().into(),
        "terraform\u{200b}".as_bytes().into(),
        "terraform\u{2028}plan".as_bytes().into(),
        "/usr/bin/\u{43a}ubectl".as_bytes().into(),
        "\u{202e}mrofarret".as_bytes().into(),
    ];
    for name in names {
        let judged = judge(&[RawText::new(name.to_vec()), "plan".into()], &Ambient::default());
        assert_eq!(judged.operation.native_tier(), Tier::BreakGlass, "{name:?}");
        assert_eq!(judged.operation.pattern, Pattern::Unmatchable);
    }
    assert_eq!(judge(&[], &Ambient::default()).operation.native_tier(), Tier::BreakGlass);
}

#[test]
fn words_that_hide_or_reorder_text_are_evasion() {
    for word in
        ["ok \u{202e}/ fr- mr", "\u{1b}[8m", "a\u{200b}b", "\u{e0041}", "\u{9b}2J", "a\rb\u{8}"]
    {
        let judged = judged(&["terraform", "plan", "-var", word]);
        assert_eq!(judged.operation.native_tier(), Tier::BreakGlass, "{word:?}");
        assert_eq!(judged.operation.native_class(), Class::Evasion, "{word:?}");
    }
    assert_eq!(
        judged(&["terraform", "plan", "-var", "a=line\nline\ttab"]).operation.tier,
        Tier::Observe
    );
}

#[test]
fn words_over_a_limit_or_with_a_zero_byte_are_break_glass() {
    let long = "x".repeat(WORD_BYTES_MAX + 1);
    assert_eq!(judged(&["terraform", "plan", "-var", &long]).operation.tier, Tier::BreakGlass);
    let many = vec!["terraform"; ARGV_WORDS_MAX + 1];
    assert_eq!(judged(&many).operation.tier, Tier::BreakGlass);
    assert_eq!(judged(&["terraform", "plan", "a\0b"]).operation.tier, Tier::BreakGlass);
    let bytes = [RawText::from("terraform"), "plan".into(), RawText::new(&b"-var=\xff"[..])];
    let judged = judge(&bytes, &Ambient::default());
    assert_eq!(judged.operation.tier, Tier::Sensitive);
    assert_eq!(judged.operation.pattern, Pattern::Unmatchable);
}

#[test]
fn a_path_of_iddio_itself_is_evasion_in_any_disguise() {
    let ambient = Ambient {
        own_paths: vec!["/home/ada/.iddio".into()],
        working_directory: Some("/home/ada/shop".into()),
        ..Ambient::default()
    };
    let evil = [
        "/home/ada/.iddio/queue.sqlite",
        "-out=/home/ada/.iddio",
        "../.iddio/policy.yaml",
        "-var-file=../../ada/.iddio/x",
        "/home//ada/./x/../.iddio",
        "file:///home/ada/.iddio/x",
        "a=/home/ada/./.iddio",
    ];
    for word in evil {
        let judged = judge(&raw(&["terraform", "plan", word]), &ambient);
        assert_eq!(judged.operation.native_tier(), Tier::BreakGlass, "{word}");
        assert_eq!(judged.operation.native_class(), Class::Evasion, "{word}");
    }
    let judged = judge(&raw(&["terraform", "plan", "-var=a=/home/ada/x"]), &ambient);
    assert_eq!(judged.operation.native_tier(), Tier::Observe);
}

#[test]
fn an_override_is_held_apart_so_that_policy_can_grant_it() {
    let judged = line("aws s3 ls --endpoint http://127.0.0.1:5000");
    assert_eq!(judged.operation.tier, Tier::Observe);
    assert_eq!(judged.operation.native_tier(), Tier::BreakGlass);
    let [only] = judged.operation.overrides.as_slice() else { panic!("one override") };
    assert_eq!((only.kind, only.value.as_str()), (OverrideKind::Endpoint, "http://127.0.0.1:5000"));
}

#[test]
fn a_prefix_of_an_option_is_that_option() {
    for text in [
        "aws s3 ls --endpoint-url http://x",
        "aws s3 ls --endpoint-ur=http://x",
        "aws s3 ls --endpoint http://x",
        "aws s3 ls --end http://x",
        "aws --e http://x s3 ls",
        "aws s3 ls --no-verify",
        "aws s3 ls --ca x",
        "aws s3 rm s3://b --recur",
    ] {
        assert_eq!(tier(text), 4, "{text}");
    }
    // `--no-` may be --no-verify-ssl: an ambiguous prefix is the most dangerous of them.
    assert_eq!(tier("aws s3 ls --no"), 4);
}

#[test]
fn two_spellings_of_an_option_are_one() {
    let pairs = [
        ("terraform plan -var a=b -out p", "terraform plan --var=a=b --out=p"),
        ("terraform apply -destroy", "terraform apply --destroy=true"),
        ("terraform apply -replace a.b", "terraform apply --replace=a.b"),
        ("kubectl get pods -n web -o yaml", "kubectl --namespace=web get -oyaml pods"),
        ("kubectl get pods -n web", "kubectl get pods -nweb"),
        ("kubectl delete pods -l app=x", "kubectl delete pods --selector app=x"),
        ("helm upgrade web ./c -i -n web", "helm -n=web upgrade --install web ./c"),
        ("aws ec2 describe-instances --region r", "aws --region=r ec2 describe-instances"),
    ];
    for (one, other) in pairs {
        let (one, other) = (line(one), line(other));
        assert_eq!(one.operation.tier, other.operation.tier);
        assert_eq!(one.operation.class, other.operation.class);
        assert_eq!(one.operation.scopes, other.operation.scopes);
        assert_eq!(one.plan.inputs.len(), other.plan.inputs.len());
    }
}

#[test]
fn a_rollout_restart_is_offered_to_runbooks_as_its_request() {
    let judged = line("kubectl rollout restart deploy/web -n web");
    let Pattern::Kubernetes(pattern) = judged.operation.pattern else { panic!("a request") };
    assert_eq!(pattern.methods, ["PATCH"]);
    assert_eq!(pattern.api_groups, ["apps"]);
    assert_eq!(pattern.resources, ["deployments"]);
    let field = "/spec/template/metadata/annotations/kubectl.kubernetes.io~1restartedAt";
    assert_eq!(pattern.fields.unwrap(), [field]);
    let Pattern::Command(words) = line("terraform plan -no-color").operation.pattern else {
        panic!("words")
    };
    assert_eq!(words, ["terraform", "plan", "-no-color"]);
    assert_eq!(line("aws s3 ls --profile x").operation.pattern, Pattern::Unmatchable);
}

#[test]
fn a_cluster_of_short_options_cannot_grow_without_bound() {
    let word = format!("-{}", "A".repeat(100_000));
    assert_eq!(judged(&["kubectl", "get", "pods", &word]).operation.tier, Tier::BreakGlass);
    let names = "x,".repeat(50_000);
    assert_eq!(judged(&["kubectl", "get", &names]).operation.tier, Tier::BreakGlass);
    let files = format!("-f={}", "x,".repeat(50_000));
    assert_eq!(judged(&["kubectl", "apply", &files]).operation.tier, Tier::BreakGlass);
}

#[test]
fn a_full_command_line_is_judged_whole() {
    // Each of these would be quadratic if anything were done per pair of words.
    let fill = |head: &[&str], word: &str| {
        let mut words: Vec<_> = head.iter().map(|word| (*word).to_owned()).collect();
        words.resize(ARGV_WORDS_MAX, word.to_owned());
        judged(&words).operation.tier.number()
    };
    assert_eq!(fill(&["terraform", "plan"], "-var-file=x"), 4);
    assert_eq!(fill(&["terraform", "plan"], "-var=x"), 0);
    assert_eq!(fill(&["helm", "uninstall"], "release"), 3);
    assert_eq!(fill(&["kubectl", "get", "pods"], "-nweb"), 0);
    assert_eq!(fill(&["aws", "ec2", "describe-instances"], "--filters"), 0);
    assert_eq!(fill(&["kubectl"], "--x"), 4);
}

#[test]
fn words_that_tools_skip_do_not_hide_the_command() {
    let lines: [&[&str]; 9] = [
        &["aws", "--", "ec2", "terminate-instances"],
        &["aws", "ec2", "--", "terminate-instances"],
        &["aws", "", "ec2", "terminate-instances"],
        &["kubectl", "", "exec", "web"],
        &["kubectl", "-", "exec", "web"],
        &["kubectl", "--", "exec", "web"],
        &["kubectl", "config view"],
        &["terraform", "", "destroy"],
        &["terraform", "state list"],
    ];
    for words in lines {
        assert_eq!(judged(words).operation.tier, Tier::BreakGlass, "{words:?}");
    }
}
