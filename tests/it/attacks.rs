//! Attacks on exec, approvals and the log, mounted with the real tools (threat ids E…).
//!
//! Each attack has a control: the same trick without iddio works. An attack that cannot succeed
//! proves nothing by failing.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use iddio_tests::{PATH, Started, World, real};

use crate::kit::{ASKING, KUBECTL, OPEN, SENSITIVE, TERRAFORM, of, only};

/// Reads run and nothing else does: what still runs, iddio took for a read.
const READS: &str = "\
agents:
  local:root:
    rules:
      - {protocol: command, tiers: {0: allow}}
      - {protocol: terraform, tiers: {0: allow, 1: allow}}
      - {protocol: kubernetes, tiers: {0: allow}}
      - {protocol: aws, tiers: {0: allow}}
      - {protocol: helm, tiers: {0: allow}}
";

fn executable(world: &World, name: &str, text: &str) -> PathBuf {
    let path = world.file(name, text);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

/// A program that leaves a mark when it runs, and where the mark will be.
fn marker(world: &World, name: &str) -> (PathBuf, PathBuf) {
    let mark = world.work().join("MARK");
    let program = executable(world, name, &format!("#!/bin/sh\n: > {}\nexit 1\n", mark.display()));
    (program, mark)
}

/// Checks that the trick works without iddio, and takes the mark away.
#[track_caller]
fn control(mut command: Command, mark: &Path) {
    let output = command.output().unwrap();
    assert!(mark.exists(), "the attack does not even work without iddio: {output:?}");
    fs::remove_file(mark).unwrap();
}

fn python(world: &World, script: &str, arguments: &[&str]) {
    let python = real("python3", "apt-get install python3").unwrap();
    let mut command = world.within([python.to_str().unwrap(), "-c", script]);
    let output = command.args(arguments).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn e01_a_saved_plan_that_names_a_provider_of_the_caller_starts_nothing() {
    let Some(terraform) = real("terraform", TERRAFORM) else { return };
    let world = World::with_policy(READS);
    world.example("hello");
    let mut plan = world.within([terraform.to_str().unwrap(), "-chdir=hello", "plan", "-out=p"]);
    assert!(plan.output().unwrap().status.success());
    let (_, mark) = marker(&world, PROVIDER);
    python(&world, EDIT_PLAN, &["hello/p"]);
    let show = ["-chdir=hello", "show", "-json", "p"];
    let mut direct = world.within([terraform.to_str().unwrap()]);
    direct.args(show);
    control(direct, &mark);
    for verb in [&["show", "-json", "p"][..], &["show", "p"], &["apply", "p"]] {
        let words = ["exec", "--", "terraform", "-chdir=hello"].iter().chain(verb);
        world.iddio(words).exits(77);
        assert!(!mark.exists(), "{verb:?} started the provider");
    }
    world.verify();
}

/// Where terraform looks for the provider that [`EDIT_PLAN`] names.
const PROVIDER: &str = "hello/.terraform/providers/registry.terraform.io/evil/evil/1.0.0/linux_amd64/terraform-provider-evil_v1.0.0";

/// Rewrites a saved plan: its configuration and lock file now name another provider.
const EDIT_PLAN: &str = r#"
import base64, glob, hashlib, os, sys, zipfile
path = sys.argv[1]
package = os.path.dirname(glob.glob("hello/.terraform/providers/*/*/*/*/*/*")[0])
lines = ""
for name in sorted(os.listdir(package)):
    digest = hashlib.sha256(open(os.path.join(package, name), "rb").read()).hexdigest()
    lines += f"{digest}  {name}\n"
h1 = "h1:" + base64.b64encode(hashlib.sha256(lines.encode()).digest()).decode()
lock = f'provider "registry.terraform.io/evil/evil" {{\n  version = "1.0.0"\n  hashes = ["{h1}"]\n}}\n'
config = 'terraform {\n required_providers {\n  evil = { source = "evil/evil" }\n }\n}\nresource "evil_thing" "x" {}\n'
entries = {}
with zipfile.ZipFile(path) as z:
    for info in z.infolist():
        entries[info.filename] = z.read(info.filename)
for name in entries:
    if name.endswith("main.tf"):
        entries[name] = config.encode()
entries[".terraform.lock.hcl"] = lock.encode()
open("hello/.terraform.lock.hcl", "w").write(lock)
with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as z:
    for name, data in entries.items():
        z.writestr(name, data)
"#;

#[test]
fn e02_a_read_that_would_run_a_kubeconfigs_program_is_no_read() {
    let Some(kubectl) = real("kubectl", KUBECTL) else { return };
    let world = World::with_policy(READS);
    let (program, mark) = marker(&world, "plugin");
    let config = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: x\nclusters: [{{name: x, cluster: {{server: 'https://127.0.0.1:1'}}}}]\ncontexts: [{{name: x, context: {{cluster: x, user: x}}}}]\nusers: [{{name: x, user: {{exec: {{apiVersion: client.authentication.k8s.io/v1, interactiveMode: Never, command: {}}}}}}}]\n",
        program.display()
    );
    fs::create_dir_all(world.user().join(".kube")).unwrap();
    fs::write(world.user().join(".kube/config"), config).unwrap();
    control(world.within([kubectl.to_str().unwrap(), "get", "pods"]), &mark);
    world.iddio(["exec", "--", "kubectl", "get", "pods"]);
    assert!(!mark.exists(), "the kubeconfig's program ran for a read");
    world.verify();
}

#[test]
fn e02_a_read_with_the_trees_own_plugins_is_no_read() {
    let Some(terraform) = real("terraform", TERRAFORM) else { return };
    let world = World::with_policy(READS);
    let (_, mark) = marker(
        &world,
        "t/terraform.d/plugins/registry.terraform.io/evil/evil/1.0.0/linux_amd64/terraform-provider-evil_v1.0.0",
    );
    world.file(
        "t/main.tf",
        "terraform {\n  required_providers {\n    evil = { source = \"evil/evil\" }\n  }\n}\nresource \"evil_thing\" \"x\" {}\n",
    );
    let terraform = terraform.to_str().unwrap();
    let tree = world.work().join("t");
    let mut init = world.within([terraform, "init"]);
    assert!(init.current_dir(&tree).output().unwrap().status.success());
    let mut validate = world.within([terraform, "validate"]);
    validate.current_dir(&tree);
    control(validate, &mark);
    for verb in ["validate", "graph", "plan", "providers schema -json"] {
        let words = ["exec", "--", "terraform"].into_iter().chain(verb.split(' '));
        world.command(words).current_dir(&tree).output().unwrap();
        assert!(!mark.exists(), "`terraform {verb}` ran the tree's own plugin as a read");
    }
    world.verify();
}

#[test]
fn e03_a_tool_is_never_taken_from_the_callers_path() {
    let Some(_) = real("kubectl", KUBECTL) else { return };
    let world = World::with_policy(READS);
    let (fake, mark) = marker(&world, "bin/kubectl");
    let path = format!("{}:{PATH}", fake.parent().unwrap().display());
    let mut direct = world.within(["kubectl", "version"]);
    direct.env("PATH", &path);
    control(direct, &mark);
    let mut exec = world.command(["exec", "--", "kubectl", "version", "--client"]);
    assert!(exec.env("PATH", &path).output().unwrap().status.success());
    assert!(!mark.exists(), "the caller's PATH chose the tool");
    // By its full path it is an unknown program, whatever it is called.
    let terraform = marker(&world, "x/terraform").0;
    world.iddio(["exec", "--", terraform.to_str().unwrap(), "plan"]).exits(77).says("T3");
    world.iddio(["exec", "--", "./x/terraform", "plan"]).exits(77).says("T3");
    assert!(!mark.exists());
    world.verify();
}

#[test]
fn e03_a_tool_that_changed_since_it_was_pinned_asks_again() {
    let world = World::with_policy(READS);
    let tool = executable(&world, "tools/aws", "#!/bin/sh\necho genuine\n");
    world.iddio(["exec", "--", tool.to_str().unwrap(), "sts", "get-caller-identity"]).exits(77);
    world.iddio(["tool", "trust", tool.to_str().unwrap()]).ok();
    let trusted = ["exec", "--", tool.to_str().unwrap(), "sts", "get-caller-identity"];
    world.iddio(trusted).ok().prints("genuine");
    fs::write(&tool, "#!/bin/sh\necho swapped\n").unwrap();
    let said = world.iddio(trusted).exits(77);
    assert!(said.stderr.contains("changed"), "{said:#?}");
    world.verify();
}

#[test]
fn a_trusted_script_counts_as_a_write_and_under_another_name_as_unknown() {
    let world = World::with_policy(READS);
    let script = executable(&world, "deploy.sh", "#!/bin/sh\necho deployed\n");
    let tier = |path: &Path| {
        let said = world.iddio(["exec", "--", path.to_str().unwrap()]).exits(77);
        said.stderr.split("refused  ").nth(1).unwrap().get(..2).unwrap().to_owned()
    };
    assert_eq!(tier(&script), "T3");
    world.iddio(["tool", "trust", script.to_str().unwrap()]).ok();
    assert_eq!(tier(&script), "T2");
    // The same content under a tool's name is not that tool.
    let disguised = executable(&world, "terraform", "#!/bin/sh\necho deployed\n");
    world.iddio(["exec", "--", disguised.to_str().unwrap(), "plan"]).exits(77).says("T3");
}

#[test]
fn e04_a_plan_whose_configuration_runs_programs_or_reads_secrets_is_t3() {
    let Some(_) = real("terraform", TERRAFORM) else { return };
    let world = World::with_policy(READS);
    let (program, mark) = marker(&world, "program");
    let cases = [
        ("external", format!("data \"external\" \"x\" {{ program = [\"{}\"] }}\n", program.display())),
        ("http", "data \"http\" \"x\" { url = \"http://127.0.0.1:1\" }\n".to_owned()),
        ("file", "output \"x\" { value = file(\"/etc/shadow\") }\n".to_owned()),
        (
            "secret",
            "data \"aws_ssm_parameter\" \"x\" { name = \"p\" }\noutput \"x\" { value = nonsensitive(data.aws_ssm_parameter.x.value) }\n".to_owned(),
        ),
    ];
    for (name, text) in cases {
        world.file(&format!("{name}/main.tf"), text);
        let chdir = format!("-chdir={name}");
        world.iddio(["exec", "--", "terraform", &chdir, "plan"]).exits(77).says("T3");
        assert!(!mark.exists());
    }
}

#[test]
fn e06_the_home_is_found_through_the_user_database_alone() {
    let world = World::with_policy(READS);
    let other = World::with_policy(OPEN);
    let mut exec = world.command(["exec", "--", "touch", "ran"]);
    let output = exec.env("HOME", other.user()).output().unwrap();
    assert_eq!(output.status.code(), Some(77));
    let mut exec = world.command(["exec", "--", "touch", "ran"]);
    let output = exec.env("IDDIO_HOME", other.home()).output().unwrap();
    assert_eq!(output.status.code(), Some(69), "{output:?}");
    assert!(!world.work().join("ran").exists());
    // The home's own configuration may allow it, and a user without a home may name one.
    fs::write(world.home().join("config.toml"), "other_homes = \"allow\"\n").unwrap();
    let mut exec = world.command(["exec", "--", "touch", "ran"]);
    assert!(exec.env("IDDIO_HOME", other.home()).output().unwrap().status.success());
    let fresh = World::new();
    let mut exec = fresh.command(["exec", "--", "touch", "ran"]);
    assert!(exec.env("IDDIO_HOME", other.home()).output().unwrap().status.success());
}

#[test]
fn e06_a_name_needs_its_token() {
    let world = World::with_policy(&OPEN.replace("local:root", "builder"));
    let token = world.json(["agent", "add", "builder", "--json"])["token"].clone();
    let token = token.as_str().unwrap();
    world.iddio(["exec", "--agent", "builder", "--", "true"]).ok();
    world.iddio(["exec", "--", "true"]).exits(77);
    let run = |token: &str, words: &[&str]| {
        let output = world.command(words).env("IDDIO_TOKEN", token).output().unwrap();
        output.status.code().unwrap()
    };
    assert_eq!(run(token, &["exec", "--", "true"]), 0);
    assert_eq!(run(token, &["exec", "--agent", "other", "--", "true"]), 77, "both must agree");
    assert_eq!(run("iddio_wrong", &["exec", "--", "true"]), 77);
    world.iddio(["agent", "rotate", "builder"]).ok();
    assert_eq!(run(token, &["exec", "--", "true"]), 77, "the old token has ended");
    world.iddio(["agent", "revoke", "builder"]).ok();
    world.iddio(["exec", "--agent", "builder", "--", "true"]).exits(77);
    let said = world.iddio(["agent", "list"]).ok();
    assert!(!said.stdout.contains(token), "a token is shown once");
    world.verify();
}

#[test]
fn e07_a_grant_written_into_the_queues_file_is_no_grant() {
    let world = World::with_policy(
        "agents:\n  local:root:\n    rules:\n      - {protocol: command, tiers: {0: allow, 2: allow, 3: escalate}, timeout: 3s}\n",
    );
    let mut exec = world.start(SENSITIVE);
    let id = exec.until_asked();
    python(&world, FORGE, &[world.home().join("approvals.db").to_str().unwrap(), &id]);
    exec.end().exits(77);
    assert!(!world.work().join("ran").exists(), "a forged row was taken for a grant");
}

/// Says yes in every column of every table that could hold an answer.
const FORGE: &str = r#"
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], timeout=5)
for (table,) in db.execute("select name from sqlite_master where type='table'").fetchall():
    for column in [row[1] for row in db.execute(f'pragma table_info("{table}")')]:
        if column in ("state", "verdict", "status", "answer", "word"):
            for word in ("granted", "grant", "approve", "approved", 2):
                try:
                    db.execute(f'update "{table}" set "{column}" = ?', (word,))
                except sqlite3.Error:
                    pass
