//! Attacks that once worked, mounted by somebody in a bad mood, with the real tools.
//!
//! Like [`crate::attacks`]: where it can be shown, a control proves that the trick works without
//! iddio.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::Stdio,
};

use iddio_tests::{Said, Started, World, binary, real};

use crate::kit::{ASKING, KUBECTL, TERRAFORM, of};

/// Reads run and nothing else does.
const READS: &str = "\
agents:
  local:root:
    rules:
      - {protocol: terraform, tiers: {0: allow, 1: allow}}
      - {protocol: kubernetes, tiers: {0: allow}}
";

/// What no read may print.
const SECRET: &str = "of-this-host-alone";

/// A file outside of every tree, and a configuration that prints it.
fn secret(world: &World) -> (PathBuf, String) {
    let path = world.user().join("secret");
    fs::write(&path, SECRET).unwrap();
    let text = format!("output \"y\" {{ value = file(\"{}\") }}\n", path.display());
    (path, text)
}

/// Runs terraform in a directory below the world's, without iddio.
fn bare(world: &World, directory: &str, words: &[&str]) -> Said {
    let mut command = world.within([TOOL].iter().chain(words));
    Said::of(command.current_dir(world.work().join(directory)).output().unwrap())
}

/// Runs iddio in a directory below the world's, and ends it if it hangs.
fn bounded(world: &World, directory: &str, words: &[&str]) -> Said {
    let fixed = ["timeout", "-s", "KILL", "60", binary().to_str().unwrap(), "exec", "--"];
    let mut command = world.within(fixed.iter().chain(words));
    Said::of(command.current_dir(world.work().join(directory)).output().unwrap())
}

fn pipe(path: &Path) {
    let (kind, mode) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::from(0o600));
    rustix::fs::mknodat(rustix::fs::CWD, path, kind, mode, 0).unwrap();
}

const TOOL: &str = "terraform";
const CALL: &str = "module \"m\" {\n  source = \"./m\"\n}\noutput \"x\" { value = module.m.y }\n";

#[test]
fn configuration_behind_a_link_or_a_forged_list_of_modules_is_judged_or_refused() {
    let Some(_) = real("terraform", TERRAFORM) else { return };
    let world = World::with_policy(READS);
    let (path, reads) = secret(&world);
    let elsewhere = world.user().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    fs::write(elsewhere.join("main.tf"), &reads).unwrap();
    // A link within the tree.
    world.file("inside/main.txt", &reads);
    symlink("main.txt", world.work().join("inside/main.tf")).unwrap();
    // A link that leads out of it.
    world.file("outside/other.tf", "");
    symlink(elsewhere.join("main.tf"), world.work().join("outside/main.tf")).unwrap();
    // A module that is a link.
    world.file("module/main.tf", CALL);
    symlink(&elsewhere, world.work().join("module/m")).unwrap();
    // A module that is elsewhere, if one believes the list, in any letters.
    for (name, member) in [("list", "Dir"), ("letters", "dIR")] {
        world.file(&format!("{name}/main.tf"), CALL);
        world.file(&format!("{name}/m/main.tf"), "output \"y\" { value = 1 }\n");
        let list = format!(
            "{{\"Modules\":[{{\"Key\":\"\",\"Source\":\"\",\"Dir\":\".\"}},{{\"Key\":\"m\",\"Source\":\"./m\",\"Dir\":\"./m\",\"{member}\":\"{}\"}}]}}",
            elsewhere.display()
        );
        let list = list.replacen("\"Dir\":\"./m\",\"Dir\"", "\"Dir\"", 1);
        world.file(&format!("{name}/.terraform/modules/modules.json"), list);
    }
    // A file that is a link.
    world.file("file/main.tf", "output \"y\" { value = file(\"here\") }\n");
    symlink(&path, world.work().join("file/here")).unwrap();
    for name in ["inside", "outside", "module", "list", "letters", "file"] {
        if name == "module" {
            bare(&world, name, &["init"]).ok();
        }
        bare(&world, name, &["plan", "-no-color"]).ok().prints(SECRET);
        let said = bounded(&world, name, &["terraform", "plan", "-no-color"]).exits(77);
        assert!(said.stderr.contains("T3") && !said.stdout.contains(SECRET), "{name}: {said:#?}");
    }
    // A link that stays inside is nobody's fault.
    world.file("honest/shared.txt", "output \"x\" { value = 1 }\n");
    symlink("shared.txt", world.work().join("honest/main.tf")).unwrap();
    bounded(&world, "honest", &["terraform", "plan", "-no-color"]).ok().prints("x = 1");
    world.verify();
}

