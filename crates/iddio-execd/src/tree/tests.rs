//! Trees that travel, and archives that lie.

use std::os::unix::{fs::PermissionsExt, net::UnixListener};

use super::*;

/// What leaves as it is.
fn as_it_is() -> Cleaning<'static> {
    Box::new(|part| part.unwrap_or_default().to_vec())
}

/// Everything that is different below `root`, packed.
fn changes(root: &Path, laid: &Laid) -> Vec<u8> {
    let mut out = Vec::new();
    give(root, &look(root, laid).unwrap(), as_it_is, &mut out).unwrap();
    out
}

fn packed(directory: &Path) -> (Vec<u8>, Packed) {
    let mut archive = Vec::new();
    let packed =
        pack(File::open(directory).unwrap().as_fd(), &Ignored::default(), &mut archive).unwrap();
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
    let found = look(to.path(), &laid).unwrap();
    assert_eq!(found.other, [PathBuf::from("out")], "a link does not travel and is told");
    let clean = || -> Cleaning<'_> {
        let mut held = Vec::new();
        Box::new(move |part| match part {
            Some(part) => {
                held.extend_from_slice(part);
                Vec::new()
            }
            None => String::from_utf8(std::mem::take(&mut held))
                .unwrap()
                .replace("secret", "***")
                .into(),
        })
    };
    let mut changes = Vec::new();
    give(to.path(), &found, clean, &mut changes).unwrap();
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
fn a_tree_that_is_too_large_is_refused_by_both_sides() {
    let from = tempfile::tempdir().unwrap();
    fs::write(from.path().join("small"), "x").unwrap();
    File::create(from.path().join("large")).unwrap().set_len(BYTES_MAX + 1).unwrap();
    let (archive, _) = packed(from.path());
    assert_eq!(archive.last(), Some(&LARGE), "the end of it, wherever it was");
    let to = tempfile::tempdir().unwrap();
    assert!(matches!(lay(&archive[..], to.path()), Err(TreeError::Large)));
}

#[test]
fn what_was_removed_is_removed_unless_it_changed_and_with_it_what_became_empty() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fs::create_dir_all(from.path().join("d/e")).unwrap();
    fs::create_dir_all(from.path().join("kept")).unwrap();
    for name in ["d/e/one", "changed", "gone", "kept/own"] {
        fs::write(from.path().join(name), name).unwrap();
    }
    let (archive, stamps) = packed(from.path());
    let laid = lay(&archive[..], to.path()).unwrap();
    fs::remove_dir_all(to.path().join("d")).unwrap();
    fs::remove_dir_all(to.path().join("kept")).unwrap();
    for name in ["changed", "gone"] {
        fs::remove_file(to.path().join(name)).unwrap();
    }
    let changes = changes(to.path(), &laid);
    fs::write(from.path().join("changed"), "by somebody").unwrap();
    fs::remove_file(from.path().join("gone")).unwrap();
    fs::write(from.path().join("kept/new"), "by somebody").unwrap();
    let top = File::open(from.path()).unwrap();
    let back = take_back(&changes[..], top.as_fd(), &stamps).unwrap();
    assert_eq!(back.removed, [PathBuf::from("d/e/one"), PathBuf::from("kept/own")]);
    assert_eq!(back.conflicts, [PathBuf::from("changed")]);
    assert!(!from.path().join("d").exists() && from.path().join("kept/new").exists());
}

#[test]
fn a_file_that_may_be_executed_now_has_changed() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fs::write(from.path().join("run"), "#!/bin/sh\n").unwrap();
    let (archive, stamps) = packed(from.path());
    let laid = lay(&archive[..], to.path()).unwrap();
    assert_eq!(look(to.path(), &laid).unwrap(), Changes::default());
    fs::set_permissions(to.path().join("run"), fs::Permissions::from_mode(0o6700)).unwrap();
    let changes = changes(to.path(), &laid);
    let top = File::open(from.path()).unwrap();
    take_back(&changes[..], top.as_fd(), &stamps).unwrap();
    let mode = fs::metadata(from.path().join("run")).unwrap().permissions().mode();
    assert_eq!(mode & 0o7111 & !0o011, 0o100, "and no other bit came along");
}

