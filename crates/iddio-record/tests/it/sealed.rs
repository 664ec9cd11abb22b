//! What a seal vouches for.

use std::fs;

use iddio_core::{
    operation::OperationId,
    recording::{Channel, Sealed, Way},
};
use iddio_record::{
    check::{Named, check},
    format::MAGIC,
    read::{self, Contents, End, Matches, Reader},
    store,
};
use proptest::prelude::*;

use crate::kit;

/// Whether bytes still hold what was sealed, with nothing else in them.
fn holds(bytes: &[u8], sealed: &[(u128, Sealed)]) -> bool {
    let Ok(mut reader) = Reader::new(bytes) else { return false };
    let Ok(Contents { tracks, fault: None, .. }) = read::contents_of(&mut reader) else {
        return false;
    };
    tracks.len() == sealed.len()
        && sealed.iter().all(|(id, sealed)| {
            let mut tracks = tracks.iter();
            tracks.any(|track| {
                track.operation == OperationId(*id) && track.is(sealed) == Matches::Yes
            })
        })
}

fn small() -> Vec<(Channel, &'static [u8])> {
    vec![
        (Channel::Resize { columns: 120, rows: 40 }, b""),
        (Channel::Stdout, b"$ "),
        (Channel::Stdin, b"ls\r"),
        (Channel::Stdout, b"ls\r\nfile\r\n"),
        (Channel::Stderr, b"oops\n"),
        (Channel::Data { port: 80, connection: 3, way: Way::Inward }, b"GET / HTTP/1.1\r\n"),
        (Channel::Data { port: 80, connection: 3, way: Way::Outward }, b"HTTP/1.1 200 OK\r\n"),
        (Channel::Signal, b"INT"),
        (Channel::Stdin, b""),
        (Channel::Exit, b"130"),
    ]
}

#[test]
fn what_was_recorded_is_read_back_frame_by_frame() {
    let dir = tempfile::tempdir().unwrap();
    let store = kit::store(dir.path());
    let sealed = kit::session(&store, 1, &small());
    let (frames, end) = kit::frames(dir.path(), 1, sealed.offset);
    let expected: Vec<_> =
        small().into_iter().map(|(channel, bytes)| (channel, bytes.to_vec())).collect();
    assert_eq!(frames, expected);
    let End::Sealed(end) = end else { panic!("{end:?}") };
    assert_eq!(end.member("frames").and_then(|n| n.as_int()), Some(10));
    assert_eq!((sealed.recording, sealed.offset), (OperationId(1), MAGIC.len() as u64));
}

#[test]
fn every_changed_bit_and_every_cut_of_a_recording_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let store = kit::store(dir.path());
    let sealed = [(1, kit::session(&store, 1, &small()))];
    let path = store::path(&dir.path().join("recordings"), OperationId(1));
    let bytes = fs::read(path).unwrap();
    assert!(holds(&bytes, &sealed));
    for place in 0..bytes.len() {
        for bit in 0..8 {
            let mut changed = bytes.clone();
            changed[place] ^= 1 << bit;
            assert!(!holds(&changed, &sealed), "bit {bit} of byte {place}");
        }
        assert!(!holds(&bytes[..place], &sealed), "cut at {place}");
        let mut longer = bytes.clone();
        longer.insert(place, 0);
        assert!(!holds(&longer, &sealed), "inserted at {place}");
    }
}

