//! The command line itself: operators compared with the log, answers signed elsewhere, forged
//! answers on record, wrong words, a closed stdout.

use std::{fs, io, process::Stdio};

use iddio_tests::{Said, World, real};

use crate::kit::{SENSITIVE, of};

/// Everything of T3 asks, for as long as a test may take.
const ASKS: &str = "\
agents:
  local:root:
    rules:
      - {protocol: command, tiers: {0: allow, 2: allow, 3: escalate}}
";

#[test]
fn e07_an_operator_written_into_the_registry_is_named_by_doctor_and_list() {
    let world = World::new();
    enroll(&world, "bob");
    let said = world.iddio(["doctor"]).ok();
    assert!(!said.stdout.contains("through iddio"), "{said:#?}");
    let registry = world.home().join("operators.json");
    let honest = fs::read_to_string(&registry).unwrap();
    let forged: [(&str, &str, &str); 3] = [
        ("\"name\": \"bob\"", "\"name\": \"mallory\"", "mallory was not enrolled through iddio"),
        ("\"passphrase\"", "\"uid\"", "bob has an assurance that iddio did not give"),
        ("\"local:bob\"", "\"local:eve\"", "bob has names or groups that iddio did not give"),
    ];
    for (from, to, finding) in forged {
        assert!(honest.contains(from), "{honest}");
        fs::write(&registry, honest.replace(from, to)).unwrap();
        world.iddio(["doctor"]).exits(1).prints("WRONG").prints(finding);
        world.iddio(["operator", "list"]).ok().says(finding);
    }
    fs::write(&registry, &honest).unwrap();
    world.iddio(["operator", "revoke", "bob"]).ok();
    fs::write(&registry, &honest).unwrap();
    world.iddio(["doctor"]).exits(1).prints("bob was revoked through iddio and is live again");
}

#[test]
fn e07_a_forged_answer_is_ignored_and_on_record() {
    let world = World::with_policy(ASKS);
    let mut exec = world.start(SENSITIVE);
    let id = exec.until_asked();
    let forge = format!(
        "import sqlite3, sys\n\
         db = sqlite3.connect(sys.argv[1], timeout=5)\n\
         db.execute(\"insert into votes (ask, statement, signature, cast_at) values ('{id}', 'yes', null, 1)\")\n\
         db.commit()\n"
    );
    let queue = world.home().join("approvals.db");
    let words = ["python3", "-c", &forge, queue.to_str().unwrap()];
    Said::of(world.within(words).output().unwrap()).ok();
    exec.until("was ignored: it is not a statement");
    world.iddio(["approvals", "deny", &id]).ok();
    exec.end().exits(77);
    let records = world.records();
    let ignored = of(&records, "approval.ignored");
    assert_eq!(ignored.len(), 1, "{records:#?}");
    assert_eq!(ignored[0]["ask"], id.as_str());
    assert_eq!(ignored[0]["reason"], "it is not a statement");
    world.verify();
}

#[test]
fn an_answer_signed_elsewhere_says_no_and_counts_once() {
    let Some(_) = real("ssh-keygen", "apt-get install openssh-client") else { return };
    let world = World::with_policy(ASKS);
    shell(&world, "ssh-keygen -q -t ed25519 -N '' -C eve -f eve").ok();
    let add = ["operator", "add", "eve", "--ssh-key", "eve.pub", "--custody", "elsewhere"];
    world.iddio(add).ok().says("assurance uid");
    let mut exec = world.start(SENSITIVE);
    let id = exec.until_asked();
    let said = world.iddio(["approvals", "statement", &id, "--as", "eve", "--deny"]).ok();
    world.file("statement", &said.stdout);
    shell(&world, "ssh-keygen -q -Y sign -f eve -n iddio-approval statement").ok();
    let handed = ["--statement", "statement", "--signature", "statement.sig"];
    let answer = |verb| world.iddio(["approvals", verb, &id].into_iter().chain(handed));
    answer("approve").exits(77).says("the statement says something else");
    answer("deny").ok();
    exec.end().exits(77);
    answer("deny").exits(77).says("is over: refused");
    assert!(!world.work().join("ran").exists());
    world.verify();
}

