//! Credentials that a run has and its caller never sees: real tools, and canaries (N8).

use std::{
    fmt::Write as _,
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Arc, Mutex},
    thread,
};

use iddio_tests::{
    Said,
    broker::{ADA, Host},
    keepers::until,
    real,
};

use crate::{
    broker::OPEN,
    kit::TERRAFORM,
    tools::{Moto, provisioned},
};

/// Everything runs, against servers on loopback too.
const GRANTING: &str = "\
agents:
  local:ada:
    rules:
      - protocol: aws
        tiers: {0: allow, 1: allow, 2: allow, 3: allow, 4: deny}
        grants: {endpoints: ['http://127.0.0.1:*']}
      - {protocol: command, tiers: {0: allow, 1: allow, 2: allow, 3: allow, 4: deny}}
";

/// Writes a secret that only the broker reads.
fn secret(place: &Path, name: &str, text: &str) -> PathBuf {
    let path = place.join(name);
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path
}

/// The configuration of a host whose AWS is moto.
fn amazon(aws: &Path, port: u16, keys: &Path) -> String {
    let directory = aws.parent().unwrap();
    let tools = directory.parent().unwrap();
    format!(
        "tool_path = [\"/usr/bin\", \"/bin\", {directory:?}]\nvisible = [{tools:?}]\nnetwork = [\"127.0.0.1:{port}\"]\n\
         [[credentials]]\nfor = [\"aws\"]\n[credentials.aws-role]\narn = \"arn:aws:iam::123456789012:role/deploy\"\n\
         region = \"us-east-1\"\nkeys_file = {keys:?}\nendpoint = \"http://127.0.0.1:{port}/\"\n"
    )
}

#[test]
fn the_aws_cli_works_with_a_role_for_the_run_and_its_caller_sees_no_key() {
    let Some(aws) = provisioned("IDDIO_TEST_AWS", "aws") else { return };
    let Some(moto) = provisioned("IDDIO_TEST_MOTO_SERVER", "moto") else { return };
    let moto = Moto::start(&moto);
    let mut host = Host::new(GRANTING, "");
    let keys = secret(
        &host.path("root"),
        "keys",
        "AKIAIOSFODNN7EXAMPLE\nwJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY\n",
    );
    host.configure(&amazon(&aws, moto.port, &keys));
    host.start();
    let at = format!("http://127.0.0.1:{}", moto.port);
    let run = |words: &[&str]| {
        let own = ["aws", "--endpoint-url", &at, "--region", "us-east-1"];
        host.run(ADA, own.iter().chain(words))
    };
    host.file(ADA, "a.txt", "content");
    run(&["s3", "mb", "s3://bucket"]).ok();
    run(&["s3", "cp", "a.txt", "s3://bucket/a.txt"]).ok();
    run(&["s3", "ls", "s3://bucket"]).ok().prints("a.txt");
    run(&["s3", "cp", "s3://bucket/a.txt", "back.txt"]).ok();
    assert_eq!(fs::read(host.work_of("ada").join("back.txt")).unwrap(), b"content");
    run(&["sts", "get-caller-identity"]).ok().prints("assumed-role/deploy/iddio-localada");
    run(&["ec2", "terminate-instances", "--instance-ids", "i-1"]).exits(77).says("T4");
    // What asks for the credentials gets them, and prints none.
    let fetch = "import os, urllib.request as u\ne = os.environ\nr = u.Request(e['AWS_CONTAINER_CREDENTIALS_FULL_URI'], headers={'Authorization': e['AWS_CONTAINER_AUTHORIZATION_TOKEN']})\nprint(u.urlopen(r).read().decode())\n";
    host.file(ADA, "fetch.py", fetch);
    let script = format!("python3 fetch.py; aws --endpoint-url {at} --region us-east-1 s3 ls >&2");
    let said = host.run(ADA, ["sh", "-c", &script]).ok();
    let printed: serde_json::Value = serde_json::from_str(&said.stdout).unwrap();
    for name in ["AccessKeyId", "SecretAccessKey", "Token"] {
        assert_eq!(printed[name], "***", "{said:#?}");
    }
    let script = format!("env; aws --endpoint-url {at} --region us-east-1 s3 ls --debug");
    let said = host.run(ADA, ["sh", "-c", &script]).ok();
    assert!(said.stdout.contains("AWS_CONTAINER_AUTHORIZATION_TOKEN=***\n"), "{said:#?}");
    assert!(
        said.stderr.contains("x-amz-security-token")
            || said.stderr.contains("X-Amz-Security-Token"),
        "it tells all"
    );
    assert!(!said.stderr.contains("FwoGZXIvYXdz"), "but not how sessions of moto begin: {said:#?}");
    host.root(["audit", "verify"]).ok();
}

