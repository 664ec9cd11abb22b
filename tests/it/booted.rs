//! The services under systemd itself: installed on a machine that it runs, started by their sockets,
//! killed, updated, removed.

use std::collections::BTreeSet;

use iddio_tests::{
    apiserver::Pair,
    booted::{ADA, Groups, Machine},
    keepers::until,
    real,
};

/// Everything but break-glass runs without asking.
const OPEN: &str = "\
agents:
  local:ada:
    rules:
      - {protocol: command, tiers: {0: allow, 1: allow, 2: allow, 3: allow, 4: deny}}
      - {protocol: terraform, tiers: {0: allow, 1: allow, 2: allow, 3: allow, 4: deny}}
";

/// Boots a machine and installs the services, and the broker too.
fn installed(groups: Groups) -> Option<Machine> {
    let machine = Machine::boot(groups)?;
    machine.add_user(ADA);
    machine.root(["/opt/iddio/iddio", "install", "--system"]).ok();
    machine.write("/etc/iddio/exec.toml", "user = \"root\"\n");
    machine.root(["iddio", "install", "--system"]).ok().prints("start iddio-execd.socket");
    // The broker makes its home as it starts.
    machine.exec(ADA, ["true"]).exits(77);
    machine.write("/var/lib/iddio-exec/home/policy.yaml", OPEN);
    Some(machine)
}

#[test]
fn an_installation_comes_up_runs_commands_and_is_removed_without_a_trace_but_the_log() {
    for groups in Groups::available() {
        let Some(machine) = Machine::boot(groups) else { return };
        machine.add_user(ADA);
        let iddio = "/opt/iddio/iddio";
        let dry = machine.root([iddio, "install", "--system", "--dry-run"]).ok();
        let said = machine.root([iddio, "install", "--system"]).ok();
        assert_eq!(said.stdout, dry.stdout.replace("would  ", "did  "));
        machine.root([iddio, "install", "--system"]).ok().says("nothing to do");
        for unit in ["iddio-logd", "iddio-signer"] {
            assert!(machine.is_active(&format!("{unit}.socket")), "{}", machine.told());
            assert!(!machine.is_active(&format!("{unit}.service")), "nobody asked yet");
        }
        // Whoever asks starts them, and hears them once they said that they are ready.
        machine.root(["iddio", "doctor"]).ok().prints("keeps the log");
        for unit in ["iddio-logd.service", "iddio-signer.service"] {
            assert!(machine.is_active(unit), "{}", machine.told());
        }
        // The broker waits for its configuration.
        machine.write("/etc/iddio/exec.toml", "user = \"root\"\n");
        let said = machine.root(["iddio", "doctor"]).exits(1);
        assert!(said.stdout.contains("iddio-execd.socket is not active"), "{said:?}");
        machine.root(["iddio", "install", "--system"]).ok().prints("start iddio-execd.socket");
        machine.exec(ADA, ["true"]).exits(77).says("no agent of this name");
        machine.write("/var/lib/iddio-exec/home/policy.yaml", OPEN);
        machine.exec(ADA, ["true"]).ok();
        machine.root(["iddio", "doctor"]).ok().prints("commands run at the exec broker");

        // From beside newer programs it replaces them, and restarts what runs.
        let before = machine.pid("iddio-logd.service");
        let script = "cd /usr/bin && cp -p iddio-logd x && echo >> x && mv x iddio-logd";
        machine.root(["sh", "-c", script]).ok();
        let said = machine.root([iddio, "install", "--system"]).ok();
        assert!(said.stdout.contains("restart iddio-logd.service"), "{said:?}");
        assert_ne!(machine.pid("iddio-logd.service"), before);
        machine.exec(ADA, ["true"]).ok();
        machine.root([iddio, "install", "--system"]).ok().says("nothing to do");
        machine.root(["iddio", "audit", "verify"]).ok();
        machine.root(["iddio", "uninstall", "--system"]).ok().says("kept: the log and the keys");
        let left = machine.systemctl(["list-units", "--all", "--plain", "--no-legend", "iddio*"]);
        assert_eq!(left.stdout, "", "no unit is left");
        let script = "ls /run/iddio /usr/bin/iddio-* /etc/systemd/system/*/iddio*";
        assert_eq!(machine.root(["sh", "-c", script]).stdout.trim(), "/run/iddio:");
        machine.root(["iddio", "doctor"]).ok();
        let again = machine.root([iddio, "install", "--system"]).ok();
        assert!(again.stdout.contains("start iddio-execd.socket"), "{again:?}");
        machine.exec(ADA, ["true"]).ok();
        machine.root(["iddio", "audit", "verify"]).ok();
    }
}

