//! Plans written by hand, for types whose providers are not at hand.

use iddio_classify::terraform::{
    judge::{self, Trust, TrustedProvider},
    plan,
};

use crate::kit::{Crafted, crafted, crafted_on, edit, lines};

const AWS: &str = "registry.terraform.io/hashicorp/aws";
const GOOGLE: &str = "registry.terraform.io/hashicorp/google";
const KUBERNETES: &str = "registry.terraform.io/hashicorp/kubernetes";
const OTHER: &str = "registry.example.com/team/other";

fn trust() -> Trust {
    let source = "hashicorp/*".to_owned();
    Trust { providers: vec![TrustedProvider { source, hashes: Vec::new() }] }
}

/// Returns tier and rule of the worst effect that is not about the provider itself.
fn worst(change: Crafted<'_>) -> (u8, String) {
    // Something is kept, so that a delete is not one of everything.
    let kept = Crafted { address: "aws_vpc.kept", provider: AWS, action: 0, after: &[] };
    let facts = plan::read(&crafted(&[change, kept])).unwrap();
    let judgement = judge::plan(&facts, &trust());
    let effect = judgement.effects.iter().find(|effect| effect.rule != "untrusted-provider");
    let effect = effect.expect("a change has an effect");
    assert!(judgement.tier >= effect.tier);
    assert_eq!(effect.class.is_some(), effect.tier.number() == 4, "{}", effect.rule);
    (effect.tier.number(), effect.rule.clone())
}

#[test]
fn a_change_is_worth_what_its_type_and_its_value_are() {
    type Row<'a> = (&'a str, &'a str, u8, &'a [(&'a str, &'a str)], u8, &'a str);
    let admin = ("policy_arn", "arn:aws:iam::aws:policy/AdministratorAccess");
    let reads = ("policy_arn", "arn:aws:iam::aws:policy/ReadOnlyAccess");
    let all = ("policy", "{\"Statement\":[{\"Action\":\"*\",\"Effect\":\"Allow\"}]}");
    let table: &[Row<'_>] = &[
        ("aws_iam_role_policy_attachment.a", AWS, 1, &[admin], 4, "exposure.administrator"),
        ("aws_iam_role_policy_attachment.a", AWS, 1, &[reads], 3, "aws.identity"),
        ("aws_iam_policy.a", AWS, 3, &[all], 4, "exposure.any-action"),
        ("aws_iam_access_key.a", AWS, 1, &[], 4, "aws.credential"),
        ("aws_instance.a", AWS, 1, &[], 2, "aws.compute"),
        ("aws_instance.a", AWS, 5, &[], 4, "aws.compute"),
        ("aws_instance.a", AWS, 6, &[], 4, "aws.compute"),
        ("aws_db_instance.a", AWS, 7, &[], 4, "aws.data"),
        ("aws_s3_object.a", AWS, 1, &[], 2, "floor"),
        ("aws_s3_object.a", AWS, 5, &[], 3, "floor"),
        ("aws_s3_bucket_acl.a", AWS, 1, &[("acl", "public-read")], 4, "exposure.acl"),
        ("aws_cloudtrail.a", AWS, 3, &[], 4, "aws.audit-trail"),
        ("aws_security_group.a", AWS, 3, &[("cidr_blocks", "10.0.0.0/8")], 3, "aws.network-path"),
        (
            "google_project_iam_member.a",
            GOOGLE,
            1,
            &[("role", "roles/viewer")],
            3,
            "google.identity",
        ),
        ("google_project_iam_member.a", GOOGLE, 1, &[("role", "roles/owner")], 4, "exposure.owner"),
        (
            "google_storage_bucket_iam_member.a",
            GOOGLE,
            1,
            &[("member", "allUsers")],
            4,
            "exposure.everyone",
        ),
        ("kubernetes_namespace.a", KUBERNETES, 1, &[], 4, "kubernetes.control"),
        ("kubernetes_secret_v1.a", KUBERNETES, 3, &[], 3, "kubernetes.secret"),
        ("kubernetes_deployment.a", KUBERNETES, 3, &[], 2, "kubernetes.object"),
        ("other_thing.a", OTHER, 1, &[], 3, "unknown-provider"),
        ("other_thing.a", OTHER, 3, &[], 3, "unknown-provider"),
        ("other_thing.a", OTHER, 5, &[], 3, "unknown-provider"),
        ("aws_instance.a", AWS, 8, &[], 3, "forget"),
        ("aws_instance.a", AWS, 9, &[], 3, "forget"),
        ("data.aws_ami.a", AWS, 2, &[], 0, "read"),
        ("data.aws_ssm_parameter.a", AWS, 2, &[], 3, "read"),
        ("aws_instance.a", AWS, 2, &[], 4, "read"),
    ];
    for (address, provider, action, after, tier, rule) in table {
        let change = Crafted { address, provider, action: *action, after };
        let (got, by) = worst(change);
        assert_eq!((got, by.as_str()), (*tier, *rule), "{address} {action}");
    }
}

#[test]
fn the_worst_comes_first() {
    let change = |address, action| Crafted { address, provider: AWS, action, after: &[] };
    let changes = [
        change("aws_instance.new", 1),
        change("aws_s3_object.old", 5),
        change("aws_db_instance.old", 5),
        change("aws_iam_role.r", 1),
    ];
    let facts = plan::read(&crafted(&changes)).unwrap();
    let judgement = judge::plan(&facts, &trust());
    let expected = [
        "4 - aws_db_instance.old aws.data",
        "3 - aws_s3_object.old floor",
        "3 + aws_iam_role.r aws.identity",
        "2 + aws_instance.new aws.compute",
    ];
    assert_eq!(lines(&judgement), expected);
    assert_eq!(judgement.summary, "2 to add, 0 to change, 2 to destroy");
}