#[test]
fn terraform_plans_and_applies_in_its_copy_and_the_state_comes_back() {
    let Some(_) = real("terraform", TERRAFORM) else { return };
    let mut host = Host::new(OPEN, "");
    let canary = "canary-terraform-3e7c1a95d0f2b864";
    let token = secret(&host.path("root"), "token", &format!("{canary}\n"));
    host.configure(&format!(
        "[[credentials]]\nfor = [\"terraform\"]\nvariable = {{ name = \"TF_VAR_token\", value = {{ file = {token:?} }} }}\n"
    ));
    host.start();
    host.file(ADA, "main.tf", "variable \"token\" {}\nresource \"terraform_data\" \"x\" { input = \"v1\" }\noutput \"t\" { value = var.token }\n");
    host.run(ADA, ["terraform", "init", "-no-color"]).ok();
    let said = host.run(ADA, ["terraform", "apply", "-auto-approve", "-no-color"]).ok();
    assert!(said.stdout.contains("Apply complete") && said.stdout.contains("***"), "{said:#?}");
    let state = fs::read_to_string(host.work_of("ada").join("terraform.tfstate")).unwrap();
    assert!(state.contains("\"v1\"") && !state.contains(canary) && !said.stdout.contains(canary));
    let said = host.run(ADA, ["terraform", "show", "-no-color"]).ok();
    assert!(said.stdout.contains("v1"));
    host.root(["audit", "verify"]).ok();
}

#[test]
fn values_come_from_vault_from_secrets_manager_and_from_the_service_itself() {
    let Some(moto) = provisioned("IDDIO_TEST_MOTO_SERVER", "moto") else { return };
    let Some(aws) = provisioned("IDDIO_TEST_AWS", "aws") else { return };
    let moto = Moto::start(&moto);
    let vault = vault("vault-token-of-the-broker", "canary-from-vault-77aa");
    let mut host = Host::new(OPEN, "");
    let place = host.path("root");
    let at = format!("http://127.0.0.1:{}", moto.port);
    let made = std::process::Command::new(&aws)
        .args(["--endpoint-url", &at, "--region", "us-east-1", "secretsmanager", "create-secret"])
        .args(["--name", "web", "--secret-string", "{\"key\": \"canary-from-amazon-88bb\"}"])
        .env("AWS_ACCESS_KEY_ID", "AKIA")
        .env("AWS_SECRET_ACCESS_KEY", "x")
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let keys =
        secret(&place, "keys", "AKIAIOSFODNN7EXAMPLE\nwJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY\n");
    let token = secret(&place, "vault-token", "vault-token-of-the-broker\n");
    let kubernetes = secret(&place, "cluster-token", "canary-for-the-cluster-99cc\n");
    host.configure(&format!(
        "[[credentials]]\nfor = [\"command\"]\nvariable = {{ name = \"ONE\", value = {{ vault = {{ address = \"http://127.0.0.1:{vault}\", path = \"secret/data/web\", field = \"key\", token_file = {token:?} }} }} }}\n\
         [[credentials]]\nfor = [\"command\"]\nvariable = {{ name = \"TWO\", value = {{ secrets-manager = {{ id = \"web\", field = \"key\", region = \"us-east-1\", keys_file = {keys:?}, endpoint = \"{at}/\" }} }} }}\n\
         [[credentials]]\nfor = [\"command\"]\nkubernetes = {{ name = \"prod\", server = \"https://k.example:6443\", token = {{ file = {kubernetes:?} }} }}\n\
         [[credentials]]\nfor = [\"command\"]\nagents = [\"somebody-else\"]\nvariable = {{ name = \"NOT\", value = {{ environment = \"PATH\" }} }}\n\
         [[credentials]]\nfor = [\"helm\"]\nvariable = {{ name = \"NOT\", value = {{ environment = \"PATH\" }} }}\n"
    ));
    host.start();
    // The command has them: it can count what it may not show.
    let script = "echo ${#ONE} ${#TWO} $ONE $TWO ${NOT:-none}; /run/iddio/kubernetes-credential; cat $KUBECONFIG";
    let said = host.run(ADA, ["sh", "-c", script]).ok();
    assert!(said.stdout.starts_with("22 23 *** *** none\n"), "{said:#?}");
    assert!(
        said.stdout.contains("\"token\":\"***\"") && said.stdout.contains("https://k.example:6443")
    );
    assert!(!said.stdout.contains("canary"));
    // What cannot be had is not gone without.
    fs::remove_file(&token).unwrap();
    host.run(ADA, ["true"]).exits(69).says("no credential could be made");
}

