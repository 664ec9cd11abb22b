//! Tests of the freezes of a home.

use std::{fs, thread};

use iddio_core::{operation::OperationId, principal::PrincipalId, time::Timestamp};

use super::*;

fn freezes() -> (tempfile::TempDir, Freezes) {
    let root = tempfile::tempdir().unwrap();
    Freezes::furnish(root.path()).unwrap();
    let freezes = Freezes::at(root.path().join(DIRECTORY));
    (root, freezes)
}

fn name(text: &str) -> PrincipalId {
    PrincipalId::new(text).unwrap()
}

fn freeze(id: u128, whom: Whom) -> Freeze {
    let reason = Some("it \"deletes\"\nthings".to_owned());
    Freeze { id: OperationId(id), whom, by: name("local:ada"), reason, since: Timestamp(7) }
}

fn agent(text: &str) -> Whom {
    Whom::Agent(name(text))
}

#[test]
fn what_is_stored_is_read_back_whatever_it_is() {
    let (_root, freezes) = freezes();
    assert_eq!(freezes.list(), Ok(Vec::new()));
    let names = vec![name("human:ada"), name("local:ada")];
    let whoms = [
        Whom::All,
        agent("claude-code"),
        Whom::Operator { name: name("ada"), names },
        Whom::Task("deploy 7\u{202e}".to_owned()),
    ];
    let mut stored = Vec::new();
    for (id, whom) in (1..).zip(whoms) {
        let set = freezes.set(freeze(id, whom.clone())).unwrap();
        assert_eq!(set.was(), Was::Free);
        stored.push(freeze(id, whom));
    }
    assert_eq!(freezes.list(), Ok(stored));
}

#[test]
fn a_state_that_is_not_exactly_one_freezes_everybody_and_takes_no_change() {
    let (_root, freezes) = freezes();
    let _set = freezes.set(freeze(1, agent("x"))).unwrap();
    drop(_set);
    let good = fs::read_to_string(freezes.state()).unwrap();
    let mut bad = vec![
        String::new(),
        "null".to_owned(),
        "{}".to_owned(),
        good.replace("/v1", "/v2"),
        good.replace("\"by\"", "\"bye\""),
        good.replace("\"agent\"", "\"agents\""),
        good.replace("local:ada", "local ada"),
        good.replace("00000001", "0000000g"),
        format!("{good}{good}"),
    ];
    bad.extend((0..good.trim_end().len()).step_by(7).map(|end| good[..end].to_owned()));
    for text in bad {
        fs::write(freezes.state(), &text).unwrap();
        assert!(matches!(freezes.look(), Frozen::Unknown { .. }), "{text}");
        assert!(freezes.lift(&agent("x")).is_err(), "{text}");
        assert_eq!(freezes.set(freeze(2, agent("y"))).unwrap().was(), Was::Damaged);
        assert_eq!(fs::read_to_string(freezes.state()).unwrap(), text, "left as evidence");
    }
    fs::remove_file(freezes.state()).unwrap();
    assert!(matches!(freezes.look(), Frozen::Unknown { .. }), "missing");
    fs::create_dir(freezes.state()).unwrap();
    assert!(matches!(freezes.look(), Frozen::Unknown { .. }), "a directory");
}

#[test]
fn who_is_frozen_already_keeps_the_first_freeze() {
    let (_root, freezes) = freezes();
    drop(freezes.set(freeze(1, agent("x"))).unwrap());
    let again = freezes.set(freeze(2, agent("x"))).unwrap();
    assert_eq!((again.was(), again.freeze().id), (Was::Frozen, OperationId(1)));
}

#[test]
fn a_thaw_that_is_not_finished_lifts_nothing() {
    let (_root, freezes) = freezes();
    drop(freezes.set(freeze(1, agent("x"))).unwrap());
    drop(freezes.set(freeze(2, agent("y"))).unwrap());
    drop(freezes.lift(&agent("x")).unwrap());
    assert_eq!(freezes.list().unwrap().len(), 2);
    let lifting = freezes.lift(&agent("x")).unwrap();
    assert_eq!(lifting.freezes(), [freeze(1, agent("x"))]);
    lifting.finish().unwrap();
    assert_eq!(freezes.list(), Ok(vec![freeze(2, agent("y"))]));
    assert!(matches!(freezes.lift(&agent("x")), Err(FreezeError::Unknown(_))));
}

#[test]
fn a_repair_keeps_whoever_the_log_or_the_state_says_is_frozen() {
    let (_root, freezes) = freezes();
    drop(freezes.set(freeze(1, agent("x"))).unwrap());
    let log = || Ok::<_, StoreError>(vec![freeze(2, agent("y"))]);
    let repair = freezes.repair(log).unwrap();
    assert_eq!(repair.unrecorded(), [freeze(1, agent("x"))]);
    assert_eq!(repair.damage(), None);
    repair.finish().unwrap();
    assert_eq!(freezes.list(), Ok(vec![freeze(1, agent("x")), freeze(2, agent("y"))]));
    fs::write(freezes.state(), "{").unwrap();
    let repair = freezes.repair(log).unwrap();
    assert!(repair.damage().unwrap().contains("damaged"));
    repair.finish().unwrap();
    assert_eq!(freezes.list(), Ok(vec![freeze(2, agent("y"))]));
}

#[test]
fn there_is_always_room_to_freeze_everybody() {
    let (_root, freezes) = freezes();
    let many: Vec<_> = (0..FREEZES_MAX)
        .map(|n| freeze(u128::try_from(n).unwrap(), agent(&format!("agent-{n}"))))
        .collect();
    store::write(&freezes.state(), &Stored::of(&many)).unwrap();
    assert!(matches!(freezes.set(freeze(5_000, agent("x"))), Err(FreezeError::Full)));
    drop(freezes.set(freeze(5_001, Whom::All)).unwrap());
    assert_eq!(freezes.list().unwrap().len(), FREEZES_MAX + 1);
    let long = Freeze { reason: Some("x".repeat(TEXT_BYTES_MAX + 1)), ..freeze(1, agent("z")) };
    assert!(matches!(freezes.set(long), Err(FreezeError::Long)));
}

#[test]
fn freezes_made_at_once_are_all_kept() {
    let (_root, freezes) = freezes();
    thread::scope(|scope| {
        for n in 0..8_u128 {
            let freezes = &freezes;
            scope
                .spawn(move || drop(freezes.set(freeze(n, agent(&format!("agent-{n}")))).unwrap()));
        }
    });
    assert_eq!(freezes.list().unwrap().len(), 8);
}
