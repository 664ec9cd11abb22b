//! Real tools on real input: the AWS CLI against a local server, kubectl, helm.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use iddio_tests::{World, real};

use crate::kit::{OPEN, of};

/// Returns a tool that tests bring along: what the variable names, as `cargo xtask provision` sets it.
#[track_caller]
pub(crate) fn provisioned(variable: &str, name: &str) -> Option<PathBuf> {
    let without = std::env::var("IDDIO_TEST_WITHOUT").unwrap_or_default();
    if without.split(',').any(|word| word == name) {
        println!("WITHOUT {name}: {}", thread::current().name().unwrap_or("a test"));
        return None;
    }
    match std::env::var_os(variable) {
        Some(path) => Some(path.into()),
        None => {
            let tools = iddio_tests::repository().join("target/tools");
            let found = fs::read_to_string(tools.join("paths.json")).ok();
            let found: Option<serde_json::Value> =
                found.and_then(|text| serde_json::from_str(&text).ok());
            let path = found.and_then(|paths| paths[variable].as_str().map(PathBuf::from));
            Some(path.unwrap_or_else(|| panic!("`{name}` is needed: cargo xtask provision")))
        }
    }
}

/// Everything but break-glass runs, against servers on loopback too.
const GRANTING: &str = "\
agents:
  local:root:
    rules:
      - protocol: aws
        tiers: {0: allow, 1: allow, 2: allow, 3: allow, 4: deny}
        grants: {endpoints: ['http://127.0.0.1:*']}
";

/// A moto server on loopback, ended with the test.
pub(crate) struct Moto {
    child: Child,
    pub(crate) port: u16,
}

