//! The exec broker as its callers see it: everything as if the command ran here, and the credential
//! nowhere.

use std::{fs, os::unix::fs::MetadataExt, process::Stdio};

use iddio_tests::{
    Said,
    broker::{ADA, EVE, Host},
    keepers::until,
};
use rustix::process::Signal;

/// Everything but break-glass runs without asking.
pub(crate) const OPEN: &str = "\
agents:
  local:ada:
    rules:
      - {protocol: command, tiers: {0: allow, 1: allow, 2: allow, 3: allow, 4: deny}}
      - {protocol: terraform, tiers: {0: allow, 1: allow, 2: allow, 3: allow, 4: deny}}
      - {protocol: aws, tiers: {0: allow, 1: allow, 2: allow, 3: allow, 4: deny}}
      - {protocol: kubernetes, cluster_scoped: true, tiers: {0: allow, 1: allow, 2: allow, 3: allow, 4: deny}}
  local:eve:
    rules:
      - {protocol: command, tiers: {0: allow, 1: allow, 2: allow, 3: allow, 4: deny}}
";

/// Writes ask a human.
const ASKING: &str = "\
agents:
  local:ada:
    rules:
      - {protocol: command, tiers: {0: allow, 1: allow, 2: escalate, 3: escalate, 4: deny}}
";

#[test]
fn streams_arguments_and_exit_codes_are_those_of_the_command() {
    let host = Host::started(OPEN, "");
    let said = host.run(ADA, ["sh", "-c", "echo out; echo err >&2; exit 9"]).exits(9);
    assert_eq!((said.stdout.as_str(), said.stderr.as_str()), ("out\n", "err\n"));
    let said = host.run(ADA, ["printf", "%s|", "a b", "", "*", "ü"]).ok();
    assert_eq!(said.stdout, "a b||*|ü|");
    let mut cat = host.exec(ADA, ["cat"]);
    cat.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = cat.spawn().unwrap();
    let bytes: Vec<u8> = (0..3_000_000_u32).map(|n| (n * 7 % 256) as u8).collect();
    let (mut stdin, sent) = (child.stdin.take().unwrap(), bytes.clone());
    let feeding = std::thread::spawn(move || std::io::Write::write_all(&mut stdin, &sent));
    let output = child.wait_with_output().unwrap();
    feeding.join().unwrap().unwrap();
    assert!(output.stdout == bytes, "byte for byte");
    let record = host.records().pop().unwrap();
    assert_eq!((&record["event"], &record["agent"]), (&"closed".into(), &"local:ada".into()));
    host.root(["audit", "verify"]).ok();
}

#[test]
fn a_run_is_nobody_sees_a_copy_and_what_it_makes_comes_back_as_the_callers() {
    let host = Host::started(OPEN, "");
    host.file(ADA, "there/read.txt", "read");
    let script = "id -u; cat there/read.txt; echo made > there/made.txt; rm there/read.txt; pwd";
    let said = host.run(ADA, ["sh", "-c", script]).ok();
    let work = host.work_of("ada");
    let lines: Vec<_> = said.stdout.lines().collect();
    let uid: u32 = lines[0].parse().unwrap();
    assert!(1_879_048_192 <= uid, "a user that nobody is");
    assert_eq!(lines[1], format!("read{}", work.display()));
    let made = fs::metadata(work.join("there/made.txt")).unwrap();
    assert_eq!(made.uid(), ADA.uid);
    assert!(!work.join("there/read.txt").exists(), "what the words remove is removed");
    assert_eq!(fs::read_dir(host.path("runs")).unwrap().count(), 1, "only the lock is left");
}

#[test]
fn a_refusal_is_the_one_that_exec_gives_here() {
    let host = Host::started(OPEN, "");
    let said = host.run(ADA, ["rm", "-rf", "/"]).exits(77).says("refused  T4");
    let line = said.stderr.lines().last().unwrap();
    let json: serde_json::Value = serde_json::from_str(line).unwrap();
    assert_eq!(json["refused"]["tier"], 4);
    let record = host.records().pop().unwrap();
    assert!(record["id"].as_str().unwrap() == json["refused"]["record"].as_str().unwrap());
    host.run(ADA, ["no-such-program"]).exits(127);
}

