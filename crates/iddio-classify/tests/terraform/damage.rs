//! Damaged plans: never a panic, never a milder reading.

use iddio_classify::terraform::{
    WireError, config, judge,
    plan::{self, PlanError},
};
use iddio_core::tier::Tier;
use proptest::prelude::*;

use crate::kit::{edit, nobody, unzip, vector};

#[test]
fn a_changed_byte_is_refused_or_changes_nothing() {
    let plan = vector("delete.tfplan");
    let facts = format!("{:?}", plan::read(&plan).unwrap());
    let mut refused = 0;
    for at in 0..plan.len() {
        for flip in [0x01, 0x04, 0x80, 0xff] {
            let mut changed = plan.clone();
            changed[at] ^= flip;
            match plan::read(&changed) {
                Ok(read) => assert_eq!(format!("{read:?}"), facts, "byte {at} ^ {flip:#x}"),
                Err(_) => refused += 1,
            }
        }
    }
    assert!(refused > plan.len() * 3, "{refused} of {}", plan.len() * 4);
}

#[test]
fn a_changed_byte_of_the_message_never_hides_a_delete_silently() {
    // With the archive made anew around it, so that no checksum helps. Not every change is an
    // error: the text of an address may become that of another. But what is read must be judged.
    let plan = vector("delete.tfplan");
    let message = unzip(&plan).into_iter().find(|entry| entry.0 == "tfplan").unwrap().1;
    let mut read = 0;
    for at in 0..message.len() {
        let mut changed = message.clone();
        changed[at] ^= 0x02;
        let bytes = edit(&plan, "tfplan", |_| changed);
        if let Ok(facts) = plan::read(&bytes) {
            read += 1;
            assert!(judge::plan(&facts, &nobody()).tier >= Tier::Modify);
        }
    }
    assert!(read > 0);
}

#[test]
fn doubled_unknown_and_malformed_fields_are_refused() {
    let plan = vector("create.tfplan");
    let message = unzip(&plan).into_iter().find(|entry| entry.0 == "tfplan").unwrap().1;
    let error = |suffix: &[u8]| {
        let longer = [message.as_slice(), suffix].concat();
        plan::read(&edit(&plan, "tfplan", |_| longer)).expect_err("it is refused")
    };
    let wire = |error: WireError| PlanError::Wire(error);
    assert_eq!(error(&[0x08, 0x03]), wire(WireError::Twice("Plan", 1)));
    assert_eq!(error(&[0x88, 0x06, 0x01]), wire(WireError::Unknown("Plan", 97)));
    assert_eq!(error(&[0xa0, 0x01, 0x80, 0x00]), wire(WireError::Number("Plan")));
    assert_eq!(error(&[0xa5, 0x01, 0, 0, 0, 0]), wire(WireError::Type("Plan", 20)));
    assert_eq!(error(&[0x2a, 0x01, 0xff]), wire(WireError::Text("Plan", 5)));
    assert_eq!(error(&[0x2a, 0x05, b'a']), wire(WireError::Truncated("Plan")));
    let backend = [0x6a, 0x00];
    assert_eq!(error(&backend), wire(WireError::Twice("Plan", 13)));
}

#[test]
fn another_version_of_the_format_is_refused() {
    let plan = vector("create.tfplan");
    let edited = edit(&plan, "tfplan", |message| {
        assert_eq!(message[..2], [0x08, 0x03]);
        [&[0x08, 0x04], &message[2..]].concat()
    });
    assert_eq!(plan::read(&edited).unwrap_err(), PlanError::Version(4));
    let judgement = judge::unreadable(&PlanError::Version(4));
    assert_eq!(judgement.tier, Tier::UNKNOWN);
}

#[test]
fn an_unknown_action_is_refused() {
    let plan = vector("create.tfplan");
    for action in [4, 10, 100] {
        let edited = edit(&plan, "tfplan", |message| {
            let mut message = message.to_vec();
            let change = [0x08, 0x01, 0x12];
            let at = message.windows(3).position(|window| window == change).unwrap();
            message[at + 1] = action;
            message
        });
        let invalid = PlanError::Invalid { what: "action", value: action.to_string() };
        assert_eq!(plan::read(&edited).unwrap_err(), invalid);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let _ = plan::read(&bytes);
        let source = config::Source { path: "main.tf", bytes: &bytes };
        let in_json = config::Source { path: "main.tf.json", bytes: &bytes };
        let lock = config::Source { path: ".terraform.lock.hcl", bytes: &bytes };
        let _ = config::scan(&[source, in_json, lock], Some(&bytes));
    }

    #[test]
    fn any_message_in_a_sound_archive_is_read_or_refused(
        bytes in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        let plan = vector("create.tfplan");
        let _ = plan::read(&edit(&plan, "tfplan", |_| bytes.clone()));
        let _ = plan::read(&edit(&plan, "tfstate", |_| bytes));
    }

    #[test]
    fn a_damaged_message_is_read_or_refused(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let plan = vector("delete.tfplan");
        let _ = plan::read(&edit(&plan, "tfplan", |message| {
            let mut message = message.to_vec();
            let at = at.index(message.len());
            message[at] = byte;
            message
        }));
    }
}
