//! Logs that somebody changed (N3, L01).

use std::{fs, ops::ControlFlow, path::Path, sync::Arc};

use ed25519_dalek::{Signer, SigningKey};
use iddio_audit::{
    checkpoint::{CheckpointError, Signed, Tree, last_checkpoint, signed_by},
    query::{Filter, query},
    verify::{Standing, verify, verify_against},
};
use iddio_core::{
    audit::{
        AuditSink, Body, Durability,
        checkpoint::{CheckpointSigner, Note},
        tree::{Proof, extends, includes, leaf},
        verify::Verifier,
    },
    digest::Digest,
    operation::Operations,
};

use crate::kit::{allowed, factor, open, operation, options, run, wait};

/// A signer for tests.
struct Key(SigningKey);

impl Key {
    fn new() -> Self {
        Self(SigningKey::from_bytes(&[3; 32]))
    }
}

impl CheckpointSigner for Key {
    fn sign(&self, bytes: &[u8]) -> [u8; 64] {
        self.0.sign(bytes).to_bytes()
    }

    fn public(&self) -> [u8; 32] {
        self.0.verifying_key().to_bytes()
    }
}

/// Opens a log whose first record names the key.
fn open_signed(home: &Path, segment_bytes: u64) -> iddio_audit::Log {
    let mut options = options();
    options.checkpoint_key = Key::new().public();
    options.segment_bytes = segment_bytes;
    iddio_audit::Log::open(&home.join("audit"), options).unwrap()
}

fn segments(dir: &Path) -> Vec<std::path::PathBuf> {
    let names = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let mut names: Vec<_> =
        names.filter(|path| path.extension().is_some_and(|e| e == "jsonl")).collect();
    names.sort();
    names
}

#[test]
fn every_single_bit_mutation_is_found() {
    let home = tempfile::tempdir().unwrap();
    let log = open(home.path());
    (1..=2).for_each(|id| run(&log, id));
    drop(log);
    let sound = fs::read(&segments(&home.path().join("audit"))[0]).unwrap();
    assert!(holds(&sound));
    for place in 0..sound.len() {
        for bit in 0..8 {
            let mut mutated = sound.clone();
            mutated[place] ^= 1 << bit;
            assert!(!holds(&mutated), "bit {bit} of byte {place}");
        }
    }
}

#[test]
fn random_mutations_are_found() {
    let home = tempfile::tempdir().unwrap();
    let log = open(home.path());
    (1..=10).for_each(|id| run(&log, id));
    drop(log);
    let sound = fs::read(&segments(&home.path().join("audit"))[0]).unwrap();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut dice = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    for _ in 0..2_000 * factor() {
        let mut mutated = sound.clone();
        let (from, other) = (dice(mutated.len()), dice(mutated.len()));
        let to = (from + 1 + dice(40)).min(mutated.len());
        match dice(4) {
            0 => mutated[from] = mutated[from].wrapping_add(1 + dice(255) as u8),
            1 => drop(mutated.drain(from..to)),
            2 => drop(mutated.splice(other..other, sound[from..to].to_vec())),
            _ => mutated.swap(from, other),
        }
        // A whole number of records cut off the end is for a checkpoint to tell.
        assert!(mutated == sound || sound.starts_with(&mutated) || !holds(&mutated));
    }
}