#[test]
fn wrong_words_get_a_code_and_a_line_that_says_what_to_do() {
    let world = World::new();
    enroll(&world, "bob");
    let cases: [(&[&str], i32, &str); 16] = [
        (&["approvals", "show", "esc_aaaaaaaa"], 64, "there is no ask `esc_aaaaaaaa`"),
        (&["approvals", "approve", "esc_aaaaaaaa", "--as", "bob"], 64, "there is no ask"),
        (&["approvals", "approve", "x", "--statement", "s"], 64, "--signature"),
        (&["approvals", "statement", "x"], 64, "--as <OPERATOR>"),
        (&["approvals", "watch", "--as", "nobody"], 64, "no operator `nobody`"),
        (&["audit", "show", "99"], 64, "iddio audit show '#99'"),
        (&["audit", "query", "--since", "yesterday"], 64, "`yesterday` is no time"),
        (&["audit", "query", "--decision", "maybe"], 64, "allow, deny, escalate"),
        (&["audit", "prove", "0"], 69, "iddio audit checkpoint"),
        (&["audit", "prove", "99"], 64, "no record #99"),
        (&["audit", "forget", "yesterday"], 64, "`yesterday` is no day"),
        (&["audit", "forget", "9999-01-01"], 64, "is not over"),
        (&["audit", "verify", "--checkpoint", "none"], 69, "`none`: No such file"),
        (&["operator", "add", "eve", "--ssh-key", "none"], 69, "`none`: No such file"),
        (&["operator", "add", "eve", "--custody", "elsewhere"], 64, "--ssh-key"),
        (&["operator", "revoke", "eve"], 64, "there is no operator `eve`"),
    ];
    for (words, code, line) in cases {
        let said = world.iddio(words).exits(code).says(line);
        assert_eq!(said.stdout, "", "{words:?} writes to stdout");
        assert!(!said.stderr.contains("panicked"), "{said:#?}");
    }
}

#[test]
fn a_look_makes_no_home_and_a_log_that_is_not_there_is_not_sound() {
    let world = World::new();
    for words in [
        &["audit", "verify"][..],
        &["audit", "query"],
        &["audit", "status"],
        &["approvals", "list"],
        &["wait", "esc_aaaaaaaa"],
    ] {
        world.iddio(words).exits(69).says("there is no home yet").says("iddio init");
        assert!(!world.home().exists(), "{words:?} makes a home");
    }
    world.iddio(["doctor"]).ok().prints("iddio init");
}

#[test]
fn doctor_names_a_damaged_queue() {
    let world = World::new();
    world.iddio(["init"]).ok();
    world.iddio(["doctor"]).ok();
    let queue = world.home().join("approvals.db");
    fs::write(&queue, "garbage, and then some more of it").unwrap();
    world.iddio(["doctor"]).exits(1).prints("nobody can be asked");
}

#[test]
fn a_closed_stdout_ends_without_a_word() {
    let world = World::new();
    world.iddio(["init"]).ok();
    world.iddio(["exec", "--", "no-such-program"]).exits(127);
    for words in [
        &["audit", "query"][..],
        &["audit", "query", "--json"],
        &["audit", "verify"],
        &["doctor"],
        &["doctor", "--json"],
        &["policy", "explain", "--", "ls"],
        &["classify", "--", "ls"],
    ] {
        let (read, write) = io::pipe().unwrap();
        drop(read);
        let mut command = world.command(words);
        command.stdin(Stdio::null()).stdout(write).stderr(Stdio::piped());
        let said = Said::of(command.output().unwrap()).exits(141);
        assert_eq!(said.stderr, "", "{words:?}");
    }
}

#[test]
fn the_log_says_how_it_is_and_proves_what_it_holds() {
    let world = World::new();
    world.iddio(["init"]).ok();
    world.iddio(["exec", "--", "no-such-program"]).exits(127);
    let status = world.json(["audit", "status", "--json"]);
    assert_eq!(status["ok"], true);
    assert_eq!(world.json(["audit", "repair", "--json"])["repaired"], false);
    world.iddio(["audit", "checkpoint"]).ok();
    let proof = world.json(["audit", "prove", "1"]);
    assert_eq!(proof["seq"], 1);
    assert_eq!(proof["record_hash"], world.records()[1]["hash"]);
    assert!(proof["checkpoint"].as_str().unwrap().starts_with("iddio.local/log/"));
    let forgotten = world.json(["audit", "forget", "2001-01-01", "--json"]);
    assert_eq!(forgotten["erased"], false);
    assert_eq!(world.records().last().unwrap()["event"], "commitments.erased");
    world.verify();
}

fn enroll(world: &World, name: &str) {
    let phrase = b"correct horse battery staple\n";
    world.iddio_with(["operator", "enroll", name, "--passphrase-fd", "0"], phrase).ok();
}

fn shell(world: &World, line: &str) -> Said {
    Said::of(world.within(["sh", "-c", line]).stdin(Stdio::null()).output().unwrap())
}