#[test]
fn a_backend_that_names_a_program_is_no_read() {
    let Some(_) = real("terraform", TERRAFORM) else { return };
    let world = World::with_policy(READS);
    let mark = world.work().join("MARK");
    let program = world.file("b/program", format!("#!/bin/sh\n: > {}\nexit 1\n", mark.display()));
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let settings = world
        .file("b/settings", format!("[profile x]\ncredential_process = {}\n", program.display()));
    world.file(
        "b/main.tf",
        format!(
            "terraform {{\n  backend \"s3\" {{\n    bucket = \"b\"\n    key = \"k\"\n    region = \"us-east-1\"\n    profile = \"x\"\n    shared_config_files = [\"{}\"]\n    skip_metadata_api_check = true\n    skip_requesting_account_id = true\n    endpoints = {{ s3 = \"http://127.0.0.1:1\", sts = \"http://127.0.0.1:1\", iam = \"http://127.0.0.1:1\" }}\n  }}\n}}\n",
            settings.display()
        ),
    );
    bare(&world, "b", &["init"]);
    assert!(mark.exists(), "the attack does not even work without iddio");
    fs::remove_file(&mark).unwrap();
    for words in [&["init"][..], &["plan"], &["validate"]] {
        let words: Vec<_> = ["terraform"].iter().chain(words).copied().collect();
        bounded(&world, "b", &words).exits(77).says("T3");
        assert!(!mark.exists(), "{words:?}");
    }
    // The settings of the user count too, where such a backend would read them.
    world.file("u/main.tf", fs::read_to_string(world.work().join("b/main.tf")).unwrap());
    let own = fs::read_to_string(world.work().join("u/main.tf")).unwrap();
    let own: Vec<_> = own.lines().filter(|line| !line.contains("shared_config")).collect();
    world.file("u/main.tf", own.join("\n"));
    fs::create_dir(world.user().join(".aws")).unwrap();
    fs::copy(&settings, world.user().join(".aws/config")).unwrap();
    bare(&world, "u", &["init"]);
    assert!(mark.exists(), "the attack does not even work without iddio");
    fs::remove_file(&mark).unwrap();
    bounded(&world, "u", &["terraform", "init"]).exits(77).says("T3");
    assert!(!mark.exists());
    // What init remembers counts as much: nothing else is looked at by these.
    world.file("r/main.tf", "terraform {\n  backend \"s3\" {}\n}\n");
    let remembered = r#"{"version":3,"backend":{"type":"s3","config":{"bucket":"b","key":"k","shared_config_files":["settings"],"exec":null},"hash":1}}"#;
    world.file("r/.terraform/terraform.tfstate", remembered);
    for words in [&["state", "list"][..], &["output"], &["show"], &["workspace", "list"]] {
        let words: Vec<_> = ["terraform"].iter().chain(words).copied().collect();
        bounded(&world, "r", &words).exits(77).says("T3").says("shared_config_files");
    }
    world.verify();
}

#[test]
fn the_outputs_of_another_state_are_no_read() {
    let Some(_) = real("terraform", TERRAFORM) else { return };
    let world = World::with_policy(READS);
    let state = world.user().join("production.tfstate");
    let outputs =
        format!("{{\"p\":{{\"value\":\"{SECRET}\",\"type\":\"string\",\"sensitive\":true}}}}");
    fs::write(&state, format!("{{\"version\":4,\"terraform_version\":\"1.4.0\",\"serial\":1,\"lineage\":\"a\",\"outputs\":{outputs},\"resources\":[]}}")).unwrap();
    world.file(
        "t/main.tf",
        format!(
            "data \"terraform_remote_state\" \"p\" {{\n  backend = \"local\"\n  config = {{ path = \"{}\" }}\n}}\noutput \"p\" {{ value = data.terraform_remote_state.p.outputs }}\n",
            state.display()
        ),
    );
    bare(&world, "t", &["plan", "-no-color"]).ok().prints(SECRET);
    let said = bounded(&world, "t", &["terraform", "plan", "-no-color"]).exits(77).says("T3");
    assert!(!said.stdout.contains(SECRET));
}