impl Moto {
    pub(crate) fn start(program: &PathBuf) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let child = Command::new(program)
            .args(["-H", "127.0.0.1", "-p", &port.to_string()])
            .env("MOTO_IAM_LOAD_MANAGED_POLICIES", "true")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let moto = Self { child, port };
        for _ in 0..600 {
            if moto.answers() {
                return moto;
            }
            thread::sleep(Duration::from_millis(100));
        }
        panic!("moto does not answer");
    }

    fn answers(&self) -> bool {
        let Ok(mut stream) = TcpStream::connect(("127.0.0.1", self.port)) else { return false };
        let asked = stream.write_all(b"GET /moto-api/ HTTP/1.0\r\n\r\n");
        let mut line = String::new();
        asked.is_ok()
            && BufReader::new(stream.take(1024)).read_line(&mut line).is_ok()
            && line.contains("200")
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A world in which the AWS CLI is trusted and its configuration leads to the server.
fn aws_world(aws: &std::path::Path, policy: &str, port: u16) -> World {
    let world = World::with_policy(policy);
    let directory = world.user().join(".aws");
    fs::create_dir_all(&directory).unwrap();
    fs::write(
        directory.join("config"),
        format!("[default]\nregion = us-east-1\nendpoint_url = http://127.0.0.1:{port}\n"),
    )
    .unwrap();
    fs::write(
        directory.join("credentials"),
        "[default]\naws_access_key_id = testing\naws_secret_access_key = testing\n",
    )
    .unwrap();
    world.iddio(["tool", "trust", aws.to_str().unwrap()]).ok();
    world
}

#[test]
fn the_aws_cli_writes_and_reads_through_iddio_and_destruction_is_refused() {
    let Some(aws) = provisioned("IDDIO_TEST_AWS", "aws") else { return };
    let Some(server) = provisioned("IDDIO_TEST_MOTO_SERVER", "moto") else { return };
    let moto = Moto::start(&server);
    let world = aws_world(&aws, GRANTING, moto.port);
    let endpoint = format!("--endpoint-url=http://127.0.0.1:{}", moto.port);
    let exec = |words: &[&str]| {
        let words = ["exec", "--", "aws", &endpoint].into_iter().chain(words.iter().copied());
        world.iddio(words)
    };
    // The endpoint of the configuration is not followed, and a foreign one is not granted.
    let foreign = ["exec", "--", "aws", "--endpoint-url=http://127.0.0.1.evil.test", "s3", "ls"];
    world.iddio(foreign).exits(77).says("T4");
    exec(&["s3", "mb", "s3://shop"]).ok();
    world.file("note.txt", "hello moto\n");
    exec(&["s3", "cp", "note.txt", "s3://shop/note.txt"]).ok();
    exec(&["s3", "ls", "s3://shop"]).ok().prints("note.txt");
    exec(&["s3", "cp", "s3://shop/note.txt", "-"]).ok().prints("hello moto");
    exec(&["sts", "get-caller-identity"]).ok().prints("123456789012");
    exec(&["s3", "rb", "s3://shop", "--force"]).exits(77).says("T4");
    exec(&["ec2", "terminate-instances", "--instance-ids", "i-1"]).exits(77).says("T4");
    exec(&["s3", "ls", "s3://shop"]).ok().prints("note.txt");
    let records = world.records();
    assert!(of(&records, "closed").iter().all(|record| record["protocol"] == "aws"));
    world.verify();
}

/// One operation of each effect, and the tier that its record must have.
const EFFECTS: [(&str, u8, &str); 17] = [
    ("s3api create-bucket --bucket shop", 2, "write"),
    ("s3api put-object --bucket shop --key note --body note.txt", 2, "write"),
    ("s3api list-buckets", 0, "list"),
    ("s3api head-object --bucket shop --key note", 0, "read"),
    ("s3api get-object --bucket shop --key note out.txt", 2, "a file is written"),
    ("s3api put-bucket-tagging --bucket shop --tagging TagSet=[{Key=owner,Value=ada}]", 2, "tag"),
    ("s3api put-bucket-acl --bucket shop --acl private", 3, "exposure"),
    ("s3api delete-object --bucket shop --key note", 3, "delete"),
    ("iam create-user --user-name ada", 3, "identity"),
    (
        "iam attach-user-policy --user-name ada --policy-arn arn:aws:iam::aws:policy/ReadOnlyAccess",
        3,
        "permissions",
    ),
    ("iam list-users", 0, "list"),
    ("secretsmanager create-secret --name db --secret-string hunter2", 3, "secret write"),
    ("secretsmanager describe-secret --secret-id db", 0, "read"),
    ("secretsmanager get-secret-value --secret-id db", 3, "secret"),
    ("sts get-session-token", 3, "credential"),
    ("iam create-access-key --user-name ada", 4, "a credential that lasts"),
    ("cloudtrail stop-logging --name trail", 4, "audit off"),
];

#[test]
fn one_aws_operation_of_each_effect_has_the_tier_of_its_effect() {
    let Some(aws) = provisioned("IDDIO_TEST_AWS", "aws") else { return };
    let Some(server) = provisioned("IDDIO_TEST_MOTO_SERVER", "moto") else { return };
    let moto = Moto::start(&server);
    let world = aws_world(&aws, GRANTING, moto.port);
    // An address in the configuration would be worth tier 3 by itself.
    fs::write(world.user().join(".aws/config"), "[default]\nregion = us-east-1\n").unwrap();
    world.file("note.txt", "hello moto\n");
    let endpoint = format!("--endpoint-url=http://127.0.0.1:{}", moto.port);
    for (words, tier, effect) in EFFECTS {
        let front = ["exec", "--", "aws", &endpoint];
        let said = world.iddio(front.into_iter().chain(words.split(' ')));
        // What is allowed reaches the server and comes back; what is break-glass does not run.
        let said = if tier == 4 { said.exits(77) } else { said.ok() };
        if effect == "secret" {
            said.prints("hunter2");
        }
        let records = world.records();
        let decided = of(&records, "decided");
        let last = decided.last().unwrap();
        assert_eq!(last["tier"], tier, "{effect}: aws {words}: {last:#}");
    }
    assert_eq!(fs::read_to_string(world.work().join("out.txt")).unwrap(), "hello moto\n");
    world.verify();
}

#[test]
fn an_aws_alias_or_credential_process_does_not_run_for_a_read() {
    // E02: `~/.aws/cli/alias` and `credential_process` are programs.
    let Some(aws) = provisioned("IDDIO_TEST_AWS", "aws") else { return };
    let reads = "agents:\n  local:root:\n    rules:\n      - {protocol: aws, tiers: {0: allow}}\n";
    let world = aws_world(&aws, reads, 1);
    let mark = world.work().join("MARK");
    let program = world.file("program", format!("#!/bin/sh\n: > {}\n", mark.display()));
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let cli = world.user().join(".aws/cli");
    fs::create_dir_all(&cli).unwrap();
    fs::write(cli.join("alias"), format!("[toplevel]\nwho = !{}\n", program.display())).unwrap();
    let direct = world.within([aws.to_str().unwrap(), "who"]).output().unwrap();
    assert!(mark.exists(), "the alias does not even work without iddio: {direct:?}");
    fs::remove_file(&mark).unwrap();
    world.iddio(["exec", "--", "aws", "who"]);
    world.iddio(["exec", "--", "aws", "s3", "ls"]);
    assert!(!mark.exists(), "the alias ran");
    fs::remove_file(cli.join("alias")).unwrap();
    fs::write(
        world.user().join(".aws/config"),
        format!("[default]\nregion = us-east-1\ncredential_process = {}\n", program.display()),
    )
    .unwrap();
    fs::remove_file(world.user().join(".aws/credentials")).unwrap();
    let _ = world.within([aws.to_str().unwrap(), "sts", "get-caller-identity"]).output().unwrap();
    assert!(mark.exists(), "credential_process does not even work without iddio");
    fs::remove_file(&mark).unwrap();
    world.iddio(["exec", "--", "aws", "sts", "get-caller-identity"]);
    assert!(!mark.exists(), "credential_process ran for a read");
}

#[test]
fn kubectl_runs_through_iddio_and_its_dangerous_verbs_are_refused() {
    let Some(_) = real("kubectl", "install kubectl, or apt-get install kubernetes-client") else {
        return;
    };
    let world = World::with_policy(OPEN);
    world.iddio(["exec", "--", "kubectl", "version", "--client"]).ok().prints("Client Version");
    for words in [
        &["exec", "web-0", "--", "sh"][..],
        &["delete", "ns", "prod"],
        &["port-forward", "svc/db", "5432"],
        &["get", "pods", "--server=https://198.51.100.9:6443"],
    ] {
        let words = ["exec", "--", "kubectl"].iter().chain(words);
        world.iddio(words).exits(77).says("T4");
    }
    world.verify();
}

const MANIFESTS: &str = "agents:\n  local:root:\n    rules:\n      - {protocol: kubernetes, cluster_scoped: true, tiers: {0: allow, 2: escalate}}\n";

fn deployment(namespace: &str, pod: &str) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: site, namespace: {namespace}}}\nspec:\n  template:\n    spec:\n      containers: [{{name: a, image: 'b:1'}}]\n{pod}"
    )
}