#[test]
fn nothing_is_removed_through_a_link_or_that_never_travelled() {
    let (top, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fs::write(outside.path().join("x"), "x").unwrap();
    fs::create_dir(outside.path().join("empty")).unwrap();
    fs::write(top.path().join("own"), "x").unwrap();
    symlink(outside.path(), top.path().join("d")).unwrap();
    let directory = File::open(top.path()).unwrap();
    for lie in [
        entry(GONE, "d/x", &[]),
        entry(GONE, "own", &[]),
        entry(GONE, "d", &[]),
        entry(CLOSED, "d/empty", &[]),
        entry(CLOSED, "d", &[]),
        entry(GONE, "../x", &[]),
    ] {
        let archive = [lie, vec![END]].concat();
        let back = take_back(&archive[..], directory.as_fd(), &Packed::default());
        assert!(back.is_err() || back.unwrap().removed.is_empty());
    }
    assert!(outside.path().join("x").exists() && outside.path().join("empty").exists());
    assert!(top.path().join("own").exists() && top.path().join("d").exists());
}

#[test]
fn what_is_ignored_stays_at_home_and_what_is_there_in_its_place_is_left_alone() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for name in ["node_modules/a", "web/node_modules/b", "data/raw/c", "data/kept", "x.log", "main"]
    {
        let path = from.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, name).unwrap();
    }
    let text = "# large\n\nnode_modules/\n/data/raw\n*.log\n";
    fs::write(from.path().join(IGNORE), text).unwrap();
    let top = File::open(from.path()).unwrap();
    let ignored = Ignored::of(top.as_fd()).unwrap();
    let mut archive = Vec::new();
    let stamps = pack(top.as_fd(), &ignored, &mut archive).unwrap();
    let laid = lay(&archive[..], to.path()).unwrap();
    let came: Vec<_> = laid.files.keys().map(|path| path.to_str().unwrap()).collect();
    assert_eq!(came, [".iddioignore", "data/kept", "main"]);
    fs::create_dir(to.path().join("node_modules")).unwrap();
    fs::write(to.path().join("node_modules/a"), "other").unwrap();
    let back = take_back(&changes(to.path(), &laid)[..], top.as_fd(), &stamps).unwrap();
    assert_eq!(back.conflicts, [PathBuf::from("node_modules/a")]);
    assert_eq!(fs::read(from.path().join("node_modules/a")).unwrap(), b"node_modules/a");
}

#[test]
fn a_line_that_is_not_understood_sends_nothing() {
    for text in ["!kept", "a/../b", "..", "/", "a//b", "a[bc]", "what?", "a\\ b"] {
        let said = Ignored::parse(&format!("fine\n{text}\n")).unwrap_err().to_string();
        assert!(said.contains("line 2"), "{said}");
    }
    assert!(Ignored::parse(&"x\n".repeat(1001)).is_err());
}

#[test]
fn a_tree_that_is_too_large_says_what_makes_it_so() {
    let from = tempfile::tempdir().unwrap();
    for (name, bytes) in [("a/big/one", 200 << 20), ("b/two", 90 << 20), ("small", 1)] {
        let path = from.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        File::create(path).unwrap().set_len(bytes).unwrap();
    }
    let top = File::open(from.path()).unwrap();
    let large = measure(top.as_fd(), &Ignored::default()).unwrap_err();
    let said = large.to_string();
    assert!(said.contains("6 files and 291 MiB"), "{said}");
    assert!(said.ends_with(": `a/big` has 1 files, 200 MiB, `b` has 1 files, 90 MiB"), "{said}");
    measure(top.as_fd(), &Ignored::parse("a/big").unwrap()).unwrap();
}

#[test]
fn packages_of_providers_have_room_of_their_own() {
    let from = tempfile::tempdir().unwrap();
    let packages = from.path().join("env/.terraform/providers/x");
    fs::create_dir_all(&packages).unwrap();
    File::create(packages.join("provider")).unwrap().set_len(BYTES_MAX + 1).unwrap();
    let top = File::open(from.path()).unwrap();
    measure(top.as_fd(), &Ignored::default()).unwrap();
    File::create(packages.join("more")).unwrap().set_len(PACKAGE_BYTES_MAX).unwrap();
    assert!(measure(top.as_fd(), &Ignored::default()).is_err());
}

mod properties {
    use proptest::prelude::*;

    use super::*;

    /// Names as a caller has them, and as an attacker writes them.
    fn name() -> impl Strategy<Value = String> {
        prop_oneof![
            4 => "[a-c]{1,3}",
            1 => Just("..".to_owned()),
            1 => Just(".".to_owned()),
            1 => Just(".git".to_owned()),
            1 => "[a-z\\x00/]{0,6}",
            1 => "\\PC{1,8}",
        ]
    }