db.commit()
"#;

#[test]
fn e07_iddios_own_home_as_an_argument_is_break_glass() {
    let world = World::with_policy(OPEN);
    let queue = world.home().join("approvals.db");
    for words in [
        vec!["exec", "--", "cat", queue.to_str().unwrap()],
        vec!["exec", "--", "cp", "x", world.home().to_str().unwrap()],
        vec!["exec", "--", "kubectl", "apply", "-f", queue.to_str().unwrap()],
    ] {
        world.iddio(&words).exits(77).says("T4");
    }
    std::os::unix::fs::symlink(world.home(), world.work().join("innocent")).unwrap();
    world.iddio(["exec", "--", "cat", "innocent/approvals.db"]).exits(77).says("T4");
    world.iddio(["exec", "--", "cat", "./../user/.iddio/policy.yaml"]).exits(77).says("T4");
}

#[test]
fn e08_an_agent_answers_nobody() {
    let world = World::with_policy(ASKING);
    let token = world.json(["agent", "add", "helper", "--json"])["token"].clone();
    let mut exec = world.start(["exec", "--", "touch", "ran"]);
    let id = exec.until_asked();
    let mut approve = world.command(["approvals", "approve", &id]);
    let output = approve.env("IDDIO_TOKEN", token.as_str().unwrap()).output().unwrap();
    assert!(!output.status.success(), "{output:?}");
    exec.signal(rustix::process::Signal::INT);
    exec.end().exits(77);
    assert!(!world.work().join("ran").exists());
}

