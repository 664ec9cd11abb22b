//! Runs every target over its corpus and over seeded mutations of it.
//!
//! `IDDIO_TORTURE` multiplies the mutations. A failure names the target and the seed; the input
//! goes into the corpus once it is understood.

#![expect(clippy::panic, clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
};

use iddio_fuzz::{mutate, targets};
use iddio_testkit::Dice;

/// How many mutations each target gets.
const MUTATIONS: u64 = 2_000;

fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    let files = fs::read_dir(&dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    let mut inputs: Vec<_> = files
        .map(|file| file.unwrap())
        .map(|file| {
            (file.file_name().to_string_lossy().into_owned(), fs::read(file.path()).unwrap())
        })
        .collect();
    inputs.sort();
    inputs
}

#[test]
fn every_target_stands_its_corpus() {
    for (name, target) in targets() {
        let inputs = corpus(name);
        assert!(1 < inputs.len(), "{name} has no corpus");
        for (file, input) in inputs {
            let stood = catch_unwind(AssertUnwindSafe(|| target(&input)));
            assert!(stood.is_ok(), "{name} fails on {file}");
        }
        target(b"");
    }
}

#[test]
fn every_corpus_has_its_target() {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for entry in fs::read_dir(dir).unwrap() {
        let name = entry.unwrap().file_name().to_string_lossy().into_owned();
        assert!(targets().iter().any(|(target, _)| *target == name), "{name} has no target");
    }
}

#[test]
fn every_target_has_its_wrapper() {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let manifest = fs::read_to_string(dir.join("Cargo.toml")).unwrap();
    for (name, _) in targets() {
        assert!(dir.join(format!("fuzz_targets/{name}.rs")).exists(), "{name} has no wrapper");
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name} is in no manifest");
    }
}

#[test]
fn every_target_stands_mutations_of_its_corpus() {
    let times: u64 =
        std::env::var("IDDIO_TORTURE").ok().and_then(|times| times.parse().ok()).unwrap_or(1);
    let mut failures = Vec::new();
    for (name, target) in targets() {
        let inputs = corpus(name);
        for seed in 0..MUTATIONS * times {
            let dice = Dice::new(seed);
            let (_, input) = dice.pick(&inputs);
            let (_, other) = dice.pick(&inputs);
            let damaged = mutate(input, other, &dice);
            let stood = catch_unwind(AssertUnwindSafe(|| target(&damaged)));
            if stood.is_err() {
                failures.push(format!("{name}, seed {seed}: {}", damaged.escape_ascii()));
                break;
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
