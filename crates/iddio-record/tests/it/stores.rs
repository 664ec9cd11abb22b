//! Where recordings are, who may open one, and what they hold.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    sync::Arc,
    time::Duration,
};

use iddio_core::{
    operation::OperationId,
    policy::Recorded,
    recording::{Channel, Recorder},
};
use iddio_record::{
    read::{self, End, Matches},
    store::{self, Limits, Store},
};
use iddio_testkit::TestClock;

use crate::kit;

#[test]
fn recordings_are_their_owners_alone() {
    let dir = tempfile::tempdir().unwrap();
    let store = kit::store(dir.path());
    kit::session(&store, 1, &[(Channel::Stdout, b"x")]);
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let recordings = dir.path().join("recordings");
    assert_eq!(mode(&recordings), 0o700);
    assert_eq!(mode(&store::path(&recordings, OperationId(1))), 0o600);
}

#[test]
fn a_directory_that_others_may_enter_takes_no_recording() {
    let dir = tempfile::tempdir().unwrap();
    let open = |name: &str| {
        Store::open(dir.path().join(name), kit::SMALL, Arc::new(TestClock::new())).map(drop)
    };
    fs::create_dir(dir.path().join("open")).unwrap();
    fs::set_permissions(dir.path().join("open"), fs::Permissions::from_mode(0o750)).unwrap();
    assert!(open("open").is_err());
    open("own").unwrap();
    symlink(dir.path().join("own"), dir.path().join("link")).unwrap();
    assert!(open("link").is_err());
}

#[test]
fn k23_nothing_is_opened_beyond_the_quota_or_into_the_reserve_of_the_disk() {
    let dir = tempfile::tempdir().unwrap();
    let full = kit::decided("claude", "pods/web", Recorded::Full);
    for limits in
        [Limits { reserve_bytes: u64::MAX, ..kit::SMALL }, Limits { all_bytes: 0, ..kit::SMALL }]
    {
        let store = kit::limited(dir.path(), limits);
        let sessions: &dyn Recorder = &store.sessions();
        let error = sessions.open(OperationId(1), &full).err().unwrap();
        assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
        assert!(store.exchanges().open(OperationId(1), &full).is_err());
        // A request that is not to be recorded needs no room; a session always is.
        let metadata = kit::decided("claude", "pods/web", Recorded::Metadata);
        assert!(store.exchanges().open(OperationId(1), &metadata).is_ok());
        assert!(sessions.open(OperationId(1), &metadata).is_err());
    }
    assert_eq!(store::list(&dir.path().join("recordings")).unwrap(), []);
}

#[test]
fn no_recording_is_written_over() {
    let dir = tempfile::tempdir().unwrap();
    let store = kit::store(dir.path());
    kit::session(&store, 1, &[(Channel::Stdout, b"x")]);
    let full = kit::decided("claude", "pods/web", Recorded::Full);
    assert!(store.sessions().open(OperationId(1), &full).is_err());
}

#[test]
fn exchanges_of_one_agent_share_a_recording_and_are_sealed_one_by_one() {
    let dir = tempfile::tempdir().unwrap();
    let store = kit::store(dir.path());
    let exchanges = store.exchanges();
    let full = kit::decided("claude", "pods", Recorded::Full);
    let head: &[u8] = b"200\ncontent-type: application/json\n";
    // One is open while others come and go.
    let mut watch = exchanges.open(OperationId(1), &full).unwrap();
    watch.frame(Channel::ResponseHead, head).unwrap();
    watch.frame(Channel::Response, b"{\"a\":1}\n").unwrap();
    let frames: [(Channel, &[u8]); 2] = [(Channel::ResponseHead, head), (Channel::Response, b"{}")];
    let mut sealed = Vec::new();
    for id in 2..6 {
        sealed.push((id, kit::record(&exchanges, "claude", "pods", id, &frames)));
    }
    let other = kit::record(&exchanges, "cursor", "pods", 9, &frames);
    watch.frame(Channel::Response, b"{\"b\":2}\n").unwrap();
    sealed.push((1, watch.seal().unwrap().unwrap()));
    assert_eq!(other.recording, OperationId(9));
    let path = store::path(&dir.path().join("recordings"), OperationId(1));
    let contents = read::contents(&path).unwrap();
    assert_eq!(contents.tracks.len(), 5);
    for (id, sealed) in sealed {
        assert_eq!(sealed.recording, OperationId(1));
        let track = contents.tracks.iter().find(|t| t.operation == OperationId(id)).unwrap();
        assert_eq!(track.is(&sealed), Matches::Yes);
        let mut bodies = Vec::new();
        let mut reader = read::open(&path).unwrap();
        let end = read::frames(&mut reader, OperationId(id), sealed.offset, |frame| {
            if frame.channel == Channel::Response {
                bodies.extend_from_slice(frame.bytes);
            }
            Ok(())
        });
        assert!(matches!(end.unwrap(), End::Sealed(_)));
        let expected: &[u8] = if id == 1 { b"{\"a\":1}\n{\"b\":2}\n" } else { b"{}" };
        assert_eq!(bodies, expected);
    }
}

#[test]
fn n8_a_secret_reaches_no_disk() {
    let dir = tempfile::tempdir().unwrap();
    let store = kit::store(dir.path());
    let head: &[u8] = b"200\ncontent-type: application/json\n";
    for n in 0..200_u128 {
        let canary = format!("zX9kLm{n:04}Qp7Rt4Vw8Canary");
        let secret = format!(r#"{{"kind":"Secret","data":{{"k":"{canary}"}}}}"#);
        let frames = [(Channel::ResponseHead, head), (Channel::Response, secret.as_bytes())];
        kit::record(&store.exchanges(), "claude", "secrets/db", 1_000 + n, &frames);
        let line = format!("PASSWORD={canary}\n");
        let (one, two) = line.as_bytes().split_at(n as usize % line.len());
        kit::session(&store, n, &[(Channel::Stdout, one), (Channel::Stdout, two)]);
    }
    let recordings = dir.path().join("recordings");
    for (recording, ..) in store::list(&recordings).unwrap() {
        for track in read::contents(&store::path(&recordings, recording)).unwrap().tracks {
            let mut all = Vec::new();
            let mut reader = read::open(&store::path(&recordings, recording)).unwrap();
            read::frames(&mut reader, track.operation, track.offset, |frame| {
                all.extend_from_slice(frame.bytes);
                Ok(())
            })
            .unwrap();
            let all = String::from_utf8(all).unwrap();
            assert!(!all.contains("Canary") && !all.contains("zX9kLm"), "{all}");
            assert!(all.contains("[redacted "), "{all}");
        }
    }
}

#[test]
fn what_is_old_is_removed_when_somebody_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let store = kit::store(dir.path());
    kit::session(&store, 1, &[(Channel::Stdout, b"x")]);
    let recordings = dir.path().join("recordings");
    assert_eq!(store::old(&recordings, Duration::from_secs(3600)).unwrap(), []);
    let path = store::path(&recordings, OperationId(1));
    let old = std::time::SystemTime::now() - Duration::from_secs(7200);
    fs::File::options().write(true).open(&path).unwrap().set_modified(old).unwrap();
    let old = store::old(&recordings, Duration::from_secs(3600)).unwrap();
    assert_eq!(old, [OperationId(1)]);
    store::remove(&recordings, &old).unwrap();
    assert!(!path.exists());
}