/// Starts a server that hears what is asked, and answers as `answer` says: a status, and a body of JSON.
fn hearing(
    answer: impl Fn(&str, usize) -> (&'static str, String) + Send + 'static,
) -> (u16, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (port, asked) =
        (listener.local_addr().unwrap().port(), Arc::<Mutex<Vec<String>>>::default());
    let heard = asked.clone();
    thread::spawn(move || {
        for client in listener.incoming() {
            let mut client = client.unwrap();
            let mut reader = BufReader::new(client.try_clone().unwrap());
            let (mut head, mut line) = (String::new(), String::new());
            while line != "\r\n" {
                line.clear();
                reader.read_line(&mut line).unwrap();
                head += &line;
            }
            let length = head.split("Content-Length: ").nth(1).unwrap();
            let mut body = vec![0; length.split("\r\n").next().unwrap().parse().unwrap()];
            reader.read_exact(&mut body).unwrap();
            let mut heard = heard.lock().unwrap();
            let first = head.lines().next().unwrap();
            heard.push(format!("{first} {}", String::from_utf8(body).unwrap()));
            let (status, text) = answer(&head, heard.len());
            let length = text.len();
            let _ = write!(client, "HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n{text}");
        }
    });
    (port, asked)
}

/// Starts what lends like Vault.
fn lending() -> (u16, Arc<Mutex<Vec<String>>>) {
    let lent = std::sync::atomic::AtomicUsize::new(0);
    hearing(move |head, _| {
        if head.starts_with("GET") {
            let number = lent.fetch_add(1, std::sync::atomic::Ordering::SeqCst) + 1;
            let text = format!(
                "{{\"lease_id\":\"database/creds/web/{number}\",\"lease_duration\":600,\
                \"data\":{{\"username\":\"canary-user-{number}\",\"password\":\"canary-password-{number}\"}}}}"
            );
            return ("200 OK", text);
        }
        match head.contains("X-Vault-Token: broker-of-leases") {
            true => ("204 No Content", String::new()),
            false => ("403 Forbidden", String::new()),
        }
    })
}

#[test]
fn a_token_of_a_cluster_is_of_one_run_and_ends_with_it() {
    let (port, asked) = hearing(|head, number| {
        let known = head.contains("Authorization: Bearer the-brokers-own-token");
        match head.split(' ').next() {
            _ if !known => ("403 Forbidden", String::new()),
            Some("POST") if head.contains("/secrets ") => {
                ("201 Created", format!("{{\"metadata\":{{\"uid\":\"uid-{number}\"}}}}"))
            }
            Some("POST") => {
                ("201 Created", "{\"status\":{\"token\":\"canary-of-the-cluster\"}}".to_owned())
            }
            _ => ("200 OK", "{}".to_owned()),
        }
    });
    let mut host = Host::new(OPEN, "");
    let own = secret(&host.path("root"), "own", "the-brokers-own-token\n");
    host.configure(&format!(
        "[[credentials]]\nfor = [\"command\"]\n[credentials.kubernetes]\nname = \"prod\"\n\
        server = \"http://127.0.0.1:{port}\"\ntoken = {{ file = {own:?} }}\n\
        account = {{ namespace = \"tools\", name = \"deployer\" }}\n"
    ));
    host.start();
    let said = host.run(ADA, ["sh", "-c", "/run/iddio/kubernetes-credential; env"]).ok();
    assert!(said.stdout.contains("\"token\":\"***\"") && !said.stdout.contains("the-brokers-own"));
    let heard = asked.lock().unwrap().clone();
    let [secret, token, gone] = heard.as_slice() else { panic!("{heard:#?}") };
    assert!(secret.starts_with("POST /api/v1/namespaces/tools/secrets HTTP/1.1 "), "{secret}");
    let body: serde_json::Value =
        serde_json::from_str(token.split_once("HTTP/1.1 ").unwrap().1).unwrap();
    assert!(token.starts_with("POST /api/v1/namespaces/tools/serviceaccounts/deployer/token "));
    let object = &body["spec"]["boundObjectRef"];
    assert_eq!((&object["kind"], &object["uid"]), (&"Secret".into(), &"uid-1".into()), "{token}");
    assert_eq!(body["spec"]["expirationSeconds"], 600);
    let name = object["name"].as_str().unwrap();
    assert!(
        gone.starts_with(&format!("DELETE /api/v1/namespaces/tools/secrets/{name} ")),
        "{gone}"
    );
    let note = host.records().pop().unwrap()["note"].to_string();
    assert!(note.contains("the token of `tools/deployer` was revoked"), "{note}");
    assert!(!format!("{:?}", host.records()).contains("canary"));
}

#[test]
fn what_vault_lends_is_taken_back_when_the_run_is_over_in_whatever_way() {
    let (port, asked) = lending();
    let mut host = Host::new(OPEN, "");
    let token = secret(&host.path("root"), "vault", "broker-of-leases\n");
    let of = |name: &str, field: &str| {
        format!(
            "[[credentials]]\nfor = [\"command\"]\nvariable = {{ name = \"{name}\", value = {{ vault = {{ \
            address = \"http://127.0.0.1:{port}\", path = \"database/creds/web\", field = \"{field}\", token_file = {token:?} }} }} }}\n"
        )
    };
    host.configure(&(of("WEB_USER", "username") + &of("WEB_PASSWORD", "password")));
    host.start();
    let revoked = |number: u32| {
        let line = format!(
            "PUT /v1/sys/leases/revoke HTTP/1.1 {{\"lease_id\":\"database/creds/web/{number}\"}}"
        );
        asked.lock().unwrap().contains(&line)
    };
    let said = host.run(ADA, ["sh", "-c", "echo ${#WEB_USER} ${#WEB_PASSWORD} $WEB_USER"]).ok();
    assert_eq!(said.stdout, "13 17 ***\n", "both are of one lease");
    assert_eq!(asked.lock().unwrap().len(), 2, "one is asked for, and one is given back");
    assert!(revoked(1));
    let note = host.records().pop().unwrap()["note"].to_string();
    assert!(
        note.contains("a lease of `http://127.0.0.1:") && note.contains("was revoked"),
        "{note}"
    );
    // A client that is killed, and a freeze.
    let mut running = host.begin(ADA, ["sh", "-c", "echo up >&2; sleep 600"]);
    running.until("up");
    running.signal(rustix::process::Signal::KILL);
    running.end();
    until(|| revoked(2), || format!("{asked:?}"));
    let mut running = host.begin(ADA, ["sh", "-c", "echo up >&2; sleep 600"]);
    running.until("up");
    host.root(["freeze", "--all"]).ok();
    running.end().exits(77);
    assert!(revoked(3), "{asked:?}");
    host.root(["thaw", "--all"]).ok();
    // One that cannot be taken back is said to be left.
    fs::write(&token, "another-token-by-now\n").unwrap();
    host.run(ADA, ["true"]).ok();
    let note = host.records().pop().unwrap()["note"].to_string();
    assert!(note.contains("could not be revoked") && note.contains("within 600 s"), "{note}");
    let text = format!("{:?}", host.records());
    assert!(!text.contains("canary"));
}

/// Starts what answers like Vault, and returns its port.
fn vault(token: &'static str, value: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for client in listener.incoming() {
            let mut client = client.unwrap();
            let mut known = false;
            for line in BufReader::new(client.try_clone().unwrap()).lines().map_while(Result::ok) {
                known |= line == format!("X-Vault-Token: {token}");
                if line.is_empty() {
                    break;
                }
            }
            let body = format!("{{\"data\": {{\"data\": {{\"key\": \"{value}\"}}}}}}");
            let status = if known { "200 OK" } else { "403 Forbidden" };
            let length = body.len();
            let _ = write!(client, "HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n{body}");
        }
    });
    port
}

