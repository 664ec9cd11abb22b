//! What `iddio classify` prints.

use iddio_classify::explain;

use crate::kit::line;

#[test]
fn text_names_the_tier_and_marks_what_decides() {
    let lines = explain::text(&line("kubectl get secret db -o yaml"));
    assert_eq!(
        lines,
        [
            "T3 SENSITIVE",
            "  get     T0  reads (kubectl:get)",
            "  secret  T3  reads a Secret (kube:5)  <- decides",
        ]
    );
    let lines = explain::text(&line("aws s3 ls --profile prod"));
    assert_eq!(lines.first().map(String::as_str), Some("T4 BREAK-GLASS (evasion)"));
    assert_eq!(lines.iter().filter(|line| line.ends_with("<- decides")).count(), 1);
}

#[test]
fn data_holds_the_tier_and_the_reasons() {
    let json = serde_json::to_value(explain::explanation(&line("terraform destroy"))).unwrap();
    assert_eq!(json.get("tier"), Some(&4.into()));
    assert_eq!(json.get("class"), Some(&"destroy".into()));
    assert_eq!(json.get("protocol"), Some(&"terraform".into()));
    assert_eq!(json.pointer("/reasons/0/rule"), Some(&"terraform:destroy".into()));
    assert_eq!(json.pointer("/reasons/0/decides"), Some(&true.into()));
    assert_eq!(json.pointer("/scopes/0/key"), Some(&"workspaces".into()));
    assert_eq!(json.pointer("/scopes/0/names/0"), Some(&"?".into()));
}