/// Whether the lines are a chain, with nothing after the last of them.
/// Lines lie across the blocks that are read at once, and one is longer than a block.
#[test]
fn lines_across_blocks_are_verified_alike_on_any_number_of_threads() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("audit");
    let log = open(home.path());
    run(&log, 1);
    let mut long = allowed(2);
    if let Body::Decided(record) = &mut long.body {
        let word = vec![b'x'; 600_000];
        let record = Arc::make_mut(record);
        record.subject.operations = Operations::one(operation(&[b"terraform", &word]));
    }
    let _ = wait(log.append(&long, Durability::Write)).unwrap();
    for id in 3..500 {
        let _ = wait(log.append(&allowed(id), Durability::Write)).unwrap();
    }
    log.finish().unwrap();
    let path = segments(&dir).remove(0);
    let whole = fs::read(&path).unwrap();
    assert!(900_000 < whole.len(), "{}", whole.len());
    let on = |threads| verify(&dir, threads).unwrap();
    let told = on(1);
    assert_eq!((told.story.records, told.unfinished, told.bad.clone()), (501, 0, None));
    assert_eq!([on(2), on(3), on(8)], [told.clone(), told.clone(), told]);
    // Cut anywhere, and with a bit changed anywhere but in the last newline, all of them say the same.
    for place in (1..whole.len() - 1).step_by(whole.len() / 23) {
        fs::write(&path, whole.get(..place).unwrap()).unwrap();
        let cut = on(1);
        let lines = whole.iter().take(place).filter(|byte| **byte == b'\n').count();
        let tail = whole.iter().take(place).rev().take_while(|byte| **byte != b'\n').count();
        assert_eq!((cut.story.records, cut.unfinished), (lines as u64, tail as u64), "{place}");
        assert_eq!([on(2), on(5)], [cut.clone(), cut]);
        let mut changed = whole.clone();
        changed[place] ^= 1;
        fs::write(&path, &changed).unwrap();
        let bad = on(1).bad.unwrap();
        let before = whole.iter().take(place).rposition(|byte| *byte == b'\n');
        assert_eq!((bad.offset, bad.seq), (before.map_or(0, |b| b as u64 + 1), lines as u64));
        assert_eq!([on(2).bad, on(5).bad], [Some(bad.clone()), Some(bad)]);
    }
}

fn holds(bytes: &[u8]) -> bool {
    let mut verifier = Verifier::new();
    let Some(lines) = bytes.strip_suffix(b"\n") else { return false };
    lines.split(|byte| *byte == b'\n').all(|line| verifier.feed(line).is_ok())
}

#[test]
fn a_deleted_doubled_or_moved_record_is_found_and_named() {
    let home = tempfile::tempdir().unwrap();
    let log = open(home.path());
    (1..=10).for_each(|id| run(&log, id));
    drop(log);
    let dir = home.path().join("audit");
    let segment = &segments(&dir)[0];
    let sound = fs::read_to_string(segment).unwrap();
    let lines: Vec<&str> = sound.split_inclusive('\n').collect();
    for place in 0..lines.len() - 1 {
        let mut deleted = lines.clone();
        deleted.remove(place);
        let mut doubled = lines.clone();
        doubled.insert(place, lines[place]);
        let mut moved = lines.clone();
        moved.swap(place, place + 1);
        for (mutated, seq) in [(deleted, place), (doubled, place + 1), (moved, place)] {
            fs::write(segment, mutated.concat()).unwrap();
            let bad = verify(&dir, 2).unwrap().bad.unwrap();
            assert_eq!(bad.seq, seq as u64);
        }
    }
}

#[test]
fn a_checkpoint_tells_a_cut_rewritten_or_replaced_log() {
    let home = tempfile::tempdir().unwrap();
    let (dir, key) = (home.path().join("audit"), Key::new());
    let log = open_signed(home.path(), 4 << 10);
    (1..=20).for_each(|id| run(&log, id));
    let text = log.checkpoint(&key).unwrap();
    (21..=30).for_each(|id| run(&log, id));
    drop(log);
    let note = Note::read(&text).unwrap();
    assert_eq!(note.checkpoint.size, 41);
    assert_eq!(signed_by(&note, &key.public()), Signed::By);
    assert_eq!(signed_by(&note, &[7; 32]), Signed::Not);
    assert_eq!(last_checkpoint(&dir).unwrap(), Some(text));
    let standing =
        |dir: &Path, key| verify_against(dir, 2, &note, key).unwrap().checkpoint.unwrap();
    assert_eq!(standing(&dir, None), Standing::Holds);
    assert_eq!(standing(&dir, Some(key.public())), Standing::Holds);
    assert_eq!(standing(&dir, Some([7; 32])), Standing::Unsigned);

    // The last files are gone: the chain that is left holds, and the checkpoint knows better.
    let files = segments(&dir);
    assert!(4 < files.len());
    let kept: Vec<_> = files.iter().map(|path| (path, fs::read(path).unwrap())).collect();
    files.iter().skip(2).for_each(|path| fs::remove_file(path).unwrap());
    assert_eq!(verify(&dir, 1).unwrap().bad, None);
    assert_eq!(standing(&dir, None), Standing::Cut);
    kept.iter().for_each(|(path, bytes)| fs::write(path, bytes).unwrap());

    // A file in the middle is gone.
    fs::remove_file(&files[1]).unwrap();
    assert!(verify(&dir, 1).unwrap().bad.is_some());
    assert_eq!(standing(&dir, None), Standing::Broken);
    fs::write(&files[1], &kept[1].1).unwrap();

    // Another log, of the same home and key, in its place.
    let other = tempfile::tempdir().unwrap();
    let log = open_signed(other.path(), 4 << 10);
    (1..=30).for_each(|id| run(&log, id));
    drop(log);
    let elsewhere = other.path().join("audit");
    assert_eq!(verify(&elsewhere, 1).unwrap().bad, None);
    assert_eq!(standing(&elsewhere, None), Standing::OtherLog);
}