#[test]
fn e08_t3_needs_somebody_else_with_a_key() {
    let world = World::with_policy(ASKING);
    let exec = |timeout: &str| {
        world.set_policy(&ASKING.replace("4: deny}}", &format!("4: deny}}, timeout: {timeout}}}")));
        world.start(SENSITIVE)
    };
    // Whoever shares the Unix user cannot answer T3.
    let mut asking = exec("2s");
    let id = asking.until_asked();
    let said = world.iddio(["approvals", "approve", &id]);
    assert_ne!(said.code, 0, "{said:#?}");
    asking.end().exits(77);
    assert!(!world.work().join("ran").exists());
    // An enrolled human who is not the requester can.
    world.iddio(["operator", "add", "bob"]).ok();
    with_passphrase(&world, &["operator", "enroll", "bob"]);
    let mut asking = exec("5m");
    let id = asking.until_asked();
    with_passphrase(&world, &["approvals", "approve", &id, "--as", "bob"]);
    asking.end().ok();
    assert!(world.work().join("ran").exists());
    let records = world.records();
    let closed = only(&records, "closed");
    assert_eq!(closed["approved_by"], "human:bob");
    assert_eq!(closed["approval_assurance"], "passphrase");
    world.verify();
}

fn with_passphrase(world: &World, words: &[&str]) {
    let mut command = world.command(words.iter().copied().chain(["--passphrase-fd", "0"]));
    command.stdin(Stdio::piped());
    let mut running = Started::of(&mut command);
    running.write(b"correct horse battery staple\n");
    running.end().ok();
}

