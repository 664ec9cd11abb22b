//! `iddio` on a host whose log has a keeper: every record of every user goes there, and is read there.

use std::fs;

use iddio_tests::{
    Said, binary,
    keepers::{Keepers, LOG, NOBODY, as_user, service, until},
};
use serde_json::Value;

fn iddio(host: &Keepers, uid: u32, words: &[&str]) -> Said {
    let words = [&[binary().to_str().unwrap()], words].concat();
    Said::of(host.within(uid, &words).output().unwrap())
}

fn records(host: &Keepers, words: &[&str]) -> Vec<Value> {
    let words = [&["audit", "query", "--json"], words].concat();
    let said = iddio(host, 0, &words).ok();
    said.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn what_every_user_runs_is_recorded_by_the_service_and_says_whose_it_is() {
    let host = Keepers::started();
    for uid in [0, NOBODY] {
        let said = iddio(&host, uid, &["exec", "--", "printf", "%s", "hello"]);
        assert_eq!(said.ok().stdout, "hello");
    }
    let closed = records(&host, &["--event", "closed"]);
    let seen: Vec<(&str, u64)> = closed
        .iter()
        .map(|record| (record["agent"].as_str().unwrap(), record["peer"]["uid"].as_u64().unwrap()))
        .collect();
    assert_eq!(seen, [("local:root", 0), ("local:nobody", u64::from(NOBODY))]);
    // Their homes keep no log of their own.
    for uid in [0, NOBODY] {
        let log = host.home(uid).join(".iddio/log");
        assert_eq!(fs::read_dir(log).unwrap().count(), 0);
    }
    // A variable or a flag of a caller's changes nothing.
    let mut command = host.within(NOBODY, &[binary().to_str().unwrap(), "exec", "--", "true"]);
    let said = Said::of(command.env("IDDIO_HOME", host.home(NOBODY)).output().unwrap());
    said.exits(69).says("IDDIO_HOME");
}

#[test]
fn the_services_log_is_queried_shown_followed_proved_and_verified_through_its_socket() {
    let host = Keepers::started();
    iddio(&host, 0, &["exec", "--", "printf", "one"]).ok();
    iddio(&host, 0, &["exec", "--", "printf", "two"]).ok();
    let decided = records(&host, &["--event", "decided"]);
    let [_, two] = decided.as_slice() else { panic!("{decided:?}") };
    assert_eq!(records(&host, &["--event", "decided", "--last", "1"]).first(), Some(two));
    let id = two["id"].as_str().unwrap();
    let story = iddio(&host, 0, &["audit", "show", id, "--json"]).ok().stdout;
    assert_eq!(story.lines().count(), 2, "{story}");
    let seq = two["seq"].as_u64().unwrap();
    let one = iddio(&host, 0, &["audit", "show", &format!("#{seq}"), "--json"]).ok().stdout;
    assert_eq!(serde_json::from_str::<Value>(&one).unwrap(), *two);
    let tail = iddio(&host, 0, &["audit", "tail", "--no-follow", "-n", "2"]).ok().stdout;
    assert!(tail.lines().count() == 2 && tail.contains("closed"), "{tail}");
    let status = iddio(&host, 0, &["audit", "status"]).ok().stdout;
    assert!(status.contains("kept by the log service"), "{status}");

    let proof = || iddio(&host, 0, &["audit", "prove", &seq.to_string()]);
    until(|| proof().code == 0, || format!("{:?} {}", proof(), host.errors()));
    let proof: Value = serde_json::from_str(&proof().ok().stdout).unwrap();
    assert_eq!(proof["record_hash"], two["hash"]);
    let verified = iddio(&host, 0, &["audit", "verify", "--json"]).ok().stdout;
    let verified: Value = serde_json::from_str(&verified).unwrap();
    assert_eq!((&verified["ok"], &verified["checkpoint"]), (&true.into(), &"holds".into()));
    assert_eq!(verified["closed"], 2);
    // Against a checkpoint that was kept elsewhere, and against one of another log.
    let kept = host.path("kept");
    fs::write(&kept, proof["checkpoint"].as_str().unwrap()).unwrap();
    let against = |path: &std::path::Path| {
        iddio(&host, 0, &["audit", "verify", "--checkpoint", path.to_str().unwrap()])
    };
    against(&kept).ok();
    let text = fs::read_to_string(&kept).unwrap();
    let id = text.lines().next().unwrap().rsplit('/').next().unwrap().to_owned();
    fs::write(&kept, text.replace(&id, &"0".repeat(32))).unwrap();
    against(&kept).exits(1).prints("of another log");
}

#[test]
fn who_may_not_read_is_told_who_may() {
    let host = Keepers::started();
    for words in
        [&["query"][..], &["tail", "--no-follow"], &["show", "#0"], &["verify"], &["prove", "0"]]
    {
        let words = [&["audit"], words].concat();
        iddio(&host, NOBODY, &words).exits(77).says("may not read the log").says("readers");
    }
}

#[test]
fn what_only_the_keeper_does_is_done_by_the_keeper() {
    let host = Keepers::started();
    for words in [&["forget", "2020-01-01"][..], &["repair"]] {
        let own = iddio(&host, 0, &[&["audit"], words].concat());
        own.exits(77).says("iddio-logd");
        let program = service("iddio-logd");
        let keeper = |uid: u32, words: &[&str]| {
            let mut command = as_user(uid, program.to_str().unwrap());
            Said::of(command.args(words).arg("--config").arg(host.log_config()).output().unwrap())
        };
        keeper(LOG, words).ok();
        keeper(NOBODY, words).exits(69).says("this runs as uid");
        keeper(LOG, &["forget", "2999-01-01"]).exits(69).says("no day that is over");
    }
    assert_eq!(records(&host, &["--event", "commitments.erased"]).len(), 1);
    iddio(&host, 0, &["audit", "verify"]).ok();
}

#[test]
fn a_record_changed_under_the_service_is_found_through_its_socket() {
    let host = Keepers::started();
    iddio(&host, 0, &["exec", "--", "printf", "one"]).ok();
    let segment = host.log_directory().join("0000000001.jsonl");
    let text = fs::read_to_string(&segment).unwrap();
    fs::write(&segment, text.replacen("printf", "printg", 1)).unwrap();
    iddio(&host, 0, &["audit", "verify"]).exits(1).prints("BAD");
}

#[test]
fn without_the_service_nothing_runs_and_with_it_again_everything_does() {
    let mut host = Keepers::started();
    let run = |host: &Keepers| iddio(host, 0, &["exec", "--", "touch", "done"]);
    host.kill_log();
    run(&host).exits(69).says("log service");
    assert!(!host.home(0).join("done").exists());
    iddio(&host, 0, &["doctor"]).exits(1).prints("everything is refused");
    host.start_log();
    iddio(&host, 0, &["doctor"]).prints("keeps the log").prints("keeps the keys");
    host.kill_signer();
    iddio(&host, 0, &["doctor"]).exits(1).prints("checkpoints are not signed");
    host.start_signer();
    // A default policy asks a human about a write; a read runs.
    iddio(&host, 0, &["exec", "--", "true"]).ok();
    iddio(&host, 0, &["audit", "verify"]).ok();
}
