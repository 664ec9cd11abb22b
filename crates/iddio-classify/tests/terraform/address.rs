//! Addresses as Terraform prints them, and nothing else.

use iddio_classify::terraform::{Address, Key, Mode, ProviderAddress};

#[test]
fn addresses_are_read_in_the_one_spelling_terraform_prints() {
    let name = |name: &str| Key::Name(name.to_owned());
    let table = [
        ("aws_instance.a", "", Mode::Managed, "aws_instance", "a", Key::None),
        ("aws_instance.a[0]", "", Mode::Managed, "aws_instance", "a", Key::Index(0)),
        ("data.http.x[\"k\"]", "", Mode::Data, "http", "x", name("k")),
        ("ephemeral.v.x", "", Mode::Ephemeral, "v", "x", Key::None),
        ("module.m.t.n", "module.m", Mode::Managed, "t", "n", Key::None),
        (
            "module.m[1].module.n[\"a.b]\"].t.n",
            "module.m[1].module.n[\"a.b]\"]",
            Mode::Managed,
            "t",
            "n",
            Key::None,
        ),
        (r#"t.n["\"\\ \u00e9 $${x} é"]"#, "", Mode::Managed, "t", "n", name("\"\\ é ${x} é")),
    ];
    for (text, module, mode, kind, resource, key) in table {
        let address = Address::parse(text).unwrap();
        assert_eq!(address.module, module, "{text}");
        assert_eq!((address.mode, address.kind.as_str()), (mode, kind), "{text}");
        assert_eq!((address.name.as_str(), address.key), (resource, key), "{text}");
    }
    let refused = [
        "",
        "a",
        "a.",
        ".a",
        "a.b.c",
        "a.b[",
        "a.b[]",
        "a.b[-1]",
        "a.b[01]",
        "a.b[1",
        "a.b[\"x]",
        "a.b[\"${x}\"]",
        "a.b[\"\\q\"]",
        "a b.c",
        "a.b ",
        "module.a",
        "module.a.b",
        "data.a",
        "1a.b",
        "a.b[0][1]",
        "a.b[99999999999999999999]",
        "a.b\n",
    ];
    for text in refused {
        assert_eq!(Address::parse(text), None, "{text}");
    }
}

#[test]
fn provider_addresses_are_read_in_both_spellings() {
    let configuration = [
        (
            "provider[\"registry.terraform.io/hashicorp/aws\"]",
            Some("registry.terraform.io/hashicorp/aws"),
        ),
        (
            "provider[\"registry.terraform.io/hashicorp/aws\"].west",
            Some("registry.terraform.io/hashicorp/aws"),
        ),
        ("module.m.provider[\"h.io/a/b\"].x", Some("h.io/a/b")),
        ("module.m[0].provider[\"h.io:8443/A/b\"]", Some("h.io:8443/a/b")),
        ("provider[\"a/b\"]", None),
        ("provider[\"h.io/../b\"]x", None),
        ("provider[\"h.io/a/b\"].x.y", None),
        ("x provider[\"h.io/a/b\"]", None),
        ("provider.aws", None),
        ("", None),
    ];
    for (text, expected) in configuration {
        let read = ProviderAddress::parse_configuration(text);
        assert_eq!(read.as_ref().map(ProviderAddress::as_str), expected, "{text}");
    }
    let source = [
        ("aws", Some("registry.terraform.io/hashicorp/aws")),
        ("terraform", Some("terraform.io/builtin/terraform")),
        ("Team/Thing", Some("registry.terraform.io/team/thing")),
        ("h.io/a/b", Some("h.io/a/b")),
        ("h.io/a/b/c", None),
        ("a//b", None),
        ("a b", None),
        ("", None),
    ];
    for (text, expected) in source {
        let read = ProviderAddress::parse_source(text);
        assert_eq!(read.as_ref().map(ProviderAddress::as_str), expected, "{text}");
    }
}