#[test]
fn pipes_where_files_should_be_keep_nobody_waiting() {
    let Some(_) = real("terraform", TERRAFORM) else { return };
    let Some(_) = real("kubectl", KUBECTL) else { return };
    let world = World::with_policy(READS);
    for name in ["tree", "variables", "workspace"] {
        world.file(&format!("{name}/.terraform/.keep"), "");
    }
    pipe(&world.work().join("tree/main.tf"));
    pipe(&world.work().join("variables/x.tfvars"));
    pipe(&world.work().join("workspace/.terraform/environment"));
    world.file("zero/a.tf", "");
    symlink("/dev/zero", world.work().join("zero/main.tf")).unwrap();
    for (name, more) in [
        ("tree", ""),
        ("variables", "-var-file=x.tfvars"),
        ("workspace", "-no-color"),
        ("zero", ""),
    ] {
        let words = ["terraform", "plan", more];
        let words: Vec<_> = words.into_iter().filter(|word| !word.is_empty()).collect();
        bounded(&world, name, &words).exits(77);
    }
    fs::create_dir(world.user().join(".kube")).unwrap();
    pipe(&world.user().join(".kube/config"));
    bounded(&world, ".", &["kubectl", "get", "pods"]).exits(77);
    world.verify();
}

#[test]
fn e07_a_link_leads_no_output_into_iddios_home_or_out_of_the_tree() {
    let Some(_) = real("terraform", TERRAFORM) else { return };
    let world = World::with_policy(READS);
    world.file("t/main.tf", "output \"x\" { value = 1 }\n");
    let policy = world.home().join("policy.yaml");
    symlink(world.home(), world.work().join("t/own")).unwrap();
    symlink(world.user(), world.work().join("t/out")).unwrap();
    let before = fs::read(&policy).unwrap();
    bare(&world, "t", &["plan", "-out=own/control"]).ok();
    fs::remove_file(world.home().join("control")).unwrap();
    let plan = |out: &str| bounded(&world, ".", &["terraform", "-chdir=t", "plan", out]);
    plan("-out=own/policy.yaml").exits(77).says("T4");
    plan("-out=out/.iddio/policy.yaml").exits(77).says("T4");
    plan("-out=out/written").exits(77).says("T3");
    assert_eq!(fs::read(&policy).unwrap(), before);
    assert!(!world.user().join("written").exists());
    plan("-out=here").ok();
    assert!(world.work().join("t/here").exists());
    world.verify();
}

#[test]
fn a08_a_tree_swapped_while_a_human_thinks_does_not_run_where_it_lies() {
    let Some(_) = real("terraform", TERRAFORM) else { return };
    let world = World::with_policy(ASKING);
    let (_, reads) = secret(&world);
    let state = world.work().join("t/terraform.tfstate");
    world.file("t/main.tf", &reads);
    bare(&world, "t", &["refresh"]).ok();
    assert!(fs::read_to_string(&state).unwrap().contains(SECRET), "the control");
    fs::remove_file(&state).unwrap();
    world.file("t/main.tf", "output \"y\" { value = 1 }\n");
    let mut refresh = world.start(["exec", "--", "terraform", "-chdir=t", "refresh"]);
    let id = refresh.until_asked();
    world.file("t/main.tf", &reads);
    world.iddio(["approvals", "approve", &id]).ok();
    let said = refresh.end().exits(69);
    assert!(said.stderr.contains("changed"), "{said:#?}");
    assert!(!fs::read_to_string(&state).unwrap_or_default().contains(SECRET));
    let records = world.records();
    let closed = of(&records, "closed");
    assert_eq!(closed.last().unwrap()["outcome"], "not_forwarded", "{closed:#?}");
    // Left alone it runs.
    let mut refresh = world.start(["exec", "--", "terraform", "-chdir=t", "validate"]);
    assert!(refresh.until_any(&["T3", "refused"]).contains("T3"));
    refresh.signal(rustix::process::Signal::TERM);
    refresh.end();
    world.file("t/main.tf", "output \"y\" { value = 1 }\n");
    let mut refresh = world.start(["exec", "--", "terraform", "-chdir=t", "refresh"]);
    let id = refresh.until_asked();
    world.iddio(["approvals", "approve", &id]).ok();
    refresh.end().ok();
    assert!(state.exists());
    world.verify();
}

