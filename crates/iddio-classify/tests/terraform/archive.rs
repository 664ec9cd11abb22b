//! Archives that two readers could read differently.

use std::io::Write as _;

use iddio_classify::terraform::{
    ArchiveError,
    plan::{self, PlanError},
};

use crate::kit::{edit, rezip, unzip, vector};

fn error(bytes: &[u8]) -> PlanError {
    plan::read(bytes).expect_err("it is refused")
}

#[test]
fn what_stands_before_after_or_between_entries_is_refused() {
    let plan = vector("create.tfplan");
    let with_prefix = [b"#!/bin/sh\n".as_slice(), &plan].concat();
    let with_suffix = [&plan, b"\0".as_slice()].concat();
    let twice = [plan.as_slice(), &plan].concat();
    for bytes in [with_prefix, with_suffix, twice] {
        let error = error(&bytes);
        assert!(matches!(error, PlanError::Archive(_)), "{error}");
    }
}

#[test]
fn every_cut_is_refused() {
    let plan = vector("create.tfplan");
    for length in 0..plan.len() {
        assert!(plan::read(&plan[..length]).is_err(), "{length} bytes");
    }
}

#[test]
fn two_entries_of_one_name_are_refused() {
    // The writer does not make them, so two of equal length are made one.
    let mut entries = unzip(&vector("create.tfplan"));
    entries.push(("tfplax".to_owned(), b"other".to_vec()));
    let bytes = rezip(&entries);
    let bytes = replace_all(&bytes, b"tfplax", b"tfplan");
    assert_eq!(error(&bytes), ArchiveError::Ambiguous("two entries of one name").into());
}

#[test]
fn names_that_no_plan_has_are_refused() {
    for name in ["../tfplan", "/etc/passwd", "tfconfig/../x", "a//b", "tfplan2", "a\\b", "d/"] {
        let mut entries = unzip(&vector("create.tfplan"));
        entries.push(("N".repeat(name.len()), Vec::new()));
        let bytes = rezip(&entries);
        let bytes = replace_all(&bytes, "N".repeat(name.len()).as_bytes(), name.as_bytes());
        let error = error(&bytes);
        assert!(matches!(error, PlanError::Archive(ArchiveError::Name(_))), "{name}: {error}");
    }
}

#[test]
fn local_and_central_headers_must_agree() {
    let plan = rezip(&unzip(&vector("create.tfplan")));
    let local = plan.windows(4).position(|window| window == b"PK\x03\x04").unwrap();
    let central = plan.windows(4).position(|window| window == b"PK\x01\x02").unwrap();
    // Flags, method, time, date, checksum, sizes, lengths, name.
    for offset in 6..36 {
        let mut changed = plan.clone();
        changed[local + offset] ^= 1;
        assert!(plan::read(&changed).is_err(), "local header, byte {offset}");
        // Where the central header has a comment, a disk and attributes, the local one has a name.
        let in_central = if offset < 30 { offset + 2 } else { offset + 16 };
        let mut changed = plan.clone();
        changed[central + in_central] ^= 1;
        assert!(plan::read(&changed).is_err(), "central header, byte {offset}");
    }
}

#[test]
fn an_encrypted_entry_and_an_unknown_compression_are_refused() {
    let plan = rezip(&unzip(&vector("create.tfplan")));
    let local = plan.windows(4).position(|window| window == b"PK\x03\x04").unwrap();
    let central = plan.windows(4).position(|window| window == b"PK\x01\x02").unwrap();
    for (offset, value) in [(6, 1), (8, 14), (8, 93), (8, 99)] {
        let mut changed = plan.clone();
        changed[local + offset] = value;
        changed[central + offset + 2] = value;
        let error = error(&changed);
        assert!(matches!(error, PlanError::Archive(ArchiveError::Ambiguous(_))), "{error}");
    }
}

#[test]
fn extra_fields_in_which_other_sizes_or_names_hide_are_refused() {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, content) in unzip(&vector("create.tfplan")) {
        let options = zip::write::SimpleFileOptions::default().large_file(true);
        writer.start_file(name, options).unwrap();
        writer.write_all(&content).unwrap();
    }
    let bytes = writer.finish().unwrap().into_inner();
    assert_eq!(error(&bytes), ArchiveError::Ambiguous("an extra field").into());
}

