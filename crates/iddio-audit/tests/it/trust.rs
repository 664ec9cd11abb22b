//! Files that are not the log's own, and locks that others hold (E09, E23).

use std::{
    fs::{self, File, Permissions},
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
    time::Duration,
};

use iddio_audit::{Log, query, verify::verify};
use rustix::fs::{FlockOperation, flock};

use crate::kit::{allowed, append, open, options, run};

fn made(home: &Path) -> std::path::PathBuf {
    run(&open(home), 1);
    home.join("audit")
}

#[test]
fn links_and_files_that_others_may_read_are_refused() {
    type Spoil = fn(&Path);
    let replace_by_link: Spoil = |file| {
        let moved = file.with_extension("moved");
        fs::rename(file, &moved).unwrap();
        symlink(&moved, file).unwrap();
    };
    let link: Spoil = |file| fs::hard_link(file, file.with_extension("other")).unwrap();
    let share: Spoil = |file| fs::set_permissions(file, Permissions::from_mode(0o640)).unwrap();
    for name in ["0000000001.jsonl", "write.lock", "sync.lock"] {
        for (how, spoil) in [("symlink", replace_by_link), ("hard link", link), ("mode", share)] {
            let home = tempfile::tempdir().unwrap();
            spoil(&made(home.path()).join(name));
            let log = Log::open(&home.path().join("audit"), options());
            let refused = log.map_or(true, |log| append(&log, &allowed(2)).is_err());
            assert!(refused, "{name} {how}");
        }
    }
    let home = tempfile::tempdir().unwrap();
    let dir = made(home.path());
    fs::set_permissions(&dir, Permissions::from_mode(0o755)).unwrap();
    assert!(Log::open(&dir, options()).is_err());
}

#[test]
fn a_log_of_another_user_is_refused() {
    // Only root can give a file away; another user cannot even enter the directory.
    if !rustix::process::geteuid().is_root() {
        assert!(Log::open(Path::new("/root/audit"), options()).is_err());
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let dir = made(home.path());
    let nobody = rustix::process::Uid::from_raw(65_534);
    rustix::fs::chown(dir.join("0000000001.jsonl"), Some(nobody), None).unwrap();
    let log = open(home.path());
    assert!(append(&log, &allowed(2)).is_err());
    // Reading a copy of somebody else's log is what auditors do.
    assert_eq!(verify(&dir, 1).unwrap().bad, None);
}

#[test]
fn a_lock_that_somebody_keeps_is_waited_for_so_long_and_no_longer() {
    for name in ["write.lock", "sync.lock"] {
        let home = tempfile::tempdir().unwrap();
        let dir = made(home.path());
        let hog = File::open(dir.join(name)).unwrap();
        flock(&hog, FlockOperation::LockExclusive).unwrap();
        let mut options = options();
        options.lock_wait = Duration::from_millis(20);
        let log = Log::open(&dir, options).unwrap();
        let error = append(&log, &allowed(2)).unwrap_err().to_string();
        assert!(error.contains(name), "{error}");
        drop(hog);
        run(&log, 3);
    }
}

#[test]
fn a_lock_that_was_replaced_guards_nothing_and_is_noticed() {
    for name in ["write.lock", "sync.lock"] {
        let home = tempfile::tempdir().unwrap();
        let log = open(home.path());
        run(&log, 1);
        let lock = home.path().join("audit").join(name);
        fs::remove_file(&lock).unwrap();
        File::create(&lock).unwrap();
        let error = append(&log, &allowed(2)).unwrap_err().to_string();
        assert!(error.contains("replaced"), "{error}");
    }
}

#[test]
fn readers_take_no_lock() {
    let home = tempfile::tempdir().unwrap();
    let dir = made(home.path());
    for name in ["write.lock", "sync.lock"] {
        let hog = File::open(dir.join(name)).unwrap();
        flock(&hog, FlockOperation::LockExclusive).unwrap();
        assert_eq!(verify(&dir, 1).unwrap().story.records, 3);
        assert_eq!(query::show(&dir, "000000000000").unwrap().len(), 2);
        assert!(iddio_audit::status(&dir, None).is_ok());
    }
}
