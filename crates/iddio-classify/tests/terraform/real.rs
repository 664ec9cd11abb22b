//! Plans that the real terraform makes, read back.

use iddio_classify::terraform::{
    judge,
    plan::{Action, Destruction, PlanMode},
};
use iddio_core::tier::Tier;

use crate::kit::{lines, nobody, workspace};

#[test]
fn a_create_is_a_standard_write_and_counts_as_terraform_counts() {
    let test = "a_create_is_a_standard_write_and_counts_as_terraform_counts";
    let Some(workspace) = workspace(test, &[("main.tf", MODULES), ("m/main.tf", MODULE)]) else {
        return;
    };
    let (facts, printed) = workspace.facts(&["-var=given=1"]);
    let judgement = judge::plan(&facts, &nobody());
    assert!(printed.contains(&format!("Plan: {}.", judgement.summary)), "{printed}");
    assert_eq!(judgement.summary, "5 to add, 0 to change, 0 to destroy");
    assert_eq!(judgement.tier, Tier::Modify, "{:?}", judgement.effects);
    let mut addresses: Vec<_> = facts.changes.iter().map(|change| change.text.as_str()).collect();
    addresses.sort_unstable();
    let expected = [
        "module.m[0].terraform_data.z",
        "module.m[1].terraform_data.z",
        "terraform_data.a",
        "terraform_data.b[\"k \\\"1\\\"\"]",
        "terraform_data.b[\"k.2\"]",
    ];
    assert_eq!(addresses, expected);
    assert_eq!(facts.mode, PlanMode::Normal);
    assert_eq!(facts.backend.kind, "local");
    assert_eq!(facts.backend.workspace, "default");
    assert_eq!(facts.backend.identity.as_deref(), Some("local:elsewhere.tfstate"));
    assert_eq!(facts.variables.iter().collect::<Vec<_>>(), ["given"]);
    assert_eq!(facts.outputs.len(), 1);
}

#[test]
fn updates_replacements_and_deletes_are_told_apart() {
    let test = "updates_replacements_and_deletes_are_told_apart";
    let before = r#"
        resource "terraform_data" "update" { input = 1 }
        resource "terraform_data" "replace" { triggers_replace = 1 }
        resource "terraform_data" "before" {
          triggers_replace = 1
          lifecycle { create_before_destroy = true }
        }
        resource "terraform_data" "delete" {}
        resource "terraform_data" "same" {}
        resource "terraform_data" "forget" {}
    "#;
    let after = r#"
        resource "terraform_data" "update" { input = 2 }
        resource "terraform_data" "replace" { triggers_replace = 2 }
        resource "terraform_data" "before" {
          triggers_replace = 2
          lifecycle { create_before_destroy = true }
        }
        resource "terraform_data" "same" {}
        removed {
          from = terraform_data.forget
          lifecycle { destroy = false }
        }
    "#;
    let Some(workspace) = workspace(test, &[("main.tf", before)]) else { return };
    workspace.apply();
    workspace.write(&[("main.tf", after)]);
    let (facts, printed) = workspace.facts(&[]);
    let action = |name: &str| {
        let change = facts.changes.iter().find(|change| change.address.name == name);
        change.unwrap().action
    };
    assert_eq!(action("update"), Action::Update);
    assert_eq!(action("replace"), Action::DeleteThenCreate);
    assert_eq!(action("before"), Action::CreateThenDelete);
    assert_eq!(action("delete"), Action::Delete);
    assert_eq!(action("same"), Action::NoOp);
    assert_eq!(action("forget"), Action::Forget);
    assert_eq!(facts.destruction, Destruction::Less);
    let judgement = judge::plan(&facts, &nobody());
    assert_eq!(judgement.tier, Tier::Sensitive);
    assert_eq!(judgement.summary, "2 to add, 1 to change, 3 to destroy, 1 to forget");
    assert!(printed.contains("2 to add, 1 to change, 3 to destroy"), "{printed}");
    let worst = judgement.effects.first().unwrap();
    assert_eq!(worst.tier, Tier::Sensitive);
    assert!(lines(&judgement).contains(&"3 -/+ terraform_data.replace host.file".to_owned()));
}

const MODULES: &str = r#"
terraform {
  backend "local" { path = "elsewhere.tfstate" }
}
variable "given" {}
resource "terraform_data" "a" { input = var.given }
resource "terraform_data" "b" {
  for_each = toset(["k \"1\"", "k.2"])
  input    = each.key
}
module "m" {
  source = "./m"
  count  = 2
}
output "o" { value = terraform_data.a.id }
"#;

const MODULE: &str = "resource \"terraform_data\" \"z\" { input = 1 }\n";
