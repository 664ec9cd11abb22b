//! The first five minutes, as a user has them.

use iddio_tests::{Started, World, real};
use serde_json::json;

use crate::kit::{TERRAFORM, of, only};

#[test]
fn an_apply_asks_is_approved_from_the_queue_runs_and_verifies() {
    let Some(_) = real("terraform", TERRAFORM) else { return };
    let world = World::new();
    world.example("hello");
    let mut apply =
        world.start(["exec", "--", "terraform", "-chdir=hello", "apply", "-auto-approve"]);
    apply.until("new home in ~/.iddio (default policy: reads run, changes ask");
    apply.until(
        "T2 MODIFY  terraform apply  workspace default  (1 to add, 0 to change, 0 to destroy)",
    );
    let id = apply.until_asked();
    world
        .iddio(["approvals", "show", &id])
        .ok()
        .prints("local:root (unix-user), for themselves")
        .prints("terraform -chdir=hello apply -auto-approve")
        .prints("+ terraform_data.hello")
        .prints("tier 2 = escalate");
    world.iddio(["approvals", "approve", &id]).ok().prints("assurance: none");
    let said = apply.end().ok();
    assert!(said.stdout.contains("Apply complete! Resources: 1 added"), "{said:#?}");
    assert!(world.work().join("hello/terraform.tfstate").is_file(), "state lies where it belongs");

    let records = world.records();
    let closed: Vec<_> = of(&records, "closed");
    let apply = closed.iter().find(|record| record["tier"] == 2).expect("the apply is closed");
    assert_eq!(apply["decision"], "escalate");
    assert_eq!(apply["approved_by"], "local:root");
    assert_eq!(apply["approval_assurance"], "none");
    assert_eq!(apply["workspace"], "default");
    assert_eq!(apply["exit_code"], json!(0));
    world.verify();
}

#[test]
fn destroy_is_refused_with_77_one_clear_line_and_a_record() {
    let Some(_) = real("terraform", TERRAFORM) else { return };
    let world = World::new();
    world.example("hello");
    let said = world.iddio(["exec", "--", "terraform", "-chdir=hello", "destroy"]).exits(77);
    let refusals = said.stderr.lines().filter(|line| line.starts_with("iddio: refused")).count();
    assert_eq!(refusals, 1, "{said:#?}");
    let said = said.says("T4 BREAK-GLASS  terraform destroy").says("tier 4 = deny");
    let last = said.stderr.lines().last().unwrap();
    let refused: serde_json::Value = serde_json::from_str(last).expect("one line of JSON");
    assert_eq!(refused["refused"]["tier"], 4);
    let records = world.records();
    let decided = only(&records, "decided");
    assert_eq!(decided["decision"], "deny");
    assert_eq!(decided["command"], "terraform destroy");
    assert!(of(&records, "closed").is_empty(), "a refusal ends with its decision");
    world.verify();
}

#[test]
fn a_read_runs_without_a_word_from_iddio() {
    let Some(_) = real("terraform", TERRAFORM) else { return };
    let world = World::new();
    world.iddio(["init"]).ok();
    world.example("hello");
    let said = world.iddio(["exec", "--", "terraform", "-chdir=hello", "validate"]).ok();
    assert_eq!(said.stderr, "", "nothing is printed when all is well");
    assert!(said.stdout.contains("Success!"), "{said:#?}");
    let records = world.records();
    assert_eq!(only(&records, "closed")["outcome"], "forwarded");
}

#[test]
fn a_denial_from_the_queue_refuses_and_names_the_reason() {
    let Some(_) = real("terraform", TERRAFORM) else { return };
    let world = World::new();
    world.example("hello");
    let mut apply = world.start(["exec", "--", "terraform", "-chdir=hello", "apply"]);
    let id = apply.until_asked();
    world.iddio(["approvals", "deny", &id, "--reason", "not on a Friday"]).ok();
    let said = apply.end().exits(77);
    assert!(said.stderr.contains("not on a Friday"), "{said:#?}");
    assert!(!world.work().join("hello/terraform.tfstate").exists());
    world.verify();
}

#[test]
fn wait_returns_when_the_ask_is_answered() {
    let Some(_) = real("terraform", TERRAFORM) else { return };
    let world = World::new();
    world.example("hello");
    let mut apply = world.start(["exec", "--", "terraform", "-chdir=hello", "apply"]);
    let id = apply.until_asked();
    let waiting = Started::of(&mut world.command(["wait", &id]));
    world.iddio(["approvals", "approve", &id]).ok();
    waiting.end().ok();
    apply.end().ok();
    world.iddio(["wait", &id, "--timeout", "1"]).ok();
}

#[test]
fn the_approver_sees_the_plan_that_will_run_and_nothing_else_runs() {
    let Some(_) = real("terraform", TERRAFORM) else { return };
    let world = World::new();
    let hello = world.example("hello");
    let mut apply = world.start(["exec", "--", "terraform", "-chdir=hello", "apply"]);
    let id = apply.until_asked();
    // E11: the configuration is swapped while the approver looks at the plan.
    std::fs::write(
        hello.join("main.tf"),
        "resource \"terraform_data\" \"evil\" { input = \"swapped\" }\n",
    )
    .unwrap();
    world.iddio(["approvals", "approve", &id]).ok();
    apply.end().ok();
    let state = std::fs::read_to_string(hello.join("terraform.tfstate")).unwrap();
    assert!(state.contains("hello, world"), "the approved plan ran");
    assert!(!state.contains("swapped"), "the swapped file did not");
}