#[test]
fn a_chain_rewritten_from_its_first_record_on_is_not_the_one_that_was_signed() {
    let home = tempfile::tempdir().unwrap();
    let (dir, key) = (home.path().join("audit"), Key::new());
    let log = open_signed(home.path(), 1 << 20);
    (1..=3).for_each(|id| run(&log, id));
    let text = log.checkpoint(&key).unwrap();
    drop(log);
    // Every hash is made anew over a record that names another agent: the chain holds again.
    let segment = &segments(&dir)[0];
    let rewritten = rewrite(&fs::read_to_string(segment).unwrap());
    fs::write(segment, rewritten).unwrap();
    let note = Note::read(&text).unwrap();
    let report = verify_against(&dir, 1, &note, None).unwrap();
    assert_eq!(report.bad, None);
    assert_eq!(report.checkpoint, Some(Standing::Rewritten));
    // Nor does the log sign for it: the tree is grown anew and lacks the old root.
    fs::remove_file(dir.join("tree/position")).unwrap();
    (0..4).for_each(|level| {
        fs::write(dir.join(format!("tree/level-{:02}", level * 8)), b"").unwrap();
    });
    fs::remove_file(dir.join("write.lock")).unwrap();
    let log = open_signed(home.path(), 1 << 20);
    run(&log, 4);
    assert_eq!(log.checkpoint(&key), Err(CheckpointError::Rewritten(7)));
}

fn rewrite(lines: &str) -> String {
    let mut prev = "genesis".to_owned();
    let mut out = String::new();
    for line in lines.lines() {
        let line = line.replace("claude-code", "honest-bob-");
        let member = |name: &str| {
            let from = line.find(&format!("\"{name}\":\"")).unwrap() + name.len() + 4;
            (from, from + line[from..].find('"').unwrap())
        };
        let (from, to) = member("prev_hash");
        let line = format!("{}{prev}{}", &line[..from], &line[to..]);
        let (from, to) = {
            let from = line.find(",\"hash\":\"").unwrap() + 9;
            (from, from + 64)
        };
        let unhashed = format!("{}{}", &line[..from - 9], &line[to + 1..]);
        prev = Digest::of_bytes(unhashed.as_bytes()).to_hex();
        out += &format!("{}{prev}{}\n", &line[..from], &line[to..]);
    }
    out
}

#[test]
fn every_record_is_proved_and_every_checkpoint_extends_the_one_before() {
    let home = tempfile::tempdir().unwrap();
    let (dir, key) = (home.path().join("audit"), Key::new());
    let log = open_signed(home.path(), 4 << 10);
    let mut notes = Vec::new();
    for round in 0..6 {
        (1..=60).for_each(|id| run(&log, round * 100 + id));
        notes.push(Note::read(&log.checkpoint(&key).unwrap()).unwrap().checkpoint);
    }
    drop(log);
    let mut tree = Tree::open(&dir).unwrap();
    let last = notes.last().unwrap();
    assert_eq!((tree.size(), tree.root().unwrap()), (last.size, last.root));
    let mut proved = 0;
    query(&dir, &Filter::default(), |record| {
        let hash = Digest::from_hex(record.text("hash").unwrap()).unwrap();
        let proof = tree.prove(record.int("seq").unwrap(), hash).unwrap();
        let holds = includes(leaf(&hash), proof.seq, proof.size, &proof.path, &last.root);
        assert_eq!(holds, Proof::Holds);
        proved += 1;
        ControlFlow::Continue(())
    })
    .unwrap();
    assert_eq!(proved, last.size);
    assert!(tree.prove(last.size, Digest::of_bytes(b"")).is_err());
    for pair in notes.windows(2) {
        let path = tree.consistency(pair[0].size, pair[1].size).unwrap();
        let holds = extends(pair[0].size, &pair[0].root, pair[1].size, &pair[1].root, &path);
        assert_eq!(holds, Proof::Holds);
    }
}