#[test]
fn blocks_that_are_dropped_repeated_or_swapped_are_found() {
    let dir = tempfile::tempdir().unwrap();
    let store = kit::store(dir.path());
    // Each is more than a block takes, and none packs.
    let noise = |seed| iddio_testkit::Dice::new(seed).bytes(150_000);
    let pieces: Vec<_> = (0..4).map(noise).collect();
    let frames: Vec<_> = pieces.iter().map(|piece| (Channel::Stdout, piece.as_slice())).collect();
    let sealed = [(1, kit::session(&store, 1, &frames))];
    let path = store::path(&dir.path().join("recordings"), OperationId(1));
    let bytes = fs::read(path).unwrap();
    assert!(holds(&bytes, &sealed));
    let mut blocks = Vec::new();
    let mut at = MAGIC.len();
    while at < bytes.len() {
        let head = iddio_record::format::Head::read(&bytes[at..]).unwrap();
        blocks.push(bytes[at..at + head.stored()].to_vec());
        at += head.stored();
    }
    assert!(5 < blocks.len(), "{}", blocks.len());
    let whole = |blocks: &[Vec<u8>]| [MAGIC.to_vec(), blocks.concat()].concat();
    for place in 0..blocks.len() {
        let mut dropped = blocks.clone();
        let block = dropped.remove(place);
        assert!(!holds(&whole(&dropped), &sealed), "dropped {place}");
        let mut repeated = blocks.clone();
        repeated.insert(place, block);
        assert!(!holds(&whole(&repeated), &sealed), "repeated {place}");
        let mut swapped = blocks.clone();
        swapped.swap(place, (place + 1) % blocks.len());
        assert!(!holds(&whole(&swapped), &sealed), "swapped {place}");
    }
}

#[test]
fn frames_of_random_bytes_take_little_more_than_they_are_and_text_takes_less() {
    let dir = tempfile::tempdir().unwrap();
    let store = kit::store(dir.path());
    let noise = iddio_testkit::Dice::new(1).bytes(16 << 10);
    let sealed = kit::session(&store, 1, &vec![(Channel::Stdout, noise.as_slice()); 64]);
    assert!(sealed.bytes * 100 <= (64 * noise.len() as u64) * 105, "{}", sealed.bytes);
    let line =
        b"2026-11-20T14:03:07Z INFO request served path=/healthz status=200 ms=3\n".repeat(99);
    let sealed = kit::session(&store, 2, &vec![(Channel::Stdout, line.as_slice()); 64]);
    assert!(sealed.bytes * 2 <= 64 * line.len() as u64, "{}", sealed.bytes);
}

#[test]
fn a_recording_that_was_not_sealed_is_readable_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let store = kit::store(dir.path());
    let decided = kit::decided("claude", "pods/web", iddio_core::policy::Recorded::Full);
    let sessions = store.sessions();
    let mut recording =
        iddio_core::recording::Recorder::open(&sessions, OperationId(1), &decided).unwrap();
    recording.frame(Channel::Stdout, b"hello\n").unwrap();
    drop(recording);
    drop(sessions);
    // The last owner waits for the writer.
    drop(store);
    let (frames, end) = kit::frames(dir.path(), 1, MAGIC.len() as u64);
    assert_eq!(frames, [(Channel::Stdout, b"hello\n".to_vec())]);
    assert_eq!(end, End::Unsealed);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_flows_is_read_back(pieces in prop::collection::vec((0_usize..3, "[ -~\\n]{0,80}"), 0..40)) {
        let dir = tempfile::tempdir().unwrap();
        let store = kit::store(dir.path());
        let channels = [Channel::Stdin, Channel::Stdout, Channel::Stderr];
        let frames: Vec<_> =
            pieces.iter().map(|(place, text)| (channels[*place], text.as_bytes())).collect();
        let sealed = kit::session(&store, 1, &frames);
        let (read, _) = kit::frames(dir.path(), 1, sealed.offset);
        let joined = |frames: &mut dyn Iterator<Item = (Channel, Vec<u8>)>, channel| {
            frames.filter(|(own, _)| *own == channel).flat_map(|(_, bytes)| bytes).collect::<Vec<_>>()
        };
        for channel in channels {
            let came = joined(&mut frames.iter().map(|(c, b)| (*c, b.to_vec())), channel);
            let out = joined(&mut read.iter().cloned(), channel);
            if !out.windows(10).any(|window| window == b"[redacted ") {
                prop_assert_eq!(String::from_utf8(out).unwrap(), String::from_utf8(came).unwrap());
            }
        }
    }

    #[test]
    fn no_bytes_make_the_reader_fall(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let bytes = [MAGIC.to_vec(), b"iRb1".to_vec(), bytes].concat();
        let mut reader = Reader::new(bytes.as_slice()).unwrap();
        let contents = read::contents_of(&mut reader).unwrap();
        prop_assert!(contents.tracks.iter().all(|track| !matches!(track.end, End::Sealed(_))));
    }
}