#[test]
fn what_the_brokers_unit_allows_is_enough_for_what_runs_need_and_no_more() {
    for groups in Groups::available() {
        let Some(machine) = installed(groups) else { return };
        let uid = machine.exec(ADA, ["id", "-u"]).ok().stdout;
        assert!(1_879_048_192 <= uid.trim().parse::<u32>().unwrap(), "a user that nobody is");
        let said = machine.exec(ADA, ["sh", "-c", "pwd; echo made > made; hostname; exit 9"]);
        assert_eq!(said.exits(9).stdout, "/home/ada/work\niddio\n");
        machine.root(["test", "-f", "/home/ada/work/made"]).ok();
        let said = machine.exec(ADA, ["grep", "-E", "^(Cap|NoNew|Seccomp:)", "/proc/self/status"]);
        for line in said.ok().stdout.lines() {
            let (name, value) = line.split_once(':').unwrap();
            let none = value.trim() == "0000000000000000";
            assert!(if name.starts_with("Cap") { none } else { value.trim() != "0" }, "{line}");
        }
        // No namespace of its own, no other user, no look at services.
        for script in [
            "unshare --user true",
            "cat /var/lib/iddio-exec/home/policy.yaml",
            "ls /run/systemd /run/iddio",
        ] {
            assert_ne!(machine.exec(ADA, ["sh", "-c", script]).code, 0, "{script}");
        }
        let Some(_) = real("terraform", "https://developer.hashicorp.com/terraform/install") else {
            return;
        };
        let main = "resource \"terraform_data\" \"x\" { input = \"here\" }\n";
        machine.write("/home/ada/work/main.tf", main);
        machine.exec(ADA, ["terraform", "init"]).ok();
        let applied = machine.exec(ADA, ["terraform", "apply", "-auto-approve"]).ok();
        assert!(applied.stdout.contains("1 added"), "{applied:?}");
        machine.exec(ADA, ["terraform", "show"]).ok().prints("here");
        machine.root(["iddio", "audit", "verify"]).ok();
    }
}

#[test]
fn a_service_that_is_killed_is_there_again_for_whoever_asks_next() {
    for groups in Groups::available() {
        let Some(machine) = installed(groups) else { return };
        machine.exec(ADA, ["true"]).ok();
        let mut seen = BTreeSet::new();
        // More often than systemd puts up with where nobody told it to.
        for _ in 0..7 {
            for unit in ["iddio-signer.service", "iddio-logd.service", "iddio-execd.service"] {
                until(|| machine.pid(unit).is_some(), || machine.told());
                let pid = machine.pid(unit).unwrap();
                assert!(seen.insert(pid), "another process than before");
                machine.root(["kill", "-9", &pid.to_string()]).ok();
                let other = || machine.pid(unit).is_some_and(|now| now != pid);
                until(|| other() && machine.is_active(unit), || machine.told());
            }
            machine.exec(ADA, ["true"]).ok();
        }
        machine.root(["iddio", "doctor"]).ok();
        machine.root(["iddio", "audit", "verify"]).ok();
    }
}