#[test]
fn an_ask_is_shown_by_its_id_and_whoever_goes_away_takes_it_back() {
    let host = Host::started(ASKING, "");
    let mut asking = host.begin(ADA, ["touch", "x"]);
    let id = asking.until_asked();
    assert!(host.root(["approvals", "show", &id]).ok().stdout.contains("touch"));
    asking.signal(Signal::KILL);
    asking.end();
    // The decision on what was asked, and no other: refused, since whoever asked took it back.
    let withdrawn = |count: usize| {
        let records = host.records();
        let of = |event: &str| -> Vec<_> {
            let those = records.iter().filter(|record| record["event"] == event);
            those.map(|record| (record["id"].clone(), record["refusal"].clone())).collect()
        };
        let (asked, decided) = (of("asked"), of("decided"));
        let same = asked.iter().zip(&decided).all(|(one, other)| one.0 == other.0);
        let refused = decided.iter().all(|(_, refusal)| refusal == "withdrawn");
        same && refused && asked.len() == count && decided.len() == count && of("closed").is_empty()
    };
    until(|| withdrawn(1), || format!("{:#?}", host.records()));
    let mut asking = host.begin(ADA, ["touch", "x"]);
    asking.until_asked();
    asking.signal(Signal::INT);
    asking.end().exits(77);
    assert!(withdrawn(2), "{:#?}", host.records());
    assert!(!host.work_of("ada").join("x").exists());
}

#[test]
fn a_client_that_is_killed_takes_all_of_its_run_along() {
    let host = Host::started(OPEN, "");
    // One that left its parent, its session and its process group.
    let script = "setsid sh -c 'echo up >&2; exec sleep 987654' & echo up >&2; wait";
    let mut running = host.begin(ADA, ["sh", "-c", script]);
    running.until("up");
    running.until("up");
    until(|| sleepers("987654") == 1, || "it does not sleep".to_owned());
    running.signal(Signal::KILL);
    running.end();
    until(|| sleepers("987654") == 0, || "it lives on".to_owned());
    until(|| host.records().last().unwrap()["event"] == "closed", || "not closed".to_owned());
    assert_eq!(host.records().last().unwrap()["outcome"], "abandoned");
}

#[test]
fn a_signal_of_the_clients_reaches_the_command() {
    let host = Host::started(OPEN, "");
    let script = "trap 'echo heard >&2; exit 5' TERM; echo up >&2; sleep 600 & wait";
    let mut running = host.begin(ADA, ["sh", "-c", script]);
    running.until("up");
    running.signal(Signal::TERM);
    running.until("heard");
    running.end().exits(5);
}

