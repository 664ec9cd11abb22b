//! The key that signs checkpoints.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
};

use ed25519_dalek::{Signature, Verifier, VerifyingKey};
use iddio_mint::CheckpointKey;

#[test]
fn a_checkpoint_key_signs_the_same_after_it_is_opened_again() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("checkpoint.key");
    let made = CheckpointKey::create(&path).unwrap();
    let opened = CheckpointKey::open(&path).unwrap();
    assert_eq!(made.public(), opened.public());
    let signature = Signature::from_bytes(&opened.sign(b"log\n5\nroot\n"));
    let public = VerifyingKey::from_bytes(&made.public()).unwrap();
    public.verify(b"log\n5\nroot\n", &signature).unwrap();
    public.verify(b"log\n6\nroot\n", &signature).unwrap_err();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
}

#[test]
fn a_checkpoint_key_is_never_overwritten() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("checkpoint.key");
    let made = CheckpointKey::create(&path).unwrap();
    CheckpointKey::create(&path).unwrap_err();
    assert_eq!(CheckpointKey::open(&path).unwrap().public(), made.public());
}

#[test]
fn a_key_file_that_is_open_to_others_or_a_link_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("checkpoint.key");
    CheckpointKey::create(&path).unwrap();
    for mode in [0o640, 0o604, 0o620, 0o602, 0o610] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let error = CheckpointKey::open(&path).unwrap_err().to_string();
        assert!(error.contains("open to others"), "{error}");
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let link = home.path().join("link");
    symlink(&path, &link).unwrap();
    CheckpointKey::open(&link).unwrap_err();
    CheckpointKey::create(&link).unwrap_err();
    CheckpointKey::open(home.path()).unwrap_err();
}

#[test]
fn a_damaged_key_file_is_refused_and_not_repeated_in_the_error() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("checkpoint.key");
    CheckpointKey::create(&path).unwrap();
    let good = fs::read_to_string(&path).unwrap();
    let secret = good.lines().nth(1).unwrap().to_owned();
    let cases = [
        String::new(),
        good.trim_end().to_owned(),
        format!("{good}\n"),
        good.replacen("v1", "v2", 1),
        good.replacen(&secret, &secret[4..], 1),
        "\0".repeat(100_000),
    ];
    for case in cases {
        fs::write(&path, &case).unwrap();
        let error = CheckpointKey::open(&path).unwrap_err();
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains(&secret[4..]), "{shown}");
    }
}

#[test]
fn a_checkpoint_key_shows_nothing_of_itself() {
    let home = tempfile::tempdir().unwrap();
    let key = CheckpointKey::create(&home.path().join("k")).unwrap();
    assert_eq!(format!("{key:?}"), "CheckpointKey(***)");
}