#[test]
fn the_gateway_and_who_takes_checkpoints_elsewhere_start_once_they_are_set_up() {
    for groups in Groups::available() {
        let Some(machine) = Machine::boot(groups) else { return };
        machine.root(["/opt/iddio/iddio", "install", "--system"]).ok();
        let iddio = |words: &[&str]| {
            let own = ["runuser", "-u", "iddio-kube", "--", "iddio"];
            machine.root(own.iter().chain(words)).ok()
        };
        iddio(&["init"]);
        iddio(&["agent", "add", "claude"]);
        machine.write("/etc/iddio/cluster.pem", &Pair::new().certificate);
        machine.write("/etc/iddio/token", "a-token-of-nobody");
        machine.write("/etc/iddio/kube.toml", KUBE);
        // Nobody is there: what cannot be delivered is on record.
        machine.write("/etc/iddio/push.toml", PUSH);
        let said = machine.root(["iddio", "install", "--system"]).ok();
        for unit in ["iddio-kube.service", "iddio-push.service"] {
            assert!(said.stdout.contains(&format!("start {unit}")), "{said:?}");
            until(|| machine.is_active(unit), || machine.told());
        }
        let token = machine.root(["cat", "/var/lib/iddio-kube/.iddio/agents/claude/token"]).ok();
        let bearer = format!("Authorization: Bearer {}", token.stdout.trim());
        let curl = |header: &str| {
            let at = "https://127.0.0.1:6443/api/v1/namespaces/a/secrets";
            let words = ["curl", "--silent", "--insecure", "--write-out", "\n%{http_code}"];
            machine.root(words.into_iter().chain(["--header", header, at]))
        };
        assert!(curl("X-Nothing: x").ok().stdout.ends_with("\n401"), "{}", machine.told());
        // Whose agent no policy names is refused, and the log service has it.
        let said = curl(&bearer).ok();
        assert!(said.stdout.ends_with("\n403"), "{said:?}\n{}", machine.told());
        let recorded =
            |what: &str| machine.root(["iddio", "audit", "query", "--json"]).stdout.contains(what);
        assert!(recorded("\"agent\":\"claude\""), "{}", machine.told());
        until(|| recorded("checkpoint.undelivered"), || machine.told());
        for unit in ["iddio-kube.service", "iddio-push.service"] {
            let pid = machine.pid(unit).unwrap();
            machine.root(["kill", "-9", &pid.to_string()]).ok();
            let other = || machine.pid(unit).is_some_and(|now| now != pid);
            until(|| other() && machine.is_active(unit), || machine.told());
        }
        assert!(curl(&bearer).ok().stdout.ends_with("\n403"), "{}", machine.told());
        machine.root(["iddio", "doctor"]).ok();
    }
}

/// A gateway before a cluster that is not there.
const KUBE: &str = "\
listen = \"127.0.0.1:6443\"
[cluster]
name = \"prod\"
server = \"https://127.0.0.1:9\"
certificate_authority = \"/etc/iddio/cluster.pem\"
token_file = \"/etc/iddio/token\"
";

/// Checkpoints for a place that is not there.
const PUSH: &str = "\
url = \"http://127.0.0.1:9/checkpoints\"
log_user = \"iddio-log\"
secs = 1
";

#[test]
fn a_run_that_takes_all_it_can_is_ended_recorded_and_alone_in_it() {
    for groups in Groups::available() {
        let Some(machine) = installed(groups) else { return };
        let limits = "user = \"root\"\nlimits = { memory_mib = 96, processes = 64 }\n";
        machine.write("/etc/iddio/exec.toml", limits);
        machine.systemctl(["restart", "iddio-execd.service"]).ok();
        machine.exec(ADA, ["true"]).ok();
        let broker = machine.pid("iddio-execd.service").unwrap();
        // Children that nobody waits for, until there is no room for one more.
        machine.write("/home/ada/work/bomb.py", BOMB);
        let said = machine.exec(ADA, ["python3", "bomb.py"]).exits(3);
        let count: u32 = said.stdout.trim().parse().unwrap();
        assert!((8..64).contains(&count), "{said:?}");
        if groups == Groups::Hybrid {
            machine.exec(ADA, ["tail", "/dev/zero"]).exits(137);
        }
        machine.exec(ADA, ["true"]).ok();
        assert_eq!(machine.pid("iddio-execd.service"), Some(broker), "{}", machine.told());
        let said = machine.root(["iddio", "audit", "query", "--json"]).ok();
        let records: Vec<serde_json::Value> =
            said.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let ended = |code: u8| {
            records.iter().filter(|r| r["event"] == "closed" && r["exit_code"] == code).count()
        };
        assert_eq!(ended(3), 1, "{records:#?}");
        assert_eq!(ended(137), usize::from(groups == Groups::Hybrid), "{records:#?}");
        let said = machine.root(["sh", "-c", "find /sys/fs/cgroup -name 'iddio-[0-9]*'"]);
        assert_eq!(said.stdout, "", "no group outlives its run");
    }
}