#[test]
fn a_stranger_with_python_finds_what_the_reader_finds() {
    let docs = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    let script = docs.join("verify_recordings.py");
    let lines = fs::read_to_string(&script).unwrap().lines().count();
    assert!(lines <= 50, "{lines} lines");
    let dir = tempfile::tempdir().unwrap();
    let store = kit::store(dir.path());
    let text = b"a line that packs well, and another one\n".repeat(9_000);
    let mut frames = small();
    frames.insert(2, (Channel::Stdout, &text));
    let sealed = kit::session(&store, 1, &frames);
    let path = store::path(&dir.path().join("recordings"), OperationId(1));
    let check = || {
        let done = std::process::Command::new("python3").arg(&script).arg(&path).output().unwrap();
        (done.status.success(), String::from_utf8([done.stdout, done.stderr].concat()).unwrap())
    };
    let (sound, said) = check();
    assert!(sound, "{said}");
    let Sealed { offset, bytes, digest, .. } = sealed;
    assert_eq!(said, format!("{} sealed {offset} {bytes} {digest}\n", OperationId(1)));
    let whole = fs::read(&path).unwrap();
    for place in (0..whole.len()).step_by(whole.len() / 12) {
        let mut changed = whole.clone();
        changed[place] ^= 4;
        fs::write(&path, &changed).unwrap();
        let (sound, said) = check();
        assert!(!sound || !said.contains(&digest.to_hex()), "byte {place}: {said}");
    }
}

#[test]
fn what_the_chain_vouches_for_is_told_from_what_it_does_not() {
    let dir = tempfile::tempdir().unwrap();
    let store = kit::store(dir.path());
    let named = |id, sealed| Named { operation: OperationId(id), sealed };
    let sealed = kit::session(&store, 1, &small());
    let other = kit::session(&store, 2, &small());
    let recordings = dir.path().join("recordings");
    let found = check(&recordings, &[named(1, sealed), named(2, other)]).unwrap();
    assert_eq!((found.sound, found.bytes), (2, sealed.bytes + other.bytes));
    assert!(found.is_sound() && found.unsealed.is_empty());
    // One that no record names, and one that is gone.
    let gone = named(3, Sealed { recording: OperationId(3), ..other });
    let found = check(&recordings, &[named(1, sealed), gone]).unwrap();
    assert_eq!((found.sound, found.missing.as_slice()), (1, [gone].as_slice()));
    assert_eq!(found.unsealed.len(), 1);
    assert!(!found.is_sound());
    // Every bit of what is named counts, and every byte of its file that is cut off.
    let path = store::path(&recordings, OperationId(1));
    let bytes = fs::read(&path).unwrap();
    for place in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[place] ^= 1 << (place % 8);
        fs::write(&path, &changed).unwrap();
        let found = check(&recordings, &[named(1, sealed), named(2, other)]).unwrap();
        assert_eq!((found.sound, found.changed.len()), (1, 1), "byte {place}");
        fs::write(&path, &bytes[..place]).unwrap();
        let found = check(&recordings, &[named(1, sealed), named(2, other)]).unwrap();
        assert_eq!((found.sound, found.changed.len()), (1, 1), "cut at {place}");
    }
    // Swapped files are found as well.
    fs::write(&path, fs::read(store::path(&recordings, OperationId(2))).unwrap()).unwrap();
    let found = check(&recordings, &[named(1, sealed), named(2, other)]).unwrap();
    assert_eq!((found.sound, found.changed.len(), found.unsealed.len()), (1, 1, 1));
}

#[test]
fn a_look_at_the_ends_tells_what_reading_it_all_does() {
    let dir = tempfile::tempdir().unwrap();
    let store = kit::store(dir.path());
    let noise = iddio_testkit::Dice::new(3).bytes(300_000);
    kit::session(&store, 1, &[(Channel::Stdout, &noise), (Channel::Exit, b"0")]);
    let path = store::path(&dir.path().join("recordings"), OperationId(1));
    let (all, ends) = (read::contents(&path).unwrap(), read::skim(&path).unwrap());
    assert_eq!((all.bytes, all.tracks.len()), (ends.bytes, ends.tracks.len()));
    let told =
        |track: &read::Track| (track.offset, track.bytes, track.title.clone(), track.end.clone());
    assert_eq!(told(&all.tracks[0]), told(&ends.tracks[0]));
}