#[test]
fn a_descriptor_that_differs_from_the_directory_is_refused() {
    // Terraform writes a descriptor behind each entry.
    let plan = vector("create.tfplan");
    let descriptor = plan.windows(4).position(|window| window == b"PK\x07\x08").unwrap();
    for offset in 0..16 {
        let mut changed = plan.clone();
        changed[descriptor + offset] ^= 1;
        let expected = ArchiveError::Ambiguous("an entry and the directory differ");
        assert_eq!(error(&changed), expected.into(), "byte {offset}");
    }
}

#[test]
fn a_gap_before_the_directory_and_a_promised_comment_are_refused() {
    let plan = vector("create.tfplan");
    let directory = plan.windows(4).position(|window| window == b"PK\x01\x02").unwrap();
    let mut gap = [&plan[..directory], b"gap", &plan[directory..]].concat();
    let end = gap.len() - 22;
    let offset = u32::try_from(directory + 3).unwrap().to_le_bytes();
    gap[end + 16..end + 20].copy_from_slice(&offset);
    assert_eq!(error(&gap), ArchiveError::Ambiguous("bytes that belong to no entry").into());
    let mut comment = plan.clone();
    *comment.last_mut().unwrap() = 1;
    assert_eq!(error(&comment), ArchiveError::Ambiguous("its end record").into());
}

#[test]
fn a_bomb_is_refused_before_it_goes_off() {
    let mut entries = unzip(&vector("create.tfplan"));
    entries.push(("tfconfig/m-/bomb.tf".to_owned(), vec![b' '; 129 << 20]));
    let bytes = rezip(&entries);
    assert!(bytes.len() < 1 << 20);
    assert_eq!(error(&bytes), ArchiveError::TooLarge.into());
}

#[test]
fn an_entry_that_is_longer_than_it_says_is_refused() {
    let mut entries = unzip(&vector("create.tfplan"));
    entries.push(("tfconfig/m-/long.tf".to_owned(), vec![b' '; 5000]));
    let bytes = rezip(&entries);
    for said in [4999_u32, 10, 0] {
        let lied = replace_all(&bytes, &5000_u32.to_le_bytes(), &said.to_le_bytes());
        assert_ne!(lied, bytes);
        let error = error(&lied);
        assert!(matches!(error, PlanError::Archive(ArchiveError::Damaged(_))), "{error}");
    }
}

#[test]
fn too_many_entries_are_refused() {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for index in 0..9000 {
        let options = zip::write::SimpleFileOptions::default();
        writer.start_file(format!("tfconfig/m-/{index}.tf"), options).unwrap();
        writer.write_all(b"").unwrap();
    }
    let bytes = writer.finish().unwrap().into_inner();
    assert_eq!(error(&bytes), ArchiveError::TooLarge.into());
}

#[test]
fn the_embedded_state_and_manifest_are_read_strictly() {
    let plan = vector("create.tfplan");
    let state = |text: &'static str| edit(&plan, "tfstate", |_| text.as_bytes().to_vec());
    let table = [
        "",
        "[]",
        r#"{"version":3,"resources":[]}"#,
        r#"{"version":4,"resources":[],"resources":[]}"#,
        r#"{"version":4,"resources":[],"Resources":[]}"#,
        r#"{"version":4,"resources":[{}]}"#,
        r#"{"version":4,"resources":[]} {}"#,
    ];
    for text in table {
        assert_eq!(error(&state(text)), PlanError::State, "{text}");
    }
    let manifest =
        |text: &'static str| edit(&plan, "tfconfig/modules.json", |_| text.as_bytes().to_vec());
    let table = [
        "",
        "{}",
        r#"[{"Key":"","Dir":".","dir":"/etc"}]"#,
        r#"[{"Key":"","Dir":"."},{"Key":"","Dir":"x"}]"#,
        r#"[{"Key":""}]"#,
    ];
    for text in table {
        assert_eq!(error(&manifest(text)), PlanError::Manifest, "{text}");
    }
}

#[test]
fn a_bookmark_of_a_remote_plan_is_refused() {
    let bookmark = br#"{"remote_plan_format":1,"run_id":"run-1","hostname":"app.terraform.io"}"#;
    assert_eq!(error(bookmark), PlanError::Bookmark);
}

fn replace_all(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut changed = bytes.to_vec();
    let mut at = 0;
    while let Some(found) = changed[at..].windows(from.len()).position(|window| window == from) {
        changed[at + found..at + found + to.len()].copy_from_slice(to);
        at += found + to.len();
    }
    changed
}