#[test]
fn e21_a_manifest_directory_with_a_link_out_of_it_is_shown_as_unbound() {
    let Some(_) = real("kubectl", KUBECTL) else { return };
    let world = World::with_policy(
        "agents:\n  local:root:\n    rules:\n      - {protocol: kubernetes, tiers: {3: escalate}}\n",
    );
    let manifest = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n";
    world.file("d/a.yaml", manifest);
    let outside = world.file("outside.yaml", manifest);
    symlink(&outside, world.work().join("d/b.yaml")).unwrap();
    let mut apply = world.start(["exec", "--", "kubectl", "apply", "-f", "d"]);
    let id = apply.until_asked();
    let shown = world.iddio(["approvals", "show", &id]).ok();
    assert!(shown.stdout.contains("d/b.yaml"), "{shown:#?}");
    apply.signal(rustix::process::Signal::TERM);
    apply.end();
}

#[test]
fn e20_a_kubeconfig_swapped_while_a_human_thinks_is_not_used() {
    let Some(_) = real("kubectl", KUBECTL) else { return };
    let world = World::with_policy(
        "agents:\n  local:root:\n    rules:\n      - {protocol: kubernetes, tiers: {2: escalate}}\n",
    );
    let mark = world.work().join("MARK");
    let program = world.file("program", format!("#!/bin/sh\n: > {}\nexit 1\n", mark.display()));
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let config = |user: &str| {
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: x\nclusters: [{{name: x, cluster: {{server: 'https://127.0.0.1:1'}}}}]\ncontexts: [{{name: x, context: {{cluster: x, user: x}}}}]\nusers: [{{name: x, user: {user}}}]\n"
        );
        fs::create_dir_all(world.user().join(".kube")).unwrap();
        fs::write(world.user().join(".kube/config"), text).unwrap();
    };
    let evil = format!(
        "{{exec: {{apiVersion: client.authentication.k8s.io/v1, interactiveMode: Never, command: {}}}}}",
        program.display()
    );
    config(&evil);
    let words = ["kubectl", "scale", "deploy/web", "--replicas=1"];
    world.within(words).output().unwrap();
    assert!(mark.exists(), "the attack does not even work without iddio");
    fs::remove_file(&mark).unwrap();
    config("{token: x}");
    let mut scale = world.start(["exec", "--"].iter().chain(&words));
    let id = scale.until_asked();
    config(&evil);
    world.iddio(["approvals", "approve", &id]).ok();
    let said = scale.end().exits(69);
    assert!(said.stderr.contains("changed") && !mark.exists(), "{said:#?}");
    world.verify();
}

#[test]
fn a_shell_and_iddio_itself_are_no_other_program_behind_a_link() {
    let world = World::with_policy(crate::kit::OPEN);
    let mark = world.work().join("MARK");
    symlink("/bin/sh", world.work().join("tool")).unwrap();
    symlink(binary(), world.work().join("helper")).unwrap();
    // Text that only the run knows is break-glass where a shell reads it.
    let script = format!(": > {0}; eval \"$(cat {0})\"", mark.display());
    let mut control = world.within(["./tool", "-c", &script]);
    assert!(control.output().unwrap().status.success() && mark.exists());
    fs::remove_file(&mark).unwrap();
    bounded(&world, ".", &["./tool", "-c", &script]).exits(77).says("T4");
    bounded(&world, ".", &["./helper", "approvals", "approve", "esc_aaaaaaaa"])
        .exits(77)
        .says("T4");
    assert!(!mark.exists());
    world.verify();
}

#[test]
fn who_waits_for_a_standard_input_that_never_ends_can_leave() {
    let Some(_) = real("kubectl", KUBECTL) else { return };
    let world = World::with_policy(READS);
    let mut apply = world.command(["exec", "--", "kubectl", "apply", "-f", "-"]);
    let mut apply = Started::of(apply.stdin(Stdio::piped()));
    // More than a pipe holds: once it is written, somebody reads.
    apply.write(&vec![b'#'; 1 << 18]);
    apply.signal(rustix::process::Signal::TERM);
    apply.end().exits(69).says("standard input");
    world.verify();
}
