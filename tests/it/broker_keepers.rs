//! The exec broker, the log service and the signer together, each under its own user: whichever of them is
//! killed, and whenever, every client has a definite answer and the log one story (N1 to N4).

use std::{collections::BTreeSet, fs, process::Stdio};

use iddio_tests::{
    Said,
    broker::{ADA, Host},
    keepers::{Keepers, until},
};
use serde_json::Value;

use crate::broker::OPEN;

/// Who is killed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Whom {
    Broker,
    Log,
    Signer,
}

/// A host whose broker records with the log service, whose checkpoints the signer signs.
fn hosts() -> (Keepers, Host) {
    let mut keepers = Keepers::new("", "");
    keepers.start();
    let mut host = Host::new(OPEN, "");
    fs::copy(keepers.log_config(), host.path("etc/iddio/log.toml")).unwrap();
    host.start();
    (keepers, host)
}

fn count(records: &[Value], event: &str, outcome: Option<&str>) -> usize {
    let fits = |record: &&Value| {
        record["event"] == event && outcome.is_none_or(|outcome| record["outcome"] == outcome)
    };
    records.iter().filter(fits).count()
}

/// What was allowed and has no end.
fn endless(records: &[Value]) -> Vec<&Value> {
    let closed: BTreeSet<_> = records
        .iter()
        .filter(|record| record["event"] == "closed")
        .filter_map(|record| record["id"].as_str())
        .collect();
    let open = |record: &&Value| {
        record["event"] == "decided" && record["id"].as_str().is_none_or(|id| !closed.contains(id))
    };
    records.iter().filter(open).collect()
}

#[test]
fn a_run_is_on_record_with_the_log_service_and_nowhere_else() {
    let (keepers, host) = hosts();
    assert_eq!(host.run(ADA, ["sh", "-c", "echo ran; echo x > made"]).ok().stdout, "ran\n");
    let records = host.records();
    let decided = records.iter().find(|record| record["event"] == "decided").unwrap();
    assert_eq!(decided["agent"], "local:ada");
    assert!(decided["peer"]["uid"] == 0, "the service says who recorded it: {decided}");
    assert_eq!(count(&records, "closed", Some("forwarded")), 1);
    assert!(!host.path("home/log/0000000001.jsonl").exists(), "the broker keeps no log of its own");
    assert!(keepers.log_directory().join("0000000001.jsonl").exists());
    host.root(["audit", "verify"]).ok();
}

#[test]
fn without_the_log_service_no_run_starts_and_with_it_again_they_do() {
    let (mut keepers, host) = hosts();
    host.run(ADA, ["true"]).ok();
    keepers.kill_log();
    let said = host.run(ADA, ["sh", "-c", "echo ran"]);
    assert_eq!((said.code, said.stdout.as_str()), (69, ""), "{said:#?}");
    keepers.start_log();
    assert_eq!(host.run(ADA, ["sh", "-c", "echo ran"]).ok().stdout, "ran\n");
    // Without the signer commands run: it signs checkpoints, and no run asks it for anything.
    keepers.kill_signer();
    assert_eq!(host.run(ADA, ["sh", "-c", "echo ran"]).ok().stdout, "ran\n");
    keepers.start_signer();
    host.root(["audit", "verify"]).ok();
}

#[test]
fn whoever_is_killed_under_load_every_client_has_an_answer_and_the_log_one_story() {
    let (mut keepers, mut host) = hosts();
    let (mut served, mut asked) = (0, 0);
    for round in 0..12 {
        let whom = [Whom::Log, Whom::Broker, Whom::Signer][round % 3];
        let clients: Vec<_> = (0..8)
            .map(|_| {
                let mut command = host.exec(ADA, ["sh", "-c", "echo ran"]);
                command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
                command.spawn().unwrap()
            })
            .collect();
        asked += clients.len();
        // Later in each turn: after the n-th client was answered.
        let mut waiting = clients.into_iter();
        let first: Vec<_> = waiting.by_ref().take(round / 3 * 2).collect();
        let mut answers: Vec<_> =
            first.into_iter().map(|client| Said::of(client.wait_with_output().unwrap())).collect();
        match whom {
            Whom::Broker => host.kill(),
            Whom::Log => keepers.kill_log(),
            Whom::Signer => keepers.kill_signer(),
        }
        if whom == Whom::Log {
            keepers.start_log();
        }
        answers.extend(waiting.map(|client| Said::of(client.wait_with_output().unwrap())));
        match whom {
            Whom::Broker => host.start(),
            Whom::Log => {}
            Whom::Signer => keepers.start_signer(),
        }
        for said in &answers {
            assert!([0, 69].contains(&said.code), "{whom:?}: {said:#?}");
            if said.code == 0 {
                assert_eq!(said.stdout, "ran\n", "{whom:?}: {said:#?}");
            }
        }
        served += answers.iter().filter(|said| said.code == 0).count();
    }
    host.run(ADA, ["true"]).ok();
    // What a broker that was killed left open is the log service's to close, once it finds it gone.
    until(|| endless(&host.records()).is_empty(), || format!("{:#?}", endless(&host.records())));
    host.root(["audit", "verify"]).ok();
    let records = host.records();
    let forwarded = count(&records, "closed", Some("forwarded"));
    let other = ["abandoned", "not_forwarded"].map(|how| count(&records, "closed", Some(how)));
    let decided = count(&records, "decided", None);
    assert!(asked / 3 <= served && served < forwarded, "{served} of {asked}, {forwarded}");
    assert_eq!(decided, forwarded + other.iter().sum::<usize>(), "what was allowed has one end");
    // The broker's directories are as if nobody had ever been there.
    assert_eq!(fs::read_dir(host.path("runs")).unwrap().count(), 1);
}