#[test]
fn keeping_one_thing_for_show_does_not_hide_a_destroy_of_the_rest() {
    let addresses: Vec<_> = (0..20).map(|n| format!("aws_s3_object.a[{n}]")).collect();
    let delete = |address: &'static str| Crafted { address, provider: AWS, action: 5, after: &[] };
    let mut changes: Vec<_> =
        addresses.iter().map(|address| delete(address.clone().leak())).collect();
    changes.push(Crafted { address: "terraform_data.kept", provider: AWS, action: 0, after: &[] });
    let facts = plan::read(&crafted(&changes)).unwrap();
    assert_eq!(facts.destruction, plan::Destruction::Everything);
    for index in 0..2 {
        let address = format!("terraform_data.also[{index}]").leak();
        changes.push(Crafted { address, provider: AWS, action: 0, after: &[] });
    }
    let facts = plan::read(&crafted(&changes)).unwrap();
    assert_eq!(facts.destruction, plan::Destruction::Less);
}

#[test]
fn a_backend_is_told_by_where_the_state_lies_and_never_by_its_secrets() {
    type Row<'a> = (&'a str, &'a [(&'a str, &'a str)], Option<&'a str>);
    let table: &[Row<'_>] = &[
        ("local", &[], Some("local:terraform.tfstate")),
        (
            "s3",
            &[("bucket", "b"), ("key", "k/x"), ("secret_key", "hunter2"), ("region", "eu-west-1")],
            Some("s3://b/k/x"),
        ),
        (
            "s3",
            &[("bucket", "b"), ("key", "k"), ("endpoint", "http://evil")],
            Some("s3://b/k?endpoint=http://evil"),
        ),
        ("s3", &[("bucket", "b")], None),
        ("gcs", &[("bucket", "b"), ("credentials", "hunter2")], Some("gcs://b/")),
        (
            "azurerm",
            &[
                ("storage_account_name", "a"),
                ("container_name", "c"),
                ("key", "k"),
                ("access_key", "hunter2"),
            ],
            Some("azurerm://a/c/k"),
        ),
        (
            "http",
            &[("address", "https://u:hunter2@h.example/s?token=hunter2")],
            Some("http:https://h.example/s"),
        ),
        (
            "remote",
            &[("organization", "o"), ("token", "hunter2")],
            Some("remote://app.terraform.io/o/"),
        ),
        ("pg", &[("conn_str", "postgres://u:hunter2@h/db")], None),
        ("unheard-of", &[("bucket", "b")], None),
    ];
    for (kind, settings, expected) in table {
        let facts = plan::read(&crafted_on(kind, settings, &[])).unwrap();
        assert_eq!(facts.backend.identity.as_deref(), *expected, "{kind}");
        assert_eq!(
            (facts.backend.kind.as_str(), facts.backend.workspace.as_str()),
            (*kind, "production")
        );
        assert!(!format!("{facts:?}").contains("hunter2"), "{kind}");
    }
}

#[test]
fn one_object_is_changed_once() {
    let change = |action| Crafted { address: "aws_vpc.a", provider: AWS, action, after: &[] };
    let error = plan::read(&crafted(&[change(0), change(5)])).unwrap_err();
    assert!(error.to_string().contains("second change of one object"), "{error}");
}

#[test]
fn a_value_that_does_not_decode_is_refused() {
    let after = [("acl", "private")];
    let change =
        Crafted { address: "aws_s3_bucket_acl.a", provider: AWS, action: 1, after: &after };
    let bytes = crafted(&[change]);
    plan::read(&bytes).unwrap();
    for (from, to) in [(0x81, 0x80), (0x81, 0x82), (0xd9, 0xc1)] {
        let edited = edit(&bytes, "tfplan", |plan| {
            let mut plan = plan.to_vec();
            let name = plan.windows(3).position(|window| window == b"acl").unwrap();
            let at = plan[..name].iter().rposition(|byte| *byte == from).unwrap();
            plan[at] = to;
            plan
        });
        let error = plan::read(&edited).unwrap_err();
        assert!(error.to_string().contains("invalid value"), "{error}");
    }
}

#[test]
fn what_is_left_alone_has_no_effect() {
    let after = [("acl", "public-read")];
    let change =
        Crafted { address: "aws_s3_bucket_acl.a", provider: AWS, action: 0, after: &after };
    let facts = plan::read(&crafted(&[change])).unwrap();
    let rules: Vec<_> = judge::plan(&facts, &trust()).effects;
    assert_eq!(rules, []);
}

#[test]
fn a_provider_that_only_an_embedded_state_names_is_one_that_runs() {
    for entry in ["tfstate", "tfstate-prev"] {
        let bytes = edit(&crafted(&[]), entry, |_| {
            let provider = "provider[\\\"evil.example/x/y\\\"]";
            format!(
                "{{\"version\":4,\"resources\":[{{\"mode\":\"managed\",\"type\":\"t\",\"name\":\"n\",\
                 \"provider\":\"{provider}\",\"instances\":[{{\"attributes\":{{}}}}]}}]}}"
            )
            .into_bytes()
        });
        let facts = plan::read(&bytes).unwrap();
        let judgement = judge::plan(&facts, &trust());
        assert_eq!(lines(&judgement), ["3 ! evil.example/x/y untrusted-provider"], "{entry}");
    }
}

#[test]
fn planned_values_do_not_print_themselves() {
    let after = [("password", "hunter2")];
    let change = Crafted { address: "aws_db_instance.a", provider: AWS, action: 1, after: &after };
    let facts = plan::read(&crafted(&[change])).unwrap();
    assert!(facts.changes[0].after.is_some());
    assert!(!format!("{facts:?}").contains("hunter2"));
}
