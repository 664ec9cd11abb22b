//! Operators: enrolment, keys made elsewhere, revocation, and what a stranger can verify.

use std::{
    fs,
    io::Write,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Stdio},
};

use iddio_approve::{
    ApproveError, Custody, Profile, Queue, Registry, Signer, State, Word, Worthless,
};
use iddio_core::{
    approval::{Answer, Assurance, Objection},
    tier::Tier,
};

use crate::kit::{self, Home, yes};

#[test]
fn a_stranger_verifies_a_grant_with_ssh_keygen_alone() {
    let home = Home::new();
    let (bob, key) = home.enroll("bob", &[]);
    let put = home.put(&home.ask(1, Tier::Sensitive));
    let id = put.id();
    home.queue().approve(&id, yes(Signer::Key(&key))).unwrap();
    let Answer::Grant(grants) = put.answer() else { panic!("no grant") };
    let entry = home.queue().show(&id).unwrap();
    let vote = &entry.votes[0];
    let recorded = iddio_core::digest::Digest::of_bytes(vote.statement.as_bytes());
    assert_eq!(grants[0].statement(), Some(recorded), "the record leads to the statement");
    assert!(vote.statement.contains(&format!("digest: {}\n", entry.digest())));
    let line = bob.key.unwrap().public.to_line();
    let signature = vote.signature.as_deref().unwrap();
    assert!(verifies(home.path(), &line, &vote.statement, signature));
    let other = vote.statement.replace("verdict: grant", "verdict: refuse");
    assert!(!verifies(home.path(), &line, &other, signature));
}

#[test]
fn a_key_made_elsewhere_is_worth_what_its_custody_is() {
    for (custody, assurance) in
        [(Custody::Elsewhere, Assurance::Uid), (Custody::Here, Assurance::None)]
    {
        let home = Home::new();
        let file = home.path().join("id_ed25519");
        let made = ssh_keygen().args(["-t", "ed25519", "-N", "", "-q", "-f"]).arg(&file).status();
        assert!(made.unwrap().success());
        let line = fs::read_to_string(home.path().join("id_ed25519.pub")).unwrap();
        let bob = home.add("bob", &line, custody);
        assert_eq!(bob.key.unwrap().assurance, assurance);

        let put = home.put(&home.ask(1, Tier::Sensitive));
        let id = put.id();
        let said = home.queue().statement(&id, "bob", Word::Grant, None).unwrap().to_string();
        let signature = signed(home.path(), &file, &said);
        let signer = Signer::Detached { statement: &said, signature: &signature };
        let taken = home.queue().approve(&id, yes(signer));
        match custody {
            Custody::Elsewhere => {
                assert_eq!(taken.unwrap().assurance, Assurance::Uid);
                assert!(matches!(put.answer(), Answer::Grant(_)));
            }
            Custody::Here => {
                let error = taken.unwrap_err();
                let weak = matches!(error, ApproveError::Objection(Objection::WeakAssurance));
                assert!(weak, "{error}");
                put.cancel.cancel();
            }
        }
    }
}

#[test]
fn a_statement_for_one_ask_one_word_and_one_operator_is_good_for_no_other() {
    let home = Home::new();
    let (_, bob) = home.enroll("bob", &[]);
    let (_, eve) = home.enroll("eve", &[]);
    let (one, two) =
        (home.put(&home.ask(1, Tier::Sensitive)), home.put(&home.ask(2, Tier::Sensitive)));
    let (one_id, two_id) = (one.id(), two.id());
    let mut queue = home.queue();
    let sign = |key: &iddio_mint::ApproverKey, said: &str| {
        key.sign("iddio-approval", said.as_bytes()).unwrap()
    };
    let statement = |queue: &mut Queue, id: &str, word| {
        queue.statement(id, "bob", word, None).unwrap().to_string()
    };
    let good = statement(&mut queue, &one_id, Word::Grant);
    let no = statement(&mut queue, &one_id, Word::Refuse);
    let elsewhere = bob.sign("git", good.as_bytes()).unwrap();
    let cases = [
        ("another ask", &two_id, good.clone(), sign(&bob, &good)),
        ("a no", &one_id, no.clone(), sign(&bob, &no)),
        ("another's key", &one_id, good.clone(), sign(&eve, &good)),
        ("another purpose", &one_id, good.clone(), elsewhere),
        ("a claimed name", &one_id, good.replace("human:bob", "human:eve"), sign(&bob, &good)),
        ("more space", &one_id, format!("{good}\n"), sign(&bob, &format!("{good}\n"))),
        ("no signature", &one_id, good.clone(), String::new()),
    ];
    for (name, id, said, signature) in cases {
        let signer = Signer::Detached { statement: &said, signature: &signature };
        let error = queue.approve(id, yes(signer)).unwrap_err();
        let worthless = matches!(
            error,
            ApproveError::Worthless(
                Worthless::OtherAsk | Worthless::BadSignature | Worthless::NotAStatement
            ) | ApproveError::OtherStatement
        );
        assert!(worthless, "{name}: {error}");
    }
    let signer = Signer::Detached { statement: &good, signature: &sign(&bob, &good) };
    queue.approve(&one_id, yes(signer)).unwrap();
    assert!(matches!(one.answer(), Answer::Grant(_)));
    two.cancel.cancel();
}