#[test]
fn e09_another_user_can_neither_take_the_logs_lock_nor_read_it() {
    if !rustix::process::geteuid().is_root() {
        panic!("this test needs root, to become another user");
    }
    let world = World::with_policy(OPEN);
    world.iddio(["exec", "--", "true"]).ok();
    for entry in fs::read_dir(world.home().join("log")).unwrap() {
        let path = entry.unwrap().path();
        let flock = ["setpriv", "--reuid=12345", "--clear-groups", "flock", "-n"];
        let taken = world.within(flock.into_iter().chain([path.to_str().unwrap(), "true"]));
        let mut taken = taken;
        assert!(!taken.output().unwrap().status.success(), "{} was locked", path.display());
    }
    world.iddio(["exec", "--", "true"]).ok();
}

#[test]
fn e12_a_plan_that_only_creates_but_runs_a_program_is_t3_and_shown() {
    let Some(terraform) = real("terraform", TERRAFORM) else { return };
    let world = World::with_policy(
        "agents:\n  local:root:\n    rules:\n      - {protocol: terraform, tiers: {0: allow, 1: allow, 2: allow, 3: escalate}}\n",
    );
    let mark = world.work().join("MARK");
    let text = format!(
        "resource \"terraform_data\" \"x\" {{\n  provisioner \"local-exec\" {{\n    command = \"touch {}\"\n  }}\n}}\n",
        mark.display()
    );
    world.file("t/main.tf", text);
    let terraform = terraform.to_str().unwrap();
    assert!(
        world.within([terraform, "-chdir=t", "plan", "-out=p"]).output().unwrap().status.success()
    );
    let mut exec = world.start(["exec", "--", "terraform", "-chdir=t", "apply", "p"]);
    let id = exec.until_asked();
    let said = world.iddio(["approvals", "show", &id]).ok();
    assert!(said.stdout.contains("T3"), "{said:#?}");
    assert!(said.stdout.contains("touch "), "the program is shown: {said:#?}");
    exec.signal(rustix::process::Signal::INT);
    exec.end().exits(77);
    assert!(!mark.exists());
}

