//! Bad input: a clear message, a documented exit code, nothing lost.

use std::{fs, os::unix::fs::PermissionsExt};

use iddio_tests::World;

use crate::kit::{OPEN, of};

#[test]
fn an_empty_command_is_a_usage_error() {
    let world = World::new();
    world.iddio(["exec", "--"]).exits(64);
    world.iddio(["exec"]).exits(64);
    world.iddio(["exec", "--", ""]).exits(127);
    world.iddio(["frobnicate"]).exits(64);
}

#[test]
fn a_missing_program_is_127_and_one_that_may_not_run_126() {
    let world = World::with_policy(OPEN);
    world.iddio(["exec", "--", "no-such-program"]).exits(127).says("`no-such-program`");
    let file = world.file("plain", "#!/bin/sh\n");
    world.iddio(["exec", "--", file.to_str().unwrap()]).exits(126);
    world.verify();
}

#[test]
fn the_commands_own_exit_code_is_the_exit_code() {
    let world = World::with_policy(OPEN);
    for code in [0, 1, 3, 42, 64, 69, 77, 124, 255] {
        let script = world.file("code.sh", format!("#!/bin/sh\nexit {code}\n"));
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
        world.iddio(["exec", "--", script.to_str().unwrap()]).exits(code);
    }
    let script = world.file("killed.sh", "#!/bin/sh\nkill -9 $$\n");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    world.iddio(["exec", "--", script.to_str().unwrap()]).exits(137);
    let records = world.records();
    let codes: Vec<_> = of(&records, "closed").iter().map(|r| r["exit_code"].clone()).collect();
    assert_eq!(codes, [0, 1, 3, 42, 64, 69, 77, 124, 255, 137].map(serde_json::Value::from));
}

#[test]
fn a_malformed_policy_refuses_with_line_column_and_hint() {
    let world = World::with_policy(OPEN);
    let bad =
        "agents:\n  local:root:\n    rules:\n      - protocol: command\n        tiers: {0: alow}\n";
    world.set_policy(bad);
    let said = world.iddio(["policy", "check"]).exits(1);
    let whole = format!("{}{}", said.stdout, said.stderr);
    assert!(whole.contains("policy.yaml:5:20: unknown verdict `alow`"), "{whole}");
    assert!(whole.contains("expected allow, escalate or deny"), "{whole}");
    // Nothing runs under a policy that does not load, and the refusal is recorded.
    let said = world.iddio(["exec", "--", "true"]).exits(77);
    assert!(said.stderr.contains("policy.yaml:5:20"), "{said:#?}");
    let records = world.records();
    assert_eq!(of(&records, "decided").last().unwrap()["decision"], "deny");
    world.verify();
}

#[test]
fn an_unknown_agent_is_refused_and_recorded_as_claimed() {
    let world = World::with_policy(OPEN);
    world.iddio(["exec", "--agent", "admin", "--", "true"]).exits(77);
    let records = world.records();
    let decided = of(&records, "decided");
    assert_eq!(decided.last().unwrap()["agent"], "admin");
    assert_eq!(decided.last().unwrap()["proof"], "claimed");
    assert_eq!(decided.last().unwrap()["decision"], "deny");
    world.iddio(["exec", "--agent", "no such name", "--", "true"]).exits(64);
}

#[test]
fn a_home_that_others_may_enter_or_own_is_not_used() {
    let world = World::with_policy(OPEN);
    fs::set_permissions(world.home(), fs::Permissions::from_mode(0o755)).unwrap();
    world.iddio(["exec", "--", "true"]).exits(69).says("open to others").says("chmod 700");
    fs::set_permissions(world.home(), fs::Permissions::from_mode(0o700)).unwrap();
    world.iddio(["exec", "--", "true"]).ok();
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(world.home(), Some(12345), None).unwrap();
        world.iddio(["exec", "--", "true"]).exits(69).says("belongs to uid 12345");
    }
}

#[test]
fn a_home_that_is_a_link_or_a_file_is_not_used() {
    let world = World::new();
    std::os::unix::fs::symlink("/tmp", world.home()).unwrap();
    world.iddio(["exec", "--", "true"]).exits(69).says("not a directory");
    fs::remove_file(world.home()).unwrap();
    fs::write(world.home(), "").unwrap();
    world.iddio(["exec", "--", "true"]).exits(69).says("not a directory");
}

#[test]
fn a_corrupted_log_is_refused_to_write_on_and_verify_names_the_record() {
    let world = World::with_policy(OPEN);
    for _ in 0..3 {
        world.iddio(["exec", "--", "true"]).ok();
    }
    world.verify();
    let segment = fs::read_dir(world.home().join("log"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|extension| extension == "jsonl"))
        .unwrap();
    let mut bytes = fs::read(&segment).unwrap();
    let last = bytes.len() - 20;
    bytes[last] ^= 1;
    fs::write(&segment, &bytes).unwrap();
    let said = world.iddio(["audit", "verify"]).exits(1);
    assert!(said.stdout.contains("record"), "{said:#?}");
    world.iddio(["exec", "--", "touch", "ran"]).exits(69);
    assert!(!world.work().join("ran").exists(), "nothing runs that cannot be recorded");
}

#[test]
fn jsonl_answers_every_line_in_order_and_never_aborts() {
    let world = World::new();
    let input = concat!(
        "{\"argv\": [\"terraform\", \"plan\"]}\n",
        "not json\n",
        "{\"cmd\": \"rm -rf /\"}\n",
        "{\"argv\": []}\n",
        "\n",
        "{\"argv\": [\"terraform\", \"destroy\"], \"extra\": 1}\n",
        "\u{0}\n",
        "{\"argv\": [\"aws\", \"s3\", \"ls\"]}",
    );
    let said = world.iddio_with(["classify", "--jsonl"], input.as_bytes()).ok();
    let tiers: Vec<_> = said
        .stdout
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["tier"].clone())
        .collect();
    assert_eq!(tiers, [0, 4, 4, 4, 4, 4, 4, 0].map(serde_json::Value::from));
}

#[test]
fn classify_says_why_and_runs_nothing() {
    let world = World::new();
    let said = world.iddio(["classify", "--", "kubectl", "get", "secret", "db", "-o", "yaml"]).ok();
    assert!(said.stdout.contains("T3 SENSITIVE"), "{said:#?}");
    let json = world.json(["classify", "--json", "--", "terraform", "destroy"]);
    assert_eq!(json["tier"], 4);
    assert!(json["reasons"].as_array().is_some_and(|reasons| !reasons.is_empty()));
    world.iddio(["classify", "echo hi; rm -rf /"]).ok().prints("T4");
    assert!(!world.home().exists(), "asking what something is makes no home");
}