#[test]
fn a_broker_that_divided_its_control_group_starts_again_in_it() {
    let Some(machine) = installed(Groups::Unified) else { return };
    machine.exec(ADA, ["true"]).ok();
    let unit = "/sys/fs/cgroup/system.slice/iddio-execd.service";
    let kept = || machine.root(["cat", &format!("{unit}/keeper/cgroup.procs")]).stdout;
    let pid = machine.pid("iddio-execd.service").unwrap();
    assert_eq!(kept().trim(), pid.to_string(), "it stepped aside");
    // Whatever this host's second version can limit, it limits below the unit now.
    let enable = format!(
        "cd {unit} && for one in $(cat cgroup.controllers); do echo +$one; done > cgroup.subtree_control"
    );
    machine.root(["sh", "-c", &enable]).ok();
    machine.root(["kill", "-9", &pid.to_string()]).ok();
    let other = || machine.pid("iddio-execd.service").is_some_and(|now| now != pid);
    until(|| other() && machine.is_active("iddio-execd.service"), || machine.told());
    machine.exec(ADA, ["true"]).ok();
    assert_eq!(kept().trim(), machine.pid("iddio-execd.service").unwrap().to_string());
}

#[test]
fn doctor_names_what_is_wrong_with_what_runs() {
    let Some(machine) = installed(Groups::Unified) else { return };
    let doctor = || machine.root(["iddio", "doctor"]);
    doctor().ok();
    for (script, said, mend) in [
        (
            "systemctl stop iddio-logd.socket iddio-logd.service",
            "iddio-logd.socket is not active",
            "iddio install --system",
        ),
        (
            "rm /run/iddio/signer.sock",
            "the socket /run/iddio/signer.sock is missing",
            "systemctl restart iddio-signer.socket",
        ),
        (
            "chmod 600 /run/iddio/exec.sock",
            "the socket /run/iddio/exec.sock is not root's with mode 666 (mode 600)",
            "systemctl restart iddio-execd.socket",
        ),
        (
            "rm /run/iddio/exec.sock && mkdir /run/iddio/exec.sock",
            "/run/iddio/exec.sock is no socket",
            "rmdir /run/iddio/exec.sock && systemctl restart iddio-execd.socket",
        ),
        // A service that cannot start, behind a socket that listens.
        (
            "chmod 666 /etc/iddio/signer.toml; systemctl kill -s KILL iddio-signer.service",
            "checkpoints are not signed",
            "chmod 644 /etc/iddio/signer.toml && systemctl restart iddio-signer.service",
        ),
    ] {
        machine.root(["sh", "-c", script]).ok();
        let found = doctor().exits(1);
        let wrong = found.stdout.lines().any(|l| l.starts_with("WRONG") && l.contains(said));
        assert!(wrong, "{script}: no `{said}` in {found:?}");
        machine.root(["sh", "-c", mend]).ok();
        until(|| doctor().code == 0, || format!("{mend}: {:?}\n{}", doctor(), machine.told()));
    }
}

/// Starts children until it cannot, says how many there were, and ends with 3.
const BOMB: &str = "\
import os, signal
count = 0
try:
    while True:
        if os.fork() == 0:
            signal.pause()
        count += 1
except OSError:
    print(count, flush=True)
    os._exit(3)
";