#[test]
fn e14_asking_and_leaving_a_hundred_times_leaves_every_ask_and_its_end() {
    let world = World::with_policy(ASKING);
    for _ in 0..20 {
        let mut exec = world.start(["exec", "--", "touch", "ran"]);
        match exec.until_any(&["esc_", "refused", "wait"]).contains("esc_") {
            true => exec.signal(rustix::process::Signal::KILL),
            false => break,
        }
        exec.end();
    }
    world.set_policy(OPEN);
    world.iddio(["exec", "--", "true"]).ok();
    let said = world.iddio(["audit", "verify"]).ok();
    let records = world.records();
    let asked = of(&records, "asked").len();
    assert!(2 <= asked, "{said:#?}");
    let withdrawn =
        of(&records, "closed").iter().filter(|record| record["outcome"] == "withdrawn").count();
    assert_eq!(asked, withdrawn, "every ask has its end");
}

#[test]
fn e15_a_grant_given_under_a_looser_policy_does_not_outlive_it() {
    let world = World::with_policy(ASKING);
    world.set_policy(
        "agents:\n  local:root:\n    rules:\n      - {protocol: terraform, tiers: {0: allow, 1: allow, 2: escalate}}\n",
    );
    let Some(_) = real("terraform", TERRAFORM) else { return };
    world.example("hello");
    let mut exec = world.start(["exec", "--", "terraform", "-chdir=hello", "apply"]);
    let id = exec.until_asked();
    world.set_policy(READS);
    world.iddio(["approvals", "approve", &id]);
    exec.end().exits(77);
    assert!(!world.work().join("hello/terraform.tfstate").exists());
    world.verify();
}

