//! Trees that travel, and archives that lie.

use std::os::unix::{fs::PermissionsExt, net::UnixListener};

use super::*;

fn packed(directory: &Path) -> (Vec<u8>, Packed) {
    let mut archive = Vec::new();
    let packed = pack(File::open(directory).unwrap().as_fd(), &mut archive).unwrap();
    (archive, packed)
}

fn entry(kind: u8, path: &str, rest: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    put_name(&mut out, kind, Path::new(path)).unwrap();
    out.extend_from_slice(rest);
    out
}

fn file(path: &str, content: &[u8]) -> Vec<u8> {
    let mut out = entry(FILE, path, &[0]);
    put_content(&mut out, content).unwrap();
    out
}

fn link(path: &str, target: &str) -> Vec<u8> {
    let mut out = entry(LINK, path, &[]);
    put_bytes(&mut out, target.as_bytes()).unwrap();
    out
}

#[test]
fn a_tree_arrives_as_it_is_and_what_changed_comes_back() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fs::create_dir_all(from.path().join("a/b")).unwrap();
    fs::create_dir_all(from.path().join(".git")).unwrap();
    fs::write(from.path().join("a/b/run"), "#!/bin/sh\n").unwrap();
    fs::set_permissions(from.path().join("a/b/run"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(from.path().join("kept"), "kept").unwrap();
    fs::write(from.path().join("both"), "one").unwrap();
    symlink("b/run", from.path().join("a/link")).unwrap();
    let (archive, stamps) = packed(from.path());
    let laid = lay(&archive[..], to.path()).unwrap();
    assert!(!to.path().join(".git").exists());
    assert_eq!(fs::read(to.path().join("a/link")).unwrap(), b"#!/bin/sh\n");
    let mode = fs::metadata(to.path().join("a/b/run")).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o700);
    fs::write(to.path().join("both"), "two").unwrap();
    fs::create_dir(to.path().join("new")).unwrap();
    fs::write(to.path().join("new/made"), "secret made").unwrap();
    symlink("/etc/passwd", to.path().join("out")).unwrap();
    let clean = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap().replace("secret", "***").into();
    let mut changes = Vec::new();
    changed(to.path(), &laid, clean, &mut changes).unwrap();
    fs::write(from.path().join("both"), "three").unwrap();
    let top = File::open(from.path()).unwrap();
    let back = take_back(&changes[..], top.as_fd(), &stamps).unwrap();
    assert_eq!(back.written, [PathBuf::from("new/made")]);
    assert_eq!(back.conflicts, [PathBuf::from("both")]);
    assert_eq!(fs::read(from.path().join("new/made")).unwrap(), b"*** made");
    assert_eq!(fs::read(from.path().join("both")).unwrap(), b"three");
    assert!(!from.path().join("out").exists());
}

#[test]
fn what_is_no_file_directory_or_link_does_not_travel() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let _socket = UnixListener::bind(from.path().join("socket")).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        from.path().join("fifo"),
        FileType::Fifo,
        Mode::from_raw_mode(0o600),
        0,
    )
    .unwrap();
    fs::write(from.path().join("own"), "x").unwrap();
    let setuid = fs::Permissions::from_mode(0o6755);
    fs::set_permissions(from.path().join("own"), setuid).unwrap();
    let (archive, stamps) = packed(from.path());
    assert_eq!(stamps.left, 2);
    lay(&archive[..], to.path()).unwrap();
    let mode = fs::metadata(to.path().join("own")).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o700, "no bit but that it runs");
    assert_eq!(fs::read_dir(to.path()).unwrap().count(), 1);
}

#[test]
fn a_link_leads_inside_or_is_left_out() {
    for (path, target, inside) in [
        ("l", "a", Inside::Yes),
        ("a/l", "../b", Inside::Yes),
        ("a/l", "..", Inside::Yes),
        ("l", "./a/b", Inside::Yes),
        ("l", "..", Inside::No),
        ("a/l", "../..", Inside::No),
        ("l", "/etc/passwd", Inside::No),
        // Through a link that leads up this would be outside, though it does not look so.
        ("l", "a/../b", Inside::No),
        ("l", "a/b/../../..", Inside::No),
    ] {
        assert_eq!(stays_inside(Path::new(path), Path::new(target)), inside, "{path} {target}");
    }
}

#[test]
fn an_archive_that_leads_elsewhere_is_none() {
    for lie in [
        file("../x", b"x"),
        file("/etc/x", b"x"),
        file("a/x", b"x"),
        file("./x", b"x"),
        file("a//x", b"x"),
        [file("x", b"x"), file("x", b"y")].concat(),
        [link("d", "."), file("d/x", b"x")].concat(),
        entry(7, "x", &[]),
        entry(FILE, "x", &[2]),
        vec![FILE, 0, 0],
        [entry(FILE, "x", &[0]), u32::MAX.to_be_bytes().to_vec()].concat(),
    ] {
        let to = tempfile::tempdir().unwrap();
        let root = to.path().join("root");
        fs::create_dir(&root).unwrap();
        let archive = [lie.clone(), vec![END]].concat();
        assert!(lay(&archive[..], &root).is_err(), "{lie:?}");
        assert_eq!(fs::read_dir(to.path()).unwrap().count(), 1, "{lie:?}");
        let (top, none) = (File::open(&root).unwrap(), Packed::default());
        let back = take_back(&archive[..], top.as_fd(), &none);
        assert!(back.is_err() || fs::read_dir(to.path()).unwrap().count() == 1);
    }
}

#[test]
fn an_archive_cut_short_is_none() {
    let from = tempfile::tempdir().unwrap();
    fs::write(from.path().join("x"), "content").unwrap();
    let (archive, _) = packed(from.path());
    for end in 0..archive.len() {
        let to = tempfile::tempdir().unwrap();
        assert!(lay(&archive[..end], to.path()).is_err());
    }
}

#[test]
fn what_comes_back_goes_through_no_link() {
    let (top, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    symlink(outside.path(), top.path().join("d")).unwrap();
    symlink(outside.path().join("f"), top.path().join("f")).unwrap();
    let directory = File::open(top.path()).unwrap();
    for name in ["d/x", "f"] {
        let archive = [file(name, b"x"), vec![END]].concat();
        let back = take_back(&archive[..], directory.as_fd(), &Packed::default());
        assert!(back.is_err() || !back.unwrap().conflicts.is_empty(), "{name}");
    }
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
}

#[test]
fn a_tree_that_is_too_large_is_one_word_and_no_copy() {
    let from = tempfile::tempdir().unwrap();
    fs::write(from.path().join("small"), "x").unwrap();
    File::create(from.path().join("large")).unwrap().set_len(BYTES_MAX + 1).unwrap();
    let (archive, _) = packed(from.path());
    assert_eq!(archive, [LARGE]);
    let to = tempfile::tempdir().unwrap();
    assert!(matches!(lay(&archive[..], to.path()), Err(TreeError::Large)));
}