#[test]
fn a_yes_dies_with_its_operators_right_to_give_it() {
    let home = Home::new();
    let (_, bob) = home.enroll("bob", &[]);
    let (_, eve) = home.enroll("eve", &[]);
    let (_, joe) = home.enroll("joe", &[]);
    let put = home.put(&home.ask(1, Tier::BreakGlass));
    let id = put.id();
    home.queue().approve(&id, yes(Signer::Key(&bob))).unwrap();
    Registry::revoke(home.path(), "bob", home.now().wall).unwrap();
    let second = home.queue().approve(&id, yes(Signer::Key(&eve))).unwrap();
    assert_eq!((second.have, second.need), (1, 2));
    let error = home.queue().approve(&id, yes(Signer::Key(&bob))).unwrap_err();
    assert!(matches!(error, ApproveError::KeyUnknown), "{error}");
    assert_eq!(home.queue().show(&id).unwrap().state, State::Pending);
    home.queue().approve(&id, yes(Signer::Key(&joe))).unwrap();
    let Answer::Grant(grants) = put.answer() else { panic!("no grant") };
    let by: Vec<_> = grants.iter().map(|grant| grant.by().as_str()).collect();
    assert_eq!(by, ["human:eve", "human:joe"]);
}

#[test]
fn a_registry_that_others_can_write_or_that_claims_too_much_is_refused() {
    let home = Home::new();
    home.enroll("bob", &[]);
    let file = home.path().join("operators.json");
    let good = fs::read_to_string(&file).unwrap();
    let keep = fs::Permissions::from_mode(0o600);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o620)).unwrap();
    Registry::open(home.path()).unwrap_err();
    fs::set_permissions(&file, keep).unwrap();
    for (from, to) in [
        ("\"passphrase\"", "\"hardware\""),
        ("\"passphrase\"", "\"root\""),
        ("iddio-operators/v1", "iddio-operators/v2"),
        ("\"groups\"", "\"grups\""),
        ("ssh-ed25519", "ssh-rsa"),
        ("{", "["),
    ] {
        fs::write(&file, good.replacen(from, to, 1)).unwrap();
        Registry::open(home.path()).unwrap_err();
    }
    // With no registry to read, nothing signed counts and nothing unsigned is lost.
    fs::write(&file, "").unwrap();
    let put = home.put(&home.ask(1, Tier::Sensitive));
    let told = put.notices.recv().unwrap();
    assert!(matches!(told, iddio_approve::Notice::Waiting { .. }), "{told:?}");
    put.cancel.cancel();
    fs::write(&file, good).unwrap();
    Registry::open(home.path()).unwrap();
}

#[test]
fn enrolment_is_recorded_with_the_key() {
    let home = Home::new();
    let (bob, _) = home.enroll("bob", &["sre"]);
    let record = bob.record("operator.enrolled", &kit::agent("local:ada", &[]));
    let shown = format!("{record:?}");
    assert_eq!(record.event, "operator.enrolled");
    let names: Vec<_> = record.fields.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["operator", "groups", "aliases", "key", "fingerprint", "assurance"]);
    assert!(!shown.contains(kit::PHRASE));
}

#[test]
fn whoever_was_added_without_a_key_can_enrol_one_later_and_keeps_their_groups() {
    let home = Home::new();
    let profile = Profile { groups: vec!["sre".to_owned()], unix_users: vec!["rob".to_owned()] };
    Registry::add(home.path(), "bob", None, &profile, home.now().wall).unwrap();
    let (bob, _) = home.enroll("bob", &["dev"]);
    assert_eq!(bob.groups, ["dev", "sre"]);
    let aliases: Vec<_> = bob.aliases.iter().map(|alias| alias.as_str()).collect();
    assert_eq!(aliases, ["local:bob", "local:rob"]);
    let again =
        Registry::enroll(home.path(), "bob", &kit::phrase(), &Profile::default(), home.now().wall);
    again.unwrap_err();
}

/// OpenSSH's own tool. Without it these tests fail, and say how to get it.
fn ssh_keygen() -> Command {
    let found = Command::new("ssh-keygen").arg("-?").stderr(Stdio::null()).status();
    assert!(found.is_ok(), "ssh-keygen is missing: apt-get install openssh-client");
    let mut command = Command::new("ssh-keygen");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

fn signed(home: &Path, key: &Path, said: &str) -> String {
    let file = home.join("statement");
    fs::write(&file, said).unwrap();
    let sign = ssh_keygen()
        .args(["-Y", "sign", "-q", "-n", "iddio-approval", "-f"])
        .args([key, &file])
        .status();
    assert!(sign.unwrap().success());
    fs::read_to_string(home.join("statement.sig")).unwrap()
}

fn verifies(home: &Path, line: &str, said: &str, signature: &str) -> bool {
    fs::write(home.join("signers"), format!("human:bob {line}\n")).unwrap();
    fs::write(home.join("sig"), signature).unwrap();
    let mut command = ssh_keygen();
    command.args(["-Y", "verify", "-n", "iddio-approval", "-I", "human:bob", "-f"]);
    command.arg(home.join("signers")).arg("-s").arg(home.join("sig")).stdin(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(said.as_bytes()).unwrap();
    child.wait().unwrap().success()
}