#[test]
fn a_terminal_stays_a_terminal() {
    let host = Host::started(OPEN, "");
    let iddio = host.path("bin/iddio");
    let inner = "test -t 0 && test -t 1 && test -t 2 && stty size && read line && echo got $line";
    let line = format!("stty rows 33 cols 77; {} exec -- sh -c '{inner}'", iddio.display());
    let mut command = host.as_user(ADA, ["script", "-qec", &line, "/dev/null"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    std::io::Write::write_all(&mut stdin, b"typed\n").unwrap();
    let said = Said::of(child.wait_with_output().unwrap());
    drop(stdin);
    assert!(said.stdout.contains("33 77") && said.stdout.contains("got typed"), "{said:#?}");
}

#[test]
fn a_broker_that_is_killed_leaves_no_run_and_every_client_an_answer() {
    let mut host = Host::started(OPEN, "");
    let mut running: Vec<_> =
        (0..8).map(|_| host.begin(ADA, ["sh", "-c", "echo up >&2; exec sleep 876543"])).collect();
    running.iter_mut().for_each(|running| drop(running.until("up")));
    host.kill();
    for running in running {
        running.end().exits(69).says("went away");
    }
    until(|| sleepers("876543") == 0, || "they live on".to_owned());
    host.run(ADA, ["true"]).exits(69).says("away");
    host.start();
    host.run(ADA, ["true"]).ok();
    host.root(["audit", "verify"]).ok();
    let open: Vec<_> = host.records().into_iter().filter(|r| r["outcome"] == "abandoned").collect();
    assert_eq!(open.len(), 8, "each allowed run has an end");
}

#[test]
fn who_calls_is_what_the_kernel_says_or_a_token_and_never_a_name() {
    let host = Host::started(OPEN, "");
    let json = host.root(["agent", "add", "builder", "--json"]).ok().stdout;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let token = json["token"].as_str().unwrap().to_owned();
    host.set_policy("agents: {builder: {rules: [{protocol: command, tiers: {0: allow}}]}}\n");
    host.run(ADA, ["id"]).exits(77);
    let mut named = host.as_user(
        ADA,
        [host.path("bin/iddio").to_str().unwrap(), "exec", "--agent", "builder", "--", "id"],
    );
    Said::of(named.output().unwrap()).exits(77);
    let mut shown = host.exec(ADA, ["id"]);
    Said::of(shown.env("IDDIO_TOKEN", &token).output().unwrap()).ok();
    let mut forged = host.exec(ADA, ["id"]);
    Said::of(forged.env("IDDIO_TOKEN", "iddio_forged").output().unwrap()).exits(77);
    let who: Vec<_> = host
        .records()
        .iter()
        .filter(|r| r["event"] == "decided")
        .map(|r| r["agent"].to_string())
        .collect();
    assert_eq!(who, ["\"local:ada\"", "\"builder\"", "\"builder\"", "\"unknown-bearer\""]);
    host.run(EVE, ["id"]).exits(77);
}

#[test]
fn a_freeze_ends_what_runs_at_the_broker_and_refuses_what_comes() {
    let host = Host::started(OPEN, "");
    let mut running =
        host.begin(ADA, ["sh", "-c", "trap '' TERM; echo up >&2; while :; do sleep 654321; done"]);
    running.until("up");
    host.root(["freeze", "--agent", "local:ada"]).ok();
    running.until("the command was ended");
    running.end().exits(77);
    assert_eq!(sleepers("654321"), 0);
    assert_eq!(host.records().last().unwrap()["outcome"], "frozen");
    host.run(ADA, ["true"]).exits(77).says("frozen");
    host.run(EVE, ["true"]).ok();
}

#[test]
fn five_hundred_clients_at_once_are_all_served() {
    let host = Host::started(OPEN, "");
    let mut clients: Vec<_> = (0..500)
        .map(|_| {
            let mut command = host.exec(ADA, ["sh", "-c", "echo up; read x; echo $x"]);
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
            command.spawn().unwrap()
        })
        .collect();
    // All of them run at one time: nobody is answered before everybody is up.
    let mut outs: Vec<_> = clients
        .iter_mut()
        .map(|client| {
            let mut out = std::io::BufReader::new(client.stdout.take().unwrap());
            let mut line = String::new();
            std::io::BufRead::read_line(&mut out, &mut line).unwrap();
            let mut errors = || std::io::read_to_string(client.stderr.take().unwrap()).unwrap();
            assert_eq!(line, "up\n", "{}", errors());
            out
        })
        .collect();
    for (number, client) in clients.iter_mut().enumerate() {
        let mut stdin = client.stdin.take().unwrap();
        std::io::Write::write_all(&mut stdin, format!("{number}\n").as_bytes()).unwrap();
    }
    for (number, (out, client)) in outs.iter_mut().zip(&mut clients).enumerate() {
        let mut line = String::new();
        std::io::BufRead::read_line(out, &mut line).unwrap();
        assert_eq!(line, format!("{number}\n"));
        assert!(client.wait().unwrap().success());
    }
    host.root(["audit", "verify"]).ok();
    let closed = host.records().into_iter().filter(|record| record["event"] == "closed").count();
    assert_eq!(closed, 500);
}

#[test]
fn killed_at_any_point_the_broker_leaves_definite_answers_and_no_phantom() {
    let mut host = Host::new(OPEN, "");
    let mut served = 0;
    for round in 0..12 {
        host.start();
        let clients: Vec<_> = (0..8)
            .map(|_| {
                let mut command = host.exec(ADA, ["sh", "-c", "echo ran"]);
                command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
                command.spawn().unwrap()
            })
            .collect();
        // Later in each round: after the n-th client was answered.
        let mut answers = Vec::new();
        let mut waiting = clients.into_iter();
        for client in waiting.by_ref().take(round % 6) {
            answers.push(Said::of(client.wait_with_output().unwrap()));
        }
        host.kill();
        answers.extend(waiting.map(|client| Said::of(client.wait_with_output().unwrap())));
        for said in &answers {
            assert!([0, 69].contains(&said.code), "{said:#?}");
            assert_eq!(
                said.code == 0,
                said.stdout == "ran\n" && said.stderr.is_empty(),
                "{said:#?}"
            );
        }
        served += answers.iter().filter(|said| said.code == 0).count();
    }
    host.start();
    host.run(ADA, ["true"]).ok();
    host.root(["audit", "verify"]).ok();
    let records = host.records();
    let count = |event: &str, outcome: &str| {
        records.iter().filter(|r| r["event"] == event && r["outcome"] == outcome).count()
    };
    let decided = records.iter().filter(|r| r["event"] == "decided").count();
    let (forwarded, other) = (
        count("closed", "forwarded"),
        count("closed", "abandoned") + count("closed", "not_forwarded"),
    );
    assert!(30 <= served && served < forwarded, "{served} {forwarded}");
    assert_eq!(decided, forwarded + other, "whatever was allowed has an end");
}

/// How many processes sleep for this long.
pub(crate) fn sleepers(seconds: &str) -> usize {
    let all = fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| fs::read(entry.ok()?.path().join("cmdline")).ok());
    let wanted = format!("sleep\0{seconds}\0");
    all.filter(|line| line == wanted.as_bytes()).count()
}