#[test]
fn of_ten_thousand_canaries_none_is_in_anything_a_caller_can_read() {
    let mut host = Host::new(OPEN, "");
    let place = host.path("root");
    let (mut canaries, mut more) = (Vec::new(), String::new());
    for source in 0..100 {
        let mut text = String::new();
        for line in 0..100 {
            let canary =
                format!("canary{:026x}", (source * 100 + line + 1) * 0x9e37_79b9_7f4a_7c15_u128);
            text += &format!("{canary}\n");
            canaries.push(canary);
        }
        let path = secret(&place, &format!("secret-{source}"), &text);
        writeln!(more, "[[credentials]]\nfor = [\"command\"]\nvariable = {{ name = \"SECRET_{source}\", value = {{ file = {path:?} }} }}").unwrap();
    }
    assert_eq!(canaries.len(), 10_000);
    host.configure(&more);
    host.start();
    let script = "env; env >&2; tr '\\0' '\\n' < /proc/self/environ; env > left; mkdir -p d; env | sort > d/left; \
        env > $HOME/cache; env > /tmp/cache; echo $SECRET_0; printf %s \"$SECRET_1\" | head -c 3000; echo up >&2; read x";
    let mut command = host.exec(ADA, ["sh", "-c", script]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut heard = Vec::new();
    let mut stdout = child.stdout.take().unwrap();
    let shown = thread::spawn(move || {
        let mut all = Vec::new();
        stdout.read_to_end(&mut all).unwrap();
        all
    });
    while !heard.ends_with(b"up\n") {
        assert_ne!(stderr.read_until(b'\n', &mut heard).unwrap(), 0);
    }
    // Meanwhile the caller looks into everything it can.
    let look = format!(
        "cat /proc/*/environ /proc/*/cmdline; find / -xdev -user ada -o -path '*iddio-broker*' 2>/dev/null | head -5000; grep -rhs canary0 {} /tmp /run /var/lib /dev/shm",
        host.path("").display()
    );
    let looked = host.as_user(ADA, ["sh", "-c", &look]).output().unwrap().stdout;
    drop(child.stdin.take());
    stderr.read_to_end(&mut heard).unwrap();
    child.wait().unwrap();
    let mut read = vec![shown.join().unwrap(), heard, looked];
    for name in ["left", "d/left"] {
        read.push(fs::read(host.work_of("ada").join(name)).unwrap());
    }
    let names = read.iter().map(|text| String::from_utf8_lossy(text).matches("SECRET_99=").count());
    assert!(4 <= names.sum::<usize>(), "the variables are there");
    let found = |text: &Vec<u8>| {
        let text = String::from_utf8_lossy(text).into_owned();
        canaries.iter().filter(|canary| text.contains(*canary)).count()
    };
    assert_eq!(read.iter().map(found).sum::<usize>(), 0);
    until(|| fs::read_dir(host.path("runs")).unwrap().count() == 1, || "runs are left".to_owned());
    let kept = host.enter(["grep", "-rc", "canary0", "home/log"]).output().unwrap();
    assert!(!Said::of(kept).stdout.lines().any(|line| !line.ends_with(":0")), "nor in the log");
}