#[test]
fn e20_an_applied_manifest_is_asked_about_by_what_it_holds() {
    let Some(_) = real("kubectl", "install kubectl, or apt-get install kubernetes-client") else {
        return;
    };
    let world = World::with_policy(MANIFESTS);
    let two = format!("{}---\n{}", deployment("shop", ""), deployment("blog", ""));
    world.file("two.yaml", two);
    let mut apply = world.start(["exec", "--", "kubectl", "apply", "-f", "two.yaml"]);
    let id = apply.until_asked();
    let ask = world.json(["approvals", "show", &id, "--json"]).to_string();
    for wanted in ["Deployment shop/site", "Deployment blog/site", "\"blog\"", "\"shop\""] {
        assert!(ask.contains(wanted), "{wanted}: {ask}");
    }
    apply.signal(rustix::process::Signal::INT);
    apply.end().exits(77);
    world.verify();
}

#[test]
fn k11_a_privileged_pod_in_any_file_of_a_manifest_is_break_glass() {
    let Some(_) = real("kubectl", "install kubectl, or apt-get install kubernetes-client") else {
        return;
    };
    let world = World::with_policy(MANIFESTS);
    world.file("bad.yaml", deployment("shop", "      hostPID: true\n"));
    world.file("broken.yaml", "kind: [\n");
    world.file("d/a.yaml", deployment("shop", ""));
    world.file("d/below/b.yml", deployment("shop", "      hostNetwork: true\n"));
    for words in [
        &["apply", "-f", "bad.yaml"][..],
        &["create", "-f", "bad.yaml"],
        &["apply", "-f", "broken.yaml"],
        &["apply", "-R", "-f", "d"],
        &["apply", "-f", "d/a.yaml,bad.yaml"],
    ] {
        let words = ["exec", "--", "kubectl"].iter().chain(words);
        world.iddio(words).exits(77).says("T4");
    }
    let mut apply = world.start(["exec", "--", "kubectl", "apply", "-f", "d"]);
    apply.until_asked();
    apply.signal(rustix::process::Signal::INT);
    apply.end().exits(77);
    world.verify();
}

#[test]
fn helm_runs_through_iddio() {
    let Some(_) = real("helm", "install helm into /usr/local/bin") else { return };
    let world = World::with_policy(OPEN);
    world.iddio(["exec", "--", "helm", "version"]).ok();
}