    fn hostile() -> impl Strategy<Value = Vec<u8>> {
        let path = prop::collection::vec(name(), 0..4).prop_map(|parts| parts.join("/"));
        let entry = (any::<u8>(), path, prop::collection::vec(any::<u8>(), 0..40), name());
        let entry = entry.prop_map(|(kind, path, content, target)| {
            let mut out = vec![kind % 10];
            put_bytes(&mut out, path.as_bytes()).unwrap();
            match kind % 10 {
                FILE => {
                    out.push(kind / 128);
                    put_content(&mut out, &content[..]).unwrap();
                }
                LINK => put_bytes(&mut out, target.as_bytes()).unwrap(),
                _ => {}
            }
            out
        });
        let entries = prop::collection::vec(entry, 0..12);
        (entries, any::<bool>()).prop_map(|(entries, ends)| {
            [entries.concat(), if ends { vec![END] } else { Vec::new() }].concat()
        })
    }

    /// Everything below a directory, with what it holds.
    fn below(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut found = BTreeMap::new();
        let mut waiting = vec![root.to_owned()];
        while let Some(at) = waiting.pop() {
            for entry in fs::read_dir(&at).unwrap() {
                let path = entry.unwrap().path();
                let kind = fs::symlink_metadata(&path).unwrap();
                let told = path.strip_prefix(root).unwrap().to_owned();
                if kind.is_dir() {
                    found.insert(told, b"directory".to_vec());
                    waiting.push(path);
                } else if kind.is_file() {
                    found.insert(told, fs::read(&path).unwrap());
                } else {
                    found.insert(told, fs::read_link(&path).unwrap().into_os_string().into_vec());
                }
            }
        }
        found
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn whatever_arrives_nothing_outside_is_touched_and_no_link_leads_out(archive in hostile()) {
            let place = tempfile::tempdir().unwrap();
            let (root, beside) = (place.path().join("root"), place.path().join("beside"));
            fs::create_dir(&root).unwrap();
            fs::create_dir(&beside).unwrap();
            fs::write(beside.join("own"), "own").unwrap();
            let _ = lay(&archive[..], &root);
            prop_assert_eq!(fs::read_dir(place.path()).unwrap().count(), 2);
            prop_assert_eq!(below(&beside).len(), 1);
            for (path, _) in below(&root) {
                let full = root.join(&path);
                if let Ok(real) = full.canonicalize() {
                    prop_assert!(real.starts_with(root.canonicalize().unwrap()), "{:?}", path);
                }
            }
            let top = File::open(&root).unwrap();
            symlink(&beside, root.join("zz-link")).unwrap();
            let _ = take_back(&archive[..], top.as_fd(), &Packed::default());
            prop_assert_eq!(fs::read_dir(place.path()).unwrap().count(), 2);
            prop_assert_eq!(below(&beside).len(), 1);
            prop_assert_eq!(fs::read(beside.join("own")).unwrap(), b"own".to_vec());
        }

        #[test]
        fn a_tree_of_any_shape_arrives_as_it_is_and_a_change_of_any_kind_comes_back(
            files in prop::collection::btree_map("[a-d]/[a-d]/[a-d]{1,2}", prop::collection::vec(any::<u8>(), 0..300), 0..12),
            changed in prop::collection::btree_map("[a-d]/[a-d]/[a-d]{1,2}", prop::option::of(prop::collection::vec(any::<u8>(), 0..300)), 0..12),
        ) {
            let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
            for (name, content) in &files {
                let path = from.path().join(name);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, content).unwrap();
            }
            let (archive, stamps) = packed(from.path());
            let laid = lay(&archive[..], to.path()).unwrap();
            prop_assert_eq!(below(from.path()), below(to.path()));
            for (name, content) in &changed {
                let path = to.path().join(name);
                match content {
                    Some(content) => {
                        fs::create_dir_all(path.parent().unwrap()).unwrap();
                        fs::write(path, content).unwrap();
                    }
                    None => drop(fs::remove_file(path)),
                }
            }
            let changes = changes(to.path(), &laid);
            let top = File::open(from.path()).unwrap();
            let back = take_back(&changes[..], top.as_fd(), &stamps).unwrap();
            prop_assert!(back.conflicts.is_empty());
            let files = |root: &Path| {
                let mut all = below(root);
                all.retain(|_, content| content != b"directory");
                all
            };
            prop_assert_eq!(files(from.path()), files(to.path()));
        }
    }
}
