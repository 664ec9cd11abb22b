//! The system calls that a keeper makes are ones that its unit allows. Under systemd itself (`booted`) a call
//! that is refused may be one that is seldom made, so the lists are compared as well.

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use iddio_core::audit::{AuditSink, Durability};
use iddio_tests::{
    keepers::{Keepers, until},
    real, repository,
};

use crate::keepers::{SSH_KEY, decided, entries, ssh};

/// Returns the calls of a group, as systemd names it, and of those within.
fn group(name: &str, into: &mut BTreeSet<String>) {
    let mut command = Command::new("systemd-analyze");
    let said = command.args(["syscall-filter", "--no-pager", name]).output().unwrap();
    let text = String::from_utf8(said.stdout).unwrap();
    for word in text.lines().skip(1).map(str::trim) {
        match word.strip_prefix('@') {
            Some(_) => group(word, into),
            None if word.is_empty() || word.starts_with('#') => {}
            None => {
                into.insert(word.to_owned());
            }
        }
    }
}

/// Returns the calls that a unit allows.
fn allowed(unit: &str) -> BTreeSet<String> {
    let text = fs::read_to_string(repository().join("dist/systemd").join(unit)).unwrap();
    let mut calls = BTreeSet::new();
    for line in text.lines().filter_map(|line| line.strip_prefix("SystemCallFilter=")) {
        let (taken, words) = match line.strip_prefix('~') {
            Some(words) => (true, words),
            None => (false, line),
        };
        let mut named = BTreeSet::new();
        for word in words.split(' ') {
            match word.starts_with('@') {
                true => group(word, &mut named),
                false => {
                    named.insert(word.to_owned());
                }
            }
        }
        match taken {
            true => calls.retain(|call| !named.contains(call)),
            false => calls.extend(named),
        }
    }
    calls
}

/// Returns the calls in a trace.
fn made(trace: &Path) -> BTreeSet<String> {
    let text = fs::read_to_string(trace).unwrap();
    let call = |line: &str| {
        let words = line.trim_start_matches(|c: char| c.is_ascii_digit() || c == ' ');
        let (name, _) = words.split_once('(')?;
        let name = name.trim_start_matches("<... ");
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        (!name.is_empty() && name.chars().all(plain)).then(|| name.to_owned())
    };
    text.lines().filter_map(call).collect()
}

#[test]
fn every_call_that_a_keeper_makes_is_one_that_its_unit_allows() {
    real("systemd-analyze", "apt-get install systemd").unwrap();
    let mut host = Keepers::new("", "");
    let traces = host.start_traced();
    let entry = decided(1, ssh("shell", "a@b", &[]), None);
    let seq = entries::wait(host.log().append(&entry, Durability::Sync)).unwrap().seq();
    let action = iddio_core::digest::Digest::of_bytes(b"action");
    let record = iddio_mint::signer::wire::Warranted { seq, action };
    host.signer().unwrap().ssh(record, SSH_KEY).unwrap();
    let end = entries::closed_as(&entry, 1, seq);
    let _ = entries::wait(host.log().append(&end, Durability::Sync)).unwrap();
    until(|| host.log().prove(seq).is_ok(), || host.errors());
    host.kill_log();
    host.kill_signer();
    for (unit, trace, least) in [
        ("iddio-logd.service", &traces[0], "fdatasync"),
        ("iddio-signer.service", &traces[1], "landlock_restrict_self"),
    ] {
        let (made, allowed) = (made(trace), allowed(unit));
        assert!(made.contains(least) && 20 < made.len(), "{made:?}");
        let missing: Vec<&String> = made.difference(&allowed).collect();
        assert!(missing.is_empty(), "{unit} does not allow {missing:?}");
    }
}