#[test]
fn e20_the_workspace_is_what_the_tool_will_use_not_what_a_file_says() {
    let Some(terraform) = real("terraform", TERRAFORM) else { return };
    let world = World::with_policy(
        "agents:\n  local:root:\n    rules:\n      - {protocol: terraform, workspaces: [\"staging\"], tiers: {0: allow, 1: allow, 2: allow}}\n",
    );
    world.example("hello");
    let terraform = terraform.to_str().unwrap();
    for name in ["staging", "production"] {
        let words = [terraform, "-chdir=hello", "workspace", "new", name];
        assert!(world.within(words).output().unwrap().status.success());
    }
    // Production is selected: the rule for staging does not cover it.
    world.iddio(["exec", "--", "terraform", "-chdir=hello", "apply", "-auto-approve"]).exits(77);
    // The variable wins over the file in terraform; iddio follows what terraform will do.
    let mut exec =
        world.command(["exec", "--", "terraform", "-chdir=hello", "apply", "-auto-approve"]);
    let output = exec.env("TF_WORKSPACE", "staging").output().unwrap();
    let state = |name: &str| {
        world.work().join(format!("hello/terraform.tfstate.d/{name}/terraform.tfstate"))
    };
    assert!(!state("production").exists(), "{output:?}");
    // A plan made in production stays production's, wherever it is applied.
    let words = [terraform, "-chdir=hello", "plan", "-out=p"];
    assert!(world.within(words).output().unwrap().status.success());
    let words = [terraform, "-chdir=hello", "workspace", "select", "staging"];
    assert!(world.within(words).output().unwrap().status.success());
    world.iddio(["exec", "--", "terraform", "-chdir=hello", "apply", "p"]).exits(77);
    assert!(!state("production").exists());
    world.verify();
}

#[test]
fn e21_a_manifest_on_standard_input_is_bound_before_anyone_is_asked() {
    let Some(_) = real("kubectl", KUBECTL) else { return };
    let world = World::with_policy(
        "agents:\n  local:root:\n    rules:\n      - {protocol: kubernetes, cluster_scoped: true, tiers: {0: allow, 2: escalate, 3: escalate}}\n",
    );
    let mut command = world.command(["exec", "--", "kubectl", "apply", "-f", "-"]);
    command.stdin(Stdio::piped());
    let mut exec = Started::of(&mut command);
    exec.write(b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x, namespace: web}\n");
    exec.close_stdin();
    let id = exec.until_asked();
    let ask = world.json(["approvals", "show", &id, "--json"]);
    assert!(ask.to_string().contains("standard input"), "{ask:#}");
    exec.signal(rustix::process::Signal::INT);
    exec.end().exits(77);
}

#[test]
fn e21_a_manifest_from_the_network_is_unbound_and_t3() {
    let Some(_) = real("kubectl", KUBECTL) else { return };
    let world = World::with_policy(READS);
    let words = ["exec", "--", "kubectl", "apply", "-f", "https://127.0.0.1:1/x.yaml"];
    let said = world.iddio(words).exits(77);
    assert!(said.stderr.contains("T3") || said.stderr.contains("T4"), "{said:#?}");
}

#[test]
fn e24_a_loop_of_refused_commands_does_not_fill_the_log() {
    let world = World::with_policy(READS);
    let loops =
        "i=0; while [ $i -lt 400 ]; do \"$1\" -q exec -- touch ran 2>/dev/null; i=$((i+1)); done";
    let binary = iddio_tests::binary();
    let mut shell = world.within(["sh", "-c", loops, "sh", binary.to_str().unwrap()]);
    shell.output().unwrap();
    assert!(!world.work().join("ran").exists());
    let records = world.records();
    let refused = of(&records, "decided").len();
    assert!(refused < 400, "{refused} refusals were recorded one by one");
    let said = world.iddio(["audit", "verify"]).ok();
    drop(said);
    let coalesced: u64 = of(&records, "refusals.coalesced")
        .iter()
        .filter_map(|record| record["count"].as_u64())
        .sum();
    assert!(refused as u64 + coalesced <= 400);
}

#[test]
fn e25_an_abbreviated_option_is_the_option() {
    let world = World::new();
    let tier = |words: &[&str]| {
        let words = ["classify", "--json", "--"].iter().chain(words);
        world.json(words)["tier"].as_u64().unwrap()
    };
    assert_eq!(tier(&["aws", "s3", "ls"]), 0);
    assert_eq!(tier(&["aws", "--endpoint-url", "http://evil", "s3", "ls"]), 4);
    assert_eq!(tier(&["aws", "--endpoint", "http://evil", "s3", "ls"]), 4);
    assert_eq!(tier(&["aws", "--end", "http://evil", "s3", "ls"]), 4);
    assert_eq!(tier(&["aws", "s3", "presign", "s3://b/k"]), 3);
    assert_eq!(tier(&["aws", "eks", "get-token", "--cluster-name", "x"]), 3);
    assert_eq!(tier(&["aws", "configure", "export-credentials"]), 3);
}
